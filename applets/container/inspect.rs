//! container inspect: all that is known of containers and images, as JSON in docker's words; and templates over it.

use std::net::IpAddr;

use argh::{ArgsInfo, FromArgValue, FromArgs};
use isobox::error::{Error, Result};
use isobox::json::quote;
use isobox::net::lease::Network;
use isobox::oci::Spec;
use isobox::oci::home::Home;

use super::kept::{self, Now, Shelf, at_least_one, complain, date};
use super::{images, inspect_image, network};
use crate::cli::raw::Raw;
use crate::cli::table::Table;
use crate::cli::{Exit, gnu, help};

/// print all that is known of containers and images, as JSON
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "inspect",
    example = "container inspect -f '{{.State.Pid}}' web"
)]
pub(super) struct Inspect {
    /// a text with fields in it: {.State.Pid}, {json .Config}; or json
    #[argh(option, short = 'f', arg_name = "format")]
    format: Option<String>,
    /// container or image: which of the two is meant; without, a container where there is one of that name
    #[argh(option, arg_name = "kind")]
    r#type: Option<Kind>,
    /// the containers and images
    #[argh(positional)]
    name: Vec<Raw>,
}

/// What is inspected.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Container,
    Image,
}

impl FromArgValue for Kind {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        match value {
            "container" => Ok(Self::Container),
            "image" => Ok(Self::Image),
            _ => Err(gnu::bad(format!("neither container nor image: '{value}'"))),
        }
    }
}

/// What is known, as a tree.
pub(super) enum Tree {
    Text(String),
    /// A number, true or false.
    Word(String),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn word(word: impl Into<i64>) -> Self {
        Self::Word(word.into().to_string())
    }

    fn is(this: bool) -> Self {
        Self::Word(if this { "true" } else { "false" }.into())
    }

    pub(super) fn object(fields: Vec<(&str, Self)>) -> Self {
        let fields = fields.into_iter();
        Self::Object(fields.map(|(key, value)| (key.into(), value)).collect())
    }

    pub(super) fn texts<T: AsRef<std::ffi::OsStr>>(words: &[T]) -> Self {
        let text = |word: &T| Self::text(word.as_ref().to_string_lossy());
        Self::List(words.iter().map(text).collect())
    }

    /// As JSON; `depth` levels in, or all in one line.
    pub(super) fn json(&self, out: &mut String, depth: Option<usize>) {
        let (open, close, count) = match self {
            Self::Text(text) => return out.push_str(&quote(text)),
            Self::Word(word) => return out.push_str(word),
            Self::List(all) => ('[', ']', all.len()),
            Self::Object(all) => ('{', '}', all.len()),
        };
        let gap = |out: &mut String, more: usize| {
            if let Some(depth) = depth.filter(|_| count > 0) {
                out.push('\n');
                out.push_str(&"    ".repeat(depth + more));
            }
        };
        out.push(open);
        for at in 0..count {
            if at > 0 {
                out.push(',');
            }
            gap(out, 1);
            let value = match self {
                Self::Object(all) => {
                    let (key, value) = &all[at];
                    out.push_str(&quote(key));
                    out.push_str(if depth.is_some() { ": " } else { ":" });
                    value
                }
                Self::List(all) => &all[at],
                _ => return,
            };
            value.json(out, depth.map(|depth| depth + 1));
        }
        gap(out, 0);
        out.push(close);
    }

    fn field(&self, path: &str) -> Option<&Self> {
        path.split('.')
            .filter(|name| !name.is_empty())
            .try_fold(self, |tree, name| match tree {
                Self::Object(all) => {
                    let found = all.iter().find(|(key, _)| key == name);
                    found.map(|(_, value)| value)
                }
                _ => None,
            })
    }

    /// A text with fields in it: `{{.Name}}` and `{{json .Name}}` are what there is of Go's templates.
    pub(super) fn fill(&self, template: &str) -> Result<String> {
        let bad = |what: &str, why: &'static str| {
            Error::new("cannot understand the format")
                .on(what)
                .because(why)
        };
        let mut out = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            out.push_str(before);
            let (inside, behind) = after
                .split_once("}}")
                .ok_or_else(|| bad(template, "}} is missing"))?;
            rest = behind;
            let (name, json) = match inside.trim().strip_prefix("json ") {
                Some(name) => (name.trim(), true),
                None => (inside.trim(), false),
            };
            let path = name
                .strip_prefix('.')
                .ok_or_else(|| bad(name, "{{.NAME}} and {{json .NAME}} are what there is"))?;
            let value = self
                .field(path)
                .ok_or_else(|| bad(name, "there is no such field"))?;
            match value {
                Self::Text(text) if !json => out.push_str(text),
                other => other.json(&mut out, None),
            }
        }
        out.push_str(&rest.replace("\\n", "\n").replace("\\t", "\t"));
        Ok(out)
    }
}

/// Whether a list with this `--format` is one in columns.
pub(super) fn in_columns(format: Option<&str>) -> bool {
    matches!(format, None | Some("table"))
}

/// Prints a list as docker's `--format` has it: in columns under these headings, for which the first fields are; as an
/// object a line; or by a template.
pub(super) fn print(
    name: &'static str,
    headings: &[&'static str],
    rows: Vec<Vec<(&'static str, String)>>,
    format: Option<&str>,
) -> Result<Exit> {
    let Some(format) = format.filter(|_| !in_columns(format)) else {
        if rows.is_empty() {
            // docker's lists have their headings all the same.
            return help::print_all(&format!("{}\n", headings.join(" ")));
        }
        let mut table = Table::of_texts(name, headings);
        for row in rows {
            let cells = row.into_iter().take(headings.len());
            table.add(None, cells.map(|(_, text)| text.into()).collect());
        }
        return table.print();
    };
    let mut out = String::new();
    for row in rows {
        let fields = row.into_iter().map(|(key, text)| (key, Tree::text(text)));
        let tree = Tree::object(fields.collect());
        match format {
            "json" => tree.json(&mut out, None),
            template => out.push_str(&tree.fill(template)?),
        }
        out.push('\n');
    }
    help::print_all(&out)
}

impl Inspect {
    pub(super) fn run(self) -> Result<Exit> {
        at_least_one(&self.name)?;
        let shelf = Shelf::ours();
        let (mut all, mut errors) = (Vec::new(), Vec::new());
        for word in &self.name {
            match self.look(&shelf, word) {
                Ok(tree) => all.push(tree),
                Err(error) => errors.push(error),
            }
        }
        let mut out = String::new();
        match self.format.as_deref() {
            None => Tree::List(all).json(&mut out, Some(0)),
            Some("json") => Tree::List(all).json(&mut out, None),
            Some(template) => {
                for tree in &all {
                    out.push_str(&tree.fill(template)?);
                    out.push('\n');
                }
            }
        }
        if !out.ends_with('\n') {
            out.push('\n');
        }
        help::print_all(&out)?;
        // Behind what was found, as docker has it: on a terminal both are read together.
        errors.iter().for_each(complain);
        Ok(Exit::Status((!errors.is_empty()).into()))
    }

    fn look(&self, shelf: &Shelf, word: &Raw) -> Result<Tree> {
        let container = match self.r#type {
            Some(Kind::Image) => None,
            _ => Some(shelf.find(word)),
        };
        let nothing = match container {
            Some(Ok(home)) => return tree(shelf, &home),
            Some(Err(error)) if self.r#type.is_some() => return Err(error),
            Some(Err(error)) => error,
            None => Error::new(format!("no such image: {}", word.0.display())),
        };
        let image = match word.0.to_str() {
            Some(typed) => images::find(&images::local()?, typed)?,
            None => None,
        };
        image.map_or(Err(nothing), |(name, image)| {
            Ok(inspect_image::tree(&name, &image))
        })
    }
}

/// Its addresses at a bridge.
fn network_settings(home: &Home) -> Tree {
    let ports = home.fact("publish").lines().map(Tree::text).collect();
    let mut all = vec![("Ports", Tree::List(ports))];
    let lease = network::lease(kept::short(home));
    let families = [
        ("IPAddress", "IPPrefixLen", "Gateway"),
        ("GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPv6Gateway"),
    ];
    for (at, (address, length, gateway)) in families.into_iter().enumerate() {
        let one = lease.as_ref().and_then(|lease| {
            let of_family = |one: &&Network| one.address.address.is_ipv6() == (at == 1);
            lease.networks.iter().find(of_family)
        });
        let text =
            |of: Option<IpAddr>| Tree::text(of.map_or_else(String::new, |ip| ip.to_string()));
        all.push((address, text(one.map(|one| one.address.address))));
        all.push((length, Tree::word(one.map_or(0, |one| one.address.prefix))));
        all.push((gateway, text(one.map(|one| one.gateway.address))));
    }
    let bridge = lease.map_or_else(String::new, |lease| lease.bridge);
    all.push(("Bridge", Tree::text(bridge)));
    Tree::object(all)
}

fn state(home: &Home, now: &Now) -> Tree {
    let end = home.end();
    let (status, pid) = match now {
        Now::Created => (0, 0),
        Now::Live(_, pid) => (0, *pid),
        Now::Exited(status) => (*status, 0),
    };
    let word = now.word();
    let error = end.value("error").cloned().unwrap_or_default();
    Tree::object(vec![
        ("Status", Tree::text(word)),
        ("Running", Tree::is(pid > 0)),
        ("Paused", Tree::is(word == "paused")),
        ("OOMKilled", Tree::is(end.value("oom").is_some())),
        ("Pid", Tree::word(pid)),
        ("ExitCode", Tree::word(status)),
        ("Error", Tree::text(error)),
        ("StartedAt", Tree::text(date(end.value("started")))),
        ("FinishedAt", Tree::text(date(end.value("finished")))),
    ])
}

fn host_config(home: &Home, spec: &Spec) -> Tree {
    let network = Some(home.fact("network")).filter(|name| !name.is_empty());
    let memory = spec.linux.resources.memory.limit.unwrap_or(0);
    Tree::object(vec![
        ("NetworkMode", Tree::text(network.unwrap_or("private"))),
        ("AutoRemove", Tree::is(!home.fact("rm").is_empty())),
        ("ReadonlyRootfs", Tree::is(spec.root.readonly)),
        ("Memory", Tree::word(memory)),
        ("MaskedPaths", Tree::texts(&spec.linux.masked_paths)),
        ("ReadonlyPaths", Tree::texts(&spec.linux.readonly_paths)),
        (
            "LogConfig",
            Tree::object(vec![
                (
                    "Type",
                    Tree::text(if home.fact("log") == "0" {
                        "none"
                    } else {
                        "k8s-file"
                    }),
                ),
                ("MaxSize", Tree::text(home.fact("log"))),
            ]),
        ),
    ])
}

fn config(home: &Home, spec: &Spec) -> Tree {
    let process = &spec.process;
    let user = format!("{}:{}", process.user.uid, process.user.gid);
    let labels = labels(home)
        .map(|(key, value)| (key.to_owned(), Tree::text(value)))
        .collect();
    Tree::object(vec![
        ("Hostname", Tree::text(spec.hostname.to_string_lossy())),
        ("User", Tree::text(user)),
        ("Tty", Tree::is(process.terminal)),
        ("OpenStdin", Tree::is(!home.fact("input").is_empty())),
        ("Env", Tree::texts(&process.env)),
        ("Cmd", Tree::texts(&process.args)),
        ("Image", Tree::text(home.fact("image"))),
        ("WorkingDir", Tree::text(process.cwd.to_string_lossy())),
        ("Labels", Tree::Object(labels)),
        ("StopSignal", Tree::text(home.fact("stop-signal"))),
        ("StopTimeout", Tree::text(home.fact("stop-timeout"))),
    ])
}

/// What was noted of it.
pub(super) fn labels(home: &Home) -> impl Iterator<Item = (&str, &str)> {
    home.facts.iter().filter_map(|(key, value)| {
        let key = key.strip_prefix("label:")?;
        Some((key, value.trim_start_matches(' ')))
    })
}

/// Everything.
fn tree(shelf: &Shelf, home: &Home) -> Result<Tree> {
    let now = shelf.now(home)?;
    let spec = home.spec()?;
    let args = &spec.process.args;
    let mounts = spec.mounts.iter().map(|mount| {
        Tree::object(vec![
            ("Type", Tree::text(mount.kind.to_string_lossy())),
            ("Source", Tree::text(mount.source.to_string_lossy())),
            (
                "Destination",
                Tree::text(mount.destination.to_string_lossy()),
            ),
            ("Options", Tree::texts(&mount.options)),
        ])
    });
    let log = home.path().join("log");
    let created = Some(home.fact("created").to_owned());
    let name = ["/", home.fact("name")].concat();
    Ok(Tree::object(vec![
        ("Id", Tree::text(home.id().as_str())),
        ("Created", Tree::text(date(created.as_ref()))),
        (
            "Path",
            Tree::text(
                args.first()
                    .map_or_else(String::new, |word| word.to_string_lossy().into_owned()),
            ),
        ),
        ("Args", Tree::texts(args.get(1..).unwrap_or_default())),
        ("State", state(home, &now)),
        ("Image", Tree::text(home.fact("image"))),
        ("Name", Tree::text(name)),
        ("LogPath", Tree::text(log.to_string_lossy())),
        (
            "ConfigPath",
            Tree::text(home.path().join("config.json").to_string_lossy()),
        ),
        ("RootPath", Tree::text(spec.root.path.to_string_lossy())),
        ("HostConfig", host_config(home, &spec)),
        ("Mounts", Tree::List(mounts.collect())),
        ("Config", config(home, &spec)),
        ("NetworkSettings", network_settings(home)),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_name_fields() {
        let tree = Tree::object(vec![
            ("A", Tree::object(vec![("B", Tree::text("x\"y"))])),
            ("N", Tree::word(7)),
            ("Y", Tree::is(true)),
        ]);
        let cases = [
            ("plain", Some("plain")),
            ("{{.A.B}}-{{ .N }}{{.Y}}", Some("x\"y-7true")),
            ("{{json .A}}", Some("{\"B\":\"x\\\"y\"}")),
            ("{{.C}}", None),
            ("{{range .A}}", None),
            ("{{.A", None),
        ];
        for (template, want) in cases {
            assert_eq!(tree.fill(template).ok().as_deref(), want, "{template}");
        }
    }
}
