//! runc with a fault at each of its system calls (security list, F; `runc/fault` makes them): killed there, nothing is
//! left when `delete -f` is through; failing there, no program runs that is less confined than it was to be.
//!
//! A run of the suite takes samples; `FAULT_STRIDE=1` takes all.

use std::time::Duration;

use crate::kit::{Ran, Sandbox};
use crate::runc::bundle;

/// A line with `R` as the runtime, `F N HOW COMMAND` as what makes faults, and `each STRIDE` as the numbers of calls.
fn with<'t>(t: &'t Sandbox, line: &str) -> Ran<'t> {
    within(t, "memory", line)
}

/// The same below a group of the sandbox's own for each of these controllers, where what a fault leaves is its own.
pub(crate) fn within<'t>(t: &'t Sandbox, controllers: &str, line: &str) -> Ran<'t> {
    let stride = std::env::var("FAULT_STRIDE").unwrap_or_default();
    let line = format!(
        "R='runc --root {}/k'; F={}/tests/runc/fault; ID={}; mkdir -p k\n\
         stride() {{ echo ${{FAULT_STRIDE:-$1}}; }}; FAULT_STRIDE={stride}\n{line}",
        t.work().display(),
        env!("CARGO_MANIFEST_DIR"),
        t.id(),
    );
    t.write("line", &line);
    t.cmd(&format!("cgexec --rm -g {controllers}:{} sh line", t.id()))
        .limit(Duration::from_secs(match stride.is_empty() {
            true => 120,
            false => 1800,
        }))
        .run()
}

/// G3: create, start, run and delete are killed at a call; then the container can be deleted, and is gone as a whole.
#[test]
fn nothing_is_left_wherever_runc_is_killed() {
    needs!(root, busybox, host("perl"), controller("memory"));
    let t = Sandbox::new("faults");
    let limits =
        r#""resources": {"memory": {"limit": 67108864}, "pids": {"limit": 50}}, "namespaces":"#;
    bundle(&t, r#"["sleep", "1000"]"#, "");
    let config = t.work().join("b/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    let sleep = text.replace("\"namespaces\":", limits);
    t.write("b/config.json", &sleep);
    t.write(
        "once/config.json",
        &sleep.replace("\"sleep\", \"1000\"", "\"true\""),
    );
    with(
        &t,
        r#"n=0; cat /proc/self/mountinfo >mounts
living() { alive=0; while read -r _; do alive=$((alive + 1)); done </sys/fs/cgroup/memory/$ID/cgroup.procs; }
living; before=$alive
gone() {
    $R delete -f c || echo "$1 killed at $n: delete: $?"
    left=$(ls -A k; find /sys/fs/cgroup/*/$ID -type d 2>/dev/null | grep -v -x /sys/fs/cgroup/memory/$ID; cat /proc/self/mountinfo | cmp - mounts)
    tries=0; living; while [ $alive != $before ] && [ $tries -lt 20 ]; do sleep 0.05; tries=$((tries + 1)); living; done
    [ -z "$left" ] && [ $alive = $before ] || echo "$1 killed at $n leaves $left, $alive processes not $before"
}
sweep() { # VERB STRIDE BEFORE COMMAND
    n=1
    while :; do
        eval "$3"; $F $n KILL $R $4 >/dev/null 2>&1; s=$?; gone $1
        [ $s != 99 ] || break
        n=$((n + $(stride $2)))
    done
    echo "$1 $([ $n -gt 20 ] && echo many || echo $n)"
}
sweep create 19 : 'create -b b c'
sweep run 23 : 'run -b once c'
sweep start 7 '$R create -b b c' 'start c'
sweep delete 9 '$R create -b b c; $R start c' 'delete -f c'"#,
    )
    .ok()
    .out("create many\nrun many\nstart many\ndelete many\n");
}

/// What a program finds of its confinement, a line each.
const PROBE: &str = "id; grep -e Cap -e NoNew -e Seccomp: /proc/self/status; hostname; umask; pwd; echo $PPID $$
ulimit -n; ulimit -c; cat /proc/self/oom_score_adj; ls /proc/self/fd | wc -l; cut -d' ' -f4,6,7 /proc/self/stat
(echo >/x) 2>&1; (echo >/proc/sys/kernel/msgmax) 2>&1; cat /proc/sys/kernel/msgmax; wc -c </proc/timer_list; ls /proc/bus | wc -l
(echo >/dev/sda) 2>&1; busybox mkdir /tmp/d 2>&1; busybox mknod /tmp/d b 8 0 2>&1; cut -d' ' -f4-6 /proc/self/mountinfo
wc -l </proc/net/dev; cut -d: -f2- /proc/self/cgroup | grep -v systemd; cat /proc/keys | wc -l
cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max; grep . devices/devices.list; echo all";

/// G4: a call fails with each of these; the program finds itself confined as without, or does not run at all.
#[test]
fn no_program_runs_less_confined_where_a_call_fails() {
    needs!(
        root,
        busybox,
        host("perl"),
        v1("memory"),
        v1("devices"),
        v1("pids"),
        x86_64
    );
    let t = Sandbox::new("faults");
    let root = t.root("r");
    t.write("r/probe", PROBE);
    let caps = r#"["CAP_KILL", "CAP_MKNOD"]"#;
    t.write(
        "b/config.json",
        &format!(
            r#"{{"ociVersion": "1.0.2", "hostname": "box", "root": {{"path": "{}", "readonly": true}},
"process": {{"user": {{"uid": 0, "gid": 0, "umask": 63, "additionalGids": [7, 8]}}, "args": ["sh", "/probe"], "cwd": "/tmp", "env": ["PATH=/bin"],
  "capabilities": {{"bounding": {caps}, "effective": {caps}, "permitted": {caps}}}, "noNewPrivileges": true, "oomScoreAdj": 300,
  "rlimits": [{{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 100}}, {{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}}]}},
"mounts": [{{"destination": "/proc", "type": "proc"}}, {{"destination": "/dev", "type": "tmpfs", "options": ["nosuid", "noexec"]}},
  {{"destination": "/tmp", "type": "tmpfs", "options": ["nosuid", "nodev", "size=65536k"]}},
  {{"destination": "/sys", "type": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]}},
  {{"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["nosuid", "ro"]}}],
"linux": {{"cgroupsPath": "/{}/c", "sysctl": {{"kernel.msgmax": "4096"}}, "maskedPaths": ["/proc/timer_list", "/proc/keys", "/proc/bus"], "readonlyPaths": ["/proc/sys"],
  "resources": {{"memory": {{"limit": 67108864}}, "pids": {{"limit": 50}}, "devices": [{{"allow": false, "access": "rwm"}}, {{"allow": true, "type": "c", "access": "rwm"}}]}},
  "seccomp": {{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 42}}]}},
  "namespaces": [{{"type": "pid"}}, {{"type": "network"}}, {{"type": "ipc"}}, {{"type": "uts"}}, {{"type": "mount"}}, {{"type": "cgroup"}}]}}}}"#,
            root.display(),
            t.id()
        ),
    );
    with(
        &t,
        r#"$R run -b b c >want; tail -1 want; grep -c -x -e 'Seccomp:.2' -e 'NoNewPrivs:.1' -e box -e 4096 -e 300 -e 99 -e 67108864 -e 50 want
for errno in 1 5 12; do n=$errno; absent=0; same=0
    while :; do
        $F $n $errno $R run -b b c >out 2>err; s=$?
        # Where the fault is that of who waits for the program, that is killed half way.
        if [ $s = 99 ]; then break; elif [ ! -s out ]; then absent=$((absent + 1)); else same=$((same + 1)); fi
        # Who may not make devices shows those of the host; rules about devices go where their hierarchy can be read.
        grep -v -x -F -f want out | grep -v -E -e '^/[a-z]+ /dev/[a-z]+ rw,relatime$' -e '^a [*]:[*] rwm$' | sed "s/^/errno $errno at $n: /"
        $R delete -f c; n=$((n + $(stride 41)))
    done
    [ $same -gt 0 ] && [ $absent -gt 0 ] || echo "errno $errno: $absent without a program, $same with it"
done"#,
    )
    .ok()
    .out("all\n8\n");
}
