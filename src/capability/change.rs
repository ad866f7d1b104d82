//! A change of a capability set, as setpriv(1) writes it.

use std::fmt;

use super::{Capability, Set, last};
use crate::error::{Error, Result};

/// What a set becomes: some capabilities kept, some added. Both `-all,+kill` (whatever it was) and `+kill`
/// (what it was, and more) are one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub(super) keep: u64,
    pub(super) add: u64,
}

impl Change {
    /// To exactly this set.
    pub fn to(set: Set) -> Self {
        Self {
            keep: 0,
            add: set.0,
        }
    }

    /// Reads setpriv(1)'s list: `+cap`, `-cap`, `+all`, `-all`, separated by commas, each in its turn.
    ///
    /// # Errors
    /// setpriv's sentences: `bad capability string`, `unknown capability "x"`.
    pub fn parse(list: &str) -> Result<Self> {
        let mut change = Self {
            keep: u64::MAX,
            add: 0,
        };
        for word in list.split(',') {
            let (add, name) = match (word.strip_prefix('+'), word.strip_prefix('-')) {
                (Some(name), _) => (true, name),
                (_, Some(name)) => (false, name),
                _ => return Err(Error::new("bad capability string")),
            };
            change = change.then(add, one_or_all(name)?);
        }
        Ok(change)
    }

    /// Reads a set by its names alone: `chown,kill`, `all`, `none`; or a list of changes as [`Change::parse`] does.
    ///
    /// # Errors
    /// `unknown capability "x"`, and those of [`Change::parse`].
    pub fn parse_exact(list: &str) -> Result<Self> {
        if list.starts_with(['+', '-']) {
            return Self::parse(list);
        }
        if list == "none" {
            return Ok(Self::to(Set::EMPTY));
        }
        let sets = list.split(',').map(one_or_all);
        sets.collect::<Result<Vec<u64>>>()
            .map(|bits| Self::to(Set(bits.iter().fold(0, |all, bits| all | bits))))
    }

    /// This change and then one more.
    fn then(self, add: bool, bits: u64) -> Self {
        Self {
            keep: self.keep & !bits,
            add: if add {
                self.add | bits
            } else {
                self.add & !bits
            },
        }
    }

    /// The set that `old` becomes.
    pub fn of(self, old: Set) -> Set {
        Set(old.0 & self.keep | self.add)
    }

    /// As [`Change::parse_exact`] reads it: names without signs where the old set does not matter.
    pub fn list(self) -> String {
        if self.keep & Set::all().0 != 0 {
            return self.to_string();
        }
        match Set(self.add) {
            Set::EMPTY => "none".into(),
            _ if self.asks_for_all() => "all".into(),
            set => set.to_string(),
        }
    }

    /// Whether every capability is asked for, as `+all` does: what cannot be had is then left out.
    pub(super) fn asks_for_all(self) -> bool {
        self.add & Set::all().0 == Set::all().0
    }
}

impl fmt::Display for Change {
    /// As [`Change::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = Set::all().0;
        let mut words = Vec::new();
        if self.add & all == all {
            words.push("+all".to_owned());
        } else {
            let removed = !self.keep & !self.add & all;
            if self.keep & all == 0 {
                words.push("-all".into());
            } else {
                words.extend(Set(removed).iter().map(|cap| format!("-{cap}")));
            }
            words.extend(Set(self.add).iter().map(|cap| format!("+{cap}")));
        }
        f.write_str(&words.join(","))
    }
}

/// The bits of one name, or of `all`.
fn one_or_all(name: &str) -> Result<u64> {
    if name == "all" {
        return Ok(Set::all().0);
    }
    Capability::named(name)
        .filter(|cap| cap.number() <= last())
        .map(Capability::bit)
        .ok_or_else(|| Error::new(format!("unknown capability \"{}\"", name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_in_their_order() {
        let set = |names: &[&str]| -> Set {
            names
                .iter()
                .map(|name| Capability::named(name).unwrap())
                .collect()
        };
        let old = set(&["chown", "kill"]);
        let cases: [(&str, &[&str]); 8] = [
            ("+net_raw", &["chown", "kill", "net_raw"]),
            ("-chown", &["kill"]),
            ("-all,+net_raw", &["net_raw"]),
            ("-all", &[]),
            ("+bpf,-bpf", &["chown", "kill"]),
            ("-kill,+kill", &["chown", "kill"]),
            ("+CAP_BPF,-cap_0", &["kill", "bpf"]),
            ("+all,-all,+cap_5", &["kill"]),
        ];
        for (list, want) in cases {
            let change = Change::parse(list).unwrap();
            assert_eq!(change.of(old), set(want), "{list}");
            let again = Change::parse(&change.to_string()).unwrap_or(change);
            assert_eq!(again.of(old), set(want), "{list} written as {change}");
        }
        assert_eq!(Change::parse("+all").unwrap().of(old), Set::all());
    }

    #[test]
    fn exact_sets_need_no_signs() {
        let kill = Set(1 << 5);
        for list in ["kill", "cap_kill", "-all,+kill", "cap_5"] {
            assert_eq!(
                Change::parse_exact(list).unwrap().of(Set(1)),
                kill,
                "{list}"
            );
        }
        assert_eq!(Change::parse_exact("none").unwrap().of(kill), Set::EMPTY);
        assert_eq!(
            Change::parse_exact("all").unwrap().of(Set::EMPTY),
            Set::all()
        );
    }

    #[test]
    fn bad_lists_are_refused_in_setpriv_words() {
        let cases = [
            ("chown", "bad capability string"),
            ("", "bad capability string"),
            ("+chown,", "bad capability string"),
            ("+", "unknown capability \"\""),
            ("+foo", "unknown capability \"foo\""),
            ("+cap_64", "unknown capability \"cap_64\""),
            ("+cap_-1", "unknown capability \"cap_-1\""),
            ("+cap_", "unknown capability \"cap_\""),
            ("+é€", "unknown capability \"é€\""),
        ];
        for (list, want) in cases {
            assert_eq!(
                Change::parse(list).unwrap_err().to_string(),
                want,
                "{list:?}"
            );
        }
    }

    #[test]
    fn sets_are_written_as_setpriv_writes_them() {
        assert_eq!(Set::EMPTY.to_string(), "[none]");
        assert_eq!(Set(0b100001).to_string(), "chown,kill");
        assert_eq!(Set(1 << 63).to_string(), "cap_63");
        assert_eq!(Change::to(Set(1 << 13)).to_string(), "-all,+net_raw");
        assert_eq!(Change::to(Set::EMPTY).to_string(), "-all");
    }
}
