//! libcgroup's names for what `cg` does: cgcreate(1), cgset(1), cgget(1), cgdelete(1), cgclassify(1), lscgroup(1).
//! Their command lines, output and exit statuses, over the same library; groups of v2 are served too.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use argh::{ArgsInfo, FromArgs};
use isobox::accounts::Accounts;
use isobox::cgroup::group::Owner;
use isobox::cgroup::setting::controller_of;
use isobox::cgroup::{Group, Hierarchies, Layout, Setting, Version, group_path, tree};
use isobox::credentials::identity;
use isobox::error::{Error, Result};
use isobox::order;
use isobox::plan::confine::{Confinement, Place};
use nix::errno::Errno;
use nix::unistd::Pid;

use super::cgexec::{At, Set};
use crate::cli::help::print_all;
use crate::cli::raw::Raw;
use crate::cli::{Applet, Exit, gnu};

/// libcgroup's error numbers modulo 256: no such controller here, no such parameter, any other.
const NO_CONTROLLER: u8 = 84;
const NO_PARAMETER: u8 = 95;
const OTHER: u8 = 96;

/// make control groups
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "cgcreate",
    example = "cgcreate -g memory,pids:/demo -t 1000:1000 -a 1000:1000"
)]
pub(crate) struct Create {
    /// the group to make; may be repeated
    #[argh(option, short = 'g', arg_name = "controllers:path")]
    group: Vec<At>,
    /// who owns the group and its files
    #[argh(option, short = 'a', arg_name = "uid:gid")]
    admin: Option<Ids>,
    /// who owns the files by which processes join
    #[argh(option, short = 't', arg_name = "uid:gid")]
    tasks: Option<Ids>,
    /// paths count from the root of the hierarchy; they always do
    #[argh(switch, short = 'b')]
    #[allow(dead_code, reason = "libcgroup's word for what is always so here")]
    from_root: bool,
    /// permissions of the directory
    #[argh(option, short = 'd', arg_name = "mode")]
    dperm: Option<Octal>,
    /// permissions of its files, masked by those of the owner
    #[argh(option, short = 'f', arg_name = "mode")]
    fperm: Option<Octal>,
    /// permissions of the files by which processes join
    #[argh(option, short = 's', arg_name = "mode")]
    tperm: Option<Octal>,
}

/// set parameters of control groups
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "cgset", example = "cgset -r memory.max=100M demo")]
pub(crate) struct SetParameters {
    /// the parameter and its value; may be repeated
    #[argh(option, short = 'r', arg_name = "name=value")]
    variable: Vec<Set>,
    /// take the parameters from this group
    #[argh(option, arg_name = "path")]
    copy_from: Option<PathOf>,
    /// set them in the groups below too
    #[argh(switch, short = 'R')]
    recursive: bool,
    /// paths count from the root of the hierarchy; they always do
    #[argh(switch, short = 'b')]
    #[allow(dead_code, reason = "libcgroup's word for what is always so here")]
    from_root: bool,
    /// the groups
    #[argh(positional)]
    path: Vec<PathOf>,
}

/// print parameters of control groups
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "cgget", example = "cgget -nv -r memory.max demo")]
pub(crate) struct Get {
    /// the parameter; may be repeated
    #[argh(option, short = 'r', arg_name = "name")]
    variable: Vec<String>,
    /// all parameters of this controller, or with a path those of that group; may be repeated
    #[argh(option, short = 'g', arg_name = "controllers[:path]")]
    group: Vec<String>,
    /// all parameters of all controllers
    #[argh(switch, short = 'a')]
    all: bool,
    /// print no headers
    #[argh(switch, short = 'n')]
    no_headers: bool,
    /// print values only
    #[argh(switch, short = 'v')]
    values_only: bool,
    /// print how control groups are mounted: legacy, hybrid or unified
    #[argh(switch, short = 'm')]
    mode: bool,
    /// paths count from the root of the hierarchy; they always do
    #[argh(switch, short = 'b')]
    #[allow(dead_code, reason = "libcgroup's word for what is always so here")]
    from_root: bool,
    /// the groups
    #[argh(positional)]
    path: Vec<Raw>,
}

/// remove control groups
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "cgdelete",
    example = "cgdelete -r memory,pids:/demo"
)]
pub(crate) struct Delete {
    /// the group; may be repeated
    #[argh(option, short = 'g', arg_name = "controllers:path")]
    group: Vec<At>,
    /// remove the groups below too
    #[argh(switch, short = 'r')]
    recursive: bool,
    /// paths count from the root of the hierarchy; they always do
    #[argh(switch, short = 'b')]
    #[allow(dead_code, reason = "libcgroup's word for what is always so here")]
    from_root: bool,
    /// more groups
    #[argh(positional, arg_name = "controllers:path")]
    more: Vec<At>,
}

/// move processes to control groups
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "cgclassify",
    example = "cgclassify -g pids:/demo 4711"
)]
pub(crate) struct Classify {
    /// the group; may be repeated
    #[argh(option, short = 'g', arg_name = "controllers:path")]
    group: Vec<At>,
    /// keep a rules daemon from moving the processes; there is none that would
    #[argh(switch)]
    #[allow(dead_code, reason = "as below")]
    sticky: bool,
    /// let it move them again
    #[argh(switch)]
    #[allow(dead_code, reason = "as below")]
    cancel_sticky: bool,
    /// paths count from the root of the hierarchy; they always do
    #[argh(switch, short = 'b')]
    #[allow(dead_code, reason = "libcgroup's word for what is always so here")]
    from_root: bool,
    /// the processes
    #[argh(positional)]
    pid: Vec<i32>,
}

/// list control groups
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "lscgroup", example = "lscgroup pids:/")]
pub(crate) struct List {
    /// start from this group; may be repeated
    #[argh(option, short = 'g', arg_name = "controllers:path")]
    group: Vec<At>,
    /// more groups to start from
    #[argh(positional, arg_name = "controllers:path")]
    more: Vec<At>,
}

/// A group's path.
struct PathOf(PathBuf);

impl argh::FromArgValue for PathOf {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        let Raw(typed) = Raw::from_arg_value(value)?;
        group_path(&typed).map(Self).map_err(gnu::bad)
    }
}

/// `USER:GROUP`, numbers or names of this machine's accounts.
struct Ids(Owner);

impl argh::FromArgValue for Ids {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        if !value.contains(':') {
            return Err(gnu::bad(format!("no UID:GID in '{value}'")));
        }
        owner(value).map(Self).map_err(gnu::bad)
    }
}

/// The ids of `USER` or `USER:GROUP` by this machine's accounts.
pub(super) fn owner(spec: &str) -> Result<Owner> {
    let found = identity(spec.as_ref(), &mut Accounts::here())?;
    Ok(Owner {
        uid: found.uid,
        gid: found.gid,
    })
}

/// Permissions in octal.
#[derive(Clone, Copy)]
struct Octal(u32);

impl argh::FromArgValue for Octal {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        let mode = u32::from_str_radix(value, 8)
            .ok()
            .filter(|mode| *mode <= 0o7777);
        mode.map(Self)
            .ok_or_else(|| gnu::bad(format!("not permissions in octal: '{value}'")))
    }
}

/// The groups of the places named, one in each hierarchy.
fn groups(all: &Hierarchies, places: Vec<At>) -> Result<Vec<Group>> {
    let mut found = Vec::new();
    for At(place) in places {
        found.extend(confinement(all, place)?.groups().cloned());
    }
    Ok(found)
}

fn confinement(all: &Hierarchies, place: Place) -> Result<Confinement> {
    Confinement::new(all, &[place], Vec::new()).map_err(|error| error.status(NO_CONTROLLER))
}

fn other<T>(result: Result<T>) -> Result<T> {
    result.map_err(|error| error.status(OTHER))
}

impl Applet for Create {
    fn run(self) -> Result<Exit> {
        let all = other(Hierarchies::discover())?;
        if self.group.is_empty() {
            return Err(Error::new("no group given: -g CONTROLLERS:PATH").status(OTHER));
        }
        for At(place) in self.group {
            let made = confinement(&all, place)?;
            other(made.make())?;
            for group in made.groups() {
                // What -t and -s are about: the files by which processes join.
                let joining: &[&str] = match group.hierarchy.version {
                    Version::V1 => &["tasks"],
                    Version::V2 => &["cgroup.procs", "cgroup.threads"],
                };
                let admin = self.admin.as_ref().map(|ids| ids.0);
                let tasks = self.tasks.as_ref().map(|ids| ids.0);
                other(group.hand_over("", admin, self.dperm.map(|mode| mode.0)))?;
                for file in other(group.files())? {
                    if joining.contains(&&*file) {
                        other(group.hand_over(&file, tasks, self.tperm.map(|mode| mode.0)))?;
                    } else {
                        other(group.hand_over(&file, admin, self.fperm.map(|mode| mode.0)))?;
                    }
                }
            }
        }
        Ok(Exit::OK)
    }
}

impl Applet for SetParameters {
    fn run(self) -> Result<Exit> {
        let all = other(Hierarchies::discover())?;
        let settings = match self.copy_from {
            Some(PathOf(from)) => copied(&all, &from)?,
            None => self.variable.into_iter().map(|set| set.0).collect(),
        };
        if settings.is_empty() || self.path.is_empty() {
            return Err(Error::new("no parameter or no group given").status(OTHER));
        }
        for PathOf(path) in &self.path {
            for setting in &settings {
                let holder = all
                    .of(setting.controller())
                    .map_err(|error| error.status(NO_PARAMETER))?;
                let missing = |error: Error| match error.errno() {
                    Some(Errno::ENOENT | Errno::EACCES) => error.status(NO_PARAMETER),
                    _ => error.status(OTHER),
                };
                let group = Group::new(holder, path);
                let mut all = if self.recursive {
                    other(tree::deepest_first(&group))?
                } else {
                    Vec::new()
                };
                // One that is not there is refused by being written to.
                if all.is_empty() {
                    all.push(group);
                }
                for group in all.iter().rev() {
                    group.set(setting, None).map_err(missing)?;
                }
            }
        }
        Ok(Exit::OK)
    }
}

/// Every parameter of a group that can be written, as it is now.
fn copied(all: &Hierarchies, from: &Path) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    for group in other(tree::at(all, from))? {
        for file in other(group.files())? {
            let core = file.starts_with("cgroup.") || !file.contains('.');
            // A file that can be read and written holds a parameter of one line.
            if core || !group.may_write(&file) {
                continue;
            }
            if let Some(value) = group
                .read(&file)
                .ok()
                .filter(|value| value.trim().lines().count() == 1)
            {
                settings.push(Setting::new(file, value.trim()));
            }
        }
    }
    Ok(settings)
}

impl Applet for Get {
    fn run(self) -> Result<Exit> {
        let all = other(Hierarchies::discover())?;
        if self.mode {
            let name = match all.layout() {
                Layout::None => "unknown",
                layout => layout.name(),
            };
            return print_all(&format!("{name}\n"));
        }
        let mut wanted: Vec<(&Path, Vec<&str>)> = Vec::new();
        let mut controllers = Vec::new();
        for group in &self.group {
            match group.split_once(':') {
                Some((names, path)) => wanted.push((path.as_ref(), names.split(',').collect())),
                None => controllers.extend(group.split(',')),
            }
        }
        let paths = self.path.iter().map(|path| path.0.as_ref());
        wanted.extend(paths.map(|path| (path, controllers.clone())));
        if wanted.is_empty() {
            return Err(Error::new("no group given").status(OTHER));
        }
        let mut out = String::new();
        for (path, controllers) in wanted {
            self.print(&all, path, &controllers, &mut out)?;
        }
        print_all(&out)
    }
}

impl Get {
    fn print(
        &self,
        all: &Hierarchies,
        typed: &Path,
        controllers: &[&str],
        out: &mut String,
    ) -> Result<()> {
        let path = other(group_path(typed.as_os_str()))?;
        let shown = match typed.as_os_str().is_empty() {
            true => Path::new("/"),
            false => typed,
        };
        // Who names nothing wants everything.
        let whole = self.all || controllers.is_empty() && self.variable.is_empty();
        if !self.no_headers {
            let _ = writeln!(out, "{}:", shown.display());
        }
        let groups = other(tree::at(all, &path))?;
        let mut names = self.variable.clone();
        for group in groups.iter().filter(|_| whole || !controllers.is_empty()) {
            let wanted = |file: &String| {
                let controller = controller_of(file);
                // The files of a controller; what every group has is none's.
                !file.starts_with("cgroup.")
                    && file.contains('.')
                    && (whole || controllers.iter().any(|c| ["*", controller].contains(c)))
            };
            names.extend(other(group.files())?.into_iter().filter(wanted));
        }
        for name in &names {
            let text = groups.iter().find_map(|group| group.read(name).ok());
            let text = text.or_else(|| groups.iter().find_map(|group| group.get(name).ok()));
            match text {
                Some(text) => self.parameter(name, &text, out),
                // Some files of a group can only be written.
                None if !self.variable.contains(name) => {}
                None => {
                    let error = Error::new(format!(
                        "cannot find '{name}' in group '{}'",
                        shown.display()
                    ));
                    return Err(error.status(OTHER));
                }
            }
        }
        if !self.no_headers {
            out.push('\n');
        }
        Ok(())
    }

    /// A parameter; what has several lines goes on below its first, indented by a tab.
    fn parameter(&self, name: &str, text: &str, out: &mut String) {
        let name = if self.values_only {
            String::new()
        } else {
            format!("{name}: ")
        };
        let _ = writeln!(out, "{name}{}", text.trim_end().replace('\n', "\n\t"));
    }
}

impl Applet for Delete {
    fn run(self) -> Result<Exit> {
        let all = other(Hierarchies::discover())?;
        let places: Vec<At> = self.group.into_iter().chain(self.more).collect();
        if places.is_empty() {
            return Err(Error::new("no group given").status(OTHER));
        }
        for group in groups(&all, places)? {
            let doomed = if self.recursive {
                other(tree::deepest_first(&group))?
            } else {
                vec![group]
            };
            for group in doomed {
                other(group.remove())?;
            }
        }
        Ok(Exit::OK)
    }
}

impl Applet for Classify {
    fn run(self) -> Result<Exit> {
        let all = Hierarchies::discover()?;
        if self.group.is_empty() || self.pid.is_empty() {
            return Err(Error::new("no group or no process given")
                .hint("cgclassify -g CONTROLLERS:PATH PID..."));
        }
        for group in groups(&all, self.group)? {
            for pid in &self.pid {
                group
                    .attach(Pid::from_raw(*pid))
                    .map_err(|error| error.status(1))?;
            }
        }
        Ok(Exit::OK)
    }
}

impl Applet for List {
    fn run(self) -> Result<Exit> {
        let all = other(Hierarchies::discover())?;
        let places: Vec<At> = self.group.into_iter().chain(self.more).collect();
        let roots = match &places[..] {
            [] => all
                .all()
                .iter()
                .map(|hierarchy| Group::new(hierarchy, ""))
                .collect(),
            _ => groups(&all, places)?,
        };
        let mut out = String::new();
        for root in roots {
            other(root.open().map(drop))?;
            let start = root.path.clone();
            let mut below = other(tree::deepest_first(&root))?;
            order::sort_by(&mut below, |a, b| a.path.cmp(&b.path));
            for group in below {
                let names = v1_names(&group);
                // libcgroup marks where a list starts by a slash at the end.
                let end = if group.path == start && !start.as_os_str().is_empty() {
                    "/"
                } else {
                    ""
                };
                let _ = writeln!(out, "{names}:/{}{end}", group.path.display());
            }
        }
        print_all(&out)
    }
}

/// The controllers of a group's hierarchy, as libcgroup writes them before the colon.
fn v1_names(group: &Group) -> String {
    let v2_is_all = group.hierarchy.version == Version::V2;
    let name = |controller: &String| {
        if controller == "io" && !v2_is_all {
            "blkio".into()
        } else {
            controller.clone()
        }
    };
    group
        .hierarchy
        .controllers
        .iter()
        .map(name)
        .collect::<Vec<_>>()
        .join(",")
}
