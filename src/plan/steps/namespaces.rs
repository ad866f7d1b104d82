//! Making namespaces.

use nix::sched::{CloneFlags, unshare};

use crate::error::Result;
use crate::namespace::{Kind, flag_names, kinds};
use crate::plan::{Context, Explanation, Shell, Step};
use crate::probe;

/// Moves this process into new namespaces (unshare(2)); for pid and time only its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unshare {
    /// `CLONE_NEW*` flags.
    pub namespaces: CloneFlags,
}

impl Step for Unshare {
    fn perform(&self, _: &mut Context) -> Result<()> {
        unshare(self.namespaces).map_err(|errno| probe::unshare_failed(self.namespaces, errno))
    }

    fn explain(&self) -> Explanation {
        let pages: Vec<&str> = kinds(self.namespaces).into_iter().map(Kind::man).collect();
        Explanation::new(
            format!("unshare({})", flag_names(self.namespaces)),
            format!(
                "leaves the namespaces shared with the caller: see {}",
                pages.join(", ")
            ),
            "everything after this would happen to the host",
            "unshare(2)",
        )
    }

    fn shell(&self) -> Shell {
        let words = kinds(self.namespaces)
            .iter()
            .map(|kind| format!("--{}", kind.option()).into())
            .collect();
        Shell::Option {
            applet: "unshare",
            words,
        }
    }
}
