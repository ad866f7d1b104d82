//! Loading a filter over system calls.

use std::path::PathBuf;

use crate::error::Result;
use crate::plan::{Context, Explanation, Shell, Step};
use crate::seccomp::Filter;

/// Loads a seccomp filter. The last step before the exec: a filter may forbid what any other step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadFilter {
    /// The filter.
    pub filter: Filter,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a filter came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file of raw instructions.
    File(PathBuf),
    /// The default profile.
    Default,
    /// A profile in JSON.
    Profile(PathBuf),
    /// Rules of a config.json.
    Rules,
}

impl Step for LoadFilter {
    fn perform(&self, _: &mut Context) -> Result<()> {
        self.filter.load()
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "seccomp(SECCOMP_SET_MODE_FILTER, {:#x}, [{} instructions])",
                self.filter.flags,
                self.filter.program.len()
            ),
            "every system call from here on is judged by this program",
            "the whole kernel interface is open to the program",
            "seccomp(2)",
        )
    }

    fn shell(&self) -> Shell {
        let (option, value) = match &self.origin {
            Origin::File(path) => ("--seccomp-filter=", path.as_os_str()),
            Origin::Default => ("--seccomp-profile=", "default".as_ref()),
            Origin::Profile(path) => ("--seccomp-profile=", path.as_os_str()),
            Origin::Rules => return Shell::Implied,
        };
        let mut word = std::ffi::OsString::from(option);
        word.push(value);
        Shell::option("setpriv", word)
    }
}
