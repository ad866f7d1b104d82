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
            let theirs = self.user_namespace(Kind::User);
            let theirs = theirs.and_then(fstat).ok()?;
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
        let own = Process::own().and_then(|own| own.namespace(Kind::User));
        let asked = self.kinds.contains(CloneFlags::CLONE_NEWUSER);
        for kind in kinds(self.kinds) {
            let name = kind.proc_name();
            let user = match self.user_namespace(kind) {
                Ok(user) => user,
                Err(Errno::EACCES | Errno::EPERM) => return self.stranger(),
                Err(_) => continue,
            };
            let owner = nsfs::owner_uid(user.as_fd()).ok()?;
            let ours = own == fstat(&user).map(|stat| stat.st_ino);
            if ours && crate::probe::is_admin() {
                continue;
            }
            if ours {
                return Some(format!(
                    "the {name} namespace belongs to the user namespace we are in: this needs CAP_SYS_ADMIN, be root"
                ));
            }
            if owner != geteuid().as_raw() {
                return Some(format!(
                    "the {name} namespace belongs to uid {owner}: be root or that user"
                ));
            }
            if !asked {
                return Some(format!(
                    "the {name} namespace belongs to a user namespace of yours: add --user (-U), and --preserve-credentials to keep your ids"
                ));
            }
        }
        None
    }

    /// What the target is to us, if we may not even look.
    fn stranger(&self) -> Option<String> {
        let pid = self.target?;
        let (uid, _) = Process::open(pid).and_then(|process| process.ids()).ok()?;
        // Root, or that very user, is kept out by something else, of which nothing is known here.
        let own = geteuid().as_raw();
        (own != 0 && own != uid).then(|| {
            format!("process {pid} runs as uid {uid}: only root and that user may look into it")
        })
    }

    /// The user namespace that decides about one kind: itself, or the owner of the namespace.
    fn user_namespace(&self, kind: Kind) -> Result<OwnedFd, Errno> {
        let namespace = match self.target {
            Some(pid) => Process::open(pid)?.open_namespace(kind)?,
            None => self.fd.try_clone_to_owned().map_err(|_| Errno::EMFILE)?,
        };
        match kind {
            Kind::User => Ok(namespace),
            _ => nsfs::owner(namespace.as_fd()),
        }
    }
}
