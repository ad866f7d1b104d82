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
