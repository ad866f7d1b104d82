//! Fetching the blobs of an image, several at once, into the cache, while somebody already reads them.
//!
//! ```text
//!   registry ──> worker ──> hash ──> file in partial/ ──(verdict, sync, rename)──> blobs/
//!   registry ──> worker ──> ...          │
//!                                        └──> Growing: reads behind the worker, ends with its verdict
//! ```
//!
//! Workers take blobs in the order of the layers and never wait for readers; readers wait for workers. So the order in
//! which blobs are read does not matter, and no amount of them sits in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::descriptor::Descriptor;
use super::digest::{Digest, Hasher};
use super::download::Download;
use super::observer::Event;
use super::registry::{Registry, Shared};
use super::store::{Partial, Store};
use super::verify;
use crate::error::{Error, Result};

/// How much is read at once.
const PIECE: usize = 128 * 1024;
/// How often one looks whether another process has finished a blob.
const GLANCE: Duration = Duration::from_millis(100);

/// The blobs that are wanted, and how far each is.
pub(super) struct Fetch<'a> {
    shared: &'a Shared<'a>,
    registries: Vec<&'a Registry<'a>>,
    store: &'a Store,
    jobs: Mutex<Jobs>,
    changed: Condvar,
}

struct Jobs {
    /// In the order in which they are taken.
    wanted: Vec<Descriptor>,
    states: BTreeMap<Digest, State>,
    closed: bool,
}

enum State {
    /// Some worker will take it.
    Waiting,
    /// A worker has it, and so many bytes of it are in the file; `None` before there is a file.
    Running(Option<(Arc<File>, u64)>),
    /// It is there, fetched and verified.
    Done(Arc<File>),
    /// It was there, to be verified by whoever reads it. The file stays where somebody empties the cache.
    Found(Arc<File>),
    /// It cannot be had.
    Failed(Error),
}

impl<'a> Fetch<'a> {
    /// Blobs to be fetched in this order.
    pub(super) fn new(
        shared: &'a Shared<'a>,
        registries: Vec<&'a Registry<'a>>,
        store: &'a Store,
        wanted: Vec<Descriptor>,
    ) -> Self {
        let mut states = BTreeMap::new();
        for one in &wanted {
            states.insert(one.digest, State::Waiting);
        }
        Self {
            shared,
            registries,
            store,
            jobs: Mutex::new(Jobs {
                wanted,
                states,
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Runs `with` while `workers` threads fetch. They have ended when this returns; where `with` failed, at once.
    pub(super) fn run<T>(&self, workers: usize, with: impl FnOnce() -> Result<T>) -> Result<T> {
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| self.work());
            }
            let result = with();
            self.lock().closed = true;
            if result.is_err() {
                self.shared.stop();
            }
            result
        })
    }

    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, digest: &Digest, state: State) {
        self.lock().states.insert(*digest, state);
        self.changed.notify_all();
    }

    /// A worker: takes one blob after the other.
    fn work(&self) {
        while let Some(descriptor) = self.take() {
            if let Err(error) = self.fetch(&descriptor) {
                self.set(&descriptor.digest, State::Failed(error));
            }
        }
    }

    fn take(&self) -> Option<Descriptor> {
        let mut jobs = self.lock();
        if jobs.closed {
            return None;
        }
        let waiting =
            |one: &&Descriptor| matches!(jobs.states.get(&one.digest), Some(State::Waiting));
        let next = jobs.wanted.iter().find(waiting)?.clone();
        jobs.states.insert(next.digest, State::Running(None));
        Some(next)
    }

    /// Gets one blob into the cache.
    fn fetch(&self, descriptor: &Descriptor) -> Result<()> {
        let observer = self.shared.observer;
        let partial = loop {
            if let Some(file) = self.store.find(descriptor) {
                observer.blob(descriptor, Event::Cached);
                self.set(&descriptor.digest, State::Found(Arc::new(file)));
                return Ok(());
            }
            match self.store.begin(&descriptor.digest)? {
                Some(partial) => break partial,
                // Another process is at it; if that dies, the lock is free and we go on where it was.
                None if self.shared.is_stopped() => return Err(Error::new("stopped")),
                None => thread::sleep(GLANCE),
            }
        };
        let result = self.fill(descriptor, &partial);
        match result {
            Ok(file) => {
                // Whoever reads need not wait for the disk.
                self.set(&descriptor.digest, State::Done(file));
                observer.blob(descriptor, Event::Done);
                if let Err(error) = self.store.finish(&partial) {
                    observer.note(&format!("{error}; it is not kept"));
                }
                Ok(())
            }
            // What is good of it is taken up next time; what is not, or has no room, is not.
            Err((error, true)) => {
                self.store.discard(partial);
                Err(error)
            }
            Err((error, false)) => Err(error),
        }
    }

    /// Fetches what is missing of a blob. With an error comes whether what is there is of no use.
    ///
    /// What an earlier run left may be wrong, of all that could happen to it; then everything is fetched once more. Nobody
    /// reads it before that is known.
    fn fill(&self, descriptor: &Descriptor, partial: &Partial) -> Result<Arc<File>, (Error, bool)> {
        let useful = |error: Error| (error, false);
        let file = self.store.written(partial.file.try_clone());
        let file = Arc::new(file.map_err(useful)?);
        let mut hasher = descriptor.digest.hasher();
        let there = hash_file(&file, descriptor.size, &mut hasher);
        if there > 0 {
            let rest = self.rest(descriptor, &file, hasher, there);
            if !matches!(&rest, Err((_, true))) {
                return rest.map(|()| file);
            }
            self.store.written(file.set_len(0)).map_err(useful)?;
            hasher = descriptor.digest.hasher();
        }
        self.set(
            &descriptor.digest,
            State::Running(Some((Arc::clone(&file), 0))),
        );
        self.rest(descriptor, &file, hasher, 0).map(|()| file)
    }

    /// Fetches a blob behind its first `at` bytes, which the hasher has seen.
    fn rest(
        &self,
        descriptor: &Descriptor,
        file: &File,
        mut hasher: Hasher,
        mut at: u64,
    ) -> Result<(), (Error, bool)> {
        let (useless, useful) = (|error: Error| (error, true), |error: Error| (error, false));
        self.shared.observer.blob(descriptor, Event::Begun(at));
        let mut buffer = vec![0; PIECE];
        if at < descriptor.size {
            let download = Download::open(self.shared, &self.registries, descriptor, at);
            let mut download = download.map_err(|refusal| useful(refusal.error))?;
            loop {
                let doing = || Error::new(format!("cannot read {}", descriptor.digest));
                let count = download
                    .read(&mut buffer)
                    .map_err(|e| useful(verify::unwrap(e, doing)))?;
                let piece = buffer.get(..count).unwrap_or_default();
                if piece.is_empty() {
                    break;
                }
                if at + count as u64 > descriptor.size {
                    return Err(useless(verify::too_long(
                        &descriptor.digest,
                        descriptor.size,
                    )));
                }
                hasher.update(piece);
                self.store
                    .written(file.write_all_at(piece, at))
                    .map_err(useless)?;
                at += count as u64;
                self.came(descriptor, at);
                self.shared
                    .observer
                    .blob(descriptor, Event::Came(count as u64));
            }
        }
        match hasher.finish() {
            got if got == descriptor.digest => Ok(()),
            got => Err(useless(verify::other(&descriptor.digest, &got))),
        }
    }

    fn came(&self, descriptor: &Descriptor, at: u64) {
        if let Some(State::Running(Some((_, written)))) =
            self.lock().states.get_mut(&descriptor.digest)
        {
            *written = at;
        }
        self.changed.notify_all();
    }

    /// A reader of a blob, also of one that is still on its way.
    pub(super) fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        let mut jobs = self.lock();
        loop {
            match jobs.states.get(&descriptor.digest) {
                Some(State::Waiting | State::Running(None)) => {
                    jobs = self
                        .changed
                        .wait(jobs)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                Some(State::Running(Some((file, _))) | State::Done(file)) => {
                    return Ok(Box::new(self.growing(file, descriptor)));
                }
                Some(State::Found(file)) => {
                    let found = self.growing(file, descriptor);
                    return Ok(Box::new(self.store.verified(found, descriptor)));
                }
                Some(State::Failed(error)) => return Err(error.clone()),
                None => {
                    return Err(Error::new(format!("nobody fetches {}", descriptor.digest)));
                }
            }
        }
    }

    fn growing(&self, file: &Arc<File>, descriptor: &Descriptor) -> Growing<'_> {
        Growing {
            fetch: self,
            file: Arc::clone(file),
            descriptor: descriptor.clone(),
            at: 0,
        }
    }
}

/// Hashes what is in a file already, at most `size` bytes of it, and says how much that is; what is behind is cut off.
fn hash_file(file: &File, size: u64, hasher: &mut Hasher) -> u64 {
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    loop {
        let room = usize::try_from(size - at).unwrap_or(PIECE).min(PIECE);
        let count = match buffer.get_mut(..room).map(|room| file.read_at(room, at)) {
            Some(Ok(count)) => count,
            // What cannot be read is fetched again over it.
            _ => 0,
        };
        if count == 0 {
            // If this fails the digest will say so.
            let _ = file.set_len(at);
            return at;
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
        at += count as u64;
    }
}

/// Reads a blob behind the worker that fetches it.
struct Growing<'f> {
    fetch: &'f Fetch<'f>,
    file: Arc<File>,
    descriptor: Descriptor,
    at: u64,
}

impl Growing<'_> {
    /// Waits until there is something to read, and says how many bytes there are in all. All of them only once they have been
    /// verified.
    fn wait(&self) -> io::Result<u64> {
        let mut jobs = self.fetch.lock();
        loop {
            match jobs.states.get(&self.descriptor.digest) {
                Some(State::Done(_) | State::Found(_)) => return Ok(self.descriptor.size),
                Some(State::Running(Some((_, written)))) if *written > self.at => {
                    return Ok(*written);
                }
                Some(State::Failed(error)) => return Err(io::Error::other(error.clone())),
                _ => {
                    let waited = self.fetch.changed.wait(jobs);
                    jobs = waited.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl Read for Growing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.wait()? - self.at;
        let room = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = self
            .file
            .read_at(buffer.get_mut(..room).unwrap_or_default(), self.at)?;
        if count == 0 && room > 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the cache was cut short by somebody",
            ));
        }
        self.at += count as u64;
        Ok(count)
    }
}
