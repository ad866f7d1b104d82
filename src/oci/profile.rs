//! The default profile: what a program gets that nobody said anything about. It is narrower than what Docker gives
//! (9 capabilities of its 14, no_new_privs, all of `/sys` read-only, more masked).

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit};

use super::spec::{
    Capabilities, IdMapping, Linux, Mount, Namespace, Process, Resources, Rlimit, Root, Seccomp,
    Spec, User, VERSION,
};
use crate::capability::{Capability, Set};
use crate::cgroup::{Hierarchies, Setting};
use crate::error::{Doing, Result};
use crate::idmap::{self, Ids, Range};
use crate::namespace::Kind;

impl Spec {
    /// The default profile around a program in a root. With `maps` (of user and group ids) it gets a user
    /// namespace of its own.
    pub fn new(args: Vec<OsString>, root: Root, maps: Option<[Vec<Range>; 2]>) -> Self {
        let [uids, gids] = maps.unwrap_or_default();
        let rootless = !uids.is_empty();
        let kinds = Kind::ALL.into_iter().filter(|kind| match kind {
            Kind::User => rootless,
            Kind::Time => false,
            _ => true,
        });
        let group_of_terminals = match gids.is_empty() {
            true => holds(&idmap::here(Ids::Group), TTY_GROUP),
            false => holds(&gids, TTY_GROUP),
        };
        let mappings = |ranges: Vec<Range>| ranges.into_iter().map(IdMapping::from).collect();
        let capabilities = default_capabilities();
        Self {
            oci_version: VERSION.into(),
            process: Process {
                args,
                cwd: "/".into(),
                capabilities: Capabilities::of_root(capabilities),
                no_new_privileges: true,
                oom_score_adj: Some(FIRST_TO_GO),
                ..Process::default()
            },
            root,
            mounts: default_mounts(group_of_terminals),
            linux: Linux {
                namespaces: kinds.map(Namespace::new).collect(),
                uid_mappings: mappings(uids),
                gid_mappings: mappings(gids),
                masked_paths: MASKED.iter().map(PathBuf::from).collect(),
                readonly_paths: READ_ONLY.iter().map(PathBuf::from).collect(),
                seccomp: Some(Seccomp::of_default_profile()),
                ..Linux::default()
            },
            ..Self::default()
        }
    }

    /// Has it share the namespace of this kind with its maker, and see what it shares; of control groups it changes
    /// nothing.
    pub fn share(&mut self, kind: Kind) {
        self.linux.namespaces.retain(|one| one.kind() != Some(kind));
        let place = match kind {
            Kind::Cgroup => CGROUPS,
            Kind::Net => "/sys",
            Kind::Pid => "/proc",
            Kind::Ipc => "/dev/mqueue",
            _ => return,
        };
        if !self.linux.makes(Kind::User) {
            return;
        }
        // An ordinary user cannot mount what shows what is others', but can show what is mounted; from a throw-away root
        // the host's /sys is out of reach.
        let of_sys = matches!(kind, Kind::Cgroup | Kind::Net);
        let there = !(of_sys && self.root.throw_away) && Path::new(place).exists();
        self.mounts
            .retain(|mount| there || mount.destination != Path::new(place));
        for mount in &mut self.mounts {
            if mount.destination == Path::new(place) {
                mount.kind = "none".into();
                mount.source = place.into();
                let read_only = of_sys.then_some("rro");
                let options = ["rbind", "nosuid", "noexec", "nodev"];
                let options = options.into_iter().chain(read_only);
                mount.options = options.map(OsString::from).collect();
            }
        }
    }

    /// Limits how many processes it may have, where nobody said how many or named a group, and this process may make a
    /// group for that. Gives the hierarchies, where it looked for them.
    pub fn limit_processes(&mut self) -> Option<Hierarchies> {
        let linux = &mut self.linux;
        let limit = &mut linux.resources.pids.limit;
        if limit.is_some() || !linux.cgroups_path.as_os_str().is_empty() {
            return None;
        }
        let all = Hierarchies::holding(["pids"]).ok()?;
        if all.may_limit("pids") {
            *limit = Some(PROCESSES);
        }
        Some(all)
    }

    /// What `--strict` takes besides the capabilities: of `/proc` all but processes, the view of control groups.
    pub fn be_strict(&mut self) {
        self.mounts
            .retain(|mount| mount.destination != Path::new(CGROUPS));
        for mount in &mut self.mounts {
            if mount.kind == "proc" {
                mount.options.push("subset=pid".into());
            }
        }
    }

    /// Whether a program of it could make user namespaces if the kernel had any for it: where its filter is not the
    /// default profile, or it has the capability to which that allows them.
    pub fn may_nest(&self) -> bool {
        let process = &self.process;
        let makes = |cap| process.capabilities.bounding.set.has(cap);
        let filter = self.linux.seccomp.as_ref();
        !filter.is_some_and(|one| one.default_profile)
            || Capability::named("sys_admin").is_some_and(makes)
    }

    /// Has the network namespace of a container at a bridge allow without a capability what is expected there: ping,
    /// which `CAP_NET_RAW` would be for, and serve low ports; and hear no router advertisements, as whoever is beside it
    /// is no router of its. Without an address of IPv6 it speaks none.
    pub fn open_network(&mut self, ipv6: bool) {
        let quiet = match ipv6 {
            true => ("net.ipv6.conf.eth0.accept_ra", "0"),
            false => ("net.ipv6.conf.eth0.disable_ipv6", "1"),
        };
        // All groups that there are.
        let groups: u32 = match &self.linux.gid_mappings[..] {
            [] => idmap::count(&idmap::here(Ids::Group)),
            maps => maps.iter().map(|map| map.size).sum(),
        };
        let last = groups.saturating_sub(1).min(i32::MAX.cast_unsigned());
        let groups = format!("0 {last}");
        let all = [
            ("net.ipv4.ping_group_range", &*groups),
            ("net.ipv4.ip_unprivileged_port_start", "0"),
            quiet,
        ];
        let there = Path::new("/proc/sys/net/ipv6").exists();
        let sysctl = &mut self.linux.sysctl;
        for (name, value) in all.into_iter().take(if there { 3 } else { 2 }) {
            if sysctl.iter().all(|(known, _)| known != name) {
                sysctl.put(name, value.into());
            }
        }
    }

    /// Makes the program that of another user: all its capability sets become empty.
    pub fn run_as(&mut self, user: User) {
        let capabilities = &mut self.process.capabilities;
        if user.uid != 0 {
            (capabilities.permitted, capabilities.effective) = Default::default();
        }
        self.process.user = user;
    }
}

impl Capabilities {
    /// Those of a root who keeps these.
    pub fn of_root(kept: Set) -> Self {
        Self {
            bounding: kept.into(),
            effective: kept.into(),
            permitted: kept.into(),
            ..Self::default()
        }
    }
}

impl Root {
    /// This directory, as it is.
    pub fn directory(path: PathBuf) -> Self {
        Self {
            path,
            ..Self::default()
        }
    }

    /// The machine's own root under a throw-away layer.
    pub fn of_host() -> Self {
        Self {
            path: "/".into(),
            throw_away: true,
            ..Self::default()
        }
    }
}

impl Resources {
    /// Limits in the words of v2. Swap that nobody asked to limit is limited together with memory, so that a kernel
    /// that cannot limit it is no reason to fail.
    pub fn of_settings(settings: Vec<Setting>) -> Self {
        let mut all = Self::default();
        let limit = |value: &str| value.parse().unwrap_or(-1);
        for Setting {
            name,
            value,
            implied,
        } in settings
        {
            match &*name {
                "memory.max" => all.memory.limit = Some(limit(&value)),
                "pids.max" if value.parse::<i64>().is_ok() => all.pids.limit = value.parse().ok(),
                "memory.swap.max" if implied => all.memory.swap = all.memory.limit,
                _ => match all.unified.0.iter_mut().find(|(known, _)| *known == name) {
                    // Of io.max there is a line for each device.
                    Some((_, lines)) => lines.extend(["\n", &value]),
                    None => all.unified.0.push((name, value)),
                },
            }
        }
        all
    }
}

/// The environment every program gets, before what is asked for. With a terminal it is told which kind.
pub fn environment(hostname: &OsStr, home: &OsStr, terminal: bool) -> Vec<OsString> {
    let entry = |name: &str, value: &OsStr| [OsStr::new(name), value].into_iter().collect();
    let mut env = vec![
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
        entry("HOSTNAME=", hostname),
        entry("HOME=", home),
    ];
    if terminal {
        env.push("TERM=xterm".into());
    }
    env
}

/// Resource limits: descriptors as a program of today may expect them, no core files, a little locked memory.
/// Never above our own hard limits, which only `CAP_SYS_RESOURCE` could raise.
pub fn limits() -> Vec<Rlimit> {
    [
        (Resource::RLIMIT_CORE, "RLIMIT_CORE", 0, 0),
        (Resource::RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK", 8 << 20, 8 << 20),
        (Resource::RLIMIT_NOFILE, "RLIMIT_NOFILE", 1024, 1 << 20),
    ]
    .into_iter()
    .filter_map(|(resource, name, soft, hard)| {
        let (_, ours) = getrlimit(resource).ok()?;
        Some(Rlimit {
            kind: name.into(),
            soft: ours.min(soft),
            hard: ours.min(hard),
        })
    })
    .collect()
}

/// A host name for a container that was given none: twelve random hexadecimal digits.
///
/// # Errors
/// Those of getrandom(2).
pub fn random_name() -> Result<OsString> {
    let bytes = crate::sys::task::random().doing("cannot get random bytes")?;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    Ok(hex.into())
}
/// How much sooner than its parent a container is killed when memory runs out (proc_pid_oom_score_adj(5)).
const FIRST_TO_GO: i32 = 100;

/// How many processes and threads a container may have: a program that only multiplies does not take the machine with it.
const PROCESSES: i64 = 1024;

/// Where control groups are mounted, in a container as outside.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Whether `id` exists inside.
fn holds(map: &[Range], id: u32) -> bool {
    map.iter().any(|range| {
        id.checked_sub(range.inside)
            .is_some_and(|n| n < range.count)
    })
}

/// The group `tty` of every distribution, which owns terminals.
const TTY_GROUP: u32 = 5;

/// What root keeps: enough to install packages, change users and serve low ports; nothing that reaches a device,
/// a raw socket or the kernel.
pub fn default_capabilities() -> Set {
    [
        "chown",
        "dac_override",
        "fowner",
        "fsetid",
        "kill",
        "net_bind_service",
        "setgid",
        "setuid",
        "sys_chroot",
    ]
    .into_iter()
    .filter_map(Capability::named)
    .collect()
}

fn default_mounts(group_of_terminals: bool) -> Vec<Mount> {
    let mount = |destination: &str, kind: &str, options: &[&str]| Mount {
        destination: destination.into(),
        kind: kind.into(),
        source: kind.into(),
        options: options.iter().map(OsString::from).collect(),
        ..Mount::default()
    };
    let mut terminals = vec![
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
    ];
    if group_of_terminals {
        terminals.push("gid=5");
    }
    const KERNEL: [&str; 3] = ["nosuid", "noexec", "nodev"];
    const READ_ONLY_KERNEL: [&str; 4] = ["ro", "nosuid", "noexec", "nodev"];
    vec![
        mount("/proc", "proc", &KERNEL),
        // Devices must work here, and nowhere else.
        mount(
            "/dev",
            "tmpfs",
            &["nosuid", "noexec", "mode=755", "size=1m", "nr_inodes=512"],
        ),
        mount("/dev/pts", "devpts", &terminals),
        mount(
            "/dev/shm",
            "tmpfs",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=64m"],
        ),
        mount("/dev/mqueue", "mqueue", &KERNEL),
        mount("/sys", "sysfs", &READ_ONLY_KERNEL),
        mount(CGROUPS, "cgroup2", &READ_ONLY_KERNEL),
    ]
}

/// What shows or changes the machine as a whole: Docker's list, Podman's, and what else tells of the kernel's
/// memory, its symbols, or other tenants' doings. The mount points in a sysfs (`/sys/kernel/debug`, `/sys/fs/bpf`
/// ...) are not in it: nothing is mounted on them in a new one, and nobody inside can.
const MASKED: [&str; 23] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/config.gz",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/latency_stats",
    "/proc/modules",
    "/proc/mtrr",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/vmallocinfo",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/module",
];

/// Settings of the machine that can be written through /proc.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_users_container_has_a_user_namespace() {
        let one = |inside| {
            vec![Range {
                inside,
                outside: 1000,
                count: 1,
            }]
        };
        let of = |maps| Spec::new(vec!["sh".into()], Root::of_host(), maps);
        let (root, user) = (of(None), of(Some([one(0), one(0)])));
        assert!(!root.linux.makes(Kind::User));
        assert!(user.linux.makes(Kind::User));
        assert!(!user.linux.makes(Kind::Time));
        let terminals = |spec: &Spec| spec.mounts[2].options.contains(&"gid=5".into());
        assert!(terminals(&root) && !terminals(&user));
        assert!(terminals(&of(Some([
            one(0),
            vec![Range {
                inside: 0,
                outside: 100_000,
                count: 65536
            }]
        ]))));
    }

    #[test]
    fn the_hosts_cgroups_are_bound_where_they_cannot_be_mounted() {
        let one = |inside| {
            vec![Range {
                inside,
                outside: 1000,
                count: 1,
            }]
        };
        let source = |tree, maps| {
            let mut spec = Spec::new(vec!["sh".into()], tree, maps);
            assert_eq!(spec.linux.resources, Resources::default());
            spec.share(Kind::Cgroup);
            assert!(!spec.linux.makes(Kind::Cgroup));
            let shown = |mount: &&Mount| mount.destination == Path::new(CGROUPS);
            let mount = spec.mounts.iter().find(shown);
            mount.map(|mount| mount.source.to_string_lossy().into_owned())
        };
        let (dir, maps) = (|| Root::directory("/r".into()), || Some([one(0), one(0)]));
        assert_eq!(source(dir(), None).as_deref(), Some("cgroup2"));
        assert_eq!(source(Root::of_host(), None).as_deref(), Some("cgroup2"));
        assert_eq!(source(dir(), maps()).as_deref(), Some(CGROUPS));
        assert_eq!(source(Root::of_host(), maps()), None);
    }

    #[test]
    fn another_user_has_no_capability() {
        let mut spec = Spec::new(vec!["sh".into()], Root::of_host(), None);
        assert_eq!(spec.process.capabilities.permitted.set.iter().count(), 9);
        spec.run_as(User {
            uid: 1000,
            ..User::default()
        });
        assert_eq!(spec.process.capabilities.permitted.set, Set::EMPTY);
        assert_eq!(spec.process.capabilities.bounding.set.iter().count(), 9);
    }
}
