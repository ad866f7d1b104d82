//! The compiler: a [`Spec`] to a plan.
//!
//! The order is that of the script which the plan can be written down as: first what `unshare` says, then
//! `pivot`, then `setpriv`. It is also the order that the kernel wants: ids after mounts, capabilities after ids.
//!
//! ```text
//! parent   copies of mounts that only the parent can make; namespaces that the child is to be born in
//!          where there are limits: its control group
//!          clone3 with every new namespace at once
//! child    dies with its parent; joins its control group where it was not born in it; joins namespaces; ids mapped;
//!          host name; lo; session; sysctls
//!          root, mounts, devices, masks | hooks outside and in here | pivot, terminal, working directory
//!          limits, keyring, groups, ids, capabilities, no_new_privs
//!          (here `create` waits for `start`) | hooks in here | the filter over system calls; exec
//! ```
//!
//! | file | part |
//! |---|---|
//! | `check.rs` | what can be refused before anything is done |
//! | `namespaces.rs` | namespaces, id maps, names, clocks |
//! | `tree.rs` | the root and all that is mounted in it |
//! | `process.rs` | who runs the program, and what it may do |
//! | `seccomp.rs` | which system calls it may make |
//! | `hooks.rs` | programs that are run on the way |
//! | `../resources.rs` | limits |

mod check;
mod hooks;
mod join;
mod namespaces;
mod process;
mod seccomp;
mod tree;

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

use super::additions::Additions;
use super::making::Making;
use super::resources;
use super::spec::{self, Spec};
use crate::cgroup::fresh::fresh_name;
use crate::cgroup::{self, Hierarchies, group_path};
use crate::error::{Error, Result};
use crate::landlock::Domain;
use crate::namespace::Kind;
use crate::plan::confine::{Confinement, Place};
use crate::plan::steps::attributes::CloseOnExec;
use crate::plan::steps::own_binary::KeepOwnBinary;
use crate::plan::steps::root::PivotInto;
use crate::plan::steps::scope::AttachToUnit;
use crate::plan::steps::start::{Connect, FindProgram};
use crate::plan::steps::sysctl::ForbidUserNamespaces;
use crate::plan::steps::terminal::{NewSession, NullInput, TerminalLine};
use crate::plan::{Command, Exec, Own, Plan, Slot};
use crate::process::{Signals, Terminal, Wait};

pub use hooks::run as run_hooks;
pub(super) use join::{Joining, join};
pub(super) use namespaces::made_ahead;
pub use process::memory_policy_words;
use seccomp::Supervisor;
pub use seccomp::policy as seccomp_policy;

/// What a caller decides besides the spec.
#[derive(Debug, Clone, Copy, Default)]
pub struct Setting<'a> {
    /// Our standard input goes to the program; without, it gets an empty one.
    pub input: bool,
    /// When the program is one of our own applets, run by descriptor.
    pub own_binary: Option<Own>,
    /// `process.oomScoreAdj` is what the program is to have at the least.
    pub oom_score_at_least: bool,
    /// What is kept of it; without, nothing is, and it ends with its caller.
    pub making: Option<&'a Making>,
    /// What the plan gets besides.
    pub additions: Option<&'a Additions>,
    /// What the program gives up besides (landlock(7)).
    pub landlock: Option<&'a Domain>,
    /// In a user namespace of its own no other is made, as far as the kernel can be told so.
    pub forbids_user_namespaces: bool,
    /// Device nodes in the root work, as they do below runc; without, only those of `/dev` do.
    pub live_devices: bool,
    /// Where control groups are mounted, if the caller has looked.
    pub hierarchies: Option<&'a Hierarchies>,
    /// A user namespace with the ids of the container, if the caller has tried them.
    pub namespace: Option<&'a Rc<OwnedFd>>,
}

/// The plan of a container.
///
/// # Errors
/// For a spec that cannot be meant or not be honoured here: no program, a mount option that does not exist.
pub fn compile(spec: &Spec, setting: Setting<'_>) -> Result<Plan> {
    check::check(spec)?;
    let making = setting.making;
    let (exec, find) = program(spec, setting)?;
    let mut plan = Plan::new(exec);
    plan.reserve(64);
    let additions = setting.additions;
    Additions::add(additions.and_then(|all| all.before.as_ref()), &mut plan)?;
    if let Some(when) = setting.own_binary {
        let slot = plan.slot();
        plan.then(KeepOwnBinary { slot });
        plan.run_from_own_binary(slot, when);
    }
    let copies = tree::copy_outside(&mut plan, spec, setting.namespace)?;
    let own_groups = match making {
        Some(_) => None,
        None => confinement(spec, setting.hierarchies)?,
    };
    let kept_groups = making.and_then(|making| making.confinement.as_ref());
    let confinement = kept_groups.or(own_groups.as_ref());
    let seat = prepare_groups(&mut plan, making, confinement)?;
    let listener = making.and_then(|making| making.prepare(&mut plan));
    let terminal = spec.process.terminal.then(|| line(&mut plan, setting));
    let detached = making.is_some_and(|making| making.detached);
    plan.wait(Wait {
        signals: match detached {
            true => Signals::Natural,
            false => Signals::Proxy,
        },
        terminal: terminal.and_then(|line| line.relay).filter(|_| !detached),
    });
    let supervisor =
        Supervisor::connect(&mut plan, spec, "creating", || hooks::state(spec, making));
    let supervisor = supervisor.as_ref();
    namespaces::enter(&mut plan, spec, setting, confinement, seat, supervisor)?;
    Additions::add(additions.and_then(|all| all.networked.as_ref()), &mut plan)?;
    plan.then(NewSession);
    namespaces::settings(&mut plan, spec);
    if !setting.input && terminal.is_none() {
        plan.then(NullInput);
    }
    if setting.forbids_user_namespaces && spec.linux.makes(Kind::User) {
        plan.then(ForbidUserNamespaces);
    }
    let root = tree::build(
        &mut plan,
        spec,
        &copies,
        confinement.map(Confinement::hierarchies),
        setting.live_devices,
    )?;
    if let Some(add) = additions.and_then(|all| all.rooted.as_ref()) {
        add(&mut plan, root);
    }
    hooks::before_pivot(&mut plan, spec, making);
    tree::finish(&mut plan, spec, root);
    go_in(&mut plan, spec, root, terminal)?;
    process::privileges(&mut plan, spec, setting, supervisor)?;
    plan.then(CloseOnExec {
        but: making.map_or(0, |making| making.preserve),
    });
    if let Some(find) = find {
        plan.then(find);
    }
    if let Some(making) = making {
        making.part(&mut plan, listener);
    }
    hooks::before_program(&mut plan, spec, making);
    // Last where it can be: a filter may forbid what any other step does.
    if spec.process.no_new_privileges {
        load_filter(&mut plan, spec, supervisor)?;
    }
    Ok(plan)
}

/// Has the groups made. Gives how the child gets into that of v2: it is born there, or moved.
fn prepare_groups(
    plan: &mut Plan,
    making: Option<&Making>,
    confinement: Option<&Confinement>,
) -> Result<(Option<Slot>, Option<AttachToUnit>)> {
    let scope = making.and_then(|making| making.scope.as_ref());
    if let Some(scope) = scope {
        scope.prepare(plan);
    }
    let born_in = match confinement {
        // What is kept says which groups it has, so that they are removed with it.
        Some(confinement) => confinement.prepare(plan, making.is_some())?,
        None => None,
    };
    let attach = scope.and_then(|scope| scope.attach());
    Ok((born_in.filter(|_| attach.is_none()), attach))
}

/// What the plan ends in; where the program is started later, whether it is there is looked at before.
fn program(spec: &Spec, setting: Setting<'_>) -> Result<(Exec, Option<FindProgram>)> {
    let args = spec.process.args.iter().cloned();
    let command = Command::new(args).ok_or_else(|| Error::new("no program given"))?;
    let mut exec = Exec::new(command, each_once(&spec.process.env))
        .said_in_scripts()
        .failing_with("cannot execute");
    if setting.making.is_some() {
        exec = exec.binaries_only();
    }
    let later = setting.making.filter(|making| making.detached);
    let find = later.map(|_| FindProgram(exec.clone()));
    Ok((exec, find))
}

/// Each variable once, with the value said last, as runc hands them on: getenv(3) would find the first.
fn each_once(all: &[OsString]) -> Vec<OsString> {
    let is_last = |at: usize, entry: &OsString| {
        let name = entry.as_bytes().split_inclusive(|b| *b == b'=').next();
        let name = name.unwrap_or_default();
        let mut later = all.iter().skip(at + 1);
        !later.any(|later| later.as_bytes().starts_with(name))
    };
    let entries = all.iter().enumerate();
    let kept = entries.filter(|(at, entry)| is_last(*at, entry));
    kept.map(|(_, entry)| entry.clone()).collect()
}

/// Into the root, to the terminal that was made there, to the working directory.
fn go_in(plan: &mut Plan, spec: &Spec, root: Slot, terminal: Option<Line>) -> Result<()> {
    // Without terminals of its own it gets one of the host's.
    let foreign = terminal.filter(|_| !tree::has_own_terminals(spec));
    if let Some(line) = foreign {
        process::open_terminal(plan, spec, line, "/dev/ptmx");
    }
    plan.then(PivotInto {
        root,
        put_old: None,
    });
    tree::after_pivot(plan, spec)?;
    if let Some(line) = terminal {
        if foreign.is_none() {
            process::open_terminal(plan, spec, line, "/dev/pts/ptmx");
        }
        process::take_terminal(plan, line);
    }
    process::working_directory(plan, spec);
    Ok(())
}

/// Loads the filter over system calls, where there is one.
fn load_filter(plan: &mut Plan, spec: &Spec, supervisor: Option<&Supervisor>) -> Result<()> {
    match &spec.linux.seccomp {
        Some(one) => seccomp::load(
            plan,
            one,
            spec.process.capabilities.bounding.set,
            supervisor,
        ),
        None => Ok(()),
    }
}

/// The default profile over system calls, written out.
pub(super) fn default_seccomp(process: &spec::Process, architectures: &[String]) -> spec::Seccomp {
    seccomp::written_out(process.capabilities.bounding.set, architectures)
}

/// A terminal that is made inside.
#[derive(Debug, Clone, Copy)]
struct Line {
    /// Where its master is sent.
    to: Slot,
    /// Where the program's side of it is left.
    peer: Slot,
    /// How this process relays it; without, somebody else does.
    relay: Option<Terminal>,
}

fn line(plan: &mut Plan, setting: Setting<'_>) -> Line {
    let peer = plan.slot();
    if let Some(path) = setting.making.and_then(|making| making.console.clone()) {
        let to = plan.slot();
        plan.then(Connect::to_console(path, to));
        return Line {
            to,
            peer,
            relay: None,
        };
    }
    let (ours, theirs, input) = (plan.slot(), plan.slot(), setting.input);
    plan.then(TerminalLine {
        ours,
        theirs,
        input,
    });
    Line {
        to: theirs,
        peer,
        relay: Some(Terminal {
            ours,
            theirs,
            input,
        }),
    }
}

/// The control groups of a container that has limits, or was given a place among them.
fn confinement(spec: &Spec, known: Option<&Hierarchies>) -> Result<Option<Confinement>> {
    let linux = &spec.linux;
    let settings = resources::settings(&linux.resources)?;
    let needed = || settings.iter().map(cgroup::Setting::controller);
    let known = known.filter(|all| all.hold(needed()));
    let all = || known.map_or_else(|| Hierarchies::holding(needed()), |all| Ok(all.clone()));
    if linux.cgroups_path.as_os_str().is_empty() {
        if settings.is_empty() {
            return Ok(None);
        }
        return Confinement::fresh(&all()?, &fresh_name(), settings).map(Some);
    }
    let place = Place {
        controllers: Vec::new(),
        path: group_path(linux.cgroups_path.as_os_str())?,
    };
    Confinement::new(&all()?, &[place], settings).map(Some)
}

/// A value that a field cannot have.
fn bad(field: impl std::fmt::Display, value: impl std::fmt::Display) -> Error {
    Error::new(format!("{field}: no such value: {value}"))
}

#[cfg(test)]
mod tests;
