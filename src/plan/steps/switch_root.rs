//! The steps of switch_root(8).

use std::path::PathBuf;

use crate::error::Result;
use crate::plan::{Context, Explanation, Shell, Slot, Step};
use crate::switch_root::{MOVED, check, move_mounts, take_over, use_console};

/// Opens the new root, and makes sure that everything is as it must be before anything is touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckInitramfs {
    /// The new root.
    pub new_root: PathBuf,
    /// The program to become, in the new root.
    pub init: PathBuf,
    /// Where later steps find the new root.
    pub slot: Slot,
}

impl Step for CheckInitramfs {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        cx.put(self.slot, check(&self.new_root, &self.init)?);
        Ok(())
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "getpid() == 1, fstatfs(\"/\") == TMPFS_MAGIC | RAMFS_MAGIC, statx({:?}), statx({:?})",
                self.new_root, self.init
            ),
            "what follows deletes the root that is left, and cannot be taken back",
            "on a machine that runs, its root would be deleted",
            "switch_root(8)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Operand {
            applet: "switch_root",
            options: Vec::new(),
            word: self.new_root.clone().into(),
        }
    }
}

/// Takes `/dev`, `/proc`, `/sys` and `/run` along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MoveMounts {
    /// The new root.
    pub root: Slot,
}

impl Step for MoveMounts {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        move_mounts(cx.get(self.root)?)
    }

    fn explain(&self) -> Explanation {
        let calls: Vec<String> = MOVED
            .iter()
            .map(|path| format!("move_mount({path}, ROOT{path})"))
            .collect();
        Explanation::new(
            calls.join(", "),
            "what is mounted there is of the machine, not of the initramfs",
            "the new init would find empty directories",
            "move_mount(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Moves the new root over the old one, and deletes that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakeOver {
    /// The new root.
    pub root: Slot,
}

impl Step for TakeOver {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        take_over(cx.get(self.root)?)
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "fchdir(ROOT), move_mount(ROOT, \"/\"), chroot(\".\"), chdir(\"/\"), unlinkat(OLD, ...)",
            "an initramfs cannot be unmounted or pivoted away: it is covered, and emptied to free its memory",
            "its memory would be lost for as long as the machine runs",
            "switch_root(8)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Takes a terminal for standard input, output and error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    /// The terminal, in the new root.
    pub path: PathBuf,
}

impl Step for Console {
    fn perform(&self, _: &mut Context) -> Result<()> {
        use_console(&self.path)
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("open({:?}, O_RDWR), dup2(0), dup2(1), dup2(2)", self.path),
            "the old standard descriptors belong to the initramfs",
            "the new init would talk to whatever the old one did",
            "dup(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Option {
            applet: "switch_root",
            words: vec!["-c".into(), self.path.clone().into()],
        }
    }
}
