//! Looking in on a container: the other end of a monitor's line ([`super::monitor`] has the messages).

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{MsgFlags, recvmsg, send};
use nix::unistd::{read, write};

use super::monitor::LONGEST;
use crate::error::{Doing, Error, Result};
use crate::proxy;
use crate::sys::{STANDARD, standard_error};
use crate::terminal::leave::Leaving;
use crate::terminal::{self, Raw};

/// How somebody looks in.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Our input goes to the container.
    pub input: bool,
    /// The container has a terminal.
    pub terminal: bool,
    /// What is to be typed to look in no more; nothing where it is empty ([`crate::terminal::leave::keys`]).
    pub detach: Vec<u8>,
    /// Signals that we get go to the container.
    pub signals: bool,
}

/// How that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The container has ended with this status.
    Ended(u8),
    /// It goes on.
    Left,
}

/// Waits until a monitor says that the program runs.
///
/// # Errors
/// Why it does not run.
pub fn await_start(line: BorrowedFd<'_>) -> Result<()> {
    let mut message = [0; LONGEST + 1];
    match receive(line, &mut message)? {
        [b's', ..] => Ok(()),
        [b'f', error @ ..] => Err(Error::decode(error)),
        _ => Err(monitor_gone()),
    }
}

fn monitor_gone() -> Error {
    Error::new("the monitor of the container has died")
}

fn receive<'m>(line: BorrowedFd<'_>, message: &'m mut [u8]) -> Result<&'m [u8]> {
    let count = loop {
        let mut parts = [IoSliceMut::new(message)];
        match recvmsg::<()>(line.as_raw_fd(), &mut parts, None, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            Err(Errno::ECONNRESET) => break 0,
            other => {
                break other
                    .doing("cannot hear the monitor of the container")?
                    .bytes;
            }
        }
    };
    Ok(message.get(..count).unwrap_or_default())
}

/// Looks in until the container ends or somebody types the keys for leaving.
///
/// # Errors
/// Where the monitor dies, and where what the container writes cannot be passed on.
pub fn look_in(line: &OwnedFd, look: &Look) -> Result<Seen> {
    let mut visit = Visit {
        line,
        look,
        keys: look.input,
        leaving: Leaving::by(look.detach.clone()),
    };
    let caught = visit.caught();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&caught), None).doing("cannot block signals")?;
    let signals = SignalFd::with_flags(&caught, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .doing("cannot listen for signals")?;
    let raw = (look.terminal && look.input)
        .then(|| Raw::enter(STANDARD.0))
        .flatten();
    visit.size();
    let seen = visit.turns(&signals);
    drop(raw);
    seen
}

struct Visit<'a> {
    line: &'a OwnedFd,
    look: &'a Look,
    /// Our input has more.
    keys: bool,
    leaving: Leaving,
}

impl Visit<'_> {
    fn caught(&self) -> SigSet {
        let mut set = SigSet::empty();
        if self.look.signals {
            set = proxy::signals();
            for own in [
                Signal::SIGCHLD,
                Signal::SIGTSTP,
                Signal::SIGCONT,
                Signal::SIGPIPE,
            ] {
                set.remove(own);
            }
            if self.look.terminal {
                // The terminal is gone, not the container.
                set.remove(Signal::SIGHUP);
            }
        }
        set.add(Signal::SIGWINCH);
        set
    }

    fn turns(&mut self, signals: &SignalFd) -> Result<Seen> {
        loop {
            let mut fds = vec![
                PollFd::new(self.line.as_fd(), PollFlags::POLLIN),
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            ];
            if self.keys {
                fds.push(PollFd::new(STANDARD.0, PollFlags::POLLIN));
            }
            match poll(&mut fds, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                other => other.doing("cannot wait for the container")?,
            };
            let seen = |at: usize| {
                let events = fds.get(at).and_then(PollFd::revents);
                events.is_some_and(|events| !events.is_empty())
            };
            let (heard, signalled, typed) = (seen(0), seen(1), seen(2));
            if signalled {
                self.signal(signals);
            }
            if typed && self.typed()? {
                return Ok(Seen::Left);
            }
            if heard && let Some(seen) = self.heard()? {
                return Ok(seen);
            }
        }
    }

    fn signal(&self, signals: &SignalFd) {
        while let Ok(Some(info)) = signals.read_signal() {
            match i32::try_from(info.ssi_signo).unwrap_or(0) {
                libc::SIGWINCH => self.size(),
                signal => self.say(&[b'k', u8::try_from(signal).unwrap_or(0)]),
            }
        }
    }

    /// Says how large our terminal is.
    fn size(&self) {
        if let Some(size) = terminal::size_of_ours().filter(|_| self.look.terminal) {
            let [r0, r1] = size.rows().to_be_bytes();
            let [c0, c1] = u16::try_from(size.columns())
                .unwrap_or(u16::MAX)
                .to_be_bytes();
            self.say(&[b'w', r0, r1, c0, c1]);
        }
    }

    /// A monitor that does not hear us any more has something to say, which comes next.
    fn say(&self, message: &[u8]) {
        let _ = send(self.line.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL);
    }

    /// Passes on what was typed; whether that was to leave.
    fn typed(&mut self) -> Result<bool> {
        let mut bytes = [0; LONGEST / 2];
        let count = match read(STANDARD.0, &mut bytes) {
            Err(Errno::EINTR | Errno::EAGAIN) => return Ok(false),
            // A terminal that went away.
            Err(Errno::EIO) => 0,
            other => other.doing("cannot read standard input")?,
        };
        if count == 0 {
            self.keys = false;
            self.say(b"e");
            return Ok(false);
        }
        let typed = bytes.get(..count).unwrap_or_default();
        let (left, rest) = self.leaving.heed(typed);
        if !rest.is_empty() {
            self.say(&[b"i", &*rest].concat());
        }
        Ok(left)
    }

    /// Passes on what the container has written.
    fn heard(&self) -> Result<Option<Seen>> {
        let mut message = [0; LONGEST + 1];
        match receive(self.line.as_fd(), &mut message)? {
            [b'o', text @ ..] => write_all(STANDARD.1, text)?,
            [b'E', text @ ..] => write_all(standard_error(), text)?,
            [b'x', status] => return Ok(Some(Seen::Ended(*status))),
            [b'f', error @ ..] => return Err(Error::decode(error)),
            [] => return Err(monitor_gone()),
            _ => {}
        }
        Ok(None)
    }
}

fn write_all(to: BorrowedFd<'_>, mut text: &[u8]) -> Result<()> {
    while !text.is_empty() {
        match write(to, text) {
            Ok(count) => text = text.get(count..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let _ = poll(
                    &mut [PollFd::new(to, PollFlags::POLLOUT)],
                    PollTimeout::NONE,
                );
            }
            Err(errno) => return Err(errno).doing("cannot pass on what the container writes"),
        }
    }
    Ok(())
}
