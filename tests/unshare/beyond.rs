//! unshare beyond util-linux: everything at once, a hostname, loopback, and plans that are told.

use crate::kit::Sandbox;

/// Beyond util-linux: one word for everything.
#[test]
fn all_is_eight_namespaces() {
    needs!(userns, timens);
    let t = Sandbox::new("unshare");
    let kinds = "for k in cgroup ipc mnt net pid time user uts; do readlink /proc/self/ns/$k; done";
    for all in ["unshare -a -r -f", "unshare --all --map-root-user --fork"] {
        t.user().run(&format!("{{ {kinds}; }} >out; {all} sh -c '{kinds}' >in; wc -l <in; grep -cFxf out in; rm out in"))
            .status(0)
            .out("8\n0\n");
    }
}

#[test]
fn hostname_is_set_on_the_way() {
    needs!(userns);
    let t = Sandbox::new("unshare");
    t.user()
        .run("unshare -r --hostname box hostname")
        .ok()
        .out("box\n")
        .untouched();
    t.user()
        .run("unshare -r --hostname=a --hostname=b hostname")
        .ok()
        .out("b\n");
    t.user()
        .run("unshare -r -u --hostname box -f sh -c hostname")
        .ok()
        .out("box\n");
    let long = "x".repeat(65);
    t.user()
        .run(&format!("unshare -r --hostname {long} true"))
        .fails(1, "unshare", &[])
        .untouched();
    t.user()
        .run("unshare --hostname box true")
        .fails(1, "unshare", &["Operation not permitted"])
        .hint("--map-root-user");
}

#[test]
fn loopback_is_brought_up() {
    needs!(userns, host("ip"));
    let t = Sandbox::new("unshare");
    t.user()
        .run("unshare -rn ip -o addr show lo | grep -c 127.0.0.1")
        .status(1)
        .out("0\n");
    t.user()
        .run("unshare -r --loopback ip -o addr show lo | grep -c 127.0.0.1/8")
        .ok()
        .out("1\n")
        .untouched();
    t.user()
        .run("unshare -rn --loopback sh -c 'ip -o link | wc -l; ip -o link show up | wc -l'")
        .ok()
        .out("1\n1\n");
}

/// Every call is told in order, and none is made.
#[test]
fn explain_tells_and_does_nothing() {
    let t = Sandbox::new("unshare");
    // Without any privilege: telling needs none.
    t.user()
        .run("unshare -mpuf --mount-proc --hostname box --explain touch made")
        .ok()
        .out_in_order(&["CLONE_NEW", "box", "/proc", "touch"])
        .out_in_order(&["why", "see", "unshare(2)"])
        .err("")
        .untouched();
    t.user()
        .run("unshare --explain -r id -u")
        .ok()
        .out_in_order(&["CLONE_NEWUSER", "uid_map", "exec"])
        .untouched();
    t.user()
        .run("unshare -m -R /nowhere --explain true")
        .ok()
        .out_has("/nowhere")
        .untouched();
    t.user()
        .run("unshare --explain=poem true")
        .fails(1, "unshare", &["poem"]);
}

#[test]
fn explain_speaks_json() {
    needs!(host("jq"));
    let t = Sandbox::new("unshare");
    t.user()
        .run("unshare -mpf --mount-proc --explain=json printf 'a\"b\\\\' | jq -r 'type, (map(.step) == [range(1; length + 1)]), (all(.call and .why and .man))'")
        .ok()
        .out("array\ntrue\ntrue\n")
        .untouched();
}

/// The told plan and the performed one are one: as many steps, and the program's output untouched.
#[test]
fn explain_run_tells_while_doing() {
    needs!(userns);
    let t = Sandbox::new("unshare");
    let flags = "-rmpf --mount-proc --hostname box";
    let told = t.user().run(&format!(
        "unshare {flags} --explain sh -c 'hostname; echo $$; exit 4'"
    ));
    let done = t.user().run(&format!(
        "unshare {flags} --explain=run sh -c 'hostname; echo $$; exit 4'"
    ));
    done.status(4).out("box\n1\n");
    let steps = |text: &str| {
        text.lines()
            .filter(|line| line.trim_start().starts_with("why "))
            .count()
    };
    assert_eq!(
        steps(&told.ok().stdout),
        steps(&done.stderr),
        "{told}{done}"
    );
}
