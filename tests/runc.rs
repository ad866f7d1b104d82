//! runc, as the programs that call it see it: statuses, sentences, files, and what is left. Debian's runc is the oracle
//! where its version does the same.
//!
//! Every container has an absolute control group below one that bears the sandbox's name, so that what is left of it
//! is found.

#[path = "runc/bad_input.rs"]
mod bad_input;
#[path = "runc/own_binary.rs"]
mod own_binary;
#[path = "runc/rootless.rs"]
mod rootless;
#[path = "runc/sockets.rs"]
mod sockets;
#[path = "runc/supervisor.rs"]
mod supervisor;

use crate::kit::{Ran, Sandbox};

/// A bundle `b` around busybox, whose program is `args` (a JSON array), with `more` top-level fields.
pub(crate) fn bundle(t: &Sandbox, args: &str, more: &str) {
    if !t.work().join("r").exists() {
        t.root("r");
    }
    let root = t.work().join("r");
    t.write(
        "b/config.json",
        &config(t, &root.to_string_lossy(), args, more),
    );
}

fn config(t: &Sandbox, root: &str, args: &str, more: &str) -> String {
    let caps = r#"["CAP_KILL", "CAP_NET_BIND_SERVICE"]"#;
    format!(
        r#"{{"ociVersion": "1.0.2",
  "process": {{"terminal": false, "user": {{"uid": 0, "gid": 0}}, "args": {args}, "cwd": "/",
    "env": ["PATH=/bin", "TERM=xterm"],
    "capabilities": {{"bounding": {caps}, "effective": {caps}, "permitted": {caps}}},
    "noNewPrivileges": true}},
  "root": {{"path": "{root}"}},
  "hostname": "box",
  "mounts": [
    {{"destination": "/proc", "type": "proc", "source": "proc"}},
    {{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]}},
    {{"destination": "/dev/pts", "type": "devpts", "source": "devpts",
      "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]}}],
  "linux": {{"cgroupsPath": "/{}/c", "namespaces":
    [{{"type": "pid"}}, {{"type": "network"}}, {{"type": "ipc"}}, {{"type": "uts"}}, {{"type": "mount"}}]}}{more}}}"#,
        t.id()
    )
}

/// A line with `R` as the runtime, our own or another, on containers of the sandbox's own, whose groups are below `G`.
pub(crate) fn with<'t>(t: &'t Sandbox, runtime: &str, line: &str) -> Ran<'t> {
    // Both count in a memory group of the sandbox's own.
    let work = t.work().display().to_string();
    let line = format!(
        "R='{runtime} --root {work}/k'; W={work}; G={}; mkdir -p k\n{line}",
        t.id()
    );
    t.counted("", &line).run()
}

/// What runs may differ in: numbers of processes and moments.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(|c: char| c.is_whitespace() || ",:[]{}\"=".contains(c)) {
        let (body, end) = word.split_at(word.len() - word.chars().last().map_or(0, char::len_utf8));
        let number = !body.is_empty() && body.bytes().all(|b| b.is_ascii_digit()) && body != "0";
        out.push_str(if number { "N" } else { body });
        out.push_str(end);
    }
    out
}

/// Every operation in every state: statuses and sentences are those of Debian's runc.
#[test]
fn each_operation_in_each_state_answers_as_runc_does() {
    needs!(
        root,
        busybox,
        host("runc"),
        controller("memory"),
        controller("freezer")
    );
    let t = Sandbox::new("runc");
    bundle(&t, r#"["sleep", "1000"]"#, "");
    let each = |states: &str| {
        format!(
            "say() {{ echo \"$@\"; \"$@\" 2>&1 | sed 's/^time=\"[^\"]*\" //; s/ hint=.*//'; }}
             verbs() {{ for v in $2; do echo \"- $v in $1\"; $R $v c >out 2>&1; echo $?
                 sed 's/^time=\"[^\"]*\" //; s/ hint=.*//; s/\"created\": \".*\"/CREATED/; s/\"pid\": [1-9][0-9]*/PID/; s/\"ociVersion\": \"[^\"]*/VERSION/' out; echo; done; }}
             {states}"
        )
    };
    let line = each(
        "verbs absent 'start pause resume state kill delete'
         $R create -b b c; echo $?; $R create -b b c 2>&1 | sed 's/.*msg=//'; ls $W/k
         $R pause c; verbs 'paused before its start' 'start pause state'; $R resume c
         $R list -q; $R state c | grep status; $R start c; $R state c | grep status
         for v in start resume delete; do $R $v c 2>&1 | sed 's/.*msg=//'; done
         $R pause c; $R state c | grep status; $R resume c
         for s in FOO 65; do $R kill c $s 2>&1 | sed 's/.*msg=//'; done; $R kill c ''; $R state c | grep status; $R kill c KILL; sleep 0.5
         for v in start pause resume state kill; do echo \"- $v, stopped\"; $R $v c >out 2>&1; echo $?
             sed 's/.*msg=//; s/\"created\": \".*\"/CREATED/; s/\"ociVersion\": \"[^\"]*/VERSION/' out; done
         $R kill -a c KILL; echo $?; $R delete c; echo $?; $R delete c 2>&1 | sed 's/.*msg=//'; $R delete -f c; echo $?
         ls -A $W/k | wc -l",
    );
    let ours = with(&t, "runc", &line);
    // Theirs does not take its groups' parents away.
    let theirs = with(
        &t,
        "/usr/sbin/runc",
        &format!(
            "{line}\nfind /sys/fs/cgroup -mindepth 2 -depth -type d -path \"*/{}\" -not -path '*/memory/*' -exec rmdir {{}} + 2>/dev/null; true",
            t.id()
        ),
    );
    assert_eq!(plain(&ours.stdout), plain(&theirs.stdout), "{ours}{theirs}");
}

/// Case 136, 140, 171: script 24's lifecycle.
#[test]
fn a_container_is_created_started_listed_and_gone() {
    needs!(root, busybox, controller("memory"));
    let t = Sandbox::new("runc");
    bundle(
        &t,
        r#"["sh", "-c", "hostname; echo started > /tmp/it; exec sleep 1000"]"#,
        "",
    );
    with(
        &t,
        "runc",
        "$R create -b b --pid-file pid c >out 2>&1; echo $?; $R list | sed -n '2s/  */ /gp' | cut -d' ' -f1,3,4
         test -e r/tmp/it || echo not yet; tr '\\0' ' ' </proc/$(cat pid)/cmdline; echo
         test $($R state c | sed -n 's/.*\"pid\": \\([0-9]*\\).*/\\1/p') = $(cat pid) && echo same
         $R start c; while ! grep -q sleep /proc/$(cat pid)/comm; do sleep 0.05; done; cat r/tmp/it
         $R kill c KILL; while $R state c | grep -q running; do sleep 0.05; done; $R delete c; $R list -q; ls k | wc -l; cat out",
    )
    .ok()
    .out_in_order(&["0\nc created ", "not yet\n", "same\nstarted\n0\nbox\n"]);
}

/// Case 136: the status of the program is that of run, and nothing is left.
#[test]
fn run_ends_as_its_program_and_leaves_nothing() {
    needs!(root, busybox, controller("memory"));
    let t = Sandbox::new("runc");
    for (args, status) in [
        (r#"["true"]"#, 0),
        (r#"["sh", "-c", "exit 7"]"#, 7),
        (r#"["sh", "-c", "sh -c 'kill -9 $$'; exit $?"]"#, 137),
        (r#"["nosuch"]"#, 1),
    ] {
        bundle(&t, args, "");
        with(&t, "runc", "$R run -b b c; echo $?; ls k; $R list -q")
            .ok()
            .out(&format!("{status}\n"));
    }
    bundle(&t, r#"["sleep", "1000"]"#, "");
    with(
        &t,
        "runc",
        "$R run -d -b b c; $R state c | grep status; $R delete -f c; $R run --keep -b b c & while ! $R state c 2>/dev/null | grep -q running; do sleep 0.05; done
         $R kill c KILL; wait $!; echo $?; $R state c | grep status; $R delete c",
    )
    .ok()
    .out("  \"status\": \"running\",\n137\n  \"status\": \"stopped\",\n");
}

/// F-01: whenever create is killed, `delete -f` takes all of it away, and the name can be used again.
#[test]
fn a_create_that_is_killed_is_taken_away() {
    needs!(root, busybox, controller("memory"));
    let t = Sandbox::new("runc");
    bundle(&t, r#"["sleep", "1000"]"#, "");
    with(
        &t,
        "runc",
        "for n in $(seq 1 40); do
             $R create -b b c >/dev/null 2>&1 & busybox usleep $((n * 500)); kill -9 $! 2>/dev/null; wait $! 2>/dev/null
             $R delete -f c || echo delete: $?; ls -A k
         done; $R create -b b c; $R start c; $R delete -f c",
    )
    .ok()
    .out("");
}

/// Case 142: exec's statuses, ids, directory, environment and refusals are those of Debian's runc.
#[test]
fn exec_answers_as_runc_does() {
    needs!(
        root,
        busybox,
        host("runc"),
        controller("memory"),
        controller("freezer")
    );
    let t = Sandbox::new("runc");
    bundle(&t, r#"["sleep", "1000"]"#, "");
    t.write(
        "p.json",
        r#"{"terminal": false, "user": {"uid": 5, "gid": 6, "additionalGids": [7]}, "args": ["sh", "-c", "id; pwd; env | sort"],
            "cwd": "/tmp", "env": ["PATH=/bin", "X=y"]}"#,
    );
    let line = "
        say() { echo \"- ${*#*exec}\"; \"$@\" >out 2>&1 </dev/null; echo $?; sed 's/.*msg=//; s/ hint=.*//' out; }
        $R create -b b c; say $R exec c true; $R start c
        say $R exec c sh -c 'exit 3'; say $R exec c sh -c 'kill -9 $$'; say $R exec c nosuch; say $R exec c /etc; say $R exec c
        say $R exec -u 1 c id -u; say $R exec -u 1:2 c id; say $R exec -g 9 -u 1:2 c id -G; say $R exec -u foo c true
        say $R exec --cwd /tmp -e A=b c sh -c 'pwd; echo $A $HOME'; say $R exec -e FOO c true; say $R exec -p p.json c
        say $R exec -c CAP_NET_RAW c grep Cap /proc/self/status; say $R exec c grep -e Cap -e NoNew /proc/self/status
        say $R exec c sh -c 'ls /proc/self/fd | wc -l; cat /proc/self/cgroup | grep -v systemd; hostname; readlink /proc/1/ns/pid'
        $R exec -e X=1 -e TERM=new -e X=2 c env | sort
        mknod r/null c 1 3; chmod 666 r/null; say $R exec c sh -c 'echo >/null && echo a device'; rm r/null
        say $R exec -d --pid-file pid c sleep 9; tr '\\0' ' ' </proc/$(cat pid)/cmdline; echo; $R ps -f json c | tr ',' '\\n' | wc -l
        $R ps c | wc -l; $R ps c -o pid,comm | tail -n +2 | sed 's/.* //'
        $R pause c; say $R exec c true; $R resume c
        $R delete -f c; say $R exec c true";
    let ours = with(&t, "runc", line);
    let theirs = with(&t, "/usr/sbin/runc", &format!("{line}\n{}", sweep(&t)));
    let same_namespace = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with("pid:["));
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        same_namespace(&ours.stdout),
        same_namespace(&theirs.stdout),
        "{ours}{theirs}"
    );
}

/// Takes away the groups above a container's, which runc leaves.
fn sweep(t: &Sandbox) -> String {
    format!(
        "find /sys/fs/cgroup -mindepth 2 -depth -type d -path '*/{}' -not -path '*/memory/*' -exec rmdir {{}} + 2>/dev/null; true",
        t.id()
    )
}

/// Case 146: limits are changed while the program runs, and what is used is told in runc's keys.
#[test]
fn limits_change_and_use_is_told() {
    needs!(
        root,
        busybox,
        host("runc"),
        controller("memory"),
        controller("pids")
    );
    let t = Sandbox::new("runc");
    bundle(&t, r#"["sleep", "1000"]"#, "");
    let keys = "sed 's/:[^{}\\[]*\\([,}]\\)/\\1/g; s/\\[[^]]*\\]//g; s/\"raw\":{[^}]*}/RAW/; s/\"blkio\":{[^}]*}/IO/' | tr ',' '\\n' | grep -v -e max -e usage -e limit -e throttle";
    let line = format!(
        "$R create -b b c; $R start c; $R update --pids-limit 20 --memory 100M c; echo $?
         $R events --stats c | {keys}; echo '{{\"memory\": {{\"limit\": 52428800}}}}' | $R update -r - c; echo $?
         cd /sys/fs/cgroup; cat pids/{0}/c/pids.max memory/{0}/c/memory.limit_in_bytes; cd $W; $R delete -f c",
        t.id()
    );
    let ours = with(&t, "runc", &line);
    let theirs = with(&t, "/usr/sbin/runc", &format!("{line}\n{}", sweep(&t)));
    assert_eq!(ours.stdout, theirs.stdout, "{ours}{theirs}");
    ours.out_has("20\n52428800\n");
}

/// Case 134: what `runc spec` writes is Debian's, but for the version and capabilities that could not be ambient.
#[test]
fn the_spec_to_begin_with_is_that_of_runc() {
    needs!(root, busybox, host("runc"), host("jq"));
    let t = Sandbox::new("runc");
    let rest = "del(.ociVersion, .process.capabilities.ambient) | .process.capabilities |= map_values(sort)";
    for option in ["", "--rootless"] {
        t.run(&format!(
            "rm -rf o t; mkdir o t; runc spec {option} -b o; /usr/sbin/runc spec {option} -b t
             for d in o t; do jq -S '{rest}' $d/config.json >$d/rest; done; cmp o/rest t/rest && jq -r .ociVersion t/config.json; runc spec -b o; echo $?"
        ))
        .err_has("File config.json exists. Remove it first")
        .out("1.0.2-dev\n1\n");
    }
    t.root("rootfs");
    t.run("runc spec && sed -i 's/\"terminal\": true/\"terminal\": false/; s/\"sh\"/\"id\"/' config.json && runc --root $PWD/k run x")
        .ok()
        .out("uid=0 gid=0\n");
}

/// What would be done is told and not done, or told while it is done.
#[test]
fn what_runc_does_can_be_told() {
    needs!(root, busybox, controller("memory"), host("jq"));
    let t = Sandbox::new("runc");
    bundle(&t, r#"["echo", "hello"]"#, "");
    let ran = with(
        &t,
        "runc",
        "$R run --explain -b b c | grep -c 'pivot_root(\".'; $R create --explain=json -b b c | jq -r '.[].call' | grep -c 'pivot_root(\".'; ls k
         for v in run create; do $R $v --explain=run -b b c 2>said; grep -c 'pivot_root(\".' said; [ $(grep -c 'result   done' said) -gt 20 ] && echo done; done
         $R exec --explain c echo in | grep -c 'execve(\"echo\"'; $R exec --explain=run c echo in 2>said; grep -c 'execve(\"echo\"' said
         $R delete -f c; ls k",
    );
    ran.ok().out("1\n1\nhello\n1\ndone\n1\ndone\n1\nin\n1\n");
}

/// Case 135, 146: what there is is told; what is not there is refused.
#[test]
fn features_versions_and_what_is_not_there() {
    needs!(root, busybox, host("jq"));
    let t = Sandbox::new("runc");
    t.run("runc features").ok().out_in_order(&[
        "\"ociVersionMin\": \"1.0.0\"",
        "\"prestart\"",
        "\"rbind\"",
        "\"namespaces\": [",
        "\"CAP_CHOWN\"",
        "\"SCMP_ACT_NOTIFY\"",
    ]);
    t.run("runc --version; runc -v | wc -l")
        .ok()
        .out_in_order(&["runc version 1.", "commit: ", "spec: 1.", "3\n"]);
    for verb in ["checkpoint --image-path x c", "restore --bundle b c"] {
        t.run(&format!("runc {verb}"))
            .status(1)
            .err_has("is not supported");
    }
    // Only who makes a container asks systemd (tests/vm/cases/systemd.sh); as podman and containerd call it, who read the log.
    t.run("runc --systemd-cgroup state x")
        .status(1)
        .err_has("container does not exist");
    t.run("mkdir -p b/rootfs; runc spec -b b; sed -i s/true/false/ b/config.json; runc --systemd-cgroup --log log --log-format=json run --bundle b c 2>/dev/null; jq -r .msg,.hint log; rm -r log b")
        .out_in_order(&["the systemd cgroup manager needs cgroup v2", "native.cgroupdriver=cgroupfs"]);
    t.run("runc --log log --log-format json state x; cat log")
        .err("container does not exist\n")
        .out_has("\"level\":\"error\",\"msg\":\"container does not exist\",\"time\":\"");
    t.run("runc create")
        .status(1)
        .err_has(r#"runc: \"create\" requires exactly 1 argument(s)"#);
    t.run("runc create ../x")
        .status(1)
        .err_has("runc create failed: ");
}

/// I5: what a process of ours in a container was executed from cannot be written to there, be it waiting or joining.
#[test]
fn our_binary_cannot_be_written_through_a_process_in_a_container() {
    needs!(root, busybox, controller("memory"));
    let t = Sandbox::new("runc");
    bundle(&t, r#"["sleep", "1000"]"#, "");
    // A copy, which nobody else runs: what runs is busy anyhow. Who has it open for reading can open it anew when it
    // has ended.
    t.run("cp $(readlink -f $(command -v runc)) own; cp own copy")
        .ok();
    let write = "(echo x >>/proc/self/fd/9) 2>&1 | sed 's/.*: //'";
    with(
        &t,
        "./own runc",
        &format!(
            "$R create -b b --pid-file pid c; exec 9</proc/$(cat pid)/exe; $R delete -f c; {write}"
        ),
    )
    .ok()
    .out("Read-only file system\n");
    // The control: who runs from the file itself can be written through.
    t.run(&format!(
        "./copy unshare --fork --kill-child sleep 5 & sleep 0.5; exec 9</proc/$!/exe; kill -9 $!; wait $! 2>/dev/null; sleep 0.2; {write}; tail -c 2 copy"
    ))
    .ok()
    .out("x\n");
}

/// T-EX-02, T-EX-14: no descriptor and no group leads out.
#[test]
fn neither_descriptors_nor_groups_lead_out() {
    needs!(root, busybox, controller("memory"));
    let t = Sandbox::new("runc");
    bundle(&t, r#"["sh", "-c", "ls /proc/self/fd | wc -l"]"#, "");
    with(
        &t,
        "runc",
        "exec 3</dev/null 4<&3 5<&3 6<&3 7</ 8</etc; $R run -b b c; $R run --preserve-fds 5 -b b c",
    )
    .ok()
    .out("4\n9\n");
    bundle(&t, r#"["sleep", "1000"]"#, "");
    with(
        &t,
        "runc",
        "exec 7</; $R create -b b c; $R start c
         for d in /proc/self/fd/7 /proc/self/fd/7/etc; do $R exec --cwd $d c true; echo $?; done
         for g in .. ../x a/../../x; do $R exec --cgroup $g c true 2>&1 | grep -c 'not a group below'; done; $R delete -f c",
    )
    .ok()
    .out("255\n255\n1\n1\n1\n");
}

/// Cases 161, F-19: hooks run once each, in order, with the state of the moment; one that fails undoes all.
#[test]
fn hooks_see_the_state_of_their_moment() {
    needs!(root, busybox, controller("memory"));
    let t = Sandbox::new("runc");
    let hook = |name: &str| {
        format!(
            r#""{name}": [{{"path": "/bin/sh", "args": ["sh", "-c", "echo {name} $(sed 's/.*\"status\":\"\\([a-z]*\\)\".*/\\1/') >> {}/log"]}}]"#,
            t.work().display()
        )
    };
    let names = ["prestart", "createRuntime", "poststart", "poststop"];
    let hooks: Vec<String> = names.iter().map(|name| hook(name)).collect();
    bundle(
        &t,
        r#"["sleep", "1000"]"#,
        &format!(r#", "hooks": {{{}}}"#, hooks.join(", ")),
    );
    with(
        &t,
        "runc",
        "$R create -b b c; cat log; echo -; $R start c; tail -n +3 log; echo -; $R delete -f c; tail -n +4 log",
    )
    .ok()
    .out("prestart creating\ncreateRuntime creating\n-\npoststart running\n-\npoststop stopped\n");
    bundle(
        &t,
        r#"["sleep", "1000"]"#,
        r#", "hooks": {"createRuntime": [{"path": "/bin/false"}]}"#,
    );
    with(&t, "runc", "$R create -b b c; echo $?; ls k; $R list -q")
        .ok()
        .out("1\n")
        .err_has("hook");
    // What hooks did before a start that came to nothing is left to those that follow the end, as with runc.
    for (args, failing) in [
        (r#"["true"]"#, "createRuntime"),
        (r#"["true"]"#, "createContainer"),
        (r#"["nosuch"]"#, "nothing"),
    ] {
        let more = format!(
            r#", "hooks": {{{}, {}, "{failing}": [{{"path": "/bin/false"}}]}}"#,
            hook("prestart"),
            hook("poststop")
        );
        bundle(&t, args, &more);
        for line in ["$R run -b b c", "$R create -b b c"] {
            with(&t, "runc", &format!("rm -f log; {line}; cat log; ls k"))
                .ok()
                .out("prestart creating\npoststop stopped\n");
        }
    }
    // After the start it is the end of the container, after the end it is only told; as with runc the rest goes on.
    for (kind, want) in [
        ("poststart", "1\nstopped\n0\n1\n"),
        ("poststop", "0\nrunning\n0\n137\n"),
    ] {
        let log = t.work().join("log").display().to_string();
        bundle(
            &t,
            r#"["sleep", "1000"]"#,
            &format!(
                r#", "hooks": {{"{kind}": [{{"path": "/bin/false"}}, {{"path": "/bin/sh", "args": ["sh", "-c", "echo {kind} >>{log}"]}}]}}"#
            ),
        );
        let ran = with(
            &t,
            "runc",
            "rm -f log; $R create -b b c; $R start c; echo $?; busybox usleep 200000; $R state c | grep -o 'stopped\\|running'; $R delete -f c; echo $?
             $R run -b b c & n=0; until $R state c 2>/dev/null | grep -q running || [ $((n += 1)) = 20 ]; do busybox usleep 20000; done
             $R kill c KILL 2>/dev/null; wait $!; echo $?; ls k; cat log 2>/dev/null",
        );
        let second = if kind == "poststop" {
            "poststop\npoststop\n"
        } else {
            ""
        };
        ran.out(&format!("{want}{second}"))
            .err_has(&format!("error running {kind} hook #0"));
    }
}

/// G30: a root in which nothing is mounted is enough, whatever is asked of its process.
#[test]
fn a_root_without_proc_is_enough() {
    needs!(root, busybox, controller("memory"));
    let t = Sandbox::new("runc");
    bundle(&t, r#"["sleep", "1000"]"#, "");
    with(
        &t,
        "runc",
        "container edit b mounts- process.oomScoreAdj=321; $R create --pid-file p -b b c; $R start c; cat /proc/$(cat p)/oom_score_adj
         $R exec c sh -c 'echo joined; ls /proc'; $R delete -f c",
    )
    .ok()
    .out("321\njoined\n");
}

/// A program that joins runs on the CPUs that `process` says; a limit below what is used is refused where that was asked.
#[test]
fn programs_that_join_keep_to_their_cpus() {
    needs!(root, busybox, controller("memory"));
    let t = Sandbox::new("runc");
    bundle(&t, r#"["sleep", "1000"]"#, "");
    t.run("sed 's/\"noNewPrivileges\"/\"execCPUAffinity\": {\"initial\": \"0\"}, &/' b/config.json >c && mv c b/config.json").ok();
    let process = |affinity: &str| {
        format!(
            r#"{{"user": {{"uid": 0, "gid": 0}}, "cwd": "/", "env": ["PATH=/bin"], "args": ["grep", "Cpus_allowed_list", "/proc/self/status"], "execCPUAffinity": {{{affinity}}}}}"#
        )
    };
    t.write("final", &process(r#""initial": "0", "final": "1""#))
        .write("none", &process(""))
        .write("bad", &process(r#""final": "4000""#))
        .write(
            "resources",
            r#"{"memory": {"limit": 4096, "checkBeforeUpdate": true}}"#,
        );
    with(
        &t,
        "runc",
        "$R create -b b c; $R start c; L='grep Cpus_allowed_list /proc/self/status'; A=$($L)
         $R exec c $L | cut -f2; $R exec -p final c | cut -f2; test \"$($R exec -p none c)\" = \"$A\" && echo all; $R exec -p bad c; echo $?
         $R update -r resources c; echo $?; $R delete -f c",
    )
    .out("0\n1\nall\n255\n1\n")
    .err_has("process.execCPUAffinity.final: no such value: 4000")
    .err_has("rejecting memory limit 4096 <= usage ");
}
