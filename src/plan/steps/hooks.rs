//! Hooks: programs of the caller's that are run at certain points on the way to a container.

use std::fmt;
use std::rc::Rc;

use crate::error::{Error, Result};
use crate::hook::Hook;
use crate::plan::{Context, Explanation, Shell, Step};

/// The state of a container as JSON, for a status (`creating`) and the number of its first process.
pub type StateJson = Rc<dyn Fn(&str, i32) -> String>;

/// Runs hooks, one after the other; where one fails the container is not made.
#[derive(Clone)]
pub struct RunHooks {
    /// Their kind: `createRuntime`.
    pub kind: &'static str,
    /// Where they run, for people.
    pub place: &'static str,
    /// The hooks.
    pub hooks: Vec<Hook>,
    /// The state that they read.
    pub state: StateJson,
    /// The status in it.
    pub status: &'static str,
}

impl fmt::Debug for RunHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunHooks({} {:?})", self.kind, self.hooks)
    }
}

impl Step for RunHooks {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let state = (self.state)(self.status, cx.program().as_raw());
        for (at, hook) in self.hooks.iter().enumerate() {
            hook.run(&state).map_err(|error| {
                Error::new(format!("error running {} hook #{at}", self.kind))
                    .because(error.to_string())
            })?;
        }
        Ok(())
    }

    fn explain(&self) -> Explanation {
        let calls: Vec<String> = self
            .hooks
            .iter()
            .map(|hook| format!("execve({:?})", hook.path))
            .collect();
        Explanation::new(
            calls.join(", "),
            format!(
                "{} hooks run here, {}, with the container's state on their standard input",
                self.kind, self.place
            ),
            "what they prepare (a network, devices) would be missing",
            "runtime-spec, config.md, \"POSIX-platform Hooks\"",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Unsaid("hooks")
    }
}
