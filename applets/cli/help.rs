//! `--help` and `--version`, from an applet's declaration.

use std::fmt::Write as _;
use std::io::stdout;

use argh::{CommandInfoWithArgs, Optionality};
use isobox::error::{Doing, Result};
use nix::errno::Errno;
use nix::unistd::write;

use super::front::BOX;
use super::gnu::{Flag, Value, long_of, value_of};
use super::{Entry, Exit};

/// Widest line of a help text.
const WIDTH: usize = 80;
/// Where descriptions start, at the most.
const COLUMN: usize = 28;

/// The options that the frame answers for every applet: letter, name, description.
pub(crate) const FRAME: [(char, &str, &str); 2] = [
    ('h', "help", "display this help"),
    ('V', "version", "display version"),
];

/// Whether an option of its own has this letter of the frame.
pub(crate) fn is_taken(info: &CommandInfoWithArgs, letter: char) -> bool {
    info.flags.iter().any(|flag| flag.short == Some(letter))
}

/// Prints an applet's help on standard output, or that of one of its verbs.
pub(crate) fn print(entry: &Entry, verb: Option<&str>) -> Result<Exit> {
    let info = (entry.info)();
    let verb = info
        .commands
        .iter()
        .find(|command| Some(command.name) == verb);
    print_all(&match verb {
        Some(verb) => text(&format!("{} {}", entry.name, verb.name), &verb.command),
        None => text(entry.name, &info),
    })
}

/// Prints an applet's version: the package's.
pub(crate) fn print_version(entry: &Entry) -> Result<Exit> {
    let version = env!("CARGO_PKG_VERSION");
    print_all(&match entry.name {
        "isobox" => format!("isobox {version}\n"),
        name => format!("{name} from isobox {version}\n"),
    })
}

/// Writes text to standard output; a reader that went away is no failure. Not through std's own stdout, which
/// takes a descriptor that cannot be written to for one that may be silently ignored.
pub(crate) fn print_all(text: &str) -> Result<Exit> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match write(stdout(), rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(Errno::EPIPE) => break,
            Err(errno) => return Err(errno).doing("write error"),
        }
    }
    Ok(Exit::OK)
}

/// The whole help text of an applet or a verb.
pub(crate) fn text(name: &str, info: &CommandInfoWithArgs) -> String {
    let usage = synopsis(name, info).join("\n ");
    let about = capitalised(info.description);
    let mut out = format!("Usage:\n {usage}\n\n");
    describe(&mut out, 0, "", &format!("{about}."));
    let column = column(info);
    if !info.commands.is_empty() {
        out.push_str(if name == BOX.name {
            "\nApplets:\n"
        } else {
            "\nCommands:\n"
        });
        for command in &info.commands {
            let term = format!(" {}", command.name);
            describe(&mut out, column, &term, command.command.description);
        }
    }
    out.push_str("\nOptions:\n");
    for flag in shown(info) {
        describe(&mut out, column, &option(flag), flag.description);
    }
    for (short, long, description) in FRAME {
        let tag = match is_taken(info, short) {
            true => format!("     --{long}"),
            false => format!(" -{short}, --{long}"),
        };
        describe(&mut out, column, &tag, description);
    }
    if !info.error_codes.is_empty() {
        out.push_str("\nExit status:\n");
        for code in info.error_codes {
            describe(
                &mut out,
                column,
                &format!(" {}", code.code),
                code.description,
            );
        }
    }
    for (at, note) in info.notes.iter().enumerate() {
        out.push_str(if at == 0 { "\nNotes:\n" } else { "" });
        match is_row(note) {
            true => out.extend([" ", note, "\n"]),
            false => describe(&mut out, 1, "", note),
        }
    }
    for (at, example) in info.examples.iter().enumerate() {
        let title = if at == 0 { "\nExamples:\n" } else { "" };
        let _ = writeln!(out, "{title} {example}");
    }
    out
}

/// Whether a note is a row of a table, which is not wrapped; other notes are paragraphs.
pub(crate) fn is_row(note: &str) -> bool {
    note.contains("  ")
}

/// The options that are shown.
pub(crate) fn shown(info: &CommandInfoWithArgs) -> impl Iterator<Item = &Flag> {
    info.flags
        .iter()
        .filter(|flag| !flag.hidden && long_of(flag) != "help")
}

/// Where the descriptions of this text start: behind the widest term that is not too wide.
fn column(info: &CommandInfoWithArgs) -> usize {
    let options = shown(info).map(|flag| option(flag).len());
    let verbs = info.commands.iter().map(|command| command.name.len() + 1);
    options
        .chain(verbs)
        .map(|width| width + 2)
        .filter(|width| *width <= COLUMN)
        .max()
        .unwrap_or(0)
        .max(" -V, --version  ".len())
}

/// The usage lines: `unshare [options] [<program> [<argument>...]]`.
pub(crate) fn synopsis(name: &str, info: &CommandInfoWithArgs) -> Vec<String> {
    if name == BOX.name {
        return vec![
            format!("{name} <applet> [<argument>...]"),
            "<applet> [<argument>...]  (through a link of that name)".into(),
            format!("{name} [options]"),
        ];
    }
    let mut line = format!("{name} [options]");
    if !info.commands.is_empty() {
        line.push_str(" <command> [<argument>...]");
    }
    for operand in info.positionals.iter().filter(|p| !p.hidden) {
        let name = operand.name;
        let _ = match operand.optionality {
            Optionality::Required => write!(line, " <{name}>"),
            Optionality::Optional => write!(line, " [<{name}>]"),
            Optionality::Repeating => write!(line, " [<{name}>...]"),
            Optionality::Greedy => write!(line, " [<{name}> [<argument>...]]"),
        };
    }
    vec![line]
}

/// An option with its value, as it may be typed.
pub(crate) fn option(flag: &Flag) -> String {
    let letter = flag
        .short
        .map_or_else(|| "     ".into(), |letter| format!(" -{letter}, "));
    let (value, name) = value_of(flag);
    let value = match value {
        Value::None => String::new(),
        Value::Required | Value::Rest => format!(" <{name}>"),
        Value::OptionalLong | Value::Optional => format!("[=<{name}>]"),
    };
    match long_of(flag) {
        "" => format!("{}{value}", letter.trim_end_matches(", ")),
        long => format!("{letter}--{long}{value}"),
    }
}

/// A term and its description, wrapped and aligned.
fn describe(out: &mut String, column: usize, term: &str, description: &str) {
    let mut line = format!("{term:column$}");
    if !term.is_empty() && term.chars().count() + 1 >= column {
        let _ = writeln!(out, "{term}");
        line = " ".repeat(column);
    }
    for word in description.split_whitespace() {
        if line.chars().count() + word.chars().count() + 1 > WIDTH {
            let _ = writeln!(out, "{}", line.trim_end());
            line = " ".repeat(column);
        }
        if line.chars().count() > column {
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

#[cfg(test)]
mod tests {
    use super::*;
    use argh::{ErrorCodeInfo, FlagInfo, FlagInfoKind, PositionalInfo};

    const fn flag(
        short: Option<char>,
        long: &'static str,
        arg_name: &'static str,
        description: &'static str,
    ) -> Flag {
        FlagInfo {
            kind: match arg_name.is_empty() {
                true => FlagInfoKind::Switch,
                false => FlagInfoKind::Option { arg_name },
            },
            optionality: Optionality::Optional,
            long,
            short,
            description,
            hidden: false,
        }
    }

    static FLAGS: [Flag; 4] = [
        flag(
            Some('f'),
            "--fork",
            "",
            "run the program as a child, and wait for it until it has ended",
        ),
        flag(Some('p'), "--pid", "[=file]", "make a PID namespace"),
        flag(None, "--map-users", "inside:outside:count", "map users"),
        flag(Some('x'), "", "", "has only a letter"),
    ];
    static OPERANDS: [PositionalInfo; 2] = [
        PositionalInfo {
            name: "root",
            description: "",
            optionality: Optionality::Required,
            hidden: false,
        },
        PositionalInfo {
            name: "program",
            description: "",
            optionality: Optionality::Greedy,
            hidden: false,
        },
    ];

    const HELP: &str = "\
Usage:
 demo [options] <root> [<program> [<argument>...]]

Run something.

Options:
 -f, --fork          run the program as a child, and wait for it until it has
                     ended
 -p, --pid[=<file>]  make a PID namespace
     --map-users <inside:outside:count>
                     map users
 -x                  has only a letter
 -h, --help          display this help
 -V, --version       display version

Exit status:
 1                   a failure

Notes:
 A paragraph that is longer than a line is wrapped where the line would get too
 long.
 a  row  of  a  table

Examples:
 demo / sh
";

    #[test]
    fn the_help_is_laid_out_as_util_linux_does() {
        let info = CommandInfoWithArgs {
            name: "demo",
            description: "run something",
            examples: &["demo / sh"],
            notes: &[
                "A paragraph that is longer than a line is wrapped where the line would get too long.",
                "a  row  of  a  table",
            ],
            flags: &FLAGS,
            positionals: &OPERANDS,
            error_codes: &[ErrorCodeInfo {
                code: 1,
                description: "a failure",
            }],
            ..CommandInfoWithArgs::default()
        };
        assert_eq!(text("demo", &info), HELP);
    }
}
