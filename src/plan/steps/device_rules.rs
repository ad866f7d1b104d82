//! Which devices a control group may use: on v2 a program says so (bpf(2)), on v1 two files are written.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::unistd::geteuid;

use crate::cgroup::{Group, Setting};
use crate::device_rules::{Rule, program};
use crate::error::{Doing, Result};
use crate::plan::{Context, Explanation, Shell, Step};
use crate::sys::bpf::{attach_device_program, load_device_program};

/// Attaches the rules, as a program, to a group of v2.
#[derive(Debug)]
pub struct AttachDeviceRules {
    /// The group.
    pub group: Group,
    /// The rules, in their order.
    pub rules: Vec<Rule>,
}

impl Step for AttachDeviceRules {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let loaded = match load_device_program(&program(&self.rules)) {
            // An ordinary user makes no device nodes: there is nothing for him to be kept from but what he is shown.
            Err(Errno::EPERM) if !geteuid().is_root() => {
                cx.note(
                    "rules about devices need privilege: an ordinary user's container goes without",
                );
                return Ok(());
            }
            other => other.doing("cannot load the rules about devices")?,
        };
        let group = self.group.open()?;
        attach_device_program(group.as_fd(), loaded.as_fd()).doing_to(
            "cannot attach the rules about devices to",
            self.group.shown(),
        )
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        let rules: Vec<String> = self
            .rules
            .iter()
            .map(|rule| format!("{} {rule}", if rule.allow { "allow" } else { "deny" }))
            .collect();
        Explanation::new(
            format!(
                "bpf(BPF_PROG_LOAD, BPF_PROG_TYPE_CGROUP_DEVICE, [{}]), bpf(BPF_PROG_ATTACH, {:?}, BPF_CGROUP_DEVICE)",
                rules.join(", "),
                self.group.shown()
            ),
            "a program in the kernel is asked whenever a device is opened or made",
            "whoever may make device nodes, or is handed one, could read the machine's disks",
            "bpf(2), cgroup-v2.rst \"Device controller\"",
        )
    }

    fn shell(&self) -> Shell {
        let file = |rule: &Rule| match rule.allow {
            true => "devices.allow",
            false => "devices.deny",
        };
        let one = |rule: &Rule| format!("{}={rule}", file(rule));
        words(self.rules.iter().map(one))
    }
}

/// How cgexec is told of rules.
fn words(rules: impl Iterator<Item = String>) -> Shell {
    Shell::Option {
        applet: "cgexec",
        words: rules.flat_map(|rule| ["-r".into(), rule.into()]).collect(),
    }
}

/// Writes the rules to a group of v1.
#[derive(Debug)]
pub struct WriteDeviceRules {
    /// The group.
    pub group: Group,
    /// The rules, in their order: `devices.allow` or `devices.deny` each.
    pub rules: Vec<Setting>,
}

impl Step for WriteDeviceRules {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let rules = self.rules.iter();
        self.group
            .write_each(rules.map(|one| (&*one.name, &*one.value)))
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        let call = |one: &Setting| {
            let file = self.group.shown().join(&one.name);
            format!("write({file:?}, {:?})", one.value)
        };
        let calls: Vec<String> = self.rules.iter().map(call).collect();
        Explanation::new(
            calls.join(", "),
            "the kernel looks at these rules whenever a device is opened or made",
            "whoever may make device nodes, or is handed one, could read the machine's disks",
            "cgroups(7)",
        )
    }

    fn shell(&self) -> Shell {
        words(
            self.rules
                .iter()
                .map(|one| format!("{}={}", one.name, one.value)),
        )
    }
}
