//! Images: what they are made of, where they come from, and that they are what they claim to be.
//!
//! An image is a manifest that names a config and layers by digest and size (image-spec v1.1; docker's manifest
//! version 2, schema 2 is the same thing under other media types). A registry, a layout directory and an archive all
//! are a [`Source`] of one image: its documents, already read and checked, and its blobs as readers that fail rather
//! than hand out a byte more, a byte less or another byte than the manifest promises.
//!
//! Nothing here knows namespaces or mounts, and nothing follows what an image says about where its parts are: no
//! `urls`, no paths, only digests.

#[cfg(feature = "pull")]
pub mod address;
pub mod archive;
#[cfg(feature = "pull")]
pub mod authenticate;
pub mod config;
#[cfg(feature = "pull")]
pub mod credentials;
pub mod descriptor;
pub mod digest;
pub mod document;
#[cfg(feature = "pull")]
pub mod download;
#[cfg(feature = "pull")]
mod fetch;
mod files;
mod frames;
pub mod layer;
pub mod manifest;
pub mod observer;
pub mod open;
pub mod platform;
pub mod reference;
#[cfg(feature = "pull")]
pub mod registries_conf;
#[cfg(feature = "pull")]
pub mod registry;
#[cfg(feature = "pull")]
pub mod remote;
pub mod save;
#[cfg(feature = "tls")]
pub mod signature;
#[cfg(feature = "pull")]
pub mod store;
mod stored;
mod stream;
#[cfg(feature = "pull")]
pub mod toml;
#[cfg(feature = "pull")]
pub mod transport;
pub mod verify;

use std::io::Read;

use crate::error::{Error, Result};

pub use config::ImageConfig;
pub use descriptor::{Descriptor, Kind, media};
pub use digest::Digest;
pub use manifest::{Document, Index, Manifest};
pub use platform::Platform;
pub use reference::Reference;
pub use verify::Verified;

/// The most bytes of a manifest or an index.
pub const MANIFEST_LIMIT: u64 = 4 << 20;
/// The most bytes of an image's config.
pub const CONFIG_LIMIT: u64 = 4 << 20;
/// The most layers of an image.
pub const LAYER_LIMIT: usize = 500;

/// One image's documents: read, verified against their digests, and in accord with each other.
#[derive(Debug, Clone)]
pub struct Image {
    /// Digest, size and media type of the manifest.
    pub descriptor: Descriptor,
    /// The manifest.
    pub manifest: Manifest,
    /// The very bytes it was read from, whose digest is in `descriptor`.
    pub manifest_bytes: Vec<u8>,
    /// The config.
    pub config: ImageConfig,
    /// The very bytes it was read from, whose digest is in `manifest.config`.
    pub config_bytes: Vec<u8>,
    /// What the image was asked for by, as `registry/repository:tag`, where it has such a name.
    pub name: Option<String>,
}

impl Image {
    /// Puts together a manifest and the config it names. `media_type` is what the manifest was announced as.
    ///
    /// # Errors
    /// Where either is no such document, the config is not the one that the manifest names, or they do not agree on
    /// the number of layers.
    pub fn new(media_type: &str, manifest_bytes: Vec<u8>, config_bytes: Vec<u8>) -> Result<Self> {
        let manifest = match Document::parse(&manifest_bytes, Some(media_type))? {
            Document::Manifest(manifest) => *manifest,
            Document::Index(_) => {
                return Err(Error::new("an index is not the manifest of an image"));
            }
        };
        verify::check(&config_bytes, &manifest.config)?;
        let config = ImageConfig::parse(&config_bytes)?;
        let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        if layers != diff_ids {
            return Err(Error::new("the image contradicts itself").because(format!(
                "its manifest has {layers} layers and its config {diff_ids}"
            )));
        }
        let digest = Digest::sha256(&manifest_bytes);
        let size = manifest_bytes.len() as u64;
        Ok(Self {
            descriptor: Descriptor::new(media_type, digest, size),
            manifest,
            manifest_bytes,
            config,
            config_bytes,
            name: None,
        })
    }

    /// Each layer, lowest first, with the digest of its uncompressed tar.
    pub fn layers(&self) -> impl Iterator<Item = (&Descriptor, &Digest)> {
        self.manifest
            .layers
            .iter()
            .zip(&self.config.rootfs.diff_ids)
    }
}

/// Where one image is: a registry or its cache, a layout directory, an archive.
pub trait Source: Sync {
    /// The image's documents.
    fn image(&self) -> &Image;

    /// Opens a blob of the image: its bytes as they are stored, compressed or not. The reader ends with an error
    /// unless exactly the bytes of the descriptor came ([`Verified`]); several may be read at once, from several
    /// threads.
    ///
    /// # Errors
    /// Where there is no such blob, or it cannot be had.
    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>>;
}
