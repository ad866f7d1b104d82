//! The leak oracle: what can be seen from outside, as sets of facts that two looks compare.
//!
//! It must hold while other tests run beside this one. Mounts, links, hostname and System V objects
//! are read through the test thread's own namespaces. Processes are this test's if they carry its
//! mark in their environment, or stand in its directory. Cgroups are machine-wide: only those
//! named after the test or the tool count, and only empty ones, since a leaked cgroup is one whose
//! processes are gone (living processes are found as processes).

use super::{Sandbox, is_root};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// The variable every command of a sandbox carries, with the sandbox's id.
pub const MARK: &str = "ISOBOX_TEST";

/// How long a dying process may take to be gone, or a cgroup to empty.
const GRACE: Duration = Duration::from_secs(3);

/// A look at everything a command could leave behind: topic, and the facts seen under it.
#[derive(Default, Clone)]
pub struct World {
    facts: BTreeMap<&'static str, BTreeSet<String>>,
    files: BTreeSet<String>,
}

impl World {
    /// Everything.
    pub(super) fn look(sandbox: &Sandbox) -> Self {
        let mut world = Self::glance(sandbox);
        world.facts.insert("cgroup", cgroups(sandbox));
        world
    }

    /// Everything but the cgroups: there may be thousands, and this is done for every command.
    pub(super) fn glance(sandbox: &Sandbox) -> Self {
        let facts = [
            ("mount", mounts(sandbox)),
            ("link", lines_of("/proc/thread-self/net/dev", link)),
            (
                "hostname",
                lines_of("/proc/sys/kernel/hostname", |line| Some(line.into())),
            ),
            ("shared memory", sysv("shm")),
            ("message queue", sysv("msg")),
            ("semaphores", sysv("sem")),
            ("/dev/null", dev_null()),
            (
                "process",
                processes(sandbox)
                    .into_iter()
                    .map(|(_, shown)| shown)
                    .collect(),
            ),
        ];
        Self {
            facts: facts.into(),
            files: files(&sandbox.work()),
        }
    }

    /// What is there now and was not before, or the other way round; looks again until the grace is over.
    pub(super) fn settled_difference(mut self, before: &Self, sandbox: &Sandbox) -> String {
        let start = Instant::now();
        loop {
            let difference = self.difference(before);
            if difference.is_empty() || start.elapsed() > GRACE {
                return difference;
            }
            thread::sleep(Duration::from_millis(5));
            let seen = self.facts.remove("cgroup").unwrap_or_default();
            self = Self::look(sandbox);
            // The command is over: what comes and goes now is a neighbour's.
            if let Some(now) = self.facts.get_mut("cgroup") {
                now.retain(|group| seen.contains(group));
            }
        }
    }

    /// Files made, removed or given another owner or mode.
    pub(super) fn files_difference(&self, before: &Self) -> String {
        compared("file", &before.files, &self.files)
    }

    /// Compares what both have looked at.
    fn difference(&self, before: &Self) -> String {
        let mut text = String::new();
        for (topic, now) in &self.facts {
            match before.facts.get(topic) {
                // A neighbour may tidy up meanwhile: only a new cgroup counts.
                Some(before) if *topic == "cgroup" => {
                    text += &compared(topic, &(before & now), now);
                }
                Some(before) => text += &compared(topic, before, now),
                None => {}
            }
        }
        text
    }
}

fn compared(topic: &str, before: &BTreeSet<String>, now: &BTreeSet<String>) -> String {
    let mut text = String::new();
    for lost in before.difference(now) {
        let _ = writeln!(text, "  - {topic}: {lost}");
    }
    for new in now.difference(before) {
        let _ = writeln!(text, "  + {topic}: {new}");
    }
    text
}

/// Kills what the test left running. Each was started by it: it carries its mark.
pub(super) fn kill_all(sandbox: &Sandbox) {
    for (pid, _) in processes(sandbox) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// Detaches the mounts a failed test left in its directory, so that the directory can be removed.
pub(super) fn unmount_below(dir: &Path) {
    let mountinfo = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
    for point in mountinfo
        .lines()
        .rev()
        .filter_map(|line| line.split(' ').nth(4))
    {
        if Path::new(point).starts_with(dir) {
            let _ = umount2(point, MntFlags::MNT_DETACH);
        }
    }
}

/// Every mount of the thread's own namespace; without one, those that name the sandbox.
fn mounts(sandbox: &Sandbox) -> BTreeSet<String> {
    let ours = |line: &str| is_root() || line.contains(&sandbox.id);
    lines_of("/proc/thread-self/mountinfo", |line| {
        ours(line).then(|| line.into())
    })
}

/// The name of a link, from a line of /proc/net/dev.
fn link(line: &str) -> Option<String> {
    line.split_once(':').map(|(name, _)| name.trim().into())
}

fn sysv(kind: &str) -> BTreeSet<String> {
    // The first line is the heading; key and id are what a user would call the object.
    let name = |line: &str| {
        Some(
            line.split_whitespace()
                .take(2)
                .collect::<Vec<_>>()
                .join(" "),
        )
    };
    lines_of(&format!("/proc/sysvipc/{kind}"), name)
}

fn dev_null() -> BTreeSet<String> {
    fs::metadata("/dev/null")
        .map(|null| {
            format!(
                "{:o} {}:{} rdev {:#x}",
                null.mode(),
                null.uid(),
                null.gid(),
                null.rdev()
            )
        })
        .into_iter()
        .collect()
}

/// The sandbox's processes: pid, and what to show of them. Zombies are gone.
fn processes(sandbox: &Sandbox) -> Vec<(i32, String)> {
    let mark = format!("{MARK}={}", sandbox.id);
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let proc = entry.path();
        let marked = fs::read(proc.join("environ")).is_ok_and(|env| {
            env.split(|byte| *byte == 0)
                .any(|var| var == mark.as_bytes())
        });
        let inside =
            || fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd.starts_with(&sandbox.dir));
        if marked || inside() {
            let argv = fs::read(proc.join("cmdline")).unwrap_or_default();
            found.push((
                pid,
                format!(
                    "{pid} {}",
                    String::from_utf8_lossy(&argv).replace('\0', " ")
                ),
            ));
        }
    }
    found
}

/// Whether a group bears the name of another sandbox, of this run or another, or lies in one that does.
fn is_neighbours(path: &Path, sandbox: &Sandbox) -> bool {
    path.iter().any(|name| {
        // isobox-TEST-PID-SERIAL, and whatever a test adds to it.
        let name = name.to_string_lossy();
        let parts: Vec<&str> = name.splitn(5, '-').take(4).collect();
        let number = |at: usize| {
            parts
                .get(at)
                .is_some_and(|part| part.parse::<u32>().is_ok())
        };
        parts.first() == Some(&"isobox") && number(2) && number(3) && parts.join("-") != sandbox.id
    })
}

fn cgroups(sandbox: &Sandbox) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let path = entry.path();
            let shown = path.to_string_lossy().into_owned();
            let ours = shown.contains("isobox") && !shown.contains("isobox-bench");
            let named = (ours || shown.contains(&sandbox.id)) && !is_neighbours(&path, sandbox);
            let empty = || {
                fs::read_to_string(path.join("cgroup.procs")).is_ok_and(|procs| procs.is_empty())
            };
            if named && empty() {
                found.insert(shown);
            }
            // Two links and one for each child: no need to open the leaves.
            if entry.metadata().is_ok_and(|meta| meta.nlink() > 2) {
                left.push(path);
            }
        }
    }
    found
}

fn files(dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            // Content counts by its size and time; a directory's own time only says that something came and went.
            let content = meta
                .is_file()
                .then(|| format!("{} bytes, {}", meta.len(), meta.mtime_nsec()));
            let shown = entry.path();
            found.insert(format!(
                "{} {:o} {}:{} {content:?}",
                shown.display(),
                meta.mode(),
                meta.uid(),
                meta.gid()
            ));
            if meta.is_dir() {
                left.push(entry.path());
            }
        }
    }
    found
}

fn lines_of(path: &str, fact: impl Fn(&str) -> Option<String>) -> BTreeSet<String> {
    fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .filter_map(fact)
        .collect()
}
