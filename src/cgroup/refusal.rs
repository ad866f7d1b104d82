//! Why the kernel refused something about a group: what can be seen of it, never a guess.

use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::fstat;
use nix::unistd::geteuid;

use super::group::Group;
use super::hierarchy::Version;
use super::setting::controller_of;
use crate::error::Error;

/// Adds to a refusal what can be seen of its reason. `file` is the group's file that it was about; empty for the
/// directory itself.
pub(super) fn explain(error: Error, group: &Group, file: &str) -> Error {
    let Some(errno) = error.errno() else {
        return error;
    };
    let hint = match errno {
        Errno::ENOENT | Errno::EINVAL if is_of_groups(file) && group.is_true_root() => Some(
            "the root group has no limits and tells of no events: name a group below it".into(),
        ),
        Errno::EBUSY => busy(group, file),
        Errno::EROFS => Some(format!(
            "{} is mounted read-only here",
            group.hierarchy.mount.display()
        )),
        Errno::ENODEV if file.starts_with("io.") || file.starts_with("blkio.") => Some(
            "no such disk; limits are kept by whole disks: cg io-dev PATH tells the number".into(),
        ),
        Errno::ENOENT | Errno::ENODEV | Errno::EACCES | Errno::EPERM => missing(group, file),
        Errno::EINVAL | Errno::ERANGE => out_of_range(group, file),
        Errno::EOPNOTSUPP => group
            .read("cgroup.type")
            .ok()
            .map(|kind| format!("the type of the group is '{}'", kind.trim())),
        _ => None,
    };
    error.hint_maybe(hint)
}

/// Whether the root group has no such file, or none that can be written.
fn is_of_groups(file: &str) -> bool {
    file == "cgroup.events" || !matches!(controller_of(file), "" | "cgroup" | "tasks")
}

fn busy(group: &Group, file: &str) -> Option<String> {
    let list = |all: Vec<String>| (!all.is_empty()).then(|| all.join(" "));
    if file.starts_with("memory.") {
        let used = group.get("memory.current").ok()?;
        return Some(format!(
            "{} bytes are in use and cannot be freed",
            used.trim()
        ));
    }
    if file == "cgroup.procs" {
        let on = group.read("cgroup.subtree_control").ok()?;
        return Some(format!(
            "its controllers are on for the groups below it ({}): a process can be in one of those only",
            on.trim()
        ));
    }
    let pids = group.processes().unwrap_or_default();
    if let Some(pids) = list(pids.iter().map(ToString::to_string).collect()) {
        let way_out = match file {
            "cgroup.subtree_control" if group.path.as_os_str().is_empty() => {
                "; cg init moves them to a leaf below it".into()
            }
            "cgroup.subtree_control" => format!(
                "; cg init --of {} moves them to a leaf below it",
                Path::new("/").join(&group.path).display()
            ),
            _ => String::new(),
        };
        return Some(format!("processes sit in it: {pids}{way_out}"));
    }
    let below = group.children().unwrap_or_default();
    list(below).map(|below| format!("groups lie below it: {below}"))
}

/// Why something is not there, or is not for us: the group is gone, its controller is off, it is not ours.
fn missing(group: &Group, file: &str) -> Option<String> {
    if !file.is_empty() && !group.exists() {
        return Some("there is no such cgroup".into());
    }
    let controller = controller_of(file);
    let is_v2 = group.hierarchy.version == Version::V2;
    if is_v2 && !matches!(controller, "" | "cgroup") && !group.has(file) {
        let on = group.read("cgroup.controllers").unwrap_or_default();
        return Some(if on.split_whitespace().any(|word| word == controller) {
            "this kernel has no such file".into()
        } else {
            way_down(group, controller)
        });
    }
    if geteuid().is_root() {
        return None;
    }
    Some(match is_v2 {
        false => "an ordinary user changes only what root has given away: cgcreate -a USER:GROUP -t USER:GROUP -g CONTROLLERS:PATH".into(),
        true => whose(group),
    })
}

/// The way a controller takes from the root to a group, up to where it is not handed on.
fn way_down(group: &Group, controller: &str) -> String {
    let mut way = format!("the controller '{controller}' is off here; its way down:");
    let parent = group.parent();
    for level in parent.levels() {
        let name = Path::new("/").join(&level.path);
        let text = |file: &str| level.read(file).unwrap_or_default();
        let has = |text: &str| text.split_whitespace().any(|word| word == controller);
        let on = text("cgroup.subtree_control");
        if has(&on) {
            way.push_str(&format!(" {} +{controller},", name.display()));
            continue;
        }
        let why = if has(&text("cgroup.controllers")) {
            format!("hands on only '{}'", on.trim())
        } else {
            "has not got it".into()
        };
        way.push_str(&format!(" {} {why} <- first missing link", name.display()));
        break;
    }
    way
}

/// Which of the groups from the root down an ordinary user may change, and how to come by one.
fn whose(group: &Group) -> String {
    let me = geteuid().as_raw();
    let is_ours = |level: &Group| {
        let stat = level.open().ok().and_then(|fd| fstat(&fd).ok());
        stat.is_some_and(|stat| stat.st_uid == me)
    };
    if let Some(first) = group.levels().iter().find(|level| is_ours(level)) {
        return format!(
            "your groups begin at {}: processes move between those only",
            first.shown().display()
        );
    }
    let advice = if Path::new("/run/systemd/system").exists() {
        "systemd-run --user --scope -p Delegate=yes COMMAND runs in one that is"
    } else {
        "root gives one away by: cg delegate PATH USER"
    };
    format!(
        "no group from {} up is yours; {advice}",
        group.shown().display()
    )
}

/// What a setting can be.
fn out_of_range(group: &Group, file: &str) -> Option<String> {
    let of_parent = |file: &str| group.parent().read(file).ok();
    let text = match file {
        "cpuset.cpus" | "cpuset.mems" => {
            let there = of_parent(&format!("{file}.effective")).or_else(|| of_parent(file))?;
            return Some(format!("the group above has {}", there.trim()));
        }
        "cgroup.subtree_control" => {
            let there = group.read("cgroup.controllers").ok()?;
            return Some(format!("the controllers it has: {}", there.trim()));
        }
        "pids.max" => "max, or 0 to 4194304",
        "cpu.max" | "cpu.cfs_quota_us" | "cpu.cfs_period_us" => {
            "a period is 1000 to 1000000 us, a quota 1000 us or more, and on v1 not over that of the group above"
        }
        "cpu.weight" | "io.weight" => "1 to 10000",
        "memory.limit_in_bytes" | "memory.memsw.limit_in_bytes" => {
            "memory and swap together are not limited to less than memory alone"
        }
        "memory.oom.group" | "cgroup.freeze" => "0 or 1",
        "cgroup.procs" | "tasks" if group.hierarchy.version == Version::V1 => {
            let empty = |file| group.read(file).is_ok_and(|text| text.trim().is_empty());
            if !["cpuset.cpus", "cpuset.mems"].into_iter().any(empty) {
                return None;
            }
            "a v1 cpuset needs CPUs and memory first: cpuset.cpus, cpuset.mems"
        }
        _ => return None,
    };
    Some(format!("{file}: {text}"))
}
