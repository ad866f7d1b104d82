//! Files of a root whose text is given: `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::Result;
use crate::mount::mount_text;
use crate::plan::{Context, Explanation, Shell, Slot, Step};
use crate::root::Root;

/// Mounts a file with this text in the new root; nothing is written into the root itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountText {
    /// The tree it goes into.
    pub root: Slot,
    /// Where in that tree.
    pub target: PathBuf,
    /// What it says.
    pub text: String,
}

impl Step for MountText {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let root = Root::new(cx.get(self.root)?);
        mount_text(root, &self.target, self.text.as_bytes())
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "write(MEMORY, {:?}), open_tree(OPEN_TREE_CLONE), move_mount(ROOT, {:?})",
                self.text, self.target
            ),
            "the file says what is so in this container, and the tree that it covers stays as it is",
            "names and addresses would be those of where the tree came from",
            "hosts(5)",
        )
    }

    fn shell(&self) -> Shell {
        let mut word = OsString::from("--text=");
        word.push(&self.target);
        word.push("=");
        word.push(&self.text);
        Shell::option("pivot", word)
    }
}
