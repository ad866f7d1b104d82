//! Why there is no answer, in words for people.

use std::fs;
use std::io;

use nix::errno::Errno;

#[cfg(feature = "tls")]
use super::tls;
use crate::error::{Error, Text};
use crate::image::address::{Address, Origin};

/// Why there is no answer.
pub struct Failure {
    /// For people.
    pub error: Error,
    /// Whether asking again may help.
    pub again: Again,
    /// Whether the other end does not speak TLS at all.
    pub not_tls: bool,
}

/// Whether asking again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// No.
    Never,
    /// Yes, soon.
    Soon,
    /// Where anybody has answered before. Nobody was reached: without a network that is not going to change.
    IfAnsweredBefore,
}

impl Failure {
    pub(super) fn lasting(error: Error) -> Self {
        Self {
            error,
            again: Again::Never,
            not_tls: false,
        }
    }
}

pub(super) fn misled(address: &Address, why: &str) -> Failure {
    let error = Error::new(format!(
        "cannot follow the redirect of {}",
        address.without_query()
    ));
    Failure::lasting(error.because(why.to_owned()))
}

pub(super) fn refused(address: &Address, why: &'static str) -> Error {
    Error::new(format!(
        "cannot use the answer of {}",
        address.without_query()
    ))
    .because(why)
}

/// What is said of an error of ureq's.
pub(super) struct Told {
    pub(super) why: Text,
    hint: Option<String>,
    again: Again,
}

/// What ureq says, in words for people, and whether trying again may help.
pub(super) fn failure(cause: &ureq::Error, origin: &Origin) -> Failure {
    if let ureq::Error::Other(ours) = cause
        && let Some(ours) = ours.downcast_ref::<Error>()
    {
        return Failure::lasting(ours.clone());
    }
    #[cfg(feature = "tls")]
    if let Some(refusal) = tls::refusal(cause) {
        return refusal.into_failure(origin);
    }
    let told = told(cause);
    let error = Error::new(format!("cannot reach {origin}"));
    let (error, again) = match io_errno(cause) {
        Some(errno @ (Errno::ECONNREFUSED | Errno::ENETUNREACH | Errno::EHOSTUNREACH)) => {
            (error.errno_is(errno), Again::IfAnsweredBefore)
        }
        Some(errno) => (error.errno_is(errno), told.again),
        None => (error.because(told.why), told.again),
    };
    Failure {
        error: error.hint_maybe(told.hint),
        again,
        not_tls: false,
    }
}

fn io_errno(cause: &ureq::Error) -> Option<Errno> {
    match cause {
        ureq::Error::Io(e) => e.raw_os_error().map(Errno::from_raw),
        _ => None,
    }
}

pub(super) fn told(cause: &ureq::Error) -> Told {
    use Again::{IfAnsweredBefore, Never, Soon};
    let mut hint = None;
    let (why, again): (Text, Again) = match cause {
        ureq::Error::Timeout(ureq::Timeout::Connect) => {
            ("it does not answer".into(), IfAnsweredBefore)
        }
        ureq::Error::Timeout(ureq::Timeout::RecvResponse) => {
            ("there was no answer in time".into(), Soon)
        }
        ureq::Error::Timeout(ureq::Timeout::Resolve) => {
            hint = Some(name_servers());
            (NO_NAME_SERVER.into(), IfAnsweredBefore)
        }
        ureq::Error::Timeout(_) => ("nothing came for too long".into(), Soon),
        ureq::Error::HostNotFound => (NO_SUCH_HOST.into(), Never),
        ureq::Error::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            ("the connection ended too early".into(), Soon)
        }
        ureq::Error::Io(e) => match e.to_string() {
            // The words of getaddrinfo(3), of which the standard library gives no number.
            text if !text.starts_with("failed to lookup") => (text.into(), Soon),
            text if text.ends_with("Try again") => {
                hint = Some(name_servers());
                (NO_NAME_SERVER.into(), IfAnsweredBefore)
            }
            _ => (NO_SUCH_HOST.into(), Never),
        },
        ureq::Error::ConnectionFailed => ("the connection failed".into(), Soon),
        ureq::Error::ConnectProxyFailed(why) => (format!("the proxy refuses: {why}").into(), Never),
        // What breaks the rules of HTTP: a connection cut in the middle of a line may be among it.
        other => (
            other.to_string().into(),
            if matches!(other, ureq::Error::Protocol(_)) {
                Soon
            } else {
                Never
            },
        ),
    };
    Told { why, hint, again }
}

const NO_SUCH_HOST: &str = "there is no such host";
const NO_NAME_SERVER: &str = "no name server says where it is";

/// Who was asked for the address of a name (resolv.conf(5)).
fn name_servers() -> String {
    let path = "/etc/resolv.conf";
    let Ok(text) = fs::read_to_string(path) else {
        return format!("there is no {path} that says whom to ask for names");
    };
    let servers: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("nameserver")?.split_whitespace().next())
        .collect();
    match servers[..] {
        [] => format!("{path} names nobody to ask for names"),
        _ => format!("{path} says to ask {}", servers.join(", ")),
    }
}
