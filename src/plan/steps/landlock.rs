//! Landlock: giving up accesses (landlock(7)).

use std::os::fd::AsFd;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::error::{Doing, Result};
use crate::landlock::{Domain, Object};
use crate::plan::{Context, Explanation, Shell, Slot, Step};
use crate::sys::landlock::{allow_beneath, allow_port, create_ruleset, restrict_self};

/// Makes the ruleset, with the paths of its rules opened by whoever this process is now: it comes before ids
/// change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeRuleset {
    /// What is given up, and what is kept.
    pub domain: Domain,
    /// Where the ruleset is left for [`RestrictSelf`].
    pub slot: Slot,
}

impl Step for MakeRuleset {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let ruleset =
            create_ruleset(self.domain.handled).doing("landlock_create_ruleset failed")?;
        for rule in &self.domain.rules {
            let rights = self.domain.rights_of(rule);
            match &rule.on {
                Object::Beneath(path) => {
                    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
                    let parent = open(path, flags, Mode::empty())
                        .doing_to("could not open file for Landlock:", path)?;
                    allow_beneath(ruleset.as_fd(), parent.as_fd(), rights)
                        .doing_to("adding Landlock rule failed", rule.word())?;
                }
                Object::Port(port) => allow_port(ruleset.as_fd(), *port, rights)
                    .doing_to("adding Landlock rule failed", rule.word())?,
            }
        }
        cx.put(self.slot, ruleset);
        Ok(())
    }

    fn explain(&self) -> Explanation {
        let rules: Vec<String> = self
            .domain
            .rules
            .iter()
            .map(|rule| format!(", landlock_add_rule({})", rule.word().display()))
            .collect();
        Explanation::new(
            format!(
                "landlock_create_ruleset({}){}",
                self.domain.accesses().join(" "),
                rules.concat()
            ),
            "writes down which accesses are given up, and where they stay allowed",
            "there would be nothing to impose",
            "landlock(7)",
        )
    }

    fn shell(&self) -> Shell {
        let accesses = self.domain.accesses().into_iter();
        let accesses = accesses.map(|access| format!("--landlock-access={access}").into());
        let rules = self.domain.rules.iter().map(|rule| {
            let mut word = std::ffi::OsString::from("--landlock-rule=");
            word.push(rule.word());
            word
        });
        Shell::Option {
            applet: "setpriv",
            words: accesses.chain(rules).collect(),
        }
    }
}

/// Imposes the ruleset on this process and all it starts. Needs no_new_privs, or `CAP_SYS_ADMIN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestrictSelf {
    /// Where [`MakeRuleset`] left the ruleset.
    pub slot: Slot,
}

impl Step for RestrictSelf {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        restrict_self(cx.get(self.slot)?).doing("landlock_restrict_self failed")
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "landlock_restrict_self(RULESET, 0)",
            "from here on the accesses given up are refused, to this process and all it starts, for good",
            "the ruleset would be only a descriptor",
            "landlock(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}
