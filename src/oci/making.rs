//! What the maker of a kept container decides besides its spec, and what is written down of it on the way.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, Pid, access, geteuid};

use super::spec::{Spec, VERSION};
use super::state::{Config, Id, Kept, Own, Record, write_beside};
use super::time;
use crate::cgroup::{Group, Hierarchies, Setting, Version, group_path, tree};
use crate::error::{Doing, Error, Result};
use crate::json::Map;
use crate::landlock::Domain;
use crate::plan::confine::{Confinement, Place};
use crate::plan::steps::process::DeathSignal;
use crate::plan::steps::scope::Wanted;
use crate::plan::steps::start::{AwaitStart, ListenForStart};
use crate::plan::{Context, Explanation, Leave, Plan, Shell, Slot, Step};
use crate::sys::beside::NewNamespaces;
use crate::sys::clone::pidfd_open;
use crate::terminal;

/// What the maker of a container decides.
#[derive(Debug, Default)]
pub struct Making {
    /// It outlives its maker, and waits for its start.
    pub detached: bool,
    /// Its maker may leave it alone, and may be killed without it.
    pub may_leave: bool,
    /// Its terminal goes to whoever listens on this socket; without, to the maker.
    pub console: Option<PathBuf>,
    /// How many descriptors its program inherits besides standard input, output and error.
    pub preserve: u32,
    /// It keeps the session keyring of its maker.
    pub keep_keyring: bool,
    /// What a program that joins gives up besides (landlock(7)).
    pub landlock: Option<Domain>,
    /// Its control groups.
    pub confinement: Option<Confinement>,
    /// The scope that its control group is, where systemd makes that.
    pub scope: Option<Rc<Wanted>>,
    /// What notes down its first process.
    pub note: Option<Rc<Note>>,
    /// Where control groups may not be made it goes without, if no limit was asked for.
    pub lenient: bool,
    /// The manager's socket that hears when its program is ready (sd_notify(3)).
    pub notify: Option<OsString>,
    /// The socket on which it waits for its start.
    pub listener: Option<PathBuf>,
    /// Those of its namespaces that have been begun already.
    pub begun: RefCell<Option<NewNamespaces>>,
}

impl Making {
    /// Whether the program dies with its maker.
    pub fn dies_with_maker(&self) -> bool {
        !self.detached && !self.may_leave
    }

    /// Has it wait for its start on the socket of this directory.
    pub fn wait_in(&mut self, kept: &Kept) {
        self.listener = Some(kept.socket());
    }

    /// Before the fork: the socket on which the start will be told.
    pub(super) fn prepare(&self, plan: &mut Plan) -> Option<Slot> {
        let path = self.listener.clone()?;
        let slot = plan.slot();
        plan.then(ListenForStart { path, slot });
        Some(slot)
    }

    /// Behind everything but the program: the maker goes, and the start is awaited.
    pub(super) fn part(&self, plan: &mut Plan, listener: Option<Slot>) {
        let Some(listener) = listener else {
            return;
        };
        // First this, then the note: whoever finds its maker gone by then ends, whoever does not is noted down.
        plan.then(DeathSignal { signal: 0 });
        if let Some(note) = &self.note {
            plan.outside(NoteFirst(Rc::clone(note)));
        }
        let line = plan.slot();
        plan.leave(Leave {
            line,
            keep: self.preserve,
            why: "the container is created and outlives its maker, who goes".into(),
            without: "create could not come back before the program has ended".into(),
        });
        plan.then(AwaitStart { listener, line });
    }
}

/// What is written down when the first process is there.
pub struct Note {
    /// Where.
    pub kept: Kept,
    /// What, but for the first process.
    pub record: RefCell<Record>,
    /// A file for its number, besides.
    pub pid_file: Option<PathBuf>,
    /// A socket for its pidfd.
    pub pidfd_socket: Option<PathBuf>,
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Note({})", self.kept.id())
    }
}

impl Note {
    /// Writes it down.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn write(&self, first: Pid) -> Result<()> {
        let mut record = self.record.borrow_mut();
        record.note_first(first)?;
        self.kept.keep(&record)?;
        if let Some(path) = &self.pidfd_socket {
            let pidfd = pidfd_open(first).doing("cannot hold the first process")?;
            send_pidfd(path, pidfd.as_fd())?;
        }
        match &self.pid_file {
            Some(path) => write_pid_file(path, first),
            None => Ok(()),
        }
    }
}

/// Sends a pidfd to whoever listens at `path`.
///
/// # Errors
/// Those of connect(2) and sendmsg(2).
pub fn send_pidfd(path: &Path, pidfd: BorrowedFd<'_>) -> Result<()> {
    let line = crate::plan::steps::start::connect_to(path)?;
    terminal::send(line.as_fd(), pidfd)
}

/// Writes the number of a process to a file, which is there as a whole or not at all.
///
/// # Errors
/// The kernel's answer.
pub fn write_pid_file(path: &Path, pid: Pid) -> Result<()> {
    let bad = || Error::new("cannot write").on(path);
    let name: &OsStr = path.file_name().ok_or_else(bad)?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let dir = openat(AT_FDCWD, parent, flags, Mode::empty()).doing_to("cannot open", parent)?;
    write_beside(dir.as_fd(), name, pid.to_string().as_bytes(), 0o666)
        .doing_to("cannot write", path)
}

/// Writes down the first process of a container, from outside.
#[derive(Debug)]
pub struct NoteFirst(Rc<Note>);

impl Step for NoteFirst {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        self.0.write(cx.program())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "pidfd_open(), read(\"/proc/PID/stat\"), rename(\"{}/.state.json.new\", \"state.json\")",
                self.0.kept.id()
            ),
            "its number, when it started and the inode of its pidfd: by these three it can be told from every other process",
            "nobody would find the container again; or somebody would signal whoever got its number",
            "pidfd_open(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// The control groups of a container: where its spec says, else one called as it is below the group of its maker.
/// It gets one in every hierarchy, so that all of it can be found, stopped and counted there.
///
/// # Errors
/// Where there is no control group, or none that holds a controller that is asked for.
pub fn confinement(
    all: &Hierarchies,
    path: &Path,
    id: &Id,
    settings: Vec<Setting>,
) -> Result<Confinement> {
    if path.is_absolute() {
        let place = Place {
            controllers: vec!["*".into()],
            path: group_path(path.as_os_str())?,
        };
        return Confinement::new(all, &[place], settings);
    }
    let name = match path.as_os_str().is_empty() {
        true => id.as_str().into(),
        false => group_path(path.as_os_str())?,
    };
    let mut places = Vec::new();
    for hierarchy in all.all().iter().filter(|one| !one.controllers.is_empty()) {
        let above = hierarchy.own()?.or_parent();
        places.push(Place {
            controllers: hierarchy.controllers.clone(),
            path: above.path.join(&name),
        });
    }
    Confinement::new(all, &places, settings)
}

/// Whether this user may make these groups.
pub(super) fn may_make(confinement: &Confinement) -> bool {
    confinement.groups().all(|group| {
        let levels = group.levels();
        let there = levels.iter().rev().find(|level| level.exists());
        there.is_some_and(|level| access(&level.shown(), AccessFlags::W_OK).is_ok())
    })
}

/// What is known of a container before anything of it is there.
pub fn record(id: &Id, spec: &Spec, bundle: &Path, making: &Making) -> Record {
    let mut labels: Vec<String> = spec
        .annotations
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    labels.push(format!("bundle={}", bundle.display()));
    let mut cgroup_paths = Map::default();
    let (mut made_above, mut shared) = (Vec::new(), Vec::new());
    let scope = making.scope.as_deref();
    let confinement = making.confinement.iter();
    for group in confinement.flat_map(Confinement::groups) {
        let here = std::slice::from_ref(group);
        if group.exists() && tree::processes(here).is_ok_and(|all| !all.is_empty()) {
            shared.push(group.shown());
        }
        for name in names(group) {
            cgroup_paths.put(&name, group.shown());
        }
        // What is above a scope are slices of systemd's.
        let levels = if scope.is_some() {
            Vec::new()
        } else {
            group.levels()
        };
        let above = levels
            .into_iter()
            .filter(|level| level.path != group.path && !level.path.as_os_str().is_empty());
        made_above.extend(
            above
                .filter(|level| !level.exists())
                .map(|level| level.shown()),
        );
    }
    Record {
        id: id.to_string(),
        created: time::nanoseconds(SystemTime::now()),
        config: Config {
            rootfs: spec.root.path.clone(),
            labels,
            version: VERSION.into(),
        },
        rootless: !geteuid().is_root(),
        cgroup_paths,
        isobox: Own {
            made_above,
            shared,
            unit: scope.map_or_else(String::new, |wanted| wanted.scope.unit.clone()),
            manager: scope.map_or_else(PathBuf::new, |wanted| wanted.socket.clone()),
            poststart: !spec.hooks.poststart.is_empty(),
            poststop: !spec.hooks.poststop.is_empty(),
            ..Own::default()
        },
        ..Record::default()
    }
}

/// The controllers of a group's hierarchy in v1's words; the empty word for v2.
fn names(group: &Group) -> Vec<String> {
    match group.hierarchy.version {
        Version::V2 => vec![String::new()],
        Version::V1 => {
            let word = |name: &String| match &**name {
                "io" => "blkio".to_owned(),
                other => other.to_owned(),
            };
            group.hierarchy.controllers.iter().map(word).collect()
        }
    }
}

impl Record {
    /// The directory it was made from.
    pub fn bundle(&self) -> &str {
        let bundle = self.config.labels.iter().rev();
        bundle
            .filter_map(|label| label.strip_prefix("bundle="))
            .next()
            .unwrap_or("")
    }

    /// Its annotations.
    pub fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        let labels = self.config.labels.iter();
        labels
            .filter_map(|label| label.split_once('='))
            .filter(|(name, _)| *name != "bundle")
    }
}
