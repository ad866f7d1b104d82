//! What a process gives up, and does not get back.

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::utsname::uname;
use nix::unistd::{getppid, sethostname};

use super::{Notes, must, texts};
use crate::apart::{enter, perform};
use crate::capability::{Change, Set};
use crate::error::{Error, Result};
use crate::landlock::{Area, Domain, supported};
use crate::namespace::Kind;
use crate::plan::steps::capabilities::{Capabilities, NoNewPrivs};
use crate::plan::steps::landlock::{MakeRuleset, RestrictSelf};
use crate::plan::steps::seccomp::{LoadFilter, Origin};
use crate::plan::{Plan, Quiet};
use crate::seccomp::table::Call;
use crate::seccomp::{Arch, Policy, Rule, action};
use crate::sys::landlock::Handled;
use crate::sys::task::prctl;

pub(super) fn capabilities(notes: &Notes) -> Result<()> {
    let [with, without] = texts(&mut || {
        enter(Kind::Uts.flag())?;
        let rename = || {
            sethostname("isobox-selftest")
                .err()
                .map_or("done", Errno::desc)
                .to_owned()
        };
        let with = rename();
        let none = Some(Change::to(Set::EMPTY));
        perform(Capabilities {
            permitted: none,
            inheritable: none,
            ..Capabilities::default()
        })?;
        Ok([with, rename()])
    })?;
    notes.saw(
        "sethostname(2) without capabilities, and with",
        &without,
        &with,
    );
    if with != "done" {
        return Err(Error::new("with capabilities it is refused too"));
    }
    must(
        without == Errno::EPERM.desc(),
        "what needs a capability is done without",
    )
}

pub(super) fn no_new_privs(notes: &Notes) -> Result<()> {
    let is_set = || {
        prctl(libc::PR_GET_NO_NEW_PRIVS, [0; 4])
            .unwrap_or(-1)
            .to_string()
    };
    let [inside, cleared] = texts(&mut || {
        perform(NoNewPrivs)?;
        let cleared = prctl(libc::PR_SET_NO_NEW_PRIVS, [0; 4]).is_ok();
        // It is handed on.
        let [inside] = texts(&mut || Ok([is_set()]))?;
        Ok([inside, cleared.to_string()])
    })?;
    notes.saw("no_new_privs", &inside, &is_set());
    must(inside == "1", "it is not set in a child of who has set it")?;
    must(cleared == "false", "it can be taken back")
}

pub(super) fn seccomp(notes: &Notes) -> Result<()> {
    let asked = || uname().err().map_or("done", Errno::desc).to_owned();
    let [inside, others] = texts(&mut || {
        perform(NoNewPrivs)?;
        // An answer that the call does not give by itself.
        let refused = Rule {
            conditions: Vec::new(),
            action: action::ERRNO | Errno::E2BIG as u32,
        };
        let policy = Policy {
            arches: Arch::native().into_iter().collect(),
            default: action::ALLOW,
            unknown: None,
            knows_table: false,
            calls: Call::named("uname")
                .map(|call| (call, vec![refused].into()))
                .into_iter()
                .collect(),
        };
        perform(LoadFilter {
            filter: policy.filter(0)?,
            origin: Origin::Rules,
        })?;
        Ok([asked(), (getppid().as_raw() >= 0).to_string()])
    })?;
    notes.saw("uname(2)", &inside, &asked());
    must(
        inside == Errno::E2BIG.desc(),
        "a call that is forbidden is made",
    )?;
    must(others == "true", "other calls are not made any more")
}

pub(super) fn landlock(notes: &Notes) -> Result<()> {
    let list = || {
        let opened = open(
            "/",
            OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        );
        opened.err().map_or("opens", Errno::desc).to_owned()
    };
    let outside = list();
    let all = supported(Area::Fs)?;
    let [inside] = texts(&mut || {
        let mut plan = Plan::effects();
        let slot = plan.slot();
        plan.then(NoNewPrivs);
        plan.then(MakeRuleset {
            domain: Domain {
                handled: Handled {
                    fs: all,
                    ..Handled::default()
                },
                rules: Vec::new(),
            },
            slot,
        });
        plan.then(RestrictSelf { slot });
        plan.run(&Quiet)?;
        Ok([list()])
    })?;
    notes.saw("the directory /", &inside, &outside);
    if outside != "opens" {
        return Err(Error::new("/ cannot be read without it"));
    }
    must(inside == Errno::EACCES.desc(), "what was given up is done")
}
