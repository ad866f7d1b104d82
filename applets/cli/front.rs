//! The box itself: `isobox --list`, `--install`, `--help`, `--version`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;

use isobox::error::{Error, Result};

use super::Exit;
use super::help::print_all;
use crate::{install, table};

/// `isobox` alone, and `isobox --help`.
pub(crate) fn help() -> Result<Exit> {
    let mut text = format!(
        "isobox {}: isolates processes by hand.\n\nUsage:\n isobox APPLET [argument...]\n or APPLET [argument...], through a link of that name\n\n\
         Options:\n --list               the applets\n --install [-s] DIR   make a link for each applet in DIR (-s: symbolic)\n \
         --help, --version\n\nApplets:\n",
        env!("CARGO_PKG_VERSION")
    );
    for entry in table::all() {
        let _ = writeln!(text, " {:<14} {}", entry.name, (entry.info)().description);
    }
    text.push_str("\n'APPLET --help' tells more.\n");
    print_all(&text)
}

/// An option of the box.
pub(crate) fn option(name: &str, args: &[OsString]) -> Result<Exit> {
    match name {
        "-h" | "--help" => help(),
        "-V" | "--version" => print_all(&format!("isobox {}\n", env!("CARGO_PKG_VERSION"))),
        "--list" => print_all(
            &table::all()
                .map(|entry| format!("{}\n", entry.name))
                .collect::<String>(),
        ),
        "--install" => match args {
            [flag, dir] if flag == "-s" => {
                install::install(Path::new(dir), install::Link::Symbolic)
            }
            [dir] => install::install(Path::new(dir), install::Link::Hard),
            _ => Err(Error::new("--install takes [-s] and one directory")),
        },
        _ => Err(Error::new(format!("unrecognized option '{name}'")).hint("try 'isobox --help'")),
    }
}
