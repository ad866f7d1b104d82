//! What more options of container run mean to a spec: mounts in memory, limits, settings, shared namespaces.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use argh::FromArgValue as _;
use isobox::error::{Error, Result};
use isobox::namespace::Kind;
use isobox::oci::spec::Rlimit;
use isobox::oci::{Mount, Spec};
use isobox::rlimit::Limit;

use super::kept::Shelf;
use super::values::{bind, bytes, pair};
use crate::cli::gnu;
use crate::cli::raw::Raw;

/// `--tmpfs DST[:OPTIONS]`
pub(super) fn tmpfs(text: &str) -> Result<Mount> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    if !Path::new(target).is_absolute() {
        return Err(Error::new("invalid tmpfs")
            .on(text)
            .because("DST[:OPTIONS] is expected, DST an absolute path"));
    }
    let words = ["nosuid", "nodev", "noexec"].into_iter();
    let words = words.chain(options.split(',').filter(|word| !word.is_empty()));
    Ok(Mount {
        destination: target.into(),
        kind: "tmpfs".into(),
        source: "tmpfs".into(),
        options: words.map(OsString::from).collect(),
        ..Mount::default()
    })
}

/// `--mount type=bind,source=SRC,target=DST[,readonly]`, `--mount type=tmpfs,target=DST[,tmpfs-size=SIZE]`
pub(super) fn mount(text: &str) -> Result<Mount> {
    let bad = |why: &'static str| Error::new("invalid mount").on(text).because(why);
    let (mut kind, mut source, mut target, mut options) = ("bind", "", "", Vec::new());
    for word in text.split(',') {
        match word.split_once('=').unwrap_or((word, "true")) {
            ("type", value) => kind = value,
            ("source" | "src", value) => source = value,
            ("target" | "destination" | "dst", value) => target = value,
            ("readonly" | "ro", "true" | "1") => options.push("ro".to_owned()),
            ("readonly" | "ro", "false" | "0") => {}
            ("tmpfs-size", value) => options.push(format!("size={value}")),
            ("tmpfs-mode", value) => options.push(format!("mode={value}")),
            _ => {
                return Err(bad(
                    "type, source, target, readonly, tmpfs-size and tmpfs-mode are the words there are",
                ));
            }
        }
    }
    if !Path::new(target).is_absolute() {
        return Err(bad("target= is expected, an absolute path"));
    }
    let options = options.join(",");
    match kind {
        "bind" => {
            let source = if source.is_empty() || source.contains('/') {
                source.into()
            } else {
                format!("./{source}")
            };
            let options = if options.is_empty() { "rw" } else { &options };
            bind(OsStr::new(&format!("{source}:{target}:{options}")))
        }
        "tmpfs" => tmpfs(&format!("{target}:{options}")),
        _ => Err(bad("bind and tmpfs are the types there are")),
    }
}

/// `--shm-size SIZE`
pub(super) fn shm_size(spec: &mut Spec, text: &str) -> Result<()> {
    let size = bytes(text).ok_or_else(|| Error::new("invalid size").on(text))?;
    for mount in &mut spec.mounts {
        if mount.destination == Path::new("/dev/shm") {
            mount
                .options
                .retain(|word| !word.to_string_lossy().starts_with("size="));
            mount.options.push(format!("size={size}").into());
        }
    }
    Ok(())
}

/// `--ulimit NAME=SOFT[:HARD]`
pub(super) fn ulimit(spec: &mut Spec, text: &str) -> Result<()> {
    let limit = Limit::parse(text)?;
    let kind = format!("RLIMIT_{}", limit.name());
    spec.process.rlimits.retain(|known| known.kind != kind);
    spec.process.rlimits.push(Rlimit {
        soft: limit.soft,
        hard: limit.hard,
        kind,
    });
    Ok(())
}

/// `--sysctl NAME=VALUE`
pub(super) fn sysctl(spec: &mut Spec, text: &Raw) -> Result<()> {
    let (name, value) = pair(text)?;
    spec.linux.sysctl.put(&name, value);
    Ok(())
}

/// The spec's namespace of this kind is the one at this path.
pub(super) fn join(spec: &mut Spec, kind: Kind, path: &Path) {
    for one in &mut spec.linux.namespaces {
        if one.kind() == Some(kind) {
            one.path = path.to_owned();
        }
    }
}

/// `--pid`, `--ipc`, `--uts`: whose namespace it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Share {
    /// Its own.
    Private,
    /// The machine's.
    Host,
    /// That of another container.
    Container(String),
}

impl argh::FromArgValue for Share {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        match (value, value.strip_prefix("container:")) {
            ("private", _) => Ok(Self::Private),
            ("host", _) => Ok(Self::Host),
            (_, Some(id)) => Ok(Self::Container(id.into())),
            _ => Err(gnu::bad(format!(
                "neither host, private nor container:ID: '{value}'"
            ))),
        }
    }
}

/// What was asked for of namespaces, a line for each: `KIND=host` ...
pub(super) fn share(spec: &mut Spec, words: &str) -> Result<()> {
    for line in words.lines() {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let kind = match name {
            "pid" => Kind::Pid,
            "ipc" => Kind::Ipc,
            _ => Kind::Uts,
        };
        let bad = |why| Error::new("cannot understand").on(name).because(why);
        match Share::from_arg_value(value).map_err(bad)? {
            Share::Private => continue,
            Share::Host => spec.share(kind),
            Share::Container(id) => join(spec, kind, &Shelf::ours().namespace_of(&id, kind)?),
        }
        if kind == Kind::Uts {
            // What would be its name is not.
            let own: OsString = ["HOSTNAME=".as_ref(), &*spec.hostname]
                .into_iter()
                .collect();
            spec.process.env.retain(|entry| *entry != own);
            spec.hostname.clear();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_as_docker_has_them() {
        let shown = |text: &str| {
            let mount = mount(text).ok()?;
            let options: Vec<_> = mount
                .options
                .iter()
                .map(|word| word.to_string_lossy())
                .collect();
            Some(format!(
                "{} {} {} {}",
                mount.kind.display(),
                mount.source.display(),
                mount.destination.display(),
                options.join(",")
            ))
        };
        let cases = [
            (
                "type=bind,src=/a,dst=/b,readonly",
                Some("none /a /b rbind,nodev,nosuid,rro"),
            ),
            ("source=/a,target=/b", Some("none /a /b rbind,nodev,nosuid")),
            (
                "type=tmpfs,target=/t,tmpfs-size=1m",
                Some("tmpfs tmpfs /t nosuid,nodev,noexec,size=1m"),
            ),
            ("type=volume,src=a,dst=/b", None),
            ("type=bind,src=/a,dst=b", None),
            ("type=bind,src=/a,dst=/b,z", None),
        ];
        for (text, want) in cases {
            assert_eq!(shown(text).as_deref(), want, "{text}");
        }
    }
}
