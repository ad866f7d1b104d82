//! A tree as an initramfs: what stands in it, and what a kernel needs besides to start from it.
//!
//! The kernel opens `/dev/console` before anything runs, then runs `/init`. Both have to be in the archive, whatever
//! the image has; so are the other devices that programs take for granted, for a tree that was made by somebody who
//! may make none.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::libc;
use nix::sys::stat::{major, minor};

use super::cpio::{Head, Writer};
use super::host::Host;
use super::init_file;
use super::plant::{Contents, open, own_file};
use super::skeleton::DEVICES;
use super::tree::{Kind, Tree};
use super::walk::{Found, walk};
use crate::error::{Doing, Error, Result};

/// What an archive says beyond the tree.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// No time is later than this, in seconds since 1970.
    pub latest: Option<i64>,
    /// Whose files are user 0's and group 0's in the archive, beside their own: those of the user who made the tree.
    pub owner: Option<(u32, u32)>,
    /// What is to be `/init`, where the tree has none.
    pub init: Option<Init<'a>>,
}

/// A first process of ours for a tree that has none.
#[derive(Debug, Clone, Copy)]
pub struct Init<'a> {
    /// Our own binary, which becomes a file of the archive.
    pub own: &'a OwnedFd,
    /// What it runs; a shell where this is empty.
    pub command: &'a [OsString],
}

/// Where our own binary stands in a tree of others: out of the way of all that is theirs.
const OWN_DIRECTORY: &str = ".isobox";
const OWN_BINARY: &str = ".isobox/rdinit";

/// What came of it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// How many sockets were left out: an archive has no word for them.
    pub sockets: usize,
}

/// Writes the tree below `root` as an initramfs.
///
/// # Errors
/// What cannot be read, and what cannot be told in a cpio archive, with its path.
pub fn write_directory(
    root: BorrowedFd<'_>,
    out: &mut dyn Write,
    options: Options<'_>,
) -> Result<Told> {
    let mut archive = Archive::new(out, options);
    let mut told = Told::default();
    walk(root, &mut |path, found| {
        if found.is(libc::S_IFSOCK) {
            told.sockets += 1;
            return Ok(());
        }
        archive.found(path, found)
    })?;
    archive.finish()?;
    Ok(told)
}

/// Writes a tree that is data as an initramfs.
///
/// # Errors
/// As [`write_directory`].
pub fn write_tree(
    tree: &Tree,
    host: Host<'_>,
    out: &mut dyn Write,
    options: Options<'_>,
) -> Result<()> {
    let mut archive = Archive::new(out, options);
    for (path, node) in tree.nodes() {
        let mut head = Head {
            mode: node.mode,
            modified: options.latest.unwrap_or_default(),
            ..Head::default()
        };
        match &node.kind {
            Kind::Directory => archive.node(path, libc::S_IFDIR, head)?,
            Kind::Device(major, minor) => {
                head.device = (*major, *minor);
                archive.node(path, libc::S_IFCHR, head)?;
            }
            Kind::Link(target) => archive.link(path, head, target.as_bytes())?,
            Kind::File(source) => match open(host, source)? {
                Contents::Bytes(bytes) => {
                    archive.file(path, head, bytes.len() as u64, &mut &*bytes)?;
                }
                Contents::File(mut file) => {
                    let shown = Path::new("/").join(path);
                    let stat = nix::sys::stat::fstat(&file).doing_to("cannot look at", shown)?;
                    head.modified = stat.st_mtime;
                    archive.file(path, head, stat.st_size.unsigned_abs(), &mut file)?;
                }
            },
        }
    }
    archive.finish()
}

struct Archive<'a> {
    to: Writer<'a>,
    options: Options<'a>,
    /// Which of the places that have to be there were.
    seen: HashSet<&'static str>,
}

impl<'a> Archive<'a> {
    fn new(out: &'a mut dyn Write, options: Options<'a>) -> Self {
        Self {
            to: Writer::new(out, options.latest),
            options,
            seen: HashSet::new(),
        }
    }

    fn found(&mut self, path: &Path, found: &Found<'_>) -> Result<()> {
        let shown = || Path::new("/").join(path);
        let stat = &found.stat;
        let own = |id: u32, owner: Option<u32>| if Some(id) == owner { 0 } else { id };
        let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let head = Head {
            mode: stat.st_mode & 0o7777,
            uid: own(stat.st_uid, self.options.owner.map(|owner| owner.0)),
            gid: own(stat.st_gid, self.options.owner.map(|owner| owner.1)),
            modified: stat.st_mtime,
            device: (number(major(stat.st_rdev)), number(minor(stat.st_rdev))),
            shared: (stat.st_nlink > 1).then(|| {
                (
                    (stat.st_dev, stat.st_ino),
                    u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
                )
            }),
        };
        match stat.st_mode & libc::S_IFMT {
            libc::S_IFDIR => {
                let head = Head {
                    shared: None,
                    ..head
                };
                self.node(path, libc::S_IFDIR, head)
            }
            libc::S_IFLNK => {
                let target = found.read_link().doing_to("cannot read", shown())?;
                self.link(path, head, target.as_bytes())
            }
            libc::S_IFREG => {
                let mut file = found.open().doing_to("cannot open", shown())?;
                self.file(path, head, stat.st_size.unsigned_abs(), &mut file)
            }
            kind => self.node(path, kind, head),
        }
    }

    fn node(&mut self, path: &Path, kind: u32, head: Head) -> Result<()> {
        let device = DEVICES.iter().find(|device| path == Path::new(device.0));
        if let Some((name, _, numbers)) = device {
            // What stands in the place of a device and is another thing is replaced by it in the end.
            if kind != libc::S_IFCHR || head.device != *numbers {
                return Ok(());
            }
            self.seen.insert(name);
        }
        if path == Path::new("dev") {
            self.seen.insert("dev");
        }
        let head = Head {
            mode: head.mode | kind,
            ..head
        };
        self.to.node(path, head)
    }

    fn link(&mut self, path: &Path, head: Head, target: &[u8]) -> Result<()> {
        if path == Path::new("dev") {
            return Err(Error::new(
                "not an initramfs: /dev has to be a directory in it",
            ));
        }
        if is_device(path) {
            return Ok(());
        }
        self.init_is_there(path);
        let head = Head {
            mode: libc::S_IFLNK | 0o777,
            ..head
        };
        self.to.link(path, head, target)
    }

    fn file(&mut self, path: &Path, head: Head, size: u64, contents: &mut dyn Read) -> Result<()> {
        if is_device(path) {
            return Ok(());
        }
        self.init_is_there(path);
        let head = Head {
            mode: head.mode | libc::S_IFREG,
            ..head
        };
        self.to.file(path, head, size, contents)
    }

    fn init_is_there(&mut self, path: &Path) {
        if path == Path::new("init") {
            self.seen.insert("init");
        }
    }

    fn add_init(&mut self, init: Init<'_>, plain: Head) -> Result<()> {
        let program = Head {
            mode: 0o755,
            ..plain
        };
        let mut own = own_file(init.own)?;
        let size = own.metadata().doing("cannot look at our own binary")?.len();
        self.node(Path::new(OWN_DIRECTORY), libc::S_IFDIR, program)?;
        self.file(Path::new(OWN_BINARY), program, size, &mut own)?;
        let text = init_file::text(&format!("/{OWN_BINARY}"), init.command);
        self.file(
            Path::new("init"),
            program,
            text.len() as u64,
            &mut text.as_slice(),
        )
    }

    /// Adds what has to be there and was not.
    fn finish(mut self) -> Result<()> {
        let plain = Head {
            modified: self.options.latest.unwrap_or_default(),
            ..Head::default()
        };
        if !self.seen.contains("dev") {
            let head = Head {
                mode: 0o755,
                ..plain
            };
            self.node(Path::new("dev"), libc::S_IFDIR, head)?;
        }
        for (path, mode, device) in DEVICES {
            if !self.seen.contains(path) {
                let head = Head {
                    mode,
                    device,
                    ..plain
                };
                self.node(Path::new(path), libc::S_IFCHR, head)?;
            }
        }
        if let Some(init) = self.options.init.filter(|_| !self.seen.contains("init")) {
            self.add_init(init, plain)?;
        }
        self.to.finish()
    }
}

fn is_device(path: &Path) -> bool {
    DEVICES.iter().any(|device| path == Path::new(device.0))
}
