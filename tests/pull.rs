//! pull: from a real docker-registry on loopback, in all the forms it gives and to all who read them. What a real one
//! will not do is in `pull/hostile.rs`, who we are to it in `pull/login.rs`, who it is in `pull/tls.rs`, how it is found in
//! `pull/names.rs`, interruptions in `pull/broken.rs`, others who take what we write in `pull/takers.rs`.

#[path = "pull/broken.rs"]
mod broken;
#[path = "pull/hostile.rs"]
mod hostile;
#[path = "pull/login.rs"]
mod login;
#[path = "pull/names.rs"]
mod names;
#[cfg(feature = "tls")]
#[path = "pull/signature.rs"]
mod signature;
#[path = "pull/takers.rs"]
mod takers;
#[cfg(feature = "tls")]
#[path = "pull/tls.rs"]
mod tls;

use crate::kit::Sandbox;
use crate::kit::registry::{Registry, image};

/// Every test needs these.
macro_rules! needs_registry {
    () => {
        needs!(
            root,
            host("docker-registry"),
            host("skopeo"),
            host("umoci"),
            host("curl")
        );
    };
}

#[test]
fn the_archive_is_one_for_everybody() {
    needs_registry!();
    let t = Sandbox::new("pull");
    let registry = Registry::start(&t);
    image(&t, 100_000);
    registry.fill("img:1", "lab/x:1");
    let at = &registry.at;
    t.run(&format!("pull {at}/lab/x:1 >x.tar"))
        .ok()
        .err_has(&format!("pull: {at}/lab/x:1, linux/amd64, 3 layers"))
        .err_has("pull: layer 1/3 sha256:");
    // Metadata first, then the layers in order.
    let listed = t.run("tar tf x.tar").ok().stdout.clone();
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(
        lines[..3],
        ["oci-layout", "index.json", "manifest.json"],
        "{listed}"
    );
    let names = "tar xOf x.tar manifest.json | grep -o '\"Layers\":.*' | grep -o 'blobs/sha256/[0-9a-f]*'; tar tf x.tar | tail -3";
    let names = t.run(names).ok().stdout.clone();
    let names: Vec<&str> = names.lines().collect();
    assert_eq!(names[..3], names[3..], "{names:?}");
    // Both sorts of reader take it and find the same image.
    for transport in ["oci-archive", "docker-archive"] {
        let line = format!(
            "skopeo inspect {transport}:x.tar | grep -A9 '\"Layers\"'; skopeo inspect --config {transport}:x.tar | grep -c /bin/sh"
        );
        let ran = t.cmd(&line).host().run();
        ran.ok().out_has("\n1\n");
    }
    t.cmd("skopeo copy -q oci-archive:x.tar oci:back:1 && umoci unpack --image back:1 back-root && umoci unpack --image img:1 img-root && diff -r --no-dereference back-root/rootfs img-root/rootfs && ls back-root/rootfs/a")
        .host()
        .run()
        .ok()
        .out("y\n");
    // -o FILE and -o - are the same bytes; nothing is left beside them.
    t.run(&format!("pull -q {at}/lab/x:1 -o y.tar && cmp x.tar y.tar && pull -q -o - {at}/lab/x:1 | cmp - x.tar && ls -A | grep -c tar"))
        .ok()
        .out("2\n")
        .err("");
}

#[test]
fn a_layout_is_made_and_added_to() {
    needs_registry!();
    let t = Sandbox::new("pull");
    let registry = Registry::start(&t);
    image(&t, 1000);
    registry
        .fill("img:1", "lab/x:1")
        .fill("img:1", "lab/x:other");
    let at = &registry.at;
    t.run(&format!("pull -q {at}/lab/x:1 -o lay/ && pull -q {at}/lab/x:other -o lay/ && pull -q {at}/lab/x:1 -o lay")).ok();
    t.cmd("umoci ls --layout lay | sort; umoci unpack --image lay:other r >/dev/null 2>&1 && cat r/rootfs/a/y")
        .host()
        .run()
        .ok()
        .out("1\nother\ntwo\n");
    t.cmd("for b in lay/blobs/sha256/*; do sha256sum <$b | grep -q ^${b##*/} || echo bad $b; done")
        .host()
        .run()
        .ok()
        .out("");
    t.run(&format!(
        "mkdir full && touch full/x && pull -q {at}/lab/x:1 -o full/"
    ))
    .fails(1, "pull", &["neither empty nor an OCI layout"]);
    // Killed before the index had its name.
    t.run(&format!(
        "mv lay/index.json lay/.index.json.1234 && pull -q {at}/lab/x:other -o lay/ && pull -q {at}/lab/x:1 -o lay/"
    ))
    .ok();
    t.cmd("umoci ls --layout lay | sort")
        .host()
        .run()
        .ok()
        .out("1\nother\n");
}

#[test]
fn questions_are_answered_as_skopeo_does() {
    needs_registry!();
    let t = Sandbox::new("pull");
    let registry = Registry::start(&t);
    image(&t, 1000);
    registry.fill("img:1", "lab/x:1").fill("img:1", "lab/x:2");
    let at = &registry.at;
    let x = format!("{at}/lab/x");
    let skopeo = "skopeo inspect --tls-verify=false";
    for (ours, theirs) in [
        ("--manifest", format!("{skopeo} --raw docker://{x}:1")),
        (
            "--config",
            format!("{skopeo} --config --raw docker://{x}:1"),
        ),
        (
            "--digest",
            format!("{skopeo} --format '{{{{.Digest}}}}' docker://{x}:1"),
        ),
    ] {
        t.run(&format!(
            "pull {ours} {x}:1 >ours && {theirs} >theirs && cmp ours theirs"
        ))
        .ok();
    }
    t.run(&format!("pull --tags {x} | sort"))
        .ok()
        .out("1\n2\n")
        .err("");
    t.run(&format!("pull --tags -J {x}"))
        .ok()
        .out_has("\"tag\": \"2\"");
    t.run(&format!("pull --list-platforms {x}:1"))
        .ok()
        .out("linux/amd64\n");
    // By digest it is the same image, and the tag beside it does not matter.
    t.run(&format!(
        "d=$(pull --digest {x}:1) && pull -q {x}:nope@$d --digestfile d >by.tar && [ $(cat d) = $d ] && pull --manifest {x}@$d | sha256sum | cut -c1-64 | sed s/^/sha256:/ | grep -cx $d"
    ))
    .ok()
    .out("1\n");
    t.run(&format!("pull {x}:nope"))
        .fails(1, "pull", &["manifests/nope", "404"]);
    t.run(&format!("pull --digest --tags {x}:1"))
        .fails(1, "pull", &["one thing at a time"]);
    t.run(&format!("pull --config -o y {x}:1"))
        .fails(1, "pull", &["one thing at a time"]);
    t.run("pull UPPER").fails(1, "pull", &["must be lowercase"]);
    t.run("touch x.tar; pull ./x.tar d")
        .fails(1, "pull", &["is no name of an image but a file"])
        .hint("mkrootfs");
}

#[test]
fn an_index_has_an_image_for_each_platform() {
    needs_registry!();
    let t = Sandbox::new("pull");
    let registry = Registry::start(&t);
    image(&t, 1000);
    let at = &registry.at;
    let x = format!("{at}/lab/x");
    let mut entries = Vec::new();
    for (architecture, variant) in [("arm", "v6"), ("arm", "v7"), ("arm64", "v8"), ("amd64", "")] {
        let tag = format!("{architecture}{variant}");
        let variant_option = if variant.is_empty() {
            String::new()
        } else {
            format!(" --platform.variant {variant}")
        };
        let line = format!(
            "umoci config --image img:1 --tag {tag} --architecture {architecture} --config.label v={tag}{variant_option} 2>/dev/null || umoci config --image img:1 --tag {tag} --architecture {architecture} --config.label v={tag}"
        );
        t.cmd(&line).host().run().ok();
        registry.fill(&format!("img:{tag}"), &format!("lab/x:{tag}"));
        let manifest = t.run(&format!(
            "pull --manifest {x}:{tag} >m; echo $(sha256sum <m | cut -c1-64) $(wc -c <m)"
        ));
        let (digest, size) = manifest.ok().stdout.trim().split_once(' ').unwrap();
        let variant = if variant.is_empty() {
            String::new()
        } else {
            format!(r#","variant":"{variant}""#)
        };
        entries.push(format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{digest}","size":{size},"platform":{{"os":"linux","architecture":"{architecture}"{variant}}}}}"#
        ));
        if architecture == "amd64" {
            // What buildkit puts beside an image.
            entries.push(format!(
                r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{digest}","size":{size},"annotations":{{"vnd.docker.reference.type":"attestation-manifest"}},"platform":{{"os":"unknown","architecture":"unknown"}}}}"#
            ));
        }
    }
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]}}"#,
        entries.join(",")
    );
    t.write("index.json", &index);
    registry.put_manifest(
        "lab/x",
        "multi",
        "application/vnd.oci.image.index.v1+json",
        "index.json",
    );
    t.run(&format!("pull --list-platforms {x}:multi"))
        .ok()
        .out("linux/arm/v6\nlinux/arm/v7\nlinux/arm64/v8\nlinux/amd64\n");
    t.run(&format!(
        "pull --manifest {x}:multi | cmp - index.json && pull --digest {x}:multi"
    ))
    .ok()
    .out_has("sha256:");
    for (platform, label) in [
        ("", "amd64"),
        ("--platform linux/arm64", "arm64v8"),
        ("--platform linux/arm/v6", "armv6"),
        ("--platform linux/arm/v8", "armv7"),
        ("--platform linux/amd64/v3", "amd64"),
        ("--platform aarch64", "arm64v8"),
    ] {
        t.run(&format!("pull {platform} --config {x}:multi"))
            .ok()
            .out_has(&format!("\"v\":\"{label}\""));
    }
    t.run(&format!("pull --platform linux/nope {x}:multi d"))
        .fails(1, "pull", &["no image for linux/nope"])
        .hint("linux/arm/v6, linux/arm/v7, linux/arm64/v8, linux/amd64");
    t.run(&format!("pull --platform linux/arm64 {x}:amd64 d"))
        .fails(1, "pull", &["no image for linux/arm64"])
        .hint("linux/amd64");
    t.run(&format!("pull {x}:arm64v8 >arm.tar"))
        .ok()
        .err_has("the image is for linux/arm64");
}

#[test]
fn what_is_in_the_cache_needs_no_network() {
    needs_registry!();
    let t = Sandbox::new("pull");
    let registry = Registry::start(&t);
    image(&t, 200_000);
    registry.fill("img:1", "lab/x:1");
    let x = format!("{}/lab/x:1", registry.at);
    let cache = t.work().join("cache");
    let run = |line: &str| t.cmd(line).env("XDG_CACHE_HOME", &cache).run();
    run(&format!("pull --offline {x} >x.tar")).fails(1, "pull", &["not in the cache"]);
    run(&format!("pull {x} >x.tar")).ok().err_has("layer 3/3");
    run(&format!(
        "pull --progress json {x} 2>&1 >y.tar | grep -c cached; stat -c %a cache/isobox"
    ))
    .ok()
    .out("3\n700\n");
    registry.stop();
    run(&format!("pull --retry 0 {x} >y.tar")).fails(
        1,
        "pull",
        &["cannot reach", "Connection refused"],
    );
    run(&format!("pull --offline {x} >y.tar && cmp x.tar y.tar")).ok();
    // By digest nothing needs to be asked.
    run(&format!(
        "d=$(pull --offline --digest {x}); pull --offline {}@$d -o - | wc -c",
        x.trim_end_matches(":1")
    ))
    .ok();
    // What no name leads to is not kept for ever: here what was left of an older image, and all when the name goes.
    run("head -c 5000 /dev/zero >b && cp b cache/isobox/blobs/sha256/$(sha256sum <b | cut -c-64) && pull prune")
        .ok()
        .out("blobs removed: 1, 5.0 kB\n");
    // What somebody who was killed left of a name goes too; one who is writing may be at work still.
    run("cd cache/isobox/names && touch -d -2hours aa.1 && touch bb.1 && pull prune && ls *.1 && rm bb.1")
        .ok()
        .out_has("\nbb.1\n");
    run(&format!("cp -a cache kept && pull prune {x} && find cache -type f | wc -l && rm -r cache && mv kept cache"))
        .ok()
        .out_has("\n0\n");
    // A copy that somebody changed is found out, thrown away and not handed on.
    run("b=$(ls -S cache/isobox/blobs/sha256/* | head -1); printf x | dd of=$b bs=1 seek=1000 conv=notrunc 2>/dev/null").ok();
    run(&format!("pull -q --offline {x} -o z.tar")).fails(1, "pull", &["was damaged"]);
    run(&format!("ls z.tar; pull --offline {x} -o z.tar; ls z.tar"))
        .status(2)
        .err_has("is not in the cache");
}

#[test]
fn nothing_but_data_on_standard_output() {
    needs_registry!();
    let t = Sandbox::new("pull");
    let registry = Registry::start(&t);
    image(&t, 3_000_000);
    registry.fill("img:1", "lab/x:1");
    let x = format!("{}/lab/x:1", registry.at);
    t.run(&format!("script -qec 'pull {x}' /dev/null"))
        .status(1)
        .out_has("does not go to a terminal");
    // On a terminal one line changes; in a pipe there is none, and no escape codes.
    t.run(&format!(
        "TERM=xterm script -qec 'pull {x} -o x.tar' /dev/null"
    ))
    .ok()
    .out_has("\x1b[K")
    .out_has("3/3 layers");
    t.run(&format!(
        "TERM=dumb script -qec 'pull {x} -o y.tar' /dev/null | grep -c \"$(printf '\\033')\""
    ))
    .status(1)
    .out("0\n");
    t.run(&format!("pull --progress none {x} -o y.tar"))
        .ok()
        .err("")
        .out("");
    t.run(&format!("pull --progress json {x} -o y.tar"))
        .ok()
        .out("")
        .err_has("{\"event\":\"image\",")
        .err_has("{\"event\":\"done\",");
    // A reader that goes away ends it, quietly.
    t.run(&format!(
        "(pull -q {x}; echo $? >status) | head -c 1000 >/dev/null; cat status"
    ))
    .ok()
    .out("141\n")
    .err("");
    // A full disk: said clearly, nothing kept.
    t.run(&format!("pull -q --no-cache {x} >/dev/full")).fails(
        1,
        "pull",
        &["No space left on device"],
    );
    t.run(&format!(
        "mkdir small && mount -t tmpfs -o size=1M small small && pull --no-cache -q {x} -o small/x.tar; echo $?; ls -A small
         pull --cache small/cache -q {x} -o x.tar; echo $?; find small -type f -size +100k; umount small && rmdir small"
    ))
    .ok()
    .out("1\n1\n")
    .err_has("cannot write")
    .err_has("cannot write to the cache small/cache: No space left on device")
    .err_has("--cache DIR");
}

#[test]
fn names_and_places_are_as_registries_conf_says() {
    needs_registry!();
    let t = Sandbox::new("pull");
    let registry = Registry::start(&t);
    image(&t, 1000);
    registry
        .fill("img:1", "lab/x:1")
        .fill("img:1", "mirror/library/thing:latest");
    let at = &registry.at;
    let conf = format!(
        "unqualified-search-registries = [\"{at}\"]\n[aliases]\n\"short\" = \"{at}/lab/x\"\n\
         [[registry]]\nprefix = \"docker.io\"\nlocation = \"127.0.0.1:1\"\n[[registry.mirror]]\nlocation = \"{at}/mirror\"\ninsecure = true\n\
         [[registry]]\nlocation = \"evil.example\"\nblocked = true\n"
    );
    t.write("r.conf", &conf);
    let conf = t.work().join("r.conf");
    let run = |line: &str| t.cmd(line).env("CONTAINERS_REGISTRIES_CONF", &conf).run();
    run("pull short:1 | tar t")
        .ok()
        .out_has("blobs/")
        .err_has(&format!("pull: {at}/lab/x:1, linux"));
    run("pull --digest lab/x:1").ok().out_has("sha256:");
    run("pull docker.io/thing | tar t")
        .ok()
        .out_has("blobs/")
        .err_has("docker.io/library/thing:latest");
    run("pull evil.example/x").fails(1, "pull", &["evil.example is blocked", "r.conf"]);
    t.write("r.conf", "a = \n");
    run("pull short:1").fails(1, "pull", &["r.conf", "line 1"]);
}

/// acceptance.md, script 13.
#[test]
fn the_whole_way_into_a_directory() {
    needs_registry!();
    let t = Sandbox::new("pull");
    let registry = Registry::start(&t);
    image(&t, 3_000_000);
    registry.fill("img:1", "lab/x:1");
    let x = format!("{}/lab/x:1", registry.at);
    t.run(&format!("pull --plain-http {x} d"))
        .ok()
        .out("")
        .err_has("layer 3/3");
    t.run(&format!("pull -q --no-cache {x} | mkrootfs -q e && umoci unpack --image img:1 u >/dev/null 2>&1 && diff -r --no-dereference d u/rootfs && diff -r --no-dereference e u/rootfs && ls d/a; readlink d/sh"))
        .ok()
        .out("y\n/bin/busybox\n");
    // Owners, modes and times too.
    let list = "find . -printf '%p %y %m %U:%G %T@ %s %l\\n' | grep -v '^\\. ' | sed 's/^\\(.* d .*\\) [0-9]* $/\\1/' | sort";
    t.run(&format!(
        "(cd d; {list}) >1; (cd u/rootfs; {list}) >2; (cd e; {list}) >3; cmp 1 2; cmp 1 3"
    ))
    .ok()
    .out("");
    t.run(&format!(
        "pull --plain-http --platform linux/nope {x} d2; echo rc=$?; ls -A | grep d2"
    ))
    .out("rc=1\n")
    .hint("there are linux/amd64");
    t.run(&format!("pull -q {x} d")).fails(1, "pull", &["d"]);
    // An ordinary user, who has one id or the subordinate ones.
    t.user()
        .run(&format!(
            "pull -q {x} mine && cat mine/a/y && stat -c %u mine/big && mkrootfs --rm --force mine"
        ))
        .ok()
        .out("two\n1000\n");
}
