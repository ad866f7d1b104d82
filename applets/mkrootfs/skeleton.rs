//! mkrootfs without an image: a skeleton with programs of the host, and trees as initramfs.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write, stdout};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use isobox::error::{Doing, Error, Result};
use isobox::root::{self, Root};
use isobox::rootfs::host::Host;
use isobox::rootfs::initramfs::{self, Init, Options};
use isobox::rootfs::plant::plant;
use isobox::rootfs::skeleton::Skeleton;
use isobox::rootfs::staging::Staging;
use nix::unistd::{getegid, geteuid};

use crate::cli::{Exit, say};
use crate::table;

/// What is wanted in a tree of our own.
pub(super) struct Wanted {
    pub(super) add: Vec<OsString>,
    pub(super) busybox: bool,
    pub(super) shell: bool,
}

impl Wanted {
    /// Refuses what can only be put into a tree of our own.
    pub(super) fn goes_with_no_input(&self) -> Result<()> {
        if self.add.is_empty() && !self.busybox && !self.shell {
            return Ok(());
        }
        Err(Error::new(
            "--add, --busybox and --shell are for a tree of our own: they go with no input",
        ))
    }

    /// Makes the tree in a directory.
    pub(super) fn directory(self, target: &Path) -> Result<Exit> {
        let host = host()?;
        let host = Host::new(Root::new(host.as_fd()));
        let tree = self.skeleton()?.tree(host)?;
        let staging = Staging::new(target)?;
        let planted = plant(&tree, host, staging.root()?.as_fd(), latest()?)?;
        staging.finish(target, false)?;
        if planted.devices_refused > 0 {
            say(
                "note: only root of the machine can make devices: /dev has none. Whoever gives the tree a /dev of its own (pivot --dev, container run) needs none\n",
            );
        }
        Ok(Exit::OK)
    }

    /// Writes the tree as an initramfs.
    pub(super) fn archive(self, target: Option<&Path>) -> Result<Exit> {
        let host = host()?;
        let host = Host::new(Root::new(host.as_fd()));
        let tree = self.skeleton()?.tree(host)?;
        let options = Options {
            latest: latest()?,
            ..Options::default()
        };
        write_to(target, |out| {
            initramfs::write_tree(&tree, host, out, options)
        })
    }

    fn skeleton(self) -> Result<Skeleton> {
        Ok(Skeleton {
            own: Some((
                own_binary()?,
                table::all().map(|entry| entry.name).collect(),
            )),
            add: self.add,
            busybox: self.busybox,
            shell: self.shell,
            path: search_path(),
        })
    }
}

/// Writes a directory as an initramfs. Where it has no /init, it gets one that runs `command`.
pub(super) fn archive(tree: &Path, command: &[OsString], target: Option<&Path>) -> Result<Exit> {
    let root = root::open(tree)?;
    let own = own_binary()?;
    let user = (geteuid().as_raw(), getegid().as_raw());
    let options = Options {
        latest: latest()?,
        owner: (user.0 != 0).then_some(user),
        init: Some(Init { own: &own, command }),
    };
    let mut sockets = 0;
    write_to(target, |out| {
        sockets = initramfs::write_directory(root.as_fd(), out, options)?.sockets;
        Ok(())
    })?;
    if sockets > 0 {
        say(&format!("note: sockets left out: {sockets}\n"));
    }
    Ok(Exit::OK)
}

fn own_binary() -> Result<OwnedFd> {
    let own = File::open("/proc/self/exe").doing("cannot open our own binary")?;
    Ok(own.into())
}

/// The root that programs are taken from: that of this process.
fn host() -> Result<OwnedFd> {
    root::open(Path::new("/"))
}

/// Hands `write` the file of this name, made anew, or standard output.
pub(super) fn write_to(
    target: Option<&Path>,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<Exit> {
    let target = target.filter(|target| *target != Path::new("-"));
    let (file, name) = match target {
        Some(path) => (File::create(path).doing_to("cannot make", path)?, path),
        None if stdout().is_terminal() => {
            return Err(Error::new("an archive is not written to a terminal")
                .hint("name a file, or a pipe behind it"));
        }
        None => {
            let out = stdout().as_fd().try_clone_to_owned();
            (
                out.doing("cannot write to standard output")?.into(),
                Path::new("-"),
            )
        }
    };
    let mut out = BufWriter::with_capacity(1 << 16, file);
    write(&mut out)?;
    out.flush().doing_to("cannot write", name)?;
    Ok(Exit::OK)
}

/// Where programs are looked for: PATH, and where those of administrators are.
fn search_path() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .filter(|dir| dir.is_absolute())
        .collect();
    for dir in [
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
    ] {
        if !dirs.iter().any(|known| known == Path::new(dir)) {
            dirs.push(dir.into());
        }
    }
    dirs
}

/// SOURCE_DATE_EPOCH, as reproducible-builds.org has it.
fn latest() -> Result<Option<i64>> {
    let Some(text) = env::var_os("SOURCE_DATE_EPOCH").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let seconds = text
        .to_str()
        .and_then(|text| text.parse().ok())
        .filter(|n| *n >= 0);
    match seconds {
        Some(seconds) => Ok(Some(seconds)),
        None => Err(Error::new("SOURCE_DATE_EPOCH is no number of seconds:").on(text)),
    }
}
