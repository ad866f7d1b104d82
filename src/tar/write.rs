//! Writing an archive: ustar, with pax records for what does not fit.

use std::io::{self, Write};

use ::tar::{EntryType, Header, UstarHeader};

use super::header::{BLOCK, padding};
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
        let header = header(member, stored, &mut records)?;
        if !records.is_empty() {
            self.extended(&records)?;
        }
        self.out.write_all(header.as_bytes())?;
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
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_path("PaxHeader")?;
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(records.len() as u64);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
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

/// The block before a member's data; what does not fit into its fields is added to `records`.
fn header(member: &Member, stored: u64, records: &mut Vec<u8>) -> io::Result<Header> {
    let mut header = Header::new_ustar();
    header.set_entry_type(match member.kind {
        Kind::File => EntryType::Regular,
        Kind::HardLink => EntryType::Link,
        Kind::Symlink => EntryType::Symlink,
        Kind::Character => EntryType::Char,
        Kind::Block => EntryType::Block,
        Kind::Directory => EntryType::Directory,
        Kind::Fifo => EntryType::Fifo,
    });
    if let Some(fields) = header.as_ustar_mut() {
        name(fields, &member.path, records);
        if !put(&mut fields.linkname, &member.link) {
            record(records, "linkpath", &member.link);
        }
    }
    header.set_mode(member.mode);
    header.set_uid(number(records, "uid", 7, member.uid.into()));
    header.set_gid(number(records, "gid", 7, member.gid.into()));
    header.set_size(number(records, "size", 11, stored));
    // Only devices have numbers, and pax has no record for larger ones: the crate writes them in base 256.
    header.set_device_major(member.device.0)?;
    header.set_device_minor(member.device.1)?;
    let whole = u64::try_from(member.mtime.seconds).ok();
    let fits = whole.filter(|seconds| fits(*seconds, 11));
    header.set_mtime(fits.unwrap_or(0));
    if member.mtime.nanos != 0 || fits.is_none() {
        record(records, "mtime", &decimal_time(member.mtime));
    }
    for (attribute, value) in &member.xattrs {
        let key = String::from_utf8_lossy(attribute);
        record(records, &format!("SCHILY.xattr.{key}"), value);
    }
    header.set_cksum();
    Ok(header)
}

/// Whether a number can be said in this many octal digits.
fn fits(value: u64, digits: u32) -> bool {
    value >> (3 * digits) == 0
}

/// What to put into a field of this many octal digits: the number, or zero and a record that says it.
fn number(records: &mut Vec<u8>, key: &str, digits: u32, value: u64) -> u64 {
    if fits(value, digits) {
        return value;
    }
    record(records, key, value.to_string().as_bytes());
    0
}

/// Puts a name into a header, in two parts where it does not fit into one.
fn name(fields: &mut UstarHeader, path: &[u8], records: &mut Vec<u8>) {
    if put(&mut fields.name, path) {
        return;
    }
    let split = (1..path.len().min(fields.prefix.len() + 1))
        .filter(|at| path[*at] == b'/')
        .find(|at| (1..=fields.name.len()).contains(&(path.len() - at - 1)));
    match split {
        Some(at) => {
            put(&mut fields.prefix, &path[..at]);
            put(&mut fields.name, &path[at + 1..]);
        }
        None => {
            // What an old reader shows.
            let (shown, _) = path.split_at(fields.name.len());
            fields.name.copy_from_slice(shown);
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
