//! A child that is made where its maker cannot come back from: in a user namespace that is joined (setns(2)).
//!
//! A go-between goes there and makes the child as a sibling of its own (`CLONE_PARENT`), so that the child is the caller's.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::Pid;

use super::not_made;
use crate::error::{Doing, Error, Result};
use crate::plan::link::{self, OutsideEnd, Said};
use crate::plan::run::Observer;
use crate::plan::{Context, Entry, Fork, Plan, Side};
use crate::sys::clone::{Forked, fork, pidfd_open, wait};
use crate::sys::task;

impl Plan {
    /// Has a go-between make the child, where its steps have taken it. The child says that it is there, by which its number is
    /// known; it lives `life`.
    pub(super) fn make_beyond(
        &self,
        at: usize,
        how: &Fork,
        cx: &mut Context,
        line: OutsideEnd,
        life: &dyn Fn(&mut Context) -> u8,
        observer: &dyn Observer,
    ) -> Result<(Pid, OwnedFd, OutsideEnd)> {
        let (tells, hears) = link::pair()?;
        let forked = fork(CloneFlags::empty(), None).doing("cannot fork a go-between")?;
        if let Forked::Parent { child: between, .. } = forked {
            drop(tells);
            let (said, child) = hears.listen()?;
            while wait(between, libc::WEXITED) == Err(Errno::EINTR) {}
            return match said {
                Said::Executing => {
                    let pidfd = pidfd_open(child).doing("cannot hold the child")?;
                    Ok((child, pidfd, line))
                }
                Said::Failed(error) => Err(error),
                _ => Err(Error::new("the go-between has died")),
            };
        }
        drop((hears, line));
        let mut steps = 0..at;
        let gone = steps.try_for_each(|index| match &self.entries[index] {
            Entry::Step(Side::Between, _) => self.perform(index, cx, observer),
            _ => Ok(()),
        });
        let made = gone.and_then(|()| {
            let flags = how.namespaces | CloneFlags::CLONE_PARENT;
            let cgroup = how.cgroup.map(|slot| cx.get(slot)).transpose()?;
            fork(flags, cgroup).map_err(|errno| not_made(how, errno))
        });
        if let Ok(Forked::Child) = made {
            let status = match tells.executing() {
                Ok(()) => life(cx),
                Err(error) => error.exit_status(),
            };
            task::exit_now(status)
        }
        let failed = made.err().map(|error| tells.last_words(&error));
        task::exit_now(failed.is_some().into())
    }
}
