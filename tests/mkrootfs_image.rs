//! mkrootfs with an input: trees of images and of tars, compared file by file with what umoci and GNU tar make of the
//! same; whatever way the input comes; and runs that are interrupted.

use crate::kit::Sandbox;
use crate::kit::tarball::{TREE, dir, entry, file, layout, link, tar};
use std::fs;
use std::time::Duration;

/// A tree with one of everything, packed by GNU tar, in layers by umoci.
const MAKE: &str = r#"
mkdir -p one/a one/b one/bin one/etc one/keep/sub one/usr/lib
echo x >one/a/x; echo y >one/a/y; echo old >one/b/old; echo p >one/etc/passwd
echo f >one/keep/sub/f; echo l >one/usr/lib/l; echo bb >one/bin/busybox; : >one/empty
ln -s /bin/busybox one/bin/sh; ln -s usr/lib one/lib; ln -s nowhere one/dangling
chown 12:34 one/a/y; chown -h 56:78 one/bin/sh; chown 5:6 one/b
chmod 4755 one/bin/busybox; chmod 500 one/keep; chmod 1777 one/a; chmod 2775 one/usr/lib; chmod 000 one/empty
ln one/bin/busybox one/bin/hard; mkfifo -m 640 one/fifo; mknod -m 600 one/null c 1 3; mknod one/disk b 259 70000
truncate -s 3M one/sparse; echo data | dd of=one/sparse bs=1 seek=1M conv=notrunc 2>/dev/null
echo end | dd of=one/sparse bs=1 seek=2500000 conv=notrunc 2>/dev/null
d=one/$(printf 'd%.0s' $(seq 90))/$(printf 'e%.0s' $(seq 100)); mkdir -p $d; echo long >$d/$(printf 'f%.0s' $(seq 200))
printf odd >"one/$(printf 'new\nline')"
setfattr -n user.note -v hi one/a/y one/b; setcap cap_net_raw+ep one/usr/lib/l
find one -exec touch -h -d '2020-01-02 03:04:05.123456789' {} +
"#;

#[test]
fn a_tar_becomes_what_gnu_tar_makes_of_it() {
    needs!(root, host("setfattr"), host("setcap"));
    let t = Sandbox::new("image");
    t.run(MAKE).ok();
    for (at, format) in [
        "--format=pax -S --sparse-version=1.0 --xattrs --xattrs-include=*",
        "--format=pax -S --sparse-version=0.1 --xattrs --xattrs-include=*",
        "--format=pax -S --sparse-version=0.0",
        "--format=gnu -S",
        "--format=gnu",
    ]
    .into_iter()
    .enumerate()
    {
        t.run(&format!("tar -C one {format} -cf {at}.tar .")).ok();
        t.run(&format!(
            "{TREE} mkdir gnu && tar -C gnu --xattrs --xattrs-include='*' -p --same-owner -xf {at}.tar && \
             mkrootfs -i {at}.tar ours && tree gnu >1; tree ours >2; sed -i '/^ d /d' 1 2; cmp 1 2 && test -s 1; s=$?; rm -r gnu ours; exit $s"
        ))
        .ok();
    }
}

/// Files replaced by directories and back, deletions, opaque directories, links into lower layers.
const LAYERS: &str = r#"
umoci init --layout oci && umoci new --image oci:t && umoci unpack --image oci:t b 2>/dev/null
cp -a one/. b/rootfs/ && umoci repack --image oci:t --refresh-bundle b 2>/dev/null
cd b/rootfs && rm -r a/x fifo b keep && mkdir b fifo && echo new >b/new && echo in >fifo/in && echo file >keep && echo via >lib/via && cd ../..
umoci repack --image oci:t --refresh-bundle b 2>/dev/null
cd b/rootfs && rm keep bin/busybox && ln -s etc keep && ln bin/hard usr/third && chmod 700 usr && chown 9:9 etc && cd ../..
umoci repack --image oci:t --refresh-bundle b 2>/dev/null
umoci unpack --image oci:t umoci 2>/dev/null"#;

#[test]
fn an_image_becomes_what_umoci_makes_of_it_however_it_comes() {
    needs!(
        root,
        host("umoci"),
        host("skopeo"),
        host("setfattr"),
        host("setcap")
    );
    let t = Sandbox::new("image");
    t.run(MAKE).ok();
    t.cmd(LAYERS).limit(Duration::from_secs(60)).run().ok();
    t.run(&format!("{TREE} tree umoci/rootfs >want; grep -q '^lib/via\\|^usr/lib/via' want && ! grep -q '^a/x' want")).ok();
    t.run("tar -C oci -cf oci.tar . && (cd oci; tar -cf ../early.tar oci-layout index.json $(ls -S -r blobs/sha256/* | cat) ) && gzip -k oci.tar && zstd -q oci.tar && xz -1k oci.tar && skopeo copy -q oci:oci:t docker-archive:docker.tar:a/b:1").ok();
    for way in [
        "mkrootfs -i oci o",
        "mkrootfs -i oci.tar o",
        "mkrootfs -i docker.tar o",
        "mkrootfs -i oci.tar.gz o",
        "mkrootfs -i oci.tar.zst o",
        "mkrootfs -i oci.tar.xz o",
        "mkrootfs o <oci.tar",
        "cat oci.tar | mkrootfs o",
        "cat early.tar | mkrootfs -i - o",
        "cat docker.tar | mkrootfs o",
        "gzip <docker.tar | mkrootfs ./o/",
        "mkdir o; mkrootfs -i oci o",
        "mkdir o; cd o; mkrootfs -i ../oci .",
        "mkdir p; ln -s p o; mkrootfs -i oci o",
        "mkdir o; mount -t tmpfs tmpfs o; mkrootfs -i oci o",
        "mkrootfs -i oci -o tar | mkrootfs o",
        "mkrootfs -i oci -o tar x.tar; mkdir o; tar --xattrs --xattrs-include=* -C o -xpf x.tar; rm x.tar",
    ] {
        let way = format!(
            "{TREE} ({way}) 2>err; s=$?; tree o/ >got; cmp want got || diff want got; umount o 2>/dev/null; rm -rf o p; exit $s"
        );
        t.run(&way).ok().out("");
    }
    t.run("cat docker.tar | mkrootfs -q o")
        .ok()
        .err_has("note: the archive has its layers before");
    t.run("mkdir tmp; TMPDIR=$PWD/tmp mkrootfs -q -i oci -o tar >tar; ls -A tmp")
        .ok()
        .out("");
    t.run("mkrootfs -i oci o; mkrootfs --rm --force p")
        .status(1)
        .err_has("not empty: o")
        .hint("--rm");
}

/// A deletion hides what is below, and nothing of its own layer, whatever comes first.
#[test]
fn deletions_are_of_lower_layers() {
    needs!(root);
    let t = Sandbox::new("image");
    let lower = [
        dir("d"),
        dir("d/sub"),
        file("d/sub/old", ""),
        file("d/old", ""),
        dir("e"),
        file("e/old", ""),
        file("f", "old"),
        link(b'2', "l", "d"),
        file("g/deep/old", ""),
    ];
    let upper = [
        file("d/before", ""),
        file("d/sub/before", ""),
        file("d/.wh..wh..opq", ""),
        file("d/after", ""),
        // Its own file first, then the deletion of the lower one.
        file("f", "new"),
        file(".wh.f", ""),
        file("e/own", ""),
        file(".wh.e", ""),
        file(".wh.l", ""),
        dir("l"),
        file("l/own", ""),
        file("g/.wh.deep", ""),
        file(".wh.not-there", ""),
        file("not/there/.wh.either", ""),
        link(b'1', "hard", "f"),
    ];
    layout(&t.work().join("oci"), &[tar(&lower), tar(&upper)]);
    t.run("mkrootfs -q -i oci o && cd o && find . ! -type d | sort; cat f; ls -d g; stat -c %Y d e g")
        .ok()
        .out("./d/after\n./d/before\n./d/sub/before\n./e/own\n./f\n./hard\n./l/own\nnewg\n1600000000\n1600000000\n1600000000\n");
}

/// Kill -9 at many points: there is no tree, or the whole one; and the next run makes it.
#[test]
fn an_interrupted_run_leaves_nothing_that_looks_whole() {
    needs!(root);
    let t = Sandbox::new("image");
    let layers: Vec<Vec<u8>> = (0..6)
        .map(|layer| {
            let files = (0..100).map(|at| file(format!("layer{layer}/{at}"), &"data".repeat(at)));
            tar(&files.collect::<Vec<_>>())
        })
        .collect();
    layout(&t.work().join("oci"), &layers);
    let script = r#"
      whole() { test "$(find o -type f | wc -l)" = 600 || echo "a part: $(find o -type f | wc -l)"; }
      killed=0
      for place in new empty mount; do
        for at in $(seq 1 8); do
          case $place in empty) mkdir o;; mount) mkdir o; mount -t tmpfs tmpfs o;; esac
          mkrootfs -q --no-sync -i oci o 2>/dev/null & pid=$!
          sleep 0.0$((at - 1))$((at * 7 % 10)); kill -9 $pid 2>/dev/null && killed=$((killed + 1)); wait $pid 2>/dev/null
          if [ $place = mount ]; then
            test -e o/.incomplete || test -z "$(ls -A o)" || whole
          else
            test -e o && test -n "$(ls -A o)" && whole
          fi
          if ! test -e o || test -z "$(ls -A o)" || test -e o/.incomplete; then
            # Killed while it was moved out, it is not for the next run to say whose that is.
            test $place = mount && test -n "$(ls o)" && find o -mindepth 1 -delete
            mkrootfs -q --no-sync -i oci o || echo "again: $?"
          fi
          whole; ls -A | grep incomplete; test -e o/.incomplete && echo left
          umount o 2>/dev/null; rm -rf o
        done
      done
      test $killed -gt 5 || echo "killed only $killed""#;
    t.cmd(script).limit(Duration::from_secs(150)).run().out("");
    // Two at once: one is told.
    t.run("mkrootfs -q -i oci o & mkrootfs -q -i oci o 2>err; a=$?; wait $!; b=$?; test $((a + b)) -le 1 && find o -type f | wc -l")
        .out("600\n");
}

#[test]
fn a_full_disk_is_said_and_nothing_is_kept() {
    needs!(root);
    let t = Sandbox::new("image");
    let many: Vec<_> = (0..40)
        .map(|at| file(format!("d/{at}"), &"x".repeat(65536)))
        .collect();
    layout(&t.work().join("oci"), &[tar(&many)]);
    t.run("mkdir m; mount -t tmpfs -o size=1m tmpfs m").ok();
    for place in ["m/o", "m"] {
        t.run(&format!("mkrootfs -q -i oci {place}; s=$?; ls -A m; df --output=used m | tail -1 | tr -d ' '; exit $s"))
            .status(1)
            .out("0\n")
            .err_has("No space left on device");
    }
    t.run(
        "mount -o remount,size=1g,nr_inodes=20 m; mkrootfs -q -i oci m/o; s=$?; ls -A m; exit $s",
    )
    .status(1)
    .out("")
    .err_has("No space left on device");
    t.run("mount -o remount,nr_inodes=0 m; mkrootfs -q -i oci m/o && ls m/o/d | wc -l; umount m")
        .ok()
        .out("40\n");
}

/// Files that give user 1000 the ids 100000 to 165535, bound over the real ones while `$@` runs.
const SUBIDS: &str = r#"#!/bin/sh
echo 'root:x:0:0::/:/bin/sh' >passwd; echo 'kit:x:1000:1000::/:/bin/sh' >>passwd; echo 'kit:100000:65536' >subids
exec unshare -m sh -c 'mount --bind passwd /etc/passwd && mount --bind subids /etc/subuid &&
  mount --bind subids /etc/subgid && exec setpriv --reuid 1000 --regid 1000 --clear-groups "$@"' sh "$@"
"#;

#[test]
fn an_ordinary_user_has_subordinate_ids_or_one_of_his_own() {
    needs!(root, userns, host("newuidmap"));
    let t = Sandbox::new("image");
    let mut owned = file("owned", "x");
    owned.owner = (12, 34);
    let mut set_id = file("su", "x");
    set_id.mode = 0o4755;
    let mut closed = dir("closed");
    closed.mode = 0o000;
    let members = [
        closed,
        file("closed/in", "x"),
        owned,
        set_id,
        entry(b'3', "dev"),
        entry(b'6', "fifo"),
    ];
    let mut members = members.to_vec();
    members[4].device = (1, 3);
    layout(&t.work().join("oci"), &[tar(&members)]);
    t.tool("with-subids", SUBIDS);
    let list = "find o ! -path o -printf '%f %m %U %G\\n' | sort";
    t.run(&format!("with-subids mkrootfs -q -i oci o; {list}"))
        .out("closed 0 1000 1000\nfifo 755 1000 1000\nin 755 1000 1000\nowned 755 100011 100033\nsu 4755 1000 1000\n")
        .err("note: 1 member left out: devices, which only root may make (dev)\n");
    t.run("with-subids sh -c 'rm -rf o 2>/dev/null; mkrootfs --rm --force o'; ls -A | grep o$")
        .out("");
    t.user()
        .run(&format!(
            "mkrootfs -q --single-id -i oci o; {list}; mkrootfs --single-id --rm --force o; ls -A | grep o$"
        ))
        .out("closed 0 1000 1000\nfifo 755 1000 1000\nowned 755 1000 1000\nsu 755 1000 1000\n")
        .err_has(
            "note: 1 member not of the owner that the image gives them, but of this user (owned)",
        )
        .err_has(
            "note: 1 member without their set-id bits, since they have not the right owner (su)",
        );
    t.user()
        .run("mkrootfs -q -i oci o")
        .ok()
        .err_has("there is one id to give files to, yours");
}

/// What is mounted in a tree is not the tree's.
#[test]
fn removal_stops_at_mounts_and_links() {
    needs!(root);
    let t = Sandbox::new("image");
    t.write("canary/file", "sings\n")
        .write("r/a/b", "")
        .write("r/m/x", "");
    t.run(
        "ln -s ../canary r/a/out; ln -s \"$PWD/canary\" r/l; ln -s r to; mount --bind canary r/m",
    )
    .ok();
    t.run("mkrootfs --rm --force r")
        .status(1)
        .err_has("r/m: ")
        .hint("mounted");
    t.run("ls -A r r/a; cat canary/file; umount r/m; mkrootfs --rm to")
        .status(1)
        .out("r:\na\nl\nm\n\nr/a:\nb\nout\nsings\n")
        .err_has("not a directory");
    t.run("mkrootfs --rm --force r; ls -A; cat canary/file")
        .ok()
        .out("canary\nto\nsings\n");
    fs::create_dir(t.work().join("deep")).unwrap();
    t.run("cd deep; for i in $(seq 300); do mkdir d && cd d; done; cd ~; chmod 000 deep/d/d; mkrootfs --rm --force deep; ls").ok().out("canary\nto\n");
}

/// Exchanges a directory of the tree and a link to something else, as fast as it can.
const SWAP: &str = "import ctypes\nlibc = ctypes.CDLL(None)\nwhile True: libc.renameat2(-100, b'tree/d', -100, b'tree/l', 2)\n";

/// What removes by path, in two steps, and is led out.
const NAIVE: &str = "import os
for n in range(100000):
    os.makedirs('tree/d', exist_ok=True)
    for name in 'ab': open('tree/d/' + name, 'w').close()
    try:
        for name in os.listdir('tree/d'): os.remove('tree/d/' + name)
    except OSError: pass
    if not os.path.exists('other/a'): break
";

#[test]
fn removing_is_not_led_out_by_who_swaps_meanwhile() {
    needs!(host("python3"));
    let t = Sandbox::new("mkrootfs");
    t.write("swap.py", SWAP);
    t.write("naive.py", NAIVE);
    let race = |line: &str| {
        t.run(&format!(
            "rm -rf other; mkdir other && touch other/a other/b; python3 swap.py & p=$!; {line}; kill $p; ls other | grep -c ."
        ))
    };
    race(
        "for i in $(seq 40); do mkdir -p new/d/x; touch new/d/a new/d/x/b; ln -s ../other new/l; mv new tree; \
         mkrootfs --rm --force tree 2>/dev/null; until rm -rf tree 2>/dev/null; do :; done; done",
    )
    .ok()
    .out("2\n");
    race("mkdir -p tree/d; ln -s ../other tree/l; python3 naive.py; test -e other/a || rm other/*")
        .out("0\n");
}
