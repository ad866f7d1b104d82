//! Hostile roots and programs (security list, T-FS and T-EX): the host is never touched.
//!
//! Each attack is aimed at `canary`, a tree outside of the root; what it looks like is compared before and after.
//! `control` says how an attack is known to hit: what happens where the defence is not.

use super::{both, sandbox};
use crate::kit::Sandbox;

/// A sandbox with a canary beside the root: one file of each sort, writable to all.
fn with_canary() -> Sandbox {
    let t = sandbox();
    t.run("mkdir canary canary/sub; echo alive >canary/file; mkfifo canary/fifo; ln -s file canary/link; echo x >canary/ptmx; echo y >canary/null; chmod -R a+rwX canary; chown -R 1000:1000 r")
        .ok();
    t
}

/// Runs `container run ARGS` as both users: whatever it says, the canary and the machine are as before.
#[track_caller]
fn harmless(t: &Sandbox, args: &str) {
    for run in both(t, &format!("container run {args}")) {
        let ran = run.run();
        assert!(ran.status != 0, "the attack was not even noticed{ran}");
        ran.out("").untouched();
    }
}

/// T-FS-02, 09: `/proc`, `/sys`, `/dev` and what is in them are links to the host (CVE-2019-19921,
/// CVE-2026-41579, CVE-2026-47766).
#[test]
fn links_in_the_place_of_mount_points() {
    needs!(root, userns, busybox);
    let t = with_canary();
    for place in ["proc", "sys", "dev"] {
        for to in [
            "$PWD/canary",
            "../canary",
            "../../../../../../../../$PWD/canary",
            "/proc/1/root",
            "nowhere",
            "/tmp",
        ] {
            t.run(&format!("rmdir r/{place} && ln -s {to} r/{place}"))
                .ok();
            harmless(&t, "--rootfs r true");
            t.run(&format!("rm r/{place} && mkdir r/{place}")).ok();
        }
        t.run(&format!("rmdir r/{place} && echo x >r/{place}")).ok();
        harmless(&t, "--rootfs r true");
        t.run(&format!("rm r/{place} && mkdir r/{place}")).ok();
    }
}

/// T-FS-05, 07: what the root has in `/dev` is under ours and never used (CVE-2025-31133, CVE-2026-88264).
#[test]
fn false_devices_in_the_root() {
    needs!(root, userns, busybox);
    let t = with_canary();
    t.run("ln -s /proc/sys/kernel/core_pattern r/dev/null; ln -s $PWD/canary/new r/dev/console; ln -s $PWD/canary r/dev/pts; mkfifo r/dev/zero; echo x >r/dev/ptmx")
        .ok();
    for line in ["container run --rootfs r", "container run -t --rootfs r"] {
        for run in both(
            &t,
            &format!(
                "{line} sh -c 'stat -c %t:%T /dev/null; wc -c </proc/kallsyms; cat /proc/sys/kernel/core_pattern >/dev/null; echo x 2>&1 >/proc/sys/kernel/core_pattern'"
            ),
        ) {
            run.run().status(1).out_has("1:3").untouched();
        }
    }
}

/// T-FS-12, 13: a volume's destination below a link of the root (CVE-2019-18837, CVE-2015-1335).
#[test]
fn links_on_the_way_to_a_volume() {
    needs!(root, userns, busybox);
    let t = with_canary();
    t.run("mkdir vol; echo v >vol/f; ln -s $PWD/canary r/out; ln -s ../../../../../../../..$PWD/canary r/up; ln -s /tmp r/in; ln -s /proc/self/fd/0 r/magic; mkdir -p r/$PWD/canary; chmod -R a+rwX r")
        .ok();
    // A link is followed inside the root only: its target is made there, never outside.
    for to in ["/out/new", "/up/new", "/out", "/in/x", "/tmp/../up/new"] {
        for run in both(
            &t,
            &format!(
                "container run --rootfs r -v ./vol:{to} sh -c 'cat {to}/f'; find canary | wc -l; rm -rf r/$PWD/canary/* r/tmp/x; ls canary/new 2>/dev/null; true"
            ),
        ) {
            run.run().ok().out("v\n7\n").untouched();
        }
    }
    harmless(&t, "--rootfs r -v ./vol:/magic/x true");
    harmless(&t, "--rootfs r -v ./vol:/dev/../proc/self true");
    harmless(&t, "--rootfs r -v ./vol:/proc true");
    harmless(&t, "--rootfs r -v ./vol:/proc/sys/kernel true");
}

/// T-FS-14: the working directory below a link (CVE-2026-55686).
#[test]
fn links_on_the_way_to_the_working_directory() {
    needs!(root, userns, busybox);
    let t = with_canary();
    t.run("ln -s $PWD/canary r/l; ln -s ../../../../../..$PWD/canary r/up; mkdir -p r/$PWD/canary; chmod -R a+rwX r").ok();
    for dir in ["/l/new", "/up/new", "/../../../../../..$PWD/canary/new"] {
        for run in both(
            &t,
            &format!(
                "container run --rootfs r -w {dir} pwd; ls canary/new 2>/dev/null; rm -rf r/$PWD/canary/*"
            ),
        ) {
            run.run().ok().out_has("/canary/new\n").untouched();
        }
    }
    harmless(&t, "--rootfs r -w /proc/self/fd/3/x true");
}

/// T-FS-18: `/etc` of the root leads out, and is looked at for the user: nothing is written there.
#[test]
fn a_hostile_etc() {
    needs!(root, userns, busybox);
    let t = with_canary();
    t.run(
        "rm -r r/etc; ln -s $PWD/canary r/etc; echo 'root:x:0:0::/canary:/bin/sh' >canary/passwd",
    )
    .ok();
    for run in both(&t, "container run --rootfs r sh -c 'echo $HOME'") {
        run.run().ok().out("/\n").untouched();
    }
    t.run("rm r/etc canary/passwd; mkdir r/etc").ok();
    for passwd in [
        "mkfifo r/etc/passwd",
        "mkdir r/etc/passwd",
        "ln -s passwd r/etc/passwd",
        "truncate -s 2G r/etc/passwd",
    ] {
        t.run(&format!("{passwd}; chown -h 1000 r/etc/passwd")).ok();
        harmless(&t, "--rootfs r true");
        t.run("rm -r r/etc/passwd").ok();
    }
    t.run("echo '4294967296:x:0:0::/:' >r/etc/passwd").ok();
    harmless(&t, "--rootfs r -u 4294967296 true");
}

/// T-FS-26: what is mounted inside stays inside, though the host's mounts are shared.
#[test]
fn mounts_do_not_come_out() {
    needs!(root, userns, busybox);
    let t = with_canary();
    t.run("mkdir vol; mount -t tmpfs t vol; mount --make-rshared /; mkdir vol/sub")
        .ok();
    let line = "container run --rootfs r --cap-add SYS_ADMIN -v ./vol:/tmp sh -c 'mount -t tmpfs t /tmp/sub && grep -c /tmp/sub /proc/self/mounts'";
    for run in both(&t, line) {
        run.run().ok().out("1\n").untouched();
    }
    t.run("mount --make-rprivate /; umount vol").ok();
}

/// T-SEC-05, nodev: a device that lies in the root, or in a volume, is a file that does nothing.
#[test]
fn devices_lie_dead() {
    needs!(root, busybox);
    let t = with_canary();
    t.run("mkdir vol; mknod r/disk c 1 5; mknod vol/disk c 1 5; chmod 666 r/disk vol/disk")
        .ok();
    t.run("head -c1 r/disk | wc -c").ok().out("1\n"); // control: outside it works
    t.run("container run --rootfs r --cap-add ALL -v ./vol:/tmp sh -c 'head -c1 /disk /tmp/disk; head -c1 /dev/zero | wc -c'")
        .ok()
        .out("1\n")
        .err_has("/disk: Permission denied")
        .err_has("/tmp/disk: Permission denied");
}

/// T-EX-01: the host's own binary is not to be had by way of /proc/PID/exe (CVE-2019-5736).
#[test]
fn our_binary_cannot_be_overwritten() {
    needs!(root, userns, busybox);
    let t = with_canary();
    t.write("r/entry", "#!/proc/self/exe\n")
        .run("chmod 755 r/entry; cp $(readlink -f $(which isobox)) copy")
        .ok();
    let sum = "cmp copy $(readlink -f $(which isobox))";
    // With a first process of ours inside there is one to aim at; a shell that is process 1 has none.
    let aim = "sh -c 'for i in 1 2 3; do (echo x >/proc/1/exe) && echo overwritten; (busybox dd if=/dev/zero of=/proc/1/exe conv=notrunc count=1 2>&1); done; true'";
    for program in [
        format!("--init {aim}"),
        format!("--init --cap-add ALL {aim}"),
        "/entry".into(),
        "/proc/self/exe unshare true".into(),
        "--cap-add ALL -w /proc/self /proc/self/exe".into(),
    ] {
        for run in both(
            &t,
            &format!("container run --rootfs r {program}; {sum} && echo same"),
        ) {
            let ran = run.run();
            ran.out_has("same\n");
            assert!(!ran.stdout.contains("overwritten"), "{ran}");
            assert!(!ran.stdout.contains("records out"), "{ran}");
        }
    }
}

/// The same, when the process outside has been killed: until its container is gone too, nothing executes the file, so the
/// kernel would let it be written to. What a process inside has is another file, or the file where it is read-only.
#[test]
fn a_container_has_no_way_to_our_binary() {
    needs!(root, userns, busybox);
    let t = with_canary();
    // Of the process with this number: its file, and why nobody can write to it now.
    let look = |pid: &str| {
        format!(
            "sh -c '(exec 3</proc/{pid}/exe; stat -L -c %d:%i /proc/self/fd/3; : >/proc/self/fd/3) 2>&1'"
        )
    };
    let (first, parent) = (look("1"), look("$PPID"));
    let judged = |line: &str| {
        format!(
            "seen=$({line}); case $seen in *denied* | *Read-only*) echo kept;; \"$(stat -L -c %d:%i $(readlink -f $(which isobox)))\"*) echo \"ours: $seen\";; [0-9]*) echo kept;; *) echo \"$seen\";; esac"
        )
    };
    // The control: such a first process, where nothing is between it and the file.
    t.run(&judged(&format!(
        "unshare -pf --mount-proc isobox pid1 {first}"
    )))
    .ok()
    .out_has("ours: ");
    for program in [
        format!("/proc/self/exe pid1 {first}"),
        format!("--cap-add ALL /proc/self/exe pid1 {first}"),
        format!("-u 33 /proc/self/exe pid1 {first}"),
        format!("pid1 {first}"),
        format!("--init {first}"),
        format!("--pid host --cap-add ALL {parent}"),
    ] {
        let line = judged(&format!("container run --rootfs r {program}"));
        for run in both(&t, &line) {
            run.run().ok().out("kept\n");
        }
    }
}

/// T-EX-02: descriptors and working directories of the host are not inherited (CVE-2024-21626).
#[test]
fn descriptors_do_not_come_along() {
    needs!(root, userns, busybox, host("bash"));
    let t = with_canary();
    let opened = "for n in 3 4 5 6 7 8 9 10 15 20 100; do eval \"exec $n<$PWD/canary\"; done";
    let dressed = |t: &Sandbox, line: &str| {
        format!("bash -c '{opened}; cd canary; {line}' ; true; # {}", t.id())
    };
    for flags in ["", "--init", "-t", "-i"] {
        let line = dressed(
            &t,
            &format!("container run --rootfs ../r {flags} ls /proc/self/fd"),
        );
        for run in both(&t, &line) {
            let ran = run.run();
            let fds: Vec<&str> = ran.stdout.split_whitespace().collect();
            assert_eq!(fds, ["0", "1", "2", "3"], "{ran}"); // 3 is the directory that ls reads
        }
    }
    for n in [3, 7, 20, 100] {
        let line = dressed(
            &t,
            &format!("container run --rootfs ../r -w /proc/self/fd/{n} sh -c \"ls; pwd\""),
        );
        for run in both(&t, &line) {
            run.run().out("");
        }
    }
    for run in both(
        &t,
        &dressed(
            &t,
            "container run --rootfs ../r sh -c \"pwd; ls .. | busybox tr -d [:space:]\"",
        ),
    ) {
        run.run().out("/\nbindevetcprocsystmp");
    }
}

/// T-EX-09: exactly the groups of the container's user, none of the caller's (CVE-2022-36109).
#[test]
fn groups_are_the_containers() {
    needs!(root, busybox);
    let t = with_canary();
    // Denied to group 63: a process that lost the group could read it.
    t.run("echo secret >r/denied; chown 0:63 r/denied; chmod 604 r/denied")
        .ok();
    t.run("setpriv --groups 7,8,9 container run --rootfs r -u ann sh -c 'id -G; cat /denied'")
        .status(1)
        .out("100 44 63\n")
        .err_has("Permission denied");
    t.run("setpriv --groups 7,8,9 container run --rootfs r id -G")
        .ok()
        .out("0 44\n");
    // The control: without its groups ann reads the file.
    t.run("setpriv --reuid 1000 --regid 100 --clear-groups cat r/denied")
        .ok()
        .out("secret\n");
}

/// T-EX-12: what stands behind the program is the program's, whatever it looks like.
#[test]
fn arguments_of_the_program_are_not_ours() {
    needs!(root, userns, busybox);
    let t = with_canary();
    for line in [
        "container run --rootfs r echo --privileged -v /:/host --rootfs host",
        "container run --rootfs r -- echo --privileged -v /:/host --rootfs host",
        "container run --rootfs r --init echo --privileged -v /:/host --rootfs host",
    ] {
        for run in both(&t, line) {
            run.run()
                .ok()
                .out("--privileged -v /:/host --rootfs host\n");
        }
    }
    for run in both(&t, "container run --rootfs r -- --help") {
        run.run().fails(127, "container", &["--help"]);
    }
}

/// T-SEC-04: what is masked cannot be looked into, what is read-only not written, nor anything mounted anew.
#[test]
fn kernel_paths_are_closed() {
    needs!(root, userns, busybox);
    let t = with_canary();
    let look = "container run --rootfs r sh -c '
        for f in kcore keys kmsg kallsyms interrupts timer_list config.gz slabinfo; do busybox wc -c </proc/$f 2>/dev/null; done | busybox sort -u
        ls /sys/firmware /sys/module /proc/acpi | grep -v : | grep -c .
        for f in /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/irq/default_smp_affinity /sys/kernel/mm/ksm/run; do (echo 1 >$f) 2>/dev/null && echo wrote $f; done
        mount -t proc p /tmp 2>/dev/null && echo proc; mount -t sysfs s /tmp 2>/dev/null && echo sysfs; umount /proc/keys 2>/dev/null && echo umounted
        busybox unshare -m true 2>/dev/null && echo unshared; true'";
    for run in both(&t, look) {
        run.run().ok().out("0\n0\n");
    }
}

/// T-FS-03, 04: a link that is swapped with a directory all the time, in a volume that the volumes lie in
/// (CVE-2021-30465, CVE-2024-45310).
#[test]
fn a_swapped_mount_point_leads_nowhere() {
    needs!(root, busybox, host("python3"));
    let t = with_canary();
    t.run("mkdir -p r/tmp/race r/spare vol; ln -s $PWD/canary r/tmp/link; echo v >vol/f")
        .ok();
    let swap = "python3 -c 'import ctypes,os\nl=ctypes.CDLL(None)\nwhile os.path.exists(\"go\"):\n for i in range(1000): l.renameat2(-100,b\"r/tmp/race\",-100,b\"r/tmp/link\",2)'";
    t.run("touch go").ok();
    let line = format!(
        "{swap} & for i in $(seq 120); do container run --rootfs r -v ./vol:/tmp/race/deep -v ./vol:/tmp/race/deep2 true 2>/dev/null; done; rm go; wait; ls canary; rm -rf r/$PWD r/tmp/race r/tmp/link r/tmp/deep"
    );
    t.run(&line).ok().out("fifo\nfile\nlink\nnull\nptmx\nsub\n");
}
