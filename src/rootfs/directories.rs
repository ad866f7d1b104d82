//! The directories on the way to where the next member goes, each open: the path that the member before it took is
//! mostly the one that the next takes too, so that a member costs no lookup at all.
//!
//! Every step is one name below the descriptor of the step before, and no link is followed by the kernel. Where a link
//! of the image stands on a path it is followed here, as chroot(2) would: an absolute one starts at the root, and `..`
//! goes back to the descriptor that was opened before, or stays at the root.
//!
//! A directory's times change with what is made in it. What they were, or what the archive says they are, is set when
//! it is left; likewise a mode that would keep this user out.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, readlinkat};
use nix::libc;
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmod, fchmodat, fstat, fstatat, futimens};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown};

use super::overlay::Lower;
use super::remove::ONE_NAME;
use crate::error::{Doing, Error, Result};
use crate::sys::mount::openat2;
use crate::tar::Time;

/// As many directories in each other as an image may have: each holds a descriptor.
pub(super) const MAX_DEPTH: usize = 256;
/// As many links as the kernel follows on one way (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// When a file was read and changed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) atime: TimeSpec,
    pub(super) mtime: TimeSpec,
}

impl Times {
    /// Those of an open file or directory.
    pub(super) fn of(fd: &OwnedFd) -> Result<Self, Errno> {
        fstat(fd).map(|stat| Self::from(&stat))
    }

    /// Gives them to it.
    pub(super) fn set(&self, fd: impl AsFd) -> Result<(), Errno> {
        futimens(fd, &self.atime, &self.mtime)
    }
}

/// A time as the kernel takes it.
pub(super) fn spec(time: Time) -> TimeSpec {
    TimeSpec::new(time.seconds, time.nanos.into())
}

/// A directory that is open.
pub(super) struct Level {
    pub(super) fd: OwnedFd,
    /// How much of the path leads here.
    end: usize,
    /// The group that what is made here may get.
    pub(super) gid: u32,
    /// Whether this layer made it: then nothing of a lower layer is in it.
    pub(super) is_new: bool,
    /// The times that it is left with, where something was made in it.
    times: Times,
    is_changed: bool,
    /// The mode that it is left with, where it had to be opened to its owner.
    mode: Option<Mode>,
}

/// The open directories, and what is to be known of the present layer.
pub(super) struct Directories {
    root: OwnedFd,
    levels: Vec<Level>,
    /// The names on the path to the last level, separated by slashes.
    path: Vec<u8>,
    /// What is open may not stand where it was any more.
    is_stale: bool,
    /// Places in directories of lower layers that this layer has put something at, and those that it made there as a new
    /// directory, by the hash of their path.
    touched: HashSet<u64>,
    hasher: RandomState,
    /// The layers below, where this one is made by itself.
    pub(super) lower: Option<Lower>,
}

/// What a hash of a path stands for.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) enum Mark {
    /// This layer has put something there.
    Touched,
    /// A directory that this layer made.
    New,
    /// A directory whose lower content was removed.
    Opaque,
}

impl Directories {
    /// Starts at this root.
    pub(super) fn new(root: OwnedFd) -> Self {
        Self {
            root,
            levels: Vec::new(),
            path: Vec::new(),
            is_stale: false,
            touched: HashSet::new(),
            hasher: RandomState::new(),
            lower: None,
        }
    }

    /// Forgets what the layer before has done.
    pub(super) fn next_layer(&mut self) -> Result<()> {
        self.touched = HashSet::new();
        self.leave_to(0)
    }

    /// The place of `path` is marked; whether it was not before.
    pub(super) fn mark(&mut self, mark: Mark, path: &[u8]) -> bool {
        let hash = self.hasher.hash_one((mark, path));
        self.touched.insert(hash)
    }

    /// This layer puts something at `path`: so it is in every directory on the way, which a deletion must not take away
    /// with it.
    pub(super) fn touch(&mut self, path: &[u8]) {
        let mut path = path;
        while self.mark(Mark::Touched, path) {
            match path.iter().rposition(|b| *b == b'/') {
                Some(slash) => path = path.get(..slash).unwrap_or_default(),
                None => return,
            }
        }
    }

    /// Whether the place of `path` is marked.
    pub(super) fn is_marked(&self, mark: Mark, path: &[u8]) -> bool {
        self.touched.contains(&self.hasher.hash_one((mark, path)))
    }

    /// What is open may be another directory by now: look again at the next step.
    pub(super) fn distrust(&mut self) {
        self.is_stale = true;
    }

    /// Sets times and modes of all directories that are open.
    pub(super) fn leave_all(&mut self) -> Result<()> {
        self.leave_to(0)
    }

    /// Goes to the directory at `path`, clean names separated by slashes. What is missing is made where `make` gives
    /// the time for it, with mode 0755.
    ///
    /// # Errors
    /// `ENOENT` where something is missing and may not be made; where something on the way is no directory.
    pub(super) fn enter(&mut self, path: &[u8], make: Option<Times>) -> Result<(), Errno> {
        let same = if std::mem::take(&mut self.is_stale) {
            0
        } else {
            self.common(path)
        };
        self.leave_to(same)
            .map_err(|e| e.errno().unwrap_or(Errno::EIO))?;
        if self.levels.is_empty() {
            let fd = openat2(self.root.as_fd(), Path::new("."), READ, 0, ONE_NAME)?;
            self.push(fd, 0, None)?;
        }
        let mut rest = path.get(self.path.len()..).unwrap_or_default();
        while let [b'/', after @ ..] = rest {
            rest = after;
        }
        for name in rest.split(|b| *b == b'/').filter(|name| !name.is_empty()) {
            self.step(name, make)?;
        }
        Ok(())
    }

    /// The directory that was entered.
    pub(super) fn here(&mut self) -> Result<&mut Level, Errno> {
        self.levels.last_mut().ok_or(Errno::ENOENT)
    }

    /// Says that something is going to be made or removed in the directory that was entered.
    pub(super) fn change(&mut self) -> Result<&Level, Errno> {
        let level = self.here()?;
        level.is_changed = true;
        Ok(level)
    }

    /// Opens the directory `name` in the one that was entered, and enters it. `made` says that it was just made.
    pub(super) fn descend(&mut self, name: &[u8], made: bool) -> Result<&mut Level, Errno> {
        let (fd, mode) = self.open(name)?;
        let is_new = self.here()?.is_new || made || self.is_new_directory(name);
        self.path_push(name);
        let end = self.path.len();
        self.push(fd, end, mode)?;
        let level = self.here()?;
        level.is_new = is_new;
        Ok(level)
    }

    fn is_new_directory(&self, name: &[u8]) -> bool {
        if self.touched.is_empty() {
            return false;
        }
        self.is_marked(Mark::New, &self.child(name))
    }

    /// The path of a name in the directory that was entered.
    pub(super) fn child(&self, name: &[u8]) -> Vec<u8> {
        let mut path = Vec::with_capacity(self.path.len() + 1 + name.len());
        path.extend_from_slice(&self.path);
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }

    fn path_push(&mut self, name: &[u8]) {
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
    }

    /// How many levels are on the way to `path`.
    fn common(&self, path: &[u8]) -> usize {
        let is_on_the_way = |level: &&Level| {
            path.get(..level.end) == self.path.get(..level.end)
                && (level.end == 0 || matches!(path.get(level.end), None | Some(b'/')))
        };
        self.levels.iter().take_while(is_on_the_way).count()
    }

    fn step(&mut self, name: &[u8], make: Option<Times>) -> Result<(), Errno> {
        if self.levels.len() > MAX_DEPTH {
            return Err(Errno::ENAMETOOLONG);
        }
        match self.descend(name, false) {
            Ok(_) => Ok(()),
            Err(Errno::ENOENT) => self.make_implied(name, make.ok_or(Errno::ENOENT)?),
            // A link stands there, or a file, or a deletion.
            Err(Errno::ELOOP | Errno::ENOTDIR) => {
                if make.is_some() && self.uncover(Path::new(OsStr::from_bytes(name)))? {
                    return self.descend(name, false).map(drop);
                }
                let path = self.child(name);
                let fd = self.follow(&path, make.is_some())?;
                self.path_push(name);
                let end = self.path.len();
                self.push(fd, end, None)
            }
            Err(errno) => Err(errno),
        }
    }

    /// A directory that no member has named yet.
    fn make_implied(&mut self, name: &[u8], times: Times) -> Result<(), Errno> {
        let path = self.child(name);
        if !self.here()?.is_new {
            self.touch(&path);
            self.mark(Mark::New, &path);
        }
        self.change()?;
        let above = self.levels.last().ok_or(Errno::ENOENT)?;
        let shown = Path::new(OsStr::from_bytes(name));
        match self.make_missing(above.fd.as_fd(), shown, &path) {
            Ok(true) => self.descend(name, true)?.leave_with(times),
            Ok(false) => drop(self.descend(name, false)?),
            Err(Errno::ELOOP) => return self.step(name, Some(times)),
            Err(errno) => return Err(errno),
        }
        Ok(())
    }

    fn push(&mut self, fd: OwnedFd, end: usize, mode: Option<Mode>) -> Result<(), Errno> {
        let stat = fstat(&fd)?;
        self.levels.push(Level {
            fd,
            end,
            gid: stat.st_gid,
            is_new: false,
            times: Times::from(&stat),
            is_changed: false,
            mode,
        });
        Ok(())
    }

    /// Opens a directory by one name, and if need be to its owner: then with the mode that it had.
    fn open(&mut self, name: &[u8]) -> Result<(OwnedFd, Option<Mode>), Errno> {
        let above = &self.here()?.fd;
        let path = Path::new(OsStr::from_bytes(name));
        match openat2(above.as_fd(), path, READ, 0, ONE_NAME) {
            Err(Errno::EACCES) => {}
            other => {
                let fd = other?;
                return Ok((fd, None));
            }
        }
        let stat = fstatat(above, path, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        if stat.st_mode & libc::S_IFMT != libc::S_IFDIR {
            return Err(Errno::ENOTDIR);
        }
        let mode = Mode::from_bits_truncate(stat.st_mode & 0o7777);
        fchmodat(
            above,
            path,
            mode | Mode::S_IRWXU,
            FchmodatFlags::NoFollowSymlink,
        )?;
        let fd = openat2(above.as_fd(), path, READ, 0, ONE_NAME)?;
        Ok((fd, Some(mode)))
    }

    /// Walks from the root along `path`, links followed; what is missing is made if `make` says so.
    fn follow(&self, path: &[u8], make: bool) -> Result<OwnedFd, Errno> {
        let mut open: Vec<OwnedFd> = Vec::new();
        let mut at: Vec<Vec<u8>> = Vec::new();
        let mut left = Vec::new();
        push_names(&mut left, path);
        let mut links = 0;
        while let Some(name) = left.pop() {
            if name == b".." {
                open.pop();
                at.pop();
                continue;
            }
            let here = open.last().unwrap_or(&self.root);
            let place = Path::new(OsStr::from_bytes(&name));
            let next = match openat2(here.as_fd(), place, READ, 0, ONE_NAME) {
                Err(Errno::ENOENT) if make => {
                    let path = [at.concat(), name.clone()].concat();
                    let made = self.make_missing(here.as_fd(), place, &path);
                    made.and_then(|_| openat2(here.as_fd(), place, READ, 0, ONE_NAME))
                }
                other => other,
            };
            match next {
                Ok(fd) => {
                    open.push(fd);
                    at.push([&name[..], b"/"].concat());
                }
                Err(Errno::ELOOP | Errno::ENOTDIR) => {
                    let target = readlinkat(here, place).map_err(|_| Errno::ENOTDIR)?;
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::ELOOP);
                    }
                    if target.as_bytes().starts_with(b"/") {
                        at.clear();
                        open.clear();
                    }
                    push_names(&mut left, target.as_bytes());
                }
                Err(errno) => return Err(errno),
            }
            if open.len() > MAX_DEPTH || left.len() > 2 * MAX_DEPTH {
                return Err(Errno::ENAMETOOLONG);
            }
        }
        match open.pop() {
            Some(fd) => Ok(fd),
            None => openat2(self.root.as_fd(), Path::new("."), READ, 0, ONE_NAME),
        }
    }

    /// The directory at `path` for something that is not put there; nothing is made.
    pub(super) fn look_up(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        self.follow(path, false)
    }

    /// Leaves the directories from the last one up to the one at `count`.
    fn leave_to(&mut self, count: usize) -> Result<()> {
        while self.levels.len() > count {
            if let Some(level) = self.levels.pop() {
                let left = level.leave();
                left.doing_to("cannot set the times of", OsStr::from_bytes(&self.path))?;
            }
            self.path
                .truncate(self.levels.last().map_or(0, |level| level.end));
        }
        Ok(())
    }
}

impl Level {
    /// The times that it gets when it is left.
    pub(super) fn leave_with(&mut self, times: Times) {
        self.times = times;
        self.is_changed = true;
    }

    /// The mode that it gets when it is left.
    pub(super) fn leave_with_mode(&mut self, mode: Mode) {
        self.mode = Some(mode);
    }

    /// Gives it to somebody.
    pub(super) fn give_to(&mut self, uid: u32, gid: u32) -> Result<(), Errno> {
        fchown(&self.fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        self.gid = gid;
        Ok(())
    }

    fn leave(self) -> Result<(), Errno> {
        if let Some(mode) = self.mode {
            fchmod(&self.fd, mode)?;
        }
        if self.is_changed {
            self.times.set(&self.fd)?;
        }
        Ok(())
    }
}

const READ: i32 = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;

/// Puts the names of a path onto a stack, the first on top.
fn push_names(left: &mut Vec<Vec<u8>>, path: &[u8]) {
    let names = path.split(|b| *b == b'/').rev();
    left.extend(
        names
            .filter(|name| !matches!(*name, b"" | b"."))
            .map(<[u8]>::to_vec),
    );
}

impl From<&FileStat> for Times {
    fn from(stat: &FileStat) -> Self {
        Self {
            atime: TimeSpec::new(stat.st_atime, stat.st_atime_nsec),
            mtime: TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec),
        }
    }
}

/// The error of a directory that could not be entered.
pub(super) fn refused(path: &[u8], errno: Errno) -> Error {
    let error = Error::new("cannot make the directory of")
        .on(OsStr::from_bytes(path))
        .errno_is(errno);
    match errno {
        Errno::ENAMETOOLONG => error
            .hint("directories lie at most 256 deep in each other, names have at most 255 bytes"),
        Errno::ELOOP => error.hint("symbolic links of the image lead round in a circle"),
        _ => error,
    }
}

/// For a test, or whoever wants the descriptor of the root.
impl AsFd for Directories {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}
