//! The command line of ip(8) up to the object, and files of commands.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use isobox::error::{Doing, Error, Result};

use super::words::{USAGE, begins};
use super::{Options, report, run};
use crate::cli::Exit;
use crate::cli::raw::encode;

/// What was typed.
pub(super) enum Typed {
    Help,
    Version,
    /// Words for argh.
    Words(Vec<String>),
}

/// What an option means to argh.
enum Means {
    /// This option.
    Switch(&'static str),
    /// This option and its value.
    Value(&'static str),
    /// This family, whatever was said before.
    Family(&'static str),
    Help,
    Version,
    /// iproute2 has it, and we have not.
    Absent,
}

/// The options in the order in which ip(8) tries them on a word that is cut short.
const OPTIONS: [(&str, Means); 24] = [
    ("loops", Means::Absent),
    ("family", Means::Value("--family")),
    ("human-readable", Means::Absent),
    ("iec", Means::Absent),
    ("stats", Means::Switch("--statistics")),
    ("statistics", Means::Switch("--statistics")),
    ("details", Means::Switch("--details")),
    ("resolve", Means::Absent),
    ("oneline", Means::Switch("--oneline")),
    ("timestamp", Means::Absent),
    ("tshort", Means::Absent),
    ("Version", Means::Version),
    ("force", Means::Switch("--force")),
    ("batch", Means::Value("--batch")),
    ("brief", Means::Switch("--brief")),
    ("json", Means::Switch("--json")),
    ("pretty", Means::Switch("--pretty")),
    ("rcvbuf", Means::Absent),
    ("help", Means::Help),
    ("netns", Means::Value("--netns")),
    ("Numeric", Means::Absent),
    ("all", Means::Switch("--all")),
    ("echo", Means::Absent),
    ("version", Means::Version),
];

/// The objects in the order in which ip(8) tries them, and what they are to us; empty for those we have not.
const OBJECTS: [(&str, &str); 33] = [
    ("address", "address"),
    ("addrlabel", ""),
    ("maddress", ""),
    ("route", "route"),
    ("rule", ""),
    ("neighbor", "neighbour"),
    ("neighbour", "neighbour"),
    ("ntable", ""),
    ("ntbl", ""),
    ("link", "link"),
    ("l2tp", ""),
    ("fou", ""),
    ("ila", ""),
    ("macsec", ""),
    ("tunnel", ""),
    ("tunl", ""),
    ("tuntap", "tuntap"),
    ("tap", "tuntap"),
    ("tuntaps", "tuntap"),
    ("why", "why"),
    ("token", ""),
    ("tcpmetrics", ""),
    ("monitor", ""),
    ("xfrm", ""),
    ("mroute", ""),
    ("mrule", ""),
    ("netns", "netns"),
    ("netconf", ""),
    ("vrf", ""),
    ("sr", ""),
    ("nexthop", ""),
    ("mptcp", ""),
    ("stats", ""),
];

/// Turns arguments into the words that argh takes.
pub(super) fn canonical(args: &[OsString]) -> Result<Typed> {
    let mut words = Vec::new();
    let mut rest = args.iter();
    let mut batch = false;
    while let Some(arg) = rest.next() {
        let Some(option) = arg
            .as_bytes()
            .strip_prefix(b"-")
            .filter(|option| !option.is_empty())
        else {
            return with_object(words, arg, rest.as_slice());
        };
        let option = option.strip_prefix(b"-").unwrap_or(option);
        if option.is_empty() {
            break;
        }
        let text = String::from_utf8_lossy(option);
        match option_of(&text)? {
            Means::Help => return Ok(Typed::Help),
            Means::Version => return Ok(Typed::Version),
            Means::Absent => return Err(super::absent(&format!("the option -{text}"))),
            Means::Switch(name) => match valued(&text) {
                Some(value) => last(&mut words, name, value),
                None => words.push(name.into()),
            },
            Means::Family(name) => last(&mut words, "--family", name),
            Means::Value(name) => {
                // ip(8) reads the batch from standard input where no file follows.
                let Some(value) = rest.next() else {
                    let text = "Command line is not complete. Try option \"help\"";
                    return Err(Error::new(text).status(USAGE));
                };
                batch |= name == "--batch";
                last(&mut words, name, &encode(value));
            }
        }
    }
    match rest.next() {
        Some(object) if !batch => with_object(words, object, rest.as_slice()),
        _ => Ok(Typed::Words(words)),
    }
}

/// The last value of an option counts.
fn last(words: &mut Vec<String>, option: &str, value: &str) {
    if let Some(at) = words.iter().position(|word| word == option) {
        words.drain(at..at + 2);
    }
    words.extend([option.into(), value.into()]);
}

/// What an option means.
fn option_of(text: &str) -> Result<Means> {
    match text {
        "4" => return Ok(Means::Family("inet")),
        "6" => return Ok(Means::Family("inet6")),
        "0" => return Ok(Means::Family("link")),
        "M" | "B" => return Ok(Means::Absent),
        _ => {}
    }
    let (name, value) = text.split_once('=').unwrap_or((text, "always"));
    if begins(name, "color") && matches!(value, "always" | "auto" | "never") {
        return Ok(Means::Switch("--color"));
    }
    if name == "explain" {
        return Ok(Means::Switch("--explain"));
    }
    let found = OPTIONS.into_iter().find(|(name, _)| begins(text, name));
    found.map(|(_, means)| means).ok_or_else(|| {
        let text = format!("Option \"-{text}\" is unknown, try \"ip -help\".");
        Error::new(text).status(USAGE)
    })
}

/// The value that argh wants behind `--color` and `--explain`, which come with `=` or without.
fn valued(text: &str) -> Option<&str> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (name == "explain" || begins(name, "color")).then_some(value)
}

fn with_object(mut words: Vec<String>, object: &OsStr, rest: &[OsString]) -> Result<Typed> {
    let name = object.to_string_lossy();
    if begins(&name, "help") {
        return Ok(Typed::Words(words));
    }
    words.extend([object_of(&name)?.into(), "--".into()]);
    words.extend(rest.iter().map(|word| encode(word)));
    Ok(Typed::Words(words))
}

/// The object that a word means.
fn object_of(word: &str) -> Result<&'static str> {
    match OBJECTS.into_iter().find(|(name, _)| begins(word, name)) {
        Some((name, "")) => Err(super::absent(&format!("the object \"{name}\""))),
        Some((_, object)) => Ok(object),
        None => Err(Error::new(format!(
            "Object \"{word}\" is unknown, try \"ip help\"."
        ))),
    }
}

/// Runs the commands of a file, one a line, up to one that fails.
pub(super) fn batch(file: &OsStr, force: bool, options: &Options) -> Result<Exit> {
    let mut text = String::new();
    let shown = file.to_string_lossy();
    let read = if file == "-" {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(Path::new(file)).map(|read| text = read)
    };
    read.doing(format!("Cannot open file \"{shown}\" for reading"))?;
    let options = Options {
        in_batch: true,
        ..options.clone()
    };
    let mut status = Exit::OK;
    for (number, line) in (1..).zip(text.lines()) {
        let words = split(line);
        let Some((object, words)) = words.split_first() else {
            continue;
        };
        let done =
            object_of(&object.to_string_lossy()).and_then(|object| run(object, words, &options));
        let ended = done.unwrap_or_else(|error| report(&error));
        if ended != Exit::OK {
            crate::cli::say(&format!("Command failed {shown}:{number}\n"));
            status = Exit::Status(1);
            if !force {
                break;
            }
        }
    }
    Ok(status)
}

/// The words of a line: apart by blanks, together in quotes, up to a `#`.
fn split(line: &str) -> Vec<OsString> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (None, '#') if word.is_none() => break,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if c == open => quote = None,
            (None, c) if c.is_whitespace() => words.extend(word.take().map(OsString::from)),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word.map(OsString::from));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<String, String> {
        match canonical(&split(line)) {
            Ok(Typed::Words(words)) => Ok(words.join(" ")),
            Ok(Typed::Help) => Ok("help".into()),
            Ok(Typed::Version) => Ok("version".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn command_lines() {
        for (line, want) in [
            ("a", "address --"),
            ("l show lo", "link -- show lo"),
            ("r", "route --"),
            ("n", "neighbour --"),
            ("netn", "netns --"),
            ("-br a", "--brief address --"),
            ("-4 -o a", "--family inet --oneline address --"),
            ("-4 -j -6 a", "--json --family inet6 address --"),
            ("-s -s l", "--statistics --statistics link --"),
            ("-n blue l", "--netns blue link --"),
            ("--netns blue l", "--netns blue link --"),
            ("-b -", "--batch -"),
            ("-c l", "--color  link --"),
            ("-c=never l", "--color never link --"),
            ("--explain=json l", "--explain json link --"),
            ("-j -p a", "--json --pretty address --"),
            ("-all netns delete", "--all netns -- delete"),
            ("-V", "version"),
            ("--help", "help"),
            ("help", ""),
            ("-- link", "link --"),
        ] {
            assert_eq!(read(line).as_deref(), Ok(want), "{line}");
        }
        for (line, want) in [
            ("foo", "Object \"foo\" is unknown, try \"ip help\"."),
            ("-foo", "Option \"-foo\" is unknown, try \"ip -help\"."),
            ("-n", "Command line is not complete. Try option \"help\""),
            ("rule", "the object \"rule\" of iproute2 is not in this ip"),
            ("-t l", "the option -t of iproute2 is not in this ip"),
            (
                "-c=bogus l",
                "Option \"-c=bogus\" is unknown, try \"ip -help\".",
            ),
        ] {
            assert_eq!(read(line), Err(want.into()), "{line}");
        }
    }

    #[test]
    fn lines_of_a_file() {
        for (line, want) in [
            ("link set lo up", vec!["link", "set", "lo", "up"]),
            ("  a \"b c\" ''  # d", vec!["a", "b c", ""]),
            ("# only this", vec![]),
            ("a#b", vec!["a#b"]),
        ] {
            assert_eq!(split(line), want, "{line}");
        }
    }
}
