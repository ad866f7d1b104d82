//! A program that joins a container: in its groups, its namespaces and its root, with no more than it may do there.
//!
//! ```text
//! parent   holds the first process, hides; joins the PID namespace, which is for its children alone
//! child    joins the control groups (on v2 it is born there), then every other namespace
//!          session, terminal, working directory, limits, groups, ids, capabilities, filter; exec
//! ```
//!
//! The parent stays where it was in all else, so that it can write what it was told to write there.

use nix::sched::CloneFlags;
use nix::unistd::geteuid;

use super::seccomp::Supervisor;
use super::{Setting, hooks, line, load_filter, process, tree};
use crate::cgroup::{Group, Version};
use crate::enter::Target;
use crate::error::{Error, Result};
use crate::namespace::{CLONE_NEWTIME, flags};
use crate::oci::making::Making;
use crate::oci::spec::Spec;
use crate::plan::steps::attributes::CloseOnExec;
use crate::plan::steps::cgroup::{JoinGroup, OpenGroup};
use crate::plan::steps::enter::{Hide, HoldTarget, Join, Pass};
use crate::plan::steps::own_binary::KeepOwnBinary;
use crate::plan::steps::process::DeathSignal;
use crate::plan::steps::root::Chdir;
use crate::plan::steps::schedule::SetAffinity;
use crate::plan::steps::scope::AttachToUnit;
use crate::plan::steps::terminal::{NewSession, TakeTerminal};
use crate::plan::{Command, Exec, Fork, Own, Plan, Slot};
use crate::process::{Signals, Wait};

/// A program that is to join a container.
#[derive(Debug)]
pub(crate) struct Joining<'a> {
    /// The container's first process.
    pub target: Target,
    /// The container, with the program as its `process`.
    pub spec: &'a Spec,
    /// When the program is one of our own applets, run by descriptor.
    pub own_binary: Option<Own>,
    /// The groups that it joins.
    pub groups: Vec<Group>,
    /// How it gets into them, if it may not by itself.
    pub attach: Option<AttachToUnit>,
    /// What the caller decides.
    pub making: &'a Making,
    /// Our standard input goes to its terminal.
    pub input: bool,
    /// The container's name, and its bundle.
    pub named: (&'a str, &'a str),
}

/// The plan of a program that joins a container.
///
/// # Errors
/// For a process that cannot be meant.
pub(crate) fn join(joining: Joining<'_>) -> Result<Plan> {
    let Joining {
        target,
        spec,
        own_binary,
        groups,
        attach,
        making,
        input,
        named: (id, bundle),
    } = joining;
    let args = spec.process.args.iter().cloned();
    let command = Command::new(args).ok_or_else(|| Error::new("no program given"))?;
    let exec = Exec::new(command, super::each_once(&spec.process.env))
        .said_in_scripts()
        .failing_with("cannot execute")
        .binaries_only();
    let setting = Setting {
        input,
        making: Some(making),
        landlock: making.landlock.as_ref(),
        ..Setting::default()
    };
    let mut plan = Plan::new(exec);
    if let Some(when) = own_binary {
        let slot = plan.slot();
        plan.then(KeepOwnBinary { slot });
        plan.run_from_own_binary(slot, when);
    }
    let terminal = spec.process.terminal.then(|| line(&mut plan, setting));
    plan.wait(Wait {
        signals: match making.detached {
            true => Signals::Natural,
            false => Signals::Proxy,
        },
        terminal: terminal.and_then(|line| line.relay),
    });
    let state = || hooks::state_of(spec, id.to_owned(), bundle.to_owned());
    let supervisor = Supervisor::connect(&mut plan, spec, "running", state);
    let supervisor = supervisor.as_ref();
    let [before, after] = process::affinity(&spec.process)?;
    if let Some(step) = before {
        plan.then(step);
    }
    enter(
        &mut plan,
        target,
        (groups, attach),
        after,
        making,
        supervisor,
    )?;
    plan.then(NewSession);
    if let Some(line) = terminal {
        let multiplexer = match tree::has_own_terminals(spec) {
            true => "/dev/pts/ptmx",
            false => "/dev/ptmx",
        };
        process::open_terminal(&mut plan, spec, line, multiplexer);
        plan.then(TakeTerminal {
            peer: line.peer,
            session: false,
        });
    }
    plan.then(Chdir {
        dir: spec.process.cwd.clone(),
        create: false,
    });
    process::privileges(&mut plan, spec, setting, supervisor)?;
    plan.then(CloseOnExec {
        but: making.preserve,
    });
    if spec.process.no_new_privileges {
        load_filter(&mut plan, spec, supervisor)?;
    }
    Ok(plan)
}

/// Into the groups and the namespaces.
fn enter(
    plan: &mut Plan,
    target: Target,
    (groups, attach): (Vec<Group>, Option<AttachToUnit>),
    affinity: Option<SetAffinity>,
    making: &Making,
    supervisor: Option<&Supervisor>,
) -> Result<()> {
    let pid = target.pid();
    let kinds = flags(&target.other_kinds()?);
    // What is for children alone, and what a process that shares memory may not join; an ordinary user gets the
    // privilege for it by joining the user namespace.
    let mut first = kinds & (CloneFlags::CLONE_NEWPID | CLONE_NEWTIME);
    if !geteuid().is_root() {
        first |= kinds & CloneFlags::CLONE_NEWUSER;
    }
    let pidfd = plan.slot();
    plan.then(HoldTarget {
        target,
        slot: pidfd,
    });
    let (v2, v1): (Vec<Group>, Vec<Group>) = groups
        .into_iter()
        .partition(|group| group.hierarchy.version == Version::V2);
    let group = v2.into_iter().next().filter(|_| attach.is_none());
    let born_in = group.map(|group| {
        let slot = plan.slot();
        plan.then(OpenGroup {
            group: group.seat(),
            slot,
        });
        slot
    });
    plan.then(Hide);
    plan.then(pass(Pass::Last, pid, pidfd, first));
    plan.fork(Fork {
        namespaces: CloneFlags::empty(),
        cgroup: born_in,
        why: "a PID namespace takes in only those who are born there".into(),
        without: "the program would go on under a number of our own PID namespace".into(),
    });
    if let Some(supervisor) = supervisor {
        supervisor.note(plan);
    }
    if making.dies_with_maker() {
        plan.then(DeathSignal {
            signal: libc::SIGKILL,
        });
    }
    if let Some(attach) = attach {
        plan.outside(attach);
    }
    for group in v1 {
        plan.then(JoinGroup::new(group, true));
    }
    if let Some(step) = affinity {
        plan.then(step);
    }
    plan.then(pass(Pass::Outside, pid, pidfd, kinds - first));
    plan.then(pass(Pass::Last, pid, pidfd, kinds - first));
    Ok(())
}

fn pass(pass: Pass, pid: nix::unistd::Pid, pidfd: Slot, kinds: CloneFlags) -> Join {
    Join {
        pass,
        target: Some((pid, pidfd, kinds)),
        opened: Vec::new(),
    }
}
