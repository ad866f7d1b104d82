//! Finding, making and entering a new root.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{fchdir, getcwd, getppid};

use crate::error::{Doing, Error, Result};
use crate::mount::why_refused;
use crate::namespace::Kind;
use crate::pivot::{pivot_into, refuse_namespace_of_init};
use crate::plan::{Context, Exec, Explanation, Shell, Slot, Step};
use crate::procfs::Process;
use crate::root::{self, Root, into_mount};
use crate::sys::stat::place;

/// Refuses to go on where the root of the whole machine would be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotTheMachinesRoot;

impl Step for NotTheMachinesRoot {
    fn perform(&self, _: &mut Context) -> Result<()> {
        refuse_namespace_of_init()
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "stat(\"/proc/self/ns/mnt\") != stat(\"/proc/1/ns/mnt\")",
            "pivot_root(2) changes the root of every process of the mount namespace",
            "in the namespace of process 1 the whole machine would lose its root",
            "mount_namespaces(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Leaves the mount namespace where the process that called us is in it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApartFromCaller;

impl Step for ApartFromCaller {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let namespace = |process: Result<Process, Errno>| process?.namespace(Kind::Mount);
        // A caller in another PID namespace, or one that may not be looked at, is in a namespace of its own, or knows
        // what it does.
        let caller = namespace(Process::open(getppid()));
        match caller.is_ok() && caller == namespace(Process::own()) {
            true => unshare(CloneFlags::CLONE_NEWNS).doing("cannot unshare the mount namespace"),
            false => Ok(()),
        }
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "stat(\"/proc/PPID/ns/mnt\") == stat(\"/proc/self/ns/mnt\"), then unshare(CLONE_NEWNS)",
            "the shell that called this keeps its root where it shares the mount namespace",
            "pivot_root(2) changes the root of every process of the namespace: the shell would be left in the new root",
            "mount_namespaces(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Opens the directory that is to become the root, as it is: it already is a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRoot {
    /// The directory.
    pub path: PathBuf,
    /// Where later steps find it.
    pub slot: Slot,
}

impl Step for OpenRoot {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        cx.put(self.slot, root::open(&self.path)?);
        Ok(())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "openat2({:?}, O_PATH|O_DIRECTORY, RESOLVE_NO_MAGICLINKS) = ROOT",
                self.path
            ),
            "from here on everything in it is reached below this descriptor",
            "a symbolic link in it could lead what follows out to the host",
            "openat2(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Operand {
            applet: "pivot",
            options: Vec::new(),
            word: self.path.clone().into(),
        }
    }
}

/// Opens the directory that is to become the root and makes it a mount of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindRoot {
    /// The directory.
    pub path: PathBuf,
    /// Where later steps find the root of the new mount.
    pub slot: Slot,
}

impl Step for BindRoot {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let dir = root::open(&self.path)?;
        let mount = into_mount(dir.as_fd()).map_err(|errno| {
            Error::new("cannot make a mount of")
                .on(&self.path)
                .errno_is(errno)
                .hint_maybe(why_refused(OsStr::new("none"), errno))
        })?;
        cx.put(self.slot, mount);
        Ok(())
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "openat2({:?}, RESOLVE_NO_MAGICLINKS), open_tree(OPEN_TREE_CLONE|AT_RECURSIVE), mount_setattr(MS_SLAVE), move_mount() = ROOT",
                self.path
            ),
            "a root must be a mount: the directory is bound over itself, and from here on reached below its descriptor only",
            "pivot_root(2) would say EBUSY or EINVAL, and a symbolic link in it could lead out to the host",
            "open_tree(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Operand {
            applet: "pivot",
            options: Vec::new(),
            word: self.path.clone().into(),
        }
    }
}

/// Looks for the program in the root that is about to become ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindProgramIn {
    /// The new root.
    pub root: Slot,
    /// The program.
    pub program: Exec,
    /// Where a relative path of it starts.
    pub dir: PathBuf,
}

impl Step for FindProgramIn {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let root = Root::new(cx.get(self.root)?);
        let look = |path: &[u8]| {
            let path = self.dir.join(OsStr::from_bytes(path));
            let found = root
                .look_up(&path, libc::O_PATH)
                .and_then(|fd| place(fd.as_fd(), c""));
            match found {
                Err(errno @ (Errno::ENOENT | Errno::ENOTDIR)) => Err(errno),
                Ok(file) if file.is(libc::S_IFDIR) || file.mode & 0o111 == 0 => Err(Errno::EACCES),
                // Whatever else there is to say, the exec says it.
                _ => Ok(()),
            }
        };
        self.program
            .find_by(&look)
            .map_err(|error| error.hint("it was looked for in the new root, which was not entered"))
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "openat2(ROOT, {:?}, O_PATH, RESOLVE_IN_ROOT)",
                self.program.command().program
            ),
            "whether the new root has the program is known before it is too late to stay",
            "all processes of this mount namespace would be left in a root that holds not even the program",
            "openat2(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Makes the mount in the slot the root, and detaches the old one or leaves it at a path of the new root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PivotInto {
    /// The new root.
    pub root: Slot,
    /// Where the old root is left; detached without.
    pub put_old: Option<PathBuf>,
}

impl Step for PivotInto {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        pivot_into(cx.get(self.root)?, self.put_old.as_deref())
    }

    fn explain(&self) -> Explanation {
        let then = match &self.put_old {
            Some(path) => format!("move_mount(OLD, {path:?})"),
            None => "umount2(\".\", MNT_DETACH)".into(),
        };
        Explanation::new(
            format!("fchdir(ROOT), pivot_root(\".\", \".\"), {then}, chdir(\"/\")"),
            "the new root takes the place of the old one, which nobody in here can reach any more",
            "chroot(2) alone leaves the old root mounted: root inside walks back to it",
            "pivot_root(2)",
        )
    }

    fn shell(&self) -> Shell {
        match &self.put_old {
            None => Shell::Implied,
            Some(path) => Shell::Option {
                applet: "pivot",
                words: vec!["--put-old".into(), path.into()],
            },
        }
    }
}

/// Changes to a directory of the root we are in, and makes sure that it is inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chdir {
    /// The directory.
    pub dir: PathBuf,
    /// Whether it is made where it is missing.
    pub create: bool,
}

impl Step for Chdir {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let slash = open("/", flags, Mode::empty()).doing_to("cannot open", "/")?;
        let root = Root::new(slash.as_fd());
        let dir = if self.create {
            root.directory(&self.dir)?
        } else {
            root.look_up(&self.dir, libc::O_PATH | libc::O_DIRECTORY)
                .doing_to("cannot change directory to", &self.dir)?
        };
        fchdir(dir).doing_to("cannot change directory to", &self.dir)?;
        inside_the_root(&self.dir)
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "openat2(\"/\", {:?}, RESOLVE_IN_ROOT), fchdir(), getcwd()",
                self.dir
            ),
            "the program starts there",
            "it would start in /; unchecked, a descriptor of the host that leaked could be its way out",
            "chdir(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Option {
            applet: "pivot",
            words: [OsString::from("--workdir"), self.dir.clone().into()]
                .into_iter()
                .chain(self.create.then(|| "--make-workdir".into()))
                .collect(),
        }
    }
}

/// The kernel gives a path for the working directory only if our root holds it (CVE-2024-21626).
fn inside_the_root(dir: &Path) -> Result<()> {
    match getcwd() {
        Ok(path) if path.is_absolute() => Ok(()),
        _ => Err(Error::new("the working directory is outside the root").on(dir)),
    }
}
