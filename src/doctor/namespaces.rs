//! The eight kinds of namespace, and who may have user namespaces with which ids.

use nix::sched::CloneFlags;
use nix::unistd::{geteuid, getpid};

use super::{Places, Report, State};
use crate::apart::{apart, enter};
use crate::error::{Error, Result};
use crate::holder::Holder;
use crate::idmap::Ids;
use crate::namespace::Kind;
use crate::oci::ranges::Given;
use crate::probe;
use crate::process;
use crate::subid::first_block;
use crate::sys::clone::Change;

pub(super) fn all(report: &mut Report, _: &Places) {
    for kind in Kind::ALL {
        let is_user = kind == Kind::User;
        let privileged = probe::is_admin();
        let tried = apart(&mut || {
            enter(kind.flag())?;
            // Of these two it is the children who are in the new one.
            if matches!(kind, Kind::Pid | Kind::Time) {
                apart(&mut || match kind == Kind::Pid && getpid().as_raw() != 1 {
                    true => Err(Error::new("the first process in it is not number 1")),
                    false => Ok(Vec::new()),
                })?;
            }
            Ok(Vec::new())
        });
        let found = match is_user || privileged {
            true => "can be made",
            false => "can be made, in a user namespace",
        };
        // Root does without its own, and there are programs that want no other clock.
        let state = match kind {
            Kind::Time | Kind::Cgroup => State::Warn,
            Kind::User if privileged => State::Warn,
            _ => State::Fail,
        };
        report.tried(
            state,
            &format!("{} namespace", kind.option()),
            found,
            tried.err(),
        );
    }
}

/// Switches that keep ordinary users from user namespaces: where, the value that does, and its name.
const SWITCHES: [(&str, u64); 3] = [
    ("user/max_user_namespaces", 0),
    ("kernel/unprivileged_userns_clone", 0),
    ("kernel/apparmor_restrict_unprivileged_userns", 1),
];

pub(super) fn user(report: &mut Report, _: &Places) {
    let privileged = probe::is_admin();
    for (file, closed) in SWITCHES {
        let Some(value) = probe::sysctl(&format!("/proc/sys/{file}")) else {
            continue;
        };
        let name = file.replace('/', ".");
        if value != closed {
            report.ok(&name, &value.to_string());
            continue;
        }
        let open = if closed == 0 && file.starts_with("user") {
            15000
        } else {
            1 - closed
        };
        let advice = format!("sysctl -w {name}={open}");
        let found = format!("{value}: ordinary users have no use of user namespaces");
        let state = if privileged { State::Warn } else { State::Fail };
        report.add(state, &name, &found, &advice);
    }
    match geteuid().is_root() {
        true => containers(report),
        false => own(report),
    }
}

/// The ids that root's containers can have.
fn containers(report: &mut Report) {
    let subject = "ids of root's containers";
    match Given::read() {
        Ok(given) if given.is_nothing() => {
            let found = "none of their own: root in there is root out here";
            let advice = "a line containers:1048576:1048576 in /etc/subuid and in /etc/subgid (--userns auto)";
            report.add(State::Warn, subject, found, advice);
        }
        other => report.tried(
            State::Warn,
            subject,
            "/etc/subuid and /etc/subgid give them some",
            other.err(),
        ),
    }
}

/// The ids that this user can have besides his own.
fn own(report: &mut Report) {
    for ids in [Ids::User, Ids::Group] {
        let subject = format!("ids by {}", ids.mapper());
        let found = first_block(ids).and_then(|(first, count)| {
            map(ids, first, count).map(|()| format!("{count} from {first} on"))
        });
        match found {
            Ok(found) => report.ok(&subject, &found),
            refused => report.tried(State::Warn, &subject, "", refused.err()),
        }
    }
}

/// Has the set-id program write a map, for a process that is there for nothing else.
fn map(ids: Ids, first: u32, count: u32) -> Result<()> {
    let flags = CloneFlags::CLONE_NEWUSER;
    let holder = Holder::start(flags).map_err(|errno| probe::clone_failed(flags, errno))?;
    let words = [
        ids.mapper().into(),
        holder.pid().to_string(),
        "0".into(),
        first.to_string(),
        count.to_string(),
    ];
    match process::run(&words, true)?.0 {
        Change::Exited(0) => Ok(()),
        end => Err(Error::new(format!("{} fails", ids.mapper()))
            .because(process::ended(end))
            .hint_maybe(probe::mapper_refused(ids, end))),
    }
}
