//! registries.conf (containers-registries.conf(5), version 2): what short names mean, where registries really are, which
//! are insecure and which are not to be used.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::reference::{DOCKER_HUB, Reference, Typed};
use super::registry::Safety;
use super::toml::{Table, Value};
use crate::error::{Doing, Error, Result};
use crate::order;

/// The settings of all files together.
#[derive(Default)]
pub struct RegistriesConf {
    searched: Vec<String>,
    registries: Vec<Entry>,
    aliases: BTreeMap<String, String>,
    /// `enforcing`, `permissive` or `disabled`.
    mode: String,
}

/// A `[[registry]]`.
#[derive(Clone)]
struct Entry {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirrors: Vec<Mirror>,
    file: PathBuf,
}

#[derive(Clone)]
struct Mirror {
    location: String,
    insecure: bool,
    for_digests: bool,
    for_tags: bool,
}

/// Where an image can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `host[:port]`.
    pub host: String,
    /// The repository there.
    pub repository: String,
    /// Whether it was called insecure.
    pub safety: Safety,
    /// Whether it is a mirror of the registry that the name says.
    pub mirror: bool,
}

impl RegistriesConf {
    /// Reads the files in this order; later ones add to and replace what earlier ones say. One that is not there says nothing.
    ///
    /// # Errors
    /// For a file that cannot be read or is not in this format.
    pub fn read(files: &[PathBuf]) -> Result<Self> {
        let mut conf = Self::default();
        for path in files {
            match fs::read_to_string(path) {
                Ok(text) => conf
                    .add(&text, path)
                    .map_err(|e| Error::new("cannot use").on(path).because(e.to_string()))?,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e).doing_to("cannot read", path),
            }
        }
        // The longest prefix comes first.
        order::sort_by_key(&mut conf.registries, |entry| {
            std::cmp::Reverse(entry.prefix.len())
        });
        Ok(conf)
    }

    fn add(&mut self, text: &str, path: &Path) -> Result<()> {
        let table = super::toml::parse(text)?;
        if table.contains_key("registries") {
            return Err(Error::new(
                "version 1 of the format ([registries.search]) is not supported",
            ));
        }
        if let Some(list) = table.get("unqualified-search-registries") {
            self.searched = strings(list)?;
        }
        if let Some(mode) = table.get("short-name-mode") {
            self.mode = mode.string()?.to_owned();
        }
        for (name, value) in table
            .get("aliases")
            .map_or(Ok(&Table::new()), Value::table)?
        {
            match value.string()? {
                "" => self.aliases.remove(name),
                full => self.aliases.insert(name.clone(), full.to_owned()),
            };
        }
        for entry in table.get("registry").map_or(Ok(&[][..]), Value::list)? {
            let entry = Entry::read(entry.table()?, path)?;
            self.registries.retain(|old| old.prefix != entry.prefix);
            self.registries.push(entry);
        }
        Ok(())
    }

    /// The images that a name as typed may mean, in the order in which they are tried.
    ///
    /// # Errors
    /// Where a short name may mean several, and the settings want a person to choose.
    pub fn candidates(&self, typed: &Typed) -> Result<Vec<Reference>> {
        let Some(short) = &typed.short else {
            return Ok(vec![typed.reference.clone()]);
        };
        let renamed = |name: String| -> Result<Reference> {
            let full: Reference = name.parse()?;
            Ok(Reference {
                tag: typed.reference.tag.clone(),
                digest: typed.reference.digest,
                ..full
            })
        };
        if let Some(full) = self.aliases.get(short) {
            return Ok(vec![renamed(full.clone())?]);
        }
        let [_, _, ..] = self.searched[..] else {
            // Docker Hub, unless one other is named.
            let registry = self.searched.first().map_or(DOCKER_HUB, String::as_str);
            return Ok(vec![renamed(format!("{registry}/{short}"))?]);
        };
        if self.mode == "enforcing" {
            let names: Vec<String> = self
                .searched
                .iter()
                .map(|registry| format!("{registry}/{short}"))
                .collect();
            return Err(
                Error::new(format!("the short name '{short}' may mean several images"))
                    .because("registries.conf says short-name-mode = \"enforcing\"")
                    .hint(format!("say which: {}", names.join(" or "))),
            );
        }
        self.searched
            .iter()
            .map(|registry| renamed(format!("{registry}/{short}")))
            .collect()
    }

    /// Where an image can be had: its mirrors, then its registry.
    ///
    /// # Errors
    /// Where it is blocked.
    pub fn places(&self, reference: &Reference) -> Result<Vec<Place>> {
        let name = reference.name();
        let found = self
            .registries
            .iter()
            .find_map(|entry| Some((entry, entry.rest(&name)?)));
        let Some((entry, rest)) = found else {
            return Ok(vec![Place {
                host: reference.registry.clone(),
                repository: reference.repository.clone(),
                safety: Safety::Verified,
                mirror: false,
            }]);
        };
        if entry.blocked {
            return Err(Error::new(format!("registry {} is blocked", entry.prefix))
                .because(format!("{} says so", entry.file.display())));
        }
        let by_digest = reference.digest.is_some();
        let mirrors = entry.mirrors.iter().filter(|mirror| {
            if by_digest {
                mirror.for_digests
            } else {
                mirror.for_tags
            }
        });
        let mut places = Vec::new();
        for mirror in mirrors {
            places.push(place(&mirror.location, rest, mirror.insecure, true)?);
        }
        let own = if entry.location.is_empty() {
            place(&name, "", entry.insecure, false)?
        } else {
            place(&entry.location, rest, entry.insecure, false)?
        };
        places.push(own);
        Ok(places)
    }

    /// Whether a registry was called insecure: for `login`, which names no repository.
    pub fn is_insecure(&self, registry: &str) -> bool {
        self.registries
            .iter()
            .any(|entry| entry.insecure && entry.rest(registry).is_some())
    }
}

/// Splits `location` and `rest` into host and repository.
fn place(location: &str, rest: &str, insecure: bool, mirror: bool) -> Result<Place> {
    let full = format!("{}{rest}", location.trim_end_matches('/'));
    let (host, repository) = full.split_once('/').ok_or_else(|| {
        Error::new("a location in registries.conf names no repository:").on(&full)
    })?;
    Ok(Place {
        host: host.to_ascii_lowercase(),
        repository: repository.to_owned(),
        safety: if insecure {
            Safety::Insecure
        } else {
            Safety::Verified
        },
        mirror,
    })
}

impl Entry {
    fn read(table: &Table, path: &Path) -> Result<Self> {
        let text = |key: &str| {
            table
                .get(key)
                .map_or(Ok(""), Value::string)
                .map(|text| text.trim_end_matches('/').to_owned())
        };
        let location = text("location")?;
        let prefix = match text("prefix")? {
            prefix if prefix.is_empty() => location.clone(),
            prefix => prefix,
        };
        if prefix.is_empty() {
            return Err(Error::new("a [[registry]] has neither prefix nor location"));
        }
        let digests_only = flag(table, "mirror-by-digest-only")?;
        let mut mirrors = Vec::new();
        for mirror in table.get("mirror").map_or(Ok(&[][..]), Value::list)? {
            mirrors.push(Mirror::read(mirror.table()?, digests_only)?);
        }
        Ok(Self {
            prefix,
            location,
            insecure: flag(table, "insecure")?,
            blocked: flag(table, "blocked")?,
            mirrors,
            file: path.to_owned(),
        })
    }

    /// What of a name stands behind the prefix, if it has it: up to the end of a component. `*.example.com` stands for the
    /// hosts below it.
    fn rest<'n>(&self, name: &'n str) -> Option<&'n str> {
        if let Some(domain) = self.prefix.strip_prefix("*.") {
            let host = name.split('/').next()?;
            let bare = host.split(':').next()?;
            let below = bare.strip_suffix(domain)?.strip_suffix('.')?;
            return (!below.is_empty())
                .then(|| name.get(host.len()..))
                .flatten();
        }
        let rest = name.strip_prefix(self.prefix.as_str())?;
        (rest.is_empty() || rest.starts_with(['/', ':', '@'])).then_some(rest)
    }
}

impl Mirror {
    fn read(table: &Table, digests_only: bool) -> Result<Self> {
        let location = table
            .get("location")
            .ok_or_else(|| Error::new("a mirror has no location"))?
            .string()?;
        let when = table
            .get("pull-from-mirror")
            .map_or(Ok("all"), Value::string)?;
        let (for_digests, for_tags) = match when {
            "all" | "" => (true, !digests_only),
            "digest-only" => (true, false),
            "tag-only" => (false, true),
            other => return Err(Error::new(format!("pull-from-mirror cannot be '{other}'"))),
        };
        Ok(Self {
            location: location.to_owned(),
            insecure: flag(table, "insecure")?,
            for_digests,
            for_tags,
        })
    }
}

fn flag(table: &Table, key: &str) -> Result<bool> {
    table.get(key).map_or(Ok(false), Value::boolean)
}

fn strings(value: &Value) -> Result<Vec<String>> {
    value
        .list()?
        .iter()
        .map(|one| one.string().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(text: &str) -> RegistriesConf {
        let mut conf = RegistriesConf::default();
        conf.add(text, Path::new("/etc/x.conf")).unwrap();
        order::sort_by_key(&mut conf.registries, |entry| {
            std::cmp::Reverse(entry.prefix.len())
        });
        conf
    }

    fn places(conf: &RegistriesConf, name: &str) -> Vec<String> {
        let places = conf.places(&name.parse().unwrap());
        places.map_or_else(
            |e| vec![e.to_string()],
            |places| {
                places
                    .iter()
                    .map(|p| {
                        format!(
                            "{}/{}{}",
                            p.host,
                            p.repository,
                            if p.safety == Safety::Insecure {
                                "!"
                            } else {
                                ""
                            }
                        )
                    })
                    .collect()
            },
        )
    }

    #[test]
    fn short_names_mean_what_the_file_says() {
        let names = |text: &str, name: &str| -> Vec<String> {
            let found = conf(text).candidates(&Typed::parse(name).unwrap());
            found.map_or_else(
                |e| vec![e.to_string()],
                |all| all.iter().map(ToString::to_string).collect(),
            )
        };
        assert_eq!(names("", "alpine"), ["docker.io/library/alpine:latest"]);
        assert_eq!(
            names("unqualified-search-registries = ['quay.io']", "a/b:1"),
            ["quay.io/a/b:1"]
        );
        let two = "unqualified-search-registries = [\"quay.io\", \"docker.io\"]\n";
        assert_eq!(
            names(two, "x"),
            ["quay.io/x:latest", "docker.io/library/x:latest"]
        );
        let strict = format!(
            "{two}short-name-mode = \"enforcing\"\n[aliases]\n\"alpine\" = \"docker.io/library/alpine\"\n"
        );
        assert_eq!(names(&strict, "alpine:3"), ["docker.io/library/alpine:3"]);
        assert!(names(&strict, "x")[0].contains("several images"));
        assert_eq!(
            names(&strict, "docker.io/x"),
            ["docker.io/library/x:latest"]
        );
    }

    #[test]
    fn registries_move_and_mirror() {
        let conf = conf(
            r#"
            [[registry]]
            prefix = "docker.io"
            location = "registry-1.docker.io"
            [[registry.mirror]]
            location = "127.0.0.1:5000/hub"
            insecure = true
            [[registry.mirror]]
            location = "mirror.example"
            pull-from-mirror = "digest-only"

            [[registry]]
            prefix = "docker.io/library"
            location = "internal.example/lib"
            [[registry]]
            location = "bad.example"
            blocked = true
            [[registry]]
            prefix = "*.corp"
            insecure = true
        "#,
        );
        assert_eq!(
            places(&conf, "docker.io/a/b"),
            ["127.0.0.1:5000/hub/a/b!", "registry-1.docker.io/a/b"]
        );
        let digest = format!("docker.io/a/b@sha256:{}", "0".repeat(64));
        assert_eq!(places(&conf, &digest).len(), 3);
        assert_eq!(places(&conf, "alpine"), ["internal.example/lib/alpine"]);
        assert_eq!(
            places(&conf, "docker.io/libraryx/y"),
            [
                "127.0.0.1:5000/hub/libraryx/y!",
                "registry-1.docker.io/libraryx/y"
            ]
        );
        assert!(places(&conf, "bad.example/x")[0].contains("blocked"));
        assert_eq!(places(&conf, "bad.example.org/x"), ["bad.example.org/x"]);
        assert_eq!(places(&conf, "a.corp:5000/x"), ["a.corp:5000/x!"]);
        assert_eq!(places(&conf, "corp.x/x"), ["corp.x/x"]);
        assert!(conf.is_insecure("a.corp") && !conf.is_insecure("docker.io"));
    }
}
