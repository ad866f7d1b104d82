//! A link's passage into another network namespace, with what the kernel takes from it on the way: its addresses and its
//! being up (network_namespaces(7); config-linux.md, "Network Devices"). Hardware address, MTU and the rest stay.

use std::os::fd::BorrowedFd;

use super::address::{self, Cidr};
use super::link::{self, Draft};
use super::{Connection, Refusal};
use crate::error::{Doing, Error, Result};

/// `IFA_F_PERMANENT`: what a person gave, and not what a router lent.
const PERMANENT: u32 = 0x80;

/// What a name ends in where the kernel is to find a number for it.
pub const TEMPLATE: &str = "%d";

/// A link that has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// Its name where it is now.
    pub name: String,
    /// Whether it was up where it came from.
    pub was_up: bool,
    index: u32,
    addresses: Vec<Cidr>,
}

/// Sends the link `name` to the namespace `to`, where it is called `called`; a [`TEMPLATE`] makes it a name that is free.
/// It is down there and has no address: [`Passed::settle`] follows.
///
/// # Errors
/// Where there is no such link, or one of the new name already: then nothing has changed. Else the kernel's answer:
/// `EINVAL` for one that may not leave its namespace.
pub fn send(
    from: &mut Connection,
    there: &mut Connection,
    (name, called): (&str, &str),
    to: BorrowedFd<'_>,
) -> Result<Passed> {
    let found = link::named(from, name).doing_to("cannot find the link", name)?;
    let doing = || format!("cannot move the link {name}");
    let before = link::all(there).doing("cannot list links")?;
    // The kernel would move it first and then fail to rename it.
    if before.iter().any(|link| link.name() == called) {
        return Err(Error::new(doing()).because(format!("there is one called {called} already")));
    }
    let mut addresses = Vec::new();
    for address in address::all(from, 0).doing("cannot list addresses")? {
        let lasting = address.flags & PERMANENT != 0 && address.scope == 0;
        if address.link == found.index && lasting {
            addresses.extend(address.cidr());
        }
    }
    let sent = Draft::numbered(found.index).name(called).inside(to);
    link::set(from, sent).map_err(|refusal: Refusal| refusal.doing(doing()))?;
    let was_there = |index| before.iter().any(|link| link.index == index);
    let is_it = |link: &link::Link| {
        !was_there(link.index) && (link.name() == called || called.ends_with(TEMPLATE))
    };
    let after = link::all(there).doing("cannot list links")?;
    let now = after.into_iter().find(is_it);
    let now = now.ok_or_else(|| Error::new(doing()).because("it has not arrived"))?;
    Ok(Passed {
        name: now.name().into_owned(),
        was_up: found.is_up(),
        index: now.index,
        addresses,
    })
}

impl Passed {
    /// Gives it its addresses again, and brings it up where `up` says so.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn settle(&self, there: &mut Connection, up: bool) -> Result<()> {
        for cidr in &self.addresses {
            address::add(there, address::message(self.index, *cidr))
                .doing(format!("cannot give {} the address {cidr}", self.name))?;
        }
        if !up {
            return Ok(());
        }
        link::set(there, Draft::numbered(self.index).up(true))
            .doing(format!("cannot bring {} up", self.name))
    }
}
