//! The config.json of a bundle.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{BorrowedFd, OwnedFd};

use isobox::accounts::Accounts;
use isobox::decimal::decimal;
use isobox::error::{Doing, Error, Result};
use isobox::idmap::{Ids, Range};
use isobox::image::config::Execution;
use isobox::oci::of_image::{bundle_root, spec};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{getegid, geteuid};

/// Writes it: the program that the image names in the default profile, and for an ordinary user in a user namespace with
/// the ids that the tree was made with.
pub(super) fn write_config(
    image: &Execution,
    bundle: BorrowedFd<'_>,
    rootfs: OwnedFd,
) -> Result<()> {
    let spec = spec(
        image,
        bundle_root(),
        &mut Accounts::of_root(rootfs),
        maps()?,
    )?;
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    let file = openat(
        bundle,
        "config.json",
        flags,
        Mode::from_bits_truncate(0o644),
    );
    let mut file = File::from(file.doing("cannot make config.json")?);
    file.write_all(spec.to_json()?.as_bytes())
        .doing("cannot write config.json")
}

/// The maps of our own user namespace, unless that is the first one and we are root in it.
fn maps() -> Result<Option<[Vec<Range>; 2]>> {
    if !geteuid().is_root() {
        let own = |outside| {
            vec![Range {
                inside: 0,
                outside,
                count: 1,
            }]
        };
        return Ok(Some([own(geteuid().as_raw()), own(getegid().as_raw())]));
    }
    let (users, groups) = (map(Ids::User)?, map(Ids::Group)?);
    let is_first = matches!(
        users[..],
        [Range {
            inside: 0,
            outside: 0,
            count: u32::MAX
        }]
    );
    Ok((!is_first).then_some([users, groups]))
}

fn map(ids: Ids) -> Result<Vec<Range>> {
    let path = format!("/proc/self/{}", ids.file());
    let text = fs::read_to_string(&path).doing_to("cannot read", &path)?;
    let range = |line: &str| -> Option<Range> {
        let mut numbers = line.split_whitespace().map(decimal);
        Some(Range {
            inside: numbers.next()??,
            outside: numbers.next()??,
            count: numbers.next()??,
        })
    };
    let ranges: Option<Vec<Range>> = text.lines().map(range).collect();
    ranges.ok_or_else(|| Error::new("cannot understand").on(&path))
}
