//! The verbs of `cg` that show.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use argh::{ArgsInfo, FromArgs};
use isobox::cgroup::usage::effective;
use isobox::cgroup::value::human;
use isobox::cgroup::{Group, Hierarchies, Layout, Version, tree};
use isobox::error::{Error, Result};
use isobox::json::quote;

use super::At;
use crate::cli::Exit;
use crate::cli::help::print_all;

/// print files of a group
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "get")]
pub(super) struct Get {
    /// sizes with units
    #[argh(switch, short = 'H')]
    human: bool,
    /// as JSON
    #[argh(switch)]
    json: bool,
    /// the group
    #[argh(positional)]
    path: At,
    /// the files (what it uses and its limits)
    #[argh(positional)]
    name: Vec<String>,
}

/// show groups as a tree, with their processes and limits
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "ls")]
pub(super) struct Ls {
    /// as JSON
    #[argh(switch)]
    json: bool,
    /// the group to start from (the root)
    #[argh(positional)]
    path: Option<At>,
}

/// show how long processes of a group waited for cpu, memory and io
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "psi")]
pub(super) struct Psi {
    /// the group
    #[argh(positional)]
    path: At,
    /// cpu, memory or io (all)
    #[argh(positional)]
    resource: Option<String>,
}

/// show which limits count for a group, and which group sets them
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "why")]
pub(super) struct Why {
    /// the group
    #[argh(positional)]
    path: At,
}

impl Get {
    pub(super) fn run(self, all: &Hierarchies) -> Result<Exit> {
        let groups = tree::at(all, &self.path.0)?;
        let mut out = String::new();
        let mut rows = Vec::new();
        let names = if self.name.is_empty() {
            summary(&groups)
        } else {
            self.name
        };
        let alone = names.len() == 1 || !names.iter().all(|name| single_line(&groups, name));
        for name in &names {
            let mut text = read(all, &self.path.0, name)?;
            if self.human && name.starts_with("memory.") {
                text = with_units(&text);
            }
            rows.push(format!("  {}: {}", quote(name), quote(text.trim_end())));
            if alone {
                out.push_str(&text);
            } else {
                let _ = writeln!(out, "{name} {}", text.trim_end());
            }
        }
        if self.json {
            out = format!("{{\n{}\n}}\n", rows.join(",\n"));
        }
        print_all(&out)
    }
}

/// The same text with each number that is a word of its own as a size.
fn with_units(text: &str) -> String {
    let word = |word: &str| word.parse().map_or_else(|_| word.to_owned(), human);
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ") + "\n";
    text.lines().map(line).collect()
}

/// What there is to say of a group in a few lines.
fn summary(groups: &[Group]) -> Vec<String> {
    const WORTH: [&str; 8] = [
        "memory.current",
        "memory.max",
        "memory.swap.max",
        "cpu.max",
        "cpu.weight",
        "cpuset.cpus",
        "pids.current",
        "pids.max",
    ];
    let there = |name: &&str| groups.iter().any(|group| group.get(name).is_ok());
    WORTH
        .iter()
        .filter(|name| there(name))
        .map(|name| (*name).to_owned())
        .collect()
}

fn single_line(groups: &[Group], name: &str) -> bool {
    groups
        .iter()
        .find_map(|group| group.get(name).ok())
        .is_none_or(|text| text.lines().count() <= 1)
}

/// A file by v2's name, from whichever hierarchy has it.
fn read(all: &Hierarchies, path: &Path, name: &str) -> Result<String> {
    let groups = tree::at(all, path)?;
    let found = groups.iter().find_map(|group| group.get(name).ok());
    found.map_or_else(
        || Group::new(all.of(isobox::cgroup::setting::controller_of(name))?, path).get(name),
        Ok,
    )
}

impl Ls {
    pub(super) fn run(self, all: &Hierarchies) -> Result<Exit> {
        let path = self.path.map_or_else(PathBuf::new, |at| at.0);
        let mut out = String::new();
        let roots: Vec<Group> = tree::at(all, &path)?.into_iter().collect();
        if self.json {
            let rows: Vec<String> = roots.iter().map(json).collect();
            return print_all(&format!("[\n{}\n]\n", rows.join(",\n")));
        }
        for root in &roots {
            if roots.len() > 1 || all.layout() != Layout::Unified {
                let held = root.hierarchy.controllers.join(" ");
                let _ = writeln!(out, "{} ({held})", root.hierarchy.mount.display());
            }
            branch(root, "", &mut out)?;
        }
        print_all(&out)
    }
}

/// The processes in a group, where that can be read.
fn pids(group: &Group) -> Vec<String> {
    let pids = group.processes().unwrap_or_default();
    pids.iter().map(ToString::to_string).collect()
}

/// One group and those below it, each a line.
fn branch(group: &Group, indent: &str, out: &mut String) -> Result<()> {
    let name = group
        .path
        .file_name()
        .map_or_else(|| "/".into(), |name| name.to_string_lossy().into_owned());
    let pids = pids(group);
    let few = if pids.len() > 8 {
        format!("{} processes", pids.len())
    } else {
        pids.join(" ")
    };
    let _ = writeln!(
        out,
        "{}",
        format!("{indent}{name}  {few}  {}", limits(group)).trim_end()
    );
    let Ok(children) = group.children() else {
        return Ok(());
    };
    for child in children {
        branch(
            &Group::new(&group.hierarchy, group.path.join(child)),
            &format!("{indent}  "),
            out,
        )?;
    }
    Ok(())
}

/// The limits that a group sets itself, as `memory.max=100M`.
fn limits(group: &Group) -> String {
    const LIMITS: [&str; 8] = [
        "memory.max",
        "memory.high",
        "memory.swap.max",
        "cpu.max",
        "cpu.weight",
        "cpuset.cpus",
        "pids.max",
        "io.max",
    ];
    let set = LIMITS.iter().filter_map(|name| {
        let text = group.get(name).ok()?;
        let value = text.trim();
        let is_default = value.is_empty()
            || value.starts_with("max")
            || (*name == "cpu.weight" && value == "100");
        // A v1 cpuset always has its CPUs.
        let is_copy = *name == "cpuset.cpus" && group.hierarchy.version == Version::V1;
        let shown = if name.starts_with("memory.") {
            with_units(value)
        } else {
            value.replace('\n', ", ")
        };
        (!is_default && !is_copy).then(|| format!("{name}={}", shown.trim()))
    });
    set.collect::<Vec<_>>().join(" ")
}

fn json(group: &Group) -> String {
    let pids = pids(group);
    let children = group.children().unwrap_or_default().into_iter();
    let below: Vec<String> = children
        .map(|child| json(&Group::new(&group.hierarchy, group.path.join(child))))
        .collect();
    format!(
        "{{\"path\": {}, \"hierarchy\": {}, \"pids\": [{}], \"limits\": {}, \"groups\": [{}]}}",
        quote(&format!("/{}", group.path.display())),
        quote(&group.hierarchy.mount.to_string_lossy()),
        pids.join(", "),
        quote(&limits(group)),
        below.join(", ")
    )
}

impl Psi {
    pub(super) fn run(self, all: &Hierarchies) -> Result<Exit> {
        let v2 = all.v2().ok_or_else(|| {
            Error::new("there is no pressure information").because("cgroup v1 has none")
        })?;
        let group = Group::new(v2, self.path.0);
        let resources = self
            .resource
            .as_deref()
            .map_or_else(|| vec!["cpu", "memory", "io"], |one| vec![one]);
        let mut out = String::new();
        for resource in &resources {
            let file = pressure_file(resource)?;
            if resources.len() > 1 {
                let _ = writeln!(out, "{resource}:");
            }
            out.push_str(&group.read(&file)?);
        }
        print_all(&out)
    }
}

/// The file in which the kernel tells how long a group waited for a resource.
pub(super) fn pressure_file(resource: &str) -> Result<String> {
    if matches!(resource, "cpu" | "memory" | "io") {
        return Ok(format!("{resource}.pressure"));
    }
    Err(Error::new("no such resource")
        .on(resource)
        .because("cpu, memory or io"))
}

impl Why {
    pub(super) fn run(self, all: &Hierarchies) -> Result<Exit> {
        tree::at(all, &self.path.0)?;
        let mut out = String::new();
        for limit in effective(all, &self.path.0) {
            let set_by = limit.set_by.map_or_else(
                || "no group sets it".into(),
                |group| format!("set by {}", group.shown().display()),
            );
            let _ = writeln!(out, "{}={}  {set_by}", limit.name, limit.limit);
        }
        print_all(&out)
    }
}

#[cfg(test)]
mod tests {
    use super::with_units;

    #[test]
    fn sizes_get_units() {
        assert_eq!(with_units("104857600\n"), "100M\n");
        assert_eq!(with_units("max"), "max\n");
        assert_eq!(with_units("anon 4096\nfile 0\n"), "anon 4K\nfile 0\n");
    }
}
