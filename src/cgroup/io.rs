//! Which device an io limit is about: the whole disk, by number (cgroup-v2.rst, "IO").

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use nix::libc::{major, minor};

use super::Setting;
use super::value::{Limit, bytes};
use crate::error::{Doing, Error, Result};

/// `io.max` for a limit as people write it: `DEVICE:rbps=1M,wiops=100`. The device is a number (`8:0`), a device
/// file, or any path on a file system: that one's disk.
///
/// # Errors
/// For another form, a key that is none, and a path that no disk lies under (tmpfs, say).
pub fn limit(typed: &str) -> Result<Setting> {
    let (device, limits) = typed
        .rsplit_once(':')
        .filter(|(device, limits)| !device.is_empty() && limits.contains('='))
        .ok_or_else(|| {
            Error::new("not a limit of io")
                .on(typed)
                .because("write DEVICE:rbps=1M, with rbps, wbps, riops, wiops")
        })?;
    let device = if is_number(device) {
        device.to_owned()
    } else {
        disk_of(Path::new(device))?
    };
    let mut value = device;
    for limit in limits.split(',') {
        let (key, amount) = limit.split_once('=').unwrap_or((limit, ""));
        if !matches!(key, "rbps" | "wbps" | "riops" | "wiops") {
            return Err(Error::new("not a limit of io")
                .on(limit)
                .because("rbps, wbps, riops or wiops"));
        }
        let amount = match bytes(amount)? {
            Limit::Max => "max".into(),
            Limit::At(n) => n.to_string(),
        };
        value.push_str(&format!(" {key}={amount}"));
    }
    Ok(Setting::new("io.max", value))
}

fn is_number(device: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    device
        .split_once(':')
        .is_some_and(|(major, minor)| number(major) && number(minor))
}

/// The whole disk that a path lies on, or that a device file names, as `MAJOR:MINOR`. Limits are kept by disks, and
/// a partition's number is refused with ENODEV.
///
/// # Errors
/// Where the path is not there, and where no disk is behind it.
pub fn disk_of(path: &Path) -> Result<String> {
    let meta = fs::metadata(path).doing_to("cannot stat", path)?;
    let device = if meta.file_type().is_block_device() {
        meta.rdev()
    } else {
        meta.dev()
    };
    let number = format!("{}:{}", major(device), minor(device));
    let sys = Path::new("/sys/dev/block").join(&number);
    if !sys.exists() {
        return Err(Error::new("no disk is behind")
            .on(path)
            .because("its file system has no block device of its own"));
    }
    if !sys.join("partition").exists() {
        return Ok(number);
    }
    // A partition's directory lies in that of its disk. The path goes through a link, so `..` is asked of the kernel.
    let disk = sys.join("../dev");
    let disk = fs::read_to_string(&disk).doing_to("cannot read", &disk)?;
    Ok(disk.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        let setting = limit("8:0:rbps=1M,wiops=max").unwrap();
        assert_eq!(
            (&*setting.name, &*setting.value),
            ("io.max", "8:0 rbps=1048576 wiops=max")
        );
        for wrong in [
            "8:0",
            "8:0:fast=1",
            "8:0:rbps",
            ":rbps=1",
            "/nowhere:rbps=1",
        ] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
    }
}
