//! Hostile archives: members whose names and links lead out of the tree, and archives that are not what they seem. The
//! numbers are those of the attack table (T-TAR-..).
//!
//! Next to each tree stands a canary directory which must not change. What goes through links is first shown to reach
//! it when it is unpacked by path, as naive programs do.

use crate::kit::Sandbox;
use crate::kit::tarball::{Entry, dir, entry, file, layout, link, pax, tar};
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

const SNAPSHOT: &str =
    "find canary -printf '%P %y %m %U %G %i %T@ %s %n %l\\n' | sort; cat canary/file";

fn sandbox() -> Sandbox {
    let t = Sandbox::new("tar");
    t.write("canary/file", "sings\n")
        .write("canary/sub/file", "sings\n");
    t
}

/// The links by which a member may try to get to the canary: members before it, and the name that leads there.
fn ways(canary: &Path) -> Vec<(&'static str, Vec<Entry>, String)> {
    let absolute = canary.as_os_str().as_bytes();
    let chain = |length: usize| {
        let mut members = vec![link(b'2', "l0", "../canary")];
        for at in 1..length {
            members.push(link(b'2', format!("l{at}"), format!("l{}", at - 1)));
        }
        (members, format!("l{}", length - 1))
    };
    let (two, two_name) = chain(2);
    let (forty, forty_name) = chain(40);
    vec![
        ("absolute", vec![link(b'2', "l", absolute)], "l".into()),
        ("relative", vec![link(b'2', "l", "../canary")], "l".into()),
        ("slash", vec![link(b'2', "l", "../canary/")], "l/".into()),
        (
            "dot",
            vec![link(b'2', "./l", "./../canary/.")],
            "./l/.".into(),
        ),
        (
            "double slash",
            vec![link(b'2', "l", "..//canary")],
            ".//l/".into(),
        ),
        ("two links", two, two_name),
        ("forty links", forty, forty_name),
        (
            "up by a directory",
            vec![
                dir("a/b/c"),
                link(b'2', "a/b/c/up", "../.."),
                link(b'2', "a/b/out", "c/up/../../canary"),
            ],
            "a/b/out".into(),
        ),
        ("dots", Vec::new(), "../canary".into()),
        ("dots inside", vec![dir("a")], "a/../../canary".into()),
    ]
}

/// What is done at the end of the way.
fn deeds(way: &str) -> Vec<(&'static str, Entry)> {
    let at = |name: &str| format!("{way}/{name}");
    let mut set_mode = dir(way);
    set_mode.mode = 0o777;
    vec![
        ("a file", file(at("new"), "croaks")),
        ("over a file", file(at("file"), "croaks")),
        ("a directory", dir(at("dir"))),
        ("a mode", set_mode),
        ("a hard link there", link(b'1', at("hard"), "honest")),
        ("a hard link from there", link(b'1', "taken", at("file"))),
        ("a link", link(b'2', at("soft"), "file")),
        ("a fifo", entry(b'6', at("fifo"))),
        ("a deletion", file(at(".wh.file"), "")),
        ("all deleted", file(at(".wh..wh..opq"), "")),
    ]
}

/// Unpacks as a program does that trusts names: by path, over whatever stands there.
fn naive(root: &Path, members: &[Entry]) {
    let _ = fs::create_dir_all(root);
    for member in members {
        let path = |name: &[u8]| root.join(std::ffi::OsStr::from_bytes(name));
        let place = path(&member.name);
        let name = place.file_name().map(|name| name.as_bytes().to_vec());
        let name = name.unwrap_or_default();
        if let (Some(hidden), Some(parent)) = (name.strip_prefix(b".wh."), place.parent()) {
            let all = hidden == b".wh..opq";
            let gone = parent.join(std::ffi::OsStr::from_bytes(if all {
                b"file"
            } else {
                hidden
            }));
            let _ = fs::remove_file(gone);
            continue;
        }
        match member.letter {
            b'5' => {
                let _ = fs::create_dir_all(&place);
                let _ = fs::set_permissions(&place, Permissions::from_mode(member.mode));
            }
            b'2' => {
                let _ = symlink(std::ffi::OsStr::from_bytes(&member.link), &place);
            }
            b'1' => {
                let _ = fs::hard_link(path(&member.link), &place);
            }
            b'6' => {
                let _ = nix::unistd::mkfifo(&place, nix::sys::stat::Mode::S_IRWXU);
            }
            _ => {
                let _ = fs::write(&place, &member.data);
            }
        }
    }
}

/// T-TAR-01, 02, 08: all ways, all deeds, in one layer and with the links in a layer below.
#[test]
fn nothing_gets_out_of_the_tree() {
    needs!(root);
    let t = sandbox();
    let canary = t.work().join("canary");
    let before = t.run(SNAPSHOT).stdout.clone();
    let mut script = String::new();
    let mut controls = 0;
    for (way_name, way, leads) in ways(&canary) {
        for (deed_name, deed) in deeds(&leads) {
            let id = format!("{way_name}, {deed_name}").replace(' ', "-");
            let mut first = vec![file("honest", "")];
            first.extend(way.iter().cloned());
            let all: Vec<Entry> = first.iter().cloned().chain([deed.clone()]).collect();
            fs::write(t.work().join(format!("{id}.tar")), tar(&all)).unwrap();
            layout(
                &t.work().join(format!("{id}.oci")),
                &[tar(&first), tar(&[deed])],
            );
            for input in ["tar", "oci"] {
                script.push_str(&format!(
                    "mkrootfs -q --no-sync -i {id}.{input} o 2>err; s=$?; \
                     case $s in 0) ;; 1) test -s err && ! test -e o || echo {id} {input} half;; *) echo {id} {input} $s;; esac; \
                     ls -A | grep -F .o.incomplete; rm -rf o\n"
                ));
            }
            // The control: it does work on who goes by path.
            let place = t.work().join("naive");
            naive(&place, &all);
            let after = t.run(SNAPSHOT).stdout.clone();
            controls += usize::from(after != before);
            t.run("rm -rf naive; chmod 755 canary; rm -rf canary/new canary/dir canary/hard canary/soft canary/fifo; printf 'sings\\n' >canary/file").ok();
            t.run("touch -d @1000000000 canary/file canary").ok();
            fs::write(t.work().join("before"), "").unwrap();
        }
    }
    assert!(controls >= 80, "only {controls} attacks work on anybody");
    let before = t.run(SNAPSHOT).stdout.clone();
    t.cmd(&script)
        .limit(std::time::Duration::from_secs(120))
        .run()
        .ok()
        .out("");
    assert_eq!(t.run(SNAPSHOT).stdout, before);
}

/// Members that are refused, each with its reason, and nothing is left.
#[test]
#[allow(clippy::too_many_lines, reason = "a table of archives")]
fn what_is_odd_is_refused() {
    needs!(root);
    let t = sandbox();
    let with = |name: &str, size: u64, letter: u8| Entry {
        size: Some(size),
        ..entry(letter, name)
    };
    let device = |major, minor| Entry {
        device: (major, minor),
        ..entry(b'3', "dev")
    };
    let cases: Vec<(&str, Vec<Entry>, &str)> = vec![
        (
            "T-TAR-06: the root as a link",
            vec![link(b'2', ".", "/canary")],
            "the root is no directory",
        ),
        (
            "T-TAR-06: the root as a file",
            vec![file("./", "x")],
            "slash",
        ),
        (
            "T-TAR-04: a deletion of nothing",
            vec![file("a/.wh.", "")],
            "no such name",
        ),
        (
            "T-TAR-04: a deletion of .",
            vec![file("a/.wh..", "")],
            "no such name",
        ),
        (
            "T-TAR-04: a deletion of ..",
            vec![file("a/.wh...", "")],
            "no such name",
        ),
        (
            "T-TAR-04: a deletion that is a directory",
            vec![dir(".wh.a")],
            "no empty file",
        ),
        (
            "T-TAR-04: a deletion that is a link",
            vec![link(b'2', ".wh..wh..opq", "/")],
            "no empty file",
        ),
        (
            "T-TAR-04: a deletion with contents",
            vec![file(".wh.a", "x")],
            "no empty file",
        ),
        (
            "T-TAR-04: something in a deletion",
            vec![file(".wh.a/b", "")],
            "mark of a deletion",
        ),
        (
            "T-TAR-07: a major number cut off",
            vec![device(1 << 12, 1)],
            "device number",
        ),
        (
            "T-TAR-07: a minor number cut off",
            vec![device(1, 1 << 20)],
            "device number",
        ),
        (
            "a link with data",
            vec![
                Entry {
                    link: b"a".to_vec(),
                    ..with("l", 512, b'2')
                },
                file("x", ""),
            ],
            "can have no data",
        ),
        (
            "a hard link to nothing",
            vec![link(b'1', "a", "b")],
            "is not there",
        ),
        (
            "a hard link to a directory",
            vec![dir("d"), link(b'1', "a", "d")],
            "cannot be linked to",
        ),
        (
            "a hard link to the root",
            vec![link(b'1', "a", ".")],
            "the root",
        ),
        (
            "a link to nothing",
            vec![link(b'2', "a", "")],
            "leads nowhere",
        ),
        (
            "links in a circle",
            vec![link(b'2', "a", "b"), link(b'2', "b", "a"), file("a/x", "")],
            "circle",
        ),
        (
            "below a file",
            vec![file("a", "x"), file("a/b", "y")],
            "Not a directory",
        ),
        (
            "no owner",
            vec![pax(&[("uid", "4294967295")]), file("a", "")],
            "no id",
        ),
        ("an unknown type", vec![entry(b'Z', "a")], "not known"),
        ("several volumes", vec![entry(b'M', "a")], "multi-volume"),
        (
            "T-TAR-03: a key twice",
            vec![pax(&[("path", "a"), ("path", "b")]), file("c", "")],
            "twice",
        ),
        (
            "T-TAR-03: GNU's and pax's name",
            vec![
                pax(&[("path", "a")]),
                Entry {
                    letter: b'L',
                    ..file("x", "b")
                },
                file("c", ""),
            ],
            "same member",
        ),
        (
            "T-TAR-03: for all members",
            vec![
                Entry {
                    letter: b'g',
                    ..pax(&[("path", "a")])
                },
                file("c", ""),
            ],
            "changes members",
        ),
        (
            "T-TAR-03: a header about nothing",
            vec![pax(&[("path", "a")])],
            "announced",
        ),
        (
            "T-TAR-03: a time that is none",
            vec![pax(&[("mtime", "1e5")]), file("c", "")],
            "time",
        ),
        (
            "T-TAR-14: a NUL in a name",
            vec![pax(&[("path", "a\0b")]), file("c", "")],
            "NUL",
        ),
        (
            "T-IM-08: a long name",
            vec![pax(&[("path", &"a".repeat(256))]), file("c", "")],
            "too long",
        ),
        (
            "deep directories",
            vec![pax(&[("path", &"a/".repeat(300))]), dir("c")],
            "too long",
        ),
        (
            "T-IM-08: an attribute without a name",
            vec![pax(&[("SCHILY.xattr.", "x")]), file("c", "")],
            "attribute",
        ),
        (
            "a sparse map that overlaps",
            vec![
                pax(&[("GNU.sparse.size", "9"), ("GNU.sparse.map", "0,2,1,2")]),
                file("c", "abcd"),
            ],
            "out of order",
        ),
        (
            "a sparse map that is too long",
            vec![
                pax(&[("GNU.sparse.size", "2"), ("GNU.sparse.map", "0,4")]),
                file("c", "abcd"),
            ],
            "does not match",
        ),
        (
            "a file of 300 GiB of holes",
            vec![
                pax(&[
                    ("GNU.sparse.size", "322122547200"),
                    ("GNU.sparse.map", "0,1"),
                ]),
                file("c", "a"),
            ],
            "--max-bytes",
        ),
    ];
    let mut script = String::from("set -- ;");
    for (at, (_, members, _)) in cases.iter().enumerate() {
        let mut all = vec![file("honest", "x")];
        all.extend(members.iter().cloned());
        // Deletions mean something in layers only.
        layout(
            &t.work().join(format!("{at}.oci")),
            &[tar(&[file("lower", "")]), tar(&all)],
        );
        script.push_str(&format!(
            "mkrootfs -q -i {at}.oci o 2>{at}.err; echo $?; ls -A | grep o$\\|incomplete\n"
        ));
    }
    let before = t.run(SNAPSHOT).stdout.clone();
    let ran = t.run(&script);
    assert_eq!(ran.stdout, "1\n".repeat(cases.len()), "{ran}");
    assert_eq!(t.run(SNAPSHOT).stdout, before);
    for (at, (name, _, why)) in cases.iter().enumerate() {
        let said = fs::read_to_string(t.work().join(format!("{at}.err"))).unwrap();
        assert!(said.contains(why), "{name}: {said}");
    }
}

/// Archives that end too early or go on, and headers with a wrong sum.
#[test]
fn what_is_damaged_is_refused() {
    needs!(root);
    let t = sandbox();
    let whole = tar(&[file("a", "text"), file("b", "more")]);
    let cases: [(&str, Vec<u8>); 7] = [
        ("empty", Vec::new()),
        ("text", b"#!/bin/sh\n".to_vec()),
        ("no-end", whole[..whole.len() - 1024].to_vec()),
        ("in-data", whole[..whole.len() - 1024 - 300].to_vec()),
        ("in-header", whole[..1024 + 100].to_vec()),
        ("sum", [&whole[..1024], b"x", &whole[1025..]].concat()),
        (
            "twice",
            tar(&[
                file("a", ""),
                Entry {
                    size: Some(1 << 40),
                    ..file("b", "x")
                },
            ]),
        ),
    ];
    for (name, bytes) in cases {
        fs::write(t.work().join(name), bytes).unwrap();
        t.run(&format!(
            "mkrootfs -i {name} o; s=$?; ls -A | grep '^.*o$\\|incomplete' | grep -v ^no-; exit $s"
        ))
        .status(1)
        .out("");
        t.run(&format!(
            "cat {name} | mkrootfs o; s=$?; test -e o && echo there; exit $s"
        ))
        .status(1)
        .out("");
    }
}

/// T-TAR-09: a packed archive that ends too early, or goes on, ends the run, and soon.
#[test]
fn what_is_packed_and_damaged_is_refused() {
    needs!(root, host("xz"), host("zstd"));
    let t = sandbox();
    let data = "some text ".repeat(100_000);
    fs::write(t.work().join("t"), tar(&[file("a", &data)])).unwrap();
    for packing in ["gzip", "zstd -q", "xz"] {
        for damage in [
            "head -c -9",
            "head -c 100",
            "head -c 7",
            "cat - t",
            "cat - t t",
        ] {
            let line = format!("{packing} <t | {damage}");
            t.run(&format!(
                "{line} >d; mkrootfs -i d o; s=$?; ls -A | grep 'o$\\|incomplete'; exit $s"
            ))
            .status(1)
            .out("");
            t.run(&format!(
                "{line} | mkrootfs o; s=$?; ls -A | grep 'o$\\|incomplete'; exit $s"
            ))
            .status(1)
            .out("");
        }
    }
}

/// T-IM-01 to 04: what an image says of itself beside its files has no effect on how it is run.
#[cfg(feature = "oci")]
#[test]
fn notes_in_an_image_are_no_orders() {
    needs!(root, host("umoci"));
    let t = sandbox();
    let keys = [
        "io.podman.annotations.checkpoint.runtime.name",
        "io.podman.annotations.privileged",
        "run.oci.hooks.stderr",
        "run.oci.handler",
        "org.criu.config",
        "org.systemd.property.ExecStopPost",
        "io.kubernetes.cri-o.Devices",
        "com.docker.security.privileged",
        "containerd.io/restart.loguri",
    ];
    let mut options = String::from("--config.volume /../../../../canary --config.volume /l/x");
    for key in keys {
        options.push_str(&format!(
            " --config.label {key}=binary:///canary --manifest.annotation {key}=binary:///canary"
        ));
    }
    t.run(&format!(
        "{{ umoci init --layout oci && umoci new --image oci:plain && umoci unpack --image oci:plain b && ln -s ../canary b/rootfs/l && umoci repack --image oci:plain b &&
          umoci config --image oci:plain --config.cmd /bin/sh && umoci config --image oci:plain --tag noted {options}; }} >log 2>&1 || cat log
         cat oci/blobs/sha256/* | grep -ao 'restart.loguri.:.binary' | wc -l; cp canary/file before
         mkrootfs -q --image plain -i oci -o oci-bundle plain && mkrootfs -q --image noted -i oci -o oci-bundle noted && cmp plain/config.json noted/config.json && cmp before canary/file; ls canary"
    ))
    .ok()
    .out("2\nfile\nsub\n");
}

/// T-TAR-13, 07, 14: what is left out is said.
#[test]
fn what_is_left_out_is_said() {
    needs!(root, host("getfattr"));
    let t = sandbox();
    let members = [
        pax(&[
            ("SCHILY.xattr.trusted.overlay.opaque", "y"),
            ("SCHILY.xattr.user.overlay.redirect", "/"),
            ("SCHILY.xattr.security.selinux", "x"),
            ("SCHILY.xattr.user.kept", "yes"),
        ]),
        file("a", "x"),
        entry(b'3', "forged"),
        file("../evil", "x"),
        file("odd\n\x1b[31m\u{202e}\\", "x"),
        Entry {
            name: b"bytes\xff\xfe".to_vec(),
            ..file("", "y")
        },
        file(".wh.gone", ""),
    ];
    fs::write(t.work().join("t"), tar(&members)).unwrap();
    t.run("mkrootfs -i t o").ok().err(
        "note: 1 member left out, whose names lead out of the root (../evil)\n\
         note: 1 member left out: devices 0:0, which would hide files from an overlay (forged)\n\
         note: 1 member left out: deletions, in a tree that stands alone (.wh.gone)\n\
         note: 3 members without extended attributes that have no business in an image (such as a)\n",
    );
    t.run("getfattr -d -m- o/a | grep =; ls -A --quoting-style=c o; ls evil o/evil 2>/dev/null")
        .out_has("user.kept=\"yes\"\n")
        .out_has("odd\\n\\033[31m")
        .out_has("bytes\\377\\376");
}

/// T-TAR-05: a deletion said a hundred thousand times.
#[test]
fn many_deletions_are_no_work() {
    needs!(root);
    let t = sandbox();
    let mut lower = vec![dir("d")];
    lower.extend((0..1000).map(|at| file(format!("d/{at}"), "")));
    let mut upper = vec![dir("d")];
    for at in 0..3_000 {
        upper.push(file(format!("d/new{at}"), ""));
        upper.push(file("d/.wh..wh..opq", ""));
    }
    layout(&t.work().join("oci"), &[tar(&lower), tar(&upper)]);
    t.cmd("mkrootfs -q --no-sync -i oci o; ls o/d | wc -l; rm -rf o")
        .limit(std::time::Duration::from_secs(60))
        .run()
        .ok()
        .out("3000\n");
}

/// What a layout is made of is no link, and is what its digest says (T-FS-25, T-RG-08).
#[test]
fn layouts_are_held_to_their_digests() {
    needs!(root);
    let t = sandbox();
    let make = |name: &str| layout(&t.work().join(name), &[tar(&[file("a", "text")])]);
    let cases = [
        (
            "a blob is changed",
            "f=$(grep -l text blobs/sha256/*); sed -i s/text/tEXT/ $f",
            "the content is not that of digest",
        ),
        (
            "a blob is longer",
            "f=$(grep -l text blobs/sha256/*); echo >>$f",
            "it goes on after",
        ),
        (
            "a blob is shorter",
            "f=$(grep -l text blobs/sha256/*); truncate -s -1 $f",
            "it ended after",
        ),
        (
            "a blob is a link",
            "f=$(grep -l text blobs/sha256/*); mv $f x; ln -s ../../x $f",
            "symbolic link",
        ),
        (
            "the blobs are a link",
            "mv blobs x; ln -s x blobs",
            "symbolic link",
        ),
        (
            "the index is a link",
            "mv index.json x; ln -s x index.json",
            "symbolic link",
        ),
        (
            "the index is a fifo",
            "rm index.json; mkfifo index.json",
            "not a file",
        ),
        (
            "a blob is not there",
            "rm $(grep -l text blobs/sha256/*)",
            "lacks blob",
        ),
        (
            "the index is empty",
            "echo '{\"schemaVersion\":2,\"manifests\":[]}' >index.json",
            "no image in it",
        ),
        (
            "the tar is another one",
            "c=$(grep -l diff_ids blobs/sha256/*); sed -i 's/\"Cmd\":\\[\"sh\"\\]/\"Cmd\":[\"ls\"]/' $c",
            "the content is not that of digest",
        ),
    ];
    for (at, (name, change, why)) in cases.iter().enumerate() {
        make(&at.to_string());
        let ran = t.run(&format!("(cd {at} && {change}) && mkrootfs -q -i {at} o; s=$?; ls -A | grep 'o$\\|incomplete'; exit $s"));
        assert!(ran.stderr.contains(why), "{name}{ran}");
        ran.status(1).out("");
    }
}

/// T-SEC-10: should an archive ever talk the unpacker into a directory elsewhere, Landlock keeps it from writing there.
/// strace plays that part: it says that the first directory opened is descriptor 9, which is the canary.
#[test]
fn an_unpacker_that_is_led_out_may_not_write_there() {
    needs!(root, landlock, host("strace"));
    let t = sandbox();
    let led = |more: &str| {
        let line = format!(
            "rm -rf tree; strace -f -qq -o trace -e trace=openat2,mkdirat,landlock_restrict_self -e inject=openat2:retval=9:when=1 {more} mkrootfs tree <layer.tar 9<canary
             grep -o 'mkdirat(9, \"led\".* E[A-Z]*' trace | grep -o 'E[A-Z]*$'; ls canary; rm -rf tree trace canary/led canary/.tree.incomplete"
        );
        t.run(&line).stdout.clone()
    };
    fs::write(t.work().join("layer.tar"), tar(&[dir("led")])).unwrap();
    assert_eq!(led(""), "EACCES\nfile\nsub\n");
    // The control: without, it does.
    assert_eq!(
        led("-e inject=landlock_restrict_self:retval=0"),
        "file\nled\nsub\n"
    );
}
