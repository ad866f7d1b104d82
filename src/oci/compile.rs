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
//!          session; host name; lo; sysctls
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
//! | `../resources.rs` | limits |

mod check;
mod namespaces;
mod process;
mod seccomp;
mod tree;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use nix::unistd::Pid;

use super::resources;
use super::spec::{self, Spec};
use crate::cgroup::{Hierarchies, group_path};
use crate::error::{Error, Result};
use crate::hook::Hook;
use crate::plan::confine::{Confinement, Place};
use crate::plan::steps::attributes::{CloseOnExec, ParentDeathSignal};
use crate::plan::steps::hooks::{RunHooks, StateJson};
use crate::plan::steps::own_binary::KeepOwnBinary;
use crate::plan::steps::root::PivotInto;
use crate::plan::steps::terminal::{ConnectConsole, NewSession, NullInput, TerminalLine};
use crate::plan::{Command, Exec, Plan, Slot};
use crate::process::{Signals, Terminal, Wait};

pub use seccomp::policy as seccomp_policy;

/// What a caller decides besides the spec.
#[derive(Clone, Default)]
pub struct Setting {
    /// Our standard input goes to the program; without, it gets an empty one.
    pub input: bool,
    /// The program is one of our own applets, run by descriptor.
    pub own_binary: bool,
    /// `process.oomScoreAdj` is what the program is to have at the least.
    pub oom_score_at_least: bool,
    /// The program outlives its parent.
    pub detached: bool,
    /// What was made of control groups stays when the program has ended: whoever keeps the container removes it.
    pub lasting_groups: bool,
    /// How many descriptors behind standard error the program gets.
    pub preserve_fds: u32,
    /// The program stays in the caller's session keyring.
    pub keep_keyring: bool,
    /// The socket that the program's terminal is sent to; our own terminal is relayed to it without.
    pub console_socket: Option<PathBuf>,
    /// Where paths of the spec start that do not start at `/`.
    pub bundle: PathBuf,
    /// The container's state, for hooks.
    pub state: Option<StateJson>,
    /// Adds what is to happen when all is ready but the program's last hooks, its filter over system calls and its exec:
    /// `create` takes leave there and waits for `start`.
    pub before_program: Option<Rc<dyn Fn(&mut Plan)>>,
}

/// The plan of a container.
///
/// # Errors
/// For a spec that cannot be meant or not be honoured here: no program, a mount option that does not exist.
pub fn compile(spec: &Spec, setting: &Setting) -> Result<Plan> {
    check::check(spec)?;
    let args = spec.process.args.iter().cloned();
    let command = Command::new(args).ok_or_else(|| Error::new("no program given"))?;
    let exec = Exec::new(command, spec.process.env.clone())
        .said_in_scripts()
        .failing_with("cannot execute");
    let mut plan = Plan::new(exec);
    plan.reserve(64);
    if setting.own_binary {
        let slot = plan.slot();
        plan.then(KeepOwnBinary { slot });
        plan.run_from_own_binary(slot);
    }
    let copies = tree::copy_outside(&mut plan, spec, setting)?;
    let confinement = confinement(spec)?;
    let born_in = match &confinement {
        Some(confinement) => confinement.prepare(&mut plan, setting.lasting_groups)?,
        None => None,
    };
    let terminal = spec.process.terminal.then(|| line(&mut plan, setting));
    plan.wait(Wait {
        signals: Signals::Proxy,
        terminal: terminal.as_ref().and_then(|line| line.relay),
    });
    namespaces::enter(&mut plan, spec, setting, confinement.as_ref(), born_in)?;
    plan.then(NewSession);
    if !setting.input && terminal.is_none() {
        plan.then(NullInput);
    }
    let root = tree::build(&mut plan, spec, setting, &copies)?;
    hooks_before_pivot(&mut plan, spec, setting);
    tree::finish(&mut plan, spec, root);
    let outside_terminal = terminal.filter(|_| !tree::has_own_terminals(spec));
    if let Some(line) = outside_terminal {
        process::open_terminal(&mut plan, spec, line, "/dev/ptmx");
    }
    plan.then(PivotInto {
        root,
        put_old: None,
    });
    tree::after_pivot(&mut plan, spec)?;
    if let Some(line) = terminal {
        if outside_terminal.is_none() {
            process::open_terminal(&mut plan, spec, line, "/dev/pts/ptmx");
        }
        process::take_terminal(&mut plan, line);
    }
    process::working_directory(&mut plan, spec);
    process::privileges(&mut plan, spec, setting)?;
    if setting.detached {
        plan.then(ParentDeathSignal { signal: 0 });
    }
    if let Some(add) = &setting.before_program {
        add(&mut plan);
    }
    add_hooks(
        &mut plan,
        setting,
        &START_CONTAINER,
        &spec.hooks.start_container,
    );
    plan.then(CloseOnExec);
    // Last where it can be: a filter may forbid what any other step does.
    if spec.process.no_new_privileges {
        load_filter(&mut plan, spec)?;
    }
    Ok(plan)
}

/// Loads the filter over system calls, where there is one.
fn load_filter(plan: &mut Plan, spec: &Spec) -> Result<()> {
    match &spec.linux.seccomp {
        Some(one) => seccomp::load(plan, one, spec.process.capabilities.bounding.set),
        None => Ok(()),
    }
}

/// The default profile over system calls, written out.
pub(super) fn default_seccomp(process: &spec::Process) -> spec::Seccomp {
    seccomp::written_out(process.capabilities.bounding.set)
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

fn line(plan: &mut Plan, setting: &Setting) -> Line {
    let peer = plan.slot();
    if let Some(path) = &setting.console_socket {
        let to = plan.slot();
        plan.then(ConnectConsole {
            path: path.clone(),
            slot: to,
        });
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
fn confinement(spec: &Spec) -> Result<Option<Confinement>> {
    let linux = &spec.linux;
    let no_path = linux.cgroups_path.as_os_str().is_empty();
    if no_path && linux.resources == spec::Resources::default() {
        return Ok(None);
    }
    let all = Hierarchies::discover()?;
    let settings = resources::settings(&linux.resources, &all)?;
    if no_path {
        let name = format!("isobox-{}", Pid::this());
        return Confinement::fresh(&all, &name, settings).map(Some);
    }
    let place = Place {
        controllers: Vec::new(),
        path: group_path(linux.cgroups_path.as_os_str())?,
    };
    Confinement::new(&all, &[place], settings).map(Some)
}

/// When and where hooks of a kind run.
struct Moment {
    kind: &'static str,
    place: &'static str,
    status: &'static str,
    outside: bool,
}

const PRESTART: Moment = Moment {
    kind: "prestart",
    place: "outside, before the root is entered",
    status: "creating",
    outside: true,
};
const CREATE_RUNTIME: Moment = Moment {
    kind: "createRuntime",
    ..PRESTART
};
const CREATE_CONTAINER: Moment = Moment {
    kind: "createContainer",
    place: "in the container's namespaces, before the root is entered",
    status: "creating",
    outside: false,
};
const START_CONTAINER: Moment = Moment {
    kind: "startContainer",
    place: "in the container, right before its program",
    status: "created",
    outside: false,
};

fn hooks_before_pivot(plan: &mut Plan, spec: &Spec, setting: &Setting) {
    let hooks = &spec.hooks;
    add_hooks(plan, setting, &PRESTART, &hooks.prestart);
    add_hooks(plan, setting, &CREATE_RUNTIME, &hooks.create_runtime);
    add_hooks(plan, setting, &CREATE_CONTAINER, &hooks.create_container);
}

fn add_hooks(plan: &mut Plan, setting: &Setting, moment: &Moment, hooks: &[spec::Hook]) {
    if hooks.is_empty() {
        return;
    }
    let state = setting.state.clone();
    let step = RunHooks {
        kind: moment.kind,
        place: moment.place,
        hooks: hooks.iter().map(Hook::from).collect(),
        state: state.unwrap_or_else(|| Rc::new(|_, _| "{}".to_owned())),
        status: moment.status,
    };
    if moment.outside {
        plan.outside(step);
    } else {
        plan.then(step);
    }
}

/// The search path of a hook that is given no environment.
const HOOK_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl From<&spec::Hook> for Hook {
    fn from(hook: &spec::Hook) -> Self {
        let or = |words: &[std::ffi::OsString], one: std::ffi::OsString| match words {
            [] => vec![one],
            words => words.to_vec(),
        };
        let seconds = hook.timeout.and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            path: hook.path.clone(),
            argv: or(&hook.args, hook.path.clone().into()),
            env: or(&hook.env, HOOK_PATH.into()),
            timeout: seconds.map(Duration::from_secs),
        }
    }
}

/// A value that a field cannot have.
fn bad(field: impl std::fmt::Display, value: impl std::fmt::Display) -> Error {
    Error::new(format!("{field}: no such value: {value}"))
}

#[cfg(test)]
mod tests;
