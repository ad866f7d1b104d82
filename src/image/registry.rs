//! One repository of one registry, by the distribution specification (v1.1, "pull").
//!
//! Every request goes through `Registry::ask`: it answers challenges, waits and asks again where that may help, and
//! turns a refusal into an error that says what the registry said.

mod refusal;

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::MANIFEST_LIMIT;
use super::address::{Address, Nearness, Origin};
use super::authenticate::{Visitor, challenges};
use super::credentials::Login;
use super::descriptor::{Descriptor, media};
use super::digest::Digest;
use super::document::parse;
use super::observer::Observer;
use super::transport::{Again, Authorization, Failure, Reply, Request, Transport};
use super::verify;
use crate::error::{Error, Result};
use crate::json::objects;

pub use refusal::Refusal;

/// The longest time that a server can make us wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The most pages of tags.
const PAGES: usize = 1000;

/// How safely a registry is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// By https, and it proves who it is. On this machine it may do without TLS, if it has none at all.
    Verified,
    /// By https without proof, or else by http: it was called insecure.
    Insecure,
    /// By http.
    Plain,
}

/// How persistent requests are.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How often something is asked again after a failure that may pass.
    pub retries: u32,
    /// How long the first wait is; each is twice the one before.
    pub pause: Duration,
}

/// What all registries of a pull have in common.
pub struct Shared<'a> {
    /// Makes the requests.
    pub transport: &'a Transport,
    /// How persistent they are.
    pub patience: Patience,
    /// Hosts of token servers that the caller trusts with credentials.
    pub realms: &'a [String],
    /// Who is told.
    pub observer: &'a dyn Observer,
    stopped: Mutex<bool>,
    bell: Condvar,
}

impl<'a> Shared<'a> {
    /// Puts it together.
    pub fn new(
        transport: &'a Transport,
        patience: Patience,
        realms: &'a [String],
        observer: &'a dyn Observer,
    ) -> Self {
        Self {
            transport,
            patience,
            realms,
            observer,
            stopped: Mutex::new(false),
            bell: Condvar::new(),
        }
    }

    /// Ends everything that is under way or waits: nobody wants it any more.
    pub fn stop(&self) {
        *lock(&self.stopped) = true;
        self.bell.notify_all();
        self.transport.shut_down();
    }

    /// Whether [`Shared::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        *lock(&self.stopped)
    }

    /// Waits before the attempt with this number, counted from 1, or as long as the server said.
    pub(super) fn pause(&self, attempt: u32, said: Option<Duration>) {
        let doubled = self
            .patience
            .pause
            .saturating_mul(1 << attempt.saturating_sub(1).min(10));
        let wait = said.unwrap_or(doubled).min(LONGEST_WAIT);
        let stopped = lock(&self.stopped);
        let waited = self
            .bell
            .wait_timeout_while(stopped, wait, |stopped| !*stopped);
        drop(waited);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A repository.
pub struct Registry<'a> {
    shared: &'a Shared<'a>,
    origin: Origin,
    repository: String,
    login: Option<Login>,
    authorization: Mutex<Option<Authorization>>,
}

/// A manifest or index as it came.
pub struct Fetched {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What it was announced as.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
}

impl<'a> Registry<'a> {
    /// The repository at `host[:port]`. Where it is not settled yet whether TLS is spoken there, that is found out.
    ///
    /// # Errors
    /// Where the host is none, or cannot be reached as safely as asked for.
    pub fn open(
        shared: &'a Shared<'a>,
        host: &str,
        repository: &str,
        login: Option<Login>,
        safety: Safety,
    ) -> Result<Self> {
        let host = if host == super::reference::DOCKER_HUB {
            "registry-1.docker.io"
        } else {
            host
        };
        let tls = Origin::new(true, host)?;
        let plain = Origin::new(false, host)?;
        if safety == Safety::Insecure {
            shared.transport.do_not_verify(&tls);
        }
        let near = tls.nearness() == Nearness::Loopback;
        let origin = match safety {
            Safety::Plain => plain,
            // Without TLS there is nothing to try before http.
            _ if !cfg!(feature = "tls") && (near || safety == Safety::Insecure) => plain,
            Safety::Verified if !near => tls,
            _ => probe(shared, tls, plain)?,
        };
        Ok(Self {
            shared,
            origin,
            repository: repository.to_owned(),
            login,
            authorization: Mutex::default(),
        })
    }

    /// Where it is.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Asks whether we are let in at all.
    ///
    /// # Errors
    /// Where we are not.
    pub fn log_in(&self) -> Result<()> {
        let address = self.origin.at("/v2/");
        let reply = self
            .ask_at(&address, "the root", false, &[])
            .map_err(Error::from)?;
        drop(reply);
        Ok(())
    }

    /// The manifest or index of this tag or digest.
    ///
    /// # Errors
    /// Where there is none, or what comes is not what it should be.
    pub fn manifest(&self, version: &str, digest: Option<&Digest>) -> Result<Fetched, Refusal> {
        let what = format!("manifests/{version}");
        let reply = self.ask(&what, false, &[("accept", accepted())])?;
        let media_type = reply.header("content-type").unwrap_or_default().to_owned();
        let claimed = reply.header("docker-content-digest").map(str::to_owned);
        let doing = || {
            Error::new(format!(
                "cannot read the manifest {version} of {}",
                self.name()
            ))
        };
        let bytes = reply
            .into_bytes(MANIFEST_LIMIT)
            .map_err(|e| verify::unwrap(e, doing))?;
        let own = Digest::sha256(&bytes);
        let known = match (digest, claimed.map(|text| text.parse::<Digest>())) {
            (Some(digest), _) => Some(*digest),
            (None, Some(Ok(claimed))) => Some(claimed),
            (None, Some(Err(error))) => return Err(doing().because(error.to_string()).into()),
            (None, None) => None,
        };
        if let Some(known) = &known {
            verify::check_digest(&bytes, known)?;
        }
        Ok(Fetched {
            bytes,
            media_type,
            digest: known.unwrap_or(own),
        })
    }

    /// The digest that this tag has now, as the registry says, without fetching what it names.
    ///
    /// # Errors
    /// Where there is none, or the registry does not say.
    pub fn digest(&self, version: &str) -> Result<Digest, Refusal> {
        let what = format!("manifests/{version}");
        let reply = self.ask(&what, true, &[("accept", accepted())])?;
        match reply
            .header("docker-content-digest")
            .map(str::parse::<Digest>)
        {
            Some(Ok(digest)) => Ok(digest),
            _ => self.manifest(version, None).map(|fetched| fetched.digest),
        }
    }

    /// All of a small blob.
    ///
    /// # Errors
    /// Where it is not there, or not what it should be, or longer than `limit`.
    pub fn small_blob(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, Refusal> {
        let doing = || {
            Error::new(format!(
                "cannot read {} of {}",
                descriptor.digest,
                self.name()
            ))
        };
        if descriptor.size > limit {
            return Err(doing()
                .because(format!("it is longer than {limit} bytes"))
                .into());
        }
        let reply = self.ask(&format!("blobs/{}", descriptor.digest), false, &[])?;
        let bytes = reply
            .into_bytes(limit)
            .map_err(|e| verify::unwrap(e, doing))?;
        verify::check(&bytes, descriptor)?;
        Ok(bytes)
    }

    /// A blob from this byte on, on condition that it has not changed if an entity tag is given.
    pub(super) fn blob(
        &self,
        digest: &Digest,
        from: u64,
        tag: Option<&str>,
    ) -> Result<Reply, Refusal> {
        let mut headers = Vec::new();
        if from > 0 {
            headers.push(("range", format!("bytes={from}-")));
            // A weak tag says nothing about bytes.
            headers.extend(
                tag.filter(|tag| tag.starts_with('"'))
                    .map(|tag| ("if-range", tag.to_owned())),
            );
        }
        self.ask(&format!("blobs/{digest}"), false, &headers)
    }

    /// The tags of the repository, in the registry's order.
    ///
    /// # Errors
    /// Where the registry does not list them.
    pub fn tags(&self) -> Result<Vec<String>> {
        let mut all: Vec<String> = Vec::new();
        let mut next = Some(self.at("tags/list?n=1000"));
        for _ in 0..PAGES {
            let Some(address) = next.take() else { break };
            let reply = self.ask_at(&address, "the tags", false, &[])?;
            let link = reply.header("link").map(str::to_owned);
            let doing = || Error::new(format!("cannot read the tags of {}", self.name()));
            let bytes = reply
                .into_bytes(MANIFEST_LIMIT)
                .map_err(|e| verify::unwrap(e, doing))?;
            let page: Tags = parse(&bytes, "list of tags", MANIFEST_LIMIT)?;
            let before = all.len();
            all.extend(
                page.tags
                    .into_iter()
                    .filter(|tag| super::reference::is_tag(tag)),
            );
            if all.len() > before {
                next = link.and_then(|link| self.next_page(&address, &link));
            }
        }
        Ok(all)
    }

    /// The manifests that say they are about this one (distribution-spec, "Listing Referrers").
    ///
    /// # Errors
    /// Where the registry's answer cannot be read; one that has no such list has none to offer.
    pub fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>> {
        let reply = match self.ask(
            &format!("referrers/{digest}"),
            false,
            &[("accept", media::INDEX.into())],
        ) {
            Ok(reply) => reply,
            Err(refusal) if refusal.absent => return Ok(Vec::new()),
            Err(refusal) => return Err(refusal.error),
        };
        let doing = || Error::new(format!("cannot read the referrers of {digest}"));
        let bytes = reply
            .into_bytes(MANIFEST_LIMIT)
            .map_err(|e| verify::unwrap(e, doing))?;
        match super::manifest::Document::parse(&bytes, None)? {
            super::manifest::Document::Index(index) => Ok(index.manifests),
            super::manifest::Document::Manifest(_) => Err(doing().because("it is no index")),
        }
    }

    fn name(&self) -> String {
        format!("{}/{}", self.origin.authority(), self.repository)
    }

    fn at(&self, what: &str) -> Address {
        self.origin.at(format!("/v2/{}/{what}", self.repository))
    }

    /// The address in `<...>; rel="next"`, if it leads to this registry.
    fn next_page(&self, here: &Address, link: &str) -> Option<Address> {
        let (target, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
        let next = here.join(target).ok()?;
        (rest.contains("next") && next.origin == self.origin).then_some(next)
    }

    /// Asks, logs in if need be, and asks again where that may help.
    fn ask(
        &self,
        what: &str,
        head: bool,
        headers: &[(&'static str, String)],
    ) -> Result<Reply, Refusal> {
        self.ask_at(&self.at(what), what, head, headers)
    }

    /// The same, of an address that the registry gave.
    fn ask_at(
        &self,
        address: &Address,
        what: &str,
        head: bool,
        headers: &[(&'static str, String)],
    ) -> Result<Reply, Refusal> {
        let (mut attempt, mut logged_in) = (0, false);
        loop {
            let authorization = lock(&self.authorization).clone();
            let request = Request {
                head,
                headers,
                authorization: authorization.as_ref(),
                ..Request::get(address)
            };
            let (error, wait) = match self.shared.transport.send(&request) {
                Ok(reply) if matches!(reply.status, 200 | 206) => return Ok(reply),
                Ok(reply) if reply.status == 401 && !logged_in => {
                    logged_in = true;
                    self.let_in(&reply)?;
                    continue;
                }
                Ok(reply) if matches!(reply.status, 408 | 429 | 500..=599) => {
                    let wait = reply.header("retry-after").and_then(wait_of);
                    (Refusal::of(self, what, reply).error, wait)
                }
                Ok(reply) => return Err(Refusal::of(self, what, reply)),
                Err(failure) if self.is_worth_another_try(&failure) => (failure.error, None),
                Err(failure) => return Err(failure.error.into()),
            };
            attempt += 1;
            if attempt > self.shared.patience.retries || self.shared.is_stopped() {
                return Err(error.into());
            }
            self.shared.observer.note(&format!("{error}; trying again"));
            self.shared.pause(attempt, wait);
        }
    }

    fn is_worth_another_try(&self, failure: &Failure) -> bool {
        match failure.again {
            Again::Never => false,
            Again::Soon => true,
            Again::IfAnsweredBefore => self.shared.transport.was_answered(),
        }
    }

    fn let_in(&self, reply: &Reply) -> Result<()> {
        let scope = format!("repository:{}:pull", self.repository);
        let visitor = Visitor {
            transport: self.shared.transport,
            registry: &self.origin,
            scope: if self.repository.is_empty() {
                ""
            } else {
                &scope
            },
            login: self.login.as_ref(),
            realms: self.shared.realms,
            note: &|text| self.shared.observer.note(text),
        };
        let offered = challenges(reply.headers("www-authenticate"));
        *lock(&self.authorization) = Some(visitor.answer(&offered)?);
        Ok(())
    }
}

/// Finds out whether TLS is spoken: https first, and http only where the other end has never heard of TLS.
fn probe(shared: &Shared<'_>, tls: Origin, plain: Origin) -> Result<Origin> {
    let address = tls.at("/v2/");
    match shared.transport.send(&Request::get(&address)) {
        Ok(_) => Ok(tls),
        Err(failure) if failure.not_tls => Ok(plain),
        Err(failure) if failure.again != Again::Never && tls.port != plain.port => {
            // Nobody on https's own port; http has another.
            let address = plain.at("/v2/");
            shared
                .transport
                .send(&Request::get(&address))
                .map(|_| plain)
                .map_err(|_| failure.error)
        }
        Err(failure) => Err(failure.error),
    }
}

/// The media types that are understood.
fn accepted() -> String {
    [
        media::MANIFEST,
        media::INDEX,
        media::DOCKER_MANIFEST,
        media::DOCKER_INDEX,
    ]
    .join(", ")
}

/// `Retry-After` in seconds. One that is a date or no number at all says nothing.
fn wait_of(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_secs)
}

objects! {
    struct Tags {
        tags: Vec<String>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read() {
        let cases = [
            ("3", Some(3)),
            (" 120 ", Some(120)),
            ("-1", None),
            ("1e9", None),
            ("Fri, 31 Dec 1999 23:59:59 GMT", None),
            ("", None),
        ];
        for (text, want) in cases {
            assert_eq!(wait_of(text), want.map(Duration::from_secs), "{text}");
        }
    }
}
