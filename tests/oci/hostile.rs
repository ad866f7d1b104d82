//! Hostile roots of bundles (security list, 1A), aimed at a canary beside them; each attack is first shown to hit who
//! does the same naively, or Debian's runc.

use super::{ALL, Config, refuses};
use crate::kit::Sandbox;

/// A root `r`, and a tree beside it that must stay as it is; `look` prints all there is to see of it.
fn sandbox() -> Sandbox {
    let t = Sandbox::new("hostile");
    t.root("r");
    t.run("mkdir canary canary/pts; echo sings >canary/file; echo x >canary/ptmx; echo y >canary/null; chmod -R 755 .")
        .ok();
    t
}

/// All there is to see of the canary.
fn canary(t: &Sandbox) -> String {
    t.run("cd canary; find . | sort | xargs stat -c '%n %A %u:%g %s %i %Y'; cat file ptmx null")
        .stdout
        .clone()
}

/// T-FS-06, 07, 08, 09 (CVE-2025-52565, CVE-2026-88264, CVE-2026-88265, CVE-2026-41579): a bundle without a `/dev` of
/// its own, whose root has links there, by run and by create and start, with a terminal and without.
#[test]
fn a_root_whose_dev_leads_out() {
    needs!(root, busybox, host("runc"), controller("memory"));
    let t = sandbox();
    let before = canary(&t);
    let bundle = |terminal: bool| {
        format!(
            r#"{{"ociVersion": "1.0.2", "root": {{"path": "{}/r"}}, "process": {{"terminal": {terminal}, "user": {{"uid": 0, "gid": 0}},
            "args": ["true"], "cwd": "/", "env": ["PATH=/bin"]}}, "mounts": [{{"destination": "/proc", "type": "proc"}}],
            "linux": {{"cgroupsPath": "/{}/c", "maskedPaths": ["/proc/kcore"], "namespaces": [{ALL}]}}}}"#,
            t.work().display(),
            t.id()
        )
    };
    let links = [
        "rmdir r/dev; ln -s $PWD/canary r/dev",
        "rmdir r/dev; ln -s ../canary r/dev",
        "ln -s $PWD/canary/file r/dev/null",
        "ln -s $PWD/canary/new r/dev/console",
        "ln -s $PWD/canary r/dev/pts; ln -s $PWD/canary/file r/dev/ptmx",
        "ln -s $PWD/canary r/dev/shm; ln -s $PWD/canary/new r/dev/tty",
    ];
    for prepare in links {
        t.run(&format!("rm -rf r/dev; mkdir r/dev; {prepare}")).ok();
        for terminal in [false, true] {
            t.write("b/config.json", &bundle(terminal));
            let run = "container run -b b <$IN >out 2>&1; cat out";
            let made = "runc --root $PWD/k create --console-socket $PWD/nosocket -b b c >out 2>&1 && runc --root $PWD/k start c; runc --root $PWD/k delete -f c; cat out";
            let plain = "runc --root $PWD/k create -b b c >out 2>&1 && runc --root $PWD/k start c; runc --root $PWD/k delete -f c; cat out";
            for line in [run, made, plain] {
                let _ = t.run(
                    &format!(
                        "IN=/dev/null; cgexec --rm -g memory:{} sh -c '{line}'",
                        t.id()
                    )
                    .replace("$IN", "/dev/null"),
                );
                assert_eq!(canary(&t), before, "{prepare}, terminal {terminal}: {line}");
            }
        }
    }
    // The control: Debian's runc takes the host's directory for the container's /dev, and makes it so.
    t.run("rm -rf r/dev; ln -s $PWD/canary r/dev; rm -rf out k")
        .ok();
    t.write("b/config.json", &bundle(false));
    let _ = t.run(&format!(
        "cgexec --rm -g memory:{0} /usr/sbin/runc --root $PWD/t run -b b {0}; find /sys/fs/cgroup -mindepth 2 -depth -type d -path '*/{0}' -not -path '*/memory/*' -exec rmdir {{}} + 2>/dev/null",
        t.id()
    ));
    assert_ne!(
        canary(&t),
        before,
        "the attack does not even work on runc 1.1"
    );
}

/// T-FS-10 (CVE-2026-115521): a root that is to be read-only is, whatever it ships in the place of `/proc/self/fd`.
#[test]
fn a_read_only_root_with_a_proc_of_its_own() {
    needs!(root, busybox);
    let t = sandbox();
    t.run("mkdir -p r/proc/self/fd r/proc/thread-self/fd; for n in 3 4 5 6 7 8 9 10; do ln -s /tmp r/proc/self/fd/$n; echo x >r/proc/thread-self/fd/$n; done")
        .ok();
    let touch = Config {
        script: "touch /x /tmp/x /etc/x; grep -c ' / / ro' /proc/self/mountinfo; grep -c ' / ro' /proc/self/mountinfo",
        ..Config::default()
    };
    let make_read_only =
        r#"sed -i 's,{"path": "../r"},{"path": "../r"\, "readonly": true},' b/config.json; "#;
    for proc in [
        "",
        "sed -i 's,{\"destination\": \"/proc\"\\, \"type\": \"proc\"}\\,,,' b/config.json; ",
    ] {
        let ran = touch.run_by(&t, &format!("{make_read_only}{proc}container run -b b"));
        for path in ["/x", "/tmp/x", "/etc/x"] {
            ran.err_has(&format!("touch: {path}: Read-only file system"));
        }
    }
    // The control: the same files can be made where nobody asked for that.
    touch.run_by(&t, "container run -b b").err("");
}

/// T-FS-21 (CVE-2025-52881, CVE-2025-62596): what is written below `/proc` for the container goes to the kernel and not
/// to what the root has there.
#[test]
fn settings_are_not_written_into_the_root() {
    needs!(root, busybox);
    let t = sandbox();
    let before = canary(&t);
    t.run("mkdir -p r/proc/sys/net/core r/proc/self/attr; ln -s $PWD/canary/file r/proc/sys/net/core/somaxconn; ln -s $PWD/canary/file r/proc/self/oom_score_adj; ln -s $PWD/canary/file r/proc/self/attr/exec")
        .ok();
    let config = Config {
        script: "cat /proc/sys/net/core/somaxconn /proc/self/oom_score_adj",
        process: r#""user": {"uid": 0, "gid": 0}, "oomScoreAdj": 321,"#,
        linux: r#""sysctl": {"net.core.somaxconn": "77"},"#,
        ..Config::default()
    };
    config.run(&t).out("77\n321\n");
    assert_eq!(canary(&t), before);
    // Without a /proc of its own the container has none to be written to; the program sees that of the root.
    let line = "sed -i 's,{\"destination\": \"/proc\"\\, \"type\": \"proc\"}\\,,,' b/config.json; container run -b b; true";
    let _ = config.run_by(&t, line);
    assert_eq!(canary(&t), before);
    // The control: who goes by the path in the root writes to the canary.
    t.run("echo 77 >r/proc/sys/net/core/somaxconn").ok();
    assert_ne!(canary(&t), before);
}

/// T-FS-16, 20 (CVE-2019-14271, CVE-2022-1227, CVE-2026-40226): nothing of the root or of the working directory is
/// executed or read for us but what has to be, whatever it is called.
#[test]
fn nothing_of_the_root_is_ours() {
    needs!(root, busybox, host("strace"));
    let t = sandbox();
    t.write("r/etc/passwd", "ann:x:7:8::/:/bin/sh\n")
        .write("r/etc/group", "ann:x:8:\n")
        .write("r/etc/nsswitch.conf", "passwd: evil\n")
        .write("r/evil", "#!/bin/sh\necho evil >/tmp/evil\n");
    for place in ["", "r/", "b/"] {
        for name in [
            "container.toml",
            "r.nspawn",
            "config",
            "settings.json",
            ".containerenv",
            "container.json",
        ] {
            t.write(&format!("{place}{name}"), "evil");
        }
    }
    t.run("mkdir -p r/usr/bin r/lib; for n in xz zstd unpigz gzip tar nsenter newuidmap newgidmap mount iptables getent sh isobox container; do cp r/evil r/usr/bin/$n; chmod 755 r/usr/bin/$n; done; cp r/evil r/lib/libnss_evil.so.2")
        .ok();
    let traced = "strace -f -qq -e trace=execve,execveat,open,openat,openat2,readlink -o";
    // strace ends when all that it follows has.
    t.run(&format!(
        "export ISOBOX_ROOT=$PWD/kept; echo x >f; {traced} trace1 container run -d --name web -u ann --rootfs r sleep 1000 >/dev/null & run=$!
         until container exec web true 2>/dev/null; do sleep 0.05; done; {traced} trace2 container exec -u ann:ann web true; {traced} trace3 container cp f web:/tmp
         {traced} trace4 container cp web:/etc/passwd got; {traced} trace5 container stop -t 0 web; wait $run; container rm web; rm -rf kept; test ! -e r/tmp/evil"
    ))
    .ok()
    .out("web\nweb\n");
    let found = t.run(
        "cat trace? >all; grep -c execve all; grep execve all | grep -v -e '/bin/container\"' -e AT_EMPTY_PATH -e '\"/proc/self/exe\", ..isobox' -e '/sleep\"' -e '/true\"' -e resumed
         grep -e nspawn -e toml -e '\"config\"' -e settings -e containerenv -e container.json -e nsswitch -e libnss -e evil -e '/usr/bin/[xzung]' -e bin/tar all; true",
    );
    assert!(
        found.stdout.lines().count() == 1 && found.stdout.trim() != "0",
        "{found}"
    );
    // The control: the trace would have shown it.
    t.run(&format!("{traced} trace sh -c 'cat r/nsswitch.conf r/etc/nsswitch.conf; r/usr/bin/xz' 2>/dev/null; grep -q nsswitch trace && grep -q 'execve.*r/usr/bin/xz' trace && echo seen; rm -f /tmp/evil"))
        .out_has("seen\n");
}

/// T-FS-27 with all that can be standard input and output: it stays whose it was.
#[test]
fn what_is_inherited_keeps_its_owner_whatever_it_is() {
    needs!(
        root,
        busybox,
        host("runc"),
        host("python3"),
        controller("memory")
    );
    let t = sandbox();
    let config = Config {
        linux: &format!(
            r#""cgroupsPath": "/{}/c", "uidMappings": [{{"containerID": 0, "hostID": 100000, "size": 9}}], "gidMappings": [{{"containerID": 0, "hostID": 100000, "size": 9}}],"#,
            t.id()
        ),
        namespaces: &format!("{ALL}, {{\"type\": \"user\"}}"),
        ..Config::default()
    };
    t.write(
        "dressed.py",
        "import os,sys,socket,subprocess
one,other = socket.socketpair(); read,write = os.pipe(); null = os.open('null', os.O_RDWR); file = os.open('plain', os.O_RDWR|os.O_CREAT, 0o640)
def owner(fd): s = os.fstat(fd); return (s.st_uid, s.st_gid, s.st_mode)
before = [owner(fd) for fd in (one.fileno(), read, write, null, file)]
for stdin, stdout, stderr in ((null, null, null), (read, write, write), (one.fileno(),) * 3, (file,) * 3):
    os.write(write, b'x'); print(subprocess.run(sys.argv[1:], stdin=stdin, stdout=stdout, stderr=stderr).returncode)
print(before == [owner(fd) for fd in (one.fileno(), read, write, null, file)])
",
    );
    // A null device of our own, not the machine's.
    t.run("mknod null c 1 3; chmod 666 null").ok();
    config
        .run_by(&t, "python3 dressed.py container run -b b")
        .out("0\n0\n0\n0\nTrue\n");
    // The control: what somebody does to one of them is seen.
    t.run("python3 dressed.py chown 1 /proc/self/fd/1; chown 0 null")
        .out_has("False\n");
}

/// T-FS-22, 23 (CVE-2023-25809, CVE-2022-0492): the groups can be seen and not changed, nor a hierarchy mounted anew.
#[test]
fn control_groups_are_out_of_reach() {
    needs!(root, busybox, v1("memory"));
    let t = sandbox();
    let look = "for f in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/*/release_agent; do (echo 1 >$f) 2>/dev/null && echo wrote $f; done
        mkdir /tmp/c; mount -t cgroup -o rdma c /tmp/c 2>/dev/null && echo mounted; mount -t cgroup2 c /tmp/c 2>/dev/null && echo mounted
        busybox unshare -UrC true 2>/dev/null && echo unshared; busybox unshare -C true 2>/dev/null && echo unshared; echo end";
    t.write("r/look", look);
    for flags in [
        "",
        "--cgroupns host",
        "--memory 64M",
        "--memory 64M --cap-add ALL --cap-drop SYS_ADMIN",
    ] {
        t.run(&format!("container run {flags} --rootfs r sh /look"))
            .ok()
            .out("end\n");
    }
    // The control: with the privilege that is taken from it, it gets one.
    t.run(
        "container run --cap-add SYS_ADMIN --security-opt seccomp=unconfined --rootfs r sh /look",
    )
    .ok()
    .out_has("mounted\n");
}

/// T-FS-11: a container that shares the mount namespace is refused, and the propagation of the machine's mounts stays.
#[test]
fn the_mounts_of_the_machine_stay_as_they_are() {
    needs!(root, busybox);
    let t = sandbox();
    let config = Config {
        namespaces: r#"{"type": "pid"}, {"type": "ipc"}"#,
        ..Config::default()
    };
    let ran = config.run_by(
        &t,
        "mount --make-rshared /; sed 's/^[^-]*- //; s/ .*//' /proc/self/mountinfo >types; cut -d' ' -f5- /proc/self/mountinfo >before
         container run -b b; cut -d' ' -f5- /proc/self/mountinfo | cmp - before; mount --make-rprivate /",
    );
    refused_here(&ran);
}

fn refused_here(ran: &crate::kit::Ran<'_>) {
    assert_eq!(ran.stdout, "", "{ran}");
    ran.err_has("the container's mounts would be the machine's");
}

/// T-EX-13 (CVE-2021-43784): what is far too long is refused, and nothing of it taken for something else.
#[test]
fn what_is_too_long_is_refused() {
    needs!(root, busybox);
    let t = sandbox();
    let long = "x".repeat(70_000);
    let path = format!(r#"{{"type": "mount"}}, {{"type": "network", "path": "/{long}"}}"#);
    let with = Config {
        namespaces: &path,
        ..Config::default()
    };
    refuses(&t, with, "name too long");
    let many: Vec<String> = (0..100_000)
        .map(|at| {
            format!(
                r#"{{"containerID": {at}, "hostID": {}, "size": 1}}"#,
                100_000 + at
            )
        })
        .collect();
    let maps = format!(
        r#""uidMappings": [{0}], "gidMappings": [{0}],"#,
        many.join(",")
    );
    let ran = Config {
        script: "echo ran",
        linux: &maps,
        namespaces: &format!("{ALL}, {{\"type\": \"user\"}}"),
        ..Config::default()
    }
    .run(&t);
    assert!(ran.status != 0 && ran.stdout.is_empty(), "{}", ran.status);
    let ran = Config {
        script: "echo ran",
        top: &format!("\"hostname\": \"{long}\","),
        ..Config::default()
    }
    .run(&t);
    assert!(ran.status != 0 && ran.stdout.is_empty(), "{}", ran.status);
}

/// T-EX-20 (CVE-2022-0811): a sysctl is one file of one namespace, and its value one line.
#[test]
fn no_sysctl_leads_to_another() {
    needs!(root, busybox);
    let t = sandbox();
    let pattern = t.run("cat /proc/sys/kernel/core_pattern").stdout.clone();
    for (name, value) in [
        ("kernel.core_pattern", "|/x"),
        ("kernel/core_pattern", "|/x"),
        ("net/../kernel/core_pattern", "|/x"),
        ("net...kernel.core_pattern", "|/x"),
        ("net.ipv4.conf.../../../kernel/core_pattern", "|/x"),
        ("kernel.shm_rmid_forced+kernel.core_pattern", "1"),
        ("kernel.shm_rmid_forced", "1+kernel.core_pattern=|/x"),
        ("kernel.shm_rmid_forced", "1\\nkernel.core_pattern=|/x"),
        ("net.ipv4.ip_forward\\n", "1"),
        ("/proc/sys/kernel/core_pattern", "|/x"),
        ("vm.swappiness", "1"),
        ("", "1"),
    ] {
        let linux = format!(r#""sysctl": {{"{name}": "{value}"}},"#);
        let ran = Config {
            script: "echo ran",
            linux: &linux,
            ..Config::default()
        }
        .run(&t);
        assert!(
            ran.status != 0 && ran.stdout.is_empty(),
            "{name}={value}{ran}"
        );
        let flag =
            format!("container run --rootfs r --sysctl \"$(printf '{name}={value}')\" echo ran");
        let ran = t.run(&flag.replace("\\\\", "\\"));
        assert!(
            ran.status == 125 && ran.stdout.is_empty(),
            "{name}={value}{ran}"
        );
    }
    t.run("cat /proc/sys/kernel/core_pattern").out(&pattern);
    // The slash is the other spelling: a name with a dot in it.
    Config {
        script: "cat /proc/sys/net/ipv4/conf/lo/forwarding",
        linux: r#""sysctl": {"net/ipv4/conf/lo/forwarding": "1"},"#,
        ..Config::default()
    }
    .run(&t)
    .out("1\n");
}
