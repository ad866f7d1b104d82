//! Manifests and indexes (image-spec, manifest.md and image-index.md; docker's manifest v2, schema 2).
//!
//! What a document is, its own body decides, once: what it was announced as and its `mediaType` have to agree with
//! it, and a body that could be read as either is refused (CVE-2021-41190).

use super::descriptor::{Descriptor, Kind};
use super::document::parse;
use super::{LAYER_LIMIT, MANIFEST_LIMIT};
use crate::error::{Error, Result};
use crate::json::{Map, There, compact, objects};

/// The most entries of an index.
const INDEX_LIMIT: usize = 1000;

objects! {
    /// The manifest of one image.
    #[derive(Debug)]
    pub struct Manifest {
        /// Always 2.
        pub schema_version: u32 = required,
        /// What it says that it is.
        pub media_type: Option<String>,
        /// What kind of artifact it is, where it is no image to run.
        pub artifact_type: Option<String>,
        /// The config.
        pub config: Descriptor = required,
        /// The layers, lowest first.
        pub layers: Vec<Descriptor> = written,
        /// The manifest that this one is about: an image, where this is its signature.
        pub subject: Option<Descriptor>,
        /// Notes.
        pub annotations: Map<String>,
    }

    /// A list of manifests: one image for several platforms, mostly.
    #[derive(Debug)]
    pub struct Index {
        /// Always 2.
        pub schema_version: u32 = required,
        /// What it says that it is.
        pub media_type: Option<String>,
        /// Its entries.
        pub manifests: Vec<Descriptor> = written,
        /// Notes.
        pub annotations: Map<String>,
    }

    /// What tells them apart.
    struct Shape {
        schema_version: Option<u64>,
        media_type: Option<String>,
        config: There,
        layers: There,
        manifests: There,
    }
}

/// Either.
#[derive(Debug, Clone)]
pub enum Document {
    /// The manifest of one image.
    Manifest(Box<Manifest>),
    /// A list of manifests.
    Index(Index),
}

impl Document {
    /// Reads a manifest or an index. `announced` is the media type that whoever handed it out, or a descriptor, gave.
    ///
    /// # Errors
    /// Where it is neither, or could be both, or is something else than it was announced as; and for more entries or
    /// layers than an image has.
    pub fn parse(bytes: &[u8], announced: Option<&str>) -> Result<Self> {
        let shape: Shape = parse(bytes, "manifest", MANIFEST_LIMIT)?;
        let kind = shape.kind()?;
        for told in [announced, shape.media_type.as_deref()]
            .into_iter()
            .flatten()
        {
            let told_kind = Kind::of(told);
            let says = told_kind != Kind::Other || is_manifest_type(told);
            if says && told_kind != kind {
                return Err(contradiction(format!(
                    "it is announced as {told}, and is another kind of document"
                )));
            }
        }
        match kind {
            Kind::Index => Index::parse(bytes).map(Self::Index),
            _ => Ok(Self::Manifest(Box::new(Manifest::parse(bytes)?))),
        }
    }
}

/// Whether a media type claims to be a manifest or a list of them at all; registries of files say
/// `application/json` or `application/octet-stream`.
fn is_manifest_type(media_type: &str) -> bool {
    media_type.contains("manifest") || media_type.contains("index")
}

impl Shape {
    fn kind(&self) -> Result<Kind> {
        if self.schema_version == Some(1) {
            return Err(
                Error::new("docker's manifests of schema 1 are not supported")
                    .because("they cannot be verified"),
            );
        }
        if self.schema_version != Some(2) {
            return Err(contradiction("its schemaVersion is not 2".into()));
        }
        let (manifest, index) = (self.config.0 || self.layers.0, self.manifests.0);
        match (manifest, index) {
            (true, false) => Ok(Kind::Manifest),
            (false, true) => Ok(Kind::Index),
            (true, true) => Err(contradiction(
                "it has the parts of a manifest and of an index".into(),
            )),
            (false, false) => Err(contradiction(
                "it has neither the parts of a manifest nor of an index".into(),
            )),
        }
    }
}

fn contradiction(why: String) -> Error {
    Error::new("not a valid manifest").because(why)
}

impl Manifest {
    /// Writes it down.
    ///
    /// # Errors
    /// None that a text has.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        compact(self).map(String::into_bytes)
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let manifest: Self = parse(bytes, "manifest", MANIFEST_LIMIT)?;
        if manifest.layers.len() > LAYER_LIMIT {
            return Err(contradiction(format!(
                "it has more than {LAYER_LIMIT} layers"
            )));
        }
        Ok(manifest)
    }
}

impl Index {
    /// Writes it down.
    ///
    /// # Errors
    /// None that a text has.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        compact(self).map(String::into_bytes)
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let index: Self = parse(bytes, "index", MANIFEST_LIMIT)?;
        if index.manifests.len() > INDEX_LIMIT {
            return Err(contradiction(format!(
                "it has more than {INDEX_LIMIT} entries"
            )));
        }
        Ok(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::descriptor::media;
    use crate::image::digest::Digest;

    #[test]
    fn a_document_is_what_it_is() {
        let blob = format!(
            r#"{{"mediaType":"x","digest":"{}","size":1}}"#,
            Digest::sha256(b"")
        );
        let manifest = format!(r#"{{"schemaVersion":2,"config":{blob},"layers":[{blob}]}}"#);
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{blob}]}}"#);
        let typed = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{blob},"layers":null}}"#,
            media::MANIFEST
        );
        let cases = [
            (manifest.as_str(), Some(media::MANIFEST), "manifest"),
            (&manifest, Some(media::DOCKER_MANIFEST), "manifest"),
            (&manifest, Some("application/octet-stream"), "manifest"),
            (&manifest, None, "manifest"),
            (&manifest, Some(media::INDEX), "announced as"),
            (&index, Some(media::INDEX), "index"),
            (&index, Some(media::DOCKER_MANIFEST), "announced as"),
            (
                &index,
                Some("application/vnd.docker.distribution.manifest.v1+json"),
                "announced as",
            ),
            (&typed, Some(media::MANIFEST), "manifest"),
            (&typed, Some(media::INDEX), "announced as"),
            (
                &format!(r#"{{"schemaVersion":2,"config":{blob},"manifests":[]}}"#),
                None,
                "parts of a manifest and of an index",
            ),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#, None, "schema 1"),
            (r#"{"schemaVersion":2}"#, None, "neither"),
            (r#"{"manifests":[]}"#, None, "schemaVersion"),
            (r#"[]"#, None, "an object is expected, and not a list"),
            (
                r#"{"schemaVersion":2,"schemaVersion":2,"manifests":[]}"#,
                None,
                "twice",
            ),
        ];
        for (text, announced, want) in cases {
            let got = match Document::parse(text.as_bytes(), announced) {
                Ok(Document::Manifest(_)) => "manifest".into(),
                Ok(Document::Index(_)) => "index".into(),
                Err(e) => e.to_string(),
            };
            assert!(
                got == want || got.contains(want),
                "{text} as {announced:?}: {got}"
            );
        }
    }

    #[test]
    fn there_are_bounds() {
        let blob = format!(
            r#"{{"mediaType":"x","digest":"{}","size":1}}"#,
            Digest::sha256(b"")
        );
        let many = vec![blob.as_str(); 1001].join(",");
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{many}]}}"#);
        let error = Document::parse(index.as_bytes(), None)
            .unwrap_err()
            .to_string();
        assert!(error.contains("1000 entries"), "{error}");
        let layers = format!(r#"{{"schemaVersion":2,"config":{blob},"layers":[{many}]}}"#);
        let error = Document::parse(layers.as_bytes(), None)
            .unwrap_err()
            .to_string();
        assert!(error.contains("500 layers"), "{error}");
    }
}
