//! What all tables together would do with a packet, by reading them: nobody's rules are changed for it.
//!
//! Rules of iptables-nft and nft(8) are understood as far as they speak of addresses, ports, protocols, interfaces
//! and the state of the connection. What else a rule asks for (a set, a mark, a time of day) may hold or not: then
//! the answer is not sure, and says so. `nat add` warns with it, `ip why` finds with it who drops.

mod packet;
mod rule;

use std::fmt;

use super::attributes::Attributes;
use super::nat::family_name;
use super::nftables::{Listed, Socket, comment_of, family, number};
use crate::error::Result;
use crate::order;

pub use packet::{Packet, state};
use rule::Does;

/// Deeper jumps than the kernel allows.
const DEEPEST: usize = 16;

/// The hooks that a packet passes (`NF_INET_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// As it comes in.
    Prerouting = 0,
    /// To this machine.
    Input = 1,
    /// Through this machine.
    Forward = 2,
    /// From this machine.
    Output = 3,
    /// As it leaves.
    Postrouting = 4,
}

/// A chain of any table.
#[derive(Debug)]
struct Chain {
    family: u8,
    table: String,
    name: String,
    /// Type, hook, priority.
    hook: Option<(String, u32, i32)>,
    drops: bool,
    rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug)]
struct Rule {
    handle: u64,
    comment: Option<String>,
    expressions: Vec<u8>,
}

/// Where something was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `ip`, `ip6`, `inet`.
    pub family: &'static str,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// The rule's handle and comment; the chain's policy without.
    pub rule: Option<(u64, Option<String>)>,
}

/// `rule 7 ("no guests") of chain FORWARD of table ip filter`, or `the policy of chain ...`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            None => f.write_str("the policy")?,
            Some((handle, None)) => write!(f, "rule {handle}")?,
            Some((handle, Some(comment))) => write!(f, "rule {handle} (\"{comment}\")")?,
        }
        let Self {
            family,
            table,
            chain,
            ..
        } = self;
        write!(f, " of chain {chain} of table {family} {table}")
    }
}

/// What becomes of a packet at a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Who drops it, if anybody does.
    pub dropped: Option<Place>,
    /// Who changes its source address, if anybody does.
    pub translated: Option<Place>,
    /// Whether all rules on the way were understood.
    pub sure: bool,
}

/// All chains of all tables.
#[derive(Debug)]
pub struct Ruleset(Vec<Chain>);

impl Ruleset {
    /// Those of the network namespace that `socket` was opened in.
    ///
    /// # Errors
    /// `EPERM` without `CAP_NET_ADMIN` over it.
    pub fn read(socket: &Socket) -> Result<Self> {
        let chains = socket.list(Listed::Chains)?;
        let mut all: Vec<Chain> = chains
            .iter()
            .filter_map(|one| chain_of(one.family, one.attributes()))
            .collect();
        for rule in socket.list(Listed::Rules)? {
            let attributes = rule.attributes();
            let home = |chain: &&mut Chain| {
                chain.family == rule.family
                    && attributes.text(1).is_some_and(|table| table == chain.table)
                    && attributes.text(2).is_some_and(|name| name == chain.name)
            };
            if let (Some(chain), Some(rule)) = (all.iter_mut().find(home), rule_of(attributes)) {
                chain.rules.push(rule);
            }
        }
        Ok(Self(all))
    }

    /// Whether the table of `place` has a chain of this name.
    pub fn has_chain(&self, place: &Place, name: &str) -> bool {
        let beside = |chain: &Chain| {
            family_name(chain.family) == Some(place.family) && chain.table == place.table
        };
        self.0
            .iter()
            .any(|chain| beside(chain) && chain.name == name)
    }

    /// What becomes of a packet at a hook: every chain there sees it in turn, until one drops it.
    pub fn judge(&self, hook: Hook, packet: &Packet) -> Judgement {
        let sees = |chain: &&Chain| match chain.family {
            family::INET => true,
            family::IPV4 => packet.destination.is_ipv4(),
            family::IPV6 => packet.destination.is_ipv6(),
            _ => false,
        };
        let here = |chain: &&Chain| {
            let number = chain.hook.as_ref().map(|(_, number, _)| *number);
            number == Some(hook as u32)
        };
        let mut chains: Vec<&Chain> = self.0.iter().filter(here).filter(sees).collect();
        order::sort_by_key(&mut chains, |chain| {
            chain.hook.as_ref().map(|(_, _, priority)| *priority)
        });
        let mut judgement = Judgement {
            dropped: None,
            translated: None,
            sure: true,
        };
        for chain in chains {
            let mut walk = Walk {
                ruleset: self,
                packet,
                sure: true,
            };
            let end = walk.chain(chain, 0);
            match end {
                End::Drop(place) => {
                    judgement.sure = walk.sure;
                    judgement.dropped = Some(place);
                    return judgement;
                }
                End::Translate(place) => {
                    judgement.translated.get_or_insert(place);
                }
                End::Nothing if chain.drops => {
                    judgement.sure = walk.sure;
                    judgement.dropped = Some(chain.place(None));
                    return judgement;
                }
                End::Accept | End::Nothing => {}
            }
            judgement.sure &= walk.sure;
        }
        judgement
    }
}

/// How a chain ends.
enum End {
    /// The packet goes on to the next chain of the hook.
    Accept,
    /// It is gone.
    Drop(Place),
    /// Its addresses are changed, and it goes on.
    Translate(Place),
    /// No rule decided.
    Nothing,
}

/// A packet on its way through the rules.
struct Walk<'a> {
    ruleset: &'a Ruleset,
    packet: &'a Packet,
    sure: bool,
}

impl Walk<'_> {
    fn chain(&mut self, chain: &Chain, depth: usize) -> End {
        for rule in &chain.rules {
            let (does, sure) = rule::run(Attributes::new(&rule.expressions), self.packet);
            // One that may hold and decides nothing makes nothing less sure.
            if does != Does::Nothing {
                self.sure &= sure;
            }
            // Of what may hold or not, the packet is taken not to be meant: what is told last is what is certain.
            if !sure {
                continue;
            }
            let place = || chain.place(Some(rule));
            match does {
                Does::Nothing => {}
                Does::Accept => return End::Accept,
                Does::Drop => return End::Drop(place()),
                Does::Translate => return End::Translate(place()),
                Does::Return => return End::Nothing,
                Does::Jump(ref name) | Does::Goto(ref name) => {
                    let end = self.jump(chain, name, depth);
                    if !matches!(end, End::Nothing) {
                        return end;
                    }
                    if matches!(does, Does::Goto(_)) {
                        return End::Nothing;
                    }
                }
            }
        }
        End::Nothing
    }

    fn jump(&mut self, from: &Chain, name: &str, depth: usize) -> End {
        let found = |chain: &&Chain| {
            chain.family == from.family && chain.table == from.table && chain.name == name
        };
        match self.ruleset.0.iter().find(found) {
            Some(chain) if depth < DEEPEST => self.chain(chain, depth + 1),
            _ => End::Nothing,
        }
    }
}

impl Chain {
    fn place(&self, rule: Option<&Rule>) -> Place {
        Place {
            family: family_name(self.family).unwrap_or("?"),
            table: self.table.clone(),
            chain: self.name.clone(),
            rule: rule.map(|rule| (rule.handle, rule.comment.clone())),
        }
    }
}

fn chain_of(family: u8, attributes: Attributes<'_>) -> Option<Chain> {
    let own = |kind| attributes.text(kind).map(std::borrow::Cow::into_owned);
    let hook = attributes.nested(4).and_then(|hook| {
        let number_of = |kind| hook.get(kind).and_then(number);
        Some((own(7)?, number_of(1)?, number_of(2)?.cast_signed()))
    });
    Some(Chain {
        family,
        table: own(1)?,
        name: own(3)?,
        hook,
        drops: attributes.get(5).and_then(number) == Some(0),
        rules: Vec::new(),
    })
}

fn rule_of(attributes: Attributes<'_>) -> Option<Rule> {
    Some(Rule {
        handle: u64::from_be_bytes(*attributes.get(3)?.first_chunk()?),
        comment: attributes.get(7).and_then(comment_of),
        expressions: attributes.get(4).unwrap_or_default().to_vec(),
    })
}
