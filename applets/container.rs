//! container: run programs in containers, and look after those that are kept.

#[path = "container/bundle.rs"]
mod bundle;
#[path = "container/commit.rs"]
mod commit;
#[path = "container/control.rs"]
mod control;
#[path = "container/copy.rs"]
mod copy;
#[path = "container/device.rs"]
mod device;
#[path = "container/edit.rs"]
mod edit;
#[path = "container/exec.rs"]
mod exec;
#[path = "container/images.rs"]
mod images;
#[path = "container/inspect.rs"]
mod inspect;
#[path = "container/inspect_image.rs"]
mod inspect_image;
#[path = "container/kept.rs"]
pub(super) mod kept;
#[path = "container/landlock.rs"]
mod landlock;
#[path = "container/list.rs"]
mod list;
#[path = "container/logs.rs"]
mod logs;
#[path = "container/more.rs"]
mod more;
#[path = "container/network.rs"]
mod network;
#[path = "container/run.rs"]
mod run;
#[path = "container/start.rs"]
mod start;
#[path = "container/stats.rs"]
mod stats;
#[path = "container/stock.rs"]
mod stock;
#[path = "container/values.rs"]
mod values;
#[path = "container/verify.rs"]
mod verify;

use std::ffi::OsString;

use argh::{ArgsInfo, FromArgs};
use isobox::error::{Error, Result};
use isobox::own_binary;

use crate::cli::plan::environment;
use crate::cli::{Applet, Asked, Entry, Exit, help, parse, usage};

/// run programs in containers
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "container",
    example = "container run --rootfs host -it sh",
    error_code(125, "a failure of container itself"),
    error_code(126, "the program was found but could not be executed"),
    error_code(127, "the program was not found"),
    note = "create is run --no-start, spec is run --spec, ls and list are ps, pull is pull --local."
)]
pub(crate) struct Args {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, once")]
enum Verb {
    Attach(logs::Attach),
    Commit(commit::Commit),
    Cp(copy::Copy),
    Edit(edit::Edit),
    Exec(exec::Join),
    Gc(stock::Gc),
    Images(stock::Images),
    Inspect(inspect::Inspect),
    Kill(control::Kill),
    Logs(logs::Logs),
    Pause(control::Pause),
    Port(list::Port),
    Ps(list::Ps),
    Rename(control::Rename),
    Restart(control::Restart),
    Rm(control::Rm),
    Rmi(stock::Rmi),
    Run(run::Run),
    Start(start::Start),
    Stats(stats::Stats),
    Stop(control::Stop),
    Top(list::Top),
    Unpause(control::Unpause),
    Verify(verify::Verify),
    Wait(control::Wait),
}

/// docker's status for a failure of its own.
const OURS: u8 = 125;

/// docker's other names for what we have: the words with ours.
fn renamed(args: &[OsString]) -> Option<Vec<OsString>> {
    let (first, rest) = args.split_first()?;
    let words: &[&str] = match first.to_str()? {
        "ls" | "list" => &["ps"],
        "create" => &["run", "--no-start"],
        "spec" => &["run", "--spec"],
        _ => return None,
    };
    let words = words.iter().map(OsString::from);
    Some(words.chain(rest.iter().cloned()).collect())
}

impl Applet for Args {
    fn launch(entry: &Entry, args: &[OsString]) -> Result<Exit> {
        // Here, for the verbs that only have another name.
        if let [word, verb, ..] = args
            && word == "help"
        {
            return Self::launch(entry, &[verb.clone(), "--help".into()]);
        }
        if let [word, id, watched @ ..] = args
            && word == start::MONITOR
        {
            return start::monitor(id, !watched.is_empty());
        }
        if let [word, words @ ..] = args
            && (word == copy::OUT || word == copy::IN)
        {
            let words: Vec<String> = words
                .iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect();
            return copy::other_end(&word.to_string_lossy(), &words);
        }
        if let [word, paths @ ..] = args
            && word == verify::PROBE
        {
            return verify::probe(paths);
        }
        // What nobody runs is fetched by pull, which says more about it.
        if let ([word, rest @ ..], Some(pull)) = (args, crate::table::find("pull"))
            && word == "pull"
        {
            let words = ["--local".into()].into_iter();
            return (pull.run)(pull, &words.chain(rest.iter().cloned()).collect::<Vec<_>>());
        }
        // Nothing said is the default, which runc writes down.
        if let ([word], Some(runc)) = (args, crate::table::find("runc"))
            && word == "spec"
        {
            if std::path::Path::new("config.json").exists() {
                return Err(Error::new("there is a config.json already")
                    .hint("container edit changes it")
                    .status(OURS));
            }
            return (runc.run)(runc, &["spec".into()]);
        }
        let renamed = renamed(args);
        let args = renamed.as_deref().unwrap_or(args);
        match parse::<Self>(entry, args).map_err(|text| usage(entry, args, &text))? {
            Asked::Help(verb) => help::print(entry, verb),
            Asked::Version => help::print_version(entry),
            Asked::Run(asked) => {
                if matches!(&asked.verb, Verb::Run(run) if run.is_of_bundle()) {
                    return bundle::launch(entry, args);
                }
                let goes_inside = match &asked.verb {
                    Verb::Exec(_) | Verb::Verify(_) => true,
                    Verb::Run(run) => run.has_company(),
                    _ => false,
                };
                if goes_inside {
                    own_binary::run_protected(&environment())?;
                }
                asked.run()
            }
        }
    }

    fn run(self) -> Result<Exit> {
        match self.verb {
            Verb::Run(run) => run.run().map_err(|error| error.or_status(OURS)),
            Verb::Attach(attach) => attach.run(),
            Verb::Commit(commit) => commit.run(),
            Verb::Cp(copy) => copy.run(),
            Verb::Edit(edit) => edit.run(),
            Verb::Gc(gc) => gc.run(),
            Verb::Images(images) => images.run(),
            Verb::Rmi(images) => images.run(),
            Verb::Exec(exec) => exec.run(),
            Verb::Inspect(inspect) => inspect.run(),
            Verb::Kill(kill) => kill.run(),
            Verb::Logs(logs) => logs.run(),
            Verb::Ps(list) => list.run(),
            Verb::Pause(pause) => pause.run(),
            Verb::Port(port) => port.run(),
            Verb::Rename(rename) => rename.run(),
            Verb::Restart(restart) => restart.run(),
            Verb::Rm(rm) => rm.run(),
            Verb::Start(start) => start.run(),
            Verb::Stats(stats) => stats.run(),
            Verb::Stop(stop) => stop.run(),
            Verb::Top(top) => top.run(),
            Verb::Unpause(unpause) => unpause.run(),
            Verb::Verify(verify) => verify.run(),
            Verb::Wait(wait) => wait.run(),
        }
    }
}
