//! nf_tables over netlink, written by hand: what the kernel is told in one atomic batch, and what it says it has.
//!
//! `nat.rs` writes a table of our own with it, `ruleset.rs` reads what others have. Messages and attributes are
//! those of linux/netfilter/nf_tables.h and linux/netfilter/nfnetlink.h; numbers in them are big-endian.

mod expression;
mod message;

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

use crate::error::{Doing, Error, Result};

pub use expression::{Expressions, Side, comment_of, with_comment};
pub use message::number;

use super::attributes::{Attributes, Written};

/// `NFNL_SUBSYS_NFTABLES`.
const NF_TABLES: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// `NFNL_BATCH_GENID`.
const BATCH_GENERATION: u16 = 1;

/// `NLM_F_REQUEST`, `NLM_F_ACK`, `NLM_F_DUMP`, `NLM_F_CREATE`, `NLM_F_APPEND`, `NLM_F_DUMP_INTR` (linux/netlink.h).
const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const DUMP: u16 = 0x300;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
const DUMP_INTERRUPTED: u16 = 0x10;

/// `NLMSG_ERROR` and `NLMSG_DONE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// `NFPROTO_*`: the families that tables come in (linux/netfilter.h).
pub mod family {
    /// None in particular: all of them, where a list is asked for.
    pub const ANY: u8 = 0;
    /// IPv4 and IPv6 in one table.
    pub const INET: u8 = 1;
    /// IPv4.
    pub const IPV4: u8 = 2;
    /// IPv6.
    pub const IPV6: u8 = 10;
}

/// What is listed (the answers to `NFT_MSG_GET*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Chains, with their hooks and policies.
    Chains,
    /// Rules, with what they consist of.
    Rules,
}

/// One object of a list.
#[derive(Debug)]
pub struct Object {
    /// The family of its table.
    pub family: u8,
    attributes: Vec<u8>,
}

impl Object {
    /// What it consists of.
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes::new(&self.attributes)
    }
}

/// A hook of the kernel that a chain hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// The type of chain: `filter` or `nat`.
    pub kind: &'static str,
    /// `NF_INET_*`: 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting.
    pub number: u32,
    /// The order among the chains of a hook, the smallest first.
    pub priority: i32,
}

/// A line to nf_tables of the network namespace that this process is in.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// Opens the line.
    ///
    /// # Errors
    /// `EPROTONOSUPPORT` from a kernel without netfilter's netlink, with the module that would have it.
    pub fn open() -> Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let netfilter = SockProtocol::NetlinkNetFilter;
        let made = socket(AddressFamily::Netlink, SockType::Raw, flags, netfilter);
        made.map(Self).map_err(|errno| {
            let error = Error::new("cannot reach the packet filter").errno_is(errno);
            match errno {
                Errno::EPROTONOSUPPORT => {
                    error.hint("this kernel has no netfilter netlink: modprobe nfnetlink nf_tables")
                }
                _ => error,
            }
        })
    }

    /// The number of the ruleset: it grows with every change that anybody makes.
    ///
    /// # Errors
    /// `EPERM` without `CAP_NET_ADMIN` over the network namespace.
    pub fn generation(&self) -> Result<u32> {
        const GET_GENERATION: u16 = 16;
        const GENERATION_ID: u16 = 1;
        let mut found = None;
        self.ask(kind(GET_GENERATION), 0, &mut |object| {
            found = object.attributes().get(GENERATION_ID).and_then(number);
        })
        .map_err(|errno| refused("cannot read the packet filter", errno))?;
        found.ok_or_else(|| Error::new("the packet filter did not tell its generation"))
    }

    /// Everything of a kind, in all tables.
    ///
    /// # Errors
    /// `EPERM` without `CAP_NET_ADMIN` over the network namespace.
    pub fn list(&self, what: Listed) -> Result<Vec<Object>> {
        let get = match what {
            Listed::Chains => 4,
            Listed::Rules => 7,
        };
        for _ in 0..TRIES {
            let mut all = Vec::new();
            match self.ask(kind(get), DUMP, &mut |object| all.push(object)) {
                // Somebody changed it while it was told.
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(refused("cannot read the packet filter", errno)),
                Ok(()) => return Ok(all),
            }
        }
        Err(refused("cannot read the packet filter", Errno::EBUSY))
    }

    /// Sends one request and hands every object of the answer to `each`.
    fn ask(&self, kind: u16, flags: u16, each: &mut dyn FnMut(Object)) -> Result<(), Errno> {
        let is_list = flags & DUMP == DUMP;
        let request = message::message(kind, REQUEST | flags, [family::ANY, 0, 0, 0], &[]);
        send_whole(&self.0, &request)?;
        let mut buffer = vec![0; BUFFER];
        let mut interrupted = false;
        loop {
            let length = receive(&self.0, &mut buffer, MsgFlags::empty())?;
            for (kind, flags, body) in message::messages(buffer.get(..length).unwrap_or_default()) {
                interrupted |= is_list && flags & DUMP_INTERRUPTED != 0;
                match kind {
                    DONE if interrupted => return Err(Errno::EINTR),
                    DONE => return Ok(()),
                    ERROR => return message::answer(body),
                    _ => each(Object {
                        family: body.first().copied().unwrap_or_default(),
                        attributes: body.get(4..).unwrap_or_default().to_vec(),
                    }),
                }
            }
            if !is_list {
                return Ok(());
            }
        }
    }

    /// Makes all changes of the batch at once, or none.
    ///
    /// # Errors
    /// `ERESTART` where the ruleset is not the one any more that the batch was made for, else what the kernel
    /// answered to the first change it refused.
    pub fn commit(&self, batch: Batch) -> Result<(), Errno> {
        send_whole(&self.0, &batch.finish())?;
        // The kernel has worked when send(2) returns: all answers are there.
        let mut buffer = vec![0; BUFFER];
        let (mut first, mut heard) = (Ok(()), false);
        loop {
            let length = match receive(&self.0, &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN) if heard => return first,
                other => other?,
            };
            heard = true;
            for (kind, _, body) in message::messages(buffer.get(..length).unwrap_or_default()) {
                if kind == ERROR && first.is_ok() {
                    first = message::answer(body);
                }
            }
        }
    }
}

/// How often a list is asked for anew, and a change tried anew, when somebody else was faster.
pub const TRIES: usize = 64;

/// More than the kernel sends at once.
const BUFFER: usize = 64 * 1024;

/// The type of a message to nf_tables.
fn kind(message: u16) -> u16 {
    NF_TABLES << 8 | message
}

fn send_whole(socket: &OwnedFd, bytes: &[u8]) -> Result<(), Errno> {
    loop {
        match send(socket.as_raw_fd(), bytes, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            other => return other.map(drop),
        }
    }
}

fn receive(socket: &OwnedFd, buffer: &mut [u8], flags: MsgFlags) -> Result<usize, Errno> {
    loop {
        match recv(socket.as_raw_fd(), buffer, flags) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// A refusal of the packet filter, with what would help.
pub fn refused(doing: &'static str, errno: Errno) -> Error {
    let error = Err::<(), _>(errno).doing(doing);
    let error = error.err().unwrap_or_else(|| Error::new(doing));
    match errno {
        Errno::EPERM => error.hint("it takes CAP_NET_ADMIN over the network namespace"),
        Errno::ENOENT | Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT | Errno::EINVAL => error.hint(
            "the kernel may lack a part: modprobe nf_tables nft_chain_nat nft_masq nft_nat nft_ct nft_fib_inet",
        ),
        _ => error,
    }
}

/// Changes that happen together.
#[derive(Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    changes: Vec<Change>,
}

/// One of them.
#[derive(Debug)]
struct Change {
    kind: u16,
    flags: u16,
    family: u8,
    attributes: Written,
}

/// The four bytes behind the header of a batch's first and last message: what it is for.
const FOR_NF_TABLES: [u8; 4] = [0, 0, 0, 10];

impl Batch {
    /// Nothing yet. It will be refused where the ruleset has changed since `generation`.
    pub fn new(generation: u32) -> Self {
        let generation = Written::default().with(BATCH_GENERATION, &generation.to_be_bytes());
        let bytes = message::message(BATCH_BEGIN, REQUEST, FOR_NF_TABLES, &generation.bytes());
        Self {
            bytes,
            changes: Vec::new(),
        }
    }

    fn push(&mut self, message: u16, flags: u16, family: u8, attributes: Written) {
        self.changes.push(Change {
            kind: kind(message),
            flags: REQUEST | flags,
            family,
            attributes,
        });
    }

    /// A table; it may be there.
    pub fn table(&mut self, family: u8, table: &str) {
        self.push(0, CREATE, family, Written::default().with_text(1, table));
    }

    /// A table with all in it goes.
    pub fn remove_table(&mut self, family: u8, table: &str) {
        self.push(2, 0, family, Written::default().with_text(1, table));
    }

    /// A chain; it may be there. With a hook it sees packets, and lets pass what no rule of it drops.
    pub fn chain(&mut self, family: u8, table: &str, name: &str, hook: Option<Hook>) {
        /// `NF_ACCEPT`.
        const ACCEPT: u32 = 1;
        let mut chain = in_table(table, 3, name);
        if let Some(hook) = hook {
            let place = Written::default()
                .with(1, &hook.number.to_be_bytes())
                .with(2, &hook.priority.to_be_bytes());
            chain = chain
                .with_nested(4, &place)
                .with(5, &ACCEPT.to_be_bytes())
                .with_text(7, hook.kind);
        }
        self.push(3, CREATE, family, chain);
    }

    /// A rule at the end of a chain; `comment` is what nft(8) shows of it.
    pub fn rule(
        &mut self,
        family: u8,
        table: &str,
        chain: &str,
        does: &Expressions,
        comment: &str,
    ) {
        let rule = in_table(table, 2, chain)
            .with_nested(4, does.written())
            .with(7, &with_comment(comment));
        self.push(6, CREATE | APPEND, family, rule);
    }

    /// The rule of this handle goes.
    pub fn remove_rule(&mut self, family: u8, table: &str, chain: &str, handle: u64) {
        let rule = in_table(table, 2, chain).with(3, &handle.to_be_bytes());
        self.push(8, 0, family, rule);
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    fn finish(mut self) -> Vec<u8> {
        // One acknowledgement is enough to know that all was heard.
        if let Some(last) = self.changes.last_mut() {
            last.flags |= ACK;
        }
        for change in self.changes {
            let head = [change.family, 0, 0, 0];
            let attributes = change.attributes.bytes();
            let one = message::message(change.kind, change.flags, head, &attributes);
            self.bytes.extend(one);
        }
        let end = message::message(BATCH_END, REQUEST, FOR_NF_TABLES, &[]);
        self.bytes.extend(end);
        self.bytes
    }
}

/// Something in a table: the table's name, and its own under `kind`.
fn in_table(table: &str, kind: u16, name: &str) -> Written {
    Written::default().with_text(1, table).with_text(kind, name)
}
