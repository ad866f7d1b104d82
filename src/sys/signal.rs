//! Signal dispositions, which nix gives only as `unsafe`.

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};

/// Gives `signal` its default disposition. A shell started with `SIGCHLD` ignored hands that on, and waitid(2)
/// then has nothing to wait for.
pub fn default(which: Signal) -> Result<(), Errno> {
    // SAFETY: SIG_DFL runs no code of ours.
    unsafe { signal(which, SigHandler::SigDfl) }.map(drop)
}

/// Ignores `signal`.
pub fn ignore(which: Signal) -> Result<(), Errno> {
    // SAFETY: SIG_IGN runs no code of ours.
    unsafe { signal(which, SigHandler::SigIgn) }.map(drop)
}

/// Whether `signal` is ignored now.
pub fn is_ignored(which: Signal) -> bool {
    // SAFETY: sigaction is plain data, for which all zero bits are a value.
    let mut now: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a null pointer asks without changing; the answer is written to a sigaction of our own.
    let asked = unsafe { libc::sigaction(which as libc::c_int, std::ptr::null(), &raw mut now) };
    asked == 0 && now.sa_sigaction == libc::SIG_IGN
}

/// Gives every signal its default disposition, also those that the C library keeps for itself: exec resets
/// handlers, but what is ignored stays ignored.
pub fn default_all() {
    /// Words of the kernel's `struct sigaction`, on every architecture: handler, flags, restorer, mask. All zero
    /// is `SIG_DFL` (signal.h).
    const DEFAULT: [u64; 4] = [0; 4];
    /// Bytes of the kernel's signal mask.
    const MASK: usize = 8;
    for number in 1..=64 {
        // SAFETY: the kernel reads one struct sigaction, which runs no code of ours. SIGKILL and SIGSTOP are
        // refused, which is as good.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                number,
                DEFAULT.as_ptr(),
                std::ptr::null::<u64>(),
                MASK,
            )
        };
    }
}
