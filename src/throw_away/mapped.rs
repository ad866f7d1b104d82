//! Roots whose files belong to the ids of a container's user namespace: the tree, or the layers of the image, are shown
//! by id-mapped mounts (mount_setattr(2)), so that nothing is given to other owners, and the next container finds what
//! this one has written under the numbers that it has inside.
//!
//! An overlay takes layers that are id-mapped mounts since Linux 5.19, but only mounts that are attached somewhere. So a
//! process makes it in a mount namespace of its own, which ends with it; the descriptor stays, in the table that it shares
//! with us.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{Gid, Uid, fchdir, setfsgid, setfsuid};

use super::overlay::{kernel_is_before, overlay};
use super::{UPPER, WORK, first_directory, in_user_namespace, mode_of, tmpfs, written_in};
use crate::error::{Doing, Error, Result};
use crate::mount::{IdMap, Options, detached_copy, dress, map_by};
use crate::securebits::NO_SETUID_FIXUP;
use crate::sys::clone::{fork_suspended, wait};
use crate::sys::mount::{move_mount, openat2, resolve};
use crate::sys::task;

/// A detached copy of the tree at `path`, with the mounts below it, whose files belong to the ids of the user
/// namespace. What the host mounts there later is seen in it, and not the other way round.
///
/// # Errors
/// Where the path is no directory, or a file system in it, or the kernel, has no id-mapped mounts (`EINVAL`).
pub fn directory(path: &Path, namespace: BorrowedFd<'_>) -> Result<OwnedFd> {
    let tree = crate::root::open(path)?;
    let slave = Options::new(["rslave"])?;
    let copy = detached_copy(tree.as_fd(), true)
        .and_then(|copy| dress(copy.as_fd(), &slave).map(|()| copy))
        .doing_to("cannot copy the mount of", path)?;
    let mapped = map_by(copy.as_fd(), namespace, true);
    mapped.map_err(|error| error.on(path)).map(|()| copy)
}

/// Looks whether the files of the root at `path` can be shown with other ids; with `layered`, whether an overlay takes
/// what is shown so. Gives a user namespace with these ids.
///
/// # Errors
/// Says why not.
pub fn try_it(path: &Path, layered: bool, ids: &IdMap) -> Result<OwnedFd> {
    if layered && kernel_is_before(5, 19) {
        return Err(
            Error::new("an overlay takes no id-mapped mounts").because("that needs Linux 5.19")
        );
    }
    let namespace = ids.namespace()?;
    directory(path, namespace.as_fd()).map(|_| namespace)
}

/// A detached overlay of an image's layers, as [`super::layered`] makes one, whose files belong to these ids.
///
/// # Errors
/// Where a layer is not there, or the kernel has no such overlay.
pub fn layers(
    layers: &[PathBuf],
    written: Option<&Path>,
    namespace: BorrowedFd<'_>,
    owner: (u32, u32),
) -> Result<OwnedFd> {
    let cannot = "cannot mount an overlay of the image's layers with ids of its own";
    let mode = mode_of(layers)?;
    let show = |dir: OwnedFd| -> Result<OwnedFd> {
        let copy = detached_copy(dir.as_fd(), false).doing(cannot)?;
        map_by(copy.as_fd(), namespace, false)?;
        Ok(copy)
    };
    let open_written = |path| -> Result<OwnedFd> {
        let store = crate::root::open(path)?;
        written_in(store.as_fd(), mode)?;
        show(store)
    };
    let all = layers.iter().map(|layer| show(crate::root::open(layer)?));
    let parts = Parts {
        layers: all.collect::<Result<_>>()?,
        written: written.map(open_written).transpose()?,
        mode,
        owner,
    };
    let mut made = None;
    let flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FILES;
    let mut make = || {
        made = Some(parts.assemble());
        0
    };
    let (child, _) = fork_suspended(flags, &mut make).doing(cannot)?;
    while wait(child, libc::WEXITED) == Err(Errno::EINTR) {}
    let killed = || Error::new(cannot).because("the process that makes it was killed");
    made.ok_or_else(killed)?.doing(cannot)
}

/// What an overlay is made of: detached mounts, whose ids are mapped.
struct Parts {
    layers: Vec<OwnedFd>,
    /// The directory that keeps what is written, with the two directories that are needed in it.
    written: Option<OwnedFd>,
    mode: u32,
    /// Root's ids, as the host numbers them.
    owner: (u32, u32),
}

impl Parts {
    /// Makes it, in a mount namespace that nobody else is in.
    fn assemble(&self) -> Result<OwnedFd, Errno> {
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        let store = tmpfs()?;
        self.become_owner()?;
        let hidden = first_directory(&["/sys", "/proc", "/dev"]).map_err(|_| Errno::ENOENT)?;
        move_mount(store.as_fd(), hidden.as_fd())?;
        fchdir(&store)?;
        let mut names = Vec::new();
        for (nth, layer) in self.layers.iter().enumerate() {
            let name = PathBuf::from(nth.to_string());
            attach(layer.as_fd(), store.as_fd(), &name)?;
            names.push(name);
        }
        match &self.written {
            Some(written) => attach(written.as_fd(), store.as_fd(), Path::new("written"))?,
            None => {
                mkdirat(&store, "written", Mode::S_IRWXU)?;
                let at = openat2(
                    store.as_fd(),
                    Path::new("written"),
                    PLACE,
                    0,
                    resolve::BENEATH,
                )?;
                let made = written_in(at.as_fd(), self.mode);
                made.map_err(|error| error.errno().unwrap_or(Errno::EIO))?;
            }
        }
        let at = |name: &str| format!("written/{name}");
        overlay(&names, [&at(UPPER), &at(WORK)], in_user_namespace(), 0)
    }

    /// From here on files are made as root's of the container, with all capabilities. What an overlay makes for itself it
    /// makes as who has mounted it, and nobody has an id in its upper layer who is none of the container's.
    fn become_owner(&self) -> Result<(), Errno> {
        let bits = task::prctl(libc::PR_GET_SECUREBITS, [0; 4])?.cast_unsigned();
        let bits = bits | u64::from(NO_SETUID_FIXUP);
        task::prctl(libc::PR_SET_SECUREBITS, [bits, 0, 0, 0])?;
        setfsgid(Gid::from_raw(self.owner.1));
        setfsuid(Uid::from_raw(self.owner.0));
        Ok(())
    }
}

/// Attaches a detached mount at a new directory.
fn attach(mount: BorrowedFd<'_>, store: BorrowedFd<'_>, name: &Path) -> Result<(), Errno> {
    mkdirat(store, name, Mode::S_IRWXU)?;
    let place = openat2(store, name, PLACE, 0, resolve::BENEATH)?;
    move_mount(mount, place.as_fd())
}

const PLACE: i32 = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
