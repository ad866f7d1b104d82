//! capget(2) and capset(2) in their 64-bit form (capabilities(7)).

use nix::errno::Errno;

use super::result;

/// The three per-thread sets that capset(2) changes; bit n is capability number n.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sets {
    /// In force now.
    pub effective: u64,
    /// May be made effective.
    pub permitted: u64,
    /// Kept over an exec of a file that has them inheritable.
    pub inheritable: u64,
}

/// `_LINUX_CAPABILITY_VERSION_3` (linux/capability.h): two 32-bit records.
const VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Record {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// This process's sets.
pub fn get() -> Result<Sets, Errno> {
    let mut header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let mut data = [Record::default(); 2];
    // SAFETY: version 3 makes the kernel write exactly two records, which data has room for.
    result(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) })?;
    let join =
        |part: fn(&Record) -> u32| u64::from(part(&data[0])) | u64::from(part(&data[1])) << 32;
    Ok(Sets {
        effective: join(|r| r.effective),
        permitted: join(|r| r.permitted),
        inheritable: join(|r| r.inheritable),
    })
}

/// Gives this process these sets.
///
/// # Errors
/// `EPERM` for a permitted or inheritable capability that the process does not have.
pub fn set(sets: Sets) -> Result<(), Errno> {
    let mut header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let half = |shift: u32| {
        let low = |set: u64| u32::try_from((set >> shift) & 0xffff_ffff).unwrap_or(0);
        Record {
            effective: low(sets.effective),
            permitted: low(sets.permitted),
            inheritable: low(sets.inheritable),
        }
    };
    let data = [half(0), half(32)];
    // SAFETY: version 3 makes the kernel read exactly two records, which data holds.
    result(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) }).map(drop)
}
