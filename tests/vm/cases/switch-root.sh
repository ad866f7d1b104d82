#!/bin/sh
# What an initramfs is for: process 1 mounts the real root and becomes its init by switch_root.
# vm: pid1
# shellcheck disable=SC2016 # What stands in single quotes is for an inner shell.
# shellcheck source=tests/vm/guest/lib
. /vm/lib

mkdir /new
mount -t tmpfs newroot /new
mkdir /new/dev /new/proc /new/sys
cp -a /usr /bin /sbin /vm /new
cat >/new/vm/next <<'NEXT'
#!/bin/sh
. /vm/lib
equal 'switch_root keeps process 1' 1 echo $$
equal 'the root is the new one' 'newroot / tmpfs' sh -c 'grep " / " /proc/mounts | tail -n 1 | cut -d" " -f1-3'
check 'its operands arrive' [ "$*" = 'one two words' ]
check '/dev came along' [ -c /dev/ttyS2 ]
check '/proc came along' [ -r /proc/1/status ]
check '/sys came along' [ -d /sys/class ]
# Descriptor 3 is the old root, whose files were the memory of the initramfs.
check 'the old root is emptied' [ ! -e /proc/self/fd/3/bin/busybox ]
check 'and only it' [ -e /bin/busybox ]
done_checking
exec /vm/finish $?
NEXT
chmod 755 /new/vm/next

fails 'switch_root without a directory' 'switch_root' /bin/switch_root /nowhere /vm/next
fails 'switch_root to what is no mount' 'switch_root' sh -c 'mkdir /plain; /bin/switch_root /plain /vm/next'
check 'nothing was deleted by those' [ -e /bin/busybox ]

exec 3</
exec /bin/switch_root /new /vm/next 'one' 'two words'
