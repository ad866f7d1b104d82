//! `linux.resources`: limits of the control group (config-linux.md, "Control groups").

use crate::json::{Map, Required, objects};

objects! {
    /// Limits of the control group.
    #[derive(Debug)]
    pub struct Resources {
        /// Which devices may be used, in this order.
        pub devices: Vec<DeviceRule>,
        /// Memory.
        pub memory: Memory,
        /// CPU time.
        pub cpu: Cpu,
        /// Processes and threads.
        pub pids: Pids,
        /// Disks.
        pub block_io as "blockIO": BlockIo,
        /// Huge pages.
        pub hugepage_limits: Vec<HugepageLimit>,
        /// How packets are marked.
        pub network: Network,
        /// Remote direct memory access, by device.
        pub rdma: Map<Rdma>,
        /// Files of cgroup v2 and what to write to them.
        pub unified: Map<String>,
    }

    /// `devices[]`
    #[derive(Debug)]
    pub struct DeviceRule {
        /// Whether this allows or denies.
        pub allow: Required,
        /// `a` for all, `c` or `b`; absent means all.
        pub kind as "type": String,
        /// The major number; any without.
        pub major: Option<i64>,
        /// The minor number; any without.
        pub minor: Option<i64>,
        /// `r`, `w`, `m` (mknod).
        pub access: String,
    }

    /// `memory`, in bytes; -1 for no limit
    #[derive(Debug)]
    pub struct Memory {
        /// The limit.
        pub limit: Option<i64>,
        /// What is protected from reclaim, as far as can be.
        pub reservation: Option<i64>,
        /// Memory and swap together.
        pub swap: Option<i64>,
        /// Memory of the kernel (v1).
        pub kernel: Option<i64>,
        /// Buffers of TCP (v1).
        pub kernel_tcp as "kernelTCP": Option<i64>,
        /// How readily it is swapped: 0 to 100 (v1).
        pub swappiness: Option<u64>,
        /// Nobody is killed where it runs out (v1).
        pub disable_oom_killer as "disableOOMKiller": Option<bool>,
        /// Whether groups below count too (v1; always so on v2).
        pub use_hierarchy: Option<bool>,
        /// A limit below what is used already is refused.
        pub check_before_update: Option<bool>,
    }

    /// `cpu`, times in microseconds
    #[derive(Debug)]
    pub struct Cpu {
        /// Its share against others: 2 to 262144.
        pub shares: Option<u64>,
        /// CPU time in each period; -1 for no limit.
        pub quota: Option<i64>,
        /// How much of what was left over may be used besides.
        pub burst: Option<u64>,
        /// The period.
        pub period: Option<u64>,
        /// Time for realtime tasks in each of their periods (v1).
        pub realtime_runtime: Option<i64>,
        /// That period (v1).
        pub realtime_period: Option<u64>,
        /// A list of CPUs: `0-1,4`.
        pub cpus: String,
        /// A list of memory nodes.
        pub mems: String,
        /// 1: it runs when nobody else wants to.
        pub idle: Option<i64>,
    }

    /// `pids`
    #[derive(Debug)]
    pub struct Pids {
        /// How many; -1 for no limit.
        pub limit: Option<i64>,
    }

    /// `blockIO`
    #[derive(Debug)]
    pub struct BlockIo {
        /// Its share against others: 10 to 1000.
        pub weight: Option<u16>,
        /// Its own share against groups below (v1, a scheduler that is gone).
        pub leaf_weight: Option<u16>,
        /// Shares by device.
        pub weight_device: Vec<WeightDevice>,
        /// Bytes read in a second, by device.
        pub throttle_read_bps_device: Vec<ThrottleDevice>,
        /// Bytes written in a second, by device.
        pub throttle_write_bps_device: Vec<ThrottleDevice>,
        /// Reads in a second, by device.
        pub throttle_read_iops_device as "throttleReadIOPSDevice": Vec<ThrottleDevice>,
        /// Writes in a second, by device.
        pub throttle_write_iops_device as "throttleWriteIOPSDevice": Vec<ThrottleDevice>,
    }

    /// `blockIO.weightDevice[]`
    #[derive(Debug)]
    pub struct WeightDevice {
        /// The major number.
        pub major: i64,
        /// The minor number.
        pub minor: i64,
        /// Its share there.
        pub weight: Option<u16>,
        /// Its own share there against groups below.
        pub leaf_weight: Option<u16>,
    }

    /// `blockIO.throttle*Device[]`
    #[derive(Debug)]
    pub struct ThrottleDevice {
        /// The major number.
        pub major: i64,
        /// The minor number.
        pub minor: i64,
        /// How much in a second.
        pub rate: u64,
    }

    /// `hugepageLimits[]`
    #[derive(Debug)]
    pub struct HugepageLimit {
        /// `2MB` ...
        pub page_size: String,
        /// In bytes.
        pub limit: u64,
    }

    /// `network` (v1)
    #[derive(Debug)]
    pub struct Network {
        /// What packets are tagged with.
        pub class_id as "classID": Option<u32>,
        /// Priorities by interface.
        pub priorities: Vec<InterfacePriority>,
    }

    /// `network.priorities[]`
    #[derive(Debug)]
    pub struct InterfacePriority {
        /// The interface, outside.
        pub name: String,
        /// Its priority.
        pub priority: u32,
    }

    /// `rdma.*`
    #[derive(Debug)]
    pub struct Rdma {
        /// Handles.
        pub hca_handles: Option<u32>,
        /// Objects.
        pub hca_objects: Option<u32>,
    }
}
