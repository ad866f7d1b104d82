//! Deletions (image-spec, layer.md, "Whiteouts"): `.wh.NAME` hides NAME of the layers below, `.wh..wh..opq` all that
//! they have in its directory. Neither touches what its own layer brings, whichever comes first in the archive.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::libc;
use nix::sys::stat::fstatat;

use super::apply::{Applier, bad, times_of};
use super::directories::{Mark, Times, refused};
use super::names::Clean;
use super::remove::{self, ONE_NAME};
use super::report::Reason;
use crate::error::{Doing, Result};
use crate::sys::directory;
use crate::sys::mount::openat2;
use crate::tar::{Kind, Member};

/// What all names of deletions start with.
const PREFIX: &[u8] = b".wh.";
/// The name that hides all of a directory.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Directories and files of aufs, from which docker once made layers.
const AUFS: [&[u8]; 3] = [b".wh..wh.aufs", b".wh..wh.plnk", b".wh..wh.orph"];

impl Applier {
    /// Does what a member says that is a deletion, or belongs to one; `false` where it is an ordinary member.
    pub(super) fn deletes(&mut self, path: &Clean, member: &Member) -> Result<bool> {
        if self.is_merge {
            return Ok(false);
        }
        let mut names = path.all.split(|b| *b == b'/');
        let Some(first) = names.find(|name| name.starts_with(PREFIX)) else {
            return Ok(false);
        };
        if AUFS.contains(&first) {
            self.report.count(Reason::Bookkeeping, &path.all);
            return Ok(true);
        }
        if names.next().is_some() {
            return Err(bad(member, "it lies in what is the mark of a deletion"));
        }
        let hidden = match path.name() {
            OPAQUE => None,
            name => name.strip_prefix(PREFIX),
        };
        if member.kind != Kind::File || member.size != 0 {
            return Err(bad(member, "the mark of a deletion is no empty file"));
        }
        if hidden.is_some_and(|name| matches!(name, b"" | b"." | b"..") || name.starts_with(PREFIX))
        {
            return Err(bad(member, "a deletion of what can have no such name"));
        }
        if self
            .dirs
            .lower
            .as_ref()
            .is_some_and(|lower| !lower.0.is_empty())
        {
            self.mark_deletion(path, hidden, times_of(member))?;
            return Ok(true);
        }
        if !self.has_lower {
            self.report.count(Reason::Deletion, &path.all);
            return Ok(true);
        }
        match self.dirs.enter(path.dir(), None) {
            // What is not there need not be hidden.
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(true),
            entered => entered.map_err(|errno| refused(&path.all, errno))?,
        }
        match hidden {
            None => self.hide_all(path.dir()),
            Some(name) => self.hide(path.dir(), name),
        }?;
        Ok(true)
    }

    /// Hides what lower layers have under this name in the directory that was entered.
    fn hide(&mut self, dir: &[u8], name: &[u8]) -> Result<()> {
        let path = join(dir, name);
        let level = self.dirs.change().doing("cannot look at a directory")?;
        if level.is_new {
            return Ok(());
        }
        if self.dirs.is_marked(Mark::Touched, &path) {
            return self.hide_rest(name, &path);
        }
        let level = self.dirs.here().doing("cannot look at a directory")?;
        remove::remove(level.fd.as_fd(), OsStr::from_bytes(name), shown(&path))?;
        self.dirs.distrust();
        self.forget_link();
        Ok(())
    }

    /// This layer has put something there itself: only what is below it may be of others.
    fn hide_rest(&mut self, name: &[u8], path: &[u8]) -> Result<()> {
        let level = self.dirs.here().doing("cannot look at a directory")?;
        let name = OsStr::from_bytes(name);
        let is_directory = fstatat(&level.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFDIR);
        if !is_directory {
            return Ok(());
        }
        let fd = open(&level.fd, name).doing_to("cannot open", shown(path))?;
        if self.dirs.is_marked(Mark::New, path) {
            return Ok(());
        }
        let before = Times::of(&fd).doing_to("cannot look at", shown(path))?;
        self.prune(&fd, path)?;
        before
            .set(&fd)
            .doing_to("cannot set the times of", shown(path))
    }

    /// Hides all that lower layers have in the directory that was entered.
    fn hide_all(&mut self, path: &[u8]) -> Result<()> {
        let level = self.dirs.change().doing("cannot look at a directory")?;
        if level.is_new {
            return Ok(());
        }
        let fd = level
            .fd
            .try_clone()
            .doing("cannot duplicate a descriptor")?;
        // Said a thousand times it means the same, and costs nothing (CVE-2026-95838).
        if self.dirs.mark(Mark::Opaque, path) {
            self.prune(&fd, path)?;
        }
        Ok(())
    }

    /// Removes what this layer has not touched.
    fn prune(&mut self, dir: &OwnedFd, path: &[u8]) -> Result<()> {
        self.dirs.distrust();
        self.forget_link();
        for name in names(dir).doing_to("cannot read", shown(path))? {
            let below = join(path, &name);
            let name = OsStr::from_bytes(&name);
            if !self.dirs.is_marked(Mark::Touched, &below) {
                remove::remove(dir.as_fd(), name, shown(&below))?;
                continue;
            }
            if self.dirs.is_marked(Mark::New, &below) {
                continue;
            }
            match open(dir, name) {
                Ok(fd) => {
                    let before = Times::of(&fd).doing_to("cannot look at", shown(&below))?;
                    self.prune(&fd, &below)?;
                    before
                        .set(&fd)
                        .doing_to("cannot set the times of", shown(&below))?;
                }
                // No directory: a file of this layer.
                Err(Errno::ENOTDIR | Errno::ELOOP) => {}
                Err(errno) => return Err(errno).doing_to("cannot open", shown(&below)),
            }
        }
        Ok(())
    }
}

fn open(dir: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    openat2(dir.as_fd(), Path::new(name), flags, 0, ONE_NAME)
}

/// The names in a directory.
fn names(dir: &OwnedFd) -> Result<Vec<Vec<u8>>, Errno> {
    let fd = open(dir, OsStr::new("."))?;
    let names = directory::list(fd.as_fd())?;
    Ok(names.into_iter().map(OsString::into_vec).collect())
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    match dir {
        b"" => name.to_vec(),
        dir => [dir, b"/", name].concat(),
    }
}

fn shown(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
}
