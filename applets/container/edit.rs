//! container edit: config.json from the shell.

use std::path::{Path, PathBuf};
use std::process::Command;

use argh::{ArgsInfo, FromArgs};
use isobox::cgroup::limits::Limits;
use isobox::error::{Doing, Error, Result};
use isobox::image::save;
use isobox::oci::spec::load;
use isobox::oci::{Resources, Spec};
use serde_json::{Map, Value, json};

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
        let mut all: Value = serde_json::from_slice(&bytes).map_err(|error| {
            Error::new("cannot understand")
                .on(&file)
                .because(error.to_string())
        })?;
        let before = all.clone();
        self.flags(&mut all)?;
        for word in &words {
            change(&mut all, word)?;
        }
        if all == before && words.is_empty() {
            return by_editor(&file, &bytes);
        }
        let mut text = serde_json::to_vec_pretty(&all)
            .map_err(std::io::Error::from)
            .doing_to("cannot write", &file)?;
        text.push(b'\n');
        keep(&file, &text)
    }

    /// What has a flag of its own.
    fn flags(&self, all: &mut Value) -> Result<()> {
        let mut set = |key: &str, value: Value| put(all, key, Change::Set(value));
        if let Some(words) = &self.args {
            let list = match words.starts_with('[') {
                true => serde_json::from_str(words)
                    .map_err(|_| Error::new("no list in JSON:").on(words))?,
                false => json!(words.split_whitespace().collect::<Vec<_>>()),
            };
            set("process.args", list)?;
        }
        for (key, truth) in [
            ("process.terminal", &self.terminal),
            ("root.readonly", &self.read_only),
        ] {
            if let Some(truth) = truth {
                set(key, Value::Bool(truth.0))?;
            }
        }
        for (key, text) in [
            ("process.cwd", &self.workdir),
            ("hostname", &self.hostname),
            ("root.path", &self.rootfs),
        ] {
            if let Some(text) = text {
                set(key, json!(text))?;
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
                Change::Set(json!(path)),
            )?,
        }
        for entry in &self.env {
            let name = entry.split('=').next().unwrap_or_default();
            let env = find(all, "process.env")?;
            if let Value::Array(list) = env {
                list.retain(|old| old.as_str().and_then(|old| old.split('=').next()) != Some(name));
            }
            put(all, "process.env", Change::Add(json!(entry)))?;
        }
        self.limits(all)?;
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
                    Change::Set(json!(names)),
                )?;
            }
            for set in ["inheritable", "ambient"] {
                put(all, &format!("process.capabilities.{set}"), Change::Away)?;
            }
        }
        if let Some(list) = &self.seccomp_errno {
            let names: Vec<&str> = names(list).collect();
            let rule = json!({"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": 1});
            let seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
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
        let written: Value = serde_json::from_str(&spec.to_json()?)
            .map_err(std::io::Error::from)
            .doing("cannot write limits")?;
        let Some(mut new) = written.pointer("/linux/resources").cloned() else {
            return Ok(());
        };
        // Words that every runtime has, on every machine.
        let mut unified = new.as_object_mut().and_then(|new| new.remove("unified"));
        let mut take = |name: &str| {
            let word = unified.as_mut()?.as_object_mut()?.remove(name)?;
            Some(word.as_str()?.to_owned())
        };
        let number = |text: &str| json!(text.parse::<i64>().unwrap_or(-1));
        if let Some(count) = take("pids.max") {
            new["pids"]["limit"] = number(&count);
        }
        if let Some((quota, period)) = take("cpu.max")
            .as_deref()
            .and_then(|text| text.split_once(' '))
        {
            new["cpu"] = json!({"quota": number(quota), "period": number(period)});
        }
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
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
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

/// What is done to a field.
enum Change {
    Set(Value),
    Add(Value),
    Away,
}

/// Follows a change as it was typed.
fn change(all: &mut Value, word: &str) -> Result<()> {
    let json = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| json!(text));
    // An equals sign in brackets belongs to the key.
    let mut depth = 0;
    let at = word.char_indices().find_map(|(at, c)| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        (c == '=' && depth == 0).then_some(at)
    });
    let Some(at) = at else {
        let key = word.strip_suffix('-');
        let key = key.ok_or_else(|| {
            Error::new("no change:")
                .on(word)
                .because("KEY=VALUE, KEY+=VALUE or KEY- is expected")
        })?;
        return put(all, key, Change::Away);
    };
    let (key, value) = (
        word.get(..at).unwrap_or_default(),
        word.get(at + 1..).unwrap_or_default(),
    );
    match key.strip_suffix('+') {
        Some(key) => put(all, key, Change::Add(json(value))),
        None => put(all, key, Change::Set(json(value))),
    }
}

/// The parts of a key: names, and what stands in brackets.
fn parts(key: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = key;
    while !rest.is_empty() {
        let inside = rest.starts_with('[');
        let end = match inside {
            true => rest.find(']').map_or(rest.len(), |at| at + 1),
            false => rest.find(['.', '[']).unwrap_or(rest.len()),
        };
        let (part, behind) = rest.split_at(end);
        parts.push(part);
        rest = behind.strip_prefix('.').unwrap_or(behind);
    }
    parts
}

/// The field of this key, made where there is none.
fn find<'v>(all: &'v mut Value, key: &str) -> Result<&'v mut Value> {
    let bad = |why: &'static str| Error::new("no such field:").on(key).because(why);
    let mut here = all;
    for part in parts(key) {
        let entry = part
            .strip_prefix('[')
            .and_then(|part| part.strip_suffix(']'));
        here = match (entry, here) {
            (None, Value::Object(fields)) => fields.entry(part).or_insert(Value::Null),
            (None, empty @ Value::Null) => {
                *empty = Value::Object(Map::new());
                let fields = empty
                    .as_object_mut()
                    .ok_or_else(|| bad("it is in no object"))?;
                fields.entry(part).or_insert(Value::Null)
            }
            (Some(entry), list) => {
                if list.is_null() {
                    *list = json!([]);
                }
                let list = list
                    .as_array_mut()
                    .ok_or_else(|| bad("what is before the bracket is no list"))?;
                let at = index(list, entry).ok_or_else(|| bad("there is no such entry"))?;
                list.get_mut(at)
                    .ok_or_else(|| bad("there is no such entry"))?
            }
            (None, _) => return Err(bad("what is before it is no object")),
        };
    }
    Ok(here)
}

/// Which entry is meant; one that is chosen by a field is made where there is none.
fn index(list: &mut Vec<Value>, entry: &str) -> Option<usize> {
    let Some((field, text)) = entry.split_once('=') else {
        return entry.parse().ok();
    };
    let fits = |one: &Value| one.get(field).and_then(Value::as_str) == Some(text);
    if let Some(at) = list.iter().position(fits) {
        return Some(at);
    }
    list.push(json!({field: text}));
    Some(list.len() - 1)
}

fn put(all: &mut Value, key: &str, change: Change) -> Result<()> {
    let bad = |why: &'static str| Error::new("cannot change").on(key).because(why);
    match change {
        Change::Set(value) => *find(all, key)? = value,
        Change::Add(value) => {
            let list = find(all, key)?;
            if list.is_null() {
                *list = json!([]);
            }
            list.as_array_mut()
                .ok_or_else(|| bad("it is no list"))?
                .push(value);
        }
        Change::Away => {
            let mut parts = parts(key);
            let last = parts.pop().ok_or_else(|| bad("it names no field"))?;
            let above = key.strip_suffix(last).unwrap_or_default();
            let above = find(all, above.strip_suffix('.').unwrap_or(above))?;
            let entry = last
                .strip_prefix('[')
                .and_then(|part| part.strip_suffix(']'));
            match (entry, above) {
                (Some(entry), Value::Array(list)) => {
                    if let Some(at) = index(list, entry).filter(|at| *at < list.len()) {
                        list.remove(at);
                    }
                }
                (None, Value::Object(fields)) => drop(fields.remove(last)),
                (_, Value::Null) => {}
                _ => return Err(bad("there is no such field")),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_made_where_they_are_meant() {
        let cases = [
            ("a=1", json!({"a": 1, "l": [1, 2], "n": [{"type": "x"}]})),
            (
                "a.b.c=text",
                json!({"a": {"b": {"c": "text"}}, "l": [1, 2], "n": [{"type": "x"}]}),
            ),
            ("l+=\"3\"", json!({"l": [1, 2, "3"], "n": [{"type": "x"}]})),
            ("l[0]-", json!({"l": [2], "n": [{"type": "x"}]})),
            ("l-", json!({"n": [{"type": "x"}]})),
            (
                "n[type=x].path=/p=q",
                json!({"l": [1, 2], "n": [{"type": "x", "path": "/p=q"}]}),
            ),
            (
                "n[type=y].path=/p",
                json!({"l": [1, 2], "n": [{"type": "x"}, {"type": "y", "path": "/p"}]}),
            ),
            ("n[type=x]-", json!({"l": [1, 2], "n": []})),
            (
                "new+=1",
                json!({"l": [1, 2], "n": [{"type": "x"}], "new": [1]}),
            ),
        ];
        for (word, want) in cases {
            let mut all = json!({"l": [1, 2], "n": [{"type": "x"}]});
            change(&mut all, word).unwrap();
            assert_eq!(all, want, "{word}");
        }
        for word in ["a", "l.x=1", "n[5].x=1", "l[x]=1", "n[type=x].type.y=1"] {
            let mut all = json!({"l": [1, 2], "n": [{"type": "x"}]});
            assert!(change(&mut all, word).is_err(), "{word}");
        }
    }
}
