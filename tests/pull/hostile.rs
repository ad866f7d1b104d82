//! Registries that lie, stall, mislead and leak. Whatever one does, a pull ends with one clear error, leaves no file, and
//! keeps nothing that is not what it claims to be. Numbers are those of the attack table (T-RG).

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::kit::lab::{INDEX, Lab, MANIFEST, descriptor};
use crate::kit::server::{Answer, Asked, Piece, Server};
use crate::kit::{Ran, Sandbox};
use isobox::image::Digest;

/// What a server answers.
type Script = Box<dyn Fn(&Asked) -> Answer + Send + Sync>;

/// Pulls `lab/x:1` from the server into a file, with little patience.
fn pull<'t>(t: &'t Sandbox, server: &Server, options: &str) -> Ran<'t> {
    let line = format!(
        "pull --plain-http -q --retry 0 --timeout 2 {options} {}/lab/x:1 -o out.tar",
        server.at
    );
    t.cmd(&line)
        .env("XDG_CACHE_HOME", t.work().join("cache"))
        .run()
}

/// There is no file, and what is in the cache is what it claims to be.
fn nothing_came_of_it(t: &Sandbox) {
    t.run("ls -A | grep -v cache").status(1).out("");
    t.run("for b in cache/isobox/blobs/*/*; do [ -e $b ] || continue; sha256sum <$b | grep -q ^${b##*/} || echo $b; done").ok().out("");
}

/// Each server in turn, and what is said about it.
fn all_refused(name: &str, cases: Vec<(&'static str, Script)>) {
    for (words, script) in cases {
        let t = Sandbox::new(name);
        let server = Server::start(&t, script);
        let begun = Instant::now();
        pull(&t, &server, "").fails(1, "pull", &words.split(" & ").collect::<Vec<_>>());
        assert!(
            begun.elapsed() < Duration::from_secs(15),
            "{words}: it took {:?}",
            begun.elapsed()
        );
        nothing_came_of_it(&t);
    }
}

/// A server that hands out the image, but for the layer.
fn with_layer(lab: &Lab, layer: impl Fn(&Lab, &Asked) -> Answer + Send + Sync + 'static) -> Script {
    let lab = lab.clone();
    Box::new(move |asked| {
        if lab.is_layer(asked) {
            layer(&lab, asked)
        } else {
            lab.answer(asked)
        }
    })
}

/// A server with this as its manifest.
fn with_manifest(lab: &Lab, media_type: &'static str, manifest: impl Into<Vec<u8>>) -> Script {
    let (lab, manifest) = (lab.clone(), manifest.into());
    Box::new(move |asked| {
        if asked.path.ends_with("/manifests/1") {
            Lab::document(media_type, &manifest)
        } else {
            lab.answer(asked)
        }
    })
}

#[test]
fn the_honest_server_is_believed() {
    needs!(root);
    // Without this the tests below would prove nothing.
    let t = Sandbox::new("honest");
    let lab = Lab::new(100_000);
    let server = Server::start(&t, move |asked| lab.answer(asked));
    pull(&t, &server, "").ok();
    t.run("tar tf out.tar | grep -c blobs/sha256/.")
        .ok()
        .out("3\n");
}

#[test]
fn t_rg_08_blobs_that_lie() {
    needs!(root);
    let lab = Lab::new(50_000);
    let head = |headers: &str| format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{headers}\r\n");
    let chunk =
        |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    all_refused(
        "blobs",
        vec![
            (
                "its digest is",
                with_layer(&lab, |lab, _| {
                    Answer::new(200, "", lab.layer.iter().map(|b| !b).collect::<Vec<_>>())
                }),
            ),
            (
                "too early",
                with_layer(&lab, |lab, _| {
                    Answer::raw(
                        [
                            b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n",
                            &lab.layer[..20_000],
                        ]
                        .concat(),
                    )
                }),
            ),
            (
                "bytes instead of 50000",
                with_layer(&lab, |lab, _| Answer::new(200, "", &lab.layer[..49_999])),
            ),
            (
                "bytes instead of 50000",
                with_layer(&lab, |lab, _| {
                    Answer::new(200, "", [&lab.layer[..], b"x"].concat())
                }),
            ),
            (
                "goes on after the 50000 bytes",
                with_layer(&lab, move |lab, _| {
                    Answer::raw(
                        [
                            head("Transfer-Encoding: chunked\r\n").into_bytes(),
                            chunk(&lab.layer),
                            chunk(b"more"),
                            chunk(b""),
                        ]
                        .concat(),
                    )
                }),
            ),
            (
                "too early",
                with_layer(&lab, move |lab, _| {
                    Answer::raw(
                        [
                            head("Transfer-Encoding: chunked\r\n").into_bytes(),
                            chunk(&lab.layer[..100]),
                            chunk(b""),
                        ]
                        .concat(),
                    )
                }),
            ),
        ],
    );
}

#[test]
fn t_rg_08_parts_and_refusals_in_place_of_blobs() {
    needs!(root);
    let lab = Lab::new(50_000);
    all_refused(
        "parts",
        vec![
            (
                "Content-Encoding",
                with_layer(&lab, |lab, _| {
                    Answer::new(200, "Content-Encoding: gzip\r\n", lab.layer.clone())
                }),
            ),
            (
                "which part",
                with_layer(&lab, |lab, _| Answer::new(206, "", lab.layer.clone())),
            ),
            (
                "another part",
                with_layer(&lab, |lab, _| {
                    Answer::new(
                        206,
                        "Content-Range: bytes 10-49999/50000\r\n",
                        &lab.layer[10..],
                    )
                }),
            ),
            (
                "status 204",
                with_layer(&lab, |_, _| Answer::new(204, "", "")),
            ),
            (
                "status 403: no",
                with_layer(&lab, |_, _| {
                    Answer::new(403, "", r#"{"errors":[{"code":"DENIED","message":"no"}]}"#)
                }),
            ),
            (
                "status 500",
                with_layer(&lab, |_, _| Answer::new(500, "", vec![b'<'; 3_000_000])),
            ),
            ("status 404", with_layer(&lab, |_, _| Answer::nothing())),
        ],
    );
}

#[test]
fn t_rg_06_manifests_that_lie() {
    needs!(root);
    let lab = Lab::new(1000);
    let wrong_size = String::from_utf8(lab.manifest.clone())
        .unwrap()
        .replace("\"size\":1000", "\"size\":1001");
    let twice = String::from_utf8(lab.manifest.clone())
        .unwrap()
        .replace("\"layers\":", "\"layers\":[],\"layers\":");
    let both = String::from_utf8(lab.manifest.clone())
        .unwrap()
        .replace("\"layers\":", "\"manifests\":[],\"layers\":");
    let path = String::from_utf8(lab.manifest.clone()).unwrap().replace(
        &Digest::sha256(&lab.layer).to_string(),
        "sha256:../../../etc/passwd",
    );
    all_refused(
        "manifests",
        vec![
            (
                "bytes instead of 1001",
                with_manifest(&lab, MANIFEST, wrong_size),
            ),
            ("stands twice", with_manifest(&lab, MANIFEST, twice)),
            (
                "parts of a manifest and of an index",
                with_manifest(&lab, MANIFEST, both),
            ),
            ("not a digest", with_manifest(&lab, MANIFEST, path)),
            (
                "announced as",
                with_manifest(&lab, INDEX, lab.manifest.clone()),
            ),
            (
                "schema 1",
                with_manifest(
                    &lab,
                    "application/vnd.docker.distribution.manifest.v1+prettyjws",
                    r#"{"schemaVersion":1,"fsLayers":[]}"#,
                ),
            ),
            (
                "trailing",
                with_manifest(&lab, MANIFEST, [&lab.manifest[..], b"{}"].concat()),
            ),
        ],
    );
}

#[test]
fn t_rg_06_manifests_that_do_not_fit() {
    needs!(root);
    let lab = Lab::new(1000);
    let config =
        br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#
            .to_vec();
    let other_config = Lab {
        manifest: Lab::manifest_of(&config, &lab.layer, ""),
        config,
        layer: lab.layer.clone(),
    };
    let good = lab.clone();
    all_refused(
        "misfits",
        vec![
            (
                "too long & more than 4194304",
                with_manifest(&lab, MANIFEST, vec![b' '; 5_000_000]),
            ),
            (
                "contradicts itself & 1 layers and its config 0",
                Box::new(move |asked| other_config.answer(asked)),
            ),
            (
                "its digest is",
                Box::new(move |asked| {
                    if asked.path.ends_with("/manifests/1") {
                        return Answer::new(
                            200,
                            &format!(
                                "Content-Type: {MANIFEST}\r\nDocker-Content-Digest: {}\r\n",
                                Digest::sha256(b"other")
                            ),
                            good.manifest.clone(),
                        );
                    }
                    good.answer(asked)
                }),
            ),
            (
                "not a digest",
                Box::new(|_| Answer::new(200, "Docker-Content-Digest: md5:00\r\n", "{}")),
            ),
        ],
    );
}

#[test]
fn indexes_have_a_bottom() {
    needs!(root);
    let lab = Lab::new(1000);
    // Nobody can make an index that names itself by digest, but one can be very deep.
    let mut inner = lab.manifest.clone();
    let mut documents = Vec::new();
    for depth in 0..10 {
        let media_type = if depth == 0 { MANIFEST } else { INDEX };
        documents.push((media_type, inner.clone()));
        inner = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{{},"platform":{{"os":"linux","architecture":"amd64"}}}}]}}"#, descriptor(media_type, &inner)).into_bytes();
    }
    let deep: Script = Box::new(move |asked| {
        let found = documents
            .iter()
            .find(|(_, bytes)| asked.path.ends_with(&Digest::sha256(bytes).to_string()));
        found.map_or_else(
            || Lab::document(INDEX, &inner),
            |(media_type, bytes)| Lab::document(media_type, bytes),
        )
    });
    // One that claims to contain what it does not.
    let swapped = format!(
        r#"{{"schemaVersion":2,"manifests":[{{{},"platform":{{"os":"linux","architecture":"amd64"}}}}]}}"#,
        descriptor(MANIFEST, b"something else")
    );
    let lying = lab.clone();
    let many = format!(
        r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
        vec![format!("{{{}}}", descriptor(MANIFEST, b"x")); 1001].join(",")
    );
    all_refused(
        "indexes",
        vec![
            ("more than 3 deep", deep),
            (
                "its digest is",
                Box::new(move |asked| {
                    if asked.path.ends_with("/1") {
                        Lab::document(INDEX, swapped.as_bytes())
                    } else {
                        Answer::new(200, "", lying.manifest.clone())
                    }
                }),
            ),
            (
                "names no platform at all",
                with_manifest(&lab, INDEX, r#"{"schemaVersion":2,"manifests":[]}"#),
            ),
            ("more than 1000 entries", with_manifest(&lab, INDEX, many)),
        ],
    );
}

#[test]
fn http_that_is_none() {
    needs!(root);
    let forever = |bytes: &[u8]| Piece::Forever(bytes.to_vec());
    let long = vec![b'y'; 1000];
    all_refused(
        "http",
        vec![
            (
                "cannot reach",
                Box::new(move |_| {
                    Answer::raw("HTTP/1.1 200 OK\r\n")
                        .then(forever(b"X-Y: zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\r\n"))
                }),
            ),
            (
                "cannot reach",
                Box::new(move |_| Answer::raw("HTTP/1.1 200 ").then(forever(&long))),
            ),
            (
                "cannot reach",
                Box::new(move |_| {
                    Answer::default().then(forever(b"HTTP/1.1 100 Continue\r\n\r\n"))
                }),
            ),
            (
                "cannot reach",
                Box::new(|_| Answer::raw("hello, this is HTTP/0.9\n")),
            ),
            (
                "cannot reach",
                Box::new(|_| Answer::raw("HTTP/1.1 200 OK\r\nno colon here\r\n\r\n")),
            ),
            (
                "cannot reach",
                Box::new(|_| Answer::raw("HTTP/1.1 000 X\r\n\r\n")),
            ),
            ("cannot reach", Box::new(|_| Answer::raw(""))),
            (
                "no answer in time",
                Box::new(|_| Answer::default().then(Piece::Pause(Duration::from_secs(20)))),
            ),
            (
                "no answer in time",
                Box::new(|_| {
                    Answer(vec![
                        Piece::Bytes(b"HTTP/1.1 200 OK\r\n".to_vec()),
                        Piece::Pause(Duration::from_secs(20)),
                    ])
                }),
            ),
        ],
    );
}

/// The connection breaks within an answer, wherever that is.
#[test]
fn answers_that_are_cut_short() {
    needs!(root);
    let t = Sandbox::new("cut");
    let lab = Lab::new(1000);
    let whole = Lab::document(MANIFEST, &lab.manifest).bytes();
    let cut = Arc::new(Mutex::new(0));
    let server = Server::start(&t, {
        let (lab, cut, whole) = (lab.clone(), Arc::clone(&cut), whole.clone());
        move |asked| match asked.path.ends_with("/manifests/1") {
            true => Answer::raw(&whole[..*cut.lock().unwrap()]),
            false => lab.answer(asked),
        }
    });
    for at in (0..whole.len()).step_by(17) {
        *cut.lock().unwrap() = at;
        pull(&t, &server, "--no-cache").fails(1, "pull", &["cannot"]);
    }
    *cut.lock().unwrap() = whole.len();
    pull(&t, &server, "--no-cache").ok();
}

#[test]
fn bodies_that_are_none() {
    needs!(root);
    let lab = Lab::new(50_000);
    all_refused(
        "bodies",
        vec![
            (
                "nothing came",
                with_layer(&lab, |lab, _| {
                    Answer::raw(
                        [
                            b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n",
                            &lab.layer[..20_000],
                        ]
                        .concat(),
                    )
                    .then(Piece::Pause(Duration::from_secs(20)))
                }),
            ),
            (
                "cannot read",
                with_layer(&lab, |_, _| {
                    Answer::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
                }),
            ),
            (
                "cannot",
                with_layer(&lab, |lab, _| {
                    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc350\r\n";
                    Answer::raw([&head[..], &lab.layer[..], b"\r\n0\r\n"].concat())
                        .then(Piece::Forever(b"X-Y: zzzzzzzzzzzzzzzzzzzz\r\n".to_vec()))
                }),
            ),
            (
                "cannot",
                with_layer(&lab, |lab, _| {
                    let head =
                        b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\nContent-Length: 7\r\n\r\n";
                    Answer::raw([&head[..], &lab.layer[..]].concat())
                }),
            ),
            (
                "cannot",
                with_layer(&lab, |_, _| {
                    let extension = vec![b'x'; 1_000_000];
                    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc350;";
                    Answer::raw([&head[..], &extension].concat())
                }),
            ),
            (
                "cannot read",
                with_layer(&lab, |_, _| {
                    Answer::raw(
                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
                    )
                }),
            ),
        ],
    );
}

#[test]
fn t_rg_02_redirects_lead_no_secret_astray() {
    needs!(root);
    let t = Sandbox::new("redirects");
    let lab = Lab::new(10_000);
    let secret = "bWU6czNjcmV0";
    // The storage sends the layer, but by way of the registry again.
    let layer = lab.clone();
    let storage = Server::start(&t, move |asked| match asked.path.as_str() {
        "/back" => Answer::new(
            307,
            &format!(
                "Location: http://{}/elsewhere\r\n",
                asked.header("x-registry").unwrap_or("127.0.0.1:1")
            ),
            "",
        ),
        _ => Answer::new(200, "", layer.layer.clone()),
    });
    let (at, layer) = (storage.at.clone(), lab.clone());
    let registry = Server::start(&t, move |asked| {
        if asked.header("authorization") != Some("Basic bWU6czNjcmV0") {
            return Answer::new(401, "WWW-Authenticate: Basic realm=\"x\"\r\n", "");
        }
        if layer.is_layer(asked) {
            return Answer::new(
                307,
                &format!("Location: http://{at}/layer?X-Amz-Signature=abc\r\n"),
                "",
            );
        }
        layer.answer(asked)
    });
    pull(&t, &registry, "--creds me:s3cret").ok();
    assert!(
        registry.saw(secret) && !storage.saw(secret),
        "{:?}",
        storage.asked()
    );
    assert_eq!(storage.paths(), ["GET /layer?X-Amz-Signature=abc"]);
    // There and back again: the second time nobody is told anything.
    t.run("rm -r out.tar cache").ok();
    let layer = lab.clone();
    let there = Arc::new(Mutex::new(String::new()));
    let own = Arc::clone(&there);
    let hub = Server::start(&t, {
        let there = Arc::clone(&there);
        move |_| {
            Answer::new(
                307,
                &format!("Location: http://{}/again\r\n", there.lock().unwrap()),
                "",
            )
        }
    });
    let at = hub.at.clone();
    let registry = Server::start(&t, move |asked| match asked.path.as_str() {
        "/again" => Answer::new(200, "", layer.layer.clone()),
        _ if asked.header("authorization").is_none() => {
            Answer::new(401, "WWW-Authenticate: Basic realm=\"x\"\r\n", "")
        }
        _ if layer.is_layer(asked) => Answer::new(302, &format!("Location: http://{at}/\r\n"), ""),
        _ => layer.answer(asked),
    });
    (*own.lock().unwrap()).clone_from(&registry.at);
    pull(&t, &registry, "--creds me:s3cret").ok();
    let again = registry
        .asked()
        .into_iter()
        .find(|asked| asked.path == "/again")
        .unwrap();
    assert!(
        again.header("authorization").is_none() && !hub.saw(secret),
        "{again:?}"
    );
}

#[test]
fn redirects_end_somewhere_sensible() {
    needs!(root);
    let to = |location: &str| {
        let headers = format!("Location: {location}\r\n");
        Box::new(move |_: &Asked| Answer::new(302, &headers, "")) as Script
    };
    all_refused(
        "locations",
        vec![
            ("cannot follow & no end to it", to("/v2/lab/x/manifests/1")),
            ("cannot follow", to("javascript:alert(1)")),
            ("cannot follow", to("file:///etc/passwd")),
            ("cannot follow", to("http://user@127.0.0.1/")),
            ("cannot follow", to("http://127.1/")),
            ("does not say where", Box::new(|_| Answer::new(301, "", ""))),
        ],
    );
}

#[test]
fn t_rg_03_realms_see_no_credentials_by_trick() {
    needs!(root);
    let t = Sandbox::new("realms");
    let secret = "bWU6czNjcmV0";
    let evil = Server::start(&t, |_| Answer::new(200, "", r#"{"token":"x"}"#));
    let port = evil.at.rsplit(':').next().unwrap().to_owned();
    for realm in [
        "ftp://127.0.0.1/".to_owned(),
        "file:///etc/passwd".into(),
        format!("//127.0.0.1:{port}/"),
        format!("http://me@127.0.0.1:{port}/"),
        format!("http://127.0.0.2:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://0x7f.1:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        "http://[::ffff:169.254.169.254]/latest/meta-data".into(),
        String::new(),
    ] {
        let header = format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"x\"\r\n");
        let registry = Server::start(&t, move |_| Answer::new(401, &header, ""));
        pull(&t, &registry, "--creds me:s3cret").fails(
            1,
            "pull",
            &["names a token server that cannot be used"],
        );
        assert!(
            !registry.saw(secret) && evil.asked().is_empty(),
            "{realm}: {:?}",
            evil.asked()
        );
    }
    // Challenges that never end, and tokens that are none.
    for (answer, words) in [
        (
            Answer::new(200, "", r#"{"token":"a\r\nX: y"}"#),
            "none that a header could hold",
        ),
        (Answer::new(200, "", "{}"), "there is none in its answer"),
        (
            Answer::new(200, "", "<html>"),
            "not a valid answer of a token server",
        ),
        (Answer::new(200, "", vec![b' '; 3_000_000]), "too long"),
        (Answer::new(500, "", ""), "status 500"),
        (
            Answer::new(200, "", r#"{"token":"x","token":"y"}"#),
            "stands twice",
        ),
        (Answer::new(200, "", r#"{"token":"good"}"#), "status 401"),
    ] {
        let registry = Server::start(&t, move |asked| match asked.path.starts_with("/token") {
            true => answer.clone(),
            false => {
                let host = asked.header("host").unwrap_or_default();
                Answer::new(
                    401,
                    &format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\"\r\n"),
                    "",
                )
            }
        });
        pull(&t, &registry, "").fails(1, "pull", &[words]);
    }
    nothing_came_of_it(&t);
}

#[test]
fn t_rg_01_an_image_does_not_say_where_its_layers_are() {
    needs!(root);
    let t = Sandbox::new("foreign");
    let lab = Lab::new(1000);
    let layer = lab.layer.clone();
    let elsewhere = Server::start(&t, move |_| Answer::new(200, "", layer.clone()));
    let manifest = Lab::manifest_of(
        &lab.config,
        &lab.layer,
        &format!(r#","urls":["http://{}/layer"]"#, elsewhere.at),
    );
    let manifest = String::from_utf8(manifest).unwrap().replace(
        "oci.image.layer.v1.tar",
        "oci.image.layer.nondistributable.v1.tar",
    );
    let foreign = Lab {
        manifest: manifest.into_bytes(),
        ..lab
    };
    let registry = Server::start(&t, move |asked| {
        if foreign.is_layer(asked) {
            Answer::nothing()
        } else {
            foreign.answer(asked)
        }
    });
    pull(&t, &registry, "--creds me:s3cret").fails(1, "pull", &["404"]);
    assert!(elsewhere.asked().is_empty());
}

#[test]
fn t_rg_04_secrets_are_not_told() {
    needs!(root);
    let t = Sandbox::new("secrets");
    let lab = Lab::new(1000);
    let registry = Server::start(&t, move |asked| {
        let host = asked.header("host").unwrap_or_default();
        if asked.path.starts_with("/token") {
            return Answer::new(200, "", r#"{"token":"t0psecret"}"#);
        }
        if asked.header("authorization") != Some("Bearer t0psecret") {
            return Answer::new(
                401,
                &format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\"\r\n"),
                "",
            );
        }
        if lab.is_layer(asked) {
            return Answer::new(307, "Location: /signed?X-Amz-Signature=abcdef\r\n", "");
        }
        if asked.path.starts_with("/signed") {
            return Answer::new(307, "Location: javascript:x\r\n", "");
        }
        lab.answer(asked)
    });
    let ran = t
        .cmd(&format!("pull --plain-http --retry 1 --progress json --creds me:s3cret {}/lab/x:1 -o out.tar; cat $(find . -type f)", registry.at))
        .env("RUST_LOG", "trace")
        .run();
    let all = format!("{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("cannot follow the redirect"), "{ran}");
    for secret in ["t0psecret", "s3cret", "bWU6czNjcmV0", "abcdef"] {
        assert!(!all.contains(secret), "{secret} is told: {ran}");
    }
}

#[test]
fn t_rg_05_a_registry_without_tls_is_not_spoken_to_by_mistake() {
    needs!(root);
    let t = Sandbox::new("plain");
    let lab = Lab::new(1000);
    // Not on this machine, as far as anybody can tell.
    t.cmd("ip address add 192.0.2.7/32 dev lo && ip link set lo up")
        .host()
        .run()
        .ok();
    let server = Server::start_at(&t, "192.0.2.7:0", move |asked| lab.answer(asked));
    let line = |option: &str| {
        t.run(&format!(
            "pull -q --creds me:s3cret {option} {}/lab/x:1 -o out.tar",
            server.at
        ))
    };
    line("")
        .fails(
            1,
            "pull",
            &["cannot reach https://192.0.2.7", "does not speak TLS"],
        )
        .hint("--plain-http");
    assert!(server.asked().is_empty());
    line("--insecure").ok();
    line("--plain-http").ok();
}

#[test]
fn what_passes_is_waited_for() {
    needs!(root);
    let t = Sandbox::new("passing");
    let lab = Lab::new(400_000);
    let count = Mutex::new(0);
    let server = Server::start(&t, move |asked| {
        let mut count = count.lock().unwrap();
        *count += 1;
        match *count {
            1 => Answer::new(
                429,
                "Retry-After: 1\r\nRateLimit-Remaining: 0;w=21600\r\n",
                "",
            ),
            2 => Answer::new(503, "Retry-After: 0\r\n", ""),
            3 => Answer::raw("HTTP/1.1 200 OK\r\nContent-Le"),
            // The layer comes in parts: a connection that breaks, one that ignores what was asked for, and the rest.
            _ if lab.is_layer(asked) && *count < 7 => Answer::raw(
                [
                    b"HTTP/1.1 200 OK\r\nETag: \"lab\"\r\nContent-Length: 400000\r\n\r\n",
                    &lab.layer[..*count * 50_000],
                ]
                .concat(),
            ),
            _ => lab.answer(asked),
        }
    });
    let begun = Instant::now();
    t.run(&format!(
        "pull --plain-http --timeout 2 {}/lab/x:1 -o out.tar",
        server.at
    ))
    .ok()
    .err_has("429")
    .err_has("trying again")
    .err_has("going on from there");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let ranges: Vec<String> = server
        .asked()
        .iter()
        .filter_map(|asked| {
            Some(format!(
                "{} {}",
                asked.header("range")?,
                asked.header("if-range")?
            ))
        })
        .collect();
    assert_eq!(
        ranges.last().map(String::as_str),
        Some("bytes=300000- \"lab\""),
        "{ranges:?}"
    );
    t.run(&format!(
        "pull --plain-http -q --retry 0 {}/lab/none:1",
        server.at
    ))
    .fails(1, "pull", &["404"]);
}

#[test]
fn one_who_knows_nobody_says_what_helps() {
    needs!(root);
    let t = Sandbox::new("limits");
    let server = Server::start(&t, |_| {
        Answer::new(
            429,
            "RateLimit-Limit: 100;w=21600\r\nRateLimit-Remaining: 0\r\n",
            r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#,
        )
    });
    pull(&t, &server, "")
        .fails(1, "pull", &["too many requests", "slow down"])
        .hint("ratelimit-remaining: 0");
}
