//! What `setpriv --dump` and the options that list say, in the words of util-linux.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use isobox::capability::{self, Set};
use isobox::error::{Doing, Error, Result};
use isobox::landlock::{self, Area};
use isobox::process::signal_word;
use isobox::securebits;
use isobox::sys::landlock::{About, ask};
use isobox::sys::{caps, task};
use nix::libc;
use nix::unistd::{getgroups, getresgid, getresuid};

/// The privileges of this process; level 2 adds two sets, level 3 the saved ids.
pub(super) fn state(level: u8) -> Result<String> {
    let (users, groups) = (
        getresuid().doing("getresuid failed")?,
        getresgid().doing("getresgid failed")?,
    );
    let mut out = format!("uid: {}\neuid: {}\n", users.real, users.effective);
    if level >= 3 {
        let _ = writeln!(out, "suid: {}", users.saved);
    }
    let _ = write!(out, "gid: {}\negid: {}\n", groups.real, groups.effective);
    if level >= 3 {
        let _ = writeln!(out, "sgid: {}", groups.saved);
    }
    let supplementary = getgroups().doing("getgroups failed")?;
    let supplementary: Vec<String> = supplementary.iter().map(ToString::to_string).collect();
    let no_new_privs = task::prctl(libc::PR_GET_NO_NEW_PRIVS, [0; 4]).unwrap_or(0);
    let _ = writeln!(
        out,
        "Supplementary groups: {}\nno_new_privs: {no_new_privs}",
        or_none(&supplementary.join(","))
    );
    let sets = caps::get().doing("get process capabilities failed")?;
    let all = Set::all().0;
    if level >= 2 {
        let (effective, permitted) = (Set(sets.effective & all), Set(sets.permitted & all));
        let _ = write!(
            out,
            "Effective capabilities: {effective}\nPermitted capabilities: {permitted}\n"
        );
    }
    let bits = task::prctl(libc::PR_GET_SECUREBITS, [0; 4]);
    let bits = u32::try_from(bits.doing("getting process secure bits failed")?).unwrap_or(0);
    let signal = task::parent_death_signal().doing("failed to get parent death signal")?;
    let _ = writeln!(
        out,
        "Inheritable capabilities: {}\nAmbient capabilities: {}\nCapability bounding set: {}\nSecurebits: {}\nParent death signal: {}",
        Set(sets.inheritable & all),
        capability::ambient(),
        capability::bounding(),
        securebits::names(bits),
        shown_signal(signal),
    );
    label(&mut out, "SELinux label", "/sys/fs/selinux");
    label(
        &mut out,
        "AppArmor profile",
        "/sys/kernel/security/apparmor",
    );
    Ok(out)
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "[none]" } else { text }
}

/// Realtime signals have no names here: setpriv(1) writes their numbers.
fn shown_signal(signal: i32) -> String {
    match signal {
        0 => "[none]".into(),
        1..=31 => signal_word(signal),
        _ => signal.to_string(),
    }
}

/// The label of a security module, where that module is there.
fn label(out: &mut String, name: &str, module: &str) {
    if Path::new(module).exists() {
        let label = fs::read("/proc/self/attr/current").unwrap_or_default();
        let label = String::from_utf8_lossy(&label);
        let _ = writeln!(out, "{name}: {}", label.trim_end_matches(['\n', '\0']));
    }
}

/// Every capability of this kernel, a line each.
pub(super) fn capabilities() -> String {
    Set::all().iter().map(|cap| format!("{cap}\n")).collect()
}

/// What this kernel's Landlock can do.
pub(super) fn landlock_support() -> Result<String> {
    let version = landlock::version()?;
    // Kernels before 6.15 do not tell.
    let errata = ask(About::Errata).unwrap_or(0);
    let errata: String = (0..32)
        .filter(|bit| errata & (1 << bit) != 0)
        .map(|bit| format!(" {}", bit + 1))
        .collect();
    let mut out = format!("ABI version: {version}\nABI errata:{errata}\naccess:");
    let mut lines = String::new();
    for area in Area::ALL {
        let rights = area.names(landlock::supported(area)?);
        if rights.is_empty() {
            continue;
        }
        let (name, rights) = (area.name(), rights.join(" "));
        let _ = write!(out, " {name}");
        let _ = match area {
            Area::Fs => write!(lines, "fs rights: {rights}\nfs rules: path-beneath\n"),
            Area::Net => write!(lines, "net rights: {rights}\nnet rules: net-port\n"),
            Area::Scope => writeln!(lines, "scope restrictions: {rights}"),
        };
    }
    Ok(format!("{out}\n{lines}"))
}

/// The kinds of access that this kernel's Landlock can take away, a line each.
pub(super) fn landlock_areas() -> Result<String> {
    let mut out = String::new();
    for area in Area::ALL {
        if landlock::supported(area)? != 0 {
            let _ = writeln!(out, "{}", area.name());
        }
    }
    Ok(out)
}

/// The rights of one kind, a line each.
pub(super) fn landlock_rights(name: &OsStr) -> Result<String> {
    let area = Area::ALL.into_iter().find(|area| name == area.name());
    let area = area.ok_or_else(|| Error::new("unknown Landlock access:").on(name))?;
    let rights = area.names(landlock::supported(area)?);
    Ok(rights.iter().map(|right| format!("{right}\n")).collect())
}
