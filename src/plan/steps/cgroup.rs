//! Control groups: making one, limiting it, joining it.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::fmt;

use nix::errno::Errno;

use crate::cgroup::v1::is_v1_name;
use crate::cgroup::value::{Limit, bytes, human};
use crate::cgroup::{Group, Setting, Version};
use crate::error::Result;
use crate::plan::{Context, Explanation, Shell, Slot, Step};

/// The manual page on the hierarchies of this design.
fn man(group: &Group) -> &'static str {
    match group.hierarchy.version {
        Version::V1 => "cgroups(7)",
        Version::V2 => "cgroups(7), cgroup-v2.rst",
    }
}

/// Makes a group, if it is not there.
pub struct MakeGroup {
    /// The group; the one above it is there, or an earlier step makes it.
    pub group: Group,
    /// Where its directory is left for a fork into it (v2).
    pub slot: Option<Slot>,
    /// The words by which cgexec makes it; absent for a group on the way to another.
    pub words: Option<Vec<OsString>>,
    /// Whether this step made it, and so may take it away.
    made: Cell<bool>,
}

impl MakeGroup {
    /// Makes `group`, and leaves its directory in `slot` where one is given.
    pub fn new(group: Group, slot: Option<Slot>) -> Self {
        Self {
            group,
            slot,
            words: None,
            made: Cell::new(false),
        }
    }
}

impl fmt::Debug for MakeGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MakeGroup({})", self.group.shown().display())
    }
}

impl Step for MakeGroup {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        self.made.set(self.group.make()?);
        if let Some(slot) = self.slot {
            cx.put(slot, self.group.open()?);
        }
        Ok(())
    }

    fn undo(&self, cx: &mut Context) {
        if !self.made.get() {
            return;
        }
        if let Err(error) = self.group.remove() {
            cx.note(format!(
                "{} stays: {error}{}",
                self.group.shown().display(),
                error
                    .advice()
                    .map_or_else(String::new, |why| format!(", {why}"))
            ));
        }
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("mkdir({:?}, 0755)", self.group.shown()),
            "a control group is a directory: the kernel fills it with files",
            "there would be nothing to put the program and its limits into",
            man(&self.group),
        )
    }

    fn shell(&self) -> Shell {
        match &self.words {
            Some(words) => Shell::Option {
                applet: "cgexec",
                words: words.clone(),
            },
            None => Shell::Implied,
        }
    }
}

/// Opens the directory of a group that is there, for a fork into it (v2).
#[derive(Debug)]
pub struct OpenGroup {
    /// The group.
    pub group: Group,
    /// Where its directory is left.
    pub slot: Slot,
}

impl Step for OpenGroup {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        cx.put(self.slot, self.group.open()?);
        Ok(())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("open({:?}, O_PATH|O_DIRECTORY)", self.group.shown()),
            "the program will be born in this group, by its descriptor",
            "moved there later, it would wait for an RCU grace period: about ten milliseconds",
            man(&self.group),
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Enables controllers for the groups below one.
#[derive(Debug)]
pub struct EnableControllers {
    /// The group above.
    pub group: Group,
    /// The controllers, in v2's words.
    pub controllers: Vec<String>,
}

impl Step for EnableControllers {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let names: Vec<&str> = self.controllers.iter().map(String::as_str).collect();
        self.group.enable(&names)
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        let words: Vec<String> = self.controllers.iter().map(|c| format!("+{c}")).collect();
        Explanation::new(
            format!(
                "write({:?}, \"{}\")",
                self.group.shown().join("cgroup.subtree_control"),
                words.join(" ")
            ),
            "in v2 a controller works in a group only if every group above hands it down",
            "the group below would not have the controller's files: writing a limit fails with EACCES",
            "cgroup-v2.rst, \"Enabling and Disabling\"",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Sets a limit, and says what the kernel made of it. Where the group goes with the program, says in the end whether
/// the program has met its memory limit.
pub struct SetLimit {
    /// The group.
    pub group: Group,
    /// What to set, in the words of v2 or v1.
    pub setting: Setting,
    /// The memory limit that is set with it: v1 limits memory and swap together.
    pub memory: Option<Limit>,
    /// How many processes the limit had ended before.
    ended_before: Cell<u64>,
}

impl SetLimit {
    /// Sets this.
    pub fn new(group: Group, setting: Setting, memory: Option<Limit>) -> Self {
        Self {
            group,
            setting,
            memory,
            ended_before: Cell::new(0),
        }
    }

    fn is_memory(&self) -> bool {
        matches!(&*self.setting.name, "memory.max" | "memory.limit_in_bytes")
    }
}

impl fmt::Debug for SetLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setting { name, value, .. } = &self.setting;
        write!(
            f,
            "SetLimit({} {name}={value})",
            self.group.shown().display()
        )
    }
}

impl Step for SetLimit {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let written = match self.group.set(&self.setting, self.memory) {
            Err(error) if self.setting.implied && error.errno() == Some(Errno::ENOENT) => {
                let name = &self.setting.name;
                cx.note(format!(
                    "this kernel has no {name}: what does not fit may be swapped"
                ));
                return Ok(());
            }
            other => other?,
        };
        let renamed = written.iter().filter(|one| one.name != self.setting.name);
        for one in renamed.filter(|_| is_v1_name(&self.setting.name)) {
            cx.note(one.is_here(&self.setting));
        }
        for remark in self.group.remarks(&written) {
            cx.note(remark);
        }
        if (&*self.setting.name, &*self.setting.value) == ("memory.swap.max", "max") && has_swap() {
            cx.note(
                "over its memory limit the program swaps and is not ended: memory.swap.max=max",
            );
        }
        if self.is_memory() {
            self.ended_before.set(self.group.oom_kills().unwrap_or(0));
        }
        Ok(())
    }

    /// The limit goes with its group, and needs no undoing; but now is when it can be known whether it was met.
    fn undo(&self, cx: &mut Context) {
        if !self.is_memory() {
            return;
        }
        let killed = self.group.oom_kills().unwrap_or(0);
        if killed > self.ended_before.get() {
            let limit = match bytes(&self.setting.value) {
                Ok(Limit::At(n)) => human(n),
                _ => self.setting.value.clone(),
            };
            cx.note(format!(
                "out of memory at {}={limit}: the kernel ended processes of the group",
                self.setting.name
            ));
        }
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        let written = self
            .group
            .words_for(&self.setting, self.memory)
            .unwrap_or_else(|_| vec![self.setting.clone()]);
        let calls: Vec<String> = written
            .iter()
            .map(|one| {
                format!(
                    "write({:?}, {:?})",
                    self.group.shown().join(&one.name),
                    one.value
                )
            })
            .collect();
        Explanation::new(
            calls.join(", "),
            "sets the limit before the program is in the group, so that all it does counts",
            "the program would use what it likes",
            man(&self.group),
        )
    }

    fn shell(&self) -> Shell {
        Shell::Option {
            applet: "cgexec",
            words: vec![
                "-r".into(),
                format!("{}={}", self.setting.name, self.setting.value).into(),
            ],
        }
    }
}

/// Whether the machine has anything to swap to: a line below the heads.
fn has_swap() -> bool {
    std::fs::read_to_string("/proc/swaps").is_ok_and(|text| text.lines().count() > 1)
}

/// Moves the process into the group.
#[derive(Debug)]
pub struct JoinGroup {
    /// The group.
    pub group: Group,
    /// Whether this process was forked for the program, and ends if a later step fails. Else it goes back to where it
    /// came from then: a group with a process in it cannot be removed.
    pub forked: bool,
    came_from: RefCell<Option<Group>>,
}

impl JoinGroup {
    /// Joins `group`.
    pub fn new(group: Group, forked: bool) -> Self {
        Self {
            group,
            forked,
            came_from: RefCell::new(None),
        }
    }
}

impl Step for JoinGroup {
    fn perform(&self, _: &mut Context) -> Result<()> {
        if !self.forked {
            self.came_from.replace(self.group.hierarchy.own().ok());
        }
        self.group.join()
    }

    fn undo(&self, _: &mut Context) {
        if let Some(group) = self.came_from.take() {
            let _ = group.join();
        }
    }

    fn explain(&self) -> Explanation {
        let file = if self.group.hierarchy.version == Version::V1 {
            "tasks"
        } else {
            "cgroup.procs"
        };
        Explanation::new(
            format!("write({:?}, \"0\")", self.group.shown().join(file)),
            "joins before the program starts: all it allocates is charged here, all its children are born here",
            "the program would run outside the limits; moved in later, its memory stays charged where it was",
            man(&self.group),
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}
