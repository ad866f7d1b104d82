//! The end of a container: what lives of it is ended, its control groups go, and last what is written down of it.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::poll::PollTimeout;
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::cgroup::tree;
use crate::error::{Doing, Error, Result};
use crate::oci::compile::run_hooks;
use crate::oci::spec::Spec;
use crate::oci::state::{Id, Kept, Record, Store};
use crate::oci::status::wait_for_end;
use crate::order;
use crate::sys::clone::pidfd_send_signal;

/// Takes away what is left of a name whose record is not there or is none.
///
/// # Errors
/// The kernel's answer; where there is nothing of that name that is none.
pub fn clear(store: &Path, id: &Id) -> Result<()> {
    let kept = Store::look(store)?
        .map(|store| store.find(id))
        .transpose()?
        .flatten();
    match kept {
        None => Ok(()),
        Some(kept) => {
            let _lock = kept.lock()?;
            // Whoever was making it may have gone on until now.
            match kept.record() {
                Ok(Some(record)) => take_away(&kept, &record).map(drop),
                Err(error) if error.errno().is_some() => Err(error),
                _ => kept.remove(),
            }
        }
    }
}

/// Runs the hooks that follow the end of a container. What they fail with is told, and stops nothing.
fn hooks_after_end(kept: &Kept, record: &Record) -> Result<()> {
    let text = kept.read("config.json")?;
    let spec = text.map(|text| Spec::parse(&text)).transpose()?;
    let Some(spec) = spec else { return Ok(()) };
    let (id, bundle) = (kept.id().as_str(), record.bundle());
    run_hooks("poststop", &spec, (id, bundle), ("stopped", 0))
}

/// Ends what lives of a container, and removes all of it. What a hook that follows the end failed with is to be told, and
/// is no failure (config.md, "POSIX-platform Hooks").
pub(super) fn take_away(kept: &Kept, record: &Record) -> Result<Option<Error>> {
    if let Some((_, pidfd)) = record.first() {
        // Frozen by v1 it could not end; one that ended meanwhile is what we want.
        let _ = record
            .is_frozen()
            .then(|| tree::freeze_groups(&record.own_groups(), false));
        let _ = pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
        let ended = wait_for_end(&pidfd, PollTimeout::from(10_000_u16));
        // Where it has groups, all that does not end is named below.
        if !ended && record.own_groups().is_empty() {
            return Err(
                Error::new("the first process does not end").because("uninterruptible sleep")
            );
        }
    }
    remove_all(kept, record)
}

/// Removes the control groups of a container whose first process has ended and, last, what is written down of it.
pub(super) fn remove_all(kept: &Kept, record: &Record) -> Result<Option<Error>> {
    // Mostly nobody is left: its PID namespace ended with its first process.
    if record.remove_empty_groups().is_some() {
        let busy = record.own_groups();
        tree::kill_groups(&busy)?;
        for group in &busy {
            tree::remove_one(group, true)?;
        }
        if let Some(path) = record.remove_empty_groups() {
            return Err(Error::new("cannot remove the cgroup").on(path));
        }
    }
    record.leave_scope()?;
    remove_above(kept, &record.isobox.made_above)?;
    forget(kept, record)
}

/// Removes what is written down of a container of which nothing else is left. The hooks that follow its end run even where
/// it could not be made: those before its start may have done something (runtime.md, "Lifecycle").
pub(super) fn forget(kept: &Kept, record: &Record) -> Result<Option<Error>> {
    let hooks = match record.isobox.poststop {
        true => hooks_after_end(kept, record),
        false => Ok(()),
    };
    kept.remove()?;
    Ok(hooks.err())
}

/// Removes the groups that were made above a container's own, deepest first, as far as nobody else uses them. Those in
/// which there are other containers are theirs from then on.
fn remove_above(kept: &Kept, paths: &[PathBuf]) -> Result<()> {
    let mut in_use = Vec::new();
    let mut paths: Vec<&PathBuf> = paths.iter().collect();
    order::sort_by_key(&mut paths, |path| {
        std::cmp::Reverse(path.components().count())
    });
    for path in paths {
        match unlinkat(AT_FDCWD, path, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(Errno::EBUSY | Errno::ENOTEMPTY) => in_use.push(path),
            Err(errno) => return Err(errno).doing_to("cannot remove the cgroup", path),
        }
    }
    // It failing leaves an empty group, and is no reason to keep the container.
    let _ = hand_over(kept, in_use);
    Ok(())
}

/// Leaves each of these groups to a container below it, to be removed with that.
fn hand_over(kept: &Kept, mut groups: Vec<&PathBuf>) -> Result<()> {
    if groups.is_empty() {
        return Ok(());
    }
    let store = kept.store()?;
    for id in store.ids()?.iter().filter(|id| *id != kept.id()) {
        let Some(other) = store.find(id)? else {
            continue;
        };
        // Whoever is on his way out waits for nobody, or two could wait for each other.
        let (Some(_lock), Some(mut record)) = (other.lock_now()?, other.record()?) else {
            continue;
        };
        let is_below = |group: &&PathBuf| {
            let mut own = record.cgroup_paths.values();
            own.any(|own| own.starts_with(group) && own != *group)
        };
        let (theirs, left): (Vec<&PathBuf>, _) = groups.iter().partition(|group| is_below(group));
        if theirs.is_empty() {
            continue;
        }
        record.isobox.made_above.extend(theirs.into_iter().cloned());
        other.keep(&record)?;
        groups = left;
    }
    Ok(())
}
