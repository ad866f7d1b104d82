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

mod create;
mod exec;
mod remove;
mod update;

use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::Pid;

use super::compile::run_hooks;
use super::notify::Notify;
use super::spec::Spec;
use super::state::{Id, Kept, Record, Store};
use super::status::{Status, status, status_at_rest};
use crate::cgroup::{Group, tree};
use crate::error::{Doing, Error, Result};
use crate::plan::steps::start::tell_start;
use crate::sys::clone::pidfd_send_signal;

pub use create::{Attend, New};
pub use exec::Exec;
pub use remove::clear;
use remove::take_away;

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
        if let Some(other) = status_at_rest(&self.kept, &self.record) {
            return Err(Refusal::In(other));
        }
        let started = tell_start(&self.kept.socket());
        self.kept.remove_socket();
        if started?.is_none() {
            return Err(Refusal::In(self.status()?));
        }
        if !self.record.isobox.poststart {
            return Ok(());
        }
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
            other => Ok(other.doing("unable to signal init")?),
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
        match tree::freeze_groups(&self.record.own_groups(), frozen) {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(Error::new("the container has no control group that can be frozen").into())
            }
            // It ended at this moment, and its groups went with it.
            Err(error) if error.errno() == Some(Errno::ENOENT) => Err(Refusal::In(Status::Stopped)),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes it away. One that runs is ended first where `force` says so; one that is created, always.
    ///
    /// # Errors
    /// As [`Container::remove`]; also where a hook that follows its end has failed.
    pub fn delete(&self, force: bool) -> Answer<()> {
        match self.remove(force)? {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// The same; gives what a hook that follows its end has failed with.
    ///
    /// # Errors
    /// Where it runs and there is no force, and where it cannot be ended or removed; it is there still, then.
    pub fn remove(&self, force: bool) -> Answer<Option<Error>> {
        if !force {
            match self.status()? {
                Status::Stopped | Status::Created => {}
                other => return Err(Refusal::In(other)),
            }
        }
        let _lock = self.kept.lock()?;
        // Who had it until now may have noted more.
        let record = self.kept.record()?.unwrap_or_else(|| self.record.clone());
        Ok(take_away(&self.kept, &record)?)
    }
}

/// Runs the hooks that follow the start.
fn hooks_after_start(spec: &Spec, kept: &Kept, record: &Record) -> Result<()> {
    let (id, bundle) = (kept.id().as_str(), record.bundle());
    let state = ("running", record.init_process_pid);
    run_hooks("poststart", spec, (id, bundle), state)
}
