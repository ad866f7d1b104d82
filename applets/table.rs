//! The one list of applets.
//!
//! To add an applet: its file, a line here, its tests.

use argh::{ArgsInfo, SubCommand};

use isobox::order;

use crate::cli::{Applet, Entry};

/// Declares the modules of the applets and the table of them. A line is
/// `"file" module: status of wrong usage, manual section, [Args types...];`.
macro_rules! applets {
    ($($(#[$only:meta])* $file:literal $module:ident: $status:literal, $section:literal, $args:tt;)+) => {
        $($(#[$only])* #[path = $file] mod $module;)+
        /// The applets of each file.
        const FILES: &[&[Entry]] = &[$($(#[$only])* entries!($module, $status, $section, $args),)+];
    };
}

/// The table entries of one file.
macro_rules! entries {
    ($module:ident, $status:literal, $section:literal, [$($args:ident),+]) => {
        &[$(entry::<$module::$args>($status, $section),)+]
    };
}

applets! {
    #[cfg(feature = "cgroup")]
    "cg.rs" cg: 1, 8, [Args];
    #[cfg(feature = "cgroup")]
    "cgexec.rs" cgexec: 125, 1, [Args];
    "chroot.rs" chroot: 125, 1, [Args];
    #[cfg(feature = "oci")]
    "container.rs" container: 125, 1, [Args];
    #[cfg(feature = "oci")]
    "doctor.rs" doctor: 2, 8, [Args];
    #[cfg(feature = "cgroup")]
    "libcgroup.rs" libcgroup: 96, 1, [Create, SetParameters, Get, Delete, Classify, List];
    #[cfg(feature = "net")]
    "ip.rs" ip: 255, 8, [Args];
    "lsns.rs" lsns: 1, 8, [Args];
    #[cfg(feature = "image")]
    "mkrootfs.rs" mkrootfs: 1, 1, [Args];
    #[cfg(feature = "net")]
    "nat.rs" nat: 1, 8, [Args];
    "nsenter.rs" nsenter: 1, 1, [Args];
    "pid1.rs" pid1: 125, 1, [Args];
    "pivot.rs" pivot: 1, 8, [Args];
    "pivot_root.rs" pivot_root: 1, 8, [Args];
    #[cfg(feature = "image")]
    "rdinit.rs" rdinit: 1, 8, [Args];
    #[cfg(feature = "pull")]
    "pull.rs" pull: 1, 1, [Args];
    #[cfg(feature = "oci")]
    "runc.rs" runc: 1, 8, [Args];
    #[cfg(feature = "oci")]
    "selftest.rs" selftest: 2, 8, [Args];
    "setpriv.rs" setpriv: 1, 1, [Args];
    "switch_root.rs" switch_root: 1, 8, [Args];
    "unshare.rs" unshare: 1, 1, [Args];
    #[cfg(feature = "net")]
    "veth.rs" veth: 1, 8, [Args];
}

const fn entry<T: Applet + SubCommand + ArgsInfo>(usage_status: u8, section: u8) -> Entry {
    Entry {
        name: T::COMMAND.name,
        usage_status,
        section,
        info: T::get_args_info,
        run: T::launch,
    }
}

/// Every applet, by name, as they are shown.
pub(crate) fn sorted() -> Vec<&'static Entry> {
    let mut applets: Vec<&Entry> = all().collect();
    order::sort_by_key(&mut applets, |entry| entry.name);
    applets
}

/// Every applet, in the order of the list.
pub(crate) fn all() -> impl Iterator<Item = &'static Entry> {
    FILES.iter().copied().flatten()
}

/// The applet of this name.
pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    all().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::front::BOX;
    use crate::cli::{gnu, help, man};
    use argh::{CommandInfoWithArgs, FlagInfoKind};
    use std::collections::HashSet;

    /// A description: a phrase in lower case, without a full stop, in plain ASCII.
    fn is_phrase(text: &str) -> bool {
        let lower = |c: char| !c.is_uppercase();
        // A name such as UTS may start one.
        let name = text.split(' ').next().unwrap_or_default();
        !text.is_empty()
            && text.is_ascii()
            && !text.ends_with('.')
            && text == text.trim()
            && (text.starts_with(lower) || name.chars().skip(1).any(char::is_uppercase))
    }

    /// What help, completions and the parser understand: `file`, `[=file]`, `[file]`, `allow|deny`, and `[]`.
    fn is_value_name(name: &str) -> bool {
        let inner = name
            .strip_prefix('[')
            .and_then(|n| n.strip_suffix(']'))
            .map_or(name, |n| n.strip_prefix('=').unwrap_or(n));
        name == "[]"
            || !inner.is_empty()
                && !inner.starts_with('=')
                && inner.is_ascii()
                && !inner.contains([' ', '<', '>'])
    }

    fn check(name: &str, info: &CommandInfoWithArgs) {
        assert!(
            is_phrase(info.description),
            "{name}: {:?}",
            info.description
        );
        let mut names = HashSet::new();
        for flag in info.flags {
            let option = help::option(flag);
            assert!(
                is_phrase(flag.description),
                "{name} {option}: {:?}",
                flag.description
            );
            let long = gnu::long_of(flag);
            assert!(names.insert(long.to_owned()), "{name} {option}: twice");
            if let Some(letter) = flag.short {
                assert!(
                    names.insert(letter.to_string()),
                    "{name} {option}: letter twice"
                );
                // docker run has it so.
                let is_host_name = letter == 'h' && long == "hostname";
                assert!(
                    is_host_name || !"hV".contains(letter),
                    "{name} {option}: the frame's letter"
                );
            }
            assert!(long != "version", "{name} {option}: the frame's option");
            if let FlagInfoKind::Option { arg_name } = flag.kind {
                assert!(
                    is_value_name(arg_name),
                    "{name} {option}: value {arg_name:?}"
                );
            }
        }
        for code in info.error_codes {
            assert!(is_phrase(code.description), "{name}: status {}", code.code);
        }
        for verb in &info.commands {
            check(&format!("{name} {}", verb.name), &verb.command);
        }
        let help = help::text(name, info);
        // argh doubles the braces of a description, not those of an example.
        assert!(!help.contains("{{{"), "{name} --help: {help}");
        for line in help
            .lines()
            .filter(|line| !info.examples.contains(&line.trim_start()))
        {
            assert!(line.len() <= 80, "{name} --help is too wide: {line}");
        }
    }

    #[test]
    fn every_applet_is_well_declared() {
        let mut seen = HashSet::new();
        for entry in all().chain([&BOX]) {
            assert!(
                seen.insert(entry.name),
                "{} is twice in the table",
                entry.name
            );
            assert!(
                matches!(entry.section, 1 | 8),
                "{}: section {}",
                entry.name,
                entry.section
            );
            let mut info = (entry.info)();
            assert_eq!(info.name, entry.name);
            assert!(!info.examples.is_empty(), "{} has no example", entry.name);
            for example in info.examples {
                assert!(example.contains(entry.name), "{}: {example}", entry.name);
            }
            if entry.name == BOX.name {
                info.commands.clear();
            }
            check(entry.name, &info);
        }
    }

    #[test]
    fn every_manual_page_is_roff() {
        for entry in all().chain([&BOX]) {
            let page = man::page(entry);
            assert!(page.is_ascii(), "{}: not ASCII", entry.name);
            for line in page.lines().filter(|line| line.starts_with(['.', '\''])) {
                let request = line.split(' ').next().unwrap_or_default();
                let known = [
                    ".TH", ".nh", ".ad", ".SH", ".SS", ".TP", ".PP", ".BR", ".br", ".EX", ".EE",
                ];
                assert!(known.contains(&request), "{}: {line}", entry.name);
            }
        }
    }

    #[test]
    fn every_applet_is_run_by_a_test() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
        let tests: String = std::fs::read_dir(dir)
            .unwrap()
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        for entry in all() {
            let run = [format!("\"{} ", entry.name), format!(" {} ", entry.name)];
            assert!(
                run.iter().any(|run| tests.contains(run)),
                "no line of tests/*.rs runs {}",
                entry.name
            );
        }
    }
}
