//! The session and the terminal of the program ([`crate::terminal`] draws who holds which end).

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, SFlag, fstat, makedev};
use nix::unistd::{
    Gid, Pid, Uid, dup2_stderr, dup2_stdin, dup2_stdout, fchown, getsid, setpgid, setsid, tcsetpgrp,
};

use crate::error::{Doing, Error, Result};
use crate::plan::{Context, Explanation, Shell, Slot, Step};
use crate::sys::mount::{move_mount, open_tree, open_tree_flags, openat2, resolve};
use crate::sys::{STANDARD, task, terminal as tty};
use crate::terminal;

/// Starts a session (setsid(2)): no controlling terminal any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewSession;

impl Step for NewSession {
    fn perform(&self, _: &mut Context) -> Result<()> {
        match setsid() {
            // It leads a session already: what was wanted.
            Err(Errno::EPERM) if getsid(None) == Ok(Pid::this()) => Ok(()),
            other => other.map(drop).doing("cannot start a session"),
        }
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "setsid()",
            "the program gets a session of its own, without the caller's controlling terminal",
            "it could push keystrokes into the caller's terminal (ioctl TIOCSTI) and get its signals",
            "setsid(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::option("unshare", "--setsid")
    }
}

/// Makes the line over which the terminal will travel from the child to its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalLine {
    /// The parent's end.
    pub ours: Slot,
    /// The child's end.
    pub theirs: Slot,
    /// Whether our standard input goes to the terminal.
    pub input: bool,
}

/// Where a script's applets keep the child's end of the line (`unshare --tty=100`, `pivot --tty=100`): a number
/// that neither a script nor an applet uses for anything else.
pub const LINE_FD: i32 = 100;

impl Step for TerminalLine {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let (ours, theirs) = terminal::line()?;
        cx.put(self.ours, ours);
        cx.put(self.theirs, theirs);
        Ok(())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "socketpair(AF_UNIX, SOCK_SEQPACKET|SOCK_CLOEXEC)",
            "the terminal will be made inside and its other side handed out over this line",
            "this process could not relay what is typed and shown",
            "unix(7)",
        )
    }

    fn shell(&self) -> Shell {
        let mut words = vec![format!("--tty={LINE_FD}").into()];
        words.extend((!self.input).then(|| "--no-input".into()));
        Shell::Option {
            applet: "unshare",
            words,
        }
    }
}

/// Leaves a descriptor open over exec under a number that the next applet of a row knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandDown {
    /// The descriptor.
    pub slot: Slot,
    /// Its number for the next program.
    pub number: i32,
}

impl Step for HandDown {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        task::hand_down(cx.get(self.slot)?, self.number).doing("cannot hand a descriptor down")
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("dup2(LINE, {})", self.number),
            "the next program of the row makes the terminal and sends it over this descriptor",
            "the terminal could only come from here, not from the devpts of the new root",
            "dup(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Takes up a descriptor that the previous applet of a row handed down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakeUp {
    /// Its number.
    pub number: i32,
    /// Where later steps find it.
    pub slot: Slot,
}

impl Step for TakeUp {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let fd = task::take_up(self.number).map_err(|errno| {
            Error::new(format!("descriptor {} was not handed down", self.number))
                .errno_is(errno)
                .hint(format!(
                    "start this by 'unshare --tty={} --fork'",
                    self.number
                ))
        })?;
        cx.put(self.slot, fd);
        Ok(())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("fcntl({}, F_SETFD, FD_CLOEXEC)", self.number),
            "the line to the process that relays the terminal was handed down under this number",
            "the program would inherit it",
            "fcntl(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Makes a pseudo-terminal and sends its master to the parent.
#[derive(Debug, Clone, Copy)]
pub struct OpenTerminal {
    /// The multiplexer: `/dev/pts/ptmx` of a devpts instance of our own, or `/dev/ptmx`.
    pub multiplexer: &'static str,
    /// The line to the parent.
    pub line: Slot,
    /// Where the program's side is left.
    pub peer: Slot,
    /// Who shall own it, if not this user.
    pub owner: Option<u32>,
    /// How large it is; as ours without.
    pub size: Option<tty::Size>,
}

impl Step for OpenTerminal {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let path = Path::new(self.multiplexer);
        let flags = libc::O_RDWR | libc::O_NOCTTY;
        let safe = resolve::NO_MAGICLINKS | resolve::NO_SYMLINKS;
        // /dev/ptmx of a host may be a link to pts/ptmx; a container's own is named directly.
        let safe = if path.starts_with("/dev/pts") {
            safe
        } else {
            resolve::NO_MAGICLINKS
        };
        let master = openat2(AT_FDCWD.as_fd(), path, flags, 0, safe)
            .doing_to("cannot make a terminal from", path)?;
        tty::unlock(master.as_fd()).doing("cannot unlock the terminal")?;
        let peer = tty::peer(master.as_fd()).doing("cannot open the terminal")?;
        if let Some(size) = self.size.or_else(terminal::size_of_ours) {
            tty::resize(master.as_fd(), size).doing("cannot size the terminal")?;
        }
        if let Some(uid) = self.owner {
            fchown(&peer, Some(Uid::from_raw(uid)), None::<Gid>)
                .doing("cannot give the terminal to its user")?;
        }
        terminal::send(cx.get(self.line)?, master.as_fd())?;
        drop(cx.take(self.line));
        cx.put(self.peer, peer);
        Ok(())
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "open({:?}), ioctl(TIOCSPTLCK), ioctl(TIOCGPTPEER), ioctl(TIOCSWINSZ), sendmsg(SCM_RIGHTS)",
                self.multiplexer
            ),
            "a terminal of the program's own; the side that a screen and a keyboard belong to goes to the parent",
            "no job control and no screen size inside, or the caller's own terminal within its reach",
            "pty(7)",
        )
    }

    fn shell(&self) -> Shell {
        let mut words = vec![format!("--tty={LINE_FD}").into()];
        words.extend(self.owner.map(|uid| format!("--tty-owner={uid}").into()));
        Shell::Option {
            applet: "pivot",
            words,
        }
    }
}

/// Shows the terminal as `/dev/console` too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindConsole {
    /// The program's side of the terminal.
    pub peer: Slot,
}

impl Step for BindConsole {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        const CONSOLE: &str = "/dev/console";
        let fresh = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(0o600);
        let target = match open(CONSOLE, fresh, mode) {
            Err(Errno::EEXIST) => {
                // A tree may have one of its own; a link in its place is not followed.
                let safe = resolve::NO_MAGICLINKS | resolve::NO_SYMLINKS;
                openat2(AT_FDCWD.as_fd(), Path::new(CONSOLE), libc::O_PATH, 0, safe)
            }
            other => other,
        }
        .doing_to("cannot make", CONSOLE)?;
        let mount = open_tree(cx.get(self.peer)?, Path::new(""), open_tree_flags::CLONE)
            .doing("cannot clone the terminal")?;
        move_mount(mount.as_fd(), target.as_fd()).doing_to("cannot mount", CONSOLE)
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "open_tree(PEER, OPEN_TREE_CLONE), move_mount(\"/dev/console\")",
            "programs that write to the system's console write to the terminal",
            "they would find no /dev/console",
            "open_tree(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Makes the terminal that of this session, and standard input, output and error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakeTerminal {
    /// The program's side of the terminal.
    pub peer: Slot,
    /// Whether to start the session first: an applet of a row may have done it.
    pub session: bool,
}

impl Step for TakeTerminal {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        if self.session {
            NewSession.perform(cx)?;
        }
        let peer = cx.get(self.peer)?;
        tty::take_control(peer).doing("cannot take control of the terminal")?;
        let copied = dup2_stdin(peer)
            .and(dup2_stdout(peer))
            .and(dup2_stderr(peer));
        copied.doing("cannot make the terminal standard input and output")
    }

    fn explain(&self) -> Explanation {
        let session = if self.session { "setsid(), " } else { "" };
        Explanation::new(
            format!("{session}ioctl(PEER, TIOCSCTTY), dup2(PEER, 0), dup2(PEER, 1), dup2(PEER, 2)"),
            "the terminal controls the session: Ctrl-C, Ctrl-Z and fg work inside",
            "the shell would say: can't access tty; job control turned off",
            "ioctl_tty(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Gives the program an empty standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NullInput;

impl Step for NullInput {
    fn perform(&self, _: &mut Context) -> Result<()> {
        const NULL: &str = "/dev/null";
        let null: OwnedFd = open(NULL, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
            .doing_to("cannot open", NULL)?;
        // Before the root is left this is the machine's own; be sure all the same that it is what it is called.
        let seen = fstat(&null).doing_to("cannot look at", NULL)?;
        let kind = SFlag::from_bits_truncate(seen.st_mode & SFlag::S_IFMT.bits());
        if kind != SFlag::S_IFCHR || seen.st_rdev != makedev(1, 3) {
            return Err(Error::new("not the null device").on(NULL));
        }
        dup2_stdin(&null).doing("cannot replace standard input")
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "open(\"/dev/null\"), fstat(), dup2(NULL, 0)",
            "without -i the program's standard input is empty, as with docker",
            "it would read what was meant for the next command of a script",
            "null(4)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Redirection("</dev/null")
    }
}

/// Makes this process a job of its own, and the one that the terminal listens to, where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreground;

impl Step for Foreground {
    fn perform(&self, _: &mut Context) -> Result<()> {
        setpgid(Pid::from_raw(0), Pid::from_raw(0)).doing("cannot start a job")?;
        // A job in the background that takes the terminal is stopped, unless it does not hear of it.
        let mut stop = SigSet::empty();
        stop.add(Signal::SIGTTOU);
        stop.thread_block().doing("cannot block signals")?;
        // Without a controlling terminal on standard input there is nobody to listen to.
        let _ = tcsetpgrp(STANDARD.0, Pid::this());
        stop.thread_unblock().doing("cannot unblock signals")
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "setpgid(0, 0), tcsetpgrp(0, getpid())",
            "what is typed (Ctrl-C, Ctrl-Z) goes to the program, not to the process 1 above it",
            "both would get it, and the program twice: once from the terminal, once passed on",
            "tcsetpgrp(3)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}
