//! switch_root where nothing is at stake: a tmpfs plays the initramfs, a PID namespace gives us process 1.
//! The real thing is tested in a virtual machine (tests/vm).

use crate::kit::Sandbox;

/// A sandbox whose `go ARGS` becomes process 1 of such an initramfs and runs `exec switch_root ARGS`.
///
/// In it: `/new`, a mounted root; `/plain`, a root that is no mount; `/bound`, a directory of the host.
fn sandbox() -> Sandbox {
    let t = Sandbox::new("switch");
    t.root("r");
    t.write("host/precious", "kept\n")
        .write("host/sub/precious", "kept\n");
    t.run("cp \"$(command -v isobox)\" r/bin/switch_root; cp \"$(command -v busybox)\" r/bin/ || true").ok();
    t.tool(
        "go",
        "#!/bin/sh\n\
         set -e\n\
         mkdir -p d\n\
         mount -t tmpfs init d\n\
         cp -a r/. d\n\
         mkdir -p d/new d/plain d/bound d/deep/er/still d/run\n\
         echo gone >d/deep/er/still/file\n\
         ln -s /bound d/deep/link\n\
         cp -a r/. d/plain\n\
         mount -t tmpfs new d/new\n\
         cp -a r/. d/new\n\
         mount --bind host d/bound\n\
         exec pivot --proc --dev d /bin/sh -c 'exec 3</; \"$@\" || { s=$?; ls -d /deep/er/still/file; exit $s; }' sh \"$@\"\n",
    );
    t
}

#[test]
fn the_initramfs_is_left_and_emptied() {
    needs!(root, busybox, static_binary);
    let t = sandbox();
    // The shell that `go` starts execs: process 1 stays process 1.
    let inside = "echo $$ \"$@\"; pwd; grep \" / \" /proc/self/mounts | tail -n 1 | cut -d\" \" -f1; test -c /dev/null && echo dev; \
                  ls -A /proc/self/fd/3/; ls /proc/self/fd/3/bound";
    t.run(&format!(
        "unshare -mpf go exec /bin/switch_root /new /bin/sh -c '{inside}' sh one 'two words'"
    ))
    .ok()
    .out("1 one two words\n/\nnew\ndev\nbound\nprecious\nsub\n");
    // What belongs to another mount was not.
    t.run("cat host/precious host/sub/precious")
        .ok()
        .out("kept\nkept\n");
}

#[test]
fn what_is_wrong_is_found_before_anything_is_touched() {
    needs!(root, busybox, static_binary);
    let t = sandbox();
    let cases = [
        ("/bin/switch_root /new /bin/sh", "not process 1"),
        (
            "exec /bin/switch_root /nowhere /bin/sh",
            "/nowhere: No such file or directory",
        ),
        (
            "exec /bin/switch_root /plain /bin/sh",
            "/plain: not a mount point",
        ),
        ("exec /bin/switch_root / /bin/sh", "/: not a mount point"),
        (
            "exec /bin/switch_root /new /bin/nowhere",
            "cannot access /bin/nowhere: No such file or directory",
        ),
        (
            "exec /bin/switch_root /new /etc",
            "cannot access /etc: Permission denied",
        ),
        ("exec /bin/switch_root /new", "not enough arguments"),
        (
            "exec /bin/switch_root -c /dev/nowhere /new",
            "not enough arguments",
        ),
    ];
    for (line, words) in cases {
        // In a child of process 1 the shell goes on, and finds the initramfs as it was.
        let line = match line.strip_prefix("exec ") {
            Some(rest) => format!("unshare -mpf go exec {rest}"),
            None => format!("unshare -mpf go {line}"),
        };
        t.run(&line).status(1).err_has(words);
    }
    t.run("cat host/precious").ok().out("kept\n");
}

#[test]
fn the_console_is_in_the_new_root() {
    needs!(root, busybox, static_binary);
    let t = sandbox();
    t.run("unshare -mpf go exec /bin/switch_root -c /tmp/console /new /bin/sh -c true")
        .status(1)
        .err_has("cannot open /tmp/console: No such file or directory");
    t.write("r/tmp/console", "");
    let inside = "for n in 0 1 2; do test \"$(readlink /proc/1/fd/$n)\" = /tmp/console || exit 1; done; exit 7";
    t.run(&format!(
        "unshare -mpf go exec /bin/switch_root -c /tmp/console /new /bin/sh -c '{inside}'"
    ))
    .status(7)
    .out("");
}
