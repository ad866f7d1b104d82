//! Locks on whole files and directories (flock(2)). They end with whoever holds them, however that ends.

use std::fs::{File, TryLockError};
use std::io;
use std::ops::Deref;

/// A file or a directory that is locked. Given back when dropped, also for a child that has a copy of the descriptor.
#[derive(Debug)]
pub struct Locked(File);

impl Locked {
    /// Waits until nobody else has it locked.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn exclusive(file: impl Into<File>) -> io::Result<Self> {
        wait(file.into(), File::lock)
    }

    /// Waits until nobody has it locked but those who share it.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn shared(file: impl Into<File>) -> io::Result<Self> {
        wait(file.into(), File::lock_shared)
    }

    /// The same as [`Locked::exclusive`] without waiting; `None` where somebody else has it locked.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn exclusive_now(file: impl Into<File>) -> io::Result<Option<Self>> {
        let file = file.into();
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

fn wait(file: File, lock: fn(&File) -> io::Result<()>) -> io::Result<Locked> {
    loop {
        match lock(&file) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map(|()| Locked(file)),
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Where that fails it ends with the last descriptor.
        let _ = self.0.unlock();
    }
}

impl Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}
