#!/bin/sh
# SELinux, which the machine of the tests does not have: a program has the label of its config.json and is held to what
# that may do, its mounts and its keyring have theirs, and what the policy does not know is an error.
# vm: kernel security=selinux enforcing=1
# vm: add secilc
# vm: add getfattr
# vm: add keyctl
# shellcheck disable=SC2016 # What stands in single quotes is for an inner shell.
# shellcheck disable=SC2086 # What is empty is no word.
# shellcheck source=tests/vm/guest/lib
. /vm/lib

# All may do everything, but box_t may not write to files of host_t. What a policy does not name is allowed.
cat >/root/policy.cil <<'CIL'
(handleunknown allow)
(mls true)
(policycap nnp_nosuid_transition)
(class file (write append entrypoint))
(class dir (relabelfrom))
(class process (transition dyntransition setexec setkeycreate))
(classorder (file dir process))
(sid kernel) (sid security) (sid unlabeled) (sid fs) (sid file) (sid file_labels) (sid init) (sid any_socket)
(sid port) (sid netif) (sid netmsg) (sid node)
(sidorder (kernel security unlabeled fs file file_labels init any_socket port netif netmsg node))
(sensitivity s0) (sensitivityorder (s0))
(category c1) (category c2) (categoryorder (c1 c2)) (sensitivitycategory s0 (c1 c2))
(user u) (role r) (role object_r)
(type host_t) (type box_t) (type box_file_t)
(typeattribute every) (typeattributeset every (host_t box_t box_file_t))
(userrole u r) (userrole u object_r) (roletype r every) (roletype object_r every)
(userlevel u (s0)) (userrange u ((s0) (s0 (c1 c2))))
(context host (u r host_t ((s0) (s0)))) (context object (u object_r host_t ((s0) (s0))))
(sidcontext kernel host) (sidcontext security host) (sidcontext unlabeled object) (sidcontext fs object)
(sidcontext file object) (sidcontext file_labels object) (sidcontext init host) (sidcontext any_socket host)
(sidcontext port object) (sidcontext netif object) (sidcontext netmsg object) (sidcontext node object)
(genfscon rootfs "/" object) (genfscon proc "/" object) (genfscon sysfs "/" object) (genfscon selinuxfs "/" object)
(genfscon cgroup2 "/" object) (genfscon cgroup "/" object)
(fsuse trans tmpfs object) (fsuse trans devtmpfs object) (fsuse trans devpts object) (fsuse trans mqueue object)
(fsuse task pipefs object) (fsuse task sockfs object)
(allow every every (process (transition setexec setkeycreate)))
(allow host_t every (file (write append entrypoint)))
(allow host_t every (dir (relabelfrom)))
(allow box_t every (file (entrypoint)))
(allow box_t box_file_t (file (write append)))
CIL
cd /root || exit
check 'a policy' secilc -o policy -f contexts policy.cil

label='u:r:box_t:s0:c1,c2' files='u:object_r:box_file_t:s0:c1,c2'
mkdir -p r/bin r/host r/hidden r/lib r/lib64 r/usr b
apart=
echo here >r/host/file
# Runs a line of shell in a container.
run() { # PROCESS LINUX LINE
    echo "$3" >r/line
    bind() { echo "{\"destination\": \"$1\", \"type\": \"bind\", \"source\": \"$1\", \"options\": [\"rbind\"]}"; }
    caps='["CAP_DAC_OVERRIDE"]'
    cat >b/config.json <<JSON
{"ociVersion": "1.0.2", "root": {"path": "/root/r"},
 "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/sh", "/line"], "cwd": "/", "env": ["PATH=/bin:/usr/bin"], $1
   "capabilities": {"bounding": $caps, "effective": $caps, "permitted": $caps}},
 "mounts": [{"destination": "/proc", "type": "proc"}, {"destination": "/dev", "type": "tmpfs", "options": ["nosuid"]},
   {"destination": "/dev/pts", "type": "devpts"}, {"destination": "/dev/mqueue", "type": "mqueue"},
   {"destination": "/sys", "type": "sysfs"}, {"destination": "/sys/fs/cgroup", "type": "cgroup"},
   {"destination": "/tmp", "type": "tmpfs"}, $(bind /bin), $(bind /lib), $(bind /lib64), $(bind /usr)],
 "linux": {$2 "maskedPaths": ["/hidden"],
   "namespaces": [$apart{"type": "pid"}, {"type": "ipc"}, {"type": "mount"}, {"type": "cgroup"}]}}
JSON
    runc run $how -b b c
}
is='tr "\0" "\n" </proc/self/attr/current'
labelled="\"selinuxLabel\": \"$label\","
nnp='"noNewPrivileges": true,'
mounted="\"mountLabel\": \"$files\","

# --- before there is a policy, or its file system
no='selinux label is specified in config, but selinux is disabled or not supported'
fails 'no SELinux to use' "$no" run "$labelled" '' 'echo ran'
fails 'nor for mounts' 'SELinux is not running' run '' "$mounted" 'echo ran'
fails 'nor for setpriv' 'SELinux is not running' setpriv --selinux-label "$label" true
mount -t selinuxfs none /sys/fs/selinux
fails 'without a policy the kernel would take any label and heed none' "$no" run "$labelled" '' 'echo ran'
check 'it is loaded' dd if=policy of=/sys/fs/selinux/load bs=1M conv=notrunc
equal 'and enforced' 1 cat /sys/fs/selinux/enforce

# --- the program
host=u:r:host_t:s0
equal 'a program without a label has its caller'\''s' "$host" run '' '' "$is"
equal 'a program has its label' "$label" run "$labelled" '' "$is"
equal 'and with no_new_privs' "$label" run "$labelled $nnp" '' "$is"
equal 'its keyring too' "$label" run "$labelled" '' 'keyctl security @s'
equal 'without a label that is its maker'\''s' "$host" run '' '' 'keyctl security @s'

# --- what it may
write='echo more >>/host/file && echo written' scratch='echo more >/tmp/x && echo written'
equal 'without a label it may write to a file of the host' written run '' '' "$write"
fails 'which its label may not' 'Permission denied' run "$labelled" '' "$write"
fails 'nor with a label of the mounts' 'Permission denied' run "$labelled" "$mounted" "$write"
fails 'nor may it write to a tmpfs with the label that the policy gives it' 'Permission denied' run "$labelled" '' "$scratch"
equal 'but to one with the label of its mounts' written run "$labelled" "$mounted" "$scratch"

# --- its mounts
each='echo >/tmp/x; for one in /tmp/x /tmp /dev /dev/null /dev/pts /dev/mqueue /hidden / /proc /sys /sys/fs/cgroup; do
    echo $one $(getfattr --absolute-names --only-values -n security.selinux $one)
done'
# What one of these is called by.
expected() { # LABEL
    for one in /tmp/x /tmp /dev /dev/null /dev/pts /dev/mqueue /hidden; do echo "$one $1"; done
    for one in / /proc /sys /sys/fs/cgroup; do echo "$one u:object_r:host_t:s0"; done
}
equal 'mounts without a label have that of the policy' "$(expected u:object_r:host_t:s0)" run '' '' "$each"
equal 'and with one it, where they take one' "$(expected "$files")" run "$labelled" "$mounted" "$each"
apart='{"type": "user"}, {"type": "network"}, '
ids='"uidMappings": [{"containerID": 0, "hostID": 1000, "size": 9}], "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 9}],'
# Devices are the host's there, and the message queues belong to whoever made the namespace: so do their labels.
equal 'also in a user namespace' "$(expected "$files" | sed -E '/mqueue|null/s/ .*/ u:object_r:host_t:s0/')" run "$labelled $nnp" "$ids $mounted" "$each"
equal 'where the program has its label' "$label" run "$labelled" "$ids $mounted" "$is"
apart=

# --- a program that joins
how=-d
run "$labelled" '' 'sleep 1000' >/dev/null 2>&1
equal 'has the label of the container' "$label" runc exec c sh -c "$is"
equal 'or another' u:r:box_t:s0:c1 runc exec --process-label u:r:box_t:s0:c1 c sh -c "$is"
equal 'and its keyring' u:r:box_t:s0:c1 runc exec --process-label u:r:box_t:s0:c1 c keyctl security @s
fails 'but not one that there is not' "can't set" runc exec --process-label u:r:nosuch_t:s0 c echo ran
runc delete -f c
how=

# --- setpriv
equal 'setpriv sets it' "$label" setpriv --selinux-label "$label" sh -c "$is"
fails 'or fails' "can't set process label" setpriv --selinux-label nosuch true

# --- what there is not
before=$(wc -l </proc/self/mounts)
fails 'a label that the policy does not know' "can't set" run '"selinuxLabel": "u:r:nosuch_t:s0",' '' 'echo ran'
fails 'a label of mounts likewise' 'invalid argument' run '' '"mountLabel": "u:object_r:nosuch_t:s0",' 'echo ran'
fails 'one that ends its quotes' 'linux.mountLabel' run '' '"mountLabel": "u:object_r:box_t:s0\",x=\"",' 'echo ran'
equal 'and none of them stays' '' runc list -q
equal 'no mounts' "$before" sh -c 'wc -l </proc/self/mounts'
equal 'no groups' '' find /sys/fs/cgroup -mindepth 1 -type d
done_checking
