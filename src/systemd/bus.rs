//! A line to systemd's manager: connecting, calling, waiting for a job.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::Pid;

use super::message::{self, Body, FIXED, Kind, Message, Property, Target};
use super::{OTHER_MANAGER, Whose};
use crate::error::{Doing, Error, Result};

/// How long D-Bus programs wait for an answer (dbus_connection_send_with_reply(), its default).
const PATIENCE: Duration = Duration::from_secs(25);
/// What is said before messages is shorter.
const LONGEST_GREETING: usize = 256;

const BUS: Target = Target {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
};
const MANAGER: Target = Target {
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};
const PROPERTIES: Target = Target {
    interface: "org.freedesktop.DBus.Properties",
    ..MANAGER
};
const JOBS: &str = "type='signal',sender='org.freedesktop.systemd1',\
    interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

/// systemd's manager of units.
#[derive(Debug)]
pub struct Manager {
    line: UnixStream,
    socket: PathBuf,
    serial: u32,
    /// Jobs that have ended, and how.
    ended: Vec<(String, String)>,
}

impl Manager {
    /// Where the manager is: the first of its sockets by which it answers. There may be a bus without it. And its own
    /// group, below which all its units are; empty for the root.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn find(whose: &Whose) -> Result<(PathBuf, PathBuf)> {
        let mut why = None;
        for socket in whose.sockets() {
            match Self::connect(&socket).and_then(|mut manager| manager.group()) {
                Err(error) if error.errno() != Some(Errno::ENOENT) => why = why.or(Some(error)),
                Err(_) => {}
                Ok(group) => return Ok((socket, group)),
            }
        }
        let absent = || {
            Error::new("cannot ask systemd")
                .because("it does not run here")
                .hint(OTHER_MANAGER)
        };
        Err(why.unwrap_or_else(absent))
    }

    /// The manager behind this socket, which is a bus or its own.
    ///
    /// # Errors
    /// The kernel's answer, and where it does not let us in.
    pub fn connect(socket: &Path) -> Result<Self> {
        let line = UnixStream::connect(socket).doing_to("cannot ask systemd at", socket)?;
        line.set_read_timeout(Some(PATIENCE))
            .and_then(|()| line.set_write_timeout(Some(PATIENCE)))
            .doing_to("cannot ask systemd at", socket)?;
        let mut this = Self {
            line,
            socket: socket.to_owned(),
            serial: 0,
            ended: Vec::new(),
        };
        this.authenticate()?;
        // A bus wants to be greeted and to know what we listen to; systemd's own socket knows no such words.
        for (member, body) in [
            ("Hello", Body::default()),
            ("AddMatch", Body::default().text(JOBS)),
        ] {
            this.ask(&BUS, member, &body)?;
        }
        Ok(this)
    }

    /// By what the socket tells of us (`EXTERNAL` without an identity): the ids that systemd sees, whatever user namespace
    /// we are in.
    fn authenticate(&mut self) -> Result<()> {
        self.send(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        // Two lines, and then nothing before we have asked for something.
        let mut said = [0; LONGEST_GREETING];
        let mut length = 0;
        loop {
            let room = said.get_mut(length..).unwrap_or_default();
            let more = self.line.read(room);
            let more = more.doing_to("cannot ask systemd at", &self.socket)?;
            length += more;
            let text = said.get(..length).map(String::from_utf8_lossy);
            let text = text.unwrap_or_default();
            match *text.split("\r\n").collect::<Vec<_>>() {
                ["DATA", ok, ""] if ok.starts_with("OK ") => return Ok(()),
                [_] | ["DATA", _] if more > 0 => {}
                _ => {
                    let why = format!("it does not let us in: {}", text.trim_end());
                    return Err(self.failed().because(why));
                }
            }
        }
    }

    fn failed(&self) -> Error {
        Error::new("cannot ask systemd at").on(&self.socket)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let sent = self.line.write_all(bytes);
        sent.doing_to("cannot ask systemd at", &self.socket)
    }

    fn receive(&mut self, bytes: &mut [u8]) -> Result<()> {
        match self.line.read_exact(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                Err(self.failed().because("it does not answer"))
            }
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(self.failed().because("it has hung up"))
            }
            other => other.doing_to("cannot ask systemd at", &self.socket),
        }
    }

    /// The next message. What it tells of jobs is noted.
    fn message(&mut self) -> Result<Message> {
        let mut fixed = [0; FIXED];
        self.receive(&mut fixed)?;
        let mut rest = vec![0; message::rest_of(&fixed)?];
        self.receive(&mut rest)?;
        let message = Message::parse(&fixed, &rest)?;
        if message.kind == Kind::Signal && message.member == "JobRemoved" {
            let mut body = message.body();
            let ended = (body.u32(), body.text(), body.text(), body.text());
            if let (_, Some(job), _, Some(result)) = ended {
                self.ended.push((job, result));
            }
        }
        Ok(message)
    }

    /// Calls, and waits for the answer, whatever it is.
    fn ask(&mut self, target: &Target, member: &str, body: &Body) -> Result<Message> {
        self.serial += 1;
        let bytes = message::call(self.serial, target, member, body);
        self.send(&bytes)?;
        loop {
            let message = self.message()?;
            let answers = matches!(message.kind, Kind::Reply | Kind::Failure);
            if answers && message.answers == self.serial {
                return Ok(message);
            }
        }
    }

    /// The same, for an answer that is no failure; the name of one that is stands in brackets.
    fn call(&mut self, target: &Target, member: &str, body: &Body) -> Result<Message> {
        let message = self.ask(target, member, body)?;
        if message.kind == Kind::Reply {
            return Ok(message);
        }
        let said = message.body().text().unwrap_or_default();
        let why = format!("{said} ({})", message.failure);
        Err(Error::new(format!("systemd refuses {member}")).because(why))
    }

    fn group(&mut self) -> Result<PathBuf> {
        let body = Body::default().text(MANAGER.interface).text("ControlGroup");
        let answer = self.call(&PROPERTIES, "Get", &body)?;
        let mut body = answer.body();
        let group = body.signature().and_then(|_| body.text());
        let group = group.ok_or_else(|| Error::new("systemd does not say where its units are"))?;
        Ok(group.trim_matches('/').into())
    }

    /// Starts a unit that lives as long as its processes, and waits until it is there.
    ///
    /// # Errors
    /// Where systemd refuses, or the job fails.
    pub fn start(&mut self, unit: &str, properties: &[Property]) -> Result<()> {
        // Without this it tells nobody of its jobs.
        self.call(&MANAGER, "Subscribe", &Body::default())?;
        let body = Body::default()
            .text(unit)
            .text("fail")
            .properties(properties)
            .no_more_units();
        let job = self.call(&MANAGER, "StartTransientUnit", &body)?;
        self.wait_for(&job, "start", unit)
    }

    /// Moves a process into a unit. An ordinary user's manager has the machine's do it: it may where he may not himself,
    /// from a session's group into one of his manager's.
    ///
    /// # Errors
    /// Where systemd refuses.
    pub fn attach(&mut self, unit: &str, pid: Pid) -> Result<()> {
        let pid = pid.as_raw().cast_unsigned();
        let body = Body::default().text(unit).text("").numbers(&[pid]);
        self.call(&MANAGER, "AttachProcessesToUnit", &body)
            .map(drop)
    }

    /// Ends a unit with all its processes, and forgets how it ended. One that is not there is no error.
    ///
    /// # Errors
    /// As [`Manager::start`].
    pub fn stop(&mut self, unit: &str) -> Result<()> {
        self.call(&MANAGER, "Subscribe", &Body::default())?;
        let stopped = self.ask(
            &MANAGER,
            "StopUnit",
            &Body::default().text(unit).text("replace"),
        )?;
        match (stopped.kind, &*stopped.failure) {
            (Kind::Reply, _) => self.wait_for(&stopped, "stop", unit)?,
            (_, "org.freedesktop.systemd1.NoSuchUnit") => return Ok(()),
            (_, failure) => {
                return Err(Error::new("systemd does not stop")
                    .on(unit)
                    .because(failure.to_owned()));
            }
        }
        // One that went well is forgotten already.
        self.ask(&MANAGER, "ResetFailedUnit", &Body::default().text(unit))?;
        Ok(())
    }

    /// Changes properties of a unit, until the machine is started anew.
    ///
    /// # Errors
    /// Where systemd refuses.
    pub fn change(&mut self, unit: &str, properties: &[Property]) -> Result<()> {
        let body = Body::default()
            .text(unit)
            .truth(true)
            .properties(properties);
        self.call(&MANAGER, "SetUnitProperties", &body).map(drop)
    }

    fn wait_for(&mut self, job: &Message, doing: &str, unit: &str) -> Result<()> {
        let job = job.body().text().unwrap_or_default();
        loop {
            if let Some((_, result)) = self.ended.iter().find(|(ended, _)| *ended == job) {
                return match &**result {
                    "done" => Ok(()),
                    other => Err(Error::new(format!("systemd cannot {doing}"))
                        .on(unit)
                        .because(format!("the job ended as {other}"))),
                };
            }
            self.message()?;
        }
    }
}
