//! The options of mount(8) and of OCI mounts, as flags of the mount and words for the file system.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::mount::MsFlags;

use crate::error::{Error, Result, printable};
use crate::sys::mount::attr;

/// What stands at the place of a word in an option list.
#[derive(Clone, Copy)]
enum Means {
    /// A flag of this mount that is set.
    Set(u64),
    /// A flag of this mount that is cleared.
    Clear(u64),
    /// How access times are kept.
    Atime(u64),
    /// A bind instead of a new file system; with the mounts below it.
    Bind(bool),
    /// A change of propagation; with the mounts below it.
    Propagation(MsFlags, bool),
    /// Ids of files are mapped; below it too.
    IdMap(bool),
    /// What a new file system covers is copied into it.
    CopyUp,
    /// What is so anyhow.
    Nothing,
    /// What only mount(8) can do.
    Not(&'static str),
}

/// The options of mount(8) that the kernel's file systems do not see. Those that may be said with an `r` in
/// front (OCI: for the mounts below too) are the first eighteen.
const OPTIONS: &[(&str, Means)] = &[
    ("ro", Means::Set(attr::RDONLY)),
    ("rw", Means::Clear(attr::RDONLY)),
    ("nosuid", Means::Set(attr::NOSUID)),
    ("suid", Means::Clear(attr::NOSUID)),
    ("nodev", Means::Set(attr::NODEV)),
    ("dev", Means::Clear(attr::NODEV)),
    ("noexec", Means::Set(attr::NOEXEC)),
    ("exec", Means::Clear(attr::NOEXEC)),
    ("noatime", Means::Atime(attr::NOATIME)),
    ("strictatime", Means::Atime(attr::STRICTATIME)),
    ("relatime", Means::Atime(0)),
    ("nodiratime", Means::Set(attr::NODIRATIME)),
    ("diratime", Means::Clear(attr::NODIRATIME)),
    ("nosymfollow", Means::Set(attr::NOSYMFOLLOW)),
    ("symfollow", Means::Clear(attr::NOSYMFOLLOW)),
    ("atime", Means::Atime(0)),
    ("norelatime", Means::Atime(attr::STRICTATIME)),
    ("nostrictatime", Means::Atime(0)),
    ("bind", Means::Bind(false)),
    ("rbind", Means::Bind(true)),
    ("private", Means::Propagation(MsFlags::MS_PRIVATE, false)),
    ("rprivate", Means::Propagation(MsFlags::MS_PRIVATE, true)),
    ("slave", Means::Propagation(MsFlags::MS_SLAVE, false)),
    ("rslave", Means::Propagation(MsFlags::MS_SLAVE, true)),
    ("shared", Means::Propagation(MsFlags::MS_SHARED, false)),
    ("rshared", Means::Propagation(MsFlags::MS_SHARED, true)),
    (
        "unbindable",
        Means::Propagation(MsFlags::MS_UNBINDABLE, false),
    ),
    (
        "runbindable",
        Means::Propagation(MsFlags::MS_UNBINDABLE, true),
    ),
    ("defaults", Means::Nothing),
    ("silent", Means::Nothing),
    ("loud", Means::Nothing),
    ("loop", Means::Not("a loop device")),
    ("remount", Means::Not("a remount")),
    ("move", Means::Not("a move")),
    ("user", Means::Not("a line for ordinary users")),
    ("users", Means::Not("a line for ordinary users")),
    ("noauto", Means::Not("a line of fstab")),
    ("nofail", Means::Not("a line of fstab")),
    ("idmap", Means::IdMap(false)),
    ("ridmap", Means::IdMap(true)),
    ("tmpcopyup", Means::CopyUp),
];

/// The names of all options that are understood here, but those of file systems.
pub fn option_names() -> impl Iterator<Item = String> {
    let plain = OPTIONS
        .iter()
        .filter(|(_, means)| !matches!(means, Means::Not(_)));
    let recursive = OPTIONS.iter().take(RECURSIVE_OPTIONS);
    plain
        .map(|(name, _)| (*name).to_owned())
        .chain(recursive.map(|(name, _)| format!("r{name}")))
}

/// How many of [`OPTIONS`] have a recursive form.
const RECURSIVE_OPTIONS: usize = 18;

/// Options of one mount, as they were said and as they are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// As they were said, one each.
    words: Vec<OsString>,
    /// Flags of this mount.
    pub attributes: Attributes,
    /// Flags of this mount and all below it, of a bind.
    pub recursive: Attributes,
    /// 0 or one of `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, `MS_UNBINDABLE`, and whether for those below too.
    pub propagation: Option<(MsFlags, bool)>,
    /// A bind instead of a new file system: `Some(true)` with the mounts below it.
    pub bind: Option<bool>,
    /// The ids of files are mapped, of a bind: `Some(true)` with the mounts below it.
    pub idmap: Option<bool>,
    /// What stands where a tmpfs is mounted is copied into it.
    pub copy_up: bool,
    /// What is for the file system itself.
    pub data: Vec<(OsString, Option<OsString>)>,
}

/// `MOUNT_ATTR_*` bits to set and to clear.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// To set.
    pub set: u64,
    /// To clear.
    pub clear: u64,
}

impl Attributes {
    fn apply(&mut self, means: Means) {
        match means {
            Means::Set(bit) => (self.set, self.clear) = (self.set | bit, self.clear & !bit),
            Means::Clear(bit) => (self.set, self.clear) = (self.set & !bit, self.clear | bit),
            Means::Atime(mode) => {
                self.set = self.set & !attr::ATIME | mode;
                self.clear |= attr::ATIME;
            }
            _ => {}
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl Options {
    /// Reads options, one word each (as OCI has them).
    ///
    /// ```
    /// use isobox::{mount::Options, sys::mount::attr};
    /// let options = Options::new(["ro", "nosuid", "size=64k"]).unwrap();
    /// assert_eq!(options.attributes.set, attr::RDONLY | attr::NOSUID);
    /// assert_eq!(options.data, [("size".into(), Some("64k".into()))]);
    /// ```
    ///
    /// # Errors
    /// For what only mount(8) can do. What is unknown is for the file system, which refuses it by itself.
    pub fn new(words: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Self> {
        let mut options = Self::default();
        for word in words {
            options.add(word.into())?;
        }
        Ok(options)
    }

    /// Reads a comma-separated list; a comma inside double quotes belongs to its value, as in mount(8).
    pub fn list(list: &OsStr) -> Result<Self> {
        Self::new(split_list(list.as_bytes()))
    }

    /// Asks for the SELinux label of all that is in a new file system, unless that is empty.
    pub fn label(&mut self, label: &str) -> Result<()> {
        match label {
            "" => Ok(()),
            label => self.add(format!("context={label}").into()),
        }
    }

    fn add(&mut self, word: OsString) -> Result<()> {
        if word.is_empty() {
            return Ok(());
        }
        match meaning(&word) {
            Some((Means::Not(what), _)) => {
                return Err(Error::new("mount option not supported")
                    .on(word)
                    .because(what));
            }
            Some((Means::Nothing, _)) => {}
            Some((Means::Bind(recursive), _)) => self.bind = Some(recursive),
            Some((Means::IdMap(recursive), _)) => self.idmap = Some(recursive),
            Some((Means::CopyUp, _)) => self.copy_up = true,
            Some((Means::Propagation(flag, recursive), _)) => {
                self.propagation = Some((flag, recursive));
            }
            Some((means, false)) => self.attributes.apply(means),
            Some((means, true)) => self.recursive.apply(means),
            None => {
                let bytes = word.as_bytes();
                let at = bytes.iter().position(|b| *b == b'=');
                let value = at.map(|at| unquote(&bytes[at + 1..]));
                self.data.push((
                    OsStr::from_bytes(&bytes[..at.unwrap_or(bytes.len())]).into(),
                    value,
                ));
            }
        }
        self.words.push(word);
        Ok(())
    }

    /// As one comma-separated list, which [`Options::list`] reads.
    pub fn to_list(&self) -> OsString {
        let quoted = |word: &OsString| {
            let bytes = word.as_bytes();
            match bytes.iter().position(|b| *b == b'=') {
                Some(at) if bytes.contains(&b',') && !bytes.contains(&b'"') => {
                    [&bytes[..=at], b"\"", &bytes[at + 1..], b"\""].concat()
                }
                _ => bytes.to_vec(),
            }
        };
        let words: Vec<Vec<u8>> = self.words.iter().map(quoted).collect();
        OsString::from_vec(words.join(&b','))
    }

    /// What the file system is told, for people: `size=1m, mode=755`.
    pub fn told_data(&self) -> String {
        let shown = |(key, value): &(OsString, Option<OsString>)| match value {
            Some(value) => format!("{}={}", printable(key), printable(value)),
            None => printable(key),
        };
        self.data.iter().map(shown).collect::<Vec<_>>().join(", ")
    }

    /// The flags that are set, by their names: `MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOSUID`, 0 for none.
    pub fn told_attributes(&self) -> String {
        const NAMES: [(u64, &str); 8] = [
            (attr::RDONLY, "RDONLY"),
            (attr::NOSUID, "NOSUID"),
            (attr::NODEV, "NODEV"),
            (attr::NOEXEC, "NOEXEC"),
            (attr::NOATIME, "NOATIME"),
            (attr::STRICTATIME, "STRICTATIME"),
            (attr::NODIRATIME, "NODIRATIME"),
            (attr::NOSYMFOLLOW, "NOSYMFOLLOW"),
        ];
        let set = self.attributes.set | self.recursive.set;
        let names: Vec<String> = NAMES
            .iter()
            .filter(|(bit, _)| set & bit != 0)
            .map(|(_, name)| format!("MOUNT_ATTR_{name}"))
            .collect();
        if names.is_empty() {
            "0".into()
        } else {
            names.join("|")
        }
    }

    /// The flags for mount(2), where the new calls will not do.
    pub(super) fn ms_flags(&self) -> MsFlags {
        const PAIRS: [(u64, MsFlags); 7] = [
            (attr::RDONLY, MsFlags::MS_RDONLY),
            (attr::NOSUID, MsFlags::MS_NOSUID),
            (attr::NODEV, MsFlags::MS_NODEV),
            (attr::NOEXEC, MsFlags::MS_NOEXEC),
            (attr::NOATIME, MsFlags::MS_NOATIME),
            (attr::STRICTATIME, MsFlags::MS_STRICTATIME),
            (attr::NODIRATIME, MsFlags::MS_NODIRATIME),
        ];
        let set = PAIRS
            .into_iter()
            .filter(|(bit, _)| self.attributes.set & bit != 0);
        set.fold(MsFlags::empty(), |flags, (_, flag)| flags | flag)
    }
}

/// What a word means, and whether for the mounts below too.
fn meaning(word: &OsStr) -> Option<(Means, bool)> {
    let word = word.to_str()?;
    let find = |name: &str, table: &[(&str, Means)]| {
        table
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, means)| *means)
    };
    if let Some(means) = find(word, OPTIONS) {
        return Some((means, false));
    }
    let recursive = |name| find(name, &OPTIONS[..RECURSIVE_OPTIONS]).map(|means| (means, true));
    // OCI says rro, mount(8) says ro=recursive; ro=vfs is what ro is to us.
    match word.split_once('=') {
        Some((name, "recursive")) => recursive(name),
        Some((name, "vfs")) => {
            find(name, &OPTIONS[..RECURSIVE_OPTIONS]).map(|means| (means, false))
        }
        _ => recursive(word.strip_prefix('r')?),
    }
}

pub(super) fn split_list(list: &[u8]) -> Vec<OsString> {
    let mut quoted = false;
    let outside = |b: &u8| {
        quoted ^= *b == b'"';
        *b == b',' && !quoted
    };
    list.split(outside)
        .map(|word| OsStr::from_bytes(word).into())
        .collect()
}

pub(super) fn unquote(value: &[u8]) -> OsString {
    let inner = value
        .strip_prefix(b"\"")
        .and_then(|value| value.strip_suffix(b"\""));
    OsStr::from_bytes(inner.unwrap_or(value)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Options {
        Options::list(OsStr::new(text)).unwrap()
    }

    #[test]
    fn options_become_attributes() {
        use attr::{ATIME, NOATIME, NODEV, NOEXEC, NOSUID, RDONLY, STRICTATIME};
        let cases = [
            (
                "ro,nosuid,nodev,noexec",
                (RDONLY | NOSUID | NODEV | NOEXEC, 0),
                (0, 0),
            ),
            ("ro,rw", (0, RDONLY), (0, 0)),
            ("suid,nosuid", (NOSUID, 0), (0, 0)),
            ("noatime", (NOATIME, ATIME), (0, 0)),
            ("noatime,strictatime", (STRICTATIME, ATIME), (0, 0)),
            ("strictatime,relatime", (0, ATIME), (0, 0)),
            ("rro,rnosuid", (0, 0), (RDONLY | NOSUID, 0)),
            ("ro=recursive,nodev", (NODEV, 0), (RDONLY, 0)),
            ("rrw", (0, 0), (0, RDONLY)),
            ("defaults,,", (0, 0), (0, 0)),
        ];
        for (text, (set, clear), (rset, rclear)) in cases {
            let got = list(text);
            assert_eq!(got.attributes, Attributes { set, clear }, "{text}");
            assert_eq!(
                got.recursive,
                Attributes {
                    set: rset,
                    clear: rclear
                },
                "{text}"
            );
            assert!(got.data.is_empty(), "{text}");
        }
    }

    #[test]
    fn the_rest_is_for_the_file_system() {
        let got = list("size=64k,ro,lowerdir=\"a,b:c\",userxattr,x=");
        let want: [(&str, Option<&str>); 4] = [
            ("size", Some("64k")),
            ("lowerdir", Some("a,b:c")),
            ("userxattr", None),
            ("x", Some("")),
        ];
        let want: Vec<_> = want
            .map(|(key, value)| (key.into(), value.map(Into::into)))
            .into();
        assert_eq!(got.data, want);
        assert_eq!(list("rbind,rslave").bind, Some(true));
        assert_eq!(
            list("bind,slave").propagation,
            Some((MsFlags::MS_SLAVE, false))
        );
        assert_eq!(list("bind,ridmap").idmap, Some(true));
        assert!(list("tmpcopyup,size=1m").copy_up);
        for refused in ["loop", "remount", "move", "noauto"] {
            assert!(Options::new([refused]).is_err(), "{refused}");
        }
    }

    #[test]
    fn the_recursive_table_ends_where_it_should() {
        assert_eq!(OPTIONS[RECURSIVE_OPTIONS - 1].0, "nostrictatime");
        for (name, _) in &OPTIONS[..RECURSIVE_OPTIONS] {
            assert!(
                meaning(OsStr::new(&format!("r{name}"))).is_some_and(|(_, recursive)| recursive),
                "r{name}"
            );
        }
        assert!(
            meaning(OsStr::new("rdefaults")).is_none() && meaning(OsStr::new("rloop")).is_none()
        );
    }

    #[test]
    fn lists_come_back() {
        for text in ["ro,size=1m", "lowerdir=\"a,b\",rw", "bind"] {
            assert_eq!(list(text).to_list(), text);
        }
    }
}
