//! How a pull goes on, for people and for programs, on standard error: a line that changes where there is a terminal,
//! lines that stay where there is none, JSON objects where a program reads along.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use isobox::image::observer::{Event, Observer};
use isobox::image::{Descriptor, Digest, Image};
use isobox::json;

use super::say;

/// How often the changing line changes.
const TICK: Duration = Duration::from_millis(100);
/// The places of the bar.
const BAR: u64 = 24;

/// How much is told, and in what form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// A changing line on a terminal, else `Plain`.
    Auto,
    /// One line for each thing that happens.
    Plain,
    /// One JSON object for each.
    Json,
    /// Remarks only.
    None,
    /// Nothing.
    Quiet,
}

impl argh::FromArgValue for Style {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        match value {
            "auto" => Ok(Self::Auto),
            "plain" => Ok(Self::Plain),
            "json" => Ok(Self::Json),
            "none" => Ok(Self::None),
            other => Err(format!("'{other}' is not auto, plain, json or none")),
        }
    }
}

/// Tells how it goes on.
pub(crate) struct Progress {
    style: Style,
    /// Whether there is a line to change.
    live: bool,
    applet: &'static str,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The number of each layer, counted from 1, and how many bytes of it are there.
    layers: BTreeMap<Digest, (usize, u64)>,
    count: usize,
    done: usize,
    /// Bytes of all layers, and those that are there.
    total: u64,
    came: u64,
    /// Bytes that came over the network since the start.
    fresh: u64,
    begun: Option<Instant>,
    drawn: Option<Instant>,
    shown: bool,
}

impl Progress {
    /// For this applet. On a terminal that knows no escape codes (`TERM=dumb`) lines stay.
    pub(crate) fn new(applet: &'static str, style: Style, term: Option<&str>) -> Self {
        let capable = stderr().is_terminal() && term.is_some_and(|term| term != "dumb");
        let style = match style {
            Style::Auto if capable => Style::Auto,
            Style::Auto => Style::Plain,
            other => other,
        };
        Self {
            style,
            live: style == Style::Auto,
            applet,
            state: Mutex::default(),
        }
    }

    /// What is going to be fetched.
    pub(crate) fn begin(&self, image: &Image, name: &str) {
        let mut state = self.lock();
        state.begun = Some(Instant::now());
        state.count = image.manifest.layers.len();
        for (at, layer) in image.manifest.layers.iter().enumerate() {
            if state.layers.insert(layer.digest, (at + 1, 0)).is_none() {
                state.total += layer.size;
            }
        }
        let (digest, platform) = (image.descriptor.digest, image.config.platform());
        let (count, total) = (state.count, state.total);
        match self.style {
            Style::Json => self.object(&[
                ("event", json::quote("image")),
                ("name", json::quote(name)),
                ("digest", json::quote(&digest.to_string())),
                ("platform", json::quote(&platform.to_string())),
                ("layers", count.to_string()),
                ("bytes", total.to_string()),
            ]),
            Style::Auto | Style::Plain => self.line(&format!(
                "{name}, {platform}, {count} layers, {}",
                size(total)
            )),
            Style::None | Style::Quiet => {}
        }
    }

    /// All is done: how the image is called for good.
    pub(crate) fn end(&self, name: &str) {
        let mut state = self.lock();
        self.wipe(&mut state);
        match self.style {
            Style::Json => self.object(&[
                ("event", json::quote("done")),
                ("name", json::quote(name)),
                ("fetched", state.fresh.to_string()),
            ]),
            Style::Auto | Style::Plain => self.line(name),
            Style::None | Style::Quiet => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, text: &str) {
        let text = isobox::error::printable(text.as_ref());
        say(&format!("{}: {text}\n", self.applet));
    }

    fn object(&self, fields: &[(&str, String)]) {
        let fields: Vec<String> = fields
            .iter()
            .map(|(key, value)| format!("\"{key}\":{value}"))
            .collect();
        say(&format!("{{{}}}\n", fields.join(",")));
    }

    /// Takes the changing line away, so that another can stand there.
    fn wipe(&self, state: &mut State) {
        if std::mem::take(&mut state.shown) {
            say("\r\x1b[K");
        }
    }

    fn draw(&self, state: &mut State) {
        let now = Instant::now();
        let recent = state
            .drawn
            .is_some_and(|drawn| now.duration_since(drawn) < TICK);
        if !self.live || recent {
            return;
        }
        state.drawn = Some(now);
        state.shown = true;
        say(&format!("\r{}\x1b[K", state.bar(now)));
    }

    fn layer(&self, descriptor: &Descriptor, number: usize, count: usize, event: Event) {
        let what = match event {
            Event::Cached => "cached",
            Event::Begun(0) => "begun",
            Event::Begun(_) => "resumed",
            Event::Came(_) => return,
            Event::Done => "done",
        };
        let digest = descriptor.digest;
        match (self.style, event) {
            (Style::Json, _) => self.object(&[
                ("event", json::quote(what)),
                ("layer", number.to_string()),
                ("digest", json::quote(&digest.to_string())),
                ("size", descriptor.size.to_string()),
            ]),
            (Style::Plain, Event::Cached) => self.line(&format!(
                "layer {number}/{count} {digest} ({} bytes), cached",
                descriptor.size
            )),
            (Style::Plain, Event::Begun(from)) if from > 0 => {
                self.line(&format!(
                    "layer {number}/{count} {digest} ({} bytes), from byte {from} on",
                    descriptor.size
                ));
            }
            (Style::Plain, Event::Begun(_)) => self.line(&format!(
                "layer {number}/{count} {digest} ({} bytes)",
                descriptor.size
            )),
            _ => {}
        }
    }
}

impl State {
    /// The changing line.
    fn bar(&self, now: Instant) -> String {
        let total = self.total.max(1);
        let came = self.came.min(total);
        let full = BAR * came / total;
        let bar: String = (0..BAR)
            .map(|at| if at < full { '=' } else { ' ' })
            .collect();
        let seconds = self
            .begun
            .map_or(0.0, |begun| now.duration_since(begun).as_secs_f64());
        let rate = match seconds {
            seconds if seconds > 0.5 => format!("  {}/s", size(rate(self.fresh, seconds))),
            _ => String::new(),
        };
        format!(
            "{}/{} layers  [{bar}] {:>3}%  {} of {}{rate}",
            self.done,
            self.count,
            came * 100 / total,
            size(came),
            size(self.total)
        )
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people to read"
)]
fn rate(bytes: u64, seconds: f64) -> u64 {
    (bytes as f64 / seconds) as u64
}

/// A number of bytes for people: three digits and a unit of 1000.
pub(crate) fn size(bytes: u64) -> String {
    let mut rest = bytes;
    let mut below = 0;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if rest < 1000 || unit == "TB" {
            return match unit {
                "B" => format!("{rest} B"),
                _ if rest < 100 => format!("{rest}.{} {unit}", below / 100),
                _ => format!("{rest} {unit}"),
            };
        }
        below = rest % 1000;
        rest /= 1000;
    }
    String::new()
}

impl Observer for Progress {
    fn note(&self, text: &str) {
        let mut state = self.lock();
        self.wipe(&mut state);
        match self.style {
            Style::Json => {
                self.object(&[("event", json::quote("note")), ("text", json::quote(text))]);
            }
            Style::Auto | Style::Plain | Style::None => self.line(text),
            Style::Quiet => {}
        }
    }

    fn blob(&self, descriptor: &Descriptor, event: Event) {
        if matches!(self.style, Style::None | Style::Quiet) {
            return;
        }
        let mut state = self.lock();
        let count = state.count;
        let Some((number, there)) = state.layers.get_mut(&descriptor.digest) else {
            return;
        };
        let (number, before) = (*number, *there);
        let now = match event {
            Event::Cached | Event::Done => descriptor.size,
            Event::Begun(from) => from,
            Event::Came(more) => before + more,
        };
        *there = now;
        state.came = (state.came + now).saturating_sub(before);
        match event {
            Event::Came(more) => state.fresh += more,
            Event::Cached | Event::Done => {
                state.done += 1;
                state.drawn = None;
            }
            Event::Begun(_) => {}
        }
        self.layer(descriptor, number, count, event);
        self.draw(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (12_345, "12.3 kB"),
            (999_999, "999 kB"),
            (7_654_321, "7.6 MB"),
            (123_456_789_000, "123 GB"),
        ];
        for (bytes, want) in cases {
            assert_eq!(size(bytes), want);
        }
    }

    #[test]
    fn the_line_says_how_far_it_is() {
        let state = State {
            count: 5,
            done: 2,
            total: 200,
            came: 100,
            ..State::default()
        };
        assert_eq!(
            state.bar(Instant::now()),
            "2/5 layers  [============            ]  50%  100 B of 200 B"
        );
        assert_eq!(
            State::default().bar(Instant::now()),
            "0/0 layers  [                        ]   0%  0 B of 0 B"
        );
    }
}
