//! Owner, mode, attributes and times of what was made. The order is the kernel's: chown(2) clears set-id bits and file
//! capabilities, so it comes first; setting an attribute changes no mode; the times come last.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FchmodatFlags, Mode, UtimensatFlags, fchmod, fchmodat, utimensat};
use nix::unistd::{Gid, Uid, fchown, fchownat, getegid, geteuid};

use super::directories::{Level, Times};
use super::report::{Reason, Report};
use crate::sys::xattr;
use crate::tar::{Kind, Member};

/// Set-user-ID, set-group-ID, sticky.
const SPECIAL: u32 = 0o7000;
/// The bits that give away somebody's rights.
const SET_ID: u32 = 0o6000;

/// What overlayfs keeps its notes in.
const OVERLAY: &[u8] = b"user.overlay.";

/// Who makes the tree, and so what of owners it can have.
pub(super) struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    pub(super) fn of_this_process() -> Self {
        Self {
            uid: geteuid().as_raw(),
            gid: getegid().as_raw(),
        }
    }

    fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Whether a new file has its owner already. The group may be the directory's, where that has the set-group-ID bit
    /// or the file system is mounted so.
    fn is_right(&self, member: &Member, directory_gid: u32) -> bool {
        member.uid == self.uid && member.gid == self.gid && directory_gid == self.gid
    }

    /// Gives it to whom it belongs, and says with which mode it is left.
    fn give(
        &self,
        member: &Member,
        report: &mut Report,
        chown: &mut dyn FnMut(Option<Uid>, Option<Gid>) -> Result<(), Errno>,
    ) -> Result<u32, Errno> {
        let given = if self.is_root() {
            chown(
                Some(Uid::from_raw(member.uid)),
                Some(Gid::from_raw(member.gid)),
            )
        } else if member.uid == 0 && member.gid == 0 {
            // One id is all there is, and root's files are this user's own without more words.
            return Ok(self.without_set_id(member, report));
        } else {
            Err(Errno::EPERM)
        };
        match given {
            Ok(()) => Ok(member.mode),
            // The id has no place in this user namespace.
            Err(Errno::EPERM | Errno::EINVAL) => {
                report.count(Reason::Owner, &member.path);
                Ok(self.without_set_id(member, report))
            }
            Err(errno) => Err(errno),
        }
    }

    fn without_set_id(&self, member: &Member, report: &mut Report) -> u32 {
        let is_file = !matches!(member.kind, Kind::Directory | Kind::Symlink);
        if !is_file || member.mode & SET_ID == 0 {
            return member.mode;
        }
        report.count(Reason::SetId, &member.path);
        member.mode & !SET_ID
    }

    /// A file that was just made, with the mode that it has without set-id bits.
    pub(super) fn finish_file(
        &self,
        fd: BorrowedFd<'_>,
        directory_gid: u32,
        member: &Member,
        times: Times,
        report: &mut Report,
    ) -> Result<(), Errno> {
        let mut mode = member.mode;
        if !self.is_right(member, directory_gid) {
            mode = self.give(member, report, &mut |uid, gid| fchown(fd, uid, gid))?;
        }
        if mode & SPECIAL != 0 {
            fchmod(fd, Mode::from_bits_truncate(mode))?;
        }
        set_attributes(fd, member, report)?;
        times.set(fd)
    }

    /// The directory that was entered.
    pub(super) fn finish_directory(
        &self,
        level: &mut Level,
        is_new: bool,
        member: &Member,
        report: &mut Report,
    ) -> Result<(), Errno> {
        let mut mode = member.mode;
        if !is_new {
            clear_attributes(level.fd.as_fd())?;
        }
        if !is_new || !self.is_right(member, level.gid) {
            mode = self.give(member, report, &mut |uid, gid| match (uid, gid) {
                (Some(uid), Some(gid)) => level.give_to(uid.as_raw(), gid.as_raw()),
                _ => Ok(()),
            })?;
        }
        let mode = Mode::from_bits_truncate(mode);
        if self.is_root() || mode.contains(Mode::S_IRWXU) {
            fchmod(&level.fd, mode)?;
        } else {
            // Whoever has only one id must not be kept out while there is something to be put into it.
            level.leave_with_mode(mode);
        }
        set_attributes(level.fd.as_fd(), member, report)
    }

    /// What was made under `name` without being opened.
    pub(super) fn finish_by_name(
        &self,
        dir: &Level,
        name: &OsStr,
        member: &Member,
        times: Times,
        report: &mut Report,
    ) -> Result<(), Errno> {
        let mut mode = member.mode;
        if !self.is_right(member, dir.gid) {
            let flag = AtFlags::AT_SYMLINK_NOFOLLOW;
            mode = self.give(member, report, &mut |uid, gid| {
                fchownat(&dir.fd, name, uid, gid, flag)
            })?;
        }
        if mode & SPECIAL != 0 && member.kind != Kind::Symlink {
            let mode = Mode::from_bits_truncate(mode);
            fchmodat(&dir.fd, name, mode, FchmodatFlags::NoFollowSymlink)?;
        }
        for _ in &member.xattrs {
            report.count(Reason::AttributeLeftOut, &member.path);
        }
        utimensat(
            &dir.fd,
            name,
            &times.atime,
            &times.mtime,
            UtimensatFlags::NoFollowSymlink,
        )
    }
}

/// Whether an image may have this attribute. Of all that the kernel gives a meaning to, file capabilities are the only
/// one; overlayfs's would forge deletions and redirections where the tree becomes a lower layer.
pub(super) fn is_allowed(name: &[u8], value: &[u8]) -> bool {
    match name {
        b"security.capability" => matches!(
            (value.len(), value.get(3)),
            // Revisions 2 and 3 of struct vfs_cap_data, little endian (linux/capability.h).
            (20, Some(2)) | (24, Some(3))
        ),
        _ => name.starts_with(b"user.") && !name.starts_with(OVERLAY),
    }
}

fn set_attributes(fd: BorrowedFd<'_>, member: &Member, report: &mut Report) -> Result<(), Errno> {
    for (name, value) in &member.xattrs {
        let c_name = CString::new(name.as_slice()).map_err(|_| Errno::EINVAL)?;
        if !is_allowed(name, value) {
            report.count(Reason::AttributeLeftOut, &member.path);
            continue;
        }
        match xattr::set(fd, &c_name, value) {
            Err(
                Errno::EOPNOTSUPP | Errno::EPERM | Errno::EINVAL | Errno::ERANGE | Errno::E2BIG,
            ) => {
                report.count(Reason::AttributeRefused, &member.path);
            }
            other => other?,
        }
    }
    Ok(())
}

/// A directory that a lower layer made has only the attributes of the new one.
fn clear_attributes(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let names = match xattr::list(fd) {
        Err(Errno::EOPNOTSUPP) => return Ok(()),
        other => other?,
    };
    for name in names.split_inclusive(|b| *b == 0) {
        if let Ok(name) = std::ffi::CStr::from_bytes_with_nul(name)
            && name.to_bytes().starts_with(b"user.")
            && !name.to_bytes().starts_with(OVERLAY)
        {
            xattr::remove(fd, name)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_attributes_are_taken() {
        let capability = |revision: u8, length| {
            let mut value = vec![0; length];
            if let Some(byte) = value.get_mut(3) {
                *byte = revision;
            }
            value
        };
        let cases: [(&[u8], Vec<u8>, bool); 12] = [
            (b"user.comment", b"x".to_vec(), true),
            (b"security.capability", capability(2, 20), true),
            (b"security.capability", capability(3, 24), true),
            (b"security.capability", capability(2, 24), false),
            (b"security.capability", capability(1, 12), false),
            (b"security.capability", Vec::new(), false),
            (b"security.selinux", b"x".to_vec(), false),
            (b"trusted.overlay.opaque", b"y".to_vec(), false),
            (b"user.overlay.redirect", b"/".to_vec(), false),
            (b"trusted.x", b"y".to_vec(), false),
            (b"system.posix_acl_access", b"y".to_vec(), false),
            (b"user", b"y".to_vec(), false),
        ];
        for (name, value, want) in cases {
            assert_eq!(is_allowed(name, &value), want, "{}", name.escape_ascii());
        }
    }
}
