//! An image's config (image-spec, config.md): the fields that may have an effect, and no other.
//!
//! What an image says about itself is data. Each field here has one effect, and a program of the caller decides
//! whether it has it; fields that are not here have none.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::CONFIG_LIMIT;
use super::digest::Digest;
use super::document::{null_is_empty, parse};
use super::platform::Platform;
use crate::error::{Error, Result};

/// An image's config.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub struct ImageConfig {
    /// The architecture it is for.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub architecture: String,
    /// The variant of the architecture, where it has any.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub variant: String,
    /// The operating system it is for.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub os: String,
    /// When it was made, as RFC 3339 has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// How to run it.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub config: Execution,
    /// Its layers.
    #[serde(default)]
    pub rootfs: RootFs,
}

/// The layers as a config names them.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// The digests of the uncompressed tars, lowest first.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub diff_ids: Vec<Digest>,
}

/// How an image wants to be run: defaults that the caller may take.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Execution {
    /// `user`, `uid`, `user:group`, `uid:gid`.
    #[serde(
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub user: String,
    /// `NAME=VALUE`.
    #[serde(
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub env: Vec<String>,
    /// The words before the command.
    #[serde(
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub entrypoint: Vec<String>,
    /// The command, or the default arguments of the entrypoint.
    #[serde(
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub cmd: Vec<String>,
    /// The working directory.
    #[serde(
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub working_dir: String,
    /// The signal to end it with.
    #[serde(
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub stop_signal: String,
    /// Notes.
    #[serde(
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub labels: BTreeMap<String, String>,
    /// Directories that hold data, as the keys of an object.
    #[serde(
        deserialize_with = "keys",
        serialize_with = "as_keys",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub volumes: Vec<String>,
    /// `PORT/tcp`, as the keys of an object.
    #[serde(
        deserialize_with = "keys",
        serialize_with = "as_keys",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub exposed_ports: Vec<String>,
}

/// The keys of an object whose values mean nothing.
fn keys<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<String>, D::Error> {
    let map = Option::<BTreeMap<String, IgnoredAny>>::deserialize(deserializer)?;
    Ok(map.unwrap_or_default().into_keys().collect())
}

fn as_keys<S: serde::Serializer>(
    keys: &[String],
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_map(keys.iter().map(|key| (key, BTreeMap::<(), ()>::new())))
}

impl ImageConfig {
    /// The platform it is for.
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
        }
    }

    /// Reads an image's config.
    ///
    /// # Errors
    /// Where it is none, or longer than any.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let config: Self = parse(bytes, "image config", CONFIG_LIMIT)?;
        match config.rootfs.kind.as_str() {
            "layers" | "" => Ok(config),
            other => Err(Error::new("not a valid image config")
                .because(format!("its rootfs is of type '{other}'"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_s_nulls_are_nothing() {
        let text = br#"{"architecture":"arm","variant":"v7","os":"linux","created":"2026-01-01T00:00:00Z",
            "config":{"Cmd":["sh"],"Entrypoint":null,"Env":["A=b"],"Labels":null,"User":"","OnBuild":null,
            "Volumes":{"/data":{}},"Healthcheck":{"Test":["x"]}},"rootfs":{"type":"layers","diff_ids":[]},"history":[{}]}"#;
        let config = ImageConfig::parse(text).unwrap();
        assert_eq!(config.platform().to_string(), "linux/arm/v7");
        assert_eq!(config.config.cmd, ["sh"]);
        assert_eq!(config.config.volumes, ["/data"]);
        assert!(config.config.entrypoint.is_empty());
        let written = serde_json::to_string(&config).unwrap();
        assert!(written.contains(r#""Volumes":{"/data":{}}"#), "{written}");
        let bare = ImageConfig::parse(br#"{"architecture":"amd64","os":"linux","config":null,"rootfs":{"type":"layers","diff_ids":null}}"#);
        assert!(bare.unwrap().rootfs.diff_ids.is_empty());
        assert!(
            ImageConfig::parse(br#"{"architecture":"a","os":"b","rootfs":{"type":"squashfs"}}"#)
                .is_err()
        );
    }
}
