//! An applet that makes files of many owners, run by an ordinary user: it starts over in a user namespace of its own, in
//! which the ids that `/etc/subuid` and `/etc/subgid` give him exist, and he is root.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::{env, fs};

use isobox::error::Result;
use isobox::idmap::Ids;
use isobox::subid::first_block;
use nix::unistd::geteuid;

use super::{Exit, say};
use crate::table;

/// Runs this command line again where the caller's subordinate ids are mapped, and gives how that ended. `None` where
/// it is to go on as it is: as root, or where there are no such ids, which a note says.
///
/// # Errors
/// Where the namespace cannot be made although the ids are there.
pub(crate) fn with_subordinate_ids(applet: &str) -> Result<Option<Exit>> {
    if geteuid().is_root() {
        return Ok(None);
    }
    let (Some(args), Some(unshare)) = (own_arguments(applet), table::find("unshare")) else {
        return Ok(None);
    };
    if let Some(lack) = lack() {
        say(&format!(
            "note: {lack}: there is one id to give files to, yours. What belongs to others in the image belongs to you in the tree\n"
        ));
        return Ok(None);
    }
    let mut words: Vec<OsString> = ["--map-root-user", "--map-auto", "--", applet]
        .iter()
        .map(OsString::from)
        .collect();
    words.extend(args);
    (unshare.run)(unshare, &words).map(Some)
}

/// What is missing to map subordinate ids.
pub(crate) fn lack() -> Option<String> {
    for ids in [Ids::User, Ids::Group] {
        if first_block(ids).is_err() {
            return Some(format!("{} has no line for you", ids.database()));
        }
        let path = env::var_os("PATH").unwrap_or_default();
        if !env::split_paths(&path).any(|dir| dir.join(ids.mapper()).exists()) {
            return Some(format!("{} is not installed", ids.mapper()));
        }
    }
    None
}

/// The words behind the applet's name on our own command line.
fn own_arguments(applet: &str) -> Option<Vec<OsString>> {
    let line = fs::read("/proc/self/cmdline").ok()?;
    let mut words = line
        .strip_suffix(b"\0")?
        .split(|b| *b == 0)
        .map(|word| OsString::from_vec(word.to_vec()));
    let name = words.next()?;
    let base = name.as_bytes().rsplit(|b| *b == b'/').next()?;
    // As `isobox APPLET` it is the second word.
    if base != applet.as_bytes() && words.next()? != applet {
        return None;
    }
    Some(words.collect())
}
