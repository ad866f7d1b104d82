//! `ip neighbour`.

use std::ffi::OsString;

use isobox::error::{Error, Result};
use isobox::net::Answer;
use isobox::net::number::{nda, rtm};
use isobox::net::request::{INDEX, Request};
use isobox::plan::steps::rtnetlink::{cannot_find, refused};

use super::address::address;
use super::changes::{Flush, Making, changing};
use super::link_list::number_of;
use super::show::Show;
use super::show_address::is_within;
use super::show_neighbour::{HEADER, Neighbour, PROXY};
use super::words::{
    Family, Prefix, Words, begins, family_of, full, garbage, hardware, octets, prefix,
};
use super::{Options, absent, names, unknown, usage, verb};
use crate::cli::Exit;

const VERBS: [&str; 11] = [
    "add", "change", "chg", "replace", "delete", "get", "show", "lst", "list", "flush", "help",
];
/// `NUD_NOARP`, `NUD_PERMANENT`, `NUD_FAILED`, `NUD_NONE` as listings name it.
const NOARP: u16 = 0x40;
const PERMANENT: u16 = 0x80;
const FAILED: u16 = 0x20;
const NONE: u16 = 0x100;
/// `NTF_ROUTER`.
const ROUTER: u8 = 0x80;

/// Runs the command.
pub(super) fn run(words: &mut Words<'_>, options: &Options) -> Result<Exit> {
    let all = words.rest();
    let Some(word) = words.next()? else {
        return show(words, options);
    };
    match verb(word, &VERBS) {
        Some("get") => get(words, options),
        Some("show" | "lst" | "list") => show(words, options),
        Some("flush") => flush(words, options),
        Some("help") => Ok(usage(Some("neighbour"))),
        other => match other.and_then(|verb| changing(verb, rtm::NEWNEIGH, rtm::DELNEIGH)) {
            Some(request) => modify(words, all, options, request),
            None => Err(unknown(word, "neigh")),
        },
    }
}

/// The state of this name or number.
fn state(words: &mut Words<'_>) -> Result<u16> {
    let word = words.value()?;
    let named = names::NEIGHBOUR
        .iter()
        .find(|row| row.1.eq_ignore_ascii_case(word));
    let number = match (word, named) {
        ("none", _) => Some(u64::from(NONE)),
        (_, Some(row)) => Some(row.0.into()),
        (word, None) => super::words::number(word),
    };
    number
        .and_then(|state| u16::try_from(state).ok())
        .ok_or_else(|| words.wrong("nud state is bad"))
}

fn modify(
    words: &mut Words<'_>,
    all: &[OsString],
    options: &Options,
    (kind, flags): (u16, u16),
) -> Result<Exit> {
    let mut request = Request::new(kind, flags, &[0; HEADER]);
    let (mut to, mut device, mut flag) = (None, None, 0);
    let mut state_of = if kind == rtm::DELNEIGH { 0 } else { PERMANENT };
    while let Some(word) = words.next()? {
        match full(word, &["lladdr", "extern_learn"]) {
            "lladdr" => {
                let address = hardware(words.value()?)?;
                request.attribute(nda::LLADDR, &address);
            }
            "nud" => state_of = state(words)?,
            "router" => flag |= ROUTER,
            "dev" => device = Some(words.value()?),
            word @ ("use" | "managed" | "extern_learn" | "protocol") => {
                return Err(absent(&format!("\"{word}\" of a neighbour")));
            }
            word => {
                let word = match word {
                    "proxy" => {
                        flag |= PROXY;
                        words.value()?
                    }
                    "to" => words.value()?,
                    word => word,
                };
                if to.is_some() {
                    return Err(garbage("to", word));
                }
                to = Some(address(word, options.family)?);
            }
        }
    }
    let (Some(to), Some(device)) = (to, device) else {
        let text = "Device and destination are required arguments.";
        return Err(Error::new(text));
    };
    request.put(0, &[family_of(to)]);
    request.put(8, &state_of.to_ne_bytes());
    request.put(10, &[flag]);
    request.attribute(nda::DST, &octets(to));
    let mut making = Making::new(request);
    making.fill(INDEX, device, cannot_find);
    let purpose = (
        "the hardware address is told, and need not be asked for by ARP or neighbour discovery",
        "the kernel would ask the network for it",
    );
    options.change(making.change("neighbour", all, purpose))
}

fn get(words: &mut Words<'_>, options: &Options) -> Result<Exit> {
    let (mut to, mut device, mut flag) = (None, None, 0);
    while let Some(word) = words.next()? {
        match word {
            "dev" => device = Some(words.value()?),
            word => {
                let word = match word {
                    "proxy" => {
                        flag |= PROXY;
                        words.value()?
                    }
                    "to" => words.value()?,
                    word => word,
                };
                to = Some(address(word, options.family)?);
            }
        }
    }
    let (Some(to), Some(device)) = (to, device) else {
        let text = "Device and address are required arguments.";
        return Err(Error::new(text));
    };
    let mut request = Request::new(rtm::GETNEIGH, 0, &[0; HEADER]);
    request.put(0, &[family_of(to)]);
    request.put(10, &[flag]);
    request.attribute(nda::DST, &octets(to));
    options.show(|show| {
        let number = number_of(show, device).map_err(|_| cannot_find(device))?;
        request.set(INDEX, number);
        let answer = show
            .links
            .connection
            .get(request.message())
            .map_err(refused)?;
        if let Some(neighbour) = Neighbour::of(&answer) {
            show.out.open_object("");
            show.neighbour(&neighbour, true);
            show.out.close_object();
        }
        Ok(())
    })
}

/// Which neighbours a listing is about.
struct Choice {
    family: Family,
    device: Option<String>,
    to: Option<Prefix>,
    states: u16,
    proxies: bool,
}

impl Choice {
    /// Reads the words; `None` where help is asked for.
    fn read(words: &mut Words<'_>, options: &Options, unless_said: u16) -> Result<Option<Self>> {
        let mut choice = Self {
            family: options.family,
            device: None,
            to: None,
            states: unless_said,
            proxies: false,
        };
        let mut states = 0;
        while let Some(word) = words.next()? {
            match word {
                "dev" => choice.device = Some(words.value()?.to_owned()),
                "nud" => {
                    states |= match words.peek() {
                        Some("all") => {
                            words.next()?;
                            !0
                        }
                        _ => state(words)?,
                    };
                }
                "proxy" => choice.proxies = true,
                "unused" | "master" | "nomaster" | "vrf" => {
                    return Err(absent(&format!("\"{word}\" of ip neigh show")));
                }
                word if begins(word, "help") => return Ok(None),
                word => {
                    let word = if word == "to" { words.value()? } else { word };
                    choice.to = Some(prefix(word, options.family)?);
                }
            }
        }
        if states != 0 {
            choice.states = states;
        }
        Ok(Some(choice))
    }

    fn neighbours(&self, show: &mut Show<'_>) -> Result<Vec<Answer>> {
        let index = match &self.device {
            None => None,
            Some(name) => Some(number_of(show, name).map_err(|_| cannot_find(name))?),
        };
        let mut request = Request::new(rtm::GETNEIGH, 0, &[0; HEADER]);
        request.put(0, &[self.family.number()]);
        if self.proxies {
            request.put(10, &[PROXY]);
        }
        let mut all = show.links.dump(&request)?;
        all.retain(|answer| {
            Neighbour::of(answer).is_some_and(|it| {
                let wanted =
                    it.state & self.states != 0 || it.state == 0 && self.states & NONE != 0;
                let known = matches!(it.family, 2 | 10);
                known
                    && (wanted || it.flags & PROXY != 0)
                    && index.is_none_or(|index| index == it.index)
                    && self
                        .to
                        .is_none_or(|to| is_within(it.attributes.get(nda::DST), to))
            })
        });
        Ok(all)
    }
}

fn show(words: &mut Words<'_>, options: &Options) -> Result<Exit> {
    let Some(choice) = Choice::read(words, options, 0xff & !NOARP)? else {
        return Ok(usage(Some("neighbour")));
    };
    options.show(|show| {
        for answer in choice.neighbours(show)? {
            if let Some(neighbour) = Neighbour::of(&answer) {
                show.out.open_object("");
                show.neighbour(&neighbour, choice.device.is_none());
                show.out.close_object();
            }
        }
        Ok(())
    })
}

fn flush(words: &mut Words<'_>, options: &Options) -> Result<Exit> {
    if words.is_empty() {
        return Err(Error::new("Flush requires arguments."));
    }
    let usual = 0xff & !(PERMANENT | NOARP);
    let Some(choice) = Choice::read(words, options, usual)? else {
        return Ok(usage(Some("neighbour")));
    };
    let mut flush = Flush::new("neighbour", options)?;
    for answer in choice.neighbours(&mut flush.show)? {
        let Some(it) = Neighbour::of(&answer) else {
            continue;
        };
        let mut request = Request::new(
            rtm::DELNEIGH,
            0,
            answer.body.get(..HEADER).unwrap_or_default(),
        );
        request.put(8, &FAILED.to_ne_bytes());
        let address = it.attributes.get(nda::DST).unwrap_or_default();
        request.attribute(nda::DST, address);
        let link = flush.show.links.name(it.index);
        flush.remove(request, &[&names::ip(address), "dev", &link]);
    }
    flush.finish("entries")
}
