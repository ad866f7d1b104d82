//! switch_root(8): the end of an initramfs. Process 1 becomes the init of the root it has mounted.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use argh::{ArgsInfo, FromArgs};
use isobox::error::{Error, Result};
use isobox::plan::steps::mounts::Propagation;
use isobox::plan::steps::switch_root::{CheckInitramfs, Console, MoveMounts, TakeOver};
use isobox::plan::{Command, Plan};
use nix::mount::MsFlags;

use crate::cli::plan::{Explain, environment, exec, perform};
use crate::cli::raw::{Raw, words};
use crate::cli::{Applet, Exit};

/// switch to another filesystem as the root of the mount tree, and delete the initramfs that is left
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "switch_root",
    example = "exec switch_root /sysroot /sbin/init",
    note = "/dev, /proc, /sys and /run are taken along.",
    error_code(1, "a failure")
)]
pub(crate) struct Args {
    /// use this terminal of the new root for standard input, output and error
    #[argh(option, short = 'c', arg_name = "terminal")]
    console: Option<Raw>,
    /// tell what would be done and do nothing; json for programs, run to tell while doing
    #[argh(option, arg_name = "[=how]")]
    explain: Option<Explain>,
    /// the new root, a mount point
    #[argh(positional)]
    new_root: Raw,
    /// the program to become, a path in the new root, and its arguments
    #[argh(positional, greedy)]
    init: Vec<Raw>,
}

impl Applet for Args {
    fn run(self) -> Result<Exit> {
        let explain = self.explain;
        // All failures are one to switch_root(8), also those of the exec.
        perform(&self.plan()?, explain).map_err(|error| error.status(1))
    }
}

impl Args {
    fn plan(self) -> Result<Plan> {
        let Some(command) = Command::new(words(self.init)) else {
            return Err(Error::new("not enough arguments")
                .hint("try 'switch_root --help' for more information"));
        };
        // A path, as execv(3) takes it: a bare name is one in the root directory.
        let init: PathBuf = match command.program.as_bytes().contains(&b'/') {
            true => command.program.into(),
            false => [OsStr::new("/"), &command.program]
                .into_iter()
                .collect::<OsString>()
                .into(),
        };
        let command = Command {
            program: init.clone().into(),
            argv: command.argv,
        };
        let mut plan = Plan::new(exec(command, environment()).failing_with("failed to execute"));
        let root = plan.slot();
        plan.then(CheckInitramfs {
            new_root: self.new_root.into_path(),
            init,
            slot: root,
        });
        plan.then(Propagation {
            kind: MsFlags::MS_PRIVATE,
        });
        plan.then(MoveMounts { root });
        plan.then(TakeOver { root });
        if let Some(Raw(path)) = self.console {
            plan.then(Console { path: path.into() });
        }
        Ok(plan)
    }
}
