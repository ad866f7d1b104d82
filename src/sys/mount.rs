//! The mount API by descriptor: open_tree(2), mount_setattr(2), move_mount(2), fsopen(2), openat2(2).
//!
//! Design rule: once the root of a tree is open, no path string reaches the kernel but
//! through openat2 below that descriptor, and a mount's flags are set before it is attached.

use std::ffi::{CStr, CString};
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

use super::result;

/// Flags of open_tree(2) (linux/mount.h).
pub mod open_tree_flags {
    /// Give a detached copy of the mount instead of a handle on it.
    pub const CLONE: u32 = 1;
    /// With `CLONE`: the mounts below it too (`AT_RECURSIVE`).
    pub const RECURSIVE: u32 = 0x8000;
}

/// Attributes of mount_setattr(2) and fsmount(2) (linux/mount.h).
pub mod attr {
    /// Read-only.
    pub const RDONLY: u64 = 0x1;
    /// Set-id bits are ignored.
    pub const NOSUID: u64 = 0x2;
    /// Device nodes do not work.
    pub const NODEV: u64 = 0x4;
    /// Nothing can be executed.
    pub const NOEXEC: u64 = 0x8;
    /// The bits that choose how access times are kept; zero is relatime.
    pub const ATIME: u64 = 0x70;
    /// Access times are not updated.
    pub const NOATIME: u64 = 0x10;
    /// Access times are always updated.
    pub const STRICTATIME: u64 = 0x20;
    /// Access times of directories are not updated.
    pub const NODIRATIME: u64 = 0x80;
    /// Symbolic links are not followed (Linux 5.10).
    pub const NOSYMFOLLOW: u64 = 0x20_0000;
    /// The ids of files are mapped by a user namespace (Linux 5.12).
    pub const IDMAP: u64 = 0x10_0000;
}

/// `RESOLVE_*` of openat2(2) (linux/openat2.h).
pub mod resolve {
    /// Do not cross into another mount.
    pub const NO_XDEV: u64 = 0x01;
    /// Refuse magic links such as `/proc/self/fd/N`.
    pub const NO_MAGICLINKS: u64 = 0x02;
    /// Refuse every symbolic link.
    pub const NO_SYMLINKS: u64 = 0x04;
    /// Refuse to leave the directory given.
    pub const BENEATH: u64 = 0x08;
    /// Treat the directory given as `/`, as chroot(2) would.
    pub const IN_ROOT: u64 = 0x10;
}

fn c_path(path: &Path) -> Result<CString, Errno> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)
}

fn owned(fd: libc::c_long) -> Result<OwnedFd, Errno> {
    // SAFETY: callers pass what a system call that makes a descriptor has just returned.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(|_| Errno::EBADF)?) })
}

/// Opens `path` below `dir` with the `RESOLVE_*` restrictions given (openat2(2), Linux 5.6). A race that the
/// kernel could not rule out (`EAGAIN`) is tried again 128 times, then refused.
pub fn openat2(
    dir: BorrowedFd<'_>,
    path: &Path,
    flags: i32,
    mode: u32,
    resolve: u64,
) -> Result<OwnedFd, Errno> {
    let path = c_path(path)?;
    let how = [
        u64::from((flags | libc::O_CLOEXEC).cast_unsigned()),
        u64::from(mode),
        resolve,
    ];
    for _ in 0..128 {
        // SAFETY: path is NUL-terminated, how is the three u64 of struct open_how; both outlive the call.
        let ret = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                dir.as_raw_fd(),
                path.as_ptr(),
                how.as_ptr(),
                size_of_val(&how),
            )
        };
        match result(ret) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            other => return owned(other?),
        }
    }
    Err(Errno::EAGAIN)
}

/// open_tree(2): a handle on the mount at `path` below `dir` (an empty path means `dir` itself), or with
/// [`open_tree_flags::CLONE`] a detached copy of it. Linux 5.2.
pub fn open_tree(dir: BorrowedFd<'_>, path: &Path, flags: u32) -> Result<OwnedFd, Errno> {
    let path = c_path(path)?;
    let flags = flags | libc::O_CLOEXEC.cast_unsigned() | libc::AT_EMPTY_PATH.cast_unsigned();
    // SAFETY: path is NUL-terminated and outlives the call; the fd is borrowed.
    owned(result(unsafe {
        libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), path.as_ptr(), flags)
    })?)
}

/// move_mount(2): attaches the detached mount `from` at the place `to`, both by descriptor. Linux 5.2.
pub fn move_mount(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    /// `MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH`
    const BY_FD: u32 = 0x4 | 0x40;
    let (from, to, empty) = (from.as_raw_fd(), to.as_raw_fd(), c"".as_ptr());
    // SAFETY: both paths are the empty literal; the fds are borrowed for the call.
    result(unsafe { libc::syscall(libc::SYS_move_mount, from, empty, to, empty, BY_FD) }).map(drop)
}

/// Changes of mount_setattr(2): `struct mount_attr` of linux/mount.h.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MountAttr {
    /// [`attr`] bits to set.
    pub set: u64,
    /// [`attr`] bits to clear; a new access-time mode needs [`attr::ATIME`] here.
    pub clear: u64,
    /// 0, or one of `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, `MS_UNBINDABLE`.
    pub propagation: u64,
    /// The user namespace of an id-mapped mount; 0 without.
    pub userns_fd: u64,
}

/// mount_setattr(2) on the mount behind `mount`, with `recursive` on those below it too. Linux 5.12.
pub fn mount_setattr(
    mount: BorrowedFd<'_>,
    change: MountAttr,
    recursive: bool,
) -> Result<(), Errno> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let (fd, empty, size) = (mount.as_raw_fd(), c"".as_ptr(), size_of::<MountAttr>());
    // SAFETY: change is a mount_attr of the size given that outlives the call; the fd is borrowed.
    result(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd,
            empty,
            flags,
            &raw const change,
            size,
        )
    })
    .map(drop)
}

/// fsopen(2): a configuration context for a new file system of type `fstype`. Linux 5.2.
pub fn fsopen(fstype: &CStr) -> Result<OwnedFd, Errno> {
    const FSOPEN_CLOEXEC: u32 = 1;
    // SAFETY: fstype is NUL-terminated and outlives the call.
    owned(result(unsafe {
        libc::syscall(libc::SYS_fsopen, fstype.as_ptr(), FSOPEN_CLOEXEC)
    })?)
}

/// fsconfig(2) with a string value, or as a flag where `value` is `None`.
pub fn fsconfig_set(
    context: BorrowedFd<'_>,
    key: &CStr,
    value: Option<&CStr>,
) -> Result<(), Errno> {
    const SET_FLAG: u32 = 0;
    const SET_STRING: u32 = 1;
    let command = if value.is_some() {
        SET_STRING
    } else {
        SET_FLAG
    };
    let (fd, key, value) = (
        context.as_raw_fd(),
        key.as_ptr(),
        value.map_or(std::ptr::null(), CStr::as_ptr),
    );
    // SAFETY: key and value (where there is one) are NUL-terminated and outlive the call.
    result(unsafe { libc::syscall(libc::SYS_fsconfig, fd, command, key, value, 0) }).map(drop)
}

/// Makes the configured file system (`FSCONFIG_CMD_CREATE`) and gives it as a detached mount with the [`attr`]
/// bits of `attributes` (fsmount(2)).
pub fn fsmount(context: BorrowedFd<'_>, attributes: u64) -> Result<OwnedFd, Errno> {
    const CMD_CREATE: u32 = 6;
    const FSMOUNT_CLOEXEC: u32 = 1;
    let (fd, null) = (context.as_raw_fd(), std::ptr::null::<libc::c_char>());
    // SAFETY: CMD_CREATE takes no key and no value; the fd is borrowed for the call.
    result(unsafe { libc::syscall(libc::SYS_fsconfig, fd, CMD_CREATE, null, null, 0) })?;
    // SAFETY: fsmount takes a descriptor and two numbers.
    owned(result(unsafe {
        libc::syscall(libc::SYS_fsmount, fd, FSMOUNT_CLOEXEC, attributes)
    })?)
}
