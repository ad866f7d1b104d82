//! What the monitor reads of a container, and types to it.

use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, pipe2};

use crate::error::{Doing, Result};
use crate::oci::log::Stream;

/// A stream from the container.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) fd: OwnedFd,
    pub(super) stream: Stream,
}

/// Makes the pipes that the container inherits as its standard descriptors, and gives our ends: where to type, if there
/// is to be an input, and what it writes.
pub(super) fn pipes(input: bool) -> Result<(Option<OwnedFd>, Vec<Source>)> {
    let pipe = || pipe2(OFlag::O_CLOEXEC).doing("cannot make a pipe");
    let mut typed = None;
    if input {
        let (theirs, ours) = pipe()?;
        dup2_stdin(&theirs).doing("cannot hand down a pipe")?;
        blocking_no_more(&ours)?;
        typed = Some(ours);
    }
    let mut sources = Vec::new();
    for stream in [Stream::Out, Stream::Err] {
        let (ours, theirs) = pipe()?;
        let handed = match stream {
            Stream::Out => dup2_stdout(&theirs),
            Stream::Err => dup2_stderr(&theirs),
        };
        handed.doing("cannot hand down a pipe")?;
        blocking_no_more(&ours)?;
        sources.push(Source { fd: ours, stream });
    }
    Ok((typed, sources))
}

/// The standard descriptors were the container's until now.
pub(super) fn quiet_standard() -> Result<()> {
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
        .doing_to("cannot open", "/dev/null")?;
    let copied = dup2_stdin(&null)
        .and(dup2_stdout(&null))
        .and(dup2_stderr(&null));
    copied.doing("cannot replace standard descriptors")
}

pub(super) fn blocking_no_more(fd: &OwnedFd) -> Result<()> {
    let flags = fcntl(fd, FcntlArg::F_GETFL).map(OFlag::from_bits_truncate);
    flags
        .and_then(|flags| fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)))
        .map(drop)
        .doing("cannot prepare a stream")
}
