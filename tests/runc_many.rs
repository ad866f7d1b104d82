//! runc with many containers, one after the other and at once, and with little memory: each starts, and nothing of them
//! is left. tests/bench/oci has the figures.

use crate::kit::{Ran, Sandbox};
use crate::runc::bundle;

/// Counts what containers of this sandbox could leave: groups, kept states, mounts.
const LEFT: &str = "left() { ls -d /sys/fs/cgroup/*/$ID/*/ 2>/dev/null | wc -l; find k -mindepth 1 | wc -l
     wc -l </proc/self/mountinfo; }
     mkdir -p k; before=$(left)
     after() { now=$(left); [ \"$before\" = \"$now\" ] && echo nothing left || echo left: $now, before: $before; }";

fn run<'t>(t: &'t Sandbox, line: &str) -> Ran<'t> {
    let line = format!("ID={} R='runc --root k'\n{LEFT}\n{line}", t.id());
    t.write("line", &line);
    t.run(&format!("cgexec --rm -g memory:{} sh line", t.id()))
}

#[test]
fn eighty_one_after_the_other_leave_nothing() {
    needs!(root, busybox, controller("memory"));
    let t = Sandbox::new("runc_many");
    bundle(&t, r#"["sh", "-c", "ls /proc/self/fd | wc -l"]"#, "");
    let line = "sed -i 's/\"linux\": {/&\"resources\": {\"memory\": {\"limit\": 67108864}, \"pids\": {\"limit\": 64}}, /' b/config.json
         i=0; while [ $i -lt 80 ]; do $R run -b b c$i || echo $i failed; i=$((i+1)); done | sort | uniq -c
         after";
    // 0, 1, 2, and the directory that is listed.
    let ran = run(&t, line);
    ran.ok();
    let told: Vec<&str> = ran.stdout.split_whitespace().collect();
    assert_eq!(told.join(" "), "80 4 nothing left", "{ran}");
}

/// The first makes the group above all of them, and so takes it away: of those who are made at the same moment none would.
#[test]
fn fifty_at_once_are_told_apart_and_leave_nothing() {
    needs!(root, busybox, controller("memory"), controller("freezer"));
    let t = Sandbox::new("runc_many");
    bundle(&t, r#"["sleep", "1000"]"#, "");
    run(
        &t,
        "$R create -b b first >/dev/null 2>&1 </dev/null
         all() { i=0; while [ $i -lt 50 ]; do \"$@\" $i & i=$((i+1)); [ $((i % 10)) = 0 ] && wait; done; wait; }
         make() { mkdir b$1; sed \"s,\\\"/$ID/c\\\",\\\"/$ID/c$1\\\",\" b/config.json >b$1/config.json
             $R create -b b$1 c$1 >/dev/null 2>&1 </dev/null || echo create $1 failed; }
         start() { $R start c$1 || echo start $1 failed; }
         end() { $R delete -f c$1 || echo delete $1 failed; }
         all make; $R list -q | wc -l; $R list | grep -c created
         all start; $R list | grep -c running
         ls -d /sys/fs/cgroup/freezer/$ID/c[0-9]* | wc -l; cat /sys/fs/cgroup/freezer/$ID/c[0-9]*/cgroup.procs | wc -l
         all end; $R list -q | wc -l; $R delete -f first; after",
    )
    .ok()
    .out("51\n51\n50\n50\n50\n1\nnothing left\n");
}

/// crun's mark, which runc misses by far: what we do ourselves in the group is little.
#[test]
fn a_container_starts_with_256_kibibytes() {
    needs!(root, busybox, v1("memory"));
    let t = Sandbox::new("runc_many");
    bundle(&t, r#"["true"]"#, "");
    run(
        &t,
        "limit() { sed \"s/\\\"linux\\\": {/&\\\"resources\\\": {\\\"memory\\\": {\\\"limit\\\": $1}}, /\" b/config.json >config
             mkdir -p s; cp config s/config.json; }
         limit 262144; $R create -b s c >out 2>&1 </dev/null; echo $?; cat out
         cat /sys/fs/cgroup/memory/$ID/c/memory.limit_in_bytes
         $R start c; echo $?; while $R state c | grep -q running; do sleep 0.02; done; $R delete c
         $R run -b s c; echo $?
         limit 16384; $R run -b s c >out 2>&1; test $? != 0 && echo too little; after",
    )
    .ok()
    .out("0\n262144\n0\n0\ntoo little\nnothing left\n");
}

/// A machine with many containers has thousands of mounts, and a line for each would be written for every start. Where the
/// control groups are mounted as usual, v1 or v2, the list is not asked for.
#[test]
fn a_start_does_not_read_the_list_of_mounts() {
    needs!(root, busybox, host("strace"), v1("memory"));
    let t = Sandbox::new("runc_many");
    bundle(&t, r#"["true"]"#, "");
    run(
        &t,
        "started() { strace -f -o trace -e trace=open,openat,openat2 $R run -b b c || echo failed; grep -c 'mountinfo\\|/mounts' trace; }
         started; mount -t cgroup2 none /sys/fs/cgroup; started
         # Only there it is told which group an unusual place shows.
         umount /sys/fs/cgroup; mkdir m; mount -t cgroup2 none m; mkdir m/$ID.x; mount --bind m/$ID.x /sys/fs/cgroup; started
         umount /sys/fs/cgroup; find m/$ID.x -depth -type d -exec rmdir {} +; umount m; rmdir m; after",
    )
    .ok()
    .out("0\n0\n1\nnothing left\n");
}
