//! Writing the id maps of a new user namespace (user_namespaces(7)).

use nix::errno::Errno;
use nix::unistd::{Pid, getegid, geteuid};

use crate::error::{Doing, Error, Result};
use crate::idmap::{Ids, Range, read, text, words};
use crate::plan::{Context, Explanation, Shell, Step};
use crate::process::{self, ended};
use crate::procfs::Process;
use crate::sys::clone::Change;
use crate::{probe, proc_write};

/// Where the files of the process concerned are: `self`, or its pid when another process writes.
fn place(cx: &Context) -> String {
    if cx.program() == Pid::this() {
        return "self".into();
    }
    cx.program().to_string()
}

/// Writes a map into `/proc/PID/uid_map` or `gid_map`: by the process itself, which may map its own id and
/// nothing else, or from outside with `CAP_SETUID` or `CAP_SETGID` there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteMap {
    /// User or group ids.
    pub ids: Ids,
    /// The lines.
    pub ranges: Vec<Range>,
}

impl Step for WriteMap {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let file = format!("{}/{}", place(cx), self.ids.file());
        let map = text(self.ids, &self.ranges)?;
        proc_write::write(&file, map.as_bytes()).map_err(|errno| {
            Error::new("write failed")
                .on(format!("/proc/{file}"))
                .errno_is(errno)
                .hint_maybe(probe::map_refused(self.ids, &self.ranges, errno))
        })
    }

    fn explain(&self) -> Explanation {
        let map = text(self.ids, &self.ranges).unwrap_or_default();
        let id = self.ids.letter();
        Explanation::new(
            format!("write(\"/proc/PID/{}\", {map:?})", self.ids.file()),
            format!(
                "{id}ids inside, outside and how many: which {id}ids of the parent namespace exist in here, and under which numbers"
            ),
            format!("every {id}id would show as 65534, and the capabilities be lost with the exec"),
            "user_namespaces(7)",
        )
    }

    fn shell(&self) -> Shell {
        map_option(self.ids, &self.ranges)
    }
}

fn map_option(ids: Ids, ranges: &[Range]) -> Shell {
    let own = match ids {
        Ids::User => geteuid().as_raw(),
        Ids::Group => getegid().as_raw(),
    };
    // One's own id needs no helper and no privilege; and the group's denies setgroups by itself.
    if let [one] = ranges
        && (one.outside, one.count) == (own, 1)
    {
        let mut words = vec![format!("--map-{}={}", ids.owner(), one.inside).into()];
        // The next applet of a row is executed by that id: unless it is 0, it loses what it needs to go on.
        words.extend((ids == Ids::User && one.inside != 0).then(|| "--keep-caps".into()));
        return Shell::Option {
            applet: "unshare",
            words,
        };
    }
    let words = ranges
        .iter()
        .map(|r| {
            format!(
                "--map-{}s={}:{}:{}",
                ids.owner(),
                r.inside,
                r.outside,
                r.count
            )
            .into()
        })
        .collect();
    Shell::Option {
        applet: "unshare",
        words,
    }
}

/// Looks whether the user namespace of the process concerned has this map. Performed outside, where its ids mean ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectMap {
    /// User or group ids.
    pub ids: Ids,
    /// The lines.
    pub ranges: Vec<Range>,
}

impl Step for ExpectMap {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let file = self.ids.file();
        let shown = format!("/proc/{}/{file}", cx.program());
        let process = Process::open(cx.program()).doing_to("cannot open", &shown)?;
        let text = process
            .read(file, 1 << 16)
            .doing_to("cannot read", &shown)?;
        let found = read(&String::from_utf8_lossy(&text));
        if found == self.ranges {
            return Ok(());
        }
        let id = self.ids.letter();
        let sentence = "user namespaces enabled, but both namespace path and non-matching mapping specified -- you may only provide one";
        Err(Error::new(sentence).because(format!(
            "linux.{id}idMappings are not those of the namespace: {}",
            words(&found).join(" ")
        )))
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("read(\"/proc/PID/{}\")", self.ids.file()),
            "the maps of a namespace that is joined are fixed: others than these were asked for in vain",
            "files would be made as other users than the configuration says",
            "user_namespaces(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Has newuidmap(1) or newgidmap(1) write a map: programs with privilege that let an ordinary user map the ids
/// that `/etc/subuid` and `/etc/subgid` give him.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunIdMapper {
    /// User or group ids.
    pub ids: Ids,
    /// The lines.
    pub ranges: Vec<Range>,
}

impl Step for RunIdMapper {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let mapper = self.ids.mapper();
        let mut argv = vec![mapper.to_owned(), place(cx)];
        argv.extend(words(&self.ranges));
        let (end, _) = process::run(&argv, false)?;
        match end {
            Change::Exited(0) => Ok(()),
            end => Err(Error::new(format!("{mapper} failed"))
                .because(ended(end))
                .hint_maybe(probe::mapper_refused(self.ids, end))),
        }
    }

    fn explain(&self) -> Explanation {
        let id = self.ids.letter();
        Explanation::new(
            format!(
                "{} PID {}",
                self.ids.mapper(),
                words(&self.ranges).join(" ")
            ),
            format!(
                "an ordinary user may map one {id}id, his own; this set-id program maps those that {} gives him",
                self.ids.database()
            ),
            format!(
                "a single {id}id would exist in here, and a file of any other could not be made"
            ),
            self.ids.mapper_page(),
        )
    }

    fn shell(&self) -> Shell {
        map_option(self.ids, &self.ranges)
    }
}

/// Allows or denies setgroups(2) in this user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetgroupsControl {
    /// Allow it; without privilege it must be denied before `gid_map` can be written, and stays denied.
    pub allow: bool,
    /// It comes with the map of the own group, and is no wish of its own.
    pub implied: bool,
}

impl SetgroupsControl {
    fn word(self) -> &'static str {
        if self.allow { "allow" } else { "deny" }
    }
}

impl Step for SetgroupsControl {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let file = format!("{}/setgroups", place(cx));
        match proc_write::write(&file, self.word().as_bytes()) {
            // Linux before 3.19 has no such file and no such rule.
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(Error::new("write failed")
                .on(format!("/proc/{file}"))
                .errno_is(errno)
                .hint_maybe(probe::setgroups_control_refused(self.allow, errno))),
        }
    }

    fn explain(&self) -> Explanation {
        let without = if self.allow {
            "setgroups(2) might be denied"
        } else {
            "the kernel would refuse the gid_map of an unprivileged user: by dropping a group he could gain \
             what a file denies to that group"
        };
        Explanation::new(
            format!("write(\"/proc/PID/setgroups\", \"{}\")", self.word()),
            "says whether a process in here may change its supplementary groups",
            without,
            "user_namespaces(7)",
        )
    }

    fn shell(&self) -> Shell {
        if self.implied {
            return Shell::Implied;
        }
        Shell::option("unshare", format!("--setgroups={}", self.word()))
    }
}
