//! Verification in the stream: a reader that counts and hashes what passes through it, and makes the end the judge.
//!
//! It refuses a byte more and a byte less than the descriptor says, and the last read, which would report the end,
//! reports the digest's verdict instead. Whoever reads to the end without an error has read the blob and nothing else.

use std::io::{self, Read};

use super::descriptor::Descriptor;
use super::digest::{Digest, Hasher};
use crate::error::{Error, Result};

/// A reader of exactly the bytes of a descriptor.
pub struct Verified<R> {
    inner: R,
    hasher: Option<Hasher>,
    want: Digest,
    size: u64,
    seen: u64,
    refused: bool,
}

impl<R: Read> Verified<R> {
    /// Reads `inner`, which ought to hold the blob of this descriptor and nothing behind it.
    pub fn new(inner: R, descriptor: &Descriptor) -> Self {
        Self {
            inner,
            hasher: Some(descriptor.digest.hasher()),
            want: descriptor.digest,
            size: descriptor.size,
            seen: 0,
            refused: false,
        }
    }

    /// The reader inside.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// At the end of the inner reader: nothing may be missing, and the digest has to be the one wanted.
    fn end(&mut self) -> io::Result<usize> {
        if self.seen < self.size {
            let why = format!("it ended after {} of {} bytes", self.seen, self.size);
            return Err(refused(mismatch(&self.want, why)));
        }
        if let Some(hasher) = self.hasher.take() {
            let got = hasher.finish();
            if got != self.want {
                self.refused = true;
                return Err(refused(other(&self.want, &got)));
            }
        }
        Ok(0)
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.inner.read(buffer)?;
        let (Some(hasher), Some(read)) = (&mut self.hasher, buffer.get(..count)) else {
            // The verdict was given, and stays.
            return match count {
                0 if !self.refused => Ok(0),
                0 => Err(refused(Error::new("the content was refused"))),
                _ => Err(refused(too_long(&self.want, self.size))),
            };
        };
        if count == 0 {
            return self.end();
        }
        self.seen = self.seen.saturating_add(count as u64);
        if self.seen > self.size {
            return Err(refused(too_long(&self.want, self.size)));
        }
        hasher.update(read);
        Ok(count)
    }
}

/// What is said of a blob that has more bytes than it should.
pub(super) fn too_long(want: &Digest, size: u64) -> Error {
    mismatch(
        want,
        format!("it goes on after the {size} bytes it should have"),
    )
}

/// What is said of a blob that is another.
pub(super) fn other(want: &Digest, got: &Digest) -> Error {
    mismatch(want, format!("its digest is {got}"))
}

fn refused(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn mismatch(want: &Digest, why: String) -> Error {
    Error::new(format!("the content is not that of digest {want}")).because(why)
}

/// Checks a document that is in memory against its descriptor.
///
/// # Errors
/// Where size or digest are others.
pub fn check(bytes: &[u8], descriptor: &Descriptor) -> Result<()> {
    let want = &descriptor.digest;
    if bytes.len() as u64 != descriptor.size {
        let why = format!(
            "it has {} bytes instead of {}",
            bytes.len(),
            descriptor.size
        );
        return Err(mismatch(want, why));
    }
    check_digest(bytes, want)
}

/// Checks a document whose size nobody has promised.
///
/// # Errors
/// Where the digest is another.
pub fn check_digest(bytes: &[u8], want: &Digest) -> Result<()> {
    let got = want.same_kind(bytes);
    if got == *want {
        return Ok(());
    }
    Err(other(want, &got))
}

/// What a reader of ours complained about, or the kernel's word: an `io::Error` on its way back to being our own.
pub fn unwrap(error: io::Error, doing: impl FnOnce() -> Error) -> Error {
    match error.downcast::<Error>() {
        Ok(ours) => ours,
        Err(error) => match error.raw_os_error() {
            Some(errno) => doing().errno_is(nix::errno::Errno::from_raw(errno)),
            None => doing().because(error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], digest: Digest, size: u64) -> Result<Vec<u8>, String> {
        let descriptor = Descriptor::new("x", digest, size);
        let mut out = Vec::new();
        // In pieces, so that the end does not come with the last bytes.
        let mut reader = Verified::new(bytes.chain(&b""[..]), &descriptor);
        match reader.read_to_end(&mut out) {
            Ok(_) => Ok(out),
            Err(e) => Err(e.to_string()),
        }
    }

    #[test]
    fn only_the_very_bytes_pass() {
        let digest = Digest::sha256(b"layer");
        assert_eq!(read(b"layer", digest, 5), Ok(b"layer".to_vec()));
        let cases: [(&[u8], u64, &str); 4] = [
            (b"Layer", 5, "its digest is sha256:"),
            (b"laye", 5, "ended after 4 of 5 bytes"),
            (b"layers", 5, "goes on after the 5 bytes"),
            (b"layer", 6, "ended after 5 of 6 bytes"),
        ];
        for (bytes, size, want) in cases {
            let got = read(bytes, digest, size).unwrap_err();
            assert!(got.contains(want), "{got}");
        }
        assert_eq!(read(b"", Digest::sha256(b""), 0), Ok(Vec::new()));
    }

    #[test]
    fn what_was_refused_stays_refused() {
        let descriptor = Descriptor::new("x", Digest::sha256(b"layer"), 5);
        let mut reader = Verified::new(&b"LAYER"[..], &descriptor);
        let mut buffer = [0; 16];
        assert_eq!(reader.read(&mut buffer).ok(), Some(5));
        assert!(reader.read(&mut buffer).is_err());
        assert!(reader.read(&mut buffer).is_err());
    }

    #[test]
    fn documents_are_checked_too() {
        let good = Descriptor::new("x", Digest::sha256(b"{}"), 2);
        assert!(check(b"{}", &good).is_ok());
        assert!(check(b"[]", &good).is_err());
        assert!(check(b"{} ", &good).is_err());
    }
}
