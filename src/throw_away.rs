//! Roots that are overlays (Documentation/filesystems/overlayfs.rst, mount_namespaces(7)). One shows a tree of the host
//! and throws away what is written: the tree is the lower layer, which is only read, and a tmpfs takes what is written
//! ([`root`]). The other is made of an image's layers ([`layered`]). Roots with ids of their own are in [`mapped`].
//!
//! Each mount of the tree becomes an overlay of its own in the same place. Two reasons why not one bind of it
//! all: a bind gives its sockets and fifos along, behind which the host's daemons listen, and writing is to be
//! possible. What is not shown: the file systems of the kernel (`/proc`, `/sys`, `/dev` and their like anywhere),
//! of which a container gets its own.
//!
//! In a user namespace mounts that came along are locked together: the kernel refuses an overlay over a
//! directory with a mount somewhere below (`EINVAL`), because it would uncover what that mount hides. Such a
//! directory is made anew, and its entries are shown one by one.

pub mod mapped;
mod overlay;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{fchdir, symlinkat};

#[cfg(feature = "oci")]
pub(crate) use overlay::kernel_is_before;
use overlay::overlay;

use crate::error::{Doing, Error, Result};
use crate::mount::{Options, detached_bind};
use crate::mountinfo;
use crate::root::{Root, without_umask};
use crate::sys::mount::{
    attr, fsconfig_set, fsmount, fsopen, move_mount, open_tree, open_tree_flags,
};

/// File systems through which the kernel shows itself or the machine, or another namespace, wherever they are
/// mounted; and those whose mere look mounts something else.
const NOT_SHOWN: [&str; 20] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "sysfs",
    "tracefs",
];

/// Makes the root for the tree at `path` and attaches it over the present `/`, where only its descriptor leads.
///
/// # Errors
/// Where the path is no directory, or the kernel has no tmpfs.
pub fn root(path: &Path) -> Result<OwnedFd> {
    drop(crate::root::open(path)?);
    let mut assembly = Assembly {
        store: attached_tmpfs()?,
        layers: 0,
        user_attributes: in_user_namespace(),
        mounts: mounts_below(path)?,
    };
    let store = assembly
        .store
        .try_clone()
        .doing("cannot copy a descriptor")?;
    in_directory(&store, || assembly.assemble(path))?
}

/// Makes a root of an image's layers, the topmost first, and attaches it over the present `/` as [`root`] does. What is
/// written is kept in the directory `written`, or without one goes to memory.
///
/// # Errors
/// Where a layer is not there, or the kernel has no overlay for it.
pub fn layered(layers: &[PathBuf], written: Option<&Path>) -> Result<OwnedFd> {
    let store = match written {
        Some(path) => crate::root::open(path)?,
        None => attached_tmpfs()?,
    };
    written_in(store.as_fd(), mode_of(layers)?)?;
    let mount = in_directory(&store, || {
        overlay(layers, [UPPER, WORK], in_user_namespace(), 0)
    })?;
    let mount = mount
        .doing("cannot mount an overlay of the image's layers")
        .map_err(|error| error.hint("--copy makes a copy of the image instead"))?;
    attach_over_root(mount.as_fd())?;
    Ok(mount)
}

/// The permissions of the root of the topmost layer.
fn mode_of(layers: &[PathBuf]) -> Result<u32> {
    let top = layers.first().map_or(Path::new(""), PathBuf::as_path);
    let found = fs::metadata(top).doing_to("cannot look at", top)?;
    Ok(found.mode() & 0o7777)
}

/// Makes the two directories of an overlay where what it is written to is kept.
fn written_in(store: BorrowedFd<'_>, mode: u32) -> Result<()> {
    for (name, mode) in [(UPPER, mode), (WORK, 0o700)] {
        match without_umask(|| mkdirat(store, name, Mode::from_bits_truncate(mode))) {
            // It has run before.
            Ok(()) | Err(Errno::EEXIST) => {}
            other => other.doing_to("cannot make the directory", name)?,
        }
    }
    Ok(())
}

/// Where what is written to an overlay is, in the directory that it is given.
pub const UPPER: &str = "upper";
/// The overlay's own.
const WORK: &str = "work";

/// A tmpfs for what is written. Layers must be on an attached mount: it goes where nothing is shown of, and away with
/// the old root.
fn attached_tmpfs() -> Result<OwnedFd> {
    let store = tmpfs().doing("cannot mount a tmpfs for what is written")?;
    let hidden = first_directory(&["/sys", "/proc", "/dev"])?;
    move_mount(store.as_fd(), hidden.as_fd()).doing("cannot attach the tmpfs")?;
    Ok(store)
}

/// Does something in another working directory, which is the caller's business and left as it was.
fn in_directory<T>(dir: &OwnedFd, act: impl FnOnce() -> T) -> Result<T> {
    let back = open(".", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok();
    fchdir(dir).doing("cannot change directory to where is written")?;
    let done = act();
    if let Some(back) = back {
        fchdir(back).doing("cannot change directory back")?;
    }
    Ok(done)
}

/// What a mount of the tree is, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Below {
    point: PathBuf,
    shown: bool,
}

/// The mounts below `path`, in the order of the table: what covers comes after what is covered.
fn mounts_below(path: &Path) -> Result<Vec<Below>> {
    let all = mountinfo::read("self")?;
    Ok(all
        .into_iter()
        .filter(|mount| mount.point != path && mount.point.starts_with(path))
        .map(|mount| Below {
            shown: is_shown(path, &mount.point, &mount.fstype),
            point: mount.point,
        })
        .collect())
}

/// Whether the mount of this type at this point may be seen in a tree that starts at `path`.
fn is_shown(path: &Path, point: &Path, fstype: &OsStr) -> bool {
    let top = point
        .strip_prefix(path)
        .ok()
        .and_then(|below| below.iter().next());
    !is_kernels(top) && !NOT_SHOWN.iter().any(|name| fstype == *name)
}

/// Whether this entry of a root is one that every container gets for itself.
fn is_kernels(top: Option<&OsStr>) -> bool {
    matches!(top.map(OsStr::as_bytes), Some(b"proc" | b"sys" | b"dev"))
}

struct Assembly {
    /// Where the written layers are; also our working directory.
    store: OwnedFd,
    layers: usize,
    /// The overlay keeps its notes in `user.*` attributes: those of root are not for a user namespace.
    user_attributes: bool,
    mounts: Vec<Below>,
}

impl Assembly {
    fn assemble(&mut self, path: &Path) -> Result<OwnedFd> {
        if let Ok(root) = self.overlay(path) {
            attach_over_root(root.as_fd())?;
            self.show_mounts(path, root.as_fd());
            return Ok(root);
        }
        mkdirat(&self.store, "tree", Mode::from_bits_truncate(0o755))
            .doing("cannot make a directory")?;
        let bare = open_tree(
            self.store.as_fd(),
            Path::new("tree"),
            open_tree_flags::CLONE,
        )
        .doing("cannot make the new root a mount")?;
        attach_over_root(bare.as_fd())?;
        self.fill(path, path, bare.as_fd())?;
        Ok(bare)
    }

    /// Shows every mount of the tree in the overlay of its root. What cannot be looked into, or is covered by
    /// now, is left as the empty directory that it is in there.
    fn show_mounts(&mut self, path: &Path, root: BorrowedFd<'_>) {
        let shown: Vec<PathBuf> = self
            .mounts
            .iter()
            .filter(|m| m.shown)
            .map(|m| m.point.clone())
            .collect();
        for point in shown {
            let Ok(inside) = point.strip_prefix(path) else {
                continue;
            };
            let place = Root::new(root).look_up(inside, libc::O_PATH | libc::O_NOFOLLOW);
            if let Ok(place) = place {
                let _ = self.show(&point, place.as_fd());
            }
        }
    }

    /// Makes the entries of directory `dir` (of the tree at `path`) in `into`.
    fn fill(&mut self, path: &Path, dir: &Path, into: BorrowedFd<'_>) -> Result<()> {
        // What this user cannot list stays empty.
        let Ok(entries) = fs::read_dir(dir) else {
            return Ok(());
        };
        for entry in entries {
            let Ok(entry) = entry else { break };
            let (name, host) = (entry.file_name(), entry.path());
            let Ok(meta) = entry.metadata() else { continue };
            let kind = meta.file_type();
            if kind.is_dir() {
                self.fill_directory(path, &host, &name, meta.mode(), into)?;
            } else if kind.is_symlink() {
                let Ok(to) = fs::read_link(&host) else {
                    continue;
                };
                symlinkat(&to, into, name.as_os_str()).doing_to("cannot make the link", &host)?;
            } else if kind.is_file() {
                let place = Root::new(into).file(Path::new(&name))?;
                let _ = bind(&host, place.as_fd());
            }
            // Sockets, fifos and devices of the host are its own.
        }
        Ok(())
    }

    fn fill_directory(
        &mut self,
        path: &Path,
        host: &Path,
        name: &OsString,
        mode: u32,
        into: BorrowedFd<'_>,
    ) -> Result<()> {
        let mode = Mode::from_bits_truncate(mode & 0o7777);
        without_umask(|| mkdirat(into, name.as_os_str(), mode)).doing_to("cannot make", host)?;
        let mut at = self.mounts.iter().rev().filter(|m| m.point == host);
        let hidden = at.next().is_some_and(|mount| !mount.shown);
        let top = host
            .strip_prefix(path)
            .ok()
            .filter(|below| below.iter().count() == 1);
        if hidden || is_kernels(top.map(Path::as_os_str)) {
            return Ok(());
        }
        let place = Root::new(into)
            .look_up(
                Path::new(name),
                libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW,
            )
            .doing_to("cannot open", host)?;
        let has_mounts = self
            .mounts
            .iter()
            .any(|m| m.point != host && m.point.starts_with(host));
        if has_mounts {
            return self.fill(path, host, place.as_fd());
        }
        // A directory that this user may not look into cannot be a layer either: it stays empty.
        let _ = self.show(host, place.as_fd());
        Ok(())
    }

    /// Shows one directory or file of the host: as an overlay, or where the kernel has none for it, read-only.
    fn show(&mut self, host: &Path, place: BorrowedFd<'_>) -> Result<(), Errno> {
        let is_directory = fs::symlink_metadata(host).is_ok_and(|meta| meta.is_dir());
        if is_directory && let Ok(mount) = self.overlay(host) {
            return move_mount(mount.as_fd(), place);
        }
        bind(host, place)
    }

    /// An overlay over this directory of the host.
    fn overlay(&mut self, lower: &Path) -> Result<OwnedFd, Errno> {
        let number = self.layers;
        self.layers += 1;
        // Relative, and short: our working directory is the store.
        let (upper, work) = (format!("{number}"), format!("{number}.work"));
        let mode = fs::metadata(lower).map_or(0o755, |meta| meta.mode() & 0o7777);
        without_umask(|| {
            mkdirat(&self.store, upper.as_str(), Mode::from_bits_truncate(mode))
                .and_then(|()| mkdirat(&self.store, work.as_str(), Mode::S_IRWXU))
        })?;
        let lower = std::slice::from_ref(&lower);
        overlay(lower, [&upper, &work], self.user_attributes, attr::NODEV)
    }
}

/// Shows a file or directory of the host read-only.
fn bind(host: &Path, place: BorrowedFd<'_>) -> Result<(), Errno> {
    let source = open(
        host,
        OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    let options = Options::new(["ro", "nodev"]).map_err(|_| Errno::EINVAL)?;
    let mount = detached_bind(source.as_fd(), &options)?;
    move_mount(mount.as_fd(), place)
}

fn first_directory(names: &[&str]) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut opened = names
        .iter()
        .filter_map(|name| open(*name, flags, Mode::empty()).ok());
    opened.next().ok_or_else(|| {
        Error::new("no place for what is written").because("there is no /sys, /proc or /dev")
    })
}

fn tmpfs() -> Result<OwnedFd, Errno> {
    let context = fsopen(c"tmpfs")?;
    fsconfig_set(context.as_fd(), c"mode", Some(c"755"))?;
    fsmount(context.as_fd(), attr::NODEV)
}

/// Attaches a mount over `/`. Paths that start at our root do not see it (it lies above), which is wanted: the
/// host's tree stays in reach until the pivot.
pub(crate) fn attach_over_root(mount: BorrowedFd<'_>) -> Result<()> {
    let slash =
        open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).doing_to("cannot open", "/")?;
    move_mount(mount, slash.as_fd()).doing("cannot attach the new root")
}

/// Whether this is not the first user namespace: there, every id is mapped to itself.
pub fn in_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let mut fields = map.split_whitespace();
    !(fields.next() == Some("0")
        && fields.next() == Some("0")
        && fields.next() == Some("4294967295"))
}
