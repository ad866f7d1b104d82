//! Why setns(2) said no: looked up after the fact.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::stat::fstat;
use nix::unistd::{Pid, geteuid};

use crate::error::{Error, Result};
use crate::namespace::{Kind, kinds};
use crate::procfs::Process;
use crate::sys::nsfs;

/// A refused setns(2).
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// The kinds that were refused together.
    pub kinds: CloneFlags,
    /// The kernel's word.
    pub errno: Errno,
    /// The target, where the namespaces are those of one.
    pub target: Option<Pid>,
    /// What was given to setns(2): the target's pidfd, or the namespace.
    pub fd: BorrowedFd<'a>,
    /// Whether `/proc` may be asked: it may not once it is that of the target.
    pub own_proc: bool,
}

impl Refusal<'_> {
    /// The error of a refusal that is final.
    pub fn error(&self) -> Error {
        let names: Vec<String> = kinds(self.kinds)
            .into_iter()
            .map(|kind| format!("'ns/{}'", kind.proc_name()))
            .collect();
        let plural = if names.len() == 1 { "" } else { "s" };
        let of = self
            .target
            .map_or_else(String::new, |pid| format!(" of process {pid}"));
        Error::new(format!(
            "reassociate to namespace{plural} {}{of} failed",
            names.join(" ")
        ))
        .errno_is(self.errno)
        .hint_maybe(self.own_proc.then(|| self.reason()).flatten())
    }

    /// What is looked up about it.
    fn reason(&self) -> Option<String> {
        match self.errno {
            Errno::EINVAL => self.misfit(),
            Errno::EPERM => self.no_privilege(),
            Errno::ESRCH => Some("it has ended".into()),
            _ => None,
        }
    }

    /// `EINVAL`: the wrong kind of file, one's own user namespace, or a PID namespace that is not below ours.
    fn misfit(&self) -> Option<String> {
        if self.target.is_none() {
            match nsfs::kind(self.fd) {
                Err(_) => return Some("that file is no namespace".into()),
                Ok(found) if !self.kinds.contains(found) => {
                    let found = kinds(found).first()?.proc_name();
                    return Some(format!("that file is a {found} namespace"));
                }
                Ok(_) => {}
            }
        }
        if self.kinds.contains(CloneFlags::CLONE_NEWUSER) {
            let theirs = self.user_namespace().ok().and_then(|fd| fstat(fd).ok())?;
            let own = Process::own().and_then(|own| own.namespace(Kind::User));
            if own == Ok(theirs.st_ino) {
                return Some(
                    "this process is in that user namespace already: leave --user out".into(),
                );
            }
        }
        self.kinds.contains(CloneFlags::CLONE_NEWPID).then(|| {
            "a PID namespace can be joined from inside it or from above, not from below".into()
        })
    }

    /// `EPERM`: whose the namespaces are, and what is missing.
    fn no_privilege(&self) -> Option<String> {
        let user = match self.user_namespace() {
            Ok(user) => user,
            Err(_) => {
                let pid = self.target?;
                let (uid, _) = Process::open(pid).and_then(|process| process.ids()).ok()?;
                return Some(format!(
                    "process {pid} runs as uid {uid}: only root and that user may look into it"
                ));
            }
        };
        let own = Process::own().and_then(|own| own.namespace(Kind::User));
        if own == fstat(&user).map(|stat| stat.st_ino) {
            let admin = crate::probe::is_admin();
            return (!admin).then(|| "this needs CAP_SYS_ADMIN: be root".into());
        }
        let owner = nsfs::owner_uid(user.as_fd()).ok()?;
        let asked = self.kinds.contains(CloneFlags::CLONE_NEWUSER);
        if owner == geteuid().as_raw() && !asked {
            return Some("they belong to a user namespace of yours: add --user (-U), and --preserve-credentials to keep your ids".into());
        }
        Some(format!(
            "this needs CAP_SYS_ADMIN in a user namespace that belongs to uid {owner}: be root or that user{}",
            if asked { "" } else { ", and add --user (-U)" }
        ))
    }

    /// The user namespace that decides: the target's, the one given, or the owner of the one given.
    fn user_namespace(&self) -> Result<OwnedFd, Errno> {
        match self.target {
            Some(pid) => Process::open(pid)?.open_namespace(Kind::User),
            None if self.kinds.contains(CloneFlags::CLONE_NEWUSER) => {
                self.fd.try_clone_to_owned().map_err(|_| Errno::EMFILE)
            }
            None => nsfs::owner(self.fd),
        }
    }
}
