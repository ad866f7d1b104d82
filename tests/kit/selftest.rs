//! Tests of the kit itself: an oracle that cannot report a leak would bless everything.

use super::{Ran, Sandbox};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// The message a piece of test code fails with.
fn failure(test: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(test)).expect_err("it was to fail");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

/// What a sandbox reports at its end after this line ran in it.
fn leak_of(line: &str) -> String {
    failure(|| {
        let t = Sandbox::new("leaky");
        t.run(line).ok();
    })
}

#[test]
fn sandbox_is_silent_about_a_clean_test() {
    let t = Sandbox::new("clean");
    t.run("echo hello; echo there >&2; exit 3")
        .status(3)
        .out("hello\n")
        .err("there\n")
        .untouched();
    t.run("kill -9 $$").status(137);
    t.cmd("cat").stdin("from here").run().ok().out("from here");
}

#[test]
fn oracle_sees_a_mount() {
    needs!(root);
    assert!(leak_of("mkdir m && mount -t tmpfs leaked m").contains("+ mount: "));
}

#[test]
fn oracle_sees_a_link_a_hostname_and_shared_memory() {
    needs!(root, host("ip"), host("ipcmk"));
    let leak =
        leak_of("ip link add leaked type veth peer name peer && hostname leaked && ipcmk -M 64");
    for topic in ["+ link: leaked", "+ hostname: leaked", "+ shared memory: "] {
        assert!(leak.contains(topic), "{leak}");
    }
}

#[test]
fn oracle_sees_and_ends_a_process() {
    let leak = leak_of("sleep 1000 & echo started");
    assert!(
        leak.contains("+ process: ") && leak.contains("sleep 1000"),
        "{leak}"
    );
}

#[test]
fn oracle_sees_a_file_where_none_may_be() {
    let message = failure(|| {
        let t = Sandbox::new("files");
        t.run("echo x > new").untouched();
    });
    assert!(
        message.contains("+ file: ") && message.contains("work/new"),
        "{message}"
    );
}

#[test]
fn a_command_past_its_time_is_killed() {
    let message = failure(|| {
        let t = Sandbox::new("slow");
        let _ = t
            .cmd("echo begun; sleep 1000")
            .limit(Duration::from_millis(300))
            .run();
    });
    assert!(
        message.contains("still running") && message.contains("begun"),
        "{message}"
    );
}

/// The message an assertion on this line's result fails with.
fn complaint(line: &str, assertion: impl FnOnce(&Ran<'_>)) -> String {
    let t = Sandbox::new("wrong");
    let ran = t.run(line);
    failure(|| assertion(&ran))
}

#[test]
fn assertions_can_fail() {
    type Assertion = fn(&Ran<'_>);
    const LOUD: &str = "echo out; echo 'tool: cannot: No such file or directory' >&2; exit 1";
    const QUIET: &str = "echo 'tool: cannot: No such file or directory' >&2; exit 1";
    const TWICE: &str = "echo 'tool: a' >&2; echo 'tool: b' >&2; exit 1";
    let cases: [(&str, Assertion, &str); 9] = [
        (LOUD, |ran| _ = ran.ok(), "status is not 0"),
        (LOUD, |ran| _ = ran.out("other\n"), "stdout is not"),
        (
            LOUD,
            |ran| _ = ran.out_in_order(&["t", "o"]),
            "not in the order",
        ),
        (
            LOUD,
            |ran| _ = ran.fails(1, "tool", &["No such"]),
            "stdout is not",
        ),
        (
            QUIET,
            |ran| _ = ran.fails(1, "other", &[]),
            "is not other's",
        ),
        (QUIET, |ran| _ = ran.fails(1, "tool", &["EPERM"]), "has no"),
        (
            QUIET,
            |ran| _ = ran.fails(2, "tool", &[]),
            "status is not 2",
        ),
        (QUIET, |ran| _ = ran.hint("x"), "no hint"),
        (TWICE, |ran| _ = ran.fails(1, "tool", &[]), "2 complaints"),
    ];
    for (line, assertion, want) in cases {
        let message = complaint(line, assertion);
        assert!(message.contains(want), "{message}");
    }
    Sandbox::new("right")
        .run(QUIET)
        .fails(1, "tool", &["cannot", "No such file or directory"])
        .no_hint();
}
