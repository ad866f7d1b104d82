//! Keys by which somebody leaves a terminal alone, and what goes on when he has.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, read, setsid};

use crate::error::{Doing, Result};
use crate::sys::clone::{Forked, fork};
use crate::sys::task;

/// Keys as docker has them: single characters and `ctrl-` with one, with commas between. `None` for others.
///
/// ```
/// use isobox::terminal::leave::keys;
/// assert_eq!(keys("ctrl-p,ctrl-q"), Some(vec![16, 17]));
/// assert_eq!(keys("x,ctrl-@,ctrl-_"), Some(vec![b'x', 0, 31]));
/// assert_eq!(keys(""), Some(vec![]));
/// assert_eq!([keys("ctrl-"), keys("xy"), keys("ctrl-1")], [None, None, None]);
/// ```
pub fn keys(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let key = |word: &str| match (
        word.strip_prefix("ctrl-").unwrap_or("").as_bytes(),
        word.as_bytes(),
    ) {
        (&[c @ (b'a'..=b'z' | b'@' | b'['..=b'_')], _) => Some(c & 0x1f),
        ([], &[c]) => Some(c),
        _ => None,
    };
    text.split(',').map(key).collect()
}

/// Somebody who may type the keys for leaving.
#[derive(Debug, Default)]
pub struct Leaving {
    keys: Vec<u8>,
    /// How much of them was typed.
    matched: usize,
}

impl Leaving {
    /// By these keys; by none where there are none.
    pub fn by(keys: Vec<u8>) -> Self {
        Self { keys, matched: 0 }
    }

    /// Whether this was typed to leave, and what was typed but for the keys for that, which are held back as long as
    /// they may be meant.
    pub fn heed(&mut self, typed: &[u8]) -> (bool, Vec<u8>) {
        let keys = &self.keys;
        let mut rest = Vec::with_capacity(typed.len());
        for byte in typed {
            if keys.get(self.matched) == Some(byte) {
                self.matched += 1;
                if self.matched == keys.len() {
                    return (true, rest);
                }
                continue;
            }
            rest.extend_from_slice(keys.get(..self.matched).unwrap_or_default());
            self.matched = usize::from(keys.first() == Some(byte));
            if self.matched == 0 {
                rest.push(*byte);
            }
        }
        (false, rest)
    }
}

/// Somebody who may leave a terminal, and a process that holds its other side then: without it the program would be hung
/// up on. It is made before anything is joined, as what a caller's children are born into would be the container's.
#[derive(Debug)]
pub struct Leave {
    /// By these keys.
    pub leaving: Leaving,
    /// The line to the process.
    line: OwnedFd,
}

impl Leave {
    /// Makes the process, which ends when this is dropped and nothing was handed over.
    ///
    /// # Errors
    /// Those of clone(2).
    pub fn prepare(keys: Vec<u8>) -> Result<Self> {
        let (line, theirs) = super::line()?;
        match fork(CloneFlags::empty(), None).doing("cannot make a process for the terminal")? {
            Forked::Parent { .. } => Ok(Self {
                leaving: Leaving::by(keys),
                line,
            }),
            Forked::Child => {
                // Whoever reads our output would wait for its end.
                let quiet = quiet().and_then(|()| task::close_all_but(3, &[theirs.as_fd()]));
                if let (Ok(()), Ok(Some(master))) = (quiet, super::receive(theirs.as_fd())) {
                    hold(&master);
                }
                task::exit_now(0)
            }
        }
    }

    /// Leaves a terminal to the process.
    ///
    /// # Errors
    /// Those of sendmsg(2).
    pub fn hand_over(&self, master: &OwnedFd) -> Result<()> {
        super::send(self.line.as_fd(), master.as_fd())
    }
}

/// A session of its own, and standard descriptors that lead nowhere.
fn quiet() -> Result<(), Errno> {
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    setsid()?;
    dup2_stdin(&null)
        .and(dup2_stdout(&null))
        .and(dup2_stderr(&null))
}

/// Throws away what is written to a terminal for as long as somebody has it.
fn hold(master: &OwnedFd) {
    let mut bytes = [0; 4096];
    loop {
        match read(master, &mut bytes) {
            Ok(1..) | Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let mut fds = [PollFd::new(master.as_fd(), PollFlags::POLLIN)];
                let _ = poll(&mut fds, PollTimeout::NONE);
            }
            Ok(_) | Err(_) => return,
        }
    }
}
