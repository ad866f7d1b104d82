//! pid1, and `unshare --init`: the first process of a PID namespace.

use crate::kit::Sandbox;

#[test]
fn it_ends_as_its_program_ends() {
    needs!(root, userns);
    let t = Sandbox::new("pid1");
    for (program, status) in [
        ("true", 0),
        ("sh -c 'exit 42'", 42),
        ("sh -c 'kill -TERM $$'", 143),
        ("sh -c 'kill -KILL $$'", 137),
    ] {
        t.run(&format!("unshare -pf pid1 {program}"))
            .status(status)
            .out("")
            .err("")
            .untouched();
        t.user()
            .run(&format!("unshare -Urp --init {program}"))
            .status(status)
            .out("")
            .err("")
            .untouched();
    }
    t.run("unshare -pf pid1 nosuch")
        .fails(127, "pid1", &["nosuch", "No such file or directory"]);
    t.run("unshare -pf pid1 /etc/passwd")
        .fails(126, "pid1", &["/etc/passwd", "Permission denied"]);
    t.run("pid1").fails(125, "pid1", &["no program given"]);
}

/// Case 187: docker's filter says that clone3(2) is not there, which a first process in such a container can do without.
#[test]
fn a_filter_without_clone3_is_enough() {
    needs!(root, busybox);
    let t = Sandbox::new("pid1");
    t.root("r");
    t.write("rules", r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}"#);
    for words in ["pid1", "unshare --tty"] {
        t.run(&format!(
            "container run --rootfs r --security-opt seccomp=rules {words} sh -c 'exit 7'"
        ))
        .status(7)
        .err("");
    }
}

/// Case 16: whose parent is gone belongs to process 1, which has to collect it. The control is one that does not.
#[test]
fn it_collects_orphans() {
    needs!(root);
    let t = Sandbox::new("pid1");
    t.run(
        "unshare -pf --kill-child --mount-proc sh -c '(sleep 0.05 &); exec sleep 60' & u=$!
         while ! ps -o stat= --ppid $(pgrep -P $u) | grep -q Z; do sleep 0.02; done; echo zombie; kill $u; kill -9 $u",
    )
    .ok()
    .out("zombie\n");
    t.run(
        "unshare -p --init --mount-proc sh -c '(sleep 0.05 & echo $! >pid); while test -d /proc/$(cat pid); do sleep 0.02; done; echo gone'",
    )
    .ok()
    .out("gone\n");
}

/// Case 15: a program that is process 1 itself does not hear of SIGTERM.
#[test]
fn it_passes_signals_on() {
    needs!(root);
    let t = Sandbox::new("pid1");
    let line = |words: &str, signal: &str| {
        format!(
            "unshare -pf --forward-signals {words} sh -c 'trap \"echo got; exit 7\" USR1; echo ready; while :; do sleep 0.02; done' >out & u=$!
             while ! grep -qs ready out; do sleep 0.01; done; kill -{signal} $(pgrep -P $u); wait $u; s=$?; cat out; rm out; exit $s"
        )
    };
    t.run(&line("pid1", "USR1")).status(7).out("ready\ngot\n");
    t.run(&line("pid1", "TERM")).status(143).out("ready\n");
    t.run("unshare -pf --kill-child sleep 60 & u=$!; while ! c=$(pgrep -P $u) || ! grep -qx sleep /proc/$c/comm; do sleep 0.01; done; kill -TERM $c; sleep 0.2; kill -0 $c && echo lives; kill -KILL $u; wait $u")
        .status(137)
        .out("lives\n");
}
