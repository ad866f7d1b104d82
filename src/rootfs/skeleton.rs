//! A minimal root of our own: the directories, devices and files that programs take for granted, our binary with a
//! link for each applet, and what is asked for besides.
//!
//! `/usr` is merged (`/bin` leads to `/usr/bin` and so on), as on most systems of today: so a program of the host
//! stands under each path that it has there.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::host::Host;
use super::init_file;
use super::programs::Programs;
use super::tree::{Kind, Source, Tree};
use crate::error::{Doing, Error, Result};

/// What a skeleton is to hold.
#[derive(Debug, Default)]
pub struct Skeleton {
    /// Our own binary, and the names of its applets.
    pub own: Option<(OwnedFd, Vec<&'static str>)>,
    /// Programs and other files of the host.
    pub add: Vec<OsString>,
    /// The host's busybox, with a link for each of its applets.
    pub busybox: bool,
    /// The best shell of the host, which also becomes `/bin/sh`.
    pub shell: bool,
    /// Where programs are looked for on the host.
    pub path: Vec<PathBuf>,
}

/// Directories, and the modes they have.
const DIRECTORIES: [(&str, u32); 20] = [
    ("dev", 0o755),
    ("dev/pts", 0o755),
    ("dev/shm", 0o1777),
    ("etc", 0o755),
    ("mnt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/lib", 0o755),
    ("usr/lib64", 0o755),
    ("usr/sbin", 0o755),
    ("usr/share", 0o755),
    ("var", 0o755),
    ("var/log", 0o755),
    ("var/lib", 0o755),
    ("var/tmp", 0o1777),
];

/// Devices, by the numbers of Documentation/admin-guide/devices.txt.
pub(super) const DEVICES: [(&str, u32, (u32, u32)); 7] = [
    ("dev/console", 0o600, (5, 1)),
    ("dev/full", 0o666, (1, 7)),
    ("dev/null", 0o666, (1, 3)),
    ("dev/random", 0o666, (1, 8)),
    ("dev/tty", 0o666, (5, 0)),
    ("dev/urandom", 0o666, (1, 9)),
    ("dev/zero", 0o666, (1, 5)),
];

const LINKS: [(&str, &str); 11] = [
    ("bin", "usr/bin"),
    ("dev/fd", "/proc/self/fd"),
    ("dev/ptmx", "pts/ptmx"),
    ("dev/stderr", "/proc/self/fd/2"),
    ("dev/stdin", "/proc/self/fd/0"),
    ("dev/stdout", "/proc/self/fd/1"),
    ("etc/os-release", "../usr/lib/os-release"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
    ("sbin", "usr/sbin"),
    ("var/run", "../run"),
];

const FILES: [(&str, &str); 5] = [
    ("etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"),
    (
        "etc/hosts",
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
    ),
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    ),
    // Name servers are a matter of the network that the root is given: whoever wires it writes them.
    ("etc/resolv.conf", ""),
    (
        "usr/lib/os-release",
        concat!(
            "NAME=isobox\nID=isobox\nPRETTY_NAME=\"isobox ",
            env!("CARGO_PKG_VERSION"),
            "\"\nVERSION_ID=",
            env!("CARGO_PKG_VERSION"),
            "\n"
        ),
    ),
];

/// Shells from best to barest: what people know comes first.
const SHELLS: [&str; 8] = ["bash", "zsh", "mksh", "ksh", "dash", "ash", "busybox", "sh"];

impl Skeleton {
    /// Puts the tree together.
    ///
    /// # Errors
    /// Where a program, or something that it needs, is not there or is damaged.
    pub fn tree(self, host: Host<'_>) -> Result<Tree> {
        let mut tree = bare();
        let own = self.own.map(|(binary, applets)| {
            tree.put("usr/bin/isobox", 0o755, Kind::File(Source::Open(binary)));
            for applet in &applets {
                tree.link(Path::new("usr/bin").join(applet), "isobox");
            }
            let init = Source::Bytes(init_file::text("/bin/rdinit", &[]));
            tree.put("init", 0o755, Kind::File(init));
            applets
        });
        let mut programs = Programs::new(&mut tree, host, &self.path);
        for program in &self.add {
            programs.add(program)?;
        }
        let busybox = match self.busybox {
            true => Some(programs.add(OsStr::new("busybox"))?),
            false => None,
        };
        let shell = match self.shell {
            true => Some(best_shell(&mut programs)?),
            false => None,
        };
        if let Some(shell) = shell {
            make_shell(&mut tree, &shell);
        }
        if let Some(busybox) = busybox {
            link_busybox(&mut tree, &busybox, &own.unwrap_or_default())?;
        }
        Ok(tree)
    }
}

/// The skeleton without a program.
fn bare() -> Tree {
    let mut tree = Tree::default();
    for (path, mode) in DIRECTORIES {
        tree.put(path, mode, Kind::Directory);
    }
    for (path, mode, (major, minor)) in DEVICES {
        tree.put(path, mode, Kind::Device(major, minor));
    }
    for (path, target) in LINKS {
        tree.link(path.into(), target);
    }
    for (path, text) in FILES {
        let text = Source::Bytes(text.as_bytes().to_vec());
        tree.put(path, 0o644, Kind::File(text));
    }
    tree
}

fn best_shell(programs: &mut Programs<'_>) -> Result<PathBuf> {
    for shell in SHELLS {
        if programs.find(OsStr::new(shell)).is_some() {
            return programs.add(OsStr::new(shell));
        }
    }
    Err(Error::new("cannot find a shell").hint(format!("looked for {}", SHELLS.join(", "))))
}

/// Makes a program `/bin/sh`, which is the shell of root.
fn make_shell(tree: &mut Tree, shell: &Path) {
    let sh = Path::new("usr/bin/sh");
    if let Ok(place) = tree.resolve(shell)
        && place != sh
        && shell.file_name() != sh.file_name()
    {
        tree.put(sh, 0o777, Kind::Link(target(sh, &place)));
    }
}

/// Links every applet of busybox to it. A name that is taken stays: ours are the newer tools, and what was added by
/// name was wanted.
fn link_busybox(tree: &mut Tree, busybox: &Path, ours: &[&str]) -> Result<()> {
    let place = tree.resolve(busybox).doing_to("cannot find", busybox)?;
    for path in busybox_applets(busybox)? {
        let Some(name) = path.file_name() else {
            continue;
        };
        let dir = match path.parent() {
            Some(dir) if dir.ends_with("sbin") => "usr/sbin",
            _ => "usr/bin",
        };
        let is_taken = |dir: &&str| tree.at(&Path::new(dir).join(name)).is_some();
        if !ours.iter().any(|own| name == *own) && !["usr/bin", "usr/sbin"].iter().any(is_taken) {
            let link = Path::new(dir).join(name);
            let target = target(&link, &place);
            tree.link(link, target);
        }
    }
    Ok(())
}

/// How a link leads to a place: by its bare name where that lies beside it.
fn target(link: &Path, place: &Path) -> OsString {
    match place.file_name() {
        Some(name) if link.parent() == place.parent() => name.into(),
        _ => Path::new("/").join(place).into(),
    }
}

/// The paths of busybox's applets, relative to the root, as it says itself.
fn busybox_applets(busybox: &Path) -> Result<Vec<PathBuf>> {
    let said = |option| {
        let mut command = Command::new(busybox);
        command
            .arg(option)
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        let output = command.output().doing_to("cannot run", busybox)?;
        let paths: Vec<PathBuf> = output
            .stdout
            .split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| OsStr::from_bytes(line).into())
            .collect();
        Ok::<_, Error>((output.status.success(), paths))
    };
    // Some builds know only the second.
    for option in ["--list-full", "--list"] {
        let (done, paths) = said(option)?;
        if done && !paths.is_empty() {
            return Ok(paths);
        }
    }
    Err(Error::new("does not say what applets it has:").on(busybox))
}
