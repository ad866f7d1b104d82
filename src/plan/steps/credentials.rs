//! Who a process is: user ids, group ids, supplementary groups (credentials(7)).
//!
//! The order that works: groups and group ids while the process may change them, then user ids, then
//! capabilities. After [`super::capabilities::KeepCapabilities`] user ids may come first, as setpriv(1) does it.

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, getresgid, getresuid, setgroups, setresgid, setresuid};

use crate::capability::{Capability, Set};
use crate::credentials;
use crate::error::{Doing, Error, Result};
use crate::plan::{Context, Explanation, Shell, Step};
use crate::sys::caps;

/// Sets the supplementary groups to exactly these (setgroups(2)). Needs `CAP_SETGID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetGroups {
    /// Group ids; none clears them.
    pub groups: Vec<u32>,
    /// Where the user namespace denies it they stay as they are, if none is asked for.
    pub where_allowed: bool,
}

impl SetGroups {
    fn list(&self) -> String {
        let ids: Vec<String> = self.groups.iter().map(u32::to_string).collect();
        ids.join(",")
    }
}

impl Step for SetGroups {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let groups: Vec<Gid> = self.groups.iter().copied().map(Gid::from_raw).collect();
        match setgroups(&groups) {
            Err(Errno::EPERM)
                if self.where_allowed && groups.is_empty() && credentials::groups_are_fixed() =>
            {
                Ok(())
            }
            other => other.map_err(|errno| {
                Error::new("setgroups failed")
                    .errno_is(errno)
                    .hint_maybe(credentials::setgroups_refused(&self.groups, errno))
            }),
        }
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("setgroups({}, [{}])", self.groups.len(), self.list()),
            "the groups of whoever started this are no groups of the program",
            "the program would keep the caller's groups, and what files allow or deny to them",
            "setgroups(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::option(
            "setpriv",
            if self.groups.is_empty() {
                "--clear-groups".into()
            } else {
                format!("--groups={}", self.list())
            },
        )
    }
}

/// Sets group ids (setresgid(2)); the saved id becomes the effective one. Needs `CAP_SETGID` for an id that is
/// not the process's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetGid {
    /// The real id; `None` leaves it.
    pub real: Option<u32>,
    /// The effective id; `None` leaves it.
    pub effective: Option<u32>,
}

impl SetGid {
    /// All three to this one.
    pub fn all(gid: u32) -> Self {
        Self {
            real: Some(gid),
            effective: Some(gid),
        }
    }
}

impl Step for SetGid {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let now = getresgid().doing("getresgid failed")?;
        let real = self.real.map_or(now.real, Gid::from_raw);
        let effective = self.effective.map_or(now.effective, Gid::from_raw);
        let set = some_id([self.real, self.effective])
            .and_then(|()| setresgid(real, effective, effective));
        set.map_err(|errno| {
            Error::new("setresgid failed")
                .errno_is(errno)
                .hint_maybe(refused("gid", [real.as_raw(), effective.as_raw()], errno))
        })
    }

    fn explain(&self) -> Explanation {
        let (real, effective) = (shown(self.real), shown(self.effective));
        Explanation::new(
            format!("setresgid({real}, {effective}, {effective})"),
            "becomes this group, the saved id too, so that there is no way back",
            "the program would run as the caller's group",
            "setresgid(2)",
        )
    }

    fn shell(&self) -> Shell {
        ids("gid", self.real, self.effective)
    }
}

/// An id that is taken in a user namespace that was just made, and how unshare is told of it: whoever is nobody there
/// loses all capabilities when it executes setpriv.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtBirth<S>(pub S, pub &'static str);

impl<S: Step> Step for AtBirth<S> {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        self.0.perform(cx)
    }

    fn explain(&self) -> Explanation {
        self.0.explain()
    }

    fn shell(&self) -> Shell {
        Shell::option("unshare", self.1.to_owned())
    }
}

/// For the kernel -1 means to leave an id as it is, which nobody asks for who names it.
fn some_id(ids: [Option<u32>; 2]) -> nix::Result<()> {
    match ids.contains(&Some(u32::MAX)) {
        true => Err(Errno::EINVAL),
        false => Ok(()),
    }
}

/// Sets user ids (setresuid(2)); the saved id becomes the effective one. Needs `CAP_SETUID` for an id that is
/// not the process's own.
///
/// Leaving user 0 clears the effective and the ambient set, and the permitted set too unless
/// [`super::capabilities::KeepCapabilities`] went before; with it the effective set is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetUid {
    /// The real id; `None` leaves it.
    pub real: Option<u32>,
    /// The effective id; `None` leaves it.
    pub effective: Option<u32>,
}

impl SetUid {
    /// All three to this one.
    pub fn all(uid: u32) -> Self {
        Self {
            real: Some(uid),
            effective: Some(uid),
        }
    }
}

impl Step for SetUid {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let now = getresuid().doing("getresuid failed")?;
        let real = self.real.map_or(now.real, Uid::from_raw);
        let effective = self.effective.map_or(now.effective, Uid::from_raw);
        let before = caps::get().doing("get process capabilities failed")?;
        let set = some_id([self.real, self.effective])
            .and_then(|()| setresuid(real, effective, effective));
        set.map_err(|errno| {
            Error::new("setresuid failed")
                .errno_is(errno)
                .hint_maybe(refused("uid", [real.as_raw(), effective.as_raw()], errno))
        })?;
        let mut after = caps::get().doing("get process capabilities failed")?;
        let kept = before.effective & after.permitted;
        if after.effective & kept != kept {
            after.effective |= kept;
            caps::set(after).doing("reactivate capabilities")?;
        }
        Ok(())
    }

    fn explain(&self) -> Explanation {
        let (real, effective) = (shown(self.real), shown(self.effective));
        Explanation::new(
            format!("setresuid({real}, {effective}, {effective})"),
            "becomes this user, the saved id too, so that there is no way back",
            "the program would run as the caller",
            "setresuid(2)",
        )
    }

    fn shell(&self) -> Shell {
        ids("uid", self.real, self.effective)
    }
}

/// An id for people: what is left alone is -1 to the kernel.
fn shown(id: Option<u32>) -> String {
    id.map_or_else(|| "-1".into(), |id| id.to_string())
}

/// `--reuid=N` where both are the same, else `--ruid=N --euid=M`.
fn ids(kind: &str, real: Option<u32>, effective: Option<u32>) -> Shell {
    let words = if real.is_some() && real == effective {
        vec![format!("--re{kind}={}", shown(real)).into()]
    } else {
        [("r", real), ("e", effective)]
            .into_iter()
            .filter_map(|(which, id)| Some(format!("--{which}{kind}={}", id?).into()))
            .collect()
    };
    Shell::Option {
        applet: "setpriv",
        words,
    }
}

/// Why ids could not be set: a capability that is missing, or an id that this user namespace does not have.
fn refused(kind: &str, wanted: [u32; 2], errno: Errno) -> Option<String> {
    let (needed, name) = match kind {
        "uid" => (Capability::SETUID, "CAP_SETUID"),
        _ => (Capability::SETGID, "CAP_SETGID"),
    };
    match errno {
        Errno::EPERM if caps::get().is_ok_and(|sets| !Set(sets.effective).has(needed)) => {
            Some(format!("this needs {name}"))
        }
        Errno::EINVAL => {
            let missing = |id: &u32| !credentials::is_mapped(kind, *id);
            let id = wanted.into_iter().find(missing)?;
            Some(format!(
                "{kind} {id} is not mapped in this user namespace: see /proc/self/{kind}_map"
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_said_in_the_words_of_setpriv() {
        let groups = |groups: &[u32]| SetGroups {
            groups: groups.into(),
            where_allowed: false,
        };
        let cases: [(Shell, &[&str]); 6] = [
            (SetUid::all(1000).shell(), &["--reuid=1000"]),
            (
                SetUid {
                    real: Some(1),
                    effective: Some(2),
                }
                .shell(),
                &["--ruid=1", "--euid=2"],
            ),
            (
                SetGid {
                    real: None,
                    effective: Some(2),
                }
                .shell(),
                &["--egid=2"],
            ),
            (SetGid::all(0).shell(), &["--regid=0"]),
            (groups(&[]).shell(), &["--clear-groups"]),
            (groups(&[5, 6]).shell(), &["--groups=5,6"]),
        ];
        for (shell, want) in cases {
            let Shell::Option { words, .. } = &shell else {
                panic!("{shell:?}")
            };
            assert_eq!(words, want);
        }
    }
}
