//! `--device`: devices of the host that a container may use.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use isobox::capability::Capability;
use isobox::device_rules::Access;
use isobox::error::{Doing, Error, Result};
use isobox::namespace::Kind;
use isobox::oci::spec::{Device, DeviceRule, Required};
use isobox::oci::{Mount, Spec};
use nix::libc;

/// `SRC[:DST][:rwm]`: a device of the host, or all below a directory.
pub(super) fn allow(spec: &mut Spec, text: &OsStr) -> Result<()> {
    let bad = |why: &'static str| Error::new("invalid device").on(text).because(why);
    let fields: Vec<&OsStr> = text
        .as_bytes()
        .split(|b| *b == b':')
        .map(OsStr::from_bytes)
        .collect();
    fn letters(word: &OsStr) -> Option<&str> {
        word.to_str().filter(|word| Access::parse(word).is_some())
    }
    let (source, target, access) = match fields[..] {
        [source] => (source, source, "rwm"),
        [source, word] => match letters(word) {
            Some(access) => (source, source, access),
            None => (source, word, "rwm"),
        },
        [source, target, word] => {
            let access =
                letters(word).ok_or_else(|| bad("r, w and m are the letters there are"))?;
            (source, target, access)
        }
        _ => return Err(bad("SRC[:DST][:rwm] is expected")),
    };
    if !Path::new(source).is_absolute() || !Path::new(target).is_absolute() {
        return Err(bad("absolute paths are expected"));
    }
    let mut found = Vec::new();
    below(Path::new(source), Path::new(target), &mut found)?;
    if found.is_empty() {
        return Err(Error::new("no device:").on(source));
    }
    found
        .into_iter()
        .try_for_each(|(at, target)| add(spec, &at, target, access))
}

/// The devices at a path, or below it where it is a directory, and what they are called inside.
fn below(source: &Path, target: &Path, found: &mut Vec<(PathBuf, PathBuf)>) -> Result<()> {
    let stat = fs::metadata(source).doing_to("cannot look at", source)?;
    let kind = stat.file_type();
    if kind.is_char_device() || kind.is_block_device() {
        found.push((source.into(), target.into()));
    } else if kind.is_dir() {
        for entry in fs::read_dir(source).doing_to("cannot read", source)? {
            let name = entry.doing_to("cannot read", source)?.file_name();
            below(&source.join(&name), &target.join(&name), found)?;
        }
    }
    Ok(())
}

fn add(spec: &mut Spec, source: &Path, target: PathBuf, access: &str) -> Result<()> {
    if spec.linux.makes(Kind::User) {
        // It can make none there, but can be shown the host's own.
        if Access::parse(access) != Access::parse("rwm") {
            return Err(Error::new("cannot limit what may be done with the device")
                .on(source)
                .because("an ordinary user's container has the permissions of the device itself"));
        }
        spec.mounts.push(Mount {
            destination: target,
            kind: "none".into(),
            source: source.into(),
            options: ["bind", "nosuid", "noexec"].map(Into::into).into(),
            ..Mount::default()
        });
        return Ok(());
    }
    let stat = fs::metadata(source).doing_to("cannot look at", source)?;
    let kind = if stat.file_type().is_block_device() {
        "b"
    } else {
        "c"
    };
    let (major, minor) = (libc::major(stat.rdev()), libc::minor(stat.rdev()));
    spec.linux.devices.push(Device {
        kind: kind.into(),
        path: target,
        major: major.into(),
        minor: minor.into(),
        file_mode: Some(stat.mode() & 0o777),
        uid: Some(stat.uid()),
        gid: Some(stat.gid()),
    });
    spec.linux.resources.devices.push(DeviceRule {
        allow: Required(true),
        kind: kind.into(),
        major: Some(major.into()),
        minor: Some(minor.into()),
        access: access.into(),
    });
    Ok(())
}

/// A program that can make nodes may use those of all that it could make, but for what is said here.
pub(super) fn guard(spec: &mut Spec) {
    let makes = Capability::named("mknod")
        .is_some_and(|cap| spec.process.capabilities.bounding.set.has(cap));
    if makes && !spec.linux.makes(Kind::User) {
        spec.linux
            .resources
            .devices
            .insert(0, DeviceRule::default());
    }
}
