//! Archives of images: OCI layouts and docker-archives in a tar, read as a [`super::Source`] and written.

mod write;

pub use write::{Writer, write};
