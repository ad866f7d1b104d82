//! Reading directories and links with a buffer of one's own (getdents64(2), readlinkat(2)): what would be made
//! anew for each of them costs more than the call, and `/proc` has a dozen of them for each process.

use std::ffi::{CStr, OsStr, OsString};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

use super::result;

/// Fills `buffer` with the next entries of the directory; [`names`] takes them out. None are left when the
/// answer is empty.
pub fn read<'a>(directory: BorrowedFd<'_>, buffer: &'a mut [u8]) -> Result<&'a [u8], Errno> {
    let (fd, start, size) = (directory.as_raw_fd(), buffer.as_mut_ptr(), buffer.len());
    // SAFETY: the kernel writes at most size bytes from start, which is all of buffer.
    let length = result(unsafe { libc::syscall(libc::SYS_getdents64, fd, start, size) })?;
    Ok(&buffer[..usize::try_from(length).unwrap_or(0).min(size)])
}

/// The names in what [`read`] gave, `.` and `..` among them.
pub fn names(entries: &[u8]) -> impl Iterator<Item = &[u8]> {
    named(entries).map(|(_, name)| name)
}

/// The same with what each is (`DT_DIR`; `DT_UNKNOWN` where the file system does not say).
fn named(entries: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    /// Where `d_reclen`, `d_type` and `d_name` lie in `struct linux_dirent64`.
    const LENGTH: usize = 16;
    const KIND: usize = 18;
    const NAME: usize = 19;
    let mut rest = entries;
    std::iter::from_fn(move || {
        let length = [*rest.get(LENGTH)?, *rest.get(LENGTH + 1)?];
        let (entry, next) = rest.split_at_checked(u16::from_ne_bytes(length).into())?;
        rest = next;
        let name = entry.get(NAME..)?.split(|b| *b == 0).next()?;
        Some((*entry.get(KIND)?, name))
    })
}

/// All names in a directory that nobody has read from yet, without `.` and `..`, in the file system's order.
pub fn list(directory: BorrowedFd<'_>) -> Result<Vec<OsString>, Errno> {
    list_of(directory, |_| true)
}

/// The same, but only of what is of a kind (`DT_DIR`) for a file system that says so.
pub fn list_of(
    directory: BorrowedFd<'_>,
    wanted: impl Fn(u8) -> bool,
) -> Result<Vec<OsString>, Errno> {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let part = match read(directory, &mut buffer) {
            // What the kernel says of a directory that has been removed: nothing is in it.
            Err(Errno::ENOENT) => return Ok(all),
            other => other?,
        };
        if part.is_empty() {
            return Ok(all);
        }
        let real = |(kind, name): &(u8, &[u8])| wanted(*kind) && !matches!(*name, b"." | b"..");
        let real = named(part).filter(real);
        all.extend(real.map(|(_, name)| OsStr::from_bytes(name).to_owned()));
    }
}

/// Where the link `name` below a directory leads; cut off where `buffer` is too small.
pub fn read_link<'a>(
    directory: BorrowedFd<'_>,
    name: &CStr,
    buffer: &'a mut [u8],
) -> Result<&'a [u8], Errno> {
    let (fd, start, size) = (directory.as_raw_fd(), buffer.as_mut_ptr(), buffer.len());
    // SAFETY: name is NUL-terminated; the kernel writes at most size bytes from start, which is all of buffer.
    let ret = unsafe { libc::readlinkat(fd, name.as_ptr(), start.cast(), size) };
    let length = result(ret.try_into().unwrap_or(-1))?;
    Ok(&buffer[..usize::try_from(length).unwrap_or(0).min(size)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn a_directory_is_read_in_parts() {
        let directory = File::open("/proc/self").unwrap();
        let mut buffer = [0; 128];
        let mut seen = Vec::new();
        loop {
            let part = read(directory.as_fd(), &mut buffer).unwrap();
            if part.is_empty() {
                break;
            }
            seen.extend(names(part).map(<[u8]>::to_vec));
        }
        for name in ["stat", "ns", "fd", "."] {
            assert!(seen.iter().any(|n| n == name.as_bytes()), "{name}");
        }
        let directory = File::open("/proc/self").unwrap();
        let listed = list(directory.as_fd()).unwrap();
        assert!(listed.iter().any(|n| n == "stat") && listed.iter().all(|n| n != "." && n != ".."));
        let directory = File::open("/proc/self").unwrap();
        let below = list_of(directory.as_fd(), |kind| kind == libc::DT_DIR).unwrap();
        assert!(below.iter().any(|n| n == "ns") && below.iter().all(|n| n != "stat"));
        let path = std::env::temp_dir().join(format!("isobox-list-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let removed = File::open(&path).unwrap();
        std::fs::remove_dir(&path).unwrap();
        assert_eq!(list(removed.as_fd()), Ok(vec![]));
        let mut buffer = [0; 64];
        let uts = read_link(directory.as_fd(), c"ns/uts", &mut buffer).unwrap();
        assert!(uts.starts_with(b"uts:["));
        let stat = read_link(directory.as_fd(), c"stat", &mut buffer);
        assert_eq!(stat, Err(Errno::EINVAL));
        assert_eq!(names(&[0; 7]).count(), 0);
        assert_eq!(names(&[0; 30]).count(), 0);
    }
}
