//! A whole container, on the root of the machine, with a network: run by this program, and looked at by this program as
//! the container's own.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;
use nix::sys::utsname::uname;
use nix::unistd::{dup2_stderr, getpid};

use super::namespaces::links;
use super::roots::mount_tmpfs;
use super::{INSIDE, Notes, must, out_of_chroot, texts};
use crate::apart::enter;
use crate::error::{Doing, Error, Result};
use crate::namespace::Kind;
use crate::probe;
use crate::process;
use crate::sys::clone::Change;

/// Its host name, and the file that it writes.
const NAME: &str = "isobox-selftest";
const FILE: &str = "/isobox-selftest";

/// How an ordinary user is one again: by a user namespace below the one that was needed for a network of our own.
const AGAIN: &str = "unshare --map-user=1000 --map-group=1000 ";
pub(super) fn check(notes: &Notes) -> Result<()> {
    // With one id of its own a user namespace takes no settings that name others, as a bridge's guests get them.
    let bridge = probe::is_admin();
    let (again, network, wanted) = match bridge {
        true => ("", "bridge", "lo eth0"),
        false => (AGAIN, "private", "lo"),
    };
    // In no control group, which might outlive it.
    let line = format!(
        "/proc/self/exe {again}container run --network {network} --rootfs host --hostname {NAME} --pids-limit -1 -- selftest {INSIDE}"
    );
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let [pid, name, net, gateway, filter, privileges] = texts(&mut || {
        out_of_chroot();
        // Its bridge, its addresses and its state are ours alone, and go with us.
        enter(Kind::Mount.flag())?;
        enter(Kind::Net.flag())?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        for path in ["/run", "/tmp"] {
            if let Ok(place) = open(path, flags, Mode::empty()) {
                mount_tmpfs(place.as_fd())?;
            }
        }
        let said = memfd_create("errors", MFdFlags::MFD_CLOEXEC).doing("cannot make a file")?;
        dup2_stderr(&said).doing("cannot hand down a file")?;
        let (end, found) = process::run(&words, false)?;
        if end != Change::Exited(0) {
            let mut said = File::from(said);
            let mut why = String::new();
            let _ = said.rewind().and_then(|()| said.read_to_string(&mut why));
            let why = why.trim_end().replace('\n', "; ");
            return Err(Error::new("container run fails")
                .because(format!("{why} ({})", process::ended(end))));
        }
        let found = String::from_utf8_lossy(&found).into_owned();
        let lines: Vec<String> = found.lines().map(str::to_owned).collect();
        lines
            .try_into()
            .map_err(|_| Error::new("cannot understand what the container says").because(found))
    })?;
    let outside = uname().map(|name| name.nodename().display().to_string());
    notes.saw("process number", &pid, &getpid());
    notes.saw("host name", &name, &outside.unwrap_or_default());
    notes.saw("links", &net, &links().unwrap_or_default());
    notes.saw("its gateway", &gateway, &"-");
    notes.saw(
        "Seccomp",
        &filter,
        &probe::status("Seccomp").unwrap_or_default(),
    );
    notes.saw(
        "NoNewPrivs",
        &privileges,
        &probe::status("NoNewPrivs").unwrap_or_default(),
    );
    must(pid == "1", "its program is not process 1")?;
    must(name == NAME, "it has not the host name that it was given")?;
    must(net == wanted, "it has other links than it should have")?;
    must(
        !bridge || gateway == "answers",
        "it does not reach its gateway",
    )?;
    must(filter == "2", "no filter is in force in it")?;
    must(privileges == "1", "its programs may gain privileges")?;
    must(
        !Path::new(FILE).exists(),
        "what it has written is seen outside",
    )
}

/// What the program of the container says, a line each.
pub fn inside() -> String {
    let status = |field| probe::status(field).unwrap_or_default();
    let written = fs::write(FILE, "").is_ok();
    let name = uname().map(|name| name.nodename().display().to_string());
    let name = if written {
        name.unwrap_or_default()
    } else {
        "cannot write to /".into()
    };
    [
        getpid().to_string(),
        name,
        links().unwrap_or_default(),
        gateway(),
        status("Seccomp"),
        status("NoNewPrivs"),
    ]
    .map(|line| line + "\n")
    .concat()
}

/// Whether somebody is at the address that the default route leads to: a port where nobody listens is refused by who is
/// there.
fn gateway() -> String {
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let default = routes.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (to, by) = (words.next()?, words.next()?);
        // In the order of bytes of this machine.
        let by = u32::from_str_radix(by, 16)
            .ok()
            .filter(|_| to == "00000000")?;
        Some(Ipv4Addr::from(by.to_ne_bytes()))
    });
    let Some(address) = default else {
        return "none".into();
    };
    let tried = TcpStream::connect_timeout(&SocketAddr::from((address, 9)), Duration::from_secs(2));
    match tried.map_err(|error| error.raw_os_error().map(Errno::from_raw)) {
        Ok(_) | Err(Some(Errno::ECONNREFUSED)) => "answers".into(),
        Err(_) => format!("{address} is silent"),
    }
}
