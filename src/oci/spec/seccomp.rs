//! `linux.seccomp`: a filter over system calls, in libseccomp's words (config-linux.md, "Seccomp").

use std::path::PathBuf;

use crate::json::objects;

objects! {
    /// A filter over system calls.
    #[derive(Debug)]
    pub struct Seccomp {
        /// What becomes of a call that no rule is about: `SCMP_ACT_ERRNO` ...
        pub default_action: String,
        /// The error it gets then.
        pub default_errno_ret: Option<u32>,
        /// The ABIs that may be used: `SCMP_ARCH_X86_64` ...; this program's own without.
        pub architectures: Vec<String>,
        /// `SECCOMP_FILTER_FLAG_LOG` ...
        pub flags: Vec<String>,
        /// The socket that gets the descriptor on which calls are told of.
        pub listener_path: PathBuf,
        /// What to tell the listener with it.
        pub listener_metadata: String,
        /// The rules.
        pub syscalls: Vec<SyscallRule>,
        /// All of this is the default profile. Not of the specification: in a config.json it is written out.
        pub default_profile as "": bool,
        /// The file that all of this was read from, which a script names. Not of the specification.
        pub profile as "": Option<PathBuf>,
    }

    /// `syscalls[]`
    #[derive(Debug)]
    pub struct SyscallRule {
        /// The calls.
        pub names: Vec<String>,
        /// What becomes of them.
        pub action: String,
        /// The error they get.
        pub errno_ret: Option<u32>,
        /// What all must hold of the arguments.
        pub args: Vec<SyscallArg>,
    }

    /// `syscalls[].args[]`
    #[derive(Debug)]
    pub struct SyscallArg {
        /// Which argument, from 0.
        pub index: u32,
        /// What it is compared with.
        pub value: u64,
        /// With `SCMP_CMP_MASKED_EQ`, what it must be under the mask `value`.
        pub value_two: u64,
        /// `SCMP_CMP_EQ` ...
        pub op: String,
    }
}
