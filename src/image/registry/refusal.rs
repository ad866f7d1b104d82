//! What a registry says when it does not give what it was asked for.

use super::Registry;
use crate::error::Error;
use crate::image::document::parse;
use crate::image::transport::Reply;
use crate::json::objects;

/// The most of an error's text that is read.
const ERROR_LIMIT: u64 = 64 * 1024;

/// Why a registry did not give what it was asked for.
pub struct Refusal {
    /// For people.
    pub error: Error,
    /// Whether it has no such thing, so that another registry may be asked.
    pub absent: bool,
}

impl Refusal {
    /// What a registry means by this reply, when it was asked for that.
    pub(super) fn of(registry: &Registry<'_>, asked: &str, reply: Reply) -> Self {
        let status = reply.status;
        let limits: Vec<String> = [
            "ratelimit-limit",
            "ratelimit-remaining",
            "docker-ratelimit-source",
        ]
        .iter()
        .filter_map(|name| Some(format!("{name}: {}", reply.header(name)?)))
        .collect();
        let said = reply
            .into_bytes(ERROR_LIMIT)
            .ok()
            .and_then(|bytes| what_it_said(&bytes));
        let what = match status {
            401 => "it wants to know who is there".to_owned(),
            403 => "it is forbidden".to_owned(),
            404 => "there is no such thing".to_owned(),
            429 => "too many requests".to_owned(),
            500..=599 => "the server failed".to_owned(),
            _ => "unexpected answer".to_owned(),
        };
        let said = said.map_or_else(String::new, |said| format!(": {said}"));
        let error = Error::new(format!("cannot get {asked} of {}", registry.name()))
            .because(format!("{what} (status {status}{said})"));
        let hint = match status {
            401 | 403 => Some(format!("try 'pull login {}'", registry.origin.authority())),
            429 => Some(format!(
                "{}; logging in or a mirror in registries.conf may help",
                if limits.is_empty() {
                    "the limit is the registry's".into()
                } else {
                    limits.join(", ")
                }
            )),
            _ => None,
        };
        Self {
            error: error.hint_maybe(hint),
            absent: status == 404,
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self {
            error,
            absent: false,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

objects! {
    struct Errors {
        errors: Vec<Complaint>,
    }

    struct Complaint {
        code: String,
        message: String,
    }
}

/// The first complaint of an error's body.
fn what_it_said(bytes: &[u8]) -> Option<String> {
    let errors: Errors = parse(bytes, "error", ERROR_LIMIT).ok()?;
    let first = errors.errors.into_iter().next()?;
    let text = if first.message.is_empty() {
        first.code
    } else {
        first.message
    };
    let text: String = text.chars().take(200).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_read() {
        let text = br#"{"errors":[{"code":"DENIED","message":"no \u001b[31m","detail":null},{"code":"X"}]}"#;
        assert_eq!(what_it_said(text).as_deref(), Some("no \x1b[31m"));
        assert_eq!(
            what_it_said(br#"{"errors":[{"code":"DENIED"}]}"#).as_deref(),
            Some("DENIED")
        );
        assert_eq!(what_it_said(br#"{"errors":[]}"#), None);
        assert_eq!(what_it_said(b"<html>"), None);
    }
}
