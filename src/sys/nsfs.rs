//! Namespaces as files: the ioctls of ioctl_nsfs(2) (linux/nsfs.h), the namespace of a socket, and namespaces
//! opened by their id.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;

use super::result;

/// `NS_GET_USERNS`: `_IO(0xb7, 1)`.
const GET_USERNS: u32 = 0xb701;
/// `NS_GET_PARENT`: `_IO(0xb7, 2)`.
const GET_PARENT: u32 = 0xb702;
/// `NS_GET_NSTYPE`: `_IO(0xb7, 3)`.
const GET_NSTYPE: u32 = 0xb703;
/// `NS_GET_OWNER_UID`: `_IO(0xb7, 4)`.
const GET_OWNER_UID: u32 = 0xb704;
/// `NS_GET_MNTNS_ID`: `_IOR(0xb7, 5, __u64)`.
const GET_MNTNS_ID: u32 = 0x8008_b705;
/// `SIOCGSKNS` (linux/sockios.h).
pub(super) const GET_SOCKET_NS: u32 = 0x894c;

/// The user namespace that owns the namespace `ns`; of a user namespace its parent. Linux 4.9.
///
/// # Errors
/// `EPERM` where that lies outside the caller's own user namespace, `ENOTTY` from a kernel without the ioctl.
pub fn owner(ns: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    opened_by(ns, GET_USERNS)
}

/// The parent of the user or PID namespace `ns`. Linux 4.9.
///
/// # Errors
/// `EPERM` where that lies outside the caller's own namespaces, `EINVAL` for a kind that has no parents.
pub fn parent(ns: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    opened_by(ns, GET_PARENT)
}

/// The network namespace of a socket. Linux 4.9; needs `CAP_NET_ADMIN` over it.
pub fn of_socket(socket: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    opened_by(socket, GET_SOCKET_NS)
}

fn opened_by(fd: BorrowedFd<'_>, request: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: these requests take no argument; the fd is borrowed for the call.
    let fd = result(unsafe { libc::ioctl(fd.as_raw_fd(), request as _) }.into())?;
    owned(fd)
}

/// The `CLONE_NEW*` flag of the namespace `ns`. Linux 4.11.
pub fn kind(ns: BorrowedFd<'_>) -> Result<CloneFlags, Errno> {
    // SAFETY: this request takes no argument; the fd is borrowed for the call.
    let flag = result(unsafe { libc::ioctl(ns.as_raw_fd(), GET_NSTYPE as _) }.into())?;
    Ok(CloneFlags::from_bits_retain(
        i32::try_from(flag).unwrap_or(0),
    ))
}

/// The user who owns the user namespace `ns`, as the caller's user namespace numbers it. Linux 4.11.
pub fn owner_uid(ns: BorrowedFd<'_>) -> Result<u32, Errno> {
    let mut uid: libc::uid_t = 0;
    // SAFETY: the kernel writes one uid_t, which uid has room for and which outlives the call.
    let ret = unsafe { libc::ioctl(ns.as_raw_fd(), GET_OWNER_UID as _, &raw mut uid) };
    result(ret.into())?;
    Ok(uid)
}

/// A copy of descriptor `number` of the process behind `pidfd` (pidfd_getfd(2), Linux 5.6). Needs the right to
/// trace that process.
pub fn pidfd_getfd(pidfd: BorrowedFd<'_>, number: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: pidfd_getfd takes three integers; the fd is borrowed for the call.
    let ret = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) };
    owned(result(ret)?)
}

/// `struct file_handle` with the `struct nsfs_file_handle` of linux/nsfs.h as its body.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    id: u64,
    ns_type: u32,
    ns_inode: u32,
}

/// The namespace whose id (not its inode number) is `id`, by open_by_handle_at(2). Linux 6.19.
///
/// # Errors
/// `EBADF` or `ESTALE` from an older kernel, `ESTALE` where there is no such namespace.
pub fn open_by_id(id: u64) -> Result<OwnedFd, Errno> {
    /// `FD_NSFS_ROOT` (linux/fcntl.h): the root of the kernel's own nsfs.
    const NSFS_ROOT: i32 = -10003;
    /// `FILEID_NSFS` (linux/exportfs.h).
    const FILEID_NSFS: i32 = 0xf1;
    let mut handle = Handle {
        bytes: 16,
        kind: FILEID_NSFS,
        id,
        ns_type: 0,
        ns_inode: 0,
    };
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: handle is a file_handle with the body of the size it names, and outlives the call.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_open_by_handle_at,
            NSFS_ROOT,
            &raw mut handle,
            flags,
        )
    };
    owned(result(ret)?)
}

/// The number by which the kernel orders the mount namespace `ns` among others. Linux 6.11.
pub fn mount_id(ns: BorrowedFd<'_>) -> Result<u64, Errno> {
    let mut id: u64 = 0;
    // SAFETY: this request writes one u64, which id has room for; the fd is borrowed for the call.
    let ret = unsafe { libc::ioctl(ns.as_raw_fd(), GET_MNTNS_ID as _, &raw mut id) };
    result(ret.into()).map(|_| id)
}

fn owned(fd: libc::c_long) -> Result<OwnedFd, Errno> {
    // SAFETY: callers pass what a system call that makes a descriptor has just returned.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(|_| Errno::EBADF)?) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn a_namespace_tells_its_kind_and_owner() {
        let uts = File::open("/proc/self/ns/uts").unwrap();
        assert_eq!(kind(uts.as_fd()), Ok(CloneFlags::CLONE_NEWUTS));
        let user = owner(uts.as_fd()).unwrap();
        assert_eq!(kind(user.as_fd()), Ok(CloneFlags::CLONE_NEWUSER));
        assert!(owner_uid(user.as_fd()).is_ok());
        assert_eq!(parent(uts.as_fd()).map(drop), Err(Errno::EINVAL));
        let file = File::open("/proc/self/stat").unwrap();
        assert_eq!(kind(file.as_fd()), Err(Errno::ENOTTY));
    }
}
