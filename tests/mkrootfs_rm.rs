//! What `mkrootfs --rm` spares, by whatever name. The lines that must be refused run in a root of their own on a tmpfs:
//! if one is not refused, nothing is lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::kit::{Ran, Sandbox};

/// A sandbox in which `jail` is a root on a tmpfs.
fn jailed() -> Sandbox {
    let t = Sandbox::new("spared");
    t.run("mkdir jail && mount -t tmpfs jail jail && mkrootfs --busybox jail")
        .ok();
    t
}

/// Runs a script in the jail, as in a machine of its own.
#[track_caller]
fn inside<'t>(t: &'t Sandbox, script: &str) -> Ran<'t> {
    t.write("jail/script", script);
    t.cmd("unshare -m pivot --proc jail /bin/busybox sh /script; s=$?; umount jail; exit $s")
        .env("HOME", "/home/me")
        .run()
}

/// Tries each path with and without `--force`, and tells of each what was said, and what was touched.
const TRY: &str = r#"
all() { find / -xdev ! -path /tmp/before ! -path /tmp/after ! -path /tmp/said; }
touch /tmp/before /tmp/after /tmp/said
for path in "$@"; do for force in '' --force; do
    all >/tmp/before
    mkrootfs --rm $force "$path" 2>/tmp/said && echo "$path: not refused"
    all >/tmp/after
    cmp /tmp/before /tmp/after || echo "$path: touched"
    grep -v hint: /tmp/said
done; done
"#;

#[test]
fn the_running_system_is_spared_by_whatever_name() {
    needs!(root, busybox, static_binary);
    let t = jailed();
    let script = format!(
        "mkdir -p /home/me/work /home/you /srv/full /mnt/host /mnt/etc /opt; touch /srv/full/x
        ln -s / /tmp/up; mount --bind / /mnt/host; mount --bind /etc /mnt/etc; cd /home/me/work
        set -- /etc /etc/ /usr /home /srv /opt /usr/../etc //etc /tmp/up/etc /mnt/host /mnt/host/etc ../../../etc /proc/self/root/etc
        {TRY}"
    );
    let of_the_system = |path: &str| {
        format!("mkrootfs: cannot remove {path}: it belongs to the running system\n").repeat(2)
    };
    let mut want: String = ["/etc", "/etc/", "/usr"].map(of_the_system).concat();
    want += &"mkrootfs: cannot remove /home: the working directory is in it\n".repeat(2);
    for path in ["/srv", "/opt", "/usr/../etc", "//etc", "/tmp/up/etc"] {
        want += &of_the_system(path);
    }
    want += &"mkrootfs: cannot remove /mnt/host: it is the root directory\n".repeat(2);
    want += &of_the_system("/mnt/host/etc");
    want += &of_the_system("../../../etc");
    want += &"mkrootfs: cannot open /proc/self/root: Too many levels of symbolic links\n".repeat(2);
    inside(&t, &script).out(&want);
}

#[test]
fn what_is_in_use_is_spared() {
    needs!(root, busybox, static_binary);
    let t = jailed();
    // Each of them looks like a root, and would go otherwise.
    let script = format!(
        "mkrootfs /a; mkrootfs /b; mkrootfs /c; mkdir -p /a/srv/deep /b/home/me /c/mnt; mount -t tmpfs tmpfs /c/mnt
        mkrootfs /d; mkdir /e; mount --bind /a /e; export HOME=/b/home/me; cd /a/srv/deep
        set -- /a /e ../.. .. . / /b /b/home /b/home/me /c /d/.. /d/../.
        {TRY}
        mkrootfs --rm /d && test ! -e /d; umount /c/mnt; mkrootfs --rm /c/ && test ! -e /c"
    );
    let mut want = String::new();
    for (path, why) in [
        ("/a", "the working directory is in it"),
        ("/e", "the working directory is in it"),
        ("../..", "it has no name of its own"),
        ("..", "it has no name of its own"),
        (".", "it has no name of its own"),
        ("/", "it has no name of its own"),
        ("/b", "the home directory is in it"),
        ("/b/home", "the home directory is in it"),
        ("/b/home/me", "the home directory is in it"),
        ("/c/mnt", "Device or resource busy"),
        ("/d/..", "it has no name of its own"),
        ("/d/../.", "it has no name of its own"),
    ] {
        want += &format!("mkrootfs: cannot remove {path}: {why}\n").repeat(2);
    }
    inside(&t, &script).ok().out(&want);
}

#[test]
fn what_does_not_look_like_a_root_goes_by_force_only() {
    let t = Sandbox::new("spared");
    t.write("work/bin/x", "")
        .write("work/etc/x", "")
        .write("work/lib/x", "")
        .write("work/sbin/x", "")
        .write("notes", "");
    for path in ["work", "./work/bin", "work/../work"] {
        t.run(&format!("mkrootfs --rm {path}"))
            .status(1)
            .out("")
            .err_has(&format!(
                "mkrootfs: cannot remove {path}: it does not look like a root file system\n"
            ))
            .hint("mkrootfs --rm --force")
            .untouched();
    }
    for (line, said) in [
        ("mkrootfs --rm notes", "mkrootfs: not a directory: notes\n"),
        (
            "mkrootfs --rm --force nothing",
            "mkrootfs: cannot remove nothing: No such file or directory\n",
        ),
        ("mkrootfs --rm", "mkrootfs: no directory given\n"),
        ("mkrootfs --force new", "mkrootfs: --force goes with --rm\n"),
    ] {
        t.run(line).status(1).out("").err(said).untouched();
    }
    t.run("mkrootfs --rm --force work; mkdir empty; mkrootfs --rm empty; ls")
        .ok()
        .out("notes\n");
    // A bundle, and the layers of an image.
    t.run("mkdir -p b/rootfs parts/1 parts/2; touch b/config.json parts/1/x; mkrootfs --rm b; mkrootfs --rm parts; ls")
        .ok()
        .out("notes\n");
}

/// An interrupted run that filled a directory from within leaves a mark in it; what lies beside the mark is no less
/// somebody's for that.
#[test]
fn what_lies_beside_a_mark_is_spared() {
    needs!(root, busybox, static_binary);
    let t = Sandbox::new("spared");
    t.write("o/.incomplete/x", "").write("o/mine", "");
    let makes = ["o", "o/.", "l", "l/", "m"];
    t.run("ln -s o l; mkdir m; mount --bind o m").ok();
    for target in makes {
        t.run(&format!("mkrootfs --busybox {target}"))
            .status(1)
            .err_has(&format!("mkrootfs: not empty: {target}\n"))
            .untouched();
    }
    t.run("rm o/mine; mkrootfs --busybox m && test -e o/bin && test ! -e o/.incomplete; umount m")
        .ok();
}

/// An ordinary user's directory that is not empty is refused, and its mode is left alone.
#[test]
fn a_full_directory_keeps_its_mode() {
    needs!(userns);
    let t = Sandbox::new("spared");
    t.user().run("mkdir -p full/x && chmod 755 full").ok();
    t.user()
        .run("mkrootfs --shell full")
        .status(1)
        .err_has("not empty: full");
    let mode = fs::metadata(t.work().join("full")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o755);
}
