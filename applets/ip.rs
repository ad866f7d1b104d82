//! ip(8): links, addresses, routes, neighbours and network namespaces, in the words of iproute2, as far as tutorials and
//! scripts about containers use them.
//!
//! iproute2's grammar is words without dashes, each of which may be cut short. The options before the object are turned
//! into words for argh here; what stands behind the object is read by the object's own file with [`words::Words`].
//! What is changed goes through a plan, so that `--explain` tells it; what is shown is written by [`out::Out`].

#[path = "ip/address.rs"]
mod address;
#[path = "ip/address_list.rs"]
mod address_list;
#[path = "ip/changes.rs"]
mod changes;
#[path = "ip/kinds.rs"]
mod kinds;
#[path = "ip/kinds_more.rs"]
mod kinds_more;
#[path = "ip/kinds_vxlan.rs"]
mod kinds_vxlan;
#[path = "ip/link.rs"]
mod link;
#[path = "ip/link_list.rs"]
mod link_list;
#[path = "ip/link_words.rs"]
mod link_words;
#[path = "ip/names.rs"]
mod names;
#[path = "ip/neighbour.rs"]
mod neighbour;
#[path = "ip/netns.rs"]
mod netns;
#[path = "ip/netns_leaving.rs"]
mod netns_leaving;
#[path = "ip/out.rs"]
mod out;
#[path = "ip/route.rs"]
mod route;
#[path = "ip/route_list.rs"]
mod route_list;
#[path = "ip/show.rs"]
mod show;
#[path = "ip/show_address.rs"]
mod show_address;
#[path = "ip/show_counters.rs"]
mod show_counters;
#[path = "ip/show_link.rs"]
mod show_link;
#[path = "ip/show_neighbour.rs"]
mod show_neighbour;
#[path = "ip/show_route.rs"]
mod show_route;
#[path = "ip/tuntap.rs"]
mod tuntap;
#[path = "ip/typed.rs"]
mod typed;
#[path = "ip/why.rs"]
mod why;
#[path = "ip/words.rs"]
mod words;

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;

use argh::{ArgsInfo, FromArgs};
use isobox::error::{Error, Result};
use isobox::net::netns::Directories;
use isobox::plan::steps::netns::EnterNamed;
use isobox::plan::steps::rtnetlink::Change;
use isobox::plan::{Plan, Quiet};

use crate::cli::plan::{Explain, perform};
use crate::cli::raw::{Raw, words as raw_words};
use crate::cli::{Applet, Entry, Exit, gnu, help, say};
use out::{Background, Style};
use show::Show;
use words::{Family, USAGE, Words};

/// show and change links, addresses, routes and network namespaces
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "ip",
    example = "ip link add veth0 type veth peer name veth1 netns blue",
    example = "ip -n blue addr add 10.0.0.2/24 dev veth1",
    example = "ip -br addr",
    example = "ip netns exec blue ping -c 1 10.0.0.1",
    example = "ip --explain link add br0 type bridge",
    note = "Objects, commands and options may be cut short: ip a, ip l, ip r, ip -br a s dev lo. Options may begin with one dash or two.",
    note = "What iproute2 has and is not named here is refused, not ignored.",
    error_code(1, "the command makes no sense, or there is no such link"),
    error_code(2, "the kernel said no"),
    error_code(255, "the command is not complete, or there is no such namespace")
)]
pub(crate) struct Args {
    /// in the network namespace of this name
    #[argh(option, short = 'n', arg_name = "name")]
    netns: Option<Raw>,
    /// print JSON
    #[argh(switch, short = 'j')]
    json: bool,
    /// print JSON over several lines
    #[argh(switch, short = 'p')]
    pretty: bool,
    /// print each link on one line, with the least there is to say; -br for short
    #[argh(switch)]
    brief: bool,
    /// print each record on one line
    #[argh(switch, short = 'o')]
    oneline: bool,
    /// only addresses and routes of this family; -4, -6 and -0 for short
    #[argh(option, short = 'f', arg_name = "inet|inet6|link")]
    family: Option<String>,
    /// show counters; twice for more of them
    #[argh(switch, short = 's')]
    statistics: u8,
    /// show what is of interest to few
    #[argh(switch, short = 'd')]
    details: u8,
    /// use colours
    #[argh(option, short = 'c', arg_name = "[=always|auto|never]")]
    color: Option<String>,
    /// read commands from this file, one a line; - is standard input
    #[argh(option, short = 'b', arg_name = "file")]
    batch: Option<Raw>,
    /// go on after a command of the file that failed
    #[argh(switch)]
    force: bool,
    /// with netns: all there are
    #[argh(switch, short = 'a')]
    all: bool,
    /// tell what would be done and do nothing; json for programs, run to tell while doing
    #[argh(option, arg_name = "[=how]")]
    explain: Option<Explain>,
    #[argh(subcommand)]
    object: Option<Object>,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Object {
    Link(Link),
    Address(Address),
    Route(Route),
    Neighbour(Neighbour),
    Netns(Netns),
    Tuntap(Tuntap),
    Why(Why),
}

/// network links: add, set, delete, show, property
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "link",
    note = "add [link DEV] [name] NAME [mtu N] [address MAC] [broadcast MAC] [txqueuelen N] [index N] [numtxqueues N] [numrxqueues N] [netns NS] [up] type KIND [OPTIONS]",
    note = "KIND veth takes peer [name NAME] and the same words again for the other end; bridge, vlan, vxlan, macvlan, macvtap and ipvlan take the options of iproute2; dummy, ifb and others take none.",
    note = "set DEV [up|down] [name NAME] [mtu N] [address MAC] [master DEV|nomaster] [netns NS] [alias TEXT] [txqueuelen N] [arp|multicast|allmulticast|promisc|dynamic|trailers|carrier|protodown on|off] [addrgenmode MODE] [group N] [type KIND OPTIONS]",
    note = "delete DEV|group N",
    note = "show [DEV|group N] [up] [master DEV] [nomaster] [type KIND]",
    note = "property add|del dev DEV altname NAME ...",
    note = "NS is a name, the number of a process, or a file."
)]
struct Link {
    /// the command; show where there is none
    #[argh(positional, greedy)]
    word: Vec<Raw>,
}

/// addresses of links: add, change, replace, delete, flush, show
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "address",
    note = "add|change|replace ADDRESS/BITS dev DEV [peer ADDRESS/BITS] [broadcast ADDRESS|+|-] [anycast ADDRESS] [label NAME] [scope SCOPE] [metric N] [valid_lft SECONDS] [preferred_lft SECONDS] [nodad] [noprefixroute] [home] [mngtmpaddr] [autojoin]",
    note = "delete ADDRESS/BITS dev DEV",
    note = "show|flush [dev DEV] [up] [scope SCOPE] [to PREFIX] [label PATTERN] [master DEV] [nomaster] [type KIND] [permanent|dynamic|primary|secondary|tentative|deprecated]"
)]
struct Address {
    /// the command; show where there is none
    #[argh(positional, greedy)]
    word: Vec<Raw>,
}

/// routes: add, change, replace, append, delete, get, flush, show
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "route",
    note = "add|change|replace|append|prepend|delete [TYPE] PREFIX|default [via ADDRESS] [dev DEV] [src ADDRESS] [metric N] [table T] [scope SCOPE] [proto P] [onlink] [mtu N] [advmss N] [pref low|medium|high] [nexthop via ADDRESS dev DEV weight N] ...",
    note = "get ADDRESS [from ADDRESS] [iif DEV] [oif DEV] [mark N] [uid N] [fibmatch]",
    note = "show|flush [PREFIX|root PREFIX|match PREFIX|exact PREFIX] [dev DEV] [via ADDRESS] [src ADDRESS] [table T|all] [proto P] [scope SCOPE] [type TYPE] [metric N]"
)]
struct Route {
    /// the command; show where there is none
    #[argh(positional, greedy)]
    word: Vec<Raw>,
}

/// which hardware address an address has: add, change, replace, delete, get, flush, show
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "neighbour",
    note = "add|change|replace|delete ADDRESS|proxy ADDRESS dev DEV [lladdr MAC] [nud STATE] [router]",
    note = "show|flush [proxy] [dev DEV] [to PREFIX] [nud STATE]",
    note = "get ADDRESS dev DEV"
)]
struct Neighbour {
    /// the command; show where there is none
    #[argh(positional, greedy)]
    word: Vec<Raw>,
}

/// network namespaces by name: list, add, attach, delete, exec, identify, pids, set, monitor, list-id
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "netns",
    note = "list|monitor",
    note = "add NAME; attach NAME PID; delete [--wait] NAME; set NAME ID|auto",
    note = "exec NAME COMMAND ...; the files of /etc/netns/NAME are shown in /etc",
    note = "identify [PID]; pids NAME; list-id [nsid ID] [target-nsid ID]",
    note = "With -all, delete and exec take every name there is. delete --wait returns when the namespace is gone, and not only its name.",
    note = "Names are files of /run/netns. An ordinary user keeps names in XDG_RUNTIME_DIR/netns, inside namespaces of their own (unshare -rm)."
)]
struct Netns {
    /// the command; list where there is none
    #[argh(positional, greedy)]
    word: Vec<Raw>,
}

/// tun and tap links: add, delete, show
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "tuntap",
    note = "add|delete dev NAME mode tun|tap [user USER] [group GROUP] [pi] [one_queue] [vnet_hdr] [multi_queue]",
    note = "show"
)]
struct Tuntap {
    /// the command; show where there is none
    #[argh(positional, greedy)]
    word: Vec<Raw>,
}

/// why a network namespace does not reach an address: NETNS|PID ADDRESS
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "why",
    note = "NETNS|PID|FILE ADDRESS|NAME",
    note = "Looks layer by layer, from lo to the router's tables and the name server, and ends with the first fault and the line that fixes it: status 1. Where there is an answer the status is 0. Nothing is changed."
)]
struct Why {
    /// the namespace, and what it is to reach
    #[argh(positional, greedy)]
    word: Vec<Raw>,
}

/// What holds for a command, whatever it is.
#[derive(Debug, Clone)]
struct Options {
    family: Family,
    details: u8,
    statistics: u8,
    brief: bool,
    oneline: bool,
    style: Style,
    /// `-all`.
    every: bool,
    explain: Option<Explain>,
    netns: Option<OsString>,
    /// Whether more commands follow in this process.
    in_batch: bool,
    names: Directories,
}

impl Applet for Args {
    fn launch(entry: &Entry, args: &[OsString]) -> Result<Exit> {
        let result = match typed::canonical(args) {
            Ok(typed::Typed::Help) => return help::print(entry, None),
            Ok(typed::Typed::Version) => return help::print_version(entry),
            Ok(typed::Typed::Words(words)) => {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                Self::from_args(&[entry.name], &words)
                    .map_err(|early| Error::new(gnu::argh_says(&early.output)).status(USAGE))
                    .and_then(Self::run)
            }
            Err(error) => Err(error),
        };
        // ip(8)'s sentences stand for themselves: scripts look for "RTNETLINK answers" at the start of the line.
        Ok(result.unwrap_or_else(|error| report(&error)))
    }

    fn run(mut self) -> Result<Exit> {
        let object = self.object.take();
        let batch = self.batch.take();
        let force = self.force;
        let options = self.options()?;
        if let (Some(name), None) = (&options.netns, options.explain) {
            let mut plan = Plan::effects();
            plan.then(options.entering(name));
            plan.run(&Quiet)?;
        }
        match (batch, object) {
            (Some(Raw(file)), _) => typed::batch(&file, force, &options),
            (None, Some(object)) => {
                let (name, words) = object.split();
                run(name, &words, &options)
            }
            (None, None) => Ok(usage(None)),
        }
    }
}

impl Object {
    fn split(self) -> (&'static str, Vec<OsString>) {
        let (name, words) = match self {
            Self::Link(it) => ("link", it.word),
            Self::Address(it) => ("address", it.word),
            Self::Route(it) => ("route", it.word),
            Self::Neighbour(it) => ("neighbour", it.word),
            Self::Netns(it) => ("netns", it.word),
            Self::Tuntap(it) => ("tuntap", it.word),
            Self::Why(it) => ("why", it.word),
        };
        (name, raw_words(words))
    }
}

impl Args {
    fn options(self) -> Result<Options> {
        let family = match self.family.as_deref() {
            Some("inet") => Family::V4,
            Some("inet6") => Family::V6,
            Some("link") => Family::Link,
            Some(other) => return Err(words::wrong(other, "invalid protocol family")),
            None => Family::Any,
        };
        let background = || {
            let dark = env::var("COLORFGBG").is_ok_and(|value| {
                matches!(
                    value.rsplit(';').next(),
                    Some("0" | "1" | "2" | "3" | "4" | "5" | "6" | "8")
                )
            });
            if dark {
                Background::Dark
            } else {
                Background::Light
            }
        };
        let colors = match self.color.as_deref() {
            Some("" | "always") => Some(background()),
            Some("auto") => std::io::stdout().is_terminal().then(background),
            _ => None,
        };
        Ok(Options {
            family,
            details: self.details,
            statistics: self.statistics,
            brief: self.brief,
            oneline: self.oneline,
            style: Style {
                json: self.json,
                pretty: self.pretty,
                oneline: self.oneline,
                colors: colors.filter(|_| !self.json),
            },
            every: self.all,
            explain: self.explain,
            netns: self.netns.map(|name| name.0),
            in_batch: false,
            names: Directories::new(env::var_os("XDG_RUNTIME_DIR").as_deref()),
        })
    }
}

impl Options {
    fn entering(&self, name: &OsStr) -> EnterNamed {
        EnterNamed {
            name: name.to_owned(),
            file: self.names.file(name),
        }
    }

    /// An empty plan; where nothing has been entered yet, because all is only told, it begins with that.
    fn plan(&self) -> Plan {
        let mut plan = Plan::effects();
        if let (Some(name), Some(_)) = (&self.netns, self.explain) {
            plan.then(self.entering(name));
        }
        plan
    }

    /// Makes one request, or tells it.
    fn change(&self, change: Change) -> Result<Exit> {
        let mut plan = self.plan();
        plan.then(change);
        perform(&plan, self.explain)
    }

    /// Shows something; there is nothing to explain about that.
    fn show(&self, what: impl FnOnce(&mut Show<'_>) -> Result<()>) -> Result<Exit> {
        if self.explain.is_some() {
            return Err(Error::new("--explain: this command shows and changes nothing").status(1));
        }
        let mut show = Show::new(self)?;
        what(&mut show)?;
        help::print_all(&show.finish())
    }
}

/// Runs a command on its object.
fn run(object: &str, all: &[OsString], options: &Options) -> Result<Exit> {
    let mut words = Words::new(all);
    match object {
        "link" => link::run(&mut words, options),
        "address" => address::run(&mut words, options),
        "route" => route::run(&mut words, options),
        "neighbour" => neighbour::run(&mut words, options),
        "netns" => netns::run(&mut words, options),
        "why" => why::run(all, &options.names, options.style.json),
        _ => tuntap::run(&mut words, options),
    }
}

/// Prints an error, and gives its status.
fn report(error: &Error) -> Exit {
    let hint = error.advice();
    let hint = hint.map_or_else(String::new, |hint| format!("hint: {hint}\n"));
    say(&format!("{error}\n{hint}"));
    Exit::Status(error.exit_status())
}

/// The help of an object on standard error, as `ip OBJECT help` gives it.
fn usage(object: Option<&str>) -> Exit {
    let info = Args::get_args_info();
    let found = info
        .commands
        .iter()
        .find(|command| Some(command.name) == object);
    say(&match found {
        Some(command) => help::text(&format!("ip {}", command.name), &command.command),
        None => help::text("ip", &info),
    });
    Exit::Status(USAGE)
}

/// The first of these commands that begins with the word.
fn verb(word: &str, verbs: &[&'static str]) -> Option<&'static str> {
    verbs.iter().copied().find(|verb| words::begins(word, verb))
}

/// A command that the object does not have.
fn unknown(word: &str, object: &str) -> Error {
    Error::new(format!(
        "Command \"{word}\" is unknown, try \"ip {object} help\"."
    ))
    .status(USAGE)
}

/// A command or a word that iproute2 has and we have not.
fn absent(what: &str) -> Error {
    Error::new(format!("{what} of iproute2 is not in this ip")).status(1)
}
