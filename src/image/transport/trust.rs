//! Whom we believe over TLS: the certificates of the caller's choice, of the system, of certs.d, and Mozilla's list
//! where a system has none.
//!
//! `certs.d/HOST[:PORT]/` is docker's and podman's: `*.crt` are authorities for that registry in addition to all others,
//! `*.cert` with `*.key` prove who we are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::judge::Judge;
use crate::error::{Doing, Error, Result};
use crate::image::address::Origin;
use crate::order;

/// Where systems keep their bundle: Debian, Fedora, Alpine and SUSE, the BSDs.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

/// Where certificates are looked for.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// `SSL_CERT_FILE`: a bundle in place of the system's.
    pub file: Option<PathBuf>,
    /// `SSL_CERT_DIR`: directories of certificates in place of the system's bundle.
    pub dirs: Vec<PathBuf>,
    /// A bundle in addition to all others.
    pub more: Option<PathBuf>,
    /// The directories that have a directory per registry.
    pub certs_d: Vec<PathBuf>,
    /// A directory as for one registry, for all of them.
    pub cert_dir: Option<PathBuf>,
}

/// Certificates of one place.
type Certificates = Vec<CertificateDer<'static>>;

impl Trust {
    /// What to talk TLS with to this origin, who has to prove who it is unless the caller does not care.
    ///
    /// # Errors
    /// Where a file that was named cannot be read or holds no certificate.
    pub(super) fn config(
        &self,
        provider: &Arc<CryptoProvider>,
        origin: &Origin,
        is_verified: bool,
    ) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let base = self.base()?;
        if base.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        roots.add_parsable_certificates(base);
        if let Some(file) = &self.more {
            roots.add_parsable_certificates(bundle(file)?);
        }
        let mut identity = None;
        for dir in self.directories(origin) {
            roots.add_parsable_certificates(with_extension(&dir, "crt")?);
            identity = identity.or(self::identity(&dir)?);
        }
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::new("cannot set up TLS").because(e.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Judge {
                roots: is_verified.then_some(roots),
                provider: Arc::clone(provider),
            }));
        match identity {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|e| {
                Error::new("cannot use the client certificate").because(e.to_string())
            }),
        }
    }

    /// What the caller names, or else the system's bundle; nothing where there is none.
    fn base(&self) -> Result<Certificates> {
        if self.file.is_none() && self.dirs.is_empty() {
            let found = BUNDLES.iter().map(Path::new).find(|path| path.exists());
            return found.map_or(Ok(Vec::new()), bundle);
        }
        let mut all = match &self.file {
            Some(file) => bundle(file)?,
            None => Vec::new(),
        };
        for dir in &self.dirs {
            all.extend(every_file(dir)?);
        }
        if all.is_empty() {
            return Err(Error::new(
                "there are no certificates in the directories of SSL_CERT_DIR",
            ));
        }
        Ok(all)
    }

    /// The directories that are about this origin.
    fn directories(&self, origin: &Origin) -> Vec<PathBuf> {
        let full = format!("{}:{}", origin.host, origin.port);
        let mut names = vec![full];
        if origin.port == 443 {
            names.push(origin.host.clone());
            if origin.host == "registry-1.docker.io" {
                names.push("docker.io".into());
            }
        }
        let below = self
            .certs_d
            .iter()
            .flat_map(|dir| names.iter().map(move |name| dir.join(name)));
        let mut dirs: Vec<PathBuf> = below.filter(|dir| dir.is_dir()).collect();
        dirs.extend(self.cert_dir.clone());
        dirs
    }
}

/// The certificates of a file, which has to hold some.
fn bundle(path: &Path) -> Result<Certificates> {
    let found = certificates(path)?;
    if found.is_empty() {
        return Err(Error::new("there is no certificate in").on(path));
    }
    Ok(found)
}

/// The certificates of a file; what is not one is passed over, as OpenSSL does.
fn certificates(path: &Path) -> Result<Certificates> {
    let text = fs::read(path).doing_to("cannot read the certificates", path)?;
    Ok(CertificateDer::pem_slice_iter(&text)
        .filter_map(Result::ok)
        .collect())
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries: io::Result<Vec<PathBuf>> =
        fs::read_dir(dir).and_then(|all| all.map(|entry| Ok(entry?.path())).collect());
    let mut paths = entries.doing_to("cannot read the certificates", dir)?;
    order::sort(&mut paths);
    Ok(paths)
}

fn every_file(dir: &Path) -> Result<Certificates> {
    let mut all = Vec::new();
    // A link that leads nowhere is what c_rehash leaves behind.
    for path in files(dir)?.iter().filter(|path| path.is_file()) {
        all.extend(certificates(path)?);
    }
    Ok(all)
}

fn with_extension(dir: &Path, extension: &str) -> Result<Certificates> {
    let mut all = Vec::new();
    for path in files(dir)?
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == extension))
    {
        all.extend(bundle(path)?);
    }
    Ok(all)
}

/// The certificate and key by which a directory says who we are.
fn identity(dir: &Path) -> Result<Option<(Certificates, PrivateKeyDer<'static>)>> {
    let all = files(dir)?;
    let Some(cert) = all
        .iter()
        .find(|path| path.extension().is_some_and(|e| e == "cert"))
    else {
        return Ok(None);
    };
    let key = cert.with_extension("key");
    let text = fs::read(&key).doing_to("cannot read the key of the client certificate", &key)?;
    let parsed = PrivateKeyDer::from_pem_slice(&text);
    let parsed = parsed.map_err(|_| Error::new("there is no private key in").on(&key))?;
    Ok(Some((bundle(cert)?, parsed)))
}
