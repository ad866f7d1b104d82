//! Control groups: who holds which controller, what of it has come down to us, and what is limited above us.

use std::fs;
use std::path::Path;

use super::{Places, Report, State};
use crate::cgroup::usage::effective;
use crate::cgroup::value::human;
use crate::cgroup::{Group, Hierarchies, Hierarchy, Layout, Version};
use crate::order;

/// What limits are about.
const WANTED: [&str; 5] = ["memory", "cpu", "pids", "io", "cpuset"];

pub(super) fn look(report: &mut Report, _: &Places) {
    let all = match Hierarchies::discover() {
        Ok(all) => all,
        Err(error) => {
            return report.tried(State::Fail, "control groups", "", Some(error));
        }
    };
    layout(report, &all);
    for controller in WANTED {
        limits(report, &all, controller);
    }
    for controller in WANTED {
        let Ok(own) = all.of(controller).and_then(Hierarchy::own) else {
            continue;
        };
        let found = effective(&all, &own.path).into_iter();
        for one in found.filter(|one| one.name.split('.').next() == Some(controller)) {
            let Some(by) = one.set_by else { continue };
            let limit = match (controller, one.limit.parse()) {
                ("memory", Ok(bytes)) => human(bytes),
                _ => one.limit,
            };
            let path = Path::new("/").join(&by.path);
            report.ok(one.name, &format!("{limit}, set by {}", path.display()));
        }
    }
    swap(report, &all);
    if fs::read("/proc/pressure/memory").is_err() {
        let advice = "psi=1 on the kernel's command line";
        let found = "not counted: cg psi and cg watch --pressure have nothing to show";
        report.add(State::Warn, "pressure", found, advice);
    } else {
        report.ok("pressure", "counted");
    }
}

fn layout(report: &mut Report, all: &Hierarchies) {
    let held = |version| {
        let mut all: Vec<&str> = all
            .all()
            .iter()
            .filter(|one| one.version == version)
            .flat_map(|one| one.controllers.iter().map(String::as_str))
            .collect();
        order::sort(&mut all);
        match all.is_empty() {
            true => "no controllers".into(),
            false => all.join(" "),
        }
    };
    let mut found = all.layout().name().to_owned() + ":";
    if let Some(v2) = all.v2() {
        found += &format!(" v2 at {} holds {};", v2.mount.display(), held(Version::V2));
    }
    if all.layout() == Layout::Unified {
        found.pop();
        return report.ok("control groups", &found);
    }
    found += " v1 holds ";
    found += &held(Version::V1);
    let advice = "limits work on both; delegation and cgroup.kill want v2 alone: systemd.unified_cgroup_hierarchy=1 on the kernel's command line";
    report.add(State::Warn, "control groups", &found, advice);
}

/// Whether this process can limit others by a controller.
fn limits(report: &mut Report, all: &Hierarchies, controller: &'static str) {
    let own = match all.of(controller).and_then(Hierarchy::own) {
        Ok(own) => own,
        Err(error) => {
            return report.tried(State::Warn, controller, "", Some(error));
        }
    };
    // Where processes sit, groups are made beside them.
    let above = own.clone().or_parent();
    let path = Path::new("/").join(&above.path);
    let path = path.display();
    let v2 = own.hierarchy.version == Version::V2;
    let version = if v2 { "v2" } else { "v1" };
    let holder = format!("held by {version} at {}", own.hierarchy.mount.display());
    if all.may_limit(controller) {
        return report.ok(
            controller,
            &format!("can be limited below {path} ({holder})"),
        );
    }
    let has = |group: &Group| {
        let there = group.read("cgroup.controllers").unwrap_or_default();
        there.split_whitespace().any(|one| one == controller)
    };
    let (found, advice) = if v2 && !has(&above) {
        (
            format!("{holder}, and not handed down to {path}"),
            format!(
                "as root: cg enable GROUP {controller} from the root down, or systemd's Delegate=yes; cg why {path} tells the way"
            ),
        )
    } else if v2 {
        (
            format!("{holder}: the group {path} is not ours to divide"),
            "as root: cg delegate GROUP USER; as a user of systemd: systemd-run --user --scope -p Delegate=yes".into(),
        )
    } else {
        (
            format!("{holder}: the group {path} is not ours to write to"),
            format!("as root: cgcreate -a USER -t USER -g {controller}:GROUP"),
        )
    };
    report.add(State::Warn, controller, &found, &advice);
}

/// Whether there is swap, and whether it can be limited.
fn swap(report: &mut Report, all: &Hierarchies) {
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    if swaps.lines().count() < 2 {
        return report.ok("swap", "none: what is over its memory limit ends");
    }
    let counted = all.of("memory").and_then(Hierarchy::own).is_ok_and(|own| {
        let files = ["memory.swap.max", "memory.memsw.limit_in_bytes"];
        own.is_true_root() && own.hierarchy.version == Version::V2
            || files.iter().any(|file| own.has(file))
    });
    match counted {
        true => report.ok(
            "swap",
            "on, and can be limited: a memory limit of ours means no swap unless --swap says so",
        ),
        false => {
            let found = "on, and cannot be limited: what is over its memory limit swaps";
            let advice = "swapaccount=1 on the kernel's command line";
            report.add(State::Warn, "swap", found, advice);
        }
    }
}
