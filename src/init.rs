//! The first process of a PID namespace, for programs that do not know how to be one (pid_namespaces(7)).
//!
//! Process 1 inherits every process whose parent ends and must collect it, or zombies pile up; and the kernel
//! delivers to it only signals it has a handler for, so that an ordinary program there cannot be stopped with
//! `SIGTERM`. This one collects, passes every signal on to its one child, and ends when that child ends; the
//! kernel then ends all that is left of the namespace.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use crate::error::{Doing, Result};
use crate::plan::Outcome;
use crate::proxy::signals;
use crate::sys::clone::{Change, pidfd_send_signal, wait_any};

/// Collects children and passes signals on to `child` until that one has ended. The signals of
/// [`crate::proxy::signals`] have been blocked since before it was made.
///
/// # Errors
/// Those of signalfd(2) and waitid(2).
pub fn attend(child: Pid, pidfd: &OwnedFd) -> Result<Outcome> {
    let incoming = SignalFd::with_flags(&signals(), SfdFlags::SFD_CLOEXEC)
        .doing("cannot listen for signals")?;
    loop {
        let info = match incoming.read_signal() {
            Err(Errno::EINTR) | Ok(None) => continue,
            other => other.doing("cannot listen for signals")?,
        };
        let number = info.and_then(|info| i32::try_from(info.ssi_signo).ok());
        match number {
            Some(libc::SIGCHLD) => {
                if let Some(outcome) = collect(child)? {
                    return Ok(outcome);
                }
            }
            // A child that ended in this moment is no error: its end is told next.
            Some(number) => drop(pidfd_send_signal(pidfd.as_fd(), number)),
            None => {}
        }
    }
}

/// Collects all that has ended; says how the child did, if it is among them. One `SIGCHLD` may stand for many.
fn collect(child: Pid) -> Result<Option<Outcome>> {
    let mut outcome = None;
    loop {
        match wait_any(libc::WEXITED | libc::WNOHANG) {
            Ok((_, Change::None)) | Err(Errno::ECHILD) => return Ok(outcome),
            Ok((pid, Change::Exited(status))) if pid == child => {
                outcome = Some(Outcome::Exited(status));
            }
            Ok((pid, Change::Killed(signal))) if pid == child => {
                outcome = Some(Outcome::Killed(signal));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).doing("cannot wait for children"),
        }
    }
}
