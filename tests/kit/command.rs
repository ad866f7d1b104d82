//! A shell line, how it is to be run, and the running: bounded in time, its output kept in files.
//!
//! Output goes to unlinked files rather than pipes: a background process that outlives the line
//! keeps a pipe open and would make its reader wait; it cannot hold a file.

use super::{Ran, Sandbox, World, is_root};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// Time enough for the slowest line on a machine that is shared with other builds.
const LIMIT: Duration = Duration::from_secs(30);

/// The host's tools. Not /usr/local: that is where our own are installed, and they are no oracle.
const HOST_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// One shell line of a [`Sandbox`], not yet run.
pub struct Cmd<'t> {
    sandbox: &'t Sandbox,
    line: String,
    user: Option<u32>,
    stdin: Option<String>,
    env: Vec<(OsString, OsString)>,
    path: Vec<PathBuf>,
    limit: Duration,
}

impl<'t> Cmd<'t> {
    pub(super) fn new(sandbox: &'t Sandbox, line: &str) -> Self {
        Self {
            sandbox,
            line: line.to_owned(),
            user: None,
            stdin: None,
            env: Vec::new(),
            path: vec![sandbox.tools(), sandbox.bin(), sandbox.absent()],
            limit: LIMIT,
        }
    }

    /// Runs it as this uid and gid with no other groups. An ordinary user stays who they are.
    pub fn user(mut self, id: u32) -> Self {
        self.user = Some(id);
        self
    }

    /// Text on standard input; without it standard input is /dev/null.
    pub fn stdin(mut self, text: &str) -> Self {
        self.stdin = Some(text.to_owned());
        self
    }

    /// One more variable in the environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Only the host's tools on the PATH (and the test's own scripts), none of ours.
    pub fn host(mut self) -> Self {
        self.path = vec![self.sandbox.tools()];
        self
    }

    /// Another time limit than the usual one.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs the line and waits for the shell.
    ///
    /// # Panics
    /// When it outlives its time limit; its whole process group is killed first.
    #[track_caller]
    pub fn run(self) -> Ran<'t> {
        let before = World::glance(self.sandbox);
        let (mut out, mut err) = (self.scratch("out"), self.scratch("err"));
        let mut child = self.shell(&out, &err).spawn().unwrap();
        let status = wait(&mut child, self.limit);
        let ran = Ran {
            sandbox: self.sandbox,
            line: self.line,
            status: status.map_or(-1, as_the_shell_says),
            stdout: text_of(&mut out),
            stderr: text_of(&mut err),
            before,
        };
        assert!(
            status.is_some(),
            "still running after {:?}, killed{ran}",
            self.limit
        );
        ran
    }

    fn shell(&self, out: &File, err: &File) -> Command {
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", &self.line])
            .current_dir(self.sandbox.work())
            .env_clear()
            .env("PATH", self.search_path())
            .env("HOME", self.sandbox.work())
            .env("SHELL", "/bin/sh")
            .env("LC_ALL", "C")
            .env(super::oracle::MARK, &self.sandbox.id)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(self.input())
            .stdout(out.try_clone().unwrap())
            .stderr(err.try_clone().unwrap())
            .process_group(0);
        if let Some(id) = self.user.filter(|_| is_root()) {
            shell.uid(id).gid(id); // and no supplementary groups: the standard library clears them
        }
        shell
    }

    fn search_path(&self) -> OsString {
        let host = HOST_PATH.split(':').map(PathBuf::from);
        env::join_paths(self.path.iter().cloned().chain(host)).unwrap()
    }

    fn input(&self) -> Stdio {
        let Some(text) = &self.stdin else {
            return Stdio::null();
        };
        let mut file = self.scratch("in");
        file.write_all(text.as_bytes()).unwrap();
        file.rewind().unwrap();
        file.into()
    }

    /// A file nobody else can name.
    fn scratch(&self, name: &str) -> File {
        let path = self.sandbox.dir.join(name);
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        fs::remove_file(path).unwrap();
        file
    }
}

/// The child's status, or `None` when the time was up and its process group had to be killed.
fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    let mut nap = Duration::from_micros(500);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if start.elapsed() > limit {
            let group = Pid::from_raw(child.id().try_into().unwrap());
            let _ = killpg(group, Signal::SIGKILL);
            child.wait().unwrap();
            return None;
        }
        thread::sleep(nap);
        nap = (nap * 2).min(Duration::from_millis(10));
    }
}

/// `$?` of a shell that ran it: 128+n for a signal.
fn as_the_shell_says(status: ExitStatus) -> i32 {
    status
        .code()
        .or(status.signal().map(|signal| 128 + signal))
        .unwrap()
}

fn text_of(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}
