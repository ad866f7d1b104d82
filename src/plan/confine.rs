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
use super::steps::device_rules::{AttachDeviceRules, WriteDeviceRules};
use super::{Plan, Slot};
use crate::cgroup::hierarchy::v2_word;
use crate::cgroup::value::bytes;
use crate::cgroup::{Group, Hierarchies, Hierarchy, Setting, Version};
use crate::device_rules::Rule;
use crate::error::{Error, Result};

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
    /// Rules about devices, where v2 has to be told of them by a program.
    device_rules: Vec<Rule>,
    /// Whether the caller named the groups; else cgexec would choose such a one by itself.
    named: bool,
    /// What there is on this machine.
    hierarchies: Hierarchies,
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
    fn empty(all: &Hierarchies, named: bool) -> Self {
        Self {
            groups: Vec::new(),
            settings: Vec::new(),
            device_rules: Vec::new(),
            named,
            hierarchies: all.clone(),
        }
    }

    /// In these places; a setting whose controller no place names goes to the path of the last one.
    ///
    /// # Errors
    /// For a controller that no hierarchy holds.
    pub fn new(all: &Hierarchies, places: &[Place], settings: Vec<Setting>) -> Result<Self> {
        let mut this = Self::empty(all, true);
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
        let settings = this.without_device_rules(all, settings)?;
        if let (false, Some(v2)) = (this.device_rules.is_empty(), all.v2())
            && this.groups().all(|group| !Rc::ptr_eq(&group.hierarchy, v2))
        {
            this.add(v2, &[], here);
        }
        for setting in &settings {
            let holder = this.holder(setting).map(|group| group.path.clone());
            let path = holder.unwrap_or_else(|_| here.to_owned());
            this.add_controller(all, setting.controller(), &path)?;
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
        let mut this = Self::empty(all, false);
        let settings = this.without_device_rules(all, settings)?;
        if settings.is_empty() || !this.device_rules.is_empty() {
            let first = all.first()?;
            this.add(first, &[], &first.own()?.path.join(name));
        }
        for setting in &settings {
            let hierarchy = all.of(setting.controller())?;
            let above = hierarchy.own()?.or_parent();
            this.add_controller(all, setting.controller(), &above.path.join(name))?;
        }
        this.settings = settings;
        Ok(this)
    }

    /// Takes out the rules about devices where no hierarchy of v1 holds their controller.
    fn without_device_rules(
        &mut self,
        all: &Hierarchies,
        settings: Vec<Setting>,
    ) -> Result<Vec<Setting>> {
        if all.v2().is_none() || all.all().iter().any(|one| one.holds("devices")) {
            return Ok(settings);
        }
        let (rules, rest): (Vec<_>, Vec<_>) = settings.into_iter().partition(is_device_rule);
        let rule = |one: &Setting| Rule::parse(one.name == "devices.allow", &one.value);
        self.device_rules = rules.iter().map(rule).collect::<Result<_>>()?;
        Ok(rest)
    }

    fn add_controller(&mut self, all: &Hierarchies, controller: &str, path: &Path) -> Result<()> {
        let name = v2_word(controller);
        let wanted = if matches!(name, "cgroup" | "freezer") {
            vec![]
        } else {
            vec![name.to_owned()]
        };
        self.add(all.of(controller)?, &wanted, path);
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

    fn v2_group(&self) -> Option<&Group> {
        self.groups()
            .find(|group| group.hierarchy.version == Version::V2)
    }

    /// Every hierarchy of this machine, as they were found.
    pub fn hierarchies(&self) -> &Hierarchies {
        &self.hierarchies
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
            let seat = group.seat();
            for level in seat.levels() {
                let (named, last) = (level.path == group.path, level.path == seat.path);
                // The root is always there.
                let there = || level.path.as_os_str().is_empty() || level.exists();
                if named || last || !there() {
                    let mut make = MakeGroup::new(level.clone(), slot.filter(|_| last));
                    make.words = named.then(|| self.words(at, lasting));
                    if lasting {
                        plan.then(make)
                    } else {
                        plan.during(make)
                    };
                }
                if !named && !last {
                    self.enable(plan, &level, controllers);
                }
            }
        }
        if let (false, Some(group)) = (self.device_rules.is_empty(), self.v2_group()) {
            plan.then(AttachDeviceRules {
                group: group.clone(),
                rules: self.device_rules.clone(),
            });
        }
        let memory = self.settings.iter().find(|one| one.name == "memory.max");
        let memory = memory.and_then(|limit| bytes(&limit.value).ok());
        let (rules, limits): (Vec<&Setting>, Vec<&Setting>) =
            self.settings.iter().partition(|one| is_device_rule(one));
        if let Some(first) = rules.first() {
            let mut rules: Vec<Setting> = rules.iter().map(|one| (*one).clone()).collect();
            rules.dedup();
            plan.then(WriteDeviceRules {
                group: self.holder(first)?.clone(),
                rules,
            });
        }
        for setting in limits {
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
                plan.then(JoinGroup::new(group.seat(), forked));
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
        self.groups()
            .find(holds)
            .ok_or_else(|| Error::new("no group here has the controller of").on(&setting.name))
    }
}

fn is_device_rule(setting: &Setting) -> bool {
    matches!(&*setting.name, "devices.allow" | "devices.deny")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Command, Exec};

    /// A plan's steps, a line each, on hierarchies at `/` (v2) and `/tmp` (v1) that hold these controllers.
    fn steps(v2: &[&str], v1: &[&str], places: &[&str], set: &[&str], member: Member) -> String {
        let (root, tmp) = (Path::new("/"), Path::new("/tmp"));
        let mut mounts = vec![(Version::V2, root, v2)];
        if !v1.is_empty() {
            mounts.push((Version::V1, tmp, v1));
        }
        let place = |text: &&str| {
            let (controllers, path) = text.split_once(':').unwrap();
            let names = controllers.split(',').filter(|name| !name.is_empty());
            Place {
                controllers: names.map(str::to_owned).collect(),
                path: path.into(),
            }
        };
        let places: Vec<Place> = places.iter().map(place).collect();
        let settings = set.iter().map(|text| Setting::parse(text).unwrap());
        let all = Hierarchies::made_up(&mounts);
        let confinement = Confinement::new(&all, &places, settings.collect()).unwrap();
        let mut plan = Plan::new(Exec::new(
            Command::new(["true".into()]).unwrap(),
            Vec::new(),
        ));
        confinement
            .prepare(&mut plan, member == Member::This)
            .unwrap();
        confinement.join(&mut plan, member);
        let told = plan.tell();
        let calls = told.iter().map(|step| step.what.call.clone());
        let calls: Vec<String> = calls.filter(|call| !call.starts_with("exec")).collect();
        calls.join("\n")
    }

    #[test]
    fn on_v2_controllers_go_down_level_by_level() {
        assert_eq!(
            steps(
                &["memory", "pids"],
                &[],
                &["memory:n/x"],
                &["pids.max=5"],
                Member::This
            ),
            "write(\"/cgroup.subtree_control\", \"+memory +pids\")\n\
             mkdir(\"/n\", 0755)\n\
             write(\"/n/cgroup.subtree_control\", \"+memory +pids\")\n\
             mkdir(\"/n/x\", 0755)\n\
             write(\"/n/x/pids.max\", \"5\")\n\
             write(\"/n/x/cgroup.procs\", \"0\")"
        );
    }

    #[test]
    fn a_place_without_controllers_gets_those_of_its_settings() {
        let told = steps(
            &["memory", "pids"],
            &[],
            &[":x"],
            &["pids.max=5"],
            Member::This,
        );
        assert!(
            told.starts_with("write(\"/cgroup.subtree_control\", \"+pids\")"),
            "{told}"
        );
    }

    #[test]
    fn on_a_hybrid_each_setting_goes_to_its_holder() {
        let told = steps(
            &[],
            &["memory"],
            &[":x"],
            &["memory.max=4096"],
            Member::This,
        );
        assert_eq!(
            told,
            "mkdir(\"/x\", 0755)\n\
             mkdir(\"/tmp/x\", 0755)\n\
             write(\"/tmp/x/memory.limit_in_bytes\", \"4096\")\n\
             write(\"/x/cgroup.procs\", \"0\")\n\
             write(\"/tmp/x/tasks\", \"0\")"
        );
    }

    #[test]
    fn one_that_is_born_there_need_not_join_on_v2() {
        let told = steps(
            &[],
            &["memory"],
            &[":x", "memory:y"],
            &[],
            Member::Child(Some(Slot(0))),
        );
        assert!(
            !told.contains("cgroup.procs") && told.contains("/tmp/y/tasks"),
            "{told}"
        );
    }

    #[test]
    fn a_controller_that_nobody_holds_is_refused() {
        let all = Hierarchies::made_up(&[(Version::V2, Path::new("/"), &["pids"])]);
        let memory = vec![Setting::new("memory.max", "1")];
        let error = Confinement::new(&all, &[], memory).unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
        assert!(
            error.advice().is_some_and(|hint| hint.contains("pids")),
            "{error:?}"
        );
    }
}
