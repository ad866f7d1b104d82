//! Pulls that end in the middle: whatever moment it is, the next one succeeds, and what is kept is whole.

use crate::kit::Sandbox;
use crate::kit::lab::{Lab, MANIFEST, descriptor};
use crate::kit::registry::{Registry, image};
use crate::kit::server::{Answer, Piece, Server};
use std::time::Duration;

#[test]
fn killed_at_many_points() {
    needs!(root, host("docker-registry"), host("skopeo"), host("umoci"));
    let t = Sandbox::new("killed");
    let registry = Registry::start(&t);
    image(&t, 20_000_000);
    registry.fill("img:1", "lab/x:1");
    let x = format!("{}/lab/x:1", registry.at);
    let script = format!(
        "export XDG_CACHE_HOME=$PWD/cache; whole() {{ for b in cache/isobox/blobs/*/*; do [ -e $b ] || continue; sha256sum <$b | grep -q ^${{b##*/}} || echo bad $b; done; }}
         killed=0
         for ms in 2 4 6 8 10 12 14 16 18 20 24 28 32 36 40 45 50 55 60 70 80 90 100 120 140 160; do
             timeout -s KILL 0.$(printf %03d $ms) pull -q {x} -o out.tar; [ $? = 137 ] && killed=$((killed + 1)); whole
             [ -e out.tar ] && tar tf out.tar >/dev/null; rm -f out.tar
             [ $((ms % 20)) = 0 ] && rm -rf cache/isobox/blobs
             timeout -s KILL 0.$(printf %03d $ms) pull -q {x} -o lay/; whole
             timeout -s KILL 0.$(printf %03d $ms) pull -q --no-cache {x} root; [ ! -e root ] || [ $(stat -c %s root/big root/a/y | tr '\n' ,) = 20000000,4, ] || echo half a root; rm -rf root
             [ -e lay/index.json ] && (umoci ls --layout lay | grep -cx 1 >/dev/null || echo half a layout); rm -rf lay
         done 2>/dev/null
         [ $killed -ge 5 ] || echo only $killed were killed
         pull -q {x} -o out.tar && pull -q {x} -o lay/ && pull -q --no-cache {x} -o - | cmp - out.tar && whole
         pull -q {x} root && ls -A | grep -c incomplete; ls cache/isobox/partial; rm -rf .out.tar.* root"
    );
    t.cmd(&script)
        .limit(Duration::from_secs(120))
        .run()
        .ok()
        .out("0\n");
}

#[test]
fn what_was_fetched_is_not_fetched_again() {
    needs!(root);
    let t = Sandbox::new("resumed");
    let lab = Lab::new(3_000_000);
    let (honest, cut) = (lab.clone(), lab.clone());
    let first = Server::start(&t, move |asked| match cut.is_layer(asked) {
        true => Answer::raw(
            [
                b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n",
                &cut.layer[..2_000_000],
            ]
            .concat(),
        )
        .then(Piece::Pause(Duration::from_secs(30))),
        false => cut.answer(asked),
    });
    let run = |server: &Server| {
        let line = format!(
            "timeout -s KILL 2 pull --plain-http -q {}/lab/x:1 -o out.tar",
            server.at
        );
        t.cmd(&line)
            .env("XDG_CACHE_HOME", t.work().join("cache"))
            .run()
    };
    run(&first).status(137);
    t.run("stat -c %s cache/isobox/partial/*")
        .ok()
        .out("2000000\n");
    let second = Server::start(&t, move |asked| honest.answer(asked));
    run(&second).ok();
    let ranges: Vec<String> = second
        .asked()
        .iter()
        .filter_map(|asked| asked.header("range").map(str::to_owned))
        .collect();
    assert_eq!(ranges, ["bytes=2000000-"]);
    // What lies there may be wrong; then it is fetched once more, and nothing of it is handed on.
    let script = "rm -rf cache/isobox/blobs out.tar; head -c 1000000 /dev/zero >cache/isobox/partial/sha256-$(basename $0)";
    let name = lab.layer_path().replace("/v2/lab/x/blobs/sha256:", "");
    t.run(&format!("set -- ; sh -c '{script}' {name}")).ok();
    run(&second).ok();
    t.run("tar xf out.tar && for b in blobs/*/*; do sha256sum <$b | grep -q ^${b##*/} || echo bad; done; ls cache/isobox/partial").ok().out("");
}

#[test]
fn two_at_once_fetch_once() {
    needs!(root);
    let t = Sandbox::new("together");
    let lab = Lab::new(500_000);
    let slow = lab.clone();
    let server = Server::start(&t, move |asked| match slow.is_layer(asked) {
        true => Answer::raw(
            [
                b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n",
                &slow.layer[..250_000],
            ]
            .concat(),
        )
        .then(Piece::Pause(Duration::from_millis(700)))
        .then(Piece::Bytes(slow.layer[250_000..].to_vec())),
        false => slow.answer(asked),
    });
    let one = format!("pull --plain-http -q {}/lab/x:1", server.at);
    t.cmd(&format!("{one} >a.tar & {one} >b.tar & {one} >c.tar & wait; cmp a.tar b.tar && cmp b.tar c.tar && tar tf a.tar | wc -l"))
        .env("XDG_CACHE_HOME", t.work().join("cache"))
        .run()
        .ok()
        .out("7\n");
    let layers = server
        .asked()
        .iter()
        .filter(|asked| lab.is_layer(asked))
        .count();
    assert_eq!(layers, 1);
}

/// Whoever empties the cache takes nothing from one who is pulling.
#[test]
fn the_cache_is_emptied_beside_a_pull() {
    needs!(root);
    let t = Sandbox::new("prune");
    let (lab, small) = (Lab::new(500_000), b"a small layer".to_vec());
    let id = |bytes: &[u8]| isobox::image::Digest::sha256(bytes).to_string();
    let layer = "application/vnd.oci.image.layer.v1.tar";
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{}","{}"]}}}}"#,
        id(&lab.layer),
        id(&small)
    );
    let manifest = |config: &[u8], layers: &[&[u8]]| {
        let layers: Vec<_> = layers
            .iter()
            .map(|bytes| format!("{{{}}}", descriptor(layer, bytes)))
            .collect();
        let config = descriptor("application/vnd.oci.image.config.v1+json", config);
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{{config}}},"layers":[{}]}}"#,
            layers.join(",")
        )
    };
    let first_config = config.replacen(&format!("\"{}\",", id(&lab.layer)), "", 1);
    let first = manifest(first_config.as_bytes(), &[&small]);
    let second = manifest(config.as_bytes(), &[&lab.layer, &small]);
    let (one, two) = (id(first.as_bytes()), id(second.as_bytes()));
    let slow = lab.clone();
    let server = Server::start(&t, move |asked| {
        if slow.is_layer(asked) {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n";
            return Answer::raw([head, &slow.layer[..250_000]].concat())
                .then(Piece::Pause(Duration::from_millis(1500)))
                .then(Piece::Bytes(slow.layer[250_000..].to_vec()));
        }
        for document in [&first, &second] {
            if asked.path.contains("/manifests/") && asked.path.ends_with(&id(document.as_bytes()))
            {
                return Lab::document(MANIFEST, document.as_bytes());
            }
        }
        let blobs = [&small[..], first_config.as_bytes(), config.as_bytes()];
        let found = blobs.iter().find(|blob| asked.path.ends_with(&id(blob)));
        found.map_or_else(Answer::nothing, |blob| Answer::new(200, "", *blob))
    });
    let x = format!("{}/lab/x", server.at);
    let run = |line: &str| {
        t.cmd(line)
            .env("XDG_CACHE_HOME", t.work().join("cache"))
            .run()
    };
    run(&format!(
        "pull --plain-http -q {x}@{one} -o one.tar && ls cache/isobox/blobs/sha256 | wc -l"
    ))
    .ok()
    .out("3\n");
    // The layer that is there already is wanted only when the slow one before it has come.
    run(&format!(
        "pull --plain-http -q {x}@{two} -o two.tar & p=$!; sleep 0.7; pull prune | grep -c 'blobs removed: '; ls cache/isobox/partial | wc -l; wait $p && tar tf two.tar | grep -c blobs/sha256/."
    ))
    .ok()
    .out("1\n1\n4\n");
    run("pull prune nowhere.example/x").fails(1, "pull", &["not in the cache: nowhere.example/x"]);
}
