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
    pub passing: bool,
    /// Whether the other end does not speak TLS at all.
    pub not_tls: bool,
}

impl Failure {
    pub(super) fn lasting(error: Error) -> Self {
        Self {
            error,
            passing: false,
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
    passing: bool,
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
    let error = match io_errno(cause) {
        Some(errno) => error.errno_is(errno),
        None => error.because(told.why),
    };
    Failure {
        error: error.hint_maybe(told.hint),
        passing: told.passing,
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
    let mut hint = None;
    let (why, passing): (Text, bool) = match cause {
        ureq::Error::Timeout(ureq::Timeout::Connect) => ("it does not answer".into(), true),
        ureq::Error::Timeout(ureq::Timeout::RecvResponse) => {
            ("there was no answer in time".into(), true)
        }
        ureq::Error::Timeout(ureq::Timeout::Resolve) => {
            hint = Some(name_servers());
            (NO_NAME_SERVER.into(), true)
        }
        ureq::Error::Timeout(_) => ("nothing came for too long".into(), true),
        ureq::Error::HostNotFound => (NO_SUCH_HOST.into(), false),
        ureq::Error::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            ("the connection ended too early".into(), true)
        }
        ureq::Error::Io(e) => match e.to_string() {
            // The words of getaddrinfo(3), of which the standard library gives no number.
            text if !text.starts_with("failed to lookup") => (text.into(), true),
            text if text.ends_with("Try again") => {
                hint = Some(name_servers());
                (NO_NAME_SERVER.into(), true)
            }
            _ => (NO_SUCH_HOST.into(), false),
        },
        ureq::Error::ConnectionFailed => ("the connection failed".into(), true),
        ureq::Error::ConnectProxyFailed(why) => (format!("the proxy refuses: {why}").into(), false),
        // What breaks the rules of HTTP: a connection cut in the middle of a line may be among it.
        other => (
            other.to_string().into(),
            matches!(other, ureq::Error::Protocol(_)),
        ),
    };
    Told { why, hint, passing }
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
