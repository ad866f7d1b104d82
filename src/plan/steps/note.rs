//! What is worth saying, and no reason to fail.

use crate::error::Result;
use crate::plan::{Context, Explanation, Shell, Step};

/// Warns of a part of what was asked for that this machine has nothing for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warn(pub String);

impl Step for Warn {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        cx.note(self.0.clone());
        Ok(())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("write(2, {:?})", self.0),
            "the specification wants this to be said, and the container to be made",
            "what is missing would be missing in silence",
            "runtime-spec, config.md",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}
