//! The eight kinds of namespace as one table: name, flag, `/proc` name, option letter, manual page.
//!
//! Everyone who lists, makes, enters or explains namespaces reads this table, so that a kind is
//! described once. See namespaces(7) and the pages named below.

use nix::sched::CloneFlags;

/// One kind of namespace. The order is the order in which a set of them is entered: see [`Kind::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// User and group ids, and the capabilities that count inside (user_namespaces(7)).
    User,
    /// The root of `/proc/self/cgroup` (cgroup_namespaces(7)).
    Cgroup,
    /// System V IPC and POSIX message queues (ipc_namespaces(7)).
    Ipc,
    /// Host name and NIS domain name (uts_namespaces(7)).
    Uts,
    /// Network devices, addresses, routes, ports (network_namespaces(7)).
    Net,
    /// Process ids (pid_namespaces(7)).
    Pid,
    /// Mount points (mount_namespaces(7)).
    Mount,
    /// The offsets of the monotonic and boot clocks (time_namespaces(7)).
    Time,
}

/// What there is to know about one kind.
struct Facts {
    option: &'static str,
    letter: char,
    proc: &'static str,
    flag: CloneFlags,
    flag_name: &'static str,
    man: &'static str,
    since: &'static str,
    first: Option<u64>,
    gives: &'static str,
    without: &'static str,
}

/// The table, in the order of [`Kind`].
#[rustfmt::skip]
static FACTS: [Facts; 8] = [
    Facts { option: "user", letter: 'U', proc: "user", flag: CloneFlags::CLONE_NEWUSER, flag_name: "CLONE_NEWUSER",
            man: "user_namespaces(7)", since: "3.8", first: Some(0xEFFF_FFFD),
            gives: "user and group ids, and capabilities that count in here only",
            without: "outside of it the kernel wants privilege for all the others" },
    Facts { option: "cgroup", letter: 'C', proc: "cgroup", flag: CloneFlags::CLONE_NEWCGROUP, flag_name: "CLONE_NEWCGROUP",
            man: "cgroup_namespaces(7)", since: "4.6", first: Some(0xEFFF_FFFB),
            gives: "the root of /proc/self/cgroup",
            without: "the program would see where in the host's cgroup tree it is" },
    Facts { option: "ipc", letter: 'i', proc: "ipc", flag: CloneFlags::CLONE_NEWIPC, flag_name: "CLONE_NEWIPC",
            man: "ipc_namespaces(7)", since: "2.6.19", first: Some(0xEFFF_FFFF),
            gives: "System V IPC objects and POSIX message queues",
            without: "shared memory and queues of the host could be attached by key" },
    Facts { option: "uts", letter: 'u', proc: "uts", flag: CloneFlags::CLONE_NEWUTS, flag_name: "CLONE_NEWUTS",
            man: "uts_namespaces(7)", since: "2.6.19", first: Some(0xEFFF_FFFE),
            gives: "host name and NIS domain name",
            without: "sethostname(2) would rename the host" },
    Facts { option: "net", letter: 'n', proc: "net", flag: CloneFlags::CLONE_NEWNET, flag_name: "CLONE_NEWNET",
            man: "network_namespaces(7)", since: "2.6.29", first: None,
            gives: "network devices, addresses, routes, ports and abstract sockets",
            without: "the program would use the host's network" },
    Facts { option: "pid", letter: 'p', proc: "pid", flag: CloneFlags::CLONE_NEWPID, flag_name: "CLONE_NEWPID",
            man: "pid_namespaces(7)", since: "2.6.24", first: Some(0xEFFF_FFFC),
            gives: "process ids, for its children: the first is PID 1",
            without: "the program could see and signal every process of its user" },
    Facts { option: "mount", letter: 'm', proc: "mnt", flag: CloneFlags::CLONE_NEWNS, flag_name: "CLONE_NEWNS",
            man: "mount_namespaces(7)", since: "2.4.19", first: None,
            gives: "the list of mounts",
            without: "what it mounts would be mounted on the host" },
    Facts { option: "time", letter: 'T', proc: "time", flag: CLONE_NEWTIME, flag_name: "CLONE_NEWTIME",
            man: "time_namespaces(7)", since: "5.6", first: Some(0xEFFF_FFFA),
            gives: "the offsets of the monotonic and boot clocks, for its children",
            without: "it would see how long the host has been up" },
];

/// `CLONE_NEWTIME` (linux/sched.h), which nix does not name: it shares its bit with the signal mask of
/// clone(2), so only unshare(2), setns(2) and clone3(2) take it.
pub const CLONE_NEWTIME: CloneFlags = CloneFlags::from_bits_retain(0x80);

impl Kind {
    /// Every kind, in the order in which util-linux enters them: user first, so that it lends its
    /// capabilities to the rest; mount last but time, so that `/proc` stays readable until then.
    pub const ALL: [Self; 8] = [
        Self::User,
        Self::Cgroup,
        Self::Ipc,
        Self::Uts,
        Self::Net,
        Self::Pid,
        Self::Mount,
        Self::Time,
    ];

    fn facts(self) -> &'static Facts {
        &FACTS[self as usize]
    }

    /// The long option that names it: `mount`, `net` ...
    pub fn option(self) -> &'static str {
        self.facts().option
    }

    /// The short option that names it: `m`, `n` ...
    pub fn letter(self) -> char {
        self.facts().letter
    }

    /// Its link below `/proc/PID/ns`, which is also what lsns(8) calls it: `mnt`, `net` ...
    pub fn proc_name(self) -> &'static str {
        self.facts().proc
    }

    /// Its link below `/proc/PID/ns` for what children will be in: only pid and time differ from the process.
    pub fn proc_name_for_children(self) -> &'static str {
        match self {
            Self::Pid => "pid_for_children",
            Self::Time => "time_for_children",
            _ => self.proc_name(),
        }
    }

    /// Its flag for unshare(2), setns(2) and clone3(2).
    pub fn flag(self) -> CloneFlags {
        self.facts().flag
    }

    /// The name of that flag.
    pub fn flag_name(self) -> &'static str {
        self.facts().flag_name
    }

    /// The manual page.
    pub fn man(self) -> &'static str {
        self.facts().man
    }

    /// The first kernel that has it.
    pub fn since(self) -> &'static str {
        self.facts().since
    }

    /// The inode number of the namespace that a kernel starts with, where that is fixed (`PROC_*_INIT_INO`,
    /// linux/proc_ns.h); for network and mounts it is so since Linux 6.18 only.
    pub fn first(self) -> Option<u64> {
        self.facts().first
    }

    /// What a process has of its own in a new one.
    pub fn gives(self) -> &'static str {
        self.facts().gives
    }

    /// What happens to a program without one of its own.
    pub fn without(self) -> &'static str {
        self.facts().without
    }

    /// The kind that lsns(8) and `/proc/PID/ns` call `name`.
    pub fn from_proc_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.proc_name() == name)
    }
}

/// The flags of several kinds together.
pub fn flags(kinds: &[Kind]) -> CloneFlags {
    kinds
        .iter()
        .fold(CloneFlags::empty(), |flags, kind| flags | kind.flag())
}

/// The kinds whose flag is in `flags`, in the order of [`Kind::ALL`].
pub fn kinds(flags: CloneFlags) -> Vec<Kind> {
    Kind::ALL
        .into_iter()
        .filter(|kind| flags.contains(kind.flag()))
        .collect()
}

/// The flags by name, as a C program would write them: `CLONE_NEWNS|CLONE_NEWPID`.
///
/// ```
/// use isobox::namespace::{Kind, flag_names, flags};
/// assert_eq!(flag_names(flags(&[Kind::Pid, Kind::Mount])), "CLONE_NEWPID|CLONE_NEWNS");
/// ```
pub fn flag_names(flags: CloneFlags) -> String {
    kinds(flags)
        .into_iter()
        .map(Kind::flag_name)
        .collect::<Vec<_>>()
        .join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_letters_are_unique() {
        for (i, a) in Kind::ALL.into_iter().enumerate() {
            for b in &Kind::ALL[i + 1..] {
                assert!(
                    a.letter() != b.letter()
                        && a.option() != b.option()
                        && !a.flag().intersects(b.flag())
                );
            }
            assert_eq!(Kind::from_proc_name(a.proc_name()), Some(a));
        }
    }
}
