//! What a new network namespace needs first (network_namespaces(7)).

use std::os::fd::AsFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::error::{Doing, Result};
use crate::plan::{Context, Explanation, Shell, Step};
use crate::sys::net::bring_up;

/// Brings the loopback interface up; the kernel gives it 127.0.0.1 and ::1 by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoopbackUp;

impl Step for LoopbackUp {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let (family, kind) = (AddressFamily::Unix, SockType::Datagram);
        // Interface ioctls work on a socket of any family, and this one needs no IP in the kernel.
        let socket =
            socket(family, kind, SockFlag::SOCK_CLOEXEC, None).doing("cannot make a socket")?;
        bring_up(socket.as_fd(), b"lo").doing("cannot bring lo up")
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            "ioctl(SIOCSIFFLAGS, \"lo\", IFF_UP)",
            "the only interface of a new network namespace is lo, and it is down",
            "nothing in here could reach 127.0.0.1: Network is unreachable",
            "netdevice(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::option("unshare", "--loopback")
    }
}
