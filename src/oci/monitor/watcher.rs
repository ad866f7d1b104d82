//! Those who look in on a container, and the socket where they call.

use std::collections::VecDeque;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind, connect, listen,
    recvmsg, send, socket,
};

use crate::error::{Doing, Error, Result};
use crate::oci::lifecycle::Container;
use crate::oci::state::Kept;
use crate::sys::owned_from_message;

/// The longest message, its first byte not counted.
pub const LONGEST: usize = 4096;

/// Somebody who looks in.
#[derive(Debug)]
pub(super) struct Watcher {
    line: OwnedFd,
    /// What it has not taken yet.
    queue: VecDeque<Vec<u8>>,
}

impl Watcher {
    pub(super) fn new(line: OwnedFd) -> Self {
        Self {
            line,
            queue: VecDeque::new(),
        }
    }

    /// Who has called; it is told first that the program runs.
    pub(super) fn accept(listener: &OwnedFd) -> Option<Self> {
        let line = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC).ok()?;
        let mut watcher = Self::new(owned_from_message(line));
        watcher.tell(b"s");
        Some(watcher)
    }

    /// The line to it.
    pub(super) fn line(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }

    /// Whether it has not taken all that it was told.
    pub(super) fn is_behind(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Has it told this, when it takes it.
    pub(super) fn tell(&mut self, message: &[u8]) {
        self.queue.push_back(message.into());
    }

    /// Sends what can be sent; whether somebody is there still.
    pub(super) fn is_there(&mut self) -> bool {
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        while let Some(message) = self.queue.front() {
            match send(self.line.as_raw_fd(), message, flags) {
                Ok(_) => drop(self.queue.pop_front()),
                Err(Errno::EINTR) => {}
                Err(errno) => return errno == Errno::EAGAIN,
            }
        }
        true
    }

    /// Takes one message of it without waiting; 0 where the other end is closed.
    pub(super) fn hear(&self, message: &mut [u8]) -> Result<usize, Errno> {
        let mut parts = [IoSliceMut::new(message)];
        let line = self.line.as_raw_fd();
        let heard = recvmsg::<()>(line, &mut parts, None, MsgFlags::MSG_DONTWAIT);
        heard.map(|message| message.bytes)
    }
}

fn line() -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).doing("cannot make a socket")
}

/// The socket in a container's live directory, named so that the name fits (unix(7): 107 bytes).
fn address(kept: &Kept) -> Result<UnixAddr> {
    let path = format!("/proc/self/fd/{}/attach", kept.dir().as_raw_fd());
    UnixAddr::new(Path::new(&path)).doing("cannot name a socket")
}

pub(super) fn listen_in(kept: &Kept) -> Result<OwnedFd> {
    let listener = line()?;
    bind(listener.as_raw_fd(), &address(kept)?)
        .and_then(|()| listen(&listener, Backlog::MAXCONN))
        .doing("cannot listen for those who look in")?;
    Ok(listener)
}

/// A line to the monitor of a container that runs.
///
/// # Errors
/// Where nobody listens.
pub fn look_in(container: &Container) -> Result<OwnedFd> {
    let line = line()?;
    connect(line.as_raw_fd(), &address(container.kept())?)
        .map_err(|errno| Error::new("cannot reach the monitor of the container").errno_is(errno))
        .map(|()| line)
}
