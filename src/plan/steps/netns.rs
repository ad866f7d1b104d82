//! Network namespaces by name: the steps of `ip netns` (ip-netns(8)).

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use crate::error::{Error, Result, printable};
use crate::lock::Locked;
use crate::namespace::Kind;
use crate::net::Connection;
use crate::net::netns::{DIRECTORY, open_file};
use crate::net::number::{netnsa, rtm};
use crate::net::request::Request;
use crate::plan::steps::rtnetlink::refused;
use crate::plan::{Context, Explanation, Shell, Step};
use crate::probe;
use crate::procfs::Process;

/// Makes the directory of the names, a mount of its own that is shared: what is mounted on a name is seen by every mount
/// namespace that has the directory, and what is unmounted is gone from all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareDirectory {
    /// The directory.
    pub directory: PathBuf,
}

impl Step for ShareDirectory {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let shown = printable(self.directory.as_os_str());
        let mode = if self.is_systems() { 0o755 } else { 0o700 };
        let made = DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(&self.directory);
        made.map_err(|cause| {
            let errno = Errno::from_raw(cause.raw_os_error().unwrap_or(libc::EIO));
            Error::new(format!("mkdir {shown} failed"))
                .errno_is(errno)
                .hint(self.why_not())
        })?;
        let how = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let opened = open(&self.directory, how, Mode::empty()).map_err(|errno| {
            Error::new(format!("Cannot open netns runtime directory \"{shown}\"")).errno_is(errno)
        })?;
        // Two that begin at once would both mount it upon itself. Where it cannot be locked that is the lesser evil.
        let _lock = Locked::exclusive(opened);
        self.share(&shown)
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "mount(NULL, {:?}, NULL, MS_SHARED|MS_REC, NULL)",
                self.directory
            ),
            "a name has to appear in mount namespaces that exist, and to vanish from them",
            "a namespace would live on in every mount namespace that was copied while it had a name",
            "mount_namespaces(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

impl ShareDirectory {
    fn is_systems(&self) -> bool {
        self.directory == Path::new(DIRECTORY)
    }

    fn share(&self, shown: &str) -> Result<()> {
        let none = None::<&str>;
        let shared = || {
            mount(
                none,
                &self.directory,
                none,
                MsFlags::MS_SHARED | MsFlags::MS_REC,
                none,
            )
        };
        match shared() {
            Ok(()) => return Ok(()),
            // It is no mount yet.
            Err(Errno::EINVAL) => {}
            Err(errno) => {
                return Err(self.refused(format!("mount --make-shared {shown} failed"), errno));
            }
        }
        let itself = MsFlags::MS_BIND | MsFlags::MS_REC;
        mount(Some(&self.directory), &self.directory, none, itself, none)
            .map_err(|errno| self.refused(format!("mount --bind {shown} {shown} failed"), errno))?;
        shared().map_err(|errno| self.refused(format!("mount --make-shared {shown} failed"), errno))
    }

    fn refused(&self, doing: String, errno: Errno) -> Error {
        Error::new(doing).errno_is(errno).hint(self.why_not())
    }

    /// What an ordinary user has to know.
    fn why_not(&self) -> &'static str {
        match (probe::is_admin(), self.is_systems()) {
            (false, _) => {
                "a name is a mount, which an ordinary user may make only in namespaces of their own: unshare -rm first; \
                 names last as long as these, and links to the host's network need root"
            }
            (true, false) => {
                "a name is a mount: enter a mount namespace of your own too, with unshare -rm"
            }
            (true, true) => {
                "without the right to write there, XDG_RUNTIME_DIR has to name a directory of yours"
            }
        }
    }
}

/// Where the namespace comes from that gets a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It is made.
    New,
    /// It is that of a process.
    Process(Pid),
}

/// Gives a network namespace a name: mounts it on a file, so that it lives without a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The file.
    pub file: PathBuf,
    /// What is named.
    pub origin: Origin,
}

impl Name {
    fn shown(&self) -> String {
        printable(self.file.as_os_str())
    }

    fn name(&self) -> OsString {
        self.file.file_name().unwrap_or_default().to_owned()
    }

    /// Opens the namespace; a new one is entered for that and left again.
    fn namespace(&self) -> Result<OwnedFd> {
        let own = |errno| Error::new("Cannot open init namespace").errno_is(errno);
        match self.origin {
            Origin::Process(pid) => Process::open(pid)
                .and_then(|process| process.open_namespace(Kind::Net))
                .map_err(|errno| self.not_bound(errno)),
            Origin::New => {
                let process = Process::own().map_err(own)?;
                let before = process.open_namespace(Kind::Net).map_err(own)?;
                unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| {
                    let name = printable(&self.name());
                    let error = Error::new(format!(
                        "Failed to create a new network namespace \"{name}\""
                    ));
                    let hint = probe::unshare_failed(CloneFlags::CLONE_NEWNET, errno);
                    error
                        .errno_is(errno)
                        .hint_maybe(hint.advice().map(str::to_owned))
                })?;
                let made = process.open_namespace(Kind::Net).map_err(own);
                match setns(before, CloneFlags::CLONE_NEWNET) {
                    // Out of the machine's network, into that of a user namespace, there is no way back; and no need of
                    // one: the name is all that is still to be made.
                    Ok(()) | Err(Errno::EPERM) => made,
                    Err(errno) => Err(own(errno)),
                }
            }
        }
    }

    fn not_bound(&self, errno: Errno) -> Error {
        let source = match self.origin {
            Origin::New => "/proc/self/ns/net".into(),
            Origin::Process(pid) => format!("/proc/{pid}/ns/net"),
        };
        Error::new(format!("Bind {source} -> {} failed", self.shown())).errno_is(errno)
    }
}

impl Step for Name {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let how = OFlag::O_RDONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        open(&self.file, how, Mode::empty()).map_err(|errno| {
            let shown = self.shown();
            Error::new(format!("Cannot create namespace file \"{shown}\"")).errno_is(errno)
        })?;
        let named = self.namespace().and_then(|namespace| {
            // The descriptor and not the path: the process may be gone by now and its number somebody else's.
            let source = format!("/proc/self/fd/{}", namespace.as_raw_fd());
            let none = None::<&str>;
            mount(
                Some(source.as_str()),
                &self.file,
                none,
                MsFlags::MS_BIND,
                none,
            )
            .map_err(|errno| self.not_bound(errno))
        });
        named.inspect_err(|_| {
            let _ = fs::remove_file(&self.file);
        })
    }

    fn undo(&self, _: &mut Context) {
        let _ = umount2(&self.file, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
        let _ = fs::remove_file(&self.file);
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        let call = match self.origin {
            Origin::New => format!(
                "unshare(CLONE_NEWNET), mount(\"/proc/self/ns/net\", {:?}, NULL, MS_BIND, NULL), setns(BEFORE)",
                self.file
            ),
            Origin::Process(pid) => {
                format!(
                    "mount(\"/proc/{pid}/ns/net\", {:?}, NULL, MS_BIND, NULL)",
                    self.file
                )
            }
        };
        Explanation::new(
            call,
            "a namespace lives as long as a process is in it, or a file is it: this file is its name",
            "it would be gone with the last process, and nobody could name it",
            "ip-netns(8)",
        )
    }

    fn shell(&self) -> Shell {
        let words: Vec<OsString> = match self.origin {
            Origin::New => vec!["netns".into(), "add".into(), self.name()],
            Origin::Process(pid) => {
                vec![
                    "netns".into(),
                    "attach".into(),
                    self.name(),
                    pid.to_string().into(),
                ]
            }
        };
        Shell::Option {
            applet: "ip",
            words,
        }
    }
}

/// Takes a name away. The namespace goes when nothing else holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unname {
    /// The file.
    pub file: PathBuf,
}

impl Step for Unname {
    fn perform(&self, _: &mut Context) -> Result<()> {
        // Nothing may be mounted there any more: then the file alone is removed.
        let _ = umount2(&self.file, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
        fs::remove_file(&self.file).map_err(|cause| {
            let shown = printable(self.file.as_os_str());
            let errno = Errno::from_raw(cause.raw_os_error().unwrap_or(libc::EIO));
            Error::new(format!("Cannot remove namespace file \"{shown}\"")).errno_is(errno)
        })
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("umount2({0:?}, MNT_DETACH), unlink({0:?})", self.file),
            "the mount is what keeps the namespace; processes in it keep it too",
            "the namespace would live on with all its links",
            "ip-netns(8)",
        )
    }

    fn shell(&self) -> Shell {
        let name = self.file.file_name().unwrap_or_default().to_owned();
        Shell::Option {
            applet: "ip",
            words: vec!["netns".into(), "delete".into(), name],
        }
    }
}

/// Enters the network namespace mounted on a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnterNamed {
    /// Its name, for messages.
    pub name: OsString,
    /// The file.
    pub file: PathBuf,
}

impl Step for EnterNamed {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let name = printable(&self.name);
        let namespace = open_file(&self.file).map_err(|errno| {
            Error::new(format!("Cannot open network namespace \"{name}\""))
                .errno_is(errno)
                .status(255)
        })?;
        setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET).map_err(|errno| {
            let error = Error::new(format!("setting the network namespace \"{name}\" failed"));
            error.errno_is(errno).status(255).hint_maybe(match errno {
                Errno::EINVAL => Some("no network namespace is mounted on its file"),
                Errno::EPERM => Some(
                    "entering needs CAP_SYS_ADMIN, here and in the user namespace that owns it",
                ),
                _ => None,
            })
        })?;
        cx.note_joined(CloneFlags::CLONE_NEWNET);
        Ok(())
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("setns(open({:?}), CLONE_NEWNET)", self.file),
            "what follows concerns the links, addresses and routes in there",
            "it would concern those out here",
            "setns(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Gives a network namespace a number by which the one we are in knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetId {
    /// Its name, for messages.
    pub name: OsString,
    /// Its file.
    pub file: PathBuf,
    /// The number; the kernel chooses where there is none.
    pub id: Option<u32>,
}

impl Step for SetId {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let namespace = open_file(&self.file).map_err(|errno| {
            let name = printable(&self.name);
            Error::new(format!("Cannot open network namespace \"{name}\"")).errno_is(errno)
        })?;
        let mut request = Request::new(rtm::NEWNSID, 0, &[0; 4]);
        let number = |fd: i32| fd.to_ne_bytes();
        request
            .attribute(netnsa::FD, &number(namespace.as_raw_fd()))
            .attribute(netnsa::NSID, &number(self.id.map_or(-1, u32::cast_signed)));
        let mut connection = Connection::open()?;
        connection.change(request.message(), 0).map_err(refused)
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        let id = self.id.map_or("auto".into(), |id| id.to_string());
        Explanation::new(
            format!("RTM_NEWNSID(fd of {:?}, nsid {id})", self.file),
            "links whose other end is in there are shown with this number",
            "the kernel would choose one when it first needs one",
            "rtnetlink(7)",
        )
    }

    fn shell(&self) -> Shell {
        let id = self.id.map_or("auto".into(), |id| id.to_string());
        Shell::Option {
            applet: "ip",
            words: vec!["netns".into(), "set".into(), self.name.clone(), id.into()],
        }
    }
}
