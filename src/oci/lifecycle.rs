//! What can be done with containers that are kept: create, start, kill, delete and the rest of the specification's
//! operations (runtime.md), and what every runtime has besides.
//!
//! ```text
//!                create             start              ends               delete
//!   (nothing) ───────────> created ───────> running ────────> stopped ────────────> (nothing)
//!                                   pause │ ^ resume
//!                                         v │
//!                                       paused
//! ```
//!
//! Nothing here knows the words of a command line: a refusal is a [`Refusal`], which who asked puts into words.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::poll::PollTimeout;
use nix::unistd::{Pid, UnlinkatFlags, unlinkat};

use super::compile::{Joining, Setting, compile, join, run_hooks};
use super::making::{self, Making, Note};
use super::notify::{self, Notify};
use super::resources;
use super::spec::{Resources, Spec};
use super::state::{Id, Kept, Lock, Record, Store};
use super::status::{Status, status, wait_for_end};
use crate::cgroup::hierarchy::v2_word;
use crate::cgroup::value::Limit;
use crate::cgroup::{Group, Hierarchies, Version, tree};
use crate::enter::{Name, Target};
use crate::error::{Doing, Error, Result};
use crate::order;
use crate::plan::steps::start::tell_start;
use crate::plan::{Observer, Outcome, Plan, Running};
use crate::sys::clone::pidfd_send_signal;
use crate::terminal::leave::Leave;

/// Why an operation is not for this container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is none of that name.
    Absent,
    /// There is one of that name.
    Exists,
    /// It is in another state than the operation is for.
    In(Status),
    /// It was tried, and failed.
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Refusal {
    /// The same as an error.
    pub fn into_error(self) -> Error {
        match self {
            Self::Absent => Error::new("no such container"),
            Self::Exists => Error::new("there is such a container already"),
            Self::In(status) => Error::new(format!("the container is {status}")),
            Self::Failed(error) => error,
        }
    }
}

/// The answer to an operation.
pub type Answer<T> = Result<T, Refusal>;

/// A container that is kept.
#[derive(Debug)]
pub struct Container {
    kept: Kept,
    record: Record,
}

/// What is known of a container, for those who ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// What it is now.
    pub status: Status,
    /// Its first process; 0 where that has ended.
    pub pid: i32,
    /// What was written down when it was made.
    pub record: Record,
}

/// A container to be made: where it is kept, what it is, and what its maker decides.
#[derive(Debug)]
pub struct New<'a> {
    /// Where it will be kept.
    pub store: &'a Path,
    /// Its name.
    pub id: &'a Id,
    /// What it is; paths are absolute.
    pub spec: &'a Spec,
    /// The directory that its spec was read from.
    pub bundle: &'a Path,
    /// What its maker decides.
    pub making: Making,
    /// A file for the number of its first process.
    pub pid_file: Option<PathBuf>,
    /// A socket for the pidfd of its first process.
    pub pidfd_socket: Option<PathBuf>,
    /// What else its maker decides; what concerns its being kept is set here.
    pub setting: Setting<'a>,
}

/// What its maker does while it runs; it comes back when the first process has ended.
pub type Attend<'a> = &'a mut dyn FnMut(&mut Running<'_>, &Record) -> Result<()>;

impl New<'_> {
    /// The plan that will make it, to be told.
    ///
    /// # Errors
    /// For a spec that cannot be meant.
    pub fn plan(mut self) -> Result<Plan> {
        self.confine()?;
        self.compiled()
    }

    fn confine(&mut self) -> Result<()> {
        let linux = &self.spec.linux;
        let settings = resources::settings(&linux.resources)?;
        let wanted = !linux.cgroups_path.as_os_str().is_empty() || !settings.is_empty();
        let all = match Hierarchies::discover() {
            Err(_) if !wanted => return Ok(()),
            other => other?,
        };
        let limited = !settings.is_empty();
        let confinement = making::confinement(&all, &linux.cgroups_path, self.id, settings)?;
        let without = self.making.lenient && !limited && !making::may_make(&confinement);
        self.making.confinement = Some(confinement).filter(|_| !without);
        Ok(())
    }

    fn compiled(&self) -> Result<Plan> {
        let setting = Setting {
            input: true,
            making: Some(&self.making),
            ..self.setting
        };
        compile(self.spec, setting)
    }

    /// Claims the name, and writes down what will be made.
    fn claim(&mut self) -> Answer<(Rc<Note>, Lock)> {
        self.confine()?;
        let store = Store::make(self.store)?;
        let (kept, lock) = store.claim(self.id)?.ok_or(Refusal::Exists)?;
        let record = making::record(
            self.id,
            self.spec,
            self.bundle,
            self.making.confinement.as_ref(),
        );
        let notifies = self.making.notify.is_some();
        let written = kept
            .keep(&record)
            .and_then(|()| kept.write("config.json", self.spec.to_json()?.as_bytes()))
            .and_then(|()| {
                if notifies {
                    notify::prepare(&kept)
                } else {
                    Ok(())
                }
            });
        if let Err(error) = written {
            let _ = kept.remove();
            return Err(error.into());
        }
        if self.making.detached {
            self.making.wait_in(&kept);
        }
        let note = Rc::new(Note {
            kept,
            record: RefCell::new(record),
            pid_file: self.pid_file.take(),
            pidfd_socket: self.pidfd_socket.take(),
        });
        self.making.note = Some(Rc::clone(&note));
        Ok((note, lock))
    }

    /// Makes it: its first process waits for the start.
    ///
    /// # Errors
    /// Of the step that failed; nothing is left then.
    pub fn create(mut self, observer: &dyn Observer) -> Answer<()> {
        self.making.detached = true;
        let (note, _lock) = self.claim()?;
        let made = self
            .compiled()
            .and_then(|plan| plan.launch(observer).map(drop));
        if made.is_err() {
            // The steps have taken back what they did.
            let _ = note.kept.remove();
        }
        Ok(made?)
    }

    /// Makes it, runs its program, waits for the end and takes it away, unless it is to be `kept`.
    ///
    /// # Errors
    /// Of the step that failed; nothing is left then.
    pub fn run(self, kept: bool, observer: &dyn Observer) -> Answer<Outcome> {
        self.run_attended(kept, observer, &mut |_, _| Ok(()))
    }

    /// The same for a maker who has something to do while it runs.
    ///
    /// # Errors
    /// As [`New::run`], and those of `attend`.
    pub fn run_attended(
        mut self,
        kept: bool,
        observer: &dyn Observer,
        attend: Attend<'_>,
    ) -> Answer<Outcome> {
        self.making.detached = false;
        let (note, lock) = self.claim()?;
        let plan = self.compiled();
        let manager = self.making.notify.take();
        let outcome = plan.and_then(|plan| {
            let notify = manager.map(|manager| Notify::new(&note.kept, &manager));
            let mut running = plan.launch(observer)?;
            if let Some(notify) = notify.transpose()?.flatten() {
                notify.relay_beside(running.pidfd())?;
            }
            note.write(running.pid())?;
            drop(lock);
            let record = note.record.borrow();
            let mut after = hooks_after_start(self.spec, &note.kept, &record);
            if after.is_ok() {
                after = attend(&mut running, &record);
            }
            if after.is_err() {
                let _ = pidfd_send_signal(running.pidfd(), libc::SIGKILL);
            }
            let outcome = running.wait(observer);
            after.and(outcome)
        });
        if kept && outcome.is_ok() {
            return Ok(outcome?);
        }
        let record = note.record.borrow();
        // Somebody else may be taking it away at this moment.
        let _lock = note.kept.lock();
        let gone = take_away(&note.kept, &record);
        let outcome = outcome?;
        gone?;
        Ok(outcome)
    }
}

impl Container {
    /// The container of this name; a [`Refusal::Absent`] where there is none.
    ///
    /// # Errors
    /// Where its record cannot be read.
    pub fn find(store: &Path, id: &Id) -> Answer<Self> {
        let kept = Store::look(store)?
            .map(|store| store.find(id))
            .transpose()?
            .flatten();
        let kept = kept.ok_or(Refusal::Absent)?;
        let record = kept.record()?.ok_or(Refusal::Absent)?;
        Ok(Self { kept, record })
    }

    /// All containers that are there, by name. One whose record cannot be read is left out.
    ///
    /// # Errors
    /// Where the directory cannot be listed.
    pub fn all(store: &Path) -> Result<Vec<Self>> {
        let Some(store) = Store::look(store)? else {
            return Ok(Vec::new());
        };
        let ids = store.ids()?;
        let read = |id: &Id| {
            let kept = store.find(id).ok().flatten()?;
            let record = kept.record().ok().flatten()?;
            Some(Self { kept, record })
        };
        Ok(ids.iter().filter_map(read).collect())
    }

    /// What was written down of it.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Its directory.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// What it is now.
    ///
    /// # Errors
    /// Where that cannot be asked.
    pub fn status(&self) -> Result<Status> {
        status(&self.kept, &self.record)
    }

    /// What is known of it.
    ///
    /// # Errors
    /// As [`Container::status`].
    pub fn state(&self) -> Result<State> {
        let status = self.status()?;
        let pid = match status {
            Status::Stopped | Status::Creating => 0,
            _ => self.record.init_process_pid,
        };
        Ok(State {
            status,
            pid,
            record: self.record.clone(),
        })
    }

    /// The spec it was made from.
    ///
    /// # Errors
    /// Where that cannot be read.
    pub fn spec(&self) -> Result<Spec> {
        let text = self.kept.read("config.json")?;
        let gone = || Error::new("the container has no config.json");
        Spec::parse(&text.ok_or_else(gone)?)
    }

    /// Its control groups that are there.
    pub fn groups(&self) -> Vec<Group> {
        self.record.groups()
    }

    /// Has its program start.
    ///
    /// # Errors
    /// Where it is not created, and what the first process fails with.
    pub fn start(&self) -> Answer<()> {
        let _lock = self.kept.lock()?;
        match self.status()? {
            Status::Created => {}
            other => return Err(Refusal::In(other)),
        }
        let started = tell_start(&self.kept.socket());
        self.kept.remove_socket();
        // It went between our question and our word.
        started?.ok_or(Refusal::In(Status::Stopped))?;
        let spec = self.spec()?;
        let after = hooks_after_start(&spec, &self.kept, &self.record);
        if after.is_err() {
            // A hook that fails is the end of the container (runtime.md, "Lifecycle").
            let _ = self.kill(libc::SIGKILL);
        }
        Ok(after?)
    }

    /// The same for a manager that wants to hear when its program is ready: waits for that (sd_notify(3)).
    ///
    /// # Errors
    /// As [`Container::start`], and where the manager cannot be told.
    pub fn start_notifying(&self, manager: &OsStr) -> Answer<()> {
        let notify = match self.status()? {
            Status::Created => Notify::new(&self.kept, manager)?,
            _ => None,
        };
        self.start()?;
        match (notify, self.record.first()) {
            (Some(notify), Some((pid, first))) => Ok(notify.relay(first.as_fd(), Some(pid))?),
            _ => Ok(()),
        }
    }

    /// Sends a signal to its first process.
    ///
    /// # Errors
    /// Where that has ended, and the kernel's answer.
    pub fn kill(&self, signal: i32) -> Answer<()> {
        let stopped = Refusal::In(Status::Stopped);
        let (_, pidfd) = self.record.first().ok_or(stopped.clone())?;
        match pidfd_send_signal(std::os::fd::AsFd::as_fd(&pidfd), signal) {
            Err(Errno::ESRCH) => Err(stopped),
            other => Ok(other.doing("cannot signal the first process")?),
        }
    }

    /// Sends a signal to all its processes; it having none is no error.
    ///
    /// # Errors
    /// Where its processes cannot be listed, and the kernel's answer.
    pub fn kill_all(&self, signal: i32) -> Answer<()> {
        for pid in self.processes()? {
            // Its number is of a process in a group of the container's own; one that ended meanwhile is none.
            let sent = crate::sys::clone::pidfd_open(pid)
                .and_then(|pidfd| pidfd_send_signal(std::os::fd::AsFd::as_fd(&pidfd), signal));
            match sent {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(Error::new("cannot signal").errno_is(errno).into()),
            }
        }
        match self.record.first() {
            Some(_) if self.record.own_groups().is_empty() => self.kill(signal),
            _ => Ok(()),
        }
    }

    /// Its processes, as far as they are in its control groups; without such, the first.
    ///
    /// # Errors
    /// Where a group cannot be listed.
    pub fn processes(&self) -> Result<Vec<Pid>> {
        let groups = self.record.own_groups();
        if groups.is_empty() {
            return Ok(self
                .record
                .first()
                .map(|(pid, _)| pid)
                .into_iter()
                .collect());
        }
        tree::processes(&groups)
    }

    /// Stops all its processes until resumed.
    ///
    /// # Errors
    /// Where it does not run, and where no group of it can be frozen.
    pub fn pause(&self) -> Answer<()> {
        match self.status()? {
            Status::Running | Status::Created => self.freeze(true),
            other => Err(Refusal::In(other)),
        }
    }

    /// Lets its processes go on.
    ///
    /// # Errors
    /// Where it is not paused.
    pub fn resume(&self) -> Answer<()> {
        match self.status()? {
            Status::Paused => self.freeze(false),
            other => Err(Refusal::In(other)),
        }
    }

    fn freeze(&self, frozen: bool) -> Answer<()> {
        match tree::freeze_groups(&self.record.own_groups(), frozen)? {
            true => Ok(()),
            false => {
                Err(Error::new("the container has no control group that can be frozen").into())
            }
        }
    }

    /// Takes it away. One that runs is ended first where `force` says so; one that is created, always.
    ///
    /// # Errors
    /// Where it runs and there is no force, and where it cannot be ended or removed; it is there still, then.
    pub fn delete(&self, force: bool) -> Answer<()> {
        match self.status()? {
            Status::Stopped | Status::Created => {}
            _ if force => {}
            other => return Err(Refusal::In(other)),
        }
        let _lock = self.kept.lock()?;
        // Who had it until now may have noted more.
        let record = self.kept.record()?.unwrap_or_else(|| self.record.clone());
        Ok(take_away(&self.kept, &record)?)
    }
}

/// Takes away what is left of a name whose record is not there or cannot be read.
///
/// # Errors
/// The kernel's answer; where there is nothing of that name that is none.
pub fn clear(store: &Path, id: &Id) -> Result<()> {
    let kept = Store::look(store)?
        .map(|store| store.find(id))
        .transpose()?
        .flatten();
    match kept {
        None => Ok(()),
        Some(kept) => {
            let _lock = kept.lock()?;
            // Whoever was making it may have gone on until now.
            match kept.record() {
                Ok(Some(record)) => take_away(&kept, &record),
                _ => kept.remove(),
            }
        }
    }
}

/// Runs the hooks that follow the start.
fn hooks_after_start(spec: &Spec, kept: &Kept, record: &Record) -> Result<()> {
    let (id, bundle) = (kept.id().as_str(), record.bundle());
    let state = ("running", record.init_process_pid);
    run_hooks("poststart", spec, (id, bundle), state)
}

/// Runs the hooks that follow the end of a container. What they fail with is told, and stops nothing.
fn hooks_after_end(kept: &Kept, record: &Record) -> Result<()> {
    let text = kept.read("config.json")?;
    let spec = text.map(|text| Spec::parse(&text)).transpose()?;
    let Some(spec) = spec.filter(|_| record.isobox.poststop) else {
        return Ok(());
    };
    let (id, bundle) = (kept.id().as_str(), record.bundle());
    run_hooks("poststop", &spec, (id, bundle), ("stopped", 0))
}

/// Ends what lives of a container, removes its control groups and, last, what is written down of it.
fn take_away(kept: &Kept, record: &Record) -> Result<()> {
    let groups = record.own_groups();
    if let Some((_, pidfd)) = record.first() {
        // Frozen by v1 it could not end; one that ended meanwhile is what we want.
        let _ = tree::is_frozen(&groups).then(|| tree::freeze_groups(&groups, false));
        let _ = pidfd_send_signal(std::os::fd::AsFd::as_fd(&pidfd), libc::SIGKILL);
        if groups.is_empty() && !wait_for_end(&pidfd, PollTimeout::from(10_000_u16)) {
            return Err(
                Error::new("the first process does not end").because("uninterruptible sleep")
            );
        }
    }
    tree::kill_groups(&groups)?;
    for group in &groups {
        tree::remove_one(group, true)?;
    }
    if let Some(path) = record.groups_left() {
        return Err(Error::new("cannot remove the cgroup").on(path));
    }
    remove_above(&record.isobox.made_above)?;
    // Once the first process is there the container is; what was never made needs no hooks.
    let hooks = match record.isobox.poststop && record.init_process_pid > 0 {
        true => hooks_after_end(kept, record),
        false => Ok(()),
    };
    kept.remove()?;
    hooks
}

/// Removes the groups that were made above a container's own, deepest first, as far as nobody else uses them.
fn remove_above(paths: &[PathBuf]) -> Result<()> {
    let mut paths: Vec<&PathBuf> = paths.iter().collect();
    order::sort_by_key(&mut paths, |path| {
        std::cmp::Reverse(path.components().count())
    });
    for path in paths {
        match unlinkat(AT_FDCWD, path, UnlinkatFlags::RemoveDir) {
            // One in use stays.
            Ok(()) | Err(Errno::ENOENT | Errno::EBUSY | Errno::ENOTEMPTY) => {}
            Err(errno) => return Err(errno).doing_to("cannot remove the cgroup", path),
        }
    }
    Ok(())
}

/// A program that is to join a container.
#[derive(Debug)]
pub struct Exec<'a> {
    /// The container's spec, with the program as its `process`.
    pub spec: &'a Spec,
    /// What the caller decides.
    pub making: Making,
    /// A group below the container's own, by controller where one is named; several where they differ.
    pub below: Vec<(Option<String>, PathBuf)>,
    /// Also where the container is paused: the program waits until it is resumed.
    pub ignore_paused: bool,
    /// The program is one of our own applets, run by descriptor.
    pub own_binary: bool,
    /// A file for the number of the program.
    pub pid_file: Option<PathBuf>,
    /// A socket for its pidfd.
    pub pidfd_socket: Option<PathBuf>,
    /// Our standard input goes to its terminal.
    pub input: bool,
    /// What is to be typed to its terminal to leave it alone; nobody leaves it where this is empty. A detached one is
    /// left at once.
    pub leave: Vec<u8>,
}

impl Container {
    /// The plan by which a program joins, to be told.
    ///
    /// # Errors
    /// Where the container has no process to join, and for a program that cannot be meant.
    pub fn joining(&self, exec: &Exec<'_>) -> Answer<Plan> {
        match self.status()? {
            Status::Created | Status::Running => {}
            Status::Paused if exec.ignore_paused => {}
            other => return Err(Refusal::In(other)),
        }
        let target = Name {
            pid: Pid::from_raw(self.record.init_process_pid),
            inode: Some(self.record.isobox.pidfd).filter(|inode| *inode != 0),
        };
        let joining = Joining {
            target: Target::hold(target, "ns")?,
            spec: exec.spec,
            groups: below(self.record.all_groups()?, &exec.below)?,
            own_binary: exec.own_binary,
            making: &exec.making,
            input: exec.input,
            named: (self.kept.id().as_str(), self.record.bundle()),
        };
        Ok(join(joining)?)
    }

    /// Runs a program in it and waits for its end; a detached one runs on.
    ///
    /// # Errors
    /// As [`Container::joining`], and of the step that failed.
    pub fn exec(&self, exec: &Exec<'_>, observer: &dyn Observer) -> Answer<Outcome> {
        let plan = self.joining(exec)?;
        let keys = exec.leave.clone();
        let leave = match keys.is_empty() {
            true => None,
            false => Some(Leave::prepare(keys)?),
        };
        let mut running = plan.launch(observer)?;
        let noted = note_program(exec, &running);
        if noted.is_err() {
            let _ = pidfd_send_signal(running.pidfd(), libc::SIGKILL);
        }
        noted?;
        if !exec.making.detached {
            return Ok(running.wait_or_leave(observer, leave)?);
        }
        if let (Some(leave), Some(master)) = (leave, running.take_terminal()?) {
            leave.hand_over(&master)?;
        }
        Ok(Outcome::Exited(0))
    }
}

fn note_program(exec: &Exec<'_>, running: &Running<'_>) -> Result<()> {
    if let Some(path) = &exec.pidfd_socket {
        making::send_pidfd(path, running.pidfd())?;
    }
    match &exec.pid_file {
        Some(path) => making::write_pid_file(path, running.pid()),
        None => Ok(()),
    }
}

/// The groups below these that a program is to be in.
fn below(mut groups: Vec<Group>, paths: &[(Option<String>, PathBuf)]) -> Result<Vec<Group>> {
    for (controller, path) in paths {
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        let path = path.strip_prefix("/").unwrap_or(path);
        if !path.components().all(inside) {
            return Err(Error::new("not a group below the container's own").on(path));
        }
        let meant = |group: &Group| match controller.as_deref() {
            None => true,
            Some("") => group.hierarchy.version == Version::V2,
            Some(name) => group.hierarchy.holds(v2_word(name)),
        };
        let mut found = false;
        for group in groups.iter_mut().filter(|group| meant(group)) {
            group.path.push(path);
            found = true;
            if !group.exists() {
                return Err(Error::new("no such cgroup")
                    .on(group.shown())
                    .errno_is(Errno::ENOENT));
            }
        }
        if !found {
            let name = controller.clone().unwrap_or_default();
            return Err(Error::new("the container has no control group of").on(name));
        }
    }
    Ok(groups)
}

impl Container {
    /// Changes its limits; what is not said stays as it is.
    ///
    /// # Errors
    /// Where it has ended, for what cannot be set, and the kernel's answer.
    pub fn update(&self, mut resources: Resources) -> Answer<()> {
        if self.status()? == Status::Stopped {
            return Err(Refusal::In(Status::Stopped));
        }
        let groups = self.groups();
        let holder = |controller: &str| {
            groups.iter().find(|group| match controller {
                "cgroup" => group.hierarchy.version == Version::V2,
                name => group.hierarchy.holds(name),
            })
        };
        // Memory and swap are limited together: swap alone is meant beside the memory that there is.
        let memory = &mut resources.memory;
        if let (Some(_), None, Some(group)) = (memory.swap, memory.limit, holder("memory")) {
            let now = group.get("memory.max")?;
            memory.limit = Some(now.trim().parse().unwrap_or(-1));
        }
        let both = resources
            .memory
            .limit
            .and_then(|limit| u64::try_from(limit).ok());
        for setting in resources::settings(&resources)? {
            let absent = || Error::new("the container has no control group for").on(&setting.name);
            let group = holder(setting.controller()).ok_or_else(absent)?;
            set(group, &setting, both.map(Limit::At))?;
        }
        Ok(())
    }
}

/// Sets one; a file that this kernel does not have, and nobody asked for by name, is none.
fn set(group: &Group, setting: &crate::cgroup::Setting, memory: Option<Limit>) -> Result<()> {
    let done = group.set(setting, memory).map(drop);
    match done {
        Err(error) if setting.implied && error.errno() == Some(Errno::ENOENT) => Ok(()),
        other => other,
    }
}
