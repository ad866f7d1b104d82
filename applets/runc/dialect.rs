//! What Go's flag package takes and getopt does not: long options behind one dash, and switches with a value.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use isobox::oci::spec::VERSION;

/// The runc that this stands for.
const RUNC: &str = "1.3.0";

/// The arguments as getopt would have them, up to the command of a container.
pub(super) fn translate(args: &[OsString]) -> Vec<OsString> {
    let mut out = Vec::with_capacity(args.len());
    let mut operands = 0;
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let bytes = arg.as_bytes();
        // The first operand is the verb; a verb's second may be a command with options of its own.
        if bytes == b"--" || operands > 1 {
            out.push(arg.clone());
            break;
        }
        if operands == 0 && bytes == b"help" {
            out.extend(rest.next().cloned());
            out.push("--help".into());
            break;
        }
        match one(bytes, operands == 0) {
            Some(translated) => out.extend(translated),
            None => out.push(arg.clone()),
        }
        if operands == 0 && matches!(bytes, b"checkpoint" | b"restore") {
            // None of their options is looked at.
            out.push("--".into());
            break;
        }
        if bytes.len() > 1 && bytes.starts_with(b"-") {
            out.extend(rest.by_ref().take(usize::from(wants_value(bytes))).cloned());
        } else {
            operands += 1;
        }
    }
    out.extend(rest.cloned());
    out
}

/// Whether an option's value is the next argument.
fn wants_value(option: &[u8]) -> bool {
    let name = option.strip_prefix(b"-").unwrap_or(option);
    let name = name.strip_prefix(b"-").unwrap_or(name);
    let is_switch = |name| SWITCHES.contains(&name) && name != "rootless";
    !option.contains(&b'=') && option != b"-v" && !std::str::from_utf8(name).is_ok_and(is_switch)
}

/// One argument, global or a verb's; `None` where it is understood as it is, and nothing at all for a switch that is
/// switched off.
fn one(arg: &[u8], global: bool) -> Option<Option<OsString>> {
    if arg == b"-v" {
        return Some(Some("--version".into()));
    }
    let name = arg.strip_prefix(b"-")?;
    let (name, long) = match name.strip_prefix(b"-") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let end = name.iter().position(|b| *b == b'=').unwrap_or(name.len());
    let (word, value) = (name.get(..end)?, name.get(end + 1..));
    let has_value = global && word == b"rootless";
    if !has_value
        && SWITCHES.contains(&std::str::from_utf8(word).ok()?)
        && let Some(on) = value.and_then(|value| boolean(std::str::from_utf8(value).ok()?))
    {
        return Some(on.then(|| dashed(word)));
    }
    // A letter, or letters with a value attached, are getopt's too.
    (!long && word.len() > 1).then(|| Some(dashed(name)))
}

fn dashed(name: &[u8]) -> OsString {
    let dashes = if name.len() > 1 { "--" } else { "-" };
    [OsStr::new(dashes), OsStr::from_bytes(name)]
        .into_iter()
        .collect()
}

/// The options that take no value; `spec` has a switch of the name of a global option.
const SWITCHES: [&str; 24] = [
    "a",
    "h",
    "help",
    "v",
    "version",
    "all",
    "d",
    "debug",
    "detach",
    "f",
    "force",
    "ignore-paused",
    "keep",
    "no-new-keyring",
    "no-new-privs",
    "no-pivot",
    "no-subreaper",
    "q",
    "quiet",
    "rootless",
    "stats",
    "systemd-cgroup",
    "t",
    "tty",
];

/// What is wrong with the arguments, as Go's flag package and runc say it, and the status.
pub(super) fn complaint(text: &str) -> (String, u8) {
    let named = |before: &str, after: &str| text.strip_prefix(before)?.strip_suffix(after);
    if let Some(verb) = named("unknown command '", "'") {
        return (format!("No help topic for '{verb}'"), 3);
    }
    let unknown = named("unrecognized option '-", "'").map(|name| name.trim_start_matches('-'));
    if let Some(name) = unknown.or_else(|| named("invalid option -- '", "'")) {
        return (format!("flag provided but not defined: -{name}"), 1);
    }
    let bare = named("option '--", "' requires an argument");
    if let Some(name) = bare.or_else(|| named("option requires an argument -- '", "'")) {
        return (format!("flag needs an argument: -{name}"), 1);
    }
    let bad = named("error parsing option '--", "");
    if let Some((name, value)) = bad.and_then(|rest| rest.split_once("' with value '")) {
        let value = value.split('\'').next().unwrap_or_default();
        let sentence = format!("invalid value {value:?} for flag -{name}: parse error");
        return (sentence, 1);
    }
    (text.into(), 1)
}

/// A truth value as Go reads it.
pub(super) fn boolean(word: &str) -> Option<bool> {
    match word {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// `--version`, which is read line by line.
pub(super) fn version() -> String {
    let ours = env!("CARGO_PKG_VERSION");
    format!(
        "runc version {}\ncommit: isobox {ours}\nspec: {VERSION}\n",
        runc_version()
    )
}

/// The version of the runc that this stands for, and our own behind it.
pub(super) fn runc_version() -> String {
    format!("{RUNC}+isobox.{}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_takes_is_understood() {
        let cases = [
            (
                "-root /r --log=x create -bundle b id",
                "--root /r --log=x create --bundle b id",
            ),
            (
                "--systemd-cgroup=false --debug=true state x",
                "--debug state x",
            ),
            (
                "exec -t=true -user 1 x sh -c -v",
                "exec -t --user 1 x sh -c -v",
            ),
            ("--rootless=true state x", "--rootless=true state x"),
            (
                "-rootless=0 spec -rootless=1",
                "--rootless=0 spec --rootless",
            ),
            ("--rootless auto kill x", "--rootless auto kill x"),
            ("-v", "--version"),
            ("help", "--help"),
            ("--debug help run", "--debug run --help"),
            ("exec x help", "exec x help"),
            ("exec -- x -cwd", "exec -- x -cwd"),
            ("kill x -9", "kill x -9"),
        ];
        for (typed, want) in cases {
            let args: Vec<OsString> = typed.split(' ').map(OsString::from).collect();
            let got: Vec<String> = translate(&args)
                .iter()
                .map(|arg| arg.to_string_lossy().into())
                .collect();
            assert_eq!(got.join(" "), want);
        }
    }
}
