//! What a process may do: capability sets, securebits, no_new_privs (capabilities(7)).

use std::ffi::OsString;

use nix::errno::Errno;

use crate::capability::{self, Capability, Change, Set};
use crate::error::{Doing, Error, Result};
use crate::plan::{Context, Explanation, Shell, Step};
use crate::securebits;
use crate::sys::{caps, task};

/// Sets no_new_privs: from here on no exec gives more than the process has (prctl(2)). Needs no privilege
/// and cannot be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoNewPrivs;

impl Step for NoNewPrivs {
    fn perform(&self, _: &mut Context) -> Result<()> {
        task::prctl(libc::PR_SET_NO_NEW_PRIVS, [1, 0, 0, 0])
            .map(drop)
            .doing("disallow granting new privileges failed")
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "prctl(PR_SET_NO_NEW_PRIVS, 1)",
            "set-user-id files and file capabilities give nothing from here on",
            "a set-user-id program inside would run as its owner",
            "prctl(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::option("setpriv", "--no-new-privs")
    }
}

/// Keeps the permitted capabilities over a change of user ids away from 0 (`PR_SET_KEEPCAPS`, cleared by
/// exec), and makes those effective that changing ids, groups and the bounding set takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepCapabilities;

impl Step for KeepCapabilities {
    fn perform(&self, _: &mut Context) -> Result<()> {
        task::prctl(libc::PR_SET_KEEPCAPS, [1, 0, 0, 0])
            .doing("keep process capabilities failed")?;
        let wanted = [Capability::SETPCAP, Capability::SETUID, Capability::SETGID];
        capability::raise_effective(wanted.into_iter().collect()).doing("activate capabilities")
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "prctl(PR_SET_KEEPCAPS, 1), capset(effective |= setuid,setgid,setpcap)",
            "leaving user 0 clears the permitted set unless this is asked for",
            "what comes after the change of ids (groups, bounding set, ambient set) would be refused",
            "capabilities(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Changes capability sets; `None` leaves a set alone. In this order, each needing what the one before it
/// still allows: bounding, then permitted with effective and inheritable in one capset(2), then ambient.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// What an exec can give at most, also to user 0. Dropping needs `CAP_SETPCAP`.
    pub bounding: Option<Change>,
    /// What this process has, permitted and effective at once. Nothing can be added.
    pub permitted: Option<Change>,
    /// What files with inheritable capabilities may give; part of what the ambient set needs.
    pub inheritable: Option<Change>,
    /// What a program that is not user 0's has after its exec. Must be permitted and inheritable.
    pub ambient: Option<Change>,
    /// What is not permitted here is left out of the last two, and said.
    pub as_far_as_permitted: bool,
}

impl Capabilities {
    /// The sets of an OCI process, exactly these.
    pub fn exactly(bounding: Set, permitted: Set, inheritable: Set, ambient: Set) -> Self {
        Self {
            bounding: Some(Change::to(bounding)),
            permitted: Some(Change::to(permitted)),
            inheritable: Some(Change::to(inheritable)),
            ambient: Some(Change::to(ambient)),
            as_far_as_permitted: false,
        }
    }

    /// The same without what is not permitted, which is noted.
    fn permitted_only(mut self, cx: &mut Context) -> Result<Self> {
        let had = caps::get().doing("get process capabilities failed")?;
        let asked = |change: Option<Change>| change.map_or(0, |change| change.of(Set::EMPTY).0);
        let lacking = (asked(self.permitted) | asked(self.inheritable) | asked(self.ambient))
            & !had.permitted
            & !had.inheritable;
        if lacking != 0 {
            cx.note(format!(
                "capabilities that cannot be granted here are left out: {}",
                Set(lacking)
            ));
            let without = |change: Change| Change::to(Set(change.of(Set::EMPTY).0 & !lacking));
            self.inheritable = self.inheritable.map(without);
            self.ambient = self.ambient.map(without);
        }
        Ok(self)
    }

    /// The words of setpriv(1) that say it. `--caps` empties the inheritable and the ambient set by itself.
    fn words(&self) -> Vec<OsString> {
        let mut words = Vec::new();
        let mut bounding = self.bounding;
        let (mut inheritable, mut ambient) = (self.inheritable, self.ambient);
        if let Some(permitted) = self.permitted {
            words.push(format!("--caps={}", permitted.list()).into());
            let implied = |change: &Change| *change != Change::to(Set::EMPTY);
            bounding = bounding.filter(|change| *change != permitted);
            inheritable = inheritable.filter(implied);
            ambient = ambient.filter(implied);
        }
        let rest = [
            ("--bounding-set", bounding),
            ("--inh-caps", inheritable),
            ("--ambient-caps", ambient),
        ];
        words.extend(
            rest.into_iter()
                .filter_map(|(word, change)| Some(format!("{word}={}", change?).into())),
        );
        words
    }

    fn capset(&self) -> Result<()> {
        if self.permitted.is_none() && self.inheritable.is_none() {
            return Ok(());
        }
        let mut sets = caps::get().doing("get process capabilities failed")?;
        let before = sets;
        if let Some(change) = self.permitted {
            // What is not permitted cannot be had: a list of what a program may have names more than it has.
            sets.permitted &= change.of(Set(sets.permitted)).0;
            sets.effective = sets.permitted;
        }
        if let Some(change) = self.inheritable {
            sets.inheritable = change.of(Set(sets.inheritable)).0 & Set::all().0;
        }
        caps::set(sets).map_err(|errno| {
            let lacking = sets.inheritable & !(before.inheritable | before.permitted);
            let hint = (errno == Errno::EPERM && lacking != 0).then(|| {
                let (lacking, has) = (Set(lacking), Set(before.permitted));
                let told = match lacking.iter().count() {
                    0..=8 => format!("not permitted here: {lacking}"),
                    _ => format!("permitted here: {has}"),
                };
                format!("only what is permitted can be made inheritable; {told}")
            });
            Error::new("apply capabilities")
                .errno_is(errno)
                .hint_maybe(hint)
        })
    }
}

impl Step for Capabilities {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        if self.as_far_as_permitted {
            let some = self.permitted_only(cx)?;
            return Self {
                as_far_as_permitted: false,
                ..some
            }
            .perform(cx);
        }
        if let Some(change) = self.bounding {
            capability::drop_from_bounding(change).map_err(|errno| {
                let hint = (errno == Errno::EPERM).then_some("this needs CAP_SETPCAP");
                Error::new("apply bounding set")
                    .errno_is(errno)
                    .hint_maybe(hint)
            })?;
        }
        self.capset()?;
        if let Some(change) = self.ambient {
            capability::change_ambient(change)
                .map_err(|(cap, errno)| ambient_refused(cap, errno))?;
        }
        Ok(())
    }

    fn explain(&self) -> Explanation {
        let mut calls = Vec::new();
        if let Some(change) = self.bounding {
            calls.push(format!("prctl(PR_CAPBSET_DROP): {change}"));
        }
        if let Some(change) = self.permitted {
            calls.push(format!("capset(permitted, effective): {change}"));
        }
        if let Some(change) = self.inheritable {
            calls.push(format!("capset(inheritable): {change}"));
        }
        if let Some(change) = self.ambient {
            calls.push(format!("prctl(PR_CAP_AMBIENT): {change}"));
        }
        Explanation::new(
            calls.join("; "),
            "of root's powers only those named here are left: the bounding set binds also what comes by exec",
            "user 0 in here could load modules, change the clock, reboot",
            "capabilities(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Option {
            applet: "setpriv",
            words: self.words(),
        }
    }
}

/// The error of raising or lowering in the ambient set, with what is missing looked up.
fn ambient_refused(cap: Capability, errno: Errno) -> Error {
    let error = Error::new("set ambient capability")
        .on(cap.to_string())
        .errno_is(errno);
    let Ok(sets) = caps::get() else {
        return error;
    };
    error.hint_maybe(if errno != Errno::EPERM {
        None
    } else if !Set(sets.permitted).has(cap) {
        Some(format!("it is not permitted: {}", Set(sets.permitted)))
    } else if !Set(sets.inheritable).has(cap) {
        Some(format!("it is not inheritable: add --inh-caps=+{cap}"))
    } else {
        Some("the securebit no_cap_ambient_raise is set".into())
    })
}

/// Makes every permitted capability inheritable and ambient, so that the program has them whoever it runs
/// as (`--keep-caps` of unshare(1) and nsenter(1)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepCapsAmbient;

impl Step for KeepCapsAmbient {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let mut sets = caps::get().doing("get process capabilities failed")?;
        sets.effective = sets.permitted;
        sets.inheritable = sets.permitted;
        caps::set(sets).doing("apply capabilities")?;
        let change = Change::to(Set(sets.permitted));
        capability::change_ambient(change).map_err(|(cap, errno)| ambient_refused(cap, errno))
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "capset(inheritable = permitted), prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE) for each",
            "a program that is not user 0's keeps over its exec what is ambient, and nothing else",
            "the capabilities that the new user namespace gave would be gone after the exec",
            "capabilities(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::option("unshare", "--keep-caps")
    }
}

/// Sets the securebits: how the kernel treats user 0 (capabilities(7), "The securebits flags").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Securebits {
    /// `SECBIT_*` bits.
    pub bits: u32,
}

impl Step for Securebits {
    fn perform(&self, _: &mut Context) -> Result<()> {
        task::prctl(libc::PR_SET_SECUREBITS, [self.bits.into(), 0, 0, 0])
            .map(drop)
            .doing("set process securebits failed")
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("prctl(PR_SET_SECUREBITS, {:#x})", self.bits),
            "changes what user 0 means: without noroot it has every capability that is not bounded",
            "user 0 would be treated as it always was",
            "capabilities(7)",
        )
    }

    fn shell(&self) -> Shell {
        let words = securebits::words(self.bits);
        Shell::option("setpriv", format!("--securebits={words}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_said_in_the_words_of_setpriv() {
        let (kill, chown) = (Set(1 << 5), Set(1));
        let none = Set::EMPTY;
        let only_ambient = Capabilities {
            ambient: Some(Change::parse("+kill").unwrap()),
            ..Capabilities::default()
        };
        let cases: [(Capabilities, &[&str]); 4] = [
            (
                Capabilities::exactly(kill, kill, none, none),
                &["--caps=kill"],
            ),
            (
                Capabilities::exactly(none, none, none, none),
                &["--caps=none"],
            ),
            (
                Capabilities::exactly(kill, chown, chown, chown),
                &[
                    "--caps=chown",
                    "--bounding-set=-all,+kill",
                    "--inh-caps=-all,+chown",
                    "--ambient-caps=-all,+chown",
                ],
            ),
            (only_ambient, &["--ambient-caps=+kill"]),
        ];
        for (step, want) in cases {
            assert_eq!(step.words(), want, "{step:?}");
        }
    }
}
