//! An image's config (image-spec, config.md): the fields that may have an effect, and no other.
//!
//! What an image says about itself is data. Each field here has one effect, and a program of the caller decides
//! whether it has it; fields that are not here have none.

use super::CONFIG_LIMIT;
use super::digest::Digest;
use super::document::parse;
use super::platform::Platform;
use crate::error::{Error, Result};
use crate::json::{Keys, Map, compact, objects};

objects! {
    /// An image's config.
    #[derive(Debug)]
    pub struct ImageConfig in Exact {
        /// The architecture it is for.
        pub architecture: String = written,
        /// The variant of the architecture, where it has any.
        pub variant: String,
        /// The operating system it is for.
        pub os: String = written,
        /// When it was made, as RFC 3339 has it.
        pub created: Option<String>,
        /// How to run it.
        pub config: Execution = written,
        /// Its layers.
        pub rootfs: RootFs = written,
    }

    /// The layers as a config names them.
    #[derive(Debug)]
    pub struct RootFs in Exact {
        /// Always `layers`.
        pub kind as "type": String = written,
        /// The digests of the uncompressed tars, lowest first.
        pub diff_ids: Vec<Digest> = written,
    }

    /// How an image wants to be run: defaults that the caller may take.
    #[derive(Debug)]
    pub struct Execution in Pascal {
        /// `user`, `uid`, `user:group`, `uid:gid`.
        pub user: String,
        /// `NAME=VALUE`.
        pub env: Vec<String>,
        /// The words before the command.
        pub entrypoint: Vec<String>,
        /// The command, or the default arguments of the entrypoint.
        pub cmd: Vec<String>,
        /// The working directory.
        pub working_dir: String,
        /// The signal to end it with.
        pub stop_signal: String,
        /// Notes.
        pub labels: Map<String>,
        /// Directories that hold data.
        pub volumes: Keys,
        /// `PORT/tcp`.
        pub exposed_ports: Keys,
    }
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

    /// Writes it down.
    ///
    /// # Errors
    /// None that a text has.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        compact(self).map(String::into_bytes)
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
        assert_eq!(config.config.volumes.0, ["/data"]);
        assert!(config.config.entrypoint.is_empty());
        let written = compact(&config).unwrap();
        assert!(written.contains(r#""Volumes":{"/data":{}}"#), "{written}");
        let bare = ImageConfig::parse(br#"{"architecture":"amd64","os":"linux","config":null,"rootfs":{"type":"layers","diff_ids":null}}"#);
        assert!(bare.unwrap().rootfs.diff_ids.is_empty());
        assert!(
            ImageConfig::parse(br#"{"architecture":"a","os":"b","rootfs":{"type":"squashfs"}}"#)
                .is_err()
        );
    }
}
