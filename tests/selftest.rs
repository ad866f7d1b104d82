//! selftest: isolation shown by our own steps. Each check is shown to fire: where the kernel says yes and does nothing.

use crate::kit::Sandbox;

const ALL: &str = "pid net uts ipc mnt user cgroup time chroot pivot overlay layers memory.max pids.max capabilities \
    no_new_privs seccomp landlock container";

/// A line of each of these in order, ending so.
fn lines(names: &str, end: &str) -> String {
    let line = |name| format!("{name} {end}\n");
    names.split_whitespace().map(line).collect()
}

#[test]
fn it_shows_that_everything_isolates() {
    needs!(
        root,
        userns,
        timens,
        landlock,
        controller("memory"),
        controller("pids")
    );
    let t = Sandbox::new("selftest");
    t.run("selftest")
        .ok()
        .err("")
        .out(&lines(ALL, "ok"))
        .untouched();
    // An ordinary user has no control groups here.
    let rest = ALL.replace("memory.max pids.max ", "");
    let user = t.user().run("cd /; selftest");
    let (skipped, fine): (Vec<&str>, Vec<&str>) = user
        .stdout
        .lines()
        .partition(|line| line.contains(" skip ("));
    assert_eq!(
        fine.join("\n") + "\n",
        lines(&rest, "ok"),
        "{}",
        user.stdout
    );
    assert_eq!(skipped.len(), 2, "{}", user.stdout);
    for line in skipped {
        assert!(
            line.contains(".max skip (cannot make cgroup /") && line.contains("Permission denied"),
            "{line}"
        );
    }
    user.ok().err("").untouched();
}

/// Inside against outside, and only what was asked for.
#[test]
fn what_was_seen_is_shown() {
    needs!(root, controller("memory"));
    let t = Sandbox::new("selftest");
    t.run("selftest -v uts pid memory.max container")
        .ok()
        .err("")
        .untouched()
        .out_in_order(&[
            "pid ok\n    process number of the first child, and of its maker: 1 inside, ",
            "uts ok\n    host name: isobox-selftest inside, ",
            "memory.max ok\n    memory.max 32M: ended for taking 128M: 1 inside",
            "container ok\n",
            "    links: lo eth0 inside, lo outside\n",
            "    its gateway: answers inside",
        ]);
    t.run("selftest pid nosuch")
        .fails(1, "selftest", &["no such check", "nosuch"])
        .hint("there are pid net");
}

/// A rule that has the kernel say yes to these calls, and do nothing.
fn lie(t: &Sandbox, calls: &str, args: &str) -> String {
    t.write(
        "rules",
        &format!(
            r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{{"names": [{calls}], "action": "SCMP_ACT_ERRNO", "errnoRet": 0{args}}}]}}"#
        ),
    );
    "setpriv --seccomp-profile rules selftest ".into()
}

#[test]
fn a_kernel_that_makes_no_namespaces_is_found_out() {
    needs!(root, timens);
    let t = Sandbox::new("selftest");
    let line = lie(&t, r#""unshare""#, "");
    let kinds = "pid net uts ipc mnt user cgroup time chroot pivot overlay layers container";
    let why = "FAIL (the kernel says that there is a new namespace, and there is none)";
    t.run(&(line + kinds))
        .status(1)
        .err("")
        .out(&lines(kinds, why))
        .untouched();
}

#[test]
fn every_other_check_fires_too() {
    needs!(root, landlock);
    let t = Sandbox::new("selftest");
    let no_new_privs = r#", "args": [{"index": 0, "value": 38, "op": "SCMP_CMP_EQ"}]"#;
    for (call, args, name, why) in [
        (
            "sethostname",
            "",
            "uts",
            "the host name inside is not what it was set to",
        ),
        (
            "sethostname",
            "",
            "user",
            "root in it may rename the host outside",
        ),
        (
            "sethostname",
            "",
            "container",
            "it has not the host name that it was given",
        ),
        (
            "kill",
            "",
            "pid",
            "a process outside can be signalled from inside",
        ),
        ("connect", "", "net", "there is a way out of it"),
        (
            "move_mount",
            "",
            "mnt",
            "what was mounted inside is not there",
        ),
        ("chroot", "", "chroot", "the root is still the old one"),
        ("pivot_root", "", "pivot", "the root is still the old one"),
        (
            "unlinkat",
            "",
            "overlay",
            "what is written to it is not seen in it",
        ),
        (
            "unlinkat",
            "",
            "layers",
            "what a layer removes is still there",
        ),
        (
            "capset",
            "",
            "capabilities",
            "what needs a capability is done without",
        ),
        (
            "prctl",
            no_new_privs,
            "no_new_privs",
            "it is not set in a child of who has set it",
        ),
        ("seccomp", "", "seccomp", "a call that is forbidden is made"),
        (
            "landlock_restrict_self",
            "",
            "landlock",
            "what was given up is done",
        ),
    ] {
        let line = lie(&t, &format!("\"{call}\""), args);
        t.run(&(line + name))
            .status(1)
            .err("")
            .out(&format!("{name} FAIL ({why})\n"))
            .untouched();
    }
}

/// A limit that does not hold: one that somebody takes away, and one over which processes are stopped and not ended.
#[test]
fn limits_that_do_not_hold_are_found() {
    needs!(root, v1("memory"), v1("pids"));
    let t = Sandbox::new("selftest");
    let group = t.id();
    let own = |controller: &str| format!("/sys/fs/cgroup/{controller}/{group}");
    let (memory, pids) = (own("memory"), own("pids"));
    t.run(&format!(
        "mkdir {memory}; echo 1 >{memory}/memory.oom_control; sh -c 'echo $$ >{memory}/tasks; exec selftest memory.max'; s=$?; rmdir {memory}; exit $s"
    ))
    .status(1)
    .err("")
    .out("memory.max FAIL (who takes more memory than its limit is stopped, and not ended)\n")
    .untouched();
    t.run(&format!(
        "mkdir {pids}; (while test -d {pids}; do for f in {pids}/isobox-*/pids.max; do echo max >$f; done; done) 2>/dev/null &
         n=0; while sh -c 'echo $$ >{pids}/tasks; exec selftest pids.max' >said; do n=$((n + 1)); test $n -lt 200 || break; done
         cat said; rm said; rmdir {pids}; wait"
    ))
    .ok()
    .err("")
    .out("pids.max FAIL (other than 8 processes could be made)\n")
    .untouched();
}

/// What cannot be set up is skipped with its reason, never passed, and is no failure.
#[test]
fn what_cannot_be_set_up_is_skipped() {
    needs!(root, userns, host("setpriv"));
    let t = Sandbox::new("selftest");
    let skipped = |line: &str, names: &str, why: &str| {
        let ran = t.run(line);
        ran.ok().err("").untouched();
        let names: Vec<&str> = names.split_whitespace().collect();
        assert_eq!(ran.stdout.lines().count(), names.len(), "{}", ran.stdout);
        for (line, name) in ran.stdout.lines().zip(names) {
            let is_skipped = line.starts_with(&format!("{name} skip ("));
            assert!(is_skipped && line.contains(why), "{}", ran.stdout);
        }
    };
    let made = "pid net uts ipc mnt user time chroot pivot overlay layers capabilities";
    skipped(
        &format!(
            "unshare -r sh -c 'echo 0 >/proc/sys/user/max_user_namespaces; setpriv --bounding-set=-all --inh-caps=-all selftest {made} container'"
        ),
        &format!("{made} container"),
        "user.max_user_namespaces is 0",
    );
    t.write(
        "refused",
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["unshare", "seccomp", "landlock_create_ruleset"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}"#,
    );
    let more = format!("{made} seccomp landlock container");
    skipped(
        &format!("setpriv --seccomp-profile refused selftest {more}"),
        &more,
        "Function not implemented",
    );
    skipped(
        "unshare -m sh -c 'mount -t tmpfs none /sys/fs/cgroup; selftest memory.max pids.max'",
        "memory.max pids.max",
        "cannot open the cgroup hierarchy",
    );
}

/// With nothing but the binary: nothing else is needed, and nothing is written.
#[test]
fn a_bare_chroot_is_enough() {
    needs!(
        root,
        userns,
        timens,
        landlock,
        static_binary,
        controller("memory"),
        controller("pids")
    );
    let t = Sandbox::new("selftest");
    t.run("mkdir -p l/bin; cp $(readlink -f $(command -v selftest)) l/bin/selftest; chroot l /bin/selftest; s=$?; find l | sort; rm -r l; exit $s")
        .ok()
        .err("")
        .out(&(lines(ALL, "ok") + "l\nl/bin\nl/bin/selftest\n"))
        .untouched();
    t.run("unshare -m sh -c 'mount -o remount,bind,ro /; selftest'")
        .ok()
        .err("")
        .out(&lines(ALL, "ok"))
        .untouched();
}

/// Killed in the middle of what outlives processes: a control group.
#[test]
fn nothing_stays_where_it_is_killed() {
    needs!(root, v1("memory"));
    let t = Sandbox::new("selftest");
    let memory = format!("/sys/fs/cgroup/memory/{}", t.id());
    // Where nobody is ended the check waits, so that there is time.
    t.run(&format!(
        "mkdir {memory}; echo 1 >{memory}/memory.oom_control
         sh -c 'echo $$ >{memory}/tasks; exec selftest memory.max' & p=$!
         until ls -d {memory}/isobox-* >/dev/null 2>&1; do sleep 0.05; done; sleep 0.3; kill -9 $p; wait $p
         until rmdir {memory} 2>/dev/null; do sleep 0.1; done; echo gone"
    ))
    .ok()
    .out("gone\n")
    .untouched();
}
