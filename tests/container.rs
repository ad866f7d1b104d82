//! container run, from outside and from inside: what a user of it would notice.
//!
//! The roots are made here of busybox; no image and no network is needed. Numbers name the cases of the
//! acceptance list, `T-..` the attacks of the security list.

mod attack;
mod identity;
mod limits;
mod profile;
mod script;
pub mod terminal;

use crate::kit::{Cmd, Sandbox};

/// A sandbox with a root `r` in it that knows a user.
fn sandbox() -> Sandbox {
    let t = Sandbox::new("container");
    t.root("r");
    t.write(
        "r/etc/passwd",
        "root:x:0:0::/root:/bin/sh\nann:x:1000:100::/home/ann:/bin/sh\n",
    )
    .write(
        "r/etc/group",
        "root:x:0:\nusers:x:100:\naudio:x:63:ann\nvideo:x:44:ann,root\n",
    );
    t
}

/// The same line as root and as an ordinary user.
fn both<'t>(t: &'t Sandbox, line: &str) -> [Cmd<'t>; 2] {
    [t.cmd(line), t.user().cmd(line)]
}

/// Cases 70, 185, 189: everything the host has, the container has of its own.
#[test]
fn a_container_is_a_world_of_its_own() {
    needs!(root, userns, busybox);
    let t = sandbox();
    t.run("sleep 60 & echo $! >pid; ipcmk -M 10 >/dev/null; while ! grep -q sleep /proc/$!/comm; do sleep 0.01; done")
        .ok();
    let look = "container run --rootfs r --hostname box sh -c '
        hostname; echo $$; ps | grep -c [s]leep; ls /sys/class/net; busybox ip -4 -o a | grep -c 127.0.0.1/8
        cat /proc/sysvipc/shm | wc -l; id -u; ls / ; cat /proc/self/cgroup | grep -vc :/$; busybox hostname other; true'";
    for run in both(&t, look) {
        run.run()
            .ok()
            .out("box\n1\n0\nlo\n1\n1\n0\nbin\ndev\netc\nproc\nsys\ntmp\n0\n")
            .err("hostname: sethostname: Operation not permitted\n")
            .untouched();
    }
    t.run("kill $(cat pid); ipcrm -a").ok();
}

/// Every kind of namespace is new but time, and user for root.
#[test]
fn namespaces_are_new() {
    needs!(root, userns, busybox);
    let t = sandbox();
    let look = "for k in cgroup ipc mnt net pid user uts time; do
        test $(readlink /proc/self/ns/$k) = $(container run --rootfs r readlink /proc/self/ns/$k) && echo shared $k
        done; true";
    t.run(look).ok().out("shared user\nshared time\n");
    t.user().run(look).ok().out("shared time\n");
}

#[test]
fn it_ends_as_its_program_ends() {
    needs!(root, userns, busybox);
    let t = sandbox();
    t.write("r/text", "no program").write("r/script", "exit 9");
    t.run("chmod 755 r/script").ok();
    let cases = [
        ("true", 0),
        ("sh -c 'exit 42'", 42),
        ("sh -c 'exit 255'", 255),
        ("/script", 9),
        ("--init sh -c 'exit 42'", 42),
        ("--init sh -c 'kill -TERM $$'", 143),
        ("--init sh -c 'kill -40 $$'", 168),
    ];
    for (program, status) in cases {
        for run in both(&t, &format!("container run --rootfs r {program}")) {
            run.run().status(status).out("").err("").untouched();
        }
    }
    // The status tells: the signal was not for the parent.
    t.run("(container run --init --rootfs r sh -c 'kill -9 $$'; echo $?)")
        .ok()
        .out("137\n")
        .err("");
}

/// Arguments that cannot be, the status they deserve, and words of the complaint.
const REFUSED: [(&str, i32, &[&str]); 31] = [
    (
        "--rootfs nowhere true",
        125,
        &["nowhere", "No such file or directory"],
    ),
    ("--rootfs file true", 125, &["file", "Not a directory"]),
    ("", 125, &["no image given"]),
    ("--rootfs '' true", 125, &[]),
    (
        "--rootfs /proc/self/root true",
        125,
        &["/proc/self/root", "symbolic links"],
    ),
    ("--rootfs r", 125, &["no program given"]),
    (
        "--rootfs r nosuch",
        127,
        &["nosuch", "No such file or directory"],
    ),
    (
        "--rootfs r /bin/nosuch",
        127,
        &["/bin/nosuch", "No such file or directory"],
    ),
    ("--rootfs r ''", 127, &["No such file or directory"]),
    ("--rootfs r /text", 126, &["/text", "Permission denied"]),
    ("--rootfs r /etc", 126, &["/etc", "Permission denied"]),
    ("--rootfs r /loopy", 126, &["/loopy", "symbolic links"]),
    (
        "--rootfs r --user nobody true",
        125,
        &["nobody", "/etc/passwd"],
    ),
    (
        "--rootfs r --user ann:nogroup true",
        125,
        &["nogroup", "/etc/group"],
    ),
    ("--rootfs r --user 4294967296 true", 125, &["4294967296"]),
    ("--rootfs r --user -1 true", 125, &["-1"]),
    ("--rootfs r --user 0x0 true", 125, &["0x0"]),
    ("--rootfs r -v src true", 125, &["invalid volume src"]),
    (
        "--rootfs r -v nowhere/x:/mnt true",
        125,
        &["nowhere/x", "No such file or directory"],
    ),
    ("--rootfs r -v ./src:mnt true", 125, &["absolute"]),
    ("--rootfs r -v src:/mnt true", 125, &["named volumes"]),
    (
        "--rootfs r -v ./src:/mnt:wo true",
        125,
        &["ro, rw and idmap"],
    ),
    ("--rootfs r -v ./src:/ true", 125, &["root itself"]),
    ("--rootfs r -v ./src:/proc true", 125, &["/proc", "procfs"]),
    (
        "--rootfs r -v ./src:/dangling/x true",
        125,
        &["/dangling/x"],
    ),
    ("--rootfs r --workdir rel true", 125, &["absolute", "rel"]),
    ("--rootfs r --workdir /text true", 125, &["/text"]),
    (
        "--rootfs r --cap-add nonsense true",
        125,
        &["unknown capability nonsense"],
    ),
    (
        "--rootfs r --name ../x true",
        125,
        &["invalid container name"],
    ),
    ("--rootfs r --env =x true", 125, &["no name"]),
    ("--rootfs r --bogus true", 125, &["--bogus"]),
];

/// Bad input: the right status, one clear line, and nothing left behind.
#[test]
fn what_cannot_be_is_refused_clearly() {
    needs!(root, userns, busybox);
    let t = sandbox();
    t.write("file", "")
        .write("r/text", "no program")
        .write("r/loop/x", "");
    t.run("ln -s nowhere r/dangling; ln -s loopy r/loopy; mkdir src; chmod 644 r/text")
        .ok();
    for (args, status, words) in REFUSED {
        for run in both(&t, &format!("container run {args}")) {
            run.run().fails(status, "container", words).untouched();
        }
    }
    t.run("container").fails(125, "container", &[]);
    t.run("container nosuch")
        .fails(125, "container", &["nosuch"]);
    let long = "x".repeat(65);
    t.run(&format!("container run --rootfs r --hostname {long} true"))
        .fails(125, "container", &["host name"])
        .hint("64 bytes")
        .untouched();
}

#[test]
fn users_are_those_of_the_root() {
    needs!(root, userns, busybox);
    let t = sandbox();
    let look = "'id -u; id -g; id -G; echo $HOME; grep Cap /proc/self/status; touch /x'";
    let empty = "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
                 CapBnd:\t00000000000404fb\nCapAmb:\t0000000000000000\n";
    for (user, ids) in [
        ("ann", "1000\n100\n100 44 63\n/home/ann\n"),
        ("1000", "1000\n100\n100 44 63\n/home/ann\n"),
        ("ann:audio", "1000\n63\n63\n/home/ann\n"),
        ("1000:7", "1000\n7\n7\n/home/ann\n"),
        ("4242", "4242\n0\n0\n/\n"),
    ] {
        t.run(&format!("container run --rootfs r -u {user} sh -c {look}"))
            .status(1)
            .out(&format!("{ids}{empty}"))
            .err("touch: /x: Permission denied\n")
            .untouched();
    }
    t.run("container run --rootfs r sh -c 'id -u; id -g; id -G; echo $HOME'")
        .ok()
        .out("0\n0\n0 44\n/root\n");
    // An ordinary user has one id to give: it is the one asked for.
    t.user()
        .run("container run --rootfs r -u ann sh -c 'id -u; id -g; echo $HOME; grep CapEff /proc/self/status'")
        .ok()
        .out("1000\n100\n/home/ann\nCapEff:\t0000000000000000\n");
}

/// The root of a user namespace with one id has no group for terminals to give, and may choose none: his container is that
/// of an ordinary user.
#[test]
fn the_root_of_a_user_namespace_gives_what_ids_it_has() {
    needs!(root, userns, busybox);
    let t = sandbox();
    let line = "container run --rootfs r sh -c 'id -u; cut -c1-21 /proc/self/uid_map; stat -c %g /dev/pts/ptmx'";
    t.user()
        .run(&format!("unshare -r {line}"))
        .ok()
        .out("0\n         0          0\n0\n")
        .untouched();
}

/// T-EX-15: nothing of our environment is inside but what was asked for.
#[test]
fn the_environment_is_made_not_inherited() {
    needs!(root, userns, busybox);
    let t = sandbox();
    let line = "container run --rootfs r --hostname h -e SECRET_X -e UNSET_X -e A=b=c -e 'B=' -e HOME=/else env";
    for run in both(&t, line) {
        run.env("SECRET_X", "1").env("SECRET_Y", "2").run().ok().out(
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nHOSTNAME=h\nSECRET_X=1\nA=b=c\nB=\n\
             HOME=/else\n",
        );
    }
    // Also not by way of the first process.
    t.cmd("container run --rootfs r --init --cap-add SYS_PTRACE sh -c 'cat /proc/1/environ | busybox tr \"\\0\" \"\\n\" | grep -c SECRET'")
        .env("SECRET_Y", "2")
        .run()
        .status(1)
        .out("0\n");
}

#[test]
fn volumes_show_the_host() {
    needs!(root, userns, busybox);
    let t = sandbox();
    t.write("src/f", "text\n").write("single", "one\n");
    t.run("mkdir r/mnt r/vol; touch r/single; chmod 777 src; mknod src/null c 1 3; chmod 666 src/null").ok();
    let line = "container run --rootfs r -v ./src:/mnt -v \"$PWD/src:/vol:ro\" -v ./single:/single:ro sh -c '
        cat /mnt/f /vol/f /single; touch /mnt/new && echo written; touch /vol/new; echo x >/single; cat /mnt/null
        grep -c \" /mnt .*nosuid,nodev\" /proc/self/mountinfo'; rm src/new";
    for run in both(&t, line) {
        run.run()
            .ok()
            .out("text\ntext\none\nwritten\n1\n")
            .err_has("touch: /vol/new: Read-only file system\n")
            .err_has("can't create /single: Read-only file system\n")
            .err_has("cat: can't open '/mnt/null': Permission denied\n")
            .untouched();
    }
}

#[test]
fn a_read_only_root_takes_nothing() {
    needs!(root, userns, busybox);
    let t = sandbox();
    for root in ["r", "host"] {
        for run in both(
            &t,
            &format!(
                "container run --rootfs {root} --read-only sh -c 'echo x >/x; echo y >/dev/shm/y && cat /dev/shm/y'"
            ),
        ) {
            run.run()
                .ok()
                .out("y\n")
                .err_has("Read-only file system")
                .untouched();
        }
    }
}

#[test]
fn the_working_directory_is_inside_and_made() {
    needs!(root, userns, busybox);
    let t = sandbox();
    t.run("mkdir r/tmp/d; ln -s /tmp/d r/link; chmod 777 r/tmp r/tmp/d")
        .ok();
    for run in both(
        &t,
        "container run --rootfs r -w /link sh -c 'pwd; cd ..; pwd'",
    ) {
        run.run().ok().out("/tmp/d\n/tmp\n").untouched();
    }
    for run in both(
        &t,
        "container run --rootfs r -w /link/new/er pwd; rm -r r/tmp/d/new",
    ) {
        run.run().ok().out("/tmp/d/new/er\n").untouched();
    }
}

/// The machine's own root, thrown away: its files are there, its mounts too, its kernel's file systems are not,
/// and nothing of what is written reaches it.
#[test]
fn the_hosts_root_is_seen_and_kept() {
    needs!(root, userns, busybox);
    let t = sandbox();
    t.write("file", "seen\n").run("mkdir sub sub/a sub/a/b; mount -t tmpfs t sub/a; echo deep >sub/a/f; mkdir sub/a/p; mount -t proc p sub/a/p; chmod 777 . sub").ok();
    let look = "container run --rootfs host -w \"$PWD\" sh -c '
        cat file sub/a/f; ls sub/a/p; echo y >sub/a/new; cat sub/a/new; echo x >/usr/isobox-test; cat /usr/isobox-test; rm -r /etc/passwd
        ls -d /proc/1 /sys/class/net/lo /dev/null; ls /sys/class/net; cat /proc/1/comm'; ls sub/a /usr/isobox-test /etc/passwd";
    for run in both(&t, look) {
        run.run()
            .status(2)
            .out("seen\ndeep\ny\nx\n/dev/null\n/proc/1\n/sys/class/net/lo\nlo\nsh\n/etc/passwd\n\nsub/a:\nf\np\n")
            .err("ls: cannot access '/usr/isobox-test': No such file or directory\n");
    }
    // Where there are mounts further down, files can be changed by root only: for others they are shown read-only.
    let change = "container run --rootfs host -w \"$PWD\" sh -c 'echo changed >file; cat file; rm sub/a/f; ls sub/a'; cat file sub/a/f";
    t.run(change)
        .ok()
        .out("changed\nnew\nseen\ndeep\n".replace("new", "p").as_str());
    t.user()
        .run(change)
        .ok()
        .out("seen\nf\np\nseen\ndeep\n")
        .err_has("Read-only file system");
    t.run("umount sub/a/p; umount sub/a").ok();
}

/// Behind a socket or a fifo of the host one of its daemons listens.
#[test]
fn the_hosts_sockets_lead_nowhere() {
    needs!(root, userns, busybox, host("python3"));
    let t = sandbox();
    let server = "python3 -c 'import socket,os,time\ns=socket.socket(socket.AF_UNIX)\ns.bind(\"sock\")\nos.chmod(\"sock\",0o777)\ns.listen(9)\nopen(\"ready\",\"w\")\ntime.sleep(60)' & echo $! >pid; while ! test -e ready; do sleep 0.01; done";
    t.run(server).ok();
    let connect =
        "python3 -c 'import socket\ns=socket.socket(socket.AF_UNIX)\ns.connect(\"sock\")'";
    t.run(connect).ok(); // the control: it listens
    for run in both(
        &t,
        &format!("container run --rootfs host -w \"$PWD\" {connect}"),
    ) {
        run.run().status(1).err_has("Connection refused");
    }
    t.run("kill $(cat pid)").ok();
}

#[test]
fn what_the_program_is_given() {
    needs!(root, userns, busybox);
    let t = sandbox();
    let look = "container run --rootfs r sh -c 'ulimit -Sn; ulimit -c; ulimit -Hl; umask; cat /proc/self/oom_score_adj
        grep -e NoNewPrivs -e ^Threads /proc/self/status; busybox awk \"{print \\$5 == \\$6, \\$6, \\$7}\" /proc/1/stat
        ls /proc/self/fd; cat'";
    for run in both(&t, look) {
        let adjust = t
            .run("cat /proc/self/oom_score_adj")
            .stdout
            .trim()
            .parse::<i32>()
            .unwrap()
            .max(100);
        run.stdin("not for it").run().ok().out(&format!(
            "1024\n0\n8192\n0022\n{adjust}\nThreads:\t1\nNoNewPrivs:\t1\n1 1 0\n0\n1\n2\n3\n"
        ));
    }
    for run in both(&t, "container run -i --rootfs r cat") {
        run.stdin("for it\n").run().ok().out("for it\n");
    }
    t.run("(exec <&-; container run -i --rootfs r sh -c 'cat; echo $?')")
        .ok();
    t.run("container run --rootfs r sh -c 'echo x; echo $? >&2' >&-")
        .ok()
        .err_has("1\n");
}

#[test]
fn capabilities_are_few_and_can_be_chosen() {
    needs!(root, userns, busybox);
    let t = sandbox();
    for (args, set) in [
        ("", "00000000000404fb"),
        ("--cap-drop ALL", "0000000000000000"),
        ("--cap-drop ALL --cap-add CHOWN", "0000000000000001"),
        ("--cap-add NET_RAW --cap-drop CAP_KILL", "00000000000424db"),
    ] {
        for run in both(
            &t,
            &format!("container run --rootfs r {args} grep Cap /proc/self/status"),
        ) {
            // T-EX-04: the inheritable set is always empty.
            run.run().ok().out(&format!(
                "CapInh:\t0000000000000000\nCapPrm:\t{set}\nCapEff:\t{set}\nCapBnd:\t{set}\nCapAmb:\t0000000000000000\n"
            ));
        }
    }
    t.run("container run --rootfs r sh -c 'mount -t tmpfs t /tmp; busybox mknod /x c 1 3; busybox chroot / true && echo chroot'")
        .ok()
        .out("chroot\n");
}

/// One keyring for all processes of a login would be one for container and host.
#[test]
fn the_session_keyring_is_its_own() {
    needs!(root, userns, busybox);
    let t = sandbox();
    // The kernel tells nobody inside: /proc/keys is masked. Its length tells.
    for run in both(&t, "container run --rootfs r wc -c /proc/keys /proc/kcore") {
        run.run().status(1).out_has("0 /proc/keys");
    }
}

/// Cases 15, 16: a first process that collects and passes on.
#[test]
fn init_collects_and_forwards() {
    needs!(root, userns, busybox);
    let t = sandbox();
    t.run("container run --rootfs r cat /proc/1/comm; container run --rootfs r --init cat /proc/1/comm")
        .ok()
        .out("cat\nisobox\n");
    for run in both(
        &t,
        "container run --rootfs r --init sh -c '(sleep 0.1 &) ; sleep 0.4; ps -o stat | grep -c Z'",
    ) {
        run.run().status(1).out("0\n");
    }
    for run in both(
        &t,
        "container run --rootfs r --init sh -c 'echo ready; exec sleep 60' >out & while ! grep -qs ready out; do sleep 0.01; done; kill -TERM $!; wait $!; s=$?; rm out; exit $s",
    ) {
        run.run().status(143).untouched();
    }
}

/// Everything that is sent to the parent but what job control sends reaches the program.
/// An image that has a program of the name of one of ours means its own.
#[test]
fn programs_of_the_root_come_first() {
    needs!(root, userns, busybox);
    let t = sandbox();
    let has = |line: &str| format!("container run --rootfs r {line} --version | head -c9");
    for run in both(&t, &has("lsns"))
        .into_iter()
        .chain(both(&t, &has("--init lsns")))
    {
        run.run().ok().out("lsns from");
    }
    t.write("r/bin/lsns", "#!/bin/sh\necho \"theirs $1\"\n")
        .run("chmod 755 r/bin/lsns; cp r/bin/lsns r/bin/pid1")
        .ok();
    for run in both(&t, &has("lsns"))
        .into_iter()
        .chain(both(&t, &has("--init lsns")))
    {
        run.run().ok().out("theirs --");
    }
    t.run("export ISOBOX_ROOT=$PWD/home; container run -d --name box --rootfs r sleep 100 >id; container exec box lsns; container rm -f box; rm -r home")
        .out_has("theirs ");
}

#[test]
fn signals_are_passed_on() {
    needs!(root, userns, busybox);
    let t = sandbox();
    for signal in ["HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "ALRM"] {
        let line = format!(
            "container run --rootfs r sh -c 'trap \"echo got; exit 5\" {signal}; echo ready; while :; do sleep 0.02; done' >out &
             while ! grep -qs ready out; do sleep 0.01; done; kill -{signal} $!; wait $!; s=$?; cat out; rm out; exit $s"
        );
        for run in both(&t, &line) {
            run.run().status(5).out("ready\ngot\n");
        }
    }
}

/// A stop of the parent stops the program, and the other way round.
#[test]
fn stops_are_mirrored() {
    needs!(root, busybox);
    let t = sandbox();
    let state =
        "s() { while ! grep -q \"^State:.$1\" /proc/$2/status; do sleep 0.01; done; echo $1; }";
    t.run(&format!(
        "{state}; container run --rootfs r sleep 60 & p=$!; while ! c=$(pgrep -P $p) || ! grep -q sleep /proc/$c/comm; do sleep 0.01; done
         kill -TSTP $p; s T $p; s T $c; kill -CONT $p; s S $p; s S $c
         kill -STOP $c; s T $p; kill -CONT $p; s S $p; s S $c; kill -KILL $c; wait $p"
    ))
    .status(137)
    .out("T\nT\nS\nS\nT\nS\nS\n")
    .untouched();
}

/// The container lives no longer than the process that stands for it.
/// What is left of a `container run` that was killed is its control group, empty, which gc takes away.
const COLLECTED: &str = "
    while ls -d /sys/fs/cgroup/*/isobox-$!-* >/dev/null 2>&1; do ISOBOX_ROOT=$PWD/kept container gc 2>/dev/null; sleep 0.01; done
    rm -rf kept; exit $s";

#[test]
fn a_killed_parent_takes_all_along() {
    needs!(root, userns, busybox);
    let t = sandbox();
    for args in ["", "--init", "-u ann"] {
        let line = format!(
            "container run -e ISOBOX_TEST --rootfs r {args} sh -c 'echo ready; sleep 61' >out & while ! grep -qs ready out; do sleep 0.01; done; kill -9 $!; wait $!; s=$?; rm out"
        );
        for run in both(&t, &format!("{line}{COLLECTED}")) {
            run.run().status(137).untouched();
        }
    }
    // At any moment of the start, too.
    for delay in 0..30 {
        let line = format!(
            "container run -e ISOBOX_TEST --rootfs r sleep 61 & sleep 0.00{delay:02}; kill -9 $!; wait $!; s=$?{COLLECTED}"
        );
        for run in both(&t, &line) {
            run.run().status(137).untouched();
        }
    }
}

/// A dry run tells everything in order and changes nothing.
#[test]
fn explain_tells_and_does_nothing() {
    needs!(root, userns, busybox);
    let t = sandbox();
    t.run("rmdir r/sys").ok();
    for run in both(
        &t,
        "container run --explain --rootfs r -v ./r:/new -w /made -it sh",
    ) {
        run.run()
            .ok()
            .out_in_order(&[
                "clone3(",
                "PR_SET_PDEATHSIG",
                "setsid",
                "ROOT",
                "proc",
                "pivot_root",
                "ptmx",
                "capset",
                "PR_SET_NO_NEW_PRIVS",
                "close_range",
                "execve(\"sh\"",
            ])
            .untouched();
    }
    t.run("container run --explain=json --rootfs r true | python3 -c 'import json,sys; l=json.load(sys.stdin); print(l[-1][\"call\"], all(r[\"why\"] and r[\"without\"] and r[\"man\"] for r in l))'")
        .ok()
        .out("execve(\"true\", [\"true\"]) True\n");
    t.run("container run --explain=run --rootfs r echo hi")
        .ok()
        .out("hi\n")
        .err_has("result   done");
}
