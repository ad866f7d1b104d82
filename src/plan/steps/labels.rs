//! What the kernel's security modules confine the program by from its exec on (apparmor(7), selinux(8)).
//!
//! Both are written to files of the process below `/proc`, of which what is mounted in the root may hide some: a label
//! that went to another file would leave the program unconfined (CVE-2019-16884, CVE-2019-19921, CVE-2025-52881).
//! [`proc_write`] makes sure of the file, and a write that fails is an error.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;

use crate::error::{Doing, Error, Result};
use crate::plan::{Context, Explanation, Shell, Slot, Step};
use crate::proc_write;
use crate::root::Root;
use crate::sys::xattr;

/// Asks AppArmor to confine the program by this profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppArmorProfile {
    /// The profile's name.
    pub profile: OsString,
}

impl Step for AppArmorProfile {
    fn perform(&self, _: &mut Context) -> Result<()> {
        // Kernels since 5.8 have a directory of AppArmor's own; the other file may be another module's.
        let word = [b"exec ", self.profile.as_bytes()].concat();
        let mut done = proc_write::write("self/attr/apparmor/exec", &word);
        if done == Err(Errno::ENOENT) {
            done = proc_write::write("self/attr/exec", &word);
        }
        // In a container its directory of /sys is empty, whatever runs.
        if done == Err(Errno::EINVAL) && !Path::new("/sys/kernel/security/apparmor").exists() {
            return Err(Error::new("AppArmor is not running"));
        }
        done.doing_to("cannot set the AppArmor profile", &self.profile)
    }

    fn explain(&self) -> Explanation {
        confined("apparmor/exec", "exec ", &self.profile)
    }

    fn shell(&self) -> Shell {
        Shell::valued("setpriv", "--apparmor-profile=", &self.profile)
    }
}

/// Has SELinux give the program this label. Whether SELinux runs is the caller's to ask
/// ([`crate::selinux::is_enabled`]): in a root without `/sys` it cannot be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelinuxLabel(pub OsString);

impl Step for SelinuxLabel {
    fn perform(&self, _: &mut Context) -> Result<()> {
        proc_write::write("self/attr/exec", self.0.as_bytes())
            .doing_to("can't set process label", &self.0)
    }

    fn explain(&self) -> Explanation {
        confined("exec", "", &self.0)
    }

    fn shell(&self) -> Shell {
        Shell::valued("setpriv", "--selinux-label=", &self.0)
    }
}

fn confined(file: &str, verb: &str, by: &OsStr) -> Explanation {
    Explanation::new(
        format!(
            "write(\"/proc/self/attr/{file}\", \"{verb}{}\")",
            by.display()
        ),
        "the program is confined by this",
        "the program would keep the caller's confinement, which is mostly none",
        "proc_pid_attr(5)",
    )
}

/// Has SELinux give this label to the keys that are made until the exec: to the session keyring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelinuxKeyLabel(pub OsString);

impl Step for SelinuxKeyLabel {
    fn perform(&self, _: &mut Context) -> Result<()> {
        proc_write::write("self/attr/keycreate", self.0.as_bytes())
            .doing_to("can't set the label of keys", &self.0)
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("write(\"/proc/self/attr/keycreate\", {:?})", self.0),
            "the keyring that is made next has the program's label",
            "it would have its maker's, and the program might not use its own keys",
            "proc_pid_attr(5)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Gives the root of a mount an SELinux label, where the file system takes none when it is mounted: the kernel has
/// mounted it before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMount {
    /// The tree it is in.
    pub root: Slot,
    /// Where in that tree.
    pub target: PathBuf,
    /// The label.
    pub label: OsString,
}

impl Step for LabelMount {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        let found = Root::new(cx.get(self.root)?).look_up(&self.target, flags);
        let set =
            found.and_then(|fd| xattr::set(fd.as_fd(), c"security.selinux", self.label.as_bytes()));
        // Made by somebody outside of our user namespace, it is not ours to label. The policy's label allows no more.
        set.or_else(|errno| {
            if errno == Errno::EPERM {
                Ok(())
            } else {
                Err(errno)
            }
        })
        .doing_to("cannot set the SELinux label of", &self.target)
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "fsetxattr({:?}, \"security.selinux\", {:?})",
                self.target, self.label
            ),
            "SELinux judges by it who may use the mount",
            "the program might not be allowed to",
            "xattr(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Unsaid("the SELinux label of a mount")
    }
}
