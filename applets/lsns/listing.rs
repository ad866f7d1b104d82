//! From a census to rows: which, below which other, with what in their cells.

use std::cell::OnceCell;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use isobox::accounts::Accounts;
use isobox::census::{Census, Inhabitant, Namespace};
use isobox::error::{Error, Result};
use isobox::namespace::Kind;
use isobox::netnsid::Asker;
use isobox::procfs::Process;
use nix::unistd::Pid;

use super::{Shows, Tree};
use crate::cli::table::Table;

/// Names of users, each looked up once.
#[derive(Default)]
pub(super) struct Users {
    accounts: Accounts,
    known: Vec<(u32, Vec<u8>)>,
}

impl Users {
    /// The name of a user, or the number where there is none.
    fn name(&mut self, uid: u32) -> Vec<u8> {
        if let Some((_, name)) = self.known.iter().find(|(known, _)| *known == uid) {
            return name.clone();
        }
        let name = match self.accounts.user_of(uid) {
            Ok(Some(user)) => user.name.as_bytes().to_vec(),
            _ => uid.to_string().into_bytes(),
        };
        self.known.push((uid, name.clone()));
        name
    }
}

/// From a census to rows.
pub(super) struct Listing<'a> {
    census: &'a Census,
    asker: OnceCell<Option<Asker>>,
    /// What stands between several mount points.
    pub(super) separator: &'static [u8],
    /// The cells of a row.
    pub(super) columns: Vec<Shows>,
    /// How rows stand below each other.
    pub(super) tree: Tree,
    /// The process whose namespaces are wanted; `None` for all.
    pub(super) task: Option<i32>,
    /// Whether only namespaces are wanted in which nobody lives.
    pub(super) persistent: bool,
}

/// Where the last row about each namespace and each process is.
struct Placed {
    namespaces: Vec<Option<usize>>,
    processes: Vec<Option<usize>>,
}

impl Placed {
    fn new(census: &Census) -> Self {
        Self {
            namespaces: vec![None; census.namespaces.len()],
            processes: vec![None; census.processes.len()],
        }
    }
}

impl<'a> Listing<'a> {
    /// Everything, without any cell.
    pub(super) fn new(census: &'a Census) -> Self {
        Self {
            census,
            asker: OnceCell::new(),
            separator: b"\n",
            columns: Vec::new(),
            tree: Tree::None,
            task: None,
            persistent: false,
        }
    }

    /// A row for each namespace that is wanted.
    pub(super) fn namespaces(&self, table: &mut Table, users: &mut Users) {
        let mut placed = Placed::new(self.census);
        let task = self.task.map(|task| self.census.find_process(task));
        for (at, namespace) in self.census.namespaces.iter().enumerate() {
            let lives_here = |task: Option<usize>| {
                task.is_some_and(|task| namespace.members.binary_search(&task).is_ok())
            };
            let empty = namespace.members.is_empty();
            let wanted = task.is_none_or(lives_here) && (empty || !self.persistent);
            if wanted && placed.namespaces[at].is_none() {
                self.with_relatives(table, users, &mut placed, at);
            }
        }
    }

    /// A row for a namespace, after those it stands below.
    fn with_relatives(&self, table: &mut Table, users: &mut Users, placed: &mut Placed, at: usize) {
        let mut line = vec![at];
        while let Some(next) = self.before(line[line.len() - 1]) {
            if placed.namespaces[next].is_some() || line.contains(&next) {
                break;
            }
            line.push(next);
        }
        for at in line.into_iter().rev() {
            let namespace = &self.census.namespaces[at];
            let first = namespace.members.first().copied();
            self.add(table, users, placed, at, first);
        }
    }

    /// The namespace that has to be listed before this one.
    fn before(&self, at: usize) -> Option<usize> {
        let namespace = &self.census.namespaces[at];
        let owner = || self.relative(namespace.owner);
        match self.tree {
            Tree::Owner => owner(),
            Tree::Parent => self.relative(namespace.parent).or_else(owner),
            Tree::None | Tree::Process => None,
        }
    }

    fn relative(&self, inode: u64) -> Option<usize> {
        self.census.find(inode).filter(|_| inode != 0)
    }

    /// A row for each process in one namespace.
    pub(super) fn processes(&self, table: &mut Table, inode: u64, users: &mut Users) -> Result<()> {
        let found = self.census.find(inode);
        let at = found.ok_or_else(|| Error::new(format!("not found namespace: {inode}")))?;
        let members = &self.census.namespaces[at].members;
        let mut placed = Placed::new(self.census);
        for member in members {
            // Parents first, as far as they live here too.
            let mut line = vec![*member];
            while let (Tree::Process, Some(parent)) = (self.tree, self.parent(line[line.len() - 1]))
            {
                let lives_here = members.binary_search(&parent).is_ok();
                if !lives_here || placed.processes[parent].is_some() || line.contains(&parent) {
                    break;
                }
                line.push(parent);
            }
            for member in line.into_iter().rev() {
                if placed.processes[member].is_none() {
                    self.add(table, users, &mut placed, at, Some(member));
                }
            }
        }
        Ok(())
    }

    fn parent(&self, process: usize) -> Option<usize> {
        let ppid = self.census.processes[process].ppid;
        self.census.find_process(ppid)
    }

    /// Adds the row of a namespace, or of a process in it.
    fn add(
        &self,
        table: &mut Table,
        users: &mut Users,
        placed: &mut Placed,
        at: usize,
        process: Option<usize>,
    ) {
        let namespace = &self.census.namespaces[at];
        let above = match self.tree {
            Tree::None => None,
            Tree::Process => process
                .and_then(|process| self.parent(process))
                .and_then(|parent| placed.processes[parent]),
            Tree::Parent => self
                .relative(namespace.parent)
                .and_then(|parent| placed.namespaces[parent]),
            Tree::Owner => self
                .relative(namespace.owner)
                .and_then(|owner| placed.namespaces[owner]),
        };
        let inhabitant = process.map(|process| &self.census.processes[process]);
        let cells = self.columns.iter();
        let cells = cells.map(|shows| self.cell(*shows, namespace, inhabitant, users));
        let row = table.add(above, cells.collect());
        match (self.tree, process) {
            (Tree::Parent | Tree::Owner, _) => placed.namespaces[at] = Some(row),
            (_, Some(process)) => placed.processes[process] = Some(row),
            _ => {}
        }
    }

    fn cell(
        &self,
        shows: Shows,
        namespace: &Namespace,
        inhabitant: Option<&Inhabitant>,
        users: &mut Users,
    ) -> Vec<u8> {
        let of = |what: fn(&Inhabitant) -> String| inhabitant.map(what).unwrap_or_default();
        let uid = inhabitant.map_or(namespace.owner_uid, |process| process.uid);
        let text = match shows {
            Shows::Ns => namespace.inode.to_string(),
            Shows::Type => namespace.kind.proc_name().into(),
            Shows::Path => inhabitant.map_or_else(String::new, |process| {
                format!("/proc/{}/ns/{}", process.pid, namespace.kind.proc_name())
            }),
            Shows::Nprocs => namespace.members.len().to_string(),
            Shows::Pid => of(|process| process.pid.to_string()),
            Shows::Ppid => of(|process| process.ppid.to_string()),
            Shows::Uid => uid.to_string(),
            Shows::Parent => namespace.parent.to_string(),
            Shows::Owner => namespace.owner.to_string(),
            Shows::User => return users.name(uid),
            Shows::Command => return inhabitant.and_then(command).unwrap_or_default(),
            Shows::Nsfs => return self.pins(namespace),
            Shows::Netnsid => inhabitant
                .and_then(|process| self.netnsid(namespace, process))
                .unwrap_or_default(),
        };
        text.into_bytes()
    }

    /// Where a namespace is mounted, each place once.
    fn pins(&self, namespace: &Namespace) -> Vec<u8> {
        let name = format!("{}:[{}]", namespace.kind.proc_name(), namespace.inode);
        let mut points: Vec<&[u8]> = Vec::new();
        for pin in &self.census.pins {
            let point = pin.point.as_os_str().as_bytes();
            if pin.name == name.as_bytes() && !points.contains(&point) {
                points.push(point);
            }
        }
        points.join(self.separator)
    }

    /// The id of a network namespace in ours.
    fn netnsid(&self, namespace: &Namespace, process: &Inhabitant) -> Option<String> {
        if namespace.kind != Kind::Net {
            return None;
        }
        let asker = self.asker.get_or_init(|| Asker::new().ok()).as_ref()?;
        let process = Process::open(Pid::from_raw(process.pid)).ok()?;
        let ns = process.open_namespace(Kind::Net).ok()?;
        Some(match asker.id_of(ns.as_fd())? {
            Some(id) => id.to_string(),
            None => "unassigned".into(),
        })
    }
}

fn command(process: &Inhabitant) -> Option<Vec<u8>> {
    let process = Process::open(Pid::from_raw(process.pid)).ok()?;
    process.command().map(|line| line.as_bytes().to_vec())
}
