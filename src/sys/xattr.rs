//! Extended attributes (xattr(7)).

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

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
