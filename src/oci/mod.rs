//! A container as data, in the words of the OCI runtime specification, and its compiler to a plan.
//!
//! ```text
//! flags of `container run` -> Spec (spec.rs) -> Plan (compile.rs) -> run, explain, script
//! ```
//!
//! There is one engine: whoever wants a container makes a [`Spec`].

mod compile;
mod profile;
mod spec;

pub use compile::{Setting, compile};
pub use profile::{environment, limits, random_name};
pub use spec::{Capabilities, Linux, Mount, Process, Root, Spec, Tree, User, default_capabilities};
