//! Why the kernel said no. Each function looks at the machine after a refusal and gives the one line that
//! helps, or nothing: never a guess.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::geteuid;

use crate::error::Error;
use crate::idmap::{self, Ids, Range};
use crate::mountinfo;
use crate::namespace::{Kind, flag_names, kinds};
use crate::sys::clone::Change;
use crate::sys::{caps, nsfs, task};

/// The bit of `CAP_SYS_ADMIN` (linux/capability.h).
const CAP_SYS_ADMIN: u64 = 1 << 21;
/// The bit of `CAP_SETFCAP`.
const CAP_SETFCAP: u64 = 1 << 31;

/// Whether this process has `CAP_SYS_ADMIN` in its user namespace.
pub fn is_admin() -> bool {
    has(CAP_SYS_ADMIN)
}

/// Whether this process has `CAP_NET_ADMIN` in its user namespace.
pub fn is_net_admin() -> bool {
    has(1 << 12)
}

/// Whether this process may write a map of any ids for a child of its user namespace.
pub fn may_map(ids: Ids) -> bool {
    match ids {
        Ids::Group => has(1 << 6),
        Ids::User => has(1 << 7),
    }
}

fn has(capability: u64) -> bool {
    caps::get().is_ok_and(|sets| sets.effective & capability != 0)
}

/// A sysctl as a number; `None` where this kernel does not have it.
pub(crate) fn sysctl(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A field of `/proc/self/status`.
pub(crate) fn status(field: &str) -> Option<String> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// The error of an unshare(2) with these flags.
pub fn unshare_failed(flags: CloneFlags, errno: Errno) -> Error {
    Error::new("unshare failed")
        .errno_is(errno)
        .hint_maybe(namespace_refused(flags, errno))
}

/// The error of a clone(2) with these flags.
pub fn clone_failed(flags: CloneFlags, errno: Errno) -> Error {
    let doing = if flags.is_empty() {
        "fork failed".into()
    } else {
        format!("clone({}) failed", flag_names(flags))
    };
    Error::new(doing)
        .errno_is(errno)
        .hint_maybe(namespace_refused(flags, errno))
}

/// Why namespaces of these kinds were refused.
fn namespace_refused(flags: CloneFlags, errno: Errno) -> Option<String> {
    let user = flags.contains(CloneFlags::CLONE_NEWUSER);
    match errno {
        Errno::EPERM if !user && !flags.is_empty() && !is_admin() => {
            Some(match geteuid().is_root() {
                true => "this needs CAP_SYS_ADMIN, which root has not here: a container gets it by docker run --privileged",
                false => "this needs CAP_SYS_ADMIN: be root, or add --user --map-root-user (-r) to do it in a user namespace",
            }.into())
        }
        Errno::EPERM | Errno::EACCES if user => userns_refused().or_else(filtered),
        Errno::EPERM | Errno::EACCES if !flags.is_empty() => filtered(),
        Errno::ENOSPC | Errno::EUSERS => limit_reached(flags),
        Errno::EINVAL => kinds(flags).into_iter().find(|kind| !is_known(*kind)).map(|kind| {
            format!("this kernel has no {} namespaces (Linux {} brought them)", kind.option(), kind.since())
        }),
        Errno::ENOMEM if flags.is_empty() => {
            Some("PID 1 of the PID namespace has died, and with it the namespace".into())
        }
        _ => None,
    }
}

/// Whether this kernel has this kind of namespace.
pub fn is_known(kind: Kind) -> bool {
    Path::new(&format!("/proc/self/ns/{}", kind.proc_name())).exists()
}

/// Which switch keeps this process from making user namespaces.
fn userns_refused() -> Option<String> {
    if sysctl("/proc/sys/kernel/unprivileged_userns_clone") == Some(0) && !is_admin() {
        return Some(
            "kernel.unprivileged_userns_clone is 0: sysctl -w kernel.unprivileged_userns_clone=1"
                .into(),
        );
    }
    if sysctl("/proc/sys/user/max_user_namespaces") == Some(0) {
        return Some(
            "user.max_user_namespaces is 0: sysctl -w user.max_user_namespaces=15000".into(),
        );
    }
    let euid = geteuid().as_raw();
    if !crate::credentials::is_mapped("uid", euid) {
        return Some(format!(
            "uid {euid} is not mapped in this user namespace, so it cannot own another: see /proc/self/uid_map"
        ));
    }
    if is_chrooted() {
        return Some(
            "this process is in a chroot, where the kernel makes no user namespaces: pivot into the root instead"
                .into(),
        );
    }
    apparmor()
}

/// Whether the root of this process is no mount: so it is that of a chroot(2). A chroot into a mount shows in
/// nothing a process may read.
fn is_chrooted() -> bool {
    mountinfo::read("self").is_ok_and(|mounts| mountinfo::at(&mounts, Path::new("/")).is_none())
}

/// The limit on the number of namespaces that is in the way.
fn limit_reached(flags: CloneFlags) -> Option<String> {
    let limit = |kind: Kind| {
        let name = format!("max_{}_namespaces", kind.proc_name());
        Some((sysctl(&format!("/proc/sys/user/{name}"))?, name))
    };
    let (most, name) = kinds(flags).into_iter().filter_map(limit).min()?;
    if most == 0 {
        return Some(format!("user.{name} is 0: sysctl -w user.{name}=15000"));
    }
    Some(format!(
        "user.{name} is {most} in here; that limit, or a lower one further out, or 32 levels of nesting are reached"
    ))
}

/// Whether AppArmor takes the powers from new user namespaces (Ubuntu since 23.10). It lets them be made, and
/// then refuses what is done in them.
fn apparmor() -> Option<String> {
    if sysctl("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") != Some(1) {
        return None;
    }
    let confined = fs::read_to_string("/proc/self/attr/current").ok()?;
    let moved = confined.starts_with("unprivileged_userns");
    (moved || !is_admin()).then(|| {
        "AppArmor gives the user namespaces of programs without a profile no capabilities: \
         sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or a profile with 'userns,' for this program"
            .into()
    })
}

/// Whether a seccomp filter is in force, as in most containers.
fn filtered() -> Option<String> {
    if status("Seccomp")? != "2" {
        return None;
    }
    let container = ["/.dockerenv", "/run/.containerenv"]
        .iter()
        .any(|mark| Path::new(mark).exists());
    Some(if container {
        "this container's seccomp filter may be what refuses it: docker run --security-opt seccomp=unconfined".into()
    } else {
        "a seccomp filter is in force (Seccomp: 2 in /proc/self/status), and may be what refuses it"
            .into()
    })
}

/// Why a map could not be written.
pub fn map_refused(ids: Ids, ranges: &[Range], errno: Errno) -> Option<String> {
    match errno {
        Errno::EINVAL => {
            let (a, b) = idmap::overlap(ranges)?;
            Some(format!("'{a}' and '{b}' (inside, outside, count) overlap"))
        }
        Errno::EPERM => apparmor().or_else(|| map_not_permitted(ids, ranges)),
        _ => None,
    }
}

/// What the writer of a map lacks, as far as it can see from its own user namespace.
fn map_not_permitted(ids: Ids, ranges: &[Range]) -> Option<String> {
    let own = fs::read_to_string(format!("/proc/self/{}", ids.file())).ok()?;
    let known = idmap::read(&own);
    if known.is_empty() {
        // Written from inside: the map is still empty, and there is nothing to compare with.
        return None;
    }
    let id = ids.letter();
    if let Some(range) = ranges.iter().find(|range| !idmap::covers(&known, range)) {
        return Some(format!(
            "{id}ids {} to {} outside are not all mapped in the user namespace we are in: see /proc/self/{}",
            range.outside,
            u64::from(range.outside) + u64::from(range.count) - 1,
            ids.file()
        ));
    }
    if ranges.iter().any(|range| range.outside == 0) && ids == Ids::User && !has(CAP_SETFCAP) {
        return Some("mapping uid 0 of outside needs CAP_SETFCAP".into());
    }
    None
}

/// Why newuidmap(1) or newgidmap(1) could not do it.
pub fn mapper_refused(ids: Ids, end: Change) -> Option<String> {
    let mapper = ids.mapper();
    if end == Change::Exited(127) {
        return Some(format!(
            "{mapper} comes with the package uidmap (Debian, Ubuntu) or shadow-utils; \
             without it one's own id can be mapped: -r or -c alone"
        ));
    }
    if task::prctl(libc::PR_GET_NO_NEW_PRIVS, [0; 4]) == Ok(1) {
        return Some(format!(
            "no_new_privs is set, so {mapper} does not get its privilege"
        ));
    }
    let file = ["/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin", "/sbin"]
        .iter()
        .map(|directory| PathBuf::from(directory).join(mapper))
        .find(|file| file.exists())?;
    let meta = fs::metadata(&file).ok()?;
    let set_id = meta.uid() == 0 && meta.permissions().mode() & 0o4000 != 0;
    let shown = file.display();
    if !set_id && !has_file_capabilities(&file) {
        return Some(format!(
            "{shown} is neither set-user-id root nor has file capabilities: chmod u+s {shown}"
        ));
    }
    if statvfs(&file).is_ok_and(|fs| fs.flags().contains(FsFlags::ST_NOSUID)) {
        return Some(format!(
            "{shown} lies on a file system mounted nosuid, so it does not get its privilege"
        ));
    }
    Some(format!(
        "{} says which {}ids a user may map",
        ids.database(),
        ids.letter()
    ))
}

fn has_file_capabilities(file: &Path) -> bool {
    crate::sys::xattr::has(file, c"security.capability")
}

/// Why `/proc/PID/setgroups` could not be written.
pub fn setgroups_control_refused(allow: bool, errno: Errno) -> Option<String> {
    if errno != Errno::EPERM {
        return None;
    }
    let now = fs::read_to_string("/proc/self/setgroups").ok()?;
    let mapped = fs::read_to_string("/proc/self/gid_map").is_ok_and(|map| !map.is_empty());
    match (allow, now.starts_with("deny"), mapped) {
        (true, true, _) => {
            Some("once denied it stays denied, in here and in every namespace below".into())
        }
        (false, true, true) => {
            Some("mapping a group has denied it already: leave the option out".into())
        }
        (false, false, true) => {
            Some("a gid_map is in force, after which it cannot be denied any more".into())
        }
        _ => apparmor(),
    }
}

/// Why a proc file system could not be mounted.
pub fn proc_refused(errno: Errno) -> Option<String> {
    if errno != Errno::EPERM {
        return None;
    }
    if !is_admin() {
        return Some(
            "mounting needs CAP_SYS_ADMIN: be root, or add --user --map-root-user (-r)".into(),
        );
    }
    if owner_of_pid_namespace_is_another() {
        return Some(
            "the PID namespace belongs to another user namespace, so its processes are not yours to show: \
             add --pid --fork"
                .into(),
        );
    }
    let mounts = mountinfo::read("self").ok()?;
    let Some(proc) = mounts.iter().find(|mount| mount.fstype == "proc") else {
        return Some("no proc file system is visible here, and the kernel gives a new one only to who sees one".into());
    };
    let hidden: Vec<String> = mounts
        .iter()
        .filter(|mount| mount.point != proc.point && mount.point.starts_with(&proc.point))
        .map(|mount| mount.point.display().to_string())
        .collect();
    if hidden.is_empty() {
        return apparmor().or_else(filtered);
    }
    Some(format!(
        "a new proc would show what is covered in the {} we see: {} (locked mounts; in docker: --security-opt systempaths=unconfined)",
        proc.point.display(),
        hidden.join(", ")
    ))
}

/// Whether the PID namespace we are in is owned by another user namespace than the one we are in.
fn owner_of_pid_namespace_is_another() -> bool {
    let open = |kind: &str| fs::File::open(format!("/proc/self/ns/{kind}")).ok();
    let inode = |file: &fs::File| file.metadata().map(|meta| meta.ino()).ok();
    let Some((pid, user)) = open("pid").zip(open("user")) else {
        return false;
    };
    match nsfs::owner(pid.as_fd()) {
        Ok(owner) => inode(&owner.into()) != inode(&user),
        Err(errno) => errno == Errno::EPERM,
    }
}

/// Why the namespace behind `namespace` could not be pinned on `file`.
pub fn pin_refused(
    kind: Kind,
    namespace: BorrowedFd<'_>,
    file: &Path,
    errno: Errno,
) -> Option<String> {
    match errno {
        Errno::EPERM if !is_admin() => Some(
            "pinning is a mount outside, which needs CAP_SYS_ADMIN there: -r does not give it"
                .into(),
        ),
        Errno::EINVAL if kind == Kind::Mount => {
            if let Some(point) = shared_mount_of(file) {
                return Some(format!(
                    "{} lies on the shared mount {point}, which would carry the pin into the namespace itself: \
                     mount --bind DIR DIR; mount --make-private DIR for its directory first",
                    file.display()
                ));
            }
            let own = fs::File::open("/proc/self/ns/mnt").ok()?;
            let (own, new) = nsfs::mount_id(own.as_fd())
                .ok()
                .zip(nsfs::mount_id(namespace).ok())?;
            (own >= new).then(|| {
                "the kernel takes the new mount namespace for an older one than ours (since Linux 6.17 their \
                 numbers are dealt out per CPU): try again with taskset -c 0 before unshare"
                    .into()
            })
        }
        _ => None,
    }
}

/// The mount point of the mount that `file` lies on, if it is shared.
fn shared_mount_of(file: &Path) -> Option<String> {
    let handle = fs::File::open(file).ok()?;
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", handle.as_raw_fd())).ok()?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?;
    let mounts = mountinfo::read("self").ok()?;
    let mount = mountinfo::by_id(&mounts, id.trim().parse().ok()?)?;
    mount.shared.then(|| mount.point.display().to_string())
}

/// Why a program could not be executed.
pub fn exec_failed(_program: &OsStr, _errno: Errno) -> Option<String> {
    None
}

/// Why the kernel refused to change a network: nobody but `CAP_NET_ADMIN` may, and entering one takes `CAP_SYS_ADMIN`.
pub fn network_refused(errno: Errno) -> Option<String> {
    /// The bit of `CAP_NET_ADMIN`.
    const CAP_NET_ADMIN: u64 = 1 << 12;
    if errno != Errno::EPERM {
        return None;
    }
    let missing = match (has(CAP_NET_ADMIN), is_admin()) {
        (false, _) => "CAP_NET_ADMIN",
        (true, false) => "CAP_SYS_ADMIN, without which no other network namespace can be entered",
        (true, true) => {
            return Some(
                "the network namespace belongs to another user namespace than ours".into(),
            );
        }
    };
    Some(format!(
        "this process lacks {missing}; an ordinary user has it in namespaces of their own: unshare -rn"
    ))
}
