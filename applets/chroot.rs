//! chroot(1): run a command with another directory as its root, as another user where asked. coreutils'
//! command line.
//!
//! Names are looked up in the new root's own `/etc/passwd` and `/etc/group`. That is done below a descriptor of
//! the new root before anything changes, so that the plan knows the ids.

#[path = "chroot/who.rs"]
mod who;

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use argh::{ArgsInfo, FromArgs};
use isobox::accounts::Accounts;
use isobox::capability::{Capability, Set};
use isobox::error::{Doing, Error, Result};
use isobox::plan::steps::attributes::ChangeDirectory;
use isobox::plan::steps::chroot::Chroot;
use isobox::plan::steps::credentials::{SetGid, SetGroups, SetUid};
use isobox::plan::steps::worded::Worded;
use isobox::plan::{Command, Own, Plan};
use isobox::sys::caps;
use isobox::sys::stat::place;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{AccessFlags, access};

use crate::cli::plan::{Explain, environment, exec, keep_own_binary, perform};
use crate::cli::raw::{Raw, words};
use crate::cli::{Applet, Exit, say};
use who::Who;

/// A failure of chroot itself, as of every coreutils command that runs another.
const CANCELED: u8 = 125;

/// run a command with another directory as its root directory
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "chroot",
    example = "chroot /srv/root /bin/sh",
    example = "chroot --userspec=nobody: / id",
    note = "Without a command, '\"$SHELL\" -i' is run (default: '/bin/sh -i'). Names are those of the new root's /etc/passwd and /etc/group; a number is first tried as a name, unless it is written with a +.",
    note = "A chroot holds nobody who has CAP_SYS_CHROOT: pivot gives a root that holds.",
    error_code(125, "a failure of chroot itself"),
    error_code(126, "the command was found but could not be executed"),
    error_code(127, "the command was not found")
)]
pub(crate) struct Args {
    /// specify supplementary groups as g1,g2,...,gN
    #[argh(option, arg_name = "list")]
    groups: Option<Raw>,
    /// specify user and group (id or name) to use, as user:group
    #[argh(option, arg_name = "user:group")]
    userspec: Option<Raw>,
    /// do not change working directory to '/'
    #[argh(switch)]
    skip_chdir: bool,
    /// tell what would be done and do nothing; json for programs, run to tell while doing
    #[argh(option, arg_name = "[=how]")]
    explain: Option<Explain>,
    /// the new root
    #[argh(positional)]
    newroot: Raw,
    /// the command and its arguments
    #[argh(positional, greedy)]
    command: Vec<Raw>,
}

impl Applet for Args {
    fn run(self) -> Result<Exit> {
        let explain = self.explain;
        let canceled = |error: Error| match error.exit_status() {
            1 => error.status(CANCELED),
            _ => error,
        };
        let plan = self.plan().map_err(canceled)?;
        perform(&plan, explain).map_err(|error| canceled(with_shells(&plan, error)))
    }
}

impl Args {
    fn plan(self) -> Result<Plan> {
        let root: &Path = self.newroot.0.as_ref();
        let command = Command::new(words(self.command)).or_else(default_shell);
        let command = command.ok_or_else(|| Error::new("no command"))?;
        let mut plan =
            Plan::new(exec(command, environment()).failing_with("failed to run command"));
        keep_own_binary(&mut plan, Own::Always);
        let mut who = Who::default();
        if self.userspec.is_some() || self.groups.is_some() || self.skip_chdir {
            let directory = open_root(root)?;
            let is_old = is_root(&directory)?;
            if self.skip_chdir && !is_old {
                return Err(
                    Error::new("option --skip-chdir only permitted if NEWROOT is old '/'")
                        .hint("try 'chroot --help' for more information"),
                );
            }
            let typed = |raw: &'_ Option<Raw>| raw.as_ref().map(|Raw(text)| text.clone());
            let (spec, groups) = (typed(&self.userspec), typed(&self.groups));
            let mut inside = Accounts::of_root(directory);
            let mut outside = (!is_old).then(Accounts::here);
            who = who::resolve(
                spec.as_deref(),
                groups.as_deref(),
                outside.as_mut(),
                &mut inside,
            )
            // Who may not chroot is told so, whatever else is wrong.
            .map_err(|error| not_allowed(root).unwrap_or(error))?;
        }
        if let Some(warning) = who.warning {
            say(&format!("chroot: {warning}\n"));
        }
        plan.then(Chroot { root: root.into() });
        if !self.skip_chdir {
            let path = "/".into();
            plan.then(Worded(
                ChangeDirectory { path },
                "cannot chdir to root directory",
            ));
        }
        become_who(&mut plan, who);
        Ok(plan)
    }
}

fn become_who(plan: &mut Plan, who: Who) {
    if let Some(groups) = who.groups {
        plan.then(Worded(
            SetGroups {
                groups,
                where_allowed: false,
            },
            "failed to set supplemental groups",
        ));
    }
    if let Some(gid) = who.gid {
        plan.then(Worded(SetGid::all(gid), "failed to set group-ID"));
    }
    if let Some(uid) = who.uid {
        plan.then(Worded(SetUid::all(uid), "failed to set user-ID"));
    }
}

/// `"$SHELL" -i`, or `/bin/sh -i`.
fn default_shell() -> Option<Command> {
    let shell = env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    Command::new([shell, "-i".into()])
}

fn open_root(root: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(root, flags, Mode::empty()).map_err(|errno| Chroot { root: root.into() }.refused(errno))
}

/// The refusal that chroot(2) has for this process, if it has one.
fn not_allowed(root: &Path) -> Option<Error> {
    let allowed = |sets: caps::Sets| Set(sets.effective).has(Capability::SYS_CHROOT);
    let refused = caps::get().is_ok_and(|sets| !allowed(sets));
    refused.then(|| Chroot { root: root.into() }.refused(Errno::EPERM))
}

/// Whether this directory is the root we are in: the same inode, by way of the same mount.
fn is_root(directory: &OwnedFd) -> Result<bool> {
    let slash = open_root(Path::new("/"))?;
    let look = |fd: &OwnedFd| {
        let inode = fstat(fd)?;
        let place = place(fd.as_fd(), c"")?;
        Ok::<_, Errno>((inode.st_dev, inode.st_ino, place.mount))
    };
    let (new, old) = (look(directory), look(&slash));
    Ok(new.doing("cannot stat the new root")? == old.doing_to("cannot stat", "/")?)
}

/// The shells that a small root may have.
const SHELLS: [&str; 5] = ["/bin/sh", "/bin/bash", "/bin/ash", "/bin/dash", "/bin/zsh"];

/// Where a shell was asked for that the new root does not have, says which ones it has. We are in there: a
/// command is executed last.
fn with_shells(plan: &Plan, error: Error) -> Error {
    let Some(program) = plan.program().map(|exec| &exec.command().program) else {
        return error;
    };
    if error.errno() != Some(Errno::ENOENT) || error.exit_status() != 127 || !is_shell(program) {
        return error;
    }
    let there: Vec<&str> = SHELLS
        .into_iter()
        .filter(|shell| access(*shell, AccessFlags::X_OK).is_ok())
        .collect();
    if there.is_empty() && access("/bin/busybox", AccessFlags::X_OK).is_ok() {
        return error.hint("the new root has no shell but /bin/busybox sh");
    }
    if there.is_empty() {
        return error.hint("the new root has no shell that can be executed: name a command of it");
    }
    error.hint(format!("the new root has {}", there.join(", ")))
}

fn is_shell(program: &OsStr) -> bool {
    let name = program.as_bytes().rsplit(|b| *b == b'/').next();
    let name = OsStr::from_bytes(name.unwrap_or_default());
    SHELLS
        .iter()
        .any(|shell| Path::new(shell).file_name() == Some(name))
        || env::var_os("SHELL").is_some_and(|shell: OsString| shell == program)
}
