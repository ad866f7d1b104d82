//! `ip tuntap`.

use isobox::accounts::Accounts;
use isobox::error::{Error, Result};
use isobox::net::number::{ifla, rtm};
use isobox::net::request::Request;
use isobox::plan::steps::tun::PersistTun;

use super::kinds::little;
use super::show_link::Link;
use super::words::{Words, garbage, is_link_name};
use super::{Options, unknown, usage, verb};
use crate::cli::Exit;
use crate::cli::plan::perform;

/// `IFF_TUN`, `IFF_TAP` and their flags (linux/if_tun.h).
const TUN: u16 = 0x0001;
const TAP: u16 = 0x0002;
const MULTI_QUEUE: u16 = 0x0100;
const NO_PI: u16 = 0x1000;
const ONE_QUEUE: u16 = 0x2000;
const VNET_HDR: u16 = 0x4000;
/// `IFF_TUN_EXCL`: fail where it is there.
const EXCLUSIVE: u16 = 0x8000;

const VERBS: [&str; 6] = ["add", "delete", "show", "lst", "list", "help"];

/// Runs the command.
pub(super) fn run(words: &mut Words<'_>, options: &Options) -> Result<Exit> {
    let Some(word) = words.next()? else {
        return show(options);
    };
    match verb(word, &VERBS) {
        Some("add") => persist(words, options, true),
        Some("delete") => persist(words, options, false),
        Some("show" | "lst" | "list") => show(options),
        Some("help") => Ok(usage(Some("tuntap"))),
        _ => Err(unknown(word, "tuntap")),
    }
}

fn persist(words: &mut Words<'_>, options: &Options, stays: bool) -> Result<Exit> {
    let (mut name, mut mode, mut flags) = (None::<&str>, None, NO_PI);
    let (mut owner, mut group) = (None, None);
    while let Some(word) = words.next()? {
        match word {
            "mode" => {
                mode = Some(match words.value()? {
                    "tun" => TUN,
                    "tap" => TAP,
                    word => {
                        let text = format!("Unknown tunnel mode \"{word}\"");
                        return Err(Error::new(text).status(super::words::USAGE));
                    }
                });
            }
            "user" => {
                let word = words.value()?;
                owner = Some(id_of("user", word)?);
            }
            "group" => {
                let word = words.value()?;
                group = Some(id_of("group", word)?);
            }
            "pi" => flags &= !NO_PI,
            "one_queue" => flags |= ONE_QUEUE,
            "vnet_hdr" => flags |= VNET_HDR,
            "multi_queue" => flags |= MULTI_QUEUE,
            word => {
                let word = if matches!(word, "dev" | "name") {
                    words.value()?
                } else {
                    word
                };
                if name.is_some() {
                    return Err(garbage("name", word));
                }
                if !is_link_name(word) {
                    return Err(words.wrong("\"name\" not a valid ifname"));
                }
                name = Some(word);
            }
        }
    }
    let mode = mode.ok_or_else(|| Error::new("You failed to specify a tunnel mode"))?;
    let mut plan = options.plan();
    plan.then(PersistTun {
        name: name.unwrap_or_default().to_owned(),
        flags: flags | mode | if stays { EXCLUSIVE } else { 0 },
        owner,
        group,
        stays,
    });
    perform(&plan, options.explain)
}

/// The id of a user or a group by its name or number.
fn id_of(what: &str, word: &str) -> Result<u32> {
    if let Some(id) = isobox::decimal::decimal(word) {
        return Ok(id);
    }
    let mut accounts = Accounts::here();
    let id = match what {
        "user" => accounts.user(word.as_ref())?.map(|user| user.uid),
        _ => accounts.group(word.as_ref())?,
    };
    id.ok_or_else(|| Error::new(format!("invalid {what} \"{word}\"")).status(super::words::USAGE))
}

/// The account or group with this number.
pub(super) fn name_of(what: &str, id: u32) -> Option<String> {
    let mut accounts = Accounts::here();
    let name = match what {
        "user" => accounts.user_of(id).ok()??.name,
        _ => accounts.group_of(id).ok()??,
    };
    Some(name.to_string_lossy().into_owned())
}

/// Lists them as the kernel's links tell it: ip(8) reads `/sys`, which may be another namespace's.
fn show(options: &Options) -> Result<Exit> {
    options.show(|show| {
        let all = show.links.dump(&Request::new(rtm::GETLINK, 0, &[0; 16]))?;
        for link in all.iter().filter_map(Link::of) {
            let info = link.attributes.nested(ifla::LINKINFO);
            let Some(data) = info
                .filter(|info| info.text(ifla::INFO_KIND).as_deref() == Some("tun"))
                .and_then(|info| info.nested(ifla::INFO_DATA))
            else {
                continue;
            };
            let of = |kind: u16| data.get(kind).map_or(0, little);
            show.out.open_object("");
            show.out.string("ifname", "{}:", &link.name());
            show.out.open_array("flags");
            let told = [
                (of(3) == u64::from(TUN), "tun"),
                (of(3) == u64::from(TAP), "tap"),
                (of(4) != 0, "pi"),
                (of(5) != 0, "vnet_hdr"),
                (of(7) != 0, "multi_queue"),
                (of(6) != 0, "persist"),
                // The bit that says so is the one that denies pi.
                (of(4) != 0, "filter"),
            ];
            for (_, name) in told.iter().filter(|(set, _)| *set) {
                show.out.string("", " {}", name);
            }
            show.out.close_array();
            for (kind, name) in [(1, "user"), (2, "group")] {
                if let Some(id) = data.u32(kind) {
                    show.out.number(name, &format!(" {name} {{}}"), id.into());
                }
            }
            show.out.text("\n");
            show.out.close_object();
        }
        Ok(())
    })
}
