//! Ids of its own for each of root's containers: 65536 user ids and as many group ids of the host, which no other
//! container of the same store has.
//!
//! They are taken of what `/etc/subuid` and `/etc/subgid` give to `root` or `containers` (subuid(5)), and written down
//! before anything is made of them: `ids/UID-GID`, the first ids of both, a file that holds the container's id. They are
//! taken as long as somebody locks the file, or the container that it names is kept ([`super::home`]). So whoever is
//! killed leaves none behind that is taken for ever.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc;

use super::home::Homes;
use super::state::{Id, Store};
use crate::decimal::decimal;
use crate::error::{Doing, Error, Result};
use crate::idmap::{Ids, Range};
use crate::subid::{self, Ids32};

/// How many ids a container has: those that distributions and images know of.
pub const COUNT: u32 = 65536;

/// The ranges that the containers of a store have.
#[derive(Debug)]
pub struct Ranges<'h> {
    homes: &'h Homes,
    path: PathBuf,
}

/// What a container has, until this is dropped, or, of one that is kept, until that is gone.
#[derive(Debug)]
pub struct Taken {
    first: Ids32,
    /// Nothing is written down for what is only told.
    held: Option<(Flock<File>, PathBuf)>,
    kept: bool,
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
        if let (Some((_, path)), false) = (&self.held, self.kept) {
            // What stays is found to belong to nobody.
            let _ = fs::remove_file(path);
        }
    }
}

/// Which ids may be taken.
#[derive(Debug)]
pub struct Given {
    blocks: [Vec<Ids32>; 2],
    /// Where a block could start that nobody has.
    free: u32,
}

impl Given {
    /// Reads what `/etc/subuid` and `/etc/subgid` say.
    ///
    /// # Errors
    /// Where they are there and cannot be read.
    pub fn read() -> Result<Self> {
        let (users, free_user) = subid::of_containers(Ids::User)?;
        let (groups, free_group) = subid::of_containers(Ids::Group)?;
        Ok(Self {
            blocks: [users, groups],
            free: free_user.max(free_group),
        })
    }

    /// Whether there is no range.
    pub fn is_nothing(&self) -> bool {
        self.ranges().next().is_none()
    }

    /// The first ids of all ranges, in their order.
    fn ranges(&self) -> impl Iterator<Item = Ids32> + '_ {
        let [users, groups] = &self.blocks;
        starts(users).zip(starts(groups))
    }

    fn lacking(&self) -> Error {
        let error = match self.ranges().count() {
            0 => Error::new("no ids for the container").because(
                "neither root nor containers has 65536 of them in /etc/subuid and /etc/subgid",
            ),
            count => Error::new("no ids are left for the container").because(format!(
                "other containers have the {count} ranges of /etc/subuid and /etc/subgid"
            )),
        };
        error.hint(format!(
            "the line containers:{}:{} in both files gives ids to 16 containers more; --userns host gives it those of the machine",
            self.free,
            16 * COUNT
        ))
    }
}

/// Where the ranges start that lie in these blocks.
fn starts(blocks: &[Ids32]) -> impl Iterator<Item = u32> + '_ {
    let of_block = |(first, count): &Ids32| {
        let first = *first;
        (0..count / COUNT).map(move |nth| first + nth * COUNT)
    };
    blocks.iter().flat_map(of_block)
}

/// Whether any of these ranges has an id of the one that starts there.
fn overlaps(taken: &[Ids32], (user, group): Ids32) -> bool {
    let meets = |one: &Ids32| one.0.abs_diff(user) < COUNT || one.1.abs_diff(group) < COUNT;
    taken.iter().any(meets)
}

/// The first ids that a file's name tells.
fn named(name: &str) -> Option<Ids32> {
    let (user, group) = name.split_once('-')?;
    Some((decimal(user)?, decimal(group)?))
}

impl<'h> Ranges<'h> {
    /// Those of the containers that have their homes there.
    pub fn new(homes: &'h Homes) -> Self {
        Self {
            path: homes.path().with_file_name("ids"),
            homes,
        }
    }

    /// Takes a range: for the container that is kept by this id, or for the life of this process.
    ///
    /// # Errors
    /// Where nobody has given any, or others have them all; of the file system.
    pub fn take(&self, given: &Given, kept: Option<&str>) -> Result<Taken> {
        if given.is_nothing() {
            return Err(given.lacking());
        }
        Store::make(&self.path)?;
        let _all = self.lock()?;
        let mut taken = self.all()?;
        if given.ranges().all(|range| overlaps(&taken, range)) {
            self.sweep_locked()?;
            taken = self.all()?;
        }
        let free = given.ranges().find(|range| !overlaps(&taken, *range));
        let first = free.ok_or_else(|| given.lacking())?;
        let path = self.path.join(format!("{}-{}", first.0, first.1));
        let cannot = "cannot write down the ids of the container:";
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        let mut file = locked(file.doing_to(cannot, &path)?).doing_to(cannot, &path)?;
        let id = kept.unwrap_or_default();
        file.write_all(id.as_bytes()).doing_to(cannot, &path)?;
        Ok(Taken {
            first,
            held: Some((file, path)),
            kept: kept.is_some(),
        })
    }

    /// The range that would be taken now.
    ///
    /// # Errors
    /// As [`Ranges::take`].
    pub fn look(&self, given: &Given) -> Result<Taken> {
        let taken = if self.path.exists() {
            self.all()?
        } else {
            Vec::new()
        };
        let free = given.ranges().find(|range| !overlaps(&taken, *range));
        Ok(Taken {
            first: free.ok_or_else(|| given.lacking())?,
            held: None,
            kept: false,
        })
    }

    /// Gives back what belongs to nobody any more.
    ///
    /// # Errors
    /// Of the file system.
    pub fn sweep(&self) -> Result<()> {
        if !self.path.exists() {
            return Ok(());
        }
        let _all = self.lock()?;
        self.sweep_locked()
    }

    fn sweep_locked(&self) -> Result<()> {
        for (user, group) in self.all()? {
            let path = self.path.join(format!("{user}-{group}"));
            if self.is_free(&path) {
                let _ = fs::remove_file(&path);
            }
        }
        Ok(())
    }

    /// Whether nobody holds the range, and the container that had it is gone.
    fn is_free(&self, path: &Path) -> bool {
        let no_link = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path);
        let Some(file) = no_link.ok().and_then(|file| locked(file).ok()) else {
            return false;
        };
        let id = std::io::read_to_string(&*file).unwrap_or_default();
        match Id::new(&id) {
            None => true,
            Some(id) => matches!(self.homes.find(&id), Ok(None)),
        }
    }

    fn all(&self) -> Result<Vec<Ids32>> {
        let entries = fs::read_dir(&self.path).doing_to("cannot read", &self.path)?;
        let of_entry = |entry: fs::DirEntry| named(entry.file_name().to_str()?);
        Ok(entries.flatten().filter_map(of_entry).collect())
    }

    /// Keeps others from taking and giving back.
    fn lock(&self) -> Result<Flock<File>> {
        let dir = File::open(&self.path).doing_to("cannot open", &self.path)?;
        let locked = Flock::lock(dir, FlockArg::LockExclusive).map_err(|(_, errno)| errno);
        locked.doing_to("cannot lock", &self.path)
    }
}

fn locked(file: File) -> Result<Flock<File>, Errno> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_lie_in_what_was_given() {
        let given = |users: &[Ids32], groups: &[Ids32]| Given {
            blocks: [users.to_vec(), groups.to_vec()],
            free: 0,
        };
        let all = |given: Given| given.ranges().collect::<Vec<_>>();
        assert_eq!(all(given(&[(1, 65535)], &[(1, 65536)])), []);
        assert_eq!(
            all(given(
                &[(100_000, 140_000), (7, 65536)],
                &[(200_000, 200_000)]
            )),
            [(100_000, 200_000), (165_536, 265_536), (7, 331_072)]
        );
        let top = u32::MAX - COUNT;
        assert_eq!(all(given(&[(top, COUNT)], &[(top, COUNT)])), [(top, top)]);
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
        assert_eq!(named("100000-200000"), Some((100_000, 200_000)));
        assert_eq!(
            [named("1"), named("1-"), named("+1-2"), named("1-2-3")],
            [None; 4]
        );
    }
}
