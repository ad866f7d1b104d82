//! A tree as data: what is to stand where, before anything of it is made. A skeleton and the programs in it are
//! put together here and then made in a directory ([`super::plant`]) or written to an archive ([`super::cpio`]).
//!
//! Paths are relative to the root of the tree and hold no `.` and no `..`; links are followed in the tree itself,
//! never on the host.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;

/// As many links as the kernel follows on one way (`MAXSYMLINKS`).
pub(super) const MAX_LINKS: usize = 40;

/// Where the bytes of a file come from.
#[derive(Debug)]
pub enum Source {
    /// From here.
    Bytes(Vec<u8>),
    /// From this file of the host, by its path below the host's root, which holds no link.
    Host(PathBuf),
    /// From this open file.
    Open(OwnedFd),
}

/// What stands at a place.
#[derive(Debug)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file.
    File(Source),
    /// A symbolic link that leads there.
    Link(OsString),
    /// A character device: major and minor number.
    Device(u32, u32),
}

/// One place of a tree. Everything belongs to user 0 and group 0.
#[derive(Debug)]
pub struct Node {
    /// Its permissions; a link has none.
    pub mode: u32,
    /// What it is.
    pub kind: Kind,
}

/// A tree: in the order of its paths, so that a directory comes before what is in it.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: BTreeMap<PathBuf, Node>,
}

impl Tree {
    /// What stands at this place, if anything does. A link is not followed.
    pub fn at(&self, path: &Path) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Every place but the root, a directory before what is in it.
    pub fn nodes(&self) -> impl Iterator<Item = (&Path, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_path(), node))
    }

    /// Puts something at a place, in the stead of what stood there.
    pub fn put(&mut self, path: impl Into<PathBuf>, mode: u32, kind: Kind) {
        self.nodes.insert(path.into(), Node { mode, kind });
    }

    /// Puts a link at a place, unless something stands there.
    pub(super) fn link(&mut self, path: PathBuf, target: impl Into<OsString>) {
        let kind = Kind::Link(target.into());
        self.nodes.entry(path).or_insert(Node { mode: 0o777, kind });
    }

    /// Where the path leads in the tree, every link on the way followed, as chroot(2) would.
    ///
    /// # Errors
    /// `ENOENT` where nothing stands there, `ENOTDIR` where something on the way is no directory, `ELOOP`.
    pub fn resolve(&self, path: &Path) -> Result<PathBuf, Errno> {
        let mut left: VecDeque<OsString> = names(path).collect();
        let mut at = PathBuf::new();
        let mut links = 0;
        while let Some(name) = left.pop_front() {
            if name == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&name);
            match &self.nodes.get(&next).ok_or(Errno::ENOENT)?.kind {
                Kind::Link(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::ELOOP);
                    }
                    if Path::new(target).is_absolute() {
                        at.clear();
                    }
                    push_front(&mut left, target);
                }
                Kind::Directory => at = next,
                _ if left.is_empty() => at = next,
                _ => return Err(Errno::ENOTDIR),
            }
        }
        Ok(at)
    }
}

/// The names on a path, `..` among them; where it starts does not count.
pub(super) fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

/// Puts the names of a link's target before what is left of a path.
pub(super) fn push_front(left: &mut VecDeque<OsString>, target: &OsStr) {
    for name in names(Path::new(target)).rev() {
        left.push_front(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_through_the_tree_alone() {
        let mut tree = Tree::default();
        for dir in ["usr", "usr/bin", "usr/lib"] {
            tree.put(dir, 0o755, Kind::Directory);
        }
        tree.put("usr/bin/sh", 0o755, Kind::File(Source::Bytes(Vec::new())));
        for (path, target) in [
            ("bin", "usr/bin"),
            ("up", "../../../bin"),
            ("abs", "/usr/../bin/"),
            ("usr/bin/bash", "sh"),
            ("round", "round"),
            ("none", "nowhere"),
        ] {
            tree.link(path.into(), target);
        }
        let cases = [
            ("/bin/sh", Ok("usr/bin/sh")),
            ("up/bash", Ok("usr/bin/sh")),
            ("/abs/../lib", Ok("usr/lib")),
            ("", Ok("")),
            ("/../..", Ok("")),
            ("round", Err(Errno::ELOOP)),
            ("none", Err(Errno::ENOENT)),
            ("bin/sh/x", Err(Errno::ENOTDIR)),
        ];
        for (path, want) in cases {
            let want = want.map(PathBuf::from);
            assert_eq!(tree.resolve(Path::new(path)), want, "{path}");
        }
    }
}
