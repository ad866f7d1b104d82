//! zstd (RFC 8878): frames, one after the other, in bounded memory.
//!
//! A frame says how far it may look back, and mostly says more than it does: zstd:chunked has 32 MiB before chunks of some
//! kilobytes. What a decoder sets aside for that costs nothing until there is something in it, so a frame may say what it
//! likes, up to what zstd's own program takes, and is refused where it really goes on beyond what is allowed.

use std::io::{self, BufRead, Read};

use zstd::stream::raw::{Decoder, Operation};

use super::layer::Packed;

/// The largest window that a frame may speak of, as a power of two: what the zstd program takes without being told.
const LOG: u32 = 27;

/// The content of frames.
pub(super) struct Frames<'r> {
    packed: Packed<'r>,
    decoder: Decoder<'static>,
    window: u64,
    frame: Frame,
}

/// What is known of the present frame: its first bytes, and how much came out of it.
#[derive(Default)]
struct Frame {
    start: [u8; 6],
    seen: usize,
    content: u64,
}

impl<'r> Frames<'r> {
    /// Frames that may need `window` bytes of what was before.
    pub(super) fn new(packed: Packed<'r>, window: u64) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        let largest = window.max(1).ilog2().clamp(LOG, 30);
        decoder.set_parameter(zstd::zstd_safe::DParameter::WindowLogMax(largest))?;
        Ok(Self {
            packed,
            decoder,
            window,
            frame: Frame::default(),
        })
    }

    pub(super) fn packed(&mut self) -> &mut Packed<'r> {
        &mut self.packed
    }
}

impl Read for Frames<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let input = self.packed.fill_buf()?;
            let is_end = input.is_empty();
            if is_end && self.frame.seen == 0 || buffer.is_empty() {
                return Ok(0);
            }
            let status = self.decoder.run_on_buffers(input, buffer)?;
            let taken = input.get(..status.bytes_read).unwrap_or_default();
            self.frame.note(taken, status.bytes_written);
            self.packed.consume(status.bytes_read);
            if self.frame.content > self.window && self.frame.window() > self.window {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            if status.remaining == 0 {
                self.frame = Frame::default();
            }
            if status.bytes_written > 0 {
                return Ok(status.bytes_written);
            }
            if is_end && status.remaining > 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

impl Frame {
    fn note(&mut self, taken: &[u8], written: usize) {
        let missing = self.start.iter_mut().skip(self.seen);
        for (place, byte) in missing.zip(taken) {
            *place = *byte;
        }
        self.seen = self.seen.saturating_add(taken.len());
        self.content = self.content.saturating_add(written as u64);
    }

    /// The window that the header speaks of. A frame in one segment has none: there it is its content.
    fn window(&self) -> u64 {
        let [.., descriptor, window] = self.start;
        if descriptor & 0x20 != 0 {
            return self.content;
        }
        let base = 1u64 << (10 + (window >> 3));
        base + base / 8 * u64::from(window & 7)
    }
}
