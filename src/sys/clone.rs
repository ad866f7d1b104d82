//! clone3(2), pidfd_open(2), waitid(2): processes made and awaited by hand.

use std::fs;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::Pid;

use super::result;
use super::task::prctl;

/// Which side of a [`fork`] we are on.
#[derive(Debug)]
pub enum Forked {
    /// The new process.
    Child,
    /// The process that made it.
    Parent {
        /// The child, as seen from the caller's PID namespace.
        child: Pid,
        /// A stable handle on it (pidfd_open(2)): its number cannot be reused while this is open.
        pidfd: OwnedFd,
    },
}

/// What a child did, from waitid(2). Signals are plain numbers, so that realtime ones pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It exited with this status.
    Exited(u8),
    /// A signal ended it.
    Killed(i32),
    /// A signal stopped it (job control).
    Stopped(i32),
    /// It was continued.
    Continued,
    /// Nothing to report (only with `WNOHANG`).
    None,
}

/// Makes a child as fork(2) does, in the new namespaces of `flags` and, where `cgroup` is given, in that
/// cgroup (`CLONE_INTO_CGROUP`, cgroup v2 only: joining a group afterwards waits for an RCU grace period).
///
/// The child gets a copy of everything and may do what a single-threaded process may do. Two things it may
/// not: rely on libc's cached thread id (so `raise` is out: send yourself signals by `kill`), and return
/// from `main` (leave by [`super::task::exit_now`] or exec). With `CLONE_PARENT` it is a child of the caller's parent, who
/// waits for it. Needs Linux 5.3, with `cgroup` 5.7.
///
/// # Errors
/// `EBUSY` where the process has a second thread, whose locks the copy could hold for ever; else the
/// kernel's answer.
pub fn fork(flags: CloneFlags, cgroup: Option<BorrowedFd<'_>>) -> Result<Forked, Errno> {
    if !single_threaded() {
        return Err(Errno::EBUSY);
    }
    let mut pidfd: libc::c_int = -1;
    // SAFETY: clone_args is plain integers, for which all zero bits are a value.
    let mut args: libc::clone_args = unsafe { zeroed() };
    // The flags of clone(2) are an int that sign-extends (CLONE_IO is bit 31): keep the low word.
    args.flags =
        u64::from(flags.bits().cast_unsigned()) | u64::from(libc::CLONE_PIDFD.cast_unsigned());
    args.pidfd = (&raw mut pidfd) as u64;
    // A child that is made to be a sibling has its maker's.
    if !flags.contains(CloneFlags::CLONE_PARENT) {
        args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    }
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    }
    // SAFETY: args points to a clone_args of the given size that outlives the call; without CLONE_VM the
    // child runs on its own copy of this stack, and there is no second thread that could hold a lock.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut args,
            size_of::<libc::clone_args>(),
        )
    };
    let made = match result(ret) {
        Err(Errno::ENOSYS) if cgroup.is_none() => clone_as_before(&args, &mut pidfd),
        other => other,
    };
    match made? {
        0 => Ok(Forked::Child),
        child => {
            // SAFETY: the kernel has just stored in pidfd a descriptor that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Forked::Parent {
                child: Pid::from_raw(i32::try_from(child).unwrap_or(-1)),
                pidfd,
            })
        }
    }
}

/// The same by clone(2): docker's filter says that there is no clone3(2), whose flags it cannot read. A time namespace and
/// a cgroup cannot be said so.
fn clone_as_before(args: &libc::clone_args, pidfd: &mut libc::c_int) -> Result<i64, Errno> {
    let flags = args.flags | args.exit_signal;
    if args.flags & CSIGNAL != 0 {
        return Err(Errno::ENOSYS);
    }
    // SAFETY: as of clone3(2) above; pidfd is where this kernel's clone(2) stores it, and nothing else is asked for.
    result(unsafe { libc::syscall(libc::SYS_clone, flags, 0, pidfd, 0, 0) })
}

/// The bits of clone(2)'s flags in which the signal stands.
const CSIGNAL: u64 = 0xff;

/// Makes a child that shares this process's memory, and sleeps until it has executed a program or ended
/// (`CLONE_VM|CLONE_VFORK`): no page table is copied and no page faulted in twice, which is a quarter of what a fork
/// costs. `child` runs in it, on a stack of its own, and gives its exit status if it comes back.
///
/// What the child changes in memory the parent finds changed. Everything else is the child's own as after fork(2):
/// descriptors (so an owned one of the parent must not be dropped in the child), ids, signal mask, limits, root.
/// Its memory being ours, so is whether it may be dumped: that is put back.
///
/// Not for what clone(2) cannot say: a time namespace, a cgroup.
///
/// # Errors
/// As [`fork`].
pub fn fork_suspended(
    flags: CloneFlags,
    child: &mut dyn FnMut() -> u8,
) -> Result<(Pid, OwnedFd), Errno> {
    extern "C" fn trampoline(argument: *mut libc::c_void) -> libc::c_int {
        // SAFETY: the argument is the `child` below, which outlives the call: its owner sleeps until we are gone.
        let child = unsafe { &mut *argument.cast::<&mut dyn FnMut() -> u8>() };
        child().into()
    }
    if !single_threaded() {
        return Err(Errno::EBUSY);
    }
    let stack = Stack::new()?;
    let mut pidfd: libc::c_int = -1;
    let mut child = child;
    let argument = (&raw mut child).cast::<libc::c_void>();
    let flags =
        flags.bits() | libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    let dumpable = prctl(libc::PR_GET_DUMPABLE, [0; 4])?;
    // SAFETY: the stack is unused memory that ends at `top` and lives until after the call, the argument is what the
    // trampoline expects, and this thread, the only one, sleeps while the child uses its memory.
    let pid = unsafe { libc::clone(trampoline, stack.top(), flags, argument, &raw mut pidfd) };
    let pid = result(pid.into())?;
    if dumpable == 1 {
        // There is a child now, and this is no reason to lose it.
        let _ = prctl(libc::PR_SET_DUMPABLE, [1, 0, 0, 0]);
    }
    // SAFETY: the kernel has just stored in pidfd a descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok((Pid::from_raw(i32::try_from(pid).unwrap_or(-1)), pidfd))
}

/// Memory for the stack of a child that shares ours, with a page below it that nobody may touch.
struct Stack(*mut libc::c_void);

impl Stack {
    const SIZE: usize = 256 * 1024;
    const GUARD: usize = 4096;

    fn new() -> Result<Self, Errno> {
        let (protection, kind) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        // SAFETY: a new mapping at an address of the kernel's choice disturbs nobody.
        let low = unsafe { libc::mmap(std::ptr::null_mut(), Self::SIZE, protection, kind, -1, 0) };
        if low == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let stack = Self(low);
        // SAFETY: the page is the lowest of the mapping just made, which nobody uses yet.
        result(unsafe { libc::mprotect(low, Self::GUARD, libc::PROT_NONE) }.into())?;
        Ok(stack)
    }

    fn top(&self) -> *mut libc::c_void {
        // SAFETY: one past the end of the mapping, which is SIZE bytes long.
        unsafe { self.0.byte_add(Self::SIZE) }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and the child that used it has executed or ended.
        unsafe { libc::munmap(self.0, Self::SIZE) };
    }
}

/// `CLONE_INTO_CGROUP` (linux/sched.h).
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Whether this process has one thread. Looked up once, and kept: nothing here starts a thread.
///
/// The kernel is asked by unshare(2) of `CLONE_THREAD`, which does nothing for a process with one thread and is
/// refused for others. Where a filter forbids unshare(2) as a whole, `/proc` is asked, and where there is none,
/// the answer is yes.
pub fn single_threaded() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| match nix::sched::unshare(CloneFlags::CLONE_THREAD) {
        Ok(()) => true,
        Err(Errno::EINVAL) => false,
        // A directory's link count is two and one for each subdirectory: no need to list it.
        Err(_) => fs::metadata("/proc/self/task").map_or(true, |meta| meta.nlink() <= 3),
    })
}

/// A handle on the process `pid` (pidfd_open(2), Linux 5.3).
pub fn pidfd_open(pid: Pid) -> Result<OwnedFd, Errno> {
    pidfd_open_with(pid, 0)
}

/// A handle on the thread `tid`, of whatever process (`PIDFD_THREAD`, Linux 6.9).
pub fn pidfd_open_thread(tid: Pid) -> Result<OwnedFd, Errno> {
    /// `PIDFD_THREAD` (linux/pidfd.h).
    const THREAD: i32 = libc::O_EXCL;
    pidfd_open_with(tid, THREAD)
}

fn pidfd_open_with(pid: Pid, flags: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: pidfd_open takes two integers.
    let fd = result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), flags) })?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(|_| Errno::EBADF)?) })
}

/// Sends `signal` to the process behind `pidfd` (pidfd_send_signal(2), Linux 5.1).
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    let (fd, info) = (pidfd.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
    // SAFETY: the fd is borrowed for the call, and a null siginfo asks for what kill(2) would send.
    result(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, info, 0) }).map(drop)
}

/// Waits for the child `pid` as waitid(2) does. `options` are `WEXITED`, `WSTOPPED`, `WCONTINUED`, `WNOHANG`.
/// An interruption by a signal is returned as `EINTR`.
pub fn wait(pid: Pid, options: i32) -> Result<Change, Errno> {
    waitid(libc::P_PID, pid.as_raw(), options).map(|(_, change)| change)
}

/// Waits for any child, and says which it was; the pid is 0 where there is nothing to report (`WNOHANG`).
///
/// # Errors
/// `ECHILD` where there is no child.
pub fn wait_any(options: i32) -> Result<(Pid, Change), Errno> {
    waitid(libc::P_ALL, 0, options)
}

fn waitid(which: libc::idtype_t, id: i32, options: i32) -> Result<(Pid, Change), Errno> {
    // SAFETY: siginfo_t is plain data, for which all zero bits are a value.
    let mut info: libc::siginfo_t = unsafe { zeroed() };
    // SAFETY: info is a siginfo_t of our own that outlives the call.
    let ret = unsafe { libc::waitid(which, id.cast_unsigned(), &raw mut info, options) };
    result(ret.into())?;
    // SAFETY: waitid has filled info with a SIGCHLD record (or left it zero, where the pid is 0 too).
    let pid = Pid::from_raw(unsafe { info.si_pid() });
    if pid.as_raw() == 0 {
        return Ok((pid, Change::None));
    }
    // SAFETY: as above: a SIGCHLD record has a status.
    let status = unsafe { info.si_status() };
    let change = match info.si_code {
        libc::CLD_EXITED => Change::Exited(u8::try_from(status & 0xff).unwrap_or(255)),
        libc::CLD_KILLED | libc::CLD_DUMPED => Change::Killed(status),
        libc::CLD_CONTINUED => Change::Continued,
        _ => Change::Stopped(status),
    };
    Ok((pid, change))
}
