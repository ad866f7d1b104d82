//! Reading `/proc`, cheaply and without being fooled (proc(5)).
//!
//! A process is read through a descriptor of its directory: when it dies, reads fail with `ESRCH` instead of
//! telling about a stranger that got its number. lsns(8) reads every process this way, nsenter(1) its target.

use std::ffi::{CStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, fstat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::{Pid, read};

use crate::decimal::decimal;
use crate::error::{Doing, Error, Result};
use crate::namespace::Kind;
use crate::order;
use crate::sys::directory;

const PROC: &str = "/proc";

/// What `/proc/PID/stat` tells of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Its number.
    pub pid: i32,
    /// `R`, `S`, `Z` ...
    pub state: u8,
    /// The number of its parent; 0 where that is in another PID namespace, or none.
    pub parent: i32,
    /// Whether it is a part of the kernel (`PF_KTHREAD`): no program, no descriptors.
    pub kernel: bool,
    /// When it started, in clock ticks since boot.
    pub start: u64,
}

/// `/proc`, known to be a proc file system.
#[derive(Debug)]
pub struct Procfs(OwnedFd);

impl Procfs {
    /// Opens `/proc`.
    ///
    /// # Errors
    /// Where nothing is there, or something else than a proc file system.
    pub fn open() -> Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = openat(AT_FDCWD, PROC, flags, Mode::empty()).doing_to("cannot open", PROC)?;
        if !fstatfs(&dir).is_ok_and(|fs| fs.filesystem_type() == PROC_SUPER_MAGIC) {
            return Err(Error::new("no processes can be read from")
                .on(PROC)
                .because("not a proc file system")
                .hint("mount -t proc proc /proc"));
        }
        Ok(Self(dir))
    }

    /// The numbers of all processes, in ascending order.
    ///
    /// # Errors
    /// Those of getdents64(2).
    pub fn pids(&self) -> Result<Vec<Pid>> {
        let mut pids = Vec::with_capacity(256);
        let mut buffer = vec![0; 16 * 1024];
        each_number(&self.0, &mut buffer, |pid| pids.push(Pid::from_raw(pid)))
            .doing_to("cannot read", PROC)?;
        order::sort(&mut pids);
        Ok(pids)
    }

    /// One process.
    ///
    /// # Errors
    /// `ENOENT` where there is none of that number.
    pub fn process(&self, pid: Pid) -> Result<Process, Errno> {
        Process::below(&self.0, &pid.to_string())
    }
}

/// A process, by its directory below `/proc`.
#[derive(Debug)]
pub struct Process(OwnedFd);

impl Process {
    /// The process numbered `pid`.
    ///
    /// # Errors
    /// `ENOENT` where there is none of that number.
    pub fn open(pid: Pid) -> Result<Self, Errno> {
        Self::below(AT_FDCWD, &format!("{PROC}/{pid}"))
    }

    /// This process.
    ///
    /// # Errors
    /// `ENOENT` where `/proc` is not mounted, or not that of our PID namespace.
    pub fn own() -> Result<Self, Errno> {
        Self::below(AT_FDCWD, "/proc/self")
    }

    fn below(dir: impl AsFd, path: &str) -> Result<Self, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        openat(dir, path, flags, Mode::empty()).map(Self)
    }

    /// The directory's descriptor, as a place to start from.
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }

    /// The user and the group who own it: the effective ids, or root's where it may not be dumped. In the
    /// numbers of the caller's user namespace.
    pub fn ids(&self) -> Result<(u32, u32), Errno> {
        fstat(&self.0).map(|stat| (stat.st_uid, stat.st_gid))
    }

    /// Its `stat` file.
    ///
    /// # Errors
    /// `ESRCH` when it died, `EINVAL` for a line that is not understood.
    pub fn stat(&self) -> Result<Stat, Errno> {
        let mut buffer = [0; 1024];
        let length = read(self.file("stat")?, &mut buffer)?;
        parse_stat(&buffer[..length]).ok_or(Errno::EINVAL)
    }

    /// The inode number of the namespace it is in, which is what the kernel shows as its name.
    ///
    /// # Errors
    /// `EACCES` without the right to look, `ENOENT` where the kernel has no such kind or the process is dying.
    pub fn namespace(&self, kind: Kind) -> Result<u64, Errno> {
        self.namespace_named(kind.proc_name())
    }

    /// The inode number of the namespace its children will be in.
    ///
    /// # Errors
    /// As [`Process::namespace`]; also `ENOENT` while there is no child yet.
    pub fn namespace_for_children(&self, kind: Kind) -> Result<u64, Errno> {
        self.namespace_named(kind.proc_name_for_children())
    }

    fn namespace_named(&self, name: &str) -> Result<u64, Errno> {
        let mut buffer = [0; LINK];
        let link = directory::read_link(self.0.as_fd(), ns_path(name).as_name(), &mut buffer)?;
        parse_namespace(link)
            .map(|(_, inode)| inode)
            .ok_or(Errno::EINVAL)
    }

    /// Opens the namespace it is in.
    ///
    /// # Errors
    /// As [`Process::namespace`].
    pub fn open_namespace(&self, kind: Kind) -> Result<OwnedFd, Errno> {
        open_namespace(self.0.as_fd(), kind)
    }

    /// The whole of one of its files: [`read_file`].
    ///
    /// # Errors
    /// Those of [`read_file`].
    pub fn read(&self, name: &str, limit: usize) -> Result<Vec<u8>, Errno> {
        read_file(self.0.as_fd(), name, limit)
    }

    /// Its command line with blanks between the words, or its name where it has none (a kernel thread, a
    /// zombie).
    pub fn command(&self) -> Option<OsString> {
        /// As much of it as is shown.
        const ENOUGH: usize = 8191;
        let mut line = vec![0; ENOUGH];
        let length = self.file("cmdline").and_then(|file| read(file, &mut line));
        line.truncate(length.unwrap_or(0));
        line.pop_if(|last| *last == 0);
        for byte in &mut line {
            if *byte == 0 {
                *byte = b' ';
            }
        }
        if line.is_empty() {
            line = self.read("comm", ENOUGH).ok()?;
            line.pop_if(|last| *last == b'\n');
        }
        Some(OsString::from_vec(line))
    }

    /// The numbers of its open descriptors and what they lead to: `net:[4026531840]`, `socket:[12345]`.
    ///
    /// # Errors
    /// `EACCES` without the right to look.
    pub fn descriptors(&self, mut each: impl FnMut(i32, &[u8])) -> Result<(), Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = openat(&self.0, "fd", flags, Mode::empty())?;
        each_number(&dir, &mut [0; 2048], |number| {
            let mut buffer = [0; LINK];
            let name = SmallName::new(&[&number.to_string()]);
            // It may be closed by now.
            if let Ok(link) = directory::read_link(dir.as_fd(), name.as_name(), &mut buffer) {
                each(number, link);
            }
        })
    }

    /// Opens what its descriptor `number` leads to anew.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn open_descriptor(&self, number: i32) -> Result<OwnedFd, Errno> {
        self.file(&format!("fd/{number}"))
    }

    fn file(&self, name: &str) -> Result<OwnedFd, Errno> {
        open_file(self.0.as_fd(), name)
    }
}

/// The whole of the file `name` below a process's directory, up to `limit` bytes: a process may make its
/// command line and its environment as large as its stack.
///
/// # Errors
/// The kernel's answer; `EFBIG` beyond the limit.
pub fn read_file(process: BorrowedFd<'_>, name: &str, limit: usize) -> Result<Vec<u8>, Errno> {
    read_whole(open_file(process, name)?.as_fd(), limit)
}

/// The whole of a file that the kernel makes up while it is read, whose size it does not tell: of `/proc`, `/sys` or a
/// control group.
///
/// # Errors
/// The kernel's answer; `EFBIG` beyond the limit.
pub fn read_whole(file: BorrowedFd<'_>, limit: usize) -> Result<Vec<u8>, Errno> {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match read(file, &mut buffer) {
            Ok(0) => return Ok(all),
            Ok(more) => all.extend_from_slice(&buffer[..more]),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        if all.len() > limit {
            return Err(Errno::EFBIG);
        }
    }
}

/// The same of the file at a path that the kernel gives meaning to.
///
/// # Errors
/// As [`read_whole`].
pub fn read_path(path: &Path, limit: usize) -> Result<Vec<u8>, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    read_whole(openat(AT_FDCWD, path, flags, Mode::empty())?.as_fd(), limit)
}

/// Opens the directory that a link below a process's directory leads to: `root`, `cwd`.
///
/// # Errors
/// `EACCES` without the right to look.
pub fn open_link(process: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    openat(process, name, flags, Mode::empty())
}

/// Opens the namespace that a process is in, by its directory.
///
/// # Errors
/// `EACCES` without the right to look, `ENOENT` where the kernel has no such kind.
pub fn open_namespace(process: BorrowedFd<'_>, kind: Kind) -> Result<OwnedFd, Errno> {
    let path = ns_path(kind.proc_name());
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    openat(process, path.as_name(), flags, Mode::empty())
}

fn open_file(process: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    // Nothing of what is here blocks on open but a FIFO behind `fd`.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    openat(process, name, flags, Mode::empty())
}

/// Enough for the name of a namespace or a socket. Links of other kinds may be longer, and are cut off.
const LINK: usize = 64;

/// A short path, made without asking for memory.
struct SmallName([u8; 32]);

impl SmallName {
    /// The parts one after the other; cut off where they are too long to be a name below `/proc/PID`.
    fn new(parts: &[&str]) -> Self {
        let mut name = [0; 32];
        let bytes = parts.iter().flat_map(|part| part.bytes());
        let room = name.len() - 1;
        name.iter_mut()
            .take(room)
            .zip(bytes)
            .for_each(|(to, byte)| *to = byte);
        Self(name)
    }

    fn as_name(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }
}

fn ns_path(name: &str) -> SmallName {
    SmallName::new(&["ns/", name])
}

/// Calls `each` for every entry of a directory whose name is a number.
fn each_number(dir: impl AsFd, buffer: &mut [u8], mut each: impl FnMut(i32)) -> Result<(), Errno> {
    loop {
        let entries = directory::read(dir.as_fd(), buffer)?;
        if entries.is_empty() {
            return Ok(());
        }
        directory::names(entries)
            .filter_map(decimal)
            .for_each(&mut each);
    }
}

/// Reads `/proc/PID/stat`. The name in the second field is the program's own choice: it may hold blanks,
/// brackets and newlines, so the fields after it are found from the last bracket.
///
/// ```
/// let stat = isobox::procfs::parse_stat(b"7 (a) S 1 (b) R 5 7 7 0 -1 4194304 1").unwrap();
/// assert_eq!((stat.pid, stat.state, stat.parent), (7, b'R', 5));
/// ```
pub fn parse_stat(line: &[u8]) -> Option<Stat> {
    /// `PF_KTHREAD` (linux/sched.h).
    const KERNEL_THREAD: u64 = 0x0020_0000;
    let open = line.iter().position(|b| *b == b'(')?;
    let close = line.iter().rposition(|b| *b == b')')?;
    let pid = decimal(line.get(..open)?.trim_ascii())?;
    let mut fields = line.get(close + 1..)?.split(u8::is_ascii_whitespace);
    let mut next = || fields.by_ref().find(|field| !field.is_empty());
    let state = *next()?.first()?;
    let parent = decimal(next()?)?;
    // By their numbers in the manual page, the parent being the fourth.
    let mut known = 4;
    let mut field = |number: usize| {
        let skipped = std::mem::replace(&mut known, number);
        let text = (skipped..number).map(|_| next()).last().flatten();
        text.and_then(decimal::<u64>).unwrap_or(0)
    };
    let (flags, start) = (field(9), field(22));
    Some(Stat {
        pid,
        state,
        parent,
        kernel: flags & KERNEL_THREAD != 0,
        start,
    })
}

/// Reads the name the kernel gives a namespace: `uts:[4026531838]`.
pub fn parse_namespace(name: &[u8]) -> Option<(Kind, u64)> {
    let name = std::str::from_utf8(name).ok()?;
    let (kind, inode) = name.strip_suffix(']')?.split_once(":[")?;
    // `pid_for_children` and `time_for_children` lead to names without that ending.
    Some((Kind::from_proc_name(kind)?, decimal(inode.as_bytes())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_process_cannot_forge_fields() {
        type Want = Option<(i32, u8, i32, bool)>;
        let cases: [(&[u8], Want); 9] = [
            (
                b"1 (init) S 0 1 1 0 -1 4194560 1",
                Some((1, b'S', 0, false)),
            ),
            (
                b"2 (kthreadd) S 0 0 0 0 -1 2129984 0",
                Some((2, b'S', 0, true)),
            ),
            (b"77 (a b) c) Z 3 4 5 0 -1 0 0", Some((77, b'Z', 3, false))),
            (b"9 (x) R 1 (y\n) T 8 9 9", Some((9, b'T', 8, false))),
            (b"5 () S 1", Some((5, b'S', 1, false))),
            (b"5 (x S 1", None),
            (b"x (x) S 1", None),
            (b"5 (x) S", None),
            (b"", None),
        ];
        for (line, want) in cases {
            let got = parse_stat(line).map(|s| (s.pid, s.state, s.parent, s.kernel));
            assert_eq!(got, want, "{:?}", line.escape_ascii().to_string());
        }
    }

    #[test]
    fn names_of_namespaces() {
        let cases: [(&[u8], _); 5] = [
            (b"uts:[4026531838]", Some((Kind::Uts, 4_026_531_838))),
            (b"mnt:[1]", Some((Kind::Mount, 1))),
            (b"socket:[1]", None),
            (b"uts:[x]", None),
            (b"/dev/null", None),
        ];
        for (name, want) in cases {
            assert_eq!(parse_namespace(name), want);
        }
    }

    #[test]
    fn this_process_can_be_read() {
        let procfs = Procfs::open().unwrap();
        let own = Pid::this();
        assert!(procfs.pids().unwrap().contains(&own));
        let process = procfs.process(own).unwrap();
        let stat = process.stat().unwrap();
        assert_eq!(stat.pid, own.as_raw());
        assert_eq!(stat.parent, nix::unistd::getppid().as_raw());
        assert!(!stat.kernel);
        let inode = fstat(process.open_namespace(Kind::Uts).unwrap())
            .unwrap()
            .st_ino;
        assert_eq!(process.namespace(Kind::Uts), Ok(inode));
        let mut seen = 0;
        process.descriptors(|_, _| seen += 1).unwrap();
        assert!(seen > 0);
        assert_eq!(
            procfs.process(Pid::from_raw(0)).map(drop),
            Err(Errno::ENOENT)
        );
    }
}
