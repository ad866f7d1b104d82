//! Joining the namespaces and the cgroup of another process: the steps of nsenter(1).

use nix::sched::{CloneFlags, setns};
use nix::unistd::{Pid, write};

use crate::enter::{self, Origin, Refusal, Target};
use crate::error::{Doing, Result};
use crate::namespace::{Kind, flag_names, kinds};
use crate::plan::{Context, Explanation, Shell, Slot, Step};
use crate::procfs;
use crate::sys::task;

/// Holds the target by its pidfd (pidfd_open(2)).
#[derive(Debug)]
pub struct HoldTarget {
    /// The target.
    pub target: Target,
    /// Where later steps find the pidfd.
    pub slot: Slot,
}

impl Step for HoldTarget {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let pidfd = self.target.pidfd().try_clone_to_owned();
        cx.put(self.slot, pidfd.doing("cannot copy a pidfd")?);
        Ok(())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("pidfd_open({}, 0)", self.target.pid()),
            "a number may belong to another process tomorrow, a pidfd never does",
            "if the target ended now, we could join whatever process got its number",
            "pidfd_open(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::option("nsenter", format!("--target={}", self.target.pid()))
    }
}

/// Opens the target's directory below `/proc`, and sees that the target still lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenTargetDirectory {
    /// The target's number.
    pub pid: Pid,
    /// Its pidfd.
    pub pidfd: Slot,
    /// Where later steps find the directory.
    pub slot: Slot,
}

impl Step for OpenTargetDirectory {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let directory = enter::directory(self.pid, cx.get(self.pidfd)?)?;
        cx.put(self.slot, directory.into_fd());
        Ok(())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("open(\"/proc/{}\", O_PATH|O_DIRECTORY)", self.pid),
            "what else is wanted of the target is opened below here, while we still see our own /proc",
            "once the mount namespace is entered, /proc is whatever the target has there",
            "proc(5)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Where a namespace comes from that is not simply the target's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file or an id.
    Given(Origin),
    /// A socket of the target.
    Socket {
        /// The target's number.
        pid: Pid,
        /// Its pidfd.
        pidfd: Slot,
        /// The number of the socket's descriptor there.
        number: i32,
    },
    /// The parent of the user namespace in this slot.
    ParentOf(Slot),
    /// The target's own, by its directory; for `ParentOf`.
    Target(Slot),
}

/// Opens a namespace to be joined by its descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenNamespace {
    /// Its kind.
    pub kind: Kind,
    /// Where it comes from.
    pub source: Source,
    /// Where later steps find it.
    pub slot: Slot,
}

impl Step for OpenNamespace {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let opened = match &self.source {
            Source::Given(origin) => origin.open()?,
            Source::Socket { pid, pidfd, number } => {
                enter::socket_namespace(cx.get(*pidfd)?, *pid, *number)?
            }
            Source::ParentOf(user) => enter::parent_of(cx.get(*user)?)?,
            Source::Target(directory) => {
                let name = format!("the target's ns/{}", self.kind.proc_name());
                procfs::open_namespace(cx.get(*directory)?, self.kind)
                    .doing_to("cannot open", name)?
            }
        };
        cx.put(self.slot, opened);
        Ok(())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        let name = self.kind.proc_name();
        let (call, why, man) = match &self.source {
            Source::Given(Origin::File(path)) => (
                format!("open({path:?}, O_RDONLY)"),
                "a bind mount of a namespace's file keeps the namespace, and names it, without any process",
                "namespaces(7)",
            ),
            Source::Given(Origin::Id(id)) => (
                format!("open_by_handle_at(FD_NSFS_ROOT, {{{id}}}, O_RDONLY)"),
                "an id is never used twice, other than an inode number",
                "open_by_handle_at(2)",
            ),
            Source::Socket { pid, number, .. } => (
                format!("ioctl(pidfd_getfd({pid}, {number}), SIOCGSKNS)"),
                "a socket stays in the network namespace it was made in, wherever its process goes",
                "pidfd_getfd(2)",
            ),
            Source::ParentOf(_) => (
                "ioctl(USER_NS, NS_GET_USERNS)".into(),
                "the user namespace in which the selected one was made",
                "ioctl_nsfs(2)",
            ),
            Source::Target(_) => (
                format!("open(\"/proc/PID/ns/{name}\", O_RDONLY)"),
                "its relatives can be asked for through its descriptor",
                "namespaces(7)",
            ),
        };
        let without = "paths and numbers may mean something else once other namespaces are entered";
        Explanation::new(call, why, without, man)
    }

    fn shell(&self) -> Shell {
        let word: String = match &self.source {
            Source::Given(Origin::File(path)) => {
                let name = format!("--{}=", self.kind.option());
                return Shell::valued("nsenter", &name, path.as_os_str());
            }
            Source::Given(Origin::Id(id)) => format!("--{}=:{id}", self.kind.option()),
            Source::Socket { number, .. } => format!("--net-socket={number}"),
            Source::ParentOf(_) => "--user-parent".into(),
            Source::Target(_) => return Shell::Implied,
        };
        Shell::option("nsenter", word)
    }
}

/// Hides this process from others (`PR_SET_DUMPABLE`), until it executes its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hide;

impl Step for Hide {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let off = [0; 4];
        task::prctl(libc::PR_SET_DUMPABLE, off)
            .doing("cannot hide from other processes")
            .map(drop)
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "prctl(PR_SET_DUMPABLE, 0)",
            "in there we are a process like others: its root may trace us, and we hold open files of out here",
            "a hostile target could take over this process, or open our files through /proc/PID/fd",
            "PR_SET_DUMPABLE(2const)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Which namespaces a [`Join`] is about, and what a refusal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Everything but the user namespace, by the privileges we have out here. A refusal is not final.
    Outside,
    /// What is left, the user namespace first: it lends its privileges to the rest.
    Last,
}

/// Joins namespaces (setns(2)): those of a target in one call, each given one in one of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// Which pass this is.
    pub pass: Pass,
    /// The target, the slot of its pidfd, and which of its namespaces.
    pub target: Option<(Pid, Slot, CloneFlags)>,
    /// Namespaces opened before, in the order of [`Kind::ALL`].
    pub opened: Vec<(Kind, Slot)>,
}

impl Join {
    /// Whether a user namespace is among them.
    fn has_user(&self) -> bool {
        let user = Kind::User;
        self.opened.iter().any(|(kind, _)| *kind == user)
            || self
                .target
                .is_some_and(|(_, _, kinds)| kinds.contains(user.flag()))
    }

    /// What this pass leaves out.
    fn later(&self) -> CloneFlags {
        match self.pass {
            Pass::Outside => CloneFlags::CLONE_NEWUSER,
            Pass::Last => CloneFlags::empty(),
        }
    }

    fn join(&self, cx: &mut Context, slot: Slot, kinds: CloneFlags, of: Option<Pid>) -> Result<()> {
        let fd = cx.get(slot)?;
        match setns(fd, kinds) {
            Ok(()) => cx.note_joined(kinds),
            Err(_) if self.pass == Pass::Outside => {}
            Err(errno) => {
                let refusal = Refusal {
                    kinds,
                    errno,
                    target: of,
                    fd,
                    own_proc: !cx.joined().contains(CloneFlags::CLONE_NEWNS),
                };
                return Err(refusal.error());
            }
        }
        Ok(())
    }
}

impl Step for Join {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        if let Some((pid, slot, kinds)) = self.target {
            let left = kinds - cx.joined() - self.later();
            if !left.is_empty() {
                self.join(cx, slot, left, Some(pid))?;
            }
        }
        for (kind, slot) in &self.opened {
            if !(cx.joined() | self.later()).contains(kind.flag()) {
                self.join(cx, *slot, kind.flag(), None)?;
            }
        }
        Ok(())
    }

    fn explain(&self) -> Explanation {
        let mut calls = Vec::new();
        if let Some((pid, _, kinds)) = self.target {
            let flags = kinds - self.later();
            if !flags.is_empty() {
                calls.push(format!("setns(PIDFD_{pid}, {})", flag_names(flags)));
            }
        }
        for (kind, _) in &self.opened {
            if !self.later().contains(kind.flag()) {
                calls.push(format!("setns(FD, {})", kind.flag_name()));
            }
        }
        let (why, without) = match self.pass {
            Pass::Outside => (
                "all but the user namespace, by the privileges we have out here; a refusal only means that the next step tries again",
                "who enters the user namespace first may have lost what the others ask for",
            ),
            Pass::Last if self.has_user() => (
                "what is left; the user namespace comes first, because it lends its capabilities to the rest",
                "the program would run out here",
            ),
            Pass::Last => (
                "by a pidfd the kernel joins all of them or none, and never those of another process",
                "the program would run out here",
            ),
        };
        Explanation::new(calls.join(", "), why, without, "setns(2)")
    }

    fn shell(&self) -> Shell {
        let of_target = self
            .target
            .map_or(CloneFlags::empty(), |(_, _, kinds)| kinds);
        if self.pass == Pass::Outside || of_target.is_empty() {
            return Shell::Implied;
        }
        let words = kinds(of_target)
            .into_iter()
            .map(|kind| format!("--{}", kind.option()).into());
        Shell::Option {
            applet: "nsenter",
            words: words.collect(),
        }
    }
}

/// Opens the `cgroup.procs` of the target's v2 cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenTargetCgroup {
    /// The target's directory.
    pub directory: Slot,
    /// Where [`JoinTargetCgroup`] finds the file.
    pub slot: Slot,
}

impl Step for OpenTargetCgroup {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let file = enter::open_cgroup(cx.get(self.directory)?)?;
        cx.put(self.slot, file);
        Ok(())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "open(\"/sys/fs/cgroup/TARGET'S/cgroup.procs\", O_WRONLY)",
            "the right to move there is looked at when the file is opened: with what we may do out here",
            "inside, the hierarchy may not be mounted, or its root be another",
            "cgroups(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Moves this process into the cgroup behind a `cgroup.procs` file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinTargetCgroup {
    /// The file.
    pub slot: Slot,
}

impl Step for JoinTargetCgroup {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        // 0 is the writer itself, whatever its number is in whichever PID namespace.
        write(cx.get(self.slot)?, b"0")
            .doing("write cgroup.procs failed")
            .map(drop)
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "write(cgroup.procs, \"0\")",
            "a namespace is what a process sees, a cgroup is what it may use: joining the one is not joining the other",
            "the program would not be held by the limits of the target, nor found in its cgroup",
            "cgroups(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::option("nsenter", "--join-cgroup")
    }
}
