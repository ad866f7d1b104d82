//! container verify: what a container really is, against what was asked for. Its first process is looked at from outside,
//! and a probe that joins it looks from inside, with the rights of the container's program.

use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Seek as _};
use std::path::Path;

use argh::{ArgsInfo, FromArgs};
use isobox::capability::Set;
use isobox::error::{Doing, Error, Result};
use isobox::namespace::Kind;
use isobox::oci::Spec;
use isobox::oci::lifecycle::{Container, Exec, Refusal};
use isobox::oci::making::Making;
use isobox::plan::{Outcome, Own, Quiet};
use isobox::sys::STANDARD;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::dup2_stdout;

use super::kept::Shelf;
use crate::cli::raw::Raw;
use crate::cli::table::Table;
use crate::cli::{Exit, help};

/// look whether a container is what was asked for, from outside and from inside
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "verify",
    example = "container verify web",
    error_code(1, "something is not as it was asked for")
)]
pub(super) struct Verify {
    /// the container
    #[argh(positional)]
    container: Raw,
}

/// The word by which the probe is called: nobody types it.
pub(super) const PROBE: &str = "probe";

/// One line of the answer.
struct Line {
    what: String,
    wanted: String,
    found: String,
    ok: bool,
}

/// What is compared, line by line.
#[derive(Default)]
struct Lines(Vec<Line>);

impl Lines {
    fn same(&mut self, what: impl Into<String>, wanted: &str, found: &str) {
        self.so(what, wanted, found, wanted == found);
    }

    fn so(&mut self, what: impl Into<String>, wanted: &str, found: &str, ok: bool) {
        self.0.push(Line {
            what: what.into(),
            wanted: wanted.into(),
            found: found.into(),
            ok,
        });
    }
}

impl Verify {
    pub(super) fn run(self) -> Result<Exit> {
        let shelf = Shelf::ours();
        let live = shelf.running(&shelf.find(&self.container)?)?;
        let spec = live.spec()?;
        let mut lines = Lines::default();
        outside(&mut lines, &live, &spec)?;
        inside(&mut lines, &live, spec)?;
        let mut table = Table::of_texts("checks", &["", "CHECK", "ASKED FOR", "FOUND"]);
        for line in &lines.0 {
            let mark = if line.ok { "ok" } else { "FAIL" };
            let cells = [mark, &*line.what, &*line.wanted, &*line.found];
            table.add(None, cells.map(|cell| cell.as_bytes().to_vec()).into());
        }
        table.print()?;
        Ok(Exit::Status(u8::from(lines.0.iter().any(|line| !line.ok))))
    }
}

/// A field of `/proc/PID/status`.
fn field<'t>(status: &'t str, name: &str) -> &'t str {
    let mut lines = status.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.map_or("", str::trim)
}

fn namespace(process: &Path, kind: Kind) -> String {
    let link = fs::read_link(process.join("ns").join(kind.proc_name()));
    link.map_or_else(
        |_| String::new(),
        |link| link.to_string_lossy().into_owned(),
    )
}

/// What can be seen of the first process from here.
fn outside(lines: &mut Lines, live: &Container, spec: &Spec) -> Result<()> {
    let process = Path::new("/proc").join(live.record().init_process_pid.to_string());
    for kind in Kind::ALL {
        let (its, ours) = (
            namespace(&process, kind),
            namespace(Path::new("/proc/self"), kind),
        );
        let wanted = match spec.linux.namespace(kind) {
            Some(one) if !one.path.as_os_str().is_empty() => "given",
            Some(_) => "its own",
            None => "ours",
        };
        let found = if its == ours { "ours" } else { "its own" };
        let ok = wanted == found || wanted == "given";
        lines.so(
            format!("{} namespace", kind.option()),
            wanted,
            found,
            ok && !its.is_empty(),
        );
    }
    for (what, file, maps) in [
        ("user ids", "uid_map", &spec.linux.uid_mappings),
        ("group ids", "gid_map", &spec.linux.gid_mappings),
    ] {
        if !maps.is_empty() {
            let found = fs::read_to_string(process.join(file)).doing_to("cannot read", file)?;
            let found: Vec<&str> = found.split_whitespace().collect();
            let wanted: Vec<String> = maps
                .iter()
                .flat_map(|map| [map.container_id, map.host_id, map.size])
                .map(|number| number.to_string())
                .collect();
            lines.same(what, &wanted.join(" "), &found.join(" "));
        }
    }
    let status = fs::read_to_string(process.join("status")).doing_to("cannot read", &process)?;
    rights(lines, "", &status, spec);
    let groups = fs::read_to_string(process.join("cgroup")).doing_to("cannot read", &process)?;
    for group in live.groups() {
        let path = format!("/{}", group.path.display());
        let there = groups.lines().any(|line| line.ends_with(&path));
        lines.so(
            "control group",
            &group.shown().to_string_lossy(),
            if there { "in it" } else { "not in it" },
            there,
        );
    }
    limits(lines, live, spec);
    Ok(())
}

/// Limits that the kernel says back.
fn limits(lines: &mut Lines, live: &Container, spec: &Spec) {
    let groups = live.groups();
    let resources = &spec.linux.resources;
    let memory = resources
        .memory
        .limit
        .map(|limit| ("memory.max", limit.to_string()));
    let unified = resources.unified.iter();
    let unified = unified.map(|(name, value)| (name.as_str(), value.clone()));
    let pids = resources.pids.limit.filter(|limit| *limit >= 0);
    let pids = pids.map(|limit| ("pids.max", limit.to_string()));
    for (name, wanted) in memory.into_iter().chain(pids).chain(unified) {
        let controller = name.split('.').next().unwrap_or_default();
        let mut holders = groups.iter();
        let holder = holders.find(|group| group.hierarchy.holds(controller));
        let found = holder
            .and_then(|group| group.get(name).ok())
            .unwrap_or_default();
        // The kernel rounds memory to pages.
        let number = |text: &str| text.trim().parse::<u64>().unwrap_or(u64::MAX) / 4096;
        let same =
            found.trim() == wanted || (controller == "memory" && number(&found) == number(&wanted));
        lines.so(name, &wanted, found.trim(), same);
    }
}

/// What a process may do, by its status.
fn rights(lines: &mut Lines, whose: &str, status: &str, spec: &Spec) {
    let process = &spec.process;
    let names = |set: Set| {
        let all: Vec<String> = set.iter().map(|cap| cap.to_string()).collect();
        if all.is_empty() {
            "none".to_owned()
        } else {
            all.join(",")
        }
    };
    let caps = &process.capabilities;
    for (name, asked) in [
        ("CapBnd", &caps.bounding),
        ("CapPrm", &caps.permitted),
        ("CapEff", &caps.effective),
        ("CapInh", &caps.inheritable),
        ("CapAmb", &caps.ambient),
    ] {
        let found = u64::from_str_radix(field(status, name), 16).map(Set);
        let found = found.map_or_else(|_| "unknown".into(), names);
        lines.same(format!("{whose}{name}"), &names(asked.set), &found);
    }
    let number = |is: bool| if is { "1" } else { "0" };
    lines.same(
        format!("{whose}NoNewPrivs"),
        number(process.no_new_privileges),
        field(status, "NoNewPrivs"),
    );
    let filter = if spec.linux.seccomp.is_some() {
        "2"
    } else {
        "0"
    };
    lines.same(format!("{whose}Seccomp"), filter, field(status, "Seccomp"));
}

/// What a process of the container's finds.
fn inside(lines: &mut Lines, live: &Container, mut spec: Spec) -> Result<()> {
    let asked = spec.clone();
    let paths = |paths: &[std::path::PathBuf]| -> Vec<OsString> {
        paths.iter().map(|path| path.clone().into()).collect()
    };
    let mut args: Vec<OsString> = ["container", PROBE].map(OsString::from).into();
    args.extend(paths(&spec.linux.masked_paths));
    args.push("--".into());
    args.extend(paths(&spec.linux.readonly_paths));
    spec.process.args = args;
    spec.process.terminal = false;
    spec.process.oom_score_adj = None;
    // A file in memory: a pipe might be full before anybody reads it.
    let said = memfd_create("probe", MFdFlags::MFD_CLOEXEC).doing("cannot make a memory file")?;
    let ours = STANDARD
        .1
        .try_clone_to_owned()
        .doing("cannot copy a descriptor")?;
    dup2_stdout(&said).doing("cannot hand down a file")?;
    let exec = Exec {
        input: false,
        leave: Vec::new(),
        spec: &spec,
        making: Making::default(),
        below: Vec::new(),
        ignore_paused: false,
        own_binary: Some(Own::Always),
        pid_file: None,
        pidfd_socket: None,
    };
    let outcome = live.exec(&exec, &Quiet);
    dup2_stdout(&ours).doing("cannot take standard output back")?;
    let outcome = outcome.map_err(Refusal::into_error)?;
    let mut file = fs::File::from(said);
    let mut said = String::new();
    file.rewind()
        .and_then(|()| file.read_to_string(&mut said))
        .doing("cannot hear the probe")?;
    if outcome != Outcome::Exited(0) {
        return Err(Error::new("the probe inside has failed"));
    }
    for line in said.lines() {
        let mut words = line.split('\t');
        let word = words.next().unwrap_or_default();
        let (path, found) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        match word {
            "masked" => lines.so(path, "masked", found, found != "readable"),
            "read-only" => lines.so(path, "read-only", found, found != "writable"),
            "root" => {
                let wanted = if asked.root.readonly {
                    "read-only"
                } else {
                    "writable"
                };
                lines.same("/", wanted, found);
            }
            _ => {}
        }
    }
    let status: String = said
        .lines()
        .filter_map(|line| line.strip_prefix("status\t"))
        .map(|line| format!("{line}\n"))
        .collect();
    rights(lines, "inside: ", &status, &asked);
    for mount in &asked.mounts {
        let target = mount.destination.to_string_lossy();
        let there = said
            .lines()
            .any(|line| line.strip_prefix("mount\t") == Some(&target));
        lines.so(
            format!("mount {target}"),
            "there",
            if there { "there" } else { "not there" },
            there,
        );
    }
    Ok(())
}

/// The probe's life: tells what is to be seen from where it is.
pub(super) fn probe(paths: &[OsString]) -> Result<Exit> {
    let mut out = String::new();
    let mut masked = true;
    for path in paths {
        if path == "--" {
            masked = false;
            continue;
        }
        let (word, found) = match masked {
            true => ("masked", look(Path::new(path))),
            false => ("read-only", touch(Path::new(path))),
        };
        out.push_str(&format!("{word}\t{}\t{found}\n", path.display()));
    }
    out.push_str(&format!("root\t/\t{}\n", touch(Path::new("/"))));
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines() {
        out.push_str(&format!("status\t{line}\n"));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for target in mounts.lines().filter_map(|line| line.split(' ').nth(4)) {
        out.push_str(&format!("mount\t{target}\n"));
    }
    help::print_all(&out)
}

/// Whether something can be learnt there.
fn look(path: &Path) -> &'static str {
    let is_directory = fs::metadata(path).map(|meta| meta.is_dir());
    let something = match is_directory {
        Err(_) => return "not there",
        Ok(true) => fs::read_dir(path).map(|mut all| all.next().is_some()),
        Ok(false) => fs::File::open(path).and_then(|mut file| Ok(file.read(&mut [0])? > 0)),
    };
    if something.unwrap_or(false) {
        "readable"
    } else {
        "masked"
    }
}

/// Whether it is on a file system that can be written to.
fn touch(path: &Path) -> &'static str {
    use nix::sys::statvfs::{FsFlags, statvfs};
    match statvfs(path) {
        Err(_) => "not there",
        Ok(fs) if fs.flags().contains(FsFlags::ST_RDONLY) => "read-only",
        Ok(_) => "writable",
    }
}
