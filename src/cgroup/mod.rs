//! Control groups, whatever the machine mounts: v2, v1, or both (cgroups(7), cgroup-v2.rst).
//!
//! | file | question |
//! |---|---|
//! | [`hierarchy`] | what is mounted where, and which hierarchy holds which controller |
//! | [`group`] | one group: make, read, write, join, remove, with the reason for a refusal |
//! | [`setting`] | names and values: v2's words, translated both ways |
//! | [`io`] | which disk a limit is about |
//! | [`value`] | sizes, shares and counts as people write them |

pub mod group;
pub mod hierarchy;
pub mod io;
pub mod setting;
pub mod value;

pub use group::Group;
pub use hierarchy::{Hierarchies, Hierarchy, Layout, Version, group_path};
pub use setting::Setting;
