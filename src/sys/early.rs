//! The first instructions of the process, before the C library's start code.
//!
//! A runtime that goes into a container executes its own binary anew, from a handle that nobody in there can write
//! through ([`crate::own_binary::run_protected`]); what it has done before is lost then. The dearest of that comes before
//! `main`: a static PIE relocates itself, and so writes to all pages that hold pointers, a page fault each. Therefore
//! what looks like such a runtime does it here. Where it is refused, and for words that only look otherwise, `main` finds
//! out and does the same, so nothing depends on this.
//!
//! Nothing is relocated yet, there is no thread-local storage, and the C library is not set up: there are only system
//! calls by hand here, constants, and loops that are nobody's function. musl-ld makes `isobox_start` the entry, and
//! start-order.ld has all of this among what every start needs. There is none for other architectures than x86-64.

#![cfg(all(target_arch = "x86_64", feature = "oci"))]

use std::arch::global_asm;
use std::ffi::CStr;

use super::mount::{attr, open_tree_flags};
use super::raw;

const OWN: &CStr = c"/proc/self/exe";

// What execve(2) leaves on the stack is handed on untouched. Register rdx must be zero: it would be a function to be called
// at the exit (System V ABI, AMD64 supplement, "Process Initialization").
global_asm!(
    ".pushsection .text.isobox_start, \"ax\", @progbits",
    ".globl isobox_start",
    ".hidden isobox_start",
    "isobox_start:",
    "mov rdi, rsp",
    "call {protect}",
    "xor edx, edx",
    "jmp _start",
    ".popsection",
    protect = sym protect,
);

/// Executes the binary anew from a protected handle, if its words are those of a runtime that goes inside.
///
/// `stack` is what execve(2) leaves: the number of words, pointers to them, a null, those to the environment, a null.
extern "C" fn protect(stack: *const usize) {
    // SAFETY: the kernel has put the number of words here.
    let count = unsafe { *stack };
    // SAFETY: as many pointers follow, and a null.
    let words = unsafe { stack.add(1) }.cast::<*const u8>();
    if !goes_inside(words, count) || !is_writable() {
        return;
    }
    let flags = u64::from(open_tree_flags::CLONE) | libc::O_CLOEXEC as u64;
    let handle = call(
        libc::SYS_open_tree,
        [AT, address(OWN.as_ptr()), flags, 0, 0],
    );
    if handle < 0 {
        return;
    }
    let handle = handle.cast_unsigned();
    // struct mount_attr: what to set, what to clear, propagation, user namespace.
    let read_only = [attr::RDONLY, 0, 0, 0];
    let (at, size) = (address(read_only.as_ptr()), size_of_val(&read_only) as u64);
    let (empty, itself) = (address(c"".as_ptr()), libc::AT_EMPTY_PATH as u64);
    if call(libc::SYS_mount_setattr, [handle, empty, itself, at, size]) == 0 {
        // SAFETY: the environment starts behind the words and their null.
        let environment = unsafe { words.add(count + 1) };
        let (words, environment) = (address(words), address(environment));
        call(
            libc::SYS_execveat,
            [handle, empty, words, environment, itself],
        );
    }
    call(libc::SYS_close, [handle, 0, 0, 0, 0]);
}

/// `AT_FDCWD` as an argument of a system call.
const AT: u64 = libc::AT_FDCWD.cast_unsigned() as u64;

fn address<T>(of: *const T) -> u64 {
    of.addr() as u64
}

/// Whether the binary lies where it could be written to: not yet executed from a protected handle.
fn is_writable() -> bool {
    // struct statfs (statfs(2)): eleven words, of which the last are the flags, and four to spare.
    let mut about = [0_u64; 15];
    let at = address(about.as_mut_ptr());
    call(libc::SYS_statfs, [address(OWN.as_ptr()), at, 0, 0, 0]) == 0
        && about[10] & libc::ST_RDONLY == 0
}

/// Whether these are words of `runc`, by that name or as the first word, of which one is a verb that goes inside. `run` is
/// none, unless it comes back while its container waits for the start: of another only the spec says.
fn goes_inside(words: *const *const u8, count: usize) -> bool {
    let (mut named, mut runs) = (false, false);
    for at in 0..count {
        // SAFETY: the caller has so many pointers.
        let word = unsafe { words.add(at) };
        // SAFETY: as above.
        let word = unsafe { *word };
        match at {
            0 => named = is(base_name(word), b"runc"),
            1 if is(word, b"runc") => named = true,
            _ if !named => {}
            _ if is(word, b"create") || is(word, b"exec") => return true,
            _ if is(word, b"run") => runs = true,
            _ if runs && (is(word, b"-d") || is(word, b"--detach")) => return true,
            _ => {}
        }
    }
    false
}

/// What follows the last slash of a path.
fn base_name(path: *const u8) -> *const u8 {
    let (mut base, mut rest) = (path, path);
    loop {
        // SAFETY: a string of the kernel's making, of which no byte so far was its end.
        let byte = unsafe { *rest };
        if byte == 0 {
            return base;
        }
        // SAFETY: as above.
        rest = unsafe { rest.add(1) };
        if byte == b'/' {
            base = rest;
        }
    }
}

/// Whether a string of the kernel's making is this one.
fn is(word: *const u8, wanted: &[u8]) -> bool {
    let mut rest = word;
    for byte in wanted {
        // SAFETY: all bytes so far were equal, so none was the string's end.
        if unsafe { *rest } != *byte {
            return false;
        }
        // SAFETY: as above.
        rest = unsafe { rest.add(1) };
    }
    // SAFETY: as above.
    unsafe { *rest == 0 }
}

/// A system call by hand.
fn call(number: libc::c_long, arguments: [u64; 5]) -> i64 {
    // SAFETY: callers hand in addresses of what lives until the kernel is back, which it only reads, but for statfs(2), whose
    // array is large enough.
    unsafe { raw::call(number, arguments) }
}
