//! System calls without the C library: before it is set up (`early.rs`), and in a task that shares our memory and with it
//! our `errno` (`beside.rs`).

#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]

use std::arch::asm;

/// A system call of up to five arguments: its result, negative for an error.
///
/// # Safety
/// As the call itself is: what it is to write to must be ours, and large enough.
#[inline(always)]
pub(super) unsafe fn call(number: libc::c_long, arguments: [u64; 5]) -> i64 {
    let result;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the kernel clobbers rcx, r11 and its result; for what it does the caller vouches.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the kernel clobbers nothing but its result; for what it does the caller vouches.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") arguments[0] => result,
            in("x1") arguments[1],
            in("x2") arguments[2],
            in("x3") arguments[3],
            in("x4") arguments[4],
            options(nostack),
        );
    }
    result
}
