//! Where the parts of a stored image lie: a directory, or a tar that can be read from anywhere. Their names are fixed by
//! the format, or are digests; what an archive of docker names itself is looked up among its members, never on the host.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::libc;
use nix::sys::stat::fstat;

use crate::error::{Doing, Error, Result};
use crate::sys::mount::{openat2, resolve};
use crate::tar::{Bytes, Kind, Member, Reader};

/// The most members of an archive of images.
const MEMBERS: usize = 100_000;
/// As many links in a row as an archive may have.
const LINKS: usize = 40;

/// A file, and how long it is.
pub(super) type Opened = (u64, Box<dyn Read + Send>);

/// Files by name.
pub(super) trait Files: Sync {
    /// Opens a file; `None` where there is none.
    fn open(&self, path: &str) -> Result<Option<Opened>>;

    /// Reads all of a small file; `None` where there is none.
    fn document(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some((size, file)) = self.open(path)? else {
            return Ok(None);
        };
        if size > limit {
            return Err(Error::new("too large:").on(path));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        file.take(limit)
            .read_to_end(&mut bytes)
            .doing_to("cannot read", path)?;
        Ok(Some(bytes))
    }
}

/// A directory. No link in it is followed, and nothing but files is read.
pub(super) struct Directory(pub(super) OwnedFd);

impl Files for Directory {
    fn open(&self, path: &str) -> Result<Option<Opened>> {
        const BELOW: u64 = resolve::BENEATH | resolve::NO_SYMLINKS | resolve::NO_MAGICLINKS;
        let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOFOLLOW;
        let fd = match openat2(self.0.as_fd(), Path::new(path), flags, 0, BELOW) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            Err(Errno::ELOOP) => {
                return Err(Error::new("a symbolic link in the layout:").on(path));
            }
            other => other.doing_to("cannot open", path)?,
        };
        let stat = fstat(&fd).doing_to("cannot look at", path)?;
        if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
            return Err(Error::new("not a file:").on(path));
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        Ok(Some((size, Box::new(File::from(fd)))))
    }
}

/// Members of a tar that can be read from anywhere.
pub(super) struct Indexed {
    file: Arc<File>,
    /// Where a member starts, and how long it is.
    members: BTreeMap<Vec<u8>, (u64, u64)>,
    /// Members that are links to others: docker saves a layer that it has saved before so.
    links: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Indexed {
    /// Nothing yet, in this file.
    pub(super) fn new(file: File) -> Self {
        Self {
            file: Arc::new(file),
            members: BTreeMap::new(),
            links: BTreeMap::new(),
        }
    }

    /// All members of the tar that starts at `start` of the file.
    pub(super) fn of_tar(file: File, start: u64) -> Result<Self> {
        let at = Arc::new(AtomicU64::new(start));
        let mut buffered = BufReader::with_capacity(4096, file.try_clone().doing(READING)?);
        buffered.seek(SeekFrom::Start(start)).doing(READING)?;
        let length = file.metadata().doing(READING)?.len();
        let positioned = Positioned {
            inner: buffered,
            at: Arc::clone(&at),
        };
        let mut all = Self::new(file);
        let (mut reader, mut member) = (Reader::new(positioned), Member::default());
        while reader.next(&mut member)? {
            let offset = at.load(Ordering::Relaxed);
            if offset.saturating_add(reader.left()) > length {
                return Err(Error::new("the tar archive is cut short"));
            }
            all.add(&member, offset, reader.left())?;
        }
        Ok(all)
    }

    /// Says where a member is.
    pub(super) fn add(&mut self, member: &Member, offset: u64, size: u64) -> Result<()> {
        if self.members.len() + self.links.len() >= MEMBERS {
            return Err(Error::new("too many members for an archive of images"));
        }
        let path = clean(&member.path);
        match member.kind {
            Kind::File if member.pieces.is_none() => {
                self.members.insert(path, (offset, size));
            }
            Kind::Symlink => {
                let dir = path.iter().rposition(|b| *b == b'/').unwrap_or(0);
                let dir = path.get(..dir).unwrap_or_default();
                let target = resolve_link(dir, &member.link);
                self.links.insert(path, target);
            }
            Kind::HardLink => {
                self.links.insert(path, clean(&member.link));
            }
            _ => {}
        }
        Ok(())
    }

    /// The file that the members are in.
    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

impl Files for Indexed {
    fn open(&self, path: &str) -> Result<Option<Opened>> {
        let mut path = clean(path.as_bytes());
        for _ in 0..LINKS {
            if let Some((offset, size)) = self.members.get(&path) {
                let part = Part {
                    file: Arc::clone(&self.file),
                    at: *offset,
                    left: *size,
                };
                return Ok(Some((*size, Box::new(part))));
            }
            match self.links.get(&path) {
                Some(target) => path.clone_from(target),
                None => return Ok(None),
            }
        }
        Err(Error::new("links lead round in a circle:").on(OsStr::from_bytes(&path)))
    }
}

const READING: &str = "cannot read the archive";

/// A name without what means nothing.
pub(super) fn clean(path: &[u8]) -> Vec<u8> {
    resolve_link(b"", path)
}

/// Where a link in directory `dir` of the archive leads.
fn resolve_link(dir: &[u8], target: &[u8]) -> Vec<u8> {
    let mut names: Vec<&[u8]> = Vec::new();
    let dir = if target.starts_with(b"/") { b"" } else { dir };
    for name in dir
        .split(|b| *b == b'/')
        .chain(target.split(|b| *b == b'/'))
    {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join(&b'/')
}

/// A part of a file, read without moving anybody's offset.
struct Part {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = match buffer.get_mut(..want) {
            Some(buffer) => self.file.read_at(buffer, self.at)?,
            None => 0,
        };
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// A file that knows where it is read, and leaves out by moving on.
struct Positioned {
    inner: BufReader<File>,
    at: Arc<AtomicU64>,
}

impl Read for Positioned {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.at.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl BufRead for Positioned {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
        self.at.fetch_add(count as u64, Ordering::Relaxed);
    }
}

impl Bytes for Positioned {
    fn leave_out(&mut self, count: u64) -> io::Result<()> {
        let offset = i64::try_from(count).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        self.inner.seek_relative(offset)?;
        self.at.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_in_the_archive() {
        let cases = [
            ("a", "../b/layer.tar", "b/layer.tar"),
            ("a", "/b", "b"),
            ("", "../../etc/passwd", "etc/passwd"),
            ("a/b", ".//c/", "a/b/c"),
        ];
        for (dir, target, want) in cases {
            let got = resolve_link(dir.as_bytes(), target.as_bytes());
            assert_eq!(got, want.as_bytes(), "{dir} {target}");
        }
    }
}
