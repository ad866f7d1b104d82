//! The archive a kernel takes as its first root: cpio of the kind `newc`, as
//! Documentation/driver-api/early-userspace/buffer-format.rst of the kernel has it and GNU cpio writes it.
//!
//! Written as it comes, in one pass. Inode numbers are counted from one, no device is named, and no time is later than
//! the one given: the same tree gives the same bytes. Names that share one file (hard links) have its contents with
//! the first of them; the kernel and GNU cpio both join them to the others.
//!
//! Sizes and times are eight hexadecimal digits: a file of 4 GiB or more cannot be told, and is refused.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::libc;

use crate::error::{Doing, Error, Result};

/// Longer names are passed over by the kernel without a word (`do_header` in init/initramfs.c).
const MAX_NAME: usize = 4096;

/// What the header of an entry tells.
#[derive(Debug, Clone, Copy, Default)]
pub struct Head {
    /// Type and permissions, as in `st_mode`.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When it was changed, in seconds since 1970.
    pub modified: i64,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// What the names of one file have in common, and how many there are.
    pub shared: Option<((u64, u64), u32)>,
}

/// Writes an archive.
pub struct Writer<'a> {
    out: &'a mut dyn Write,
    latest: i64,
    inode: u32,
    /// Bytes written so far: everything starts at a multiple of four.
    written: u64,
    /// Files with several names: the inode that stands for each.
    shared: HashMap<(u64, u64), u32>,
}

impl<'a> Writer<'a> {
    /// An archive to `out`, in which no time is later than `latest`, if that is given.
    pub fn new(out: &'a mut dyn Write, latest: Option<i64>) -> Self {
        Self {
            out,
            latest: latest.unwrap_or(i64::MAX).clamp(0, u32::MAX.into()),
            inode: 0,
            written: 0,
            shared: HashMap::new(),
        }
    }

    /// Writes an entry without contents: a directory, a device, a fifo, or an empty file. `path` is relative to the root.
    ///
    /// # Errors
    /// That of the write; a name that is too long.
    pub fn node(&mut self, path: &Path, head: Head) -> Result<()> {
        self.entry(path, head, 0, &mut io::empty())
    }

    /// Writes a symbolic link.
    ///
    /// # Errors
    /// As [`Writer::node`].
    pub fn link(&mut self, path: &Path, head: Head, target: &[u8]) -> Result<()> {
        self.entry(path, head, target.len() as u64, &mut &target[..])
    }

    /// Writes a file of this size. Of a file with several names the contents are read once, with the first of them.
    ///
    /// # Errors
    /// As [`Writer::node`]; a file that is too large, or that became smaller while it was read.
    pub fn file(
        &mut self,
        path: &Path,
        head: Head,
        size: u64,
        contents: &mut dyn Read,
    ) -> Result<()> {
        let is_known = head
            .shared
            .is_some_and(|(file, _)| self.shared.contains_key(&file));
        if is_known {
            return self.node(path, head);
        }
        self.entry(path, head, size, contents)
    }

    /// Writes the end of the archive. Nothing is buffered here.
    ///
    /// # Errors
    /// That of the write.
    pub fn finish(mut self) -> Result<()> {
        let head = self.header(Path::new("TRAILER!!!"), Head::default(), 0, 1, 0)?;
        self.write(&head)?;
        self.pad(512)
    }

    fn entry(&mut self, path: &Path, head: Head, size: u64, contents: &mut dyn Read) -> Result<()> {
        let (inode, links) = self.numbers(head);
        let header = self.header(path, head, inode, links, size)?;
        self.write(&header)?;
        self.pad(4)?;
        let copied =
            io::copy(&mut contents.take(size), self.out).doing("cannot write the archive")?;
        self.written += copied;
        if copied != size {
            return Err(Error::new("cannot write to the archive")
                .on(Path::new("/").join(path))
                .because("it became smaller while it was read"));
        }
        self.pad(4)
    }

    fn numbers(&mut self, head: Head) -> (u32, u32) {
        let mut fresh = || {
            self.inode = self.inode.wrapping_add(1);
            self.inode
        };
        match head.shared {
            Some((file, links)) => (*self.shared.entry(file).or_insert_with(fresh), links),
            None if head.mode & libc::S_IFMT == libc::S_IFDIR => (fresh(), 2),
            None => (fresh(), 1),
        }
    }

    /// "070701", thirteen numbers of eight digits, the name and its NUL.
    fn header(
        &self,
        path: &Path,
        head: Head,
        inode: u32,
        links: u32,
        size: u64,
    ) -> Result<Vec<u8>> {
        let name = match path.as_os_str().as_bytes() {
            b"" => b".",
            name => name,
        };
        let refused = |why: &'static str| {
            Error::new("cannot be in a cpio archive:")
                .on(Path::new("/").join(path))
                .because(why)
        };
        if name.len() >= MAX_NAME {
            return Err(refused("its path is too long"));
        }
        let size = u32::try_from(size).map_err(|_| refused("it has 4 GiB or more"))?;
        let length = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        let modified = u32::try_from(head.modified.clamp(0, self.latest)).unwrap_or_default();
        let (major, minor) = head.device;
        let fields = [
            inode, head.mode, head.uid, head.gid, links, modified, size, 0, 0, major, minor,
            length, 0,
        ];
        let mut header = b"070701".to_vec();
        for field in fields {
            header.extend(
                (0..8)
                    .rev()
                    .map(|digit| b"0123456789ABCDEF"[(field >> (4 * digit)) as usize & 15]),
            );
        }
        header.extend(name);
        header.push(0);
        Ok(header)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes).doing("cannot write the archive")
    }

    fn pad(&mut self, to: u64) -> Result<()> {
        let missing = usize::try_from((to - self.written % to) % to).unwrap_or_default();
        self.write(&[0; 512][..missing])
    }
}
