//! What is done with an image that was found, and where it goes.

use std::io::{BufWriter, Write, stdout};
use std::path::Path;

use isobox::error::{Doing, Error, Result};
use isobox::image::observer::Observer;
use isobox::image::remote::{Remote, Top};
#[cfg(feature = "tls")]
use isobox::image::signature::Key;
use isobox::image::{Digest, Document, Image, Platform, Source, archive, save};
use isobox::rootfs::apply::Limits;
use isobox::rootfs::local::Local;
use isobox::rootfs::staging::Staging;
use isobox::rootfs::unpack;

use crate::cli::Exit;
use crate::cli::help::print_all;

use super::{Pull, environment};

impl Pull<'_> {
    /// Does what was asked for.
    pub(super) fn serve(
        &self,
        remote: &Remote<'_>,
        top: Option<Top>,
        root: Option<&Path>,
    ) -> Result<Exit> {
        let args = self.args;
        if args.tags {
            return self.tags(remote);
        }
        // What is asked of the name as a whole, and not of the image for one platform.
        let whole =
            args.list_platforms || (args.platform.is_none() && (args.manifest || args.digest));
        if args.digest && whole && top.is_none() && args.verify.is_none() {
            return print_all(&format!("{}\n", remote.digest()?));
        }
        let top = match top {
            Some(top) => top,
            None => remote.top()?,
        };
        remote.remember(&top)?;
        if whole {
            self.verify(remote, &[top.fetched.digest])?;
            return self.tell_whole(remote, top);
        }
        let digest = top.fetched.digest;
        let wanted = args.platform.clone().unwrap_or_else(Platform::host);
        let single = matches!(top.document, Document::Manifest(_));
        let manifest = remote.manifest(top, &wanted)?;
        self.verify(remote, &[digest, manifest.digest])?;
        let image = remote.image(manifest)?;
        if single {
            self.check_platform(&image, &wanted)?;
        }
        if args.manifest {
            return write_out(&image.manifest_bytes);
        }
        if args.digest {
            return print_all(&format!("{}\n", image.descriptor.digest));
        }
        if args.config {
            return write_out(&image.config_bytes);
        }
        if args.local {
            return self.keep(remote, &image);
        }
        self.progress.begin(&image, &remote.reference.to_string());
        remote.with_blobs(&image, |source| self.deliver(source, root))?;
        if let Some(file) = &args.digestfile {
            let path = Path::new(&file.0);
            let digest = image.descriptor.digest;
            save::file(path, |out| {
                write!(out, "{digest}").doing_to("cannot write", path)
            })?;
        }
        self.progress.end(&remote.reference.at(digest).to_string());
        Ok(Exit::OK)
    }

    /// Puts it among the images for containers; a layer that is there is not fetched again.
    fn keep(&self, remote: &Remote<'_>, image: &Image) -> Result<Exit> {
        let path =
            environment::images().ok_or_else(|| Error::new("there is no place for images"))?;
        let local = Local::open(&path)?;
        let reference = &remote.reference;
        let name = reference.tagged().unwrap_or_else(|| reference.to_string());
        let mut wanted = image.clone();
        wanted.manifest.layers = local.missing(image);
        self.progress.begin(&wanted, &name);
        let add = |source: &dyn Source| local.add(image, &name, source, &|_, _, _| {});
        let notes = remote.with_blobs(&wanted, add)?;
        self.progress.end(&name);
        for note in notes {
            self.progress.note(&format!("note: {note}"));
        }
        print_all(&format!("{}\n", image.manifest.config.digest))
    }

    fn tell_whole(&self, remote: &Remote<'_>, top: Top) -> Result<Exit> {
        if self.args.list_platforms {
            return self.platforms(remote, top);
        }
        if self.args.manifest {
            return write_out(&top.fetched.bytes);
        }
        print_all(&format!("{}\n", top.fetched.digest))
    }

    /// Whether the image is signed, where that is asked for. Either its own digest is, or that of the index.
    #[cfg(feature = "tls")]
    fn verify(&self, remote: &Remote<'_>, digests: &[Digest]) -> Result<()> {
        let Some(file) = &self.args.verify else {
            return Ok(());
        };
        let path = Path::new(&file.0);
        if remote.registries.is_empty() {
            return Err(Error::new("--verify needs the network")
                .because("signatures are not kept in the cache"));
        }
        let pem = std::fs::read(path).doing_to("cannot read the key", path)?;
        let key = Key::parse(&pem).map_err(|e| {
            Error::new("cannot use the key")
                .on(path)
                .because(e.to_string())
        })?;
        isobox::image::signature::verify(remote, &key, digests)
    }

    #[cfg(not(feature = "tls"))]
    fn verify(&self, _: &Remote<'_>, _: &[Digest]) -> Result<()> {
        match &self.args.verify {
            None => Ok(()),
            Some(_) => Err(Error::new("cannot verify signatures")
                .because("this isobox was built without TLS and its cryptography")),
        }
    }

    /// An image that is the only one has to be for the platform that was asked for; for this machine it may be another.
    fn check_platform(&self, image: &Image, wanted: &Platform) -> Result<()> {
        let is = image.config.platform();
        let fits = is.os == wanted.os && is.architecture == wanted.architecture;
        if is.architecture.is_empty() || fits {
            return Ok(());
        }
        if self.args.platform.is_some() {
            let error = Error::new(format!("there is no image for {wanted}"));
            return Err(error.hint(format!("there are {is}")));
        }
        self.progress.note(&format!(
            "the image is for {is}, and this machine is {wanted}"
        ));
        Ok(())
    }

    /// Where it goes.
    fn deliver(&self, source: &dyn Source, root: Option<&Path>) -> Result<()> {
        if let Some(root) = root {
            return self.unpack(source, root);
        }
        let output = self.args.output.as_ref().map(|output| Path::new(&output.0));
        match output {
            Some(path) if path.as_os_str() == "-" => to_stdout(source),
            Some(path) if is_directory(path) => save::layout(source, path),
            Some(path) => save::file(path, |out| {
                archive::write(source, &mut BufWriter::with_capacity(256 * 1024, out))
            }),
            None => to_stdout(source),
        }
    }

    /// The whole way in one process: the layers are unpacked while they come.
    fn unpack(&self, source: &dyn Source, path: &Path) -> Result<()> {
        let staging = Staging::new(path)?;
        let report = unpack::image(source, staging.root()?, Limits::default(), &|_, _, _| {})?;
        staging.finish(path, !self.args.no_sync)?;
        for note in report.notes() {
            self.progress.note(&format!("note: {note}"));
        }
        Ok(())
    }
}

fn is_directory(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/") || path.is_dir()
}

/// Past the standard library's stdout, which looks for ends of lines in all that passes.
fn to_stdout(source: &dyn Source) -> Result<()> {
    let out = isobox::sys::STANDARD
        .1
        .try_clone_to_owned()
        .doing("write error")?;
    let mut out = BufWriter::with_capacity(256 * 1024, std::fs::File::from(out));
    archive::write(source, &mut out)?;
    out.flush().doing("write error")
}

fn write_out(bytes: &[u8]) -> Result<Exit> {
    let mut out = stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .doing("write error")?;
    Ok(Exit::OK)
}
