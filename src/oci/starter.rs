//! The config.json that `runc spec` writes, to begin with: what runc's has, without ambient capabilities, which would
//! need inheritable ones to have an effect.

use std::ffi::OsString;
use std::path::Path;

use super::spec::{
    Capabilities, DeviceRule, IdMapping, Linux, Mount, Namespace, Process, Resources, Rlimit, Root,
    Spec, VERSION,
};
use crate::capability::{Capability, Set};
use crate::cgroup::{Hierarchies, Layout};
use crate::namespace::Kind;

impl Spec {
    /// The spec to begin with; for an ordinary user of these ids where they are given.
    pub fn starter(ordinary: Option<(u32, u32)>) -> Self {
        let caps = ["audit_write", "kill", "net_bind_service"];
        let caps: Set = caps.into_iter().filter_map(Capability::named).collect();
        let mut spec = Self {
            oci_version: VERSION.into(),
            process: Process {
                terminal: true,
                args: vec!["sh".into()],
                env: vec![
                    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
                    "TERM=xterm".into(),
                ],
                cwd: "/".into(),
                capabilities: Capabilities::of_root(caps),
                rlimits: vec![Rlimit {
                    kind: "RLIMIT_NOFILE".into(),
                    soft: 1024,
                    hard: 1024,
                }],
                no_new_privileges: true,
                ..Process::default()
            },
            root: Root {
                readonly: true,
                ..Root::directory("rootfs".into())
            },
            hostname: "runc".into(),
            mounts: mounts(),
            linux: linux(),
            ..Self::default()
        };
        if let Some((uid, gid)) = ordinary {
            spec.for_ordinary_user(uid, gid);
        }
        spec
    }

    /// What an ordinary user cannot have goes, and a user namespace comes.
    fn for_ordinary_user(&mut self, uid: u32, gid: u32) {
        let one = |host_id| IdMapping {
            container_id: 0,
            host_id,
            size: 1,
        };
        let linux = &mut self.linux;
        linux.namespaces.retain(|one| one.kind() != Some(Kind::Net));
        linux.namespaces.push(Namespace::new(Kind::User));
        linux.uid_mappings = vec![one(uid)];
        linux.gid_mappings = vec![one(gid)];
        linux.resources = Resources::default();
        for mount in &mut self.mounts {
            let named = |option: &OsString| {
                let option = option.to_string_lossy();
                option.starts_with("gid=") || option.starts_with("uid=")
            };
            mount.options.retain(|option| !named(option));
            // Without a network namespace of one's own there is no sysfs of one's own.
            if mount.destination == Path::new("/sys") {
                *mount = at(
                    "/sys",
                    "none",
                    "/sys",
                    &["rbind", "nosuid", "noexec", "nodev", "ro"],
                );
            }
        }
    }
}

fn at(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: kind.into(),
        source: source.into(),
        options: options.iter().map(OsString::from).collect(),
        ..Mount::default()
    }
}

fn mounts() -> Vec<Mount> {
    let kernel = ["nosuid", "noexec", "nodev"];
    let terminals = [
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
        "gid=5",
    ];
    let memory = ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"];
    vec![
        at("/proc", "proc", "proc", &[]),
        at(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        at("/dev/pts", "devpts", "devpts", &terminals),
        at("/dev/shm", "tmpfs", "shm", &memory),
        at("/dev/mqueue", "mqueue", "mqueue", &kernel),
        at(
            "/sys",
            "sysfs",
            "sysfs",
            &["nosuid", "noexec", "nodev", "ro"],
        ),
        at(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", "relatime", "ro"],
        ),
    ]
}

fn linux() -> Linux {
    let unified = Hierarchies::discover().is_ok_and(|all| all.layout() == Layout::Unified);
    let kinds = [Kind::Pid, Kind::Net, Kind::Ipc, Kind::Uts, Kind::Mount];
    let kinds = kinds.into_iter().chain(unified.then_some(Kind::Cgroup));
    let masked = [
        "/proc/acpi",
        "/proc/asound",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/sys/firmware",
        "/proc/scsi",
    ];
    let read_only = [
        "/proc/bus",
        "/proc/fs",
        "/proc/irq",
        "/proc/sys",
        "/proc/sysrq-trigger",
    ];
    Linux {
        resources: Resources {
            devices: vec![DeviceRule {
                access: "rwm".into(),
                ..DeviceRule::default()
            }],
            ..Resources::default()
        },
        namespaces: kinds.map(Namespace::new).collect(),
        masked_paths: masked.map(Into::into).into(),
        readonly_paths: read_only.map(Into::into).into(),
        ..Linux::default()
    }
}
