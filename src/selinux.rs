//! Whether SELinux labels mean anything here (selinux(8)).

use nix::sys::statfs::{SELINUX_MAGIC, statfs};
use nix::sys::statvfs::FsFlags;

/// Whether SELinux runs and is ours to use: a container that is to do without it has its file system read-only, or not
/// at all. Before there is a policy the kernel takes any label and heeds none; everything is called `kernel` then.
pub fn is_enabled() -> bool {
    statfs("/sys/fs/selinux").is_ok_and(|fs| {
        fs.filesystem_type() == SELINUX_MAGIC && !fs.flags().contains(FsFlags::ST_RDONLY)
    }) && std::fs::read("/proc/self/attr/current").is_ok_and(|label| label.contains(&b':'))
}
