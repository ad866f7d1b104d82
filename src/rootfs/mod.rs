//! Root file systems: a tree put together from what the host has ([`skeleton`]), made in a directory ([`plant`]), or of
//! an image's layers ([`unpack`]), written as an initramfs ([`initramfs`], [`cpio`]), compared with another
//! ([`compare`]), and taken away again
//! ([`remove`]), unless it must not be ([`guard`]).

pub mod apply;
pub mod compare;
pub mod cpio;
mod deletion;
mod directories;
pub mod elf;
pub mod guard;
pub mod host;
pub mod init_file;
pub mod initramfs;
mod libraries;
#[cfg(feature = "pull")]
pub mod local;
mod names;
pub mod overlay;
mod owner;
pub mod pack;
pub mod pipeline;
pub mod plant;
pub mod programs;
pub mod remove;
pub mod report;
pub mod skeleton;
pub mod staging;
pub mod tree;
pub mod unpack;
pub mod walk;
