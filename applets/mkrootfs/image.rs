//! mkrootfs with an input: an image, or the tar of a root.

#[cfg(feature = "oci")]
#[path = "../mkrootfs/bundle.rs"]
mod bundle;

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write, stdin, stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use isobox::error::{Doing, Error, Result, printable};
use isobox::image::observer::{Event, Observer};
use isobox::image::open::{self, Choice, Input, Opening};
use isobox::image::{Descriptor, Platform};
use isobox::rootfs::apply::Limits;
use isobox::rootfs::compare::compare;
use isobox::rootfs::overlay::Lower;
use isobox::rootfs::report::Report;
use isobox::rootfs::staging::Staging;
use isobox::rootfs::{guard, init_file, remove, unpack};

use crate::cli::help::print_all;
use crate::cli::{Exit, say};

/// How an input is turned into a tree.
pub(super) struct Unpacking {
    pub(super) platform: Option<String>,
    pub(super) name: Option<String>,
    pub(super) limits: Limits,
    pub(super) sync: bool,
    pub(super) is_quiet: bool,
}

/// Whether standard input is meant as the input though nobody says so: a pipe, or a file that was redirected.
pub(super) fn is_piped() -> bool {
    let input = File::from(match stdin().as_fd().try_clone_to_owned() {
        Ok(input) => input,
        Err(_) => return false,
    });
    input.metadata().is_ok_and(|meta| {
        let kind = meta.file_type();
        kind.is_fifo() || kind.is_socket() || kind.is_file() && meta.len() > 0
    })
}

/// Tells a person what goes on; notes are for everybody.
struct Teller {
    is_quiet: bool,
}

impl Observer for Teller {
    fn note(&self, text: &str) {
        say(&format!("note: {text}\n"));
    }
    fn blob(&self, _: &Descriptor, _: Event) {}
}

impl Teller {
    fn layer(&self, number: usize, of: usize, layer: &Descriptor) {
        if !self.is_quiet {
            say(&format!(
                "layer {number}/{of} {} ({} bytes)\n",
                layer.digest.short(),
                layer.size
            ));
        }
    }
}

impl Unpacking {
    /// Opens the input.
    fn open<'a>(&self, input: &Path, teller: &'a Teller) -> Result<Input<'a>> {
        let platform = match &self.platform {
            Some(platform) => platform.parse()?,
            None => Platform::host(),
        };
        let opening = Opening {
            choice: Choice {
                platform,
                name: self.name.clone(),
            },
            spool: spool(),
            observer: teller,
            window: self.limits.window,
        };
        open::file(file(input)?, opening)
    }

    /// Makes the tree in a directory.
    pub(super) fn directory(&self, input: &Path, target: &Path) -> Result<Exit> {
        let teller = Teller {
            is_quiet: self.is_quiet,
        };
        let input = self.open(input, &teller)?;
        let staging = Staging::new(target)?;
        let report = self.unpack(input, staging.root()?, &teller)?;
        staging.finish(target, self.sync)?;
        tell(&report);
        Ok(Exit::OK)
    }

    /// Makes a directory for each layer, in the form that an overlay takes, and prints the option that puts them together.
    pub(super) fn layers(&self, input: &Path, target: &Path) -> Result<Exit> {
        let teller = Teller {
            is_quiet: self.is_quiet,
        };
        let Input::Image(source) = self.open(input, &teller)? else {
            return Err(Error::new("this is the tar of a root, which has no layers"));
        };
        let staging = Staging::new(target)?;
        let image = source.image();
        let (count, mut made): (_, Vec<OwnedFd>) = (image.manifest.layers.len(), Vec::new());
        for (at, one) in image.layers().enumerate() {
            teller.layer(at + 1, count, one.0);
            let copies = made.iter().rev().map(OwnedFd::try_clone);
            let lower = Lower(
                copies
                    .collect::<Result<_, _>>()
                    .doing("cannot duplicate a descriptor")?,
            );
            let dir = staging.directory(&(at + 1).to_string())?;
            made.push(dir.try_clone().doing("cannot duplicate a descriptor")?);
            tell(&unpack::layer(&*source, one, dir, lower, self.limits)?);
        }
        staging.finish(target, self.sync)?;
        let target = std::path::absolute(target).doing_to("cannot find", target)?;
        let dirs: Vec<String> = (1..=count)
            .rev()
            .map(|at| {
                target
                    .join(at.to_string())
                    .to_string_lossy()
                    .replace(':', "\\:")
            })
            .collect();
        print_all(&format!("lowerdir={}\n", dirs.join(":")))
    }

    /// Makes a bundle: the tree in `rootfs`, and a config.json that runs it as the image wants.
    #[cfg(feature = "oci")]
    pub(super) fn bundle(&self, input: &Path, target: &Path) -> Result<Exit> {
        let teller = Teller {
            is_quiet: self.is_quiet,
        };
        let input = self.open(input, &teller)?;
        let execution = match &input {
            Input::Image(source) => source.image().config.config.clone(),
            Input::Root(_) => {
                return Err(Error::new("a bundle is made of an image")
                    .because("this is the tar of a root, which does not say how to run it"));
            }
        };
        let staging = Staging::new(target)?;
        let (bundle, rootfs) = (staging.root()?, staging.directory("rootfs")?);
        let report = self.unpack(
            input,
            rootfs.try_clone().doing("cannot duplicate a descriptor")?,
            &teller,
        )?;
        bundle::write_config(&execution, bundle.as_fd(), rootfs)?;
        staging.finish(target, self.sync)?;
        tell(&report);
        Ok(Exit::OK)
    }

    fn unpack(&self, input: Input<'_>, root: OwnedFd, teller: &Teller) -> Result<Report> {
        match input {
            Input::Image(source) => unpack::image(&*source, root, self.limits, &|at, of, layer| {
                teller.layer(at, of, layer);
            }),
            Input::Root(tar) => unpack::root_tar(tar, root, self.limits),
        }
    }

    /// Makes the tree in a place of its own, hands it to `with` together with the command that the image is for, and
    /// takes it away again.
    pub(super) fn temporary(
        &self,
        input: &Path,
        with: &mut dyn FnMut(&Path, &[OsString]) -> Result<Exit>,
    ) -> Result<Exit> {
        let teller = Teller {
            is_quiet: self.is_quiet,
        };
        let input = self.open(input, &teller)?;
        let command = match &input {
            Input::Image(source) => init_file::command(&source.image().config.config),
            Input::Root(_) => Vec::new(),
        };
        let path = spool().join(format!("mkrootfs-{}", std::process::id()));
        let staging = Staging::new(&path)?;
        let report = self.unpack(input, staging.root()?, &teller)?;
        tell(&report);
        with(&staging.path_of(&path), &command)
    }
}

/// Says what is not as the image has it.
pub(super) fn tell(report: &Report) {
    for note in report.notes() {
        say(&format!("note: {note}\n"));
    }
}

fn file(input: &Path) -> Result<File> {
    if input != Path::new("-") {
        return File::open(input).doing_to("cannot open", input);
    }
    if stdin().is_terminal() {
        return Err(Error::new("standard input is a terminal").hint("pull IMAGE | mkrootfs DIR"));
    }
    let input = stdin().as_fd().try_clone_to_owned();
    input.map(File::from).doing("cannot read standard input")
}

/// Where large things may lie for a while.
fn spool() -> PathBuf {
    match env::var_os("TMPDIR") {
        Some(dir) if !dir.is_empty() => dir.into(),
        _ if Path::new("/var/tmp").is_dir() => "/var/tmp".into(),
        _ => "/tmp".into(),
    }
}

/// Tells what in `have` is not as in `want`.
pub(super) fn compare_trees(want: &Path, have: BorrowedFd<'_>) -> Result<Exit> {
    let want = isobox::root::open(want)?;
    let mut out = BufWriter::new(stdout().lock());
    let mut differences = 0;
    compare(want.as_fd(), have, &mut |path, what| {
        differences += 1;
        writeln!(out, "{}: {what}", printable(path.as_os_str())).doing("write error")
    })?;
    out.flush().doing("write error")?;
    Ok(Exit::Status((differences > 0).into()))
}

/// Removes a tree, unless it is one that must stay; `insists` is what `--force` says.
pub(super) fn remove_tree(path: &Path, insists: bool) -> Result<Exit> {
    let Some(name) = path.file_name() else {
        return Err(Error::new("cannot remove")
            .on(path)
            .because("it has no name of its own"));
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let parent = isobox::root::open(parent)?;
    let home = env::var_os("HOME").map(PathBuf::from);
    guard::check((parent.as_fd(), name), path, home.as_deref(), insists)?;
    remove::remove(parent.as_fd(), name, path)?;
    Ok(Exit::OK)
}
