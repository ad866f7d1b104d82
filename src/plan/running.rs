//! A child on its way to the program, or that has become it, as its parent holds it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::link::OutsideEnd;
use super::run::{Ended, Started};
use super::{Context, Observer, Outcome, Plan};
use crate::error::{Error, Result};
use crate::process;
use crate::proxy;
use crate::sys::clone::{pidfd_send_signal, wait};
use crate::terminal::{self, leave::Leave};

/// The child of a plan that forks. To drop it is to leave it alone.
#[derive(Debug)]
pub struct Running<'plan> {
    plan: &'plan Plan,
    cx: Context,
    child: Pid,
    pidfd: OwnedFd,
    guard: process::Guard,
    /// The line to it, until it has ended.
    line: Option<OutsideEnd>,
}

impl<'plan> Running<'plan> {
    pub(super) fn new(plan: &'plan Plan, cx: Context, started: Started) -> Self {
        Self {
            plan,
            cx,
            child: started.child,
            pidfd: started.pidfd,
            guard: started.guard,
            line: Some(started.line),
        }
    }

    /// Its number, as this process sees it.
    pub fn pid(&self) -> Pid {
        self.child
    }

    /// The handle on it.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Takes the terminal that the child has made, where it makes one: [`Running::wait`] relays it no more.
    ///
    /// # Errors
    /// Those of recvmsg(2).
    pub fn take_terminal(&mut self) -> Result<Option<OwnedFd>> {
        let Some(line) = self.plan.wait.terminal else {
            return Ok(None);
        };
        drop(self.cx.take(line.theirs));
        match self.cx.take(line.ours) {
            Some(socket) => terminal::receive(socket.as_fd()),
            None => Ok(None),
        }
    }

    /// Does what the child asks for, until it has executed the program, has taken leave or has died.
    pub(super) fn settle(&mut self, observer: &dyn Observer) -> Result<()> {
        let Some(line) = self.line.take() else {
            return Ok(());
        };
        let error = match self.plan.serve(&line, &mut self.cx, observer) {
            // It has said its last word.
            Ok(Ended::Failed(error)) => {
                let _ = line.answer(&Ok(()));
                error
            }
            // Of a plan with a farewell in it, one that went without has died.
            Ok(Ended::Silent) if self.plan.leaves() => Error::new("the first process has died"),
            Ok(_) => return Ok(()),
            // What it asked for last may not have been done.
            Err(error) => {
                let _ = pidfd_send_signal(self.pidfd.as_fd(), libc::SIGKILL);
                error
            }
        };
        drop(line);
        // Collect it, so that no zombie is left, and only then take back what was done: a cgroup that it is in could not be
        // removed.
        while wait(self.child, libc::WEXITED) == Err(Errno::EINTR) {}
        self.plan.undo(&mut self.cx, observer, |_| true);
        Err(error)
    }

    /// Waits until the program has ended, and tells how.
    ///
    /// # Errors
    /// What the child failed with on its way, where that is not known yet; those of waiting.
    pub fn wait(self, observer: &dyn Observer) -> Result<Outcome> {
        self.wait_or_leave(observer, None)
    }

    /// The same; who types the keys of `leave` to the program's terminal leaves both alone, which counts as a good end.
    ///
    /// # Errors
    /// As [`Running::wait`].
    pub fn wait_or_leave(
        mut self,
        observer: &dyn Observer,
        leave: Option<Leave>,
    ) -> Result<Outcome> {
        let terminal = self.plan.wait.terminal.and_then(|terminal| {
            drop(self.cx.take(terminal.theirs));
            let socket = self.cx.take(terminal.ours)?;
            Some(proxy::Line {
                socket,
                input: terminal.input,
                leave,
            })
        });
        let outcome = process::supervise(self.child, &self.pidfd, &self.guard, terminal);
        if let Some(line) = self.line.take()
            && let Ok(Ended::Failed(error)) | Err(error) =
                self.plan.serve(&line, &mut self.cx, observer)
        {
            self.plan.undo(&mut self.cx, observer, |_| true);
            return Err(error);
        }
        let temporary = |index: usize| self.plan.temporary.contains(&index);
        self.plan.undo(&mut self.cx, observer, temporary);
        outcome
    }
}
