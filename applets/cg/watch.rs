//! cg watch: waits for what the kernel tells of a group. Only v2 tells anything.

use std::time::{Duration, Instant};

use argh::{ArgsInfo, FromArgs};
use isobox::cgroup::events::Events;
use isobox::cgroup::pressure::trigger;
use isobox::cgroup::value::duration;
use isobox::cgroup::{Group, Hierarchies};
use isobox::error::{Error, Result};
use nix::errno::Errno;

use super::At;
use crate::cli::help::print_all;
use crate::cli::{Exit, gnu};

/// wait for changes of a group: populated, frozen, oom_kill; or until its processes wait too long
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "watch",
    example = "cg watch demo populated=0",
    example = "cg watch --timeout 60 demo some memory 100ms/1s"
)]
pub(super) struct Watch {
    /// give up after this many seconds, with status 1
    #[argh(option, arg_name = "seconds")]
    timeout: Option<Time>,
    /// the group
    #[argh(positional)]
    path: At,
    /// end when this holds: populated=0, oom_kill=1, or some cpu 150ms/1s (PSI: so much waiting in such a time);
    /// without it, print every change
    #[argh(positional, arg_name = "what")]
    until: Vec<String>,
}

/// A time as typed.
#[derive(Clone, Copy)]
pub(super) struct Time(pub(super) Duration);

impl argh::FromArgValue for Time {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        duration(value).map(Self).map_err(gnu::bad)
    }
}

/// The files that tell of changes, and in which a state, not a count, is told.
const STATES: &str = "cgroup.events";
const COUNTS: &str = "memory.events";

impl Watch {
    pub(super) fn run(self, all: &Hierarchies) -> Result<Exit> {
        let v2 = all
            .v2()
            .ok_or_else(|| Error::new("cannot watch").because("cgroup v1 tells of no changes"))?;
        let group = Group::new(v2, self.path.0);
        let deadline = self.timeout.map(|time| Instant::now() + time.0);
        let words: Vec<&str> = self.until.iter().map(String::as_str).collect();
        match words[..] {
            [] => every_change(&group, deadline),
            [until] => one_change(&group, until, deadline),
            [kind, resource, amount] => pressure(&group, kind, resource, amount, deadline),
            _ => Err(Error::new("not something to watch for").on(self.until.join(" "))),
        }
    }
}

/// Waits. `None` when the time is up.
fn wait(events: &[Events], deadline: Option<Instant>) -> Result<Option<()>> {
    let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
    if left.is_some_and(|left| left.is_zero()) {
        return Ok(None);
    }
    Events::wait(events, left).map(|_| Some(()))
}

/// The status when the time is up.
const TOO_LATE: Result<Exit> = Ok(Exit::Status(1));

fn every_change(group: &Group, deadline: Option<Instant>) -> Result<Exit> {
    let mut shown: Vec<String> = Vec::new();
    // Where the memory controller is off there is only the first.
    let mut events = vec![group.events(STATES)?];
    events.extend(group.events(COUNTS).ok());
    loop {
        let mut lines: Vec<String> = Vec::new();
        for file in &mut events {
            lines.extend(file.read()?.lines().map(str::to_owned));
        }
        let new = lines.iter().filter(|line| !shown.contains(line));
        print_all(&new.map(|line| format!("{line}\n")).collect::<String>())?;
        shown = lines;
        if wait(&events, deadline)?.is_none() {
            return TOO_LATE;
        }
    }
}

fn one_change(group: &Group, until: &str, deadline: Option<Instant>) -> Result<Exit> {
    let (key, value) = until.split_once('=').unwrap_or((until, "1"));
    let wanted: u64 = value
        .parse()
        .map_err(|_| Error::new("not a number").on(value))?;
    let file = if matches!(key, "populated" | "frozen") {
        STATES
    } else {
        COUNTS
    };
    let mut events = [group.events(file)?];
    loop {
        let text = match events[0].read() {
            // A group that is gone has no process.
            Err(error)
                if error.errno() == Some(Errno::ENODEV) && (key, wanted) == ("populated", 0) =>
            {
                "populated 0\n".into()
            }
            other => other?,
        };
        let now = isobox::cgroup::usage::keyed(&text, key);
        let now = now.ok_or_else(|| {
            Error::new("the group tells of no")
                .on(key)
                .because("populated, frozen, oom_kill, oom, max, high")
        })?;
        if now == wanted || file == COUNTS && now > wanted {
            return print_all(&format!("{key} {now}\n"));
        }
        if wait(&events, deadline)?.is_none() {
            return TOO_LATE;
        }
    }
}

fn pressure(
    group: &Group,
    kind: &str,
    resource: &str,
    amount: &str,
    deadline: Option<Instant>,
) -> Result<Exit> {
    let file = super::show::pressure_file(resource)?;
    let trigger = trigger(kind, amount)?;
    let events = [group.pressure(&file, &trigger)?];
    let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
    if !Events::wait(&events, left)? {
        return TOO_LATE;
    }
    let text = group.read(&file)?;
    let line = text
        .lines()
        .find(|line| line.starts_with(kind))
        .unwrap_or_default();
    print_all(&format!("{resource} {line}\n"))
}
