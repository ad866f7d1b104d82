//! Joining namespaces, root, working directory, cgroup and ids of another process: the steps of nsenter(1).

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, write};

use crate::enter::{self, Origin, Refusal, Target};
use crate::error::{Doing, Error, Result};
use crate::namespace::{Kind, flag_names, kinds};
use crate::plan::{Context, Explanation, Shell, Slot, Step};
use crate::procfs::Process;
use crate::sys::{nsfs, task};

/// Holds the target by its pidfd (pidfd_open(2)).
#[derive(Debug)]
pub struct HoldTarget {
    /// The target.
    pub target: Target,
    /// Where later steps find the pidfd.
    pub slot: Slot,
}

impl Step for HoldTarget {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let pidfd = self.target.pidfd().try_clone_to_owned();
        cx.put(self.slot, pidfd.doing("cannot copy a pidfd")?);
        Ok(())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("pidfd_open({}, 0)", self.target.pid()),
            "a number may belong to another process tomorrow, a pidfd never does",
            "if the target ended now, we could join whatever process got its number",
            "pidfd_open(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::option("nsenter", format!("--target={}", self.target.pid()))
    }
}

/// Opens the target's directory below `/proc`, and sees that the target still lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenTargetDirectory {
    /// The target's number.
    pub pid: Pid,
    /// Its pidfd.
    pub pidfd: Slot,
    /// Where later steps find the directory.
    pub slot: Slot,
}

impl Step for OpenTargetDirectory {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let directory = enter::directory(self.pid, cx.get(self.pidfd)?)?;
        cx.put(self.slot, directory.into_fd());
        Ok(())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("open(\"/proc/{}\", O_PATH|O_DIRECTORY)", self.pid),
            "its links are opened below here, while we still see our own /proc",
            "after the mount namespace is entered, /proc is whatever the target has there",
            "proc(5)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// What to open before anything is entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The root of the target, by its `/proc` directory.
    Root(Slot),
    /// The working directory of the target.
    WorkingDirectory(Slot),
    /// A path of ours.
    Path(PathBuf),
}

/// Opens a directory to go to later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenDirectory {
    /// Which one.
    pub place: Place,
    /// Where later steps find it.
    pub slot: Slot,
}

impl Step for OpenDirectory {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let opened = match &self.place {
            Place::Root(directory) => open_link(cx, *directory, "root")?,
            Place::WorkingDirectory(directory) => open_link(cx, *directory, "cwd")?,
            Place::Path(path) => {
                let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
                open(path, flags, Mode::empty()).doing_to("cannot open", path)?
            }
        };
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
        };
        Explanation::new(
            format!("open({what}, O_PATH|O_DIRECTORY)"),
            "a descriptor leads there from any mount namespace",
            "the same path may mean another directory once we are inside",
            "open(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

fn open_link(cx: &Context, directory: Slot, name: &str) -> Result<OwnedFd> {
    Process::from(cx.get(directory)?.try_clone_to_owned().doing("cannot copy a descriptor")?)
        .open_link(name)
        .doing_to("cannot open", format!("the target's {name}"))
}
