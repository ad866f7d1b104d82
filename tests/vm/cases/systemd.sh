#!/bin/sh
# systemd makes the control groups: `runc --systemd-cgroup` beside a systemd that is the first process of a container of
# its own here, as it is of a machine elsewhere. What systemctl tells is compared with what the kernel has.
# vm: add /usr/lib/systemd/systemd
# vm: add systemctl
# vm: add dbus-daemon
# vm: add podman
# vm: add conmon
# shellcheck disable=SC2016 # What stands in single quotes is for an inner shell.
# shellcheck source=tests/vm/guest/lib
. /vm/lib

mkdir -p /etc/systemd/system /etc/systemd/user /root/r/bin /root/b /root/k
: >/etc/machine-id
printf 'root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/root:/bin/sh\n' >/etc/passwd
printf 'root:x:0:\nuser:x:1000:\n' >/etc/group
for unit in default shutdown; do
    printf '[Unit]\nDefaultDependencies=no\n' | tee /etc/systemd/user/$unit.target >/etc/systemd/system/$unit.target
done
cat >/root/boot <<'END'
umount /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs none /run
export container=isobox
exec /usr/lib/systemd/systemd --system --log-level=notice --log-target=console --show-status=0
END
unshare -mpf --mount-proc cgexec -g memory,pids,cpu,cpuset:machine unshare -C sh /root/boot >/root/log 2>&1 &
until first=$(pidof systemd) && nsenter -t "$first" -a test -S /run/systemd/private 2>/dev/null; do usleep 100000; done
# On the machine that systemd runs.
there() { nsenter -t "$first" -a -- "$@"; }
shows() { there systemctl show -p "$2" --value "$1"; }
# What is made of values.
is() { equal "$1" "$2" echo "$3"; }
group() { there cat "/sys/fs/cgroup/$1"; }

cd /root || exit
cat >b/config.json <<'JSON'
{"ociVersion": "1.0.2", "root": {"path": "/root/r"}, "annotations": {"org.systemd.property.CollectMode": "'inactive-or-failed'"},
 "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/sh", "-c", "cat /proc/self/cgroup; sleep 1000"], "cwd": "/",
   "env": ["PATH=/bin"], "capabilities": {"bounding": []}},
 "mounts": [{"destination": "/proc", "type": "proc"},
   {"destination": "/bin", "type": "bind", "source": "/bin", "options": ["rbind"]}],
 "linux": {"cgroupsPath": "box-inner.slice:test:one", "namespaces": [{"type": "pid"}, {"type": "mount"}],
   "resources": {"memory": {"limit": 33554432}, "pids": {"limit": 20},
     "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0"}}}}
JSON
runtime() { there runc --systemd-cgroup --root /root/k "$@"; }
scope=box.slice/box-inner.slice/test-one.scope

create() { runtime create --bundle /root/b c </dev/null >out 2>&1 || { cat out; false; }; }
check 'a container is created' create
is 'its group is a scope of systemd' active "$(shows test-one.scope ActiveState)"
is 'in the slice that was asked for' box-inner.slice "$(shows test-one.scope Slice)"
is 'delegated' yes "$(shows test-one.scope Delegate)"
is 'systemd says its group' "/$scope" "$(shows test-one.scope ControlGroup)"
is 'and knows the limit of memory' 33554432 "$(shows test-one.scope MemoryMax)"
is 'of processes' 20 "$(shows test-one.scope TasksMax)"
is 'of processor time' 500ms "$(shows test-one.scope CPUQuotaPerSecUSec)"
is 'the share' 59 "$(shows test-one.scope CPUWeight)"
is 'what an annotation asks for' inactive-or-failed "$(shows test-one.scope CollectMode)"
is 'the processors' 0 "$(shows test-one.scope AllowedCPUs)"
is 'the kernel has the same: memory' 33554432 "$(group $scope/memory.max)"
is 'processes' 20 "$(group $scope/pids.max)"
is 'time' '50000 100000' "$(group $scope/cpu.max)"
is 'nobody but its first process is in it' 1 "$(group $scope/cgroup.procs | wc -l)"
check 'systemd looks at its units anew' there systemctl daemon-reload
is 'and leaves the limits alone' 33554432 "$(group $scope/memory.max)"
check 'it starts' runtime start c
usleep 300000
is 'the program is in the scope' "0::/$scope" "$(tail -n 1 out)"
is 'exec goes there too' "0::/$scope" "$(runtime exec c cat /proc/self/cgroup)"
check 'a limit is changed' runtime update --memory 67108864 --pids-limit 30 c
is 'in the kernel' 67108864 "$(group $scope/memory.max)"
is 'and with systemd' '67108864 30' "$(shows test-one.scope MemoryMax) $(shows test-one.scope TasksMax)"
check 'and stays' there systemctl daemon-reload
is 'after another look' 67108864 "$(group $scope/memory.max)"
check 'it is deleted' runtime delete -f c
is 'systemd knows it no more' 'not-found inactive' "$(shows test-one.scope LoadState) $(shows test-one.scope ActiveState)"
fails 'and the group is gone' 'No such file' group $scope/cgroup.procs
is 'nothing is written down' '' "$(runtime list -q)"

sed -i 's/"cgroupsPath": "[^"]*", //; s/sleep 1000/exit 7/' b/config.json
runtime run --bundle /root/b d >out
is 'run gives the status' 7 $?
is 'without a path runc calls the scope' 0::/system.slice/runc-d.scope "$(cat out)"
is 'which is gone' not-found "$(shows runc-d.scope LoadState)"
sed -i 's/"linux": {/&"cgroupsPath": "\/plain\/path", /' b/config.json
fails 'a path that is none for systemd' 'of format \"slice:prefix:name\"' runtime run --bundle /root/b e
sed -i 's/"\/plain\/path"/"system.slice:test:gone"/; s/"\/bin\/sh"/"\/nosuch"/' b/config.json
fails 'a program that is not there' nosuch runtime run --bundle /root/b e
is 'leaves no scope' not-found "$(shows test-gone.scope LoadState)"
fails 'where systemd does not run' 'it does not run here' runc --systemd-cgroup --root /root/k2 run --bundle /root/b e
is 'the manager of groups is told' '' "$(runc --systemd-cgroup --root /root/k2 list -q)"

# --- the same over the bus, where there is one
cat >/etc/systemd/system/dbus.socket <<'END'
[Unit]
DefaultDependencies=no
[Socket]
ListenStream=/run/dbus/system_bus_socket
END
cat >/etc/systemd/system/dbus.service <<'END'
[Unit]
DefaultDependencies=no
[Service]
ExecStart=/usr/bin/dbus-daemon --config-file=/etc/bus.conf --address=systemd: --nofork --nopidfile --systemd-activation
END
cat >/etc/bus.conf <<'END'
<busconfig><type>system</type><auth>EXTERNAL</auth><listen>unix:path=/run/dbus/system_bus_socket</listen>
<policy context="default"><allow user="*"/><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy></busconfig>
END
there systemctl daemon-reload
check 'there is a bus' there systemctl start dbus.socket dbus.service
sed -i 's/"cgroupsPath": "[^"]*"/"cgroupsPath": "system.slice:bus:one"/; s/"\/nosuch"/"\/bin\/sh"/; s/exit 7/sleep 1000/' b/config.json
check 'a container is created by it' create
equal 'it was asked there' '"manager":"/run/dbus/system_bus_socket"' grep -o '"manager":"[^"]*"' k/c/state.json
is 'the scope is there' active "$(shows bus-one.scope ActiveState)"
check 'and goes' runtime delete -f c
is 'with all it was' not-found "$(shows bus-one.scope LoadState)"

# --- a client that calls it so wherever systemd is
for name in sh cat sleep; do cp /bin/busybox r/bin/$name; done
pod() {
    there podman --runtime /bin/runc --cgroup-manager=systemd --root /root/store --storage-driver vfs "$@" 2>&1
}
in_pod() { pod run --security-opt seccomp=unconfined --network none --cgroupns host "$@"; }
is 'podman runs a container' "67108864" "$(in_pod --rm --memory 64m --rootfs /root/r sh -c 'cat /sys/fs/cgroup$(cat /proc/self/cgroup | busybox cut -c4-)/memory.max')"
check 'and one that stays' in_pod -d --name pod --pids-limit 33 --rootfs /root/r sleep 1000
unit=libpod-$(pod inspect --format '{{.Id}}' pod).scope
is 'its scope is in the slice of machines' 'machine.slice active 33' "$(shows "$unit" Slice) $(shows "$unit" ActiveState) $(shows "$unit" TasksMax)"
is 'exec is in it' "0::/machine.slice/$unit" "$(pod exec pod cat /proc/self/cgroup)"
check 'it is paused' pod pause pod
is 'by its group' 1 "$(group "machine.slice/$unit/cgroup.freeze")"
check 'and goes on' pod unpause pod
is 'it is removed' pod "$(pod rm -f -t 0 pod)"
is 'and its scope is gone' not-found "$(shows "$unit" LoadState)"

# --- an ordinary user's own manager
cat >/etc/systemd/system/user.service <<'END'
[Unit]
DefaultDependencies=no
[Service]
Type=notify
User=user
Delegate=yes
Environment=XDG_RUNTIME_DIR=/run/user/1000
ExecStart=/usr/lib/systemd/systemd --user --log-target=console
END
there mkdir -p /run/user/1000
there chown 1000:1000 /run/user/1000
there systemctl daemon-reload
check 'a user has a manager' there systemctl start user.service
sed -i 's/"namespaces": \[/"uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}], &{"type": "user"},/
s/"cgroupsPath": "[^"]*"/"cgroupsPath": "app.slice:user:one"/; s/"cpu": .*/"cpu": {"shares": 512}}}}/; s/sleep 1000/exit 8/' b/config.json
as_user() {
    there setpriv --reuid 1000 --regid 1000 --clear-groups env XDG_RUNTIME_DIR=/run/user/1000 "$@"
}
as_user runc --systemd-cgroup run --bundle /root/b u >out
is 'his container ends as it did' 8 $?
inside=/system.slice/user.service/app.slice/user-one.scope
is 'its group was below that of his manager' 0::$inside "$(tail -n 1 out)"
sed -i 's/exit 8/sleep 1000/' b/config.json
as_user runc --systemd-cgroup run -d --bundle /root/b u >out 2>&1
is 'another runs in it' 1 "$(group $inside/cgroup.procs | wc -l)"
is 'with its limit' 33554432 "$(group $inside/memory.max)"
is 'and who joins it' 0::$inside "$(as_user runc exec u cat /proc/self/cgroup)"
check 'it is deleted' as_user runc delete -f u
is 'and gone' not-found "$(as_user systemctl --user show -p LoadState --value user-one.scope)"
done_checking
