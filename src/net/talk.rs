//! Asking the kernel about its network, and telling it (rtnetlink(7)), one request after the other.
//!
//! The socket blocks and nothing else waits with it, which is all that `ip` needs. Refusals carry the kernel's own
//! sentence where it gave one (`NETLINK_EXT_ACK`).

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;

use super::wire::{Attributes, HEADER, Message, flags, four, two};
use crate::error::{Doing, Error, Result};

/// `NLMSG_ERROR` and `NLMSG_DONE` (linux/netlink.h).
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `NLM_F_CAPPED` and `NLM_F_ACK_TLVS` of an answer: the request is not repeated in it; attributes follow.
const CAPPED: u16 = 0x100;
const HAS_ATTRIBUTES: u16 = 0x200;
/// `NLM_F_DUMP_INTR`: the table changed while it was being told.
const INTERRUPTED: u16 = 0x10;
/// `NLMSGERR_ATTR_MSG`.
const SENTENCE: u16 = 1;

/// What the kernel sent about one object: the kind of message, and what stands behind the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// `RTM_NEWLINK` ...
    pub kind: u16,
    /// `NLM_F_*` of the header.
    pub flags: u16,
    /// The body and the attributes.
    pub bytes: Vec<u8>,
}

impl Answer {
    /// The attributes behind a body of so many bytes.
    pub fn attributes(&self, body: usize) -> Attributes<'_> {
        Attributes(self.bytes.get(body..).unwrap_or_default())
    }

    /// A byte of the body; 0 where it is shorter.
    pub fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    /// Four bytes of the body.
    pub fn number(&self, at: usize) -> u32 {
        four(&self.bytes, at).unwrap_or(0)
    }
}

/// The kernel said no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its answer.
    pub errno: Errno,
    /// Its sentence, where it has one.
    pub sentence: Option<String>,
}

/// A line to the network namespace that this process is in.
#[derive(Debug)]
pub struct Talk {
    socket: Socket,
    sequence: u32,
    /// What the kernel remarked on requests that it granted.
    remarks: Vec<String>,
}

impl Talk {
    /// Opens it.
    ///
    /// # Errors
    /// Those of socket(2).
    pub fn open() -> Result<Self> {
        let doing = "Cannot open netlink socket";
        let mut socket = Socket::new(NETLINK_ROUTE).doing(doing)?;
        // Without it the kernel gives numbers only: no reason to fail. Strict checking has it filter dumps.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_netlink_get_strict_chk(true);
        socket.bind_auto().doing("Cannot bind netlink socket")?;
        Ok(Self {
            socket,
            sequence: 0,
            remarks: Vec::new(),
        })
    }

    /// Has the kernel do something.
    ///
    /// # Errors
    /// The outer one is ours, the inner one the kernel's refusal.
    pub fn change(&mut self, message: &Message) -> Result<Result<(), Refusal>> {
        let mut message = message.clone();
        message.flag(flags::ACK);
        self.send(&message)?;
        Ok(self.listen(&mut |_| {})?.map(drop))
    }

    /// Asks for one object; the answer is `None` where the kernel only acknowledged.
    ///
    /// # Errors
    /// As of [`Talk::change`].
    pub fn ask(&mut self, message: &Message) -> Result<Result<Option<Answer>, Refusal>> {
        let mut answer = None;
        let mut message = message.clone();
        message.flag(flags::ACK);
        self.send(&message)?;
        let said = self.listen(&mut |told| answer = Some(told))?;
        Ok(said.map(|()| answer))
    }

    /// Asks for a whole table.
    ///
    /// # Errors
    /// As of [`Talk::change`].
    pub fn dump(&mut self, message: &Message) -> Result<Result<Vec<Answer>, Refusal>> {
        let mut all = Vec::new();
        let mut message = message.clone();
        message.flag(flags::DUMP);
        self.send(&message)?;
        let said = self.listen(&mut |told| all.push(told))?;
        Ok(said.map(|()| all))
    }

    /// What the kernel remarked since the last call.
    pub fn remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.remarks)
    }

    fn send(&mut self, message: &Message) -> Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = message.sealed(self.sequence);
        let kernel = SocketAddr::new(0, 0);
        self.socket
            .send_to(&bytes, &kernel, 0)
            .doing("Cannot talk to rtnetlink")?;
        Ok(())
    }

    /// Reads answers to the last request up to its end.
    fn listen(&mut self, each: &mut dyn FnMut(Answer)) -> Result<Result<(), Refusal>> {
        loop {
            let (bytes, _) = match self.socket.recv_from_full() {
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => continue,
                other => other.doing("netlink receive error")?,
            };
            let mut rest = &bytes[..];
            while let Some((head, message, after)) = split(rest) {
                rest = after;
                if head.sequence != self.sequence {
                    continue;
                }
                match head.kind {
                    ERROR | DONE => {
                        let (refusal, remark) = verdict(head, message);
                        self.remarks.extend(remark);
                        return Ok(refusal.map_or(Ok(()), Err));
                    }
                    kind => {
                        if head.flags & INTERRUPTED != 0 {
                            self.remarks
                                .push("Dump was interrupted and may be inconsistent.".into());
                        }
                        each(Answer {
                            kind,
                            flags: head.flags,
                            bytes: message.to_vec(),
                        });
                    }
                }
            }
        }
    }
}

/// What of a header counts here.
#[derive(Clone, Copy)]
struct Head {
    kind: u16,
    flags: u16,
    sequence: u32,
}

/// The first message of several: its header, what follows that, and the rest.
fn split(bytes: &[u8]) -> Option<(Head, &[u8], &[u8])> {
    let length = usize::try_from(four(bytes, 0)?).ok()?;
    let head = Head {
        kind: two(bytes, 4)?,
        flags: two(bytes, 6)?,
        sequence: four(bytes, 8)?,
    };
    let message = bytes.get(HEADER..length)?;
    let after = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((head, message, after))
}

/// What an `NLMSG_ERROR` or `NLMSG_DONE` says: a refusal, or a remark on success.
fn verdict(head: Head, message: &[u8]) -> (Option<Refusal>, Option<String>) {
    let code = four(message, 0).unwrap_or(0).cast_signed();
    let mut at = 4;
    if head.kind == ERROR {
        // The request follows, all of it or its header only.
        at += match (head.flags & CAPPED, four(message, 4)) {
            (0, Some(length)) => (length as usize).next_multiple_of(4),
            _ => HEADER,
        };
    }
    let sentence = (head.flags & HAS_ATTRIBUTES != 0)
        .then(|| Attributes(message.get(at..)?).text(SENTENCE))
        .flatten()
        .map(std::borrow::Cow::into_owned);
    if code == 0 {
        return (None, sentence);
    }
    let errno = Errno::from_raw(code.wrapping_neg());
    (Some(Refusal { errno, sentence }), None)
}

impl Refusal {
    /// The error in the words of ip(8): the kernel's sentence, or its errno.
    pub fn into_error(self) -> Error {
        let error = match self.sentence {
            Some(sentence) => Error::new(sentence_of("Error", &sentence)),
            None => Error::new("RTNETLINK answers").errno_is(self.errno),
        };
        error.status(REFUSED)
    }
}

/// The status of ip(8) where the kernel said no.
pub const REFUSED: u8 = 2;

/// A sentence of the kernel's, with a full stop where it has none.
pub fn sentence_of(kind: &str, text: &str) -> String {
    let stop = if text.ends_with(['.', '\n']) { "" } else { "." };
    format!("{kind}: {text}{stop}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers() {
        let mut talk = Talk::open().unwrap();
        // RTM_GETLINK of every link: lo at least.
        let mut all = Message::new(18, 0);
        all.body(&[0; 16]);
        let links = talk.dump(&all).unwrap().unwrap();
        let names: Vec<_> = links
            .iter()
            .filter_map(|link| link.attributes(16).text(3))
            .collect();
        assert!(names.iter().any(|name| name == "lo"), "{names:?}");
        let mut one = Message::new(18, 0);
        one.body(&[0; 16]).text(3, "no-such-link");
        let refused = talk.ask(&one).unwrap().unwrap_err();
        assert_eq!(refused.errno, Errno::ENODEV);
    }

    #[test]
    fn refusals_are_read() {
        let head = |flags| Head {
            kind: ERROR,
            flags,
            sequence: 0,
        };
        let mut message = (-17i32).to_ne_bytes().to_vec();
        message.extend([0; HEADER]);
        let (plain, _) = verdict(head(CAPPED), &message);
        let error = plain.unwrap().into_error();
        assert_eq!(error.to_string(), "RTNETLINK answers: File exists");
        message.extend([9, 0, 1, 0]);
        message.extend(b"Why\0\0\0\0\0");
        let (told, _) = verdict(head(CAPPED | HAS_ATTRIBUTES), &message);
        assert_eq!(told.unwrap().into_error().to_string(), "Error: Why.");
        assert_eq!(verdict(head(HAS_ATTRIBUTES), &[]), (None, None));
    }
}
