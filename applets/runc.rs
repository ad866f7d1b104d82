//! runc: the command line of runc(8) over our own engine (`isobox::oci`), for the programs that call it: podman, conmon,
//! buildah, containerd, docker. Its options, log, statuses, sentences and files are runc's; what it does is ours.

#[path = "runc/about.rs"]
mod about;
#[path = "runc/dialect.rs"]
mod dialect;
#[path = "runc/events.rs"]
mod events;
#[path = "runc/exec.rs"]
mod exec;
#[path = "runc/list.rs"]
mod list;
#[path = "runc/log.rs"]
mod log;
#[path = "runc/make.rs"]
mod make;
#[path = "runc/ps.rs"]
mod ps;
#[path = "runc/words.rs"]
mod words;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use argh::{ArgsInfo, FromArgs};
use isobox::error::Result;
use isobox::oci::lifecycle::{self, Container, Refusal};
use isobox::oci::state::Id;
use isobox::oci::status::Status;
use isobox::own_binary;
use isobox::plan::Observer;
use isobox::process::signal_number;
use isobox::systemd::Whose;
use isobox::throw_away::in_user_namespace;
use nix::unistd::geteuid;

use crate::cli::plan::{Explain, environment, observer};
use crate::cli::raw::Raw;
use crate::cli::{Applet, Asked, Entry, Exit, help, parse};
use log::Log;
use words::{ABSENT, Answer, Failure, NOT_RUNNING, not_opened, refused};

/// run containers as runc does, from the config.json of a bundle
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "runc",
    example = "runc run -b ./bundle web",
    example = "runc exec -t web sh",
    note = "A bundle is a directory with a config.json and a root.",
    error_code(1, "a failure of runc itself"),
    error_code(255, "a failure of runc exec itself")
)]
pub(crate) struct Args {
    /// log what is being done too
    #[argh(switch)]
    debug: bool,
    /// the file to log to; standard error without
    #[argh(option, arg_name = "file")]
    log: Option<Raw>,
    /// how to log
    #[argh(option, arg_name = "text|json")]
    log_format: Option<String>,
    /// the directory in which containers are kept (/run/isobox/runc)
    #[argh(option, arg_name = "dir")]
    root: Option<Raw>,
    /// have systemd make the control group of a new container
    #[argh(switch)]
    systemd_cgroup: bool,
    /// go on without control groups where they may not be made
    #[argh(option, arg_name = "true|false|auto")]
    rootless: Option<String>,
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    Checkpoint(about::Checkpoint),
    Create(make::Create),
    Delete(Delete),
    Events(events::Events),
    Exec(exec::Join),
    Features(about::Features),
    Kill(Kill),
    List(list::List),
    Pause(Pause),
    Ps(ps::Ps),
    Restore(about::Restore),
    Resume(Resume),
    Run(make::Run),
    Spec(about::WriteSpec),
    Start(Start),
    State(list::State),
    Update(events::Update),
}

/// run the program of a container that was created
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "start")]
struct Start {
    /// the container
    #[argh(positional)]
    container_id: Vec<Raw>,
}

/// send a signal to the first process of a container
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "kill")]
struct Kill {
    /// send it to all processes of the container
    #[argh(switch, short = 'a')]
    all: bool,
    /// the container, and the signal (TERM)
    #[argh(positional)]
    container_id: Vec<Raw>,
}

/// take a container away
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "delete")]
struct Delete {
    /// end it first if it runs; that there is none is no error
    #[argh(switch, short = 'f')]
    force: bool,
    /// the container
    #[argh(positional)]
    container_id: Vec<Raw>,
}

/// stop all processes of a container until it is resumed
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "pause")]
struct Pause {
    /// the container
    #[argh(positional)]
    container_id: Vec<Raw>,
}

/// let the processes of a paused container go on
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "resume")]
struct Resume {
    /// the container
    #[argh(positional)]
    container_id: Vec<Raw>,
}

/// What the global options say.
struct Caller {
    store: PathBuf,
    log: Log,
    /// Control groups that cannot be made are done without.
    lenient: bool,
    /// Who makes the control group of a new container, if it is systemd.
    systemd: Option<Whose>,
}

impl Applet for Args {
    fn launch(entry: &Entry, args: &[OsString]) -> Result<Exit> {
        let translated = dialect::translate(args);
        match parse::<Self>(entry, &translated) {
            Ok(Asked::Help(verb)) => help::print(entry, verb),
            Ok(Asked::Version) => help::print_all(&dialect::version()),
            Ok(Asked::Run(asked)) => {
                if asked.verb.goes_inside() {
                    own_binary::run_protected(&environment())?;
                }
                asked.run()
            }
            Err(text) if text.starts_with("missing command") => help::print(entry, None),
            Err(text) => {
                let hint = format!("try '{} --help' for more information", entry.name);
                let (sentence, status) = dialect::complaint(&text);
                log_of(entry, &translated).error(&sentence, Some(&hint));
                Ok(Exit::Status(status))
            }
        }
    }

    fn run(self) -> Result<Exit> {
        let status = self.verb.status_of_failure();
        let log = self.where_to_log();
        let shown = log.as_ref().cloned().unwrap_or_default();
        let (caller, verb) = match log.and_then(|log| self.caller(log)) {
            // Words too few are no failure of exec's own.
            Ok((_, Verb::Exec(exec))) if exec.is_bare() => {
                shown.error(&too_few("exec", 1).message, None);
                return Ok(Exit::Status(1));
            }
            Ok(caller) => caller,
            Err(failure) => {
                shown.error(&failure.message, failure.hint.as_deref());
                return Ok(Exit::Status(1));
            }
        };
        verb.run(&caller).or_else(|failure| {
            caller.log.error(&failure.message, failure.hint.as_deref());
            Ok(Exit::Status(status))
        })
    }
}

/// Where the global options say to log, if what follows them makes no sense: as many words are left out as it takes.
fn log_of(entry: &Entry, args: &[OsString]) -> Log {
    let log = |count| {
        let words = args.iter().take(count).cloned().chain(["list".into()]);
        match parse::<Args>(entry, &words.collect::<Vec<_>>()) {
            Ok(Asked::Run(asked)) => asked.where_to_log().ok(),
            _ => None,
        }
    };
    (0..=args.len()).rev().find_map(log).unwrap_or_default()
}

impl Args {
    fn where_to_log(&self) -> Answer<Log> {
        let file = self.log.as_ref().map(|Raw(file)| file.clone());
        let file = file.filter(|file| !file.is_empty());
        if let Some(path) = &file {
            log::open(path).map_err(|error| not_opened(path, &error))?;
        }
        // The bundle will be the working directory.
        let file = file.map(make::here).transpose()?;
        Ok(Log {
            file: file.map(PathBuf::into_os_string),
            json: match self.log_format.as_deref() {
                None | Some("text" | "") => false,
                Some("json") => true,
                Some(other) => return Err(Failure::new(format!("invalid log-format: {other}"))),
            },
            debug: self.debug,
        })
    }

    fn caller(self, log: Log) -> Answer<(Caller, Verb)> {
        let ordinary = !geteuid().is_root();
        let lenient = match self.rootless.as_deref() {
            None | Some("auto" | "") => ordinary,
            Some(word) => dialect::boolean(word).ok_or_else(|| {
                Failure::new(format!(
                    "strconv.ParseBool: parsing {word:?}: invalid syntax"
                ))
            })?,
        };
        let store = match self.root {
            Some(Raw(root)) => {
                std::path::absolute(root).map_err(|error| Failure::new(error.to_string()))?
            }
            None => store(ordinary),
        };
        let systemd = self.systemd_cgroup.then(|| whose_systemd(ordinary));
        Ok((
            Caller {
                store,
                log,
                lenient,
                systemd,
            },
            self.verb,
        ))
    }
}

/// Whose systemd manages the groups of this user: his own, if he is not the machine's root.
fn whose_systemd(ordinary: bool) -> Whose {
    match env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) if ordinary || in_user_namespace() => Whose::User(dir.into()),
        _ => Whose::Machine,
    }
}

/// Where containers are kept unless told otherwise: not where runc has its own.
fn store(ordinary: bool) -> PathBuf {
    let own = env::var_os("XDG_RUNTIME_DIR").filter(|dir| ordinary && !dir.is_empty());
    Path::new(&own.unwrap_or_else(|| "/run".into())).join("isobox/runc")
}

impl Verb {
    /// runc's status where it fails by itself.
    fn status_of_failure(&self) -> u8 {
        match self {
            Self::Exec(_) => 255,
            _ => 1,
        }
    }

    /// Whether a process of ours will be in a container, or wait in one: its binary must be safe there. Of a `run` in which
    /// nothing waits, the spec says whether others will be there ([`make`]).
    fn goes_inside(&self) -> bool {
        match self {
            Self::Create(_) | Self::Exec(_) => true,
            Self::Run(run) => run.detach,
            _ => false,
        }
    }

    fn run(self, caller: &Caller) -> Answer<Exit> {
        match self {
            Self::Checkpoint(checkpoint) => checkpoint.run(),
            Self::Create(create) => create.run(caller),
            Self::Delete(delete) => delete.run(caller),
            Self::Events(events) => events.run(caller),
            Self::Exec(exec) => exec.run(caller),
            Self::Features(features) => features.run(),
            Self::Kill(kill) => kill.run(caller),
            Self::List(list) => list.run(caller),
            Self::Pause(pause) => {
                let container = caller.one("pause", &pause.container_id)?;
                done(container.pause(), |_| NOT_RUNNING.into())
            }
            Self::Ps(ps) => ps.run(caller),
            Self::Restore(restore) => restore.run(),
            Self::Resume(resume) => {
                let container = caller.one("resume", &resume.container_id)?;
                done(container.resume(), |_| "container not paused".into())
            }
            Self::Run(run) => run.run(caller),
            Self::Spec(spec) => spec.run(),
            Self::Start(start) => {
                let container = caller.one("start", &start.container_id)?;
                match make::start(&container) {
                    Err(Refusal::Failed(error)) => {
                        Err(words::not_executed(&error).unwrap_or_else(|| error.into()))
                    }
                    other => done(other, not_startable),
                }
            }
            Self::State(state) => state.run(caller),
            Self::Update(update) => update.run(caller),
        }
    }
}

fn not_startable(status: Status) -> String {
    match status {
        Status::Stopped => "cannot start a container that has stopped".into(),
        Status::Paused => "cannot start a container in the paused state".into(),
        _ => "cannot start an already running container".into(),
    }
}

fn done(answer: lifecycle::Answer<()>, of: impl FnOnce(Status) -> String) -> Answer<Exit> {
    match answer {
        Ok(()) => Ok(Exit::OK),
        Err(refusal) => Err(refused(refusal, of)),
    }
}

impl Caller {
    /// Who watches what is done: the log, or standard error for whoever wants to see it.
    fn observer(&self, explain: Option<Explain>) -> &dyn Observer {
        match explain {
            Some(Explain::Run) => observer(explain),
            _ => &self.log,
        }
    }

    /// The container that the operands name, which is all that they may say.
    fn one(&self, verb: &str, operands: &[Raw]) -> Answer<Container> {
        exactly(verb, operands, 1)?;
        self.find(operands)
    }

    /// The container that the first operand names.
    fn find(&self, operands: &[Raw]) -> Answer<Container> {
        let id = operands
            .first()
            .ok_or_else(|| Failure::new("container id cannot be empty"))?;
        if id.0.is_empty() {
            return Err(Failure::new("container id cannot be empty"));
        }
        let id = id.0.to_str().and_then(Id::new);
        let id = id.ok_or_else(|| Failure::new("invalid container ID format"))?;
        Container::find(&self.store, &id)
            .map_err(|refusal| refused(refusal, |status| status.to_string()))
    }
}

/// Whether there are as many operands as a verb takes.
fn exactly(verb: &str, operands: &[Raw], count: usize) -> Answer<()> {
    match operands.len() == count {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "runc: {verb:?} requires exactly {count} argument(s)"
        ))),
    }
}

/// Whether there are enough operands for a verb.
fn at_least(verb: &str, operands: &[Raw], count: usize) -> Answer<()> {
    match operands.len() >= count {
        true => Ok(()),
        false => Err(too_few(verb, count)),
    }
}

fn too_few(verb: &str, count: usize) -> Failure {
    Failure::new(format!(
        "runc: {verb:?} requires a minimum of {count} argument(s)"
    ))
}

impl Kill {
    fn run(self, caller: &Caller) -> Answer<Exit> {
        at_least("kill", &self.container_id, 1)?;
        if self.container_id.len() > 2 {
            return Err(Failure::new(
                "runc: \"kill\" requires a maximum of 2 argument(s)",
            ));
        }
        let container = caller.find(&self.container_id)?;
        let signal = match self.container_id.get(1) {
            Some(Raw(word)) if !word.is_empty() => {
                let word = word.to_string_lossy();
                signal(&word).ok_or_else(|| Failure::new(format!("unknown signal {word:?}")))?
            }
            _ => libc::SIGTERM,
        };
        // Obsolete, but it makes the first process's end no failure.
        let answer = match self.all {
            true => container.kill_all(signal),
            false => container.kill(signal),
        };
        done(answer, |_| NOT_RUNNING.into())
    }
}

/// A signal's number as runc reads it: any number, or a name.
fn signal(word: &str) -> Option<i32> {
    word.parse().ok().or_else(|| signal_number(word))
}

impl Delete {
    fn run(self, caller: &Caller) -> Answer<Exit> {
        exactly("delete", &self.container_id, 1)?;
        let container = match caller.find(&self.container_id) {
            Err(failure) if self.force => return self.clear(caller, failure),
            other => other?,
        };
        let id = container.kept().id().clone();
        let running =
            |status| format!("cannot delete container {id} that is not stopped: {status}");
        let answer = container.remove(self.force);
        if let Ok(Some(error)) = &answer {
            caller.log.error(&error.to_string(), error.advice());
        }
        done(answer.map(drop), running)
    }

    /// What has no record goes too; what is not there is gone.
    fn clear(&self, caller: &Caller, failure: Failure) -> Answer<Exit> {
        let id = self
            .container_id
            .first()
            .and_then(|id| Id::new(id.0.to_str()?));
        match id {
            Some(id) => lifecycle::clear(&caller.store, &id)?,
            None if failure.message == ABSENT => {}
            None => return Err(failure),
        }
        Ok(Exit::OK)
    }
}
