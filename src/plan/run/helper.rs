//! The process that stays outside where the caller itself moves: it does what the program's side asks for, and takes back
//! at the program's end what was for its lifetime.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use nix::unistd::setsid;

use super::Ended;
use crate::error::{Doing, Error, Result};
use crate::plan::link::{self, OutsideEnd, ProgramEnd};
use crate::plan::run::Observer;
use crate::plan::{Context, Plan};
use crate::sys::clone::{Change, Forked, fork, pidfd_open, wait};
use crate::sys::{signal, task};

/// Starts the process that stays outside, as a grandchild, and gives the line to it.
pub(super) fn start_helper(plan: &Plan, observer: &dyn Observer) -> Result<ProgramEnd> {
    let (program_end, outside_end) = link::pair()?;
    signal::default(Signal::SIGCHLD).doing("cannot reset SIGCHLD")?;
    let Forked::Parent { child, .. } =
        fork(CloneFlags::empty(), None).doing("cannot fork a helper")?
    else {
        drop(program_end);
        if let Ok(Forked::Child) = fork(CloneFlags::empty(), None) {
            plan.serve_as_helper(&outside_end, observer);
        }
        task::exit_now(0)
    };
    loop {
        match wait(child, libc::WEXITED) {
            Err(Errno::EINTR) => {}
            Ok(Change::Exited(0)) => return Ok(program_end),
            Ok(_) => return Err(Error::new("cannot fork a helper")),
            Err(errno) => return Err(errno).doing("cannot wait for a helper"),
        }
    }
}

impl Plan {
    /// A helper's life.
    fn serve_as_helper(&self, line: &OutsideEnd, observer: &dyn Observer) {
        let mut cx = Context::new(self);
        match self.serve(line, &mut cx, observer) {
            Ok(Ended::Executed | Ended::Left) => self.outlast(&mut cx, observer),
            Ok(Ended::Silent) | Err(_) => self.undo(&mut cx, observer, |_| true),
            Ok(Ended::Failed(_)) => {
                self.undo(&mut cx, observer, |_| true);
                // Whoever failed waits for this, so that nothing is left when its error is printed.
                let _ = line.answer(&Ok(()));
            }
        }
    }

    /// What a helper has done for as long as the program lives is its own to take back: it stays until then, and out of
    /// the terminal's reach.
    fn outlast(&self, cx: &mut Context, observer: &dyn Observer) {
        let temporary = |index: usize| self.temporary.contains(&index);
        if !cx.done.iter().any(|index| temporary(*index)) {
            return;
        }
        let _ = setsid();
        // Without a hold on it, it is gone.
        if let Ok(program) = pidfd_open(cx.program) {
            let mut ends = [PollFd::new(program.as_fd(), PollFlags::POLLIN)];
            while poll(&mut ends, PollTimeout::NONE) == Err(Errno::EINTR) {}
        }
        self.undo(cx, observer, temporary);
    }
}
