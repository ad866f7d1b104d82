//! `ip netns`.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use isobox::decimal::decimal;
use isobox::error::{Doing, Error, Result, printable};
use isobox::net::attributes::Attributes;
use isobox::net::netns::{inode_of, is_name, of_process, open_file, processes};
use isobox::net::number::{netnsa, rtm};
use isobox::net::request::Request;
use isobox::netnsid::Asker;
use isobox::plan::steps::namespaces::Unshare;
use isobox::plan::steps::netns::{Name, Origin, SetId, ShareDirectory, Unname};
use isobox::plan::steps::netns_view::{OwnEtc, OwnSysfs};
use isobox::plan::steps::rtnetlink::refused;
use isobox::plan::{Command, Fork, Own, Plan};
use nix::sched::CloneFlags;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::unistd::Pid;

use super::netns_leaving::Leaving;
use super::words::{USAGE, Words, wrong};
use super::{Options, unknown, usage, verb};
use crate::cli::Exit;
use crate::cli::help::print_all;
use crate::cli::plan::{environment, exec, keep_own_binary, perform};

const VERBS: [&str; 13] = [
    "list", "show", "lst", "list-id", "help", "add", "set", "delete", "identify", "pids", "exec",
    "monitor", "attach",
];

/// Runs the command.
pub(super) fn run(words: &mut Words<'_>, options: &Options) -> Result<Exit> {
    let Some(word) = words.next()? else {
        return list(words, options);
    };
    match verb(word, &VERBS) {
        Some("list" | "show" | "lst") => list(words, options),
        Some("list-id") => list_ids(words, options),
        Some("help") => Ok(usage(Some("netns"))),
        Some("add") => add(words.rest(), options, false),
        Some("attach") => add(words.rest(), options, true),
        Some("set") => set(words.rest(), options),
        Some("delete") => delete(words.rest(), options),
        Some("identify") => identify(words.rest(), options),
        Some("pids") => pids(words.rest(), options),
        Some("exec") => execute(words.rest(), options),
        Some("monitor") => monitor(options),
        _ => Err(unknown(word, "netns")),
    }
}

/// A word that can be the name of a namespace.
fn checked(name: &OsStr) -> Result<&OsStr> {
    if is_name(name) {
        return Ok(name);
    }
    let name = printable(name);
    Err(Error::new(format!("Invalid netns name \"{name}\"")).status(USAGE))
}

fn list(_: &mut Words<'_>, options: &Options) -> Result<Exit> {
    // Before the first name there is no directory, and then not even an empty list.
    if !options.names.all().any(Path::exists) {
        return Ok(Exit::OK);
    }
    options.show(|show| {
        let asker = Asker::new().ok();
        for name in options.names.names() {
            let file = open_file(&options.names.file(&name)).ok();
            let id = file.and_then(|fd| asker.as_ref()?.id_of(fd.as_fd())?);
            show.out.open_object("");
            show.out.string("name", "{}", &name.to_string_lossy());
            if let Some(id) = id {
                show.out.number("id", " (id: {})", id.into());
            }
            show.out.text("\n");
            show.out.close_object();
        }
        Ok(())
    })
}

fn list_ids(words: &mut Words<'_>, options: &Options) -> Result<Exit> {
    let (mut target, mut id) = (None, None);
    while let Some(word) = words.next()? {
        let place = match word {
            "target-nsid" => &mut target,
            "nsid" => &mut id,
            word => return Err(Error::new(format!("What is \"{word}\"?")).status(USAGE)),
        };
        *place = Some(words.number::<u32>("value is invalid")?);
    }
    let mut request = Request::new(rtm::GETNSID, 0, &[0; 4]);
    if let Some(target) = target {
        request.number(netnsa::TARGET_NSID, target);
    }
    if let Some(id) = id {
        request.number(netnsa::NSID, id);
    }
    options.show(|show| {
        let answers = match id {
            Some(_) => vec![
                show.links
                    .connection
                    .get(request.message())
                    .map_err(refused)?,
            ],
            None => show.links.dump(&request)?,
        };
        for answer in &answers {
            let attributes = Attributes::new(answer.body.get(4..).unwrap_or_default());
            let Some(id) = attributes.u32(netnsa::NSID) else {
                continue;
            };
            show.out.open_object("");
            show.out.number("nsid", "nsid {} ", id.into());
            if let Some(name) = show.names_by_id().get(&id).cloned() {
                show.out
                    .string("name", "(iproute2 netns name: {})", &name.to_string_lossy());
            }
            show.out.text("\n");
            show.out.close_object();
        }
        Ok(())
    })
}

fn add(words: &[OsString], options: &Options, attaches: bool) -> Result<Exit> {
    let origin = match (words, attaches) {
        ([_, pid, ..], true) => {
            let pid: Option<i32> = decimal(pid.as_encoded_bytes()).filter(|pid| *pid > 0);
            let shown = printable(words.get(1).map_or(OsStr::new(""), OsString::as_os_str));
            Origin::Process(Pid::from_raw(
                pid.ok_or_else(|| Error::new(format!("Invalid PID: {shown}")))?,
            ))
        }
        (_, true) => return Err(Error::new("No netns name and PID specified")),
        ([], false) => return Err(Error::new("No netns name specified")),
        _ => Origin::New,
    };
    let name = checked(words.first().map_or(OsStr::new(""), OsString::as_os_str))?;
    let directory = options.names.for_new().to_owned();
    let mut plan = options.plan();
    plan.then(ShareDirectory {
        directory: directory.clone(),
    });
    plan.then(Name {
        file: directory.join(name),
        origin,
    });
    perform(&plan, options.explain)
}

fn set(words: &[OsString], options: &Options) -> Result<Exit> {
    let [name, rest @ ..] = words else {
        return Err(Error::new("No netns name specified"));
    };
    let Some(id) = rest.first() else {
        return Err(Error::new("No nsid specified"));
    };
    let name = checked(name)?;
    let text = id.to_string_lossy();
    let id = match &*text {
        "auto" => None,
        text => match super::words::number(text).and_then(|id| i32::try_from(id).ok()) {
            Some(id) => Some(id.cast_unsigned()),
            None if text.starts_with('-') => {
                return Err(wrong(text, "\"netnsid\" value should be >= 0"));
            }
            None => return Err(wrong(text, "Invalid \"netnsid\" value")),
        },
    };
    let mut plan = options.plan();
    plan.then(SetId {
        name: name.to_owned(),
        file: options.names.file(name),
        id,
    });
    perform(&plan, options.explain)
}

fn delete(words: &[OsString], options: &Options) -> Result<Exit> {
    let is_wait = |word: &OsString| word == "--wait" || word == "-wait";
    let wait = words.iter().any(is_wait);
    let names: Vec<OsString> = match options.every {
        true => options.names.names(),
        false => words
            .iter()
            .filter(|word| !is_wait(word))
            .take(1)
            .cloned()
            .collect(),
    };
    if names.is_empty() && !options.every {
        return Err(Error::new("No netns name specified"));
    }
    let mut plan = options.plan();
    let mut files = Vec::new();
    for name in &names {
        let file = options.names.file(checked(name)?);
        files.push(file.clone());
        plan.then(Unname { file });
    }
    let leaving: Vec<Leaving> = match wait && options.explain.is_none() {
        true => files
            .iter()
            .filter_map(|file: &PathBuf| Leaving::of(file))
            .collect(),
        false => Vec::new(),
    };
    let done = perform(&plan, options.explain)?;
    for one in leaving {
        one.wait()?;
    }
    Ok(done)
}

fn identify(words: &[OsString], options: &Options) -> Result<Exit> {
    let pid = match words.first() {
        None => None,
        Some(word) => {
            let shown = printable(word);
            let pid: Option<i32> = decimal(word.as_encoded_bytes());
            let pid =
                pid.ok_or_else(|| Error::new(format!("Specified string '{shown}' is not a pid")))?;
            Some(Pid::from_raw(pid))
        }
    };
    let names = options.names.names_of(of_process(pid)?);
    let names: Vec<_> = names
        .iter()
        .map(|name| format!("{}\n", name.to_string_lossy()))
        .collect();
    // ip(8) ends the list of no names with an empty line.
    print_all(&if names.is_empty() {
        "\n".into()
    } else {
        names.concat()
    })
}

fn pids(words: &[OsString], options: &Options) -> Result<Exit> {
    let [name, ..] = words else {
        return Err(Error::new("No netns name specified"));
    };
    let inode =
        inode_of(&options.names.file(checked(name)?)).doing("Cannot open network namespace")?;
    let lines: String = processes(inode)?
        .iter()
        .map(|pid| format!("{pid}\n"))
        .collect();
    print_all(&lines)
}

fn execute(words: &[OsString], options: &Options) -> Result<Exit> {
    if options.every {
        if words.is_empty() {
            return Err(Error::new("No command specified"));
        }
        for name in options.names.names() {
            if options.explain.is_none() {
                print_all(&format!("\nnetns: {}\n", name.to_string_lossy()))?;
            }
            if let Err(error) = perform(&inside(&name, words, options, true)?, options.explain)
                .map_err(|error| in_our_words(error, words))
            {
                super::report(&error);
            }
        }
        return Ok(Exit::OK);
    }
    let [name, command @ ..] = words else {
        return Err(Error::new("No netns name specified"));
    };
    if command.is_empty() {
        return Err(Error::new("No command specified"));
    }
    let plan = inside(checked(name)?, command, options, options.in_batch)?;
    perform(&plan, options.explain).map_err(|error| in_our_words(error, command))
}

/// The sentence of ip(8) for a command that does not start, and its one status for that.
fn in_our_words(error: Error, command: &[OsString]) -> Error {
    if !matches!(error.exit_status(), 126 | 127) {
        return error;
    }
    let program = command
        .first()
        .map(|word| printable(word))
        .unwrap_or_default();
    error
        .saying(format!("exec of \"{program}\" failed"))
        .status(1)
}

/// A plan that runs a command in a namespace, with its `/sys` and its files of `/etc`.
fn inside(name: &OsStr, words: &[OsString], options: &Options, forks: bool) -> Result<Plan> {
    let command = Command::new(words.iter().cloned());
    let command = command.ok_or_else(|| Error::new("No command specified"))?;
    let mut plan = Plan::new(exec(command, environment()));
    if forks {
        plan.fork(Fork {
            namespaces: CloneFlags::empty(),
            cgroup: None,
            why: "more is done after this command, and out here".into(),
            without: "the first command would be the last".into(),
        });
    }
    keep_own_binary(&mut plan, Own::Always);
    plan.then(options.entering(name));
    plan.then(Unshare {
        namespaces: CloneFlags::CLONE_NEWNS,
    });
    plan.then(OwnSysfs {
        name: name.to_owned(),
    });
    if let Some(files) = OwnEtc::of(name) {
        plan.then(files);
    }
    Ok(plan)
}

/// Tells of names that come and go, until it is ended.
fn monitor(options: &Options) -> Result<Exit> {
    let doing = "inotify_init failed";
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC).doing(doing)?;
    let directory = options.names.for_new().to_owned();
    if !directory.exists() {
        let mut plan = Plan::effects();
        plan.then(ShareDirectory {
            directory: directory.clone(),
        });
        perform(&plan, None)?;
    }
    inotify
        .add_watch(
            &directory,
            AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE,
        )
        .doing("inotify_add_watch failed")?;
    loop {
        let events = match inotify.read_events() {
            Err(nix::errno::Errno::EINTR) => continue,
            other => other.doing("read failed")?,
        };
        for event in events {
            let Some(name) = event.name else {
                continue;
            };
            let word = if event.mask.contains(AddWatchFlags::IN_CREATE) {
                "add"
            } else {
                "delete"
            };
            print_all(&format!("{word} {}\n", name.to_string_lossy()))?;
        }
    }
}
