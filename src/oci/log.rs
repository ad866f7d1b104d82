//! What a container writes, kept in the format of the Kubernetes container runtime interface: a line each of
//!
//! ```text
//! 2026-11-22T06:59:02.878996981Z stdout F the text
//! ```
//!
//! `P` instead of `F`: the text goes on in the next line of the same stream. The file is bounded: one that has grown too
//! long becomes `log.1`, and takes the place of the `log.1` that was there.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::time::SystemTime;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;

use super::time;
use crate::error::{Doing, Result};

/// Of two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, and a terminal.
    Out,
    /// Standard error.
    Err,
}

const NAMES: [&str; 2] = ["log", "log.1"];

/// Writes a container's log.
#[derive(Debug)]
pub struct Log {
    dir: OwnedFd,
    file: Option<File>,
    length: u64,
    /// So many bytes at the most in each of the two files.
    most: u64,
}

impl Log {
    /// Goes on with the log of a home; `most` is 0 where none is wanted.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn open(dir: OwnedFd, most: u64) -> Result<Self> {
        let mut log = Self {
            dir,
            file: None,
            length: 0,
            most,
        };
        if most > 0 {
            log.start().doing("cannot open the log")?;
        }
        Ok(log)
    }

    fn start(&mut self) -> Result<(), Errno> {
        let flags = OFlag::O_WRONLY
            | OFlag::O_CREAT
            | OFlag::O_APPEND
            | OFlag::O_CLOEXEC
            | OFlag::O_NOFOLLOW;
        let file = openat(
            self.dir.as_fd(),
            NAMES[0],
            flags,
            Mode::S_IRUSR | Mode::S_IWUSR,
        )?;
        let file = File::from(file);
        self.length = file.metadata().map_or(0, |meta| meta.len());
        self.file = Some(file);
        Ok(())
    }

    /// Adds what a stream gave. What cannot be written is lost: a full disk must not stop the container.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let Some(file) = &mut self.file else { return };
        let name = match stream {
            Stream::Out => "stdout",
            Stream::Err => "stderr",
        };
        let at = time::fixed(SystemTime::now());
        let mut text = Vec::with_capacity(bytes.len() + 64);
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            let (kind, end) = match line.ends_with(b"\n") {
                true => ("F", ""),
                false => ("P", "\n"),
            };
            text.extend_from_slice(format!("{at} {name} {kind} ").as_bytes());
            text.extend_from_slice(line);
            text.extend_from_slice(end.as_bytes());
        }
        if file.write_all(&text).is_ok() {
            self.length += text.len() as u64;
        }
        if self.length > self.most {
            let dir = self.dir.as_fd();
            let _ = renameat(dir, NAMES[0], dir, NAMES[1]).and_then(|()| self.start());
        }
    }
}

/// What a reader of a log wants.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// So many lines at the end; all without.
    pub tail: Option<usize>,
    /// What was written before this point ([`time::fixed`]) is left out.
    pub since: String,
    /// What was written behind it.
    pub until: Option<String>,
    /// The time before every line.
    pub times: bool,
}

/// Reads a container's log.
#[derive(Debug)]
pub struct Reader {
    dir: OwnedFd,
    file: Option<File>,
    wanted: Wanted,
    /// A line whose end is not there yet.
    rest: Vec<u8>,
    /// For each stream whether its last line goes on.
    open: [bool; 2],
}

/// Takes what is to be shown of a stream; says whether it wants more.
pub type Show<'a> = &'a mut dyn FnMut(Stream, &[u8]) -> bool;

impl Reader {
    /// Reads the log of a home.
    pub fn new(dir: OwnedFd, wanted: Wanted) -> Self {
        Self {
            dir,
            file: None,
            wanted,
            rest: Vec::new(),
            open: [false; 2],
        }
    }

    fn open(&self, name: &str) -> Option<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        openat(self.dir.as_fd(), name, flags, Mode::empty())
            .ok()
            .map(File::from)
    }

    /// Shows what is there.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn first(&mut self, show: Show<'_>) -> Result<bool> {
        let mut text = Vec::new();
        for name in NAMES.into_iter().rev() {
            if let Some(mut file) = self.open(name) {
                file.read_to_end(&mut text).doing("cannot read the log")?;
                self.file = (name == NAMES[0]).then_some(file);
            }
        }
        let start = match self.wanted.tail {
            Some(count) => last_lines(&text, count),
            None => 0,
        };
        Ok(self.lines(text.get(start..).unwrap_or_default(), show))
    }

    /// Shows what has come since.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn next(&mut self, show: Show<'_>) -> Result<bool> {
        let mut text = Vec::new();
        if let Some(file) = &mut self.file {
            file.read_to_end(&mut text).doing("cannot read the log")?;
        }
        // The file that we have may be log.1 now.
        if let Some(mut newer) = self.open(NAMES[0])
            && !self.file.as_ref().is_some_and(|old| same(old, &newer))
        {
            newer
                .seek(SeekFrom::Start(0))
                .and_then(|_| newer.read_to_end(&mut text))
                .doing("cannot read the log")?;
            self.file = Some(newer);
        }
        Ok(self.lines(&text, show))
    }

    fn lines(&mut self, text: &[u8], show: Show<'_>) -> bool {
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(text);
        for line in rest.split_inclusive(|b| *b == b'\n') {
            if !line.ends_with(b"\n") {
                self.rest = line.to_vec();
            } else if !self.line(line, show) {
                return false;
            }
        }
        true
    }

    fn line(&mut self, line: &[u8], show: Show<'_>) -> bool {
        let Some((at, stream, goes_on, text)) = parse(line) else {
            return true;
        };
        let too_late = |until: &String| at > until.as_bytes();
        if at < self.wanted.since.as_bytes() || self.wanted.until.as_ref().is_some_and(too_late) {
            return true;
        }
        let continues = std::mem::replace(&mut self.open[stream as usize], goes_on);
        let mut shown = Vec::new();
        if self.wanted.times && !continues {
            shown = [at, b" "].concat();
        }
        shown.extend_from_slice(match goes_on {
            true => text.strip_suffix(b"\n").unwrap_or(text),
            false => text,
        });
        show(stream, &shown)
    }
}

fn same(one: &File, other: &File) -> bool {
    let id = |file: &File| -> io::Result<(u64, u64)> {
        let meta = file.metadata()?;
        Ok((meta.dev(), meta.ino()))
    };
    matches!((id(one), id(other)), (Ok(a), Ok(b)) if a == b)
}

/// Its time, its stream, whether it goes on, its text.
fn parse(line: &[u8]) -> Option<(&[u8], Stream, bool, &[u8])> {
    let mut words = line.splitn(4, |b| *b == b' ');
    let at = words.next()?;
    let stream = match words.next()? {
        b"stdout" => Stream::Out,
        b"stderr" => Stream::Err,
        _ => return None,
    };
    Some((at, stream, words.next()? == b"P", words.next()?))
}

/// Where the last lines that a program wrote start.
fn last_lines(text: &[u8], count: usize) -> usize {
    let mut start = text.len();
    let mut found = 0;
    for line in text.split_inclusive(|b| *b == b'\n').rev() {
        let ends = parse(line).is_none_or(|(_, _, goes_on, _)| !goes_on);
        // A part without an end at the very end is a line too.
        if ends || start == text.len() {
            found += 1;
        }
        if found > count {
            break;
        }
        start -= line.len();
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(dir: &OwnedFd, wanted: Wanted) -> String {
        let mut out = Vec::new();
        let mut reader = Reader::new(dir.try_clone().unwrap(), wanted);
        reader
            .first(&mut |_, text| {
                out.extend_from_slice(text);
                true
            })
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_was_written_is_read_again_and_the_file_stays_short() {
        let path = std::env::temp_dir().join(format!("isobox-log-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let dir: OwnedFd = File::open(&path).unwrap().into();
        let mut log = Log::open(dir.try_clone().unwrap(), 400).unwrap();
        log.write(Stream::Out, b"one\ntw");
        log.write(Stream::Out, b"o\n");
        log.write(Stream::Err, b"three\nfour");
        assert_eq!(shown(&dir, Wanted::default()), "one\ntwo\nthree\nfour");
        for (count, want) in [
            (0, ""),
            (1, "four"),
            (2, "three\nfour"),
            (3, "two\nthree\nfour"),
        ] {
            let tail = Some(count);
            assert_eq!(
                shown(
                    &dir,
                    Wanted {
                        tail,
                        ..Wanted::default()
                    }
                ),
                want
            );
        }
        for n in 0..100 {
            log.write(Stream::Out, format!("{n}\n").as_bytes());
        }
        let all = shown(&dir, Wanted::default());
        assert!(all.ends_with("98\n99\n") && all.len() < 100, "{all}");
        let length = |name| std::fs::metadata(path.join(name)).unwrap().len();
        assert!(length("log") + length("log.1") < 1000);
        std::fs::remove_dir_all(&path).unwrap();
    }
}
