//! Reading an archive from start to end.

use std::io::{BufRead, ErrorKind};

use super::header::{self, BLOCK, Block, field, padding, text};
use super::pax::{self, Records};
use super::{Kind, Member, refuse, sparse};
use crate::error::{Doing, Result};

/// Where an archive is read from: a buffered reader, of which a part can be left out.
pub trait Bytes: BufRead {
    /// Leaves out `count` bytes.
    ///
    /// # Errors
    /// `UnexpectedEof` where there are not so many.
    fn leave_out(&mut self, mut count: u64) -> std::io::Result<()> {
        while count > 0 {
            let there = match self.fill_buf() {
                Ok(bytes) => bytes.len(),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if there == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let part = usize::try_from(count).map_or(there, |count| count.min(there));
            self.consume(part);
            count -= part as u64;
        }
        Ok(())
    }
}

/// Reads a block; `false` at the end of the input.
pub(super) fn block(input: &mut dyn Bytes, block: &mut Block) -> Result<bool> {
    let mut filled = 0;
    while filled < BLOCK {
        let bytes = match input.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).doing("cannot read the archive"),
        };
        if bytes.is_empty() {
            return match filled {
                0 => Ok(false),
                _ => Err(refuse("it ends within a block")),
            };
        }
        let part = bytes.len().min(BLOCK - filled);
        block[filled..filled + part].copy_from_slice(&bytes[..part]);
        input.consume(part);
        filled += part;
    }
    Ok(true)
}

/// Reads members one after the other.
///
/// ```
/// # use isobox::tar::{Kind, Member, Reader, Writer};
/// let mut archive = Vec::new();
/// let mut writer = Writer::new(&mut archive);
/// writer.file(b"a/b", b"text").unwrap();
/// writer.finish().unwrap();
/// let (mut reader, mut member) = (Reader::new(&archive[..]), Member::default());
/// assert!(reader.next(&mut member).unwrap());
/// assert_eq!((member.path.as_slice(), member.kind, member.size), (&b"a/b"[..], Kind::File, 4));
/// assert_eq!(reader.data().unwrap(), b"text");
/// assert!(!reader.next(&mut member).unwrap());
/// ```
pub struct Reader<'r> {
    input: Box<dyn Bytes + Send + 'r>,
    /// Bytes of the present member's data that nobody has taken yet, and those that pad it.
    left: u64,
    padding: u64,
    ended: bool,
    is_begun: bool,
    records: Option<Records>,
    long_path: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl Bytes for &[u8] {}

impl<B: Bytes> Bytes for &mut B {
    fn leave_out(&mut self, count: u64) -> std::io::Result<()> {
        (**self).leave_out(count)
    }
}

impl<'r> Reader<'r> {
    /// A reader at the start of an archive.
    pub fn new(input: impl Bytes + Send + 'r) -> Self {
        Self {
            input: Box::new(input),
            left: 0,
            padding: 0,
            ended: false,
            is_begun: false,
            records: None,
            long_path: None,
            long_link: None,
        }
    }

    /// Reads the header of the next member; `false` where there is none. What of the present member's data was not
    /// taken is left out.
    ///
    /// # Errors
    /// Where the input cannot be read, and for everything that others would read differently.
    pub fn next(&mut self, member: &mut Member) -> Result<bool> {
        self.input
            .leave_out(self.left + self.padding)
            .doing("cannot read the archive")?;
        (self.left, self.padding) = (0, 0);
        member.clear();
        let mut block = [0; BLOCK];
        while self.header(&mut block)? {
            if self.about_the_next(&block)? {
                continue;
            }
            self.member(&block, member)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Whether the archive had its end mark, and was not just cut off between two members. Known when
    /// [`Reader::next`] has said `false`.
    pub fn had_its_end(&self) -> bool {
        self.ended
    }

    /// Data of the present member, as much as is at hand; nothing at its end.
    ///
    /// # Errors
    /// Where the input cannot be read, or ends too early.
    pub fn data(&mut self) -> Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        // Once more below, since what the first look borrows cannot be given away from a loop.
        while let Err(error) = self.input.fill_buf() {
            if error.kind() != ErrorKind::Interrupted {
                return Err(error).doing("cannot read the archive");
            }
        }
        let bytes = self.input.fill_buf().doing("cannot read the archive")?;
        if bytes.is_empty() {
            return Err(refuse("it ends within a member"));
        }
        let part = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        Ok(&bytes[..part])
    }

    /// Says that so many bytes of [`Reader::data`] were taken.
    pub fn take(&mut self, count: usize) {
        self.input.consume(count);
        self.left -= count as u64;
    }

    /// Whether not even a first header was read: then it may be no archive at all.
    pub fn is_at_start(&self) -> bool {
        !self.is_begun
    }

    /// How many bytes of data the archive holds for the present member, from here on.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Reads a header; `false` at the end of the archive.
    fn header(&mut self, block: &mut Block) -> Result<bool> {
        if !self::block(&mut *self.input, block)? {
            return self.at_end();
        }
        if block.iter().all(|byte| *byte == 0) {
            self.ended = true;
            return self.at_end();
        }
        if !header::checksum_is_right(block) {
            return Err(refuse("a header has the wrong checksum"));
        }
        self.is_begun = true;
        Ok(true)
    }

    fn at_end(&self) -> Result<bool> {
        if self.records.is_some() || self.long_path.is_some() || self.long_link.is_some() {
            return Err(refuse("it ends where a member was announced"));
        }
        Ok(false)
    }

    /// Takes a header that says something about the next member; `false` where it is a member of its own.
    fn about_the_next(&mut self, block: &Block) -> Result<bool> {
        let kind = block[field::TYPE];
        if !matches!(kind, b'x' | b'g' | b'L' | b'K') {
            return Ok(false);
        }
        let bytes = self.contents(block)?;
        match kind {
            // Which of a pax record and a long name of GNU wins is a matter of taste.
            b'x' if self.records.is_none()
                && self.long_path.is_none()
                && self.long_link.is_none() =>
            {
                self.records = Some(Records::parse(&bytes)?);
            }
            b'g' if self.records.is_none()
                && self.long_path.is_none()
                && self.long_link.is_none() =>
            {
                pax::check_global(&bytes)?;
            }
            b'L' if self.records.is_none() && self.long_path.is_none() => {
                self.long_path = Some(text(&bytes).to_vec());
            }
            b'K' if self.records.is_none() && self.long_link.is_none() => {
                self.long_link = Some(text(&bytes).to_vec());
            }
            _ => return Err(refuse("two headers say something about the same member")),
        }
        Ok(true)
    }

    /// All data of a header about another member.
    fn contents(&mut self, block: &Block) -> Result<Vec<u8>> {
        let size = size_of(block)?;
        if size > pax::LARGEST {
            return Err(refuse("an extended header is too large"));
        }
        let length = usize::try_from(size + padding(size)).unwrap_or(0);
        let mut bytes = vec![0; length];
        self.input
            .read_exact(&mut bytes)
            .doing("cannot read the archive")?;
        let rest = bytes.split_off(usize::try_from(size).unwrap_or(0));
        if rest.iter().any(|byte| *byte != 0) && matches!(block[field::TYPE], b'L' | b'K') {
            // Others read a name to its NUL, wherever its size says that it ends.
            return Err(refuse("a long name that goes on behind its end"));
        }
        Ok(bytes)
    }

    fn member(&mut self, block: &Block, member: &mut Member) -> Result<()> {
        let mut records = self.records.take().unwrap_or_default();
        plain_fields(block, member)?;
        let mut stored = records.size.map_or_else(|| size_of(block), Ok)?;
        if let Some(path) = records.path.take().or(self.long_path.take()) {
            member.path = path;
        }
        if let Some(link) = records.link.take().or(self.long_link.take()) {
            member.link = link;
        }
        member.uid = records.uid.unwrap_or(member.uid);
        member.gid = records.gid.unwrap_or(member.gid);
        member.mtime = records.mtime.unwrap_or(member.mtime);
        member.atime = records.atime;
        member.xattrs.append(&mut records.xattrs);
        member.kind = kind_of(block[field::TYPE], &member.path)?;
        let is_link = matches!(member.kind, Kind::HardLink | Kind::Symlink);
        if member.path.is_empty() || is_link && member.link.is_empty() {
            // GNU tar would take it for the directory itself.
            return Err(refuse(
                "a member without a name, or a link that leads nowhere",
            ));
        }
        stored = match member.kind {
            // A hard link may give the size of what it links to, and has no data whatever it says.
            Kind::HardLink => 0,
            Kind::File => stored,
            _ if stored != 0 => return Err(refuse("a member that can have no data has a size")),
            _ => 0,
        };
        member.size = stored;
        self.left = stored;
        self.padding = padding(stored);
        if block[field::TYPE] == b'S' {
            if &block[field::MAGIC] != b"ustar  \0" {
                return Err(refuse("a sparse file of GNU's in another format"));
            }
            let (map, size) = sparse::old_gnu(block, &mut *self.input)?;
            return self.sparse(member, map, size);
        }
        let Some((map, size, taken)) = sparse::from_records(&mut records.sparse, &mut *self.input)?
        else {
            return Ok(());
        };
        if let Some(name) = records.sparse.name {
            member.path = name;
        }
        self.left = stored
            .checked_sub(taken)
            .ok_or_else(|| refuse("a sparse map is malformed"))?;
        self.sparse(member, map, size)
    }

    fn sparse(&mut self, member: &mut Member, map: Vec<super::Piece>, size: u64) -> Result<()> {
        if member.kind != Kind::File {
            return Err(refuse("a sparse map of what is no file"));
        }
        sparse::check(&map, size, self.left)?;
        member.size = size;
        member.pieces = Some(map);
        Ok(())
    }
}

fn size_of(block: &Block) -> Result<u64> {
    u64::try_from(header::number(&block[field::SIZE])?).map_err(|_| refuse("a negative size"))
}

/// What every header has in the same place.
fn plain_fields(block: &Block, member: &mut Member) -> Result<()> {
    let posix = &block[field::MAGIC] == b"ustar\x0000";
    if posix && &block[field::STAR] == b"tar\0" {
        return Err(refuse("star's own format"));
    }
    let prefix = text(&block[field::PREFIX]);
    if posix && !prefix.is_empty() {
        member.path.extend_from_slice(prefix);
        member.path.push(b'/');
    } else if !prefix.is_empty() && block[field::TYPE] != b'S' {
        // Python's tarfile takes it for the start of the name, GNU tar for a time, and old tars know nothing of it.
        return Err(refuse("a prefix in a format that has none"));
    }
    member.path.extend_from_slice(text(&block[field::NAME]));
    member.link.extend_from_slice(text(&block[field::LINK]));
    let mode = header::number(&block[field::MODE])? & 0o7777;
    member.mode = u32::try_from(mode).unwrap_or(0);
    member.uid = header::id(header::number(&block[field::UID])?)?;
    member.gid = header::id(header::number(&block[field::GID])?)?;
    member.mtime = header::seconds(header::number(&block[field::MTIME])?);
    if matches!(block[field::TYPE], b'3' | b'4') {
        member.device = (
            device_number(&block[field::MAJOR], 1 << 12)?,
            device_number(&block[field::MINOR], 1 << 20)?,
        );
    }
    Ok(())
}

/// Linux has 12 bits of major and 20 bits of minor number: what is larger would be cut off to another device.
fn device_number(bytes: &[u8], below: u32) -> Result<u32> {
    u32::try_from(header::number(bytes)?)
        .ok()
        .filter(|number| *number < below)
        .ok_or_else(|| refuse("a device number that does not exist"))
}

fn kind_of(letter: u8, path: &[u8]) -> Result<Kind> {
    Ok(match letter {
        // Before POSIX a directory was a file whose name ends in a slash.
        0 if path.ends_with(b"/") => Kind::Directory,
        b'0' | b'7' | b'S' if path.ends_with(b"/") => {
            return Err(refuse("a file whose name ends in a slash"));
        }
        0 | b'0' | b'7' | b'S' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::Character,
        b'4' => Kind::Block,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        b'M' | b'V' | b'D' | b'N' => {
            return Err(refuse("a member of a multi-volume or incremental archive"));
        }
        _ => return Err(refuse("a member of a type that is not known")),
    })
}
