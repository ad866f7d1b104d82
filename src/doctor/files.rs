//! What file systems can be mounted in a mount namespace of one's own, and where images and containers are kept.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, statfs};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, access, geteuid};

use super::{Places, Report, State};
use crate::apart::{apart, enter, perform};
use crate::cgroup::value::human;
use crate::error::{Doing, Error, Result};
use crate::idmap::Range;
use crate::mount::IdMap;
use crate::plan::steps::proc::MountProc;
use crate::probe;
use crate::sys::mount::{attr, fsmount, fsopen};
use crate::throw_away::{layered, mapped};

pub(super) fn look(report: &mut Report, places: &Places) {
    let tmpfs = apart(&mut || {
        enter(CloneFlags::CLONE_NEWNS)?;
        let made = fsopen(c"tmpfs").and_then(|context| fsmount(context.as_fd(), attr::NODEV));
        made.doing("cannot mount a tmpfs").map(|_| Vec::new())
    });
    report.tried(State::Fail, "tmpfs", "can be mounted", tmpfs.err());
    let overlay = apart(&mut || {
        enter(CloneFlags::CLONE_NEWNS)?;
        let lower: PathBuf = ["/usr", "/bin", "/"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .unwrap_or("/")
            .into();
        layered(&[lower], None).map(|_| Vec::new())
    });
    report.tried(State::Warn, "overlay", "can be mounted", overlay.err());
    let proc = apart(&mut || {
        enter(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID)?;
        apart(&mut || {
            let step = MountProc {
                target: "/proc".into(),
            };
            perform(step).map(|()| Vec::new())
        })
    });
    report.tried(
        State::Fail,
        "proc",
        "can be mounted in a new PID namespace",
        proc.err(),
    );
    if probe::is_admin() && geteuid().is_root() {
        let range = || {
            vec![Range {
                inside: 0,
                outside: 1 << 20,
                count: 1 << 16,
            }]
        };
        let ids = IdMap {
            users: range(),
            groups: range(),
        };
        let kept = places.images.as_deref().map_or(Path::new("/"), existing);
        let tried = apart(&mut || mapped::try_it(kept, false, &ids).map(|_| Vec::new()));
        let found = format!("the file system at {} has them", kept.display());
        report.tried(State::Warn, "id-mapped mounts", &found, tried.err());
    }
}

/// What is little for images, in bytes.
const LITTLE: u64 = 1 << 30;

pub(super) fn store(report: &mut Report, places: &Places) {
    let all = places.images.iter().map(|path| (path, "images"));
    let all = all.chain(places.containers.iter().map(|path| (path, "containers")));
    for (path, what) in all {
        let there = existing(path);
        let shown = path.display();
        if let Err(error) = writable(there) {
            report.tried(State::Fail, what, "", Some(error));
            continue;
        }
        let Ok(fs) = statvfs(there) else { continue };
        let free = fs.blocks_available().saturating_mul(fs.fragment_size());
        let found = format!("{shown}, {} free", human(free));
        let on_overlay =
            || statfs(there).is_ok_and(|fs| fs.filesystem_type() == OVERLAYFS_SUPER_MAGIC);
        let advice = if fs.flags().contains(FsFlags::ST_NOEXEC) && what == "images" {
            "mounted noexec: programs of images do not start; ISOBOX_ROOT names another place"
        } else if fs.blocks() > 0 && free < LITTLE && !there.starts_with("/run") {
            "little for images: ISOBOX_ROOT names another place"
        } else if what == "images" && on_overlay() {
            "on an overlay, which takes no other overlay's changes: ISOBOX_ROOT names another place"
        } else {
            report.ok(what, &found);
            continue;
        };
        report.add(State::Warn, what, &found, advice);
    }
}

/// What is there of a path: what is not there yet is made where it can be.
fn existing(path: &Path) -> &Path {
    let there = path.ancestors().find(|path| path.exists());
    there.unwrap_or(Path::new("/"))
}

fn writable(directory: &Path) -> Result<()> {
    let how = AccessFlags::W_OK | AccessFlags::X_OK;
    access(directory, how).map_err(|errno| {
        let error = Error::new("cannot write to").on(directory).errno_is(errno);
        match errno {
            Errno::EROFS | Errno::EACCES => error.hint("ISOBOX_ROOT names another place"),
            _ => error,
        }
    })
}
