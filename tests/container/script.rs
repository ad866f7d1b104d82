//! The script of a container runs the same container: what is seen inside is compared.

use super::sandbox;
use crate::kit::Sandbox;

/// Everything that could differ, printed from inside.
const LOOK: &str = "busybox id; hostname; pwd; umask; busybox env | busybox sort; ulimit -a; ulimit -Ha
    grep -e ^Cap -e ^NoNew -e ^Uid -e ^Gid -e ^Groups -e ^SigI -e ^SigB /proc/self/status; ls /proc/self/fd
    for ns in /proc/self/ns/*; do readlink $ns; done; cat /proc/self/oom_score_adj; ls -la /dev | busybox cut -c1-60
    cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; busybox ip -o a; busybox tty
    cat /proc/self/cgroup /proc/1/comm; busybox cut -d' ' -f5-7 /proc/self/stat; cat /proc/self/mountinfo";

/// Flags of the containers that are compared.
const FLAGS: [&str; 12] = [
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
];

/// What was seen, with what differs from run to run made equal: numbers of mounts, devices and namespaces.
fn plain(seen: &str, host: &str) -> String {
    let mut ids: Vec<&str> = Vec::new();
    let mut out = Vec::new();
    for line in seen.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let is_mount = fields.len() > 8 && fields.contains(&"-") && fields[2].contains(':');
        let is_namespace = line.ends_with(']') && line.contains(":[");
        if is_mount {
            let number = |id: &str| ids.iter().position(|known| *known == id);
            let parent = number(fields[1]).map_or_else(|| "?".into(), |at| at.to_string());
            ids.push(fields[0]);
            let rest = fields[3..].join(" ");
            out.push(format!("{} {parent} {rest}", ids.len() - 1));
        } else if is_namespace {
            let shared = if host.lines().any(|theirs| theirs == line) {
                "shared"
            } else {
                "fresh"
            };
            out.push(format!("{} {shared}", line.split(':').next().unwrap()));
        } else {
            out.push(line.to_owned());
        }
    }
    out.join("\n")
}

fn compare(t: &Sandbox, user: Option<u32>, flags: &str) {
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
    let args = format!("--hostname box {flags}");
    let run = cmd(&format!("container run {args} sh -c \"$LOOK\""))
        .env("LOOK", LOOK)
        .env("LEAK", "1")
        .run();
    run.ok();
    let script = cmd(&format!("container run --script {args} sh -c \"$LOOK\" >script; chmod 755 script; sh -n script && ./script"))
        .env("LOOK", LOOK)
        .env("LEAK", "1")
        .run();
    script.ok();
    cmd("rm -rf script r/made").run().ok();
    let (run, script) = (plain(&run.stdout, &host), plain(&script.stdout, &host));
    assert!(
        run.contains("\n0 ? / / ") || run.contains("\n0 ? "),
        "no mounts were seen:\n{run}"
    );
    assert!(!run.contains("LEAK"), "our environment leaked:\n{run}");
    if run != script {
        let lines = run.lines().zip(script.lines()).find(|(a, b)| a != b);
        panic!("{flags} (user {user:?}) differs at {lines:?}\nrun:\n{run}\nscript:\n{script}");
    }
}

#[test]
fn the_script_runs_the_same_container_as_root() {
    needs!(root, busybox);
    let t = sandbox();
    t.write("vol/f", "");
    for flags in FLAGS {
        compare(&t, None, flags);
    }
}

#[test]
fn the_script_runs_the_same_container_as_an_ordinary_user() {
    needs!(root, userns, busybox);
    let t = sandbox();
    t.write("vol/f", "");
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
    t.run("container run --script --rootfs r -it --user ann sh -c 'echo \"$HOME\"'")
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
        ("", r#""sysctl": {"kernel.msgmax": "4096"},"#, "sysctl"),
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
