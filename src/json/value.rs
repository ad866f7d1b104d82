//! Any JSON: to be changed and written again with all that is in it, known or not.

use super::{Field, Fit, Given, Map, Shown, pretty, read};
use crate::error::Result;

/// A value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// A truth value.
    Truth(bool),
    /// A number, as it is written.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// An object, in the order of the file.
    Object(Map<Value>),
}

impl Value {
    /// Reads a document; `file` is what to call it in an error.
    ///
    /// # Errors
    /// Says the field, what is wrong with it, the line and the column.
    pub fn parse(document: &[u8], file: &str) -> Result<Self> {
        read(document, file)
    }

    /// Writes it down, indented by two spaces.
    ///
    /// # Errors
    /// None that a text has.
    pub fn pretty(&self) -> Result<String> {
        pretty(self, 2)
    }

    /// A list of texts.
    pub fn texts<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        Self::List(texts.into_iter().map(Self::from).collect())
    }

    /// An object of these members.
    pub fn object<const N: usize>(members: [(&str, Self); N]) -> Self {
        let members = members.map(|(key, value)| (key.to_owned(), value));
        Self::Object(Map(members.into()))
    }

    /// Its text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Its items, if it is a list; nothing becomes an empty one.
    pub fn items(&mut self) -> Option<&mut Vec<Self>> {
        if *self == Self::Null {
            *self = Self::List(Vec::new());
        }
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// Its members, if it is an object; nothing becomes an empty one.
    pub fn members(&mut self) -> Option<&mut Map<Self>> {
        if *self == Self::Null {
            *self = Self::Object(Map::default());
        }
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Field for Value {
    fn takes(&self) -> &'static str {
        "a value"
    }
    fn take(&mut self, given: &Given<'_>) -> Fit {
        *self = match given {
            Given::Null => Self::Null,
            Given::Truth(truth) => Self::Truth(*truth),
            Given::Number(written) => Self::Number((*written).into()),
            Given::Text(text) => Self::from(*text),
            Given::List => Self::List(Vec::new()),
            Given::Object => Self::Object(Map::default()),
        };
        Fit::Yes
    }
    fn item(&mut self) -> Option<&mut dyn Field> {
        self.items()?.item()
    }
    fn member(&mut self, name: &str) -> Option<&mut dyn Field> {
        self.members()?.member(name)
    }
    fn shown(&self) -> Shown<'_> {
        match self {
            Self::Null => Shown::Null,
            Self::Truth(truth) => Shown::Truth(*truth),
            Self::Number(written) => Shown::Raw(written),
            Self::Text(text) => Shown::Text(text.as_bytes()),
            Self::List(items) => items.shown(),
            Self::Object(members) => members.shown(),
        }
    }
}
