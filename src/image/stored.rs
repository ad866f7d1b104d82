//! An image that is stored somewhere: an OCI layout (image-layout.md) or what `docker save` writes, in a directory or a
//! tar ([`super::files`]).

use std::collections::BTreeMap;
use std::io::Read;

use super::archive::{IMAGE_NAME, REF_NAME, blob_path};
use super::descriptor::{Descriptor, media};
use super::digest::{Digest, Hasher};
use super::document::parse;
use super::files::Files;
use super::manifest::{Document, Index, Manifest};
use super::platform::Platform;
use super::verify::{Verified, check};
use super::{CONFIG_LIMIT, Image, ImageConfig, LAYER_LIMIT, MANIFEST_LIMIT, Source, layer};
use crate::error::{Doing, Error, Result};
use crate::json::objects;
use crate::order;

/// How deep an index may lie in another.
const DEPTH: usize = 2;

/// Which image is wanted, where there are several.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The platform it is for.
    pub platform: Platform,
    /// What it is called in the archive.
    pub name: Option<String>,
}

/// An image's documents, and where its blobs are if not where a layout has them.
pub(super) struct Found {
    pub(super) image: Image,
    pub(super) paths: BTreeMap<Digest, String>,
}

/// A stored image.
pub(super) struct Stored<F> {
    files: F,
    found: Found,
}

impl<F: Files> Stored<F> {
    /// Looks for the image.
    ///
    /// # Errors
    /// Where there is none, or not the one that is wanted.
    pub(super) fn new(files: F, choice: &Choice) -> Result<Self> {
        let found = find(&files, choice)?.ok_or_else(|| {
            Error::new("no image in it")
                .because("it has neither index.json nor manifest.json, or lacks what they name")
        })?;
        Ok(Self { files, found })
    }
}

impl<F: Files> Source for Stored<F> {
    fn image(&self) -> &Image {
        &self.found.image
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        match blob(&self.files, &self.found, descriptor)? {
            Some(blob) => Ok(blob),
            None => Err(missing(descriptor)),
        }
    }
}

/// A blob that is not there.
pub(super) fn missing(descriptor: &Descriptor) -> Error {
    Error::new("the archive lacks blob").on(descriptor.digest.to_string())
}

/// Opens a blob, verified as it is read; `None` where there is none.
pub(super) fn blob(
    files: &dyn Files,
    found: &Found,
    descriptor: &Descriptor,
) -> Result<Option<Box<dyn Read + Send>>> {
    let path = match found.paths.get(&descriptor.digest) {
        Some(path) => path.clone(),
        None => blob_path(&descriptor.digest),
    };
    let opened = files.open(&path)?;
    Ok(opened.map(|(_, file)| {
        let verified: Box<dyn Read + Send> = Box::new(Verified::new(file, descriptor));
        verified
    }))
}

/// Looks for the image; `None` where a document of it is not there.
pub(super) fn find(files: &dyn Files, choice: &Choice) -> Result<Option<Found>> {
    if let Some(index) = files.document("index.json", MANIFEST_LIMIT)? {
        let index = match Document::parse(&index, None)? {
            Document::Index(index) => index,
            Document::Manifest(_) => return Err(Error::new("index.json is no index")),
        };
        let image = in_index(files, &index, choice)?;
        return Ok(image.map(|image| Found {
            image,
            paths: BTreeMap::new(),
        }));
    }
    match files.document("manifest.json", MANIFEST_LIMIT)? {
        Some(list) => in_docker_list(files, &list, choice),
        None => Ok(None),
    }
}

fn in_index(files: &dyn Files, index: &Index, choice: &Choice) -> Result<Option<Image>> {
    let mut descriptor = named(index, choice)?.clone();
    let name = name_of(&descriptor).map(str::to_owned);
    for _ in 0..=DEPTH {
        let path = blob_path(&descriptor.digest);
        let Some(bytes) = files.document(&path, MANIFEST_LIMIT)? else {
            return Ok(None);
        };
        check(&bytes, &descriptor)?;
        let announced = Some(descriptor.media_type.as_str()).filter(|kind| !kind.is_empty());
        match Document::parse(&bytes, announced)? {
            Document::Index(index) => {
                descriptor = choice
                    .platform
                    .choose(&index.manifests)
                    .ok_or_else(|| no_platform(&index, choice))?
                    .clone();
            }
            Document::Manifest(manifest) => {
                let path = blob_path(&manifest.config.digest);
                let Some(config) = files.document(&path, CONFIG_LIMIT)? else {
                    return Ok(None);
                };
                let media_type = announced.unwrap_or(media::MANIFEST);
                let mut image = Image::new(media_type, bytes, config)?;
                image.name = name;
                return Ok(Some(image));
            }
        }
    }
    Err(Error::new("indexes lie too deep in each other"))
}

/// What a layout calls an image.
fn name_of(descriptor: &Descriptor) -> Option<&str> {
    let name = |key| descriptor.annotations.value(key);
    name(IMAGE_NAME)
        .or_else(|| name(REF_NAME))
        .map(String::as_str)
}

/// The entry of a layout's index that is wanted: by its name, or for the platform; the only one where there is but one.
fn named<'i>(index: &'i Index, choice: &Choice) -> Result<&'i Descriptor> {
    let images = || {
        index
            .manifests
            .iter()
            .filter(|entry| !entry.is_attestation())
    };
    if let Some(wanted) = &choice.name {
        let is_wanted = |entry: &&Descriptor| {
            [IMAGE_NAME, REF_NAME]
                .iter()
                .any(|key| entry.annotations.value(key) == Some(wanted))
        };
        return images()
            .find(is_wanted)
            .ok_or_else(|| no_such_name(wanted, images().filter_map(name_of)));
    }
    let mut all = images();
    let first = all
        .next()
        .ok_or_else(|| Error::new("no image in it").because("its index.json is empty"))?;
    if all.next().is_none() {
        return Ok(first);
    }
    let fitting: Vec<_> = images()
        .filter(|entry| {
            let platform = entry.platform.as_ref();
            platform.is_none_or(|platform| choice.platform.distance(platform).is_some())
        })
        .cloned()
        .collect();
    let mut names: Vec<&str> = fitting.iter().filter_map(name_of).collect();
    order::sort(&mut names);
    names.dedup();
    if names.len() > 1 {
        return Err(several(&names));
    }
    let chosen = choice.platform.choose(&index.manifests);
    chosen.ok_or_else(|| no_platform(index, choice))
}

fn no_platform(index: &Index, choice: &Choice) -> Error {
    let there: Vec<String> = index
        .manifests
        .iter()
        .filter(|entry| !entry.is_attestation())
        .filter_map(|entry| entry.platform.as_ref().map(Platform::to_string))
        .collect();
    Error::new(format!("no image for {}", choice.platform))
        .because(format!("there is: {}", there.join(", ")))
        .hint("--platform chooses another one")
}

fn no_such_name<'n>(wanted: &str, there: impl Iterator<Item = &'n str>) -> Error {
    let there: Vec<&str> = there.collect();
    Error::new(format!("no image is called '{wanted}'"))
        .because(format!("there is: {}", there.join(", ")))
}

fn several(names: &[&str]) -> Error {
    Error::new("several images in it")
        .because(names.join(", "))
        .hint("--image NAME chooses one")
}

objects! {
    /// An entry of docker's manifest.json.
    struct Saved in Pascal {
        config: String = required,
        repo_tags: Vec<String>,
        layers: Vec<String>,
    }
}

/// What `docker save` wrote before it wrote layouts: layers are bare tars whose digests only the config knows, under
/// whatever names. A manifest is made of that.
fn in_docker_list(files: &dyn Files, list: &[u8], choice: &Choice) -> Result<Option<Found>> {
    let list: Vec<Saved> = parse(list, "manifest.json", MANIFEST_LIMIT)?;
    let saved = chosen(&list, choice)?;
    let Some(config_bytes) = files.document(&saved.config, CONFIG_LIMIT)? else {
        return Ok(None);
    };
    let config = ImageConfig::parse(&config_bytes)?;
    if saved.layers.len() != config.rootfs.diff_ids.len() || saved.layers.len() > LAYER_LIMIT {
        return Err(Error::new("the image contradicts itself").because(format!(
            "its manifest has {} layers and its config {}",
            saved.layers.len(),
            config.rootfs.diff_ids.len()
        )));
    }
    let digest = Digest::sha256(&config_bytes);
    let mut manifest = Manifest {
        schema_version: 2,
        media_type: Some(media::MANIFEST.into()),
        config: Descriptor::new(media::CONFIG, digest, config_bytes.len() as u64),
        ..Manifest::default()
    };
    let mut paths = BTreeMap::from([(digest, saved.config.clone())]);
    for (path, diff_id) in saved.layers.iter().zip(&config.rootfs.diff_ids) {
        let Some(layer) = describe(files, path, diff_id)? else {
            return Ok(None);
        };
        paths.insert(layer.digest, path.clone());
        manifest.layers.push(layer);
    }
    let mut image = Image::new(media::MANIFEST, manifest.to_json()?, config_bytes)?;
    image.name = saved.repo_tags.first().cloned();
    Ok(Some(Found { image, paths }))
}

fn chosen<'l>(list: &'l [Saved], choice: &Choice) -> Result<&'l Saved> {
    let tags = || list.iter().flat_map(|saved| &saved.repo_tags);
    match (&choice.name, list) {
        (Some(name), _) => list
            .iter()
            .find(|saved| saved.repo_tags.contains(name))
            .ok_or_else(|| no_such_name(name, tags().map(String::as_str))),
        (None, [only]) => Ok(only),
        (None, []) => Err(Error::new("no image in it").because("its manifest.json is empty")),
        (None, _) => Err(several(&tags().map(String::as_str).collect::<Vec<_>>())),
    }
}

/// A layer by its path: a bare tar has its diff id as digest, of a packed one it is computed.
fn describe(files: &dyn Files, path: &str, diff_id: &Digest) -> Result<Option<Descriptor>> {
    let Some((size, mut file)) = files.open(path)? else {
        return Ok(None);
    };
    let mut buffer = vec![0; 65536];
    let mut count = file.read(&mut buffer).doing_to("cannot read", path)?;
    let start = buffer.get(..count).unwrap_or_default();
    if !layer::is_packed(start) {
        return Ok(Some(Descriptor::new(media::LAYER, *diff_id, size)));
    }
    let media_type = format!("{}+{}", media::LAYER, layer::suffix(start));
    let mut hasher = Hasher::sha256();
    while count > 0 {
        hasher.update(buffer.get(..count).unwrap_or_default());
        count = file.read(&mut buffer).doing_to("cannot read", path)?;
    }
    Ok(Some(Descriptor::new(&media_type, hasher.finish(), size)))
}
