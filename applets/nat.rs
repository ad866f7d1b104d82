//! nat: subnets that reach the world by an address of this machine, and ports that lead into them.

use argh::{ArgsInfo, FromArgs};
use isobox::error::{Error, Result};
use isobox::json::quote;
use isobox::net::address::Cidr;
use isobox::net::nat::{self, Entry, Publication};
use isobox::plan::Plan;
use isobox::plan::steps::nat::{AddNat, Removal, RemoveNat};

use crate::cli::help::print_all;
use crate::cli::plan::{Explain, perform};
use crate::cli::{Applet, Exit, gnu};

/// let a subnet reach the world by an address of this machine, and publish ports
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "nat",
    example = "nat add 10.9.0.0/24",
    example = "nat add --dnat 8080:10.9.0.2:80 --dnat 53:10.9.0.2:53/udp",
    example = "nat list --all",
    example = "nat del 10.9.0.0/24",
    note = "Everything stands in a table of its own, inet isobox, of this network namespace; tables of others are never touched. Forwarding is turned on where it is off, and off again with the last entry."
)]
pub(crate) struct Args {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    Add(Add),
    Del(Del),
    List(List),
}

/// translate addresses of subnets, publish ports; what is there already stays
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "add")]
struct Add {
    /// lead a port of this machine to one of a guest, as in 8080:10.9.0.2:80, 53:10.9.0.2:53/udp or 127.0.0.1:8080:10.9.0.2:80; may be repeated
    #[argh(option, arg_name = "port:guest:port")]
    dnat: Vec<Published>,
    /// tell what would be done and do nothing; json for programs, run to tell while doing
    #[argh(option, arg_name = "[=how]")]
    explain: Option<Explain>,
    /// the subnets
    #[argh(positional)]
    subnet: Vec<Network>,
}

/// take entries back; publications into a subnet go with it
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "del")]
struct Del {
    /// this publication; may be repeated
    #[argh(option, arg_name = "port:guest:port")]
    dnat: Vec<Published>,
    /// everything that is ours
    #[argh(switch)]
    all: bool,
    /// tell what would be done and do nothing; json for programs, run to tell while doing
    #[argh(option, arg_name = "[=how]")]
    explain: Option<Explain>,
    /// the subnets
    #[argh(positional)]
    subnet: Vec<Network>,
}

/// show the entries, with how much passed by each
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "list")]
struct List {
    /// every chain that sees packets here, of all tables
    #[argh(switch)]
    all: bool,
    /// as JSON
    #[argh(switch)]
    json: bool,
}

/// A subnet as typed.
struct Network(Cidr);

impl argh::FromArgValue for Network {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        let cidr = value.parse().and_then(nat::subnet);
        cidr.map(Self).map_err(|error| gnu::bad(error.to_string()))
    }
}

/// A publication as typed.
struct Published(Publication);

impl argh::FromArgValue for Published {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        value
            .parse()
            .map(Self)
            .map_err(|error: Error| gnu::bad(error.to_string()))
    }
}

fn entries(subnets: Vec<Network>, publications: Vec<Published>) -> Vec<Entry> {
    let subnets = subnets.into_iter().map(|one| Entry::Masquerade(one.0));
    let publications = publications.into_iter().map(|one| Entry::Publish(one.0));
    subnets.chain(publications).collect()
}

impl Applet for Args {
    fn run(self) -> Result<Exit> {
        let mut plan = Plan::effects();
        let nothing = || {
            Error::new("neither a subnet nor a publication was given")
                .hint("nat add 10.9.0.0/24, or nat add --dnat 8080:10.9.0.2:80")
        };
        let explain = match self.verb {
            Verb::List(verb) => return verb.run(),
            Verb::Add(verb) => {
                let entries = entries(verb.subnet, verb.dnat);
                if entries.is_empty() {
                    return Err(nothing());
                }
                plan.then(AddNat::new(entries));
                verb.explain
            }
            Verb::Del(verb) => {
                let entries = entries(verb.subnet, verb.dnat);
                let what = match verb.all {
                    true => Removal::All,
                    false if entries.is_empty() => return Err(nothing()),
                    false => Removal::These(entries),
                };
                plan.then(RemoveNat { what });
                verb.explain
            }
        };
        perform(&plan, explain)
    }
}

impl List {
    fn run(self) -> Result<Exit> {
        let own: Vec<Row> = nat::entries()?.iter().map(entry_row).collect();
        let mut rows = own;
        if self.all {
            rows.extend(nat::hooked()?.iter().map(chain_row));
        }
        let text: Vec<String> = match self.json {
            true => rows.into_iter().map(|row| row.json).collect(),
            false => rows.into_iter().map(|row| row.text + "\n").collect(),
        };
        match self.json {
            true if text.is_empty() => print_all("[]\n"),
            true => print_all(&format!("[\n  {}\n]\n", text.join(",\n  "))),
            false => print_all(&text.concat()),
        }
    }
}

/// One line of the list, in both forms.
struct Row {
    text: String,
    json: String,
}

fn entry_row(line: &nat::Line) -> Row {
    let count = line.count;
    match line.entry {
        Entry::Masquerade(subnet) => Row {
            text: format!("{subnet} masquerade, {count} packets"),
            json: format!(
                "{{\"kind\": \"masquerade\", \"subnet\": {}, \"packets\": {count}}}",
                quote(&subnet.to_string())
            ),
        },
        Entry::Publish(publication) => {
            let Publication {
                at,
                port,
                guest,
                guest_port,
                protocol,
            } = publication;
            let at = at.map_or("null".into(), |at| quote(&at.to_string()));
            Row {
                text: format!("{publication} published, {count} connections"),
                json: format!(
                    "{{\"kind\": \"publish\", \"address\": {at}, \"port\": {port}, \"guest\": {}, \"guest_port\": {guest_port}, \"protocol\": {}, \"connections\": {count}}}",
                    quote(&guest.to_string()),
                    quote(protocol.name())
                ),
            }
        }
    }
}

fn chain_row(chain: &nat::Hooked) -> Row {
    let nat::Hooked {
        family,
        table,
        chain,
        kind,
        hook,
        priority,
        drops,
        rules,
    } = chain;
    let policy = if *drops { "drop" } else { "accept" };
    Row {
        text: format!(
            "table {family} {table} chain {chain}: {kind}, hook {hook} {priority}, policy {policy}, {rules} rules"
        ),
        json: format!(
            "{{\"kind\": \"chain\", \"family\": {}, \"table\": {}, \"chain\": {}, \"type\": {}, \"hook\": {}, \"priority\": {priority}, \"policy\": {}, \"rules\": {rules}}}",
            quote(family),
            quote(table),
            quote(chain),
            quote(kind),
            quote(hook),
            quote(policy)
        ),
    }
}
