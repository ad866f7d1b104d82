//! A parent that stands in for its child: what is sent to it reaches the child, what is typed too.
//!
//! `container run` waits so, and `unshare --tty`. The child has a session of its own, so the shell's job
//! control and whoever kills "the container" reach only this process:
//!
//! | this process gets | it does |
//! |---|---|
//! | `SIGCHLD` | collects the child; stops itself where the child was stopped |
//! | `SIGWINCH` | gives the child's terminal the new size |
//! | `SIGTSTP` | stops the child and itself; continued, it continues the child |
//! | `SIGTTIN`, `SIGTTOU`, `SIGURG`, faults of its own | what any process does |
//! | everything else | sends it on |

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use crate::error::{Doing, Result};
use crate::plan::Outcome;
use crate::sys::clone::{Change, pidfd_send_signal, wait};
use crate::sys::signal;
use crate::terminal::leave::Leave;
use crate::terminal::{self, Relay};

/// Where the child's terminal will come from.
#[derive(Debug)]
pub struct Line {
    /// The socket on which the child sends it ([`terminal::send`]).
    pub socket: OwnedFd,
    /// Whether our standard input goes to it.
    pub input: bool,
    /// Who types the keys of this leaves it and the child alone, which counts as a good end.
    pub leave: Option<Leave>,
}

/// The signals that this process takes in hand: all but those that job control or a fault of its own send it, and
/// a `SIGHUP` that its caller had it ignore.
pub fn signals() -> SigSet {
    let mut set = SigSet::all();
    // nohup is meant for the whole of what it starts.
    if signal::is_ignored(Signal::SIGHUP) {
        set.remove(Signal::SIGHUP);
    }
    for signal in [
        Signal::SIGTTIN,
        Signal::SIGTTOU,
        Signal::SIGURG,
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGFPE,
        Signal::SIGILL,
        Signal::SIGABRT,
        Signal::SIGTRAP,
        Signal::SIGSYS,
    ] {
        set.remove(signal);
    }
    set
}

/// A child and all that connects us to it.
struct Proxy<'a> {
    child: Pid,
    pidfd: &'a OwnedFd,
    signals: SignalFd,
    line: Option<Line>,
    relay: Option<Relay>,
}

/// Waits until the child has ended, standing in for it. The signals of [`signals`] have been blocked since
/// before it was made.
///
/// # Errors
/// Those of signalfd(2), poll(2) and waitid(2).
pub fn attend(child: Pid, pidfd: &OwnedFd, line: Option<Line>) -> Result<Outcome> {
    let signals = SignalFd::with_flags(&signals(), SfdFlags::SFD_CLOEXEC)
        .doing("cannot listen for signals")?;
    let mut proxy = Proxy {
        child,
        pidfd,
        signals,
        line,
        relay: None,
    };
    loop {
        if proxy.wait()?
            && let Some(outcome) = proxy.signal()?
        {
            if let Some(relay) = &mut proxy.relay {
                relay.finish();
            }
            return Ok(outcome);
        }
        if let Some(relay) = &mut proxy.relay
            && relay.left()?
        {
            return Ok(Outcome::Exited(0));
        }
    }
}

impl Proxy<'_> {
    /// Waits for what comes next and moves what the terminal has; whether a signal came.
    fn wait(&mut self) -> Result<bool> {
        if self.line.is_none() && self.relay.is_none() {
            // Nothing but signals can come, and reading them waits.
            return Ok(true);
        }
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let (ends, watched): (Vec<_>, Vec<_>) = self
            .relay
            .as_ref()
            .map(Relay::wanted)
            .unwrap_or_default()
            .into_iter()
            .unzip();
        fds.extend(watched);
        if let Some(line) = &self.line {
            fds.push(PollFd::new(line.socket.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => return Ok(false),
            other => other.doing("cannot wait for the terminal")?,
        };
        let mut seen = fds
            .iter()
            .map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        let signalled = seen.next().is_some_and(|events| !events.is_empty());
        let ready: Vec<_> = ends.into_iter().zip(seen.by_ref()).collect();
        let arrived = seen.next().is_some_and(|events| !events.is_empty());
        drop(seen);
        drop(fds);
        if let Some(relay) = &mut self.relay {
            for (end, events) in ready.into_iter().filter(|(_, events)| !events.is_empty()) {
                relay.ready(end, events);
            }
        }
        if arrived {
            self.connect()?;
        }
        Ok(signalled)
    }

    /// Takes over the terminal that the child has made.
    fn connect(&mut self) -> Result<()> {
        let Some(line) = self.line.take() else {
            return Ok(());
        };
        if let Some(master) = terminal::receive(line.socket.as_fd())? {
            self.relay = Some(Relay::new(master, line.input, line.leave)?);
        }
        Ok(())
    }

    /// Acts on the next signal; says how the child ended where it has.
    fn signal(&mut self) -> Result<Option<Outcome>> {
        let info = match self.signals.read_signal() {
            Err(Errno::EINTR) | Ok(None) => return Ok(None),
            Ok(Some(info)) => info,
            Err(errno) => return Err(errno).doing("cannot listen for signals"),
        };
        let number = i32::try_from(info.ssi_signo).unwrap_or(0);
        match number {
            libc::SIGCHLD => return self.changed(),
            libc::SIGWINCH => {
                if let Some(relay) = &self.relay {
                    relay.resize();
                }
            }
            libc::SIGTSTP => {
                // The first process of a PID namespace ignores what it has no handler for, except these two.
                self.send(libc::SIGSTOP);
                self.stop()?;
            }
            // A broken pipe of our own concerns us only.
            _ if info.ssi_pid == std::process::id() => {}
            _ => self.send(number),
        }
        Ok(None)
    }

    /// Looks what has become of the child.
    fn changed(&mut self) -> Result<Option<Outcome>> {
        let flags = libc::WEXITED | libc::WSTOPPED | libc::WNOHANG;
        match wait(self.child, flags) {
            Ok(Change::Exited(status)) => Ok(Some(Outcome::Exited(status))),
            Ok(Change::Killed(signal)) => Ok(Some(Outcome::Killed(signal))),
            Ok(Change::Stopped(_)) => self.stop().map(|()| None),
            Ok(Change::Continued | Change::None) | Err(Errno::EINTR) => Ok(None),
            Err(errno) => Err(errno).doing("cannot wait for the child"),
        }
    }

    /// Stops as the child did, with our terminal as it was; continued, continues the child.
    fn stop(&mut self) -> Result<()> {
        if let Some(relay) = &mut self.relay {
            relay.pause();
        }
        kill(Pid::this(), Signal::SIGSTOP).doing("cannot stop with the child")?;
        self.send(libc::SIGCONT);
        if let Some(relay) = &mut self.relay {
            relay.resume();
        }
        Ok(())
    }

    /// A child that ended in this moment is no error: its end is told next.
    fn send(&self, signal: i32) {
        let _ = pidfd_send_signal(self.pidfd.as_fd(), signal);
    }
}
