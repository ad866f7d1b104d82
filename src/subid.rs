//! Which ids besides his own a user may map: `/etc/subuid` and `/etc/subgid` (subuid(5), subgid(5)).
//!
//! Both files name users, never groups: a line is `name-or-uid:first:count`.

use std::fs;
use std::os::unix::ffi::OsStrExt;

use nix::unistd::geteuid;

use crate::accounts::Accounts;
use crate::decimal::decimal;
use crate::error::{Doing, Error, Result};
use crate::idmap::Ids;
use crate::process;
use crate::sys::clone::Change;

/// The first id of a block, and how many there are.
pub type Ids32 = (u32, u32);

/// The first block of the calling user. Where the file has no line for him the program getsubids(1) is asked,
/// which knows the databases of the network too, where it is installed.
///
/// # Errors
/// Where neither knows a block; with the line that is missing as the hint.
pub fn first_block(ids: Ids) -> Result<Ids32> {
    let uid = geteuid().as_raw();
    let account = Accounts::here().user_of(uid)?;
    let name = account.map(|user| user.name);
    let name = name.as_ref().map(|name| name.as_bytes());
    let file = ids.database();
    let text = fs::read(file);
    if let Ok(text) = &text
        && let Some(block) = blocks(text, name, Some(uid)).next()
    {
        return Ok(block);
    }
    let who = name.map_or_else(
        || uid.to_string(),
        |name| String::from_utf8_lossy(name).into_owned(),
    );
    if let Some(block) = ask_getsubids(ids, &who) {
        return Ok(block);
    }
    text.doing(format!("could not open '{file}'"))?;
    let option = ids.letter();
    let hint = if uid == 0 {
        format!(
            "root needs no such line: give the ids, as in --map-{}s 0:100000:65536",
            ids.owner()
        )
    } else {
        format!(
            "usermod --add-sub{option}ids 100000-165535 {who}, as root, adds the line {who}:100000:65536"
        )
    };
    Err(Error::new(format!("no line matching user \"{who}\" in {file}")).hint(hint))
}

/// What the file gives to root's containers: the blocks of `root`, then those of `containers`, who is there for nothing
/// else. With it the first id that the file gives to nobody.
///
/// # Errors
/// Where the file is there and cannot be read.
pub fn of_containers(ids: Ids) -> Result<(Vec<Ids32>, u32)> {
    let file = ids.database();
    let text = match fs::read(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        other => other.doing(format!("could not open '{file}'"))?,
    };
    let roots = blocks(&text, Some(b"root"), Some(0));
    let given = roots.chain(blocks(&text, Some(b"containers"), None));
    Ok((given.collect(), first_free(&text)))
}

/// Where a block could start that nobody has.
fn first_free(text: &[u8]) -> u32 {
    /// Below are ids of accounts, and of what systems make for themselves.
    const LEAST: u32 = 1 << 20;
    let end = |line: &[u8]| {
        let mut numbers = line
            .split(|b| *b == b':')
            .skip(1)
            .map(<[u8]>::trim_ascii_end);
        let mut next = || numbers.next().and_then(decimal::<u32>);
        next()?.checked_add(next()?)
    };
    let ends = text.split(|b| *b == b'\n').filter_map(end);
    ends.max().unwrap_or(0).max(LEAST)
}

/// Every block of a user, by his name or by his number, in the order of the file.
fn blocks<'a>(
    text: &'a [u8],
    name: Option<&'a [u8]>,
    uid: Option<u32>,
) -> impl Iterator<Item = Ids32> + 'a {
    text.split(|b| *b == b'\n').filter_map(move |line| {
        let mut fields = line.split(|b| *b == b':');
        let (who, first, count) = (fields.next()?, fields.next()?, fields.next()?);
        let his = Some(who) == name || uid.is_some() && decimal(who) == uid;
        let first: u32 = decimal(first)?;
        let count = decimal(count.trim_ascii_end())?;
        (his && count > 0 && first.checked_add(count).is_some()).then_some((first, count))
    })
}

/// What `getsubids USER` or `getsubids -g USER` says: `0: USER 100000 65536`.
fn ask_getsubids(ids: Ids, who: &str) -> Option<Ids32> {
    let mut argv = vec!["getsubids".to_owned()];
    argv.extend((ids == Ids::Group).then(|| "-g".to_owned()));
    argv.push(who.to_owned());
    let (Change::Exited(0), said) = process::run(&argv, true).ok()? else {
        return None;
    };
    let said = String::from_utf8(said).ok()?;
    let mut words = said.lines().next()?.split_whitespace().rev().map(decimal);
    let (count, first) = (words.next()??, words.next()??);
    (count > 0).then_some((first, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_blocks_of_his_name_and_number() {
        let text = b"root:1:1\nanna:100000:65536\n# bob\nbob:1\n1000:300000:10\nanna:7:0\nanna:8:9 \nannas:5:5\nanna:x:1\n";
        let of = |name: &'static str, uid| {
            blocks(text, Some(name.as_bytes()), Some(uid)).collect::<Vec<_>>()
        };
        assert_eq!(of("anna", 1000), [(100_000, 65536), (300_000, 10), (8, 9)]);
        assert_eq!(of("bob", 1001), []);
        assert_eq!(
            blocks(text, None, Some(1000)).collect::<Vec<_>>(),
            [(300_000, 10)]
        );
        assert_eq!(blocks(b"", Some(b"anna"), Some(1000)).next(), None);
        assert_eq!(blocks(text, Some(b"root"), None).next(), Some((1, 1)));
    }

    #[test]
    fn a_new_block_starts_behind_all_others() {
        let cases: [(&[u8], u32); 4] = [
            (b"", 1 << 20),
            (b"anna:100000:65536\nx:y:z\n", 1 << 20),
            (
                b"anna:100000:65536\nbob:2000000:7 \nbob:1500000:10\n",
                2_000_007,
            ),
            (b"anna:4294967295:10\n", 1 << 20),
        ];
        for (text, want) in cases {
            assert_eq!(first_free(text), want, "{}", String::from_utf8_lossy(text));
        }
    }
}
