//! Trying something in a process of its own, which ends with it: what it changes nobody else sees.
//!
//! `doctor` asks the kernel so what it would do, and `selftest` looks so from inside what is seen from outside.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::MsFlags;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::unistd::{getegid, geteuid, getpid};

use crate::error::{Doing, Error, Result};
use crate::idmap::{Ids, Range};
use crate::plan::steps::idmap::{SetgroupsControl, WriteMap};
use crate::plan::steps::mounts::Propagation;
use crate::plan::steps::namespaces::Unshare;
use crate::plan::{Plan, Quiet};
use crate::probe;
use crate::sys::clone::{Change, Forked, fork, pidfd_open, pidfd_send_signal, wait};
use crate::sys::task::{exit_now, prctl};

/// What a process that tries something may say of it.
const LONGEST: usize = 1 << 15;

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Does something in a child, which has this process's memory as it is now, and gives what it found. The child ends with
/// its parent.
///
/// # Errors
/// Its own; that it was ended by a signal, or had to be ended.
pub fn apart(act: &mut dyn FnMut() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    let (mut from, mut to) = io::pipe().doing("cannot make a pipe")?;
    let Forked::Parent { child, pidfd } =
        fork(CloneFlags::empty(), None).map_err(|e| probe::clone_failed(CloneFlags::empty(), e))?
    else {
        die_with_parent();
        let (state, mut said) = match act() {
            Ok(said) => (0, said),
            Err(error) => (1, error.encode()),
        };
        said.truncate(LONGEST);
        said.push(state);
        // Nobody is left to be told that nobody listens.
        let _ = to.write_all(&said);
        exit_now(0)
    };
    drop(to);
    if !ends_within(pidfd.as_fd(), LIMIT) {
        let _ = pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
    }
    let end = loop {
        match wait(child, libc::WEXITED) {
            Err(Errno::EINTR) => {}
            other => break other.doing("cannot wait for the child")?,
        }
    };
    if let Change::Killed(signal) = end {
        return Err(Error::new("the process that tried it was ended by signal")
            .on(crate::process::signal_word(signal)));
    }
    // One read: a process that the child has left behind would keep the end of the pipe away.
    let mut said = vec![0; LONGEST + 1];
    let length = from.read(&mut said).doing("cannot read from the child")?;
    said.truncate(length);
    match said.pop() {
        Some(0) => Ok(said),
        _ => Err(Error::decode(&said)),
    }
}

/// Has the kernel end this process when its parent ends.
pub fn die_with_parent() {
    let signal = libc::SIGKILL.cast_unsigned().into();
    let _ = prctl(libc::PR_SET_PDEATHSIG, [signal, 0, 0, 0]);
}

/// Waits until the process behind `pidfd` has ended, and says whether it has.
pub fn ends_within(pidfd: BorrowedFd<'_>, limit: Duration) -> bool {
    let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    loop {
        let mut ends = [PollFd::new(pidfd, PollFlags::POLLIN)];
        match poll(&mut ends, timeout) {
            Err(Errno::EINTR) => {}
            other => return other.is_ok_and(|count| count > 0),
        }
    }
}

/// Moves this process into new namespaces of these kinds: where it may not make them, as root of a user namespace that
/// is made with them. Mounts are private there.
///
/// # Errors
/// The kernel's answer, with what is known of its reason.
pub fn enter(kinds: CloneFlags) -> Result<()> {
    let user = CloneFlags::CLONE_NEWUSER;
    let mut plan = Plan::effects();
    if kinds.contains(user) || !probe::is_admin() {
        plan.then(Unshare {
            namespaces: kinds | user,
        });
        plan.then(SetgroupsControl {
            allow: false,
            implied: true,
        });
        let own = [
            (Ids::User, geteuid().as_raw()),
            (Ids::Group, getegid().as_raw()),
        ];
        for (ids, outside) in own {
            let ranges = vec![Range {
                inside: 0,
                outside,
                count: 1,
            }];
            plan.then(WriteMap { ids, ranges });
        }
    } else {
        plan.then(Unshare { namespaces: kinds });
    }
    plan.run(&Quiet)?;
    if kinds.contains(CloneFlags::CLONE_NEWNS) {
        make_mounts_private()?;
    }
    Ok(())
}

fn make_mounts_private() -> Result<()> {
    let private = || {
        let mut plan = Plan::effects();
        plan.then(Propagation {
            kind: MsFlags::MS_PRIVATE,
        });
        plan.run(&Quiet).map(drop)
    };
    private().or_else(|error| {
        // In a chroot `/` is no mount. Who joins a mount namespace starts at its root, also in the one that it is in.
        let out = pidfd_open(getpid()).and_then(|own| setns(own, CloneFlags::CLONE_NEWNS));
        out.map_err(|_| error).and_then(|()| private())
    })
}
