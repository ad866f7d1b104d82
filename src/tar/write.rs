//! Writing an archive: ustar, with pax records for what does not fit.

use std::io::{self, Write};

use super::header::{BLOCK, Block, checksum, field, padding};
use super::{Kind, Member, Time};

/// Writes members one after the other.
pub struct Writer<W: Write> {
    out: W,
    /// What of the present member's data is still to come, and its padding.
    left: u64,
    padding: u64,
}

impl<W: Write> Writer<W> {
    /// A writer of an archive to `out`, which should take large pieces: headers come in blocks of 512 bytes.
    pub fn new(out: W) -> Self {
        Self {
            out,
            left: 0,
            padding: 0,
        }
    }

    /// A file with these contents, readable to all, of root and of no time.
    ///
    /// # Errors
    /// Where the output cannot be written.
    pub fn file(&mut self, path: &[u8], contents: &[u8]) -> io::Result<()> {
        self.start(&Member {
            path: path.to_vec(),
            mode: 0o644,
            size: contents.len() as u64,
            ..Member::default()
        })?;
        self.write_all(contents)
    }

    /// A directory, of root and of no time.
    ///
    /// # Errors
    /// Where the output cannot be written.
    pub fn directory(&mut self, path: &[u8]) -> io::Result<()> {
        self.start(&Member {
            path: path.to_vec(),
            kind: Kind::Directory,
            mode: 0o755,
            ..Member::default()
        })
    }

    /// Starts a member. The data of a file, as many bytes as its size says, is written to this writer
    /// next.
    ///
    /// # Errors
    /// Where the output cannot be written, or data of the last member is missing.
    pub fn start(&mut self, member: &Member) -> io::Result<()> {
        self.end_member()?;
        let stored = stored_size(member);
        let mut records = Vec::new();
        let block = header(member, stored, &mut records);
        if !records.is_empty() {
            self.extended(&records)?;
        }
        self.out.write_all(&block)?;
        self.left = stored;
        self.padding = padding(stored);
        Ok(())
    }

    /// Writes the end mark, and gives the output back.
    ///
    /// # Errors
    /// Where the output cannot be written, or data of the last member is missing.
    pub fn finish(mut self) -> io::Result<W> {
        self.end_member()?;
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn end_member(&mut self) -> io::Result<()> {
        if self.left > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.pad()
    }

    fn pad(&mut self) -> io::Result<()> {
        let length = usize::try_from(std::mem::take(&mut self.padding)).unwrap_or(0);
        self.out
            .write_all([0; BLOCK].get(..length).unwrap_or_default())
    }

    /// A header of extended records for the member that follows.
    fn extended(&mut self, records: &[u8]) -> io::Result<()> {
        let mut block = empty(b"PaxHeader", b'x');
        octal(&mut block[field::MODE], 0o644);
        octal(&mut block[field::SIZE], records.len() as u64);
        seal(&mut block);
        self.out.write_all(&block)?;
        self.out.write_all(records)?;
        self.padding = padding(records.len() as u64);
        self.pad()
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let written = self.out.write(bytes.get(..part).unwrap_or(bytes))?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// How many bytes of data the archive holds for a member. Holes are written out.
fn stored_size(member: &Member) -> u64 {
    match member.kind {
        Kind::File => member.size,
        _ => 0,
    }
}

fn header(member: &Member, stored: u64, records: &mut Vec<u8>) -> Block {
    let letter = match member.kind {
        Kind::File => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::Character => b'3',
        Kind::Block => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    };
    let mut block = empty(b"", letter);
    name(&mut block, &member.path, records);
    if !put(&mut block[field::LINK], &member.link) {
        record(records, "linkpath", &member.link);
    }
    octal(&mut block[field::MODE], member.mode.into());
    let numbers = [
        ("uid", field::UID, u64::from(member.uid)),
        ("gid", field::GID, u64::from(member.gid)),
        ("size", field::SIZE, stored),
        ("", field::MAJOR, member.device.0.into()),
        ("", field::MINOR, member.device.1.into()),
    ];
    for (key, place, value) in numbers {
        if !octal(&mut block[place], value) {
            record(records, key, value.to_string().as_bytes());
        }
    }
    let whole = u64::try_from(member.mtime.seconds).unwrap_or(u64::MAX);
    if member.mtime.nanos != 0 || !octal(&mut block[field::MTIME], whole) {
        record(records, "mtime", &decimal_time(member.mtime));
    }
    for (attribute, value) in &member.xattrs {
        let key = String::from_utf8_lossy(attribute);
        record(records, &format!("SCHILY.xattr.{key}"), value);
    }
    seal(&mut block);
    block
}

/// A header that holds nothing but what all have.
fn empty(name: &[u8], letter: u8) -> Block {
    let mut block = [0; BLOCK];
    put(&mut block[field::NAME], name);
    for place in [
        field::MODE,
        field::UID,
        field::GID,
        field::SIZE,
        field::MTIME,
    ] {
        octal(&mut block[place], 0);
    }
    block[field::TYPE] = letter;
    block[field::MAGIC].copy_from_slice(b"ustar\x0000");
    block
}

fn seal(block: &mut Block) {
    let sum = checksum(block);
    let text = format!("{sum:06o}\0 ");
    block[field::CHECKSUM].copy_from_slice(text.as_bytes());
}

/// Puts a name into a header, in two parts where it does not fit into one.
fn name(block: &mut Block, path: &[u8], records: &mut Vec<u8>) {
    if put(&mut block[field::NAME], path) {
        return;
    }
    let split = (0..path.len())
        .filter(|at| path[*at] == b'/' && *at <= field::PREFIX.len() && *at > 0)
        .find(|at| (1..=field::NAME.len()).contains(&(path.len() - at - 1)));
    match split {
        Some(at) => {
            put(&mut block[field::PREFIX], &path[..at]);
            put(&mut block[field::NAME], &path[at + 1..]);
        }
        None => {
            // What an old reader shows.
            put(&mut block[field::NAME], &path[..field::NAME.len()]);
            record(records, "path", path);
        }
    }
}

/// Copies `bytes` to the start of a field; `false` where they do not fit.
fn put(place: &mut [u8], bytes: &[u8]) -> bool {
    match place.get_mut(..bytes.len()) {
        Some(start) => start.copy_from_slice(bytes),
        None => return false,
    }
    true
}

/// Writes a number in octal digits and a NUL; `false`, and zero, where it does not fit.
fn octal(place: &mut [u8], value: u64) -> bool {
    let Some((end, digits)) = place.split_last_mut() else {
        return false;
    };
    let fits = value >> (3 * digits.len()).min(63) == 0;
    let mut rest = if fits { value } else { 0 };
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest & 7).unwrap_or(0);
        rest >>= 3;
    }
    *end = 0;
    fits
}

/// Adds `LENGTH KEY=VALUE\n`, whose length counts its own digits.
fn record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + digits(length) {
        length = rest + digits(length);
    }
    records.extend_from_slice(format!("{length} {key}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

fn decimal_time(time: Time) -> Vec<u8> {
    let (sign, seconds, nanos) = match (time.seconds < 0, time.nanos) {
        (false, nanos) => ("", time.seconds, nanos),
        (true, 0) => ("-", -time.seconds, 0),
        (true, nanos) => ("-", -time.seconds - 1, 1_000_000_000 - nanos),
    };
    format!("{sign}{seconds}.{nanos:09}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::Reader;
    use super::*;

    /// A name of this length.
    fn long(length: usize) -> Vec<u8> {
        let mut name = b"d/".repeat(length / 2);
        name.push(b'x');
        name
    }

    fn named(path: Vec<u8>, kind: Kind) -> Member {
        Member {
            path,
            kind,
            ..Member::default()
        }
    }

    fn members() -> Vec<Member> {
        let mut file = named(long(98), Kind::File);
        (file.mode, file.size) = (0o4755, 5);
        let mut link = named(long(600), Kind::Symlink);
        link.link = long(300);
        let mut device = named(b"dev".to_vec(), Kind::Block);
        device.device = (259, 65536);
        let mut ids = named(b"ids".to_vec(), Kind::File);
        (ids.uid, ids.gid) = (0x00ff_ffff, 4_294_967_294);
        let mut early = named(b"t".to_vec(), Kind::File);
        (early.mtime.seconds, early.mtime.nanos) = (-2, 5);
        let mut late = named(b"u".to_vec(), Kind::File);
        late.mtime.seconds = 1 << 40;
        let mut second = named(b"h".to_vec(), Kind::HardLink);
        second.link = b"t".to_vec();
        let mut attributes = named(b"c".to_vec(), Kind::Fifo);
        attributes.xattrs = vec![
            (b"user.a".to_vec(), b"\0=\n".to_vec()),
            (b"user.b".to_vec(), vec![7; 80]),
        ];
        let directory = named(long(200), Kind::Directory);
        vec![
            file, link, device, ids, early, late, second, attributes, directory,
        ]
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut writer = Writer::new(Vec::new());
        let contents = |member: &Member| &b"hello"[..usize::try_from(member.size).unwrap()];
        for member in &members() {
            writer.start(member).unwrap();
            writer.write_all(contents(member)).unwrap();
        }
        let archive = writer.finish().unwrap();
        assert_eq!(archive.len() % BLOCK, 0);
        let (mut reader, mut got) = (Reader::new(&archive[..]), Member::default());
        for member in &members() {
            assert!(reader.next(&mut got).unwrap());
            assert_eq!(&got, member);
            assert_eq!(reader.data().unwrap(), contents(member));
        }
        assert!(!reader.next(&mut got).unwrap() && reader.had_its_end());
    }

    #[test]
    fn missing_data_is_no_archive() {
        let mut writer = Writer::new(Vec::new());
        let member = Member {
            path: b"a".to_vec(),
            size: 5,
            ..Member::default()
        };
        writer.start(&member).unwrap();
        writer.write_all(b"hell").unwrap();
        assert!(writer.finish().is_err());
    }
}
