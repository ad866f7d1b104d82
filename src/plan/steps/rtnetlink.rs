//! One request to the kernel's network, as `ip` makes them (rtnetlink(7)).

use std::ffi::OsString;
use std::os::fd::OwnedFd;

use nix::errno::Errno;

use crate::error::{Error, Result, Text};
use crate::net::number::{ifla, rtm};
use crate::net::request::{Place, Request};
use crate::net::{Connection, Refusal};
use crate::plan::{Context, Explanation, Shell, Step};

/// Makes, changes or removes a link, an address, a route ...
#[derive(Debug)]
pub struct Change {
    /// The request.
    pub request: Request,
    /// Links whose numbers are filled in when the request is made.
    pub links: Vec<LinkNumber>,
    /// Descriptors whose numbers stand in the request: namespaces.
    pub held: Vec<OwnedFd>,
    /// The words of `ip` that say it.
    pub words: Vec<OsString>,
    /// What the kernel is asked for, as `RTM_NEWLINK(...)`.
    pub told: String,
    /// Why, and what would be missing.
    pub purpose: (Text, Text),
    /// The kind of link that is made, which the kernel may not have.
    pub kind: Option<String>,
    /// The names that links are to get.
    pub names: Vec<String>,
}

/// A link that a request names.
#[derive(Debug)]
pub struct LinkNumber {
    /// Where its number goes.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// What to say where there is none of that name.
    pub missing: fn(&str) -> Error,
}

/// There is no such link.
pub fn cannot_find(name: &str) -> Error {
    Error::new(format!("Cannot find device \"{name}\""))
}

impl Step for Change {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let mut connection = Connection::open()?;
        let mut request = self.request.clone();
        for link in &self.links {
            let index = index_of(&mut connection, &link.name)?;
            request.set(link.place, index.ok_or_else(|| (link.missing)(&link.name))?);
        }
        connection
            .change(request.message(), request.flags)
            .map_err(|refusal| {
                let hint = self.advice(&refusal);
                refused(refusal).hint_maybe(hint)
            })
    }

    fn explain(&self) -> Explanation {
        let (why, without) = self.purpose.clone();
        Explanation::new(self.told.clone(), why, without, "rtnetlink(7)")
    }

    fn shell(&self) -> Shell {
        Shell::Option {
            applet: "ip",
            words: self.words.clone(),
        }
    }
}

impl Change {
    /// What the kernel's word does not say.
    fn advice(&self, refusal: &Refusal) -> Option<String> {
        match (refusal.errno, &self.kind) {
            (Errno::EOPNOTSUPP, Some(kind)) => Some(format!(
                "this kernel has no links of kind {kind}: modprobe {kind}, where it has that module"
            )),
            (Errno::EPERM, _) if !crate::probe::is_net_admin() => Some(
                "it needs CAP_NET_ADMIN over this network namespace: unshare -rn makes one of your own"
                    .into(),
            ),
            (Errno::ERANGE | Errno::EINVAL, _) => {
                let long = self.names.iter().find(|name| name.len() > 15)?;
                let short = crate::net::name::shortened(long);
                Some(format!("the name {long} has {} bytes, and a link's at most 15: {short} would do", long.len()))
            }
            _ => None,
        }
    }
}

/// The status of ip(8) where the kernel said no.
const REFUSED: u8 = 2;

/// A refusal in the words of ip(8): the kernel's sentence, or its errno.
pub fn refused(refusal: Refusal) -> Error {
    let error = match refusal.text {
        Some(text) => {
            let stop = if text.ends_with('.') { "" } else { "." };
            Error::new(format!("Error: {text}{stop}"))
        }
        None => Error::new("RTNETLINK answers").errno_is(refusal.errno),
    };
    error.status(REFUSED)
}

/// The number of the link called `name`, or with that alternative name; `None` where there is none.
///
/// # Errors
/// Where the kernel does not say.
fn index_of(connection: &mut Connection, name: &str) -> Result<Option<u32>> {
    let mut request = Request::new(rtm::GETLINK, 0, &[0; 16]);
    let kind = if name.len() < 16 {
        ifla::IFNAME
    } else {
        ifla::ALT_IFNAME
    };
    request.text(kind, name);
    match connection.get(request.message()) {
        Ok(link) => {
            let index = link.body.get(4..).and_then(|rest| rest.first_chunk());
            Ok(index.map(|index| u32::from_ne_bytes(*index)))
        }
        Err(refusal) if matches!(refusal.errno, Errno::ENODEV | Errno::EINVAL | Errno::ERANGE) => {
            Ok(None)
        }
        Err(refusal) => Err(refused(refusal)),
    }
}
