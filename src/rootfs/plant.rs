//! Making a [`Tree`] in a directory. The directory is opened once, by the caller; everything is made below that
//! descriptor, each name in the directory that holds it, and no link is followed on the way: who may write there
//! while it is made cannot lead anything elsewhere.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::libc;
use nix::sys::stat::{
    Mode, SFlag, UtimensatFlags, fchmod, fstat, futimens, makedev, mkdirat, mknodat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown, fchownat, geteuid, symlinkat};

use super::host::Host;
use super::tree::{Kind, Node, Source, Tree};
use crate::error::{Doing, Result};
use crate::root::without_umask;
use crate::sys::mount::{openat2, resolve};

/// No link and no mount on the way, and nothing above.
const OURS: u64 = resolve::BENEATH | resolve::NO_SYMLINKS | resolve::NO_MAGICLINKS;

/// What came of it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Planted {
    /// How many devices the kernel did not let us make: only root of the machine may.
    pub devices_refused: usize,
}

/// Makes the tree in an empty directory. Nothing gets a time later than `latest`, in seconds since 1970, where one
/// is given.
///
/// # Errors
/// The kernel's answer, with the path in the tree.
pub fn plant(
    tree: &Tree,
    host: Host<'_>,
    into: BorrowedFd<'_>,
    latest: Option<i64>,
) -> Result<Planted> {
    let mut planter = Planter {
        host,
        root: into,
        latest,
        is_root: geteuid().is_root(),
        parent: None,
        planted: Planted::default(),
    };
    without_umask(|| {
        for (path, node) in tree.nodes() {
            planter.make(path, node)?;
        }
        // Last, because whoever may not write to a directory cannot fill it, and filling it changes its time.
        for (path, node) in tree.nodes() {
            planter.finish_directory(path, node)?;
        }
        Ok(planter.planted)
    })
}

struct Planter<'a> {
    host: Host<'a>,
    root: BorrowedFd<'a>,
    latest: Option<i64>,
    is_root: bool,
    /// The directory that was used last: mostly it is the next one too.
    parent: Option<(PathBuf, OwnedFd)>,
    planted: Planted,
}

impl Planter<'_> {
    fn make(&mut self, path: &Path, node: &Node) -> Result<()> {
        let made = match &node.kind {
            Kind::File(source) => return self.file(path, node.mode, source),
            kind => self.make_node(path, node.mode, kind),
        };
        made.doing_to("cannot make in the tree", Path::new("/").join(path))
    }

    fn make_node(&mut self, path: &Path, mode: u32, kind: &Kind) -> Result<(), Errno> {
        let is_root = self.is_root;
        let latest = self.latest;
        let name = path.file_name().ok_or(Errno::EINVAL)?;
        let dir = self.directory_of(path)?;
        match kind {
            Kind::Directory => mkdirat(dir, name, Mode::from_bits_truncate(mode | 0o700))?,
            Kind::Link(target) => symlinkat(target.as_os_str(), dir, name)?,
            Kind::Device(major, minor) => {
                let mode = Mode::from_bits_truncate(mode);
                let numbers = makedev((*major).into(), (*minor).into());
                match mknodat(dir, name, SFlag::S_IFCHR, mode, numbers) {
                    Err(Errno::EPERM) => {
                        self.planted.devices_refused += 1;
                        return Ok(());
                    }
                    other => other?,
                }
            }
            Kind::File(_) => return Err(Errno::EINVAL),
        }
        if is_root {
            // A directory above with the set-group-id bit would have given its group.
            let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
            fchownat(
                dir,
                name,
                Some(uid),
                Some(gid),
                AtFlags::AT_SYMLINK_NOFOLLOW,
            )?;
        }
        if let Some(latest) = latest {
            let time = TimeSpec::new(latest, 0);
            utimensat(dir, name, &time, &time, UtimensatFlags::NoFollowSymlink)?;
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, mode: u32, source: &Source) -> Result<()> {
        let shown = || Path::new("/").join(path);
        let mut from = open(self.host, source)?;
        let name = Path::new(path.file_name().unwrap_or_default());
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        let dir = self
            .directory_of(path)
            .doing_to("cannot make in the tree", shown())?;
        let fd =
            openat2(dir, name, flags, 0o600, OURS).doing_to("cannot make in the tree", shown())?;
        let mut to = File::from(fd);
        match &mut from {
            Contents::Bytes(bytes) => to.write_all(bytes).doing_to("cannot write", shown())?,
            Contents::File(from) => {
                io::copy(from, &mut to).doing_to("cannot write", shown())?;
            }
        }
        self.finish_file(&to, mode, &from)
            .doing_to("cannot finish", shown())
    }

    /// The owner before the mode, because a change of owner clears set-id bits; the time last.
    fn finish_file(&self, file: &File, mode: u32, from: &Contents<'_>) -> Result<(), Errno> {
        if self.is_root {
            fchown(file, Some(Uid::from_raw(0)), Some(Gid::from_raw(0)))?;
        }
        fchmod(file, Mode::from_bits_truncate(mode))?;
        let modified = match from {
            Contents::File(from) => Some(fstat(from)?.st_mtime),
            Contents::Bytes(_) => self.latest,
        };
        if let Some(modified) = modified {
            let time = TimeSpec::new(
                self.latest.map_or(modified, |latest| latest.min(modified)),
                0,
            );
            futimens(file, &time, &time)?;
        }
        Ok(())
    }

    fn finish_directory(&mut self, path: &Path, node: &Node) -> Result<()> {
        if !matches!(node.kind, Kind::Directory) {
            return Ok(());
        }
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        let finished = openat2(self.root, path, flags, 0, OURS).and_then(|dir| {
            if node.mode & 0o700 != 0o700 {
                fchmod(&dir, Mode::from_bits_truncate(node.mode))?;
            }
            match self.latest {
                Some(latest) => {
                    futimens(&dir, &TimeSpec::new(latest, 0), &TimeSpec::new(latest, 0))
                }
                None => Ok(()),
            }
        });
        finished.doing_to("cannot finish", Path::new("/").join(path))
    }

    fn directory_of(&mut self, path: &Path) -> Result<BorrowedFd<'_>, Errno> {
        let parent = path.parent().unwrap_or(Path::new(""));
        if self
            .parent
            .as_ref()
            .is_none_or(|(known, _)| known != parent)
        {
            let flags = libc::O_PATH | libc::O_DIRECTORY;
            let name = if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            };
            let dir = openat2(self.root, name, flags, 0, OURS)?;
            self.parent = Some((parent.into(), dir));
        }
        self.parent
            .as_ref()
            .map(|(_, dir)| dir.as_fd())
            .ok_or(Errno::EBADF)
    }
}

/// What a file of the tree holds.
pub(super) enum Contents<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// All of this file.
    File(File),
}

/// Opens what a file of the tree is made from.
pub(super) fn open<'a>(host: Host<'_>, source: &'a Source) -> Result<Contents<'a>> {
    Ok(match source {
        Source::Bytes(bytes) => Contents::Bytes(bytes),
        Source::Host(path) => {
            let shown = Path::new("/").join(path);
            Contents::File(host.open(path).doing_to("cannot open", shown)?)
        }
        Source::Open(fd) => Contents::File(own_file(fd)?),
    })
}

/// Our own binary from its start, by a descriptor that was opened for reading.
pub(super) fn own_file(fd: &OwnedFd) -> Result<File> {
    let opened = fd.try_clone().and_then(|fd| {
        let mut file = File::from(fd);
        file.rewind()?;
        Ok(file)
    });
    opened.doing("cannot read our own binary")
}
