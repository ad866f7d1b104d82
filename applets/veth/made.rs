//! What was made, for programs.

use std::os::fd::AsFd;

use isobox::error::{Doing, Result};
use isobox::json::quote;
use isobox::net::Connection;
use isobox::net::link;
use isobox::net::veth::Mac;
use isobox::plan::steps::links::Place;
use isobox::plan::wire::{End, Wire};

use crate::cli::Exit;
use crate::cli::help::print_all;

/// Prints it as one JSON object.
pub(super) fn print(wire: &Wire) -> Result<Exit> {
    let mut here = Connection::open()?;
    let mut fields = vec![("host", end(&mut here, &wire.host)?)];
    if let Place::Named { text, directories } = &wire.place {
        let ns = directories.open(text)?;
        let mut there = Connection::open_in(ns.as_fd())?;
        fields.push(("guest", end(&mut there, &wire.guest)?));
    }
    fields.push(("netns", quote(&wire.place.shown())));
    if let Some(bridge) = &wire.bridge {
        fields.push(("bridge", end(&mut here, bridge)?));
    }
    fields.push(("gateways", list(wire.gateways.iter())));
    fields.push(("dns", list(wire.dns.iter())));
    if let Some(rate) = wire.rate {
        fields.push(("rate", quote(&rate.to_string())));
    }
    print_all(&format!("{}\n", object(&fields)))
}

/// An end: its name, number, hardware address and size as the kernel has them, and the addresses that were given.
fn end(connection: &mut Connection, end: &End) -> Result<String> {
    let link = link::named(connection, &end.link).doing_to("cannot find the link", &end.link)?;
    let mac = link
        .address()
        .and_then(|bytes| bytes.try_into().ok())
        .map(Mac);
    Ok(object(&[
        ("name", quote(&end.link)),
        ("index", link.index.to_string()),
        (
            "mac",
            mac.map_or_else(|| "null".into(), |mac| quote(&mac.to_string())),
        ),
        ("mtu", link.mtu().unwrap_or(0).to_string()),
        ("addresses", list(end.addresses.iter())),
    ]))
}

fn list(items: impl Iterator<Item = impl ToString>) -> String {
    let items: Vec<String> = items.map(|item| quote(&item.to_string())).collect();
    format!("[{}]", items.join(","))
}

fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{}:{value}", quote(name)))
        .collect();
    format!("{{{}}}", fields.join(","))
}
