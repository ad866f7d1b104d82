//! The names of an archive's members as places in a tree.

use crate::error::{Error, Result};

use super::directories::MAX_DEPTH;

/// Where a name leads.
pub(super) enum Place {
    /// To the root itself.
    Root,
    /// Below the root.
    Inside(Clean),
    /// Through `..`: no two programs agree where.
    Outside,
}

/// A path below the root: names separated by single slashes, none of them `.` or `..`.
pub(super) struct Clean {
    pub(super) all: Vec<u8>,
    /// Where the last name starts.
    name: usize,
}

impl Clean {
    /// The path without the last name.
    pub(super) fn dir(&self) -> &[u8] {
        self.all
            .get(..self.name.saturating_sub(1))
            .unwrap_or_default()
    }

    /// The last name.
    pub(super) fn name(&self) -> &[u8] {
        self.all.get(self.name..).unwrap_or_default()
    }
}

/// Reads a name of an archive. Slashes at its start and end, double ones and `.` mean nothing.
///
/// # Errors
/// For more than the kernel takes.
pub(super) fn place(path: &[u8]) -> Result<Place> {
    let mut clean = Clean {
        all: Vec::with_capacity(path.len()),
        name: 0,
    };
    let mut depth = 0;
    for name in path.split(|b| *b == b'/') {
        match name {
            b"" | b"." => continue,
            b".." => return Ok(Place::Outside),
            _ => {}
        }
        if !clean.all.is_empty() {
            clean.all.push(b'/');
        }
        clean.name = clean.all.len();
        clean.all.extend_from_slice(name);
        depth += 1;
        if name.len() > 255 || clean.all.len() > 4095 || depth > MAX_DEPTH {
            return Err(Error::new("a name in the archive is too long").because(
                "names have at most 255 bytes, paths 4095, and directories lie at most 256 deep in each other",
            ));
        }
    }
    Ok(match depth {
        0 => Place::Root,
        _ => Place::Inside(clean),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_but_not_resolved() {
        let cases: [(&[u8], &str); 13] = [
            (b"", "root"),
            (b"/", "root"),
            (b"./", "root"),
            (b"././/.", "root"),
            (b"a", "|a"),
            (b"/a/", "|a"),
            (b"./a//b/./c/", "a/b|c"),
            (b".a/..b", ".a|..b"),
            (b"..", "outside"),
            (b"a/..", "outside"),
            (b"a/../b", "outside"),
            (b"../../etc/passwd", "outside"),
            (b"\xff/\x1b", "\u{fffd}|\x1b"),
        ];
        for (path, want) in cases {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let got = match place(path).unwrap() {
                Place::Root => "root".into(),
                Place::Outside => "outside".into(),
                Place::Inside(clean) => format!("{}|{}", text(clean.dir()), text(clean.name())),
            };
            assert_eq!(got, want, "{:?}", text(path));
        }
        assert!(place(&[b'a'; 256]).is_err());
        assert!(place(&b"a/".repeat(257)).is_err());
        assert!(place(&[&b"a".repeat(255)[..], b"/"].concat().repeat(17)).is_err());
    }
}
