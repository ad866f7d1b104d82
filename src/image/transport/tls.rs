//! TLS over a connection of ureq's, by rustls with ring, with one configuration per origin.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, PeerIncompatible,
    StreamOwned,
};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
    TransportAdapter,
};

use super::provider::provider;
use super::trust::Trust;
use super::{Again, Failure};
use crate::error::{Error, Result};
use crate::image::address::Origin;

/// Configurations by origin, made when they are first needed.
pub(super) struct Configs {
    trust: Trust,
    provider: Arc<CryptoProvider>,
    made: Mutex<HashMap<String, Arc<ClientConfig>>>,
    unverified: Mutex<HashSet<String>>,
}

impl Configs {
    pub(super) fn new(trust: Trust) -> Self {
        Self {
            trust,
            provider: Arc::new(provider()),
            made: Mutex::default(),
            unverified: Mutex::default(),
        }
    }

    pub(super) fn do_not_verify(&self, origin: &Origin) {
        lock(&self.unverified).insert(origin.authority());
    }

    fn of(&self, origin: &Origin) -> Result<Arc<ClientConfig>> {
        let key = origin.authority();
        let mut made = lock(&self.made);
        if let Some(config) = made.get(&key) {
            return Ok(Arc::clone(config));
        }
        let is_verified = !lock(&self.unverified).contains(&key);
        let config = self.trust.config(&self.provider, origin, is_verified)?;
        let config = Arc::new(config);
        made.insert(key, Arc::clone(&config));
        Ok(config)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The last link of the chain: puts TLS over the connection where the address asks for it.
pub(super) struct TlsConnector(Arc<Configs>);

impl TlsConnector {
    pub(super) fn new(configs: Arc<Configs>) -> Self {
        Self(configs)
    }
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsConnector")
    }
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let authority = details
            .uri
            .authority()
            .map(ureq::http::uri::Authority::as_str)
            .unwrap_or_default();
        let origin = Origin::new(true, authority).map_err(other)?;
        let host = origin.host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host)
            .map_err(|_| ureq::Error::Tls("the host has no name that a certificate could have"))?;
        let config = self.0.of(&origin).map_err(other)?;
        let mut conn = ClientConnection::new(config, name).map_err(io_error)?;
        let mut sock = TransportAdapter::new(transport.boxed(), Arc::clone(&details.current_time));
        sock.set_timeout(details.timeout);
        conn.complete_io(&mut sock)?;
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(Either::B(TlsTransport {
            buffers,
            stream: StreamOwned { conn, sock },
        })))
    }
}

fn other(error: Error) -> ureq::Error {
    ureq::Error::Other(Box::new(error))
}

fn io_error(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// A connection with TLS over it.
pub(super) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// What rustls refused, for people.
pub(super) struct Refusal {
    why: String,
    hint: Option<&'static str>,
    not_tls: bool,
}

impl Refusal {
    pub(super) fn into_failure(self, origin: &Origin) -> Failure {
        let doing = if self.not_tls {
            "cannot reach"
        } else {
            "cannot trust"
        };
        let error = Error::new(format!("{doing} {origin}")).because(self.why);
        Failure {
            error: error.hint_maybe(self.hint),
            again: Again::Never,
            not_tls: self.not_tls,
        }
    }
}

/// The refusal of TLS inside an error of ureq's, if it is one.
pub(super) fn refusal(cause: &ureq::Error) -> Option<Refusal> {
    let ureq::Error::Io(e) = cause else {
        return None;
    };
    let inner = e.get_ref()?.downcast_ref::<rustls::Error>()?;
    let (why, hint) = match inner {
        rustls::Error::InvalidCertificate(fault) => certificate(fault),
        rustls::Error::InvalidMessage(_) => (
            "what answers there does not speak TLS".into(),
            Some("--plain-http asks without TLS; nothing is secret then"),
        ),
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
        | rustls::Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => {
            ("it speaks only versions of TLS before 1.2".into(), None)
        }
        other => (other.to_string(), None),
    };
    Some(Refusal {
        why,
        hint,
        not_tls: matches!(inner, rustls::Error::InvalidMessage(_)),
    })
}

fn certificate(fault: &CertificateError) -> (String, Option<&'static str>) {
    match fault {
        CertificateError::UnknownIssuer => (
            "its certificate is signed by nobody we know".into(),
            Some(
                "if it is yours, put the authority's certificate into /etc/containers/certs.d/HOST:PORT/ca.crt or name it by --cacert or SSL_CERT_FILE",
            ),
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            "its certificate is not valid yet".into(),
            Some("the clock of this machine may be wrong: see 'date'"),
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            "its certificate has expired".into(),
            Some("if that is a surprise, see whether the clock is right: 'date'"),
        ),
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => (
            "its certificate is for no name".into(),
            Some("names stand in subjectAltName; a common name counts for nothing any more"),
        ),
        CertificateError::NotValidForNameContext { presented, .. } => {
            // As `DnsName("a.b")`: a name between quotes, or an address between parentheses.
            let name = |shown: &String| {
                let inner = shown
                    .split_once('(')
                    .map_or(shown.as_str(), |(_, rest)| rest);
                inner.trim_matches([')', '"']).to_owned()
            };
            let names: Vec<String> = presented.iter().map(name).collect();
            (
                format!("its certificate is for another name: {}", names.join(", ")),
                None,
            )
        }
        CertificateError::Other(other) => {
            (format!("its certificate is refused: {}", other.0), None)
        }
        other => (format!("its certificate is refused: {other}"), None),
    }
}
