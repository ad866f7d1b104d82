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
    /// The file it came from.
    pub file: PathBuf,
}

impl Step for LoadFilter {
    fn perform(&self, _: &mut Context) -> Result<()> {
        self.filter.load()
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, [{} instructions])",
                self.filter.program.len()
            ),
            "every system call from here on is judged by this program",
            "the whole kernel interface is open to the program",
            "seccomp(2)",
        )
    }

    fn shell(&self) -> Shell {
        let mut word = std::ffi::OsString::from("--seccomp-filter=");
        word.push(&self.file);
        Shell::option("setpriv", word)
    }
}
