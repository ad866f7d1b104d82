//! container edit: config.json from the shell.

#[path = "edit_fields.rs"]
mod fields;

use std::path::{Path, PathBuf};
use std::process::Command;

use argh::{ArgsInfo, FromArgs};
use isobox::cgroup::limits::Limits;
use isobox::error::{Doing, Error, Result};
use isobox::image::save;
use isobox::json::Value;
use isobox::oci::spec::load;
use isobox::oci::{Resources, Spec};

use fields::{Change, change, find, put};

use super::kept::Shelf;
use super::values::Truth;
use crate::cli::Exit;
use crate::cli::raw::Raw;

/// change the config.json of a bundle, or of a container that is kept
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "edit",
    example = "container edit --args 'sleep 300' --terminal=false --memory 50M",
    example = "container edit ./box --net /run/netns/blue --caps none --seccomp-errno mount,socket",
    example = "container edit ./box process.env+=PORT=80 'mounts[destination=/tmp].options+=noexec' hooks-",
    note = "KEY=VALUE sets a field, KEY+=VALUE puts a value at the end of a list, KEY- takes a field away. KEY is the names of fields joined by dots; [N] is the entry N of a list, counted from 0, [FIELD=TEXT] the one whose field has this text, which is made where there is none. VALUE is JSON, or else a text.",
    note = "Without a change, $EDITOR opens the file. It is only replaced by one that can be understood. A container that is kept has what was changed when it is started again."
)]
pub(super) struct Edit {
    /// the program and its arguments, separated by blanks; or a list in JSON
    #[argh(option, arg_name = "words")]
    args: Option<String>,
    /// give it a terminal, or none
    #[argh(option, arg_name = "[=true|false]")]
    terminal: Option<Truth>,
    /// set this variable
    #[argh(option, short = 'e', arg_name = "name=value")]
    env: Vec<String>,
    /// the directory it starts in
    #[argh(option, short = 'w', arg_name = "dir")]
    workdir: Option<String>,
    /// its host name
    #[argh(option, arg_name = "name")]
    hostname: Option<String>,
    /// its root directory
    #[argh(option, arg_name = "dir")]
    rootfs: Option<String>,
    /// make the root read-only, or not
    #[argh(option, arg_name = "[=true|false]")]
    read_only: Option<Truth>,
    /// the network namespace to join; new for one of its own, host for the machine's
    #[argh(option, arg_name = "path|new|host")]
    net: Option<String>,
    /// limit memory to this many bytes (100M)
    #[argh(option, short = 'm', arg_name = "size")]
    memory: Option<String>,
    /// limit CPU time to this many CPUs (1.5), or to a part of one (20%)
    #[argh(option, arg_name = "cpus")]
    cpus: Option<String>,
    /// how many processes and threads it may have
    #[argh(option, arg_name = "count")]
    pids: Option<String>,
    /// its capabilities, all of them: none, or names separated by commas
    #[argh(option, arg_name = "list")]
    caps: Option<String>,
    /// let these system calls fail with EPERM, and no others
    #[argh(option, arg_name = "list")]
    seccomp_errno: Option<String>,
    /// the bundle (the working directory) or container, and changes
    #[argh(positional, arg_name = "bundle|change")]
    words: Vec<Raw>,
}

impl Edit {
    /// Whether no option asks for a change; one may ask for what is so already.
    fn has_no_option(&self) -> bool {
        matches!(self, Self {
            args: None, terminal: None, workdir: None, hostname: None, rootfs: None, read_only: None, net: None,
            memory: None, cpus: None, pids: None, caps: None, seccomp_errno: None, env, words: _,
        } if env.is_empty())
    }

    pub(super) fn run(self) -> Result<Exit> {
        let mut words: Vec<String> = self
            .words
            .iter()
            .map(|Raw(word)| word.to_string_lossy().into_owned())
            .collect();
        let is_change =
            |word: &String| word.contains('=') || word.ends_with('-') && !Path::new(word).exists();
        let file = match words.first() {
            Some(word) if !is_change(word) => file(&words.remove(0))?,
            _ => PathBuf::from("config.json"),
        };
        let bytes = load(&file)?;
        let mut all = Value::parse(&bytes, &file.to_string_lossy())?;
        self.flags(&mut all)?;
        for word in &words {
            change(&mut all, word)?;
        }
        if words.is_empty() && self.has_no_option() {
            return by_editor(&file, &bytes);
        }
        let mut text = all.pretty()?;
        text.push('\n');
        keep(&file, text.as_bytes())
    }

    /// What has a flag of its own.
    fn flags(&self, all: &mut Value) -> Result<()> {
        let mut set = |key: &str, value: Value| put(all, key, Change::Set(value));
        if let Some(words) = &self.args {
            let list = match words.starts_with('[') {
                true => Value::parse(words.as_bytes(), "list")?,
                false => Value::texts(words.split_whitespace()),
            };
            set("process.args", list)?;
        }
        for (key, truth) in [
            ("process.terminal", &self.terminal),
            ("root.readonly", &self.read_only),
        ] {
            if let Some(truth) = truth {
                set(key, Value::Truth(truth.0))?;
            }
        }
        for (key, text) in [
            ("process.cwd", &self.workdir),
            ("hostname", &self.hostname),
            ("root.path", &self.rootfs),
        ] {
            if let Some(text) = text {
                set(key, Value::from(&**text))?;
            }
        }
        match self.net.as_deref() {
            None => {}
            Some("host") => put(all, "linux.namespaces[type=network]", Change::Away)?,
            Some("new") => {
                put(all, "linux.namespaces[type=network].path", Change::Away)?;
            }
            Some(path) => put(
                all,
                "linux.namespaces[type=network].path",
                Change::Set(path.into()),
            )?,
        }
        for entry in &self.env {
            let name = entry.split('=').next().unwrap_or_default();
            let env = find(all, "process.env")?;
            if let Value::List(list) = env {
                list.retain(|old| {
                    old.as_text().and_then(|old| old.split('=').next()) != Some(name)
                });
            }
            put(all, "process.env", Change::Add(Value::from(&**entry)))?;
        }
        self.limits(all)?;
        self.rights(all)
    }

    fn rights(&self, all: &mut Value) -> Result<()> {
        if let Some(list) = &self.caps {
            let names: Vec<String> = names(list)
                .filter(|name| *name != "none")
                .map(|name| {
                    let name = name.to_ascii_uppercase();
                    if name.starts_with("CAP_") {
                        name
                    } else {
                        format!("CAP_{name}")
                    }
                })
                .collect();
            for set in ["bounding", "effective", "permitted"] {
                put(
                    all,
                    &format!("process.capabilities.{set}"),
                    Change::Set(Value::texts(names.iter().map(String::as_str))),
                )?;
            }
            for set in ["inheritable", "ambient"] {
                put(all, &format!("process.capabilities.{set}"), Change::Away)?;
            }
        }
        if let Some(list) = &self.seccomp_errno {
            let rule = Value::object([
                ("names", Value::texts(names(list))),
                ("action", "SCMP_ACT_ERRNO".into()),
                ("errnoRet", Value::Number("1".into())),
            ]);
            let seccomp = Value::object([
                ("defaultAction", "SCMP_ACT_ALLOW".into()),
                ("syscalls", Value::List(vec![rule])),
            ]);
            put(all, "linux.seccomp", Change::Set(seccomp))?;
        }
        Ok(())
    }

    fn limits(&self, all: &mut Value) -> Result<()> {
        let limits = Limits {
            memory: self.memory.clone(),
            cpus: self.cpus.clone(),
            pids: self.pids.clone(),
            ..Limits::default()
        };
        let resources = Resources::of_settings(limits.settings([])?);
        let spec = Spec {
            linux: isobox::oci::Linux {
                resources,
                ..Default::default()
            },
            ..Spec::default()
        };
        let mut written = Value::parse(spec.to_json()?.as_bytes(), "limits")?;
        let new = find(&mut written, "linux.resources")?;
        // Words that every runtime has, on every machine.
        let unified = std::mem::take(find(new, "unified")?);
        put(new, "unified", Change::Away)?;
        let word = |name: &str| match &unified {
            Value::Object(words) => words.value(name).and_then(Value::as_text),
            _ => None,
        };
        let number = |text: &str| Value::Number(text.parse().unwrap_or(-1_i64).to_string());
        if let Some(count) = word("pids.max") {
            put(new, "pids.limit", Change::Set(number(count)))?;
        }
        if let Some((quota, period)) = word("cpu.max").and_then(|text| text.split_once(' ')) {
            put(new, "cpu.quota", Change::Set(number(quota)))?;
            put(new, "cpu.period", Change::Set(number(period)))?;
        }
        let new = std::mem::take(new);
        merge(find(all, "linux.resources")?, new);
        Ok(())
    }
}

fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ']).filter(|name| !name.is_empty())
}

/// Puts the fields of an object into another.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from.0 {
                if let Some(field) = into.entry(&key) {
                    merge(field, value);
                }
            }
        }
        // Nothing was said of it.
        (_, Value::Null) => {}
        (into, from) => *into = from,
    }
}

/// The config.json that is meant.
fn file(word: &str) -> Result<PathBuf> {
    let path = Path::new(word);
    if path.is_dir() {
        return Ok(path.join("config.json"));
    }
    if path.is_file() {
        return Ok(path.into());
    }
    let home = Shelf::ours()
        .find(&Raw(word.into()))
        .map_err(|_| Error::new("no such bundle and no such container:").on(word))?;
    Ok(home.path().join("config.json"))
}

/// Replaces the file, if what it is to be can be understood.
fn keep(file: &Path, text: &[u8]) -> Result<Exit> {
    Spec::parse(text).map_err(|error| error.hint("the file has been left as it was"))?;
    save::file(file, |out| {
        out.write_all(text).doing_to("cannot write", file)
    })?;
    Ok(Exit::OK)
}

/// Has it changed by hand.
fn by_editor(file: &Path, bytes: &[u8]) -> Result<Exit> {
    let named = ["VISUAL", "EDITOR"].into_iter().find_map(std::env::var_os);
    let editor = named.unwrap_or_else(|| "vi".into());
    let copy = file.with_file_name(format!(".config.json.{}", std::process::id()));
    let edited = || -> Result<Vec<u8>> {
        std::fs::write(&copy, bytes).doing_to("cannot write", &copy)?;
        // As a shell would: it may come with options.
        let status = Command::new("/bin/sh")
            .args([
                "-c".as_ref(),
                "exec $0 \"$1\"".as_ref(),
                editor.as_os_str(),
                copy.as_os_str(),
            ])
            .status()
            .doing_to("cannot start the editor", &editor)?;
        match status.success() {
            true => load(&copy),
            false => Err(Error::new("the editor failed:")
                .on(&editor)
                .because("the file has been left as it was")),
        }
    };
    let text = edited();
    let _ = std::fs::remove_file(&copy);
    keep(file, &text?)
}
