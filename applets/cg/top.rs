//! cg top: what groups use, look after look. Plain lines, so that a log and a terminal without any codes do.

use std::env;
use std::fmt::Write as _;
use std::io::{IsTerminal, stdout};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use argh::{ArgsInfo, FromArgs};
use isobox::cgroup::pressure::{Pressure, Share};
use isobox::cgroup::usage::Usage;
use isobox::cgroup::value::human;
use isobox::cgroup::{Group, Hierarchies, tree};
use isobox::error::Result;
use isobox::json::quote;
use isobox::order;

use super::At;
use super::watch::Time;
use crate::cli::Exit;
use crate::cli::help::print_all;

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
    delay: Option<Time>,
    /// the group whose groups are shown (the root)
    #[argh(positional)]
    path: Option<At>,
}

/// What one group uses, and how long it waited for CPU, memory and io of the last ten seconds.
struct Row {
    path: PathBuf,
    usage: Usage,
    waited: [Option<Share>; 3],
}

const RESOURCES: [&str; 3] = ["cpu", "memory", "io"];

impl Top {
    pub(super) fn run(self, all: &Hierarchies) -> Result<Exit> {
        let path = self
            .path
            .as_ref()
            .map_or_else(PathBuf::new, |at| at.0.clone());
        let delay = self
            .delay
            .map_or(Duration::from_secs(1), |time| time.0)
            .max(Duration::from_millis(50));
        let has_codes =
            stdout().is_terminal() && env::var_os("TERM").is_some_and(|term| term != "dumb");
        let clear = if has_codes && !self.once && !self.json {
            "\x1b[H\x1b[2J"
        } else {
            ""
        };
        let mut before = look(all, &path)?;
        loop {
            let started = Instant::now();
            sleep(delay);
            let now = look(all, &path)?;
            let passed = u64::try_from(started.elapsed().as_micros())
                .unwrap_or(u64::MAX)
                .max(1);
            let table = if self.json { json } else { text };
            print_all(&format!("{clear}{}", table(&before, &now, passed)))?;
            if self.once {
                return Ok(Exit::OK);
            }
            before = now;
        }
    }
}

/// The group and those right below it.
fn look(all: &Hierarchies, path: &Path) -> Result<Vec<Row>> {
    let mut below = Vec::new();
    for group in tree::at(all, path)? {
        below.extend(group.children()?.into_iter().map(|child| path.join(child)));
    }
    order::sort(&mut below);
    below.dedup();
    let row = |path: PathBuf| {
        let pressure = |resource| {
            let text = Group::new(all.v2()?, &path)
                .read(&format!("{resource}.pressure"))
                .ok()?;
            Some(Pressure::parse(&text).ok()?.some.avg10)
        };
        Row {
            usage: Usage::of(all, &path),
            waited: RESOURCES.map(pressure),
            path,
        }
    };
    Ok([path.to_owned()]
        .into_iter()
        .chain(below)
        .map(row)
        .collect())
}

/// How much a figure that only grows has grown, times `unit`, for each microsecond that passed.
fn rate(
    before: &[Row],
    now: &Row,
    figure: impl Fn(&Usage) -> Option<u64>,
    unit: u64,
    passed: u64,
) -> Option<u64> {
    let earlier = before.iter().find(|row| row.path == now.path)?;
    let grown = figure(&now.usage)?.saturating_sub(figure(&earlier.usage)?);
    Some(grown.saturating_mul(unit) / passed)
}

/// CPU time in tenths of a percent of one CPU.
fn cpu(before: &[Row], now: &Row, passed: u64) -> Option<String> {
    let tenths = rate(before, now, |usage| usage.cpu_usec, 1000, passed)?;
    Some(format!("{}.{}", tenths / 10, tenths % 10))
}

fn text(before: &[Row], now: &[Row], passed: u64) -> String {
    let dash = || "-".to_owned();
    let size = |n: Option<u64>| n.map_or_else(dash, human);
    let line = |name: &str, cells: [String; 6]| {
        let mut line = format!("{name:<32}");
        for (cell, width) in cells.iter().zip([6, 8, 8, 6, 8, 18]) {
            let _ = write!(line, " {cell:>width$}");
        }
        line + "\n"
    };
    let heads = ["CPU%", "MEMORY", "SWAP", "PIDS", "IO/S", "WAIT% CPU/MEM/IO"].map(str::to_owned);
    let mut out = line("GROUP", heads);
    for row in now {
        let usage = &row.usage;
        let waited = row
            .waited
            .map(|share| share.map_or_else(dash, |share| share.to_string()));
        let cells = [
            cpu(before, row, passed).unwrap_or_else(dash),
            size(usage.memory),
            size(usage.swap),
            usage.pids.map_or_else(dash, |n| n.to_string()),
            size(rate(before, row, |usage| usage.io_bytes, 1_000_000, passed)),
            waited.join("/"),
        ];
        out.push_str(&line(&format!("/{}", row.path.display()), cells));
    }
    out
}

fn json(before: &[Row], now: &[Row], passed: u64) -> String {
    let null = || "null".to_owned();
    let number = |n: Option<u64>| n.map_or_else(null, |n| n.to_string());
    let rows = now.iter().map(|row| {
        let usage = &row.usage;
        let mut out = format!(
            "  {{\"group\": {}",
            quote(&format!("/{}", row.path.display()))
        );
        let figures = [
            ("cpu_percent", cpu(before, row, passed).unwrap_or_else(null)),
            ("cpu_usec", number(usage.cpu_usec)),
            ("memory", number(usage.memory)),
            ("swap", number(usage.swap)),
            ("pids", number(usage.pids)),
            ("io_bytes", number(usage.io_bytes)),
            (
                "io_bytes_per_second",
                number(rate(before, row, |usage| usage.io_bytes, 1_000_000, passed)),
            ),
        ];
        for (name, figure) in figures {
            let _ = write!(out, ", \"{name}\": {figure}");
        }
        for (resource, share) in RESOURCES.iter().zip(row.waited) {
            let _ = write!(
                out,
                ", \"{resource}_pressure\": {}",
                share.map_or_else(null, |share| share.to_string())
            );
        }
        out + "}"
    });
    format!("[\n{}\n]\n", rows.collect::<Vec<_>>().join(",\n"))
}
