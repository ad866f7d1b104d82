//! doctor: what this machine can do of what the other applets want. No tool of util-linux; docker's check-config.sh and
//! lxc-checkconfig look at the kernel's configuration, this tries.

use std::env;
use std::fmt::Write as _;

use argh::{ArgsInfo, FromArgs};
use isobox::doctor::{Places, State, groups, look};
use isobox::error::{Error, Result, printable};

use crate::cli::help::print_all;
use crate::cli::table::{Format, Table};
use crate::cli::{Applet, Exit};

/// tell whether this machine can do what the other applets want
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "doctor",
    example = "doctor",
    example = "doctor -q cgroup network",
    note = "Tries things in children, in namespaces of their own: nothing is changed. A line is ok, warn (some of it cannot be done, or not as one might think) or FAIL (an applet cannot do what it is for), what it is about, what was found, and what to do.",
    note = "The groups are kernel, here, namespaces, user, cgroup, files, network, guards and store.",
    error_code(1, "something FAILs")
)]
pub(crate) struct Args {
    /// tell only what is not ok
    #[argh(switch, short = 'q')]
    quiet: bool,
    /// as JSON
    #[argh(switch)]
    json: bool,
    /// what to look at (everything)
    #[argh(positional)]
    group: Vec<String>,
}

impl Applet for Args {
    fn run(self) -> Result<Exit> {
        let chosen = chosen(
            "no such group of findings:",
            &self.group,
            groups().collect(),
        )?;
        let places = places();
        let mut table = Table::of_texts(
            "findings",
            &["GROUP", "STATE", "SUBJECT", "FOUND", "ADVICE"],
        );
        table.format = Format::Json;
        let mut text = String::new();
        let mut worst = State::Ok;
        for group in chosen {
            let all = look(group, &places);
            if !self.quiet {
                let _ = writeln!(text, "{group}:");
            }
            for one in all {
                worst = worst.max(one.state);
                if self.quiet && one.state == State::Ok {
                    continue;
                }
                let found = printable(one.found.as_ref());
                let _ = write!(text, "{:<6}{}: {found}", one.state.word(), one.subject);
                let dash = if one.advice.is_empty() { "" } else { " - " };
                let _ = writeln!(text, "{dash}{}", one.advice);
                let cells = [
                    group,
                    one.state.word(),
                    &one.subject,
                    &one.found,
                    &one.advice,
                ];
                table.add(None, cells.map(|cell| cell.as_bytes().to_vec()).into());
            }
        }
        match self.json {
            true => table.print()?,
            false => print_all(&text)?,
        };
        Ok(Exit::Status(u8::from(worst == State::Fail)))
    }
}

/// Those of the known words that were given, in their own order; all where none was.
///
/// # Errors
/// For a word that is not known.
pub(super) fn chosen(
    unknown: &'static str,
    words: &[String],
    mut known: Vec<&'static str>,
) -> Result<Vec<&'static str>> {
    if let Some(word) = words.iter().find(|word| !known.contains(&word.as_str())) {
        let known = format!("there are {}", known.join(" "));
        return Err(Error::new(unknown).on(word).hint(known));
    }
    known.retain(|name| words.is_empty() || words.iter().any(|word| word == name));
    Ok(known)
}

fn places() -> Places {
    let (kept, live) = super::container::kept::places();
    let path = env::var_os("PATH").unwrap_or_default();
    Places {
        images: super::pull::environment::images(),
        containers: vec![kept, live],
        path: env::split_paths(&path).collect(),
    }
}
