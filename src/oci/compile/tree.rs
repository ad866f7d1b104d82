//! The root of a container, and all that is mounted in it.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::libc;
use nix::mount::MsFlags;
use nix::unistd::geteuid;

use super::bad;
use crate::cgroup::Hierarchies;
use crate::error::{Error, Result};
use crate::mount::{IdMap, Options};
use crate::namespace::Kind;
use crate::oci::spec::{Device, Linux, Mount, Spec};
use crate::plan::steps::cgroup_mounts::CgroupMounts;
use crate::plan::steps::devices::{DeviceNodes, Node, Symlinks};
use crate::plan::steps::directories::MakeDirectory;
use crate::plan::steps::labels::LabelMount;
use crate::plan::steps::masks::{Mask, ReadOnlyPaths, RootReadOnly};
use crate::plan::steps::mounts::{self, Bind, CopySource, RootPropagation, Source};
use crate::plan::steps::root::BindRoot;
use crate::plan::steps::tree::{AttachRoot, LayeredRoot, MappedRoot, RootNoDevices, ThrowAwayRoot};
use crate::plan::{Plan, Slot};
use crate::root::inside;

/// What a mount has to know of the container: of its control groups, and its label.
struct Surroundings<'a> {
    own_root: bool,
    hierarchies: Option<&'a Hierarchies>,
    /// The SELinux label of every mount.
    label: &'a str,
}

/// Where the copies are that [`copy_outside`] made.
pub(super) struct Copies {
    /// Of the root, where its files get other ids.
    root: Option<Slot>,
    /// Of the mounts, by number.
    mounts: Vec<Option<Slot>>,
}

/// What of the host is shown must be copied by whoever can still reach it: by the caller where the container has a
/// user namespace (its root may not enter our directories, and may not map ids), or shares events with the host.
pub(super) fn copy_outside(
    plan: &mut Plan,
    spec: &Spec,
    namespace: Option<&Rc<OwnedFd>>,
) -> Result<Copies> {
    let apart = geteuid().is_root() && spec.linux.namespace(Kind::User).is_some();
    let one = |mount: &Mount| -> Result<Option<Slot>> {
        let options = options(mount)?;
        let Some(recursive) = bind(mount, &options) else {
            return Ok(None);
        };
        let shares = matches!(
            options.propagation,
            Some((MsFlags::MS_SHARED | MsFlags::MS_SLAVE, _))
        );
        let ids = ids(spec, mount, &options)?;
        if !apart && ids.is_none() && !(shares && geteuid().is_root()) {
            return Ok(None);
        }
        let slot = plan.slot();
        plan.then(CopySource {
            path: PathBuf::from(&mount.source),
            recursive,
            ids,
            slot,
        });
        Ok(Some(slot))
    };
    let mounts = spec.mounts.iter().map(one).collect::<Result<_>>()?;
    Ok(Copies {
        root: spec.root.mapped.then(|| map_root(plan, spec, namespace)),
        mounts,
    })
}

fn map_root(plan: &mut Plan, spec: &Spec, namespace: Option<&Rc<OwnedFd>>) -> Slot {
    let slot = plan.slot();
    plan.then(MappedRoot {
        path: spec.root.path.clone(),
        layers: spec.root.layers.clone(),
        written: spec.root.written.clone(),
        ids: of_container(spec),
        namespace: namespace.cloned(),
        slot,
    });
    slot
}

/// The ids of the container's user namespace.
fn of_container(spec: &Spec) -> IdMap {
    IdMap {
        users: super::namespaces::ranges(&spec.linux.uid_mappings),
        groups: super::namespaces::ranges(&spec.linux.gid_mappings),
    }
}

/// The ids of an id-mapped mount: its own maps, or those of the container's user namespace.
fn ids(spec: &Spec, mount: &Mount, options: &Options) -> Result<Option<(IdMap, bool)>> {
    let own = !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty();
    if options.idmap.is_none() && !own {
        return Ok(None);
    }
    let map = match own {
        true => IdMap {
            users: super::namespaces::ranges(&mount.uid_mappings),
            groups: super::namespaces::ranges(&mount.gid_mappings),
        },
        false => of_container(spec),
    };
    if map.users.is_empty() || map.groups.is_empty() {
        return Err(Error::new(
            "an id-mapped mount needs uidMappings and gidMappings, of its own or of the container:",
        )
        .on(&mount.destination));
    }
    Ok(Some((map, options.idmap == Some(true))))
}

fn options(mount: &Mount) -> Result<Options> {
    Options::new(mount.options.iter().cloned())
        .map_err(|error| error.hint(format!("of the mount on {}", mount.destination.display())))
}

/// Whether a mount shows a part of the host, and with the mounts below it.
fn bind(mount: &Mount, options: &Options) -> Option<bool> {
    match (options.bind, mount.kind.as_bytes()) {
        (Some(recursive), _) => Some(recursive),
        (None, b"bind") => Some(false),
        (None, b"rbind") => Some(true),
        _ => None,
    }
}

/// The root with all that is in it.
pub(super) fn build(
    plan: &mut Plan,
    spec: &Spec,
    copies: &Copies,
    hierarchies: Option<&Hierarchies>,
    live_devices: bool,
) -> Result<Slot> {
    let root = copies.root.unwrap_or_else(|| plan.slot());
    let path = spec.root.path.clone();
    if spec.root.throw_away {
        plan.then(ThrowAwayRoot { path, slot: root });
    } else {
        match (copies.root, &spec.root.layers[..]) {
            (Some(root), _) => plan.then(AttachRoot { root }),
            (None, []) => plan.then(BindRoot { path, slot: root }),
            (None, layers) => plan.then(LayeredRoot {
                layers: layers.to_vec(),
                written: spec.root.written.clone(),
                slot: root,
            }),
        };
        if !live_devices && !nodes_in_root(spec) {
            plan.then(RootNoDevices { root });
        }
    }
    for (mount, copy) in spec.mounts.iter().zip(&copies.mounts) {
        let around = Surroundings {
            own_root: spec.linux.namespace(Kind::Cgroup).is_some(),
            hierarchies,
            label: &spec.linux.mount_label,
        };
        add_mount(plan, root, mount, *copy, &around)?;
    }
    if !devices_are_the_hosts(spec) {
        plan.then(DeviceNodes {
            root,
            nodes: Node::standard(),
        });
        plan.then(Symlinks {
            root,
            links: Symlinks::standard(),
        });
    }
    // Who asks for all devices of the host names its /dev/ptmx too; a container has that of its own devpts.
    let nodes = spec.linux.devices.iter().enumerate();
    let nodes = nodes
        .filter(|(_, device)| device.path != Path::new("/dev/ptmx"))
        .map(|(at, device)| node(at, device));
    let nodes = nodes.collect::<Result<Vec<_>>>()?;
    if !nodes.is_empty() {
        plan.then(DeviceNodes { root, nodes });
    }
    Ok(root)
}

/// What comes last of the tree, when hooks have seen it.
pub(super) fn finish(plan: &mut Plan, spec: &Spec, root: Slot) {
    let linux = &spec.linux;
    let cwd = &spec.process.cwd;
    if spec.root.readonly && !inside(cwd).as_os_str().is_empty() {
        // What is missing of the working directory is made while it can be made.
        plan.then(MakeDirectory {
            root,
            path: cwd.clone(),
        });
    }
    if !linux.masked_paths.is_empty() {
        plan.then(Mask {
            root,
            paths: linux.masked_paths.clone(),
            label: label(linux),
        });
    }
    if !linux.readonly_paths.is_empty() {
        plan.then(ReadOnlyPaths {
            root,
            paths: linux.readonly_paths.clone(),
        });
    }
    if spec.root.readonly {
        plan.then(RootReadOnly { root });
    }
}

/// The label of mounts; that it holds no NUL was checked.
fn label(linux: &Linux) -> Option<CString> {
    let label = Some(&linux.mount_label).filter(|label| !label.is_empty());
    label.and_then(|label| CString::new(&**label).ok())
}

/// What mounts in the new root tell others, and hear of them.
pub(super) fn after_pivot(plan: &mut Plan, spec: &Spec) -> Result<()> {
    let word = &spec.linux.rootfs_propagation;
    let (kind, recursive) = match word.strip_prefix('r').unwrap_or(word) {
        "" => return Ok(()),
        "shared" => (MsFlags::MS_SHARED, word.starts_with('r')),
        "slave" => (MsFlags::MS_SLAVE, word.starts_with('r')),
        "private" => (MsFlags::MS_PRIVATE, word.starts_with('r')),
        "unbindable" => (MsFlags::MS_UNBINDABLE, word.starts_with('r')),
        _ => return Err(bad("linux.rootfsPropagation", word)),
    };
    plan.then(RootPropagation { kind, recursive });
    Ok(())
}

fn is_on(mount: &Mount, path: &str) -> bool {
    inside(&mount.destination) == Path::new(path)
}

/// Whether terminals can be made in the container.
pub(super) fn has_own_terminals(spec: &Spec) -> bool {
    spec.mounts
        .iter()
        .any(|mount| is_on(mount, "dev/pts") && mount.kind == "devpts")
}

/// Whether `/dev` is a part of the host, which is not ours to put anything in.
fn devices_are_the_hosts(spec: &Spec) -> bool {
    let is_bind =
        |mount: &Mount| options(mount).is_ok_and(|options| bind(mount, &options).is_some());
    spec.mounts
        .iter()
        .any(|mount| is_on(mount, "dev") && is_bind(mount))
}

/// Whether a device that the program is to have lies in the root itself, and not in what is mounted on its `/dev`.
fn nodes_in_root(spec: &Spec) -> bool {
    let dev_is_mounted = spec.mounts.iter().any(|mount| is_on(mount, "dev"));
    let elsewhere = |device: &Device| !inside(&device.path).starts_with("dev");
    !dev_is_mounted || spec.linux.devices.iter().any(elsewhere)
}

fn node(at: usize, device: &Device) -> Result<Node> {
    let field = |name: &str| format!("linux.devices[{at}].{name}");
    let kind = match &*device.kind {
        "c" | "u" => libc::S_IFCHR,
        "b" => libc::S_IFBLK,
        "p" => libc::S_IFIFO,
        other => return Err(bad(field("type"), other)),
    };
    if !device.path.is_absolute() {
        return Err(Error::new(field("path: not an absolute path:")).on(&device.path));
    }
    let number = |name: &str, number: i64| match kind {
        libc::S_IFIFO => Ok(0),
        _ => u32::try_from(number).map_err(|_| bad(field(name), number)),
    };
    Ok(Node {
        path: device.path.clone(),
        kind,
        numbers: (
            number("major", device.major)?,
            number("minor", device.minor)?,
        ),
        mode: device.file_mode.unwrap_or(0o666) & 0o7777,
        owner: (device.uid.unwrap_or(0), device.gid.unwrap_or(0)),
    })
}

fn add_mount(
    plan: &mut Plan,
    root: Slot,
    mount: &Mount,
    copy: Option<Slot>,
    around: &Surroundings<'_>,
) -> Result<()> {
    let mut options = options(mount)?;
    let target = mount.destination.clone();
    if let Some(recursive) = bind(mount, &options) {
        let path = PathBuf::from(&mount.source);
        options.bind = Some(recursive);
        let source = match copy {
            Some(slot) => Source::Copied(slot, path),
            None => Source::Path(path),
        };
        plan.then(Bind {
            root,
            source,
            target,
            options,
        });
        return Ok(());
    }
    if options.idmap.is_some() || !mount.uid_mappings.is_empty() {
        return Err(Error::new("only a bind can be id-mapped:").on(&mount.destination));
    }
    if options.copy_up && mount.kind != "tmpfs" {
        return Err(Error::new("tmpcopyup is for a tmpfs or a bind:").on(&mount.destination));
    }
    if mount.kind == "cgroup" {
        plan.then(CgroupMounts {
            root,
            target,
            options,
            own_root: around.own_root,
            hierarchies: around.hierarchies.cloned(),
            label: around.label.to_owned(),
        });
        return Ok(());
    }
    let queues = mount.kind == "mqueue";
    // What these show is labelled by the policy.
    if !queues && mount.kind != "proc" && mount.kind != "sysfs" {
        options.label(around.label)?;
    }
    plan.then(mounts::Mount {
        root,
        source: named(&mount.source, &mount.kind),
        target: target.clone(),
        fstype: mount.kind.clone(),
        options,
    });
    if queues && !around.label.is_empty() {
        plan.then(LabelMount {
            root,
            target,
            label: around.label.into(),
        });
    }
    Ok(())
}

/// The name of what is mounted; its type where it has none.
fn named(source: &OsStr, kind: &OsStr) -> OsString {
    if source.is_empty() { kind } else { source }.to_owned()
}
