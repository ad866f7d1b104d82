//! A `/proc` of one's own (proc(5)).

use std::path::PathBuf;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

use crate::error::{Error, Result};
use crate::plan::{Context, Explanation, Shell, Step};

/// Mounts a fresh proc file system, which shows the PID namespace of this process (proc(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountProc {
    /// Where: `/proc`.
    pub target: PathBuf,
}

impl Step for MountProc {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NODEV;
        mount(
            Some("proc"),
            &self.target,
            Some("proc"),
            flags,
            None::<&str>,
        )
        .map_err(|errno| {
            let target = crate::error::printable(self.target.as_os_str());
            Error::new(format!("mount {target} failed"))
                .errno_is(errno)
                .hint_maybe(crate::probe::proc_refused(errno))
        })
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "mount(\"proc\", {:?}, \"proc\", MS_NOSUID|MS_NOEXEC|MS_NODEV, NULL)",
                self.target
            ),
            "a proc file system shows the PID namespace of whoever mounts it",
            "ps(1) would list the processes of the host, and /proc/PID would be somebody else's",
            "proc(5)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::valued("unshare", "--mount-proc=", self.target.as_os_str())
    }
}

/// Makes the mounts from one place down private, where one is there (`MS_PRIVATE|MS_REC`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateMount {
    /// The mount point.
    pub target: PathBuf,
}

impl Step for PrivateMount {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let (none, how) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
        match mount(none, &self.target, none, how, none) {
            // No mount yet: then there is nothing that could propagate.
            Ok(()) | Err(Errno::EINVAL) => Ok(()),
            Err(errno) => {
                let target = crate::error::printable(self.target.as_os_str());
                Err(
                    Error::new(format!("cannot change {target} filesystem propagation"))
                        .errno_is(errno),
                )
            }
        }
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "mount(\"none\", {:?}, NULL, MS_REC|MS_PRIVATE, NULL)",
                self.target
            ),
            "what is mounted over it next must not appear on the host",
            "with another propagation than private the host's mount would be covered too",
            "mount_namespaces(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}
