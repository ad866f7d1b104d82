//! Waiting for a program as a good parent: signals, job control, exit status.
//!
//! Two parents are wanted. unshare(1) and nsenter(1) outlive `SIGINT` and `SIGTERM` by blocking them while
//! they wait, and pass them on only when asked (util-linux 2.36, 2.42). All parents mirror a job-control
//! stop, so that Ctrl-Z at the shell stops the whole job and `fg` continues it.

use std::convert::Infallible;
use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, dup2_stderr, dup2_stdout, execvp};

use crate::decimal::decimal;
use crate::error::{Doing, Error, Result};
use crate::init;
use crate::plan::{Outcome, Slot};
use crate::proxy::{self, Line};
use crate::sys::clone::{Change, Forked, fork, pidfd_send_signal, wait};
use crate::sys::signal;

/// What a parent does with the signals it gets while it waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Signals {
    /// They act on the parent as on any process.
    #[default]
    Natural,
    /// `SIGINT` and `SIGTERM` are held back until the child has ended.
    Hold,
    /// `SIGINT` and `SIGTERM` are sent on to the child.
    Forward,
    /// All are sent on, and the child's terminal is relayed: see [`crate::proxy`].
    Proxy,
    /// All are sent on, and every process that lost its parent is collected: see [`crate::init`].
    Init,
}

/// How a parent waits for its child.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wait {
    /// What becomes of signals.
    pub signals: Signals,
    /// A terminal that the child will send us ([`Signals::Proxy`] only).
    pub terminal: Option<Terminal>,
}

/// Where the two ends of the line lie over which a child sends the terminal that it made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// The parent's end.
    pub ours: Slot,
    /// The child's end, which the parent closes after the fork.
    pub theirs: Slot,
    /// Whether the parent's standard input goes to it.
    pub input: bool,
}

/// The signal mask as it was before the fork.
#[derive(Debug)]
pub struct Guard {
    signals: Signals,
    before: SigSet,
}

/// Blocks what the policy wants blocked, before the child exists, so that no signal falls in between.
///
/// # Errors
/// Those of sigprocmask(2).
pub fn before_fork(how: &Wait) -> Result<Guard> {
    // A caller that ignored SIGCHLD hands that on through exec, and then there is nothing to wait for.
    signal::default(Signal::SIGCHLD).doing("cannot reset SIGCHLD")?;
    let mut blocked = SigSet::empty();
    match how.signals {
        Signals::Natural => {}
        Signals::Hold => blocked.extend([Signal::SIGINT, Signal::SIGTERM]),
        Signals::Forward => {
            blocked.extend([Signal::SIGINT, Signal::SIGTERM, Signal::SIGCHLD]);
            // A shell starts its background jobs with SIGINT ignored: the child could not even catch it.
            for forwarded in [Signal::SIGINT, Signal::SIGTERM] {
                signal::default(forwarded).doing("cannot reset a signal")?;
            }
        }
        Signals::Proxy | Signals::Init => blocked = proxy::signals(),
    }
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&blocked), Some(&mut before))
        .doing("cannot block signals")?;
    Ok(Guard {
        signals: how.signals,
        before,
    })
}

impl Guard {
    /// Gives back the mask that was in force before the fork: in the child.
    ///
    /// # Errors
    /// Those of sigprocmask(2).
    pub fn release(&self) -> Result<()> {
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None)
            .doing("cannot restore the signal mask")
    }
}

/// Waits until the child has ended.
///
/// # Errors
/// Those of waitid(2).
pub fn supervise(
    child: Pid,
    pidfd: &OwnedFd,
    guard: &Guard,
    line: Option<Line>,
) -> Result<Outcome> {
    // The mask stays as it is: a signal that was held back would end this process in its child's place.
    match guard.signals {
        Signals::Proxy => proxy::attend(child, pidfd, line),
        Signals::Init => init::attend(child, pidfd),
        _ => await_end(child, pidfd, guard),
    }
}

fn await_end(child: Pid, pidfd: &OwnedFd, guard: &Guard) -> Result<Outcome> {
    loop {
        if guard.signals == Signals::Forward {
            forward_next(pidfd)?;
        }
        let options = if guard.signals == Signals::Forward {
            libc::WNOHANG
        } else {
            0
        };
        match wait(child, libc::WEXITED | libc::WSTOPPED | options) {
            Ok(Change::Exited(status)) => return Ok(Outcome::Exited(status)),
            Ok(Change::Killed(signal)) => return Ok(Outcome::Killed(signal)),
            Ok(Change::Stopped(_)) => {
                // Stop as the child did; the shell continues this process, and it continues the child.
                kill(Pid::this(), Signal::SIGSTOP).doing("cannot stop with the child")?;
                // The child may have been ended meanwhile; the next wait tells.
                let _ = pidfd_send_signal(pidfd.as_fd(), libc::SIGCONT);
            }
            Ok(Change::Continued | Change::None) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).doing("cannot wait for the child"),
        }
    }
}

/// Takes the next blocked signal; sends it on unless it only says that the child changed.
fn forward_next(pidfd: &OwnedFd) -> Result<()> {
    let mut wanted = SigSet::empty();
    wanted.extend([Signal::SIGINT, Signal::SIGTERM, Signal::SIGCHLD]);
    match wanted.wait() {
        Ok(Signal::SIGCHLD) | Err(Errno::EINTR) => Ok(()),
        Ok(signal) => {
            // A child that ended in this moment is no error: the next wait reports it.
            let _ = pidfd_send_signal(pidfd.as_fd(), signal as i32);
            Ok(())
        }
        Err(errno) => Err(errno).doing("cannot wait for a signal"),
    }
}

/// Ends this process as the child ended: by the same signal, so that whoever waits for us sees it.
///
/// # Errors
/// Where the signal does not end us (it is ignored, say); the caller then exits with 128 and the signal.
pub fn end_by(which: i32) -> Result<()> {
    let signal = Signal::try_from(which).doing("unknown signal")?;
    // A core of the parent would overwrite that of the child.
    let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0);
    if !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP) {
        signal::default(signal).doing("cannot reset the signal")?;
    }
    let mut set = SigSet::empty();
    set.add(signal);
    sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None).doing("cannot unblock the signal")?;
    kill(Pid::this(), signal).doing("cannot signal this process")?;
    Err(Error::new("survived its child's signal"))
}

/// Runs a program found in `PATH` to its end, with our standard input and error (none of which where `quiet`), and
/// gives its end and what it printed (at most 64 KiB). A program that cannot be executed ends with 127 or 126, as
/// in a shell.
///
/// # Errors
/// Those of pipe2(2), clone(2) and waitid(2).
pub fn run(argv: &[String], quiet: bool) -> Result<(Change, Vec<u8>)> {
    run_to(argv, quiet, 64 * 1024)
}

/// The same for a program that may print more: `most` bytes.
///
/// # Errors
/// As [`run`].
pub fn run_to(argv: &[String], quiet: bool, most: u64) -> Result<(Change, Vec<u8>)> {
    let (mut from, to) = io::pipe().doing("cannot make a pipe")?;
    let words: Vec<CString> = argv
        .iter()
        .filter_map(|word| CString::new(word.as_str()).ok())
        .collect();
    let Some(name) = words.first() else {
        return Err(Error::new("no program to run"));
    };
    let Forked::Parent { child, .. } = fork(CloneFlags::empty(), None).doing("fork failed")? else {
        let errno = become_quietly(name, &words, &to, quiet).err();
        let status = if errno == Some(Errno::ENOENT) {
            127
        } else {
            126
        };
        crate::sys::task::exit_now(status)
    };
    drop(to);
    let mut said = Vec::new();
    let _ = (&mut from).take(most).read_to_end(&mut said);
    drop(from);
    loop {
        match wait(child, libc::WEXITED) {
            Err(Errno::EINTR) => {}
            end => return Ok((end.doing("cannot wait for the child")?, said)),
        }
    }
}

/// The child's part of [`run`].
fn become_quietly(
    name: &CString,
    words: &[CString],
    to: &io::PipeWriter,
    quiet: bool,
) -> Result<Infallible, Errno> {
    dup2_stdout(to)?;
    if quiet {
        dup2_stderr(open("/dev/null", OFlag::O_RDWR, Mode::empty())?)?;
    }
    execvp(name, words)
}

/// How a program ended, for people.
pub fn ended(end: Change) -> String {
    match end {
        Change::Exited(127) => "it is not installed".into(),
        Change::Exited(status) => format!("exit status {status}"),
        Change::Killed(signal) => format!("killed by signal {signal}"),
        _ => "it stopped".into(),
    }
}

/// A signal's number from its name (`KILL`, `SIGKILL`, `kill`), number, or `RTMIN+n` and `RTMAX-n`.
///
/// ```
/// use isobox::process::signal_number;
/// assert_eq!(signal_number("KILL"), Some(9));
/// assert_eq!(signal_number("sigterm"), Some(15));
/// assert_eq!(signal_number("RTMIN+1"), Some(35));
/// assert_eq!([signal_number("0x9"), signal_number("RTMAX--1"), signal_number("RTMIN+2147483647")], [None; 3]);
/// ```
pub fn signal_number(name: &str) -> Option<i32> {
    /// The range that kill(1) and glibc call RTMIN to RTMAX: the kernel's 32 and 33 belong to the C library.
    const RT: (i32, i32) = (34, 64);
    if let Some(number) = decimal(name) {
        return Some(number).filter(|n| (1..=RT.1).contains(n));
    }
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    // What stands behind RTMIN or RTMAX: nothing, or a sign and how far from there.
    let offset = |rest: &str, sign| match rest.strip_prefix(sign) {
        Some(digits) => decimal::<u8>(digits).map(i32::from),
        None => rest.is_empty().then_some(0),
    };
    let realtime = match (short.strip_prefix("RTMIN"), short.strip_prefix("RTMAX")) {
        (Some(rest), _) => Some(RT.0 + offset(rest, '+')?),
        (_, Some(rest)) => Some(RT.1 - offset(rest, '-')?),
        _ => None,
    };
    let alias = match short {
        "CLD" => Some(Signal::SIGCHLD),
        "POLL" => Some(Signal::SIGIO),
        _ => format!("SIG{short}").parse().ok(),
    };
    realtime
        .filter(|n| (RT.0..=RT.1).contains(n))
        .or(alias.map(|signal| signal as i32))
}

/// A signal as setpriv(1) and kill(1) read it: `TERM`, `RTMIN+3`.
///
/// ```
/// use isobox::process::signal_word;
/// assert_eq!(signal_word(9), "KILL");
/// assert_eq!(signal_word(37), "RTMIN+3");
/// ```
pub fn signal_word(number: i32) -> String {
    match Signal::try_from(number) {
        Ok(signal) => signal.as_str().trim_start_matches("SIG").to_owned(),
        Err(_) if number >= 34 => format!("RTMIN+{}", number - 34),
        Err(_) => number.to_string(),
    }
}
