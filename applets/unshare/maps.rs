//! Which ids exist in the new user namespace, and who writes that down.

use std::ffi::OsStr;

use isobox::accounts::Accounts;
use isobox::credentials::{self, Typed};
use isobox::error::{Error, Result};
use isobox::idmap::{self, Block, Ids, Range, Single, with_single};
use isobox::plan::Plan;
use isobox::plan::steps::idmap::{RunIdMapper, SetgroupsControl, WriteMap};
use isobox::{probe, subid};
use nix::unistd::{getegid, geteuid};

use super::Args;
use crate::cli::raw::Raw;

/// A map that is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Map {
    /// None.
    Nothing,
    /// The caller's own id, which the process in the namespace may write itself.
    Own(Single),
    /// Lines that somebody outside has to write.
    Lines(Vec<Range>),
}

/// The id maps and the fate of setgroups(2).
#[derive(Debug)]
pub(super) struct Maps {
    users: Map,
    groups: Map,
    setgroups: Option<bool>,
}

impl Args {
    /// Whether a map of any kind is asked for.
    pub(super) fn wants_maps(&self) -> bool {
        let single = self.map_root_user.is_some() || self.map_current_user.is_some();
        let named = self.map_user.is_some() || self.map_group.is_some();
        let blocks = !self.map_users.is_empty() || !self.map_groups.is_empty();
        single || named || blocks || self.map_auto || self.map_subids
    }

    /// What is asked for, decided.
    pub(super) fn maps(&self) -> Result<Maps> {
        let passed_through = self.all && !self.wants_maps() && probe::is_admin();
        let rooted = self.all && !self.wants_maps() && !passed_through;
        let map = |ids: Ids| -> Result<Map> {
            let mut blocks = self.blocks(ids)?;
            if passed_through {
                blocks.extend(all(ids)?);
            }
            let single = if rooted { Some(0) } else { self.single(ids)? };
            let own = |inside| Single {
                inside,
                outside: caller(ids),
            };
            let single = single.map(own);
            Ok(match single {
                Some(own) if blocks.is_empty() && self.owner.is_none() => Map::Own(own),
                None if blocks.is_empty() => Map::Nothing,
                single => Map::Lines(with_single(&blocks, single)),
            })
        };
        let maps = Maps {
            users: map(Ids::User)?,
            groups: map(Ids::Group)?,
            setgroups: self.setgroups()?,
        };
        if maps.setgroups == Some(true) && matches!(maps.groups, Map::Own(_)) {
            return Err(Error::new(
                "options --setgroups=allow and --map-group are mutually exclusive",
            ));
        }
        Ok(maps)
    }

    /// The id that the caller's own gets inside: of the options that say so, the last.
    fn single(&self, ids: Ids) -> Result<Option<u32>> {
        let named = match ids {
            Ids::User => &self.map_user,
            Ids::Group => &self.map_group,
        };
        let named = match named {
            Some(at) => Some((at.place, named_id(ids, &at.value)?)),
            None => None,
        };
        let root = self.map_root_user.map(|at| (at.0, 0));
        let current = self.map_current_user.map(|at| (at.0, caller(ids)));
        let last = [named, root, current].into_iter().flatten().max();
        Ok(last.map(|(_, id)| id))
    }

    fn blocks(&self, ids: Ids) -> Result<Vec<Block>> {
        let asked = match ids {
            Ids::User => &self.map_users,
            Ids::Group => &self.map_groups,
        };
        let mut blocks = Vec::new();
        for word in asked {
            match word.0.to_str() {
                Some("auto") => blocks.push(from_zero(ids)?),
                Some("subids") => blocks.push(as_outside(ids)?),
                Some("all") => blocks.extend(all(ids)?),
                text => blocks.push(Block::Fixed(idmap::parse(text.unwrap_or("\u{fffd}"))?)),
            }
        }
        if self.map_auto {
            blocks.push(from_zero(ids)?);
        }
        if self.map_subids {
            blocks.push(as_outside(ids)?);
        }
        Ok(blocks)
    }

    fn setgroups(&self) -> Result<Option<bool>> {
        let Some(word) = &self.setgroups else {
            return Ok(None);
        };
        match word.0.to_str() {
            Some("allow") => Ok(Some(true)),
            Some("deny") => Ok(Some(false)),
            _ => Err(Error::new(format!(
                "unsupported --setgroups argument '{}'",
                word.0.display()
            ))),
        }
    }
}

impl Maps {
    /// The part that is done from outside, right after the namespace is made.
    pub(super) fn plan_outside(&self, plan: &mut Plan) {
        for (ids, map) in [(Ids::User, &self.users), (Ids::Group, &self.groups)] {
            let Map::Lines(ranges) = map else { continue };
            let ranges = ranges.clone();
            if probe::may_map(ids) {
                plan.outside(WriteMap { ids, ranges });
            } else {
                plan.outside(RunIdMapper { ids, ranges });
            }
        }
    }

    /// The part that the process inside does itself.
    pub(super) fn plan_inside(&self, plan: &mut Plan) {
        if let Map::Own(own) = self.users {
            let ranges = vec![own.into()];
            plan.then(WriteMap {
                ids: Ids::User,
                ranges,
            });
        }
        if let Map::Own(own) = self.groups {
            let ranges = vec![own.into()];
            // Since Linux 3.19 the kernel takes an unprivileged gid_map only then.
            plan.then(SetgroupsControl {
                allow: false,
                implied: true,
            });
            plan.then(WriteMap {
                ids: Ids::Group,
                ranges,
            });
        }
        if let Some(allow) = self.setgroups {
            plan.then(SetgroupsControl {
                allow,
                implied: false,
            });
        }
    }
}

/// The caller's own id.
fn caller(ids: Ids) -> u32 {
    match ids {
        Ids::User => geteuid().as_raw(),
        Ids::Group => getegid().as_raw(),
    }
}

fn named_id(ids: Ids, word: &Raw) -> Result<u32> {
    let name = word.0.as_os_str();
    let mut accounts = Accounts::here();
    let found = match (credentials::typed(name), ids) {
        (Typed::Id(id), _) => Some(id),
        (Typed::NoId, _) => None,
        (Typed::Name, Ids::User) => accounts.user(name)?.map(|user| user.uid),
        (Typed::Name, Ids::Group) => accounts.group(name)?,
    };
    found.ok_or_else(|| unparsed(&format!("{}id", ids.letter()), name))
}

/// util-linux's words for a value that is none.
pub(super) fn unparsed(what: &str, word: &OsStr) -> Error {
    Error::new(format!("failed to parse {what}: '{}'", word.display()))
}

fn from_zero(ids: Ids) -> Result<Block> {
    let (outside, count) = subid::first_block(ids)?;
    Ok(Block::FromZero { outside, count })
}

fn as_outside(ids: Ids) -> Result<Block> {
    let (first, count) = subid::first_block(ids)?;
    Ok(Block::Fixed(Range {
        inside: first,
        outside: first,
        count,
    }))
}

/// Every id that there is in the user namespace we are in, passed through.
fn all(ids: Ids) -> Result<Vec<Block>> {
    let lines = idmap::own(ids)?;
    let pass = |line: Range| {
        Block::Fixed(Range {
            outside: line.inside,
            ..line
        })
    };
    Ok(lines.into_iter().map(pass).collect())
}
