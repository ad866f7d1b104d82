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
            host("umoci"),
            host("jq")
        );
    };
}

mod volumes;

mod hostile;

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

/// A registry, a root `r`, and what a script made of it: the layout `img`, from which the registry may be filled.
fn registry_with<'t>(t: &'t Sandbox, script: &str) -> Registry<'t> {
    let registry = Registry::start(t);
    t.root("r");
    t.cmd(&format!(
        "set -e; {{ {script} }} >log 2>&1 || {{ cat log; exit 1; }}"
    ))
    .host()
    .run()
    .ok();
    t.run("mkdir -p root user; chown 1000:1000 user").ok();
    registry
}

/// A registry that has the image `AT/lab/box:1`.
fn registry(t: &Sandbox) -> Registry<'_> {
    let registry = registry_with(t, IMAGE);
    registry.fill("img:1", "lab/box:1");
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
    // docker's word for it.
    as_root(
        &t,
        &format!("container pull {image} >/dev/null && container images -q | wc -l"),
    )
    .run()
    .ok()
    .out("1\n");
    t.cmd(&format!(
        "skopeo inspect --tls-verify=false --raw docker://{image} | jq -r .config.digest >want
         skopeo inspect --tls-verify=false --config docker://{image} | jq -c .rootfs.diff_ids >>want"
    ))
    .host()
    .run()
    .ok();
    as_root(
        &t,
        &format!(
            "container inspect --type image {image} | jq -r '.[0].Id, (.[0].RootFS.Layers | tojson)' | diff want -
             container inspect -f '{{{{.Config.Entrypoint}}}} {{{{.Config.WorkingDir}}}} {{{{.Config.Labels.one}}}} {{{{.Os}}}}' {image}
             container inspect --type container {image}; container inspect --type image nosuch"
        ),
    )
    .run()
    .status(1)
    .out("[\"/bin/echo\"] /wd two linux\n[]\n[]\n")
    .err_has("no such container")
    .err_has("no such image: nosuch");
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

/// A name that says a digest, as `podman images --digests` and CI scripts write it, is a name as any other.
#[test]
fn an_image_may_be_called_by_its_digest() {
    needs_images!();
    let t = Sandbox::new("cimage");
    let registry = registry(&t);
    let box_ = format!("{}/lab/box", registry.at);
    let asked = format!("skopeo inspect --tls-verify=false --raw docker://{box_}:1");
    let digest = t.cmd(&format!("{asked} | sha256sum")).host().run();
    let digest = digest.ok().stdout[..64].to_owned();
    let image = format!("{box_}@sha256:{digest}");
    for run in both(&t, &format!("container run -q {image} bye")) {
        run.run().ok().out("bye\n");
    }
    let look = "container inspect -f '{{json .RepoDigests}} {{json .RepoTags}}'";
    as_root(&t, &format!("{look} {image}"))
        .run()
        .ok()
        .out(&format!("[\"{image}\"] []\n"));
    let line = format!("container run --copy --pull never {image} bye");
    for run in both(&t, &line) {
        run.run().ok().out("bye\n").err_has("is a copy of");
    }
    let line = format!("container pull {box_}:1 >/dev/null && {look} {box_}:1");
    as_root(&t, &line)
        .run()
        .ok()
        .out(&format!("[\"{image}\"] [\"{box_}:1\"]\n"));
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

/// Script 20, cases 184 and 186: a container made of its parts, from the registry to the program, which meets its limit.
#[test]
fn the_parts_make_a_container() {
    needs_images!();
    needs!(controller("memory"));
    let t = Sandbox::new("cimage");
    let registry = registry(&t);
    let (image, group) = (format!("{}/lab/box:1", registry.at), t.id());
    let parts = |limit: &str, script: &str| {
        format!(
            "cgexec -g memory:/{group}/container -m {limit} unshare --pid --fork --net --uts --ipc --user --map-root-user --cgroup sh -c '
                hostname my-container; exec unshare -m pivot --proc --dev rootfs /bin/sh -c \"{script}\"'"
        )
    };
    let first = parts(
        "100M",
        "echo Container started; echo PID: \\$\\$; echo Hostname: \\$(busybox hostname); busybox id -u; busybox ls /proc | busybox grep -c ^1\\$; busybox wc -l </proc/net/dev",
    );
    let second = parts(
        // The network namespace of the first may be charged to the group still.
        "50M",
        "exec busybox dd if=/dev/zero of=/dev/null bs=200M count=1",
    );
    let line = format!(
        "host=$(hostname); pull --plain-http -q {image} rootfs && mkdir -p rootfs/proc rootfs/dev && : >rootfs/dev/null
         {first}; [ $host = $(hostname) ] && echo same; {second} 2>/dev/null; echo $?
         until cg rm /{group}/container 2>/dev/null; do sleep 0.05; done; cg rm /{group} && echo clean
         unshare -mpnuif --hostname my-container pivot --proc rootfs /bin/sh -c 'busybox hostname; exit 7'; echo $?; rm -r rootfs"
    );
    as_root(&t, &line).run().ok().out(
        "Container started\nPID: 1\nHostname: my-container\n0\n1\n3\nsame\n137\nclean\nmy-container\n7\n",
    );
}

/// README's headline, with an image of a registry of ours.
#[test]
fn the_headline_works() {
    needs!(
        root,
        busybox,
        controller("memory"),
        host("docker-registry"),
        host("skopeo"),
        host("umoci")
    );
    let t = Sandbox::new("cimage");
    let registry = registry(&t);
    // A short name means this registry here.
    t.write(
        "root/.config/containers/registries.conf",
        &format!("unqualified-search-registries = [\"{}\"]\n", registry.at),
    );
    as_root(
        &t,
        "container run --memory 100M --entrypoint sh lab/box:1 -c 'cat /d/e/y'",
    )
    .run()
    .ok()
    .out("two\n");
    drop(registry);
    as_root(&t, "container run --memory 100M --entrypoint cat lab/box:1 /d/e/y; container images --format '{{.Repository}}:{{.Tag}}'")
        .run()
        .ok()
        .out_has("two\n127.0.0.1:")
        .err("");
}

/// An overlay cannot be the upper layer of another, so on one there are copies; it is said that they are.
#[test]
fn where_there_is_no_overlay_there_is_a_copy() {
    needs_images!();
    let t = Sandbox::new("cimage");
    let registry = registry(&t);
    let image = format!("{}/lab/box:1", registry.at);
    t.write(
        "life",
        &format!(
            "set -e; mount -t tmpfs x base; mkdir base/l base/u base/w
             mount -t overlay -o lowerdir=base/l,upperdir=base/u,workdir=base/w x $ISOBOX_ROOT
             container run -q {image}; container run -q --entrypoint sh {image} -c 'echo mine >/mine; cat /mine /d/e/y'
             container run -q --pull never -u web --entrypoint id {image} -un
             container run -q -d --name one --entrypoint sleep {image} 1000 >/dev/null; container exec one cat /d/e/y; container rm -f one
             container images --format '{{{{.Tag}}}}'; container rmi {image} | grep -c Untagged
             ls -A $ISOBOX_ROOT/written"
        ),
    );
    as_root(&t, "mkdir -p base $ISOBOX_ROOT; unshare -m sh life")
        .run()
        .ok()
        .out("hello\nmine\ntwo\nweb\ntwo\none\n1\n1\n")
        .err_has("the root is a copy of")
        .err_has("no overlay can be mounted here");
}

/// A container that is kept: what it writes, images of it, and who may remove what.
#[test]
fn what_a_container_writes_becomes_an_image() {
    needs_images!();
    let t = Sandbox::new("cimage");
    let registry = registry(&t);
    let image = format!("{}/lab/box:1", registry.at);
    let line = format!(
        r#"I={image}
        container run -q -d --name one --entrypoint sleep $I 1000 >/dev/null
        container rmi $I; echo $?
        container inspect -f '{{{{.Config.Labels}}}}' one; container ps --filter label=one=two -q | wc -l
        container exec one sh -c 'rm /d/e/y; echo new >/added; rm -r /old; mkdir /old; echo again >/old/o; chmod 751 /closed; ln /added /same'
        container commit -q -c 'ENTRYPOINT ["sh","-c"]' -c 'CMD ["cat /added; echo $A$X"]' -c 'ENV X=y' one lab:2; echo $?
        container run --pull never lab:2
        container run lab:2 'ls /d/e /old; stat -c "%a" /closed; stat -c %h /same; ls -a / | grep .wh'
        container stop -t 0 one; container start one; container exec one cat /added
        container images --format '{{{{.Repository}}}}:{{{{.Tag}}}}' | sort | sed 's/.*lab.box/box/'
        pull -q --offline lab:2 -o lab.tar && mkrootfs -q -i lab.tar tree && ls tree/old tree/d/e; rm -rf lab.tar; mkrootfs --rm --force tree
        container images --digests --no-trunc | grep -c 'sha256:.* sha256:'
        container rmi -a | grep -c Untagged; container rm -f one; container rmi -a | grep -c Untagged; container rmi $I; echo $?
        container images -q; find $ISOBOX_ROOT/layers $ISOBOX_ROOT/written $ISOBOX_ROOT/blobs -mindepth 1 ! -name 'sha*'; rm -rf .cache"#
    );
    for run in both(&t, &line) {
        let ran = run.run();
        ran.out("1\n{\"one\":\"two\"}\n1\n0\nnew\nby\n/d/e:\n\n/old:\no\n751\n2\none\none\nnew\nbox:1\nlab:2\ntree/d/e:\n\ntree/old:\no\n2\n1\none\n1\n1\n")
            .err_has("is made of it")
            .err_has("no such image");
    }
}

/// Both directions, whatever is there, while it runs and after.
#[test]
fn files_are_copied_both_ways() {
    needs_images!();
    let t = Sandbox::new("cimage");
    let registry = registry(&t);
    let image = format!("{}/lab/box:1", registry.at);
    let line = format!(
        r#"mkdir -p $HOME/x; cd $HOME/x; echo hello >f; mkdir -p dd/sub; echo x >dd/sub/x; ln -s f l
        container run -q -d --name one --entrypoint sleep {image} 1000 >/dev/null
        for state in running stopped; do
            container cp f one:/tmp/$state && container cp f one:/d && container cp l one:/tmp/l && container cp -L l one:/tmp/m
            container cp dd one:/tmp && container cp dd/. one:/tmp/dd2 && tar c f | container cp - one:/srv
            container cp one:/tmp/$state - | tar xO; container cp one:/d/f got && cat got; container cp one:/tmp/dd . && cat dd/sub/x
            container cp one:/tmp/dd2/. into && ls into; container cp one:/tmp/m - | tar tv | cut -c1,11-15; container cp one:/lib/b . && cat b
            container cp one:/tmp/l - | tar tv | grep -c 'l -> f'
            for bad in 'f one:/no/x' 'f one:/no/' 'one:/no x' 'dd one:/etc/passwd' 'f f' 'one:/d one:/e' 'f gone:/x'; do
                container cp $bad 2>/dev/null; echo -n "$? "
            done; echo
            container stop -t 0 one >/dev/null; rm -rf got into b
        done
        container start one >/dev/null; container exec one sh -c 'cat /tmp/stopped; stat -c "%a %u %s" /tmp/stopped; find /tmp -type f | wc -l'
        container rm -f one"#
    );
    for run in both(&t, &line) {
        let ran = run.run();
        let out = &ran.stdout;
        assert_eq!(out.matches("hello\nhello\nx\nsub\n").count(), 2, "{ran}");
        assert_eq!(out.matches("1 1 1 1 125 1 1 \n").count(), 2, "{ran}");
        assert!(out.contains("\nbase\n1\n"), "{ran}");
        assert!(out.ends_with("hello\n644 0 6\n5\none\n"), "{ran}");
    }
}

/// T-FS-15: whatever links a container has, and swaps while something is copied, nothing of the host is read or written.
#[test]
fn a_hostile_container_gains_nothing_from_copies() {
    needs_images!();
    let t = Sandbox::new("cimage");
    let registry = registry(&t);
    let image = format!("{}/lab/box:1", registry.at);
    t.run("mkdir canary out; echo sings >canary/file; chmod 777 canary out")
        .ok();
    let canary = t.work().join("canary").display().to_string();
    // A program of the container that swaps a directory and a link to the host's path, as fast as it can.
    let swapper = format!(
        "mkdir -p /a/real; echo inside >/a/real/file; ln -s {canary} /a/link; ln -s ../../../../../../../..{canary} /up; ln -s /proc/self/root{canary} /magic; ln -s / /slash
         while :; do mv /a/real /a/x; mv /a/link /a/real; mv /a/real /a/link; mv /a/x /a/real; done"
    );
    let line = format!(
        r#"echo bad >evil; container run -q -d --name one --entrypoint sh {image} -c '{swapper}' >/dev/null
        until container exec one test -e /slash; do sleep 0.05; done
        for link in up magic slash{canary} a/link; do
            container cp evil one:/$link/file; container cp one:/$link/file got; cat got; rm -f got
        done 2>/dev/null
        for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
            container cp evil one:/a/real/file; container cp one:/a/real/file got; grep -s sings got; container cp one:/a got-a; grep -rs sings got-a; rm -rf got got-a
        done 2>/dev/null
        container rm -f one >/dev/null; cat {canary}/file; ls {canary}"#
    );
    as_root(&t, &line).run().ok().out("sings\nfile\n");
    t.user()
        .cmd(&line)
        .env("HOME", t.work().join("user"))
        .env("ISOBOX_ROOT", t.work().join("user/box"))
        .run()
        .ok();
    t.run(&format!("cat {canary}/file; ls {canary}"))
        .ok()
        .out("sings\nfile\n");
    // A link that an earlier copy has brought does not lead a later one away.
    let line = format!(
        r#"container run -q -d --name two --entrypoint sh {image} -c 'mkdir /t; ln -s {canary} /t/a; sleep 1000' >/dev/null
        until container exec two test -L /t/a; do sleep 0.05; done
        container cp two:/t out; readlink out/t/a
        container exec two sh -c 'rm /t/a; mkdir /t/a; echo bad >/t/a/file'
        container cp two:/t out; echo $?; container rm -f two >/dev/null; cat {canary}/file"#
    );
    as_root(&t, &line)
        .run()
        .out(&format!("{canary}\n1\nsings\n"))
        .err_has("cannot replace");
}

/// Killed at any point, what is left is found and taken away, and what is in use is not.
#[test]
fn what_a_crash_leaves_is_collected() {
    needs_images!();
    let t = Sandbox::new("cimage");
    let registry = registry(&t);
    let image = format!("{}/lab/box:1", registry.at);
    let left = "find $ISOBOX_ROOT/written $ISOBOX_ROOT/containers $ISOBOX_ROOT/run $ISOBOX_ROOT/layers $ISOBOX_ROOT/partial -mindepth 1 -maxdepth 1 2>/dev/null | wc -l";
    as_root(
        &t,
        // What others on this machine have left is none of this.
        &format!(
            "container run -q --name keep {image}; container gc 2>/dev/null; container gc 2>&1 | sed 's/of [0-9]* con/of _ con/'"
        ),
    )
    .run()
    .ok()
    .out("hello\nremoved: what was left of _ containers, 0 layers, 0 blobs\n");
    for (call, when) in [
        ("renameat", 2),
        ("renameat", 4),
        ("mkdirat", 2),
        ("socketpair", 1),
        ("fsync", 2),
        ("unlinkat", 3),
    ] {
        let line = format!(
            "strace -qq -o /dev/null -e trace={call} -e inject={call}:signal=KILL:when={when} container run -d --entrypoint sleep {image} 1000 >/dev/null 2>&1
             sleep 0.2; container ps -aq | grep -v $(container ps -aq --filter name=keep) | xargs -r container rm -f >/dev/null
             container gc 2>/dev/null; echo $?; {left}"
        );
        as_root(&t, &line).run().ok().out("0\n5\n");
    }
    // Half a layer, half a copy, and a layer that no image has.
    let line = format!(
        "cd $ISOBOX_ROOT; mkdir -p layers/.{hex}.incomplete/x layers/{hex}/x written/gone/upper; cd; container gc; {left}
         container rm keep; container rmi {image} >/dev/null; {left}",
        hex = "ab".repeat(32)
    );
    as_root(&t, &line)
        .run()
        .ok()
        .out("5\nkeep\n0\n")
        .err_has(" containers, 2 layers, 0 blobs\n");
    // A directory that was there before: what is not called as ours is, is somebody's.
    as_root(
        &t,
        "cd $ISOBOX_ROOT; mkdir -p layers/roads written/letters; touch layers/roads/shape written/letters/draft
         container gc; ls layers/roads written/letters; rm -r layers/roads written/letters",
    )
    .run()
    .ok()
    .out("layers/roads:\nshape\n\nwritten/letters:\ndraft\n");
    // Who is run without being kept holds his layers.
    let line = format!(
        "container run -q --entrypoint sh {image} -c 'sleep 0.7; cat /d/e/y' & sleep 0.3; container rmi {image}; container rmi -f {image} >/dev/null; container gc; wait; {left}; container gc 2>/dev/null; {left}"
    );
    as_root(&t, &line)
        .run()
        .ok()
        .out("two\n3\n0\n")
        .err_has("a container that runs is made of it");
}

/// config.json from the shell.
#[test]
fn a_config_is_printed_and_edited() {
    needs!(root, busybox);
    let t = Sandbox::new("cimage");
    t.root("r");
    t.run("container spec --rootfs r --memory 64M -e A=b -w /tmp sh -c 'echo $A; pwd' >config.json; jq -r '.process.args[0], .linux.resources.memory.limit' config.json")
        .ok()
        .out("sh\n67108864\n");
    t.run("container run -b . | head -1; container edit process.env+=A2=c 'mounts[destination=/new].type=tmpfs' 'mounts[destination=/new].source=tmpfs' hostname=box annotations.x=text linux.resources-; container run -b . | head -1")
        .status(0)
        .out("b\nb\n");
    t.run("container edit --args '[\"sh\",\"-c\",\"echo $A$A2; hostname; mount | grep -c /new\"]' -e A=z --pids 20 --cpus 1.5 annotations- && container run -b .; jq -c '.linux.resources.pids, .linux.resources.cpu' config.json")
        .ok()
        .out("zc\nbox\n1\n{\"limit\":20}\n{\"quota\":150000,\"period\":100000}\n");
    t.run("cp config.json before; for bad in process.args=5 nonsense hostname.x=1 ociVersion=9; do container edit $bad; echo $?; done; cmp before config.json; container edit nowhere x=1")
        .status(1)
        .out("1\n1\n1\n1\n")
        .err_has("left as it was")
        .err_has("no such bundle");
    t.tool("ed1", "#!/bin/sh\nsed -i 's/\"box\"/\"changed\"/' \"$1\"\n");
    t.cmd("container edit; jq -r .hostname config.json; ls -A | grep -c '^.config'")
        .env("EDITOR", "ed1")
        .run()
        .out("changed\n0\n");
    // An option that asks for what is so already changes nothing, and opens no editor.
    t.cmd("container edit --hostname changed && container edit --hostname changed")
        .env("EDITOR", "false")
        .run()
        .ok();
    t.run("container spec")
        .fails(125, "container", &["there is a config.json already"]);
    // runc's own, and the words of the acceptance list (line 505).
    t.run("rm config.json; container spec; container edit --args 'sleep 300' --terminal=false --net /run/netns/blue --memory 50M --caps none --seccomp-errno mount,socket; jq -c '[.process.args, .process.terminal, .linux.resources.memory.limit, .process.capabilities.bounding, .linux.seccomp.syscalls[0].names, (.linux.namespaces[] | select(.type==\"network\").path)]' config.json")
        .ok()
        .out("[[\"sleep\",\"300\"],false,52428800,[],[\"mount\",\"socket\"],\"/run/netns/blue\"]\n");
}

/// Files that give user 1000 the ids 100000 to 165535, bound over the real ones while `$@` runs.
const SUBIDS: &str = r#"#!/bin/sh
echo 'root:x:0:0::/:/bin/sh' >passwd; echo 'kit:x:1000:1000::/:/bin/sh' >>passwd; echo 'kit:100000:65536' >subids
exec unshare -m sh -c 'mount --bind passwd /etc/passwd && mount --bind subids /etc/subuid &&
  mount --bind subids /etc/subgid && exec setpriv --reuid 1000 --regid 1000 --clear-groups "$@"' sh "$@"
"#;

/// With subordinate ids an ordinary user's image has all its owners, and everything of it can be taken away again.
#[test]
fn an_ordinary_user_s_images_have_their_owners() {
    needs!(
        root,
        userns,
        busybox,
        host("newuidmap"),
        host("docker-registry"),
        host("skopeo"),
        host("umoci")
    );
    let t = Sandbox::new("cimage");
    let registry = registry(&t);
    let image = format!("{}/lab/box:1", registry.at);
    t.tool("with-subids", SUBIDS);
    t.write(
        "life",
        &format!(
            r#"container run -q --entrypoint stat {image} -c '%u:%g' /srv
        container run -u web --entrypoint id {image}
        container run -q -d --name one --entrypoint sleep {image} 1000 >/dev/null
        container exec one sh -c 'echo x >/srv/x; chown 33:34 /srv/x'
        container commit -q one lab:2; container run --entrypoint stat lab:2 -c '%u:%g' /srv/x
        container cp one:/srv/x - | tar tv --numeric-owner | cut -c1-14; container cp -a one:/srv/x - | tar tv --numeric-owner | cut -c1-16
        container stop -t 0 one; container cp one:/srv/x x; cat x; container cp -a x one:/srv/y; container cp x one:/srv/z
        container run --copy --entrypoint stat {image} -c '%u:%g' /srv
        container rm one; container rmi {image} lab:2 | grep -c Untagged; container gc 2>/dev/null
        find $ISOBOX_ROOT/layers $ISOBOX_ROOT/written -mindepth 1
        "#
        ),
    );
    at_home(&t, t.cmd("with-subids sh life"), "user")
        .run()
        .ok()
        .out("33:34\nuid=33(web) gid=34 groups=34\n33:34\n-rw-r--r-- 0/0\n-rw-r--r-- 33/34\none\nx\n33:34\none\n2\n")
        .err_has("the root is a copy of");
}
