//! Tar archives as data: reading one from start to end, and writing one (ustar and pax of POSIX.1-2017 "pax",
//! GNU's extensions of tar(5)). `image` reads archives of images with it, `rootfs` makes trees of what it gives.
//!
//! An image's layers were chosen by somebody else, and two programs that read the same archive differently are a way
//! to hide something from one of them. So where GNU tar, Go's archive/tar and Python's tarfile would not give the same
//! members, or one of them would have to guess, the archive is refused. Nothing is resolved or cleaned here: names are
//! the bytes of the archive.

mod header;
mod pax;
mod read;
mod sparse;
mod write;

pub use header::{BLOCK, Block, padding};
pub use read::{Bytes, Reader};
pub use write::Writer;

use crate::error::Error;

/// What a member is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    /// A file with data, possibly sparse.
    #[default]
    File,
    /// Another name of a member before it, or of a lower layer.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// A point in time: seconds since 1970, and nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Time {
    /// Seconds, negative before 1970.
    pub seconds: i64,
    /// Nanoseconds, below 1,000,000,000.
    pub nanos: u32,
}

/// A piece of a sparse file that has data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where it starts in the file.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// One member. A reader fills the same one again and again, so that its buffers are allocated once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// The name, byte for byte.
    pub path: Vec<u8>,
    /// Where a link leads.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, at most 0o7777.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The size of the file that results, holes included.
    pub size: u64,
    /// When it was changed.
    pub mtime: Time,
    /// When it was read, where the archive says so.
    pub atime: Option<Time>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes, in the order of the archive.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The pieces with data, where the file is sparse.
    pub pieces: Option<Vec<Piece>>,
}

impl Member {
    fn clear(&mut self) {
        self.path.clear();
        self.link.clear();
        self.xattrs.clear();
        *self = Self {
            path: std::mem::take(&mut self.path),
            link: std::mem::take(&mut self.link),
            xattrs: std::mem::take(&mut self.xattrs),
            ..Self::default()
        };
    }
}

/// The archive is refused because of this.
fn refuse(why: &'static str) -> Error {
    Error::new("the tar archive is damaged or not understood").because(why)
}
