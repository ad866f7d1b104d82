//! The end of every plan: the program.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::libc;
use nix::sys::stat::stat;
use nix::unistd::{AccessFlags, access, execve, execveat};

use super::{Context, Explanation, Shell, Slot};
use crate::error::{Error, Result, Text};

/// A program with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What is looked up: a path if it holds a slash, else a name for `PATH`.
    pub program: OsString,
    /// `argv`, which starts with the name the program is given.
    pub argv: Vec<OsString>,
}

impl Command {
    /// A command as typed: the first word is the program and its own name.
    pub fn new(words: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let argv: Vec<OsString> = words.into_iter().collect();
        Some(Self {
            program: argv.first()?.clone(),
            argv,
        })
    }
}

/// When a command that is the plain name of one of our applets is run from our own binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// Always.
    Always,
    /// Where none of the directories of `PATH` has a program of that name.
    StandsIn,
}

/// Replaces the process by a program (execve(2)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    command: Command,
    /// The whole environment, `NAME=value` each.
    env: Vec<OsString>,
    /// Where our own binary stands by, when the program is one of our applets.
    own_binary: Option<(Slot, Own)>,
    /// The original tool's words for a failure.
    failure: Text,
    /// The environment is the plan's own making, so that a script has to say it.
    env_is_said: bool,
    /// A file that the kernel cannot execute is not given to the shell.
    binaries_only: bool,
}

/// The statuses that shells and every wrapper give: found but not executable, and not found.
const CANNOT_EXECUTE: u8 = 126;
const NOT_FOUND: u8 = 127;

impl Exec {
    /// The program with its environment.
    pub fn new(command: Command, env: Vec<OsString>) -> Self {
        Self {
            command,
            env,
            own_binary: None,
            failure: Text::Borrowed("failed to execute"),
            env_is_said: false,
            binaries_only: false,
        }
    }

    /// Says the environment in a script too: it is not the caller's.
    #[must_use]
    pub fn said_in_scripts(mut self) -> Self {
        self.env_is_said = true;
        self
    }

    /// Leaves files to the kernel alone: execvp(3) would give one without a `#!` to the shell.
    #[must_use]
    pub fn binaries_only(mut self) -> Self {
        self.binaries_only = true;
        self
    }

    /// Runs our own binary, which an earlier step left in `slot`, under the name in `argv[0]`.
    pub fn from_own_binary(&mut self, slot: Slot, when: Own) {
        self.own_binary = Some((slot, when));
    }

    /// Whether it is one of our applets, run from our own binary.
    pub fn is_own(&self) -> bool {
        self.own_binary.is_some()
    }

    /// What to say where it fails (the program follows).
    #[must_use]
    pub fn failing_with(mut self, words: impl Into<Text>) -> Self {
        self.failure = words.into();
        self
    }

    /// The command.
    pub fn command(&self) -> &Command {
        &self.command
    }

    /// The environment.
    pub fn env(&self) -> &[OsString] {
        &self.env
    }

    /// Becomes the program; comes back only with the reason why not: status 127 if it is not there, else 126.
    pub fn perform(&self, cx: &Context) -> Error {
        match self.become_program(cx) {
            Err(Attempt::Kernel(errno)) => self.failed(errno),
            Err(Attempt::Plan(error)) => error,
            Ok(never) => match never {},
        }
    }

    /// Looks whether the program is there and may be executed, as [`Exec::perform`] would find it.
    ///
    /// # Errors
    /// As those of the exec.
    pub(super) fn find(&self) -> Result<()> {
        if self.own_binary.is_some() {
            return Ok(());
        }
        let may = |path: &[u8]| {
            let path = Path::new(OsStr::from_bytes(path));
            access(path, AccessFlags::X_OK)?;
            match stat(path)?.st_mode & libc::S_IFMT {
                libc::S_IFDIR => Err(Errno::EACCES),
                _ => Ok(()),
            }
        };
        self.each_place(|path| may(path))
            .map_err(|errno| self.failed(errno))
    }

    /// The same by another look at a place, where the program is to be in a root that is not ours yet.
    ///
    /// # Errors
    /// As those of the exec.
    pub(super) fn find_by(&self, look: &dyn Fn(&[u8]) -> Result<(), Errno>) -> Result<()> {
        self.each_place(look).map_err(|errno| self.refused(errno))
    }

    /// Why it does not become the program, as far as that can be found.
    fn failed(&self, errno: Errno) -> Error {
        let hint = crate::probe::exec_failed(&self.command.program, errno);
        self.refused(errno).hint_maybe(hint)
    }

    fn refused(&self, errno: Errno) -> Error {
        let status = if errno == Errno::ENOENT {
            NOT_FOUND
        } else {
            CANNOT_EXECUTE
        };
        Error::new(self.failure.clone())
            .on(&self.command.program)
            .errno_is(errno)
            .status(status)
    }

    fn become_program(&self, cx: &Context) -> Result<Infallible, Attempt> {
        let argv = c_strings(&self.command.argv)?;
        let env = c_strings(&self.env)?;
        let own = |slot| {
            let binary = cx.get(slot).map_err(Attempt::Plan)?;
            Ok(execveat(binary, c"", &argv, &env, AtFlags::AT_EMPTY_PATH)?)
        };
        if let Some((slot, Own::Always)) = self.own_binary {
            return own(slot);
        }
        let theirs = self.each_place(|path| match try_path(path, &argv, &env) {
            Err(Errno::ENOEXEC) if !self.binaries_only => try_shell(path, &argv, &env),
            other => other,
        });
        match (theirs, self.own_binary) {
            (Err(Errno::ENOENT), Some((slot, _))) => own(slot),
            (theirs, _) => theirs.map_err(Attempt::Kernel),
        }
    }

    /// Tries every file that the program may be, in order, as execvp(3) does: a file that may not be executed is
    /// remembered, not final.
    fn each_place<T>(
        &self,
        mut attempt: impl FnMut(&[u8]) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let program = self.command.program.as_bytes();
        if program.contains(&b'/') {
            return attempt(program);
        }
        if program.is_empty() {
            return Err(Errno::ENOENT);
        }
        let mut reason = Errno::ENOENT;
        for directory in self.search_path().split(|b| *b == b':') {
            let directory = if directory.is_empty() {
                b"."
            } else {
                directory
            };
            match attempt(&[directory, b"/", program].concat()) {
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(Errno::EACCES) => reason = Errno::EACCES,
                other => return other,
            }
        }
        Err(reason)
    }

    /// `PATH` of the environment the program gets, else that of the C library (confstr(3), `_CS_PATH`).
    fn search_path(&self) -> &[u8] {
        let path = self
            .env
            .iter()
            .rev()
            .find_map(|entry| entry.as_bytes().strip_prefix(b"PATH="));
        path.unwrap_or(b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    }

    pub(super) fn explain(&self) -> Explanation {
        let argv: Vec<_> = self
            .command
            .argv
            .iter()
            .map(|word| format!("{word:?}"))
            .collect();
        let argv = argv.join(", ");
        let theirs = || format!("execve({:?}, [{argv}])", self.command.program);
        let own = || format!("execveat(ISOBOX, \"\", [{argv}], AT_EMPTY_PATH)");
        let call = match self.own_binary {
            None => theirs(),
            Some((_, Own::Always)) => own(),
            Some((_, Own::StandsIn)) => format!("{}, if that is not there {}", theirs(), own()),
        };
        Explanation::new(
            call,
            "becomes the program: same process, same namespaces, new code",
            "the process would go on being isobox",
            "execve(2)",
        )
    }

    pub(super) fn shells(&self) -> [Shell; 2] {
        let env = if self.env_is_said {
            let set = self
                .env
                .iter()
                .flat_map(|entry| ["--env".into(), entry.clone()]);
            Shell::Option {
                applet: "setpriv",
                words: std::iter::once("--clear-env".into()).chain(set).collect(),
            }
        } else {
            Shell::Implied
        };
        let words = self.command.argv.clone();
        [env, Shell::Command { words }]
    }
}

/// Why the program did not start.
enum Attempt {
    Kernel(Errno),
    Plan(Error),
}

impl From<Errno> for Attempt {
    fn from(errno: Errno) -> Self {
        Self::Kernel(errno)
    }
}

fn try_path(path: &[u8], argv: &[CString], env: &[CString]) -> Result<Infallible, Errno> {
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    execve(&path, argv, env)
}

/// A file that is no binary and has no `#!` line is given to the shell, as execvp(3) does.
fn try_shell(path: &[u8], argv: &[CString], env: &[CString]) -> Result<Infallible, Errno> {
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    let script = [c"/bin/sh".to_owned(), path]
        .into_iter()
        .chain(argv.iter().skip(1).cloned());
    execve(c"/bin/sh", &script.collect::<Vec<_>>(), env)
}

fn c_strings(words: &[OsString]) -> Result<Vec<CString>, Errno> {
    words
        .iter()
        .map(|word| CString::new(word.clone().into_vec()).map_err(|_| Errno::EINVAL))
        .collect()
}
