//! Id-mapped mounts: files show other owners than they have (mount_setattr(2), "ID-mapped mounts").

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::unistd::{getpid, getppid, pause};

use crate::error::{Doing, Error, Result};
use crate::idmap::{Ids, Range, text};
use crate::proc_write;
use crate::sys::clone::{Forked, fork, pidfd_send_signal, wait};
use crate::sys::mount::{MountAttr, attr, mount_setattr};
use crate::sys::task;

/// Which owners files show: an id on the file system (`inside`) appears as another (`outside`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMap {
    /// User ids.
    pub users: Vec<Range>,
    /// Group ids.
    pub groups: Vec<Range>,
}

impl IdMap {
    /// Maps the ids of a mount that nobody can see yet, with `recursive` those of the mounts below it too.
    ///
    /// # Errors
    /// `EPERM` where the file system is not ours to map, `EINVAL` where it cannot be mapped.
    pub fn apply(&self, mount: BorrowedFd<'_>, recursive: bool) -> Result<()> {
        map_by(mount, self.namespace()?.as_fd(), recursive)
    }

    /// The ids of root, as these maps number them outside.
    pub(crate) fn root(&self) -> (u32, u32) {
        let of = |map: &[Range]| {
            map.iter()
                .find(|one| one.inside == 0)
                .map_or(0, |one| one.outside)
        };
        (of(&self.users), of(&self.groups))
    }

    /// A user namespace with these maps: that of a process which is there for nothing else.
    ///
    /// # Errors
    /// The kernel's answer.
    pub(crate) fn namespace(&self) -> Result<OwnedFd> {
        let cannot = "cannot make a user namespace for an id-mapped mount";
        let maker = getpid();
        let made = fork(CloneFlags::CLONE_NEWUSER, None).doing(cannot)?;
        let Forked::Parent { child, pidfd } = made else {
            // Its parent ends it; should the parent die, nobody holds it back.
            let _ = task::prctl(
                libc::PR_SET_PDEATHSIG,
                [libc::SIGKILL.cast_unsigned().into(), 0, 0, 0],
            );
            while getppid() == maker {
                pause();
            }
            task::exit_now(0)
        };
        let of_child = || -> Result<OwnedFd> {
            for (ids, ranges) in [(Ids::User, &self.users), (Ids::Group, &self.groups)] {
                let file = format!("{child}/{}", ids.file());
                proc_write::write(&file, text(ids, ranges)?.as_bytes()).doing_to(cannot, file)?;
            }
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
            let directory = proc_write::open(&format!("{child}/ns"), flags).doing(cannot)?;
            let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
            nix::fcntl::openat(directory, "user", flags, nix::sys::stat::Mode::empty())
                .doing(cannot)
        };
        let namespace = of_child();
        let _ = pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
        while wait(child, libc::WEXITED) == Err(Errno::EINTR) {}
        namespace
    }
}

/// Maps the ids of a mount that nobody can see yet as the user namespace has them, with `recursive` those of the mounts
/// below it too.
///
/// # Errors
/// As [`IdMap::apply`].
pub(crate) fn map_by(
    mount: BorrowedFd<'_>,
    namespace: BorrowedFd<'_>,
    recursive: bool,
) -> Result<()> {
    let change = MountAttr {
        set: attr::IDMAP,
        userns_fd: u64::try_from(namespace.as_raw_fd()).unwrap_or(u64::MAX),
        ..MountAttr::default()
    };
    mount_setattr(mount, change, recursive).map_err(|errno| {
        let error = Error::new("cannot map the ids of the mount").errno_is(errno);
        match errno {
            Errno::EINVAL => {
                error.hint("this file system, or this kernel, has no id-mapped mounts")
            }
            _ => error,
        }
    })
}
