#!/bin/sh
# Leaving an initramfs. The kernel's rootfs cannot be pivoted away (pivot_root(2), NOTES): it has no parent to put the
# new root on. `pivot` and `container` must get away from it by another road.
# vm: modules overlay
# shellcheck disable=SC2016 # What stands in single quotes is for an inner shell.
# shellcheck source=tests/vm/guest/lib
. /vm/lib

mkdir -p /tmp/root/bin /tmp/root/old
cp /bin/busybox /tmp/root/bin
for name in sh ls id true cat; do ln -s busybox "/tmp/root/bin/$name"; done
touch /tmp/root/this-is-it

equal 'the root is rootfs' rootfs sh -c 'head -n 1 /proc/mounts | cut -d" " -f1'
fails "the kernel's own call is refused" '' unshare -m sh -c 'mount --bind /tmp/root /tmp/root && cd /tmp/root && /bin/pivot_root . old'
fails 'pivot refuses to move the root of process 1' pivot pivot /tmp/root true
fails 'nor from a new PID namespace alone' pivot unshare -pf pivot /tmp/root true
fails 'nor where process 1 is pivot itself' pivot unshare -pf sh -c 'mount -t proc own /proc && exec pivot /tmp/root true'
umount /proc
equal 'and left it alone' yes sh -c '[ -e /vm/lib ] && echo yes'

equal 'pivot changes the root' 'bin dev old proc sys this-is-it' \
    unshare -m pivot /tmp/root sh -c 'cd /; for name in dev proc sys; do [ -d $name ] || mkdir $name; done; echo *'
equal 'pivot --proc shows its own processes' 1 unshare -mpf pivot --proc /tmp/root sh -c 'cd /proc; set -- [0-9]*; echo $#'
# What is on top of / inside is the new root, and from there no path leads back: .. of / is /.
equal 'the old root is out of reach' yes \
    unshare -mpf pivot --proc /tmp/root sh -c '[ -e /../vm ] || [ -e /proc/1/root/vm ] || [ -e /proc/1/cwd/vm ] || echo yes'
equal 'the outer root is as before' yes sh -c '[ -e /vm/lib ] && [ ! -e /this-is-it ] && echo yes'

equal 'container run --rootfs DIR' '0 1' container run --rootfs /tmp/root -- sh -c 'echo $(id -u) $$'
equal 'container run --rootfs host' yes container run --rootfs host -- sh -c 'touch /only-inside && [ -e /vm/lib ] && echo yes'
equal 'and its files are thrown away' yes sh -c '[ ! -e /only-inside ] && echo yes'

done_checking
