//! Descriptors (image-spec, descriptor.md): a piece of content by its media type, digest and size.

use super::digest::Digest;
use super::platform::Platform;
use crate::json::{Map, objects};

/// Media types of image-spec and of docker's manifest version 2.
pub mod media {
    /// An image's manifest.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// A list of manifests.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An image's config.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// A layer, a tar.
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// The same as docker names them.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// A list of manifests.
    pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// An image's config.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// A layer, a gzipped tar.
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
}

/// What a media type stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A manifest of one image.
    Manifest,
    /// A list of manifests.
    Index,
    /// An image's config.
    Config,
    /// A layer, packed so.
    Layer(Packing),
    /// Docker's first manifests, which nobody can verify.
    Schema1,
    /// Anything else.
    Other,
}

/// How a layer is packed, as its media type tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// A bare tar.
    Plain,
    /// gzip, one member or several.
    Gzip,
    /// zstd, also with skippable frames (zstd:chunked).
    Zstd,
    /// A packing that is not known here, encryption among them.
    Unknown,
}

impl Kind {
    /// What this media type stands for. Parameters (`; charset=utf-8`) are not part of it.
    pub fn of(media_type: &str) -> Self {
        let bare = media_type.split(';').next().unwrap_or_default().trim();
        match bare {
            media::MANIFEST | media::DOCKER_MANIFEST => Self::Manifest,
            media::INDEX | media::DOCKER_INDEX => Self::Index,
            media::CONFIG | media::DOCKER_CONFIG => Self::Config,
            "application/vnd.docker.distribution.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v1+prettyjws" => Self::Schema1,
            _ => Self::layer(bare),
        }
    }

    fn layer(media_type: &str) -> Self {
        let oci = [
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
        ];
        let docker = [
            "application/vnd.docker.image.rootfs.diff.tar",
            "application/vnd.docker.image.rootfs.foreign.diff.tar",
        ];
        let suffix = oci
            .iter()
            .chain(&docker)
            .find_map(|prefix| media_type.strip_prefix(prefix));
        match suffix {
            Some("") => Self::Layer(Packing::Plain),
            Some("+gzip" | ".gzip") => Self::Layer(Packing::Gzip),
            Some("+zstd" | ".zstd") => Self::Layer(Packing::Zstd),
            Some(_) => Self::Layer(Packing::Unknown),
            None => Self::Other,
        }
    }
}

objects! {
    /// A piece of content. `urls` are not read: an image does not say where we look.
    #[derive(Debug)]
    pub struct Descriptor {
        /// What it is.
        pub media_type: String,
        /// Its digest.
        pub digest: Digest = required,
        /// Its size in bytes.
        pub size: u64 = required,
        /// The platform, for a manifest in an index.
        pub platform: Option<Platform>,
        /// What kind of artifact a manifest in an index is.
        pub artifact_type: Option<String>,
        /// Notes.
        pub annotations: Map<String>,
    }
}

impl Descriptor {
    /// A descriptor of these three and nothing else.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            ..Self::default()
        }
    }

    /// What its media type stands for.
    pub fn kind(&self) -> Kind {
        Kind::of(&self.media_type)
    }

    /// Whether it says of itself that it is no image: an attestation or a signature beside the images of an index.
    pub fn is_attestation(&self) -> bool {
        let unknown =
            |platform: &Platform| platform.os == "unknown" || platform.architecture == "unknown";
        self.annotations
            .value("vnd.docker.reference.type")
            .is_some()
            || self.platform.as_ref().is_some_and(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::read;

    #[test]
    fn media_types_are_told_apart() {
        let cases = [
            (media::MANIFEST, Kind::Manifest),
            (media::DOCKER_INDEX, Kind::Index),
            (
                "application/vnd.oci.image.index.v1+json; charset=utf-8",
                Kind::Index,
            ),
            (media::DOCKER_CONFIG, Kind::Config),
            (media::LAYER, Kind::Layer(Packing::Plain)),
            (
                "application/vnd.oci.image.layer.v1.tar+gzip",
                Kind::Layer(Packing::Gzip),
            ),
            (
                "application/vnd.oci.image.layer.v1.tar+zstd",
                Kind::Layer(Packing::Zstd),
            ),
            (
                "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
                Kind::Layer(Packing::Unknown),
            ),
            (
                "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
                Kind::Layer(Packing::Gzip),
            ),
            (media::DOCKER_LAYER, Kind::Layer(Packing::Gzip)),
            (
                "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                Kind::Layer(Packing::Gzip),
            ),
            (
                "application/vnd.docker.distribution.manifest.v1+prettyjws",
                Kind::Schema1,
            ),
            ("application/vnd.in-toto+json", Kind::Other),
            ("", Kind::Other),
        ];
        for (media_type, want) in cases {
            assert_eq!(Kind::of(media_type), want, "{media_type}");
        }
    }

    #[test]
    fn sizes_and_digests_of_strangers_are_held_to_their_form() {
        let digest = Digest::sha256(b"");
        for (size, good) in [
            ("0", true),
            ("9223372036854775807", true),
            ("-1", false),
            ("1.5", false),
            ("\"1\"", false),
            ("1e3", false),
            ("99999999999999999999", false),
        ] {
            let text = format!(
                r#"{{"mediaType":"a","digest":"{digest}","size":{size},"urls":["http://x/"]}}"#
            );
            let read = read::<Descriptor>(text.as_bytes(), "descriptor");
            assert_eq!(read.is_ok(), good, "{text}");
        }
        for bad in [
            r#"{"digest":"sha256:00","size":1}"#.to_owned(),
            r#"{"size":1}"#.to_owned(),
            r#"{"digest":null,"size":1}"#.to_owned(),
            format!(r#"{{"digest":"{digest}"}}"#),
            format!(r#"{{"digest":"{digest}","size":null}}"#),
            "null".to_owned(),
        ] {
            assert!(read::<Descriptor>(bad.as_bytes(), "x").is_err(), "{bad}");
        }
        assert!(read::<Vec<Descriptor>>(b"[null]", "x").is_err());
        assert!(read::<Vec<Digest>>(b"[null]", "x").is_err());
    }
}
