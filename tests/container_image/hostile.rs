//! Images whose configuration is hostile (security list, 1B and 1C), and copies out of hostile containers.

use super::{as_root, both, registry_with};
use crate::kit::Sandbox;
use crate::kit::registry::Registry;

/// Makes `img:1` of one layer: a root whose file of users has lines for what is no number of one.
const IMAGE: &str = r#"
    printf 'root:x:0:0::/root:/bin/sh\nweb:x:33:34::/:/bin/sh\n4294967296:x:0:0::/:\n-1:x:0:0::/:\n00:x:0:0::/:\n' >r/etc/passwd
    umoci init --layout img; umoci new --image img:1; umoci new --image img:none; tar -C r -cf 1.tar .; umoci raw add-layer --image img:1 1.tar
"#;

/// The image `AT/lab/TAG:1`, which is `img:1` with these settings.
fn image(t: &Sandbox, registry: &Registry<'_>, tag: &str, settings: &str) -> String {
    t.cmd(&format!(
        "umoci config --image img:1 --tag {tag} {settings}"
    ))
    .host()
    .run()
    .ok();
    registry.fill(&format!("img:{tag}"), &format!("lab/{tag}:1"));
    format!("{}/lab/{tag}:1", registry.at)
}

/// T-EX-06 (CVE-2024-40635, CVE-2026-46680): a user that is no number and no name is nobody, and never root.
#[test]
fn a_user_out_of_range_is_refused() {
    needs_images!();
    let t = Sandbox::new("himage");
    let registry = registry_with(&t, IMAGE);
    for (at, user) in [
        "4294967296",
        "-1",
        "0x0",
        "1e3",
        "00",
        "4294967295",
        "web:nogroup",
        "nobody",
    ]
    .iter()
    .enumerate()
    {
        let name = image(
            &t,
            &registry,
            &format!("u{at}"),
            &format!("--config.user={user}"),
        );
        let ran = as_root(&t, &format!("container run -q {name} id -u")).run();
        assert!(ran.status == 125 && ran.stdout.is_empty(), "{user}{ran}");
    }
    // The control: the same image with a user who is there.
    let name = image(&t, &registry, "web", "--config.user=web");
    as_root(&t, &format!("container run -q {name} id -u"))
        .run()
        .ok()
        .out("33\n");
}

/// T-EX-12, 15 (CVE-2024-32462, CVE-2026-57231): what an image says is data: its program is no option of ours, its
/// variables do not fetch ours.
#[test]
fn an_image_gives_no_orders() {
    needs_images!();
    needs!(host("jq"));
    let t = Sandbox::new("himage");
    let registry = registry_with(&t, IMAGE);
    for (at, entry) in ["--privileged", "-v=/:/host", "--rootfs=host"]
        .iter()
        .enumerate()
    {
        let name = image(
            &t,
            &registry,
            &format!("e{at}"),
            &format!("--config.entrypoint={entry} --config.cmd=id"),
        );
        for run in both(&t, &format!("container run -q {name}")) {
            let ran = run.run();
            assert!(ran.status == 127 && ran.stdout.is_empty(), "{entry}{ran}");
        }
    }
    let name = image(
        &t,
        &registry,
        "env",
        "--config.env=SECRET_X=own --config.env=A=b=c",
    );
    // umoci refuses what has no name or no value: the document is changed by hand.
    t.run("set -e; M=$(jq -r '.manifests[] | select(.annotations[\"org.opencontainers.image.ref.name\"] == \"env\") | .digest' img/index.json)
        C=$(jq -r .config.digest img/blobs/sha256/${M#*:}); jq -c '.config.Env += [\"SECRET_Y\", \"*\", \"SECRET_*\", \"=x\", \"\"]' img/blobs/sha256/${C#*:} >c
        c=$(sha256sum c | cut -d' ' -f1); jq -c --arg d sha256:$c --argjson s $(stat -c %s c) '.config.digest = $d | .config.size = $s' img/blobs/sha256/${M#*:} >m
        m=$(sha256sum m | cut -d' ' -f1); cp c img/blobs/sha256/$c; cp m img/blobs/sha256/$m
        jq -c --arg d sha256:$m --argjson s $(stat -c %s m) '.manifests += [{mediaType: \"application/vnd.oci.image.manifest.v1+json\", digest: $d, size: $s, annotations: {\"org.opencontainers.image.ref.name\": \"odd\"}}]' img/index.json >i; cp i img/index.json")
        .ok();
    registry.fill("img:odd", "lab/odd:1");
    for (name, own) in [(name, true), (format!("{}/lab/odd:1", registry.at), false)] {
        for run in both(&t, &format!("container run -q {name} env")) {
            let ran = run
                .env("SECRET_X", "theirs")
                .env("SECRET_Y", "theirs")
                .env("SECRET_Z", "theirs")
                .run();
            assert!(!ran.stdout.contains("theirs"), "{ran}");
            assert!(!own || ran.stdout.contains("A=b=c\n"), "{ran}");
        }
    }
}

/// T-IM-01, 02 (CVE-2026-94603, CVE-2026-53488): labels and annotations do nothing.
#[test]
fn labels_of_an_image_do_nothing() {
    needs_images!();
    let t = Sandbox::new("himage");
    let registry = registry_with(&t, IMAGE);
    let plain = as_root(
        &t,
        &format!(
            "container spec -q {} true",
            image(&t, &registry, "plain", "")
        ),
    )
    .run();
    let labels = [
        "io.podman.annotations.checkpoint.runtime.name",
        "run.oci.hooks.stdout",
        "org.criu.config",
        "org.systemd.property.ExecStopPost",
        "io.kubernetes.cri-o.userns-mode",
        "com.docker.network.driver.mtu",
        "containerd.io/restart.loguri",
        "run.oci.keep_original_groups",
    ];
    let settings: String = labels
        .iter()
        .map(|label| {
            format!("--config.label={label}=binary:///bin/touch --manifest.annotation={label}=1 ")
        })
        .collect();
    let labelled = as_root(
        &t,
        &format!(
            "container spec -q {} true",
            image(&t, &registry, "labelled", &settings)
        ),
    )
    .run();
    let without_names = |text: &str| {
        text.replace("labelled", "plain")
            .lines()
            .filter(|line| !line.contains("\"hostname\"") && !line.contains("HOSTNAME="))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    plain.ok().out_has("\"namespaces\"");
    assert_eq!(
        without_names(&plain.stdout),
        without_names(&labelled.stdout),
        "{plain}{labelled}"
    );
}

/// T-FS-24 (CVE-2026-24054): an image without a layer is refused.
#[test]
fn an_image_of_nothing_is_refused() {
    needs_images!();
    let t = Sandbox::new("himage");
    let registry = registry_with(&t, IMAGE);
    registry.fill("img:none", "lab/none:1");
    for run in both(
        &t,
        &format!("container run -q {}/lab/none:1 true", registry.at),
    ) {
        let ran = run.run();
        assert!(ran.status == 125, "{ran}");
        ran.err_has("no layers");
    }
}

/// T-FS-15, the control: who copies by way of `/proc/PID/root` writes to the host; T-FS-19: removing a container removes
/// nothing that its links lead to.
#[test]
fn links_of_a_container_lead_nowhere() {
    needs_images!();
    let t = Sandbox::new("himage");
    let registry = registry_with(&t, IMAGE);
    let name = image(&t, &registry, "box", "");
    t.run("mkdir canary; echo sings >canary/file; echo bad >evil")
        .ok();
    let canary = t.work().join("canary").display().to_string();
    for how in ["", "--copy"] {
        let line = format!(
            "container run -q -d {how} --name one {name} sh -c 'ln -s {canary} /d; ln -s {canary}/file /f; mkdir /sub; ln -s / /sub/slash; sleep 1000' >/dev/null
             until container exec one test -L /sub/slash; do sleep 0.05; done; container cp evil one:/d/file 2>/dev/null; cat {canary}/file
             container commit -q one lab:2; container rm -f one; container rmi lab:2 >/dev/null; container gc 2>/dev/null; cat {canary}/file; ls {canary}"
        );
        as_root(&t, &line)
            .run()
            .ok()
            .out("sings\none\nsings\nfile\n");
    }
    let line = format!(
        "container run -q -d --name one {name} sh -c 'ln -s {canary} /d; sleep 1000' >/dev/null; until container exec one test -L /d; do sleep 0.05; done
         cp evil /proc/$(container inspect -f '{{{{.State.Pid}}}}' one)/root/d/file; container rm -f one; cat {canary}/file"
    );
    as_root(&t, &line).run().ok().out("one\nbad\n");
}
