//! A mount as somebody writes it: a line of fstab(5), or `type=...,source=...,target=...`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::options::{Options, split_list, unquote};
use crate::error::{Error, Result, Text};
use crate::mountinfo::{escape, unescape};

/// One mount in words: what, where, how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The device, directory or name.
    pub source: OsString,
    /// Where in the new root.
    pub target: PathBuf,
    /// The type of file system; `none` for a bind.
    pub fstype: OsString,
    /// How.
    pub options: Options,
}

impl Spec {
    /// Reads `type=T,source=S,target=D,OPTIONS` or a line as in fstab(5): `S D T OPTIONS`.
    ///
    /// ```
    /// use isobox::mount::Spec;
    /// let a = Spec::parse("tmpfs /tmp tmpfs nosuid,size=1m".as_ref()).unwrap();
    /// let b = Spec::parse("type=tmpfs,source=tmpfs,target=/tmp,nosuid,size=1m".as_ref()).unwrap();
    /// assert_eq!(a, b);
    /// ```
    ///
    /// # Errors
    /// Says what is missing.
    pub fn parse(text: &OsStr) -> Result<Self> {
        let bad = |why: Text| Error::new("bad mount").on(text).because(why);
        let blank = |b: &u8| *b == b' ' || *b == b'\t';
        let spec = if text.as_bytes().iter().any(blank) {
            let fields: Vec<OsString> = text
                .as_bytes()
                .split(blank)
                .filter(|field| !field.is_empty())
                .map(unescape)
                .collect();
            let [source, target, fstype, rest @ ..] = &fields[..] else {
                return Err(bad("SOURCE TARGET TYPE [OPTIONS] expected".into()));
            };
            let options = match rest {
                [] => Options::default(),
                [options] => Options::list(options)?,
                _ => return Err(bad("more than four fields".into())),
            };
            Self {
                source: source.clone(),
                target: target.into(),
                fstype: fstype.clone(),
                options,
            }
        } else {
            Self::from_words(split_list(text.as_bytes()))?
        };
        if spec.target.as_os_str().is_empty() {
            return Err(bad("no target=".into()));
        }
        if spec.fstype.is_empty() {
            return Err(bad("no type=".into()));
        }
        Ok(spec)
    }

    fn from_words(words: Vec<OsString>) -> Result<Self> {
        let (mut source, mut target, mut fstype) = (None, OsString::new(), OsString::new());
        let mut rest = Vec::new();
        for word in words {
            let bytes = word.as_bytes();
            let at = bytes.iter().position(|b| *b == b'=').unwrap_or(bytes.len());
            let value = || unquote(bytes.get(at + 1..).unwrap_or_default());
            match &bytes[..at] {
                b"type" => fstype = value(),
                b"source" | b"src" => source = Some(value()),
                b"target" | b"dst" | b"destination" => target = value(),
                _ => rest.push(word),
            }
        }
        let mut options = Options::new(rest)?;
        if fstype == "bind" || fstype == "rbind" {
            options.bind = Some(fstype == "rbind" || options.bind == Some(true));
            fstype = "none".into();
        } else if options.bind.is_some() && fstype.is_empty() {
            fstype = "none".into();
        }
        Ok(Self {
            source: source.unwrap_or_else(|| fstype.clone()),
            target: target.into(),
            fstype,
            options,
        })
    }
}

/// A mount as a line of fstab(5), which [`Spec::parse`] reads.
pub fn fstab_line(source: &OsStr, target: &Path, fstype: &OsStr, options: &OsStr) -> OsString {
    let field = |word: &OsStr| match word.is_empty() {
        true => "none".into(),
        false => escape(word),
    };
    let options = if options.is_empty() {
        OsStr::new("defaults")
    } else {
        options
    };
    let fields = [
        field(source),
        field(target.as_os_str()),
        field(fstype),
        field(options),
    ];
    fields.join(OsStr::new(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back() {
        let line = fstab_line(
            OsStr::new("/a b"),
            Path::new("/c\\d"),
            OsStr::new("none"),
            OsStr::new("bind,ro"),
        );
        let spec = Spec::parse(&line).unwrap();
        assert_eq!(
            (spec.source, spec.target),
            ("/a b".into(), PathBuf::from("/c\\d"))
        );
        assert_eq!(spec.options.bind, Some(false));
        let short = Spec::parse("type=rbind,source=/a,target=/b".as_ref()).unwrap();
        assert_eq!(
            (short.fstype, short.options.bind),
            ("none".into(), Some(true))
        );
    }

    #[test]
    fn bad_mounts_say_what_is_missing() {
        let cases = [
            ("", "no target="),
            ("type=tmpfs", "no target="),
            ("target=/x", "no type="),
            ("a /b", "SOURCE TARGET TYPE"),
            ("a /b tmpfs x y", "more than four"),
            ("a /b tmpfs loop", "not supported"),
        ];
        for (text, want) in cases {
            let error = Spec::parse(text.as_ref()).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
