//! Trying something in a process of its own, which ends with it: what it changes nobody else sees.
//!
//! `doctor` asks the kernel so what it would do, and `selftest` looks so from inside what is seen from outside.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::MsFlags;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::Mode;
use nix::unistd::{chroot, fchdir, getegid, geteuid, getpid, setsid};

use crate::error::{Doing, Error, Result};
use crate::idmap::{Ids, Range};
use crate::namespace;
use crate::plan::steps::idmap::{SetgroupsControl, WriteMap};
use crate::plan::steps::mounts::Propagation;
use crate::plan::steps::namespaces::Unshare;
use crate::plan::{Plan, Quiet, Step};
use crate::probe;
use crate::procfs::Process;
use crate::sys::clone::{Change, Forked, fork, pidfd_open, pidfd_send_signal, wait};
use crate::sys::task::{die_with_parent, exit_now};

/// What a process that tries something may say of it.
const LONGEST: usize = 1 << 15;

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(5);

/// The status of the error of a child that was ended by a signal.
pub const KILLED: u8 = 137;

/// Does something in a child, which has this process's memory as it is now, and gives what it found. The child ends with
/// its parent.
///
/// # Errors
/// Its own; that it was ended by a signal, or had to be ended ([`KILLED`]).
pub fn apart(act: &mut dyn FnMut() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    run(act, false)
}

/// The same in a child that outlives its parent, for what has to be taken back: it goes on where that is killed.
///
/// # Errors
/// As [`apart`].
pub fn lasting(act: &mut dyn FnMut() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    run(act, true)
}

fn run(act: &mut dyn FnMut() -> Result<Vec<u8>>, lasts: bool) -> Result<Vec<u8>> {
    let (mut from, mut to) = io::pipe().doing("cannot make a pipe")?;
    let Forked::Parent { child, pidfd } =
        fork(CloneFlags::empty(), None).map_err(|e| probe::clone_failed(CloneFlags::empty(), e))?
    else {
        if lasts {
            // Signals of the terminal are for the others.
            let _ = setsid();
        } else {
            die_with_parent();
        }
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
    // It has children of its own to wait for.
    let limit = if lasts { 2 * LIMIT } else { LIMIT };
    if !ends_within(pidfd.as_fd(), limit) {
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
            .on(crate::process::signal_word(signal))
            .status(KILLED));
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

/// The status of an error that says: the kernel said yes, and it is not so.
pub const BROKEN: u8 = 2;

/// Moves this process into new namespaces of these kinds: where it may not make them, as root of a user namespace that
/// is made with them. Mounts are private there.
///
/// # Errors
/// The kernel's answer, with what is known of its reason; [`BROKEN`] where there is no new namespace after all, before
/// anything is changed in it.
pub fn enter(kinds: CloneFlags) -> Result<()> {
    let user = CloneFlags::CLONE_NEWUSER;
    let mapped = kinds.contains(user) || !probe::is_admin();
    let own = [
        (Ids::User, geteuid().as_raw()),
        (Ids::Group, getegid().as_raw()),
    ];
    let namespaces = if mapped { kinds | user } else { kinds };
    let numbers = || -> Vec<Option<u64>> {
        let number = |kind| Process::own().ok()?.namespace_for_children(kind).ok();
        namespace::kinds(namespaces)
            .into_iter()
            .map(number)
            .collect()
    };
    let before = numbers();
    perform(Unshare { namespaces })?;
    let mut both = before.iter().zip(numbers());
    // Where /proc does not tell, the kernel is believed.
    if both.any(|(before, now)| before.is_some() && *before == now) {
        let error = Error::new("the kernel says that there is a new namespace, and there is none");
        return Err(error.status(BROKEN));
    }
    if mapped {
        perform(SetgroupsControl {
            allow: false,
            implied: true,
        })?;
        for (ids, outside) in own {
            let ranges = vec![Range {
                inside: 0,
                outside,
                count: 1,
            }];
            perform(WriteMap { ids, ranges })?;
        }
    }
    if kinds.contains(CloneFlags::CLONE_NEWNS) {
        make_mounts_private()?;
    }
    Ok(())
}

/// Performs one step, here and now.
///
/// # Errors
/// Its own.
pub fn perform(step: impl Step + 'static) -> Result<()> {
    run_plan(Plan::effects().then(step))
}

/// Performs a plan that ends in no program.
///
/// # Errors
/// As [`Plan::run`].
pub fn run_plan(plan: &mut Plan) -> Result<()> {
    plan.run(&Quiet).map(drop)
}

fn make_mounts_private() -> Result<()> {
    let private = || {
        perform(Propagation {
            kind: MsFlags::MS_PRIVATE,
        })
    };
    private().or_else(|error| {
        // In a chroot `/` is no mount: out, and back in.
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let inside = open("/", flags, Mode::empty()).doing_to("cannot open", "/")?;
        leave_chroot().map_err(|_| error)?;
        private()?;
        let back = fchdir(&inside).and_then(|()| chroot("."));
        back.doing("cannot go back into the chroot")
    })
}

/// Has this process start at the root of its mount namespace: who joins one does, also the one that he is in.
///
/// # Errors
/// `EPERM` without privilege over it.
pub fn leave_chroot() -> Result<()> {
    let own = pidfd_open(getpid()).and_then(|own| setns(own, CloneFlags::CLONE_NEWNS));
    own.doing("cannot leave the chroot")
}
