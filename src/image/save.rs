//! Keeping an image: as a layout directory (image-layout.md), or as one file.
//!
//! Both appear whole or not at all: a blob of a layout is there before the index that names it, a file gets its name
//! when everything is in it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::descriptor::{Descriptor, media};
use super::document::parse;
use super::manifest::Index;
use super::{MANIFEST_LIMIT, Source, verify};
use crate::error::{Doing, Error, Result};

/// What makes a directory a layout.
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Writes a file by way of `write`: under another name first, and under its own when it is whole. What is no regular
/// file, a pipe or a device, is written to directly.
///
/// # Errors
/// Of `write`, and of the file system; then there is nothing new, and what was there before still is.
pub fn file(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let special = |meta: fs::Metadata| {
        let kind = meta.file_type();
        kind.is_fifo() || kind.is_char_device() || kind.is_block_device() || kind.is_socket()
    };
    let doing = "cannot write";
    if fs::metadata(path).is_ok_and(special) {
        let mut out = fs::OpenOptions::new()
            .write(true)
            .open(path)
            .doing_to(doing, path)?;
        return write(&mut out);
    }
    let Some(name) = path.file_name() else {
        return Err(Error::new("not the name of a file:").on(path));
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(hidden);
    let made = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o666)
        .open(&temporary);
    let mut out = made.doing_to(doing, path)?;
    let result = write(&mut out)
        .and_then(|()| out.sync_data().doing_to(doing, path))
        .and_then(|()| fs::rename(&temporary, path).doing_to(doing, path));
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// Adds the image to the layout at `dir`, which is made where there is nothing or an empty directory. An image of the same
/// name gives it up.
///
/// # Errors
/// Where something else is there; where a blob cannot be had; of the file system.
pub fn layout(source: &dyn Source, dir: &Path) -> Result<()> {
    let image = source.image();
    let mut index = prepare(dir)?;
    for layer in &image.manifest.layers {
        let path = place(dir, layer)?;
        if !is_whole(&path, layer) {
            copy(&path, layer, &mut *source.blob(layer)?)?;
        }
    }
    copy(
        &place(dir, &image.manifest.config)?,
        &image.manifest.config,
        &mut &image.config_bytes[..],
    )?;
    copy(
        &place(dir, &image.descriptor)?,
        &image.descriptor,
        &mut &image.manifest_bytes[..],
    )?;
    let mut entry = image.descriptor.clone();
    entry.platform = Some(image.config.platform());
    if let Some(name) = &image.name {
        let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        entry.annotations.put(REF_NAME, tag.to_owned());
        entry
            .annotations
            .put("io.containerd.image.name", name.clone());
        index
            .manifests
            .retain(|old| old.annotations.value(REF_NAME).map(String::as_str) != Some(tag));
    }
    index
        .manifests
        .retain(|old| old.digest != entry.digest || !old.annotations.is_empty());
    index.manifests.push(entry);
    let text = index.to_json()?;
    // The index makes it a layout, so it comes last.
    put(&dir.join("oci-layout"), LAYOUT)?;
    put(&dir.join("index.json"), &text)
}

/// How a layout calls an image (image-spec, annotations.md); umoci and skopeo want the tag alone.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Makes the directory, or reads the index of the layout that it is.
fn prepare(dir: &Path) -> Result<Index> {
    fs::create_dir_all(dir).doing_to("cannot make the layout", dir)?;
    let index = dir.join("index.json");
    if dir.join("oci-layout").exists() && index.exists() {
        let file = File::open(index).doing_to("cannot read the layout", dir)?;
        let mut bytes = Vec::new();
        file.take(MANIFEST_LIMIT + 1)
            .read_to_end(&mut bytes)
            .doing_to("cannot read the layout", dir)?;
        return parse(&bytes, "index.json", MANIFEST_LIMIT);
    }
    let mut entries = fs::read_dir(dir).doing_to("cannot read", dir)?;
    if entries.any(|entry| entry.is_ok_and(|entry| !is_left_over(&entry.file_name()))) {
        return Err(Error::new("the directory is neither empty nor an OCI layout:").on(dir));
    }
    Ok(Index {
        schema_version: 2,
        media_type: Some(media::INDEX.into()),
        ..Index::default()
    })
}

/// Whether an interrupted run leaves this in a layout that it makes. It is taken up: the blobs are whole.
fn is_left_over(name: &OsStr) -> bool {
    let name = name.as_bytes();
    matches!(name, b"blobs" | b"oci-layout")
        || name.starts_with(b".oci-layout.")
        || name.starts_with(b".index.json.")
}

/// Where a layout has a blob; its directory is made.
fn place(dir: &Path, descriptor: &Descriptor) -> Result<PathBuf> {
    let below = dir.join("blobs").join(descriptor.digest.algorithm());
    fs::create_dir_all(&below).doing_to("cannot make the layout", dir)?;
    Ok(below.join(descriptor.digest.hex()))
}

/// Whether the blob is there and is itself.
fn is_whole(path: &Path, descriptor: &Descriptor) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    io::copy(
        &mut verify::Verified::new(file, descriptor),
        &mut io::sink(),
    )
    .is_ok()
}

fn copy(path: &Path, descriptor: &Descriptor, bytes: &mut dyn Read) -> Result<()> {
    file(path, |out| {
        let doing = || Error::new("cannot write").on(path);
        let count = io::copy(bytes, out).map_err(|e| verify::unwrap(e, doing))?;
        if count == descriptor.size {
            return Ok(());
        }
        Err(doing().because(format!("{count} of {} bytes came", descriptor.size)))
    })
}

fn put(path: &Path, text: &[u8]) -> Result<()> {
    file(path, |out| {
        out.write_all(text).doing_to("cannot write", path)
    })
}
