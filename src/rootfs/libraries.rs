//! Where a loader looks for libraries, told without running it: ld.so(8) of the GNU C library, and musl's.
//!
//! | | GNU | musl |
//! |---|---|---|
//! | `DT_RPATH` | of the object and of those that asked for it, where there is no `DT_RUNPATH` | both are one, of the object and of those that asked for it |
//! | `DT_RUNPATH` | of the object | |
//! | then | `/etc/ld.so.conf` (its cache is made of it), the directory it lies in itself, `/lib` and `/usr/lib` | `/etc/ld-musl-ARCH.path`, or `/lib`, `/usr/local/lib`, `/usr/lib` |
//!
//! `LD_LIBRARY_PATH` is not asked: it will not be set in the tree.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::libc;

use super::elf::{Machine, Object};
use super::host::Host;
use crate::order;

/// As many files as `/etc/ld.so.conf` may include, and as many directories as they may name.
const MAX_CONFIGURED: usize = 512;

/// A loader, by what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Loader {
    /// The GNU C library's: the directories of its configuration.
    Gnu(Vec<PathBuf>),
    /// musl's, which holds the C library itself: the directories it looks in.
    Musl(Vec<PathBuf>),
}

/// Directories that loaders know without being told.
const KNOWN: [&str; 4] = ["/lib64", "/usr/lib64", "/lib", "/usr/lib"];

impl Loader {
    /// The loader at `interpreter`, which stands in the directory `own` (after all links). Without one (for a
    /// library by itself) it is the GNU C library's.
    pub(super) fn new(host: Host<'_>, interpreter: Option<&Path>, own: Option<&Path>) -> Self {
        if let Some(path) = interpreter.and_then(musl_configuration) {
            let text = host.text(&path);
            let listed: Vec<PathBuf> = text
                .split([':', '\n'])
                .filter(|dir| !dir.is_empty())
                .map(PathBuf::from)
                .collect();
            return Self::Musl(if listed.is_empty() {
                ["/lib", "/usr/local/lib", "/usr/lib"]
                    .map(PathBuf::from)
                    .to_vec()
            } else {
                listed
            });
        }
        let mut read = Configuration {
            host,
            dirs: Vec::new(),
            files: 0,
        };
        read.read(Path::new("/etc/ld.so.conf"), 0);
        let mut dirs = read.dirs;
        dirs.extend(own.map(|own| Path::new("/").join(own)));
        dirs.extend(KNOWN.map(PathBuf::from));
        Self::Gnu(dirs)
    }

    /// Whether the loader is the C library as well, so that nothing need be found for `name`.
    pub(super) fn holds(&self, name: &OsStr) -> bool {
        const RESERVED: [&str; 7] = ["c", "pthread", "rt", "m", "dl", "util", "xnet"];
        let Self::Musl(_) = self else { return false };
        let stem = name.as_bytes().strip_prefix(b"lib");
        let stem = stem.and_then(|rest| rest.split(|b| *b == b'.').next());
        stem.is_some_and(|stem| RESERVED.iter().any(|name| name.as_bytes() == stem))
    }

    /// The directories to look for a library in that `asking[0]` needs: who asked for that one stands behind it,
    /// up to the program. Each comes with the directory it was loaded from.
    pub(super) fn directories(&self, asking: &[(&Object, &Path)]) -> Vec<PathBuf> {
        let mut dirs = Vec::new();
        let mut add = |list: &Option<OsString>, object: &Object, origin: &Path| {
            if let Some(list) = list {
                dirs.extend(expanded(list, object.machine, origin));
            }
        };
        match self {
            Self::Gnu(configured) => {
                // One DT_RUNPATH silences every DT_RPATH on the way to it.
                let silent = asking
                    .first()
                    .is_some_and(|(object, _)| object.runpath.is_some());
                for (object, origin) in asking.iter().filter(|_| !silent) {
                    if object.runpath.is_none() {
                        add(&object.rpath, object, origin);
                    }
                }
                if let Some((object, origin)) = asking.first() {
                    add(&object.runpath, object, origin);
                }
                dirs.extend(configured.iter().cloned());
            }
            Self::Musl(configured) => {
                for (object, origin) in asking {
                    let list = object.runpath.as_ref().or(object.rpath.as_ref()).cloned();
                    add(&list, object, origin);
                }
                dirs.extend(configured.iter().cloned());
            }
        }
        dirs
    }
}

/// The configuration of musl's loader, if this is one: `/lib/ld-musl-x86_64.so.1` has `/etc/ld-musl-x86_64.path`.
pub(super) fn musl_configuration(interpreter: &Path) -> Option<PathBuf> {
    let name = interpreter
        .file_name()?
        .to_str()?
        .strip_prefix("ld-musl-")?;
    let arch = name.split(".so").next()?;
    Some(format!("/etc/ld-musl-{arch}.path").into())
}

/// The directories of a `DT_RPATH` or `DT_RUNPATH`. An empty one would be wherever the program is started: left out.
fn expanded(list: &OsStr, machine: Machine, origin: &Path) -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    for dir in list
        .as_bytes()
        .split(|b| *b == b':')
        .filter(|d| !d.is_empty())
    {
        let dir = substituted(dir, b"ORIGIN", origin.as_os_str().as_bytes());
        if has(&dir, b"LIB") {
            // What $LIB stands for was decided when the loader was built.
            let libs = if machine.wide {
                ["lib64", "lib"]
            } else {
                ["lib32", "lib"]
            };
            let own = multiarch(machine).into_iter().chain(libs);
            dirs.extend(own.map(|lib| substituted(&dir, b"LIB", lib.as_bytes())));
        } else {
            dirs.push(substituted(&dir, b"PLATFORM", platform(machine).as_bytes()));
        }
    }
    let path = |dir| PathBuf::from(OsString::from_vec(dir));
    dirs.into_iter()
        .map(path)
        .filter(|dir: &PathBuf| dir.is_absolute())
        .collect()
}

fn has(text: &[u8], token: &[u8]) -> bool {
    substituted(text, token, b"") != text
}

/// `text` with each `$TOKEN` and `${TOKEN}` replaced.
fn substituted(text: &[u8], token: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let braced = || {
            behind
                .strip_prefix(b"{")?
                .strip_prefix(token)?
                .strip_prefix(b"}")
        };
        let bare = || {
            let after = behind.strip_prefix(token)?;
            let goes_on = after
                .first()
                .is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
            (!goes_on).then_some(after)
        };
        match (*first == b'$').then(|| braced().or_else(bare)).flatten() {
            Some(after) => {
                out.extend(value);
                rest = after;
            }
            None => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    out
}

/// What `$PLATFORM` stands for, and the first part of Debian's directories.
fn platform(machine: Machine) -> &'static str {
    match machine.number {
        libc::EM_X86_64 => "x86_64",
        libc::EM_AARCH64 => "aarch64",
        libc::EM_386 => "i686",
        libc::EM_ARM => "v7l",
        _ => "",
    }
}

fn multiarch(machine: Machine) -> Option<&'static str> {
    match machine.number {
        libc::EM_X86_64 if machine.wide => Some("lib/x86_64-linux-gnu"),
        libc::EM_AARCH64 => Some("lib/aarch64-linux-gnu"),
        libc::EM_386 => Some("lib/i386-linux-gnu"),
        libc::EM_ARM => Some("lib/arm-linux-gnueabihf"),
        _ => None,
    }
}

/// Reads `/etc/ld.so.conf`.
struct Configuration<'fd> {
    host: Host<'fd>,
    dirs: Vec<PathBuf>,
    /// How many files were read.
    files: usize,
}

impl Configuration<'_> {
    /// Adds the directories that a file names, and those of the files that it includes where it does.
    fn read(&mut self, file: &Path, depth: usize) {
        self.files += 1;
        for line in self.host.text(file).lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let patterns = line
                .strip_prefix("include")
                .filter(|p| p.starts_with([' ', '\t']));
            for pattern in patterns.unwrap_or_default().split_whitespace() {
                let pattern = file.parent().unwrap_or(Path::new("/")).join(pattern);
                for file in matching(self.host, &pattern) {
                    if depth < 4 && self.files < MAX_CONFIGURED {
                        self.read(&file, depth + 1);
                    }
                }
            }
            if line.starts_with('/') && self.dirs.len() < MAX_CONFIGURED {
                // `dir=TYPE` was for libraries of the nineties.
                let dir = line.split('=').next().unwrap_or_default();
                self.dirs.push(dir.trim_end().into());
            }
        }
    }
}

/// The files whose last name is like the pattern's (glob(7), with `*` and `?`), in order.
fn matching(host: Host<'_>, pattern: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(pattern)) = (pattern.parent(), pattern.file_name()) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = host
        .names_in(dir)
        .into_iter()
        .filter(|name| is_like(name.as_bytes(), pattern.as_bytes()))
        .map(|name| dir.join(name))
        .collect();
    order::sort(&mut found);
    found.truncate(MAX_CONFIGURED);
    found
}

/// Whether a name is like a pattern. A leading dot has to be said.
fn is_like(name: &[u8], pattern: &[u8]) -> bool {
    if name.starts_with(b".") && !pattern.starts_with(b".") {
        return false;
    }
    // Where the last star stood, and how much of the name it has taken: going back to it is enough.
    let (mut n, mut p, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => {
                n += 1;
                p += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, n) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const AMD64: Machine = Machine {
        wide: true,
        little: true,
        number: libc::EM_X86_64,
    };

    fn object(rpath: Option<&str>, runpath: Option<&str>) -> Object {
        Object {
            machine: AMD64,
            interpreter: None,
            needed: Vec::new(),
            rpath: rpath.map(OsString::from),
            runpath: runpath.map(OsString::from),
        }
    }

    #[test]
    fn paths_in_objects_are_taken_as_each_loader_does() {
        let own = Path::new("/opt/app/bin");
        let library = Path::new("/opt/lib");
        let gnu = Loader::Gnu(vec!["/etc-says".into()]);
        let musl = Loader::Musl(vec!["/lib".into()]);
        let cases: [(&Loader, Object, Object, &[&str]); 5] = [
            (
                &gnu,
                object(Some("$ORIGIN"), None),
                object(Some("/p"), None),
                &["/opt/lib", "/p", "/etc-says"],
            ),
            (
                &gnu,
                object(Some("/r"), Some("${ORIGIN}/x::y")),
                object(Some("/p"), None),
                &["/opt/lib/x", "/etc-says"],
            ),
            (
                &gnu,
                object(None, None),
                object(Some("/p"), Some("/run")),
                &["/etc-says"],
            ),
            (
                &musl,
                object(None, None),
                object(Some("/p"), Some("/run")),
                &["/run", "/lib"],
            ),
            (
                &gnu,
                object(None, Some("/a/$LIB:/b/$PLATFORM:/c/$LIBX")),
                object(None, None),
                &[
                    "/a/lib/x86_64-linux-gnu",
                    "/a/lib64",
                    "/a/lib",
                    "/b/x86_64",
                    "/c/$LIBX",
                    "/etc-says",
                ],
            ),
        ];
        for (loader, asking, program, want) in cases {
            let found = loader.directories(&[(&asking, library), (&program, own)]);
            let want: Vec<PathBuf> = want.iter().map(PathBuf::from).collect();
            assert_eq!(found, want, "{asking:?}");
        }
    }

    #[test]
    fn musl_is_its_own_c_library() {
        let musl = Loader::Musl(Vec::new());
        for (name, held) in [
            ("libc.so", true),
            ("libc.musl-x86_64.so.1", true),
            ("libm.so.6", true),
            ("libz.so.1", false),
            ("libcap.so", false),
        ] {
            assert_eq!(musl.holds(OsStr::new(name)), held, "{name}");
            assert!(!Loader::Gnu(Vec::new()).holds(OsStr::new(name)));
        }
        let path = musl_configuration(Path::new("/lib/ld-musl-aarch64.so.1"));
        assert_eq!(path, Some("/etc/ld-musl-aarch64.path".into()));
        assert_eq!(
            musl_configuration(Path::new("/lib64/ld-linux-x86-64.so.2")),
            None
        );
    }

    #[test]
    fn patterns_are_those_of_the_shell() {
        for (name, pattern, like) in [
            ("libc.conf", "*.conf", true),
            (".conf", "*.conf", false),
            ("a.conf.bak", "*.conf", false),
            ("ab", "a?", true),
            ("abcbc", "a*bc", true),
            ("a", "a**", true),
            ("", "", true),
            ("b", "a", false),
        ] {
            assert_eq!(
                is_like(name.as_bytes(), pattern.as_bytes()),
                like,
                "{name} {pattern}"
            );
        }
    }
}
