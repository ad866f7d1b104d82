//! Numbers written as digits and nothing else, as ids, sizes and inode numbers are in `/proc`, in the files of `/etc`
//! and on command lines. Rust's own parser takes a plus sign too, which none of these means.

use std::str::FromStr;

/// The number that these digits write; `None` for no digits, for anything among them, and for what is too large.
///
/// ```
/// use isobox::decimal::decimal;
/// assert_eq!(decimal("65536"), Some(65536_u32));
/// assert_eq!(decimal(b"065536"), Some(65536_u32));
/// assert_eq!([decimal::<u16>("65536"), decimal(""), decimal("+1"), decimal(" 1"), decimal(b"\xff")], [None; 5]);
/// ```
pub fn decimal<T: FromStr>(digits: impl AsRef<[u8]>) -> Option<T> {
    plain(digits.as_ref())?.parse().ok()
}

fn plain(digits: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(digits).ok()?;
    digits.iter().all(u8::is_ascii_digit).then_some(text)
}
