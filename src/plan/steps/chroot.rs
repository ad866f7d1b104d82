//! Another root by chroot(2), as unshare(1) has it: for a root that is to hold, see `root.rs`.

use std::path::PathBuf;

use nix::unistd::chroot;

use crate::error::{Doing, Result};
use crate::plan::{Context, Explanation, Shell, Step};

/// Makes a directory the root of this process (chroot(2)). The working directory stays where it is, outside:
/// a [`super::attributes::ChangeDirectory`] belongs behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chroot {
    /// The new root.
    pub root: PathBuf,
}

impl Step for Chroot {
    fn perform(&self, _: &mut Context) -> Result<()> {
        chroot(&self.root).doing(format!(
            "cannot change root directory to '{}'",
            crate::error::printable(self.root.as_os_str())
        ))
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
