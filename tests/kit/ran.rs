//! What a command did, and the assertions on it. Each prints the whole story when it fails.

use super::{Sandbox, World};
use std::fmt;

/// A finished command: what it said, how it ended, and the world before it.
#[must_use = "assert something about it, .ok() at least"]
pub struct Ran<'t> {
    pub(super) sandbox: &'t Sandbox,
    pub(super) line: String,
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
    pub(super) before: World,
}

impl Ran<'_> {
    /// Exit status 0.
    #[track_caller]
    pub fn ok(&self) -> &Self {
        self.status(0)
    }

    /// This exit status, 128+n for death by signal n.
    #[track_caller]
    pub fn status(&self, want: i32) -> &Self {
        assert!(self.status == want, "status is not {want}{self}");
        self
    }

    /// Exactly this on standard output.
    #[track_caller]
    pub fn out(&self, want: &str) -> &Self {
        assert!(
            self.stdout == want,
            "stdout is not what was wanted:\n{}{self}",
            boxed(want)
        );
        self
    }

    /// This somewhere on standard output.
    #[track_caller]
    pub fn out_has(&self, want: &str) -> &Self {
        assert!(self.stdout.contains(want), "stdout has no {want:?}{self}");
        self
    }

    /// Each of these on standard output, in this order.
    #[track_caller]
    pub fn out_in_order(&self, wants: &[&str]) -> &Self {
        let mut rest = self.stdout.as_str();
        for want in wants {
            let Some(at) = rest.find(want) else {
                panic!("stdout has no {want:?}, or not in the order {wants:?}{self}")
            };
            rest = &rest[at + want.len()..];
        }
        self
    }

    /// Exactly this on standard error.
    #[track_caller]
    pub fn err(&self, want: &str) -> &Self {
        assert!(
            self.stderr == want,
            "stderr is not what was wanted:\n{}{self}",
            boxed(want)
        );
        self
    }

    /// This somewhere on standard error.
    #[track_caller]
    pub fn err_has(&self, want: &str) -> &Self {
        assert!(self.stderr.contains(want), "stderr has no {want:?}{self}");
        self
    }

    /// One clear complaint of `program` that contains each of `words`, this status, nothing on stdout.
    ///
    /// Besides the one line only `hint: ...` lines and the usual `Try '... --help'` may stand there.
    #[track_caller]
    pub fn fails(&self, status: i32, program: &str, words: &[&str]) -> &Self {
        self.status(status).out("");
        let lines = self.complaints();
        let [line] = lines[..] else {
            panic!("{} complaints instead of one{self}", lines.len())
        };
        assert!(
            line.starts_with(&format!("{program}: ")),
            "the complaint is not {program}'s{self}"
        );
        for word in words {
            assert!(line.contains(word), "the complaint has no {word:?}{self}");
        }
        self
    }

    /// A `hint: ` line that contains this.
    #[track_caller]
    pub fn hint(&self, want: &str) -> &Self {
        let found = self
            .stderr
            .lines()
            .any(|line| line.starts_with("hint: ") && line.contains(want));
        assert!(found, "no hint with {want:?}{self}");
        self
    }

    /// No hint at all.
    #[track_caller]
    pub fn no_hint(&self) -> &Self {
        assert!(
            !self.stderr.contains("hint: "),
            "an uncalled-for hint{self}"
        );
        self
    }

    /// The command left the world as it was: mounts, links, processes, and the files of `work/` too.
    #[track_caller]
    pub fn untouched(&self) -> &Self {
        let difference = self
            .sandbox
            .world()
            .settled_difference(&self.before, self.sandbox);
        let files = World::glance(self.sandbox).files_difference(&self.before);
        assert!(
            difference.is_empty() && files.is_empty(),
            "something was left behind:\n{difference}{files}{self}"
        );
        self
    }

    /// The lines of stderr that say what went wrong: no hints, no pointers to the help.
    pub fn complaints(&self) -> Vec<&str> {
        let advice = |line: &&str| line.starts_with("hint: ") || line.starts_with("Try '");
        self.stderr.lines().filter(|line| !advice(line)).collect()
    }
}

impl fmt::Display for Ran<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\n  $ {}\n  status {}\n  stdout:\n{}  stderr:\n{}",
            self.line,
            self.status,
            boxed(&self.stdout),
            boxed(&self.stderr)
        )
    }
}

/// Text with its line ends and its lack of them visible.
pub fn boxed(text: &str) -> String {
    let mut shown: String = text
        .split_inclusive('\n')
        .map(|line| format!("    | {line}"))
        .collect();
    if !shown.is_empty() && !shown.ends_with('\n') {
        shown.push_str("⏎ missing\n");
    }
    shown
}
