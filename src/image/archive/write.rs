//! Writing an image as one tar that is an OCI layout (image-layout.md) and a docker-archive at once: both sorts of
//! reader ignore files they do not know, and both find the blobs below `blobs/`.
//!
//! What describes the image comes first, then its config, then its layers from the lowest on, so that whoever reads it
//! from a pipe can put the layers onto each other as they come.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use super::super::descriptor::Descriptor;
use super::super::digest::Digest;
use super::super::manifest::Index;
use super::super::{Image, Source, media};
use crate::error::{Doing, Error, Result};
use crate::json::quote;
use crate::order;
use crate::tar;

/// How much is copied at once.
const PIECE: usize = 256 * 1024;
/// By which name a layout calls an image (image-spec, annotations.md).
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The same for containerd.
pub(crate) const IMAGE_NAME: &str = "io.containerd.image.name";

/// Writes the whole image: its documents, and each blob as the source gives it.
///
/// # Errors
/// Where a blob cannot be had or is not what it should be, or the output cannot be written. What was written by then
/// is no whole archive, which its readers can tell.
pub fn write(source: &dyn Source, out: &mut dyn Write) -> Result<()> {
    let image = source.image();
    let mut writer = Writer::start(image, out)?;
    for layer in &image.manifest.layers {
        if !writer.has(layer) {
            writer.blob(layer, &mut *source.blob(layer)?)?;
        }
    }
    writer.finish()
}

/// Writes an archive blob by blob.
pub struct Writer<'o> {
    tar: tar::Writer<&'o mut dyn Write>,
    written: BTreeSet<Digest>,
    buffer: Vec<u8>,
}

impl<'o> Writer<'o> {
    /// Writes everything but the layers: both indexes, the manifest and the config.
    ///
    /// # Errors
    /// Where the output cannot be written.
    pub fn start(image: &Image, out: &'o mut dyn Write) -> Result<Self> {
        let mut writer = Self {
            tar: tar::Writer::new(out),
            written: BTreeSet::new(),
            buffer: Vec::new(),
        };
        let index = layout_index(image)?;
        writer.document(b"oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        writer.document(b"index.json", &index)?;
        writer.document(b"manifest.json", docker_manifest(image).as_bytes())?;
        let config = &image.manifest.config;
        for algorithm in algorithms(image) {
            let directory = format!("blobs/{algorithm}/");
            writer.tar.directory(directory.as_bytes()).doing(WRITING)?;
        }
        writer.blob(&image.descriptor, &mut &image.manifest_bytes[..])?;
        if !writer.has(config) {
            writer.blob(config, &mut &image.config_bytes[..])?;
        }
        Ok(writer)
    }

    /// Whether the blob is in the archive already: an image may name a layer several times.
    pub fn has(&self, descriptor: &Descriptor) -> bool {
        self.written.contains(&descriptor.digest)
    }

    /// Writes a blob.
    ///
    /// # Errors
    /// Where it cannot be read, has another size than the descriptor says, or the output cannot be written.
    pub fn blob(&mut self, descriptor: &Descriptor, bytes: &mut dyn Read) -> Result<()> {
        let path = path(&descriptor.digest);
        self.tar
            .start(&tar::Member {
                path: path.into_bytes(),
                mode: 0o644,
                size: descriptor.size,
                ..tar::Member::default()
            })
            .doing(WRITING)?;
        self.buffer.resize(PIECE, 0);
        let mut left = descriptor.size;
        loop {
            let count = read(bytes, &mut self.buffer, &descriptor.digest)?;
            let piece = self.buffer.get(..count).unwrap_or_default();
            if piece.is_empty() {
                break;
            }
            left = left.checked_sub(count as u64).ok_or_else(|| {
                Error::new("a blob is longer than its descriptor says:")
                    .on(descriptor.digest.to_string())
            })?;
            self.tar.write_all(piece).doing(WRITING)?;
        }
        if left > 0 {
            return Err(Error::new("a blob is shorter than its descriptor says:")
                .on(descriptor.digest.to_string()));
        }
        self.written.insert(descriptor.digest);
        Ok(())
    }

    /// Writes the end of the archive.
    ///
    /// # Errors
    /// Where the output cannot be written.
    pub fn finish(self) -> Result<()> {
        self.tar.finish().map(drop).doing(WRITING)
    }

    fn document(&mut self, path: &[u8], text: &[u8]) -> Result<()> {
        self.tar.file(path, text).doing(WRITING)
    }
}

const WRITING: &str = "cannot write the archive";

fn read(from: &mut dyn Read, buffer: &mut [u8], digest: &Digest) -> Result<usize> {
    loop {
        match from.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other.doing_to("cannot read blob", digest.to_string()),
        }
    }
}

/// Where a layout has a blob.
pub(crate) fn path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

/// The algorithms of the image's digests, each of which has a directory of its own.
fn algorithms(image: &Image) -> Vec<&'static str> {
    let layers = image.manifest.layers.iter();
    let mut all: Vec<_> = layers
        .chain([&image.descriptor, &image.manifest.config])
        .map(|descriptor| descriptor.digest.algorithm())
        .collect();
    order::sort(&mut all);
    all.dedup();
    all
}

/// `index.json`: the one image, and what it is called.
fn layout_index(image: &Image) -> Result<Vec<u8>> {
    let mut descriptor = image.descriptor.clone();
    descriptor.platform = Some(image.config.platform());
    if let Some(name) = &image.name {
        for key in [REF_NAME, IMAGE_NAME] {
            descriptor.annotations.put(key, name.clone());
        }
    }
    let index = Index {
        schema_version: 2,
        media_type: Some(media::INDEX.into()),
        manifests: vec![descriptor],
        ..Index::default()
    };
    index.to_json()
}

/// `manifest.json`, docker's own: paths of config and layers, and the names that the image gets.
fn docker_manifest(image: &Image) -> String {
    let layers: Vec<String> = image
        .manifest
        .layers
        .iter()
        .map(|layer| quote(&path(&layer.digest)))
        .collect();
    let tag = image.name.as_deref().and_then(repository_and_tag);
    let tags = tag.map_or_else(|| "null".into(), |tag| format!("[{}]", quote(tag)));
    let config = quote(&path(&image.manifest.config.digest));
    let layers = layers.join(",");
    format!(r#"[{{"Config":{config},"RepoTags":{tags},"Layers":[{layers}]}}]"#)
}

/// The part of a name that docker takes for a tag; none where it names a digest alone.
fn repository_and_tag(name: &str) -> Option<&str> {
    let name = name.split('@').next()?;
    let last = name.rsplit('/').next()?;
    last.contains(':').then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tag_is_a_name_for_docker() {
        let cases = [
            (
                "docker.io/library/alpine:3",
                Some("docker.io/library/alpine:3"),
            ),
            ("localhost:5000/x", None),
            ("localhost:5000/x:1@sha256:00", Some("localhost:5000/x:1")),
            ("x@sha256:00", None),
        ];
        for (name, want) in cases {
            assert_eq!(repository_and_tag(name), want, "{name}");
        }
    }
}
