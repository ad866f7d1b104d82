//! What a spec compiles to, as calls in their order.

use super::*;

/// A container of these parts: members of the top object, of `process` and of `linux`.
fn spec(top: &str, process: &str, linux: &str) -> Result<Spec> {
    let text = format!(
        r#"{{"ociVersion": "1.3.0", "root": {{"path": "rootfs"}}, {top}
        "process": {{"args": ["/bin/true"], "cwd": "/", {process} "user": {{"uid": 0, "gid": 0}}}},
        "linux": {{{linux} "namespaces": [{{"type": "pid"}}, {{"type": "mount"}}, {{"type": "uts"}}, {{"type": "ipc"}},
            {{"type": "network"}}]}}}}"#
    );
    Spec::parse(text.as_bytes())
}

fn calls(spec: &Spec, setting: Setting<'_>) -> Result<String> {
    let told = compile(spec, setting)?.tell();
    let line = |told: &crate::plan::Told| format!("{} {}\n", told.who, told.what.call);
    Ok(told.iter().map(line).collect())
}

fn told(top: &str, process: &str, linux: &str) -> String {
    calls(&spec(top, process, linux).unwrap(), Setting::default()).unwrap()
}

fn refused(top: &str, process: &str, linux: &str) -> String {
    let spec = spec(top, process, linux);
    let said = spec.and_then(|spec| calls(&spec, Setting::default()));
    said.map_err(|error| error.to_string())
        .expect_err("it was taken")
}

/// Whether all of these stand in a text, in this order.
fn has_in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let at = rest.find(part);
        let at = at.unwrap_or_else(|| panic!("no {part} behind the ones before it in\n{text}"));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn parts_come_in_the_order_that_the_kernel_wants() {
    let told = told(
        r#""hostname": "h", "domainname": "d", "mounts": [
            {"destination": "/proc", "type": "proc"},
            {"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "size=1m"]},
            {"destination": "/b", "type": "bind", "source": "/usr", "options": ["rbind", "rro", "rslave"]}],
        "hooks": {"prestart": [{"path": "/a"}], "createRuntime": [{"path": "/b"}], "createContainer": [{"path": "/c"}],
            "startContainer": [{"path": "/d"}]},"#,
        r#""noNewPrivileges": true, "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}], "oomScoreAdj": 5,
        "scheduler": {"policy": "SCHED_BATCH", "nice": 3}, "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},"#,
        r#""sysctl": {"net.core.somaxconn": "256"}, "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"],
        "rootfsPropagation": "slave", "personality": {"domain": "LINUX32"},
        "devices": [{"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229, "fileMode": 438}],"#,
    );
    has_in_order(
        &told,
        &[
            "caller open_tree(\"/usr\", OPEN_TREE_CLONE|AT_RECURSIVE)",
            "caller clone3(",
            "child prctl(PR_SET_PDEATHSIG, 9)",
            "sethostname(\"h\"",
            "setdomainname(\"d\"",
            "SIOCSIFFLAGS",
            "setsid()",
            "write(\"/proc/sys/net/core/somaxconn\", \"256\")",
            "= ROOT",
            "fsopen(\"proc\")",
            "fsopen(\"tmpfs\")",
            "move_mount(ROOT, \"/b\")",
            "makedev(1, 3)",
            "makedev(10, 229)",
            "outside execve(\"/a\")",
            "outside execve(\"/b\")",
            "child execve(\"/c\")",
            "/proc/kcore",
            "/proc/sys",
            "pivot_root",
            "MS_SLAVE",
            "oom_score_adj",
            "setrlimit(RLIMIT_NOFILE=1:2)",
            "sched_setattr({policy=3, nice=3",
            "IOPRIO_PRIO_VALUE(2, 4)",
            "personality(0x8)",
            "setgroups",
            "setresuid",
            "capset",
            "PR_SET_NO_NEW_PRIVS",
            "close_range",
            "execve(\"/d\")",
            "execve(\"/bin/true\"",
        ],
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn what_cannot_be_honoured_is_refused() {
    let cases = [
        (
            "",
            r#""scheduler": {"policy": "SCHED_X"},"#,
            "",
            "process.scheduler.policy: no such value: SCHED_X",
        ),
        (
            "",
            r#""rlimits": [{"type": "RLIMIT_X"}],"#,
            "",
            "process.rlimits[0].type: no such value: RLIMIT_X",
        ),
        (
            "",
            r#""rlimits": [{"type": "RLIMIT_CPU"}, {"type": "RLIMIT_CPU"}],"#,
            "",
            "there are two of type RLIMIT_CPU",
        ),
        (
            "",
            r#""ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8},"#,
            "",
            "process.ioPriority.priority",
        ),
        ("", r#""selinuxLabel": "a:b","#, "", "process.selinuxLabel"),
        ("", r#""oomScoreAdj": 40000,"#, "", "process.oomScoreAdj"),
        (
            "",
            "",
            r#""sysctl": {"kernel.core_pattern": "|/x"},"#,
            "belongs to no namespace",
        ),
        (
            "",
            "",
            r#""sysctl": {"net.x": "1\n2"},"#,
            "more than one line",
        ),
        (
            "",
            "",
            r#""sysctl": {"user.max_user_namespaces": "1"},"#,
            "changed for the whole machine",
        ),
        (
            "",
            "",
            r#""uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}],"#,
            "no user namespace",
        ),
        (
            "",
            "",
            r#""intelRdt": {"closID": "x"},"#,
            "linux.intelRdt: not supported",
        ),
        (
            "",
            "",
            r#""timeOffsets": {"boottime": {"secs": 1}},"#,
            "linux.timeOffsets",
        ),
        (
            "",
            "",
            r#""personality": {"domain": "LINUX", "flags": ["X"]},"#,
            "linux.personality.flags",
        ),
        (
            "",
            "",
            r#""rootfsPropagation": "sideways","#,
            "linux.rootfsPropagation",
        ),
        (
            "",
            "",
            r#""devices": [{"type": "x", "path": "/dev/x"}],"#,
            "linux.devices[0].type",
        ),
        (
            r#""mounts": [{"destination": "/t", "type": "tmpfs", "options": ["idmap"]}],"#,
            "",
            "",
            "only a bind can be id-mapped",
        ),
        (
            r#""mounts": [{"destination": "/p", "type": "proc", "options": ["tmpcopyup"]}],"#,
            "",
            "",
            "tmpcopyup is for a tmpfs or a bind",
        ),
        (
            r#""hooks": {"poststop": [{"path": "x"}]},"#,
            "",
            "",
            "hooks.poststop[0].path",
        ),
        (
            r#""hooks": {"prestart": [{"path": "/x", "timeout": 0}]},"#,
            "",
            "",
            "hooks.prestart[0].timeout",
        ),
    ];
    for (top, process, linux, want) in cases {
        let said = refused(top, process, linux);
        assert!(said.contains(want), "{said}");
    }
}

#[test]
fn namespaces_are_made_and_joined() {
    let of = |namespaces: &str, more: &str| {
        let text = format!(
            r#"{{"ociVersion": "1.3.0", "root": {{"path": "/r"}}, "process": {{"args": ["x"], "cwd": "/"}},
            "linux": {{{more} "namespaces": [{namespaces}]}}}}"#
        );
        Spec::parse(text.as_bytes()).and_then(|spec| calls(&spec, Setting::default()))
    };
    let joined = of(
        r#"{"type": "mount"}, {"type": "pid", "path": "/p"}, {"type": "network", "path": "/n"}"#,
        "",
    )
    .unwrap();
    has_in_order(
        &joined,
        &[
            "open(\"/n\"",
            "open(\"/p\"",
            "caller setns(FD, CLONE_NEWPID)",
            "clone3(CLONE_NEWNS|SIGCHLD)",
            "outside setns(OWN, CLONE_NEWPID)",
            "child setns(FD, CLONE_NEWNET)",
        ],
    );
    let shifted = of(
        r#"{"type": "mount"}, {"type": "time"}"#,
        r#""timeOffsets": {"boottime": {"secs": 5, "nanosecs": 7}},"#,
    )
    .unwrap();
    has_in_order(
        &shifted,
        &[
            "caller unshare(CLONE_NEWTIME)",
            "boottime 5 7",
            "clone3(CLONE_NEWNS|SIGCHLD)",
            "outside setns(OWN",
        ],
    );
    let cases = [
        (
            r#"{"type": "mount"}, {"type": "mount"}"#,
            "two of type mount",
        ),
        (
            r#"{"type": "net"}"#,
            "linux.namespaces[0].type: no such value: net",
        ),
        (r#"{"type": "mount", "path": "x"}"#, "not an absolute path"),
        (
            r#"{"type": "pid"}"#,
            "the container's mounts would be the machine's",
        ),
        (
            r#"{"type": "mount"}, {"type": "user"}"#,
            "linux.uidMappings: it is not there",
        ),
    ];
    for (namespaces, want) in cases {
        let said = of(namespaces, "").unwrap_err().to_string();
        assert!(said.contains(want), "{said}");
    }
}
