//! Lists in columns, as libsmartcols(3) lays them out: for people, raw for scripts, JSON for programs; with
//! trees, and cells of several lines. Nothing is coloured, so `NO_COLOR` has nothing to switch off.

use std::env;
use std::io::{IsTerminal, Write, stdout};

use isobox::error::{Doing, Error, Result};
use isobox::json;

use super::Exit;
use super::layout::Layout;
use super::screen::{Charset, window_width};

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// Its heading; in JSON, in lower case, its key.
    pub(crate) name: &'static str,
    /// What it tells, for a list of columns.
    pub(crate) help: &'static str,
    /// A width that it is given if it would be narrower and its heading does not say otherwise.
    pub(crate) width: usize,
    /// Whether it is a number in JSON.
    pub(crate) number: bool,
    /// How a cell is placed.
    pub(crate) fit: Fit,
}

/// How cells fit into a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// From the left, as wide as need be.
    Left,
    /// From the right.
    Right,
    /// From the left, and cut off where the terminal is too narrow.
    Cut,
    /// From the left; newlines in a cell make lines.
    Lines,
    /// Like `Left`, with the lines of a tree before it.
    Tree,
    /// Like `Cut`, with the lines of a tree before it.
    CutTree,
}

impl Fit {
    pub(super) fn is_tree(self) -> bool {
        matches!(self, Self::Tree | Self::CutTree)
    }
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// In columns, for people.
    Columns,
    /// Cells with one blank between them and none inside them.
    Raw,
    /// As an object with an array of objects.
    Json,
}

/// A list.
#[derive(Debug)]
pub(crate) struct Table {
    /// The name of the array in JSON.
    pub(crate) name: &'static str,
    /// Its columns.
    pub(crate) columns: Vec<Column>,
    /// Its format.
    pub(crate) format: Format,
    /// Whether the headings are printed.
    pub(crate) headings: bool,
    pub(super) rows: Vec<Row>,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) cells: Vec<Vec<u8>>,
    pub(super) parent: Option<usize>,
    pub(super) children: Vec<usize>,
}

/// Columns chosen by the user: `NAME,NAME` instead of those there are, `+NAME` in addition.
///
/// # Errors
/// For a name that no column has.
pub(crate) fn choose(list: &str, all: &[Column], chosen: &mut Vec<usize>) -> Result<()> {
    let names = match list.strip_prefix('+') {
        Some(more) => more,
        None => {
            chosen.clear();
            list
        }
    };
    for name in names.split(',') {
        let found = all
            .iter()
            .position(|column| column.name.eq_ignore_ascii_case(name));
        chosen.push(found.ok_or_else(|| {
            let known: Vec<&str> = all.iter().map(|column| column.name).collect();
            Error::new(format!("unknown column: {name}"))
                .hint(format!("there are {}", known.join(" ")))
        })?);
    }
    Ok(())
}

impl Table {
    /// An empty list.
    pub(crate) fn new(name: &'static str, columns: Vec<Column>) -> Self {
        Self {
            name,
            columns,
            format: Format::Columns,
            headings: true,
            rows: Vec::new(),
        }
    }

    /// An empty list of texts.
    #[cfg(feature = "pull")]
    pub(crate) fn of_texts(name: &'static str, names: &[&'static str]) -> Self {
        let column = |name: &&'static str| Column {
            name,
            help: "",
            width: 0,
            number: false,
            fit: Fit::Left,
        };
        Self::new(name, names.iter().map(column).collect())
    }

    /// Adds a row with one cell for each column, below another row where there is a tree, and gives its place.
    pub(crate) fn add(&mut self, parent: Option<usize>, cells: Vec<Vec<u8>>) -> usize {
        let place = self.rows.len();
        if let Some(row) = parent.and_then(|parent| self.rows.get_mut(parent)) {
            row.children.push(place);
        }
        self.rows.push(Row {
            cells,
            parent,
            children: Vec::new(),
        });
        place
    }

    /// Prints it on standard output, as wide as the terminal if it is one.
    ///
    /// # Errors
    /// Of write(2), but for a reader that went away.
    pub(crate) fn print(&self) -> Result<Exit> {
        let window = stdout().is_terminal().then(|| window_width().unwrap_or(80));
        let variable = |name: &str| env::var_os(name);
        let text = self.text(window, Charset::of_environment(variable));
        match stdout().write_all(&text).and_then(|()| stdout().flush()) {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(Exit::OK),
            other => other.doing("write error").map(|()| Exit::OK),
        }
    }

    /// The text: `window` is the width of the terminal where there is one.
    fn text(&self, window: Option<usize>, charset: Charset) -> Vec<u8> {
        let mut out = Vec::with_capacity(4096);
        match self.format {
            Format::Json => self.json(&mut out),
            Format::Raw => self.raw(&mut out, charset),
            Format::Columns => {
                let layout = Layout::new(self, window, charset);
                if self.headings && !self.rows.is_empty() {
                    layout.heading(&mut out);
                }
                for place in self.order() {
                    layout.row(&mut out, place);
                }
            }
        }
        out
    }

    fn has_tree(&self) -> bool {
        self.columns.iter().any(|column| column.fit.is_tree())
    }

    /// The rows in the order in which they are printed: as added, or as a tree.
    fn order(&self) -> Vec<usize> {
        if !self.has_tree() {
            return (0..self.rows.len()).collect();
        }
        let mut order = Vec::with_capacity(self.rows.len());
        let roots = (0..self.rows.len()).rev();
        let mut open: Vec<usize> = roots
            .filter(|place| self.rows[*place].parent.is_none())
            .collect();
        while let Some(place) = open.pop() {
            order.push(place);
            open.extend(self.rows[place].children.iter().rev());
        }
        order
    }

    /// Raw lines, the lines of a tree among them, as libsmartcols has it.
    fn raw(&self, out: &mut Vec<u8>, charset: Charset) {
        if self.headings && !self.rows.is_empty() {
            let names = self.columns.iter();
            let names: Vec<Vec<u8>> = names.map(|column| column.name.into()).collect();
            raw_line(out, &names);
        }
        for place in self.order() {
            let mut cells = self.rows[place].cells.clone();
            for (cell, column) in cells.iter_mut().zip(&self.columns) {
                if column.fit.is_tree() {
                    let art = self.branch(place, charset);
                    cell.splice(0..0, art.into_bytes());
                }
            }
            raw_line(out, &cells);
        }
    }

    /// What of the tree stands before a row: the lines that pass it, and its own branch.
    pub(super) fn branch(&self, place: usize, charset: Charset) -> String {
        let Some(parent) = self.rows[place].parent else {
            return String::new();
        };
        let [branch, _, last] = charset.tree();
        let own = if self.is_last(place) { last } else { branch };
        self.verticals(parent, charset) + own
    }

    /// The lines that pass a row's children on their way to later rows.
    pub(super) fn verticals(&self, place: usize, charset: Charset) -> String {
        let [_, vertical, _] = charset.tree();
        let mut parts = Vec::new();
        let mut place = place;
        while let Some(parent) = self.rows[place].parent {
            parts.push(if self.is_last(place) { "  " } else { vertical });
            place = parent;
        }
        parts.into_iter().rev().collect()
    }

    fn is_last(&self, place: usize) -> bool {
        let parent = self.rows[place].parent;
        parent.is_some_and(|parent| self.rows[parent].children.last() == Some(&place))
    }

    fn json(&self, out: &mut Vec<u8>) {
        out.extend(format!("{{\n   {}: [", json::quote(self.name)).into_bytes());
        let tree = self.has_tree();
        let roots: Vec<usize> = (0..self.rows.len())
            .filter(|place| !tree || self.rows[*place].parent.is_none())
            .collect();
        self.json_rows(out, &roots, 2, tree);
        if roots.is_empty() {
            out.extend(b"\n");
        }
        out.extend(b"\n   ]\n}\n");
    }

    /// Objects side by side, `depth` levels in.
    fn json_rows(&self, out: &mut Vec<u8>, places: &[usize], depth: usize, tree: bool) {
        let indent = "   ".repeat(depth);
        for (at, place) in places.iter().enumerate() {
            let row = &self.rows[*place];
            out.extend(if at == 0 { b"\n".as_slice() } else { b"," });
            if at == 0 {
                out.extend(indent.as_bytes());
            }
            out.push(b'{');
            for (at, (column, cell)) in self.columns.iter().zip(&row.cells).enumerate() {
                let text = String::from_utf8_lossy(cell);
                let value = match &text {
                    text if text.is_empty() => "null".into(),
                    text if column.number => text.to_string(),
                    text => json::quote(text),
                };
                let key = json::quote(&column.name.to_ascii_lowercase());
                let comma = if at == 0 { "" } else { "," };
                out.extend(format!("{comma}\n{indent}   {key}: {value}").into_bytes());
            }
            if tree && !row.children.is_empty() {
                out.extend(format!(",\n{indent}   \"children\": [").into_bytes());
                self.json_rows(out, &row.children, depth + 2, tree);
                out.extend(format!("\n{indent}   ]").into_bytes());
            }
            out.extend(format!("\n{indent}}}").into_bytes());
        }
    }
}

/// A line of cells with one blank between them and none in them.
fn raw_line(out: &mut Vec<u8>, cells: &[Vec<u8>]) {
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        for byte in cell {
            match byte {
                b'\\' => out.extend(b"\\x5c"),
                byte if byte.is_ascii_graphic() => out.push(*byte),
                byte => out.extend(format!("\\x{byte:02x}").into_bytes()),
            }
        }
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &'static str, width: usize, fit: Fit) -> Column {
        Column {
            name,
            help: "",
            width,
            number: fit == Fit::Right,
            fit,
        }
    }

    fn table() -> Table {
        let columns = vec![
            column("NS", 5, Fit::Right),
            column("AT", 0, Fit::Lines),
            column("COMMAND", 0, Fit::CutTree),
        ];
        let mut table = Table::new("things", columns);
        let row = |cells: [&str; 3]| cells.map(|cell| cell.as_bytes().to_vec()).to_vec();
        let first = table.add(None, row(["1", "/a\n/b", "init"]));
        let second = table.add(Some(first), row(["222", "", "a b"]));
        table.add(None, row(["7", "", "other"]));
        table.add(Some(second), row(["3", "", "a\x1b"]));
        table.add(Some(first), row(["4", "/c", "last of all"]));
        table
    }

    #[test]
    fn a_list_is_laid_out() {
        let want = [
            "   NS AT COMMAND",
            "    1 /a init",
            "      /b │ ",
            "  222    ├─a b",
            "    3    │ └─a\\x1b",
            "    4 /c └─last of all",
            "    7    other",
        ];
        let got = table().text(None, Charset::Utf8);
        let got = String::from_utf8(got).unwrap();
        assert_eq!(got.lines().collect::<Vec<_>>(), want);
    }

    #[test]
    fn a_narrow_window_cuts_what_may_be_cut() {
        let got = table().text(Some(17), Charset::Ascii);
        let want = "   NS AT COMMAND\n    1 /a init\n      /b | \n  222    |-a b\n    3    | `-a\\x1\n    4 /c `-last o\n    7    other\n";
        assert_eq!(String::from_utf8(got).unwrap(), want);
        // Never below the heading.
        let least = table().text(Some(1), Charset::Ascii);
        assert!(String::from_utf8(least).unwrap().contains(" `-last \n"));
    }

    #[test]
    fn raw_and_json_are_for_programs() {
        let mut table = table();
        table.format = Format::Raw;
        table.headings = false;
        let raw = String::from_utf8(table.text(None, Charset::Ascii)).unwrap();
        assert_eq!(raw.lines().nth(1), Some("222  |-a\\x20b"));
        table.format = Format::Json;
        let json = String::from_utf8(table.text(None, Charset::Ascii)).unwrap();
        assert!(json.starts_with("{\n   \"things\": [\n      {\n         \"ns\": 1,\n"));
        assert!(json.contains("\"at\": null"));
        assert!(json.contains("\"command\": \"a\\u001b\""));
        assert_eq!(json.matches("children").count(), 2);
        let empty = Table {
            format: Format::Json,
            ..Table::new("none", Vec::new())
        };
        let empty = String::from_utf8(empty.text(None, Charset::Ascii)).unwrap();
        assert_eq!(empty, "{\n   \"none\": [\n\n   ]\n}\n");
    }

    #[test]
    fn columns_are_chosen() {
        let all = [column("NS", 0, Fit::Left), column("PID", 0, Fit::Left)];
        let cases: [(&str, Option<&[usize]>); 5] = [
            ("pid", Some(&[1])),
            ("PID,ns,PID", Some(&[1, 0, 1])),
            ("+pid", Some(&[0, 1])),
            ("NS,BOGUS", None),
            ("", None),
        ];
        for (list, want) in cases {
            let mut chosen = vec![0];
            let got = choose(list, &all, &mut chosen)
                .ok()
                .map(|()| chosen.as_slice());
            assert_eq!(got, want, "{list}");
        }
    }
}
