//! Mounting and propagation.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;
use nix::mount::{MsFlags, mount};

use crate::error::{Doing, Error, Result};
use crate::mount::{
    IdMap, Options, detached_bind, detached_copy, dress, fill, fstab_line, is_procfs, mount_new,
    open_source, place_for, why_refused,
};
use crate::plan::{Context, Explanation, Shell, Slot, Step};
use crate::root::{Root, inside};
use crate::sys::mount::move_mount;
use crate::sys::stat::place;

/// Sets the propagation of every mount from `/` down (mount_namespaces(7), "Shared subtrees").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Propagation {
    /// One of `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`.
    pub kind: MsFlags,
}

/// A propagation's name.
fn name(kind: MsFlags) -> &'static str {
    match kind {
        MsFlags::MS_SHARED => "shared",
        MsFlags::MS_SLAVE => "slave",
        MsFlags::MS_UNBINDABLE => "unbindable",
        _ => "private",
    }
}

impl Step for Propagation {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | self.kind, none).map_err(|errno| {
            Error::new("cannot change root filesystem propagation")
                .errno_is(errno)
                .hint_maybe(why_refused(OsStr::new(""), errno))
        })
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "mount(\"none\", \"/\", NULL, MS_REC|MS_{}, NULL)",
                name(self.kind).to_ascii_uppercase()
            ),
            "the new mount namespace is a copy whose mounts still belong to the peer groups of the old one",
            "on a host with shared mounts, what is mounted in here would appear out there",
            "mount_namespaces(7)",
        )
    }

    fn shell(&self) -> Shell {
        if self.kind == MsFlags::MS_PRIVATE {
            return Shell::Implied;
        }
        Shell::option("unshare", format!("--propagation={}", name(self.kind)))
    }
}

/// Sets the propagation of the root that has been entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootPropagation {
    /// One of `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, `MS_UNBINDABLE`.
    pub kind: MsFlags,
    /// With the mounts below it.
    pub recursive: bool,
}

impl Step for RootPropagation {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let none = None::<&str>;
        let below = if self.recursive {
            MsFlags::MS_REC
        } else {
            MsFlags::empty()
        };
        mount(none, "/", none, below | self.kind, none)
            .doing("cannot change the propagation of the new root")
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "mount(\"none\", \"/\", NULL, {}MS_{}, NULL)",
                if self.recursive { "MS_REC|" } else { "" },
                name(self.kind).to_ascii_uppercase()
            ),
            "says whether mounts in the new root are told to, and heard from, those that share it",
            "what is mounted in the root would be seen here only",
            "mount_namespaces(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Unsaid("the propagation of the root")
    }
}

/// Mounts a new file system in the new root; what is missing of the place is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The tree it goes into.
    pub root: Slot,
    /// The device, or the name to give it.
    pub source: OsString,
    /// Where in that tree.
    pub target: PathBuf,
    /// The type of file system.
    pub fstype: OsString,
    /// How.
    pub options: Options,
}

impl Step for Mount {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let root = Root::new(cx.get(self.root)?);
        let place = place_for(root, &self.target, &self.fstype, true)?;
        mount_new(
            &self.fstype,
            &self.source,
            &self.options,
            place.as_fd(),
            &self.target,
        )
    }

    fn explain(&self) -> Explanation {
        let (why, without, man) = purpose(&self.fstype);
        Explanation::new(
            format!(
                "fsopen({:?}), fsconfig({}), fsmount({}), move_mount(ROOT, {:?})",
                self.fstype,
                self.options.told_data(),
                self.options.told_attributes(),
                self.target
            ),
            why,
            without,
            man,
        )
    }

    fn shell(&self) -> Shell {
        mount_option(
            &self.source,
            &self.target,
            &self.fstype,
            &self.options.to_list(),
        )
    }
}

impl Mount {
    /// A mount from literals.
    fn of(root: Slot, fstype: &str, target: &str, options: &[&str]) -> Result<Self> {
        Ok(Self {
            root,
            source: fstype.into(),
            target: target.into(),
            fstype: fstype.into(),
            options: Options::new(options.iter().copied())?,
        })
    }

    /// `/proc`.
    pub fn proc(root: Slot) -> Result<Self> {
        Self::of(root, "proc", "/proc", &["nosuid", "nodev", "noexec"])
    }

    /// `/sys`, read-only: what can be changed there is the machine's.
    pub fn sys(root: Slot) -> Result<Self> {
        Self::of(root, "sysfs", "/sys", &["ro", "nosuid", "nodev", "noexec"])
    }

    /// `/dev/mqueue`: permitted only where the IPC namespace is ours.
    pub fn mqueue(root: Slot) -> Result<MountIfPermitted> {
        let options = ["nosuid", "nodev", "noexec"];
        Self::of(root, "mqueue", "/dev/mqueue", &options).map(MountIfPermitted)
    }

    /// `/dev`, its terminals and its shared memory. The nodes and links are steps of their own.
    pub fn dev(root: Slot) -> Result<[Self; 3]> {
        let pts = [
            "nosuid",
            "noexec",
            "newinstance",
            "ptmxmode=0666",
            "mode=0620",
        ];
        Ok([
            Self::of(
                root,
                "tmpfs",
                "/dev",
                &["nosuid", "noexec", "mode=755", "size=1m", "nr_inodes=512"],
            )?,
            Self::of(root, "devpts", "/dev/pts", &pts)?,
            Self::of(
                root,
                "tmpfs",
                "/dev/shm",
                &["nosuid", "nodev", "noexec", "mode=1777", "size=64m"],
            )?,
        ])
    }
}

/// Mounts a new file system where that is permitted, and goes on without it where it is not: for what belongs to
/// a namespace that may not be ours, and that hardly any program misses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountIfPermitted(pub Mount);

impl Step for MountIfPermitted {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        match self.0.perform(cx) {
            Err(error) if error.errno() == Some(Errno::EPERM) => Ok(()),
            other => other,
        }
    }

    fn explain(&self) -> Explanation {
        let mut told = self.0.explain();
        told.call.push_str(", unless EPERM");
        told
    }

    fn shell(&self) -> Shell {
        self.0.shell()
    }
}

/// Mounts a file system that this kernel may have been built without, and goes on where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountIfBuilt(pub Mount);

impl Step for MountIfBuilt {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        match self.0.perform(cx) {
            Err(error) if error.errno() == Some(Errno::ENODEV) => Ok(()),
            other => other,
        }
    }

    fn explain(&self) -> Explanation {
        let mut told = self.0.explain();
        told.call.push_str(", unless ENODEV");
        told
    }

    fn shell(&self) -> Shell {
        self.0.shell()
    }
}

/// What a file system of this type is for, what is missing without it, and where to read on.
fn purpose(fstype: &OsStr) -> (&'static str, &'static str, &'static str) {
    match fstype.as_bytes() {
        b"proc" => (
            "shows the processes of this PID namespace, and only them",
            "ps, and everything that reads /proc, would find nothing",
            "proc(5)",
        ),
        b"sysfs" => (
            "shows the devices that this network namespace may see",
            "programs that look for devices or their queues would find nothing",
            "sysfs(5)",
        ),
        b"devtmpfs" => (
            "the kernel's own list of the devices it has found",
            "only the devices that the tree came with would be there",
            "Documentation/driver-api/driver-model/overview.rst",
        ),
        b"devpts" => (
            "terminals of its own, numbered from 0",
            "opening a terminal would fail, or take one of the host's",
            "pts(4)",
        ),
        b"mqueue" => (
            "shows the message queues of this IPC namespace",
            "mq_open(3) works, but nobody can list the queues",
            "mq_overview(7)",
        ),
        b"tmpfs" => (
            "memory that is gone with the mount namespace",
            "the directory would be that of the root below it, and changes would stay",
            "tmpfs(5)",
        ),
        b"overlay" => (
            "a lower tree that is only read, and an upper one that takes the changes",
            "changes would go into the tree itself",
            "mount(8)",
        ),
        b"cgroup2" | b"cgroup" => (
            "shows the part of the cgroup tree that is its own",
            "programs could not read their limits",
            "cgroups(7)",
        ),
        _ => (
            "a file system that was asked for",
            "the directory would be that of the root below it",
            "mount(2)",
        ),
    }
}

/// Where the source of a bind comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path outside, opened when the step is performed. Absolute: the working directory may have moved.
    Path(PathBuf),
    /// What an earlier step left.
    Slot(Slot),
    /// The copy that a [`CopySource`] made of this path.
    Copied(Slot, PathBuf),
}

/// Makes a detached copy of a part of the host while it can still be had: by the privileges outside, or as a member of
/// the host's peer groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    /// What is copied.
    pub path: PathBuf,
    /// With the mounts below it.
    pub recursive: bool,
    /// How the ids of its files are mapped, and whether those of the mounts below it too.
    pub ids: Option<(IdMap, bool)>,
    /// Where the copy is left.
    pub slot: Slot,
}

impl Step for CopySource {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let source = open_source(&self.path)?;
        let copy = detached_copy(source.as_fd(), self.recursive)
            .doing_to("cannot copy the mount of", &self.path)?;
        if let Some((map, recursive)) = &self.ids {
            map.apply(copy.as_fd(), *recursive)
                .map_err(|error| error.on(&self.path))?;
        }
        cx.put(self.slot, copy);
        Ok(())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        let below = if self.recursive { "|AT_RECURSIVE" } else { "" };
        let ids = self
            .ids
            .as_ref()
            .map_or("", |_| ", mount_setattr(MOUNT_ATTR_IDMAP)");
        Explanation::new(
            format!("open_tree({:?}, OPEN_TREE_CLONE{below}){ids}", self.path),
            "a copy of the mount, made out here: in there it may be out of reach, or cut off from what is mounted later",
            "the bind would be refused, or would not hear of later mounts",
            "open_tree(2)",
        )
    }

    fn shell(&self) -> Shell {
        match self.ids {
            None => Shell::Implied,
            Some(_) => Shell::Unsaid("an id-mapped mount"),
        }
    }
}

/// Shows a directory or file of the outside in the new root. Read-only and all other flags are set before
/// anybody can see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// The tree it goes into.
    pub root: Slot,
    /// What is shown.
    pub source: Source,
    /// Where in that tree.
    pub target: PathBuf,
    /// How: `ro`, `nosuid` ...; `rbind` for the mounts below it too.
    pub options: Options,
}

impl Step for Bind {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let opened;
        let source = match &self.source {
            Source::Path(path) => {
                opened = open_source(path)?;
                opened.as_fd()
            }
            Source::Slot(slot) | Source::Copied(slot, _) => cx.get(*slot)?,
        };
        if let Some((option, _)) = self.options.data.first() {
            return Err(Error::new("unknown option for a bind").on(option));
        }
        let is_directory = place(source, c"")
            .doing("cannot look at the source of a bind")?
            .is(libc::S_IFDIR);
        // The host's own procfs, as a whole, is the kernel's word too.
        let whole = inside(&self.target) == Path::new("proc") && is_procfs(source, true);
        let fstype = if whole { "proc" } else { "none" };
        let to = place_for(
            Root::new(cx.get(self.root)?),
            &self.target,
            OsStr::new(fstype),
            is_directory,
        )?;
        if self.options.copy_up && is_directory {
            let cannot = "cannot copy what is covered on";
            fill(to.as_fd(), source, true).doing_to(cannot, &self.target)?;
        }
        let refused = |errno| bind_refused(&self.target, self.options.bind == Some(true), errno);
        if matches!(self.source, Source::Copied(..)) {
            dress(source, &self.options).map_err(refused)?;
            return move_mount(source, to.as_fd()).map_err(refused);
        }
        let mount = detached_bind(source, &self.options).map_err(refused)?;
        move_mount(mount.as_fd(), to.as_fd()).map_err(refused)
    }

    fn explain(&self) -> Explanation {
        let recursive = if self.options.bind == Some(true) {
            "|AT_RECURSIVE"
        } else {
            ""
        };
        let filled = match self.options.copy_up {
            true => "openat2(ROOT), read(), write(), fchown(), ",
            false => "",
        };
        Explanation::new(
            format!(
                "{filled}open_tree({:?}, OPEN_TREE_CLONE{recursive}), mount_setattr({}), move_mount(ROOT, {:?})",
                self.source_name(),
                self.options.told_attributes(),
                self.target
            ),
            "shows a part of the host inside, with the flags already on it when it appears",
            "the program would not find it; flags set afterwards would leave a moment without them",
            "open_tree(2)",
        )
    }

    fn shell(&self) -> Shell {
        let list = self.options.to_list();
        let has_word = list
            .as_bytes()
            .split(|b| *b == b',')
            .any(|word| word == b"bind" || word == b"rbind");
        let options = match (has_word, list.is_empty()) {
            (true, _) => list,
            (false, true) => "bind".into(),
            (false, false) => [OsStr::new("bind,"), &list].into_iter().collect(),
        };
        mount_option(
            self.source_name().as_os_str(),
            &self.target,
            OsStr::new("none"),
            &options,
        )
    }
}

impl Bind {
    fn source_name(&self) -> &Path {
        match &self.source {
            Source::Path(path) | Source::Copied(_, path) => path,
            Source::Slot(_) => Path::new("FD"),
        }
    }
}

fn bind_refused(target: &Path, recursive: bool, errno: Errno) -> Error {
    let error = Error::new("cannot bind on").on(target).errno_is(errno);
    match errno {
        Errno::EINVAL if !recursive => error.hint(
            "in a user namespace a bind must take the mounts below its source along: say rbind",
        ),
        _ => error.hint_maybe(why_refused(OsStr::new("none"), errno)),
    }
}

fn mount_option(source: &OsStr, target: &Path, fstype: &OsStr, options: &OsStr) -> Shell {
    Shell::Option {
        applet: "pivot",
        words: vec![
            "--mount".into(),
            fstab_line(source, target, fstype, options),
        ],
    }
}
