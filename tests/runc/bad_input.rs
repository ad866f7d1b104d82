//! What is typed wrong, and what is wrong in a bundle: statuses, and the last words, are those of Debian's runc.

use super::{bundle, config, sweep, with};
use crate::kit::Sandbox;

/// Says a command, its status, and the sentence that the log ends with: programs read no more than that.
const SAY: &str = r#"
say() { echo "- $*"; "$@" >out 2>&1 </dev/null; echo "$?"; grep -o 'level=error msg=.*' out | tail -1 | sed 's/ hint=.*//; s/[\\]n"$/"/'; }
"#;

/// Every verb with too few words, too many, and names that are none.
#[test]
fn what_is_typed_wrong_is_answered_as_by_runc() {
    needs!(root, busybox, host("runc"), controller("memory"));
    let t = Sandbox::new("runc");
    bundle(&t, r#"["true"]"#, "");
    let line = format!(
        "{SAY}
        for v in start state kill delete exec create run pause resume events update ps; do say $R $v; done
        for v in start state delete create pause resume events update; do say $R $v a b; done
        for v in start state kill delete pause resume events update ps; do say $R $v nosuch; say $R $v 'a b'; say $R $v ../x; done
        say $R exec nosuch; say $R exec nosuch true; say $R kill a b c; say $R list x; say $R spec x; say $R features x
        say $R delete -f nosuch; say $R delete -f ''; say $R start ''; say $R create -b b ''; say $R create -b b .; say $R create -b b a/b
        say $R create -b /nowhere c; say $R run -b /nowhere c; say $R create -b k c; say $R list -f foo; say $R spec -b /nowhere
        say $R frobnicate; say $R; say $R help; say $R help run; say $R -h; say $R run -h; say $R help frob; say $R --nosuch list; say $R run --nosuch; say $R run -b; say $R kill -x c
        say $R --log-format foo list; say $R --log /nowhere/log list; say $R --log l --log-format json state nosuch; say $R --log l --log-format=json start --nosuch c; sed 's/\"time\":\"[^\"]*\"/T/; s/\"hint\":\"[^\"]*\",//' l
        for g in '-rootless=0' '--rootless true' --rootless=auto; do say $R $g state nosuch; say $R $g exec -e A=b nosuch true; done
        say $R spec -b ''; rm config.json; say $R run --preserve-fds x c"
    );
    let ours = with(&t, "runc", &line);
    t.run("rm l").ok();
    let theirs = with(&t, "/usr/sbin/runc", &line);
    let plain = |text: &str| text.replace("/usr/sbin/runc", "runc");
    assert_eq!(plain(&ours.stdout), plain(&theirs.stdout), "{ours}{theirs}");
    assert!(ours.stdout.lines().count() > 200, "{ours}");
}

/// A bundle in which something is not as it should be: the status is runc's; where clients look for a sentence, that too.
#[test]
fn what_is_wrong_in_a_bundle_is_answered_as_by_runc() {
    needs!(root, busybox, host("runc"), controller("memory"));
    let t = Sandbox::new("runc");
    let root = t.root("r").to_string_lossy().into_owned();
    let good = config(&t, &root, r#"["true"]"#, "");
    // What is changed, and whether the sentence is compared.
    #[rustfmt::skip]
    let cases = [
        (r#""args": ["true"]"#, r#""args": []"#, true),
        (r#""cwd": "/""#, r#""cwd": "x""#, true),
        (r#""cwd": "/""#, r#""cwd": """#, true),
        (r#""cwd": "/","#, "", true),
        (&*format!(r#""root": {{"path": "{root}"}},"#), "", true),
        (&*root, "/nowhere/r", true),
        (r#"["true"]"#, r#"["nosuch"]"#, true),
        (r#"["true"]"#, r#"["/nosuch"]"#, true),
        (r#"["true"]"#, r#"["/etc"]"#, true),
        (r#"["true"]"#, r#"["/bin/busybox/x"]"#, false),
        (r#""mounts": ["#, r#""mounts": 5, "x": ["#, false),
        (r#""TERM=xterm""#, r#""NOEQ""#, false),
        (r#"{"type": "pid"}"#, r#"{"type": "foo"}"#, false),
        (r#"{"type": "pid"}"#, r#"{"type": "uts"}"#, false),
        (r#"{"type": "pid"}"#, r#"{"type": "pid", "path": "/nowhere"}"#, false),
        (r#""type": "proc", "source": "proc""#, r#""type": "nosuchfs", "source": "x""#, false),
        (r#""type": "proc", "source": "proc""#, r#""type": "bind", "source": "/nowhere", "options": ["bind"]"#, false),
        (r#""linux": {"#, r#""linux": {"sysctl": {"vm.foo": "1"}, "#, false),
        (r#", {"type": "uts"}"#, "", false),
        (r#""linux": {"#, r#""linux": {"seccomp": {}, "#, true),
        (r#""uid": 0"#, r#""uid": 4294967295"#, false),
        (r#""gid": 0"#, r#""gid": 4294967295"#, false),
        ("{\"ociVersion\"", "{{\"ociVersion\"", false),
    ];
    for (from, to, sentence) in cases {
        assert!(good.contains(from), "{from}");
        t.write("b/config.json", &good.replacen(from, to, 1));
        let say = match sentence {
            true => "say",
            false => "say() { \"$@\" >out 2>&1 </dev/null; echo $?; }; say",
        };
        let line = format!("{SAY}{say} $R run -b b c; say $R create -b b c; $R delete -f c; ls k");
        let ours = with(&t, "runc", &line);
        let theirs = with(&t, "/usr/sbin/runc", &format!("{line}\n{}", sweep(&t)));
        let plain = |text: &str| text.replace("/usr/sbin/runc", "runc");
        assert_eq!(
            plain(&ours.stdout),
            plain(&theirs.stdout),
            "{from} {to}{ours}{theirs}"
        );
    }
}
