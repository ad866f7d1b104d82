//! What is known of containers, in a directory each: `ROOT/ID/`.
//!
//! | file | |
//! |---|---|
//! | `state.json` | the [`Record`]; in the words of runc's, which others read |
//! | `config.json` | the spec, as it was when the container was made |
//! | `start` | the socket on which the first process waits for its start |
//!
//! The directory is made, and says which control groups there will be, before anything else is made, so that whoever
//! finds it can take all of it away. A file is written beside, flushed and renamed: it is there as a whole or not at
//! all. What a container *is* (created, running, stopped) is not in here: the kernel is asked ([`super::status`]).

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::notify;
use crate::error::{Doing, Error, Result};
use crate::json::{Map, compact, objects, read};
use crate::lock::Locked;
use crate::order;
use crate::procfs::read_whole;
use crate::sys::directory;

/// A container's name: what can stand in a path and in a line, and is no option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(String);

impl Id {
    /// `None` for what is no name: `[A-Za-z0-9_+-][A-Za-z0-9_+.-]*`, at most 128 characters.
    pub fn new(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_+-".contains(&b);
        let ok = match text.as_bytes() {
            [first, rest @ ..] => {
                plain(*first) && rest.iter().all(|b| plain(*b) || *b == b'.') && rest.len() < 128
            }
            [] => false,
        };
        ok.then(|| Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

objects! {
    /// What is written down of a container. The first words are those of runc's state.json.
    #[derive(Debug)]
    pub struct Record in Exact {
        /// Its name.
        pub id: String,
        /// Its first process, as its maker numbers it; 0 until there is one.
        pub init_process_pid: i32,
        /// When that started, in clock ticks since boot (proc_pid_stat(5), field 22).
        pub init_process_start: u64,
        /// When it was made.
        pub created: String,
        /// What others look for in runc's.
        pub config: Config,
        /// Whether it was made by an ordinary user.
        pub rootless: bool = written,
        /// Its control groups, by controller.
        pub cgroup_paths: Map<PathBuf>,
        /// The namespaces of its first process.
        pub namespace_paths: Map<PathBuf>,
        /// What only we write.
        pub isobox: Own,
    }

    /// The part of runc's `config` that others look at.
    #[derive(Debug)]
    pub struct Config in Exact {
        /// Its root directory.
        pub rootfs: PathBuf,
        /// The annotations, and `bundle=`, each as `NAME=VALUE`.
        pub labels: Vec<String>,
        /// The version of the specification that its maker follows.
        pub version: String,
    }

    /// What only we write.
    #[derive(Debug)]
    pub struct Own in Exact {
        /// Which boot of the machine this was (`/proc/sys/kernel/random/boot_id`).
        pub boot: String,
        /// The inode number of its first process's pidfd, which the kernel never uses twice (Linux 6.9; 0 before).
        pub pidfd: u64,
        /// The control groups that were made above its own.
        pub made_above: Vec<PathBuf>,
        /// Those of its control groups that others were in before it: not its own to stop, to end or to remove.
        pub shared: Vec<PathBuf>,
        /// The unit of systemd's that its control group is, if it is one.
        pub unit: String,
        /// The socket of the manager of that.
        pub manager: PathBuf,
        /// There are programs to be run when it has started.
        pub poststart: bool,
        /// There are programs to be run when it is gone.
        pub poststop: bool,
    }
}

/// A directory of containers.
#[derive(Debug)]
pub struct Store {
    dir: OwnedFd,
    path: PathBuf,
}

/// The directory of one container.
#[derive(Debug)]
pub struct Kept {
    dir: OwnedFd,
    store: OwnedFd,
    id: Id,
    path: PathBuf,
}

const DIRECTORY: OFlag = OFlag::O_DIRECTORY
    .union(OFlag::O_CLOEXEC)
    .union(OFlag::O_NOFOLLOW);
/// Nobody else may look in: what is below may be set-uid, and has sockets that take orders.
const OURS: Mode = Mode::S_IRWXU;
/// A record is a few kilobytes.
const LONGEST: usize = 1 << 20;

impl Store {
    /// The directory at `path`, which need not be there yet: nothing is made for a look.
    ///
    /// # Errors
    /// The kernel's answer but for one that is not there, which is `None`.
    pub fn look(path: &Path) -> Result<Option<Self>> {
        match openat(
            AT_FDCWD,
            path,
            DIRECTORY.difference(OFlag::O_NOFOLLOW),
            Mode::empty(),
        ) {
            Ok(dir) => Ok(Some(Self {
                dir,
                path: path.into(),
            })),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno).doing_to("cannot open", path),
        }
    }

    /// The directory at `path`, made with what is above it where it is not there, for this user alone.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn make(path: &Path) -> Result<Self> {
        if let Some(store) = Self::look(path)? {
            return Ok(store);
        }
        let mut missing: Vec<&Path> = path.ancestors().take_while(|part| !part.exists()).collect();
        while let Some(part) = missing.pop() {
            match mkdirat(AT_FDCWD, part, OURS) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno).doing_to("cannot make", part),
            }
        }
        let gone = || Error::new("cannot open").on(path).errno_is(Errno::ENOENT);
        Self::look(path)?.ok_or_else(gone)
    }

    /// Makes the directory of a new container, and locks it; `None` where there is one of that name.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn claim(&self, id: &Id) -> Result<Option<(Kept, Lock)>> {
        match mkdirat(&self.dir, id.as_str(), OURS) {
            Err(Errno::EEXIST) => return Ok(None),
            other => other.doing_to("cannot make", self.path.join(id.as_str()))?,
        }
        let claimed = self.find(id).and_then(|kept| {
            let lock = kept.as_ref().map(Kept::lock).transpose()?;
            Ok(kept.zip(lock))
        });
        if claimed.is_err() {
            // There is nothing in it yet.
            let _ = unlinkat(&self.dir, id.as_str(), UnlinkatFlags::RemoveDir);
        }
        claimed
    }

    /// The directory of a container; `None` where there is none of that name.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn find(&self, id: &Id) -> Result<Option<Kept>> {
        let path = self.path.join(id.as_str());
        match openat(&self.dir, id.as_str(), DIRECTORY, Mode::empty()) {
            Err(Errno::ENOENT) => Ok(None),
            other => Ok(Some(Kept {
                dir: other.doing_to("cannot open", &path)?,
                store: self.dir.try_clone().doing("cannot copy a descriptor")?,
                id: id.clone(),
                path,
            })),
        }
    }

    /// The names of all containers, sorted.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn ids(&self) -> Result<Vec<Id>> {
        let names = names(&self.dir).doing_to("cannot list", &self.path)?;
        let ids = names.iter().filter_map(|name| Id::new(name.to_str()?));
        let mut ids: Vec<Id> = ids.collect();
        order::sort(&mut ids);
        Ok(ids)
    }
}

/// How long another process may hold a container.
const PATIENCE: Duration = Duration::from_secs(30);

/// Keeps others from changing a container.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "held")] Locked);

impl Kept {
    /// Its name.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Its directory.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Waits until nobody else changes it.
    ///
    /// # Errors
    /// Where somebody does for thirty seconds.
    pub fn lock(&self) -> Result<Lock> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(lock) = self.lock_now()? {
                return Ok(lock);
            }
            if started.elapsed() >= PATIENCE {
                return Err(
                    Error::new("another process is busy with container").on(self.id.as_str())
                );
            }
            sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// The same without waiting; `None` where somebody else changes it.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn lock_now(&self) -> Result<Option<Lock>> {
        let dir = openat(&self.dir, ".", DIRECTORY, Mode::empty());
        let dir = dir.doing_to("cannot open", &self.path)?;
        let lock = Locked::exclusive_now(dir).doing_to("cannot lock", &self.path)?;
        Ok(lock.map(Lock))
    }

    /// Whether somebody is changing it at this moment.
    pub fn is_busy(&self) -> bool {
        matches!(self.lock_now(), Ok(None))
    }

    /// Where it and others are kept.
    ///
    /// # Errors
    /// Where there are no more descriptors.
    pub fn store(&self) -> Result<Store> {
        Ok(Store {
            dir: self.store.try_clone().doing("cannot copy a descriptor")?,
            path: self.path.parent().unwrap_or(&self.path).into(),
        })
    }

    /// Reads the record; `None` where none was written yet.
    ///
    /// # Errors
    /// The kernel's answer, and for what is no record.
    pub fn record(&self) -> Result<Option<Record>> {
        let Some(text) = self.read("state.json")? else {
            return Ok(None);
        };
        read(&text, &self.path.join("state.json").to_string_lossy()).map(Some)
    }

    /// Writes the record.
    ///
    /// # Errors
    /// The kernel's answer, and for a path that is no UTF-8.
    pub fn keep(&self, record: &Record) -> Result<()> {
        self.write("state.json", compact(record)?.as_bytes())
    }

    /// One of its files; `None` where it is not there.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let path = || self.path.join(name);
        let file = match openat(&self.dir, name, flags, Mode::empty()) {
            Err(Errno::ENOENT) => return Ok(None),
            other => other.doing_to("cannot open", path())?,
        };
        read_whole(file.as_fd(), LONGEST)
            .map(Some)
            .doing_to("cannot read", path())
    }

    /// Writes one of its files: the old one is there until the new one is, as a whole.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn write(&self, name: &str, text: &[u8]) -> Result<()> {
        write_beside(self.dir.as_fd(), OsStr::new(name), text, 0o600)
            .doing_to("cannot write", self.path.join(name))
    }

    /// Takes away its directory, whatever is in it.
    ///
    /// # Errors
    /// The kernel's answer; it being gone already is none.
    pub fn remove(&self) -> Result<()> {
        // The monitor of one that was just started may still put its socket there.
        for _ in 0..8 {
            self.empty()?;
            let removed = unlinkat(&self.store, self.id.as_str(), UnlinkatFlags::RemoveDir);
            if removed != Err(Errno::ENOTEMPTY) {
                return gone(removed).doing_to("cannot remove", &self.path);
            }
        }
        Err(Errno::ENOTEMPTY).doing_to("cannot remove", &self.path)
    }

    fn empty(&self) -> Result<()> {
        let mut names = names(&self.dir).doing_to("cannot list", &self.path)?;
        // The record goes last: as long as anything is there, it says whose it is.
        order::sort_by_key(&mut names, |name| name == "state.json");
        for name in &names {
            let file = unlinkat(&self.dir, &**name, UnlinkatFlags::NoRemoveDir);
            gone(match file {
                // The one directory, with the one file in it.
                Err(Errno::EISDIR) => {
                    let _ = unlinkat(&self.dir, notify::SOCKET, UnlinkatFlags::NoRemoveDir);
                    unlinkat(&self.dir, &**name, UnlinkatFlags::RemoveDir)
                }
                other => other,
            })
            .doing_to("cannot remove what is in", &self.path)?;
        }
        Ok(())
    }

    /// The path of its socket that fits into an address, wherever the directory lies (unix(7): 107 bytes).
    pub fn socket(&self) -> PathBuf {
        format!("/proc/self/fd/{}/{SOCKET}", self.dir.as_raw_fd()).into()
    }

    /// Takes the socket away.
    pub fn remove_socket(&self) {
        // It goes with the directory at the latest.
        let _ = unlinkat(&self.dir, SOCKET, UnlinkatFlags::NoRemoveDir);
    }
}

const SOCKET: &str = "start";

fn names(dir: &OwnedFd) -> Result<Vec<OsString>, Errno> {
    directory::list(openat(dir, ".", DIRECTORY, Mode::empty())?.as_fd())
}

fn gone(result: nix::Result<()>) -> nix::Result<()> {
    match result {
        Err(Errno::ENOENT) => Ok(()),
        other => other,
    }
}

/// Writes a file below `dir` that is there as a whole or not at all.
///
/// # Errors
/// The kernel's answer.
pub fn write_beside(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    text: &[u8],
    mode: u32,
) -> Result<(), Errno> {
    let beside: std::ffi::OsString = [OsStr::new("."), name, OsStr::new(".new")]
        .into_iter()
        .collect();
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let written = || {
        let mode = Mode::from_bits_truncate(mode);
        let mut file = File::from(openat(dir, &*beside, flags, mode)?);
        file.write_all(text)
            .and_then(|()| file.sync_all())
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
        renameat(dir, &*beside, dir, name)
    };
    written().inspect_err(|_| {
        let _ = unlinkat(dir, &*beside, UnlinkatFlags::NoRemoveDir);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_names_and_nothing_else() {
        for good in [
            "a",
            "0",
            "_",
            "+x",
            "-x",
            "a.b",
            "web_1-2+3.4",
            &"x".repeat(128),
        ] {
            assert!(Id::new(good).is_some(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            ".x",
            "a/b",
            "a b",
            "a\n",
            "\u{e9}",
            "a,b",
            &"x".repeat(129),
        ] {
            assert!(Id::new(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_container_is_kept_once_and_removed_as_a_whole() {
        let path = std::env::temp_dir().join(format!("isobox-store-{}", std::process::id()));
        let store = Store::make(&path.join("a/b")).unwrap();
        let id = Id::new("x").unwrap();
        let (kept, lock) = store.claim(&id).unwrap().unwrap();
        assert!(store.claim(&id).unwrap().is_none());
        assert_eq!(kept.record(), Ok(None));
        assert!(kept.is_busy());
        drop(lock);
        assert!(!kept.is_busy());
        let record = Record {
            id: "x".into(),
            init_process_pid: 7,
            ..Record::default()
        };
        kept.keep(&record).unwrap();
        assert_eq!(store.find(&id).unwrap().unwrap().record(), Ok(Some(record)));
        kept.write("state.json", b"{\"id\": 3").unwrap();
        assert!(kept.record().is_err());
        assert_eq!(store.ids().unwrap(), std::slice::from_ref(&id));
        kept.remove().unwrap();
        kept.remove().unwrap();
        assert!(store.find(&id).unwrap().is_none() && store.ids().unwrap().is_empty());
        std::fs::remove_dir_all(&path).unwrap();
    }
}
