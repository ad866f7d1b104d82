//! Archives of images: OCI layouts and docker-archives in a tar, read as a [`super::Source`] and written.

mod write;

pub(super) use write::{IMAGE_NAME, REF_NAME, path as blob_path};
pub use write::{Writer, write};
