//! Interpreters of foreign programs, by user namespace (binfmt_misc; Linux 6.7).

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;
use nix::unistd::write;

use crate::error::{Doing, Error, Result, printable};
use crate::plan::{Context, Explanation, Shell, Step};
use crate::sys::mount::{openat2, resolve};

/// Where the file system belongs.
pub const PLACE: &str = "/proc/sys/fs/binfmt_misc";

/// Mounts the binfmt_misc file system of this user namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountBinfmt {
    /// Where.
    pub target: PathBuf,
}

impl Step for MountBinfmt {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NODEV;
        let kind = Some("binfmt_misc");
        mount(kind, &self.target, kind, flags, None::<&str>).map_err(|errno| {
            let target = printable(self.target.as_os_str());
            Error::new(format!("mount {target} failed")).errno_is(errno)
        })
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "mount(\"binfmt_misc\", {:?}, \"binfmt_misc\", MS_NOSUID|MS_NOEXEC|MS_NODEV, NULL)",
                self.target
            ),
            "each user namespace has its own table of interpreters, which shows in its own mount",
            "the interpreters would be those of the host",
            "binfmt_misc (Documentation/admin-guide/binfmt-misc.rst)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::valued("unshare", "--mount-binfmt=", self.target.as_os_str())
    }
}

/// Registers an interpreter: `:name:type:offset:magic:mask:interpreter:flags`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterInterpreter {
    /// Where binfmt_misc is mounted.
    pub place: PathBuf,
    /// The line.
    pub line: OsString,
}

/// Whether the kernel opens the interpreter at once (flag `F`), so that it works in another root.
pub fn is_fixed(line: &OsStr) -> bool {
    let flags = line.as_bytes().rsplit(|b| *b == b':').next();
    line.as_bytes().contains(&b':') && flags.is_some_and(|flags| flags.contains(&b'F'))
}

impl Step for RegisterInterpreter {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let how = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let place = open(&self.place, how, Mode::empty()).doing_to("cannot open", &self.place)?;
        let register = self.place.join("register");
        let below = resolve::BENEATH | resolve::NO_XDEV | resolve::NO_SYMLINKS;
        let file = openat2(
            place.as_fd(),
            Path::new("register"),
            libc::O_WRONLY,
            0,
            below,
        )
        .doing_to("cannot open", &register)?;
        match write(file, self.line.as_bytes()) {
            Ok(length) if length == self.line.len() => Ok(()),
            other => Err(other.err().unwrap_or(Errno::EIO)).doing_to("write failed", &register),
        }
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("write({:?}, {:?})", self.place.join("register"), self.line),
            "programs that start like this are given to the interpreter",
            "executing one would fail: Exec format error",
            "binfmt_misc (Documentation/admin-guide/binfmt-misc.rst)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Option {
            applet: "unshare",
            words: vec!["--load-interp".into(), self.line.clone()],
        }
    }
}
