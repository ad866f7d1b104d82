//! The one door to the kernel: the only room with `unsafe`.
//!
//! Safe functions over system calls that nix does not have (or has in a shape that does not fit), owned
//! fds in and out, no policy, errors as the bare [`Errno`]. Whoever calls knows what it was doing and says
//! so in an [`crate::error::Error`]. Structures follow the kernel's `uapi` headers, which each one names.
#![allow(unsafe_code)]

pub mod alloc;
pub mod beside;
pub mod bpf;
pub mod caps;
pub mod clone;
pub mod directory;
mod early;
#[cfg(feature = "oci")]
pub mod ipc;
pub mod landlock;
pub mod mount;
pub mod net;
pub mod nsfs;
mod raw;
pub mod schedule;
pub mod seccomp;
pub mod signal;
pub mod start;
pub mod stat;
pub mod task;
pub mod terminal;
pub mod tun;
pub mod unwind;
pub mod xattr;

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

/// The kernel's answer to a raw system call.
fn result(ret: libc::c_long) -> Result<libc::c_long, Errno> {
    if ret == -1 {
        Err(Errno::last())
    } else {
        Ok(ret)
    }
}

/// Standard input and output of this process, which are open from its start to its end (`start.rs`).
pub const STANDARD: (BorrowedFd<'static>, BorrowedFd<'static>) = (standard(0), standard(1));

/// Standard error, which is open likewise.
pub const fn standard_error() -> BorrowedFd<'static> {
    standard(2)
}

const fn standard(fd: RawFd) -> BorrowedFd<'static> {
    // SAFETY: called with 0, 1 and 2 only, which the start of the process has opened and nothing closes.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// A descriptor that came with a message (`SCM_RIGHTS`), which nix hands out as a number.
pub(crate) fn owned_from_message(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel made this descriptor for us with the message, and nix gives it away once.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
