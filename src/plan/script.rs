//! Writing a plan down as a POSIX shell script of our own applets.
//!
//! Every applet that isolates ends in a command, so a plan is one command line of applets in a row:
//!
//! ```text
//! exec unshare --mount --pid --fork \
//!     pivot --proc ROOT \
//!     setpriv --no-new-privs \
//!     sh
//! ```
//!
//! Each step says which applet it is an option of; steps of one applet that follow each other share it. A plan that ends
//! in no program is a line for each step.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::Plan;

/// A step as shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shell {
    /// These words of this applet say it.
    Option {
        /// The applet.
        applet: &'static str,
        /// Its options.
        words: Vec<OsString>,
    },
    /// An operand of this applet, which stands after all its options (the root of `pivot`).
    Operand {
        /// The applet.
        applet: &'static str,
        /// Options that say what it is.
        options: Vec<OsString>,
        /// The operand.
        word: OsString,
    },
    /// The words of the program itself.
    Command {
        /// The words.
        words: Vec<OsString>,
    },
    /// The shell itself does it: `</dev/null`.
    Redirection(&'static str),
    /// The applet that another step names does this by itself.
    Implied,
    /// No applet says it: this is left out of the script, and told.
    Unsaid(&'static str),
}

/// What a script does that is no step of its plan: what this plan finds made when it runs, the script has to make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Around {
    /// Commands before everything else; the script ends with the first that fails.
    pub before: Vec<Vec<OsString>>,
    /// The command in which the row stands.
    pub row: Vec<OsString>,
    /// A command at the end, whatever happened.
    pub after: Vec<OsString>,
}

impl Around {
    fn text(&self, row: &str) -> String {
        let mut before = self.before.iter().map(|line| words(line));
        let first = before.next().unwrap_or_default();
        let then: String = before.map(|line| line + "\n").collect();
        // A signal that ends the shell ends it by its trap; the container gets it from the terminal, or by itself.
        format!(
            "#!/bin/sh\nset -e\n{first}\ntrap {} EXIT\ntrap 'exit 129' HUP\ntrap 'exit 130' INT\ntrap 'exit 143' TERM\n{then}{} \\\n    {row}\n",
            quote(words(&self.after).as_ref()),
            words(&self.row),
        )
    }
}

impl Shell {
    /// One option.
    pub fn option(applet: &'static str, word: impl Into<OsString>) -> Self {
        Self::Option {
            applet,
            words: vec![word.into()],
        }
    }

    /// One option with its value: `--name=`, and what stands behind it.
    pub fn valued(applet: &'static str, name: &str, value: &OsStr) -> Self {
        let mut word = OsString::from(name);
        word.push(value);
        Self::option(applet, word)
    }
}

/// One command of the row.
struct Link {
    applet: &'static str,
    options: Vec<OsString>,
    operands: Vec<OsString>,
}

impl Plan {
    /// What a script of the plan leaves out, because no applet says it.
    pub fn unsaid(&self) -> Vec<&'static str> {
        let unsaid = |shell| match shell {
            Shell::Unsaid(what) => Some(what),
            _ => None,
        };
        let mut all: Vec<_> = self.shells().into_iter().filter_map(unsaid).collect();
        all.dedup();
        all
    }

    /// The plan as a script that does the same, but for what it says that it leaves out.
    pub fn script(&self) -> String {
        let script = self.script_of_all();
        match self.unsaid().as_slice() {
            [] => script,
            left => script.replacen('\n', &format!("\n# Left out: {}.\n", left.join(", ")), 1),
        }
    }

    fn script_of_all(&self) -> String {
        if self.exec.is_none() {
            return self.script_of_effects();
        }
        let mut row: Vec<Link> = Vec::new();
        let mut program = Vec::new();
        let mut redirections = String::new();
        for shell in self.shells() {
            match shell {
                Shell::Option { applet, words } => link(&mut row, applet).options.extend(words),
                Shell::Operand {
                    applet,
                    options,
                    word,
                } => {
                    let link = link(&mut row, applet);
                    link.options.extend(options);
                    link.operands.push(word);
                }
                Shell::Command { words } => program = words,
                Shell::Redirection(word) => redirections.extend([" ", word]),
                Shell::Implied | Shell::Unsaid(_) => {}
            }
        }
        let mut lines: Vec<String> = row.iter().map(Link::line).collect();
        lines.push(words(&program));
        let row = lines.join(" \\\n    ") + &redirections;
        match &self.around {
            Some(around) => around.text(&row),
            None => format!("#!/bin/sh\nexec {row}\n"),
        }
    }
}

impl Plan {
    fn script_of_effects(&self) -> String {
        let mut script = String::from("#!/bin/sh\nset -e\n");
        for shell in self.shells() {
            if let Shell::Option { applet, words: say } = shell {
                script.extend([applet, " ", &words(&say), "\n"]);
            }
        }
        script
    }
}

/// The shell, as a command of the row that goes on by itself.
pub(super) const SHELL: &str = "sh";

/// The last command of the row if it is this applet, else a new one; a shell has one script.
fn link<'a>(row: &'a mut Vec<Link>, applet: &'static str) -> &'a mut Link {
    if row
        .last()
        .is_none_or(|last| last.applet != applet || applet == SHELL)
    {
        row.push(Link {
            applet,
            options: Vec::new(),
            operands: Vec::new(),
        });
    }
    let last = row.len() - 1;
    &mut row[last]
}

impl Link {
    fn line(&self) -> String {
        // `--` so that an operand or a program that starts with a dash is not taken for an option.
        let parts = [words(&self.options), "--".into(), words(&self.operands)];
        let parts: Vec<&str> = parts
            .iter()
            .map(String::as_str)
            .filter(|part| !part.is_empty())
            .collect();
        format!("{} {}", self.applet, parts.join(" "))
    }
}

fn words(words: &[OsString]) -> String {
    words
        .iter()
        .map(|word| quote(word))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A word quoted for the shell, where it needs to be. Bytes that are no UTF-8 cannot stand in a `String`, so
/// they are written through printf(1).
fn quote(word: &OsStr) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"@%_+=:,./-".contains(b);
    let Some(text) = word.to_str() else {
        let octal: String = word
            .as_bytes()
            .iter()
            .map(|b| format!("\\{b:03o}"))
            .collect();
        return format!("\"$(printf '{octal}')\"");
    };
    if !text.is_empty() && text.bytes().all(|b| plain(&b)) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        let cases: [(&[u8], &str); 5] = [
            (b"/bin/sh", "/bin/sh"),
            (b"", "''"),
            (b"a b", "'a b'"),
            (b"it's", "'it'\\''s'"),
            (b"\xff", "\"$(printf '\\377')\""),
        ];
        for (word, want) in cases {
            assert_eq!(quote(OsStr::from_bytes(word)), want);
        }
    }
}
