//! What the first process of a machine does for the program it runs.

use std::os::fd::AsFd;
use std::path::PathBuf;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::terminal::NewSession;
use crate::error::{Doing, Result};
use crate::plan::{Context, Explanation, Shell, Step};
use crate::sys::terminal::take_control;

/// Starts a session on a terminal of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOnTerminal {
    /// The terminal.
    pub path: PathBuf,
}

impl Step for SessionOnTerminal {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        NewSession.perform(cx)?;
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let terminal =
            open(&self.path, flags, Mode::empty()).doing_to("cannot open", &self.path)?;
        // What is no terminal (a console that is none) is read and written all the same.
        let _ = take_control(terminal.as_fd());
        dup2_stdin(&terminal)
            .and(dup2_stdout(&terminal))
            .and(dup2_stderr(&terminal))
            .doing("cannot make the terminal standard input and output")
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "setsid(), open({:?}, O_RDWR|O_NOCTTY) = TTY, ioctl(TTY, TIOCSCTTY), dup2(TTY, 0), dup2(TTY, 1), dup2(TTY, 2)",
                self.path
            ),
            "the terminal controls the session: Ctrl-C reaches the program",
            "the shell would say: can't access tty; job control turned off",
            "ioctl_tty(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}
