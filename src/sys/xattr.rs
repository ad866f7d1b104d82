//! Extended attributes (xattr(7)).

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

use super::result;

/// Whether `path` has the attribute `name` (getxattr(2)).
pub fn has(path: &Path, name: &CStr) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    let nowhere = std::ptr::null_mut();
    // SAFETY: both strings are NUL-terminated and outlive the call; size 0 makes the kernel write nothing.
    let size = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), nowhere, 0) };
    size >= 0
}

/// Sets an attribute of an open file or directory (fsetxattr(2)).
pub fn set(fd: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    let (raw, bytes, size) = (fd.as_raw_fd(), value.as_ptr().cast(), value.len());
    // SAFETY: name is NUL-terminated, the kernel reads size bytes of value; both outlive the call.
    let ret = unsafe { libc::fsetxattr(raw, name.as_ptr(), bytes, size, 0) };
    result(ret.into()).map(drop)
}

/// Takes an attribute away from an open file or directory (fremovexattr(2)).
pub fn remove(fd: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    // SAFETY: name is NUL-terminated and outlives the call; the fd is borrowed.
    let ret = unsafe { libc::fremovexattr(fd.as_raw_fd(), name.as_ptr()) };
    result(ret.into()).map(drop)
}

/// The names of the attributes of an open file or directory, each ended by a NUL (flistxattr(2)).
pub fn list(fd: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    fill(|buffer, size| {
        // SAFETY: the kernel writes at most size bytes from buffer, which has so many.
        unsafe { libc::flistxattr(fd.as_raw_fd(), buffer.cast(), size) }
    })
}

/// The value of an attribute of an open file or directory (fgetxattr(2)).
pub fn get(fd: BorrowedFd<'_>, name: &CStr) -> Result<Vec<u8>, Errno> {
    fill(|buffer, size| {
        // SAFETY: name is NUL-terminated; the kernel writes at most size bytes from buffer, which has so many.
        unsafe { libc::fgetxattr(fd.as_raw_fd(), name.as_ptr(), buffer.cast(), size) }
    })
}

/// Calls with a buffer that is large enough for every answer (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`), after asking whether
/// there is any.
fn fill(call: impl Fn(*mut u8, usize) -> isize) -> Result<Vec<u8>, Errno> {
    const LARGEST: usize = 65536;
    let answer = |ret: isize| result(ret.try_into().unwrap_or(-1));
    if answer(call(std::ptr::null_mut(), 0))? == 0 {
        return Ok(Vec::new());
    }
    let mut buffer = vec![0; LARGEST];
    let length = answer(call(buffer.as_mut_ptr(), buffer.len()))?;
    buffer.truncate(usize::try_from(length).unwrap_or(0));
    Ok(buffer)
}
