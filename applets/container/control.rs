//! container stop, kill, pause, unpause, restart, rm, wait, rename: what can be done to containers that are kept.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use argh::{ArgsInfo, FromArgs};
use isobox::decimal::decimal;
use isobox::error::{Error, Result};
use isobox::oci::attach::await_start;
use isobox::oci::home::Home;
use isobox::oci::lifecycle::{Answer, Container, Refusal};
use isobox::oci::status::wait_for_end;
use isobox::process::signal_number;
use nix::poll::PollTimeout;

use super::kept::{Now, Shelf, at_least_one, complain, each, refused, shown, until_idle};
use super::start::start;
use super::values::check_name;
use crate::cli::raw::Raw;
use crate::cli::{Exit, help};

/// end containers: ask first, and kill what does not end in time
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "stop", example = "container stop -t 2 web")]
pub(super) struct Stop {
    /// how many seconds to wait before it is killed
    #[argh(option, short = 't', long = "timeout", arg_name = "seconds")]
    timeout: Option<u32>,
    /// the signal to ask with
    #[argh(option, short = 's', arg_name = "signal")]
    signal: Option<String>,
    /// the containers
    #[argh(positional)]
    container: Vec<Raw>,
}

/// stop containers and start them again
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "restart")]
pub(super) struct Restart {
    /// how many seconds to wait before it is killed
    #[argh(option, short = 't', long = "timeout", arg_name = "seconds")]
    timeout: Option<u32>,
    /// the containers
    #[argh(positional)]
    container: Vec<Raw>,
}

/// send a signal to the first process of containers
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "kill")]
pub(super) struct Kill {
    /// the signal (KILL)
    #[argh(option, short = 's', arg_name = "signal")]
    signal: Option<String>,
    /// the containers
    #[argh(positional)]
    container: Vec<Raw>,
}

/// stop all processes of containers until they are resumed
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "pause")]
pub(super) struct Pause {
    /// the containers
    #[argh(positional)]
    container: Vec<Raw>,
}

/// let the processes of paused containers go on
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "unpause")]
pub(super) struct Unpause {
    /// the containers
    #[argh(positional)]
    container: Vec<Raw>,
}

/// take containers away
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "rm", example = "container rm -f web")]
pub(super) struct Rm {
    /// end those that run; that there is none is no error
    #[argh(switch, short = 'f')]
    force: bool,
    /// with its volumes, which is done without this too
    #[argh(switch, short = 'v')]
    #[allow(dead_code, reason = "volumes are the container's own")]
    volumes: bool,
    /// the containers
    #[argh(positional)]
    container: Vec<Raw>,
}

/// wait until containers have ended, and print their statuses
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "wait")]
pub(super) struct Wait {
    /// the containers
    #[argh(positional)]
    container: Vec<Raw>,
}

/// give a container another name
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "rename")]
pub(super) struct Rename {
    /// the container, and its new name
    #[argh(positional)]
    container: Vec<Raw>,
}

impl Stop {
    pub(super) fn run(self) -> Result<Exit> {
        at_least_one(&self.container)?;
        let signal = self.signal.as_deref().map(signal).transpose()?;
        each(&self.container, &mut |shelf, home| {
            stop(shelf, &home, signal, self.timeout)
        })
    }
}

fn signal(word: &str) -> Result<i32> {
    signal_number(word).ok_or_else(|| Error::new("unknown signal").on(word))
}

/// Ends a container; one that does not run is as it should be.
fn stop(shelf: &Shelf, home: &Home, signal: Option<i32>, seconds: Option<u32>) -> Result<()> {
    until_idle(home, &mut || match shelf.running(home) {
        Ok(live) => end(&live, home, signal, seconds),
        Err(_) => Ok(()),
    })
    .map(drop)
}

fn end(live: &Container, home: &Home, signal: Option<i32>, seconds: Option<u32>) -> Result<()> {
    let signal = signal.or_else(|| decimal(home.fact("stop-signal")));
    let seconds = seconds.or_else(|| decimal(home.fact("stop-timeout")));
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(10).into());
    send(live, signal.unwrap_or(libc::SIGTERM))?;
    // What is frozen hears of nothing.
    let _ = live.resume();
    if let Some((_, first)) = live.record().first() {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let pause = PollTimeout::try_from(left.min(Duration::from_secs(3600)));
            if wait_for_end(&first, pause.unwrap_or(PollTimeout::ZERO)) {
                break;
            }
            if Instant::now() >= until {
                send(live, libc::SIGKILL)?;
                break;
            }
        }
    }
    Ok(())
}

/// One that ends at this moment is no error.
fn send(live: &Container, signal: i32) -> Result<()> {
    match live.kill(signal) {
        Ok(()) | Err(Refusal::In(_)) => Ok(()),
        Err(other) => Err(other.into_error()),
    }
}

impl Restart {
    pub(super) fn run(self) -> Result<Exit> {
        at_least_one(&self.container)?;
        each(&self.container, &mut |shelf, home| {
            stop(shelf, &home, None, self.timeout)?;
            await_start(start(&home, false)?.as_fd())
        })
    }
}

/// Does something to each of these, which have to run.
fn each_running(words: &[Raw], act: &dyn Fn(&Container) -> Answer<()>) -> Result<Exit> {
    at_least_one(words)?;
    each(words, &mut |shelf, home| {
        act(&shelf.running(&home)?).map_err(|refusal| refused(&home, refusal))
    })
}

impl Kill {
    pub(super) fn run(self) -> Result<Exit> {
        let signal = signal(self.signal.as_deref().unwrap_or("KILL"))?;
        each_running(&self.container, &|live| live.kill(signal))
    }
}

impl Pause {
    pub(super) fn run(self) -> Result<Exit> {
        each_running(&self.container, &Container::pause)
    }
}

impl Unpause {
    pub(super) fn run(self) -> Result<Exit> {
        each_running(&self.container, &Container::resume)
    }
}

impl Rm {
    pub(super) fn run(self) -> Result<Exit> {
        at_least_one(&self.container)?;
        let force = self.force;
        let shelf = Shelf::ours();
        // What is not there is gone.
        let there = self
            .container
            .into_iter()
            .filter(|word| !force || shelf.find(word).is_ok());
        each(&there.collect::<Vec<_>>(), &mut |shelf, home| {
            let lives = matches!(shelf.now(&home)?, Now::Live(..));
            if lives && !force {
                return Err(Error::new("cannot remove the container:")
                    .on(shown(&home))
                    .because("it is running")
                    .hint("container stop ends it, container rm -f does both"));
            }
            shelf.remove(&home)
        })
    }
}

impl Wait {
    pub(super) fn run(self) -> Result<Exit> {
        at_least_one(&self.container)?;
        let shelf = Shelf::ours();
        let mut exit = Exit::OK;
        for word in &self.container {
            let status = shelf.find(word).and_then(|home| {
                home.wait()?;
                Ok(match shelf.now(&home)? {
                    Now::Exited(status) => status,
                    _ => 0,
                })
            });
            match status {
                Ok(status) => drop(help::print_all(&format!("{status}\n"))?),
                Err(error) => {
                    complain(&error);
                    exit = Exit::Status(1);
                }
            }
        }
        Ok(exit)
    }
}

impl Rename {
    pub(super) fn run(self) -> Result<Exit> {
        let [old, Raw(new)] = &self.container[..] else {
            return Err(Error::new("a container and its new name are expected").status(125));
        };
        check_name(new)?;
        let new = new.to_string_lossy();
        let shelf = Shelf::ours();
        let _names = shelf.homes.names()?;
        let mut home = shelf.find(old)?;
        if let Some(other) = shelf.named(&new)? {
            return Err(Error::new("the container name is taken:")
                .on(&*new)
                .because(format!("in use by container {}", other.id())));
        }
        home.change("name", &new)?;
        Ok(Exit::OK)
    }
}
