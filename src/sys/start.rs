//! The start of a process, without Rust's own.
//!
//! Rust's start-up ignores `SIGPIPE` (which a program would inherit over exec, and which hides what the caller
//! had set), installs a stack overflow handler and maps a stack for it: a dozen system calls and two page
//! faults that a program whose work is a handful of system calls need not pay. What of it matters, the standard
//! descriptors, is done here.

use std::ffi::{CStr, OsString, c_char, c_int};
use std::os::fd::IntoRawFd;
use std::os::unix::ffi::OsStringExt;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

/// Declares `main` in C's shape, which turns its arguments into words and hands them to `$start`, a
/// `fn(&[OsString]) -> u8` that gives the exit status.
#[macro_export]
macro_rules! entry {
    ($start:path) => {
        /// What the C library's start code calls.
        ///
        /// # Safety
        /// Only that code may call it, with the argument vector of execve(2).
        // SAFETY: no other item of this program is called `main`; the signature is that of C.
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn main(
            argc: ::std::ffi::c_int,
            argv: *const *const ::std::ffi::c_char,
        ) -> ::std::ffi::c_int {
            // SAFETY: the C library passes the argument vector of execve(2): argc strings.
            let args = unsafe { $crate::sys::start::arguments(argc, argv) };
            $crate::sys::start::standard_descriptors();
            ::std::ffi::c_int::from($start(&args))
        }
    };
}

/// The words of an argument vector.
///
/// # Safety
/// `argv` must point to `argc` pointers to NUL-terminated strings.
pub unsafe fn arguments(argc: c_int, argv: *const *const c_char) -> Vec<OsString> {
    let count = usize::try_from(argc).unwrap_or(0);
    let mut words = Vec::with_capacity(count);
    for at in 0..count {
        // SAFETY: the caller vouches for argc pointers at argv, and `at` is below argc.
        let word = unsafe { argv.add(at) };
        // SAFETY: as above: a readable pointer.
        let word = unsafe { *word };
        // SAFETY: as above: it points to a NUL-terminated string.
        let word = unsafe { CStr::from_ptr(word) };
        words.push(OsString::from_vec(word.to_bytes().to_vec()));
    }
    words
}

/// Opens `/dev/null` in place of a standard descriptor that the caller closed, so that no file opened later can
/// be taken for it. It is opened the wrong way round: reading and writing still fail with EBADF, here and in the
/// program that inherits it, as they did before.
pub fn standard_descriptors() {
    let mut fds = [0, 1, 2].map(|fd| libc::pollfd {
        fd,
        events: 0,
        revents: 0,
    });
    // SAFETY: fds is an array of three pollfd that outlives the call.
    if unsafe { libc::poll(fds.as_mut_ptr(), 3, 0) } <= 0 {
        return;
    }
    for fd in fds.iter().filter(|fd| fd.revents & libc::POLLNVAL != 0) {
        // The lowest free number is the first closed one; where there is no /dev/null, any directory keeps it taken.
        let unusable = if fd.fd == 0 {
            OFlag::O_WRONLY
        } else {
            OFlag::O_RDONLY
        };
        let opened = open("/dev/null", unusable, Mode::empty())
            .or_else(|_| open("/", OFlag::O_PATH, Mode::empty()));
        match opened.map(IntoRawFd::into_raw_fd) {
            Ok(number) if number == fd.fd => {}
            _ => super::task::exit_now(Errno::EBADF as u8),
        }
    }
}
