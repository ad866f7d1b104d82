//! A container as data, in the words of the OCI runtime specification, and its compiler to a plan.
//!
//! ```text
//! config.json            ──┐
//! flags of `container run` ┴> Spec (spec.rs) ─> Plan (compile.rs) ─> run, explain, script
//! ```
//!
//! There is one engine: whoever wants a container makes a [`Spec`].

mod additions;
pub mod attach;
mod compile;
pub mod events;
pub mod home;
pub mod lifecycle;
pub mod log;
pub mod making;
pub mod monitor;
pub mod notify;
#[cfg(feature = "image")]
pub mod of_image;
mod profile;
pub mod ranges;
mod resources;
mod scope;
pub mod spec;
mod starter;

pub use additions::Additions;
pub use compile::{Setting, compile, memory_policy_words, run_hooks, seccomp_policy};
pub use profile::{default_capabilities, environment, limits, random_name};
pub use spec::{Capabilities, Linux, Mount, Process, Resources, Root, Spec, User};

pub mod state;
pub mod status;
pub mod time;
