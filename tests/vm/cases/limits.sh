#!/bin/sh
# Limits on cgroup v2 as lessons and scripts have them (acceptance.md, scripts 8 and 14 to 20), limits of containers,
# ordinary users with and without groups of their own, and what is said when the kernel refuses.
# vm: modules lzo_rle zram loop overlay
# shellcheck disable=SC2016 # What stands in single quotes is for an inner shell.
# shellcheck source=tests/vm/guest/lib
. /vm/lib

echo 400M >/sys/block/zram0/disksize
mkswap /dev/zram0 >/dev/null
swapon /dev/zram0

# dd takes one buffer of this size and fills it.
take() { echo "dd if=/dev/zero of=/dev/null bs=$1 count=1 2>/dev/null"; }
# Works this many seconds.
spin() { echo 'end=$(($(cut -d. -f1 /proc/uptime) + '"$1"')); while [ "$(cut -d. -f1 /proc/uptime)" -lt $end ]; do :; done'; }
# As uid 1000.
user() { setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
# The part of CPU time in microseconds that a group has had.
used() { cg get "$1" cpu.stat | sed -n 's/^usage_usec //p'; }

# --- script 8: the group is the root of a cgroup namespace made in it
equal 'a cgroup namespace starts where it is made' '0::/t1
0::/' cgexec -g :/t1 sh -c 'grep ^0: /proc/self/cgroup; /bin/unshare --cgroup grep ^0: /proc/self/cgroup'
equal '--ns makes one' '0::/' cgexec -g :/t1 --ns grep ^0: /proc/self/cgroup
cg rm /t1

# --- script 14: a memory limit that kills, with swap on
equal 'killed once, killed twice' '137 137' sh -c "exec 2>/dev/null; for i in 1 2; do /bin/cgexec -g memory:/demo -m 60M sh -c '$(take 150M)'; echo \$?; done | xargs"
equal 'both are counted' 'oom_kill 2' sh -c '/bin/cg get /demo memory.events | grep "oom_kill "'
equal 'and the limit was met before' yes sh -c '/bin/cg get /demo memory.events | { while read -r key n; do [ "$key" = max ] && [ "$n" -gt 0 ] && echo yes; done; true; }'
equal 'no swap' 0 cg get /demo memory.swap.max
fails '--swap max is warned of' 'swaps and is not ended' sh -c "/bin/cgexec -g memory:/demo -m 60M --swap max sh -c '$(take 150M)' && exit 1"
fails 'a rounded limit is told' 'memory.max: the kernel made 19996672 of 20000000' sh -c '/bin/cgexec -g memory:/demo -m 20000000 true && exit 1'
equal 'a group of its own tells in the end' 'note: out of memory at memory.max=50M: the kernel ended processes of the group' sh -c "exec 2>/dev/null; /bin/cgexec -m 50M sh -c 'exec $(take 150M)' 2>/tmp/err; grep out /tmp/err"
equal 'and the end is that of the program' 137 sh -c "exec 2>/dev/null; /bin/cgexec -m 50M sh -c 'exec $(take 150M)'; echo \$?"
equal 'sizes for people' 60M sh -c '/bin/cg set /demo memory.max=60M; /bin/cg get -H /demo memory.max'
cg rm /demo

# --- script 15: controllers go down level by level
cgexec -g memory,cpu:/p/c1 -m 50M true
equal 'the root hands on what was needed' yes sh -c '/bin/cg get / cgroup.subtree_control | grep -w cpu | grep -qw memory && echo yes'
mkdir /sys/fs/cgroup/p/c2 /sys/fs/cgroup/p/c2/in
fails 'the first missing link is named' "/ +memory, /p +memory, /p/c2 hands on only '' <- first missing link" cg set /p/c2/in memory.max=1M
fails 'wherever it is' "/ hands on only 'cpu memory' <- first missing link" cg set /p/c2 hugetlb.2MB.max=1M
cg rm -r /p
cg create -g memory /busy
sleep 100 &
sleeper=$!
cg attach /busy $sleeper
fails 'who is in the way of controllers, and the way out' "processes sit in it: $sleeper; cg init --of /busy" cg create -g memory /busy/in
check 'which works' cg init --of /busy
check 'and then they can be had' cg create -g memory /busy/in
fails 'no process goes above groups with controllers' 'a process can be in one of those only' cg attach /busy $sleeper
kill $sleeper
wait $sleeper 2>/dev/null
check 'it goes' cg rm -r --kill /busy

# --- script 16: pids
cgexec -g pids:/p --pids 10 sh -c 'for i in $(seq 20); do sleep 1 & done; wait' 2>/dev/null
equal 'forks over the limit are refused and counted' yes sh -c '/bin/cg get /p pids.events | grep -q "^max [1-9]" && echo yes'
fails 'a shell alone has no pipe' fork sh -c "/bin/cgexec -g pids:/p1 --pids 1 sh -c 'ls / | wc -l'"
sleep 1.2
cg rm /p /p1

# --- script 17: quota and weight
cgexec -g cpu:/q --cpu 20% sh -c "$(spin 4)"
equal 'a fifth of a CPU for four seconds is less than one and a half' yes sh -c "[ $(used /q) -lt 1500000 ] && echo yes"
cgexec -g cpu,cpuset:/hi --weight 200 --cpuset 0 sh -c "$(spin 5)" &
cgexec -g cpu,cpuset:/lo --weight 50 --cpuset 0 sh -c "$(spin 5)"
wait
equal 'four to one on one CPU' yes sh -c "ratio=\$(($(used /hi) * 10 / $(used /lo))); [ \$ratio -ge 25 ] && [ \$ratio -le 55 ] && echo yes || echo \$ratio"
fails 'CPUs that are not there' 'the group above has 0' cgexec -g cpuset:/lo --cpuset 0-7 true
cg rm /q /hi /lo

# --- script 18: pressure
cgexec -g cpu,cpuset:/ps --cpuset 0 sh -c "for i in 1 2 3 4; do sh -c '$(spin 9)' & done; wait" &
sleep 1
equal 'a trigger fires' 'cpu some' sh -c '/bin/cg watch --timeout 8 /ps some cpu 150ms/1s | cut -d" " -f1,2'
sleep 5
equal 'some waited more than a fifth of ten seconds' yes sh -c '/bin/cg psi /ps cpu | sed -n "s/^some avg10=\([0-9]*\).*/\1/p" | { read -r n; [ "$n" -gt 20 ] && echo yes || echo "$n"; }'
equal 'and there is a line on all of them' 1 sh -c '/bin/cg psi /ps cpu | grep -c ^full'
equal 'top has it' /ps sh -c '/bin/cg top --once -d 0.5 | grep -o "^/ps"'
equal 'nothing fires where nothing waits' 1 sh -c '/bin/cg create -g memory /calm; /bin/cg watch --timeout 0.5 /calm some memory 1s/2s; echo $?'
wait
cg rm /ps /calm

# --- script 19: watching while it happens
cgexec -g :/z sleep 100 &
usleep 300000
cg watch --timeout 10 /z populated=0 >/tmp/watched &
watcher=$!
check 'a frozen group is killed' sh -c '/bin/cg freeze /z && /bin/cg kill /z'
wait $watcher
equal 'as the watcher saw' 'populated 0' cat /tmp/watched
cg thaw /z
cg rm /z
cg create -g memory /oom
cg watch --timeout 20 /oom oom_kill=1 >/tmp/watched &
watcher=$!
cgexec -g memory:/oom -m 20M sh -c "$(take 100M)" 2>/dev/null
wait $watcher
equal 'an end for want of memory is seen' 'oom_kill 1' cat /tmp/watched
cg rm /oom

# --- containers
mkdir -p /root/r/bin /root/r/proc /root/r/sys /root/r/dev /root/r/tmp
cp /bin/busybox /root/r/bin/
for name in sh cat dd sleep ls sed grep; do ln -s busybox /root/r/bin/$name; done
mknod -m 666 /root/r/dev/zero c 1 5
chmod 755 /root
box() { container run --rootfs /root/r "$@"; }
groups() { find /sys/fs/cgroup -type d -name 'isobox-*' | wc -l; }
equal 'a container over its limit ends as docker has it' 137 sh -c "/bin/container run --rootfs /root/r -m 40M sh -c 'exec $(take 150M)' 2>/tmp/err; echo \$?"
equal 'and says which limit' 'note: out of memory at memory.max=40M: the kernel ended processes of the group' grep memory /tmp/err
equal 'inside, its group is the root' '0::/
7
0' box --pids 7 -m 40M sh -c 'cat /proc/self/cgroup /sys/fs/cgroup/pids.max /sys/fs/cgroup/memory.swap.max'
equal 'where nobody says how many processes' 1024 box cat /sys/fs/cgroup/pids.max
equal 'nor can be limited: none' in cgexec -g :/full unshare --cgroup --mount sh -c 'mount -t cgroup2 none /mnt && mount --move /mnt /sys/fs/cgroup && exec /bin/container run --rootfs /root/r sh -c "echo in"'
cg rm /full
fails 'which cannot be changed' 'Read-only' box --pids 7 sh -c 'echo 9 >/sys/fs/cgroup/pids.max'
equal 'every limit there is' '0
50000 100000
41943040
1048576
7' box --cpuset 0 --cpus 50% -m 40M --swap 1M --pids 7 sh -c 'cd /sys/fs/cgroup; cat cpuset.cpus cpu.max memory.max memory.swap.max pids.max'
equal 'a group by name, as the host sees it' '0::/my/box' box --cgroup my/box --pids 9 --cgroupns host grep ^0: /proc/self/cgroup
equal 'which goes' no sh -c '[ -e /sys/fs/cgroup/my ] || echo no'
equal 'born in it' 1 sh -c '/bin/container run --rootfs /root/r --pids 7 --explain sh | grep -c CLONE_INTO_CGROUP'
equal 'its script does the same' 7 sh -c '/bin/container run --rootfs /root/r --pids 7 --script -- sh -c "cat /sys/fs/cgroup/pids.max" >/tmp/s; sh /tmp/s'
dd if=/dev/zero of=/tmp/disk bs=1M count=8 2>/dev/null
losetup /dev/loop0 /tmp/disk
equal 'io by device' '7:0 rbps=1048576 wbps=max riops=max wiops=max' box --io /dev/loop0:rbps=1M cat /sys/fs/cgroup/io.max
losetup -d /dev/loop0
equal 'fifty containers start, and leave no group' 0 sh -c 'for i in $(seq 50); do /bin/container run --rootfs /root/r --pids 9 sh -c : || echo failed; done; find /sys/fs/cgroup -type d -name "isobox-*" | wc -l'
/bin/container run --rootfs /root/r --pids 9 sleep 100 &
sleep 0.5
kill -9 $!
wait $! 2>/dev/null
sleep 0.3
equal 'a parent killed outright leaves its group' 1 groups
check 'which cg rm finds and removes' sh -c 'cd /sys/fs/cgroup && /bin/cg rm --kill isobox-*'

# --- script 20: group, namespaces and root, each by its own applet
equal 'a container by hand' 'Container started
PID: 1
Hostname: my-container
0' cgexec -g memory:/container -m 100M unshare --pid --fork --net --uts --ipc --user --map-root-user --cgroup sh -c '
    busybox hostname my-container
    exec /bin/unshare -m pivot --proc /root/r /bin/sh -c "echo Container started; echo PID: \$\$; echo Hostname: \$(busybox hostname); busybox id -u"'
equal 'over its limit' 137 sh -c "/bin/cgexec -g memory:/container -m 60M unshare -pfU -r -m pivot --proc /root/r sh -c 'exec $(take 150M)' 2>/dev/null; echo \$?"
check 'its group goes' cg rm /container

# --- ordinary users
equal 'no limit where no group may be made' in user /bin/container run --rootfs /root/r sh -c "echo in"
fails 'without a group of one'"'"'s own: whose they are, and how to come by one' 'is yours; root gives one away by: cg delegate' user /bin/cgexec --pids 9 true
cg delegate /u 1000
equal 'with one, limits are had without root' yes sh -c 'exec /bin/cgexec -g :/u/shell setpriv --reuid 1000 --regid 1000 --clear-groups sh -c "/bin/cgexec --pids 9 cat /proc/self/cgroup | grep -q ^0::/u/isobox- && echo yes"'
equal 'and containers with limits' '7 137' sh -c "exec /bin/cgexec -g :/u/shell setpriv --reuid 1000 --regid 1000 --clear-groups sh -c '/bin/container run --rootfs /root/r --pids 7 cat /sys/fs/cgroup/pids.max; /bin/container run --rootfs /root/r -m 30M dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null; echo \$?' | xargs"
equal 'and a thousand processes unasked' 1024 cgexec -g :/u/shell setpriv --reuid 1000 --regid 1000 --clear-groups /bin/container run --rootfs /root/r cat /sys/fs/cgroup/pids.max
fails 'but nobody comes in from outside' 'your groups begin at /sys/fs/cgroup/u' user /bin/cgexec -g :/u/kid true
cg rm -r /u

# --- what the kernel refuses
fails 'a mount that is read-only' '/sys/fs/cgroup is mounted read-only here' unshare -m sh -c 'mount -o remount,bind,ro /sys/fs/cgroup; exec /bin/cg create -g pids x'
cg create -g pids,memory /w
fails 'a value out of range' 'pids.max: max, or 0 to 4194304' cg set /w pids.max=99999999
fails 'and another' 'memory.oom.group: 0 or 1' cg set /w memory.oom.group=5
fails 'an unknown controller' 'the controllers it has: cpuset cpu io memory' cg enable / nosuch
fails 'the root has no limits' 'the root group has no limits' cgexec -g memory:/ -m 50M true
fails 'a group that is not there' 'no such cgroup' cg set /w/not pids.max=1
fails "v1's words are told in v2's" 'memory.limit_in_bytes is memory.max=67108864 here' sh -c '/bin/cgexec -g memory:/w -r memory.limit_in_bytes=64M true && exit 1'
equal 'of memory and swap together the rest is swap' 1048576 sh -c '/bin/cg set /w memory.memsw.limit_in_bytes=65M 2>/dev/null; /bin/cg get /w memory.swap.max'
equal 'a quota alone keeps the period' '5000 100000' sh -c '/bin/cgexec -g cpu:/w -r cpu.cfs_quota_us=5000 true 2>/dev/null; /bin/cg get /w cpu.max'
cg rm /w

equal 'nothing is left' '' sh -c 'cd /sys/fs/cgroup; ls -d */ 2>/dev/null; true'
done_checking
