//! containerd of the distribution, with its runc shim, on our runtime, unchanged.

use std::time::Duration;

use crate::kit::{Ran, Sandbox};

/// A line with `C` as ctr, `RUN` as its `run` with our runtime and `R` as a root; the daemon lives in namespaces of its
/// own, in directories of the test's own, and ends with the line.
fn containerd<'t>(t: &'t Sandbox, line: &str) -> Ran<'t> {
    t.root("r");
    let (work, id) = (t.work().display().to_string(), t.id());
    t.write(
        "config.toml",
        &format!(
            "version = 2\nroot = '{work}/root'\nstate = '{work}/state'\ndisabled_plugins = ['io.containerd.grpc.v1.cri']\n\
             [grpc]\naddress = '{work}/c.sock'\n[plugins.'io.containerd.internal.v1.opt']\npath = '{work}/opt'\n"
        ),
    );
    let line = format!(
        "mount -t tmpfs none /run; mkdir /run/containerd; ip link set lo up
containerd -c config.toml >log 2>&1 & D=$!
n=0; until [ -S c.sock ] || [ $((n += 1)) = 100 ]; do sleep 0.1; done
C='ctr -a {work}/c.sock -n {id}'; RT=\"--runc-binary $(command -v runc)\"; RUN=\"$C run --rm $RT\"; R='--rootfs {work}/r'
is() {{ n=0; until $C task ls | grep -q \"^$1 .*$2\" || [ $((n += 1)) = 50 ]; do sleep 0.1; done; $C task ls | grep -c \"^$1 .*$2\"; }}
{line}
kill $D; wait $D; true"
    );
    t.counted("unshare -mpf --mount-proc --kill-child", &line)
        .limit(Duration::from_secs(100))
        .run()
}

/// run: streams, statuses, user, directory, environment, root, volume, limits, capabilities, seccomp, network, terminal.
#[test]
fn containerd_runs_on_our_runtime() {
    needs!(
        root,
        busybox,
        host("containerd"),
        host("ctr"),
        controller("memory"),
        controller("freezer")
    );
    let t = Sandbox::new("containerd");
    t.write("v/file", "volume\n");
    let id = t.id();
    containerd(
        &t,
        &format!(
            "$RUN $R a echo hello; $RUN $R a sh -c 'exit 5'; echo $?; $RUN $R a sh -c \"sh -c 'kill -9 \\$\\$'; exit \\$?\"; echo $?
         $RUN $R a nosuch 2>&1 | sed 's/.*exec:/exec:/; s/PATH.*/PATH/'; $RUN $R a /etc 2>&1 | sed 's/.*exec:/exec:/; s/denied.*/denied/'
         $RUN --read-only $R a touch /x 2>&1 | sed 's/.*: //'; $RUN --mount type=bind,src=$PWD/v,dst=/v,options=rbind:ro $R a sh -c 'cat /v/file; touch /v/x 2>&1' | sed 's/.*: //'
         $RUN --cwd /tmp --env A=b $R a sh -c 'pwd; echo $A; hostname'
         $RUN --memory-limit 67108864 --cpus 0.5 $R a sh -c 'true'; $RUN --memory-limit 67108864 $R a grep memory /proc/self/cgroup | cut -d: -f3
         $RUN --cap-drop CAP_CHOWN $R a sh -c 'busybox chown 1 /tmp' 2>&1 | sed 's/.*: //'; $RUN --privileged $R a grep CapEff /proc/self/status | cut -c-9
         $RUN --seccomp $R a grep Seccomp: /proc/self/status; $RUN $R a sh -c 'busybox wc -l </proc/net/dev'; $RUN --net-host $R a readlink /proc/self/ns/net | cmp - /dev/fd/8 8<<E && echo same
$(readlink /proc/self/ns/net)
E
         script -qec \"$RUN -t $R a busybox tty\" /dev/null </dev/null | tr -dc '/0-9a-z\\n'; $C c ls -q | busybox wc -l; find /sys/fs/cgroup -path '*/{id}/*' -type d | busybox wc -l"
        ),
    )
    .ok()
    .out_in_order(&[
        "hello\n5\n137\nexec: \"nosuch\": executable file not found in $PATH\nexec: \"/etc\": permission denied\n",
        "Read-only file system\nvolume\nRead-only file system\n/tmp\nb\n",
        &format!("/{id}/a\nOperation not permitted\nCapEff:\t0\nSeccomp:\t2\n3\nsame\n/dev/pts/0\n0\n0\n"),
    ]);
}

/// A container that runs on: list, exec, exec -t, ps, metrics, pause, limits, signals, its end, its name again.
#[test]
fn containerd_manages_a_container_that_runs_on() {
    needs!(
        root,
        busybox,
        host("containerd"),
        host("ctr"),
        controller("memory"),
        controller("freezer")
    );
    let t = Sandbox::new("containerd");
    containerd(
        &t,
        "$C run -d --pid-file $PWD/pid --memory-limit 67108864 $RT $R c sh -c 'trap \"echo usr1 >/tmp/got\" USR1; while true; do sleep 0.1; done'
         is c RUNNING; test $($C task ls | sed -n 's/^c  *\\([0-9]*\\) .*/\\1/p') = $(cat pid) && echo same
         E=\"$C task exec --exec-id e\"; $E c echo in; $E c sh -c 'exit 6'; echo $?; $E --user 7 c id -u; $E --cwd /tmp c pwd
         $E c nosuch 2>&1 | grep -c 'executable file not found'; script -qec \"$E -t c busybox tty\" /dev/null </dev/null | tr -dc '/0-9a-z\\n' | grep -o '^/dev/pts/[0-9]*'
         $C task ps c | busybox wc -l; $C task metrics c | grep -c -e 'memory.usage_in_bytes' -e '67108864'
         $C task pause c; is c PAUSED; $C task resume c; is c RUNNING
         $C task kill -s USR1 c; n=0; until [ -e r/tmp/got ] || [ $((n += 1)) = 50 ]; do sleep 0.1; done; cat r/tmp/got
         $C task kill -s KILL c; is c STOPPED; $C task rm c 2>/dev/null; $C c rm c; $C c ls -q | busybox wc -l
         $C run -d $RT $R c sleep 50; is c RUNNING; $C task rm -f c 2>/dev/null; $C c rm c; echo gone",
    )
    .ok()
    .out("1\nsame\nin\n6\n7\n/tmp\n1\n/dev/pts/0\n3\n2\n1\n1\nusr1\n1\n0\n1\ngone\n");
}
