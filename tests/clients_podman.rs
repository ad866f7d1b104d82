//! podman, conmon and buildah of the distribution on our runtime, unchanged.

use std::time::Duration;

use crate::kit::{Ran, Sandbox};

/// A sandbox with a root `r` and what podman needs to know of this machine.
fn sandbox() -> Sandbox {
    let t = Sandbox::new("podman");
    t.root("r");
    // Limits that the machine's own hard limits allow.
    t.write(
        "containers.conf",
        "[engine]\nevents_logger=\"file\"\n[containers]\nlog_driver=\"k8s-file\"\n\
         default_ulimits=[\"nofile=1024:1024\",\"nproc=1024:1024\"]\n",
    );
    t
}

/// Takes away the control groups that conmon and podman leave.
fn sweep(id: &str) -> String {
    format!(
        "sleep 0.5; find /sys/fs/cgroup -mindepth 2 -depth -type d -path '*/{id}*' -not -path '*/memory/*' -exec rmdir {{}} + 2>/dev/null
find /sys/fs/cgroup/memory/{id} -mindepth 1 -depth -type d -exec rmdir {{}} + 2>/dev/null; true"
    )
}

/// A line with `P` as podman on our runtime and `RUN` as its `run` of the root.
fn podman<'t>(t: &'t Sandbox, line: &str) -> Ran<'t> {
    let (work, id) = (t.work().display().to_string(), t.id());
    let line = format!(
        "export CONTAINERS_CONF={work}/containers.conf HOME={work} G={id}; unset XDG_RUNTIME_DIR
P='podman --root {work}/s --runroot {work}/run --tmpdir {work}/tmp --storage-driver vfs --cgroup-manager cgroupfs --runtime '$(command -v runc)
RUN=\"$P run --cgroup-parent /{id} --network none\"; R='--rootfs {work}/r'
{line}
$P rm -af -t 0 >/dev/null; $P system reset -f >/dev/null 2>&1
{}",
        sweep(id)
    );
    t.counted("", &line).limit(Duration::from_secs(150)).run()
}

/// run, exec, exec -t, logs, ps, pause, stats, top, stop, start, kill, rm; limits, user, read-only, volume, statuses.
#[test]
fn podman_runs_on_our_runtime() {
    needs!(
        root,
        busybox,
        host("podman"),
        host("conmon"),
        controller("memory"),
        controller("freezer")
    );
    let t = sandbox();
    t.write("v/file", "volume\n").write("rules", r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 27}]}"#);
    podman(
        &t,
        "$RUN --rm $R echo hello; $RUN --rm $R sh -c 'exit 5'; echo $?
         $RUN --rm $R nosuch 2>/dev/null; echo $?; $RUN --rm $R /etc 2>/dev/null; echo $?
         $RUN --rm -u 5:6 $R id; $RUN --rm --read-only $R touch /x 2>&1 | sed 's/.*: //'; $RUN --rm -v ./v:/v:ro $R cat /v/file
         $RUN --rm -m 64m --pids-limit 50 $R sh -c 'true' ; $RUN --rm -t $R busybox tty | tr -d '\\r'
         echo in | $RUN --rm -i $R cat; $RUN --rm --hostname box -e A=b -w /tmp $R sh -c 'hostname; echo $A; pwd'
         $RUN --rm --systemd=always $R stat -f -c %T /run; $RUN --rm --uidmap 0:100000:1000 --gidmap 0:100000:1000 $R id -u; $RUN --rm --sysctl net.ipv4.ip_forward=1 --oom-score-adj 300 $R cat /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj
         $RUN --rm --security-opt seccomp=$PWD/rules $R mkdir /tmp/x 2>&1 | sed 's/.*: //'; $RUN --rm --device /dev/zero:/dev/nought $R sh -c 'head -c 1 /dev/nought | wc -c'
         $RUN --rm --init $R true 2>/dev/null; $RUN --rm --cap-drop all $R grep CapEff /proc/self/status",
    )
    .ok()
    .out_in_order(&[
        "hello\n5\n127\n126\nuid=5 gid=6",
        "Read-only file system\nvolume\n/dev/pts/0\nin\nbox\nb\n/tmp\ntmpfs\n0\n1\n300\nFile too large\n1\n",
        "CapEff:\t0000000000000000\n",
    ]);
}

#[test]
fn podman_manages_a_container_that_runs_on() {
    needs!(
        root,
        busybox,
        host("podman"),
        host("conmon"),
        controller("memory"),
        controller("freezer")
    );
    let t = sandbox();
    podman(
        &t,
        "$RUN -d --name c $R sh -c 'echo started; exec sleep 100' >/dev/null; $P ps --format '{{.Names}}'
         $P exec c echo in; $P exec c sh -c 'exit 6'; echo $?; $P exec -t c busybox tty | tr -d '\\r'; $P exec -u 7 c id -u; $P exec -d c sleep 50 >/dev/null
         $P exec c nosuch 2>/dev/null; echo $?
         $P run --rm --cgroup-parent /$G --network container:c --pid container:c --ipc container:c --uts container:c $R sh -c 'cat /proc/1/comm; for n in net ipc uts; do [ $(readlink /proc/self/ns/$n) = $(readlink /proc/1/ns/$n) ]; echo $?; done'
         $P pause c >/dev/null; $P ps -a --format '{{.Status}}' | cut -d' ' -f1; $P unpause c >/dev/null; $P ps --format '{{.Status}}' | cut -d' ' -f1
         $P top c | wc -l; $P stats --no-stream --format '{{.PIDs}}' c; $P logs c
         $P update --help >/dev/null 2>&1; $P stop -t 1 c; $P start c >/dev/null; $P kill c; $P wait c; $P rm c; $P ps -aq | wc -l",
    )
    .ok()
    .out("c\nin\n6\n/dev/pts/0\n7\n127\nsleep\n0\n0\n0\nPaused\nUp\n3\n2\nstarted\nc\nc\n137\nc\n0\n");
}

/// buildah: a root from nothing, run commands in it with our runtime, see what they did.
#[test]
fn buildah_runs_on_our_runtime() {
    needs!(root, busybox, host("buildah"), controller("memory"));
    let t = sandbox();
    let (work, id) = (t.work().display().to_string(), t.id());
    let line = format!(
        "export CONTAINERS_CONF={work}/containers.conf HOME={work} BUILDAH_ISOLATION=oci; unset XDG_RUNTIME_DIR
B='buildah --root {work}/s --runroot {work}/run --storage-driver vfs'; RT=$(command -v runc)
c=$($B from --cgroup-parent /{id} scratch); m=$($B mount $c); cp -a r/. $m
RUN=\"$B run --runtime $RT --network none\"
$RUN $c echo hello; $RUN $c sh -c 'exit 4' 2>/dev/null; echo $?; $RUN $c sh -c 'echo made >/made'; cat $m/made
$RUN --user 5:6 $c id; $RUN --hostname box $c hostname; $RUN -v {work}/b:/b:ro $c ls /b; $RUN $c pwd; $RUN --workingdir /tmp $c pwd
$RUN --env A=b $c sh -c 'echo $A'; $RUN --cap-drop all $c grep CapEff /proc/self/status; $RUN $c nosuch 2>/dev/null; echo $?
tar -C r -cf r.tar .; printf 'FROM scratch\nADD r.tar /\nENV A=b\nRUN echo $A built\nUSER 5\nRUN [\"id\", \"-u\"]\nRUN exit 7\n' >Containerfile
$B bud --runtime $RT --cgroup-parent /{id} --network none -t image . >out 2>&1; echo $?; grep -e '^b built' -e '^5$' out; grep -c warning out
$B rm -a >/dev/null; $B rmi -af >/dev/null; umount {work}/s/vfs 2>/dev/null
{}",
        sweep(id)
    );
    t.write("b/file", "");
    t.counted("", &line)
        .limit(Duration::from_secs(150))
        .run()
        .ok()
        .out_in_order(&[
            "hello\n4\nmade\nuid=5 gid=6",
            "box\nfile\n/\n/tmp\nb\nCapEff:\t0000000000000000\n",
            "7\nb built\n5\n0\n",
        ]);
}
