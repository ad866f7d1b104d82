//! From limits to steps: which groups to make, what to enable above them, what to write, how to join.
//!
//! ```text
//! mkdir, level by level                 in every hierarchy that holds a controller that is wanted
//! +controller in subtree_control        in every group above (v2)
//! limits                                before anything runs in the group
//! join                                  born in it (v2, a child), or by writing 0 (in place; v1)
//! ```
//!
//! `cgexec` asks for it, and `container run` where a limit is given: a container without touches no group.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::steps::cgroup::{EnableControllers, JoinGroup, MakeGroup, SetLimit};
use super::{Plan, Slot};
use crate::cgroup::hierarchy::v2_word;
use crate::cgroup::value::bytes;
use crate::cgroup::{Group, Hierarchies, Hierarchy, Setting, Version};
use crate::error::Result;

/// A group as asked for: a path, in every hierarchy that holds one of these controllers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Names of controllers, v2's or v1's; `*` means all there are, none means the v2 hierarchy alone.
    pub controllers: Vec<String>,
    /// Below the hierarchy's root.
    pub path: PathBuf,
}

/// The groups of a program, and its limits.
#[derive(Debug)]
pub struct Confinement {
    /// With the controllers that are wanted there.
    groups: Vec<(Group, Vec<String>)>,
    settings: Vec<Setting>,
    /// Whether the caller named the groups; else cgexec would choose such a one by itself.
    named: bool,
}

/// Who will be in the groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// This process, on its way to the program.
    This,
    /// A child, forked into the v2 group whose directory is in the slot, if there is one.
    Child(Option<Slot>),
}

impl Confinement {
    /// In these places; a setting whose controller no place names goes to the path of the last one.
    ///
    /// # Errors
    /// For a controller that no hierarchy holds.
    pub fn new(all: &Hierarchies, places: &[Place], settings: Vec<Setting>) -> Result<Self> {
        let mut this = Self {
            groups: Vec::new(),
            settings: Vec::new(),
            named: true,
        };
        let mut here = Path::new("");
        for Place { controllers, path } in places {
            here = path;
            if controllers.is_empty() {
                this.add(all.first()?, &[], path);
            }
            for controller in controllers {
                if controller == "*" {
                    all.all()
                        .iter()
                        .filter(|h| !h.controllers.is_empty())
                        .for_each(|h| this.add(h, &h.controllers, path));
                } else {
                    this.add_controller(all, controller, path)?;
                }
            }
        }
        for setting in &settings {
            if this.holder(setting).is_err() {
                this.add_controller(all, setting.controller(), here)?;
            }
        }
        this.settings = settings;
        Ok(this)
    }

    /// In a group of its own, called `name`, below the group this process is in (beside it where v2's rule forbids
    /// processes above groups).
    ///
    /// # Errors
    /// For a controller that no hierarchy holds, or that is not handed down to where we are.
    pub fn fresh(all: &Hierarchies, name: &str, settings: Vec<Setting>) -> Result<Self> {
        let mut this = Self {
            groups: Vec::new(),
            settings: Vec::new(),
            named: false,
        };
        if settings.is_empty() {
            let first = all.first()?;
            this.add(first, &[], &first.own()?.path.join(name));
        }
        for setting in &settings {
            let hierarchy = all.of(setting.controller())?;
            let own = hierarchy.own()?;
            let above = if own.may_hold_groups() {
                own
            } else {
                own.parent()
            };
            this.add_controller(all, setting.controller(), &above.path.join(name))?;
        }
        this.settings = settings;
        Ok(this)
    }

    fn add_controller(&mut self, all: &Hierarchies, controller: &str, path: &Path) -> Result<()> {
        let name = v2_word(controller);
        let wanted = if matches!(name, "cgroup" | "freezer") {
            vec![]
        } else {
            vec![name.to_owned()]
        };
        self.add(all.of(name)?, &wanted, path);
        Ok(())
    }

    /// One hierarchy has one group for a process, so that a later path replaces an earlier one.
    fn add(&mut self, hierarchy: &Rc<Hierarchy>, wanted: &[String], path: &Path) {
        let known = self
            .groups
            .iter()
            .position(|(group, _)| Rc::ptr_eq(&group.hierarchy, hierarchy));
        let at = known.unwrap_or_else(|| {
            self.groups.push((Group::new(hierarchy, path), Vec::new()));
            self.groups.len() - 1
        });
        let (group, controllers) = &mut self.groups[at];
        path.clone_into(&mut group.path);
        controllers.extend(
            wanted
                .iter()
                .filter(|name| !controllers.contains(name))
                .cloned()
                .collect::<Vec<_>>(),
        );
    }

    /// The groups.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().map(|(group, _)| group)
    }

    /// Adds the steps that make and limit the groups. With `lasting` they stay; else what was made here goes when the
    /// program has ended. Gives the slot of the v2 group's directory, to be born in.
    ///
    /// # Errors
    /// For a setting that no group here has a file for.
    pub fn prepare(&self, plan: &mut Plan, lasting: bool) -> Result<Option<Slot>> {
        let mut born_in = None;
        for (at, (group, controllers)) in self.groups.iter().enumerate() {
            let slot = (group.hierarchy.version == Version::V2).then(|| plan.slot());
            born_in = born_in.or(slot);
            for level in group.levels() {
                let leaf = level.path == group.path;
                if leaf || !level.exists() {
                    let mut make = MakeGroup::new(level.clone(), slot.filter(|_| leaf));
                    make.words = leaf.then(|| self.words(at, lasting));
                    if lasting {
                        plan.then(make)
                    } else {
                        plan.during(make)
                    };
                }
                if !leaf {
                    self.enable(plan, &level, controllers);
                }
            }
        }
        let memory = self.settings.iter().find(|one| one.name == "memory.max");
        let memory = memory.and_then(|limit| bytes(&limit.value).ok());
        for setting in &self.settings {
            let limit = SetLimit::new(self.holder(setting)?.clone(), setting.clone(), memory);
            if lasting {
                plan.then(limit)
            } else {
                plan.during(limit)
            };
        }
        Ok(born_in)
    }

    /// How cgexec is told of the group at this place of the list.
    fn words(&self, at: usize, lasting: bool) -> Vec<OsString> {
        if !self.named {
            return Vec::new();
        }
        let (group, controllers) = &self.groups[at];
        let place = format!("{}:/{}", controllers.join(","), group.path.display());
        let once = (at == 0 && !lasting).then(|| "--rm".into());
        once.into_iter()
            .chain(["-g".into(), place.into()])
            .collect()
    }

    /// Makes the groups now, with the controllers enabled above them and nothing joined.
    ///
    /// # Errors
    /// The kernel's answer; what was made before it stays.
    pub fn make(&self) -> Result<()> {
        for (group, controllers) in &self.groups {
            let names: Vec<&str> = controllers.iter().map(String::as_str).collect();
            for level in group.levels() {
                level.make()?;
                if level.hierarchy.version == Version::V2 && level.path != group.path {
                    level.enable(&names)?;
                }
            }
        }
        Ok(())
    }

    fn enable(&self, plan: &mut Plan, level: &Group, controllers: &[String]) {
        if level.hierarchy.version == Version::V2 && !controllers.is_empty() {
            plan.then(EnableControllers {
                group: level.clone(),
                controllers: controllers.to_vec(),
            });
        }
    }

    /// Adds the steps that join the groups; without the v2 one where the process is born in it.
    pub fn join(&self, plan: &mut Plan, member: Member) {
        let forked = matches!(member, Member::Child(_));
        let born_in_v2 = matches!(member, Member::Child(Some(_)));
        for group in self.groups() {
            if group.hierarchy.version == Version::V1 || !born_in_v2 {
                plan.then(JoinGroup::new(group.clone(), forked));
            }
        }
    }

    /// The group whose hierarchy holds what a setting is about.
    fn holder(&self, setting: &Setting) -> Result<&Group> {
        let controller = setting.controller();
        let holds = |group: &&Group| match controller {
            "cgroup" => group.hierarchy.version == Version::V2,
            _ => group.hierarchy.holds(controller),
        };
        self.groups().find(holds).ok_or_else(|| {
            crate::error::Error::new("no group here has the controller of").on(&setting.name)
        })
    }
}
