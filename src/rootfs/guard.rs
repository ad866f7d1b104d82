//! What the removal of a tree must spare, by whatever name it is called: links, `..` and bind mounts lead to the same
//! device and inode, and those are compared.
//!
//! Some directories are never removed: the root of this process, those that stand right in it and are no root
//! themselves (`/etc`, `/usr`, `/home`), and whatever holds the working directory or somebody's home. Others are removed
//! only by who insists: those that do not look like what we make.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};

use super::remove::{holds_only, is_empty};
use crate::error::{Doing, Error, Result};
use crate::mountinfo;
use crate::sys::mount::{openat2, resolve};

/// What directories of a root are called, those first that tell it from `/usr` and `/usr/local`.
const OF_A_ROOT: [&str; 12] = [
    "proc", "sys", "usr", "etc", "bin", "dev", "lib", "root", "run", "sbin", "tmp", "var",
];

/// How many of them are enough.
const ENOUGH: usize = 4;

/// Makes sure that the directory `name` in `parent` may be removed with all that is in it. `path` is what it was called,
/// `home` the caller's home directory; `insists` spares it the look at what it is.
///
/// # Errors
/// Says why it is spared. Nothing has been touched.
pub fn check(
    (parent, name): (BorrowedFd<'_>, &OsStr),
    path: &Path,
    home: Option<&Path>,
    insists: bool,
) -> Result<()> {
    // Whatever is mounted there may be looked at: it could be the root itself.
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let one_name = resolve::BENEATH | resolve::NO_MAGICLINKS;
    let dir = match openat2(parent, Path::new(name), flags, 0, one_name) {
        Err(Errno::ENOTDIR | Errno::ELOOP) => {
            return Err(Error::new("not a directory:").on(path));
        }
        other => other.doing_to(CANNOT, path)?,
    };
    let stat = fstat(&dir).doing_to(CANNOT, path)?;
    let spared = |why: &'static str| Err(Error::new(CANNOT).on(path).because(why));
    let root = fstatat(AT_FDCWD, "/", AtFlags::empty()).doing_to("cannot look at", "/")?;
    if is_same(&stat, &root) {
        return spared("it is the root directory");
    }
    if leads_through(Path::new("."), &stat) {
        return spared("the working directory is in it");
    }
    if home.is_some_and(|home| leads_through(home, &stat)) {
        return spared("the home directory is in it");
    }
    let is_known = is_root(dir.as_fd()) || is_bundle(dir.as_fd()) || is_layers(dir.as_fd());
    let above = fstat(parent).doing_to(CANNOT, path)?;
    if is_same(&above, &root) && !is_known {
        return spared("it belongs to the running system");
    }
    if let Some(mount) = mounted_in(&dir) {
        return Err(Error::new(CANNOT)
            .on(mount)
            .errno_is(Errno::EBUSY)
            .hint("something is mounted there: what is mounted is not removed, unmount it first"));
    }
    if insists || is_known || is_empty(dir.as_fd()) == Ok(true) {
        return Ok(());
    }
    spared("it does not look like a root file system")
        .map_err(|error: Error| error.hint("mkrootfs --rm --force removes it all the same"))
}

const CANNOT: &str = "cannot remove";

fn is_same(one: &FileStat, other: &FileStat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// Whether the directory at `path` is `wanted`, or lies somewhere below it.
fn leads_through(path: &Path, wanted: &FileStat) -> bool {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let open = |dir: BorrowedFd<'_>, path: &Path| {
        let fd = openat(dir, path, flags, Mode::empty())?;
        Ok::<_, Errno>((fstat(&fd)?, fd))
    };
    let mut here = open(AT_FDCWD, path);
    while let Ok((stat, fd)) = here {
        if is_same(&stat, wanted) {
            return true;
        }
        here = open(fd.as_fd(), Path::new(".."));
        // Above the root is the root.
        if here.as_ref().is_ok_and(|(above, _)| is_same(above, &stat)) {
            break;
        }
    }
    false
}

fn has(dir: BorrowedFd<'_>, name: &str) -> bool {
    fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok()
}

fn is_root(dir: BorrowedFd<'_>) -> bool {
    let count = |names: &[&str]| names.iter().filter(|name| has(dir, name)).count();
    let (telling, _) = OF_A_ROOT.split_at(3);
    count(telling) > 0 && has(dir, "etc") && count(&OF_A_ROOT) >= ENOUGH
}

/// What `mkrootfs -o oci-bundle` makes.
fn is_bundle(dir: BorrowedFd<'_>) -> bool {
    has(dir, "config.json") && has(dir, "rootfs")
}

/// What `mkrootfs --layers` makes: directories `1`, `2` and so on, and nothing else.
fn is_layers(dir: BorrowedFd<'_>) -> bool {
    has(dir, "1") && holds_only(dir, &|name| name.iter().all(u8::is_ascii_digit)) == Ok(true)
}

/// Something that is mounted in the directory, or on it, where the kernel tells.
fn mounted_in(dir: &OwnedFd) -> Option<PathBuf> {
    let path = fs::read_link(format!("/proc/self/fd/{}", dir.as_raw_fd())).ok()?;
    let mounts = mountinfo::read("self").ok()?;
    let mut points = mounts.into_iter().map(|mount| mount.point);
    points.find(|point| point.starts_with(&path))
}
