//! Reaching files below `/proc` without being led elsewhere (proc(5)).
//!
//! A bind mount or a symbolic link in a `/proc` that somebody else prepared could turn the write of an id map
//! into a write to another file. So `/proc` is opened once per access, must be a proc file system, and the way
//! below it may cross no mount and follow no magic link.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open as open_path};
use nix::sys::stat::Mode;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::write as write_some;

use crate::sys::mount::{openat2, resolve};

/// Opens `name` below `/proc` (`self/uid_map`, `12/ns`) with open(2)'s `flags`.
///
/// # Errors
/// `ENOENT` also where `/proc` is there but is no proc file system; `EXDEV` where something is mounted on the way.
pub fn open(name: &str, flags: OFlag) -> Result<OwnedFd, Errno> {
    let how = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = open_path("/proc", how, Mode::empty())?;
    if fstatfs(&root)?.filesystem_type() != PROC_SUPER_MAGIC {
        return Err(Errno::ENOENT);
    }
    let below = resolve::BENEATH | resolve::NO_XDEV | resolve::NO_MAGICLINKS;
    openat2(root.as_fd(), Path::new(name), flags.bits(), 0, below)
}

/// Writes the whole of `text` to `name` below `/proc` in one write(2), as its files want it.
pub fn write(name: &str, text: &[u8]) -> Result<(), Errno> {
    let file = open(name, OFlag::O_WRONLY | OFlag::O_NOCTTY)?;
    loop {
        match write_some(&file, text) {
            Err(Errno::EINTR) => {}
            Ok(length) if length == text.len() => return Ok(()),
            Ok(_) => return Err(Errno::EIO),
            Err(errno) => return Err(errno),
        }
    }
}
