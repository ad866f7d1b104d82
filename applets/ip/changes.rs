//! What `ip` changes: requests made of words, each a step, and all that a flush removes.

use std::ffi::OsString;
use std::os::fd::OwnedFd;

use isobox::error::{Error, Result};
use isobox::net::number::rtm;
use isobox::net::request::{Place, Request};
use isobox::plan::steps::rtnetlink::{Change, LinkNumber};
use isobox::plan::{Plan, Quiet};

use super::Options;
use super::show::Show;
use crate::cli::Exit;
use crate::cli::help::print_all;
use crate::cli::plan::perform;

/// Flags of a request: `NLM_F_CREATE` and its companions.
pub(super) const CREATE: u16 = 0x400;
pub(super) const EXCL: u16 = 0x200;
pub(super) const REPLACE: u16 = 0x100;
pub(super) const APPEND: u16 = 0x800;

/// The request and the flags of a verb that changes something, where `new` and `delete` are the requests of its object.
pub(super) fn changing(verb: &str, new: u16, delete: u16) -> Option<(u16, u16)> {
    let flags = match verb {
        "add" => CREATE | EXCL,
        "change" | "chg" => REPLACE,
        "replace" => CREATE | REPLACE,
        "prepend" => CREATE,
        "append" => CREATE | APPEND,
        "delete" => return Some((delete, 0)),
        _ => return None,
    };
    Some((new, flags))
}

/// A request, as far as it has been read.
pub(super) struct Making {
    pub(super) request: Request,
    pub(super) links: Vec<LinkNumber>,
    pub(super) held: Vec<OwnedFd>,
}

impl Making {
    /// Nothing read yet.
    pub(super) fn new(request: Request) -> Self {
        Self {
            request,
            links: Vec::new(),
            held: Vec::new(),
        }
    }

    /// The step that makes it: the words of `ip` that say it, why, and what would be missing.
    pub(super) fn change(
        self,
        object: &str,
        words: &[OsString],
        (why, without): (&'static str, &'static str),
    ) -> Change {
        let object = std::iter::once(object.into());
        Change {
            told: told(&self.request, words),
            purpose: (why.into(), without.into()),
            kind: None,
            names: Vec::new(),
            words: object.chain(words.iter().cloned()).collect(),
            request: self.request,
            links: self.links,
            held: self.held,
        }
    }

    /// A place for the number of the link called `name`.
    pub(super) fn link(&mut self, kind: u16, name: &str, missing: fn(&str) -> Error) {
        let place = self.request.number(kind, 0);
        self.fill(place, name, missing);
    }

    /// The number of the link called `name`, at a place that is there.
    pub(super) fn fill(&mut self, place: Place, name: &str, missing: fn(&str) -> Error) {
        self.links.push(LinkNumber {
            place,
            name: name.to_owned(),
            missing,
        });
    }
}

/// A request as `--explain` tells it.
fn told(request: &Request, words: &[OsString]) -> String {
    let name = match request.kind {
        rtm::NEWLINK => "NEWLINK",
        rtm::DELLINK => "DELLINK",
        rtm::NEWADDR => "NEWADDR",
        rtm::DELADDR => "DELADDR",
        rtm::NEWROUTE => "NEWROUTE",
        rtm::DELROUTE => "DELROUTE",
        rtm::NEWNEIGH => "NEWNEIGH",
        rtm::DELNEIGH => "DELNEIGH",
        rtm::NEWLINKPROP => "NEWLINKPROP",
        _ => "DELLINKPROP",
    };
    let mut text = format!("send(NETLINK_ROUTE, RTM_{name}, NLM_F_REQUEST|NLM_F_ACK");
    for (bit, name) in [
        (CREATE, "CREATE"),
        (EXCL, "EXCL"),
        (REPLACE, "REPLACE"),
        (APPEND, "APPEND"),
    ] {
        if request.flags & bit != 0 {
            text.extend(["|NLM_F_", name]);
        }
    }
    text.push_str(", \"");
    for (at, word) in words.iter().skip(1).enumerate() {
        text.extend([if at == 0 { "" } else { " " }, &word.to_string_lossy()]);
    }
    text + "\")"
}

/// The removal of all that a listing has.
pub(super) struct Flush<'a> {
    options: &'a Options,
    /// The object of `ip`.
    object: &'static str,
    plan: Plan,
    count: usize,
    pub(super) show: Show<'a>,
}

impl<'a> Flush<'a> {
    pub(super) fn new(object: &'static str, options: &'a Options) -> Result<Self> {
        let plan = options.plan();
        if options.explain.is_some() {
            // What there is to flush can only be seen from inside.
            plan.run(&Quiet)?;
        }
        Ok(Self {
            options,
            object,
            plan,
            count: 0,
            show: Show::new(options)?,
        })
    }

    /// One that goes, by this request, and by these words behind `del`.
    pub(super) fn remove(&mut self, request: Request, words: &[&str]) {
        let words = std::iter::once("del").chain(words.iter().copied());
        let words: Vec<OsString> = words.map(OsString::from).collect();
        let purpose = ("one of those that are meant", "it would stay");
        let change = Making::new(request).change(self.object, &words, purpose);
        self.plan.then(change);
        self.count += 1;
    }

    /// Removes them, and says with `-s` how many there were of `what`.
    pub(super) fn finish(self, what: &str) -> Result<Exit> {
        let done = perform(&self.plan, self.options.explain)?;
        if self.options.statistics > 0 {
            print_all(&match self.count {
                0 => "Nothing to flush.\n".into(),
                count => format!(
                    "\n*** Round 1, deleting {count} {what} ***\n*** Flush is complete after 1 round ***\n"
                ),
            })?;
        }
        Ok(done)
    }
}
