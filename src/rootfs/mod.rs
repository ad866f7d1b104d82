//! Root file systems: a tree put together from what the host has ([`skeleton`]), made in a directory ([`plant`]) or
//! written as an initramfs ([`initramfs`], [`cpio`]).

pub mod cpio;
pub mod elf;
pub mod host;
pub mod init_file;
pub mod initramfs;
mod libraries;
pub mod plant;
pub mod programs;
pub mod skeleton;
pub mod tree;
pub mod walk;
