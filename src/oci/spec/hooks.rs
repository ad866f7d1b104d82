//! `hooks`: programs that are run on the way (config.md, "POSIX-platform Hooks").

use std::ffi::OsString;
use std::path::PathBuf;

use crate::json::objects;

objects! {
    /// Programs to be run, in this order.
    #[derive(Debug)]
    pub struct Hooks {
        /// Outside, when the namespaces are there; the older name of the next.
        pub prestart: Vec<Hook>,
        /// Outside, when the namespaces are there and the root is not yet entered.
        pub create_runtime: Vec<Hook>,
        /// In the container's namespaces, at the same time, by a path outside.
        pub create_container: Vec<Hook>,
        /// In the container, right before its program.
        pub start_container: Vec<Hook>,
        /// Outside, after the program was started.
        pub poststart: Vec<Hook>,
        /// Outside, after the container is gone.
        pub poststop: Vec<Hook>,
    }

    /// One program.
    #[derive(Debug)]
    pub struct Hook {
        /// Its file, an absolute path.
        pub path: PathBuf,
        /// Its `argv`; its path alone without.
        pub args: Vec<OsString>,
        /// Its whole environment.
        pub env: Vec<OsString>,
        /// It is ended after so many seconds.
        pub timeout: Option<i32>,
    }
}
