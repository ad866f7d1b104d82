//! Covering what a program must not see, and making read-only what it must not change.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;

use crate::error::{Doing, Error, Result, printable};
use crate::mount::{Options, detached_bind, make_read_only};
use crate::plan::{Context, Explanation, Shell, Slot, Step};
use crate::root::{Root, host_device};
use crate::sys::mount::{attr, fsconfig_set, fsmount, fsopen, move_mount};
use crate::sys::stat::place;

/// Covers paths: directories by one empty read-only tmpfs that all of them share, everything else by the null
/// device. What is not there needs no cover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// The tree they are in.
    pub root: Slot,
    /// The paths.
    pub paths: Vec<PathBuf>,
    /// The SELinux label of that tmpfs, if any.
    pub label: Option<CString>,
}

impl Step for Mask {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let root = Root::new(cx.get(self.root)?);
        let mut covers = Covers::default();
        for path in &self.paths {
            let Some(found) = present(root, path)? else {
                continue;
            };
            // Its type first: a cover of the wrong kind costs ten times as much to be refused.
            let is_directory = place(found.as_fd(), c"")
                .doing_to("cannot look at", path)?
                .is(libc::S_IFDIR);
            covers.put(found.as_fd(), is_directory, path, self.label.as_deref())?;
        }
        Ok(())
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("move_mount(tmpfs | /dev/null, {})", names(&self.paths)),
            "these show or change the whole machine, not only this container",
            "root inside could read the kernel's memory or its keys",
            "mount_namespaces(7)",
        )
    }

    fn shell(&self) -> Shell {
        each("--mask", &self.paths)
    }
}

/// The two covers, each made when first needed. Once attached, a further one is a copy of it: its flags come along.
#[derive(Default)]
struct Covers {
    empty: Option<OwnedFd>,
    null: Option<OwnedFd>,
}

impl Covers {
    fn put(
        &mut self,
        over: BorrowedFd<'_>,
        is_directory: bool,
        path: &Path,
        label: Option<&CStr>,
    ) -> Result<()> {
        let cover = if is_directory {
            &mut self.empty
        } else {
            &mut self.null
        };
        let cannot = "cannot cover";
        match cover {
            Some(first) => {
                let copy =
                    detached_bind(first.as_fd(), &Options::default()).doing_to(cannot, path)?;
                move_mount(copy.as_fd(), over).doing_to(cannot, path)
            }
            None => {
                let first = if is_directory {
                    empty_directory(label).doing_to(cannot, path)?
                } else {
                    null()?
                };
                move_mount(first.as_fd(), over).doing_to(cannot, path)?;
                *cover = Some(first);
                Ok(())
            }
        }
    }
}

/// A tmpfs of one inode that nothing can be put into.
fn empty_directory(label: Option<&CStr>) -> Result<OwnedFd, Errno> {
    let context = fsopen(c"tmpfs")?;
    fsconfig_set(context.as_fd(), c"nr_inodes", Some(c"1"))?;
    fsconfig_set(context.as_fd(), c"mode", Some(c"555"))?;
    if label.is_some() {
        fsconfig_set(context.as_fd(), c"context", label)?;
    }
    fsmount(
        context.as_fd(),
        attr::RDONLY | attr::NOSUID | attr::NODEV | attr::NOEXEC,
    )
}

/// The host's null device, by a mount that is read-only: its owner and mode cannot be changed from inside, and
/// writing to a device is not writing to its file system.
fn null() -> Result<OwnedFd> {
    let path = Path::new("/dev/null");
    let device = host_device(path, 1, 3)?;
    let options = Options::new(["ro", "nosuid", "noexec"])?;
    detached_bind(device.as_fd(), &options).doing_to("cannot clone", path)
}

/// Makes paths read-only: each, with what is mounted below it, becomes a read-only mount over itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOnlyPaths {
    /// The tree they are in.
    pub root: Slot,
    /// The paths; one that is not there is passed over.
    pub paths: Vec<PathBuf>,
}

impl Step for ReadOnlyPaths {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let root = Root::new(cx.get(self.root)?);
        let options = Options::new(["rbind", "rro"])?;
        for path in &self.paths {
            let Some(found) = present(root, path)? else {
                continue;
            };
            let cannot = "cannot make read-only";
            let mount = detached_bind(found.as_fd(), &options).doing_to(cannot, path)?;
            move_mount(mount.as_fd(), found.as_fd()).doing_to(cannot, path)?;
        }
        Ok(())
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "open_tree(OPEN_TREE_CLONE|AT_RECURSIVE), mount_setattr(MOUNT_ATTR_RDONLY), move_mount({})",
                names(&self.paths)
            ),
            "these are settings of the machine, and hold for it as a whole",
            "root inside could change sysctls or trigger a reboot of the host",
            "mount_setattr(2)",
        )
    }

    fn shell(&self) -> Shell {
        each("--read-only-path", &self.paths)
    }
}

/// Makes the mount of the root read-only, not those below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootReadOnly {
    /// The tree.
    pub root: Slot,
}

impl Step for RootReadOnly {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        make_read_only(cx.get(self.root)?, false).doing("cannot make the new root read-only")
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "mount_setattr(ROOT, MOUNT_ATTR_RDONLY)",
            "the program is to write only where something was mounted for that",
            "it could change its own files, and the next one would find them changed",
            "mount_setattr(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::option("pivot", "--read-only")
    }
}

/// What stands at `path`, or nothing.
fn present(root: Root<'_>, path: &Path) -> Result<Option<OwnedFd>> {
    match root.look_up(path, libc::O_PATH) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(errno) => Err(Error::new("cannot look up in the new root")
            .on(path)
            .errno_is(errno)),
    }
}

fn names(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| printable(path.as_os_str()))
        .collect::<Vec<_>>()
        .join(", ")
}

fn each(option: &'static str, paths: &[PathBuf]) -> Shell {
    Shell::Option {
        applet: "pivot",
        words: paths
            .iter()
            .flat_map(|path| [option.into(), path.into()])
            .collect(),
    }
}
