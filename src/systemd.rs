//! systemd, where it manages the control groups of this machine: a container's group is a scope then, a unit that systemd
//! knows of and leaves to us (`Delegate=`, systemd.resource-control(5)).
//!
//! Who asks for that says `slice:prefix:name` for the path of the group (`runc --systemd-cgroup`): the scope
//! `prefix-name.scope` in that slice. systemd is asked over D-Bus (org.freedesktop.systemd1(5)), on the bus of the machine
//! or, where there is none, on systemd's own socket, which is for root only.

mod bus;
mod message;
mod properties;

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

pub use bus::Manager;
pub use message::{Property, Value};
pub use properties::{ANNOTATION, of_annotation, of_settings};

/// What to do where systemd does not make groups.
pub const OTHER_MANAGER: &str = "use the cgroupfs manager: podman --cgroup-manager=cgroupfs, \
    dockerd --exec-opt native.cgroupdriver=cgroupfs, SystemdCgroup = false for containerd";

/// A scope: its unit, and where its group is below the root of the manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// `prefix-name.scope`
    pub unit: String,
    /// The slice that it is in.
    pub slice: String,
}

/// Whose manager is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// The machine's.
    Machine,
    /// That of an ordinary user, with his `XDG_RUNTIME_DIR`.
    User(PathBuf),
}

impl Whose {
    /// The sockets it can be asked on, the best first.
    pub fn sockets(&self) -> Vec<PathBuf> {
        match self {
            Self::Machine => vec![
                "/run/dbus/system_bus_socket".into(),
                "/run/systemd/private".into(),
            ],
            Self::User(runtime) => vec![runtime.join("bus"), runtime.join("systemd/private")],
        }
    }

    /// Whether this is a socket of the machine's manager.
    pub fn is_machines(socket: &Path) -> bool {
        Self::Machine.sockets().iter().any(|one| one == socket)
    }

    fn default_slice(&self) -> &'static str {
        match self {
            Self::Machine => "system.slice",
            Self::User(_) => "user.slice",
        }
    }
}

impl Scope {
    /// The scope that a `cgroupsPath` means, or for an empty one that of the container `id`, as runc calls it.
    ///
    /// # Errors
    /// For what is no `slice:prefix:name`, or names no slice or no scope.
    pub fn of_path(path: &Path, id: &str, whose: &Whose) -> Result<Self> {
        let text = path.to_string_lossy();
        let (slice, prefix, name) = match *text.split(':').collect::<Vec<_>>() {
            [""] => ("", "runc", id),
            [slice, prefix, name] => (slice, prefix, name),
            _ => {
                return Err(Error::new(format!(
                    "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {text:?} instead"
                )));
            }
        };
        let slice = match slice {
            "" => whose.default_slice(),
            named => named,
        };
        let unit = match prefix {
            "" => format!("{name}.scope"),
            prefix => format!("{prefix}-{name}.scope"),
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
        if name.is_empty() || name.ends_with(".slice") || !unit.bytes().all(plain) {
            return Err(Error::new("cgroupsPath names no scope").on(text.as_ref()));
        }
        let scope = Self {
            unit,
            slice: slice.to_owned(),
        };
        scope.path().map(|_| scope)
    }

    /// Where its group is, below the group of the manager: each dash of a slice's name is a level (systemd.slice(5)).
    ///
    /// # Errors
    /// For a slice that cannot be called so.
    pub fn path(&self) -> Result<PathBuf> {
        let bad = || Error::new("no such slice").on(&self.slice);
        let name = self.slice.strip_suffix(".slice").ok_or_else(bad)?;
        if self.slice == "-.slice" {
            return Ok(PathBuf::from(&self.unit));
        }
        let mut path = PathBuf::new();
        let mut above = String::new();
        for part in name.split('-') {
            if part.is_empty() || part.contains('/') {
                return Err(bad());
            }
            above.push_str(part);
            path.push(format!("{above}.slice"));
            above.push('-');
        }
        Ok(path.join(&self.unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_scope_in_a_slice() {
        let user = Whose::User("/run/user/1".into());
        for (path, whose, want) in [
            ("", &Whose::Machine, Ok("system.slice/runc-c.scope")),
            ("", &user, Ok("user.slice/runc-c.scope")),
            (
                "machine.slice:libpod:1f",
                &Whose::Machine,
                Ok("machine.slice/libpod-1f.scope"),
            ),
            (
                ":docker:1f",
                &Whose::Machine,
                Ok("system.slice/docker-1f.scope"),
            ),
            ("-.slice::x", &Whose::Machine, Ok("x.scope")),
            (
                "kubepods-burstable-pod1_2.slice:cri-containerd:a",
                &Whose::Machine,
                Ok(
                    "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/cri-containerd-a.scope",
                ),
            ),
            (
                "/a/b",
                &Whose::Machine,
                Err("expected cgroupsPath to be of format \"slice:prefix:name\""),
            ),
            ("a:b", &Whose::Machine, Err("got \"a:b\" instead")),
            ("a:b:c", &Whose::Machine, Err("no such slice")),
            ("a--b.slice:p:c", &Whose::Machine, Err("no such slice")),
            ("../a.slice:p:c", &Whose::Machine, Err("no such slice")),
            ("a.slice:p:", &Whose::Machine, Err("no scope")),
            ("a.slice:p:../c", &Whose::Machine, Err("no scope")),
            ("a.slice:p:b.slice", &Whose::Machine, Err("no scope")),
        ] {
            let found = Scope::of_path(Path::new(path), "c", whose);
            match (found, want) {
                (Ok(scope), Ok(want)) => assert_eq!(scope.path().unwrap(), Path::new(want)),
                (Err(error), Err(want)) => assert!(error.to_string().contains(want), "{error}"),
                (found, _) => panic!("{path}: {found:?}"),
            }
        }
    }
}
