//! Where control groups are mounted, and which hierarchy holds which controller.
//!
//! A machine is *unified* (one v2 hierarchy), *legacy* (v1 hierarchies, one for each controller or a few
//! together) or *hybrid* (v1 hierarchies for the controllers, a v2 one beside them). Names of controllers are
//! v2's: `io` is v1's `blkio`, and v1's `cpuacct` is part of `cpu` where no hierarchy has it. See cgroups(7).

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode as FileMode;
use nix::unistd::{AccessFlags, access};

use super::group::Group;
use crate::error::{Doing, Error, Result};
use crate::mountinfo::{self, Mount};
use crate::order;
use crate::procfs::read_path;
use crate::sys::mount::{openat2, resolve};

/// A process is in a few dozen hierarchies, whose groups may lie deep.
const LONGEST: usize = 1 << 20;

/// The two designs of control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy for each controller, or for a few.
    V1,
    /// One hierarchy for all.
    V2,
}

/// How a machine mounts control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Nowhere.
    None,
    /// v1 only.
    Legacy,
    /// v1 for controllers, and a v2 hierarchy beside.
    Hybrid,
    /// v2 only.
    Unified,
}

impl Layout {
    /// Its name, as `cgget -m` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Legacy => "legacy",
            Self::Hybrid => "hybrid",
            Self::Unified => "unified",
        }
    }
}

/// One mounted hierarchy.
pub struct Hierarchy {
    /// Which design.
    pub version: Version,
    /// The controllers it holds, in v2's words.
    pub controllers: Vec<String>,
    /// v1's name of a hierarchy without controllers (`systemd`).
    pub name: Option<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Which group of the hierarchy is its root here, as `/proc/PID/cgroup` counts.
    pub root: PathBuf,
    fd: OwnedFd,
}

impl Hierarchy {
    /// The root directory.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether it holds the controller.
    pub fn holds(&self, controller: &str) -> bool {
        self.controllers.iter().any(|held| held == controller)
    }

    /// Opens what lies at `path` below the root, following no link and leaving neither tree nor mount.
    ///
    /// # Errors
    /// The kernel's answer; `EXDEV` or `ELOOP` for a path that would leave.
    pub fn open(&self, path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
        const INSIDE: u64 =
            resolve::BENEATH | resolve::NO_SYMLINKS | resolve::NO_MAGICLINKS | resolve::NO_XDEV;
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        openat2(self.fd(), path, flags.bits(), 0, INSIDE)
    }

    /// The group that this process is in.
    ///
    /// # Errors
    /// Where `/proc/self/cgroup` cannot be read or has no line for it.
    pub fn own(self: &Rc<Self>) -> Result<Group> {
        const OWN: &str = "/proc/self/cgroup";
        let text = read_path(Path::new(OWN), LONGEST);
        let text = text.and_then(|text| String::from_utf8(text).map_err(|_| Errno::EILSEQ));
        let text = text.doing_to("cannot read", OWN)?;
        let path = text.lines().find_map(|line| membership(line, self));
        let path =
            path.ok_or_else(|| Error::new("this process has no group in").on(&self.mount))?;
        Ok(Group::new(self, below(&path, &self.root)))
    }

    /// The whole path of a group, for people.
    pub fn shown(&self, path: &Path) -> PathBuf {
        self.mount.join(path)
    }
}

impl fmt::Debug for Hierarchy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.version, self.mount.display())
    }
}

/// Every hierarchy that this process can see.
#[derive(Debug, Clone)]
pub struct Hierarchies {
    all: Vec<Rc<Hierarchy>>,
    /// What is mounted and cannot be opened: told where it is missed.
    unopened: Vec<(Mounted, Errno)>,
}

impl Hierarchies {
    /// Looks at what is mounted.
    ///
    /// # Errors
    /// Where `/proc` cannot be read, or where no hierarchy is mounted at all.
    pub fn discover() -> Result<Self> {
        let mut all: Vec<Rc<Hierarchy>> = Vec::new();
        let mut unopened = Vec::new();
        let mounts = mountinfo::read_types("self", "cgroup")?;
        for found in mounts.into_iter().filter_map(Mounted::of) {
            // A hierarchy that is mounted twice is one hierarchy.
            let same = |other: &Rc<Hierarchy>| {
                found.version == other.version && found.v1_set() == other.v1_set()
            };
            if all.iter().any(same) {
                continue;
            }
            match found.open() {
                Ok(hierarchy) => all.push(Rc::new(hierarchy)),
                Err(one) => unopened.push(one),
            }
        }
        if let (true, Some(one)) = (all.is_empty(), unopened.first()) {
            return Err(cannot_open(one));
        }
        if all.is_empty() {
            return Err(Error::new("no cgroup hierarchy is mounted")
                .hint("mount -t cgroup2 none /sys/fs/cgroup"));
        }
        Ok(Self { all, unopened })
    }

    pub(super) fn of_these(all: Vec<Rc<Hierarchy>>) -> Self {
        Self {
            all,
            unopened: Vec::new(),
        }
    }

    /// All of them.
    pub fn all(&self) -> &[Rc<Hierarchy>] {
        &self.all
    }

    /// The v2 hierarchy.
    pub fn v2(&self) -> Option<&Rc<Hierarchy>> {
        self.all
            .iter()
            .find(|hierarchy| hierarchy.version == Version::V2)
    }

    /// Where a group without controllers goes: the v2 hierarchy, on a legacy machine the first there is.
    ///
    /// # Errors
    /// Where there is none (which [`Hierarchies::discover`] has told already).
    pub fn first(&self) -> Result<&Rc<Hierarchy>> {
        self.v2()
            .or(self.all.first())
            .ok_or_else(|| Error::new("no cgroup hierarchy is mounted"))
    }

    /// How they are mounted.
    pub fn layout(&self) -> Layout {
        let v1 = self
            .all
            .iter()
            .any(|hierarchy| hierarchy.version == Version::V1);
        match (v1, self.v2().is_some()) {
            (true, true) => Layout::Hybrid,
            (true, false) => Layout::Legacy,
            (false, true) => Layout::Unified,
            (false, false) => Layout::None,
        }
    }

    /// The hierarchy that holds a controller (`cgroup`: the core files) here.
    ///
    /// # Errors
    /// For a controller that nothing holds, with what there is.
    pub fn of(&self, controller: &str) -> Result<&Rc<Hierarchy>> {
        let found = match controller {
            "cgroup" => self.v2(),
            // On v1 freezing is a controller; on v2 every group has the file.
            "freezer" => self
                .all
                .iter()
                .find(|h| h.holds("freezer"))
                .or_else(|| self.v2()),
            _ => [controller, v2_word(controller)]
                .iter()
                .find_map(|name| self.all.iter().find(|hierarchy| hierarchy.holds(name))),
        };
        let missed = |(mount, _): &&(Mounted, Errno)| {
            mount.version == Version::V2 || mount.controllers.iter().any(|held| held == controller)
        };
        found.ok_or_else(|| {
            if let Some(one) = self.unopened.iter().find(missed) {
                return cannot_open(one);
            }
            let mut there: Vec<&str> = self
                .all
                .iter()
                .flat_map(|h| h.controllers.iter().map(String::as_str))
                .collect();
            order::sort(&mut there);
            Error::new("no cgroup hierarchy here holds the controller")
                .on(controller)
                .hint(format!(
                    "this machine is {}, and has: {}",
                    self.layout().name(),
                    there.join(" ")
                ))
        })
    }
}

impl Hierarchies {
    /// Whether this process may make itself a group with this controller: below its own, or beside it where v2 allows
    /// no processes above groups.
    pub fn may_limit(&self, controller: &str) -> bool {
        let Ok(own) = self.of(controller).and_then(Hierarchy::own) else {
            return false;
        };
        let above = own.or_parent();
        let v1 = above.hierarchy.version == Version::V1;
        let handed_down = || {
            let there = above.read("cgroup.controllers");
            there.is_ok_and(|all| all.split_whitespace().any(|one| one == controller))
        };
        let free = || above.may_hold_groups() || above.processes().is_ok_and(|all| all.is_empty());
        let writable = |file: &str| access(&above.shown().join(file), AccessFlags::W_OK).is_ok();
        // Who leaves a group for another has to be able to write to what is above both.
        writable(".") && (v1 || handed_down() && free() && writable("cgroup.procs"))
    }
}

fn cannot_open((mount, errno): &(Mounted, Errno)) -> Error {
    let error = Error::new("cannot open the cgroup hierarchy").on(&mount.mount);
    error.errno_is(*errno)
}

/// The path of a line of `/proc/PID/cgroup` (`4:memory:/x`), if it is about this hierarchy.
pub(crate) fn membership(line: &str, hierarchy: &Hierarchy) -> Option<PathBuf> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let ours = match hierarchy.version {
        Version::V2 => controllers.is_empty(),
        Version::V1 => controllers
            .split(',')
            .any(|word| match word.strip_prefix("name=") {
                Some(name) => hierarchy.name.as_deref() == Some(name),
                None => hierarchy.holds(if word == "blkio" { "io" } else { word }),
            }),
    };
    ours.then(|| PathBuf::from(path))
}

/// A path as it stands below the root of a mount that shows only part of its hierarchy.
fn below(path: &Path, root: &Path) -> PathBuf {
    let path = path.strip_prefix(root).unwrap_or(path);
    path.strip_prefix("/").unwrap_or(path).to_owned()
}

/// A v1 controller's name in v2's words.
pub(crate) fn v2_word(controller: &str) -> &str {
    match controller {
        "blkio" => "io",
        "cpuacct" => "cpu",
        other => other,
    }
}

/// A mount that is a cgroup hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mounted {
    version: Version,
    mount: PathBuf,
    root: PathBuf,
    controllers: Vec<String>,
    name: Option<String>,
}

impl Mounted {
    fn of(mount: Mount) -> Option<Self> {
        let version = match mount.fstype.as_bytes() {
            b"cgroup" => Version::V1,
            b"cgroup2" => Version::V2,
            _ => return None,
        };
        let mut found = Self {
            version,
            mount: mount.point,
            root: mount.root,
            controllers: Vec::new(),
            name: None,
        };
        if version == Version::V1 {
            for option in mount.super_options.to_string_lossy().split(',') {
                match option.strip_prefix("name=") {
                    Some(name) => found.name = Some(name.into()),
                    None => found.controllers.extend(v1_controller(option)),
                }
            }
        }
        Some(found)
    }

    /// The whole of a hierarchy, mounted where it usually is: one of v1 at a place that is called as its controllers are,
    /// or as the one that systemd keeps its units in. `None` for any other name.
    pub(super) fn usual(version: Version, mount: PathBuf) -> Option<Self> {
        let (mut controllers, mut name) = (Vec::new(), None);
        let called = mount.file_name()?.to_str()?;
        match version {
            Version::V1 if called == SYSTEMD => name = Some(SYSTEMD.into()),
            Version::V1 => {
                controllers = called
                    .split(',')
                    .map(v1_controller)
                    .collect::<Option<_>>()?;
            }
            Version::V2 => {}
        }
        Some(Self {
            version,
            mount,
            root: "/".into(),
            controllers,
            name,
        })
    }

    fn v1_set(&self) -> (&[String], Option<&str>) {
        (&self.controllers, self.name.as_deref())
    }

    /// Opens the root. Where it cannot be, it may be hidden under another mount.
    pub(super) fn open(mut self) -> Result<Hierarchy, (Self, Errno)> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        // Not open(2), to which the C library adds a fcntl(2).
        let fd = match openat(AT_FDCWD, &self.mount, flags, FileMode::empty()) {
            Ok(fd) => fd,
            Err(errno) => return Err((self, errno)),
        };
        if self.version == Version::V2 {
            let file = self.mount.join("cgroup.controllers");
            let text = match fs::read_to_string(file) {
                Ok(text) => text,
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or(nix::libc::EIO);
                    return Err((self, Errno::from_raw(errno)));
                }
            };
            self.controllers = text.split_whitespace().map(str::to_owned).collect();
        }
        let Self {
            version,
            mount,
            root,
            controllers,
            name,
        } = self;
        Ok(Hierarchy {
            version,
            controllers,
            name,
            mount,
            root,
            fd,
        })
    }
}

impl Hierarchy {
    fn v1_set(&self) -> (&[String], Option<&str>) {
        match self.version {
            Version::V1 => (&self.controllers, self.name.as_deref()),
            Version::V2 => (&[], None),
        }
    }
}

/// The hierarchy without controllers that systemd makes where the others are v1's, and the directory that it mounts it at.
const SYSTEMD: &str = "systemd";

/// What v1 calls a controller, in v2's words.
fn v1_controller(word: &str) -> Option<String> {
    const ALL: [&str; 14] = [
        "blkio",
        "cpu",
        "cpuacct",
        "cpuset",
        "memory",
        "pids",
        "devices",
        "freezer",
        "hugetlb",
        "net_cls",
        "net_prio",
        "perf_event",
        "rdma",
        "misc",
    ];
    let word = ALL.contains(&word).then_some(word)?;
    Some(if word == "blkio" { "io" } else { word }.into())
}

/// A group's path as typed, without its optional leading slash, checked to stay below the root.
///
/// # Errors
/// For `..`, empty components, control characters and components over 255 bytes.
pub fn group_path(typed: &OsStr) -> Result<PathBuf> {
    let text = typed.to_str().ok_or_else(|| {
        Error::new("not the path of a cgroup")
            .on(typed)
            .because("not UTF-8")
    })?;
    let trimmed = text.strip_prefix('/').unwrap_or(text).trim_end_matches('/');
    let bad = |part: &str| part.is_empty() || part == "." || part == ".." || part.len() > 255;
    if !trimmed.is_empty() && trimmed.split('/').any(bad) || trimmed.chars().any(char::is_control) {
        return Err(Error::new("not the path of a cgroup")
            .on(typed)
            .because("no '..', no empty names, no control characters"));
    }
    Ok(trimmed.into())
}

#[cfg(test)]
impl Hierarchies {
    /// Hierarchies that are plain directories, for plans that are looked at and not run.
    pub(crate) fn made_up(all: &[(Version, &Path, &[&str])]) -> Self {
        let one = |(version, mount, controllers): &(Version, &Path, &[&str])| {
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            Rc::new(Hierarchy {
                version: *version,
                controllers: controllers.iter().map(ToString::to_string).collect(),
                name: None,
                mount: mount.to_path_buf(),
                root: "/".into(),
                fd: openat(AT_FDCWD, *mount, flags, FileMode::empty()).unwrap(),
            })
        };
        Self::of_these(all.iter().map(one).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_recognised() {
        let mounts = mountinfo::parse(
            b"30 23 0:26 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
            31 23 0:27 /a\\040b /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n\
            32 23 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
            36 35 98:0 / /mnt\xff rw - ext3 /dev/root rw\n",
        );
        assert_eq!(mounts.len(), 4);
        let found: Vec<Mounted> = mounts.into_iter().filter_map(Mounted::of).collect();
        let [v1, v2, named] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(
            (v1.version, &v1.controllers),
            (Version::V1, &vec!["cpu".to_owned(), "cpuacct".to_owned()])
        );
        assert_eq!(
            (v2.version, v2.root.as_path()),
            (Version::V2, Path::new("/a b"))
        );
        assert_eq!(named.name.as_deref(), Some("systemd"));
    }

    #[test]
    fn paths_stay_below() {
        let good = [("/demo", "demo"), ("a/b/", "a/b"), ("/", ""), ("", "")];
        for (typed, want) in good {
            assert_eq!(group_path(OsStr::new(typed)).unwrap(), Path::new(want));
        }
        for typed in ["..", "a/../b", "a//b", "./a", "a\nb", "/.."] {
            assert!(group_path(OsStr::new(typed)).is_err(), "{typed:?}");
        }
    }

    #[test]
    fn a_path_counts_from_the_root_that_is_mounted() {
        assert_eq!(below(Path::new("/a/b"), Path::new("/")), Path::new("a/b"));
        assert_eq!(below(Path::new("/a/b"), Path::new("/a")), Path::new("b"));
        assert_eq!(below(Path::new("/"), Path::new("/")), Path::new(""));
    }
}
