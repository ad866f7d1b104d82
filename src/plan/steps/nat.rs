//! Address translation (nft(8), ip-sysctl.rst): our table of the packet filter, and what lets packets pass.

use std::cell::RefCell;
use std::ffi::OsString;

use crate::error::Result;
use crate::net::nat::{self, Entry};
use crate::plan::{Context, Explanation, Shell, Step};

/// Adds entries to our table, all in one moment; what is there already stays as it is.
#[derive(Debug, Default)]
pub struct AddNat {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Those that were not there: what is to be taken back.
    added: RefCell<Vec<Entry>>,
}

impl AddNat {
    /// A step that adds these.
    pub fn new(entries: Vec<Entry>) -> Self {
        Self {
            entries,
            added: RefCell::default(),
        }
    }
}

impl Step for AddNat {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let changed = nat::add(&self.entries)?;
        self.added.replace(changed.entries);
        changed.notes.into_iter().for_each(|note| cx.note(note));
        nat::obstacles(&self.entries)?
            .into_iter()
            .for_each(|obstacle| cx.note(obstacle));
        Ok(())
    }

    fn undo(&self, cx: &mut Context) {
        let added = self.added.take();
        match nat::remove(&|entry| added.contains(entry)) {
            Ok(changed) => changed.notes.into_iter().for_each(|note| cx.note(note)),
            Err(error) => cx.note(error.to_string()),
        }
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        let (why, without) = purpose(&self.entries);
        let forward = settings(&self.entries);
        Explanation::new(
            format!(
                "sendto(NETLINK_NETFILTER, table inet {}: {}), write({forward}, \"1\") where it is 0",
                nat::TABLE,
                told(&self.entries)
            ),
            why,
            without,
            "nft(8)",
        )
    }

    fn shell(&self) -> Shell {
        command("add", &self.entries)
    }
}

/// Removes entries from our table; with the last one the table goes, and forwarding is turned off where we had
/// turned it on.
#[derive(Debug)]
pub struct RemoveNat {
    /// What goes. Publications that lead into a subnet go with it.
    pub what: Removal,
}

/// What is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// These entries, and what belongs to the subnets among them.
    These(Vec<Entry>),
    /// Everything that is ours.
    All,
}

impl Removal {
    fn holds(&self, entry: &Entry) -> bool {
        match self {
            Self::All => true,
            Self::These(entries) => entries.iter().any(|one| match one {
                Entry::Masquerade(subnet) => entry.belongs_to(*subnet),
                Entry::Publish(_) => one == entry,
            }),
        }
    }
}

impl Step for RemoveNat {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let changed = nat::remove(&|entry| self.what.holds(entry))?;
        changed.notes.into_iter().for_each(|note| cx.note(note));
        if let Removal::These(entries) = &self.what {
            for entry in entries.iter().filter(|one| !changed.entries.contains(one)) {
                cx.note(format!("there was no {entry}"));
            }
        }
        Ok(())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        let what = match &self.what {
            Removal::All => "all of it".into(),
            Removal::These(entries) => told(entries),
        };
        Explanation::new(
            format!(
                "sendto(NETLINK_NETFILTER, remove from table inet {}: {what}), write(net.ipv4.ip_forward, \"0\") where we had turned it on",
                nat::TABLE
            ),
            "takes back what nat add did, and nothing that others did",
            "packets of the subnet would go on being translated",
            "nft(8)",
        )
    }

    fn shell(&self) -> Shell {
        match &self.what {
            Removal::All => Shell::Option {
                applet: "nat",
                words: ["del", "--all"].map(OsString::from).into(),
            },
            Removal::These(entries) => command("del", entries),
        }
    }
}

fn told(entries: &[Entry]) -> String {
    let all: Vec<String> = entries.iter().map(Entry::to_string).collect();
    all.join(", ")
}

fn settings(entries: &[Entry]) -> &'static str {
    let has = |ipv4| entries.iter().any(|one| one.address().is_ipv4() == ipv4);
    match (has(true), has(false)) {
        (true, true) => "net.ipv4.ip_forward and net.ipv6.conf.all.forwarding",
        (false, true) => "net.ipv6.conf.all.forwarding",
        _ => "net.ipv4.ip_forward",
    }
}

fn purpose(entries: &[Entry]) -> (&'static str, &'static str) {
    let publishes = |entry: &Entry| matches!(entry, Entry::Publish(_));
    if entries.iter().all(publishes) {
        (
            "a port of this machine leads to one behind it",
            "only this machine could reach the guest, and only by its own address",
        )
    } else {
        (
            "what leaves the subnet gets an address of this machine, so that answers find the way back",
            "packets would leave with an address that nobody out there can answer to",
        )
    }
}

fn command(verb: &str, entries: &[Entry]) -> Shell {
    let mut words = vec![OsString::from(verb)];
    for entry in entries {
        match entry {
            Entry::Masquerade(subnet) => words.push(subnet.to_string().into()),
            Entry::Publish(publication) => {
                words.extend(["--dnat".into(), publication.to_string().into()]);
            }
        }
    }
    Shell::Option {
        applet: "nat",
        words,
    }
}
