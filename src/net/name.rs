//! Names of links, as the kernel takes them (`dev_valid_name` in net/core/dev.c).

use crate::error::{Error, Result};

/// `IFNAMSIZ` without the NUL.
pub const LONGEST: usize = 15;

/// Refuses what the kernel would not take as the name of a link, what it would take for a pattern (`veth%d`), and what
/// names all links below `/proc/sys/net` (`all`, `default`).
///
/// ```
/// use isobox::net::name::check;
/// assert!(check("veth0").is_ok());
/// assert!(check("veth-container-1").is_err());
/// ```
///
/// # Errors
/// Says what is wrong with it; for one that is too long, what could be used instead.
pub fn check(name: &str) -> Result<()> {
    let bad =
        |why: &'static str| Err(Error::new(format!("bad name of a link '{name}'")).because(why));
    if name.len() > LONGEST {
        let why = format!("{} bytes, and {LONGEST} is the longest", name.len());
        let error = Error::new(format!("bad name of a link '{name}'")).because(why);
        return Err(error.hint(format!("'{}' would do", shortened(name))));
    }
    match name {
        "" => bad("it is empty"),
        "." | ".." => bad("it would name a directory"),
        "all" | "default" => bad("it stands for all links in /proc/sys/net"),
        _ if name.contains(['/', ':']) => bad("it may hold no slash and no colon"),
        _ if name.contains('%') => bad("the kernel would fill in a number for %d"),
        _ if name.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            bad("it may hold no blanks and no control characters")
        }
        _ => Ok(()),
    }
}

/// A name that fits, made of one that does not: its beginning, and eight digits that differ where the rest does.
///
/// ```
/// use isobox::net::name::shortened;
/// assert_eq!(shortened("veth-container-1-br").len(), 15);
/// assert_ne!(shortened("veth-container-1-br"), shortened("veth-container-2-br"));
/// ```
pub fn shortened(name: &str) -> String {
    if name.len() <= LONGEST {
        return name.into();
    }
    let hash = hash(name.as_bytes());
    let mut start: String = name
        .chars()
        .take(6)
        .filter(char::is_ascii_graphic)
        .collect();
    start.truncate(LONGEST - 9);
    format!("{start}-{hash:08x}")
}

/// FNV-1a in 32 bits: nobody is to be kept out by it, names are only to differ.
pub(super) fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash: u32, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_kernel() {
        for good in ["lo", "veth-blue", "a.b", "123456789012345", "ä"] {
            assert!(check(good).is_ok(), "{good}");
        }
        let long = "1234567890123456";
        let bad = [
            "", ".", "..", "a/b", "eth0:1", "veth%d", "a b", "a\tb", "a\u{1b}", "all", "default",
            long,
        ];
        for bad in bad {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        let error = check(long).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("16 bytes, and 15 is the longest")
        );
        let proposal = error.advice().unwrap().split('\'').nth(1).unwrap();
        assert!(check(proposal).is_ok(), "{proposal}");
    }
}
