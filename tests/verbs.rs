//! Verbs and options of `container` and `runc` that no other test has a reason to type.

use crate::kit::{Cmd, Sandbox};
use crate::runc::{bundle, with};

/// A root `r`, and the line as root and as an ordinary user, each with containers of their own.
fn both<'t>(t: &'t Sandbox, line: &str) -> [Cmd<'t>; 2] {
    let kept = |name: &str| format!("export ISOBOX_ROOT=$PWD/{name}; {line}\nrm -rf {name}");
    [t.cmd(&kept("kept")), t.user().cmd(&kept("own"))]
}

#[test]
fn a_container_is_started_again() {
    needs!(root, userns, busybox);
    let t = Sandbox::new("verbs");
    t.root("r");
    // What is written in a container is there when it is started again; in between it was not running.
    let line = r#"
        container create --name web --rootfs r sh -c 'echo up; exec sleep 1000' >/dev/null; container ps -q | wc -l
        container restart web; one=$(container inspect -f '{{.State.Pid}}' web); container restart -t 0 web
        two=$(container inspect -f '{{.State.Pid}}' web); test $one != $two && ! test -e /proc/$one && echo another
        container stop -t 0 web; container restart web; container ps --format '{{.State}}'; container logs web
        container restart nosuch; echo $?; container rm -f web"#;
    for run in both(&t, line) {
        run.run()
            .ok()
            .out("0\nweb\nweb\nanother\nweb\nweb\nrunning\nup\nup\nup\n1\nweb\n")
            .err("container: no such container: nosuch\n");
    }
}

/// Nobody is told of files that went with a container; who is told of a state is told whose.
#[test]
fn a_paused_container_says_so_and_ends() {
    needs!(root, busybox, controller("freezer"));
    let t = Sandbox::new("verbs");
    t.root("r");
    t.counted(
        "",
        "export ISOBOX_ROOT=$PWD/kept; container run -d --name web --memory 64M --rootfs r sleep 1000 >/dev/null
         container pause web; container pause web; container exec web true
         container kill web; container unpause web 2>&1 | grep -c cannot; container wait web; container unpause web; container rm -f web; rm -r kept",
    )
    .run()
    .ok()
    .out("web\nweb\n0\n137\nweb\n")
    .err("container: the container is paused: web\ncontainer: the container is paused: web\ncontainer: the container is not running: web\n");
}

#[test]
fn a_container_is_made_first_and_watched_later() {
    needs!(root, userns, busybox);
    let t = Sandbox::new("verbs");
    t.root("r");
    let line = r#"
        container run --no-start --name one --annotation k=v --rootfs r sh -c 'cat; exit 7' >/dev/null; container ps -a --format '{{.Names}} {{.State}}'
        container create -i --name two --rootfs r sh -c 'cat; exit 8' >/dev/null; container ps -l --format '{{.Names}}'
        container start -a one; echo $?; echo typed | container start -a -i two; echo $?
        grep -l '"k": *"v"' $ISOBOX_ROOT/containers/*/config.json | wc -l; container ps -a --format '{{.Names}} {{.State}}' | sort
        container rm one two"#;
    for run in both(&t, line) {
        run.run()
            .ok()
            .out("one created\ntwo\n7\ntyped\n8\n1\none exited\ntwo exited\none\ntwo\n");
    }
}

/// The limits that update knows reach the files that Debian's runc writes to.
#[test]
fn update_sets_what_runc_sets() {
    needs!(
        root,
        busybox,
        host("runc"),
        v1("memory"),
        v1("cpu"),
        v1("cpuset")
    );
    let t = Sandbox::new("verbs");
    bundle(&t, r#"["sleep", "1000"]"#, "");
    let line = r#"$R create -b b c; $R start c
        $R update --memory 64M --memory-reservation 32M --cpu-share 333 --cpu-quota 20000 --cpu-period 50000 --cpuset-cpus 0 --cpuset-mems 0 --pids-limit 40 c; echo $?
        cd /sys/fs/cgroup; cat memory/$G/c/memory.limit_in_bytes memory/$G/c/memory.soft_limit_in_bytes cpu/$G/c/cpu.shares cpu/$G/c/cpu.cfs_quota_us cpu/$G/c/cpu.cfs_period_us cpuset/$G/c/cpuset.cpus cpuset/$G/c/cpuset.mems pids/$G/c/pids.max
        for o in '--cpu-rt-period 500000' '--cpu-rt-runtime 0' '--blkio-weight 300'; do $R update $o c >/dev/null 2>&1; echo $o $?; done; cat cpu/$G/c/cpu.rt_period_us
        echo '{"memory": {"limit": 0, "swap": 0, "reservation": 0}, "cpu": {"shares": 0, "quota": 0, "period": 0}}' | $R update -r - c; echo zeros $?; cat memory/$G/c/memory.limit_in_bytes cpu/$G/c/cpu.shares
        $R update --memory lots c >/dev/null 2>&1; echo $?; $R update nosuch >/dev/null 2>&1; echo $?; $R delete -f c
        find /sys/fs/cgroup -mindepth 2 -depth -type d -path "*/$G" -not -path '*/memory/*' -exec rmdir {} + 2>/dev/null; true"#;
    let ours = with(&t, "runc", line);
    let theirs = with(&t, "/usr/sbin/runc", line);
    assert_eq!(ours.stdout, theirs.stdout, "{ours}{theirs}");
    ours.out_has("0\n67108864\n33554432\n333\n20000\n50000\n0\n0\n40\n")
        .out_has(
            "--cpu-rt-period 500000 0\n--cpu-rt-runtime 0 0\n--blkio-weight 300 0\n500000\nzeros 0\n67108864\n333\n1\n1\n",
        );
}

/// Groups that were made above the first container of two go with the last.
#[test]
fn groups_above_go_with_the_last() {
    needs!(root, busybox, controller("memory"), controller("pids"));
    let t = Sandbox::new("verbs");
    bundle(&t, r#"["sleep", "1000"]"#, "");
    with(
        &t,
        "runc",
        "left() { find /sys/fs/cgroup -path \"*/$G/web*\" -type d | wc -l; }
        for order in 'a b c' 'c a b' 'b c a'; do
            for id in a b c; do container edit b linux.cgroupsPath=/$G/web/deep/$id; $R create -b b $id; done
            for id in $order; do $R delete -f $id; done; left
        done",
    )
    .ok()
    .out("0\n0\n0\n");
}

/// What changes how a container is made or joined is done as it says, or refused.
#[test]
fn runcs_rarer_options() {
    needs!(
        root,
        busybox,
        v1("cpu"),
        controller("memory"),
        controller("freezer")
    );
    let t = Sandbox::new("verbs");
    bundle(&t, r#"["sleep", "1000"]"#, "");
    with(
        &t,
        "runc",
        r#"say() { "$@" >out 2>&1; echo $?; sed 's/.*msg=//; s/ hint=.*//' out; }
        $R create -b b --no-new-keyring c; $R start c; $R exec -g 5 -g 6 c id -G; $R exec --additional-gids 9 c id -G
        $R pause c; say $R exec c true; $R exec --ignore-paused c echo thawed >later & sleep 0.3; cat later; $R resume c; wait; cat later
        $R events --interval 100ms c >told & e=$!; until [ "$(grep -c '"type":"stats"' told)" -ge 2 ]; do sleep 0.05; done; kill $e; wait $e 2>/dev/null
        $R update --cpu-idle 1 --cpu-burst 1000 --cpu-quota 50000 c; cat /sys/fs/cgroup/cpu/$G/c/cpu.idle /sys/fs/cgroup/cpu/$G/c/cpu.cfs_burst_us
        say $R exec --process-label a:b:c c true; say $R exec --apparmor x c true
        say $R update --l3-cache-schema L3:0=f c; say $R update --mem-bw-schema MB:0=9 c
        $R delete -f c; $R run --no-pivot --no-subreaper -b b -d c; $R state c | grep -c running; $R delete -f c"#,
    )
    .ok()
    .out_in_order(&["5 6\n", "9\n", "255\n", "paused", "thawed\n", "1\n1000\n", "255\n", "exec failed: selinux label is specified in config, but selinux is disabled or not supported", "255\n", "AppArmor is not running", "1\n", "Intel RDT: not supported", "1\n", "not supported", "1\n"]);
}
