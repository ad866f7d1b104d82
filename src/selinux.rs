//! Whether SELinux labels mean anything here (selinux(8)).

use std::fs::OpenOptions;
use std::path::Path;

/// Whether SELinux runs and is ours to use. A container that is to do without it has its file system read-only, or not
/// at all; else anybody may open its `context` to write. Before there is a policy, and so its classes, the kernel takes
/// any label and heeds none.
pub fn is_enabled() -> bool {
    let context = OpenOptions::new()
        .write(true)
        .open("/sys/fs/selinux/context");
    context.is_ok() && Path::new("/sys/fs/selinux/class/process").exists()
}
