//! `--help` and `--version`, from an applet's declaration.

use std::fmt::Write as _;
use std::io::{Write as _, stdout};

use argh::{CommandInfoWithArgs, Optionality};
use isobox::error::{Doing, Result};

use super::gnu::{Flag, Value, long_of, value_of};
use super::{Entry, Exit};

/// Widest line of a help text.
const WIDTH: usize = 80;
/// Where descriptions start.
const COLUMN: usize = 28;

/// Prints an applet's help on standard output.
pub(crate) fn print(entry: &Entry) -> Result<Exit> {
    print_all(&text(entry.name, &(entry.info)()))
}

/// Prints an applet's version: the package's.
pub(crate) fn print_version(entry: &Entry) -> Result<Exit> {
    print_all(&format!(
        "{} from isobox {}\n",
        entry.name,
        env!("CARGO_PKG_VERSION")
    ))
}

/// Writes text to standard output; a reader that went away is no failure.
pub(crate) fn print_all(text: &str) -> Result<Exit> {
    match stdout()
        .write_all(text.as_bytes())
        .and_then(|()| stdout().flush())
    {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(Exit::OK),
        other => other.doing("write error").map(|()| Exit::OK),
    }
}

/// The whole help text of an applet or a verb.
pub(crate) fn text(name: &str, info: &CommandInfoWithArgs) -> String {
    let mut out = format!(
        "Usage:\n {}\n\n{}.\n",
        usage(name, info),
        capitalised(info.description)
    );
    if !info.commands.is_empty() {
        out.push_str("\nCommands:\n");
        for command in &info.commands {
            describe(
                &mut out,
                &format!(" {}", command.name),
                command.command.description,
            );
        }
    }
    out.push_str("\nOptions:\n");
    for flag in info
        .flags
        .iter()
        .filter(|flag| !flag.hidden && long_of(flag) != "help")
    {
        describe(&mut out, &option(flag), flag.description);
    }
    describe(&mut out, " -h, --help", "display this help");
    describe(&mut out, " -V, --version", "display version");
    section(&mut out, "Examples", info.examples);
    section(&mut out, "Notes", info.notes);
    if !info.error_codes.is_empty() {
        out.push_str("\nExit status:\n");
        for code in info.error_codes {
            describe(&mut out, &format!(" {}", code.code), code.description);
        }
    }
    out
}

/// The usage line: `unshare [options] [program [argument...]]`.
pub(crate) fn usage(name: &str, info: &CommandInfoWithArgs) -> String {
    let mut line = format!("{name} [options]");
    if !info.commands.is_empty() {
        line.push_str(" command [argument...]");
    }
    for operand in info.positionals.iter().filter(|p| !p.hidden) {
        let _ = match operand.optionality {
            Optionality::Required => write!(line, " {}", operand.name),
            Optionality::Optional => write!(line, " [{}]", operand.name),
            Optionality::Repeating | Optionality::Greedy => write!(line, " [{}...]", operand.name),
        };
    }
    line
}

/// An option with its value, as it may be typed.
pub(crate) fn option(flag: &Flag) -> String {
    let letter = flag
        .short
        .map_or_else(|| "     ".into(), |letter| format!(" -{letter}, "));
    let (value, name) = value_of(flag);
    let value = match value {
        Value::None => String::new(),
        Value::Required => format!(" <{name}>"),
        Value::OptionalLong | Value::Optional => format!("[=<{name}>]"),
    };
    match long_of(flag) {
        "" => format!("{}{value}", letter.trim_end_matches(", ")),
        long => format!("{letter}--{long}{value}"),
    }
}

fn section(out: &mut String, title: &str, lines: &[&str]) {
    if lines.is_empty() {
        return;
    }
    let _ = write!(out, "\n{title}:\n");
    for line in lines {
        let _ = writeln!(out, " {line}");
    }
}

/// A term and its description, wrapped and aligned.
fn describe(out: &mut String, term: &str, description: &str) {
    let mut line = format!("{term:COLUMN$}");
    if term.chars().count() + 1 >= COLUMN {
        let _ = writeln!(out, "{term}");
        line = " ".repeat(COLUMN);
    }
    let indent = " ".repeat(COLUMN);
    for word in description.split_whitespace() {
        if line.chars().count() + word.chars().count() + 1 > WIDTH {
            let _ = writeln!(out, "{}", line.trim_end());
            line.clone_from(&indent);
        }
        if line.chars().count() > COLUMN {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(out, "{}", line.trim_end());
}

/// The text with its first letter in upper case.
pub(crate) fn capitalised(text: &str) -> String {
    let mut chars = text.trim().trim_end_matches('.').chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}
