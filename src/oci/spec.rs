//! The container to be made: config.json of the OCI runtime specification 1.3, for Linux
//! (<https://github.com/opencontainers/runtime-spec/blob/main/config.md>).
//!
//! | file | object |
//! |---|---|
//! | `spec/process.rs` | `process` |
//! | `spec/mounts.rs` | `root`, `mounts` |
//! | `spec/linux.rs` | `linux`, but for |
//! | `spec/resources.rs` | `linux.resources` |
//! | `spec/seccomp.rs` | `linux.seccomp` |
//! | `spec/hooks.rs` | `hooks` |
//! | `spec/capable.rs` | lists of capabilities |
//!
//! How all of them are read and written is json.rs' to know.
//!
//! Whether a container can be made of it is the compiler's to say.

mod capable;
mod hooks;
mod linux;
mod mounts;
mod process;
mod resources;
mod seccomp;

use std::ffi::OsString;
use std::io::Read as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::libc;
use nix::sys::stat::{Mode, fstat};

use crate::error::{Doing, Error, Result};
use crate::json::{self, objects};
pub use crate::json::{Map, Required};
use crate::namespace::Kind;

pub use capable::Capable;
pub use hooks::{Hook, Hooks};
pub use linux::{
    Device, IdMapping, IntelRdt, Linux, MemoryPolicy, Namespace, NetDevice, Personality, TimeOffset,
};
pub use mounts::{Mount, Root};
pub use process::{
    Capabilities, ConsoleSize, CpuAffinity, IoPriority, Process, Rlimit, Scheduler, User,
};
pub use resources::{
    BlockIo, Cpu, DeviceRule, HugepageLimit, InterfacePriority, Memory, Network, Pids, Rdma,
    Resources, ThrottleDevice, WeightDevice,
};
pub use seccomp::{Seccomp, SyscallArg, SyscallRule};

objects! {
    /// A container.
    #[derive(Debug)]
    pub struct Spec {
        /// The version of the specification that it follows.
        pub oci_version: String,
        /// The program and who runs it.
        pub process: Process,
        /// Its root directory.
        pub root: Root,
        /// Its host name.
        pub hostname: OsString,
        /// Its NIS domain name.
        pub domainname: OsString,
        /// What is mounted in its root, in this order.
        pub mounts: Vec<Mount>,
        /// Programs to be run on the way.
        pub hooks: Hooks,
        /// What only Linux has.
        pub linux: Linux,
        /// What others say of it.
        pub annotations: Map<String>,
    }
}

/// The version of the specification that is written; all of its major version are read.
pub const VERSION: &str = "1.3.0";

/// The longest config.json that is read: four mebibytes.
const LONGEST: u64 = 4 << 20;

impl Spec {
    /// The config.json of a bundle.
    ///
    /// # Errors
    /// As [`load`] and [`Spec::parse`].
    pub fn of_bundle(bundle: &Path) -> Result<Self> {
        Self::parse(&load(&bundle.join("config.json"))?)
    }

    /// Whether others may be where its first process is before that has become its program: in a PID namespace that is not
    /// new, or by a hook. Who makes such a container runs from a protected binary ([`crate::own_binary`]).
    pub fn has_company(&self) -> bool {
        !self.linux.makes(Kind::Pid) || self.hooks != Hooks::default()
    }

    /// Makes the root and the sources of binds whole paths: those that do not start at `/` start at the bundle.
    pub fn start_from(&mut self, bundle: &Path) {
        // One that is not there is told of later, and is not the bundle.
        if !self.root.path.as_os_str().is_empty() {
            self.root.path = bundle.join(&self.root.path);
        }
        for mount in &mut self.mounts {
            let binds = |word: &OsString| word == "bind" || word == "rbind";
            if binds(&mount.kind) || mount.options.iter().any(binds) {
                mount.source = bundle.join(&mount.source).into();
            }
        }
    }

    /// Reads a config.json.
    ///
    /// # Errors
    /// Says the field, what is wrong with it, the line and the column; also for another major version.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let spec: Self = json::read(text, "config.json")?;
        let major = spec.oci_version.split('.').next().unwrap_or_default();
        match major {
            "1" => Ok(spec),
            "" => Err(Error::new("cannot read config.json: ociVersion").because("it is not there")),
            _ => Err(Error::new("cannot read config.json: ociVersion")
                .on(&spec.oci_version)
                .because("version 1 of the specification is understood here")),
        }
    }

    /// Writes it down.
    ///
    /// # Errors
    /// For a path or a word that is no UTF-8, which JSON cannot hold.
    pub fn to_json(&self) -> Result<String> {
        match &self.linux.seccomp {
            Some(one) if one.default_profile => {
                let written = super::compile::default_seccomp(&self.process, &one.architectures);
                let mut spec = self.clone();
                spec.linux.seccomp = Some(written);
                json::pretty(&spec, 4)
            }
            _ => json::pretty(self, 4),
        }
    }
}

impl Seccomp {
    /// The default profile of a program with these capabilities.
    pub fn of_default_profile() -> Self {
        Self {
            default_profile: true,
            ..Self::default()
        }
    }

    /// Reads a profile by itself, as `--security-opt seccomp=FILE` names it.
    ///
    /// # Errors
    /// As [`Spec::parse`].
    pub fn of_file(path: &Path) -> Result<Self> {
        let name = path.to_string_lossy();
        let mut profile: Self = json::read(&load(path)?, &name)?;
        profile.profile = Some(path.to_owned());
        Ok(profile)
    }
}

impl Process {
    /// Reads a `process` by itself, as `runc exec --process` has it.
    ///
    /// # Errors
    /// As [`Spec::parse`].
    pub fn parse(text: &[u8]) -> Result<Self> {
        json::read(text, "process")
    }

    /// Writes it down.
    ///
    /// # Errors
    /// As [`Spec::to_json`].
    pub fn to_json(&self) -> Result<String> {
        json::pretty(self, 4)
    }
}

impl Resources {
    /// Reads a `resources` by itself, as `runc update --resources` has it.
    ///
    /// # Errors
    /// As [`Spec::parse`].
    pub fn parse(text: &[u8]) -> Result<Self> {
        json::read(text, "resources")
    }
}

/// The text of a config.json, which must be a plain file of a sensible size and no link.
///
/// # Errors
/// The kernel's answer, and for anything but such a file.
pub fn load(path: &Path) -> Result<Vec<u8>> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let bad = |why: &'static str| Error::new("cannot read").on(path).because(why);
    let fd = match openat(AT_FDCWD, path, flags, Mode::empty()) {
        Err(Errno::ELOOP) => return Err(bad("it is a symbolic link, which is not followed")),
        other => other.doing_to("cannot open", path)?,
    };
    let stat = fstat(&fd).doing_to("cannot look at", path)?;
    if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err(bad("it is no file"));
    }
    let mut text = Vec::with_capacity(usize::try_from(stat.st_size).unwrap_or(0).min(1 << 20));
    std::fs::File::from(fd)
        .take(LONGEST + 1)
        .read_to_end(&mut text)
        .doing_to("cannot read", path)?;
    if text.len() as u64 > LONGEST {
        return Err(bad("it is larger than 4 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
