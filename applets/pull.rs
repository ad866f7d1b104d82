//! pull: an image from a registry, verified, into a pipe, a file or a directory.
//!
//! Nothing but the image goes to standard output; everything else is said on standard error.

#[path = "pull/environment.rs"]
pub(crate) mod environment;
#[path = "pull/login.rs"]
mod login;
#[path = "pull/prune.rs"]
mod prune;

use std::io::{BufWriter, IsTerminal, Write, stdout};
use std::path::{Path, PathBuf};
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use isobox::error::{Doing, Error, Result};
use isobox::image::credentials::{Keychain, Login};
use isobox::image::observer::Observer;
use isobox::image::reference::Typed;
use isobox::image::registries_conf::{Place, RegistriesConf};
use isobox::image::registry::{Patience, Registry, Safety, Shared};
use isobox::image::remote::{Remote, Top, platforms};
#[cfg(feature = "tls")]
use isobox::image::signature::Key;
use isobox::image::store::Store;
use isobox::image::transport::Transport;
use isobox::image::{Digest, Document, Image, Platform, Reference, Source, archive, save};
use isobox::rootfs::apply::Limits;
use isobox::rootfs::local::Local;
use isobox::rootfs::staging::Staging;
use isobox::rootfs::unpack;

use crate::cli::help::print_all;
use crate::cli::progress::{Progress, Style};
use crate::cli::raw::Raw;
use crate::cli::table::{Column, Fit, Format, Table};
use crate::cli::{Applet, Exit, mapped};

/// fetch an image from a registry and verify it
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "pull",
    example = "pull alpine | mkrootfs root",
    example = "pull alpine root",
    example = "pull alpine -o alpine.tar",
    example = "pull --platform linux/arm64 ghcr.io/org/app:1.2 -o layout/",
    example = "pull --list-platforms debian",
    example = "pull login registry.example -u me --password-stdin <password",
    note = "Without -o the image goes to standard output: one tar that is an OCI layout and a docker archive, with its layers in order.",
    note = "'pull login [registry]' keeps a password, 'pull logout [registry]' forgets it.",
    note = "'pull prune [image]...' forgets these images, and removes from the cache what no name leads to any more.",
    note = "Short names are explained by registries.conf, and else are Docker Hub's."
)]
pub(crate) struct Args {
    /// write to this file, or with a slash behind it to a directory that is an OCI layout
    #[argh(option, short = 'o', arg_name = "file")]
    output: Option<Raw>,
    /// unpack it for container run, each layer by itself and once, and print its ID
    #[argh(switch)]
    local: bool,
    /// the image for os/architecture[/variant] instead of this machine's
    #[argh(option, arg_name = "platform")]
    platform: Option<Platform>,
    /// print the manifest, or the index where there is one and no --platform
    #[argh(switch)]
    manifest: bool,
    /// print the config
    #[argh(switch)]
    config: bool,
    /// print the digest
    #[argh(switch)]
    digest: bool,
    /// list the tags of the repository
    #[argh(switch)]
    tags: bool,
    /// list the platforms that there are images for
    #[argh(switch)]
    list_platforms: bool,
    /// print lists as JSON
    #[argh(switch, short = 'J')]
    json: bool,
    /// refuse an image that the holder of this key has not signed, by cosign
    #[argh(option, arg_name = "file")]
    verify: Option<Raw>,
    /// unpack as mkrootfs --single-id does: all files belong to the caller
    #[argh(switch)]
    single_id: bool,
    /// do not wait until everything unpacked is on the disk
    #[argh(switch)]
    no_sync: bool,
    /// write the digest of the image's manifest to this file
    #[argh(option, arg_name = "file")]
    digestfile: Option<Raw>,
    /// how to tell how it goes on
    #[argh(option, arg_name = "auto|plain|json|none", default = "Style::Auto")]
    progress: Style,
    /// say nothing but errors
    #[argh(switch, short = 'q')]
    quiet: bool,
    /// use what is in the cache, and no network
    #[argh(switch)]
    offline: bool,
    /// keep blobs in this directory
    #[argh(option, arg_name = "dir")]
    cache: Option<Raw>,
    /// keep nothing
    #[argh(switch)]
    no_cache: bool,
    /// how often to try again what failed (3)
    #[argh(option, arg_name = "count", default = "3")]
    retry: u32,
    /// how many seconds a server may say nothing (30)
    #[argh(option, arg_name = "seconds", default = "30")]
    timeout: u32,
    /// the file of credentials
    #[argh(option, arg_name = "file")]
    authfile: Option<Raw>,
    /// name and password for the registry of the image
    #[argh(option, arg_name = "name:password")]
    creds: Option<String>,
    /// the name to log in with
    #[argh(option, short = 'u', arg_name = "name")]
    username: Option<String>,
    /// read the password from standard input
    #[argh(switch)]
    password_stdin: bool,
    /// use no credentials
    #[argh(switch)]
    no_creds: bool,
    /// let this token server of the registry see the credentials; may be repeated
    #[argh(option, arg_name = "host")]
    auth_realm: Vec<String>,
    /// speak http without TLS
    #[argh(switch)]
    plain_http: bool,
    /// do not check who the registry is, and speak http where it has no TLS
    #[argh(switch)]
    insecure: bool,
    /// trust the authorities of this file too
    #[argh(option, arg_name = "file")]
    cacert: Option<Raw>,
    /// a directory with ca.crt, client.cert and client.key for the registry
    #[argh(option, arg_name = "dir")]
    cert_dir: Option<Raw>,
    /// the image: [registry/]repository[:tag][@digest]
    #[argh(positional)]
    image: String,
    /// where to unpack it
    #[argh(positional, arg_name = "dir")]
    rest: Vec<Raw>,
}

impl Applet for Args {
    fn run(self) -> Result<Exit> {
        let unpacks = (self.local || !self.rest.is_empty())
            && !["login", "logout", "prune"].contains(&self.image.as_str());
        if unpacks
            && !self.single_id
            && let Some(exit) = mapped::with_subordinate_ids("pull")?
        {
            return Ok(exit);
        }
        let style = if self.quiet {
            Style::Quiet
        } else {
            self.progress
        };
        let progress = Progress::new("pull", style, environment::terminal().as_deref());
        let conf = RegistriesConf::read(&environment::registries_conf())?;
        if self.image == "prune" {
            return prune::prune(&self, &conf, &progress);
        }
        if self.image == "logout" {
            return login::logout(&self, self.registry_operand()?.as_deref());
        }
        let transport = self.transport()?;
        let patience = Patience {
            retries: self.retry,
            pause: Duration::from_secs(1),
        };
        let shared = Shared::new(&transport, patience, &self.auth_realm, &progress);
        if self.image == "login" {
            return login::login(&self, &shared, &conf, self.registry_operand()?.as_deref());
        }
        let store = self.store(&progress)?;
        let pull = Pull {
            args: &self,
            conf: &conf,
            shared: &shared,
            store: store.as_ref(),
            progress: &progress,
        };
        pull.run()
    }
}

impl Args {
    fn authfile(&self) -> Option<PathBuf> {
        self.authfile.clone().map(Raw::into_path)
    }

    fn safety(&self) -> Safety {
        match (self.plain_http, self.insecure) {
            (true, _) => Safety::Plain,
            (_, true) => Safety::Insecure,
            _ => Safety::Verified,
        }
    }

    /// The registry behind `login` and `logout`.
    fn registry_operand(&self) -> Result<Option<String>> {
        match &self.rest[..] {
            [] => Ok(None),
            [registry] => Ok(Some(registry.0.to_string_lossy().into_owned())),
            [_, more, ..] => Err(Error::new("unexpected argument").on(&more.0)),
        }
    }

    fn transport(&self) -> Result<Transport> {
        let user_agent = concat!("isobox/", env!("CARGO_PKG_VERSION"));
        let idle = Duration::from_secs(self.timeout.max(1).into());
        #[cfg(feature = "tls")]
        {
            let path = |raw: &Option<Raw>| raw.clone().map(Raw::into_path);
            let trust = environment::trust(path(&self.cacert), path(&self.cert_dir));
            Transport::new(environment::proxies(), user_agent, idle, trust)
        }
        #[cfg(not(feature = "tls"))]
        {
            if self.cacert.is_some() || self.cert_dir.is_some() {
                return Err(Error::new("there is no use for certificates")
                    .because("this isobox was built without TLS"));
            }
            Transport::new(environment::proxies(), user_agent, idle)
        }
    }

    /// The cache. One that nobody asked for by name may be missing.
    fn store(&self, progress: &Progress) -> Result<Option<Store>> {
        if self.no_cache {
            return match self.offline {
                true => Err(Error::new(
                    "--offline has nothing to take without the cache",
                )),
                false => Ok(None),
            };
        }
        if let Some(named) = &self.cache {
            return Store::open(Path::new(&named.0)).map(Some);
        }
        let opened = environment::cache().map(|path| Store::open(&path));
        match opened {
            Some(Err(error)) if !self.offline => {
                progress.note(&format!("{error}; going on without a cache"));
                Ok(None)
            }
            Some(result) => result.map(Some),
            None if self.offline => {
                Err(Error::new("there is no cache")
                    .because("neither XDG_CACHE_HOME nor HOME is set"))
            }
            None => Ok(None),
        }
    }

    fn given_login(&self) -> Result<Option<Login>> {
        let Some(creds) = &self.creds else {
            return Ok(None);
        };
        let (user, password) = creds
            .split_once(':')
            .ok_or_else(|| Error::new("--creds has no colon").hint("name:password"))?;
        Ok(Some(Login::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        }))
    }
}

/// A pull with all that it needs.
struct Pull<'a> {
    args: &'a Args,
    conf: &'a RegistriesConf,
    shared: &'a Shared<'a>,
    store: Option<&'a Store>,
    progress: &'a Progress,
}

impl Pull<'_> {
    fn run(&self) -> Result<Exit> {
        let args = self.args;
        let root = match &args.rest[..] {
            [] => None,
            [root] => Some(Path::new(&root.0)),
            [_, more, ..] => return Err(Error::new("unexpected argument").on(&more.0)),
        };
        let asks = [
            args.manifest,
            args.config,
            args.digest,
            args.tags,
            args.list_platforms,
            args.local,
        ];
        let asked = asks.iter().filter(|asked| **asked).count();
        if asked > 1 || asked == 1 && (root.is_some() || args.output.is_some()) {
            return Err(Error::new(
                "one thing at a time: --manifest, --config, --digest, --tags, --list-platforms, --local, or the image",
            ));
        }
        if root.is_some() && args.output.is_some() {
            return Err(Error::new(
                "either a directory to unpack to or -o, not both",
            ));
        }
        let to_stdout =
            root.is_none() && asked == 0 && args.output.as_ref().is_none_or(|out| out.0 == "-");
        if to_stdout && stdout().is_terminal() {
            return Err(Error::new("the image is an archive, and does not go to a terminal").hint("-o FILE, -o DIR/, a directory to unpack to, or a pipe: pull IMAGE | mkrootfs DIR"));
        }
        let typed = Typed::parse(&args.image).map_err(|e| self.is_a_file().unwrap_or(e))?;
        let candidates = self.conf.candidates(&typed)?;
        let Some((last, others)) = candidates.split_last() else {
            return Err(Error::new("there is no registry to ask"));
        };
        for candidate in others {
            let remote = self.remote(candidate)?;
            match remote.top() {
                Ok(top) => return self.serve(&remote, Some(top), root),
                Err(error) => self
                    .progress
                    .note(&format!("{error}; trying the next registry")),
            }
        }
        self.serve(&self.remote(last)?, None, root)
    }

    /// What somebody wants who names an archive.
    fn is_a_file(&self) -> Option<Error> {
        let path = Path::new(&self.args.image);
        path.exists().then(|| {
            Error::new("this is no name of an image but a file:")
                .on(path)
                .hint("mkrootfs -i FILE DIR unpacks an archive")
        })
    }

    /// The repository at the places where it can be had, with what we are there.
    fn remote(&self, reference: &Reference) -> Result<Remote<'_>> {
        let mut registries = Vec::new();
        if !self.args.offline {
            let places = self.conf.places(reference)?;
            let mut failed = None;
            for place in &places {
                match self.open(reference, place) {
                    Ok(registry) => registries.push(registry),
                    Err(error) => {
                        failed.get_or_insert(error);
                    }
                }
            }
            if let (true, Some(error)) = (registries.is_empty(), failed) {
                return Err(error);
            }
        }
        Ok(Remote {
            shared: self.shared,
            registries,
            store: self.store,
            reference: reference.clone(),
        })
    }

    fn open(&self, reference: &Reference, place: &Place) -> Result<Registry<'_>> {
        let note = |text: &str| self.progress.note(text);
        let keychain = Keychain {
            // What is said on the command line is for the registry that the name says, and no mirror of it.
            given: self.args.given_login()?.filter(|_| !place.mirror),
            files: environment::auth_files(self.args.authfile()),
            helper: &login::Programs,
            note: &note,
        };
        let known_as = if place.mirror {
            &place.host
        } else {
            &reference.registry
        };
        let login = match self.args.no_creds {
            true => None,
            false => keychain.find(known_as, &reference.repository)?,
        };
        let safety = match self.args.safety() {
            Safety::Verified => place.safety,
            asked => asked,
        };
        Registry::open(self.shared, &place.host, &place.repository, login, safety)
    }

    /// Does what was asked for.
    fn serve(&self, remote: &Remote<'_>, top: Option<Top>, root: Option<&Path>) -> Result<Exit> {
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

    fn tags(&self, remote: &Remote<'_>) -> Result<Exit> {
        if self.args.verify.is_some() {
            return Err(Error::new(
                "--verify has nothing to verify of a list of tags",
            ));
        }
        let mut table = self.list("tags", &["TAG"]);
        let (last, _) = remote
            .registries
            .split_last()
            .ok_or_else(|| Error::new("--tags needs the network"))?;
        for tag in last.tags()? {
            table.add(None, vec![tag.into_bytes()]);
        }
        table.print()
    }

    fn platforms(&self, remote: &Remote<'_>, top: Top) -> Result<Exit> {
        let mut table = self.list("platforms", &["PLATFORM"]);
        let mut seen: Vec<String> = match &top.document {
            Document::Index(index) => platforms(index).map(ToString::to_string).collect(),
            Document::Manifest(_) => vec![remote.image(top.fetched)?.config.platform().to_string()],
        };
        seen.dedup();
        for platform in seen {
            table.add(None, vec![platform.into_bytes()]);
        }
        table.print()
    }

    /// A list: one thing a line, or JSON.
    fn list(&self, name: &'static str, columns: &[&'static str]) -> Table {
        let column = |name: &&'static str| Column {
            name,
            help: "",
            width: 0,
            number: false,
            fit: Fit::Left,
        };
        let mut table = Table::new(name, columns.iter().map(column).collect());
        table.headings = false;
        table.format = if self.args.json {
            Format::Json
        } else {
            Format::Columns
        };
        table
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
