//! `linux`: what only Linux has (config-linux.md).

use std::ffi::OsString;
use std::path::PathBuf;

use super::resources::Resources;
use super::seccomp::Seccomp;
use crate::idmap::Range;
use crate::json::{Map, objects};
use crate::namespace::Kind;

objects! {
    /// What only Linux has.
    #[derive(Debug)]
    pub struct Linux {
        /// Devices besides those that every container has.
        pub devices: Vec<Device>,
        /// The user ids that exist in its user namespace.
        pub uid_mappings: Vec<IdMapping>,
        /// The group ids that exist in its user namespace.
        pub gid_mappings: Vec<IdMapping>,
        /// Settings of its kernel: `net.ipv4.ip_forward` and the like.
        pub sysctl: Map<String>,
        /// Its limits.
        pub resources: Resources,
        /// Its control group, below the root of the hierarchies.
        pub cgroups_path: PathBuf,
        /// The namespaces that it does not share with its caller.
        pub namespaces: Vec<Namespace>,
        /// Its filter over system calls.
        pub seccomp: Option<Seccomp>,
        /// `shared`, `slave`, `private` or `unbindable`: what becomes of mounts in its root.
        pub rootfs_propagation: String,
        /// Paths that it cannot look into.
        pub masked_paths: Vec<PathBuf>,
        /// Paths that it cannot change.
        pub readonly_paths: Vec<PathBuf>,
        /// The SELinux context of its mounts.
        pub mount_label: String,
        /// Its share of the caches and the memory bandwidth.
        pub intel_rdt: Option<IntelRdt>,
        /// The NUMA nodes that its memory comes from.
        pub memory_policy: Option<MemoryPolicy>,
        /// Its execution domain.
        pub personality: Option<Personality>,
        /// How far the clocks of its time namespace are off.
        pub time_offsets: Map<TimeOffset>,
        /// Network interfaces that move into it.
        pub net_devices: Map<NetDevice>,
    }

    /// `linux.namespaces[]`
    #[derive(Debug)]
    pub struct Namespace {
        /// `pid`, `network`, `mount`, `ipc`, `uts`, `user`, `cgroup` or `time`.
        pub kind as "type": String,
        /// The namespace to join; a new one is made without.
        pub path: PathBuf,
    }

    /// `linux.uidMappings[]`, `linux.gidMappings[]`
    #[derive(Debug)]
    pub struct IdMapping {
        /// First id inside.
        pub container_id as "containerID": u32,
        /// First id outside.
        pub host_id as "hostID": u32,
        /// How many ids.
        pub size: u32,
    }

    /// `linux.devices[]` (mknod(2))
    #[derive(Debug)]
    pub struct Device {
        /// `c`, `b`, `u` or `p`.
        pub kind as "type": String,
        /// Where in the container.
        pub path: PathBuf,
        /// The major number; a fifo has none.
        pub major: i64,
        /// The minor number; a fifo has none.
        pub minor: i64,
        /// Permissions.
        pub file_mode: Option<u32>,
        /// Owner in the container.
        pub uid: Option<u32>,
        /// Group in the container.
        pub gid: Option<u32>,
    }

    /// `linux.intelRdt`
    #[derive(Debug)]
    pub struct IntelRdt {
        /// The class of service.
        pub clos_id as "closID": String,
    }

    /// `linux.memoryPolicy` (set_mempolicy(2))
    #[derive(Debug)]
    pub struct MemoryPolicy {
        /// `MPOL_BIND` ...
        pub mode: String,
        /// A list of nodes: `0-1,3`.
        pub nodes: String,
        /// `MPOL_F_STATIC_NODES` ...
        pub flags: Vec<String>,
    }

    /// `linux.personality` (personality(2))
    #[derive(Debug)]
    pub struct Personality {
        /// `LINUX` or `LINUX32`.
        pub domain: String,
        /// None are defined.
        pub flags: Vec<String>,
    }

    /// `linux.timeOffsets.*` (time_namespaces(7))
    #[derive(Debug)]
    pub struct TimeOffset {
        /// Seconds.
        pub secs: i64,
        /// Nanoseconds.
        pub nanosecs: u32,
    }

    /// `linux.netDevices.*`, whose key is the interface's name outside
    #[derive(Debug)]
    pub struct NetDevice {
        /// Its name inside; the same without.
        pub name: OsString,
    }
}

impl Linux {
    /// The entry of a kind of namespace, where the container has one of its own or joins one.
    pub fn namespace(&self, kind: Kind) -> Option<&Namespace> {
        self.namespaces.iter().find(|one| one.kind() == Some(kind))
    }

    /// Whether a new namespace of this kind is made.
    pub fn makes(&self, kind: Kind) -> bool {
        self.namespace(kind)
            .is_some_and(|one| one.path.as_os_str().is_empty())
    }
}

impl Namespace {
    /// A new one.
    pub fn new(kind: Kind) -> Self {
        let name = match kind {
            Kind::Net => "network",
            other => other.option(),
        };
        Self {
            kind: name.into(),
            path: PathBuf::new(),
        }
    }

    /// What kind it is; `None` for a word that names none.
    pub fn kind(&self) -> Option<Kind> {
        match &*self.kind {
            "network" => Some(Kind::Net),
            "net" => None,
            name => Kind::ALL.into_iter().find(|kind| kind.option() == name),
        }
    }
}

impl From<&IdMapping> for Range {
    fn from(mapping: &IdMapping) -> Self {
        Self {
            inside: mapping.container_id,
            outside: mapping.host_id,
            count: mapping.size,
        }
    }
}

impl From<Range> for IdMapping {
    fn from(range: Range) -> Self {
        Self {
            container_id: range.inside,
            host_id: range.outside,
            size: range.count,
        }
    }
}
