//! Making namespaces, and pinning them.

use std::cell::Cell;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkdir};

use crate::error::{Error, Result, printable};
use crate::namespace::{Kind, flag_names, kinds};
use crate::plan::{Context, Explanation, Shell, Step};
use crate::{probe, proc_write};

/// Moves this process into new namespaces (unshare(2)); for pid and time only its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unshare {
    /// `CLONE_NEW*` flags.
    pub namespaces: CloneFlags,
}

impl Step for Unshare {
    fn perform(&self, _: &mut Context) -> Result<()> {
        unshare(self.namespaces).map_err(|errno| probe::unshare_failed(self.namespaces, errno))
    }

    fn explain(&self) -> Explanation {
        let each = |text: fn(Kind) -> &'static str| {
            let texts: Vec<&str> = kinds(self.namespaces).into_iter().map(text).collect();
            texts.join("; ")
        };
        let pages: Vec<&str> = kinds(self.namespaces).into_iter().map(Kind::man).collect();
        Explanation::new(
            format!("unshare({})", flag_names(self.namespaces)),
            format!(
                "from here on its own: {} ({})",
                each(Kind::gives),
                pages.join(", ")
            ),
            each(Kind::without),
            "unshare(2)",
        )
    }

    fn shell(&self) -> Shell {
        let words = kinds(self.namespaces)
            .iter()
            .map(|kind| format!("--{}", kind.option()).into())
            .collect();
        Shell::Option {
            applet: "unshare",
            words,
        }
    }
}

/// Pins a namespace of the process concerned by a bind mount on a file, so that it lives on without a process.
/// Performed outside: the mount is to be seen there.
///
/// A file that is not there is made, and the directory it lies in, if only that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Which of its namespaces; of pid and time that of its children.
    pub kind: Kind,
    /// The file.
    pub file: PathBuf,
    /// What this step made, to be taken back if a later one fails.
    made: Cell<Made>,
}

/// What had to be made for a pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    Nothing,
    File,
    Directory,
}

impl Pin {
    /// A pin of `kind` on `file`.
    pub fn new(kind: Kind, file: PathBuf) -> Self {
        Self {
            kind,
            file,
            made: Cell::new(Made::Nothing),
        }
    }

    fn unmake(&self) {
        let made = self.made.replace(Made::Nothing);
        if made != Made::Nothing {
            let _ = fs::remove_file(&self.file);
        }
        if let (Made::Directory, Some(directory)) = (made, self.file.parent()) {
            let _ = fs::remove_dir(directory);
        }
    }
}

impl Step for Pin {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let name = self.kind.proc_name_for_children();
        let refused = |errno| {
            let (pid, file) = (cx.program(), printable(self.file.as_os_str()));
            Error::new(format!("mount /proc/{pid}/ns/{name} on {file} failed")).errno_is(errno)
        };
        let namespace = open_namespace(cx.program(), name).map_err(refused)?;
        self.made.set(make(&self.file).map_err(refused)?);
        // The descriptor, not the path: the process may be gone by now and its number somebody else's.
        let source = format!("/proc/self/fd/{}", namespace.as_raw_fd());
        let none = None::<&str>;
        let mounted = mount(
            Some(source.as_str()),
            &self.file,
            none,
            MsFlags::MS_BIND,
            none,
        );
        mounted.map_err(|errno| {
            let hint = probe::pin_refused(self.kind, namespace.as_fd(), &self.file, errno);
            self.unmake();
            refused(errno).hint_maybe(hint)
        })
    }

    fn undo(&self, _: &mut Context) {
        let _ = umount2(&self.file, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
        self.unmake();
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "mount(\"/proc/PID/ns/{}\", {:?}, NULL, MS_BIND, NULL)",
                self.kind.proc_name_for_children(),
                self.file
            ),
            "a namespace lives as long as a process is in it, or a file is it",
            "it would be gone with the last process; nsenter(1) could not come back later",
            "namespaces(7)",
        )
    }

    fn shell(&self) -> Shell {
        let name = format!("--{}=", self.kind.option());
        Shell::valued("unshare", &name, self.file.as_os_str())
    }
}

fn open_namespace(process: Pid, name: &str) -> Result<OwnedFd, Errno> {
    let place = if process == Pid::this() {
        "self/ns".into()
    } else {
        format!("{process}/ns")
    };
    let directory = proc_write::open(&place, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
    openat(
        directory,
        name,
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
}

/// Makes an empty file to mount on, where there is none.
fn make(file: &Path) -> Result<Made, Errno> {
    let how = OFlag::O_RDONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    let mode = Mode::from_bits_truncate(0o444);
    match open(file, how, mode) {
        Ok(_) => Ok(Made::File),
        Err(Errno::ENOENT) => {
            let directory = file.parent().ok_or(Errno::ENOENT)?;
            mkdir(directory, Mode::from_bits_truncate(0o755)).map_err(|_| Errno::ENOENT)?;
            open(file, how, mode).inspect_err(|_| {
                let _ = fs::remove_dir(directory);
            })?;
            Ok(Made::Directory)
        }
        // It is there, or cannot be made: then the mount says why not.
        Err(_) => Ok(Made::Nothing),
    }
}
