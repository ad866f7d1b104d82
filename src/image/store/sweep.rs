//! What a store holds besides what was asked for: all names, and what no name leads to any more.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::{NAME_LIMIT, Named, Store, file_of, read_only};
use crate::error::{Doing, Result};
use crate::image::document::parse;
use crate::image::manifest::Document;
use crate::image::{Descriptor, Digest, MANIFEST_LIMIT};
use crate::sys::directory;

/// How deep indexes may be in each other.
const DEPTH: usize = 3;

impl Store {
    /// All names that are remembered, with what they stand for, in the order of the names.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn names(&self) -> Result<Vec<(String, Descriptor)>> {
        let mut names = Vec::new();
        for file in self.list(&self.names)? {
            let read = |file: File| {
                let mut bytes = Vec::new();
                file.take(NAME_LIMIT).read_to_end(&mut bytes).ok()?;
                parse::<Named>(&bytes, "name", NAME_LIMIT).ok()
            };
            let named = read_only(&self.names, &file).ok().and_then(read);
            names.extend(
                named
                    .filter(|named| file_of(&named.name) == file)
                    .map(|named| (named.name, named.descriptor)),
            );
        }
        crate::order::sort_by(&mut names, |one, other| one.0.cmp(&other.0));
        Ok(names)
    }

    /// Forgets a name; whether it was there.
    ///
    /// # Errors
    /// Of the file system.
    pub fn forget(&self, name: &str) -> Result<bool> {
        match unlinkat(
            &self.names,
            file_of(name).as_str(),
            UnlinkatFlags::NoRemoveDir,
        ) {
            Err(Errno::ENOENT) => Ok(false),
            other => other.doing_to("cannot write to", &self.path).map(|()| true),
        }
    }

    /// Removes blobs that no name leads to, and what nobody is fetching any more. Gives their number and their bytes.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn sweep(&self) -> Result<(u64, u64)> {
        let mut wanted = HashSet::new();
        for (_, descriptor) in self.names()? {
            self.reach(&descriptor.digest, DEPTH, &mut wanted);
        }
        let mut gone = (0, 0);
        for dir in [&self.sha256, &self.sha512] {
            for file in self.list(dir)? {
                if !wanted.contains(&file) {
                    remove(dir, &file, &mut gone);
                }
            }
        }
        for file in self.list(&self.partial)? {
            let digest = file.replacen('-', ":", 1).parse::<Digest>();
            if let Ok(digest) = digest
                && let Some(partial) = self.begin(&digest)?
            {
                remove(&self.partial, &file, &mut gone);
                drop(partial);
            }
        }
        for file in self.list(&self.names)? {
            // A name on its way into the store (`HASH.PID`), of somebody who was killed on that way long ago.
            if file.contains('.') && is_old(&self.names, &file) {
                remove(&self.names, &file, &mut gone);
            }
        }
        Ok(gone)
    }

    /// Notes the blob and all that it names.
    fn reach(&self, digest: &Digest, depth: usize, wanted: &mut HashSet<String>) {
        if !wanted.insert(digest.hex()) || depth == 0 {
            return;
        }
        let Some(bytes) = self.document(digest, MANIFEST_LIMIT) else {
            return;
        };
        match Document::parse(&bytes, None) {
            Ok(Document::Index(index)) => {
                for entry in &index.manifests {
                    self.reach(&entry.digest, depth - 1, wanted);
                }
            }
            Ok(Document::Manifest(manifest)) => {
                let parts = std::iter::once(&manifest.config).chain(&manifest.layers);
                wanted.extend(parts.map(|part| part.digest.hex()));
            }
            Err(_) => {}
        }
    }

    fn list(&self, dir: &OwnedFd) -> Result<Vec<String>> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let opened = openat(dir, ".", flags, Mode::empty());
        let names = opened.and_then(|dir| directory::list(dir.as_fd()));
        let names = names.doing_to("cannot list", &self.path)?;
        let names = names.into_iter().filter_map(|name| name.into_string().ok());
        Ok(names.filter(|name| !name.starts_with('.')).collect())
    }
}

/// Whether a file was written an hour ago or earlier.
fn is_old(dir: &OwnedFd, file: &str) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_secs().cast_signed());
    fstatat(dir, file, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok_and(|stat| stat.st_mtime < now - 3600)
}

/// Removes a file, and counts it.
fn remove(dir: &OwnedFd, file: &str, gone: &mut (u64, u64)) {
    let size = fstatat(dir, file, AtFlags::AT_SYMLINK_NOFOLLOW).map_or(0, |stat| stat.st_size);
    if unlinkat(dir, file, UnlinkatFlags::NoRemoveDir).is_ok() {
        gone.0 += 1;
        gone.1 += u64::try_from(size).unwrap_or(0);
    }
}
