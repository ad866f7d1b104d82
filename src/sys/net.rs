//! The two socket ioctls that bring an interface up (netdevice(7)).

use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

use super::result;

/// `IFF_UP`, as wide as a request has it.
#[allow(clippy::cast_possible_truncation, reason = "it is the lowest bit")]
const UP: libc::c_short = libc::IFF_UP as libc::c_short;

/// Sets `IFF_UP` on the interface `name` (at most 15 bytes) of the network namespace that `socket` belongs to, unless it is
/// up already.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` over that namespace, `ENODEV` where there is no such interface,
/// `EINVAL` for a name that is too long.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the numbers of the two ioctls fit an int, which is what musl's ioctl takes"
)]
pub fn bring_up(socket: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    let mut request = up(name)?;
    let fd = socket.as_raw_fd();
    // SAFETY: request is an ifreq with a NUL-terminated name; the kernel writes its flags.
    let ret = unsafe { libc::ioctl(fd, libc::SIOCGIFFLAGS as _, &raw mut request) };
    result(ret.into())?;
    // SAFETY: SIOCGIFFLAGS has filled this member of the union, and any bits are a value of it.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    if flags & UP != 0 {
        return Ok(());
    }
    request.ifr_ifru.ifru_flags = flags | UP;
    // SAFETY: request is an ifreq of our own that outlives the call; the kernel only reads it.
    let ret = unsafe { libc::ioctl(fd, libc::SIOCSIFFLAGS as _, &raw mut request) };
    result(ret.into()).map(drop)
}

/// The request (`SIOCSIFFLAGS`) that brings a new interface up, which has no other flags that could be set.
///
/// # Errors
/// `EINVAL` for a name that is too long.
pub(super) fn up(name: &[u8]) -> Result<libc::ifreq, Errno> {
    // SAFETY: ifreq is plain data, for which all zero bits are a value.
    let mut request: libc::ifreq = unsafe { zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(Errno::EINVAL);
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = from.cast_signed() as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = UP;
    Ok(request)
}
