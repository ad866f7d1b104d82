//! mkrootfs: root file systems. Trees of images, of tars and of our own, in a directory or written down again.

#[path = "mkrootfs/image.rs"]
mod image;
#[path = "mkrootfs/skeleton.rs"]
mod skeleton;

use std::path::{Path, PathBuf};

use argh::{ArgsInfo, FromArgs};
use isobox::error::{Error, Result};
use isobox::root;
use isobox::rootfs::apply::Limits;
use isobox::rootfs::pack::pack;
use std::os::fd::AsFd;

use crate::cli::raw::Raw;
use crate::cli::{Applet, Exit, gnu, mapped, say};

/// make a root file system
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "mkrootfs",
    example = "pull alpine | mkrootfs ./root",
    example = "docker export box | mkrootfs ./root",
    example = "mkrootfs -i image.tar -o cpio initramfs",
    example = "pull alpine | mkrootfs -o oci-bundle ./box",
    example = "mount -t overlay -o $(pull -q alpine | mkrootfs --layers ./parts),upperdir=up,workdir=work alpine ./root",
    example = "mkrootfs --busybox ./root",
    example = "mkrootfs --shell --add ls --add python3 ./root",
    example = "pull alpine | mkrootfs --verify ./root",
    example = "mkrootfs --rm ./root",
    note = "An input is an image (an OCI layout, in a directory or a tar, or what docker save writes) or the tar of a root; tars may be packed with gzip, zstd or xz. A pipe on standard input is an input without being named.",
    note = "Layers are verified as they come, and the tree is put in its place when it is whole: an interrupted run leaves at most a directory .NAME.incomplete, which the next run takes away.",
    note = "As an ordinary user it runs in a user namespace with the ids of /etc/subuid and /etc/subgid, so that files keep their owners; without such ids they are all yours.",
    note = "Without an input it makes a minimal root: this binary with a link for each applet, and what programs take for granted. Of names that busybox has too, ours are kept; but a busybox that was built to prefer its own applets runs those from its shell, unless they are called by path.",
    note = "--verify exits with 1 where something differs and with 2 where it cannot tell. It unpacks the input beside, in TMPDIR or /var/tmp, and compares kinds, contents, modes, owners, times of change, attributes and links; of what is mounted in the tree it only says that something is.",
    note = "--rm never removes /, a directory in it that is no root (/etc, /usr, /home), what the working directory or the home directory is in, or what something is mounted in.",
    note = "What a program opens by itself while it runs (plugins, locales, configuration) is not known from its file: add it too.",
    note = "In an initramfs there are the devices that programs take for granted, whoever makes it, and no extended attributes. SOURCE_DATE_EPOCH is the latest time of any file."
)]
pub(crate) struct Args {
    /// make the root of this: an image or a root as a file, - for standard input, or a directory
    #[argh(option, short = 'i', arg_name = "file")]
    input: Option<Raw>,
    /// what to make: dir, tar, cpio for an initramfs, or oci-bundle: a directory with rootfs and config.json
    #[argh(
        option,
        short = 'o',
        arg_name = "dir|tar|cpio|oci-bundle",
        default = "Output::Dir"
    )]
    output: Output,
    /// of an image for several platforms, take the one for this
    #[argh(option, arg_name = "os/arch")]
    platform: Option<String>,
    /// of several images in an archive, take the one of this name
    #[argh(option, arg_name = "name")]
    image: Option<String>,
    /// take so many members in a layer, instead of 2000000
    #[argh(option, arg_name = "number")]
    max_entries: Option<u64>,
    /// take so many bytes in all files together, instead of 64 GiB
    #[argh(option, arg_name = "number")]
    max_bytes: Option<u64>,
    /// take so many MiB to look back while something is unpacked, instead of 8
    #[argh(option, arg_name = "number")]
    max_window: Option<u32>,
    /// do not use the ids of /etc/subuid and /etc/subgid: all files belong to the caller
    #[argh(switch)]
    single_id: bool,
    /// do not wait until everything is on the disk
    #[argh(switch)]
    no_sync: bool,
    /// keep the layers of an image apart, in directories 1, 2 ... of the target that an overlay takes, and print its option
    #[argh(switch)]
    layers: bool,
    /// say nothing about layers
    #[argh(switch, short = 'q')]
    quiet: bool,
    /// tell what in the directory is not as the input has it, one difference a line, and make nothing
    #[argh(switch)]
    verify: bool,
    /// remove the root, bundle or layers at this directory, whoever its files belong to
    #[argh(switch)]
    rm: bool,
    /// with --rm, remove the directory though it does not look like a root
    #[argh(switch)]
    force: bool,
    /// copy this program or other file of the host, with its loader and its libraries; may be repeated
    #[argh(option, arg_name = "program")]
    add: Vec<Raw>,
    /// copy the host's busybox, with a link for each of its applets
    #[argh(switch)]
    busybox: bool,
    /// copy the best shell of the host, which becomes /bin/sh
    #[argh(switch)]
    shell: bool,
    /// the directory to make, which has to be empty or missing; or the archive, standard output where none is named
    #[argh(positional, arg_name = "target")]
    target: Option<Raw>,
}

/// What is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Dir,
    Tar,
    Cpio,
    #[cfg(feature = "oci")]
    Bundle,
}

impl argh::FromArgValue for Output {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        match value {
            "dir" => Ok(Self::Dir),
            "tar" => Ok(Self::Tar),
            "cpio" => Ok(Self::Cpio),
            #[cfg(feature = "oci")]
            "oci-bundle" => Ok(Self::Bundle),
            _ => Err(gnu::bad(format!(
                "cannot make '{value}': dir, tar, cpio or oci-bundle"
            ))),
        }
    }
}

impl Applet for Args {
    fn run(mut self) -> Result<Exit> {
        let wanted = skeleton::Wanted {
            add: std::mem::take(&mut self.add)
                .into_iter()
                .map(|name| name.0)
                .collect(),
            busybox: self.busybox,
            shell: self.shell,
        };
        let target = self.target.take().map(Raw::into_path);
        if self.rm || self.verify {
            wanted.goes_with_no_input()?;
            if self.rm && self.verify {
                return Err(Error::new("either --verify or --rm, not both"));
            }
        }
        if self.rm {
            return self.remove(target);
        }
        if self.force {
            return Err(Error::new("--force goes with --rm"));
        }
        let is_own = wanted.goes_with_no_input().is_err();
        if self.layers && self.output != Output::Dir {
            return Err(Error::new(
                "--layers are directories: it does not go with -o",
            ));
        }
        let input = match self.input.take().map(Raw::into_path) {
            None if !is_own && image::is_piped() => Some("-".into()),
            input => input,
        };
        match (input, self.output, target) {
            (Some(input), Output::Dir, Some(target)) if self.verify => {
                self.compare(&input, &target).map_err(|e| e.or_status(2))
            }
            _ if self.verify => Err(Error::new(
                "--verify is of a directory, and an input that it was made of",
            )
            .hint("mkrootfs --verify -i IMAGE.tar DIR")
            .status(2)),
            (Some(input), _, target) => {
                wanted.goes_with_no_input()?;
                self.with_input(&input, target)
            }
            (None, Output::Dir, _) if self.layers => {
                Err(Error::new("no image given to take the layers of"))
            }
            (None, Output::Cpio, target) => wanted.archive(target.as_deref()),
            (None, Output::Tar, _) => Err(Error::new("no input given to make a tar of")),
            #[cfg(feature = "oci")]
            (None, Output::Bundle, _) => Err(Error::new("no image given to make a bundle of")),
            (None, Output::Dir, Some(target)) => wanted.directory(&target),
            (None, Output::Dir, None) => Err(no_target()),
        }
    }
}

/// Whether it is a tree by itself, and no image.
fn is_tree(input: &Path) -> bool {
    input.is_dir() && !input.join("oci-layout").exists()
}

fn no_target() -> Error {
    Error::new("no directory given")
}

impl Args {
    fn remove(self, target: Option<PathBuf>) -> Result<Exit> {
        let target = target.ok_or_else(no_target)?;
        if !self.single_id
            && let Some(exit) = mapped::with_subordinate_ids("mkrootfs")?
        {
            return Ok(exit);
        }
        image::remove_tree(&target, self.force)
    }

    fn with_input(self, input: &Path, target: Option<PathBuf>) -> Result<Exit> {
        let is_tree = is_tree(input);
        match self.output {
            Output::Cpio if is_tree => return skeleton::archive(input, &[], target.as_deref()),
            Output::Tar if is_tree => return tar(input, target.as_deref()),
            Output::Dir if is_tree => {
                return Err(Error::new("neither an image nor an archive:").on(input));
            }
            _ => {}
        }
        if !self.single_id
            && let Some(exit) = mapped::with_subordinate_ids("mkrootfs")?
        {
            return Ok(exit);
        }
        let (output, layers) = (self.output, self.layers);
        let unpacking = self.unpacking();
        match output {
            Output::Dir if layers => unpacking.layers(input, &target.ok_or_else(no_target)?),
            Output::Dir => unpacking.directory(input, &target.ok_or_else(no_target)?),
            #[cfg(feature = "oci")]
            Output::Bundle => unpacking.bundle(input, &target.ok_or_else(no_target)?),
            Output::Tar => unpacking.temporary(input, &mut |tree, _| tar(tree, target.as_deref())),
            Output::Cpio => unpacking.temporary(input, &mut |tree, command| {
                skeleton::archive(tree, command, target.as_deref())
            }),
        }
    }

    /// Compares a directory with what the input would be.
    fn compare(self, input: &Path, target: &Path) -> Result<Exit> {
        let have = root::open(target)?;
        if is_tree(input) {
            return image::compare_trees(input, have.as_fd());
        }
        if !self.single_id
            && let Some(exit) = mapped::with_subordinate_ids("mkrootfs")?
        {
            return Ok(exit);
        }
        self.unpacking().temporary(input, &mut |tree, _| {
            image::compare_trees(tree, have.as_fd())
        })
    }

    fn unpacking(self) -> image::Unpacking {
        let usual = Limits::default();
        image::Unpacking {
            platform: self.platform,
            name: self.image,
            limits: Limits {
                entries: self.max_entries.unwrap_or(usual.entries),
                bytes: self.max_bytes.unwrap_or(usual.bytes),
                window: self
                    .max_window
                    .map_or(usual.window, |mib| u64::from(mib) << 20),
            },
            sync: !self.no_sync,
            is_quiet: self.quiet,
        }
    }
}

/// Writes a directory as a tar.
fn tar(tree: &Path, target: Option<&Path>) -> Result<Exit> {
    let root = root::open(tree)?;
    let mut sockets = 0;
    skeleton::write_to(target, |out| {
        sockets = pack(root.as_fd(), out)?;
        Ok(())
    })?;
    if sockets > 0 {
        say(&format!("note: sockets left out: {sockets}\n"));
    }
    Ok(Exit::OK)
}
