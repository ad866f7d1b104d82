//! Filters over system calls as programs of classic BPF (seccomp(2)).

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use nix::errno::Errno;

use crate::error::{Doing, Error, Result};
use crate::sys::{seccomp, task};

pub use crate::sys::seccomp::Instruction;

/// `SECCOMP_FILTER_FLAG_SPEC_ALLOW` (linux/seccomp.h, Linux 4.17): no mitigation against speculation is added
/// for the filtered process, which would slow it down.
pub const SPEC_ALLOW: u64 = 1 << 2;

/// The longest program the kernel takes (`BPF_MAXINSNS`).
const LONGEST: usize = 4096;
/// Bytes of an instruction.
const SIZE: usize = size_of::<Instruction>();

/// A filter and how it is to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The program.
    pub program: Vec<Instruction>,
    /// `SECCOMP_FILTER_FLAG_*` bits.
    pub flags: u64,
}

impl Filter {
    /// A filter from a file of raw instructions in this machine's byte order (what enosys(1) and
    /// `seccomp_export_bpf(3)` write). Pipes are read too, never more than a filter can hold.
    ///
    /// # Errors
    /// `cannot open`, `cannot read`, and `invalid filter` where it is no whole number of instructions or more
    /// than 4096 of them.
    pub fn from_file(path: &Path) -> Result<Self> {
        let file = File::open(path).doing_to("cannot open", path)?;
        let mut bytes = Vec::new();
        let limit = (LONGEST * SIZE + 1) as u64;
        let read = file.take(limit).read_to_end(&mut bytes);
        read.doing_to("cannot read", path)?;
        Self::from_bytes(&bytes).map_err(|error| error.on(path))
    }

    /// A filter from raw instructions in this machine's byte order.
    ///
    /// # Errors
    /// See [`Filter::from_file`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let bad = |reason: &'static str| Err(Error::new("invalid filter").because(reason));
        if !bytes.len().is_multiple_of(SIZE) {
            return bad("not a whole number of 8-byte instructions");
        }
        if bytes.len() > LONGEST * SIZE {
            return bad("more than 4096 instructions");
        }
        let program = bytes
            .chunks_exact(SIZE)
            .map(|raw| Instruction {
                code: u16::from_ne_bytes([raw[0], raw[1]]),
                jump_true: raw[2],
                jump_false: raw[3],
                k: u32::from_ne_bytes([raw[4], raw[5], raw[6], raw[7]]),
            })
            .collect();
        Ok(Self {
            program,
            flags: SPEC_ALLOW,
        })
    }

    /// Loads it.
    ///
    /// # Errors
    /// `Could not load seccomp filter`; `Seccomp non-functional` where the kernel has none.
    pub fn load(&self) -> Result<()> {
        seccomp::load(&self.program, self.flags).map_err(|errno| {
            let absent = errno == Errno::ENOSYS
                || task::prctl(libc::PR_GET_SECCOMP, [0; 4]) == Err(Errno::EINVAL);
            let doing = if absent {
                "Seccomp non-functional"
            } else {
                "Could not load seccomp filter"
            };
            let hint = (errno == Errno::EINVAL && !absent)
                .then_some("the kernel does not accept this program: see seccomp(2), EINVAL");
            Error::new(doing).errno_is(errno).hint_maybe(hint)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_instructions_are_read() {
        let mut bytes = Vec::new();
        bytes.extend(6u16.to_ne_bytes());
        bytes.extend([1, 2]);
        bytes.extend(0x7fff_0000u32.to_ne_bytes());
        let want = Instruction {
            code: 6,
            jump_true: 1,
            jump_false: 2,
            k: 0x7fff_0000,
        };
        assert_eq!(Filter::from_bytes(&bytes).unwrap().program, [want]);
        let cases = [
            (
                7,
                "invalid filter: not a whole number of 8-byte instructions",
            ),
            (4097 * 8, "invalid filter: more than 4096 instructions"),
        ];
        for (length, want) in cases {
            let error = Filter::from_bytes(&vec![0; length]).unwrap_err();
            assert_eq!(error.to_string(), want);
        }
    }
}
