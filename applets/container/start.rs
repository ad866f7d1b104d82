//! container create, start and what `container run` does for a container that is kept: its home, its monitor, and
//! whoever watches it.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use argh::{ArgsInfo, FromArgValue, FromArgs};
use isobox::decimal::decimal;
use isobox::error::{Doing, Error, Result};
use isobox::oci::Setting;
use isobox::oci::attach::{Look, Seen, await_start, look_in};
use isobox::oci::home::Home;
use isobox::oci::lifecycle::{New, Refusal};
use isobox::oci::making::Making;
use isobox::oci::monitor::{self, Duty, Input};
use isobox::oci::state::Id;
use isobox::own_binary;
use isobox::plan::Quiet;
use isobox::sys::STANDARD;
use isobox::sys::clone::{Forked, fork};
use isobox::sys::task;
use nix::fcntl::{AtFlags, OFlag, open};
use nix::sched::CloneFlags;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socketpair};
use nix::sys::stat::Mode;
use nix::unistd::{chdir, dup2_stdin, dup2_stdout, execveat, geteuid, setsid};

use super::images;
use super::kept::{self, Shelf, at_least_one, each, new_id, new_name, shown};
use super::landlock;
use super::more;
use super::network;
use super::run::Run;
use super::values::check_name;
use crate::cli::plan::{environment, own_applet};
use crate::cli::raw::Raw;
use crate::cli::{Exit, help};

/// start containers that are kept, which need not have run yet
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "start", example = "container start web")]
pub(super) struct Start {
    /// watch it, and end as it ends
    #[argh(switch, short = 'a')]
    attach: bool,
    /// connect our standard input
    #[argh(switch, short = 'i')]
    interactive: bool,
    /// the keys that leave it alone again
    #[argh(option, arg_name = "keys")]
    detach_keys: Option<Keys>,
    /// the containers
    #[argh(positional)]
    container: Vec<Raw>,
}

/// `--detach-keys`.
pub(super) struct Keys(pub(super) Vec<u8>);

impl FromArgValue for Keys {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        let bad =
            || format!("invalid detach keys '{value}': a letter, or ctrl- and one, are expected");
        isobox::terminal::leave::keys(value)
            .map(Self)
            .ok_or_else(bad)
    }
}

impl Default for Keys {
    fn default() -> Self {
        // Ctrl-P, Ctrl-Q.
        Self(vec![16, 17])
    }
}

impl Start {
    pub(super) fn run(self) -> Result<Exit> {
        at_least_one(&self.container)?;
        let watches = self.attach || self.interactive;
        if self.detach_keys.is_some() && !watches {
            return Err(Error::new("--detach-keys has no effect here")
                .because("nobody watches the container, without -a or -i"));
        }
        if !watches {
            return each(&self.container, &mut |_, home| {
                let line = start(&home, false)?;
                await_start(line.as_fd())
            });
        }
        let [word] = &self.container[..] else {
            return Err(Error::new("only one container can be watched"));
        };
        let shelf = Shelf::ours();
        let home = shelf.find(word)?;
        if self.interactive && home.fact("input").is_empty() {
            return Err(Error::new("-i has no effect here")
                .because("the container was made without -i, and takes no input"));
        }
        let line = start(&home, true)?;
        watch(&home, &line, self.interactive, true, self.detach_keys)
    }
}

/// Watches a container, and ends as it ends.
pub(super) fn watch(
    home: &Home,
    line: &OwnedFd,
    input: bool,
    signals: bool,
    keys: Option<Keys>,
) -> Result<Exit> {
    await_start(line.as_fd())?;
    let look = Look {
        input: input && !home.fact("input").is_empty(),
        terminal: !home.fact("terminal").is_empty(),
        detach: keys.unwrap_or_default().0,
        signals,
    };
    match look_in(line, &look)? {
        Seen::Ended(status) => Ok(Exit::Status(status)),
        Seen::Left => {
            crate::cli::say("\r\n");
            Ok(Exit::OK)
        }
    }
}

/// Makes the home of a container, and prints nothing.
pub(super) fn create(run: Run, shelf: &Shelf) -> Result<Home> {
    let id = new_id()?;
    let of_image = run.rootfs.is_none();
    make(run, shelf, &id).inspect_err(|_| {
        if let Some(local) = of_image.then(images::local).and_then(Result::ok) {
            // What stays is removed by gc.
            let _ = images::forget(&local, id.as_str());
        }
    })
}

fn make(mut run: Run, shelf: &Shelf, id: &Id) -> Result<Home> {
    let named = run.name.as_ref().map(|Raw(name)| name.clone());
    if let Some(name) = &named {
        check_name(name)?;
    }
    if let Some(Raw(path)) = &run.cidfile
        && Path::new(path).exists()
    {
        return Err(Error::new("the file for the id is there already:")
            .on(path)
            .hint("another container may have it; remove it if that is gone"));
    }
    if run.hostname.is_none() && named.is_none() {
        let short = id.as_str().get(..12).unwrap_or_default();
        run.hostname = Some(Raw(short.into()));
    }
    let replace = run.replace;
    let cidfile = run.cidfile.take();
    let (mut facts, spec, _held) = run.facts_and_spec(id)?;
    let _names = shelf.homes.names()?;
    let name = match named {
        Some(name) => name.to_string_lossy().into_owned(),
        None => new_name(shelf)?,
    };
    if let Some(other) = shelf.named(&name)? {
        if !replace {
            let why = format!("in use by container {}", other.id());
            return Err(Error::new("the container name is taken:")
                .on(&name)
                .because(why)
                .hint("container rm removes that one, container rename renames it, --replace takes its place"));
        }
        shelf.remove(&other)?;
    }
    facts.put("name", name);
    let home = shelf.homes.make(id, facts, &spec)?;
    if let Some(Raw(path)) = cidfile {
        let written = std::fs::write(&path, id.as_str()).doing_to("cannot write", &path);
        if let Err(error) = written {
            home.remove()?;
            return Err(error);
        }
    }
    Ok(home)
}

/// What `container run` does for a container that is kept.
pub(super) fn run(mut run: Run) -> Result<Exit> {
    let shelf = Shelf::ours();
    let (detach, input, signals) = (
        run.detach,
        run.interactive,
        run.sig_proxy.is_none_or(|truth| truth.0),
    );
    let keys = run.detach_keys.take();
    let waits = run.no_start;
    let home = create(run, &shelf)?;
    if waits {
        return help::print_all(&format!("{}\n", home.id()));
    }
    let started = start(&home, !detach).and_then(|line| {
        if !detach {
            return watch(&home, &line, input, signals, keys);
        }
        await_start(line.as_fd())?;
        help::print_all(&format!("{}\n", home.id()))
    });
    started.inspect_err(|_| {
        // What never ran is of no use to anybody.
        if home.end().value("started").is_none() {
            let _ = shelf.remove(&home);
        }
    })
}

/// Starts the monitor of a container, and gives the line to it.
pub(super) fn start(home: &Home, watched: bool) -> Result<OwnedFd> {
    if home.is_occupied() {
        return Err(Error::new("the container is running already:").on(shown(home)));
    }
    let binary = own_binary::protected()?;
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .doing("cannot make a socket pair")?;
    let words = ["container", MONITOR, home.id().as_str(), "watched"];
    let words = words.iter().take(if watched { 4 } else { 3 });
    let words = words.map(OsString::from).collect();
    let strings = |words: Vec<OsString>| -> Vec<CString> {
        let string = |word: &OsString| CString::new(word.as_bytes()).ok();
        words.iter().filter_map(string).collect()
    };
    let (args, env) = (strings(words), strings(environment()));
    match fork(CloneFlags::empty(), None).doing("cannot start a monitor")? {
        Forked::Parent { .. } => Ok(ours),
        Forked::Child => {
            drop(ours);
            let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty());
            let _ = setsid()
                .map(drop)
                .and_then(|()| dup2_stdin(&theirs))
                .and_then(|()| dup2_stdout(null?))
                .and_then(|()| execveat(&binary, c"", &args, &env, AtFlags::AT_EMPTY_PATH));
            task::exit_now(125)
        }
    }
}

/// The word by which a monitor is called: nobody types it.
pub(super) const MONITOR: &str = "monitor";

/// The life of a monitor.
pub(super) fn monitor(id: &OsStr, watched: bool) -> Result<Exit> {
    let starter = STANDARD
        .0
        .try_clone_to_owned()
        .doing("a monitor is started by container run and container start")?;
    let tell = starter.try_clone().doing("cannot copy a descriptor")?;
    let done = attend(id, watched, starter);
    if let Err(error) = &done {
        let message = [b"f", &*error.encode()].concat();
        // Whoever started us may have gone.
        let _ = send(tell.as_raw_fd(), &message, MsgFlags::MSG_NOSIGNAL);
    }
    Ok(Exit::Status(u8::from(done.is_err())))
}

fn attend(id: &OsStr, watched: bool, starter: OwnedFd) -> Result<()> {
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty());
    dup2_stdin(null.doing_to("cannot open", "/dev/null")?).doing("cannot replace a descriptor")?;
    chdir("/").doing("cannot go to /")?;
    let shelf = Shelf::ours();
    let gone = || Error::new("no such container:").on(id);
    let id = id.to_str().and_then(Id::new).ok_or_else(gone)?;
    let home = shelf.homes.find(&id)?.ok_or_else(gone)?;
    let busy = || Error::new("the container is running already:").on(shown(&home));
    let lock = home.occupy()?.ok_or_else(busy)?;
    // A monitor that was killed has left it.
    if let Some(left) = shelf.live(&home)? {
        left.delete(true).map_err(Refusal::into_error)?;
    }
    let mut spec = home.spec()?;
    if home.fact("any-number").is_empty() {
        spec.limit_processes();
    }
    more::share(&mut spec, home.fact("shared"))?;
    // As long as it runs nobody takes its image away.
    let _held = match home.fact("of-image") {
        "" => None,
        _ => Some(images::local()?.hold(&spec.root.layers)?),
    };
    let domain = landlock::words(home.fact("landlock"), landlock::Whose::Own)?;
    let additions = network::Asked::of_words(&home.facts, kept::short(&home))?.apply(&mut spec)?;
    let new = New {
        store: &shelf.live,
        id: &id,
        spec: &spec,
        bundle: home.path(),
        making: Making {
            lenient: !geteuid().is_root(),
            ..Making::default()
        },
        pid_file: Some(home.fact("pidfile"))
            .filter(|path| !path.is_empty())
            .map(PathBuf::from),
        pidfd_socket: None,
        systemd: None,
        setting: Setting {
            own_binary: own_applet(&spec.process.args),
            oom_score_at_least: true,
            additions: Some(&additions),
            landlock: domain.as_ref(),
            forbids_user_namespaces: home.fact("may-nest").is_empty(),
            ..Setting::default()
        },
    };
    let forget: &dyn Fn() -> Result<()> = &|| kept::forget(&home);
    let duty = Duty {
        lock,
        starter,
        watched,
        input: match home.fact("input") {
            "" => Input::None,
            "once" => Input::Once,
            _ => Input::Open,
        },
        log: decimal(home.fact("log")).unwrap_or(0),
        forget: Some(forget).filter(|_| !home.fact("rm").is_empty()),
    };
    monitor::run(&home, new, duty, &Quiet)
}
