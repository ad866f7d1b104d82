//! Signatures of images by a key, as cosign makes them.
//!
//! Both forms are looked for beside the image, under a tag made of its digest (`sha256-HEX.sig`) and among its
//! referrers:
//!
//! * a *simple signing* payload, a small JSON document with the digest of the image in it, whose signature stands in an
//!   annotation;
//! * a *sigstore bundle*: an in-toto statement about the digest in a DSSE envelope.
//!
//! What is signed is always a digest, so a signature that fits says: the holder of the key has signed this very image.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;

use super::descriptor::Descriptor;
use super::digest::Digest;
use super::document::parse;
use super::manifest::{Document, Manifest};
use super::registry::{Fetched, Refusal};
use super::remote::Remote;
use super::verify;
use crate::error::{Error, Result};
use crate::json::{Map, There, objects};

/// The layers of a manifest that hold simple signing payloads.
const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Bundles, in every version of their format.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// Where the signature of a simple signing payload stands.
const ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// What an in-toto statement travels as.
const IN_TOTO: &str = "application/vnd.in-toto+json";
/// The most bytes of a payload or bundle.
const PAYLOAD_LIMIT: u64 = 1 << 20;
/// The most signatures that are looked at.
const COUNT: usize = 100;
/// What stands before the point in the DER of an ECDSA key over P-256 (RFC 5480): two lengths and the two names.
const P256_PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// A public key, ECDSA over P-256: what `cosign generate-key-pair` makes.
pub struct Key {
    point: Vec<u8>,
}

impl Key {
    /// Reads a key in PEM (`-----BEGIN PUBLIC KEY-----`).
    ///
    /// # Errors
    /// Where there is none, or one of another kind.
    pub fn parse(pem: &[u8]) -> Result<Self> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem)
            .map_err(|_| Error::new("there is no public key in PEM"))?;
        let der: &[u8] = der.as_ref();
        match der.strip_prefix(&P256_PREFIX) {
            Some(rest) if rest.len() == 64 => {
                let point = [&[4], rest].concat();
                Ok(Self { point })
            }
            _ => Err(Error::new("the key is of a kind that is not supported")
                .because("only ECDSA over P-256 is, which cosign makes")),
        }
    }

    fn fits(&self, message: &[u8], signature: &str) -> bool {
        let Ok(signature) = BASE64_STANDARD.decode(signature.trim()) else {
            return false;
        };
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point)
            .verify(message, &signature)
            .is_ok()
    }
}

/// Looks for a signature by this key of one of these digests: the image's own, or that of the index it was chosen from.
///
/// # Errors
/// Where there is none: nothing is signed, or somebody else has signed it.
pub fn verify(remote: &Remote<'_>, key: &Key, digests: &[Digest]) -> Result<()> {
    let mut seen = 0;
    for digest in digests {
        for manifest in manifests(remote, digest)? {
            for layer in manifest.layers.iter().take(COUNT) {
                seen += 1;
                if seen > COUNT {
                    return Err(Error::new(format!(
                        "there are more than {COUNT} signatures of {}",
                        remote.reference
                    )));
                }
                if is_signature(remote, key, layer, digest)? {
                    return Ok(());
                }
            }
        }
    }
    let error = Error::new(format!("cannot trust {}", remote.reference));
    Err(match seen {
        0 => error.because("nobody has signed it"),
        _ => error.because("none of its signatures is by this key"),
    })
}

/// The manifests that may hold signatures of a digest.
fn manifests(remote: &Remote<'_>, digest: &Digest) -> Result<Vec<Manifest>> {
    let mut found = Vec::new();
    let tag = format!("{}-{}.sig", digest.algorithm(), digest.hex());
    found.extend(fetch(remote, &tag, None)?);
    let mut referrers = remote.ask(|registry| registry.referrers(digest).map_err(Refusal::from))?;
    if referrers.is_empty() {
        // A registry without that list keeps it under a tag (distribution-spec, "Referrers Tag Schema").
        referrers = fallback(remote, digest)?;
    }
    let signature = |one: &&Descriptor| {
        let kind = one.artifact_type.as_deref().unwrap_or(&one.media_type);
        kind.starts_with(BUNDLE) || kind.contains("cosign") || kind.contains("manifest")
    };
    for referrer in referrers.iter().filter(signature).take(COUNT) {
        let manifest = fetch(remote, &referrer.digest.to_string(), Some(&referrer.digest))?;
        // The list is the registry's word; the manifest itself has to be about this digest.
        found.extend(manifest.filter(|one| {
            one.subject
                .as_ref()
                .is_some_and(|subject| subject.digest == *digest)
        }));
    }
    Ok(found)
}

/// A document of the repository; none where there is none.
fn get(remote: &Remote<'_>, version: &str, digest: Option<&Digest>) -> Result<Option<Fetched>> {
    remote.ask(|registry| match registry.manifest(version, digest) {
        Ok(fetched) => Ok(Some(fetched)),
        Err(refusal) if refusal.absent => Ok(None),
        Err(refusal) => Err(refusal),
    })
}

fn fetch(remote: &Remote<'_>, version: &str, digest: Option<&Digest>) -> Result<Option<Manifest>> {
    let Some(fetched) = get(remote, version, digest)? else {
        return Ok(None);
    };
    match Document::parse(&fetched.bytes, Some(&fetched.media_type))? {
        Document::Manifest(manifest) => Ok(Some(*manifest)),
        Document::Index(_) => Ok(None),
    }
}

fn fallback(remote: &Remote<'_>, digest: &Digest) -> Result<Vec<Descriptor>> {
    let tag = format!("{}-{}", digest.algorithm(), digest.hex());
    let Some(fetched) = get(remote, &tag, None)? else {
        return Ok(Vec::new());
    };
    match Document::parse(&fetched.bytes, Some(&fetched.media_type))? {
        Document::Index(index) => Ok(index.manifests),
        Document::Manifest(_) => Ok(Vec::new()),
    }
}

/// Whether a layer of a signature's manifest holds one of this digest by this key.
fn is_signature(
    remote: &Remote<'_>,
    key: &Key,
    layer: &Descriptor,
    digest: &Digest,
) -> Result<bool> {
    let simple = layer
        .annotations
        .value(ANNOTATION)
        .filter(|_| layer.media_type == SIMPLE);
    let bundle = layer.media_type.starts_with(BUNDLE);
    if simple.is_none() && !bundle {
        return Ok(false);
    }
    let bytes = remote.ask(|registry| registry.small_blob(layer, PAYLOAD_LIMIT))?;
    verify::check(&bytes, layer)?;
    // What is not well-formed is no signature; another one may be.
    Ok(match simple {
        Some(signature) => key.fits(&bytes, signature) && payload_is_about(&bytes, digest),
        None => bundle_fits(key, &bytes, digest),
    })
}

objects! {
    struct Payload {
        critical: Critical,
    }

    struct Critical {
        image: Signed,
        kind as "type": String,
    }

    struct Signed {
        digest as "docker-manifest-digest": Digest = required,
    }

    struct Bundle {
        dsse_envelope: Option<Envelope>,
        message_signature: There,
    }

    struct Envelope {
        payload: String,
        payload_type: String,
        signatures: Vec<Signature>,
    }

    struct Signature {
        sig: String,
    }

    struct Statement {
        subject: Vec<Subject>,
    }

    struct Subject {
        digest: Map<String>,
    }
}

fn payload_is_about(payload: &[u8], digest: &Digest) -> bool {
    let kinds = [
        "cosign container image signature",
        "atomic container signature",
    ];
    parse::<Payload>(payload, "signature", PAYLOAD_LIMIT).is_ok_and(|payload| {
        payload.critical.image.digest == *digest && kinds.contains(&payload.critical.kind.as_str())
    })
}

fn bundle_fits(key: &Key, bundle: &[u8], digest: &Digest) -> bool {
    let Ok(bundle) = parse::<Bundle>(bundle, "bundle", PAYLOAD_LIMIT) else {
        return false;
    };
    let Some(envelope) = bundle
        .dsse_envelope
        .filter(|envelope| !bundle.message_signature.0 && envelope.payload_type == IN_TOTO)
    else {
        return false;
    };
    let Ok(payload) = BASE64_STANDARD.decode(envelope.payload.trim()) else {
        return false;
    };
    let message = pre_authentication(&envelope.payload_type, &payload);
    envelope
        .signatures
        .iter()
        .take(COUNT)
        .any(|one| key.fits(&message, &one.sig))
        && statement_is_about(&payload, digest)
}

/// What a DSSE envelope signs (secure-systems-lab's DSSE protocol, "PAE").
fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
    .into_bytes();
    message.extend_from_slice(payload);
    message
}

fn statement_is_about(payload: &[u8], digest: &Digest) -> bool {
    let hex = digest.hex();
    parse::<Statement>(payload, "statement", PAYLOAD_LIMIT).is_ok_and(|statement| {
        statement
            .subject
            .iter()
            .any(|subject| subject.digest.value(digest.algorithm()) == Some(&hex))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_about_one_digest() {
        let digest = Digest::sha256(b"image");
        let payload = |digest: &str, kind: &str| {
            format!(
                r#"{{"critical":{{"identity":{{"docker-reference":"x"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"{kind}"}},"optional":null}}"#
            )
        };
        let kind = "cosign container image signature";
        assert!(payload_is_about(
            payload(&digest.to_string(), kind).as_bytes(),
            &digest
        ));
        assert!(!payload_is_about(
            payload(&Digest::sha256(b"x").to_string(), kind).as_bytes(),
            &digest
        ));
        assert!(!payload_is_about(
            payload(&digest.to_string(), "other").as_bytes(),
            &digest
        ));
        assert!(!payload_is_about(b"{}", &digest));
        assert_eq!(pre_authentication("a/b", b"xyz"), b"DSSEv1 3 a/b 3 xyz");
    }

    #[test]
    fn only_keys_of_one_kind_are_taken() {
        let key = |der: &[u8]| {
            format!(
                "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
                BASE64_STANDARD.encode(der)
            )
        };
        let good = [&P256_PREFIX[..], &[7; 64]].concat();
        assert!(Key::parse(key(&good).as_bytes()).is_ok());
        for bad in [
            &good[..90],
            &[&good[..], b"x"].concat(),
            b"",
            b"0\x03\x01\x02\x03",
        ] {
            assert!(Key::parse(key(bad).as_bytes()).is_err());
        }
        assert!(Key::parse(b"nothing").is_err());
    }
}
