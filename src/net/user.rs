//! The programs that carry an ordinary user's packets: pasta(1), or slirp4netns(1) where there is none.
//!
//! ```text
//! this process --- spawns ---> carrier        says on a pipe when it is ready
//!      |                          ^
//!      +--- forks ---> watcher ---+           ends it when this process is gone, also by kill -9
//! ```

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{AccessFlags, Pid, access, pipe2};

use super::nat::{Port, Protocol};
use crate::error::{Doing, Error, Result};
use crate::sys::clone::{Forked, fork, pidfd_open, pidfd_send_signal, wait};
use crate::sys::task;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Gives the namespace the address of the machine.
    Pasta,
    /// Gives it 10.0.2.100, and a name server at 10.0.2.3.
    Slirp,
}

impl Kind {
    /// Both, the better first.
    pub const ALL: [Self; 2] = [Self::Pasta, Self::Slirp];

    /// The one whose program has this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The program's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pasta => "pasta",
            Self::Slirp => "slirp4netns",
        }
    }
}

/// A carrier to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carrier {
    /// Which.
    pub kind: Kind,
    /// Its file.
    pub program: PathBuf,
    /// The ports that lead in.
    pub ports: Vec<Port>,
    /// A directory of the user's own, for slirp4netns's socket.
    pub directory: PathBuf,
}

/// The carrier that is installed, of these kinds, by a search path.
///
/// # Errors
/// Says what is missing: neither program, or the right to use tap devices.
pub fn find(kinds: &[Kind], path: &[PathBuf]) -> Result<(Kind, PathBuf)> {
    let file = |kind: &Kind| {
        let mut files = path.iter().map(|directory| directory.join(kind.name()));
        let found = files.find(|file| access(file, AccessFlags::X_OK).is_ok())?;
        Some((*kind, found))
    };
    let found = kinds.iter().find_map(file).ok_or_else(|| {
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        Error::new("an ordinary user's container reaches the network by a program that is not installed:")
            .on(names.join(" or "))
            .hint("apt install passt, or slirp4netns; --network host shares the machine's network, --network private has lo alone")
    })?;
    let tap = "/dev/net/tun";
    match access(tap, AccessFlags::R_OK | AccessFlags::W_OK) {
        Ok(()) => Ok(found),
        Err(errno) => Err(Error::new("cannot use")
            .on(tap)
            .errno_is(errno)
            .hint(format!(
                "{} makes a tap device with it: root can allow that with chmod 666 {tap}",
                found.0.name()
            ))),
    }
}

impl Carrier {
    /// Its command line for a namespace.
    pub fn words(&self, pid: &str) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![self.program.clone().into()];
        match self.kind {
            Kind::Pasta => {
                let fixed = [
                    "--foreground",
                    "--quiet",
                    "--config-net",
                    "--no-map-gw",
                    "--pid",
                    "/dev/stdout",
                ];
                words.extend(fixed.map(OsString::from));
                for (option, protocol) in [("-t", Protocol::Tcp), ("-u", Protocol::Udp)] {
                    words.extend(self.forwards(option, protocol));
                }
                words.extend(["-T", "none", "-U", "none"].map(OsString::from));
                words.push(pid.into());
            }
            Kind::Slirp => {
                let fixed = [
                    "--configure",
                    "--mtu=65520",
                    "--disable-host-loopback",
                    "--ready-fd=0",
                    "--exit-fd=1",
                ];
                words.extend(fixed.map(OsString::from));
                if !self.ports.is_empty() {
                    words.push("--api-socket".into());
                    words.push(self.socket(pid).into());
                }
                words.extend([pid.into(), "tap0".into()]);
            }
        }
        words
    }

    fn forwards(&self, option: &str, protocol: Protocol) -> Vec<OsString> {
        let ports = self.ports.iter().filter(|port| port.protocol == protocol);
        let words: Vec<OsString> = ports
            .flat_map(|port| {
                let at = port.at.map_or_else(String::new, |at| format!("{at}/"));
                [
                    option.into(),
                    format!("{at}{}:{}", port.here, port.there).into(),
                ]
            })
            .collect();
        match words.is_empty() {
            true => vec![option.into(), "none".into()],
            false => words,
        }
    }

    fn socket(&self, pid: &str) -> PathBuf {
        self.directory.join(format!("slirp4netns-{pid}"))
    }
}

/// Starts the carrier for the network namespace of a process, and comes back when it is ready.
///
/// # Errors
/// In the carrier's own words.
pub fn start(carrier: &Carrier, pid: Pid) -> Result<Child> {
    carrier.ports.iter().try_for_each(wait_until_free)?;
    let pid = pid.to_string();
    let name = carrier.kind.name();
    let words = carrier.words(&pid);
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| Error::new("no program given"))?;
    let complaints =
        memfd_create("complaints", MFdFlags::MFD_CLOEXEC).doing("cannot make a memory file")?;
    let (mut ready, ready_there) = pair()?;
    let (stays, stays_there) = pair()?;
    let copy = complaints.try_clone().doing("cannot copy a descriptor")?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().stderr(copy);
    // An interrupt from the terminal is meant for the program, which may live on.
    command.process_group(0);
    // slirp4netns takes descriptors: it writes to 0 when it is ready, and ends when 1 is hung up. pasta writes its
    // number to 1, as to the file that it is to stand in.
    match carrier.kind {
        Kind::Slirp => command.stdin(ready_there).stdout(stays),
        Kind::Pasta => command.stdin(Stdio::null()).stdout(ready_there),
    };
    let mut child = command.spawn().doing_to("cannot start", program)?;
    // Our copy of its end: it would keep us waiting.
    drop(command);
    let mut word = [0; 16];
    let heard = ready.read(&mut word).unwrap_or(0);
    if heard == 0 {
        let _ = child.kill();
        let _ = child.wait();
        return Err(
            Error::new(format!("{name} could not connect the namespace"))
                .because(last_words(complaints)),
        );
    }
    watch(&child)?;
    // Open for as long as this process is there.
    std::mem::forget(stays_there);
    if carrier.kind == Kind::Slirp {
        let socket = carrier.socket(&pid);
        let published = carrier
            .ports
            .iter()
            .try_for_each(|port| publish(&socket, port));
        if !carrier.ports.is_empty() {
            let _ = fs::remove_file(&socket);
        }
        if let Err(error) = published {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
    }
    Ok(child)
}

/// How often, and how long apart, a port is tried.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Waits for a port of ours: the carrier of a container that was killed has it a moment longer than that lives.
fn wait_until_free(port: &Port) -> Result<()> {
    let at = (port.at.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), port.here);
    for _ in 0..TRIES {
        let tried = match port.protocol {
            Protocol::Tcp => TcpListener::bind(at).map(drop),
            Protocol::Udp => UdpSocket::bind(at).map(drop),
        };
        match tried {
            Err(error) if error.kind() == ErrorKind::AddrInUse => sleep(PAUSE),
            // What else is in the way the carrier says.
            _ => return Ok(()),
        }
    }
    let text = format!("cannot publish port {}/{}", port.here, port.protocol.name());
    Err(Error::new(text).errno_is(Errno::EADDRINUSE))
}

fn pair() -> Result<(File, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).doing("cannot make a pipe")?;
    Ok((read.into(), write))
}

/// What a program said on standard error, in one line.
fn last_words(complaints: OwnedFd) -> String {
    let mut file = File::from(complaints);
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    let noise = |line: &&str| !line.is_empty() && !line.contains("syslog");
    let lines: Vec<&str> = text.lines().map(str::trim).filter(noise).collect();
    match (read, lines.is_empty()) {
        (Ok(_), false) => lines.join("; "),
        _ => "it ended without a word".into(),
    }
}

/// Leaves a process behind that ends the carrier when this process is gone.
fn watch(carrier: &Child) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(carrier.id()).unwrap_or(0));
    let pidfd = pidfd_open(pid).doing("cannot hold the carrier")?;
    let (line, held) = pair()?;
    let doing = "cannot fork a watcher";
    let Forked::Parent { child, .. } = fork(nix::sched::CloneFlags::empty(), None).doing(doing)?
    else {
        if let Ok(Forked::Child) = fork(nix::sched::CloneFlags::empty(), None) {
            watcher(&line, pidfd.as_fd());
        }
        task::exit_now(0)
    };
    while wait(child, nix::libc::WEXITED) == Err(Errno::EINTR) {}
    // Open for as long as this process is there.
    std::mem::forget(held);
    Ok(())
}

/// The watcher's life. What it inherited is closed: others wait for the end of it.
fn watcher(line: &File, pidfd: BorrowedFd<'_>) {
    let keep = [line.as_raw_fd(), pidfd.as_raw_fd()];
    for number in (0..1024).filter(|number| !keep.contains(number)) {
        let _ = nix::unistd::close(number);
    }
    let mut line = line;
    while line
        .read(&mut [0])
        .is_err_and(|error| error.kind() == std::io::ErrorKind::Interrupted)
    {}
    let _ = pidfd_send_signal(pidfd, nix::libc::SIGKILL);
}

/// Has slirp4netns lead a port on (slirp4netns(1), "API").
fn publish(socket: &Path, port: &Port) -> Result<()> {
    let doing = || format!("slirp4netns could not publish port {}", port.here);
    let at = port.at.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let request = format!(
        "{{\"execute\": \"add_hostfwd\", \"arguments\": {{\"proto\": \"{}\", \"host_addr\": \"{at}\", \"host_port\": {}, \"guest_addr\": \"10.0.2.100\", \"guest_port\": {}}}}}",
        port.protocol.name(),
        port.here,
        port.there
    );
    let mut line = UnixStream::connect(socket).doing(doing())?;
    let mut answer = String::new();
    line.write_all(request.as_bytes())
        .and_then(|()| line.shutdown(Shutdown::Write))
        .and_then(|()| line.read_to_string(&mut answer))
        .doing(doing())?;
    match answer.contains("\"return\"") {
        true => Ok(()),
        false => Err(Error::new(doing()).because(answer.trim().to_owned())),
    }
}
