//! pivot, pivot_root and switch_root from outside: what a user of them would notice.
//!
//! Numbers name the cases and scripts of the acceptance list. The bare calls' statuses and wording are
//! in parity/roots.cases; pivoting out of an initramfs is tested in a virtual machine (tests/vm).

use crate::kit::Sandbox;

/// A sandbox with a root `r` in it.
fn sandbox() -> Sandbox {
    let t = Sandbox::new("pivot");
    t.root("r");
    t
}

/// Cases 60, 63, 67, script 11: one mount at /, /proc of the new PID namespace, nothing of the host.
#[test]
fn the_new_root_is_all_there_is() {
    needs!(root, busybox);
    let t = sandbox();
    t.run(
        r#"unshare -mpfu sh -c 'hostname mini; exec pivot --proc r /bin/sh -c "
             echo PID \$\$; hostname; pwd; ls -d /usr /oldroot; grep -c \" / \" /proc/mounts; wc -l </proc/mounts; echo /proc/[0-9]*; cd ..; pwd"'"#,
    )
    .ok()
    .out("PID 1\nmini\n/\n1\n2\n/proc/1\n/\n")
    .err_has("/usr")
    .untouched();
}

/// Case 59: the two-directory form is the bare system call, under its own name and ours.
#[test]
fn the_raw_form_takes_two_directories() {
    needs!(root, busybox);
    let t = sandbox();
    t.run("mkdir r/old").ok();
    t.run("unshare -m sh -c 'mount --bind r r; cd r; pivot_root . old; cd /; ls -d /bin /old/usr; umount -l /old; ls /old'")
        .ok()
        .out("/bin\n/old/usr\n")
        .untouched();
    t.run("unshare -m pivot_root r r/old")
        .fails(1, "pivot_root", &["Device or resource busy"])
        .untouched();
    t.run("unshare -m pivot_root nowhere r")
        .fails(1, "pivot_root", &["nowhere", "No such file or directory"])
        .untouched();
    t.run("pivot_root r")
        .fails(1, "pivot_root", &[])
        .untouched();
}

/// The shell that calls it keeps its root, and a program that the new root has not is missed before anything changes.
#[test]
fn the_caller_stays_where_it_is() {
    needs!(root, busybox);
    let t = sandbox();
    t.write("r/data", "").write("r/srv/tool", "");
    t.run("ln -s /bin/nowhere r/bin/led; ln -s ../../bin/echo r/srv/echo")
        .ok();
    let both = |line: &str| {
        t.run(&format!(
            "unshare -m sh -c '({line}); s=$?; ls -d /usr; exit $s'"
        ))
    };
    for (line, status, why) in [
        ("pivot r nosuch", 127, "No such file or directory"),
        ("pivot r /usr/bin/id", 127, "No such file or directory"),
        ("pivot r led", 127, "No such file or directory"),
        ("pivot r /data", 126, "Permission denied"),
        ("pivot r /bin", 126, "Permission denied"),
        ("pivot -w /srv r ./tool", 126, "Permission denied"),
        (
            "p=$(command -v pivot); PATH=/srv $p r sh",
            127,
            "No such file or directory",
        ),
    ] {
        let ran = both(line);
        ran.status(status).out("/usr\n").err_has(why);
        ran.hint("not entered");
    }
    // Neither does its shell's where it has the program; but all of the namespace may be asked for.
    both("pivot r echo in").status(0).out("in\n/usr\n");
    both("pivot --force r nosuch").status(127).out("/usr\n");
    both("pivot --force r echo in").out("in\n").err_has("/usr");
    // What is there goes on: by links, below a mount that it brings, from where it starts.
    for line in [
        "pivot r echo in",
        "pivot -w /srv r ./echo in",
        "pivot -w /srv r ../bin/echo in",
        "pivot -v r/bin:/srv/more r /srv/more/echo in",
        "pivot --dev r setpriv echo in",
    ] {
        both(line).ok().out("in\n/usr\n");
    }
}

/// Case 61: what makes the bare call fail, it does itself: a root that is no mount, a shared parent.
#[test]
fn it_needs_no_preparation() {
    needs!(root, busybox);
    let t = sandbox();
    t.run("unshare -m --propagation shared pivot r ls -d /bin")
        .ok()
        .out("/bin\n")
        .untouched();
    t.run("unshare -m sh -c 'mount -t tmpfs t r/tmp; exec pivot r ls -d /bin'")
        .ok()
        .out("/bin\n");
    t.run("unshare -m sh -c 'mount --make-rshared /; mkdir -p r/tmp/d; exec unshare -m --propagation unchanged pivot --proc r sh -c \"wc -l </proc/mounts\"'")
        .ok()
        .out("2\n");
    t.run("unshare -m pivot / ls -d /usr")
        .ok()
        .out("/usr\n")
        .untouched();
    t.run("cd r && unshare -m pivot . ls -d /bin")
        .ok()
        .out("/bin\n");
    t.run("unshare -m pivot \"$PWD/r/../r/.\" ls -d /bin")
        .ok()
        .out("/bin\n");
}

/// Cases 62, 16 of the mistakes, script 12: the machine's own root is not swapped.
#[test]
fn it_refuses_where_pid_one_lives() {
    needs!(root, busybox);
    let t = sandbox();
    t.run("unshare -pf --mount-proc sh -c 'pivot r /bin/true; echo rc=$?; ls -d /usr r'")
        .ok()
        .out("rc=1\n/usr\nr\n")
        .hint("unshare")
        .err_has("mount namespace")
        .untouched();
    // PID 1 itself may: it is the one whose root that is.
    t.run("unshare -mpf pivot r ls -d /bin").ok().out("/bin\n");
    t.run("unshare -mpf --mount-proc sh -c 'unshare -m pivot r ls -d /bin; ls -d r'")
        .ok()
        .out("/bin\nr\n");
}

/// Case 64 to 66: what a container's root has.
#[test]
fn proc_sys_and_dev_on_request() {
    needs!(root, busybox);
    let t = sandbox();
    t.run("unshare -mpf pivot r sh -c 'ls /proc /sys /dev'")
        .ok()
        .out("/dev:\n\n/proc:\n\n/sys:\n");
    t.run(
        "unshare -mpfn pivot --proc --sys --dev r sh -c 'readlink /proc/self; ls /sys/class/net
           for f in null zero full random urandom tty; do test -c /dev/$f || echo no $f; done
           test -d /dev/pts && test -d /dev/shm && echo x >/dev/null && head -c 4 /dev/zero | wc -c
           readlink /dev/fd; readlink /dev/stdin; stat -c \"%t %T %a\" /dev/null; touch /dev/shm/f; grep -c devpts /proc/mounts'",
    )
    .ok()
    .out("2\nlo\n4\n/proc/self/fd\n/proc/self/fd/0\n1 3 666\n1\n")
    .untouched();
    t.run("rmdir r/proc; unshare -m pivot --proc r ls -d /proc/self")
        .ok()
        .out("/proc/self\n");
}

/// Cases 64 and 66: a root that cannot be written, a /tmp that can, paths that cannot be seen.
#[test]
fn a_root_can_be_read_only_and_have_its_paths_covered() {
    needs!(root, busybox);
    let t = sandbox();
    t.write("r/etc/secret", "told\n")
        .write("outside/shown", "host's\n");
    t.run("mkdir r/mnt r/mnt/in").ok();
    let inside = "sh -c 'echo x >/bin/new || echo read-only; echo x >/tmp/new && echo temporary
         cat /etc/secret; ls /mnt/in; cat /v/shown; echo x >/v/new || echo not the volume
         echo 1 >/proc/sys/kernel/panic || echo not the machine; stat -c %a /tmp' 2>/dev/null";
    t.run(&format!(
        "unshare -mpf pivot --proc --read-only --mount type=tmpfs,source=t,target=/tmp,mode=1777 --mask /etc/secret --mask /mnt \
           -v outside:/v:ro --read-only-path /proc/sys r {inside}"
    ))
    .ok()
    .out("read-only\ntemporary\nhost's\nnot the volume\nnot the machine\n1777\n");
    t.run("cat r/etc/secret; ls r/mnt outside")
        .ok()
        .out("told\noutside:\nshown\n\nr/mnt:\nin\n");
}

#[test]
fn the_old_root_is_put_where_asked() {
    needs!(root, busybox);
    let t = sandbox();
    t.run("mkdir r/old").ok();
    t.run("unshare -m pivot --put-old old r sh -c 'ls -d /old/usr; ls -d /bin'")
        .ok()
        .out("/old/usr\n/bin\n")
        .untouched();
    t.run("unshare -m pivot --put-old /old r sh -c 'ls -d /old/usr; umount -l /old; ls /old'")
        .ok()
        .out("/old/usr\n");
    // Made where it is missing, as mount points are.
    t.run("unshare -m pivot --put-old deep/er r sh -c 'ls -d /deep/er/usr'")
        .ok()
        .out("/deep/er/usr\n");
}

/// Without a user namespace that is root's; with one it is anybody's.
#[test]
fn an_ordinary_user_pivots_in_a_user_namespace() {
    needs!(userns, busybox);
    let t = sandbox();
    t.user()
        .run("unshare -rmpf pivot --proc --dev r sh -c 'echo $$; id -u; echo /proc/[0-9]*; echo x >/dev/null && test -c /dev/null && echo null'")
        .ok()
        .out("1\n0\n/proc/1\nnull\n")
        .untouched();
    t.user()
        .run("pivot r true")
        .fails(1, "pivot", &[])
        .untouched();
}

/// An applet named as the program is run from our own binary: this root holds no such file.
#[test]
fn our_applets_run_in_a_root_without_them() {
    needs!(root, busybox);
    let t = sandbox();
    t.run("unshare -mpf pivot --proc r setpriv --reuid 5 --regid 6 --clear-groups sh -c 'id -u; id -g'").ok().out("5\n6\n").untouched();
    t.run("unshare -mpf pivot --proc r lsns -n -o TYPE,PID | sort | tr -s ' ' | tr '\\n' ','")
        .ok()
        .out("cgroup 1,ipc 1,mnt 1,net 1,pid 1,time 1,user 1,uts 1,");
    t.run("unshare -mpf pivot --proc r unshare -u setpriv --nnp hostname >/dev/null")
        .ok();
    // What the root itself holds under another name is not shadowed.
    t.run("unshare -m pivot r hostname >/dev/null").ok();
    // An empty root is enough.
    t.run("mkdir empty; unshare -m pivot empty setpriv --dump | head -n 1")
        .ok()
        .out("uid: 0\n");
}

/// The handle on our binary is no way out: nothing inside may write to it (CVE-2019-5736).
#[test]
fn our_binary_is_out_of_reach() {
    needs!(root, busybox);
    let t = sandbox();
    t.run("unshare -mpf pivot --proc r unshare -f sh -c 'echo x 2>/dev/null >>/proc/1/exe && echo written; true' 2>/dev/null").ok().out("");
}

#[test]
fn bad_input_is_refused_in_one_line() {
    needs!(root, busybox);
    let t = sandbox();
    t.write("file", "").write("r/bin/data", "");
    t.run("ln -s nowhere dangling; ln -s loop loop").ok();
    let cases: [(&str, i32, &[&str]); 11] = [
        (
            "pivot nowhere true",
            1,
            &["nowhere", "No such file or directory"],
        ),
        ("pivot file true", 1, &["file", "Not a directory"]),
        ("pivot dangling true", 1, &["dangling"]),
        ("pivot loop true", 1, &["loop"]),
        ("pivot '' true", 1, &[]),
        ("pivot", 1, &[]),
        ("pivot --bogus r true", 1, &["--bogus"]),
        (
            "pivot r no-such-program",
            127,
            &["no-such-program", "No such file or directory"],
        ),
        (
            "pivot r /usr/bin/env",
            127,
            &["/usr/bin/env", "No such file or directory"],
        ),
        (
            "pivot r /bin/data",
            126,
            &["/bin/data", "Permission denied"],
        ),
        ("pivot r /bin", 126, &["Permission denied"]),
    ];
    for (line, status, words) in cases {
        t.run(&format!("unshare -m {line}"))
            .fails(status, "pivot", words)
            .untouched();
        t.user()
            .run(&format!("unshare -rm {line}"))
            .fails(status, "pivot", words)
            .untouched();
    }
    t.run("unshare -m pivot nowhere true")
        .fails(1, "pivot", &["nowhere"]);
    t.user()
        .run("pivot r true")
        .fails(1, "pivot", &[])
        .untouched();
}

/// A symbolic link to a root is the root it points to, as for chroot; what is inside never leads out.
#[test]
fn links_lead_to_the_root_and_not_out_of_it() {
    needs!(root, busybox);
    let t = sandbox();
    t.run("ln -s r link; unshare -m pivot link ls -d /bin")
        .ok()
        .out("/bin\n");
    // The image's own /proc is a link to a directory of the host: nothing may be mounted there.
    t.run("mkdir victim; rmdir r/proc; ln -s \"$PWD/victim\" r/proc; unshare -mpf pivot --proc r true; ls victim").out("");
    t.run("rm r/proc; mkdir r/proc; rmdir r/dev; ln -s ../victim r/dev; unshare -mpf pivot --dev r true; ls victim").out("");
}

#[test]
fn statuses_and_streams_pass_through() {
    needs!(root, busybox);
    let t = sandbox();
    t.run("unshare -m pivot r sh -c 'exit 42'").status(42);
    t.run("unshare -m pivot r sh -c 'kill -KILL $$'")
        .status(137);
    t.run("unshare -mpf pivot r sh -c 'exit 42'").status(42);
    t.cmd("unshare -m pivot r cat")
        .stdin("through")
        .run()
        .ok()
        .out("through");
    t.run("unshare -m pivot r true <&- >&- 2>&-").ok();
    t.cmd("unshare -m pivot r")
        .env("SHELL", "/bin/sh")
        .stdin("pwd; exit 3\n")
        .run()
        .status(3)
        .out("/\n");
}

#[test]
fn explain_tells_and_does_nothing() {
    needs!(busybox);
    let t = sandbox();
    t.user()
        .run("pivot --proc --sys --dev --explain r touch made")
        .ok()
        .out_in_order(&["pivot_root", "exec"])
        .out_has("pivot_root(2)")
        .err("")
        .untouched();
    t.user()
        .run("pivot --explain=json r true")
        .ok()
        .out_has("\"call\"")
        .untouched();
}

/// switch_root deletes what it leaves: everywhere but in an initramfs it must refuse, and delete nothing.
#[test]
fn switch_root_refuses_outside_of_an_initramfs() {
    needs!(root, busybox);
    let t = sandbox();
    t.write("precious", "kept");
    t.run("unshare -m switch_root r /bin/sh")
        .fails(1, "switch_root", &[])
        .untouched();
    t.run("unshare -mpf switch_root r /bin/sh")
        .fails(1, "switch_root", &[])
        .untouched();
    t.run("unshare -mpf switch_root nowhere /bin/sh")
        .fails(1, "switch_root", &["nowhere"])
        .untouched();
    t.run("switch_root r")
        .fails(1, "switch_root", &[])
        .untouched();
    t.user()
        .run("switch_root r /bin/sh")
        .fails(1, "switch_root", &[])
        .untouched();
}
