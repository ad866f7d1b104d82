//! Capabilities by name, as sets, and as changes of sets (capabilities(7)).
//!
//! Five sets decide what a process may do. `capset(2)` changes three of them (permitted, effective,
//! inheritable), `prctl(2)` the bounding and the ambient set. What a program has after its exec:
//!
//! | program of | permitted and effective |
//! |---|---|
//! | user 0 | bounding, and inheritable |
//! | another user, ordinary file | ambient |
//!
//! so dropping from the bounding set binds user 0, and only the ambient set gives another user anything.

mod change;

use std::fmt;
use std::sync::OnceLock;

use nix::errno::Errno;

use crate::decimal::decimal;
use crate::sys::{caps, task};

pub use change::Change;

/// The names, at their numbers, without `cap_` (linux/capability.h).
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// One capability, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Capability(u8);

impl Capability {
    /// May change groups at will (setgroups(2)).
    pub const SETGID: Self = Self(6);
    /// May change user ids at will.
    pub const SETUID: Self = Self(7);
    /// May drop from the bounding set and change the securebits.
    pub const SETPCAP: Self = Self(8);
    /// May change its root directory.
    pub const SYS_CHROOT: Self = Self(18);
    /// May do nearly everything.
    pub const SYS_ADMIN: Self = Self(21);

    /// From a name (`net_raw`, `CAP_NET_RAW`, any case) or a number (`cap_13`).
    ///
    /// ```
    /// use isobox::capability::Capability;
    /// assert_eq!(Capability::named("CAP_CHOWN"), Capability::named("cap_0"));
    /// assert_eq!(Capability::named("cap_64"), None);
    /// ```
    pub fn named(text: &str) -> Option<Self> {
        let has_prefix = text
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case("cap_"));
        let bare = if has_prefix { &text[4..] } else { text };
        if let Some(at) = NAMES
            .iter()
            .position(|name| name.eq_ignore_ascii_case(bare))
        {
            return u8::try_from(at).ok().map(Self);
        }
        let number = decimal(bare).filter(|_| has_prefix)?;
        (number < 64).then_some(Self(number))
    }

    /// Its bit in a set.
    pub fn bit(self) -> u64 {
        1 << self.0
    }

    /// Its number.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Capability {
    /// The name as setpriv(1) writes it, `cap_N` where it is newer than this program.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.get(usize::from(self.0)) {
            Some(name) => f.write_str(name),
            None => write!(f, "cap_{}", self.0),
        }
    }
}

/// A set of capabilities; bit n is capability number n.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Set(pub u64);

impl Set {
    /// No capability.
    pub const EMPTY: Self = Self(0);

    /// Every capability this kernel knows.
    pub fn all() -> Self {
        Self(u64::MAX >> (63 - last()))
    }

    /// The capabilities in it, in order.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        (0..64)
            .map(Capability)
            .filter(move |cap| self.0 & cap.bit() != 0)
    }

    /// Whether it holds `cap`.
    pub fn has(self, cap: Capability) -> bool {
        self.0 & cap.bit() != 0
    }
}

impl FromIterator<Capability> for Set {
    fn from_iter<I: IntoIterator<Item = Capability>>(all: I) -> Self {
        Self(all.into_iter().fold(0, |set, cap| set | cap.bit()))
    }
}

impl fmt::Display for Set {
    /// `chown,kill`, and `[none]` for none, as setpriv(1) writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("[none]");
        }
        for (at, cap) in self.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{cap}")?;
        }
        Ok(())
    }
}

/// The number of the newest capability of this kernel. Asked of prctl(2), which needs no `/proc`.
pub fn last() -> u8 {
    static LAST: OnceLock<u8> = OnceLock::new();
    let known = |n: u8| task::prctl(libc::PR_CAPBSET_READ, [n.into(), 0, 0, 0]).is_ok();
    *LAST.get_or_init(|| {
        // Nearly always the newest that this program knows of is the kernel's newest: two questions.
        let mut last = u8::try_from(NAMES.len() - 1).unwrap_or(0);
        while last > 0 && !known(last) {
            last -= 1;
        }
        while last < 63 && known(last + 1) {
            last += 1;
        }
        last
    })
}

/// The bounding set, the ambient set: those that capget(2) does not tell.
pub fn bounding() -> Set {
    asked(libc::PR_CAPBSET_READ, |cap| [cap, 0, 0, 0])
}

/// The ambient set (Linux 4.3).
pub fn ambient() -> Set {
    asked(libc::PR_CAP_AMBIENT, |cap| [AMBIENT_IS_SET, cap, 0, 0])
}

/// `PR_CAP_AMBIENT_*` (linux/prctl.h).
const AMBIENT_IS_SET: u64 = 1;
const AMBIENT_RAISE: u64 = 2;
const AMBIENT_LOWER: u64 = 3;
const AMBIENT_CLEAR_ALL: u64 = 4;

fn asked(operation: i32, args: fn(u64) -> [u64; 4]) -> Set {
    let is_set = |cap: &Capability| task::prctl(operation, args(cap.0.into())) == Ok(1);
    (0..=last()).map(Capability).filter(is_set).collect()
}

/// Drops from the bounding set what `change` does not leave in it. The kernel adds nothing to this set, so an
/// addition only says what stays.
///
/// # Errors
/// `EPERM` without `CAP_SETPCAP`, where there is something to drop.
pub fn drop_from_bounding(change: Change) -> Result<(), Errno> {
    let stays = change.of(Set::all());
    for cap in Set(Set::all().0 & !stays.0).iter() {
        let number = cap.0.into();
        match task::prctl(libc::PR_CAPBSET_DROP, [number, 0, 0, 0]) {
            // What is gone already needs no privilege to stay gone.
            Err(Errno::EPERM) if task::prctl(libc::PR_CAPBSET_READ, [number, 0, 0, 0]) == Ok(0) => {
            }
            other => {
                other?;
            }
        }
    }
    Ok(())
}

/// Changes the ambient set.
///
/// # Errors
/// The capability that was refused, with `EPERM` where it is not both permitted and inheritable (or the
/// securebit that forbids it is set). One that was not asked for by its name (`+all`) is left out instead.
pub fn change_ambient(change: Change) -> Result<(), (Capability, Errno)> {
    let ambient = |what: u64, cap: Capability| {
        task::prctl(libc::PR_CAP_AMBIENT, [what, cap.0.into(), 0, 0]).map_err(|e| (cap, e))
    };
    if change.keep & Set::all().0 == 0 {
        ambient(AMBIENT_CLEAR_ALL, Capability(0))?;
    } else {
        for cap in Set(!change.keep & !change.add & Set::all().0).iter() {
            ambient(AMBIENT_LOWER, cap)?;
        }
    }
    for cap in Set(change.add).iter() {
        match ambient(AMBIENT_RAISE, cap) {
            Err((_, Errno::EPERM)) if change.asks_for_all() => {}
            other => {
                other?;
            }
        }
    }
    Ok(())
}

/// Makes these capabilities effective as far as they are permitted, and leaves all else as it is.
///
/// # Errors
/// Those of capset(2).
pub fn raise_effective(wanted: Set) -> Result<(), Errno> {
    let mut sets = caps::get()?;
    let raised = sets.effective | wanted.0 & sets.permitted;
    if raised == sets.effective {
        return Ok(());
    }
    sets.effective = raised;
    caps::set(sets)
}
