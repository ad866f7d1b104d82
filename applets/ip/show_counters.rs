//! The counters of links (`-s`).

use isobox::net::attributes::Attributes;
use isobox::net::number::ifla;

use super::Show;

impl Show<'_> {
    /// The counters of a link.
    pub(super) fn statistics(&mut self, all: Attributes<'_>) {
        let Some(bytes) = all.get(ifla::STATS64) else {
            return;
        };
        let counters = Counters {
            bytes,
            carrier_changes: all.u32(CARRIER_CHANGES).unwrap_or(0),
        };
        if self.out.is_json() {
            return self.statistics_json(&counters);
        }
        let shown = |side: &'static Side| {
            let rows = [Some(&side.row[..]), Some(&side.errors[..])];
            rows.into_iter()
                .flatten()
                .take(self.options.statistics.min(2) as usize)
        };
        let mut widths = WIDTHS;
        for row in SIDES.iter().flat_map(shown) {
            for ((_, _, index), width) in row.iter().zip(&mut widths) {
                *width = (*width).max(counters.at(*index).to_string().len());
            }
        }
        let more = self.options.statistics > 1;
        for (at, side) in SIDES.iter().enumerate() {
            if at > 0 {
                self.out.line();
            }
            let word = side.word;
            self.counters(&format!("    {word}:"), 4, &side.row, widths, &counters);
            if more {
                self.out.line();
                self.counters(
                    &format!("    {word} errors:"),
                    10,
                    &side.errors,
                    widths,
                    &counters,
                );
            }
        }
    }

    /// One row of counters below its titles; `taken` is how much of the first column the heading takes.
    fn counters(
        &mut self,
        heading: &str,
        taken: usize,
        row: &[Counter],
        widths: [usize; 6],
        counters: &Counters<'_>,
    ) {
        let (mut head, mut line) = (heading.to_owned(), String::from("    "));
        for (at, ((title, _, index), width)) in row.iter().zip(widths).enumerate() {
            let room = if at == 0 { width - taken } else { width };
            let gap = if title.is_empty() { "" } else { " " };
            head.push_str(&format!("{gap}{title:>room$}"));
            match index {
                Of::Nothing => line.push_str(&format!("{:>width$} ", "")),
                index => line.push_str(&format!("{:>width$} ", counters.at(*index))),
            }
        }
        // The place of a column for compressed packets, which no link has had for decades.
        if taken == 4 {
            head.push_str("           ");
        }
        self.out.text(&head);
        self.out.line();
        self.out.text(&line);
    }

    fn statistics_json(&mut self, counters: &Counters<'_>) {
        self.out.open_object("stats64");
        for side in &SIDES {
            self.out.open_object(side.key);
            let errors = side.errors.iter().filter(|_| self.options.statistics > 1);
            let mut told: Vec<(&str, u64)> = Vec::new();
            for (_, key, index) in side.row.iter().chain(errors) {
                // ip(8) shows these two the other way round in JSON.
                let index = match *key {
                    "over_errors" => Of::Counter(11),
                    "missed_errors" => Of::Counter(15),
                    _ => *index,
                };
                if !key.is_empty() {
                    told.push((key, counters.at(index)));
                }
            }
            for (key, value) in told {
                self.out.number(key, "", value);
            }
            self.out.close_object();
        }
        self.out.close_object();
    }
}

/// `IFLA_CARRIER_CHANGES`.
const CARRIER_CHANGES: u16 = 35;

/// Where a counter stands.
#[derive(Clone, Copy)]
enum Of {
    /// A place in `struct rtnl_link_stats64`.
    Counter(usize),
    /// How often the carrier came and went.
    Changes,
    /// An empty column.
    Nothing,
}

/// A counter's title, its key in JSON, and its place.
type Counter = (&'static str, &'static str, Of);

/// What was received, or what was sent.
struct Side {
    word: &'static str,
    key: &'static str,
    row: [Counter; 6],
    errors: [Counter; 6],
}

/// The least widths of the columns.
const WIDTHS: [usize; 6] = [10, 7, 6, 7, 7, 7];

#[rustfmt::skip]
const SIDES: [Side; 2] = [
    Side {
        word: "RX", key: "rx",
        row: [
            ("bytes", "bytes", Of::Counter(2)), ("packets", "packets", Of::Counter(0)), ("errors", "errors", Of::Counter(4)),
            ("dropped", "dropped", Of::Counter(6)), ("missed", "over_errors", Of::Counter(15)), ("mcast", "multicast", Of::Counter(8)),
        ],
        errors: [
            ("", "", Of::Nothing), ("length", "length_errors", Of::Counter(10)), ("crc", "crc_errors", Of::Counter(12)),
            ("frame", "frame_errors", Of::Counter(13)), ("fifo", "fifo_errors", Of::Counter(14)), ("overrun", "missed_errors", Of::Counter(11)),
        ],
    },
    Side {
        word: "TX", key: "tx",
        row: [
            ("bytes", "bytes", Of::Counter(3)), ("packets", "packets", Of::Counter(1)), ("errors", "errors", Of::Counter(5)),
            ("dropped", "dropped", Of::Counter(7)), ("carrier", "carrier_errors", Of::Counter(17)), ("collsns", "collisions", Of::Counter(9)),
        ],
        errors: [
            ("", "", Of::Nothing), ("aborted", "aborted_errors", Of::Counter(16)), ("fifo", "fifo_errors", Of::Counter(18)),
            ("window", "window_errors", Of::Counter(20)), ("heartbt", "heartbeat_errors", Of::Counter(19)), ("transns", "carrier_changes", Of::Changes),
        ],
    },
];

/// The counters of one link (`struct rtnl_link_stats64`).
struct Counters<'a> {
    bytes: &'a [u8],
    carrier_changes: u32,
}

impl Counters<'_> {
    fn at(&self, index: Of) -> u64 {
        match index {
            Of::Counter(index) => {
                let part = self
                    .bytes
                    .get(index * 8..)
                    .and_then(|rest| rest.first_chunk());
                part.map_or(0, |part| u64::from_ne_bytes(*part))
            }
            Of::Changes => self.carrier_changes.into(),
            Of::Nothing => 0,
        }
    }
}
