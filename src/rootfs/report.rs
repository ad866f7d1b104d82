//! What an unpacking did with members that it could not, or would not, make as the archive has them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::error::printable;

/// Why something in the tree is not as it is in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The member's name leads out of the root.
    Outside,
    /// A device that this user may not make.
    Device,
    /// A character device 0:0, which overlayfs takes for a deletion.
    ForgedDeletion,
    /// Bookkeeping of aufs.
    Bookkeeping,
    /// A deletion in what has nothing below it.
    Deletion,
    /// An extended attribute that images have no business with.
    AttributeLeftOut,
    /// An extended attribute that the file system or the kernel does not take.
    AttributeRefused,
    /// The owner could not be set.
    Owner,
    /// A set-id bit that would have given somebody else's rights away.
    SetId,
}

impl Reason {
    const ALL: [Self; 9] = [
        Self::Outside,
        Self::Device,
        Self::ForgedDeletion,
        Self::Bookkeeping,
        Self::Deletion,
        Self::AttributeLeftOut,
        Self::AttributeRefused,
        Self::Owner,
        Self::SetId,
    ];

    /// What happened, to be put behind a number.
    fn says(self) -> &'static str {
        match self {
            Self::Outside => "left out, whose names lead out of the root",
            Self::Device => "left out: devices, which only root may make",
            Self::ForgedDeletion => "left out: devices 0:0, which would hide files from an overlay",
            Self::Bookkeeping => "left out: bookkeeping of aufs",
            Self::Deletion => "left out: deletions, in a tree that stands alone",
            Self::AttributeLeftOut => {
                "without extended attributes that have no business in an image"
            }
            Self::AttributeRefused => {
                "without extended attributes that the file system does not take from this user"
            }
            Self::Owner => "not of the owner that the image gives them, but of this user",
            Self::SetId => "without their set-id bits, since they have not the right owner",
        }
    }
}

/// Counts, and one example of each.
#[derive(Debug, Default)]
pub struct Report {
    /// How many members were applied.
    pub entries: u64,
    /// How many bytes of file contents were made, holes included.
    pub bytes: u64,
    counts: [(u64, Vec<u8>); 9],
}

impl Report {
    /// Counts a member.
    pub fn count(&mut self, reason: Reason, path: &[u8]) {
        if let Some((count, example)) = self.counts.get_mut(reason as usize) {
            if *count == 0 {
                *example = path.to_vec();
            }
            *count += 1;
        }
    }

    /// How often this happened.
    pub fn of(&self, reason: Reason) -> u64 {
        self.counts
            .get(reason as usize)
            .map_or(0, |(count, _)| *count)
    }

    /// One sentence for each thing that happened.
    pub fn notes(&self) -> Vec<String> {
        let happened = Reason::ALL.into_iter().zip(&self.counts);
        happened
            .filter(|(_, (count, _))| *count > 0)
            .map(|(reason, (count, example))| {
                let path = printable(OsStr::from_bytes(example));
                let (what, example) = match count {
                    1 => ("member", String::new()),
                    _ => ("members", "such as ".to_owned()),
                };
                format!("{count} {what} {} ({example}{path})", reason.says())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_told_with_an_example() {
        let mut report = Report::default();
        assert!(report.notes().is_empty());
        report.count(Reason::Outside, b"../\x1bevil");
        report.count(Reason::SetId, b"a");
        report.count(Reason::SetId, b"b");
        assert_eq!(
            report.notes(),
            [
                "1 member left out, whose names lead out of the root (../\\u{1b}evil)",
                "2 members without their set-id bits, since they have not the right owner (such as a)",
            ]
        );
        for (at, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
        }
    }
}
