//! Containers that are kept: where, how they are found by what somebody types, and what they are now.

use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use isobox::decimal::decimal;
use isobox::error::{Doing, Error, Result};
use isobox::lock::Locked;
use isobox::namespace::Kind;
use isobox::oci::home::{Home, Homes};
use isobox::oci::lifecycle::{Container, Refusal};
use isobox::oci::ranges::Ranges;
use isobox::oci::state::Id;
use isobox::oci::status::Status;
use isobox::oci::time;
use nix::unistd::geteuid;

use crate::cli::raw::Raw;
use crate::cli::{Exit, help, say};

/// Where this user's containers are kept.
pub(super) struct Shelf {
    /// What of them lives on.
    pub(super) homes: Homes,
    /// What of them is there while they run.
    pub(super) live: PathBuf,
}

/// What a container is now.
pub(super) enum Now {
    /// It has not run yet.
    Created,
    /// It has a first process, of this number.
    Live(Status, i32),
    /// It has ended with this status; 255 where nobody saw it.
    Exited(u8),
}

impl Now {
    /// docker's word for it.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Live(Status::Paused, _) => "paused",
            Self::Live(..) => "running",
            Self::Exited(_) => "exited",
        }
    }
}

fn variable(name: &str) -> Option<PathBuf> {
    let value = env::var_os(name).map(PathBuf::from);
    value.filter(|path| path.is_absolute())
}

/// A directory for what need not outlive the session: the one that is meant for it, if it is ours. There is none in
/// `/tmp`: whoever is there first could have written down containers for us to believe in.
fn runtime_directory() -> Option<PathBuf> {
    let uid = geteuid().as_raw();
    let ours = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|meta| meta.uid() == uid);
    let usual = Path::new("/run/user").join(uid.to_string());
    let found = [variable("XDG_RUNTIME_DIR"), Some(usual)];
    found.into_iter().flatten().find(ours)
}

/// Where everything is: what lives on, and what does not.
pub(in crate::table) fn places() -> (PathBuf, PathBuf) {
    if let Some(root) = variable("ISOBOX_ROOT") {
        return (root.join("containers"), root.join("run"));
    }
    if geteuid().is_root() {
        return (
            "/var/lib/isobox/containers".into(),
            "/run/isobox/container".into(),
        );
    }
    let home = || {
        variable("HOME")
            .unwrap_or_else(|| "/".into())
            .join(".local/share")
    };
    let data = variable("XDG_DATA_HOME").unwrap_or_else(home);
    let live = match runtime_directory() {
        Some(dir) => dir.join("isobox/container"),
        None => data.join("isobox/run"),
    };
    (data.join("isobox/containers"), live)
}

impl Shelf {
    /// Ours.
    pub(super) fn ours() -> Self {
        let (homes, live) = places();
        Self {
            homes: Homes::new(homes),
            live,
        }
    }

    /// The container that is meant: by its id, its name, or how its id begins.
    pub(super) fn find(&self, Raw(word): &Raw) -> Result<Home> {
        let found = self.meant(word)?;
        found.ok_or_else(|| Error::new("no such container:").on(word))
    }

    fn meant(&self, word: &OsStr) -> Result<Option<Home>> {
        let text = word.to_str().unwrap_or_default();
        if let Some(id) = Id::new(text)
            && let Some(home) = self.homes.find(&id)?
        {
            return Ok(Some(home));
        }
        if let Some(home) = self.named(text)? {
            return Ok(Some(home));
        }
        let hex = !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
        let ids = self.homes.ids()?;
        let mut meant = ids.iter().filter(|id| hex && id.as_str().starts_with(text));
        match (meant.next(), meant.next()) {
            (Some(id), None) => self.homes.find(id),
            (Some(_), Some(_)) => {
                Err(Error::new("several containers have an id that begins with").on(word))
            }
            _ => Ok(None),
        }
    }

    /// The file of a namespace of the first process of a container, for another that is to share it: of one of ours, or
    /// of one of `runc`.
    pub(super) fn namespace_of(&self, word: &str, kind: Kind) -> Result<PathBuf> {
        let live = match self.meant(word.as_ref())? {
            Some(home) => self.running(&home)?,
            None => of_runc(word)?,
        };
        let pid = live.record().init_process_pid;
        Ok(format!("/proc/{pid}/ns/{}", kind.proc_name()).into())
    }

    /// The container of this name.
    pub(super) fn named(&self, name: &str) -> Result<Option<Home>> {
        let name = name.strip_prefix('/').unwrap_or(name);
        let all = self.homes.all()?;
        Ok(all
            .into_iter()
            .find(|home| !name.is_empty() && home.fact("name") == name))
    }

    /// What lives of it; `None` where nothing does.
    pub(super) fn live(&self, home: &Home) -> Result<Option<Container>> {
        match Container::find(&self.live, home.id()) {
            Ok(container) => Ok(Some(container)),
            Err(Refusal::Absent) => Ok(None),
            Err(other) => Err(other.into_error()),
        }
    }

    /// What lives of it, with a first process that has not ended.
    pub(super) fn running(&self, home: &Home) -> Result<Container> {
        has_begun(self.live(home)?, shown(home))
    }

    /// What it is now.
    pub(super) fn now(&self, home: &Home) -> Result<Now> {
        if let Some(live) = self.live(home)? {
            let state = live.state()?;
            if state.pid > 0 {
                return Ok(Now::Live(state.status, state.pid));
            }
        }
        let end = home.end();
        let known = ["status", "started"].map(|key| end.value(key));
        Ok(match known {
            [None, None] => Now::Created,
            [status, _] => Now::Exited(status.map(String::as_str).and_then(decimal).unwrap_or(255)),
        })
    }

    /// Takes it away, and whatever lives of it: first what others see of it, last what says that it was there.
    pub(super) fn remove(&self, home: &Home) -> Result<()> {
        let _held = until_idle(home, &mut || match self.live(home)? {
            Some(live) => live.delete(true).map_err(Refusal::into_error),
            None => isobox::oci::lifecycle::clear(&self.live, home.id()),
        })?;
        #[cfg(feature = "net")]
        super::network::clear_leases()?;
        forget(home)
    }
}

/// Does something until no monitor has the container: it may have made nothing of it yet that could be ended, and it
/// may be taking things away at this moment. Whoever gets the lock is sure that nothing will live of it.
///
/// # Errors
/// Those of `act`, and where the monitor does not go for half a minute.
pub(super) fn until_idle(home: &Home, act: &mut dyn FnMut() -> Result<()>) -> Result<Locked> {
    let mut pause = Duration::from_micros(500);
    loop {
        act()?;
        if let Some(held) = home.occupy()? {
            return Ok(held);
        }
        if pause > Duration::from_secs(10) {
            return Err(Error::new("another process is busy with container").on(shown(home)));
        }
        sleep(pause);
        pause = pause * 3 / 2;
    }
}

/// A container with a first process that has not ended.
fn has_begun(live: Option<Container>, name: &str) -> Result<Container> {
    let live = live.filter(|one| one.record().first().is_some());
    live.ok_or_else(|| Error::new("the container is not running:").on(name))
}

/// A refusal, with the name of the container.
pub(super) fn refused(home: &Home, refusal: Refusal) -> Error {
    match refusal {
        Refusal::In(Status::Stopped) => Error::new("the container is not running:").on(shown(home)),
        Refusal::In(status) => Error::new(format!("the container is {status}:")).on(shown(home)),
        other => other.into_error(),
    }
}

/// A running container that `runc` keeps, where it does so without `--root`.
fn of_runc(id: &str) -> Result<Container> {
    let own = env::var_os("XDG_RUNTIME_DIR").filter(|dir| !geteuid().is_root() && !dir.is_empty());
    let store = Path::new(&own.unwrap_or_else(|| "/run".into())).join("isobox/runc");
    match Id::new(id).map(|id| Container::find(&store, &id)) {
        Some(Ok(found)) => has_begun(Some(found), id),
        Some(Err(Refusal::Failed(error))) => Err(error),
        _ => Err(Error::new("no such container:").on(id).hint(format!(
            "'container ps -a' and 'runc --root {} list' show those there are",
            store.display()
        ))),
    }
}

/// Takes away what lives on of a container of which nothing lives.
pub(super) fn forget(home: &Home) -> Result<()> {
    if !home.fact("of-image").is_empty() {
        super::images::forget(&super::images::local()?, home.id().as_str())?;
    }
    home.remove()?;
    match home.fact("mapped-root") {
        "" => Ok(()),
        _ => Ranges::new(&Shelf::ours().homes).sweep(),
    }
}

/// Its name for people.
pub(super) fn shown(home: &Home) -> &str {
    home.fact("name")
}

/// The first twelve digits of an id.
pub(super) fn short(home: &Home) -> &str {
    let id = home.id().as_str();
    id.get(..12).unwrap_or(id)
}

/// Sixty-four random hexadecimal digits.
pub(super) fn new_id() -> Result<Id> {
    let mut text = String::with_capacity(72);
    while text.len() < 64 {
        text.push_str(&isobox::oci::random_name()?.to_string_lossy());
    }
    text.truncate(64);
    Id::new(&text).ok_or_else(|| Error::new("no id"))
}

/// A name that nobody has chosen and nobody has.
pub(super) fn new_name(shelf: &Shelf) -> Result<String> {
    const HOW: [&str; 16] = [
        "bold", "brisk", "calm", "clever", "fair", "gentle", "keen", "kind", "light", "merry",
        "neat", "proud", "quick", "quiet", "sunny", "wise",
    ];
    const WHO: [&str; 16] = [
        "badger", "crane", "dolphin", "falcon", "finch", "fox", "hare", "heron", "lynx", "marten",
        "otter", "owl", "robin", "stork", "swift", "wren",
    ];
    let mut text;
    loop {
        let bytes = isobox::sys::task::random().doing("cannot get random bytes")?;
        let word = |words: &[&'static str; 16], byte: u8| words[usize::from(byte % 16)];
        text = format!("{}_{}", word(&HOW, bytes[0]), word(&WHO, bytes[1]));
        if shelf.named(&text)?.is_none() {
            return Ok(text);
        }
        text = format!("{text}{}", bytes[2]);
        if shelf.named(&text)?.is_none() {
            return Ok(text);
        }
    }
}

/// A point in time that is a fact; `None` where it is none.
pub(super) fn at(nanoseconds: &str) -> Option<SystemTime> {
    decimal(nanoseconds).map(|n| UNIX_EPOCH + Duration::from_nanos(n))
}

/// The same as RFC 3339 has it; docker's text for never where it is none.
pub(super) fn date(nanoseconds: Option<&String>) -> String {
    let at = nanoseconds.and_then(|text| at(text));
    at.map_or_else(|| "0001-01-01T00:00:00Z".into(), time::nanoseconds)
}

/// Does something to each of these containers, and tells whose turn was a success, as docker does.
pub(super) fn each(words: &[Raw], act: &mut dyn FnMut(&Shelf, Home) -> Result<()>) -> Result<Exit> {
    let shelf = Shelf::ours();
    let mut exit = Exit::OK;
    for word in words {
        match shelf.find(word).and_then(|home| act(&shelf, home)) {
            Ok(()) => drop(help::print_all(&format!("{}\n", word.0.display()))?),
            Err(error) => {
                complain(&error);
                exit = Exit::Status(1);
            }
        }
    }
    Ok(exit)
}

/// Tells an error that is not the end.
pub(super) fn complain(error: &Error) {
    let hint = error.advice().map(|hint| format!("hint: {hint}\n"));
    say(&format!("container: {error}\n{}", hint.unwrap_or_default()));
}

/// An error where there is no operand.
pub(super) fn at_least_one(words: &[Raw]) -> Result<()> {
    match words.is_empty() {
        true => Err(Error::new("no container given").status(125)),
        false => Ok(()),
    }
}
