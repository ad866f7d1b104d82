//! How an applet performs its plan, tells it, or both.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use isobox::error::{Error, Result};
use isobox::plan::steps::own_binary::KeepOwnBinary;
use isobox::plan::{self, Command, Exec, Observer, Outcome, Own, Plan};

use super::{Exit, gnu, help, say};

/// The value of `--explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Explain {
    /// Tell what would be done, and do nothing.
    Text,
    /// The same, for programs.
    Json,
    /// Do it, and tell while doing.
    Run,
}

impl argh::FromArgValue for Explain {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        match value {
            "" | "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "run" => Ok(Self::Run),
            _ => Err(gnu::bad(format!(
                "unknown way to explain '{value}': text, json or run"
            ))),
        }
    }
}

/// Performs the plan, or tells it where `explain` asks for that.
pub(crate) fn perform(plan: &Plan, explain: Option<Explain>) -> Result<Exit> {
    if let Some(how) = explain.filter(|how| *how != Explain::Run) {
        return tell(plan, how);
    }
    plan.run(observer(explain)).map(ended)
}

/// The end of a program as ours.
pub(crate) fn ended(outcome: Outcome) -> Exit {
    match outcome {
        Outcome::Exited(status) => Exit::Status(status),
        Outcome::Killed(signal) => Exit::Signal(signal),
    }
}

/// Who watches a plan that is performed.
pub(crate) fn observer(explain: Option<Explain>) -> &'static dyn Observer {
    match explain {
        Some(Explain::Run) => &Narrator,
        _ => &Notes,
    }
}

/// Tells the plan and does nothing.
pub(crate) fn tell(plan: &Plan, how: Explain) -> Result<Exit> {
    match how {
        Explain::Json => help::print_all(&plan::json(&plan.tell())),
        _ => help::print_all(&plan.tell().iter().map(plan::text).collect::<String>()),
    }
}

/// Passes on what steps note, on standard error.
struct Notes;

impl Observer for Notes {
    fn before(&self, _: &Plan, _: usize) {}
    fn after(&self, _: &Plan, _: usize, _: &Result<()>) {}
    fn noted(&self, text: &str) {
        say(&format!("note: {text}\n"));
    }
}

/// Tells on standard error what is being done: standard output belongs to the program.
struct Narrator;

impl Observer for Narrator {
    fn before(&self, plan: &Plan, index: usize) {
        say(&plan::text(&plan.tell_entry(index)));
    }

    fn after(&self, _: &Plan, _: usize, result: &Result<()>) {
        match result {
            Ok(()) => say("             result   done\n"),
            Err(error) => say(&format!("             result   {error}\n")),
        }
    }

    fn noted(&self, text: &str) {
        Notes.noted(text);
    }
}

/// The program that a command names, in the environment given (`NAME=value` each). A plain name of one of our
/// own applets means that applet, whatever root the plan leads into: it is run by descriptor.
pub(crate) fn exec(command: Command, env: Vec<OsString>) -> Exec {
    Exec::new(command, env)
}

/// Where the command is one of our applets, keeps a protected handle on our own binary. Called before any step
/// that leaves the mount namespace or the root we started in.
pub(crate) fn keep_own_binary(plan: &mut Plan, when: Own) {
    let command = plan.program().map(|program| &program.command().program);
    if command.is_some_and(|program| is_applet(program)) {
        let slot = plan.slot();
        plan.then(KeepOwnBinary { slot });
        plan.run_from_own_binary(slot, when);
    }
}

/// When the program of a container is one of our applets: where it has no such program, but for the first process that
/// `--init` puts before it.
#[cfg(feature = "oci")]
pub(crate) fn own_applet(args: &[OsString]) -> Option<Own> {
    match args {
        [first, second, ..] if first == "pid1" && second == "--" => Some(Own::Always),
        [first, ..] if is_applet(first) => Some(Own::StandsIn),
        _ => None,
    }
}

fn is_applet(program: &OsStr) -> bool {
    let name = program.to_str();
    name.is_some_and(|name| crate::table::find(name).is_some())
}

/// The words of a command, or the user's shell where there are none, as unshare(1) and nsenter(1) choose it: `SHELL`
/// of the environment that it gets, else that of the account.
pub(crate) fn command_or_shell(words: Vec<OsString>, env: &[OsString]) -> Result<Command> {
    if let Some(command) = Command::new(words) {
        return Ok(command);
    }
    let named = env
        .iter()
        .find_map(|entry| entry.as_bytes().strip_prefix(b"SHELL="));
    let shell =
        isobox::credentials::login_shell(named.map(|shell| OsStr::from_bytes(shell).into()));
    let name = [
        b"-",
        shell
            .as_bytes()
            .rsplit(|b| *b == b'/')
            .next()
            .unwrap_or(b"sh"),
    ]
    .concat();
    Command::new([shell.clone()])
        .map(|command| Command {
            argv: vec![OsString::from_vec(name)],
            ..command
        })
        .ok_or_else(|| Error::new("no program given and no shell found"))
}

/// This process's environment, as data.
pub(crate) fn environment() -> Vec<OsString> {
    env::vars_os()
        .map(|(name, value)| {
            [name.as_os_str(), OsStr::new("="), &value]
                .into_iter()
                .collect()
        })
        .collect()
}
