//! A handle on our own binary that works in any root and that nobody there can write through.
//!
//! `pivot ROOT setpriv ... CMD` runs our `setpriv` though ROOT holds no such file: by descriptor (execveat(2)).
//! A process that runs a file offers it to others as `/proc/PID/exe`, so a root inside could overwrite the
//! host's binary (CVE-2019-5736). Three kinds of handle, the cheapest that is safe:
//!
//! 1. the file itself, where this user may not write it anyhow;
//! 2. a read-only detached mount of it (27 to 40 microseconds), where we may mount;
//! 3. a copy in a sealed memory file (1 to 3 milliseconds).
//!
//! Who goes into a container where others are already, or stays in one, executes itself from such a handle first. Who
//! starts the first process of one and waits outside need not, which saves a twentieth of a start: nobody is in there who
//! could look, unless a hook brings them or the PID namespace is not new ([`crate::oci::Spec::has_company`]). But the
//! program may be `/proc/self/exe`, by a link or behind `#!`: then we are that process, and see to it ourselves
//! ([`is_lent`]). That the kernel lets nobody write to a file while it is executed is no protection: it ends with the
//! process outside, before its container does, and Linux 6.11 did without.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::copy;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, FcntlArg, OFlag, SealFlag, fcntl, openat, readlink};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{FileStat, Mode, fstat, stat};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{AccessFlags, access, execveat, getpid, getuid};

use crate::capability::{Capability, Set};
use crate::error::{Doing, Result};
use crate::sys::mount::{MountAttr, attr, mount_setattr, open_tree, open_tree_flags};
use crate::sys::{caps, task, xattr};

const OWN: &str = "/proc/self/exe";

/// Whose a file is seen to be whose owner has no id in this user namespace (user_namespaces(7), `overflowuid`).
const NOBODY: u32 = 65534;

/// Has this process run from a protected handle on its binary from here on: executes it anew, with the words that it was
/// executed with, unless it runs from one already. For whoever goes into a container, or waits in one: what its
/// `/proc/PID/exe` leads to must not be the file that the next caller executes.
///
/// # Errors
/// As [`protected`], and those of execveat(2).
pub fn run_protected(env: &[OsString]) -> Result<()> {
    const WORDS: &str = "/proc/self/cmdline";
    let plain = open_own(OFlag::O_PATH).doing_to("cannot open", OWN)?;
    if is_read_only(&plain) || is_sealed() {
        return Ok(());
    }
    let words = std::fs::read(WORDS).doing_to("cannot read", WORDS)?;
    let words = words.strip_suffix(&[0]).unwrap_or(&words);
    let words = words.split(|byte| *byte == 0);
    let words: Vec<OsString> = words.map(|one| OsStr::from_bytes(one).into()).collect();
    run_from_handle(&words, env).map(|never| match never {})
}

/// Whether this is the first process of a container that was given no such file: its own is one of the host's, which the
/// root in here might be able to write to. Then it must do nothing before [`run_from_handle`].
pub fn is_lent() -> bool {
    if getpid().as_raw() != 1 {
        return false;
    }
    // Where there is no /proc, nobody else will find the file either.
    let Ok(plain) = open_own(OFlag::O_PATH) else {
        return false;
    };
    let Ok(own) = fstat(&plain) else {
        return true;
    };
    !is_on_read_only(&plain) && !is_sealed() && !lies_in_this_root(&own) && !is_out_of_reach(&own)
}

fn lies_in_this_root(own: &FileStat) -> bool {
    let here = readlink(OWN).and_then(|path| stat(path.as_os_str()));
    here.is_ok_and(|here| (here.st_dev, here.st_ino) == (own.st_dev, own.st_ino))
}

/// Whether the file belongs to nobody of this user namespace and only its owner may write to it: then the kernel refuses
/// even the root in here who may override permissions. What it refuses anybody else says nothing about others in here.
fn is_out_of_reach(own: &FileStat) -> bool {
    let overrides = || {
        let permitted = caps::get().map_or(0, |sets| sets.permitted);
        Capability::named("dac_override").is_some_and(|cap| Set(permitted).has(cap))
    };
    own.st_uid == NOBODY
        && own.st_mode & 0o022 == 0
        && getuid().is_root()
        && overrides()
        && access(OWN, AccessFlags::W_OK) == Err(Errno::EACCES)
}

/// Executes our binary anew, from a protected handle, with these arguments and this environment.
///
/// # Errors
/// As [`run_protected`].
pub fn run_from_handle(args: &[OsString], env: &[OsString]) -> Result<Infallible> {
    let binary = handle()?;
    let words = |words: &[OsString]| -> Result<Vec<CString>> {
        let word = |word: &OsString| CString::new(word.as_bytes()).map_err(|_| Errno::EINVAL);
        words
            .iter()
            .map(|one| word(one).doing("an argument holds a NUL"))
            .collect()
    };
    let (args, env) = (words(args)?, words(env)?);
    execveat(&binary, c"", &args, &env, AtFlags::AT_EMPTY_PATH)
        .doing("cannot execute our own binary")
}

/// Whether the file that this process runs gives privileges to whoever executes it: nothing here was written for that.
pub fn gives_privilege() -> bool {
    let set_id = || std::fs::metadata(OWN).map_or(true, |file| file.mode() & 0o6000 != 0);
    task::is_secure() && (set_id() || xattr::has(OWN.as_ref(), c"security.capability"))
}

/// Whether nobody whom this user could become inside can write to the binary of this process through its `/proc`.
fn is_read_only(plain: &OwnedFd) -> bool {
    // Any other error is none of who may write.
    is_on_read_only(plain)
        || matches!(
            access(OWN, AccessFlags::W_OK),
            Err(Errno::EACCES | Errno::EROFS)
        )
}

fn is_on_read_only(plain: &OwnedFd) -> bool {
    fstatvfs(plain).is_ok_and(|fs| fs.flags().contains(FsFlags::ST_RDONLY))
}

fn open_own(how: OFlag) -> nix::Result<OwnedFd> {
    openat(AT_FDCWD, OWN, how | OFlag::O_CLOEXEC, Mode::empty())
}

fn is_sealed() -> bool {
    let seals = open_own(OFlag::O_RDONLY).and_then(|file| fcntl(&file, FcntlArg::F_GET_SEALS));
    seals.is_ok_and(|seals| SealFlag::from_bits_truncate(seals).contains(SealFlag::F_SEAL_WRITE))
}

/// A protected handle on the binary of this process.
///
/// # Errors
/// Where `/proc` is not mounted, or memory for a copy is short.
pub fn protected() -> Result<OwnedFd> {
    let plain = open_own(OFlag::O_PATH).doing_to("cannot open", OWN)?;
    if is_read_only(&plain) {
        return Ok(plain);
    }
    handle()
}

fn handle() -> Result<OwnedFd> {
    read_only_mount().or_else(|_| sealed_copy())
}

fn read_only_mount() -> Result<OwnedFd> {
    let mount = open_tree(AT_FDCWD.as_fd(), Path::new(OWN), open_tree_flags::CLONE)
        .doing_to("cannot clone", OWN)?;
    let read_only = MountAttr {
        set: attr::RDONLY,
        ..MountAttr::default()
    };
    mount_setattr(mount.as_fd(), read_only, false)
        .doing("cannot make the clone of our binary read-only")?;
    Ok(mount)
}

fn sealed_copy() -> Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let memory = memfd_create("isobox", flags).doing("cannot make a memory file")?;
    let mut to = File::from(memory);
    let mut from = File::open(OWN).doing_to("cannot open", OWN)?;
    copy(&mut from, &mut to).doing("cannot copy our own binary")?;
    let seals = SealFlag::F_SEAL_SEAL
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_WRITE;
    fcntl(&to, FcntlArg::F_ADD_SEALS(seals)).doing("cannot seal the copy of our own binary")?;
    Ok(to.into())
}
