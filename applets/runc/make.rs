//! runc create, runc run: a container from a bundle.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use argh::{ArgsInfo, FromArgs};
use isobox::accounts::Accounts;
use isobox::error::{Doing, Result};
use isobox::oci::Setting;
use isobox::oci::lifecycle::{self, Container, New};
use isobox::oci::making::Making;
use isobox::oci::notify;
use isobox::oci::spec::{Process, Spec};
use isobox::oci::state::Id;
use isobox::own_binary;
use isobox::plan::Outcome;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{chdir, fchdir};

use super::words::{Answer, Failure, not_started, refused, without_root};
use super::{Caller, exactly};
use crate::cli::Exit;
use crate::cli::plan::{Explain, environment, tell};
use crate::cli::raw::Raw;

/// make a container from a bundle, whose program waits for its start
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "create")]
pub(super) struct Create {
    /// the directory with config.json; the current one without
    #[argh(option, short = 'b', arg_name = "dir")]
    bundle: Option<Raw>,
    /// send the container's terminal to who listens on this socket
    #[argh(option, arg_name = "socket")]
    console_socket: Option<Raw>,
    /// send the pidfd of the first process to who listens on this socket
    #[argh(option, arg_name = "socket")]
    pidfd_socket: Option<Raw>,
    /// write the number of the first process to this file
    #[argh(option, arg_name = "file")]
    pid_file: Option<Raw>,
    /// move the root into place where it cannot be pivoted, as is always done
    #[argh(switch)]
    #[allow(dead_code, reason = "asks for what is done anyhow where it is needed")]
    no_pivot: bool,
    /// keep the session keyring of the caller
    #[argh(switch)]
    no_new_keyring: bool,
    /// hand down so many more descriptors than 0, 1 and 2
    #[argh(option, arg_name = "count")]
    preserve_fds: Option<u32>,
    /// tell what would be done and do nothing; json for programs, run to tell while doing
    #[argh(option, arg_name = "[=how]")]
    explain: Option<Explain>,
    /// the name of the container
    #[argh(positional)]
    container_id: Vec<Raw>,
}

/// make a container from a bundle and run its program
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "run")]
pub(super) struct Run {
    /// the directory with config.json; the current one without
    #[argh(option, short = 'b', arg_name = "dir")]
    bundle: Option<Raw>,
    /// send the container's terminal to who listens on this socket
    #[argh(option, arg_name = "socket")]
    console_socket: Option<Raw>,
    /// send the pidfd of the first process to who listens on this socket
    #[argh(option, arg_name = "socket")]
    pidfd_socket: Option<Raw>,
    /// come back when the program runs
    #[argh(switch, short = 'd')]
    pub(super) detach: bool,
    /// keep the container when its program has ended
    #[argh(switch)]
    keep: bool,
    /// write the number of the first process to this file
    #[argh(option, arg_name = "file")]
    pid_file: Option<Raw>,
    /// do not collect what the program leaves behind, as is always so
    #[argh(switch)]
    #[allow(dead_code, reason = "asks for what is so anyhow")]
    no_subreaper: bool,
    /// move the root into place where it cannot be pivoted, as is always done
    #[argh(switch)]
    no_pivot: bool,
    /// keep the session keyring of the caller
    #[argh(switch)]
    no_new_keyring: bool,
    /// hand down so many more descriptors than 0, 1 and 2
    #[argh(option, arg_name = "count")]
    preserve_fds: Option<u32>,
    /// tell what would be done and do nothing; json for programs, run to tell while doing
    #[argh(option, arg_name = "[=how]")]
    explain: Option<Explain>,
    /// the name of the container
    #[argh(positional)]
    container_id: Vec<Raw>,
}

impl Create {
    pub(super) fn run(self, caller: &Caller) -> Answer<Exit> {
        exactly("create", &self.container_id, 1)?;
        self.make(caller, None, false)
            .map_err(|failure| failure.while_doing("runc create failed"))
    }

    /// Creates it; or runs it, where `run` says whether it is then kept.
    fn make(self, caller: &Caller, run: Option<bool>, detach: bool) -> Answer<Exit> {
        let path = |raw: Option<Raw>| raw.map(|Raw(path)| path).filter(|path| !path.is_empty());
        // Relative to where the caller is, not to the bundle.
        let socket = path(self.console_socket).map(here).transpose()?;
        let pidfd_socket = path(self.pidfd_socket).map(here).transpose()?;
        let pid_file = path(self.pid_file).map(here).transpose()?;
        // Where something waits inside, this process is protected already.
        let came_from = run.filter(|_| !detach).map(|_| handle_on_here());
        let bundle = bundle(path(self.bundle).map(PathBuf::from))?;
        let mut spec = load(&bundle)?;
        if let Some(came_from) = came_from
            && spec.has_company()
        {
            protect(&came_from?)?;
        }
        if self.container_id.iter().any(|id| id.0.is_empty()) {
            return Err(Failure::new("container id cannot be empty"));
        }
        let id = self
            .container_id
            .first()
            .and_then(|id| Id::new(id.0.to_str()?));
        let id = id.ok_or_else(|| Failure::new("invalid container ID format"))?;
        check_console(&spec, socket.is_some(), run.is_none() || detach)?;
        let passed = listeners(&mut spec);
        let notify = manager();
        if notify.is_some() {
            notify::offer(&mut spec, &caller.store.join(id.as_str()));
        }
        let root = spec.root.path.clone();
        home(&mut spec.process, &root);
        let failed = |refusal| match root.symlink_metadata() {
            Err(error) => without_root(&root, &error),
            Ok(_) => not_started(refusal),
        };
        let new = New {
            store: &caller.store,
            id: &id,
            spec: &spec,
            bundle: &bundle,
            making: Making {
                detached: run.is_none() || detach,
                console: socket,
                preserve: preserved(self.preserve_fds, passed)?,
                keep_keyring: self.no_new_keyring,
                lenient: caller.lenient,
                notify,
                ..Making::default()
            },
            pid_file,
            pidfd_socket,
            systemd: caller.systemd.clone(),
            setting: Setting {
                live_devices: true,
                ..Setting::default()
            },
        };
        if let Some(how) = self.explain.filter(|how| *how != Explain::Run) {
            return Ok(tell(&new.plan()?, how)?);
        }
        match run {
            Some(keep) if !detach => match new
                .run(keep, caller.observer(self.explain))
                .map_err(failed)?
            {
                Outcome::Exited(status) => Ok(Exit::Status(status)),
                Outcome::Killed(signal) => {
                    Ok(Exit::Status(u8::try_from(128 + signal).unwrap_or(u8::MAX)))
                }
            },
            _ => {
                new.create(caller.observer(self.explain)).map_err(failed)?;
                if detach {
                    start_at_once(caller, &id)?;
                }
                Ok(Exit::OK)
            }
        }
    }
}

impl Run {
    pub(super) fn run(self, caller: &Caller) -> Answer<Exit> {
        exactly("run", &self.container_id, 1)?;
        let (keep, detach) = (self.keep, self.detach);
        let create = Create {
            bundle: self.bundle,
            console_socket: self.console_socket,
            pidfd_socket: self.pidfd_socket,
            pid_file: self.pid_file,
            no_pivot: self.no_pivot,
            no_new_keyring: self.no_new_keyring,
            preserve_fds: self.preserve_fds,
            explain: self.explain,
            container_id: self.container_id,
        };
        create
            .make(caller, Some(keep), detach)
            .map_err(|failure| failure.while_doing("runc run failed"))
    }
}

/// Goes on from a handle on our binary that nobody inside can write through. What is executed anew starts where this
/// process came from, with the same words.
fn protect(came_from: &OwnedFd) -> Answer<()> {
    let bundle = handle_on_here()?;
    fchdir(came_from).doing("cannot go back")?;
    own_binary::run_protected(&environment())?;
    Ok(fchdir(&bundle).doing("cannot go to the bundle")?)
}

fn handle_on_here() -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(".", flags, Mode::empty()).doing("cannot open the working directory")
}

pub(super) fn here(path: std::ffi::OsString) -> Answer<PathBuf> {
    std::path::absolute(path).map_err(|error| Failure::new(error.to_string()))
}

/// Goes to the bundle, as runc does, and gives its whole path.
fn bundle(path: Option<PathBuf>) -> Answer<PathBuf> {
    if let Some(path) = path {
        let shown = path.display();
        chdir(&path).map_err(|errno| {
            Failure::new(format!(
                "chdir {shown}: {}",
                errno.desc().to_ascii_lowercase()
            ))
        })?;
    }
    env::current_dir().map_err(|error| Failure::new(error.to_string()))
}

fn load(bundle: &Path) -> Answer<Spec> {
    let mut spec = Spec::of_bundle(bundle).map_err(|error| match error.errno() {
        Some(Errno::ENOENT) => Failure::new("JSON specification file config.json not found"),
        _ => error.into(),
    })?;
    if spec.process.args.is_empty() {
        return Err(Failure::new("args must not be empty"));
    }
    check_process(&spec.process)?;
    if spec.root.path.as_os_str().is_empty() {
        return Err(Failure::new("root must be specified"));
    }
    if !spec.root.path.is_absolute() {
        spec.root.path = bundle.join(&spec.root.path);
    }
    Ok(spec)
}

/// What a process must have, wherever it was described.
pub(super) fn check_process(process: &Process) -> Answer<()> {
    if process.cwd.as_os_str().is_empty() {
        return Err(Failure::new("Cwd property must not be empty"));
    }
    if !process.cwd.is_absolute() {
        return Err(Failure::new("Cwd must be an absolute path"));
    }
    if !process.selinux_label.is_empty() && !isobox::selinux::is_enabled() {
        return Err(Failure::new(
            "selinux label is specified in config, but selinux is disabled or not supported",
        ));
    }
    let plain = |entry: &OsString| entry.as_bytes().iter().skip(1).any(|b| *b == b'=');
    match process.env.iter().find(|entry| !plain(entry)) {
        None => Ok(()),
        Some(bad) => {
            let bad = bad.to_string_lossy();
            Err(
                Failure::new(format!("invalid environment variable: {bad:?}"))
                    .while_doing("unable to start container process"),
            )
        }
    }
}

/// Who gets the terminal must be clear.
pub(super) fn check_console(spec: &Spec, socket: bool, detached: bool) -> Answer<()> {
    match (spec.process.terminal && detached, socket) {
        (true, false) => Err(Failure::new(
            "cannot allocate tty if runc will detach without setting console socket",
        )),
        (false, true) => Err(Failure::new(
            "cannot use console socket if runc will not detach or allocate tty",
        )),
        _ => Ok(()),
    }
}

/// The socket of a manager that wants to hear when the program is ready (sd_notify(3)).
fn manager() -> Option<OsString> {
    env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty())
}

/// Starts a container, and waits until its program says that it is ready, if a manager wants to hear that.
pub(super) fn start(container: &Container) -> lifecycle::Answer<()> {
    match manager() {
        Some(manager) => container.start_notifying(&manager),
        None => container.start(),
    }
}

/// Hands on sockets that whoever started us has opened (sd_listen_fds(3)): how many.
pub(super) fn listeners(spec: &mut Spec) -> u32 {
    let count = env::var("LISTEN_FDS")
        .ok()
        .and_then(|count| count.parse().ok());
    let Some(count @ 1..) = count else {
        return 0;
    };
    let env = &mut spec.process.env;
    env.push(format!("LISTEN_FDS={count}").into());
    env.push("LISTEN_PID=1".into());
    if let Some(names) = env::var_os("LISTEN_FDNAMES") {
        env.push(
            [OsStr::new("LISTEN_FDNAMES="), &names]
                .into_iter()
                .collect(),
        );
    }
    count
}

/// How many descriptors behind 0, 1 and 2 are the program's: those of `listeners`, and `count` more, which must be there.
pub(super) fn preserved(count: Option<u32>, listeners: u32) -> Answer<u32> {
    let count = count.unwrap_or(0);
    let first = listeners.saturating_add(3);
    for at in 0..count {
        let path = format!("/proc/self/fd/{}", first.saturating_add(at));
        if Path::new(&path).symlink_metadata().is_err() {
            return Err(Failure::new(format!(
                "unable to stat preserved-fd {at} (of {count}): stat {path}: no such file or directory"
            )));
        }
    }
    Ok(listeners.saturating_add(count))
}

/// The program finds its user's home in its environment, where nothing else is said: that of the accounts below `root`.
pub(super) fn home(process: &mut Process, root: &Path) {
    if process
        .env
        .iter()
        .any(|entry| entry.as_bytes().starts_with(b"HOME="))
    {
        return;
    }
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let user = open(root, flags, Mode::empty()).ok().and_then(|root| {
        let user = Accounts::of_root(root).user_of(process.user.uid);
        user.ok().flatten()
    });
    let home = user.map(|user| user.home).filter(|home| !home.is_empty());
    let home = home.unwrap_or_else(|| "/".into());
    process
        .env
        .push([OsStr::new("HOME="), &home].into_iter().collect());
}

/// What is run detached is created and started; where it cannot be started, nothing of it stays.
fn start_at_once(caller: &Caller, id: &Id) -> Answer<()> {
    let container = Container::find(&caller.store, id)
        .map_err(|refusal| refused(refusal, |status| status.to_string()))?;
    start(&container).map_err(|refusal| {
        let _ = container.delete(true);
        not_started(refusal)
    })
}
