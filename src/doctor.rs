//! What this machine can do of what the applets want, found by trying: `doctor` prints it.
//!
//! | file | groups of findings |
//! |---|---|
//! | `machine` | `kernel`, `here`: its release, and what we are in: a container, a chroot, an initramfs |
//! | `namespaces` | `namespaces`, `user` |
//! | `groups` | `cgroup` |
//! | `files` | `files`, `store` |
//! | `network` | `network` |
//! | `guards` | `guards`: seccomp, Landlock, AppArmor, SELinux |
//!
//! Whatever is tried is tried in a child, in namespaces of its own ([`crate::apart`]): the machine is left as it is.

mod files;
mod groups;
mod guards;
mod machine;
mod namespaces;
mod network;

use std::path::PathBuf;

use crate::apart::apart;
use crate::error::{Error, Result};

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It can be done.
    Ok,
    /// Some of it cannot, or not as one might think.
    Warn,
    /// An applet cannot do what it is for.
    Fail,
}

impl State {
    const ALL: [Self; 3] = [Self::Ok, Self::Warn, Self::Fail];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it stands.
    pub state: State,
    /// With what.
    pub subject: String,
    /// What was found.
    pub found: String,
    /// What to do; empty where nothing is known.
    pub advice: String,
}

/// What the library cannot know: what the caller's environment says.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Where images are kept.
    pub images: Option<PathBuf>,
    /// Where containers are kept, and what of them does not outlive the machine's run.
    pub containers: Vec<PathBuf>,
    /// Where programs are looked for.
    pub path: Vec<PathBuf>,
}

/// Findings, as they are made.
#[derive(Debug, Default)]
pub struct Report(Vec<Finding>);

impl Report {
    fn add(&mut self, state: State, subject: &str, found: &str, advice: &str) {
        self.0.push(Finding {
            state,
            subject: subject.into(),
            found: found.into(),
            advice: advice.into(),
        });
    }

    fn ok(&mut self, subject: &str, found: &str) {
        self.add(State::Ok, subject, found, "");
    }

    /// `found` where it went well; else the error and its hint, which make it `state`.
    fn tried(&mut self, state: State, subject: &str, found: &str, error: Option<Error>) {
        match error {
            None => self.ok(subject, found),
            Some(error) => {
                let advice = error.advice().unwrap_or_default();
                self.add(state, subject, &error.to_string(), advice);
            }
        }
    }

    /// Adds what is found in a process of its own.
    fn apart(&mut self, look: &mut dyn FnMut(&mut Self) -> Result<()>) -> Result<()> {
        let said = apart(&mut || {
            let mut inner = Self::default();
            look(&mut inner)?;
            Ok(inner.encode())
        })?;
        let mut parts = said
            .split(|b| *b == 0)
            .map(|part| String::from_utf8_lossy(part).into_owned());
        while let (Some(state), Some(subject), Some(found), Some(advice)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        {
            let state = State::ALL.into_iter().find(|one| one.word() == state);
            self.add(state.unwrap_or(State::Fail), &subject, &found, &advice);
        }
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for one in &self.0 {
            for text in [one.state.word(), &one.subject, &one.found, &one.advice] {
                out.extend(text.bytes().filter(|b| *b != 0));
                out.push(0);
            }
        }
        out
    }
}

type Look = fn(&mut Report, &Places);

/// The groups in order: their words, and who looks.
const GROUPS: [(&str, Look); 9] = [
    ("kernel", machine::kernel),
    ("here", machine::here),
    ("namespaces", namespaces::all),
    ("user", namespaces::user),
    ("cgroup", groups::look),
    ("files", files::look),
    ("network", network::look),
    ("guards", guards::look),
    ("store", files::store),
];

/// The words of all groups.
pub fn groups() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().map(|(name, _)| *name)
}

/// Looks at what one group is about.
pub fn look(group: &str, places: &Places) -> Vec<Finding> {
    let mut report = Report::default();
    let found = GROUPS.iter().find(|(name, _)| *name == group);
    if let Some((_, look)) = found {
        look(&mut report, places);
    }
    report.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_found_is_found() {
        let mut report = Report::default();
        let mut look = |inner: &mut Report| {
            inner.ok("one", "is there");
            inner.add(State::Warn, "two", "", "do that");
            Ok(())
        };
        // libtest's process has threads, and is not copied.
        let mut inner = Report::default();
        look(&mut inner).unwrap();
        assert_eq!(
            inner.encode(),
            b"ok\0one\0is there\0\0warn\0two\0\0do that\0"
        );
        assert!(report.apart(&mut look).is_err());
    }
}
