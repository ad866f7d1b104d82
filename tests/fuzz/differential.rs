//! What we take out of an archive is what GNU tar and Python's tarfile take out of it, or we refuse it: a way to hide a
//! member from one who looks is a way past him (CVE-2025-62518).

use super::{fuzz, mutate, targets};
use isobox::tar::{Kind, Member};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A member as all three tell it.
#[derive(PartialEq, Eq)]
struct Line {
    kind: char,
    name: Vec<u8>,
    link: Vec<u8>,
    size: u64,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, link) = (self.name.escape_ascii(), self.link.escape_ascii());
        write!(f, "{} \"{name}\" -> \"{link}\" {}", self.kind, self.size)
    }
}

/// Python's tarfile, which stays for the next archive.
struct Python {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Python {
    fn new() -> Self {
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", include_str!("tarfile.py")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let to = child.stdin.take().unwrap();
        let from = BufReader::new(child.stdout.take().unwrap());
        Self { child, to, from }
    }

    fn members(&mut self, archive: &[u8]) -> (Vec<Line>, Option<String>) {
        writeln!(self.to, "{}", archive.len()).unwrap();
        self.to.write_all(archive).unwrap();
        self.to.flush().unwrap();
        let (mut lines, mut failure) = (Vec::new(), None);
        loop {
            let mut line = String::new();
            assert!(self.from.read_line(&mut line).unwrap() > 0, "python ended");
            let fields: Vec<&str> = line.trim_end().split(' ').collect();
            match fields[..] {
                ["."] => break,
                ["!", ..] => failure = Some(line),
                [kind, name, link, size] => lines.push(Line {
                    kind: kind.chars().next().unwrap(),
                    name: without_slash(kind == "d", unhex(name)),
                    link: unhex(link),
                    size: size.parse().unwrap(),
                }),
                _ => panic!("python said {line:?}"),
            }
        }
        (lines, failure)
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    digits
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// A directory may be told with a slash at its end or without.
fn without_slash(is_directory: bool, mut name: Vec<u8>) -> Vec<u8> {
    while is_directory && name.len() > 1 && name.ends_with(b"/") {
        name.pop();
    }
    name
}

/// What GNU tar lists, and its complaint where it fails.
fn gnu(archive: &[u8]) -> (Vec<Line>, Option<String>) {
    let mut tar = Command::new("/bin/tar")
        .args([
            "-tvf",
            "-",
            "--numeric-owner",
            "--quoting-style=c",
            "-P",
            "--utc",
        ])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have seen enough before all is written.
    let _ = tar.stdin.take().unwrap().write_all(archive);
    let output = tar.wait_with_output().unwrap();
    let lines = output
        .stdout
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty());
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    (
        lines.map(gnu_line).collect(),
        (!output.status.success()).then_some(complaint),
    )
}

/// `-rw-r--r-- 0/0     5 2020-01-01 00:00 "name"`, behind a link ` -> "there"` or ` link to "there"`.
fn gnu_line(line: &[u8]) -> Line {
    let text = String::from_utf8_lossy(line);
    let fields: Vec<&str> = text.split_whitespace().collect();
    let kind = char::from(line[0]);
    let (name, rest) = unquoted(&line[line.iter().position(|b| *b == b'"').unwrap() + 1..]);
    let link = rest
        .iter()
        .position(|b| *b == b'"')
        .map_or(Vec::new(), |at| unquoted(&rest[at + 1..]).0);
    Line {
        kind: if kind == 'C' { '-' } else { kind },
        name: without_slash(kind == 'd', name),
        link,
        size: if matches!(kind, '-' | 'C') {
            fields[2].parse().unwrap()
        } else {
            0
        },
    }
}

/// A string of C up to its closing quote, and what stands behind that.
fn unquoted(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut out = Vec::new();
    let mut at = 0;
    loop {
        match (text[at], text.get(at + 1)) {
            (b'"', _) => return (out, &text[at + 1..]),
            (b'\\', Some(b'0'..=b'7')) => {
                let digits = str::from_utf8(&text[at + 1..at + 4]).unwrap();
                out.push(u8::from_str_radix(digits, 8).unwrap());
                at += 4;
            }
            (b'\\', Some(letter)) => {
                let plain = [
                    (b'a', 7),
                    (b'b', 8),
                    (b'f', 12),
                    (b'n', 10),
                    (b'r', 13),
                    (b't', 9),
                    (b'v', 11),
                ];
                let found = plain.iter().find(|(name, _)| name == letter);
                out.push(found.map_or(*letter, |(_, byte)| *byte));
                at += 2;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
}

fn is_link(kind: Kind) -> bool {
    matches!(kind, Kind::HardLink | Kind::Symlink)
}

fn ours(archive: &[u8]) -> Result<Vec<Line>, String> {
    let line = |member: &Member| Line {
        kind: match member.kind {
            Kind::File => '-',
            Kind::HardLink => 'h',
            Kind::Symlink => 'l',
            Kind::Character => 'c',
            Kind::Block => 'b',
            Kind::Directory => 'd',
            Kind::Fifo => 'p',
        },
        name: without_slash(member.kind == Kind::Directory, member.path.clone()),
        link: if is_link(member.kind) {
            member.link.clone()
        } else {
            Vec::new()
        },
        size: if member.kind == Kind::File {
            member.size
        } else {
            0
        },
    };
    targets::members(archive).map(|members| members.iter().map(line).collect())
}

/// Where another one gives up it says so, and nobody takes what it told until then for the whole.
fn judge(ours: &[Line], theirs: &[Line], complaint: Option<&str>, who: &str) {
    let same = match complaint {
        Some(_) => ours.starts_with(theirs),
        None => ours == theirs,
    };
    assert!(
        same,
        "we find {ours:#?}\n{who} finds {theirs:#?} {complaint:?}"
    );
}

#[test]
fn others_find_the_same_members_or_we_refuse() {
    needs!(host("python3"), host("tar"));
    let mut python = Python::new();
    let (mut compared, mut refused) = (0, 0);
    fuzz("tar", mutate::fix_tar, |archive| {
        let Ok(ours) = ours(archive) else {
            refused += 1;
            return;
        };
        compared += 1;
        let (python, complaint) = python.members(archive);
        judge(&ours, &python, complaint.as_deref(), "Python");
        let (gnu, complaint) = gnu(archive);
        judge(&ours, &gnu, complaint.as_deref(), "GNU tar");
    });
    assert!(
        compared > 10,
        "{refused} archives are refused, and {compared} compared"
    );
}

#[test]
fn what_is_told_is_understood() {
    let line = gnu_line(
        br#"lrwxrwxrwx 0/0               0 1970-01-01 00:00 "a\303\244 \"\n -> b" -> "\\x""#,
    );
    let want = Line {
        kind: 'l',
        name: "a\u{e4} \"\n -> b".into(),
        link: b"\\x".to_vec(),
        size: 0,
    };
    assert_eq!(line, want);
}
