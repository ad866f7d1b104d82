//! Loading a filter over system calls.

use std::cell::Cell;
use std::fmt;
use std::io::IoSlice;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::rc::Rc;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use crate::error::{Doing, Error, Result};
use crate::plan::{Context, Explanation, Shell, Slot, Step};
use crate::seccomp::Filter;

/// Loads a seccomp filter. The last step before the exec: a filter may forbid what any other step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadFilter {
    /// The filter.
    pub filter: Filter,
    /// Where it came from.
    pub origin: Origin,
}

/// What no applet says of a filter.
const RULES: &str = "rules over system calls that stand in no file of their own";

/// Where a filter came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file of raw instructions.
    File(PathBuf),
    /// The default profile.
    Default,
    /// A profile in JSON.
    Profile(PathBuf),
    /// Rules of a config.json.
    Rules,
}

impl Step for LoadFilter {
    fn perform(&self, _: &mut Context) -> Result<()> {
        self.filter.load().map(drop)
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "seccomp(SECCOMP_SET_MODE_FILTER, {:#x}, [{} instructions])",
                self.filter.flags,
                self.filter.program.len()
            ),
            "every system call from here on is judged by this program",
            "the whole kernel interface is open to the program",
            "seccomp(2)",
        )
    }

    fn shell(&self) -> Shell {
        let (option, value) = match &self.origin {
            Origin::File(path) => ("--seccomp-filter=", path.as_os_str()),
            Origin::Default => ("--seccomp-profile=", "default".as_ref()),
            Origin::Profile(path) => ("--seccomp-profile=", path.as_os_str()),
            Origin::Rules => return Shell::Unsaid(RULES),
        };
        let mut word = std::ffi::OsString::from(option);
        word.push(value);
        Shell::option("setpriv", word)
    }
}

/// Notes the number of this process outside: the /proc that it is born with still tells it.
#[derive(Debug, Clone)]
pub struct NoteOutsideNumber(pub Rc<Cell<i32>>);

impl Step for NoteOutsideNumber {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let link = std::fs::read_link("/proc/self").doing_to("cannot read", "/proc/self")?;
        let number = link.to_str().and_then(|text| text.parse().ok());
        let unknown = || Error::new("cannot tell the number of this process from").on("/proc/self");
        self.0.set(number.ok_or_else(unknown)?);
        Ok(())
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "readlink(\"/proc/self\")",
            "who is told of system calls has to know whose they are, as that is numbered outside",
            "in here it is number 1",
            "proc(5)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Loads a filter that has somebody decide about calls (`SECCOMP_RET_USER_NOTIF`), and sends the descriptor there.
#[derive(Clone)]
pub struct LoadSupervisedFilter {
    /// The filter.
    pub load: LoadFilter,
    /// The connection that a [`Connect`](super::start::Connect) left.
    pub line: Slot,
    /// What [`NoteOutsideNumber`] noted.
    pub number: Rc<Cell<i32>>,
    /// What is said along with the descriptor, for this number.
    pub message: Rc<dyn Fn(i32) -> String>,
}

impl fmt::Debug for LoadSupervisedFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.load.fmt(f)
    }
}

impl Step for LoadSupervisedFilter {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let said = (self.message)(self.number.get());
        let line = cx.get(self.line)?;
        let none = || Error::new("the kernel made no listener for the filter over system calls");
        let listener = self.load.filter.load()?.ok_or_else(none)?;
        let rights = [listener.as_raw_fd()];
        let parts = [IoSlice::new(said.as_bytes())];
        let (rights, flags) = ([ControlMessage::ScmRights(&rights)], MsgFlags::MSG_NOSIGNAL);
        sendmsg::<()>(line.as_raw_fd(), &parts, &rights, flags, None)
            .doing("cannot hand over the listener of the filter over system calls")?;
        drop(cx.take(self.line));
        Ok(())
    }

    fn explain(&self) -> Explanation {
        let told = self.load.explain();
        Explanation {
            call: format!("{}, sendmsg(SOCKET, SCM_RIGHTS)", told.call),
            why: "every system call from here on is judged by this program, and some by who listens on the socket".into(),
            ..told
        }
    }

    fn shell(&self) -> Shell {
        Shell::Unsaid(RULES)
    }
}
