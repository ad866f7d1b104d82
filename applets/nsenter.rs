//! nsenter(1): run a program in the namespaces of another process. util-linux's command line.

#[path = "nsenter/compile.rs"]
mod compile;

use std::ffi::OsString;
use std::path::PathBuf;

use argh::{ArgsInfo, FromArgs};
use isobox::credentials::{Typed, typed};
use isobox::decimal::decimal;
use isobox::enter::{Name, Origin};
use isobox::error::{Error, Result};
use isobox::namespace::Kind;
use nix::errno::Errno;
use nix::sched::CloneFlags;

use crate::cli::plan::{Explain, perform};
use crate::cli::raw::{Raw, words};
use crate::cli::{Applet, Exit};
use compile::{Directory, Meant, Wanted};

/// run a program in the namespaces of another process
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "nsenter",
    example = "nsenter -t $(pidof server) -a sh",
    example = "nsenter --net=blue ip addr",
    note = "A file whose name starts with a colon is written ./:NAME.",
    error_code(1, "a failure of nsenter itself"),
    error_code(126, "the program cannot be executed"),
    error_code(127, "the program is not there")
)]
pub(crate) struct Args {
    /// enter all namespaces of the target, the user namespace only if it is another than ours
    #[argh(switch, short = 'a')]
    all: bool,
    /// the process to take namespaces from; with the inode number of its pidfd, only if it is that very process
    #[argh(option, short = 't', arg_name = "pid[:inode]")]
    target: Vec<Raw>,
    /// enter the mount namespace: the target's, a file's, or that of an id
    #[argh(option, short = 'm', arg_name = "[file|:nsid]")]
    mount: Option<Raw>,
    /// enter the UTS namespace (host name)
    #[argh(option, short = 'u', arg_name = "[file|:nsid]")]
    uts: Option<Raw>,
    /// enter the IPC namespace
    #[argh(option, short = 'i', arg_name = "[file|:nsid]")]
    ipc: Option<Raw>,
    /// enter the network namespace: the target's, a file's, that of a name (ip netns), or that of an id
    #[argh(option, short = 'n', arg_name = "[file|name|:nsid]")]
    net: Option<Raw>,
    /// enter the network namespace of this socket of the target
    #[argh(option, short = 'N', arg_name = "fd")]
    net_socket: Option<Raw>,
    /// enter the PID namespace
    #[argh(option, short = 'p', arg_name = "[file|:nsid]")]
    pid: Option<Raw>,
    /// enter the cgroup namespace
    #[argh(option, short = 'C', arg_name = "[file|:nsid]")]
    cgroup: Option<Raw>,
    /// enter the user namespace, as its user 0 unless told otherwise
    #[argh(option, short = 'U', arg_name = "[file|:nsid]")]
    user: Option<Raw>,
    /// enter the parent of the user namespace selected
    #[argh(switch)]
    user_parent: bool,
    /// enter the time namespace
    #[argh(option, short = 'T', arg_name = "[file|:nsid]")]
    time: Option<Raw>,
    /// the user id to take inside; follow: the target's
    #[argh(option, short = 'S', arg_name = "uid|follow")]
    setuid: Option<Raw>,
    /// the group id to take inside, without supplementary groups; follow: the target's
    #[argh(option, short = 'G', arg_name = "gid|follow")]
    setgid: Option<Raw>,
    /// do not touch ids and groups when a user namespace is entered
    #[argh(switch)]
    preserve_credentials: bool,
    /// keep the capabilities that a user namespace gives, whatever the user id
    #[argh(switch)]
    keep_caps: bool,
    /// use the target's root directory, or this one
    #[argh(option, short = 'r', arg_name = "[dir]")]
    root: Option<Raw>,
    /// start in the target's working directory, or in this one of ours
    #[argh(option, short = 'w', arg_name = "[dir]")]
    wd: Option<Raw>,
    /// start in this directory as it is named inside
    #[argh(option, short = 'W', arg_name = "dir")]
    wdns: Option<Raw>,
    /// give the program the environment of the target
    #[argh(switch, short = 'e')]
    env: bool,
    /// do not fork before the program is executed
    #[argh(switch, short = 'F')]
    no_fork: bool,
    /// join the cgroup of the target (cgroup v2)
    #[argh(switch, short = 'c')]
    join_cgroup: bool,
    /// not supported (SELinux is left out)
    #[argh(switch, short = 'Z')]
    follow_context: bool,
    /// tell what would be done and do nothing; json for programs, run to tell while doing
    #[argh(option, arg_name = "[=how]")]
    explain: Option<Explain>,
    /// the program and its arguments
    #[argh(positional, greedy)]
    program: Vec<Raw>,
}

impl Applet for Args {
    fn run(mut self) -> Result<Exit> {
        let explain = self.explain;
        let program = std::mem::take(&mut self.program);
        perform(&self.mean()?.plan(words(program))?, explain)
    }
}

impl Args {
    /// The option of a kind.
    fn asked(&mut self, kind: Kind) -> Option<Raw> {
        match kind {
            Kind::User => self.user.take(),
            Kind::Cgroup => self.cgroup.take(),
            Kind::Ipc => self.ipc.take(),
            Kind::Uts => self.uts.take(),
            Kind::Net => self.net.take(),
            Kind::Pid => self.pid.take(),
            Kind::Mount => self.mount.take(),
            Kind::Time => self.time.take(),
        }
    }

    fn mean(mut self) -> Result<Meant> {
        if self.follow_context {
            return Err(Error::new(
                "--follow-context: SELinux contexts are not supported",
            ));
        }
        if self.wd.is_some() && self.wdns.is_some() {
            return Err(Error::new("mutually exclusive arguments: --wdns --wd"));
        }
        let name = self.name()?;
        let (mut of_target, mut given) = (CloneFlags::empty(), Vec::new());
        for kind in Kind::ALL {
            match self.asked(kind) {
                None => {}
                Some(Raw(value)) if value.is_empty() => of_target |= kind.flag(),
                Some(Raw(value)) => given.push((kind, origin(kind, value)?)),
            }
        }
        let directory = |value: Option<Raw>| {
            value.map(|Raw(path)| match path.is_empty() {
                true => Directory::OfTarget,
                false => Directory::Path(path.into()),
            })
        };
        let mut meant = Meant {
            target: None,
            of_target,
            given,
            socket: self.net_socket.map(|fd| descriptor(&fd)).transpose()?,
            user_parent: self.user_parent,
            uid: self.setuid.map(|id| wanted("uid", &id)).transpose()?,
            gid: self.setgid.map(|id| wanted("gid", &id)).transpose()?,
            preserve: self.preserve_credentials,
            keep_caps: self.keep_caps,
            root: directory(self.root),
            wd: directory(self.wd),
            wdns: self.wdns.map(Raw::into_path),
            env: self.env,
            fork: !self.no_fork,
            join_cgroup: self.join_cgroup,
        };
        meant.hold(name, self.all)?;
        Ok(meant)
    }

    fn name(&self) -> Result<Option<Name>> {
        let [one] = &self.target[..] else {
            return match self.target.is_empty() {
                true => Ok(None),
                false => Err(Error::new("option --target may be given only once")),
            };
        };
        let text = one.0.to_string_lossy();
        let name = text.parse().map_err(|errno| {
            let error = Error::new(format!("failed to parse PID argument '{text}'"));
            match errno {
                Errno::ERANGE => error.because("Numerical result out of range"),
                _ => error.errno_is(errno),
            }
        })?;
        Ok(Some(name))
    }
}

/// The value of a namespace option.
fn origin(kind: Kind, value: OsString) -> Result<Origin> {
    match value.to_str().and_then(|value| value.strip_prefix(':')) {
        None if kind == Kind::Net => Ok(Origin::File(network(value))),
        None => Ok(Origin::File(value.into())),
        Some(id) => decimal(id)
            .map(Origin::Id)
            .ok_or_else(|| Error::new(format!("failed to parse nsid: '{id}'"))),
    }
}

/// The file of a network namespace: that file, or where there is none, the one that has this name for ip-netns(8).
fn network(value: OsString) -> PathBuf {
    #[cfg(feature = "net")]
    if isobox::net::netns::is_name(&value) && std::fs::symlink_metadata(&value).is_err() {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR");
        let named = isobox::net::netns::Directories::new(runtime.as_deref()).file(&value);
        if named.exists() {
            return named;
        }
    }
    value.into()
}

fn descriptor(Raw(text): &Raw) -> Result<i32> {
    let text = text.to_string_lossy();
    decimal(&*text).ok_or_else(|| Error::new(format!("failed to parse file descriptor: '{text}'")))
}

fn wanted(kind: &str, Raw(text): &Raw) -> Result<Wanted> {
    if text == "follow" {
        return Ok(Wanted::Follow);
    }
    match typed(text) {
        Typed::Id(id) => Ok(Wanted::Number(id)),
        _ => Err(Error::new(format!(
            "failed to parse {kind}: '{}'",
            text.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plan of a command line, as the kinds of its lines.
    fn lines(line: &str) -> String {
        let pid = std::process::id().to_string();
        let line = line.replace("SELF", &pid);
        // Two blanks hold an empty word: an optional value that is absent.
        let typed: Vec<&str> = line.split(' ').collect();
        let mut args = Args::from_args(&["nsenter"], &typed).unwrap();
        let program = std::mem::take(&mut args.program);
        match args.mean().and_then(|meant| meant.plan(words(program))) {
            Err(error) => error.to_string(),
            Ok(plan) => plan
                .tell()
                .iter()
                .map(|told| told.what.call.replace(&pid, "SELF"))
                .collect::<Vec<_>>()
                .join("; "),
        }
    }

    #[test]
    fn a_command_line_is_a_plan() {
        let end = "execve(\"true\", [\"true\"])";
        let cases = [
            (
                "--uts /f -- true",
                "open(\"/f\", O_RDONLY); prctl(PR_SET_DUMPABLE, 0); setns(FD, CLONE_NEWUTS)",
            ),
            (
                "--target SELF --net  -- true",
                "pidfd_open(SELF, 0); prctl(PR_SET_DUMPABLE, 0); setns(PIDFD_SELF, CLONE_NEWNET)",
            ),
            (
                "--target SELF --pid /f -- true",
                "open(\"/f\", O_RDONLY); prctl(PR_SET_DUMPABLE, 0); setns(FD, CLONE_NEWPID); clone(CLONE_VM|CLONE_VFORK|SIGCHLD)",
            ),
            (
                "--pid /f --no-fork -- true",
                "open(\"/f\", O_RDONLY); prctl(PR_SET_DUMPABLE, 0); setns(FD, CLONE_NEWPID)",
            ),
            (
                "--user /u --uts /f -- true",
                "open(\"/u\", O_RDONLY); open(\"/f\", O_RDONLY); prctl(PR_SET_DUMPABLE, 0); setgroups(0, NULL); \
                 setns(FD, CLONE_NEWUTS); setns(FD, CLONE_NEWUSER), setns(FD, CLONE_NEWUTS); \
                 setgroups(0, NULL), setgid(0), setuid(0)",
            ),
            (
                "--user /u --preserve-credentials --keep-caps -- true",
                "open(\"/u\", O_RDONLY); prctl(PR_SET_DUMPABLE, 0); setns(FD, CLONE_NEWUSER); \
                 capset(inheritable = permitted), prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE) for each",
            ),
            (
                "--root /r -- true",
                "open(\"/r\", O_PATH|O_DIRECTORY); open(\".\", O_PATH|O_DIRECTORY); fchdir(FD), chroot(\".\"); fchdir(FD)",
            ),
            (
                "--root /r --wdns /d -- true",
                "open(\"/r\", O_PATH|O_DIRECTORY); fchdir(FD), chroot(\".\"); chdir(\"/d\")",
            ),
            (
                "--target SELF --setuid follow -- true",
                "pidfd_open(SELF, 0); open(\"/proc/SELF\", O_PATH|O_DIRECTORY); setuid(TARGET'S)",
            ),
            ("--setgid 5 -- true", "setgroups(0, NULL), setgid(5)"),
        ];
        for (line, want) in cases {
            assert_eq!(lines(line), format!("{want}; {end}"), "{line}");
        }
    }
}
