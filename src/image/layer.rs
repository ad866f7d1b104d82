//! Layers as streams: from the bytes of a blob to the bytes of its tar.
//!
//! What a layer is packed with, its first bytes say; where its media type says so too, both have to agree. The end is
//! the judge here as well: bytes behind the packed data are refused, and so is data that grows beyond all measure.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use super::descriptor::Packing;
use super::frames::Frames;
use crate::error::{Doing, Error, Result};

/// How much of a blob is read at once.
const PIECE: usize = 128 * 1024;
/// How many bytes a decoder may look back, unless told: what every decoder of zstd has to take (RFC 8878, 3.1.1.1.2),
/// and the dictionary of xz's usual level. It is what decides on how much memory an image needs.
pub const WINDOW: u64 = 8 << 20;
/// From this size on, data may have at most [`RATIO`] times the size of its packing.
const RATIO_FROM: u64 = 256 << 20;
/// No data that somebody wants packs better.
const RATIO: u64 = 1000;

/// The bytes of a blob, counted.
pub(super) type Packed<'r> = BufReader<Counted<'r>>;

pub(super) struct Counted<'r> {
    inner: Box<dyn Read + Send + 'r>,
    count: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}

/// The tar of a layer. Reading it to the end means that all of the blob was read, and nothing follows what was packed.
pub struct Unpacked<'r> {
    decoder: Decoder<'r>,
    count: u64,
    window: u64,
}

enum Decoder<'r> {
    Plain(Packed<'r>),
    Gzip(Box<MultiGzDecoder<Packed<'r>>>),
    Zstd(Box<Frames<'r>>),
    Xz(Box<lzma_rust2::XzReader<Packed<'r>>>),
}

impl<'r> Unpacked<'r> {
    /// Looks at the first bytes of a blob. `said` is what its media type says, where it has any; `window` is how many
    /// bytes the decoder may look back.
    ///
    /// # Errors
    /// Where it cannot be read, is packed with something that is not known, or with something else than was said.
    pub fn new(
        blob: Box<dyn Read + Send + 'r>,
        said: Option<Packing>,
        window: u64,
    ) -> Result<Self> {
        let counted = Counted {
            inner: blob,
            count: 0,
        };
        let mut packed = BufReader::with_capacity(PIECE, counted);
        let start = peek(&mut packed).doing("cannot read the layer")?;
        let decoder = match packed_with(start, said)? {
            Found::Plain => Decoder::Plain(packed),
            Found::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(packed))),
            Found::Zstd => Decoder::Zstd(Box::new(
                Frames::new(packed, window).doing("cannot unpack zstd")?,
            )),
            Found::Xz => {
                // Beside its dictionary it takes some.
                let memory = u32::try_from(window / 1024 + 1024).unwrap_or(u32::MAX);
                let reader = lzma_rust2::XzReader::new_mem_limit(packed, true, memory);
                Decoder::Xz(Box::new(reader))
            }
        };
        Ok(Self {
            decoder,
            count: 0,
            window,
        })
    }

    fn packed(&mut self) -> &mut Packed<'r> {
        match &mut self.decoder {
            Decoder::Plain(packed) => packed,
            Decoder::Gzip(decoder) => decoder.get_mut(),
            Decoder::Zstd(frames) => frames.packed(),
            Decoder::Xz(decoder) => decoder.inner_mut(),
        }
    }

    /// The decoder has come to its end: so must the blob, whose verdict this asks for.
    fn end(&mut self) -> io::Result<usize> {
        if self.packed().fill_buf()?.is_empty() {
            return Ok(0);
        }
        Err(invalid("bytes follow the end of the packed data"))
    }
}

impl Read for Unpacked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.decoder {
            Decoder::Plain(packed) => packed.read(buffer),
            Decoder::Gzip(decoder) => decoder.read(buffer),
            Decoder::Zstd(frames) => frames.read(buffer),
            Decoder::Xz(decoder) => decoder.read(buffer),
        }
        .map_err(|error| larger(error, self.window))?;
        if count == 0 && !buffer.is_empty() {
            return self.end();
        }
        self.count += count as u64;
        if self.count > RATIO_FROM && self.count / RATIO > self.packed().get_ref().count {
            return Err(invalid(
                "it unpacks to more than a thousand times its size: it was made to fill disks",
            ));
        }
        Ok(count)
    }
}

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Plain,
    Gzip,
    Zstd,
    Xz,
}

fn packed_with(start: &[u8], said: Option<Packing>) -> Result<Found> {
    let found = match start {
        [0x1f, 0x8b, ..] => Found::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Found::Zstd,
        // A skippable frame, with which zstd:chunked may start.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Found::Zstd,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Found::Xz,
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => {
            return Err(Error::new("packed with bzip2").because("which is not supported"));
        }
        _ => Found::Plain,
    };
    let wanted = match said {
        None => return Ok(found),
        Some(Packing::Plain) => Found::Plain,
        Some(Packing::Gzip) => Found::Gzip,
        Some(Packing::Zstd) => Found::Zstd,
        Some(Packing::Unknown) => {
            return Err(Error::new("the layer is packed in a way that is not known")
                .hint("encrypted images are not supported"));
        }
    };
    if found == wanted {
        return Ok(found);
    }
    Err(
        Error::new("the layer is not what its media type says").because(format!(
            "{} instead of {}",
            found.name(),
            wanted.name()
        )),
    )
}

impl Found {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "a bare tar",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
        }
    }
}

/// Whether these bytes start a file that is packed with something known here.
pub(super) fn is_packed(start: &[u8]) -> bool {
    packed_with(start, None).is_ok_and(|found| found != Found::Plain)
}

/// What the media type of a layer that starts with these bytes ends in.
pub(super) fn suffix(start: &[u8]) -> &'static str {
    packed_with(start, None).map_or("", Found::name)
}

/// What a decoder says that wants to look back farther than it may.
fn larger(error: io::Error, window: u64) -> io::Error {
    if error.kind() != io::ErrorKind::OutOfMemory {
        return error;
    }
    let refusal = Error::new("cannot unpack")
        .because(format!(
            "its packing wants a window of more than {} MiB of memory",
            window >> 20
        ))
        .hint("mkrootfs --max-window 128 takes what the highest levels of zstd and xz make");
    io::Error::new(io::ErrorKind::InvalidData, refusal)
}

/// The first bytes, at least as many as tell packings apart where there are so many. A pipe may give one at a time, but
/// nobody writes so.
fn peek<'b>(packed: &'b mut Packed<'_>) -> io::Result<&'b [u8]> {
    while let Err(error) = packed.fill_buf() {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    packed.fill_buf()
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 1).unwrap()
    }

    fn unpack(bytes: &[u8], said: Option<Packing>) -> std::result::Result<Vec<u8>, String> {
        let mut unpacked = Vec::new();
        let mut reader = Unpacked::new(Box::new(bytes), said, WINDOW).map_err(|e| e.to_string())?;
        reader
            .read_to_end(&mut unpacked)
            .map_err(|e| e.to_string())?;
        Ok(unpacked)
    }

    #[test]
    fn every_packing_is_known_by_its_first_bytes() {
        let skippable = [
            &[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..],
            &zstd(b"text"),
        ]
        .concat();
        let two_frames = [zstd(b"te"), skippable.clone()].concat();
        type Want<'a> = Result<&'a [u8], &'a str>;
        let cases: [(Vec<u8>, Option<Packing>, Want<'_>); 16] = [
            (b"text".to_vec(), None, Ok(b"text")),
            (Vec::new(), None, Ok(b"")),
            (gzip(b"text"), None, Ok(b"text")),
            (
                [gzip(b"te"), gzip(b"xt")].concat(),
                Some(Packing::Gzip),
                Ok(b"text"),
            ),
            (zstd(b"text"), Some(Packing::Zstd), Ok(b"text")),
            (skippable, Some(Packing::Zstd), Ok(b"text")),
            (two_frames, None, Ok(b"tetext")),
            (
                b"text".to_vec(),
                Some(Packing::Gzip),
                Err("a bare tar instead of gzip"),
            ),
            (
                gzip(b"text"),
                Some(Packing::Plain),
                Err("gzip instead of a bare tar"),
            ),
            (gzip(b"text"), Some(Packing::Unknown), Err("not known")),
            (b"BZh91AY".to_vec(), None, Err("bzip2")),
            ([gzip(b"te"), b"garbage".to_vec()].concat(), None, Err("")),
            ([zstd(b"te"), b"garbage".to_vec()].concat(), None, Err("")),
            (gzip(b"text")[..20].to_vec(), None, Err("")),
            (zstd(b"text")[..10].to_vec(), None, Err("")),
            ([&gzip(b"text")[..18], &[0; 8][..]].concat(), None, Err("")),
        ];
        for (at, (bytes, said, want)) in cases.into_iter().enumerate() {
            let got = unpack(&bytes, said);
            match want {
                Ok(text) => assert_eq!(got.as_deref(), Ok(text), "case {at}"),
                Err(why) => assert!(
                    got.as_ref().is_err_and(|e| e.contains(why)),
                    "case {at}: {got:?}"
                ),
            }
        }
    }

    #[test]
    fn a_bomb_does_not_go_off() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let zeros = vec![0; 1 << 20];
        for _ in 0..300 {
            encoder.write_all(&zeros).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        let mut reader = Unpacked::new(Box::new(&bomb[..]), None, WINDOW).unwrap();
        let error = io::copy(&mut reader, &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("thousand"), "{error}");
    }
}
