//! The one error of isobox: what was being done, to what, the kernel's word, a hint, and an exit status.
//!
//! Errors are built where the subject is known, travel up unchanged (also from a cloned child to its
//! parent, see [`Error::encode`]) and are printed once, by `applets/main.rs`, as
//! `applet: doing subject: reason` and `hint: ...`.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::errno::Errno;

/// The result of everything that can fail in isobox.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A text that is nearly always a literal.
pub type Text = Cow<'static, str>;

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The kernel's answer.
    Errno(Errno),
    /// Our own refusal, or the answer of another program.
    Text(Text),
}

/// What was being done, to what, why it failed, what would help, and the exit status it deserves.
///
/// ```
/// use isobox::error::{Doing, Error};
/// use nix::errno::Errno;
/// let e: Result<(), Error> = Err(Errno::ENOENT).doing_to("cannot open", "/nowhere");
/// assert_eq!(e.unwrap_err().to_string(), "cannot open /nowhere: No such file or directory");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Parts>);

/// On the heap, so that what succeeds is returned in a register: a twentieth of the binary.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    doing: Text,
    subject: Option<OsString>,
    cause: Option<Cause>,
    hint: Option<Text>,
    status: u8,
}

impl Error {
    /// An error of our own making: `text` is the whole sentence.
    pub fn new(text: impl Into<Text>) -> Self {
        Self::of(text.into())
    }

    /// The one copy of what the generic functions share.
    #[cold]
    #[inline(never)]
    fn of(doing: Text) -> Self {
        Self(Box::new(Parts {
            doing,
            subject: None,
            cause: None,
            hint: None,
            status: 1,
        }))
    }

    /// Names what was being worked on.
    #[must_use]
    pub fn on(self, subject: impl AsRef<OsStr>) -> Self {
        self.at(subject.as_ref())
    }

    #[cold]
    #[inline(never)]
    fn at(mut self, subject: &OsStr) -> Self {
        self.0.subject = Some(subject.to_owned());
        self
    }

    /// Says in other words what was being done; what it was done to is part of them.
    #[must_use]
    pub fn saying(mut self, doing: impl Into<Text>) -> Self {
        self.0.doing = doing.into();
        self.0.subject = None;
        self
    }

    /// Gives the reason as a text of our own.
    #[must_use]
    pub fn because(mut self, reason: impl Into<Text>) -> Self {
        self.0.cause = Some(Cause::Text(reason.into()));
        self
    }

    /// Gives the reason as the kernel's answer.
    #[must_use]
    pub fn errno_is(mut self, errno: Errno) -> Self {
        self.0.cause = Some(Cause::Errno(errno));
        self
    }

    /// Adds advice; a later hint does not replace an earlier one, which stood nearer to the fault.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Text>) -> Self {
        self.0.hint.get_or_insert(hint.into());
        self
    }

    /// Adds advice if there is any.
    #[must_use]
    pub fn hint_maybe(self, hint: Option<impl Into<Text>>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// Sets the exit status (1 unless told otherwise).
    #[must_use]
    pub fn status(mut self, status: u8) -> Self {
        self.0.status = status;
        self
    }

    /// Sets the exit status where nobody has said one.
    #[must_use]
    pub fn or_status(self, status: u8) -> Self {
        match self.0.status {
            1 => self.status(status),
            _ => self,
        }
    }

    /// The status the process should exit with.
    pub fn exit_status(&self) -> u8 {
        self.0.status
    }

    /// What was being worked on, where that has a name.
    pub fn subject(&self) -> Option<&OsStr> {
        self.0.subject.as_deref()
    }

    /// The kernel's answer, where there was one.
    pub fn errno(&self) -> Option<Errno> {
        match self.0.cause {
            Some(Cause::Errno(errno)) => Some(errno),
            _ => None,
        }
    }

    /// The advice, where there is any.
    pub fn advice(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The bytes by which a cloned child tells its parent about this error; [`Error::decode`] reads them.
    ///
    /// status, errno (four bytes, 0 for none), then doing, subject, reason and hint, each ended by a NUL
    /// (none of them can hold one) and absent where empty.
    pub fn encode(&self) -> Vec<u8> {
        let errno = self.errno().map_or(0, |e| e as i32);
        let reason: &str = match &self.0.cause {
            Some(Cause::Text(text)) => text,
            _ => "",
        };
        let subject = self.0.subject.as_deref().map_or(&b""[..], OsStr::as_bytes);
        let hint = self.0.hint.as_deref().unwrap_or("");
        let mut bytes = vec![self.0.status];
        bytes.extend(errno.to_ne_bytes());
        for part in [
            self.0.doing.as_bytes(),
            subject,
            reason.as_bytes(),
            hint.as_bytes(),
        ] {
            bytes.extend(part.iter().filter(|b| **b != 0));
            bytes.push(0);
        }
        bytes
    }

    /// Reads what [`Error::encode`] wrote; a message cut short gives an error that says so.
    pub fn decode(bytes: &[u8]) -> Self {
        let Some((head, rest)) = bytes.split_at_checked(5) else {
            return Self::new("the child's report was cut short");
        };
        let errno = i32::from_ne_bytes([head[1], head[2], head[3], head[4]]);
        let mut parts = rest
            .split(|b| *b == 0)
            .map(|part| (!part.is_empty()).then(|| part.to_vec()));
        let mut next = || parts.next().flatten();
        let text = |bytes: Vec<u8>| Text::Owned(String::from_utf8_lossy(&bytes).into_owned());
        let doing = next().map_or(Text::Borrowed("failed"), text);
        let subject = next().map(OsString::from_vec);
        let reason = next().map(text);
        let cause = match (errno, reason) {
            (0, None) => None,
            (0, Some(reason)) => Some(Cause::Text(reason)),
            (errno, _) => Some(Cause::Errno(Errno::from_raw(errno))),
        };
        Self(Box::new(Parts {
            doing,
            subject,
            cause,
            hint: next().map(text),
            status: head[0],
        }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A terminal's escape codes must not reach the reader's terminal raw, whether they come from a name of an image
        // or from a word that a sentence quotes.
        f.write_str(&printable(self.0.doing.as_ref().as_ref()))?;
        if let Some(subject) = &self.0.subject {
            write!(f, " {}", printable(subject))?;
        }
        match &self.0.cause {
            Some(Cause::Errno(errno)) => write!(f, ": {}", reason(*errno)),
            Some(Cause::Text(text)) => write!(f, ": {}", printable(text.as_ref().as_ref())),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// The sentence of an errno, as strerror(3) of the GNU C library says it: people look for these words, and the
/// tools we replace print them. nix has the kernel's own comments, which mostly are the same.
pub fn reason(errno: Errno) -> &'static str {
    match errno {
        Errno::EAGAIN => "Resource temporarily unavailable",
        Errno::EBADF => "Bad file descriptor",
        Errno::EDEADLK => "Resource deadlock avoided",
        Errno::EDQUOT => "Disk quota exceeded",
        Errno::EIO => "Input/output error",
        Errno::ELOOP => "Too many levels of symbolic links",
        Errno::ENFILE => "Too many open files in system",
        Errno::ENODATA => "No data available",
        Errno::ENOLCK => "No locks available",
        Errno::ENOMEM => "Cannot allocate memory",
        Errno::ENOTTY => "Inappropriate ioctl for device",
        Errno::EOPNOTSUPP => "Operation not supported",
        Errno::EOVERFLOW => "Value too large for defined data type",
        Errno::ERANGE => "Numerical result out of range",
        Errno::ESTALE => "Stale file handle",
        Errno::EXDEV => "Invalid cross-device link",
        other => other.desc(),
    }
}

/// A name with control characters escaped, for people to read.
pub fn printable(name: &OsStr) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.to_string_lossy().chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Adds to a kernel's refusal what was being done.
pub trait Doing<T> {
    /// `doing: reason`.
    fn doing(self, doing: impl Into<Text>) -> Result<T>;
    /// `doing subject: reason`.
    fn doing_to(self, doing: impl Into<Text>, subject: impl AsRef<OsStr>) -> Result<T>;
}

impl<T> Doing<T> for Result<T, Errno> {
    fn doing(self, doing: impl Into<Text>) -> Result<T> {
        self.map_err(|errno| refused(doing.into(), None, errno))
    }
    fn doing_to(self, doing: impl Into<Text>, subject: impl AsRef<OsStr>) -> Result<T> {
        self.map_err(|errno| refused(doing.into(), Some(subject.as_ref()), errno))
    }
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: impl Into<Text>) -> Result<T> {
        self.map_err(|cause| failed(doing.into(), None, &cause))
    }
    fn doing_to(self, doing: impl Into<Text>, subject: impl AsRef<OsStr>) -> Result<T> {
        self.map_err(|cause| failed(doing.into(), Some(subject.as_ref()), &cause))
    }
}

#[cold]
#[inline(never)]
fn refused(doing: Text, subject: Option<&OsStr>, errno: Errno) -> Error {
    let error = Error::of(doing).errno_is(errno);
    match subject {
        Some(subject) => error.at(subject),
        None => error,
    }
}

#[cold]
#[inline(never)]
fn failed(doing: Text, subject: Option<&OsStr>, cause: &io::Error) -> Error {
    // A reader or writer of ours has said already what went wrong.
    let ours = cause.get_ref().and_then(|inner| inner.downcast_ref());
    if let Some(ours) = ours {
        return Error::clone(ours);
    }
    let errno = cause.raw_os_error().map(Errno::from_raw);
    let error = refused(doing, subject, errno.unwrap_or(Errno::UnknownErrno));
    match errno {
        Some(_) => error,
        None => error.because(cause.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_pipe() {
        let cases = [
            Error::new("plain"),
            Error::new("cannot mount")
                .on("/proc")
                .errno_is(Errno::EPERM)
                .hint("add -p")
                .status(125),
            Error::new("bad map")
                .on(OsStr::from_bytes(b"\xff\xfe"))
                .because("no colon"),
        ];
        for error in cases {
            assert_eq!(Error::decode(&error.encode()), error);
        }
    }

    #[test]
    fn escape_codes_are_shown_not_sent() {
        let error = Error::new("cannot open")
            .on("\x1b[31m")
            .errno_is(Errno::ENOENT);
        assert_eq!(
            error.to_string(),
            "cannot open \\u{1b}[31m: No such file or directory"
        );
        let error = Error::new("no such thing: '\x1b[m'").because("\x07 is none");
        assert_eq!(
            error.to_string(),
            "no such thing: '\\u{1b}[m': \\u{7} is none"
        );
    }

    #[test]
    fn the_hint_nearest_the_fault_stays() {
        assert_eq!(
            Error::new("x").hint("near").hint("far").advice(),
            Some("near")
        );
    }
}
