//! The box itself: how an applet is found, what `isobox` alone can do, and that no odd way of calling it harms.

use crate::kit::Sandbox;

/// Runs isobox under another `argv[0]`: `as_name NAME ARG...`.
const AS_NAME: &str = "#!/bin/bash\nname=$1; shift\nexec -a \"$name\" isobox \"$@\"\n";

#[test]
fn an_applet_is_found_by_the_last_component_of_its_name() {
    needs!(host("bash"));
    let t = Sandbox::new("argv0");
    t.tool("as_name", AS_NAME);
    for name in [
        "unshare",
        "/usr/bin/unshare",
        "./x/unshare",
        "-unshare",
        "/bin/-unshare",
    ] {
        t.run(&format!("as_name {name} echo as '$0'"))
            .ok()
            .out("as $0\n");
    }
    t.run("isobox unshare echo word").ok().out("word\n");
    t.run("as_name isobox-0.1-x86_64 unshare echo word")
        .ok()
        .out("word\n");
    t.run("as_name '' unshare echo word").ok().out("word\n");
    t.run("as_name renamed unshare echo word")
        .ok()
        .out("word\n");
    // Neither part of a name nor a longer one will do.
    for name in ["unshar", "xunshare", "unshare2", "unshare/", "UNSHARE"] {
        let box_or_not = if name.ends_with('/') { "true" } else { name };
        t.run(&format!("as_name {name} {box_or_not}"))
            .fails(127, "isobox", &["applet not found"]);
    }
}

#[test]
fn an_unknown_applet_is_named() {
    needs!(host("bash"));
    let t = Sandbox::new("unknown");
    t.tool("as_name", AS_NAME);
    t.run("isobox nosuch -x")
        .fails(127, "isobox", &["applet not found: nosuch"])
        .hint("isobox --list");
    t.run("as_name gone")
        .fails(127, "isobox", &["applet not found: gone"]);
    t.run("as_name gone 10.0.0.1/24")
        .fails(127, "isobox", &["applet not found: gone"]);
    t.run("isobox --man nosuch")
        .fails(127, "isobox", &["applet not found: nosuch"]);
    t.run("isobox \"$(printf 'a\\377b')\"")
        .fails(127, "isobox", &["applet not found"]);
    t.run("isobox ''")
        .fails(127, "isobox", &["applet not found"]);
}

#[test]
fn wrong_usage_of_the_box_is_said() {
    let t = Sandbox::new("usage");
    for (line, words) in [
        ("isobox --nosuch", "unrecognized option '--nosuch'"),
        ("isobox -x", "invalid option -- 'x'"),
        ("isobox --list extra", "unexpected argument 'extra'"),
        ("isobox --install", "--install takes one directory"),
        ("isobox --install a b", "--install takes one directory"),
        ("isobox --list --man", "do not go together"),
        ("isobox -s .", "do not go together"),
        (
            "isobox --man-dir",
            "option '--man-dir' requires an argument",
        ),
        (
            "isobox --completions tcsh",
            "no completions for this shell: tcsh",
        ),
        ("isobox --man a b", "unexpected argument 'a'"),
    ] {
        t.run(line).fails(1, "isobox", &[words]).untouched();
    }
}

#[test]
fn the_list_is_what_the_links_are() {
    let t = Sandbox::new("list");
    let list = t.run("isobox --list");
    list.ok().err("");
    assert!(list.stdout.lines().any(|name| name == "unshare"), "{list}");
    t.run("isobox --list | sort >a; ls \"$(dirname \"$(command -v isobox)\")\" | grep -vx isobox | sort >b; diff a b")
        .ok();
}

#[test]
fn every_applet_has_help_version_and_a_manual_page() {
    let t = Sandbox::new("help");
    let list = t.run("isobox --list").stdout.clone();
    for name in list.lines() {
        // ip's -h asks for sizes as people say them.
        let short = if name == "ip" { "--help" } else { "-h" };
        for ask in ["--help", short, "--hel"] {
            t.run(&format!("{name} {ask}")).ok().err("").out_in_order(&[
                &format!("Usage:\n {name} "),
                "--version",
                "Examples:",
            ]);
        }
        let version = env!("CARGO_PKG_VERSION");
        // Callers of runc read the first line for its own version.
        let version = match name {
            "runc" => format!("runc version 1.3.0+isobox.{version}\ncommit: isobox {version}\n"),
            _ => format!("{name} from isobox {version}\n"),
        };
        t.run(&format!("{name} -V")).ok().out_in_order(&[&version]);
        t.run(&format!("isobox --man {name}")).ok().out_in_order(&[
            ".TH",
            ".SH NAME",
            ".SH OPTIONS",
        ]);
    }
    t.run("isobox; isobox --help >again")
        .ok()
        .out_in_order(&["Usage:", "Applets:", " unshare "]);
    t.run("isobox | cmp - again").ok();
    t.run("isobox --version")
        .ok()
        .out(&format!("isobox {}\n", env!("CARGO_PKG_VERSION")));
}

#[cfg(feature = "oci")]
#[test]
fn help_is_a_verb_where_there_are_verbs() {
    let t = Sandbox::new("help");
    t.run("isobox --list | LC_ALL=C sort -c").ok();
    for (line, same) in [
        ("isobox help", "isobox --help"),
        ("isobox help unshare", "unshare --help"),
        ("isobox help ip", "ip --help"),
        ("cg help", "cg --help"),
        ("cg help set", "cg set --help"),
        ("container help run", "container run --help"),
        ("container help create", "container run --help"),
        ("container help pull", "pull --help"),
        ("runc help run", "runc run --help"),
    ] {
        t.run(&format!(
            "{line} >one; {same} >other; cmp one other && head -1 one"
        ))
        .ok()
        .out("Usage:\n");
    }
    // Where a program follows, it is one.
    t.tool("help", "#!/bin/sh\necho a program\n");
    t.run("setpriv help").ok().out("a program\n");
}

#[cfg(feature = "cgroup")]
#[test]
fn what_was_meant_is_guessed_and_where_to_read_on_is_said() {
    let t = Sandbox::new("help");
    for (line, status, said) in [
        (
            "isobox unshar",
            127,
            "isobox: applet not found: unshar\nhint: did you mean unshare? isobox --list shows what there is\n",
        ),
        (
            "isobox help lsms",
            127,
            "isobox: applet not found: lsms\nhint: did you mean lsns? isobox --list shows what there is\n",
        ),
        (
            "isobox frob",
            127,
            "isobox: applet not found: frob\nhint: isobox --list shows what there is\n",
        ),
        (
            "cg crate x",
            1,
            "cg: unknown command 'crate'\nhint: did you mean 'create'? try 'cg --help' for more information\n",
        ),
        (
            "cg set --frob",
            1,
            "cg: unrecognized option '--frob'\nhint: try 'cg set --help' for more information\n",
        ),
        (
            "cg --frob set",
            1,
            "cg: unrecognized option '--frob'\nhint: try 'cg --help' for more information\n",
        ),
        (
            "cg set",
            1,
            "cg: missing operand: path\nhint: try 'cg set --help' for more information\n",
        ),
        (
            "unshare --frob",
            1,
            "unshare: unrecognized option '--frob'\nhint: try 'unshare --help' for more information\n",
        ),
    ] {
        t.run(line).status(status).out("").err(said);
    }
}

#[test]
fn manual_pages_render_without_a_warning() {
    needs!(host("groff"), host("man"));
    let t = Sandbox::new("man");
    t.run("isobox --man-dir pages && isobox --man-dir pages")
        .ok()
        .out("")
        .err("");
    t.run("for page in pages/man*/*; do groff -ww -mandoc -Tascii $page >text || exit; test -s text || exit; done")
        .ok()
        .err("");
    t.run("for page in pages/man*/*; do LC_ALL=C man --warnings -l $page >text || exit; done")
        .ok()
        .err("");
    t.run("cd pages && { isobox --list; echo isobox; } | sort >a; ls man1 man8 | sed -n 's/[.][18]$//p' | sort >b; diff a b").ok();
    // What the page shows is what can be typed.
    t.run("man -l pages/man1/unshare.1 | col -b")
        .ok()
        .out_in_order(&[
            "unshare - run a program",
            "unshare [options] [program [argument...]]",
            "-m, --mount[=file]",
            "EXIT STATUS",
            "EXAMPLES",
            "SEE ALSO",
        ]);
    t.run("isobox --man-dir /proc/nowhere").fails(
        1,
        "isobox",
        &["cannot make /proc/nowhere", "No such file"],
    );
}

#[test]
fn install_makes_links_and_makes_them_again() {
    let t = Sandbox::new("install");
    // In a directory of its own with the binary: symbolic links are relative, so the directory may move.
    t.run("mkdir a && cp \"$(command -v isobox)\" a/ && a/isobox --install -s a")
        .ok()
        .out("")
        .err("");
    t.run("readlink a/unshare").out("isobox\n");
    t.run(
        "ls -i a >before; a/isobox --install -s a && a/isobox --install a; ls -i a | diff before -",
    )
    .ok();
    t.run("mv a moved && moved/unshare echo still")
        .ok()
        .out("still\n");
    // Elsewhere: they lead to the binary by its path.
    t.run("mkdir b && moved/isobox -s --install b && readlink b/unshare")
        .ok()
        .out_has("/moved/isobox\n");
    t.run("b/unshare echo there").ok().out("there\n");
    // Hard links are the file.
    t.run("mkdir c && moved/isobox --install c && test c/unshare -ef moved/isobox && c/unshare echo hard")
        .ok()
        .out("hard\n");
    t.run("ls c | wc -l; isobox --list | wc -l").ok();
    t.run("test \"$(ls c | wc -l)\" = \"$(isobox --list | wc -l)\"")
        .ok();
}

#[test]
fn install_spares_what_is_somebody_elses() {
    let t = Sandbox::new("foreign");
    t.run("mkdir d && echo precious >d/unshare").ok();
    let ran = t.run("isobox --install -s d");
    ran.status(1)
        .out("")
        .err_has("d/unshare belongs to something else: skipped")
        .err_has("1 of ");
    t.run("cat d/unshare").out("precious\n");
    // All others were made.
    t.run("test \"$(ls d | wc -l)\" = \"$(isobox --list | wc -l)\"")
        .ok();
    // A dangling link and a directory are somebody else's too.
    t.run("mkdir e f && ln -s nowhere e/unshare && mkdir f/unshare")
        .ok();
    t.run("isobox --install -s e")
        .status(1)
        .err_has("e/unshare belongs");
    t.run("readlink e/unshare").out("nowhere\n");
    t.run("isobox --install -s f")
        .status(1)
        .err_has("f/unshare belongs");
    t.run("ls f/unshare").out("");
}

#[test]
fn install_where_nothing_can_be_made_says_so() {
    let t = Sandbox::new("noinstall");
    t.run("isobox --install -s missing")
        .fails(
            1,
            "isobox",
            &["cannot make missing/", "No such file or directory"],
        )
        .untouched();
    t.run("touch file; isobox --install -s file").fails(
        1,
        "isobox",
        &["cannot make file/", "Not a directory"],
    );
    needs!(root);
    t.run("mkdir d; mount -t tmpfs -o ro none d; isobox --install -s d; s=$?; umount d; exit $s")
        .fails(1, "isobox", &["cannot make d/", "Read-only file system"]);
    t.run("mount -t tmpfs none d; isobox --install d; s=$?; umount d; exit $s")
        .fails(
            1,
            "isobox",
            &["cannot make d/", "Invalid cross-device link"],
        )
        .hint("--install -s");
    t.run("mkdir -m 755 roots").ok();
    t.user().run("isobox --install -s roots").fails(
        1,
        "isobox",
        &["cannot make roots/", "Permission denied"],
    );
}

#[test]
fn an_empty_argument_vector_is_the_box() {
    needs!(host("cc"));
    let t = Sandbox::new("argc0");
    t.write(
        "bare.c",
        "#include <unistd.h>\nint main(int c, char **v) { char *none[] = {0}; return execv(v[1], none), 99; }\n",
    );
    t.run("cc -o bare bare.c").ok();
    t.run("./bare \"$(command -v isobox)\"")
        .ok()
        .err("")
        .out_has("Usage:\n isobox ");
}

#[test]
fn arguments_may_be_long_and_any_bytes() {
    needs!(host("bash"));
    let t = Sandbox::new("bytes");
    t.tool("as_name", AS_NAME);
    t.run("unshare printf %s \"$(printf 'a\\377\\376 \\001b')\" | od -An -tx1")
        .ok()
        .out(" 61 ff fe 20 01 62\n");
    t.run("isobox unshare printf %s \"$(printf '\\364\\217\\274\\200')\" | od -An -tx1")
        .ok()
        .out(" f4 8f bc 80\n");
    // The kernel's longest word is 128 KiB.
    t.run("as_name \"$(head -c 131000 /dev/zero | tr '\\0' x)\" --version")
        .ok();
    t.run("as_name \"$(head -c 131000 /dev/zero | tr '\\0' /)unshare\" echo far")
        .ok()
        .out("far\n");
    let ran = t.run("isobox \"$(head -c 131000 /dev/zero | tr '\\0' x)\"");
    ran.status(127);
    t.run("unshare -$(head -c 100000 /dev/zero | tr '\\0' f) echo forked")
        .ok()
        .out("forked\n");
    t.run("unshare $(yes -- -f | head -20000) echo many")
        .ok()
        .out("many\n");
}

#[test]
fn closed_descriptors_are_not_taken_for_files() {
    let t = Sandbox::new("closed");
    // As without us between: the program finds them unusable.
    t.run("unshare cat <&- 2>&1")
        .status(1)
        .out_has("Bad file descriptor");
    t.run("unshare -f cat <&- 2>&1")
        .status(1)
        .out_has("Bad file descriptor");
    t.run("unshare sh -c 'echo x' >&- ").err_has("rror");
    t.run("isobox --list >&-")
        .fails(1, "isobox", &["write error", "Bad file descriptor"]);
    t.run("unshare --help >&-")
        .fails(1, "unshare", &["write error"]);
    t.run("unshare --nosuch 2>&-").status(1).out("").err("");
    t.run("unshare true <&- >&- 2>&-").ok();
    t.run("unshare sh -c 'exit 7' <&- >&- 2>&-").status(7);
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let t = Sandbox::new("full");
    for line in [
        "unshare --help",
        "unshare --version",
        "isobox",
        "isobox --list",
        "isobox --man",
        "isobox --completions bash",
    ] {
        t.run(&format!("{line} >/dev/full")).fails(
            1,
            line.split(' ').next().unwrap(),
            &["write error", "No space left on device"],
        );
        t.run(&format!("{line} 2>/dev/full | grep -q .")).ok();
    }
}

#[test]
fn a_reader_that_left_is_no_error() {
    let t = Sandbox::new("pipe");
    t.run("isobox --man | head -1")
        .ok()
        .err("")
        .out_has(".TH \"ISOBOX\"");
    t.run("(sleep 0.2; isobox --man) | true").ok().err("");
    t.run("(trap '' PIPE; sleep 0.2; isobox --man; echo $? >status) | true")
        .ok()
        .err("");
    t.run("cat status").out("0\n");
    // What the caller had set is what the program gets.
    let ignored = "grep SigIgn /proc/self/status";
    t.run(&format!("{ignored} >a; unshare {ignored} | diff a -"))
        .ok();
    t.run(&format!(
        "trap '' PIPE; {ignored} >b; unshare {ignored} | diff b - && ! diff -q a b"
    ))
    .ok();
}
