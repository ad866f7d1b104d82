//! Who is told how a pull goes on. The library prints nothing; a program may.

use super::descriptor::Descriptor;

/// Hears of progress, from several threads.
pub trait Observer: Sync {
    /// A remark for people: something went otherwise than asked for, and it goes on.
    fn note(&self, text: &str);

    /// Something happened to a blob.
    fn blob(&self, descriptor: &Descriptor, event: Event);
}

/// What happens to a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It is in the cache already.
    Cached,
    /// It begins to be read, behind so many bytes that are there from an earlier time.
    Begun(u64),
    /// So many more bytes came.
    Came(u64),
    /// It is there, and is what it should be.
    Done,
}
