//! cg: groups made, shown, limited, frozen, killed and removed by hand, on the hierarchies of this machine.
//! What needs v2's controllers runs in the virtual machine (tests/vm/cases/cgroup.sh).

use crate::kit::Sandbox;

#[test]
fn a_life_of_a_group() {
    needs!(root, controller("pids"), controller("freezer"));
    let t = Sandbox::new("cg");
    let g = t.id();
    t.run(&format!("cg create -g pids,freezer /{g} -r pids.max=30"))
        .ok();
    t.run(&format!("cg get {g} pids.max")).ok().out("30\n");
    t.run(&format!("cg set {g} pids.max=max; cg get {g} pids.max"))
        .ok()
        .out("max\n");
    let life = format!(
        "sleep 60 & p=$!; cg attach {g} $p; cg ls {g} | grep -cw $p
         cg freeze {g}; cut -d' ' -f3 /proc/$p/stat | grep -c [DT]
         cg thaw {g}; cut -d' ' -f3 /proc/$p/stat
         cg rm {g}; echo $?
         cg rm --kill {g}; wait $p; echo $?; cg get {g}"
    );
    let ran = t.run(&life);
    ran.status(1);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(matches!(lines[..], [_, "1", "S", "1", "137"]), "{ran}");
    ran.err_has("processes sit in it").err_has("no such cgroup");
}

#[test]
fn a_tree_goes_deepest_first() {
    needs!(root, controller("pids"));
    let t = Sandbox::new("cg");
    let g = t.id();
    t.run(&format!(
        "cg create -g pids {g}/a/b; cg create -g pids {g}/c"
    ))
    .ok();
    t.run(&format!("cg ls {g}"))
        .ok()
        .out_in_order(&[g, "  a", "    b", "  c"]);
    t.run(&format!("cg rm {g}"))
        .fails(1, "cg", &["cannot remove"])
        .hint("a c");
    t.run(&format!("cg rm -r {g}; cg ls {g}"))
        .fails(1, "cg", &["no such cgroup", g]);
}

#[test]
fn limits_are_shown_with_who_sets_them() {
    needs!(root, controller("pids"));
    let t = Sandbox::new("cg");
    let g = t.id();
    t.run(&format!(
        "cg create -g pids {g}/in -r pids.max=50; cg set {g} pids.max=20"
    ))
    .ok();
    t.run(&format!("cg why {g}/in"))
        .ok()
        .out_has("pids.max=20  set by")
        .out_has(&format!("{g}\n"));
    t.run(&format!("cg set {g} pids.max=90; cg why {g}/in"))
        .ok()
        .out_has("pids.max=50  set by");
    t.run(&format!("cg rm -r {g}")).ok();
}

#[test]
fn v1_and_v2_words_read_and_write_the_same() {
    needs!(root, controller("memory"), controller("cpu"));
    let t = Sandbox::new("cg");
    let g = t.id();
    t.run(&format!("cg create -g memory,cpu {g}")).ok();
    t.run(&format!("cg set {g} memory.limit_in_bytes=64M cpu.max=50%"))
        .ok();
    t.run(&format!("cg get {g} memory.max; cg get {g} cpu.max"))
        .ok()
        .out("67108864\n50000 100000\n");
    t.run(&format!("cg set {g} cpu.weight=200; cg get {g} cpu.weight"))
        .ok()
        .out("200\n");
    t.run(&format!("cg get --json {g} memory.max"))
        .ok()
        .out("{\n  \"memory.max\": \"67108864\"\n}\n");
    t.run(&format!("cg rm {g}")).ok();
}

#[test]
fn top_shows_what_is_used() {
    needs!(root, controller("pids"), host("python3"));
    let t = Sandbox::new("cg");
    let g = t.id();
    t.run(&format!("cg create -g pids {g}; sleep 5 & cg attach {g} $!; cg top --once -d 0.1 {g} | tail -1; cg rm --kill {g}"))
        .out_has(g);
    let json = t.run("cg top --once -d 0.1 --json | python3 -c 'import json,sys; print(json.load(sys.stdin)[0][\"group\"])'");
    json.ok().out("/\n");
}

#[test]
fn a_watcher_sees_the_last_process_go() {
    needs!(root, cgroup2);
    let t = Sandbox::new("cg");
    let g = t.id();
    let line = format!(
        "cg create {g}; cgexec -g :{g} sleep 60 & cg watch --timeout 5 {g} populated=1; kill $!; cg watch --timeout 5 {g} populated=0; wait; cg rm {g}"
    );
    t.run(&line).ok().out("populated 1\npopulated 0\n");
    t.run(&format!(
        "cg create {g}; cg watch --timeout 0.1 {g} populated=1; echo $?; cg rm {g}"
    ))
    .ok()
    .out("1\n");
}

#[test]
fn core_files_of_v2_work_beside_v1() {
    needs!(root, cgroup2);
    let t = Sandbox::new("cg");
    let g = t.id();
    let line = format!(
        "cg create {g}; cgexec -g :{g} sleep 60 & cg watch --timeout 5 {g} populated=1 >seen; rm seen; cg freeze {g}; cg get {g} cgroup.events | grep frozen; cg thaw {g}; cg kill {g}; wait $!; echo $?; cg rm {g}"
    );
    t.run(&line).ok().out("frozen 1\n137\n");
    t.run("cg psi / cpu").ok().out_has("some avg10=");
    t.run("cg psi / disk")
        .fails(1, "cg", &["disk", "no such resource"]);
}

#[test]
fn a_frozen_group_is_killed_on_v1_too() {
    needs!(root, controller("freezer"), controller("pids"));
    let t = Sandbox::new("cg");
    let g = t.id();
    let line = format!(
        "cg create -g freezer,pids {g}; sh -c 'sleep 60 & wait' & p=$!; while ! grep -q . /proc/$p/task/$p/children; do sleep 0.01; done; cg attach {g} $p $(cat /proc/$p/task/$p/children)
         cg freeze {g}; cg kill {g}; wait $p; echo $?; cg ls {g} | grep -c {g}; cg get {g} cgroup.freeze; cg rm {g}"
    );
    t.run(&line).out_has("137\n").out_has("\n0\n");
    // Without a freezer there is no stopping first: all are sent the signal until none is left.
    t.run(&format!(
        "cg create -g pids {g}; sleep 60 & cg attach {g} $!; cg kill {g}; wait $!; echo $?; cg rm {g}"
    ))
    .ok()
    .out("137\n");
}

#[test]
fn pressure_is_waited_for() {
    needs!(root, cgroup2);
    let t = Sandbox::new("cg");
    let g = t.id();
    t.run(&format!(
        "cg create {g}; cg watch --timeout 0.3 {g} some memory 1s/2s; echo $?; cg rm {g}"
    ))
    .ok()
    .out("1\n");
    let cases: [(&str, &[&str]); 5] = [
        ("/ some disk 1s/2s", &["disk", "no such resource"]),
        ("/ any cpu 1s/2s", &["any", "neither some nor full"]),
        ("/ some cpu 1s", &["1s", "WAITED/WINDOW"]),
        ("/ some cpu 1s/1m", &["a window is"]),
        ("/ some cpu", &["some cpu", "not something to watch for"]),
    ];
    for (line, words) in cases {
        t.run(&format!("cg watch {line}")).fails(1, "cg", words);
    }
    t.run("cg watch / populated=0")
        .fails(1, "cg", &["cgroup.events"])
        .hint("the root group");
}

#[test]
fn notes_say_what_became_of_a_value() {
    needs!(root, controller("memory"));
    let t = Sandbox::new("cg");
    let g = t.id();
    t.run(&format!("cg create -g memory {g} -r memory.max=1000000"))
        .ok()
        .err_has("the kernel made 999424 of 1000000");
    t.run(&format!(
        "cg get --human {g} memory.max; cg ls {g}; cg rm {g}"
    ))
    .ok()
    .out_has("976K\n")
    .out_has("memory.max=976K");
}

#[test]
fn cpu_time_is_counted_whoever_holds_it() {
    needs!(root, controller("cpu"));
    let t = Sandbox::new("cg");
    let seen = t.run("cg top --once -d 0.2 --json | head -2 | tail -1");
    seen.ok();
    assert!(!seen.stdout.contains("\"cpu_usec\": null"), "{seen}");
    assert!(!seen.stdout.contains("\"cpu_percent\": null"), "{seen}");
}

#[test]
fn a_path_leads_to_its_whole_disk() {
    needs!(root);
    let t = Sandbox::new("cg");
    let disk = t.run("cg io-dev /").ok().stdout.trim().to_owned();
    assert!(
        std::path::Path::new("/sys/dev/block").join(&disk).exists(),
        "{disk}"
    );
    t.run("cg io-dev /proc")
        .fails(1, "cg", &["/proc", "no disk"]);
    t.run("cg io-dev /nowhere")
        .fails(1, "cg", &["/nowhere", "No such file"]);
}

#[test]
fn bad_input_is_refused() {
    needs!(root, controller("pids"));
    let t = Sandbox::new("cg");
    let cases: [(&str, &[&str]); 8] = [
        ("get ../..", &["../..", "not the path"]),
        ("rm nosuch", &["/nosuch", "no such cgroup"]),
        ("rm /", &["root"]),
        ("set / memory.max", &["NAME=VALUE"]),
        ("create x/../y", &["not the path"]),
        ("create -g nosuch x", &["nosuch", "holds the controller"]),
        ("freeze nosuch", &["no such cgroup"]),
        ("frobnicate", &["unknown command"]),
    ];
    for (line, words) in cases {
        t.run(&format!("cg {line}")).fails(1, "cg", words);
    }
}
