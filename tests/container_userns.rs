//! Containers of root with ids of their own: what `/etc/subuid` and `/etc/subgid` give to root or containers, here in a
//! mount namespace whose two files are the test's.

use crate::kit::{Cmd, Ran, Sandbox};

/// `with-ranges LINES COMMAND...`: runs a command where both files have these lines.
const WITH_RANGES: &str = r#"#!/bin/sh
printf "$1" >ranges; shift
exec unshare -m sh -c 'mount --bind ranges /etc/subuid && mount --bind ranges /etc/subgid && exec "$@"' sh "$@"
"#;

/// Ids for so many containers.
const MANY: &str = "containers:1000000:1048576\\n";
const ONE: &str = "root:1000000:65536\\n";

fn sandbox() -> Sandbox {
    let t = Sandbox::new("cuserns");
    t.root("r");
    t.tool("with-ranges", WITH_RANGES);
    t.run("ln -s busybox r/bin/cut; ln -s busybox r/bin/tty")
        .ok();
    t.write(
        "r/etc/passwd",
        "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/:/bin/sh\n",
    )
    .write("r/etc/group", "root:x:0:\nweb:x:34:\n");
    t
}

/// A script where root's containers may have these ids.
fn with<'t>(t: &'t Sandbox, ranges: &str, script: &str) -> Cmd<'t> {
    t.write("line", script);
    t.cmd(&format!("with-ranges '{ranges}' sh line"))
        .env("ISOBOX_ROOT", t.work().join("kept"))
}

fn run<'t>(t: &'t Sandbox, ranges: &str, script: &str) -> Ran<'t> {
    with(t, ranges, script).run()
}

/// T-SEC-07: a file that root inside makes belongs to nobody of the host; what only root of the host may read he may not.
#[test]
fn root_inside_is_nobody_outside() {
    needs!(root, busybox);
    let t = sandbox();
    let script = r#"
        mkdir -m 777 v w; echo secret >v/s; chmod 600 v/s; echo own >w/f; chmod 600 w/f; chmod 700 w
        before=$(stat -c '%u:%g %a' /dev/null)
        container run --rootfs r -v ./v:/v -v ./w:/w:idmap $FLAGS sh -c '
            id -u; cat /proc/self/uid_map /proc/self/gid_map; touch /v/made /made; mkdir /dir
            cat /v/s; chown 0 /dev/null 2>/dev/null || echo kept; cat /w/f && echo more >>/w/f; touch /w/g
            stat -c %u:%g / /made /v/made /v/s /w/g'
        stat -c %u:%g r/made r/dir v/made w/g; cat w/f
        test "$before" = "$(stat -c '%u:%g %a' /dev/null)" && echo null; ls kept/ids"#;
    run(&t, MANY, script)
        .ok()
        .out(
            "0\n         0    1000000      65536\n         0    1000000      65536\nkept\nown\n\
             0:0\n0:0\n0:0\n65534:65534\n0:0\n\
             0:0\n0:0\n1000000:1000000\n0:0\nown\nmore\nnull\n",
        )
        .err("cat: can't open '/v/s': Permission denied\n");
    // The control: with the ids of the machine he may do all of that.
    let control = "rm -r r/made r/dir v/made; container run --rootfs r -v ./v:/v $FLAGS sh -c 'touch /v/made; cat /v/s; cat /proc/self/uid_map'; stat -c %u v/made";
    let cases = [
        ("--userns host", MANY),
        ("", ""),
        ("", "anna:1000000:65536\\n"),
        ("", "root:1000000:65535\\n"),
    ];
    for (flags, ranges) in cases {
        with(&t, ranges, control)
            .env("FLAGS", flags)
            .run()
            .ok()
            .out("secret\n         0          0 4294967295\n0\n")
            .err("");
        t.run("mkdir -p r/dir; touch r/made").ok();
    }
}

/// Containers that are there at once have no id in common; who is killed leaves none that is taken.
#[test]
fn every_container_has_ids_of_its_own() {
    needs!(root, busybox);
    let t = sandbox();
    let script = r#"
        map() { container exec $1 head -n1 /proc/self/uid_map; }
        for n in 1 2 3 4 5; do container run -d --name c$n --rootfs r sleep 1000 >/dev/null & done; wait
        for n in 1 2 3 4 5; do map c$n; done | sort -u | wc -l; ls kept/ids | wc -l
        pid=$(container inspect -f '{{.State.Pid}}' c1); ps -o uid= -p $pid | tr -d ' ' | grep -c ^1[0-9]*$
        container run --rootfs r head -n1 /proc/self/uid_map
        container stop -t 0 c3 >/dev/null; before=$(ls kept/ids); container start c3 >/dev/null; test "$before" = "$(ls kept/ids)" && echo same
        container rm -f c1 c2 c3 c4 c5 >/dev/null; ls kept/ids"#;
    run(&t, MANY, script)
        .ok()
        .out("5\n5\n1\n         0    1327680      65536\nsame\n");
    // One range: whoever comes second has none, until the first is gone, however it goes.
    let script = r#"
        map='head -n1 /proc/self/uid_map'
        container run -d --name one --rootfs r sleep 1000 >/dev/null
        container run --userns auto --rootfs r true; echo $?
        container run --rootfs r $map 2>note; cut -c1-51 note; rm note
        container rm -f one >/dev/null; container run --rootfs r $map
        container run --rootfs r sh -c 'echo up >/up; sleep 1000' & until [ -e r/up ]; do sleep 0.01; done; rm r/up
        container run --userns auto --rootfs r true 2>/dev/null; echo $?
        kill -9 $!; wait $! 2>/dev/null; ls kept/ids; until container run --userns auto --rootfs r $map 2>/dev/null; do sleep 0.01; done
        mkdir kept/ids/1000000-1000000-f00; container run --userns auto --rootfs r $map
        mkdir kept/ids/1000000-1000000-f00; container gc 2>/dev/null; ls kept/ids"#;
    run(&t, ONE, script)
        .ok()
        .out(
            "125\n         0          0 4294967295\nnote: the container has the ids of the machine: no \n\
             \x20        0    1000000      65536\n125\n1000000-1000000\n         0    1000000      65536\n\
             \x20        0    1000000      65536\n",
        )
        .err(
            "container: no ids are left for the container: other containers have all of /etc/subuid and /etc/subgid\n\
             hint: the line containers:1065536:1048576 in both files gives ids to 16 containers more; --userns host gives it those of the machine\n",
        );
    run(&t, "", "container run --userns auto --rootfs r true")
        .status(125)
        .err_has("neither root nor containers has 65536 of them")
        .err_has("hint: the line containers:1048576:1048576 in both files");
}

/// What is for the ids of the machine gets them, unless ids of its own are asked for; what cannot be had together says so.
#[test]
fn what_is_for_the_machine_has_its_ids() {
    needs!(root, busybox);
    let t = sandbox();
    let first = |ids: &str| format!("         0 {ids:>10}");
    let mut script = String::new();
    let mut want = String::new();
    let cases = [
        ("--network host", true),
        ("--pid host", true),
        ("--ipc host", true),
        ("--uts host", true),
        ("--cgroupns host", true),
        ("--device /dev/zero", true),
        ("--cap-add SYS_TIME", true),
        ("--cap-add NET_ADMIN", false),
        ("--network none", false),
        ("--strict --landlock", false),
        ("--init", false),
        ("--read-only --tmpfs /tmp", false),
        (
            "--shm-size 1m --pids-limit 9 --memory 64m --ulimit nofile=64",
            false,
        ),
        (
            "--sysctl net.ipv4.ip_forward=1 --sysctl kernel.msgmax=9000",
            false,
        ),
        (
            "--security-opt systempaths=unconfined --security-opt seccomp=unconfined",
            false,
        ),
    ];
    for (flags, machines) in cases {
        let line = |more: &str| {
            format!("container run --rootfs r {flags} {more} cut -c1-21 /proc/self/uid_map; ")
        };
        script.push_str(&(line("") + &line("--userns auto")));
        let ids = if machines { "0" } else { "1000000" };
        want.push_str(&format!("{}\n{}\n", first(ids), first("1000000")));
    }
    run(&t, ONE, &script).ok().out(&want).err("");
    let script = "
        container run --user 70000 --rootfs r id -u; container run --rootfs host cut -c1-21 /proc/self/uid_map
        container run -d --name aa --rootfs r sleep 1000 >/dev/null
        container run --rootfs r --network container:aa --pid container:aa sh -c 'cut -c1-21 /proc/self/uid_map; grep -c ^ /proc/1/cmdline'
        container rm -f aa >/dev/null";
    let machine = first("0");
    run(&t, ONE, script)
        .ok()
        .out(&format!("70000\n{machine}\n{machine}\n1\n"));
}

/// What cannot be had together says so.
#[test]
fn what_cannot_have_ids_of_its_own_says_so() {
    needs!(root, busybox);
    let t = sandbox();
    for (flags, why) in [
        ("--rootfs host", "with --rootfs host: its files belong"),
        (
            "--rootfs r --user 65536",
            "with --user: the largest of its ids is 65535",
        ),
        ("--rootfs r --group-add 65536", "with --user"),
        (
            "--rootfs r --network ns:/proc/self/ns/net",
            "with --network",
        ),
        ("--rootfs r --network container:x", "with --network"),
        ("--rootfs r --pid container:x", "with container:ID"),
    ] {
        run(
            &t,
            ONE,
            &format!("container run --userns auto {flags} true"),
        )
        .status(125)
        .err_has("--userns auto cannot be")
        .err_has(why);
    }
    for (who, why) in [
        ("single", "ordinary users"),
        ("subids", "ordinary users"),
        ("x", "neither auto"),
    ] {
        run(
            &t,
            ONE,
            &format!("container run --userns {who} --rootfs r true"),
        )
        .status(125)
        .err_has(why);
    }
    t.user()
        .run("container run --userns auto --rootfs r true")
        .status(125)
        .err_has("--userns auto is for root");
}

/// Where the files of the root cannot be shown with other ids, a line says that they have those of the machine.
#[test]
fn a_root_that_cannot_be_mapped_is_told() {
    needs!(root, busybox);
    let t = sandbox();
    let script = "
        mkdir u w m; mount -t overlay o -o lowerdir=r,upperdir=u,workdir=w m
        container run --rootfs m cut -c1-21 /proc/self/uid_map
        container run --userns auto --rootfs m true; echo $?; ls kept/ids; umount m";
    let ran = run(&t, ONE, script);
    ran.ok().out("         0          0\n125\n");
    ran.err_has("note: the container has the ids of the machine: cannot map the ids of the mount")
        .err_has("container: cannot map the ids of the mount");
}

/// What was inherited stays as it is (T-FS-27); a terminal is the container's own.
#[test]
fn standard_streams_stay_whose_they_are() {
    needs!(root, busybox, host("script"), host("perl"));
    let t = sandbox();
    let script = r#"
        look() { stat -L -c '%u:%g %a' "$@"; }
        touch file; look /dev/null file; container run --rootfs r true </dev/null >/dev/null 2>/dev/null; look /dev/null
        container run -i --rootfs r sh -c 'echo out' <file >>file 2>&1; look file; cat file
        echo in | container run -i --rootfs r cat | cat
        perl -MSocket -e 'socketpair(A, B, AF_UNIX, SOCK_STREAM, 0); $p = fork || do { open STDOUT, ">&B"; exec qw(container run --rootfs r echo socket) }; waitpid $p, 0; print scalar <A>; print join(":", (stat A)[4, 5]), "\n"'
        script -qec 'container run -it --rootfs r sh -c "tty; stat -c %u:%g /dev/pts/0; echo x >/dev/tty"' /dev/null </dev/null | tr -d '\r' | sed 's/^^@//'"#;
    run(&t, ONE, script)
        .ok()
        .out("0:0 666\n0:0 644\n0:0 666\n0:0 644\nout\nin\nsocket\n0:0\n/dev/pts/0\n0:5\nx\n");
}

/// What is done is told; what no script or config.json can say is not left out in silence.
#[test]
fn the_plan_tells_whose_ids_there_are() {
    needs!(root, busybox);
    let t = sandbox();
    let explained = run(&t, ONE, "container run --explain --rootfs r true; ls kept");
    explained
        .out_has("MOUNT_ATTR_IDMAP, uid_map=\"0 1000000 65536\", gid_map=\"0 1000000 65536\"")
        .out_has("write(\"/proc/PID/uid_map\", \"0 1000000 65536\")")
        .out_has("move_mount(ROOT, \"/\")")
        .err_has("kept");
    let spec = "container spec --rootfs r true | grep -c Mappings; container spec --userns auto --rootfs r true | grep -c -e '\"type\": \"user\"' -e '\"hostID\": 1000000'";
    run(&t, ONE, spec)
        .out("0\n3\n")
        .err_has("note: the files of the root must belong to these ids");
    run(
        &t,
        ONE,
        "container run --script --userns auto --rootfs r true",
    )
    .ok()
    .out_has("an id-mapped root");
    let script = "container run --script --rootfs r cut -c1-21 /proc/self/uid_map >s; sh s";
    run(&t, ONE, script).ok().out("         0          0\n");
}

/// An image's container is looked after as any other, and what it writes has the owners that it has inside, in the next
/// container too.
#[test]
fn an_image_s_container_is_looked_after() {
    needs!(
        root,
        userns,
        busybox,
        host("docker-registry"),
        host("skopeo"),
        host("umoci")
    );
    let t = sandbox();
    let registry = crate::kit::registry::Registry::start(&t);
    let image = r#"set -e
        mkdir -p r/srv r/old r/priv l/old r/v; chmod 1777 r/tmp; chown 33:34 r/srv r/v; echo s >r/priv/s; chmod -R go= r/priv
        echo o >r/old/o; touch l/old/.wh..wh..opq; echo n >l/old/n
        umoci init --layout img; umoci new --image img:1; tar -C r -cf 1.tar .; tar -C l -cf 2.tar old
        for n in 1 2; do umoci raw add-layer --image img:1 $n.tar; done; umoci config --image img:1 --config.volume /v"#;
    t.cmd(&format!(
        "{{ {image}\n}} >log 2>&1 || {{ cat log; exit 1; }}"
    ))
    .host()
    .run()
    .ok();
    registry.fill("img:1", "lab/box:1");
    let script = r#"
        container pull -q $IMAGE >/dev/null
        container run $IMAGE sh -c 'ls /old; stat -c %u:%g / /srv /v; cat /priv/s; echo x >/priv/x && rm /old/n; chown 33 /old; stat -c %u /old; ls /old'
        container run -d --name box $IMAGE sh -c 'echo kept >/v/k; mkdir /d; echo up >/d/up; chown -R 33:34 /d; rm -r /old; echo log; sleep 1000' >/dev/null
        until container exec box cat /d/up 2>/dev/null; do sleep 0.05; done; until [ $(container logs box) ]; do sleep 0.01; done
        container logs box; container exec -u web box id; container exec box sh -c 'id; cut -c1-21 /proc/self/uid_map'; container top box -eo pid,uid,args | grep -o '1000000 .*'
        container verify box | grep -v ^ok | cut -c1-8
        echo in >f; container cp f box:/srv/f; container cp -a box:/d/up - | tar tv --numeric-owner | cut -c1-16
        container exec box stat -c %u:%g /srv/f; container exec -t box tty | tr -d '\r'
        container stop -t 0 box; container cp -a f box:/srv/g; container cp box:/v/k k; cat k; container start box
        container exec box stat -c %u:%g /srv/f /srv/g /d/up /v/k /d; container pause box; container unpause box
        container commit box own:1 >/dev/null
        container run --userns host own:1 stat -c %u:%g /d/up /srv/f; container run own:1 sh -c 'stat -c %u:%g /d/up /srv/f; cut -c1-21 /proc/self/uid_map; ls -d /old'
        container run -v /vol -v ./l:/host:ro --copy $IMAGE sh -c 'stat -c %u:%g /srv /vol; touch /vol/x /srv/x && stat -c %u /srv/x; cat /priv/s'
        find kept/written -mindepth 1 -uid +65535; container rm -f box; ls kept/ids kept/written"#;
    let ran = with(&t, MANY, script)
        .env("IMAGE", format!("{}/lab/box:1", registry.at))
        .run();
    ran.ok().out(
        "n\n0:0\n33:34\n33:34\ns\n33\nup\nlog\nuid=33(web) gid=34(web) groups=34(web)\nuid=0(root) gid=0(root) groups=0(root)\n\
         \x20        0    1000000\n1000000 sleep 1000\n   CHECK\n-rw-r--r-- 33/34\n0:0\n/dev/pts/0\nbox\nkept\nbox\n0:0\n0:0\n33:34\n0:0\n33:34\nbox\nbox\n\
         33:34\n0:0\n33:34\n0:0\n         0    1065536\n33:34\n0:0\n0\ns\nbox\nkept/ids:\n\nkept/written:\n",
    );
}
