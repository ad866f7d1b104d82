//! The container to be made, named as config.json of the OCI runtime specification names things
//! (<https://github.com/opencontainers/runtime-spec/blob/main/config.md>). Only what is honoured is here.
//!
//! [`Spec::new`] is the default profile: what a program gets that nobody said anything about. It is narrower
//! than what Docker gives (9 capabilities of its 14, no_new_privs, all of `/sys` read-only, more masked).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::capability::{Capability, Set};
use crate::cgroup::Setting;
use crate::idmap::Range;
use crate::namespace::Kind;
use crate::rlimit::Limit;

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The program and who runs it.
    pub process: Process,
    /// Its root directory.
    pub root: Root,
    /// Its host name.
    pub hostname: OsString,
    /// What is mounted in its root, in this order.
    pub mounts: Vec<Mount>,
    /// What only Linux has.
    pub linux: Linux,
}

/// `process`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Whether it gets a terminal of its own.
    pub terminal: bool,
    /// Who runs it.
    pub user: User,
    /// The program and its arguments.
    pub args: Vec<OsString>,
    /// Its whole environment, `NAME=value` each.
    pub env: Vec<OsString>,
    /// Its working directory, a path in its root.
    pub cwd: PathBuf,
    /// What it may do.
    pub capabilities: Capabilities,
    /// Its resource limits.
    pub rlimits: Vec<Limit>,
    /// No exec gives it more than it has.
    pub no_new_privileges: bool,
    /// How readily it is killed when memory runs out, at the least; its parent's value without.
    pub oom_score_adj: Option<i16>,
}

/// `process.user`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// User id in the container.
    pub uid: u32,
    /// Group id in the container.
    pub gid: u32,
    /// The file mode creation mask; the caller's without.
    pub umask: Option<u32>,
    /// Its other groups; `None` where the user namespace does not allow choosing them.
    pub additional_gids: Option<Vec<u32>>,
}

/// `process.capabilities`. The effective set is the permitted one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// What an exec can give at most.
    pub bounding: Set,
    /// What the program has.
    pub permitted: Set,
    /// What files may give.
    pub inheritable: Set,
    /// What a program that is not root's has.
    pub ambient: Set,
}

/// `root`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Where it comes from.
    pub tree: Tree,
    /// Whether the program may change it.
    pub readonly: bool,
}

/// Where a root comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree {
    /// This directory, as it is.
    Directory(PathBuf),
    /// The machine's own root under a throw-away layer.
    Host,
}

/// `mounts[]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where, in the container's root.
    pub destination: PathBuf,
    /// `proc`, `tmpfs` ...; `bind` for a part of the host.
    pub kind: OsString,
    /// What; for a bind an absolute path of the host.
    pub source: OsString,
    /// How.
    pub options: Vec<OsString>,
}

/// `linux`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linux {
    /// The namespaces of its own.
    pub namespaces: Vec<Kind>,
    /// The user ids that exist in its user namespace.
    pub uid_mappings: Vec<Range>,
    /// The group ids that exist in its user namespace.
    pub gid_mappings: Vec<Range>,
    /// Its limits (`resources.unified`: files of cgroup v2 and what to write), which the compiler translates where v1
    /// holds the controller. None are set unless asked for: a container without limits touches no control group.
    pub resources: Vec<Setting>,
    /// Its control group, below the root of the hierarchies; without it, limits get a fresh one below ours.
    pub cgroups_path: Option<PathBuf>,
    /// Paths that it cannot look into.
    pub masked_paths: Vec<PathBuf>,
    /// Paths that it cannot change.
    pub readonly_paths: Vec<PathBuf>,
}

impl Spec {
    /// The default profile around a program in a root. With `maps` (of user and group ids) it gets a user
    /// namespace of its own.
    pub fn new(args: Vec<OsString>, tree: Tree, maps: Option<[Vec<Range>; 2]>) -> Self {
        let rootless = maps.is_some();
        let [uid_mappings, gid_mappings] = maps.unwrap_or_default();
        let namespaces = Kind::ALL
            .into_iter()
            .filter(|kind| match kind {
                Kind::User => rootless,
                Kind::Time => false,
                _ => true,
            })
            .collect();
        let group_of_terminals = gid_mappings.is_empty() || holds(&gid_mappings, TTY_GROUP);
        Self {
            process: Process {
                terminal: false,
                user: User::default(),
                args,
                env: Vec::new(),
                cwd: "/".into(),
                capabilities: Capabilities {
                    bounding: default_capabilities(),
                    permitted: default_capabilities(),
                    ..Capabilities::default()
                },
                rlimits: Vec::new(),
                no_new_privileges: true,
                oom_score_adj: Some(FIRST_TO_GO),
            },
            root: Root {
                tree,
                readonly: false,
            },
            hostname: OsString::new(),
            mounts: default_mounts(group_of_terminals),
            linux: Linux {
                namespaces,
                uid_mappings,
                gid_mappings,
                resources: Vec::new(),
                cgroups_path: None,
                masked_paths: MASKED.iter().map(PathBuf::from).collect(),
                readonly_paths: READ_ONLY.iter().map(PathBuf::from).collect(),
            },
        }
    }

    /// Shows it the control groups of the host, as they are, and lets it change none.
    pub fn share_cgroups(&mut self) {
        self.linux.namespaces.retain(|kind| *kind != Kind::Cgroup);
        if !self.linux.namespaces.contains(&Kind::User) {
            return;
        }
        // An ordinary user cannot mount what shows the groups of others, but can show what is mounted; from a
        // throw-away root the host's /sys is out of reach.
        let is_host = self.root.tree == Tree::Host;
        self.mounts
            .retain(|mount| !is_host || mount.destination != Path::new(CGROUPS));
        for mount in &mut self.mounts {
            if mount.destination == Path::new(CGROUPS) {
                mount.kind = "none".into();
                mount.source = CGROUPS.into();
                mount.options = ["rbind", "rro", "nosuid", "noexec", "nodev"]
                    .map(OsString::from)
                    .into();
            }
        }
    }

    /// Makes the program that of another user: all its capability sets become empty.
    pub fn run_as(&mut self, user: User) {
        if user.uid != 0 {
            self.process.capabilities.permitted = Set::EMPTY;
        }
        self.process.user = user;
    }
}

/// How much sooner than its parent a container is killed when memory runs out (proc_pid_oom_score_adj(5)).
const FIRST_TO_GO: i16 = 100;

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
        let of = |maps| Spec::new(vec!["sh".into()], Tree::Host, maps);
        let (root, user) = (of(None), of(Some([one(0), one(0)])));
        assert!(!root.linux.namespaces.contains(&Kind::User));
        assert!(user.linux.namespaces.contains(&Kind::User));
        assert!(!user.linux.namespaces.contains(&Kind::Time));
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
            assert!(spec.linux.resources.is_empty() && spec.linux.cgroups_path.is_none());
            spec.share_cgroups();
            assert!(!spec.linux.namespaces.contains(&Kind::Cgroup));
            let shown = |mount: &&Mount| mount.destination == Path::new(CGROUPS);
            let mount = spec.mounts.iter().find(shown);
            mount.map(|mount| mount.source.to_string_lossy().into_owned())
        };
        let (dir, maps) = (|| Tree::Directory("/r".into()), || Some([one(0), one(0)]));
        assert_eq!(source(dir(), None).as_deref(), Some("cgroup2"));
        assert_eq!(source(Tree::Host, None).as_deref(), Some("cgroup2"));
        assert_eq!(source(dir(), maps()).as_deref(), Some(CGROUPS));
        assert_eq!(source(Tree::Host, maps()), None);
    }

    #[test]
    fn another_user_has_no_capability() {
        let mut spec = Spec::new(vec!["sh".into()], Tree::Host, None);
        assert_eq!(spec.process.capabilities.permitted.iter().count(), 9);
        spec.run_as(User {
            uid: 1000,
            ..User::default()
        });
        assert_eq!(spec.process.capabilities.permitted, Set::EMPTY);
        assert_eq!(spec.process.capabilities.bounding.iter().count(), 9);
    }
}
