//! Performing a plan.
//!
//! ```text
//! caller                       child                        outside
//!   | (a helper is made first if the caller will move) ----> |
//!   | entries before the fork                                |
//!   |   ... those of the outside: by message, or here ------ |
//!   | clone() --------------> |                              |
//!   |                         | entries after the fork       |
//!   |   (the parent is the outside where nothing moved) ---- |
//!   |                         | execve()                     |
//!   | waits for the child     | the program                  gone
//! ```
//!
//! Where the parent has nothing to do for its child it sleeps until the exec, and the child runs in its memory.
//! Of its namespaces those that take longest may have been begun before, on another CPU ([`Plan::made_ahead`]): they are
//! waited for at the fork, and the child goes there first.
//!
//! A helper is forked twice, so that it is nobody's unexpected child: where the plan does not fork, the
//! caller becomes the program by exec, and the program must not find a stranger's zombie.

mod between;
mod helper;

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::MsgFlags;
use nix::unistd::Pid;

use super::link::{self, OutsideEnd, ProgramEnd, Said};
use super::{Context, Entry, Fork, Leave, Plan, Running, Side, Slot};
use crate::error::{Doing, Error, Result};
use crate::namespace::CLONE_NEWTIME;
use crate::process;
use crate::sys::beside::NewNamespaces;
use crate::sys::clone::{Forked, fork, fork_suspended, single_threaded};
use crate::sys::task;

/// How the program of a plan that forks ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It exited with this status.
    Exited(u8),
    /// This signal ended it.
    Killed(i32),
}

/// Watches a plan run: `--explain=run`. Called in whichever process performs the entry.
pub trait Observer {
    /// Entry `index` of the plan is about to be performed (the exec is the entry after the last).
    fn before(&self, plan: &Plan, index: usize);
    /// It has been performed, or has failed.
    fn after(&self, plan: &Plan, index: usize, result: &Result<()>);
    /// A step says something that is no error.
    fn noted(&self, text: &str);
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Observer for Quiet {
    fn before(&self, _: &Plan, _: usize) {}
    fn after(&self, _: &Plan, _: usize, _: &Result<()>) {}
    fn noted(&self, _: &str) {}
}

/// How the line to the program side ended.
pub(super) enum Ended {
    /// By its exec; for a helper, which is told when the exec comes next.
    Executed,
    /// It went on alone.
    Left,
    /// Without a word: by its exec or its death.
    Silent,
    /// With this; whoever failed waits until what was done for it is taken back.
    Failed(Error),
}

/// Who performs the outside's entries.
enum Outside {
    /// This process: nothing has moved yet.
    Here,
    /// Another, at the other end of this line.
    Line(ProgramEnd),
}

/// What a child is born with, besides its context.
struct Birth<'a> {
    /// Which entry is the fork.
    at: usize,
    outside: &'a Outside,
    guard: &'a process::Guard,
    /// The line to its parent.
    parent: &'a ProgramEnd,
    /// Those of its namespaces that have been made already.
    made: Vec<(CloneFlags, OwnedFd)>,
    observer: &'a dyn Observer,
}

impl Birth<'_> {
    /// The namespaces that are made with it.
    fn namespaces(&self, how: &Fork) -> CloneFlags {
        let made = self.made.iter().map(|(kind, _)| *kind);
        how.namespaces.difference(made.collect())
    }

    /// The child goes to the namespaces that have been made for it.
    fn enter_made(&self) -> Result<()> {
        let mut made = self.made.iter();
        let entered = made.try_for_each(|(kind, fd)| setns(fd, *kind));
        entered.doing("cannot enter a new namespace")
    }
}

/// A child on its way.
pub(super) struct Started {
    pub(super) child: Pid,
    pub(super) pidfd: OwnedFd,
    pub(super) line: OutsideEnd,
    pub(super) guard: process::Guard,
}

impl Plan {
    /// Performs the plan. Where it does not fork this process becomes the program and there is no return
    /// but by an error; where it does, waits for the program and tells how it ended.
    ///
    /// # Errors
    /// Of the step that failed, wherever it was performed; what outlives the processes has been taken back.
    pub fn run(&self, observer: &dyn Observer) -> Result<Outcome> {
        if self.exec.is_none() {
            return self.run_effects(observer);
        }
        self.start_child(observer)?.wait(observer)
    }

    /// The same as far as there is a child that has executed the program, or has taken leave ([`Leave`]).
    ///
    /// # Errors
    /// As [`Plan::run`]; also for a child that died on its way.
    pub fn launch(&self, observer: &dyn Observer) -> Result<Running<'_>> {
        let mut running = self.start_child(observer)?;
        running.settle(observer)?;
        Ok(running)
    }

    /// The caller's part, and, as far as it has one, that of the parent while the child is on its way.
    fn start_child(&self, observer: &dyn Observer) -> Result<Running<'_>> {
        // A copy of a process with more threads could wait for ever for a lock that one of them held.
        if self.forks() && !single_threaded() {
            return Err(Error::new("a plan must run in a process with one thread"));
        }
        let mut cx = Context::new(self);
        let outside = if self.needs_helper() {
            Outside::Line(helper::start_helper(self, observer)?)
        } else {
            Outside::Here
        };
        let started = self.start(&mut cx, &outside, observer);
        if let Err(error) = &started {
            if let Outside::Line(line) = &outside {
                line.failed(error);
            }
            self.undo(&mut cx, observer, |_| true);
        }
        // The helper goes when the last end of its line is closed: the child's, by its exec.
        drop(outside);
        let started = started?;
        cx.program = started.child;
        let mut running = Running::new(self, cx, started);
        if self.serves_child() {
            running.settle(observer)?;
        }
        Ok(running)
    }

    /// Performs a plan that ends in no program: all of it here, and all of it or nothing.
    fn run_effects(&self, observer: &dyn Observer) -> Result<Outcome> {
        let mut cx = Context::new(self);
        match self.walk(0..self.entries.len(), &mut cx, &Outside::Here, observer) {
            Ok(()) => Ok(Outcome::Exited(0)),
            Err(error) => {
                self.undo(&mut cx, observer, |_| true);
                Err(error)
            }
        }
    }

    /// Whether the parent has to listen to its child while that is on its way. Where it has nothing to do for the
    /// child it is left asleep until the child ends, and hears then if the child failed: waking it costs more than
    /// most steps.
    pub(super) fn serves_child(&self) -> bool {
        let is_fork = |entry: &Entry| matches!(entry, Entry::Fork(_));
        let on_the_way = self.entries.iter().skip_while(|entry| !is_fork(entry));
        let outside =
            |entry: &Entry| matches!(entry, Entry::Step(Side::Outside, _) | Entry::Leave(_));
        self.wait.terminal.is_some() || on_the_way.into_iter().any(outside)
    }

    /// The caller's part up to the fork. Comes back with a child, or with an error; a plan that does not fork
    /// ends here, in its program.
    fn start(
        &self,
        cx: &mut Context,
        outside: &Outside,
        observer: &dyn Observer,
    ) -> Result<Started> {
        let fork_at = self
            .entries
            .iter()
            .position(|entry| matches!(entry, Entry::Fork(_)));
        let end = fork_at.unwrap_or(self.entries.len());
        self.walk(0..end, cx, outside, observer)?;
        let Some(Entry::Fork(how)) = self.entries.get(end) else {
            if let Outside::Line(line) = outside {
                line.executing()?;
            }
            return Err(self.execute(cx, observer));
        };
        let (program_end, line) = link::pair()?;
        let guard = process::before_fork(&self.wait)?;
        let begun = self.begun.take();
        observer.before(self, end);
        let birth = Birth {
            at: end,
            outside,
            guard: &guard,
            parent: &program_end,
            made: begun.map(NewNamespaces::finish).unwrap_or_default(),
            observer,
        };
        let made = match self.has_between() {
            false => self
                .make_child(how, cx, &birth, line)
                .map_err(|errno| not_made(how, errno)),
            true => self.make_beyond(end, how, cx, line, &|cx| self.child(cx, &birth), observer),
        };
        observer.after(self, end, &made.as_ref().map(drop).map_err(Clone::clone));
        let (child, pidfd, line) = made?;
        Ok(Started {
            child,
            pidfd,
            line,
            guard,
        })
    }

    /// Makes the child, in which this never returns. The parent keeps its end of the line.
    fn make_child(
        &self,
        how: &Fork,
        cx: &mut Context,
        birth: &Birth<'_>,
        line: OutsideEnd,
    ) -> Result<(Pid, OwnedFd, OutsideEnd), Errno> {
        let namespaces = birth.namespaces(how);
        if self.may_sleep(how) {
            let mut child = || {
                line.close_in_child();
                let life = |mut cx| self.child(&mut cx, birth);
                cx.for_child()
                    .map_or_else(|error| last_words(birth.parent, &error), life)
            };
            match fork_suspended(namespaces, &mut child) {
                // Before Linux 6.0 a child in another time namespace than ours may not share our memory.
                Err(Errno::EINVAL) => {}
                made => return made.map(|(child, pidfd)| (child, pidfd, line)),
            }
        }
        let cgroup = match how.cgroup {
            Some(slot) => Some(cx.get(slot).map_err(|_| Errno::EBADF)?),
            None => None,
        };
        match fork(namespaces, cgroup)? {
            Forked::Child => {
                drop(line);
                task::exit_now(self.child(cx, birth))
            }
            Forked::Parent { child, pidfd } => Ok((child, pidfd, line)),
        }
    }

    /// Whether the parent may sleep until its child has executed the program, and lend it its memory meanwhile: it
    /// has nothing to do for the child, and clone(2) can say what is wanted.
    pub(super) fn may_sleep(&self, how: &Fork) -> bool {
        !self.serves_child()
            && how.cgroup.is_none()
            && !how.namespaces.contains(CLONE_NEWTIME)
            && !self.has_between()
    }

    /// The child's life: the rest of the entries, then the program. Comes back with an exit status where it failed.
    fn child(&self, cx: &mut Context, birth: &Birth<'_>) -> u8 {
        let Birth {
            outside,
            parent,
            observer,
            ..
        } = *birth;
        let mut left = None;
        let mut life = || -> Result<Error> {
            birth.guard.release()?;
            birth.enter_made()?;
            cx.program = Pid::this();
            // What was done before the fork is the parent's to take back.
            cx.done.clear();
            cx.parent = Some(parent.try_clone_fd()?);
            for index in birth.at + 1..self.entries.len() {
                match (&self.entries[index], outside) {
                    (Entry::Step(Side::Outside, _), Outside::Here) => parent.perform(index)?,
                    (Entry::Step(Side::Outside, _), Outside::Line(helper)) => {
                        helper.perform(index)?;
                    }
                    (Entry::Leave(leave), _) => {
                        observer.before(self, index);
                        let known = self.is_known_farewell(index);
                        let result = take_leave(leave, cx, outside, parent, known);
                        observer.after(self, index, &result);
                        result?;
                        left = Some(leave.line);
                    }
                    _ => self.perform(index, cx, observer)?,
                }
            }
            // The parent sees for itself how its child ends, and is not woken for this.
            if let (Outside::Line(helper), None) = (outside, left) {
                helper.executing()?;
            }
            Ok(self.execute(cx, observer))
        };
        let error = life().unwrap_or_else(|error| error);
        match (left, outside) {
            (Some(line), _) => tell_starter(cx, line, &error),
            (None, Outside::Line(helper)) => helper.failed(&error),
            (None, Outside::Here) => {}
        }
        match (left, self.serves_child()) {
            (Some(_), _) => {}
            (None, true) => parent.failed(&error),
            (None, false) => drop(last_words(parent, &error)),
        }
        error.exit_status()
    }

    /// Performs entries of this side in order, and has the outside perform its own in between.
    fn walk(
        &self,
        range: std::ops::Range<usize>,
        cx: &mut Context,
        outside: &Outside,
        observer: &dyn Observer,
    ) -> Result<()> {
        for index in range {
            match (&self.entries[index], outside) {
                (Entry::Step(Side::Outside, _), Outside::Line(line)) => line.perform(index)?,
                (Entry::Step(Side::Between, _), _) => {}
                _ => self.perform(index, cx, observer)?,
            }
        }
        Ok(())
    }

    fn perform(&self, index: usize, cx: &mut Context, observer: &dyn Observer) -> Result<()> {
        let Some(Entry::Step(_, step)) = self.entries.get(index) else {
            return Err(Error::new(format!("the plan has no step {index}")));
        };
        observer.before(self, index);
        let result = step.perform(cx);
        observer.after(self, index, &result);
        cx.notes.drain(..).for_each(|note| observer.noted(&note));
        if result.is_ok() {
            cx.done.push(index);
        }
        result
    }

    fn execute(&self, cx: &mut Context, observer: &dyn Observer) -> Error {
        observer.before(self, self.entries.len());
        let error = match &self.exec {
            Some(exec) => exec.perform(cx),
            None => Error::new("the plan has no program"),
        };
        observer.after(self, self.entries.len(), &Err(error.clone()));
        error
    }

    /// Performs what the program side asks for, until the line ends.
    ///
    /// # Errors
    /// Where one does not hear the other any more: whoever waits for an answer must be let go by the line's end.
    pub(super) fn serve(
        &self,
        line: &OutsideEnd,
        cx: &mut Context,
        observer: &dyn Observer,
    ) -> Result<Ended> {
        let mut ended = Ended::Silent;
        loop {
            match line.listen()? {
                (Said::Perform(index), speaker) => {
                    cx.program = speaker;
                    let done = self.perform(index, cx, observer);
                    line.answer(&done)?;
                    if done.is_ok() && self.is_known_farewell(index + 1) {
                        return Ok(Ended::Left);
                    }
                }
                (Said::Executing, _) => ended = Ended::Executed,
                (Said::Left, _) => return Ok(Ended::Left),
                (Said::Failed(error), _) => return Ok(Ended::Failed(error)),
                (Said::Closed, _) => return Ok(ended),
            }
        }
    }

    /// Takes back what this process has done, last first, as far as `which` says.
    pub(super) fn undo(
        &self,
        cx: &mut Context,
        observer: &dyn Observer,
        which: impl Fn(usize) -> bool,
    ) {
        for index in std::mem::take(&mut cx.done)
            .into_iter()
            .rev()
            .filter(|index| which(*index))
        {
            if let Some(Entry::Step(_, step)) = self.entries.get(index) {
                step.undo(cx);
            }
        }
        cx.notes.drain(..).for_each(|note| observer.noted(&note));
    }
}

/// Tells the parent, which is not listening yet, why its child ends, and gives the child's status.
fn last_words(parent: &ProgramEnd, error: &Error) -> u8 {
    // Where that fails nobody else is there to tell.
    let _ = parent.last_words(error);
    error.exit_status()
}

/// The child's farewell to all that stayed outside. It keeps nothing of what it had from them: neither a way back into
/// the host, nor a lock that they hold. Whoever was asked last may know of it, and be gone.
fn take_leave(
    leave: &Leave,
    cx: &mut Context,
    outside: &Outside,
    parent: &ProgramEnd,
    known: bool,
) -> Result<()> {
    let (asked, waiting) = match outside {
        Outside::Here => (parent, None),
        Outside::Line(helper) => (helper, Some(parent)),
    };
    if !known {
        asked.leave()?;
    }
    if let Some(parent) = waiting {
        parent.leave()?;
    }
    cx.parent = None;
    task::close_all_but(leave.keep.saturating_add(3), &cx.held()).doing("cannot close descriptors")
}

/// Tells whoever started a child that had taken leave why it ends.
fn tell_starter(cx: &mut Context, line: Slot, error: &Error) {
    if let Some(line) = cx.take(line) {
        // Where that fails nobody is left to tell.
        let _ = nix::sys::socket::send(line.as_raw_fd(), &error.encode(), MsgFlags::MSG_NOSIGNAL);
    }
}

/// Why there is no child.
fn not_made(how: &Fork, errno: Errno) -> Error {
    match errno {
        Errno::EACCES | Errno::EBUSY | Errno::ENODEV | Errno::EOPNOTSUPP if how.cgroup.is_some() => {
            Error::new("cannot start a process in the cgroup")
                .errno_is(errno)
                .hint("it must be ours to write, with all above it up to where we are, and no controller on for groups below it")
        }
        _ => crate::probe::clone_failed(how.namespaces, errno),
    }
}
