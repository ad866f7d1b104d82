//! runc exec: a program that joins a container.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use argh::{ArgsInfo, FromArgs};
use isobox::capability::Capability;
use isobox::decimal::decimal;
use isobox::oci::lifecycle::{Container, Exec, Refusal};
use isobox::oci::making::Making;
use isobox::oci::spec::{Process, Spec, User};
use isobox::oci::status::Status;
use isobox::plan::Outcome;

use super::Caller;
use super::make::{check_console, check_process, here, home, listeners, preserved};
use super::words::{Answer, Failure, not_opened, not_started};
use crate::cli::Exit;
use crate::cli::plan::{Explain, tell};
use crate::cli::raw::{Raw, words};

/// run a program in a container
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "exec")]
pub(super) struct Join {
    /// send the program's terminal to who listens on this socket
    #[argh(option, arg_name = "socket")]
    console_socket: Option<Raw>,
    /// send the program's pidfd to who listens on this socket
    #[argh(option, arg_name = "socket")]
    pidfd_socket: Option<Raw>,
    /// start the program in this directory of the container
    #[argh(option, arg_name = "dir")]
    cwd: Option<Raw>,
    /// set a variable of its environment
    #[argh(option, short = 'e', arg_name = "name=value")]
    env: Vec<Raw>,
    /// give it a terminal
    #[argh(switch, short = 't')]
    tty: bool,
    /// run it as this user, and group
    #[argh(option, short = 'u', arg_name = "uid[:gid]")]
    user: Option<Raw>,
    /// give it this group too
    #[argh(option, short = 'g', arg_name = "gid")]
    additional_gids: Vec<u32>,
    /// read what the program is from a file
    #[argh(option, short = 'p', arg_name = "process.json")]
    process: Option<Raw>,
    /// come back when the program runs
    #[argh(switch, short = 'd')]
    detach: bool,
    /// write the number of the program to this file
    #[argh(option, arg_name = "file")]
    pid_file: Option<Raw>,
    /// its SELinux label
    #[argh(option, arg_name = "label")]
    process_label: Option<String>,
    /// its AppArmor profile
    #[argh(option, arg_name = "profile")]
    apparmor: Option<String>,
    /// let no exec give it more than it has
    #[argh(switch)]
    no_new_privs: bool,
    /// let it have this capability too
    #[argh(option, short = 'c', arg_name = "cap")]
    cap: Vec<String>,
    /// hand down so many more descriptors than 0, 1 and 2
    #[argh(option, arg_name = "count")]
    preserve_fds: Option<u32>,
    /// put it into this group below the container's
    #[argh(option, arg_name = "[controller:]path")]
    cgroup: Vec<Raw>,
    /// also in a container that is paused
    #[argh(switch)]
    ignore_paused: bool,
    /// tell what would be done and do nothing; json for programs, run to tell while doing
    #[argh(option, arg_name = "[=how]")]
    explain: Option<Explain>,
    /// the container, the program and its arguments
    #[argh(positional, greedy)]
    container_id: Vec<Raw>,
}

impl Join {
    /// Whether no container is named.
    pub(super) fn is_bare(&self) -> bool {
        self.container_id.is_empty()
    }

    pub(super) fn run(self, caller: &Caller) -> Answer<Exit> {
        self.join(caller)
            .map_err(|failure| failure.while_doing("exec failed"))
    }

    fn join(mut self, caller: &Caller) -> Answer<Exit> {
        let container = caller.find(&self.container_id)?;
        let mut spec = container.spec()?;
        self.choose(&container, &mut spec)?;
        let path = |raw: Option<Raw>| raw.map(|Raw(path)| here(path)).transpose();
        let socket = path(self.console_socket.take())?;
        check_console(&spec, socket.is_some(), self.detach)?;
        let passed = listeners(&mut spec);
        let exec = Exec {
            input: true,
            leave: Vec::new(),
            spec: &spec,
            making: Making {
                detached: self.detach,
                console: socket,
                preserve: preserved(self.preserve_fds, passed)?,
                // It joins that of the container, with nobody's.
                keep_keyring: false,
                ..Making::default()
            },
            below: self.cgroup.iter().map(sub_group).collect(),
            ignore_paused: self.ignore_paused,
            own_binary: None,
            pid_file: path(self.pid_file.take())?,
            pidfd_socket: path(self.pidfd_socket.take())?,
        };
        if let Some(how) = self.explain.filter(|how| *how != Explain::Run) {
            return Ok(tell(&container.joining(&exec).map_err(refused)?, how)?);
        }
        Ok(
            match container
                .exec(&exec, caller.observer(self.explain))
                .map_err(refused)?
            {
                Outcome::Exited(status) => Exit::Status(status),
                Outcome::Killed(signal) => {
                    Exit::Status(u8::try_from(128 + signal).unwrap_or(u8::MAX))
                }
            },
        )
    }

    /// What the program is: the container's own process with what was asked for, or what a file says.
    fn choose(&mut self, container: &Container, spec: &mut Spec) -> Answer<()> {
        let args = words(self.container_id.split_off(1));
        match &self.process {
            Some(Raw(path)) => {
                let text = fs::read(path).map_err(|error| not_opened(path, &error))?;
                spec.process = Process::parse(&text)?;
            }
            None => {
                // What the maker's environment said was for the first program.
                let passed = |entry: &OsString| {
                    let entry = entry.as_bytes();
                    entry.starts_with(b"LISTEN_") || entry.starts_with(b"NOTIFY_SOCKET=")
                };
                spec.process.env.retain(|entry| !passed(entry));
                spec.process.args = args;
                self.change(&mut spec.process)?;
            }
        }
        if spec.process.args.is_empty() {
            return Err(Failure::new("process args cannot be empty"));
        }
        check_process(&spec.process)?;
        let root = PathBuf::from(format!(
            "/proc/{}/root",
            container.record().init_process_pid
        ));
        home(&mut spec.process, &root);
        Ok(())
    }

    /// What options say of the program.
    fn change(&mut self, process: &mut Process) -> Answer<()> {
        process.terminal = self.tty;
        process.console_size = None;
        if let Some(Raw(cwd)) = self.cwd.take().filter(|Raw(cwd)| !cwd.is_empty()) {
            process.cwd = cwd.into();
        }
        process.env.extend(words(std::mem::take(&mut self.env)));
        process.no_new_privileges |= self.no_new_privs;
        if let Some(profile) = self.apparmor.take() {
            process.apparmor_profile = profile;
        }
        if let Some(label) = self.process_label.take() {
            process.selinux_label = label;
        }
        if let Some(Raw(user)) = &self.user {
            let (uid, gid) = ids(&user.to_string_lossy())?;
            process.user = User {
                uid,
                gid: gid.unwrap_or(process.user.gid),
                ..process.user.clone()
            };
        }
        process.user.additional_gids.extend(&self.additional_gids);
        let caps = &mut process.capabilities;
        for name in &self.cap {
            for set in [&mut caps.bounding, &mut caps.effective, &mut caps.permitted] {
                match Capability::named(name) {
                    Some(cap) => set.set.0 |= cap.bit(),
                    None => set.unknown.push(name.clone()),
                }
            }
        }
        Ok(())
    }
}

/// `UID[:GID]`, numbers alone.
fn ids(text: &str) -> Answer<(u32, Option<u32>)> {
    let (uid, gid) = match text.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid)),
        None => (text, None),
    };
    let number = |word: &str, what: &str| {
        decimal::<u32>(word).filter(|id| *id != u32::MAX).ok_or_else(|| {
            Failure::new(format!(
                "parsing {word} as int for {what} failed: strconv.Atoi: parsing {word:?}: invalid syntax"
            ))
        })
    };
    Ok((
        number(uid, "uid")?,
        gid.map(|gid| number(gid, "gid")).transpose()?,
    ))
}

/// `[CONTROLLER:]PATH`; a path alone is meant in every hierarchy.
fn sub_group(Raw(word): &Raw) -> (Option<String>, PathBuf) {
    let text = word.to_string_lossy();
    match text.split_once(':') {
        Some((controller, path)) => (Some(controller.into()), path.into()),
        None => (None, word.into()),
    }
}

fn refused(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::In(Status::Paused) => {
            Failure::new("cannot exec in a paused container (use --ignore-paused to override)")
        }
        Refusal::In(_) => Failure::new("cannot exec in a stopped container"),
        other => not_started(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbers_and_nothing_else() {
        let read = |text| ids(text).ok();
        assert_eq!(read("0"), Some((0, None)));
        assert_eq!(read("1:2"), Some((1, Some(2))));
        assert_eq!(read("4294967294"), Some((u32::MAX - 1, None)));
        for bad in [
            "",
            "1:",
            ":2",
            "+1",
            "-1",
            "1 ",
            "4294967295",
            "4294967296",
            "name",
            "1:x",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
