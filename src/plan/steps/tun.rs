//! Tun and tap links (linux/if_tun.h): links whose other end is a program.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::error::{Error, Result};
use crate::plan::{Context, Explanation, Shell, Step};
use crate::sys::tun::{set_group, set_link, set_owner, set_persist};

/// The device that makes them.
const DEVICE: &str = "/dev/net/tun";

/// Makes a tun or tap link that lasts, or ends one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersistTun {
    /// Its name.
    pub name: String,
    /// `IFF_TUN` or `IFF_TAP`, and flags.
    pub flags: u16,
    /// Who may attach to it.
    pub owner: Option<u32>,
    /// Which group may.
    pub group: Option<u32>,
    /// Whether it is to last.
    pub stays: bool,
}

impl Step for PersistTun {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let refused =
            |what: &str, errno: Errno| Error::new(format!("ioctl({what})")).errno_is(errno);
        let how = OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let tun = open(DEVICE, how, Mode::empty()).map_err(|errno| {
            let missing = matches!(errno, Errno::ENOENT | Errno::ENODEV);
            Error::new("open")
                .errno_is(errno)
                .hint_maybe(missing.then_some(
                    "this kernel has no tun links, or here is no /dev/net/tun: modprobe tun",
                ))
        })?;
        let tun = tun.as_fd();
        set_link(tun, self.name.as_bytes(), self.flags.cast_signed())
            .map_err(|errno| refused("TUNSETIFF", errno))?;
        if let Some(uid) = self.owner {
            set_owner(tun, uid).map_err(|errno| refused("TUNSETOWNER", errno))?;
        }
        if let Some(gid) = self.group {
            set_group(tun, gid).map_err(|errno| refused("TUNSETGROUP", errno))?;
        }
        set_persist(tun, self.stays).map_err(|errno| refused("TUNSETPERSIST", errno))
    }

    fn explain(&self) -> Explanation {
        let (why, without) = match self.stays {
            true => (
                "a link whose packets a program reads and writes; it stays when this process ends",
                "only a program that may administer the network could make it for itself",
            ),
            false => (
                "a link that no longer lasts goes with its last descriptor: this one",
                "it would stay",
            ),
        };
        let kind = if self.flags & 1 != 0 {
            "IFF_TUN"
        } else {
            "IFF_TAP"
        };
        Explanation::new(
            format!(
                "ioctl(open({DEVICE:?}), TUNSETIFF, {:?}, {kind}), ioctl(TUNSETPERSIST, {})",
                self.name,
                i32::from(self.stays)
            ),
            why,
            without,
            "netdevice(7)",
        )
    }

    fn shell(&self) -> Shell {
        let verb = if self.stays { "add" } else { "del" };
        let mode = if self.flags & 1 != 0 { "tun" } else { "tap" };
        let mut words: Vec<String> = ["tuntap", verb, "dev", &self.name, "mode", mode]
            .map(Into::into)
            .to_vec();
        for (name, id) in [("user", self.owner), ("group", self.group)] {
            words.extend(id.into_iter().flat_map(|id| [name.into(), id.to_string()]));
        }
        Shell::Option {
            applet: "ip",
            words: words.into_iter().map(Into::into).collect(),
        }
    }
}
