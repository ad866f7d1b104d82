//! What ties the program to its parent.

use crate::error::{Doing, Error, Result};
use crate::plan::{Context, Explanation, Shell, Step};
use crate::sys::task;

/// Has the kernel send a signal to the program when its parent dies (`PR_SET_PDEATHSIG`).
///
/// A change of ids or capabilities clears it, so it is set again behind such steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeathSignal {
    /// The signal's number.
    pub signal: i32,
}

impl Step for DeathSignal {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let signal = u64::from(self.signal.cast_unsigned());
        task::prctl(libc::PR_SET_PDEATHSIG, [signal, 0, 0, 0]).doing("prctl failed")?;
        // A parent that died before the call above sends nothing. Its pid cannot tell: inside a new PID
        // namespace every parent is number 0.
        if cx.parent_died() {
            return Err(Error::new("the parent has died"));
        }
        Ok(())
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("prctl(PR_SET_PDEATHSIG, {})", self.signal),
            "the kernel sends this signal to the program when its parent dies, and with PID 1 dies all of a PID namespace",
            "the program would go on when its parent is killed",
            "PR_SET_PDEATHSIG(2const)",
        )
    }

    fn shell(&self) -> Shell {
        if self.signal == libc::SIGKILL {
            return Shell::option("unshare", "--kill-child");
        }
        Shell::option("unshare", format!("--kill-child={}", self.signal))
    }
}
