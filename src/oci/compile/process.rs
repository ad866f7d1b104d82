//! Who runs the program, where it starts, and what it may do.

use super::namespaces::{maps_of_self, oom_score, weighs_itself};
use super::seccomp::Supervisor;
use super::{Line, Setting, bad};
use crate::capability::Set;
use crate::decimal::decimal;
use crate::error::{Error, Result};
use crate::namespace::Kind;
use crate::oci::making::Making;
use crate::oci::spec::{MemoryPolicy, Process, Scheduler, Spec};
use crate::plan::steps::attributes::{
    DefaultSignals, NewSessionKeyring, NotDumpable, ParentDeathSignal, SetLimit, Umask,
};
use crate::plan::steps::capabilities::{Capabilities, KeepCapabilities, NoNewPrivs};
use crate::plan::steps::credentials::{SetGid, SetGroups, SetUid};
use crate::plan::steps::labels::{AppArmorProfile, SelinuxKeyLabel, SelinuxLabel};
use crate::plan::steps::landlock::{MakeRuleset, RestrictSelf};
use crate::plan::steps::note::Warn;
use crate::plan::steps::root::Chdir;
use crate::plan::steps::schedule::{
    SetAffinity, SetIoPriority, SetMemoryPolicy, SetPersonality, SetScheduler,
};
use crate::plan::steps::terminal::{BindConsole, OpenTerminal, TakeTerminal};
use crate::plan::{Plan, Slot};
use crate::rlimit::{Limit, named};
use crate::sys::schedule::Attributes;
use crate::sys::terminal::Size;

/// Makes the program's terminal and sends its master away.
pub(super) fn open_terminal(plan: &mut Plan, spec: &Spec, line: Line, multiplexer: &'static str) {
    let process = &spec.process;
    let size = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    let uid = process.user.uid;
    plan.then(OpenTerminal {
        multiplexer,
        line: line.to,
        peer: line.peer,
        owner: (uid != 0).then_some(uid),
        size: process
            .console_size
            .as_ref()
            .map(|one| Size::new(size(one.height), size(one.width))),
    });
}

pub(super) fn take_terminal(plan: &mut Plan, line: Line) {
    let peer = line.peer;
    plan.then(BindConsole { peer });
    plan.then(TakeTerminal {
        peer,
        session: false,
    });
}

pub(super) fn working_directory(plan: &mut Plan, spec: &Spec) {
    let dir = spec.process.cwd.clone();
    if dir.as_os_str() != "/" {
        plan.then(Chdir { dir, create: true });
    }
}

/// From here on the process may do less with every step.
pub(super) fn privileges(
    plan: &mut Plan,
    spec: &Spec,
    setting: Setting<'_>,
    supervisor: Option<&Supervisor>,
) -> Result<()> {
    let process = &spec.process;
    if weighs_itself(spec)
        && let Some(step) = oom_score(spec, setting)?
    {
        plan.then(step);
    }
    let ruleset = landlock(plan, setting);
    // Its files in /proc belong to root from here on: what is written to them has been written.
    plan.then(NotDumpable);
    for limit in &process.rlimits {
        let resource = named(&limit.kind).ok_or_else(|| bad("process.rlimits", &limit.kind))?;
        plan.then(SetLimit(Limit {
            resource,
            soft: limit.soft,
            hard: limit.hard,
        }));
    }
    scheduling(plan, spec)?;
    if setting.making.is_none_or(|making| !making.keep_keyring) {
        if !process.selinux_label.is_empty() {
            plan.then(SelinuxKeyLabel(process.selinux_label.clone().into()));
        }
        plan.then(NewSessionKeyring);
    }
    if let Some(mask) = process.user.umask {
        plan.then(Umask { mask });
    }
    if !process.apparmor_profile.is_empty() {
        plan.then(AppArmorProfile {
            profile: process.apparmor_profile.clone().into(),
        });
    }
    if !process.selinux_label.is_empty() {
        plan.then(SelinuxLabel(process.selinux_label.clone().into()));
    }
    // Without no_new_privs loading it takes the privilege that is about to go.
    if !process.no_new_privileges {
        if let Some(slot) = ruleset {
            plan.then(RestrictSelf { slot });
        }
        super::load_filter(plan, spec, supervisor)?;
    }
    user(plan, spec)?;
    capabilities(plan, process);
    if process.no_new_privileges {
        plan.then(NoNewPrivs);
        if let Some(slot) = ruleset {
            plan.then(RestrictSelf { slot });
        }
    }
    if setting.making.is_none_or(Making::dies_with_maker) {
        // The changes of credentials have cleared the first.
        plan.then(ParentDeathSignal {
            signal: libc::SIGKILL,
        });
    }
    plan.then(DefaultSignals);
    Ok(())
}

/// Writes down what is given up, with the paths that are meant by now.
fn landlock(plan: &mut Plan, setting: Setting<'_>) -> Option<Slot> {
    let domain = setting.landlock?.clone();
    let slot = plan.slot();
    plan.then(MakeRuleset { domain, slot });
    Some(slot)
}

fn user(plan: &mut Plan, spec: &Spec) -> Result<()> {
    let user = &spec.process.user;
    // Without a choice of groups there is one id of each kind, which is the process's already.
    if maps_of_self(spec) {
        let inside = |map: &[crate::oci::spec::IdMapping]| map.first().map(|one| one.container_id);
        let own = (
            inside(&spec.linux.uid_mappings),
            inside(&spec.linux.gid_mappings),
        );
        if own != (Some(user.uid), Some(user.gid)) {
            return Err(Error::new(
                "process.user: only one user and one group exist in the container",
            ));
        }
        if user.additional_gids.iter().any(|gid| *gid != user.gid) {
            return Err(Error::new(
                "process.user.additionalGids: an ordinary user cannot choose groups",
            )
            .hint("ranges of ids in linux.uidMappings and linux.gidMappings would allow it"));
        }
        return Ok(());
    }
    if user.uid != 0 {
        plan.then(KeepCapabilities);
    }
    plan.then(SetGroups {
        groups: user.additional_gids.clone(),
        where_allowed: spec.linux.namespace(Kind::User).is_some() && !spec.linux.makes(Kind::User),
    });
    plan.then(SetGid::all(user.gid));
    plan.then(SetUid::all(user.uid));
    Ok(())
}

fn capabilities(plan: &mut Plan, process: &Process) {
    let caps = &process.capabilities;
    let all = [
        &caps.bounding,
        &caps.effective,
        &caps.inheritable,
        &caps.permitted,
        &caps.ambient,
    ];
    let mut unknown: Vec<&str> = Vec::new();
    for name in all.iter().flat_map(|one| &one.unknown) {
        if !unknown.contains(&&**name) {
            unknown.push(name);
        }
    }
    if !unknown.is_empty() {
        plan.then(Warn(format!(
            "unknown capabilities are left out: {}",
            unknown.join(" ")
        )));
    }
    plan.then(Capabilities {
        as_far_as_permitted: true,
        ..Capabilities::exactly(
            caps.bounding.set,
            caps.permitted.set,
            caps.inheritable.set,
            // An ambient capability that is not inheritable cannot be; runc's own `spec` asks for such.
            Set(caps.ambient.set.0 & caps.inheritable.set.0),
        )
    });
}

fn scheduling(plan: &mut Plan, spec: &Spec) -> Result<()> {
    let process = &spec.process;
    // It is of programs that join: here it can only be wrong.
    affinity(process)?;
    if let Some(one) = &process.scheduler {
        plan.then(SetScheduler {
            attributes: scheduler(one)?,
        });
    }
    if let Some(one) = &process.io_priority {
        let class = match &*one.class {
            "IOPRIO_CLASS_RT" => 1,
            "IOPRIO_CLASS_BE" => 2,
            "IOPRIO_CLASS_IDLE" => 3,
            other => return Err(bad("process.ioPriority.class", other)),
        };
        let priority = u16::try_from(one.priority).ok().filter(|n| *n < 8);
        let priority = priority.ok_or_else(|| bad("process.ioPriority.priority", one.priority))?;
        plan.then(SetIoPriority { class, priority });
    }
    if let Some(one) = &spec.linux.memory_policy {
        plan.then(memory_policy(one)?);
    }
    if let Some(one) = &spec.linux.personality {
        /// `PER_LINUX` and `PER_LINUX32` (linux/personality.h).
        const DOMAINS: [(&str, u64); 2] = [("LINUX", 0), ("LINUX32", 8)];
        let known = DOMAINS.iter().find(|(name, _)| *name == one.domain);
        let (_, domain) = known.ok_or_else(|| bad("linux.personality.domain", &one.domain))?;
        plan.then(SetPersonality { domain: *domain });
    }
    Ok(())
}

/// `SCHED_*` (linux/sched.h).
const POLICIES: [(&str, u32); 7] = [
    ("SCHED_OTHER", 0),
    ("SCHED_FIFO", 1),
    ("SCHED_RR", 2),
    ("SCHED_BATCH", 3),
    ("SCHED_ISO", 4),
    ("SCHED_IDLE", 5),
    ("SCHED_DEADLINE", 6),
];

/// `SCHED_FLAG_*` (linux/sched.h).
const SCHEDULER_FLAGS: [(&str, u64); 7] = [
    ("SCHED_FLAG_RESET_ON_FORK", 0x01),
    ("SCHED_FLAG_RECLAIM", 0x02),
    ("SCHED_FLAG_DL_OVERRUN", 0x04),
    ("SCHED_FLAG_KEEP_POLICY", 0x08),
    ("SCHED_FLAG_KEEP_PARAMS", 0x10),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
];

fn scheduler(one: &Scheduler) -> Result<Attributes> {
    let policy = POLICIES.iter().find(|(name, _)| *name == one.policy);
    let (_, policy) = policy.ok_or_else(|| bad("process.scheduler.policy", &one.policy))?;
    let mut flags = 0;
    for flag in &one.flags {
        let known = SCHEDULER_FLAGS.iter().find(|(name, _)| name == flag);
        flags |= known.ok_or_else(|| bad("process.scheduler.flags", flag))?.1;
    }
    let priority = u32::try_from(one.priority);
    Ok(Attributes {
        size: 0,
        policy: *policy,
        flags,
        nice: one.nice,
        priority: priority.map_err(|_| bad("process.scheduler.priority", one.priority))?,
        runtime: one.runtime,
        deadline: one.deadline,
        period: one.period,
    })
}

/// `MPOL_*` (linux/mempolicy.h).
const MODES: [(&str, i32); 7] = [
    ("MPOL_DEFAULT", 0),
    ("MPOL_PREFERRED", 1),
    ("MPOL_BIND", 2),
    ("MPOL_INTERLEAVE", 3),
    ("MPOL_LOCAL", 4),
    ("MPOL_PREFERRED_MANY", 5),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
];

/// `MPOL_F_*` (linux/mempolicy.h).
const MODE_FLAGS: [(&str, i32); 3] = [
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_STATIC_NODES", 1 << 15),
];

/// On which CPUs a program that joins is before it is in the container's groups, and afterwards.
pub(super) fn affinity(process: &Process) -> Result<[Option<SetAffinity>; 2]> {
    let Some(one) = &process.exec_cpu_affinity else {
        return Ok([None, None]);
    };
    let step = |field: &str, list: &String| {
        let known = nodes(list).filter(|cpus| !cpus.is_empty());
        match (list.is_empty(), known) {
            (true, _) => Ok(None),
            (false, Some(cpus)) => Ok(Some(SetAffinity {
                list: list.clone(),
                cpus,
            })),
            (false, None) => Err(bad(format!("process.execCPUAffinity.{field}"), list)),
        }
    };
    Ok([step("initial", &one.initial)?, step("final", &one.last)?])
}

/// The modes of a memory policy that can be asked for, and the flags.
pub fn memory_policy_words() -> ([&'static str; 7], [&'static str; 3]) {
    (
        MODES.map(|(word, _)| word),
        MODE_FLAGS.map(|(word, _)| word),
    )
}

fn memory_policy(one: &MemoryPolicy) -> Result<SetMemoryPolicy> {
    let mode = MODES.iter().find(|(name, _)| *name == one.mode);
    let (_, mut mode) = *mode.ok_or_else(|| bad("linux.memoryPolicy.mode", &one.mode))?;
    for flag in &one.flags {
        let known = MODE_FLAGS.iter().find(|(name, _)| name == flag);
        mode |= known
            .ok_or_else(|| bad("linux.memoryPolicy.flags", flag))?
            .1;
    }
    let nodes = nodes(&one.nodes).ok_or_else(|| bad("linux.memoryPolicy.nodes", &one.nodes))?;
    Ok(SetMemoryPolicy { mode, nodes })
}

/// A list of nodes, or CPUs (`0-1,3`) as words of bits; `None` for no such list.
fn nodes(list: &str) -> Option<Vec<u64>> {
    /// `MAX_NUMNODES` of the largest kernels.
    const MOST: usize = 1024;
    let mut words = Vec::new();
    for range in list.split(',').filter(|_| !list.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (decimal(first)?, decimal(last)?);
        if first > last || last >= MOST {
            return None;
        }
        words.resize(words.len().max(last / 64 + 1), 0);
        for node in first..=last {
            *words.get_mut(node / 64)? |= 1 << (node % 64);
        }
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::nodes;

    #[test]
    fn lists_of_nodes_are_bits() {
        let cases: [(&str, Option<&[u64]>); 8] = [
            ("", Some(&[])),
            ("0", Some(&[1])),
            ("0-1,3", Some(&[0b1011])),
            ("64", Some(&[0, 1])),
            ("1-0", None),
            ("x", None),
            ("1024", None),
            ("0,", None),
        ];
        for (list, want) in cases {
            assert_eq!(nodes(list).as_deref(), want, "{list}");
        }
    }
}
