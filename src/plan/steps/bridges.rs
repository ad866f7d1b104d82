//! Bridges (ip-link(8), bridge(8)): switches that wires end in.

use std::cell::Cell;

use nix::errno::Errno;

use super::links::{Where, explained, of_kind};
use crate::error::{Doing, Error, Result};
use crate::net::Connection;
use crate::net::link;
use crate::net::veth::{make_bridge, remove_empty_bridge};
use crate::plan::{Context, Explanation, Shell, Step};

/// Makes a bridge, if it is not there.
#[derive(Debug)]
pub struct MakeBridge {
    /// Its name.
    pub name: String,
    made: Cell<bool>,
}

impl MakeBridge {
    /// Makes the bridge `name`.
    pub fn new(name: String) -> Self {
        Self {
            name,
            made: Cell::new(false),
        }
    }
}

impl Step for MakeBridge {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let mut connection = Connection::open()?;
        match link::named(&mut connection, &self.name) {
            Err(refusal) if refusal.is(Errno::ENODEV) => {}
            found => {
                let found = found.doing_to("cannot find the bridge", &self.name)?;
                return of_kind(&found, "bridge");
            }
        }
        let doing = || format!("cannot make the bridge {}", self.name);
        make_bridge(&mut connection, &self.name)
            .map_err(|refusal| explained(refusal, doing(), Some("bridge")))?;
        self.made.set(true);
        Ok(())
    }

    fn undo(&self, cx: &mut Context) {
        if !self.made.get() {
            return;
        }
        let removed = Connection::open().and_then(|mut connection| {
            let bridge = link::named(&mut connection, &self.name);
            let removed = bridge.and_then(|bridge| remove_empty_bridge(&mut connection, &bridge));
            removed.doing("cannot remove the bridge")
        });
        match removed {
            Ok(true) => {}
            Ok(false) => cx.note(format!("the bridge {} stays: links are in it", self.name)),
            Err(error) => cx.note(format!("the bridge {} stays: {error}", self.name)),
        }
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("RTM_NEWLINK(type=bridge, name={:?})", self.name),
            "a bridge is a switch: what is plugged into it can reach each other",
            "each namespace would reach only us, over a wire of its own",
            "ip-link(8)",
        )
    }

    fn shell(&self) -> Shell {
        Where::Here.ip(["link", "add", &self.name, "type", "bridge"])
    }
}

/// Removes a bridge that no link is in any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveBridge {
    /// Its name.
    pub name: String,
    /// Whether it has to be there, and to be empty.
    pub must: bool,
}

impl Step for RemoveBridge {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let mut connection = Connection::open()?;
        let found = match link::named(&mut connection, &self.name) {
            Err(refusal) if refusal.is(Errno::ENODEV) && !self.must => return Ok(()),
            other => other.doing_to("cannot find the bridge", &self.name)?,
        };
        of_kind(&found, "bridge")?;
        let doing = || format!("cannot remove the bridge {}", self.name);
        let gone = remove_empty_bridge(&mut connection, &found)
            .map_err(|refusal| explained(refusal, doing(), None))?;
        if gone || !self.must {
            return Ok(());
        }
        Err(Error::new(doing()).because("links are in it"))
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("RTM_DELLINK(name={:?}), if no link is in it", self.name),
            "a bridge of ours goes with the last wire that ends in it",
            "it would stay, with its address and its route",
            "ip-link(8)",
        )
    }

    fn shell(&self) -> Shell {
        Where::Here.ip(["link", "del", &self.name])
    }
}
