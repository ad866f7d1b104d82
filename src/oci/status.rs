//! What a container is at this moment: the kernel is asked, not a file.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::fstat;
use nix::unistd::{Pid, UnlinkatFlags, unlinkat};

use super::state::{Kept, Own, Record};
use crate::cgroup::{Group, Hierarchies};
use crate::error::{Doing, Error, Result};
use crate::json::Map;
use crate::plan::steps::start::is_awaited;
use crate::procfs::{Process, read_path};
use crate::sys::clone::pidfd_open;

/// `status` of the specification's state (runtime.md, "State"), and runc's `paused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is being made.
    Creating,
    /// Its first process waits for the start.
    Created,
    /// Its program runs.
    Running,
    /// All of it is frozen.
    Paused,
    /// Its first process has ended, or never was.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

impl Record {
    /// Notes the first process, so that it can be told from one that gets its number later.
    ///
    /// # Errors
    /// Where it cannot be looked at.
    pub fn note_first(&mut self, pid: Pid) -> Result<()> {
        let pidfd = pidfd_open(pid).doing("cannot hold the first process")?;
        let process = Process::open(pid).and_then(|process| process.stat());
        let stat = process.doing_to("cannot read", format!("/proc/{pid}/stat"))?;
        self.init_process_pid = pid.as_raw();
        self.init_process_start = stat.start;
        self.isobox.pidfd = inode(&pidfd);
        self.isobox.boot = boot();
        let kinds = crate::namespace::Kind::ALL;
        let paths = kinds
            .into_iter()
            .filter(|kind| *kind != crate::namespace::Kind::Time)
            .map(|kind| {
                let name = kind.flag_name().trim_start_matches("CLONE_").to_owned();
                (name, format!("/proc/{pid}/ns/{}", kind.proc_name()).into())
            });
        self.namespace_paths = Map(paths.collect());
        Ok(())
    }

    /// The first process, if it lives.
    pub fn first(&self) -> Option<(Pid, OwnedFd)> {
        let pid = Pid::from_raw(self.init_process_pid);
        let Own {
            boot: when,
            pidfd: known,
            ..
        } = &self.isobox;
        if pid.as_raw() <= 0 || *when != boot() {
            return None;
        }
        let pidfd = pidfd_open(pid).ok()?;
        if ended(&pidfd) || inode(&pidfd) != *known {
            return None;
        }
        let stat = Process::open(pid).and_then(|process| process.stat()).ok()?;
        (stat.start == self.init_process_start).then_some((pid, pidfd))
    }

    /// Whether it was told to stop. Asked of each container that is looked at, and so at the paths that were written
    /// down, without a look at all that is mounted.
    pub(super) fn is_frozen(&self) -> bool {
        let says = |controller: &str, file: &str, words: [&[u8]; 2]| {
            let path = self.cgroup_paths.value(controller);
            let own = path.filter(|path| !self.isobox.shared.contains(path));
            let text = own.and_then(|path| read_path(&path.join(file), 64).ok());
            text.is_some_and(|text| words.contains(&text.trim_ascii_end()))
        };
        says("freezer", "freezer.state", [b"FROZEN", b"FREEZING"])
            || says("", "cgroup.freeze", [b"1", b"1"])
    }

    /// Its control groups that are there and that nobody else was in before: its own to stop and to remove.
    pub fn own_groups(&self) -> Vec<Group> {
        let mut groups = self.groups();
        groups.retain(|group| !self.isobox.shared.contains(&group.shown()));
        groups
    }

    /// Removes its own control groups as far as nobody is in them or below them, and gives one that is left. Their paths as
    /// they were written down are enough for that.
    pub fn remove_empty_groups(&self) -> Option<&Path> {
        let own = |path: &&PathBuf| !self.isobox.shared.contains(path);
        let removed = |path: &Path| {
            let removed = unlinkat(AT_FDCWD, path, UnlinkatFlags::RemoveDir);
            matches!(removed, Ok(()) | Err(Errno::ENOENT))
        };
        let mut left = None;
        for path in self.cgroup_paths.values().filter(own) {
            if !removed(path) {
                left = Some(path.as_path());
            }
        }
        left
    }

    /// Its control groups that are there.
    pub fn groups(&self) -> Vec<Group> {
        self.found().unwrap_or_default()
    }

    /// Its control groups, all of them: who joins it may not be outside of one.
    ///
    /// # Errors
    /// Where one cannot be found.
    pub fn all_groups(&self) -> Result<Vec<Group>> {
        let found = self.found()?;
        let lost = |path: &&PathBuf| found.iter().all(|group| group.shown() != **path);
        match self.cgroup_paths.values().find(lost) {
            None => Ok(found),
            Some(path) => Err(Error::new("cannot find the container's cgroup").on(path)),
        }
    }

    fn found(&self) -> Result<Vec<Group>> {
        if self.cgroup_paths.is_empty() {
            return Ok(Vec::new());
        }
        let all = Hierarchies::discover()?;
        let group = |hierarchy| {
            let hierarchy: &std::rc::Rc<crate::cgroup::Hierarchy> = hierarchy;
            let below = self
                .cgroup_paths
                .values()
                .find_map(|path| path.strip_prefix(&hierarchy.mount).ok())?;
            let group = Group::new(hierarchy, below);
            (!below.as_os_str().is_empty() && group.exists()).then_some(group)
        };
        Ok(all.all().iter().filter_map(group).collect())
    }
}

/// What a container is now.
///
/// # Errors
/// Where the socket of its start cannot be asked.
pub fn status(kept: &Kept, record: &Record) -> Result<Status> {
    if let Some(status) = status_at_rest(kept, record) {
        return Ok(status);
    }
    Ok(match is_awaited(&kept.socket())? {
        true => Status::Created,
        false => Status::Running,
    })
}

/// What a container is whose first process could not be started now; `None` for one that is created or running.
pub(super) fn status_at_rest(kept: &Kept, record: &Record) -> Option<Status> {
    if record.first().is_none() {
        let making = record.init_process_pid == 0 && kept.is_busy();
        return Some(if making {
            Status::Creating
        } else {
            Status::Stopped
        });
    }
    record.is_frozen().then_some(Status::Paused)
}

/// Whether the process behind a pidfd has ended, be it collected or not.
pub fn ended(pidfd: &OwnedFd) -> bool {
    wait_for_end(pidfd, PollTimeout::ZERO)
}

/// Waits until the process behind a pidfd has ended; `false` where it has not in time.
pub fn wait_for_end(pidfd: &OwnedFd, at_most: PollTimeout) -> bool {
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    loop {
        match poll(&mut fds, at_most) {
            Err(Errno::EINTR) => {}
            other => return other.is_ok_and(|ready| ready > 0),
        }
    }
}

/// 0 where all pidfds have one inode in common.
fn inode(pidfd: &OwnedFd) -> u64 {
    /// `PID_FS_MAGIC` (linux/magic.h).
    const PIDFS: i64 = 0x5049_4446;
    let of_its_own = nix::sys::statfs::fstatfs(pidfd)
        .is_ok_and(|fs| i64::try_from(fs.filesystem_type().0).is_ok_and(|magic| magic == PIDFS));
    match of_its_own {
        true => fstat(pidfd).map_or(0, |stat| stat.st_ino),
        false => 0,
    }
}

fn boot() -> String {
    let text = read_path(Path::new("/proc/sys/kernel/random/boot_id"), 64).unwrap_or_default();
    String::from_utf8_lossy(&text).trim_end().to_owned()
}
