//! What a process says of itself: prctl(2), exit, close_range(2), descriptors handed on.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::result;
use crate::order;

/// prctl(2) for the operations whose arguments are plain numbers.
///
/// # Errors
/// The kernel's answer; the meaning of the value is that of the operation.
pub fn prctl(operation: i32, args: [u64; 4]) -> Result<i64, Errno> {
    let [a, b, c, d] = args;
    // SAFETY: callers pass numbers only (no operation that reads or writes memory is used with this).
    result(unsafe { libc::syscall(libc::SYS_prctl, operation, a, b, c, d) })
}

/// The signal that this process asked to get when its parent dies (`PR_GET_PDEATHSIG`); 0 for none.
pub fn parent_death_signal() -> Result<i32, Errno> {
    let mut signal: libc::c_int = 0;
    // SAFETY: this operation writes one int, for which signal has room.
    result(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_GET_PDEATHSIG, &raw mut signal) })?;
    Ok(signal)
}

/// Whether the kernel gave this process, when it was executed, what its caller may not have (`AT_SECURE`, getauxval(3)).
pub fn is_secure() -> bool {
    // SAFETY: getauxval has no precondition.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Has the kernel end this process when its parent ends (`PR_SET_PDEATHSIG`).
pub fn die_with_parent() {
    let signal = libc::SIGKILL.cast_unsigned().into();
    // A number that is a signal is not refused.
    let _ = prctl(libc::PR_SET_PDEATHSIG, [signal, 0, 0, 0]);
}

/// Ends this process at once, without running anything that the parent would run too (buffers, hooks).
pub fn exit_now(status: u8) -> ! {
    // SAFETY: _exit has no precondition.
    unsafe { libc::_exit(status.into()) }
}

/// Marks every descriptor from `first` on to be closed by exec (close_range(2), Linux 5.11).
pub fn cloexec_from(first: u32) -> Result<(), Errno> {
    // SAFETY: with CLOSE_RANGE_CLOEXEC nothing is closed now, so no owned fd becomes invalid.
    result(unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    })
    .map(drop)
}

/// Closes every descriptor from `first` on but these, whoever owns it: for a forked child that will end by an exec or by
/// [`exit_now`], and uses nothing any more that it has not named here.
pub fn close_all_but(first: u32, keep: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut numbers: Vec<u32> = keep
        .iter()
        .filter_map(|fd| u32::try_from(fd.as_raw_fd()).ok())
        .filter(|number| *number >= first)
        .collect();
    order::sort(&mut numbers);
    let mut from = first;
    for number in numbers.into_iter().chain([u32::MAX]) {
        let to = number.saturating_sub(1);
        if from <= to {
            // SAFETY: as with close(2) of a number, memory stays sound; what is closed fails with EBADF from then on.
            result(unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) })?;
        }
        from = number.saturating_add(1);
    }
    Ok(())
}

/// Leaves `fd` open over exec as number `number`.
///
/// # Errors
/// `EBUSY` where that number is open already.
pub fn hand_down(fd: BorrowedFd<'_>, number: RawFd) -> Result<(), Errno> {
    // SAFETY: F_GETFD takes nothing and fails where the number is not open.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0 {
        return Err(Errno::EBUSY);
    }
    // SAFETY: the number is free, so nobody's descriptor is replaced.
    result(unsafe { libc::dup2(fd.as_raw_fd(), number) }.into()).map(drop)
}

/// Takes up descriptor `number`, which the program that executed this one handed down, and lets it survive no
/// further exec.
///
/// # Errors
/// `EBADF` where there is none.
pub fn take_up(number: RawFd) -> Result<OwnedFd, Errno> {
    if number < 3 {
        return Err(Errno::EBADF);
    }
    // SAFETY: F_SETFD takes an int and fails where the number is not open.
    result(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) }.into())?;
    // SAFETY: the number is open, and what was inherited belongs to nobody in this process.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Joins a new anonymous session keyring (keyctl(2)).
///
/// # Errors
/// `ENOSYS` on a kernel without keys, `EDQUOT` where the user has too many.
pub fn join_session_keyring() -> Result<(), Errno> {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    let anonymous = std::ptr::null::<libc::c_char>();
    // SAFETY: a null name asks for an anonymous keyring; nothing is read or written.
    result(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, anonymous) }).map(drop)
}

/// Six random bytes (getrandom(2)).
pub fn random() -> Result<[u8; 6], Errno> {
    let mut bytes = [0; 6];
    // SAFETY: the kernel writes at most six bytes, which live here; so few are never cut short.
    result(unsafe { libc::syscall(libc::SYS_getrandom, bytes.as_mut_ptr(), bytes.len(), 0) })?;
    Ok(bytes)
}

/// Sets the NIS domain name (setdomainname(2)).
///
/// # Errors
/// `EINVAL` for more than 64 bytes, `EPERM` where the UTS namespace is not ours.
pub fn set_domain_name(name: &[u8]) -> Result<(), Errno> {
    // SAFETY: the kernel reads as many bytes as the slice has.
    result(unsafe { libc::syscall(libc::SYS_setdomainname, name.as_ptr(), name.len()) }).map(drop)
}
