//! Mounts as data, and how one is made: prepared where nobody sees it, with all its flags, then attached to a
//! descriptor (fsopen(2), open_tree(2), mount_setattr(2), move_mount(2)). There is no moment at which a mount
//! is there without its flags, and no path below a hostile root reaches the kernel. mount(2), mount(8).

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::MsFlags;
use nix::sys::stat::Mode;
use nix::unistd::fchdir;

use crate::error::{Doing, Error, Result, Text};
use crate::mountinfo::{escape, unescape};
use crate::namespace::Kind;
use crate::root::{Root, inside};
use crate::sys::mount::{
    MountAttr, attr, fsconfig_set, fsmount, fsopen, mount_setattr, move_mount, open_tree,
    open_tree_flags,
};

/// What stands at the place of a word in an option list.
#[derive(Clone, Copy)]
enum Means {
    /// A flag of this mount that is set.
    Set(u64),
    /// A flag of this mount that is cleared.
    Clear(u64),
    /// How access times are kept.
    Atime(u64),
    /// A bind instead of a new file system; with the mounts below it.
    Bind(bool),
    /// A change of propagation; with the mounts below it.
    Propagation(MsFlags, bool),
    /// What is so anyhow.
    Nothing,
    /// What only mount(8) can do.
    Not(&'static str),
}

/// The options of mount(8) that the kernel's file systems do not see. Those that may be said with an `r` in
/// front (OCI: for the mounts below too) are the first fifteen.
const OPTIONS: &[(&str, Means)] = &[
    ("ro", Means::Set(attr::RDONLY)),
    ("rw", Means::Clear(attr::RDONLY)),
    ("nosuid", Means::Set(attr::NOSUID)),
    ("suid", Means::Clear(attr::NOSUID)),
    ("nodev", Means::Set(attr::NODEV)),
    ("dev", Means::Clear(attr::NODEV)),
    ("noexec", Means::Set(attr::NOEXEC)),
    ("exec", Means::Clear(attr::NOEXEC)),
    ("noatime", Means::Atime(attr::NOATIME)),
    ("strictatime", Means::Atime(attr::STRICTATIME)),
    ("relatime", Means::Atime(0)),
    ("nodiratime", Means::Set(attr::NODIRATIME)),
    ("diratime", Means::Clear(attr::NODIRATIME)),
    ("nosymfollow", Means::Set(attr::NOSYMFOLLOW)),
    ("symfollow", Means::Clear(attr::NOSYMFOLLOW)),
    ("atime", Means::Atime(0)),
    ("norelatime", Means::Atime(attr::STRICTATIME)),
    ("nostrictatime", Means::Atime(0)),
    ("bind", Means::Bind(false)),
    ("rbind", Means::Bind(true)),
    ("private", Means::Propagation(MsFlags::MS_PRIVATE, false)),
    ("rprivate", Means::Propagation(MsFlags::MS_PRIVATE, true)),
    ("slave", Means::Propagation(MsFlags::MS_SLAVE, false)),
    ("rslave", Means::Propagation(MsFlags::MS_SLAVE, true)),
    ("shared", Means::Propagation(MsFlags::MS_SHARED, false)),
    ("rshared", Means::Propagation(MsFlags::MS_SHARED, true)),
    (
        "unbindable",
        Means::Propagation(MsFlags::MS_UNBINDABLE, false),
    ),
    (
        "runbindable",
        Means::Propagation(MsFlags::MS_UNBINDABLE, true),
    ),
    ("defaults", Means::Nothing),
    ("loop", Means::Not("a loop device")),
    ("remount", Means::Not("a remount")),
    ("move", Means::Not("a move")),
    ("user", Means::Not("a line for ordinary users")),
    ("users", Means::Not("a line for ordinary users")),
    ("noauto", Means::Not("a line of fstab")),
    ("nofail", Means::Not("a line of fstab")),
    ("idmap", Means::Not("an id-mapped mount")),
    ("ridmap", Means::Not("an id-mapped mount")),
    ("tmpcopyup", Means::Not("a copy of what the tmpfs covers")),
];

/// How many of [`OPTIONS`] have a recursive form.
const RECURSIVE_OPTIONS: usize = 15;

/// Options of one mount, as they were said and as they are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// As they were said, one each.
    words: Vec<OsString>,
    /// Flags of this mount.
    pub attributes: Attributes,
    /// Flags of this mount and all below it, of a bind.
    pub recursive: Attributes,
    /// 0 or one of `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, `MS_UNBINDABLE`, and whether for those below too.
    pub propagation: Option<(MsFlags, bool)>,
    /// A bind instead of a new file system: `Some(true)` with the mounts below it.
    pub bind: Option<bool>,
    /// What is for the file system itself.
    pub data: Vec<(OsString, Option<OsString>)>,
}

/// `MOUNT_ATTR_*` bits to set and to clear.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// To set.
    pub set: u64,
    /// To clear.
    pub clear: u64,
}

impl Attributes {
    fn apply(&mut self, means: Means) {
        match means {
            Means::Set(bit) => (self.set, self.clear) = (self.set | bit, self.clear & !bit),
            Means::Clear(bit) => (self.set, self.clear) = (self.set & !bit, self.clear | bit),
            Means::Atime(mode) => {
                self.set = self.set & !attr::ATIME | mode;
                self.clear |= attr::ATIME;
            }
            _ => {}
        }
    }

    fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl Options {
    /// Reads options, one word each (as OCI has them).
    ///
    /// ```
    /// use isobox::{mount::Options, sys::mount::attr};
    /// let options = Options::new(["ro", "nosuid", "size=64k"]).unwrap();
    /// assert_eq!(options.attributes.set, attr::RDONLY | attr::NOSUID);
    /// assert_eq!(options.data, [("size".into(), Some("64k".into()))]);
    /// ```
    ///
    /// # Errors
    /// For what only mount(8) can do. What is unknown is for the file system, which refuses it by itself.
    pub fn new(words: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Self> {
        let mut options = Self::default();
        for word in words {
            options.add(word.into())?;
        }
        Ok(options)
    }

    /// Reads a comma-separated list; a comma inside double quotes belongs to its value, as in mount(8).
    pub fn list(list: &OsStr) -> Result<Self> {
        Self::new(split_list(list.as_bytes()))
    }

    fn add(&mut self, word: OsString) -> Result<()> {
        if word.is_empty() {
            return Ok(());
        }
        match meaning(&word) {
            Some((Means::Not(what), _)) => {
                return Err(Error::new("mount option not supported")
                    .on(word)
                    .because(what));
            }
            Some((Means::Nothing, _)) => {}
            Some((Means::Bind(recursive), _)) => self.bind = Some(recursive),
            Some((Means::Propagation(flag, recursive), _)) => {
                self.propagation = Some((flag, recursive));
            }
            Some((means, false)) => self.attributes.apply(means),
            Some((means, true)) => self.recursive.apply(means),
            None => {
                let bytes = word.as_bytes();
                let at = bytes.iter().position(|b| *b == b'=');
                let value = at.map(|at| unquote(&bytes[at + 1..]));
                self.data.push((
                    OsStr::from_bytes(&bytes[..at.unwrap_or(bytes.len())]).into(),
                    value,
                ));
            }
        }
        self.words.push(word);
        Ok(())
    }

    /// As one comma-separated list, which [`Options::list`] reads.
    pub fn to_list(&self) -> OsString {
        let quoted = |word: &OsString| {
            let bytes = word.as_bytes();
            match bytes.iter().position(|b| *b == b'=') {
                Some(at) if bytes.contains(&b',') && !bytes.contains(&b'"') => {
                    [&bytes[..=at], b"\"", &bytes[at + 1..], b"\""].concat()
                }
                _ => bytes.to_vec(),
            }
        };
        let words: Vec<Vec<u8>> = self.words.iter().map(quoted).collect();
        OsString::from_vec(words.join(&b','))
    }

    /// The flags for mount(2), where the new calls will not do.
    fn ms_flags(&self) -> MsFlags {
        const PAIRS: [(u64, MsFlags); 7] = [
            (attr::RDONLY, MsFlags::MS_RDONLY),
            (attr::NOSUID, MsFlags::MS_NOSUID),
            (attr::NODEV, MsFlags::MS_NODEV),
            (attr::NOEXEC, MsFlags::MS_NOEXEC),
            (attr::NOATIME, MsFlags::MS_NOATIME),
            (attr::STRICTATIME, MsFlags::MS_STRICTATIME),
            (attr::NODIRATIME, MsFlags::MS_NODIRATIME),
        ];
        let set = PAIRS
            .into_iter()
            .filter(|(bit, _)| self.attributes.set & bit != 0);
        set.fold(MsFlags::empty(), |flags, (_, flag)| flags | flag)
    }
}

/// What a word means, and whether for the mounts below too.
fn meaning(word: &OsStr) -> Option<(Means, bool)> {
    let word = word.to_str()?;
    let find = |name: &str, table: &[(&str, Means)]| {
        table
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, means)| *means)
    };
    if let Some(means) = find(word, OPTIONS) {
        return Some((means, false));
    }
    let recursive = |name| find(name, &OPTIONS[..RECURSIVE_OPTIONS]).map(|means| (means, true));
    // OCI says rro, mount(8) says ro=recursive; ro=vfs is what ro is to us.
    match word.split_once('=') {
        Some((name, "recursive")) => recursive(name),
        Some((name, "vfs")) => {
            find(name, &OPTIONS[..RECURSIVE_OPTIONS]).map(|means| (means, false))
        }
        _ => recursive(word.strip_prefix('r')?),
    }
}

fn split_list(list: &[u8]) -> Vec<OsString> {
    let mut quoted = false;
    let outside = |b: &u8| {
        quoted ^= *b == b'"';
        *b == b',' && !quoted
    };
    list.split(outside)
        .map(|word| OsStr::from_bytes(word).into())
        .collect()
}

fn unquote(value: &[u8]) -> OsString {
    let inner = value
        .strip_prefix(b"\"")
        .and_then(|value| value.strip_suffix(b"\""));
    OsStr::from_bytes(inner.unwrap_or(value)).into()
}

/// One mount in words: what, where, how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The device, directory or name.
    pub source: OsString,
    /// Where in the new root.
    pub target: PathBuf,
    /// The type of file system; `none` for a bind.
    pub fstype: OsString,
    /// How.
    pub options: Options,
}

impl Spec {
    /// Reads `type=T,source=S,target=D,OPTIONS` or a line as in fstab(5): `S D T OPTIONS`.
    ///
    /// ```
    /// use isobox::mount::Spec;
    /// let a = Spec::parse("tmpfs /tmp tmpfs nosuid,size=1m".as_ref()).unwrap();
    /// let b = Spec::parse("type=tmpfs,source=tmpfs,target=/tmp,nosuid,size=1m".as_ref()).unwrap();
    /// assert_eq!(a, b);
    /// ```
    ///
    /// # Errors
    /// Says what is missing.
    pub fn parse(text: &OsStr) -> Result<Self> {
        let bad = |why: Text| Error::new("bad mount").on(text).because(why);
        let blank = |b: &u8| *b == b' ' || *b == b'\t';
        let spec = if text.as_bytes().iter().any(blank) {
            let fields: Vec<OsString> = text
                .as_bytes()
                .split(blank)
                .filter(|field| !field.is_empty())
                .map(unescape)
                .collect();
            let [source, target, fstype, rest @ ..] = &fields[..] else {
                return Err(bad("SOURCE TARGET TYPE [OPTIONS] expected".into()));
            };
            let options = match rest {
                [] => Options::default(),
                [options] => Options::list(options)?,
                _ => return Err(bad("more than four fields".into())),
            };
            Self {
                source: source.clone(),
                target: target.into(),
                fstype: fstype.clone(),
                options,
            }
        } else {
            Self::from_words(split_list(text.as_bytes()))?
        };
        if spec.target.as_os_str().is_empty() {
            return Err(bad("no target=".into()));
        }
        if spec.fstype.is_empty() {
            return Err(bad("no type=".into()));
        }
        Ok(spec)
    }

    fn from_words(words: Vec<OsString>) -> Result<Self> {
        let (mut source, mut target, mut fstype) = (None, OsString::new(), OsString::new());
        let mut rest = Vec::new();
        for word in words {
            let bytes = word.as_bytes();
            let at = bytes.iter().position(|b| *b == b'=').unwrap_or(bytes.len());
            let value = || unquote(bytes.get(at + 1..).unwrap_or_default());
            match &bytes[..at] {
                b"type" => fstype = value(),
                b"source" | b"src" => source = Some(value()),
                b"target" | b"dst" | b"destination" => target = value(),
                _ => rest.push(word),
            }
        }
        let mut options = Options::new(rest)?;
        if fstype == "bind" || fstype == "rbind" {
            options.bind = Some(fstype == "rbind" || options.bind == Some(true));
            fstype = "none".into();
        } else if options.bind.is_some() && fstype.is_empty() {
            fstype = "none".into();
        }
        Ok(Self {
            source: source.unwrap_or_else(|| fstype.clone()),
            target: target.into(),
            fstype,
            options,
        })
    }
}

/// A mount as a line of fstab(5), which [`Spec::parse`] reads.
pub fn fstab_line(source: &OsStr, target: &Path, fstype: &OsStr, options: &OsStr) -> OsString {
    let field = |word: &OsStr| match word.is_empty() {
        true => "none".into(),
        false => escape(word),
    };
    let options = if options.is_empty() {
        OsStr::new("defaults")
    } else {
        options
    };
    let fields = [
        field(source),
        field(target.as_os_str()),
        field(fstype),
        field(options),
    ];
    fields.join(OsStr::new(" "))
}

/// Longest value that fsconfig(2) takes, its NUL included.
const LONGEST_VALUE: usize = 256;

/// Makes a file system of this type and mounts it at `target`, a descriptor.
///
/// # Errors
/// The kernel's answer; where the file system told its reason, that is the hint.
pub fn mount_new(
    fstype: &OsStr,
    source: &OsStr,
    options: &Options,
    target: BorrowedFd<'_>,
    name: &Path,
) -> Result<()> {
    let doing = || format!("cannot mount {} on", crate::error::printable(fstype));
    let long = |value: &Option<OsString>| {
        value
            .as_ref()
            .is_some_and(|value| value.len() >= LONGEST_VALUE)
    };
    if options.data.iter().any(|(_, value)| long(value)) {
        return mount_by_cwd(fstype, source, options, target).doing_to(doing(), name);
    }
    let mount = detached(fstype, source, options).map_err(|refusal| {
        let error = Error::new(doing()).on(name).errno_is(refusal.errno);
        error
            .hint_maybe(refusal.said)
            .hint_maybe(why_refused(fstype, refusal.errno))
    })?;
    set_propagation(mount.as_fd(), options).doing_to("cannot set the propagation of", name)?;
    move_mount(mount.as_fd(), target).doing_to(doing(), name)
}

/// The kernel's refusal, and what it said about it.
struct Refusal {
    errno: Errno,
    said: Option<String>,
}

/// Makes a file system and gives it as a detached mount.
fn detached(fstype: &OsStr, source: &OsStr, options: &Options) -> Result<OwnedFd, Refusal> {
    let silent = |errno| Refusal { errno, said: None };
    let fstype = c_string(fstype).map_err(silent)?;
    let context = fsopen(&fstype).map_err(silent)?;
    let make = || {
        if !source.is_empty() {
            fsconfig_set(context.as_fd(), c"source", Some(&c_string(source)?))?;
        }
        for (key, value) in &options.data {
            let value = value.as_deref().map(c_string).transpose()?;
            fsconfig_set(context.as_fd(), &c_string(key)?, value.as_deref())?;
        }
        if options.attributes.set & attr::RDONLY != 0 && is_on_disk(&fstype) {
            fsconfig_set(context.as_fd(), c"ro", None)?;
        }
        fsmount(context.as_fd(), options.attributes.set)
    };
    make().map_err(|errno| Refusal {
        errno,
        said: said(context.as_fd()),
    })
}

/// Whether the file system itself, not only this mount of it, has to know that it is read-only: a device may
/// be. The kernel's own file systems are shared by all their mounts, and stay as they are.
fn is_on_disk(fstype: &CStr) -> bool {
    const KERNELS_OWN: [&CStr; 9] = [
        c"tmpfs",
        c"proc",
        c"sysfs",
        c"devpts",
        c"mqueue",
        c"cgroup",
        c"cgroup2",
        c"overlay",
        c"devtmpfs",
    ];
    !KERNELS_OWN.contains(&fstype)
}

/// The messages that the file system left in its context: `e tmpfs: Bad value for 'size'`.
fn said(context: BorrowedFd<'_>) -> Option<String> {
    let mut log = File::from(context.try_clone_to_owned().ok()?);
    let mut message = [0; 512];
    let mut lines = Vec::new();
    while let Ok(length @ 1..) = log.read(&mut message) {
        let text = String::from_utf8_lossy(&message[..length]);
        lines.push(
            text.trim_end()
                .trim_start_matches(['e', 'w', 'i'])
                .trim_start()
                .to_owned(),
        );
        if lines.len() == 8 {
            break;
        }
    }
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// mount(2) with the target as working directory: for values that fsconfig(2) does not take.
fn mount_by_cwd(
    fstype: &OsStr,
    source: &OsStr,
    options: &Options,
    target: BorrowedFd<'_>,
) -> Result<(), Errno> {
    let data: Vec<Vec<u8>> = options
        .data
        .iter()
        .map(|(key, value)| match value {
            Some(value) => [key.as_bytes(), b"=", value.as_bytes()].concat(),
            None => key.as_bytes().to_vec(),
        })
        .collect();
    let data = OsString::from_vec(data.join(&b','));
    let back = open(".", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    fchdir(target)?;
    let result = nix::mount::mount(
        Some(source),
        ".",
        Some(fstype),
        options.ms_flags(),
        Some(data.as_os_str()),
    );
    fchdir(back)?;
    result
}

/// A detached copy of what stands behind `source`, with its flags and propagation set.
pub fn detached_bind(source: BorrowedFd<'_>, options: &Options) -> Result<OwnedFd, Errno> {
    let recursive = options.bind == Some(true);
    let flags = open_tree_flags::CLONE
        | if recursive {
            open_tree_flags::RECURSIVE
        } else {
            0
        };
    let mount = open_tree(source, Path::new(""), flags)?;
    set_flags(mount.as_fd(), options.attributes, false)?;
    set_flags(mount.as_fd(), options.recursive, true)?;
    set_propagation(mount.as_fd(), options)?;
    Ok(mount)
}

fn set_flags(mount: BorrowedFd<'_>, change: Attributes, recursive: bool) -> Result<(), Errno> {
    if change.is_empty() {
        return Ok(());
    }
    let attr = MountAttr {
        set: change.set,
        clear: change.clear,
        ..MountAttr::default()
    };
    mount_setattr(mount, attr, recursive)
}

fn set_propagation(mount: BorrowedFd<'_>, options: &Options) -> Result<(), Errno> {
    let Some((flag, recursive)) = options.propagation else {
        return Ok(());
    };
    mount_setattr(
        mount,
        MountAttr {
            propagation: flag.bits(),
            ..MountAttr::default()
        },
        recursive,
    )
}

/// Makes the mount behind `mount` read-only, with `recursive` those below it too.
pub fn make_read_only(mount: BorrowedFd<'_>, recursive: bool) -> Result<(), Errno> {
    set_flags(
        mount,
        Attributes {
            set: attr::RDONLY,
            clear: 0,
        },
        recursive,
    )
}

/// Opens the source of a bind, once: from here on the descriptor is the source.
pub fn open_source(path: &Path) -> Result<OwnedFd> {
    let fd = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
    fd.doing_to("cannot open the source of a bind,", path)
}

/// What may be mounted over inside a procfs: files that other tools put their own numbers in.
const PROC_FILES: [&str; 9] = [
    "cpuinfo",
    "diskstats",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
    "loadavg",
    "slabinfo",
    "net/dev",
];

/// Refuses a mount in `/proc`, where a false file would be taken for the kernel's word (CVE-2019-16884).
pub fn check_target(target: &Path, fstype: &OsStr) -> Result<()> {
    let clean = inside(target);
    let Ok(below) = clean.strip_prefix("proc") else {
        return Ok(());
    };
    let itself = below.as_os_str().is_empty() && fstype == "proc";
    if itself || PROC_FILES.iter().any(|file| below == Path::new(file)) {
        return Ok(());
    }
    Err(Error::new("refusing to mount on")
        .on(target)
        .because("only a procfs belongs there")
        .hint("programs would take what is in it for the kernel's word"))
}

/// The place of a mount in the new root, made where it is missing.
pub fn place_for(
    root: Root<'_>,
    target: &Path,
    fstype: &OsStr,
    is_directory: bool,
) -> Result<OwnedFd> {
    check_target(target, fstype)?;
    let place = if is_directory {
        root.directory(target)?
    } else {
        root.file(target)?
    };
    let listed = inside(target).starts_with("proc");
    if !listed && is_procfs(place.as_fd()) {
        return Err(Error::new("refusing to mount on")
            .on(target)
            .because("that leads into a procfs"));
    }
    Ok(place)
}

fn is_procfs(fd: BorrowedFd<'_>) -> bool {
    nix::sys::statfs::fstatfs(fd)
        .is_ok_and(|fs| fs.filesystem_type() == nix::sys::statfs::PROC_SUPER_MAGIC)
}

/// Why a mount of this type was refused, looked up after the fact.
pub fn why_refused(fstype: &OsStr, errno: Errno) -> Option<String> {
    match (errno, fstype.to_str()?) {
        (Errno::ENODEV, name) => Some(format!(
            "this kernel has no file system {name} (it may be a module: see /proc/filesystems)"
        )),
        (Errno::ENOSPC, _) => {
            Some("the mount namespace is full: see /proc/sys/fs/mount-max".into())
        }
        (Errno::EPERM, fstype) => why_not_permitted(fstype),
        _ => None,
    }
}

/// In a user namespace: a file system that shows a namespace can be mounted only by who owns that namespace, and
/// a procfs or sysfs may show no more than the one that is seen already (mount_namespaces(7)).
fn why_not_permitted(fstype: &str) -> Option<String> {
    if !crate::probe::is_admin() {
        return Some("this needs CAP_SYS_ADMIN: be root, or start with unshare -r -m".into());
    }
    let shown = match fstype {
        "proc" => Some((Kind::Pid, "-p -f")),
        "sysfs" => Some((Kind::Net, "-n")),
        "mqueue" => Some((Kind::Ipc, "-i")),
        "cgroup" | "cgroup2" => Some((Kind::Cgroup, "-C")),
        _ => None,
    };
    for (kind, options) in [Some((Kind::Mount, "-m")), shown].into_iter().flatten() {
        if is_owned_outside(kind) {
            return Some(format!(
                "the {} namespace belongs to an outer user namespace: unshare one with it ({options})",
                kind.option()
            ));
        }
    }
    match fstype {
        "proc" => covered("/proc"),
        "sysfs" => covered("/sys"),
        _ => None,
    }
}

/// Whether the namespace we are in belongs to a user namespace outside ours.
fn is_owned_outside(kind: Kind) -> bool {
    let path = format!("/proc/self/ns/{}", kind.proc_name());
    let ns = open(
        path.as_str(),
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    );
    ns.is_ok_and(|ns| crate::sys::nsfs::owner(ns.as_fd()).is_err_and(|errno| errno == Errno::EPERM))
}

fn covered(by: &str) -> Option<String> {
    let mounts = crate::mountinfo::read("self").ok()?;
    let below = |mount: &&crate::mountinfo::Mount| {
        mount.point.starts_with(by) && mount.point != Path::new(by)
    };
    let cover: Vec<String> = mounts
        .iter()
        .filter(below)
        .map(|mount| mount.point.display().to_string())
        .collect();
    (!cover.is_empty()).then(|| {
        format!(
            "a new one would show what is covered in the {by} we see: {}",
            cover.join(", ")
        )
    })
}

fn c_string(text: &OsStr) -> Result<CString, Errno> {
    CString::new(text.as_bytes()).map_err(|_| Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Options {
        Options::list(OsStr::new(text)).unwrap()
    }

    #[test]
    fn options_become_attributes() {
        use attr::{ATIME, NOATIME, NODEV, NOEXEC, NOSUID, RDONLY, STRICTATIME};
        let cases = [
            (
                "ro,nosuid,nodev,noexec",
                (RDONLY | NOSUID | NODEV | NOEXEC, 0),
                (0, 0),
            ),
            ("ro,rw", (0, RDONLY), (0, 0)),
            ("suid,nosuid", (NOSUID, 0), (0, 0)),
            ("noatime", (NOATIME, ATIME), (0, 0)),
            ("noatime,strictatime", (STRICTATIME, ATIME), (0, 0)),
            ("strictatime,relatime", (0, ATIME), (0, 0)),
            ("rro,rnosuid", (0, 0), (RDONLY | NOSUID, 0)),
            ("ro=recursive,nodev", (NODEV, 0), (RDONLY, 0)),
            ("rrw", (0, 0), (0, RDONLY)),
            ("defaults,,", (0, 0), (0, 0)),
        ];
        for (text, (set, clear), (rset, rclear)) in cases {
            let got = list(text);
            assert_eq!(got.attributes, Attributes { set, clear }, "{text}");
            assert_eq!(
                got.recursive,
                Attributes {
                    set: rset,
                    clear: rclear
                },
                "{text}"
            );
            assert!(got.data.is_empty(), "{text}");
        }
    }

    #[test]
    fn the_rest_is_for_the_file_system() {
        let got = list("size=64k,ro,lowerdir=\"a,b:c\",userxattr,x=");
        let want: [(&str, Option<&str>); 4] = [
            ("size", Some("64k")),
            ("lowerdir", Some("a,b:c")),
            ("userxattr", None),
            ("x", Some("")),
        ];
        let want: Vec<_> = want
            .map(|(key, value)| (key.into(), value.map(Into::into)))
            .into();
        assert_eq!(got.data, want);
        assert_eq!(list("rbind,rslave").bind, Some(true));
        assert_eq!(
            list("bind,slave").propagation,
            Some((MsFlags::MS_SLAVE, false))
        );
        for refused in ["loop", "remount", "idmap", "tmpcopyup", "noauto"] {
            assert!(Options::new([refused]).is_err(), "{refused}");
        }
    }

    #[test]
    fn the_recursive_table_ends_where_it_should() {
        assert_eq!(OPTIONS[RECURSIVE_OPTIONS - 1].0, "symfollow");
        for (name, _) in &OPTIONS[..RECURSIVE_OPTIONS] {
            assert!(
                meaning(OsStr::new(&format!("r{name}"))).is_some_and(|(_, recursive)| recursive),
                "r{name}"
            );
        }
        assert!(meaning(OsStr::new("ratime")).is_none() && meaning(OsStr::new("rloop")).is_none());
    }

    #[test]
    fn lists_and_lines_come_back() {
        for text in ["ro,size=1m", "lowerdir=\"a,b\",rw", "bind"] {
            assert_eq!(list(text).to_list(), text);
        }
        let line = fstab_line(
            OsStr::new("/a b"),
            Path::new("/c\\d"),
            OsStr::new("none"),
            OsStr::new("bind,ro"),
        );
        let spec = Spec::parse(&line).unwrap();
        assert_eq!(
            (spec.source, spec.target),
            ("/a b".into(), PathBuf::from("/c\\d"))
        );
        assert_eq!(spec.options.bind, Some(false));
        let short = Spec::parse("type=rbind,source=/a,target=/b".as_ref()).unwrap();
        assert_eq!(
            (short.fstype, short.options.bind),
            ("none".into(), Some(true))
        );
    }

    #[test]
    fn bad_mounts_say_what_is_missing() {
        let cases = [
            ("", "no target="),
            ("type=tmpfs", "no target="),
            ("target=/x", "no type="),
            ("a /b", "SOURCE TARGET TYPE"),
            ("a /b tmpfs x y", "more than four"),
            ("a /b tmpfs loop", "not supported"),
        ];
        for (text, want) in cases {
            let error = Spec::parse(text.as_ref()).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn proc_is_for_a_procfs() {
        let refused = [
            ("/proc", "none"),
            ("proc/self", "proc"),
            ("//x/../proc/./", "tmpfs"),
            ("/proc/sys", "none"),
        ];
        for (target, fstype) in refused {
            assert!(
                check_target(Path::new(target), OsStr::new(fstype)).is_err(),
                "{target}"
            );
        }
        for (target, fstype) in [
            ("/proc", "proc"),
            ("/proc/meminfo", "none"),
            ("/procs", "none"),
            ("/", "none"),
        ] {
            assert!(
                check_target(Path::new(target), OsStr::new(fstype)).is_ok(),
                "{target}"
            );
        }
    }
}
