//! A program that is run on the way to a container (OCI hooks): it reads the container's state and must succeed.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::SigSet;
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, execve};

use crate::error::{Doing, Error, Result};
use crate::process::ended;
use crate::sys::clone::{Change, Forked, fork, pidfd_send_signal, wait};
use crate::sys::{signal, task};

/// A program with what it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its file.
    pub path: PathBuf,
    /// Its `argv`.
    pub argv: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<OsString>,
    /// When it is ended; it may take its time without.
    pub timeout: Option<Duration>,
}

/// How much of what a hook says is shown.
const MOST_SAID: u64 = 512;

impl Hook {
    /// Runs it to its end, with `state` on its standard input.
    ///
    /// # Errors
    /// Where it cannot be executed, fails, or takes too long; with what it said.
    pub fn run(&self, state: &str) -> Result<()> {
        let cannot = "cannot prepare a hook";
        let mut input = memory().doing(cannot)?;
        input
            .write_all(state.as_bytes())
            .and_then(|()| input.rewind())
            .doing(cannot)?;
        let mut said = memory().doing(cannot)?;
        let made = fork(CloneFlags::empty(), None).doing("cannot fork for a hook")?;
        let Forked::Parent { child, pidfd } = made else {
            let errno = self.become_it(&input, &said);
            let _ = writeln!(
                said,
                "{}: {}",
                self.path.display(),
                crate::error::reason(errno)
            );
            task::exit_now(if errno == Errno::ENOENT { 127 } else { 126 })
        };
        let in_time = self.in_time(&pidfd);
        if !matches!(in_time, Ok(true)) {
            let _ = pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
        }
        let end = collect(child)?;
        let mut text = Vec::new();
        let _ = said
            .rewind()
            .and_then(|()| said.take(MOST_SAID).read_to_end(&mut text));
        let text = String::from_utf8_lossy(&text).trim_end().to_owned();
        let why = match (in_time?, end) {
            (true, Change::Exited(0)) => return Ok(()),
            (true, end) => ended(end),
            (false, _) => format!(
                "it took longer than {} s",
                self.timeout.unwrap_or_default().as_secs()
            ),
        };
        let why = if text.is_empty() {
            why
        } else {
            format!("{why}: {text}")
        };
        Err(Error::new("hook failed").on(&self.path).because(why))
    }

    /// Whether it ends before its time is over.
    fn in_time(&self, pidfd: &OwnedFd) -> Result<bool> {
        let until = self.timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let left = match until {
                None => PollTimeout::NONE,
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
                }
            };
            match poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], left) {
                Ok(0) if until.is_some_and(|until| until <= Instant::now()) => return Ok(false),
                Ok(0) | Err(Errno::EINTR) => {}
                other => return other.map(|_| true).doing("cannot wait for a hook"),
            }
        }
    }

    /// The child's part. Comes back with the reason why it could not be executed.
    fn become_it(&self, input: &File, output: &File) -> Errno {
        let become_it = || {
            signal::default_all();
            SigSet::empty().thread_set_mask()?;
            dup2_stdin(input)?;
            dup2_stdout(output)?;
            dup2_stderr(output)?;
            task::cloexec_from(3)?;
            let c = |word: &OsString| CString::new(word.as_bytes()).map_err(|_| Errno::EINVAL);
            let argv = self.argv.iter().map(c).collect::<Result<Vec<_>, _>>()?;
            let env = self.env.iter().map(c).collect::<Result<Vec<_>, _>>()?;
            execve(&c(&self.path.clone().into())?, &argv, &env)
        };
        match become_it() {
            Err(errno) => errno,
            Ok(never) => match never {},
        }
    }
}

/// A file in memory, for as long as it is open.
fn memory() -> Result<File, Errno> {
    memfd_create(c"hook", MFdFlags::MFD_CLOEXEC).map(File::from)
}

fn collect(child: Pid) -> Result<Change> {
    loop {
        match wait(child, libc::WEXITED) {
            Err(Errno::EINTR) => {}
            other => return other.doing("cannot wait for a hook"),
        }
    }
}
