//! A census of the machine: which namespaces there are, and who lives in them (namespaces(7), lsns(8)).
//!
//! A namespace lives while something holds it: a process, a bind mount of its file, an open descriptor, a
//! socket, or a namespace below it. All of these are looked at, as far as this process may look.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::CloneFlags;
use nix::sys::stat::{Mode, fstat};
use nix::unistd::Pid;

use crate::error::{Doing, Error, Result};
use crate::mountinfo;
use crate::namespace::{Kind, kinds};
use crate::procfs::{self, Procfs};
use crate::sys::clone::pidfd_open;
use crate::sys::nsfs;

/// What to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// The kinds of namespace.
    pub kinds: CloneFlags,
    /// Whether parents and owners are wanted: two ioctls for each namespace.
    pub relations: bool,
    /// Whether the ancestors in which nobody lives are wanted too: those of a tree.
    pub ancestors: bool,
}

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inhabitant {
    /// Its number.
    pub pid: i32,
    /// Its parent's number.
    pub ppid: i32,
    /// The user it runs as.
    pub uid: u32,
    /// The inode number of its namespace of each kind, in the order of [`Kind::ALL`]; 0 where unknown.
    namespaces: [u64; 8],
}

impl Inhabitant {
    /// The inode number of its namespace of this kind; 0 where unknown.
    pub fn namespace(&self, kind: Kind) -> u64 {
        self.namespaces[kind as usize]
    }
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// The inode number of its file, unique among all namespaces while it lives.
    pub inode: u64,
    /// Its kind.
    pub kind: Kind,
    /// Who lives in it: places in [`Census::processes`], ascending by pid.
    pub members: Vec<usize>,
    /// The inode number of its parent, where it is a user or PID namespace and the parent may be seen; else 0.
    pub parent: u64,
    /// The inode number of the user namespace that owns it, where that may be seen; else 0.
    pub owner: u64,
    /// The user who owns a user namespace in which nobody lives; else 0.
    pub owner_uid: u32,
}

/// A bind mount of a namespace's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The namespace's name: `net:[4026531840]`.
    pub name: Vec<u8>,
    /// Where it is mounted.
    pub point: PathBuf,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Census {
    /// The processes, ascending by pid.
    pub processes: Vec<Inhabitant>,
    /// The namespaces, ascending by inode number.
    pub namespaces: Vec<Namespace>,
    /// The bind mounts of namespaces, in the order of mountinfo.
    pub pins: Vec<Pin>,
}

/// The status of a failure for want of an ioctl, as lsns(8) has it.
const NO_IOCTL: u8 = 2;

impl Census {
    /// Takes it. What dies meanwhile, or may not be looked at, is left out.
    ///
    /// # Errors
    /// Where `/proc` cannot be read; with status 2 where the kernel lacks an ioctl that the question needs.
    pub fn take(question: Question) -> Result<Self> {
        let mut census = Self::default();
        let procfs = Procfs::open()?;
        let mut held = Vec::new();
        for pid in procfs.pids()? {
            if let Ok(process) = procfs.process(pid) {
                census.visit(pid, &process, question, &mut held)?;
            }
        }
        for (kind, inode, fd) in held {
            census.add_unpeopled(inode, kind, fd.as_fd(), question.kinds)?;
        }
        census.find_pins(question)?;
        if question.ancestors {
            census.find_ancestors(&procfs, question)?;
        }
        Ok(census)
    }

    /// The place of the namespace with this inode number.
    pub fn find(&self, inode: u64) -> Option<usize> {
        self.namespaces
            .binary_search_by_key(&inode, |namespace| namespace.inode)
            .ok()
    }

    /// The place of the process with this number.
    pub fn find_process(&self, pid: i32) -> Option<usize> {
        self.processes
            .binary_search_by_key(&pid, |process| process.pid)
            .ok()
    }

    /// Notes a process, the namespaces it lives in and those it holds open.
    fn visit(
        &mut self,
        pid: Pid,
        process: &procfs::Process,
        question: Question,
        held: &mut Vec<Held>,
    ) -> Result<()> {
        let Ok(stat) = process.stat() else {
            return Ok(());
        };
        let mut inhabitant = Inhabitant {
            pid: pid.as_raw(),
            ppid: stat.parent,
            uid: process.ids().map_or(0, |(uid, _)| uid),
            namespaces: [0; 8],
        };
        let place = self.processes.len();
        for kind in kinds(question.kinds) {
            let Ok(inode) = process.namespace(kind) else {
                continue;
            };
            inhabitant.namespaces[kind as usize] = inode;
            let namespace = match self.find(inode) {
                Some(known) => &mut self.namespaces[known],
                None => {
                    let asked = question.relations.then(|| process.open_namespace(kind));
                    let (parent, owner) = match asked {
                        Some(Ok(fd)) => relations(fd.as_fd(), kind)?,
                        _ => (None, None),
                    };
                    self.add(inode, kind, inode_of(&parent), inode_of(&owner))
                }
            };
            namespace.members.push(place);
        }
        self.processes.push(inhabitant);
        // A part of the kernel has no descriptors.
        if !stat.kernel {
            find_held(pid, process, question.kinds, held);
        }
        Ok(())
    }

    /// Adds a namespace that is not yet known.
    fn add(&mut self, inode: u64, kind: Kind, parent: u64, owner: u64) -> &mut Namespace {
        let place = self
            .namespaces
            .partition_point(|namespace| namespace.inode < inode);
        let namespace = Namespace {
            inode,
            kind,
            members: Vec::new(),
            parent,
            owner,
            owner_uid: 0,
        };
        self.namespaces.insert(place, namespace);
        &mut self.namespaces[place]
    }

    /// Adds a namespace that is held by something else than a process in it, and with it its parent and its
    /// owner where they are not known either.
    fn add_unpeopled(
        &mut self,
        inode: u64,
        kind: Kind,
        fd: BorrowedFd<'_>,
        wanted: CloneFlags,
    ) -> Result<()> {
        if self.find(inode).is_some() || !wanted.contains(kind.flag()) {
            return Ok(());
        }
        let (parent, owner) = relations(fd, kind)?;
        let added = self.add(inode, kind, inode_of(&parent), inode_of(&owner));
        added.owner_uid = nsfs::owner_uid(fd).unwrap_or(0);
        for (relative, kind) in [(parent, kind), (owner, Kind::User)] {
            if let Some((inode, fd)) = relative {
                self.add_unpeopled(inode, kind, fd.as_fd(), wanted)?;
            }
        }
        Ok(())
    }

    /// Finds the namespaces that are kept by a bind mount.
    fn find_pins(&mut self, question: Question) -> Result<()> {
        const MOUNTS: &str = "/proc/self/mountinfo";
        let text = fs::read(MOUNTS).doing_to("failed to parse", MOUNTS)?;
        for line in text.split(|b| *b == b'\n') {
            // Most mounts are something else: no need to take their lines apart.
            if !line.windows(8).any(|part| part == b" - nsfs ") {
                continue;
            }
            for mount in mountinfo::parse(line) {
                let name = mount.root.into_os_string().into_encoded_bytes();
                self.pins.push(Pin {
                    name,
                    point: mount.point,
                });
            }
        }
        for at in 0..self.pins.len() {
            let Some((kind, inode)) = procfs::parse_namespace(&self.pins[at].name) else {
                continue;
            };
            if self.find(inode).is_some() {
                continue;
            }
            // Something else may be mounted over it, or it may be out of reach.
            let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
            let Ok(fd) = open(&self.pins[at].point, flags, Mode::empty()) else {
                continue;
            };
            if fstat(&fd).is_ok_and(|stat| stat.st_ino == inode) && nsfs::kind(fd.as_fd()).is_ok() {
                self.add_unpeopled(inode, kind, fd.as_fd(), question.kinds)?;
            }
        }
        Ok(())
    }

    /// Finds parents and owners in which nobody lives, by way of the namespaces below them.
    fn find_ancestors(&mut self, procfs: &Procfs, question: Question) -> Result<()> {
        let missing: Vec<(i32, Kind)> = self
            .namespaces
            .iter()
            .filter_map(|namespace| {
                let first = self.processes.get(*namespace.members.first()?)?;
                let unknown = |inode: u64| inode != 0 && self.find(inode).is_none();
                let orphan = unknown(namespace.parent) || unknown(namespace.owner);
                orphan.then_some((first.pid, namespace.kind))
            })
            .collect();
        // Owners show who owns, also where no user namespaces are listed.
        let kinds = question.kinds | Kind::User.flag();
        for (pid, kind) in missing {
            let process = procfs.process(Pid::from_raw(pid));
            let Ok(fd) = process.and_then(|process| process.open_namespace(kind)) else {
                continue;
            };
            let (parent, owner) = relations(fd.as_fd(), kind)?;
            for (relative, kind) in [(parent, kind), (owner, Kind::User)] {
                if let Some((inode, fd)) = relative {
                    self.add_unpeopled(inode, kind, fd.as_fd(), kinds)?;
                }
            }
        }
        Ok(())
    }
}

/// A namespace that a process holds open.
type Held = (Kind, u64, OwnedFd);

/// A parent or an owner, and its inode number.
type Relative = Option<(u64, OwnedFd)>;

fn inode_of(relative: &Relative) -> u64 {
    relative.as_ref().map_or(0, |(inode, _)| *inode)
}

/// The parent (of a user or PID namespace) and the owner of a namespace, as far as they may be seen.
fn relations(ns: BorrowedFd<'_>, kind: Kind) -> Result<(Relative, Relative)> {
    let parent = match kind {
        Kind::User | Kind::Pid => relative(nsfs::parent(ns), "NS_GET_PARENT")?,
        _ => None,
    };
    Ok((parent, relative(nsfs::owner(ns), "NS_GET_USERNS")?))
}

fn relative(answer: Result<OwnedFd, Errno>, ioctl: &'static str) -> Result<Relative> {
    match answer {
        Ok(fd) => Ok(fstat(&fd).ok().map(|stat| (stat.st_ino, fd))),
        Err(Errno::ENOTTY) => {
            let text = format!("Unsupported ioctl {ioctl}");
            Err(Error::new(text).status(NO_IOCTL))
        }
        // It lies outside of what this process may see.
        Err(_) => Ok(None),
    }
}

/// Notes the namespaces that a process holds by a descriptor, or whose sockets it holds. Each is opened only
/// once, however many hold it.
fn find_held(pid: Pid, process: &procfs::Process, wanted: CloneFlags, held: &mut Vec<Held>) {
    let mut sockets = Vec::new();
    let known = |held: &Vec<Held>, inode| held.iter().any(|(_, other, _)| *other == inode);
    // Without the right to look there is nothing to note.
    let _ = process.descriptors(|number, link| {
        if link.starts_with(b"socket:[") {
            sockets.push(number);
            return;
        }
        match procfs::parse_namespace(link) {
            Some((kind, inode)) if !known(held, inode) => {
                let opened = process.open_descriptor(number);
                held.extend(opened.map(|fd| (kind, inode, fd)));
            }
            _ => {}
        }
    });
    if sockets.is_empty() || !wanted.contains(Kind::Net.flag()) {
        return;
    }
    let Ok(pidfd) = pidfd_open(pid) else {
        return;
    };
    for number in sockets {
        let socket = nsfs::pidfd_getfd(pidfd.as_fd(), number);
        let Ok(fd) = socket.and_then(|socket| nsfs::of_socket(socket.as_fd())) else {
            continue;
        };
        let inode = fstat(&fd).map_or(0, |stat| stat.st_ino);
        if !known(held, inode) {
            held.push((Kind::Net, inode, fd));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_counted() {
        let all = Kind::ALL
            .iter()
            .fold(CloneFlags::empty(), |flags, kind| flags | kind.flag());
        let census = Census::take(Question {
            kinds: all,
            relations: true,
            ancestors: true,
        })
        .unwrap();
        let own = census.find_process(Pid::this().as_raw()).unwrap();
        let own = &census.processes[own];
        let uts = census.find(own.namespace(Kind::Uts)).unwrap();
        let uts = &census.namespaces[uts];
        assert_eq!(uts.kind, Kind::Uts);
        let first = census.processes[uts.members[0]].pid;
        assert!(first <= own.pid);
        assert_eq!(uts.owner, own.namespace(Kind::User));
        assert!(census.namespaces.is_sorted_by_key(|n| n.inode));
        assert!(census.processes.is_sorted_by_key(|p| p.pid));
    }
}
