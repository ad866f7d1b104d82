//! A tree that will be a root. It is opened once; from then on everything in it is reached below that
//! descriptor (openat2(2)), because whoever made the tree, or lives in it, chose its symbolic links.
//!
//! * Looking something up follows links as chroot(2) would, never out of the tree, never through magic links.
//! * What decides about security (`/proc`, `/sys`, `/dev` and all below) may not be reached by a link at all.
//! * Making a mount point goes component by component, each below the descriptor of the one before.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::libc;
use nix::mount::MsFlags;
use nix::sys::stat::{Mode, SFlag, mkdirat, mknodat, umask};

use crate::error::{Doing, Error, Result};
use crate::sys::mount::{
    MountAttr, mount_setattr, move_mount, open_tree, open_tree_flags, openat2, resolve,
};
use crate::sys::stat::{Place, place};

/// Opens the directory that is to become a root. A symbolic link is followed, once; a magic link is not.
///
/// # Errors
/// The kernel's answer, with what would help where that is known.
pub fn open(path: &Path) -> Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    openat2(AT_FDCWD, path, flags, 0, resolve::NO_MAGICLINKS).map_err(|errno| {
        let error = Error::new("cannot open").on(path).errno_is(errno);
        match errno {
            Errno::ELOOP => error.hint(
                "links such as /proc/PID/root and /proc/self/fd/N are not followed to a root",
            ),
            _ => error,
        }
    })
}

/// Makes the directory `dir` a mount of its own: a recursive bind of it over itself, cut off from the peer
/// groups of what it copies. Gives the descriptor of the new mount's root.
pub fn into_mount(dir: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = open_tree_flags::CLONE | open_tree_flags::RECURSIVE;
    let tree = open_tree(dir, Path::new(""), flags)?;
    // A slave still hears of what its master mounts, but tells nothing; a private mount stays private.
    let slave = MountAttr {
        propagation: MsFlags::MS_SLAVE.bits(),
        ..MountAttr::default()
    };
    mount_setattr(tree.as_fd(), slave, true)?;
    move_mount(tree.as_fd(), dir)?;
    Ok(tree)
}

/// A tree by the descriptor of its root.
#[derive(Debug, Clone, Copy)]
pub struct Root<'fd>(BorrowedFd<'fd>);

impl<'fd> Root<'fd> {
    /// The tree below this descriptor.
    pub fn new(fd: BorrowedFd<'fd>) -> Self {
        Self(fd)
    }

    /// The descriptor.
    pub fn fd(self) -> BorrowedFd<'fd> {
        self.0
    }

    /// Opens what stands at `path` in the tree, with the `O_*` flags given.
    ///
    /// # Errors
    /// `ELOOP` for a magic link, and for every link on the way to `/proc`, `/sys`, `/dev` and below.
    pub fn look_up(self, path: &Path, flags: i32) -> Result<OwnedFd, Errno> {
        let path = inside(path);
        openat2(self.0, at_least_dot(&path), flags, 0, policy(&path))
    }

    /// The directory at `path`; what is missing of it is made with mode 0755.
    pub fn directory(self, path: &Path) -> Result<OwnedFd> {
        self.reach(path)
            .map_err(|errno| refused("cannot use as a directory in the new root", path, errno))
    }

    fn reach(self, path: &Path) -> Result<OwnedFd, Errno> {
        match self.look_up(path, libc::O_PATH | libc::O_DIRECTORY) {
            Err(Errno::ENOENT) => self.make_directory(&inside(path)),
            other => other,
        }
    }

    /// The file at `path` that is no directory; where there is nothing, an empty one is made with mode 0644.
    pub fn file(self, path: &Path) -> Result<OwnedFd> {
        let found = match self.look_up(path, libc::O_PATH) {
            Err(Errno::ENOENT) => self.make_file(path),
            other => other,
        };
        let fd =
            found.map_err(|errno| refused("cannot use as a file in the new root", path, errno))?;
        let is_directory = place(fd.as_fd(), c"").is_ok_and(|place| place.is(libc::S_IFDIR));
        if is_directory {
            return Err(refused(
                "cannot use as a file in the new root",
                path,
                Errno::EISDIR,
            ));
        }
        Ok(fd)
    }

    /// The directory that holds `path`, made where it is missing, and the last component.
    pub fn parent(self, path: &Path) -> Result<(OwnedFd, &OsStr)> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::new("not a name in the new root").on(path));
        };
        Ok((self.directory(parent)?, name))
    }

    /// Walks down `path` and makes what is missing: first the longest part that is there, then one directory
    /// at a time below the descriptor of the last, which nobody can put a link in the place of.
    fn make_directory(self, path: &Path) -> Result<OwnedFd, Errno> {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        // Mostly the last component is all that is missing.
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name())
            && let Ok(dir) = openat2(self.0, at_least_dot(parent), flags, 0, policy(path))
        {
            return new_directory(dir.as_fd(), Path::new(name));
        }
        let mut known = PathBuf::new();
        let mut dir = self.look_up(&known, flags)?;
        for name in path.components() {
            known.push(name);
            dir = match openat2(self.0, &known, flags, 0, policy(path)) {
                Err(Errno::ENOENT) => new_directory(dir.as_fd(), Path::new(name.as_os_str()))?,
                other => other?,
            };
        }
        Ok(dir)
    }

    fn make_file(self, path: &Path) -> Result<OwnedFd, Errno> {
        let path = inside(path);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::EISDIR);
        };
        // It may well be there, and be a link: /sbin is one to /usr/sbin.
        let dir = self.reach(parent)?;
        let name = Path::new(name);
        let mode = Mode::from_bits_truncate(0o644);
        match without_umask(|| mknodat(&dir, name, SFlag::S_IFREG, mode, 0)) {
            // A link that leads nowhere is there too: it is not followed, and refused below.
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        // Without O_NOFOLLOW, with which O_PATH would give the link itself: RESOLVE_NO_SYMLINKS refuses it.
        openat2(dir.as_fd(), name, libc::O_PATH, 0, ONE_NAME)
    }
}

/// For a single name that must be no link, below a directory of ours.
const ONE_NAME: u64 = resolve::BENEATH | resolve::NO_SYMLINKS | resolve::NO_MAGICLINKS;

/// The directory of this name right below `dir`; where there is none it is made with mode 0755. A link there is refused.
///
/// # Errors
/// The kernel's answer.
pub fn new_directory(dir: BorrowedFd<'_>, name: &Path) -> Result<OwnedFd, Errno> {
    let mode = Mode::from_bits_truncate(0o755);
    match without_umask(|| mkdirat(dir, name, mode)) {
        // Somebody was faster, or a link that leads nowhere stands there: the open tells them apart.
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    openat2(dir, name, libc::O_PATH | libc::O_DIRECTORY, 0, ONE_NAME)
}

/// Makes something with exactly the mode given.
pub fn without_umask<T>(make: impl FnOnce() -> T) -> T {
    let old = umask(Mode::empty());
    let made = make();
    umask(old);
    made
}

/// How links are treated on the way to `path`, which is relative to the root.
fn policy(path: &Path) -> u64 {
    if may_follow(path) {
        resolve::IN_ROOT | resolve::NO_MAGICLINKS
    } else {
        resolve::IN_ROOT | resolve::NO_SYMLINKS | resolve::NO_MAGICLINKS
    }
}

/// Whether links are followed on the way to `path`, which is relative to the root.
pub fn may_follow(path: &Path) -> bool {
    let first = path.iter().next().map(OsStr::as_bytes);
    !matches!(first, Some(b"proc" | b"sys" | b"dev"))
}

/// `path` relative to the root, without `.` and `..`, which cannot lead above it.
///
/// ```
/// use std::path::Path;
/// assert_eq!(isobox::root::inside(Path::new("/../a/./b/../proc//")), Path::new("a/proc"));
/// ```
pub fn inside(path: &Path) -> PathBuf {
    let mut clean = PathBuf::with_capacity(path.as_os_str().len());
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    clean
}

/// The empty path names a descriptor itself in most calls, but not in openat2(2).
fn at_least_dot(path: &Path) -> &Path {
    if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    }
}

fn refused(doing: &'static str, path: &Path, errno: Errno) -> Error {
    let error = Error::new(doing).on(path).errno_is(errno);
    match errno {
        Errno::ELOOP => error.hint("a symbolic link stands on that path in the new root: it could lead anywhere, so it is not followed"),
        Errno::ENOENT | Errno::ENOTDIR => error.hint("something on that path in the new root is no directory, or a link that leads nowhere"),
        _ => error,
    }
}

/// What stands under `name` directly in `dir`: type, numbers, mount; a link is not followed.
pub fn look_at(dir: BorrowedFd<'_>, name: &OsStr) -> Result<Place, Errno> {
    let name = CString::new(name.as_bytes()).map_err(|_| Errno::EINVAL)?;
    place(dir, &name)
}

/// A device of the host, for programs that cannot make their own: opened without following a link, and only
/// if it is the character device with these numbers.
///
/// # Errors
/// Where something else stands there.
pub fn host_device(path: &Path, major: u32, minor: u32) -> Result<OwnedFd> {
    let fd = openat2(AT_FDCWD, path, libc::O_PATH | libc::O_NOFOLLOW, 0, 0)
        .doing_to("cannot open", path)?;
    let found = place(fd.as_fd(), c"").doing_to("cannot look at", path)?;
    if found.is_device(major, minor) {
        return Ok(fd);
    }
    Err(Error::new("not the device it should be")
        .on(path)
        .because(format!("character device {major}:{minor} expected")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    struct Tree(PathBuf);

    impl Tree {
        /// A canary outside, and a tree full of links to it.
        fn new(name: &str) -> Self {
            let dir =
                std::env::temp_dir().join(format!("isobox-root-{name}-{}", std::process::id()));
            for sub in ["tree/real", "canary"] {
                fs::create_dir_all(dir.join(sub)).unwrap();
            }
            let links = [
                ("dev", "../canary"),
                ("proc", "real"),
                ("up", "../../canary"),
                ("nowhere", "gone"),
                ("in", "/real"),
            ];
            for (name, to) in links {
                symlink(to, dir.join("tree").join(name)).unwrap();
            }
            symlink(dir.join("canary"), dir.join("tree/out")).unwrap();
            Self(dir)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn nothing_is_made_outside() {
        let tree = Tree::new("outside");
        let fd = open(&tree.0.join("tree")).unwrap();
        let root = Root::new(fd.as_fd());
        for path in [
            "/up/new",
            "/out/new",
            "/../../canary/new",
            "in/../../canary/new",
        ] {
            let made = root.directory(Path::new(path));
            assert!(
                made.is_err() || fs::read_dir(tree.0.join("canary")).unwrap().count() == 0,
                "{path}"
            );
        }
        for path in [
            "dev",
            "dev/null",
            "proc",
            "proc/self",
            "nowhere",
            "nowhere/x",
            "real/../dev/pts",
        ] {
            assert!(root.directory(Path::new(path)).is_err(), "{path}");
            assert!(root.file(Path::new(path)).is_err(), "{path}");
        }
        assert_eq!(fs::read_dir(tree.0.join("canary")).unwrap().count(), 0);
    }

    #[test]
    fn links_inside_lead_inside() {
        let tree = Tree::new("inside");
        let fd = open(&tree.0.join("tree")).unwrap();
        let root = Root::new(fd.as_fd());
        root.directory(Path::new("/in/a/b")).unwrap();
        root.file(Path::new("/in/a/f")).unwrap();
        assert!(tree.0.join("tree/real/a/b").is_dir());
        assert!(tree.0.join("tree/real/a/f").is_file());
        assert!(root.file(Path::new("/in/a")).is_err());
        assert!(root.directory(Path::new("/in/a/f")).is_err());
    }
}
