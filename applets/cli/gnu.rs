//! Options as getopt_long(3) has them, over argh, which matches whole words only.
//!
//! The flag list comes from argh's own `ArgsInfo`, so an option is declared once. This layer turns what was
//! typed into words that argh takes literally: `--name=v`, unique prefixes, `-abc`, `-ovalue`, optional values
//! in both dialects, last one wins, stop at the first operand where the applet runs a command.
//!
//! How a value may be given stands in the option's `arg_name`:
//!
//! | `arg_name` | long | short | as in |
//! |---|---|---|---|
//! | `file` | `--root dir`, `--root=dir` | `-R dir`, `-Rdir` | everywhere |
//! | `[=file]` | `--pid`, `--pid=file` | `-p` only | unshare |
//! | `[file]` | `--mount`, `--mount=file` | `-m`, `-mfile`, `-m=file` | nsenter |
//! | `command...` | `--hold cmd args` | all that follows | veth |
//! | `[]` | `--map-root-user` | `-r` | a switch whose place matters: `order.rs` |
//!
//! An optional value that is absent travels as the empty string.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality};

use super::raw::encode;

/// An option as argh declares it.
pub(crate) type Flag = FlagInfo<'static>;

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// `--help`, of the applet or of the verb named
    Help(Option<&'static str>),
    /// `--version`
    Version,
    /// Words for argh: options, `--`, operands.
    Words(Vec<String>),
}

/// Whether and how an option takes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    None,
    Required,
    /// Only as `--name=value`.
    OptionalLong,
    /// Also attached to the letter.
    Optional,
    /// Every word that follows.
    Rest,
}

/// The value an option takes, and the name of that value for people.
pub(crate) fn value_of(flag: &Flag) -> (Value, &'static str) {
    match flag.kind {
        FlagInfoKind::Switch | FlagInfoKind::Option { arg_name: "[]" } => (Value::None, ""),
        FlagInfoKind::Option { arg_name } => {
            match arg_name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
                None if arg_name.ends_with("...") => (Value::Rest, arg_name),
                None => (Value::Required, arg_name),
                Some(name) => match name.strip_prefix('=') {
                    Some(name) => (Value::OptionalLong, name),
                    None => (Value::Optional, name),
                },
            }
        }
    }
}

/// An option's long name without its dashes; empty where it has only a letter.
pub(crate) fn long_of(flag: &Flag) -> &'static str {
    flag.long.trim_start_matches('-')
}

/// Answered by the frame for every applet.
const FRAME: [(&str, u8, Parsed); 2] = [
    ("help", b'h', Parsed::Help(None)),
    ("version", b'V', Parsed::Version),
];

/// Additions of ours that would make a beginning ambiguous which means one option of the original tool
/// (`setpriv --clear` is `--clear-groups`), and the second name of an option that has two.
const STANDS_BACK: [&str; 15] = [
    "caps",
    "carrier",
    "clear-env",
    "close-fds",
    "default-signals",
    "explain",
    "from-root",
    "hostname",
    "init",
    "new-session-keyring",
    "nnp",
    "no-input",
    "set",
    "swap",
    "tty",
];

/// What has been understood so far.
pub(crate) struct Walk<'a> {
    info: &'a CommandInfoWithArgs,
    /// Long name of each option seen, and its value.
    seen: Vec<(&'a Flag, Option<String>)>,
    pub(crate) operands: Vec<&'a OsStr>,
    /// Whether no more options follow.
    pub(crate) ended: bool,
    /// The option whose value the arguments ended before.
    pub(crate) wants: Option<&'a Flag>,
    answer: Option<Parsed>,
}

/// Turns arguments into the words that argh takes.
///
/// # Errors
/// What getopt_long(3) would say.
pub(crate) fn canonical(info: &CommandInfoWithArgs, args: &[OsString]) -> Result<Parsed, String> {
    let mut walk = Walk::new(info);
    walk.read(args)?;
    match walk.answer {
        Some(answer) => Ok(answer),
        None => walk.finish(),
    }
}

/// The first operand, which names a verb where there are verbs, as far as the arguments can be understood.
pub(crate) fn first_operand<'a>(
    info: &'a CommandInfoWithArgs,
    args: &'a [OsString],
) -> Option<&'a OsStr> {
    let mut walk = Walk::new(info);
    let _ = walk.read(args);
    walk.operands.first().copied()
}

type Rest<'a, 'b> = &'b mut dyn Iterator<Item = &'a OsStr>;

impl<'a> Walk<'a> {
    /// Nothing read yet.
    pub(crate) fn new(info: &'a CommandInfoWithArgs) -> Self {
        Self {
            info,
            seen: Vec::new(),
            operands: Vec::new(),
            ended: false,
            wants: None,
            answer: None,
        }
    }

    /// Reads arguments up to one that the frame answers.
    pub(crate) fn read(&mut self, args: &'a [OsString]) -> Result<(), String> {
        // An applet that runs a command, or that has verbs, stops reading options at the first operand.
        let runs_command = self
            .info
            .positionals
            .iter()
            .any(|p| p.optionality == Optionality::Greedy);
        let stops = runs_command || !self.info.commands.is_empty();
        let mut rest = args.iter().map(OsString::as_os_str);
        while let Some(arg) = rest.next() {
            match arg.as_bytes() {
                b"--" => {
                    self.ended = true;
                    self.operands.extend(&mut rest);
                }
                [b'-', b'-', long @ ..] => self.long(long, &mut rest)?,
                [b'-', letters @ ..] if !letters.is_empty() => self.letters(letters, &mut rest)?,
                _ => {
                    self.operands.push(arg);
                    if stops {
                        self.ended = true;
                        self.operands.extend(&mut rest);
                    }
                }
            }
            if self.answer.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Whether an option was read that the frame answers.
    pub(crate) fn answered(&self) -> bool {
        self.answer.is_some()
    }

    /// The next argument, as the value of this option.
    fn value(&mut self, flag: &'a Flag, rest: Rest<'a, '_>) -> Option<String> {
        let next = rest.next().map(encode);
        if next.is_none() {
            self.wants = Some(flag);
        }
        next
    }

    fn long(&mut self, typed: &'a [u8], rest: Rest<'a, '_>) -> Result<(), String> {
        let (name, value) = match typed.iter().position(|b| *b == b'=') {
            Some(at) => (&typed[..at], Some(OsStr::from_bytes(&typed[at + 1..]))),
            None => (typed, None),
        };
        let shown = String::from_utf8_lossy(name);
        let Some(flag) = self.find_long(&shown)? else {
            return Ok(());
        };
        let value = match (value_of(flag).0, value) {
            (Value::None, Some(_)) => {
                return Err(format!(
                    "option '--{}' doesn't allow an argument",
                    long_of(flag)
                ));
            }
            (Value::None, None) => None,
            (Value::Required, None) => Some(
                self.value(flag, rest)
                    .ok_or_else(|| format!("option '--{}' requires an argument", long_of(flag)))?,
            ),
            (Value::Rest, value) => return self.all_of(flag, value, rest),
            (_, value) => Some(encode(value.unwrap_or_default())),
        };
        self.seen.push((flag, value));
        Ok(())
    }

    /// Everything that follows is this option's, and no option any more.
    fn all_of(
        &mut self,
        flag: &'a Flag,
        attached: Option<&'a OsStr>,
        rest: Rest<'a, '_>,
    ) -> Result<(), String> {
        let words: Vec<String> = attached.into_iter().chain(rest).map(encode).collect();
        if words.is_empty() {
            self.wants = Some(flag);
            return Err(format!("option '--{}' requires an argument", long_of(flag)));
        }
        let values = words.into_iter().map(|word| (flag, Some(word)));
        self.seen.extend(values);
        Ok(())
    }

    /// The option that `name` means: exactly, or as the only one that starts so. `None` where the frame answers.
    fn find_long(&mut self, name: &str) -> Result<Option<&'a Flag>, String> {
        let flags = self
            .info
            .flags
            .iter()
            .filter(|flag| !long_of(flag).is_empty() && long_of(flag) != "help");
        if let Some(flag) = flags.clone().find(|flag| long_of(flag) == name) {
            return Ok(Some(flag));
        }
        let mut starts: Vec<&Flag> = flags
            .filter(|flag| long_of(flag).starts_with(name))
            .collect();
        let mut frame: Vec<(&str, u8, Parsed)> = FRAME
            .into_iter()
            .filter(|(long, ..)| long.starts_with(name))
            .collect();
        let is_original = |flag: &&&Flag| !STANDS_BACK.contains(&long_of(flag));
        if starts.len() + frame.len() > 1
            && starts.iter().filter(is_original).count() + frame.len() == 1
        {
            starts.retain(|flag| is_original(&flag));
        }
        match (&starts[..], &mut frame[..]) {
            ([], []) => Err(format!("unrecognized option '--{name}'")),
            ([flag], []) => Ok(Some(flag)),
            ([], [_]) => {
                self.answer = frame.pop().map(|(.., answer)| answer);
                Ok(None)
            }
            _ => {
                let mut names: Vec<String> = starts
                    .iter()
                    .map(|flag| format!("'--{}'", long_of(flag)))
                    .collect();
                names.extend(frame.iter().map(|(long, ..)| format!("'--{long}'")));
                Err(format!(
                    "option '--{name}' is ambiguous; possibilities: {}",
                    names.join(" ")
                ))
            }
        }
    }

    /// A cluster: each letter a switch, until one takes the rest, or the next argument, as its value.
    fn letters(&mut self, letters: &'a [u8], rest: Rest<'a, '_>) -> Result<(), String> {
        for (at, letter) in letters.iter().enumerate() {
            let attached = OsStr::from_bytes(&letters[at + 1..]);
            let Some(flag) = self
                .info
                .flags
                .iter()
                .find(|flag| flag.short == Some(char::from(*letter)))
            else {
                let Some((.., answer)) = FRAME.into_iter().find(|(_, short, _)| short == letter)
                else {
                    return Err(format!(
                        "invalid option -- '{}'",
                        char::from(*letter).escape_default()
                    ));
                };
                self.answer = Some(answer);
                return Ok(());
            };
            let value = match value_of(flag).0 {
                // Such an option has no letter.
                Value::None | Value::Rest => None,
                Value::OptionalLong => Some(String::new()),
                // nsenter(1) strips a leading `=` from an attached value.
                Value::Optional => Some(encode(OsStr::from_bytes(
                    attached
                        .as_bytes()
                        .strip_prefix(b"=")
                        .unwrap_or(attached.as_bytes()),
                ))),
                Value::Required if attached.is_empty() => {
                    let letter = char::from(*letter);
                    let missing = || format!("option requires an argument -- '{letter}'");
                    Some(self.value(flag, rest).ok_or_else(missing)?)
                }
                Value::Required => Some(encode(attached)),
            };
            let took_rest = matches!(value_of(flag).0, Value::Required | Value::Optional);
            self.seen.push((flag, value));
            if took_rest {
                break;
            }
        }
        Ok(())
    }

    /// Options in their order, a value that may be given once only the last time; then the operands. Switches all
    /// stay: an applet may count them (`setpriv -dd`).
    fn finish(self) -> Result<Parsed, String> {
        let mut words = Vec::new();
        for (at, (flag, value)) in self.seen.iter().enumerate() {
            let is_switch = matches!(flag.kind, FlagInfoKind::Switch);
            let again = self.seen[at + 1..]
                .iter()
                .any(|(later, _)| std::ptr::eq(*later, *flag));
            if again && !is_switch && flag.optionality != Optionality::Repeating {
                continue;
            }
            words.push(match flag.short {
                Some(short) if long_of(flag).is_empty() => format!("-{short}"),
                _ => format!("--{}", long_of(flag)),
            });
            words.extend(value.clone().or_else(|| (!is_switch).then(String::new)));
        }
        if let (Some(verb), false) = (self.operands.first(), self.info.commands.is_empty()) {
            return self.verb(verb, words);
        }
        let takes_operands = !(self.info.positionals.is_empty() && self.info.commands.is_empty());
        if let (false, Some(extra)) = (takes_operands, self.operands.first()) {
            return Err(format!("unexpected argument '{}'", extra.display()));
        }
        words.push("--".into());
        words.extend(self.operands.iter().map(|operand| encode(operand)));
        Ok(Parsed::Words(words))
    }

    /// The first operand names a verb, whose own options follow.
    fn verb(&self, verb: &OsStr, mut words: Vec<String>) -> Result<Parsed, String> {
        let commands = &self.info.commands;
        let find = |name: &OsStr| {
            let found = commands.iter().find(|command| name == command.name);
            found.ok_or_else(|| format!("unknown command '{}'", name.display()))
        };
        let command = match (find(verb), self.operands.get(1)) {
            // `help` is a verb wherever there are verbs.
            (Err(_), None) if verb == "help" => return Ok(Parsed::Help(None)),
            (Err(_), Some(topic)) if verb == "help" => {
                return Ok(Parsed::Help(Some(find(topic)?.name)));
            }
            (found, _) => found?,
        };
        let rest: Vec<OsString> = self.operands[1..]
            .iter()
            .map(|arg| (*arg).to_owned())
            .collect();
        match canonical(&command.command, &rest)? {
            Parsed::Words(inner) => {
                words.push(command.name.into());
                words.extend(inner);
                Ok(Parsed::Words(words))
            }
            Parsed::Help(None) => Ok(Parsed::Help(Some(command.name))),
            answer => Ok(answer),
        }
    }
}

/// What argh found wrong, in our words: types of ours put their sentence behind [`OURS`].
pub(crate) fn argh_says(output: &str) -> String {
    if let Some((_, sentence)) = output.split_once(OURS) {
        return sentence.trim_end().into();
    }
    if output.starts_with("Required positional arguments not provided:") {
        let names: Vec<&str> = output
            .lines()
            .skip(1)
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        return format!("missing operand: {}", names.join(" "));
    }
    if let Some(names) = output.strip_prefix("One of the following subcommands must be present:") {
        // argh has a `help` of its own among them; ours is an option.
        let names = names.split_whitespace().filter(|name| *name != "help");
        let names: Vec<&str> = names.collect();
        return format!("missing command: one of {}", names.join(" "));
    }
    if let Some(extra) = output.strip_prefix("Unrecognized argument: ") {
        return format!("unexpected argument '{}'", extra.trim_end());
    }
    let mut text = output.trim_end().replace('\n', " ");
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

/// Marks where our own sentence starts in an error that argh wraps.
const OURS: char = '\u{1}';

/// An error of a `FromArgValue` that stands for itself.
pub(crate) fn bad(sentence: impl std::fmt::Display) -> String {
    format!("{OURS}{sentence}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::raw::Raw;
    use argh::{ArgsInfo, FromArgs};

    /// both dialects
    #[derive(FromArgs, ArgsInfo)]
    #[allow(dead_code)]
    struct Probe {
        /// unshare's dialect
        #[argh(option, short = 'p', arg_name = "[=file]")]
        pid: Option<Raw>,
        /// nsenter's dialect
        #[argh(option, short = 'm', arg_name = "[file]")]
        mount: Option<Raw>,
        /// a switch
        #[argh(switch, short = 'f')]
        fork: bool,
        /// a value
        #[argh(option, short = 'R', arg_name = "dir")]
        root: Option<Raw>,
        /// repeats
        #[argh(option, arg_name = "map")]
        map_users: Vec<Raw>,
        /// near to root
        #[argh(switch)]
        rootless: bool,
        /// the command
        #[argh(positional, greedy)]
        command: Vec<Raw>,
    }

    fn words(line: &str) -> Result<Parsed, String> {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        canonical(&Probe::get_args_info(), &args)
    }

    #[test]
    fn getopt_is_spoken() {
        let cases = [
            ("-pf sh -c x", "--pid  --fork -- sh -c x"),
            (
                "--pid=/x --mo=/y -R a -Rb sh -f --pid",
                "--pid /x --mount /y --root b -- sh -f --pid",
            ),
            ("-m/path -f", "--mount /path --fork --"),
            ("-m=/path", "--mount /path --"),
            (
                "-fpRdir --mount sh",
                "--fork --pid  --root dir --mount  -- sh",
            ),
            (
                "--map-users 0:1:1 --map-users=1:2:3 true",
                "--map-users 0:1:1 --map-users 1:2:3 -- true",
            ),
            ("-f -- -x", "--fork -- -x"),
            ("--root -f", "--root -f --"),
            ("-f - x", "--fork -- - x"),
            ("-ff --fork", "--fork --fork --fork --"),
        ];
        for (typed, want) in cases {
            let Ok(Parsed::Words(got)) = words(typed) else {
                panic!("{typed}")
            };
            assert_eq!(got.join(" "), want, "{typed}");
        }
        assert_eq!(words("-f --hel"), Ok(Parsed::Help(None)));
        assert_eq!(words("-fV"), Ok(Parsed::Version));
    }

    #[test]
    fn what_argh_says_is_put_in_our_words() {
        let cases = [
            (
                "Required positional arguments not provided:\n    root\n",
                "missing operand: root",
            ),
            ("Unrecognized argument: x\n", "unexpected argument 'x'"),
            (
                "One of the following subcommands must be present:\n    help\n    run\n    rm\n",
                "missing command: one of run rm",
            ),
            ("Error parsing: \u{1}our own\n", "our own"),
            ("No good\nat all\n", "no good at all"),
            ("É", "É"),
            ("", ""),
        ];
        for (said, want) in cases {
            assert_eq!(argh_says(said), want, "{said:?}");
        }
    }

    #[test]
    fn getopt_errors_are_spoken() {
        let cases = [
            ("--fork=1", "option '--fork' doesn't allow an argument"),
            ("-z", "invalid option -- 'z'"),
            ("--bogus", "unrecognized option '--bogus'"),
            (
                "--m",
                "option '--m' is ambiguous; possibilities: '--mount' '--map-users'",
            ),
            ("-R", "option requires an argument -- 'R'"),
            ("--root", "option '--root' requires an argument"),
        ];
        for (typed, want) in cases {
            assert_eq!(words(typed), Err(want.to_owned()), "{typed}");
        }
    }
}
