//! An image in a tar that can be read only once. Where its documents come first and its layers in their order, as
//! [`super::archive`] writes them, each layer is read from the stream as it comes. What comes too early is kept: a few
//! small things in memory, everything else in a file without a name, which is announced.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use nix::libc;

use super::archive::blob_path;
use super::descriptor::Descriptor;
use super::files::{Files, Indexed, Opened, clean};
use super::observer::Observer;
use super::open::Opening;
use super::stored::{Found, blob, find, missing};
use super::verify::Verified;
use super::{Image, MANIFEST_LIMIT, Source};
use crate::error::{Doing, Error, Result};
use crate::tar::{Bytes, Kind, Member, Reader};

/// How much is kept in memory.
const MEMORY: u64 = 8 << 20;
/// How much of the stream is read at once.
const PIECE: usize = 128 * 1024;

/// The image, and the stream it comes from.
pub(super) struct Stream<'a> {
    found: Found,
    state: Mutex<State<'a>>,
    /// Somebody has given the stream back.
    turn: Condvar,
}

struct State<'a> {
    tar: Rest<'a>,
    kept: Kept<'a>,
}

/// The rest of the tar.
enum Rest<'a> {
    Here(Box<Tar<'a>>),
    /// A reader of a blob has it.
    Lent,
    AtEnd,
}

struct Tar<'a> {
    reader: Reader<'a>,
    member: Member,
}

impl Bytes for BufReader<Box<dyn Read + Send + '_>> {}

impl<'a> Stream<'a> {
    /// Reads until all documents of the image are known.
    pub(super) fn open(
        tar: Box<dyn Read + Send + 'a>,
        opening: Opening<'a>,
    ) -> Result<Box<dyn Source + 'a>> {
        let mut tar = Box::new(Tar {
            reader: Reader::new(BufReader::with_capacity(PIECE, tar)),
            member: Member::default(),
        });
        let mut kept = Kept {
            memory: BTreeMap::new(),
            used: 0,
            file: None,
            directory: opening.spool,
            observer: opening.observer,
        };
        loop {
            let more = tar.reader.next(&mut tar.member)?;
            if more {
                kept.keep(&mut tar)?;
                // Only a document can complete the documents; once something was put into a file, all is.
                if kept.file.is_some() || tar.member.kind != Kind::File {
                    continue;
                }
            }
            if let Some(found) = find(&kept, &opening.choice)? {
                let tar = if more { Rest::Here(tar) } else { Rest::AtEnd };
                return Ok(Box::new(Self {
                    found,
                    state: Mutex::new(State { tar, kept }),
                    turn: Condvar::new(),
                }));
            }
            if !more {
                return Err(Error::new("no image in it").because(
                    "it has neither index.json nor manifest.json, or lacks what they name",
                ));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on to the member that is this blob, and keeps what comes before it and is wanted later.
    fn advance(&self, state: &mut State<'a>, mut tar: Box<Tar<'a>>, wanted: &[u8]) -> Result<()> {
        let layers = &self.found.image.manifest.layers;
        while tar.reader.next(&mut tar.member)? {
            let path = clean(&tar.member.path);
            let uses = layers
                .iter()
                .filter(|layer| blob_path(&layer.digest).as_bytes() == path)
                .count();
            if path == wanted && tar.member.kind == Kind::File && uses < 2 {
                state.tar = Rest::Here(tar);
                return Ok(());
            }
            if uses > 0 {
                state.kept.keep(&mut tar)?;
            }
            if path == wanted {
                state.tar = Rest::Here(tar);
                return Ok(());
            }
        }
        state.tar = Rest::AtEnd;
        Ok(())
    }
}

impl<'a> Source for Stream<'a> {
    fn image(&self) -> &Image {
        &self.found.image
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        let wanted = blob_path(&descriptor.digest).into_bytes();
        let mut state = self.lock();
        loop {
            if let Some(kept) = blob(&state.kept, &self.found, descriptor)? {
                return Ok(kept);
            }
            match std::mem::replace(&mut state.tar, Rest::Lent) {
                Rest::Lent => {
                    state = self
                        .turn
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                Rest::AtEnd => {
                    state.tar = Rest::AtEnd;
                    return Err(missing(descriptor));
                }
                Rest::Here(tar) => {
                    let advanced = self.advance(&mut state, tar, &wanted);
                    if advanced.is_err() {
                        state.tar = Rest::AtEnd;
                    }
                    advanced?;
                }
            }
            if let Rest::Here(tar) = &state.tar
                && clean(&tar.member.path) == wanted
                && blob(&state.kept, &self.found, descriptor)?.is_none()
                && let Rest::Here(tar) = std::mem::replace(&mut state.tar, Rest::Lent)
            {
                let lent = Lent {
                    tar: Some(tar),
                    home: self,
                };
                return Ok(Box::new(Verified::new(lent, descriptor)));
            }
        }
    }
}

/// The stream in the hands of whoever reads a blob from it; it goes back when that is done.
struct Lent<'s, 'a> {
    tar: Option<Box<Tar<'a>>>,
    home: &'s Stream<'a>,
}

impl Read for Lent<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tar) = &mut self.tar else {
            return Ok(0);
        };
        let mut data = tar.reader.data().map_err(io::Error::other)?;
        let count = data.read(buffer)?;
        tar.reader.take(count);
        Ok(count)
    }
}

impl Drop for Lent<'_, '_> {
    fn drop(&mut self) {
        if let Some(tar) = self.tar.take() {
            self.home.lock().tar = Rest::Here(tar);
            self.home.turn.notify_all();
        }
    }
}

/// Members that came too early.
struct Kept<'a> {
    memory: BTreeMap<Vec<u8>, Arc<[u8]>>,
    used: u64,
    /// Everything from the first on that was too large for memory, and where the file ends.
    file: Option<(Indexed, u64)>,
    directory: PathBuf,
    observer: &'a dyn Observer,
}

impl Kept<'_> {
    /// Keeps the member that the reader stands at.
    fn keep(&mut self, tar: &mut Tar<'_>) -> Result<()> {
        let size = tar.reader.left();
        match tar.member.kind {
            Kind::Directory => return Ok(()),
            Kind::File
                if self.file.is_none() && size <= MANIFEST_LIMIT && self.used + size <= MEMORY =>
            {
                let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
                copy(&mut tar.reader, &mut bytes).doing("cannot read the archive")?;
                self.used += size;
                self.memory.insert(clean(&tar.member.path), bytes.into());
                return Ok(());
            }
            _ => {}
        }
        if self.file.is_none() {
            self.file = Some((Indexed::new(self.make_file()?), 0));
        }
        let Some((index, end)) = &mut self.file else {
            return Ok(());
        };
        index.add(&tar.member, *end, size)?;
        copy(&mut tar.reader, &mut index.file())
            .doing_to("cannot write to a file in", &self.directory)?;
        *end += size;
        Ok(())
    }

    fn make_file(&self) -> Result<File> {
        self.observer.note(&format!(
            "the archive has its layers before what says their order, or not in it: they are kept in a temporary file in {}",
            self.directory.display()
        ));
        File::options()
            .read(true)
            .write(true)
            .mode(0o600)
            .custom_flags(libc::O_TMPFILE)
            .open(&self.directory)
            .doing_to("cannot make a temporary file in", &self.directory)
    }
}

impl Files for Kept<'_> {
    fn open(&self, path: &str) -> Result<Option<Opened>> {
        if let Some(bytes) = self.memory.get(&clean(path.as_bytes())) {
            let reader = io::Cursor::new(Arc::clone(bytes));
            return Ok(Some((bytes.len() as u64, Box::new(reader))));
        }
        match &self.file {
            Some((index, _)) => index.open(path),
            None => Ok(None),
        }
    }
}

/// Copies all data of a member.
fn copy(reader: &mut Reader<'_>, to: &mut dyn Write) -> io::Result<()> {
    loop {
        let data = reader.data().map_err(io::Error::other)?;
        if data.is_empty() {
            return Ok(());
        }
        let count = data.len();
        to.write_all(data)?;
        reader.take(count);
    }
}
