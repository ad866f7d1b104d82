//! What a program file asks for before it can run: its loader and its libraries, as elf(5) says them, or the
//! interpreter of its `#!` line (execve(2)).
//!
//! The file is read at the offsets that its headers name and nowhere else, so its size costs nothing. Whoever
//! made it may lie in every field: each number is checked before it is used, and every list has a bound.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;

use nix::libc;

/// The kernel reads no more program headers than fit into this many bytes (`load_elf_phdrs` in fs/binfmt_elf.c).
const MAX_HEADERS: u64 = 65_536;
/// More than any loader was seen to meet; the dynamic section of LibreOffice's largest library has 4 KiB.
const MAX_DYNAMIC: u64 = 1 << 20;
/// As many libraries as one object may ask for.
const MAX_NEEDED: usize = 1024;
/// `PATH_MAX`: no name that is longer can be opened.
const MAX_NAME: usize = 4096;
/// `BINPRM_BUF_SIZE` (linux/binfmts.h): what the kernel looks at to find out what a file is.
const FIRST_BYTES: usize = 256;

/// Where the bytes of a file come from.
pub trait Bytes {
    /// Reads at `offset`; fewer bytes than asked for only at the end.
    ///
    /// # Errors
    /// Those of pread(2).
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl Bytes for File {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, into, offset)
    }
}

impl Bytes for [u8] {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..));
        let rest = rest.unwrap_or_default();
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

/// The machine a file is for: a loader takes only libraries of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// 64 bits, not 32.
    pub wide: bool,
    /// Least significant byte first.
    pub little: bool,
    /// `e_machine`, such as 62 for x86-64.
    pub number: u16,
}

/// What an ELF file asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The machine it is for.
    pub machine: Machine,
    /// Its loader (`PT_INTERP`); a static program and a library have none.
    pub interpreter: Option<OsString>,
    /// The libraries it needs (`DT_NEEDED`), in order.
    pub needed: Vec<OsString>,
    /// Where to look for them first (`DT_RPATH`): directories with colons between.
    pub rpath: Option<OsString>,
    /// Where to look for them first (`DT_RUNPATH`), for this object's own needs alone.
    pub runpath: Option<OsString>,
}

/// What kind of file it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Program or library.
    Object(Object),
    /// A script: the interpreter, and what stands behind it on the line.
    Script(OsString, Option<OsString>),
    /// Neither.
    Other,
}

/// Why a file is not what its first bytes say, in words that go behind its name.
#[derive(Debug)]
pub enum Flaw {
    /// Its headers contradict themselves or the bounds.
    Damaged(&'static str),
    /// It could not be read.
    Unreadable(io::Error),
}

impl From<io::Error> for Flaw {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// Finds out what a file is and what it asks for.
///
/// ```
/// use isobox::rootfs::elf::{Kind, look};
/// let script = look(&b"#!/bin/sh -e\n"[..]).unwrap();
/// assert_eq!(script, Kind::Script("/bin/sh".into(), Some("-e".into())));
/// assert_eq!(look(&b"hello"[..]).unwrap(), Kind::Other);
/// ```
///
/// # Errors
/// [`Flaw`]: an ELF file whose headers cannot be true.
pub fn look(file: &(impl Bytes + ?Sized)) -> Result<Kind, Flaw> {
    let mut first = [0; FIRST_BYTES];
    let length = read_fully(file, &mut first, 0)?;
    let first = &first[..length];
    if let Some(line) = first.strip_prefix(b"#!") {
        return Ok(script(line));
    }
    if !first.starts_with(b"\x7fELF") {
        return Ok(Kind::Other);
    }
    let header = Header::read(first)?;
    Reader { file, header }.object().map(Kind::Object)
}

/// The words of a `#!` line as the kernel takes them apart: an interpreter, and all the rest as one argument.
fn script(line: &[u8]) -> Kind {
    let line = line.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = line.trim_ascii();
    let end = line.iter().position(|b| b" \t".contains(b));
    let (program, rest) = line.split_at(end.unwrap_or(line.len()));
    let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let rest = rest.trim_ascii();
    match program {
        [] => Kind::Other,
        _ => Kind::Script(text(program), (!rest.is_empty()).then(|| text(rest))),
    }
}

fn read_fully(
    file: &(impl Bytes + ?Sized),
    into: &mut [u8],
    offset: u64,
) -> Result<usize, io::Error> {
    let mut done = 0;
    while done < into.len() {
        let at = offset.saturating_add(done as u64);
        match file.read_at(&mut into[done..], at) {
            Ok(0) => break,
            Ok(length) => done += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// The part of the ELF header that counts here.
#[derive(Clone, Copy)]
struct Header {
    machine: Machine,
    /// Where the program headers are, how large each is and how many there are.
    programs: (u64, u64, u64),
}

impl Header {
    fn read(first: &[u8]) -> Result<Self, Flaw> {
        let byte = |at: usize| first.get(at).copied().unwrap_or_default();
        let machine = Machine {
            wide: byte(4) == 2,
            little: byte(5) == 1,
            number: 0,
        };
        if !matches!(byte(4), 1 | 2) || !matches!(byte(5), 1 | 2) {
            return Err(Flaw::Damaged("it is of no known class or byte order"));
        }
        if first.len() < if machine.wide { 64 } else { 52 } {
            return Err(Flaw::Damaged("it ends before its headers say"));
        }
        let fields = Fields {
            bytes: first,
            machine,
        };
        let (offset, size, count) = if machine.wide {
            (fields.word(32), fields.half(54), fields.half(56))
        } else {
            (fields.word(28), fields.half(42), fields.half(44))
        };
        let number = u16::try_from(fields.half(18)).unwrap_or_default();
        let smallest = if machine.wide { 56 } else { 32 };
        if count > 0 && (size < smallest || size * count > MAX_HEADERS) {
            return Err(Flaw::Damaged("its program headers are of no possible size"));
        }
        Ok(Self {
            machine: Machine { number, ..machine },
            programs: (offset, size, count),
        })
    }
}

/// Numbers out of a structure of the file; what lies beyond its end is zero.
struct Fields<'a> {
    bytes: &'a [u8],
    machine: Machine,
}

impl Fields<'_> {
    fn number<const SIZE: usize>(&self, at: usize) -> u64 {
        let mut wide = [0; 8];
        let found = self.bytes.get(at..at + SIZE).unwrap_or(&[0; SIZE]);
        for (index, byte) in found.iter().enumerate() {
            let place = if self.machine.little {
                index
            } else {
                SIZE - 1 - index
            };
            wide[place] = *byte;
        }
        u64::from_le_bytes(wide)
    }

    fn half(&self, at: usize) -> u64 {
        self.number::<2>(at)
    }

    fn single(&self, at: usize) -> u64 {
        self.number::<4>(at)
    }

    /// An address, an offset or a size: as wide as the machine.
    fn word(&self, at: usize) -> u64 {
        if self.machine.wide {
            self.number::<8>(at)
        } else {
            self.number::<4>(at)
        }
    }
}

/// A stretch of the file, and the address it is loaded to.
#[derive(Clone, Copy)]
struct Segment {
    kind: u64,
    offset: u64,
    address: u64,
    size: u64,
}

struct Reader<'a, B: ?Sized> {
    file: &'a B,
    header: Header,
}

impl<B: Bytes + ?Sized> Reader<'_, B> {
    fn object(&self) -> Result<Object, Flaw> {
        let segments = self.segments()?;
        let of = |kind: u32| segments.iter().find(|s| s.kind == u64::from(kind));
        let interpreter = match of(libc::PT_INTERP) {
            Some(segment) => Some(self.interpreter(segment)?),
            None => None,
        };
        let mut object = Object {
            machine: self.header.machine,
            interpreter,
            needed: Vec::new(),
            rpath: None,
            runpath: None,
        };
        if let Some(dynamic) = of(libc::PT_DYNAMIC) {
            self.dynamic(*dynamic, &segments, &mut object)?;
        }
        Ok(object)
    }

    fn fields<'b>(&self, bytes: &'b [u8]) -> Fields<'b> {
        Fields {
            bytes,
            machine: self.header.machine,
        }
    }

    fn bytes(&self, offset: u64, size: u64) -> Result<Vec<u8>, Flaw> {
        let mut bytes =
            vec![0; usize::try_from(size).map_err(|_| Flaw::Damaged("it is too large"))?];
        let length = read_fully(self.file, &mut bytes, offset)?;
        if length < bytes.len() {
            return Err(Flaw::Damaged("it ends before its headers say"));
        }
        Ok(bytes)
    }

    fn segments(&self) -> Result<Vec<Segment>, Flaw> {
        let (offset, size, count) = self.header.programs;
        let table = self.bytes(offset, size * count)?;
        let size = usize::try_from(size).unwrap_or_default().max(1);
        let segment = |entry: &[u8]| {
            let fields = self.fields(entry);
            let (offset, address, size) = if self.header.machine.wide {
                (fields.word(8), fields.word(16), fields.word(32))
            } else {
                (fields.word(4), fields.word(8), fields.word(16))
            };
            Segment {
                kind: fields.single(0),
                offset,
                address,
                size,
            }
        };
        Ok(table.chunks_exact(size).map(segment).collect())
    }

    fn interpreter(&self, segment: &Segment) -> Result<OsString, Flaw> {
        if segment.size > MAX_NAME as u64 {
            return Err(Flaw::Damaged("the name of its loader is too long"));
        }
        let bytes = self.bytes(segment.offset, segment.size)?;
        match bytes.split(|b| *b == 0).next() {
            Some(name) if !name.is_empty() && name.len() < bytes.len() => {
                Ok(OsString::from_vec(name.to_vec()))
            }
            _ => Err(Flaw::Damaged("the name of its loader has no end")),
        }
    }

    /// The entries of the dynamic section: a tag and a value each, ended by `DT_NULL`. The names in it are
    /// offsets into a table of strings, which is known by its address in memory.
    fn dynamic(
        &self,
        dynamic: Segment,
        segments: &[Segment],
        object: &mut Object,
    ) -> Result<(), Flaw> {
        if dynamic.size > MAX_DYNAMIC {
            return Err(Flaw::Damaged("its dynamic section is too large"));
        }
        let bytes = self.bytes(dynamic.offset, dynamic.size)?;
        let width = if self.header.machine.wide { 8 } else { 4 };
        let entries = || {
            let entry = |entry: &[u8]| {
                let fields = self.fields(entry);
                (fields.word(0), fields.word(width))
            };
            let entries = bytes.chunks_exact(2 * width).map(entry);
            entries.take_while(|(tag, _)| *tag != DT_NULL)
        };
        let find = |tag| entries().find(|e| e.0 == tag).map(|e| e.1);
        let names = find(DT_STRTAB).map(|address| offset_of(address, segments));
        let size = find(DT_STRSZ).unwrap_or_default();
        let name = |at: u64| match names {
            Some(Some(start)) if at < size => self.name(start.saturating_add(at), size - at),
            _ => Err(Flaw::Damaged("a name in it lies outside its names")),
        };
        for (tag, value) in entries() {
            match tag {
                DT_NEEDED if object.needed.len() < MAX_NEEDED => object.needed.push(name(value)?),
                DT_NEEDED => return Err(Flaw::Damaged("it needs too many libraries")),
                DT_RPATH => object.rpath = Some(name(value)?),
                DT_RUNPATH => object.runpath = Some(name(value)?),
                _ => {}
            }
        }
        Ok(())
    }

    /// The name that starts at this offset of the file, within `room` bytes.
    fn name(&self, offset: u64, room: u64) -> Result<OsString, Flaw> {
        let mut name = Vec::new();
        let mut part = [0; 256];
        loop {
            let length = read_fully(
                self.file,
                &mut part,
                offset.saturating_add(name.len() as u64),
            )?;
            let read = &part[..length];
            if let Some(end) = read.iter().position(|b| *b == 0) {
                name.extend(&read[..end]);
                break;
            }
            name.extend(read);
            if length < part.len() || name.len() >= MAX_NAME {
                return Err(Flaw::Damaged("a name in it has no end"));
            }
        }
        if name.len() as u64 >= room {
            return Err(Flaw::Damaged("a name in it lies outside its names"));
        }
        Ok(OsString::from_vec(name))
    }
}

/// Tags of the dynamic section (elf.h).
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;

/// Where in the file the byte is that is loaded to `address`.
fn offset_of(address: u64, segments: &[Segment]) -> Option<u64> {
    let loaded = segments
        .iter()
        .filter(|s| s.kind == u64::from(libc::PT_LOAD));
    loaded
        .filter_map(|s| Some((s, address.checked_sub(s.address)?)))
        .find(|(s, into)| *into < s.size)
        .and_then(|(s, into)| s.offset.checked_add(into))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(file: &[u8]) -> Result<Kind, String> {
        look(file).map_err(|flaw| match flaw {
            Flaw::Damaged(why) => why.to_owned(),
            Flaw::Unreadable(error) => error.to_string(),
        })
    }

    /// A small library for the machine: its names, its dynamic section and the headers that lead there.
    fn library(machine: Machine, entries: &[(u64, u64)], names: &[u8]) -> Vec<u8> {
        let put = |value: u64, size: usize| -> Vec<u8> {
            let mut bytes = value.to_le_bytes()[..size].to_vec();
            if !machine.little {
                bytes.reverse();
            }
            bytes
        };
        let word = if machine.wide { 8 } else { 4 };
        let (head, entry) = if machine.wide { (64, 56) } else { (52, 32) };
        let dynamic = head + 2 * entry;
        let strings = dynamic + (entries.len() as u64 + 3) * 2 * word as u64;
        let base = 0x1000;
        let mut file = b"\x7fELF".to_vec();
        file.extend([1 + u8::from(machine.wide), 2 - u8::from(machine.little), 1]);
        file.resize(16, 0);
        for (value, size) in [
            (3, 2),
            (machine.number.into(), 2),
            (1, 4),
            (0, word),
            (head, word),
            (0, word),
            (0, 4),
        ] {
            file.extend(put(value, size));
        }
        for value in [head, entry, 2, 0, 0, 0] {
            file.extend(put(value, 2));
        }
        let sizes = [
            (libc::PT_LOAD, 0, 0x10_0000),
            (libc::PT_DYNAMIC, dynamic, strings - dynamic),
        ];
        for (kind, offset, size) in sizes {
            file.extend(put(kind.into(), 4));
            let rest: Vec<u64> = vec![offset, base + offset, base + offset, size, size];
            if machine.wide {
                file.extend(put(4, 4));
            }
            for value in rest {
                file.extend(put(value, word));
            }
            if !machine.wide {
                file.extend(put(4, 4));
            }
            file.extend(put(0x1000, word));
        }
        let own = [(DT_STRTAB, base + strings), (DT_STRSZ, names.len() as u64)];
        for (tag, value) in own.iter().chain(entries).chain(&[(DT_NULL, 0)]) {
            file.extend(put(*tag, word));
            file.extend(put(*value, word));
        }
        file.extend(names);
        file
    }

    const NAMES: &[u8] = b"\0libc.so.6\0$ORIGIN/../lib\0";

    #[test]
    fn every_class_and_byte_order_is_read() {
        for (wide, little) in [(true, true), (true, false), (false, true), (false, false)] {
            let machine = Machine {
                wide,
                little,
                number: 62,
            };
            let file = library(machine, &[(DT_NEEDED, 1), (DT_RUNPATH, 11)], NAMES);
            let want = Object {
                machine,
                interpreter: None,
                needed: vec!["libc.so.6".into()],
                rpath: None,
                runpath: Some("$ORIGIN/../lib".into()),
            };
            assert_eq!(object(&file), Ok(Kind::Object(want)), "{machine:?}");
        }
    }

    #[test]
    fn a_script_has_an_interpreter_and_one_argument() {
        let cases: [(&[u8], Kind); 6] = [
            (b"#!/bin/sh", Kind::Script("/bin/sh".into(), None)),
            (b"#! /bin/sh \nexit", Kind::Script("/bin/sh".into(), None)),
            (
                b"#!/usr/bin/env -S a b\n",
                Kind::Script("/usr/bin/env".into(), Some("-S a b".into())),
            ),
            (b"#!\n/bin/sh", Kind::Other),
            (b"#!", Kind::Other),
            (b"", Kind::Other),
        ];
        for (file, want) in cases {
            assert_eq!(object(file), Ok(want));
        }
    }

    #[test]
    fn what_lies_is_damaged() {
        let machine = Machine {
            wide: true,
            little: true,
            number: 62,
        };
        let outside = library(machine, &[(DT_NEEDED, 26)], NAMES);
        assert_eq!(
            object(&outside),
            Err("a name in it lies outside its names".into())
        );
        let endless = library(machine, &[(DT_NEEDED, 1)], b"\0libc.so.6");
        assert_eq!(object(&endless), Err("a name in it has no end".into()));
        let many = library(machine, &[(DT_NEEDED, 1); MAX_NEEDED + 1], NAMES);
        assert_eq!(object(&many), Err("it needs too many libraries".into()));
        let whole = library(machine, &[(DT_NEEDED, 1)], NAMES);
        for length in 0..whole.len() {
            // Cut anywhere, it is another file or a damaged one, or still says what the whole one did.
            if let Ok(Kind::Object(cut)) = object(&whole[..length]) {
                let same = cut
                    .needed
                    .iter()
                    .all(|name| name.to_str() == Some("libc.so.6"));
                assert!(same, "{length}: {:?}", cut.needed);
            }
        }
    }

    #[test]
    fn this_test_program_is_read() {
        let own = File::open("/proc/self/exe").unwrap();
        assert!(matches!(look(&own), Ok(Kind::Object(_))));
    }
}
