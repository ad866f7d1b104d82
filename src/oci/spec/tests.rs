//! What is read of a config.json, and what is said of a bad one.

use super::*;
use crate::namespace::Kind;

#[test]
fn a_file_is_read_and_written() {
    let text = r#"{"ociVersion": "1.0.2-dev", "unknown": {"a": [1, {"b": null}]},
        "process": {"user": {"uid": 1, "additionalGids": null}, "args": ["sh", "-c", "a\u00e9"], "cwd": "/",
            "capabilities": {"bounding": ["CAP_CHOWN", "CAP_NEW_ONE"]}, "rlimits": null},
        "root": {"path": "rootfs", "readonly": true}, "hostname": null,
        "linux": {"namespaces": [{"type": "pid"}, {"type": "network", "path": "/run/netns/x"}],
            "sysctl": {"b": "1", "a": "2"}, "resources": {"memory": {"limit": -1}},
            "timeOffsets": {"boottime": {"secs": -5}}, "maskedPaths": ["/proc/kcore"]}}"#;
    let spec = Spec::parse(text.as_bytes()).unwrap();
    assert_eq!(spec.process.args, ["sh", "-c", "a\u{e9}"]);
    assert_eq!(spec.process.capabilities.bounding.set.0, 1);
    assert_eq!(spec.process.capabilities.bounding.unknown, ["CAP_NEW_ONE"]);
    assert!(spec.linux.makes(Kind::Pid) && !spec.linux.makes(Kind::Net));
    assert_eq!(spec.linux.sysctl[0].0, "b");
    assert_eq!(spec.linux.time_offsets.value("boottime").unwrap().secs, -5);
    assert_eq!(spec.linux.resources.memory.limit, Some(-1));
    let again = Spec::parse(spec.to_json().unwrap().as_bytes()).unwrap();
    assert_eq!(again, spec);
}

#[test]
fn an_error_says_where() {
    let cases = [
        (
            r#"{"ociVersion": "1.0", "process": {"user": {"uid": "x"}}}"#,
            "process.user.uid: u32 is expected, and not the text \"x\" (line 1, column 51)",
        ),
        (
            "{\"ociVersion\": \"1.0\",\n \"process\": {\"rlimits\": [{}, {\"type\": 5}]}}",
            "process.rlimits[1].type: a string is expected, and not the number 5 (line 2, column ",
        ),
        (
            r#"{"ociVersion": "1.0", "root": {"path": "a", "path": "b"}}"#,
            "root.path: the key 'path' stands twice in one object (line 1, ",
        ),
        (
            r#"{"ociVersion": "1.0", "annotations": {"a": "1", "a": "1"}}"#,
            "annotations.a: the key 'a' stands twice in one object (line 1, ",
        ),
        (
            r#"{"ociVersion": "1.0", "hostname": "a\u0000b"}"#,
            "hostname: a NUL character",
        ),
        (
            r#"{"ociVersion": "1.0", // no"#,
            "a key in quotes is expected",
        ),
        (r#"{"ociVersion": "1.0"} x"#, "trailing characters"),
        (
            r#"{"ociVersion": "1.0", "process": {"user": {"uid": 4294967296}}}"#,
            "process.user.uid: u32 is expected, and not the number 4294967296",
        ),
        (r#"{"ociVersion": "2.0"}"#, "ociVersion 2.0: version 1"),
        ("{}", "ociVersion: it is not there"),
        ("", "a value is expected, and it ends here"),
        ("{\"x\":[", "it ends here"),
    ];
    for (text, want) in cases {
        let said = Spec::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(said.contains(want), "{text}: {said}");
    }
}

#[test]
fn no_input_makes_the_path_panic() {
    for text in [
        "{\"",
        "{\"a\":\"\\",
        "]]]}",
        "{,,,[,",
        "\"\"\"",
        "{\"a\":[{\"b\\\"",
    ] {
        for length in 0..=text.len() {
            let _ = Spec::parse(&text.as_bytes()[..length])
                .unwrap_err()
                .to_string();
        }
    }
    let deep = "[".repeat(100_000);
    assert!(Spec::parse(format!("{{\"x\":{deep}").as_bytes()).is_err());
}
