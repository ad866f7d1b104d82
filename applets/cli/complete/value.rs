//! What may stand as the value of an option or as an operand, by the name that its declaration gives it.

use isobox::namespace::Kind;
use nix::sys::signal::Signal;

use super::{Answer, Shell, matching};
use crate::cli::gnu::{Flag, value_of};

/// The value of an option, behind what of the word is not value.
pub(super) fn value(flag: &Flag, prefix: &str, typed: &str) -> Answer {
    named(value_of(flag).1, prefix, typed)
}

/// A value, by the name that the declaration gives it: `dir`, `uid|follow`, `allow|deny`.
pub(super) fn named(name: &str, prefix: &str, typed: &str) -> Answer {
    let mut answer = Answer::default();
    for part in name.split('|') {
        let words = match part {
            "dir" | "root" | "directory" => {
                answer.shell = Shell::Dirs(prefix.into());
                continue;
            }
            "file" | "path" | "src:dst[:ro]" => {
                answer.shell = Shell::Files(prefix.into());
                continue;
            }
            "type" => matching(
                Kind::ALL.map(|kind| plain(kind.proc_name())).into_iter(),
                typed,
            ),
            "how" => matching(["text", "json", "run"].map(plain).into_iter(), typed),
            "signal" | "signame" => {
                matching(Signal::iterator().map(|s| plain(short_name(s))), typed)
            }
            _ if part == "pid" || part.starts_with("pid[") => processes(typed),
            // Of several, what is no kind of value is a word itself.
            "uid" | "gid" | "name" | "user" | "group" => continue,
            word if name.contains('|') && word.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                matching([plain(word)].into_iter(), typed)
            }
            _ => continue,
        };
        let prefixed = words
            .into_iter()
            .map(|(word, meaning)| (format!("{prefix}{word}"), meaning));
        answer.words.extend(prefixed);
    }
    answer
}

/// A word that explains itself.
fn plain(word: &str) -> (&str, &str) {
    (word, "")
}

/// A signal's name as it is typed: `KILL`.
fn short_name(signal: Signal) -> &'static str {
    signal.as_str().trim_start_matches("SIG")
}

/// The processes that can be seen, by number, each with its name.
fn processes(typed: &str) -> Vec<(String, String)> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(typed) && name.bytes().all(|b| b.is_ascii_digit()))
        .map(|pid| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let name = name.trim_end().replace(['\t', '\n'], " ");
            (pid, name)
        })
        .collect()
}
