//! The network of an ordinary user's container: a program of the user's own carries what goes in and out, because the
//! kernel lets nobody connect a namespace to the machine's network without privilege.

use std::cell::RefCell;
use std::process::Child;

use crate::error::Result;
use crate::net::user::{self, Carrier};
use crate::plan::{Context, Explanation, Shell, Step};

/// Starts the carrier for the program's network namespace, and ends it with the program.
#[derive(Debug)]
pub struct CarryNetwork {
    /// Which program, and what it is to do.
    pub carrier: Carrier,
    /// The ports, as they were typed.
    pub published: Vec<String>,
    running: RefCell<Option<Child>>,
}

impl CarryNetwork {
    /// A step that starts this one.
    pub fn new(carrier: Carrier, published: Vec<String>) -> Self {
        Self {
            carrier,
            published,
            running: RefCell::default(),
        }
    }
}

impl Step for CarryNetwork {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let child = user::start(&self.carrier, cx.program())?;
        self.running.replace(Some(child));
        Ok(())
    }

    fn undo(&self, _: &mut Context) {
        if let Some(mut child) = self.running.take() {
            // It may be gone with the namespace already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        let words: Vec<String> = self
            .carrier
            .words("PID")
            .iter()
            .map(|word| word.display().to_string())
            .collect();
        Explanation::new(
            format!("fork(), execve({:?})", words.join(" ")),
            "takes packets from a tap device in the namespace and speaks for them with sockets of the user's own",
            "the namespace would have lo and nothing else: only root can connect it to the machine's network",
            "user_namespaces(7)",
        )
    }

    fn shell(&self) -> Shell {
        let carrier = format!("--carrier={}", self.carrier.kind.name());
        let ports = self.published.iter();
        let ports = ports.map(|port| format!("--publish={port}").into());
        Shell::Option {
            applet: "unshare",
            words: std::iter::once(carrier.into()).chain(ports).collect(),
        }
    }
}
