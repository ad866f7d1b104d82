//! Completions. The scripts for bash, zsh and fish know nothing of options: they hand the line to
//! `isobox --complete`, and the answer is made here, from the declarations, by the walk that parses them.
//!
//! The answer's first line tells the shell what it should add itself; each other line is a word that may stand
//! there, a tab, and what it means.
//!
//! | first line | the shell completes |
//! |---|---|
//! | `words` | nothing more |
//! | `files PREFIX`, `dirs PREFIX` | what follows PREFIX in the word, as a path |
//! | `command N` | the command that starts at word N of the line |

mod value;

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;

use argh::{CommandInfoWithArgs, Optionality};
use isobox::error::{Error, Result};

use super::Entry;
use super::front::BOX;
use super::gnu::{Value, Walk, long_of, value_of};
use super::help::{FRAME, shown};
use crate::table;
use value::{named, value};

/// The completion script for a shell.
///
/// # Errors
/// The shell is another one.
pub(crate) fn script(shell: &str) -> Result<String> {
    let template = match shell {
        "bash" => include_str!("complete.bash"),
        "zsh" => include_str!("complete.zsh"),
        "fish" => include_str!("complete.fish"),
        _ => {
            return Err(
                Error::new(format!("no completions for this shell: {shell}"))
                    .hint("there are some for bash, zsh and fish"),
            );
        }
    };
    let names: Vec<&str> = table::all().chain([&BOX]).map(|entry| entry.name).collect();
    Ok(template.replace("@NAMES@", &names.join(" ")))
}

/// What the shell should complete by itself.
#[derive(Debug, Default, PartialEq, Eq)]
enum Shell {
    #[default]
    Words,
    Files(String),
    Dirs(String),
    Command(usize),
}

/// What may stand in place of the current word.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    shell: Shell,
    words: Vec<(String, String)>,
}

/// What may stand in place of the last of these words, a command line from its first word on.
pub(crate) fn answer(line: &[OsString]) -> String {
    let answer = walk(line);
    let mut out = match answer.shell {
        Shell::Words => "words\n".into(),
        Shell::Files(prefix) => format!("files\t{prefix}\n"),
        Shell::Dirs(prefix) => format!("dirs\t{prefix}\n"),
        Shell::Command(at) => format!("command\t{at}\n"),
    };
    for (word, meaning) in answer.words {
        let _ = writeln!(out, "{word}\t{meaning}");
    }
    out
}

/// Follows the line from applet to applet, to the one that the last word belongs to.
fn walk(line: &[OsString]) -> Answer {
    let mut at = 0;
    while let Some((name, args)) = line.get(at..).and_then(<[OsString]>::split_first) {
        let Some((current, before)) = args.split_last() else {
            break;
        };
        let name = crate::base_name(name);
        let entry = table::find(&name).unwrap_or(&BOX);
        if entry.name == BOX.name {
            if before.first().is_some_and(|word| is_applet(word)) {
                at += 1;
                continue;
            }
            if before.is_empty() && !starts_with_dash(current) {
                return Answer {
                    words: applets(current),
                    ..Answer::default()
                };
            }
        }
        match in_applet(&own_declaration(entry), at + 1, before, current) {
            Found::Applet(next) => at = next,
            Found::Answer(answer) => return answer,
        }
    }
    Answer::default()
}

/// The entry's declaration; the box's without its applets, which are no verbs behind an option.
fn own_declaration(entry: &Entry) -> CommandInfoWithArgs {
    let mut info = (entry.info)();
    if entry.name == BOX.name {
        info.commands.clear();
    }
    info
}

enum Found {
    /// The command at this place of the line is an applet: go on there.
    Applet(usize),
    Answer(Answer),
}

/// Where the applet or verb of this declaration stands, with `before` starting at word `at` of the line.
fn in_applet(info: &CommandInfoWithArgs, at: usize, before: &[OsString], current: &OsStr) -> Found {
    let typed = current.to_string_lossy();
    let mut walk = Walk::new(info);
    let read = walk.read(before);
    if let Some(flag) = walk.wants {
        return Found::Answer(value(flag, "", &typed));
    }
    if read.is_err() || walk.answered() {
        return Found::Answer(Answer::default());
    }
    // An applet stops at its first operand where it has verbs or runs a command: then operands end the line.
    let first = before.len() - walk.operands.len();
    if let (Some(verb), false) = (walk.operands.first(), info.commands.is_empty()) {
        let verb = info.commands.iter().find(|command| *verb == command.name);
        return verb.map_or(Found::Answer(Answer::default()), |verb| {
            in_applet(&verb.command, at + first + 1, &before[first + 1..], current)
        });
    }
    if !walk.ended && starts_with_dash(current) {
        return Found::Answer(option(info, &typed));
    }
    if !info.commands.is_empty() {
        let verbs = info
            .commands
            .iter()
            .map(|verb| (verb.name, verb.command.description));
        return words(verbs, &typed);
    }
    operand(info, at + first, &walk.operands, current)
}

/// An operand, or a word of the command that the applet runs; the first operand is word `at` of the line.
fn operand(info: &CommandInfoWithArgs, at: usize, before: &[&OsStr], current: &OsStr) -> Found {
    let greedy = info
        .positionals
        .iter()
        .position(|p| p.optionality == Optionality::Greedy);
    if let Some(command) = greedy.filter(|command| *command <= before.len()) {
        return match before.get(command) {
            Some(program) if is_applet(program) => Found::Applet(at + command),
            Some(_) => Found::Answer(Answer {
                shell: Shell::Command(at + command),
                words: Vec::new(),
            }),
            None => Found::Answer(Answer {
                shell: Shell::Command(at + command),
                words: applets(current),
            }),
        };
    }
    let typed = current.to_string_lossy();
    if info.name == BOX.name {
        let names = table::all().chain([&BOX]).map(|entry| (entry.name, ""));
        return match before {
            // --man takes an applet, --install a directory.
            [] => Found::Answer(Answer {
                shell: Shell::Dirs(String::new()),
                words: matching(names, &typed),
            }),
            _ => Found::Answer(Answer::default()),
        };
    }
    let positional = info.positionals.get(before.len()).or(info
        .positionals
        .last()
        .filter(|p| p.optionality == Optionality::Repeating));
    Found::Answer(positional.map_or_else(Answer::default, |p| named(p.name, "", &typed)))
}

/// A word that starts with a dash, where options may stand.
fn option(info: &CommandInfoWithArgs, typed: &str) -> Answer {
    if let Some((name, rest)) = typed.split_once('=').filter(|_| typed.starts_with("--")) {
        let exact = shown(info).find(|flag| flag.long == name);
        let mut starts = shown(info).filter(|flag| flag.long.starts_with(name));
        let only = starts.next().filter(|_| starts.next().is_none());
        return exact.or(only).map_or_else(Answer::default, |flag| {
            value(flag, &typed[..=name.len()], rest)
        });
    }
    let mut words = Vec::new();
    if typed.len() == 1 || !typed.starts_with("--") {
        match letters(info, typed) {
            Ok(more) => words.extend(more),
            Err(answer) => return answer,
        }
    }
    if typed.len() == 1 || typed.starts_with("--") {
        for flag in shown(info) {
            let long = format!("--{}", long_of(flag));
            if long.len() > 2 && long.starts_with(typed) {
                if matches!(value_of(flag).0, Value::Optional | Value::OptionalLong) {
                    words.push((format!("{long}="), flag.description.into()));
                }
                words.push((long, flag.description.into()));
            }
        }
        for (_, long, description) in FRAME {
            let long = format!("--{long}");
            if long.starts_with(typed) {
                words.push((long, description.into()));
            }
        }
    }
    Answer {
        words,
        ..Answer::default()
    }
}

/// A dash and letters: more letters, or the value that one of them takes.
fn letters(info: &CommandInfoWithArgs, typed: &str) -> Result<Vec<(String, String)>, Answer> {
    let by_letter = |letter| shown(info).find(|flag| flag.short == Some(letter));
    let mut words = Vec::new();
    for (at, letter) in typed.char_indices().skip(1) {
        let Some(flag) = by_letter(letter) else {
            return Err(Answer::default());
        };
        let end = at + letter.len_utf8();
        match value_of(flag).0 {
            Value::None | Value::OptionalLong | Value::Rest => {}
            Value::Required if end == typed.len() => {
                let word = (typed.to_owned(), flag.description.to_owned());
                return Ok(vec![word]);
            }
            Value::Required => return Err(value(flag, &typed[..end], &typed[end..])),
            Value::Optional => {
                let rest = &typed[end..];
                let skip = usize::from(rest.starts_with('='));
                return Err(value(flag, &typed[..end + skip], &rest[skip..]));
            }
        }
        if end == typed.len() {
            words.push((typed.to_owned(), flag.description.to_owned()));
        }
    }
    for flag in shown(info) {
        if let Some(letter) = flag.short.filter(|letter| !typed[1..].contains(*letter)) {
            words.push((format!("{typed}{letter}"), flag.description.into()));
        }
    }
    Ok(words)
}

/// The applets whose names start so.
fn applets(typed: &OsStr) -> Vec<(String, String)> {
    let all: Vec<CommandInfoWithArgs> = table::all().map(|entry| (entry.info)()).collect();
    let names = all.iter().map(|info| (info.name, info.description));
    matching(names, &typed.to_string_lossy())
}

fn is_applet(word: &OsStr) -> bool {
    word.to_str()
        .is_some_and(|name| table::find(name).is_some())
}

fn starts_with_dash(word: &OsStr) -> bool {
    word.as_encoded_bytes().starts_with(b"-")
}

fn words<'a>(all: impl Iterator<Item = (&'a str, &'a str)>, typed: &str) -> Found {
    Found::Answer(Answer {
        words: matching(all, typed),
        ..Answer::default()
    })
}

fn matching<'a>(
    all: impl Iterator<Item = (&'a str, &'a str)>,
    typed: &str,
) -> Vec<(String, String)> {
    all.filter(|(word, _)| word.starts_with(typed))
        .map(|(word, meaning)| (word.to_owned(), meaning.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::gnu::Flag;
    use argh::{FlagInfo, FlagInfoKind, PositionalInfo, SubCommandInfo};

    const fn flag(short: char, long: &'static str, arg_name: &'static str) -> Flag {
        FlagInfo {
            kind: match arg_name.is_empty() {
                true => FlagInfoKind::Switch,
                false => FlagInfoKind::Option { arg_name },
            },
            optionality: Optionality::Optional,
            long,
            short: Some(short),
            description: "",
            hidden: false,
        }
    }

    const fn positional(name: &'static str, optionality: Optionality) -> PositionalInfo<'static> {
        PositionalInfo {
            name,
            description: "",
            optionality,
            hidden: false,
        }
    }

    static FLAGS: [Flag; 7] = [
        flag('f', "--fork", ""),
        flag('p', "--pid", "[=file]"),
        flag('m', "--mount", "[file]"),
        flag('R', "--root", "dir"),
        flag('s', "--say", "yes|no"),
        flag('S', "--setuid", "uid|follow"),
        flag('k', "--kill-child", "[=signal]"),
    ];

    /// An applet like pivot: a root, then a command.
    fn pivot() -> CommandInfoWithArgs {
        static OPERANDS: [PositionalInfo; 2] = [
            positional("root", Optionality::Required),
            positional("program", Optionality::Greedy),
        ];
        CommandInfoWithArgs {
            name: "pivot",
            flags: &FLAGS,
            positionals: &OPERANDS,
            ..CommandInfoWithArgs::default()
        }
    }

    fn container() -> CommandInfoWithArgs {
        CommandInfoWithArgs {
            name: "container",
            commands: vec![SubCommandInfo {
                name: "run",
                command: pivot(),
            }],
            ..CommandInfoWithArgs::default()
        }
    }

    /// Completes a line whose words are parted by blanks; the applet is word 0.
    fn completed(info: &CommandInfoWithArgs, line: &str) -> String {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let (current, before) = words.split_last().unwrap();
        match in_applet(info, 1, &before[1..], current) {
            Found::Applet(at) => format!("applet {at}"),
            Found::Answer(answer) => {
                let words: Vec<String> = answer.words.into_iter().map(|(word, _)| word).collect();
                let shell = match answer.shell {
                    Shell::Words => "words".into(),
                    Shell::Files(prefix) => format!("files<{prefix}>"),
                    Shell::Dirs(prefix) => format!("dirs<{prefix}>"),
                    Shell::Command(at) => format!("command<{at}>"),
                };
                format!("{shell} {}", words.join(" ")).trim_end().into()
            }
        }
    }

    #[test]
    fn each_word_is_completed_as_it_would_be_parsed() {
        let cases = [
            // Operands, and where the command starts.
            ("pivot ", "dirs<>"),
            ("pivot /r un", "command<2> unshare"),
            ("pivot /r ls -", "command<2>"),
            ("pivot -f /r unshare -", "applet 3"),
            ("pivot -- /r ls x", "command<3>"),
            ("pivot -- -", "dirs<>"),
            // Values: in the next word, behind =, behind the letter.
            ("pivot --root ", "dirs<>"),
            ("pivot --root /x /r ls ", "command<4>"),
            ("pivot -R ", "dirs<>"),
            ("pivot -R/x", "dirs<-R>"),
            ("pivot -fR/x", "dirs<-fR>"),
            ("pivot --roo=/x", "dirs<--roo=>"),
            ("pivot --say ", "words yes no"),
            ("pivot --say=y", "words --say=yes"),
            ("pivot -sn", "words -sno"),
            (
                "pivot --kill-child=USR",
                "words --kill-child=USR1 --kill-child=USR2",
            ),
            ("pivot -S ", "words follow"),
            ("pivot --setuid=1", "words"),
            // Optional values: unshare's dialect takes one only behind =, nsenter's behind the letter too.
            ("pivot --pid ", "dirs<>"),
            ("pivot --pid=/x", "files<--pid=>"),
            ("pivot -p ", "dirs<>"),
            ("pivot -pR", "words -pR"),
            ("pivot -m ", "dirs<>"),
            ("pivot -m/x", "files<-m>"),
            ("pivot -m=/x", "files<-m=>"),
            ("pivot -mf", "files<-m>"),
            ("pivot -pf", "words -pf -pfm -pfR -pfs -pfS -pfk"),
            // Names.
            ("pivot --p", "words --pid= --pid"),
            ("pivot --f", "words --fork"),
            ("pivot --bogus x ", "words"),
            ("pivot --help ", "words"),
        ];
        for (line, want) in cases {
            assert_eq!(completed(&pivot(), line), want, "{line:?}");
        }
        for (line, want) in [
            ("container ", "words run"),
            ("container r", "words run"),
            ("container run ", "dirs<>"),
            ("container run -f /r ls ", "command<4>"),
            ("container run -R ", "dirs<>"),
            ("container stop ", "words"),
        ] {
            assert_eq!(completed(&container(), line), want, "{line:?}");
        }
    }

    #[test]
    fn the_line_is_followed_from_applet_to_applet() {
        let cases = [
            ("isobox unsh", "words\nunshare\t"),
            ("/usr/bin/isobox unshare --for", "words\n--fork\t"),
            ("unshare -p unshare -u unshare --for", "words\n--fork\t"),
            ("isobox unshare -f ls ", "command\t3\n"),
            ("isobox --completions z", "words\nzsh\t\n"),
            ("isobox --man un", "dirs\t\nunshare\t\n"),
            ("isobox nosuch ", "words\n"),
            ("isobox", "words\n"),
        ];
        for (line, want) in cases {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let got = answer(&words);
            assert!(got.starts_with(want), "{line:?}: {got}");
        }
        assert_eq!(answer(&[]), "words\n");
    }
}
