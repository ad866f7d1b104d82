//! A program joins a container.

use std::path::{Component, PathBuf};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::{Answer, Container, Refusal};
use crate::cgroup::hierarchy::v2_word;
use crate::cgroup::{Group, Version};
use crate::enter::{Name, Target};
use crate::error::{Error, Result};
use crate::oci::compile::{Joining, join};
use crate::oci::making::{self, Making};
use crate::oci::spec::Spec;
use crate::oci::status::Status;
use crate::plan::steps::scope::AttachToUnit;
use crate::plan::{Observer, Outcome, Own, Plan, Running};
use crate::sys::clone::pidfd_send_signal;
use crate::terminal::leave::Leave;

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
    /// When the program is one of our own applets, run by descriptor.
    pub own_binary: Option<Own>,
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
            attach: AttachToUnit::needed(&self.record.isobox.manager, &self.record.isobox.unit),
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
