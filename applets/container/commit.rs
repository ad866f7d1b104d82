//! container commit: an image of what a container has written.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, Write};
use std::os::fd::AsFd;
use std::time::SystemTime;

use argh::{ArgsInfo, FromArgs};
use isobox::error::{Doing, Error, Result};
use isobox::image::config::Execution;
use isobox::image::digest::Hasher;
use isobox::image::reference::Typed;
use isobox::image::store::Store;
use isobox::image::{Descriptor, Digest, Image, Manifest, Source, media};
use isobox::json::texts;
use isobox::oci::lifecycle::Container;
use isobox::oci::time;
use isobox::rootfs::local::Local;
use isobox::rootfs::pack::pack_layer;
use isobox::throw_away::UPPER;
use nix::unistd::geteuid;

use super::images;
use super::kept::{Shelf, shown};
use crate::cli::mapped::lack;
use crate::cli::raw::Raw;
use crate::cli::{Exit, help};
use crate::table::pull::environment;

/// make an image of a container and of what it has written
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "commit",
    example = "container commit web web:fixed",
    example = "container commit -c 'CMD [\"httpd\", \"-f\"]' -c 'ENV PORT=80' box server",
    note = "A container that runs is paused meanwhile. What is written to volumes is not in the image."
)]
pub(super) struct Commit {
    /// change how the image wants to be run: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME or WORKDIR, as
    /// in a Dockerfile
    #[argh(option, short = 'c', arg_name = "instruction")]
    change: Vec<String>,
    /// print nothing
    #[argh(switch, short = 'q')]
    quiet: bool,
    /// the container, and the name of the image
    #[argh(positional)]
    container: Vec<Raw>,
}

impl Commit {
    pub(super) fn run(self) -> Result<Exit> {
        let [word, Raw(name)] = &self.container[..] else {
            return Err(
                Error::new("a container and a name for the image are expected").status(125),
            );
        };
        let name = Typed::parse(&name.to_string_lossy())?.reference;
        let name = name
            .tagged()
            .ok_or_else(|| Error::new("an image is named by a tag, not by a digest"))?;
        let shelf = Shelf::ours();
        let home = shelf.find(word)?;
        let live = shelf
            .live(&home)?
            .filter(|live| live.record().first().is_some());
        let _paused = live.as_ref().and_then(Paused::new);
        let local = images::local()?;
        if !geteuid().is_root() && lack().is_none() {
            return self.mapped(&local, home.id().as_str(), &name);
        }
        let id = home.id().as_str();
        let parent = local.image_of(id)?.ok_or_else(|| {
            Error::new("cannot make an image of")
                .on(shown(&home))
                .because("it is not made of an image")
        })?;
        let upper = local.written(id).join(UPPER);
        let upper = isobox::root::open(&upper).map_err(|error| {
            error.hint("a container whose root is a copy (--copy) has no layer of its own")
        })?;
        let image = self.image(&local, &parent, upper.as_fd(), &name)?;
        match self.quiet {
            true => Ok(Exit::OK),
            false => help::print_all(&format!("{}\n", image.manifest.config.digest)),
        }
    }

    /// The same where the ids of the container exist.
    fn mapped(&self, local: &Local, id: &str, name: &str) -> Result<Exit> {
        let mut words = vec![
            "unshare",
            "--map-root-user",
            "--map-auto",
            "--",
            "container",
            "commit",
        ];
        for change in &self.change {
            words.extend(["-c", change]);
        }
        if self.quiet {
            words.push("-q");
        }
        words.extend(["--", id, name]);
        let mut command = images::own(&words);
        let status = command.env("ISOBOX_ROOT", local.path()).status();
        let status = status.doing("cannot start in a user namespace")?;
        Ok(Exit::Status(
            u8::try_from(status.code().unwrap_or(125)).unwrap_or(125),
        ))
    }

    fn image(
        &self,
        local: &Local,
        parent: &Image,
        upper: std::os::fd::BorrowedFd<'_>,
        name: &str,
    ) -> Result<Image> {
        let path = environment::cache()
            .ok_or_else(|| Error::new("there is no cache to keep the layer in"))?;
        let cache = Store::open(&path)?;
        let (layer, mut file) = layer(upper, local)?;
        if let Some(partial) = cache.begin(&layer.digest)? {
            let doing = "cannot write the layer";
            partial.file.set_len(0).doing(doing)?;
            std::io::copy(&mut file, &mut &*partial.file).doing(doing)?;
            cache.finish(&partial)?;
        }
        let mut config = parent.config.clone();
        config.created = Some(time::seconds(SystemTime::now()));
        config.rootfs.diff_ids.push(layer.digest);
        for change in &self.change {
            instruct(&mut config.config, change)?;
        }
        let config_bytes = config.to_json()?;
        let mut manifest: Manifest = parent.manifest.clone();
        manifest.layers.push(layer);
        manifest.subject = None;
        manifest.config = Descriptor::new(
            &parent.manifest.config.media_type,
            Digest::sha256(&config_bytes),
            config_bytes.len() as u64,
        );
        let manifest_bytes = manifest.to_json()?;
        let image = Image::new(&parent.descriptor.media_type, manifest_bytes, config_bytes)?;
        let source = Cached {
            image: &image,
            store: &cache,
        };
        local.add(&image, name, &source, &|_, _, _| {})?;
        cache.keep(&image.manifest.config.digest, &image.config_bytes)?;
        cache.keep(&image.descriptor.digest, &image.manifest_bytes)?;
        cache.remember(name, &image.descriptor)?;
        Ok(image)
    }
}

/// A container that is paused as long as this lives.
struct Paused<'a>(&'a Container);

impl<'a> Paused<'a> {
    fn new(live: &'a Container) -> Option<Self> {
        live.pause().ok().map(|()| Self(live))
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        let _ = self.0.resume();
    }
}

/// The layer of what an overlay has written: a tar that is not packed, in a file that has no name.
fn layer(upper: std::os::fd::BorrowedFd<'_>, local: &Local) -> Result<(Descriptor, File)> {
    let doing = "cannot write the layer";
    let mut file = nix::fcntl::open(
        local.path(),
        nix::fcntl::OFlag::O_TMPFILE | nix::fcntl::OFlag::O_RDWR | nix::fcntl::OFlag::O_CLOEXEC,
        nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR,
    )
    .map(File::from)
    .doing(doing)?;
    let mut hashed = Hashed {
        file: &mut file,
        hasher: Hasher::sha256(),
        size: 0,
    };
    let mut out = BufWriter::with_capacity(1 << 18, &mut hashed);
    pack_layer(upper, &mut out)?;
    out.flush().doing(doing)?;
    drop(out);
    let (digest, size) = (hashed.hasher.finish(), hashed.size);
    file.rewind().doing(doing)?;
    Ok((Descriptor::new(media::LAYER, digest, size), file))
}

struct Hashed<'f> {
    file: &'f mut File,
    hasher: Hasher,
    size: u64,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The new image, whose one missing layer the cache has.
struct Cached<'a> {
    image: &'a Image,
    store: &'a Store,
}

impl Source for Cached<'_> {
    fn image(&self) -> &Image {
        self.image
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        let blob = self.store.blob(descriptor);
        let gone = || Error::new("the cache lacks").on(descriptor.digest.to_string());
        blob.map(|blob| -> Box<dyn Read + Send + '_> { Box::new(blob) })
            .ok_or_else(gone)
    }
}

/// Follows an instruction of a Dockerfile.
fn instruct(how: &mut Execution, instruction: &str) -> Result<()> {
    let bad = |why: &'static str| {
        Error::new("cannot follow the instruction")
            .on(instruction)
            .because(why)
    };
    let text = instruction.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let words = || -> Result<Vec<String>> {
        match rest.starts_with('[') {
            true => texts(rest).map_err(|_| bad("a list of strings in JSON is expected")),
            false => Ok(vec!["/bin/sh".into(), "-c".into(), rest.into()]),
        }
    };
    // The old form has a blank between name and value.
    let pair = || {
        let (name, value) = rest
            .split_once(['=', ' '])
            .filter(|(name, _)| !name.is_empty())?;
        Some((name.to_owned(), value.trim_matches('"').to_owned()))
    };
    let no_pair = || bad("NAME=VALUE is expected");
    match &*word.to_ascii_uppercase() {
        _ if rest.is_empty() => return Err(bad("something is expected behind its name")),
        "CMD" => how.cmd = words()?,
        "ENTRYPOINT" => how.entrypoint = words()?,
        "ENV" => {
            let (name, value) = pair().ok_or_else(no_pair)?;
            how.env.retain(|old| old.split('=').next() != Some(&name));
            how.env.push(format!("{name}={value}"));
        }
        "LABEL" => drop(
            pair()
                .map(|(name, value)| how.labels.put(&name, value))
                .ok_or_else(no_pair)?,
        ),
        "EXPOSE" => how.exposed_ports.0.push(match rest.contains('/') {
            true => rest.into(),
            false => format!("{rest}/tcp"),
        }),
        "STOPSIGNAL" => how.stop_signal = rest.into(),
        "USER" => how.user = rest.into(),
        "VOLUME" => how.volumes.0.push(rest.into()),
        "WORKDIR" => how.working_dir = rest.into(),
        _ => {
            return Err(bad(
                "there is no such instruction, or it is not for an image that is there",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_followed_or_refused() {
        let mut how = Execution::default();
        for good in [
            "ENV A=b",
            "env A c d",
            "CMD [\"x\", \"y\"]",
            "EXPOSE 80",
            "USER me",
        ] {
            instruct(&mut how, good).unwrap();
        }
        assert_eq!(how.env, ["A=c d"]);
        assert_eq!(how.cmd, ["x", "y"]);
        assert_eq!(how.exposed_ports.0, ["80/tcp"]);
        for bad in [
            "", "FROM x", "EXPOSE", "USER ", "CMD", "ENV", "ENV A", "ENV =b", "CMD [1]",
        ] {
            assert!(instruct(&mut how, bad).is_err(), "{bad}");
        }
    }
}
