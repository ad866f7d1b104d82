//! The limits of a container are changed while it runs.

use nix::errno::Errno;

use super::{Answer, Container, Refusal};
use crate::cgroup::value::Limit;
use crate::cgroup::{Group, Version};
use crate::error::{Error, Result};
use crate::oci::resources;
use crate::oci::spec::Resources;
use crate::oci::status::Status;

impl Container {
    /// Changes its limits; what is not said stays as it is.
    ///
    /// # Errors
    /// Where it has ended, for what cannot be set, and the kernel's answer.
    pub fn update(&self, mut resources: Resources) -> Answer<()> {
        if self.status()? == Status::Stopped {
            return Err(Refusal::In(Status::Stopped));
        }
        let groups = self.groups();
        let holder = |controller: &str| {
            groups.iter().find(|group| match controller {
                "cgroup" => group.hierarchy.version == Version::V2,
                name => group.hierarchy.holds(name),
            })
        };
        // Memory and swap are limited together: swap alone is meant beside the memory that there is.
        let memory = &mut resources.memory;
        for limit in [&mut memory.limit, &mut memory.swap] {
            *limit = limit.filter(|limit| *limit != 0);
        }
        if let (Some(_), None, Some(group)) = (memory.swap, memory.limit, holder("memory")) {
            let now = group.get("memory.max")?;
            memory.limit = Some(now.trim().parse().unwrap_or(-1));
        }
        let both = resources
            .memory
            .limit
            .and_then(|limit| u64::try_from(limit).ok());
        if let (Some(true), Some(group)) = (resources.memory.check_before_update, holder("memory"))
        {
            let used = group.get("memory.current")?.trim().parse().unwrap_or(0);
            if let Some(limit) = both.filter(|limit| *limit <= used) {
                return Err(
                    Error::new(format!("rejecting memory limit {limit} <= usage {used}")).into(),
                );
            }
        }
        let settings = resources::settings(&resources)?;
        self.record.change_scope(&settings)?;
        for setting in settings {
            let absent = || Error::new("the container has no control group for").on(&setting.name);
            let group = holder(setting.controller()).ok_or_else(absent)?;
            set(group, &setting, both.map(Limit::At))?;
        }
        Ok(())
    }
}

/// Sets one; a file that this kernel does not have, and nobody asked for by name, is none.
fn set(group: &Group, setting: &crate::cgroup::Setting, memory: Option<Limit>) -> Result<()> {
    let done = group.set(setting, memory).map(drop);
    match done {
        Err(error) if setting.implied && error.errno() == Some(Errno::ENOENT) => Ok(()),
        other => other,
    }
}
