//! Roots of a container that need more than a bind ([`crate::throw_away`]).

use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::{Doing, Result};
use crate::plan::{Context, Explanation, Shell, Slot, Step};
use crate::sys::mount::{MountAttr, attr, mount_setattr};
use crate::throw_away;

/// Makes a root of a directory, with what is mounted below it, that can be written to without changing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThrowAwayRoot {
    /// The directory; `/` for the machine's own root.
    pub path: PathBuf,
    /// Where later steps find the root of the new mount.
    pub slot: Slot,
}

impl Step for ThrowAwayRoot {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let root = throw_away::root(&self.path)?;
        cx.put(self.slot, root);
        Ok(())
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "mount(\"tmpfs\"), mount(\"overlay\", lowerdir={:?} and each mount below it) = ROOT",
                self.path
            ),
            "the tree is only read; what is written goes to memory and is gone with the container",
            "the program would change the tree itself",
            "mount(8), \"Mount options for overlay\"",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Operand {
            applet: "pivot",
            options: vec!["--throw-away".into()],
            word: self.path.clone().into(),
        }
    }
}

/// Makes a root of an image's layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayeredRoot {
    /// The layers, the topmost first.
    pub layers: Vec<PathBuf>,
    /// The directory that keeps what is written; without, memory does.
    pub written: Option<PathBuf>,
    /// Where later steps find the root of the new mount.
    pub slot: Slot,
}

impl Step for LayeredRoot {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let root = throw_away::layered(&self.layers, self.written.as_deref())?;
        cx.put(self.slot, root);
        Ok(())
    }

    fn explain(&self) -> Explanation {
        let (place, fate) = match &self.written {
            Some(path) => (format!("{path:?}"), "is kept there"),
            None => (
                "TMPFS".into(),
                "goes to memory and is gone with the container",
            ),
        };
        let layers: Vec<String> = self.layers.iter().map(|one| format!("{one:?}")).collect();
        Explanation::new(
            format!(
                "mount(\"overlay\", lowerdir={}, upperdir={place}/upper, workdir={place}/work) = ROOT",
                layers.join(":")
            ),
            format!(
                "containers of an image share its layers, which are only read; what is written {fate}"
            ),
            "each container would need a copy of the image",
            "mount(8), \"Mount options for overlay\"",
        )
    }

    fn shell(&self) -> Shell {
        let (top, below) = self
            .layers
            .split_first()
            .map_or_else(Default::default, |(top, below)| {
                (top.clone(), below.to_vec())
            });
        let mut options: Vec<OsString> = vec!["--throw-away".into()];
        if let Some(written) = &self.written {
            options = vec!["--written".into(), written.into()];
        }
        for layer in below {
            options.extend(["--layer".into(), layer.into()]);
        }
        Shell::Operand {
            applet: "pivot",
            options,
            word: top.into(),
        }
    }
}

/// Makes device nodes in the root and in what is mounted there without effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootNoDevices {
    /// The tree.
    pub root: Slot,
}

impl Step for RootNoDevices {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let change = MountAttr {
            set: attr::NODEV,
            ..MountAttr::default()
        };
        mount_setattr(cx.get(self.root)?, change, true)
            .doing("cannot make the devices of the new root unusable")
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "mount_setattr(ROOT, AT_RECURSIVE, MOUNT_ATTR_NODEV)",
            "a device node in the tree is a file that does nothing; only those in /dev work",
            "whoever made the tree could have put a node of the machine's disk in it",
            "mount_setattr(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::option("pivot", "--no-devices")
    }
}
