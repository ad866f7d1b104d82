//! rdinit: the first process of an initramfs, for trees that have none of their own: what `mkrootfs -o cpio` puts there
//! as /init. No tool of others has this word; the kernel calls it by this name on its command line (rdinit=).

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use argh::{ArgsInfo, FromArgs};
use isobox::error::{Doing, Error, Result};
use isobox::mount::Options;
use isobox::plan::steps::machine::SessionOnTerminal;
use isobox::plan::steps::mounts::{Mount, MountIfBuilt};
use isobox::plan::steps::net::LoopbackUp;
use isobox::plan::steps::root::OpenRoot;
use isobox::plan::{Command, Fork, Own, Plan};
use isobox::process::{Signals, Wait};
use isobox::rootfs::init_file;
use isobox::switch_root::root_is_memory;
use nix::sched::CloneFlags;
use nix::sys::reboot::{RebootMode, reboot};
use nix::unistd::{AccessFlags, Pid, access, sync};

use crate::cli::plan::{Explain, environment, exec, keep_own_binary, perform};
use crate::cli::raw::{Raw, words};
use crate::cli::{Applet, Exit, say};

/// be the first process of an initramfs: mount what programs expect, run one command on the console, power off
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "rdinit",
    example = "qemu-system-x86_64 -kernel vmlinuz -initrd image.cpio -append 'rdinit=/bin/rdinit console=ttyS0'",
    note = "The command is what stands behind -- on the kernel's command line, or in FILE, or /bin/sh. When it has ended, the machine is powered off.",
    note = "Runs only as process 1 of a machine whose root is memory.",
    error_code(1, "it is not process 1 of an initramfs")
)]
pub(crate) struct Args {
    /// read the command from this file, in the words of a shell; a first line for the kernel (#!) does not count
    #[argh(option, short = 'f', arg_name = "file")]
    file: Option<Raw>,
    /// tell what would be done and do nothing; json for programs, run to tell while doing
    #[argh(option, arg_name = "[=how]")]
    explain: Option<Explain>,
    /// what the kernel passes on; only what stood behind -- on its command line counts, and is read from there
    #[argh(positional, greedy)]
    passed_on: Vec<Raw>,
}

impl Applet for Args {
    fn run(self) -> Result<Exit> {
        let told_only = matches!(self.explain, Some(Explain::Text | Explain::Json));
        if told_only {
            // What the kernel will pass on is told as the command.
            let command =
                Command::new(words(self.passed_on)).or_else(|| Command::new(["/bin/sh".into()]));
            perform(&mounts()?, self.explain)?;
            return match command {
                Some(command) => perform(&program(command, "/dev/console".into()), self.explain),
                None => Ok(Exit::OK),
            };
        }
        if Pid::this().as_raw() != 1 {
            return Err(Error::new("not process 1")
                .hint("the kernel starts it, from an initramfs that mkrootfs -o cpio has made"));
        }
        if !root_is_memory()? {
            return Err(Error::new("the root is not an initramfs")
                .hint("it would mount over what this machine has"));
        }
        if let Err(error) = self.attend() {
            let hint = error
                .advice()
                .map_or_else(String::new, |hint| format!("hint: {hint}\n"));
            say(&format!("rdinit: {error}\n{hint}"));
        }
        sync();
        reboot(RebootMode::RB_POWER_OFF).doing("cannot power off")?;
        Ok(Exit::OK)
    }
}

impl Args {
    /// Runs the command, from its start to its end.
    fn attend(&self) -> Result<()> {
        perform(&mounts()?, self.explain)?;
        let mut words =
            behind_dashes(&fs::read("/proc/cmdline").doing("cannot read /proc/cmdline")?)?;
        if let (true, Some(Raw(file))) = (words.is_empty(), &self.file) {
            words = init_file::words(&fs::read(file).doing_to("cannot read", file)?)?;
        }
        if words.is_empty() && access("/bin/sh", AccessFlags::X_OK).is_ok() {
            words.push("/bin/sh".into());
        }
        let command = Command::new(words).ok_or_else(|| {
            Error::new("no command, and no /bin/sh")
                .hint("name one behind -- on the kernel's command line, or in /init")
        })?;
        let name = command.program.display().to_string();
        let ended = match perform(&program(command, terminal()), self.explain)? {
            Exit::Status(status) => format!("with status {status}"),
            Exit::Signal(signal) => format!("by signal {signal}"),
        };
        say(&format!("rdinit: {name} ended {ended}\n"));
        Ok(())
    }
}

/// What programs take for granted, mounted.
fn mounts() -> Result<Plan> {
    let mut plan = Plan::effects();
    let root = plan.slot();
    plan.then(OpenRoot {
        path: "/".into(),
        slot: root,
    });
    let all: [(&str, &str, &[&str]); 7] = [
        ("devtmpfs", "/dev", &["nosuid", "mode=755"]),
        (
            "devpts",
            "/dev/pts",
            &["nosuid", "noexec", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        ("tmpfs", "/dev/shm", &["nosuid", "nodev", "mode=1777"]),
        ("proc", "/proc", &["nosuid", "nodev", "noexec"]),
        ("sysfs", "/sys", &["nosuid", "nodev", "noexec"]),
        ("cgroup2", "/sys/fs/cgroup", &["nosuid", "nodev", "noexec"]),
        ("tmpfs", "/run", &["nosuid", "nodev", "mode=755"]),
    ];
    for (fstype, target, options) in all {
        plan.then(MountIfBuilt(Mount {
            root,
            source: fstype.into(),
            target: target.into(),
            fstype: fstype.into(),
            options: Options::new(options.iter().copied())?,
        }));
    }
    plan.then(LoopbackUp);
    Ok(plan)
}

/// The command, below a process 1 that passes signals on and collects what ends.
fn program(command: Command, terminal: PathBuf) -> Plan {
    let mut env = environment();
    if !env
        .iter()
        .any(|entry| entry.as_encoded_bytes().starts_with(b"PATH="))
    {
        env.push("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
    }
    let mut plan = Plan::new(exec(command, env));
    keep_own_binary(&mut plan, Own::StandsIn);
    plan.fork(Fork {
        namespaces: CloneFlags::empty(),
        cgroup: None,
        why: "process 1 has to stay: when it ends, the kernel panics".into(),
        without: "the machine would die with the command, and nothing would be told".into(),
    });
    plan.then(SessionOnTerminal { path: terminal });
    plan.wait(Wait {
        signals: Signals::Init,
        ..Wait::default()
    });
    plan
}

/// The terminal behind the console: the console itself can control no session.
fn terminal() -> PathBuf {
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    match active
        .split_whitespace()
        .last()
        .map(|name| Path::new("/dev").join(name))
    {
        Some(path) if path.exists() => path,
        _ => "/dev/console".into(),
    }
}

/// The words behind ` -- ` on the kernel's command line, which it leaves to the first process.
fn behind_dashes(line: &[u8]) -> Result<Vec<OsString>> {
    let words = init_file::words(line)?;
    let behind = words.iter().position(|word| word == "--").map(|at| at + 1);
    Ok(behind
        .and_then(|at| words.get(at..))
        .unwrap_or_default()
        .to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_for_the_first_process_counts() {
        let cases: [(&[u8], &[&str]); 3] = [
            (b"console=ttyS0 quiet\n", &[]),
            (b"a -- sh -c \"echo hi\"\n", &["sh", "-c", "echo hi"]),
            (b"a --\n", &[]),
        ];
        for (line, want) in cases {
            assert_eq!(behind_dashes(line).unwrap(), want);
        }
    }
}
