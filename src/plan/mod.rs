//! A container is a plan, and the plan is data.
//!
//! A [`Plan`] is a list of [`Step`]s and, at most once, a [`Fork`]; at its end stands the [`Exec`], or nothing where
//! only the effects are wanted ([`Plan::effects`]: links, namespaces by name). Each kind
//! of step is declared in one place (a file below `steps/`) with its three faces, so that what is done, what
//! is told and what is written down as a script cannot drift apart:
//!
//! * `perform`: the kernel call, with an error that names it ([`Plan::run`], in `run.rs`);
//! * `explain`: the call, why it is there, what breaks without it, the manual page (`explain.rs`);
//! * `shell`: the word of our own applets that does the same (`script.rs`).
//!
//! Steps happen on one of two sides. The *program* side is the process on its way to becoming the program:
//! the caller until the fork, the child from there on. The *outside* is a process that stays in the
//! namespaces we started in and does what can only be done from there (writing a map with privilege there,
//! pinning a mount namespace). `run.rs` draws how the two talk. Where the way to the child's place has no return (a user
//! namespace that is joined), a go-between takes it, and makes the child there.

#[cfg(feature = "cgroup")]
pub mod confine;
mod exec;
mod explain;
mod link;
mod run;
mod running;
mod script;
pub mod steps;
#[cfg(feature = "net")]
pub mod wire;

use std::cell::RefCell;
use std::ffi::OsString;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sched::CloneFlags;
use nix::unistd::Pid;

use crate::error::{Doing, Error, Result, Text};
use crate::process::{Signals, Wait};
use crate::sys::beside::NewNamespaces;

pub use exec::{Command, Exec, Own};
pub use explain::{Told, json, text};
pub use run::{Observer, Outcome, Quiet};
pub use running::Running;
pub use script::{Around, Shell};

/// One kernel effect.
pub trait Step {
    /// Does it. Errors say what was being done, to what, and carry a probed hint where one is known.
    fn perform(&self, cx: &mut Context) -> Result<()>;

    /// Takes it back after a later step failed, as far as it outlives the process. Never fails.
    fn undo(&self, _cx: &mut Context) {}

    /// Whether it takes the process away from where we started (its namespaces, root, ids), so that what is to
    /// be done outside needs another process from then on.
    fn moves(&self) -> bool {
        true
    }

    /// Says it.
    fn explain(&self) -> Explanation;

    /// Writes it down as an option of one of our applets.
    fn shell(&self) -> Shell;
}

/// As it explains itself: that every step had a Debug of its own would be code that nobody runs.
impl fmt::Debug for dyn Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.explain().call)
    }
}

/// What a step does, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The kernel call with its arguments, as a C program would write it.
    pub call: String,
    /// Why it is there.
    pub why: Text,
    /// What breaks without it.
    pub without: Text,
    /// Where to read on: `unshare(2)`.
    pub man: &'static str,
}

impl Explanation {
    /// The four parts in order.
    pub fn new(
        call: impl Into<String>,
        why: impl Into<Text>,
        without: impl Into<Text>,
        man: &'static str,
    ) -> Self {
        Self {
            call: call.into(),
            why: why.into(),
            without: without.into(),
            man,
        }
    }
}

/// Which process performs a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The process that will become the program.
    Program,
    /// A process that stays where we started.
    Outside,
    /// A go-between, before the fork: it goes where there is no way back from, and makes the child there, which is its
    /// parent's all the same (`CLONE_PARENT`).
    Between,
}

/// One line of a plan.
#[derive(Debug)]
pub enum Entry {
    /// A step and who performs it.
    Step(Side, Box<dyn Step>),
    /// From here on the program side is a child.
    Fork(Fork),
    /// From here on the child is on its own.
    Leave(Leave),
}

/// The child takes leave of its parent, which waits for it no more: all that can be done outside has been done.
///
/// From here on it tells its failures, as [`Error::encode`] writes them, to whoever is at the other end of the
/// descriptor in `line`, if an earlier or later step has left one there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leave {
    /// Where failures go.
    pub line: Slot,
    /// How many descriptors besides standard input, output and error are the program's.
    pub keep: u32,
    /// Why, for `--explain`.
    pub why: Text,
    /// What breaks without it.
    pub without: Text,
}

/// How the child is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// The namespaces that are made with the child, in one clone(2) or clone3(2).
    pub namespaces: CloneFlags,
    /// The cgroup it is born in (v2; the directory is in this slot). Joining one later costs a wait.
    pub cgroup: Option<Slot>,
    /// Why there is a child at all, for `--explain`.
    pub why: Text,
    /// What breaks without it.
    pub without: Text,
}

/// Names a descriptor that one step leaves for a later one ([`Plan::slot`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(usize);

/// What steps share while a plan runs: the process concerned and the descriptors left by earlier steps.
#[derive(Debug)]
pub struct Context {
    /// The process on its way to the program, as the performing side sees it.
    program: Pid,
    slots: Vec<Option<OwnedFd>>,
    /// The kinds of namespace that this process has joined.
    joined: CloneFlags,
    /// What a step found worth saying, for the observer.
    notes: Vec<String>,
    /// The entries that this process has performed, to be taken back where a later one fails.
    done: Vec<usize>,
    /// The child's end of the line to its parent, which hangs up when the parent dies.
    parent: Option<OwnedFd>,
}

impl Context {
    fn new(plan: &Plan) -> Self {
        Self {
            program: Pid::this(),
            slots: (0..plan.slots).map(|_| None).collect(),
            joined: CloneFlags::empty(),
            notes: Vec::new(),
            done: Vec::new(),
            parent: None,
        }
    }

    /// The same for a child that shares our memory but has descriptors of its own.
    fn for_child(&self) -> Result<Self> {
        let copy = |fd: &Option<OwnedFd>| fd.as_ref().map(OwnedFd::try_clone).transpose();
        let slots = self.slots.iter().map(copy).collect::<std::io::Result<_>>();
        Ok(Self {
            program: self.program,
            slots: slots.doing("cannot copy a descriptor")?,
            joined: self.joined,
            notes: Vec::new(),
            done: Vec::new(),
            parent: None,
        })
    }

    /// The process on its way to the program, as the performing side numbers it.
    pub fn program(&self) -> Pid {
        self.program
    }

    /// The descriptors that steps have left and none has taken out.
    fn held(&self) -> Vec<BorrowedFd<'_>> {
        self.slots.iter().flatten().map(AsFd::as_fd).collect()
    }

    /// Says something that is no error: a limit that the kernel rounded.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Leaves a descriptor for a later step.
    pub fn put(&mut self, slot: Slot, fd: OwnedFd) {
        self.slots[slot.0] = Some(fd);
    }

    /// Takes up a descriptor that an earlier step left.
    ///
    /// # Errors
    /// Where no step has: the plan is wrong, and says so instead of doing something else.
    pub fn get(&self, slot: Slot) -> Result<BorrowedFd<'_>> {
        let fd = self.slots.get(slot.0).and_then(Option::as_ref);
        fd.map(AsFd::as_fd).ok_or_else(|| {
            Error::new(format!(
                "the plan uses descriptor {} before a step made it",
                slot.0
            ))
        })
    }

    /// Takes a descriptor out for good.
    pub fn take(&mut self, slot: Slot) -> Option<OwnedFd> {
        self.slots.get_mut(slot.0).and_then(Option::take)
    }

    /// The kinds of namespace that steps so far have joined.
    pub fn joined(&self) -> CloneFlags {
        self.joined
    }

    /// Notes that a step has joined namespaces of these kinds, so that a later one need not try.
    pub fn note_joined(&mut self, kinds: CloneFlags) {
        self.joined |= kinds;
    }

    /// Whether the parent has died since the fork; always false where there was no fork.
    pub fn parent_died(&self) -> bool {
        self.parent
            .as_ref()
            .is_some_and(|fd| link::hung_up(fd.as_fd()))
    }
}

/// An ordered list of steps that ends in a program, or in nothing more.
#[derive(Debug)]
pub struct Plan {
    entries: Vec<Entry>,
    temporary: Vec<usize>,
    exec: Option<Exec>,
    wait: Wait,
    slots: usize,
    around: Option<Around>,
    ahead: CloneFlags,
    begun: RefCell<Option<NewNamespaces>>,
}

impl Plan {
    /// An empty plan for a program.
    pub fn new(exec: Exec) -> Self {
        Self {
            exec: Some(exec),
            ..Self::effects()
        }
    }

    /// An empty plan that ends in no program: its steps are wanted for what they leave. It does not fork.
    pub fn effects() -> Self {
        Self {
            entries: Vec::new(),
            temporary: Vec::new(),
            exec: None,
            wait: Wait::default(),
            slots: 0,
            around: None,
            ahead: CloneFlags::empty(),
            begun: RefCell::new(None),
        }
    }

    /// Makes room for so many lines at once: growing bit by bit costs a long plan ten microseconds.
    pub fn reserve(&mut self, lines: usize) {
        self.entries.reserve(lines);
    }

    /// Adds a step of the process on its way to the program.
    pub fn then(&mut self, step: impl Step + 'static) -> &mut Self {
        self.entries
            .push(Entry::Step(Side::Program, Box::new(step)));
        self
    }

    /// Adds a step whose effect is to last as long as the program: it is undone when the program has ended. Only in a
    /// plan that forks, before the fork.
    pub fn during(&mut self, step: impl Step + 'static) -> &mut Self {
        self.temporary.push(self.entries.len());
        self.then(step)
    }

    /// Adds a step that a process which stayed outside performs while the program side waits for it.
    pub fn outside(&mut self, step: impl Step + 'static) -> &mut Self {
        self.entries
            .push(Entry::Step(Side::Outside, Box::new(step)));
        self
    }

    /// Adds a step that a go-between performs, who then makes the child. Only before the fork.
    pub fn between(&mut self, step: impl Step + 'static) -> &mut Self {
        self.entries
            .push(Entry::Step(Side::Between, Box::new(step)));
        self
    }

    /// The same as [`Plan::outside`] for a step whose effect is to last as long as the program.
    pub fn outside_during(&mut self, step: impl Step + 'static) -> &mut Self {
        self.temporary.push(self.entries.len());
        self.outside(step)
    }

    /// Makes the rest of the program side happen in a child. A plan forks once: a second call is ignored.
    pub fn fork(&mut self, fork: Fork) -> &mut Self {
        if !self.forks() {
            self.entries.push(Entry::Fork(fork));
        }
        self
    }

    /// Says that the caller has the child's namespaces of these kinds made while it does other things, among them the steps
    /// before the fork, none of which may join a time namespace. `begun` is what it has begun; without another CPU, or where
    /// the plan is only told, that is nothing, and they are made with the child.
    pub fn made_ahead(&mut self, kinds: CloneFlags, begun: Option<NewNamespaces>) -> &mut Self {
        self.ahead = kinds;
        self.begun = RefCell::new(begun);
        self
    }

    /// Lets the parent go when the child gets here. Only behind a fork, and only once.
    pub fn leave(&mut self, leave: Leave) -> &mut Self {
        self.entries.push(Entry::Leave(leave));
        self
    }

    /// How the parent waits for the child.
    pub fn wait(&mut self, wait: Wait) -> &mut Self {
        self.wait = wait;
        self
    }

    /// What a script of it has to do besides.
    pub fn around(&mut self, around: Around) -> &mut Self {
        self.around = Some(around);
        self
    }

    /// A name for a descriptor that one step will leave for another.
    pub fn slot(&mut self) -> Slot {
        self.slots += 1;
        Slot(self.slots - 1)
    }

    /// The lines, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What the plan ends in.
    pub fn program(&self) -> Option<&Exec> {
        self.exec.as_ref()
    }

    /// Runs the program, which is one of our applets, from the handle on our own binary in `slot`.
    pub fn run_from_own_binary(&mut self, slot: Slot, when: Own) {
        if let Some(exec) = &mut self.exec {
            exec.from_own_binary(slot, when);
        }
    }

    fn forks(&self) -> bool {
        self.entries
            .iter()
            .any(|entry| matches!(entry, Entry::Fork(_)))
    }

    fn has_between(&self) -> bool {
        let between = |entry: &Entry| matches!(entry, Entry::Step(Side::Between, _));
        self.entries.iter().any(between)
    }

    fn leaves(&self) -> bool {
        self.entries
            .iter()
            .any(|entry| matches!(entry, Entry::Leave(_)))
    }

    /// Whether entry `index` is a farewell that goes without saying: right behind an entry of the outside, which has nothing
    /// more to wait for once it has answered.
    fn is_known_farewell(&self, index: usize) -> bool {
        let both = index
            .checked_sub(1)
            .and_then(|at| self.entries.get(at..=index));
        matches!(both, Some([Entry::Step(Side::Outside, _), Entry::Leave(_)]))
    }

    /// Whether the outside must be a process of its own: the program side has moved before it is needed.
    fn needs_helper(&self) -> bool {
        let mut moved = false;
        for entry in &self.entries {
            match entry {
                Entry::Step(Side::Program, step) => moved |= step.moves(),
                Entry::Step(Side::Outside, _) => return moved,
                // With nothing moved before the fork, the parent itself is the outside.
                Entry::Fork(_) if !moved => return false,
                Entry::Step(Side::Between, _) | Entry::Fork(_) | Entry::Leave(_) => {}
            }
        }
        false
    }

    /// Every part of the script, in order (`script.rs` joins them).
    fn shells(&self) -> Vec<Shell> {
        let mut shells: Vec<Shell> = self
            .entries
            .iter()
            .map(|entry| match entry {
                Entry::Step(_, step) => step.shell(),
                Entry::Fork(fork) => fork.shell(self.wait.signals),
                Entry::Leave(_) => Shell::Implied,
            })
            .collect();
        shells.extend(self.exec.iter().flat_map(Exec::shells));
        shells
    }
}

impl Leave {
    /// `known`: the parent does not wait to hear of it ([`Plan::is_known_farewell`]).
    fn explain(&self, known: bool) -> Explanation {
        let (call, page) = if known {
            (
                "close_range() around what is needed still",
                "close_range(2)",
            )
        } else {
            (
                "send(PARENT, LEFT), shutdown(PARENT, SHUT_RDWR), close_range() around what is needed still",
                "shutdown(2)",
            )
        };
        Explanation::new(call, self.why.clone(), self.without.clone(), page)
    }
}

impl Fork {
    /// `asleep`: the parent lends the child its memory until the exec ([`Plan::may_sleep`]). `ahead`: what is made before
    /// ([`Plan::made_ahead`]).
    fn explain(&self, asleep: bool, ahead: CloneFlags) -> Explanation {
        let (name, lent) = if asleep {
            ("clone", "CLONE_VM|CLONE_VFORK")
        } else {
            ("clone3", "")
        };
        let namespaces = crate::namespace::flag_names(self.namespaces);
        let into = self.cgroup.map_or("", |_| "CLONE_INTO_CGROUP");
        let flags = [lent, &namespaces, into, "SIGCHLD"];
        let flags: Vec<&str> = flags.into_iter().filter(|part| !part.is_empty()).collect();
        let call = format!("{name}({})", flags.join("|"));
        let mut why = self.why.clone();
        if !ahead.is_empty() {
            why = format!(
                "{why}. The kernel takes longest for {}: where there is a second CPU, a task beside us makes them during the \
                 steps above (unshare(2)), and the child is cloned without and goes there (setns(2))",
                crate::namespace::flag_names(ahead)
            )
            .into();
        }
        Explanation::new(call, why, self.without.clone(), "clone(2)")
    }

    fn shell(&self, signals: Signals) -> Shell {
        let mut words: Vec<OsString> = crate::namespace::kinds(self.namespaces)
            .iter()
            .map(|k| format!("--{}", k.option()).into())
            .collect();
        words.push("--fork".into());
        if matches!(signals, Signals::Forward | Signals::Proxy) {
            words.push("--forward-signals".into());
        }
        Shell::Option {
            applet: "unshare",
            words,
        }
    }
}
