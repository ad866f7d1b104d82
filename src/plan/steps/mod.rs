//! The kinds of step, one kernel subject a file. To add a kind: a struct in the file of its subject, with its
//! three faces side by side.

pub mod attributes;
pub mod binfmt;
pub mod capabilities;
#[cfg(feature = "cgroup")]
pub mod cgroup;
pub mod chroot;
pub mod credentials;
pub mod devices;
pub mod directories;
pub mod enter;
pub mod idmap;
pub mod join_ids;
pub mod landlock;
pub mod machine;
pub mod masks;
pub mod mounts;
pub mod namespaces;
#[cfg(feature = "net")]
pub mod nat;
pub mod net;
pub mod own_binary;
pub mod proc;
pub mod process;
pub mod root;
pub mod seccomp;
pub mod start;
pub mod switch_root;
pub mod terminal;
pub mod time;
pub mod tree;
pub mod uts;
pub mod worded;
