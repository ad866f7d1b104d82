//! Those who take what pull writes: docker load, podman load, containerd's import, skopeo as either sort of archive. Each
//! finds the image under its name, with the config it has in the registry, and gives back the tree that mkrootfs makes.

use std::time::Duration;

use crate::kit::Sandbox;
use crate::kit::registry::{Registry, image};

/// `x.tar`, of `AT/lab/x:1`, and the digest of its config.
fn pulled(t: &Sandbox) -> (String, String) {
    let registry = Registry::start(t);
    image(t, 100_000);
    registry.fill("img:1", "lab/x:1");
    let name = format!("{}/lab/x:1", registry.at);
    let id = t.run(&format!(
        "pull -q {name} >x.tar && mkrootfs -q -i x.tar r && pull --config {name} | sha256sum | cut -c-64"
    ));
    (name, id.ok().stdout.trim().to_owned())
}

/// A line that goes to a daemon of docker's in namespaces of its own, with nothing in it yet.
fn docker(work: &str, line: &str) -> String {
    format!(
        "mount -t tmpfs none /run; ip link set lo up; ! [ -d /sys/fs/cgroup/unified ] || umount /sys/fs/cgroup/unified
export DOCKER_HOST=unix://{work}/d.sock HOME={work}
dockerd --data-root {work}/root --exec-root {work}/exec -H unix://{work}/d.sock -p {work}/pid --iptables=false --ip6tables=false --bridge=none --storage-driver vfs >log 2>&1 & D=$!
n=0; until docker version >/dev/null 2>&1 || [ $((n += 1)) = 200 ]; do sleep 0.1; done
{line}
kill $D; wait $D; true"
    )
}

/// Layers as others push them: each packing, from the registry into a tree.
#[test]
fn every_packing_that_skopeo_pushes_is_taken() {
    needs!(root, host("docker-registry"), host("skopeo"), host("umoci"));
    let t = Sandbox::new("takers");
    let mut registry = Registry::start(&t);
    image(&t, 3_000_000);
    t.run("mkrootfs -q -i img r").ok();
    let plain = registry.skopeo.clone();
    for packing in ["gzip", "zstd", "zstd:chunked"] {
        registry.skopeo = format!("{plain} --dest-compress --dest-compress-format {packing}");
        registry.fill("img:1", "lab/x:1");
        t.run(&format!(
            "pull -q --no-cache {}/lab/x:1 o && mkrootfs --verify -i r o && rm -r o",
            registry.at
        ))
        .ok()
        .out("");
    }
}

#[test]
fn docker_loads_it() {
    needs!(
        root,
        host("docker-registry"),
        host("skopeo"),
        host("umoci"),
        host("dockerd"),
        host("docker")
    );
    let t = Sandbox::new("takers");
    let (name, id) = pulled(&t);
    let work = t.work().display().to_string();
    let line = format!(
        "docker load -q <x.tar; docker image inspect --format '{{{{.Id}}}} {{{{len .RootFS.Layers}}}} {{{{.Config.Cmd}}}} {{{{.Config.Env}}}}' {name}
         docker save {name} | mkrootfs -q back && mkrootfs --verify -i r back && echo same"
    );
    t.write("line", &docker(&work, &line));
    t.cmd(&format!(
        "cgexec --rm -g memory:{} unshare -mpf --mount-proc --kill-child sh line",
        t.id()
    ))
    .limit(Duration::from_secs(90))
    .run()
    .ok()
    .out(&format!(
        "Loaded image: {name}\nsha256:{id} 3 [/bin/sh] [A=b]\nsame\n"
    ));
}

#[test]
fn podman_and_skopeo_and_containerd_take_it() {
    needs!(
        root,
        host("docker-registry"),
        host("skopeo"),
        host("umoci"),
        host("podman"),
        host("containerd"),
        host("ctr")
    );
    let t = Sandbox::new("takers");
    let (name, id) = pulled(&t);
    let work = t.work().display().to_string();
    for kind in ["oci-archive", "docker-archive"] {
        t.cmd(&format!(
            "skopeo copy -q {kind}:x.tar oci:{kind}:1 && mkrootfs -q -i {kind} {kind}.root && mkrootfs --verify -i r {kind}.root && skopeo inspect --config --raw {kind}:x.tar | sha256sum | cut -c-64"
        ))
        .run()
        .ok()
        .out(&format!("{id}\n"));
    }
    t.write(
        "podman",
        &format!(
            "export HOME={work}; unset XDG_RUNTIME_DIR; mount -t tmpfs none /run; ! [ -d /sys/fs/cgroup/unified ] || umount /sys/fs/cgroup/unified
             P='podman --root {work}/s --runroot {work}/run --tmpdir {work}/tmp --storage-driver vfs --cgroup-manager cgroupfs'
             $P load -q <x.tar; $P image inspect --format '{{{{.Id}}}} {{{{.Config.Cmd}}}}' {name}
             $P save -q {name} | mkrootfs -q pback && mkrootfs --verify -i r pback && echo same; $P system reset -f >/dev/null 2>&1; true"
        ),
    );
    t.cmd("unshare -m sh podman")
        .limit(Duration::from_secs(60))
        .run()
        .ok()
        .out(&format!("Loaded image: {name}\n{id} [/bin/sh]\nsame\n"));
    t.write(
        "config.toml",
        &format!(
            "version = 2\nroot = '{work}/croot'\nstate = '{work}/cstate'\ndisabled_plugins = ['io.containerd.grpc.v1.cri']\n\
             [grpc]\naddress = '{work}/c.sock'\n[plugins.'io.containerd.internal.v1.opt']\npath = '{work}/opt'\n"
        ),
    );
    t.write(
        "containerd",
        &format!(
            "mount -t tmpfs none /run; mkdir /run/containerd; containerd -c config.toml >clog 2>&1 & D=$!
             C='ctr -a {work}/c.sock'; n=0; until $C version >/dev/null 2>&1 || [ $((n += 1)) = 100 ]; do sleep 0.1; done
             $C images import --snapshotter native x.tar >/dev/null; $C images ls -q; kill $D; wait $D; true"
        ),
    );
    t.cmd("unshare -m sh containerd")
        .limit(Duration::from_secs(60))
        .run()
        .ok()
        .out(&format!("{name}\n"));
}
