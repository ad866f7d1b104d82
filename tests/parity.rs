//! Parity: the same shell line with the host's tools and with ours must look the same.
//!
//! The lines live in `parity/*.cases`, one per case; `parity/case.rs` documents the directives.
//! Compared are stdout, the exit status, and the *shape* of stderr (`parity/judge.rs`): wording is
//! free, who complains and the kernel's own words are not. The oracle is validated with
//! `PARITY_ORACLE=1`: the host's half runs twice, is shown, and must agree with itself.

mod case;
mod judge;

use crate::kit::{Sandbox, needs};
use case::Case;
use judge::{Seen, Verdict};
use std::collections::BTreeMap;
use std::env;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

macro_rules! case_files {
    ($($applet:ident),+) => { $(
        #[test]
        fn $applet() {
            needs!(util_linux);
            run_file(stringify!($applet), include_str!(concat!("parity/", stringify!($applet), ".cases")));
        }
    )+ };
}

case_files!(unshare, unshare_maps, nsenter, lsns, roots, setpriv);
#[cfg(feature = "net")]
case_files!(ip, ip_wrong);

fn run_file(name: &str, text: &str) {
    let cases = case::parse(text).unwrap_or_else(|error| panic!("{name}.cases: {error}"));
    let (mut failures, mut skipped) = (Vec::new(), BTreeMap::new());
    for case in &cases {
        if let Err(reason) = case.needs.iter().try_for_each(|need| needs::named(need)) {
            *skipped.entry(reason).or_insert(0) += 1;
            continue;
        }
        // A sandbox panics when the case left something behind; the other cases still want their turn.
        match catch_unwind(AssertUnwindSafe(|| trial(case))) {
            Ok(verdict) if verdict.is_empty() => {}
            Ok(verdict) => failures.push(format!("{name}.cases:{}: {verdict}", case.number)),
            Err(_) => failures.push(format!(
                "{name}.cases:{}: {}\n  panicked, see above\n",
                case.number, case.line
            )),
        }
    }
    for (reason, count) in skipped {
        needs::skip(
            &format!("parity::{name}"),
            &format!("{reason} ({count} of {} cases)", cases.len()),
        );
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases differ:\n\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

/// Whose tools a line runs with.
#[derive(Clone, Copy)]
enum Tools {
    Host,
    Ours,
}

/// Runs one case with both and compares.
fn trial(case: &Case) -> Verdict {
    let host = side(case, Tools::Host);
    if env::var_os("PARITY_ORACLE").is_some() {
        let verdict = judge::same(case, &host, &side(case, Tools::Host));
        let _ = writeln!(io::stderr(), "{}: {verdict}", case.number);
        return verdict;
    }
    let ours = side(case, Tools::Ours);
    let verdict = judge::compare(case, &host, &ours);
    if verdict.is_empty() {
        return verdict;
    }
    // On a busy machine the oracle may stumble (lsns gives up when a process ends under its eyes).
    // Only where it contradicts itself does its second word count.
    let again = side(case, Tools::Host);
    if judge::same(case, &host, &again).is_empty() {
        verdict
    } else {
        judge::compare(case, &again, &ours)
    }
}

/// One half of a case, in a sandbox of its own.
fn side(case: &Case, tools: Tools) -> Seen {
    let t = Sandbox::new("parity");
    for (name, script) in TOOLS {
        if case.line.contains(&format!("{name} ")) {
            t.tool(name, script);
        }
    }
    // (what is `alone` dies with its PID namespace; its pids mean nothing out here)
    let targets = case.line.contains("target ") && !case.line.contains("alone ");
    let line = format!("{}{}", if targets { END_TARGETS } else { "" }, case.line);
    let mut cmd = t.cmd(&line);
    if matches!(tools, Tools::Host) {
        cmd = cmd.host();
    }
    if case.user {
        cmd = cmd.user(crate::kit::ORDINARY);
    }
    if let Some(text) = &case.stdin {
        cmd = cmd.stdin(text);
    }
    let ran = cmd.run();
    Seen::of(&ran, &t)
}

/// Ends what `target` started, and is gone itself when they are; the line's status stays.
const END_TARGETS: &str = r#"trap 's=$?; set -- $(cat "$HOME"/.target-*); kill -KILL "$@"
for p; do while grep -qs "^State:[^Z]*$" /proc/$p/status; do sleep 0.01; done; done; exit $s' EXIT
"#;

/// Words the cases share. They stand for neither side: what they call is the host's by path.
const TOOLS: [(&str, &str); 8] = [
    (
        "mkroot", // mkroot DIR: a small root, the shell form of `Sandbox::root`
        r#"#!/bin/sh
set -e
PATH=/usr/bin:/bin
mkdir -p "$1/bin" "$1/proc" "$1/tmp" "$1/etc" "$1/dev" "$1/sys"
cp "$(command -v busybox)" "$1/bin/busybox"
for applet in sh ls cat echo id grep pwd true false env readlink sleep wc mount test; do
  ln -s busybox "$1/bin/$applet"
done
"#,
    ),
    (
        "become", // become UID CMD...: as that uid and gid, without groups
        r#"#!/bin/sh
id=$1; shift
exec /usr/bin/setpriv --reuid="$id" --regid="$id" --clear-groups "$@"
"#,
    ),
    (
        "subids", // subids FIRST:COUNT CMD...: root and user 1000 own that range, for as long as CMD runs
        r#"#!/bin/sh
range=$1; shift
printf 'root:x:0:0::/:/bin/sh\nkit:x:1000:1000::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >passwd
printf 'root:x:0:\nkit:x:1000:\nnogroup:x:65534:\n' >group
printf 'root:%s\nkit:%s\n' "$range" "$range" >subids
exec /usr/bin/unshare -m sh -c '
  mount --bind passwd /etc/passwd && mount --bind group /etc/group &&
  mount --bind subids /etc/subuid && mount --bind subids /etc/subgid && exec "$@"' sh "$@"
"#,
    ),
    (
        "childof", // childof PID: its first child, as soon as there is one that has executed something else
        r#"#!/bin/sh
for i in $(seq 500); do
  child=$(cat "/proc/$1/task/$1/children") && child=${child%% *} && [ -n "$child" ] &&
    ! cmp -s "/proc/$1/cmdline" "/proc/$child/cmdline" && echo "$child" && exit
  sleep 0.01
done
echo "childof: $1 has no child" >&2; exit 1
"#,
    ),
    (
        "target", // target FLAGS...: a sleeper in namespaces of its own; prints its pid when it sleeps
        r#"#!/bin/sh
case " $* " in *" -"[a-zA-Z]*p*|*" -p"*) set -- -f "$@" ;; esac
/usr/bin/unshare "$@" sleep 100 >/dev/null 2>&1 &
top=$!
sleeper() {
  for pid in $top $(cat /proc/$top/task/$top/children); do
    read -r name <"/proc/$pid/comm" && [ "$name" = sleep ] && echo "$pid" && return
  done
}
for i in $(seq 500); do pid=$(sleeper) && [ -n "$pid" ] && break; sleep 0.01; done
own() { ! [ "/proc/self/ns/$1" -ef "/proc/$pid/ns/$1" ]; }
own user && user='-U --preserve-credentials'
own uts && /usr/bin/nsenter -t "$pid" $user -u hostname target-host
own mnt && /usr/bin/nsenter -t "$pid" $user -m mount -t tmpfs target /mnt
echo "$pid" | tee "$HOME/.target-$pid"
"#,
    ),
    (
        "alone", // alone LINE: in a PID namespace with its own /proc, where lsns finds nobody else
        r#"#!/bin/sh
exec /usr/bin/unshare -pf --kill-child --mount-proc sh -c "$1"
"#,
    ),
    (
        "lab", // lab LINE: where there are links, addresses, routes and named namespaces, the same at every run
        r#"#!/bin/sh
exec /usr/bin/unshare -mn sh -c '
mount -t tmpfs tmpfs /run
PATH=/usr/sbin:/usr/bin:/sbin:/bin
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
ip netns add blue; ip netns add red
ip -force -batch - <<END
link add br0 address 02:00:00:00:00:10 type bridge
link add v0 address 02:00:00:00:00:20 type veth peer name v1 address 02:00:00:00:00:21 netns blue
link add v2 address 02:00:00:00:00:22 type veth peer name v3 address 02:00:00:00:00:23
addr add 10.0.0.1/24 dev br0
link set br0 up
link set v2 master br0
link set v2 up
link set v3 up alias "hello x y"
link set v0 up group 5
addr add 10.9.0.1/24 dev v0
addr add fd00::1/64 dev v0 nodad
addr add 10.0.0.3 peer 10.0.0.4 dev v3 label v3:1
addr add 10.0.1.3/24 brd + dev v3 valid_lft 1000000 preferred_lft 0
addr add 127.7.7.7/8 dev lo
link property add dev v3 altname otherlongname1234567
tuntap add t0 mode tap user 1000 group 5 vnet_hdr
tuntap add t1 mode tun pi multi_queue
END
ip link set t0 address 02:00:00:00:00:30
ip -n blue -batch - <<END
link set v1 up
addr add 10.9.0.2/24 dev v1
END
for link in v0 v2 br0; do
  for i in $(seq 500); do ip link show $link | grep -q "state UP" && break; sleep 0.01; done
done
ip -force -batch - <<END
route add default via 10.9.0.2
route add 10.5.0.0/16 via 10.9.0.2 dev v0 metric 50 mtu 1400 src 10.9.0.1
route add blackhole 10.6.0.0/16
route add unreachable fd01::/64
route add 10.7.0.0/16 nexthop via 10.9.0.2 dev v0 weight 2 nexthop via 10.0.0.9 dev br0
route add 10.8.0.0/16 via inet6 fd00::7 dev v0 table 77
neigh replace 10.9.0.2 lladdr 02:00:00:00:00:77 dev v0
neigh add proxy 10.9.0.3 dev v0
END
PATH=$1; eval "$2"' lab "$PATH" "$1"
"#,
    ),
    (
        "gone", // gone PID: true as soon as it is
        r#"#!/bin/sh
for i in $(seq 300); do
  grep -qs '^State:[^Z]*$' "/proc/$1/status" || exit 0
  sleep 0.01
done
echo "gone: $1 is still there" >&2; exit 1
"#,
    ),
];

/// The runner judged by mutants: candidates that are wrong in one way each, and one that is right.
#[test]
fn runner_reports_wrong_candidates() {
    needs!(util_linux);
    const GOOD: &str = "unshare --no-such-option; echo $?";
    let cases = case::parse(&format!(
        "unshare --version >/dev/null && echo fine\n{GOOD}\nunshare /no/such/file\n"
    ))
    .unwrap();
    let mutants = [
        (0, "echo other >&2; exit 0", "stderr"),
        (0, "exit 1", "status"),
        (0, "exit 1", "stdout"),
        (1, "exit 1", "stderr"),
        (1, "echo 'unshared: unrecognized' >&2; exit 1", "stderr"),
        (1, "echo 'unshare: unrecognized' >&2; exit 2", "stdout"),
        (
            2,
            "echo 'unshare: no: Permission denied' >&2; exit 127",
            "stderr",
        ),
        (
            2,
            "echo 'unshare: no: No such file or directory' >&2; exit 126",
            "status",
        ),
    ];
    for (number, script, topic) in mutants {
        let verdict = with_candidate(&cases[number], script);
        assert!(
            verdict.mentions(topic),
            "{script:?} passed for `{}`:\n{verdict}",
            cases[number].line
        );
    }
    for case in &cases {
        let verdict = with_candidate(case, "PATH=/usr/bin:/bin exec unshare \"$@\"");
        assert!(
            verdict.is_empty(),
            "the host's own tool is reported:\n{verdict}"
        );
    }
}

/// A trial in which `unshare` is this script. It is a shell function: no file to write, none to race.
fn with_candidate(case: &Case, script: &str) -> Verdict {
    let body = format!("unshare() (\n{script}\n)\n{}", case.line);
    let candidate = Case {
        line: body,
        ..case.clone()
    };
    judge::compare(
        case,
        &side(case, Tools::Host),
        &side(&candidate, Tools::Host),
    )
}

/// `differs:` is held to its word too: the host must differ, and ours must be as it says.
#[test]
fn runner_holds_intended_differences_to_their_word() {
    needs!(util_linux);
    let line = "unshare --no-such-option 2>/dev/null; echo $?";
    let text = format!("differs: a test\nwant-out: 7\n{line}\n");
    let case = &case::parse(&text).unwrap()[0];
    assert!(with_candidate(case, "exit 7").is_empty());
    assert!(with_candidate(case, "exit 8").mentions("stdout"));
    let stale = &case::parse(&text.replace('7', "1")).unwrap()[0];
    assert!(with_candidate(stale, "exit 1").mentions("no longer differs"));
}
