//! libcgroup's tools against the host's own: the same line, the same output and status, on v1 hierarchies (which
//! is where libcgroup is at home). Groups are made before each line and removed behind it.

use crate::kit::Sandbox;

/// Runs each line with the host's tools and with ours, in a world that `before` makes and `after` removes.
#[track_caller]
fn same(before: &str, lines: &[&str], after: &str) {
    let t = Sandbox::new("libcgroup");
    for line in lines {
        let whole = format!(
            "G={}; {before}; {line}; echo \"status $?\"; {{ {after}; }} >/dev/null 2>&1; ls -d /sys/fs/cgroup/*/$G* 2>/dev/null",
            t.id()
        );
        let host = t.cmd(&whole).host().run();
        let ours = t.run(&whole);
        assert!(
            host.stdout == ours.stdout,
            "{line}\nhost:\n{host}\nours:\n{ours}"
        );
        assert_eq!(
            host.stderr.is_empty(),
            ours.stderr.is_empty(),
            "{line}\nhost:\n{host}\nours:\n{ours}"
        );
    }
}

const MAKE: &str = "mkdir /sys/fs/cgroup/pids/$G";
const REMOVE: &str =
    "rmdir /sys/fs/cgroup/pids/$G/* /sys/fs/cgroup/pids/$G /sys/fs/cgroup/memory/$G";

#[test]
fn groups_are_made_and_removed() {
    needs!(
        root,
        host("cgcreate"),
        controller("pids"),
        controller("memory")
    );
    same(
        ":",
        &[
            "cgcreate -g pids:$G; ls -d /sys/fs/cgroup/*/$G",
            "cgcreate -g pids,memory:/$G; ls -d /sys/fs/cgroup/*/$G",
            "cgcreate -g pids:$G -g memory:$G; ls -d /sys/fs/cgroup/*/$G",
            "cgcreate -g cpu,cpuacct:$G; ls -d /sys/fs/cgroup/*/$G; rmdir /sys/fs/cgroup/cpu*/$G",
            "cgcreate -g pids:$G/in; ls -d /sys/fs/cgroup/*/$G/*/",
            "cgcreate -g nosuch:$G",
            "cgcreate -a nobody:nogroup -t daemon:daemon -g pids:$G; cd /sys/fs/cgroup/pids/$G; stat -c '%n %u %g' . tasks cgroup.procs pids.max",
            "cgcreate -d 750 -s 664 -g pids:$G; cd /sys/fs/cgroup/pids/$G; stat -c '%n %a' . tasks",
        ],
        REMOVE,
    );
    same(
        MAKE,
        &[
            "cgdelete pids:$G",
            "cgdelete -g pids:$G",
            "cgdelete pids:$G-not",
            "mkdir /sys/fs/cgroup/pids/$G/in; cgdelete pids:$G",
            "mkdir /sys/fs/cgroup/pids/$G/in; cgdelete -r pids:$G",
            "cgdelete nosuch:$G",
        ],
        REMOVE,
    );
}

#[test]
fn parameters_are_set_and_printed() {
    needs!(root, host("cgget"), controller("pids"));
    same(
        MAKE,
        &[
            "cgset -r pids.max=5 $G; cat /sys/fs/cgroup/pids/$G/pids.max",
            "cgset -r pids.max=five $G 2>/dev/null",
            "cgset -r pids.max=5 $G-not 2>/dev/null",
            "mkdir /sys/fs/cgroup/pids/$G/in; cgset -r pids.max=7 $G; cgset --copy-from $G $G/in; cat /sys/fs/cgroup/pids/$G/in/pids.max",
            "cgget -r pids.max $G",
            "cgget -n -r pids.max $G",
            "cgget -v -r pids.max $G",
            "cgget -nv -r pids.max -r pids.current $G",
            "cgget -g pids $G",
            "cgget -g pids:$G",
            "cgget -n -g pids:/$G",
            "cgget -r pids.max /$G $G",
            "cgget -g pids:/$G",
            "cgget $G; cgget -n /$G",
            "cgget -r pids.max $G $G",
        ],
        REMOVE,
    );
}

#[test]
fn processes_are_moved_and_groups_listed() {
    needs!(root, host("cgclassify"), controller("pids"));
    same(
        MAKE,
        &[
            "sleep 5 & cgclassify -g pids:$G $!; s=$?; grep -c pids:/$G /proc/$!/cgroup; { kill $!; wait $!; } 2>/dev/null; (exit $s)",
            "cgclassify -g pids:$G 999999",
            "lscgroup pids:/$G",
            "mkdir /sys/fs/cgroup/pids/$G/in; lscgroup pids:/$G | sort",
            "lscgroup -g pids:/$G",
            "lscgroup | grep $G",
        ],
        REMOVE,
    );
}

#[test]
fn cgexec_runs_in_a_group_that_is_there() {
    needs!(root, host("cgexec"), controller("pids"));
    same(
        MAKE,
        &[
            "cgexec -g pids:$G sh -c 'grep -o \"pids:/.*\" /proc/self/cgroup'",
            "cgexec -g pids:/$G sh -c 'exit 42'",
            "cgexec --sticky -g pids:$G true",
            "sh -c 'echo $$; exec cgexec -g pids:'$G' sh -c \"echo \\$\\$\"' | uniq | wc -l",
        ],
        REMOVE,
    );
}

/// Options of releases after the host's 2.0.
#[test]
fn later_options_are_there() {
    needs!(root, controller("pids"));
    let t = Sandbox::new("libcgroup");
    let g = t.id();
    t.run(&format!(
        "cgcreate -b -g pids:{g}/in/deep && cgset -b -R -r pids.max=7 {g} && cgget -b -nv -r pids.max {g} {g}/in {g}/in/deep
         sleep 5 & cgclassify -b --sticky -g pids:{g} $! && grep -c 'pids:/{g}$' /proc/$!/cgroup; kill $!; wait $!; cgdelete -b -r pids:{g}"
    ))
    .ok()
    .out("7\n7\n7\n1\n");
    t.run(&format!("cgset -R -r pids.max=7 {g}"))
        .fails(95, "cgset", &[g]);
}

#[test]
fn wrong_use_says_so() {
    needs!(root);
    let t = Sandbox::new("libcgroup");
    t.run("cgcreate").fails(96, "cgcreate", &["no group"]);
    t.run("cgset -r pids.max=1")
        .fails(96, "cgset", &["no group given"]);
    t.run("cgget").fails(96, "cgget", &["no group"]);
    t.run("cgdelete").fails(96, "cgdelete", &["no group"]);
    t.run("cgclassify 1").fails(1, "cgclassify", &["no group"]);
    t.run("cgcreate -g ../x:y -a me:1")
        .fails(96, "cgcreate", &["me", "no such name"]);
    t.run("cgcreate -g pids:../x")
        .fails(96, "cgcreate", &["not the path"]);
    t.run("lscgroup pids:/nosuch")
        .fails(96, "lscgroup", &["nosuch"]);
}
