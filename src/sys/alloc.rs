//! The heap of a short life.
//!
//! Nearly every run of isobox allocates a few kilobytes and is gone in a millisecond. musl's allocator maps pages for
//! each size class as it comes along, and each is a system call and a page fault of several microseconds. So the first
//! allocations are cut one after the other from a piece of zeroed memory that is faulted in at once; what does not
//! fit, and what comes when it is used up, is left to the C library. A program that lives longer notices nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How much is cut into pieces: what the maker of a container takes, and as much again.
const SIZE: usize = 256 * 1024;
/// How much of it is faulted in at once, when its first byte is wanted: what a plan takes.
const AT_ONCE: usize = 24 * 1024;
/// The largest piece; what is larger is for the C library to grow in place.
const LARGEST: usize = 16 * 1024;
/// What malloc(3) would align to at the least: nix builds control messages in vectors of bytes, and counts on it.
const SMALLEST_ALIGN: usize = align_of::<usize>();

/// Aligned to a page, for madvise(2).
#[repr(align(4096))]
struct Memory(UnsafeCell<[u8; SIZE]>);

/// The allocator: `#[global_allocator] static HEAP: Arena = Arena::new();`
pub struct Arena {
    memory: Memory,
    used: AtomicUsize,
    faulted: AtomicUsize,
}

// SAFETY: every byte of the memory is handed out once, by an atomic change of `used`.
unsafe impl Sync for Arena {}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

impl Arena {
    /// An arena of which nothing is used.
    pub const fn new() -> Self {
        Self {
            memory: Memory(UnsafeCell::new([0; SIZE])),
            used: AtomicUsize::new(0),
            faulted: AtomicUsize::new(0),
        }
    }

    fn start(&self) -> *mut u8 {
        self.memory.0.get().cast()
    }

    /// How far into the memory a pointer leads, if it does.
    fn offset_of(&self, pointer: *mut u8) -> Option<usize> {
        let offset = pointer.addr().checked_sub(self.start().addr())?;
        (offset < SIZE).then_some(offset)
    }

    fn cut(&self, layout: Layout) -> Option<*mut u8> {
        if layout.size() > LARGEST || layout.align() > align_of::<Memory>() {
            return None;
        }
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            let from = used.next_multiple_of(layout.align().max(SMALLEST_ALIGN));
            let to = from + layout.size();
            if to > SIZE {
                return None;
            }
            match self
                .used
                .compare_exchange_weak(used, to, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => self.fault_in(to),
                Err(now) => {
                    used = now;
                    continue;
                }
            }
            // SAFETY: from is at most SIZE, the length of the memory.
            return Some(unsafe { self.start().add(from) });
        }
    }

    /// Asks the kernel for the pages up to `end`, and some more, together (Linux 5.14; an older one gives them one by
    /// one).
    fn fault_in(&self, end: usize) {
        let from = self.faulted.load(Ordering::Relaxed);
        if end <= from {
            return;
        }
        let to = end.next_multiple_of(AT_ONCE).min(SIZE);
        // Two threads may ask for the same pages, which is no harm.
        self.faulted.store(to, Ordering::Relaxed);
        // SAFETY: from is at most SIZE, the length of the memory.
        let start = unsafe { self.start().add(from) };
        // SAFETY: the range lies in memory of ours, which this changes nothing of.
        unsafe { libc::madvise(start.cast(), to - from, libc::MADV_POPULATE_WRITE) };
    }
}

// SAFETY: pieces are cut from memory that lives as long as the program, aligned as asked, none twice while in use: the
// end moves back only over the very last piece, when that is given back.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller vouches for the layout.
        self.cut(layout)
            .unwrap_or_else(|| unsafe { System.alloc(layout) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        match self.offset_of(pointer) {
            Some(offset) => {
                let (end, relaxed) = (offset + layout.size(), Ordering::Relaxed);
                let _ = self.used.compare_exchange(end, offset, relaxed, relaxed);
            }
            // SAFETY: a pointer outside of the arena came from the C library's allocator, with this layout.
            None => unsafe { System.dealloc(pointer, layout) },
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(offset) = self.offset_of(pointer) else {
            // SAFETY: as in dealloc; the caller vouches for the size.
            return unsafe { System.realloc(pointer, layout, size) };
        };
        let (end, grown, relaxed) = (offset + layout.size(), offset + size, Ordering::Relaxed);
        let fits = size <= LARGEST && grown <= SIZE;
        let grows = || self.used.compare_exchange(end, grown, relaxed, relaxed);
        if fits && grows().is_ok() {
            self.fault_in(grown);
            return pointer;
        }
        // SAFETY: the caller vouches that the size does not overflow when rounded up to the alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: the size is not zero, says the caller.
        let new = unsafe { self.alloc(wanted) };
        if !new.is_null() {
            // SAFETY: the old piece has the size of its layout, the new one at least `size`; they are apart.
            unsafe { std::ptr::copy_nonoverlapping(pointer, new, layout.size().min(size)) };
            // SAFETY: the caller gives the old piece up.
            unsafe { self.dealloc(pointer, layout) };
        }
        new
    }
}

#[cfg(test)]
#[allow(
    clippy::multiple_unsafe_ops_per_block,
    reason = "one condition covers a whole test: every piece is given back once, as it was asked for"
)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_apart_and_come_back_last_first() {
        static ARENA: Arena = Arena::new();
        let layout = |size| Layout::from_size_align(size, 16).unwrap();
        // SAFETY: each piece is given back once, with the layout it was asked for.
        unsafe {
            let a = ARENA.alloc(layout(100));
            let b = ARENA.alloc(layout(100));
            assert!(b.addr() >= a.addr() + 100 && a.addr() % 16 == 0 && b.addr() % 16 == 0);
            a.write_bytes(1, 100);
            b.write_bytes(2, 100);
            let grown = ARENA.realloc(b, layout(100), 200);
            assert_eq!(grown, b);
            let moved = ARENA.realloc(a, layout(100), 300);
            assert!(moved != a && moved.read() == 1 && moved.add(99).read() == 1);
            ARENA.dealloc(moved, layout(300));
            assert_eq!(ARENA.alloc(layout(300)), moved);
            let large = ARENA.alloc(layout(LARGEST + 1));
            assert!(ARENA.offset_of(large).is_none());
            ARENA.dealloc(large, layout(LARGEST + 1));
        }
    }

    #[test]
    fn what_does_not_fit_comes_from_elsewhere() {
        static ARENA: Arena = Arena::new();
        let layout = Layout::from_size_align(LARGEST, 8).unwrap();
        // SAFETY: as above; what is not given back is the arena's.
        unsafe {
            let all: Vec<*mut u8> = (0..=SIZE / LARGEST).map(|_| ARENA.alloc(layout)).collect();
            let (last, inside) = all.split_last().unwrap();
            assert!(inside.iter().all(|piece| ARENA.offset_of(*piece).is_some()));
            assert!(ARENA.offset_of(*last).is_none());
            ARENA.dealloc(*last, layout);
        }
    }
}
