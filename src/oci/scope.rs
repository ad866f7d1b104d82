//! A kept container whose control group is a scope of systemd's.

use nix::errno::Errno;

use super::state::{Own, Record};
use crate::cgroup::Setting;
use crate::error::Result;
use crate::systemd::{self, Manager};

impl Record {
    /// Has systemd forget its scope; nobody is in that any more.
    ///
    /// # Errors
    /// Where systemd does not.
    pub(super) fn leave_scope(&self) -> Result<()> {
        match self.manager() {
            None => Ok(()),
            // A manager that is gone has taken its units with it: that of a user who has logged out.
            Some(Err(error)) if is_gone(error.errno()) => Ok(()),
            Some(manager) => manager?.stop(&self.isobox.unit),
        }
    }

    /// Tells systemd of new limits of its scope, so that it does not put back the old ones.
    ///
    /// # Errors
    /// Where systemd refuses them.
    pub(super) fn change_scope(&self, settings: &[Setting]) -> Result<()> {
        let limits = systemd::of_settings(settings)?;
        match self.manager() {
            Some(manager) if !limits.is_empty() => manager?.change(&self.isobox.unit, &limits),
            _ => Ok(()),
        }
    }

    fn manager(&self) -> Option<Result<Manager>> {
        let Own { unit, manager, .. } = &self.isobox;
        (!unit.is_empty()).then(|| Manager::connect(manager))
    }
}

fn is_gone(why: Option<Errno>) -> bool {
    matches!(why, Some(Errno::ENOENT | Errno::ECONNREFUSED))
}
