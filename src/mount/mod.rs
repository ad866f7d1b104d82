//! Mounts as data, and how one is made: prepared where nobody sees it, with all its flags, then attached to a
//! descriptor (fsopen(2), open_tree(2), mount_setattr(2), move_mount(2)). There is no moment at which a mount
//! is there without its flags, and no path below a hostile root reaches the kernel. mount(2), mount(8).

mod copy_up;
pub(crate) use copy_up::copy as fill;
mod idmap;
mod options;
mod refused;
mod spec;
mod text;

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::fchdir;

use crate::error::{Doing, Error, Result};
use crate::root::{Root, inside, may_follow};
use crate::sys::mount::{
    MountAttr, attr, fsconfig_set, fsmount, fsopen, mount_setattr, move_mount, open_tree,
    open_tree_flags,
};

pub use idmap::IdMap;
pub(crate) use idmap::map_by;
pub use options::{Attributes, Options, option_names};
pub use refused::why_refused;
pub use spec::{Spec, fstab_line};
pub use text::mount_text;

/// Longest value that fsconfig(2) takes, its NUL included.
const LONGEST_VALUE: usize = 256;

/// Makes a file system of this type and mounts it at `target`, a descriptor.
///
/// # Errors
/// The kernel's answer; where the file system told its reason, that is the hint.
pub fn mount_new(
    fstype: &OsStr,
    source: &OsStr,
    options: &Options,
    target: BorrowedFd<'_>,
    name: &Path,
) -> Result<()> {
    let doing = || format!("cannot mount {} on", crate::error::printable(fstype));
    let long = |value: &Option<OsString>| {
        value
            .as_ref()
            .is_some_and(|value| value.len() >= LONGEST_VALUE)
    };
    if options.propagation.is_none() && options.data.iter().any(|(_, value)| long(value)) {
        return mount_by_cwd(fstype, source, options, target).doing_to(doing(), name);
    }
    let mount = detached(fstype, source, options).map_err(|refusal| {
        let error = Error::new(doing()).on(name).errno_is(refusal.errno);
        error
            .hint_maybe(refusal.said)
            .hint_maybe(why_refused(fstype, refusal.errno))
    })?;
    if options.copy_up {
        let mode = options.data.iter().all(|(key, _)| key != "mode");
        fill(target, mount.as_fd(), mode).doing_to("cannot copy what is covered on", name)?;
        if options.attributes.set & attr::RDONLY != 0 {
            make_read_only(mount.as_fd(), false).doing_to(doing(), name)?;
        }
    }
    set_propagation(mount.as_fd(), options).doing_to("cannot set the propagation of", name)?;
    move_mount(mount.as_fd(), target).doing_to(doing(), name)
}

/// The kernel's refusal, and what it said about it.
struct Refusal {
    errno: Errno,
    said: Option<String>,
}

/// Makes a file system and gives it as a detached mount.
fn detached(fstype: &OsStr, source: &OsStr, options: &Options) -> Result<OwnedFd, Refusal> {
    let silent = |errno| Refusal { errno, said: None };
    let fstype = c_string(fstype).map_err(silent)?;
    let context = fsopen(&fstype).map_err(silent)?;
    let make = || {
        if !source.is_empty() {
            fsconfig_set(context.as_fd(), c"source", Some(&c_string(source)?))?;
        }
        for (key, value) in &options.data {
            let value = value.as_deref().map(c_string).transpose()?;
            fsconfig_set(context.as_fd(), &c_string(key)?, value.as_deref())?;
        }
        if options.attributes.set & attr::RDONLY != 0 && is_on_disk(&fstype) {
            fsconfig_set(context.as_fd(), c"ro", None)?;
        }
        let later = if options.copy_up { attr::RDONLY } else { 0 };
        fsmount(context.as_fd(), options.attributes.set & !later)
    };
    make().map_err(|errno| Refusal {
        errno,
        said: said(context.as_fd()),
    })
}

/// Whether the file system itself, not only this mount of it, has to know that it is read-only: a device may
/// be. The kernel's own file systems are shared by all their mounts, and stay as they are.
fn is_on_disk(fstype: &CStr) -> bool {
    const KERNELS_OWN: [&CStr; 9] = [
        c"tmpfs",
        c"proc",
        c"sysfs",
        c"devpts",
        c"mqueue",
        c"cgroup",
        c"cgroup2",
        c"overlay",
        c"devtmpfs",
    ];
    !KERNELS_OWN.contains(&fstype)
}

/// The messages that the file system left in its context: `e tmpfs: Bad value for 'size'`.
fn said(context: BorrowedFd<'_>) -> Option<String> {
    let mut log = File::from(context.try_clone_to_owned().ok()?);
    let mut message = [0; 512];
    let mut lines = Vec::new();
    while let Ok(length @ 1..) = log.read(&mut message) {
        let text = String::from_utf8_lossy(&message[..length]);
        lines.push(
            text.trim_end()
                .trim_start_matches(['e', 'w', 'i'])
                .trim_start()
                .to_owned(),
        );
        if lines.len() == 8 {
            break;
        }
    }
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// mount(2) with the target as working directory: for values that fsconfig(2) does not take.
fn mount_by_cwd(
    fstype: &OsStr,
    source: &OsStr,
    options: &Options,
    target: BorrowedFd<'_>,
) -> Result<(), Errno> {
    let data: Vec<Vec<u8>> = options
        .data
        .iter()
        .map(|(key, value)| match value {
            // A label may hold commas, and is read without its quotes.
            Some(value) if key == "context" => [b"context=\"", value.as_bytes(), b"\""].concat(),
            Some(value) => [key.as_bytes(), b"=", value.as_bytes()].concat(),
            None => key.as_bytes().to_vec(),
        })
        .collect();
    let data = OsString::from_vec(data.join(&b','));
    let back = open(".", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    fchdir(target)?;
    let result = nix::mount::mount(
        Some(source),
        ".",
        Some(fstype),
        options.ms_flags(),
        Some(data.as_os_str()),
    );
    fchdir(back)?;
    result
}

/// A detached copy of what stands behind `source`, with its flags and propagation set.
pub fn detached_bind(source: BorrowedFd<'_>, options: &Options) -> Result<OwnedFd, Errno> {
    let mount = detached_copy(source, options.bind == Some(true))?;
    dress(mount.as_fd(), options)?;
    Ok(mount)
}

/// A detached copy of what stands behind `source`, with `recursive` of the mounts below it too.
pub fn detached_copy(source: BorrowedFd<'_>, recursive: bool) -> Result<OwnedFd, Errno> {
    let below = if recursive {
        open_tree_flags::RECURSIVE
    } else {
        0
    };
    open_tree(source, Path::new(""), open_tree_flags::CLONE | below)
}

/// Sets the flags and the propagation of a mount that nobody can see yet.
pub fn dress(mount: BorrowedFd<'_>, options: &Options) -> Result<(), Errno> {
    set_flags(mount, options.attributes, false)?;
    set_flags(mount, options.recursive, true)?;
    set_propagation(mount, options)
}

fn set_flags(mount: BorrowedFd<'_>, change: Attributes, recursive: bool) -> Result<(), Errno> {
    if change.is_empty() {
        return Ok(());
    }
    let attr = MountAttr {
        set: change.set,
        clear: change.clear,
        ..MountAttr::default()
    };
    mount_setattr(mount, attr, recursive)
}

fn set_propagation(mount: BorrowedFd<'_>, options: &Options) -> Result<(), Errno> {
    let Some((flag, recursive)) = options.propagation else {
        return Ok(());
    };
    mount_setattr(
        mount,
        MountAttr {
            propagation: flag.bits(),
            ..MountAttr::default()
        },
        recursive,
    )
}

/// Makes the mount behind `mount` read-only, with `recursive` those below it too.
pub fn make_read_only(mount: BorrowedFd<'_>, recursive: bool) -> Result<(), Errno> {
    set_flags(
        mount,
        Attributes {
            set: attr::RDONLY,
            clear: 0,
        },
        recursive,
    )
}

/// Opens the source of a bind, once: from here on the descriptor is the source.
pub fn open_source(path: &Path) -> Result<OwnedFd> {
    let fd = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
    fd.doing_to("cannot open the source of a bind,", path)
}

/// What may be mounted over inside a procfs: files that other tools put their own numbers in.
const PROC_FILES: [&str; 9] = [
    "cpuinfo",
    "diskstats",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
    "loadavg",
    "slabinfo",
    "net/dev",
];

/// Refuses a mount over the new root itself, which the program would not see, and in `/proc`, where a false file
/// would be taken for the kernel's word (CVE-2019-16884).
pub fn check_target(target: &Path, fstype: &OsStr) -> Result<()> {
    let clean = inside(target);
    if clean.as_os_str().is_empty() {
        return Err(Error::new("refusing to mount on")
            .on(target)
            .because("that is the new root itself, which stays below it"));
    }
    let Ok(below) = clean.strip_prefix("proc") else {
        return Ok(());
    };
    let itself = below.as_os_str().is_empty() && fstype == "proc";
    if itself || PROC_FILES.iter().any(|file| below == Path::new(file)) {
        return Ok(());
    }
    Err(Error::new("refusing to mount on")
        .on(target)
        .because("only a procfs belongs there")
        .hint("programs would take what is in it for the kernel's word"))
}

/// The place of a mount in the new root, made where it is missing.
pub fn place_for(
    root: Root<'_>,
    target: &Path,
    fstype: &OsStr,
    is_directory: bool,
) -> Result<OwnedFd> {
    check_target(target, fstype)?;
    let place = if is_directory {
        root.directory(target)?
    } else {
        root.file(target)?
    };
    if may_follow(&inside(target)) && is_procfs(place.as_fd(), false) {
        return Err(Error::new("refusing to mount on")
            .on(target)
            .because("that leads into a procfs"));
    }
    Ok(place)
}

/// Whether a descriptor is in a procfs; with `whole` whether it is its root.
pub fn is_procfs(fd: BorrowedFd<'_>, whole: bool) -> bool {
    /// `PROC_ROOT_INO` (linux/proc_fs.h).
    const ROOT: u64 = 1;
    nix::sys::statfs::fstatfs(fd)
        .is_ok_and(|fs| fs.filesystem_type() == nix::sys::statfs::PROC_SUPER_MAGIC)
        && (!whole || nix::sys::stat::fstat(fd).is_ok_and(|stat| stat.st_ino == ROOT))
}

fn c_string(text: &OsStr) -> Result<CString, Errno> {
    CString::new(text.as_bytes()).map_err(|_| Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_for_a_procfs() {
        let refused = [
            ("/proc", "none"),
            ("proc/self", "proc"),
            ("//x/../proc/./", "tmpfs"),
            ("/proc/sys", "none"),
            ("/", "tmpfs"),
        ];
        for (target, fstype) in refused {
            assert!(
                check_target(Path::new(target), OsStr::new(fstype)).is_err(),
                "{target}"
            );
        }
        for (target, fstype) in [
            ("/proc", "proc"),
            ("/proc/meminfo", "none"),
            ("/procs", "none"),
            ("/proc2", "none"),
        ] {
            assert!(
                check_target(Path::new(target), OsStr::new(fstype)).is_ok(),
                "{target}"
            );
        }
    }
}
