//! What every listing needs: the text being made, the names of links, and the line to the kernel.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::fd::AsFd;

use isobox::error::Result;
use isobox::net::netns::open_file;
use isobox::net::number::{ifla, rtm};
use isobox::net::request::{INDEX, Request};
use isobox::net::{Answer, Connection};
use isobox::netnsid::Asker;
use isobox::plan::steps::rtnetlink::refused;

use super::Options;
use super::out::Out;
use super::show_link::Link;
use super::words::Family;

/// A listing being made.
pub(super) struct Show<'a> {
    pub(super) out: Out,
    pub(super) links: Links,
    pub(super) options: &'a Options,
    /// The family that is shown.
    pub(super) family: Family,
    /// Whether links are what is shown, and not their addresses.
    pub(super) of_links: bool,
    names: Option<HashMap<u32, OsString>>,
}

/// The links that are known by number.
pub(super) struct Links {
    pub(super) connection: Connection,
    known: HashMap<u32, Known>,
}

/// What is remembered of a link.
#[derive(Clone)]
struct Known {
    name: String,
    flags: u32,
    queue: Option<u32>,
}

impl<'a> Show<'a> {
    pub(super) fn new(options: &'a Options) -> Result<Self> {
        Ok(Self {
            out: Out::new(options.style),
            links: Links {
                connection: Connection::open()?,
                known: HashMap::new(),
            },
            options,
            family: options.family,
            of_links: false,
            names: None,
        })
    }

    /// All of it.
    pub(super) fn finish(self) -> String {
        self.out.finish()
    }

    /// The names of network namespaces by the numbers under which this one knows them.
    pub(super) fn names_by_id(&mut self) -> &HashMap<u32, OsString> {
        let names = self.names.take().unwrap_or_else(|| {
            let mut names = HashMap::new();
            let asker = Asker::new().ok();
            for name in self.options.names.names() {
                let file = open_file(&self.options.names.file(&name));
                let id = file.ok().and_then(|fd| asker.as_ref()?.id_of(fd.as_fd())?);
                names.extend(id.map(|id| (id, name)));
            }
            names
        });
        self.names.insert(names)
    }
}

impl Links {
    /// Remembers links, for their names.
    pub(super) fn remember(&mut self, answers: &[Answer]) {
        for link in answers.iter().filter_map(Link::of) {
            let known = Known {
                name: link.name(),
                flags: link.flags,
                queue: link.attributes.u32(ifla::TXQLEN),
            };
            self.known.insert(link.index, known);
        }
    }

    /// All of a table.
    pub(super) fn dump(&mut self, request: &Request) -> Result<Vec<Answer>> {
        self.connection.dump(request.message()).map_err(refused)
    }

    fn look_up(&mut self, index: u32) -> Known {
        if let Some(known) = self.known.get(&index) {
            return known.clone();
        }
        let mut request = Request::new(rtm::GETLINK, 0, &[0; 16]);
        request.set(INDEX, index);
        if let Ok(answer) = self.connection.get(request.message()) {
            self.remember(&[answer]);
        }
        let unknown = || Known {
            name: format!("if{index}"),
            flags: u32::MAX,
            queue: None,
        };
        self.known.get(&index).cloned().unwrap_or_else(unknown)
    }

    /// The name of a link.
    pub(super) fn name(&mut self, index: u32) -> String {
        self.look_up(index).name
    }

    /// The flags of a link; all of them where it is not known.
    pub(super) fn flags(&mut self, index: u32) -> u32 {
        self.look_up(index).flags
    }

    /// How many packets may wait for a link; IPv6's own telling of links does not say.
    pub(super) fn queue(&mut self, index: u32) -> Option<u32> {
        self.look_up(index).queue
    }
}
