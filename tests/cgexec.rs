//! cgexec: limits that bite, on the hierarchies this machine has. What needs v2's controllers runs in the virtual
//! machine (tests/vm/cases/cgroup.sh).
//!
//! The limits are v1's on a hybrid machine and v2's on a unified one: the same words, so the same lines.

use crate::kit::Sandbox;
use std::path::PathBuf;

/// Every directory of every hierarchy that bears the sandbox's name.
fn left(t: &Sandbox) -> Vec<PathBuf> {
    let line = format!(
        "find /sys/fs/cgroup -maxdepth 4 -type d -name '{}*' 2>/dev/null",
        t.id()
    );
    let found = t.cmd(&line).host().run();
    found.stdout.lines().map(PathBuf::from).collect()
}

#[test]
fn the_program_is_in_the_group_and_keeps_its_pid() {
    needs!(root, controller("pids"));
    let t = Sandbox::new("cgexec");
    let g = t.id();
    t.run(&format!(
        "cgexec -g pids:{g} sh -c 'grep -c pids:/{g}$ /proc/self/cgroup'"
    ))
    .ok()
    .out("1\n");
    t.run(&format!(
        "sh -c 'echo $$; exec cgexec -g pids:/{g} sh -c \"echo \\$\\$\"' | uniq | wc -l"
    ))
    .ok()
    .out("1\n");
    assert_eq!(left(&t).len(), 1, "a group given by name stays");
    t.run(&format!(
        "rmdir /sys/fs/cgroup/*/{g} 2>/dev/null || rmdir /sys/fs/cgroup/{g}"
    ))
    .ok();
}

#[test]
fn a_group_of_its_own_goes_with_the_program() {
    needs!(root, controller("pids"));
    let t = Sandbox::new("cgexec");
    let line = "cgexec --pids 64 sh -c 'sed -n s/.*:pids://p /proc/self/cgroup; exit 7'";
    let group = t.run(line).status(7).stdout.trim().to_owned();
    assert!(group.contains("/isobox-"), "{group}");
    t.run(&format!(
        "ls -d /sys/fs/cgroup/pids{group} /sys/fs/cgroup{group}"
    ))
    .status(2);
    t.run("cgexec --pids 64 sh -c 'kill -9 $$'").status(137);
    t.run("cgexec --pids 64 nosuch")
        .fails(127, "cgexec", &["nosuch", "No such file or directory"]);
}

#[test]
fn rm_takes_away_what_it_made_at_every_level() {
    needs!(root, controller("pids"));
    let t = Sandbox::new("cgexec");
    let g = t.id();
    t.run(&format!("cgexec --rm -g pids:{g}/a/b true")).ok();
    t.run(&format!("cgexec --rm -g pids:{g}/a/b nosuch"))
        .status(127);
    assert_eq!(left(&t), Vec::<PathBuf>::new());
}

#[test]
fn a_group_with_a_process_left_in_it_stays_and_is_named() {
    needs!(root, controller("pids"));
    let t = Sandbox::new("cgexec");
    let g = t.id();
    let ran = t.run(&format!(
        "cgexec --rm -g pids:{g} sh -c 'sleep 1 >/dev/null & true'"
    ));
    ran.ok().err_has("stays").err_has("processes sit in it");
    t.run(&format!(
        "sleep 1.5; rmdir /sys/fs/cgroup/*/{g} 2>/dev/null || rmdir /sys/fs/cgroup/{g}"
    ))
    .ok();
}

#[test]
fn a_fork_over_the_pids_limit_is_refused() {
    needs!(root, controller("pids"));
    let t = Sandbox::new("cgexec");
    let g = t.id();
    // The shell itself counts: one child fits, the second does not.
    let line = format!("cgexec --rm -g pids:{g} --pids 2 sh -c 'sleep 0.2 & sleep 0.2 & wait'");
    // Its one child outlives the shell, and the group with it, until it can be removed.
    t.run(&format!(
        "{line}; sleep 0.5; rmdir /sys/fs/cgroup/pids/{g} /sys/fs/cgroup/{g} 2>/dev/null"
    ))
    .err_has("fork");
    t.run("cgexec --pids 3 sh -c 'sleep 0.2 & sleep 0.2 & wait'")
        .ok()
        .err("");
}

#[test]
fn memory_over_the_limit_ends_the_program() {
    needs!(root, controller("memory"));
    let t = Sandbox::new("cgexec");
    let g = t.id();
    // 64 MiB in one variable of the shell, against 16.
    let hog = "a=x; while [ ${#a} -lt 67108864 ]; do a=$a$a; done; echo never";
    t.run(&format!("cgexec --rm -g memory:/{g} -m 16M sh -c '{hog}'"))
        .status(137)
        .out("");
    t.run(&format!("cgexec --rm -g memory:/{g} -m 512M sh -c '{hog}'"))
        .ok()
        .out("never\n");
}

#[test]
fn a_memory_limit_means_no_swap_unless_asked() {
    needs!(root, controller("memory"));
    let t = Sandbox::new("cgexec");
    let g = t.id();
    let swap = format!(
        "cat /sys/fs/cgroup/memory/{g}/memory.memsw.limit_in_bytes /sys/fs/cgroup/{g}/memory.swap.max 2>/dev/null; true"
    );
    t.run(&format!("cgexec --rm -g memory:/{g} -m 16M sh -c '{swap}'"))
        .ok();
    let v1 = std::path::Path::new("/sys/fs/cgroup/memory").exists();
    let expect = |none: &str, some: &str| {
        if v1 {
            format!("{none}\n")
        } else {
            format!("{some}\n")
        }
    };
    t.run(&format!("cgexec --rm -g memory:/{g} -m 16M sh -c '{swap}'"))
        .out(&expect("16777216", "0"));
    t.run(&format!(
        "cgexec --rm -g memory:/{g} -m 16M --swap 8M sh -c '{swap}'"
    ))
    .out(&expect("25165824", "8388608"));
}

#[test]
fn v1_words_and_v2_words_are_the_same_limit() {
    needs!(root, controller("memory"));
    let t = Sandbox::new("cgexec");
    let g = t.id();
    let read = format!(
        "cat /sys/fs/cgroup/memory/{g}/memory.limit_in_bytes /sys/fs/cgroup/{g}/memory.max 2>/dev/null; true"
    );
    for word in ["memory.max=32M", "memory.limit_in_bytes=32M"] {
        t.run(&format!(
            "cgexec --rm -g memory:/{g} -r {word} sh -c '{read}'"
        ))
        .ok()
        .out("33554432\n");
    }
    let rounded = t.run(&format!(
        "cgexec --rm -g memory:/{g} -m 20000000 sh -c '{read}'"
    ));
    rounded.ok().out("19996672\n").err_has("19996672");
}

#[test]
fn cpu_time_stays_near_the_quota() {
    needs!(root, controller("cpu"));
    let t = Sandbox::new("cgexec");
    let g = t.id();
    // Busy for two seconds of wall time on a tenth of a CPU; `times` of the shell says what it got.
    let spin = "end=$(($(date +%s%N) + 2000000000)); while [ $(date +%s%N) -lt $end ]; do :; done; cut -d\" \" -f14-17 /proc/$$/stat";
    let ran = t.run(&format!(
        "cgexec --rm -g cpu:/{g} --cpus 10% sh -c '{spin}'"
    ));
    let ticks: u64 = ran
        .ok()
        .stdout
        .split_whitespace()
        .map(|n| n.parse::<u64>().unwrap())
        .sum();
    assert!(
        (5..=60).contains(&ticks),
        "a tenth of two seconds is 20 ticks, got {ticks}"
    );
}

#[test]
fn explain_tells_the_writes_and_does_none() {
    needs!(root, controller("pids"));
    let t = Sandbox::new("cgexec");
    let g = t.id();
    let told = t.run(&format!("cgexec -g pids:/{g} --pids 10 --explain true"));
    told.ok()
        .out_in_order(&["mkdir(", g, "pids.max\", \"10\")", "\"0\")", "execve("]);
    assert_eq!(left(&t), Vec::<PathBuf>::new());
}

#[test]
fn bad_input_is_refused_and_leaves_nothing() {
    needs!(root, controller("pids"));
    let t = Sandbox::new("cgexec");
    let g = t.id();
    let cases: [(&str, &[&str]); 11] = [
        ("-g nosuch:/G true", &["nosuch", "holds the controller"]),
        ("-g pids:../G true", &["../", "not the path"]),
        ("-g pids:G/../../x true", &["not the path"]),
        ("-g pids true", &["CONTROLLERS:PATH"]),
        ("-g pids:/G --pids ten true", &["ten", "not a number"]),
        ("-g pids:/G --pids -5 true", &["-5"]),
        ("-g pids:/G -m lots true", &["lots", "not a size"]),
        ("-g pids:/G --cpus 0.1% true", &["0.1%"]),
        ("-g pids:/G --io /proc:rbps=1M true", &["/proc", "disk"]),
        ("-g pids:/G", &["no program"]),
        ("-g pids:/ --pids 5 true", &["pids.max"]),
    ];
    for (line, words) in cases {
        t.run(&format!("cgexec {}", line.replace('G', g)))
            .fails(125, "cgexec", words);
    }
    assert_eq!(left(&t), Vec::<PathBuf>::new());
    t.user()
        .run(&format!("cgexec -g pids:/{g} true"))
        .fails(125, "cgexec", &["Permission denied"]);
}

#[test]
fn no_cgroup_mount_at_all_is_said() {
    needs!(root);
    let t = Sandbox::new("cgexec");
    t.run("unshare -m sh -c 'umount -l /sys/fs/cgroup; exec cgexec --pids 5 true'")
        .fails(125, "cgexec", &["no cgroup hierarchy"]);
}

/// v1 refuses a memory limit over the one of memory and swap together, and that one below the first.
#[test]
fn limits_of_a_group_that_is_there_go_up_and_down() {
    needs!(root, controller("memory"));
    let t = Sandbox::new("cgexec");
    let g = t.id();
    t.run(&format!("cg create -g memory {g}")).ok();
    for (limit, swap) in [
        ("64M", "0"),
        ("128M", "0"),
        ("16M", "8M"),
        ("256M", "0"),
        ("32M", "max"),
        ("max", "0"),
    ] {
        t.run(&format!(
            "cgexec -g memory:{g} -m {limit} --swap {swap} true"
        ))
        .ok();
        let said = t.run(&format!(
            "cg get -H {g} memory.max; cg get -H {g} memory.swap.max"
        ));
        let swap = if limit == "max" { "max" } else { swap };
        said.ok().out(&format!("{limit}\n{swap}\n"));
    }
    // A limit alone leaves the room for swap as it is.
    t.run(&format!(
        "cg set {g} memory.max=64M memory.swap.max=1M memory.max=128M; cg get -H {g} memory.swap.max
         cg set {g} memory.max=32M; cg get -H {g} memory.swap.max; cg rm {g}"
    ))
    .ok()
    .out("1M\n1M\n");
}

#[test]
fn words_of_v1_reach_v1_as_they_are() {
    needs!(root, controller("memory"), controller("cpu"));
    let t = Sandbox::new("cgexec");
    let g = t.id();
    let set =
        "-r memory.limit_in_bytes=64M -r memory.memsw.limit_in_bytes=65M -r cpu.cfs_quota_us=5000";
    t.run(&format!(
        "cgexec -g memory,cpu:{g} {set} true 2>/dev/null; cg get {g} memory.max; cg get {g} memory.swap.max; cg get {g} cpu.max; cg rm {g}"
    ))
    .ok()
    .out("67108864\n1048576\n5000 100000\n");
}

#[test]
fn two_hundred_groups_come_and_go() {
    needs!(root, controller("pids"));
    let t = Sandbox::new("cgexec");
    let g = t.id();
    t.run(&format!(
        "cg create -g pids {g}; cgexec -g pids:{g} sh -c 'for i in $(seq 100); do cgexec --pids 9 true || exit 1; cgexec --rm -g pids:{g}/x/$i --pids 9 true || exit 1; done'; cg ls {g}; cg rm {g}"
    ))
    .ok()
    .out_has(g);
    assert_eq!(left(&t), Vec::<PathBuf>::new());
}

#[test]
fn killed_outright_it_leaves_what_cg_finds_and_removes() {
    needs!(root, controller("pids"));
    let t = Sandbox::new("cgexec");
    let g = t.id();
    t.run(&format!(
        "cgexec --rm -g pids:{g}/in sleep 60 & p=$!; while ! grep -q . /sys/fs/cgroup/pids/{g}/in/tasks /sys/fs/cgroup/{g}/in/cgroup.procs 2>/dev/null; do sleep 0.01; done
         kill -9 $p; wait $p; cg ls {g} | wc -l; cg rm -r --kill {g}; echo $?"
    ))
    .out_has("\n0\n");
    assert_eq!(left(&t), Vec::<PathBuf>::new());
}

#[test]
fn an_end_for_want_of_memory_is_told() {
    needs!(root, controller("memory"));
    let t = Sandbox::new("cgexec");
    t.write(
        "hog",
        "a=x; while [ ${#a} -lt 67108864 ]; do a=$a$a; done\n",
    );
    t.run("cgexec -m 16M sh hog").status(137).err_has(
        "note: out of memory at memory.max=16M: the kernel ended processes of the group\n",
    );
    t.run("cgexec -m 512M sh hog").ok().err("");
}

#[test]
fn a_word_that_only_v2_has_says_who_holds_its_controller() {
    needs!(root, controller("memory"));
    let t = Sandbox::new("cgexec");
    if !std::path::Path::new("/sys/fs/cgroup/memory").exists() {
        return;
    }
    t.run(&format!(
        "cgexec --rm -g memory:{} -r memory.high=1M true",
        t.id()
    ))
    .fails(125, "cgexec", &["cgroup v1 has no memory.high"])
    .hint("the controller 'memory' is held by the v1 hierarchy at /sys/fs/cgroup/memory");
    t.run(&format!(
        "cg set / memory.oom.group=1; cg watch {} oom_kill=1",
        t.id()
    ))
    .status(1)
    .err_has("cgroup v1 has no memory.oom.group")
    .err_has("no such cgroup");
}

#[test]
fn an_ordinary_user_is_told_what_would_help() {
    needs!(root, controller("pids"));
    let t = Sandbox::new("cgexec");
    let v1 = std::path::Path::new("/sys/fs/cgroup/pids").exists();
    let hint = if v1 {
        "an ordinary user changes only what root has given away"
    } else {
        "is yours"
    };
    t.user()
        .run("cgexec --pids 9 true")
        .fails(125, "cgexec", &["Permission denied"])
        .hint(hint);
    let g = t.id();
    t.run(&format!("cgcreate -g pids:{g} -a 1000:1000 -t 1000:1000"))
        .ok();
    // What was given away works, on v1 at least, where a move needs no more than the file.
    if v1 {
        t.user()
            .run(&format!(
                "cgexec -g pids:{g} --pids 3 sh -c 'grep -c {g} /proc/self/cgroup'"
            ))
            .ok()
            .out("1\n");
    }
    t.run(&format!("cg rm {g}")).ok();
}
