//! The script of a container runs the same container: what is seen inside is compared.

use super::sandbox;
use crate::kit::Sandbox;

/// Everything that could differ, printed from inside.
const LOOK: &str = "busybox id; hostname; pwd; umask; busybox env | busybox sort; ulimit -a; ulimit -Ha
    cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax
    grep -e ^Seccomp -e ^Cap -e ^NoNew -e ^Uid -e ^Gid -e ^Groups -e ^SigI -e ^SigB /proc/self/status; ls /proc/self/fd
    for ns in /proc/self/ns/*; do readlink $ns; done; cat /proc/self/oom_score_adj; busybox stat -c '%n %A %u:%g %t:%T' /dev /dev/*
    cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; busybox ip -o a; busybox tty
    cat /proc/self/cgroup /proc/1/comm; busybox cut -d' ' -f5-7 /proc/self/stat; cat /proc/self/mountinfo";

/// Flags of the containers that are compared.
const FLAGS: [&str; 20] = [
    "--rootfs r",
    "--rootfs host",
    "--rootfs r --read-only",
    "--rootfs host --read-only",
    "--rootfs r -v ./vol:/mnt -v ./vol:/tmp:ro",
    "--rootfs r --user ann",
    "--rootfs r --user 1000:63 --read-only",
    "--rootfs r --cap-add SYS_ADMIN --cap-drop CHOWN",
    "--rootfs r --cap-drop ALL",
    "--rootfs r --init -e A='b c' -e \"Q=it's\"",
    "--rootfs r -w /etc -i",
    "--rootfs r --user 7 -w /made/here --cap-add ALL",
    "--rootfs r --ulimit nofile=99:100 --ulimit stack=65536 --shm-size 8m",
    "--rootfs r --tmpfs /tmp:size=1m,mode=711 --mount type=tmpfs,target=/mnt",
    "--rootfs r --mount type=bind,source=vol,target=/mnt,readonly --mount type=bind,source=vol/f,target=/etc/f",
    "--rootfs r --security-opt seccomp=unconfined",
    "--rootfs r --allow-new-privileges --cap-add NET_RAW --init",
    "--rootfs r --network none --env-file vol/env",
    "--rootfs host --cgroupns host --user 1000",
    "--rootfs r --sysctl net.ipv4.ip_forward=1 --sysctl kernel.msgmax=4096",
];

/// Of those that only root may have.
const OF_ROOT: [&str; 5] = [
    "--rootfs r --ipc host",
    "--rootfs r --network host",
    "--rootfs r --group-add 63 --group-add 7 -u 1000",
    "--rootfs r --memory 64M --pids 50 --cpuset 0 --cpus 0.5",
    "--rootfs host --memory 64M --read-only --tmpfs /tmp --init",
];

/// Bundles that are compared: members of `process`, entries of `mounts` after a comma, members of `linux`, namespaces
/// after a comma.
#[rustfmt::skip]
const BUNDLES: [(&str, &str, &str, &str); 8] = [
    (r#""oomScoreAdj": 321, "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 99}],"#, "", "", ""),
    (r#""capabilities": {"bounding": ["CAP_KILL", "CAP_CHOWN"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"]},"#, "", "", ""),
    ("", "", r#""devices": [{"type": "c", "path": "/dev/d/x", "major": 1, "minor": 5, "fileMode": 416, "uid": 0, "gid": 4}, {"type": "p", "path": "/pipe"}],"#, ""),
    ("", r#", {"destination": "/mnt", "type": "bind", "source": "../vol", "options": ["rbind", "rro", "rnoexec", "nosuid"]}"#, "", ""),
    ("", r#", {"destination": "/mnt", "type": "tmpfs", "options": ["size=64k", "mode=711", "noexec"]}, {"destination": "/etc", "type": "tmpfs", "options": ["tmpcopyup"]}"#, "", ""),
    ("", r#", {"destination": "/dev/pts", "type": "devpts", "options": ["newinstance", "gid=5", "ptmxmode=0666"]}, {"destination": "/dev/mqueue", "type": "mqueue"}"#, "", ""),
    ("", r#", {"destination": "/sys", "type": "sysfs", "options": ["ro", "nosuid"]}, {"destination": "/mnt", "type": "none", "source": "../vol", "options": ["bind", "rshared"]}"#, r#""readonlyPaths": ["/proc/sys"], "maskedPaths": ["/proc/keys", "/proc/bus"],"#, ""),
    ("", "", r#""uidMappings": [{"containerID": 0, "hostID": 100000, "size": 1000}], "gidMappings": [{"containerID": 0, "hostID": 200000, "size": 1000}], "timeOffsets": {"monotonic": {"secs": 1000}},"#, r#", {"type": "user"}, {"type": "time"}"#),
];

/// What was seen, with what differs from run to run made equal: numbers of mounts, devices and namespaces.
fn plain(seen: &str, host: &str) -> String {
    let mut points: Vec<(&str, &str)> = Vec::new();
    let (mut out, mut mounts) = (Vec::new(), Vec::new());
    for line in seen.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let is_mount = fields.len() > 8 && fields.contains(&"-") && fields[2].contains(':');
        let is_namespace = line.ends_with(']') && line.contains(":[");
        if is_mount {
            // In the order of their numbers, which is that in which they were made, not that in which they were put.
            points.push((fields[0], fields[4]));
            mounts.push((fields[1], fields[3..].join(" ")));
        } else if is_namespace {
            let shared = if host.lines().any(|theirs| theirs == line) {
                "shared"
            } else {
                "fresh"
            };
            out.push(format!("{} {shared}", line.split(':').next().unwrap()));
        } else {
            // A group is called by the number of the process that makes it.
            out.push(line.split("isobox-").next().unwrap().to_owned());
        }
    }
    let on = |id: &str| {
        points
            .iter()
            .find(|known| known.0 == id)
            .map_or("?", |known| known.1)
    };
    let mut shown: Vec<String> = mounts
        .iter()
        .map(|(parent, mount)| format!("{} {mount}", on(parent)))
        .collect();
    shown.sort();
    out.extend(shown);
    out.join("\n")
}

fn compare(t: &Sandbox, user: Option<u32>, flags: &str) {
    compare_args(t, user, &format!("--hostname box {flags} sh -c \"$LOOK\""));
}

fn compare_args(t: &Sandbox, user: Option<u32>, args: &str) {
    let cmd = |line: &str| {
        let cmd = t.cmd(line);
        match user {
            Some(id) => cmd.user(id),
            None => cmd,
        }
    };
    let host = cmd("for ns in /proc/self/ns/*; do readlink $ns; done")
        .run()
        .stdout;
    let run = cmd(&format!("container run {args}"))
        .env("LOOK", LOOK)
        .env("LEAK", "1")
        .run();
    run.ok();
    let script = cmd(&format!(
        "container run --script {args} >script; chmod 755 script; sh -n script && ./script"
    ))
    .env("LOOK", LOOK)
    .env("LEAK", "1")
    .run();
    script.ok();
    cmd("rm -rf script r/made").run().ok();
    let (run, script) = (plain(&run.stdout, &host), plain(&script.stdout, &host));
    assert!(run.contains("\n? /"), "no mounts were seen:\n{run}");
    assert!(!run.contains("LEAK"), "our environment leaked:\n{run}");
    if run != script {
        let lines = run.lines().zip(script.lines()).find(|(a, b)| a != b);
        panic!("{args} (user {user:?}) differs at {lines:?}\nrun:\n{run}\nscript:\n{script}");
    }
}

#[test]
fn the_script_runs_the_same_container_as_root() {
    needs!(root, busybox);
    let t = sandbox();
    t.write("vol/f", "").write("vol/env", "A=1\nB=2 3\n");
    for flags in FLAGS.iter().chain(&OF_ROOT) {
        compare(&t, None, flags);
    }
}

/// The same for containers that only a config.json can say.
#[test]
fn the_script_of_a_bundle_runs_the_same_container() {
    needs!(root, busybox, timens);
    let t = sandbox();
    t.write("vol/f", "");
    let look = LOOK.replace('\n', "; ").replace('"', "\\\"");
    for (process, mounts, linux, namespaces) in BUNDLES {
        t.write(
            "b/config.json",
            &format!(
                r#"{{"ociVersion": "1.2.0", "hostname": "box", "root": {{"path": "../r"}},
"process": {{{process} "user": {{"uid": 0, "gid": 0, "umask": 23, "additionalGids": [7]}}, "args": ["sh", "-c", "{look}"], "cwd": "/", "env": ["PATH=/bin"]}},
"mounts": [{{"destination": "/proc", "type": "proc"}}, {{"destination": "/dev", "type": "tmpfs", "options": ["nosuid"]}}{mounts}],
"linux": {{{linux} "namespaces": [{{"type": "pid"}}, {{"type": "network"}}, {{"type": "ipc"}}, {{"type": "uts"}}, {{"type": "mount"}}{namespaces}]}}}}"#
            ),
        );
        compare_args(&t, None, "--bundle b");
    }
}

#[test]
fn the_script_runs_the_same_container_as_an_ordinary_user() {
    needs!(root, userns, busybox);
    let t = sandbox();
    t.write("vol/f", "").write("vol/env", "A=1\nB=2 3\n");
    t.run("chmod 777 vol; chown -R 1000:1000 r").ok();
    for flags in FLAGS {
        compare(&t, Some(1000), flags);
    }
}

/// It says every step in words of ours, and nothing is done by printing it.
#[test]
fn a_script_is_only_printed() {
    needs!(root, busybox);
    let t = sandbox();
    t.run(
        "container run --script --rootfs r --pids-limit -1 -it --user ann sh -c 'echo \"$HOME\"'",
    )
    .ok()
    .out_in_order(&[
        "#!/bin/sh\nexec unshare ",
        "--tty=100",
        "\\\n    pivot ",
        "--tty-owner=1000",
        "\\\n    setpriv ",
        "sh -c 'echo \"$HOME\"'\n",
    ])
    .untouched();
    // What no applet says a shell does.
    t.run("container run --script --rootfs r --sysctl net.ipv4.ip_forward=1 true")
        .ok()
        .out_in_order(&["unshare ", "sh -c ", "net/ipv4/ip_forward 1 -- ", "pivot "]);
}

/// The script of a config.json runs the same container; what no applet says is refused, and not left out in silence.
#[test]
fn a_bundle_is_a_script_or_says_why_not() {
    needs!(root, busybox);
    let t = sandbox();
    let bundle = |more: &str, linux: &str| {
        let root = t.work().join("r");
        t.write(
            "b/config.json",
            &format!(
                r#"{{"ociVersion": "1.0.2", "hostname": "box", "root": {{"path": "{}", "readonly": true}}, {more}
  "process": {{"user": {{"uid": 5, "gid": 6}}, "args": ["sh", "-c", "id; hostname; pwd; grep -e Cap -e NoNew /proc/self/status; cat /proc/keys; touch /x"], "cwd": "/etc",
     "env": ["PATH=/bin"], "noNewPrivileges": true, "capabilities": {{"bounding": ["CAP_KILL"]}}}},
  "mounts": [{{"destination": "/proc", "type": "proc"}}, {{"destination": "/dev", "type": "tmpfs"}}],
  "linux": {{{linux} "maskedPaths": ["/proc/keys"], "namespaces": [{{"type": "pid"}}, {{"type": "network"}}, {{"type": "ipc"}}, {{"type": "uts"}}, {{"type": "mount"}}]}}}}"#,
                root.display()
            ),
        );
    };
    bundle("", "");
    t.run("container run --bundle b >run 2>&1; container run --bundle b --script >script; sh script >same 2>&1; cmp run same && cat same")
        .out_in_order(&["uid=5 gid=6", "box\n/etc\n", "Read-only file system"]);
    for (more, linux, what) in [
        (
            r#""hooks": {"prestart": [{"path": "/bin/true"}]},"#,
            "",
            "hooks",
        ),
        (r#""domainname": "d","#, "", "domain name"),
        (
            "",
            r#""personality": {"domain": "LINUX32"},"#,
            "personality",
        ),
        (
            "",
            r#""seccomp": {"defaultAction": "SCMP_ACT_ALLOW"},"#,
            "system calls",
        ),
    ] {
        bundle(more, linux);
        t.run("container run --bundle b --script")
            .status(125)
            .err_has("no script can say")
            .err_has(what);
    }
}
