//! Where a tree is made until it is whole: beside its place, under a name that says that it is not, and moved there in
//! one step by rename(2). Whoever is killed on the way leaves a directory that looks like no root, which the next run
//! takes away; a lock tells it from one that is still being worked on.
//!
//! A place that cannot be replaced, because it is a mount point, a working directory or the end of a symbolic link, is
//! filled from a directory in it; that is then moved out of there entry by entry, and itself goes last.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, renameat};
use nix::libc;
use nix::sys::stat::{Mode, fchmod, fstat, fstatat, futimens, mkdirat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, syncfs, unlinkat};

use super::remove::{self, ONE_NAME};
use crate::error::{Doing, Error, Result};
use crate::lock::Locked;
use crate::sys::mount::{openat2, resolve};
use crate::sys::stat::place;
use crate::sys::{directory, xattr};

/// What is put around the name of a tree that is not whole.
const MARK: &str = ".incomplete";

/// A tree in the making.
pub struct Staging {
    /// The directory that holds it.
    above: OwnedFd,
    name: OsString,
    /// Locked until it is whole, or dropped.
    root: Option<Locked>,
    /// Its name in `above` once it is whole; `None` where `above` is to be filled itself.
    whole: Option<OsString>,
}

impl Staging {
    /// Starts a tree that is going to be at `path`, where there is nothing, or an empty directory, or what a run left
    /// that was interrupted.
    ///
    /// # Errors
    /// Where something else is there, or another run is at work.
    pub fn new(path: &Path) -> Result<Self> {
        let (above, whole) = match replaceable(path)? {
            Some((parent, name)) => (parent, Some(name)),
            None => (crate::root::open(path)?, None),
        };
        let name = match &whole {
            Some(name) => [OsStr::new("."), name, OsStr::new(MARK)]
                .into_iter()
                .collect(),
            None => OsString::from(MARK),
        };
        // Where the directory itself is filled, nothing may lie beside what an interrupted run left: it could be
        // anybody's. Before a single name of ours is touched.
        let is_ours = |other: &[u8]| other == name.as_bytes();
        if whole.is_none()
            && !remove::holds_only(above.as_fd(), &is_ours).doing_to("cannot read", path)?
        {
            return Err(not_empty(path));
        }
        clear(above.as_fd(), &name, path)?;
        mkdirat(&above, name.as_os_str(), Mode::S_IRWXU)
            .doing_to("cannot make a directory for", path)?;
        let root = open(above.as_fd(), &name).doing_to("cannot open the directory for", path)?;
        let root = lock(root, path)?;
        // What a directory inherits from the one above would change every mode in it.
        for inherited in [c"system.posix_acl_default", c"system.posix_acl_access"] {
            let _ = xattr::remove(root.as_fd(), inherited);
        }
        fchmod(&*root, Mode::from_bits_truncate(0o755)).doing_to("cannot set the mode of", path)?;
        Ok(Self {
            above,
            name,
            root: Some(root),
            whole,
        })
    }

    /// The root of the tree.
    ///
    /// # Errors
    /// Where there are no more descriptors.
    pub fn root(&self) -> Result<OwnedFd> {
        let doing = "cannot duplicate a descriptor";
        let root = self.root.as_deref().ok_or(Errno::EBADF).doing(doing)?;
        root.try_clone().map(OwnedFd::from).doing(doing)
    }

    /// A new directory in the tree, readable to all.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn directory(&self, name: &str) -> Result<OwnedFd> {
        let root = self.root()?;
        mkdirat(&root, name, Mode::from_bits_truncate(0o755)).doing_to("cannot make", name)?;
        let dir = open(root.as_fd(), OsStr::new(name)).doing_to("cannot open", name)?;
        fchmod(&dir, Mode::from_bits_truncate(0o755)).doing_to("cannot make", name)?;
        Ok(dir)
    }

    /// The path of the tree while it is made for `path`.
    pub fn path_of(&self, path: &Path) -> std::path::PathBuf {
        match &self.whole {
            Some(_) => path.with_file_name(&self.name),
            None => path.join(&self.name),
        }
    }

    /// The tree is whole: puts it where it belongs. With `sync` only once everything is on the disk.
    ///
    /// # Errors
    /// Where it cannot be written or moved; it is taken away then.
    pub fn finish(mut self, path: &Path, sync: bool) -> Result<()> {
        if sync {
            let root = self.root()?;
            syncfs(root).doing_to("cannot write to the disk what is in", path)?;
        }
        match &self.whole {
            Some(whole) => {
                // Over an empty directory, but over nothing else.
                renameat(
                    &self.above,
                    self.name.as_os_str(),
                    &self.above,
                    whole.as_os_str(),
                )
                .map_err(|errno| match errno {
                    Errno::ENOTEMPTY | Errno::EEXIST => not_empty(path),
                    errno => Error::new("cannot move the tree to")
                        .on(path)
                        .errno_is(errno),
                })?;
            }
            None => self.move_out(path)?,
        }
        self.root = None;
        if sync {
            let _ = nix::unistd::fsync(&self.above);
        }
        Ok(())
    }

    /// Moves everything one directory up.
    fn move_out(&self, path: &Path) -> Result<()> {
        const MOVING: &str = "cannot move the tree to";
        let root = self.root()?;
        let stat = fstat(&root).doing_to(MOVING, path)?;
        let mut buffer = vec![0; 16384];
        loop {
            nix::unistd::lseek(&root, 0, nix::unistd::Whence::SeekSet).doing_to(MOVING, path)?;
            let part = directory::read(root.as_fd(), &mut buffer).doing_to(MOVING, path)?;
            let names = directory::names(part).filter(|name| !matches!(*name, b"." | b".."));
            let mut moved = 0;
            for name in names {
                let name = OsStr::from_bytes(name);
                renameat(&root, name, &self.above, name).doing_to(MOVING, path)?;
                moved += 1;
            }
            if moved == 0 {
                break;
            }
        }
        // The place is somebody's mount point or directory, which may not be ours to change.
        let above = openat2(self.above.as_fd(), Path::new("."), READ, 0, ONE_NAME);
        let above = above.doing_to(MOVING, path)?;
        let _ = fchown(
            &above,
            Some(Uid::from_raw(stat.st_uid)),
            Some(Gid::from_raw(stat.st_gid)),
        );
        let _ = fchmod(&above, Mode::from_bits_truncate(stat.st_mode & 0o7777));
        unlinkat(&self.above, self.name.as_os_str(), UnlinkatFlags::RemoveDir)
            .doing_to(MOVING, path)?;
        let (atime, mtime) = (
            TimeSpec::new(stat.st_atime, stat.st_atime_nsec),
            TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec),
        );
        let _ = futimens(&above, &atime, &mtime);
        Ok(())
    }
}

impl Drop for Staging {
    /// A tree that did not get whole is taken away.
    fn drop(&mut self) {
        if self.root.take().is_some() {
            let _ = remove::remove(self.above.as_fd(), &self.name, Path::new(&self.name));
        }
    }
}

const READ: i32 = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;

fn open(above: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    openat2(above, Path::new(name), READ, 0, ONE_NAME)
}

fn lock(dir: OwnedFd, path: &Path) -> Result<Locked> {
    let locked = Locked::exclusive_now(dir).doing_to("cannot lock the directory for", path)?;
    locked.ok_or_else(|| Error::new("another run is making").on(path))
}

/// Takes away what an interrupted run has left.
fn clear(above: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<()> {
    let left = match open(above, name) {
        Err(Errno::ENOENT) => return Ok(()),
        other => other.doing_to("cannot open what was left of", path)?,
    };
    // Held until it is gone, so that of two runs one is told.
    let _lock = lock(left, path)?;
    remove::remove(above, name, Path::new(name))
}

/// The directory above `path` and the name in it, where the tree can be put there by rename(2).
fn replaceable(path: &Path) -> Result<Option<(OwnedFd, OsString)>> {
    let Some(Component::Normal(name)) = path.components().next_back() else {
        return Ok(None);
    };
    // A slash or a dot at the end ask for what a link leads to.
    if !path.as_os_str().as_bytes().ends_with(name.as_bytes()) && is_link(path) {
        return Ok(None);
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    let parent = openat2(AT_FDCWD, parent, flags, 0, resolve::NO_MAGICLINKS)
        .doing_to("cannot open", parent)?;
    let stat = match fstatat(&parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => return Ok(Some((parent, name.to_owned()))),
        other => other.doing_to("cannot look at", path)?,
    };
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFDIR => {}
        libc::S_IFLNK => return Ok(None),
        _ => return Err(Error::new("not a directory:").on(path)),
    }
    let there = open(parent.as_fd(), name);
    let is_mount = match &there {
        Err(Errno::EXDEV) => true,
        Err(errno) => return Err(*errno).doing_to("cannot open", path),
        Ok(dir) => place(dir.as_fd(), c"").is_ok_and(|place| place.is_mount_root),
    };
    if is_mount || !may_write(&parent) {
        return Ok(None);
    }
    let dir = there.doing_to("cannot open", path)?;
    if !remove::is_empty(dir.as_fd()).doing_to("cannot read", path)? {
        // Unless an interrupted run that filled it from within was at work.
        return match open(dir.as_fd(), OsStr::new(MARK)) {
            Ok(_) => Ok(None),
            Err(_) => Err(not_empty(path)),
        };
    }
    Ok(Some((parent, name.to_owned())))
}

fn is_link(path: &Path) -> bool {
    let mut bytes = path.as_os_str().as_bytes().to_vec();
    while matches!(bytes.last(), Some(b'/' | b'.')) && bytes.len() > 1 {
        bytes.pop();
    }
    let path = std::path::PathBuf::from(OsString::from_vec(bytes));
    path.is_symlink()
}

fn may_write(dir: &OwnedFd) -> bool {
    use nix::unistd::{AccessFlags, faccessat};
    faccessat(dir, ".", AccessFlags::W_OK, AtFlags::AT_EACCESS).is_ok()
}

fn not_empty(path: &Path) -> Error {
    Error::new("not empty:").on(path).hint(
        "a root is made in a directory that is not there yet, or has nothing in it; mkrootfs --rm DIR removes a tree",
    )
}
