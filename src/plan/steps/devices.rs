//! Device nodes and the links beside them, in the `/dev` of a new root.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, readlinkat};
use nix::libc;
use nix::sys::stat::{Mode, SFlag, makedev, mknodat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, symlinkat, unlinkat};

use crate::error::{Doing, Error, Result};
use crate::mount::{Options, detached_bind};
use crate::plan::{Context, Explanation, Shell, Slot, Step};
use crate::root::{Root, host_device, look_at, without_umask};
use crate::sys::mount::move_mount;

/// A node to be made (mknod(2)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where in the new root.
    pub path: PathBuf,
    /// `S_IFCHR`, `S_IFBLK` or `S_IFIFO`.
    pub kind: u32,
    /// The numbers of the device; zero for a fifo.
    pub numbers: (u32, u32),
    /// Permissions.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
}

/// The devices that every program may expect, by the numbers of Documentation/admin-guide/devices.txt.
const STANDARD: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

impl Node {
    /// null, zero, full, random, urandom and tty.
    pub fn standard() -> Vec<Self> {
        let node = |(path, major, minor): (&str, u32, u32)| Self {
            path: path.into(),
            kind: libc::S_IFCHR,
            numbers: (major, minor),
            mode: 0o666,
            owner: (0, 0),
        };
        STANDARD.into_iter().map(node).collect()
    }

    /// Reads `PATH:TYPE:MAJOR:MINOR[:MODE[:UID:GID]]`, where the type is `c`, `b` or `p` and the mode octal.
    ///
    /// ```
    /// use isobox::plan::steps::devices::Node;
    /// let node = Node::parse("/dev/fuse:c:10:229".as_ref()).unwrap();
    /// assert_eq!((node.numbers, node.mode, node.owner), ((10, 229), 0o666, (0, 0)));
    /// assert_eq!(node.to_word(), "/dev/fuse:c:10:229:666:0:0");
    /// ```
    ///
    /// # Errors
    /// Says what is expected.
    pub fn parse(text: &OsStr) -> Result<Self> {
        let fields: Vec<&[u8]> = text.as_bytes().split(|b| *b == b':').collect();
        let kind_of = |field: &[u8]| match field {
            b"c" | b"u" => Some(libc::S_IFCHR),
            b"b" => Some(libc::S_IFBLK),
            b"p" => Some(libc::S_IFIFO),
            _ => None,
        };
        // The path may hold colons: the fields are counted from the end.
        let found = [6, 4, 3].into_iter().find_map(|length| {
            let at = fields.len().checked_sub(length).filter(|at| *at > 0)?;
            Some((at, kind_of(fields[at])?))
        });
        let parsed = found.and_then(|(at, kind)| {
            let number = |index: usize, radix| match fields.get(at + index) {
                Some(digits) => u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix)
                    .map(Some)
                    .ok(),
                None => Some(None),
            };
            Some(Self {
                path: OsStr::from_bytes(&fields[..at].join(&b':')).into(),
                kind,
                numbers: (number(1, 10)??, number(2, 10)??),
                mode: number(3, 8)?.unwrap_or(0o666) & 0o7777,
                owner: (number(4, 10)?.unwrap_or(0), number(5, 10)?.unwrap_or(0)),
            })
        });
        parsed.ok_or_else(|| {
            Error::new("bad device")
                .on(text)
                .because("PATH:TYPE:MAJOR:MINOR[:MODE[:UID:GID]] expected")
        })
    }

    /// As [`Node::parse`] reads it.
    pub fn to_word(&self) -> OsString {
        let kind = match self.kind {
            libc::S_IFBLK => 'b',
            libc::S_IFIFO => 'p',
            _ => 'c',
        };
        let ((major, minor), (uid, gid)) = (self.numbers, self.owner);
        let mut word = self.path.clone().into_os_string();
        word.push(format!(
            ":{kind}:{major}:{minor}:{:o}:{uid}:{gid}",
            self.mode
        ));
        word
    }
}

/// Makes device nodes. Where the kernel does not let us (in a user namespace) the host's own node is shown
/// instead, after a look that it is the one it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceNodes {
    /// The tree they go into.
    pub root: Slot,
    /// The nodes.
    pub nodes: Vec<Node>,
}

impl Step for DeviceNodes {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let root = Root::new(cx.get(self.root)?);
        without_umask(|| {
            let mut parents = Parents::default();
            let mut may_make = true;
            for node in &self.nodes {
                if may_make {
                    match make(&mut parents, root, node) {
                        Err(error) if error.errno() == Some(Errno::EPERM) => may_make = false,
                        other => {
                            other?;
                            continue;
                        }
                    }
                }
                show_hosts(root, node)?;
            }
            Ok(())
        })
    }

    fn explain(&self) -> Explanation {
        let calls: Vec<String> = self
            .nodes
            .iter()
            .map(|node| {
                let (major, minor) = node.numbers;
                format!(
                    "mknodat(ROOT, {:?}, 0{:o}, makedev({major}, {minor}))",
                    node.path,
                    node.kind | node.mode
                )
            })
            .collect();
        Explanation::new(
            calls.join(", "),
            "the devices every program expects, made anew: in a user namespace the host's own are bound instead",
            "output sent to /dev/null would fill a file, and programs that want random bytes would fail",
            "mknod(2)",
        )
    }

    fn shell(&self) -> Shell {
        if self.nodes == Node::standard() {
            return Shell::option("pivot", "--device-nodes");
        }
        let words = self
            .nodes
            .iter()
            .flat_map(|node| ["--device".into(), node.to_word()])
            .collect();
        Shell::Option {
            applet: "pivot",
            words,
        }
    }
}

/// The directory last used, so that six nodes of one directory open it once.
#[derive(Default)]
struct Parents(Option<(PathBuf, OwnedFd)>);

impl Parents {
    fn of<'s, 'p>(
        &'s mut self,
        root: Root<'_>,
        path: &'p Path,
    ) -> Result<(BorrowedFd<'s>, &'p OsStr)> {
        let same = self
            .0
            .as_ref()
            .is_some_and(|(known, _)| Some(known.as_path()) == path.parent());
        if !same {
            let (fd, _) = root.parent(path)?;
            self.0 = Some((path.parent().unwrap_or(path).to_owned(), fd));
        }
        match (&self.0, path.file_name()) {
            (Some((_, fd)), Some(name)) => Ok((fd.as_fd(), name)),
            _ => Err(Error::new("not a name in the new root").on(path)),
        }
    }
}

fn make(parents: &mut Parents, root: Root<'_>, node: &Node) -> Result<()> {
    let (dir, name) = parents.of(root, &node.path)?;
    let (major, minor) = node.numbers;
    let kind = SFlag::from_bits_truncate(node.kind);
    let mode = Mode::from_bits_truncate(node.mode);
    match mknodat(dir, name, kind, mode, makedev(major.into(), minor.into())) {
        Ok(()) => {}
        Err(Errno::EEXIST) => return verify(dir, name, node),
        Err(errno) => return Err(errno).doing_to("cannot make the device", &node.path),
    }
    if node.owner != (0, 0) {
        let (uid, gid) = (Uid::from_raw(node.owner.0), Gid::from_raw(node.owner.1));
        fchownat(
            dir,
            name,
            Some(uid),
            Some(gid),
            AtFlags::AT_SYMLINK_NOFOLLOW,
        )
        .doing_to("cannot change the owner of", &node.path)?;
    }
    Ok(())
}

/// What stands there already must be the device itself: a link or a file would be written to in its stead.
fn verify(dir: BorrowedFd<'_>, name: &OsStr, node: &Node) -> Result<()> {
    let found = look_at(dir, name).doing_to("cannot look at", &node.path)?;
    if found.is(node.kind) && (node.kind == libc::S_IFIFO || found.rdev == node.numbers) {
        return Ok(());
    }
    // A container before this one may have left the file over which the host's device was shown.
    if found.is(libc::S_IFREG) && !lets_us_make(dir) {
        return Err(Errno::EPERM).doing_to("cannot make the device", &node.path);
    }
    Err(Error::new("the new root has something else in the place of the device").on(&node.path))
}

/// Whether the kernel lets us make devices here. It says that something stands in the way before it says that.
fn lets_us_make(dir: BorrowedFd<'_>) -> bool {
    let name = c".isobox-device";
    let made = mknodat(dir, name, SFlag::S_IFCHR, Mode::empty(), makedev(1, 3));
    if made.is_ok() {
        let _ = unlinkat(dir, name, UnlinkatFlags::NoRemoveDir);
    }
    made != Err(Errno::EPERM)
}

/// Shows the host's node at the same path.
fn show_hosts(root: Root<'_>, node: &Node) -> Result<()> {
    let cannot = "cannot show the host's device at";
    if node.kind != libc::S_IFCHR {
        return Err(Error::new("cannot make the device")
            .on(&node.path)
            .errno_is(Errno::EPERM)
            .hint("in a user namespace only character devices of the host can be shown"));
    }
    let (major, minor) = node.numbers;
    let device = host_device(&node.path, major, minor)?;
    let place = root.file(&node.path)?;
    let mount = detached_bind(device.as_fd(), &Options::default()).doing_to(cannot, &node.path)?;
    move_mount(mount.as_fd(), place.as_fd()).doing_to(cannot, &node.path)
}

/// Makes symbolic links, such as `/dev/fd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symlinks {
    /// The tree they go into.
    pub root: Slot,
    /// Where they stand, and what they say.
    pub links: Vec<(PathBuf, PathBuf)>,
}

impl Symlinks {
    /// The links of `/dev` that programs expect: its descriptors, and the multiplexer of its own terminals.
    pub fn standard() -> Vec<(PathBuf, PathBuf)> {
        [
            ("/dev/fd", "/proc/self/fd"),
            ("/dev/stdin", "/proc/self/fd/0"),
            ("/dev/stdout", "/proc/self/fd/1"),
            ("/dev/stderr", "/proc/self/fd/2"),
            ("/dev/ptmx", "pts/ptmx"),
        ]
        .map(|(at, to)| (at.into(), to.into()))
        .into()
    }
}

impl Step for Symlinks {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let root = Root::new(cx.get(self.root)?);
        let mut parents = Parents::default();
        for (at, to) in &self.links {
            let (dir, name) = parents.of(root, at)?;
            match symlinkat(to, dir, name) {
                Err(Errno::EEXIST)
                    if readlinkat(dir, name).is_ok_and(|found| found == to.as_os_str()) => {}
                other => other.doing_to("cannot make the link", at)?,
            }
        }
        Ok(())
    }

    fn explain(&self) -> Explanation {
        let calls: Vec<String> = self
            .links
            .iter()
            .map(|(at, to)| format!("symlinkat({to:?}, ROOT, {at:?})"))
            .collect();
        Explanation::new(
            calls.join(", "),
            "names for a program's own descriptors, and the door to its own terminals",
            "/dev/stdout and <(command) would not work, and no terminal could be opened",
            "fd(4)",
        )
    }

    fn shell(&self) -> Shell {
        if self.links == Self::standard() {
            return Shell::option("pivot", "--device-links");
        }
        let word = |(at, to): &(PathBuf, PathBuf)| {
            [
                "--symlink".into(),
                [at.as_os_str(), OsStr::new("="), to.as_os_str()]
                    .into_iter()
                    .collect(),
            ]
        };
        Shell::Option {
            applet: "pivot",
            words: self.links.iter().flat_map(word).collect(),
        }
    }
}
