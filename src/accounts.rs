//! Users and groups by name: `/etc/passwd` and `/etc/group` (passwd(5), group(5)), of this root or of another.
//!
//! The files alone: a static binary cannot load the C library's name services. They may lie in a root that
//! somebody hostile made, so they are opened below that root (openat2(2)), must be regular files, and are
//! read up to a limit; beyond it there is an error, never half an answer.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::error::{Doing, Error, Result};
use crate::sys::mount::{openat2, resolve};

/// Most bytes of a file that are read.
const LARGEST: u64 = 1024 * 1024;
/// Longest line of passwd.
const PASSWD_LINE: usize = 4096;
/// Longest line of group, which may list a thousand members.
const GROUP_LINE: usize = 64 * 1024;

/// A line of passwd(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The login name.
    pub name: OsString,
    /// The user id.
    pub uid: u32,
    /// The login group.
    pub gid: u32,
    /// The home directory.
    pub home: OsString,
    /// The login shell; may be empty.
    pub shell: OsString,
}

/// The two files of one root. Each is read when it is first needed, and once.
#[derive(Debug)]
pub struct Accounts {
    root: OwnedFd,
    passwd: Option<Vec<u8>>,
    group: Option<Vec<u8>>,
}

impl Accounts {
    /// Those of the root directory behind `root`.
    pub fn of_root(root: OwnedFd) -> Self {
        Self {
            root,
            passwd: None,
            group: None,
        }
    }

    /// Those of this process's root.
    ///
    /// # Errors
    /// Where `/` cannot be opened.
    pub fn here() -> Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = open("/", flags, Mode::empty()).doing_to("cannot open", "/")?;
        Ok(Self::of_root(root))
    }

    /// The first user of this name.
    ///
    /// # Errors
    /// Where the file is there but cannot be read safely.
    pub fn user(&mut self, name: &OsStr) -> Result<Option<User>> {
        let name = name.as_bytes();
        Ok(users(self.passwd()?).find(|user| user.name.as_bytes() == name))
    }

    /// The first user of this id.
    ///
    /// # Errors
    /// Where the file is there but cannot be read safely.
    pub fn user_of(&mut self, uid: u32) -> Result<Option<User>> {
        Ok(users(self.passwd()?).find(|user| user.uid == uid))
    }

    /// The id of the first group of this name.
    ///
    /// # Errors
    /// Where the file is there but cannot be read safely.
    pub fn group(&mut self, name: &OsStr) -> Result<Option<u32>> {
        let name = name.as_bytes();
        let found = groups(self.groups()?).find(|group| group.name == name);
        Ok(found.map(|group| group.gid))
    }

    /// The groups of a user as initgroups(3) sets them: `primary`, then each that lists the user as a member,
    /// none twice.
    ///
    /// # Errors
    /// Where the file is there but cannot be read safely.
    pub fn groups_of(&mut self, user: &OsStr, primary: u32) -> Result<Vec<u32>> {
        let mut ids = vec![primary];
        for group in groups(self.groups()?) {
            if !ids.contains(&group.gid) && group.has(user.as_bytes()) {
                ids.push(group.gid);
            }
        }
        Ok(ids)
    }

    fn passwd(&mut self) -> Result<&[u8]> {
        if self.passwd.is_none() {
            self.passwd = Some(read(&self.root, "etc/passwd", PASSWD_LINE)?);
        }
        Ok(self.passwd.as_deref().unwrap_or_default())
    }

    fn groups(&mut self) -> Result<&[u8]> {
        if self.group.is_none() {
            self.group = Some(read(&self.root, "etc/group", GROUP_LINE)?);
        }
        Ok(self.group.as_deref().unwrap_or_default())
    }
}

/// A line of group(5).
struct Group<'a> {
    name: &'a [u8],
    gid: u32,
    members: &'a [u8],
}

impl Group<'_> {
    fn has(&self, user: &[u8]) -> bool {
        self.members.split(|b| *b == b',').any(|name| name == user)
    }
}

/// The lines that are users. What is none (a comment, a NIS line, a wrong number of fields, an id that is no
/// number) is passed over, as the C library does.
fn users(text: &[u8]) -> impl Iterator<Item = User> {
    lines(text).filter_map(|line| {
        let mut fields = line.split(|b| *b == b':');
        let name = fields.next()?;
        let (_, uid, gid) = (fields.next()?, fields.next()?, fields.next()?);
        let (_, home, shell) = (fields.next()?, fields.next()?, fields.next()?);
        if fields.next().is_some() {
            return None;
        }
        let owned = |field: &[u8]| OsString::from_vec(field.to_vec());
        Some(User {
            uid: number(uid)?,
            gid: number(gid)?,
            name: owned(name),
            home: owned(home),
            shell: owned(shell),
        })
    })
}

/// The lines that are groups.
fn groups(text: &[u8]) -> impl Iterator<Item = Group<'_>> {
    lines(text).filter_map(|line| {
        let mut fields = line.split(|b| *b == b':');
        let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
        let members = fields.next()?;
        if fields.next().is_some() {
            return None;
        }
        let gid = number(gid)?;
        Some(Group { name, gid, members })
    })
}

/// The lines that could be entries: those that start with a name and hold no NUL.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| *b == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !matches!(line.first(), None | Some(b'#' | b'+' | b'-' | b':')))
        .filter(|line| !line.contains(&0))
}

/// An id in one of the files. -1 means "no id" to the kernel and is none.
fn number(digits: &[u8]) -> Option<u32> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let value = std::str::from_utf8(digits).ok().filter(|_| plain)?;
    value.parse().ok().filter(|id| *id != u32::MAX)
}

/// One of the files, empty where there is none (or it may not be read: the C library finds nothing then, too).
fn read(root: &OwnedFd, path: &str, longest_line: usize) -> Result<Vec<u8>> {
    use std::os::fd::AsFd;
    match read_bounded(root.as_fd(), Path::new(path), longest_line) {
        Err(error)
            if matches!(
                error.errno(),
                Some(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES)
            ) =>
        {
            Ok(Vec::new())
        }
        other => other,
    }
}

fn read_bounded(root: BorrowedFd<'_>, path: &Path, longest_line: usize) -> Result<Vec<u8>> {
    // Non-blocking, so that a FIFO does not keep us; a device is refused before anything is read from it.
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
    let within = resolve::IN_ROOT | resolve::NO_MAGICLINKS;
    let shown = || Path::new("/").join(path);
    let file = openat2(root, path, flags, 0, within).doing_to("cannot open", shown())?;
    let file = File::from(file);
    let meta = file.metadata().doing_to("cannot stat", shown())?;
    let refuse = |reason: &'static str| Err(Error::new("cannot use").on(shown()).because(reason));
    if !meta.is_file() {
        return refuse("not a regular file");
    }
    if meta.len() > LARGEST {
        return refuse("larger than 1 MiB");
    }
    let mut text = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0) + 1);
    let read = file.take(LARGEST + 1).read_to_end(&mut text);
    if read.doing_to("cannot read", shown())? as u64 > LARGEST {
        return refuse("larger than 1 MiB");
    }
    if text
        .split(|b| *b == b'\n')
        .any(|line| line.len() > longest_line)
    {
        return refuse("it has a line that is too long");
    }
    Ok(text)
}
