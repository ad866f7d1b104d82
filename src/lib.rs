//! isobox: isolating processes on Linux by hand, as a library.
//!
//! The map of rooms, and who may call whom (arrows go down only):
//!
//! | room | what it is for |
//! |---|---|
#![cfg_attr(
    feature = "oci",
    doc = "| [`oci`] | an OCI runtime `Spec`, and its compiler to a plan |"
)]
//! | [`plan`] | Step, Plan, and its three readers: run, explain, script |
//! | [`namespace`], [`idmap`], [`subid`], [`credentials`], [`accounts`], [`capability`], [`securebits`], [`landlock`], [`seccomp`], [`rlimit`], [`process`], [`own_binary`] | one kernel subject each |
//! | [`proxy`], [`terminal`] | a parent that stands in for its child: signals, stops, the terminal |
//! | [`enter`], [`procfs`], [`proc_write`], [`census`], [`netnsid`] | joining what other processes are in; reading `/proc`, and writing below it; who lives in which namespace |
//! | [`mount`], [`mountinfo`], [`root`], [`pivot`], [`switch_root`] | mounts as data, what is mounted, a tree by descriptor, the change of root |
#![cfg_attr(
    feature = "cgroup",
    doc = "| [`cgroup`] | control groups, v1 and v2, in the words of v2 |"
)]
#![cfg_attr(
    feature = "image",
    doc = "| [`image`] | images: documents, digests, registries, archives; verified as they are read |"
)]
#![cfg_attr(
    feature = "image",
    doc = "| [`rootfs`] | trees: a skeleton with programs of the host, an initramfs |"
)]
#![cfg_attr(
    feature = "net",
    doc = "| [`net`] | links, addresses, routes, and network namespaces by name |"
)]
//! | [`hook`], [`sysctl`], [`device_rules`] | programs run on the way to a container; settings of a namespace's kernel; which devices a group may use |
//! | [`init`] | the first process of a PID namespace: reaps and forwards |
#![cfg_attr(
    feature = "oci",
    doc = "| [`apart`], [`doctor`], [`selftest`] | trying something in a child; what this machine can do, and that isolation works, found so |"
)]
//! | [`throw_away`] | a root that shows a tree of the host and keeps nothing |
//! | [`probe`] | why the kernel said no: looked up, not guessed |
//! | [`sys`] | the only room with `unsafe`: system calls that nix has not |
#![cfg_attr(feature = "image", doc = "| [`tar`] | tar archives as data |")]
//! | [`error`], [`json`], [`decimal`], [`order`] | the one error; JSON text; numbers in digits; sorting |
//!
//! The library has no argv, prints nothing, never exits (but in a child that it forked) and reads no
//! environment: whoever calls it hands these in.

pub mod accounts;
#[cfg(feature = "oci")]
pub mod apart;
pub mod capability;
pub mod census;
#[cfg(feature = "cgroup")]
pub mod cgroup;
pub mod credentials;
pub mod decimal;
pub mod device_rules;
#[cfg(feature = "oci")]
pub mod doctor;
pub mod enter;
pub mod error;
mod holder;
pub mod hook;
pub mod idmap;
#[cfg(feature = "image")]
pub mod image;
pub mod init;
pub mod json;
pub mod landlock;
pub mod lock;
pub mod mount;
pub mod mountinfo;
pub mod namespace;
#[cfg(feature = "net")]
pub mod net;
pub mod netnsid;
#[cfg(feature = "oci")]
pub mod oci;
pub mod order;
pub mod own_binary;
pub mod pivot;
pub mod plan;
pub mod probe;
pub mod proc_write;
pub mod process;
pub mod procfs;
pub mod proxy;
pub mod rlimit;
pub mod root;
#[cfg(feature = "image")]
pub mod rootfs;
pub mod seccomp;
pub mod securebits;
#[cfg(feature = "oci")]
pub mod selftest;
pub mod selinux;
pub mod subid;
pub mod switch_root;
pub mod sys;
pub mod sysctl;
#[cfg(feature = "oci")]
pub mod systemd;
#[cfg(feature = "image")]
pub mod tar;
pub mod terminal;
pub mod throw_away;
