//! unshare and what it cannot do: the right status, one line, nothing left behind.

use crate::kit::Sandbox;

/// Bad input: the right status, one line, nothing left behind. As root and as an ordinary user.
#[test]
fn bad_input_is_refused_in_one_line() {
    let t = Sandbox::new("unshare");
    t.write("file", "no program\n");
    let cases: [(&str, i32, &[&str]); 21] = [
        (
            "unshare no-such-program",
            127,
            &["no-such-program", "No such file or directory"],
        ),
        (
            "unshare -f no-such-program",
            127,
            &["no-such-program", "No such file or directory"],
        ),
        ("unshare ./file", 126, &["./file", "Permission denied"]),
        ("unshare -f ./file", 126, &["./file", "Permission denied"]),
        ("unshare /", 126, &["Permission denied"]),
        (
            "unshare -w nowhere true",
            1,
            &["nowhere", "No such file or directory"],
        ),
        ("unshare -w file true", 1, &["file", "Not a directory"]),
        ("unshare --bogus", 1, &["--bogus"]),
        ("unshare --map-users 0:0 true", 1, &["0:0"]),
        ("unshare --map-users 0:0:x true", 1, &["0:0:x"]),
        ("unshare --map-users 0:0:0:0 true", 1, &["0:0:0:0"]),
        (
            "unshare --map-users 0:1000:99999999999 true",
            1,
            &["99999999999"],
        ),
        (
            "unshare --map-user nobody-at-all true",
            1,
            &["nobody-at-all"],
        ),
        ("unshare --setgroups perhaps true", 1, &["perhaps"]),
        ("unshare --propagation loud -m true", 1, &["loud"]),
        ("unshare --kill-child=SIGNONE true", 1, &["SIGNONE"]),
        ("unshare --boottime 5 true", 1, &["time"]),
        ("unshare -T --monotonic soon true", 1, &["soon"]),
        ("unshare -S me true", 1, &["me"]),
        ("unshare -G '' true", 1, &[]),
        ("unshare --owner 1000 true", 1, &["owner"]),
    ];
    for (line, status, words) in cases {
        t.run(line).fails(status, "unshare", words).untouched();
        t.user()
            .run(line)
            .fails(status, "unshare", words)
            .untouched();
    }
}

#[test]
fn a_bad_root_is_refused_in_one_line() {
    needs!(userns);
    let t = Sandbox::new("unshare");
    t.write("file", "");
    for root in ["nowhere", "file", "file/x", "''"] {
        t.user()
            .run(&format!("unshare -rm -R {root} true"))
            .fails(1, "unshare", &[])
            .untouched();
        t.user()
            .run(&format!("unshare -rmpf -R {root} --mount-proc true"))
            .fails(1, "unshare", &[])
            .untouched();
    }
}

#[test]
fn closed_streams_are_no_surprise() {
    let t = Sandbox::new("unshare");
    t.run("unshare true <&- >&- 2>&-").ok();
    t.run("unshare -f true <&- >&- 2>&-").ok();
    t.run("unshare no-such-program 2>&-").status(127).err("");
    t.run("unshare -f sh -c 'echo to stdout' <&-")
        .ok()
        .out("to stdout\n");
    // What was closed cannot be used: no file of ours takes its place.
    t.run("unshare -f sh -c 'read x || echo nothing' <&-")
        .ok()
        .out("nothing\n");
    t.run("unshare -f sh -c 'echo x || echo nowhere >&2' >&-")
        .ok()
        .out("")
        .err_has("nowhere");
    t.run("unshare --help >/dev/full")
        .status(1)
        .err_has("No space left on device");
    t.run("unshare --help | true").ok().err("");
}
