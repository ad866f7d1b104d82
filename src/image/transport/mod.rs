//! HTTP/1.1 requests to registries and to what they refer to.
//!
//! ureq does the protocol, with a TCP, proxy and TLS chain put together here. What it would do by itself and must not
//! is off: following redirects, decoding content, reading the environment.
//!
//! A secret is an [`Authorization`], made for one origin. A request carries it only if it goes to that origin, and so
//! does a redirected one only if it has never been anywhere else: there is no way to send it elsewhere by mistake.

mod failure;
#[cfg(feature = "tls")]
mod judge;
mod measured;
#[cfg(feature = "tls")]
mod provider;
pub mod proxy;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
pub mod trust;

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Method};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, TcpConnector};
use ureq::{Agent, BodyReader, Proxy};

use super::address::{Address, Nearness, Origin};
use crate::error::{Error, Result};
pub use failure::{Again, Failure};
use failure::{failure, misled, refused, told};
use proxy::Proxies;

/// Redirects that are followed.
const REDIRECTS: usize = 5;
/// How long a connection may take to be made, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// The time over which the least rate is measured, and the bytes that have to come in it.
const SLOWEST: (Duration, u64) = (Duration::from_secs(60), 60 * 1024);
/// The most bytes of headers.
const HEADERS: usize = 64 * 1024;

/// A secret for one origin: the value of an `Authorization` header.
#[derive(Clone)]
pub struct Authorization {
    origin: Origin,
    value: String,
}

impl Authorization {
    /// A secret that only this origin may see.
    pub fn new(origin: &Origin, value: String) -> Self {
        Self {
            origin: origin.clone(),
            value,
        }
    }

    fn for_origin(&self, origin: &Origin) -> Option<&str> {
        (self.origin == *origin).then_some(self.value.as_str())
    }
}

/// A request.
pub struct Request<'a> {
    /// Of what.
    pub address: &'a Address,
    /// Whether only the headers of the answer are wanted.
    pub head: bool,
    /// A form to send instead of asking for something.
    pub form: Option<&'a str>,
    /// More headers.
    pub headers: &'a [(&'static str, String)],
    /// A secret for the origin of the address.
    pub authorization: Option<&'a Authorization>,
}

impl<'a> Request<'a> {
    /// A plain request for what is at the address.
    pub fn get(address: &'a Address) -> Self {
        Self {
            address,
            head: false,
            form: None,
            headers: &[],
            authorization: None,
        }
    }
}

/// An answer.
pub struct Reply {
    /// The status.
    pub status: u16,
    headers: HeaderMap,
    body: BodyReader<'static>,
    slowness: Slowness,
}

impl Reply {
    /// The value of a header, if it has one that is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Every value of a header that is text.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.headers.get_all(name).iter();
        values.filter_map(|value| value.to_str().ok())
    }

    /// The length of the body, where the server says it.
    pub fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    /// All of the body.
    ///
    /// # Errors
    /// Where it is longer than `limit` bytes, packed in a way that was not asked for, or ends before its end.
    pub fn into_bytes(mut self, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.by_ref().take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            let error = Error::new("the answer is too long")
                .because(format!("it has more than {limit} bytes"));
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        Ok(bytes)
    }
}

impl Read for Reply {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let begun = Instant::now();
        let count = measured::read(&mut self.body, buffer).map_err(|e| match e.kind() {
            // ureq gives its own error here, or one of the system's inside of it.
            _ if e.raw_os_error().is_some() => e,
            kind => io::Error::new(kind, told(&ureq::Error::from(e)).why),
        })?;
        self.slowness.note(begun.elapsed(), count as u64)?;
        Ok(count)
    }
}

/// Watches the rate at which bytes come, in the time that is spent waiting for them.
#[derive(Default)]
struct Slowness {
    waited: Duration,
    came: u64,
}

impl Slowness {
    fn note(&mut self, waited: Duration, came: u64) -> io::Result<()> {
        self.waited += waited;
        self.came += came;
        let (window, least) = SLOWEST;
        if self.waited < window {
            return Ok(());
        }
        if self.came < least {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the server sends less than 1 KiB a second",
            ));
        }
        *self = Self::default();
        Ok(())
    }
}

/// What requests are made with.
pub struct Transport {
    agents: Vec<Agent>,
    proxies: Proxies,
    answered: AtomicBool,
    #[cfg(feature = "tls")]
    tls: std::sync::Arc<tls::Configs>,
}

impl Transport {
    /// Puts it together. `user_agent` names us to servers; `idle` is how long one may say nothing, before an answer or in
    /// the middle of it.
    ///
    /// # Errors
    /// For a proxy that is none.
    pub fn new(
        proxies: Proxies,
        user_agent: &str,
        idle: Duration,
        #[cfg(feature = "tls")] trust: trust::Trust,
    ) -> Result<Self> {
        #[cfg(feature = "tls")]
        let tls = std::sync::Arc::new(tls::Configs::new(trust));
        let mut agents = Vec::with_capacity(3);
        for proxy in [None, proxies.http(), proxies.https()] {
            let proxy = proxy.map(Proxy::new).transpose();
            let proxy = proxy.map_err(|_| {
                Error::new("cannot use the proxy")
                    .because("its address is not one that is understood")
            })?;
            let config = configuration(proxy, user_agent, idle);
            let chain =
                ().chain(ConnectProxyConnector::default())
                    .chain(TcpConnector::default())
                    .chain(measured::Measured);
            #[cfg(feature = "tls")]
            let chain = chain.chain(tls::TlsConnector::new(std::sync::Arc::clone(&tls)));
            agents.push(Agent::with_parts(config, chain, DefaultResolver::default()));
        }
        Ok(Self {
            agents,
            proxies,
            answered: AtomicBool::new(false),
            #[cfg(feature = "tls")]
            tls,
        })
    }

    /// From now on nobody checks who this origin is.
    pub fn do_not_verify(&self, origin: &Origin) {
        #[cfg(feature = "tls")]
        self.tls.do_not_verify(origin);
        let _ = origin;
    }

    /// Whether any request has had an answer yet, from whomever.
    pub fn was_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Ends every connection, also those that others are reading from.
    pub fn shut_down(&self) {
        for agent in &self.agents {
            agent.clone().shutdown();
        }
    }

    /// Asks, and follows where that leads.
    ///
    /// # Errors
    /// Where there is no answer, or it leads somewhere that it must not.
    pub fn send(&self, request: &Request<'_>) -> Result<Reply, Failure> {
        let mut address = request.address.clone();
        let mut secret = request.authorization;
        for _ in 0..=REDIRECTS {
            let reply = self.once(request, &address, secret)?;
            if !matches!(reply.status, 301 | 302 | 303 | 307 | 308) || request.form.is_some() {
                return Ok(reply);
            }
            let Some(location) = reply.header("location") else {
                return Err(misled(&address, "it does not say where to"));
            };
            let next = address
                .join(location)
                .map_err(|e| misled(&address, &e.to_string()))?;
            check_hop(&address.origin, &next.origin).map_err(|why| misled(&address, why))?;
            // Once somewhere else, whoever is there decides where it goes from there, back among it.
            if next.origin != address.origin {
                secret = None;
            }
            address = next;
        }
        Err(misled(request.address, "there is no end to it"))
    }

    /// One request and its answer.
    fn once(
        &self,
        request: &Request<'_>,
        address: &Address,
        secret: Option<&Authorization>,
    ) -> Result<Reply, Failure> {
        #[cfg(not(feature = "tls"))]
        if address.origin.tls {
            return Err(Failure::lasting(
                Error::new(format!("cannot connect to {}", address.origin))
                    .because("this isobox was built without TLS"),
            ));
        }
        let method = match (request.head, request.form) {
            (_, Some(_)) => Method::POST,
            (true, None) => Method::HEAD,
            (false, None) => Method::GET,
        };
        let mut built = ureq::http::Request::builder()
            .method(method)
            .uri(address.to_string());
        for (name, value) in request.headers {
            built = built.header(*name, value);
        }
        if let Some(value) = secret.and_then(|secret| secret.for_origin(&address.origin)) {
            built = built.header("authorization", value);
        }
        let agent = self.agent_for(&address.origin)?;
        let answer = match request.form {
            Some(form) => built
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form)
                .map_err(ureq::Error::from)
                .and_then(|request| agent.run(request)),
            None => built
                .body(())
                .map_err(ureq::Error::from)
                .and_then(|request| agent.run(request)),
        };
        let answer = answer.map_err(|e| failure(&e, &address.origin))?;
        self.answered.store(true, Ordering::Relaxed);
        let (parts, body) = answer.into_parts();
        check_encoding(&parts.headers).map_err(|why| Failure::lasting(refused(address, why)))?;
        Ok(Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: body.into_reader(),
            slowness: Slowness::default(),
        })
    }

    fn agent_for(&self, origin: &Origin) -> Result<&Agent, Failure> {
        let which = match self.proxies.for_origin(origin) {
            None => 0,
            Some(_) if origin.tls => 2,
            Some(_) => 1,
        };
        self.agents
            .get(which)
            .ok_or_else(|| Failure::lasting(Error::new("there is no connection to be had")))
    }
}

fn configuration(proxy: Option<Proxy>, user_agent: &str, idle: Duration) -> ureq::config::Config {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(proxy)
        .user_agent(user_agent)
        .accept_encoding("identity")
        .max_response_header_size(HEADERS)
        .timeout_connect(Some(CONNECT.min(idle)))
        .timeout_recv_response(Some(idle))
        .timeout_per_read(Some(idle))
        .timeout_per_write(Some(idle))
        .input_buffer_size(128 * 1024)
        .output_buffer_size(16 * 1024)
        .max_idle_connections_per_host(4)
        .build()
}

/// A server that is far does not send us to one that is near, nor one that has to prove who it is to one that has not.
fn check_hop(from: &Origin, to: &Origin) -> Result<(), &'static str> {
    if from.tls && !to.tls {
        return Err("it leads from https to http");
    }
    check_near(from, to)
}

/// A server that is far has no business with what is near to us.
pub(super) fn check_near(from: &Origin, to: &Origin) -> Result<(), &'static str> {
    let rank = |origin: &Origin| match origin.nearness() {
        Nearness::Loopback => 2,
        Nearness::Private => 1,
        Nearness::Elsewhere => 0,
    };
    if from.host != to.host && rank(to) > rank(from) {
        return Err("it leads into this machine's own networks");
    }
    Ok(())
}

/// Nobody asked for packing: the bytes are what a digest is computed of.
fn check_encoding(headers: &HeaderMap) -> Result<(), &'static str> {
    let encodings = headers.get_all("content-encoding");
    if encodings
        .iter()
        .all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        Ok(())
    } else {
        Err("its Content-Encoding was not asked for")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        Address::parse(text).unwrap().origin
    }

    #[test]
    fn a_secret_is_for_one_origin() {
        let secret = Authorization::new(&origin("https://a.b/"), "Basic x".into());
        for (address, sees) in [
            ("https://a.b/other", true),
            ("https://a.b:443/", true),
            ("https://a.b:444/", false),
            ("http://a.b/", false),
            ("http://a.b:443/", false),
            ("https://c.a.b/", false),
        ] {
            assert_eq!(
                secret.for_origin(&origin(address)).is_some(),
                sees,
                "{address}"
            );
        }
    }

    #[test]
    fn a_redirect_does_not_lead_downhill() {
        let cases = [
            ("https://a.b", "https://c.d", true),
            ("http://a.b", "https://c.d", true),
            ("https://a.b", "http://a.b", false),
            ("https://a.b", "https://127.0.0.1", false),
            ("https://a.b", "https://169.254.169.254", false),
            ("http://10.0.0.1", "http://10.0.0.2", true),
            ("http://10.0.0.1", "http://127.0.0.1", false),
            ("http://127.0.0.1:1", "http://127.0.0.1:2", true),
            ("http://127.0.0.1:1", "http://10.0.0.2", true),
        ];
        for (from, to, good) in cases {
            assert_eq!(
                check_hop(&origin(from), &origin(to)).is_ok(),
                good,
                "{from} {to}"
            );
        }
    }

    #[test]
    fn a_trickle_is_too_slow() {
        let mut slowness = Slowness::default();
        let minute = Duration::from_secs(60);
        assert!(slowness.note(minute, 100 * 1024).is_ok());
        assert!(slowness.note(minute / 2, 10).is_ok());
        assert!(slowness.note(minute / 2, 10).is_err());
    }
}
