//! What a container has of this machine's network, for as long as it lives.

use std::path::PathBuf;

use crate::error::Result;
use crate::net::lease::{Held, Lease};
use crate::plan::{Context, Explanation, Shell, Step};

/// Holds a lease that was taken when the plan was made, and takes back all that it stands for in the end.
#[derive(Debug)]
pub struct HoldLease {
    /// What it says.
    pub lease: Lease,
    /// Where leases are kept.
    pub directory: PathBuf,
    /// The lease itself; nothing is held by a plan that is only told.
    pub held: Option<Held>,
}

impl Step for HoldLease {
    fn perform(&self, _: &mut Context) -> Result<()> {
        Ok(())
    }

    fn undo(&self, cx: &mut Context) {
        // What is said of forwarding is said when it is turned on: at its end a container says nothing.
        if let Some(Err(error)) = self.held.as_ref().map(Held::release) {
            cx.note(error.to_string());
        }
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        let Lease { name, bridge, .. } = &self.lease;
        let addresses: Vec<String> = self.lease.addresses().map(|one| one.to_string()).collect();
        let address = addresses.join(" and ");
        Explanation::new(
            format!(
                "open({:?}, O_CREAT), flock(LOCK_EX)",
                self.directory.join(name)
            ),
            format!(
                "writes down that {name} has {address} behind {bridge}, its link and its ports, before any of it is made"
            ),
            "two containers could get one address, and what a killed one leaves would stay",
            "flock(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}
