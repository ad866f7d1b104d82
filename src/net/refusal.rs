//! The kernel's refusal of a request: an errno, and since Linux 4.12 mostly a sentence (`NLMSGERR_ATTR_MSG`).

use std::fmt;

use netlink_packet_core::ErrorMessage;
use nix::errno::Errno;

use super::attributes::Attributes;
use crate::error::{Doing, Error, Result, Text, reason};

/// `NLM_F_CAPPED` and `NLM_F_ACK_TLVS` (linux/netlink.h): the request is not echoed but for its header; attributes
/// follow.
const CAPPED: u16 = 0x100;
const ACK_TLVS: u16 = 0x200;
/// `NLMSGERR_ATTR_MSG`.
const ATTRIBUTE_MSG: u16 = 1;
/// `struct nlmsghdr`.
const HEADER: usize = 16;

/// Why the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its number.
    pub errno: Errno,
    /// Its words, where it has any.
    pub text: Option<String>,
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self { errno, text: None }
    }
}

impl Refusal {
    /// Reads an `NLMSG_ERROR`; `None` for one that says all went well.
    pub(super) fn of(error: &ErrorMessage, flags: u16) -> Option<Self> {
        let code = error.code?.get();
        Some(Self {
            errno: Errno::from_raw(code.saturating_neg()),
            text: text_in(&error.header, flags),
        })
    }

    /// Reads what stands behind the header of an `NLMSG_ERROR`.
    pub(super) fn read(body: &[u8], flags: u16) -> Option<Self> {
        let (code, rest) = body.split_first_chunk()?;
        let code = i32::from_ne_bytes(*code);
        (code != 0).then(|| Self {
            errno: Errno::from_raw(code.saturating_neg()),
            text: text_in(rest, flags),
        })
    }

    /// Whether it is this one.
    pub fn is(&self, errno: Errno) -> bool {
        self.errno == errno
    }

    /// As an error: the kernel's words, and those of its errno.
    pub fn doing(self, doing: impl Into<Text>) -> Error {
        let error = Error::new(doing);
        match self.text {
            None => error.errno_is(self.errno),
            Some(_) => error.because(self.to_string()),
        }
    }
}

/// `Nexthop has invalid gateway (Network is unreachable)`.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = reason(self.errno);
        match &self.text {
            None => f.write_str(reason),
            Some(text) => write!(f, "{} ({reason})", text.trim_end_matches('.')),
        }
    }
}

impl<T> Doing<T> for Result<T, Refusal> {
    fn doing(self, doing: impl Into<Text>) -> Result<T> {
        self.map_err(|refusal| refusal.doing(doing))
    }

    fn doing_to(self, doing: impl Into<Text>, subject: impl AsRef<std::ffi::OsStr>) -> Result<T> {
        self.map_err(|refusal| refusal.doing(doing).on(subject))
    }
}

/// The sentence behind the echoed request.
fn text_in(echo: &[u8], flags: u16) -> Option<String> {
    if flags & ACK_TLVS == 0 {
        return None;
    }
    let length: [u8; 4] = echo.get(..4)?.try_into().ok()?;
    let request = match flags & CAPPED {
        0 => usize::try_from(u32::from_ne_bytes(length)).ok()?,
        _ => HEADER,
    };
    let attributes = Attributes::new(echo.get(request.checked_next_multiple_of(4)?..)?);
    let text = attributes.text(ATTRIBUTE_MSG)?;
    (!text.is_empty()).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An echoed header that says `length`, and the attribute 1 with a text.
    fn echo(length: u32, body: &[u8], text: &[u8]) -> Vec<u8> {
        let mut echo = length.to_ne_bytes().to_vec();
        echo.resize(HEADER, 0);
        echo.extend(body);
        let size = u16::try_from(text.len() + 4).unwrap();
        echo.extend(size.to_ne_bytes());
        echo.extend(1u16.to_ne_bytes());
        echo.extend(text);
        echo
    }

    #[test]
    fn the_kernels_words_are_found() {
        let cases: [(Vec<u8>, u16, Option<&str>); 6] = [
            (echo(32, &[], b"no\0"), CAPPED | ACK_TLVS, Some("no")),
            (echo(20, &[0; 4], b"no way\0"), ACK_TLVS, Some("no way")),
            (echo(32, &[], b"no\0"), CAPPED, None),
            (echo(4000, &[0; 4], b"no\0"), ACK_TLVS, None),
            (echo(u32::MAX, &[], b"no\0"), ACK_TLVS, None),
            (vec![1, 2], ACK_TLVS, None),
        ];
        for (echo, flags, want) in cases {
            assert_eq!(text_in(&echo, flags).as_deref(), want);
        }
    }

    #[test]
    fn words_come_before_the_errno() {
        let mut refusal = Refusal::from(Errno::ENETUNREACH);
        assert_eq!(refusal.to_string(), "Network is unreachable");
        refusal.text = Some("Nexthop has invalid gateway.".into());
        let error = refusal.doing("cannot add a route");
        assert_eq!(
            error.to_string(),
            "cannot add a route: Nexthop has invalid gateway (Network is unreachable)"
        );
    }
}
