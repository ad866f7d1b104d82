//! From what was typed to a plan, in the order of util-linux: owner, namespaces, maps, clocks, fork, pins, death
//! signal, own maps, names, propagation, root, mounts, ids, capabilities.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal as _;
use std::num::{IntErrorKind, ParseIntError};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use isobox::credentials::{Typed, typed};
use isobox::decimal::decimal;
use isobox::error::{Error, Result};
use isobox::namespace::{self, Kind};
use isobox::plan::steps::attributes::ChangeDirectory;
use isobox::plan::steps::binfmt::{self, MountBinfmt, RegisterInterpreter};
use isobox::plan::steps::capabilities::KeepCapsAmbient;
use isobox::plan::steps::chroot::Chroot;
use isobox::plan::steps::credentials::{SetGid, SetGroups, SetUid};
use isobox::plan::steps::mounts::Propagation;
use isobox::plan::steps::namespaces::{Pin, Unshare};
use isobox::plan::steps::net::LoopbackUp;
use isobox::plan::steps::proc::{MountProc, PrivateMount};
use isobox::plan::steps::process::DeathSignal;
use isobox::plan::steps::terminal::{
    HandDown, NewSession, OpenTerminal, TakeTerminal, TerminalLine,
};
use isobox::plan::steps::time::{Clock, ClockOffset};
#[cfg(feature = "net")]
use isobox::plan::steps::user_network::CarryNetwork;
use isobox::plan::steps::uts::SetHostname;
use isobox::plan::{Command, Fork, Own, Plan};
use isobox::probe;
use isobox::process::{Signals, Terminal, Wait, signal_number};
use nix::errno::Errno;
use nix::mount::MsFlags;
use nix::sched::CloneFlags;

use super::Args;
use super::maps::unparsed;
use crate::cli::plan::{command_or_shell, environment, exec, keep_own_binary};
use crate::cli::raw::{Raw, words};

/// A terminal of the devpts that is there, for the program to control.
fn own_terminal(plan: &mut Plan, terminal: Terminal) {
    let peer = plan.slot();
    plan.then(OpenTerminal {
        multiplexer: "/dev/ptmx",
        line: terminal.theirs,
        peer,
        owner: None,
        size: None,
    });
    plan.then(TakeTerminal {
        peer,
        session: true,
    });
}

impl Args {
    /// The plan, and what to point out to whoever typed this.
    pub(super) fn compile(mut self) -> Result<(Plan, Option<&'static str>)> {
        let kinds = self.kinds();
        let pins = self.pins()?;
        let maps = self.maps()?;
        let clocks = self.clocks(&kinds)?;
        let kill_child = self.kill_child()?;
        let owner = self.owner()?;
        if self.hostname.as_ref().is_some_and(|name| name.0.is_empty()) {
            return Err(Error::new("the host name is empty"));
        }
        let (uid, gid) = (
            number("uid", self.setuid.as_ref())?,
            number("gid", self.setgid.as_ref())?,
        );

        let tty = self.tty()?;
        let environment = self.environment();
        let mut command = command_or_shell(words(std::mem::take(&mut self.program)), &environment)?;
        if self.init {
            command = under_pid1(command);
        }
        let mut plan = Plan::new(exec(command, environment));
        keep_own_binary(&mut plan, Own::Always);
        let line = tty.map(|number| (number, self.plan_line(&mut plan)));
        if let Some((uid, gid)) = owner {
            plan.then(SetGroups {
                groups: Vec::new(),
                where_allowed: false,
            });
            plan.then(SetGid::all(gid));
            plan.then(SetUid::all(uid));
        }
        if !kinds.is_empty() {
            plan.then(Unshare {
                namespaces: namespace::flags(&kinds),
            });
        }
        maps.plan_outside(&mut plan);
        for clock in clocks {
            plan.then(clock);
        }
        self.plan_fork(&mut plan, &kinds, line.map(|(_, terminal)| terminal));
        self.plan_outside(&mut plan, pins)?;
        if let Some(signal) = kill_child {
            plan.then(DeathSignal { signal });
        }
        if self.setsid {
            plan.then(NewSession);
        }
        if let Some((None, terminal)) = line {
            own_terminal(&mut plan, terminal);
        }
        maps.plan_inside(&mut plan);
        self.plan_names(&mut plan);
        self.plan_mounts(&mut plan, &kinds)?;
        if let Some(gid) = gid {
            plan.then(SetGroups {
                groups: Vec::new(),
                where_allowed: false,
            });
            plan.then(SetGid::all(gid));
        }
        if let Some(uid) = uid {
            plan.then(SetUid::all(uid));
        }
        if self.keep_caps && kinds.contains(&Kind::User) {
            plan.then(KeepCapsAmbient);
        }
        if let (Some(signal), true) = (kill_child, uid.is_some() || gid.is_some()) {
            // A change of ids has cleared it.
            plan.then(DeathSignal { signal });
        }
        if let Some((Some(number), terminal)) = line {
            plan.then(HandDown {
                slot: terminal.theirs,
                number,
            });
        }
        let hint = self.hint(&kinds);
        Ok((plan, hint))
    }

    /// The options of each kind.
    fn namespaces(&self) -> [(Kind, &[Raw]); 8] {
        [
            (Kind::User, &self.user),
            (Kind::Cgroup, &self.cgroup),
            (Kind::Ipc, &self.ipc),
            (Kind::Uts, &self.uts),
            (Kind::Net, &self.net),
            (Kind::Pid, &self.pid),
            (Kind::Mount, &self.mount),
            (Kind::Time, &self.time),
        ]
    }

    /// The kinds that are asked for, or implied.
    fn kinds(&self) -> Vec<Kind> {
        let binfmt = self.mount_binfmt.is_some() || self.load_interp.is_some();
        let implied = |kind: Kind| match kind {
            Kind::User => self.wants_maps() || self.owner.is_some() || binfmt,
            Kind::Mount => self.mount_proc.is_some() || binfmt,
            Kind::Uts => self.hostname.is_some(),
            Kind::Net => self.loopback || self.is_carried(),
            _ => false,
        };
        self.namespaces()
            .into_iter()
            .filter(|(kind, given)| {
                !given.is_empty() || implied(*kind) || self.all && probe::is_known(*kind)
            })
            .map(|(kind, _)| kind)
            .collect()
    }

    /// The kinds that are to be pinned, and where.
    fn pins(&self) -> Result<Vec<(Kind, PathBuf)>> {
        let file = |given: &[Raw]| given.iter().rev().find(|file| !file.0.is_empty()).cloned();
        let pins: Vec<(Kind, PathBuf)> = self
            .namespaces()
            .into_iter()
            .filter_map(|(kind, given)| Some((kind, file(given)?.into_path())))
            .collect();
        if !self.forks() && pins.iter().any(|(kind, _)| *kind == Kind::Pid) {
            return Err(Error::new("--pid=FILE needs --fork")
                .hint("a PID namespace can be pinned once its first process is there: add -f"));
        }
        Ok(pins)
    }

    fn forks(&self) -> bool {
        let implied = self.setsid || self.tty.is_some() || self.init || self.is_carried();
        self.fork || self.all || self.kill_child.is_some() || self.forward_signals || implied
    }

    /// Whether the packets of the new network namespace are carried by a program.
    #[cfg(feature = "net")]
    fn is_carried(&self) -> bool {
        self.carrier.is_some()
    }

    #[cfg(not(feature = "net"))]
    fn is_carried(&self) -> bool {
        false
    }

    /// What a process that stays outside does with the new namespaces.
    fn plan_outside(&self, plan: &mut Plan, pins: Vec<(Kind, PathBuf)>) -> Result<()> {
        for (kind, file) in pins {
            plan.outside(Pin::new(kind, file));
        }
        #[cfg(feature = "net")]
        self.plan_carrier(plan)?;
        Ok(())
    }

    #[cfg(feature = "net")]
    fn plan_carrier(&self, plan: &mut Plan) -> Result<()> {
        use isobox::net::user;
        let Some(Raw(name)) = &self.carrier else {
            return match self.publish.is_empty() {
                true => Ok(()),
                false => Err(Error::new("option --publish requires --carrier")),
            };
        };
        let kind = name.to_str().and_then(user::Kind::named);
        let kind = kind.ok_or_else(|| {
            Error::new("unsupported carrier:")
                .on(name)
                .because("pasta and slirp4netns are those there are")
        })?;
        let ports = self.publish.iter().flat_map(|one| one.0.clone()).collect();
        let carrier = crate::cli::carrier::carrier(&[kind], ports)?;
        let typed = self.publish.iter().map(|one| one.1.clone()).collect();
        plan.outside_during(CarryNetwork::new(carrier, typed));
        Ok(())
    }

    /// The number of the descriptor over which `pivot` sends the terminal; none where it is made here.
    fn tty(&self) -> Result<Option<Option<i32>>> {
        let Some(Raw(word)) = &self.tty else {
            return Ok(None);
        };
        if word.is_empty() {
            return Ok(Some(None));
        }
        let number = word
            .to_str()
            .and_then(|text| text.parse().ok())
            .filter(|number| *number > 2);
        let bad = || {
            Error::new("invalid descriptor")
                .on(word)
                .because("a number above 2 is expected")
        };
        Ok(Some(Some(number.ok_or_else(bad)?)))
    }

    /// The line over which the terminal comes.
    fn plan_line(&self, plan: &mut Plan) -> Terminal {
        let (ours, theirs, input) = (plan.slot(), plan.slot(), !self.no_input);
        plan.then(TerminalLine {
            ours,
            theirs,
            input,
        });
        Terminal {
            ours,
            theirs,
            input,
        }
    }

    fn plan_fork(&self, plan: &mut Plan, kinds: &[Kind], terminal: Option<Terminal>) {
        if !self.forks() {
            return;
        }
        let (why, without) = if kinds.contains(&Kind::Pid) {
            (
                "no process enters a new PID namespace itself: the first child is its PID 1, and when that ends the kernel ends the rest; this process waits, and ends as the child ends",
                "the program would stay in the old PID namespace",
            )
        } else {
            (
                "the program is to be a child; this process waits, and ends as the child ends",
                "this process would become the program: same pid, nobody waiting",
            )
        };
        plan.fork(Fork {
            namespaces: CloneFlags::empty(),
            cgroup: None,
            why: why.into(),
            without: without.into(),
        });
        let signals = match (terminal, self.forward_signals) {
            (Some(_), _) => Signals::Proxy,
            (None, true) => Signals::Forward,
            (None, false) => Signals::Hold,
        };
        plan.wait(Wait { signals, terminal });
    }

    fn kill_child(&self) -> Result<Option<i32>> {
        let Some(word) = &self.kill_child else {
            return Ok(None);
        };
        if word.0.is_empty() {
            return Ok(Some(libc::SIGKILL));
        }
        let number = word.0.to_str().and_then(signal_number);
        let unknown = || Error::new(format!("unknown signal: {}", word.0.display()));
        number.ok_or_else(unknown).map(Some)
    }

    fn clocks(&self, kinds: &[Kind]) -> Result<Vec<ClockOffset>> {
        let given = [
            (Clock::Boottime, "boottime", &self.boottime),
            (Clock::Monotonic, "monotonic", &self.monotonic),
        ];
        let mut clocks = Vec::new();
        for (clock, name, word) in given {
            let Some(word) = word else { continue };
            let seconds = seconds(&word.0).map_err(|errno| {
                let error = unparsed(&format!("{name} offset"), &word.0);
                match errno {
                    Errno::ERANGE => error.errno_is(errno),
                    _ => error,
                }
            })?;
            clocks.push(ClockOffset {
                clock,
                seconds,
                nanoseconds: 0,
            });
        }
        if !clocks.is_empty() && !kinds.contains(&Kind::Time) {
            return Err(Error::new(
                "options --monotonic and --boottime require unsharing of a time namespace (-T)",
            ));
        }
        Ok(clocks)
    }

    fn owner(&self) -> Result<Option<(u32, u32)>> {
        let Some(word) = &self.owner else {
            return Ok(None);
        };
        let ids = word.0.to_str().and_then(|text| {
            let (uid, gid) = text.split_once(':')?;
            Some((decimal(uid)?, decimal(gid)?))
        });
        let unread = || Error::new("failed to parse owner").because("UID:GID is wanted");
        ids.ok_or_else(unread).map(Some)
    }

    fn plan_names(&self, plan: &mut Plan) {
        if let Some(name) = &self.hostname {
            plan.then(SetHostname {
                name: name.0.clone(),
            });
        }
        if self.loopback {
            plan.then(LoopbackUp);
        }
    }

    /// Propagation, root, working directory, and what is mounted for the program.
    fn plan_mounts(&self, plan: &mut Plan, kinds: &[Kind]) -> Result<()> {
        let propagation = self.propagation()?;
        if let (true, Some(kind)) = (kinds.contains(&Kind::Mount), propagation) {
            plan.then(Propagation { kind });
        }
        let binfmt = self.binfmt();
        let line = self.load_interp.as_ref().map(|line| line.0.clone());
        let early = self.root.is_some() && line.as_deref().is_some_and(binfmt::is_fixed);
        if let (Some(line), true) = (&line, early) {
            let place = PathBuf::from(binfmt::PLACE);
            plan.then(MountBinfmt {
                target: place.clone(),
            });
            plan.then(RegisterInterpreter {
                place,
                line: line.clone(),
            });
        }
        if let Some(root) = &self.root {
            plan.then(Chroot {
                root: root.clone().into_path(),
            });
        }
        let wd = self.wd.clone().map(Raw::into_path);
        if let Some(path) = wd.or_else(|| self.root.is_some().then(|| "/".into())) {
            plan.then(ChangeDirectory { path });
        }
        if let Some(target) = self.proc_target() {
            if self.root.is_none() && propagation != Some(MsFlags::MS_PRIVATE) {
                plan.then(PrivateMount {
                    target: target.clone(),
                });
            }
            plan.then(MountProc { target });
        }
        if let Some(place) = binfmt {
            plan.then(MountBinfmt {
                target: place.clone(),
            });
            if let (Some(line), false) = (line, early) {
                plan.then(RegisterInterpreter { place, line });
            }
        }
        Ok(())
    }

    /// `None` for unchanged.
    fn propagation(&self) -> Result<Option<MsFlags>> {
        let Some(word) = &self.propagation else {
            return Ok(Some(MsFlags::MS_PRIVATE));
        };
        Ok(match word.0.as_bytes() {
            b"private" => Some(MsFlags::MS_PRIVATE),
            b"slave" => Some(MsFlags::MS_SLAVE),
            b"shared" => Some(MsFlags::MS_SHARED),
            b"unchanged" => None,
            _ => {
                return Err(Error::new(format!(
                    "unsupported propagation mode: {}",
                    word.0.display()
                )));
            }
        })
    }

    fn proc_target(&self) -> Option<PathBuf> {
        let default = || PathBuf::from("/proc");
        match &self.mount_proc {
            Some(Raw(dir)) if !dir.is_empty() => Some(dir.into()),
            Some(_) => Some(default()),
            // The default place of binfmt_misc lies in a /proc of our own.
            None => (self.binfmt()?.as_os_str() == binfmt::PLACE).then(default),
        }
    }

    fn binfmt(&self) -> Option<PathBuf> {
        match &self.mount_binfmt {
            Some(Raw(dir)) if !dir.is_empty() => Some(dir.into()),
            Some(_) => Some(binfmt::PLACE.into()),
            None => self.load_interp.is_some().then(|| binfmt::PLACE.into()),
        }
    }

    /// The environment the program gets.
    fn environment(&self) -> Vec<OsString> {
        if !self.clear_env && self.whitelist_env.is_empty() {
            return environment();
        }
        let kept: Vec<&[u8]> = self
            .whitelist_env
            .iter()
            .flat_map(|list| list.0.as_bytes().split(|b| *b == b','))
            .collect();
        let is_kept = |entry: &OsString| {
            let name = entry
                .as_bytes()
                .split(|b| *b == b'=')
                .next()
                .unwrap_or_default();
            kept.contains(&name)
        };
        environment().into_iter().filter(is_kept).collect()
    }

    /// What is worth saying before it happens: to a person, not to a script that reads standard error.
    fn hint(&self, kinds: &[Kind]) -> Option<&'static str> {
        if !kinds.contains(&Kind::Pid) {
            return None;
        }
        if !self.forks() && (self.explain.is_some() || std::io::stderr().is_terminal()) {
            return Some(
                "--pid without --fork: the program stays in the old PID namespace, its first child is PID 1 of the new one, and when that ends no process can be made any more (Cannot allocate memory)",
            );
        }
        if self.explain.is_some() && self.mount_proc.is_none() && self.root.is_none() {
            return Some(
                "--pid without --mount-proc: ps(1) reads /proc, which shows the processes of the host",
            );
        }
        None
    }
}

/// A number of seconds, which may be negative.
fn seconds(word: &OsStr) -> Result<i64, Errno> {
    let text = word.to_str().ok_or(Errno::EINVAL)?;
    text.trim_ascii_start()
        .parse()
        .map_err(|error: ParseIntError| match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => Errno::ERANGE,
            _ => Errno::EINVAL,
        })
}

/// The number of an option, where it is given.
fn number(what: &str, word: Option<&Raw>) -> Result<Option<u32>> {
    let Some(word) = word else {
        return Ok(None);
    };
    match typed(&word.0) {
        Typed::Id(id) => Ok(Some(id)),
        _ => Err(unparsed(what, &word.0)),
    }
}

/// The same command below our own first process.
fn under_pid1(command: Command) -> Command {
    // argv[0] of a login shell starts with a dash, which a command line cannot say: the program's name stands for it.
    let rest = command.argv.into_iter().skip(1);
    let argv = ["pid1".into(), "--".into(), command.program]
        .into_iter()
        .chain(rest)
        .collect();
    Command {
        program: "pid1".into(),
        argv,
    }
}
