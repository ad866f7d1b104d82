//! pivot_root(8): the bare system call, for shells that do the rest by hand. `pivot` does the rest too.

use argh::{ArgsInfo, FromArgs};
use isobox::error::Result;

use crate::cli::raw::Raw;
use crate::cli::{Applet, Exit};

/// change the root of this mount namespace, for the processes that have the present one
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "pivot_root",
    example = "cd ROOT && pivot_root . . && umount -l .",
    error_code(1, "the root was not changed")
)]
pub(crate) struct Args {
    /// a mount point, which becomes the root
    #[argh(positional)]
    new_root: Raw,
    /// a directory at or below it, where the present root is put
    #[argh(positional)]
    put_old: Raw,
}

impl Applet for Args {
    fn run(self) -> Result<Exit> {
        isobox::pivot::bare(&self.new_root.into_path(), &self.put_old.into_path())?;
        Ok(Exit::OK)
    }
}
