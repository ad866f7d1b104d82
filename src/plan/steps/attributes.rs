//! What a process hands on to its program besides who it is: limits, umask, working directory, death signal,
//! tracer.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::resource::{getrlimit, setrlimit};
use nix::sys::signal::SigSet;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, chdir};

use crate::error::{Doing, Error, Result};
use crate::plan::{Context, Explanation, Shell, Step};
use crate::proc_write;
use crate::process::signal_word;
use crate::rlimit::Limit;
use crate::sys::{signal, task};

/// Asks for a signal when the parent dies (`PR_SET_PDEATHSIG`). A change of credentials and the exec of a
/// set-id file clear it: it comes late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentDeathSignal {
    /// The signal; 0 asks for none.
    pub signal: i32,
}

impl Step for ParentDeathSignal {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let signal = u64::try_from(self.signal).unwrap_or(0);
        task::prctl(libc::PR_SET_PDEATHSIG, [signal, 0, 0, 0])
            .doing("set parent death signal failed")?;
        // A parent that died before the request will not die again.
        if signal != 0 && cx.parent_died() {
            return Err(Error::new("the parent died before its child was ready"));
        }
        Ok(())
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("prctl(PR_SET_PDEATHSIG, {})", self.signal),
            "the kernel sends this signal when the parent dies",
            "the program would outlive a parent that is killed",
            "prctl(2)",
        )
    }

    fn shell(&self) -> Shell {
        let word = match self.signal {
            0 => "--pdeathsig=clear".into(),
            signal => format!("--pdeathsig={}", signal_word(signal)),
        };
        Shell::option("setpriv", word)
    }
}

/// Who may trace this process where Yama restricts tracing to ancestors (`PR_SET_PTRACER`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracer {
    /// Nobody but ancestors.
    None,
    /// Anybody.
    Any,
    /// This process and its descendants.
    Process(u32),
}

impl Step for Tracer {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let who = match self {
            Self::None => 0,
            Self::Any => u64::MAX,
            Self::Process(pid) => (*pid).into(),
        };
        let done = task::prctl(libc::PR_SET_PTRACER, [who, 0, 0, 0]);
        done.map(drop).map_err(|errno| {
            let yama = std::path::Path::new("/proc/sys/kernel/yama").exists();
            let hint = (errno == Errno::EINVAL).then_some(if yama {
                "there is no process of that number"
            } else {
                "this kernel has no Yama, so that nothing restricts tracing to ancestors"
            });
            Error::new("set ptracer").errno_is(errno).hint_maybe(hint)
        })
    }

    fn explain(&self) -> Explanation {
        let who = match self {
            Self::None => "0".into(),
            Self::Any => "PR_SET_PTRACER_ANY".into(),
            Self::Process(pid) => pid.to_string(),
        };
        Explanation::new(
            format!("prctl(PR_SET_PTRACER, {who})"),
            "names who may trace this process where Yama (ptrace_scope 1) lets only ancestors do it",
            "a debugger that is no ancestor could not attach, or one could that was allowed before",
            "PR_SET_PTRACER(2const)",
        )
    }

    fn shell(&self) -> Shell {
        let who = match self {
            Self::None => "none".into(),
            Self::Any => "any".into(),
            Self::Process(pid) => pid.to_string(),
        };
        Shell::option("setpriv", format!("--ptracer={who}"))
    }
}

/// Sets the file mode creation mask (umask(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Umask {
    /// The permission bits that new files do not get.
    pub mask: u32,
}

impl Step for Umask {
    fn perform(&self, _: &mut Context) -> Result<()> {
        umask(Mode::from_bits_truncate(self.mask as libc::mode_t));
        Ok(())
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("umask({:#05o})", self.mask),
            "new files are made without these permissions",
            "the caller's mask would decide who may read the program's files",
            "umask(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::option("setpriv", format!("--umask={:04o}", self.mask))
    }
}

/// Sets a resource limit (setrlimit(2)). Raising the hard limit needs `CAP_SYS_RESOURCE` in the first user
/// namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetLimit(pub Limit);

impl Step for SetLimit {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let Limit {
            resource,
            soft,
            hard,
        } = self.0;
        setrlimit(resource, soft, hard).map_err(|errno| {
            let now = getrlimit(resource).ok().filter(|(_, now)| hard > *now);
            let hint = now.filter(|_| errno == Errno::EPERM).map(|(soft, hard)| {
                let now = Limit {
                    resource,
                    soft,
                    hard,
                };
                format!("raising a hard limit needs CAP_SYS_RESOURCE; it is {now}")
            });
            Error::new("setrlimit failed")
                .on(self.0.name())
                .errno_is(errno)
                .hint_maybe(hint)
        })
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("setrlimit(RLIMIT_{})", self.0),
            "limits this process and what it starts, each process by itself",
            "the caller's limit would hold",
            "setrlimit(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::option("setpriv", format!("--rlimit={}", self.0))
    }
}

/// Sets how readily the kernel kills this process when memory runs out (proc_pid_oom_score_adj(5)). Going below
/// what a privileged process has set needs `CAP_SYS_RESOURCE`; done before ids change, after which the file
/// belongs to somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OomScoreAdjust {
    /// -1000 (never) to 1000 (first).
    pub value: i16,
    /// Leaves a value that is higher already.
    pub at_least: bool,
}

impl Step for OomScoreAdjust {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        if cx.program() != Pid::this() {
            return self.of_another(cx.program());
        }
        let mut options = OpenOptions::new();
        options
            .write(true)
            .read(self.at_least)
            .custom_flags(libc::O_CLOEXEC);
        let mut file = options.open(OOM_FILE).doing_to("cannot open", OOM_FILE)?;
        if self.at_least {
            let mut now = [0; 8];
            let length = file.read(&mut now).doing_to("cannot read", OOM_FILE)?;
            let now = std::str::from_utf8(&now[..length]).ok();
            if now
                .and_then(|text| text.trim().parse().ok())
                .is_some_and(|now: i16| now >= self.value)
            {
                return Ok(());
            }
        }
        let text = self.value.to_string();
        file.write_all(text.as_bytes())
            .doing_to("cannot write", OOM_FILE)
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("write({OOM_FILE:?}, \"{}\")", self.word()),
            "weighs this program when memory runs out",
            "it would be as likely to be killed as its parent",
            "proc_pid_oom_score_adj(5)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::option("setpriv", format!("--oom-score-adj={}", self.word()))
    }
}

impl OomScoreAdjust {
    /// The same for another process, which this one has forked.
    fn of_another(self, process: Pid) -> Result<()> {
        let file = format!("{process}/oom_score_adj");
        let shown = format!("/proc/{file}");
        if self.at_least {
            let mut now = [0; 8];
            let open = proc_write::open(&file, OFlag::O_RDONLY);
            let length = open
                .and_then(|fd| nix::unistd::read(fd, &mut now))
                .doing_to("cannot read", &shown)?;
            let now = now
                .get(..length)
                .and_then(|text| std::str::from_utf8(text).ok());
            if now
                .and_then(|text| text.trim().parse().ok())
                .is_some_and(|now: i16| now >= self.value)
            {
                return Ok(());
            }
        }
        proc_write::write(&file, self.value.to_string().as_bytes()).doing_to("cannot write", shown)
    }

    /// As setpriv reads it: `100`, or `100+` for at least that.
    fn word(self) -> String {
        let or_more = if self.at_least { "+" } else { "" };
        format!("{}{or_more}", self.value)
    }
}

const OOM_FILE: &str = "/proc/self/oom_score_adj";

/// Changes the working directory (chdir(2)), with the rights the process then has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeDirectory {
    /// Where to.
    pub path: PathBuf,
}

impl Step for ChangeDirectory {
    fn perform(&self, _: &mut Context) -> Result<()> {
        chdir(&self.path).doing_to("cannot change directory to", &self.path)
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("chdir({:?})", self.path),
            "the program starts in this directory",
            "it would start in the caller's",
            "chdir(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::valued("setpriv", "--workdir=", self.path.as_os_str())
    }
}

/// Joins a new anonymous session keyring (keyctl(2), `KEYCTL_JOIN_SESSION_KEYRING`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewSessionKeyring;

impl Step for NewSessionKeyring {
    fn perform(&self, _: &mut Context) -> Result<()> {
        match task::join_session_keyring() {
            // Where this process may not use keys (a kernel without them, a seccomp filter), its program may not.
            Ok(()) | Err(Errno::ENOSYS | Errno::EPERM | Errno::EACCES) => Ok(()),
            Err(errno) => Err(Error::new("cannot join a new session keyring")
                .errno_is(errno)
                .hint_maybe((errno == Errno::EDQUOT).then_some(
                    "this user has no keys left: see /proc/key-users and /proc/sys/kernel/keys/maxkeys",
                ))),
        }
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL)",
            "keyrings belong to no namespace: a new, empty one takes the place of the caller's",
            "the program could use the caller's keys (of encrypted directories, Kerberos, AFS)",
            "session-keyring(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::option("setpriv", "--new-session-keyring")
    }
}

/// Has every descriptor but standard input, output and error closed by the exec (close_range(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseOnExec {
    /// How many stay open besides standard input, output and error.
    pub but: u32,
}

impl CloseOnExec {
    fn first(self) -> u32 {
        self.but.saturating_add(3)
    }
}

impl Step for CloseOnExec {
    fn perform(&self, _: &mut Context) -> Result<()> {
        task::cloexec_from(self.first()).doing("cannot have descriptors closed")
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("close_range({}, ~0, CLOSE_RANGE_CLOEXEC)", self.first()),
            "what the caller had open is not for the program",
            "a directory of the host left open is a way out of the root",
            "close_range(2)",
        )
    }

    fn shell(&self) -> Shell {
        match self.but {
            0 => Shell::option("setpriv", "--close-fds"),
            but => Shell::option("setpriv", format!("--close-fds={but}")),
        }
    }
}

/// Hides this process from those of its own user (`PR_SET_DUMPABLE` 0), until the exec of its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotDumpable;

impl Step for NotDumpable {
    fn perform(&self, _: &mut Context) -> Result<()> {
        task::prctl(libc::PR_SET_DUMPABLE, [0, 0, 0, 0])
            .map(drop)
            .doing("cannot make this process undumpable")
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "prctl(PR_SET_DUMPABLE, 0)",
            "until it executes the program, nobody else may trace it or open its descriptors",
            "a process in the same namespaces could reach the host through it (CVE-2016-9962)",
            "PR_SET_DUMPABLE(2const)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Gives every signal its default disposition and lets all through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultSignals;

impl Step for DefaultSignals {
    fn perform(&self, _: &mut Context) -> Result<()> {
        signal::default_all();
        SigSet::empty()
            .thread_set_mask()
            .doing("cannot unblock signals")
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "sigaction(1 to 64, SIG_DFL), sigprocmask(SIG_SETMASK, {})",
            "an exec keeps what is ignored and what is blocked: the program starts with neither",
            "started with nohup, or in the background of a script, it could not be interrupted, nor could a shell trap that",
            "signal(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::option("setpriv", "--default-signals")
    }
}
