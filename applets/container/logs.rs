//! container logs, attach: what a container that is kept has written, and looking in on it.

use std::io::{Write as _, stderr, stdout};
use std::os::fd::AsFd as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use argh::{ArgsInfo, FromArgs};
use isobox::decimal::decimal;
use isobox::error::{Doing, Error, Result};
use isobox::oci::log::{Reader, Stream, Wanted};
use isobox::oci::{monitor, time};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::kept::Shelf;
use super::start::{Keys, watch};
use super::values::Truth;
use crate::cli::Exit;
use crate::cli::raw::Raw;

/// print what a container has written
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "logs", example = "container logs -f --tail 10 web")]
pub(super) struct Logs {
    /// go on until the container has ended
    #[argh(switch, short = 'f')]
    follow: bool,
    /// so many lines at the end, or all
    #[argh(option, short = 'n', arg_name = "count")]
    tail: Option<String>,
    /// what was written since: RFC 3339, seconds since 1970, or how long ago (10m)
    #[argh(option, arg_name = "when")]
    since: Option<String>,
    /// what was written until then
    #[argh(option, arg_name = "when")]
    until: Option<String>,
    /// when each line was written
    #[argh(switch, short = 't')]
    timestamps: bool,
    /// the container
    #[argh(positional)]
    container: Raw,
}

/// look in on a container that runs, and end as it ends
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "attach")]
pub(super) struct Attach {
    /// the keys that leave it alone again (ctrl-p,ctrl-q)
    #[argh(option, arg_name = "keys")]
    detach_keys: Option<Keys>,
    /// do not connect our standard input
    #[argh(switch)]
    no_stdin: bool,
    /// pass signals on to it, which is done without this too; false for not
    #[argh(option, arg_name = "[=true|false]")]
    sig_proxy: Option<Truth>,
    /// the container
    #[argh(positional)]
    container: Raw,
}

impl Attach {
    pub(super) fn run(self) -> Result<Exit> {
        if self.detach_keys.is_some() && self.no_stdin {
            return Err(Error::new("--detach-keys has no effect here")
                .because("nothing is typed to the container, with --no-stdin"));
        }
        let shelf = Shelf::ours();
        let home = shelf.find(&self.container)?;
        let line = monitor::look_in(&shelf.running(&home)?)?;
        let signals = self.sig_proxy.is_none_or(|truth| truth.0);
        watch(&home, &line, !self.no_stdin, signals, self.detach_keys)
    }
}

/// A point in time as logs have it.
fn when(text: &str) -> Result<String> {
    let bad = || Error::new("invalid time").on(text);
    if text.contains('T') {
        // Times are compared as texts.
        let plain = text
            .strip_suffix('Z')
            .ok_or_else(|| bad().because("a time of UTC, with Z at its end, is expected"))?;
        let is_time = |byte: u8| byte.is_ascii_digit() || b"-:.T".contains(&byte);
        return match plain.starts_with(|c: char| c.is_ascii_digit()) && plain.bytes().all(is_time) {
            true => Ok(plain.into()),
            false => Err(bad()),
        };
    }
    if let Some((seconds, fraction)) = text.split_once('.').or(Some((text, "0")))
        && let (Some(seconds), true) = (decimal(seconds), decimal::<u64>(fraction).is_some())
    {
        let then = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        return then.map(time::fixed).ok_or_else(bad);
    }
    let mut ago = 0_u64;
    let mut digits = String::new();
    for c in text.chars() {
        let unit = match c {
            '0'..='9' => {
                digits.push(c);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(bad()),
        };
        let count: u64 = decimal(&digits).ok_or_else(bad)?;
        ago = count
            .checked_mul(unit)
            .and_then(|more| ago.checked_add(more))
            .ok_or_else(bad)?;
        digits.clear();
    }
    let then = SystemTime::now().checked_sub(Duration::from_secs(ago));
    match digits.is_empty() && !text.is_empty() {
        true => then.map(time::fixed).ok_or_else(bad),
        false => Err(bad()),
    }
}

impl Logs {
    pub(super) fn run(self) -> Result<Exit> {
        let shelf = Shelf::ours();
        let home = shelf.find(&self.container)?;
        if home.fact("log") == "0" {
            return Err(Error::new("the container keeps no log"));
        }
        let tail = match self.tail.as_deref() {
            None | Some("all") => None,
            Some(count) => {
                Some(decimal(count).ok_or_else(|| Error::new("invalid number").on(count))?)
            }
        };
        let wanted = Wanted {
            tail,
            since: self
                .since
                .as_deref()
                .map(when)
                .transpose()?
                .unwrap_or_default(),
            until: self.until.as_deref().map(when).transpose()?,
            times: self.timestamps,
        };
        let dir = home
            .dir()
            .try_clone_to_owned()
            .doing("cannot copy a descriptor")?;
        let mut reader = Reader::new(dir, wanted);
        let mut show = |stream, text: &[u8]| {
            let done = match stream {
                Stream::Out => stdout().write_all(text).and_then(|()| stdout().flush()),
                Stream::Err => stderr().write_all(text),
            };
            done.is_ok()
        };
        // Before the first look: what comes in between is told.
        let changes = Inotify::init(InitFlags::IN_CLOEXEC).doing("cannot watch the log")?;
        let what = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
        changes
            .add_watch(home.path(), what)
            .doing("cannot watch the log")?;
        let mut goes_on = reader.first(&mut show)?;
        let runs = || home.is_occupied() && home.end().value("finished").is_none();
        while self.follow && goes_on && runs() {
            // A monitor that is killed tells nobody.
            let mut fds = [PollFd::new(changes.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, PollTimeout::from(1000_u16)) == Ok(1) {
                changes.read_events().doing("cannot watch the log")?;
            }
            goes_on = reader.next(&mut show)?;
        }
        if goes_on && self.follow {
            reader.next(&mut show)?;
        }
        Ok(Exit::OK)
    }
}

#[cfg(test)]
mod tests {
    use super::when;

    #[test]
    fn a_time_is_understood_or_refused() {
        assert_eq!(when("0").unwrap(), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(when("86400.5").unwrap(), "1970-01-02T00:00:00.000000000Z");
        assert_eq!(when("2026-01-02T03:04:05Z").unwrap(), "2026-01-02T03:04:05");
        assert!(when("1d2h3m4s").is_ok());
        for bad in [
            "",
            "x",
            "1w",
            "1h2",
            "TZ",
            "badTimeZ",
            "2026-01-02T03:04:05",
            "18446744073709551615",
            "18446744073709551615s1s",
            "18446744073709551615s",
            "99999999999999999999",
        ] {
            assert!(when(bad).is_err(), "{bad}");
        }
    }
}
