#!/bin/sh
# Containers of root with ids of their own on the kernel of a distribution, with cgroup v2: a root on a file system that has
# id-mapped mounts and on one that has none, an image's layers, limits, and what is left.
# vm: modules loop overlay
# shellcheck disable=SC2016 # What stands in single quotes is for an inner shell.
# shellcheck source=tests/vm/guest/lib
. /vm/lib

mkdir -p /root/r/bin /root/r/proc /root/r/sys /root/r/dev /root/r/tmp /root/r/srv /mnt /etc
cp /bin/busybox /root/r/bin/
for name in sh cat id cut stat touch ls mkdir rm sleep grep head true; do ln -s busybox /root/r/bin/$name; done
chown 33:34 /root/r/srv
echo containers:1000000:1048576 | tee /etc/subuid >/etc/subgid
printf '#!/bin/sh\nexec cut -c1-21 /proc/self/uid_map\n' >/root/r/bin/map
chmod 755 /root/r/bin/map

# --- memory, which has no id-mapped mounts on this kernel (Linux 6.3 gave it some)
if [ "$(uname -r | cut -d. -f1-2)" = 6.1 ]; then
    equal 'a root in memory has the ids of the machine' '         0          0' sh -c "/bin/container run --rootfs /root/r map 2>/tmp/said"
    check 'which is told' grep -q 'the container has the ids of the machine: cannot map' /tmp/said
fi

# --- a disk
dd if=/dev/zero of=/tmp/disk bs=1M count=64 2>/dev/null
mke2fs -F /tmp/disk >/dev/null 2>&1
losetup /dev/loop0 /tmp/disk
mount -t ext4 /dev/loop0 /mnt || mount /dev/loop0 /mnt
cp -a /root/r /mnt/r
export ISOBOX_ROOT=/mnt/box
equal 'a root on a disk has ids of its own' '         0    1000000' container run --rootfs /mnt/r map
equal 'and its files have their owners' '0:0 33:34' sh -c 'echo $(/bin/container run --rootfs /mnt/r stat -c %u:%g / /srv)'
check 'what is made in it' container run --rootfs /mnt/r touch /made
equal 'belongs to root of the tree' 0 stat -c %u /mnt/r/made
equal 'limits are had' '33554432 9' sh -c 'echo $(/bin/container run -m 32M --pids-limit 9 --rootfs /mnt/r cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max)'
fails 'and are not its own to change' 'ead-only' container run -m 32M --rootfs /mnt/r sh -c 'echo max >/sys/fs/cgroup/memory.max'
container run -d --name box --rootfs /mnt/r sleep 1000 >/dev/null
equal 'who joins it is in there too' '         0    1000000' container exec box map
check 'all is as it was asked for' container verify box
check 'it goes' container rm -f box
equal 'and its ids with it' '' ls /mnt/box/ids

# --- an image, from a registry of a few files; the paths of its layers are longer than fsconfig(2) takes
root=/mnt/www/v2/lab/x
mkdir -p $root/blobs $root/manifests
digest() { echo "sha256:$(sha256sum "$1" | cut -d' ' -f1)"; }
blob() { mv "$1" "$root/blobs/$(digest "$1")"; }
size() { stat -c %s "$1"; }
type=application/vnd.oci.image
ids='' layers=''
for n in 1 2 3 4 5; do
    mkdir /root/l
    echo $n >/root/l/n$n
    [ $n = 1 ] && from=/root/r || from=/root/l
    tar -C "$from" -cf /mnt/layer .
    layer=$(digest /mnt/layer)
    ids="$ids,\"$layer\""
    layers="$layers,{\"mediaType\":\"$type.layer.v1.tar\",\"digest\":\"$layer\",\"size\":$(size /mnt/layer)}"
    blob /mnt/layer
    rm -r /root/l
done
echo "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Cmd\":[\"sh\"]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[${ids#,}]}}" >/mnt/config
echo "{\"schemaVersion\":2,\"mediaType\":\"$type.manifest.v1+json\",\"config\":{\"mediaType\":\"$type.config.v1+json\",\"digest\":\"$(digest /mnt/config)\",\"size\":$(size /mnt/config)},\"layers\":[${layers#,}]}" >$root/manifests/1
blob /mnt/config
ip link set lo up
busybox httpd -p 127.0.0.1:80 -h /mnt/www
image=127.0.0.1:80/lab/x:1
check 'an image is fetched' container pull -q $image
equal 'its layers have their owners' '0:0 33:34' sh -c "echo \$(/bin/container run $image stat -c %u:%g / /srv)"
equal 'all of them' '2 3 4 5' sh -c "echo \$(/bin/container run $image cat /n2 /n3 /n4 /n5)"
equal 'also with the ids of the machine' '2 5 33:34' sh -c "echo \$(/bin/container run --userns host $image sh -c 'cat /n2 /n5; stat -c %u:%g /srv')"
equal 'and ids of their own' '         0    1000000' container run $image map
container run -d --name img $image sh -c 'mkdir /srv/d; touch /srv/d/f; rm -r /tmp; touch /up; sleep 1000' >/dev/null
until [ "$(container exec img ls /up 2>/dev/null)" ]; do sleep 0.2; done
equal 'what is written to them is written' '0:0' container exec img stat -c %u:%g /srv/d/f
container stop -t 0 img >/dev/null
check 'and is there the next time' container start img
equal 'by its owner' '0:0' container exec img stat -c %u:%g /srv/d/f
equal 'as it lies on the disk' '' sh -c 'find /mnt/box/written ! -user 0 ! -user 33'
check 'it goes too' container rm -f img
done_checking
