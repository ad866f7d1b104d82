//! docker of the distribution on our runtime, unchanged: a daemon of the test's own, an image from an archive, no network.

use std::time::Duration;

use crate::kit::{Ran, Sandbox};

macro_rules! needs_docker {
    () => {
        needs!(
            root,
            busybox,
            host("dockerd"),
            host("docker"),
            host("containerd-shim-runc-v2"),
            controller("memory"),
            controller("freezer")
        );
    };
}

/// A line with `docker` speaking to a daemon of the test's own, whose only runtime is ours, with an image `box`. It lives
/// in namespaces of its own and ends with the line. cgroup v2, beside v1 here, is hidden from it.
fn docker<'t>(t: &'t Sandbox, line: &str) -> Ran<'t> {
    t.root("r");
    let (work, id) = (t.work().display().to_string(), t.id());
    let line = format!(
        "mount -t tmpfs none /run; ip link set lo up; ! [ -d /sys/fs/cgroup/unified ] || umount /sys/fs/cgroup/unified
export DOCKER_HOST=unix://{work}/d.sock HOME={work}
dockerd --data-root {work}/root --exec-root {work}/exec -H unix://{work}/d.sock -p {work}/pid --iptables=false --ip6tables=false \\
    --bridge=none --storage-driver vfs --add-runtime isobox=$(command -v runc) --default-runtime isobox \\
    --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent /{id} >log 2>&1 & D=$!
n=0; until docker version >/dev/null 2>&1 || [ $((n += 1)) = 200 ]; do sleep 0.1; done
tar -C r -c . | docker import - box >/dev/null; RUN='docker run --rm --network none'
{line}
docker ps -aq | xargs -r docker rm -f >/dev/null; kill $D; wait $D; true"
    );
    t.counted("unshare -mpf --mount-proc --kill-child", &line)
        .limit(Duration::from_secs(100))
        .run()
}

/// run: streams, statuses, user, root, volume, limits, terminal, capabilities, profiles, network, init.
#[test]
fn docker_runs_on_our_runtime() {
    needs_docker!();
    let t = Sandbox::new("docker");
    t.write("v/file", "volume\n");
    docker(
        &t,
        "$RUN box echo hello; $RUN box sh -c 'exit 5'; echo $?; $RUN box sh -c \"sh -c 'kill -9 \\$\\$'; exit \\$?\"; echo $?
         $RUN box nosuch 2>/dev/null; echo $?; $RUN box /etc 2>/dev/null; echo $?
         $RUN -u 5:6 --group-add 7 box id; $RUN --read-only box touch /x 2>&1 | sed 's/.*: //'; $RUN -v $PWD/v:/v:ro box sh -c 'cat /v/file; touch /v/x 2>&1' | sed 's/.*: //'
         $RUN -m 64m --pids-limit 50 --cpus 0.5 --ulimit nofile=100:200 box sh -c 'ulimit -n; ulimit -Hn'; $RUN -t box busybox tty | tr -d '\\r'
         echo in | $RUN -i box cat; $RUN -h box -e A=b -w /work box sh -c 'hostname; echo $A; pwd'; $RUN --tmpfs /t:size=1m box stat -f -c %T /t
         $RUN --cap-drop all box grep CapEff /proc/self/status; $RUN --privileged box grep CapEff /proc/self/status | cut -c-9
         $RUN box grep Seccomp: /proc/self/status; $RUN --security-opt no-new-privileges box grep NoNew /proc/self/status
         $RUN box busybox wc -l /proc/net/dev; docker run --rm --network host box readlink /proc/self/ns/net | grep -cF $(readlink /proc/self/ns/net)
         $RUN --init box cat /proc/1/comm; $RUN --oom-score-adj 500 box cat /proc/self/oom_score_adj; $RUN --sysctl kernel.msgmax=4096 box cat /proc/sys/kernel/msgmax
         $RUN --device /dev/zero:/dev/nought box sh -c 'head -c 1 /dev/nought | busybox wc -c'; $RUN box busybox mknod /tmp/d b 8 0 && echo made; docker ps -aq | busybox wc -l",
    )
    .ok()
    .out_in_order(&[
        "hello\n5\n137\n127\n126\nuid=5 gid=6 groups=6,7",
        "Read-only file system\nvolume\nRead-only file system\n100\n200\n/dev/pts/0\nin\nbox\nb\n/work\ntmpfs\n",
        "CapEff:\t0000000000000000\nCapEff:\t0\nSeccomp:\t2\nNoNewPrivs:\t1\n3 /proc/net/dev\n1\ndocker-init\n500\n4096\n1\nmade\n0\n",
    ]);
}

/// Case 187: our applets in a container of docker's, where all is allowed, and where what is missing is told.
#[test]
fn we_run_in_a_container_of_dockers() {
    needs_docker!();
    let t = Sandbox::new("docker");
    docker(
        &t,
        "IN=\"--tmpfs /run -v $(readlink -f $(command -v runc)):/isobox:ro box /isobox\"; say() { \"$@\" 2>&1 | sed 's/failed:.*/failed/; s/.*docker run/docker run/'; }
         say $RUN --privileged $IN container run --rootfs host --memory 64M sh -c 'echo nested $$; grep -c isobox- /proc/self/cgroup'
         say $RUN --privileged $IN unshare -mpf --mount-proc sh -c 'echo $$'; say $RUN $IN unshare --mount true; say $RUN $IN container run --rootfs host true
         $RUN $IN pid1 sh -c 'exit 7'; echo $?; $RUN $IN unshare --tty sh -c 'exit 7' </dev/null; echo $?",
    )
    .ok()
    .out("nested 1\n0\n1\nunshare: unshare failed\ndocker run --privileged\ncontainer: clone(CLONE_NEWCGROUP|CLONE_NEWIPC|CLONE_NEWUTS|CLONE_NEWNET|CLONE_NEWPID|CLONE_NEWNS) failed\ndocker run --privileged\n7\n7\n");
}

/// A container that runs on: logs, exec, exec -t, top, stats, pause, update, cp, stop, start, restart, kill, wait, rm.
#[test]
fn docker_manages_a_container_that_runs_on() {
    needs_docker!();
    let t = Sandbox::new("docker");
    t.write("file", "copied\n");
    docker(
        &t,
        "docker run -d --network none --name one -m 100m box sh -c 'echo started; exec sleep 100' >/dev/null; docker ps --format '{{.Names}}'
         docker exec one echo in; docker exec one sh -c 'exit 6'; echo $?; docker exec -t one busybox tty | tr -d '\\r'; docker exec -u 7 -w /tmp -e A=b one sh -c 'id -u; pwd; echo $A'
         docker exec -d one sleep 50; docker exec one nosuch >/dev/null 2>&1; echo $?; docker logs one
         docker top one | busybox wc -l; docker stats --no-stream --format '{{.PIDs}} {{.MemUsage}}' one | sed 's/ .*\\/ / /'
         docker update -m 64m --memory-swap 64m one >/dev/null; docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.Runtime}}' one; docker update --restart no one
         docker pause one; docker ps --format '{{.Status}}' | grep -c Paused; docker unpause one; docker ps --format '{{.Status}}' | grep -c Paused
         docker cp file one:/tmp/; docker exec one cat /tmp/file; docker stop -t 1 one; docker start one; docker restart -t 1 one; docker kill one; docker wait one
         docker logs one | busybox wc -l; docker rm one; docker ps -aq | busybox wc -l",
    )
    .ok()
    .out("one\nin\n6\n/dev/pts/0\n7\n/tmp\nb\n126\nstarted\n3\n2 100MiB\n67108864 isobox\none\none\n1\none\n0\ncopied\none\none\none\none\n137\n3\none\n0\n");
}
