//! container ps, top, port: which containers there are, and what is in them.

use std::net::SocketAddr;
use std::time::SystemTime;

use argh::{ArgsInfo, FromArgs};
use isobox::error::{Error, Result};
use isobox::oci::home::Home;
use isobox::oci::status::Status;
use isobox::order;

use super::inspect::{in_columns, labels, print};
use super::kept::{Now, Shelf, at, date, short, shown};
use super::network::{Publish, said};
use crate::cli::raw::Raw;
use crate::cli::{Exit, help};

/// list containers that are kept
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "ps", example = "container ps -a")]
pub(super) struct Ps {
    /// also those that do not run
    #[argh(switch, short = 'a')]
    all: bool,
    /// ids alone
    #[argh(switch, short = 'q')]
    quiet: bool,
    /// the one that was made last
    #[argh(switch, short = 'l')]
    latest: bool,
    /// only those of which this is so: id=, name=, status=, label=NAME[=VALUE], exited=STATUS
    #[argh(option, arg_name = "what=value")]
    filter: Vec<String>,
    /// json, or a text with fields in it: {.Names}
    #[argh(option, arg_name = "format")]
    format: Option<String>,
    /// whole ids and commands
    #[argh(switch)]
    no_trunc: bool,
}

/// list the processes of a container, as ps shows them
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "top")]
pub(super) struct Top {
    /// the container, and options of ps (-ef)
    #[argh(positional, greedy)]
    container: Vec<Raw>,
}

/// list the ports that lead to a container
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "port", example = "container port web 80/tcp")]
pub(super) struct Port {
    /// the container
    #[argh(positional)]
    container: Raw,
    /// the port inside that is meant, without it all
    #[argh(positional, arg_name = "port[/udp]")]
    port: Option<String>,
}

/// One line.
struct Row {
    home: Home,
    now: Now,
}

impl Row {
    fn is(&self, filter: &str) -> Result<bool> {
        let bad = || {
            Error::new("unknown filter")
                .on(filter)
                .because("id=, name=, status=, label= and exited= are those there are")
        };
        let (what, value) = filter.split_once('=').ok_or_else(bad)?;
        Ok(match what {
            "id" => self.home.id().as_str().starts_with(value),
            "name" => shown(&self.home).contains(value),
            "status" => self.now.word() == value,
            "exited" => matches!(self.now, Now::Exited(status) if status.to_string() == value),
            "label" => {
                let (name, wanted) = match value.split_once('=') {
                    Some((name, wanted)) => (name, Some(wanted)),
                    None => (value, None),
                };
                let fits =
                    |(key, is): (&str, &str)| key == name && wanted.is_none_or(|one| one == is);
                labels(&self.home).any(fits)
            }
            _ => return Err(bad()),
        })
    }

    fn since(&self) -> String {
        let end = self.home.end();
        let ago = |key: &str| end.value(key).map_or_else(String::new, |text| ago(text));
        match self.now {
            Now::Created => "Created".into(),
            Now::Live(Status::Paused, _) => format!("Up {} (Paused)", ago("started")),
            Now::Live(..) => format!("Up {}", ago("started")),
            Now::Exited(status) => {
                let when = ago("finished");
                let when = if when.is_empty() {
                    when
                } else {
                    format!(" {when} ago")
                };
                format!("Exited ({status}){when}")
            }
        }
    }

    fn fields(&self, whole: bool) -> Vec<(&'static str, String)> {
        let home = &self.home;
        let id = if whole {
            home.id().as_str()
        } else {
            short(home)
        };
        let mut command = home.fact("command").to_owned();
        if !whole && command.chars().count() > 20 {
            command = command.chars().take(19).chain(['…']).collect();
        }
        let marks: Vec<String> = labels(home)
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let created = home.fact("created").to_owned();
        vec![
            ("ID", id.into()),
            ("Image", home.fact("image").into()),
            ("Command", format!("\"{command}\"")),
            ("RunningFor", format!("{} ago", ago(&created))),
            ("Status", self.since()),
            (
                "Ports",
                home.fact("publish").lines().collect::<Vec<_>>().join(", "),
            ),
            ("Names", shown(home).into()),
            ("State", self.now.word().into()),
            ("CreatedAt", date(Some(&created))),
            ("Labels", marks.join(",")),
        ]
    }
}

/// How long ago, as docker words it.
fn ago(nanoseconds: &str) -> String {
    let then = at(nanoseconds).unwrap_or_else(SystemTime::now);
    let seconds = then.elapsed().unwrap_or_default().as_secs();
    let (count, unit) = match seconds {
        0 => return "Less than a second".into(),
        1..60 => (seconds, "second"),
        60..120 => return "About a minute".into(),
        120..3600 => (seconds / 60, "minute"),
        3600..7200 => return "About an hour".into(),
        7200..172_800 => (seconds / 3600, "hour"),
        172_800..1_209_600 => (seconds / 86_400, "day"),
        _ => (seconds / 604_800, "week"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

impl Ps {
    pub(super) fn run(self) -> Result<Exit> {
        let rows = self.rows()?;
        if self.quiet && in_columns(self.format.as_deref()) {
            let id = |row: &Row| match self.no_trunc {
                true => format!("{}\n", row.home.id()),
                false => format!("{}\n", short(&row.home)),
            };
            return help::print_all(&rows.iter().map(id).collect::<String>());
        }
        let headings = [
            "CONTAINER ID",
            "IMAGE",
            "COMMAND",
            "CREATED",
            "STATUS",
            "PORTS",
            "NAMES",
        ];
        let rows = rows.iter().map(|row| row.fields(self.no_trunc)).collect();
        print("containers", &headings, rows, self.format.as_deref())
    }

    /// Those that are wanted, the youngest first.
    fn rows(&self) -> Result<Vec<Row>> {
        let shelf = Shelf::ours();
        let mut rows = Vec::new();
        let asks = |what: &str| self.filter.iter().any(|filter| filter.starts_with(what));
        let all = self.all || self.latest || asks("status=") || asks("exited=");
        'homes: for home in shelf.homes.all()? {
            // One that goes at this moment is not listed.
            let Ok(now) = shelf.now(&home) else { continue };
            if !all && !matches!(now, Now::Live(..)) {
                continue;
            }
            let row = Row { home, now };
            for filter in &self.filter {
                if !row.is(filter)? {
                    continue 'homes;
                }
            }
            rows.push(row);
        }
        order::sort_by_key(&mut rows, |row| {
            std::cmp::Reverse(at(row.home.fact("created")))
        });
        if self.latest {
            rows.truncate(1);
        }
        Ok(rows)
    }
}

impl Top {
    pub(super) fn run(self) -> Result<Exit> {
        let mut words = self.container.into_iter();
        let none = || Error::new("no container given").status(125);
        let word = words.next().ok_or_else(none)?;
        let shelf = Shelf::ours();
        let live = shelf.running(&shelf.find(&word)?)?;
        let pids: Vec<i32> = live.processes()?.iter().map(|pid| pid.as_raw()).collect();
        let options: Vec<String> = words
            .map(|Raw(word)| word.to_string_lossy().into_owned())
            .collect();
        help::print_all(&crate::cli::processes::table(&pids, options)?)
    }
}

impl Port {
    pub(super) fn run(self) -> Result<Exit> {
        let home = Shelf::ours().find(&self.container)?;
        let published: Vec<Publish> = said(&home.facts, "publish")?;
        let mut out = String::new();
        for port in published.iter().flat_map(|one| &one.0) {
            let inside = format!("{}/{}", port.there, port.protocol.name());
            let here = match port.at {
                None => format!("0.0.0.0:{}", port.here),
                Some(at) => SocketAddr::new(at, port.here).to_string(),
            };
            match &self.port {
                None => out.push_str(&format!("{inside} -> {here}\n")),
                Some(asked) if is_port(asked, &inside) => out.push_str(&format!("{here}\n")),
                Some(_) => {}
            }
        }
        match self.port.filter(|_| out.is_empty()) {
            Some(asked) => Err(Error::new("nothing leads to port").on(asked)),
            None => help::print_all(&out),
        }
    }
}

/// Whether this port is asked for: one alone is TCP's.
fn is_port(asked: &str, port: &str) -> bool {
    port == asked || port.strip_suffix("/tcp") == Some(asked)
}
