//! The name servers of a network namespace (ip-netns(8)): `ip netns exec` shows the files of `/etc/netns/NAME` as those
//! of `/etc`.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::error::{Doing, Result};
use crate::plan::{Context, Explanation, Shell, Step};

/// Where `ip netns exec` looks.
const DIRECTORY: &str = "/etc/netns";

/// Writes the `resolv.conf` of a network namespace that has a name.
#[derive(Debug)]
pub struct NameServers {
    /// The name of the namespace, which holds no slash.
    pub name: OsString,
    /// The servers, in the order in which they are asked.
    pub servers: Vec<IpAddr>,
    /// What was there before; `None` until something is written.
    before: RefCell<Option<Before>>,
}

/// What there was before.
#[derive(Debug)]
struct Before {
    /// The file's bytes, where there was one.
    file: Option<Vec<u8>>,
    /// Directories that were made, the outermost first.
    made: Vec<PathBuf>,
}

impl NameServers {
    /// Those of the namespace `name`.
    pub fn new(name: OsString, servers: Vec<IpAddr>) -> Self {
        Self {
            name,
            servers,
            before: RefCell::new(None),
        }
    }

    fn directory(&self) -> PathBuf {
        Path::new(DIRECTORY).join(&self.name)
    }

    fn file(&self) -> PathBuf {
        self.directory().join("resolv.conf")
    }

    fn text(&self) -> String {
        let lines = self.servers.iter();
        lines
            .map(|server| format!("nameserver {server}\n"))
            .collect()
    }
}

impl Step for NameServers {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let file = self.file();
        let mut before = Before {
            file: None,
            made: Vec::new(),
        };
        for directory in [Path::new(DIRECTORY).to_owned(), self.directory()] {
            match fs::create_dir(&directory) {
                Ok(()) => before.made.push(directory),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).doing_to("cannot make", directory),
            }
        }
        before.file = match fs::read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            other => Some(other.doing_to("cannot read", &file)?),
        };
        let written = replace(&file, self.text().as_bytes());
        self.before.replace(Some(before));
        if written.is_err() {
            self.restore();
        }
        written.doing_to("cannot write", &file)
    }

    fn undo(&self, cx: &mut Context) {
        if !self.restore() {
            cx.note(format!("{} stays", self.file().display()));
        }
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("write({:?}, {:?})", self.file(), self.text()),
            "names are looked up by asking servers that the namespace can reach; ip netns exec shows this file as /etc/resolv.conf",
            "the host's servers would be asked, and one at 127.0.0.53 is not there in another network namespace",
            "ip-netns(8)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

impl NameServers {
    /// Puts back what was there; gives whether that went well.
    fn restore(&self) -> bool {
        let Some(before) = self.before.take() else {
            return true;
        };
        let file = self.file();
        let restored = match before.file {
            Some(bytes) => replace(&file, &bytes),
            None => fs::remove_file(&file),
        };
        for directory in before.made.iter().rev() {
            // Somebody may have put another file there meanwhile.
            let _ = fs::remove_dir(directory);
        }
        restored.is_ok()
    }
}

/// Writes a file beside its place and moves it there: a reader finds the old or the new one, and a symbolic link is
/// replaced and not followed.
fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = file.with_extension("conf.isobox");
    let _ = fs::remove_file(&beside);
    let mut new = fs::File::options()
        .write(true)
        .create_new(true)
        .open(&beside)?;
    new.write_all(bytes)?;
    fs::rename(&beside, file).inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })
}
