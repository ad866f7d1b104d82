#!/bin/sh
# An option that nobody gave is not seen, wherever the stack begins within a page. The emulation would see it: tests/vm/run
# says why.
# shellcheck source=tests/vm/guest/lib
. /vm/lib

# Each place comes once and always fails alike.
echo 0 >/proc/sys/kernel/randomize_va_space

# Runs a command with its stack at each of the places that there are in a page, 16 bytes apart.
everywhere() {
    P=
    export P
    while [ ${#P} -lt 4096 ]; do
        "$@" >/dev/null 2>/tmp/said || {
            echo "with ${#P} bytes: $(cat /tmp/said)"
            return 1
        }
        P=${P}0123456789abcdef
    done
}

check 'container run --script takes its options as they are' everywhere /bin/container run --rootfs / --pids 7 --script -- sh
done_checking
