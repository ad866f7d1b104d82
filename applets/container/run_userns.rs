//! `--userns`: which ids exist in a container. Root's has a range of the host's ids of its own where there is one to be
//! had and nothing that it was given is for the ids of the machine.

use std::rc::Rc;

use isobox::capability::{Capability, Set};
use isobox::credentials::Identity;
use isobox::error::{Error, Result};
use isobox::idmap::{self, Block, Range, Single, with_single};
use isobox::mount::IdMap;
use isobox::oci::Root;
use isobox::oci::ranges::{COUNT, Given, Ranges, Taken};
use isobox::rlimit::Limit;
use isobox::subid;
use isobox::throw_away::mapped;
use nix::sys::resource::getrlimit;
use nix::unistd::{getegid, geteuid};

use super::super::kept::Shelf;
use super::super::more::Share;
use super::super::network::Network;
use super::super::values::{CgroupView, Ids, Said, capabilities, single_maps};
use super::Run;
use super::check::first_given;
use crate::cli::say;

/// Ids of its own, and what holds them as long as it lives.
pub(super) type Own = (Option<[Vec<Range>; 2]>, Option<Taken>);

/// Capabilities that count in the first user namespace alone: whoever gives one to a
/// container means the machine.
const OF_MACHINE: [&str; 16] = [
    "audit_control",
    "audit_read",
    "audit_write",
    "block_suspend",
    "bpf",
    "ipc_lock",
    "linux_immutable",
    "mknod",
    "perfmon",
    "sys_module",
    "sys_nice",
    "sys_rawio",
    "sys_resource",
    "sys_time",
    "syslog",
    "wake_alarm",
];

impl Run {
    /// The ids of a user namespace of its own, for the container that is `kept` by this id, or for one that is not kept.
    pub(super) fn own_ids(
        &self,
        who: &Identity,
        root: &mut Root,
        kept: Option<&str>,
    ) -> Result<Own> {
        match (&self.userns, geteuid().is_root()) {
            (Some(Ids::Host), true) => Ok((None, None)),
            // The root of a user namespace that an ordinary user has made may choose no groups either.
            (None, true) if idmap::count(&idmap::here(idmap::Ids::Group)) == 1 => {
                Ok((Some(single_maps(who)), None))
            }
            (None | Some(Ids::Auto), true) => {
                let taken = self.range(who, root, kept)?;
                root.mapped = taken.is_some();
                Ok((taken.as_ref().map(Taken::maps), taken))
            }
            (Some(_), true) => Err(
                Error::new("--userns single and subids are for ordinary users")
                    .hint("--userns auto gives root's container ids of its own"),
            ),
            (Some(Ids::Host), false) => Err(Error::new("--userns host is for root")
                .because("an ordinary user may only make a container with ids of its own")),
            (Some(Ids::Auto), false) => Err(Error::new("--userns auto is for root")
                .because("an ordinary user has no ids but his own to give")
                .hint("--userns subids gives it all of them")),
            (None | Some(Ids::Single), false) => Ok((Some(single_maps(who)), None)),
            (Some(Ids::Subids), false) => Ok((Some(subordinate()?), None)),
        }
    }

    /// A range of ids for root's container. That it has none is an error only where it was asked for.
    fn range(&self, who: &Identity, root: &Root, kept: Option<&str>) -> Result<Option<Taken>> {
        let asked = self.userns.is_some();
        let never = self.without_own_ids(who);
        if let (Some(what), true) = (never, asked) {
            return Err(Error::new(format!("--userns auto cannot be with {what}")));
        }
        // What is printed is run later, or elsewhere, and nothing is held for it.
        let printed = self.spec || self.script;
        if !asked && (never.is_some() || printed) {
            return Ok(None);
        }
        let given = Given::read()?;
        if !asked && (given.is_nothing() || self.is_for_machine()) {
            return Ok(None);
        }
        match self.take(&given, root, kept, asked) {
            Err(error) if !asked => {
                say(&format!(
                    "note: the container has the ids of the machine: {error}\n"
                ));
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    fn take(&self, given: &Given, root: &Root, kept: Option<&str>, asked: bool) -> Result<Taken> {
        let homes = Shelf::ours().homes;
        let ranges = Ranges::new(&homes);
        let mut taken = match self.told_only() {
            true => ranges.look(given),
            false => ranges.take(given, kept),
        }?;
        // Where it was asked for, the making itself tells. What is only told may not be there.
        if !asked && root.path.exists() {
            let [users, groups] = taken.maps();
            let ids = IdMap { users, groups };
            let namespace = mapped::try_it(&root.path, !root.layers.is_empty(), &ids)?;
            taken.namespace = Some(Rc::new(namespace));
        }
        Ok(taken)
    }

    /// The first of what it was given that cannot be together with ids of its own, and why.
    fn without_own_ids(&self, who: &Identity) -> Option<&'static str> {
        let hosts = self.rootfs.as_ref().is_some_and(|root| root.0 == "host");
        let network = self.network.as_ref().map(Said::get);
        let joined = matches!(network, Some(Network::Container(_) | Network::Path(_)));
        let of_other = |share: &Share| matches!(share, Share::Container(_));
        let mut ids = who.groups.iter().chain([&who.uid, &who.gid]);
        let high = ids.any(|id| *id >= COUNT);
        first_given(&[
            hosts.then_some("--rootfs host: its files belong to ids of the machine"),
            joined.then_some("--network: that namespace belongs to other ids"),
            self.shares(of_other)
                .then_some("container:ID: those namespaces belong to other ids"),
            high.then_some("--user: the largest of its ids is 65535"),
        ])
    }

    /// Whether it was given anything that is for the ids of the machine, and less worth with others.
    fn is_for_machine(&self) -> bool {
        let network = self.network.as_ref().map(Said::get);
        let of_machine: Set = OF_MACHINE
            .into_iter()
            .filter_map(Capability::named)
            .collect();
        let added = capabilities(&self.cap_add, &[]).map_or(0, |caps| caps.bounding.set.0);
        matches!(network, Some(Network::Host))
            || self.shares(|share| *share == Share::Host)
            || matches!(self.cgroupns, Some(CgroupView::Host))
            || !self.device.is_empty()
            || added & of_machine.0 != 0
            || self.ulimit.iter().any(|limit| is_above_ours(limit))
    }

    /// Whether any of the namespaces that it may share is such.
    fn shares(&self, wanted: fn(&Share) -> bool) -> bool {
        let all = [&self.pid, &self.ipc, &self.uts];
        all.into_iter().flatten().any(|said| wanted(said.get()))
    }
}

/// Whether only the root of the machine may set this limit.
fn is_above_ours(limit: &str) -> bool {
    let Ok(limit) = Limit::parse(limit) else {
        return false;
    };
    getrlimit(limit.resource).is_ok_and(|(_, hard)| limit.hard > hard)
}

/// An ordinary user's own ids for root, and those that `/etc/subuid` and `/etc/subgid` give him for all others.
fn subordinate() -> Result<[Vec<Range>; 2]> {
    let map = |ids, own| -> Result<Vec<Range>> {
        let (outside, count) = subid::first_block(ids)?;
        let single = Single {
            inside: 0,
            outside: own,
        };
        Ok(with_single(
            &[Block::FromZero { outside, count }],
            Some(single),
        ))
    };
    Ok([
        map(idmap::Ids::User, geteuid().as_raw())?,
        map(idmap::Ids::Group, getegid().as_raw())?,
    ])
}
