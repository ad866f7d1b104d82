//! Joining what other processes are in: namespaces, root, cgroup (setns(2), nsenter(1)).
//!
//! A target is named by its number once and held by a pidfd from then on, so that it cannot turn into another
//! process when it dies and its number is used again (pidfd_open(2)). Everything of it that has to be opened
//! is opened below its `/proc` directory, which is opened between taking the pidfd and seeing that the process
//! still lives.

mod refusal;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open};
use nix::sys::stat::{Mode, fstat};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use nix::unistd::Pid;

use crate::error::{Doing, Error, Result};
use crate::namespace::Kind;
use crate::procfs::{self, Process};
use crate::sys::clone::{pidfd_open, pidfd_open_thread, pidfd_send_signal};
use crate::sys::mount::{openat2, resolve};
use crate::sys::nsfs;

pub use refusal::Refusal;

/// A target as it is named: `PID`, or `PID:INODE` with the inode number of its pidfd (Linux 6.9), which no
/// later process of the same number has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// Its number.
    pub pid: Pid,
    /// The inode number that its pidfd must have.
    pub inode: Option<u64>,
}

impl std::str::FromStr for Name {
    type Err = Errno;

    fn from_str(text: &str) -> Result<Self, Errno> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let (pid, inode) = match text.split_once(':') {
            Some((pid, inode)) => (pid, Some(inode)),
            None => (text, None),
        };
        // A blank before the number is `ps -o pid=`'s.
        let pid = pid.trim_ascii_start();
        if !digits(pid.strip_prefix(['-', '+']).unwrap_or(pid)) || !inode.is_none_or(digits) {
            return Err(Errno::EINVAL);
        }
        let pid: i32 = pid.parse().map_err(|_| Errno::ERANGE)?;
        let inode: Option<u64> = match inode {
            Some(inode) => Some(inode.parse().map_err(|_| Errno::ERANGE)?),
            None => None,
        };
        if pid <= 0 || inode == Some(0) {
            return Err(Errno::ERANGE);
        }
        Ok(Self {
            pid: Pid::from_raw(pid),
            inode,
        })
    }
}

/// A process to join, held by its pidfd.
#[derive(Debug)]
pub struct Target {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Target {
    /// Takes hold of the process that `name` names; `wanted` is what of it (`ns/uts`, `root`), for the error.
    ///
    /// # Errors
    /// `ENOENT` where there is no such process, or it is not the one meant.
    pub fn hold(name: Name, wanted: &str) -> Result<Self> {
        let Name { pid, inode } = name;
        let pidfd = match pidfd_open(pid) {
            // A thread that is not its process: it may be in namespaces of its own.
            Err(Errno::EINVAL | Errno::ENOENT) => pidfd_open_thread(pid),
            other => other,
        };
        let pidfd = pidfd.map_err(|errno| {
            let gone = matches!(errno, Errno::ESRCH | Errno::ENOENT);
            Error::new("cannot open")
                .on(format!("/proc/{pid}/{wanted}"))
                .errno_is(if gone { Errno::ENOENT } else { errno })
                .hint_maybe(gone.then(|| format!("there is no process {pid}")))
        })?;
        if let Some(inode) = inode {
            let found = fstat(&pidfd).doing("cannot look at a pidfd")?.st_ino;
            if found != inode {
                let text = format!("pidfd inode {inode} not found for pid {pid}");
                return Err(Error::new(text).hint(format!(
                    "the process now numbered {pid} is another one: its pidfd has inode {found}"
                )));
            }
        }
        Ok(Self { pid, pidfd })
    }

    /// Its number.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The descriptor that holds it.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Its directory below `/proc`.
    ///
    /// # Errors
    /// `ESRCH` where it has ended.
    pub fn directory(&self) -> Result<Process> {
        directory(self.pid, self.pidfd())
    }

    /// The kinds of namespace to enter when all are asked for: those this kernel has, and the user namespace
    /// only where it is another than ours, because the kernel refuses to enter one's own again.
    ///
    /// # Errors
    /// Where our namespaces or the target's user namespace cannot be looked at.
    pub fn all_kinds(&self) -> Result<Vec<Kind>> {
        self.kinds(|kind, ours, theirs| match kind {
            Kind::User => self.is_other(kind, ours, theirs),
            _ => Ok(true),
        })
    }

    /// Those of its namespaces that we are not in: the others need no joining, for which an ordinary user would lack the
    /// privilege.
    ///
    /// # Errors
    /// As [`Target::all_kinds`].
    pub fn other_kinds(&self) -> Result<Vec<Kind>> {
        self.kinds(|kind, ours, theirs| self.is_other(kind, ours, theirs))
    }

    /// The kinds that this kernel has and that `wanted` wants, which gets the inode number of ours, and the target's
    /// directory.
    fn kinds(&self, wanted: impl Fn(Kind, u64, &Process) -> Result<bool>) -> Result<Vec<Kind>> {
        let own = Process::own().doing_to("cannot open", "/proc/self")?;
        let theirs = self.directory()?;
        let mut kinds = Vec::with_capacity(Kind::ALL.len());
        for kind in Kind::ALL {
            let ours = match own.namespace(kind) {
                Err(Errno::ENOENT) => continue,
                other => {
                    other.doing_to("stat of", format!("/proc/self/ns/{}", kind.proc_name()))?
                }
            };
            if wanted(kind, ours, &theirs)? {
                kinds.push(kind);
            }
        }
        Ok(kinds)
    }

    /// Whether it is in another namespace of this kind than ours; one that cannot be looked at is tried, but for the user
    /// namespace.
    fn is_other(&self, kind: Kind, ours: u64, theirs: &Process) -> Result<bool> {
        match theirs.namespace(kind) {
            Err(errno) if kind == Kind::User => {
                Err(errno).doing_to("stat of", format!("/proc/{}/ns/user", self.pid))
            }
            its => Ok(its != Ok(ours)),
        }
    }

    /// Its child, where it has just one and its children are in another PID namespace than itself: then that
    /// child is process 1 of a namespace which this process made and never was in (`unshare --pid --fork`).
    pub fn first_of_its_namespace(&self) -> Option<Pid> {
        let directory = self.directory().ok()?;
        let children = directory.namespace_for_children(Kind::Pid).ok()?;
        if directory.namespace(Kind::Pid) == Ok(children) {
            return None;
        }
        let list = directory.read(&format!("task/{}/children", self.pid), 4096);
        let list = String::from_utf8(list.ok()?).ok()?;
        list.trim().parse().ok().map(Pid::from_raw)
    }

    /// Its environment, `NAME=value` each; of a name that comes twice the first counts.
    ///
    /// # Errors
    /// Without the right to look, or where it is larger than the kernel would let a program have it.
    pub fn environment(&self) -> Result<Vec<Vec<u8>>> {
        /// `MAX_ARG_STRLEN` times some: execve(2) refuses more anyhow.
        const LARGEST: usize = 8 * 1024 * 1024;
        let all = self.directory()?.read("environ", LARGEST);
        let all = all.doing_to("cannot open", format!("/proc/{}/environ", self.pid))?;
        let mut environment: Vec<Vec<u8>> = Vec::new();
        for entry in all.split(|b| *b == 0) {
            let Some(end) = entry.iter().position(|b| *b == b'=') else {
                continue;
            };
            let name = &entry[..=end];
            if !environment.iter().any(|seen| seen.starts_with(name)) {
                environment.push(entry.to_vec());
            }
        }
        Ok(environment)
    }
}

/// The `/proc` directory of the process behind `pidfd`.
///
/// # Errors
/// `ESRCH` where it has ended: the directory might be that of a process which got its number.
pub fn directory(pid: Pid, pidfd: BorrowedFd<'_>) -> Result<Process> {
    let path = || format!("/proc/{pid}");
    let directory = Process::open(pid).doing_to("cannot open", path())?;
    // Signal 0 only asks; a process that we may not signal lives too.
    match pidfd_send_signal(pidfd, 0) {
        Ok(()) | Err(Errno::EPERM) => Ok(directory),
        Err(errno) => Err(errno).doing_to("cannot open", path()),
    }
}

/// Where a namespace that is not simply that of the target comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file: a pinned namespace, or a link below `/proc`.
    File(PathBuf),
    /// The id of a namespace (Linux 6.19).
    Id(u64),
}

impl Origin {
    /// Opens it.
    ///
    /// # Errors
    /// Of open(2) or open_by_handle_at(2).
    pub fn open(&self) -> Result<OwnedFd> {
        match self {
            Self::File(path) => {
                // Without O_NONBLOCK a file that is a FIFO would be waited for.
                let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
                open(path, flags, Mode::empty()).doing_to("cannot open", path)
            }
            Self::Id(id) => nsfs::open_by_id(*id).map_err(|errno| {
                let error = Error::new(format!("cannot open namespace of id {id}"));
                error.errno_is(errno).hint_maybe(too_old_for_ids())
            }),
        }
    }
}

/// Whether this kernel is older than Linux 6.19, the first to open a namespace by nothing but its id.
fn too_old_for_ids() -> Option<&'static str> {
    let name = nix::sys::utsname::uname().ok()?;
    let mut numbers = name.release().to_str()?.split(['.', '-']);
    let major: u32 = numbers.next()?.parse().ok()?;
    let minor: u32 = numbers.next()?.parse().ok()?;
    ((major, minor) < (6, 19)).then_some("namespaces by id need Linux 6.19")
}

/// The parent of the user namespace `user`.
///
/// # Errors
/// Where it has none that this process may see.
pub fn parent_of(user: BorrowedFd<'_>) -> Result<OwnedFd> {
    nsfs::owner(user).map_err(|errno| {
        let outside = (errno == Errno::EPERM).then_some(
            "the parent is not below the user namespace we are in, so it cannot be opened from here",
        );
        Error::new("failed to open parent namespace")
            .errno_is(errno)
            .hint_maybe(outside)
    })
}

/// The network namespace of socket `number` of the process behind `pidfd`.
///
/// # Errors
/// Without the right to trace that process, or where the descriptor is no socket.
pub fn socket_namespace(pidfd: BorrowedFd<'_>, pid: Pid, number: i32) -> Result<OwnedFd> {
    let socket = nsfs::pidfd_getfd(pidfd, number).map_err(|errno| {
        Error::new(format!(
            "cannot take descriptor {number} from process {pid}"
        ))
        .errno_is(errno)
    })?;
    let text = format!("cannot get the network namespace of descriptor {number} of process {pid}");
    nsfs::of_socket(socket.as_fd()).doing(text)
}

/// Where cgroup v2 is mounted: `/sys/fs/cgroup`, or on a hybrid host `/sys/fs/cgroup/unified`.
fn cgroup2_root() -> Result<&'static str> {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .into_iter()
        .find(|path| statfs(*path).is_ok_and(|fs| fs.filesystem_type() == CGROUP2_SUPER_MAGIC))
        .ok_or_else(|| {
            Error::new("--join-cgroup is only supported in cgroup v2").hint(
                "no cgroup2 file system is mounted at /sys/fs/cgroup or /sys/fs/cgroup/unified",
            )
        })
}

/// Opens for writing the `cgroup.procs` of the v2 cgroup that a process is in (cgroups(7)); `process` is its
/// directory below `/proc`.
///
/// # Errors
/// On a host without cgroup v2, without the right to write there, or where the cgroup lies outside of what this
/// cgroup namespace shows.
pub fn open_cgroup(process: BorrowedFd<'_>) -> Result<OwnedFd> {
    let root = cgroup2_root()?;
    let text = procfs::read_file(process, "cgroup", 64 * 1024);
    let text = text.doing("failed to get cgroup path")?;
    let path = cgroup2_path(&text)
        .ok_or_else(|| Error::new("the target is in no cgroup of the v2 hierarchy"))?;
    let file = path.join("cgroup.procs");
    let shown = Path::new(root).join(&file);
    let root = open(
        root,
        OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .doing_to("cannot open", root)?;
    let inside = resolve::BENEATH | resolve::NO_MAGICLINKS | resolve::NO_SYMLINKS;
    openat2(root.as_fd(), &file, libc::O_WRONLY, 0, inside).doing_to("failed to open", shown)
}

/// The path of the v2 cgroup in `/proc/PID/cgroup`, relative to the root of the hierarchy.
fn cgroup2_path(text: &[u8]) -> Option<PathBuf> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let line = text
        .split(|b| *b == b'\n')
        .find_map(|line| line.strip_prefix(b"0::/"))?;
    Some(PathBuf::from(OsStr::from_bytes(line)))
}

/// The directory this process is in, to come back to.
///
/// # Errors
/// Those of open(2).
pub fn current_directory() -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    nix::fcntl::openat(AT_FDCWD, ".", flags, Mode::empty())
        .doing("cannot open current working directory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_named() {
        type Want = Result<(i32, Option<u64>), Errno>;
        let cases: [(&str, Want); 12] = [
            ("1", Ok((1, None))),
            ("77:12", Ok((77, Some(12)))),
            ("0", Err(Errno::ERANGE)),
            ("-1", Err(Errno::ERANGE)),
            ("", Err(Errno::EINVAL)),
            ("x", Err(Errno::EINVAL)),
            ("1x", Err(Errno::EINVAL)),
            ("1:", Err(Errno::EINVAL)),
            ("1:0", Err(Errno::ERANGE)),
            ("1:x", Err(Errno::EINVAL)),
            ("99999999999", Err(Errno::ERANGE)),
            (" +1", Ok((1, None))),
        ];
        for (text, want) in cases {
            let got = text.parse::<Name>().map(|n| (n.pid.as_raw(), n.inode));
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn a_pidfd_pins_the_process() {
        let pid = Pid::this();
        let target = Target::hold(Name { pid, inode: None }, "ns/uts").unwrap();
        let inode = fstat(target.pidfd()).unwrap().st_ino;
        assert!(
            Target::hold(
                Name {
                    pid,
                    inode: Some(inode)
                },
                "ns/uts"
            )
            .is_ok()
        );
        let other = Name {
            pid,
            inode: Some(inode + 1),
        };
        let error = Target::hold(other, "ns/uts").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("pidfd inode {} not found for pid {pid}", inode + 1)
        );
        assert!(!target.all_kinds().unwrap().contains(&Kind::User));
    }

    #[test]
    fn a_target_that_ended_is_nobody_any_more() {
        let mut child = std::process::Command::new("sleep")
            .arg("100")
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        let target = Target::hold(Name { pid, inode: None }, "ns/uts").unwrap();
        assert!(target.directory().is_ok());
        child.kill().unwrap();
        child.wait().unwrap();
        // Whoever has the number now: it is not the one we hold.
        let error = pidfd_send_signal(target.pidfd(), 0).unwrap_err();
        assert_eq!(error, Errno::ESRCH);
        assert!(target.directory().is_err());
        assert!(target.all_kinds().is_err());
        assert!(target.environment().is_err());
        // Our own number with the pidfd of the dead: a directory that is there is refused all the same.
        let reused = directory(Pid::this(), target.pidfd()).unwrap_err();
        assert_eq!(reused.errno(), Some(Errno::ESRCH));
    }

    #[test]
    fn the_unified_line_is_found() {
        let cases: [(&[u8], Option<&str>); 4] = [
            (b"12:pids:/a\n1:name=systemd:/b\n0::/c/d\n", Some("c/d")),
            (b"0::/\n", Some("")),
            (b"4:memory:/x\n", None),
            (b"0::/../x\n", Some("../x")),
        ];
        for (text, want) in cases {
            assert_eq!(cgroup2_path(text).as_deref(), want.map(Path::new));
        }
    }
}
