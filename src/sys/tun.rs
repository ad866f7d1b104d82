//! Tun and tap links: the ioctls of `/dev/net/tun` (linux/if_tun.h).

use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

use super::result;

/// `TUNSETIFF`, `TUNSETPERSIST`, `TUNSETOWNER` and `TUNSETGROUP`: `_IOW('T', N, int)`.
const SET_LINK: u32 = 0x4004_54ca;
const SET_PERSIST: u32 = 0x4004_54cb;
const SET_OWNER: u32 = 0x4004_54cc;
const SET_GROUP: u32 = 0x4004_54ce;

/// Makes the link `name` (at most 15 bytes; empty for the kernel's choice) with `IFF_TUN` or `IFF_TAP` and other flags,
/// or takes hold of it where it is there. It lasts as long as `tun`, a descriptor of `/dev/net/tun`, is open.
///
/// # Errors
/// `EBUSY` where another has it, `EINVAL` for flags of another kind of link or a name that is too long.
pub fn set_link(tun: BorrowedFd<'_>, name: &[u8], flags: i16) -> Result<(), Errno> {
    // SAFETY: ifreq is plain data, for which all zero bits are a value.
    let mut request: libc::ifreq = unsafe { zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(Errno::EINVAL);
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = from.cast_signed() as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = flags;
    // SAFETY: request is an ifreq with a NUL-terminated name that outlives the call; the kernel may write its name.
    let ret = unsafe { libc::ioctl(tun.as_raw_fd(), SET_LINK as _, &raw mut request) };
    result(ret.into()).map(drop)
}

/// Lets the link last beyond its descriptor, or not.
pub fn set_persist(tun: BorrowedFd<'_>, on: bool) -> Result<(), Errno> {
    set(tun, SET_PERSIST, on.into())
}

/// Lets this user attach to the link.
pub fn set_owner(tun: BorrowedFd<'_>, uid: u32) -> Result<(), Errno> {
    set(tun, SET_OWNER, uid)
}

/// Lets this group attach to the link.
pub fn set_group(tun: BorrowedFd<'_>, gid: u32) -> Result<(), Errno> {
    set(tun, SET_GROUP, gid)
}

fn set(tun: BorrowedFd<'_>, request: u32, value: u32) -> Result<(), Errno> {
    // SAFETY: these requests take their number in place of a pointer; the fd is borrowed for the call.
    let ret = unsafe { libc::ioctl(tun.as_raw_fd(), request as _, libc::c_ulong::from(value)) };
    result(ret.into()).map(drop)
}
