//! A handle on our own binary, for a program that is one of our applets.

use crate::error::Result;
use crate::own_binary::protected;
use crate::plan::{Context, Explanation, Shell, Slot, Step};

/// Keeps a protected handle on our own binary ([`crate::own_binary`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepOwnBinary {
    /// Where the exec finds it.
    pub slot: Slot,
}

impl Step for KeepOwnBinary {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        cx.put(self.slot, protected()?);
        Ok(())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "open_tree(\"/proc/self/exe\", OPEN_TREE_CLONE), mount_setattr(MOUNT_ATTR_RDONLY)",
            "the program is one of our own applets: its file is kept by descriptor, read-only",
            "the applet would have to lie in the new root, and a root inside could overwrite our file",
            "open_tree(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}
