//! README.md says what is so: its tour is run line by line, and its table names every deliberate difference.

use crate::kit::Sandbox;

const README: &str = include_str!("../README.md");

/// What each line of the tour shows, in this order on standard output.
const SEEN: [&[&str]; 11] = [
    &[
        "ok    user namespace: can be made\n",
        "ok    net namespace: can be made",
    ],
    &["PID 1 on ", ", user 0\n"],
    &["I am 1, and these are all: /proc/1\n"],
    &["box\n", "lo:", " 0 "],
    &["box\n"],
    &["TYPE", "ipc ", " lsns --output"],
    &["NS TYPE", " pid ", "lsns -t pid"],
    &["CapEff:\t0000000000000000\n", "NoNewPrivs:\t1\n"],
    &[
        "unshare(CLONE_NEWUSER|",
        "why",
        "without",
        "see",
        "mount(\"proc\"",
        "execve(\"sh\"",
    ],
    &["unshare ", "--hostname", "box"],
    &["hello from box\n"],
];

/// What each line on limits shows.
#[cfg(feature = "oci")]
const LIMITS: [&[&str]; 4] = [
    &["in a group of its own"],
    &["memory.max=67108864  set by /", "pids.max=20  set by /"],
    &["memory.max 64M\n"],
    &["a container with limits\n"],
];

/// What each line on networks shows.
#[cfg(feature = "net")]
const NETWORKS: [&[&str]; 5] = [
    &["HOST", "host0", "10.0.0.1/24", "eth0", "10.0.0.2/24"],
    &["h0:"],
    &[
        "RTM_NEWLINK(type=bridge",
        "RTM_NEWLINK(type=veth",
        "inet isobox",
        "RTM_NEWROUTE",
    ],
    &[
        "there is no interface but lo",
        "try: veth",
        "10.9.0.1 answers",
    ],
    &[
        "ip_forward was 0 and is 1 now",
        "10.9.0.0/24 masquerade",
        "8080:10.9.0.2:80 published",
        "hook forward",
        "ip_forward is 0 again",
    ],
];

/// The lines of the block of shell below these words.
fn tour(words: &str) -> Vec<&'static str> {
    let (_, below) = README.split_once(words).unwrap();
    let (_, block) = below.split_once("```sh\n").unwrap();
    block.split_once("```").unwrap().0.lines().collect()
}

fn taken(t: &Sandbox, as_user: bool) {
    let lines = tour("\n## A tour\n");
    assert_eq!(lines.len(), SEEN.len());
    for (line, seen) in lines.into_iter().zip(SEEN) {
        let cmd = if as_user {
            t.user().cmd(line)
        } else {
            t.cmd(line)
        };
        let ran = cmd.env("TMPDIR", t.work()).run();
        ran.ok().err("").out_in_order(seen).untouched();
    }
}

#[test]
fn root_can_take_the_tour() {
    needs!(root);
    taken(&Sandbox::new("tour"), false);
}

#[test]
fn a_user_can_take_the_tour() {
    needs!(userns);
    taken(&Sandbox::new("tour"), true);
}

#[cfg(feature = "net")]
#[test]
fn the_words_on_networks_are_true() {
    needs!(userns);
    let t = Sandbox::new("tour");
    let lines = tour("\nNetworks from parts");
    assert_eq!(lines.len(), NETWORKS.len());
    for (line, seen) in lines.into_iter().zip(NETWORKS) {
        t.user()
            .run(line)
            .ok()
            .err("")
            .out_in_order(seen)
            .untouched();
    }
}

#[test]
fn every_deliberate_difference_is_in_the_table() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parity");
    let mut missing = Vec::new();
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        if path
            .extension()
            .is_none_or(|extension| extension != "cases")
        {
            continue;
        }
        let cases = std::fs::read_to_string(&path).unwrap();
        // What stands in brackets is for those who have the source.
        let reasons = cases
            .lines()
            .filter_map(|line| line.strip_prefix("differs: "))
            .map(|reason| reason.split(" (").next().unwrap_or(reason));
        // "the same ..." and "as above" lean on the case above; additions have rows of their own.
        for reason in reasons.filter(|reason| {
            !["the same", "as above", "addition"]
                .iter()
                .any(|start| reason.starts_with(start))
        }) {
            if !README.contains(reason) {
                missing.push(format!("{}: {reason}", path.file_name().unwrap().display()));
            }
        }
    }
    missing.sort();
    missing.dedup();
    assert!(
        missing.is_empty(),
        "not in README.md:\n{}",
        missing.join("\n")
    );
}

#[test]
fn what_is_named_is_there() {
    for (file, text) in [
        ("README.md", README),
        ("HACKING.md", include_str!("../HACKING.md")),
        ("CONTRIBUTING.md", include_str!("../CONTRIBUTING.md")),
    ] {
        let words = text.split(['`', '(', ')', ' ', '\n', '|']);
        for path in words.filter(|word| {
            ["src/", "applets/", "tests/", "lab/", "./"]
                .iter()
                .any(|room| word.starts_with(room))
                && !word.contains(['*', '<', '>'])
                && word.bytes().all(|b| !b.is_ascii_uppercase())
        }) {
            let path = path.trim_end_matches(['.', ',', ':']);
            let there = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
            assert!(there.exists(), "{file} names {path}");
        }
    }
}

#[cfg(feature = "oci")]
#[test]
fn limits_are_had_as_told() {
    needs!(
        root,
        controller("memory"),
        controller("pids"),
        controller("cpu")
    );
    let t = Sandbox::new("tour");
    let lines = tour("\nLimits, as root");
    assert_eq!(lines.len(), LIMITS.len());
    for (line, seen) in lines.into_iter().zip(LIMITS) {
        t.run(line).ok().out_in_order(seen);
    }
}
