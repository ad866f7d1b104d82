//! chroot from outside. Statuses and the dialect of coreutils are in parity/roots.cases.

use crate::kit::Sandbox;

/// Cases 56 and 58.
#[test]
fn a_program_sees_only_the_new_root() {
    needs!(root, busybox);
    let t = Sandbox::new("chroot");
    t.root("r");
    t.run("chroot r ls /")
        .ok()
        .out("bin\ndev\netc\nproc\nsys\ntmp\n")
        .untouched();
    t.run("chroot r /bin/sh -c 'pwd; cd ../..; pwd; ls -d /usr 2>/dev/null || echo no host'")
        .ok()
        .out("/\n/\nno host\n");
    t.run("chroot r sh -c 'exit 42'").status(42);
    t.run("chroot r sh -c 'kill -KILL $$'").status(137);
    t.cmd("chroot r cat")
        .stdin("through")
        .run()
        .ok()
        .out("through");
}

/// It executes in place: the pid of chroot is the pid of the program.
#[test]
fn it_does_not_fork() {
    needs!(root, busybox);
    let t = Sandbox::new("chroot");
    t.root("r");
    t.run("sh -c 'echo $$; exec chroot r sh -c \"echo \\$\\$\"' | uniq | wc -l")
        .ok()
        .out("1\n");
}

#[test]
fn bad_input_has_the_statuses_of_coreutils() {
    needs!(root, busybox);
    let t = Sandbox::new("chroot");
    t.root("r");
    t.write("r/bin/data", "").write("file", "");
    let cases: [(&str, i32, &[&str]); 12] = [
        ("chroot", 125, &["operand"]),
        ("chroot --bogus r", 125, &["--bogus"]),
        (
            "chroot nowhere true",
            125,
            &["nowhere", "No such file or directory"],
        ),
        ("chroot file true", 125, &["file", "Not a directory"]),
        ("chroot '' true", 125, &["No such file or directory"]),
        (
            "chroot r no-such-program",
            127,
            &["no-such-program", "No such file or directory"],
        ),
        (
            "chroot r /bin/data",
            126,
            &["/bin/data", "Permission denied"],
        ),
        ("chroot r /bin", 126, &["Permission denied"]),
        ("chroot --userspec=nobody-at-all r true", 125, &["user"]),
        ("chroot --userspec=:nogroup-at-all r true", 125, &["group"]),
        ("chroot --groups=nogroup-at-all r true", 125, &["group"]),
        ("chroot --skip-chdir r true", 125, &["--skip-chdir"]),
    ];
    for (line, status, words) in cases {
        t.run(line).fails(status, "chroot", words).untouched();
    }
    t.user()
        .run("chroot r true")
        .fails(125, "chroot", &["Operation not permitted"])
        .hint("user")
        .untouched();
    t.run("chroot r true <&- >&- 2>&-").ok();
}

#[test]
fn ids_are_looked_up_in_the_new_root() {
    needs!(root, busybox);
    let t = Sandbox::new("chroot");
    t.root("r");
    t.write(
        "r/etc/passwd",
        "root:x:0:0::/:/bin/sh\ninsider:x:4321:4322::/:/bin/sh\n",
    )
    .write(
        "r/etc/group",
        "root:x:0:\ninsiders:x:4322:\nothers:x:4323:insider\n",
    );
    let ids = "sh -c 'id -u; id -g; id -G'";
    t.run(&format!("chroot --userspec=insider r {ids}"))
        .ok()
        .out("4321\n4322\n4322 4323\n");
    t.run(&format!("chroot --userspec=insider:others r {ids}"))
        .ok()
        .out("4321\n4323\n4323\n");
    t.run(&format!("chroot --userspec=insider: r {ids}"))
        .ok()
        .out("4321\n4322\n4322 4323\n");
    t.run(&format!(
        "chroot --userspec=77:88 --groups=others,99 r {ids}"
    ))
    .ok()
    .out("77\n88\n88 99 4323\n");
}

/// Case 68, script 25: the one file and its links, in a root that holds nothing else.
#[test]
fn the_static_binary_runs_in_an_empty_root() {
    needs!(root, static_binary);
    let t = Sandbox::new("chroot");
    t.run("mkdir -p r/bin && cp \"$(readlink -f \"$(command -v unshare)\")\" r/bin/isobox")
        .ok();
    t.run("r/bin/isobox --install -s r/bin; test $(ls r/bin | wc -l) -gt 8")
        .ok();
    // The links lead to their neighbour wherever the root is seen from.
    t.run("chroot r /bin/unshare --uts /bin/setpriv --dump | head -n 1")
        .ok()
        .out("uid: 0\n");
    t.run("chroot r /bin/isobox --list >list; ls r/bin | grep -vx isobox >links; cut -d' ' -f1 list | sort | cmp - links").ok();
    t.run("unshare -m pivot r /bin/chroot / /bin/setpriv --list-caps | head -n 1")
        .ok()
        .out("chown\n");
}

/// T-EX-05 to T-EX-07: a root that is not to be trusted says who its users are.
#[test]
fn a_hostile_passwd_gives_nobody() {
    needs!(root, busybox);
    let t = Sandbox::new("chroot");
    t.root("r");
    let hostile = [
        ("mkfifo r/etc/passwd", "not a regular file"),
        ("mknod r/etc/passwd c 1 5", "not a regular file"),
        ("mkdir r/etc/passwd", "not a regular file"),
        (
            "ln -s passwd r/etc/passwd",
            "Too many levels of symbolic links",
        ),
        ("truncate -s 2G r/etc/passwd", "larger than 1 MiB"),
        (
            "tr '\\0' a </dev/zero | head -c 5000 >r/etc/passwd",
            "too long",
        ),
        ("ln -s /etc/passwd- r/etc/passwd", "invalid user"),
        ("ln -s ../../../../../etc/passwd r/etc/passwd", ""),
        ("printf 'root\\0:x:0:0:::\\n' >r/etc/passwd", "invalid user"),
        (
            "printf 'root:x:4294967296:0:::\\n' >r/etc/passwd",
            "invalid user",
        ),
        (
            "printf 'root:x::0:::\\nroot:x:-1:0:::\\n' >r/etc/passwd",
            "invalid user",
        ),
    ];
    for (make, word) in hostile {
        t.run(&format!("rm -rf r/etc/passwd; {make}")).ok();
        t.run("chroot --userspec=root r true")
            .fails(125, "chroot", &[word])
            .untouched();
    }
    t.run("rm -f r/etc/passwd; for i in 0 4294967296 00 0x0 1e3 -1; do echo \"$i:x:0:0:::\" >>r/etc/passwd; done")
        .ok();
    for user in ["4294967296", "4294967295", "-1", "1 "] {
        t.run(&format!("chroot --userspec='{user}' r true")).fails(
            125,
            "chroot",
            &["invalid user"],
        );
    }
}

/// T-EX-09: a file that is closed to a group is closed to who is in it, and its groups are all that one has.
#[test]
fn supplementary_groups_are_exactly_those_of_the_user() {
    needs!(root, busybox);
    let t = Sandbox::new("chroot");
    t.root("r");
    t.write("r/etc/passwd", "insider:x:4321:4322:::\n")
        .write("r/etc/group", "banned:x:4323:insider\n")
        .write("r/file", "text\n");
    t.run("chmod 755 r; chown 0:4323 r/file; chmod 604 r/file")
        .ok();
    t.run("chroot --userspec=insider r cat /file")
        .status(1)
        .err_has("Permission denied");
    t.run(
        "setpriv --groups 4323,9 chroot --userspec=insider --groups=5 r sh -c 'id -G; cat /file'",
    )
    .ok()
    .out("4322 5\ntext\n");
}
