//! bpf(2), as far as control groups of v2 need it for their devices.

use std::mem::size_of_val;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::result;

/// `union bpf_attr`, as large as any kernel's and zero but for what is said: kernels have read and written past what
/// they were told of.
#[repr(C, align(8))]
struct Attributes([u32; 64]);

impl Attributes {
    fn new(words: &[(usize, u32)]) -> Self {
        let mut all = [0; 64];
        for (at, word) in words {
            if let Some(place) = all.get_mut(*at) {
                *place = *word;
            }
        }
        Self(all)
    }

    fn call(&mut self, command: i32) -> Result<libc::c_long, Errno> {
        let size = size_of_val(&self.0);
        // SAFETY: the kernel reads and writes no more than the size given, which is that of the array; what the array
        // points to outlives the call, because callers hold it.
        result(unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_mut_ptr(), size) })
    }
}

/// The two words of an address, as they lie in memory.
fn address(of: *const u8) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = (of.addr() as u64).to_ne_bytes();
    [
        u32::from_ne_bytes([a, b, c, d]),
        u32::from_ne_bytes([e, f, g, h]),
    ]
}

/// Loads a program that judges the use of devices (`BPF_PROG_TYPE_CGROUP_DEVICE`, Linux 4.15).
///
/// # Errors
/// `EPERM` without `CAP_BPF`, `EINVAL` for a program that the kernel does not take.
pub fn load_device_program(program: &[u64]) -> Result<OwnedFd, Errno> {
    const PROG_LOAD: i32 = 5;
    const TYPE_CGROUP_DEVICE: u32 = 15;
    let license = c"GPL";
    let [code_low, code_high] = address(program.as_ptr().cast());
    let [license_low, license_high] = address(license.as_ptr().cast());
    let length = u32::try_from(program.len()).map_err(|_| Errno::E2BIG)?;
    let mut attributes = Attributes::new(&[
        (0, TYPE_CGROUP_DEVICE),
        (1, length),
        (2, code_low),
        (3, code_high),
        (4, license_low),
        (5, license_high),
    ]);
    let fd = attributes.call(PROG_LOAD)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(|_| Errno::EBADF)?) })
}

/// Has a program judge the use of devices by a group, besides those of the groups above it.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` or `CAP_SYS_ADMIN`.
pub fn attach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), Errno> {
    const PROG_ATTACH: i32 = 8;
    const CGROUP_DEVICE: u32 = 6;
    const ALLOW_MULTI: u32 = 2;
    let mut attributes = Attributes::new(&[
        (0, group.as_raw_fd().cast_unsigned()),
        (1, program.as_raw_fd().cast_unsigned()),
        (2, CGROUP_DEVICE),
        (3, ALLOW_MULTI),
    ]);
    attributes.call(PROG_ATTACH).map(drop)
}
