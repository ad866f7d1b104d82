//! The first process waits, all but the program done, until it is told to start.
//!
//! ```text
//! create                     first process                        start
//!   | listens on a socket       |                                   |
//!   | clone() ----------------> | every step                        |
//!   | <------ record me! ------ |                                   |
//!   | writes it down: done ---> | accept() ...                      |
//!   gone                        | <--------------- connect(), "s" - |
//!                               | execve(): closes the connection   |
//!                               |  or sends why not --------------> | is told
//! ```
//!
//! Whether it still waits can be asked by connecting: the kernel refuses where nobody listens any more, and both
//! an exec and a death close what it listens on.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, connect, listen, socket,
};
use nix::unistd::read;

use crate::error::{Doing, Error, Result};
use crate::plan::{Context, Exec, Explanation, Shell, Slot, Step};
use crate::sys::owned_from_message;

/// Makes the socket on which the start will be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenForStart {
    /// Where.
    pub path: PathBuf,
    /// Where [`AwaitStart`] finds it.
    pub slot: Slot,
}

impl Step for ListenForStart {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let listener = stream()?;
        let address = UnixAddr::new(&self.path).doing_to("cannot name a socket", &self.path)?;
        bind(listener.as_raw_fd(), &address).doing_to("cannot make the socket", &self.path)?;
        listen(&listener, Backlog::MAXCONN).doing_to("cannot listen on", &self.path)?;
        cx.put(self.slot, listener);
        Ok(())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("socket(AF_UNIX), bind({:?}), listen()", self.path),
            "who starts the container will connect here",
            "nobody could tell the first process, in a root of its own, that it may go on",
            "unix(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Waits until somebody says that the program may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AwaitStart {
    /// Where it is told.
    pub listener: Slot,
    /// Where the connection to who told it is left: its end tells that the program was executed.
    pub line: Slot,
}

/// What is said: start.
const START: u8 = b's';

impl Step for AwaitStart {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        loop {
            let accepted = accept4(cx.get(self.listener)?.as_raw_fd(), SockFlag::SOCK_CLOEXEC);
            let line = match accepted {
                Err(Errno::EINTR | Errno::ECONNABORTED) => continue,
                other => owned_from_message(other.doing("cannot wait for the start")?),
            };
            // Who only wants to know whether we wait says nothing.
            if read(&line, &mut [0]) == Ok(1) {
                drop(cx.take(self.listener));
                cx.put(self.line, line);
                return Ok(());
            }
        }
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "accept(SOCKET), read()",
            "the container is created: it waits here for its start",
            "create and start would be one, and nobody could prepare anything in between",
            "accept(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Tells the first process that listens at `path` to start, and waits until it has executed its program. `None` where
/// nobody listens there.
///
/// # Errors
/// What the first process failed with.
pub fn tell_start(path: &Path) -> Result<Option<()>> {
    let line = match call(path)? {
        Some(line) => line,
        None => return Ok(None),
    };
    let mut line = UnixStream::from(line);
    let mut said = Vec::new();
    let told = line.write_all(&[START]);
    let heard = told.and_then(|()| line.read_to_end(&mut said));
    heard.doing("cannot tell the container to start")?;
    match said.is_empty() {
        true => Ok(Some(())),
        false => Err(Error::decode(&said)),
    }
}

/// Whether somebody waits for a start at `path`.
///
/// # Errors
/// Those of connect(2).
pub fn is_awaited(path: &Path) -> Result<bool> {
    call(path).map(|line| line.is_some())
}

fn call(path: &Path) -> Result<Option<OwnedFd>> {
    let line = stream()?;
    let address = UnixAddr::new(path).doing_to("cannot name a socket", path)?;
    match connect(line.as_raw_fd(), &address) {
        Ok(()) => Ok(Some(line)),
        Err(Errno::ENOENT | Errno::ECONNREFUSED) => Ok(None),
        Err(errno) => Err(errno).doing_to("cannot connect to", path),
    }
}

/// Connects to the socket at `path`.
///
/// # Errors
/// Those of connect(2).
pub fn connect_to(path: &Path) -> Result<OwnedFd> {
    let gone = || {
        Error::new("cannot connect to")
            .on(path)
            .errno_is(Errno::ENOENT)
    };
    call(path)?.ok_or_else(gone)
}

fn stream() -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    socket(AddressFamily::Unix, SockType::Stream, flags, None).doing("cannot make a socket")
}

/// Connects to a socket while its path can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    path: PathBuf,
    slot: Slot,
    /// Whose it is.
    whose: Whose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Console,
    Supervisor,
}

impl Connect {
    /// To whoever wants the container's terminal; the connection is left in the slot.
    pub fn to_console(path: PathBuf, slot: Slot) -> Self {
        let whose = Whose::Console;
        Self { path, slot, whose }
    }

    /// To whoever wants to be told of system calls.
    pub fn to_supervisor(path: PathBuf, slot: Slot) -> Self {
        let whose = Whose::Supervisor;
        Self { path, slot, whose }
    }
}

impl Step for Connect {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        cx.put(self.slot, connect_to(&self.path)?);
        Ok(())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        let (why, without, page) = match self.whose {
            Whose::Console => (
                "the terminal will be made inside, and its other side goes to who listens there",
                "nobody could show what the program writes, or type to it",
                "unix(7)",
            ),
            Whose::Supervisor => (
                "who listens there will get the descriptor on which system calls are told of",
                "the calls would wait for ever for an answer",
                "seccomp_unotify(2)",
            ),
        };
        let call = format!("socket(AF_UNIX), connect({:?})", self.path);
        Explanation::new(call, why, without, page)
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Looks for the program while it can still be told who wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindProgram(pub Exec);

impl Step for FindProgram {
    fn perform(&self, _: &mut Context) -> Result<()> {
        self.0.find()
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("access({:?}, X_OK)", self.0.command().program),
            "whether there is such a program is known now, by the one who will run it and in its root",
            "a container would be created that cannot start",
            "access(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_where_nobody_listens() {
        let path = std::env::temp_dir().join(format!("isobox-start-{}", std::process::id()));
        assert_eq!(is_awaited(&path), Ok(false));
        let listener = stream().unwrap();
        bind(listener.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        listen(&listener, Backlog::MAXCONN).unwrap();
        assert_eq!(is_awaited(&path), Ok(true));

        drop(listener);
        assert_eq!(is_awaited(&path), Ok(false));
        std::fs::remove_file(&path).unwrap();
    }
}
