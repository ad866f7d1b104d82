//! Reading directories with a buffer of one's own (getdents64(2)): the C library's is 2 KiB and made anew for
//! every directory, and `/proc` has one for each process.

use std::os::fd::{AsRawFd, BorrowedFd};

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
    /// Where `d_reclen` and `d_name` lie in `struct linux_dirent64`.
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let mut rest = entries;
    std::iter::from_fn(move || {
        let length = [*rest.get(LENGTH)?, *rest.get(LENGTH + 1)?];
        let (entry, next) = rest.split_at_checked(u16::from_ne_bytes(length).into())?;
        rest = next;
        entry.get(NAME..)?.split(|b| *b == 0).next()
    })
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
        assert_eq!(names(&[0; 7]).count(), 0);
        assert_eq!(names(&[0; 30]).count(), 0);
    }
}
