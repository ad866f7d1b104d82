//! runc list, runc state: what is known of containers.

use std::fmt::Write as _;

use argh::{ArgsInfo, FromArgs};
use isobox::accounts::Accounts;
use isobox::json::quote;
use isobox::oci::lifecycle::{self, Container};
use isobox::order;

use super::words::{Answer, Failure};
use super::{Caller, exactly};
use crate::cli::raw::Raw;
use crate::cli::{Exit, help};

/// list the containers that are kept
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "list")]
pub(super) struct List {
    /// as a table, or as JSON
    #[argh(option, short = 'f', arg_name = "table|json")]
    format: Option<String>,
    /// names alone
    #[argh(switch, short = 'q')]
    quiet: bool,
    /// none is taken
    #[argh(positional)]
    operands: Vec<Raw>,
}

/// print what is known of a container
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "state")]
pub(super) struct State {
    /// the container
    #[argh(positional)]
    container_id: Vec<Raw>,
}

impl State {
    pub(super) fn run(self, caller: &Caller) -> Answer<Exit> {
        let container = caller.one("state", &self.container_id)?;
        let text = object(&container.state()?, "", Layout::Lines);
        Ok(help::print_all(&text)?)
    }
}

impl List {
    pub(super) fn run(self, caller: &Caller) -> Answer<Exit> {
        exactly("list", &self.operands, 0)?;
        let containers = Container::all(&caller.store)?;
        if self.quiet {
            let names: String = containers
                .iter()
                .map(|one| format!("{}\n", one.kept().id()))
                .collect();
            return Ok(help::print_all(&names)?);
        }
        let mut rows = Vec::new();
        for container in &containers {
            // One that goes at this moment is not listed.
            if let Ok(state) = container.state() {
                rows.push((state, owner(container)));
            }
        }
        let text = match self.format.as_deref() {
            None | Some("table") => table(&rows),
            Some("json") if rows.is_empty() => "null\n".into(),
            Some("json") => {
                let rows: Vec<String> = rows
                    .iter()
                    .map(|(state, owner)| object(state, owner, Layout::Line))
                    .collect();
                format!("[{}]\n", rows.join(","))
            }
            Some(_) => return Err(Failure::new("invalid format option")),
        };
        Ok(help::print_all(&text)?)
    }
}

/// The name of whoever made it; the number of one who has no account.
fn owner(container: &Container) -> String {
    let uid = nix::sys::stat::fstat(container.kept().dir()).map_or(0, |stat| stat.st_uid);
    let user = Accounts::here().user_of(uid).ok().flatten();
    user.map_or_else(
        || format!("#{uid}"),
        |user| user.name.to_string_lossy().into_owned(),
    )
}

/// How an object is laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Line,
    Lines,
}

/// The state of a container, in runc's order.
fn object(state: &lifecycle::State, owner: &str, layout: Layout) -> String {
    let record = &state.record;
    let text = |value: &str| quote(value);
    let mut fields = vec![
        ("ociVersion", text(&record.config.version)),
        ("id", text(&record.id)),
        ("pid", state.pid.to_string()),
        ("status", text(&state.status.to_string())),
        ("bundle", text(record.bundle())),
        ("rootfs", text(&record.config.rootfs.to_string_lossy())),
        ("created", text(&record.created)),
    ];
    let mut annotations: Vec<(&str, &str)> = record.annotations().collect();
    order::sort(&mut annotations);
    if !annotations.is_empty() {
        let pairs = annotations
            .iter()
            .map(|(name, value)| (*name, quote(value)));
        fields.push(("annotations", braces(&pairs.collect::<Vec<_>>(), layout, 2)));
    }
    fields.push(("owner", text(owner)));
    braces(&fields, layout, 1)
}

fn braces(fields: &[(&str, String)], layout: Layout, depth: usize) -> String {
    let (gap, between) = match layout {
        Layout::Line => (String::new(), ":"),
        Layout::Lines => (format!("\n{}", "  ".repeat(depth)), ": "),
    };
    let mut out = String::from("{");
    for (at, (name, value)) in fields.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let _ = write!(out, "{comma}{gap}{}{between}{value}", quote(name));
    }
    match layout {
        Layout::Line => out.push('}'),
        Layout::Lines => {
            let _ = write!(out, "\n{}}}", "  ".repeat(depth - 1));
        }
    }
    out
}

/// In columns at least twelve wide, with three blanks between, as Go's tabwriter lays them out.
fn table(rows: &[(lifecycle::State, String)]) -> String {
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(String::from);
    let mut lines = vec![head];
    lines.extend(rows.iter().map(|(state, owner)| {
        [
            state.record.id.clone(),
            state.pid.to_string(),
            state.status.to_string(),
            state.record.bundle().into(),
            state.record.created.clone(),
            owner.clone(),
        ]
    }));
    let width = |column: usize| {
        let widest = lines.iter().map(|line| line[column].chars().count()).max();
        (widest.unwrap_or(0) + 3).max(12)
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut out = String::new();
    for line in &lines {
        for (cell, width) in line.iter().zip(widths).take(5) {
            let _ = write!(out, "{cell:width$}");
        }
        let _ = writeln!(out, "{}", line[5]);
    }
    out
}
