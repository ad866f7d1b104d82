//! Who the program is in the namespaces it joined: the ids of nsenter(1).

use nix::errno::Errno;
use nix::sys::stat::fstat;
use nix::unistd::{Gid, Uid, getgroups, setgid, setgroups, setuid};

use crate::error::{Doing, Error, Result};
use crate::plan::{Context, Explanation, Shell, Slot, Step};

/// Clears the supplementary groups by the privileges we have out here, before a user namespace is entered
/// that may deny it. A refusal is not final: [`JoinIds`] tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TryClearGroups;

impl Step for TryClearGroups {
    fn perform(&self, _: &mut Context) -> Result<()> {
        // Whether it is final is seen in there, by the groups that are left.
        let _ = setgroups(&[]);
        Ok(())
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "setgroups(0, NULL)",
            "our groups are no groups of the program; in there setgroups may be denied, so it is tried out here too",
            "the program would keep our groups, and what files allow or deny to them",
            "setgroups(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// An id to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Id {
    /// This one, as the namespace entered numbers it.
    Number(u32),
    /// That of the process whose `/proc` directory is in this slot.
    Of(Slot),
}

impl Id {
    fn shown(self) -> String {
        match self {
            Self::Number(id) => id.to_string(),
            Self::Of(_) => "TARGET'S".into(),
        }
    }

    fn word(self) -> String {
        match self {
            Self::Number(id) => id.to_string(),
            Self::Of(_) => "follow".into(),
        }
    }
}

/// Takes a group id, dropping all supplementary groups, then a user id (setgid(2), setuid(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinIds {
    /// The user id; `None` leaves it.
    pub uid: Option<Id>,
    /// The group id; `None` leaves it, and the supplementary groups.
    pub gid: Option<Id>,
    /// Whether a user namespace was entered, so that it is its owner who may be refused.
    pub in_user_namespace: bool,
}

impl Step for JoinIds {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        if let Some(gid) = self.gid {
            self.clear_groups()?;
            let gid = number(cx, gid, |(_, gid)| gid)?;
            setgid(Gid::from_raw(gid))
                .map_err(|errno| refused("setgid() failed", "gid", gid, errno))?;
        }
        if let Some(uid) = self.uid {
            let uid = number(cx, uid, |(uid, _)| uid)?;
            setuid(Uid::from_raw(uid))
                .map_err(|errno| refused("setuid() failed", "uid", uid, errno))?;
        }
        Ok(())
    }

    fn explain(&self) -> Explanation {
        let calls = [
            self.gid.map(|_| "setgroups(0, NULL)".to_owned()),
            self.gid.map(|id| format!("setgid({})", id.shown())),
            self.uid.map(|id| format!("setuid({})", id.shown())),
        ];
        let calls: Vec<String> = calls.into_iter().flatten().collect();
        Explanation::new(
            calls.join(", "),
            "groups while we may change them, then the group, the user last",
            if self.in_user_namespace {
                "our own ids may have no number in there, and then the program is nobody (65534)"
            } else {
                "the program would run with our ids"
            },
            "user_namespaces(7)",
        )
    }

    fn shell(&self) -> Shell {
        let words = [
            self.uid.map(|id| format!("--setuid={}", id.word()).into()),
            self.gid.map(|id| format!("--setgid={}", id.word()).into()),
        ];
        Shell::Option {
            applet: "nsenter",
            words: words.into_iter().flatten().collect(),
        }
    }
}

impl JoinIds {
    /// Drops the supplementary groups. That it was refused in here does not matter where it worked out there, or
    /// where there were none.
    fn clear_groups(&self) -> Result<()> {
        let Err(errno) = setgroups(&[]) else {
            return Ok(());
        };
        if self.in_user_namespace && getgroups().is_ok_and(|left| left.is_empty()) {
            return Ok(());
        }
        // Who enters a user namespace has every capability in it, so there it is the namespace that says no.
        // Nothing is looked up from here on: /proc may be that of a hostile target.
        let advice = match errno {
            Errno::EPERM if self.in_user_namespace => Some(
                "this user namespace denies setgroups: add --preserve-credentials to keep your ids and groups",
            ),
            Errno::EPERM => Some("this needs CAP_SETGID"),
            _ => None,
        };
        Err(Error::new("setgroups failed")
            .errno_is(errno)
            .hint_maybe(advice))
    }
}

/// The number of an id, as the user namespace we are in now shows it.
fn number(cx: &Context, id: Id, part: fn((u32, u32)) -> u32) -> Result<u32> {
    match id {
        Id::Number(id) => Ok(id),
        Id::Of(slot) => {
            let stat = fstat(cx.get(slot)?).doing("can not get process stat")?;
            Ok(part((stat.st_uid, stat.st_gid)))
        }
    }
}

/// `EINVAL` of setuid(2) and setgid(2) has but one meaning.
fn refused(doing: &'static str, kind: &str, id: u32, errno: Errno) -> Error {
    let advice = (errno == Errno::EINVAL).then(|| {
        format!("{kind} {id} has no number in this user namespace: choose one of its {kind}_map, or --preserve-credentials")
    });
    Error::new(doing).errno_is(errno).hint_maybe(advice)
}
