//! `/proc/PID/mountinfo`: the mounts that a process sees (proc_pid_mountinfo(5)).
//!
//! Read only where the kernel has said no and a reason is wanted, where another process's mounts are asked for, and to
//! find the control groups: nothing else on the way to a program needs it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::decimal::decimal;
use crate::error::{Doing, Result};
use crate::procfs::read_path;

/// A machine may have a hundred thousand mounts (`fs.mount-max`).
const LONGEST: usize = 1 << 26;

/// One line: one mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its number, unique among all mounts of the machine while it lasts.
    pub id: u64,
    /// The mount it is attached to; its own number where it is attached to none.
    pub parent: u64,
    /// Which directory of the file system stands at its root.
    pub root: PathBuf,
    /// Where it is attached, as the process sees it.
    pub point: PathBuf,
    /// Its own options: `rw,nosuid`.
    pub options: OsString,
    /// Whether it is in a peer group (`shared:N`).
    pub shared: bool,
    /// The type of its file system.
    pub fstype: OsString,
    /// What is mounted: a device, or a name that somebody gave.
    pub source: OsString,
    /// The options of its file system, whichever mount shows it.
    pub super_options: OsString,
}

/// The mounts that process `pid` sees (`self` for our own), in the order of the file: a mount stands before
/// what is mounted below it or over it.
///
/// # Errors
/// Where `/proc` is not mounted or hides that process.
pub fn read(pid: &str) -> Result<Vec<Mount>> {
    Ok(parse(&text(pid)?))
}

/// The same as [`read`], but only those whose type begins with `word`: of many others nothing is taken apart.
///
/// # Errors
/// As [`read`].
pub fn read_types(pid: &str, word: &str) -> Result<Vec<Mount>> {
    let text = text(pid)?;
    let lines = text.split(|b| *b == b'\n');
    let wanted = |line: &&[u8]| {
        let fields = line.split(|b| *b == b' ');
        let fstype = fields.skip_while(|field| *field != b"-").nth(1);
        fstype.is_some_and(|fstype| fstype.starts_with(word.as_bytes()))
    };
    Ok(lines.filter(wanted).filter_map(line).collect())
}

fn text(pid: &str) -> Result<Vec<u8>> {
    let path = format!("/proc/{pid}/mountinfo");
    read_path(Path::new(&path), LONGEST).doing_to("cannot read", &path)
}

/// The lines of a mountinfo file; a line that is none is left out.
///
/// ```
/// let line = b"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue\n";
/// let mount = &isobox::mountinfo::parse(line)[0];
/// assert_eq!((mount.id, mount.parent, mount.shared), (36, 35, true));
/// assert_eq!(mount.point.to_str(), Some("/mnt 2"));
/// assert_eq!(mount.fstype, "ext3");
/// ```
pub fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|b| *b == b'\n').filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|b| *b == b' ');
    let id = decimal(fields.next()?)?;
    let parent = decimal(fields.next()?)?;
    let _device = fields.next()?;
    let root = unescape(fields.next()?).into();
    let point = unescape(fields.next()?).into();
    let options = unescape(fields.next()?);
    // Optional fields, as many as there are, up to a lone dash.
    let mut shared = false;
    for field in fields.by_ref().take_while(|field| *field != b"-") {
        shared |= field.starts_with(b"shared:");
    }
    Some(Mount {
        id,
        parent,
        root,
        point,
        options,
        shared,
        fstype: unescape(fields.next()?),
        source: unescape(fields.next()?),
        super_options: unescape(fields.next()?),
    })
}

/// Undoes the octal escapes (`\040` for a space) of mountinfo and fstab(5).
pub fn unescape(field: &[u8]) -> OsString {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match after {
            [
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                after @ ..,
            ] if *first == b'\\' => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => out.push(*first),
        }
    }
    OsString::from_vec(out)
}

/// Writes a word as a field of fstab(5): what would end the field is escaped.
pub fn escape(word: &OsStr) -> OsString {
    let mut out = Vec::with_capacity(word.len());
    for byte in word.as_bytes() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => out.extend(format!("\\{byte:03o}").into_bytes()),
            _ => out.push(*byte),
        }
    }
    OsString::from_vec(out)
}

/// The mount whose number is `id`.
pub fn by_id(mounts: &[Mount], id: u64) -> Option<&Mount> {
    mounts.iter().find(|mount| mount.id == id)
}

/// The topmost mount at `point`.
pub fn at<'a>(mounts: &'a [Mount], point: &Path) -> Option<&'a Mount> {
    mounts.iter().rev().find(|mount| mount.point == point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let text = b"22 27 0:21 / /proc rw,relatime - proc proc rw\n\
            1 1 0:2 / / rw shared:1 - rootfs rootfs rw\n\
            broken\n\
            5 1 0:9 /a\\134b /x rw unbindable - tmpfs  rw\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 3);
        assert!(!mounts[0].shared && mounts[1].shared);
        assert_eq!((mounts[1].id, mounts[1].parent), (1, 1));
        assert_eq!(mounts[2].root, Path::new("/a\\b"));
        assert_eq!(mounts[2].source, "");
        assert_eq!(
            at(&mounts, Path::new("/proc")).map(|mount| mount.id),
            Some(22)
        );
    }

    #[test]
    fn fields_survive_fstab() {
        for word in [&b"plain"[..], b"a b\tc\nd\\e", b"\\040", b"\xff\xfe", b""] {
            let word = OsStr::from_bytes(word);
            assert_eq!(unescape(escape(word).as_bytes()), word);
        }
    }
}
