//! Id maps of user namespaces as data (user_namespaces(7), "User and group ID mappings").
//!
//! What the user asks for are blocks ([`Block`]) and at most one id of his own ([`Single`]); what the kernel
//! takes are lines ([`Range`]) that do not overlap on either side. [`with_single`] makes the one of the other.

use std::fmt::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;

use crate::decimal::decimal;
use crate::error::{Doing, Error, Result};
use crate::namespace::Kind;

/// User ids or group ids: the two maps of a user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// `uid_map`
    User,
    /// `gid_map`
    Group,
}

impl Ids {
    /// The file below `/proc/PID`.
    pub fn file(self) -> &'static str {
        match self {
            Self::User => "uid_map",
            Self::Group => "gid_map",
        }
    }

    /// `u` of uid, `g` of gid.
    pub fn letter(self) -> char {
        match self {
            Self::User => 'u',
            Self::Group => 'g',
        }
    }

    /// Whose ids they are: `user`, `group`.
    pub fn owner(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
        }
    }

    /// The set-id program that writes this map for ordinary users.
    pub fn mapper(self) -> &'static str {
        match self {
            Self::User => "newuidmap",
            Self::Group => "newgidmap",
        }
    }

    /// Its manual page.
    pub fn mapper_page(self) -> &'static str {
        match self {
            Self::User => "newuidmap(1)",
            Self::Group => "newgidmap(1)",
        }
    }

    /// Who may map what: subuid(5), subgid(5).
    pub fn database(self) -> &'static str {
        match self {
            Self::User => "/etc/subuid",
            Self::Group => "/etc/subgid",
        }
    }
}

/// One line of `uid_map` or `gid_map`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First id inside the namespace.
    pub inside: u32,
    /// First id outside, as the parent namespace numbers it.
    pub outside: u32,
    /// How many ids.
    pub count: u32,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.inside, self.outside, self.count)
    }
}

/// A block of ids that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// These ids at these numbers; where the caller's id takes a number away, the last one goes without.
    Fixed(Range),
    /// All of these ids, from number 0 on; where the caller's id takes a number, the next are used.
    FromZero {
        /// First id outside.
        outside: u32,
        /// How many ids.
        count: u32,
    },
}

/// The caller's own id, mapped by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Single {
    /// The id inside.
    pub inside: u32,
    /// The id outside: the caller's effective one.
    pub outside: u32,
}

impl From<Single> for Range {
    fn from(single: Single) -> Self {
        Self {
            inside: single.inside,
            outside: single.outside,
            count: 1,
        }
    }
}

/// Reads `INSIDE:OUTSIDE:COUNT`, or the order of util-linux before 2.39, `OUTSIDE,INSIDE,COUNT`.
///
/// ```
/// use isobox::idmap::{Range, parse};
/// let range = Range { inside: 0, outside: 100_000, count: 10 };
/// assert_eq!(parse("0:100000:10"), Ok(range));
/// assert_eq!(parse("100000,0,10"), Ok(range));
/// assert!(parse("0:100000").is_err() && parse("0:100000:0").is_err() && parse("1:4294967295:1").is_err());
/// ```
pub fn parse(text: &str) -> Result<Range> {
    let invalid = |why: &'static str| {
        let error = Error::new(format!("invalid mapping '{}'", text));
        if why.is_empty() {
            error
        } else {
            error.because(why)
        }
    };
    let numbers = |separator: char| -> Option<[u32; 3]> {
        let numbers: Vec<u32> = text.split(separator).map(decimal).collect::<Option<_>>()?;
        numbers.try_into().ok()
    };
    let range = if let Some([inside, outside, count]) = numbers(':') {
        Range {
            inside,
            outside,
            count,
        }
    } else if let Some([outside, inside, count]) = numbers(',') {
        Range {
            inside,
            outside,
            count,
        }
    } else {
        return Err(invalid(""));
    };
    if range.count == 0 {
        return Err(invalid("it maps no id"));
    }
    if [range.inside, range.outside]
        .iter()
        .any(|first| first.checked_add(range.count).is_none())
    {
        return Err(invalid("the last id is 4294967294"));
    }
    Ok(range)
}

/// The lines for these blocks, with the caller's id in front. An id that the caller's line takes, on either
/// side, is left out of the blocks, whose other ids close up: so of a fixed block that is hit, the last id goes
/// without.
///
/// ```
/// use isobox::idmap::{Block, Range, Single, with_single};
/// let caller = Single { inside: 0, outside: 1000 };
/// let lines = with_single(&[Block::FromZero { outside: 100_000, count: 65536 }], Some(caller));
/// assert_eq!(lines[1], Range { inside: 1, outside: 100_000, count: 65536 });
/// ```
pub fn with_single(blocks: &[Block], single: Option<Single>) -> Vec<Range> {
    let mut lines: Vec<Range> = single.map(Range::from).into_iter().collect();
    for block in blocks {
        let (inside, outside, count) = match *block {
            Block::Fixed(range) => (range.inside, range.outside, range.count),
            Block::FromZero { outside, count } => (0, outside, count),
        };
        // Where in the block the caller's id lies, and how many ids are left on either side without it.
        let cut = |first: u32, id: Option<u32>| {
            id.and_then(|id| id.checked_sub(first))
                .filter(|at| *at < count)
        };
        let cut_outside = cut(outside, single.map(|s| s.outside));
        let mut cut_inside = cut(inside, single.map(|s| s.inside));
        let mut left = count.saturating_sub(u32::from(cut_outside.is_some()));
        if matches!(block, Block::Fixed(_)) {
            left = left.min(count.saturating_sub(u32::from(cut_inside.is_some())));
        } else if cut_inside.is_some_and(|at| at >= left) {
            cut_inside = None;
        }
        lines.extend(pieces(inside, outside, left, cut_inside, cut_outside));
    }
    lines
}

/// `count` ids from `inside` and `outside` on, each side leaving out the id at its cut.
fn pieces(
    inside: u32,
    outside: u32,
    count: u32,
    cut_inside: Option<u32>,
    cut_outside: Option<u32>,
) -> impl Iterator<Item = Range> {
    let passed = |cut: Option<u32>, at: u32| u32::from(cut.is_some_and(|cut| cut <= at));
    let at = |cut: Option<u32>| cut.unwrap_or(count).min(count);
    let (low, high) = (
        at(cut_inside).min(at(cut_outside)),
        at(cut_inside).max(at(cut_outside)),
    );
    [(0, low), (low, high), (high, count)]
        .into_iter()
        .filter(|(from, to)| from < to)
        .map(move |(from, to)| Range {
            inside: inside + from + passed(cut_inside, from),
            outside: outside + from + passed(cut_outside, from),
            count: to - from,
        })
}

/// Most lines the kernel takes (`UID_GID_MAP_MAX_EXTENTS`, Linux 4.15).
const MOST_LINES: usize = 340;
/// A map is written at once, and must be shorter than a page.
const PAGE: usize = 4096;

/// The text of a map.
///
/// # Errors
/// Where the kernel would refuse its size: no line, more than 340, or a page and more.
pub fn text(ids: Ids, ranges: &[Range]) -> Result<String> {
    if ranges.is_empty() {
        return Err(Error::new(format!("{} would be empty", ids.file())));
    }
    let mut text = String::new();
    for range in ranges {
        let _ = writeln!(text, "{range}");
    }
    // One line needs no newline, and is what every other tool writes.
    if ranges.len() == 1 {
        text.pop();
    }
    if ranges.len() > MOST_LINES {
        return Err(Error::new(format!(
            "{} too large for the kernel: {} lines, of at most {MOST_LINES}",
            ids.file(),
            ranges.len()
        )));
    }
    if text.len() >= PAGE {
        return Err(Error::new(format!(
            "{} too large for kernel 4k limit",
            ids.file()
        )));
    }
    Ok(text)
}

/// The numbers of all lines, as newuidmap(1) wants them.
pub fn words(ranges: &[Range]) -> Vec<String> {
    ranges
        .iter()
        .flat_map(|range| [range.inside, range.outside, range.count])
        .map(|number| number.to_string())
        .collect()
}

/// Two lines that claim the same id, which the kernel refuses.
pub fn overlap(ranges: &[Range]) -> Option<(Range, Range)> {
    let meet = |a: u32, b: u32, (ca, cb): (u32, u32)| {
        u64::from(a) < u64::from(b) + u64::from(cb) && u64::from(b) < u64::from(a) + u64::from(ca)
    };
    ranges.iter().enumerate().find_map(|(at, a)| {
        let rest = ranges.get(at + 1..).unwrap_or_default();
        let counts = |b: &Range| (a.count, b.count);
        rest.iter()
            .find(|b| meet(a.inside, b.inside, counts(b)) || meet(a.outside, b.outside, counts(b)))
            .map(|b| (*a, *b))
    })
}

/// Whether every id that `range` names outside is an id inside of one of these lines (the kernel wants a line of a
/// new map to lie within one line of the parent's).
pub fn covers(parent: &[Range], range: &Range) -> bool {
    let end = |first: u32, count: u32| u64::from(first) + u64::from(count);
    parent.iter().any(|line| {
        line.inside <= range.outside
            && end(range.outside, range.count) <= end(line.inside, line.count)
    })
}

/// The map of the user namespace that this process is in.
///
/// # Errors
/// Where `/proc` is not there to read it from.
pub fn own(ids: Ids) -> Result<Vec<Range>> {
    let file = format!("/proc/self/{}", ids.file());
    let text = std::fs::read_to_string(&file).doing(format!("could not open '{file}'"))?;
    Ok(read(&text))
}

/// The ids that there are for this process. Without `/proc` they are taken for those of the machine.
pub fn here(ids: Ids) -> Vec<Range> {
    let all = || {
        vec![Range {
            inside: 0,
            outside: 0,
            count: u32::MAX,
        }]
    };
    // This is looked at sooner than a map is read.
    match std::fs::metadata("/proc/self/ns/user") {
        Ok(namespace) if Some(namespace.ino()) != Kind::User.first() => {
            own(ids).unwrap_or_else(|_| all())
        }
        _ => all(),
    }
}

/// How many ids these are.
pub fn count(ranges: &[Range]) -> u32 {
    let counts = ranges.iter().map(|range| range.count);
    counts.fold(0, u32::saturating_add)
}

/// The lines of a map file of the kernel: three numbers each, padded with blanks.
pub fn read(text: &str) -> Vec<Range> {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map(decimal);
        let mut next = || numbers.next().flatten();
        Some(Range {
            inside: next()?,
            outside: next()?,
            count: next()?,
        })
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn r(inside: u32, outside: u32, count: u32) -> Range {
        Range {
            inside,
            outside,
            count,
        }
    }

    #[test]
    fn mappings_are_read_or_refused() {
        let cases = [
            ("0:1000:1", Some(r(0, 1000, 1))),
            ("1000,0,1", Some(r(0, 1000, 1))),
            ("0:0:4294967295", Some(r(0, 0, u32::MAX))),
            ("", None),
            ("1:2", None),
            ("1:2:3:4", None),
            ("1:2,3", None),
            ("1,2,3x", None),
            ("-1:0:1", None),
            ("+1:0:1", None),
            (" 1:0:1", None),
            ("0:0:4294967296", None),
            ("1:0:4294967295", None),
            ("0:1:4294967295", None),
            ("4294967295:0:1", None),
            ("5:5:0", None),
        ];
        for (typed, want) in cases {
            assert_eq!(parse(typed).ok(), want, "{typed:?}");
        }
    }

    /// `auto:OUTSIDE:COUNT` and `INSIDE:OUTSIDE:COUNT`, one after the other.
    fn blocks(words: &str) -> Vec<Block> {
        let block = |word: &str| match word.strip_prefix("auto") {
            Some(rest) => parse(&format!("0{rest}")).map(|r| Block::FromZero {
                outside: r.outside,
                count: r.count,
            }),
            None => parse(word).map(Block::Fixed),
        };
        words
            .split_whitespace()
            .map(|w| block(w).unwrap())
            .collect()
    }

    #[test]
    fn the_callers_id_makes_a_hole() {
        // The blocks, the caller's id inside and outside, the lines behind the caller's.
        #[rustfmt::skip]
        let cases = [
            ("auto:100000:65536", 0, 1000, "1:100000:65536"), // util-linux#4457: none is lost
            ("auto:100000:1", 0, 1000, "1:100000:1"),
            ("auto:100000:65536", 1000, 1000, "0:100000:1000 1001:101000:64536"),
            ("auto:100000:65536", 65536, 1000, "0:100000:65536"),
            // The caller's own id within his range: mapped once, and nothing past the end of the range.
            ("auto:100000:65536", 0, 100_002, "1:100000:2 3:100003:65533"),
            ("auto:100000:65536", 65535, 100_000, "0:100001:65535"),
            // Fixed numbers: the last id of the block goes without.
            ("0:100000:10", 0, 1000, "1:100000:9"),
            ("0:100000:10", 5, 1000, "0:100000:5 6:100005:4"),
            ("0:0:1000", 0, 0, "1:1:999"),
            ("0:990:20", 2, 1000, "0:990:2 3:992:8 11:1001:9"),
            ("0:990:20", 15, 1000, "0:990:10 10:1001:5 16:1006:4"),
            ("0:100000:1", 0, 1000, ""),
            // Just beside the block: no hole.
            ("0:100000:10", 10, 1000, "0:100000:10"),
            ("1:100000:10", 0, 99_999, "1:100000:10"),
            ("0:5000:10 20:6000:1", 20, 0, "0:5000:10"),
        ];
        for (asked, inside, outside, want) in cases {
            let lines = with_single(&blocks(asked), Some(Single { inside, outside }));
            let want = want.split_whitespace().map(|w| parse(w).unwrap());
            let want: Vec<Range> = [r(inside, outside, 1)].into_iter().chain(want).collect();
            assert_eq!(lines, want, "{asked} {inside} {outside}");
        }
        assert_eq!(with_single(&blocks("auto:7:9"), None), [r(0, 7, 9)]);
        assert_eq!(
            with_single(&blocks("5:7:9 1:2:3"), None),
            [r(5, 7, 9), r(1, 2, 3)]
        );
    }

    #[test]
    fn no_id_is_mapped_twice_or_invented() {
        for inside in 0..12 {
            for outside in 0..12 {
                for count in 1..6 {
                    for fixed in [true, false] {
                        let block = match fixed {
                            true => Block::Fixed(r(4, 3, count)),
                            false => Block::FromZero { outside: 3, count },
                        };
                        let lines = with_single(&[block], Some(Single { inside, outside }));
                        assert_eq!(overlap(&lines), None, "{block:?} {inside} {outside}");
                        for line in &lines[1..] {
                            assert!(line.outside >= 3 && line.outside + line.count <= 3 + count);
                            assert!(
                                !fixed || line.inside >= 4 && line.inside + line.count <= 4 + count
                            );
                        }
                        let mapped: u32 = lines[1..].iter().map(|line| line.count).sum();
                        assert!(mapped + 1 >= count, "one id at most goes without");
                    }
                }
            }
        }
    }

    #[test]
    fn the_kernels_limits_are_known() {
        let many = |n: u32| (0..n).map(|i| r(i, i, 1)).collect::<Vec<_>>();
        assert_eq!(text(Ids::User, &[r(0, 1000, 1)]).unwrap(), "0 1000 1");
        assert_eq!(text(Ids::User, &many(2)).unwrap(), "0 0 1\n1 1 1\n");
        assert!(text(Ids::User, &[]).is_err());
        assert!(text(Ids::User, &many(340)).is_ok());
        assert!(text(Ids::User, &many(341)).is_err());
        let wide: Vec<Range> = (0..200)
            .map(|i| r(i + 1_000_000_000, i + 2_000_000_000, 1))
            .collect();
        assert!(text(Ids::Group, &wide).is_err());
        assert_eq!(read("         0       1000          1\n"), [r(0, 1000, 1)]);
        assert_eq!(
            overlap(&[r(0, 5000, 10), r(5, 9000, 10)]),
            Some((r(0, 5000, 10), r(5, 9000, 10)))
        );
        assert_eq!(overlap(&[r(0, 5000, 10), r(10, 5010, 10)]), None);
    }
}
