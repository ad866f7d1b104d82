//! Terminals: the ioctls that nix has not (ioctl_tty(2), pty(7)).

use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::result;

/// Rows and columns, and the same in pixels where the terminal knows (`struct winsize`).
#[derive(Debug, Clone, Copy)]
pub struct Size(libc::winsize);

impl Size {
    /// A size in characters.
    pub fn new(rows: u16, columns: u16) -> Self {
        Self(libc::winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        })
    }

    /// How many rows there are; 0 where the terminal does not know.
    pub fn rows(self) -> u16 {
        self.0.ws_row
    }

    /// How many characters stand in a row; 0 where the terminal does not know.
    pub fn columns(self) -> usize {
        self.0.ws_col.into()
    }
}

/// The size of a terminal (`TIOCGWINSZ`).
///
/// # Errors
/// `ENOTTY` where the descriptor is no terminal.
pub fn size(terminal: BorrowedFd<'_>) -> Result<Size, Errno> {
    // SAFETY: winsize is four plain numbers, for which all zero bits are a value.
    let mut size: libc::winsize = unsafe { zeroed() };
    let fd = terminal.as_raw_fd();
    // SAFETY: the kernel writes one winsize, which lives here; the fd is borrowed for the call.
    result(unsafe { libc::ioctl(fd, libc::TIOCGWINSZ as _, &raw mut size) }.into())?;
    Ok(Size(size))
}

/// Gives a terminal a size (`TIOCSWINSZ`); its foreground processes get `SIGWINCH` if it is another than before.
pub fn resize(terminal: BorrowedFd<'_>, size: Size) -> Result<(), Errno> {
    let fd = terminal.as_raw_fd();
    // SAFETY: the kernel reads one winsize, which lives here; the fd is borrowed for the call.
    result(unsafe { libc::ioctl(fd, libc::TIOCSWINSZ as _, &raw const size.0) }.into()).map(drop)
}

/// Lets the other side of a pseudo-terminal be opened (`TIOCSPTLCK` 0).
pub fn unlock(master: BorrowedFd<'_>) -> Result<(), Errno> {
    let locked: libc::c_int = 0;
    let fd = master.as_raw_fd();
    // SAFETY: the kernel reads one int, which lives here; the fd is borrowed for the call.
    result(unsafe { libc::ioctl(fd, libc::TIOCSPTLCK as _, &raw const locked) }.into()).map(drop)
}

/// Opens the other side of a pseudo-terminal by descriptor, so that no path is trusted (`TIOCGPTPEER`, Linux
/// 4.13). It does not become the controlling terminal.
pub fn peer(master: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes a number; the fd is borrowed for the call.
    let fd =
        result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER as _, flags) }.into())?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(|_| Errno::EBADF)?) })
}

/// Makes `terminal` the controlling terminal of this session leader (`TIOCSCTTY`), never stealing it.
pub fn take_control(terminal: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: TIOCSCTTY takes a number; the fd is borrowed for the call.
    result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY as _, 0) }.into()).map(drop)
}
