//! The three system calls of Landlock (landlock(7)): a ruleset is made, given rules, and imposed on oneself.

use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::result;

/// What a ruleset takes away: `struct landlock_ruleset_attr` (linux/landlock.h).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Handled {
    /// `LANDLOCK_ACCESS_FS_*` bits.
    pub fs: u64,
    /// `LANDLOCK_ACCESS_NET_*` bits (Linux 6.7).
    pub net: u64,
    /// `LANDLOCK_SCOPE_*` bits (Linux 6.12).
    pub scoped: u64,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

/// `struct landlock_net_port_attr`.
#[repr(C)]
struct NetPort {
    allowed: u64,
    port: u64,
}

/// What `landlock_create_ruleset` tells of this kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The version of the interface, from 1.
    Version = 1,
    /// The bits of the errata that are fixed.
    Errata = 2,
}

/// Asks the kernel about its Landlock.
///
/// # Errors
/// `ENOSYS` where it was not built in, `EOPNOTSUPP` where it is disabled.
pub fn ask(about: About) -> Result<u32, Errno> {
    let none = std::ptr::null::<Handled>();
    // SAFETY: the kernel reads no attributes with these flags.
    let answer = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0, about as u32) };
    result(answer).map(|answer| u32::try_from(answer).unwrap_or(0))
}

/// A new ruleset that takes away what it handles. Its descriptor is close-on-exec.
pub fn create_ruleset(handled: Handled) -> Result<OwnedFd, Errno> {
    let size = size_of::<Handled>();
    // SAFETY: handled is a landlock_ruleset_attr of the size given that outlives the call. Kernels with a
    // shorter structure accept a longer one whose rest is zero.
    let fd = result(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const handled,
            size,
            0,
        )
    })?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(|_| Errno::EBADF)?) })
}

/// Allows these accesses on `parent` and everything below it.
pub fn allow_beneath(
    ruleset: BorrowedFd<'_>,
    parent: BorrowedFd<'_>,
    allowed: u64,
) -> Result<(), Errno> {
    const PATH_BENEATH: i32 = 1;
    let rule = PathBeneath {
        allowed,
        parent: parent.as_raw_fd(),
    };
    let fd = ruleset.as_raw_fd();
    // SAFETY: rule is the attribute of this type of rule and outlives the call; both fds are borrowed.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            fd,
            PATH_BENEATH,
            &raw const rule,
            0,
        )
    };
    result(ret).map(drop)
}

/// Allows these accesses to a port (Linux 6.7).
pub fn allow_port(ruleset: BorrowedFd<'_>, port: u16, allowed: u64) -> Result<(), Errno> {
    const NET_PORT: i32 = 2;
    let rule = NetPort {
        allowed,
        port: port.into(),
    };
    let fd = ruleset.as_raw_fd();
    // SAFETY: rule is the attribute of this type of rule and outlives the call; the fd is borrowed.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            fd,
            NET_PORT,
            &raw const rule,
            0,
        )
    };
    result(ret).map(drop)
}

/// Imposes the ruleset on this process and all it starts. Needs no_new_privs, or `CAP_SYS_ADMIN`.
pub fn restrict_self(ruleset: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: the call takes a borrowed descriptor and a number.
    let ret = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) };
    result(ret).map(drop)
}
