//! What an input is: an image, in a directory or a tar, packed or not, or a tar that is a root by itself. A file that
//! can be read from anywhere is; everything else is read once, from start to end (`stream.rs`).

use std::fs::File;
use std::io::{Cursor, Read, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::Source;
use super::files::{self, Indexed};
use super::layer::{Unpacked, is_packed};
use super::observer::Observer;
pub use super::stored::Choice;
use super::stored::Stored;
use super::stream::Stream;
use crate::error::{Doing, Error, Result};
use crate::tar::{Member, Reader};

/// How much is read to tell what an input is.
const START: usize = 65536;

/// What an input is.
pub enum Input<'a> {
    /// An image.
    Image(Box<dyn Source + 'a>),
    /// The tar of a root, packed or not.
    Root(Box<dyn Read + Send + 'a>),
}

/// How an input is opened.
pub struct Opening<'a> {
    /// The image that is wanted, where there are several.
    pub choice: Choice,
    /// Where to keep what comes too early to be used.
    pub spool: PathBuf,
    /// Is told where that happens.
    pub observer: &'a dyn Observer,
    /// How many bytes a decoder of it may look back.
    pub window: u64,
}

/// The image in a layout directory.
///
/// # Errors
/// Where there is none, or not the one wanted.
pub fn directory(layout: OwnedFd, choice: &Choice) -> Result<Box<dyn Source>> {
    Ok(Box::new(Stored::new(files::Directory(layout), choice)?))
}

/// What is in a file, from where it is read next; it may be a pipe.
///
/// # Errors
/// Where it cannot be read, is no archive, or lacks the image wanted.
pub fn file<'a>(mut file: File, opening: Opening<'a>) -> Result<Input<'a>> {
    let meta = file.metadata().doing(READING)?;
    if meta.is_dir() {
        return directory(file.into(), &opening.choice).map(Input::Image);
    }
    if meta.is_file() {
        let start = file.stream_position().doing(READING)?;
        let mut head = vec![0; START];
        let count = file.read_at(&mut head, start).doing(READING)?;
        head.truncate(count);
        if !is_packed(&head) {
            return match what_is(&head)? {
                What::Root => Ok(Input::Root(Box::new(file))),
                What::Image => {
                    let stored = Stored::new(Indexed::of_tar(file, start)?, &opening.choice)?;
                    Ok(Input::Image(Box::new(stored)))
                }
            };
        }
    }
    let mut unpacked = Unpacked::new(Box::new(file), None, opening.window)?;
    let mut head = Vec::with_capacity(START);
    Read::by_ref(&mut unpacked)
        .take(START as u64)
        .read_to_end(&mut head)
        .doing(READING)?;
    let what = what_is(&head)?;
    let whole: Box<dyn Read + Send> = Box::new(Cursor::new(head).chain(unpacked));
    Ok(match what {
        What::Root => Input::Root(whole),
        What::Image => Input::Image(Stream::open(whole, opening)?),
    })
}

const READING: &str = "cannot read the input";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Image,
    Root,
}

/// Tells by the first member of a tar that is not the directory it was made from.
fn what_is(head: &[u8]) -> Result<What> {
    if head.is_empty() {
        return Err(Error::new("the input is empty"));
    }
    let (mut reader, mut member) = (Reader::new(head), Member::default());
    loop {
        match reader.next(&mut member) {
            Ok(true) => {}
            Ok(false) => return Ok(What::Root),
            Err(_) if member.path.is_empty() && reader.is_at_start() => {
                return Err(Error::new("the input is no archive")
                    .hint("what is taken: a tar of an image or of a root, bare or packed with gzip, zstd or xz; an OCI layout directory"));
            }
            // Cut off within a large header, or bad: whoever reads it in earnest says so.
            Err(_) => return Ok(What::Root),
        }
        let path = files::clean(&member.path);
        if !path.is_empty() {
            return Ok(if is_of_an_image(&path) {
                What::Image
            } else {
                What::Root
            });
        }
    }
}

/// Whether a member of this name is one of an OCI layout, or of what docker saves.
fn is_of_an_image(path: &[u8]) -> bool {
    let first = path.split(|b| *b == b'/').next().unwrap_or_default();
    let is_id = |name: &[u8]| name.len() == 64 && name.iter().all(u8::is_ascii_hexdigit);
    let stem = first
        .strip_suffix(b".json")
        .or_else(|| first.strip_suffix(b".tar"))
        .or_else(|| first.strip_suffix(b".tar.gz"))
        .unwrap_or(first);
    let stem = stem.strip_prefix(b"sha256:").unwrap_or(stem);
    matches!(
        path,
        b"oci-layout" | b"index.json" | b"manifest.json" | b"repositories"
    ) || first == b"blobs"
        || is_id(stem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::Writer;

    #[test]
    fn the_first_member_tells() {
        let id = "0123456789abcdef".repeat(4);
        let cases = [
            ("oci-layout", What::Image),
            ("./index.json", What::Image),
            ("blobs/", What::Image),
            (&format!("{id}.json"), What::Image),
            (&format!("{id}/layer.tar"), What::Image),
            (&format!("sha256:{id}"), What::Image),
            ("bin", What::Root),
            ("./etc/passwd", What::Root),
            ("0123.json", What::Root),
        ];
        for (path, want) in cases {
            let mut writer = Writer::new(Vec::new());
            writer.directory(b"./").unwrap();
            if path.ends_with('/') {
                writer.directory(path.as_bytes()).unwrap();
            } else {
                writer.file(path.as_bytes(), b"").unwrap();
            }
            let tar = writer.finish().unwrap();
            assert_eq!(what_is(&tar).unwrap(), want, "{path}");
        }
        assert!(what_is(b"").is_err());
        assert!(what_is(b"#!/bin/sh\n").is_err());
        assert!(what_is(&[b'x'; 1024]).is_err());
        assert_eq!(what_is(&[0; 1024]).unwrap(), What::Root);
    }
}
