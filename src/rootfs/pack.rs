//! A tree as a tar: what `docker import` takes, and any tar unpacks. Names in the order of their bytes, so that the same
//! tree always gives the same archive.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::libc;
use nix::sys::stat::{FileStat, fstat, major, minor};

use super::overlay::{is_opaque, is_whiteout};
use super::owner::is_allowed;
use super::walk::{Found, walk};
use crate::error::{Doing, Error, Result};
use crate::order;
use crate::sys::xattr;
use crate::tar::{Kind, Member, Time, Writer};

const WRITING: &str = "cannot write the archive";
/// How much is copied at once.
const PIECE: usize = 256 * 1024;

/// Writes all below `root`, and itself. Gives the number of sockets, which no archive can hold.
///
/// # Errors
/// Where something cannot be read or written.
pub fn pack(root: BorrowedFd<'_>, out: &mut dyn Write) -> Result<u64> {
    Packing::new(out).all(root)
}

/// Writes what an overlay has written, as a layer of an image: what stands for a deletion there becomes the mark of one.
///
/// # Errors
/// As [`pack`].
pub fn pack_layer(upper: BorrowedFd<'_>, out: &mut dyn Write) -> Result<u64> {
    let mut packing = Packing::new(out);
    packing.is_layer = true;
    packing.all(upper)
}

/// Writes what stands under `name` in `dir` with all below it, and calls it so. With `owner` all of it is his.
///
/// # Errors
/// As [`pack`].
pub fn pack_one(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    owner: Option<(u32, u32)>,
    out: &mut dyn Write,
) -> Result<u64> {
    let found = Found::at(dir, name).doing_to("cannot look at", name)?;
    let mut packing = Packing::new(out);
    packing.owner = owner;
    let top = Path::new(name).file_name().unwrap_or(OsStr::new("."));
    packing.place(Path::new(top), &found)?;
    if found.is(libc::S_IFDIR) {
        let below = found.open_directory().doing_to("cannot open", name)?;
        walk(below.as_fd(), &mut |path, found| {
            packing.place(&Path::new(top).join(path), found)
        })?;
    }
    packing.finish()
}

struct Packing<'o> {
    tar: Writer<&'o mut dyn Write>,
    /// Files with several names, by device and inode, and the first name.
    names: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
    sockets: u64,
    /// Whether it is a layer that an overlay has written.
    is_layer: bool,
    /// Whose everything is, if not its owner's.
    owner: Option<(u32, u32)>,
}

impl<'o> Packing<'o> {
    fn new(out: &'o mut dyn Write) -> Self {
        Self {
            tar: Writer::new(out),
            names: HashMap::new(),
            buffer: vec![0; PIECE],
            sockets: 0,
            is_layer: false,
            owner: None,
        }
    }

    fn all(mut self, root: BorrowedFd<'_>) -> Result<u64> {
        let stat = fstat(root).doing("cannot look at the root")?;
        let mut top = member(b"./".to_vec(), Kind::Directory, &stat);
        top.xattrs = attributes(root, is_allowed);
        self.tar.start(&top).doing(WRITING)?;
        walk(root, &mut |path, found| self.place(path, found))?;
        self.finish()
    }

    fn finish(self) -> Result<u64> {
        self.tar.finish().doing(WRITING)?;
        Ok(self.sockets)
    }

    /// The mark of a deletion: of `name` in the directory `dir`.
    fn mark(&mut self, dir: &Path, name: &[u8]) -> Result<()> {
        let mark = [b".wh.", name].concat();
        let path = dir.join(OsStr::from_bytes(&mark));
        self.tar
            .file(path.as_os_str().as_bytes(), b"")
            .doing(WRITING)
    }

    fn place(&mut self, path: &Path, found: &Found<'_>) -> Result<()> {
        let mut name = path.as_os_str().as_bytes().to_vec();
        let stat = &found.stat;
        let kind = match stat.st_mode & libc::S_IFMT {
            libc::S_IFDIR => {
                name.push(b'/');
                Kind::Directory
            }
            libc::S_IFREG => Kind::File,
            libc::S_IFLNK => Kind::Symlink,
            libc::S_IFCHR if self.is_layer && is_whiteout(stat) => {
                let dir = path.parent().unwrap_or(Path::new(""));
                return self.mark(dir, path.file_name().unwrap_or_default().as_bytes());
            }
            libc::S_IFCHR => Kind::Character,
            libc::S_IFBLK => Kind::Block,
            libc::S_IFIFO => Kind::Fifo,
            _ => {
                self.sockets += 1;
                return Ok(());
            }
        };
        let mut member = member(name, kind, stat);
        if let Some((uid, gid)) = self.owner {
            (member.uid, member.gid) = (uid, gid);
        }
        if kind != Kind::Directory && stat.st_nlink > 1 {
            let first = self.names.entry((stat.st_dev, stat.st_ino));
            match first {
                std::collections::hash_map::Entry::Occupied(first) => {
                    member.kind = Kind::HardLink;
                    member.size = 0;
                    member.link.clone_from(first.get());
                    return self.tar.start(&member).doing(WRITING);
                }
                std::collections::hash_map::Entry::Vacant(empty) => {
                    empty.insert(member.path.clone());
                }
            }
        }
        match kind {
            Kind::File => return self.file(path, found, member),
            Kind::Symlink => {
                member.link = found.read_link().doing_to("cannot read", path)?.into_vec();
            }
            Kind::Directory => {
                let dir = found.open_directory().doing_to("cannot open", path)?;
                member.xattrs = attributes(dir.as_fd(), is_allowed);
                if self.is_layer && is_opaque(dir.as_fd()) {
                    self.tar.start(&member).doing(WRITING)?;
                    return self.mark(path, b".wh..opq");
                }
            }
            _ => {}
        }
        self.tar.start(&member).doing(WRITING)
    }

    fn file(&mut self, path: &Path, found: &Found<'_>, mut member: Member) -> Result<()> {
        let mut file: File = found.open().doing_to("cannot open", path)?;
        member.xattrs = attributes(file.as_fd(), is_allowed);
        self.tar.start(&member).doing(WRITING)?;
        let mut left = member.size;
        while left > 0 {
            let want = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
            let buffer = self.buffer.get_mut(..want).unwrap_or_default();
            let count = match file.read(buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other.doing_to("cannot read", path)?,
            };
            if count == 0 {
                return Err(Error::new("a file got shorter while it was read:").on(path));
            }
            let data = buffer.get(..count).unwrap_or_default();
            self.tar.write_all(data).doing(WRITING)?;
            left -= count as u64;
        }
        Ok(())
    }
}

fn member(path: Vec<u8>, kind: Kind, stat: &FileStat) -> Member {
    let device = match kind {
        Kind::Character | Kind::Block => (major(stat.st_rdev), minor(stat.st_rdev)),
        _ => (0, 0),
    };
    let number = |number: u64| u32::try_from(number).unwrap_or(0);
    Member {
        path,
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: match kind {
            Kind::File => u64::try_from(stat.st_size).unwrap_or(0),
            _ => 0,
        },
        mtime: Time {
            seconds: stat.st_mtime,
            nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        },
        device: (number(device.0), number(device.1)),
        ..Member::default()
    }
}

/// The attributes of a file that are wanted, names and values, in the order of their names.
pub(super) fn attributes(
    fd: BorrowedFd<'_>,
    is_wanted: fn(&[u8], &[u8]) -> bool,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let names = xattr::list(fd).unwrap_or_default();
    let names = names.split_inclusive(|b| *b == 0);
    let mut all: Vec<_> = names
        .filter_map(|name| {
            let name = CStr::from_bytes_with_nul(name).ok()?;
            let value = xattr::get(fd, name).ok()?;
            is_wanted(name.to_bytes(), &value).then(|| (name.to_bytes().to_vec(), value))
        })
        .collect();
    order::sort(&mut all);
    all
}
