//! pull: an image from a registry, verified, into a pipe, a file or a directory.
//!
//! Nothing but the image goes to standard output; everything else is said on standard error.

#[path = "pull/environment.rs"]
pub(crate) mod environment;
#[path = "pull/find.rs"]
mod find;
#[path = "pull/lists.rs"]
mod lists;
#[path = "pull/login.rs"]
mod login;
#[path = "pull/prune.rs"]
mod prune;
#[path = "pull/serve.rs"]
mod serve;

use std::path::{Path, PathBuf};
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use isobox::error::{Error, Result};
use isobox::image::Platform;
use isobox::image::credentials::Login;
use isobox::image::observer::Observer;
use isobox::image::registries_conf::RegistriesConf;
use isobox::image::registry::{Patience, Safety, Shared};
use isobox::image::store::Store;
use isobox::image::transport::Transport;

use crate::cli::progress::{Progress, Style};
use crate::cli::raw::Raw;
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
