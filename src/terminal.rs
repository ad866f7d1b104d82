//! The terminal of a container: a pseudo-terminal of its own, relayed to ours (pty(7)).
//!
//! A program that shares the caller's terminal can push keystrokes into it (`TIOCSTI`), so it gets its own
//! terminal or none. The pair is made inside, from the container's own devpts instance, so that `ttyname`
//! works there and no path of the image is trusted; the master travels to the parent over a socket.
//!
//! ```text
//! parent                                      child
//!   | socketpair()                              |
//!   | clone() --------------------------------> | mounts its devpts
//!   |                                           | open /dev/pts/ptmx, TIOCGPTPEER, size of our terminal
//!   | <------------------- master (SCM_RIGHTS)  |
//!   | raw mode; keys in, screen out             | setsid, TIOCSCTTY, 0 1 2 = peer, exec
//! ```
//!
//! `src/proxy.rs` drives the [`Relay`].

pub mod leave;

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use nix::sys::termios::{
    SetArg, SpecialCharacterIndices, Termios, cfmakeraw, tcgetattr, tcsetattr,
};
use nix::unistd::{read, write};

use crate::error::{Doing, Result};
use crate::sys::terminal;

use leave::Leave;

/// The line over which a master travels: the parent's end, and the child's.
pub fn line() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .doing("cannot make a socket pair")
}

/// Sends a master to the parent.
pub fn send(line: BorrowedFd<'_>, master: BorrowedFd<'_>) -> Result<()> {
    let rights = [master.as_raw_fd()];
    let message = [ControlMessage::ScmRights(&rights)];
    sendmsg::<()>(
        line.as_raw_fd(),
        &[IoSlice::new(b"t")],
        &message,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )
    .map(drop)
    .doing("cannot hand over the terminal")
}

/// Takes the master that [`send`] sent; `None` where the other end was closed without one.
pub fn receive(line: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let mut control = nix::cmsg_space!(libc::c_int);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(line.as_raw_fd(), &mut parts, Some(&mut control), flags)
        .doing("cannot take over the terminal")?;
    let master = message.cmsgs().ok().and_then(|mut all| {
        all.find_map(|one| match one {
            ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
            _ => None,
        })
    });
    Ok(master.map(crate::sys::owned_from_message))
}

/// Bytes on their way from one descriptor to another: read when empty, written when not, so that neither side
/// can make it grow.
#[derive(Debug)]
struct Flow {
    /// On the heap: a relay on the stack would cost every container its page faults, terminal or not.
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    /// The source will give no more.
    ended: bool,
    /// The target takes no more: what comes is thrown away, so that the source does not block.
    refused: bool,
}

impl Flow {
    fn new() -> Self {
        Self {
            bytes: vec![0; 4096].into(),
            start: 0,
            end: 0,
            ended: false,
            refused: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn fill(&mut self, from: BorrowedFd<'_>) {
        match read(from, &mut self.bytes) {
            Ok(0) => self.ended = true,
            Ok(count) => (self.start, self.end) = (0, count),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // EIO from a master: nobody holds the other side any more.
            Err(_) => self.ended = true,
        }
    }

    fn drain(&mut self, to: BorrowedFd<'_>) {
        if self.refused {
            self.start = self.end;
            return;
        }
        match write(to, &self.bytes[self.start..self.end]) {
            Ok(count) => self.start += count,
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => self.refused = true,
        }
    }
}

/// Our terminal in raw mode; as it was again when dropped.
#[derive(Debug)]
pub struct Raw {
    before: Termios,
}

impl Raw {
    /// `None` where `terminal` is none.
    pub fn enter(terminal: BorrowedFd<'_>) -> Option<Self> {
        let before = tcgetattr(terminal).ok()?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        // From a job in the background this stops us (SIGTTOU) until the job comes to the foreground.
        tcsetattr(terminal, SetArg::TCSADRAIN, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that has gone away needs no restoring.
        let _ = tcsetattr(OURS.0, SetArg::TCSADRAIN, &self.before);
    }
}

/// The parent's side of a container's terminal.
#[derive(Debug)]
pub struct Relay {
    master: OwnedFd,
    /// Our standard input to the master; not there where input is not connected.
    keys: Option<Flow>,
    screen: Flow,
    raw: Option<Raw>,
    leave: Option<Leave>,
    /// Whoever typed has left.
    left: bool,
}

/// What a [`Relay`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Our input has something.
    Keys,
    /// The master has something, or takes something.
    Master,
    /// Our output takes something.
    Screen,
}

impl Relay {
    /// Relays `master` to our standard output and, with `input`, from our standard input, which goes to raw mode
    /// if it is a terminal. Whoever types the keys of `leave` is gone ([`Relay::left`]).
    ///
    /// # Errors
    /// Those of fcntl(2).
    pub fn new(master: OwnedFd, input: bool, leave: Option<Leave>) -> Result<Self> {
        // Only this process holds the master, so the mode disturbs nobody.
        fcntl(
            &master,
            FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK),
        )
        .doing("cannot prepare the terminal")?;
        let mut relay = Self {
            master,
            keys: input.then(Flow::new),
            screen: Flow::new(),
            raw: None,
            leave,
            left: false,
        };
        relay.resume();
        Ok(relay)
    }

    /// Whether the keys for leaving were typed. From then on another process holds the terminal.
    ///
    /// # Errors
    /// Where it cannot be handed over.
    pub fn left(&mut self) -> Result<bool> {
        if self.left {
            self.pause();
            if let Some(leave) = &self.leave {
                leave.hand_over(&self.master)?;
            }
        }
        Ok(self.left)
    }

    /// Takes our terminal (again): raw mode, and the size as it is now.
    pub fn resume(&mut self) {
        if self.keys.is_some() {
            self.raw = Raw::enter(OURS.0);
        }
        self.resize();
    }

    /// Gives our terminal back as it was, for as long as this process is stopped.
    pub fn pause(&mut self) {
        self.raw = None;
    }

    /// Passes on the size of our terminal. Never an error: a terminal that is gone has none.
    pub fn resize(&self) {
        if let Some(size) = size_of_ours() {
            let _ = terminal::resize(self.master.as_fd(), size);
        }
    }

    /// What to wait for now. What is not wanted is left out, because poll(2) tells of a hang-up unasked.
    pub fn wanted(&self) -> Vec<(End, PollFd<'_>)> {
        let mut wanted = Vec::with_capacity(3);
        let mut master = PollFlags::empty();
        match &self.keys {
            Some(keys) if !keys.is_empty() => master |= PollFlags::POLLOUT,
            Some(keys) if !keys.ended => {
                wanted.push((End::Keys, PollFd::new(OURS.0, PollFlags::POLLIN)));
            }
            _ => {}
        }
        if !self.screen.is_empty() {
            wanted.push((End::Screen, PollFd::new(OURS.1, PollFlags::POLLOUT)));
        } else if !self.screen.ended {
            master |= PollFlags::POLLIN;
        }
        if !master.is_empty() {
            wanted.push((End::Master, PollFd::new(self.master.as_fd(), master)));
        }
        wanted
    }

    /// Moves what can be moved after poll(2) said that `end` is ready for `events`.
    pub fn ready(&mut self, end: End, events: PollFlags) {
        match end {
            End::Keys => self.read_keys(),
            End::Screen => self.screen.drain(OURS.1),
            End::Master => {
                if events.contains(PollFlags::POLLOUT)
                    && let Some(keys) = &mut self.keys
                {
                    keys.drain(self.master.as_fd());
                }
                if self.screen.is_empty() && !self.screen.ended {
                    self.read_screen();
                }
            }
        }
    }

    /// Shows what the program wrote before it ended, until the master has no more.
    pub fn finish(&mut self) {
        loop {
            while !self.screen.is_empty() {
                self.screen.drain(OURS.1);
            }
            if self.screen.ended {
                return;
            }
            self.read_screen();
            if self.screen.is_empty() {
                return;
            }
        }
    }

    fn read_screen(&mut self) {
        self.screen.fill(self.master.as_fd());
    }

    /// Takes what was typed. Where our input ends, the terminal's own end-of-file character is typed, twice if
    /// the line is not finished (termios(3), `VEOF`): a program that reads the terminal then sees the end.
    fn read_keys(&mut self) {
        let Some(keys) = &mut self.keys else { return };
        let unfinished = keys
            .end
            .checked_sub(1)
            .is_some_and(|last| keys.bytes[last] != b'\n');
        keys.fill(OURS.0);
        if let Some(leave) = &mut self.leave
            && !keys.ended
            && !keys.is_empty()
        {
            let (left, rest) = leave.leaving.heed(&keys.bytes[..keys.end]);
            (self.left, keys.end) = (left, rest.len());
            // What was held back may come in addition.
            if rest.len() > keys.bytes.len() {
                keys.bytes = rest.into();
            } else {
                keys.bytes[..rest.len()].copy_from_slice(&rest);
            }
        }
        if keys.ended {
            let modes = tcgetattr(&self.master);
            let eof = modes.map_or(4, |m| {
                m.control_chars[SpecialCharacterIndices::VEOF as usize]
            });
            keys.bytes[..2].fill(eof);
            (keys.start, keys.end) = (0, 1 + usize::from(unfinished));
        }
    }
}

/// Our standard input and output.
const OURS: (BorrowedFd<'static>, BorrowedFd<'static>) = crate::sys::STANDARD;

/// The size of our terminal, by whichever standard descriptor is one.
pub fn size_of_ours() -> Option<terminal::Size> {
    [OURS.0, OURS.1]
        .into_iter()
        .find_map(|fd| terminal::size(fd).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_travels() {
        let (ours, theirs) = line().unwrap();
        let (reader, writer) = nix::unistd::pipe().unwrap();
        send(theirs.as_fd(), writer.as_fd()).unwrap();
        drop(writer);
        let writer = receive(ours.as_fd()).unwrap().unwrap();
        write(&writer, b"x").unwrap();
        assert_eq!(read(&reader, &mut [0; 8]), Ok(1));
        drop(theirs);
        assert!(receive(ours.as_fd()).unwrap().is_none());
    }

    #[test]
    fn a_flow_holds_one_buffer_and_forgets_what_nobody_takes() {
        let (from, to) = (nix::unistd::pipe().unwrap(), nix::unistd::pipe().unwrap());
        write(&from.1, &[b'a'; 5000]).unwrap();
        let mut flow = Flow::new();
        flow.fill(from.0.as_fd());
        assert_eq!((flow.start, flow.end), (0, 4096));
        flow.drain(to.1.as_fd());
        assert!(flow.is_empty() && !flow.refused);
        flow.fill(from.0.as_fd());
        flow.refused = true;
        flow.drain(to.1.as_fd());
        assert!(flow.is_empty());
        drop(from.1);
        flow.fill(from.0.as_fd());
        assert!(flow.ended);
    }
}
