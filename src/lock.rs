//! Locks on whole files and directories (flock(2)). They end with whoever holds them, however that ends.

use std::fs::{File, TryLockError};
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;

/// A file or a directory that is locked. Given back when dropped, also for a child that has a copy of the descriptor.
#[derive(Debug)]
pub struct Locked(File);

impl Locked {
    /// Waits until nobody else has it locked.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn exclusive(file: impl Into<File>) -> Result<Self, Errno> {
        wait(file.into(), File::lock)
    }

    /// Waits until nobody has it locked but those who share it.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn shared(file: impl Into<File>) -> Result<Self, Errno> {
        wait(file.into(), File::lock_shared)
    }

    /// The same as [`Locked::exclusive`] without waiting; `None` where somebody else has it locked.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn exclusive_now(file: impl Into<File>) -> Result<Option<Self>, Errno> {
        let file = file.into();
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(errno_of(&error)),
        }
    }
}

fn wait(file: File, lock: fn(&File) -> io::Result<()>) -> Result<Locked, Errno> {
    loop {
        match lock(&file).map_err(|error| errno_of(&error)) {
            Err(Errno::EINTR) => {}
            other => return other.map(|()| Locked(file)),
        }
    }
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
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

impl AsFd for Locked {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
