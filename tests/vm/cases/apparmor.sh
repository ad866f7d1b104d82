#!/bin/sh
# AppArmor, which the machine of the tests does not have: a program is confined by the profile of its config.json, and a
# profile that is not loaded is an error.
# vm: kernel security=apparmor apparmor=1
# vm: add apparmor_parser
# shellcheck disable=SC2086 # What is empty is no word.
# shellcheck source=tests/vm/guest/lib
. /vm/lib

cd /root || exit
mkdir -p r/bin r/host b
how=
echo here >r/host/file
cat >profile <<'PROFILE'
profile box flags=(attach_disconnected) {
  file,
  capability,
  signal,
  deny /host/** w,
}
PROFILE
# Runs a line of shell in a container.
run() { # PROCESS LINE
    echo "$2" >r/line
    cat >b/config.json <<JSON
{"ociVersion": "1.0.2", "root": {"path": "/root/r"},
 "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/sh", "/line"], "cwd": "/", "env": ["PATH=/bin"], $1
   "capabilities": {"bounding": []}},
 "mounts": [{"destination": "/proc", "type": "proc"}, {"destination": "/sys", "type": "sysfs"}, {"destination": "/dev", "type": "tmpfs"},
   {"destination": "/bin", "type": "bind", "source": "/bin", "options": ["rbind"]}],
 "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "network"}, {"type": "user"}],
   "uidMappings": [{"containerID": 0, "hostID": 0, "size": 9}], "gidMappings": [{"containerID": 0, "hostID": 0, "size": 9}]}}
JSON
    runc run $how -b b c
}
boxed='"apparmorProfile": "box",'
is='cat /proc/self/attr/current' write='echo more >>/host/file && echo written'

mount -t securityfs none /sys/kernel/security
fails 'a profile that is not loaded' 'box' run "$boxed" 'echo ran'
check 'it is loaded' apparmor_parser -K -r profile
equal 'without it a program is confined by none' unconfined run '' "$is"
equal 'and may write' written run '' "$write"
equal 'a program has its profile' 'box (enforce)' run "$boxed" "$is"
equal 'and with no_new_privs' 'box (enforce)' run "$boxed \"noNewPrivileges\": true," "$is"
fails 'and is held to it' 'Permission denied' run "$boxed" "$write"
how=-d
run "$boxed" 'sleep 1000' >/dev/null 2>&1
equal 'who joins has it too' 'box (enforce)' runc exec c cat /proc/self/attr/current
fails 'but not one that is not loaded' 'nosuch' runc exec --apparmor nosuch c echo ran
runc delete -f c
how=
equal 'setpriv sets it' 'box (enforce)' setpriv --apparmor-profile box cat /proc/self/attr/current
fails 'or fails' 'nosuch' setpriv --apparmor-profile nosuch true
equal 'and nothing stays' '' runc list -q
done_checking
