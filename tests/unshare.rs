//! unshare from outside: what a user of it would notice, on the real kernel.
//!
//! Numbers name the cases and scripts of the acceptance list. The command line's dialect and the
//! wording shared with util-linux are in parity/unshare.cases and parity/unshare_maps.cases.

use crate::kit::{Sandbox, needs};

/// Files that give user 1000 the ids 100000 to 165535, bound over the real ones while `$@` runs.
const SUBIDS: &str = r#"#!/bin/sh
echo 'root:x:0:0::/:/bin/sh' >passwd; echo 'kit:x:1000:1000::/:/bin/sh' >>passwd
echo 'kit:100000:65536' >subids; echo 'root:100000:65536' >>subids
exec unshare -m sh -c 'mount --bind passwd /etc/passwd && mount --bind subids /etc/subuid &&
  mount --bind subids /etc/subgid && exec "$@"' sh "$@"
"#;

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
            "unshare {flags} sleep 1000 & sleep 0.3; kill -KILL $!; wait $!; echo $?"
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

/// Cases 73, 74, 76, script 7.
#[test]
fn an_ordinary_user_three_ways() {
    needs!(userns);
    let t = Sandbox::new("unshare");
    let user = t.user();
    user.run("unshare --user id -u").ok().out("65534\n");
    user.run("unshare --user --map-root-user sh -c 'id -u; cat /proc/self/setgroups; read in out n </proc/self/uid_map; echo $in $n'")
        .ok()
        .out("0\ndeny\n0 1\n");
    user.run("unshare --user --map-root-user --mount --pid --fork --mount-proc sh -c 'mount -t tmpfs none /mnt && echo mounted $$'")
        .ok()
        .out("mounted 1\n")
        .untouched();
    user.run("unshare -r touch made; stat -c %u made")
        .ok()
        .out(&format!("{}\n", t.ordinary()));
}

/// Case 7 of the mistakes: no privilege. One line, and the way out of it.
#[test]
fn without_privilege_the_way_out_is_a_user_namespace() {
    needs!(userns);
    let t = Sandbox::new("unshare");
    for kind in [
        "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "-pf", "-mpuinCf",
    ] {
        t.user()
            .run(&format!("unshare {kind} true"))
            .fails(1, "unshare", &["Operation not permitted"])
            .hint("--map-root-user")
            .untouched();
    }
}

/// Case 75: the map written by hand, from outside.
#[test]
fn a_map_written_from_outside() {
    needs!(userns, root);
    let t = Sandbox::new("unshare");
    t.user()
        .run(
            "unshare --user sh -c 'touch made; while [ $(id -u) != 0 ]; do sleep 0.02; done; id -u; id -g' &
             while ! test -e made; do sleep 0.02; done
             echo '0 1000 1' >/proc/$!/uid_map && echo deny >/proc/$!/setgroups && echo '0 1000 1' >/proc/$!/gid_map
             wait $!",
        )
        .ok()
        .out("0\n0\n");
    // From inside, after exec, the capabilities to do so are gone.
    t.user()
        .run("unshare --user sh -c 'echo 0 1000 1 >/proc/self/uid_map || echo refused' 2>/dev/null")
        .ok()
        .out("refused\n");
}

/// Case 77: ranges, through newuidmap for a user and directly for root.
#[test]
fn ranges_make_more_than_one_id() {
    needs!(root, userns, host("newuidmap"));
    let t = Sandbox::new("unshare");
    t.tool("subids", SUBIDS);
    let inside = "sh -c 'id -u; touch f; chown 1000 f && stat -c %u f'; stat -c %u f";
    t.run(&format!(
        "subids setpriv --reuid 1000 --regid 1000 --clear-groups unshare -r --map-auto {inside}"
    ))
    .ok()
    .out("0\n1000\n100999\n");
    t.user()
        .run("unshare -r sh -c 'touch g; chown 1000 g'")
        .status(1);
    t.run("unshare --map-users 0:200000:1000 --map-groups 0:200000:1000 -S 0 -G 0 sh -c 'cat /proc/self/uid_map' | tr -s ' '")
        .ok()
        .out(" 0 200000 1000\n");
    t.user().run("unshare -c id -u").ok().out("1000\n");
    t.user()
        .run("unshare --map-user 77 --map-group 88 sh -c 'id -u; id -g'")
        .ok()
        .out("77\n88\n");
}

/// An id that the map does not hold is the kernel's EINVAL: the hint says which word is missing.
#[test]
fn an_unmapped_id_gets_a_hint() {
    needs!(userns);
    let t = Sandbox::new("unshare");
    t.user()
        .run("unshare --user --setuid 0 true")
        .fails(1, "unshare", &["Invalid argument"])
        .hint("map")
        .untouched();
    t.user()
        .run("unshare -r --setuid 5 true")
        .fails(1, "unshare", &["Invalid argument"])
        .hint("map")
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

/// Beyond util-linux: one word for everything.
#[test]
fn all_is_eight_namespaces() {
    needs!(userns, timens);
    let t = Sandbox::new("unshare");
    let kinds = "for k in cgroup ipc mnt net pid time user uts; do readlink /proc/self/ns/$k; done";
    for all in ["unshare -a -r -f", "unshare --all --map-root-user --fork"] {
        t.user().run(&format!("{{ {kinds}; }} >out; {all} sh -c '{kinds}' >in; wc -l <in; grep -cFxf out in; rm out in"))
            .status(0)
            .out("8\n0\n");
    }
}

#[test]
fn hostname_is_set_on_the_way() {
    needs!(userns);
    let t = Sandbox::new("unshare");
    t.user()
        .run("unshare -r --hostname box hostname")
        .ok()
        .out("box\n")
        .untouched();
    t.user()
        .run("unshare -r --hostname=a --hostname=b hostname")
        .ok()
        .out("b\n");
    t.user()
        .run("unshare -r -u --hostname box -f sh -c hostname")
        .ok()
        .out("box\n");
    let long = "x".repeat(65);
    t.user()
        .run(&format!("unshare -r --hostname {long} true"))
        .fails(1, "unshare", &[])
        .untouched();
    t.user()
        .run("unshare --hostname box true")
        .fails(1, "unshare", &["Operation not permitted"])
        .hint("--map-root-user");
}

#[test]
fn loopback_is_brought_up() {
    needs!(userns, host("ip"));
    let t = Sandbox::new("unshare");
    t.user()
        .run("unshare -rn ip -o addr show lo | grep -c 127.0.0.1")
        .status(1)
        .out("0\n");
    t.user()
        .run("unshare -r --loopback ip -o addr show lo | grep -c 127.0.0.1/8")
        .ok()
        .out("1\n")
        .untouched();
    t.user()
        .run("unshare -rn --loopback sh -c 'ip -o link | wc -l; ip -o link show up | wc -l'")
        .ok()
        .out("1\n1\n");
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
        "unshare -m sh -c 'touch f; unshare --pid=f --fork sleep 1000 & sleep 0.3; nsenter --pid=f sh -c \"echo \\$\\$\"
           kill -KILL $(cat /proc/$!/task/$!/children); wait $!'",
    )
    .status(137)
    .out("2\n");
}

/// Every call is told in order, and none is made.
#[test]
fn explain_tells_and_does_nothing() {
    let t = Sandbox::new("unshare");
    // Without any privilege: telling needs none.
    t.user()
        .run("unshare -mpuf --mount-proc --hostname box --explain touch made")
        .ok()
        .out_in_order(&["CLONE_NEW", "box", "/proc", "touch"])
        .out_in_order(&["why", "see", "unshare(2)"])
        .err("")
        .untouched();
    t.user()
        .run("unshare --explain -r id -u")
        .ok()
        .out_in_order(&["CLONE_NEWUSER", "uid_map", "exec"])
        .untouched();
    t.user()
        .run("unshare -m -R /nowhere --explain true")
        .ok()
        .out_has("/nowhere")
        .untouched();
    t.user()
        .run("unshare --explain=poem true")
        .fails(1, "unshare", &["poem"]);
}

#[test]
fn explain_speaks_json() {
    needs!(host("jq"));
    let t = Sandbox::new("unshare");
    t.user()
        .run("unshare -mpf --mount-proc --explain=json printf 'a\"b\\\\' | jq -r 'type, (map(.step) == [range(1; length + 1)]), (all(.call and .why and .man))'")
        .ok()
        .out("array\ntrue\ntrue\n")
        .untouched();
}

/// The told plan and the performed one are one: as many steps, and the program's output untouched.
#[test]
fn explain_run_tells_while_doing() {
    needs!(userns);
    let t = Sandbox::new("unshare");
    let flags = "-rmpf --mount-proc --hostname box";
    let told = t.user().run(&format!(
        "unshare {flags} --explain sh -c 'hostname; echo $$; exit 4'"
    ));
    let done = t.user().run(&format!(
        "unshare {flags} --explain=run sh -c 'hostname; echo $$; exit 4'"
    ));
    done.status(4).out("box\n1\n");
    let steps = |text: &str| {
        text.lines()
            .filter(|line| line.trim_start().starts_with("why "))
            .count()
    };
    assert_eq!(
        steps(&told.ok().stdout),
        steps(&done.stderr),
        "{told}{done}"
    );
}

/// Bad input: the right status, one line, nothing left behind. As root and as an ordinary user.
#[test]
fn bad_input_is_refused_in_one_line() {
    let t = Sandbox::new("unshare");
    t.write("file", "no program\n");
    let cases: [(&str, i32, &[&str]); 21] = [
        (
            "unshare no-such-program",
            127,
            &["no-such-program", "No such file or directory"],
        ),
        (
            "unshare -f no-such-program",
            127,
            &["no-such-program", "No such file or directory"],
        ),
        ("unshare ./file", 126, &["./file", "Permission denied"]),
        ("unshare -f ./file", 126, &["./file", "Permission denied"]),
        ("unshare /", 126, &["Permission denied"]),
        (
            "unshare -w nowhere true",
            1,
            &["nowhere", "No such file or directory"],
        ),
        ("unshare -w file true", 1, &["file", "Not a directory"]),
        ("unshare --bogus", 1, &["--bogus"]),
        ("unshare --map-users 0:0 true", 1, &["0:0"]),
        ("unshare --map-users 0:0:x true", 1, &["0:0:x"]),
        ("unshare --map-users 0:0:0:0 true", 1, &["0:0:0:0"]),
        (
            "unshare --map-users 0:1000:99999999999 true",
            1,
            &["99999999999"],
        ),
        (
            "unshare --map-user nobody-at-all true",
            1,
            &["nobody-at-all"],
        ),
        ("unshare --setgroups perhaps true", 1, &["perhaps"]),
        ("unshare --propagation loud -m true", 1, &["loud"]),
        ("unshare --kill-child=SIGNONE true", 1, &["SIGNONE"]),
        ("unshare --boottime 5 true", 1, &["time"]),
        ("unshare -T --monotonic soon true", 1, &["soon"]),
        ("unshare -S me true", 1, &["me"]),
        ("unshare -G '' true", 1, &[]),
        ("unshare --owner 1000 true", 1, &["owner"]),
    ];
    for (line, status, words) in cases {
        t.run(line).fails(status, "unshare", words).untouched();
        t.user()
            .run(line)
            .fails(status, "unshare", words)
            .untouched();
    }
}

#[test]
fn a_bad_root_is_refused_in_one_line() {
    needs!(userns);
    let t = Sandbox::new("unshare");
    t.write("file", "");
    for root in ["nowhere", "file", "file/x", "''"] {
        t.user()
            .run(&format!("unshare -rm -R {root} true"))
            .fails(1, "unshare", &[])
            .untouched();
        t.user()
            .run(&format!("unshare -rmpf -R {root} --mount-proc true"))
            .fails(1, "unshare", &[])
            .untouched();
    }
}

#[test]
fn closed_streams_are_no_surprise() {
    let t = Sandbox::new("unshare");
    t.run("unshare true <&- >&- 2>&-").ok();
    t.run("unshare -f true <&- >&- 2>&-").ok();
    t.run("unshare no-such-program 2>&-").status(127).err("");
    t.run("unshare -f sh -c 'echo to stdout' <&-")
        .ok()
        .out("to stdout\n");
    // What was closed cannot be used: no file of ours takes its place.
    t.run("unshare -f sh -c 'read x || echo nothing' <&-")
        .ok()
        .out("nothing\n");
    t.run("unshare -f sh -c 'echo x || echo nowhere >&2' >&-")
        .ok()
        .out("")
        .err_has("nowhere");
    t.run("unshare --help >/dev/full")
        .status(1)
        .err_has("No space left on device");
    t.run("unshare --help | true").ok().err("");
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
