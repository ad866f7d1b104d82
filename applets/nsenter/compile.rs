//! From what was meant to a plan: which steps, in which order.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use isobox::enter::{Name, Origin, Target};
use isobox::error::{Error, Result};
use isobox::namespace::{self, Kind};
use isobox::order;
use isobox::plan::steps::attributes::ChangeDirectory;
use isobox::plan::steps::capabilities::KeepCapsAmbient;
use isobox::plan::steps::directories::{EnterDirectory, EnterRoot, OpenDirectory, Place};
use isobox::plan::steps::enter::{
    Hide, HoldTarget, Join, JoinTargetCgroup, OpenNamespace, OpenTargetCgroup, OpenTargetDirectory,
    Pass, Source,
};
use isobox::plan::steps::join_ids::{Id, JoinIds, TryClearGroups};
use isobox::plan::{Fork, Own, Plan, Slot};
use nix::sched::CloneFlags;
use nix::unistd::Pid;

use crate::cli::plan::{command_or_shell, environment, exec, keep_own_binary};
use crate::cli::say;

/// What was typed, understood: nothing of it is opened yet but the target.
pub(super) struct Meant {
    pub(super) target: Option<Target>,
    /// The kinds that are the target's own.
    pub(super) of_target: CloneFlags,
    /// The kinds that come from somewhere else.
    pub(super) given: Vec<(Kind, Origin)>,
    pub(super) socket: Option<i32>,
    pub(super) user_parent: bool,
    pub(super) uid: Option<Wanted>,
    pub(super) gid: Option<Wanted>,
    pub(super) preserve: bool,
    pub(super) keep_caps: bool,
    pub(super) root: Option<Directory>,
    pub(super) wd: Option<Directory>,
    pub(super) wdns: Option<PathBuf>,
    pub(super) env: bool,
    pub(super) fork: bool,
    pub(super) join_cgroup: bool,
}

/// An id as asked for.
#[derive(Clone, Copy)]
pub(super) enum Wanted {
    Number(u32),
    Follow,
}

/// A directory as asked for.
pub(super) enum Directory {
    OfTarget,
    Path(PathBuf),
}

impl Meant {
    /// What of the target has to be found below its `/proc` directory, and what to call it.
    fn below_directory(&self) -> Option<&'static str> {
        let follows = |id: Option<Wanted>| matches!(id, Some(Wanted::Follow));
        [
            (matches!(self.root, Some(Directory::OfTarget)), "root"),
            (matches!(self.wd, Some(Directory::OfTarget)), "cwd"),
            (self.user_parent, "ns/user"),
            (self.join_cgroup, "cgroup"),
            (self.env, "environ"),
            (follows(self.uid) || follows(self.gid), ""),
        ]
        .into_iter()
        .find_map(|(asked, what)| asked.then_some(what))
    }

    /// Takes hold of the target, if anything of it is wanted.
    pub(super) fn hold(&mut self, name: Option<Name>, all: bool) -> Result<()> {
        let first = namespace::kinds(self.of_target).first().copied();
        let wanted = match first.or(all.then_some(Kind::User)) {
            Some(kind) => Some(format!("ns/{}", kind.proc_name())),
            None => self.below_directory().map(str::to_owned),
        };
        let Some(name) = name else {
            return match wanted {
                _ if all => Err(Error::new("no target PID specified for --all")),
                _ if self.socket.is_some() => Err(Error::new("no target PID specified")),
                Some(what) => Err(Error::new(format!(
                    "neither filename nor target pid supplied for {what}"
                ))),
                None => Ok(()),
            };
        };
        if wanted.is_none() && self.socket.is_none() && name.inode.is_none() {
            return Ok(());
        }
        let target = Target::hold(name, wanted.as_deref().unwrap_or_default())?;
        if all {
            let given = |kind: Kind| self.given.iter().any(|(k, _)| *k == kind);
            let kinds = target.all_kinds()?;
            self.of_target |= kinds
                .into_iter()
                .filter(|kind| !given(*kind))
                .fold(CloneFlags::empty(), |flags, kind| flags | kind.flag());
        }
        if self.of_target.contains(Kind::Pid.flag()) {
            warn_of_parent(&target);
        }
        self.target = Some(target);
        Ok(())
    }

    pub(super) fn plan(mut self, program: Vec<OsString>) -> Result<Plan> {
        let environment = match (self.env, &self.target) {
            (true, Some(target)) => target
                .environment()?
                .into_iter()
                .map(OsString::from_vec)
                .collect(),
            _ => environment(),
        };
        let command = command_or_shell(program, &environment)?;
        let mut plan = Plan::new(exec(command, environment));
        keep_own_binary(&mut plan, Own::Always);
        let needs_directory = self.below_directory().is_some_and(|what| what != "environ");
        let target = self.target.take().map(|target| {
            let (pid, slot) = (target.pid(), plan.slot());
            plan.then(HoldTarget { target, slot });
            (pid, slot)
        });
        let directory = target.filter(|_| needs_directory).map(|(pid, pidfd)| {
            let slot = plan.slot();
            plan.then(OpenTargetDirectory { pid, pidfd, slot });
            slot
        });
        let opened = self.open_namespaces(&mut plan, target, directory);
        let root = open_directory(&mut plan, self.root.take(), directory.map(Place::Root));
        let here = directory.map(Place::WorkingDirectory);
        let wd = open_directory(&mut plan, self.wd.take(), here);
        let cgroup = directory.filter(|_| self.join_cgroup).map(|directory| {
            let slot = plan.slot();
            plan.then(OpenTargetCgroup { directory, slot });
            slot
        });
        let kinds = self.join(&mut plan, target, opened);
        self.move_to(&mut plan, root, wd);
        if let Some(slot) = cgroup {
            plan.then(JoinTargetCgroup { slot });
        }
        if self.fork && kinds.contains(Kind::Pid.flag()) {
            plan.fork(Fork {
                namespaces: CloneFlags::empty(),
                cgroup: None,
                why:
                    "setns(2) changes the PID namespace of children only: the program is to be one"
                        .into(),
                without:
                    "the program would stay in our PID namespace, and only its children be inside"
                        .into(),
            });
        }
        self.become_user(&mut plan, kinds, directory);
        Ok(plan)
    }

    /// Opens what is not simply the target's.
    fn open_namespaces(
        &mut self,
        plan: &mut Plan,
        target: Option<(Pid, Slot)>,
        directory: Option<Slot>,
    ) -> Vec<(Kind, Slot)> {
        let mut opened = Vec::new();
        let open = |plan: &mut Plan, kind, source| {
            let slot = plan.slot();
            plan.then(OpenNamespace { kind, source, slot });
            slot
        };
        for (kind, origin) in std::mem::take(&mut self.given) {
            opened.push((kind, open(plan, kind, Source::Given(origin))));
        }
        if let (true, Some(directory)) = (self.user_parent, directory) {
            let user = opened.iter().position(|(kind, _)| *kind == Kind::User);
            let user = match user {
                Some(at) => opened.remove(at).1,
                None => open(plan, Kind::User, Source::Target(directory)),
            };
            let parent = open(plan, Kind::User, Source::ParentOf(user));
            opened.insert(0, (Kind::User, parent));
            self.of_target -= Kind::User.flag();
        }
        if let (Some(number), Some((pid, pidfd))) = (self.socket, target) {
            let source = Source::Socket { pid, pidfd, number };
            opened.retain(|(kind, _)| *kind != Kind::Net);
            opened.push((Kind::Net, open(plan, Kind::Net, source)));
            order::sort_by_key(&mut opened, |(kind, _)| *kind);
            self.of_target -= Kind::Net.flag();
        }
        opened
    }

    /// Joins them, and says which kinds there are.
    fn join(
        &self,
        plan: &mut Plan,
        target: Option<(Pid, Slot)>,
        opened: Vec<(Kind, Slot)>,
    ) -> CloneFlags {
        let kinds = opened
            .iter()
            .fold(self.of_target, |flags, (kind, _)| flags | kind.flag());
        if kinds.is_empty() {
            return kinds;
        }
        let user = kinds.contains(Kind::User.flag());
        let target = target
            .filter(|_| !self.of_target.is_empty())
            .map(|(pid, slot)| (pid, slot, self.of_target));
        plan.then(Hide);
        if user && !self.preserve {
            plan.then(TryClearGroups);
        }
        if user && kinds != Kind::User.flag() {
            plan.then(Join {
                pass: Pass::Outside,
                target,
                opened: opened.clone(),
            });
        }
        plan.then(Join {
            pass: Pass::Last,
            target,
            opened,
        });
        kinds
    }

    /// Goes to the root and the directory asked for; a root alone leaves us in the directory we are in.
    fn move_to(&mut self, plan: &mut Plan, root: Option<Slot>, mut wd: Option<Slot>) {
        if root.is_some() && wd.is_none() && self.wdns.is_none() {
            wd = open_directory(plan, Some(Directory::OfTarget), Some(Place::Here));
        }
        if let Some(slot) = root {
            plan.then(EnterRoot { slot });
        }
        if let Some(path) = self.wdns.take() {
            plan.then(ChangeDirectory { path });
        }
        if let Some(slot) = wd {
            plan.then(EnterDirectory { slot });
        }
    }

    fn become_user(&self, plan: &mut Plan, kinds: CloneFlags, directory: Option<Slot>) {
        let user = kinds.contains(Kind::User.flag());
        let zero = (user && !self.preserve).then_some(Wanted::Number(0));
        let id = |wanted: Option<Wanted>| match (wanted.or(zero)?, directory) {
            (Wanted::Number(id), _) => Some(Id::Number(id)),
            (Wanted::Follow, slot) => slot.map(Id::Of),
        };
        let (uid, gid) = (id(self.uid), id(self.gid));
        if uid.is_some() || gid.is_some() {
            plan.then(JoinIds {
                uid,
                gid,
                in_user_namespace: user,
            });
        }
        if self.keep_caps && user {
            plan.then(KeepCapsAmbient);
        }
    }
}

/// Opens a directory that was asked for: by its path, or else at `place`.
fn open_directory(plan: &mut Plan, asked: Option<Directory>, place: Option<Place>) -> Option<Slot> {
    let place = match asked? {
        Directory::Path(path) => Place::Path(path),
        Directory::OfTarget => place?,
    };
    let slot = plan.slot();
    plan.then(OpenDirectory { place, slot });
    Some(slot)
}

/// `unshare --pid --fork` stays outside of the PID namespace it makes, so its number is often not the one meant.
fn warn_of_parent(target: &Target) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    if let Some(child) = target.first_of_its_namespace() {
        let pid = target.pid();
        say(&format!(
            "hint: process {pid} is not in the PID namespace of its children: you may mean its child {child}\n"
        ));
    }
}
