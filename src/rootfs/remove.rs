//! Removing a tree below a descriptor: no link is followed, no mount is left or entered (CVE-2022-21658 and its kin).

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, renameat};
use nix::libc;
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::error::{Doing, Error, Result};
use crate::sys::directory;
use crate::sys::mount::{openat2, resolve};

/// How a directory of a tree of ours is opened: by one name, below the one before.
pub(super) const ONE_NAME: u64 =
    resolve::BENEATH | resolve::NO_SYMLINKS | resolve::NO_MAGICLINKS | resolve::NO_XDEV;

/// Deeper than this, directories are moved up to the start before they are emptied: each level holds a descriptor.
const DEEP: usize = 64;

/// Removes what stands under `name` in `dir`, whatever it is; what is not there is no error.
///
/// # Errors
/// Where something cannot be removed, above all because something is mounted there: `path` and what lies between name
/// it.
pub fn remove(dir: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<()> {
    match unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        // The second is what POSIX says, and some file systems.
        Err(Errno::EISDIR | Errno::EPERM) => {}
        Err(errno) => return Err(refused(path, errno)),
    }
    let mut removal = Removal {
        start: open(dir, name).map_err(|errno| refused(path, errno))?,
        moved: 0,
    };
    removal.empty(path)?;
    unlinkat(dir, name, UnlinkatFlags::RemoveDir).map_err(|errno| refused(path, errno))
}

/// Whether the directory has nothing in it.
///
/// # Errors
/// The kernel's answer.
pub fn is_empty(dir: BorrowedFd<'_>) -> Result<bool, Errno> {
    holds_only(dir, &|_| false)
}

/// Whether every name in the directory is one of these. It is only looked at, never changed.
///
/// # Errors
/// The kernel's answer.
pub fn holds_only(dir: BorrowedFd<'_>, these: &dyn Fn(&[u8]) -> bool) -> Result<bool, Errno> {
    let fd = openat2(dir, Path::new("."), LISTED, 0, ONE_NAME)?;
    let mut buffer = [0; 1024];
    loop {
        let part = directory::read(fd.as_fd(), &mut buffer)?;
        if part.is_empty() {
            return Ok(true);
        }
        if directory::names(part).any(|name| !is_dots(name) && !these(name)) {
            return Ok(false);
        }
    }
}

struct Removal {
    /// The directory that is being emptied: deep ones are moved here.
    start: OwnedFd,
    moved: u64,
}

struct Level {
    fd: OwnedFd,
    name: OsString,
}

impl Removal {
    fn empty(&mut self, path: &Path) -> Result<()> {
        let top = self
            .start
            .try_clone()
            .doing("cannot duplicate a descriptor")?;
        let mut levels = vec![Level {
            fd: top,
            name: OsString::new(),
        }];
        let mut buffer = vec![0; 16384];
        while let Some(level) = levels.last() {
            match self.files_of(level.fd.as_fd(), levels.len(), &mut buffer) {
                Ok(Some(next)) => levels.push(next),
                Ok(None) => {
                    let done = levels.pop();
                    if let (Some(done), Some(above)) = (done, levels.last()) {
                        unlinkat(&above.fd, done.name.as_os_str(), UnlinkatFlags::RemoveDir)
                            .map_err(|errno| refused(&shown(path, &levels, &done.name), errno))?;
                    }
                }
                Err((name, errno)) => return Err(refused(&shown(path, &levels, &name), errno)),
            }
        }
        Ok(())
    }

    /// Removes what is no directory; the first directory met is given back, opened. `None` when all are gone.
    fn files_of(
        &mut self,
        dir: BorrowedFd<'_>,
        depth: usize,
        buffer: &mut [u8],
    ) -> Result<Option<Level>, (OsString, Errno)> {
        // From its start again: what was removed since the last look does not disturb, what was left is met.
        nix::unistd::lseek(dir, 0, nix::unistd::Whence::SeekSet)
            .map_err(|errno| (OsString::new(), errno))?;
        loop {
            let part = directory::read(dir, buffer).map_err(|errno| (OsString::new(), errno))?;
            if part.is_empty() {
                return Ok(None);
            }
            for name in directory::names(part).filter(|name| !is_dots(name)) {
                let name = OsStr::from_bytes(name);
                let met = match unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
                    Ok(()) | Err(Errno::ENOENT) => None,
                    Err(Errno::EISDIR | Errno::EPERM) => self
                        .directory(dir, name, depth)
                        .map_err(|errno| (name.to_owned(), errno))?,
                    Err(errno) => return Err((name.to_owned(), errno)),
                };
                if met.is_some() {
                    return Ok(met);
                }
            }
        }
    }

    /// A directory: gone at once where it is empty, moved up where it lies too deep, opened otherwise.
    fn directory(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        depth: usize,
    ) -> Result<Option<Level>, Errno> {
        match unlinkat(dir, name, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => {}
            // unlinkat(2) says EPERM of a file that is immutable, and then this of it.
            Err(Errno::ENOTDIR) => return Err(Errno::EPERM),
            Err(errno) => return Err(errno),
        }
        if depth > DEEP {
            self.moved += 1;
            let to = OsString::from(format!(".moved-up-{}-{}", self.moved, std::process::id()));
            return renameat(dir, name, &self.start, to.as_os_str()).map(|()| None);
        }
        Ok(Some(Level {
            fd: open(dir, name)?,
            name: name.to_owned(),
        }))
    }
}

/// How a directory is opened whose names are wanted.
const LISTED: i32 = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;

/// Opens a directory that is going to be emptied, which is allowed to its owner first.
fn open(dir: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let open = || openat2(dir, Path::new(name), LISTED, 0, ONE_NAME);
    let fd = match open() {
        Err(Errno::EACCES) => {
            allow_owner(dir, name)?;
            open()?
        }
        other => other?,
    };
    // Listing is one thing, removing another: its owner may write in it from here on.
    if !nix::unistd::geteuid().is_root() {
        let _ = nix::sys::stat::fchmod(&fd, Mode::S_IRWXU);
    }
    Ok(fd)
}

fn allow_owner(dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    let stat = fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if stat.st_mode & libc::S_IFMT != libc::S_IFDIR {
        return Err(Errno::ENOTDIR);
    }
    fchmodat(dir, name, Mode::S_IRWXU, FchmodatFlags::NoFollowSymlink)
}

fn is_dots(name: &[u8]) -> bool {
    matches!(name, b"." | b"..")
}

fn shown(path: &Path, levels: &[Level], name: &OsStr) -> std::path::PathBuf {
    let mut shown = path.to_owned();
    shown.extend(levels.iter().skip(1).map(|level| &level.name));
    shown.push(name);
    shown
}

fn refused(path: &Path, errno: Errno) -> Error {
    let error = Error::new("cannot remove").on(path).errno_is(errno);
    match errno {
        Errno::EXDEV | Errno::EBUSY => error
            .hint("something is mounted there: what is mounted is not removed, unmount it first"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_tree_goes_and_what_its_links_lead_to_stays() {
        let base = std::env::temp_dir().join(format!("isobox-remove-{}", std::process::id()));
        let tree = base.join("tree");
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::create_dir_all(base.join("canary")).unwrap();
        fs::write(base.join("canary/file"), "sings").unwrap();
        fs::write(tree.join("a/b/file"), "").unwrap();
        symlink(base.join("canary"), tree.join("a/out")).unwrap();
        symlink("../../canary", tree.join("up")).unwrap();
        fs::set_permissions(tree.join("a/b"), fs::Permissions::from_mode(0o000)).unwrap();
        let mut deep = tree.join("deep");
        for _ in 0..200 {
            deep.push("d");
        }
        fs::create_dir_all(&deep).unwrap();
        let dir = fs::File::open(&base).unwrap();
        remove(dir.as_fd(), OsStr::new("tree"), &tree).unwrap();
        remove(dir.as_fd(), OsStr::new("tree"), &tree).unwrap();
        assert!(!tree.exists());
        assert_eq!(fs::read(base.join("canary/file")).unwrap(), b"sings");
        assert!(!is_empty(dir.as_fd()).unwrap());
        assert!(holds_only(dir.as_fd(), &|name| name == b"canary").unwrap());
        fs::remove_dir_all(&base).unwrap();
    }
}
