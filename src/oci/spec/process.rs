//! `process`: the program, who runs it, and what it may do (config.md, "Process").

use std::ffi::OsString;
use std::path::PathBuf;

use super::Capable;
use crate::json::objects;

objects! {
    /// The program and who runs it.
    #[derive(Debug)]
    pub struct Process {
        /// Whether it gets a terminal of its own.
        pub terminal: bool,
        /// How large that is in the beginning.
        pub console_size: Option<ConsoleSize>,
        /// Who runs it.
        pub user: User,
        /// The program and its arguments.
        pub args: Vec<OsString>,
        /// Its whole environment, `NAME=value` each.
        pub env: Vec<OsString>,
        /// Its working directory, a path in its root.
        pub cwd: PathBuf,
        /// What it may do; nothing where absent.
        pub capabilities: Capabilities,
        /// Its resource limits.
        pub rlimits: Vec<Rlimit>,
        /// No exec gives it more than it has.
        pub no_new_privileges: bool,
        /// How readily it is killed when memory runs out; its parent's value without.
        pub oom_score_adj: Option<i32>,
        /// The scheduling policy.
        pub scheduler: Option<Scheduler>,
        /// The priority of its input and output.
        pub io_priority: Option<IoPriority>,
        /// The AppArmor profile that confines it.
        pub apparmor_profile: String,
        /// Its SELinux label.
        pub selinux_label: String,
        /// The CPUs of a program that joins the container; of no meaning for the first.
        pub exec_cpu_affinity as "execCPUAffinity": Option<CpuAffinity>,
    }

    /// `process.consoleSize`
    #[derive(Debug)]
    pub struct ConsoleSize {
        /// Lines.
        pub height: u32,
        /// Columns.
        pub width: u32,
    }

    /// `process.user`
    #[derive(Debug)]
    pub struct User {
        /// User id in the container.
        pub uid: u32,
        /// Group id in the container.
        pub gid: u32,
        /// The file mode creation mask; the caller's without.
        pub umask: Option<u32>,
        /// Its other groups.
        pub additional_gids: Vec<u32>,
    }

    /// `process.capabilities`
    #[derive(Debug)]
    pub struct Capabilities {
        /// What an exec can give at most.
        pub bounding: Capable,
        /// What the program starts with of its permitted ones.
        pub effective: Capable,
        /// What files may give.
        pub inheritable: Capable,
        /// What the program has.
        pub permitted: Capable,
        /// What a program that is not root's has.
        pub ambient: Capable,
    }

    /// `process.rlimits[]` (setrlimit(2))
    #[derive(Debug)]
    pub struct Rlimit {
        /// `RLIMIT_NOFILE` ...
        pub kind as "type": String,
        /// What the kernel enforces.
        pub soft: u64,
        /// How far the process may raise the soft limit.
        pub hard: u64,
    }

    /// `process.scheduler` (sched_setattr(2))
    #[derive(Debug)]
    pub struct Scheduler {
        /// `SCHED_OTHER` ...
        pub policy: String,
        /// For `SCHED_OTHER` and `SCHED_BATCH`: -20 to 19.
        pub nice: i32,
        /// For `SCHED_FIFO` and `SCHED_RR`: 1 to 99.
        pub priority: i32,
        /// `SCHED_FLAG_RESET_ON_FORK` ...
        pub flags: Vec<String>,
        /// For `SCHED_DEADLINE`, in nanoseconds.
        pub runtime: u64,
        /// For `SCHED_DEADLINE`, in nanoseconds.
        pub deadline: u64,
        /// For `SCHED_DEADLINE`, in nanoseconds.
        pub period: u64,
    }

    /// `process.ioPriority` (ioprio_set(2))
    #[derive(Debug)]
    pub struct IoPriority {
        /// `IOPRIO_CLASS_RT`, `IOPRIO_CLASS_BE` or `IOPRIO_CLASS_IDLE`.
        pub class: String,
        /// 0, the first, to 7.
        pub priority: i32,
    }

    /// `process.execCPUAffinity`
    #[derive(Debug)]
    pub struct CpuAffinity {
        /// Before it is in the container's group.
        pub initial: String,
        /// From then on.
        pub last as "final": String,
    }
}
