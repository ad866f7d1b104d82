//! The kernel, and what we are in.

use std::fs;
use std::path::Path;

use nix::sys::utsname::uname;
use nix::unistd::geteuid;

use super::{Places, Report, State};
use crate::capability::Set;
use crate::mountinfo;
use crate::namespace::Kind;
use crate::probe;
use crate::sys::caps;
use crate::throw_away::{in_user_namespace, kernel_is_before};

/// What came when, and what is missing without it.
const FEATURES: [((u32, u32), &str, &str); 11] = [
    ((5, 2), "mount API", "no root can be made or changed"),
    (
        (5, 3),
        "process descriptors",
        "nothing can be started in namespaces",
    ),
    ((5, 6), "time namespaces", "unshare --time is refused"),
    (
        (5, 6),
        "openat2",
        "no path can be held inside a root: pivot, mkrootfs and container are refused",
    ),
    (
        (5, 7),
        "birth in a control group",
        "cgexec --fork and containers on v2 cannot limit",
    ),
    (
        (5, 11),
        "overlays for ordinary users",
        "their containers get a copy of an image",
    ),
    (
        (5, 12),
        "id-mapped mounts",
        "root's containers have the ids of the machine",
    ),
    ((5, 13), "Landlock", "--landlock is refused"),
    (
        (5, 14),
        "cgroup.kill",
        "the processes of a group are killed one by one",
    ),
    (
        (5, 19),
        "overlays of id-mapped mounts",
        "containers of images have the ids of the machine",
    ),
    ((6, 7), "Landlock for ports", "net-port rules are refused"),
];

pub(super) fn kernel(report: &mut Report, _: &Places) {
    let Ok(name) = uname() else {
        return report.add(State::Fail, "release", "uname(2) fails", "");
    };
    let release = name.release().to_string_lossy().into_owned();
    report.ok(
        "release",
        &(release + " on " + &name.machine().to_string_lossy()),
    );
    for (since, what, without) in FEATURES {
        let linux = format!("Linux {}.{}", since.0, since.1);
        match kernel_is_before(since.0, since.1) {
            false => report.ok(what, &(linux + " has it")),
            true => {
                let state = if since < (5, 6) {
                    State::Fail
                } else {
                    State::Warn
                };
                report.add(state, what, without, &(linux + " has it"));
            }
        }
    }
}

/// What engines leave in a container, and who they are.
const MARKS: [(&str, &str); 3] = [
    ("/.dockerenv", "docker"),
    ("/run/.containerenv", "podman"),
    ("/run/systemd/container", "systemd"),
];

pub(super) fn here(report: &mut Report, _: &Places) {
    let Ok(own) = crate::procfs::Process::own() else {
        let advice = "mount -t proc proc /proc; what is read from there is not known without it";
        report.add(State::Fail, "/proc", "not mounted", advice);
        return rights(report);
    };
    let other = |kind: &Kind| {
        let first = kind.first();
        first.is_some_and(|first| own.namespace(*kind).is_ok_and(|now| now != first))
    };
    let nested = Kind::ALL.into_iter().filter(other).map(Kind::option);
    let nested: Vec<&str> = nested.collect();
    let engine = MARKS.iter().find(|(mark, _)| Path::new(mark).exists());
    let place = match (engine, nested.is_empty()) {
        (Some((_, engine)), _) => format!("in a container of {engine}"),
        (None, false) => "in namespaces of somebody's making".into(),
        (None, true) => "in those that the kernel started with".into(),
    };
    let kinds = nested.join(" ");
    report.ok(
        "namespaces",
        &if kinds.is_empty() {
            place
        } else {
            format!("{place} ({kinds})")
        },
    );
    if in_user_namespace() {
        let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let lines: Vec<String> = map
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let found = format!("uids inside, outside, how many: {}", lines.join(", "));
        let advice = "other ids than these show as 65534, and cannot be given to files";
        report.add(State::Warn, "user namespace", &found, advice);
    }
    root(report);
    rights(report);
}

/// What stands at `/`.
fn root(report: &mut Report) {
    let Ok(mounts) = mountinfo::read("self") else {
        return;
    };
    let Some(root) = mountinfo::at(&mounts, Path::new("/")) else {
        let advice =
            "ordinary users get no user namespaces in here: pivot changes the root without that";
        return report.add(State::Warn, "root", "no mount: this is a chroot", advice);
    };
    let fstype = root.fstype.to_string_lossy();
    if fstype == "rootfs" {
        let found = "the kernel's first (rootfs of an initramfs): pivot_root(2) answers EINVAL";
        let advice =
            "pivot and container move the new root over it instead; switch_root leaves it for good";
        return report.add(State::Warn, "root", found, advice);
    }
    let found = match root.shared {
        true => format!(
            "{fstype}, shared: a new mount namespace hears of mounts and tells them, until it is made private, as unshare and container do"
        ),
        false => format!("{fstype}, private"),
    };
    report.ok("root", &found);
}

/// What this process may do.
fn rights(report: &mut Report) {
    let has = Set(caps::get().map_or(0, |sets| sets.effective));
    let missing = Set(Set::all().0 & !has.0);
    let who = format!("uid {}", geteuid());
    if missing == Set::EMPTY {
        report.ok("capabilities", &(who + ", all of them"));
    } else if has.0 == 0 {
        let found = who + ", none: what needs one is done in a user namespace";
        report.ok("capabilities", &found);
    } else {
        let advice = if probe::is_admin() {
            ""
        } else {
            "in a container: docker run --privileged"
        };
        let found = format!("{who}, without {missing}");
        report.add(State::Warn, "capabilities", &found, advice);
    }
    if probe::status("NoNewPrivs").as_deref() == Some("1") {
        let found = "set: set-user-id programs (newuidmap, sudo, ping) give no privilege";
        let advice = "run from a shell that is not confined (systemd: NoNewPrivileges=no)";
        report.add(State::Warn, "no_new_privs", found, advice);
    }
}
