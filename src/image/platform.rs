//! Platforms: `os/architecture[/variant]` in Go's words, as image-spec has them, and which of an index's images to take.

use std::fmt;
use std::str::FromStr;

use super::descriptor::Descriptor;
use crate::error::{Error, Result};
use crate::json::objects;

objects! {
    /// What an image runs on.
    #[derive(Debug)]
    pub struct Platform {
        /// `linux`.
        pub os: String = written,
        /// `amd64`, `arm64`, `arm`, ...
        pub architecture: String = written,
        /// `v7` of arm, `v3` of amd64; empty where there is none.
        pub variant: String,
    }
}

impl Platform {
    /// The one this program was built for.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            other => go_name(other).0,
        };
        let variant = if cfg!(target_arch = "arm") { "v7" } else { "" };
        Self {
            os: "linux".into(),
            architecture: architecture.into(),
            variant: variant.into(),
        }
    }

    /// How well an image for `other` does where this one is wanted: the smaller the better, `None` not at all.
    ///
    /// An older variant of an architecture runs on a newer one: arm v6 on v7, amd64 v2 on v3. One that is not named is
    /// the oldest of amd64 and, as everybody builds it, the latest of arm64 (v8) and the v7 of arm.
    pub fn distance(&self, other: &Self) -> Option<u32> {
        if self.os != other.os || self.architecture != other.architecture {
            return None;
        }
        if self.variant == other.variant {
            return Some(0);
        }
        let (want, have) = (self.level()?, other.level()?);
        // Twice, so that of two that are the same the one that says so as we do is nearer.
        want.checked_sub(have).map(|steps| 2 * steps + 1)
    }

    /// The variant as a number, where variants of the architecture build on each other.
    fn level(&self) -> Option<u32> {
        let unnamed = match self.architecture.as_str() {
            "amd64" => 1,
            "arm" => 7,
            "arm64" => 8,
            _ => return None,
        };
        match self.variant.as_str() {
            "" => Some(unnamed),
            variant => variant.strip_prefix('v')?.parse().ok(),
        }
    }

    /// The image of an index to take where this platform is wanted: the nearest, the first of several as near.
    /// Attestations are no images; an entry without a platform fits where there is no other.
    pub fn choose<'a>(&self, entries: &'a [Descriptor]) -> Option<&'a Descriptor> {
        let images = || entries.iter().filter(|entry| !entry.is_attestation());
        let near = images()
            .filter_map(|entry| Some((self.distance(entry.platform.as_ref()?)?, entry)))
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, entry)| entry);
        let mut unnamed = images().filter(|entry| entry.platform.is_none());
        near.or_else(|| match (unnamed.next(), unnamed.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        })
    }
}

/// What an architecture is called in Go, and the variant that its other name says.
fn go_name(name: &str) -> (&str, &str) {
    match name {
        "x86_64" | "x86-64" => ("amd64", ""),
        "aarch64" => ("arm64", ""),
        "x86" | "i386" | "i486" | "i586" | "i686" => ("386", ""),
        "armhf" | "armv7l" => ("arm", "v7"),
        "armel" | "armv6l" => ("arm", "v6"),
        "loongarch64" => ("loong64", ""),
        "powerpc64le" => ("ppc64le", ""),
        other => (other, ""),
    }
}

impl FromStr for Platform {
    type Err = Error;

    /// `os/architecture`, `os/architecture/variant`, or an architecture alone. `x86_64`, `aarch64` and their like are
    /// understood.
    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::new(format!("not a platform: '{text}'")).hint("write os/architecture or os/architecture/variant, as in linux/arm64 or linux/arm/v7")
        };
        let good = |part: &&str| {
            !part.is_empty()
                && part.len() <= 64
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        };
        let lower = text.to_ascii_lowercase();
        let parts: Vec<&str> = lower.split('/').collect();
        if !parts.iter().all(good) {
            return Err(bad());
        }
        let (os, architecture, variant) = match parts[..] {
            ["linux"] => return Ok(Self::host()),
            [one] => ("linux", one, ""),
            [os, architecture] => (os, architecture, ""),
            [os, architecture, variant] => (os, architecture, variant),
            _ => return Err(bad()),
        };
        let (architecture, said) = go_name(architecture);
        let variant = if variant.is_empty() { said } else { variant };
        // Every arm64 is v8, and most do not say so.
        let variant = if (architecture, variant) == ("arm64", "v8") {
            ""
        } else {
            variant
        };
        Ok(Self {
            os: os.into(),
            architecture: architecture.into(),
            variant: variant.into(),
        })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() {
            return Ok(());
        }
        write!(f, "/{}", self.variant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::Digest;

    fn entry(platform: &str) -> Descriptor {
        let parts: Vec<&str> = platform.split('/').collect();
        let part = |at: usize| parts.get(at).copied().unwrap_or_default().to_owned();
        let mut entry = Descriptor::new("x", Digest::sha256(platform.as_bytes()), 1);
        entry.platform = (!platform.is_empty()).then(|| Platform {
            os: part(0),
            architecture: part(1),
            variant: part(2),
        });
        entry
    }

    #[test]
    fn platforms_are_read() {
        let cases = [
            ("linux/amd64", "linux/amd64"),
            ("Linux/x86_64", "linux/amd64"),
            ("aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("armhf", "linux/arm/v7"),
            ("windows/amd64", "windows/amd64"),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), want);
        }
        for text in ["", "/", "linux/", "a/b/c/d", "linux/a b", "linux/\x1b[m"] {
            assert!(text.parse::<Platform>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_nearest_image_is_taken() {
        let all = [
            "linux/arm/v5",
            "linux/arm/v7",
            "linux/arm/v6",
            "linux/arm64/v8",
            "linux/amd64/v3",
            "linux/amd64",
            "unknown/unknown",
            "linux/s390x",
        ];
        let cases: [(&str, &[&str], Option<&str>); 12] = [
            ("linux/arm/v7", &all, Some("linux/arm/v7")),
            ("linux/arm/v8", &all, Some("linux/arm/v7")),
            ("linux/arm/v6", &all, Some("linux/arm/v6")),
            (
                "linux/arm",
                &["linux/arm/v6", "linux/arm/v5"],
                Some("linux/arm/v6"),
            ),
            ("linux/arm/v5", &["linux/arm/v6"], None),
            ("linux/arm64", &all, Some("linux/arm64/v8")),
            ("linux/amd64", &all, Some("linux/amd64")),
            ("linux/amd64/v4", &all, Some("linux/amd64/v3")),
            ("linux/amd64", &["linux/amd64/v2"], None),
            ("linux/s390x", &all, Some("linux/s390x")),
            ("linux/nope", &all, None),
            ("linux/amd64", &["unknown/unknown", ""], Some("")),
        ];
        for (want, entries, expected) in cases {
            let entries: Vec<Descriptor> = entries.iter().map(|platform| entry(platform)).collect();
            let chosen = want
                .parse::<Platform>()
                .unwrap()
                .choose(&entries)
                .map(|entry| entry.digest);
            assert_eq!(
                chosen,
                expected.map(|platform| Digest::sha256(platform.as_bytes())),
                "{want}"
            );
        }
    }
}
