//! Roots of a container that need more than a bind ([`crate::throw_away`]).

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::error::{Doing, Result};
use crate::idmap::{Range, words};
use crate::mount::IdMap;
use crate::plan::{Context, Explanation, Shell, Slot, Step};
use crate::sys::mount::{MountAttr, attr, mount_setattr};
use crate::throw_away::{self, mapped};

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

/// The mount of an overlay of an image's layers.
fn told_overlay(layers: &[PathBuf], written: Option<&Path>) -> String {
    let place = written.map_or_else(|| "TMPFS".into(), |path| format!("{path:?}"));
    let layers: Vec<String> = layers.iter().map(|one| format!("{one:?}")).collect();
    format!(
        "mount(\"overlay\", lowerdir={}, upperdir={place}/upper, workdir={place}/work)",
        layers.join(":")
    )
}

impl Step for LayeredRoot {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let root = throw_away::layered(&self.layers, self.written.as_deref())?;
        cx.put(self.slot, root);
        Ok(())
    }

    fn explain(&self) -> Explanation {
        let fate = match &self.written {
            Some(_) => "is kept there",
            None => "goes to memory and is gone with the container",
        };
        Explanation::new(
            format!(
                "{} = ROOT",
                told_overlay(&self.layers, self.written.as_deref())
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

/// Makes a root whose files belong to ids of the container's user namespace, out here: in there nobody could say whose
/// they are.
#[derive(Debug)]
pub struct MappedRoot {
    /// The directory; unless there are layers.
    pub path: PathBuf,
    /// The layers of an image, the topmost first.
    pub layers: Vec<PathBuf>,
    /// The directory that keeps what is written to the layers; without, memory does.
    pub written: Option<PathBuf>,
    /// Which ids the files have inside, and which outside.
    pub ids: IdMap,
    /// A user namespace with these ids, if there is one already.
    pub namespace: Option<Rc<OwnedFd>>,
    /// Where the detached mount is left.
    pub slot: Slot,
}

impl Step for MappedRoot {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let namespace = match &self.namespace {
            Some(made) => Rc::clone(made),
            None => Rc::new(self.ids.namespace()?),
        };
        let (namespace, written) = (namespace.as_fd(), self.written.as_deref());
        let root = match &self.layers[..] {
            [] => mapped::directory(&self.path, namespace)?,
            layers => mapped::layers(layers, written, namespace, self.ids.root())?,
        };
        cx.put(self.slot, root);
        Ok(())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        let ids = |map: &[Range]| words(map).join(" ");
        let maps = format!(
            "MOUNT_ATTR_IDMAP, uid_map={:?}, gid_map={:?}",
            ids(&self.ids.users),
            ids(&self.ids.groups)
        );
        let call = match &self.layers[..] {
            [] => format!(
                "open_tree({:?}, OPEN_TREE_CLONE|AT_RECURSIVE), mount_setattr(MS_SLAVE), mount_setattr({maps}) = ROOT",
                self.path
            ),
            layers => format!(
                "clone3(CLONE_NEWNS|CLONE_FILES), mount_setattr({maps}) of each layer, {} = ROOT",
                told_overlay(layers, self.written.as_deref())
            ),
        };
        Explanation::new(
            call,
            "what belongs to user 0 of the tree belongs to root inside, who is nobody of the host; nothing is given to another owner",
            "all of the tree would belong to nobody, and root inside could not even read what only its owner may",
            "mount_setattr(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Unsaid("an id-mapped root")
    }
}

/// Attaches a root that was made out here ([`MappedRoot`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachRoot {
    /// The detached mount.
    pub root: Slot,
}

impl Step for AttachRoot {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        throw_away::attach_over_root(cx.get(self.root)?)
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "move_mount(ROOT, \"/\")",
            "a root must be a mount of this mount namespace: it lies above the present one, where only its descriptor leads",
            "pivot_root(2) would say EINVAL",
            "move_mount(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
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
