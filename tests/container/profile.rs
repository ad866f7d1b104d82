//! The default profile, what takes more than it does, and what relaxes it (security list, section 5).

use super::{both, sandbox};

/// `--strict`: no capability for anybody, of /proc processes alone, no control groups; programs that join are no better.
#[test]
fn strict_takes_what_is_left() {
    needs!(root, userns, busybox);
    let t = sandbox();
    let look = "sh -c 'grep -c -x \"Cap.*0000000000000000\" /proc/self/status; ls -d /proc/sys /proc/kallsyms /proc/meminfo 2>/dev/null; ls /sys/fs/cgroup | wc -l; cat /proc/1/comm; true'";
    for run in both(&t, &format!("container run --strict --rootfs r {look}")) {
        run.run().ok().out("5\n0\nsh\n").untouched();
    }
    // The control: the default profile leaves some of it.
    let usual = t.run(&format!("container run --rootfs r {look}"));
    assert!(
        usual
            .stdout
            .starts_with("2\n/proc/kallsyms\n/proc/meminfo\n/proc/sys\n"),
        "{usual}"
    );
    t.run("export ISOBOX_ROOT=$PWD/kept; container run -d --name web --strict --rootfs r sleep 100 >/dev/null
        container exec web grep CapBnd /proc/self/status; container verify web >/dev/null; echo $?; container rm -f web; rm -rf kept")
        .ok()
        .out("CapBnd:\t0000000000000000\n0\nweb\n");
    t.run("container run --strict --cap-add KILL --rootfs r grep CapEff /proc/self/status")
        .ok()
        .out("CapEff:\t0000000000000020\n");
    for relaxed in [
        "--allow-new-privileges",
        "--security-opt seccomp=unconfined",
    ] {
        t.run(&format!("container run --strict {relaxed} --rootfs r true"))
            .fails(125, "container", &["--strict takes it back"]);
    }
}

/// In a user namespace of its own nobody makes another, also where the filter would not see it; the host's number stays.
#[test]
fn user_namespaces_end_here() {
    needs!(root, userns, busybox);
    let t = sandbox();
    let look = "cat /proc/sys/user/max_user_namespaces";
    let host = t.run(look).stdout.clone();
    assert_ne!(host, "0\n");
    t.user()
        .run(&format!("container run --rootfs r {look}"))
        .ok()
        .out("0\n");
    // Whoever takes the filter away may want one.
    let open = "container run --security-opt seccomp=unconfined --rootfs r";
    t.user()
        .run(&format!(
            "{open} busybox unshare -U readlink /proc/self/ns/user"
        ))
        .ok();
    t.user()
        .run("container run --rootfs r busybox unshare -U true")
        .status(1);
    t.user()
        .run(&format!("export ISOBOX_ROOT=$PWD/own; container run -d --name web --rootfs r sleep 100 >/dev/null; container exec web {look}; container rm -f web; rm -rf own"))
        .ok()
        .out("0\nweb\n");
    t.run(look).out(&host);
}

/// `--landlock` and its rules: files, ports and signals, of the container's program and of those that join; and nothing
/// of it where nobody asked.
#[test]
fn landlock_keeps_a_program_where_it_was_told() {
    needs!(root, userns, busybox);
    let t = sandbox();
    t.run("chmod 777 r/tmp; chmod -R a+rX r").ok();
    let write = "sh -c 'echo >/tmp/x 2>/dev/null && echo wrote; echo >/dev/null && echo null; rm -f /tmp/x'";
    let rules = "--landlock-rule path-beneath:read-file,read-dir,execute:/ --landlock-rule path-beneath::/dev";
    for run in both(&t, &format!("container run {rules} --rootfs r {write}")) {
        run.run().ok().out("null\n");
    }
    for run in both(&t, &format!("container run --landlock --rootfs r {write}")) {
        run.run().ok().out("wrote\nnull\n");
    }
    let connect = "sh -c 'busybox httpd -p 81 -h /; busybox wget -qO- http://127.0.0.1:81/etc/group | head -1; busybox wget -qO- http://127.0.0.1:82/ 2>&1 | grep -o -e refused -e denied'";
    let port = "--landlock-rule net-port:bind-tcp,connect-tcp:81";
    t.run(&format!("container run {port} --rootfs r {connect}"))
        .out("root:x:0:\ndenied\n");
    t.run(&format!("container run --landlock --rootfs r {connect}"))
        .out("root:x:0:\nrefused\n"); // the control
    // Who joins is kept to the same files, and is out of reach of signals from those who were there before.
    let life = |flags: &str| {
        format!(
            "export ISOBOX_ROOT=$PWD/kept; container run -d --name web {flags} --rootfs r sh -c 'until test -e /tmp/go; do sleep 0.02; done; kill -0 $(cat /tmp/go) 2>/dev/null && echo reached; echo end' >/dev/null
             container exec web {write}; container exec -d web sh -c 'exec sleep 100'; sleep 0.2
             P=$(container exec web sh -c 'grep -l sleep[^.]100 /proc/[0-9]*/cmdline | grep -v self | head -1 | grep -o [0-9]*'); echo $P >r/tmp/new; mv r/tmp/new r/tmp/go
             container wait web >/dev/null; container logs web; container rm -f web; rm -rf kept r/tmp/*"
        )
    };
    t.run(&life("--landlock"))
        .ok()
        .out("wrote\nnull\nend\nweb\n");
    t.run(&life(""))
        .ok()
        .out("wrote\nnull\nreached\nend\nweb\n");
    for (wrong, words) in [
        ("path-beneath:fly:/", "Landlock fs access: fly"),
        ("net-port::x", "port number"),
        ("scope", "invalid Landlock rule"),
    ] {
        t.run(&format!(
            "container run --landlock-rule {wrong} --rootfs r true"
        ))
        .fails(125, "container", &[words]);
    }
}

/// T-SEC-04 by other names of the same files.
#[test]
fn kernel_paths_are_closed_by_every_name() {
    needs!(root, userns, busybox);
    let t = sandbox();
    let look = "sh -c 'for root in /proc/self/root /proc/thread-self/root /proc/1/root /proc/self/task/1/root; do
        for f in kallsyms kmsg keys interrupts modules; do timeout 1 head -c1 $root/proc/$f 2>/dev/null | wc -c; done
        (echo 1 >$root/proc/sys/kernel/core_pattern) 2>/dev/null && echo wrote; done | sort | uniq -c | tr -s \" \"'";
    for run in both(&t, &format!("container run --rootfs r {look}")) {
        run.run().ok().out(" 20 0\n");
    }
    let open = t.run("container run --security-opt systempaths=unconfined --rootfs r sh -c 'head -c1 /proc/self/root/proc/kallsyms | wc -c'");
    open.ok().out("1\n"); // the control
}

/// T-SEC-09: the ways out that amicontained, deepce and CDK look for are none; with everything given back most are.
#[test]
fn known_ways_out_are_closed() {
    needs!(root, userns, busybox);
    let t = sandbox();
    t.write(
        "r/probe",
        r#"
        way() { name=$1; shift; timeout 2 "$@" >/dev/null 2>&1 && echo $name; }
        way socket test -e /var/run/docker.sock -o -e /run/containerd/containerd.sock -o -e /run/isobox
        way release_agent sh -c 'find /sys/fs/cgroup -name release_agent -writable | grep .'
        way cgroup sh -c 'for d in /sys/fs/cgroup /sys/fs/cgroup/*/; do mkdir $d/x && rmdir $d/x && exit 0; done; exit 1'
        way mount mount -t tmpfs none /tmp
        way proc mount -t proc none /tmp
        way namespace busybox unshare -m true
        way user busybox unshare -U true
        way disk sh -c 'busybox mknod /dev/disk b 8 0'
        way memory sh -c 'busybox mknod /dev/m c 1 1 && head -c1 /dev/m'
        way kmsg sh -c 'busybox mknod /dev/k c 1 11 && head -c1 /dev/k'
        way core sh -c 'cat /proc/sys/kernel/core_pattern >/proc/sys/kernel/core_pattern'
        way trigger test -w /proc/sysrq-trigger
        way helper sh -c 'echo >>/sys/kernel/uevent_helper'
        way binfmt sh -c 'test -w /proc/sys/fs/binfmt_misc/register'
        way symbols sh -c 'head -c1 /proc/kallsyms | grep .'
        way firmware sh -c 'ls /sys/firmware /sys/kernel/debug /sys/kernel/security | grep -v : | grep .'
        way packets busybox ping -I lo -c 1 -W 1 127.0.0.1
        way name busybox hostname other
        way root busybox chroot /proc/1/root test -e /etc/hostname -a -d /home
        way nice busybox renice -n -5 -p $$
        way log busybox dmesg
        echo end"#,
    );
    for run in both(&t, "container run --rootfs r sh /probe") {
        run.run().ok().out("end\n");
    }
    // The control: they are ways where they are open.
    t.run("container run --security-opt seccomp=unconfined --security-opt systempaths=unconfined --cap-add ALL --rootfs r sh /probe")
        .ok()
        .out_in_order(&["mount\n", "namespace\n", "disk\n", "core\n", "symbols\n", "packets\n",
            "name\n"]);
}
