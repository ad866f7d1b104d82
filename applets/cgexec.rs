//! cgexec(1): run a program in a control group. libcgroup's command line; the group is made if it is not there,
//! and limits can be set in the same line.

use argh::{ArgsInfo, FromArgs};
use isobox::cgroup::fresh::fresh_name;
use isobox::cgroup::limits::Limits;
use isobox::cgroup::{Hierarchies, Setting, group_path};
use isobox::error::{Error, Result};
use isobox::namespace::Kind;
use isobox::plan::confine::{Confinement, Member, Place};
use isobox::plan::steps::namespaces::Unshare;
use isobox::plan::{Command, Fork, Own, Plan};
use isobox::process::{Signals, Wait};
use nix::sched::CloneFlags;

use crate::cli::plan::{Explain, environment, exec, keep_own_binary, perform};
use crate::cli::raw::{Raw, words};
use crate::cli::{Applet, Exit, gnu};

/// run a program in a control group, with limits
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "cgexec",
    example = "cgexec --memory 100M --pids 64 sh",
    example = "cgexec -g memory,pids:demo -r memory.max=100M sh",
    note = "Without -g the program gets a fresh group below the caller's, which is removed afterwards.",
    note = "Names and values are those of cgroup v2; v1's are understood, and v1 hierarchies are served.",
    note = "A memory limit limits swap to nothing, unless --swap says otherwise.",
    error_code(125, "a failure of cgexec itself"),
    error_code(126, "the program cannot be executed"),
    error_code(127, "the program is not there")
)]
pub(crate) struct Args {
    /// run in the group PATH of these controllers, separated by commas (* means all, none means v2 alone); may be
    /// repeated
    #[argh(option, short = 'g', arg_name = "controllers:path")]
    group: Vec<At>,
    /// set NAME=VALUE in the group; may be repeated
    #[argh(option, short = 'r', arg_name = "name=value")]
    set: Vec<Set>,
    /// limit memory to this many bytes (100M)
    #[argh(option, short = 'm', arg_name = "size")]
    memory: Option<String>,
    /// let it have this much swap, or max; without this a memory limit means no swap
    #[argh(option, arg_name = "size")]
    swap: Option<String>,
    /// limit CPU time to this many CPUs (1.5), or to a part of one (20%)
    #[argh(option, arg_name = "cpus")]
    cpus: Option<String>,
    /// the same as --cpus
    #[argh(option, arg_name = "cpus")]
    cpu: Option<String>,
    /// the share of CPU time against the groups beside it, 1 to 10000 (100); it counts where they want the same CPU
    #[argh(option, arg_name = "weight")]
    weight: Option<String>,
    /// the CPUs it may run on (0-1,4)
    #[argh(option, arg_name = "list")]
    cpuset: Option<String>,
    /// how many processes and threads it may have
    #[argh(option, arg_name = "count")]
    pids: Option<String>,
    /// limit io, as DEVICE:rbps=1M,wiops=100 (a path stands for the disk it is on)
    #[argh(option, arg_name = "device:limits")]
    io: Vec<String>,
    /// out of memory, end all processes of the group and not just one
    #[argh(switch)]
    oom_group: bool,
    /// run in a cgroup namespace whose root is the group
    #[argh(switch)]
    ns: bool,
    /// remove the group when the program has ended
    #[argh(switch)]
    rm: bool,
    /// paths count from the root of the hierarchy; they always do
    #[argh(switch, short = 'b')]
    #[allow(dead_code, reason = "libcgroup's word for what is always so here")]
    from_root: bool,
    /// keep a rules daemon from moving the children; there is none that would
    #[argh(switch, short = 's')]
    #[allow(dead_code, reason = "as above")]
    sticky: bool,
    /// tell what would be done and do nothing; json for programs, run to tell while doing
    #[argh(option, arg_name = "[=how]")]
    explain: Option<Explain>,
    /// the program and its arguments
    #[argh(positional, greedy)]
    program: Vec<Raw>,
}

/// `CONTROLLERS:PATH`.
pub(super) struct At(pub(super) Place);

impl argh::FromArgValue for At {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        let (controllers, path) = value
            .split_once(':')
            .ok_or_else(|| gnu::bad(format!("no CONTROLLERS:PATH in '{value}'")))?;
        let controllers = controllers
            .split(',')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        let path = group_path(path.as_ref()).map_err(gnu::bad)?;
        Ok(Self(Place { controllers, path }))
    }
}

/// `NAME=VALUE`.
pub(super) struct Set(pub(super) Setting);

impl argh::FromArgValue for Set {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        Setting::parse(value).map(Self).map_err(gnu::bad)
    }
}

impl Applet for Args {
    fn run(mut self) -> Result<Exit> {
        let explain = self.explain;
        let plan = self.plan().map_err(|error| error.status(OWN_FAILURE))?;
        perform(&plan, explain).map_err(|error| {
            if error.exit_status() == 1 {
                error.status(OWN_FAILURE)
            } else {
                error
            }
        })
    }
}

/// The status of our own failure before the program, as `env` and `chroot` have it.
const OWN_FAILURE: u8 = 125;

impl Args {
    /// Every limit asked for.
    fn settings(&mut self) -> Result<Vec<Setting>> {
        let limits = Limits {
            memory: self.memory.take(),
            swap: self.swap.take(),
            cpus: self.cpus.take().or(self.cpu.take()),
            weight: self.weight.take(),
            cpuset: self.cpuset.take(),
            pids: self.pids.take(),
            io: std::mem::take(&mut self.io),
            oom_group: self.oom_group,
        };
        limits.settings(self.set.drain(..).map(|set| set.0))
    }

    fn plan(&mut self) -> Result<Plan> {
        let command = Command::new(words(std::mem::take(&mut self.program)))
            .ok_or_else(|| Error::new("no program given"))?;
        let settings = self.settings()?;
        let all = Hierarchies::discover()?;
        let places: Vec<Place> = self.group.drain(..).map(|at| at.0).collect();
        let confinement = match &places[..] {
            [] => Confinement::fresh(&all, &fresh_name(), settings)?,
            places => Confinement::new(&all, places, settings)?,
        };
        let mut plan = Plan::new(exec(command, environment()));
        keep_own_binary(&mut plan, Own::Always);
        // Where the group is to go afterwards somebody must wait; else the program takes our place, pid and all.
        let stays = !self.rm && !places.is_empty();
        let slot = confinement.prepare(&mut plan, stays)?;
        let member = if stays {
            Member::This
        } else {
            Member::Child(slot)
        };
        if !stays {
            plan.fork(Fork {
                namespaces: CloneFlags::empty(),
                cgroup: slot,
                why: "somebody must wait to remove the group; the child is born in it".into(),
                without: "the empty group would stay behind".into(),
            });
            plan.wait(Wait {
                signals: Signals::Forward,
                ..Wait::default()
            });
        }
        confinement.join(&mut plan, member);
        if self.ns {
            plan.then(Unshare {
                namespaces: Kind::Cgroup.flag(),
            });
        }
        Ok(plan)
    }
}
