//! The images that containers are made of, on this machine:
//!
//! ```text
//! names/, blobs/       which image a name stands for, manifests and configs (image/store.rs)
//! layers/HEX           a layer with all below it by the digest of their chain (image-spec, config.md, "ChainID"),
//!                      unpacked in the form that an overlay takes (overlay.rs)
//! written/NAME         what a container that is kept has written: upper/ and work/
//! no-overlay           there, where no overlay can be made of this: no layer is unpacked, and containers have copies
//! ```
//!
//! A layer is made beside its place and renamed when it is whole. Whoever adds or removes layers holds the lock on
//! `layers`; whoever runs a container of them without keeping it holds them by a shared lock on each. What a container
//! that is kept is made of has a name too, `container/NAME`, which no image can have.

use std::fs::{self, DirBuilder, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::apply::Limits;
use super::overlay::Lower;
use super::remove;
use super::staging::Staging;
use super::unpack::{self, OnLayer};
use crate::error::{Doing, Error, Result};
use crate::image::store::Store;
use crate::image::{CONFIG_LIMIT, Descriptor, Digest, Document, Image, MANIFEST_LIMIT, Source};
use crate::lock::Locked;

/// What the names of containers start with among those of images.
const CONTAINER: &str = "container/";

/// The file that says that no overlay can be made here.
const NO_OVERLAY: &str = "no-overlay";

/// The images of one user.
pub struct Local {
    path: PathBuf,
    store: Store,
}

/// Removes a tree, which may belong to ids that not everybody has; one that is not there is no error.
pub type Remove<'a> = &'a dyn Fn(&Path) -> Result<()>;

/// Layers that nobody may remove as long as this lives.
pub struct Held(#[allow(dead_code, reason = "held")] Vec<Locked>);

/// What was removed because nothing needs it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Layers.
    pub layers: u64,
    /// What containers had written that are gone.
    pub containers: u64,
    /// Manifests, configs and what else is no layer.
    pub blobs: u64,
}

impl Local {
    /// Opens the directory, and makes it where there is none.
    ///
    /// # Errors
    /// Of the file system.
    pub fn open(path: &Path) -> Result<Self> {
        let store = Store::open(path)?;
        for below in ["layers", "written"] {
            let mut builder = DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(path.join(below));
            made.doing_to("cannot make a directory in", path)?;
        }
        Ok(Self {
            path: path.into(),
            store,
        })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether containers have copies, since no overlay can be made here.
    pub fn copies(&self) -> bool {
        self.path.join(NO_OVERLAY).exists()
    }

    /// Takes note of whether an overlay can be made here.
    ///
    /// # Errors
    /// Of the file system.
    pub fn set_copies(&self, copies: bool) -> Result<()> {
        let file = self.path.join(NO_OVERLAY);
        let set = match copies {
            true => fs::write(&file, ""),
            false if file.exists() => fs::remove_file(&file),
            false => Ok(()),
        };
        set.doing_to("cannot write", file)
    }

    /// The image of this name, if all of it is here.
    ///
    /// # Errors
    /// Where its documents contradict themselves.
    pub fn find(&self, name: &str) -> Result<Option<Image>> {
        match self.store.recall(name) {
            Some(descriptor) => Ok(self
                .image(&descriptor)?
                .filter(|image| self.is_whole(image))),
            None => Ok(None),
        }
    }

    fn image(&self, descriptor: &Descriptor) -> Result<Option<Image>> {
        let document = |digest: &Digest, limit| self.store.document(digest, limit);
        let Some(manifest) = document(&descriptor.digest, MANIFEST_LIMIT) else {
            return Ok(None);
        };
        let Document::Manifest(parsed) = Document::parse(&manifest, None)? else {
            return Ok(None);
        };
        let Some(config) = document(&parsed.config.digest, CONFIG_LIMIT) else {
            return Ok(None);
        };
        Image::new(&descriptor.media_type, manifest, config).map(Some)
    }

    /// All images with their names; what is not whole is left out.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn all(&self) -> Result<Vec<(String, Image)>> {
        let mut all = Vec::new();
        for (name, descriptor) in self.store.names()? {
            if !name.starts_with(CONTAINER)
                && let Ok(Some(image)) = self.image(&descriptor)
                && self.is_whole(&image)
            {
                all.push((name, image));
            }
        }
        Ok(all)
    }

    /// The layers of an image, the topmost first.
    pub fn layers(&self, image: &Image) -> Vec<PathBuf> {
        let mut layers: Vec<PathBuf> = chain(image).map(|id| self.layer(&id)).collect();
        layers.reverse();
        layers
    }

    fn layer(&self, id: &Digest) -> PathBuf {
        self.path.join("layers").join(id.hex())
    }

    /// Whether all layers of an image are here, where there are any.
    pub fn is_whole(&self, image: &Image) -> bool {
        self.copies() || self.layers(image).iter().all(|layer| layer.exists())
    }

    /// The layers of an image that are not here, as the image names them.
    pub fn missing(&self, image: &Image) -> Vec<Descriptor> {
        if self.copies() {
            return Vec::new();
        }
        let layers = chain(image).zip(&image.manifest.layers);
        let missing = layers.filter(|(id, _)| !self.layer(id).exists());
        missing.map(|(_, layer)| layer.clone()).collect()
    }

    /// Unpacks the layers of an image that are not here, each from `source`, and gives it this name. Gives what is to
    /// be said of the unpacking.
    ///
    /// # Errors
    /// Where a layer cannot be had or unpacked; of the file system.
    pub fn add(
        &self,
        image: &Image,
        name: &str,
        source: &dyn Source,
        on_layer: OnLayer<'_>,
    ) -> Result<Vec<String>> {
        if image.manifest.layers.is_empty() {
            return Err(Error::new(
                "the image has no layers: there is nothing to make a root of",
            ));
        }
        if self.copies() {
            self.keep(image, name)?;
            return Ok(Vec::new());
        }
        let _lock = self.lock()?;
        let mut notes = Vec::new();
        let mut lower: Vec<PathBuf> = Vec::new();
        let count = image.manifest.layers.len();
        for (at, (id, (layer, diff_id))) in chain(image).zip(image.layers()).enumerate() {
            let path = self.layer(&id);
            if !path.exists() {
                on_layer(at + 1, count, layer);
                let staging = Staging::new(&path)?;
                let below = lower.iter().rev().map(|path| crate::root::open(path));
                let below = Lower(below.collect::<Result<_>>()?);
                let report = unpack::layer(
                    source,
                    (layer, diff_id),
                    staging.root()?,
                    below,
                    Limits::default(),
                )?;
                staging.finish(&path, true)?;
                notes.extend(report.notes());
            }
            lower.push(path);
        }
        self.note(image, name)?;
        Ok(notes)
    }

    /// Gives an image whose layers are here a name.
    ///
    /// # Errors
    /// Of the file system.
    pub fn keep(&self, image: &Image, name: &str) -> Result<()> {
        let _lock = self.lock()?;
        self.note(image, name)
    }

    fn note(&self, image: &Image, name: &str) -> Result<()> {
        self.store
            .keep(&image.manifest.config.digest, &image.config_bytes)?;
        self.store
            .keep(&image.descriptor.digest, &image.manifest_bytes)?;
        self.store.remember(name, &image.descriptor)
    }

    /// Keeps others from adding and removing layers.
    fn lock(&self) -> Result<Locked> {
        let path = self.path.join("layers");
        let dir = File::open(&path).doing_to("cannot open", &path)?;
        Locked::exclusive(dir).doing_to("cannot lock", &path)
    }

    /// Keeps others from removing these layers.
    ///
    /// # Errors
    /// Where one of them is just being removed, or not there.
    pub fn hold(&self, layers: &[PathBuf]) -> Result<Held> {
        let hold = |path: &PathBuf| {
            let doing = "cannot hold the layer";
            let dir = File::open(path).doing_to(doing, path)?;
            let held = Locked::shared(dir).doing_to(doing, path)?;
            match held.metadata().doing_to(doing, path)?.nlink() {
                0 => Err(Errno::ENOENT).doing_to(doing, path),
                _ => Ok(held),
            }
        };
        layers.iter().map(hold).collect::<Result<_>>().map(Held)
    }

    /// Whether a container that is not kept is made of this image.
    pub fn is_held(&self, image: &Image) -> bool {
        let open = |path: &PathBuf| File::open(path).ok();
        let top = self.layers(image).first().and_then(open);
        top.is_some_and(is_locked)
    }

    /// Makes the place for what a container writes that is kept, and notes what image it is made of.
    ///
    /// # Errors
    /// Of the file system.
    pub fn keep_container(&self, container: &str, image: &Image) -> Result<PathBuf> {
        self.keep(image, &[CONTAINER, container].concat())?;
        let path = self.written(container);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.doing_to("cannot make", &path)?;
        Ok(path)
    }

    /// The image that a container is made of that is kept.
    ///
    /// # Errors
    /// As [`Local::find`].
    pub fn image_of(&self, container: &str) -> Result<Option<Image>> {
        self.find(&[CONTAINER, container].concat())
    }

    /// Where a container that is kept has what it has written.
    pub fn written(&self, container: &str) -> PathBuf {
        self.path.join("written").join(container)
    }

    /// The names of containers that are kept, with the digest of the image each is made of.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn containers(&self) -> Result<Vec<(String, Digest)>> {
        let names = self.store.names()?.into_iter();
        let one = |(name, descriptor): (String, Descriptor)| {
            Some((name.strip_prefix(CONTAINER)?.to_owned(), descriptor.digest))
        };
        Ok(names.filter_map(one).collect())
    }

    /// Removes what a container has written, and what is noted of it.
    ///
    /// # Errors
    /// Of `remove`.
    pub fn forget_container(&self, container: &str, remove: Remove<'_>) -> Result<()> {
        remove(&self.written(container))?;
        self.store
            .forget(&[CONTAINER, container].concat())
            .map(drop)
    }

    /// Takes a name from an image; what nobody needs then stays until [`Local::sweep`].
    ///
    /// # Errors
    /// Of the file system.
    pub fn forget(&self, name: &str) -> Result<bool> {
        self.store.forget(name)
    }

    /// Whether in the directory of this name there is nothing but what containers write.
    fn is_written(&self, name: &str) -> bool {
        let ours = |name: &[u8]| {
            matches!(
                name,
                b"upper" | b"work" | b"rootfs" | b"volumes" | b".rootfs.incomplete"
            )
        };
        File::open(self.written(name))
            .is_ok_and(|dir| remove::holds_only(dir.as_fd(), &ours) == Ok(true))
    }

    /// Removes what no image and no container needs: of containers those are left that `lives` says.
    ///
    /// # Errors
    /// Of the file system, and of `remove`.
    pub fn sweep(&self, lives: &dyn Fn(&str) -> bool, remove: Remove<'_>) -> Result<Swept> {
        let _lock = self.lock()?;
        let mut swept = Swept::default();
        let mut containers: Vec<String> = self.containers()?.into_iter().map(|one| one.0).collect();
        let written = names(&self.path.join("written"))?;
        containers.extend(written.into_iter().filter(|name| self.is_written(name)));
        crate::order::sort(&mut containers);
        containers.dedup();
        for container in containers.iter().filter(|name| !lives(name)) {
            // Whoever makes one, or runs one without keeping it, holds it.
            let dir = File::open(self.written(container)).ok();
            if dir.is_some_and(is_locked) {
                continue;
            }
            self.forget_container(container, remove)?;
            swept.containers += 1;
        }
        let mut wanted = Vec::new();
        for (_, descriptor) in self.store.names()? {
            if let Ok(Some(image)) = self.image(&descriptor) {
                wanted.extend(chain(&image).map(|id| id.hex()));
            }
        }
        let dir = self.path.join("layers");
        for name in names(&dir)? {
            if is_layer(&name) && !wanted.contains(&name) && take_away(&dir, &name, remove)? {
                swept.layers += 1;
            }
        }
        swept.blobs = self.store.sweep()?.0;
        Ok(swept)
    }
}

/// Whether somebody has it locked; or it cannot be told.
fn is_locked(dir: File) -> bool {
    !matches!(Locked::exclusive_now(dir), Ok(Some(_)))
}

/// Whether this is what layers are called, whole or not: somebody may have had a directory of this name before us.
fn is_layer(name: &str) -> bool {
    let inner = name
        .strip_prefix('.')
        .and_then(|name| name.strip_suffix(".incomplete"));
    let hex = inner.unwrap_or(name);
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Removes a layer, or what is left of one, unless somebody holds it. It is called incomplete first, so that half of it
/// is never taken for the whole.
fn take_away(dir: &Path, name: &str, remove: Remove<'_>) -> Result<bool> {
    let path = dir.join(name);
    let doing = "cannot remove the layer";
    let opened = File::open(&path).doing_to(doing, &path)?;
    let Ok(Some(_lock)) = Locked::exclusive_now(opened) else {
        return Ok(false);
    };
    let hidden = match name.starts_with('.') {
        true => name.to_owned(),
        false => format!(".{name}.incomplete"),
    };
    let hidden = dir.join(hidden);
    fs::rename(&path, &hidden).doing_to(doing, &path)?;
    remove(&hidden)?;
    Ok(true)
}

/// The names in a directory.
fn names(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).doing_to("cannot list", dir)? {
        let entry = entry.doing_to("cannot list", dir)?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}

/// The digests of an image's chain, the lowest layer first.
fn chain(image: &Image) -> impl Iterator<Item = Digest> {
    let mut last: Option<Digest> = None;
    image.config.rootfs.diff_ids.iter().map(move |diff_id| {
        let id = match last {
            None => *diff_id,
            Some(below) => Digest::sha256(format!("{below} {diff_id}").as_bytes()),
        };
        last = Some(id);
        id
    })
}
