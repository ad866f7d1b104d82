//! isobox, the multi-call binary: finds the applet by `argv[0]`, or as `isobox APPLET`, runs it, and prints
//! its error, once.

mod cli;
mod install;
mod table;

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use isobox::error::{Error, Result};
use nix::sys::signal::Signal;

use cli::Exit;

/// What a shell gives for a command that is not there; busybox and toybox do for an applet.
const NO_SUCH_APPLET: u8 = 127;

fn main() -> ExitCode {
    // Rust ignores SIGPIPE, and a program would inherit that over exec.
    let _ = isobox::sys::signal::default(Signal::SIGPIPE);
    let args: Vec<OsString> = env::args_os().collect();
    let called = args.first().map(|arg| base_name(arg)).unwrap_or_default();
    let (name, result) = match table::find(&called) {
        Some(applet) => (applet.name, (applet.run)(applet, &args[1..])),
        None => front(args.get(1..).unwrap_or_default()),
    };
    match result {
        Ok(exit) => end(exit),
        Err(error) => {
            report(name, &error);
            ExitCode::from(error.exit_status())
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
    eprintln!("{name}: {error}");
    if let Some(hint) = error.advice() {
        eprintln!("hint: {hint}");
    }
}

/// Ends as the child ended.
fn end(exit: Exit) -> ExitCode {
    match exit {
        Exit::Status(status) => ExitCode::from(status),
        Exit::Signal(signal) => {
            // Comes back only if the signal does not end us; then the number the shell would show.
            let _ = isobox::process::end_by(signal);
            ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX))
        }
    }
}
