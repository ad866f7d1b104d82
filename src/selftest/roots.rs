//! Changes of root, what is laid over a tree, what is unpacked into one; and all of it together, as a container.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, fstat, mkdirat, stat};
use nix::unistd::{UnlinkatFlags, chdir, mkdir, unlinkat};

use super::{Notes, must, texts};
use crate::apart::{enter, leave_chroot, perform};
use crate::error::{Doing, Error, Result};
use crate::namespace::Kind;
use crate::plan::steps::chroot::Chroot;
use crate::plan::steps::root::{BindRoot, PivotInto};
use crate::plan::{Plan, Quiet};
use crate::rootfs::apply::{Applier, Limits, Sort};
use crate::sys::mount::{fsmount, fsopen, move_mount};
use crate::tar::{self, Member, Writer};
use crate::throw_away::layered;

/// What stands in a root that we have made.
const MARK: &str = "isobox-selftest";

/// A directory that something can be mounted over.
pub(super) fn place() -> Result<(&'static str, OwnedFd)> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut all = ["/mnt", "/tmp", "/srv", "/home", "/bin", "/proc"].into_iter();
    let found = all.find_map(|path| Some((path, open(path, flags, Mode::empty()).ok()?)));
    found.ok_or_else(|| Error::new("there is no directory that something could be mounted on"))
}

fn tmpfs() -> Result<OwnedFd> {
    let made = fsopen(c"tmpfs").and_then(|context| fsmount(context.as_fd(), 0));
    made.doing("cannot mount a tmpfs")
}

/// Mounts an empty file system there.
pub(super) fn mount_tmpfs(place: BorrowedFd<'_>) -> Result<OwnedFd> {
    let made = tmpfs()?;
    move_mount(made.as_fd(), place).doing("cannot attach a tmpfs")?;
    Ok(made)
}

fn touch(dir: &OwnedFd, name: &str) -> Result<()> {
    let flags = OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    openat(dir, name, flags, Mode::S_IRUSR)
        .map(drop)
        .doing_to("cannot make", name)
}

fn has(dir: &OwnedFd, name: &str) -> bool {
    openat(dir, name, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).is_ok()
}

fn make_directory(dir: &OwnedFd, name: &str) -> Result<OwnedFd> {
    mkdirat(dir, name, Mode::S_IRWXU).doing_to("cannot make", name)?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    openat(dir, name, flags, Mode::empty()).doing_to("cannot open", name)
}

/// In a mount namespace of our own, at the root of it: a place with an empty file system on it.
fn stage() -> Result<(&'static str, OwnedFd)> {
    enter(Kind::Mount.flag())?;
    // A chroot is left, where that is possible, and where it is not, there is none.
    let _ = leave_chroot();
    let (path, place) = place()?;
    let made = mount_tmpfs(place.as_fd())?;
    touch(&made, MARK)?;
    Ok((path, made))
}

/// Whether root, who knows how, gets out of its root: it enters another below it and climbs from where it still is.
fn gets_out(root: &OwnedFd) -> Result<bool> {
    let cannot = "cannot try to get out";
    mkdir("/below", Mode::S_IRWXU).doing(cannot)?;
    nix::unistd::chroot("/below").doing(cannot)?;
    for _ in 0..64 {
        chdir("..").doing(cannot)?;
    }
    let (here, root) = (stat("."), fstat(root));
    Ok(here.doing(cannot)?.st_dev != root.doing(cannot)?.st_dev)
}

/// What is seen of the old root and of the new one from where we are.
fn look(notes: &Notes, change: &mut dyn FnMut(&'static str) -> Result<()>) -> Result<bool> {
    let [old, new, out] = texts(&mut || {
        let (path, root) = stage()?;
        change(path)?;
        chdir("/").doing_to("cannot change directory to", "/")?;
        let (new, old) = (has_path(MARK), Path::new(path).exists());
        let out = if new { gets_out(&root)? } else { true };
        Ok([old, new, out].map(|one| one.to_string()))
    })?;
    notes.saw("the old root is there", &old, &true);
    notes.saw("root gets out of it", &out, &"-");
    must(new == "true", "the root is still the old one")?;
    must(old == "false", "what lies in the old root is still there")?;
    Ok(out == "true")
}

fn has_path(name: &str) -> bool {
    Path::new("/").join(name).exists()
}

pub(super) fn chroot(notes: &Notes) -> Result<()> {
    // Root gets out of a chroot: that is no failure of it, and why there is pivot_root(2).
    look(notes, &mut |path| perform(Chroot { root: path.into() })).map(drop)
}

pub(super) fn pivot(notes: &Notes) -> Result<()> {
    let out = look(notes, &mut |path| {
        let mut plan = Plan::effects();
        let root = plan.slot();
        plan.then(BindRoot {
            path: path.into(),
            slot: root,
        });
        plan.then(PivotInto {
            root,
            put_old: None,
        });
        plan.run(&Quiet).map(drop)
    })?;
    must(!out, "the old root can be reached from the new one")
}

pub(super) fn overlay(notes: &Notes) -> Result<()> {
    let [old, new, under, over] = texts(&mut || {
        let (path, made) = stage()?;
        let lower = make_directory(&made, "lower")?;
        touch(&lower, "old")?;
        let shown = layered(&[Path::new(path).join("lower")], None)?;
        touch(&shown, "new")?;
        unlinkat(&shown, "old", UnlinkatFlags::NoRemoveDir).doing_to("cannot remove", "old")?;
        let found = [
            has(&shown, "old"),
            has(&shown, "new"),
            has(&lower, "old"),
            has(&lower, "new"),
        ];
        Ok(found.map(|one| one.to_string()))
    })?;
    notes.saw("a file that was removed inside", &old, &under);
    notes.saw("a file that was made inside", &new, &over);
    must(
        old == "false" && new == "true",
        "what is written to it is not seen in it",
    )?;
    must(
        under == "true" && over == "false",
        "what is written to it changes what is below",
    )
}

pub(super) fn layers(notes: &Notes) -> Result<()> {
    let [removed, kept, outside, refused] = texts(&mut || {
        enter(Kind::Mount.flag())?;
        let made = tmpfs()?;
        let root = make_directory(&made, "root")?;
        let outside = make_directory(&made, "outside")?;
        let copy = || root.try_clone().doing("cannot copy a descriptor");
        let mut applier = Applier::new(copy()?, Limits::default());
        for layer in [
            tar(&[("dir/old", ""), ("dir/kept", ""), ("out", "../outside")])?,
            tar(&[("dir/.wh.old", "")])?,
        ] {
            applier.layer(&layer[..], Sort::Layer)?;
        }
        // Each by itself: the first that is refused ends its archive.
        let mut refused = 0;
        for attack in ["out/mark", "../outside/mark", "/../outside/mark"] {
            let mut applier = Applier::merge(copy()?, Limits::default(), None);
            refused += u32::from(
                applier
                    .layer(&tar(&[(attack, "")])?[..], Sort::Layer)
                    .is_err(),
            );
        }
        let found = [
            !has(&root, "dir/old"),
            has(&root, "dir/kept"),
            has(&outside, "mark"),
        ];
        let [removed, kept, outside] = found.map(|one| one.to_string());
        Ok([removed, kept, outside, refused.to_string()])
    })?;
    notes.saw("removed by the layer above", &removed, &"-");
    notes.saw(
        "members that lead outside: written there, of 3 refused",
        &outside,
        &refused,
    );
    must(removed == "true", "what a layer removes is still there")?;
    must(kept == "true", "what no layer removes is gone")?;
    must(
        outside == "false",
        "an archive has written outside of its tree",
    )
}

/// A tar of empty files, and of links where there is something to lead to.
fn tar(members: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut out = Writer::new(&mut bytes as &mut dyn Write);
    for (path, target) in members {
        let link = !target.is_empty();
        let member = Member {
            path: path.as_bytes().to_vec(),
            link: target.as_bytes().to_vec(),
            kind: if link {
                tar::Kind::Symlink
            } else {
                tar::Kind::File
            },
            mode: 0o644,
            ..Member::default()
        };
        out.start(&member).doing("cannot make an archive")?;
    }
    out.finish().doing("cannot make an archive")?;
    Ok(bytes)
}
