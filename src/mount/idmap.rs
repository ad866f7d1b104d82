//! Id-mapped mounts: files show other owners than they have (mount_setattr(2), "ID-mapped mounts").

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;

use crate::error::{Doing, Error, Result};
use crate::holder::Holder;
use crate::idmap::{Ids, Range, text};
use crate::proc_write;
use crate::sys::mount::{MountAttr, attr, mount_setattr};

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
        let holder = Holder::start(CloneFlags::CLONE_NEWUSER).doing(cannot)?;
        let pid = holder.pid();
        for (ids, ranges) in [(Ids::User, &self.users), (Ids::Group, &self.groups)] {
            let file = format!("{pid}/{}", ids.file());
            proc_write::write(&file, text(ids, ranges)?.as_bytes()).doing_to(cannot, file)?;
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let directory = proc_write::open(&format!("{pid}/ns"), flags).doing(cannot)?;
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        nix::fcntl::openat(directory, "user", flags, nix::sys::stat::Mode::empty()).doing(cannot)
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
