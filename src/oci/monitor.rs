//! The parent of a container that nobody watches: it holds the container's terminal or pipes, writes its log, lets people
//! look in and type, and says how it ended. One thread, one poll(2) loop.
//!
//! ```text
//! starter ──(0)── monitor ── pipes or terminal ── container
//!                  │   └ log
//!                  └ attach.sock ── anybody who looks in
//! ```
//!
//! On each of these lines (`SOCK_SEQPACKET`, so that a message is a message) go, by their first byte:
//!
//! | to the watcher | | to the monitor | |
//! |---|---|---|---|
//! | `s` | the program runs | `i` | it is typed |
//! | `f` | it does not: an [`Error`](crate::error::Error), encoded | `e` | nothing more will be |
//! | `o`, `E` | it wrote this, on its output or its error | `w` | so large is my terminal: rows, columns |
//! | `x` | it has ended with this status | `k` | send it this signal |
//!
//! What a watcher does not take makes the container wait, as a pipe would; one that has gone is forgotten. The container
//! dies with its monitor: what it writes would go nowhere.

mod streams;
mod watcher;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{read, write};

use super::home::{Home, now};
use super::lifecycle::{Answer, Container, New};
use super::log::{Log, Stream};
use super::spec::Map;
use super::state::{Kept, Record};
use crate::cgroup::Group;
use crate::error::{Doing, Result};
use crate::lock::Locked;
use crate::plan::{Observer, Outcome, Running};
use crate::proxy;
use crate::sys::clone::pidfd_send_signal;
use crate::sys::terminal;

use streams::{Source, blocking_no_more, quiet_standard};
pub use watcher::{LONGEST, look_in};
use watcher::{Watcher, listen_in};

/// What a monitor is told besides the container.
pub struct Duty<'a> {
    /// That it is us who run the container.
    pub lock: Locked,
    /// The line to who started it.
    pub starter: OwnedFd,
    /// Whether that wants to watch, or only to hear that the program runs.
    pub watched: bool,
    /// The program's input: none, until the first watcher has no more, or for ever.
    pub input: Input,
    /// How long a file of the log may get; 0 for none.
    pub log: u64,
    /// Takes its home away when it has ended, where that is wanted.
    pub forget: Option<&'a dyn Fn() -> Result<()>>,
}

/// Whether the program has an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// An empty one.
    None,
    /// It ends when a watcher says that it has no more.
    Once,
    /// It stays open whatever watchers say.
    Open,
}

#[derive(Debug)]
struct Monitor {
    log: Log,
    sources: Vec<Source>,
    /// The container's input, and what was typed and not taken yet.
    input: Option<OwnedFd>,
    typed: Vec<u8>,
    kind: Input,
    terminal: bool,
    watchers: Vec<Watcher>,
    listener: Option<OwnedFd>,
}

/// Runs a container as its monitor, from its start to its end, which is written down in its home. What it ended with,
/// and why it did not start, goes to those who watch.
///
/// # Errors
/// Where it cannot be watched; what the container does not start for is none.
pub fn run(home: &Home, new: New<'_>, duty: Duty<'_>, observer: &dyn Observer) -> Result<()> {
    let Duty {
        lock,
        starter,
        watched,
        input,
        log,
        forget,
    } = duty;
    let mut monitor = Monitor {
        log: Log::open(
            home.dir()
                .try_clone_to_owned()
                .doing("cannot copy a descriptor")?,
            log,
        )?,
        sources: Vec::new(),
        input: None,
        typed: Vec::new(),
        kind: input,
        terminal: new.spec.process.terminal,
        watchers: vec![Watcher::new(starter)],
        listener: None,
    };
    if !monitor.terminal {
        (monitor.input, monitor.sources) = streams::pipes(input != Input::None)?;
    }
    let (store, id) = (new.store, new.id);
    let mut end: Map<String> = Map::default();
    let outcome = new.run_attended(false, observer, &mut |running, record| {
        quiet_standard()?;
        end.put("started", now());
        home.keep_end(&end)?;
        let container = Container::find(store, id);
        let kept = container.as_ref().ok().map(Container::kept);
        let kills = oom_kills(record);
        monitor.attend(running, kept, watched)?;
        if oom_kills(record) > kills {
            end.put("oom", "yes".into());
        }
        Ok(())
    });
    let end = monitor.note_end(end, outcome);
    match forget {
        Some(forget) => forget()?,
        None => home.keep_end(&end)?,
    }
    drop(lock);
    monitor.farewell();
    Ok(())
}

fn oom_kills(record: &Record) -> u64 {
    let groups = record.groups();
    groups
        .iter()
        .filter_map(Group::oom_kills)
        .max()
        .unwrap_or(0)
}

impl Monitor {
    /// From the start of the program to its end.
    fn attend(
        &mut self,
        running: &mut Running<'_>,
        kept: Option<&Kept>,
        watched: bool,
    ) -> Result<()> {
        if let Some(master) = running.take_terminal()? {
            blocking_no_more(&master)?;
            let copy = master.try_clone().doing("cannot copy a descriptor")?;
            self.input = (self.kind != Input::None).then_some(copy);
            self.sources.push(Source {
                fd: master,
                stream: Stream::Out,
            });
        }
        // Before anybody hears that it runs: they may want to look in at once.
        self.listener = kept.map(listen_in).transpose()?;
        self.tell(b's', &[]);
        if !watched {
            self.watchers.clear();
        }
        let signals =
            SignalFd::with_flags(&caught(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
                .doing("cannot listen for signals")?;
        while !self.turn(running.pidfd(), &signals)? {}
        // What was written before the end, and nobody else will write: not more than a pipe holds, whoever has it open.
        for at in 0..self.sources.len() {
            for _ in 0..256 {
                if self.take(at) != Some(true) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Waits for what comes next and does it; whether the first process has ended.
    fn turn(&mut self, first: BorrowedFd<'_>, signals: &SignalFd) -> Result<bool> {
        let waiting = self.watchers.iter().any(Watcher::is_behind);
        let mut fds = vec![
            PollFd::new(first, PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(
            self.listener
                .as_ref()
                .map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)),
        );
        for one in &self.watchers {
            let mut events = PollFlags::empty();
            events.set(PollFlags::POLLOUT, one.is_behind());
            events.set(PollFlags::POLLIN, self.typed.is_empty());
            // poll(2) tells of a hang-up unasked, again and again.
            if !events.is_empty() {
                fds.push(PollFd::new(one.line(), events));
            }
        }
        if let Some(input) = self.input.as_ref().filter(|_| !self.typed.is_empty()) {
            fds.push(PollFd::new(input.as_fd(), PollFlags::POLLOUT));
        }
        let from = fds.len();
        if !waiting {
            let sources = self.sources.iter();
            fds.extend(sources.map(|one| PollFd::new(one.fd.as_fd(), PollFlags::POLLIN)));
        }
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => return Ok(false),
            other => other.doing("cannot wait for the container")?,
        };
        let seen: Vec<bool> = fds
            .iter()
            .map(|fd| fd.revents().is_some_and(|events| !events.is_empty()))
            .collect();
        drop(fds);
        let seen = |at: usize| seen.get(at).copied().unwrap_or(false);
        if seen(1) {
            pass_on(signals, first);
        }
        let all = 0..self.sources.len();
        let ended: Vec<usize> = all
            .filter(|at| seen(from + at) && self.take(*at).is_none())
            .collect();
        for at in ended.into_iter().rev() {
            self.sources.remove(at);
        }
        self.type_in();
        self.serve(first);
        if self.listener.is_some() && seen(2) {
            self.welcome();
        }
        Ok(seen(0))
    }

    /// Takes what a source has, and says whether it had something; `None` where it has ended.
    fn take(&mut self, at: usize) -> Option<bool> {
        let mut bytes = [0; LONGEST];
        let source = self.sources.get(at)?;
        let stream = source.stream;
        match read(&source.fd, &mut bytes) {
            Err(Errno::EINTR | Errno::EAGAIN) => Some(false),
            // EIO from a terminal: nobody holds the other side.
            Ok(0) | Err(_) => None,
            Ok(count) => {
                let bytes = bytes.get(..count).unwrap_or_default();
                self.log.write(stream, bytes);
                let kind = match stream {
                    Stream::Out => b'o',
                    Stream::Err => b'E',
                };
                self.tell(kind, bytes);
                Some(true)
            }
        }
    }

    /// Tells all who watch.
    fn tell(&mut self, kind: u8, text: &[u8]) {
        let message = [&[kind], text].concat();
        for one in &mut self.watchers {
            one.tell(&message);
        }
        self.watchers.retain_mut(Watcher::is_there);
    }

    /// Passes on what was typed.
    fn type_in(&mut self) {
        let Some(input) = self.input.as_ref().filter(|_| !self.typed.is_empty()) else {
            return;
        };
        match write(input, &self.typed) {
            Ok(count) => drop(self.typed.drain(..count)),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // Nobody will read it.
            Err(_) => (self.input, self.typed) = (None, Vec::new()),
        }
    }

    /// Does what watchers say.
    fn serve(&mut self, first: BorrowedFd<'_>) {
        let mut watchers = std::mem::take(&mut self.watchers);
        watchers.retain_mut(|one| {
            if !one.is_there() {
                return false;
            }
            while self.typed.is_empty() {
                let mut message = [0; LONGEST + 1];
                match one.hear(&mut message) {
                    Ok(0) => return false,
                    Ok(count) => self.heed(message.get(..count).unwrap_or_default(), first),
                    Err(Errno::EINTR) => {}
                    Err(errno) => return errno == Errno::EAGAIN,
                }
            }
            true
        });
        self.watchers = watchers;
    }

    fn heed(&mut self, message: &[u8], first: BorrowedFd<'_>) {
        match *message {
            [b'i', ref text @ ..] if self.input.is_some() => {
                self.typed.extend_from_slice(text);
                self.type_in();
            }
            [b'e'] if self.kind == Input::Once && !self.terminal => self.input = None,
            [b'w', r0, r1, c0, c1] => {
                let size =
                    terminal::Size::new(u16::from_be_bytes([r0, r1]), u16::from_be_bytes([c0, c1]));
                if let Some(source) = self.sources.first().filter(|_| self.terminal) {
                    let _ = terminal::resize(source.fd.as_fd(), size);
                }
            }
            [b'k', signal] => drop(pidfd_send_signal(first, signal.into())),
            _ => {}
        }
    }

    /// Lets somebody look in.
    fn welcome(&mut self) {
        if let Some(mut watcher) = self.listener.as_ref().and_then(Watcher::accept)
            && watcher.is_there()
        {
            self.watchers.push(watcher);
        }
    }

    /// How it ended, as is written down and told.
    fn note_end(&mut self, mut end: Map<String>, outcome: Answer<Outcome>) -> Map<String> {
        let message = match outcome {
            Ok(outcome) => {
                let status = match outcome {
                    Outcome::Exited(status) => status,
                    Outcome::Killed(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
                };
                end.put("status", status.to_string());
                vec![b'x', status]
            }
            Err(refusal) => {
                let error = refusal.into_error();
                end.put("status", error.exit_status().to_string());
                end.put("error", error.to_string());
                [b"f", &*error.encode()].concat()
            }
        };
        end.put("finished", now());
        for one in &mut self.watchers {
            one.tell(&message);
        }
        end
    }

    /// Tells what is to be told still. Those who stop taking keep nobody but us waiting.
    fn farewell(mut self) {
        self.listener = None;
        loop {
            self.watchers
                .retain_mut(|one| one.is_there() && one.is_behind());
            let lines = self.watchers.iter();
            let mut fds: Vec<PollFd<'_>> = lines
                .map(|one| PollFd::new(one.line(), PollFlags::POLLOUT))
                .collect();
            if fds.is_empty() {
                return;
            }
            let _ = poll(&mut fds, PollTimeout::NONE);
        }
    }
}

/// Signals that a monitor passes on.
fn caught() -> SigSet {
    let mut set = proxy::signals();
    set.remove(Signal::SIGCHLD);
    set
}

fn pass_on(signals: &SignalFd, first: BorrowedFd<'_>) {
    while let Ok(Some(info)) = signals.read_signal() {
        // A broken pipe concerns us only.
        if info.ssi_pid != std::process::id() {
            let _ = pidfd_send_signal(first, i32::try_from(info.ssi_signo).unwrap_or(0));
        }
    }
}
