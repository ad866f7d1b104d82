//! ip why: why a network namespace does not reach an address or a name, found by looking.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use isobox::error::{Error, Result};
use isobox::json::quote;
use isobox::net::netns::{Directories, Named};
use isobox::net::resolv::{self, Resolv, is_of_one_namespace};
use isobox::net::trace::{Case, Finding, Question, addresses, why};
use isobox::procfs::{Process, open_link};
use isobox::root::Root;

use crate::cli::Exit;
use crate::cli::help::print_all;

/// The words are `NETNS|PID ADDRESS|NAME`.
pub(super) fn run(words: &[std::ffi::OsString], names: &Directories, json: bool) -> Result<Exit> {
    let [namespace, target] = words else {
        return Err(Error::new("ip why NETNS|PID ADDRESS|NAME")
            .because("two words are expected")
            .status(255));
    };
    let case = |address| {
        Ok(Case {
            ns: names.open(namespace)?,
            enter: enter(names, namespace),
            name: namespace.to_string_lossy().into_owned(),
            address,
            names: names.clone(),
        })
    };
    let target = target.to_string_lossy();
    let findings = match target.parse::<IpAddr>() {
        Ok(address) => {
            let mut findings = why(&case(address)?)?;
            if findings.iter().all(|finding| !finding.fault) {
                findings.extend(names_work(&case(address)?, names, namespace)?);
            }
            findings
        }
        Err(_) if is_name(&target) => by_name(&target, &case, names, namespace)?,
        Err(_) => {
            return Err(
                Error::new(format!("\"{target}\" is neither an address nor a name")).status(255),
            );
        }
    };
    let fault = findings.iter().any(|finding| finding.fault);
    let lines: Vec<String> = findings.iter().map(if json { row } else { line }).collect();
    let text = match json {
        true => format!(
            "{{\"reachable\": {}, \"findings\": [\n  {}\n]}}\n",
            !fault,
            lines.join(",\n  ")
        ),
        false => lines.concat(),
    };
    print_all(&text)?;
    Ok(Exit::Status(u8::from(fault)))
}

fn line(finding: &Finding) -> String {
    let Finding {
        says, fault, fix, ..
    } = finding;
    let mark = match (fault, fix) {
        (true, _) => "FAULT",
        (false, Some(_)) => "note ",
        (false, None) => "ok   ",
    };
    let fix = fix.as_ref();
    let fix = fix.map_or_else(String::new, |fix| format!("      try: {fix}\n"));
    format!("{mark} {says}\n{fix}")
}

fn row(finding: &Finding) -> String {
    let Finding {
        about,
        says,
        fault,
        fix,
    } = finding;
    let fix = fix.as_deref().map_or_else(|| "null".into(), quote);
    format!(
        "{{\"about\": {}, \"fault\": {fault}, \"says\": {}, \"fix\": {fix}}}",
        quote(about),
        quote(says)
    )
}

fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    !text.is_empty() && text.len() < 254 && text.bytes().all(plain)
}

/// The words that run a command in there.
fn enter(names: &Directories, namespace: &OsStr) -> String {
    match names.find(namespace) {
        Some(Named::Process(pid)) => format!("nsenter -t {pid} -n"),
        Some(Named::File(file)) if namespace.as_bytes().contains(&b'/') => {
            format!("nsenter --net={}", file.display())
        }
        _ => format!("ip netns exec {}", namespace.display()),
    }
}

/// The resolv.conf that counts in there, and its path: that of the process's root, or what `ip netns exec` shows.
fn resolv_conf(names: &Directories, namespace: &OsStr) -> (String, String) {
    const FILE: &str = "/etc/resolv.conf";
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    match names.find(namespace) {
        Some(Named::Process(pid)) => {
            let read = || {
                let root = open_link(Process::open(pid).ok()?.into_fd().as_fd(), "root").ok()?;
                let flags = nix::libc::O_RDONLY | nix::libc::O_NONBLOCK;
                let file = Root::new(root.as_fd())
                    .look_up(Path::new(FILE), flags)
                    .ok()?;
                std::io::read_to_string(std::fs::File::from(file)).ok()
            };
            (
                format!("/proc/{pid}/root{FILE}"),
                read().unwrap_or_default(),
            )
        }
        _ => {
            let own = format!("/etc/netns/{}/resolv.conf", namespace.display());
            match Path::new(&own).exists() {
                true => (own.clone(), text(&own)),
                false => (FILE.into(), text(FILE)),
            }
        }
    }
}

/// The line that gives the namespace this name server; where none is known, a person has to know one.
fn writing(names: &Directories, namespace: &OsStr, server: Option<IpAddr>) -> String {
    let server = server.map_or_else(|| "SERVER".into(), |server| server.to_string());
    match names.find(namespace) {
        Some(Named::Process(pid)) => {
            format!("echo 'nameserver {server}' >/proc/{pid}/root/etc/resolv.conf")
        }
        _ => {
            let dir = format!("/etc/netns/{}", namespace.display());
            format!("mkdir -p {dir}; echo 'nameserver {server}' >{dir}/resolv.conf")
        }
    }
}

/// A name server that answers who asks from inside, where these are silent: one of the machine's, or a public one.
fn another(ns: BorrowedFd<'_>, silent: &[IpAddr]) -> Result<Option<IpAddr>> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/etc/resolv.conf").unwrap_or_default();
    let (found, _) = resolv::for_guest(&[], &machine, read(resolv::UPSTREAM).as_deref());
    for server in found.servers.into_iter().chain(resolv::PUBLIC) {
        if !silent.contains(&server) && asked(ns, server, "", false)?.is_some() {
            return Ok(Some(server));
        }
    }
    Ok(None)
}

fn asked(
    ns: BorrowedFd<'_>,
    server: IpAddr,
    name: &str,
    ipv6: bool,
) -> Result<Option<Vec<IpAddr>>> {
    addresses(&Question {
        ns,
        server,
        name,
        ipv6,
    })
}

/// The name servers of the namespace, or the fault that there are none of use.
fn servers(names: &Directories, namespace: &OsStr) -> Result<Vec<IpAddr>, Finding> {
    let (file, text) = resolv_conf(names, namespace);
    let all = Resolv::parse(&text).servers;
    let [public, _] = resolv::PUBLIC;
    let fix = writing(names, namespace, Some(public));
    let fault = |says: String| Finding {
        about: "dns",
        says,
        fault: true,
        fix: Some(fix.clone()),
    };
    let usable: Vec<IpAddr> = all
        .iter()
        .copied()
        .filter(|one| !is_of_one_namespace(*one))
        .collect();
    match (usable.is_empty(), all.first()) {
        (false, _) => Ok(usable),
        (true, None) => Err(fault(format!("{file} names no name server"))),
        (true, Some(first)) => Err(fault(format!(
            "{file} names {first}, which answers only in the namespace of the machine"
        ))),
    }
}

/// Whether names work too: said, and no fault, since an address was asked for.
fn names_work(case: &Case, names: &Directories, namespace: &OsStr) -> Result<Option<Finding>> {
    let servers = match servers(names, namespace) {
        Ok(servers) => servers,
        Err(finding) => {
            return Ok(Some(Finding {
                fault: false,
                says: format!("but {}", finding.says),
                ..finding
            }));
        }
    };
    for server in &servers {
        if asked(case.ns.as_fd(), *server, "", false)?.is_some() {
            return Ok(None);
        }
    }
    let other = another(case.ns.as_fd(), &servers)?;
    let first = servers.first().map_or_else(String::new, IpAddr::to_string);
    Ok(Some(Finding {
        about: "dns",
        says: format!("but the name server {first} is silent"),
        fault: false,
        fix: Some(match other {
            Some(_) => writing(names, namespace, other),
            None => format!("ip why {} {first}", namespace.display()),
        }),
    }))
}

/// Asks for the addresses of a name from inside, and then why the first of them, or the name server, is not reached.
fn by_name(
    name: &str,
    case: &dyn Fn(IpAddr) -> Result<Case>,
    names: &Directories,
    namespace: &OsStr,
) -> Result<Vec<Finding>> {
    let servers = match servers(names, namespace) {
        Ok(servers) => servers,
        Err(finding) => return Ok(vec![finding]),
    };
    let Some(first) = servers.first() else {
        return Ok(Vec::new());
    };
    for server in &servers {
        let there = case(*server)?;
        let ask = |ipv6| asked(there.ns.as_fd(), *server, name, ipv6);
        let Some(found) = ask(false)? else {
            continue;
        };
        let found = match found.first() {
            Some(found) => Some(*found),
            None => ask(true)?.unwrap_or_default().first().copied(),
        };
        let says = |text: String, fault| Finding {
            about: "dns",
            says: text,
            fault,
            fix: None,
        };
        let Some(found) = found else {
            return Ok(vec![says(
                format!("{server} knows no address of {name}"),
                true,
            )]);
        };
        let mut findings = vec![says(format!("{server} says that {name} is {found}"), false)];
        findings.extend(why(&case(found)?)?);
        return Ok(findings);
    }
    let there = case(*first)?;
    let other = another(there.ns.as_fd(), &servers)?;
    let reached = why(&there)?;
    let elsewhere = reached.iter().any(|finding| finding.fault) && other.is_none();
    let mut findings = vec![Finding {
        about: "dns",
        says: format!("the name server {first} is silent"),
        fault: true,
        fix: (!elsewhere).then(|| writing(names, namespace, other)),
    }];
    findings.extend(reached);
    Ok(findings)
}
