//! runc, as the programs that call it see it: statuses, sentences, files, and what is left. Debian's runc is the oracle
//! where its version does the same.
//!
//! Every container has an absolute control group below one that bears the sandbox's name, so that what is left of it
//! is found.

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

/// A line with `R` as the runtime, our own or another, on containers of the sandbox's own.
fn with<'t>(t: &'t Sandbox, runtime: &str, line: &str) -> Ran<'t> {
    // Both count in a memory group of the sandbox's own.
    let line = format!(
        "R='{runtime} --root {}/k'\nW={}; mkdir -p k\n{line}",
        t.work().display(),
        t.work().display(),
    );
    t.write("line", &line);
    t.run(&format!("cgexec --rm -g memory:{} sh line", t.id()))
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
         $R kill c FOO 2>&1 | sed 's/.*msg=//'; $R kill c; $R state c | grep status; $R kill c KILL; sleep 0.5
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
