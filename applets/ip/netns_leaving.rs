//! `ip netns delete --wait`: a namespace that has lost its name, until it is gone.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use isobox::error::{Error, Result, printable};
use isobox::net::Connection;
use isobox::net::attributes::Attributes;
use isobox::net::netns::{inode_of, open_file, processes};
use isobox::net::number::{ifla, netnsa, rtm};
use isobox::net::request::{INDEX, Request};
use isobox::netnsid::Asker;
use nix::unistd::Pid;

/// A network namespace on its way out: the kernel takes it apart when nobody looks.
pub(super) struct Leaving {
    name: OsString,
    inode: u64,
    /// Under which number we know it.
    id: u32,
    /// Links of ours whose other ends are in there: they go with it.
    links: Vec<u32>,
    connection: Connection,
}

impl Leaving {
    /// What is to be known before the name is taken away. `None` where the file is no namespace.
    pub(super) fn of(file: &Path) -> Option<Self> {
        let namespace = open_file(file).ok()?;
        let mut connection = Connection::open().ok()?;
        // Without a number it could not be told from others; a number that it has stays.
        let mut give = Request::new(rtm::NEWNSID, 0, &[0; 4]);
        give.attribute(netnsa::FD, &namespace.as_raw_fd().to_ne_bytes());
        give.attribute(netnsa::NSID, &(-1i32).to_ne_bytes());
        let _ = connection.change(give.message(), 0);
        let id = Asker::new().ok()?.id_of(namespace.as_fd()).flatten()?;
        let all = connection
            .dump(Request::new(rtm::GETLINK, 0, &[0; 16]).message())
            .ok()?;
        let links = all
            .iter()
            .filter_map(super::show_link::Link::of)
            .filter(|link| link.attributes.u32(ifla::LINK_NETNSID) == Some(id))
            .map(|link| link.index)
            .collect();
        Some(Self {
            name: file.file_name()?.to_owned(),
            inode: inode_of(file).ok()?,
            id,
            links,
            connection,
        })
    }

    /// Waits until it is gone, and with it our ends of its links.
    pub(super) fn wait(mut self) -> Result<()> {
        const LIMIT: Duration = Duration::from_secs(10);
        let start = Instant::now();
        while !self.is_gone() {
            if start.elapsed() > LIMIT {
                let pids: Vec<String> = processes(self.inode)?.iter().map(Pid::to_string).collect();
                let name = printable(&self.name);
                let error = Error::new(format!(
                    "the network namespace \"{name}\" has lost its name and is still there"
                ));
                return Err(match pids.is_empty() {
                    true => error.hint("something holds it: an open file, a socket, another mount"),
                    false => error.hint(format!("these processes are in it: {}", pids.join(" "))),
                });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn is_gone(&mut self) -> bool {
        let connection = &mut self.connection;
        self.links.retain(|index| {
            let mut ask = Request::new(rtm::GETLINK, 0, &[0; 16]);
            ask.set(INDEX, *index);
            connection.get(ask.message()).is_ok()
        });
        if !self.links.is_empty() {
            return false;
        }
        let ids = connection.dump(Request::new(rtm::GETNSID, 0, &[0; 4]).message());
        !ids.unwrap_or_default().iter().any(|answer| {
            let attributes = Attributes::new(answer.body.get(4..).unwrap_or_default());
            attributes.u32(netnsa::NSID) == Some(self.id)
        })
    }
}
