//! Tars and layouts as tests want them: honest ones and those that no honest program writes.

use isobox::image::Digest;
use std::fs;
use std::path::Path;

/// One member, header and data, byte by byte as asked for.
#[derive(Clone)]
pub struct Entry {
    pub name: Vec<u8>,
    pub letter: u8,
    pub link: Vec<u8>,
    pub data: Vec<u8>,
    pub mode: u32,
    pub owner: (u32, u32),
    pub device: (u64, u64),
    /// What the header says, where that is not the length of the data.
    pub size: Option<u64>,
}

pub fn entry(letter: u8, name: impl AsRef<[u8]>) -> Entry {
    Entry {
        name: name.as_ref().to_vec(),
        letter,
        link: Vec::new(),
        data: Vec::new(),
        mode: 0o755,
        owner: (0, 0),
        device: (0, 0),
        size: None,
    }
}

pub fn file(name: impl AsRef<[u8]>, data: &str) -> Entry {
    Entry {
        data: data.into(),
        ..entry(b'0', name)
    }
}

pub fn dir(name: impl AsRef<[u8]>) -> Entry {
    entry(b'5', name)
}

pub fn link(letter: u8, name: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Entry {
    Entry {
        link: to.as_ref().to_vec(),
        ..entry(letter, name)
    }
}

/// An extended header for the member that follows.
pub fn pax(records: &[(&str, &str)]) -> Entry {
    let mut data = String::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (rest + 1..)
            .find(|n| n.to_string().len() + rest == *n)
            .unwrap();
        data.push_str(&format!("{length} {key}={value}\n"));
    }
    Entry {
        data: data.into(),
        ..entry(b'x', "pax")
    }
}

impl Entry {
    /// Header, data and padding.
    pub fn bytes(&self) -> Vec<u8> {
        let mut block = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name[..self.name.len().min(100)]);
        put(100, format!("{:07o}", self.mode).as_bytes());
        put(108, format!("{:07o}", self.owner.0).as_bytes());
        put(116, format!("{:07o}", self.owner.1).as_bytes());
        let size = self.size.unwrap_or(self.data.len() as u64);
        put(124, format!("{size:011o}").as_bytes());
        put(136, format!("{:011o}", 1_600_000_000).as_bytes());
        put(156, &[self.letter]);
        put(157, &self.link[..self.link.len().min(100)]);
        put(257, b"ustar\x0000");
        put(329, format!("{:07o}", self.device.0).as_bytes());
        put(337, format!("{:07o}", self.device.1).as_bytes());
        let sum: u32 = block.iter().map(|b| u32::from(*b)).sum::<u32>() + 8 * u32::from(b' ');
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let mut bytes = block.to_vec();
        bytes.extend(&self.data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
}

/// A whole tar.
pub fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut bytes: Vec<u8> = entries.iter().flat_map(Entry::bytes).collect();
    bytes.extend([0; 1024]);
    bytes
}

/// An OCI layout with an image of these layers, each a bare tar.
pub fn layout(at: &Path, layers: &[Vec<u8>]) {
    let blobs = at.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let blob = |bytes: &[u8]| {
        let digest = Digest::sha256(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        digest
    };
    let digests: Vec<String> = layers.iter().map(|layer| blob(layer).to_string()).collect();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Cmd":["sh"],"Env":["A=b"]}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        digests
            .iter()
            .map(|digest| format!("\"{digest}\""))
            .collect::<Vec<_>>()
            .join(",")
    );
    let descriptor = |kind: &str, digest: &str, size: usize| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{digest}","size":{size}}}"#
        )
    };
    let digest = blob(config.as_bytes()).to_string();
    let described: Vec<String> = layers
        .iter()
        .zip(&digests)
        .map(|(layer, digest)| descriptor("layer.v1.tar", digest, layer.len()))
        .collect();
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]}}"#,
        descriptor("config.v1+json", &digest, config.len()),
        described.join(",")
    );
    let digest = blob(manifest.as_bytes()).to_string();
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
        descriptor("manifest.v1+json", &digest, manifest.len())
    );
    fs::write(at.join("index.json"), index).unwrap();
    fs::write(at.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

/// Shell functions: `tree DIR` prints everything there is to see of a tree.
pub const TREE: &str = r#"tree() { (cd "$1" && find . -type f -printf '%P %y %m %U %G %T@ %s %n\n' -o -type l -printf '%P %y %m %U %G %T@ %l\n' -o -printf '%P %y %m %U %G %T@\n' | sort
 find . -type f -exec sha256sum {} + | sort; find . \( -type b -o -type c \) -exec stat -c '%n %t %T' {} + | sort; find . -print0 | sort -z | xargs -0 getfattr -h -d -m- 2>/dev/null); }
"#;
