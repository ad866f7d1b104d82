//! A process that is there for nothing but to be there: it holds a user namespace, or keeps a group from being empty.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::{Pid, getpid, getppid, pause};

use crate::sys::clone::{Forked, fork, pidfd_send_signal, wait};
use crate::sys::task::{close_all_but, die_with_parent, exit_now};

/// It has nothing of ours open, ends when this is dropped, and when its maker ends.
#[derive(Debug)]
pub(crate) struct Holder {
    child: Pid,
    pidfd: OwnedFd,
}

impl Holder {
    /// One in new namespaces of these kinds. PID is none of them: from in there its maker is not to be seen.
    ///
    /// # Errors
    /// As [`fork`].
    pub(crate) fn start(namespaces: CloneFlags) -> Result<Self, Errno> {
        let maker = getpid();
        match fork(namespaces, None)? {
            Forked::Child => hold(maker),
            Forked::Parent { child, pidfd } => Ok(Self { child, pidfd }),
        }
    }

    /// Its number.
    pub(crate) fn pid(&self) -> Pid {
        self.child
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It is ours until we have waited for it, and can do nothing but die; where nobody lets us tell it, with us.
        let told = pidfd_send_signal(self.pidfd.as_fd(), libc::SIGKILL);
        while told.is_ok() && wait(self.child, libc::WEXITED) == Err(Errno::EINTR) {}
    }
}

fn hold(maker: Pid) -> ! {
    die_with_parent();
    // Should this fail it is ended all the same, a moment later.
    let _ = close_all_but(0, &[]);
    // A maker that was gone before the kernel was told is found so; what wakes us is a signal that is ignored here.
    while getppid() == maker {
        pause();
    }
    exit_now(0)
}
