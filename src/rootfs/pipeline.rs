//! A layer on its way from a blob to the tree, in three threads:
//!
//! ```text
//!   blob ──> verify, unpack ──pieces──> hash the tar ──pieces──> apply
//!              ^                                                   |
//!              └──────────────── empty pieces ─────────────────────┘
//! ```
//!
//! Each layer has a fixed number of pieces, so memory does not depend on the image; whoever is ahead waits. The next
//! layer is unpacked ahead while the present one is applied.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope};

use crate::error::{Doing, Error, Result};
use crate::image::Digest;
use crate::image::descriptor::Packing;
use crate::image::layer::Unpacked;
use crate::tar::Bytes;

/// Small enough to stay in the second level cache from one thread to the next.
const PIECE: usize = 128 * 1024;
/// How many pieces a layer has: enough that a run of small files does not stop the unpacking.
const PIECES: usize = 32;
/// The threads call no deep functions.
const STACK: usize = 256 * 1024;

/// What goes from thread to thread: a piece of the tar, or how it ended.
enum Item {
    Piece(Vec<u8>),
    End(Result<()>),
}

/// The tar of a layer, as it comes. Its end is only reached where blob and tar were what their digests say.
pub struct Stream {
    items: Receiver<Item>,
    empty: SyncSender<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
    verdict: Option<Result<()>>,
}

/// Starts the two threads that unpack and hash a blob. `said` is what its media type says of its packing; without
/// `diff_id` nothing is hashed; `window` is how far its decoder may look back.
///
/// # Errors
/// Where there can be no more threads.
pub fn start<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    diff_id: Option<Digest>,
    said: Option<Packing>,
    window: u64,
    blob: Box<dyn Read + Send + 'env>,
) -> Result<Stream> {
    let (to_hash, unpacked) = sync_channel(PIECES);
    let (to_apply, items) = sync_channel(PIECES);
    let (empty, free) = sync_channel(PIECES);
    let thread = |name: &str| Builder::new().name(name.into()).stack_size(STACK);
    thread("unpack")
        .spawn_scoped(scope, move || {
            let opened = Unpacked::new(blob, said, window);
            let end = opened.and_then(|mut tar| unpack(&mut tar, &free, &to_hash));
            // Whoever has gone away knows why.
            let _ = to_hash.send(Item::End(end));
        })
        .doing("cannot start a thread")?;
    thread("hash")
        .spawn_scoped(scope, move || hash(diff_id, &unpacked, &to_apply))
        .doing("cannot start a thread")?;
    Ok(Stream {
        items,
        empty,
        piece: Vec::new(),
        at: 0,
        verdict: None,
    })
}

/// Fills pieces and hands them on.
fn unpack(
    tar: &mut Unpacked<'_>,
    free: &Receiver<Vec<u8>>,
    pieces: &SyncSender<Item>,
) -> Result<()> {
    let mut made = 0;
    loop {
        let mut piece = match free.try_recv() {
            Ok(piece) => piece,
            Err(_) if made < PIECES => {
                made += 1;
                Vec::new()
            }
            Err(_) => match free.recv() {
                Ok(piece) => piece,
                Err(_) => return Ok(()),
            },
        };
        let is_last = fill(tar, &mut piece).doing("cannot unpack the layer")?;
        if !piece.is_empty() && pieces.send(Item::Piece(piece)).is_err() || is_last {
            return Ok(());
        }
    }
}

/// Fills a piece; whether the tar is at its end.
fn fill(tar: &mut Unpacked<'_>, piece: &mut Vec<u8>) -> io::Result<bool> {
    piece.resize(PIECE, 0);
    let mut filled = 0;
    while let Some(rest) = piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match tar.read(rest) {
            Ok(0) => {
                piece.truncate(filled);
                return Ok(true);
            }
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Hashes pieces and hands them on; the digest is the verdict.
fn hash(diff_id: Option<Digest>, unpacked: &Receiver<Item>, to_apply: &SyncSender<Item>) {
    let mut hasher = diff_id.map(|digest| digest.hasher());
    for item in unpacked {
        let item = match item {
            Item::Piece(piece) => {
                if let Some(hasher) = &mut hasher {
                    hasher.update(&piece);
                }
                Item::Piece(piece)
            }
            Item::End(end) => Item::End(end.and_then(|()| judge(diff_id, hasher.take()))),
        };
        if to_apply.send(item).is_err() {
            return;
        }
    }
}

fn judge(want: Option<Digest>, hasher: Option<crate::image::digest::Hasher>) -> Result<()> {
    match (want, hasher.map(crate::image::digest::Hasher::finish)) {
        (Some(want), Some(got)) if want != got => Err(Error::new(
            "the layer's tar is not the one that the image's config names",
        )
        .because(format!("its digest is {got}, not {want}"))),
        _ => Ok(()),
    }
}

impl Stream {
    /// Reads what follows the archive in its stream, and gives the verdict on all of it.
    ///
    /// # Errors
    /// Where the blob or its tar were not what their digests say.
    pub fn finish(mut self) -> Result<()> {
        loop {
            match self.fill_buf() {
                Ok([]) => return Ok(()),
                Ok(rest) => {
                    let count = rest.len();
                    self.consume(count);
                }
                Err(_) => return self.verdict.unwrap_or_else(|| Err(gone())),
            }
        }
    }

    /// What ended the stream, where that was an error.
    pub fn failure(self) -> Option<Error> {
        self.verdict.and_then(Result::err)
    }
}

fn gone() -> Error {
    Error::new("cannot unpack the layer").because("the thread that does is gone")
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut bytes = self.fill_buf()?;
        let count = bytes.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Stream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at >= self.piece.len() && self.verdict.is_none() {
            let used = std::mem::take(&mut self.piece);
            if used.capacity() > 0 {
                // Where nobody wants it any more, the unpacking is at its end.
                let _ = self.empty.try_send(used);
            }
            self.at = 0;
            match self.items.recv() {
                Ok(Item::Piece(piece)) => self.piece = piece,
                Ok(Item::End(verdict)) => self.verdict = Some(verdict),
                Err(_) => self.verdict = Some(Err(gone())),
            }
        }
        match &self.verdict {
            Some(Err(error)) => Err(io::Error::other(error.clone())),
            _ => Ok(self.piece.get(self.at..).unwrap_or_default()),
        }
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Bytes for Stream {}
