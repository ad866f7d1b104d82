//! What confines programs: seccomp, Landlock, AppArmor, SELinux; and what confines us already.

use std::fs;

use super::{Places, Report, State};
use crate::apart::{apart, perform};
use crate::landlock;
use crate::plan::steps::capabilities::NoNewPrivs;
use crate::probe;
use crate::seccomp::{Arch, Policy, action};
use crate::selinux;

pub(super) fn look(report: &mut Report, _: &Places) {
    let loaded = apart(&mut || {
        perform(NoNewPrivs)?;
        let nothing = Policy {
            arches: Arch::native().into_iter().collect(),
            default: action::ALLOW,
            unknown: None,
            knows_table: false,
            calls: Vec::new(),
        };
        nothing.filter(0)?.load().map(|_| Vec::new())
    });
    report.tried(
        State::Fail,
        "seccomp",
        "filters can be loaded",
        loaded.err(),
    );
    if probe::status("Seccomp").as_deref() == Some("2") {
        let found = "one is in force: what it forbids fails with EPERM or ENOSYS";
        let advice = "in a container: docker run --security-opt seccomp=unconfined";
        report.add(State::Warn, "seccomp filter", found, advice);
    }
    match landlock::version() {
        Ok(version) => report.ok("Landlock", &format!("version {version} of its interface")),
        refused => {
            let hint = "lsm=landlock,... on the kernel's command line";
            report.tried(
                State::Warn,
                "Landlock",
                "",
                refused.map_err(|error| error.hint(hint)).err(),
            );
        }
    }
    let on = fs::read("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|text| text.starts_with(b"Y"));
    let profile = fs::read_to_string("/proc/self/attr/apparmor/current")
        .or_else(|_| fs::read_to_string("/proc/self/attr/current"))
        .unwrap_or_default();
    match (on, profile.trim()) {
        (false, _) => report.ok("AppArmor", "off"),
        (true, "unconfined" | "") => report.ok("AppArmor", "on, and this process is unconfined"),
        (true, profile) => {
            let found = format!("on, and this process is confined by {profile}");
            report.add(
                State::Warn,
                "AppArmor",
                &found,
                "what it denies fails with EACCES",
            );
        }
    }
    let enforcing = fs::read("/sys/fs/selinux/enforce").is_ok_and(|text| text.starts_with(b"1"));
    let found = match (selinux::is_enabled(), enforcing) {
        (false, _) => "off",
        (true, false) => "permissive",
        (true, true) => "enforcing: --security-opt label and process.selinuxLabel choose a label",
    };
    report.ok("SELinux", found);
}
