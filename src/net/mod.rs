//! Networks from parts: links, addresses and routes, told to the kernel over netlink (netlink(7), rtnetlink(7)).
//!
//! [`connection`] is the line to the kernel of one network namespace; everything else says something over it and
//! returns when the kernel has answered: nothing in this room is asynchronous to its callers, and it starts no thread.
//! netlink-proto, on which rtnetlink stands, carries the messages. Answers stay the kernel's bytes, which [`attributes`]
//! reads where they lie: parsing all of them into types, as rtnetlink does, takes 320 KB of binary, and a kernel that is
//! newer than the types makes it fail. rtnetlink's builders serve for addresses; those of links and routes would take
//! along every option of every kind of link and tunnel.

pub mod address;
pub mod attributes;
pub mod connection;
pub mod forwarding;
pub mod lease;
pub mod link;
pub mod message;
pub mod name;
pub mod nat;
pub mod netns;
pub mod nftables;
pub mod number;
pub mod passage;
pub mod refusal;
pub mod request;
pub mod resolv;
pub mod route;
pub mod ruleset;
pub mod shaping;
pub mod trace;
pub mod user;
pub mod veth;

pub use connection::Connection;
pub use message::{Answer, Message};
pub use refusal::Refusal;
