//! runc's log: a line for people or an object for programs, each with a level, a message and a time. Programs that call
//! runc read the last error out of it.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::time::SystemTime;

use isobox::error::Result;
use isobox::json::quote;
use isobox::oci::time;
use isobox::plan::{self, Observer, Plan};

use crate::cli::say;

/// Where and how to log.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    /// The file; standard error without.
    pub(super) file: Option<OsString>,
    /// An object a line.
    pub(super) json: bool,
    /// What is being done too.
    pub(super) debug: bool,
}

impl Log {
    /// Says why it has failed: in the log, and on standard error where that is another.
    pub(super) fn error(&self, message: &str, hint: Option<&str>) {
        self.record("error", message, hint);
        if self.file.is_some() {
            say(&format!("{message}\n"));
        }
    }

    fn record(&self, level: &str, message: &str, hint: Option<&str>) {
        let line = match self.json {
            true => object(level, message, hint),
            false => text(level, message, hint),
        };
        let Some(path) = &self.file else {
            return say(&line);
        };
        let file = open(path);
        // Whoever cannot be told in the file is told on standard error.
        if file
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .is_err()
        {
            say(&line);
        }
    }
}

/// Opens the file; it is made where it is not there.
pub(super) fn open(path: &OsStr) -> io::Result<File> {
    let mut how = OpenOptions::new();
    how.append(true).create(true).mode(0o644).open(path)
}

fn text(level: &str, message: &str, hint: Option<&str>) -> String {
    let time = time::seconds(SystemTime::now());
    let hint = hint.map_or_else(String::new, |hint| format!(" hint={}", quote(hint)));
    format!(
        "time={} level={level} msg={}{hint}\n",
        quote(&time),
        quote(message)
    )
}

fn object(level: &str, message: &str, hint: Option<&str>) -> String {
    let time = time::seconds(SystemTime::now());
    let hint = hint.map_or_else(String::new, |hint| format!("\"hint\":{},", quote(hint)));
    format!(
        "{{{hint}\"level\":\"{level}\",\"msg\":{},\"time\":\"{time}\"}}\n",
        quote(message)
    )
}

impl Observer for Log {
    fn before(&self, plan: &Plan, index: usize) {
        if self.debug {
            let plan::Told { who, what, .. } = plan.tell_entry(index);
            self.record("debug", &format!("{who}: {}", what.call), None);
        }
    }

    fn after(&self, _: &Plan, _: usize, result: &Result<()>) {
        if let (true, Err(error)) = (self.debug, result) {
            self.record("debug", &error.to_string(), None);
        }
    }

    /// For whoever typed the command. In a file it would be taken for the reason of a failure (some read all of it as the
    /// one error), and with a file standard error is the container's.
    fn noted(&self, note: &str) {
        if self.file.is_none() {
            say(&text("warning", note, None));
        } else if self.debug {
            self.record("warning", note, None);
        }
    }
}
