//! The machine that programs and libraries are taken from: its root by descriptor, every path looked up below it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::readlinkat;
use nix::libc;

use super::tree::{MAX_LINKS, names, push_front};
use crate::root::Root;
use crate::sys::directory;
use crate::sys::stat::{Place, place};

/// No configuration of a loader is larger.
const MAX_TEXT: u64 = 1 << 20;

/// The root of the host.
#[derive(Debug, Clone, Copy)]
pub struct Host<'fd>(Root<'fd>);

impl<'fd> Host<'fd> {
    /// The host whose root this is.
    pub fn new(root: Root<'fd>) -> Self {
        Self(root)
    }

    /// What stands at `path`; a link as the last name is not followed.
    pub(super) fn look_at(self, path: &Path) -> Result<Place, Errno> {
        let fd = self.0.look_up(path, libc::O_PATH | libc::O_NOFOLLOW)?;
        place(fd.as_fd(), c"")
    }

    /// Where the link at `path` leads.
    pub(super) fn read_link(self, path: &Path) -> Result<OsString, Errno> {
        let fd = self.0.look_up(path, libc::O_PATH | libc::O_NOFOLLOW)?;
        readlinkat(&fd, OsStr::new(""))
    }

    /// Opens the file at `path` for reading.
    ///
    /// # Errors
    /// The kernel's answer; `EINVAL` for what is no regular file (a fifo would keep us waiting).
    pub(super) fn open(self, path: &Path) -> Result<File, Errno> {
        let fd = self.0.look_up(path, libc::O_RDONLY | libc::O_NONBLOCK)?;
        let found = place(fd.as_fd(), c"")?;
        if found.is(libc::S_IFDIR) {
            return Err(Errno::EISDIR);
        }
        if !found.is(libc::S_IFREG) {
            return Err(Errno::EINVAL);
        }
        Ok(fd.into())
    }

    /// The names in a directory; none where it cannot be read.
    pub(super) fn names_in(self, dir: &Path) -> Vec<OsString> {
        let fd = self.0.look_up(dir, libc::O_RDONLY | libc::O_DIRECTORY);
        fd.and_then(|fd| directory::list(fd.as_fd()))
            .unwrap_or_default()
    }

    /// The text of a small file; empty where it is not there or cannot be read.
    pub(super) fn text(self, path: &Path) -> String {
        let mut bytes = Vec::new();
        if let Ok(file) = self.open(path) {
            // What was read before an error counts.
            let _ = file.take(MAX_TEXT).read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The path by which the same file is reached without a link on the way.
    pub(super) fn real(self, path: &Path) -> Result<PathBuf, Errno> {
        let mut left: VecDeque<OsString> = names(path).collect();
        let mut at = PathBuf::new();
        let mut links = 0;
        while let Some(name) = left.pop_front() {
            if name == ".." {
                at.pop();
                continue;
            }
            at.push(&name);
            if self.look_at(&at)?.is(libc::S_IFLNK) {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::ELOOP);
                }
                let target = self.read_link(&at)?;
                at.pop();
                if Path::new(&target).is_absolute() {
                    at.clear();
                }
                push_front(&mut left, &target);
            }
        }
        Ok(at)
    }
}
