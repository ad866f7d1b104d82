//! Fields of which there are many: every option of a mount, every scheduling policy, every limit of v1, every action,
//! operator and flag of a filter.

use super::{ALL, Config, inside, refuses};
use crate::kit::Sandbox;

/// What is asked of `process`, a script, and what it says.
#[test]
fn schedulers_and_priorities() {
    needs!(root, busybox);
    let t = Sandbox::new("oci");
    // Of the shell itself: nice, realtime priority, policy.
    let look = "busybox cut -d' ' -f19,40,41 /proc/$$/stat";
    #[rustfmt::skip]
    let cases = [
        (r#""scheduler": {"policy": "SCHED_OTHER", "nice": 7}"#, look, "7 0 0\n"),
        (r#""scheduler": {"policy": "SCHED_IDLE"}"#, look, "0 0 5\n"),
        (r#""scheduler": {"policy": "SCHED_FIFO", "priority": 5}"#, look, "0 5 1\n"),
        (r#""scheduler": {"policy": "SCHED_RR", "priority": 6, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}"#,
            "busybox cut -d' ' -f40,41 /proc/$$/stat /proc/self/stat; true", "6 2\n0 0\n"),
        (r#""scheduler": {"policy": "SCHED_DEADLINE", "runtime": 10000000, "deadline": 20000000, "period": 30000000, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}"#,
            "busybox cut -d' ' -f41 /proc/$$/stat; true", "6\n"),
        (r#""ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 3}"#, "ionice -p $$", "best-effort: prio 3\n"),
        (r#""ioPriority": {"class": "IOPRIO_CLASS_RT", "priority": 1}"#, "ionice -p $$", "realtime: prio 1\n"),
    ];
    for (process, script, want) in cases {
        let process = format!("{process}, \"user\": {{\"uid\": 0, \"gid\": 0}},");
        let with = Config {
            process: &process,
            ..Config::default()
        };
        assert_eq!(inside(&t, script, with), want, "{process}");
    }
    #[rustfmt::skip]
    let bad = [
        (r#""scheduler": {"policy": "SCHED_FOO"}"#, "process.scheduler.policy: no such value: SCHED_FOO"),
        (r#""scheduler": {"policy": "SCHED_FIFO", "priority": -1}"#, "process.scheduler.priority: no such value: -1"),
        (r#""scheduler": {"policy": "SCHED_FIFO", "priority": 100}"#, "cannot set the scheduling policy"),
        (r#""scheduler": {"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_X"]}"#, "process.scheduler.flags: no such value: SCHED_FLAG_X"),
        (r#""scheduler": {"policy": "SCHED_DEADLINE", "runtime": 3, "deadline": 2, "period": 1}"#, "cannot set the scheduling policy"),
        (r#""ioPriority": {"class": "BE"}"#, "process.ioPriority.class: no such value: BE"),
        (r#""ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}"#, "process.ioPriority.priority: no such value: 8"),
        (r#""execCPUAffinity": {"initial": "1-0"}"#, "process.execCPUAffinity.initial: no such value: 1-0"),
        (r#""execCPUAffinity": {"final": "x"}"#, "process.execCPUAffinity.final: no such value: x"),
        (r#""rlimits": [{"type": "RLIMIT_X", "soft": 1, "hard": 1}]"#, "process.rlimits[0].type: no such value: RLIMIT_X"),
        (r#""oomScoreAdj": 70000"#, "process.oomScoreAdj: no such value: 70000"),
    ];
    for (process, why) in bad {
        let process = format!("{process}, \"user\": {{\"uid\": 0, \"gid\": 0}},");
        let with = Config {
            process: &process,
            ..Config::default()
        };
        refuses(&t, with, why);
    }
}

/// A recursive attribute is of the mounts below too, the plain one is not; each can be taken back by its opposite.
#[test]
fn attributes_of_mounts_are_recursive_where_they_say_so() {
    needs!(root, busybox);
    let t = Sandbox::new("oci");
    t.root("r");
    t.run("mkdir -p v/sub").ok();
    let v = t.work().join("v").display().to_string();
    // Options, the flags of the mount and of the one below it.
    #[rustfmt::skip]
    let cases = [
        ("\"ro\"", "ro,relatime rw,relatime"),
        ("\"rro\"", "ro,relatime ro,relatime"),
        ("\"rro\", \"rrw\"", "rw,relatime rw,relatime"),
        ("\"rnosuid\"", "rw,nosuid,relatime rw,nosuid,relatime"),
        ("\"nosuid\", \"nodev\"", "rw,nosuid,nodev,relatime rw,relatime"),
        ("\"rnodev\", \"rdev\"", "rw,relatime rw,relatime"),
        ("\"rnodev\"", "rw,nodev,relatime rw,nodev,relatime"),
        // As with runc: what is recursive comes last.
        ("\"rnoexec\", \"exec\"", "rw,noexec,relatime rw,noexec,relatime"),
        ("\"rnoatime\"", "rw,noatime rw,noatime"),
        ("\"rstrictatime\"", "rw rw"),
        ("\"rnodiratime\"", "rw,nodiratime,relatime rw,nodiratime,relatime"),
        ("\"rnosymfollow\"", "rw,relatime,nosymfollow rw,relatime,nosymfollow"),
        ("\"rnosuid\", \"rsuid\", \"rnoatime\", \"rrelatime\"", "rw,relatime rw,relatime"),
    ];
    for (options, want) in cases {
        let mounts = format!(
            r#", {{"destination": "/m", "type": "bind", "source": "{v}", "options": ["rbind", {options}]}}"#
        );
        let config = Config {
            script: "grep -E ' /m(/sub)? ' /proc/self/mountinfo | busybox cut -d' ' -f6 | busybox xargs",
            mounts: &mounts,
            ..Config::default()
        };
        let ran = config.run_by(
            &t,
            "/usr/bin/unshare -m sh -c 'mount -t tmpfs x v/sub; container run -b b'",
        );
        assert_eq!(ran.stdout.trim(), want, "{options}{ran}");
    }
}

/// Every word that `features` names is taken; one that it does not is an error for a bind.
#[test]
fn every_option_of_a_mount_is_taken() {
    needs!(root, busybox, host("jq"));
    let t = Sandbox::new("oci");
    t.root("r");
    t.run("mkdir v").ok();
    let v = t.work().join("v").display().to_string();
    let words = t
        .run("runc features | jq -r .mountOptions[]")
        .stdout
        .clone();
    let words: Vec<&str> = words.lines().collect();
    assert!(words.len() > 50, "{words:?}");
    for word in words {
        let (kind, source, base) = match word {
            "tmpcopyup" | "lazytime" | "nolazytime" | "mand" | "nomand" | "silent" | "loud"
            | "iversion" | "noiversion" | "defaults" | "acl" | "noacl" | "sync" | "async"
            | "dirsync" | "remount" => ("tmpfs", "tmpfs", ""),
            "idmap" | "ridmap" => ("bind", &*v, r#", "bind""#),
            _ => ("bind", &*v, r#", "rbind""#),
        };
        let maps = match word {
            "idmap" | "ridmap" => {
                r#", "uidMappings": [{"containerID": 0, "hostID": 9, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 9, "size": 1}]"#
            }
            _ => "",
        };
        let mounts = format!(
            r#", {{"destination": "/old", "type": "{kind}", "source": "{source}", "options": ["{word}"{base}]{maps}}}"#
        );
        let with = Config {
            mounts: &mounts,
            ..Config::default()
        };
        assert_eq!(inside(&t, "echo taken", with), "taken\n", "{word}");
    }
    let mounts = format!(
        r#", {{"destination": "/old", "type": "tmpfs", "source": "{v}", "options": ["nosuch"]}}"#
    );
    let with = Config {
        mounts: &mounts,
        ..Config::default()
    };
    refuses(&t, with, "nosuch");
}

/// Each limit that v1 has is in its file; what this kernel has no file or no controller for is an error that names it.
#[test]
fn every_limit_is_in_its_file_or_an_error() {
    needs!(
        root,
        busybox,
        v1("memory"),
        v1("pids"),
        v1("cpu"),
        v1("blkio")
    );
    let t = Sandbox::new("oci");
    let groups = r#", {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}"#;
    #[rustfmt::skip]
    let cases = [
        (r#""memory": {"limit": 33554432, "swap": 50331648}"#, "memory/memory.memsw.limit_in_bytes", "50331648"),
        (r#""memory": {"limit": 33554432, "swappiness": 17}"#, "memory/memory.swappiness", "17"),
        (r#""memory": {"limit": 33554432, "disableOOMKiller": true}"#, "memory/memory.oom_control", "oom_kill_disable 1"),
        (r#""memory": {"limit": 33554432, "kernelTCP": 16777216}"#, "memory/memory.kmem.tcp.limit_in_bytes", "16777216"),
        (r#""memory": {"limit": 33554432, "kernel": 16777216}"#, "memory/memory.kmem.limit_in_bytes", "16777216"),
        (r#""memory": {"limit": 33554432, "useHierarchy": true, "checkBeforeUpdate": true}"#, "memory/memory.use_hierarchy", "1"),
        (r#""memory": {"limit": 33554432, "useHierarchy": false}"#, "memory/memory.use_hierarchy", "0"),
        (r#""cpu": {"quota": 20000, "burst": 5000}"#, "cpu/cpu.cfs_burst_us", "5000"),
        (r#""cpu": {"realtimePeriod": 500000, "realtimeRuntime": 1000}"#, "cpu/cpu.rt_period_us", "500000"),
        (r#""cpu": {"idle": 1}"#, "cpu/cpu.idle", "1"),
        (r#""blockIO": {"weight": 500}"#, "blkio/blkio.bfq.weight", "500"),
        (r#""blockIO": {"leafWeight": 500}"#, "blkio/blkio.leaf_weight", "500"),
        (r#""blockIO": {"weightDevice": [{"major": 7, "minor": 0, "weight": 300, "leafWeight": 200}]}"#, "blkio/blkio.bfq.weight_device", "7:0 300"),
        (r#""blockIO": {"throttleReadBpsDevice": [{"major": 7, "minor": 0, "rate": 1048576}]}"#, "blkio/blkio.throttle.read_bps_device", "7:0 1048576"),
        (r#""blockIO": {"throttleWriteBpsDevice": [{"major": 7, "minor": 0, "rate": 1048577}]}"#, "blkio/blkio.throttle.write_bps_device", "7:0 1048577"),
        (r#""blockIO": {"throttleReadIOPSDevice": [{"major": 7, "minor": 0, "rate": 78}]}"#, "blkio/blkio.throttle.read_iops_device", "7:0 78"),
        (r#""blockIO": {"throttleWriteIOPSDevice": [{"major": 7, "minor": 0, "rate": 79}]}"#, "blkio/blkio.throttle.write_iops_device", "7:0 79"),
        (r#""hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]"#, "*/hugetlb.2MB.[lm]*[xs]", "4194304"),
        (r#""network": {"classID": 1048577}"#, "net_cls/net_cls.classid", "1048577"),
        (r#""network": {"priorities": [{"name": "lo", "priority": 5}]}"#, "net_prio/net_prio.ifpriomap", "lo 5"),
        (r#""rdma": {"mlx5_0": {"hcaHandles": 3, "hcaObjects": 4}}"#, "rdma/rdma.max", "mlx5_0 hca_handle=3"),
        (r#""pids": {"limit": 19}"#, "pids/pids.max", "19"),
    ];
    let mut there = 0;
    for (resources, file, want) in cases {
        let linux = format!(
            r#""cgroupsPath": "/{}/c", "resources": {{{resources}}},"#,
            t.id()
        );
        let config = Config {
            script: &format!("echo ran; cat /sys/fs/cgroup/{file} | busybox head -1"),
            mounts: groups,
            linux: &linux,
            namespaces: &format!("{ALL}, {{\"type\": \"cgroup\"}}"),
            ..Config::default()
        };
        let ran = config.run(&t);
        let set = ran.stdout.strip_prefix("ran\n").unwrap_or_default().trim();
        match ran.status {
            // A file of the kernel's that does nothing any more: said, and seen in what it reads.
            0 if ran.stderr.contains("note: ") && set != want => {}
            0 => {
                assert_eq!(set, want, "{resources}{ran}");
                there += 1;
            }
            // The controller, or the file.
            _ => {
                let (controller, name) = file.split_once('/').unwrap();
                assert_eq!(ran.stdout, "", "{ran}");
                let named = match controller {
                    "*" => ["hugetlb", name],
                    _ => [controller, name],
                };
                assert!(
                    named.iter().any(|word| ran.stderr.contains(word)),
                    "{resources}{ran}"
                );
            }
        }
    }
    assert!(there >= 8, "{there}");
}

/// A filter with one rule about the making of directories.
fn rule(rest: &str) -> String {
    format!(
        r#""seccomp": {{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{{"names": ["mkdir", "mkdirat"], {rest}}}]}},"#
    )
}

/// Makes a directory and says what came of it.
const MAKE: &str = "busybox mkdir /x 2>&1; echo $?; busybox rmdir /x 2>/dev/null; true";
const MADE: &str = "0\n";
const DENIED: &str = "mkdir: can't create directory '/x': Operation not permitted\n1\n";

/// Every action and flag of a filter: what becomes of one call.
#[test]
fn filters_act_as_they_say() {
    needs!(root, busybox, host("jq"));
    let t = Sandbox::new("oci");
    t.root("r");
    #[rustfmt::skip]
    let cases = [
        (rule(r#""action": "SCMP_ACT_ALLOW""#), MADE),
        (rule(r#""action": "SCMP_ACT_LOG""#), MADE),
        (rule(r#""action": "SCMP_ACT_ERRNO""#), DENIED),
        (rule(r#""action": "SCMP_ACT_ERRNO", "errnoRet": 28"#), "mkdir: can't create directory '/x': No space left on device\n1\n"),
        (rule(r#""action": "SCMP_ACT_TRAP""#), "Bad system call\n159\n"),
        (rule(r#""action": "SCMP_ACT_KILL""#), "Bad system call\n159\n"),
        (rule(r#""action": "SCMP_ACT_KILL_THREAD""#), "Bad system call\n159\n"),
        (rule(r#""action": "SCMP_ACT_KILL_PROCESS""#), "Bad system call\n159\n"),
        // Nobody traces: the call is not there.
        (rule(r#""action": "SCMP_ACT_TRACE""#), "mkdir: can't create directory '/x': Function not implemented\n1\n"),
        (r#""seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 28, "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"], "syscalls": [{"names": ["EVERYTHING"], "action": "SCMP_ACT_ALLOW"}]},"#.into(),
            "mkdir: can't create directory '/x': No space left on device\n1\n"),
    ];
    // All that the default profile lets pass unconditionally, but for these two.
    let everything = t
        .run("container spec --rootfs r true | jq -c '[.linux.seccomp.syscalls[] | select(.action == \"SCMP_ACT_ALLOW\" and .args == null) | .names[]] - [\"mkdir\", \"mkdirat\"]' | tr -d '[]'")
        .stdout
        .trim()
        .to_owned();
    assert!(everything.contains("\"read\""), "no list of calls");
    for (linux, want) in cases {
        let linux = linux.replace("EVERYTHING\"", &format!("clone\", {everything}"));
        let with = Config {
            linux: &linux,
            ..Config::default()
        };
        assert_eq!(inside(&t, MAKE, with), want, "{linux}");
    }
}

/// Every operator: the mode is 0777, the second argument of mkdir and the third of mkdirat.
#[test]
fn filters_compare_as_they_say() {
    needs!(root, busybox);
    let t = Sandbox::new("oci");
    let compared = |op: &str| {
        let rule = |name, index| {
            format!(
                r#"{{"names": ["{name}"], "action": "SCMP_ACT_ERRNO", "args": [{{"index": {index}, {op}}}]}}"#
            )
        };
        format!(
            r#""seccomp": {{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{}, {}]}},"#,
            rule("mkdir", 1),
            rule("mkdirat", 2)
        )
    };
    let cases = [
        (r#""op": "SCMP_CMP_EQ", "value": 511"#, DENIED),
        (r#""op": "SCMP_CMP_EQ", "value": 510"#, MADE),
        (r#""op": "SCMP_CMP_NE", "value": 511"#, MADE),
        (r#""op": "SCMP_CMP_NE", "value": 510"#, DENIED),
        (r#""op": "SCMP_CMP_LT", "value": 511"#, MADE),
        (r#""op": "SCMP_CMP_LT", "value": 512"#, DENIED),
        (r#""op": "SCMP_CMP_LE", "value": 511"#, DENIED),
        (r#""op": "SCMP_CMP_LE", "value": 510"#, MADE),
        (r#""op": "SCMP_CMP_GE", "value": 511"#, DENIED),
        (r#""op": "SCMP_CMP_GE", "value": 512"#, MADE),
        (r#""op": "SCMP_CMP_GT", "value": 511"#, MADE),
        (r#""op": "SCMP_CMP_GT", "value": 510"#, DENIED),
        (
            r#""op": "SCMP_CMP_MASKED_EQ", "value": 7, "valueTwo": 7"#,
            DENIED,
        ),
        (
            r#""op": "SCMP_CMP_MASKED_EQ", "value": 7, "valueTwo": 6"#,
            MADE,
        ),
    ];
    for (op, want) in cases {
        let linux = compared(op);
        let with = Config {
            linux: &linux,
            ..Config::default()
        };
        assert_eq!(inside(&t, MAKE, with), want, "{op}");
    }
    let linux = compared(r#""op": "SCMP_CMP_FOO", "value": 1"#);
    let with = Config {
        linux: &linux,
        ..Config::default()
    };
    refuses(&t, with, "SCMP_CMP_FOO");
}

#[test]
fn what_is_no_filter_is_refused() {
    needs!(root, busybox);
    let t = Sandbox::new("oci");
    #[rustfmt::skip]
    let bad = [
        (r#""seccomp": {"defaultAction": "SCMP_ACT_FOO"},"#.to_owned(), "SCMP_ACT_FOO"),
        (rule(r#""action": "SCMP_ACT_FOO""#), "SCMP_ACT_FOO"),
        (rule(r#""action": "SCMP_ACT_ERRNO", "args": [{"index": 6, "op": "SCMP_CMP_EQ", "value": 1}]"#), "index"),
        (r#""seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_FOO"]},"#.into(), "SECCOMP_FILTER_FLAG_FOO"),
        (r#""seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_FOO"]},"#.into(), "SCMP_ARCH_FOO"),
        (r#""seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "m"},"#.into(), "listenerPath"),
    ];
    for (linux, why) in bad {
        let with = Config {
            linux: &linux,
            ..Config::default()
        };
        refuses(&t, with, why);
    }
}
