//! The one list of applets.
//!
//! To add an applet: its file, a line here, its tests.

use argh::{ArgsInfo, SubCommand};

use crate::cli::{Applet, Entry, launch};

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
    "unshare.rs" unshare: 1, 1, [Args];
}

const fn entry<T: Applet + SubCommand + ArgsInfo>(usage_status: u8, section: u8) -> Entry {
    Entry {
        name: T::COMMAND.name,
        usage_status,
        section,
        info: T::get_args_info,
        run: launch::<T>,
    }
}

/// Every applet, in the order of the list.
pub(crate) fn all() -> impl Iterator<Item = &'static Entry> {
    FILES.iter().copied().flatten()
}

/// The applet of this name.
pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    all().find(|entry| entry.name == name)
}
