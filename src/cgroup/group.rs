//! One control group: a directory in each hierarchy that holds a controller it was asked for.
//!
//! Everything is done by descriptor from the hierarchy's root down, so that neither a link nor `..` leads out.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, fstat, mkdirat};
use nix::unistd::{Gid, Pid, Uid, UnlinkatFlags, fchownat, unlinkat};

use super::hierarchy::{Hierarchy, Version};
use super::refusal::explain;
use super::setting::{Setting, to_v2};
use super::usage::keyed;
use super::v1::{MEMSW, from_v1, is_v1_only, swap_alone, to_v1, v1_limits};
use super::value::{Limit, bytes};
use crate::error::{Doing, Error, Result};
use crate::order;
use crate::procfs::read_whole;
use crate::sys::directory;

/// A file of a group may list the processes of a whole machine.
const LONGEST: usize = 1 << 26;

/// A group below the root of one hierarchy.
#[derive(Debug, Clone)]
pub struct Group {
    /// The hierarchy.
    pub hierarchy: Rc<Hierarchy>,
    /// Where, below its root.
    pub path: PathBuf,
}

impl Group {
    /// The group at `path`, which need not exist yet.
    pub fn new(hierarchy: &Rc<Hierarchy>, path: impl Into<PathBuf>) -> Self {
        Self {
            hierarchy: Rc::clone(hierarchy),
            path: path.into(),
        }
    }

    /// The group above; the root's is the root.
    pub fn parent(&self) -> Self {
        Self::new(&self.hierarchy, self.path.parent().unwrap_or(Path::new("")))
    }

    /// The groups from the root down to this one.
    pub fn levels(&self) -> Vec<Self> {
        let mut all: Vec<Self> = self
            .path
            .ancestors()
            .map(|path| Self::new(&self.hierarchy, path))
            .collect();
        all.reverse();
        all
    }

    /// Its path for people.
    pub fn shown(&self) -> PathBuf {
        self.hierarchy.shown(&self.path)
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        self.hierarchy
            .open(&self.path, OFlag::O_PATH | OFlag::O_DIRECTORY)
            .is_ok()
    }

    /// Whether it has this file.
    pub fn has(&self, file: &str) -> bool {
        self.hierarchy
            .open(&self.path.join(file), OFlag::O_PATH)
            .is_ok()
    }

    /// Its directory.
    ///
    /// # Errors
    /// The kernel's answer, as "cannot open".
    pub fn open(&self) -> Result<OwnedFd> {
        self.hierarchy
            .open(&self.path, OFlag::O_PATH | OFlag::O_DIRECTORY)
            .doing_to("cannot open", self.shown())
    }

    /// Makes the directory; its parent must be there. Tells whether it was made now.
    ///
    /// # Errors
    /// The kernel's answer; it being there already is none.
    pub fn make(&self) -> Result<bool> {
        let Some(name) = self.path.file_name() else {
            return Ok(false);
        };
        let above = self.above()?;
        let dir = above.as_ref().map_or(self.hierarchy.fd(), AsFd::as_fd);
        match mkdirat(dir, name, Mode::from_bits_truncate(0o755)) {
            Err(Errno::EEXIST) => return Ok(false),
            other => other
                .doing_to("cannot make cgroup", self.shown())
                .map_err(|e| explain(e, self, ""))?,
        }
        if self.hierarchy.version == Version::V1 && self.hierarchy.holds("cpuset") {
            self.inherit_cpuset()?;
        }
        Ok(true)
    }

    /// A new v1 cpuset has no CPUs and no memory, and refuses every process until it has.
    fn inherit_cpuset(&self) -> Result<()> {
        let parent = self.parent();
        for file in ["cpuset.cpus", "cpuset.mems"] {
            self.write(file, parent.read(file)?.trim())?;
        }
        Ok(())
    }

    /// The directory above it; `None` where that is the hierarchy's root, which is open already.
    fn above(&self) -> Result<Option<OwnedFd>> {
        let parent = self.parent();
        match parent.path.as_os_str().is_empty() {
            true => Ok(None),
            false => parent.open().map(Some),
        }
    }

    /// Removes the directory.
    ///
    /// # Errors
    /// `EBUSY` while processes or groups are in it, which the error then names.
    pub fn remove(&self) -> Result<()> {
        let Some(name) = self.path.file_name() else {
            return Err(Error::new("cannot remove the root cgroup").on(&self.hierarchy.mount));
        };
        let above = self.above()?;
        let dir = above.as_ref().map_or(self.hierarchy.fd(), AsFd::as_fd);
        // The kernel lets go of a group a moment after its last process has been waited for.
        let mut pause = Duration::from_micros(50);
        loop {
            match unlinkat(dir, name, UnlinkatFlags::RemoveDir) {
                Err(Errno::EBUSY) if pause < Duration::from_millis(200) && self.looks_empty() => {
                    sleep(pause);
                }
                other => {
                    return other
                        .doing_to("cannot remove cgroup", self.shown())
                        .map_err(|e| explain(e, self, ""));
                }
            }
            pause *= 2;
        }
    }

    fn looks_empty(&self) -> bool {
        self.processes().is_ok_and(|all| all.is_empty())
            && self.children().is_ok_and(|all| all.is_empty())
    }

    /// The whole text of one of its files.
    ///
    /// # Errors
    /// The kernel's answer, as "cannot read".
    pub fn read(&self, file: &str) -> Result<String> {
        let open = self.hierarchy.open(&self.path.join(file), OFlag::O_RDONLY);
        let text = open.and_then(|fd| read_whole(fd.as_fd(), LONGEST));
        let text = text.and_then(|text| String::from_utf8(text).map_err(|_| Errno::EILSEQ));
        text.map_err(|errno| {
            let error = Error::new("cannot read").on(self.shown().join(file));
            error.errno_is(errno)
        })
    }

    /// A file by its v2 name, in v2's words where this hierarchy is v1.
    ///
    /// # Errors
    /// The kernel's answer, as "cannot read".
    pub fn get(&self, name: &str) -> Result<String> {
        if self.hierarchy.version == Version::V2 {
            return self.read(name);
        }
        from_v1(name, |file| self.read(file))
    }

    /// How many of its processes the kernel has killed for its memory limit, or that of a group below.
    pub fn oom_kills(&self) -> Option<u64> {
        let file = match self.hierarchy.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        keyed(&self.read(file).ok()?, "oom_kill")
    }

    /// Gives one of its files (the directory itself for an empty name) another owner, other permissions, or both.
    /// Permissions are cut to what the owner of the file has.
    ///
    /// # Errors
    /// The kernel's answer, as "cannot give away".
    pub fn hand_over(&self, file: &str, owner: Option<Owner>, mode: Option<u32>) -> Result<()> {
        let path = if file.is_empty() {
            self.path.clone()
        } else {
            self.path.join(file)
        };
        let shown = self.hierarchy.shown(&path);
        if owner.is_none() && mode.is_none() {
            return Ok(());
        }
        // O_PATH: some files can only be written, some only be read.
        let fd = self
            .hierarchy
            .open(&path, OFlag::O_PATH)
            .doing_to("cannot give away", &shown)?;
        if let Some(Owner { uid, gid }) = owner {
            let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            fchownat(&fd, "", uid, gid, AtFlags::AT_EMPTY_PATH)
                .doing_to("cannot give away", &shown)?;
        }
        if let Some(mode) = mode {
            let has = fstat(&fd).doing_to("cannot stat", &shown)?.st_mode & 0o700;
            let mode = if file.is_empty() {
                mode
            } else {
                mode & (has | has >> 3 | has >> 6)
            };
            // There are no links in a cgroup file system that a name could lead through.
            let here = self.open()?;
            let name = if file.is_empty() { "." } else { file };
            let mode = Mode::from_bits_truncate(mode);
            fchmodat(&here, name, mode, FchmodatFlags::FollowSymlink)
                .doing_to("cannot change the permissions of", &shown)?;
        }
        Ok(())
    }

    /// The names of its files.
    ///
    /// # Errors
    /// The kernel's answer, as "cannot list".
    pub fn files(&self) -> Result<Vec<String>> {
        self.entries(libc::DT_REG)
    }

    /// Whether one of its files is there to be written.
    pub fn may_write(&self, file: &str) -> bool {
        let open = self.hierarchy.open(&self.path.join(file), OFlag::O_PATH);
        open.and_then(|fd| fstat(&fd))
            .is_ok_and(|stat| stat.st_mode & 0o200 != 0)
    }

    /// Writes one of its files, in one write(2).
    ///
    /// # Errors
    /// The kernel's answer, with what is known of its reason.
    pub fn write(&self, file: &str, value: &str) -> Result<()> {
        self.write_each(std::iter::once((file, value)))
    }

    /// Writes files and values in order, each value in one write(2), a file that follows itself opened once.
    ///
    /// # Errors
    /// As [`Group::write`].
    pub fn write_each<'a>(&self, all: impl Iterator<Item = (&'a str, &'a str)>) -> Result<()> {
        let mut open: Option<(&str, File)> = None;
        for (file, value) in all {
            let written = match &mut open {
                Some((last, to)) if *last == file => to.write_all(value.as_bytes()),
                _ => self
                    .hierarchy
                    .open(&self.path.join(file), OFlag::O_WRONLY)
                    .map_err(std::io::Error::from)
                    .and_then(|fd| {
                        let (_, to) = open.insert((file, File::from(fd)));
                        to.write_all(value.as_bytes())
                    }),
            };
            let doing = || format!("cannot write '{value}' to");
            if let Err(error) = written {
                let error = Err(error).doing_to(doing(), self.shown().join(file));
                return error.map_err(|error| explain(error, self, file));
            }
        }
        Ok(())
    }

    /// The processes in it, without those of groups below.
    ///
    /// # Errors
    /// The kernel's answer, as "cannot read".
    pub fn processes(&self) -> Result<Vec<Pid>> {
        let text = self.read("cgroup.procs")?;
        Ok(text
            .lines()
            .filter_map(|line| line.parse().ok())
            .map(Pid::from_raw)
            .collect())
    }

    /// Whether it is the root of the whole hierarchy, and not just of our namespace: that one alone has no type in
    /// v2, and in v1 an agent that is told of empty groups.
    pub fn is_true_root(&self) -> bool {
        self.path.as_os_str().is_empty()
            && match self.hierarchy.version {
                Version::V1 => self.has("release_agent"),
                Version::V2 => !self.has("cgroup.type"),
            }
    }

    /// Whether groups with controllers may lie below it while processes sit in it: always on v1; on v2 in the root of
    /// the whole hierarchy, and where controllers are on already (so that nobody sits in it).
    pub fn may_hold_groups(&self) -> bool {
        self.hierarchy.version == Version::V1
            || self.is_true_root()
            || self
                .read("cgroup.subtree_control")
                .is_ok_and(|on| !on.trim().is_empty())
    }

    /// It, where groups with controllers may lie below it, else the one above.
    #[must_use]
    pub fn or_parent(self) -> Self {
        if self.may_hold_groups() {
            self
        } else {
            self.parent()
        }
    }

    /// The groups right below it, by name.
    ///
    /// # Errors
    /// The kernel's answer, as "cannot list".
    pub fn children(&self) -> Result<Vec<String>> {
        self.entries(libc::DT_DIR)
    }

    fn entries(&self, kind: u8) -> Result<Vec<String>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let fd = self.hierarchy.open(&self.path, flags);
        let names = fd.and_then(|fd| directory::list_of(fd.as_fd(), |one| one == kind));
        let names = names.doing_to("cannot list", self.shown())?;
        let names = names.iter().map(|name| name.to_string_lossy().into_owned());
        let mut names: Vec<String> = names.collect();
        order::sort(&mut names);
        Ok(names)
    }

    /// Where a process that is to be in it can sit: v2 lets none into a group that hands controllers down to others,
    /// so that it is the group `leaf` right below it then, under the same limits.
    #[must_use]
    pub fn seat(&self) -> Self {
        let is_root = self.path.as_os_str().is_empty();
        let hands_down = || {
            self.read("cgroup.subtree_control")
                .is_ok_and(|on| !on.trim().is_empty())
        };
        if self.hierarchy.version == Version::V2 && !is_root && hands_down() {
            return Self::new(&self.hierarchy, self.path.join("leaf"));
        }
        self.clone()
    }

    /// Moves this process into it. On v1 by `tasks`, which spares a single-threaded process the wait for an RCU
    /// grace period that `cgroup.procs` costs after an idle moment: about ten milliseconds.
    ///
    /// # Errors
    /// The kernel's answer, with the processes and controllers in the way on v2.
    pub fn join(&self) -> Result<()> {
        let file = if self.hierarchy.version == Version::V1 {
            "tasks"
        } else {
            "cgroup.procs"
        };
        self.write(file, "0")
    }

    /// Moves another process into it.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn attach(&self, pid: Pid) -> Result<()> {
        self.write("cgroup.procs", &pid.to_string())
    }

    /// Sets what is given in v2's words, in the words of this hierarchy, and gives what was written. `memory` is the
    /// memory limit that is set with it: v1 limits memory and swap together.
    ///
    /// # Errors
    /// For what this hierarchy has nothing for, and the kernel's answer.
    pub fn set(&self, setting: &Setting, memory: Option<Limit>) -> Result<Vec<Setting>> {
        let written = self.words_for(setting, memory)?;
        for one in &written {
            self.write(&one.name, &one.value)?;
        }
        Ok(written)
    }

    /// What the kernel made of what was written, where that is something else, for people.
    pub fn remarks(&self, written: &[Setting]) -> Vec<String> {
        let now = |file: &str| self.read(file).unwrap_or_default().trim().to_owned();
        let mut all = Vec::new();
        for Setting { name, value, .. } in written {
            // Rules about devices can only be written.
            if name.starts_with("devices.") || is_kept(name, value) {
                continue;
            }
            let kept = now(name);
            if is_rounded(value, &kept) {
                all.push(format!("{name}: the kernel made {kept} of {value}"));
            }
            if name == "cpuset.cpus" && self.hierarchy.version == Version::V2 {
                let effective = now("cpuset.cpus.effective");
                if effective != kept {
                    all.push(format!(
                        "{name}: only {effective} of {kept} can be had here"
                    ));
                }
            }
        }
        all
    }

    /// The files and values that a setting means in this hierarchy.
    ///
    /// # Errors
    /// For what it has nothing for.
    pub fn words_for(&self, setting: &Setting, memory: Option<Limit>) -> Result<Vec<Setting>> {
        let now = |file: &str| bytes(self.read(file).ok()?.trim()).ok();
        match self.hierarchy.version {
            Version::V2 if setting.name == MEMSW => {
                let memory = memory.or_else(|| now("memory.max"));
                Ok(vec![swap_alone(setting, memory.unwrap_or(Limit::Max))?])
            }
            Version::V2 if setting.name.starts_with("blkio.weight") => {
                Ok(vec![self.weight(setting)])
            }
            Version::V2 => Ok(vec![to_v2(setting)?]),
            // Shares as they were given: a weight would be another number.
            Version::V1 if setting.name == "cpu.shares" => Ok(vec![setting.clone()]),
            Version::V1
                if setting.name.starts_with("blkio.weight") && self.has("blkio.bfq.weight") =>
            {
                let name = setting.name.replace("blkio.", "blkio.bfq.");
                Ok(vec![Setting::new(name, setting.value.clone())])
            }
            Version::V1 if is_v1_only(&setting.name) => Ok(vec![setting.clone()]),
            Version::V1 => {
                let setting = to_v2(setting)?;
                if setting.name == "memory.max" {
                    let both = now("memory.limit_in_bytes").zip(now(MEMSW));
                    return Ok(v1_limits(bytes(&setting.value)?, both));
                }
                let memory = memory.or_else(|| now("memory.limit_in_bytes"));
                to_v1(&setting, memory.unwrap_or(Limit::Max)).map_err(|e| {
                    let mount = self.hierarchy.mount.display();
                    e.hint(format!(
                        "the controller '{}' is held by the v1 hierarchy at {mount}",
                        setting.controller()
                    ))
                })
            }
        }
    }

    /// A weight of v1's disk controller (10 to 1000) on v2: where the scheduler BFQ shares the disk it has a file of its
    /// own, which takes the same numbers; else `io.weight` takes 1 to 10000.
    fn weight(&self, setting: &Setting) -> Setting {
        let (device, weight) = match setting.value.rsplit_once(' ') {
            Some((device, weight)) => (format!("{device} "), weight),
            None => (String::new(), &*setting.value),
        };
        if self.has("io.bfq.weight") {
            return Setting::new("io.bfq.weight", setting.value.clone());
        }
        let weight: u64 = weight.parse().unwrap_or(100);
        let of_v2 = 1 + weight.clamp(10, 1000).saturating_sub(10) * 9999 / 990;
        Setting::new("io.weight", format!("{device}{of_v2}"))
    }

    /// Enables controllers for the groups below it (v2's `cgroup.subtree_control`); those that are on stay on.
    ///
    /// # Errors
    /// `EBUSY` while processes sit in it (the no-internal-process rule), which the error then names.
    pub fn enable(&self, controllers: &[&str]) -> Result<()> {
        let on = self.read("cgroup.subtree_control")?;
        let missing: Vec<String> = controllers
            .iter()
            .filter(|controller| !on.split_whitespace().any(|word| word == **controller))
            .map(|controller| format!("+{controller}"))
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            self.write("cgroup.subtree_control", &missing.join(" "))
        }
    }
}

/// Who owns a file, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// Whether the kernel surely keeps this as it is given: a number of processes, and a limit of whole pages, which have at
/// most 64 KiB.
fn is_kept(name: &str, value: &str) -> bool {
    let of_pages = |bytes: i64| bytes % (64 << 10) == 0;
    match name {
        "pids.max" => true,
        "memory.max" | "memory.limit_in_bytes" => value.parse().is_ok_and(of_pages),
        _ => false,
    }
}

/// Whether the kernel keeps another number than it was given: of sizes it keeps whole pages. Lists of CPUs it writes
/// its own way, which is no difference.
fn is_rounded(given: &str, kept: &str) -> bool {
    let number = |word: &str| word.parse::<u64>().ok();
    let differ = |(a, b)| number(a).zip(number(b)).is_some_and(|(a, b)| a != b);
    given.split(' ').zip(kept.split(' ')).any(differ)
}

#[cfg(test)]
mod tests {
    use super::{is_kept, is_rounded};

    #[test]
    fn whole_pages_are_kept() {
        let cases = [
            ("memory.max", "67108864", true),
            ("memory.limit_in_bytes", "67112960", false),
            ("memory.max", "max", false),
            ("memory.max", "9223372036854775808", false),
            // Linux 5.16 takes any value, and makes nothing of it.
            ("memory.kmem.limit_in_bytes", "67108864", false),
            ("pids.max", "64", true),
        ];
        for (name, value, want) in cases {
            assert_eq!(is_kept(name, value), want, "{name} {value}");
        }
    }

    #[test]
    fn rounding_is_seen() {
        let cases = [
            ("1000000", "999424", true),
            ("4096", "4096", false),
            ("max 100000", "max 100000", false),
            ("20000 100000", "20000 50000", true),
            ("0,1", "0-1", false),
            ("8:0 rbps=10", "8:0 rbps=10", false),
        ];
        for (given, kept, want) in cases {
            assert_eq!(is_rounded(given, kept), want, "{given} {kept}");
        }
    }
}
