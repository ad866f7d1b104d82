//! Two trees that ought to be the same: what differs, place by place. One is what an archive says, made in a place of its
//! own; the other has been used since, or come another way. Nothing is written, no link is followed, and what is mounted
//! in the second is not looked into.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::sys::stat::{FileStat, fstat, major, minor};

use super::owner::is_allowed;
use super::pack::attributes;
use super::walk::{Found, names, walk};
use crate::error::{Doing, Result, printable, reason};

/// How much of each file is read at once.
const PIECE: usize = 128 * 1024;

/// Tells `each` of every difference of the tree below `have` from the one below `want`: the path, and what is wrong with
/// it.
///
/// # Errors
/// Where the wanted tree cannot be read, and what `each` answers.
pub fn compare(
    want: BorrowedFd<'_>,
    have: BorrowedFd<'_>,
    each: &mut dyn FnMut(&Path, &str) -> Result<()>,
) -> Result<()> {
    const LOOKING: &str = "cannot look at the tree";
    let mut comparing = Comparing {
        open: Vec::new(),
        files: HashMap::new(),
        each,
    };
    let root = Path::new("/");
    let stats = (fstat(want).doing(LOOKING)?, fstat(have).doing(LOOKING)?);
    // Its times are of when it was made.
    comparing.rights(root, &stats.0, &stats.1)?;
    let own = have.try_clone_to_owned().doing(LOOKING)?;
    comparing.enter(root, want, own)?;
    walk(want, &mut |path, found| comparing.place(path, found))
}

struct Comparing<'e> {
    /// The directories of the second tree on the way to the present place, where they are such.
    open: Vec<Option<OwnedFd>>,
    /// Files with several names: the file of the second tree that stands for one of the first, and the other way.
    files: HashMap<(bool, u64, u64), (u64, u64)>,
    each: &'e mut dyn FnMut(&Path, &str) -> Result<()>,
}

impl Comparing<'_> {
    fn place(&mut self, path: &Path, want: &Found<'_>) -> Result<()> {
        let depth = path.components().count();
        self.open.truncate(depth);
        // Of what is missing it is enough to say so once.
        let Some(Some(dir)) = self.open.last() else {
            return Ok(());
        };
        let dir = dir.try_clone().doing("cannot duplicate a descriptor")?;
        let is_directory = want.is(libc::S_IFDIR);
        if is_directory {
            self.open.push(None);
        }
        let have = match Found::at(dir.as_fd(), path.file_name().unwrap_or_default()) {
            Ok(have) => have,
            Err(Errno::ENOENT) => return (self.each)(path, "missing"),
            Err(errno) => return (self.each)(path, reason(errno)),
        };
        let kinds = (kind(&want.stat), kind(&have.stat));
        if kinds.0 != kinds.1 {
            return self.differs(path, "", kinds.1, kinds.0);
        }
        self.rights(path, &want.stat, &have.stat)?;
        let time = |stat: &FileStat| format!("{}.{:09}", stat.st_mtime, stat.st_mtime_nsec);
        self.differs(path, "time ", &time(&have.stat), &time(&want.stat))?;
        if !is_directory {
            self.links(path, &want.stat, &have.stat)?;
        }
        match self.content(path, want, &have) {
            Ok(result) => result,
            Err(Errno::EXDEV) => (self.each)(path, "something is mounted on it"),
            Err(errno) => (self.each)(path, &format!("cannot be read: {}", reason(errno))),
        }
    }

    /// Says so where two words are not the same.
    fn differs(&mut self, path: &Path, what: &str, have: &str, want: &str) -> Result<()> {
        if have == want {
            return Ok(());
        }
        (self.each)(path, &format!("{what}{have} instead of {want}"))
    }

    /// Mode and owner.
    fn rights(&mut self, path: &Path, want: &FileStat, have: &FileStat) -> Result<()> {
        let mode = |stat: &FileStat| match stat.st_mode & libc::S_IFMT {
            libc::S_IFLNK => String::new(),
            _ => format!("{:04o}", stat.st_mode & 0o7777),
        };
        self.differs(path, "mode ", &mode(have), &mode(want))?;
        let owner = |stat: &FileStat| format!("{}:{}", stat.st_uid, stat.st_gid);
        self.differs(path, "owner ", &owner(have), &owner(want))
    }

    /// The other names of the same file.
    fn links(&mut self, path: &Path, want: &FileStat, have: &FileStat) -> Result<()> {
        if want.st_nlink != have.st_nlink {
            let count = |stat: &FileStat| stat.st_nlink.to_string();
            return self.differs(path, "names: ", &count(have), &count(want));
        }
        if want.st_nlink < 2 {
            return Ok(());
        }
        let (one, other) = ((want.st_dev, want.st_ino), (have.st_dev, have.st_ino));
        let known = *self.files.entry((false, one.0, one.1)).or_insert(other);
        let back = *self.files.entry((true, other.0, other.1)).or_insert(one);
        if (known, back) == (other, one) {
            return Ok(());
        }
        (self.each)(path, "a hard link to another file")
    }

    /// What is in it, and its attributes.
    fn content(
        &mut self,
        path: &Path,
        want: &Found<'_>,
        have: &Found<'_>,
    ) -> Result<Result<()>, Errno> {
        let device = |stat: &FileStat| format!("{}:{}", major(stat.st_rdev), minor(stat.st_rdev));
        Ok(match want.stat.st_mode & libc::S_IFMT {
            libc::S_IFDIR => {
                let (one, other) = (want.open_directory()?, have.open_directory()?);
                self.attributes(path, one.as_fd(), other.as_fd())
                    .and_then(|()| self.enter(path, one.as_fd(), other))
            }
            libc::S_IFREG => {
                let (one, other) = (want.open()?, have.open()?);
                let size = |stat: &FileStat| stat.st_size.to_string();
                let sizes = (size(&want.stat), size(&have.stat));
                let told = self.attributes(path, one.as_fd(), other.as_fd());
                match told {
                    Ok(()) if sizes.0 != sizes.1 => self.differs(path, "size ", &sizes.1, &sizes.0),
                    Ok(()) => match first_difference(one, other)? {
                        Some(at) => (self.each)(path, &format!("other content from byte {at} on")),
                        None => Ok(()),
                    },
                    Err(error) => Err(error),
                }
            }
            libc::S_IFLNK => {
                let shown = |found: &Found<'_>| found.read_link().map(|to| printable(&to));
                self.differs(path, "leads to ", &shown(have)?, &shown(want)?)
            }
            libc::S_IFCHR | libc::S_IFBLK => {
                self.differs(path, "device ", &device(&have.stat), &device(&want.stat))
            }
            _ => Ok(()),
        })
    }

    /// Goes into a directory, and says what is in it that should not be.
    fn enter(&mut self, path: &Path, want: BorrowedFd<'_>, have: OwnedFd) -> Result<()> {
        const READING: &str = "cannot read";
        // Through a descriptor of its own, since reading moves it.
        let here = |dir: BorrowedFd<'_>| Found::at(dir, OsStr::new("."))?.open_directory();
        let wanted = here(want).and_then(|dir| names(dir.as_fd()));
        let wanted = wanted.doing_to(READING, path)?;
        let there = here(have.as_fd()).and_then(|dir| names(dir.as_fd()));
        for name in there.doing_to(READING, path)? {
            if wanted.binary_search(&name).is_err() {
                let path = path.join(name);
                (self.each)(path.strip_prefix("/").unwrap_or(&path), "extra")?;
            }
        }
        self.open.pop();
        self.open.push(Some(have));
        Ok(())
    }

    fn attributes(
        &mut self,
        path: &Path,
        want: BorrowedFd<'_>,
        have: BorrowedFd<'_>,
    ) -> Result<()> {
        let (want, have) = (attributes(want, is_compared), attributes(have, is_compared));
        let other = |one: &(Vec<u8>, Vec<u8>), all: &[(Vec<u8>, Vec<u8>)]| {
            all.iter().find(|(name, _)| *name == one.0).cloned()
        };
        for one in &want {
            let what = match other(one, &have) {
                None => "missing",
                Some(there) if there != *one => "differs",
                Some(_) => continue,
            };
            (self.each)(path, &format!("attribute {} {what}", shown(&one.0)))?;
        }
        for one in &have {
            if other(one, &want).is_none() {
                (self.each)(path, &format!("attribute {} extra", shown(&one.0)))?;
            }
        }
        Ok(())
    }
}

fn shown(name: &[u8]) -> String {
    printable(OsStr::from_bytes(name))
}

/// Whether an attribute is one of the tree, and not of the system that it lies on: an image's own, and what gives more
/// rights than the mode says or changes what an overlay shows.
fn is_compared(name: &[u8], value: &[u8]) -> bool {
    let more: [&[u8]; 3] = [b"system.posix_acl_", b"trusted.", b"user."];
    is_allowed(name, value)
        || name == b"security.capability"
        || more.iter().any(|start| name.starts_with(start))
}

fn kind(stat: &FileStat) -> &'static str {
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFDIR => "a directory",
        libc::S_IFREG => "a file",
        libc::S_IFLNK => "a symbolic link",
        libc::S_IFCHR => "a character device",
        libc::S_IFBLK => "a block device",
        libc::S_IFIFO => "a fifo",
        _ => "a socket",
    }
}

/// The first byte that is not the same in two files of the same length.
fn first_difference(one: File, other: File) -> Result<Option<u64>, Errno> {
    let failed = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
    let mut one = BufReader::with_capacity(PIECE, one);
    let mut other = BufReader::with_capacity(PIECE, other);
    let mut at = 0;
    loop {
        let (a, b) = (
            one.fill_buf().map_err(failed)?,
            other.fill_buf().map_err(failed)?,
        );
        let count = a.len().min(b.len());
        let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        if same < count || a.len() != b.len() && count == 0 {
            return Ok(Some(at + same as u64));
        }
        if count == 0 {
            return Ok(None);
        }
        at += count as u64;
        one.consume(count);
        other.consume(count);
    }
}
