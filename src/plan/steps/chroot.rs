//! Another root by chroot(2), as unshare(1) has it: for a root that is to hold, see `root.rs`.

use std::path::PathBuf;

use nix::errno::Errno;
use nix::unistd::chroot;

use crate::capability::{Capability, Set};
use crate::error::{Error, Result, printable};
use crate::plan::{Context, Explanation, Shell, Step};
use crate::sys::caps;

/// Makes a directory the root of this process (chroot(2)). The working directory stays where it is, outside:
/// a [`super::attributes::ChangeDirectory`] belongs behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chroot {
    /// The new root.
    pub root: PathBuf,
}

impl Chroot {
    /// The error of chroot(2) with this answer.
    pub fn refused(&self, errno: Errno) -> Error {
        let doing = format!(
            "cannot change root directory to '{}'",
            printable(self.root.as_os_str())
        );
        let allowed = |sets: caps::Sets| Set(sets.effective).has(Capability::SYS_CHROOT);
        let hint = (errno == Errno::EPERM && !caps::get().is_ok_and(allowed)).then_some(
            "this needs CAP_SYS_CHROOT: be root, or start with unshare -r to be it in a user namespace",
        );
        Error::new(doing).errno_is(errno).hint_maybe(hint)
    }
}

impl Step for Chroot {
    fn perform(&self, _: &mut Context) -> Result<()> {
        chroot(&self.root).map_err(|errno| self.refused(errno))
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("chroot({:?})", self.root),
            "paths of the program start at this directory",
            "the program would see the files of the host",
            "chroot(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Option {
            applet: "unshare",
            words: vec!["--root".into(), self.root.clone().into()],
        }
    }
}
