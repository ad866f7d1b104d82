//! Which links a listing is about, and the listing.

use isobox::error::{Error, Result};
use isobox::net::Answer;
use isobox::net::number::{ifla, rtm};
use isobox::net::request::Request;
use isobox::plan::steps::rtnetlink::{cannot_find, refused};

use super::link_words::{group, no_device};
use super::show::Show;
use super::show_link::{Link, UP};
use super::words::{Family, Words, begins, garbage};
use super::{Options, absent, usage};
use crate::cli::Exit;

/// Which links are meant.
#[derive(Debug, Clone, Default)]
pub(super) struct Selection {
    pub(super) device: Option<String>,
    pub(super) up: bool,
    pub(super) group: Option<u32>,
    pub(super) master: Option<String>,
    pub(super) no_master: bool,
    pub(super) kind: Option<String>,
}

impl Selection {
    /// Takes a word of a listing that is about links.
    pub(super) fn takes_word(&mut self, word: &str, words: &mut Words<'_>) -> Result<bool> {
        match word {
            "up" => self.up = true,
            "group" => self.group = Some(group(words)?),
            "master" => self.master = Some(words.value()?.to_owned()),
            "nomaster" => self.no_master = true,
            "type" => self.kind = Some(words.value()?.to_owned()),
            "vrf" => return Err(absent("\"vrf\"")),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes the name of a link.
    pub(super) fn device(&mut self, word: &str) -> Result<()> {
        match self.device {
            Some(_) => Err(garbage("dev", word)),
            None => {
                self.device = Some(word.to_owned());
                Ok(())
            }
        }
    }

    /// The links that are meant, as the kernel tells them.
    pub(super) fn links(&self, show: &mut Show<'_>) -> Result<Vec<Answer>> {
        let master = match &self.master {
            None => None,
            Some(name) => Some(number_of(show, name).map_err(|_| no_device(name))?),
        };
        let mut links = match &self.device {
            Some(name) => {
                let link = one(show, name)?;
                show.links.remember(std::slice::from_ref(&link));
                vec![link]
            }
            None => {
                let mut request = Request::new(rtm::GETLINK, 0, &[0; 16]);
                filter(&mut request, show.options.statistics > 0);
                let links = show.links.dump(&request)?;
                show.links.remember(&links);
                // What IPv6 knows of a link is told by itself, and is less.
                if show.family == Family::V6 {
                    request.put(0, &[Family::V6.number()]);
                    show.links.dump(&request)?
                } else {
                    links
                }
            }
        };
        links.retain(|answer| {
            Link::of(answer).is_some_and(|link| {
                let all = link.attributes;
                let own_master = all.u32(ifla::MASTER);
                let kind = |kind: &String| match kind.strip_suffix("_slave") {
                    Some(port_of) => link.kind(ifla::INFO_SLAVE_KIND).as_deref() == Some(port_of),
                    None => link.kind(ifla::INFO_KIND).as_ref() == Some(kind),
                };
                (!self.up || link.flags & UP != 0)
                    && self
                        .group
                        .is_none_or(|group| all.u32(ifla::GROUP) == Some(group))
                    && master.is_none_or(|master| own_master == Some(master))
                    && (!self.no_master || own_master.is_none())
                    && self.kind.as_ref().is_none_or(kind)
            })
        });
        Ok(links)
    }
}

/// Asks for the virtual functions of a card, and against counters that nobody wants.
fn filter(request: &mut Request, with_statistics: bool) {
    const VIRTUAL_FUNCTIONS: u32 = 1;
    const SKIP_STATISTICS: u32 = 8;
    let skip = if with_statistics { 0 } else { SKIP_STATISTICS };
    request.number(ifla::EXT_MASK, VIRTUAL_FUNCTIONS | skip);
}

/// The link called so.
fn one(show: &mut Show<'_>, name: &str) -> Result<Answer> {
    let mut request = Request::new(rtm::GETLINK, 0, &[0; 16]);
    filter(&mut request, show.options.statistics > 0);
    let kind = if name.len() < 16 {
        ifla::IFNAME
    } else {
        ifla::ALT_IFNAME
    };
    request.text(kind, name);
    let found = show.links.connection.get(request.message());
    found.map_err(|refusal| match refusal.errno {
        nix::errno::Errno::EPERM | nix::errno::Errno::EACCES => refused(refusal),
        _ => Error::new(format!("Device \"{name}\" does not exist.")),
    })
}

/// The number of the link called so.
pub(super) fn number_of(show: &mut Show<'_>, name: &str) -> Result<u32> {
    let answer = one(show, name)?;
    show.links.remember(std::slice::from_ref(&answer));
    Link::of(&answer)
        .map(|link| link.index)
        .ok_or_else(|| cannot_find(name))
}

/// `ip link show`.
pub(super) fn show(words: &mut Words<'_>, options: &Options) -> Result<Exit> {
    let mut selection = Selection::default();
    while let Some(word) = words.next()? {
        if selection.takes_word(word, words)? {
            continue;
        }
        if begins(word, "help") {
            return Ok(usage(Some("link")));
        }
        let word = if word == "dev" { words.value()? } else { word };
        selection.device(word)?;
    }
    options.show(|show| {
        show.of_links = true;
        show.family = Family::Link;
        for answer in selection.links(show)? {
            let Some(link) = Link::of(&answer) else {
                continue;
            };
            show.out.open_object("");
            if options.brief {
                show.brief_link(&link);
            } else {
                show.link(&link);
            }
            show.out.close_object();
        }
        Ok(())
    })
}
