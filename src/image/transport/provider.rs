//! The cryptography of TLS: ring by way of rustls, with AES-GCM as its only cipher.
//!
//! rustls' own provider for ring names ChaCha20 too, and what is named is linked: 50 kB, for a cipher that no registry
//! asks for, since every TLS 1.3 has to know AES-GCM (RFC 8446 section 9.1). A provider is made whole or not at all, so
//! this one lists what rustls' lists.

use std::sync::Arc;

use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::SignatureScheme::{
    ECDSA_NISTP256_SHA256, ECDSA_NISTP384_SHA384, ED25519, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
};
use rustls::crypto::ring::{cipher_suite, kx_group, sign};
use rustls::crypto::{
    CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use webpki::ring as verifies;

/// What handshakes are made with.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ],
        kx_groups: vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        signature_verification_algorithms: SIGNATURES,
        secure_random: &Ring,
        key_provider: &Ring,
    }
}

/// Which signatures of certificates and handshakes are understood. TLS 1.2 does not tie a hash to a curve.
const SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        verifies::ECDSA_P256_SHA256,
        verifies::ECDSA_P256_SHA384,
        verifies::ECDSA_P384_SHA256,
        verifies::ECDSA_P384_SHA384,
        verifies::ED25519,
        verifies::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        verifies::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        verifies::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
        verifies::RSA_PKCS1_2048_8192_SHA256,
        verifies::RSA_PKCS1_2048_8192_SHA384,
        verifies::RSA_PKCS1_2048_8192_SHA512,
        verifies::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
        verifies::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
        verifies::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    ],
    mapping: &[
        (
            ECDSA_NISTP384_SHA384,
            &[verifies::ECDSA_P384_SHA384, verifies::ECDSA_P256_SHA384],
        ),
        (
            ECDSA_NISTP256_SHA256,
            &[verifies::ECDSA_P256_SHA256, verifies::ECDSA_P384_SHA256],
        ),
        (ED25519, &[verifies::ED25519]),
        (
            RSA_PSS_SHA512,
            &[verifies::RSA_PSS_2048_8192_SHA512_LEGACY_KEY],
        ),
        (
            RSA_PSS_SHA384,
            &[verifies::RSA_PSS_2048_8192_SHA384_LEGACY_KEY],
        ),
        (
            RSA_PSS_SHA256,
            &[verifies::RSA_PSS_2048_8192_SHA256_LEGACY_KEY],
        ),
        (RSA_PKCS1_SHA512, &[verifies::RSA_PKCS1_2048_8192_SHA512]),
        (RSA_PKCS1_SHA384, &[verifies::RSA_PKCS1_2048_8192_SHA384]),
        (RSA_PKCS1_SHA256, &[verifies::RSA_PKCS1_2048_8192_SHA256]),
    ],
};

/// ring's random numbers and its keys.
#[derive(Debug)]
struct Ring;

impl SecureRandom for Ring {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        SystemRandom::new().fill(bytes).map_err(|_| GetRandomFailed)
    }
}

impl KeyProvider for Ring {
    fn load_private_key(
        &self,
        key: PrivateKeyDer<'static>,
    ) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        sign::any_supported_type(&key)
    }
}
