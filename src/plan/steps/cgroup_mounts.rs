//! Showing control groups in a container (`"type": "cgroup"` of OCI), as the machine has them.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;

use crate::cgroup::{Hierarchies, Hierarchy, Version};
use crate::error::{Doing, Result};
use crate::mount::{Options, detached_bind, mount_new, open_source, place_for};
use crate::plan::{Context, Explanation, Shell, Slot, Step};
use crate::root::{Root, new_directory};
use crate::sys::mount::move_mount;

/// Mounts the v2 hierarchy; on a machine that has hierarchies of v1 a small tmpfs with all of them in it.
#[derive(Debug)]
pub struct CgroupMounts {
    /// The tree they go into.
    pub root: Slot,
    /// Where in that tree.
    pub target: PathBuf,
    /// How.
    pub options: Options,
    /// The container has a cgroup namespace, and so sees its own group as the root. Else that group is bound.
    pub own_root: bool,
    /// What there is on this machine, where somebody has looked already.
    pub hierarchies: Option<Hierarchies>,
    /// The SELinux label of that tmpfs, if any.
    pub label: String,
}

impl Step for CgroupMounts {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let root = Root::new(cx.get(self.root)?);
        let all = match &self.hierarchies {
            Some(all) => all.clone(),
            None => Hierarchies::discover()?,
        };
        let has_v1 = all.all().iter().any(|one| one.version == Version::V1);
        match (has_v1, all.v2()) {
            (false, Some(v2)) => {
                let place = place_for(root, &self.target, OsStr::new("cgroup2"), true)?;
                self.show(v2, place.as_fd(), &self.target)
            }
            _ => self.show_all(root, &all),
        }
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "fsopen(\"cgroup2\"), fsmount({}), move_mount(ROOT, {:?}); for each v1 hierarchy fsopen(\"cgroup\")",
                self.options.told_attributes(),
                self.target
            ),
            "shows the container's own part of the control groups, in the layout of this machine",
            "programs could not read their limits",
            "cgroups(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

impl CgroupMounts {
    fn show_all(&self, root: Root<'_>, all: &Hierarchies) -> Result<()> {
        let mut tmpfs = Options::new(["nosuid", "nodev", "noexec", "mode=755", "size=64k"])?;
        tmpfs.label(&self.label)?;
        let place = place_for(root, &self.target, OsStr::new("tmpfs"), true)?;
        mount_new(
            OsStr::new("tmpfs"),
            OsStr::new("tmpfs"),
            &tmpfs,
            place.as_fd(),
            &self.target,
        )?;
        let top = root
            .look_up(&self.target, libc::O_PATH)
            .doing_to("cannot look up", &self.target)?;
        for hierarchy in all.all() {
            let name = hierarchy.mount.file_name().unwrap_or(OsStr::new("unified"));
            let target = self.target.join(name);
            let place = new_directory(top.as_fd(), Path::new(name));
            let place = place.doing_to("cannot make", &target)?;
            self.show(hierarchy, place.as_fd(), &target)?;
        }
        let read_only = self.options.attributes.set & crate::sys::mount::attr::RDONLY != 0;
        if read_only {
            crate::mount::make_read_only(top.as_fd(), false)
                .doing_to("cannot make read-only", &self.target)?;
        }
        Ok(())
    }

    fn show(&self, hierarchy: &Rc<Hierarchy>, place: BorrowedFd<'_>, target: &Path) -> Result<()> {
        let fstype = OsStr::new(match hierarchy.version {
            Version::V1 => "cgroup",
            Version::V2 => "cgroup2",
        });
        if self.own_root || hierarchy.version == Version::V2 {
            let mut options = self.options.clone();
            options.data.extend(words(hierarchy));
            match mount_new(fstype, fstype, &options, place, target) {
                // Whoever has no cgroup namespace of his own may not mount, but what is mounted can be shown. In one of
                // his own he could not tell which part of that is his: it would be the machine's.
                Err(error)
                    if !self.own_root
                        && matches!(error.errno(), Some(Errno::EPERM | Errno::EBUSY)) => {}
                other => return other,
            }
        }
        // By its path: what was opened before the fork is a mount of another namespace, which cannot be bound here.
        let own = hierarchy.own()?.shown();
        let source = open_source(&own)?;
        let mut bind = self.options.clone();
        (bind.bind, bind.recursive) = (Some(true), self.options.attributes);
        let mount = detached_bind(source.as_fd(), &bind).doing_to("cannot bind", &own)?;
        move_mount(mount.as_fd(), place).doing_to("cannot bind on", target)
    }
}

/// What says which hierarchy of v1 is meant.
fn words(hierarchy: &Hierarchy) -> Vec<(OsString, Option<OsString>)> {
    if hierarchy.version == Version::V2 {
        return Vec::new();
    }
    let word = |name: &String| {
        let name = if name == "io" { "blkio" } else { name };
        (name.into(), None)
    };
    let mut words: Vec<_> = hierarchy.controllers.iter().map(word).collect();
    if let Some(name) = &hierarchy.name {
        words.push(("none".into(), None));
        words.push(("name".into(), Some(name.into())));
    }
    words
}
