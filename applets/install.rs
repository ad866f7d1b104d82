//! `isobox --install [-s] DIR`: one link for each applet, and never over what is somebody else's.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use isobox::error::{Doing, Error, Result};
use nix::errno::Errno;
use nix::unistd::geteuid;

use crate::cli::{Exit, say};
use crate::table;

/// The kind of link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// Another name of the same file.
    Hard,
    /// A symbolic link: to the bare name where the binary lies in the same directory.
    Symbolic,
}

/// Makes the links. Names that are taken by other files are skipped, each with a line on standard error.
///
/// # Errors
/// Status 1 where a name was skipped, after all others are done; the kernel's answer where a link cannot be made.
pub(crate) fn install(dir: &Path, kind: Link) -> Result<Exit> {
    let binary = fs::read_link("/proc/self/exe").doing("cannot find this program's file")?;
    let mut skipped = 0;
    for entry in table::all() {
        let name = dir.join(entry.name);
        if is_ours(&name, &binary) {
            continue;
        }
        let made = match kind {
            Link::Hard => fs::hard_link(&binary, &name),
            Link::Symbolic => symlink(target(&binary, dir), &name),
        };
        match made {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                say(&format!(
                    "isobox: {} belongs to something else: skipped\n",
                    name.display()
                ));
                skipped += 1;
            }
            Err(e) => {
                let error = Err::<(), _>(e).doing_to("cannot make", &name);
                return error
                    .map_err(|error| advise(error, kind, &binary))
                    .map(|()| Exit::OK);
            }
            Ok(()) => {}
        }
    }
    if skipped > 0 {
        return Err(Error::new(format!(
            "{skipped} of {} links not made",
            table::all().count()
        )));
    }
    Ok(Exit::OK)
}

/// Says what helps where the kernel refuses a hard link that a symbolic one could replace.
fn advise(error: Error, kind: Link, binary: &Path) -> Error {
    let protected = || {
        fs::read("/proc/sys/fs/protected_hardlinks").is_ok_and(|flag| flag.starts_with(b"1"))
            && fs::metadata(binary).is_ok_and(|file| file.uid() != geteuid().as_raw())
    };
    match (kind, error.errno()) {
        (Link::Hard, Some(Errno::EXDEV)) => error.hint(
            "hard links do not cross file systems: --install -s makes symbolic ones",
        ),
        (Link::Hard, Some(Errno::EPERM)) if protected() => error.hint(
            "fs.protected_hardlinks forbids links to other users' files: --install -s makes symbolic ones",
        ),
        _ => error,
    }
}

/// Where a symbolic link in `dir` should lead.
fn target(binary: &Path, dir: &Path) -> PathBuf {
    let same = |a: &Path, b: &Path| {
        fs::metadata(a)
            .ok()
            .zip(fs::metadata(b).ok())
            .is_some_and(|(a, b)| same_file(&a, &b))
    };
    match (binary.parent(), binary.file_name()) {
        (Some(parent), Some(name)) if same(parent, dir) => name.into(),
        _ => binary.into(),
    }
}

/// Whether the name already leads to this very binary.
fn is_ours(name: &Path, binary: &Path) -> bool {
    fs::metadata(name)
        .ok()
        .zip(fs::metadata(binary).ok())
        .is_some_and(|(a, b)| same_file(&a, &b))
}

fn same_file(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}
