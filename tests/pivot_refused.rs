//! Why pivot_root(2) says no: the kernel has one word for nearly everything, the hint names the cause.

use crate::kit::Sandbox;

/// Each cause that a shell can bring about; the rootfs of an initramfs is tested in a virtual machine.
#[test]
fn each_cause_is_named() {
    needs!(root, busybox);
    let cases = [
        (
            "pivot_root r r/old",
            "Device or resource busy",
            "a directory of the mount that is the root now",
        ),
        (
            "mount --bind r r; pivot_root r /tmp",
            "Device or resource busy",
            "on the old root",
        ),
        (
            "mount --make-rshared /; mount --bind r r; pivot_root r r/old",
            "Invalid argument",
            "is shared",
        ),
        (
            "mount --bind r r; mount -t tmpfs t d; pivot_root r d",
            "Invalid argument",
            "not at or below the new root",
        ),
        (
            "mount -t tmpfs t d; mkdir d/x; pivot_root d/x d/x",
            "Invalid argument",
            "not a mount point",
        ),
        (
            "unshare -m sleep 60 & while ! grep -qx sleep /proc/$!/comm; do sleep 0.01; done; mount -t tmpfs t d; pivot_root /proc/$!/root/tmp /proc/$!/root/tmp; s=$?; kill $!; exit $s",
            "Invalid argument",
            "in another mount namespace",
        ),
        (
            "mount -t tmpfs t d; mkdir d/old; unshare -Urm pivot_root d d/old",
            "Invalid argument",
            "locked",
        ),
    ];
    for (line, reason, hint) in cases {
        let t = Sandbox::new("refused");
        t.root("r");
        t.run("mkdir r/old d").ok();
        t.run(&format!("unshare -m sh -c '{line}'"))
            .fails(1, "pivot_root", &[reason])
            .hint(hint)
            .untouched();
    }
}

#[test]
fn an_earlier_chroot_is_named() {
    needs!(root, busybox, static_binary);
    let t = Sandbox::new("refused");
    t.root("r");
    t.run("mkdir -p r/new/old; cp \"$(command -v isobox)\" r/bin/pivot_root")
        .ok();
    let chrooted =
        "mkdir -p /new/bin; mount -t tmpfs t /new; mkdir /new/old; /bin/pivot_root /new /new/old";
    t.run(&format!("unshare -m chroot r /bin/sh -c '{chrooted}'"))
        .fails(1, "pivot_root", &["Invalid argument"])
        .hint("an earlier chroot");
}

#[test]
fn pivot_says_what_a_user_namespace_lacks() {
    needs!(userns, busybox);
    let t = Sandbox::new("refused");
    t.root("r");
    let cases = [
        (
            "unshare -rm pivot --proc r true",
            "pid namespace belongs to an outer user namespace",
        ),
        (
            "unshare -rm pivot --sys r true",
            "net namespace belongs to an outer user namespace",
        ),
        (
            "unshare -r pivot --force r true",
            "mount namespace belongs to an outer user namespace",
        ),
        ("pivot --force r true", "CAP_SYS_ADMIN"),
        (
            "unshare -rm pivot --mount 'm /tmp mqueue' r true",
            "ipc namespace belongs to an outer user namespace",
        ),
        (
            "unshare -rm pivot --dev --device /dev/x:b:8:0 r true",
            "only character devices",
        ),
    ];
    for (line, hint) in cases {
        t.user()
            .run(line)
            .fails(1, "pivot", &["Operation not permitted"])
            .hint(hint);
    }
}

/// What the file system itself says about its options reaches the user.
#[test]
fn a_bad_option_is_named() {
    needs!(root, busybox);
    let t = Sandbox::new("refused");
    t.root("r");
    let cases = [
        (
            "m /tmp tmpfs size=bogus",
            "Invalid argument",
            "Bad value for 'size'",
        ),
        (
            "m /tmp tmpfs sizes=1",
            "Invalid argument",
            "Unknown parameter 'sizes'",
        ),
        (
            "m /tmp nosuchfs",
            "No such device",
            "no file system nosuchfs",
        ),
    ];
    for (spec, reason, hint) in cases {
        t.run(&format!("unshare -m pivot --mount '{spec}' r true"))
            .fails(1, "pivot", &[reason])
            .hint(hint)
            .untouched();
    }
    for (spec, reason) in [
        ("bogus", "no target="),
        ("a /b", "SOURCE TARGET TYPE"),
        ("a /b ext4 loop", "loop device"),
    ] {
        t.run(&format!("unshare -m pivot --mount '{spec}' r true"))
            .fails(1, "pivot", &[reason])
            .untouched();
    }
    t.run("unshare -m pivot --volume /etc/hostname:/x:bogus r true")
        .fails(1, "pivot", &["bogus"]);
    t.run("unshare -m pivot --volume nowhere:/x r true")
        .fails(1, "pivot", &["nowhere", "No such file"])
        .untouched();
}

/// A value longer than fsconfig(2) takes: overlays with many layers have one.
#[test]
fn a_long_option_is_mounted_all_the_same() {
    needs!(root, busybox);
    let t = Sandbox::new("refused");
    t.root("r");
    let name = "n".repeat(120);
    t.run(&format!(
        "mkdir -p lower/1{name} lower/2{name} lower/3{name} && echo hi >lower/2{name}/f"
    ))
    .ok();
    t.run(&format!(
        "unshare -m pivot --mount \"overlay /tmp overlay ro,lowerdir=$PWD/lower/1{name}:$PWD/lower/2{name}:$PWD/lower/3{name}\" \\
         --volume lower:/etc r sh -c 'cat /tmp/f; ls /etc | wc -l; touch /tmp/x'"
    ))
    .status(1)
    .out("hi\n3\n")
    .err_has("Read-only file system");
}
