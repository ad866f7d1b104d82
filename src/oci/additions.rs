//! What a caller adds to the plan of a container that no spec has a word for: its connection to the machine's network,
//! and files that say so.

use std::fmt;
use std::rc::Rc;

use crate::error::Result;
use crate::plan::{Plan, Slot};

/// Adds steps somewhere in the plan.
type Add = Rc<dyn Fn(&mut Plan) -> Result<()>>;

/// The same for a root that is ready.
type AddToRoot = Rc<dyn Fn(&mut Plan, Slot)>;

/// The additions, each with its place in the plan.
#[derive(Clone, Default)]
pub struct Additions {
    /// First of all, by the parent: what lasts as long as the container.
    pub before: Option<Add>,
    /// When the namespaces are there, by the parent and the child.
    pub networked: Option<Add>,
    /// When everything is mounted in the root, whose slot is given.
    pub rooted: Option<AddToRoot>,
    /// lo of a new network namespace is left as it is, which is down.
    pub loopback_stays_down: bool,
}

impl Additions {
    /// Whether there is anything.
    pub fn are_there(&self) -> bool {
        let steps = self.before.is_some() || self.networked.is_some() || self.rooted.is_some();
        steps || self.loopback_stays_down
    }

    pub(super) fn add(which: Option<&Add>, plan: &mut Plan) -> Result<()> {
        which.map_or(Ok(()), |add| add(plan))
    }
}

impl fmt::Debug for Additions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Additions")
    }
}
