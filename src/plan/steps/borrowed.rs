//! Namespaces that exist and that a child is to be born in.
//!
//! The caller goes there (for pid and time only its children do), forks, and goes back: a child in a new user namespace
//! could not join them by itself, and no process ever changes its own PID namespace.

use nix::sched::{setns, unshare};

use crate::error::{Doing, Error, Result};
use crate::namespace::Kind;
use crate::plan::{Context, Explanation, Shell, Slot, Step};
use crate::proc_write;
use nix::fcntl::OFlag;

/// Goes to a namespace until [`BackFrom`] goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BornIn {
    /// Its kind.
    pub kind: Kind,
    /// Where an earlier step has left it.
    pub namespace: Slot,
    /// Where our own is left.
    pub own: Slot,
}

impl Step for BornIn {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let name = format!("self/ns/{}", self.kind.proc_name_for_children());
        // The name is a magic link of the kernel's, right below a directory that is known to be ours.
        let own = own_namespace(&name)?;
        cx.put(self.own, own);
        setns(cx.get(self.namespace)?, self.kind.flag()).map_err(|errno| {
            Error::new(format!("cannot join the {} namespace", self.kind.option())).errno_is(errno)
        })
    }

    fn undo(&self, cx: &mut Context) {
        if let Ok(own) = cx.get(self.own) {
            let _ = setns(own, self.kind.flag());
        }
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("setns(FD, {})", self.kind.flag_name()),
            format!(
                "the container's first process is born in a {} namespace that is there already",
                self.kind.option()
            ),
            self.kind.without(),
            "setns(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Unsaid("a namespace that is joined for the birth")
    }
}

fn own_namespace(name: &str) -> Result<std::os::fd::OwnedFd> {
    let (directory, link) = name.rsplit_once('/').unwrap_or(("self/ns", name));
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let directory = proc_write::open(directory, flags).doing("cannot open our namespaces")?;
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    nix::fcntl::openat(directory, link, flags, nix::sys::stat::Mode::empty())
        .doing_to("cannot open our namespace", link)
}

/// Goes back to the namespaces that the caller was in: performed outside, when the child is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackFrom {
    /// The kinds, and where our own are.
    pub own: Vec<(Kind, Slot)>,
}

impl Step for BackFrom {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        for (kind, own) in &self.own {
            setns(cx.get(*own)?, kind.flag())
                .doing(format!("cannot go back to our {} namespace", kind.option()))?;
        }
        Ok(())
    }

    fn explain(&self) -> Explanation {
        let calls: Vec<String> = self
            .own
            .iter()
            .map(|(kind, _)| format!("setns(OWN, {})", kind.flag_name()))
            .collect();
        Explanation::new(
            calls.join(", "),
            "the child is where it should be: its parent goes back",
            "what is done from here on (hooks, helpers) would be done in there",
            "setns(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Keeps one of our own namespaces, to be gone back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepOwn {
    /// Its kind.
    pub kind: Kind,
    /// Where it is left.
    pub slot: Slot,
}

impl Step for KeepOwn {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let own = own_namespace(&format!("self/ns/{}", self.kind.proc_name()))?;
        cx.put(self.slot, own);
        Ok(())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("open(\"/proc/self/ns/{}\")", self.kind.proc_name()),
            "the caller comes back here when its child is made",
            "all later children of the caller would be where this one is",
            "namespaces(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Makes a namespace that the next child will be in, and not this process: of time (unshare(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForChildren {
    /// Its kind.
    pub kind: Kind,
}

impl Step for ForChildren {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let flags = self.kind.flag();
        unshare(flags).map_err(|errno| crate::probe::unshare_failed(flags, errno))
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("unshare({})", self.kind.flag_name()),
            "a namespace for the child, which is not there yet: only now can its clocks be shifted",
            self.kind.without(),
            "time_namespaces(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::option("unshare", format!("--{}", self.kind.option()))
    }
}
