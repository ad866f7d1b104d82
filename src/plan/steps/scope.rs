//! A control group that systemd makes: a scope, which is there as long as somebody is in it. Until the program's first
//! process is born into it, that is a keeper, who does nothing.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::sched::CloneFlags;
use nix::unistd::Pid;

use crate::error::{Doing, Result};
use crate::holder::Holder;
use crate::plan::{Context, Explanation, Plan, Shell, Step};
use crate::systemd::{Manager, Property, Scope, Value, Whose};

/// What systemd is asked for.
#[derive(Debug)]
pub struct Wanted {
    /// The manager's socket.
    pub socket: PathBuf,
    /// The scope.
    pub scope: Scope,
    /// What people see of it.
    pub description: String,
    /// Its limits.
    pub limits: Vec<Property>,
    /// Who is in it until somebody else is.
    keeper: RefCell<Option<Holder>>,
}

impl Wanted {
    /// A scope that is not there yet.
    pub fn new(socket: PathBuf, scope: Scope, description: String, limits: Vec<Property>) -> Self {
        Self {
            socket,
            scope,
            description,
            limits,
            keeper: RefCell::default(),
        }
    }

    /// Before the fork, and before anything is done to the group: has it made.
    pub fn prepare(self: &Rc<Self>, plan: &mut Plan) {
        plan.outside(StartScope(Rc::clone(self)));
    }

    /// How the child gets into it, if it may neither be born there nor go there by itself.
    pub fn attach(&self) -> Option<AttachToUnit> {
        AttachToUnit::needed(&self.socket, &self.scope.unit)
    }

    /// When the child is in the group.
    pub fn is_joined(self: &Rc<Self>, plan: &mut Plan) {
        plan.outside(EndKeeper(Rc::clone(self)));
    }

    fn properties(&self, keeper: Pid) -> Vec<Property> {
        let own = [
            ("Description", Value::Text(self.description.clone())),
            ("Slice", Value::Text(self.scope.slice.clone())),
            // What is below its group is ours, and it hands down all controllers.
            ("Delegate", Value::Truth(true)),
            (
                "PIDs",
                Value::Numbers(vec![keeper.as_raw().cast_unsigned()]),
            ),
            // Else it would end when the machine goes down to single user mode, and wait for that to be up.
            ("DefaultDependencies", Value::Truth(false)),
        ];
        // What was asked for by name counts.
        let asked = |name: &str| self.limits.iter().any(|(known, _)| known == name);
        let own = own.into_iter().filter(|(name, _)| !asked(name));
        own.map(|(name, value)| (name.into(), value))
            .chain(self.limits.iter().cloned())
            .collect()
    }

    fn end_keeper(&self) {
        drop(self.keeper.take());
    }
}

/// Has systemd start the scope.
#[derive(Debug)]
pub struct StartScope(Rc<Wanted>);

impl Step for StartScope {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let wanted = &self.0;
        let keeper = Holder::start(CloneFlags::empty());
        let keeper = keeper.doing("cannot make a process to hold the scope")?;
        let pid = keeper.pid();
        wanted.keeper.replace(Some(keeper));
        let started = Manager::connect(&wanted.socket)
            .and_then(|mut systemd| systemd.start(&wanted.scope.unit, &wanted.properties(pid)));
        started.inspect_err(|_| wanted.end_keeper())
    }

    fn undo(&self, cx: &mut Context) {
        self.0.end_keeper();
        let stopped = Manager::connect(&self.0.socket)
            .and_then(|mut systemd| systemd.stop(&self.0.scope.unit));
        if let Err(error) = stopped {
            cx.note(format!("{} stays: {error}", self.0.scope.unit));
        }
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        let Scope { unit, slice } = &self.0.scope;
        Explanation::new(
            format!(
                "org.freedesktop.systemd1.Manager.StartTransientUnit({unit:?}, \"fail\", [Slice={slice}, Delegate=yes, PIDs=KEEPER, {} limits])",
                self.0.limits.len()
            ),
            "the group is a unit of systemd's, which leaves to us what is in it; a process that does nothing is in it first",
            "systemd knew nothing of the group, and could take back what is written there",
            "org.freedesktop.systemd1(5), systemd.scope(5)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Has an ordinary user's manager move the process on its way to the program into a unit: out of his session, whose group
/// is not his.
#[derive(Debug)]
pub struct AttachToUnit {
    socket: PathBuf,
    unit: String,
}

impl AttachToUnit {
    /// `None` for a unit of the machine's manager: whoever may ask that may move processes himself.
    pub fn needed(socket: &Path, unit: &str) -> Option<Self> {
        (!unit.is_empty() && !Whose::is_machines(socket)).then(|| Self {
            socket: socket.to_owned(),
            unit: unit.to_owned(),
        })
    }
}

impl Step for AttachToUnit {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        Manager::connect(&self.socket)?.attach(&self.unit, cx.program())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "org.freedesktop.systemd1.Manager.AttachProcessesToUnit({:?}, \"\", [CHILD])",
                self.unit
            ),
            "the group is the user's, but what is above it and above where we are is not: systemd may move the child",
            "writing to cgroup.procs fails with EACCES",
            "org.freedesktop.systemd1(5), cgroup-v2.rst, \"Delegation Containment\"",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Ends who was in the scope before the program.
#[derive(Debug)]
pub struct EndKeeper(Rc<Wanted>);

impl Step for EndKeeper {
    fn perform(&self, _: &mut Context) -> Result<()> {
        self.0.end_keeper();
        Ok(())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "pidfd_send_signal(KEEPER, SIGKILL)",
            "the container's first process is in the group: whoever kept that alive is not needed",
            "a process of ours would be in the container's group for all its life",
            "pidfd_send_signal(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}
