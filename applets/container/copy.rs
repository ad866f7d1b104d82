//! container cp: files into and out of containers.
//!
//! What is copied is a tar on its way through a pipe. The one end is this process, the other a child of it in the root
//! of the container (`nsenter --mount` where it runs, else `pivot`), where no path, whatever links stand on it and
//! whoever changes them meanwhile, can lead to a file of the host.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write, stdin};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use argh::{ArgsInfo, FromArgs};
use isobox::error::{Doing, Error, Result};
use isobox::lock::Locked;
use isobox::mount::fstab_line;
use isobox::oci::home::Home;
use isobox::root::{self, Root};
use isobox::rootfs::pack::pack_one;
use isobox::rootfs::unpack;
use isobox::sys::mount::openat2;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, readlinkat};
use nix::libc;
use nix::sys::stat::fstat;
use nix::unistd::geteuid;

use super::images::{is_volume, own};
use super::kept::{Shelf, shown};
use crate::cli::mapped::lack;
use crate::cli::raw::Raw;
use crate::cli::{Exit, say};

/// copy files into a container, or out of one
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "cp",
    example = "container cp ./site/. web:/srv",
    example = "container cp web:/etc/hosts .",
    example = "container cp web:/var/log - | tar t",
    note = "A path in a container is written NAME:PATH. A directory whose name ends in /. is copied without itself. - is a tar, from standard input or to standard output.",
    note = "The container may run or not. Without --archive what is copied belongs to root in a container, and to the caller outside."
)]
pub(super) struct Copy {
    /// keep owners
    #[argh(switch, short = 'a')]
    archive: bool,
    /// copy what a link leads to instead of the link that is named
    #[argh(switch, short = 'L')]
    follow_link: bool,
    /// from where, and to where
    #[argh(positional)]
    path: Vec<Raw>,
}

/// The words by which the other end is called: nobody types them.
pub(super) const OUT: &str = "copy-out";
pub(super) const IN: &str = "copy-in";

/// A place that was named.
enum Side {
    Here(PathBuf),
    Inside(Home, PathBuf),
}

impl Copy {
    pub(super) fn run(self) -> Result<Exit> {
        let [from, to] = &self.path[..] else {
            return Err(Error::new("two paths are expected: from where, and to where").status(125));
        };
        let shelf = Shelf::ours();
        let follow = if self.follow_link { "follow" } else { "" };
        let owner = if self.archive { "kept" } else { "" };
        match (side(&shelf, from)?, side(&shelf, to)?) {
            (Side::Here(from), Side::Inside(home, to)) => {
                let (way, from) = match from.as_os_str() == "-" {
                    true => ("tar", None),
                    false if is_contents(&from) => ("contents", Some(from)),
                    false => ("", Some(from)),
                };
                let (mut end, _lock) = end(&shelf, &home, &[IN, way, &text(&to)?])?;
                let input = end.stdin.take().ok_or(Errno::EBADF).doing("cannot copy")?;
                match from {
                    Some(from) => send(&here, &from, &[follow, owner], &mut { input })?,
                    None => {
                        let tar = &mut stdin().lock();
                        let _ = io::copy(tar, &mut { input }).doing("cannot copy")?;
                    }
                }
                finish(end)
            }
            (Side::Inside(home, from), Side::Here(to)) => {
                let way = if is_contents(&from) { "contents" } else { "" };
                let (mut end, _lock) = end(&shelf, &home, &[OUT, &text(&from)?, follow, owner])?;
                let output = end.stdout.take().ok_or(Errno::EBADF).doing("cannot copy")?;
                if to.as_os_str() == "-" {
                    let mut tar = output;
                    io::copy(&mut tar, &mut io::stdout().lock()).doing("write error")?;
                    return finish(end);
                }
                let received = receive(&here, &to, way, Box::new(output));
                // What went wrong at the other end has been said there.
                match finish(end)? {
                    Exit::OK => received.map(|()| Exit::OK),
                    other => Ok(other),
                }
            }
            (Side::Here(_), Side::Here(_)) => {
                Err(Error::new("one of the two must be in a container: NAME:PATH").status(125))
            }
            _ => Err(Error::new("copying between containers is not supported")
                .hint("container cp ONE:PATH - | container cp - OTHER:DIR")),
        }
    }
}

/// As docker tells them apart: what starts like a path is one.
fn side(shelf: &Shelf, Raw(word): &Raw) -> Result<Side> {
    let bytes = word.as_bytes();
    let colon = bytes.iter().position(|b| *b == b':');
    match colon {
        Some(at) if !matches!(bytes.first(), Some(b'/' | b'.')) => {
            let (name, path) = (bytes.get(..at), bytes.get(at + 1..));
            let name = Raw(OsStr::from_bytes(name.unwrap_or_default()).into());
            let path = OsStr::from_bytes(path.unwrap_or_default());
            Ok(Side::Inside(shelf.find(&name)?, path.into()))
        }
        _ => Ok(Side::Here(word.into())),
    }
}

fn text(path: &Path) -> Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Error::new("not UTF-8:").on(path))
}

/// Whether the directory itself is not meant, but what is in it.
fn is_contents(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b"/.") || path.file_name().is_none()
}

/// The other end, and that nobody starts the container meanwhile.
type End = (Child, Option<Locked>);

/// Starts the other end in the root of the container.
fn end(shelf: &Shelf, home: &Home, words: &[&str]) -> Result<End> {
    let live = shelf.live(home)?;
    let first = live.as_ref().and_then(|live| live.record().first());
    let (mut command, lock) = match first {
        Some((pid, _)) => (running(pid.as_raw())?, None),
        None => {
            let busy =
                || Error::new("the container is just being started or stopped:").on(shown(home));
            let lock = home.occupy()?.ok_or_else(busy)?;
            (stopped(home)?, Some(lock))
        }
    };
    command.args(["container"]).args(words);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let child = command.spawn();
    child
        .doing("cannot start a process in the container")
        .map(|child| (child, lock))
}

fn running(pid: i32) -> Result<Command> {
    let user = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/user"));
    let pid = pid.to_string();
    let mut words = vec!["nsenter", "--target", &pid, "--mount"];
    if user(&pid).doing("cannot look at the container")?
        != user("self").doing("cannot look at ourselves")?
    {
        words.push("--user");
        // Root becomes root in there; anybody else may be kept from giving his groups away.
        if !geteuid().is_root() {
            words.push("--preserve-credentials");
        }
    }
    words.push("--");
    Ok(own(&words))
}

fn stopped(home: &Home) -> Result<Command> {
    let spec = home.spec()?;
    let root = &spec.root;
    if root.throw_away {
        return Err(Error::new("the container is not running:")
            .on(shown(home))
            .because("nothing is kept of what it wrote to the machine's own root"));
    }
    let mut words = vec!["unshare", "--mount"];
    if !geteuid().is_root() {
        words.push("--map-root-user");
        if lack().is_none() {
            words.push("--map-auto");
        }
    }
    words.extend(["--", "pivot"]);
    let mut command = own(&words);
    if let Some(written) = &root.written {
        command.arg("--written").arg(written);
    }
    for layer in root.layers.iter().skip(1) {
        command.arg("--layer").arg(layer);
    }
    for volume in spec.mounts.iter().filter(|mount| is_volume(mount)) {
        let (kind, list) = (OsStr::new("none"), OsStr::new("rbind,nosuid,nodev"));
        let line = fstab_line(&volume.source, &volume.destination, kind, list);
        command.arg("--mount").arg(line);
    }
    command.arg("--").arg(&root.path);
    Ok(command)
}

/// How the other end has ended.
fn finish(mut end: Child) -> Result<Exit> {
    drop(end.stdin.take());
    let status = end.wait().doing("cannot wait for the other end")?;
    Ok(Exit::Status(u8::from(!status.success())))
}

/// Opens what stands at a path.
type Open<'a> = &'a dyn Fn(&Path, i32) -> Result<OwnedFd, Errno>;

fn here(path: &Path, flags: i32) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    openat2(AT_FDCWD, path, flags, 0, 0)
}

/// The life of the other end.
pub(super) fn other_end(word: &str, words: &[String]) -> Result<Exit> {
    let root = root::open(Path::new("/"))?;
    let open = |path: &Path, flags| Root::new(root.as_fd()).look_up(path, flags);
    match (word, words) {
        (OUT, [path, options @ ..]) => {
            let out = isobox::sys::STANDARD
                .1
                .try_clone_to_owned()
                .doing("write error")?;
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            send(
                &open,
                &Path::new("/").join(path),
                &options,
                &mut File::from(out),
            )?;
        }
        (_, [way, path]) => {
            let input = isobox::sys::STANDARD
                .0
                .try_clone_to_owned()
                .doing("cannot read")?;
            let mut rest = File::from(input.try_clone().doing("cannot read")?);
            let done = receive(
                &open,
                &Path::new("/").join(path),
                way,
                Box::new(File::from(input)),
            );
            // Whoever sends hears of it by our status, and not by a signal.
            let _ = io::copy(&mut rest, &mut io::sink());
            done?;
        }
        _ => return Err(Error::new("nobody types this")),
    }
    Ok(Exit::OK)
}

/// Sends what stands at a path.
fn send(open: Open<'_>, path: &Path, options: &[&str], out: &mut dyn Write) -> Result<()> {
    const LINKS: usize = 40;
    let mut path = path.to_owned();
    let doing = "cannot copy";
    for _ in 0..LINKS {
        let (above, name) = match (path.parent(), path.file_name()) {
            (Some(above), Some(name)) => (above, name),
            _ => (path.as_path(), OsStr::new(".")),
        };
        let dir = open(above, libc::O_PATH | libc::O_DIRECTORY).doing_to(doing, &path)?;
        if options.contains(&"follow")
            && let Ok(target) = readlinkat(&dir, name)
        {
            path = above.join(target);
            continue;
        }
        let owner = (!options.contains(&"kept")).then_some((0, 0));
        let mut out = BufWriter::with_capacity(1 << 16, out);
        let sockets = pack_one(dir.as_fd(), name, owner, &mut out)?;
        if sockets > 0 {
            say(&format!("note: sockets left out: {sockets}\n"));
        }
        return out.flush().doing("write error");
    }
    Err(Errno::ELOOP).doing_to(doing, &path)
}

/// Puts what comes where it belongs, as cp would: into a directory, or in the place of a file, or as something new.
fn receive(open: Open<'_>, path: &Path, way: &str, tar: Box<dyn Read + Send>) -> Result<()> {
    let doing = "cannot copy to";
    let wants_directory = path.as_os_str().as_bytes().ends_with(b"/") || way == "tar";
    let found = match open(path, libc::O_PATH) {
        Err(Errno::ENOENT) if !wants_directory => None,
        other => Some(other.doing_to(doing, path)?),
    };
    let is_directory =
        |fd: &OwnedFd| fstat(fd).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFDIR);
    let (dir, top) = match found.filter(is_directory) {
        Some(dir) => (dir, (way == "contents").then(Vec::new)),
        None if wants_directory => return Err(Errno::ENOTDIR).doing_to(doing, path),
        None => {
            let name = path
                .file_name()
                .ok_or(Errno::EINVAL)
                .doing_to(doing, path)?;
            let above = path.parent().unwrap_or(Path::new(""));
            let dir = open(above, libc::O_PATH | libc::O_DIRECTORY).doing_to(doing, path)?;
            (dir, Some(name.as_bytes().to_vec()))
        }
    };
    let report = unpack::merge(tar, dir, top)?;
    for note in report.notes() {
        say(&format!("note: {note}\n"));
    }
    Ok(())
}
