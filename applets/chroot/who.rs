//! Whom chroot(1) makes of `--userspec` and `--groups`: coreutils' rules, by the accounts of the new root, and
//! where those do not know by the ones outside.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use isobox::accounts::Accounts;
use isobox::credentials::{Typed, typed};
use isobox::error::{Error, Result};

/// Who the command is to be; `None` leaves it as it is.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) groups: Option<Vec<u32>>,
    /// Something to be said before going on.
    pub(super) warning: Option<&'static str>,
}

/// A user id and a group id, as far as they are known.
type Ids = (Option<u32>, Option<u32>);

/// Resolves both options. `outside` is `None` where the new root is the old one.
///
/// # Errors
/// coreutils' sentences.
pub(super) fn resolve(
    spec: Option<&OsStr>,
    groups: Option<&OsStr>,
    outside: Option<&mut Accounts>,
    inside: &mut Accounts,
) -> Result<Who> {
    // `user:` is `user`: the login group is looked up for both.
    let spec = spec.map(|spec| {
        spec.as_bytes()
            .strip_suffix(b":")
            .unwrap_or(spec.as_bytes())
    });
    let mut search = Search {
        spec,
        groups,
        ids: (None, None),
        user: None,
    };
    let warning = search.look_up(inside)?.map_err(Error::new)?;
    let found_outside = match outside {
        Some(outside) => search.fill_in(outside)?,
        None => None,
    };
    if let (Some(uid), None) = search.ids {
        let text = format!("no group specified for unknown uid: {uid}");
        return Err(Error::new(text));
    }
    let supplementary = match (search.supplementary(inside)?, found_outside) {
        (Ok(Some(groups)), _) => groups,
        (_, Some(groups)) => groups,
        (Ok(None), None) => Vec::new(),
        (Err(error), None) => return Err(error),
    };
    let (uid, gid) = search.ids;
    let sets_groups = uid.is_some() || groups.is_some();
    Ok(Who {
        uid,
        gid,
        groups: sets_groups.then_some(supplementary),
        warning,
    })
}

/// What is looked for, and what has been found.
struct Search<'a> {
    spec: Option<&'a [u8]>,
    groups: Option<&'a OsStr>,
    ids: Ids,
    /// The name of the user, where the line was needed and there.
    user: Option<std::ffi::OsString>,
}

impl Search<'_> {
    /// Looks up user and group, and the login group where none was named. Gives a warning, or what is wrong.
    fn look_up(
        &mut self,
        accounts: &mut Accounts,
    ) -> Result<Result<Option<&'static str>, &'static str>> {
        let mut said = Ok(None);
        if let Some(spec) = self.spec {
            match user_spec(spec, accounts, self.ids)? {
                Ok((ids, warning)) => {
                    self.ids = ids;
                    said = Ok(warning);
                }
                Err(words) => said = Err(words),
            }
        }
        let (uid, gid) = self.ids;
        if let Some(uid) = uid.filter(|_| self.groups.is_none() || gid.is_none())
            && let Some(user) = accounts.user_of(uid)?
        {
            self.ids.1.get_or_insert(user.gid);
            self.user = Some(user.name);
        }
        Ok(said)
    }

    /// Takes from the outside what the inside does not know: the login group and the name of a user who is a
    /// number there. What the inside does know stays (coreutils gives a user of the new root the login group
    /// that the user of this name has outside). Gives the outside's supplementary groups.
    fn fill_in(&mut self, outside: &mut Accounts) -> Result<Option<Vec<u32>>> {
        let mut search = Search {
            ids: (None, None),
            user: None,
            ..*self
        };
        // What the outside does not know is no error.
        let _ = search.look_up(outside)?;
        if self.user.is_none() && search.ids.0 == self.ids.0 {
            self.ids.1 = self.ids.1.or(search.ids.1);
            self.user = search.user.clone();
        }
        Ok(search.supplementary(outside)?.ok().flatten())
    }

    /// The supplementary groups: those listed, else those of the user; `None` where there is nothing to go by.
    fn supplementary(&self, accounts: &mut Accounts) -> Result<Result<Option<Vec<u32>>>> {
        match (self.groups, self.ids.1, &self.user) {
            (Some(list), ..) if list.is_empty() => Ok(Ok(None)),
            (Some(list), ..) => Ok(additional(list, accounts)?.map(Some)),
            (None, Some(gid), Some(user)) => Ok(Ok(Some(accounts.groups_of(user, gid)?))),
            _ => Ok(Ok(None)),
        }
    }
}

/// Reads `[USER][:GROUP]`. Without a colon a dot is tried in its place, with a warning.
fn user_spec(
    spec: &[u8],
    accounts: &mut Accounts,
    ids: Ids,
) -> Result<Result<(Ids, Option<&'static str>), &'static str>> {
    let at = |separator: u8| spec.iter().position(|b| *b == separator);
    let colon = at(b':');
    let plain = separated(spec, colon, accounts, ids)?;
    if let (Err(_), None, Some(dot)) = (&plain, colon, at(b'.'))
        && let Ok(ids) = separated(spec, Some(dot), accounts, ids)?
    {
        return Ok(Ok((ids, Some("warning: '.' should be ':'"))));
    }
    Ok(plain.map(|ids| (ids, None)))
}

fn separated(
    spec: &[u8],
    separator: Option<usize>,
    accounts: &mut Accounts,
    (mut uid, mut gid): Ids,
) -> Result<Result<Ids, &'static str>> {
    let (user, group) = match separator {
        Some(at) => (&spec[..at], &spec[at + 1..]),
        None => (spec, &b""[..]),
    };
    if !user.is_empty() {
        let wants_login_group = separator.is_some() && group.is_empty();
        let name = OsStr::from_bytes(user);
        let entry = match may_be_name(name) {
            true => accounts.user(name)?,
            false => None,
        };
        match (entry, typed(name)) {
            (Some(entry), _) => {
                uid = Some(entry.uid);
                if wants_login_group {
                    gid = Some(entry.gid);
                }
            }
            (None, _) if wants_login_group => return Ok(Err("invalid spec")),
            (None, Typed::Id(id)) => uid = Some(id),
            (None, _) => return Ok(Err("invalid user")),
        }
    }
    if !group.is_empty() {
        match group_id(OsStr::from_bytes(group), accounts)? {
            Some(id) => gid = Some(id),
            None => return Ok(Err("invalid group")),
        }
    }
    Ok(Ok((uid, gid)))
}

/// Whether a lookup by name comes first: not for `+5`, and never for a number that no id can have.
fn may_be_name(text: &OsStr) -> bool {
    !text.as_bytes().starts_with(b"+") && typed(text) != Typed::NoId
}

fn group_id(text: &OsStr, accounts: &mut Accounts) -> Result<Option<u32>> {
    if may_be_name(text)
        && let Some(gid) = accounts.group(text)?
    {
        return Ok(Some(gid));
    }
    Ok(match typed(text) {
        Typed::Id(gid) => Some(gid),
        _ => None,
    })
}

/// Reads a list of groups; empty words are passed over.
fn additional(list: &OsStr, accounts: &mut Accounts) -> Result<Result<Vec<u32>>> {
    let (mut ids, mut unknown) = (Vec::new(), Vec::new());
    for word in list.as_bytes().split(|b| *b == b',') {
        let word = OsStr::from_bytes(word);
        if word.is_empty() {
            continue;
        }
        match group_id(word, accounts)? {
            Some(id) => ids.push(id),
            None => unknown.push(format!("'{}'", word.display())),
        }
    }
    Ok(match unknown.as_slice() {
        [] if ids.is_empty() => Err(Error::new(format!(
            "invalid group list '{}'",
            list.display()
        ))),
        [] => Ok(ids),
        [one] => Err(Error::new(format!("invalid group {one}"))),
        more => Err(Error::new(format!("invalid groups {}", more.join(", ")))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const INSIDE: (&str, &str) = (
        "root:x:0:0::/root:/bin/sh\nweb:x:33:34:::\n77:x:78:79:::\nab.cd:x:5:6:::\n4294967296:x:0:0:::\n",
        "root:x:0:\nweb:x:34:\nlog:x:4:web,root\n80:x:81:\n",
    );
    const OUTSIDE: (&str, &str) = (
        "root:x:0:0::/root:/bin/sh\nhost:x:50:51:::\nweb:x:1:2:::\n",
        "root:x:0:\nhosts:x:52:host\nlog:x:9:\n",
    );

    fn accounts(name: &str, (passwd, group): (&str, &str)) -> Accounts {
        let root = std::env::temp_dir().join(format!("isobox-who-{name}-{}", std::process::id()));
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(root.join("etc/passwd"), passwd).unwrap();
        fs::write(root.join("etc/group"), group).unwrap();
        let mut accounts = Accounts::of_root(fs::File::open(&root).unwrap().into());
        // Both are read now, so that nothing needs to stay.
        let _ = (
            accounts.user_of(0).unwrap(),
            accounts.group("x".as_ref()).unwrap(),
        );
        fs::remove_dir_all(&root).unwrap();
        accounts
    }

    type Wanted<'a> = Result<(Option<u32>, Option<u32>, Option<&'a [u32]>), &'a str>;

    #[test]
    fn specs_are_read_as_coreutils_reads_them() {
        let mut inside = accounts("inside", INSIDE);
        let mut outside = accounts("outside", OUTSIDE);
        let cases: [(Option<&str>, Option<&str>, Wanted); 27] = [
            (None, None, Ok((None, None, None))),
            (Some(""), None, Ok((None, None, None))),
            (Some(":"), None, Ok((None, None, None))),
            (Some("web"), None, Ok((Some(33), Some(34), Some(&[34, 4])))),
            (Some("web:"), None, Ok((Some(33), Some(34), Some(&[34, 4])))),
            (Some("33"), None, Ok((Some(33), Some(34), Some(&[34, 4])))),
            (Some("web:log"), None, Ok((Some(33), Some(4), Some(&[4])))),
            (Some("web:7"), None, Ok((Some(33), Some(7), Some(&[7, 4])))),
            (Some(":log"), None, Ok((None, Some(4), None))),
            (Some(":6"), None, Ok((None, Some(6), None))),
            (Some("5:6"), Some(""), Ok((Some(5), Some(6), Some(&[])))),
            (
                Some("5:6"),
                Some("7,,log"),
                Ok((Some(5), Some(6), Some(&[7, 4]))),
            ),
            (None, Some("log"), Ok((None, None, Some(&[4])))),
            (None, Some("80,+80"), Ok((None, None, Some(&[81, 80])))),
            // Numbers are names first, unless they are written with a sign.
            (Some("77:1"), None, Ok((Some(78), Some(1), Some(&[1])))),
            (Some("+77:1"), None, Ok((Some(77), Some(1), Some(&[])))),
            (Some("ab.cd"), None, Ok((Some(5), Some(6), Some(&[6])))),
            (Some("web.log"), None, Ok((Some(33), Some(4), Some(&[4])))),
            // The outside knows the login group and the groups of 50, the inside does not.
            (Some("50"), None, Ok((Some(50), Some(51), Some(&[51])))),
            (Some("host"), None, Err("invalid user")),
            (
                Some("99"),
                None,
                Err("no group specified for unknown uid: 99"),
            ),
            (Some("4294967296"), None, Err("invalid user")),
            (Some("4294967295:1"), None, Err("invalid user")),
            (Some("1:4294967296"), None, Err("invalid group")),
            (Some("5:6:7"), None, Err("invalid group")),
            (None, Some("x,log,y"), Err("invalid groups 'x', 'y'")),
            (None, Some(","), Err("invalid group list ','")),
        ];
        for (spec, groups, want) in cases {
            let (spec, groups) = (spec.map(OsStr::new), groups.map(OsStr::new));
            let got = resolve(spec, groups, Some(&mut outside), &mut inside);
            let got = got.map_err(|error| error.to_string());
            let got = match &got {
                Ok(who) => Ok((who.uid, who.gid, who.groups.as_deref())),
                Err(text) => Err(text.as_str()),
            };
            assert_eq!(got, want, "{spec:?} {groups:?}");
        }
    }

    #[test]
    fn a_dot_is_warned_of() {
        let mut inside = accounts("dot", INSIDE);
        let who = resolve(Some("web.log".as_ref()), None, None, &mut inside).unwrap();
        assert_eq!(who.warning, Some("warning: '.' should be ':'"));
        let who = resolve(Some("ab.cd".as_ref()), None, None, &mut inside).unwrap();
        assert_eq!(who.warning, None);
    }
}
