//! A tree that is there, place by place, for whoever writes it down. It is read below one descriptor; no link is
//! followed, and what is mounted in it is not part of it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, readlinkat};
use nix::libc;
use nix::sys::stat::{FileStat, fstat, fstatat};

use crate::error::{Doing, Error, Result};
use crate::order;
use crate::sys::directory;
use crate::sys::mount::{openat2, resolve};

/// As many directories in each other as an image may have. Each holds a descriptor while what is in it is read.
const MAX_DEPTH: usize = 256;

const OURS: u64 =
    resolve::BENEATH | resolve::NO_SYMLINKS | resolve::NO_MAGICLINKS | resolve::NO_XDEV;

/// What stands at a place.
pub struct Found<'a> {
    /// What stat(2) says of it; of a link, of the link itself.
    pub stat: FileStat,
    dir: BorrowedFd<'a>,
    name: &'a OsStr,
}

impl<'a> Found<'a> {
    /// What stands under `name` in this directory.
    ///
    /// # Errors
    /// Those of fstatat(2).
    pub(super) fn at(dir: BorrowedFd<'a>, name: &'a OsStr) -> Result<Self, Errno> {
        let stat = fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        Ok(Self { stat, dir, name })
    }

    /// Whether it is of this type: `S_IFDIR`, `S_IFREG` ...
    pub fn is(&self, kind: u32) -> bool {
        self.stat.st_mode & libc::S_IFMT == kind
    }

    /// Opens the file.
    ///
    /// # Errors
    /// `ESTALE` where another one stands there by now.
    pub fn open(&self) -> Result<File, Errno> {
        let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOFOLLOW;
        let fd = openat2(self.dir, Path::new(self.name), flags, 0, OURS)?;
        let now = fstat(&fd)?;
        if (now.st_dev, now.st_ino, now.st_mode & libc::S_IFMT)
            != (self.stat.st_dev, self.stat.st_ino, libc::S_IFREG)
        {
            return Err(Errno::ESTALE);
        }
        Ok(fd.into())
    }

    /// Opens the directory.
    ///
    /// # Errors
    /// `EXDEV` where something is mounted there.
    pub fn open_directory(&self) -> Result<OwnedFd, Errno> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        openat2(self.dir, Path::new(self.name), flags, 0, OURS)
    }

    /// Where the link leads.
    ///
    /// # Errors
    /// Those of readlinkat(2).
    pub fn read_link(&self) -> Result<OsString, Errno> {
        readlinkat(self.dir, self.name)
    }
}

/// A directory that is being read.
struct Level {
    fd: OwnedFd,
    path: PathBuf,
    /// The names in it that are left, in order.
    left: VecDeque<OsString>,
}

/// Hands every place below `root` to `each`, with its path relative to that: a directory before what is in it, names in
/// the order of their bytes, so that the same tree is told the same way each time.
///
/// # Errors
/// The kernel's answer with the path, and what `each` answers.
pub fn walk(
    root: BorrowedFd<'_>,
    each: &mut dyn FnMut(&Path, &Found<'_>) -> Result<()>,
) -> Result<()> {
    let mut levels =
        vec![open(root, Path::new("."), PathBuf::new()).doing("cannot read the tree")?];
    loop {
        let depth = levels.len();
        let Some(level) = levels.last_mut() else {
            return Ok(());
        };
        let Some(name) = level.left.pop_front() else {
            levels.pop();
            continue;
        };
        let path = level.path.join(&name);
        let shown = || Path::new("/").join(&path);
        let found = Found::at(level.fd.as_fd(), &name).doing_to("cannot look at", shown())?;
        each(&path, &found)?;
        if !found.is(libc::S_IFDIR) {
            continue;
        }
        if depth >= MAX_DEPTH {
            return Err(Error::new("directories lie too deep in each other:").on(shown()));
        }
        match open(found.dir, Path::new(&name), path.clone()) {
            Ok(next) => levels.push(next),
            // Something is mounted there.
            Err(Errno::EXDEV) => {}
            Err(errno) => return Err(errno).doing_to("cannot read", shown()),
        }
    }
}

fn open(dir: BorrowedFd<'_>, name: &Path, path: PathBuf) -> Result<Level, Errno> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let fd = openat2(dir, name, flags, 0, OURS)?;
    let left = names(fd.as_fd())?.into();
    Ok(Level { fd, path, left })
}

/// The names in a directory that nobody has read from yet, in the order of their bytes.
pub(super) fn names(dir: BorrowedFd<'_>) -> Result<Vec<OsString>, Errno> {
    let mut names = directory::list(dir)?;
    order::sort(&mut names);
    Ok(names)
}
