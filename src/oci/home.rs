//! What of a container lives on when it does not run, in a directory each: `ROOT/ID/`.
//!
//! | file | |
//! |---|---|
//! | `facts.json` | its name, its image, how it is to be run: texts by key |
//! | `config.json` | its spec |
//! | `end.json` | when it was started last, and how it ended |
//! | `log`, `log.1` | what it wrote ([`super::log`]) |
//!
//! The directory is locked by the container's monitor ([`super::monitor`]) as long as that lives: whoever waits for the
//! container's end waits for the lock. What lives of a running container is the engine's ([`super::state`]).

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::spec::{Map, Root, Spec};
use super::state::{Id, Kept, Store};
use crate::error::{Doing, Error, Result};
use crate::lock::Locked;

/// The homes of all containers of a user.
#[derive(Debug)]
pub struct Homes {
    path: PathBuf,
}

/// The home of one.
#[derive(Debug)]
pub struct Home {
    kept: Kept,
    path: PathBuf,
    /// Texts by key, which whoever made it chose.
    pub facts: Map<String>,
}

/// Held by whoever changes names: two containers must not get the same.
#[derive(Debug)]
pub struct Names(#[allow(dead_code, reason = "held")] Locked);

const DIRECTORY: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_CLOEXEC);

impl Homes {
    /// Those below `path`, which need not be there yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps others from giving names until dropped.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn names(&self) -> Result<Names> {
        Store::make(&self.path)?;
        let dir = nix::fcntl::open(&self.path, DIRECTORY, Mode::empty());
        let dir = dir.doing_to("cannot open", &self.path)?;
        let lock = Locked::exclusive(dir).doing_to("cannot lock", &self.path)?;
        Ok(Names(lock))
    }

    /// Makes a home.
    ///
    /// # Errors
    /// The kernel's answer; nothing is left then.
    pub fn make(&self, id: &Id, facts: Map<String>, spec: &Spec) -> Result<Home> {
        let taken = || Error::new("there is a container").on(id.as_str());
        let (kept, _lock) = Store::make(&self.path)?.claim(id)?.ok_or_else(taken)?;
        let home = Home {
            path: self.path.join(id.as_str()),
            kept,
            facts,
        };
        let written = home
            .keep("facts.json", &home.facts)
            .and_then(|()| home.keep_spec(spec));
        match written {
            Ok(()) => Ok(home),
            Err(error) => {
                let _ = home.remove();
                Err(error)
            }
        }
    }

    /// The home of this container; `None` where there is none.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn find(&self, id: &Id) -> Result<Option<Home>> {
        let Some(kept) = Store::look(&self.path)?
            .map(|store| store.find(id))
            .transpose()?
            .flatten()
        else {
            return Ok(None);
        };
        let path = self.path.join(id.as_str());
        // Whoever made it may have been killed before it wrote them down.
        let facts = read(&kept, "facts.json")?.unwrap_or_default();
        Ok(Some(Home { kept, path, facts }))
    }

    /// The names of all directories here.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn ids(&self) -> Result<Vec<Id>> {
        match Store::look(&self.path)? {
            Some(store) => store.ids(),
            None => Ok(Vec::new()),
        }
    }

    /// All that can be read.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn all(&self) -> Result<Vec<Home>> {
        let ids = self.ids()?;
        Ok(ids
            .iter()
            .filter_map(|id| self.find(id).ok().flatten())
            .collect())
    }

    /// Takes away what is left of a home that cannot be read.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn clear(&self, id: &Id) -> Result<()> {
        match fs::remove_dir_all(self.path.join(id.as_str())) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.doing_to("cannot remove", self.path.join(id.as_str())),
        }
    }
}

fn read(kept: &Kept, file: &str) -> Result<Option<Map<String>>> {
    let text = kept.read(file)?;
    text.map(|text| Map::parse(&text, file)).transpose()
}

impl Home {
    /// The container's id.
    pub fn id(&self) -> &Id {
        self.kept.id()
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same by descriptor.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.kept.dir()
    }

    /// What is known by this key; the empty text where nothing is.
    pub fn fact(&self, key: &str) -> &str {
        self.facts.value(key).map_or("", String::as_str)
    }

    /// Writes down what is known by a key from now on.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn change(&mut self, key: &str, value: &str) -> Result<()> {
        self.facts.put(key, value.into());
        self.keep("facts.json", &self.facts)
    }

    fn keep(&self, file: &str, facts: &Map<String>) -> Result<()> {
        self.kept.write(file, facts.to_json()?.as_bytes())
    }

    /// How it was run last: `started`, `finished` (nanoseconds since 1970), `status`, `error`, `oom`.
    pub fn end(&self) -> Map<String> {
        read(&self.kept, "end.json")
            .ok()
            .flatten()
            .unwrap_or_default()
    }

    /// Writes that down.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn keep_end(&self, end: &Map<String>) -> Result<()> {
        self.keep("end.json", end)
    }

    /// Whether all is there that it is made of; whoever made it, or took it away, may have come half way.
    ///
    /// # Errors
    /// Where that cannot be seen.
    pub fn is_whole(&self) -> Result<bool> {
        Ok(!self.facts.is_empty() && self.kept.read("config.json")?.is_some())
    }

    /// What it is to be.
    ///
    /// # Errors
    /// Where that cannot be read.
    pub fn spec(&self) -> Result<Spec> {
        let text = self.kept.read("config.json")?;
        let gone = || Error::new("the container has no config.json");
        let mut spec = Spec::parse(&text.ok_or_else(gone)?)?;
        recall_root(&mut spec.root, &self.facts);
        Ok(spec)
    }

    /// Writes that down.
    ///
    /// # Errors
    /// For a word that is no UTF-8, and the kernel's answer.
    pub fn keep_spec(&self, spec: &Spec) -> Result<()> {
        self.kept.write("config.json", spec.to_json()?.as_bytes())
    }

    /// Has it run by this process, until the lock is dropped; `None` where another runs it.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn occupy(&self) -> Result<Option<Locked>> {
        Locked::exclusive_now(self.reopen()?).doing_to("cannot lock", &self.path)
    }

    /// Whether a monitor has it.
    pub fn is_occupied(&self) -> bool {
        self.kept.is_busy()
    }

    /// Waits until no monitor has it.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn wait(&self) -> Result<()> {
        let free = Locked::shared(self.reopen()?);
        free.map(drop).doing_to("cannot wait for", &self.path)
    }

    fn reopen(&self) -> Result<OwnedFd> {
        openat(self.kept.dir().as_fd(), ".", DIRECTORY, Mode::empty())
            .doing_to("cannot open", &self.path)
    }

    /// Takes it away with all that is in it.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn remove(&self) -> Result<()> {
        self.kept.remove()
    }
}

/// What config.json cannot say of a root, as facts.
pub fn note_root(root: &Root, facts: &mut Map<String>) {
    if root.throw_away {
        facts.put("throw-away", "yes".into());
    }
    let shown = |path: &PathBuf| path.to_string_lossy().into_owned();
    if !root.layers.is_empty() {
        let layers: Vec<String> = root.layers.iter().map(shown).collect();
        facts.put("layers", layers.join("\n"));
    }
    if let Some(written) = &root.written {
        facts.put("written", shown(written));
    }
    if root.mapped {
        facts.put("mapped-root", "yes".into());
    }
}

fn recall_root(root: &mut Root, facts: &Map<String>) {
    root.throw_away = facts.value("throw-away").is_some();
    let layers = facts.value("layers").map_or("", String::as_str);
    root.layers = layers.lines().map(PathBuf::from).collect();
    root.written = facts.value("written").map(PathBuf::from);
    root.mapped = facts.value("mapped-root").is_some();
}

/// Nanoseconds since 1970, as a fact.
pub fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_nanos().to_string()
}
