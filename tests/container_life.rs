//! Containers that are kept, from outside: their verbs, and what is left when any of their processes is killed.
//!
//! Everything is kept below `work/kept` (`ISOBOX_ROOT`), of the ordinary user below `work/own`.

use std::time::Instant;

use crate::container::terminal::Person;
use crate::kit::{Cmd, ORDINARY, Sandbox};

const KEPT: &str = "export ISOBOX_ROOT=$PWD/kept; ";
const OWN: &str = "export ISOBOX_ROOT=$PWD/own; ";

/// A root `r`, and the directory where containers are kept.
fn sandbox() -> Sandbox {
    let t = Sandbox::new("life");
    t.root("r");
    t.write("r/etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    // The directories that are made once, before anybody compares.
    t.run(&format!("{KEPT} mkdir -p kept/containers kept/run"))
        .ok();
    t.user().run("mkdir -p own/containers own/run").ok();
    t
}

/// The same line as root and as an ordinary user.
fn both<'t>(t: &'t Sandbox, line: &str) -> [Cmd<'t>; 2] {
    [
        t.cmd(&format!("{KEPT}{line}")),
        t.user().cmd(&format!("{OWN}{line}")),
    ]
}

#[test]
fn a_container_runs_on_and_is_looked_after() {
    needs!(root, userns, busybox);
    let t = sandbox();
    let line = r#"
        id=$(container run -d --name web --label a=b --rootfs r sh -c 'echo out; echo err >&2; sleep 1000')
        echo ${#id}
        container ps -q --no-trunc | grep -c ^$id$
        container ps --format '{{.ID}} {{.Names}} {{.State}} {{.Labels}}' | sed "s/^$(echo $id | cut -c1-12)/ID/"
        until [ $(container logs web 2>&1 | wc -l) = 2 ]; do sleep 0.02; done; container logs web 2>&1 | sort
        container exec web sh -c 'echo $0 $$ $HOSTNAME; exit 4'; echo $?
        container inspect -f '{{.Name}} {{.State.Status}} {{.State.Running}} {{.Config.Labels}}' $(echo $id | cut -c1-5)
        test $(container inspect -f '{{.State.Pid}}' web) -gt 1 && echo pid
        container kill -s KILL web; container wait web
        container ps -q; container ps -a --format '{{.State}}' --filter exited=137 --filter label=a=b
        container start web; container ps --filter name=we --format '{{.State}}'
        container rm web; container rm -f web; container ps -aq; container ps
        container exec web true; echo $?"#;
    for run in both(&t, line) {
        run.run()
            .ok()
            .out("64\n1\nID web running a=b\nerr\nout\nsh 2 web\n4\n/web running true {\"a\":\"b\"}\npid\nweb\n137\nexited\nweb\nrunning\nweb\nCONTAINER ID IMAGE COMMAND CREATED STATUS PORTS NAMES\n1\n")
            .err("container: cannot remove the container: web: it is running\nhint: container stop ends it, container rm -f does both\ncontainer: no such container: web\n")
            .untouched();
    }
}

/// What is watched from its start shows everything, takes everything, and ends as its program ends.
#[test]
fn a_container_that_is_watched_ends_as_its_program() {
    needs!(root, userns, busybox);
    let t = sandbox();
    t.write("r/text", "no program");
    for (program, status) in [
        ("sh -c 'exit 42'", 42),
        ("--init sh -c 'kill -TERM $$'", 143),
        ("nosuch", 127),
        ("/text", 126),
    ] {
        let line = match program.strip_prefix("--init ") {
            Some(program) => format!("container run --rm --name one --init --rootfs r {program}"),
            None => format!("container run --rm --name one --rootfs r {program}"),
        };
        for run in both(&t, &line) {
            run.run().status(status).untouched();
        }
    }
    let line = "seq 20000 | container run --rm -i --name one --rootfs r sh -c 'cat; echo err >&2' | cksum; seq 20000 | cksum";
    for run in both(&t, line) {
        let ran = run.run();
        let sums: Vec<&str> = ran.ok().err("err\n").stdout.lines().collect();
        assert_eq!(sums[0], sums[1]);
        ran.untouched();
    }
    // Without -i its input is empty; a reader that goes away stops it from writing, not us from ending.
    for run in both(
        &t,
        "echo x | container run --rm --name one --rootfs r wc -c; container run --rm --name one --rootfs r busybox seq 100000 | head -n 1",
    ) {
        run.run().ok().out("0\n1\n").untouched();
    }
    // What it is sent the program gets.
    let line = "container run --rm --name one --rootfs r sh -c 'trap \"echo got; exit 9\" USR1; echo ready; while :; do sleep 0.05; done' >o & p=$!
        until grep -q ready o; do sleep 0.02; done; kill -USR1 $p; wait $p; echo $?; cat o; rm o";
    for run in both(&t, line) {
        run.run().ok().out("9\nready\ngot\n").untouched();
    }
}

#[test]
fn names_are_given_once() {
    needs!(root, busybox);
    let t = sandbox();
    let run = |line: &str| t.run(&format!("{KEPT}{line}"));
    run("for n in $(seq 20); do container create --rootfs r true; done | cut -c1 | sort | uniq -d | head -n 1 >twice; test -s twice")
        .ok();
    run("container inspect $(cat twice)")
        .status(1)
        .err_has("several containers");
    run("container ps -a --format '{{.Names}}' | sort | uniq -d")
        .ok()
        .out("");
    run("container rm $(container ps -aq) >/dev/null; rm twice").ok();
    run("container run -d --name web --cidfile id --pidfile pid --rootfs r sleep 1000 >out; tr -d '\\n' <out | cmp - id && rm out")
        .ok();
    run("test $(cat id) = $(container ps -q --no-trunc) && test $(cat pid) = $(container inspect -f '{{.State.Pid}}' web)")
        .ok();
    run("container run -d --cidfile id --rootfs r true")
        .fails(125, "container", &["id", "is there already"])
        .hint("another container may have it; remove it if that is gone");
    run("container run -d --name web --rootfs r true").fails(
        125,
        "container",
        &["name is taken", "web"],
    );
    run("container run -d --name web --replace --rootfs r sleep 1000 >/dev/null; container ps -aq | wc -l")
        .ok()
        .out("1\n");
    run("container rename web db; container rename db 'a b'; container ps --format '{{.Names}}'")
        .ok()
        .out("db\n");
    run("container run -d --restart always --rootfs r true").fails(
        125,
        "container",
        &["--restart"],
    );
    run("container run -d --rootfs r nosuch").fails(127, "container", &["nosuch"]);
    run("container rm -f db nosuch; container ps -aq; rm id pid")
        .ok()
        .out("db\n");
}

#[test]
fn a_container_that_does_not_stop_is_killed() {
    needs!(root, userns, busybox);
    let t = sandbox();
    let start = "container run -d --name web --stop-timeout 1 --rootfs r sh -c 'trap \"\" TERM; trap \"exit 3\" USR1; while :; do sleep 0.05; done' >/dev/null; sleep 0.2;";
    for run in both(
        &t,
        &format!("{start} container stop web; container wait web; container rm web"),
    ) {
        let begun = Instant::now();
        run.run().ok().out("web\n137\nweb\n").untouched();
        let took = begun.elapsed().as_secs_f32();
        assert!((1.0..8.0).contains(&took), "{took}");
    }
    for run in both(
        &t,
        &format!("{start} container stop -s USR1 -t 9 web; container wait web; container rm web"),
    ) {
        let begun = Instant::now();
        run.run().ok().out("web\n3\nweb\n");
        assert!(begun.elapsed().as_secs_f32() < 5.0);
    }
    let line = "container run -d --name web --stop-signal USR1 --init --rootfs r sleep 1000 >/dev/null; container stop web; container wait web; container rm web";
    t.run(&format!("{KEPT}{line}")).ok().out("web\n138\nweb\n");
}

#[test]
fn logs_are_kept_as_they_were_written() {
    needs!(root, busybox);
    let t = sandbox();
    let run = |line: &str| t.run(&format!("{KEPT}{line}"));
    run("container run -d --name web --rootfs r sh -c 'for n in 1 2 3; do echo $n; done; printf four; sleep 1; echo; echo five' >/dev/null; container logs -f web; container logs --tail 2 web")
        .ok()
        .out("1\n2\n3\nfour\nfive\nfour\nfive\n");
    run("container logs -t -n 1 web | grep -cE '^20[0-9-]{8}T[0-9:]{8}\\.[0-9]{9}Z five$'")
        .ok()
        .out("1\n");
    run("container logs --since 1h web | wc -l; container logs --since 2100-01-01T00:00:00Z web; container logs --until 1000000000 web; container rm web")
        .ok()
        .out("5\nweb\n");
    run("container logs --since x web").fails(1, "container", &["web"]);
    run("container run --rm --log-opt max-size=1k --name web --rootfs r busybox seq 1000 >/dev/null").ok();
    run("container run --log-opt max-size=1k --name web --rootfs r busybox seq 1000 >/dev/null; container logs web | tail -n 1; cat kept/containers/*/log* | wc -c")
        .ok()
        .out_has("1000\n");
    let kept = run("cat kept/containers/*/log* | wc -c");
    assert!(kept.stdout.trim().parse::<u32>().unwrap() < 100_000);
    run("container rm web; container run -d --name web --log-driver none --rootfs r echo x >/dev/null; container wait web; container logs web; container rm web")
        .ok()
        .out("web\n0\nweb\n")
        .err("container: the container keeps no log\n");
    run("container run -d --log-driver journald --rootfs r true").fails(
        125,
        "container",
        &["journald"],
    );
}

#[test]
fn programs_join() {
    needs!(root, userns, busybox);
    let t = sandbox();
    t.write("r/text", "no program")
        .write("env", "# remark\nA=1\nB=2 3\n");
    let line = r#"
        container run -d --name web -e X=y -w /tmp --rootfs r sleep 1000 >/dev/null
        container exec web sh -c 'echo $X; pwd; id -u'
        container exec -w / -e X=z --env-file env web sh -c 'echo $X $A $B; pwd'
        echo hello | container exec -i web cat; echo hello | container exec web cat
        container exec -d web sh -c 'echo done >/dev/shm/it; sleep 1000'; until [ "$(container exec web cat /dev/shm/it 2>/dev/null)" ]; do sleep 0.02; done; container exec web cat /dev/shm/it
        container exec web nosuch; echo $?; container exec web /text; echo $?; for how in '-u nosuch' '-w /text' '-w /nosuch'; do container exec $how web true; echo $?; done; container exec web sh -c 'kill -TERM $$'; echo $?
        container exec web lsns -n -o TYPE -t uts; container exec -u 0:0 web id -g
        container exec --privileged web true; echo $?
        container pause web; container exec web true; echo $?; container unpause web
        container rm -f web"#;
    let out = "y\n/tmp\n0\nz 1 2 3\n/\nhello\ndone\n127\n126\n126\n126\n126\n143\nuts\n0\n1\n";
    let [root, user] = both(&t, line);
    root.run()
        .ok()
        .out(&format!("{out}web\n1\nweb\nweb\n"))
        .untouched();
    // An ordinary user has no control group to freeze.
    user.run().ok().out(&format!("{out}0\nweb\n"));
}

#[test]
fn somebody_looks_in_and_leaves() {
    needs!(root, userns, busybox);
    let t = sandbox();
    for (user, own) in [(None, KEPT), (Some(ORDINARY), OWN)] {
        let mut person = Person::types(
            &t,
            user,
            &format!("{own} container run -it --name web --rootfs r sh; echo ended $?"),
        );
        person
            .sees("# ")
            .presses("echo $((40+2)); stty size\n")
            .sees("42")
            .sees("33 77");
        person.presses("\x10\x11").sees("ended 0");
        assert_eq!(person.leaves(), 0);
        let run = |line: &str| match user {
            None => t.run(&format!("{own}{line}")),
            Some(_) => t.user().run(&format!("{own}{line}")),
        };
        run("container ps --format '{{.State}}'")
            .ok()
            .out("running\n");
        let mut person = Person::types(
            &t,
            user,
            &format!("{own} container attach --detach-keys a,b web; echo ended $?"),
        );
        person
            .presses("echo a$((1))c\n")
            .sees("a1c")
            .presses("ab")
            .sees("ended 0");
        assert_eq!(person.leaves(), 0);
        // Keys that were not the whole of it reach the program, here as the shell's word for the line before.
        let line = format!("{own} container attach web; echo ended $?");
        let mut person = Person::types(&t, user, &line);
        person.presses("\x10\x10; echo b$((2))d\n").sees("\nb2d");
        person.presses("echo g$((0))o; sleep 1000\n").sees("\ng0o");
        // The shell has to give the terminal to its job first.
        std::thread::sleep(std::time::Duration::from_millis(300));
        person
            .presses("\x03")
            .sees("# ")
            .presses("exit 5\n")
            .sees("ended 5");
        assert_eq!(person.leaves(), 0);
        run("container logs web | grep -c b2d; container rm web")
            .ok()
            .out_has("web\n");
    }
    let mut person = Person::types(
        &t,
        None,
        &format!(
            "{KEPT} container run -d --name web --rootfs r sleep 1000 >/dev/null; container exec -it web sh; echo ended $?"
        ),
    );
    person
        .sees("# ")
        .presses("tty; stty size; exit 3\n")
        .sees("/dev/pts/0")
        .sees("33 77")
        .sees("ended 3");
    assert_eq!(person.leaves(), 0);
    t.run(&format!("{KEPT} container rm -f web")).ok();
}

/// Whoever is killed, `rm -f` leaves nothing.
#[test]
fn whoever_is_killed_nothing_is_left() {
    needs!(root, userns, busybox);
    let t = sandbox();
    let start = "container run -d --name web --memory 64M --rootfs r sh -c 'sleep 1000 & sleep 1001' >/dev/null; pid=$(container inspect -f '{{.State.Pid}}' web); monitor=$(cut -d' ' -f4 /proc/$pid/stat);";
    let bare = start.replace("--memory 64M ", "");
    let gone = "while [ -e /proc/$pid ]; do sleep 0.01; done;";
    for (who, status) in [("$pid", "137"), ("$monitor", "255")] {
        let line = |start: &str| {
            format!(
                "{start} kill -9 {who}; {gone} container wait web; container ps -a --format '{{{{.State}}}}'; container rm -f web; container ps -aq"
            )
        };
        let want = format!("{status}\nexited\nweb\n");
        t.run(&format!("{KEPT}{}", line(start)))
            .ok()
            .out(&want)
            .untouched();
        t.user()
            .run(&format!("{OWN}{}", line(&bare)))
            .ok()
            .out(&want)
            .untouched();
    }
    // It can be started again.
    t.run(&format!("{KEPT}{start} kill -9 $monitor; {gone} container start web; container ps -q | wc -l; container rm -f web"))
        .ok()
        .out("web\n1\nweb\n")
        .untouched();
    // Both at once, and the one who watches.
    t.run(&format!(
        "{KEPT}{start} kill -9 $monitor $pid; container rm -f web"
    ))
    .ok()
    .out("web\n")
    .untouched();
    let line = "container run --name web --rootfs r sleep 1000 & until container exec web true 2>/dev/null; do sleep 0.02; done; kill -9 $!; container ps --format '{{.State}}'; container rm -f web";
    t.run(&format!("{KEPT}{line}"))
        .ok()
        .out("running\nweb\n")
        .untouched();
    // At any moment of a start.
    let line = "for ms in 000 001 002 003 004 006 008 010 013 016 020 025 030 040 060; do
            setsid container run -d --rootfs r sleep 1000 >/dev/null 2>&1 & p=$!; sleep 0.$ms; kill -9 -$p $p 2>/dev/null; wait $p
        done; sleep 0.3; all=$(container ps -aq); [ -z \"$all\" ] || container rm -f $all >/dev/null; ls kept/containers kept/run";
    t.run(&format!("{KEPT}{line}"))
        .ok()
        .out("kept/containers:\n\nkept/run:\n")
        .untouched();
}

/// What is asked for is there, and what is not is told; figures are those of its groups.
#[test]
fn a_container_is_verified_and_counted() {
    needs!(root, userns, busybox);
    let t = sandbox();
    // Where things are mounted.
    t.run("mkdir -p r/mnt r/run").ok();
    let line = r#"
        container run -d --name web --read-only --tmpfs /run:size=1m --mount type=bind,src=r,dst=/mnt,readonly --ulimit nofile=100:200 --shm-size 8m --rootfs r sleep 1000 >/dev/null
        container exec web sh -c 'ulimit -n; ulimit -Hn; busybox df -k /dev/shm /run | tail -n 2 | tr -s " " | cut -d" " -f2; touch /mnt/x 2>&1'
        container verify web >said; echo $?; grep -c FAIL said; grep -c '^ok ' said | grep -c '^[5-9][0-9]$'; rm said
        sed -i 's/"noNewPrivileges": true/"noNewPrivileges": false/' $ISOBOX_ROOT/run/*/config.json
        container verify web | grep FAIL | tr -s ' '
        container rm -f web"#;
    for run in both(&t, line) {
        run.run()
            .ok()
            .out("100\n200\n8192\n1024\ntouch: /mnt/x: Read-only file system\n0\n0\n1\nFAIL NoNewPrivs 0 1\nweb\n")
            .untouched();
    }
    let line = r#"
        container run -d --name web --memory 64M --pids 50 --sysctl net.ipv4.ip_forward=1 --group-add 63 --rootfs r sh -c 'while :; do :; done' >/dev/null
        container exec web sh -c 'cat /proc/sys/net/ipv4/ip_forward; id -G'
        container stats --no-stream --format '{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}' | sed 's/ [0-9.]*% [0-9.]*[KM] / /'
        container run --rm --pid container:web --ipc host --uts container:web --rootfs r sh -c 'ps | grep -c "[w]hile"; hostname'
        container run --rm --name two --pid container:web --rootfs r sh -c 'ps | grep -c "[w]hile"'
        container run --network container:web --rootfs r cat /proc/sys/net/ipv4/ip_forward
        container rm -f web"#;
    t.run(&format!("{KEPT}{line}"))
        .ok()
        .out("1\n0 63\nweb / 64M 1\n1\nweb\n1\n1\nweb\n")
        .untouched();
    t.run(&format!(
        "{KEPT}container run --pid nonsense --rootfs r true"
    ))
    .fails(125, "container", &["neither host", "nonsense"]);
}

/// Without a directory of his own for the session, a user's containers are written down in his home, and never where
/// somebody else may have been first.
#[test]
fn a_directory_in_tmp_is_nobodys() {
    needs!(root, userns, busybox);
    let t = sandbox();
    t.run("mkdir -p tmp/isobox-1000/isobox/container home && chmod -R 777 tmp home && chown -R 2000 tmp")
        .ok();
    let line = "export TMPDIR=$PWD/tmp HOME=$PWD/home XDG_RUNTIME_DIR=
        container run -d --name web --rootfs r sleep 1000 >/dev/null; container ps -q | wc -l
        find tmp -mindepth 4; ls home/.local/share/isobox; container rm -f web >/dev/null; rm -rf home/.local";
    t.user().run(line).ok().out("1\ncontainers\nrun\n").err("");
}
