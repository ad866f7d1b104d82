//! seccomp(2): a filter over the system calls of this process.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::result;

/// The load makes a descriptor on which calls are told of (`SECCOMP_FILTER_FLAG_NEW_LISTENER`).
pub const NEW_LISTENER: u64 = 1 << 3;

/// One instruction of classic BPF: `struct sock_filter` (linux/filter.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// What it does.
    pub code: u16,
    /// How far to jump where the test holds.
    pub jump_true: u8,
    /// How far to jump where it does not.
    pub jump_false: u8,
    /// Its operand.
    pub k: u32,
}

/// `struct sock_fprog`.
#[repr(C)]
struct Program {
    len: u16,
    filter: *const Instruction,
}

/// Loads a filter (`SECCOMP_SET_MODE_FILTER`) with these `SECCOMP_FILTER_FLAG_*`. Needs no_new_privs, or
/// `CAP_SYS_ADMIN`; binds from the next system call on. With [`NEW_LISTENER`] gives the listener.
///
/// # Errors
/// `EINVAL` for a program the kernel does not accept, or where it has no seccomp.
pub fn load(filter: &[Instruction], flags: u64) -> Result<Option<OwnedFd>, Errno> {
    const SET_MODE_FILTER: u32 = 1;
    let program = Program {
        len: u16::try_from(filter.len()).map_err(|_| Errno::EINVAL)?,
        filter: filter.as_ptr(),
    };
    // SAFETY: program holds the length of the slice that filter points to; both outlive the call.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    let fd = RawFd::try_from(result(ret)?).map_err(|_| Errno::EBADF)?;
    if flags & NEW_LISTENER == 0 {
        return Ok(None);
    }
    // SAFETY: with this flag the answer is a descriptor that the kernel has just made, and nobody else owns it.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
}
