//! container run's options, from outside: each has its effect, or an error says why it has none.

use crate::container::terminal::Person;
use crate::kit::{ORDINARY, Sandbox};

const KEPT: &str = "export ISOBOX_ROOT=$PWD/kept; ";

fn sandbox() -> Sandbox {
    let t = Sandbox::new("options");
    t.root("r");
    t.write("r/etc/passwd", "root:x:0:0::/root:/bin/sh\n")
        .write("r/etc/group", "root:x:0:\nvideo:x:44:\n");
    t.run(&format!("{KEPT} mkdir -p kept/containers kept/run"))
        .ok();
    t
}

/// Options that have no effect where they stand, and what is said of them.
const REFUSED: [(&str, &[&str]); 26] = [
    (
        "-t --detach-keys a --rootfs r true",
        &["--detach-keys", "without -i"],
    ),
    ("--rootfs r --replace true", &["--replace", "--name"]),
    ("--rootfs r --pull always true", &["--pull", "no image"]),
    ("--rootfs r --platform linux/arm64 true", &["--platform"]),
    ("--rootfs r --copy true", &["--copy"]),
    ("--rootfs r --label =x true", &["no name"]),
    (
        "--rootfs r --stop-signal nix true",
        &["unknown signal", "nix"],
    ),
    (
        "--rootfs r --log-driver syslog true",
        &["no such log driver"],
    ),
    ("--rootfs r --log-opt max-file=3 true", &["max-file"]),
    (
        "--rootfs r --log-driver none --log-opt max-size=1m true",
        &["max-size"],
    ),
    (
        "-d --rootfs r --detach-keys a true",
        &["--detach-keys", "nobody watches"],
    ),
    ("-d --rootfs r --sig-proxy=false true", &["--sig-proxy"]),
    (
        "--rootfs r --script --pidfile x true",
        &["--pidfile", "printed"],
    ),
    ("--rootfs r --spec -d true", &["--detach", "printed"]),
    ("--rootfs r --spec --init true", &["config.json", "--init"]),
    (
        "--rootfs host --spec true",
        &["config.json", "--rootfs host"],
    ),
    (
        "--rootfs r --spec --dns 10.0.0.1 true",
        &["config.json", "network"],
    ),
    (
        "--rootfs r --name box --explain=run true",
        &["--explain=run"],
    ),
    (
        "--bundle r --memory 50M",
        &["--bundle stands alone", "--memory"],
    ),
    ("--bundle r -d", &["--bundle stands alone"]),
    ("--bundle r true", &["--bundle stands alone", "'true'"]),
    (
        "--rootfs r --uts host --hostname x true",
        &["--hostname", "--uts"],
    ),
    ("--rootfs r --pid mine true", &["neither host", "'mine'"]),
    (
        "--rootfs r --ulimit bogus=1 true",
        &["no such limit", "bogus"],
    ),
    (
        "--rootfs r --ulimit nofile=2:1 true",
        &["soft limit is above"],
    ),
    (
        "--rootfs r --memory-swap 50M true",
        &["--memory-swap", "no limit"],
    ),
];

/// Whoever gives an option learns where it cannot be followed.
#[test]
fn no_option_is_ignored() {
    needs!(root, userns, busybox);
    let t = sandbox();
    t.run("cd r; ln -s . rootfs; container spec --rootfs . true >config.json")
        .ok();
    for (words, wants) in REFUSED {
        t.run(&format!("{KEPT} container run {words}"))
            .fails(125, "container", wants);
    }
    t.run(&format!("{KEPT} container create -d --rootfs r true"))
        .fails(125, "container", &["--detach", "not started"]);
    t.user()
        .run("container run --rootfs r --group-add 44 true")
        .fails(125, "container", &["--group-add"])
        .hint("subids");
    t.user()
        .run("container run --rootfs r --userns host true")
        .fails(125, "container", &["for root"]);
    t.run("echo '{ // why' >r/config.json; container run --bundle r")
        .fails(125, "container", &["config.json", "line 1, column 3"])
        .hint("JSON has no comments");
    t.run("container run --rootfs r --uts host sh -c 'echo $HOSTNAME' | grep -c ^$(uname -n)$; container run --rootfs r --ulimit core=-1 --ulimit nofile=5:6 sh -c 'ulimit -n; ulimit -Hn'")
        .ok()
        .out("1\n5\n6\n");
    t.run("container run --bundle r echo")
        .fails(125, "container", &["stands alone"]);
    t.run("cd r; rm -f config.json rootfs; container spec --rootfs . --uts host --pid host true | grep -c '\"uts\"\\|\"pid\"'; true")
        .out("0\n");
    t.run(&format!("{KEPT} container ps -aq")).ok().out("");
}

/// What only somebody can look after needs no name: the container is gone with its end all the same.
#[test]
fn a_container_without_a_name_has_all_options() {
    needs!(root, busybox);
    let t = sandbox();
    let line = r#"
        container run --label a=b --stop-signal USR1 --pidfile pid --rootfs r sh -c 'trap "exit 7" USR1; while :; do sleep 0.05; done' & run=$!
        until [ "$(container ps -q --filter label=a=b)" ]; do sleep 0.02; done
        until grep -q 'S' /proc/$(cat pid)/stat; do sleep 0.02; done; sleep 0.3
        container stop $(container ps -q) >/dev/null; wait $run; echo $?; container ps -aq; rm pid
        container run --rootfs r --sig-proxy=false sh -c 'sleep 0.6; exit 4' & sleep 0.3; kill -TERM $!; wait $!; echo $?; until [ -z "$(container ps -aq)" ]; do sleep 0.05; done
        container run --rm --rootfs r --log-driver none true; echo $?; ls kept/containers kept/run"#;
    t.run(&format!("{KEPT}{line}"))
        .ok()
        .out("7\n143\n0\nkept/containers:\n\nkept/run:\n")
        .untouched();
    let line = "container run -it --detach-keys ctrl-x,q --rootfs r sh; echo ended $?";
    let mut person = Person::types(&t, None, &format!("{KEPT} {line}"));
    person.sees("# ").presses("echo $((40+2))\n").sees("42");
    person.presses("\x18q").sees("ended 0");
    assert_eq!(person.leaves(), 0);
    t.run(&format!("{KEPT} container ps --format '{{{{.State}}}}'; container kill $(container ps -q) >/dev/null; until [ -z \"$(container ps -aq)\" ]; do sleep 0.05; done"))
        .ok()
        .out("running\n");
}

/// T-SEC-05, and docker's `--device`.
#[test]
fn devices_are_those_that_are_asked_for() {
    needs!(root, userns, busybox, v1("devices"));
    let t = sandbox();
    t.run("container run --cap-add MKNOD --rootfs r sh -c 'mknod /dev/disk b 8 0 && head -c1 /dev/disk; mknod /dev/n c 1 3 && echo x >/dev/n && echo n'")
        .ok()
        .out("n\n")
        .err("head: /dev/disk: Operation not permitted\n");
    let look = "sh -c 'stat -c %t:%T /dev/fuse /dev/my 2>&1; head -c1 /dev/my | wc -c; echo x >/dev/my && echo wrote'";
    t.run(&format!(
        "container run --device /dev/fuse --device /dev/loop-control:/dev/my:w --rootfs r {look}"
    ))
    .status(1)
    .out("a:e5\na:ed\n0\n");
    t.user()
        .run(&format!(
            "container run --device /dev/full:/dev/my --rootfs r {look}"
        ))
        .status(1)
        .out_has("1:7\n1\n");
    let cases: [(&str, &[&str]); 4] = [
        ("/dev/nosuch", &["/dev/nosuch", "No such file"]),
        ("/etc/passwd", &["no device", "/etc/passwd"]),
        ("/dev/null:/x:q", &["invalid device"]),
        ("null", &["absolute"]),
    ];
    for (word, wants) in cases {
        t.run(&format!("container run --device {word} --rootfs r true"))
            .fails(125, "container", wants);
    }
    t.user()
        .run("container run --device /dev/full:r --rootfs r true")
        .fails(125, "container", &["cannot limit", "/dev/full"]);
}

/// docker's names for what we have under shorter ones, and what it calls otherwise.
#[test]
fn docker_s_names_are_understood() {
    needs!(root, busybox, controller("pids"), controller("cpuset"));
    let t = sandbox();
    t.run("container spec -h box --pids-limit 9 --cpuset-cpus 0 --memory 1M --memory-swap 3M --userns host --group-add video --group-add 7 --rootfs r true | jq -c '.hostname, .linux.resources.unified, .linux.resources.pids, .process.user.additionalGids'")
        .ok()
        .out("\"box\"\n{\"memory.swap.max\":\"2097152\",\"cpuset.cpus\":\"0\"}\n{\"limit\":9}\n[0,44,7]\n");
    t.run("container run --security-opt systempaths=unconfined --rootfs r sh -c 'head -c5 /proc/kallsyms | wc -c; mount | grep -c \" /proc/\"'; container run --help | grep -c -- '-h, '")
        .out("5\n0\n1\n");
    t.run("container run --rootfs r --group-add nosuch true")
        .fails(125, "container", &["no group", "nosuch"]);
}

/// A program that joined is left alone like a container, and nothing of ours is born into the container for that.
#[test]
fn a_program_that_joined_is_left_alone() {
    needs!(root, userns, busybox);
    let t = sandbox();
    t.user().run("mkdir -p own/containers own/run").ok();
    for (user, own) in [
        (None, KEPT),
        (Some(ORDINARY), "export ISOBOX_ROOT=$PWD/own; "),
    ] {
        let run = |line: &str| match user {
            None => t.run(&format!("{own}{line}")),
            Some(_) => t.user().run(&format!("{own}{line}")),
        };
        run("container run -d --name web --rootfs r sleep 1000 >/dev/null").ok();
        let line = format!("{own} container exec -it web sh; echo ended $?");
        let mut person = Person::types(&t, user, &line);
        person
            .sees("# ")
            .presses("echo a$((1))c; i=0; while :; do echo tick; i=$((i+1)); echo $i >/dev/shm/n; done\n")
            .sees("a1c");
        person.presses("\x10\x11").sees("ended 0");
        assert_eq!(person.leaves(), 0);
        let line = format!(
            "{own} trap : INT; container exec -t web sh -c 'echo i$((1))s; read x'; echo ended $?"
        );
        let mut person = Person::types(&t, user, &line);
        person.sees("i1s").presses("heard\n\x03").sees("ended 130");
        assert_eq!(person.leaves(), 0);
        run("container exec -dt web sh -c 'tty >/dev/shm/tty; exec sleep 999'
            until [ \"$(container exec web cat /dev/shm/tty)\" ]; do sleep 0.02; done
            until [ 0$(container exec web cat /dev/shm/n) -gt 5000 ]; do sleep 0.02; done
            container exec web sh -c 'for p in /proc/[0-9]*; do tr \"\\0\" \" \" <$p/cmdline; echo; done' | grep -v proc | sort; container exec web cat /dev/shm/tty | cut -c1-9")
            .ok()
            .out("\nsh \nsleep 1000 \nsleep 999 \n/dev/pts/\n".trim_start());
        run("container exec -di web true").fails(1, "container", &["-i has no effect"]);
        run("container exec -i --detach-keys a web true").fails(1, "container", &["--detach-keys"]);
        run("container rm -f web").ok().out("web\n");
        run("until ! grep -qs container.exe[c] /proc/[0-9]*/cmdline; do sleep 0.05; done").ok();
    }
}

/// The same of the verbs for containers that are kept.
#[test]
fn no_option_of_a_verb_is_ignored() {
    needs!(root, busybox);
    let t = sandbox();
    t.run(&format!(
        "{KEPT} container create --name web --rootfs r sleep 1000 >/dev/null"
    ))
    .ok();
    let cases: [(&str, &[&str]); 3] = [
        (
            "start --detach-keys a web",
            &["--detach-keys", "nobody watches"],
        ),
        ("start -i web", &["-i has no effect", "without -i"]),
        (
            "attach --no-stdin --detach-keys a web",
            &["--detach-keys", "nothing is typed"],
        ),
    ];
    for (words, wants) in cases {
        t.run(&format!("{KEPT} container {words}"))
            .fails(1, "container", wants);
    }
    let line = r#"
        container create --name net --network bridge -p 8000-8001:80-81 -p 127.0.0.1:53:53/udp --rootfs r true >/dev/null
        container port net; container port net 81; container port net 53/udp; container port net 53; echo $?; container rm net
        container start web; container attach --sig-proxy=false web & sleep 0.3; kill -USR1 $!; wait $!; echo $?
        container exec --explain=run web echo hi 2>told; grep -c setns told; rm told
        container rename web shop; container ps -q --format '{{.Names}}'; container ps -q | wc -c
        container top shop -o comm,pid | cut -c1-5; container pause shop shop; container unpause shop; container kill -s 0 shop
        container stop --time 0 shop; container rm -v shop; container ps -aq"#;
    t.run(&format!("{KEPT}{line}"))
        .ok()
        .out_in_order(&[
            "80/tcp -> 0.0.0.0:8000\n81/tcp -> 0.0.0.0:8001\n53/udp -> 127.0.0.1:53\n0.0.0.0:8001\n127.0.0.1:53\n1\nnet\n",
            "web\n138\nhi\n",
            "shop\n13\nCOMMA\nsleep\nshop\nshop\nshop\nshop\n",
        ])
        .err_has("is paused");
}

/// What was found comes first, as docker has it, and what was not is said behind it.
#[test]
fn inspect_says_last_what_there_is_not() {
    let t = Sandbox::new("options");
    t.cmd("container inspect nosuch 2>&1")
        .env("ISOBOX_ROOT", t.work().join("kept"))
        .run()
        .status(1)
        .out("[]\ncontainer: no such container: nosuch\n");
}
