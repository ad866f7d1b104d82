//! Control groups: making one, limiting it, joining it.

use std::cell::{Cell, RefCell};
use std::fmt;

use crate::cgroup::value::Limit;
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
    /// Whether this step made it, and so may take it away.
    made: Cell<bool>,
}

impl MakeGroup {
    /// Makes `group`, and leaves its directory in `slot` where one is given.
    pub fn new(group: Group, slot: Option<Slot>) -> Self {
        Self {
            group,
            slot,
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

/// Sets a limit.
#[derive(Debug)]
pub struct SetLimit {
    /// The group.
    pub group: Group,
    /// What to set, in the words of v2 or v1.
    pub setting: Setting,
    /// The memory limit that is set with it: v1 limits memory and swap together.
    pub memory: Option<Limit>,
}

impl Step for SetLimit {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let written = self.group.set(&self.setting, self.memory)?;
        if let [one] = &written[..]
            && let Ok(now) = self.group.read(&one.name)
            && is_rounded(&one.value, now.trim())
        {
            cx.note(format!(
                "{}: the kernel made {} of {}",
                one.name,
                now.trim(),
                one.value
            ));
        }
        Ok(())
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

/// Moves the process into the group.
#[derive(Debug)]
pub struct JoinGroup {
    /// The group.
    pub group: Group,
    /// Where it came from, to go back to if a later step fails: a group with a process in it cannot be removed.
    came_from: RefCell<Option<Group>>,
}

impl JoinGroup {
    /// Joins `group`.
    pub fn new(group: Group) -> Self {
        Self {
            group,
            came_from: RefCell::new(None),
        }
    }
}

impl Step for JoinGroup {
    fn perform(&self, _: &mut Context) -> Result<()> {
        self.came_from.replace(self.group.hierarchy.own().ok());
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

/// Whether the kernel keeps another number than it was given.
fn is_rounded(given: &str, kept: &str) -> bool {
    let numbers = given.parse::<u64>().ok().zip(kept.parse::<u64>().ok());
    numbers.is_some_and(|(given, kept)| given != kept)
}
