//! Mounting and propagation.

use nix::mount::{MsFlags, mount};

use crate::error::{Doing, Result};
use crate::plan::{Context, Explanation, Shell, Step};

/// Sets the propagation of every mount from `/` down (mount_namespaces(7), "Shared subtrees").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Propagation {
    /// One of `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`.
    pub kind: MsFlags,
}

impl Propagation {
    fn name(self) -> &'static str {
        match self.kind {
            MsFlags::MS_SHARED => "shared",
            MsFlags::MS_SLAVE => "slave",
            _ => "private",
        }
    }
}

impl Step for Propagation {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | self.kind, none)
            .doing("cannot change root filesystem propagation")
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "mount(\"none\", \"/\", NULL, MS_REC|MS_{}, NULL)",
                self.name().to_ascii_uppercase()
            ),
            "the new mount namespace is a copy whose mounts still belong to the peer groups of the old one",
            "on a host with shared mounts, what is mounted in here would appear out there",
            "mount_namespaces(7)",
        )
    }

    fn shell(&self) -> Shell {
        if self.kind == MsFlags::MS_PRIVATE {
            return Shell::Implied;
        }
        Shell::option("unshare", format!("--propagation={}", self.name()))
    }
}
