//! As much of TOML 1.0 as files of settings have: tables, arrays of tables, strings, booleans, integers, lists and
//! inline tables. Dates, floats and the rest are refused by name.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// A table.
pub type Table = BTreeMap<String, Value>;

/// How deep lists and inline tables may be in each other.
const DEPTH: usize = 16;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A string.
    String(String),
    /// A truth value.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A list, or an array of tables.
    List(Vec<Value>),
    /// A table.
    Table(Table),
}

impl Value {
    /// The string that it is.
    ///
    /// # Errors
    /// Where it is something else; likewise for the other three.
    pub fn string(&self) -> Result<&str> {
        match self {
            Self::String(text) => Ok(text),
            _ => Err(Error::new("there should be a string")),
        }
    }

    /// The truth value that it is.
    ///
    /// # Errors
    /// See [`Value::string`].
    pub fn boolean(&self) -> Result<bool> {
        match self {
            Self::Boolean(value) => Ok(*value),
            _ => Err(Error::new("there should be true or false")),
        }
    }

    /// The list that it is.
    ///
    /// # Errors
    /// See [`Value::string`].
    pub fn list(&self) -> Result<&[Value]> {
        match self {
            Self::List(list) => Ok(list),
            _ => Err(Error::new("there should be a list")),
        }
    }

    /// The table that it is.
    ///
    /// # Errors
    /// See [`Value::string`].
    pub fn table(&self) -> Result<&Table> {
        match self {
            Self::Table(table) => Ok(table),
            _ => Err(Error::new("there should be a table")),
        }
    }
}

/// Reads a document.
///
/// # Errors
/// With the number of the line where it is none.
pub fn parse(text: &str) -> Result<Table> {
    let mut reader = Reader {
        rest: text.strip_prefix('\u{feff}').unwrap_or(text),
    };
    reader.document().map_err(|e| {
        let read = text.len() - reader.rest.len();
        let line = text.get(..read).unwrap_or_default().matches('\n').count() + 1;
        Error::new(format!("line {line}: {e}"))
    })
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<Table> {
        let mut root = Table::new();
        let mut here: Vec<String> = Vec::new();
        loop {
            self.blank_lines();
            if self.rest.is_empty() {
                return Ok(root);
            }
            if self.eats("[[") {
                here = self.keys()?;
                self.expects("]]")?;
                let (last, above) = here
                    .split_last()
                    .ok_or_else(|| Error::new("a table has no name"))?;
                let table = walk(&mut root, above)?;
                let list = table
                    .entry(last.clone())
                    .or_insert_with(|| Value::List(Vec::new()));
                let Value::List(list) = list else {
                    return Err(Error::new(format!(
                        "'{last}' is there already, as something else"
                    )));
                };
                list.push(Value::Table(Table::new()));
            } else if self.eats("[") {
                here = self.keys()?;
                self.expects("]")?;
                walk(&mut root, &here)?;
            } else {
                let table = walk(&mut root, &here)?;
                self.assignment(table, 0)?;
            }
            self.end_of_line()?;
        }
    }

    fn assignment(&mut self, table: &mut Table, depth: usize) -> Result<()> {
        let keys = self.keys()?;
        self.expects("=")?;
        self.blanks();
        let value = self.value(depth)?;
        let (last, above) = keys
            .split_last()
            .ok_or_else(|| Error::new("there should be a name"))?;
        let table = walk(table, above)?;
        match table.insert(last.clone(), value) {
            None => Ok(()),
            Some(_) => Err(Error::new(format!("'{last}' stands twice"))),
        }
    }

    fn keys(&mut self) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        loop {
            self.blanks();
            keys.push(match self.rest.chars().next() {
                Some('"') => self.basic_string()?,
                Some('\'') => self.literal_string()?,
                _ => self.bare_key()?,
            });
            self.blanks();
            if !self.eats(".") {
                return Ok(keys);
            }
        }
    }

    fn bare_key(&mut self) -> Result<String> {
        let word = self.word(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if word.is_empty() {
            return Err(Error::new("there should be a name"));
        }
        Ok(word.to_owned())
    }

    fn value(&mut self, depth: usize) -> Result<Value> {
        if depth > DEPTH {
            return Err(Error::new("it is nested too deeply"));
        }
        match self.rest.chars().next() {
            Some('"') if self.rest.starts_with("\"\"\"") => {
                Err(Error::new("strings of several lines are not supported"))
            }
            Some('\'') if self.rest.starts_with("'''") => {
                Err(Error::new("strings of several lines are not supported"))
            }
            Some('"') => self.basic_string().map(Value::String),
            Some('\'') => self.literal_string().map(Value::String),
            Some('[') => self.list(depth),
            Some('{') => self.inline_table(depth),
            _ => self.scalar(),
        }
    }

    fn scalar(&mut self) -> Result<Value> {
        let word = self.word(|c| !c.is_whitespace() && !",]}#".contains(c));
        match word {
            "true" => Ok(Value::Boolean(true)),
            "false" => Ok(Value::Boolean(false)),
            number => match number.replace('_', "").parse() {
                Ok(number) => Ok(Value::Integer(number)),
                Err(_) => Err(Error::new(format!(
                    "'{number}' is no value that is supported"
                ))),
            },
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value> {
        self.expects("[")?;
        let mut list = Vec::new();
        loop {
            self.blank_lines();
            if self.eats("]") {
                return Ok(Value::List(list));
            }
            list.push(self.value(depth + 1)?);
            self.blank_lines();
            if !self.eats(",") {
                self.expects("]")?;
                return Ok(Value::List(list));
            }
        }
    }

    fn inline_table(&mut self, depth: usize) -> Result<Value> {
        self.expects("{")?;
        let mut table = Table::new();
        loop {
            self.blanks();
            if self.eats("}") {
                return Ok(Value::Table(table));
            }
            self.assignment(&mut table, depth + 1)?;
            self.blanks();
            if !self.eats(",") {
                self.expects("}")?;
                return Ok(Value::Table(table));
            }
        }
    }

    fn literal_string(&mut self) -> Result<String> {
        self.expects("'")?;
        let text = self.word(|c| c != '\'' && c != '\n').to_owned();
        self.expects("'")?;
        Ok(text)
    }

    fn basic_string(&mut self) -> Result<String> {
        self.expects("\"")?;
        let mut text = String::new();
        loop {
            let mut chars = self.rest.chars();
            match chars.next() {
                Some('"') => {
                    self.rest = chars.as_str();
                    return Ok(text);
                }
                Some('\\') => {
                    self.rest = chars.as_str();
                    text.push(self.escape()?);
                }
                Some(c) if c != '\n' => {
                    self.rest = chars.as_str();
                    text.push(c);
                }
                _ => return Err(Error::new("a string has no end")),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let bad = || Error::new("a string has an escape that is not known");
        let mut chars = self.rest.chars();
        let c = chars.next().ok_or_else(bad)?;
        self.rest = chars.as_str();
        let digits = match c {
            'b' => return Ok('\u{8}'),
            't' => return Ok('\t'),
            'n' => return Ok('\n'),
            'f' => return Ok('\u{c}'),
            'r' => return Ok('\r'),
            '"' | '\\' => return Ok(c),
            'u' => 4,
            'U' => 8,
            _ => return Err(bad()),
        };
        let (number, rest) = self.rest.split_at_checked(digits).ok_or_else(bad)?;
        self.rest = rest;
        u32::from_str_radix(number, 16)
            .ok()
            .and_then(char::from_u32)
            .ok_or_else(bad)
    }

    fn word(&mut self, belongs: impl Fn(char) -> bool) -> &str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn eats(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expects(&mut self, token: &str) -> Result<()> {
        if self.eats(token) {
            return Ok(());
        }
        Err(Error::new(format!("there should be a {token}")))
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    /// Blanks, ends of lines and comments.
    fn blank_lines(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
            if !self.rest.starts_with('#') {
                return;
            }
            self.word(|c| c != '\n');
        }
    }

    fn end_of_line(&mut self) -> Result<()> {
        self.blanks();
        if self.rest.starts_with('#') {
            self.word(|c| c != '\n');
        }
        if self.rest.is_empty() || self.eats("\n") || self.eats("\r\n") {
            return Ok(());
        }
        Err(Error::new("the line should end here"))
    }
}

/// The table at this path, made where it is missing; of an array of tables the last.
fn walk<'t>(table: &'t mut Table, path: &[String]) -> Result<&'t mut Table> {
    let mut here = table;
    for key in path {
        let next = here
            .entry(key.clone())
            .or_insert_with(|| Value::Table(Table::new()));
        here = match next {
            Value::Table(table) => table,
            Value::List(list) => match list.last_mut() {
                Some(Value::Table(table)) => table,
                _ => return Err(Error::new(format!("'{key}' is no table"))),
            },
            _ => return Err(Error::new(format!("'{key}' is no table"))),
        };
    }
    Ok(here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read() {
        let text = "# c\r\na = \"x\\t\\u0041\" # d\nb-c = [ 'p', # e\n \"q\", ]\n[t.\"u v\"]\nn = 1_000\nyes=true\n[[r]]\nk='1'\n[[r.m]]\nl='2'\n[[r]]\nm = [{l = '3', i = false}]\n";
        let table = parse(text).unwrap();
        assert_eq!(table["a"], Value::String("x\tA".into()));
        assert_eq!(table["b-c"].list().unwrap().len(), 2);
        let inner = table["t"].table().unwrap()["u v"].table().unwrap();
        assert_eq!(
            (&inner["n"], &inner["yes"]),
            (&Value::Integer(1000), &Value::Boolean(true))
        );
        let r = table["r"].list().unwrap();
        assert_eq!(r.len(), 2);
        assert!(r[0].table().unwrap()["m"].list().is_ok());
    }

    #[test]
    fn errors_name_the_line() {
        let cases = [
            ("a", "line 1"),
            ("\n\na = ", "line 3"),
            ("a = 1.5", "'1.5'"),
            ("a = 1 b", "should end"),
            ("a = 1\na = 2", "stands twice"),
            ("a = \"x", "no end"),
            ("a = \"\\x\"", "escape"),
            ("a = 'x\n'", "should be a '"),
            ("[a", "should be a ]"),
            ("a = 1\n[a]\nb=1", "no table"),
            ("a = \"\"\"x\"\"\"", "several lines"),
            (&format!("a = {}", "[".repeat(1000)), "nested"),
        ];
        for (text, want) in cases {
            let got = parse(text).unwrap_err().to_string();
            assert!(got.contains(want), "{text}: {got}");
        }
    }
}
