//! mkrootfs --verify: a tree beside the archive that it was made of; and how much memory an image may take.

use crate::kit::Sandbox;
use crate::kit::tarball::{Entry, dir, entry, file, layout, link, pax, tar};

fn image() -> Vec<Entry> {
    let owned = Entry {
        owner: (3, 4),
        ..file("etc/owned", "owned\n")
    };
    vec![
        dir("etc/"),
        file("etc/passwd", "root:x:0:0\n"),
        file("etc/hosts", "localhost\n"),
        owned,
        link(b'2', "etc/link", "passwd"),
        file("etc/one", "linked\n"),
        link(b'1', "etc/two", "etc/one"),
        file("etc/three", "linked\n"),
        link(b'1', "etc/four", "etc/three"),
        pax(&[("SCHILY.xattr.user.note", "hi")]),
        file("etc/noted", "noted\n"),
        dir("var/"),
        dir("var/lib/"),
        file("var/lib/x", "x\n"),
        dir("proc/"),
        entry(b'6', "etc/fifo"),
        Entry {
            device: (1, 3),
            ..entry(b'3', "etc/null")
        },
    ]
}

/// Each change by itself, and what is said of it but for times.
const CHANGES: &[(&str, &str)] = &[
    (
        "printf 127.0.0.2'\\n' >etc/hosts",
        "etc/hosts: other content from byte 8 on",
    ),
    ("printf x >>etc/hosts", "etc/hosts: size 11 instead of 10"),
    (
        "chmod 4755 etc/passwd",
        "etc/passwd: mode 4755 instead of 0755",
    ),
    ("chmod 1777 var/lib", "var/lib: mode 1777 instead of 0755"),
    ("chmod 700 .", "/: mode 0700 instead of 0755"),
    ("chown 5:4 etc/owned", "etc/owned: owner 5:4 instead of 3:4"),
    ("chown -h 1 etc/link", "etc/link: owner 1:0 instead of 0:0"),
    (
        "touch -d @5 etc/hosts",
        "etc/hosts: time 5.000000000 instead of 1600000000.000000000",
    ),
    ("rm etc/hosts", "etc/hosts: missing"),
    ("rm -r var/lib", "var/lib: missing"),
    ("mkdir var/more && echo x >var/more/x", "var/more: extra"),
    ("touch x", "x: extra"),
    (
        "ln -sfn hosts etc/link",
        "etc/link: leads to hosts instead of passwd",
    ),
    (
        "rm etc/link && mkdir etc/link",
        "etc/link: a directory instead of a symbolic link",
    ),
    (
        "rm -r var/lib && ln -s /canary var/lib",
        "var/lib: a symbolic link instead of a directory",
    ),
    (
        "rm etc/null && mknod -m 755 etc/null c 1 5",
        "etc/null: device 1:5 instead of 1:3",
    ),
    (
        "setfattr -n user.note -v ho etc/noted",
        "etc/noted: attribute user.note differs",
    ),
    (
        "setfattr -x user.note etc/noted",
        "etc/noted: attribute user.note missing",
    ),
    (
        "setfattr -n trusted.overlay.opaque -v y var",
        "var: attribute trusted.overlay.opaque extra",
    ),
    (
        "cp -p etc/two c && mv c etc/two",
        "etc/one: names: 1 instead of 2\netc/two: names: 1 instead of 2",
    ),
    (
        "ln -f etc/one etc/four; ln -f etc/three etc/two",
        "etc/one: a hard link to another file\netc/three: a hard link to another file\netc/two: a hard link to another file",
    ),
    (
        "mount -t tmpfs -o mode=755 tmpfs proc && touch proc/x",
        "proc: something is mounted on it",
    ),
];

#[test]
fn every_difference_is_told() {
    needs!(root, host("setfattr"));
    let t = Sandbox::new("verify");
    let (lower, upper) = (tar(&image()), tar(&[file("etc/hosts", "127.0.0.1\n")]));
    layout(&t.work().join("oci"), &[lower, upper]);
    t.run("mkrootfs -q -i oci r && tar -C oci -cf oci.tar . && mkrootfs --verify -q -i oci r && cat oci.tar | mkrootfs --verify -q r && mkrootfs -q -i oci -o tar root.tar && mkrootfs --verify -i root.tar r && mkrootfs --verify -i r r")
        .ok()
        .out("")
        .err("");
    for (change, want) in CHANGES {
        // Times are compared where they are what is changed.
        let times = if change.starts_with("touch -d") {
            "cat"
        } else {
            "grep -v ': time '"
        };
        t.run(&format!(
            "cp -a r s && (cd s && {change}) && mkrootfs --verify -q -i oci s >out; echo $? >status; {times} <out; umount s/proc 2>/dev/null; rm -r s; exit $(cat status)"
        ))
        .status(1)
        .out(&format!("{want}\n"))
        .err("");
    }
    // Names are shown so that they do no harm.
    t.run("cp -a r s; touch \"s/$(printf 'a\\033b')\"; mkrootfs --verify -q -i oci s | grep extra; rm -r s")
        .out("a\\u{1b}b: extra\n");
}

#[test]
fn what_cannot_be_told_is_another_status() {
    needs!(root);
    let t = Sandbox::new("verify");
    layout(&t.work().join("oci"), &[tar(&image())]);
    t.run("mkrootfs -q -i oci r && tar -C oci -cf oci.tar .")
        .ok();
    for (line, words) in [
        ("mkrootfs --verify -q -i oci nowhere", "nowhere"),
        ("mkrootfs --verify -i nowhere r", "nowhere"),
        (
            "mkrootfs --verify r </dev/null",
            "--verify is of a directory",
        ),
        ("mkrootfs --verify -i oci", "--verify is of a directory"),
        (
            "mkrootfs --verify -o tar -i oci r",
            "--verify is of a directory",
        ),
        ("head -c 4000 oci.tar | mkrootfs --verify r", ""),
    ] {
        t.run(line).fails(2, "mkrootfs", &[words]);
    }
    t.run("mkrootfs --verify --rm r")
        .fails(1, "mkrootfs", &["not both"]);
    t.run("mkrootfs --verify --shell -i oci r")
        .fails(1, "mkrootfs", &["no input"]);
    // Nothing is left of the comparison.
    t.run("mkdir tmp; TMPDIR=$PWD/tmp mkrootfs --verify -q -i oci r && ls -A tmp")
        .ok()
        .out("");
}

/// Whatever an image wants: a decoder that would take more memory than it may is refused, and one that may is held to it.
#[test]
fn memory_does_not_depend_on_the_image() {
    needs!(root, host("zstd"), host("xz"), host("python3"));
    let t = Sandbox::new("memory");
    // Two layers that do not pack, so that the decoders use all of their windows.
    t.run("mkdir a b && head -c 40000000 /dev/urandom >a/a && head -c 40000000 /dev/urandom >b/b && tar cf a.tar a && tar cf b.tar b")
        .ok();
    let run = |line: &str| {
        t.run(&format!(
            "python3 -c 'import resource, subprocess, sys; s = subprocess.run(sys.argv[1:]).returncode; m = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024; print(m) if m >= 32 else 0; sys.exit(s)' {line}"
        ))
    };
    let pack = |packing: &str, suffix: &str, media: &str| {
        t.run(&format!(
            "for l in a b; do {packing} <$l.tar >$l{suffix}; done
             python3 - {suffix} {media} <<'E'
import hashlib, json, os, sys, shutil
suffix, media = sys.argv[1:]
os.makedirs('oci/blobs/sha256')
def put(data):
    digest = hashlib.sha256(data).hexdigest()
    open('oci/blobs/sha256/' + digest, 'wb').write(data)
    return dict(digest='sha256:' + digest, size=len(data))
read = lambda name: open(name, 'rb').read()
layers = [put(read(l + suffix)) | dict(mediaType='application/vnd.oci.image.layer.v1.tar' + media) for l in 'ab']
ids = ['sha256:' + hashlib.sha256(read(l + '.tar')).hexdigest() for l in 'ab']
config = put(json.dumps(dict(os='linux', architecture='amd64', rootfs=dict(type='layers', diff_ids=ids))).encode())
config['mediaType'] = 'application/vnd.oci.image.config.v1+json'
manifest = put(json.dumps(dict(schemaVersion=2, config=config, layers=layers)).encode())
manifest['mediaType'] = 'application/vnd.oci.image.manifest.v1+json'
open('oci/index.json', 'w').write(json.dumps(dict(schemaVersion=2, manifests=[manifest])))
open('oci/oci-layout', 'w').write('{{\"imageLayoutVersion\":\"1.0.0\"}}')
E"
        ))
        .ok();
    };
    for (packing, suffix, media) in [
        ("cat", ".plain", "''"),
        ("gzip -1", ".gz", "+gzip"),
        ("zstd -q -1 --zstd=wlog=23", ".zst", "+zstd"),
        // What zstd:chunked is like: a window of 32 MiB for chunks that are small.
        (
            "split -b 1000000 --filter='zstd -q -1 --zstd=wlog=25'",
            ".chunks",
            "+zstd",
        ),
    ] {
        pack(packing, suffix, media);
        run("mkrootfs -q --no-sync -i oci o").ok().out("");
        t.run("cmp a/a o/a/a && cmp b/b o/b/b && tar -C oci -cf oci.tar . && rm -r o")
            .ok();
        run("sh -c 'cat oci.tar | mkrootfs -q --no-sync o'")
            .ok()
            .out("");
        t.run("rm -r o oci").ok();
    }
    pack("zstd -q -1 --zstd=wlog=24", ".zst", "+zstd");
    run("mkrootfs -q -i oci o")
        .fails(1, "mkrootfs", &["wants a window of more than 8 MiB"])
        .hint("--max-window");
    t.run("mkrootfs -q --no-sync --max-window 16 -i oci o && rm -r o")
        .ok();
    // The header of xz says what its dictionary is, whatever is in it.
    for (dictionary, window) in [("16MiB", " --max-window 16"), ("8MiB", "")] {
        t.run(&format!(
            "tar cf - /etc/passwd 2>/dev/null | xz -T1 --lzma2=preset=0,dict={dictionary} >a.tar.xz"
        ))
        .ok();
        if !window.is_empty() {
            run("mkrootfs -q -i a.tar.xz o")
                .fails(1, "mkrootfs", &["wants a window of more than 8 MiB"])
                .hint("--max-window");
        }
        run(&format!(
            "mkrootfs -q --no-sync{window} -i a.tar.xz o && rm -r o"
        ))
        .ok()
        .out("");
    }
}
