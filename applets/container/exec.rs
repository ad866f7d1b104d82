//! container exec: one more program in a container that runs.

use std::ffi::OsString;
use std::path::PathBuf;

use argh::{ArgsInfo, FromArgs};
use isobox::accounts::Accounts;
use isobox::credentials::identity;
use isobox::error::{Doing, Error, Result};
use isobox::oci::lifecycle::{Container, Exec, Refusal};
use isobox::oci::making::Making;
use isobox::oci::{Capabilities, Spec, User};
use isobox::plan::{Outcome, Quiet};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, geteuid};

use super::kept::{Shelf, refused};
use super::landlock;
use super::start::Keys;
use super::values::{absolute_inside, env_file, set_variable};
use crate::cli::Exit;
use crate::cli::plan::{Explain, observer, own_applet, tell};
use crate::cli::raw::{Raw, words};

/// run a program in a container that runs
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "exec",
    example = "container exec -it web sh",
    note = "A program that has the name of one of our applets is that applet, whether the container has such a file or not: container exec web lsns."
)]
pub(super) struct Join {
    /// connect our standard input; without it the program's is empty
    #[argh(switch, short = 'i')]
    interactive: bool,
    /// give it a terminal of its own
    #[argh(switch, short = 't')]
    tty: bool,
    /// come back when it runs; what it writes goes nowhere
    #[argh(switch, short = 'd')]
    detach: bool,
    /// the keys that leave it alone (ctrl-p,ctrl-q)
    #[argh(option, arg_name = "keys")]
    detach_keys: Option<Keys>,
    /// run as this user and group, by name (of the container's own /etc/passwd) or number
    #[argh(option, short = 'u', arg_name = "user[:group]")]
    user: Option<Raw>,
    /// start in this directory
    #[argh(option, short = 'w', arg_name = "dir")]
    workdir: Option<Raw>,
    /// set this variable; NAME alone takes it from our environment
    #[argh(option, short = 'e', arg_name = "name=value")]
    env: Vec<Raw>,
    /// set the variables of this file, a line each
    #[argh(option, arg_name = "file")]
    env_file: Vec<Raw>,
    /// take nothing from it, as docker does (refused: there is no such mode)
    #[argh(switch)]
    privileged: bool,
    /// tell what would be done and do nothing; json for programs, run to tell while doing
    #[argh(option, arg_name = "[=how]")]
    explain: Option<Explain>,
    /// the container, the program and its arguments
    #[argh(positional, greedy)]
    container: Vec<Raw>,
}

/// docker's status of a program that is there, but cannot be started as it was asked for.
const NOT_STARTED: u8 = 126;

impl Join {
    pub(super) fn run(mut self) -> Result<Exit> {
        if self.privileged {
            return Err(Error::new("--privileged is not there")
                .because("it would take all protection away at once")
                .hint("nsenter -t PID -a enters a container with all that its caller may"));
        }
        self.check()?;
        let mut program = std::mem::take(&mut self.container).into_iter();
        let none = || Error::new("a container and a program are expected").status(125);
        let container = program.next().ok_or_else(none)?;
        let args = words(program.collect());
        if args.is_empty() {
            return Err(none());
        }
        let own_binary = own_applet(&args);
        let shelf = Shelf::ours();
        let home = shelf.find(&container)?;
        let live = shelf.running(&home)?;
        let spec = self.spec(&live, args)?;
        let exec = Exec {
            spec: &spec,
            making: Making {
                detached: self.detach,
                // Its terminal hangs up on it, if nobody holds that.
                may_leave: self.tty,
                landlock: landlock::words(home.fact("landlock"), landlock::Whose::Joining)?,
                ..Making::default()
            },
            input: self.interactive,
            leave: match self.tty && (self.interactive || self.detach) {
                true => self.detach_keys.take().unwrap_or_default().0,
                false => Vec::new(),
            },
            below: Vec::new(),
            ignore_paused: false,
            own_binary,
            pid_file: None,
            pidfd_socket: None,
        };
        let named = |refusal| match refusal {
            Refusal::Failed(error) => error.or_status(NOT_STARTED),
            other => refused(&home, other),
        };
        if let Some(how) = self.explain.filter(|how| *how != Explain::Run) {
            return tell(&live.joining(&exec).map_err(named)?, how);
        }
        self.standard_descriptors()?;
        let observer = match self.explain {
            None => &Quiet,
            narrated => observer(narrated),
        };
        match live.exec(&exec, observer).map_err(named)? {
            Outcome::Exited(status) => Ok(Exit::Status(status)),
            Outcome::Killed(signal) => {
                Ok(Exit::Status(u8::try_from(128 + signal).unwrap_or(u8::MAX)))
            }
        }
    }

    /// What has no effect where it stands is an error.
    fn check(&self) -> Result<()> {
        let typed = self.interactive && self.tty;
        let (option, why) = if self.detach_keys.is_some() && (self.detach || !typed) {
            (
                "--detach-keys",
                "nobody types to a terminal of it, without -it or with -d",
            )
        } else if self.detach && self.interactive && !self.tty {
            (
                "-i",
                "with -d nobody is there to type; -t gives it a terminal all the same",
            )
        } else {
            return Ok(());
        };
        Err(Error::new(format!("{option} has no effect here")).because(why))
    }

    fn standard_descriptors(&self) -> Result<()> {
        let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty());
        let null = null.doing_to("cannot open", "/dev/null")?;
        if self.detach || !self.interactive {
            dup2_stdin(&null).doing("cannot replace standard input")?;
        }
        if self.detach {
            let output = dup2_stdout(&null).and(dup2_stderr(&null));
            output.doing("cannot replace standard output")?;
        }
        Ok(())
    }

    /// The container's own process, with what was asked for.
    fn spec(&mut self, live: &Container, args: Vec<OsString>) -> Result<Spec> {
        let mut spec = live.spec()?;
        let process = &mut spec.process;
        process.args = args;
        process.terminal = self.tty;
        process.console_size = None;
        if !geteuid().is_root() {
            // It hides while it goes in, and what hides may not write there.
            process.oom_score_adj = None;
        }
        if let Some(Raw(dir)) = &self.workdir {
            process.cwd = absolute_inside("working directory", dir)?;
        }
        for Raw(file) in &self.env_file {
            env_file(&mut process.env, file)?;
        }
        for Raw(entry) in &self.env {
            set_variable(&mut process.env, entry)?;
        }
        if let Some(Raw(user)) = &self.user {
            let root = PathBuf::from(format!("/proc/{}/root", live.record().init_process_pid));
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let root =
                open(&root, flags, Mode::empty()).doing("cannot open the container's root")?;
            let mut accounts = Accounts::of_root(root);
            let who =
                identity(user, &mut accounts).map_err(|error| error.or_status(NOT_STARTED))?;
            // Root's may have been emptied for the user that the container has.
            let kept = process.capabilities.bounding.set;
            process.capabilities = Capabilities::of_root(kept);
            let one_group = spec
                .linux
                .gid_mappings
                .iter()
                .map(|map| map.size)
                .sum::<u32>()
                == 1;
            let additional_gids = match one_group {
                true => Vec::new(),
                false => [vec![who.gid], who.groups].concat(),
            };
            spec.run_as(User {
                uid: who.uid,
                gid: who.gid,
                umask: Some(0o022),
                additional_gids,
            });
        }
        Ok(spec)
    }
}
