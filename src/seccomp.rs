//! Filters over system calls as programs of classic BPF (seccomp(2)).
//!
//! | file | question |
//! |---|---|
//! | [`table`] | which number has a call, and how long are its arguments |
//! | `program` | how do rules become a program |
//! | `default` | what may a program call that nobody said anything about |
//!
//! A [`Policy`] says which calls may be made; [`Policy::filter`] makes the program.

mod default;
mod program;
pub mod table;

use std::borrow::Cow;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;

use crate::error::{Doing, Error, Result};
use crate::sys::{seccomp, task};

pub use crate::sys::seccomp::Instruction;
pub use default::default_policy;
use table::Call;

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

    /// Loads it; gives the descriptor on which calls are told of, where the flags ask for one.
    ///
    /// # Errors
    /// `Could not load seccomp filter`; `Seccomp non-functional` where the kernel has none.
    pub fn load(&self) -> Result<Option<OwnedFd>> {
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

/// A machine, as the kernel tells the ABI of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// 64 bits, Intel's and AMD's.
    X86_64,
    /// The same with pointers of 32 bits.
    X32,
    /// 32 bits, Intel's and AMD's.
    X86,
    /// 64 bits, ARM's.
    Aarch64,
}

/// Set in every number of x32.
const X32_BIT: u32 = 0x4000_0000;

impl Arch {
    /// That of this program.
    pub fn native() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Aarch64),
            "x86" => Some(Self::X86),
            _ => None,
        }
    }

    /// Whether a machine of this kind runs programs of another.
    pub fn runs(self, other: Self) -> bool {
        self == other || self == Self::X86_64 && matches!(other, Self::X32 | Self::X86)
    }

    /// `AUDIT_ARCH_*` (linux/audit.h).
    pub fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
        }
    }
}

/// What becomes of a call: values of `SECCOMP_RET_*` (linux/seccomp.h).
pub mod action {
    /// The process is killed.
    pub const KILL_PROCESS: u32 = 0x8000_0000;
    /// The thread is killed.
    pub const KILL_THREAD: u32 = 0;
    /// The thread gets `SIGSYS`.
    pub const TRAP: u32 = 0x0003_0000;
    /// The call fails with the errno that is added to this.
    pub const ERRNO: u32 = 0x0005_0000;
    /// Another process decides.
    pub const NOTIFY: u32 = 0x7fc0_0000;
    /// A tracer decides.
    pub const TRACE: u32 = 0x7ff0_0000;
    /// It is made, and logged.
    pub const LOG: u32 = 0x7ffc_0000;
    /// It is made.
    pub const ALLOW: u32 = 0x7fff_0000;
}

/// How an argument is compared with a value; both are taken as numbers without a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>=`
    GreaterOrEqual,
    /// `>`
    Greater,
    /// Under a mask `==`.
    MaskedEqual,
}

/// What must hold of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Which, from 0 to 5.
    pub argument: u32,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub value: u64,
    /// Under which mask, for [`Operator::MaskedEqual`].
    pub mask: u64,
}

/// What becomes of a call for which all conditions hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What must hold; nothing for every call.
    pub conditions: Vec<Condition>,
    /// What becomes of it.
    pub action: u32,
}

/// The rules of a call.
pub type Rules = Cow<'static, [Rule]>;

/// Which calls may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The machines whose calls may be made at all; a call of another kills the process.
    pub arches: Vec<Arch>,
    /// What becomes of a call without rules, or none of whose rules holds.
    pub default: u32,
    /// What becomes of numbers above all that are known, if that is something else: the C library tries the newest
    /// calls first, and takes an older one only where the kernel says `ENOSYS`.
    pub unknown: Option<u32>,
    /// Known is what is in the table, not only what has rules.
    pub knows_table: bool,
    /// The rules of each call. Those with conditions are tried in their order; one without holds where none of them does.
    pub calls: Vec<(Call, Rules)>,
}

impl Policy {
    /// The program.
    ///
    /// # Errors
    /// Where it is longer than the kernel takes.
    pub fn filter(&self, flags: u64) -> Result<Filter> {
        let program = program::assemble(self)?;
        Ok(Filter { program, flags })
    }

    /// The newest number that is known, where the table says it.
    fn newest(&self, arch: Arch) -> Option<u32> {
        let all = || Call::all().filter_map(|call| call.number(arch));
        // x32 has old calls at the end.
        self.knows_table.then(all)?.max()
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
