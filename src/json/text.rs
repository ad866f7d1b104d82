//! A string of a document.

use std::borrow::Cow;

/// Reads the string whose inside a text starts with. Gives it, and where its closing quote ends; or else where it is
/// wrong, and why.
pub(super) fn read(inside: &str) -> Result<(Cow<'_, str>, usize), (usize, &'static str)> {
    let mut made = String::new();
    let mut plain = 0;
    let mut at = 0;
    loop {
        let unread = || inside.get(plain..at).unwrap_or_default();
        match inside.as_bytes().get(at) {
            Some(b'"') if made.is_empty() && plain == 0 => return Ok((unread().into(), at + 1)),
            Some(b'"') => {
                made.push_str(unread());
                return Ok((made.into(), at + 1));
            }
            Some(b'\\') => {
                made.push_str(unread());
                let rest = inside.get(at + 1..).unwrap_or_default();
                let (escaped, length) = escape(rest).ok_or((at, "no such escape"))?;
                made.push(escaped);
                at += 1 + length;
                plain = at;
            }
            Some(0..0x20) => return Err((at, "a control character in a string")),
            Some(_) => at += 1,
            None => return Err((at, "the string does not end")),
        }
    }
}

/// The character that an escape stands for, and how long that is, behind its backslash.
fn escape(text: &str) -> Option<(char, usize)> {
    let simple = match text.as_bytes().first()? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\x08',
        b'f' => '\x0c',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode(text.get(1..)?).map(|(c, length)| (c, 1 + length)),
        _ => return None,
    };
    Some((simple, 1))
}

/// Four digits, or two times four that are one character in UTF-16.
fn unicode(text: &str) -> Option<(char, usize)> {
    let first = unit(text)?;
    if let Some(c) = char::from_u32(first) {
        return Some((c, 4));
    }
    let second = unit(text.get(4..)?.strip_prefix("\\u")?)?;
    let units = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
    let c = char::decode_utf16(units).next()?.ok()?;
    Some((c, 10))
}

fn unit(text: &str) -> Option<u32> {
    let digits = text.get(..4)?;
    let all = digits.bytes().all(|b| b.is_ascii_hexdigit());
    all.then(|| u32::from_str_radix(digits, 16).ok())?
}
