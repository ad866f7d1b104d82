//! `root` and `mounts`: what the program sees of files (config.md, "Root", "Mounts").

use std::ffi::OsString;
use std::path::PathBuf;

use super::linux::IdMapping;
use crate::json::objects;

objects! {
    /// The container's root directory.
    #[derive(Debug)]
    pub struct Root {
        /// The directory; in config.json relative to the bundle.
        pub path: PathBuf,
        /// Whether the program may not change it.
        pub readonly: bool,
        /// Whether what is written to it goes to memory instead, and is gone with the container: the machine's own
        /// root is offered only so. Not of the specification.
        pub throw_away as "": bool,
        /// The layers of an image, the topmost first, of which the root is an overlay; `path` is the topmost. Not of the
        /// specification.
        pub layers as "": Vec<PathBuf>,
        /// Where what is written to the overlay is kept; nowhere without. Not of the specification.
        pub written as "": Option<PathBuf>,
        /// Whether its files belong to ids of the container's user namespace, in place of those of the host that have
        /// the same numbers (an id-mapped mount). Not of the specification.
        pub mapped as "": bool,
    }

    /// `mounts[]`
    #[derive(Debug)]
    pub struct Mount {
        /// Where, in the container's root.
        pub destination: PathBuf,
        /// `proc`, `tmpfs` ...; `bind` or `none` for a part of the host.
        pub kind as "type": OsString,
        /// What; for a bind a path of the host, in config.json relative to the bundle.
        pub source: OsString,
        /// How.
        pub options: Vec<OsString>,
        /// The user ids of an id-mapped mount.
        pub uid_mappings: Vec<IdMapping>,
        /// The group ids of an id-mapped mount.
        pub gid_mappings: Vec<IdMapping>,
    }
}
