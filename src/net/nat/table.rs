//! Our table as the kernel has it: read, added to, taken from. What others have is only read.

use crate::error::{Error, Result};
use crate::net::attributes::Attributes;
use crate::net::forwarding::{self, Switch, Was};
use crate::net::nftables::{
    Batch, Expressions, Listed, Socket, TRIES, comment_of, family, number, refused,
};
use crate::order;

use super::{Chain, Entry, Publication, TABLE};
use nix::errno::Errno;

/// What a change came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// The entries that were added, or removed; those that were there already, or not, are none of them.
    pub entries: Vec<Entry>,
    /// What else was changed, for people.
    pub notes: Vec<String>,
}

/// An entry with what has passed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// The entry.
    pub entry: Entry,
    /// Packets that were forwarded for a subnet; connections that were led on by a publication.
    pub count: u64,
}

/// A rule of our table.
struct Rule {
    chain: String,
    handle: u64,
    comment: String,
    packets: u64,
}

impl Rule {
    fn entry(&self) -> Option<Entry> {
        Entry::of_comment(&self.comment)
    }
}

/// Our table at one moment.
struct State {
    generation: u32,
    rules: Vec<Rule>,
}

impl State {
    fn read(socket: &Socket) -> Result<Self> {
        let generation = socket.generation()?;
        let all = socket.list(Listed::Rules)?;
        let rules = all.iter().filter_map(|object| {
            let attributes = object.attributes();
            let ours = object.family == family::INET && attributes.text(1)? == TABLE;
            ours.then(|| rule_of(attributes)).flatten()
        });
        Ok(Self {
            generation,
            rules: rules.collect(),
        })
    }

    /// Every entry once, in the order in which they were added.
    fn entries(&self) -> Vec<Entry> {
        let mut all = Vec::new();
        for entry in self.rules.iter().filter_map(Rule::entry) {
            if !all.contains(&entry) {
                all.push(entry);
            }
        }
        all
    }

    /// What settings were before we changed them.
    fn before(&self) -> impl Iterator<Item = (&Rule, Was)> {
        self.rules
            .iter()
            .filter(|rule| rule.chain == Chain::Before.name())
            .filter_map(|rule| Some((rule, Was::of_record(&rule.comment)?)))
    }
}

fn rule_of(attributes: Attributes<'_>) -> Option<Rule> {
    Some(Rule {
        chain: attributes.text(2)?.into_owned(),
        handle: u64::from_be_bytes(attributes.get(3)?.try_into().ok()?),
        comment: attributes.get(7).and_then(comment_of).unwrap_or_default(),
        packets: attributes.nested(4).map_or(0, packets),
    })
}

/// What the counter of a rule says.
fn packets(expressions: Attributes<'_>) -> u64 {
    let counter = |(_, element)| {
        let element = Attributes::new(element);
        (element.get(1)? == b"counter\0").then(|| element.nested(2)?.get(2))?
    };
    let value = expressions.into_iter().find_map(counter);
    let value = value.and_then(|value| value.try_into().ok());
    value.map_or(0, u64::from_be_bytes)
}

/// All that there is of ours.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` over the network namespace.
pub fn entries() -> Result<Vec<Line>> {
    let state = State::read(&Socket::open()?)?;
    let count = |entry: &Entry| {
        let chains: &[Chain] = match entry {
            Entry::Masquerade(_) => &[Chain::Forward],
            Entry::Publish(_) => &[Chain::Prerouting, Chain::Output],
        };
        let counted = |rule: &&Rule| {
            chains.iter().any(|chain| chain.name() == rule.chain) && rule.entry() == Some(*entry)
        };
        state
            .rules
            .iter()
            .filter(counted)
            .map(|rule| rule.packets)
            .sum()
    };
    let lines = state.entries().into_iter().map(|entry| Line {
        entry,
        count: count(&entry),
    });
    Ok(lines.collect())
}

/// Adds the entries that are not there, all in one moment, and turns on what they need.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN`; a port that leads elsewhere already.
pub fn add(wanted: &[Entry]) -> Result<Changed> {
    const DOING: &str = "cannot add the rules";
    let socket = Socket::open()?;
    for _ in 0..TRIES {
        let state = State::read(&socket)?;
        let missing = missing(&state.entries(), wanted)?;
        let switches = switches(wanted)?;
        let batch = additions(&state, &missing, &switches);
        if !batch.is_empty() {
            match socket.commit(batch) {
                Err(Errno::ERESTART) => continue,
                other => other.map_err(|errno| refused(DOING, errno))?,
            }
        }
        return turn_on(missing, &switches);
    }
    Err(refused(DOING, Errno::EBUSY))
}

/// Those that are not there; a port can lead to one place only.
fn missing(there: &[Entry], wanted: &[Entry]) -> Result<Vec<Entry>> {
    let mut missing: Vec<Entry> = Vec::new();
    for entry in wanted {
        let known = || there.iter().chain(&missing);
        if known().any(|one| one == entry) {
            continue;
        }
        if let Entry::Publish(publication) = entry
            && let Some(other) = known().find_map(|one| taken(publication, one))
        {
            let protocol = publication.protocol.name();
            return Err(Error::new(format!(
                "port {}/{protocol} is published already: {other}",
                publication.port
            ))
            .hint(format!("nat del --dnat {other}")));
        }
        missing.push(*entry);
    }
    Ok(missing)
}

/// The publication that has the port already.
fn taken(publication: &Publication, entry: &Entry) -> Option<Publication> {
    let Entry::Publish(other) = entry else {
        return None;
    };
    let same_place = match (publication.at, other.at) {
        (Some(one), Some(other)) => one == other,
        _ => publication.guest.is_ipv4() == other.guest.is_ipv4(),
    };
    let same = other.port == publication.port && other.protocol == publication.protocol;
    (same && same_place).then_some(*other)
}

/// What has to be turned on for these entries.
fn switches(entries: &[Entry]) -> Result<Vec<Switch>> {
    let mut all: Vec<Switch> = Vec::new();
    for ipv4 in [true, false] {
        if entries.iter().any(|one| one.address().is_ipv4() == ipv4) {
            all.extend(forwarding::for_family(ipv4)?);
        }
    }
    for entry in entries {
        if let Entry::Publish(publication) = entry
            && publication.at.is_none_or(|at| at.is_loopback())
        {
            let switch = forwarding::for_loopback(publication.guest);
            all.extend(switch.filter(|switch| !all.contains(switch)));
        }
    }
    Ok(all)
}

/// The batch that makes what is missing, with a note of what the settings were that will be changed after it.
fn additions(state: &State, missing: &[Entry], switches: &[Switch]) -> Batch {
    let mut rules: Vec<(Chain, Expressions, String)> = Vec::new();
    for entry in missing {
        let own = entry.rules().into_iter();
        rules.extend(own.map(|(chain, rule)| (chain, rule, entry.comment())));
    }
    let known: Vec<Was> = state.before().map(|(_, was)| was).collect();
    for was in switches.iter().flat_map(|switch| &switch.was) {
        if !known.iter().any(|one| one.path == was.path) {
            let record = Expressions::new().counter();
            rules.push((Chain::Before, record, was.record()));
        }
    }
    let mut batch = Batch::new(state.generation);
    if rules.is_empty() {
        return batch;
    }
    batch.table(family::INET, TABLE);
    for chain in Chain::ALL {
        if rules.iter().any(|(one, ..)| *one == chain) {
            batch.chain(family::INET, TABLE, chain.name(), chain.hook());
        }
    }
    for (chain, rule, comment) in &rules {
        batch.rule(family::INET, TABLE, chain.name(), rule, comment);
    }
    batch
}

/// Turns the switches on, or takes everything back.
fn turn_on(added: Vec<Entry>, switches: &[Switch]) -> Result<Changed> {
    for switch in switches {
        if let Err(error) = switch.turn_on() {
            let _ = remove(&|entry| added.contains(entry));
            return Err(error);
        }
    }
    Ok(Changed {
        entries: added,
        notes: switches.iter().map(Switch::note).collect(),
    })
}

/// Removes the entries that `doomed` says; with the last of a family what was turned on for it is turned off, and
/// with the last of all the table goes.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN`.
pub fn remove(doomed: &dyn Fn(&Entry) -> bool) -> Result<Changed> {
    const DOING: &str = "cannot remove the rules";
    let socket = Socket::open()?;
    for _ in 0..TRIES {
        let state = State::read(&socket)?;
        let (gone, left): (Vec<Entry>, Vec<Entry>) = state.entries().into_iter().partition(doomed);
        let back: Vec<(&Rule, Was)> = state
            .before()
            .filter(|(_, was)| !left.iter().any(|one| was.is_about(one.address().is_ipv4())))
            .collect();
        let batch = removals(&state, &gone, &left, &back);
        if batch.is_empty() {
            return Ok(Changed::default());
        }
        // Before the note of it goes: whoever comes after a crash finds it.
        let restored = restore(&back)?;
        match socket.commit(batch) {
            // Somebody may have added what needs it meanwhile.
            Err(Errno::ERESTART) => restored.iter().try_for_each(Switch::turn_on)?,
            Err(errno) => return Err(refused(DOING, errno)),
            Ok(()) => {
                let note = |switch: &Switch| switch.was.first().map(Was::name);
                let notes = restored.iter().filter_map(note);
                return Ok(Changed {
                    entries: gone,
                    notes: notes.map(|name| format!("{name} is 0 again")).collect(),
                });
            }
        }
    }
    Err(refused(DOING, Errno::EBUSY))
}

fn removals(state: &State, gone: &[Entry], left: &[Entry], back: &[(&Rule, Was)]) -> Batch {
    let mut batch = Batch::new(state.generation);
    if left.is_empty() {
        // Rules that are none of ours were put there by hand: the table is theirs too.
        let foreign =
            |rule: &Rule| rule.entry().is_none() && Was::of_record(&rule.comment).is_none();
        if !state.rules.is_empty() && !state.rules.iter().any(foreign) {
            batch.remove_table(family::INET, TABLE);
            return batch;
        }
    }
    let of_gone = |rule: &&Rule| rule.entry().is_some_and(|entry| gone.contains(&entry));
    let records = back.iter().map(|(rule, _)| *rule);
    for rule in state.rules.iter().filter(of_gone).chain(records) {
        batch.remove_rule(family::INET, TABLE, &rule.chain, rule.handle);
    }
    batch
}

/// Puts settings back, in the order in which they were noted, and gives those that had been turned on.
fn restore(back: &[(&Rule, Was)]) -> Result<Vec<Switch>> {
    let mut restored = Vec::new();
    for (_, was) in back {
        if was.is_switch() && forwarding::read(&was.path).is_ok_and(|now| now != "0") {
            restored.push(Switch {
                was: vec![was.clone()],
                why: "",
            });
        }
        was.restore()?;
    }
    Ok(restored)
}

/// A chain that sees packets, of whatever table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hooked {
    /// `ip`, `ip6`, `inet` ...
    pub family: &'static str,
    /// Its table.
    pub table: String,
    /// Its name.
    pub chain: String,
    /// `filter`, `nat`, `route`.
    pub kind: String,
    /// Where it hangs.
    pub hook: &'static str,
    /// Its place in the order.
    pub priority: i32,
    /// Whether it drops what none of its rules accepts.
    pub drops: bool,
    /// How many rules stand in it.
    pub rules: usize,
}

/// All chains that see packets of IP, in the order of the hooks.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN`.
pub fn hooked() -> Result<Vec<Hooked>> {
    let socket = Socket::open()?;
    let rules = socket.list(Listed::Rules)?;
    let chains = socket.list(Listed::Chains)?;
    let mut all: Vec<Hooked> = chains
        .iter()
        .filter_map(|object| {
            let attributes = object.attributes();
            let hook = attributes.nested(4)?;
            let own = |kind| attributes.text(kind).map(std::borrow::Cow::into_owned);
            let (table, chain) = (own(1)?, own(3)?);
            let inside = rules.iter().filter(|rule| {
                let rule_is = rule.attributes();
                rule.family == object.family
                    && rule_is.text(1).as_deref() == Some(&table)
                    && rule_is.text(2).as_deref() == Some(&chain)
            });
            Some(Hooked {
                family: family_name(object.family)?,
                rules: inside.count(),
                kind: own(7)?,
                hook: hook_name(hook.get(1).and_then(number)?)?,
                priority: hook.get(2).and_then(number)?.cast_signed(),
                drops: attributes.get(5).and_then(number) == Some(0),
                table,
                chain,
            })
        })
        .collect();
    order::sort_by_key(&mut all, |one| {
        (
            HOOKS.iter().position(|hook| *hook == one.hook),
            one.priority,
        )
    });
    Ok(all)
}

const HOOKS: [&str; 5] = ["prerouting", "input", "forward", "output", "postrouting"];

fn hook_name(number: u32) -> Option<&'static str> {
    HOOKS.get(usize::try_from(number).ok()?).copied()
}

/// What nft(8) calls a family that sees packets of IP.
pub fn family_name(number: u8) -> Option<&'static str> {
    match number {
        family::INET => Some("inet"),
        family::IPV4 => Some("ip"),
        family::IPV6 => Some("ip6"),
        _ => None,
    }
}
