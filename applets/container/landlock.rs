//! `--landlock`: what a container's programs give up (landlock(7)), as it is kept in words.

use std::ffi::OsStr;

use isobox::error::Result;
use isobox::landlock::{Domain, version};

/// Whose domain it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// That of the container's own program.
    Own,
    /// That of a program that joins, which is to reach those that are there.
    Joining,
}

/// The domain of these rules, a line each; without a rule about paths the root is kept. `None` where there are no words.
///
/// # Errors
/// Where the kernel has no Landlock, and for what is no rule.
pub(super) fn words(words: &str, whose: Whose) -> Result<Option<Domain>> {
    if words.is_empty() {
        return Ok(None);
    }
    let abi = version()?;
    let of = |kind: &str| words.lines().any(|rule| rule.starts_with(kind));
    let mut rules: Vec<&str> = words.lines().filter(|rule| *rule != "on").collect();
    if !of("path-beneath:") {
        rules.push("path-beneath::/");
    }
    let mut accesses = vec!["fs"];
    if of("net-port:") {
        accesses.push("net");
    }
    // Signals and abstract sockets since version 6.
    if whose == Whose::Own && abi >= 6 {
        accesses.push("scope");
    }
    let os = |words: Vec<&'static str>| words.into_iter().map(OsStr::new);
    Domain::parse(os(accesses), rules.iter().map(OsStr::new), abi).map(Some)
}
