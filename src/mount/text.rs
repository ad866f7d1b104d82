//! A text that stands as a file in a root, without a byte of it being written there: a file in memory, mounted over
//! what is there. A symbolic link in its place is covered, not followed (CVE-2024-5154: an image's own link made a
//! runtime write outside).

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::stat::{Mode, SFlag, mknodat};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::{Options, detached_bind};
use crate::error::{Doing, Error, Result};
use crate::root::{Root, without_umask};
use crate::sys::mount::{fsmount, fsopen, move_mount, openat2, resolve};
use crate::sys::stat::place;

/// What the file is called until it is in its place.
const NAME: &str = ".isobox-text";

/// Mounts a file with this text at `target` in a root.
///
/// # Errors
/// Where something that is no file stands there, or the directory is none.
pub fn mount_text(root: Root<'_>, target: &Path, text: &[u8]) -> Result<()> {
    let refused = |errno| {
        Error::new("cannot put a file at")
            .on(target)
            .errno_is(errno)
    };
    let options = Options::new(["nosuid", "nodev", "noexec"])?;
    let to = covered(root, target)?;
    let directory = scratch(root).map_err(refused)?;
    let file = write(&directory, text).map_err(refused)?;
    let mounted = detached_bind(file.as_fd(), &options)
        .and_then(|mount| move_mount(mount.as_fd(), to.as_fd()))
        .map_err(refused);
    // The mount holds it from here on.
    unlinkat(&directory, NAME, UnlinkatFlags::NoRemoveDir).map_err(refused)?;
    mounted
}

/// Where the text is kept: the root's own `/dev`, if that is memory, or memory that is mounted nowhere, of which only
/// Linux 6.15 lets parts be mounted.
fn scratch(root: Root<'_>) -> Result<OwnedFd, Errno> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    if let Ok(dev) = root.look_up(Path::new("/dev"), flags)
        && fstatfs(&dev)?.filesystem_type() == TMPFS_MAGIC
    {
        return Ok(dev);
    }
    fsmount(fsopen(c"tmpfs")?.as_fd(), 0)
}

fn write(directory: &OwnedFd, text: &[u8]) -> Result<File, Errno> {
    let flags =
        OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mode = Mode::from_bits_truncate(0o644);
    let file = without_umask(|| nix::fcntl::openat(directory, NAME, flags, mode))?;
    let mut file = File::from(file);
    file.write_all(text)
        .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    Ok(file)
}

/// What stands at `target`, a link itself and not where it leads; an empty file is made where there is nothing.
fn covered(root: Root<'_>, target: &Path) -> Result<OwnedFd> {
    let (directory, name) = root.parent(target)?;
    let open = || {
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let only = resolve::BENEATH | resolve::NO_MAGICLINKS;
        openat2(directory.as_fd(), Path::new(name), flags, 0, only)
    };
    let found = match open() {
        Err(Errno::ENOENT) => make(&directory, name).and_then(|()| open()),
        other => other,
    };
    let found = found.doing_to("cannot put a file at", target)?;
    let is_directory = place(found.as_fd(), c"").is_ok_and(|place| place.is(libc::S_IFDIR));
    match is_directory {
        true => Err(Errno::EISDIR).doing_to("cannot put a file at", target),
        false => Ok(found),
    }
}

fn make(directory: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    let mode = Mode::from_bits_truncate(0o644);
    without_umask(|| mknodat(directory, Path::new(name), SFlag::S_IFREG, mode, 0))
}
