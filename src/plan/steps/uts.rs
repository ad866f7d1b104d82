//! The names of the machine (uts_namespaces(7)).

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::unistd::sethostname;

use crate::error::{Error, Result};
use crate::plan::{Context, Explanation, Shell, Step};
use crate::sys::task;

/// Sets the host name of this UTS namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetHostname {
    /// The name: at most 64 bytes.
    pub name: OsString,
}

impl Step for SetHostname {
    fn perform(&self, _: &mut Context) -> Result<()> {
        sethostname(&self.name).map_err(|errno| {
            let error = Error::new("cannot set the host name to")
                .on(&self.name)
                .errno_is(errno);
            match errno {
                Errno::EINVAL => error.hint("a host name has at most 64 bytes"),
                _ => error,
            }
        })
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("sethostname({:?}, {})", self.name, self.name.len()),
            "a new UTS namespace starts with a copy of the old name",
            "the program would see the name of the host",
            "sethostname(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::valued("unshare", "--hostname=", &self.name)
    }
}

/// Sets the NIS domain name of this UTS namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetDomainname {
    /// The name: at most 64 bytes.
    pub name: OsString,
}

impl Step for SetDomainname {
    fn perform(&self, _: &mut Context) -> Result<()> {
        task::set_domain_name(self.name.as_bytes()).map_err(|errno| {
            Error::new("cannot set the domain name to")
                .on(&self.name)
                .errno_is(errno)
        })
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("setdomainname({:?}, {})", self.name, self.name.len()),
            "a new UTS namespace starts with a copy of the old name",
            "the program would see the NIS domain of the host",
            "setdomainname(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Unsaid("the domain name")
    }
}
