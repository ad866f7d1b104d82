//! An image of a registry, by way of the cache: from a name to its documents, and to a [`Source`] of its blobs.

use std::io::Read;

use super::descriptor::{Descriptor, Kind};
use super::digest::Digest;
use super::download::Download;
use super::fetch::Fetch;
use super::manifest::{Document, Index};
use super::observer::Event;
use super::platform::Platform;
use super::reference::Reference;
use super::registry::{Fetched, Registry, Shared};
use super::store::Store;
use super::verify::Verified;
use super::{CONFIG_LIMIT, Image, MANIFEST_LIMIT, Source, media};
use crate::error::{Error, Result};

/// How many blobs are fetched at once.
const WORKERS: usize = 3;
/// How deep indexes may be in each other.
const DEPTH: usize = 3;

/// A repository, at its mirrors and its registry, with a cache before them.
pub struct Remote<'a> {
    /// What all registries have in common.
    pub shared: &'a Shared<'a>,
    /// In the order in which they are asked; none to work offline.
    pub registries: Vec<Registry<'a>>,
    /// The cache, if there is one.
    pub store: Option<&'a Store>,
    /// The name.
    pub reference: Reference,
}

/// A manifest or index, read.
pub struct Top {
    /// As it came.
    pub fetched: Fetched,
    /// What it says.
    pub document: Document,
}

impl<'a> Remote<'a> {
    /// The document that the name stands for.
    ///
    /// # Errors
    /// Where no registry has it, or it is not what it should be.
    pub fn top(&self) -> Result<Top> {
        let known = match (self.reference.digest, self.registries.is_empty()) {
            (Some(digest), _) => Some(Descriptor::new("", digest, 0)),
            (None, true) => self.recall(),
            (None, false) => None,
        };
        let fetched = match known {
            Some(descriptor) => self.document(&descriptor.digest, &descriptor.media_type)?,
            None if self.registries.is_empty() => return Err(self.not_cached()),
            None => self.ask(|registry| registry.manifest(&self.reference.version(), None))?,
        };
        let document = Document::parse(&fetched.bytes, Some(&fetched.media_type))?;
        self.keep(&fetched)?;
        Ok(Top { fetched, document })
    }

    /// The digest that the name has now: as the registry says, without fetching what it names, unless that is how to know.
    ///
    /// # Errors
    /// As for [`Remote::top`].
    pub fn digest(&self) -> Result<Digest> {
        if self.reference.digest.is_some() || self.registries.is_empty() {
            return self.top().map(|top| top.fetched.digest);
        }
        self.ask(|registry| registry.digest(&self.reference.version()))
    }

    /// The manifest of the image for this platform, through indexes where there are any.
    ///
    /// # Errors
    /// Where the index has none for it: with the list of those that it has.
    pub fn manifest(&self, top: Top, platform: &Platform) -> Result<Fetched> {
        let mut top = top;
        for _ in 0..DEPTH {
            let index = match top.document {
                Document::Manifest(_) => return Ok(top.fetched),
                Document::Index(index) => index,
            };
            let chosen = platform
                .choose(&index.manifests)
                .ok_or_else(|| self.no_platform(platform, &index))?;
            let fetched = self.document(&chosen.digest, &chosen.media_type)?;
            if fetched.bytes.len() as u64 != chosen.size {
                super::verify::check(&fetched.bytes, chosen)?;
            }
            self.keep(&fetched)?;
            let document = Document::parse(&fetched.bytes, Some(&fetched.media_type))?;
            top = Top { fetched, document };
        }
        Err(Error::new(format!("cannot use {}", self.reference))
            .because(format!("its indexes are more than {DEPTH} deep")))
    }

    /// The image of a manifest: its config fetched, and everything in accord.
    ///
    /// # Errors
    /// Where the config cannot be had or does not fit.
    pub fn image(&self, manifest: Fetched) -> Result<Image> {
        let media_type = media_type_of(&manifest);
        let document = Document::parse(&manifest.bytes, Some(&media_type))?;
        let Document::Manifest(parsed) = document else {
            return Err(Error::new("an index is not the manifest of an image"));
        };
        let config = &parsed.config;
        if config.kind() != Kind::Config {
            let what = parsed
                .artifact_type
                .as_deref()
                .unwrap_or(&config.media_type);
            return Err(Error::new(format!("{} is no image", self.reference))
                .because(format!("it is of type {what}")));
        }
        let bytes = match self
            .store
            .and_then(|store| store.document(&config.digest, CONFIG_LIMIT))
        {
            Some(bytes) => bytes,
            None if self.registries.is_empty() => return Err(self.not_cached()),
            None => {
                let bytes = self.ask(|registry| registry.small_blob(config, CONFIG_LIMIT))?;
                self.keep_bytes(&config.digest, &bytes)?;
                bytes
            }
        };
        let mut image = Image::new(&media_type, manifest.bytes, bytes)?;
        image.name = self.reference.tagged();
        Ok(image)
    }

    /// Remembers what the name stands for now, for a time without network.
    ///
    /// # Errors
    /// Of the cache.
    pub fn remember(&self, top: &Top) -> Result<()> {
        let (Some(store), Some(name)) = (self.store, self.reference.tagged()) else {
            return Ok(());
        };
        if self.registries.is_empty() || self.reference.digest.is_some() {
            return Ok(());
        }
        let size = top.fetched.bytes.len() as u64;
        store.remember(
            &name,
            &Descriptor::new(&media_type_of(&top.fetched), top.fetched.digest, size),
        )
    }

    /// Does something with the image's blobs while they are fetched, several at once.
    ///
    /// # Errors
    /// Its own; of fetching, where that fails.
    pub fn with_blobs<T>(
        &self,
        image: &Image,
        with: impl FnOnce(&dyn Source) -> Result<T>,
    ) -> Result<T> {
        let Some(store) = self.store else {
            return with(&Stream {
                image,
                remote: self,
            });
        };
        let mut wanted: Vec<Descriptor> = Vec::new();
        for layer in &image.manifest.layers {
            if !wanted.iter().any(|one| one.digest == layer.digest) {
                wanted.push(layer.clone());
            }
        }
        if self.registries.is_empty()
            && let Some(missing) = wanted.iter().find(|one| store.blob(one).is_none())
        {
            return Err(self
                .not_cached()
                .hint(format!("{} is missing", missing.digest)));
        }
        let fetch = Fetch::new(self.shared, self.registries.iter().collect(), store, wanted);
        fetch.run(WORKERS, || {
            with(&Fetching {
                image,
                fetch: &fetch,
            })
        })
    }

    fn not_cached(&self) -> Error {
        Error::new(format!("{} is not in the cache", self.reference))
            .hint("without --offline (container run --pull never) it is fetched")
    }

    fn recall(&self) -> Option<Descriptor> {
        self.store?.recall(&self.reference.tagged()?)
    }

    /// A manifest or index by its digest, from the cache if it is there.
    fn document(&self, digest: &Digest, announced: &str) -> Result<Fetched> {
        if let Some(bytes) = self
            .store
            .and_then(|store| store.document(digest, MANIFEST_LIMIT))
        {
            return Ok(Fetched {
                bytes,
                media_type: announced.to_owned(),
                digest: *digest,
            });
        }
        if self.registries.is_empty() {
            return Err(self.not_cached());
        }
        let mut fetched =
            self.ask(|registry| registry.manifest(&digest.to_string(), Some(digest)))?;
        if !announced.is_empty() && Kind::of(announced) != Kind::of(&fetched.media_type) {
            // The index has the last word; that the body is of this kind is checked when it is read.
            fetched.media_type = announced.to_owned();
        }
        Ok(fetched)
    }

    /// Asks each registry in turn until one has it.
    pub fn ask<T>(
        &self,
        what: impl Fn(&Registry<'a>) -> Result<T, super::registry::Refusal>,
    ) -> Result<T> {
        let mut refused = None;
        let (last, mirrors) = self
            .registries
            .split_last()
            .ok_or_else(|| self.not_cached())?;
        for mirror in mirrors {
            match what(mirror) {
                Ok(found) => return Ok(found),
                Err(refusal) => {
                    self.shared
                        .observer
                        .note(&format!("{}; asking the next", refusal.error));
                    refused.get_or_insert(refusal);
                }
            }
        }
        what(last).map_err(Error::from)
    }

    fn keep(&self, fetched: &Fetched) -> Result<()> {
        self.keep_bytes(&fetched.digest, &fetched.bytes)
    }

    fn keep_bytes(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        match self.store {
            Some(store) if store.document(digest, MANIFEST_LIMIT).is_none() => {
                store.keep(digest, bytes)
            }
            _ => Ok(()),
        }
    }

    fn no_platform(&self, platform: &Platform, index: &Index) -> Error {
        let mut known: Vec<String> = Vec::new();
        for platform in platforms(index) {
            let name = platform.to_string();
            if !known.contains(&name) {
                known.push(name);
            }
        }
        let error = Error::new(format!("{} has no image for {platform}", self.reference));
        match known.is_empty() {
            true => error.because("its index names no platform at all"),
            false => error.hint(format!("there are {}", known.join(", "))),
        }
    }
}

/// The platforms of an index's images, in its order.
pub fn platforms(index: &Index) -> impl Iterator<Item = &Platform> {
    let images = index
        .manifests
        .iter()
        .filter(|entry| !entry.is_attestation());
    images.filter_map(|entry| entry.platform.as_ref())
}

/// What a manifest is: as announced, or else as it says itself, or else OCI's.
fn media_type_of(fetched: &Fetched) -> String {
    let announced = fetched
        .media_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    if matches!(Kind::of(announced), Kind::Manifest | Kind::Index) {
        return announced.to_owned();
    }
    let (own, default) = match Document::parse(&fetched.bytes, None) {
        Ok(Document::Index(index)) => (index.media_type, media::INDEX),
        Ok(Document::Manifest(manifest)) => (manifest.media_type, media::MANIFEST),
        Err(_) => (None, media::MANIFEST),
    };
    own.unwrap_or_else(|| default.to_owned())
}

/// Blobs by way of the cache.
struct Fetching<'f> {
    image: &'f Image,
    fetch: &'f Fetch<'f>,
}

impl Source for Fetching<'_> {
    fn image(&self) -> &Image {
        self.image
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        self.fetch.blob(descriptor)
    }
}

/// Blobs straight from the registry, which nothing is kept of.
struct Stream<'f> {
    image: &'f Image,
    remote: &'f Remote<'f>,
}

impl Source for Stream<'_> {
    fn image(&self) -> &Image {
        self.image
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        let registries: Vec<&Registry<'_>> = self.remote.registries.iter().collect();
        let download =
            Download::open(self.remote.shared, &registries, descriptor, 0).map_err(Error::from)?;
        self.remote
            .shared
            .observer
            .blob(descriptor, Event::Begun(0));
        Ok(Box::new(Told {
            inner: Verified::new(download, descriptor),
            shared: self.remote.shared,
            descriptor: descriptor.clone(),
        }))
    }
}

/// Tells the observer of what is read.
struct Told<'a> {
    inner: Verified<Download<'a>>,
    shared: &'a Shared<'a>,
    descriptor: Descriptor,
}

impl Read for Told<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let event = match count {
            0 => Event::Done,
            count => Event::Came(count as u64),
        };
        self.shared.observer.blob(&self.descriptor, event);
        Ok(count)
    }
}
