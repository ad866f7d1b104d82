//! pid1: the first process of a PID namespace, as tini and catatonit are. No tool of util-linux; the word for
//! `container run --init` and `unshare --init` in a script.

use argh::{ArgsInfo, FromArgs};
use isobox::error::{Error, Result};
use isobox::plan::steps::terminal::Foreground;
use isobox::plan::{Command, Fork, Own, Plan};
use isobox::process::{Signals, Wait};
use nix::sched::CloneFlags;

use crate::cli::plan::{Explain, environment, exec, keep_own_binary, perform};
use crate::cli::raw::{Raw, words};
use crate::cli::{Applet, Exit};

/// be the first process of a PID namespace: pass signals on, collect what ends
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "pid1",
    example = "unshare -pf --mount-proc pid1 sleep 100",
    note = "Ends as the program ends; 128 and the signal's number where a signal ended it. The kernel then ends whatever else is left in the PID namespace.",
    error_code(125, "a failure of pid1 itself"),
    error_code(126, "the program was found but could not be executed"),
    error_code(127, "the program was not found")
)]
pub(crate) struct Args {
    /// tell what would be done and do nothing; json for programs, run to tell while doing
    #[argh(option, arg_name = "[=how]")]
    explain: Option<Explain>,
    /// the program and its arguments
    #[argh(positional, greedy)]
    program: Vec<Raw>,
}

impl Applet for Args {
    fn run(self) -> Result<Exit> {
        let command = Command::new(words(self.program))
            .ok_or_else(|| Error::new("no program given").status(125))?;
        let mut plan = Plan::new(exec(command, environment()));
        keep_own_binary(&mut plan, Own::StandsIn);
        plan.fork(Fork {
            namespaces: CloneFlags::empty(),
            cgroup: None,
            why: "the program is not to be process 1: that one has duties which it may not know"
                .into(),
            without: "the program would get no SIGTERM, and zombies would stay".into(),
        });
        plan.then(Foreground);
        plan.wait(Wait {
            signals: Signals::Init,
            ..Wait::default()
        });
        match perform(&plan, self.explain).map_err(|error| error.or_status(125))? {
            Exit::Signal(signal) => Ok(Exit::Status(u8::try_from(128 + signal).unwrap_or(u8::MAX))),
            exit => Ok(exit),
        }
    }
}
