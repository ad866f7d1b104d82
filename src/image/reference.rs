//! Names of images: `[registry[:port]/]repository[:tag][@digest]`, as docker and podman read them.
//!
//! The grammar is that of distribution's reference package. A first component is a registry if it has a dot, a colon or
//! a capital, or is `localhost`; everything else is a short name, which registries.conf may explain and which otherwise
//! is one of Docker Hub, where names of one component belong to `library`.

use std::fmt;
use std::str::FromStr;

use super::digest::Digest;
use crate::error::{Error, Result};

/// Docker Hub, in names.
pub const DOCKER_HUB: &str = "docker.io";
/// The longest name that is looked at.
const LONGEST: usize = 1024;
/// The longest repository (distribution's limit).
const LONGEST_REPOSITORY: usize = 255;

/// The name of an image, complete: `docker.io/library/alpine:latest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Host and port of the registry, in lower case; `docker.io` for Docker Hub.
    pub registry: String,
    /// The repository.
    pub repository: String,
    /// The tag, where one was named.
    pub tag: Option<String>,
    /// The digest, where one was named. It says which image is meant, whatever the tag says.
    pub digest: Option<Digest>,
}

/// A name as it was typed, before anybody has said where short names are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    /// What it means on Docker Hub's terms.
    pub reference: Reference,
    /// The repository as typed, where no registry was named.
    pub short: Option<String>,
}

impl Typed {
    /// Reads a name. `docker://NAME` is the same, and the address of a manifest
    /// (`https://HOST/v2/REPOSITORY/manifests/TAG`) names it too.
    ///
    /// # Errors
    /// In docker's words.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > LONGEST {
            return Err(invalid("it is too long"));
        }
        if let Some(name) = text.strip_prefix("docker://") {
            return Self::parse(name);
        }
        if let Some(name) = of_address(text)? {
            return Self::parse(&name);
        }
        if text.len() == 64
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            return Err(Error::new(format!("invalid repository name ({text})"))
                .because("cannot specify 64-byte hexadecimal strings"));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse::<Digest>()?)),
            None => (text, None),
        };
        let (domain, rest) = split_domain(name);
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        check_path(path)?;
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(invalid(&format!("'{}' is no tag", excerpt(tag))));
        }
        let registry = domain.map_or(Ok(DOCKER_HUB.into()), registry_of)?;
        let repository = if registry == DOCKER_HUB && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if repository.len() > LONGEST_REPOSITORY {
            return Err(Error::new(
                "repository name must not be more than 255 characters",
            ));
        }
        let reference = Reference {
            registry,
            repository,
            tag: tag.map(str::to_owned),
            digest,
        };
        let short = domain.is_none().then(|| path.to_owned());
        Ok(Self { reference, short })
    }
}

impl FromStr for Reference {
    type Err = Error;

    /// Reads a name; a short one is one of Docker Hub.
    fn from_str(text: &str) -> Result<Self> {
        Typed::parse(text).map(|typed| typed.reference)
    }
}

impl Reference {
    /// `registry/repository`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// What a registry is asked for: the digest, or else the tag, or else `latest`.
    pub fn version(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".into(),
        }
    }

    /// The name with a tag and without a digest: what docker calls a loaded image. A name that was given by digest alone has
    /// none.
    pub fn tagged(&self) -> Option<String> {
        let tag = match (&self.tag, &self.digest) {
            (Some(tag), _) => tag.as_str(),
            (None, None) => "latest",
            (None, Some(_)) => return None,
        };
        Some(format!("{}:{tag}", self.name()))
    }

    /// The same repository, by this digest.
    #[must_use]
    pub fn at(&self, digest: Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest),
            ..self.clone()
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        match (&self.tag, &self.digest) {
            (Some(tag), _) => write!(f, ":{tag}")?,
            (None, None) => f.write_str(":latest")?,
            (None, Some(_)) => {}
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

fn invalid(why: &str) -> Error {
    Error::new("invalid reference format").because(why.to_owned())
}

/// Enough of a stranger's text to recognise it.
fn excerpt(text: &str) -> String {
    text.chars().take(64).collect()
}

/// The name in the address of a manifest; none where it is no address at all.
fn of_address(text: &str) -> Result<Option<String>> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok(None);
    };
    let parts = rest.split_once("/v2/").and_then(|(host, rest)| {
        let (repository, version) = rest.split_once("/manifests/")?;
        Some((host, repository, version))
    });
    match parts {
        Some((host, repository, version)) if scheme == "https" => {
            let separator = if version.contains(':') { '@' } else { ':' };
            Ok(Some(format!("{host}/{repository}{separator}{version}")))
        }
        _ => Err(invalid("it is an address")
            .hint("name an image without a scheme: registry.example/repository:tag")),
    }
}

/// Splits the registry off, where the first component is one.
fn split_domain(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.chars().any(char::is_uppercase) =>
        {
            (Some(first), rest)
        }
        _ => (None, name),
    }
}

/// The registry as we call it: in lower case, Docker Hub by its one name. A name that only its capitals make one keeps
/// them: without, it would be read as part of a repository of Docker Hub.
fn registry_of(domain: &str) -> Result<String> {
    let lower = domain.to_ascii_lowercase();
    let lower = match split_domain(&format!("{lower}/")).0 {
        Some(_) => lower,
        None => domain.into(),
    };
    let (host, port) = split_port(&lower);
    let good_port = port.is_none_or(|port| {
        port.parse::<u16>().is_ok_and(|port| port > 0) && port.bytes().all(|b| b.is_ascii_digit())
    });
    if !is_host(host) || !good_port {
        return Err(invalid(&format!("'{}' is no registry", excerpt(domain))));
    }
    Ok(match lower.as_str() {
        "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB.into(),
        _ => lower,
    })
}

/// `host:port`, where the host may be an IPv6 address in brackets.
pub(super) fn split_port(authority: &str) -> (&str, Option<&str>) {
    let after_address = authority.rfind(']').map_or(0, |at| at + 1);
    match authority
        .get(after_address..)
        .and_then(|rest| rest.find(':'))
    {
        Some(at) => {
            let (host, port) = authority.split_at(after_address + at);
            (host, port.get(1..))
        }
        None => (authority, None),
    }
}

/// A host as distribution has it: labels of letters, digits and inner hyphens, or an IPv6 address in brackets.
pub(super) fn is_host(host: &str) -> bool {
    if let Some(inner) = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(is_label)
}

fn check_path(path: &str) -> Result<()> {
    if path.chars().any(char::is_uppercase) {
        return Err(invalid(&format!(
            "repository name ({}) must be lowercase",
            excerpt(path)
        )));
    }
    if path.split('/').all(is_component) {
        return Ok(());
    }
    Err(invalid(&format!("'{}' is no repository", excerpt(path))))
}

/// Letters and digits, with one dot, one or two underscores, or any number of hyphens between them.
fn is_component(component: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends = bytes.first().is_some_and(|b| word(*b)) && bytes.last().is_some_and(|b| word(*b));
    let separators = bytes.split(|b| word(*b)).filter(|run| !run.is_empty());
    ends && separators
        .into_iter()
        .all(|run| matches!(run, b"." | b"_" | b"__") || run.iter().all(|b| *b == b'-'))
}

/// Whether this is a tag: at most 128 letters, digits, dots, hyphens and underscores, and no dot or hyphen first.
pub fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_mean_what_docker_says() {
        let at = |name: &str| format!("{name}@{D}");
        let cases = [
            ("alpine", "docker.io/library/alpine:latest"),
            ("hello-world:latest", "docker.io/library/hello-world:latest"),
            ("library/x:tag", "docker.io/library/x:tag"),
            ("a/b/c", "docker.io/a/b/c:latest"),
            ("docker.io/x", "docker.io/library/x:latest"),
            ("index.docker.io/x/y", "docker.io/x/y:latest"),
            (
                "gcr.io/google-containers/pause:3.2",
                "gcr.io/google-containers/pause:3.2",
            ),
            ("localhost/x", "localhost/x:latest"),
            ("localhost:5000/x", "localhost:5000/x:latest"),
            ("127.0.0.1:5000/lab:1", "127.0.0.1:5000/lab:1"),
            ("[::1]:5000/x", "[::1]:5000/x:latest"),
            ("MyHost/x", "MyHost/x:latest"),
            ("REG.io:443/x", "reg.io:443/x:latest"),
            ("x:5000", "docker.io/library/x:5000"),
            ("a__b/c-----d.e", "docker.io/a__b/c-----d.e:latest"),
            ("docker://quay.io/a/b", "quay.io/a/b:latest"),
            (
                "https://registry-1.docker.io/v2/library/hello-world/manifests/latest",
                "docker.io/library/hello-world:latest",
            ),
            (
                &format!("https://quay.io/v2/a/b/manifests/{D}"),
                &at("quay.io/a/b"),
            ),
            (&at("ghcr.io/a/b:t"), &at("ghcr.io/a/b:t")),
            (&at("x"), &at("docker.io/library/x")),
        ];
        for (text, want) in cases {
            assert_eq!(
                text.parse::<Reference>().map(|r| r.to_string()).as_deref(),
                Ok(want),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = format!("a/{}", "b".repeat(254));
        let cases = [
            ("", "no repository"),
            (" ", "no repository"),
            ("a b", "no repository"),
            ("x\n", "no repository"),
            ("Alpine", "must be lowercase"),
            ("a/B", "must be lowercase"),
            ("/x", "no repository"),
            ("x/", "no repository"),
            ("a//b", "no repository"),
            ("../x", "no registry"),
            ("a/../b", "no repository"),
            (".x", "no repository"),
            ("x_", "no repository"),
            ("a___b", "no repository"),
            ("a..b/c", "no registry"),
            ("x:", "no tag"),
            ("x:-a", "no tag"),
            ("x:a b", "no tag"),
            ("x:a:b", "no tag"),
            (&format!("x:{}", "t".repeat(129)), "no tag"),
            ("host:99999/x", "no registry"),
            ("host:+1/x", "no registry"),
            ("host:/x", "no registry"),
            ("user:pw@host/x", "not a digest"),
            ("http://host/x", "address"),
            ("https://host/x", "address"),
            ("ftp://host/v2/x/manifests/1", "address"),
            ("[fe80::1%eth0]/x", "no registry"),
            ("x@sha256:00", "not a digest"),
            ("x@md5:d41d8cd98f00b204e9800998ecf8427e", "only sha256"),
            ("reg.io./x", "no registry"),
            (&"a".repeat(64), "64-byte hexadecimal"),
            (&"x".repeat(2000), "too long"),
            (&long, "255"),
            ("x%2fy", "no repository"),
            ("büx", "no repository"),
        ];
        for (text, want) in cases {
            let got = text.parse::<Reference>().expect_err(text).to_string();
            assert!(got.contains(want), "{text}: {got}");
        }
    }

    #[test]
    fn the_parts_are_told() {
        let typed = Typed::parse("alpine:3").unwrap();
        assert_eq!(typed.short.as_deref(), Some("alpine"));
        assert_eq!(
            typed.reference.tagged().as_deref(),
            Some("docker.io/library/alpine:3")
        );
        let by_digest: Reference = format!("quay.io/a/b@{D}").parse().unwrap();
        assert_eq!(
            (by_digest.version().as_str(), by_digest.tagged()),
            (D, None)
        );
        assert_eq!(Typed::parse("localhost/x").unwrap().short, None);
    }
}
