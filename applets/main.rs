//! isobox, the multi-call binary: finds the applet by `argv[0]`, or as `isobox APPLET`, runs it, and prints
//! its error, once.
#![cfg_attr(not(test), no_main)]

mod cli;
mod install;
mod table;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use isobox::error::{Error, Result};

use cli::Exit;

/// What a shell gives for a command that is not there; busybox and toybox do for an applet.
const NO_SUCH_APPLET: u8 = 127;

#[cfg(not(test))]
isobox::entry!(start);

/// Runs the box on its argument vector and gives the exit status.
#[cfg_attr(
    test,
    allow(dead_code, reason = "the test harness has a start of its own")
)]
fn start(args: &[OsString]) -> u8 {
    let called = args.first().map(|arg| base_name(arg)).unwrap_or_default();
    let (name, result) = match table::find(&called) {
        Some(applet) => (applet.name, (applet.run)(applet, &args[1..])),
        None => front(args.get(1..).unwrap_or_default()),
    };
    match result {
        Ok(exit) => end(exit),
        Err(error) => {
            report(name, &error);
            error.exit_status()
        }
    }
}

/// The last component of `argv[0]`, without the dash of a login shell.
fn base_name(arg: &OsStr) -> String {
    let bytes = arg.as_bytes();
    let base = bytes.rsplit(|b| *b == b'/').next().unwrap_or(bytes);
    String::from_utf8_lossy(base.strip_prefix(b"-").unwrap_or(base)).into_owned()
}

/// `isobox APPLET ARGS`, and the options of the box itself.
fn front(args: &[OsString]) -> (&'static str, Result<Exit>) {
    let Some(first) = args.first() else {
        return ("isobox", cli::front::help());
    };
    let first = first.to_string_lossy();
    if let Some(applet) = table::find(&first) {
        return (applet.name, (applet.run)(applet, &args[1..]));
    }
    if first.starts_with('-') {
        return ("isobox", cli::front::option(&first, &args[1..]));
    }
    let error = Error::new("applet not found")
        .on(&*first)
        .status(NO_SUCH_APPLET);
    (
        "isobox",
        Err(error.hint("isobox --list shows what there is")),
    )
}

/// Prints an error: `applet: doing subject: reason`, and a hint where there is one.
fn report(name: &str, error: &Error) {
    let hint = error
        .advice()
        .map_or_else(String::new, |hint| format!("hint: {hint}\n"));
    cli::say(&format!("{name}: {error}\n{hint}"));
}

/// Ends as the child ended.
fn end(exit: Exit) -> u8 {
    match exit {
        Exit::Status(status) => status,
        Exit::Signal(signal) => {
            // Comes back only if the signal does not end us; then the number the shell would show.
            let _ = isobox::process::end_by(signal);
            u8::try_from(128 + signal).unwrap_or(u8::MAX)
        }
    }
}
