//! A container comes into being: its name is claimed, what it will have is written down, then it is made.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::remove::{forget, remove_all, take_away};
use super::{Answer, Refusal, hooks_after_start};
use crate::cgroup::{self, Hierarchies, Layout};
use crate::error::{Error, Result};
use crate::oci::compile::{Setting, compile, made_ahead};
use crate::oci::making::{self, Making, Note};
use crate::oci::notify::{self, Notify};
use crate::oci::resources;
use crate::oci::spec::Spec;
use crate::oci::state::{Id, Lock, Record, Store};
use crate::plan::confine::{Confinement, Place};
use crate::plan::steps::scope::Wanted;
use crate::plan::{Observer, Outcome, Plan, Running};
use crate::sys::beside::NewNamespaces;
use crate::sys::clone::pidfd_send_signal;
use crate::systemd::{self, Manager, Scope, Whose};

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
    /// Whose systemd makes its control group; without, we do.
    pub systemd: Option<Whose>,
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
        if let Some(whose) = self.systemd.take() {
            return self.confine_to_scope(&whose, settings);
        }
        let wanted = !linux.cgroups_path.as_os_str().is_empty() || !settings.is_empty();
        let all = match Hierarchies::holding(settings.iter().map(cgroup::Setting::controller)) {
            Err(_) if !wanted => return Ok(()),
            other => other?,
        };
        let limited = !settings.is_empty();
        let confinement = making::confinement(&all, &linux.cgroups_path, self.id, settings)?;
        let without = self.making.lenient && !limited && !making::may_make(&confinement);
        self.making.confinement = Some(confinement).filter(|_| !without);
        Ok(())
    }

    /// Its group is a scope of systemd's.
    fn confine_to_scope(&mut self, whose: &Whose, settings: Vec<cgroup::Setting>) -> Result<()> {
        let all = Hierarchies::discover()?;
        if all.layout() != Layout::Unified {
            return Err(Error::new(
                "the systemd cgroup manager needs cgroup v2, and no v1 beside it",
            )
            .hint(systemd::OTHER_MANAGER));
        }
        let path = &self.spec.linux.cgroups_path;
        let scope = Scope::of_path(path, self.id.as_str(), whose)?;
        let (socket, group) = Manager::find(whose)?;
        let place = Place {
            // systemd has handed down to it what there is.
            controllers: Vec::new(),
            path: group.join(scope.path()?),
        };
        let mut limits = systemd::of_settings(&settings)?;
        for (name, value) in self.spec.annotations.iter() {
            if let Some(name) = name.strip_prefix(systemd::ANNOTATION) {
                limits.push(systemd::of_annotation(name, value)?);
            }
        }
        let description = format!("container {}", self.id);
        self.making.scope = Some(Rc::new(Wanted::new(socket, scope, description, limits)));
        self.making.confinement = Some(Confinement::new(&all, &[place], settings)?);
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

    /// Claims the name, and writes down what will be made; gives the plan for that too.
    fn claim(&mut self) -> Answer<(Rc<Note>, Lock, Plan)> {
        // As early as it is known that they are wanted: all that follows goes on beside it.
        let ahead = made_ahead(self.spec, self.setting);
        if !ahead.is_empty() {
            self.making.begun = RefCell::new(NewNamespaces::begin(ahead));
        }
        self.confine()?;
        let store = Store::make(self.store)?;
        let (kept, lock) = store.claim(self.id)?.ok_or(Refusal::Exists)?;
        let record = making::record(self.id, self.spec, self.bundle, &self.making);
        let written = kept
            .keep(&record)
            .and_then(|()| kept.write("config.json", self.spec.to_json()?.as_bytes()))
            .and_then(|()| match self.making.notify {
                Some(_) => notify::prepare(&kept),
                None => Ok(()),
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
        match self.compiled() {
            Ok(plan) => Ok((note, lock, plan)),
            Err(error) => {
                let _ = note.kept.remove();
                Err(error.into())
            }
        }
    }

    /// Makes it: its first process waits for the start.
    ///
    /// # Errors
    /// Of the step that failed; nothing is left then.
    pub fn create(mut self, observer: &dyn Observer) -> Answer<()> {
        self.making.detached = true;
        let (note, _lock, plan) = self.claim()?;
        let made = plan.launch(observer).map(drop);
        if made.is_err() {
            // The steps have taken back what they did; what hooks did is left to hooks.
            if let Ok(Some(error)) = forget(&note.kept, &note.record.borrow()) {
                observer.noted(&error.to_string());
            }
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
        let (note, lock, plan) = self.claim()?;
        let manager = self.making.notify.take();
        let notify = manager.map(|manager| Notify::new(&note.kept, &manager));
        let outcome = notify.transpose().and_then(|notify| {
            let notify = notify.flatten();
            let mut running = plan.launch(observer)?;
            if let Some(notify) = notify {
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
        let gone = match outcome {
            // Its first process has ended.
            Ok(_) => remove_all(&note.kept, &record),
            Err(_) => take_away(&note.kept, &record),
        };
        let outcome = outcome?;
        if let Some(error) = gone? {
            observer.noted(&error.to_string());
        }
        Ok(outcome)
    }
}
