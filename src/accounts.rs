//! Users and groups by name: `/etc/passwd` and `/etc/group` (passwd(5), group(5)), of this root or of another.
//!
//! The files alone: a static binary cannot load the C library's name services. They may lie in a root that
//! somebody hostile made, so they are opened below that root (openat2(2)), must be regular files, and are
//! read up to a limit; beyond it there is an error, never half an answer.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::decimal::decimal;
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
#[derive(Debug, Default)]
pub struct Accounts {
    /// Other roots than this process's: the first that has a file counts.
    roots: Vec<OwnedFd>,
    passwd: Option<Vec<u8>>,
    group: Option<Vec<u8>>,
}

impl Accounts {
    /// Those of the root directory behind `root`.
    pub fn of_root(root: OwnedFd) -> Self {
        Self::of_layers(vec![root])
    }

    /// Those of a root that is an overlay of these directories, the topmost first.
    pub fn of_layers(roots: Vec<OwnedFd>) -> Self {
        Self {
            roots,
            ..Self::default()
        }
    }

    /// Those of this process's root.
    pub fn here() -> Self {
        Self::default()
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

    /// The name of the first group of this id.
    ///
    /// # Errors
    /// Where the file is there but cannot be read safely.
    pub fn group_of(&mut self, gid: u32) -> Result<Option<OsString>> {
        let found = groups(self.groups()?).find(|group| group.gid == gid);
        Ok(found.map(|group| OsStr::from_bytes(group.name).to_owned()))
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
            self.passwd = Some(self.read("etc/passwd", PASSWD_LINE)?);
        }
        Ok(self.passwd.as_deref().unwrap_or_default())
    }

    fn groups(&mut self) -> Result<&[u8]> {
        if self.group.is_none() {
            self.group = Some(self.read("etc/group", GROUP_LINE)?);
        }
        Ok(self.group.as_deref().unwrap_or_default())
    }

    /// One of the files, empty where there is none (or it may not be read: the C library finds nothing then,
    /// too).
    fn read(&self, path: &str, longest_line: usize) -> Result<Vec<u8>> {
        let slash;
        let mut roots = &self.roots[..];
        if roots.is_empty() {
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            slash = [open("/", flags, Mode::empty()).doing_to("cannot open", "/")?];
            roots = &slash;
        }
        for root in roots {
            match read_bounded(root.as_fd(), Path::new(path), longest_line) {
                Err(error)
                    if matches!(
                        error.errno(),
                        Some(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES)
                    ) => {}
                // What an overlay takes for a deletion.
                Err(error) if error.errno() == Some(Errno::ENXIO) && roots.len() > 1 => break,
                other => return other,
            }
        }
        Ok(Vec::new())
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
    decimal(digits).filter(|id| *id != u32::MAX)
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_are_users() {
        type Users<'a> = &'a [(&'a str, u32, u32)];
        let cases: [(&str, Users); 12] = [
            ("a:x:5:6:g:/h:/s", &[("a", 5, 6)]),
            ("a:x:5:6:g:/h:/s\r\n", &[("a", 5, 6)]),
            ("a:x:5:6::/h:\nb:x:7:8:::\n", &[("a", 5, 6), ("b", 7, 8)]),
            ("# a:x:5:6:::\n\n+::::::\n-b::1:1:::\n:x:0:0:::", &[]),
            ("4294967296:x:0:0", &[]),
            ("a:x:4294967296:0:::", &[]),
            ("a:x:4294967295:0:::", &[]),
            ("a:x:-1:0:::", &[]),
            ("a:x:0x0:0:::", &[]),
            ("a:x: 0:0:::", &[]),
            ("a:x:0:0:::::", &[]),
            ("a\0:x:0:0:::", &[]),
        ];
        for (text, want) in cases {
            let got: Vec<_> = users(text.as_bytes())
                .map(|user| (user.name.into_string().unwrap(), user.uid, user.gid))
                .collect();
            let got: Vec<_> = got
                .iter()
                .map(|(name, uid, gid)| (name.as_str(), *uid, *gid))
                .collect();
            assert_eq!(got, want, "{text:?}");
        }
    }

    /// Accounts of a root that holds these two files.
    pub(crate) fn accounts(name: &str, passwd: &str, group: &str) -> Accounts {
        let root = std::env::temp_dir().join(format!("isobox-{name}-{}", std::process::id()));
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/passwd"), passwd).unwrap();
        std::fs::write(root.join("etc/group"), group).unwrap();
        let mut accounts = Accounts::of_root(File::open(&root).unwrap().into());
        // Both are read now, so that nothing needs to stay.
        accounts.passwd().unwrap();
        accounts.groups().unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        accounts
    }

    #[test]
    fn the_first_of_a_name_and_every_group_of_a_user_count() {
        let group = "g:x:5:\ng:x:6:\nh:x:7:a,b\ni:x:8:b,ab\nj:x:9:a\nk:x:9:a\n";
        let mut accounts = accounts("first", "a:x:1:1:::\na:x:0:0:::\n", group);
        assert_eq!(accounts.user("a".as_ref()).unwrap().unwrap().uid, 1);
        assert_eq!(accounts.user("b".as_ref()).unwrap(), None);
        assert_eq!(accounts.group("g".as_ref()).unwrap(), Some(5));
        assert_eq!(accounts.groups_of("a".as_ref(), 5).unwrap(), [5, 7, 9]);
        assert_eq!(accounts.groups_of("a".as_ref(), 7).unwrap(), [7, 9]);
    }

    #[test]
    fn what_is_no_ordinary_file_is_refused_at_once() {
        let root = std::env::temp_dir().join(format!("isobox-etc-{}", std::process::id()));
        let passwd = root.join("etc/passwd");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        let user = |name: &str| {
            let root = File::open(&root).unwrap();
            Accounts::of_root(root.into()).user(name.as_ref())
        };
        // None: nothing there, or what leads out of the root leads to nothing.
        assert_eq!(user("root"), Ok(None));
        std::os::unix::fs::symlink("../../../../../etc/passwd-", &passwd).unwrap();
        assert_eq!(user("root"), Ok(None));
        std::fs::remove_file(&passwd).unwrap();

        let refused = |what: &str| {
            let error = user("root").expect_err(what).to_string();
            let name = std::fs::symlink_metadata(&passwd).unwrap();
            match name.is_dir() {
                true => std::fs::remove_dir(&passwd).unwrap(),
                false => std::fs::remove_file(&passwd).unwrap(),
            }
            error
        };
        nix::unistd::mkfifo(&passwd, Mode::S_IRWXU).unwrap();
        assert_eq!(
            refused("fifo"),
            "cannot use /etc/passwd: not a regular file"
        );
        std::fs::create_dir(&passwd).unwrap();
        assert_eq!(refused("dir"), "cannot use /etc/passwd: not a regular file");
        std::os::unix::fs::symlink("passwd", &passwd).unwrap();
        assert!(refused("loop").starts_with("cannot open /etc/passwd: "));
        File::create(&passwd).unwrap().set_len(2 << 30).unwrap();
        assert_eq!(
            refused("sparse"),
            "cannot use /etc/passwd: larger than 1 MiB"
        );
        std::fs::write(&passwd, [b'a'; 5000]).unwrap();
        assert_eq!(
            refused("line"),
            "cannot use /etc/passwd: it has a line that is too long"
        );
        std::fs::remove_dir_all(&root).unwrap();
    }
}
