//! The one door to the kernel: the only room with `unsafe`.
//!
//! Safe functions over system calls that nix does not have (or has in a shape that does not fit), owned
//! fds in and out, no policy, errors as the bare [`Errno`]. Whoever calls knows what it was doing and says
//! so in an [`crate::error::Error`]. Structures follow the kernel's `uapi` headers, which each one names.
#![allow(unsafe_code)]

pub mod caps;
pub mod clone;
pub mod mount;
pub mod net;
pub mod signal;
pub mod start;
pub mod task;

use nix::errno::Errno;

/// The kernel's answer to a raw system call.
fn result(ret: libc::c_long) -> Result<libc::c_long, Errno> {
    if ret == -1 {
        Err(Errno::last())
    } else {
        Ok(ret)
    }
}
