//! veth: a working wire between this network namespace and another in one line, and what there is of such. The verbs
//! that look at wires or take them away are in `veth/known.rs`.

#[path = "veth/known.rs"]
mod known;
#[path = "veth/made.rs"]
mod made;

use std::env;
use std::net::IpAddr;

use argh::{ArgsInfo, FromArgs};
use isobox::error::{Error, Result};
use isobox::net::address::Cidr;
use isobox::net::nat::{self, Port};
use isobox::net::netns::Directories;
use isobox::net::shaping::Rate;
use isobox::net::veth::{Mac, near_name};
use isobox::plan::steps::links::Place;
use isobox::plan::wire::{End, When, Wire};
use isobox::plan::{Command, Fork, Plan};
use isobox::process::{Signals, Wait};
use nix::sched::CloneFlags;

use crate::cli::plan::{Explain, environment, exec, perform};
use crate::cli::raw::Raw;
use crate::cli::{Applet, Exit, gnu};

/// make a wire (veth pair) between this network namespace and another, addressed and up
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "veth",
    example = "veth veth-host@10.0.0.1/24 veth-blue@10.0.0.2/24 --ns blue",
    example = "veth -b br0@10.9.0.1/24 eth0@10.9.0.2/24 --ns blue --gw 10.9.0.1 --nat",
    example = "veth h0@10.0.0.1/24 eth0@10.0.0.2/24 --ns 4711 --hold ping 10.0.0.2",
    example = "veth ls",
    example = "veth rate veth-host 1mbit",
    example = "veth del veth-host",
    note = "An end is NAME or NAME@CIDR[,CIDR]; the first is here, the second there. With -b one end is enough: it is the one there.",
    note = "'veth ls' lists the wires of this namespace that veth made, 'veth del NAME...' (or --all) removes wires, and the bridge with its last one; 'veth rate NAME RATE|none' changes the limit.",
    note = "All of it is made, or nothing is left. What veth made carries 'isobox' in its alias: after a kill -9, 'veth del' clears it away.",
    error_code(1, "nothing was made; with --hold 125"),
    error_code(126, "the program of --hold cannot be executed"),
    error_code(127, "the program of --hold is not there")
)]
pub(crate) struct Args {
    /// the other network namespace: a name (ip netns), a process in it, or a file
    #[argh(option, short = 'n', arg_name = "name|pid|file")]
    ns: Option<Raw>,
    /// put our end into this bridge, which is made if it is not there; it has the address
    #[argh(option, short = 'b', arg_name = "name[@cidr]")]
    bridge: Option<Raw>,
    /// give the other namespace its default route over this address; may be repeated
    #[argh(option, arg_name = "address")]
    gw: Vec<String>,
    /// the largest packet
    #[argh(option, arg_name = "bytes")]
    mtu: Option<String>,
    /// the hardware address of the end there
    #[argh(option, arg_name = "address")]
    mac: Option<String>,
    /// let the other namespace out under our addresses: nat add of its networks, which nat del takes back
    #[argh(switch)]
    nat: bool,
    /// lead ports of ours to the far end: [ADDRESS:]PORT:PORT[/udp], or ranges of them; nat del takes them back; may be repeated
    #[argh(option, short = 'p', arg_name = "host:guest")]
    publish: Vec<Publish>,
    /// write these name servers, separated by commas, to /etc/netns/NAME/resolv.conf, which 'ip netns exec' shows and veth del leaves
    #[argh(option, arg_name = "addresses")]
    dns: Vec<String>,
    /// let each end send no faster than this (500kbit, 1mbit)
    #[argh(option, arg_name = "rate")]
    rate: Option<String>,
    /// remove the pair that has our end's name first, if there is one
    #[argh(switch)]
    replace: bool,
    /// print what was made, or what there is, as JSON
    #[argh(switch)]
    json: bool,
    /// of del: everything that veth made here
    #[argh(switch)]
    all: bool,
    /// tell what would be done and do nothing; json for programs, run to tell while doing
    #[argh(option, arg_name = "[=how]")]
    explain: Option<Explain>,
    /// run a program, and remove everything when it has ended; all that follows is its
    #[argh(option, arg_name = "command...")]
    hold: Vec<Raw>,
    /// ends of the wire, or ls, del, rate and what they work on
    #[argh(positional)]
    ends: Vec<Raw>,
}

/// The status of our own failure before the program of `--hold`.
const OWN_FAILURE: u8 = 125;

impl Applet for Args {
    fn run(self) -> Result<Exit> {
        let operands: Vec<String> = self.ends.iter().map(Raw::to_text).collect();
        let operands: Vec<&str> = operands.iter().map(String::as_str).collect();
        match operands[..] {
            ["ls"] => known::list(self.json),
            ["ls", ..] => Err(usage("ls takes no operand")),
            ["del", ref names @ ..] => known::delete(names, self.all, self.explain),
            ["rate", name, rate] => known::rate(name, rate, self.explain),
            ["rate", ..] => Err(usage("rate takes the name of a link, and a rate or none")),
            ref ends if self.hold.is_empty() => self.make(ends),
            ref ends => self
                .hold(ends)
                .map_err(|error| error.or_status(OWN_FAILURE)),
        }
    }
}

/// Wrong usage.
fn usage(text: impl Into<String>) -> Error {
    Error::new(text.into()).hint("try 'veth --help' for more information")
}

/// Where names of namespaces are looked for.
fn directories() -> Directories {
    Directories::new(env::var_os("XDG_RUNTIME_DIR").as_deref())
}

impl Args {
    fn make(&self, ends: &[&str]) -> Result<Exit> {
        let wire = self.wire(ends)?;
        let mut plan = Plan::effects();
        wire.plan(&mut plan, When::Then)?;
        let exit = perform(&plan, self.explain)?;
        if self.json && matches!(self.explain, None | Some(Explain::Run)) {
            return made::print(&wire);
        }
        Ok(exit)
    }

    /// The wire lasts as long as a program, which gets our signals.
    fn hold(&self, ends: &[&str]) -> Result<Exit> {
        if self.json {
            return Err(usage("--json and --hold cannot go together"));
        }
        let wire = self.wire(ends)?;
        let program = self.hold.iter().map(|word| word.0.clone());
        let command = Command::new(program).ok_or_else(|| usage("no program given"))?;
        let mut plan = Plan::new(exec(command, environment()));
        wire.plan(&mut plan, When::During)?;
        plan.fork(Fork {
            namespaces: CloneFlags::empty(),
            cgroup: None,
            why: "somebody must wait to take the wire away again".into(),
            without: "the wire would stay when the program has ended".into(),
        });
        plan.wait(Wait {
            signals: Signals::Proxy,
            ..Wait::default()
        });
        perform(&plan, self.explain)
    }

    /// What was asked for.
    fn wire(&self, ends: &[&str]) -> Result<Wire> {
        let ns = self.ns.as_ref();
        let ns = ns.ok_or_else(|| usage("which network namespace? --ns NAME, PID or FILE"))?;
        let bridge = match &self.bridge {
            Some(bridge) => Some(end(&bridge.to_text())?),
            None => None,
        };
        let (host, guest) = match *ends {
            [host, guest] => (end(host)?, end(guest)?),
            [guest] if bridge.is_some() => {
                let guest = end(guest)?;
                let link = near_name(&guest.link, &ns.to_text());
                let addresses = Vec::new();
                (End { link, addresses }, guest)
            }
            [] => return Err(usage("missing operand: the two ends")),
            [_] => {
                return Err(usage(
                    "missing operand: the end there (without -b there are two)",
                ));
            }
            [_, _, extra, ..] => return Err(usage(format!("unexpected argument '{extra}'"))),
        };
        let addresses = |list: &[String]| -> Result<Vec<IpAddr>> {
            let parts = list.iter().flat_map(|list| list.split(','));
            parts.map(address).collect()
        };
        Ok(Wire {
            host,
            guest,
            place: Place::Named {
                text: ns.0.clone(),
                directories: directories(),
            },
            bridge,
            gateways: addresses(&self.gw)?,
            mtu: self.mtu.as_deref().map(mtu).transpose()?,
            mac: self.mac.as_deref().map(str::parse::<Mac>).transpose()?,
            dns: addresses(&self.dns)?,
            rate: self.rate.as_deref().map(str::parse::<Rate>).transpose()?,
            nat: self.nat,
            published: self.publish.iter().flat_map(|one| one.0.clone()).collect(),
            replace: self.replace,
        })
    }
}

/// `--publish`: the ports, and what was typed.
#[derive(Debug, Clone)]
pub(crate) struct Publish(pub(crate) Vec<Port>, pub(crate) String);

impl argh::FromArgValue for Publish {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        let read = nat::ports(value).map(|ports| Self(ports, value.into()));
        read.map_err(|error| gnu::bad(error.to_string()))
    }
}

fn end(text: &str) -> Result<End> {
    text.parse()
}

fn address(text: &str) -> Result<IpAddr> {
    let wrong = || {
        let cidr: Result<Cidr> = text.parse();
        let hint = cidr
            .ok()
            .map(|cidr| format!("without its prefix length: {}", cidr.address));
        Error::new(format!("'{text}' is no address")).hint_maybe(hint)
    };
    text.parse().map_err(|_| wrong())
}

fn mtu(text: &str) -> Result<u32> {
    let wrong = || Error::new(format!("'{text}' is no number of bytes"));
    isobox::decimal::decimal(text).ok_or_else(wrong)
}
