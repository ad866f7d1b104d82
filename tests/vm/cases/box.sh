#!/bin/sh
# A box with nothing but our binary and busybox: no /etc/passwd, no libraries, no util-linux. Everything must do.
# shellcheck disable=SC2016 # What stands in single quotes is for an inner shell.
# shellcheck source=tests/vm/guest/lib
. /vm/lib

mkdir -p /tmp/root/bin /tmp/root/proc
cp /bin/busybox /tmp/root/bin
for name in sh ls id true; do ln -s busybox "/tmp/root/bin/$name"; done

# --- unshare
equal 'unshare -r maps root' 0 unshare -r id -u
equal 'unshare -pf --mount-proc starts at process 1' 1 unshare -pf --mount-proc sh -c 'echo $$'
equal 'and sees nobody else' 1 unshare -pf --mount-proc sh -c 'cd /proc; set -- [0-9]*; echo $#'
equal 'unshare -u changes a host name' inner unshare -u sh -c 'hostname inner; hostname'
equal 'and leaves the other' vm hostname
equal 'unshare -m mounts' 'tmpfs /mnt tmpfs' unshare -m sh -c 'mkdir -p /mnt; mount -t tmpfs tmpfs /mnt; grep " /mnt " /proc/mounts | cut -d" " -f1-3'
equal 'and nothing is left' '' sh -c 'grep " /mnt " /proc/mounts || true'
equal 'unshare -n has only lo' lo unshare -n sh -c 'tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d " "'
equal 'unshare -T shifts the clock' yes unshare -T --boottime 1000000 --fork sh -c 'read up _ </proc/uptime; [ "${up%.*}" -ge 1000000 ] && echo yes'

# --- nsenter and lsns, on a process in namespaces of its own
# By its path: the function of that name would run as a shell of its own, and $! would be that.
/bin/unshare -mui sleep 1000 &
sleeper=$!
outer=$(readlink /proc/self/ns/ipc)
tries=0
while [ "$(readlink /proc/$sleeper/ns/ipc)" = "$outer" ] && [ $tries -lt 100 ]; do
    tries=$((tries + 1))
    usleep 20000
done
check 'nsenter -u sets the host name there' nsenter -t $sleeper -u hostname entered
equal 'nsenter -a sees it' entered nsenter -t $sleeper -a hostname
equal 'which is not ours' vm hostname
equal 'lsns lists two host names' 2 sh -c '/bin/lsns -n -r -t uts -o NS | wc -l'
equal 'lsns names the sleeper' "$sleeper" sh -c "/bin/lsns -n -r -t uts -o PID -p $sleeper"
kill $sleeper

# --- setpriv and chroot
equal 'setpriv becomes somebody' '1000 1000' setpriv --reuid 1000 --regid 1000 --clear-groups sh -c 'echo $(id -u) $(id -g)'
equal 'setpriv --no-new-privs' 'NoNewPrivs:	1' setpriv --no-new-privs grep NoNewPrivs /proc/self/status
equal 'setpriv drops the bounding set' 'CapBnd:	0000000000000000' setpriv --bounding-set -all grep CapBnd /proc/self/status
equal 'chroot' bin chroot /tmp/root /bin/sh -c 'cd /; echo b*'

done_checking
