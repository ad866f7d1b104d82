//! Ids of its own for each of root's containers: 65536 user ids and as many group ids of the host, which no other
//! container of the same store has.
//!
//! They are taken of what `/etc/subuid` and `/etc/subgid` give to `root` or `containers` (subuid(5)), and written down
//! before anything is made of them: as a directory `ids/UID-GID-CONTAINER`, after the first ids and the container, if it is
//! one that is kept ([`super::home`]). They are taken as long as somebody locks the directory, or that container is there.
//! So whoever is killed leaves none behind that is taken for ever.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use super::home::Homes;
use super::state::{Id, Kept, Lock, Store};
use crate::decimal::decimal;
use crate::error::{Error, Result};
use crate::idmap::{Ids, Range};
use crate::subid::{self, Ids32};

/// How many ids a container has: those that distributions and images know of.
pub const COUNT: u32 = 65536;

/// The ranges that the containers of a store have.
#[derive(Debug)]
pub struct Ranges<'h> {
    homes: &'h Homes,
    own: Homes,
}

/// What a container has, until this is dropped, or, of one that is kept, until that is gone.
#[derive(Debug)]
pub struct Taken {
    first: Ids32,
    /// Nothing is written down for what is only told.
    held: Option<(Kept, Lock)>,
    /// A user namespace with these ids, where one was made to try them.
    pub namespace: Option<Rc<OwnedFd>>,
}

impl Taken {
    /// The maps of user and group ids.
    pub fn maps(&self) -> [Vec<Range>; 2] {
        [self.first.0, self.first.1].map(|outside| {
            vec![Range {
                inside: 0,
                outside,
                count: COUNT,
            }]
        })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some((kept, _)) = &self.held
            && container(kept.id()).is_none()
        {
            // What stays is found to belong to nobody.
            let _ = kept.remove();
        }
    }
}

/// Which ids may be taken.
#[derive(Debug)]
pub struct Given([Vec<Ids32>; 2]);

impl Given {
    /// Reads what `/etc/subuid` and `/etc/subgid` say.
    ///
    /// # Errors
    /// Where they are there and cannot be read.
    pub fn read() -> Result<Self> {
        let users = subid::of_containers(Ids::User)?.0;
        let groups = match users.is_empty() {
            true => Vec::new(),
            false => subid::of_containers(Ids::Group)?.0,
        };
        Ok(Self([users, groups]))
    }

    /// Whether there is no range.
    pub fn is_nothing(&self) -> bool {
        self.range(0).is_none()
    }

    /// The first ids of a range, by its number.
    fn range(&self, nth: u32) -> Option<Ids32> {
        let [users, groups] = &self.0;
        Some((start(users, nth)?, start(groups, nth)?))
    }

    /// The first range of which nothing is taken.
    fn free(&self, taken: &[Ids32]) -> Option<Ids32> {
        let mut nth = 0;
        loop {
            let range = self.range(nth)?;
            if !overlaps(taken, range) {
                return Some(range);
            }
            nth += 1;
        }
    }

    /// That no range is to be had, and what would help.
    fn lacking(&self) -> Error {
        let (doing, why) = match self.is_nothing() {
            true => (
                "no ids for the container",
                "neither root nor containers has 65536 of them in /etc/subuid and /etc/subgid",
            ),
            false => (
                "no ids are left for the container",
                "other containers have all of /etc/subuid and /etc/subgid",
            ),
        };
        let free = |ids| subid::of_containers(ids).map_or(0, |(_, free)| free);
        Error::new(doing).because(why).hint(format!(
            "the line containers:{}:1048576 in both files gives ids to 16 containers more; --userns host gives it those of the machine",
            free(Ids::User).max(free(Ids::Group)),
        ))
    }
}

/// Where a range starts that lies in these blocks, by its number.
fn start(blocks: &[Ids32], mut nth: u32) -> Option<u32> {
    for (first, count) in blocks {
        let ranges = count / COUNT;
        if nth < ranges {
            return Some(first + nth * COUNT);
        }
        nth -= ranges;
    }
    None
}

/// Whether any of these ranges has an id of the one that starts there.
fn overlaps(taken: &[Ids32], (user, group): Ids32) -> bool {
    let meets = |one: &Ids32| one.0.abs_diff(user) < COUNT || one.1.abs_diff(group) < COUNT;
    taken.iter().any(meets)
}

/// The first ids that a name tells.
fn first(name: &Id) -> Option<Ids32> {
    let mut parts = name.as_str().split('-').map(decimal);
    let mut next = || parts.next().flatten();
    Some((next()?, next()?))
}

/// The container that a name tells; none of one that is not kept.
fn container(name: &Id) -> Option<Id> {
    Id::new(name.as_str().splitn(3, '-').nth(2)?)
}

impl<'h> Ranges<'h> {
    /// Those of the containers that have their homes there.
    pub fn new(homes: &'h Homes) -> Self {
        Self {
            own: Homes::new(homes.path().with_file_name("ids")),
            homes,
        }
    }

    /// Takes a range: for the container that is kept by this id, or for the life of this process.
    ///
    /// # Errors
    /// Where nobody has given any, or others have them all; of the file system.
    pub fn take(&self, given: &Given, kept: Option<&str>) -> Result<Taken> {
        let lacking = || given.lacking();
        if given.is_nothing() {
            return Err(lacking());
        }
        let _names = self.own.names()?;
        let mut free = given.free(&self.taken()?);
        if free.is_none() {
            self.clear()?;
            free = given.free(&self.taken()?);
        }
        let (user, group) = free.ok_or_else(lacking)?;
        let mut name = format!("{user}-{group}");
        if let Some(id) = kept {
            name.push('-');
            name.push_str(id);
        }
        let store = Store::make(self.own.path())?;
        let held = Id::new(&name).map(|id| store.claim(&id)).transpose()?;
        Ok(Taken {
            first: (user, group),
            held: Some(held.flatten().ok_or_else(lacking)?),
            namespace: None,
        })
    }

    /// The range that would be taken now.
    ///
    /// # Errors
    /// As [`Ranges::take`].
    pub fn look(&self, given: &Given) -> Result<Taken> {
        let free = given.free(&self.taken()?);
        Ok(Taken {
            first: free.ok_or_else(|| given.lacking())?,
            held: None,
            namespace: None,
        })
    }

    /// Gives back what belongs to nobody any more.
    ///
    /// # Errors
    /// Of the file system.
    pub fn sweep(&self) -> Result<()> {
        match Store::look(self.own.path())? {
            None => Ok(()),
            Some(_) => {
                let _names = self.own.names()?;
                self.clear()
            }
        }
    }

    /// The same for whoever keeps others from taking any.
    fn clear(&self) -> Result<()> {
        let Some(store) = Store::look(self.own.path())? else {
            return Ok(());
        };
        for name in store.ids()? {
            // Whoever makes a container that is kept holds its ids until it is there.
            let range = store.find(&name)?.filter(|range| !range.is_busy());
            let is_kept = |id| !matches!(self.homes.find(&id), Ok(None));
            if let (Some(range), false) = (range, container(&name).is_some_and(is_kept)) {
                range.remove()?;
            }
        }
        Ok(())
    }

    fn taken(&self) -> Result<Vec<Ids32>> {
        Ok(self.own.ids()?.iter().filter_map(first).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_lie_in_what_was_given() {
        let all = |users: &[Ids32], groups: &[Ids32]| {
            let given = Given([users.to_vec(), groups.to_vec()]);
            (0..).map_while(|nth| given.range(nth)).collect::<Vec<_>>()
        };
        assert_eq!(all(&[(1, 65535)], &[(1, 65536)]), []);
        assert_eq!(
            all(&[(100_000, 140_000), (7, 65536)], &[(200_000, 200_000)]),
            [(100_000, 200_000), (165_536, 265_536), (7, 331_072)]
        );
        let top = u32::MAX - COUNT;
        assert_eq!(all(&[(top, COUNT)], &[(top, COUNT)]), [(top, top)]);
    }

    #[test]
    fn ranges_that_meet_are_not_both_taken() {
        let taken = [(100_000, 500_000)];
        let cases = [
            ((100_000, 900_000), true),
            ((165_535, 900_000), true),
            ((165_536, 900_000), false),
            ((34_464, 900_000), false),
            ((34_465, 900_000), true),
            ((900_000, 499_999), true),
            ((900_000, 565_536), false),
        ];
        for (range, want) in cases {
            assert_eq!(overlaps(&taken, range), want, "{range:?}");
        }
    }

    #[test]
    fn a_name_tells_the_ids_and_the_container() {
        let cases = [
            ("1-2", Some((1, 2)), None),
            ("1-2-3f", Some((1, 2)), Some("3f")),
            ("1-2-a-b", Some((1, 2)), Some("a-b")),
            ("1", None, None),
            ("x-2-3", None, Some("3")),
            ("1-4294967296", None, None),
        ];
        for (name, ids, whose) in cases {
            let name = Id::new(name).unwrap();
            assert_eq!(first(&name), ids, "{name}");
            assert_eq!(container(&name).as_ref().map(Id::as_str), whose, "{name}");
        }
    }
}
