//! Control groups, whatever the machine mounts: v2, v1, or both (cgroups(7), cgroup-v2.rst).
//!
//! | file | question |
//! |---|---|
//! | [`hierarchy`] | what is mounted where, and which hierarchy holds which controller |
//! | [`events`] | what a group tells of |
//! | [`fresh`] | the names of groups that go with one program |
//! | [`group`] | one group: make, read, write, join, remove, with the reason for a refusal |
//! | [`limits`] | what a caller asks for, as settings |
//! | `refusal` | why the kernel refused something |
//! | [`setting`] | names and values: v2's words, translated both ways |
//! | [`io`] | which disk a limit is about |
//! | [`tree`] | what is done to a group with all below it: freeze, kill, remove |
//! | `usual` | where every distribution mounts them |
//! | [`usage`] | what a group uses, and which limits count |
//! | [`pressure`] | how long its processes waited for what they lack |
//! | [`v1`] | those words in a v1 hierarchy |
//! | [`value`] | sizes, shares and counts as people write them |

pub mod events;
pub mod fresh;
pub mod group;
pub mod hierarchy;
pub mod io;
pub mod limits;
pub mod pressure;
mod refusal;
pub mod setting;
pub mod tree;
pub mod usage;
mod usual;
pub mod v1;
pub mod value;

pub use group::Group;
pub use hierarchy::{Hierarchies, Hierarchy, Layout, Version, group_path};
pub use setting::Setting;
