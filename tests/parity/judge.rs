//! The comparison: what counts as the same, and what a deliberate difference must look like.

use super::case::{Case, Intent, Words, version};
use crate::kit::{Ran, Sandbox, boxed};
use std::fmt;
use std::process::Command;
use std::sync::OnceLock;

/// What one side showed, with its sandbox's name taken out.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Seen {
    pub fn of(ran: &Ran<'_>, sandbox: &Sandbox) -> Self {
        let anonymous = |text: &str| text.replace(sandbox.id(), "SANDBOX");
        Self {
            status: ran.status,
            stdout: anonymous(&ran.stdout),
            stderr: anonymous(&ran.stderr),
        }
    }
}

/// What is wrong, if anything, and the two sides to look at.
pub struct Verdict {
    complaints: Vec<String>,
    story: String,
}

impl Verdict {
    fn new(case: &Case, complaints: Vec<String>, sides: [(&str, &Seen); 2]) -> Self {
        let mut story = format!("{}\n", case.line);
        for (name, seen) in sides {
            story += &format!("  {name}: status {}\n", seen.status);
            for (stream, text) in [("stdout", &seen.stdout), ("stderr", &seen.stderr)] {
                if !text.is_empty() {
                    story += &format!("   {stream}:\n{}", boxed(text));
                }
            }
        }
        Self { complaints, story }
    }

    pub fn is_empty(&self) -> bool {
        self.complaints.is_empty()
    }

    pub fn mentions(&self, words: &str) -> bool {
        self.complaints
            .iter()
            .any(|complaint| complaint.contains(words))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}  => {}", self.story, self.complaints.join("\n  => "))
    }
}

/// Whether the oracle agrees with itself (pids in its complaints may differ).
pub fn same(case: &Case, first: &Seen, second: &Seen) -> Verdict {
    let mut complaints = like_host(case.stderr, first, second);
    if !complaints.is_empty() {
        complaints.push("the oracle differs from itself".into());
    }
    Verdict::new(case, complaints, [("first", first), ("second", second)])
}

/// Judges ours by the host's, or by what the case says where it is meant to differ.
pub fn compare(case: &Case, host: &Seen, ours: &Seen) -> Verdict {
    let complaints = match case.intent {
        Intent::Same => like_host(case.stderr, host, ours),
        Intent::Newer(major, minor) if host_release() >= (major, minor) => {
            let mut complaints = like_host(case.stderr, host, ours);
            complaints.extend(as_wanted(case, ours));
            complaints
        }
        Intent::Newer(..) => as_wanted(case, ours),
        Intent::Differs => {
            let mut complaints = as_wanted(case, ours);
            if as_wanted(case, host).is_empty() {
                complaints.push("no longer differs: the host does the same".into());
            }
            complaints
        }
    };
    Verdict::new(case, complaints, [("host", host), ("ours", ours)])
}

fn like_host(words: Words, host: &Seen, ours: &Seen) -> Vec<String> {
    let mut complaints = Vec::new();
    if host.status != ours.status {
        complaints.push(format!("status {} and not {}", ours.status, host.status));
    }
    if host.stdout != ours.stdout {
        complaints.push("stdout differs".into());
    }
    let stderr = match words {
        Words::Any => None,
        Words::Exact => (host.stderr != ours.stderr).then(|| "stderr differs".into()),
        Words::Shape => shape_difference(&host.stderr, &ours.stderr),
    };
    complaints.extend(stderr);
    complaints
}

fn as_wanted(case: &Case, seen: &Seen) -> Vec<String> {
    let want = &case.want;
    let mut complaints = Vec::new();
    if seen.status != want.status {
        complaints.push(format!(
            "status {} and not the wanted {}",
            seen.status, want.status
        ));
    }
    if seen.stdout != want.stdout {
        complaints.push(format!("stdout is not the wanted {:?}", want.stdout));
    }
    match &want.stderr {
        _ if case.stderr == Words::Any => {}
        None if !seen.stderr.is_empty() => complaints.push("stderr should be empty".into()),
        Some(words) if !seen.stderr.contains(words) => {
            complaints.push(format!("stderr has no {words:?}"));
        }
        _ => {}
    }
    complaints
}

/// Stderr has a shape: silent or not, whose complaint it is, and which of the kernel's words end it.
fn shape_difference(host: &str, ours: &str) -> Option<String> {
    let (host, ours) = (complaints(host), complaints(ours));
    match (host.first().zip(host.last()), ours.first().zip(ours.last())) {
        (None, None) => None,
        (None, Some(_)) => Some("stderr should be empty".into()),
        (Some(_), None) => Some("stderr is empty".into()),
        (Some((host_first, host_last)), Some((first, last))) => {
            if speaker(host_first) != speaker(first) {
                return Some(format!("stderr: not {}'s complaint", speaker(host_first)));
            }
            let word = ERRNO_WORDS.iter().find(|word| host_last.ends_with(*word))?;
            (!last.ends_with(word)).then(|| format!("stderr does not end in {word:?}"))
        }
    }
}

/// Without hints, which only we give, and without pointers to the help.
fn complaints(stderr: &str) -> Vec<&str> {
    let advice = |line: &&str| line.starts_with("hint: ") || line.starts_with("Try '");
    stderr.lines().filter(|line| !advice(line)).collect()
}

fn speaker(line: &str) -> &str {
    line.split(':').next().unwrap_or_default()
}

/// What the kernel says for the errors that namespaces, mounts and exec meet.
const ERRNO_WORDS: [&str; 18] = [
    "Operation not permitted",
    "No such file or directory",
    "No such process",
    "Exec format error",
    "Bad file descriptor",
    "Cannot allocate memory",
    "Permission denied",
    "Device or resource busy",
    "File exists",
    "Not a directory",
    "Is a directory",
    "Invalid argument",
    "Inappropriate ioctl for device",
    "No space left on device",
    "Numerical result out of range",
    "Function not implemented",
    "Too many levels of symbolic links",
    "Read-only file system",
];

/// The release of the host's util-linux.
fn host_release() -> (u32, u32) {
    static RELEASE: OnceLock<(u32, u32)> = OnceLock::new();
    *RELEASE.get_or_init(|| {
        let said = Command::new("/usr/bin/unshare")
            .arg("--version")
            .output()
            .map(|out| out.stdout)
            .unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        said.split_whitespace().find_map(version).unwrap_or((0, 0))
    })
}

#[test]
fn shapes() {
    let alike = [
        ("", ""),
        (
            "a: x: No such file or directory\n",
            "a: cannot y: No such file or directory\nhint: make y\n",
        ),
        (
            "a: bad option\nTry 'a --help' for more information.\n",
            "a: unknown option\n",
        ),
        ("sh: 1: Cannot fork\n", "sh: 1: Cannot fork\n"),
    ];
    for (host, ours) in alike {
        assert_eq!(shape_difference(host, ours), None, "{host:?} {ours:?}");
    }
    let unlike = [
        ("", "a: warning\n"),
        ("a: x\n", ""),
        ("a: x\n", "hint: only this\n"),
        ("a: x\n", "b: x\n"),
        (
            "a: x: Operation not permitted\n",
            "a: x: Permission denied\n",
        ),
        ("a: x: Operation not permitted\n", "a: x\n"),
    ];
    for (host, ours) in unlike {
        assert!(shape_difference(host, ours).is_some(), "{host:?} {ours:?}");
    }
}
