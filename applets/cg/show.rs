//! The verbs of `cg` that show.

use std::fmt::Write as _;
use std::io::{IsTerminal, stdout};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use argh::{ArgsInfo, FromArgs};
use isobox::cgroup::pressure::Pressure;
use isobox::cgroup::usage::{Usage, effective};
use isobox::cgroup::value::human;
use isobox::cgroup::{Group, Hierarchies, Layout, tree};
use isobox::error::{Error, Result};
use isobox::json::quote;

use super::At;
use crate::cli::Exit;
use crate::cli::help::print_all;

/// print files of a group
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "get")]
pub(super) struct Get {
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

/// show what groups use, again and again
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "top")]
pub(super) struct Top {
    /// once, and end
    #[argh(switch)]
    once: bool,
    /// as JSON
    #[argh(switch)]
    json: bool,
    /// seconds between two looks (1)
    #[argh(option, short = 'd', arg_name = "seconds")]
    delay: Option<f64>,
    /// the group whose groups are shown (the root)
    #[argh(positional)]
    path: Option<At>,
}

/// wait for changes of a group: populated, frozen, oom_kill
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "watch")]
pub(super) struct Watch {
    /// give up after this many seconds, with status 1
    #[argh(option, arg_name = "seconds")]
    timeout: Option<f64>,
    /// the group
    #[argh(positional)]
    path: At,
    /// end when this holds (populated=0); without it, print every change
    #[argh(positional, arg_name = "key=value")]
    until: Option<String>,
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
        let names = if self.name.is_empty() { summary(&groups) } else { self.name };
        let alone = names.len() == 1 || !names.iter().all(|name| single_line(&groups, name));
        for name in &names {
            let text = read(all, &self.path.0, name)?;
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
    WORTH.iter().filter(|name| there(name)).map(|name| (*name).to_owned()).collect()
}

fn single_line(groups: &[Group], name: &str) -> bool {
    groups.iter().find_map(|group| group.get(name).ok()).is_none_or(|text| text.lines().count() <= 1)
}

/// A file by v2's name, from whichever hierarchy has it.
fn read(all: &Hierarchies, path: &Path, name: &str) -> Result<String> {
    let groups = tree::at(all, path)?;
    let found = groups.iter().find_map(|group| group.get(name).ok());
    found.map_or_else(|| Group::new(all.of(isobox::cgroup::setting::controller_of(name))?, path).get(name), Ok)
}

impl Ls {
    pub(super) fn run(self, all: &Hierarchies) -> Result<Exit> {
        let path = self.path.map_or_else(PathBuf::new, |at| at.0);
        let mut out = String::new();
        let roots: Vec<Group> = tree::at(all, &path)?.into_iter().collect();
        if self.json {
            let rows: Vec<String> = roots.iter().map(|root| json(all, root)).collect::<Result<_>>()?;
            return print_all(&format!("[\n{}\n]\n", rows.join(",\n")));
        }
        for root in &roots {
            if roots.len() > 1 || all.layout() != Layout::Unified {
                let held = root.hierarchy.controllers.join(" ");
                let _ = writeln!(out, "{} ({held})", root.hierarchy.mount.display());
            }
            branch(all, root, "", &mut out)?;
        }
        print_all(&out)
    }
}

/// One group and those below it, each a line.
fn branch(all: &Hierarchies, group: &Group, indent: &str, out: &mut String) -> Result<()> {
    let name = group.path.file_name().map_or_else(|| "/".into(), |name| name.to_string_lossy().into_owned());
    let pids: Vec<String> = group.processes().unwrap_or_default().iter().map(ToString::to_string).collect();
    let few = if pids.len() > 8 { format!("{} processes", pids.len()) } else { pids.join(" ") };
    let _ = writeln!(out, "{}", format!("{indent}{name}  {few}  {}", limits(all, group)).trim_end());
    let Ok(children) = group.children() else { return Ok(()) };
    for child in children {
        branch(all, &Group::new(&group.hierarchy, group.path.join(child)), &format!("{indent}  "), out)?;
    }
    Ok(())
}

/// The limits that a group sets itself, as `memory.max=100M`.
fn limits(_: &Hierarchies, group: &Group) -> String {
    const LIMITS: [&str; 4] = ["memory.max", "cpu.max", "pids.max", "io.max"];
    let set = LIMITS.iter().filter_map(|name| {
        let text = group.get(name).ok()?;
        let value = text.trim();
        let shown = if *name == "memory.max" { value.parse().map(human).unwrap_or_default() } else { value.into() };
        (!value.is_empty() && !value.starts_with("max") && !shown.is_empty()).then(|| format!("{name}={shown}"))
    });
    set.collect::<Vec<_>>().join(" ")
}

fn json(all: &Hierarchies, group: &Group) -> Result<String> {
    let pids: Vec<String> = group.processes().unwrap_or_default().iter().map(ToString::to_string).collect();
    let below: Vec<String> = group
        .children()
        .unwrap_or_default()
        .into_iter()
        .map(|child| json(all, &Group::new(&group.hierarchy, group.path.join(child))))
        .collect::<Result<_>>()?;
    Ok(format!(
        "{{\"path\": {}, \"hierarchy\": {}, \"pids\": [{}], \"limits\": {}, \"groups\": [{}]}}",
        quote(&format!("/{}", group.path.display())),
        quote(&group.hierarchy.mount.to_string_lossy()),
        pids.join(", "),
        quote(&limits(all, group)),
        below.join(", ")
    ))
}

impl Top {
    pub(super) fn run(self, all: &Hierarchies) -> Result<Exit> {
        let path = self.path.as_ref().map_or_else(PathBuf::new, |at| at.0.clone());
        let seconds = self.delay.unwrap_or(1.0);
        if !(0.05..=3600.0).contains(&seconds) {
            return Err(Error::new("not a number of seconds").on(seconds.to_string()));
        }
        let delay = Duration::from_secs_f64(seconds);
        let mut before = look(all, &path)?;
        loop {
            let started = Instant::now();
            sleep(delay);
            let now = look(all, &path)?;
            let text = if self.json { top_json(&before, &now, started) } else { top_text(&before, &now, started) };
            let clear = if !self.once && !self.json && stdout().is_terminal() { "\x1b[H\x1b[2J" } else { "" };
            print_all(&format!("{clear}{text}"))?;
            if self.once {
                return Ok(Exit::OK);
            }
            before = now;
        }
    }
}

/// What a group uses, by path.
type Look = Vec<(PathBuf, Usage, Option<f64>)>;

/// The group and those right below it.
fn look(all: &Hierarchies, path: &Path) -> Result<Look> {
    let mut paths: Vec<PathBuf> = vec![path.to_owned()];
    for group in tree::at(all, path)? {
        paths.extend(group.children()?.into_iter().map(|child| path.join(child)));
    }
    paths[1..].sort_unstable();
    paths.dedup();
    let usage = |path: PathBuf| {
        let pressure = all.v2().and_then(|v2| Group::new(v2, &path).read("cpu.pressure").ok());
        let waited = pressure.and_then(|text| Pressure::parse(&text).ok()).map(|pressure| pressure.some.avg10);
        (path.clone(), Usage::of(all, &path), waited)
    };
    Ok(paths.into_iter().map(usage).collect())
}

/// CPU time used between two looks, in percent of one CPU.
fn cpu_percent(before: &Look, path: &Path, now: &Usage, since: Instant) -> Option<f64> {
    let earlier = before.iter().find(|(p, ..)| p == path)?.1.cpu_usec?;
    let used = Duration::from_micros(now.cpu_usec?.saturating_sub(earlier));
    Some(100.0 * used.as_secs_f64() / since.elapsed().as_secs_f64().max(0.001))
}

fn top_text(before: &Look, now: &Look, since: Instant) -> String {
    let dash = || "-".to_owned();
    let mut out = format!("{:<32} {:>6} {:>8} {:>8} {:>6} {:>8} {:>5}\n", "GROUP", "CPU%", "MEMORY", "SWAP", "PIDS", "IO", "PSI");
    for (path, usage, waited) in now {
        let cpu = cpu_percent(before, path, usage, since).map_or_else(dash, |percent| format!("{percent:.1}"));
        let size = |n: Option<u64>| n.map_or_else(dash, human);
        let _ = writeln!(
            out,
            "{:<32} {cpu:>6} {:>8} {:>8} {:>6} {:>8} {:>5}",
            format!("/{}", path.display()),
            size(usage.memory),
            size(usage.swap),
            usage.pids.map_or_else(dash, |n| n.to_string()),
            size(usage.io_bytes),
            waited.map_or_else(dash, |percent| format!("{percent:.1}"))
        );
    }
    out
}

fn top_json(before: &Look, now: &Look, since: Instant) -> String {
    let number = |n: Option<u64>| n.map_or_else(|| "null".into(), |n| n.to_string());
    let part = |n: Option<f64>| n.map_or_else(|| "null".into(), |n| format!("{n:.2}"));
    let rows = now.iter().map(|(path, usage, waited)| {
        format!(
            "  {{\"group\": {}, \"cpu_percent\": {}, \"cpu_usec\": {}, \"memory\": {}, \"swap\": {}, \"pids\": {}, \"io_bytes\": {}, \"cpu_pressure\": {}}}",
            quote(&format!("/{}", path.display())),
            part(cpu_percent(before, path, usage, since)),
            number(usage.cpu_usec),
            number(usage.memory),
            number(usage.swap),
            number(usage.pids),
            number(usage.io_bytes),
            part(*waited)
        )
    });
    format!("[\n{}\n]\n", rows.collect::<Vec<_>>().join(",\n"))
}

impl Watch {
    pub(super) fn run(self, all: &Hierarchies) -> Result<Exit> {
        let until = self.until.as_deref().map(|until| {
            let (key, value) = until.split_once('=').unwrap_or((until, "1"));
            format!("{key} {value}")
        });
        let v2 = all.v2().ok_or_else(|| Error::new("cannot watch").because("cgroup v1 tells of no changes"))?;
        let group = Group::new(v2, self.path.0);
        let deadline = self.timeout.map(|seconds| Instant::now() + Duration::from_secs_f64(seconds.clamp(0.0, 1e9)));
        let mut shown: Vec<String> = Vec::new();
        loop {
            let mut events = group.events()?;
            let text = events.read()?;
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            match &until {
                Some(until) if lines.contains(until) => return print_all(&format!("{until}\n")),
                Some(_) => {}
                None => {
                    let new: String =
                        lines.iter().filter(|line| !shown.contains(line)).map(|line| format!("{line}\n")).collect();
                    print_all(&new)?;
                }
            }
            shown = lines;
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Exit::Status(1));
            }
            events.wait(left)?;
        }
    }
}

impl Psi {
    pub(super) fn run(self, all: &Hierarchies) -> Result<Exit> {
        let v2 = all.v2().ok_or_else(|| Error::new("there is no pressure information").because("cgroup v1 has none"))?;
        let group = Group::new(v2, self.path.0);
        let resources = self.resource.as_deref().map_or_else(|| vec!["cpu", "memory", "io"], |one| vec![one]);
        let mut out = String::new();
        for resource in &resources {
            if !matches!(*resource, "cpu" | "memory" | "io") {
                return Err(Error::new("no such resource").on(resource).because("cpu, memory or io"));
            }
            if resources.len() > 1 {
                let _ = writeln!(out, "{resource}:");
            }
            out.push_str(&group.read(&format!("{resource}.pressure"))?);
        }
        print_all(&out)
    }
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
