//! unshare(1): run a program in namespaces of its own. util-linux's command line, and a few words more.

use argh::{ArgsInfo, FromArgs};
use isobox::error::Result;
use isobox::namespace::{self, Kind};
use isobox::plan::steps::mounts::Propagation;
use isobox::plan::steps::namespaces::Unshare;
use isobox::plan::{Fork, Plan};
use isobox::process::{Signals, Wait};
use nix::mount::MsFlags;

use crate::cli::plan::{Explain, command_or_shell, environment, exec, keep_own_binary, perform};
use crate::cli::raw::{Raw, words};
use crate::cli::{Applet, Exit};

/// run a program with some namespaces unshared from the parent
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "unshare", example = "unshare -r id -u", error_code(1, "a failure of unshare itself"))]
pub(crate) struct Args {
    /// unshare the mount namespace
    #[argh(option, short = 'm', arg_name = "[=file]")]
    mount: Option<Raw>,
    /// unshare the UTS namespace
    #[argh(option, short = 'u', arg_name = "[=file]")]
    uts: Option<Raw>,
    /// unshare the PID namespace
    #[argh(option, short = 'p', arg_name = "[=file]")]
    pid: Option<Raw>,
    /// fork before launching the program
    #[argh(switch, short = 'f')]
    fork: bool,
    /// tell what would be done and do nothing; json for programs, run to tell while doing
    #[argh(option, arg_name = "[=how]")]
    explain: Option<Explain>,
    /// the program and its arguments
    #[argh(positional, greedy)]
    program: Vec<Raw>,
}

impl Applet for Args {
    fn run(mut self) -> Result<Exit> {
        let explain = self.explain;
        perform(&self.plan()?, explain)
    }
}

impl Args {
    fn kinds(&self) -> Vec<Kind> {
        let asked = [(Kind::Mount, &self.mount), (Kind::Uts, &self.uts), (Kind::Pid, &self.pid)];
        asked.into_iter().filter(|(_, value)| value.is_some()).map(|(kind, _)| kind).collect()
    }

    fn plan(&mut self) -> Result<Plan> {
        let kinds = self.kinds();
        let command = command_or_shell(words(std::mem::take(&mut self.program)))?;
        let mut plan = Plan::new(exec(command, environment()));
        keep_own_binary(&mut plan);
        if !kinds.is_empty() {
            plan.then(Unshare { namespaces: namespace::flags(&kinds) });
        }
        if self.fork {
            plan.fork(Fork {
                namespaces: nix::sched::CloneFlags::empty(),
                cgroup: None,
                why: "the program is to be a child: the first one is PID 1 of a new PID namespace".into(),
                without: "unshare itself would become the program, and stay in its old PID namespace".into(),
            });
            plan.wait(Wait { signals: Signals::Hold, ..Wait::default() });
        }
        if kinds.contains(&Kind::Mount) {
            plan.then(Propagation { kind: MsFlags::MS_PRIVATE });
        }
        Ok(plan)
    }
}
