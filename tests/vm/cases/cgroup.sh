#!/bin/sh
# Control groups of version 2, which the development machine has not: limits that bite, with swap there to get around
# them; controllers enabled level by level; processes in the way; delegation; pressure.
# vm: modules lzo_rle zram loop
# shellcheck disable=SC2016 # What stands in single quotes is for an inner shell.
# shellcheck source=tests/vm/guest/lib
. /vm/lib

# Swap, so that a memory limit alone ends nothing.
echo 400M >/sys/block/zram0/disksize
mkswap /dev/zram0 >/dev/null
swapon /dev/zram0

# dd takes one buffer of this size and fills it.
take() { echo "dd if=/dev/zero of=/dev/null bs=$1 count=1 2>/dev/null"; }

# --- memory
equal 'within the limit nothing happens' 0 sh -c "/bin/cgexec --memory 100M sh -c '$(take 20M); echo \$?'"
fails 'a memory limit means no swap: over it the program is killed' '' cgexec -g memory:/demo -m 50M sh -c "$(take 150M)"
equal 'and the group counts it' 'oom_kill 1' sh -c '/bin/cg get /demo memory.events | grep "oom_kill "'
equal 'swap is off in it' 0 cg get /demo memory.swap.max
check '--swap max lets it swap' cgexec -g memory:/swapping -m 50M --swap max sh -c "$(take 150M)"
equal 'the kernel rounds to pages' 999424 sh -c '/bin/cgexec -g memory:/round -m 1000000 true 2>/dev/null; /bin/cg get /round memory.max'
equal '--oom-group ends all of it' 137 sh -c "exec 2>/dev/null; /bin/cgexec -g memory:/all -m 50M --oom-group sh -c '$(take 150M); echo survived'; echo \$?"
# What the kernel killed of a group may be ending still when cgexec's own program has ended.
check 'the last of them ends' sh -c 'n=0; until grep -q "populated 0" /sys/fs/cgroup/all/cgroup.events; do n=$((n + 1)); test $n -lt 100 || exit 1; sleep 0.1; done'
check 'the groups go' cg rm demo swapping round all

# --- what doctor finds of it
check 'doctor finds version 2, the limit above us and the swap' sh -c '/bin/cgexec -g memory:/above/in -m 64M /bin/doctor cgroup >/found
    grep -q "^ok    control groups: unified: v2 at /sys/fs/cgroup holds .*memory" /found && grep -q "^ok    memory.max: 64M, set by /above/in$" /found &&
    grep -q "^ok    swap: on, and can be limited" /found && grep -q "^ok    memory: can be limited below /above (" /found &&
    grep -q "^warn  pids: .* not handed down to /above - " /found || { cat /found; false; }'
check 'as an ordinary user what is not given away' sh -c '/bin/setpriv --reuid 1000 --regid 1000 --clear-groups /bin/doctor cgroup | grep "^warn  memory: held by v2 at /sys/fs/cgroup: the group / is not ours to divide - as root: cg delegate"'
cg rm -r /above

# --- and what selftest shows of it
check 'limits of version 2 hold, and nothing is left of them' sh -c 'b=$(cat /sys/fs/cgroup/cgroup.subtree_control; ls /sys/fs/cgroup); /bin/selftest -v >/found
    a=$(cat /sys/fs/cgroup/cgroup.subtree_control; ls /sys/fs/cgroup); test "$a" = "$b" && ! grep FAIL /found && grep -q "^memory.max ok$" /found && grep -q "^pids.max ok$" /found &&
    grep -q "^cgroup ok$" /found && grep -q "^pivot ok$" /found || { cat /found; echo "$b" "$a"; false; }'

# --- controllers, level by level
check 'cgexec enables what it needs on the way down' cgexec -g memory,cpu:/p/c1 -m 50M true
equal 'in the group above' 'cpu memory' cg get /p cgroup.subtree_control
equal 'and the limit is there' 52428800 cg get /p/c1 memory.max
check 'a tree goes at once' cg rm -r /p

# --- a group that hands controllers down has no place for a process: it sits in a leaf
cg create -g memory /h/in
equal 'a group with groups below it takes the program into a leaf' 0::/h/leaf sh -c '/bin/cgexec -g memory:/h -m 50M cat /proc/self/cgroup'
equal 'where its limit counts' 52428800 cg get /h memory.max
equal 'born there too' 0::/h/leaf sh -c '/bin/cgexec --rm -g memory:/h/ cat /proc/self/cgroup'
check 'and all of it goes' cg rm -r /h

# --- a group whose processes are in the way
cgexec -g :/dk unshare -Cm sh -c '
    umount /sys/fs/cgroup
    mount -t cgroup2 c /sys/fs/cgroup
    echo +memory >/sys/fs/cgroup/cgroup.subtree_control 2>/tmp/busy
    /bin/cg init
    /bin/cgexec -m 50M sh -c "cat /sys/fs/cgroup\$(cut -d: -f3 /proc/self/cgroup)/memory.max"' >/tmp/out 2>&1
equal 'the kernel refuses controllers where processes sit' yes sh -c 'grep -q busy /tmp/busy && echo yes'
equal 'cg init moves them to a leaf, and limits work inside' yes sh -c 'grep -q "moved .* to /init" /tmp/out && grep -qx 52428800 /tmp/out && echo yes'
check 'nothing sits there after' cg rm -r --kill /dk

# --- processes
equal 'pids.max refuses the fork' yes sh -c "/bin/cgexec --pids 3 sh -c 'sleep 0.1 & sleep 0.1 & sleep 0.1 & wait' 2>&1 | grep -q fork && echo yes"
# The children of a shell that could not fork outlive it, and their group with them.
sleep 0.5
rmdir /sys/fs/cgroup/isobox-* 2>/dev/null
equal 'the program is born in the group' yes sh -c "/bin/cgexec --pids 9 cat /proc/self/cgroup | grep -q '^0::/isobox-' && echo yes"
equal 'a hundred groups come and go' 0 sh -c 'for i in $(seq 100); do /bin/cgexec --pids 9 true; done; find /sys/fs/cgroup -name "isobox-*" | wc -l'

# --- CPU
check 'a quota is set' cgexec -g cpu:/q --cpus 20% sh -c 'end=$(($(cut -d. -f1 /proc/uptime) + 3)); while [ "$(cut -d. -f1 /proc/uptime)" -lt $end ]; do :; done'
equal 'as quota and period' '20000 100000' cg get /q cpu.max
equal 'and throttles' yes sh -c '/bin/cg get /q cpu.stat | { while read -r key n; do [ "$key" = nr_throttled ] && [ "$n" -gt 5 ] && echo yes; done; true; }'
cg rm /q

# --- io: a loop device over a file in memory
dd if=/dev/zero of=/tmp/disk bs=1M count=8 2>/dev/null
losetup /dev/loop0 /tmp/disk
check 'io.max takes a device file' cgexec -g io:/io --io /dev/loop0:rbps=1M true
equal 'by its number' yes sh -c '/bin/cg get /io io.max | grep -q "^7:0 rbps=1048576" && echo yes'
equal 'and slows reads down' yes sh -c 'start=$(cut -d. -f1 /proc/uptime); /bin/cgexec -g io:/io dd if=/dev/loop0 of=/dev/null bs=64k count=48 iflag=direct 2>/dev/null; [ $(($(cut -d. -f1 /proc/uptime) - start)) -ge 2 ] && echo yes'
cg rm /io
losetup -d /dev/loop0

# --- freeze, watch, kill
cgexec -g :/z sleep 100 &
usleep 300000
check 'freeze' cg freeze /z
equal 'is told by the group' 'frozen 1' sh -c '/bin/cg get /z cgroup.events | grep frozen'
check 'thaw' cg thaw /z
check 'kill ends all' cg kill /z
equal 'and the last one gone is seen' 'populated 0' cg watch --timeout 5 /z populated=0
check 'an empty group goes' cg rm /z

# --- delegation
check 'a group for a user' cg delegate /u 1000
equal 'who makes groups in it and limits them' '10' setpriv --reuid 1000 --regid 1000 --clear-groups sh -c 'mkdir /sys/fs/cgroup/u/kid && echo +pids >/sys/fs/cgroup/u/cgroup.subtree_control && echo 10 >/sys/fs/cgroup/u/kid/pids.max && cat /sys/fs/cgroup/u/kid/pids.max'
fails 'but moves nobody in from outside' 'Permission denied' setpriv --reuid 1000 --regid 1000 --clear-groups sh -c 'echo $$ >/sys/fs/cgroup/u/kid/cgroup.procs'
fails 'and changes no limit of the group itself' 'Permission denied' setpriv --reuid 1000 --regid 1000 --clear-groups /bin/cg set /u pids.max=5
equal 'which stays with root' '0 0' sh -c 'stat -c "%u %g" /sys/fs/cgroup/u/pids.max'
check 'and goes' cg rm -r /u

# --- pressure and who sets what
equal 'pressure is shown' yes sh -c '/bin/cg psi / cpu | grep -q "^some avg10=" && echo yes'
cg create -g memory /w/in -r memory.max=200M
cg set /w memory.max=100M
equal 'the tighter limit above counts' yes sh -c '/bin/cg why /w/in | grep -q "memory.max=104857600  set by /sys/fs/cgroup/w$" && echo yes'
cg rm -r /w

done_checking
