//! Content digests (image-spec, descriptor.md "Digests"): parsed to bytes once, so that no text of a stranger ever
//! becomes part of a path or an address.

use std::fmt::{self, Write};
use std::str::FromStr;

use sha2::{Digest as _, Sha256, Sha512};

use crate::error::{Error, Result};
use crate::json::{Field, Fit, Given, Shown};

/// The digest of some content, by one of the two algorithms that image-spec registers.
///
/// ```
/// use isobox::image::Digest;
/// let empty = Digest::sha256(b"");
/// let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// assert_eq!(empty.to_string(), text);
/// assert_eq!(text.parse::<Digest>(), Ok(empty));
/// assert!("sha256:../../etc/passwd".parse::<Digest>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Digest {
    /// SHA-256, which everybody uses.
    Sha256([u8; 32]),
    /// SHA-512.
    Sha512([u8; 64]),
}

impl Digest {
    /// The SHA-256 of these bytes.
    pub fn sha256(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::sha256();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The digest of `bytes` by the algorithm of this one.
    pub fn same_kind(&self, bytes: &[u8]) -> Self {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        hasher.finish()
    }

    /// A hasher of this digest's algorithm.
    pub fn hasher(&self) -> Hasher {
        match self {
            Self::Sha256(_) => Hasher::sha256(),
            Self::Sha512(_) => Hasher(State::Sha512(Sha512::new())),
        }
    }

    /// `sha256` or `sha512`: also the directory of a layout that holds the blob.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "sha256",
            Self::Sha512(_) => "sha512",
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(bytes) => bytes,
            Self::Sha512(bytes) => bytes,
        }
    }

    /// The bytes in hexadecimal, as they stand behind the colon.
    pub fn hex(&self) -> String {
        let mut hex = String::with_capacity(128);
        for byte in self.bytes() {
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }

    /// Enough of it for people to tell blobs apart.
    pub fn short(&self) -> String {
        let mut hex = self.hex();
        hex.truncate(12);
        hex
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = Error;

    /// `sha256:` and 64, or `sha512:` and 128 digits, hexadecimal in lower case; nothing else.
    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &'static str| {
            let shown: String = text.chars().take(100).collect();
            Error::new(format!("not a digest: '{shown}'")).because(why)
        };
        let (algorithm, hex) = text
            .split_once(':')
            .ok_or_else(|| bad("no algorithm and colon before it"))?;
        let parsed = match algorithm {
            "sha256" => from_hex(hex).map(Self::Sha256),
            "sha512" => from_hex(hex).map(Self::Sha512),
            _ => return Err(bad("only sha256 and sha512 are known")),
        };
        parsed.ok_or_else(|| bad("not the right number of hexadecimal digits in lower case"))
    }
}

fn from_hex<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if hex.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = nibble(*pair.first()?)? << 4 | nibble(*pair.last()?)?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// The digest of nothing that anybody has: what one is read into.
impl Default for Digest {
    fn default() -> Self {
        Self::Sha256([0; 32])
    }
}

impl Field for Digest {
    fn takes(&self) -> &'static str {
        "a digest"
    }
    fn take(&mut self, given: &Given<'_>) -> Fit {
        let Given::Text(text) = given else {
            return Fit::No;
        };
        match text.parse() {
            Ok(digest) => {
                *self = digest;
                Fit::Yes
            }
            Err(error) => Fit::Bad(Error::to_string(&error)),
        }
    }
    fn shown(&self) -> Shown<'_> {
        Shown::Made(self.to_string())
    }
}

/// Computes a digest as the bytes come.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// A hasher for SHA-256.
    pub fn sha256() -> Self {
        Self(State::Sha256(Sha256::new()))
    }

    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of all that was taken in.
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(state) => Digest::Sha256(state.finalize().into()),
            State::Sha512(state) => Digest::Sha512(state.finalize().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_digests_are_digests() {
        let good = [
            format!("sha256:{}", "0a".repeat(32)),
            format!("sha512:{}", "f9".repeat(64)),
        ];
        for text in good {
            assert_eq!(text.parse::<Digest>().unwrap().to_string(), text);
        }
        let bad = [
            String::new(),
            "sha256".into(),
            "sha256:".into(),
            "sha256:../../x".into(),
            format!("sha256:{}", "0A".repeat(32)),
            format!("sha256:{}", "0a".repeat(31)),
            format!("sha256:{}0", "0a".repeat(32)),
            format!("sha256:{}", "é".repeat(32)),
            format!("SHA256:{}", "0a".repeat(32)),
            format!("md5:{}", "0a".repeat(16)),
            format!("sha256+b64:{}", "0a".repeat(32)),
            format!(" sha256:{}", "0a".repeat(32)),
        ];
        for text in bad {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn both_algorithms_hash() {
        let one = Digest::Sha512([0; 64]).same_kind(b"abc");
        assert!(one.hex().starts_with("ddaf35a193617aba"));
        let mut hasher = Hasher::sha256();
        hasher.update(b"a");
        hasher.update(b"bc");
        assert_eq!(hasher.finish(), Digest::sha256(b"abc"));
    }
}
