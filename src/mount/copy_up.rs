//! Copying what a new file system covers into it (`tmpcopyup`), by descriptor from the first directory on.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, mkdirat, mknodat};
use nix::unistd::{Gid, Uid, fchown, fchownat, symlinkat};

use crate::sys::mount::{openat2, resolve};

/// How deep directories may lie in each other.
const DEEPEST: usize = 200;

/// Copies what is in the directory `from` to the directory `to`, where that is empty, owners and permissions included; not
/// what is mounted below it, and no extended attributes. With `mode` the directory itself gets its permissions too.
///
/// # Errors
/// The kernel's answer; `ELOOP` for directories that lie too deep.
pub(crate) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>, mode: bool) -> Result<(), Errno> {
    let owner = fstat(from)?;
    let target = openat(
        to,
        ".",
        OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    let mut there = Dir::from_fd(openat(
        &target,
        ".",
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?)?;
    if there.iter().nth(2).is_some() {
        return Ok(());
    }
    directory(from, target.as_fd(), DEEPEST)?;
    if mode {
        return like(target.as_fd(), &owner);
    }
    let (uid, gid) = (Uid::from_raw(owner.st_uid), Gid::from_raw(owner.st_gid));
    fchown(&target, Some(uid), Some(gid))
}

fn directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: usize) -> Result<(), Errno> {
    if depth == 0 {
        return Err(Errno::ELOOP);
    }
    let safe = resolve::BENEATH | resolve::NO_SYMLINKS | resolve::NO_MAGICLINKS | resolve::NO_XDEV;
    let open = |name: &CStr, flags: i32| {
        let name = name.to_str().map_err(|_| Errno::EILSEQ)?;
        openat2(
            from,
            Path::new(name),
            flags | libc::O_NOFOLLOW | libc::O_NONBLOCK,
            0,
            safe,
        )
    };
    let mut dir = Dir::from_fd(open(c".", libc::O_RDONLY | libc::O_DIRECTORY)?)?;
    for entry in dir.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        match entry.file_type() {
            Some(Type::Symlink) => link(from, to, name)?,
            Some(Type::Directory) => {
                let source = match open(name, libc::O_RDONLY | libc::O_DIRECTORY) {
                    Err(Errno::EXDEV) => continue,
                    other => other?,
                };
                mkdirat(to, name, Mode::from_bits_truncate(0o700))?;
                let flags =
                    OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let target = openat(to, name, flags, Mode::empty())?;
                directory(source.as_fd(), target.as_fd(), depth - 1)?;
                like(target.as_fd(), &fstat(&source)?)?;
            }
            Some(Type::File) => {
                let source = match open(name, libc::O_RDONLY) {
                    Err(Errno::EXDEV) => continue,
                    other => other?,
                };
                let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
                let target = openat(to, name, flags, Mode::from_bits_truncate(0o600))?;
                let stat = fstat(&source)?;
                let (mut source, mut target) = (File::from(source), File::from(target));
                std::io::copy(&mut source, &mut target)
                    .map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)))?;
                like(target.as_fd(), &stat)?;
            }
            _ => special(to, name, &fstat(open(name, libc::O_PATH)?)?)?,
        }
    }
    Ok(())
}

/// Gives a file the owner and the permissions of another.
fn like(file: BorrowedFd<'_>, stat: &FileStat) -> Result<(), Errno> {
    fchown(
        file,
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
    )?;
    fchmod(file, Mode::from_bits_truncate(stat.st_mode & 0o7777))
}

fn link(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    symlinkat(&*readlinkat(from, name)?, to, name)
}

fn special(to: BorrowedFd<'_>, name: &CStr, stat: &FileStat) -> Result<(), Errno> {
    let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
    mknodat(
        to,
        name,
        kind,
        Mode::from_bits_truncate(stat.st_mode & 0o7777),
        stat.st_rdev,
    )?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    fchownat(to, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
}
