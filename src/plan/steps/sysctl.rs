//! Settings of a namespace's kernel (sysctl(8)).

use nix::errno::Errno;

use crate::error::{Doing, Error, Result};
use crate::plan::script::SHELL;
use crate::plan::{Context, Explanation, Shell, Step};
use crate::proc_write;

/// Writes a setting below `/proc/sys`, which shows those of the namespaces that this process is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetSysctl {
    /// The file, below `/proc/sys`.
    pub file: String,
    /// What to write.
    pub value: String,
}

impl Step for SetSysctl {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let file = format!("sys/{}", self.file);
        proc_write::write(&file, self.value.as_bytes()).map_err(|errno| {
            let error = Error::new("cannot set the sysctl")
                .on(&self.file)
                .errno_is(errno);
            match errno {
                Errno::ENOENT => {
                    error.hint("this kernel has no such setting, or not in this namespace")
                }
                _ => error,
            }
        })
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("write(\"/proc/sys/{}\", {:?})", self.file, self.value),
            "a setting of the kernel that each namespace has for itself",
            "the kernel's default for new namespaces would hold",
            "proc_sys(5)",
        )
    }

    /// A shell of its own writes it and becomes what follows: the row puts `--` between the two.
    fn shell(&self) -> Shell {
        let write = r#"printf %s "$1" >"/proc/sys/$0" && shift 2 && exec "$@""#;
        Shell::Option {
            applet: SHELL,
            words: ["-c", write, &self.file, &self.value]
                .map(Into::into)
                .into(),
        }
    }
}

/// Has no user namespace be made below the one this process is in. A second lock behind the filter over system calls:
/// where `/proc/sys` is not there or read-only, as in some containers, it stays open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForbidUserNamespaces;

impl Step for ForbidUserNamespaces {
    fn perform(&self, _: &mut Context) -> Result<()> {
        const FILE: &str = "sys/user/max_user_namespaces";
        match proc_write::write(FILE, b"0") {
            // Read-only is a mount of its own there.
            Err(Errno::ENOENT | Errno::EROFS | Errno::EACCES | Errno::EXDEV) => Ok(()),
            other => other.doing_to("cannot write", format!("/proc/{FILE}")),
        }
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "write(\"/proc/sys/user/max_user_namespaces\", \"0\")",
            "in a user namespace of its own a program has every capability, and with them more of the kernel to attack",
            "only the filter over system calls would stand before that",
            "namespaces(7), user_namespaces(7)",
        )
    }

    fn shell(&self) -> Shell {
        let write = r#"f=/proc/sys/user/max_user_namespaces; [ ! -w $f ] || echo 0 >$f || exit; shift && exec "$@""#;
        Shell::Option {
            applet: SHELL,
            words: ["-c", write, SHELL].map(Into::into).into(),
        }
    }
}
