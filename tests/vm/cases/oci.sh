#!/bin/sh
# The resources of a config.json on cgroup v2, where they are files of other names and rules about devices are a program:
# what the container reads of itself, what bites, what changes while it runs, and that all of it goes.
# vm: modules loop
# shellcheck disable=SC2016 # What stands in single quotes is for an inner shell.
# shellcheck source=tests/vm/guest/lib
. /vm/lib

mkdir -p /root/r/bin /root/r/proc /root/r/sys /root/r/dev /root/r/tmp /root/b
cp /bin/busybox /root/r/bin/
for name in sh cat dd sleep grep head mknod wc; do ln -s busybox /root/r/bin/$name; done
chmod 755 /root

# A bundle whose container has these resources and runs this line of shell.
bundle() { # RESOURCES LINE
    caps='["CAP_MKNOD"]'
    cat >/root/b/config.json <<END
{"ociVersion": "1.0.2", "root": {"path": "/root/r"},
 "process": {"user": {"uid": 0, "gid": 0}, "args": ["sh", "-c", "$2"], "cwd": "/", "env": ["PATH=/bin"],
   "capabilities": {"bounding": $caps, "effective": $caps, "permitted": $caps}, "noNewPrivileges": true},
 "mounts": [{"destination": "/proc", "type": "proc"}, {"destination": "/dev", "type": "tmpfs", "options": ["nosuid"]},
   {"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["ro", "nosuid"]}],
 "linux": {"cgroupsPath": "/a/b/c", "resources": {$1},
   "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"}]}}
END
}
# What a container with these resources has in these files, on one line.
files() { # RESOURCES FILE...
    resources=$1
    shift
    bundle "$resources" "cd /sys/fs/cgroup; cat $*"
    runc run -b /root/b c 2>/dev/null | xargs
}

# --- every controller, by the words of config.json
equal 'memory, its reservation and its swap' '33554432 16777216 16777216' \
    files '"memory": {"limit": 33554432, "reservation": 16777216, "swap": 50331648}' memory.max memory.low memory.swap.max
equal 'a quota, its period and its burst' '20000 50000 10000' \
    files '"cpu": {"quota": 20000, "period": 50000, "burst": 10000}' cpu.max cpu.max.burst
equal 'the smallest share of the CPU' 1 files '"cpu": {"shares": 2}' cpu.weight
equal 'and the largest' 10000 files '"cpu": {"shares": 262144}' cpu.weight
equal 'idle' 1 files '"cpu": {"idle": 1}' cpu.idle
equal 'CPUs and memory nodes' '0 0' files '"cpu": {"cpus": "0", "mems": "0"}' cpuset.cpus cpuset.mems
equal 'processes' 17 files '"pids": {"limit": 17}' pids.max
dd if=/dev/zero of=/tmp/disk bs=1M count=8 2>/dev/null
losetup /dev/loop0 /tmp/disk
equal 'bytes and operations of a device' '7:0 rbps=1048576 wbps=2097152 riops=100 wiops=max' \
    files '"blockIO": {"throttleReadBpsDevice": [{"major": 7, "minor": 0, "rate": 1048576}], "throttleWriteBpsDevice": [{"major": 7, "minor": 0, "rate": 2097152}], "throttleReadIOPSDevice": [{"major": 7, "minor": 0, "rate": 100}]}' io.max
equal 'and any file by its name' '20971520 3' files '"unified": {"memory.high": "20971520", "pids.max": "3"}' memory.high pids.max
bundle '"unified": {"nosuch.max": "1"}' 'echo ran'
fails 'a file that there is not is an error' nosuch sh -c 'runc run -b /root/b c && exit 1'
bundle '"memory": {"limit": 33554432, "swap": 33554432}' 'dd if=/dev/zero of=/dev/null bs=150M count=1 2>/dev/null'
equal 'who is over the limit is ended' 137 sh -c '/bin/runc run -b /root/b c; echo $?'
bundle '"pids": {"limit": 3}' 'for i in 1 2 3 4 5 6; do sleep 1 & done; wait'
fails 'no more processes than allowed' fork sh -c '/bin/runc run -b /root/b c; exit 1'

# --- rules about devices, which are a program here
# Reads one byte of a node made inside, writes one, and says what came of it.
probe() { # RULES TYPE MAJOR MINOR
    bundle "\"devices\": [$1]" "mknod /dev/n $2 $3 $4 2>/dev/null && echo made; head -c 1 /dev/n 2>/dev/null | wc -c; (echo >/dev/n) 2>/dev/null && echo written"
    runc run -b /root/b c 2>&1 | xargs
}
deny='{"allow": false, "access": "rwm"}'
equal 'what no rule is about can be made and not be had' 'made 0' probe "$deny" b 7 0
equal 'what the container is always given is' 'made 1 written' probe "$deny" c 1 5
equal 'not for its name alone' 'made 0' probe "$deny, {\"allow\": true, \"type\": \"c\", \"major\": 1, \"minor\": 6, \"access\": \"m\"}" c 1 6
equal 'read, and not written' 'made 1' probe "$deny, {\"allow\": true, \"type\": \"b\", \"major\": 7, \"minor\": 0, \"access\": \"r\"}" b 7 0
equal 'block devices are others' 'made 0' probe "$deny, {\"allow\": true, \"type\": \"c\", \"access\": \"rwm\"}" b 7 0
equal 'a later rule counts' 'made 0' probe "$deny, {\"allow\": true, \"type\": \"b\", \"access\": \"rwm\"}, {\"allow\": false, \"type\": \"b\", \"major\": 7, \"access\": \"rwm\"}" b 7 0
equal 'all of it where all is allowed' 'made 1 written' probe '{"allow": true, "access": "rwm"}' b 7 0

# --- while it runs
bundle '"memory": {"limit": 67108864}, "pids": {"limit": 20}' 'sleep 1000'
check 'created' sh -c '/bin/runc create -b /root/b --pid-file /tmp/pid c >/dev/null 2>&1'
equal 'in its group from its birth' '0::/a/b/c' sh -c 'cat /proc/$(cat /tmp/pid)/cgroup'
check 'started' runc start c
check 'limits change' runc update --memory 33554432 --pids-limit 9 --cpu-quota 30000 --cpu-period 60000 c
equal 'where they are' '33554432 9 30000 60000' sh -c 'cd /sys/fs/cgroup/a/b/c; cat memory.max pids.max cpu.max | xargs'
check 'it is stopped' runc pause c
equal 'by its group' '1
paused' sh -c 'cat /sys/fs/cgroup/a/b/c/cgroup.freeze; /bin/runc state c | sed -n "s/.*\"status\": \"\(.*\)\".*/\1/p"'
check 'it goes on' runc resume c
equal 'what it uses is told' 'limit":33554432' sh -c '/bin/runc events --stats c | grep -o "limit\":33554432" | head -1'
equal 'who joins it is in its group' '0::/' runc exec c grep ^0: /proc/self/cgroup
check 'it is deleted while it runs' runc delete -f c
equal 'and nothing is left' '' sh -c 'cd /sys/fs/cgroup; ls -d a 2>/dev/null; ls /run/isobox/runc'
bundle '"pids": {"limit": 9}' 'true'
equal 'twenty in a row leave no group' '' sh -c 'for i in $(seq 20); do /bin/runc run -b /root/b c; done; cd /sys/fs/cgroup; ls -d */ 2>/dev/null; true'
losetup -d /dev/loop0
done_checking
