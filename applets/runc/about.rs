//! runc spec, runc features, and what is not supported.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use argh::{ArgsInfo, FromArgs};
use isobox::capability::{Capability, Set};
use isobox::json::quote;
use isobox::mount;
use isobox::namespace::Kind;
use isobox::oci::memory_policy_words;
use isobox::oci::spec::{Namespace, Spec, VERSION};
use isobox::order;
use nix::unistd::{chdir, getegid, geteuid};

use super::exactly;
use super::words::{Answer, Failure};
use crate::cli::raw::Raw;
use crate::cli::{Exit, help};

/// write a config.json to begin with
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "spec")]
pub(super) struct WriteSpec {
    /// the directory to write it to; the current one without
    #[argh(option, short = 'b', arg_name = "dir")]
    bundle: Option<Raw>,
    /// for an ordinary user, with a user namespace
    #[argh(switch)]
    rootless: bool,
    /// none is taken
    #[argh(positional)]
    operands: Vec<Raw>,
}

impl WriteSpec {
    pub(super) fn run(self) -> Answer<Exit> {
        exactly("spec", &self.operands, 0)?;
        if let Some(Raw(dir)) = self.bundle.filter(|Raw(dir)| !dir.is_empty()) {
            let shown = dir.to_string_lossy().into_owned();
            let failed = |errno: nix::errno::Errno| {
                Failure::new(format!(
                    "chdir {shown}: {}",
                    errno.desc().to_ascii_lowercase()
                ))
            };
            chdir(Path::new(&dir)).map_err(failed)?;
        }
        let ids = self
            .rootless
            .then(|| (geteuid().as_raw(), getegid().as_raw()));
        let text = Spec::starter(ids).to_json()?;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open("config.json");
        let mut file = file.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Failure::new("File config.json exists. Remove it first"),
            _ => Failure::new(format!("open config.json: {error}")),
        })?;
        let written = file.write_all(with_tabs(&text).as_bytes());
        written.map_err(|error| Failure::new(format!("write config.json: {error}")))?;
        Ok(Exit::OK)
    }
}

/// Indented by tabs instead of four spaces.
fn with_tabs(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let depth = (line.len() - line.trim_start_matches(' ').len()) / 4;
        format!("{}{}", "\t".repeat(depth), line.trim_start_matches(' '))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// print what can be done with containers here, as JSON
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "features")]
pub(super) struct Features {
    /// none is taken
    #[argh(positional)]
    operands: Vec<Raw>,
}

impl Features {
    pub(super) fn run(self) -> Answer<Exit> {
        exactly("features", &self.operands, 0)?;
        Ok(help::print_all(&features())?)
    }
}

/// A value of JSON, to be laid out.
enum Json {
    Text(String),
    Bool(bool),
    List(Vec<String>),
    Object(Vec<(&'static str, Json)>),
}

impl Json {
    fn list<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> Self {
        let mut words: Vec<String> = words
            .into_iter()
            .map(|word| word.as_ref().to_owned())
            .collect();
        order::sort(&mut words);
        words.dedup();
        Self::List(words)
    }

    fn write(&self, out: &mut String, depth: usize) {
        let gap = "    ".repeat(depth);
        match self {
            Self::Text(text) => out.push_str(&quote(text)),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::List(words) => {
                let words: Vec<String> = words
                    .iter()
                    .map(|word| format!("\n{gap}    {}", quote(word)))
                    .collect();
                let _ = write!(out, "[{}\n{gap}]", words.join(","));
            }
            Self::Object(fields) => {
                out.push('{');
                for (at, (name, value)) in fields.iter().enumerate() {
                    let comma = if at == 0 { "" } else { "," };
                    let _ = write!(out, "{comma}\n{gap}    {}: ", quote(name));
                    value.write(out, depth + 1);
                }
                let _ = write!(out, "\n{gap}}}");
            }
        }
    }
}

/// What runc's `features` tells (features.md of the specification).
fn features() -> String {
    let text = |text: &str| Json::Text(text.into());
    let enabled = |on| Json::Object(vec![("enabled", Json::Bool(on))]);
    let caps = Set::all();
    let caps = caps
        .iter()
        .map(|cap: Capability| format!("CAP_{cap}").to_ascii_uppercase());
    let linux = Json::Object(vec![
        (
            "namespaces",
            Json::list(Kind::ALL.map(|kind| Namespace::new(kind).kind)),
        ),
        ("capabilities", Json::List(caps.collect())),
        (
            "cgroup",
            Json::Object(vec![
                ("v1", Json::Bool(true)),
                ("v2", Json::Bool(true)),
                ("systemd", Json::Bool(true)),
                ("systemdUser", Json::Bool(true)),
                ("rdma", Json::Bool(true)),
            ]),
        ),
        (
            "seccomp",
            Json::Object(vec![
                ("enabled", Json::Bool(true)),
                ("actions", Json::list(SECCOMP_ACTIONS)),
                ("operators", Json::list(SECCOMP_OPERATORS)),
                ("archs", Json::list(SECCOMP_ARCHS)),
                ("knownFlags", Json::list(SECCOMP_FLAGS)),
                ("supportedFlags", Json::list(SECCOMP_FLAGS)),
            ]),
        ),
        ("apparmor", enabled(true)),
        ("selinux", enabled(true)),
        ("intelRdt", enabled(false)),
        (
            "memoryPolicy",
            Json::Object(vec![
                ("modes", Json::list(memory_policy_words().0)),
                ("flags", Json::list(memory_policy_words().1)),
            ]),
        ),
        (
            "mountExtensions",
            Json::Object(vec![("idmap", enabled(true))]),
        ),
        ("netDevices", enabled(true)),
    ]);
    let ours = env!("CARGO_PKG_VERSION");
    let all = Json::Object(vec![
        ("ociVersionMin", text("1.0.0")),
        ("ociVersionMax", text(VERSION)),
        ("hooks", Json::List(HOOKS.map(String::from).into())),
        ("mountOptions", Json::list(mount::option_names())),
        ("linux", linux),
        (
            "annotations",
            Json::Object(vec![
                ("org.opencontainers.runc.checkpoint.enabled", text("false")),
                (
                    "org.opencontainers.runc.commit",
                    text(&format!("isobox {ours}")),
                ),
                (
                    "org.opencontainers.runc.version",
                    text(&super::dialect::runc_version()),
                ),
            ]),
        ),
    ]);
    let mut out = String::new();
    all.write(&mut out, 0);
    out.push('\n');
    out
}

const HOOKS: [&str; 6] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
];

const SECCOMP_ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

const SECCOMP_OPERATORS: [&str; 7] = [
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];

/// Those that a program on this machine can have.
const SECCOMP_ARCHS: [&str; 4] = [
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
];

const SECCOMP_FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// not supported
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "checkpoint")]
pub(super) struct Checkpoint {
    /// whatever it is
    #[argh(positional, greedy)]
    #[allow(dead_code, reason = "whatever is asked for, the answer is no")]
    words: Vec<Raw>,
}

/// not supported
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "restore")]
pub(super) struct Restore {
    /// whatever it is
    #[argh(positional, greedy)]
    #[allow(dead_code, reason = "whatever is asked for, the answer is no")]
    words: Vec<Raw>,
}

impl Checkpoint {
    pub(super) fn run(self) -> Answer<Exit> {
        not_supported("checkpoint")
    }
}

impl Restore {
    pub(super) fn run(self) -> Answer<Exit> {
        not_supported("restore")
    }
}

fn not_supported(verb: &str) -> Answer<Exit> {
    let mut failure = Failure::new(format!("{verb} is not supported"));
    failure.hint = Some("runc and crun can, with criu".into());
    Err(failure)
}
