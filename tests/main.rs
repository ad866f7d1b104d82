//! The integration suite: one binary, one module per applet, all on the real kernel.
//!
//! `kit` is what every test stands on (a [`kit::Sandbox`], commands with a time limit, whole-output
//! assertions, the leak oracle); `parity` runs the same lines with the host's tools and with ours.
//!
//! | variable        | meaning                                                                    |
//! |-----------------|----------------------------------------------------------------------------|
//! | `ISOBOX_BIN`    | test this binary (a static musl build, say) instead of cargo's own         |
//! | `ISOBOX_SKIPS`  | append `test-name: reason` to this file for every test that was skipped    |
//! | `NEEDS_ALL=1`   | a skip is a failure: what the machine lacks should have been installed     |
//! | `PARITY_ORACLE` | run only the host's half of the parity cases, twice, and compare the two   |
//!
//! A new `tests/NAME.rs` needs one line here; `every_file_is_in_the_suite` holds that.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "their reasons are the binary's")]
#![allow(
    missing_docs,
    unreachable_pub,
    reason = "nothing outside this binary sees it"
)]

#[macro_use]
mod kit;

mod attack_root;
#[cfg(feature = "image")]
mod attack_tar;
#[cfg(feature = "cgroup")]
mod cg;
#[cfg(feature = "cgroup")]
mod cgexec;
mod chroot;
#[cfg(feature = "oci")]
mod clients_containerd;
#[cfg(feature = "oci")]
mod clients_docker;
#[cfg(feature = "oci")]
mod clients_podman;
mod complete;
#[cfg(feature = "oci")]
mod container;
#[cfg(feature = "oci")]
mod container_faults;
#[cfg(feature = "oci")]
mod container_image;
#[cfg(feature = "oci")]
mod container_life;
#[cfg(feature = "oci")]
mod container_net;
#[cfg(feature = "oci")]
mod container_options;
#[cfg(feature = "pull")]
mod container_userns;
#[cfg(feature = "oci")]
mod doctor;
mod frame;
#[cfg(feature = "image")]
mod fuzz;
#[cfg(feature = "net")]
mod ip;
mod lab;
#[cfg(feature = "cgroup")]
mod libcgroup;
mod lsns;
#[cfg(feature = "image")]
mod mkrootfs_image;
#[cfg(feature = "image")]
mod mkrootfs_rm;
#[cfg(feature = "image")]
mod mkrootfs_tree;
#[cfg(feature = "image")]
mod mkrootfs_verify;
#[cfg(feature = "net")]
mod nat;
mod nsenter;
#[cfg(feature = "oci")]
mod oci;
mod parity;
mod pid1;
mod pivot;
mod pivot_refused;
#[cfg(feature = "pull")]
mod pull;
mod readme;
#[cfg(feature = "oci")]
mod runc;
#[cfg(feature = "oci")]
mod runc_faults;
#[cfg(feature = "oci")]
mod runc_many;
#[cfg(feature = "oci")]
mod selftest;
mod setpriv;
mod switch_root;
mod unshare;
mod unshare_hints;
#[cfg(feature = "oci")]
mod verbs;
#[cfg(feature = "net")]
mod veth;
#[cfg(feature = "net")]
mod why;

#[test]
fn every_file_is_in_the_suite() {
    let suite = include_str!("main.rs");
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        if let Some(module) = name.strip_suffix(".rs").filter(|module| *module != "main") {
            assert!(
                suite.contains(&format!("\nmod {module};")),
                "tests/{name} is not in main.rs"
            );
        }
    }
}
