//! The compiler: a [`Spec`] to a plan.
//!
//! The order is that of the script which the plan can be written down as: first what `unshare` says, then
//! `pivot`, then `setpriv`. It is also the order that the kernel wants: ids after mounts, capabilities after ids.
//!
//! ```text
//! parent   where there are limits: its control group
//!          clone3 with every namespace at once
//! child    dies with its parent; joins its control group where it was not born in it; ids mapped; session; hostname; lo
//!          root, mounts, devices, masks, pivot, terminal, working directory
//!          limits, keyring, groups, ids, capabilities, no_new_privs; nothing inherited by accident; exec
//! ```

use nix::mount::MsFlags;
use nix::unistd::Pid;

use super::making::Making;
use super::resources;
use super::spec::{IdMapping, Mount, Namespace, Spec};
use crate::cgroup::{Hierarchies, group_path};
use crate::error::{Error, Result};
use crate::idmap::{Ids, Range};
use crate::mount::Options;
use crate::namespace::{Kind, flags};
use crate::plan::confine::{Confinement, Member, Place};
use crate::plan::steps::attributes::{
    CloseOnExec, DefaultSignals, NewSessionKeyring, NotDumpable, OomScoreAdjust, ParentDeathSignal,
    SetLimit, Umask,
};
use crate::plan::steps::capabilities::{Capabilities, KeepCapabilities, NoNewPrivs};
use crate::plan::steps::credentials::{SetGid, SetGroups, SetUid};
use crate::plan::steps::devices::{DeviceNodes, Node, Symlinks};
use crate::plan::steps::idmap::{RunIdMapper, SetgroupsControl, WriteMap};
use crate::plan::steps::masks::{Mask, ReadOnlyPaths, RootReadOnly};
use crate::plan::steps::mounts::{self, Bind, Propagation, Source};
use crate::plan::steps::namespaces::Unshare;
use crate::plan::steps::net::LoopbackUp;
use crate::plan::steps::own_binary::KeepOwnBinary;
use crate::plan::steps::process::DeathSignal;
use crate::plan::steps::root::{BindRoot, Chdir, PivotInto};
use crate::plan::steps::start::{ConnectConsole, FindProgram};
use crate::plan::steps::terminal::{
    BindConsole, NewSession, NullInput, OpenTerminal, TakeTerminal, TerminalLine,
};
use crate::plan::steps::tree::{RootNoDevices, ThrowAwayRoot};
use crate::plan::steps::uts::SetHostname;
use crate::plan::{Command, Exec, Fork, Plan, Slot};
use crate::process::{Signals, Terminal, Wait};
use crate::rlimit::{Limit, named};

/// What a caller decides besides the spec.
#[derive(Debug, Clone, Copy, Default)]
pub struct Setting<'a> {
    /// Our standard input goes to the program; without, it gets an empty one.
    pub input: bool,
    /// The program is one of our own applets, run by descriptor.
    pub own_binary: bool,
    /// `process.oomScoreAdj` is what the program is to have at the least.
    pub oom_score_at_least: bool,
    /// What is kept of it; without, nothing is, and it ends with its caller.
    pub making: Option<&'a Making>,
}

/// The plan of a container.
///
/// # Errors
/// For a spec that cannot be meant: no program, a mount option that does not exist.
pub fn compile(spec: &Spec, setting: Setting<'_>) -> Result<Plan> {
    let command = Command::new(spec.process.args.iter().cloned())
        .ok_or_else(|| Error::new("no program given"))?;
    let exec = Exec::new(command, spec.process.env.clone())
        .said_in_scripts()
        .failing_with("cannot execute");
    let exec = match setting.making {
        Some(_) => exec.binaries_only(),
        None => exec,
    };
    let find = setting.making.filter(|making| making.detached);
    let find = find.map(|_| FindProgram(exec.clone()));
    let mut plan = Plan::new(exec);
    plan.reserve(48);
    if setting.own_binary {
        let slot = plan.slot();
        plan.then(KeepOwnBinary { slot });
        plan.run_from_own_binary(slot);
    }
    let own_groups = match setting.making {
        Some(_) => None,
        None => confinement(spec)?,
    };
    let kept_groups = setting
        .making
        .and_then(|making| making.confinement.as_ref());
    let confinement = kept_groups.or(own_groups.as_ref());
    let born_in = match confinement {
        // What is kept says which groups it has, so that they are removed with it.
        Some(confinement) => confinement.prepare(&mut plan, setting.making.is_some())?,
        None => None,
    };
    let listener = setting.making.and_then(|making| making.prepare(&mut plan));
    let terminal = spec.process.terminal.then(|| make_line(&mut plan, setting));
    let detached = setting.making.is_some_and(|making| making.detached);
    plan.wait(Wait {
        signals: if detached {
            Signals::Natural
        } else {
            Signals::Proxy
        },
        terminal: terminal.filter(|_| !detached),
    });
    namespaces(&mut plan, spec, confinement, born_in);
    plan.then(NewSession);
    if !setting.input && terminal.is_none() {
        plan.then(NullInput);
    }
    let root = tree(&mut plan, spec)?;
    plan.then(PivotInto {
        root,
        put_old: None,
    });
    if let Some(terminal) = terminal {
        take_terminal(&mut plan, spec, terminal);
    }
    if spec.process.cwd.as_os_str() != "/" {
        plan.then(Chdir {
            dir: spec.process.cwd.clone(),
            create: true,
        });
    }
    privileges(&mut plan, spec, setting)?;
    if let Some(find) = find {
        plan.then(find);
    }
    if let Some(making) = setting.making {
        making.part(&mut plan, listener);
    }
    Ok(plan)
}

fn make_line(plan: &mut Plan, setting: Setting<'_>) -> Terminal {
    let (ours, theirs) = (plan.slot(), plan.slot());
    let input = setting.input;
    if let Some(path) = setting.making.and_then(|making| making.console.clone()) {
        plan.then(ConnectConsole { path, slot: theirs });
        return Terminal {
            ours,
            theirs,
            input,
        };
    }
    plan.then(TerminalLine {
        ours,
        theirs,
        input,
    });
    Terminal {
        ours,
        theirs,
        input,
    }
}

/// The control groups of a container that has limits, or was given a place among them.
fn confinement(spec: &Spec) -> Result<Option<Confinement>> {
    let linux = &spec.linux;
    let settings = resources::settings(&linux.resources)?;
    if linux.cgroups_path.as_os_str().is_empty() {
        if settings.is_empty() {
            return Ok(None);
        }
        let name = format!("isobox-{}", Pid::this());
        return Confinement::fresh(&Hierarchies::discover()?, &name, settings).map(Some);
    }
    let place = Place {
        controllers: Vec::new(),
        path: group_path(linux.cgroups_path.as_os_str())?,
    };
    Confinement::new(&Hierarchies::discover()?, &[place], settings).map(Some)
}

fn namespaces(
    plan: &mut Plan,
    spec: &Spec,
    confinement: Option<&Confinement>,
    born_in: Option<Slot>,
) {
    let kinds: Vec<Kind> = spec
        .linux
        .namespaces
        .iter()
        .filter_map(Namespace::kind)
        .collect();
    let kinds = &kinds;
    // The root of a cgroup namespace is where its maker is: it is made when we are where we are to be.
    let own_root = confinement.is_some() && kinds.contains(&Kind::Cgroup);
    let mut at_birth = flags(kinds);
    at_birth.set(
        Kind::Cgroup.flag(),
        kinds.contains(&Kind::Cgroup) && !own_root,
    );
    plan.fork(Fork {
        namespaces: at_birth,
        cgroup: born_in,
        why: "the container's first process, in namespaces of its own from its first moment".into(),
        without: "it would see and change what belongs to the host".into(),
    });
    plan.then(DeathSignal {
        signal: libc::SIGKILL,
    });
    if let Some(confinement) = confinement {
        confinement.join(plan, Member::Child(born_in));
    }
    if own_root {
        plan.then(Unshare {
            namespaces: Kind::Cgroup.flag(),
        });
    }
    if kinds.contains(&Kind::User) {
        maps(plan, spec);
    }
    plan.then(Propagation {
        kind: MsFlags::MS_PRIVATE,
    });
    if kinds.contains(&Kind::Uts) {
        plan.then(SetHostname {
            name: spec.hostname.clone(),
        });
    }
    if kinds.contains(&Kind::Net) {
        plan.then(LoopbackUp);
    }
}

/// The maps of the user namespace. One's own id a process may map by itself; more takes a helper with privilege,
/// which the parent calls.
fn maps(plan: &mut Plan, spec: &Spec) {
    let linux = &spec.linux;
    let maps = [
        (Ids::User, ranges(&linux.uid_mappings)),
        (Ids::Group, ranges(&linux.gid_mappings)),
    ];
    let own = maps_of_self(spec);
    if own {
        plan.then(SetgroupsControl {
            allow: false,
            implied: true,
        });
    }
    for (ids, ranges) in maps {
        if own {
            plan.then(WriteMap { ids, ranges });
        } else {
            plan.outside(RunIdMapper { ids, ranges });
        }
    }
}

fn ranges(mappings: &[IdMapping]) -> Vec<Range> {
    mappings.iter().map(Range::from).collect()
}

/// Whether no other id than the caller's own exists inside, so that nobody else is needed to map it.
fn maps_of_self(spec: &Spec) -> bool {
    let linux = &spec.linux;
    let single = |map: &[IdMapping]| matches!(map, [one] if one.size == 1);
    single(&linux.uid_mappings) && single(&linux.gid_mappings)
}

/// The root with all that is in it.
fn tree(plan: &mut Plan, spec: &Spec) -> Result<Slot> {
    let root = plan.slot();
    let path = spec.root.path.clone();
    if spec.root.throw_away {
        plan.then(ThrowAwayRoot { path, slot: root });
    } else {
        plan.then(BindRoot { path, slot: root });
        plan.then(RootNoDevices { root });
    }
    for mount in &spec.mounts {
        add_mount(plan, root, mount)?;
    }
    plan.then(DeviceNodes {
        root,
        nodes: Node::standard(),
    });
    plan.then(Symlinks {
        root,
        links: Symlinks::standard(),
    });
    let linux = &spec.linux;
    plan.then(Mask {
        root,
        paths: linux.masked_paths.clone(),
    });
    plan.then(ReadOnlyPaths {
        root,
        paths: linux.readonly_paths.clone(),
    });
    if spec.root.readonly {
        plan.then(RootReadOnly { root });
    }
    Ok(root)
}

fn add_mount(plan: &mut Plan, root: Slot, mount: &Mount) -> Result<()> {
    let options = Options::new(mount.options.iter().cloned())?;
    let target = mount.destination.clone();
    if options.bind.is_some() {
        let source = Source::Path(mount.source.clone().into());
        plan.then(Bind {
            root,
            source,
            target,
            options,
        });
    } else {
        plan.then(mounts::Mount {
            root,
            source: mount.source.clone(),
            target,
            fstype: mount.kind.clone(),
            options,
        });
    }
    Ok(())
}

fn take_terminal(plan: &mut Plan, spec: &Spec, terminal: Terminal) {
    let peer = plan.slot();
    let uid = spec.process.user.uid;
    plan.then(OpenTerminal {
        multiplexer: "/dev/pts/ptmx",
        line: terminal.theirs,
        peer,
        owner: (uid != 0).then_some(uid),
    });
    plan.then(BindConsole { peer });
    plan.then(TakeTerminal {
        peer,
        session: false,
    });
}

/// From here on the process may do less with every step.
fn privileges(plan: &mut Plan, spec: &Spec, setting: Setting<'_>) -> Result<()> {
    let process = &spec.process;
    if let Some(value) = process.oom_score_adj {
        plan.then(OomScoreAdjust {
            value: i16::try_from(value).map_err(|_| bad("process.oomScoreAdj", value))?,
            at_least: setting.oom_score_at_least,
        });
    }
    // Its files in /proc belong to root from here on: what is written to them has been written.
    plan.then(NotDumpable);
    for limit in &process.rlimits {
        let resource =
            named(&limit.kind).ok_or_else(|| bad("process.rlimits[].type", &limit.kind))?;
        let (soft, hard) = (limit.soft, limit.hard);
        plan.then(SetLimit(Limit {
            resource,
            soft,
            hard,
        }));
    }
    if !setting.making.is_some_and(|making| making.keep_keyring) {
        plan.then(NewSessionKeyring);
    }
    if let Some(mask) = process.user.umask {
        plan.then(Umask { mask });
    }
    let user = &process.user;
    // Without a choice of groups there is one id of each kind, which is the process's already.
    if !maps_of_self(spec) {
        if user.uid != 0 {
            plan.then(KeepCapabilities);
        }
        plan.then(SetGroups {
            groups: user.additional_gids.clone(),
        });
        plan.then(SetGid::all(user.gid));
        plan.then(SetUid::all(user.uid));
    }
    let caps = &process.capabilities;
    plan.then(Capabilities::exactly(
        caps.bounding.set,
        caps.permitted.set,
        caps.inheritable.set,
        caps.ambient.set,
    ));
    if process.no_new_privileges {
        plan.then(NoNewPrivs);
    }
    if setting.making.is_none_or(Making::dies_with_maker) {
        // The changes of credentials have cleared the first.
        plan.then(ParentDeathSignal {
            signal: libc::SIGKILL,
        });
    }
    plan.then(DefaultSignals);
    plan.then(CloseOnExec {
        but: setting.making.map_or(0, |making| making.preserve),
    });
    Ok(())
}

/// A value that a field cannot have.
fn bad(field: &'static str, value: impl std::fmt::Display) -> Error {
    Error::new(format!("{field}: no such value: {value}"))
}
