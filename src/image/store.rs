//! The cache: blobs by digest, what is not whole yet beside them, and which digest a name had last.
//!
//! ```text
//! blobs/sha256/HEX     whole and verified when it came here; verified again by whoever reads it
//! partial/sha256-HEX   on its way; locked by whoever fetches it (flock(2))
//! names/HEX            for the SHA-256 of a name: its last digest
//! ```
//!
//! A blob is hashed, synced and then renamed into place, so what stands under `blobs` is whole even if the machine lost
//! power. Nothing here is named by a stranger: file names are digits of digests.

mod sweep;

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::descriptor::Descriptor;
use super::digest::Digest;
use super::document::parse;
use super::verify::Verified;
use crate::error::{Doing, Error, Result};
use crate::json::{compact, objects};
use crate::lock::Locked;
use crate::sys::mount::{openat2, resolve};

/// The most bytes of what is kept about a name.
const NAME_LIMIT: u64 = 64 * 1024;

/// A cache, by the descriptors of its directories.
pub struct Store {
    path: PathBuf,
    sha256: OwnedFd,
    sha512: OwnedFd,
    partial: OwnedFd,
    names: OwnedFd,
}

objects! {
    /// What is kept about a name.
    struct Named {
        name: String,
        descriptor: Descriptor = required,
    }
}

/// A blob on its way, locked.
pub struct Partial {
    /// The file; what stands in it is the beginning of the blob, as far as it goes.
    pub file: Locked,
    digest: Digest,
}

impl Store {
    /// Opens the cache at `path`, and makes it where there is none. Nobody else can read it.
    ///
    /// # Errors
    /// Where it cannot be made or opened.
    pub fn open(path: &Path) -> Result<Self> {
        let doing = "cannot open the cache";
        for below in ["blobs/sha256", "blobs/sha512", "partial", "names"] {
            let dir = path.join(below);
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&dir)
                .doing_to("cannot make the cache", path)?;
        }
        let root = openat2(
            nix::fcntl::AT_FDCWD,
            path,
            libc::O_PATH | libc::O_DIRECTORY,
            0,
            resolve::NO_MAGICLINKS,
        )
        .doing_to(doing, path)?;
        let below = |name: &str| {
            let flags = libc::O_RDONLY | libc::O_DIRECTORY;
            openat2(
                root.as_fd(),
                Path::new(name),
                flags,
                0,
                resolve::BENEATH | resolve::NO_SYMLINKS,
            )
            .doing_to(doing, path.join(name))
        };
        Ok(Self {
            path: path.to_owned(),
            sha256: below("blobs/sha256")?,
            sha512: below("blobs/sha512")?,
            partial: below("partial")?,
            names: below("names")?,
        })
    }

    fn dir(&self, digest: &Digest) -> &OwnedFd {
        match digest {
            Digest::Sha256(_) => &self.sha256,
            Digest::Sha512(_) => &self.sha512,
        }
    }

    /// Opens a blob that is there, with the size it should have. What has another is removed.
    pub(super) fn find(&self, descriptor: &Descriptor) -> Option<File> {
        let name = descriptor.digest.hex();
        let file = read_only(self.dir(&descriptor.digest), &name).ok()?;
        if file
            .metadata()
            .is_ok_and(|meta| meta.is_file() && meta.len() == descriptor.size)
        {
            return Some(file);
        }
        self.remove(&descriptor.digest);
        None
    }

    /// A reader of a blob that is there, which removes it from the cache if it turns out to be damaged.
    pub fn blob(&self, descriptor: &Descriptor) -> Option<Cached<'_>> {
        self.find(descriptor)
            .map(|file| self.verified(file, descriptor))
    }

    /// A reader of a blob that was found before, whatever has become of its name.
    pub(super) fn verified<R: Read>(&self, blob: R, descriptor: &Descriptor) -> Cached<'_, R> {
        Cached {
            inner: Verified::new(blob, descriptor),
            store: self,
            digest: descriptor.digest,
        }
    }

    /// All of a small blob, if it is there and is what it should be.
    pub fn document(&self, digest: &Digest, limit: u64) -> Option<Vec<u8>> {
        let file = read_only(self.dir(digest), &digest.hex()).ok()?;
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).ok()?;
        if bytes.len() as u64 <= limit && digest.same_kind(&bytes) == *digest {
            return Some(bytes);
        }
        self.remove(digest);
        None
    }

    /// Keeps a small blob whose digest was checked.
    ///
    /// # Errors
    /// Of the file system.
    pub fn keep(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        use std::io::Write;
        let Some(partial) = self.begin(digest)? else {
            return Ok(()); // somebody else is just keeping it
        };
        let written = partial
            .file
            .set_len(0)
            .and_then(|()| (&*partial.file).write_all(bytes));
        self.written(written)?;
        self.finish(&partial)
    }

    /// Takes what was fetched of a blob so far, or makes an empty file for it, and locks it. Nothing where another process
    /// has it.
    ///
    /// # Errors
    /// Of the file system.
    pub fn begin(&self, digest: &Digest) -> Result<Option<Partial>> {
        let name = partial_name(digest);
        loop {
            let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let opened = openat(
                &self.partial,
                name.as_str(),
                flags,
                Mode::from_bits_truncate(0o600),
            );
            let file = File::from(opened.doing_to("cannot write to the cache", &self.path)?);
            let locked = Locked::exclusive_now(file);
            let Some(locked) = locked.doing_to("cannot lock the cache", &self.path)? else {
                return Ok(None);
            };
            // Between the open and the lock somebody may have finished and renamed it.
            if self.stands_as(&name, &locked)? {
                return Ok(Some(Partial {
                    file: locked,
                    digest: *digest,
                }));
            }
        }
    }

    /// Whether the file is the one that stands under this name.
    fn stands_as(&self, name: &str, file: &File) -> Result<bool> {
        let doing = "cannot read the cache";
        let own: FileStat = fstat(file).doing_to(doing, &self.path)?;
        match fstatat(&self.partial, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(there) => Ok((there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno).doing_to(doing, &self.path),
        }
    }

    /// Puts a blob in its place that is whole and was verified: synced first, so that it is whole after a loss of power too.
    ///
    /// # Errors
    /// Of the file system.
    pub fn finish(&self, partial: &Partial) -> Result<()> {
        let dir = self.dir(&partial.digest);
        self.written(partial.file.sync_data())?;
        let (from, to) = (partial_name(&partial.digest), partial.digest.hex());
        renameat(&self.partial, from.as_str(), dir, to.as_str())
            .doing_to("cannot write to the cache", &self.path)?;
        nix::unistd::fsync(dir).doing_to("cannot write to the cache", &self.path)
    }

    /// Throws away what was fetched so far.
    pub fn discard(&self, partial: Partial) {
        let name = partial_name(&partial.digest);
        // Whatever stays is looked at again next time.
        let _ = unlinkat(&self.partial, name.as_str(), UnlinkatFlags::NoRemoveDir);
        drop(partial);
    }

    /// What writing to the cache gave, in words.
    pub(super) fn written<T>(&self, result: io::Result<T>) -> Result<T> {
        result
            .doing_to("cannot write to the cache", &self.path)
            .map_err(|e| match e.errno() {
                Some(Errno::ENOSPC | Errno::EDQUOT) => {
                    e.hint("--cache DIR keeps blobs elsewhere, --no-cache nowhere")
                }
                _ => e,
            })
    }

    fn remove(&self, digest: &Digest) {
        // What cannot be removed is refused again when it is read.
        let _ = unlinkat(
            self.dir(digest),
            digest.hex().as_str(),
            UnlinkatFlags::NoRemoveDir,
        );
    }

    /// Remembers which digest a name has now.
    ///
    /// # Errors
    /// Of the file system.
    pub fn remember(&self, name: &str, descriptor: &Descriptor) -> Result<()> {
        let named = Named {
            name: name.to_owned(),
            descriptor: descriptor.clone(),
        };
        let text = compact(&named)?;
        let temporary = format!("{}.{}", file_of(name), std::process::id());
        let write = || -> io::Result<()> {
            use std::io::Write;
            let flags = OFlag::O_WRONLY
                | OFlag::O_CREAT
                | OFlag::O_TRUNC
                | OFlag::O_NOFOLLOW
                | OFlag::O_CLOEXEC;
            let mut file = File::from(openat(
                &self.names,
                temporary.as_str(),
                flags,
                Mode::from_bits_truncate(0o600),
            )?);
            file.write_all(text.as_bytes())?;
            file.sync_data()?;
            renameat(
                &self.names,
                temporary.as_str(),
                &self.names,
                file_of(name).as_str(),
            )?;
            Ok(())
        };
        self.written(write())
    }

    /// Which digest a name had last.
    pub fn recall(&self, name: &str) -> Option<Descriptor> {
        let file = read_only(&self.names, &file_of(name)).ok()?;
        let mut bytes = Vec::new();
        file.take(NAME_LIMIT).read_to_end(&mut bytes).ok()?;
        let named: Named = parse(&bytes, "name", NAME_LIMIT).ok()?;
        (named.name == name).then_some(named.descriptor)
    }
}

fn partial_name(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm(), digest.hex())
}

fn file_of(name: &str) -> String {
    Digest::sha256(name.as_bytes()).hex()
}

fn read_only(dir: &OwnedFd, name: &str) -> Result<File, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    openat(dir, name, flags, Mode::empty()).map(File::from)
}

/// A blob of the cache, verified as it is read.
pub struct Cached<'s, R = File> {
    inner: Verified<R>,
    store: &'s Store,
    digest: Digest,
}

impl<R: Read> Read for Cached<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|e| {
            if e.kind() != io::ErrorKind::InvalidData {
                return e;
            }
            self.store.remove(&self.digest);
            let error = Error::new(format!("the cache's copy of {} was damaged", self.digest))
                .because("it has been removed: run the same again");
            io::Error::new(io::ErrorKind::InvalidData, error)
        })
    }
}
