//! Going to directories that were opened beforehand: root and working directory by descriptor.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{chroot, fchdir};

use crate::enter;
use crate::error::{Doing, Result};
use crate::plan::{Context, Explanation, Shell, Slot, Step};
use crate::procfs;
use crate::root::Root;

/// What to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The root of a process, whose `/proc` directory is in this slot.
    Root(Slot),
    /// The working directory of a process, likewise.
    WorkingDirectory(Slot),
    /// A path of ours.
    Path(PathBuf),
    /// The working directory of this process.
    Here,
}

/// Opens a directory to go to later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenDirectory {
    /// Which one.
    pub place: Place,
    /// Where later steps find it.
    pub slot: Slot,
}

impl OpenDirectory {
    fn open(&self, cx: &Context) -> Result<OwnedFd> {
        let (process, link) = match &self.place {
            Place::Root(process) => (process, "root"),
            Place::WorkingDirectory(process) => (process, "cwd"),
            Place::Here => return enter::current_directory(),
            Place::Path(path) => {
                let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
                return open(path, flags, Mode::empty()).doing_to("cannot open", path);
            }
        };
        procfs::open_link(cx.get(*process)?, link)
            .doing_to("cannot open", format!("the target's {link}"))
    }
}

impl Step for OpenDirectory {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let opened = self.open(cx)?;
        cx.put(self.slot, opened);
        Ok(())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        let what = match &self.place {
            Place::Root(_) => "\"/proc/PID/root\"".into(),
            Place::WorkingDirectory(_) => "\"/proc/PID/cwd\"".into(),
            Place::Path(path) => format!("{path:?}"),
            Place::Here => "\".\"".into(),
        };
        Explanation::new(
            format!("open({what}, O_PATH|O_DIRECTORY)"),
            "a descriptor leads there from any mount namespace and any root",
            "the same path may mean another directory, or none, once we have moved",
            "open(2)",
        )
    }

    fn shell(&self) -> Shell {
        match &self.place {
            Place::Root(_) => Shell::option("nsenter", "--root"),
            Place::WorkingDirectory(_) => Shell::option("nsenter", "--wd"),
            Place::Path(_) | Place::Here => Shell::Implied,
        }
    }
}

/// Makes an opened directory the root, and goes there (chroot(2)). Needs `CAP_SYS_CHROOT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnterRoot {
    /// The directory.
    pub slot: Slot,
}

impl Step for EnterRoot {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        fchdir(cx.get(self.slot)?).doing("change directory by root file descriptor failed")?;
        chroot(".").doing("chroot failed")
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "fchdir(FD), chroot(\".\")",
            "entering a mount namespace leads to its root, which need not be the root of the target",
            "paths would start at the root of the mount namespace",
            "chroot(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Goes to an opened directory (fchdir(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnterDirectory {
    /// The directory.
    pub slot: Slot,
}

impl Step for EnterDirectory {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        fchdir(cx.get(self.slot)?)
            .doing("change directory by working directory file descriptor failed")
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "fchdir(FD)",
            "the program starts in this directory, which was opened before anything was entered",
            "it would start where entering left it: at the root, if a mount namespace was entered",
            "fchdir(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Makes a directory in the new root, with what is missing on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeDirectory {
    /// The tree.
    pub root: Slot,
    /// The directory.
    pub path: PathBuf,
}

impl Step for MakeDirectory {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        Root::new(cx.get(self.root)?)
            .directory(&self.path)
            .map(drop)
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("openat2(ROOT, {:?}, RESOLVE_IN_ROOT), mkdirat()", self.path),
            "the program starts there, and soon nothing can be made any more",
            "there would be no such directory in a read-only root",
            "mkdir(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}
