//! The line between the two sides of a running plan.
//!
//! A pair of `SOCK_SEQPACKET` sockets, both close-on-exec: a message is a datagram, its order is kept, and
//! the end of the line tells that the other process executed its program or died. The ends are typed by
//! role, so that the wrong party cannot send.
//!
//! ```text
//! program side                               outside (a helper, or the parent)
//!    | -- Perform(i) ------------------------> |  performs entry i, with the sender as the process concerned
//!    | <------------------------ Done | Failed |
//!    |                                         |
//!    | -- Failed(error) ---------------------> |  takes back what it did, last first
//!    | <--------------------------------- Done |
//!    |                    or                   |
//!    | -- Executing -------------------------> |  nothing may fail any more but the exec itself
//!    | -- (closed by exec) ------------------> |
//!    |                    or                   |
//!    | -- Left ------------------------------> |  the program side goes on alone
//! ```
//!
//! Both sides have the same plan: where a farewell follows what was asked for, the answer is the last word, and `Left` goes
//! without saying.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::PassCred;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, Shutdown, SockFlag, SockType, recv, recvmsg,
    send, setsockopt, shutdown, socketpair,
};
use nix::unistd::Pid;

use crate::error::{Doing, Error, Result};

/// What the program side says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Please perform this entry of the plan.
    Perform(usize),
    /// It is over: this failed.
    Failed(Error),
    /// All steps are done; the exec comes next.
    Executing,
    /// It goes on alone: nothing more will be asked for.
    Left,
    /// The line ended: after `Executing` the program runs, before it the process died.
    Closed,
}

const PERFORM: u8 = b'p';
const FAILED: u8 = b'f';
const EXECUTING: u8 = b'x';
const LEFT: u8 = b'l';
const DONE: u8 = b'd';

/// Longest message: an error with its texts. A buffer of this size lies on the stack.
const LONGEST: usize = 4096;

/// The program side's end.
#[derive(Debug)]
pub(super) struct ProgramEnd(OwnedFd);

/// The outside's end.
#[derive(Debug)]
pub(super) struct OutsideEnd(OwnedFd);

/// Both ends. The outside learns the sender's pid from the kernel (`SO_PASSCRED`), in its own numbering.
pub(super) fn pair() -> Result<(ProgramEnd, OutsideEnd)> {
    let (program, outside) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .doing("cannot make a socket pair")?;
    setsockopt(&outside, PassCred, &true).doing("cannot ask for the sender's pid")?;
    Ok((ProgramEnd(program), OutsideEnd(outside)))
}

impl ProgramEnd {
    /// Has the outside perform entry `index` and waits for it.
    pub(super) fn perform(&self, index: usize) -> Result<()> {
        let mut message = vec![PERFORM];
        message.extend(index.to_ne_bytes());
        self.send(&message)?;
        self.answer()
    }

    /// Tells of a failure and waits until what was done outside is taken back. Best effort: nobody is left
    /// to tell if the line is gone.
    pub(super) fn failed(&self, error: &Error) {
        if self.last_words(error).is_ok() {
            let _ = self.answer();
        }
    }

    /// Tells of a failure to a parent that reads it when this process is gone.
    pub(super) fn last_words(&self, error: &Error) -> Result<()> {
        let mut message = vec![FAILED];
        message.extend(error.encode());
        message.truncate(LONGEST);
        self.send(&message)
    }

    /// Tells that only the exec is left to do.
    pub(super) fn executing(&self) -> Result<()> {
        self.send(&[EXECUTING])
    }

    /// Takes leave, and closes the line for every process that holds this end.
    pub(super) fn leave(&self) -> Result<()> {
        self.send(&[LEFT])?;
        shutdown(self.0.as_raw_fd(), Shutdown::Both).doing("cannot leave the other process")
    }

    /// The descriptor, for a child that wants to know whether its parent still lives.
    pub(super) fn try_clone_fd(&self) -> Result<OwnedFd> {
        self.0.try_clone().doing("cannot copy a descriptor")
    }

    fn send(&self, message: &[u8]) -> Result<()> {
        send_all(self.0.as_fd(), message)
    }

    // Its buffer is to be on the stack only while it is used.
    #[inline(never)]
    fn answer(&self) -> Result<()> {
        let mut buffer = [0; LONGEST];
        match receive(self.0.as_fd(), &mut buffer)? {
            [DONE, ..] => Ok(()),
            [FAILED, error @ ..] => Err(Error::decode(error)),
            _ => Err(Error::new("the process that stayed outside has died")),
        }
    }
}

impl OutsideEnd {
    /// Closes it in a child that shares our memory but not our descriptors: an end that stays open there would keep
    /// the child from noticing that its parent has died.
    pub(super) fn close_in_child(&self) {
        let _ = nix::unistd::close(self.0.as_raw_fd());
    }

    /// Waits for what the program side says next, and says who spoke.
    // Its buffer is to be on the stack only while it is used.
    #[inline(never)]
    pub(super) fn listen(&self) -> Result<(Said, Pid)> {
        let mut buffer = [0; LONGEST];
        let mut control = nix::cmsg_space!(libc::ucred);
        let (length, sender) = loop {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            match recvmsg::<()>(
                self.0.as_raw_fd(),
                &mut parts,
                Some(&mut control),
                MsgFlags::MSG_CMSG_CLOEXEC,
            ) {
                Err(Errno::EINTR) => {}
                Err(Errno::ECONNRESET) => break (0, 0),
                other => {
                    let message = other.doing("cannot hear from the other process")?;
                    let sender = message.cmsgs().ok().and_then(|mut all| {
                        all.find_map(|m| match m {
                            ControlMessageOwned::ScmCredentials(who) => Some(who.pid()),
                            _ => None,
                        })
                    });
                    break (message.bytes, sender.unwrap_or(0));
                }
            }
        };
        let said = match &buffer[..length] {
            [PERFORM, index @ ..] => {
                Said::Perform(index.try_into().map_or(usize::MAX, usize::from_ne_bytes))
            }
            [FAILED, error @ ..] => Said::Failed(Error::decode(error)),
            [EXECUTING, ..] => Said::Executing,
            [LEFT, ..] => Said::Left,
            _ => Said::Closed,
        };
        Ok((said, Pid::from_raw(sender)))
    }

    /// Answers a request. A program side that died in the meantime is noticed by whoever waits for it.
    ///
    /// # Errors
    /// Those of send(2): who waits for the answer does so for ever, unless the line is closed.
    pub(super) fn answer(&self, result: &Result<()>) -> Result<()> {
        let message = match result {
            Ok(()) => vec![DONE],
            Err(error) => [&[FAILED], error.encode().as_slice()].concat(),
        };
        match send_all(self.0.as_fd(), &message[..message.len().min(LONGEST)]) {
            Err(error) if matches!(error.errno(), Some(Errno::EPIPE | Errno::ECONNRESET)) => Ok(()),
            other => other,
        }
    }
}

/// Whether the other end is closed, which for a child means that its parent has died.
pub(super) fn hung_up(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO).is_ok()
        && fds[0]
            .revents()
            .is_some_and(|seen| seen.contains(PollFlags::POLLHUP))
}

fn send_all(fd: BorrowedFd<'_>, message: &[u8]) -> Result<()> {
    loop {
        match send(fd.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL) {
            Err(Errno::EINTR) => {}
            other => return other.map(drop).doing("cannot tell the other process"),
        }
    }
}

fn receive<'a>(fd: BorrowedFd<'_>, buffer: &'a mut [u8]) -> Result<&'a [u8]> {
    let length = loop {
        match recv(fd.as_raw_fd(), buffer, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            Err(Errno::ECONNRESET) => break 0,
            other => break other.doing("cannot hear from the other process")?,
        }
    };
    Ok(&buffer[..length])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard_with_the_speaker() {
        let (program, outside) = pair().unwrap();
        program.executing().unwrap();
        assert_eq!(outside.listen().unwrap(), (Said::Executing, Pid::this()));
        assert!(!hung_up(program.0.as_fd()));
        drop(program);
        assert_eq!(outside.listen().unwrap().0, Said::Closed);
    }

    #[test]
    fn who_has_left_is_heard_though_others_hold_the_end() {
        let (program, outside) = pair().unwrap();
        let copy = program.try_clone_fd().unwrap();
        program.leave().unwrap();
        assert_eq!(outside.listen().unwrap().0, Said::Left);
        assert_eq!(outside.listen().unwrap().0, Said::Closed);
        drop(copy);
    }

    #[test]
    fn an_answer_carries_the_error() {
        let (program, outside) = pair().unwrap();
        let error = Error::new("cannot write")
            .on("/proc/1/uid_map")
            .errno_is(Errno::EPERM);
        outside.answer(&Err(error.clone())).unwrap();
        assert_eq!(program.answer(), Err(error));
        drop(outside);
        assert!(hung_up(program.0.as_fd()));
        assert!(program.perform(0).is_err());
    }
}
