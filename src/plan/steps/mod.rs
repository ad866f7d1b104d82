//! The kinds of step, one kernel subject a file. To add a kind: a struct in the file of its subject, with its
//! three faces side by side.

pub mod attributes;
pub mod capabilities;
pub mod cgroup;
pub mod credentials;
pub mod devices;
pub mod landlock;
pub mod masks;
pub mod mounts;
pub mod namespaces;
pub mod own_binary;
pub mod root;
pub mod seccomp;
pub mod terminal;
