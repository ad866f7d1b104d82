//! Manifests and indexes (image-spec, manifest.md and image-index.md; docker's manifest v2, schema 2).
//!
//! What a document is, its own body decides, once: what it was announced as and its `mediaType` have to agree with
//! it, and a body that could be read as either is refused (CVE-2021-41190).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::descriptor::{Descriptor, Kind};
use super::document::{null_is_empty, parse};
use super::{LAYER_LIMIT, MANIFEST_LIMIT};
use crate::error::{Error, Result};

/// The most entries of an index.
const INDEX_LIMIT: usize = 1000;

/// The manifest of one image.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// What it says that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What kind of artifact it is, where it is no image to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The config.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one is about: an image, where this is its signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Notes.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// A list of manifests: one image for several platforms, mostly.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// What it says that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Its entries.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub manifests: Vec<Descriptor>,
    /// Notes.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// Either.
#[derive(Debug, Clone)]
pub enum Document {
    /// The manifest of one image.
    Manifest(Box<Manifest>),
    /// A list of manifests.
    Index(Index),
}

/// What tells them apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape<'a> {
    schema_version: Option<u64>,
    #[serde(default, borrow)]
    media_type: Option<std::borrow::Cow<'a, str>>,
    #[serde(default)]
    config: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    layers: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// Reads a manifest or an index. `announced` is the media type that whoever handed it out, or a descriptor, gave.
    ///
    /// # Errors
    /// Where it is neither, or could be both, or is something else than it was announced as; and for more entries or
    /// layers than an image has.
    pub fn parse(bytes: &[u8], announced: Option<&str>) -> Result<Self> {
        let shape: Shape<'_> = parse(bytes, "manifest", MANIFEST_LIMIT)?;
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

impl Shape<'_> {
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
        let (manifest, index) = (
            self.config.is_some() || self.layers.is_some(),
            self.manifests.is_some(),
        );
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
            (r#"[]"#, None, "invalid"),
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
