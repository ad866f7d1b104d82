//! A task beside this process, on another CPU.
//!
//! ```text
//! this process                        the task
//!   | clone(CLONE_VM|CLONE_FILES) -----> |
//!   | goes on                            | unshare(CLONE_NEWNET|CLONE_NEWIPC)
//!   |                                    | leaves descriptors of them among ours
//!   | waits -------------------------- exit
//! ```
//!
//! It is no thread, so that this process goes on having one; but it shares memory and descriptors. So it uses nothing that
//! this process may be using: neither the heap nor `errno`.

use std::cell::UnsafeCell;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;
use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

use super::clone::wait;
use super::{net, nsfs, raw};

/// Namespaces in the making: of the kinds for which the kernel takes longest, the network with its loopback interface up.
///
/// Until they are finished, or this is dropped, two tasks use this process's memory, which may join no time namespace then.
#[derive(Debug)]
pub struct NewNamespaces {
    /// Until it has been waited for.
    task: Option<Pid>,
    made: &'static Made,
}

/// What the task has.
#[repr(C, align(16))]
struct Place {
    stack: UnsafeCell<[u8; 4096]>,
    /// Where it is to run.
    cpus: CpuSet,
    /// What it is to make.
    kinds: CloneFlags,
    /// What brings the loopback interface up.
    up: libc::ifreq,
    made: Made,
}

/// Descriptors; negative while there are none.
#[derive(Debug)]
struct Made {
    network: AtomicI32,
    ipc: AtomicI32,
}

impl NewNamespaces {
    /// The kinds that can be made so.
    pub const KINDS: CloneFlags = CloneFlags::CLONE_NEWNET.union(CloneFlags::CLONE_NEWIPC);

    /// Begins to make one of each of these kinds, where there is another CPU to do it on: on this one nothing would be gained.
    pub fn begin(kinds: CloneFlags) -> Option<Self> {
        // Never given back: a page of a short life, against a task that might still be using it.
        let place: &'static Place = Box::leak(Box::new(Place {
            stack: UnsafeCell::new([0; _]),
            cpus: other_cpus()?,
            kinds: kinds & Self::KINDS,
            up: net::up(b"lo").ok()?,
            made: Made {
                network: AtomicI32::new(-1),
                ipc: AtomicI32::new(-1),
            },
        }));
        let argument = ptr::from_ref(place).cast_mut().cast();
        // A stack grows downwards, from its end.
        let top = place.stack.get().wrapping_add(1).cast();
        let flags = libc::CLONE_VM | libc::CLONE_FILES;
        // SAFETY: the stack ends at `top`, aligned to sixteen bytes, and is this task's for ever; the argument is what `live`
        // expects.
        let task = unsafe { libc::clone(live, top, flags, argument) };
        let task = (task > 0).then_some(Pid::from_raw(task))?;
        // A new task is on its maker's CPU. If it has not run yet it is sent away from here, else it goes by itself.
        let _ = sched_setaffinity(task, &place.cpus);
        Some(Self {
            task: Some(task),
            made: &place.made,
        })
    }

    /// Waits until they are made. What was refused is missing: whoever makes it by clone(2) instead learns why.
    pub fn finish(mut self) -> Vec<(CloneFlags, OwnedFd)> {
        self.join()
    }

    fn join(&mut self) -> Vec<(CloneFlags, OwnedFd)> {
        let Some(task) = self.task.take() else {
            return Vec::new();
        };
        // No signal tells of its end.
        while wait(task, libc::WEXITED | libc::__WALL) == Err(Errno::EINTR) {}
        let made = [
            (CloneFlags::CLONE_NEWNET, &self.made.network),
            (CloneFlags::CLONE_NEWIPC, &self.made.ipc),
        ];
        let taken = made.map(|(kind, made)| (kind, made.swap(-1, Ordering::Acquire)));
        let there = taken.into_iter().filter(|(_, fd)| *fd >= 0);
        // SAFETY: the task has left us this descriptor, which has been taken out just now.
        let owned = |(kind, fd)| (kind, unsafe { OwnedFd::from_raw_fd(fd) });
        there.map(owned).collect()
    }
}

impl Drop for NewNamespaces {
    fn drop(&mut self) {
        self.join();
    }
}

/// The CPUs that this process may run on, but for the one that it runs on; none where that is the only one.
fn other_cpus() -> Option<CpuSet> {
    let mut cpus = sched_getaffinity(Pid::from_raw(0)).ok()?;
    cpus.unset(sched_getcpu().ok()?).ok()?;
    let any = (0..CpuSet::count()).any(|cpu| cpus.is_set(cpu) == Ok(true));
    any.then_some(cpus)
}

/// The task's life.
extern "C" fn live(place: *mut libc::c_void) -> libc::c_int {
    // SAFETY: that is its argument, which is never given back.
    let place = unsafe { &*place.cast_const().cast::<Place>() };
    make(place);
    0
}

/// Makes the namespaces, and leaves descriptors of them.
fn make(place: &Place) {
    let (cpus, size) = (address(&place.cpus), size_of::<CpuSet>() as u64);
    call(libc::SYS_sched_setaffinity, [0, size, cpus, 0, 0]);
    if call(libc::SYS_unshare, [word(place.kinds.bits()), 0, 0, 0, 0]) != 0 {
        return;
    }
    if place.kinds.contains(CloneFlags::CLONE_NEWNET) {
        leave(&place.made.network, network(&place.up));
    }
    if place.kinds.contains(CloneFlags::CLONE_NEWIPC) {
        let (file, flags) = (
            address(c"/proc/self/ns/ipc".to_bytes_with_nul()),
            word(libc::O_CLOEXEC),
        );
        leave(
            &place.made.ipc,
            call(libc::SYS_openat, [word(libc::AT_FDCWD), file, flags, 0, 0]),
        );
    }
}

fn leave(at: &AtomicI32, fd: i64) {
    at.store(i32::try_from(fd).unwrap_or(-1), Ordering::Release);
}

/// Brings the loopback interface up, and gives the descriptor that a socket knows of its network namespace: without /proc,
/// which need not be there. Negative for an error.
fn network(up: &libc::ifreq) -> i64 {
    let kind = word(libc::SOCK_DGRAM | libc::SOCK_CLOEXEC);
    let socket = call(libc::SYS_socket, [word(libc::AF_UNIX), kind, 0, 0, 0]);
    let Ok(open) = u64::try_from(socket) else {
        return socket;
    };
    // Where this fails it is down for the step that wants it up, which says why not.
    call(
        libc::SYS_ioctl,
        [open, libc::SIOCSIFFLAGS, address(up), 0, 0],
    );
    let which = nsfs::GET_SOCKET_NS.into();
    let namespace = call(libc::SYS_ioctl, [open, which, 0, 0, 0]);
    call(libc::SYS_close, [open, 0, 0, 0, 0]);
    namespace
}

fn word(number: libc::c_int) -> u64 {
    number.cast_unsigned().into()
}

fn address<T: ?Sized>(of: &T) -> u64 {
    ptr::from_ref(of).cast::<u8>().addr() as u64
}

/// A system call by hand.
fn call(number: libc::c_long, arguments: [u64; 5]) -> i64 {
    // SAFETY: three of these calls are handed an address, of what is never given back, and the kernel only reads it.
    unsafe { raw::call(number, arguments) }
}
