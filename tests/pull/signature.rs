//! Signatures by a key, as cosign makes them: both forms, made with openssl, and all that is not one.

use crate::kit::Sandbox;
use crate::kit::lab::{INDEX, Lab, MANIFEST, descriptor};
use crate::kit::server::{Answer, Asked, Server};
use isobox::image::Digest;

/// Signs a text with `KEY.key`, in base64.
fn sign(t: &Sandbox, key: &str, text: &[u8]) -> String {
    std::fs::write(t.work().join("payload"), text).unwrap();
    let line = format!("openssl dgst -sha256 -sign {key}.key payload | base64 -w0");
    t.cmd(&line).host().run().ok().stdout.clone()
}

fn base64(t: &Sandbox, text: &[u8]) -> String {
    std::fs::write(t.work().join("text"), text).unwrap();
    t.cmd("base64 -w0 text").host().run().ok().stdout.clone()
}

fn keys(t: &Sandbox) {
    t.cmd("for k in mine other; do openssl ecparam -name prime256v1 -genkey -noout -out $k.key && openssl ec -in $k.key -pubout -out $k.pub; done 2>log || cat log")
        .host()
        .run()
        .ok();
}

/// A manifest with one layer that is a signature, about an image.
fn signature(
    layer_type: &str,
    payload: &[u8],
    annotation: &str,
    subject: Option<&[u8]>,
) -> Vec<u8> {
    let annotations = if annotation.is_empty() {
        String::new()
    } else {
        format!(r#","annotations":{{"dev.cosignproject.cosign/signature":"{annotation}"}}"#)
    };
    let subject = subject.map_or_else(String::new, |subject| {
        format!(r#","subject":{{{}}}"#, descriptor(MANIFEST, subject))
    });
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json","config":{{{}}},"layers":[{{{}{annotations}}}]{subject}}}"#,
        descriptor("application/vnd.oci.empty.v1+json", b"{}"),
        descriptor(layer_type, payload)
    )
    .into_bytes()
}

fn simple(digest: &Digest) -> Vec<u8> {
    format!(r#"{{"critical":{{"identity":{{"docker-reference":"lab/x"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":null}}"#).into_bytes()
}

const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// The image, and a signature of it under the tag or among the referrers.
fn serve(
    t: &Sandbox,
    lab: &Lab,
    tagged: Option<(Vec<u8>, Vec<u8>)>,
    referring: Option<(Vec<u8>, Vec<u8>)>,
) -> Server {
    let lab = lab.clone();
    Server::start(t, move |asked: &Asked| {
        let image = Digest::sha256(&lab.manifest);
        for (manifest, payload) in tagged.iter().chain(&referring) {
            if asked.path.ends_with(&Digest::sha256(payload).to_string()) {
                return Answer::new(200, "", payload.clone());
            }
            if asked
                .path
                .ends_with(&format!("manifests/{}", Digest::sha256(manifest)))
            {
                return Lab::document(MANIFEST, manifest);
            }
        }
        if asked
            .path
            .ends_with(&format!("/manifests/sha256-{}.sig", image.hex()))
        {
            return tagged
                .as_ref()
                .map_or_else(Answer::nothing, |(manifest, _)| {
                    Lab::document(MANIFEST, manifest)
                });
        }
        if asked.path.ends_with(&format!("/referrers/{image}")) {
            return referring
                .as_ref()
                .map_or_else(Answer::nothing, |(manifest, _)| {
                    let index = format!(
                        r#"{{"schemaVersion":2,"manifests":[{{{},"artifactType":"{BUNDLE}"}}]}}"#,
                        descriptor(MANIFEST, manifest)
                    );
                    Lab::document(INDEX, index.as_bytes())
                });
        }
        lab.answer(asked)
    })
}

#[track_caller]
fn check(t: &Sandbox, server: &Server, refused: Option<&str>) {
    for what in ["--digest", "--config", "-o out.tar"] {
        let ran = t.run(&format!(
            "pull --plain-http -q --retry 0 --verify mine.pub {what} {}/lab/x:1",
            server.at
        ));
        match refused {
            None => ran.ok(),
            Some(why) => ran.fails(1, "pull", &["cannot trust", why]),
        };
    }
}

#[test]
fn a_signature_under_a_tag() {
    needs!(root, host("openssl"));
    let t = Sandbox::new("signed");
    keys(&t);
    let lab = Lab::new(1000);
    let image = Digest::sha256(&lab.manifest);
    let payload = simple(&image);
    let good = sign(&t, "mine", &payload);
    let tag = |payload: &[u8], signature_text: &str| {
        Some((
            signature(SIMPLE, payload, signature_text, None),
            payload.to_vec(),
        ))
    };
    check(&t, &serve(&t, &lab, tag(&payload, &good), None), None);
    check(
        &t,
        &serve(&t, &lab, None, None),
        Some("nobody has signed it"),
    );
    check(
        &t,
        &serve(&t, &lab, tag(&payload, &sign(&t, "other", &payload)), None),
        Some("by this key"),
    );
    // A signature of something else by the right key, and one of this over another text.
    let elsewhere = simple(&Digest::sha256(b"other image"));
    check(
        &t,
        &serve(
            &t,
            &lab,
            tag(&elsewhere, &sign(&t, "mine", &elsewhere)),
            None,
        ),
        Some("by this key"),
    );
    check(
        &t,
        &serve(&t, &lab, tag(&payload, &sign(&t, "mine", b"hello")), None),
        Some("by this key"),
    );
    check(
        &t,
        &serve(&t, &lab, tag(&payload, "????"), None),
        Some("by this key"),
    );
    check(
        &t,
        &serve(
            &t,
            &lab,
            Some((
                signature("text/plain", &payload, &good, None),
                payload.clone(),
            )),
            None,
        ),
        Some("by this key"),
    );
    let server = serve(&t, &lab, tag(&payload, &good), None);
    t.run(&format!(
        "pull --verify mine.key --digest --plain-http {}/lab/x:1",
        server.at
    ))
    .fails(1, "pull", &["cannot use the key mine.key"]);
    t.run(&format!(
        "pull --verify nowhere --digest --plain-http {}/lab/x:1",
        server.at
    ))
    .fails(1, "pull", &["cannot read the key nowhere"]);
    t.run(&format!(
        "pull --verify mine.pub --offline --digest {}/lab/x:1",
        server.at
    ))
    .fails(1, "pull", &[]);
}

#[test]
fn a_bundle_among_the_referrers() {
    needs!(root, host("openssl"));
    let t = Sandbox::new("signed");
    keys(&t);
    let lab = Lab::new(1000);
    let image = Digest::sha256(&lab.manifest);
    let bundle = |key: &str, digest: &Digest| {
        let statement = format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"digest":{{"sha256":"{}"}}}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{{}}}}"#,
            digest.hex()
        );
        let kind = "application/vnd.in-toto+json";
        let message = format!(
            "DSSEv1 {} {kind} {} {statement}",
            kind.len(),
            statement.len()
        );
        let text = format!(
            r#"{{"mediaType":"{BUNDLE}","verificationMaterial":{{"publicKey":{{"hint":"x"}}}},"dsseEnvelope":{{"payload":"{}","payloadType":"{kind}","signatures":[{{"sig":"{}"}}]}}}}"#,
            base64(&t, statement.as_bytes()),
            sign(&t, key, message.as_bytes())
        );
        text.into_bytes()
    };
    let refer = |bundle: Vec<u8>, subject: &[u8]| {
        Some((signature(BUNDLE, &bundle, "", Some(subject)), bundle))
    };
    check(
        &t,
        &serve(&t, &lab, None, refer(bundle("mine", &image), &lab.manifest)),
        None,
    );
    check(
        &t,
        &serve(
            &t,
            &lab,
            None,
            refer(bundle("other", &image), &lab.manifest),
        ),
        Some("by this key"),
    );
    check(
        &t,
        &serve(
            &t,
            &lab,
            None,
            refer(bundle("mine", &Digest::sha256(b"x")), &lab.manifest),
        ),
        Some("by this key"),
    );
    check(
        &t,
        &serve(
            &t,
            &lab,
            None,
            refer(bundle("mine", &image), b"another subject"),
        ),
        Some("nobody"),
    );
    check(
        &t,
        &serve(&t, &lab, None, refer(b"{}".to_vec(), &lab.manifest)),
        Some("by this key"),
    );
}
