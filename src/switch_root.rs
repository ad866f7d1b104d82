//! Leaving an initramfs for good (switch_root(8)): process 1 takes the file systems it has mounted along, moves
//! the new root over the old one, frees the memory that the old one is, and becomes the new root's init.
//!
//! It cannot be taken back half way, so everything that can be checked is checked before anything is touched.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open};
use nix::libc;
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::Mode;
use nix::sys::statfs::{FsType, TMPFS_MAGIC, fstatfs};
use nix::unistd::{
    Pid, UnlinkatFlags, chdir, chroot, dup2_stderr, dup2_stdin, dup2_stdout, fchdir, unlinkat,
};

use crate::error::{Doing, Error, Result};
use crate::root::{self, Root};
use crate::sys::directory;
use crate::sys::mount::{move_mount, open_tree, openat2, resolve};
use crate::sys::stat::place;

/// `RAMFS_MAGIC` (linux/magic.h).
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

/// The mounts that go along.
pub const MOVED: [&str; 4] = ["/dev", "/proc", "/sys", "/run"];

/// Whether the root is memory, as that of an initramfs is.
pub fn root_is_memory() -> Result<bool> {
    let root =
        open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).doing_to("cannot open", "/")?;
    is_memory(root.as_fd())
}

fn is_memory(root: BorrowedFd<'_>) -> Result<bool> {
    let found = fstatfs(root)
        .doing_to("cannot look at", "/")?
        .filesystem_type();
    Ok(found == TMPFS_MAGIC || found == RAMFS_MAGIC)
}

/// Makes sure that this is process 1 of an initramfs, and that `new_root` is a mount that holds `init`.
///
/// # Errors
/// Says what is otherwise; nothing has been changed then.
pub fn check(new_root: &Path, init: &Path) -> Result<OwnedFd> {
    let new = root::open(new_root)?;
    if Pid::this().as_raw() != 1 {
        return Err(Error::new("not process 1")
            .hint("it deletes the root it leaves, so only the init of an initramfs may: exec switch_root ..."));
    }
    let old =
        open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).doing_to("cannot open", "/")?;
    if !is_memory(old.as_fd())? {
        return Err(Error::new("old root filesystem is not an initramfs")
            .hint("it would be deleted: for a root that is to stay, use pivot"));
    }
    let (from, to) = (place(old.as_fd(), c""), place(new.as_fd(), c""));
    let (from, to) = (
        from.doing_to("cannot look at", "/")?,
        to.doing_to("cannot look at", new_root)?,
    );
    if !to.is_mount_root || to.mount == from.mount {
        return Err(Error::new("cannot switch to")
            .on(new_root)
            .because("not a mount point")
            .hint(
                "the new root must be a mount of its own: mount it there, or mount --bind DIR DIR",
            ));
    }
    let is_file = Root::new(new.as_fd())
        .look_up(init, libc::O_PATH)
        .and_then(|fd| place(fd.as_fd(), c""))
        .doing_to("cannot access", init)?;
    if !is_file.is(libc::S_IFREG) || is_file.mode & 0o111 == 0 {
        return Err(Error::new("cannot access").on(init).errno_is(Errno::EACCES));
    }
    Ok(new)
}

/// Moves `/dev`, `/proc`, `/sys` and `/run` into the new root where that has a directory for them and no mount of
/// its own; else the old one is detached.
pub fn move_mounts(new_root: BorrowedFd<'_>) -> Result<()> {
    let new = place(new_root, c"").doing("cannot look at the new root")?;
    let old = place(AT_FDCWD, c"/").doing_to("cannot look at", "/")?;
    for path in MOVED.map(Path::new) {
        let Ok(mount) = open_tree(AT_FDCWD, path, 0) else {
            continue;
        };
        let here = place(mount.as_fd(), c"").doing_to("cannot look at", path)?;
        if !here.is_mount_root || here.mount == old.mount {
            continue;
        }
        match Root::new(new_root).look_up(path, libc::O_PATH | libc::O_DIRECTORY) {
            Ok(to) if place(to.as_fd(), c"").is_ok_and(|to| to.mount == new.mount) => {
                move_mount(mount.as_fd(), to.as_fd())
                    .doing_to("failed to move into the new root", path)?;
            }
            _ => umount2(path, MntFlags::MNT_DETACH).doing_to("cannot detach", path)?,
        }
    }
    Ok(())
}

/// Moves the new root over `/`, makes it the root of this process, and deletes what the old one held.
///
/// # Errors
/// Of the change of root. What cannot be deleted is left: the memory is lost, nothing else.
pub fn take_over(new_root: BorrowedFd<'_>) -> Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let old = open("/", flags, Mode::empty()).doing_to("cannot open", "/")?;
    fchdir(new_root).doing("failed to change directory to the new root")?;
    move_mount(new_root, old.as_fd()).doing("failed to mount moving the new root to /")?;
    chroot(".").doing("failed to change root")?;
    chdir("/").doing_to("cannot change directory to", "/")?;
    delete_below(&old);
    Ok(())
}

/// Deletes everything in the directory, never crossing into another mount and never following a link.
fn delete_below(dir: &OwnedFd) {
    for name in directory::list(dir.as_fd()).unwrap_or_default() {
        delete(dir, &name);
    }
}

fn delete(dir: &OwnedFd, name: &OsStr) {
    const SAME_MOUNT: u64 = resolve::BENEATH | resolve::NO_SYMLINKS | resolve::NO_XDEV;
    if unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) != Err(Errno::EISDIR) {
        return;
    }
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    if let Ok(below) = openat2(dir.as_fd(), Path::new(name), flags, 0, SAME_MOUNT) {
        delete_below(&below);
        let _ = unlinkat(dir, name, UnlinkatFlags::RemoveDir);
    }
}

/// Takes the terminal `console` of the new root for standard input, output and error.
pub fn use_console(console: &Path) -> Result<()> {
    let fd = open(console, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
        .doing_to("cannot open", console)?;
    dup2_stdin(&fd).doing_to("cannot use as standard input", console)?;
    dup2_stdout(&fd).doing_to("cannot use as standard output", console)?;
    dup2_stderr(&fd).doing_to("cannot use as standard error", console)
}
