//! Images of this user on this machine, and roots of containers made of them.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use isobox::accounts::Accounts;
use isobox::error::{Doing, Error, Result};
use isobox::image::config::Execution;
use isobox::image::reference::Typed;
use isobox::image::registries_conf::RegistriesConf;
use isobox::image::{Image, Platform, Reference};
use isobox::oci::{Mount, Root};
use isobox::order;
use isobox::root::{self, inside};
use isobox::rootfs::local::{Held, Local};
use isobox::rootfs::remove;

use crate::cli::raw::Raw;
use crate::cli::{gnu, say};
use crate::table::pull::environment;

/// When an image is fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Pull {
    /// Where it is not here.
    #[default]
    Missing,
    /// In any case.
    Always,
    /// Not at all.
    Never,
}

impl argh::FromArgValue for Pull {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        match value {
            "missing" => Ok(Self::Missing),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Err(gnu::bad(format!(
                "neither missing, always nor never: '{value}'"
            ))),
        }
    }
}

/// An image that is wanted as a root.
pub(super) struct Wanted<'a> {
    /// As it was typed.
    pub(super) name: &'a str,
    pub(super) pull: Pull,
    pub(super) platform: Option<&'a str>,
    pub(super) quiet: bool,
    /// A copy of it, and no overlay.
    pub(super) copy: bool,
    /// Nothing is to be made.
    pub(super) told_only: bool,
}

/// A root made of an image.
pub(super) struct Prepared {
    /// How the image is called here.
    pub(super) name: String,
    pub(super) image: Image,
    pub(super) root: Root,
    /// Keeps its layers as long as it lives.
    held: Vec<Held>,
    /// A copy of its own, which goes with it.
    copied: Option<Copy>,
    /// What keeps what is written; memory does without.
    written: Option<PathBuf>,
    layers: Vec<PathBuf>,
}

/// The images of this user.
pub(super) fn local() -> Result<Local> {
    let path = environment::images().ok_or_else(|| {
        Error::new("there is no place for images").because("neither XDG_DATA_HOME nor HOME is set")
    })?;
    Local::open(&path)
}

/// The image of this name that is here, by the name it has here: as it is typed, or the first digits of its ID.
///
/// # Errors
/// For what is no name.
pub(super) fn find(local: &Local, typed: &str) -> Result<Option<(String, Image)>> {
    if let Ok(typed) = Typed::parse(typed) {
        for name in names(&typed)? {
            if let Some(image) = local.find(&name)? {
                return Ok(Some((name, image)));
            }
        }
    }
    let digits = typed.strip_prefix("sha256:").unwrap_or(typed);
    let is_id = digits.len() >= 4 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let all = if is_id { local.all()? } else { Vec::new() };
    let has = |image: &Image| image.manifest.config.digest.hex().starts_with(digits);
    Ok(all.into_iter().find(|(_, image)| has(image)))
}

/// What an image can be called here that was typed so.
fn names(typed: &Typed) -> Result<Vec<String>> {
    let own = [typed.reference.clone()];
    let mut all: Vec<Reference> = Vec::new();
    if typed.short.is_some() {
        all = RegistriesConf::read(&environment::registries_conf())?
            .candidates(typed)
            .unwrap_or_default();
    }
    all.extend(own);
    Ok(all.iter().map(called).collect())
}

/// What an image is called here.
fn called(reference: &Reference) -> String {
    reference.tagged().unwrap_or_else(|| reference.to_string())
}

impl Wanted<'_> {
    /// Makes a root of the image, which is fetched where that is wanted. What the container writes is kept under the
    /// name `kept`; without, it is thrown away.
    ///
    /// # Errors
    /// Where the image cannot be had.
    pub(super) fn prepare(&self, kept: Option<&str>) -> Result<Prepared> {
        let local = local()?;
        let mut found = match self.pull {
            Pull::Always => None,
            _ => find(&local, self.name)?.filter(|(_, image)| self.fits(image)),
        };
        if found.is_none() {
            local.set_copies(!takes_overlay(local.path())?)?;
            self.fetch()?;
            found = find(&local, self.name)?;
        }
        let (name, image) = found.ok_or_else(|| Error::new("there is no image").on(self.name))?;
        let layers = match local.copies() {
            true => Vec::new(),
            false => local.layers(&image),
        };
        let held = local.hold(&layers)?;
        let mut prepared = Prepared {
            root: Root::directory(PathBuf::new()),
            held: vec![held],
            copied: None,
            written: None,
            layers,
            name,
            image,
        };
        if self.copy || local.copies() {
            prepared.copy(&local, kept, self)?;
        } else {
            prepared.root = overlay(&prepared.layers);
            if let Some(container) = kept {
                let written = local.written(container);
                if !self.told_only {
                    local.keep_container(container, &prepared.image)?;
                    prepared.hold(&local, &written)?;
                }
                prepared.root.written = Some(written.clone());
                prepared.written = Some(written);
            }
        }
        Ok(prepared)
    }

    /// Whether the image is for the platform that is asked for.
    fn fits(&self, image: &Image) -> bool {
        let wanted = self.platform.and_then(|text| text.parse::<Platform>().ok());
        let is = image.config.platform();
        wanted.is_none_or(|wanted| {
            wanted.os == is.os
                && wanted.architecture == is.architecture
                && (wanted.variant.is_empty() || wanted.variant == is.variant)
        })
    }

    /// Has it fetched and unpacked by a process of its own, which may have threads and other ids.
    fn fetch(&self) -> Result<()> {
        let mut words = vec!["pull", "--local"];
        if let Some(platform) = self.platform {
            words.extend(["--platform", platform]);
        }
        if self.quiet {
            words.push("-q");
        }
        if self.pull == Pull::Never {
            words.push("--offline");
        }
        words.extend(["--", self.name]);
        match own(&words).stdout(Stdio::null()).status() {
            Ok(status) if status.success() => Ok(()),
            // It has said why.
            Ok(_) => Err(Error::new("cannot get the image").on(self.name)),
            Err(error) => Err(error).doing_to("cannot get the image", self.name),
        }
    }
}

/// The root that is an overlay of these layers.
fn overlay(layers: &[PathBuf]) -> Root {
    Root {
        layers: layers.to_vec(),
        ..Root::directory(layers.first().cloned().unwrap_or_default())
    }
}

/// Our own binary, run on these words.
pub(super) fn own(words: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("isobox").args(words).stdin(Stdio::null());
    command
}

/// Whether an overlay can be mounted whose layers are in this directory and written to: not by every kernel, nor where
/// the directory is itself on an overlay, as it is in a container.
fn takes_overlay(path: &Path) -> Result<bool> {
    let dir = path.join(format!("probe-{}", std::process::id()));
    for below in ["root", "layer", "written"] {
        fs::create_dir_all(dir.join(below)).doing_to("cannot make a directory in", path)?;
    }
    let at = |below: &str| dir.join(below).to_string_lossy().into_owned();
    let (root, layer, written) = (at("root"), at("layer"), at("written"));
    let mut words = vec!["unshare", "--mount", "pivot"];
    if !nix::unistd::geteuid().is_root() {
        words.insert(2, "--map-root-user");
    }
    words.extend(["--layer", &layer, "--written", &written, &root]);
    words.extend(["setpriv", "--version"]);
    let mut try_it = own(&words);
    let can = try_it.stdout(Stdio::null()).stderr(Stdio::null()).status();
    remove(&dir)?;
    Ok(can.is_ok_and(|status| status.success()))
}

/// A copy of an image that is thrown away.
struct Copy {
    local: Local,
    name: String,
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What stays is removed by gc.
        let _ = forget(&self.local, &self.name);
    }
}

/// Removes what a container has written, where it has.
///
/// # Errors
/// Of the file system.
pub(super) fn forget(local: &Local, container: &str) -> Result<()> {
    local.forget_container(container, &remove)
}

/// Removes a tree. An ordinary user's may belong to ids that only a user namespace has.
pub(super) fn remove(path: &Path) -> Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let above = root::open(dir)?;
    let removed = remove::remove(above.as_fd(), name, path);
    if removed.is_ok() || nix::unistd::geteuid().is_root() {
        return removed;
    }
    let path_text = path.to_string_lossy();
    let status = own(&["mkrootfs", "--rm", "--force", "--", &path_text]).status();
    match status.doing_to("cannot remove", path)?.success() {
        true => Ok(()),
        false => removed,
    }
}

/// Whether a mount is a volume that is kept with the container.
pub(super) fn is_volume(mount: &Mount) -> bool {
    mount.kind == "none" && mount.options.iter().any(|word| word == "tmpcopyup")
}

impl Prepared {
    fn hold(&mut self, local: &Local, written: &Path) -> Result<()> {
        self.held.push(local.hold(&[written.into()])?);
        Ok(())
    }

    /// Makes a copy of the image for this container alone.
    fn copy(&mut self, local: &Local, kept: Option<&str>, wanted: &Wanted<'_>) -> Result<()> {
        let own_name = format!("run-{}", std::process::id());
        let name = kept.unwrap_or(&own_name);
        let written = local.written(name);
        let dir = written.join("rootfs");
        self.written = Some(written);
        self.root = Root::directory(dir.clone());
        if self.layers.is_empty() {
            self.layers.push(dir.clone());
        }
        if wanted.told_only || dir.exists() {
            return Ok(());
        }
        local.keep_container(name, &self.image)?;
        self.hold(local, &local.written(name))?;
        if kept.is_none() {
            self.copied = Some(Copy {
                local: Local::open(local.path())?,
                name: name.into(),
            });
        }
        say(&format!(
            "note: the root is a copy of {}: {}\n",
            self.name,
            match wanted.copy {
                true => "--copy",
                false => "no overlay can be mounted here",
            }
        ));
        let reference: Reference = self.name.parse()?;
        let reference = reference.at(self.image.descriptor.digest).to_string();
        let dir_text = dir.to_string_lossy();
        let mut words = vec!["pull", "-q", "--no-sync"];
        if wanted.pull == Pull::Never {
            words.push("--offline");
        }
        words.extend(["--", &reference, &dir_text]);
        match own(&words).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(Error::new("cannot copy the image").on(&self.name)),
            Err(error) => Err(error).doing_to("cannot copy the image", &self.name),
        }
    }

    /// How it wants to be run.
    pub(super) fn execution(&self) -> &Execution {
        &self.image.config.config
    }

    /// The mounts of its volumes and of `more`: each is a directory of the container's own, which is gone with it; in memory where what
    /// it writes goes to memory. What the image has there is copied into it when it is empty.
    ///
    /// # Errors
    /// For one that could only be in the way of others, and of mkdir(2).
    pub(super) fn volumes(&self, more: &[&Raw], told_only: bool) -> Result<Vec<Mount>> {
        let own = self.execution().volumes.iter().map(Path::new);
        let more = more.iter().map(|Raw(path)| Path::new(path));
        let mut all: Vec<PathBuf> = own.chain(more).map(inside).collect();
        order::sort(&mut all);
        all.dedup();
        let mut volumes = Vec::new();
        for (at, place) in all.into_iter().enumerate() {
            let path = Path::new("/").join(&place);
            let taken = ["proc", "sys", "dev"]
                .iter()
                .any(|own| place.starts_with(own));
            if taken || place.as_os_str().is_empty() {
                return Err(Error::new("a volume cannot be at").on(path));
            }
            let (kind, source) = match &self.written {
                None => ("tmpfs", PathBuf::from("tmpfs")),
                Some(written) => ("none", written.join("volumes").join(at.to_string())),
            };
            if kind == "none" && !told_only {
                fs::create_dir_all(&source).doing_to("cannot make", &source)?;
            }
            let bind = (kind == "none").then_some("rbind");
            let words = bind.into_iter().chain(["nosuid", "nodev", "tmpcopyup"]);
            volumes.push(Mount {
                destination: path,
                kind: kind.into(),
                source: source.into(),
                options: words.map(Into::into).collect(),
                ..Mount::default()
            });
        }
        Ok(volumes)
    }

    /// Its users and groups.
    ///
    /// # Errors
    /// Where a layer cannot be opened.
    pub(super) fn accounts(&self) -> Result<Accounts> {
        // A copy that is only told of is not there.
        let there = self.layers.iter().filter(|layer| layer.exists());
        let roots = there.map(|layer| root::open(layer));
        Ok(Accounts::of_layers(roots.collect::<Result<_>>()?))
    }
}
