//! Network namespaces by name, as ip-netns(8) keeps them: a file below `/run/netns` on which the namespace is mounted.
//!
//! A namespace that is kept so lives without a process. An ordinary user may not mount there: inside a user and a mount
//! namespace of their own (`unshare -rm`) they keep theirs in a directory of their own, and names are looked for in both.
//! `ip`, `veth` and `container` name namespaces this way: by name, by a process in it, or by a file.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{AccessFlags, Pid, access, geteuid};

use crate::decimal::decimal;
use crate::error::{Doing, Error, Result};
use crate::namespace::Kind;
use crate::procfs::{Process, Procfs};

/// Where the machine's named namespaces are.
pub const DIRECTORY: &str = "/run/netns";

/// Where names are looked for, and where new ones are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// The user's own: below `XDG_RUNTIME_DIR`.
    own: Option<PathBuf>,
}

/// A network namespace as a person names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// A file on which one is mounted: of a name, or any path.
    File(PathBuf),
    /// That of a process.
    Process(Pid),
}

impl Directories {
    /// `runtime` is the user's `XDG_RUNTIME_DIR`, where there is one. One that belongs to somebody else is none: what a
    /// name means must not be theirs to say.
    pub fn new(runtime: Option<&OsStr>) -> Self {
        let own = |path: &&Path| {
            let owner = fs::metadata(path).map(|found| found.uid());
            path.is_absolute() && owner.is_ok_and(|uid| uid == geteuid().as_raw())
        };
        let runtime = runtime.map(Path::new).filter(own);
        Self {
            own: runtime.map(|path| path.join("netns")),
        }
    }

    /// The directories that may hold names, the machine's first.
    pub fn all(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(Path::new(DIRECTORY)).chain(self.own.as_deref())
    }

    /// The directory in which a new name is made: the machine's where we may write there.
    pub fn for_new(&self) -> &Path {
        let system = Path::new(DIRECTORY);
        let place = if system.exists() {
            system
        } else {
            Path::new("/run")
        };
        match &self.own {
            Some(own) if access(place, AccessFlags::W_OK).is_err() => own,
            _ => system,
        }
    }

    /// The file of a name, whether it is there or not: the machine's, unless only the user has it.
    pub fn file(&self, name: &OsStr) -> PathBuf {
        let mut places = self.all().map(|directory| directory.join(name));
        let found = places.find(|file| fs::symlink_metadata(file).is_ok());
        found.unwrap_or_else(|| Path::new(DIRECTORY).join(name))
    }

    /// Every name, in the order in which the directories list them.
    pub fn names(&self) -> Vec<OsString> {
        let mut names = Vec::new();
        for directory in self.all() {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let name = entry.file_name();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }

    /// What `text` names: a file where it holds a slash, else a name, else the number of a process.
    ///
    /// # Errors
    /// `None` where it can be none of these.
    pub fn find(&self, text: &OsStr) -> Option<Named> {
        if text.as_bytes().contains(&b'/') {
            return Some(Named::File(text.into()));
        }
        if is_name(text) {
            let file = self.file(text);
            if file.exists() {
                return Some(Named::File(file));
            }
        }
        let pid = text.to_str().and_then(decimal::<i32>)?;
        (pid > 0).then(|| Named::Process(Pid::from_raw(pid)))
    }

    /// Opens what `text` names.
    ///
    /// # Errors
    /// Where it names nothing, or nothing that is a network namespace.
    pub fn open(&self, text: &OsStr) -> Result<OwnedFd> {
        match self.find(text) {
            Some(named) => named.open(),
            None => Err(no_such(text, Errno::ENOENT).hint_maybe(self.known())),
        }
    }

    /// The names there are, as advice.
    fn known(&self) -> Option<String> {
        let names = self.names();
        let names: Vec<_> = names.iter().map(|name| name.to_string_lossy()).collect();
        (!names.is_empty()).then(|| format!("there are: {}", names.join(", ")))
    }

    /// The names of the namespace with this inode number.
    pub fn names_of(&self, inode: u64) -> Vec<OsString> {
        let mut names = self.names();
        names.retain(|name| inode_of(&self.file(name)) == Ok(inode));
        names
    }
}

impl Named {
    /// Opens the namespace.
    ///
    /// # Errors
    /// Those of open(2), and where it is no network namespace.
    pub fn open(&self) -> Result<OwnedFd> {
        match self {
            Self::File(file) => {
                let fd = open_file(file).map_err(|errno| no_such(file.as_os_str(), errno))?;
                match crate::sys::nsfs::kind(fd.as_fd()) {
                    Ok(kind) if kind == Kind::Net.flag() => Ok(fd),
                    _ => Err(no_such(file.as_os_str(), Errno::EINVAL)
                        .hint("no network namespace is mounted on that file")),
                }
            }
            Self::Process(pid) => {
                let opened = Process::open(*pid).and_then(|it| it.open_namespace(Kind::Net));
                opened.map_err(|errno| {
                    let gone = errno == Errno::ENOENT;
                    no_such(OsStr::new(&pid.to_string()), errno)
                        .hint_maybe(gone.then(|| format!("there is no process {pid}")))
                })
            }
        }
    }
}

fn no_such(what: &OsStr, errno: Errno) -> Error {
    let what = what.to_string_lossy();
    // A name is meant where a file of the machine's directory is.
    let what = what
        .strip_prefix(DIRECTORY)
        .and_then(|name| name.strip_prefix('/'))
        .unwrap_or(&what);
    Error::new(format!("Cannot open network namespace \"{what}\"")).errno_is(errno)
}

/// Opens the file of a namespace; without `O_NONBLOCK` a FIFO would be waited for.
///
/// # Errors
/// Those of open(2).
pub fn open_file(file: &Path) -> Result<OwnedFd, Errno> {
    let how = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    open(file, how, Mode::empty())
}

/// The inode number of a file: that of the namespace which is mounted there.
///
/// # Errors
/// Those of open(2) and fstat(2).
pub fn inode_of(file: &Path) -> Result<u64, Errno> {
    Ok(fstat(open_file(file)?)?.st_ino)
}

/// Whether a namespace may be called so: a file name, and not `.` or `..`.
pub fn is_name(text: &OsStr) -> bool {
    let bytes = text.as_bytes();
    !matches!(bytes, b"" | b"." | b"..") && bytes.len() <= 255 && !bytes.contains(&b'/')
}

/// The numbers of the processes in the network namespace with this inode number. Those that may not be looked at are
/// left out.
///
/// # Errors
/// Where `/proc` cannot be read.
pub fn processes(inode: u64) -> Result<Vec<Pid>> {
    let procfs = Procfs::open()?;
    let mut pids = procfs.pids()?;
    pids.retain(|pid| {
        let namespace = procfs.process(*pid).and_then(|it| it.namespace(Kind::Net));
        namespace == Ok(inode)
    });
    Ok(pids)
}

/// The inode number of the network namespace of a process; of this one for `None`.
///
/// # Errors
/// `ENOENT` where there is no such process, `EACCES` where it may not be looked at.
pub fn of_process(pid: Option<Pid>) -> Result<u64> {
    let process = match pid {
        Some(pid) => Process::open(pid),
        None => Process::own(),
    };
    let inode = process.and_then(|process| process.namespace(Kind::Net));
    inode.doing("Cannot open network namespace")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_file_names() {
        for (text, good) in [
            ("blue", true),
            ("a b", true),
            ("", false),
            (".", false),
            ("..", false),
            ("a/b", false),
            ("..a", true),
        ] {
            assert_eq!(is_name(OsStr::new(text)), good, "{text}");
        }
    }

    #[test]
    fn what_is_named() {
        let dirs = Directories::new(None);
        let find = |text: &str| dirs.find(OsStr::new(text));
        assert_eq!(find("./x"), Some(Named::File("./x".into())));
        assert_eq!(find("77"), Some(Named::Process(Pid::from_raw(77))));
        assert_eq!(find("0"), None);
        assert_eq!(find("-1"), None);
        assert_eq!(find("no-such-name"), None);
        let own = Named::Process(Pid::this()).open().unwrap();
        assert_eq!(fstat(&own).unwrap().st_ino, of_process(None).unwrap());
        let uts = Named::File("/proc/self/ns/uts".into()).open().unwrap_err();
        assert_eq!(uts.errno(), Some(Errno::EINVAL));
    }

    #[test]
    fn the_runtime_directory_is_our_own() {
        let count = |runtime: &str| Directories::new(Some(OsStr::new(runtime))).all().count();
        assert_eq!(count("run"), 1);
        assert_eq!(count("/no/such/directory"), 1);
        let own = std::env::current_dir().unwrap();
        let theirs = fs::metadata(&own).unwrap().uid() != geteuid().as_raw();
        assert_eq!(count(own.to_str().unwrap()), if theirs { 1 } else { 2 });
    }
}
