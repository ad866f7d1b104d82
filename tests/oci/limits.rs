//! `linux.resources` on the hierarchies of this machine; those of v2 are tested in the virtual machine.

use super::{ALL, Config, refuses};
use crate::kit::Sandbox;

/// The v1 files of a limit, read through the container's own mount of its groups.
#[test]
fn limits_reach_the_files_of_v1() {
    needs!(
        root,
        busybox,
        v1("memory"),
        v1("pids"),
        v1("cpu"),
        v1("cpuset")
    );
    let t = Sandbox::new("oci");
    let groups = r#", {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid", "noexec", "nodev"]}"#;
    let path = format!(r#""cgroupsPath": "/{}/c","#, t.id());
    #[rustfmt::skip]
    let cases = [
        (r#""memory": {"limit": 33554432, "reservation": 16777216}, "pids": {"limit": 17}"#,
            "memory/memory.limit_in_bytes memory/memory.soft_limit_in_bytes pids/pids.max", "33554432\n16777216\n17\n"),
        (r#""cpu": {"shares": 333, "quota": 20000, "period": 50000, "cpus": "0", "mems": "0"}"#,
            "cpu/cpu.shares cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpuset/cpuset.cpus cpuset/cpuset.mems", "333\n20000\n50000\n0\n0\n"),
        (r#""unified": {"memory.max": "8388608", "pids.max": "5"}"#, "memory/memory.limit_in_bytes pids/pids.max", "8388608\n5\n"),
    ];
    for (resources, files, want) in cases {
        let linux = format!("{path} \"resources\": {{{resources}}},");
        let config = Config {
            script: &format!(
                "cd /sys/fs/cgroup; cat {files}; touch memory/x 2>&1; echo 1 2>&1 >memory/tasks"
            ),
            mounts: groups,
            linux: &linux,
            namespaces: &format!("{ALL}, {{\"type\": \"cgroup\"}}"),
            ..Config::default()
        };
        let ran = config.run(&t);
        assert!(ran.stdout.starts_with(want), "{resources}\n{ran}");
        // Seen, and out of reach.
        assert_eq!(
            ran.stdout.matches("Read-only file system").count()
                + ran.stderr.matches("Read-only file system").count(),
            2,
            "{ran}"
        );
    }
}

/// T-SEC-05: whoever may make device nodes may use those that the rules name, and no others.
#[test]
fn devices_are_for_those_who_may() {
    needs!(root, busybox, v1("devices"));
    let t = Sandbox::new("oci");
    let caps = r#"["CAP_MKNOD"]"#;
    let process = format!(
        r#""user": {{"uid": 0, "gid": 0}}, "capabilities": {{"bounding": {caps}, "effective": {caps}, "permitted": {caps}}},"#
    );
    // Character device 10:229 is fuse(4), which anybody may open who finds a node of it.
    let script = "mknod /dev/fuse c 10 229; mknod /dev/z c 1 5
        for d in fuse z; do ( : </dev/$d ) 2>/dev/null && echo $d; done; true";
    let linux = |rules: &str| {
        format!(
            r#""cgroupsPath": "/{}/c", "resources": {{"devices": [{rules}]}},"#,
            t.id()
        )
    };
    let deny = r#"{"allow": false, "access": "rwm"}"#;
    let cases = [
        (deny.to_owned(), "z\n"),
        (
            format!(
                r#"{deny}, {{"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"}}"#
            ),
            "fuse\nz\n",
        ),
    ];
    for (rules, want) in cases {
        let config = Config {
            script,
            process: &process,
            linux: &linux(&rules),
            ..Config::default()
        };
        let ran = config.run(&t);
        assert_eq!(ran.stdout, want, "{rules}{ran}");
    }
    // The control: without rules, the device can be opened by who made a node of it.
    let open = Config {
        script,
        process: &process,
        ..Config::default()
    };
    assert!(
        open.run(&t).stdout.starts_with("fuse\n"),
        "the attack does not hit where there are no rules"
    );
}

/// A controller that is nowhere is an error, and so is a limit that makes no sense.
#[test]
fn limits_that_cannot_be_are_refused() {
    needs!(root, busybox);
    let t = Sandbox::new("oci");
    for (resources, want) in [
        (r#""memory": {"limit": 100, "swap": 50}"#, "memory.swap"),
        (
            r#""hugepageLimits": [{"pageSize": "3MB", "limit": 1}]"#,
            "hugetlb.3MB",
        ),
        (
            r#""unified": {"memory.high": "1"}, "memory": {"limit": -1}"#,
            "memory.high",
        ),
    ] {
        let linux = format!(
            r#""cgroupsPath": "/{}/c", "resources": {{{resources}}},"#,
            t.id()
        );
        let with = Config {
            linux: &linux,
            ..Config::default()
        };
        refuses(&t, with, want);
    }
}
