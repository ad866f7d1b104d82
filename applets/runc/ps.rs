//! runc ps: the processes of a container, as ps(1) shows them.

use super::words::{Answer, Failure};
use super::{Caller, at_least};
use crate::cli::raw::Raw;
use crate::cli::{Exit, help, processes};
use argh::{ArgsInfo, FromArgs};

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
            None | Some("table") => {
                let options = self.container_id.iter().skip(1);
                let options = options.map(|Raw(word)| word.to_string_lossy().into_owned());
                processes::table(&pids, options.collect())?
            }
            Some("json") if pids.is_empty() => "null\n".into(),
            Some("json") => {
                let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
                format!("[{}]\n", pids.join(","))
            }
            Some(_) => return Err(Failure::new("invalid format option")),
        };
        Ok(help::print_all(&text)?)
    }
}
