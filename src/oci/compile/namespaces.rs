//! Namespaces: those that are made, those that are joined, and what is set in them.

use nix::mount::MsFlags;
use nix::sched::CloneFlags;
use nix::unistd::geteuid;

use super::seccomp::Supervisor;
use super::{Setting, bad};
use crate::credentials::groups_are_fixed;
use crate::enter::Origin;
use crate::error::{Error, Result};
use crate::idmap::{Ids, Range};
use crate::namespace::{Kind, flags};
use crate::oci::spec::{IdMapping, Spec};
use crate::plan::confine::{Confinement, Member};
use crate::plan::steps::attributes::OomScoreAdjust;
use crate::plan::steps::borrowed::{BackFrom, BornIn, ForChildren, KeepOwn};
use crate::plan::steps::credentials::{AtBirth, SetGid, SetUid};
use crate::plan::steps::enter::{Join, OpenNamespace, Pass, Source};
use crate::plan::steps::idmap::{ExpectMap, RunIdMapper, SetgroupsControl, WriteMap};
use crate::plan::steps::mounts::Propagation;
use crate::plan::steps::namespaces::Unshare;
use crate::plan::steps::net::LoopbackUp;
use crate::plan::steps::net_devices::MoveLink;
use crate::plan::steps::process::DeathSignal;
use crate::plan::steps::scope::AttachToUnit;
use crate::plan::steps::sysctl::SetSysctl;
use crate::plan::steps::time::{Clock, ClockOffset};
use crate::plan::steps::uts::{SetDomainname, SetHostname};
use crate::plan::{Fork, Plan, Slot};
use crate::sys::beside::NewNamespaces;
use crate::sysctl;

/// From the caller to a child in all its namespaces, with its ids and names.
pub(super) fn enter(
    plan: &mut Plan,
    spec: &Spec,
    setting: Setting<'_>,
    confinement: Option<&Confinement>,
    (born_in, attach): (Option<Slot>, Option<AttachToUnit>),
    supervisor: Option<&Supervisor>,
) -> Result<()> {
    let linux = &spec.linux;
    let makes = |kind| linux.makes(kind);
    let made: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| makes(*kind)).collect();
    // The root of a cgroup namespace is where its maker is: it is made when we are where we are to be.
    let own_cgroups = confinement.is_some() && makes(Kind::Cgroup);
    let shifts = clocks(spec)?;
    let joins_user = linux.namespace(Kind::User).is_some() && !makes(Kind::User);
    let borrowed = match joins_user {
        true => borrow_between(plan, spec),
        false => borrow(plan, spec),
    };
    let mut at_birth = flags(&made);
    at_birth.set(Kind::Cgroup.flag(), makes(Kind::Cgroup) && !own_cgroups);
    let mut back = borrowed.back;
    if makes(Kind::Time) && !shifts.is_empty() {
        // Offsets are fixed when the first process is inside: they are written before there is one.
        at_birth.remove(Kind::Time.flag());
        back.push((Kind::Time, shift(plan, shifts)));
    }
    if let Some(making) = setting.making {
        plan.made_ahead(made_ahead(spec, setting), making.begun.take());
    }
    plan.fork(Fork {
        namespaces: at_birth,
        cgroup: born_in,
        why: "the container's first process, in namespaces of its own from its first moment".into(),
        without: "it would see and change what belongs to the host".into(),
    });
    if !back.is_empty() {
        plan.outside(BackFrom { own: back });
    }
    if let Some(supervisor) = supervisor {
        supervisor.note(plan);
    }
    plan.then(DeathSignal {
        signal: libc::SIGKILL,
    });
    match (confinement, attach) {
        (_, Some(attach)) => drop(plan.outside(attach)),
        (Some(confinement), None) => confinement.join(plan, Member::Child(born_in)),
        (None, None) => {}
    }
    if let Some(scope) = setting.making.and_then(|making| making.scope.as_ref()) {
        scope.is_joined(plan);
    }
    if own_cgroups {
        plan.then(Unshare {
            namespaces: Kind::Cgroup.flag(),
        });
    }
    join(plan, borrowed.later);
    if !weighs_itself(spec)
        && let Some(step) = oom_score(spec, setting)?
    {
        plan.outside(step);
    }
    if makes(Kind::User) {
        maps(plan, spec);
    } else if joins_user {
        become_root_of_joined(plan, spec);
    }
    if makes(Kind::Mount) {
        plan.then(Propagation {
            kind: MsFlags::MS_PRIVATE,
        });
    }
    names(plan, spec, setting);
    Ok(())
}

/// Which of its namespaces may be made before its first process: those that take longest, where they are to belong to our
/// user namespace and the loopback interface is to be up. And to join a time namespace takes a process that shares no memory.
pub(in crate::oci) fn made_ahead(spec: &Spec, setting: Setting<'_>) -> CloneFlags {
    let linux = &spec.linux;
    let has = |kind| linux.namespace(kind).is_some();
    if !brings_loopback_up(spec, setting) || has(Kind::User) || has(Kind::Time) {
        return CloneFlags::empty();
    }
    let made: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| linux.makes(*kind))
        .collect();
    flags(&made) & NewNamespaces::KINDS
}

fn brings_loopback_up(spec: &Spec, setting: Setting<'_>) -> bool {
    let stays_down = setting.additions.is_some_and(|all| all.loopback_stays_down);
    spec.linux.makes(Kind::Net) && !stays_down
}

/// Whether the child says itself how readily it is killed. In a user namespace with other ids it could not write to its
/// own file, and may not make itself less likely to be killed; in a root without /proc it has no such file.
pub(super) fn weighs_itself(spec: &Spec) -> bool {
    let has_proc = |mount: &crate::oci::spec::Mount| mount.destination.as_os_str() == "/proc";
    (spec.linux.namespace(Kind::User).is_none() || maps_of_self(spec))
        && spec.mounts.iter().any(has_proc)
}

/// How readily it is killed when memory runs out.
pub(super) fn oom_score(spec: &Spec, setting: Setting<'_>) -> Result<Option<OomScoreAdjust>> {
    let Some(value) = spec.process.oom_score_adj else {
        return Ok(None);
    };
    Ok(Some(OomScoreAdjust {
        value: i16::try_from(value).map_err(|_| bad("process.oomScoreAdj", value))?,
        at_least: setting.oom_score_at_least,
    }))
}

fn names(plan: &mut Plan, spec: &Spec, setting: Setting<'_>) {
    if !spec.hostname.is_empty() {
        let name = spec.hostname.clone();
        plan.then(SetHostname { name });
    }
    if !spec.domainname.is_empty() {
        let name = spec.domainname.clone();
        plan.then(SetDomainname { name });
    }
    if brings_loopback_up(spec, setting) {
        plan.then(LoopbackUp);
    }
    for (name, device) in spec.linux.net_devices.iter() {
        let called = match device.name.to_str() {
            None | Some("") => name,
            Some(called) => called,
        };
        plan.outside(MoveLink::new(name.clone(), called.into()));
    }
}

/// Settings of its kernel, when its network is there.
pub(super) fn settings(plan: &mut Plan, spec: &Spec) {
    for (name, value) in spec.linux.sysctl.iter() {
        // Checked before.
        if let Ok((file, _)) = sysctl::file(name) {
            let value = value.clone();
            plan.then(SetSysctl { file, value });
        }
    }
}

/// Namespaces that are joined.
struct Borrowed {
    /// Those that the caller has to go back to: it went to others for the time of the fork.
    back: Vec<(Kind, Slot)>,
    /// Those that the child joins.
    later: Vec<(Kind, Slot)>,
}

/// Opens the namespaces that are joined where a user namespace is among them. What is made belongs to the user namespace
/// that its maker is in, from which there is no way back: a go-between joins all, and makes the child there.
fn borrow_between(plan: &mut Plan, spec: &Spec) -> Borrowed {
    let opened = open_joined(plan, spec);
    for pass in [Pass::Outside, Pass::Last] {
        plan.between(Join {
            pass,
            target: None,
            opened: opened.clone(),
        });
    }
    Borrowed {
        back: Vec::new(),
        later: Vec::new(),
    }
}

fn open_joined(plan: &mut Plan, spec: &Spec) -> Vec<(Kind, Slot)> {
    let mut opened = Vec::new();
    for kind in Kind::ALL {
        let Some(one) = spec.linux.namespace(kind) else {
            continue;
        };
        if !one.path.as_os_str().is_empty() {
            let slot = plan.slot();
            plan.then(OpenNamespace {
                kind,
                source: Source::Given(Origin::File(one.path.clone())),
                slot,
            });
            opened.push((kind, slot));
        }
    }
    opened
}

/// The ids of a user namespace that is joined are there already; that they are those of the spec is looked at.
fn become_root_of_joined(plan: &mut Plan, spec: &Spec) {
    for (ids, ranges) in id_maps(spec) {
        if !ranges.is_empty() {
            plan.outside(ExpectMap { ids, ranges });
        }
    }
    plan.then(SetGid::all(0));
    plan.then(SetUid::all(0));
}

fn id_maps(spec: &Spec) -> [(Ids, Vec<Range>); 2] {
    let linux = &spec.linux;
    [
        (Ids::User, ranges(&linux.uid_mappings)),
        (Ids::Group, ranges(&linux.gid_mappings)),
    ]
}

/// Opens the namespaces that are joined, and goes to those that a child has to be born in.
fn borrow(plan: &mut Plan, spec: &Spec) -> Borrowed {
    let mut all = Borrowed {
        back: Vec::new(),
        later: Vec::new(),
    };
    // Of a user namespace of its own the child would have no privilege over the others.
    let apart = spec.linux.makes(Kind::User);
    for (kind, slot) in open_joined(plan, spec) {
        if matches!(kind, Kind::Pid | Kind::Time) || apart && kind != Kind::Mount {
            let own = plan.slot();
            plan.then(BornIn {
                kind,
                namespace: slot,
                own,
            });
            all.back.push((kind, own));
        } else {
            all.later.push((kind, slot));
        }
    }
    all
}

fn join(plan: &mut Plan, opened: Vec<(Kind, Slot)>) {
    if !opened.is_empty() {
        plan.then(Join {
            pass: Pass::Last,
            target: None,
            opened,
        });
    }
}

/// The clocks that are shifted, and by how much.
fn clocks(spec: &Spec) -> Result<Vec<ClockOffset>> {
    let offsets = &spec.linux.time_offsets;
    if !offsets.is_empty() && !spec.linux.makes(Kind::Time) {
        return Err(Error::new(
            "linux.timeOffsets: there is no new time namespace whose clocks could be shifted",
        )
        .hint("linux.namespaces needs an entry of type time without a path"));
    }
    let clock = |(name, offset): &(String, crate::oci::spec::TimeOffset)| {
        let clock = match &**name {
            "monotonic" => Clock::Monotonic,
            "boottime" => Clock::Boottime,
            _ => return Err(bad("linux.timeOffsets", name)),
        };
        Ok(ClockOffset {
            clock,
            seconds: offset.secs,
            nanoseconds: offset.nanosecs,
        })
    };
    offsets.iter().map(clock).collect()
}

/// Makes the time namespace for the caller's children; gives where its own is kept.
fn shift(plan: &mut Plan, offsets: Vec<ClockOffset>) -> Slot {
    let own = plan.slot();
    plan.then(KeepOwn {
        kind: Kind::Time,
        slot: own,
    });
    plan.then(ForChildren { kind: Kind::Time });
    for offset in offsets {
        plan.then(offset);
    }
    own
}

/// The maps of the user namespace. Who has privilege outside writes them from there; else one's own id a process may
/// map by itself, and more takes a helper with privilege, which the parent calls.
fn maps(plan: &mut Plan, spec: &Spec) {
    let linux = &spec.linux;
    let own = maps_of_self(spec);
    if own {
        plan.then(SetgroupsControl {
            allow: false,
            implied: true,
        });
    }
    let privileged = geteuid().is_root();
    for (ids, ranges) in id_maps(spec) {
        match (own, privileged) {
            (true, _) => plan.then(WriteMap { ids, ranges }),
            (false, true) => plan.outside(WriteMap { ids, ranges }),
            (false, false) => plan.outside(RunIdMapper { ids, ranges }),
        };
    }
    // Whoever is nobody inside can make no file.
    let root_is_there = |map: &[IdMapping]| map.iter().any(|one| one.container_id == 0);
    if !own && root_is_there(&linux.uid_mappings) && root_is_there(&linux.gid_mappings) {
        plan.then(AtBirth(SetGid::all(0), "--setgid=0"));
        plan.then(AtBirth(SetUid::all(0), "--setuid=0"));
    }
}

pub(super) fn ranges(mappings: &[IdMapping]) -> Vec<Range> {
    mappings.iter().map(Range::from).collect()
}

/// Whether no other id than the caller's own exists inside, so that nobody else is needed to map it, and nobody can
/// choose groups.
pub(super) fn maps_of_self(spec: &Spec) -> bool {
    let linux = &spec.linux;
    let own =
        |map: &[IdMapping], id: u32| matches!(map, [one] if one.size == 1 && one.host_id == id);
    linux.makes(Kind::User)
        && own(&linux.uid_mappings, geteuid().as_raw())
        && own(&linux.gid_mappings, nix::unistd::getegid().as_raw())
        // The root of a namespace that an ordinary user has made is one.
        && (!geteuid().is_root() || groups_are_fixed())
}
