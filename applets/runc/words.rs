//! The sentences of runc, which programs that call it look for (and so may nobody change a word).

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use isobox::error::Error;
use isobox::oci::lifecycle::Refusal;
use isobox::oci::status::Status;
use nix::errno::Errno;

/// Why a verb has failed: a sentence, and advice.
pub(super) struct Failure {
    /// runc's sentence.
    pub(super) message: String,
    /// What would help, where that is known.
    pub(super) hint: Option<String>,
}

impl Failure {
    /// A sentence of its own.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    /// The same behind what was being done.
    pub(super) fn while_doing(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            message: go(&error),
            hint: error.advice().map(str::to_owned),
        }
    }
}

/// A verb's answer.
pub(super) type Answer<T> = Result<T, Failure>;

pub(super) const ABSENT: &str = "container does not exist";
pub(super) const NOT_RUNNING: &str = "container not running";

/// A refusal, where `of` says what is wrong with a state.
pub(super) fn refused(refusal: Refusal, of: impl FnOnce(Status) -> String) -> Failure {
    match refusal {
        Refusal::Absent => Failure::new(ABSENT),
        Refusal::Exists => Failure::new("container with given ID already exists"),
        Refusal::In(status) => Failure::new(of(status)),
        Refusal::Failed(error) => error.into(),
    }
}

/// An error as a Go program words it: the kernel's words in lower case.
fn go(error: &Error) -> String {
    let text = error.to_string();
    let Some(words) = error.errno().map(Errno::desc) else {
        return text;
    };
    match text.strip_suffix(words) {
        Some(before) => format!("{before}{}", words.to_ascii_lowercase()),
        None => text,
    }
}

/// Why a container did not come to be.
pub(super) fn not_started(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Failed(error) => not_executed(&error)
            .unwrap_or_else(|| Failure::from(error).while_doing("error during container init"))
            .while_doing("unable to start container process"),
        other => refused(other, |status| status.to_string()),
    }
}

/// There is no root at `path`.
pub(super) fn without_root(path: &Path, error: &io::Error) -> Failure {
    let words = words(error);
    Failure::new(format!("invalid rootfs: stat {}: {words}", path.display()))
}

/// A file that cannot be read or written.
pub(super) fn not_opened(path: &OsStr, error: &io::Error) -> Failure {
    let words = words(error);
    Failure::new(format!("open {}: {words}", path.display()))
}

fn words(error: &io::Error) -> String {
    let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
    errno.desc().to_ascii_lowercase()
}

/// The sentences for a program that cannot be executed.
pub(super) fn not_executed(error: &Error) -> Option<Failure> {
    let (errno, status) = (error.errno()?, error.exit_status());
    // An empty name does not travel.
    let program = error.subject().unwrap_or_default().to_string_lossy();
    let words = errno.desc().to_ascii_lowercase();
    let why = match (status, errno) {
        (127, _) if !program.contains('/') => "executable file not found in $PATH".into(),
        (126, Errno::ENOTDIR) | (127, _) => format!("stat {program}: {words}"),
        (126, Errno::ENOEXEC) => return Some(Failure::new(format!("exec {program}: {words}"))),
        (126, _) => words,
        _ => return None,
    };
    let hint = error.advice().map(str::to_owned);
    Some(Failure {
        message: format!("exec: {program:?}: {why}"),
        hint,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_told_in_the_words_clients_look_for() {
        let error = |name: &str, errno, status| {
            let error = Error::new("cannot execute")
                .on(name)
                .errno_is(errno)
                .status(status);
            not_started(Refusal::Failed(error)).message
        };
        let cases = [
            (
                error("x", Errno::ENOENT, 127),
                "exec: \"x\": executable file not found in $PATH",
            ),
            (
                error("/x", Errno::ENOENT, 127),
                "exec: \"/x\": stat /x: no such file or directory",
            ),
            (
                error("/x", Errno::ENOTDIR, 126),
                "exec: \"/x\": stat /x: not a directory",
            ),
            (
                error("x", Errno::EACCES, 126),
                "exec: \"x\": permission denied",
            ),
            (
                error("/x", Errno::EPERM, 1),
                "error during container init: cannot execute /x: operation not permitted",
            ),
        ];
        for (got, want) in cases {
            assert_eq!(got, format!("unable to start container process: {want}"));
        }
    }
}
