//! mkrootfs: root file systems. What there is no tool for but `cp`, `ldd` and patience: a tree of our own, and any tree
//! as an initramfs.

#[path = "mkrootfs/skeleton.rs"]
mod skeleton;

use argh::{ArgsInfo, FromArgs};
use isobox::error::{Error, Result};

use crate::cli::raw::Raw;
use crate::cli::{Applet, Exit, gnu};

/// make a root file system
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "mkrootfs",
    example = "mkrootfs --busybox ./root",
    example = "mkrootfs --shell --add ls --add python3 ./root",
    example = "mkrootfs --busybox -o cpio initramfs",
    note = "Without an input it makes a minimal root: this binary with a link for each applet, and what programs take for granted. Of names that busybox has too, ours are kept; but a busybox that was built to prefer its own applets runs those from its shell, unless they are called by path.",
    note = "What a program opens by itself while it runs (plugins, locales, configuration) is not known from its file: add it too.",
    note = "In an initramfs there are the devices that programs take for granted, whoever makes it, and no extended attributes. SOURCE_DATE_EPOCH is the latest time of any file."
)]
pub(crate) struct Args {
    /// start from this directory
    #[argh(option, short = 'i', arg_name = "dir")]
    input: Option<Raw>,
    /// what to make: dir, or cpio for an initramfs
    #[argh(option, short = 'o', arg_name = "dir|cpio", default = "Output::Dir")]
    output: Output,
    /// copy this program or other file of the host, with its loader and its libraries; may be repeated
    #[argh(option, arg_name = "program")]
    add: Vec<Raw>,
    /// copy the host's busybox, with a link for each of its applets
    #[argh(switch)]
    busybox: bool,
    /// copy the best shell of the host, which becomes /bin/sh
    #[argh(switch)]
    shell: bool,
    /// the directory to make, which has to be empty or missing; or the archive, standard output where none is named
    #[argh(positional, arg_name = "target")]
    target: Option<Raw>,
}

/// What is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Dir,
    Cpio,
}

impl argh::FromArgValue for Output {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        match value {
            "dir" => Ok(Self::Dir),
            "cpio" => Ok(Self::Cpio),
            _ => Err(gnu::bad(format!("cannot make '{value}': dir or cpio"))),
        }
    }
}

impl Applet for Args {
    fn run(self) -> Result<Exit> {
        let wanted = skeleton::Wanted {
            add: self.add.into_iter().map(|name| name.0).collect(),
            busybox: self.busybox,
            shell: self.shell,
        };
        let target = self.target.map(Raw::into_path);
        match (self.input.map(Raw::into_path), self.output, target) {
            (Some(tree), Output::Cpio, target) => {
                wanted.goes_with_no_input()?;
                skeleton::archive(&tree, target.as_deref())
            }
            (Some(_), Output::Dir, _) => Err(Error::new("a directory can be written as cpio only")),
            (None, Output::Cpio, target) => wanted.archive(target.as_deref()),
            (None, Output::Dir, Some(target)) => wanted.directory(&target),
            (None, Output::Dir, None) => Err(Error::new("no directory given")),
        }
    }
}
