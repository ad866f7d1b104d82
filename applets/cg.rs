//! cg: control groups by hand, one verb for each thing that learners and scripts do with mkdir, echo and cat.
//! The verbs that show are in `cg/show.rs`, those that go on showing in `cg/top.rs` and `cg/watch.rs`.

#[path = "cg/show.rs"]
mod show;
#[path = "cg/top.rs"]
mod top;
#[path = "cg/watch.rs"]
mod watch;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use argh::{ArgsInfo, FromArgs};
use isobox::cgroup::{Group, Hierarchies, Setting, group_path, io, tree};
use isobox::error::{Error, Result};
use isobox::plan::confine::{Confinement, Place};
use nix::unistd::Pid;

use crate::cli::help::print_all;
use crate::cli::raw::Raw;
use crate::cli::{Applet, Exit, gnu, say};

/// show and change control groups
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "cg",
    example = "cg create demo -r memory.max=100M",
    example = "cg ls",
    example = "cg rm -r --kill demo",
    note = "Paths count from the root of the hierarchy; a leading slash is optional.",
    note = "Names and values are those of cgroup v2; on a v1 hierarchy they are translated."
)]
pub(crate) struct Args {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    Create(Create),
    Rm(Rm),
    Set(Set),
    Get(show::Get),
    Enable(Enable),
    Attach(Attach),
    Ls(show::Ls),
    Top(top::Top),
    Kill(Kill),
    Freeze(Freeze),
    Thaw(Thaw),
    Delegate(Delegate),
    Watch(watch::Watch),
    Psi(show::Psi),
    Init(Init),
    IoDev(IoDev),
    Why(show::Why),
}

/// make a group, and those above it
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "create")]
struct Create {
    /// in the hierarchies of these controllers, separated by commas, and enable them above it
    #[argh(option, short = 'g', arg_name = "controllers")]
    controllers: Option<String>,
    /// set NAME=VALUE in it; may be repeated
    #[argh(option, short = 'r', arg_name = "name=value")]
    set: Vec<Assignment>,
    /// the group
    #[argh(positional)]
    path: At,
}

/// remove groups
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "rm")]
struct Rm {
    /// remove the groups below too
    #[argh(switch, short = 'r')]
    recursive: bool,
    /// end the processes in it first
    #[argh(switch)]
    kill: bool,
    /// the groups
    #[argh(positional)]
    path: Vec<At>,
}

/// set limits of a group
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "set")]
struct Set {
    /// the group
    #[argh(positional)]
    path: At,
    /// what to set
    #[argh(positional, arg_name = "name=value")]
    set: Vec<Assignment>,
}

/// enable controllers for the groups below a group
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "enable")]
struct Enable {
    /// the group
    #[argh(positional)]
    path: At,
    /// the controllers
    #[argh(positional)]
    controller: Vec<String>,
}

/// move processes into a group
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "attach")]
struct Attach {
    /// the group
    #[argh(positional)]
    path: At,
    /// the processes
    #[argh(positional)]
    pid: Vec<i32>,
}

/// end every process of a group and of those below
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "kill")]
struct Kill {
    /// the group
    #[argh(positional)]
    path: At,
}

/// stop every process of a group until thawed
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "freeze")]
struct Freeze {
    /// the group
    #[argh(positional)]
    path: At,
}

/// let the processes of a frozen group go on
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "thaw")]
struct Thaw {
    /// the group
    #[argh(positional)]
    path: At,
}

/// make a group and let a user make groups and set limits below it
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "delegate")]
struct Delegate {
    /// the group
    #[argh(positional)]
    path: At,
    /// the user, or user:group; a name or a number
    #[argh(positional)]
    user: String,
}

/// move all processes of the root group to a leaf, so that controllers can be enabled
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "init")]
struct Init {
    /// of this group, instead of the root
    #[argh(option, arg_name = "path")]
    of: Option<At>,
    /// the leaf (init)
    #[argh(positional)]
    leaf: Option<At>,
}

/// print the number of the disk that a path lies on, as io limits want it
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "io-dev")]
struct IoDev {
    /// the path
    #[argh(positional)]
    path: Raw,
}

/// A group's path as typed.
struct At(PathBuf);

impl argh::FromArgValue for At {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        group_path(OsStr::new(value)).map(Self).map_err(gnu::bad)
    }
}

/// `NAME=VALUE`.
struct Assignment(Setting);

impl argh::FromArgValue for Assignment {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        Setting::parse(value).map(Self).map_err(gnu::bad)
    }
}

impl Applet for Args {
    fn run(self) -> Result<Exit> {
        if let Verb::IoDev(verb) = &self.verb {
            return print_all(&format!("{}\n", io::disk_of(Path::new(&verb.path.0))?));
        }
        let all = Hierarchies::discover()?;
        match self.verb {
            Verb::Create(verb) => verb.run(&all)?,
            Verb::Rm(verb) => verb.run(&all)?,
            Verb::Set(verb) => verb.run(&all)?,
            Verb::Enable(verb) => verb.run(&all)?,
            Verb::Attach(verb) => verb.run(&all)?,
            Verb::Kill(verb) => tree::kill_all(&all, &verb.path.0)?,
            Verb::Freeze(verb) => tree::freeze(&all, &verb.path.0, true)?,
            Verb::Thaw(verb) => tree::freeze(&all, &verb.path.0, false)?,
            Verb::Delegate(verb) => verb.run(&all)?,
            Verb::Init(verb) => verb.run(&all)?,
            Verb::Get(verb) => return verb.run(&all),
            Verb::Ls(verb) => return verb.run(&all),
            Verb::Top(verb) => return verb.run(&all),
            Verb::Watch(verb) => return verb.run(&all),
            Verb::Psi(verb) => return verb.run(&all),
            Verb::Why(verb) => return verb.run(&all),
            Verb::IoDev(_) => {}
        }
        Ok(Exit::OK)
    }
}

/// Sets what was asked for, each in the hierarchy that holds its controller, and says what v1 calls it.
fn set_all(all: &Hierarchies, path: &Path, settings: Vec<Assignment>) -> Result<()> {
    for Assignment(setting) in settings {
        let group = Group::new(all.of(setting.controller())?, path);
        let written = group.set(&setting, None)?;
        let renamed = written
            .iter()
            .filter(|one| one.name != setting.name)
            .map(|one| one.is_here(&setting));
        for note in renamed.chain(group.remarks(&written)) {
            say(&format!("note: {note}\n"));
        }
    }
    Ok(())
}

impl Create {
    fn run(self, all: &Hierarchies) -> Result<()> {
        let named = self.controllers.as_deref().unwrap_or_default();
        let mut controllers: Vec<String> = named
            .split(',')
            .filter(|c| !c.is_empty())
            .map(str::to_owned)
            .collect();
        controllers.extend(self.set.iter().map(|one| one.0.controller().to_owned()));
        let place = Place {
            controllers,
            path: self.path.0.clone(),
        };
        Confinement::new(all, &[place], Vec::new())?.make()?;
        set_all(all, &self.path.0, self.set)
    }
}

impl Rm {
    fn run(self, all: &Hierarchies) -> Result<()> {
        for At(path) in self.path {
            if self.kill {
                tree::kill_all(all, &path)?;
            }
            tree::remove(all, &path, self.recursive)?;
        }
        Ok(())
    }
}

impl Set {
    fn run(self, all: &Hierarchies) -> Result<()> {
        tree::at(all, &self.path.0)?;
        set_all(all, &self.path.0, self.set)
    }
}

impl Enable {
    fn run(self, all: &Hierarchies) -> Result<()> {
        let v2 = all.v2().ok_or_else(|| {
            Error::new("there is nothing to enable")
                .because("cgroup v1 hierarchies have their controllers in every group")
        })?;
        let names: Vec<&str> = self.controller.iter().map(String::as_str).collect();
        for level in Group::new(v2, self.path.0).levels() {
            level.enable(&names)?;
        }
        Ok(())
    }
}

impl Attach {
    fn run(self, all: &Hierarchies) -> Result<()> {
        for group in tree::at(all, &self.path.0)? {
            for pid in &self.pid {
                group.attach(Pid::from_raw(*pid))?;
            }
        }
        Ok(())
    }
}

impl Delegate {
    /// The directory and the files that cgroup-v2.rst names ("Delegation"); the limits of the group itself stay ours.
    fn run(self, all: &Hierarchies) -> Result<()> {
        let v2 = all.v2().ok_or_else(|| {
            Error::new("cannot delegate safely")
                .because("cgroup v1 lets whoever owns a group undo its limits: mount v2")
        })?;
        let owner = super::libcgroup::owner(&self.user)?;
        let group = Group::new(v2, self.path.0);
        let above = group.parent();
        let controllers = above.read("cgroup.controllers")?;
        Confinement::new(
            all,
            &[Place {
                controllers: Vec::new(),
                path: group.path.clone(),
            }],
            Vec::new(),
        )?
        .make()?;
        let names: Vec<&str> = controllers.split_whitespace().collect();
        for level in above.levels() {
            level.enable(&names)?;
        }
        for file in [
            "",
            "cgroup.procs",
            "cgroup.subtree_control",
            "cgroup.threads",
        ] {
            group.hand_over(file, Some(owner), None)?;
        }
        Ok(())
    }
}

impl Init {
    fn run(self, all: &Hierarchies) -> Result<()> {
        let v2 = all.v2();
        let v2 = v2.ok_or_else(|| {
            Error::new("nothing to do").because("v1 hierarchies have no rule against it")
        })?;
        let leaf = self
            .leaf
            .map_or_else(|| "init".into(), |leaf| leaf.0.display().to_string());
        let group = Group::new(v2, self.of.map_or_else(PathBuf::new, |at| at.0));
        let moved = tree::evacuate(v2, &group.path, &leaf)?;
        let controllers = group.read("cgroup.controllers")?;
        group.enable(&controllers.split_whitespace().collect::<Vec<_>>())?;
        let leaf = Path::new("/").join(&group.path).join(leaf);
        print_all(&format!(
            "moved {moved} process(es) to {}\n",
            leaf.display()
        ))
        .map(drop)
    }
}
