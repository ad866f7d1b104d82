//! What `ip` shows, as text or as JSON: one call names both, so that the two cannot differ.
//!
//! A frame is the text with `{}` where the value goes. JSON is laid out as ip(8) does it, byte for byte: programs read
//! it, and people compare it.

use isobox::json::quote;

/// How to show.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Style {
    /// JSON (`-j`).
    pub(super) json: bool,
    /// JSON over several lines (`-p`).
    pub(super) pretty: bool,
    /// Each record on one line (`-o`).
    pub(super) oneline: bool,
    /// Colours (`-c`), and whether for a dark background.
    pub(super) colors: Option<Background>,
}

/// What the colours have to be seen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Background {
    Light,
    Dark,
}

/// What is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Color {
    Name,
    Mac,
    Inet,
    Inet6,
    Up,
    Down,
    None,
}

/// A text being made.
pub(super) struct Out {
    style: Style,
    text: String,
    /// JSON: the separator that the next value needs, and how deep we are.
    separator: Option<char>,
    depth: usize,
}

impl Out {
    /// Nothing yet; JSON begins with the list of records.
    pub(super) fn new(style: Style) -> Self {
        let mut out = Self {
            style,
            text: String::new(),
            separator: None,
            depth: 0,
        };
        out.open_array("");
        out
    }

    /// All of it.
    pub(super) fn finish(mut self) -> String {
        self.close_array();
        if self.style.json {
            self.text.push('\n');
        }
        self.text
    }

    /// Whether this is JSON.
    pub(super) fn is_json(&self) -> bool {
        self.style.json
    }

    /// Text for people only.
    pub(super) fn text(&mut self, text: &str) {
        if !self.style.json {
            self.text.push_str(text);
        }
    }

    /// The end of a line within a record: `\` where a record is one line.
    pub(super) fn line(&mut self) {
        self.text(if self.style.oneline { "\\" } else { "\n" });
    }

    /// A text value.
    pub(super) fn string(&mut self, key: &str, frame: &str, value: &str) {
        self.colored(Color::None, key, frame, value);
    }

    /// A text value in colour.
    pub(super) fn colored(&mut self, color: Color, key: &str, frame: &str, value: &str) {
        if self.style.json {
            self.value(key, &quote(value));
            return;
        }
        let (on, off) = self.codes(color);
        self.text.push_str(on);
        self.fill(frame, value);
        self.text.push_str(off);
    }

    /// A number.
    pub(super) fn number(&mut self, key: &str, frame: &str, value: u64) {
        self.bare(key, frame, &value.to_string());
    }

    /// A number that may be negative.
    pub(super) fn signed(&mut self, key: &str, frame: &str, value: i64) {
        self.bare(key, frame, &value.to_string());
    }

    /// A value that JSON has without quotes.
    pub(super) fn bare(&mut self, key: &str, frame: &str, value: &str) {
        if self.style.json {
            self.value(key, value);
        } else {
            self.fill(frame, value);
        }
    }

    /// A truth: JSON has the value, text the words.
    pub(super) fn truth(&mut self, key: &str, words: &str, value: bool) {
        self.bare(key, words, if value { "true" } else { "false" });
    }

    /// A flag that is only told where it is set; JSON has `null` for its value.
    pub(super) fn set(&mut self, key: &str, words: &str) {
        self.bare(key, words, "null");
    }

    /// `on` or `off`, a truth in JSON.
    pub(super) fn on_off(&mut self, key: &str, frame: &str, value: bool) {
        if self.style.json {
            self.truth(key, "", value);
        } else {
            self.fill(frame, if value { "on" } else { "off" });
        }
    }

    /// A text value for programs only.
    pub(super) fn json_string(&mut self, key: &str, value: &str) {
        if self.style.json {
            self.value(key, &quote(value));
        }
    }

    /// A value without quotes for programs only.
    pub(super) fn json_bare(&mut self, key: &str, value: &str) {
        if self.style.json {
            self.value(key, value);
        }
    }

    /// Begins an object; without a key it is a member of a list.
    pub(super) fn open_object(&mut self, key: &str) {
        self.begin(key, '{');
    }

    /// Ends an object.
    pub(super) fn close_object(&mut self) {
        if self.style.json {
            self.end('}');
        }
    }

    /// Begins a list.
    pub(super) fn open_array(&mut self, key: &str) {
        self.begin(key, '[');
        if self.style.json && self.style.pretty {
            self.text.push(' ');
        }
    }

    /// Ends a list.
    pub(super) fn close_array(&mut self) {
        if !self.style.json {
            return;
        }
        if self.style.pretty && self.separator.is_some() {
            self.text.push(' ');
        }
        self.separator = None;
        self.end(']');
    }

    fn begin(&mut self, key: &str, bracket: char) {
        if !self.style.json {
            return;
        }
        self.name(key);
        self.separate();
        self.text.push(bracket);
        self.depth += 1;
        self.separator = None;
    }

    fn end(&mut self, bracket: char) {
        self.depth = self.depth.saturating_sub(1);
        if self.separator.is_some() {
            self.newline();
        }
        self.text.push(bracket);
        self.separator = Some(',');
    }

    fn value(&mut self, key: &str, value: &str) {
        self.name(key);
        self.separate();
        self.text.push_str(value);
    }

    fn name(&mut self, key: &str) {
        if key.is_empty() {
            return;
        }
        self.separate();
        self.newline();
        self.separator = None;
        self.text.push_str(&quote(key));
        self.text
            .push_str(if self.style.pretty { ": " } else { ":" });
    }

    fn separate(&mut self) {
        self.text.extend(self.separator);
        self.separator = Some(',');
    }

    fn newline(&mut self) {
        if self.style.pretty {
            self.text.push('\n');
            self.text.extend(std::iter::repeat_n("    ", self.depth));
        }
    }

    fn fill(&mut self, frame: &str, value: &str) {
        match frame.split_once("{}") {
            Some((before, after)) => self.text.extend([before, value, after]),
            None => self.text.push_str(frame),
        }
    }

    /// The escape codes around a coloured value.
    fn codes(&self, color: Color) -> (&'static str, &'static str) {
        const CODES: [[&str; 6]; 2] = [
            [
                "\x1b[36m", "\x1b[33m", "\x1b[35m", "\x1b[34m", "\x1b[32m", "\x1b[31m",
            ],
            [
                "\x1b[1;36m",
                "\x1b[1;33m",
                "\x1b[1;35m",
                "\x1b[1;34m",
                "\x1b[1;32m",
                "\x1b[1;31m",
            ],
        ];
        let row = match self.style.colors {
            None => return ("", ""),
            Some(Background::Light) => &CODES[0],
            Some(Background::Dark) => &CODES[1],
        };
        row.get(color as usize)
            .map_or(("", ""), |code| (*code, "\x1b[0m"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(style: Style) -> String {
        let mut out = Out::new(style);
        for name in ["lo", "a\"b"] {
            out.open_object("");
            out.number("ifindex", "{}: ", 1);
            out.colored(Color::Name, "ifname", "{}: ", name);
            out.open_array("flags");
            out.string("", "<{}", "UP");
            out.string("", ",{}> ", "LOOPBACK");
            out.close_array();
            out.open_array("none");
            out.close_array();
            out.line();
            out.text("end\n");
            out.close_object();
        }
        out.finish()
    }

    #[test]
    fn one_record_many_styles() {
        let json = Style {
            json: true,
            ..Style::default()
        };
        let pretty = Style {
            pretty: true,
            ..json
        };
        let cases = [
            (
                Style::default(),
                "1: lo: <UP,LOOPBACK> \nend\n1: a\"b: <UP,LOOPBACK> \nend\n",
            ),
            (
                Style {
                    oneline: true,
                    colors: Some(Background::Light),
                    ..Style::default()
                },
                "1: \x1b[36mlo: \x1b[0m<UP,LOOPBACK> \\end\n1: \x1b[36ma\"b: \x1b[0m<UP,LOOPBACK> \\end\n",
            ),
            (
                json,
                "[{\"ifindex\":1,\"ifname\":\"lo\",\"flags\":[\"UP\",\"LOOPBACK\"],\"none\":[]},\
                 {\"ifindex\":1,\"ifname\":\"a\\\"b\",\"flags\":[\"UP\",\"LOOPBACK\"],\"none\":[]}]\n",
            ),
            (
                pretty,
                "[ {\n        \"ifindex\": 1,\n        \"ifname\": \"lo\",\n        \"flags\": [ \"UP\",\"LOOPBACK\" ],\n        \"none\": [ ]\n    },{\n        \
                 \"ifindex\": 1,\n        \"ifname\": \"a\\\"b\",\n        \"flags\": [ \"UP\",\"LOOPBACK\" ],\n        \"none\": [ ]\n    } ]\n",
            ),
        ];
        for (style, want) in cases {
            assert_eq!(record(style), want);
        }
    }
}
