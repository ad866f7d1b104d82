//! Signal dispositions, which nix gives only as `unsafe`.

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};

/// Gives `signal` its default disposition. A shell started with `SIGCHLD` ignored hands that on, and waitid(2)
/// then has nothing to wait for.
pub fn default(which: Signal) -> Result<(), Errno> {
    // SAFETY: SIG_DFL runs no code of ours.
    unsafe { signal(which, SigHandler::SigDfl) }.map(drop)
}

/// Ignores `signal`.
pub fn ignore(which: Signal) -> Result<(), Errno> {
    // SAFETY: SIG_IGN runs no code of ours.
    unsafe { signal(which, SigHandler::SigIgn) }.map(drop)
}
