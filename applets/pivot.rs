//! pivot: run a program in a new root that the old one cannot be reached from. What pivot_root(8) leaves to the
//! reader of its manual page is done here: the root is made a mount, propagation is cut, the old root is
//! detached.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use argh::{ArgsInfo, FromArgs};
use isobox::error::{Doing, Error, Result};
use isobox::mount::{Options, Spec};
use isobox::plan::steps::devices::{DeviceNodes, Node, Symlinks};
use isobox::plan::steps::masks::{Mask, ReadOnlyPaths, RootReadOnly};
use isobox::plan::steps::mounts::{Bind, Mount, Propagation, Source};
use isobox::plan::steps::root::{
    ApartFromCaller, BindRoot, Chdir, FindProgramIn, NotTheMachinesRoot, PivotInto,
};
use isobox::plan::steps::terminal::{BindConsole, OpenTerminal, TakeTerminal, TakeUp};
use isobox::plan::steps::texts::MountText;
use isobox::plan::steps::tree::{LayeredRoot, RootNoDevices, ThrowAwayRoot};
use isobox::plan::{Command, Own, Plan, Slot};
use isobox::root::{self, Root};
use nix::libc;
use nix::mount::MsFlags;

use crate::cli::plan::{Explain, environment, exec, keep_own_binary, perform};
use crate::cli::raw::{Raw, words};
use crate::cli::{Applet, Exit};

/// run a program with another directory as the root of its mount namespace
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "pivot",
    example = "unshare -mpf pivot --proc /srv/root sh",
    note = "A root changes for every process of a mount namespace. So pivot refuses to run in that of process 1, and makes one of its own where it shares that of the shell that calls it. --force does neither.",
    note = "Mounts are made in this order: --proc, --sys, --dev, each --mount, each --volume; then devices and links, masks, read-only paths.",
    error_code(1, "a failure of pivot itself"),
    error_code(126, "the program was found but could not be executed"),
    error_code(127, "the program was not found")
)]
pub(crate) struct Args {
    /// mount a procfs on /proc
    #[argh(switch)]
    proc: bool,
    /// mount a sysfs on /sys, read-only
    #[argh(switch)]
    sys: bool,
    /// mount a small /dev: the usual nodes and links, pts, shm, mqueue
    #[argh(switch)]
    dev: bool,
    /// leave the old root at this directory of the new one instead of detaching it
    #[argh(option, arg_name = "dir")]
    put_old: Option<Raw>,
    /// mount this in the new root: type=T,source=S,target=D,OPTIONS or a line as in fstab
    #[argh(option, arg_name = "spec")]
    mount: Vec<Raw>,
    /// show a directory or file of the host inside: SOURCE:TARGET[:OPTIONS]
    #[argh(option, short = 'v', arg_name = "spec")]
    volume: Vec<Raw>,
    /// show a file with this text, whatever stands there: PATH=TEXT
    #[argh(option, arg_name = "path=text")]
    text: Vec<Raw>,
    /// make null, zero, full, random, urandom and tty in /dev
    #[argh(switch)]
    device_nodes: bool,
    /// make the links fd, stdin, stdout, stderr and ptmx in /dev
    #[argh(switch)]
    device_links: bool,
    /// make a device: PATH:TYPE:MAJOR:MINOR[:MODE[:UID:GID]]
    #[argh(option, arg_name = "node")]
    device: Vec<Raw>,
    /// make a symbolic link: PATH=TARGET
    #[argh(option, arg_name = "link")]
    symlink: Vec<Raw>,
    /// cover this path
    #[argh(option, arg_name = "path")]
    mask: Vec<Raw>,
    /// make this path read-only
    #[argh(option, arg_name = "path")]
    read_only_path: Vec<Raw>,
    /// make the root read-only
    #[argh(switch)]
    read_only: bool,
    /// put a layer over the root, and over each mount below it, that takes what is written and is thrown away
    #[argh(switch)]
    throw_away: bool,
    /// make the root an overlay with this layer below it; may be repeated, the upper ones first
    #[argh(option, arg_name = "dir")]
    layer: Vec<Raw>,
    /// keep what is written to that overlay in this directory; without it, memory takes it and it is thrown away
    #[argh(option, arg_name = "dir")]
    written: Option<Raw>,
    /// make devices in the root unusable, except in what is mounted here
    #[argh(switch)]
    no_devices: bool,
    /// make a terminal from the new root's own /dev/pts and send it over this descriptor to unshare --tty
    #[argh(option, arg_name = "fd")]
    tty: Option<i32>,
    /// give that terminal to this user
    #[argh(option, arg_name = "uid")]
    tty_owner: Option<u32>,
    /// start the program in this directory of the new root
    #[argh(option, short = 'w', arg_name = "dir")]
    workdir: Option<Raw>,
    /// make that directory where it is missing
    #[argh(switch)]
    make_workdir: bool,
    /// do it even in the mount namespace of process 1, and of the shell that calls
    #[argh(switch)]
    force: bool,
    /// tell what would be done and do nothing; json for programs, run to tell while doing
    #[argh(option, arg_name = "[=how]")]
    explain: Option<Explain>,
    /// the new root
    #[argh(positional)]
    root: Raw,
    /// the program and its arguments; without it a shell that the new root has
    #[argh(positional, greedy)]
    program: Vec<Raw>,
}

impl Applet for Args {
    fn run(self) -> Result<Exit> {
        let explain = self.explain;
        perform(&self.plan()?, explain)
    }
}

impl Args {
    fn plan(mut self) -> Result<Plan> {
        let path: PathBuf = self.root.0.clone().into();
        let command = match Command::new(words(std::mem::take(&mut self.program))) {
            Some(command) => command,
            None => shell_in(&path),
        };
        let mut plan = Plan::new(exec(command, environment()));
        if !self.force {
            plan.then(NotTheMachinesRoot);
            plan.then(ApartFromCaller);
        }
        keep_own_binary(&mut plan, Own::Always);
        let root = plan.slot();
        plan.then(Propagation {
            kind: MsFlags::MS_PRIVATE,
        });
        let line = self.tty.map(|number| (number, plan.slot()));
        if let Some((number, slot)) = line {
            plan.then(TakeUp { number, slot });
        }
        self.open_root(&mut plan, path, root)?;
        if self.no_devices {
            plan.then(RootNoDevices { root });
        }
        self.mounts(&mut plan, root)?;
        self.devices(&mut plan, root)?;
        if !self.mask.is_empty() {
            plan.then(Mask {
                root,
                paths: paths(self.mask),
                label: None,
            });
        }
        if !self.read_only_path.is_empty() {
            plan.then(ReadOnlyPaths {
                root,
                paths: paths(self.read_only_path),
            });
        }
        if self.read_only {
            plan.then(RootReadOnly { root });
        }
        find_program(&mut plan, root, self.workdir.as_ref());
        plan.then(PivotInto {
            root,
            put_old: self.put_old.map(Raw::into_path),
        });
        if let Some((_, line)) = line {
            let peer = plan.slot();
            plan.then(OpenTerminal {
                multiplexer: "/dev/pts/ptmx",
                line,
                peer,
                owner: self.tty_owner,
                size: None,
            });
            plan.then(BindConsole { peer });
            plan.then(TakeTerminal {
                peer,
                session: true,
            });
        }
        if let Some(dir) = self.workdir {
            plan.then(Chdir {
                dir: dir.into_path(),
                create: self.make_workdir,
            });
        }
        Ok(plan)
    }

    /// Opens the new root: the directory, or an overlay over it.
    fn open_root(&mut self, plan: &mut Plan, path: PathBuf, root: Slot) -> Result<()> {
        if !self.layer.is_empty() || self.written.is_some() {
            let layers = std::iter::once(path).chain(paths(std::mem::take(&mut self.layer)));
            plan.then(LayeredRoot {
                layers: layers.map(root_of_host).collect::<Result<_>>()?,
                written: self.written.take().map(Raw::into_path),
                slot: root,
            });
        } else if self.throw_away {
            plan.then(ThrowAwayRoot {
                path: root_of_host(path)?,
                slot: root,
            });
        } else {
            plan.then(BindRoot { path, slot: root });
        }
        Ok(())
    }

    fn mounts(&self, plan: &mut Plan, root: Slot) -> Result<()> {
        if self.proc {
            plan.then(Mount::proc(root)?);
        }
        if self.sys {
            plan.then(Mount::sys(root)?);
        }
        if self.dev {
            for mount in Mount::dev(root)? {
                plan.then(mount);
            }
            plan.then(Mount::mqueue(root)?);
        }
        for Raw(text) in &self.mount {
            let Spec {
                source,
                target,
                fstype,
                options,
            } = Spec::parse(text)?;
            if options.bind.is_some() {
                plan.then(Bind {
                    root,
                    source: outside(source.into())?,
                    target,
                    options,
                });
            } else {
                plan.then(Mount {
                    root,
                    source,
                    target,
                    fstype,
                    options,
                });
            }
        }
        for Raw(text) in &self.volume {
            plan.then(volume(root, text)?);
        }
        for Raw(text) in &self.text {
            plan.then(file_text(root, text)?);
        }
        Ok(())
    }

    fn devices(&self, plan: &mut Plan, root: Slot) -> Result<()> {
        if self.dev || self.device_nodes {
            plan.then(DeviceNodes {
                root,
                nodes: Node::standard(),
            });
        }
        if !self.device.is_empty() {
            let nodes = self
                .device
                .iter()
                .map(|Raw(text)| Node::parse(text))
                .collect::<Result<_>>()?;
            plan.then(DeviceNodes { root, nodes });
        }
        if self.dev || self.device_links {
            plan.then(Symlinks {
                root,
                links: Symlinks::standard(),
            });
        }
        if !self.symlink.is_empty() {
            let links = self
                .symlink
                .iter()
                .map(|Raw(text)| link(text))
                .collect::<Result<_>>()?;
            plan.then(Symlinks { root, links });
        }
        Ok(())
    }
}

/// Looks whether the new root has the program, while it can still be told to who stays behind.
fn find_program(plan: &mut Plan, root: Slot, dir: Option<&Raw>) {
    if let Some(program) = plan.program().filter(|program| !program.is_own()).cloned() {
        plan.then(FindProgramIn {
            root,
            program,
            dir: dir.map_or("/".into(), |Raw(dir)| dir.into()),
        });
    }
}

/// The mounts below it are found by its full name.
fn root_of_host(path: PathBuf) -> Result<PathBuf> {
    std::path::absolute(&path).doing_to("cannot find", path)
}

/// A path of the host, where it will be found whatever the working directory is then.
fn outside(path: PathBuf) -> Result<Source> {
    Ok(Source::Path(
        std::path::absolute(&path).doing_to("cannot find the source of a bind,", path)?,
    ))
}

/// `PATH=TEXT`
fn file_text(root: Slot, word: &OsStr) -> Result<MountText> {
    let text = word.to_str().and_then(|word| word.split_once('='));
    match text {
        Some((path, text)) if path.starts_with('/') => Ok(MountText {
            root,
            target: path.into(),
            text: text.into(),
        }),
        _ => Err(Error::new("invalid file")
            .on(word)
            .because("PATH=TEXT is expected, PATH absolute")),
    }
}

/// `SOURCE:TARGET[:OPTIONS]`, with the mounts below the source unless the options say `bind`.
fn volume(root: Slot, text: &OsStr) -> Result<Bind> {
    let mut parts = text
        .as_bytes()
        .splitn(3, |b| *b == b':')
        .map(OsStr::from_bytes);
    let (Some(source), Some(target)) = (parts.next(), parts.next()) else {
        return Err(Error::new("bad volume")
            .on(text)
            .because("SOURCE:TARGET[:OPTIONS] expected"));
    };
    let mut list = OsString::from("rbind");
    if let Some(options) = parts.next() {
        list.push(",");
        list.push(options);
    }
    let options = Options::list(&list)?;
    Ok(Bind {
        root,
        source: outside(source.into())?,
        target: target.into(),
        options,
    })
}

/// `PATH=TARGET`.
fn link(text: &OsStr) -> Result<(PathBuf, PathBuf)> {
    let bytes = text.as_bytes();
    match bytes.iter().position(|b| *b == b'=') {
        Some(at) if at > 0 && at + 1 < bytes.len() => Ok((
            OsStr::from_bytes(&bytes[..at]).into(),
            OsStr::from_bytes(&bytes[at + 1..]).into(),
        )),
        _ => Err(Error::new("bad link")
            .on(text)
            .because("PATH=TARGET expected")),
    }
}

fn paths(raw: Vec<Raw>) -> Vec<PathBuf> {
    raw.into_iter().map(Raw::into_path).collect()
}

/// The shell to start when no command is given: `$SHELL` if the new root has it, else bash, else sh.
fn shell_in(root: &Path) -> Command {
    const SH: &str = "/bin/sh";
    let own = std::env::var_os("SHELL").unwrap_or_default();
    let opened = root::open(root).ok();
    let has = |path: &OsStr| {
        let root = opened.as_ref().map(|fd| Root::new(fd.as_fd()));
        root.is_some_and(|root| root.look_up(Path::new(path), libc::O_PATH).is_ok())
    };
    let known = [own.as_os_str(), OsStr::new("/bin/bash"), OsStr::new(SH)];
    let found = known.into_iter().find(|path| !path.is_empty() && has(path));
    let program = found.unwrap_or(OsStr::new(SH)).to_owned();
    Command {
        argv: vec![program.clone()],
        program,
    }
}
