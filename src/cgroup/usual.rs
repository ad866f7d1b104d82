//! The hierarchies where every distribution mounts them: at `/sys/fs/cgroup`, or each in a directory of it that is called
//! as the controllers are which it holds.
//!
//! To look there takes as long on a machine with a thousand mounts as on one with twenty; mountinfo has a line for each of
//! them, of four microseconds.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, statfs};

use super::group::Group;
use super::hierarchy::{Hierarchies, Mounted, Version};
use crate::error::Result;
use crate::sys::directory;

const PLACE: &str = "/sys/fs/cgroup";

impl Hierarchies {
    /// Enough to make groups with these controllers: the hierarchies that are mounted where they usually are, if these hold
    /// them all, else every one ([`Hierarchies::discover`]).
    ///
    /// # Errors
    /// As [`Hierarchies::discover`].
    pub fn holding<'a>(controllers: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        match Self::usual() {
            Some(usual) if usual.hold(controllers) => Ok(usual),
            _ => Self::discover(),
        }
    }

    /// Whether these controllers are among theirs. The rules about devices need none in v2, which takes them as a program.
    pub fn hold<'a>(&self, controllers: impl IntoIterator<Item = &'a str>) -> bool {
        let needless = |one| one == "devices" && self.v2().is_some();
        let mut controllers = controllers.into_iter();
        controllers.all(|one| needless(one) || self.of(one).is_ok())
    }

    /// Those at the usual places; none where anything there is not as usual.
    fn usual() -> Option<Self> {
        let place = Path::new(PLACE);
        let places = match Version::at(place) {
            Some(Version::V2) => vec![place.to_owned()],
            Some(Version::V1) => return None,
            None => directories(place)?,
        };
        let mut all = Vec::new();
        for place in places {
            let Some(version) = Version::at(&place) else {
                continue;
            };
            let hierarchy = Rc::new(Mounted::usual(version, place)?.open().ok()?);
            // Of another than the true root only mountinfo tells which it is.
            if !Group::new(&hierarchy, "").is_true_root() {
                return None;
            }
            all.push(hierarchy);
        }
        (!all.is_empty()).then(|| Self::of_these(all))
    }
}

impl Version {
    /// Of the hierarchy at this place, if there is one.
    fn at(place: &Path) -> Option<Self> {
        match statfs(place).ok()?.filesystem_type() {
            CGROUP_SUPER_MAGIC => Some(Self::V1),
            CGROUP2_SUPER_MAGIC => Some(Self::V2),
            _ => None,
        }
    }
}

fn directories(place: &Path) -> Option<Vec<PathBuf>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let dir = openat(AT_FDCWD, place, flags, Mode::empty()).ok()?;
    // Not links: `cpu` may be one to `cpu,cpuacct`.
    let names = directory::list_of(dir.as_fd(), |kind| kind == libc::DT_DIR).ok()?;
    Some(names.into_iter().map(|name| place.join(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Layout;
    use crate::order;

    /// Whatever machine this is: what is found without the list of mounts is what the list tells.
    #[test]
    fn they_are_those_that_are_mounted() {
        let told = |all: &Hierarchies| {
            let all = all.all().iter();
            let mut all: Vec<_> = all
                .map(|one| {
                    let mut controllers = one.controllers.clone();
                    order::sort(&mut controllers);
                    (
                        one.mount.clone(),
                        one.root.clone(),
                        one.name.clone(),
                        controllers,
                    )
                })
                .collect();
            order::sort(&mut all);
            all
        };
        let Ok(all) = Hierarchies::discover() else {
            assert!(Hierarchies::usual().is_none());
            return;
        };
        let true_roots = all
            .all()
            .iter()
            .all(|one| Group::new(one, "").is_true_root());
        let usual_places = match all.layout() {
            Layout::Unified => all.all().iter().all(|one| one.mount == Path::new(PLACE)),
            _ => all
                .all()
                .iter()
                .all(|one| one.mount.parent() == Some(Path::new(PLACE))),
        };
        let usual = Hierarchies::usual();
        assert_eq!(usual.is_some(), true_roots && usual_places, "{all:?}");
        if let Some(usual) = usual {
            assert_eq!(told(&usual), told(&all));
            assert_eq!(usual.hold(["cgroup"]), all.v2().is_some());
            assert!(!usual.hold(["nothing"]));
        }
    }
}
