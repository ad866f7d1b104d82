//! Files of a group that tell when they have changed, and are waited for by poll(2). Only v2 has any.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::group::Group;
use super::refusal::explain;
use crate::error::{Doing, Result};

impl Group {
    /// One of its files of events, to be waited for (v2): `cgroup.events`, `memory.events`.
    ///
    /// # Errors
    /// The kernel's answer, as "cannot read".
    pub fn events(&self, file: &str) -> Result<Events> {
        let open = self
            .hierarchy
            .open(&self.path.join(file), OFlag::O_RDONLY)
            .doing_to("cannot read", self.shown().join(file));
        open.map(|fd| Events { file: fd.into() })
            .map_err(|e| explain(e, self, file))
    }

    /// Its pressure file (`cpu.pressure`), which tells when a trigger such as `some 150000 1000000` fires: that many
    /// microseconds were waited for in a window of so many (psi.rst, "Monitoring for pressure thresholds").
    ///
    /// # Errors
    /// The kernel's answer: `EINVAL` for a window out of 500 ms to 10 s, and without `CAP_SYS_RESOURCE` for one that
    /// is no multiple of 2 s.
    pub fn pressure(&self, file: &str, trigger: &str) -> Result<Events> {
        let shown = self.shown().join(file);
        let open = self.hierarchy.open(&self.path.join(file), OFlag::O_RDWR);
        let fd = open.doing_to("cannot open", &shown)?;
        let mut file = File::from(fd);
        let set = file.write_all(trigger.as_bytes());
        set.doing_to(format!("cannot set the trigger '{trigger}' of"), &shown)
            .map_err(|error| match error.errno() {
                // Its form has been checked: of what the kernel refuses so, this is left.
                Some(Errno::EINVAL) => {
                    error.hint("without CAP_SYS_RESOURCE a window is a multiple of 2s")
                }
                _ => error,
            })?;
        Ok(Events { file })
    }
}

/// A file of a group that tells when it has changed.
#[derive(Debug)]
pub struct Events {
    file: File,
}

impl Events {
    /// What is so now, as `KEY VALUE` lines.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn read(&mut self) -> Result<String> {
        let mut text = String::new();
        self.file
            .seek(SeekFrom::Start(0))
            .doing("cannot read the events")?;
        self.file
            .read_to_string(&mut text)
            .doing("cannot read the events")?;
        Ok(text)
    }

    /// Waits until one of several has changed since it was read, at most this long. Tells whether one has.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn wait(all: &[Self], at_most: Option<Duration>) -> Result<bool> {
        let timeout = at_most.map_or(PollTimeout::NONE, |time| {
            PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX)
        });
        let watch = |one| PollFd::new(one, PollFlags::POLLPRI);
        let mut fds: Vec<PollFd> = all.iter().map(|one| watch(one.file.as_fd())).collect();
        match poll(&mut fds, timeout) {
            Err(Errno::EINTR) => Ok(false),
            other => other.map(|ready| ready > 0).doing("cannot wait for events"),
        }
    }
}
