//! The block of 512 bytes that starts a member: `struct posix_header` and `struct oldgnu_header` of GNU tar's tar.h.

use super::{Time, refuse};
use crate::error::Result;

/// Everything in an archive is a multiple of this many bytes.
pub const BLOCK: usize = 512;

/// A block, as read.
pub type Block = [u8; BLOCK];

/// How many bytes follow `size` bytes of data up to the next block.
pub fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

/// Offsets and lengths of the fields.
pub(super) mod field {
    use std::ops::Range;
    pub(crate) const NAME: Range<usize> = 0..100;
    pub(crate) const MODE: Range<usize> = 100..108;
    pub(crate) const UID: Range<usize> = 108..116;
    pub(crate) const GID: Range<usize> = 116..124;
    pub(crate) const SIZE: Range<usize> = 124..136;
    pub(crate) const MTIME: Range<usize> = 136..148;
    pub(crate) const CHECKSUM: Range<usize> = 148..156;
    pub(crate) const TYPE: usize = 156;
    pub(crate) const LINK: Range<usize> = 157..257;
    pub(crate) const MAGIC: Range<usize> = 257..265;
    pub(crate) const MAJOR: Range<usize> = 329..337;
    pub(crate) const MINOR: Range<usize> = 337..345;
    pub(crate) const PREFIX: Range<usize> = 345..500;
    /// star's mark, where POSIX has nothing.
    pub(crate) const STAR: Range<usize> = 508..512;
}

/// The bytes before the first NUL.
pub(super) fn text(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}

/// A number: octal digits, or base 256 where the first bit is set (GNU).
pub(super) fn number(bytes: &[u8]) -> Result<i64> {
    const WHY: &str = "a number in a header is none, or too large";
    match bytes.first() {
        Some(first) if first & 0x80 != 0 => base_256(bytes).ok_or_else(|| refuse(WHY)),
        _ => octal(bytes).ok_or_else(|| refuse(WHY)),
    }
}

/// Spaces, digits, then only spaces and NULs. No digits mean zero.
fn octal(bytes: &[u8]) -> Option<i64> {
    let start = bytes.iter().position(|b| *b != b' ').unwrap_or(bytes.len());
    let rest = bytes.get(start..)?;
    let length = rest
        .iter()
        .position(|b| matches!(b, 0 | b' '))
        .unwrap_or(rest.len());
    let (digits, end) = rest.split_at_checked(length)?;
    if end.iter().any(|b| !matches!(b, 0 | b' ')) {
        return None;
    }
    digits.iter().try_fold(0_i64, |value, digit| {
        let digit = i64::from(digit.wrapping_sub(b'0'));
        (digit < 8).then(|| value.checked_mul(8)?.checked_add(digit))?
    })
}

/// Two's complement, big endian, of which the first bit only says that it is.
fn base_256(bytes: &[u8]) -> Option<i64> {
    let (first, rest) = bytes.split_first()?;
    let start = match first {
        0x80 => 0,
        0xff => -1,
        _ => return None,
    };
    rest.iter().try_fold(start, |value: i64, byte| {
        value.checked_mul(256)?.checked_add(i64::from(*byte))
    })
}

/// Whether the sum in the header is the one of its bytes, as unsigned or (Sun's) as signed ones.
pub(super) fn checksum_is_right(block: &Block) -> bool {
    let Ok(said) = number(&block[field::CHECKSUM]) else {
        return false;
    };
    let (mut unsigned, mut signed) = (0_i64, 0_i64);
    for (at, byte) in block.iter().enumerate() {
        let byte = if field::CHECKSUM.contains(&at) {
            b' '
        } else {
            *byte
        };
        unsigned += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    said == unsigned || said == signed
}

/// An id, which may be any number of 32 bits but the last: that one means "leave it" to chown(2).
pub(super) fn id(value: i64) -> Result<u32> {
    u32::try_from(value)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or_else(|| refuse("an owner that is no id"))
}

/// A time of whole seconds.
pub(super) fn seconds(value: i64) -> Time {
    Time {
        seconds: value,
        nanos: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        let cases: [(&[u8], Option<i64>); 14] = [
            (b"0000644\0", Some(0o644)),
            (b"    644 ", Some(0o644)),
            (b"644\0\0\0\0\0", Some(0o644)),
            (b"77777777777\0", Some(0o77777777777)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"00006x4\0", None),
            (b"0000689\0", None),
            (b"6 4\0\0\0\0\0", None),
            (b"-000001\0", None),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"\x81\0\0\0\0\0\0\0", None),
        ];
        for (bytes, want) in cases {
            assert_eq!(number(bytes).ok(), want, "{bytes:?}");
        }
    }

    #[test]
    fn data_is_padded_to_blocks() {
        let cases = [(0, 0), (1, 511), (511, 1), (512, 0), (u64::MAX, 1)];
        for (size, want) in cases {
            assert_eq!(padding(size), want);
        }
    }
}
