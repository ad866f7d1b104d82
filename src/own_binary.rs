//! A handle on our own binary that works in any root and that nobody there can write through.
//!
//! `pivot ROOT setpriv ... CMD` runs our `setpriv` though ROOT holds no such file: by descriptor (execveat(2)).
//! A process that runs a file offers it to others as `/proc/PID/exe`, so a root inside could overwrite the
//! host's binary (CVE-2019-5736). Three kinds of handle, the cheapest that is safe:
//!
//! 1. the file itself, where this user may not write it anyhow;
//! 2. a read-only detached mount of it (27 to 40 microseconds), where we may mount;
//! 3. a copy in a sealed memory file (1 to 3 milliseconds).

use std::fs::File;
use std::io::copy;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{AT_FDCWD, FcntlArg, OFlag, SealFlag, fcntl, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{AccessFlags, access};

use crate::error::{Doing, Result};
use crate::sys::mount::{MountAttr, attr, mount_setattr, open_tree, open_tree_flags};

const OWN: &str = "/proc/self/exe";

/// A protected handle on the binary of this process.
///
/// # Errors
/// Where `/proc` is not mounted, or memory for a copy is short.
pub fn protected() -> Result<OwnedFd> {
    let plain =
        open(OWN, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).doing_to("cannot open", OWN)?;
    let read_only = fstatvfs(&plain).is_ok_and(|fs| fs.flags().contains(FsFlags::ST_RDONLY));
    if read_only || access(OWN, AccessFlags::W_OK).is_err() {
        return Ok(plain);
    }
    match read_only_mount() {
        Ok(mount) => Ok(mount),
        Err(_) => sealed_copy(),
    }
}

fn read_only_mount() -> Result<OwnedFd> {
    let mount = open_tree(AT_FDCWD.as_fd(), Path::new(OWN), open_tree_flags::CLONE)
        .doing_to("cannot clone", OWN)?;
    let read_only = MountAttr {
        set: attr::RDONLY,
        ..MountAttr::default()
    };
    mount_setattr(mount.as_fd(), read_only, false)
        .doing("cannot make the clone of our binary read-only")?;
    Ok(mount)
}

fn sealed_copy() -> Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let memory = memfd_create("isobox", flags).doing("cannot make a memory file")?;
    let mut to = File::from(memory);
    let mut from = File::open(OWN).doing_to("cannot open", OWN)?;
    copy(&mut from, &mut to).doing("cannot copy our own binary")?;
    let seals = SealFlag::F_SEAL_SEAL
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_WRITE;
    fcntl(&to, FcntlArg::F_ADD_SEALS(seals)).doing("cannot seal the copy of our own binary")?;
    Ok(to.into())
}
