//! When a process runs and where its memory comes from: sched_setattr(2), ioprio_set(2), set_mempolicy(2),
//! personality(2).

use std::mem::size_of;

use nix::errno::Errno;

use super::result;

/// `struct sched_attr` (linux/sched/types.h), as it was first: 48 bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Attributes {
    /// How long this structure is; filled in by [`set_attributes`].
    pub size: u32,
    /// `SCHED_*`
    pub policy: u32,
    /// `SCHED_FLAG_*`
    pub flags: u64,
    /// For `SCHED_OTHER` and `SCHED_BATCH`.
    pub nice: i32,
    /// For `SCHED_FIFO` and `SCHED_RR`.
    pub priority: u32,
    /// For `SCHED_DEADLINE`, in nanoseconds.
    pub runtime: u64,
    /// For `SCHED_DEADLINE`, in nanoseconds.
    pub deadline: u64,
    /// For `SCHED_DEADLINE`, in nanoseconds.
    pub period: u64,
}

/// Sets how this thread is scheduled (sched_setattr(2)).
///
/// # Errors
/// `EPERM` without `CAP_SYS_NICE` for what gives more, `EINVAL` for no such policy.
pub fn set_attributes(mut attributes: Attributes) -> Result<(), Errno> {
    attributes.size = u32::try_from(size_of::<Attributes>()).unwrap_or(0);
    let this = 0;
    // SAFETY: the kernel reads as many bytes as the first field says, which are those of the structure.
    result(unsafe { libc::syscall(libc::SYS_sched_setattr, this, &raw const attributes, 0) })
        .map(drop)
}

/// Sets the priority of this thread's input and output (ioprio_set(2)); `class` is 1 (realtime), 2 (best effort) or 3
/// (idle), `priority` 0 to 7.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN` or `CAP_SYS_NICE` for realtime.
pub fn set_io_priority(class: u16, priority: u16) -> Result<(), Errno> {
    /// `IOPRIO_WHO_PROCESS`, and the class above thirteen bits of priority (linux/ioprio.h).
    const WHO_PROCESS: i32 = 1;
    let value = i32::from(class) << 13 | i32::from(priority);
    // SAFETY: three numbers.
    result(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, value) }).map(drop)
}

/// Says which NUMA nodes this thread's memory comes from (set_mempolicy(2)); `nodes` are words of bits.
///
/// # Errors
/// `EINVAL` for nodes that are not there, `ENOSYS` on a kernel without NUMA.
pub fn set_memory_policy(mode: i32, nodes: &[u64]) -> Result<(), Errno> {
    // The kernel looks at one bit less than it is told of.
    let (mask, bits) = match nodes {
        [] => (std::ptr::null(), 0),
        _ => (nodes.as_ptr(), nodes.len() * 64 + 1),
    };
    // SAFETY: the mask holds as many bits as are said, but for one that is never looked at.
    result(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) }).map(drop)
}

/// Sets the execution domain (personality(2)), and gives the one before.
///
/// # Errors
/// `EINVAL` where the kernel has no such domain.
pub fn set_personality(domain: u64) -> Result<i64, Errno> {
    // SAFETY: one number.
    result(unsafe { libc::syscall(libc::SYS_personality, domain) })
}
