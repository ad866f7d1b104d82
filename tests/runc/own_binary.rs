//! The host's own binary is not to be had from inside a container (CVE-2019-5736), whichever way a program gets at it.

use super::{bundle, with};
use crate::kit::Sandbox;

/// Makes `runc` a file that nobody else executes, its copy `victim`, which is the container's own, and one to compare with.
const FILES: &str = "mkdir -p bin; cp $(readlink -f $(which isobox)) bin/runc; cp bin/runc r/victim; cp bin/runc same";

fn own(t: &Sandbox) -> String {
    format!("{}/bin/runc", t.work().display())
}

/// T-EX-01: a program that leads to what executes it gets a handle that it cannot write through. The control is a file of
/// the container's own, which is only busy.
#[test]
fn the_program_may_lead_to_our_binary() {
    needs!(root, busybox, controller("memory"));
    let t = Sandbox::new("runc");
    t.root("r");
    t.write("r/entry", "#!/proc/self/exe pid1\n")
        .write(
            "r/aim",
            "#!/bin/sh\n(echo x >/proc/1/exe) 2>&1 | sed 's/.*: //'\n",
        )
        .run(&format!(
            "{FILES}; chmod 755 r/entry r/aim; ln -s /proc/self/exe r/link"
        ))
        .ok();
    for (args, answer) in [
        (
            r#"["/proc/self/exe", "pid1", "/aim"]"#,
            "Read-only file system\n",
        ),
        (r#"["/link", "pid1", "/aim"]"#, "Read-only file system\n"),
        (r#"["/victim", "pid1", "/aim"]"#, "Text file busy\n"),
    ] {
        bundle(&t, args, "");
        with(&t, &own(&t), "$R run -b b c; cmp bin/runc same")
            .ok()
            .out(answer);
        let created = "$R create -b b c <&- >out 2>&1; $R start c; while $R state c | grep -q running; do sleep 0.05; done; $R delete c; cat out; cmp bin/runc same";
        with(&t, &own(&t), created).ok().out(answer);
    }
    // As an interpreter it finds its script behind its own words, and executes that: for ever, were it not for the depth.
    bundle(&t, r#"["/entry"]"#, "");
    with(
        &t,
        &own(&t),
        "timeout 1 $R run -b b c >out 2>&1; $R delete -f c; cmp bin/runc same",
    )
    .ok()
    .out("");
}

/// The same for who waits until the binary is executed no more, and writes to what was opened meanwhile.
#[test]
fn what_exec_brings_in_cannot_be_overwritten_later() {
    needs!(root, busybox, controller("memory"));
    let t = Sandbox::new("runc");
    bundle(&t, r#"["sleep", "1000"]"#, "");
    t.write(
        "r/aim",
        "#!/bin/sh
         for p in /proc/[1-9]*; do
             grep -q \"^$1$\" $p/comm 2>/dev/null || continue
             { while readlink $p/exe >/tmp/it; do usleep 10000; done; echo overwritten >/proc/self/fd/3; } 3<$p/exe
         done 2>&1 | sed 's/.*: //'\n",
    )
    .run(&format!("{FILES}; chmod 755 r/aim"))
    .ok();
    with(
        &t,
        &own(&t),
        "$R create -b b c <&- >out 2>&1; $R start c
         for program in /proc/self/exe /victim; do
             $R exec -d c $program pid1 sleep 0.5 <&- >out 2>&1; cat out; $R exec c /aim ${program##*/}
         done; $R delete -f c; cmp bin/runc same; cat r/victim",
    )
    .ok()
    .out("Read-only file system\noverwritten\n");
}
