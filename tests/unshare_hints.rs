//! Why the kernel said no: each refusal is made to happen, and the hint must name what did it. And what was made
//! before a failure is taken back.

use crate::kit::Sandbox;

#[test]
fn a_refusal_names_what_refuses() {
    needs!(userns);
    let t = Sandbox::new("unshare-hints");
    let cases = [
        ("unshare -m true", "CAP_SYS_ADMIN"),
        // A limit of one's own user namespace.
        (
            "unshare -r sh -c 'echo 0 >/proc/sys/user/max_user_namespaces; unshare -r true'",
            "user.max_user_namespaces is 0",
        ),
        (
            "unshare -r sh -c 'echo 0 >/proc/sys/user/max_net_namespaces; unshare -n true'",
            "user.max_net_namespaces is 0",
        ),
        ("unshare -U unshare -U true", "uid 65534 is not mapped"),
        // A proc that would show what is not ours to see.
        ("unshare -rm --mount-proc true", "--pid --fork"),
        (
            "unshare -rm sh -c 'mount -t tmpfs t /proc/sys && unshare -rmpf --mount-proc true'",
            "/proc/sys",
        ),
        // The map.
        (
            "unshare -r unshare --map-users 0:1000:5 true",
            "uids 1000 to 1004 outside are not all mapped",
        ),
        (
            "unshare -r --setgroups deny true",
            "mapping a group has denied it already",
        ),
        ("unshare -r --net=pin true", "CAP_SYS_ADMIN"),
    ];
    for (line, hint) in cases {
        t.user().run(line).status(1).hint(hint).untouched();
    }
}

#[test]
fn what_an_ordinary_user_may_map_is_looked_up() {
    needs!(root, host("newuidmap"), host("setpriv"));
    let t = Sandbox::new("unshare-hints");
    t.user()
        .run("unshare --map-users 0:5000:1 true")
        .status(1)
        .hint("/etc/subuid")
        .untouched();
    t.user()
        .run("ours=$(command -v unshare); PATH=/nowhere $ours --map-users 0:5000:1 true")
        .status(1)
        .hint("uidmap")
        .untouched();
    t.user()
        .run("setpriv --no-new-privs unshare --map-users 0:5000:1 true")
        .status(1)
        .hint("no_new_privs")
        .untouched();
    // Root needs no line in any file, and is told so where he relies on one.
    t.run("mount --bind /dev/null /etc/subuid; unshare --map-users auto true; s=$?; umount /etc/subuid; exit $s")
        .status(1)
        .hint("--map-users 0:100000:65536")
        .untouched();
    t.run("unshare --map-users 0:5000:10 --map-users 5:9000:10 true")
        .fails(1, "unshare", &["Invalid argument"])
        .hint("overlap")
        .untouched();
}

#[test]
fn a_filter_is_suspected_where_one_is_in_force() {
    needs!(root, host("python3"));
    let t = Sandbox::new("unshare-hints");
    // unshare(2) answers EPERM: load its number; is it that? EPERM; else allow.
    let number = nix::libc::SYS_unshare;
    t.run(&format!(
        "python3 -c 'import struct,sys
for i in (32,0,0,0),(21,0,1,{number}),(6,0,0,0x50001),(6,0,0,0x7fff0000):
    sys.stdout.buffer.write(struct.pack(\"HBBI\", *i))' >filter
         setpriv --seccomp-filter filter unshare -m true"
    ))
    .status(1)
    .hint("seccomp");
    t.run("unshare -m true").ok().err("");
}

#[test]
fn a_pin_on_a_shared_mount_is_explained() {
    needs!(root, host("taskset"));
    let t = Sandbox::new("unshare-hints");
    t.run(
        "taskset -c 0 unshare -m sh -c 'mkdir d; mount -t tmpfs t d; mount --make-shared d; unshare --mount=d/f true; s=$?
           ls d; umount d; rmdir d; exit $s'",
    )
    .status(1)
    .out("")
    .hint("shared mount")
    .untouched();
}

#[test]
fn pins_are_taken_back() {
    needs!(root);
    let t = Sandbox::new("unshare-hints");
    for fork in ["", "-f"] {
        // The second pin fails; the program is not there; a later step fails.
        for (rest, status) in [
            ("--uts=no/such/dir true", 1),
            ("--uts=made/b no-such-program", 127),
            ("-w /no/such/dir true", 1),
            ("--hostname \"$(printf %65s x)\" true", 1),
        ] {
            t.run(&format!("unshare {fork} --net=made/a {rest}"))
                .status(status)
                .untouched();
        }
        // What somebody else made stays.
        t.run(&format!(
            "mkdir d; touch d/f; unshare {fork} --net=d/f no-such-program; ls d; rm -r d"
        ))
        .out("f\n");
    }
    t.run("unshare --pid=f true")
        .fails(1, "unshare", &["--fork"])
        .untouched();
    t.run("unshare --net=made/a true && grep -c made/a /proc/self/mountinfo && umount made/a && rm -r made")
        .ok()
        .out("1\n")
        .untouched();
}

#[test]
fn the_owner_is_whom_the_user_namespace_belongs_to() {
    needs!(root);
    let t = Sandbox::new("unshare-hints");
    t.run("unshare --owner 1000:1000 -r sh -c 'id -u; cat /proc/self/uid_map' | tr -s ' '")
        .ok()
        .out("65534\n 0 0 1\n");
    t.run("unshare --owner 1000:1000 --map-users 0:1000:1 --map-groups 0:1000:1 sh -c 'id -u; id -g; id -G'")
        .ok()
        .out("0\n0\n0\n");
}

/// The kernel forgets the signal when ids change, and then the child would live on.
#[test]
fn the_death_signal_survives_a_change_of_ids() {
    needs!(root, host("setpriv"));
    let t = Sandbox::new("unshare-hints");
    t.run("unshare --kill-child -S 1000 -G 1000 /usr/bin/setpriv -d | grep death")
        .ok()
        .out("Parent death signal: KILL\n");
}

#[test]
fn the_shell_is_that_of_the_environment_it_gets() {
    let t = Sandbox::new("unshare-hints");
    let shell = |line: &str| {
        t.cmd(line)
            .env("SHELL", "/no/such/shell")
            .stdin("exit 7\n")
            .run()
    };
    shell("unshare").status(127);
    shell("unshare --whitelist-env SHELL").status(127);
    shell("unshare --clear-env").status(7);
}
