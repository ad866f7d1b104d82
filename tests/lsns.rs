//! lsns from outside. The columns and forms it shares with util-linux are in parity/lsns.cases.

use crate::kit::Sandbox;

const KINDS: &str = "cgroup ipc mnt net pid time user uts";

/// Case 1: the namespaces of one process, and their numbers are the kernel's.
#[test]
fn the_namespaces_of_a_process() {
    let t = Sandbox::new("lsns");
    t.run("lsns -n -p $$ -o TYPE | sort | tr '\\n' ' '")
        .ok()
        .out(&format!("{KINDS} "));
    t.run("lsns -n -p $$ -o TYPE,NS | while read type ns; do test \"$(readlink /proc/$$/ns/$type)\" = \"$type:[$ns]\" || echo $type; done")
        .ok()
        .out("");
    t.user()
        .run("lsns -n -p $$ -o TYPE | sort | tr '\\n' ' '")
        .ok()
        .out(&format!("{KINDS} "));
}

/// Cases 2, 4, 5 and 81: in a PID namespace with its own /proc there is nobody else to list.
#[test]
fn all_namespaces() {
    needs!(root);
    let t = Sandbox::new("lsns");
    t.run("unshare -pf --mount-proc sh -c 'lsns -n -o TYPE | sort | tr \"\\n\" \" \"'")
        .ok()
        .out(&format!("{KINDS} "));
    t.run(
        "unshare -pf --mount-proc sh -c '
           unshare -uin sleep 1000 & while ! grep -qx sleep /proc/$!/comm; do sleep 0.02; done
           lsns -l -r -n -o TYPE,NPROCS,COMMAND | grep \"[0-9] sleep.x201000\" | sort; lsns -n -t net -t uts -o TYPE | sort | uniq -c | tr -s \" \"'",
    )
    .ok()
    .out("ipc 1 sleep\\x201000\nnet 1 sleep\\x201000\nuts 1 sleep\\x201000\n 2 net\n 2 uts\n");
}

#[test]
fn one_namespace_lists_its_processes() {
    let t = Sandbox::new("lsns");
    t.run("lsns -n -o PID $(readlink /proc/$$/ns/net | tr -dc 0-9) | tr -d ' ' | grep -cx $$")
        .ok()
        .out("1\n");
    t.run("lsns 1").fails(1, "lsns", &["1"]);
    t.run("lsns net").fails(1, "lsns", &["net"]);
}

/// Cases 25 and 85: what nobody lives in is found through its mount.
#[test]
fn pinned_namespaces_are_listed() {
    needs!(root);
    let t = Sandbox::new("lsns");
    t.run(
        "unshare -m sh -c 'touch n u; unshare --net=n --uts=u true
           lsns -n -P -o TYPE,NPROCS,NSFS | sed \"s,/.*/,,\" | tr -s \" \" | sort; lsns -n -t net -o NPROCS | tr -d \" \" | sort -n | head -n 1
           umount n u; lsns -n -P | wc -l'",
    )
    .ok()
    .out("net 0 n\nuts 0 u\n0\n0\n");
}

#[test]
fn json_is_json() {
    needs!(host("jq"));
    let t = Sandbox::new("lsns");
    t.run("lsns -J -p $$ | jq -r '.namespaces | length, (map(.type) | sort | join(\" \")), (all(.ns | type == \"number\"))'")
        .ok()
        .out(&format!("8\n{KINDS}\ntrue\n"));
    // A command line is anything: quotes, newlines, escape codes.
    t.run(
        r#"sh -c 'sleep 1000; :' 'a"b\c
d' & while ! grep -q . /proc/$!/task/$!/children; do sleep 0.01; done; lsns -J -p $! -t uts -o COMMAND | jq -r '.namespaces | length'; lsns -n -t uts -o COMMAND | wc -l >/dev/null
           kill $(cat /proc/$!/task/$!/children) $!; wait"#,
    )
    .ok()
    .out("1\n");
}

/// Command lines of strangers must not reach the terminal raw.
#[test]
fn escape_codes_are_not_passed_on() {
    needs!(userns);
    let t = Sandbox::new("lsns");
    for flags in ["", "-r", "-J", "-u", "-T"] {
        // The only process of its UTS namespace, so that its command is shown.
        let line = format!(
            "unshare -ru sh -c 'read x' \"$(printf 'a\\033[31mb\\nc')\" <p & exec 3>p; while ! grep -qzx 'read x' /proc/$!/cmdline; do sleep 0.01; done; \
             lsns {flags} >o; exec 3>&-; wait; grep -c \"$(printf '\\033')\" o; grep -q 31mb o && echo shown; rm o"
        );
        t.run(&format!("mkfifo p; {line}; rm p"))
            .ok()
            .out("0\nshown\n");
    }
}

#[test]
fn bad_input_is_refused_in_one_line() {
    let t = Sandbox::new("lsns");
    let cases: [(&str, &[&str]); 9] = [
        ("lsns -t bogus", &["bogus"]),
        ("lsns -o NS,BOGUS", &["BOGUS"]),
        ("lsns -p here", &["here"]),
        ("lsns --tree=sideways", &["sideways"]),
        ("lsns --bogus", &["--bogus"]),
        ("lsns -J -r", &["--json"]),
        ("lsns -Q 'PID > 1'", &[]),
        ("lsns -o", &["o"]),
        ("lsns abc", &["abc"]),
    ];
    for (line, words) in cases {
        t.run(line).fails(1, "lsns", words).untouched();
        t.user().run(line).fails(1, "lsns", words).untouched();
    }
}

/// A reader that goes away is no error, a full disk is.
#[test]
fn where_the_list_goes() {
    let t = Sandbox::new("lsns");
    t.run("lsns | true").ok().err("");
    t.run("lsns >/dev/full")
        .status(1)
        .err_has("No space left on device");
    t.run("lsns -n <&- | grep -c .").ok().err("");
}

#[test]
fn without_proc_the_error_says_so() {
    needs!(root, busybox);
    let t = Sandbox::new("lsns");
    t.root("r");
    t.run("unshare -R r lsns").fails(1, "lsns", &["/proc"]);
}

/// Process names that were chosen to confuse parsers of /proc/PID/stat.
#[test]
fn strange_process_names_do_not_confuse_it() {
    let t = Sandbox::new("lsns");
    t.run(
        "cp $(command -v sleep) 'a) R 1 (b'; './a) R 1 (b' 1000 & while ! grep -qxF 'a) R 1 (b' /proc/$!/comm; do sleep 0.01; done
         lsns -n -p $! -t uts -o PPID | tr -d ' ' | grep -v '^$' >/dev/null; lsns -n -o PID,PPID $(readlink /proc/$!/ns/uts | tr -dc 0-9) | grep -c \"^ *$! *$$\\$\"
         kill $!; wait 2>/dev/null; true",
    )
    .ok()
    .out("1\n");
}
