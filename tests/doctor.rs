//! doctor: what this machine can do, found by trying.

use crate::kit::Sandbox;

/// The lines of one state.
fn lines<'t>(out: &'t str, state: &str) -> Vec<&'t str> {
    out.lines().filter(|line| line.starts_with(state)).collect()
}

#[test]
fn it_tells_of_everything_and_changes_nothing() {
    needs!(root, userns);
    let t = Sandbox::new("doctor");
    let all = t.run("doctor");
    let fails = lines(&all.stdout, "FAIL");
    assert_eq!(all.status, i32::from(!fails.is_empty()), "{}", all.stdout);
    all.err("").untouched().out_in_order(&[
        "kernel:\nok    release: ",
        "mount API: Linux 5.2 has it",
        "here:\n",
        "namespaces:\nok    user namespace: can be made\n",
        "ok    time namespace: can be made\n",
        "user:\n",
        "cgroup:\n",
        "files:\nok    tmpfs: can be mounted\n",
        "ok    proc: can be mounted in a new PID namespace\n",
        "network:\nok    lo: can be brought up\n",
        "ok    veth: can be made\n",
        "guards:\nok    seccomp: filters can be loaded\n",
        "store:\nok    images: ",
    ]);
    let user = t.user().cmd("doctor namespaces").run();
    user.ok().err("").untouched();
    assert_eq!(lines(&user.stdout, "ok ").len(), 8, "{}", user.stdout);
    assert_eq!(user.stdout.matches(", in a user namespace\n").count(), 7);
}

#[test]
fn quiet_and_json_tell_the_same() {
    needs!(root, host("python3"));
    let t = Sandbox::new("doctor");
    let quiet = t.run("doctor -q cgroup user || :");
    assert_eq!(lines(&quiet.stdout, "ok"), [""; 0], "{}", quiet.stdout);
    let json = t.run(
        "doctor --json -q user cgroup | python3 -c 'import json, sys
for one in json.load(sys.stdin)[\"findings\"]:
    dash = \" - \" if one[\"advice\"] else \"\"
    print(\"%-6s%s: %s%s%s\" % (one[\"state\"], one[\"subject\"], one[\"found\"], dash, one[\"advice\"] or \"\"))'",
    );
    // The groups come in their own order.
    json.ok().out(&quiet.stdout);
    assert!(
        quiet.stdout.lines().count() > 0,
        "this machine has no fault at all"
    );
    t.run("doctor cgroup nosuch")
        .fails(1, "doctor", &["no such group", "nosuch"])
        .hint("there are kernel here namespaces user cgroup files network guards store");
}

/// What is taken away is missed, with what to do; what is not asked for is not looked at.
#[test]
fn what_is_missing_is_said() {
    needs!(root, userns, host("setpriv"));
    let t = Sandbox::new("doctor");
    t.write("rules", r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["bpf", "landlock_create_ruleset"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}"#);
    t.write("resolv", "nameserver 127.0.0.53\n");
    // Whoever owns a user namespace limits what is made below it.
    let inner =
        "echo 0 >/proc/sys/user/max_user_namespaces; echo 0 >/proc/sys/user/max_net_namespaces";
    for (line, status, want) in [
        (
            format!("unshare -r sh -c '{inner}; doctor namespaces network'"),
            1,
            &[
                "warn  user namespace: unshare failed: No space left on device - user.max_user_namespaces is 0: sysctl",
                "ok    uts namespace: can be made",
                "FAIL  net namespace: unshare failed: No space left on device - user.max_net_namespaces is 0: sysctl",
                "FAIL  links: unshare failed",
            ][..],
        ),
        (
            format!("unshare -r sh -c '{inner}; setpriv --bounding-set=-all doctor user namespaces'"),
            1,
            &["FAIL  uts namespace: ", "FAIL  user.max_user_namespaces: 0"],
        ),
        (
            "setpriv --bounding-set=-sys_admin doctor here namespaces".into(),
            0,
            &["warn  capabilities: uid 0, without ", "sys_admin", "can be made, in a user namespace"],
        ),
        (
            "setpriv --no-new-privs doctor here".into(),
            0,
            &["warn  no_new_privs: set: set-user-id programs"],
        ),
        (
            "setpriv --seccomp-profile rules doctor guards".into(),
            0,
            &["warn  seccomp filter: one is in force: what it forbids fails", "warn  Landlock: Landlock is not supported"],
        ),
        (
            "unshare -m sh -c 'mount -t tmpfs none /proc; doctor here user cgroup'".into(),
            1,
            &["FAIL  /proc: not mounted - mount -t proc proc /proc", "  capabilities: uid 0, ", "FAIL  control groups:"],
        ),
        (
            "unshare -m sh -c 'mount -t tmpfs -o ro none /mnt; ISOBOX_ROOT=/mnt/nowhere doctor store'".into(),
            1,
            &["FAIL  images: cannot write to /mnt: Read-only file system", "ISOBOX_ROOT names another place"],
        ),
        (
            "unshare -m sh -c 'mount -t tmpfs -o noexec,size=8m none /mnt; ISOBOX_ROOT=/mnt doctor store'".into(),
            0,
            &["warn  images: /mnt, 8M free - mounted noexec"],
        ),
        (
            "unshare -n doctor network".into(),
            0,
            &["net.ipv4.ping_group_range: 1 0: ping works for root", "net.ipv4.ip_forward: 0"],
        ),
        (
            "unshare -m sh -c 'mount --bind resolv /etc/resolv.conf; doctor network'".into(),
            0,
            &["warn  name servers: /etc/resolv.conf names none that a guest could reach - guests are told 1.1.1.1"],
        ),
    ] {
        t.run(&line).status(status).err("").untouched().out_in_order(want);
    }
    // Nothing else is looked at.
    let only = t.run("doctor store");
    assert!(!only.stdout.contains("kernel"), "{}", only.stdout);
}

/// A limit above is found, and who sets it.
#[test]
fn limits_above_are_told() {
    needs!(root, controller("pids"), controller("memory"));
    let t = Sandbox::new("doctor");
    t.run("cgexec --memory 256M --pids 100 doctor cgroup")
        .ok()
        .err("")
        .untouched()
        .out_in_order(&["memory.max: 256M, set by /", "pids.max: 100, set by /"]);
}

/// With nothing but the binary, and without /proc.
#[test]
fn a_bare_chroot_is_enough() {
    needs!(root, static_binary);
    let t = Sandbox::new("doctor");
    t.run("mkdir -p l/bin; cp $(readlink -f $(command -v doctor)) l/bin/doctor; chroot l /bin/doctor; s=$?; rm -r l; exit $s")
        .status(1)
        .err("")
        .untouched()
        .out_in_order(&[
            "ok    release: ",
            "FAIL  /proc: not mounted",
            "ok    uts namespace: can be made",
            "ok    mount namespace: can be made",
            "FAIL  control groups: ",
            "ok    tmpfs: can be mounted",
            "ok    veth: can be made",
            "ok    images: ",
        ]);
}
