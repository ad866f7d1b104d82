//! A layer by itself, in the form that overlayfs takes (Documentation/filesystems/overlayfs.rst): a deletion is a character
//! device 0:0, a directory that shows nothing of the layers below has the attribute `overlay.opaque`.
//!
//! A layer's archive may leave things to those below: directories that it does not name, links on the way to a member,
//! what a hard link leads to. These are looked up there and made here too, as the kernel would copy them up, so that the
//! overlay shows the same tree as applying the layers to one directory.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::libc;
use nix::sys::stat::{
    FileStat, Mode, SFlag, UtimensatFlags, fchmod, fstat, fstatat, mkdirat, mknodat, utimensat,
};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, symlinkat, unlinkat};

use super::apply::Applier;
use super::directories::{Directories, Times, refused};
use super::names::Clean;
use super::owner::is_allowed;
use super::remove::ONE_NAME;
use crate::error::{Doing, Result};
use crate::sys::mount::{openat2, resolve};
use crate::sys::xattr;
use crate::tar::Member;

/// Both names of the attribute: overlays of root look at the first, those of a user namespace at the second.
const OPAQUE: [&CStr; 2] = [c"trusted.overlay.opaque", c"user.overlay.opaque"];

/// The layers below, the topmost first.
pub struct Lower(pub Vec<OwnedFd>);

impl Lower {
    /// What an overlay of them has at this path, none of whose directories is a link.
    ///
    /// # Errors
    /// `ELOOP` where a link is on the way.
    pub(super) fn find(&self, path: &[u8]) -> Result<Option<OwnedFd>, Errno> {
        for layer in &self.0 {
            match below(layer.as_fd(), path, libc::O_PATH | libc::O_NOFOLLOW) {
                Ok(found) => return Ok((!is_whiteout(&fstat(&found)?)).then_some(found)),
                Err(Errno::ENOENT) if hides(layer.as_fd(), path)? => return Ok(None),
                Err(Errno::ENOENT) => {}
                Err(Errno::ENOTDIR) => return Ok(None),
                Err(errno) => return Err(errno),
            }
        }
        Ok(None)
    }
}

/// Whether a directory on the way to `path` lets nothing through of the layers below.
fn hides(layer: BorrowedFd<'_>, path: &[u8]) -> Result<bool, Errno> {
    let mut path = path;
    while let Some(slash) = path.iter().rposition(|b| *b == b'/') {
        path = path.get(..slash).unwrap_or_default();
        match below(layer, path, libc::O_RDONLY | libc::O_DIRECTORY) {
            Ok(dir) if is_opaque(dir.as_fd()) => return Ok(true),
            Ok(_) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(false)
}

fn below(layer: BorrowedFd<'_>, path: &[u8], flags: i32) -> Result<OwnedFd, Errno> {
    const WITHIN: u64 = resolve::BENEATH | resolve::NO_SYMLINKS | resolve::NO_MAGICLINKS;
    let within = match flags & libc::O_NOFOLLOW {
        0 => WITHIN,
        // The last name may be a link, which is what is asked for then.
        _ => resolve::BENEATH | resolve::NO_MAGICLINKS,
    };
    let path = Path::new(OsStr::from_bytes(path));
    if within == WITHIN {
        return openat2(layer, path, flags, 0, within);
    }
    let Some(name) = path.file_name() else {
        return openat2(layer, Path::new("."), flags, 0, WITHIN);
    };
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => {
            let dir = openat2(layer, dir, libc::O_PATH | libc::O_DIRECTORY, 0, WITHIN)?;
            openat2(dir.as_fd(), Path::new(name), flags, 0, within)
        }
        _ => openat2(layer, Path::new(name), flags, 0, within),
    }
}

/// Whether this stands for a deletion.
pub(super) fn is_whiteout(stat: &FileStat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFCHR && stat.st_rdev == 0
}

/// Whether a directory shows nothing of the layers below.
pub(super) fn is_opaque(dir: BorrowedFd<'_>) -> bool {
    let has = |name| xattr::get(dir, name).is_ok_and(|value| value == b"y");
    OPAQUE.into_iter().any(has)
}

fn make_opaque(dir: BorrowedFd<'_>) -> Result<(), Errno> {
    match xattr::set(dir, OPAQUE[0], b"y") {
        Err(Errno::EPERM) => {}
        other => other?,
    }
    xattr::set(dir, OPAQUE[1], b"y")
}

/// Gives a file or directory what another has: owner, mode, attributes, times. An owner that has no place here is left out.
fn make_like(to: BorrowedFd<'_>, from: BorrowedFd<'_>) -> Result<(), Errno> {
    let stat = fstat(from)?;
    give(to, &stat)?;
    fchmod(to, Mode::from_bits_truncate(stat.st_mode & 0o7777))?;
    let names = xattr::list(from).unwrap_or_default();
    for name in names.split_inclusive(|b| *b == 0) {
        if let Ok(name) = CStr::from_bytes_with_nul(name)
            && let Ok(value) = xattr::get(from, name)
            && is_allowed(name.to_bytes(), &value)
        {
            // Where the one layer could have it, so can the other.
            let _ = xattr::set(to, name, &value);
        }
    }
    Times::from(&stat).set(to)
}

/// Gives something to the owner of another, where that has a place here.
fn give(to: BorrowedFd<'_>, stat: &FileStat) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    match fchownat(to, "", Some(uid), Some(gid), AtFlags::AT_EMPTY_PATH) {
        Err(Errno::EPERM | Errno::EINVAL) => Ok(()),
        other => other,
    }
}

impl Directories {
    /// Makes the directory `name` in `here`, which is `path` of the tree: as the layers below have it, where they do.
    /// Whether it is new to the image.
    ///
    /// # Errors
    /// `ELOOP` where they have a link there, which now is here too.
    pub(super) fn make_missing(
        &self,
        here: BorrowedFd<'_>,
        name: &Path,
        path: &[u8],
    ) -> Result<bool, Errno> {
        let plain = || mkdirat(here, name, Mode::from_bits_truncate(0o755));
        let Some(lower) = &self.lower else {
            return plain().map(|()| true);
        };
        let Some(there) = lower.find(path)? else {
            return plain().map(|()| true);
        };
        let stat = fstat(&there)?;
        match stat.st_mode & libc::S_IFMT {
            libc::S_IFDIR => {
                plain()?;
                let flags = libc::O_RDONLY | libc::O_DIRECTORY;
                let new = openat2(here, name, flags, 0, ONE_NAME)?;
                let there = openat2(there.as_fd(), Path::new("."), flags, 0, ONE_NAME)?;
                make_like(new.as_fd(), there.as_fd())?;
                Ok(false)
            }
            libc::S_IFLNK => {
                symlinkat(&*readlinkat(&there, "")?, here, name)?;
                let link = openat2(
                    here,
                    name,
                    libc::O_PATH | libc::O_NOFOLLOW,
                    0,
                    resolve::BENEATH,
                )?;
                give(link.as_fd(), &stat)?;
                let Times { atime, mtime } = Times::from(&stat);
                utimensat(here, name, &atime, &mtime, UtimensatFlags::NoFollowSymlink)?;
                Err(Errno::ELOOP)
            }
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// Takes the deletion away that stands under `name`, for a directory that is to be there instead.
    pub(super) fn uncover(&mut self, name: &Path) -> Result<bool, Errno> {
        if self.lower.is_none() {
            return Ok(false);
        }
        let here = self.change()?;
        if !is_whiteout(&fstatat(&here.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)?) {
            return Ok(false);
        }
        unlinkat(&here.fd, name, UnlinkatFlags::NoRemoveDir)?;
        mkdirat(&here.fd, name, Mode::from_bits_truncate(0o755))?;
        let new = openat2(
            here.fd.as_fd(),
            name,
            libc::O_RDONLY | libc::O_DIRECTORY,
            0,
            ONE_NAME,
        )?;
        make_opaque(new.as_fd())?;
        Ok(true)
    }

    /// The directory that was entered stands where something else stood: nothing of the layers below is to be seen in it.
    pub(super) fn cover(&mut self) -> Result<(), Errno> {
        match self.lower {
            Some(_) => make_opaque(self.here()?.fd.as_fd()),
            None => Ok(()),
        }
    }
}

impl Applier {
    /// Marks what a deletion hides: `None` for all of its directory.
    pub(super) fn mark_deletion(
        &mut self,
        path: &Clean,
        hidden: Option<&[u8]>,
        times: Times,
    ) -> Result<()> {
        let found = self.dirs.lower.as_ref().map(|lower| lower.find(path.dir()));
        // What is not there need not be hidden.
        let make = (!matches!(found, Some(Ok(None)))).then_some(times);
        match self.dirs.enter(path.dir(), make) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
            entered => entered.map_err(|errno| refused(&path.all, errno))?,
        }
        self.mark_hidden(hidden)
            .doing_to("cannot mark the deletion", OsStr::from_bytes(&path.all))
    }

    fn mark_hidden(&mut self, hidden: Option<&[u8]>) -> Result<(), Errno> {
        let Some(name) = hidden else {
            return self.dirs.cover();
        };
        let here = self.dirs.change()?;
        let name = Path::new(OsStr::from_bytes(name));
        match fstatat(&here.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => mknodat(&here.fd, name, SFlag::S_IFCHR, Mode::empty(), 0),
            Ok(stat) if stat.st_mode & libc::S_IFMT == libc::S_IFDIR => {
                let flags = libc::O_RDONLY | libc::O_DIRECTORY;
                make_opaque(openat2(here.fd.as_fd(), name, flags, 0, ONE_NAME)?.as_fd())
            }
            // What this layer has put there hides what is below it.
            other => other.map(drop),
        }
    }

    /// Brings the file here that a hard link leads to, where only a layer below has it.
    pub(super) fn bring_up(&mut self, target: &Clean, member: &Member) -> Result<()> {
        let Some(lower) = self.dirs.lower.as_ref().filter(|lower| !lower.0.is_empty()) else {
            return Ok(());
        };
        let name = OsStr::from_bytes(target.name());
        let stands = |dir: OwnedFd| fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok();
        if self.dirs.look_up(target.dir()).is_ok_and(stands) {
            return Ok(());
        }
        // Links are followed when the directory is made here.
        let Ok(Some(there)) = lower.find(&target.all) else {
            return Ok(());
        };
        let is_file = fstat(&there).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFREG);
        if !is_file {
            return Ok(());
        }
        let from = self
            .dirs
            .lower
            .as_ref()
            .and_then(|lower| lower.open(&target.all));
        let (Some(from), times) = (from, super::apply::times_of(member)) else {
            return Ok(());
        };
        let copied = self.dirs.enter(target.dir(), Some(times)).and_then(|()| {
            let here = self.dirs.change()?;
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
            let mut to = File::from(openat(&here.fd, name, flags, Mode::S_IRUSR)?);
            let mut from = File::from(from);
            io::copy(&mut from, &mut to)
                .map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)))?;
            make_like(to.as_fd(), from.as_fd())
        });
        copied.doing_to(
            "cannot copy from a lower layer",
            OsStr::from_bytes(&target.all),
        )
    }
}

impl Lower {
    /// Opens a file that [`Lower::find`] has found.
    fn open(&self, path: &[u8]) -> Option<OwnedFd> {
        let open = |layer: &OwnedFd| below(layer.as_fd(), path, libc::O_RDONLY).ok();
        self.0.iter().find_map(open)
    }
}
