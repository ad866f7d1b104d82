//! runc for an ordinary user: his own id, and ranges of ids that he was given. Debian's runc is the oracle.

use crate::kit::{Ran, Sandbox};

/// Root, to become somebody else, and what gives out ids.
macro_rules! needs_ids {
    () => {
        needs!(
            root,
            userns,
            busybox,
            host("runc"),
            host("newuidmap"),
            controller("memory")
        );
    };
}

/// A line of user 1000, who has the ids 100000 to 165535 besides, with `R` as the runtime.
fn with<'t>(t: &'t Sandbox, runtime: &str, line: &str) -> Ran<'t> {
    let text = format!(
        "R='{runtime} --root {0}/u/k'; cd u; mkdir -p k\n{line}",
        t.work().display()
    );
    t.write("line", &text);
    t.write(
        "passwd",
        "root:x:0:0::/:/bin/sh\nkit:x:1000:1000::/:/bin/sh\n",
    );
    t.write("subids", "kit:100000:65536\n");
    let line = format!(
        "chmod 755 .; for f in passwd subuid subgid; do mount --bind $([ $f = passwd ] && echo passwd || echo subids) /etc/$f; done
        cgexec --rm -g memory:{} setpriv --reuid 1000 --regid 1000 --clear-groups sh line; s=$?
        umount /etc/passwd /etc/subuid /etc/subgid; exit $s",
        t.id()
    );
    t.run(&line)
}

/// `u`, his directory, with what `runc spec --rootless` writes around busybox.
fn sandbox() -> Sandbox {
    let t = Sandbox::new("runc");
    t.root("u/rootfs");
    t.run("chown -R 1000:1000 u").ok();
    t
}

/// The whole life with one id: run, create, start, state, exec, kill, delete; what cannot be is refused as by runc.
#[test]
fn an_ordinary_user_has_containers_of_his_own() {
    needs_ids!();
    let t = sandbox();
    let line = "
        rm -f config.json; $R spec --rootless; sed -i 's/\"terminal\": true/\"terminal\": false/; s/\"sh\"$/\"sh\", \"-c\", \"id; hostname; tr -s \\\\\" \\\\\" <\\/proc\\/self\\/uid_map; cat \\/proc\\/self\\/setgroups; touch \\/x 2>\\&1; ls \\/sys | busybox head -1\"/' config.json
        say() { echo \"- ${*#*/k}\"; \"$@\" >out 2>&1 </dev/null; echo $?; sed 's/.*msg=//; s/ hint=.*//; s/\"created\": \".*\"/CREATED/; s/\"pid\": [1-9][0-9]*/PID/; s/\"ociVersion\": \"[^\"]*/VERSION/' out; echo; }
        say $R run x; sed -i 's/\"-c\", \".*\"/\"-c\", \"exec sleep 1000\"/' config.json
        say $R create x; say $R list -q; say $R start x; say $R state x
        say $R exec x id; say $R exec x sh -c 'exit 4'; say $R exec -e A=b --cwd /tmp x sh -c 'echo $A; pwd; hostname'; say $R exec x nosuch
        say $R exec -d --pid-file pid x sleep 50; test -d /proc/$(cat pid) && echo there; say $R delete x
        say $R kill x KILL; while $R state x | grep -q running; do sleep 0.05; done; say $R state x; say $R delete x; say $R list -q; ls k";
    let ours = with(&t, "runc", line);
    let theirs = with(&t, "/usr/sbin/runc", line);
    assert_eq!(ours.stdout, theirs.stdout, "{ours}{theirs}");
    ours.out_has("uid=0 gid=0")
        .out_has("runc\n 0 1000 1\ndeny\n")
        .out_has("Read-only file system");
    // What takes ids that he has not got.
    let line = "$R spec --rootless 2>/dev/null; sed -i 's/\"terminal\": true/\"terminal\": false/' config.json
        sed 's/\"uid\": 0/\"uid\": 5/' config.json >c; mkdir -p bad; cp c bad/config.json; ln -sf ../rootfs bad/rootfs; $R run -b bad x; echo $?
        sed 's/\"gid\": 0/&, \"additionalGids\": [7]/' config.json >bad/config.json; $R run -b bad x; echo $?; ls k";
    with(&t, "runc", line).out("1\n1\n");
}

/// Where the devices of the root are files, over which the host's are shown, they serve the next container too.
#[test]
fn a_root_with_devices_of_its_own_serves_twice() {
    needs!(
        root,
        userns,
        busybox,
        host("runc"),
        host("jq"),
        controller("memory")
    );
    let t = sandbox();
    let line = r#"rm -f config.json; $R spec --rootless
        jq '.process.terminal = false | .root.readonly = false | .process.args = ["sh", "-c", "echo x >/dev/null; stat -c %t:%T /dev/null"]
            | .mounts |= map(select(.destination | startswith("/dev") | not))' config.json >c; mv c config.json
        $R run x; $R run x; ls -s rootfs/dev/null; rm -r rootfs/dev; mkdir rootfs/dev; ln -s ../etc rootfs/dev/null; $R run x; echo $?; rm -r rootfs/dev; mkdir rootfs/dev"#;
    let ours = with(&t, "runc", line);
    ours.out("1:3\n1:3\n0 rootfs/dev/null\n1\n")
        .err_has("something else in the place of the device");
    let theirs = with(&t, "/usr/sbin/runc", line);
    assert!(theirs.stdout.starts_with("1:3\n1:3\n0 "), "{theirs}");
}

/// Ranges, by newuidmap: more users than one, files of theirs, groups.
#[test]
fn an_ordinary_user_has_ranges_of_ids() {
    needs_ids!();
    let t = sandbox();
    let line = "
        rm -f config.json; $R spec --rootless
        sed -i 's/\"terminal\": true/\"terminal\": false/; s/\"readonly\": true/\"readonly\": false/; s/\"size\": 1$/\"size\": 1}, {\"containerID\": 1, \"hostID\": 100000, \"size\": 65535/; s/\"uid\": 0/\"uid\": 5/; s/\"gid\": 0$/\"gid\": 6, \"additionalGids\": [7]/' config.json
        sed -i 's/\"sh\"$/\"sh\", \"-c\", \"id; cut -c11- <\\/proc\\/self\\/gid_map | tr -s \\\\\" \\\\\"; touch \\/tmp\\/mine\"/' config.json
        chmod 1777 rootfs/tmp; $R run x 2>&1; echo $?; stat -c %u:%g rootfs/tmp/mine; ls k";
    let ours = with(&t, "runc", line);
    ours.out_has("uid=5 gid=6 groups=7")
        .out_has("100004:100005\n");
    t.run("rm u/rootfs/tmp/mine").ok();
    // runc lets no ordinary user choose groups.
    let line = line.replace(", \"additionalGids\": [7]", "");
    let [ours, theirs] = ["runc", "/usr/sbin/runc"].map(|runtime| {
        let ran = with(&t, runtime, &line);
        t.run("rm u/rootfs/tmp/mine").ok();
        ran
    });
    assert_eq!(ours.stdout, theirs.stdout, "{ours}{theirs}");
    // More than he was given.
    with(
        &t,
        "runc",
        "sed -i 's/65535/70000/' config.json; $R run x; echo $?; ls k",
    )
    .out("1\n")
    .err_has("/etc/subuid");
}
