//! The frame around every applet: options as GNU has them, help, man pages, completions, lists, plans.

#[cfg(feature = "net")]
pub(crate) mod carrier;
pub(crate) mod complete;
pub(crate) mod front;
pub(crate) mod gnu;
pub(crate) mod help;
mod layout;
pub(crate) mod man;
#[cfg(feature = "image")]
pub(crate) mod mapped;
pub(crate) mod near;
pub(crate) mod order;
pub(crate) mod plan;
#[cfg(feature = "oci")]
pub(crate) mod processes;
#[cfg(feature = "pull")]
pub(crate) mod progress;
pub(crate) mod raw;
pub(crate) mod screen;
pub(crate) mod table;

use std::ffi::OsString;
use std::io::{Write, stderr};

use argh::{ArgsInfo, CommandInfoWithArgs, FromArgs};
use isobox::error::{Error, Result};

use gnu::Parsed;

/// How an applet ends, where it does not become another program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// With this status.
    Status(u8),
    /// By this signal, as its child did.
    Signal(i32),
}

impl Exit {
    /// All went well.
    pub(crate) const OK: Self = Self::Status(0);
}

/// One applet: a struct of its arguments, whose doc comments are its help, and what it does.
pub(crate) trait Applet: FromArgs + ArgsInfo {
    /// Does it.
    fn run(self) -> Result<Exit>;

    /// Understands the arguments (without its name) and does it. An applet that stands for a tool with a dialect and a
    /// log of its own answers here by itself.
    fn launch(entry: &Entry, args: &[OsString]) -> Result<Exit> {
        match parse::<Self>(entry, args).map_err(|text| usage(entry, args, &text))? {
            Asked::Help(verb) => help::print(entry, verb),
            Asked::Version => help::print_version(entry),
            Asked::Run(args) => args.run(),
        }
    }
}

/// What an argument vector asks for.
pub(crate) enum Asked<T> {
    /// Help, of the applet or of the verb named.
    Help(Option<&'static str>),
    /// Its version.
    Version,
    /// To be run.
    Run(T),
}

/// Understands the arguments of an applet.
///
/// # Errors
/// What is wrong with them, in a sentence.
pub(crate) fn parse<T: Applet>(entry: &Entry, args: &[OsString]) -> Result<Asked<T>, String> {
    let words = match gnu::canonical(&T::get_args_info(), args)? {
        Parsed::Help(verb) => return Ok(Asked::Help(verb)),
        Parsed::Version => return Ok(Asked::Version),
        Parsed::Words(words) => words,
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    T::from_args(&[entry.name], &words)
        .map(Asked::Run)
        .map_err(|early| gnu::argh_says(&early.output))
}

/// What the table knows of an applet.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    /// Its name, by which it is called.
    pub(crate) name: &'static str,
    /// The exit status of wrong usage: the original tool's.
    pub(crate) usage_status: u8,
    /// The manual section its page belongs in.
    pub(crate) section: u8,
    /// Its declaration.
    pub(crate) info: fn() -> CommandInfoWithArgs,
    /// Runs it on its arguments (without its name).
    pub(crate) run: fn(&Entry, &[OsString]) -> Result<Exit>,
}

/// Says something on standard error. Nobody is left to tell where that fails, and it is no reason to end.
pub(crate) fn say(text: &str) {
    let _ = stderr().write_all(text.as_bytes());
}

/// Wrong usage, in the words and with the status of the original, and where to read on. Bytes that travelled as private
/// characters are shown as what they are.
pub(crate) fn usage(entry: &Entry, args: &[OsString], text: &str) -> Error {
    let info = (entry.info)();
    let word = gnu::first_operand(&info, args).map(|word| word.to_string_lossy());
    let known = |word: &str| info.commands.iter().any(|command| command.name == word);
    let hint = match word {
        Some(verb) if known(&verb) => format!("try '{} {verb} --help'", entry.name),
        word => {
            let mut names = info.commands.iter().map(|command| command.name);
            let near = word.and_then(|word| near::nearest(&word, &mut names));
            let guess = near.map_or_else(String::new, |name| format!("did you mean '{name}'? "));
            format!("{guess}try '{} --help'", entry.name)
        }
    };
    Error::new(raw::decode(text).to_string_lossy().into_owned())
        .status(entry.usage_status)
        .hint(hint + " for more information")
}
