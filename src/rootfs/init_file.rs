//! `/init` of an initramfs: a script of ours. Its first line has `rdinit` run it, its other lines are one command in
//! the words of a shell, without anything that would need one: blanks, quotes and backslashes, nothing is expanded.
//!
//! So it can be read and changed by hand, and works in a tree that holds no shell.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::error::{Error, Result};
use crate::image::config::Execution;

/// Where programs are looked for in an image that does not say it.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What an image says that it is for, as a command of our applets: its words in its environment, directory and account.
/// Nothing where it does not say it.
pub fn command(image: &Execution) -> Vec<OsString> {
    let words: Vec<&String> = image.entrypoint.iter().chain(&image.cmd).collect();
    if words.is_empty() {
        return Vec::new();
    }
    let mut command: Vec<OsString> = vec!["setpriv".into(), "--clear-env".into()];
    let has = |name: &str| image.env.iter().any(|entry| entry.starts_with(name));
    let usual = [
        ("PATH=", PATH),
        ("HOME=", "HOME=/root"),
        ("TERM=", "TERM=linux"),
    ];
    let usual = usual
        .iter()
        .filter(|(name, _)| !has(name))
        .map(|(_, entry)| *entry);
    for entry in usual.chain(image.env.iter().map(String::as_str)) {
        command.push(format!("--env={entry}").into());
    }
    if !image.working_dir.is_empty() {
        command.push(format!("--workdir={}", image.working_dir).into());
    }
    command.push("--".into());
    if !matches!(image.user.as_str(), "" | "0" | "root" | "0:0" | "root:root") {
        command.extend(["chroot".into(), "--skip-chdir".into()]);
        command.push(format!("--userspec={}", image.user).into());
        command.push("/".into());
    }
    command.extend(words.into_iter().map(OsString::from));
    command
}

/// The text of `/init`: `rdinit` is where that program stands in the tree. No words mean that it finds a shell.
pub fn text(rdinit: &str, command: &[OsString]) -> Vec<u8> {
    let mut text = format!("#!{rdinit} -f\n").into_bytes();
    text.extend(b"# The command that this machine is started for; without one it is a shell.\n");
    for (index, word) in command.iter().enumerate() {
        text.extend_from_slice(if index == 0 { b"" } else { b" " });
        text.extend(quoted(word));
    }
    if !command.is_empty() {
        text.push(b'\n');
    }
    text
}

fn quoted(word: &OsStr) -> Vec<u8> {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_-./=:,+@%".contains(b);
    let bytes = word.as_bytes();
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return bytes.to_vec();
    }
    let mut out = vec![b'\''];
    for byte in bytes {
        match byte {
            b'\'' => out.extend(b"'\\''"),
            byte => out.push(*byte),
        }
    }
    out.push(b'\'');
    out
}

/// The words of the command in such a text.
///
/// ```
/// use isobox::rootfs::init_file::words;
/// let text = b"#!/bin/rdinit -f\n# a comment\nsh -c 'echo \"$HOME\"' a\\ b\n";
/// assert_eq!(words(text).unwrap(), ["sh", "-c", "echo \"$HOME\"", "a b"]);
/// ```
///
/// # Errors
/// A quote that is not closed.
pub fn words(text: &[u8]) -> Result<Vec<OsString>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'#' if word.is_none() => drop(bytes.by_ref().find(|b| *b == b'\n')),
            b' ' | b'\t' | b'\n' | b'\r' => words.extend(word.take()),
            quote @ (b'\'' | b'"') => {
                let word = word.get_or_insert_default();
                quoted_part(&mut bytes, quote, word)?;
            }
            b'\\' => match bytes.next() {
                Some(b'\n') => {}
                Some(byte) => word.get_or_insert_default().push(byte),
                None => {}
            },
            byte => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    Ok(words.into_iter().map(OsString::from_vec).collect())
}

fn quoted_part(bytes: &mut impl Iterator<Item = u8>, quote: u8, word: &mut Vec<u8>) -> Result<()> {
    while let Some(byte) = bytes.next() {
        match byte {
            byte if byte == quote => return Ok(()),
            b'\\' if quote == b'"' => match bytes.next() {
                Some(byte @ (b'"' | b'\\' | b'$' | b'`')) => word.push(byte),
                Some(b'\n') => {}
                Some(byte) => word.extend([b'\\', byte]),
                None => {}
            },
            byte => word.push(byte),
        }
    }
    Err(Error::new("a quote in the init file is not closed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_says_its_command() {
        let mut image = Execution {
            env: vec!["PATH=/x".into(), "A=b c".into()],
            entrypoint: vec!["/run".into()],
            cmd: vec!["-v".into()],
            working_dir: "/srv".into(),
            user: "www:1".into(),
            ..Execution::default()
        };
        let want = "setpriv|--clear-env|--env=HOME=/root|--env=TERM=linux|--env=PATH=/x|--env=A=b c|--workdir=/srv|--|chroot|--skip-chdir|--userspec=www:1|/|/run|-v";
        let want: Vec<OsString> = want.split('|').map(OsString::from).collect();
        assert_eq!(command(&image), want);
        image.entrypoint.clear();
        image.cmd.clear();
        assert_eq!(command(&image), Vec::<OsString>::new());
    }

    #[test]
    fn what_is_written_is_read() {
        let cases: [&[&[u8]]; 4] = [
            &[],
            &[b"sh"],
            &[
                b"a b",
                b"",
                b"it's",
                b"$HOME `x` \"q\" \\",
                b"new\nline",
                b"#no",
            ],
            &[b"\xff\xfe", b"a=b"],
        ];
        for case in cases {
            let command: Vec<OsString> = case.iter().map(|w| OsStr::from_bytes(w).into()).collect();
            assert_eq!(words(&text("/bin/rdinit", &command)).unwrap(), command);
        }
    }

    #[test]
    fn words_are_those_of_a_shell() {
        let cases: [(&[u8], &[&str]); 5] = [
            (b"a\\\nb c", &["ab", "c"]),
            (b"\"a\\\"b\\x\" 'a'\"b\"", &["a\"b\\x", "ab"]),
            (b"x#y # z\n#\nw", &["x#y", "w"]),
            (b"''", &[""]),
            (b"", &[]),
        ];
        for (text, want) in cases {
            assert_eq!(words(text).unwrap(), want, "{text:?}");
        }
        assert!(words(b"'a").is_err());
    }
}
