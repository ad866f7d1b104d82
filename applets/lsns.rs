//! lsns(8): list namespaces. util-linux's command line.

#[path = "lsns/listing.rs"]
mod listing;

use std::os::unix::ffi::OsStrExt;

use argh::{ArgsInfo, FromArgs};
use isobox::census::{Census, Question};
use isobox::error::{Error, Result};
use isobox::namespace::{self, Kind};

use crate::cli::raw::Raw;
use crate::cli::table::{Column, Fit, Format, Table, choose};
use crate::cli::{Applet, Exit};
use listing::{Listing, Users};

/// list the namespaces of the machine
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "lsns",
    example = "lsns -t net",
    example = "lsns -p $$ -o NS,TYPE,NPROCS",
    example = "lsns --tree=owner",
    error_code(1, "a failure of lsns itself"),
    error_code(2, "the kernel has not got an ioctl that was needed")
)]
pub(crate) struct Args {
    /// print JSON
    #[argh(switch, short = 'J')]
    json: bool,
    /// print a list and not a tree
    #[argh(switch, short = 'l')]
    list: bool,
    /// leave the headings out
    #[argh(switch, short = 'n')]
    noheadings: bool,
    /// the columns to print; +NAME for one more
    #[argh(option, short = 'o', arg_name = "list")]
    output: Option<Raw>,
    /// print all columns
    #[argh(switch)]
    output_all: bool,
    /// only namespaces that no process is in
    #[argh(switch, short = 'P')]
    persistent: bool,
    /// only the namespaces of this process
    #[argh(option, short = 'p', arg_name = "pid")]
    task: Option<Raw>,
    /// not supported (filter expressions are left out)
    #[argh(option, short = 'Q', arg_name = "expr")]
    filter: Option<Raw>,
    /// print raw: one blank between the cells, none in them
    #[argh(switch, short = 'r')]
    raw: bool,
    /// never cut a cell off
    #[argh(switch, short = 'u')]
    notruncate: bool,
    /// print several mount points in one line
    #[argh(switch, short = 'W')]
    nowrap: bool,
    /// only this kind of namespace: mnt, net, ipc, user, pid, uts, cgroup, time
    #[argh(option, short = 't', arg_name = "type")]
    r#type: Vec<Raw>,
    /// print a tree by this relation (owner)
    #[argh(option, short = 'T', arg_name = "[parent|owner|process]")]
    tree: Option<Raw>,
    /// list the columns there are
    #[argh(switch, short = 'H')]
    list_columns: bool,
    /// the inode number of the namespace whose processes to list
    #[argh(positional)]
    namespace: Option<Raw>,
}

/// What a column shows, in the order of [`COLUMNS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    Ns,
    Type,
    Path,
    Nprocs,
    Pid,
    Ppid,
    Command,
    Uid,
    User,
    Netnsid,
    Nsfs,
    Parent,
    Owner,
}

const COLUMNS: [Column; 13] = [
    column(
        "NS",
        10,
        Fit::Right,
        true,
        "namespace identifier (inode number)",
    ),
    column("TYPE", 5, Fit::Left, false, "kind of namespace"),
    column("PATH", 0, Fit::Left, false, "path to the namespace"),
    column(
        "NPROCS",
        5,
        Fit::Right,
        true,
        "number of processes in the namespace",
    ),
    column("PID", 5, Fit::Right, true, "lowest PID in the namespace"),
    column("PPID", 5, Fit::Right, true, "PPID of the PID"),
    column("COMMAND", 0, Fit::Cut, false, "command line of the PID"),
    column("UID", 0, Fit::Right, true, "UID of the PID"),
    column("USER", 0, Fit::Left, false, "username of the PID"),
    column(
        "NETNSID",
        0,
        Fit::Right,
        false,
        "namespace ID as used by network subsystem",
    ),
    column(
        "NSFS",
        0,
        Fit::Lines,
        false,
        "nsfs mountpoint (usually used network subsystem)",
    ),
    column(
        "PNS",
        10,
        Fit::Right,
        true,
        "parent namespace identifier (inode number)",
    ),
    column(
        "ONS",
        10,
        Fit::Right,
        true,
        "owner namespace identifier (inode number)",
    ),
];

/// What each of them shows.
const SHOWS: [Shows; 13] = [
    Shows::Ns,
    Shows::Type,
    Shows::Path,
    Shows::Nprocs,
    Shows::Pid,
    Shows::Ppid,
    Shows::Command,
    Shows::Uid,
    Shows::User,
    Shows::Netnsid,
    Shows::Nsfs,
    Shows::Parent,
    Shows::Owner,
];

const fn column(
    name: &'static str,
    width: usize,
    fit: Fit,
    number: bool,
    help: &'static str,
) -> Column {
    Column {
        name,
        help,
        width,
        number,
        fit,
    }
}

/// Places in [`COLUMNS`] of what is shown if nothing else is asked for.
const OF_NAMESPACES: [usize; 6] = [0, 1, 3, 4, 8, 6];
const OF_NETWORKS: [usize; 8] = [0, 1, 3, 4, 8, 9, 10, 6];
const OF_PROCESSES: [usize; 4] = [4, 5, 8, 6];

/// By which relation rows stand below others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tree {
    None,
    Process,
    Parent,
    Owner,
}

impl Applet for Args {
    fn run(self) -> Result<Exit> {
        self.exclusive()?;
        if self.filter.is_some() {
            return Err(Error::new("--filter: filter expressions are not supported")
                .hint("--json prints what a filter of your own can read"));
        }
        if self.list_columns {
            return list_columns(self.format()).print();
        }
        let kinds = self.kinds()?;
        let task = number(self.task.as_ref(), "PID")?;
        let inode: Option<u64> = number(self.namespace.as_ref(), "namespace")?;
        if task.is_some_and(|task: i32| task != 0) && inode.is_some() {
            return Err(Error::new("--task is mutually exclusive with <namespace>"));
        }
        let mut tree = self.tree()?;
        let columns = self.columns(inode.is_some(), &kinds, &mut tree)?;
        let shown = |what: Shows| columns.iter().any(|place| SHOWS[*place] == what);
        let by_namespace = matches!(tree, Tree::Parent | Tree::Owner);
        let census = Census::take(Question {
            kinds: namespace::flags(&kinds),
            relations: by_namespace || shown(Shows::Parent) || shown(Shows::Owner),
            ancestors: by_namespace,
        })?;
        let mut listing = Listing::new(&census);
        listing.separator = if self.nowrap || self.raw { b"," } else { b"\n" };
        listing.columns = columns.iter().map(|place| SHOWS[*place]).collect();
        listing.tree = tree;
        listing.task = task.filter(|task| *task != 0);
        listing.persistent = self.persistent;
        let mut table = Table::new("namespaces", self.layout(&columns, tree));
        table.format = self.format();
        table.headings = !self.noheadings;
        let mut accounts = Users::default();
        match inode {
            Some(inode) => listing.processes(&mut table, inode, &mut accounts)?,
            None => listing.namespaces(&mut table, &mut accounts),
        }
        table.print()
    }
}

impl Args {
    /// Refuses what cannot go together.
    fn exclusive(&self) -> Result<()> {
        for (first, second, names) in [
            (self.json, self.raw, "--json --raw"),
            (self.persistent, self.task.is_some(), "--persistent --task"),
            (self.list, self.tree.is_some(), "--list --tree"),
        ] {
            if first && second {
                return Err(Error::new(format!("mutually exclusive arguments: {names}")));
            }
        }
        Ok(())
    }

    fn format(&self) -> Format {
        match (self.json, self.raw) {
            (true, _) => Format::Json,
            (_, true) => Format::Raw,
            _ => Format::Columns,
        }
    }

    /// The kinds to list.
    fn kinds(&self) -> Result<Vec<Kind>> {
        if self.r#type.is_empty() {
            return Ok(Kind::ALL.to_vec());
        }
        let named = self.r#type.iter().map(|Raw(name)| {
            name.to_str().and_then(Kind::from_proc_name).ok_or_else(|| {
                let name = name.to_string_lossy();
                Error::new(format!("unknown namespace type: {name}"))
            })
        });
        named.collect()
    }

    fn tree(&self) -> Result<Tree> {
        let Some(Raw(relation)) = &self.tree else {
            return Ok(Tree::None);
        };
        match relation.as_bytes() {
            b"" | b"owner" => Ok(Tree::Owner),
            b"parent" => Ok(Tree::Parent),
            b"process" => Ok(Tree::Process),
            _ => {
                let relation = relation.to_string_lossy();
                Err(Error::new(format!("unknown tree type: {relation}")))
            }
        }
    }

    /// Places in [`COLUMNS`]. Who leaves them to us gets a tree of processes too.
    fn columns(&self, one: bool, kinds: &[Kind], tree: &mut Tree) -> Result<Vec<usize>> {
        let mut chosen: Vec<usize> = match self.output_all {
            true => (0..COLUMNS.len()).collect(),
            false if one => OF_PROCESSES.to_vec(),
            false if !self.r#type.is_empty() && kinds.contains(&Kind::Net) => OF_NETWORKS.to_vec(),
            false => OF_NAMESPACES.to_vec(),
        };
        if *tree == Tree::None && !self.list && (one || !self.output_all) {
            *tree = Tree::Process;
        }
        if let Some(Raw(list)) = &self.output {
            choose(&list.to_string_lossy(), &COLUMNS, &mut chosen)?;
        }
        Ok(chosen)
    }

    /// The columns as they are to be laid out.
    fn layout(&self, chosen: &[usize], tree: Tree) -> Vec<Column> {
        let fit = |shows: Shows, fit: Fit| match (shows, tree) {
            (Shows::Command, Tree::Process) if self.notruncate => Fit::Tree,
            (Shows::Command, Tree::Process) => Fit::CutTree,
            (Shows::Command, _) if self.notruncate => Fit::Left,
            (Shows::Ns, Tree::Parent | Tree::Owner) => Fit::Tree,
            (Shows::Nsfs, _) if self.nowrap || self.raw => Fit::Left,
            _ => fit,
        };
        let columns = chosen.iter().map(|place| Column {
            fit: fit(SHOWS[*place], COLUMNS[*place].fit),
            ..COLUMNS[*place]
        });
        columns.collect()
    }
}

/// A number that an option or an operand gives.
fn number<T: std::str::FromStr>(text: Option<&Raw>, what: &str) -> Result<Option<T>> {
    let Some(Raw(text)) = text else {
        return Ok(None);
    };
    let text = text.to_string_lossy();
    match text.trim_ascii_start().parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(Error::new(format!("invalid {what} argument: '{text}'"))),
    }
}

/// The columns there are, as a list.
fn list_columns(format: Format) -> Table {
    let columns = vec![
        column("HOLDER", 0, Fit::Right, false, ""),
        column("TYPE", 0, Fit::Left, false, ""),
        column("DESCRIPTION", 0, Fit::Left, false, ""),
    ];
    let mut table = Table::new("lsns-columns", columns);
    table.format = format;
    table.headings = false;
    for column in &COLUMNS {
        let kind = if column.number {
            "<integer>"
        } else {
            "<string>"
        };
        let cells = [column.name, kind, column.help];
        table.add(None, cells.map(|cell| cell.as_bytes().to_vec()).to_vec());
    }
    table
}
