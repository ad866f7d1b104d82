//! The host's own binary is not to be had from inside a container (CVE-2019-5736), whichever way a program gets at it.

use super::{bundle, with};
use crate::kit::Sandbox;

/// Makes `runc` a file that nobody else executes, its copy `victim`, which is the container's own, and one to compare with.
const FILES: &str = "mkdir -p bin; cp $(readlink -f $(which isobox)) bin/runc; cp bin/runc r/victim; cp bin/runc same
    stat -c %d:%i bin/runc r/victim >r/files";

/// Writes to the file of process `$1` and says what comes of it: `busy` is one of those files, which could be written to as
/// soon as nobody executes it; a copy in memory is nobody's.
const AIM: &str = "#!/bin/sh
    said=$({ echo x >/proc/$1/exe; } 2>&1)
    case $said in
        *Read-only*) echo read-only ;;
        *busy*) grep -qx $(stat -Lc %d:%i /proc/$1/exe) /files && echo busy || echo copy ;;
        *) echo \"${said:-overwritten}\" ;;
    esac\n";

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
        .write("r/aim", AIM)
        .run(&format!(
            "{FILES}; chmod 755 r/entry r/aim; ln -s /proc/self/exe r/link"
        ))
        .ok();
    // Without company nobody sees what `run` was executed from, and the program that leads to it goes on from a copy.
    for (program, answers) in [
        ("/proc/self/exe", ["copy\n", "read-only\n"]),
        ("/link", ["copy\n", "read-only\n"]),
        ("/victim", ["busy\n"; 2]),
    ] {
        bundle(&t, &format!(r#"["{program}", "pid1", "/aim", "1"]"#), "");
        with(&t, &own(&t), "$R run -b b c; cmp bin/runc same")
            .ok()
            .out(answers[0]);
        let created = "$R create -b b c <&- >out 2>&1; $R start c; while $R state c | grep -q running; do sleep 0.05; done; $R delete c; cat out; cmp bin/runc same";
        with(&t, &own(&t), created).ok().out(answers[1]);
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

/// Where others may be before the program is, or are all the time, the process outside has the protected handle too.
#[test]
fn who_is_there_already_finds_nothing_to_write_to() {
    needs!(root, busybox, controller("memory"));
    let t = Sandbox::new("runc");
    t.root("r");
    t.write("r/aim", AIM)
        .run(&format!(
            "{FILES}; ln bin/runc bin/container; chmod 755 r/aim"
        ))
        .ok();
    let capable =
        r#"sed -i 's/"CAP_KILL"/"CAP_KILL", "CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"/g' b/config.json"#;
    let runs = |hows: &str| {
        let line = format!(
            "for how in {hows}; do
                 case $how in $R*) id=c;; *) id=;; esac
                 $how --bundle b $id <&- >>out 2>&1
                 while $R state c 2>&1 | grep -q running; do sleep 0.05; done; $R delete -f c
             done; cat out r/said; rm out r/said; cmp bin/runc same"
        );
        with(&t, &own(&t), &line)
    };
    let hook = r#", "hooks": {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "/aim 1 >>/said"]}]}"#;
    bundle(&t, r#"["true"]"#, hook);
    t.run(capable).ok();
    runs("\"$R run\" \"$R run -d\" \"$W/bin/container run\"")
        .ok()
        .out(&"read-only\n".repeat(3));
    // In a PID namespace that is not new the process outside is the parent of the one inside.
    bundle(&t, r#"["sh", "-c", "/aim $PPID >>/said"]"#, "");
    t.run(&format!(
        "{capable}; sed -i 's/{{\"type\": \"pid\"}}, *//' b/config.json"
    ))
    .ok();
    runs("\"$R run\" \"$W/bin/container run\"")
        .ok()
        .out(&"read-only\n".repeat(2));
}
