//! Whether isolation works on this machine, shown by the box's own steps: `selftest` prints it.
//!
//! | file | checks |
//! |---|---|
//! | `namespaces` | the eight kinds of namespace |
//! | `roots` | chroot, pivot, an overlay, the layers of an image |
//! | `limits` | what control groups limit |
//! | `container` | a whole container |
//! | `rights` | seccomp, capabilities, no_new_privs, Landlock |
//!
//! A check does something inside, in a child ([`crate::apart`]), and looks from outside whether it is seen. What the
//! kernel refuses to set up is skipped, with its reason; what is set up and does not isolate fails. Children end with
//! this process, and what they have made with them; of control groups see `limits`.

mod container;
mod limits;
mod namespaces;
mod rights;
mod roots;

use std::cell::RefCell;
use std::fmt::Display;
use std::path::Path;

use nix::sched::CloneFlags;

use crate::apart::{BROKEN, KILLED, apart, enter, leave_chroot};
use crate::error::{Error, Result, Text};

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It isolates.
    Ok,
    /// It does not.
    Fail(String),
    /// Nobody knows.
    Skip(String),
}

/// What was looked at, as it is inside and as it is outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What.
    pub what: Text,
    /// Inside.
    pub inside: String,
    /// Outside.
    pub outside: String,
}

/// What a check says on its way.
#[derive(Debug, Default)]
pub struct Notes(RefCell<Vec<Seen>>);

impl Notes {
    fn saw(&self, what: &'static str, inside: &dyn Display, outside: &dyn Display) {
        self.0.borrow_mut().push(Seen {
            what: what.into(),
            inside: inside.to_string(),
            outside: outside.to_string(),
        });
    }
}

type Check = fn(&Notes) -> Result<()>;

/// The checks in order.
const CHECKS: [(&str, Check); 19] = [
    ("pid", namespaces::pid),
    ("net", namespaces::net),
    ("uts", namespaces::uts),
    ("ipc", namespaces::ipc),
    ("mnt", namespaces::mnt),
    ("user", namespaces::user),
    ("cgroup", namespaces::cgroup),
    ("time", namespaces::time),
    ("chroot", roots::chroot),
    ("pivot", roots::pivot),
    ("overlay", roots::overlay),
    ("layers", roots::layers),
    ("memory.max", limits::memory),
    ("pids.max", limits::pids),
    ("capabilities", rights::capabilities),
    ("no_new_privs", rights::no_new_privs),
    ("seccomp", rights::seccomp),
    ("landlock", rights::landlock),
    ("container", container::check),
];

/// The names of all checks.
pub fn names() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|(name, _)| *name)
}

/// The word by which the container's program is called: nobody types it.
pub const INSIDE: &str = "inside";

pub use container::inside;

/// Runs one check.
pub fn check(name: &str) -> (Verdict, Vec<Seen>) {
    let notes = Notes::default();
    let found = CHECKS.iter().find(|(known, _)| *known == name);
    let result = found.map_or(Ok(()), |(_, check)| check(&notes));
    let verdict = match result {
        Ok(()) => Verdict::Ok,
        Err(error) => {
            let hint = error
                .advice()
                .map_or_else(String::new, |hint| format!("; {hint}"));
            let why = format!("{error}{hint}");
            match error.exit_status() {
                BROKEN | KILLED => Verdict::Fail(why),
                _ => Verdict::Skip(why),
            }
        }
    };
    (verdict, notes.0.into_inner())
}

fn broken(why: impl Into<Text>) -> Error {
    Error::new(why).status(BROKEN)
}

/// An error unless it is so.
fn must(so: bool, why: &'static str) -> Result<()> {
    if so { Ok(()) } else { Err(broken(why)) }
}

/// In a chroot without `/proc`: leaves it, in a mount namespace of our own, for what can be told from `/proc` only, and for
/// user namespaces, which are not made in a chroot. Where that is not possible, what needs it says so.
fn out_of_chroot() {
    if !Path::new("/proc/self").exists() {
        let _ = enter(CloneFlags::CLONE_NEWNS).and_then(|()| leave_chroot());
    }
}

/// Does something in a child, and gives the texts that it found, one for each that is wanted.
fn texts<const N: usize>(act: &mut dyn FnMut() -> Result<[String; N]>) -> Result<[String; N]> {
    let found = parts(&mut || Ok(act()?.join("\0").into_bytes()))?;
    let cut = |_| broken("the child's report was cut short");
    found.try_into().map_err(cut)
}

fn parts(act: &mut dyn FnMut() -> Result<Vec<u8>>) -> Result<Vec<String>> {
    let said = String::from_utf8_lossy(&apart(act)?).into_owned();
    Ok(said.split('\0').map(str::to_owned).collect())
}
