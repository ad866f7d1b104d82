//! What a test needs from the machine: one vocabulary, said in a test's first line.
//!
//! `needs!(root, userns, host("setpriv"));` returns from the test when something is missing, after
//! printing and recording why; with `NEEDS_ALL=1` it fails instead.

use super::is_root;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::{env, io};

/// See the [module](self). Must be a test's first line.
macro_rules! needs {
    ($($need:ident $(($arg:expr))?),+ $(,)?) => {
        $(if let Err(reason) = $crate::kit::needs::$need($($arg)?) {
            fn here() {}
            return $crate::kit::needs::skip(std::any::type_name_of_val(&here), &reason);
        })+
    };
}

pub type Need = Result<(), String>;

/// Real root, who may also become somebody else.
pub fn root() -> Need {
    if is_root() {
        Ok(())
    } else {
        Err("root".into())
    }
}

/// An ordinary user can make a user namespace.
pub fn userns() -> Need {
    static WORKS: OnceLock<bool> = OnceLock::new();
    probe(
        &WORKS,
        "user namespaces for ordinary users",
        "setpriv --reuid 1000 --regid 1000 --clear-groups unshare -Ur true || unshare -Ur true",
    )
}

/// A machine whose code the test is written in, or whose registers its tracer knows.
#[cfg(feature = "oci")]
pub fn x86_64() -> Need {
    if env::consts::ARCH == "x86_64" {
        Ok(())
    } else {
        Err("an x86_64 machine".into())
    }
}

/// Another CPU than the one that a process runs on.
#[cfg(feature = "oci")]
pub fn two_cpus() -> Need {
    match std::thread::available_parallelism() {
        Ok(count) if count.get() > 1 => Ok(()),
        _ => Err("two CPUs".into()),
    }
}

/// The kernel has time namespaces.
pub fn timens() -> Need {
    if PathBuf::from("/proc/self/ns/time").exists() {
        Ok(())
    } else {
        Err("time namespaces (Linux 5.6)".into())
    }
}

/// A cgroup v2 hierarchy is mounted, alone or beside v1.
pub fn cgroup2() -> Need {
    cgroup2_mount()
        .map(|_| ())
        .ok_or_else(|| "a mounted cgroup2".into())
}

/// A cgroup controller is mounted, whichever design holds it.
#[cfg(feature = "cgroup")]
pub fn controller(name: &str) -> Need {
    let v1 = PathBuf::from("/sys/fs/cgroup").join(name).join("tasks");
    let v2 = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    if v1.exists() || v2.split_whitespace().any(|held| held == name) {
        Ok(())
    } else {
        Err(format!("the cgroup controller {name}"))
    }
}

/// Where cgroup v2 is.
pub fn cgroup2_mount() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/thread-self/mounts").ok()?;
    let line = mounts
        .lines()
        .find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
    line.split(' ').nth(1).map(PathBuf::from)
}

/// A static busybox, which roots made by tests are filled with.
pub fn busybox() -> Need {
    static WORKS: OnceLock<bool> = OnceLock::new();
    probe(
        &WORKS,
        "a static busybox",
        "! ldd \"$(command -v busybox)\"",
    )
}

/// The host's tools are util-linux's: busybox's would be another oracle.
pub fn util_linux() -> Need {
    static WORKS: OnceLock<bool> = OnceLock::new();
    probe(
        &WORKS,
        "util-linux in /usr/bin",
        "/usr/bin/unshare --version | grep util-linux",
    )
}

/// The binary under test is a static one (a debug build of cargo's is not).
pub fn static_binary() -> Need {
    static WORKS: OnceLock<bool> = OnceLock::new();
    let binary = super::binary_under_test();
    probe(
        &WORKS,
        "a static binary to test",
        &format!(
            "! ldd '{0}' || ldd '{0}' | grep statically",
            binary.display()
        ),
    )
}

/// The kernel has Landlock.
pub fn landlock() -> Need {
    let list = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_else(|_| "landlock".into());
    if list.contains("landlock") {
        Ok(())
    } else {
        Err("Landlock".into())
    }
}

/// A program of the host.
pub fn host(program: &str) -> Need {
    find(program)
        .map(|_| ())
        .ok_or_else(|| format!("the host's {program}"))
}

/// A v1 hierarchy holds this controller.
#[cfg(feature = "cgroup")]
pub fn v1(name: &str) -> Need {
    let tasks = PathBuf::from("/sys/fs/cgroup").join(name).join("tasks");
    if tasks.exists() {
        Ok(())
    } else {
        Err(format!("a v1 hierarchy with the controller {name}"))
    }
}

/// The need that a data file names: `root`, `userns`, ..., `host:PROGRAM`.
pub fn named(need: &str) -> Need {
    match need.split_once(':').unwrap_or((need, "")) {
        ("root", "") => root(),
        ("userns", "") => userns(),
        ("timens", "") => timens(),
        ("cgroup2", "") => cgroup2(),
        ("busybox", "") => busybox(),
        ("host", program) => host(program),
        _ => Err(format!("{need}, which kit/needs.rs does not know")),
    }
}

/// Where the host keeps a program.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = env::split_paths(&path).collect();
    dirs.extend(["/usr/sbin", "/usr/bin"].map(PathBuf::from));
    dirs.into_iter()
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}

/// Prints and records a skip, or fails under `NEEDS_ALL=1`.
pub fn skip(here: &str, reason: &str) {
    let test = here
        .trim_start_matches("suite::")
        .trim_end_matches("::here");
    assert!(
        env::var_os("NEEDS_ALL").is_none_or(|all| all != "1"),
        "{test} needs {reason}"
    );
    // Past libtest's capture: a skip is worth a line even when nothing failed.
    let _ = writeln!(io::stderr(), "SKIP {test}: needs {reason}");
    if let Some(list) = env::var_os("ISOBOX_SKIPS") {
        let mut list = File::options()
            .append(true)
            .create(true)
            .open(list)
            .unwrap();
        list.write_all(format!("{test}: {reason}\n").as_bytes())
            .unwrap();
    }
}

fn probe(works: &OnceLock<bool>, what: &str, line: &str) -> Need {
    let probed = || {
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", line])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        shell.status().is_ok_and(|status| status.success())
    };
    if *works.get_or_init(probed) {
        Ok(())
    } else {
        Err(what.into())
    }
}
