#!/bin/sh
# A tree without an init of its own starts as an initramfs: mkrootfs gives it one, which runs this as its command.
# vm: init
# shellcheck disable=SC2016 # What stands in single quotes is for an inner shell.
# shellcheck source=tests/vm/guest/lib
. /vm/lib

# Before anything else is opened: this is what the command was given.
test -t 0 && test -t 1 && terminal=yes || terminal=no
stty -F /dev/ttyS1 raw
exec </dev/null >/dev/ttyS1 2>&1

equal 'process 1 is ours' /.isobox/rdinit readlink /proc/1/exe
equal 'and started this' 1 sh -c 'cut -d" " -f4 /proc/$PPID/stat'
equal 'on a terminal' yes echo "$terminal"
check 'which controls its session' sh -c ': </dev/tty'
equal 'file systems are mounted' 'cgroup2 devpts devtmpfs proc sysfs tmpfs tmpfs' sh -c 'grep -v " / " /proc/mounts | cut -d" " -f3 | sort | xargs'
check 'devices of the archive are beneath them' [ -c /dev/console ]
equal 'lo is up' 0x9 sh -c 'cat /sys/class/net/lo/flags'
check 'a pseudo-terminal can be had' [ -c /dev/pts/ptmx ]
equal 'commands are found' yes sh -c 'command -v insmod >/dev/null && echo yes'
# Its parent ends first: process 1 inherits it, and collects it when it ends.
sh -c 'sh -c "echo \$\$ >/tmp/orphan; usleep 50000" &'
usleep 400000
check 'orphans are collected' sh -c '[ ! -e "/proc/$(cat /tmp/orphan)" ]'
fails 'a second one is refused' 'not process 1' /.isobox/rdinit true
equal 'names of one file are one file' 3 sh -c 'stat -c %h /vm/hard/one'
check 'with one content' sh -c '[ "$(cat /vm/hard/two)" = hard ] && [ /vm/hard/three -ef /vm/hard/one ]'
done_checking
echo $? >/dev/ttyS2
# And it ends: the machine is off when this is, or tests/vm/run would say that the time was up.
