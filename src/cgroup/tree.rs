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
use crate::order;

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
/// Where neither v2 nor v1's freezer has the group, and where it does not come to rest in ten seconds: a process
/// sleeps uninterruptibly, or, of one that is to go on, a group above is frozen.
pub fn freeze(all: &Hierarchies, path: &Path, frozen: bool) -> Result<()> {
    let groups = at(all, path)?;
    if !freeze_groups(&groups, frozen)? {
        return Err(Error::new("cannot freeze")
            .on(Path::new("/").join(path))
            .because("neither v2 nor v1's freezer has this group"));
    }
    Ok(())
}

/// The same for groups that are one across hierarchies; `false` where none of them can freeze.
///
/// # Errors
/// As [`freeze`].
pub fn freeze_groups(groups: &[Group], frozen: bool) -> Result<bool> {
    let able: Vec<&Group> = groups.iter().filter(|group| can_freeze(group)).collect();
    // One hierarchy stops a group; it goes on when none does.
    let concerned = if frozen { 1 } else { able.len() };
    able.iter()
        .take(concerned)
        .try_for_each(|group| set_frozen(group, frozen))?;
    Ok(!able.is_empty())
}

fn can_freeze(group: &Group) -> bool {
    match group.hierarchy.version {
        Version::V2 => group.has("cgroup.freeze"),
        Version::V1 => group.hierarchy.holds("freezer"),
    }
}

fn set_frozen(group: &Group, frozen: bool) -> Result<()> {
    let (file, value, sign, wanted) = match (group.hierarchy.version, frozen) {
        (Version::V2, true) => ("cgroup.freeze", "1", "cgroup.events", "frozen 1"),
        (Version::V2, false) => ("cgroup.freeze", "0", "cgroup.events", "frozen 0"),
        (Version::V1, true) => ("freezer.state", "FROZEN", "freezer.state", "FROZEN"),
        (Version::V1, false) => ("freezer.state", "THAWED", "freezer.state", "THAWED"),
    };
    group.write(file, value)?;
    if wait_until(|| Ok(group.read(sign)?.lines().any(|line| line == wanted)))? {
        return Ok(());
    }
    let why = if frozen {
        "one sleeps and cannot be interrupted; cg thaw lets the others go on"
    } else {
        "a group above is frozen"
    };
    let what = if frozen {
        "not all processes have stopped in"
    } else {
        "processes do not go on in"
    };
    Err(Error::new(what).on(group.shown()).because(why))
}

/// Ends every process of a group and below, and waits until none is left.
///
/// v2 has a file for it (Linux 5.14). Elsewhere the group is frozen where it can be, so that it cannot fork away,
/// every process is sent `SIGKILL`, and it is thawed to die. A group that was frozen before is thawed too: on v1 its
/// processes could not end.
///
/// # Errors
/// Where processes are left after ten seconds; the error names them.
pub fn kill_all(all: &Hierarchies, path: &Path) -> Result<()> {
    kill_groups(&at(all, path)?)
}

/// The same for groups that are one across hierarchies.
///
/// # Errors
/// As [`kill_all`].
pub fn kill_groups(groups: &[Group]) -> Result<()> {
    let has_kill =
        |group: &&Group| group.hierarchy.version == Version::V2 && group.has("cgroup.kill");
    for group in groups.iter().filter(has_kill) {
        group.write("cgroup.kill", "1")?;
    }
    let send = || -> Result<bool> {
        let pids = processes(groups)?;
        for pid in &pids {
            // One that ended meanwhile is what we want.
            let _ = kill(*pid, Signal::SIGKILL);
        }
        Ok(pids.is_empty())
    };
    if processes(groups)?.is_empty() {
        return Ok(());
    }
    // Best effort: one of them may sleep, and there may be no freezer.
    let _ = freeze_groups(groups, true);
    let sent = send();
    let _ = freeze_groups(groups, false);
    sent?;
    if wait_until(send)? {
        return Ok(());
    }
    let pids: Vec<String> = processes(groups)?.iter().map(ToString::to_string).collect();
    let shown = groups.first().map(Group::shown).unwrap_or_default();
    Err(Error::new("processes do not end in")
        .on(shown)
        .because(format!("{} (uninterruptible sleep)", pids.join(" "))))
}

/// Removes a group, in every hierarchy that has it; with `below` those below it too.
///
/// # Errors
/// `EBUSY` while a process or a group is in it.
pub fn remove(all: &Hierarchies, path: &Path, below: bool) -> Result<()> {
    at(all, path)?
        .iter()
        .try_for_each(|group| remove_one(group, below))
}

/// Removes a group of one hierarchy; with `below` those below it too.
///
/// # Errors
/// As [`remove`]; it being gone already is none.
pub fn remove_one(group: &Group, below: bool) -> Result<()> {
    let doomed = if below {
        deepest_first(group)?
    } else {
        vec![group.clone()]
    };
    for group in doomed {
        match group.remove() {
            // Whoever made it may be removing it too.
            Err(error) if error.errno() == Some(Errno::ENOENT) => {}
            other => other?,
        }
    }
    Ok(())
}

/// The processes in these groups and below, in ascending order.
///
/// # Errors
/// Where a directory cannot be listed.
pub fn processes(groups: &[Group]) -> Result<Vec<Pid>> {
    let mut pids = Vec::new();
    for group in groups {
        for level in deepest_first(group)? {
            pids.extend(level.processes().unwrap_or_default());
        }
    }
    order::sort(&mut pids);
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
