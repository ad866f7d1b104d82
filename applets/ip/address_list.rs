//! Which addresses a listing is about, the listing, and `ip address flush`.

use isobox::error::{Error, Result};
use isobox::net::Answer;
use isobox::net::number::{ifa, rtm};
use isobox::net::request::Request;

use super::address::BODY;
use super::changes::Flush;
use super::link_list;
use super::show::Show;
use super::show_address::{Address, Selection};
use super::show_link::Link;
use super::words::{Family, Words, begins, prefix, wrong};
use super::{Options, names, usage};
use crate::cli::Exit;

/// `IFA_F_SECONDARY` and `IFA_F_PERMANENT`.
const SECONDARY: u32 = 0x01;
const PERMANENT: u32 = 0x80;

/// Reads which addresses a listing is about.
fn select(
    words: &mut Words<'_>,
    options: &Options,
) -> Result<Option<(link_list::Selection, Selection)>> {
    let mut links = link_list::Selection::default();
    let mut addresses = Selection {
        family: options.family,
        ..Selection::default()
    };
    while let Some(word) = words.next()? {
        if links.takes_word(word, words)? {
            continue;
        }
        let (negated, flag) = word
            .strip_prefix('-')
            .map_or((false, word), |flag| (true, flag));
        let row = names::ADDRESS_FLAGS.iter().find(|row| row.1 == flag);
        match (word, row, flag) {
            ("to", ..) => {
                let to = prefix(words.value()?, options.family)?;
                if addresses.family == Family::Any {
                    addresses.family = if to.family() == Family::V6.number() {
                        Family::V6
                    } else {
                        Family::V4
                    };
                }
                addresses.to = Some(to);
            }
            ("scope", ..) => {
                let word = words.value()?;
                addresses.scope = match word {
                    "all" => None,
                    word => Some(
                        names::scope_number(word)
                            .ok_or_else(|| wrong(word, "invalid \"scope\""))?,
                    ),
                };
            }
            ("label", ..) => addresses.label = Some(words.value()?.to_owned()),
            // These are the absence of a flag.
            (_, _, "dynamic") => flagged(&mut addresses, PERMANENT, negated),
            (_, _, "primary") => flagged(&mut addresses, SECONDARY, negated),
            (_, _, "temporary") => flagged(&mut addresses, SECONDARY, !negated),
            (_, Some(row), _) => flagged(&mut addresses, row.0, !negated),
            (word, ..) if begins(word, "help") => return Ok(None),
            (word, ..) => {
                let word = if word == "dev" { words.value()? } else { word };
                links.device(word)?;
            }
        }
    }
    Ok(Some((links, addresses)))
}

/// Wants a flag set, or cleared.
fn flagged(addresses: &mut Selection, bit: u32, set: bool) {
    let (which, how) = addresses.flags;
    addresses.flags = (which | bit, if set { how | bit } else { how & !bit });
}

/// The addresses that are meant of these links.
fn chosen(show: &mut Show<'_>, addresses: &Selection) -> Result<Vec<Answer>> {
    let mut request = Request::new(rtm::GETADDR, 0, &[0; BODY]);
    request.put(0, &[addresses.family.number()]);
    let mut all = show.links.dump(&request)?;
    all.retain(|answer| {
        Address::of(answer).is_some_and(|address| {
            let link = show.links.name(address.index);
            addresses.takes(&address, &link)
        })
    });
    Ok(all)
}

/// `ip address show`.
pub(super) fn show(words: &mut Words<'_>, options: &Options) -> Result<Exit> {
    let Some((links, addresses)) = select(words, options)? else {
        return Ok(usage(Some("address")));
    };
    options.show(|show| {
        show.family = addresses.family;
        let found = links.links(show)?;
        if addresses.family == Family::Link {
            return list_links(show, &found);
        }
        let every = Selection {
            family: Family::Any,
            ..Selection::default()
        };
        // A link that has addresses, but none of those meant, is left out.
        let with_any: Vec<u32> = indexes(&chosen(show, &every)?);
        let meant = chosen(show, &addresses)?;
        let with_meant = indexes(&meant);
        for answer in &found {
            let Some(link) = Link::of(answer) else {
                continue;
            };
            let bare = addresses.family == Family::Any && !with_any.contains(&link.index);
            if !with_meant.contains(&link.index) && !bare {
                continue;
            }
            show.out.open_object("");
            one_link(show, &link, &meant, addresses.label.is_some());
            show.out.close_object();
        }
        Ok(())
    })
}

fn list_links(show: &mut Show<'_>, found: &[Answer]) -> Result<()> {
    for link in found.iter().filter_map(Link::of) {
        show.out.open_object("");
        if show.options.brief {
            show.brief_link(&link);
        } else {
            show.link(&link);
        }
        show.out.close_object();
    }
    Ok(())
}

fn indexes(answers: &[Answer]) -> Vec<u32> {
    let addresses = answers.iter().filter_map(Address::of);
    addresses.map(|address| address.index).collect()
}

/// A link and its addresses.
fn one_link(show: &mut Show<'_>, link: &Link<'_>, meant: &[Answer], labelled: bool) {
    let options = show.options;
    if options.brief {
        show.brief_link(link);
    } else if !options.oneline && !labelled {
        show.link(link);
    }
    show.out.open_array("addr_info");
    for address in meant.iter().filter_map(Address::of) {
        if address.index == link.index {
            show.out.open_object("");
            show.address(&address);
            show.out.close_object();
        }
    }
    show.out.close_array();
    if options.brief {
        show.out.text("\n");
    } else if options.statistics > 0 && !options.oneline {
        show.statistics(link.attributes);
        show.out.text(if show.out.is_json() { "" } else { "\n" });
    }
}

/// `ip address flush`.
pub(super) fn flush(words: &mut Words<'_>, options: &Options) -> Result<Exit> {
    if words.is_empty() {
        return Err(Error::new("Flush requires arguments."));
    }
    let Some((links, addresses)) = select(words, options)? else {
        return Ok(usage(Some("address")));
    };
    let mut flush = Flush::new("address", options)?;
    let found = links.links(&mut flush.show)?;
    let found: Vec<u32> = found
        .iter()
        .filter_map(Link::of)
        .map(|link| link.index)
        .collect();
    for answer in chosen(&mut flush.show, &addresses)? {
        let Some(address) = Address::of(&answer).filter(|address| found.contains(&address.index))
        else {
            continue;
        };
        let mut request =
            Request::new(rtm::DELADDR, 0, answer.body.get(..BODY).unwrap_or_default());
        let mut local = &[][..];
        for (kind, value) in address.attributes {
            if matches!(kind, ifa::LOCAL | ifa::ADDRESS) {
                request.attribute(kind, value);
                if kind == ifa::LOCAL || local.is_empty() {
                    local = value;
                }
            }
        }
        let shown = format!("{}/{}", names::ip(local), address.bits);
        let link = flush.show.links.name(address.index);
        flush.remove(request, &[&shown, "dev", &link]);
    }
    flush.finish("addresses")
}
