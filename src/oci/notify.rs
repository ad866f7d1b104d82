//! A program that says when it is ready (sd_notify(3)), to the manager that had us start its container.
//!
//! ```text
//! manager             start                          the container
//!   |   NOTIFY_SOCKET   | listens on notify.sock        |
//!   |                   | tells it to start ----------> | executes its program
//!   |                   | <--------- READY=1 (its own NOTIFY_SOCKET, a directory of ours that is bound there)
//!   | <-- READY=1       |
//!   | <-- MAINPID=      |
//!   | <-- BARRIER=1     | waits until that is read, and goes
//! ```
//!
//! Nothing else that the program says is passed on: it could name another process as its service's.

use std::ffi::OsStr;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, bind, connect, recv,
    sendmsg, socket,
};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{Pid, UnlinkatFlags, pipe2, unlinkat};

use super::spec::{Mount, Spec};
use super::state::Kept;
use crate::error::{Doing, Result};
use crate::root::without_umask;
use crate::sys::clone::{Forked, fork};
use crate::sys::task;

/// Where the program finds the directory with the socket.
const PLACE: &str = "/run/notify";
/// The directory of a kept container that is bound there, and the socket in it.
const DIRECTORY: &str = "notify";
pub(super) const SOCKET: &str = "notify/notify.sock";
/// How long the manager may take to read what it was told, in milliseconds.
const PATIENCE: u16 = 30_000;

/// Has the program of a container that is kept in `dir` find a socket to say that it is ready.
pub fn offer(spec: &mut Spec, dir: &Path) {
    spec.mounts.push(Mount {
        destination: PLACE.into(),
        kind: "bind".into(),
        source: dir.join(DIRECTORY).into(),
        options: ["bind", "nosuid", "noexec", "nodev", "ro"]
            .map(Into::into)
            .into(),
        ..Mount::default()
    });
    let named = format!("NOTIFY_SOCKET=/run/{SOCKET}");
    spec.process.env.push(named.into());
}

/// Makes the directory that [`offer`] speaks of.
pub(super) fn prepare(kept: &Kept) -> Result<()> {
    let mode = Mode::from_bits_truncate(0o755);
    without_umask(|| mkdirat(kept.dir(), DIRECTORY, mode)).doing("cannot make the directory notify")
}

/// Somebody who hears the program and tells the manager.
pub(super) struct Notify {
    hears: OwnedFd,
    tells: OwnedFd,
}

impl Notify {
    /// Listens for the program of a container, and connects to the manager; `None` for a container that was made without.
    ///
    /// # Errors
    /// Those of bind(2) and connect(2).
    pub(super) fn new(kept: &Kept, manager: &OsStr) -> Result<Option<Self>> {
        let dir = kept.dir();
        // One that nobody listens on: who started the container before is gone, or has failed.
        let _ = unlinkat(dir, SOCKET, UnlinkatFlags::NoRemoveDir);
        // By the descriptor: the whole path might be too long for an address.
        let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()));
        let hears = datagram()?;
        let address = UnixAddr::new(&path).doing_to("cannot name a socket", &path)?;
        match without_umask(|| bind(hears.as_raw_fd(), &address)) {
            Err(Errno::ENOENT) => return Ok(None),
            other => other.doing_to("cannot make the socket", SOCKET)?,
        }
        let tells = datagram()?;
        let address = match manager.as_bytes() {
            [b'@', name @ ..] => UnixAddr::new_abstract(name),
            path => UnixAddr::new(path),
        };
        let address = address.doing_to("cannot name a socket", manager)?;
        connect(tells.as_raw_fd(), &address).doing_to("cannot connect to", manager)?;
        Ok(Some(Self { hears, tells }))
    }

    /// Waits until the program is ready or has ended, and tells the manager the first; also that it is the process `main`,
    /// where that is not the caller.
    ///
    /// # Errors
    /// Those of sendmsg(2), and where the manager does not read for thirty seconds.
    pub(super) fn relay(&self, first: BorrowedFd<'_>, main: Option<Pid>) -> Result<()> {
        let Some(ready) = self.await_ready(first)? else {
            return Ok(());
        };
        self.tell(&ready, None)?;
        if let Some(pid) = main {
            self.tell(format!("MAINPID={pid}\n").as_bytes(), None)?;
        }
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC).doing("cannot make a pipe")?;
        self.tell(b"BARRIER=1\n", Some(theirs.as_fd()))?;
        drop(theirs);
        let mut fds = [PollFd::new(ours.as_fd(), PollFlags::empty())];
        match poll(&mut fds, PollTimeout::from(PATIENCE)) {
            Ok(0) => Err(Errno::ETIMEDOUT),
            other => other.map(drop),
        }
        .doing("the manager does not hear that the container is ready")
    }

    /// The same in a process of its own, beside the caller, who has something else to wait for.
    ///
    /// # Errors
    /// Those of clone3(2).
    pub(super) fn relay_beside(self, first: BorrowedFd<'_>) -> Result<()> {
        if let Forked::Child = fork(CloneFlags::empty(), None).doing("cannot fork")? {
            // Nobody is left to be told why it failed but the manager, who sees that nothing comes.
            let _ = self.relay(first, None);
            task::exit_now(0);
        }
        Ok(())
    }

    fn await_ready(&self, first: BorrowedFd<'_>) -> Result<Option<Vec<u8>>> {
        let mut text = [0; 4096];
        loop {
            let mut fds = [self.hears.as_fd(), first].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            match poll(&mut fds, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                other => other.doing("cannot wait for the container")?,
            };
            let said = match recv(self.hears.as_raw_fd(), &mut text, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => text.get(..length).unwrap_or_default(),
                // It has ended and has said no more.
                Err(_) if fds[1].any() == Some(true) => return Ok(None),
                Err(_) => continue,
            };
            let ready = |line: &&[u8]| line.starts_with(b"READY=");
            if let Some(line) = said.split(|b| *b == b'\n').find(ready) {
                return Ok(Some([line, b"\n"].concat()));
            }
        }
    }

    fn tell(&self, text: &[u8], with: Option<BorrowedFd<'_>>) -> Result<()> {
        let rights: Vec<i32> = with.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&rights)];
        let control = if with.is_some() { &rights[..] } else { &[] };
        let (text, flags) = ([IoSlice::new(text)], MsgFlags::MSG_NOSIGNAL);
        sendmsg::<()>(self.tells.as_raw_fd(), &text, control, flags, None)
            .map(drop)
            .doing("cannot tell the manager that the container is ready")
    }
}

fn datagram() -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    socket(AddressFamily::Unix, SockType::Datagram, flags, None).doing("cannot make a socket")
}
