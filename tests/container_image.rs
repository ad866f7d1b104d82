//! Containers of images: from a registry on loopback into the layers of this machine, and what becomes of them.
//!
//! Each user has a home of their own here (`as_root`, `as_user`): images are kept in it.

use crate::kit::registry::Registry;
use crate::kit::{Cmd, Sandbox};

/// Every test needs these.
macro_rules! needs_images {
    () => {
        needs!(
            root,
            userns,
            busybox,
            host("docker-registry"),
            host("skopeo"),
            host("umoci")
        );
    };
}

/// Makes `img:1`, of three layers: a root; deletions of all sorts; and members that lean on the layers below, by links,
/// by directories that have no member, and by a hard link.
const IMAGE: &str = r#"
    mkdir -p r/d/e r/old/sub r/usr/lib r/closed r/srv; ln -s usr/lib r/lib; chmod 700 r/closed; chmod 1777 r/tmp
    echo one >r/d/x; echo two >r/d/e/y; echo old >r/old/o; echo deep >r/old/sub/s; echo file >r/was; echo base >r/usr/lib/b
    printf 'root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n' >r/etc/passwd; chown 33:34 r/srv r/closed
    touch -d @1000000000 r/usr/lib r/closed r/d
    mkdir -p l2/d l2/old l2/was l2/deep; touch l2/d/.wh.x l2/old/.wh..wh..opq l2/.wh.was l2/.wh.deep
    echo new >l2/old/n; echo in >l2/was/in; touch l2/d/.wh.never
    mkdir -p l3/lib l3/closed l3/usr/lib; echo added >l3/lib/added; echo more >l3/closed/more; echo x >l3/usr/lib/b
    ln l3/usr/lib/b l3/hard
    umoci init --layout img; umoci new --image img:1
    tar -C r -cf 1.tar .; tar -C l2 -cf 2.tar .wh.was d was old
    # The link's target is left out of the third layer, and the directories have no members of their own.
    tar -C l3 -cf 3.tar usr/lib/b hard lib/added closed/more; tar --delete -f 3.tar usr/lib/b
    for n in 1 2 3; do umoci raw add-layer --image img:1 $n.tar; done
    umoci config --image img:1 --config.entrypoint /bin/echo --config.cmd hello --config.env A=b \
        --config.workingdir /wd --config.stopsignal SIGINT --config.label one=two
"#;

/// A sandbox with the image `AT/lab/box:1` in its registry.
fn registry(t: &Sandbox) -> Registry<'_> {
    let registry = Registry::start(t);
    t.root("r");
    t.cmd(&format!(
        "set -e; {{ {IMAGE} }} >log 2>&1 || {{ cat log; exit 1; }}"
    ))
    .host()
    .run()
    .ok();
    registry.fill("img:1", "lab/box:1");
    t.run("mkdir -p root user; chown 1000:1000 user").ok();
    registry
}

fn at_home<'t>(t: &Sandbox, cmd: Cmd<'t>, home: &str) -> Cmd<'t> {
    let home = t.work().join(home);
    cmd.env("ISOBOX_ROOT", home.join("box")).env("HOME", home)
}

fn as_root<'t>(t: &'t Sandbox, line: &str) -> Cmd<'t> {
    at_home(t, t.cmd(line), "root")
}

fn as_user<'t>(t: &'t Sandbox, line: &str) -> Cmd<'t> {
    at_home(t, t.user().cmd(line), "user")
}

/// Both, where they may do the same.
fn both<'t>(t: &'t Sandbox, line: &str) -> [Cmd<'t>; 2] {
    [as_root(t, line), as_user(t, line)]
}

#[test]
fn an_image_is_fetched_once_and_run_as_it_wants() {
    needs_images!();
    let t = Sandbox::new("cimage");
    let registry = registry(&t);
    let image = format!("{}/lab/box:1", registry.at);
    for run in both(&t, &format!("container run {image}")) {
        run.run().ok().out("hello\n").err_has("3 layers");
    }
    drop(registry);
    let cases = [
        (format!("{image} bye"), "bye\n"),
        (format!("--entrypoint id {image} -u"), "0\n"),
        (format!("--entrypoint pwd {image}"), "/wd\n"),
        (format!("-w /d --entrypoint pwd {image}"), "/d\n"),
        (
            format!("-e A=c -e B=d --hostname box --entrypoint env {image}"),
            "A=c\nB=d\nHOME=/root\nHOSTNAME=box\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
        ),
        (format!("--entrypoint '' {image} cat /d/e/y"), "two\n"),
    ];
    for (words, want) in cases {
        for run in both(&t, &format!("container run --pull never {words} | sort")) {
            run.env("NOT", "secret")
                .run()
                .ok()
                .out(want)
                .err("")
                .untouched();
        }
    }
    as_root(&t, &format!("container run -u web --entrypoint id {image}"))
        .run()
        .ok()
        .out("uid=33(web) gid=34 groups=34\n");
    as_root(&t, &format!("container run -u nobody {image}"))
        .run()
        .status(125)
        .err_has("unable to find user nobody");
    for run in both(&t, &format!("container run --pull always -q {image}")) {
        run.run().status(125).err_has("cannot get the image");
    }
    as_root(&t, "container run --pull never other")
        .run()
        .status(125)
        .err_has("not in the cache");
    as_root(&t, &format!("container run --entrypoint '' {image}"))
        .run()
        .status(125)
        .err_has("no program given");
}

/// The overlay of the layers is the tree that they make when they are applied to one directory, with owners, modes and
/// times; and so is a copy.
#[test]
fn an_overlay_shows_the_tree_that_the_layers_make() {
    needs_images!();
    let t = Sandbox::new("cimage");
    let registry = registry(&t);
    let image = format!("{}/lab/box:1", registry.at);
    let list = "find . -xdev ! -path . ! -path './dev*' ! -path './proc*' ! -path './sys*' ! -path './wd*' | sort |
        xargs stat -c '%n %A %u:%g %Y %s %N' | awk '{ if (substr($2,1,1) == \"d\") $5 = \"\"; print }'";
    t.write("list", list);
    t.run("mkrootfs -q -i img flat && mkdir up work m && mount -t overlay -o $(mkrootfs -q --layers -i img apart),upperdir=up,workdir=work image m")
        .ok();
    let shown = |run: Cmd<'_>| {
        let shown = run.run().ok().stdout.clone();
        shown.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let want = shown(t.cmd("busybox chroot flat /bin/sh -c \"$(cat list)\""));
    assert!(want.iter().any(|line| line.contains("hard")), "{want:?}");
    assert_eq!(
        shown(t.cmd("busybox chroot m /bin/sh -c \"$(cat list)\"; umount m")),
        want
    );
    for how in ["", "--copy"] {
        let line =
            format!("container run -q {how} --entrypoint sh {image} -c \"cd /; $(cat list)\"");
        assert_eq!(shown(as_root(&t, &line)), want, "{how}");
    }
    let look = "cd /; cat usr/lib/added hard closed/more; ls -d lib/.wh* d/x old/o old/sub was/in deep 2>/dev/null; stat -c '%a %u' closed; readlink lib; ls old";
    for run in both(
        &t,
        &format!("container run -q --entrypoint sh {image} -c \"{look}\""),
    ) {
        let out = run.run();
        out.ok().out_has("added\nbase\nmore\nwas/in\n700 ");
        out.out_has("usr/lib\nn\n");
    }
}

#[test]
fn containers_share_layers_and_not_what_they_write() {
    needs_images!();
    let t = Sandbox::new("cimage");
    let registry = registry(&t);
    let image = format!("{}/lab/box:1", registry.at);
    for run in both(
        &t,
        &format!(
            "container run -q --entrypoint sh {image} -c 'echo mine >/d/new; rm -r /old; ls /d'"
        ),
    ) {
        run.run().ok().out("e\nnew\n");
    }
    let line = format!(
        "container run -q --entrypoint sh {image} -c 'ls /d /old; touch /tmp/here; sleep 1; ls /tmp' & 
         sleep 0.3; container run --entrypoint ls {image} /tmp; wait"
    );
    for run in both(&t, &line) {
        run.run()
            .ok()
            .out("/d:\ne\n\n/old:\nn\nhere\n")
            .err("")
            .untouched();
    }
    t.run("find root/box/layers -mindepth 1 -maxdepth 1 | wc -l; ls -A root/box/written")
        .ok()
        .out("3\n");
    // The same as a script and told.
    as_root(
        &t,
        &format!("container run --script --entrypoint cat {image} /d/e/y >s; sh s"),
    )
    .run()
    .ok()
    .out("two\n");
    as_root(&t, &format!("container run --explain {image}"))
        .run()
        .ok()
        .out_has("mount(\"overlay\", lowerdir=");
}

#[test]
fn an_interrupted_unpacking_is_taken_up_again() {
    needs_images!();
    let t = Sandbox::new("cimage");
    let registry = registry(&t);
    let image = format!("{}/lab/box:1", registry.at);
    // Killed when a layer gets its name, and at calls before and after.
    for (call, when) in [
        ("renameat", 3),
        ("renameat", 5),
        ("mknodat", 2),
        ("syncfs", 2),
        ("mkdirat", 9),
    ] {
        let line = format!(
            "strace -f -qq -o /dev/null -e trace={call} -e inject={call}:signal=KILL:when={when} pull -q --local {image}; echo $?
             container run -q {image}; rm -rf root/box"
        );
        as_root(&t, &line).run().ok().out_has("hello\n");
    }
}
