//! Limits of a container, on the hierarchies this machine has; v2's are met in the virtual machine
//! (tests/vm/cases/limits.sh).

use super::{both, sandbox};

/// Prints how many control groups bear our name, or lie in one that does.
const LEFT: &str = "find /sys/fs/cgroup -type d -path \"*/$G*\" 2>/dev/null | wc -l";

/// Takes 64 MiB in one variable of the shell.
const HOG: &str = "a=x; while [ ${#a} -lt 67108864 ]; do a=$a$a; done; echo never\n";

#[test]
fn a_limit_bites_and_the_group_goes() {
    needs!(root, busybox, controller("pids"), controller("memory"));
    let t = sandbox();
    t.write("r/hog", HOG);
    let forks = |limit, n| {
        let sleeps = "sleep 0.2 & ".repeat(n);
        format!("container run --rootfs r --pids {limit} sh -c '{sleeps} wait; true'")
    };
    t.run(&forks(3, 3)).err_has("fork");
    t.run(&forks(4, 3)).ok().err("");
    // The fresh groups lie below ours, which could not go else.
    let g = t.id();
    let line = "container run --rootfs r --pids 20 --memory 16M sh /hog";
    t.run(&format!(
        "cgexec --rm -g memory,pids:{g} {line}; echo $?; G={g}; {LEFT}"
    ))
    .ok()
    .out("137\n0\n")
    .err("note: out of memory at memory.max=16M: the kernel ended processes of the group\n");
}

#[test]
fn a_child_that_meets_the_limit_is_told_of_too() {
    needs!(root, busybox, controller("memory"));
    let t = sandbox();
    t.write("r/hog", HOG);
    t.run("container run --rootfs r -m 16M sh -c 'sh /hog; echo $?'")
        .ok()
        .out("137\n")
        .err_has("out of memory at memory.max=16M");
    t.run("container run --rootfs r -m 512M sh /hog")
        .ok()
        .out("never\n")
        .err("");
}

#[test]
fn without_limits_no_group_is_touched() {
    needs!(root, busybox);
    let t = sandbox();
    let told = t.run("container run --rootfs r --pids-limit -1 --explain true");
    told.ok();
    for word in ["cgroup.procs", "tasks", "CLONE_INTO_CGROUP"] {
        assert!(!told.stdout.contains(word), "{word}{told}");
    }
    // Born in its group on v2, which clone(2) cannot say; on v1 it joins, and borrows our memory until its exec.
    let v1 = std::path::Path::new("/sys/fs/cgroup/pids").exists();
    let made = if v1 {
        "clone(CLONE_VM|CLONE_VFORK|"
    } else {
        "clone3("
    };
    t.run("container run --rootfs r --pids 5 --explain true")
        .ok()
        .out_in_order(&["mkdir(", "pids.max\", \"5\")", made, "CLONE_NEWCGROUP"]);
}

/// Whoever says nothing gets 1024 processes, watched and kept; who may make no group is not limited and not refused.
#[test]
fn a_container_that_only_multiplies_ends_at_a_thousand() {
    needs!(root, userns, busybox, controller("pids"));
    let t = sandbox();
    let bomb = "sh -c 'i=0; while [ $i -lt 1200 ]; do sleep 9 & i=$((i+1)); done; echo all' 2>&1 | tail -1 | sed 's/.*fork.*/stopped/'";
    t.run(&format!("container run --rootfs r {bomb}"))
        .ok()
        .out("stopped\n");
    // The control.
    t.run(&format!("container run --pids-limit -1 --rootfs r {bomb}"))
        .ok()
        .out("all\n");
    t.run("export ISOBOX_ROOT=$PWD/kept; for limit in '' '--pids-limit 0' '--pids-limit 9'; do
            container run -d --name one $limit --rootfs r sleep 100 >/dev/null; container verify one | sed -n 's/.*pids.max *//p' | tr -s ' '
            container exec one cat /proc/self/cgroup | grep -c pids; container rm -f one
        done; rm -rf kept")
        .ok()
        .out("1024 1024\n1\none\n1\none\n9 9\n1\none\n");
    let told = t.user().run("container run --rootfs r --explain true");
    told.ok();
    assert!(!told.stdout.contains("pids.max"), "{told}");
}

#[test]
fn a_group_given_by_name_is_joined_seen_as_the_root_and_gone_after() {
    needs!(root, userns, busybox, cgroup2, controller("pids"));
    let t = sandbox();
    let g = t.id();
    let look = "busybox sed -n -e 's/^0:://p' -e 's/.*:pids://p' /proc/self/cgroup; sleep 0.5";
    // From inside it is the root of every hierarchy; from outside it holds one process.
    let line = format!(
        "G={g}; container run --rootfs r --cgroup {g}/in --pids 9 sh -c \"{look}\" & sleep 0.3
         find /sys/fs/cgroup -path \"*/$G/in/cgroup.procs\" | xargs -n1 grep -c . | sort -u; wait $!; {LEFT}"
    );
    t.run(&line).ok().out("/\n/\n1\n0\n");
    let host = "container run --rootfs r --cgroupns host";
    t.run(&format!(
        "{host} --cgroup {g} --pids 9 grep -c ':pids:/{g}$' /proc/self/cgroup"
    ))
    .ok()
    .out("1\n");
    let change = format!(
        "{host} sh -c 'cd /sys/fs/cgroup; test -e cgroup.procs -o -e unified/cgroup.procs && mkdir x'"
    );
    for run in both(&t, &change) {
        run.run().status(1).err_has("Read-only file system");
    }
    t.user()
        .run("container run --rootfs host --cgroupns host ls /sys/fs/cgroup")
        .ok()
        .out("");
}

#[test]
fn a_group_that_was_there_stays() {
    needs!(root, busybox, controller("pids"));
    let t = sandbox();
    let g = t.id();
    let run = format!("container run --rootfs r --cgroup {g} --pids 9 true");
    t.run(&format!(
        "cg create -g pids {g}; {run}; cg get {g} pids.max; cg rm {g}"
    ))
    .ok()
    .out("9\n");
}

#[test]
fn the_script_sets_the_same_limits() {
    needs!(root, busybox, controller("pids"), controller("memory"));
    let t = sandbox();
    let g = t.id();
    for (flags, group) in [(format!("--cgroup {g}"), g), (String::new(), "isobox")] {
        let args = format!(
            "--rootfs host --cgroupns host {flags} --pids 37 -m 64M sh -c 'grep -c \":pids:.*{group}\" /proc/self/cgroup'"
        );
        t.run(&format!("container run {args}")).ok().out("1\n");
        t.run(&format!("container run --script {args} >s; sh -n s; sh s"))
            .ok()
            .out("1\n");
    }
    t.run("cat s")
        .ok()
        .out_has("exec cgexec -r memory.max=67108864 -r memory.swap.max=0 -r pids.max=37 -- \\\n");
    t.run(&format!("G={g}; {LEFT}")).ok().out("0\n");
}

#[test]
fn wrong_limits_are_refused() {
    needs!(root, busybox, controller("pids"), controller("cpuset"));
    let t = sandbox();
    let cases: [(&str, &[&str]); 9] = [
        ("--memory 1K", &["too small: 1K: ", "less than 128K"]),
        ("--memory 100", &["too small: 100: ", "less than 128K"]),
        ("--pids many", &["many", "not a number"]),
        ("--memory 1X", &["1X", "not a size"]),
        ("--cpus 0", &["not a share"]),
        ("--cgroup ../x", &["../x", "not the path"]),
        ("--cgroupns mine", &["mine", "neither private nor host"]),
        ("--io /proc:rbps=1", &["/proc", "no disk"]),
        ("--cpuset 4096", &["cpuset.cpus"]),
    ];
    for (flags, words) in cases {
        t.run(&format!("container run --rootfs r {flags} true"))
            .fails(125, "container", words);
    }
    t.run("container run --rootfs r --memory 100 true")
        .hint("counts bytes: 100M");
    // As docker has it, 0 is no limit.
    t.run("container run --rootfs r --memory 0 true").ok();
    t.user()
        .run("container run --rootfs r --pids 5 true")
        .fails(125, "container", &["Permission denied"])
        .hint("ordinary user");
}

/// A hierarchy that is mounted but cannot be opened is told of where it is missed, and only there.
#[test]
fn a_hierarchy_that_is_hidden_is_told_where_it_is_missed() {
    needs!(root, busybox, v1("pids"), v1("memory"));
    let t = sandbox();
    t.run("mkdir keep; mount --bind /sys/fs/cgroup/pids keep; mount -t tmpfs t /sys/fs/cgroup")
        .ok();
    t.run("container run --rootfs r --pids 9 echo in")
        .ok()
        .out("in\n");
    t.run("container run --rootfs r --memory 64M true").fails(
        125,
        "container",
        &[
            "cannot open the cgroup hierarchy",
            "/sys/fs/cgroup/",
            "No such file",
        ],
    );
    t.run("umount keep; cgexec -r pids.max=9 true").fails(
        125,
        "cgexec",
        &["cannot open the cgroup hierarchy", "No such file"],
    );
    t.run("umount /sys/fs/cgroup").ok();
}
