//! A list laid out in columns for people: widths, trees, cells of several lines, what is cut off.

use super::screen::{Charset, char_width, safe, width_of};
use super::table::{Fit, Table};

/// A list laid out: every cell as it will stand there, and the width of every column.
pub(super) struct Layout<'a> {
    table: &'a Table,
    widths: Vec<usize>,
    charset: Charset,
}

impl<'a> Layout<'a> {
    pub(super) fn new(table: &'a Table, window: Option<usize>, charset: Charset) -> Self {
        let mut layout = Self {
            table,
            widths: Vec::new(),
            charset,
        };
        for (at, column) in table.columns.iter().enumerate() {
            let cells = (0..table.rows.len()).flat_map(|place| layout.cell(place, at));
            let widest = cells.map(|line| width_of(&line)).max().unwrap_or(0);
            let least = column.name.len().max(1);
            layout.widths.push(match column.width {
                _ if widest < least => least,
                wanted if widest < wanted && least < wanted => wanted,
                _ => widest,
            });
        }
        if let Some(window) = window {
            layout.narrow(window);
        }
        layout
    }

    /// Takes from the columns that may be cut, one place each in turn, until the whole fits.
    fn narrow(&mut self, window: usize) {
        let gaps = self.widths.len().saturating_sub(1);
        let mut whole = self.widths.iter().sum::<usize>() + gaps;
        loop {
            let before = whole;
            for (column, width) in self.table.columns.iter().zip(&mut self.widths) {
                let may = matches!(column.fit, Fit::Cut | Fit::CutTree);
                if may && whole > window && *width != column.name.len().max(1) {
                    *width -= 1;
                    whole -= 1;
                }
            }
            if whole <= window || whole == before {
                return;
            }
        }
    }

    /// The lines of a cell.
    fn cell(&self, place: usize, column: usize) -> Vec<String> {
        let row = &self.table.rows[place];
        let fit = self.table.columns[column].fit;
        let bytes = row.cells.get(column).map_or(&b""[..], Vec::as_slice);
        if fit == Fit::Lines {
            let lines = bytes.split(|b| *b == b'\n');
            return lines.map(|line| safe(line, self.charset)).collect();
        }
        let text = safe(bytes, self.charset);
        if fit.is_tree() {
            return vec![self.table.branch(place, self.charset) + &text];
        }
        vec![text]
    }

    pub(super) fn heading(&self, out: &mut Vec<u8>) {
        let names = self.table.columns.iter();
        let names: Vec<String> = names.map(|column| column.name.to_owned()).collect();
        self.line(out, &names);
    }

    /// A row: its first line, then as many as its longest cell has more.
    pub(super) fn row(&self, out: &mut Vec<u8>, place: usize) {
        let cells: Vec<Vec<String>> = (0..self.widths.len())
            .map(|column| self.cell(place, column))
            .collect();
        let lines = cells.iter().map(Vec::len).max().unwrap_or(1);
        for line in 0..lines {
            let words: Vec<String> = cells
                .iter()
                .enumerate()
                .map(|(column, cell)| match cell.get(line) {
                    Some(text) => text.clone(),
                    None if self.table.columns[column].fit.is_tree() => self.passing(place),
                    None => String::new(),
                })
                .collect();
            self.line(out, &words);
        }
    }

    /// What of the tree passes a further line of a row.
    fn passing(&self, place: usize) -> String {
        let mut line = self.table.verticals(place, self.charset);
        if !self.table.rows[place].children.is_empty() {
            line.push_str(self.charset.tree()[1]);
        }
        line
    }

    fn line(&self, out: &mut Vec<u8>, words: &[String]) {
        let last = words.len().saturating_sub(1);
        for (at, ((word, column), width)) in words
            .iter()
            .zip(&self.table.columns)
            .zip(&self.widths)
            .enumerate()
        {
            let mut word = word.as_str();
            if matches!(column.fit, Fit::Cut | Fit::CutTree) {
                word = cut(word, *width);
            }
            let padding = " ".repeat(width.saturating_sub(width_of(word)));
            // An empty cell at the right edge stays empty.
            let right = column.fit == Fit::Right && !word.is_empty();
            if right {
                out.extend(padding.as_bytes());
            }
            out.extend(word.as_bytes());
            if at < last {
                if !right {
                    out.extend(padding.as_bytes());
                }
                out.push(b' ');
            }
        }
        out.push(b'\n');
    }
}

/// As much of a text as fits into a width.
fn cut(text: &str, width: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += char_width(c);
        if used > width {
            return &text[..at];
        }
    }
    text
}
