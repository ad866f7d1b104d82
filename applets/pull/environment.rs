//! What the environment says about registries: files of credentials and settings, certificates, proxies, the cache.
//! The library reads none of it by itself.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use isobox::image::transport::proxy::Proxies;
#[cfg(feature = "tls")]
use isobox::image::transport::trust::Trust;
use isobox::order;

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// A directory that a variable names; only an absolute one counts (XDG Base Directory Specification).
fn directory(name: &str) -> Option<PathBuf> {
    variable(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

fn home() -> Option<PathBuf> {
    directory("HOME")
}

fn config_home() -> Option<PathBuf> {
    directory("XDG_CONFIG_HOME").or_else(|| home().map(|home| home.join(".config")))
}

/// Docker's own file of credentials, which `login` writes.
pub(super) fn docker_config() -> Option<PathBuf> {
    let dir = variable("DOCKER_CONFIG").map(PathBuf::from);
    let dir = dir.or_else(|| home().map(|home| home.join(".docker")));
    dir.map(|dir| dir.join("config.json"))
}

/// The one file that `REGISTRY_AUTH_FILE` names.
pub(super) fn auth_file() -> Option<PathBuf> {
    variable("REGISTRY_AUTH_FILE").map(PathBuf::from)
}

/// The files of credentials, in the order of containers-auth.json(5). A file that is named is the only one.
pub(super) fn auth_files(named: Option<PathBuf>) -> Vec<PathBuf> {
    if let Some(only) = named.or_else(auth_file) {
        return vec![only];
    }
    let files = [
        directory("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")),
        config_home().map(|dir| dir.join("containers/auth.json")),
        docker_config(),
        home().map(|dir| dir.join(".dockercfg")),
    ];
    files.into_iter().flatten().collect()
}

/// The files of settings, in the order of containers-registries.conf(5): the user's own in place of the system's, then
/// what is in the directories beside both.
pub(crate) fn registries_conf() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let own = config_home().map(|dir| dir.join("containers/registries.conf"));
    let main = variable("CONTAINERS_REGISTRIES_CONF").map(PathBuf::from);
    files.extend(
        main.or_else(|| own.filter(|path| path.exists()))
            .or_else(|| Some("/etc/containers/registries.conf".into())),
    );
    let dirs = [
        Some(PathBuf::from("/etc/containers/registries.conf.d")),
        config_home().map(|dir| dir.join("containers/registries.conf.d")),
    ];
    for dir in dirs.into_iter().flatten() {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == "conf"))
            .collect();
        order::sort(&mut found);
        files.extend(found);
    }
    files
}

/// The cache: `$XDG_CACHE_HOME/isobox`.
pub(crate) fn cache() -> Option<PathBuf> {
    let dir = directory("XDG_CACHE_HOME").or_else(|| home().map(|home| home.join(".cache")));
    dir.map(|dir| dir.join("isobox"))
}

/// Where images and containers are: `$ISOBOX_ROOT`, `/var/lib/isobox` of root, `$XDG_DATA_HOME/isobox`.
pub(crate) fn images() -> Option<PathBuf> {
    if let Some(root) = directory("ISOBOX_ROOT") {
        return Some(root);
    }
    // Who is root in a user namespace is somebody else outside.
    if nix::unistd::geteuid().is_root() && !isobox::throw_away::in_user_namespace() {
        return Some("/var/lib/isobox".into());
    }
    let dir = directory("XDG_DATA_HOME").or_else(|| home().map(|home| home.join(".local/share")));
    dir.map(|dir| dir.join("isobox"))
}

/// Where certificates are looked for.
#[cfg(feature = "tls")]
pub(super) fn trust(more: Option<PathBuf>, cert_dir: Option<PathBuf>) -> Trust {
    let own = config_home().map(|dir| dir.join("containers/certs.d"));
    let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
    let dirs = variable("SSL_CERT_DIR").unwrap_or_default();
    Trust {
        file: variable("SSL_CERT_FILE").map(PathBuf::from),
        dirs: env::split_paths(&dirs)
            .filter(|dir| !dir.as_os_str().is_empty())
            .collect(),
        more,
        certs_d: own.into_iter().chain(system).collect(),
        cert_dir,
    }
}

/// The proxies, by the lower-case name of each variable or the upper-case one.
pub(super) fn proxies() -> Proxies {
    let text = |lower: &str, upper: &str| {
        let value = variable(lower).or_else(|| variable(upper));
        value.and_then(|value| value.into_string().ok())
    };
    // In a CGI script HTTP_PROXY is a header of the request (CVE-2016-5385).
    let http = match variable("REQUEST_METHOD") {
        Some(_) => variable("http_proxy").and_then(|value| value.into_string().ok()),
        None => text("http_proxy", "HTTP_PROXY"),
    };
    let every = text("all_proxy", "ALL_PROXY");
    let https = text("https_proxy", "HTTPS_PROXY").or_else(|| every.clone());
    Proxies::new(
        http.or(every),
        https,
        text("no_proxy", "NO_PROXY").as_deref(),
    )
}

/// What kind of terminal there is.
pub(super) fn terminal() -> Option<String> {
    variable("TERM").and_then(|term| term.into_string().ok())
}
