//! What can be refused before anything is done: what the specification forbids, and what nobody can honour here.

use crate::error::{Error, Result};
use crate::namespace::Kind;
use crate::net::name;
use crate::net::passage::TEMPLATE;
use crate::oci::spec::{Hooks, IdMapping, Linux, Namespace, Spec};
use crate::selinux::is_enabled;
use crate::{rlimit, sysctl};

/// Looks at all of a spec that its parts do not look at themselves.
pub(super) fn check(spec: &Spec) -> Result<()> {
    let linux = &spec.linux;
    namespaces(linux)?;
    process(spec)?;
    let needs = |field: &str, value_is_there: bool, kind: Kind| {
        if !value_is_there || linux.namespace(kind).is_some() {
            return Ok(());
        }
        let kind = Namespace::new(kind).kind;
        Err(Error::new(format!(
            "{field}: it would be changed for the whole machine"
        ))
        .hint(format!("linux.namespaces needs an entry of type {kind}")))
    };
    needs("hostname", !spec.hostname.is_empty(), Kind::Uts)?;
    needs("domainname", !spec.domainname.is_empty(), Kind::Uts)?;
    for (name, value) in linux.sysctl.iter() {
        let (_, kind) = sysctl::file(name)?;
        needs(&format!("linux.sysctl.{name}"), true, kind)?;
        if value.contains('\n') {
            return Err(Error::new(format!(
                "linux.sysctl.{name}: more than one line"
            )));
        }
    }
    mappings(linux)?;
    if spec.root.path.as_os_str().is_empty() {
        return Err(Error::new("root.path: it is not there"));
    }
    hooks(&spec.hooks)?;
    net_devices(linux)?;
    unsupported(spec)
}

fn namespaces(linux: &Linux) -> Result<()> {
    for (at, one) in linux.namespaces.iter().enumerate() {
        let field = format!("linux.namespaces[{at}]");
        if one.kind().is_none() {
            return Err(super::bad(format!("{field}.type"), &one.kind));
        }
        let same = |other: &Namespace| other.kind == one.kind;
        if linux
            .namespaces
            .get(..at)
            .is_some_and(|before| before.iter().any(same))
        {
            return Err(Error::new(format!(
                "{field}: there are two of type {}",
                one.kind
            )));
        }
        let path = &one.path;
        if !path.as_os_str().is_empty() && !path.is_absolute() {
            return Err(Error::new(format!("{field}.path: not an absolute path:")).on(path));
        }
    }
    if linux.namespace(Kind::Mount).is_none() {
        return Err(
            Error::new("linux.namespaces: the container's mounts would be the machine's")
                .hint("an entry of type mount is needed"),
        );
    }
    Ok(())
}

fn process(spec: &Spec) -> Result<()> {
    let process = &spec.process;
    if process.args.is_empty() {
        return Err(Error::new("process.args: it is not there, or empty"));
    }
    if !process.cwd.is_absolute() {
        return Err(Error::new("process.cwd: not an absolute path:").on(&process.cwd));
    }
    for (at, limit) in process.rlimits.iter().enumerate() {
        let field = format!("process.rlimits[{at}]");
        // Only so is it written: what setpriv takes is more.
        let known = limit.kind.starts_with("RLIMIT_") && rlimit::named(&limit.kind).is_some();
        if !known {
            return Err(super::bad(format!("{field}.type"), &limit.kind));
        }
        if limit.soft > limit.hard {
            return Err(Error::new(format!("{field}: soft is above hard")));
        }
        let same = |other: &crate::oci::spec::Rlimit| other.kind == limit.kind;
        if process
            .rlimits
            .get(..at)
            .is_some_and(|before| before.iter().any(same))
        {
            return Err(Error::new(format!(
                "{field}: there are two of type {}",
                limit.kind
            )));
        }
    }
    Ok(())
}

fn mappings(linux: &Linux) -> Result<()> {
    let both = [
        ("linux.uidMappings", &linux.uid_mappings),
        ("linux.gidMappings", &linux.gid_mappings),
    ];
    for (field, map) in both {
        if map.is_empty() && linux.makes(Kind::User) {
            return Err(Error::new(format!("{field}: it is not there"))
                .because("in a new user namespace nobody would exist"));
        }
        if !map.is_empty() && linux.namespace(Kind::User).is_none() {
            return Err(
                Error::new(format!("{field}: there is no user namespace to map ids of"))
                    .hint("linux.namespaces needs an entry of type user"),
            );
        }
        let ends = |one: &IdMapping| {
            one.size > 0
                && one.container_id.checked_add(one.size).is_some()
                && one.host_id.checked_add(one.size).is_some()
        };
        if let Some(at) = map.iter().position(|one| !ends(one)) {
            return Err(Error::new(format!(
                "{field}[{at}]: it maps no ids, or such as do not exist"
            )));
        }
    }
    Ok(())
}

fn hooks(hooks: &Hooks) -> Result<()> {
    let all = [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("startContainer", &hooks.start_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ];
    for (kind, hooks) in all {
        for (at, hook) in hooks.iter().enumerate() {
            if !hook.path.is_absolute() {
                return Err(
                    Error::new(format!("hooks.{kind}[{at}].path: not an absolute path:"))
                        .on(&hook.path),
                );
            }
            if hook.timeout.is_some_and(|seconds| seconds <= 0) {
                return Err(Error::new(format!(
                    "hooks.{kind}[{at}].timeout: it must be above 0"
                )));
            }
        }
    }
    Ok(())
}

fn net_devices(linux: &Linux) -> Result<()> {
    if !linux.net_devices.is_empty() && linux.namespace(Kind::Net).is_none() {
        let sentence = "unable to move network devices without a NET namespace";
        return Err(Error::new(format!("linux.netDevices: {sentence}"))
            .hint("linux.namespaces needs an entry of type network"));
    }
    for (name, device) in linux.net_devices.iter() {
        link_name(name)?;
        let called = device.name.to_string_lossy();
        if !called.is_empty() {
            link_name(called.strip_suffix(TEMPLATE).unwrap_or(&called))?;
        }
    }
    Ok(())
}

fn link_name(name: &str) -> Result<()> {
    name::check(name).map_err(|error| {
        let field = format!("linux.netDevices: invalid network device name {name:?}");
        Error::new(field).because(error.to_string())
    })
}

/// What this machine has nothing for.
fn unsupported(spec: &Spec) -> Result<()> {
    let labels = [
        ("process.selinuxLabel", &spec.process.selinux_label),
        ("linux.mountLabel", &spec.linux.mount_label),
    ];
    for (field, label) in labels {
        if !label.is_empty() && !is_enabled() {
            let label = Error::new(format!("{field}: {label}"));
            return Err(label.because("SELinux is not running"));
        }
        // They could end what quotes it among the options of a mount, or itself.
        if label.contains(['"', '\0']) {
            return Err(super::bad(field, label));
        }
    }
    if spec.linux.intel_rdt.is_some() {
        return Err(Error::new("linux.intelRdt: not supported").hint(
            "write the first process to a group below /sys/fs/resctrl from a createRuntime hook",
        ));
    }
    if let Some(personality) = &spec.linux.personality
        && let Some(flag) = personality.flags.first()
    {
        return Err(super::bad("linux.personality.flags[0]", flag));
    }
    Ok(())
}
