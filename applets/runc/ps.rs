//! runc ps: the processes of a container, as ps(1) shows them.

use argh::{ArgsInfo, FromArgs};
use isobox::error::Error;
use isobox::process::{ended, run_to};
use isobox::sys::clone::Change;

use super::words::{Answer, Failure};
use super::{Caller, at_least};
use crate::cli::raw::Raw;
use crate::cli::{Exit, help};

/// show the processes of a container
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "ps")]
pub(super) struct Ps {
    /// as ps shows them, or their numbers as JSON
    #[argh(option, short = 'f', arg_name = "table|json")]
    format: Option<String>,
    /// the container, and options of ps (-ef)
    #[argh(positional, greedy)]
    container_id: Vec<Raw>,
}

/// Command lines are long, and a machine has many.
const MOST: u64 = 64 << 20;

impl Ps {
    pub(super) fn run(self, caller: &Caller) -> Answer<Exit> {
        at_least("ps", &self.container_id, 1)?;
        let container = caller.find(&self.container_id)?;
        let pids: Vec<i32> = container
            .processes()?
            .iter()
            .map(|pid| pid.as_raw())
            .collect();
        let text = match self.format.as_deref() {
            None | Some("table") => self.table(&pids)?,
            Some("json") if pids.is_empty() => "null\n".into(),
            Some("json") => {
                let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
                format!("[{}]\n", pids.join(","))
            }
            Some(_) => return Err(Failure::new("invalid format option")),
        };
        Ok(help::print_all(&text)?)
    }

    /// The lines of ps that are about these processes.
    fn table(&self, pids: &[i32]) -> Answer<String> {
        let mut argv = vec!["ps".to_owned()];
        let options = self.container_id.iter().skip(1);
        argv.extend(options.map(|Raw(word)| word.to_string_lossy().into_owned()));
        if argv.len() == 1 {
            argv.push("-ef".into());
        }
        let (end, said) = run_to(&argv, false, MOST)?;
        if end != Change::Exited(0) {
            return Err(Error::new("cannot run ps").because(ended(end)).into());
        }
        let said = String::from_utf8_lossy(&said);
        let mut lines = said.lines();
        let head = lines.next().unwrap_or_default();
        let column = head.split_whitespace().position(|name| name == "PID");
        let column = column.ok_or_else(|| Failure::new("couldn't find PID field in ps output"))?;
        let ours = |line: &&str| {
            let pid = line
                .split_whitespace()
                .nth(column)
                .and_then(|pid| pid.parse().ok());
            pid.is_some_and(|pid| pids.contains(&pid))
        };
        let lines: Vec<&str> = std::iter::once(head).chain(lines.filter(ours)).collect();
        Ok(format!("{}\n", lines.join("\n")))
    }
}
