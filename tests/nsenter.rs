//! nsenter from outside: what a user of it would notice, on the real kernel.
//!
//! Every test makes its own target with our unshare. Numbers name the cases and scripts of the
//! acceptance list; the dialect and the shared wording are in parity/nsenter.cases.

use crate::kit::{Sandbox, needs};

/// `target FLAGS...` starts a sleeper in namespaces of its own and prints its pid once it sleeps;
/// `end PID...` ends it.
const TARGET: &str = r#"#!/bin/sh
case " $* " in *" -"[a-zA-Z]*p*|*" -p"*) set -- -f "$@" ;; esac
unshare "$@" sleep 1000 >/dev/null 2>&1 &
top=$!
for i in $(seq 500); do
  for pid in $top $(cat /proc/$top/task/$top/children 2>/dev/null); do
    read -r name </proc/$pid/comm && [ "$name" = sleep ] && echo $pid && exit
  done
  sleep 0.01
done 2>/dev/null
echo "no target" >&2; exit 1
"#;

const END: &str = r#"#!/bin/sh
kill -KILL "$@"
for pid; do while grep -qs '^State:[^Z]*$' /proc/$pid/status; do sleep 0.01; done; done
"#;

fn sandbox() -> Sandbox {
    let t = Sandbox::new("nsenter");
    t.tool("target", TARGET).tool("end", END);
    t
}

/// Cases 11 and 84, script 2.
#[test]
fn two_namespaces_cannot_see_each_other() {
    needs!(root);
    let t = sandbox();
    t.run(
        r#"p=$(target -p --mount-proc); q=$(target -p --mount-proc)
           test "$(readlink /proc/$p/ns/pid)" != "$(readlink /proc/$q/ns/pid)" && echo apart
           nsenter -t $p -p -m sh -c 'cat /proc/[0-9]*/comm | grep -c "^sleep"'
           lsns -n -t pid -o PID | tr -d ' ' | grep -cx -e $p -e $q; end $p $q"#,
    )
    .ok()
    .out("apart\n1\n2\n");
}

/// Case 82: each kind by pid, and all of them together.
#[test]
fn a_namespace_is_entered_by_pid() {
    needs!(root, timens);
    let t = sandbox();
    t.run(
        "p=$(target -mpuinCT); for kind in cgroup ipc mnt net pid time uts; do
           case $kind in mnt) word=mount ;; *) word=$kind ;; esac
           test \"$(nsenter -t $p --$word readlink /proc/self/ns/$kind)\" = \"$(readlink /proc/$p/ns/$kind)\" && echo $kind
         done | tr '\\n' ' '
         nsenter -t $p -a sh -c 'readlink /proc/self/ns/*' | sort >got; readlink /proc/$p/ns/* | sort | cmp got - && echo all; end $p",
    )
    .ok()
    .out("cgroup ipc mnt net pid time uts all\n");
}

/// Case 83: the PID namespace needs a fork, and --no-fork leaves it to the children.
#[test]
fn only_children_enter_a_pid_namespace() {
    needs!(root);
    let t = sandbox();
    t.run(
        "p=$(target -p); nsenter -t $p -p sh -c 'test $$ -lt 100 && echo inside'
         nsenter -t $p -p --no-fork sh -c 'test $$ -gt 1 && test \"$(readlink /proc/self/ns/pid)\" != \"$(readlink /proc/$$/ns/pid)\" && echo split'
         end $p",
    )
    .ok()
    .out("inside\nsplit\n");
}

/// Case 86: dead, unknown, not allowed. The message names the process or the namespace.
#[test]
fn bad_targets_are_refused_in_one_line() {
    let t = sandbox();
    t.write("file", "");
    let cases: [(&str, &[&str]); 12] = [
        ("nsenter -t 4194303 -u true", &["4194303", "No such"]),
        ("nsenter -t 4194303 -a true", &["4194303", "No such"]),
        (
            "sh -c 'exit 0' & wait $!; exec nsenter -t $! -m true",
            &["No such"],
        ),
        ("nsenter -t 0 -u true", &["0"]),
        ("nsenter -t -5 -u true", &[]),
        ("nsenter -t here -u true", &["here"]),
        ("nsenter -u true", &["uts"]),
        ("nsenter -a true", &["--all"]),
        (
            "nsenter --uts=nowhere true",
            &["nowhere", "No such file or directory"],
        ),
        (
            "nsenter -u/nowhere true",
            &["/nowhere", "No such file or directory"],
        ),
        (
            "nsenter -t $$ -w/nowhere true",
            &["/nowhere", "No such file or directory"],
        ),
        ("nsenter --bogus", &["--bogus"]),
    ];
    for (line, words) in cases {
        t.run(line).fails(1, "nsenter", words).untouched();
        t.user().run(line).fails(1, "nsenter", words).untouched();
    }
    t.run("nsenter --uts=file true")
        .fails(1, "nsenter", &["Invalid argument"])
        .untouched();
    t.run("nsenter --net=/proc/self/ns/uts true")
        .fails(1, "nsenter", &["Invalid argument"])
        .untouched();
}

#[test]
fn without_privilege_the_refusal_is_one_line() {
    needs!(root);
    let t = sandbox();
    for kind in ["-u", "-m", "-n", "-i", "-p", "-C", "-a"] {
        let line = format!(
            "p=$(target -mpuinC); setpriv --reuid 1000 --regid 1000 --clear-groups nsenter -t $p {kind} true; s=$?; end $p; exit $s"
        );
        t.run(&line).fails(1, "nsenter", &[]).untouched();
        t.run(&line.replace("1000", "65534"))
            .fails(1, "nsenter", &[])
            .untouched();
    }
}

#[test]
fn a_program_that_cannot_run_has_the_shells_status() {
    needs!(root);
    let t = sandbox();
    t.write("file", "");
    for (program, status) in [("no-such-program", 127), ("./file", 126), ("/", 126)] {
        for kinds in ["-u", "-p"] {
            t.run(&format!(
                "p=$(target -pu); nsenter -t $p {kinds} {program}; s=$?; end $p; exit $s"
            ))
            .fails(status, "nsenter", &[program])
            .untouched();
        }
    }
}

#[test]
fn the_program_s_end_is_ours() {
    needs!(root);
    let t = sandbox();
    for (program, status) in [
        ("exit 42", 42),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
        ("exit 0", 0),
    ] {
        t.run(&format!(
            "p=$(target -p); nsenter -t $p -p sh -c '{program}'; s=$?; end $p; exit $s"
        ))
        .status(status);
    }
}

/// Job control: what stops the program stops nsenter, and what continues nsenter continues it.
#[test]
fn stopping_is_mirrored() {
    needs!(root);
    let t = sandbox();
    t.run(
        "p=$(target -p); nsenter -t $p -p sh -c 'kill -STOP $$; echo continued; exit 5' >out & n=$!
         for i in $(seq 300); do grep -q '^State:.T' /proc/$n/status && break; sleep 0.01; done
         grep -q '^State:.T' /proc/$n/status && echo stopped; kill -CONT $n; wait $n; s=$?; cat out; end $p; exit $s",
    )
    .status(5)
    .out("stopped\ncontinued\n");
}

/// Case 87: an ordinary user enters the user namespace first, root may enter it last.
#[test]
fn the_owner_of_a_user_namespace_gets_in() {
    needs!(root, userns);
    let t = sandbox();
    let user = "setpriv --reuid 1000 --regid 1000 --clear-groups";
    let inside = "sh -c 'hostname; id -u; mount -t tmpfs none /mnt && echo mounted'";
    for who in [&format!("{user} nsenter --preserve-credentials"), "nsenter"] {
        t.run(&format!(
            "p=$({user} target -rmu --hostname box); {who} -t $p -U -m -u {inside}; s=$?; end $p; exit $s"
        ))
        .ok()
        .out("box\n0\nmounted\n");
    }
    // Not without the user namespace, and not for a stranger.
    let t2 = format!("p=$({user} target -ru)");
    t.run(&format!(
        "{t2}; {user} nsenter -t $p -u true; s=$?; end $p; exit $s"
    ))
    .fails(1, "nsenter", &["Operation not permitted"]);
    t.run(&format!(
        "{t2}; {} nsenter -t $p -U -u true; s=$?; end $p; exit $s",
        user.replace("1000", "1001")
    ))
    .fails(1, "nsenter", &["Operation not permitted"]);
}

#[test]
fn ids_follow_or_stay() {
    needs!(root, userns);
    let t = sandbox();
    let user = "setpriv --reuid 1000 --regid 1000 --clear-groups";
    t.run(&format!(
        "p=$({user} target -u -r); nsenter -t $p -U sh -c 'id -u; id -g'; end $p"
    ))
    .ok()
    .out("0\n0\n");
    t.run("p=$(target -u); nsenter -t $p -u -S 5 -G 6 sh -c 'id -u; id -g; id -G'; end $p")
        .ok()
        .out("5\n6\n6\n");
    t.run("p=$(setpriv --reuid 1234 --regid 1235 --clear-groups sh -c 'sleep 1000 >/dev/null & echo $!')
           nsenter -t $p -S follow -G follow sh -c 'id -u; id -g'; end $p")
        .ok()
        .out("1234\n1235\n");
}

/// -r, -w, -W, and the working directory as a tunnel into what the target cannot see.
#[test]
fn root_and_working_directory() {
    needs!(root, busybox);
    let t = sandbox();
    t.root("r");
    t.write("outside/seen", "");
    t.run("p=$(target -R r); nsenter -t $p -r ls -d /bin; nsenter -t $p -r -w pwd; end $p")
        .ok()
        .out("/bin\n/\n");
    t.run("p=$(target -R r); nsenter -t $p -r --wdns=/tmp pwd; nsenter -t $p -rr --wdns=/etc pwd; end $p").ok().out("/tmp\n/etc\n");
    t.run("p=$(target -mR r); nsenter -t $p -m -r -woutside ls; end $p")
        .ok()
        .out("seen\n");
    t.run("p=$(cd /usr; target -u); nsenter -t $p -u -w pwd; end $p")
        .ok()
        .out("/usr\n");
    t.run("p=$(target -u); nsenter -t $p -u -w -W /usr true; s=$?; end $p; exit $s")
        .fails(1, "nsenter", &["--wd"]);
}

#[test]
fn the_environment_of_the_target_is_taken_when_asked() {
    needs!(root);
    let t = sandbox();
    t.run("p=$(COLOUR=red target -u); COLOUR=blue nsenter -t $p -u --env printenv COLOUR; COLOUR=blue nsenter -t $p -u printenv COLOUR; end $p")
        .ok()
        .out("red\nblue\n");
}

#[test]
fn the_cgroup_of_the_target_is_joined_when_asked() {
    needs!(root, cgroup2);
    let t = sandbox();
    let group = needs::cgroup2_mount().unwrap().join(t.id());
    t.cmd(
        "p=$(target -u); mkdir $G && echo $p >$G/cgroup.procs
         nsenter -t $p -u --join-cgroup grep ^0: /proc/self/cgroup; s=$?; end $p
         for i in $(seq 100); do rmdir $G && break; sleep 0.02; done 2>/dev/null; exit $s",
    )
    .env("G", &group)
    .run()
    .ok()
    .out(&format!("0::/{}\n", t.id()));
}

/// A pid that was recycled is somebody else: the inode of its pidfd tells.
#[test]
fn a_pinned_pid_must_be_the_same_process() {
    needs!(root);
    let t = sandbox();
    t.run("p=$(target -u); nsenter -t $p:1 -u true; s=$?; end $p; exit $s")
        .fails(1, "nsenter", &[])
        .untouched();
    t.run("nsenter -t $$:x -u true").fails(1, "nsenter", &[]);
}

/// An applet named as the program reaches any root: the target's has no such file.
#[test]
fn our_applets_run_where_there_is_no_such_file() {
    needs!(root, busybox);
    let t = sandbox();
    t.root("r");
    t.run("p=$(target -mpuinC -R r --mount-proc); nsenter -t $p -a -r lsns -n -o TYPE | sort | tr '\\n' ' '; end $p")
        .ok()
        .out("cgroup ipc mnt net pid time user uts ");
    t.run("p=$(target -mR r); nsenter -t $p -m -r setpriv --reuid 5 --clear-groups id -u; end $p")
        .ok()
        .out("5\n");
    t.run("p=$(target -mR r); nsenter -t $p -m -r -- setpriv --nnp unshare -u hostname >/dev/null; end $p").ok();
}

#[test]
fn explain_tells_and_does_nothing() {
    needs!(root);
    let t = sandbox();
    t.run("p=$(target -mpu); nsenter -t $p -m -p -u --explain touch made; s=$?; end $p; exit $s")
        .ok()
        .out_in_order(&["setns", "touch"])
        .out_has("setns(2)")
        .err("")
        .untouched();
    t.run("p=$(target -u); nsenter -t $p -u --explain=run hostname >out; s=$?; hostname | cmp - out && end $p; exit $s")
        .ok()
        .out("")
        .err_has("setns");
}

/// The program has the descriptors it would have had without us, and none of ours.
#[test]
fn no_descriptor_of_ours_reaches_the_program() {
    needs!(root);
    let t = sandbox();
    for flags in ["-u", "-p", "-a", "-m -w -r"] {
        t.run(&format!("p=$(target -mpu); ls /proc/self/fd | wc -l >want; nsenter -t $p {flags} sh -c 'ls /proc/self/fd | wc -l' | cmp want -; s=$?; end $p; exit $s"))
            .ok();
    }
    t.run("nsenter true <&- >&- 2>&-").ok();
}
