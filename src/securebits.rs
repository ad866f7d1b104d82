//! The securebits by name: how the kernel treats user 0 (capabilities(7), "The securebits flags").

use crate::error::{Error, Result};

/// The bits that setpriv(1) names, in the order in which it writes them. `keep_caps` is none of them: every
/// exec clears it.
const NAMES: [(&str, u32); 5] = [
    ("noroot", 1 << 0),
    ("noroot_locked", 1 << 1),
    ("no_setuid_fixup", NO_SETUID_FIXUP),
    ("no_setuid_fixup_locked", 1 << 3),
    ("keep_caps_locked", 1 << 5),
];

/// `SECBIT_NO_SETUID_FIXUP` (linux/securebits.h): a change of user ids changes no capabilities.
pub const NO_SETUID_FIXUP: u32 = 1 << 2;

/// `SECBIT_KEEP_CAPS` (linux/securebits.h).
pub const KEEP_CAPS: u32 = 1 << 4;

/// Applies setpriv(1)'s list (`+bit`, `-bit`, `-all`, separated by commas) to the bits in force.
///
/// # Errors
/// setpriv's sentences, status 127 where bits are set that this program does not know.
pub fn parse(list: &str, now: u32) -> Result<u32> {
    let known = NAMES.iter().fold(KEEP_CAPS, |all, (_, bit)| all | bit);
    if now & !known != 0 {
        return Err(Error::new("unrecognized securebit set -- refusing to adjust").status(127));
    }
    let mut bits = now;
    for word in list.split(',') {
        let (add, name) = match (word.strip_prefix('+'), word.strip_prefix('-')) {
            (Some(name), _) => (true, name),
            (_, Some(name)) => (false, name),
            _ => return Err(Error::new("bad securebits string")),
        };
        match (name, add) {
            ("all", true) => return Err(Error::new("+all securebits is not allowed")),
            ("all", false) => bits = 0,
            ("keep_caps", _) => {
                return Err(Error::new("adjusting keep_caps does not make sense"));
            }
            _ => {
                let bit = NAMES.iter().find(|(known, _)| *known == name);
                let (_, bit) = bit.ok_or_else(|| Error::new("unrecognized securebit"))?;
                bits = if add { bits | bit } else { bits & !bit };
            }
        }
    }
    Ok(bits)
}

/// The bits as `setpriv --dump` writes them; `keep_caps` is left out, what has no name is a number.
pub fn names(bits: u32) -> String {
    let mut words: Vec<String> = set(bits).map(Into::into).collect();
    let rest = NAMES
        .iter()
        .fold(bits & !KEEP_CAPS, |rest, (_, bit)| rest & !bit);
    if rest != 0 {
        words.push(format!("{rest:#x}"));
    }
    if words.is_empty() {
        return "[none]".into();
    }
    words.join(",")
}

/// The bits as [`parse`] reads them.
pub fn words(bits: u32) -> String {
    set(bits).fold("-all".into(), |list, name| format!("{list},+{name}"))
}

fn set(bits: u32) -> impl Iterator<Item = &'static str> {
    NAMES
        .iter()
        .filter(move |(_, bit)| bits & bit != 0)
        .map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_change_the_bits_in_force() {
        let cases = [
            ("+noroot", 0, 1),
            ("-noroot,+noroot_locked", 1, 2),
            ("-all", 0b11_1111, 0),
            ("-all,+keep_caps_locked", 3, 1 << 5),
            ("-noroot", 0, 0),
        ];
        for (list, now, want) in cases {
            assert_eq!(parse(list, now).unwrap(), want, "{list}");
            assert_eq!(parse(&words(want), now).unwrap(), want, "{list}");
        }
    }

    #[test]
    fn bad_lists_are_refused_in_setpriv_words() {
        let cases = [
            ("noroot", 0, "bad securebits string"),
            ("", 0, "bad securebits string"),
            ("+all", 0, "+all securebits is not allowed"),
            ("-keep_caps", 0, "adjusting keep_caps does not make sense"),
            ("+bogus", 0, "unrecognized securebit"),
            (
                "-all",
                1 << 9,
                "unrecognized securebit set -- refusing to adjust",
            ),
        ];
        for (list, now, want) in cases {
            assert_eq!(parse(list, now).unwrap_err().to_string(), want, "{list}");
        }
    }

    #[test]
    fn the_dump_names_what_it_can() {
        assert_eq!(names(0), "[none]");
        assert_eq!(names(KEEP_CAPS), "[none]");
        assert_eq!(names(0b10_0001), "noroot,keep_caps_locked");
        assert_eq!(names(1 | 1 << 6), "noroot,0x40");
    }
}
