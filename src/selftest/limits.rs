//! Limits of control groups: a child that takes more is ended, or refused.
//!
//! A group outlives the processes in it. So it is made by a process in a session of its own ([`lasting`]), which takes it
//! away when the check is over, also where whoever started that was killed meanwhile.

use nix::errno::Errno;
use nix::sched::CloneFlags;

use super::{Notes, broken, must, out_of_chroot};
use crate::apart::{KILLED, apart, lasting};
use crate::cgroup::fresh::fresh_name;
use crate::cgroup::{Group, Hierarchies, Hierarchy, Setting, Version, tree};
use crate::error::{Error, Result};
use crate::holder::Holder;
use crate::plan::confine::{Confinement, Member};
use crate::plan::{Plan, Quiet};

/// A group that goes when it is dropped, with what was enabled for it above.
struct Fresh {
    confinement: Confinement,
    /// The groups above, and which controllers they handed down.
    above: Vec<(Group, String)>,
}

const ENABLED: &str = "cgroup.subtree_control";

impl Fresh {
    fn make(settings: Vec<Setting>) -> Result<Self> {
        out_of_chroot();
        let all = Hierarchies::discover()?;
        let confinement = Confinement::fresh(&all, &fresh_name(), settings)?;
        let v2 = confinement
            .groups()
            .filter(|group| group.hierarchy.version == Version::V2);
        let above = v2.map(|group| {
            let parent = group.parent();
            let enabled = parent.read(ENABLED).unwrap_or_default();
            (parent, enabled)
        });
        let above = above.collect();
        let mut plan = Plan::effects();
        confinement.prepare(&mut plan, true)?;
        plan.run(&Quiet)?;
        Ok(Self { confinement, above })
    }

    /// Moves this process into it, and looks whether it is there.
    fn join(&self) -> Result<()> {
        let mut plan = Plan::effects();
        self.confinement.join(&mut plan, Member::This);
        plan.run(&Quiet)?;
        for group in self.confinement.groups() {
            let own = Hierarchy::own(&group.hierarchy)?;
            must(
                own.path == group.path,
                "it joined the group and is not in it",
            )?;
        }
        Ok(())
    }

    fn get(&self, name: &str) -> String {
        let found = self
            .confinement
            .groups()
            .find_map(|group| group.get(name).ok());
        found.unwrap_or_default().trim().to_owned()
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let groups: Vec<Group> = self.confinement.groups().cloned().collect();
        // What cannot be taken away now `container gc` finds.
        let _ = tree::kill_groups(&groups);
        for group in &groups {
            let _ = group.remove();
        }
        for (above, before) in &self.above {
            let now = above.read(ENABLED).unwrap_or_default();
            for word in now.split_whitespace() {
                if before.split_whitespace().all(|one| one != word) {
                    let _ = above.write(ENABLED, &format!("-{word}"));
                }
            }
        }
    }
}

/// Does something in a group with this setting, and gives the two texts that it found.
pub(super) fn in_group(
    setting: &str,
    act: &mut dyn FnMut() -> Result<[String; 2]>,
) -> Result<[String; 2]> {
    let setting = Setting::parse(setting)?;
    let said = lasting(&mut || {
        let fresh = Fresh::make(vec![setting.clone()])?;
        apart(&mut || {
            fresh.join()?;
            Ok(act()?.join("\0").into_bytes())
        })
    })?;
    let said = String::from_utf8_lossy(&said).into_owned();
    let (one, other) = said.split_once('\0').unwrap_or_default();
    Ok([one.into(), other.into()])
}

pub(super) fn memory(notes: &Notes) -> Result<()> {
    const MIB: usize = 1 << 20;
    let settings = vec![
        Setting::new("memory.max", (32 * MIB).to_string()),
        Setting::new("memory.swap.max", "0").implied(),
    ];
    let found = lasting(&mut || {
        let fresh = Fresh::make(settings.clone())?;
        must(
            fresh.get("memory.max") == (32 * MIB).to_string(),
            "the limit is not what was written",
        )?;
        let taken = apart(&mut || {
            fresh.join()?;
            let mut taken = Vec::new();
            for byte in 0..128 {
                taken.push(vec![byte | 1; MIB]);
            }
            Ok(std::hint::black_box(&taken).len().to_string().into_bytes())
        });
        let kills = fresh
            .confinement
            .groups()
            .find_map(Group::oom_kills)
            .unwrap_or(0);
        match taken {
            Ok(_) => Err(broken(
                "a process has four times as much memory as its limit",
            )),
            Err(error) if error.exit_status() != KILLED => Err(error),
            Err(_) if kills == 0 => Err(broken(
                "who takes more memory than its limit is stopped, and not ended",
            )),
            Err(_) => Ok(kills.to_string().into_bytes()),
        }
    })?;
    notes.saw(
        "memory.max 32M: ended for taking 128M",
        &String::from_utf8_lossy(&found),
        &0,
    );
    Ok(())
}

pub(super) fn pids(notes: &Notes) -> Result<()> {
    const MOST: usize = 8;
    let [limit, made] = in_group("pids.max=8", &mut || {
        let mut others = Vec::new();
        while others.len() < 4 * MOST {
            match Holder::start(CloneFlags::empty()) {
                Ok(one) => others.push(one),
                Err(Errno::EAGAIN) => break,
                Err(errno) => return Err(Error::new("cannot fork").errno_is(errno)),
            }
        }
        // And this one.
        Ok([MOST.to_string(), (others.len() + 1).to_string()])
    })?;
    notes.saw("pids.max 8: processes that could be", &made, &"any number");
    must(made == limit, "other than 8 processes could be made")
}
