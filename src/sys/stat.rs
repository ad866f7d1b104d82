//! statx(2): what an inode is, and which mount it was reached through.

use std::ffi::CStr;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

use super::result;

/// What statx(2) tells of one place in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Type and permissions, as in `st_mode`.
    pub mode: u32,
    /// Major and minor number of the device that the inode stands for.
    pub rdev: (u32, u32),
    /// Major and minor number of the device that holds the inode.
    pub dev: (u32, u32),
    /// The mount it was reached through, as in the first field of `/proc/PID/mountinfo`. Linux 5.8.
    pub mount: u64,
    /// Whether it is the root of that mount. Linux 5.8.
    pub is_mount_root: bool,
}

impl Place {
    /// Whether it is of this type: `S_IFDIR`, `S_IFCHR` ...
    pub fn is(&self, file_type: u32) -> bool {
        self.mode & libc::S_IFMT == file_type
    }

    /// Whether it is the character device with these numbers.
    pub fn is_device(&self, major: u32, minor: u32) -> bool {
        self.is(libc::S_IFCHR) && self.rdev == (major, minor)
    }
}

/// `STATX_MNT_ID` (linux/stat.h).
const STATX_MNT_ID: u32 = 0x1000;
/// `STATX_ATTR_MOUNT_ROOT` (linux/stat.h).
const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;

/// Looks at `name` below `dir` (an empty name means `dir` itself), following no link and triggering no mount.
pub fn place(dir: BorrowedFd<'_>, name: &CStr) -> Result<Place, Errno> {
    // SAFETY: statx is plain integers, for which all zero bits are a value.
    let mut found: libc::statx = unsafe { zeroed() };
    let flags = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT;
    let mask = libc::STATX_TYPE | libc::STATX_MODE | STATX_MNT_ID;
    // SAFETY: name is NUL-terminated, found is a statx of our own, and both outlive the call.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_statx,
            dir.as_raw_fd(),
            name.as_ptr(),
            flags,
            mask,
            &raw mut found,
        )
    };
    result(ret)?;
    Ok(Place {
        mode: found.stx_mode.into(),
        rdev: (found.stx_rdev_major, found.stx_rdev_minor),
        dev: (found.stx_dev_major, found.stx_dev_minor),
        mount: found.stx_mnt_id,
        is_mount_root: found.stx_attributes & STATX_ATTR_MOUNT_ROOT != 0,
    })
}
