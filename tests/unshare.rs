//! unshare from outside: what a user of it would notice, on the real kernel.
//!
//! Numbers name the cases and scripts of the acceptance list. The command line's dialect and the
//! wording shared with util-linux are in parity/unshare.cases and parity/unshare_maps.cases.

mod bad_input;
mod beyond;
mod users;

use crate::kit::{Sandbox, needs};

/// Cases 7 and 8, script 1.
#[test]
fn the_first_process_of_a_pid_namespace_is_alone() {
    needs!(root);
    let t = Sandbox::new("unshare");
    let inside = r#"echo "Namespace PID: $$"; echo /proc/[0-9]*"#;
    t.run(&format!(
        "[ $$ -gt 1 ] && unshare --pid --fork --mount-proc /bin/sh -c '{inside}'"
    ))
    .ok()
    .out("Namespace PID: 1\n/proc/1\n")
    .err("")
    .untouched();
}

/// Cases 10, 12, 14, 18, 19, script 3.
#[test]
fn who_is_pid_one_and_what_the_status_is() {
    needs!(root);
    let t = Sandbox::new("unshare");
    t.run("unshare --pid sh -c '/bin/true; /bin/true'; echo rc=$?")
        .ok()
        .out("rc=2\n")
        .err_has("fork");
    t.run("unshare -pf unshare -pf --mount-proc sh -c 'echo $$; grep NSpid /proc/self/status | wc -w'")
        .ok()
        .out("1\n2\n");
    t.run(r#"unshare -pf sh -c 'sh -c "echo \$\$"; true'"#)
        .ok()
        .out("2\n");
    t.run("unshare -pf sh -c 'exit 42'").status(42).err("");
    t.run("unshare -f sh -c 'kill -9 $$'; echo rc=$?")
        .ok()
        .out("rc=137\n");
    // The caller's own PID namespace is the old one, its children's is new.
    t.run("unshare -p sh -c 'test $$ -gt 1 && echo old'; readlink /proc/self/ns/pid >a; readlink /proc/self/ns/pid_for_children | cmp a")
        .ok()
        .out("old\n");
}

/// The commonest trap: -p without -f (case 12). Said to people, not to scripts that read stderr.
#[test]
fn a_pid_namespace_without_a_fork_gets_a_hint() {
    needs!(root, host("script"));
    let t = Sandbox::new("unshare");
    let on_a_terminal = |line: &str| format!("script -qec '{line}' /dev/null </dev/null");
    t.run(&on_a_terminal("unshare --pid true"))
        .ok()
        .out_has("hint: ")
        .out_has("--fork");
    t.run(&on_a_terminal("unshare --pid --fork true"))
        .ok()
        .out("");
    t.run(&on_a_terminal("unshare --uts true")).ok().out("");
    t.run("unshare --pid true").ok().err("");
    t.run("unshare --pid --explain true")
        .ok()
        .hint("--fork")
        .hint("Cannot allocate memory");
}

/// Case 17: when PID 1 ends, so do the rest. The sandbox would report the sleeper.
#[test]
fn the_end_of_pid_one_is_the_end_of_all() {
    needs!(root);
    let t = Sandbox::new("unshare");
    t.run("unshare -pf sh -c 'sleep 1000 & sleep 1000 & exit 3'")
        .status(3)
        .untouched();
}

/// Case 15.
#[test]
fn a_killed_unshare_takes_its_child_along_when_asked() {
    needs!(root);
    let t = Sandbox::new("unshare");
    for flags in [
        "-f --kill-child",
        "-pf --kill-child",
        "--kill-child=KILL",
        "-mpuinf --kill-child",
    ] {
        t.run(&format!(
            "unshare {flags} sleep 1000 & while ! c=$(pgrep -P $!) || ! grep -qx sleep /proc/$c/comm; do sleep 0.01; done; kill -KILL $!; wait $!; echo $?"
        ))
        .ok()
        .out("137\n")
        .untouched();
    }
}

#[test]
fn signals_are_forwarded_when_asked() {
    let t = Sandbox::new("unshare");
    let guest =
        r#"trap "exit 7" TERM; trap "exit 8" INT; touch ready; while :; do sleep 0.05; done"#;
    let ready = "while ! test -e ready; do sleep 0.02; done";
    for (signal, status) in [("TERM", 7), ("INT", 8)] {
        t.run(&format!("rm -f ready; env --default-signal=INT unshare --forward-signals sh -c '{guest}' & {ready}; kill -{signal} $!; wait $!"))
            .status(status);
    }
}

/// Cases 70 to 72, script 5.
#[test]
fn hostname_and_shared_memory_are_its_own() {
    needs!(root, host("ipcmk"));
    let t = Sandbox::new("unshare");
    t.run("unshare --uts sh -c 'hostname container-test && hostname'")
        .ok()
        .out("container-test\n")
        .untouched();
    t.run("test \"$(unshare --uts hostname)\" = \"$(hostname)\"")
        .ok();
    t.run(
        "ipcmk -M 1024 >/dev/null
         unshare --ipc sh -c 'ipcs -m | grep -c 0x; ipcmk -M 1024 >/dev/null; ipcs -m | grep -c 0x'
         ipcs -m | grep -c 0x; ipcrm -a",
    )
    .ok()
    .out("0\n1\n1\n");
}

/// Cases 48 to 50, script 6.
#[test]
fn mounts_stay_inside_and_files_do_not() {
    needs!(root);
    let t = Sandbox::new("unshare");
    t.run(
        r#"unshare -m sh -c 'mount --make-rshared /; mkdir t
             unshare -m sh -c "mount -t tmpfs t t; echo hi >t/f; cat t/f; mkdir real"
             ls t | wc -l; ls -d real
             unshare -m --propagation unchanged mount -t tmpfs leak t; grep -c ^leak /proc/mounts'"#,
    )
    .ok()
    .out("hi\n0\nreal\n1\n");
    t.run("mkdir m; unshare -m mount -t tmpfs t m; rmdir m")
        .ok()
        .untouched();
}

/// Case 78: the root of a cgroup namespace is where it was made.
#[test]
fn a_cgroup_namespace_hides_the_way_above() {
    needs!(root, cgroup2);
    let t = Sandbox::new("unshare");
    let group = needs::cgroup2_mount().unwrap().join(t.id());
    t.cmd(
        "mkdir $G && sh -c 'echo $$ >$G/cgroup.procs; grep ^0: /proc/self/cgroup; unshare --cgroup grep ^0: /proc/self/cgroup'
         s=$?; rmdir $G; exit $s",
    )
    .env("G", &group)
    .run()
    .ok()
    .out(&format!("0::/{}\n0::/\n", t.id()));
}

/// Case 79, script 8.
#[test]
fn a_time_namespace_counts_from_elsewhere() {
    needs!(root, timens);
    let t = Sandbox::new("unshare");
    t.run(
        "read out _ </proc/uptime
         unshare --time --boottime 100000 --fork sh -c 'read u _ </proc/uptime; echo ${u%%.*}' |
           { read in; d=$((in - ${out%%.*})); test $d -ge 100000 && test $d -le 100005 && echo shifted; }",
    )
    .ok()
    .out("shifted\n");
}

/// Cases 80 and 81, script 9.
#[test]
fn all_but_time_at_once() {
    needs!(root, host("ip"));
    let t = Sandbox::new("unshare");
    t.run(
        r#"unshare --pid --fork --mount-proc --net --uts --ipc --user --map-root-user --cgroup /bin/sh -c '
             hostname box; echo "PID: $$"; echo "UID: $(id -u)"; echo "Hostname: $(hostname)"
             echo "Network interfaces: $(ip -o link | wc -l)"; readlink /proc/self/ns/*' >in
           head -n 4 in; readlink /proc/self/ns/* | grep -Fxf - in | sort -u | sed 's/[0-9]*//g'"#,
    )
    .ok()
    .out("PID: 1\nUID: 0\nHostname: box\nNetwork interfaces: 1\ntime:[]\n")
    .err("");
}

/// Cases 25, 85, 89, script 10.
#[test]
fn a_namespace_can_outlive_its_processes() {
    needs!(root);
    let t = Sandbox::new("unshare");
    t.run(
        "unshare -m sh -c '
           touch n u; unshare --net=n --uts=u sh -c \"hostname kept\"
           lsns -n --persistent -o TYPE | sort; nsenter --net=n --uts=u sh -c \"hostname; tail -n +3 /proc/net/dev | wc -l\"
           umount n u; lsns -n --persistent -o TYPE | wc -l'",
    )
    .ok()
    .out("net\nuts\nkept\n1\n0\n");
}

#[test]
fn every_kind_can_be_pinned() {
    needs!(root, timens, host("taskset"));
    let t = Sandbox::new("unshare");
    for kind in ["cgroup", "ipc", "mount", "net", "time", "user", "uts"] {
        // (unmapped, the ids that nsenter takes in a user namespace would not exist)
        let map = if kind == "user" { "-r" } else { "" };
        t.run(&format!(
            "taskset -c 0 unshare -m sh -c \
               'touch f; unshare --{kind}=f {map} true && nsenter --{kind}=f echo entered; s=$?; umount f; exit $s'"
        ))
        .ok()
        .out("entered\n");
    }
    // A PID namespace lives as long as its PID 1, which only an ancestor can kill.
    t.run(
        "unshare -m sh -c 'touch f; unshare --pid=f --fork sleep 1000 & while ! c=$(pgrep -P $!) || ! grep -qx sleep /proc/$c/comm; do sleep 0.01; done; nsenter --pid=f sh -c \"echo \\$\\$\"
           kill -KILL $(cat /proc/$!/task/$!/children); wait $!'",
    )
    .status(137)
    .out("2\n");
}

/// The program has the descriptors it would have had without us, and none of ours.
#[test]
fn no_descriptor_of_ours_reaches_the_program() {
    needs!(userns);
    let t = Sandbox::new("unshare");
    for flags in [
        "",
        "-f",
        "-rm",
        "-rmpuinf --mount-proc",
        "-rf --kill-child",
        "-r -w /",
    ] {
        t.user().run(&format!("sh -c 'ls /proc/self/fd' >want; unshare {flags} sh -c 'ls /proc/self/fd' | cmp want - && rm want"))
            .ok()
            .out("");
    }
}

#[test]
fn the_environment_is_the_callers_unless_told_otherwise() {
    let t = Sandbox::new("unshare");
    t.cmd("unshare printenv COLOUR")
        .env("COLOUR", "red")
        .run()
        .ok()
        .out("red\n");
    t.run("unshare --clear-env /usr/bin/env").ok().out("");
    t.run("A=1 B=2 C=3 unshare --whitelist-env A,C,D /usr/bin/env | sort")
        .ok()
        .out("A=1\nC=3\n");
}

/// Job control: what stops the program stops unshare, and what continues unshare continues it.
#[test]
fn stopping_is_mirrored() {
    let t = Sandbox::new("unshare");
    t.run(
        "unshare -f sh -c 'kill -STOP $$; echo continued; exit 5' >out & n=$!
         for i in $(seq 300); do grep -q '^State:.T' /proc/$n/status && break; sleep 0.01; done
         grep -q '^State:.T' /proc/$n/status && echo stopped
         kill -CONT $n; kill -CONT $(cat /proc/$n/task/$n/children); wait $n; s=$?; cat out; rm out; exit $s",
    )
    .status(5)
    .out("stopped\ncontinued\n");
}
