//! Changing the root: pivot_root(2), and why it says no.
//!
//! The kernel answers nearly every mistake with `EINVAL`. After a refusal the reason is looked up, in the order
//! in which the kernel checks. One refusal is repaired: the rootfs of an initramfs has no parent that a new
//! root could be attached to, so there the new root is moved over it (before Linux 7.0).

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::stat;
use nix::unistd::{chdir, chroot, fchdir, pivot_root};

use crate::error::{Doing, Error, Result, printable};
use crate::mountinfo::{self, Mount};
use crate::namespace::Kind;
use crate::root::Root;
use crate::sys::mount::{move_mount, open_tree};
use crate::sys::stat::{Place, place};

/// Makes the mount behind `root` the root of this mount namespace, and detaches the old one, or leaves it at
/// `put_old`, a path in the new root. The working directory is the new root afterwards.
///
/// 1. fchdir to the new root, so that it can be named `.`;
/// 2. pivot_root(".", "."): the old root comes to lie over the new one, which needs no directory for it;
/// 3. the old root is moved to its place, or detached: whatever is still used of it lives on, nobody can find it;
/// 4. chdir to `/`, so that no path of ours leads to the old root.
///
/// # Errors
/// The kernel's answer with the reason for it, where it could be found.
pub fn pivot_into(root: BorrowedFd<'_>, put_old: Option<&Path>) -> Result<()> {
    let old = match put_old {
        Some(path) => Some((current_root()?, Root::new(root).directory(path)?, path)),
        None => None,
    };
    fchdir(root).doing("cannot change directory to the new root")?;
    match pivot_root(".", ".") {
        Ok(()) => {}
        Err(Errno::EINVAL) if old.is_none() && root_is_rootfs() => return move_over_rootfs(root),
        Err(errno) => {
            let hint = why_refused(root, root, errno);
            return Err(Error::new("cannot change the root")
                .errno_is(errno)
                .hint_maybe(hint));
        }
    }
    match old {
        Some((old, to, path)) => {
            move_mount(old.as_fd(), to.as_fd()).doing_to("cannot put the old root at", path)?;
        }
        None => umount2(".", MntFlags::MNT_DETACH).doing("cannot detach the old root")?,
    }
    chdir("/").doing("cannot change directory to the new root")
}

/// pivot_root(2) as it is, by path.
///
/// # Errors
/// In the words of pivot_root(8), with the reason for it where it could be found.
pub fn bare(new_root: &Path, put_old: &Path) -> Result<()> {
    let errno = match pivot_root(new_root, put_old) {
        Ok(()) => return Ok(()),
        Err(errno) => errno,
    };
    let look = |path: &Path| open_tree(AT_FDCWD, path, 0).ok();
    let hint = match (look(new_root), look(put_old)) {
        (Some(new), Some(old)) => why_refused(new.as_fd(), old.as_fd(), errno),
        _ => None,
    };
    let (new_root, put_old) = (
        printable(new_root.as_os_str()),
        printable(put_old.as_os_str()),
    );
    let doing = format!("failed to change root from `{new_root}' to `{put_old}'");
    Err(Error::new(doing).errno_is(errno).hint_maybe(hint))
}

/// A handle on the mount that is our root now.
fn current_root() -> Result<OwnedFd> {
    open_tree(AT_FDCWD, Path::new("/"), 0).doing("cannot open the old root")
}

/// The road away from an initramfs, where pivot_root(2) is not possible: the new root is moved over `/` and made
/// the root of this process by chroot(2). What was mounted on the old root is detached, so that nothing but the
/// initramfs itself stays below, where no path leads: `..` of a mount over `/` is `/`.
fn move_over_rootfs(root: BorrowedFd<'_>) -> Result<()> {
    let ours = place(root, c"").doing("cannot look at the new root")?.mount;
    let mounts = mountinfo::read("self")?;
    // A tree that was assembled over the root is there already, and cannot be moved over itself.
    let is_there = |mount: &Mount| mount.point == Path::new("/");
    if !mountinfo::by_id(&mounts, ours).is_some_and(is_there) {
        move_mount(root, current_root()?.as_fd())
            .doing("cannot move the new root over the rootfs")?;
    }
    for mount in others_of_rootfs(&mounts, ours) {
        // Busy or already gone with the one above it: it is out of reach all the same.
        let _ = umount2(&mount.point, MntFlags::MNT_DETACH);
    }
    chroot(".").doing("cannot change the root")?;
    chdir("/").doing("cannot change directory to the new root")
}

/// The mounts directly on the rootfs, but for the new root: paths still resolve in the old root, whose `/` this
/// process has until the chroot.
fn others_of_rootfs(mounts: &[Mount], new_root: u64) -> Vec<&Mount> {
    let Some(rootfs) = mounts.iter().find(|mount| mount.point == Path::new("/")) else {
        return Vec::new();
    };
    let on_it = |mount: &&Mount| mount.parent == rootfs.id && mount.id != rootfs.id;
    mounts
        .iter()
        .rev()
        .filter(on_it)
        .filter(|mount| mount.id != new_root)
        .collect()
}

/// Whether our root is the rootfs of the kernel (an initramfs).
fn root_is_rootfs() -> bool {
    let Ok(root) = current_place() else {
        return false;
    };
    let mounts = mountinfo::read("self").unwrap_or_default();
    mountinfo::by_id(&mounts, root.mount)
        .is_some_and(|mount| root.is_mount_root && is_absolute(mount))
}

/// Whether a mount is attached to none.
fn is_absolute(mount: &Mount) -> bool {
    mount.parent == mount.id || mount.fstype == "rootfs"
}

fn current_place() -> Result<Place, Errno> {
    place(AT_FDCWD, c"/")
}

/// Why pivot_root(2) from our root to `new`, with the old root going to `put_old`, was refused; in the order of
/// the kernel's own checks (fs/namespace.c).
pub fn why_refused(new: BorrowedFd<'_>, put_old: BorrowedFd<'_>, errno: Errno) -> Option<String> {
    let (new, put_old) = (place(new, c"").ok()?, place(put_old, c"").ok()?);
    let root = current_place().ok()?;
    match errno {
        Errno::EPERM if !crate::probe::is_admin() => Some(
            "this needs CAP_SYS_ADMIN over the mount namespace: be root, or start with unshare -r -m".into(),
        ),
        Errno::EBUSY if new.mount == root.mount => Some(
            "the new root is a directory of the mount that is the root now: make it a mount of its own (mount --bind DIR DIR), as pivot does".into(),
        ),
        Errno::EBUSY if put_old.mount == root.mount => {
            Some("the place for the old root is on the old root: it must be at or below the new one".into())
        }
        Errno::EINVAL => why_invalid(&new, &put_old, &root, &mountinfo::read("self").unwrap_or_default()),
        _ => None,
    }
}

fn why_invalid(new: &Place, put_old: &Place, root: &Place, mounts: &[Mount]) -> Option<String> {
    let find = |id| mountinfo::by_id(mounts, id);
    let parent_shared = |id| {
        find(id)
            .and_then(|mount| find(mount.parent))
            .is_some_and(|parent| parent.shared)
    };
    let private = "make it private first: unshare -m does, or mount --make-rprivate /";
    if find(put_old.mount).is_some_and(|mount| mount.shared) {
        return Some(format!(
            "the mount that the old root would go to is shared; {private}"
        ));
    }
    if parent_shared(new.mount) {
        return Some(format!("the mount below the new root is shared; {private}"));
    }
    if parent_shared(root.mount) {
        return Some(format!(
            "the mount below the present root is shared; {private}"
        ));
    }
    if !mounts.is_empty() && find(new.mount).is_none() {
        return Some(
            "the new root is in another mount namespace, or out of reach of the present root"
                .into(),
        );
    }
    if !root.is_mount_root {
        return Some("the present root is no mount but a directory (an earlier chroot): pivot before the chroot, or chroot again".into());
    }
    if find(root.mount).is_some_and(is_absolute) {
        return Some("the present root is the rootfs of an initramfs, which cannot be pivoted away before Linux 7.0: use pivot without a place for the old root, or switch_root".into());
    }
    if !new.is_mount_root {
        return Some(
            "the new root is not a mount point: make it one (mount --bind DIR DIR), as pivot does"
                .into(),
        );
    }
    if mounts.is_empty() {
        // Without /proc nothing more can be told.
        return None;
    }
    if put_old.mount != new.mount && !is_below(mounts, put_old.mount, new.mount) {
        return Some("the place for the old root is not at or below the new root".into());
    }
    if !is_below(mounts, new.mount, root.mount) {
        return Some("the new root is not below the present root".into());
    }
    Some("the place for the old root must be at or below the new root, and the new root must not be a mount locked by a user namespace".into())
}

/// Whether mount `id` is attached below mount `ancestor`, at any depth.
fn is_below(mounts: &[Mount], id: u64, ancestor: u64) -> bool {
    let mut at = mountinfo::by_id(mounts, id);
    // No chain is longer than the list.
    for _ in mounts {
        match at {
            Some(mount) if mount.parent == ancestor => return true,
            Some(mount) => at = mountinfo::by_id(mounts, mount.parent),
            None => return false,
        }
    }
    false
}

/// Whether this process shares its mount namespace with process 1, as `/proc` shows it; `None` where neither the
/// namespace nor the mounts of process 1 can be seen.
///
/// The namespaces are compared. Where the kernel hides that of process 1 (it takes ptrace rights over it), the
/// mounts are: a mount's number is unique on the machine, so a namespace that holds one mount of ours is ours.
/// `/proc` may belong to an outer PID namespace, and then process 1 is the one out there: `unshare -pf pivot`
/// is still in the mount namespace that it was started in.
///
/// Where process 1 is this very process, it shares its root with nobody who was there before; unless it left the
/// PID namespace of the machine without leaving the machine's mount namespace.
pub fn shares_namespace_with_init() -> Option<bool> {
    let id = |path: &str| stat(path).map(|stat| (stat.st_dev, stat.st_ino));
    let own = id("/proc/self/ns/mnt");
    if fs::read_link("/proc/self").ok()? == Path::new("1") {
        let machines = own.is_ok_and(|(_, inode)| INITIAL_MOUNT_NS.contains(&inode));
        return Some(
            machines
                && id("/proc/self/ns/pid").is_ok_and(|(_, inode)| Some(inode) != Kind::Pid.first()),
        );
    }
    if let (Ok(own), Ok(init)) = (own, id("/proc/1/ns/mnt")) {
        return Some(own == init);
    }
    let (own, init) = (mountinfo::read("self").ok()?, mountinfo::read("1").ok()?);
    if own.is_empty() || init.is_empty() {
        return None;
    }
    Some(
        own.iter()
            .any(|mount| mountinfo::by_id(&init, mount.id).is_some()),
    )
}

/// The inode of the first mount namespace: fixed since Linux 6.18 (`MNT_NS_INIT_INO`), before that one of the
/// first two that were handed out.
const INITIAL_MOUNT_NS: [u64; 3] = [0xEFFF_FFF8, 0xF000_0000, 0xF000_0001];

/// Refuses to go on in the mount namespace of process 1.
///
/// # Errors
/// With advice how to get a namespace of one's own, or how to insist.
pub fn refuse_namespace_of_init() -> Result<()> {
    let refusal = Error::new("refusing to change the root in the mount namespace of process 1");
    match shares_namespace_with_init() {
        Some(false) => Ok(()),
        Some(true) => Err(refusal
            .because("it is the root of the whole machine")
            .hint("run it in a mount namespace of its own: unshare --mount pivot ...; or insist with --force")),
        None => Err(refusal
            .because("cannot tell whether this is another one: /proc does not show process 1")
            .hint("if this is a mount namespace of its own, say so with --force")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"1 1 0:2 / / rw - rootfs rootfs rw\n\
        20 1 8:1 / / rw shared:1 - ext4 /dev/sda rw\n\
        30 20 8:1 /r /r rw - ext4 /dev/sda rw\n\
        31 30 0:5 / /r/old rw shared:2 - tmpfs t rw\n\
        40 30 8:1 /r/in /r/in rw - ext4 /dev/sda rw\n\
        50 20 0:7 / /other rw - tmpfs t rw\n";

    fn at(mount: u64, is_mount_root: bool) -> Place {
        Place {
            mode: 0,
            rdev: (0, 0),
            dev: (0, 0),
            mount,
            is_mount_root,
        }
    }

    #[test]
    fn each_cause_of_einval_has_its_name() {
        let mounts = mountinfo::parse(MOUNTS);
        let cases = [
            // new root, place for the old one, present root
            (
                at(40, true),
                at(31, true),
                at(30, true),
                "old root would go to is shared",
            ),
            (
                at(30, true),
                at(30, false),
                at(20, true),
                "below the new root is shared",
            ),
            (
                at(40, true),
                at(40, false),
                at(30, true),
                "below the present root is shared",
            ),
            (
                at(99, true),
                at(40, false),
                at(40, true),
                "another mount namespace",
            ),
            (
                at(40, true),
                at(40, false),
                at(40, false),
                "an earlier chroot",
            ),
            (
                at(40, true),
                at(40, false),
                at(1, true),
                "rootfs of an initramfs",
            ),
            (
                at(40, false),
                at(40, false),
                at(40, true),
                "not a mount point",
            ),
            (
                at(40, true),
                at(30, false),
                at(40, true),
                "not at or below the new root",
            ),
        ];
        for (new, put_old, root, want) in cases {
            let why = why_invalid(&new, &put_old, &root, &mounts).unwrap();
            assert!(why.contains(want), "{want}: {why}");
        }
    }

    #[test]
    fn what_lies_below_is_found() {
        let mounts = mountinfo::parse(MOUNTS);
        assert!(is_below(&mounts, 40, 20) && is_below(&mounts, 40, 1));
        assert!(
            !is_below(&mounts, 20, 40) && !is_below(&mounts, 50, 30) && !is_below(&mounts, 99, 1)
        );
        // A list that leads in a circle (the mounts changed while they were read) ends all the same.
        let circle = mountinfo::parse(b"1 2 0:2 / /a rw - t t rw\n2 1 0:2 / /b rw - t t rw\n");
        assert!(!is_below(&circle, 1, 3));
    }
}
