//! Network devices of the machine that go into a container (config-linux.md, "Network Devices").

use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};

use nix::unistd::Pid;

use super::links::own_network;
use crate::error::{Error, Result};
use crate::net::Connection;
use crate::net::passage::{Passed, send};
use crate::plan::{Context, Explanation, Shell, Step};
use crate::probe;

/// Moves a link from here into the network namespace of the process concerned, with its lasting addresses, and brings it
/// up. Performed outside. When the container has ended the kernel brings hardware back, and removes what is none.
#[derive(Debug)]
pub struct MoveLink {
    /// Its name here.
    pub name: String,
    /// Its name there.
    pub called: String,
    moved: RefCell<Option<(OwnedFd, Passed)>>,
}

impl MoveLink {
    /// Moves the link `name`, which is then called `called`.
    pub fn new(name: String, called: String) -> Self {
        Self {
            name,
            called,
            moved: RefCell::new(None),
        }
    }

    fn pass(&self, cx: &Context) -> Result<()> {
        let to = own_network(cx.program())?;
        let mut there = Connection::open_in(to.as_fd())?;
        let names = (&*self.name, &*self.called);
        let passed = send(&mut Connection::open()?, &mut there, names, to.as_fd())?;
        let settled = passed.settle(&mut there, true);
        *self.moved.borrow_mut() = Some((to, passed));
        if settled.is_err() {
            let _ = self.bring_back();
        }
        settled
    }

    fn bring_back(&self) -> Result<()> {
        let Some((from, passed)) = self.moved.take() else {
            return Ok(());
        };
        let (mut here, own) = (Connection::open()?, own_network(Pid::this())?);
        let names = (&*passed.name, &*self.name);
        let mut there = Connection::open_in(from.as_fd())?;
        send(&mut there, &mut here, names, own.as_fd())?.settle(&mut here, passed.was_up)
    }
}

impl Step for MoveLink {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        self.pass(cx).map_err(|error: Error| {
            let why = error.errno().and_then(probe::network_refused);
            error.hint_maybe(why)
        })
    }

    fn undo(&self, cx: &mut Context) {
        if let Err(error) = self.bring_back() {
            cx.note(format!("{} is not back: {error}", self.name));
        }
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "RTM_NEWLINK(name={:?}, netns=PID, newname={:?}), RTM_NEWADDR(...), RTM_NEWLINK(flags=IFF_UP)",
                self.name, self.called
            ),
            "the container gets a network device of the machine, with the addresses that were given to it for good",
            "a link is in one network namespace, and nobody in another can use it",
            "network_namespaces(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Unsaid("a network device that moves into the container")
    }
}
