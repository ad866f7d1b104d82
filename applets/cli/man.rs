//! Manual pages in man(7), from the declarations of the applets. groff(7) tells what has to be escaped.

use std::fmt::Write as _;

use argh::CommandInfoWithArgs;

use super::Entry;
use super::front::BOX;
use super::gnu::{Flag, Value, long_of, value_of};
use super::help::{FRAME, capitalised, is_row, is_taken, shown, synopsis};

/// The manual page of an applet.
pub(crate) fn page(entry: &Entry) -> String {
    let info = (entry.info)();
    let title = entry.name.to_uppercase();
    let volume = match entry.section {
        8 => "System Administration",
        _ => "User Commands",
    };
    let mut out = format!(
        ".TH \"{}\" {} \"\" \"isobox {}\" \"{volume}\"\n.nh\n.ad l\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n",
        escape(&title),
        entry.section,
        env!("CARGO_PKG_VERSION"),
        escape(entry.name),
        escape(info.description),
    );
    let usages: Vec<String> = synopsis(entry.name, &info)
        .iter()
        .map(|line| usage(line))
        .collect();
    let _ = writeln!(out, "{}", usages.join("\n.br\n"));
    let _ = writeln!(
        out,
        ".SH DESCRIPTION\n{}.",
        escape(&capitalised(info.description))
    );
    commands(&mut out, entry, &info);
    out.push_str(".SH OPTIONS\n");
    options(&mut out, &info);
    notes(&mut out, &info);
    status(&mut out, &info);
    examples(&mut out, &info);
    see_also(&mut out, entry);
    out
}

/// The verbs of an applet, each with its options; of the box, its applets.
fn commands(out: &mut String, entry: &Entry, info: &CommandInfoWithArgs) {
    if info.commands.is_empty() {
        return;
    }
    if entry.name == BOX.name {
        out.push_str(".SH APPLETS\n");
        for applet in &info.commands {
            term(
                out,
                &format!("\\fB{}\\fR", escape(applet.name)),
                applet.command.description,
            );
        }
        return;
    }
    out.push_str(".SH COMMANDS\n");
    for verb in &info.commands {
        let name = format!("{} {}", entry.name, verb.name);
        for line in synopsis(&name, &verb.command) {
            let _ = writeln!(out, ".SS \"{}\"", italic(&escape(&line)));
        }
        let _ = writeln!(out, "{}.", escape(&capitalised(verb.command.description)));
        for flag in shown(&verb.command) {
            term(out, &option(flag), flag.description);
        }
        for note in verb.command.notes.iter().filter(|note| !note.is_empty()) {
            let _ = writeln!(out, ".PP\n{}", escape(note));
        }
        for code in verb.command.error_codes {
            let _ = writeln!(
                out,
                ".PP\nStatus {}: {}.",
                code.code,
                escape(code.description)
            );
        }
        for example in verb.command.examples {
            let _ = writeln!(out, ".PP\n.EX\n{}\n.EE", escape(example));
        }
    }
}

fn options(out: &mut String, info: &CommandInfoWithArgs) {
    for flag in shown(info) {
        term(out, &option(flag), flag.description);
    }
    for (short, long, description) in FRAME {
        let letter = match is_taken(info, short) {
            true => String::new(),
            false => format!("\\fB\\-{short}\\fR, "),
        };
        let tag = format!("{letter}\\fB\\-\\-{long}\\fR");
        term(out, &tag, description);
    }
}

/// A tagged paragraph; the tag is roff already.
fn term(out: &mut String, tag: &str, text: &str) {
    let _ = writeln!(out, ".TP\n{tag}\n{}", escape(text));
}

/// An option as roff: what is typed in bold, what is put in its place in italics.
fn option(flag: &Flag) -> String {
    let mut tag = String::new();
    if let Some(letter) = flag.short {
        let _ = write!(tag, "\\fB\\-{letter}\\fR");
    }
    let long = long_of(flag);
    if !long.is_empty() {
        let comma = if tag.is_empty() { "" } else { ", " };
        let _ = write!(tag, "{comma}\\fB\\-\\-{}\\fR", escape(long));
    }
    let (value, name) = value_of(flag);
    let name = escape(name);
    let _ = match value {
        Value::None => Ok(()),
        Value::Required | Value::Rest => write!(tag, " \\fI{name}\\fR"),
        Value::OptionalLong | Value::Optional => write!(tag, "[=\\fI{name}\\fR]"),
    };
    tag
}

/// A usage line as roff: its first word in bold, what stands in angle brackets in italics.
fn usage(line: &str) -> String {
    let roff = italic(&escape(line));
    match roff.split_once(' ') {
        Some((name, rest)) if !name.starts_with('\\') => format!("\\fB{name}\\fR {rest}"),
        _ => roff,
    }
}

/// What stands in angle brackets in italics instead.
fn italic(roff: &str) -> String {
    roff.replace('<', "\\fI").replace('>', "\\fR")
}

/// Notes: paragraphs, and the rows of tables as they are.
fn notes(out: &mut String, info: &CommandInfoWithArgs) {
    if info.notes.is_empty() {
        return;
    }
    out.push_str(".SH NOTES\n");
    let mut in_table = false;
    for note in info.notes.iter().filter(|note| !note.is_empty()) {
        match (is_row(note), in_table) {
            (true, false) => out.push_str(".EX\n"),
            (false, true) => out.push_str(".EE\n.PP\n"),
            (false, false) if !out.ends_with(".SH NOTES\n") => out.push_str(".PP\n"),
            _ => {}
        }
        in_table = is_row(note);
        let _ = writeln!(out, "{}", escape(note));
    }
    if in_table {
        out.push_str(".EE\n");
    }
}

fn status(out: &mut String, info: &CommandInfoWithArgs) {
    if info.error_codes.is_empty() {
        return;
    }
    out.push_str(".SH EXIT STATUS\n");
    for code in info.error_codes {
        term(out, &format!("\\fB{}\\fR", code.code), code.description);
    }
}

fn examples(out: &mut String, info: &CommandInfoWithArgs) {
    if info.examples.is_empty() {
        return;
    }
    out.push_str(".SH EXAMPLES\n.EX\n");
    for example in info.examples {
        let _ = writeln!(out, "{}", escape(example));
    }
    out.push_str(".EE\n");
}

/// The other applets and the box.
fn see_also(out: &mut String, entry: &Entry) {
    out.push_str(".SH SEE ALSO\n");
    let others: Vec<String> = crate::table::all()
        .chain([&BOX])
        .filter(|other| other.name != entry.name)
        .map(|other| format!(".BR {} ({})", escape(other.name), other.section))
        .collect();
    out.push_str(&others.join(",\n"));
    out.push('\n');
}

/// Text as roff shows it unchanged: no escapes, no requests, hyphens that can be copied into a shell.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for line in text.trim().lines() {
        if !out.is_empty() {
            out.push('\n');
        }
        if line.starts_with(['.', '\'']) {
            out.push_str("\\&");
        }
        for c in line.chars() {
            match c {
                '\\' => out.push_str("\\e"),
                '-' => out.push_str("\\-"),
                '"' => out.push_str("\\(dq"),
                '\'' => out.push_str("\\(aq"),
                '`' => out.push_str("\\(ga"),
                '^' => out.push_str("\\(ha"),
                '~' => out.push_str("\\(ti"),
                c => out.push(c),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_means_itself() {
        let cases = [
            ("plain words", "plain words"),
            ("-p and --pid=file", "\\-p and \\-\\-pid=file"),
            (".hidden", "\\&.hidden"),
            ("'quoted'", "\\&\\(aqquoted\\(aq"),
            ("a\\nb", "a\\enb"),
        ];
        for (text, want) in cases {
            assert_eq!(escape(text), want, "{text}");
        }
    }
}
