//! The eight kinds of namespace: each is made, something in it is changed, and the change looked for outside.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, socket};
use nix::sys::stat::stat;
use nix::sys::utsname::uname;
use nix::unistd::{geteuid, getpid, sethostname};

use super::roots::{mount_tmpfs, place};
use super::{Notes, broken, must, out_of_chroot, texts};
use crate::apart::{enter, perform};
use crate::error::{Doing, Error, Result};
use crate::namespace::Kind;
use crate::net::{Connection, link};
use crate::plan::steps::time::{Clock, ClockOffset};
use crate::plan::steps::uts::SetHostname;
use crate::sys::ipc;

pub(super) fn pid(notes: &Notes) -> Result<()> {
    let [inside, outside, seen] = texts(&mut || {
        enter(Kind::Pid.flag())?;
        let maker = getpid();
        let [inside, seen] = texts(&mut || {
            let seen = kill(maker, None) != Err(Errno::ESRCH);
            Ok([getpid().to_string(), seen.to_string()])
        })?;
        Ok([inside, maker.to_string(), seen])
    })?;
    notes.saw(
        "process number of the first child, and of its maker",
        &inside,
        &outside,
    );
    must(inside == "1", "its first process is not number 1")?;
    must(
        seen == "false",
        "a process outside can be signalled from inside",
    )
}

/// The links that we have.
pub(super) fn links() -> Result<String> {
    let all = link::all(&mut Connection::open()?).doing("cannot list links")?;
    let names: Vec<String> = all.iter().map(|link| link.name().to_string()).collect();
    Ok(names.join(" "))
}

pub(super) fn net(notes: &Notes) -> Result<()> {
    let name = format!("isobox-selftest-{}", getpid());
    let stream = || {
        socket(
            AddressFamily::Unix,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
    };
    let address = UnixAddr::new_abstract(name.as_bytes()).doing("cannot name a socket")?;
    let outside = stream().doing("cannot make a socket")?;
    bind(outside.as_raw_fd(), &address).doing("cannot bind a socket")?;
    let [inside, taken, way] = texts(&mut || {
        enter(Kind::Net.flag())?;
        let second = stream().doing("cannot make a socket")?;
        let taken = bind(second.as_raw_fd(), &address) == Err(Errno::EADDRINUSE);
        // An address that stands for the whole internet (RFC 5737).
        let way = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
            .and_then(|socket| socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)));
        let errno = way.err().and_then(|error| error.raw_os_error());
        let way = errno.map_or("a route", |errno| Errno::from_raw(errno).desc());
        Ok([links()?, taken.to_string(), way.into()])
    })?;
    notes.saw("links", &inside, &links().unwrap_or_default());
    notes.saw("way to 192.0.2.1", &way, &"not tried");
    must(inside == "lo", "there are other links in it than lo")?;
    must(taken == "false", "a socket's name is taken by one outside")?;
    must(way == Errno::ENETUNREACH.desc(), "there is a way out of it")
}

pub(super) fn uts(notes: &Notes) -> Result<()> {
    let name = || {
        uname()
            .map(|name| name.nodename().to_owned())
            .doing("cannot ask for the host name")
    };
    let before = name()?;
    let [inside] = texts(&mut || {
        enter(Kind::Uts.flag())?;
        perform(SetHostname {
            name: "isobox-selftest".into(),
        })?;
        Ok([name()?.to_string_lossy().into_owned()])
    })?;
    let after = name()?;
    notes.saw("host name", &inside, &after.display());
    if after != before {
        let _ = sethostname(before);
        return Err(broken("the host was renamed from inside"));
    }
    must(
        inside == "isobox-selftest",
        "the host name inside is not what it was set to",
    )
}

pub(super) fn ipc(notes: &Notes) -> Result<()> {
    let key = 0x1506_0000 | (getpid().as_raw() & 0xffff);
    let found = || ipc::find_queue(key).is_ok();
    let text = |there: bool| if there { "there" } else { "not there" };
    must(!found(), "there is a message queue with our key").map_err(|e| e.status(1))?;
    let [inside] = texts(&mut || {
        enter(Kind::Ipc.flag())?;
        ipc::make_queue(key).doing("cannot make a message queue")?;
        Ok([text(found()).into()])
    })?;
    let left = ipc::find_queue(key);
    notes.saw(
        "a message queue that was made inside",
        &inside,
        &text(left.is_ok()),
    );
    if let Ok(queue) = left {
        let _ = ipc::remove_queue(queue);
        return Err(broken(
            "a message queue that was made inside is seen outside",
        ));
    }
    must(
        inside == "there",
        "a message queue that was made inside is not there",
    )
}

pub(super) fn mnt(notes: &Notes) -> Result<()> {
    let (path, _) = place()?;
    let device = || {
        stat(path)
            .map(|stat| stat.st_dev)
            .doing_to("cannot look at", path)
    };
    let before = device()?;
    let [inside] = texts(&mut || {
        enter(Kind::Mount.flag())?;
        let (_, place) = place()?;
        mount_tmpfs(place.as_fd())?;
        Ok([device()?.to_string()])
    })?;
    let after = device()?;
    notes.saw(
        "device at a place where something was mounted inside",
        &inside,
        &after,
    );
    must(
        after == before,
        "a mount that was made inside is seen outside",
    )?;
    must(
        inside != after.to_string(),
        "what was mounted inside is not there",
    )
}

pub(super) fn user(notes: &Notes) -> Result<()> {
    let [inside, own, foreign] = texts(&mut || {
        out_of_chroot();
        let name = uname()
            .doing("cannot ask for the host name")?
            .nodename()
            .to_owned();
        enter(Kind::User.flag())?;
        // What belongs to namespaces outside is not for the root in here. The name stays the same.
        let foreign = sethostname(&name) != Err(Errno::EPERM);
        enter(Kind::Uts.flag())?;
        let own = sethostname(&name).is_ok();
        Ok([geteuid().to_string(), own.to_string(), foreign.to_string()])
    })?;
    notes.saw("uid", &inside, &geteuid());
    notes.saw("may rename its own host, and ours", &own, &foreign);
    must(inside == "0", "we are not root in it")?;
    must(foreign == "false", "root in it may rename the host outside")?;
    must(
        own == "true",
        "root in it has no powers over what is its own",
    )
}

pub(super) fn cgroup(notes: &Notes) -> Result<()> {
    let groups = || {
        let text = std::fs::read_to_string("/proc/self/cgroup");
        text.doing_to("cannot read", "/proc/self/cgroup")
    };
    let mut both = || {
        out_of_chroot();
        let outside = groups()?;
        enter(Kind::Cgroup.flag())?;
        Ok([groups()?, outside])
    };
    // In a group of its own, which can be told from the root's; else in ours.
    let [inside, outside] = match super::limits::in_group("pids.max=100", &mut both) {
        Err(error) if error.exit_status() == 1 => texts(&mut both)?,
        other => other?,
    };
    let paths = |text: &str| -> Vec<String> {
        let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
        paths.map(str::to_owned).collect()
    };
    let deepest = |text: &str| {
        paths(text)
            .into_iter()
            .max_by_key(String::len)
            .unwrap_or_default()
    };
    notes.saw("path of our group", &deepest(&inside), &deepest(&outside));
    if deepest(&outside) == "/" {
        return Err(Error::new("this process is in the root of every hierarchy"));
    }
    must(
        paths(&inside).iter().all(|path| path == "/"),
        "its own group is not the root of what is seen",
    )
}

pub(super) fn time(notes: &Notes) -> Result<()> {
    const SHIFT: i64 = 1_000_000;
    let start = Instant::now();
    let [inside] = texts(&mut || {
        out_of_chroot();
        enter(Kind::Time.flag())?;
        perform(ClockOffset {
            clock: Clock::Monotonic,
            seconds: SHIFT,
            nanoseconds: 0,
        })?;
        texts(&mut || Ok([start.elapsed().as_secs().to_string()]))
    })?;
    let outside = start.elapsed();
    notes.saw("seconds since we began", &inside, &outside.as_secs());
    must(
        inside.parse().is_ok_and(|seconds: i64| seconds >= SHIFT),
        "its clock was not shifted",
    )?;
    must(
        outside < Duration::from_secs(SHIFT.unsigned_abs()),
        "our clock was shifted from inside",
    )
}
