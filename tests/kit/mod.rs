//! What every test stands on: a [`Sandbox`] with our applets on its PATH.
//!
//! ```text
//! needs!(userns);
//! let t = Sandbox::new("unshare");
//! t.user().run("unshare -r id -u").ok().out("0\n");
//! ```
//!
//! # Where a test lives
//!
//! libtest runs tests as threads of one process. As root each sandbox moves *its thread* into
//! mount, UTS, IPC and network namespaces of its own, with private propagation; the commands
//! it starts inherit them. So a test cannot harm the machine (an applet that pivots by mistake
//! swaps the root of a throw-away namespace), cannot see what its neighbours do, and everything
//! the oracle (`oracle.rs`) compares before and after belongs to this test alone. For an ordinary
//! user the kernel forbids that in a threaded process; the oracle then looks only at what names
//! the sandbox.

mod command;
#[cfg(feature = "pull")]
pub mod lab;
#[macro_use]
pub mod needs;
mod oracle;
mod ran;
#[cfg(feature = "pull")]
pub mod registry;
mod selftest;
#[cfg(feature = "pull")]
pub mod server;
#[cfg(feature = "image")]
pub mod tarball;

pub use command::Cmd;
pub use oracle::World;
pub use ran::{Ran, boxed};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process, thread};

/// The ordinary user of tests: an id, not an account.
pub const ORDINARY: u32 = 1000;

/// A directory, a PATH and a set of namespaces for one test; all gone when dropped.
///
/// Dropping it asserts that the test left nothing behind: no mount, link, System V object, changed
/// hostname, cgroup, process or damaged /dev/null.
pub struct Sandbox {
    id: String,
    dir: PathBuf,
    before: World,
}

impl Sandbox {
    /// Makes the directories, links every applet into `bin/`, and takes the oracle's first look.
    #[track_caller]
    pub fn new(name: &str) -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let id = format!("isobox-{name}-{}-{serial}", process::id());
        let dir = env::temp_dir().join(&id);
        if is_root() {
            enter_private_namespaces();
        }
        for (sub, mode) in [
            ("", 0o755),
            ("bin", 0o755),
            ("absent", 0o755),
            ("tools", 0o755),
            ("work", 0o1777),
        ] {
            let path = dir.join(sub);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        let mut sandbox = Self {
            id,
            dir,
            before: World::default(),
        };
        sandbox.install();
        sandbox.before = sandbox.world();
        sandbox
    }

    /// Runs `sh -c LINE` in `work/` with our applets first on the PATH, and waits for it.
    #[track_caller]
    pub fn run(&self, line: &str) -> Ran<'_> {
        self.cmd(line).run()
    }

    /// The same command, to be dressed (`.stdin("..")`, `.user(1000)`, `.env(..)`) before `.run()`.
    pub fn cmd(&self, line: &str) -> Cmd<'_> {
        Cmd::new(self, line)
    }

    /// Commands of an ordinary user: `t.user().run("unshare -r id -u")`.
    pub fn user(&self) -> User<'_> {
        User(self)
    }

    /// The uid that commands of [`Sandbox::user`] run as.
    pub fn ordinary(&self) -> u32 {
        if is_root() {
            ORDINARY
        } else {
            nix::unistd::getuid().as_raw()
        }
    }

    /// The directory commands run in, writable to all.
    pub fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    /// Writes a file below `work/`, making its directories.
    pub fn write(&self, path: &str, text: &str) -> &Self {
        let path = self.work().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Puts an executable script on the PATH, before our applets.
    ///
    /// A child writes it: a descriptor open for writing here could be inherited by a neighbour's
    /// fork, and then running the script would fail with ETXTBSY.
    pub fn tool(&self, name: &str, script: &str) -> &Self {
        let path = self.tools().join(name);
        let line = format!("cat >'{0}' && chmod 755 '{0}'", path.display());
        self.cmd(&line).stdin(script).host().run().ok();
        self
    }

    /// Makes `work/NAME` a small root: busybox with its shell and the directories roots have.
    pub fn root(&self, name: &str) -> PathBuf {
        let root = self.work().join(name);
        for sub in ["bin", "proc", "sys", "dev", "tmp", "etc"] {
            fs::create_dir_all(root.join(sub)).unwrap();
        }
        let busybox = needs::find("busybox").expect("needs!(busybox) comes before root()");
        fs::copy(busybox, root.join("bin/busybox")).unwrap();
        for applet in BUSYBOX {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        root
    }

    /// A script as a command in a memory group of this sandbox's own, which ends with it: runtimes and their clients count
    /// there. `within` is the command that runs the shell, if any.
    #[cfg(feature = "cgroup")]
    pub fn counted(&self, within: &str, script: &str) -> Cmd<'_> {
        self.write("line", script);
        self.cmd(&format!(
            "cgexec --rm -g memory:{} {within} sh line",
            self.id
        ))
    }

    /// What can be seen from outside now; two of them show what happened in between.
    pub fn world(&self) -> World {
        World::look(self)
    }

    /// The directory of [`Sandbox::tool`] scripts.
    pub fn tools(&self) -> PathBuf {
        self.dir.join("tools")
    }

    /// The name that marks everything of this sandbox.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn bin(&self) -> PathBuf {
        self.dir.join("bin")
    }

    fn absent(&self) -> PathBuf {
        self.dir.join("absent")
    }

    /// A hard link of the binary, reachable by every user, and one symbolic link per applet to it.
    ///
    /// An applet the binary lacks is replaced by one that says so: the host's own must not stand in.
    fn install(&self) {
        let binary = self.bin().join("isobox");
        let original = binary_under_test();
        if fs::hard_link(&original, &binary).is_err() {
            fs::copy(&original, &binary).unwrap();
        }
        self.cmd(INSTALL)
            .env("BIN", self.bin())
            .env("ABSENT", self.absent())
            .run()
            .ok();
    }
}

const INSTALL: &str = r#"isobox --install -s "$BIN" && cd "$ABSENT" && for applet in unshare nsenter lsns \
  pivot pivot_root switch_root chroot setpriv container; do
    [ -e "$BIN/$applet" ] && continue
    printf '#!/bin/sh\necho "isobox has no %s" >&2; exit 99\n' $applet >$applet && chmod 755 $applet
done"#;

/// The applets of the root which [`Sandbox::root`] makes.
const BUSYBOX: [&str; 24] = [
    "sh", "ls", "cat", "echo", "id", "grep", "ps", "mount", "umount", "hostname", "readlink", "wc",
    "sleep", "kill", "true", "false", "env", "mkdir", "touch", "stat", "head", "pwd", "dd", "test",
];

impl Drop for Sandbox {
    fn drop(&mut self) {
        let failed = thread::panicking();
        let leak = if failed {
            String::new()
        } else {
            self.world().settled_difference(&self.before, self)
        };
        oracle::kill_all(self);
        if is_root() {
            oracle::unmount_below(&self.dir);
        }
        let removed = fs::remove_dir_all(&self.dir);
        if failed {
            return;
        }
        assert!(
            leak.is_empty(),
            "the test {} left something behind:\n{leak}",
            self.id
        );
        removed.unwrap();
    }
}

/// See [`Sandbox::user`].
pub struct User<'t>(&'t Sandbox);

impl<'t> User<'t> {
    #[track_caller]
    pub fn run(&self, line: &str) -> Ran<'t> {
        self.cmd(line).run()
    }

    pub fn cmd(&self, line: &str) -> Cmd<'t> {
        self.0.cmd(line).user(ORDINARY)
    }
}

/// Whether this process may do everything, so that tests can also become somebody else.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn binary_under_test() -> PathBuf {
    env::var_os("ISOBOX_BIN").map_or_else(|| env!("CARGO_BIN_EXE_isobox").into(), PathBuf::from)
}

/// Moves the calling thread, and only it, into namespaces of its own.
fn enter_private_namespaces() {
    let kinds = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWNET;
    unshare(kinds).expect("namespaces of the test's own");
    let none = None::<&Path>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .expect("private propagation");
}
