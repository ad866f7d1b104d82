//! container: run programs in containers, and look after those that are kept.

#[path = "container/images.rs"]
mod images;
#[path = "container/network.rs"]
mod network;
#[path = "container/run.rs"]
mod run;
#[path = "container/values.rs"]
mod values;

use argh::{ArgsInfo, FromArgs};
use isobox::error::Result;

use crate::cli::{Applet, Exit};

/// run programs in containers
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "container",
    example = "container run --rootfs host -it sh",
    error_code(125, "a failure of container itself"),
    error_code(126, "the program was found but could not be executed"),
    error_code(127, "the program was not found")
)]
pub(crate) struct Args {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    Run(run::Run),
}
/// docker's status for a failure of its own.
const OURS: u8 = 125;

impl Applet for Args {
    fn run(self) -> Result<Exit> {
        let done = match self.verb {
            Verb::Run(run) => run.run(),
        };
        done.map_err(|error| error.or_status(OURS))
    }
}
