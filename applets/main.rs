//! isobox, the multi-call binary: finds the applet by `argv[0]`, or as `isobox APPLET`, runs it, and prints
//! its error, once.
#![cfg_attr(not(test), no_main)]

mod cli;
mod install;
mod table;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use isobox::error::{Error, Result};

use cli::front::{BOX, no_such_applet};
use cli::{Entry, Exit};

#[global_allocator]
static HEAP: isobox::sys::alloc::Arena = isobox::sys::alloc::Arena::new();

#[cfg(not(test))]
isobox::entry!(start);

#[cfg(all(not(test), panic = "abort", target_env = "musl"))]
isobox::no_unwinder!();

/// Runs the box on its argument vector and gives the exit status.
#[cfg_attr(
    test,
    allow(dead_code, reason = "the test harness has a start of its own")
)]
fn start(args: &[OsString]) -> u8 {
    if isobox::own_binary::gives_privilege() {
        cli::say(
            "isobox: refusing to run: it is set-user-ID, set-group-ID or has file capabilities\n",
        );
        return 1;
    }
    if isobox::own_binary::is_lent() {
        let Err(error) = isobox::own_binary::run_from_handle(args, &cli::plan::environment());
        report(BOX.name, &error);
        return 125;
    }
    let called = args.first().map(|arg| base_name(arg)).unwrap_or_default();
    let rest = args.get(1..).unwrap_or_default();
    let (entry, rest) = match table::find(&called) {
        Some(applet) => (Ok(applet), rest),
        None => front(&called, rest),
    };
    let name = entry.as_ref().map_or(BOX.name, |entry| entry.name);
    let result = entry.and_then(|entry| (entry.run)(entry, rest));
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

/// `isobox APPLET ARGS`, and the options of the box itself. A name that is neither the box's nor an applet's is
/// taken for the box where what follows makes sense then, so that a renamed binary works.
fn front<'a>(called: &str, args: &'a [OsString]) -> (Result<&'static Entry>, &'a [OsString]) {
    let is_box = called.is_empty() || called.starts_with(BOX.name);
    let Some((first, rest)) = args.split_first() else {
        let result = if is_box {
            Ok(&BOX)
        } else {
            Err(no_such_applet(called))
        };
        return (result, args);
    };
    let first = first.to_string_lossy();
    match table::find(&first) {
        Some(applet) => (Ok(applet), rest),
        None if first.starts_with('-') || (is_box && first == "help") => (Ok(&BOX), args),
        None if is_box => (Err(no_such_applet(&first)), args),
        None => (Err(no_such_applet(called)), args),
    }
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
