//! Every field of a config.json that is known, and the test that shows what becomes of it: an effect, or an error.
//!
//! The fields are those of `src/oci/spec`: one that is added there without a proof here fails, and so does a proof that
//! does not speak of its field.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A test, and the fields by object that it proves. `tests/vm/cases` has those of cgroup v2.
const PROOFS: &[(&str, &str)] = &[
    ("the_process_is_as_it_is_described", "Spec.process Process.user Process.capabilities Process.rlimits Process.noNewPrivileges
        Process.oomScoreAdj Process.scheduler Process.ioPriority User.uid User.gid User.umask User.additionalGids
        Capabilities.bounding Capabilities.effective Capabilities.inheritable Capabilities.permitted Capabilities.ambient
        Rlimit.type Rlimit.soft Rlimit.hard Scheduler.policy Scheduler.nice IoPriority.class IoPriority.priority"),
    ("schedulers_and_priorities", "Scheduler.priority Scheduler.flags Scheduler.runtime Scheduler.deadline Scheduler.period"),
    ("programs_that_join_keep_to_their_cpus", "Process.execCPUAffinity CpuAffinity.initial CpuAffinity.final Process.args Process.env
        Memory.checkBeforeUpdate"),
    ("a_terminal_goes_to_who_listens", "Process.terminal Process.consoleSize ConsoleSize.height ConsoleSize.width"),
    ("what_this_machine_has_not_is_an_error", "Process.apparmorProfile Process.selinuxLabel Linux.mountLabel Linux.intelRdt
        IntelRdt.closID Personality.flags MemoryPolicy.flags"),
    ("the_tree_is_as_it_is_described", "Root.path Root.readonly Process.cwd Mount.destination Mount.type Mount.source Mount.options
        Mount.uidMappings Mount.gidMappings IdMapping.containerID IdMapping.hostID IdMapping.size"),
    ("attributes_of_mounts_are_recursive_where_they_say_so", "Mount.options"),
    ("linux_is_as_it_is_described", "Spec.hostname Spec.domainname Linux.sysctl Linux.maskedPaths Linux.readonlyPaths Linux.devices
        Linux.personality Linux.rootfsPropagation Linux.seccomp Linux.memoryPolicy Device.type Device.path Device.major
        Device.minor Device.fileMode Device.uid Device.gid Personality.domain MemoryPolicy.mode MemoryPolicy.nodes
        Seccomp.defaultAction Seccomp.syscalls SyscallRule.names SyscallRule.action SyscallRule.errnoRet"),
    ("filters_act_as_they_say", "Seccomp.defaultErrnoRet Seccomp.architectures Seccomp.flags"),
    ("filters_compare_as_they_say", "SyscallRule.args SyscallArg.index SyscallArg.value SyscallArg.valueTwo SyscallArg.op"),
    ("what_is_no_filter_is_refused", "Seccomp.listenerMetadata"),
    ("calls_are_decided_by_who_listens", "Seccomp.listenerPath"),
    ("namespaces_are_joined_and_clocks_shifted", "Linux.timeOffsets Namespace.type Namespace.path TimeOffset.secs TimeOffset.nanosecs"),
    ("a_user_namespace_has_the_ids_that_are_mapped", "Linux.uidMappings Linux.gidMappings"),
    ("a_device_goes_in_with_what_it_has", "NetDevice.name"),
    ("a_device_is_back_where_it_cannot_be_used", "Linux.netDevices"),
    ("hooks_run_in_order_and_read_the_state", "Spec.hooks Spec.annotations Hooks.prestart Hooks.createRuntime Hooks.createContainer
        Hooks.startContainer Hook.path Hook.args Hook.env Hook.timeout"),
    ("hooks_see_the_state_of_their_moment", "Hooks.poststart Hooks.poststop"),
    ("limits_reach_the_files_of_v1", "Linux.cgroupsPath Linux.resources Resources.memory Resources.pids Resources.cpu Resources.unified
        Memory.limit Memory.reservation Cpu.shares Cpu.quota Cpu.period Cpu.cpus Cpu.mems Pids.limit"),
    ("every_limit_is_in_its_file_or_an_error", "Memory.swap Memory.kernel Memory.kernelTCP Memory.swappiness Memory.disableOOMKiller
        Memory.useHierarchy Cpu.burst Cpu.realtimeRuntime Cpu.realtimePeriod Cpu.idle Resources.blockIO BlockIo.weight
        BlockIo.leafWeight BlockIo.weightDevice BlockIo.throttleReadBpsDevice BlockIo.throttleWriteBpsDevice
        BlockIo.throttleReadIOPSDevice BlockIo.throttleWriteIOPSDevice WeightDevice.major WeightDevice.minor
        WeightDevice.weight WeightDevice.leafWeight ThrottleDevice.major ThrottleDevice.minor ThrottleDevice.rate
        Resources.hugepageLimits HugepageLimit.pageSize HugepageLimit.limit Resources.network Network.classID
        Network.priorities InterfacePriority.name InterfacePriority.priority Resources.rdma Rdma.hcaHandles Rdma.hcaObjects"),
    ("devices_are_for_those_who_may", "Resources.devices DeviceRule.allow DeviceRule.type DeviceRule.major DeviceRule.minor
        DeviceRule.access"),
    ("what_is_no_container_is_refused", "Spec.ociVersion Spec.root Spec.mounts Spec.linux Linux.namespaces"),
];

/// The fields of the structs that `objects!` declares: `Process.rlimits` and so on, but those that are not of the file.
fn known() -> Vec<String> {
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/oci/spec");
    let mut files = vec![spec.with_extension("rs")];
    files.extend(
        fs::read_dir(spec)
            .unwrap()
            .map(|entry| entry.unwrap().path()),
    );
    let mut all = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some()) {
        let text = fs::read_to_string(file).unwrap();
        let mut object = None;
        for line in text.lines() {
            match line.trim().strip_prefix("pub ") {
                Some(rest) if line.starts_with("    pub struct ") => {
                    object = rest["struct ".len()..].split(' ').next().map(str::to_owned);
                }
                Some(rest) if line.starts_with("        pub ") && rest.contains(": ") => {
                    let (name, given) = match rest.split_once(" as \"") {
                        Some((name, more)) => (name, more.split('"').next()),
                        None => (rest.split(':').next().unwrap(), None),
                    };
                    let name = given.map_or_else(|| camel(name), str::to_owned);
                    if let (Some(object), false) = (&object, name.is_empty()) {
                        all.push(format!("{object}.{name}"));
                    }
                }
                _ if line.starts_with("    }") => object = None,
                _ => {}
            }
        }
    }
    all
}

fn camel(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| {
        all + &part[..1].to_uppercase() + &part[1..]
    })
}

/// The text of every test function, by name.
fn tests() -> BTreeMap<String, String> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut all = BTreeMap::new();
    for file in [
        "oci.rs",
        "oci/more.rs",
        "oci/limits.rs",
        "oci/net_devices.rs",
        "runc.rs",
        "runc/sockets.rs",
        "runc/supervisor.rs",
    ] {
        let text = fs::read_to_string(top.join(file)).unwrap();
        for part in text.split("\nfn ").skip(1) {
            let name = part.split('(').next().unwrap().to_owned();
            all.insert(name, part.to_owned());
        }
    }
    all
}

#[test]
fn every_field_has_its_proof() {
    let tests = tests();
    let mut proven = Vec::new();
    for (test, fields) in PROOFS {
        let text = tests
            .get(*test)
            .unwrap_or_else(|| panic!("there is no test {test}"));
        for field in fields.split_whitespace() {
            let key = field.split('.').nth(1).unwrap();
            // Where every bundle has it the test has only the value.
            let spoken = text.contains(&format!("\"{key}"))
                || text.contains(&format!("{key}\\\""))
                || text.contains(&format!("{key}\""));
            let everywhere = [
                "process",
                "root",
                "linux",
                "resources",
                "mounts",
                "namespaces",
                "poststart",
                "poststop",
                "type",
                "path",
                "name",
            ];
            assert!(
                spoken || everywhere.contains(&key),
                "{test} says nothing of {field}"
            );
            proven.push(field.to_owned());
        }
    }
    let known = known();
    assert!(known.len() > 150, "{known:?}");
    for field in &known {
        assert!(
            proven.contains(field),
            "no test shows what becomes of {field}"
        );
    }
    for field in &proven {
        assert!(known.contains(field), "there is no field {field}");
    }
}
