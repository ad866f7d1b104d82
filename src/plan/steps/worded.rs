//! A step whose failure another tool words otherwise.

use crate::error::Result;
use crate::plan::{Context, Explanation, Shell, Step};

/// The step, and what to say where it fails: `setgroups failed` is `failed to set supplemental groups` in
/// coreutils.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worded<S>(pub S, pub &'static str);

impl<S: Step> Step for Worded<S> {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        self.0.perform(cx).map_err(|error| error.saying(self.1))
    }

    fn undo(&self, cx: &mut Context) {
        self.0.undo(cx);
    }

    fn explain(&self) -> Explanation {
        self.0.explain()
    }

    fn shell(&self) -> Shell {
        self.0.shell()
    }
}
