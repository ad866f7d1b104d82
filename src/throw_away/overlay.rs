//! An overlay of layers as the kernel at hand takes it (Documentation/filesystems/overlayfs.rst).

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use nix::sys::utsname::uname;

use crate::decimal::decimal;
use crate::mount::detached_copy;
use crate::sys::mount::{attr, fsconfig_set, fsmount, fsopen};

/// Mounts an overlay of these layers, the topmost first. What is written goes to the two directories behind `written`,
/// by their names from the working directory.
pub(super) fn overlay(
    layers: &[impl AsRef<Path>],
    written: [&str; 2],
    user_attributes: bool,
    attributes: u64,
) -> Result<OwnedFd, Errno> {
    if kernel_is_before(6, 8) {
        return overlay_by_mount(layers, written, user_attributes, attributes);
    }
    let context = fsopen(c"overlay")?;
    let set = |key, value: &[u8]| {
        let value = CString::new(value).map_err(|_| Errno::EINVAL)?;
        fsconfig_set(context.as_fd(), key, Some(&value))
    };
    set(c"source", b"overlay")?;
    for layer in layers {
        set(c"lowerdir+", layer.as_ref().as_os_str().as_bytes())?;
    }
    set(c"upperdir", written[0].as_bytes())?;
    set(c"workdir", written[1].as_bytes())?;
    // What is written stands for itself, as in a layer of an image.
    set(c"redirect_dir", b"nofollow")?;
    set(c"metacopy", b"off")?;
    if user_attributes {
        fsconfig_set(context.as_fd(), c"userxattr", None)?;
    }
    fsmount(context.as_fd(), attributes)
}

/// The same where one option names all layers, which may be longer than fsconfig(2) takes: by mount(2), where nothing is
/// shown of.
fn overlay_by_mount(
    layers: &[impl AsRef<Path>],
    [upper, work]: [&str; 2],
    user_attributes: bool,
    attributes: u64,
) -> Result<OwnedFd, Errno> {
    let layers: Vec<_> = layers.iter().map(|layer| escaped(layer.as_ref())).collect();
    let mut data = b"lowerdir=".to_vec();
    data.extend(layers.join(&b':'));
    for (key, value) in [(",upperdir=", upper), (",workdir=", work)] {
        data.extend(key.bytes().chain(value.bytes()));
    }
    data.extend(b",redirect_dir=nofollow,metacopy=off");
    if user_attributes {
        data.extend(b",userxattr");
    }
    let flags = match attributes & attr::NODEV {
        0 => MsFlags::empty(),
        _ => MsFlags::MS_NODEV,
    };
    let (data, overlay) = (OsStr::from_bytes(&data), Some("overlay"));
    let attach = |place| mount(overlay, place, overlay, flags, Some(data)).map(|()| place);
    let place = attach("/sys").or_else(|_| attach("/dev"))?;
    let attached = open(place, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
    let copy = attached.and_then(|mount| detached_copy(mount.as_fd(), false));
    umount2(place, MntFlags::MNT_DETACH).and(copy)
}

/// Whether this Linux is older than that one.
pub(crate) fn kernel_is_before(major: u32, minor: u32) -> bool {
    uname().is_ok_and(|uname| release(uname.release()) < (major, minor))
}

/// The first two numbers of the name of a Linux.
fn release(name: &OsStr) -> (u32, u32) {
    let mut numbers = name
        .as_bytes()
        .split(|b| !b.is_ascii_digit())
        .map(decimal::<u32>);
    let mut next = || numbers.next().flatten().unwrap_or(0);
    (next(), next())
}

/// A layer's path as the option wants it: a colon would start another layer.
fn escaped(path: &Path) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.as_os_str().len());
    for byte in path.as_os_str().as_bytes() {
        if b":\\,".contains(byte) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::release;

    #[test]
    fn releases_are_told_apart() {
        for (name, want) in [
            ("5.18.0-amd64", (5, 18)),
            ("5.4", (5, 4)),
            ("6.8-rc1", (6, 8)),
            ("6.1.0-13-amd64", (6, 1)),
            ("10.0", (10, 0)),
            ("", (0, 0)),
        ] {
            assert_eq!(release(name.as_ref()), want, "{name}");
        }
    }
}
