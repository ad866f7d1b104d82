//! The case files: one shell line per case, directives above it.
//!
//! ```text
//! # a comment
//! all: needs: root          this directive holds for every case below
//! needs: busybox host:jq    what the machine must have (kit/needs.rs)
//! as: user                  run as an ordinary user
//! stdin: text               a line on standard input
//! stderr: exact             the very same words
//! stderr: any               what is said does not matter
//! differs: reason           ours is meant to differ from every release
//! newer: 2.40 reason        ours follows that release of util-linux; the host may be older
//! want-status: 1            the expectation of the last two; 0 when not given,
//! want-out: text            one line of stdout each, none when not given,
//! want-err: words           stderr has these words; it is empty when not given
//! unshare -r id -u          the case
//! ```

/// One case: a line and what is to be known about it.
#[derive(Debug, Default, Clone)]
pub struct Case {
    /// Where it stands in its file.
    pub number: usize,
    pub line: String,
    pub needs: Vec<String>,
    pub user: bool,
    pub stdin: Option<String>,
    pub stderr: Words,
    pub intent: Intent,
    pub want: Want,
}

/// How much of stderr is compared.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub enum Words {
    #[default]
    Shape,
    Exact,
    Any,
}

/// Whether ours is meant to be like the host's.
#[derive(Debug, Default, Clone, PartialEq)]
pub enum Intent {
    #[default]
    Same,
    /// We decided otherwise, and say why.
    Differs,
    /// This util-linux release and later ones do as we do.
    Newer(u32, u32),
}

/// What ours must show when it is not the host that says it.
#[derive(Debug, Default, Clone)]
pub struct Want {
    pub status: i32,
    pub stdout: String,
    pub stderr: Option<String>,
}

/// Reads a case file.
pub fn parse(text: &str) -> Result<Vec<Case>, String> {
    let (mut cases, mut all, mut next) = (Vec::new(), Case::default(), Case::default());
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let directive = |case: &mut Case, line: &str| {
            directive(case, line).map_err(|e| format!("line {}: {e}", at + 1))
        };
        if let Some(general) = line.strip_prefix("all: ") {
            if !directive(&mut all, general)? {
                return Err(format!("line {}: not a directive: {general}", at + 1));
            }
            next = all.clone();
        } else if !directive(&mut next, line)? {
            let wants =
                next.want.status != 0 || !next.want.stdout.is_empty() || next.want.stderr.is_some();
            if wants && next.intent == Intent::Same {
                return Err(format!(
                    "line {}: want-... without differs: or newer:",
                    at + 1
                ));
            }
            cases.push(Case {
                number: at + 1,
                line: line.to_owned(),
                ..next
            });
            next = all.clone();
        }
    }
    Ok(cases)
}

/// Takes a line as a directive; false when it is a case.
fn directive(case: &mut Case, line: &str) -> Result<bool, String> {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    let value = value.trim_start();
    match name {
        "needs" => case
            .needs
            .extend(value.split_whitespace().map(str::to_owned)),
        "as" if value == "user" => case.user = true,
        "stdin" => case.stdin = Some(format!("{value}\n")),
        "stderr" => {
            case.stderr = match value {
                "exact" => Words::Exact,
                "any" => Words::Any,
                _ => return Err(format!("stderr: exact or any, not {value:?}")),
            }
        }
        "differs" if !value.is_empty() => case.intent = Intent::Differs,
        "newer" => {
            let (release, reason) = value.split_once(' ').unwrap_or_default();
            let (major, minor) = version(release)
                .filter(|_| !reason.is_empty())
                .ok_or("newer: RELEASE reason")?;
            case.intent = Intent::Newer(major, minor);
        }
        "want-status" => {
            case.want.status = value.parse().map_err(|_| format!("no status: {value:?}"))?;
        }
        "want-out" => case.want.stdout.push_str(&format!("{value}\n")),
        "want-err" => case.want.stderr = Some(value.to_owned()),
        _ => return Ok(false),
    }
    Ok(true)
}

/// The first two numbers of a release.
pub fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[test]
fn directives_are_read_and_mistakes_refused() {
    let text = "# c\nall: needs: root\n\nas: user\nneeds: host:jq\nnewer: 2.40 why\nwant-status: 3\nwant-out: a\nwant-out: b\nunshare: x\nls\n";
    let cases = parse(text).unwrap();
    assert_eq!(cases.len(), 2);
    assert_eq!(
        (cases[0].line.as_str(), cases[0].number, cases[0].user),
        ("unshare: x", 10, true)
    );
    assert_eq!(cases[0].needs, ["root", "host:jq"]);
    assert_eq!(
        (cases[0].intent.clone(), cases[0].want.status),
        (Intent::Newer(2, 40), 3)
    );
    assert_eq!(cases[0].want.stdout, "a\nb\n");
    assert_eq!((cases[1].needs.len(), cases[1].user), (1, false));
    for wrong in [
        "want-out: x\nls",
        "newer: soon\nls",
        "stderr: maybe\nls",
        "all: ls",
    ] {
        assert!(parse(wrong).is_err(), "{wrong:?}");
    }
}
