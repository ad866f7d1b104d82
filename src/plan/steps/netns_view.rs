//! What a program in a network namespace with a name is shown of it (ip-netns(8), `exec`): its own `/sys`, and its files
//! of `/etc/netns/NAME`.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};

use crate::error::{Error, Result, printable};
use crate::plan::{Context, Explanation, Shell, Step};

/// Shows on `/sys` what belongs to the network namespace this process is in. In a mount namespace of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnSysfs {
    /// What the mount is called: the name of the namespace.
    pub name: OsString,
}

impl Step for OwnSysfs {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let none = None::<&str>;
        let slave = MsFlags::MS_SLAVE | MsFlags::MS_REC;
        mount(none, "/", none, slave, none).map_err(|errno| {
            Error::new("\"mount --make-rslave /\" failed")
                .errno_is(errno)
                .status(255)
        })?;
        let mut how = MsFlags::empty();
        // What cannot be unmounted is covered; the kernel wants that to be as read-only as what it covers.
        if umount2("/sys", MntFlags::MNT_DETACH).is_err()
            && statvfs("/sys").is_ok_and(|fs| fs.flags().contains(FsFlags::ST_RDONLY))
        {
            how |= MsFlags::MS_RDONLY;
        }
        mount(
            Some(self.name.as_os_str()),
            "/sys",
            Some("sysfs"),
            how,
            none,
        )
        .map_err(|errno| {
            Error::new("mount of /sys failed")
                .errno_is(errno)
                .status(255)
        })
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "mount(NULL, \"/\", NULL, MS_SLAVE|MS_REC, NULL), umount2(\"/sys\", MNT_DETACH), mount({:?}, \"/sys\", \"sysfs\")",
                self.name
            ),
            "a sysfs shows the links of the network namespace it was mounted in",
            "/sys/class/net would list the links out here",
            "sysfs(5)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Shows the files of `/etc/netns/NAME` in place of those of `/etc`: a `resolv.conf` of its own, most of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnEtc {
    /// The directory whose files are shown.
    pub directory: PathBuf,
    /// Those files, as found when the plan was made, for telling.
    pub files: Vec<OsString>,
}

impl OwnEtc {
    /// The files of a namespace called `name`; `None` where it has none.
    pub fn of(name: &OsStr) -> Option<Self> {
        let directory = Path::new("/etc/netns").join(name);
        let entries = fs::read_dir(&directory).ok()?;
        let files = entries.flatten().map(|entry| entry.file_name()).collect();
        Some(Self { directory, files })
    }
}

impl Step for OwnEtc {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        for file in &self.files {
            let (from, to) = (self.directory.join(file), Path::new("/etc").join(file));
            let none = None::<&str>;
            let bound = mount(Some(&from), &to, none, MsFlags::MS_BIND, none);
            if let Err(errno) = bound {
                let (from, to) = (printable(from.as_os_str()), printable(to.as_os_str()));
                let error = Error::new(format!("Bind {from} -> {to} failed")).errno_is(errno);
                cx.note(error.to_string());
            }
        }
        Ok(())
    }

    fn explain(&self) -> Explanation {
        let files: Vec<_> = self
            .files
            .iter()
            .map(|file| file.to_string_lossy())
            .collect();
        Explanation::new(
            format!(
                "mount(\"{0}/FILE\", \"/etc/FILE\", NULL, MS_BIND, NULL) for {1}",
                self.directory.display(),
                files.join(", ")
            ),
            "each namespace may have its own name servers and hosts",
            "names would be asked of the name servers out here, which it may not reach",
            "ip-netns(8)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}
