//! Text on a screen: which characters it may have, and how wide they are.

use std::env;
use std::ffi::OsString;
use std::io::stdout;
use std::os::fd::AsFd;

use isobox::sys::terminal;

/// What the reader's locale can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    /// Nothing but ASCII.
    Ascii,
    /// Everything.
    Utf8,
}

impl Charset {
    /// As the environment says: the first of `LC_ALL`, `LC_CTYPE` and `LANG` that is set counts (locale(7)).
    pub(crate) fn of_environment(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .filter_map(variable)
            .find(|value| !value.is_empty())
            .unwrap_or_default();
        let locale = locale.to_string_lossy().to_ascii_lowercase();
        match locale.contains("utf-8") || locale.contains("utf8") {
            true => Self::Utf8,
            false => Self::Ascii,
        }
    }

    /// The parts of a tree: a branch, a line that passes, the last branch.
    pub(crate) fn tree(self) -> [&'static str; 3] {
        match self {
            Self::Ascii => ["|-", "| ", "`-"],
            Self::Utf8 => ["├─", "│ ", "└─"],
        }
    }
}

/// A text with everything escaped that a screen could take for a command, or the locale cannot show: names and
/// command lines are chosen by others. `\x` itself is escaped too, so that nothing can be forged.
pub(crate) fn safe(text: &[u8], charset: Charset) -> String {
    let mut out = String::with_capacity(text.len());
    let hex = |out: &mut String, bytes: &[u8]| {
        for byte in bytes {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    };
    for chunk in text.utf8_chunks() {
        let mut chars = chunk.valid().chars().peekable();
        while let Some(c) = chars.next() {
            let shown = match c {
                '\\' => chars.peek() != Some(&'x'),
                c if c.is_ascii() => !c.is_ascii_control(),
                c => charset == Charset::Utf8 && !is_command(c),
            };
            if shown {
                out.push(c);
            } else {
                hex(&mut out, c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        hex(&mut out, chunk.invalid());
    }
    out
}

/// A character that is none to be seen: a control, a line or paragraph separator, or one that turns the
/// direction of what follows.
fn is_command(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The places a text takes.
pub(crate) fn width_of(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// The places a character takes: none for what combines with the one before, two for wide scripts and
/// pictures (Unicode's East Asian width, in its large blocks).
pub(crate) fn char_width(c: char) -> usize {
    match u32::from(c) {
        0..=0x2ff => 1,
        0x300..=0x36f
        | 0x483..=0x489
        | 0x591..=0x5bd
        | 0x610..=0x61a
        | 0x64b..=0x65f
        | 0x1ab0..=0x1aff
        | 0x1dc0..=0x1dff
        | 0x200b..=0x200f
        | 0x20d0..=0x20ff
        | 0xfe00..=0xfe0f
        | 0xfe20..=0xfe2f => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// The width of the terminal that standard output is: as it says itself, else as `COLUMNS` does.
pub(crate) fn window_width() -> Option<usize> {
    let told = terminal::size(stdout().as_fd()).map_or(0, terminal::Size::columns);
    let variable = || env::var("COLUMNS").ok()?.parse().ok();
    Some(told)
        .filter(|width| *width > 0)
        .or_else(variable)
        .filter(|width| *width > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_on_the_screen_is_a_command() {
        let cases: [(&[u8], &str, &str); 8] = [
            (b"plain text", "plain text", "plain text"),
            (b"a\x1b[31mb\n", "a\\x1b[31mb\\x0a", "a\\x1b[31mb\\x0a"),
            ("é└".as_bytes(), "\\xc3\\xa9\\xe2\\x94\\x94", "é└"),
            (b"\xff\xc3", "\\xff\\xc3", "\\xff\\xc3"),
            (b"\\x1b", "\\x5cx1b", "\\x5cx1b"),
            (b"\\n\\", "\\n\\", "\\n\\"),
            (
                "\u{202e}x".as_bytes(),
                "\\xe2\\x80\\xaex",
                "\\xe2\\x80\\xaex",
            ),
            (b"", "", ""),
        ];
        for (text, ascii, utf8) in cases {
            assert_eq!(safe(text, Charset::Ascii), ascii);
            assert_eq!(safe(text, Charset::Utf8), utf8);
        }
        assert_eq!(width_of("a├─漢e\u{301}"), 6);
    }

    #[test]
    fn the_locale_tells_the_charset() {
        let cases: [(&[(&str, &str)], Charset); 5] = [
            (&[], Charset::Ascii),
            (&[("LANG", "C.UTF-8")], Charset::Utf8),
            (&[("LANG", "en_US.utf8"), ("LC_ALL", "C")], Charset::Ascii),
            (&[("LC_CTYPE", "de_DE.UTF-8"), ("LANG", "C")], Charset::Utf8),
            (&[("LC_ALL", ""), ("LANG", "x.UTF-8")], Charset::Utf8),
        ];
        for (set, want) in cases {
            let variable = |name: &str| {
                let found = set.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| OsString::from(value))
            };
            assert_eq!(Charset::of_environment(variable), want, "{set:?}");
        }
    }
}
