//! A small image made in memory, and how a well-behaved registry would hand it out: the ground from which a test of a
//! hostile one departs.

use super::server::{Answer, Asked};
use isobox::image::Digest;

/// An image: one layer, its config, its manifest.
#[derive(Clone)]
pub struct Lab {
    pub layer: Vec<u8>,
    pub config: Vec<u8>,
    pub manifest: Vec<u8>,
}

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// `"mediaType":...,"digest":...,"size":...` of some bytes.
pub fn descriptor(media_type: &str, bytes: &[u8]) -> String {
    format!(
        r#""mediaType":"{media_type}","digest":"{}","size":{}"#,
        Digest::sha256(bytes),
        bytes.len()
    )
}

impl Lab {
    /// An image with a layer of so many bytes, which are no tar: nobody unpacks it.
    pub fn new(size: usize) -> Self {
        let layer: Vec<u8> = (0..size)
            .map(|at| u8::try_from(at * 7 % 251).unwrap())
            .collect();
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
            Digest::sha256(&layer)
        )
        .into_bytes();
        let manifest = Self::manifest_of(&config, &layer, "");
        Self {
            layer,
            config,
            manifest,
        }
    }

    /// A manifest, with more fields in the layer's descriptor.
    pub fn manifest_of(config: &[u8], layer: &[u8], more: &str) -> Vec<u8> {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{{}}},"layers":[{{{}{more}}}]}}"#,
            descriptor("application/vnd.oci.image.config.v1+json", config),
            descriptor("application/vnd.oci.image.layer.v1.tar", layer)
        )
        .into_bytes()
    }

    /// The path of the layer.
    pub fn layer_path(&self) -> String {
        format!("/v2/lab/x/blobs/{}", Digest::sha256(&self.layer))
    }

    /// Whether this is a question for the layer.
    pub fn is_layer(&self, asked: &Asked) -> bool {
        asked.path == self.layer_path()
    }

    /// A manifest or an index by its right name.
    pub fn document(media_type: &str, bytes: &[u8]) -> Answer {
        let digest = Digest::sha256(bytes);
        Answer::new(
            200,
            &format!("Content-Type: {media_type}\r\nDocker-Content-Digest: {digest}\r\n"),
            bytes,
        )
    }

    /// What a well-behaved registry answers for `lab/x:1`. Parts of blobs as they are asked for.
    pub fn answer(&self, asked: &Asked) -> Answer {
        let manifest = Digest::sha256(&self.manifest);
        if asked.path == "/v2/lab/x/manifests/1"
            || asked.path == format!("/v2/lab/x/manifests/{manifest}")
        {
            return Self::document(MANIFEST, &self.manifest);
        }
        for blob in [&self.layer, &self.config] {
            if asked.path != format!("/v2/lab/x/blobs/{}", Digest::sha256(blob)) {
                continue;
            }
            let from = asked.header("range").and_then(|range| {
                range
                    .strip_prefix("bytes=")?
                    .strip_suffix('-')?
                    .parse()
                    .ok()
            });
            return match from {
                Some(from) => Answer::new(
                    206,
                    &format!(
                        "ETag: \"lab\"\r\nContent-Range: bytes {from}-{}/{}\r\n",
                        blob.len() - 1,
                        blob.len()
                    ),
                    &blob[from..],
                ),
                None => Answer::new(200, "ETag: \"lab\"\r\n", blob.clone()),
            };
        }
        Answer::nothing()
    }
}
