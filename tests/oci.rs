//! config.json, field by field: a probe inside tells what it really got.

mod attack;
mod fields;
mod hostile;
mod limits;
mod more;
mod net_devices;

use crate::kit::{Ran, Sandbox};

/// The parts of a config.json in which a case differs from the plainest one.
pub(crate) struct Config<'a> {
    /// The script that the container's shell runs.
    pub script: &'a str,
    /// Members of the top object, each followed by a comma.
    pub top: &'a str,
    /// Members of `process`.
    pub process: &'a str,
    /// Entries of `mounts`, each after a comma.
    pub mounts: &'a str,
    /// Members of `linux`.
    pub linux: &'a str,
    /// Entries of `linux.namespaces`.
    pub namespaces: &'a str,
}

const ALL: &str =
    r#"{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}"#;

impl Default for Config<'_> {
    fn default() -> Self {
        Self {
            script: "true",
            top: "",
            process: r#""user": {"uid": 0, "gid": 0},"#,
            mounts: "",
            linux: "",
            namespaces: ALL,
        }
    }
}

impl Config<'_> {
    fn text(&self) -> String {
        let script = self
            .script
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        let Self {
            top,
            process,
            mounts,
            linux,
            namespaces,
            ..
        } = self;
        format!(
            r#"{{"ociVersion": "1.3.0", {top} "root": {{"path": "../r"}},
            "process": {{{process} "args": ["sh", "-c", "{script}"], "cwd": "/", "env": ["PATH=/bin"]}},
            "mounts": [{{"destination": "/proc", "type": "proc"}},
                {{"destination": "/dev", "type": "tmpfs", "options": ["nosuid", "mode=755"]}}{mounts}],
            "linux": {{{linux} "namespaces": [{namespaces}]}}}}"#
        )
    }

    /// Runs it in the sandbox.
    pub(crate) fn run<'t>(&self, t: &'t Sandbox) -> Ran<'t> {
        self.run_by(t, "container run --bundle b")
    }

    /// Runs it by a line of one's own, around the bundle `b`.
    pub(crate) fn run_by<'t>(&self, t: &'t Sandbox, line: &str) -> Ran<'t> {
        if !t.work().join("r").exists() {
            t.root("r");
        }
        t.write("b/config.json", &self.text());
        t.run(line)
    }
}

/// It did not run, and this is why.
fn refused(ran: &Ran, why: &str) {
    assert_eq!(ran.stdout, "", "{ran}");
    assert!(ran.status != 0, "{ran}");
    ran.err_has(why);
}

/// A container that differs by what `with` says does not run, and this is why.
#[allow(clippy::needless_pass_by_value, reason = "a literal at every call")]
fn refuses(t: &Sandbox, with: Config<'_>, why: &str) {
    let config = Config {
        script: "echo ran",
        ..with
    };
    refused(&config.run(t), why);
}

/// Runs a script in a container that differs by what `with` says; gives what it printed.
#[allow(clippy::needless_pass_by_value, reason = "a literal at every call")]
fn inside(t: &Sandbox, script: &str, with: Config<'_>) -> String {
    let config = Config { script, ..with };
    let ran = config.run(t);
    ran.ok();
    ran.stdout.clone()
}

#[test]
fn the_process_is_as_it_is_described() {
    needs!(root, busybox);
    let t = Sandbox::new("oci");
    // What of `process` is given, what is asked inside, and what it must say.
    #[rustfmt::skip]
    let cases = [
        (r#""user": {"uid": 7, "gid": 8, "additionalGids": [8, 9, 10], "umask": 23},"#, "id -u; id -g; id -G; umask", "7\n8\n8 9 10\n0027\n"),
        (r#""user": {"uid": 0, "gid": 0},"#, "id -G; grep -E 'Cap|NoNew' /proc/self/status | tr '\\t' ' ' | tr '\\n' ' '",
            "0\nCapInh: 0000000000000000 CapPrm: 0000000000000000 CapEff: 0000000000000000 CapBnd: 0000000000000000 CapAmb: 0000000000000000 NoNewPrivs: 0 "),
        (r#""noNewPrivileges": true, "capabilities": {"bounding": ["CAP_CHOWN", "CAP_KILL"], "permitted": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"]},"#,
            "grep -E 'Cap(Bnd|Prm)|NoNew' /proc/self/status | tr '\\t' ' '", "CapPrm: 0000000000000001\nCapBnd: 0000000000000021\nNoNewPrivs: 1\n"),
        (r#""user": {"uid": 5, "gid": 5}, "capabilities": {"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]},"#,
            "grep Cap /proc/self/status | cut -f2 | sort -u", "0000000000000020\n"),
        (r#""rlimits": [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 99}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],"#,
            "ulimit -Sn; ulimit -Hn; ulimit -c", "77\n99\n0\n"),
        (r#""oomScoreAdj": 321,"#, "cat /proc/self/oom_score_adj", "321\n"),
        (r#""scheduler": {"policy": "SCHED_BATCH", "nice": 5},"#, "cut -d' ' -f19,41 /proc/self/stat", "5 3\n"),
        (r#""ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 0},"#, "ionice -p $$ | cut -d: -f1", "idle\n"),
    ];
    for (process, script, want) in cases {
        let process = if process.contains("\"user\"") {
            process.to_owned()
        } else {
            format!("{process} \"user\": {{\"uid\": 0, \"gid\": 0}},")
        };
        let said = inside(
            &t,
            script,
            Config {
                process: &process,
                ..Config::default()
            },
        );
        assert_eq!(said, want, "{process}");
    }
}

#[test]
fn the_tree_is_as_it_is_described() {
    needs!(root, busybox);
    let t = Sandbox::new("oci");
    t.root("r");
    t.run("mkdir -p r/old/sub v/sub; echo a >r/old/f; echo b >r/old/sub/g; chown 5:6 r/old/f; ln -s f r/old/l; ln -s old r/linked; echo v >v/f; echo w >v/sub/h").ok();
    let v = t.work().join("v").display().to_string();
    #[rustfmt::skip]
    let cases: Vec<(String, &str, &str)> = vec![
        (r#", {"destination": "/new/deep", "type": "tmpfs", "source": "x", "options": ["size=64k", "mode=711", "noexec"]}"#.into(),
            "grep /new/deep /proc/self/mountinfo | grep -c noexec.*size=64k; stat -c %a /new/deep", "1\n711\n"),
        (r#", {"destination": "/old", "type": "tmpfs", "options": ["tmpcopyup"]}"#.into(),
            "cat /old/f /old/sub/g /old/l; stat -c %u:%g /old/f; echo x >/old/f", "a\nb\na\n5:6\n"),
        (format!(r#", {{"destination": "/m", "type": "bind", "source": "{v}", "options": ["rbind", "ro"]}}"#), "cat /m/f; touch /m/x 2>&1", "v\ntouch: /m/x: Read-only file system\n"),
        (r#", {"destination": "/one", "type": "bind", "source": "../v/f", "options": ["bind", "rw"]}"#.into(), "cat /one", "v\n"),
        (r#", {"destination": "/linked/new", "type": "bind", "source": "../v/f", "options": ["bind", "rw"]}"#.into(), "cat /old/new", "v\n"),
        (format!(r#", {{"destination": "/m", "source": "{v}", "options": ["rbind", "rro", "rnoexec", "nosuid"]}}"#), "grep -c ' /m ro,nosuid,noexec' /proc/self/mountinfo", "1\n"),
        (format!(r#", {{"destination": "/m", "type": "none", "source": "{v}", "options": ["bind", "rshared"]}}"#), "grep ' /m ' /proc/self/mountinfo | grep -c shared:", "1\n"),
        (format!(r#", {{"destination": "/m", "type": "none", "source": "{v}", "options": ["bind", "idmap"], "uidMappings": [{{"containerID": 0, "hostID": 1234, "size": 9}}],
            "gidMappings": [{{"containerID": 0, "hostID": 4321, "size": 9}}]}}"#), "stat -c %u:%g /m/f", "1234:4321\n"),
    ];
    for (mounts, script, want) in cases {
        let config = Config {
            script,
            mounts: &mounts,
            ..Config::default()
        };
        let ran = config.run(&t);
        assert_eq!(ran.stdout, want, "{mounts}\n{ran}");
    }
    let readonly = Config {
        script: "touch /x 2>&1; echo y >/dev/null; pwd",
        ..Config::default()
    };
    t.write(
        "b/config.json",
        &readonly
            .text()
            .replace(
                r#"{"path": "../r"}"#,
                r#"{"path": "../r", "readonly": true}"#,
            )
            .replace(r#""cwd": "/""#, r#""cwd": "/made/here""#),
    );
    t.run("container run -b b")
        .out("touch: /x: Read-only file system\n/made/here\n");
}

#[test]
fn linux_is_as_it_is_described() {
    needs!(root, busybox);
    let t = Sandbox::new("oci");
    #[rustfmt::skip]
    let cases = [
        ("\"hostname\": \"h\", \"domainname\": \"d\",", "", "hostname; cat /proc/sys/kernel/domainname", "h\nd\n"),
        ("", r#""sysctl": {"net.core.somaxconn": "77", "kernel.shm_rmid_forced": "1"},"#, "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shm_rmid_forced", "77\n1\n"),
        ("", r#""maskedPaths": ["/proc/meminfo", "/proc/irq", "/nowhere"], "readonlyPaths": ["/proc/sys"],"#,
            "wc -c </proc/meminfo; ls /proc/irq | wc -l; echo 1 >/proc/sys/net/ipv4/ip_forward", "0\n0\n"),
        ("", r#""devices": [{"type": "c", "path": "/dev/d/x", "major": 1, "minor": 5, "fileMode": 416, "uid": 0, "gid": 4}, {"type": "p", "path": "/pipe"}],"#,
            "stat -c '%a %u:%g %t:%T' /dev/d/x; head -c 2 /dev/d/x | wc -c; test -p /pipe && echo pipe", "640 0:4 1:5\n2\npipe\n"),
        ("", r#""personality": {"domain": "LINUX32"},"#, "uname -m", "i686\n"),
        ("", r#""rootfsPropagation": "shared","#, "head -1 /proc/self/mountinfo | grep -c shared:", "1\n"),
        ("", r#""seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 27}]},"#,
            "mkdir /x 2>&1", "mkdir: can't create directory '/x': File too large\n"),
        ("", r#""seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}]},"#,
            "mkdir /x; echo $?", "159\n"),
        ("", r#""memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0"},"#, "grep -c 'bind:0' /proc/self/numa_maps | grep -vc '^0$'", "1\n"),
    ];
    for (top, linux, script, want) in cases {
        let config = Config {
            script,
            top,
            linux,
            ..Config::default()
        };
        let ran = config.run(&t);
        assert_eq!(ran.stdout, want, "{linux}\n{ran}");
    }
}

#[test]
fn namespaces_are_joined_and_clocks_shifted() {
    needs!(root, busybox, timens);
    let t = Sandbox::new("oci");
    let links = "for n in pid net ipc uts mnt user; do readlink /proc/self/ns/$n; done";
    let line = r#"unshare -mpnif --mount-proc sleep 100 & sleep 0.3; P=$(cat /proc/$!/task/$!/children); P=${P% }
        for n in pid net ipc; do readlink /proc/$P/ns/$n; done >want; sed -i "s/PID/$P/" b/config.json
        container run -b b >got; kill -9 $P; wait; head -3 got | diff want - && echo same"#;
    let joined = Config {
        script: links,
        namespaces: r#"{"type": "mount"}, {"type": "uts"}, {"type": "pid", "path": "/proc/PID/ns/pid"}, {"type": "network", "path": "/proc/PID/ns/net"}, {"type": "ipc", "path": "/proc/PID/ns/ipc"}"#,
        ..Config::default()
    };
    joined
        .run_by(&t, &line.replace("s/PID/$P/\"", "s/PID/$P/g\""))
        .out("same\n");
    let shifted = Config {
        script: "cut -d. -f1 /proc/uptime",
        linux: r#""timeOffsets": {"boottime": {"secs": 1000000}, "monotonic": {"secs": 5, "nanosecs": 7}},"#,
        namespaces: r#"{"type": "mount"}, {"type": "pid"}, {"type": "time"}"#,
        ..Config::default()
    };
    let ran = shifted.run(&t);
    ran.ok();
    let up: u64 = ran.stdout.trim().parse().unwrap();
    assert!(up > 1_000_000, "{ran}");
    // A namespace of another kind is refused.
    let wrong = Config {
        namespaces: r#"{"type": "mount"}, {"type": "network", "path": "/proc/self/ns/uts"}"#,
        ..Config::default()
    };
    assert!(wrong.run(&t).status != 0);
}

#[test]
fn a_user_namespace_has_the_ids_that_are_mapped() {
    needs!(root, busybox);
    let t = Sandbox::new("oci");
    t.root("r");
    t.run("mkdir v r/m; chown 100000:200000 v; chmod 755 . r")
        .ok();
    let v = t.work().join("v").display().to_string();
    let mounts = format!(
        r#", {{"destination": "/m", "type": "bind", "source": "{v}", "options": ["rbind"]}}"#
    );
    let maps = r#""uidMappings": [{"containerID": 0, "hostID": 100000, "size": 1000}], "gidMappings": [{"containerID": 0, "hostID": 200000, "size": 1000}],"#;
    let config = Config {
        script: "id -u; cat /proc/self/uid_map | tr -s ' '; touch /m/x; cat /proc/self/oom_score_adj; echo 1 >/dev/null; stat -c %t:%T /dev/null; id -G",
        process: r#""user": {"uid": 0, "gid": 0, "additionalGids": [0, 3]}, "oomScoreAdj": 55,"#,
        mounts: &mounts,
        linux: maps,
        namespaces: &format!("{ALL}, {{\"type\": \"user\"}}"),
        ..Config::default()
    };
    config
        .run_by(&t, "container run -b b && stat -c %u:%g v/x")
        .out("0\n 0 100000 1000\n55\n1:3\n0 3\n100000:200000\n");
}

#[test]
fn hooks_run_in_order_and_read_the_state() {
    needs!(root, busybox, controller("memory"));
    let t = Sandbox::new("oci");
    t.root("r");
    let log = t.work().join("log").display().to_string();
    let hook = |kind: &str| {
        format!(
            r#""{kind}": [{{"path": "/bin/sh", "args": ["sh", "-c", "s=$(cat); echo {kind} $A $(echo $s | grep -o 'status\":\"[a-z]*') $(hostname) >>{log}"], "env": ["A=b", "PATH=/bin:/usr/bin"]}}]"#
        )
    };
    let inner = r#""startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "cat >/state; hostname >>/state"]}]"#;
    let top = format!(
        r#""hostname": "inside", "annotations": {{"k": "v"}}, "hooks": {{{}, {}, {}, {inner}}},"#,
        hook("prestart"),
        hook("createRuntime"),
        hook("createContainer"),
    );
    let config = Config {
        script: "cat /state; echo program",
        top: &top,
        ..Config::default()
    };
    let ran = config.run_by(
        &t,
        &format!("container run -b b; sed \"s/$(hostname)/outside/\" {log}"),
    );
    ran.ok();
    assert!(
        ran.stdout.contains(r#""status":"created","pid":1,"#)
            && ran.stdout.contains(r#""annotations":{"k":"v"}}inside"#),
        "{ran}"
    );
    ran.out_in_order(&[
        "program\n",
        "prestart b status\":\"creating outside\n",
        "createRuntime b status\":\"creating outside\n",
        "createContainer b status\":\"creating inside\n",
    ]);
    // Those that follow the start and the end run too, and are told its name.
    let top = format!(
        r#""hooks": {{{}, {}}},"#,
        hook("poststart"),
        hook("poststop")
    );
    let config = Config {
        script: "echo program",
        top: &top,
        ..Config::default()
    };
    let line = format!("rm {log}; container run -b b; sed \"s/$(hostname)/outside/\" {log}");
    config.run_by(&t, &line).ok().out(
        "program\npoststart b status\":\"running outside\npoststop b status\":\"stopped outside\n",
    );
    // One that fails, is not there, or takes too long ends it.
    for (hook, want) in [
        (
            r#"{"path": "/bin/false"}"#,
            "error running createRuntime hook #0",
        ),
        (r#"{"path": "/nowhere"}"#, "No such file or directory"),
        (
            r#"{"path": "/bin/sleep", "args": ["sleep", "9"], "timeout": 1}"#,
            "longer than 1 s",
        ),
    ] {
        let top = format!(r#""hooks": {{"createRuntime": [{hook}]}},"#);
        let ran = Config {
            top: &top,
            ..Config::default()
        }
        .run(&t);
        refused(&ran, want);
    }
}

#[test]
fn what_this_machine_has_not_is_an_error() {
    needs!(root, busybox);
    let t = Sandbox::new("oci");
    let cases = [
        (r#""apparmorProfile": "x","#, "", "AppArmor"),
        (r#""selinuxLabel": "a:b:c","#, "", "process.selinuxLabel"),
        ("", r#""intelRdt": {"closID": "x"},"#, "linux.intelRdt"),
        ("", r#""mountLabel": "x","#, "linux.mountLabel"),
        (
            "",
            r#""personality": {"domain": "LINUX", "flags": ["X"]},"#,
            "linux.personality.flags[0]",
        ),
        (
            "",
            r#""memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_X"]},"#,
            "linux.memoryPolicy.flags",
        ),
        (
            "",
            r#""memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]},"#,
            "memory",
        ),
        (
            "",
            r#""resources": {"unified": {"nosuch.file": "1"}},"#,
            "nosuch",
        ),
    ];
    for (process, linux, want) in cases {
        let process = format!("{process} \"user\": {{\"uid\": 0, \"gid\": 0}},");
        let with = Config {
            process: &process,
            linux,
            ..Config::default()
        };
        refuses(&t, with, want);
    }
}

/// Namespaces that are made belong to the user namespace that is joined: its root sets the host name, mounts a procfs,
/// brings lo up.
#[test]
fn a_user_namespace_is_joined_and_others_are_made_in_it() {
    needs!(root, busybox);
    let t = Sandbox::new("oci");
    t.root("r");
    t.run("chmod 755 . r").ok();
    let user = r#"{"type": "user", "path": "/proc/PID/ns/user"}"#;
    let maps = r#""uidMappings": [{"containerID": 0, "hostID": 100000, "size": 1000}], "gidMappings": [{"containerID": 0, "hostID": 200000, "size": 1000}],"#;
    let caps = r#"["CAP_SYS_ADMIN", "CAP_NET_ADMIN"]"#;
    let process = format!(
        r#""user": {{"uid": 0, "gid": 0, "additionalGids": [3]}}, "oomScoreAdj": 55, "capabilities": {{"bounding": {caps}, "effective": {caps}, "permitted": {caps}}},"#
    );
    let line = |run: &str| {
        format!(
            "unshare -Un --map-users=0:100000:1000 --map-groups=0:200000:1000 sleep 60 & P=$!; U=$(readlink /proc/self/ns/user)
            n=0; until [ \"$(cat /proc/$P/comm)\" = sleep ] || [ $((n += 1)) = 99 ]; do sleep 0.01; done
            sed -i \"s/PID/$P/g\" b/config.json; readlink /proc/$P/ns/user /proc/$P/ns/net | tr -d '[]' >ns; {run}; kill -9 $P"
        )
    };
    let look = "id -u; id -G; tr -s ' ' </proc/self/uid_map; hostname; cat /proc/self/oom_score_adj; echo $$; readlink /proc/self/ns/user; readlink /proc/self/ns/net
        touch /tmp/x; mount -t tmpfs x /tmp && busybox ip link set lo mtu 1000 && hostname new && hostname";
    let namespaces = format!("{ALL}, {user}");
    let other = maps.replace("100000", "100001");
    let [theirs, ours] = ["/proc/PID/ns/net", "/proc/self/ns/net"].map(|net| {
        let net = format!(r#""network", "path": "{net}""#);
        namespaces.replace(r#""network""#, &net)
    });
    let gone = format!(r#"{ALL}, {{"type": "user", "path": "/proc/self/ns/user"}}"#);
    let config = |linux, namespaces| Config {
        script: look,
        top: r#""hostname": "box","#,
        process: &process,
        linux,
        namespaces,
        ..Config::default()
    };
    t.run("chmod 1777 r/tmp").ok();
    let wanted = "0\n0 3\n 0 100000 1000\nbox\n55\n1\nSAME\nOTHER\nnew\n";
    for linux in ["", maps] {
        let ran = config(linux, &namespaces).run_by(
            &t,
            &line("container run -b b | tr -d '[]' | sed \"s/$(head -1 ns)/SAME/; s/net:.*/OTHER/\"; stat -c %u:%g r/tmp/x; rm r/tmp/x"),
        );
        ran.ok().out(&format!("{wanted}100000:200000\n"));
    }
    // With the network namespace of the same owner, and with one of the machine's.
    for (net, want) in [(&theirs, "1\n"), (&ours, "0\n")] {
        let ran = config("", net).run_by(
            &t,
            &line("container run -b b | tr -d '[]' | grep -c \"$(tail -1 ns)\""),
        );
        ran.out(want);
    }
    let ran = config(&other, &namespaces).run_by(&t, &line("container run -b b"));
    assert_eq!(ran.stdout, "", "{ran}");
    ran.err_has("but both namespace path and non-matching mapping specified")
        .err_has("linux.uidMappings are not those of the namespace: 0 100000 1000");
    // As runc keeps it, and with a program that joins.
    let ran = config(maps, &namespaces).run_by(
        &t,
        &line("sed -i 's/\"id -u.*lo mtu[^\"]*\"/\"sleep 50\"/' b/config.json; R=\"runc --root $PWD/k\"; $R create -b b c </dev/null >log 2>&1; $R start c
            $R exec c id -u; $R exec c readlink /proc/self/ns/user | tr -d '[]' | grep -c \"$(head -1 ns)\"; $R delete -f c; ls k; cat log"),
    );
    ran.out("0\n1\n");
    // What no way leads to is told by who goes between.
    let ran = config("", &gone).run(&t);
    refused(&ran, "reassociate to namespace 'ns/user' failed");
}

/// An ordinary user joins a user namespace of his own, in which groups cannot be chosen.
#[test]
fn an_ordinary_user_joins_his_user_namespace() {
    needs!(root, userns, busybox);
    let t = Sandbox::new("oci");
    let config = Config {
        script: "id -u; readlink /proc/self/ns/user; hostname",
        top: r#""hostname": "box","#,
        namespaces: r#"{"type": "pid"}, {"type": "mount"}, {"type": "uts"}, {"type": "user", "path": "/proc/PID/ns/user"}"#,
        ..Config::default()
    };
    config.run_by(&t, "chown -R 1000:1000 .").ok();
    let line = "unshare -Ur sleep 60 & P=$!; n=0; until [ \"$(cat /proc/$P/comm)\" = sleep ] || [ $((n += 1)) = 99 ]; do sleep 0.01; done
        sed -i \"s/PID/$P/\" b/config.json; container run -b b | tr -d '[]' | sed \"s/$(readlink /proc/$P/ns/user | tr -d '[]')/SAME/\"; kill -9 $P";
    t.cmd(line).user(1000).run().out("0\nSAME\nbox\n");
}

/// What the specification forbids, and what makes no container.
#[test]
fn what_is_no_container_is_refused() {
    needs!(root, busybox);
    let t = Sandbox::new("oci");
    t.root("r");
    t.write("r/plain", "");
    let config = Config {
        script: "echo ran",
        ..Config::default()
    };
    let text = config.text();
    #[rustfmt::skip]
    let cases = [
        (r#""ociVersion": "1.3.0","#, "", "ociVersion"),
        (r#""ociVersion": "1.3.0""#, r#""ociVersion": "2.0.0""#, "ociVersion"),
        (r#""ociVersion": "1.3.0""#, r#""ociVersion": 1"#, "ociVersion"),
        (r#""root": {"path": "../r"},"#, "", "root.path"),
        (r#""path": "../r""#, r#""path": "../nowhere""#, "nowhere"),
        (r#""cwd": "/""#, r#""cwd": "tmp""#, "process.cwd"),
        (r#""args": ["#, r#""args": [], "x": ["#, "process.args"),
        (r#""type": "pid""#, r#""type": "net""#, "linux.namespaces[0].type: no such value: net"),
        (r#""type": "pid""#, r#""type": "uts""#, "there are two of type uts"),
        (r#""type": "pid""#, r#""type": "pid", "path": "proc/1/ns/pid""#, "linux.namespaces[0].path: not an absolute path"),
        (r#", {"type": "mount"}"#, "", "the container's mounts would be the machine's"),
        (r#""linux": {"#, r#""linux": {"uidMappings": [{"containerID": 0, "hostID": 0, "size": 1}], "#, "linux.uidMappings"),
        (r#""linux": {"#, r#""linux": {"timeOffsets": {"boottime": {"secs": 1}}, "#, "linux.timeOffsets"),
        (r#""linux": {"#, r#""linux": {"rootfsPropagation": "x", "#, "linux.rootfsPropagation"),
        (r#""linux": {"#, r#""linux": {"sysctl": {"vm.swappiness": "1"}, "#, "vm.swappiness"),
        (r#""linux": {"#, r#""linux": {"devices": [{"type": "x", "path": "/d"}], "#, "linux.devices[0].type"),
        (r#""linux": {"#, r#""linux": {"devices": [{"type": "c", "path": "d", "major": 1, "minor": 3}], "#, "linux.devices[0].path"),
        (r#""linux": {"#, r#""linux": {"devices": [{"type": "c", "path": "/plain", "major": 1, "minor": 3}], "#, "/plain"),
        (r#""linux": {"#, r#""hooks": {"poststop": [{"path": "bin/true"}]}, "linux": {"#, "hooks.poststop[0].path: not an absolute path"),
        (r#""linux": {"#, r#""hooks": {"prestart": [{"path": "/bin/true", "timeout": 0}]}, "linux": {"#, "hooks.prestart[0].timeout"),
        (r#""linux": {"#, r#""mounts": [], "linux": {"#, "the key 'mounts' stands twice"),
        (r#""destination": "/proc""#, r#""destination": """#, "mount"),
        (r#""linux": {"#, r#""linux": {"x": "\u0000", "#, ""),
    ];
    for (from, to, why) in cases {
        assert!(text.contains(from), "{from}");
        t.write("b/config.json", &text.replacen(from, to, 1));
        let ran = t.run("container run -b b");
        match why {
            // Of a field that nobody knows nothing is asked, as with runc.
            "" => drop(ran.ok().out("ran\n")),
            why => refused(&ran, why),
        }
    }
    let devices = r#""devices": [{"type": "u", "path": "/dev/u", "major": 1, "minor": 3}, {"type": "b", "path": "/b", "major": 7, "minor": 5, "fileMode": 384}],"#;
    let with = Config {
        linux: devices,
        ..Config::default()
    };
    assert_eq!(
        inside(&t, "stat -c '%F %t:%T %a' /dev/u /b", with),
        "character special file 1:3 666\nblock special file 7:5 600\n"
    );
}
