//! unshare for ordinary users: user namespaces, identifier maps, and what is said without privilege.

use crate::kit::Sandbox;

/// Files that give user 1000 the ids 100000 to 165535, bound over the real ones while `$@` runs.
const SUBIDS: &str = r#"#!/bin/sh
echo 'root:x:0:0::/:/bin/sh' >passwd; echo 'kit:x:1000:1000::/:/bin/sh' >>passwd
echo 'kit:100000:65536' >subids; echo 'root:100000:65536' >>subids
exec unshare -m sh -c 'mount --bind passwd /etc/passwd && mount --bind subids /etc/subuid &&
  mount --bind subids /etc/subgid && exec "$@"' sh "$@"
"#;

/// Cases 73, 74, 76, script 7.
#[test]
fn an_ordinary_user_three_ways() {
    needs!(userns);
    let t = Sandbox::new("unshare");
    let user = t.user();
    user.run("unshare --user id -u").ok().out("65534\n");
    user.run("unshare --user --map-root-user sh -c 'id -u; cat /proc/self/setgroups; read in out n </proc/self/uid_map; echo $in $n'")
        .ok()
        .out("0\ndeny\n0 1\n");
    user.run("unshare --user --map-root-user --mount --pid --fork --mount-proc sh -c 'mount -t tmpfs none /mnt && echo mounted $$'")
        .ok()
        .out("mounted 1\n")
        .untouched();
    user.run("unshare -r touch made; stat -c %u made")
        .ok()
        .out(&format!("{}\n", t.ordinary()));
}

/// Case 7 of the mistakes: no privilege. One line, and the way out of it.
#[test]
fn without_privilege_the_way_out_is_a_user_namespace() {
    needs!(userns);
    let t = Sandbox::new("unshare");
    for kind in [
        "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "-pf", "-mpuinCf",
    ] {
        t.user()
            .run(&format!("unshare {kind} true"))
            .fails(1, "unshare", &["Operation not permitted"])
            .hint("--map-root-user")
            .untouched();
    }
}

/// Case 75: the map written by hand, from outside.
#[test]
fn a_map_written_from_outside() {
    needs!(userns, root);
    let t = Sandbox::new("unshare");
    t.user()
        .run(
            "unshare --user sh -c 'touch made; while [ $(id -u) != 0 ]; do sleep 0.02; done; id -u; id -g' &
             while ! test -e made; do sleep 0.02; done
             echo '0 1000 1' >/proc/$!/uid_map && echo deny >/proc/$!/setgroups && echo '0 1000 1' >/proc/$!/gid_map
             wait $!",
        )
        .ok()
        .out("0\n0\n");
    // From inside, after exec, the capabilities to do so are gone.
    t.user()
        .run("unshare --user sh -c 'echo 0 1000 1 >/proc/self/uid_map || echo refused' 2>/dev/null")
        .ok()
        .out("refused\n");
}

/// Case 77: ranges, through newuidmap for a user and directly for root.
#[test]
fn ranges_make_more_than_one_id() {
    needs!(root, userns, host("newuidmap"));
    let t = Sandbox::new("unshare");
    t.tool("subids", SUBIDS);
    let inside = "sh -c 'id -u; touch f; chown 1000 f && stat -c %u f'; stat -c %u f";
    t.run(&format!(
        "subids setpriv --reuid 1000 --regid 1000 --clear-groups unshare -r --map-auto {inside}"
    ))
    .ok()
    .out("0\n1000\n100999\n");
    t.user()
        .run("unshare -r sh -c 'touch g; chown 1000 g'")
        .status(1);
    t.run("unshare --map-users 0:200000:1000 --map-groups 0:200000:1000 -S 0 -G 0 sh -c 'cat /proc/self/uid_map' | tr -s ' '")
        .ok()
        .out(" 0 200000 1000\n");
    t.user().run("unshare -c id -u").ok().out("1000\n");
    t.user()
        .run("unshare --map-user 77 --map-group 88 sh -c 'id -u; id -g'")
        .ok()
        .out("77\n88\n");
}

/// An id that the map does not hold is the kernel's EINVAL: the hint says which word is missing.
#[test]
fn an_unmapped_id_gets_a_hint() {
    needs!(userns);
    let t = Sandbox::new("unshare");
    t.user()
        .run("unshare --user --setuid 0 true")
        .fails(1, "unshare", &["Invalid argument"])
        .hint("map")
        .untouched();
    t.user()
        .run("unshare -r --setuid 5 true")
        .fails(1, "unshare", &["Invalid argument"])
        .hint("map")
        .untouched();
}
