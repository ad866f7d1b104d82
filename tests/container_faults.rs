//! `container` with a fault at each of its system calls (`runc/fault` makes them), and what `container gc` finds.
//!
//! A run of the suite takes samples; `FAULT_STRIDE=1` takes all.

use std::path::Path;

use crate::kit::{Ran, Sandbox};
use crate::runc_faults::within;

/// A root `r`, containers that are kept in `work/kept`, and functions: `living` counts the processes of the sandbox's
/// memory group, `left` lists what is left of containers, `settle` says what is left a second after the last is gone.
fn sandbox() -> Sandbox {
    let t = Sandbox::new("cfaults");
    t.root("r");
    t.write("r/etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    t
}

/// A line in groups of the sandbox's own, with all that a container makes groups for.
fn with<'t>(t: &'t Sandbox, line: &str) -> Ran<'t> {
    let devices = ["", ",devices"][usize::from(Path::new("/sys/fs/cgroup/devices").exists())];
    within(t, &format!("memory,pids{devices}"), line)
}

const AROUND: &str = r#"
export ISOBOX_ROOT=$PWD/kept; mkdir -p kept/containers kept/run; cat /proc/self/mountinfo >mounts; n=0
living() { alive=0; while read -r _; do alive=$((alive + 1)); done </sys/fs/cgroup/memory/$ID/cgroup.procs
    below=$(cat /sys/fs/cgroup/memory/$ID/*/cgroup.procs 2>/dev/null); }
living; before=$alive
left() { for d in containers run written ids; do ls -A kept/$d 2>/dev/null; done; find /sys/fs/cgroup/*/$ID -mindepth 1 -type d 2>/dev/null; cat /proc/self/mountinfo | cmp - mounts; }
gone() { tries=0; living; while [ "$alive$below" != $before ] && [ $tries -lt 40 ]; do sleep 0.05; tries=$((tries + 1)); living; done; }
settle() { # WHAT
    gone; left=$(left); [ -z "$left" ] && [ $alive = $before ] || echo "$1 killed at $n leaves $left, $alive processes not $before"
}
"#;

/// Kills a command at its calls, one run after the other, and says what is left each time.
const SWEEP: &str = r#"
sweep() { # WHAT STRIDE BEFORE COMMAND AFTER
    n=1
    while :; do
        eval "$3" >/dev/null; $F $n KILL $4 >/dev/null 2>&1; s=$?; eval "$5"
        all=$(container ps -aq); [ -z "$all" ] || container rm -f $all >/dev/null || echo "$1 killed at $n: rm: $?"
        gone; container gc 2>/dev/null || echo "$1 killed at $n: gc: $?"; settle "$1"
        [ $s != 99 ] || break
        n=$((n + $(stride $2)))
    done
    echo "$1 $([ $n -gt 20 ] && echo many || echo $n)"
}
"#;

/// F-01, G3: run, exec and rm are killed at a call; then `rm -f` of what is listed and `gc` leave nothing.
#[test]
fn nothing_is_left_wherever_container_is_killed() {
    needs!(root, busybox, host("perl"), controller("memory"));
    let t = sandbox();
    with(
        &t,
        &format!(
            r#"{AROUND} {SWEEP}
RUN='container run -d --name web --memory 64M --pids 50 --rootfs r sleep 1000'
sweep run 13 : "$RUN" :
sweep 'run --rm' 23 : 'container run --rm --name web --memory 64M --rootfs r true' :
sweep 'run, not kept' 61 : 'container run --memory 64M --rootfs r true' :
sweep exec 61 "$RUN" 'container exec web true' 'container exec web true || echo another: $?'
sweep rm 31 "$RUN" 'container rm -f web' :"#
        ),
    )
    .ok()
    .out("run many\nrun --rm many\nrun, not kept many\nexec many\nrm many\n");
}

/// The same where containers have ids of their own: none stays taken, and nothing of the host gets another owner.
#[test]
fn no_ids_are_left_wherever_container_is_killed() {
    needs!(root, busybox, host("perl"), controller("memory"));
    let t = sandbox();
    with(
        &t,
        &format!(
            r#"echo root:1000000:65536 >ids; for f in subuid subgid; do mount --bind ids /etc/$f; done
{AROUND} {SWEEP}
RUN='container run -d --name web --memory 64M --userns auto --rootfs r sleep 1000'
sweep run 37 : "$RUN" :
sweep 'run, not kept' 41 : 'container run --userns auto --memory 64M --rootfs r true' :
sweep exec 97 "$RUN" 'container exec web true' 'container exec web true || echo another: $?'
sweep rm 61 "$RUN" 'container rm -f web' :
find r ids -uid +0; umount /etc/subuid /etc/subgid"#
        ),
    )
    .ok()
    .out("run many\nrun, not kept many\nexec many\nrm many\n");
}

/// F-05: a call fails while a container is made; what was made of it until then is taken back.
#[test]
fn nothing_is_left_of_a_container_that_could_not_be_made() {
    needs!(root, busybox, host("perl"), controller("memory"), x86_64);
    let t = sandbox();
    with(
        &t,
        &format!(
            r#"{AROUND}
container run -d --name other --memory 64M --rootfs r sleep 1000 >/dev/null; made=0; failed=0
left() {{ ls kept/containers | wc -l; }}
for calls in '' '73 257 258 262 264'; do n=1
    export FAULT_AMONG="$calls"
    while :; do
        $F $n 1 container create --name web --memory 64M --rootfs r true >/dev/null 2>err; s=$?
        [ $s != 99 ] || break
        case $s in
        0) made=$((made + 1)) ;;
        *) failed=$((failed + 1)); [ $(left) = 1 ] || {{ echo "$calls at $n: $(left) are left: $(cat err)"; container gc; left; }} ;;
        esac
        container rm web >/dev/null 2>&1; n=$((n + $([ "$calls" ] && echo 1 || stride 13)))
    done; container rm web >/dev/null
done
# What gc cannot look at it does not take away.
for calls in '' '0 257'; do n=1; export FAULT_AMONG="$calls"
    while $F $n 5 container gc >/dev/null 2>&1; [ $? != 99 ]; do
        [ "$(container inspect -f '{{{{.State.Running}}}}' other)" = true ] || {{ echo "$calls at $n: gc took it"; break 2; }}
        n=$((n + $([ "$calls" ] && echo 1 || stride 13)))
    done
done
[ $made -gt 0 ] && [ $failed -gt 10 ] || echo "$made were made, $failed not"; container rm -f other"#
        ),
    )
    .ok()
    .out("other\n");
}

/// A container of which nothing is known any more but its record, and groups of a run that was killed, are taken away;
/// one that runs is not.
#[test]
fn orphaned_groups_are_collected() {
    needs!(root, busybox, controller("memory"), controller("pids"));
    let t = sandbox();
    with(
        &t,
        &format!(
            r#"{AROUND}
groups() {{ find /sys/fs/cgroup/memory/$ID -mindepth 1 -type d | wc -l; }}
container run --memory 64M --rootfs r sleep 1000 & run=$!
until [ "$(groups)" = 1 ] && grep -q . /sys/fs/cgroup/memory/$ID/*/cgroup.procs; do sleep 0.02; done
container gc 2>&1; groups
kill -9 $run; wait $run; until ! grep -q . /sys/fs/cgroup/memory/$ID/*/cgroup.procs; do sleep 0.02; done; groups
container gc 2>&1; groups
# The number of a process of another PID namespace is nobody's here, and that it is gone cannot be told.
mkdir /sys/fs/cgroup/memory/$ID/isobox-99999999-1; container gc 2>&1; groups; rmdir /sys/fs/cgroup/memory/$ID/isobox-*
# Whoever made the one, or took away the other, came half way.
mkdir kept/containers/begun kept/containers/going; echo {{}} >kept/containers/going/config.json; container gc 2>&1; ls kept/containers
container run -d --name web --memory 64M --rootfs r sleep 1000 >/dev/null
container run -d --name lost --memory 64M --rootfs r sleep 1000 >/dev/null
container gc 2>&1; groups
lost=$(container inspect -f '{{{{.Id}}}}' lost); monitor=$(cut -d' ' -f4 /proc/$(container inspect -f '{{{{.State.Pid}}}}' lost)/stat)
kill -9 $monitor; rm -r kept/containers/$lost; container gc 2>&1; groups; ls kept/run | wc -l
container rm -f web; settle rm"#
        ),
    )
    .ok()
    .out(
        "removed: what was left of 0 containers, 0 layers, 0 blobs\n1\n1\n\
         removed: what was left of 1 containers, 0 layers, 0 blobs\n0\n\
         removed: what was left of 0 containers, 0 layers, 0 blobs\n1\n\
         removed: what was left of 2 containers, 0 layers, 0 blobs\n\
         removed: what was left of 0 containers, 0 layers, 0 blobs\n2\n\
         removed: what was left of 1 containers, 0 layers, 0 blobs\n1\n1\nweb\n",
    );
}

/// A removal beside the start of the container ends it, whatever there is of it at that moment.
#[test]
fn a_removal_beside_a_start_is_one() {
    needs!(root, busybox, controller("memory"));
    let t = sandbox();
    with(
        &t,
        &format!(
            r#"{AROUND}
for ms in 00 01 02 03 04 06 08 10 12 15 20 25 30; do
    container create --name two --memory 64M --rootfs r sleep 1000 >/dev/null; container start two >/dev/null 2>&1 & start=$!
    sleep 0.0$ms; timeout 20 container rm -f two >/dev/null || echo "rm after $ms: $?"; wait $start
done
settle rm"#
        ),
    )
    .ok()
    .out("");
}

/// What a program finds of its confinement, a line each; `/host.KIND` tells the host's namespaces.
const PROBE: &str = "id; cat /proc/self/uid_map /proc/self/gid_map; grep -e Cap -e NoNew -e Seccomp: /proc/self/status; hostname; umask; pwd; echo $PPID
ulimit -n; ulimit -c; ulimit -l; cat /proc/self/oom_score_adj; ls /proc/self/fd | wc -l
(echo >/x) 2>&1; (echo >/mnt/x) 2>&1; (echo >/proc/sys/kernel/msgmax) 2>&1; cat /proc/sys/kernel/msgmax /proc/sys/user/max_user_namespaces
wc -c </proc/timer_list; wc -c </proc/keys; ls /proc/bus | wc -l; ls /sys/firmware | wc -l; (echo >/dev/sda) 2>&1
busybox mknod /tmp/d b 8 0 2>&1; (: </tmp/d) 2>&1; busybox rm -f /tmp/d; mount -t tmpfs t /tmp 2>&1; busybox unshare -U true 2>&1; cut -d' ' -f4-6 /proc/self/mountinfo
wc -l </proc/net/dev; busybox cut -d: -f2- /proc/self/cgroup | grep -v systemd; env; ls /dev | busybox tr '\\n' ' '
for n in pid net ipc uts mnt cgroup; do [ $(readlink /proc/self/ns/$n) != $(cat /host.$n) ] && echo own $n; done
( i=0; while [ $i -lt 60 ]; do sleep 9 & i=$((i+1)); done ) 2>/tmp/e; head -n 1 /tmp/e; busybox killall -9 sleep
(dd bs=100M count=1 if=/dev/zero of=/dev/null) 2>/dev/null; echo $?; echo all";

/// F-05, G4: a call fails with each of these; the program of run and of exec finds itself confined as without, or does
/// not run at all.
#[test]
fn no_program_runs_less_confined_where_a_call_fails() {
    needs!(
        root,
        busybox,
        host("perl"),
        v1("memory"),
        v1("pids"),
        x86_64
    );
    let t = sandbox();
    t.write("r/probe", PROBE).write("r/mnt/f", "");
    with(
        &t,
        &format!(
            r#"echo root:1000000:65536 >ids; for f in subuid subgid; do mount --bind ids /etc/$f; done
{AROUND}
mkdir vol; for n in pid net ipc uts mnt cgroup; do readlink /proc/self/ns/$n >r/host.$n; done
W="--userns host --hostname box --read-only --memory 64M --pids 50 --ulimit nofile=99:100 --sysctl kernel.msgmax=4096 -v ./vol:/mnt:ro --tmpfs /tmp -w /tmp --group-add 7 --cap-add MKNOD --rootfs r"
container run -d --init --name web $W busybox tail -f /dev/null >/dev/null
sweep() {{ # WHAT STRIDE COMMAND
    $3 >want 2>/dev/null; tail -n 1 want; grep -c -x -e 'Seccomp:.2' -e 'NoNewPrivs:.1' -e box -e 4096 -e 99 -e 137 -e 'own .*' -e ".*can't fork.*" want
    absent=0; same=0
    for errno in 1 22 38; do n=${{FAULT_AMONG:+1}}; n=${{n:-$errno}}
        while :; do
            timeout 20 $F $n $errno $3 >out 2>/dev/null; s=$?
            [ $s != 124 ] || echo "$1, errno $errno at $n: no end"
            [ $s != 99 ] || break
            [ -s out ] && same=$((same + 1)) || absent=$((absent + 1))
            [ -s out ] || [ $s != 0 ] || echo "$1, errno $errno at $n: no program, and 0"
            # Who may not make devices shows those of the host.
            grep -v -x -F -f want out | grep -v -E '^/[a-z]+ /dev/[a-z]+ rw,relatime$' | sed "s/^/$1, errno $errno at $n: /"
            n=$((n + $(stride $2)))
        done
    done
    [ "$same$FAULT_AMONG" != 0 ] && [ $absent -gt 0 ] || echo "$1: $absent without a program, $same with it"
}}
each() {{ FAULT_AMONG=$1; export FAULT_AMONG; stride=$FAULT_STRIDE; FAULT_STRIDE=1; sweep "$2" 1 "$3"; FAULT_AMONG=; FAULT_STRIDE=$stride; }}
sweep run 89 "container run $W sh /probe"
# By these calls namespaces are made ahead, waited for and entered.
each '41 56 61 203 204 247 272 308' run "container run --label kept=yes $W sh /probe"
sweep exec 89 'container exec web sh /probe'
# Which namespaces there are is read from links.
each 267 exec 'container exec web sh /probe'
container rm -f web; sweep 'run with ids of its own' 97 "container run $W --userns auto sh /probe"
# By these calls processes tell each other what is done: where one is lost, no program runs, and no one waits.
each '44 45 46 47 424' 'run with ids of its own' "container run $W --userns auto sh /probe"
container gc 2>/dev/null; settle rm; umount /etc/subuid /etc/subgid"#
        ),
    )
    .ok()
    .out("all\n12\nall\n12\nall\n12\nall\n12\nweb\nall\n12\nall\n12\n");
}
