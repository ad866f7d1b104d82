//! Who we are to a registry: what docker's and podman's files and credential helpers say (containers-auth.json(5),
//! docker-login(1)).
//!
//! A [`Login`] is found by the name of one registry and is only ever turned into an
//! [`Authorization`](super::transport::Authorization) for that registry's origin, or for the token server that its
//! policy allows (`authenticate.rs`).

mod change;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::document::parse;
use super::reference::DOCKER_HUB;
use crate::error::{Doing, Error, Result};
use crate::json::{Map, objects};

pub use change::{erase, store};

/// How docker calls Docker Hub in its files.
pub const HUB_KEY: &str = "https://index.docker.io/v1/";
/// The most bytes of a file of credentials, and of what a helper says.
const LIMIT: u64 = 1 << 20;

/// What proves who we are.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// A name and a password, or a token in place of it.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token that a token server changes for another (OAuth 2).
    Identity(String),
    /// A token for the registry itself.
    Token(String),
}

/// Runs a credential helper.
pub trait Helper: Sync {
    /// Runs `docker-credential-NAME VERB` with `input` on its standard input. Gives what it wrote and whether it ended well;
    /// nothing where there is no such program.
    ///
    /// # Errors
    /// Where it cannot be run.
    fn run(&self, name: &str, verb: &str, input: &[u8]) -> Result<Option<(Vec<u8>, bool)>>;
}

/// Where credentials are looked for, in this order.
pub struct Keychain<'a> {
    /// What the caller said on the command line: for the registry of the image and for no other.
    pub given: Option<Login>,
    /// The files.
    pub files: Vec<PathBuf>,
    /// How helpers are run.
    pub helper: &'a dyn Helper,
    /// Where remarks go.
    pub note: &'a (dyn Fn(&str) + Sync),
}

objects! {
    /// A file of credentials, docker's or podman's.
    struct AuthFile {
        auths: Map<Entry>,
        cred_helpers: Map<String>,
        creds_store: String,
    }

    struct Entry {
        auth: String,
        identitytoken: String,
        registrytoken: String,
        username: String,
        password: String,
    }

    /// What a helper answers to `get`.
    struct Answer in Pascal {
        username: String,
        secret: String,
    }
}

impl Entry {
    fn login(&self, key: &str) -> Result<Option<Login>> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Login::Identity(self.identitytoken.clone())));
        }
        if !self.registrytoken.is_empty() {
            return Ok(Some(Login::Token(self.registrytoken.clone())));
        }
        if self.auth.is_empty() {
            let login = Login::Password {
                user: self.username.clone(),
                password: self.password.clone(),
            };
            return Ok(Some(login).filter(|_| !self.username.is_empty()));
        }
        let bad = || Error::new(format!("the entry of {key} is not user:password in base64"));
        let bytes = BASE64_STANDARD
            .decode(self.auth.trim())
            .map_err(|_| bad())?;
        let text = String::from_utf8(bytes).map_err(|_| bad())?;
        let (user, password) = text.split_once(':').ok_or_else(bad)?;
        Ok(Some(Login::Password {
            user: user.into(),
            password: password.trim_end_matches('\0').into(),
        }))
    }
}

impl Keychain<'_> {
    /// What is known about the registry `host[:port]`, for this repository of it.
    ///
    /// # Errors
    /// For a file that is no file of credentials. A helper that is missing or fails is a remark: most images are public.
    pub fn find(&self, registry: &str, repository: &str) -> Result<Option<Login>> {
        if let Some(given) = &self.given {
            return Ok(Some(given.clone()));
        }
        for path in &self.files {
            let Some(file) = read(path)? else { continue };
            let found = self.find_in(&file, registry, repository);
            if let Some(login) =
                found.map_err(|e| Error::new("cannot use").on(path).because(e.to_string()))?
            {
                return Ok(Some(login));
            }
        }
        Ok(None)
    }

    fn find_in(&self, file: &AuthFile, registry: &str, repository: &str) -> Result<Option<Login>> {
        let own = file
            .cred_helpers
            .iter()
            .find(|(key, _)| same_registry(key, registry));
        let helper = own
            .map(|(_, name)| name)
            .or(Some(&file.creds_store))
            .filter(|name| !name.is_empty());
        if let Some(login) = helper.and_then(|name| self.ask(name, registry)) {
            return Ok(Some(login));
        }
        // From the repository up to the host: the longest key that matches counts.
        let full = format!("{}/{repository}", canonical(registry));
        let mut scope = Some(full.as_str());
        while let Some(wanted) = scope {
            let entry = file.auths.iter().find(|(key, _)| canonical(key) == wanted);
            if let Some((key, entry)) = entry
                && let Some(login) = entry.login(key)?
            {
                return Ok(Some(login));
            }
            scope = wanted.rsplit_once('/').map(|(above, _)| above);
        }
        Ok(None)
    }

    fn ask(&self, name: &str, registry: &str) -> Option<Login> {
        match ask(self.helper, name, registry) {
            Ok(found) => found,
            Err(error) => {
                (self.note)(&format!("{error}; going on without it"));
                None
            }
        }
    }
}

/// Asks the helper `docker-credential-NAME`.
fn ask(helper: &dyn Helper, name: &str, registry: &str) -> Result<Option<Login>> {
    let doing = || {
        Error::new(format!(
            "cannot ask the credential helper docker-credential-{name}"
        ))
    };
    check_helper(name)?;
    let Some((out, well)) = helper.run(name, "get", server_name(registry).as_bytes())? else {
        return Err(doing().because("there is no such program"));
    };
    if !well {
        let said = String::from_utf8_lossy(&out);
        if said.contains("credentials not found") {
            return Ok(None);
        }
        let said: String = said.trim().chars().take(200).collect();
        return Err(doing().because(if said.is_empty() {
            "it failed".into()
        } else {
            said
        }));
    }
    let answer: Answer = parse(&out, "answer of a credential helper", LIMIT)?;
    Ok(match (answer.username.as_str(), answer.secret) {
        (_, secret) if secret.is_empty() => None,
        ("<token>", secret) => Some(Login::Identity(secret)),
        (user, password) => Some(Login::Password {
            user: user.into(),
            password,
        }),
    })
}

/// A helper's name becomes part of a program's name, and must not become more.
fn check_helper(name: &str) -> Result<()> {
    let good = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if good && !name.is_empty() {
        return Ok(());
    }
    Err(Error::new("a credential helper has an impossible name").on(name))
}

/// What docker calls a registry where it talks to helpers.
fn server_name(registry: &str) -> &str {
    if registry == DOCKER_HUB {
        HUB_KEY
    } else {
        registry
    }
}

fn same_registry(key: &str, registry: &str) -> bool {
    canonical(key) == canonical(registry)
}

/// A key as it is compared: without a scheme, the paths of the old protocols, and the port that https has anyway; the
/// spellings of Docker Hub as one.
fn canonical(key: &str) -> String {
    let bare = key
        .trim()
        .trim_start_matches("https://")
        .trim_start_matches("http://")
        .trim_end_matches('/');
    let (host, path) = bare
        .split_once('/')
        .map_or((bare, ""), |(host, path)| (host, path));
    let host = host.to_ascii_lowercase();
    let host = host.strip_suffix(":443").unwrap_or(&host);
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
        other => other,
    };
    match path {
        "" | "v1" | "v2" => host.to_owned(),
        path => format!("{host}/{path}"),
    }
}

/// Reads a file of credentials; none where it is not there.
fn read(path: &Path) -> Result<Option<AuthFile>> {
    let Some(bytes) = bytes_of(path)? else {
        return Ok(None);
    };
    if path.file_name().is_some_and(|name| name == ".dockercfg") {
        // Docker's first file has the entries and nothing else.
        let auths = parse(&bytes, "file of credentials", LIMIT).map_err(|e| e.on(path))?;
        return Ok(Some(AuthFile {
            auths,
            ..AuthFile::default()
        }));
    }
    parse(&bytes, "file of credentials", LIMIT)
        .map(Some)
        .map_err(|e| e.on(path))
}

fn bytes_of(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => Ok(None),
        Ok(bytes) => Ok(Some(bytes)),
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(e) => Err(e).doing_to("cannot read the credentials", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct NoHelper;
    impl Helper for NoHelper {
        fn run(&self, _: &str, _: &str, _: &[u8]) -> Result<Option<(Vec<u8>, bool)>> {
            Ok(None)
        }
    }

    fn user_of(text: &str, registry: &str, repository: &str) -> Option<String> {
        let file: AuthFile = parse(text.as_bytes(), "file", LIMIT).unwrap();
        let chain = Keychain {
            given: None,
            files: Vec::new(),
            helper: &NoHelper,
            note: &|_| {},
        };
        match chain.find_in(&file, registry, repository).unwrap() {
            Some(Login::Password { user, .. }) => Some(user),
            Some(Login::Identity(token) | Login::Token(token)) => Some(token),
            None => None,
        }
    }

    fn entries(users: &[(&str, &str)]) -> String {
        let entries = users.iter().map(|(key, user)| {
            format!(
                r#""{key}":{{"auth":"{}"}}"#,
                BASE64_STANDARD.encode(format!("{user}:pw"))
            )
        });
        format!(
            r#"{{"auths":{{{}}},"HttpHeaders":{{}}}}"#,
            entries.collect::<Vec<_>>().join(",")
        )
    }

    #[test]
    fn a_registry_is_known_by_its_exact_name() {
        let file = entries(&[
            ("https://index.docker.io/v1/", "hub"),
            ("reg.io", "reg"),
            ("reg.io/a/b", "ab"),
            ("reg.io:5000", "port"),
            ("http://old.io/v2/", "old"),
        ]);
        let cases = [
            ("docker.io", "library/x", Some("hub")),
            ("reg.io", "x", Some("reg")),
            ("reg.io", "a/b", Some("ab")),
            ("reg.io", "a/b/c", Some("ab")),
            ("reg.io", "a/bc", Some("reg")),
            ("reg.io:443", "x", Some("reg")),
            ("reg.io:5000", "a/b", Some("port")),
            ("reg.io:5001", "x", None),
            ("reg.io.evil", "x", None),
            ("evilreg.io", "x", None),
            ("old.io", "x", Some("old")),
            ("x.reg.io", "x", None),
        ];
        for (registry, repository, want) in cases {
            assert_eq!(
                user_of(&file, registry, repository).as_deref(),
                want,
                "{registry}/{repository}"
            );
        }
        for spelling in [
            "docker.io",
            "index.docker.io",
            "https://index.docker.io/v1/",
            "registry-1.docker.io",
        ] {
            assert_eq!(
                user_of(&entries(&[(spelling, "hub")]), "docker.io", "a/b").as_deref(),
                Some("hub"),
                "{spelling}"
            );
        }
    }

    #[test]
    fn tokens_and_oddities() {
        assert_eq!(
            user_of(
                r#"{"auths":{"a.b":{"auth":"","identitytoken":"it"}}}"#,
                "a.b",
                "x"
            )
            .as_deref(),
            Some("it")
        );
        assert_eq!(
            user_of(
                r#"{"auths":{"a.b":{"registrytoken":"rt"}},"credsStore":"gone"}"#,
                "a.b",
                "x"
            )
            .as_deref(),
            Some("rt")
        );
        assert_eq!(user_of(r#"{"auths":{"a.b":{}}}"#, "a.b", "x"), None);
        let file: AuthFile = parse(br#"{"auths":{"a.b":{"auth":"???"}}}"#, "file", LIMIT).unwrap();
        assert!(file.auths[0].1.login("a.b").is_err());
        assert!(
            check_helper("../../bin/sh").is_err()
                && check_helper("").is_err()
                && check_helper("ecr-login").is_ok()
        );
    }
}
