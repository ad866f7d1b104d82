//! What is done to a group with all below it: freeze, kill, remove.
//!
//! A path means a group in every hierarchy that has it; which of them serves a purpose depends on the design: v2
//! freezes and kills any group, v1 freezes through its freezer hierarchy and has no kill at all.

use std::path::Path;
use std::rc::Rc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::group::Group;
use super::hierarchy::{Hierarchies, Hierarchy, Version};
use crate::error::{Error, Result};

/// How long a group is given to come to rest.
const PATIENCE: Duration = Duration::from_secs(10);

/// The groups that a path means: one in each hierarchy that has it.
///
/// # Errors
/// Where no hierarchy has it.
pub fn at(all: &Hierarchies, path: &Path) -> Result<Vec<Group>> {
    let found: Vec<Group> = all
        .all()
        .iter()
        .map(|h| Group::new(h, path))
        .filter(Group::exists)
        .collect();
    if found.is_empty() {
        return Err(Error::new("no such cgroup").on(Path::new("/").join(path)));
    }
    Ok(found)
}

/// A group and all below it, each after those below it.
///
/// # Errors
/// Where a directory cannot be listed; a group that vanished meanwhile is none.
pub fn deepest_first(group: &Group) -> Result<Vec<Group>> {
    let mut all = Vec::new();
    let children = match group.children() {
        Err(error) if error.errno() == Some(Errno::ENOENT) => return Ok(all),
        other => other?,
    };
    for child in children {
        all.extend(deepest_first(&Group::new(
            &group.hierarchy,
            group.path.join(child),
        ))?);
    }
    all.push(group.clone());
    Ok(all)
}

/// Stops every process of a group and below, or lets them go on, and waits until that is so.
///
/// # Errors
/// Where neither v2 nor v1's freezer has the group, and where it does not come to rest in ten seconds (a process in
/// uninterruptible sleep).
pub fn freeze(all: &Hierarchies, path: &Path, frozen: bool) -> Result<()> {
    let groups = at(all, path)?;
    let fits = |group: &&Group| match group.hierarchy.version {
        Version::V2 => group.has("cgroup.freeze"),
        Version::V1 => group.hierarchy.holds("freezer"),
    };
    let none = || {
        Error::new("cannot freeze")
            .on(Path::new("/").join(path))
            .because("neither v2 nor v1's freezer has this group")
    };
    let group = groups.iter().find(fits).ok_or_else(none)?;
    let (file, value, sign) = match (group.hierarchy.version, frozen) {
        (Version::V2, _) => (
            "cgroup.freeze",
            if frozen { "1" } else { "0" },
            ("cgroup.events", frozen),
        ),
        (Version::V1, true) => ("freezer.state", "FROZEN", ("freezer.state", true)),
        (Version::V1, false) => ("freezer.state", "THAWED", ("freezer.state", false)),
    };
    let wanted = match (group.hierarchy.version, sign.1) {
        (Version::V2, true) => "frozen 1",
        (Version::V2, false) => "frozen 0",
        (Version::V1, true) => "FROZEN",
        (Version::V1, false) => "THAWED",
    };
    group.write(file, value)?;
    let done = || Ok(group.read(sign.0)?.lines().any(|line| line == wanted));
    if wait_until(done)? {
        return Ok(());
    }
    Err(Error::new("not all processes have stopped in")
        .on(group.shown())
        .because("one sleeps and cannot be interrupted"))
}

/// Ends every process of a group and below, and waits until none is left.
///
/// v2 has a file for it (Linux 5.14). Elsewhere the group is frozen where it can be, so that it cannot fork away,
/// every process is sent `SIGKILL`, and it is thawed to die.
///
/// # Errors
/// Where processes are left after ten seconds; the error names them.
pub fn kill_all(all: &Hierarchies, path: &Path) -> Result<()> {
    let groups = at(all, path)?;
    for group in &groups {
        if group.has("cgroup.kill") {
            group.write("cgroup.kill", "1")?;
        }
    }
    let froze = !left(&groups)?.is_empty() && freeze(all, path, true).is_ok();
    let done = || {
        let pids = left(&groups)?;
        for pid in &pids {
            // One that ended meanwhile is what we want.
            let _ = kill(*pid, Signal::SIGKILL);
        }
        if froze && !pids.is_empty() {
            freeze(all, path, false)?;
        }
        Ok(pids.is_empty())
    };
    let dead = wait_until(done);
    if froze {
        let _ = freeze(all, path, false);
    }
    if dead? {
        return Ok(());
    }
    let pids: Vec<String> = left(&groups)?.iter().map(ToString::to_string).collect();
    Err(Error::new("processes do not end in")
        .on(Path::new("/").join(path))
        .because(pids.join(" ")))
}

/// Removes a group, in every hierarchy that has it; with `below` those below it too.
///
/// # Errors
/// `EBUSY` while a process or a group is in it.
pub fn remove(all: &Hierarchies, path: &Path, below: bool) -> Result<()> {
    for group in at(all, path)? {
        let doomed = if below {
            deepest_first(&group)?
        } else {
            vec![group]
        };
        for group in doomed {
            group.remove()?;
        }
    }
    Ok(())
}

/// The processes in these groups and below.
fn left(groups: &[Group]) -> Result<Vec<Pid>> {
    let mut pids = Vec::new();
    for group in groups {
        for level in deepest_first(group)? {
            pids.extend(level.processes().unwrap_or_default());
        }
    }
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

/// Asks again and again, with growing pauses, until the answer is yes or patience ends.
fn wait_until(mut done: impl FnMut() -> Result<bool>) -> Result<bool> {
    let started = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        if done()? {
            return Ok(true);
        }
        if started.elapsed() > PATIENCE {
            return Ok(false);
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Moves every process that sits in a group to the group `leaf` right below it, so that controllers can be enabled
/// for what lies below (v2's no-internal-process rule). Gives how many were moved.
///
/// # Errors
/// The kernel's answer; a process that ended meanwhile, and a kernel thread, which cannot be moved, are none.
pub fn evacuate(hierarchy: &Rc<Hierarchy>, path: &Path, leaf: &str) -> Result<usize> {
    let group = Group::new(hierarchy, path);
    let leaf = Group::new(hierarchy, path.join(leaf));
    leaf.make()?;
    let mut moved = 0;
    // Processes fork while they are moved: look again until a round finds nothing to move.
    loop {
        let mut progress = false;
        for pid in group.processes()? {
            match leaf.attach(pid) {
                Ok(()) => {
                    progress = true;
                    moved += 1;
                }
                Err(error) if matches!(error.errno(), Some(Errno::ESRCH | Errno::EINVAL)) => {}
                Err(error) => return Err(error),
            }
        }
        if !progress {
            return Ok(moved);
        }
    }
}
