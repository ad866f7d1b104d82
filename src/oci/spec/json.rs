//! How a config.json is read and written: what every object of it has in common.
//!
//! Unknown fields are ignored, as the specification wants. `null` stands for absent, as in the Go programs that write
//! these files. A field that is there twice is refused: two readers could take different ones. An error says where:
//! line, column and the path of the field.
//!
//! serde_json reads and writes; what it fills and shows is a [`Field`] behind a pointer, so that there is one reader and
//! one writer and not one for each type (150 KB).
//!
//! | file | part |
//! |---|---|
//! | `json/values.rs` | what is no object of the specification's: numbers, texts, lists, maps, capabilities |
//! | `json/read.rs` | filling |
//! | `json/place.rs` | where in a file something is wrong |
//! | `json/write.rs` | showing |

mod place;
mod read;
mod values;
mod write;

pub(super) use read::read;
pub use values::{Capable, Map, Required};
pub(super) use write::write;

/// Declares objects: structs whose fields may all be absent. In the file a field has its own name in camelCase, or the
/// one that stands behind `as`; one whose name there is empty is not of the file.
macro_rules! objects {
    ($($(#[$about:meta])* pub struct $name:ident {
        $($(#[$on:meta])* pub $field:ident $(as $json:literal)?: $type:ty,)*
    })*) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $name {$($(#[$on])* pub $field: $type,)*}

        impl $crate::oci::spec::json::Field for $name {
            fn takes(&self) -> &'static str {
                "an object"
            }
            fn member(&mut self, name: &str) -> $crate::oci::spec::json::Member<'_> {
                $(if $crate::oci::spec::json::is_named(objects!(@name $field $($json)?), name) {
                    return $crate::oci::spec::json::Member::Of(&mut self.$field);
                })*
                $crate::oci::spec::json::Member::Unknown
            }
            fn shown(&self) -> $crate::oci::spec::json::Shown<'_> {
                $crate::oci::spec::json::Shown::object(&[$((objects!(@name $field $($json)?), &self.$field as &dyn $crate::oci::spec::json::Field)),*])
            }
        }
    )*};
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $json:literal) => { $json };
}
pub(super) use objects;

/// What can stand in a field. A fresh one has the value of a field that is absent.
pub(super) trait Field {
    /// What that is, for an error.
    fn takes(&self) -> &'static str;
    /// Takes a truth value, if such can stand here.
    fn truth(&mut self, _: bool) -> Fit {
        Fit::NotOfThisType
    }
    /// Takes a number.
    fn number(&mut self, _: i128) -> Fit {
        Fit::NotOfThisType
    }
    /// Takes a text.
    fn text(&mut self, _: &str) -> Fit {
        Fit::NotOfThisType
    }
    /// Makes room for one more item, of a list.
    fn item(&mut self) -> Option<&mut dyn Field> {
        None
    }
    /// The member of this name, of an object.
    fn member(&mut self, _: &str) -> Member<'_> {
        Member::NoObject
    }
    /// Whether it need not be written.
    fn absent(&self) -> bool {
        false
    }
    /// What is written.
    fn shown(&self) -> Shown<'_>;
}

/// Whether a value can stand in a field.
pub(super) enum Fit {
    Yes,
    NotOfThisType,
    OutOfRange,
}

/// A member of an object that has a name.
pub(super) enum Member<'a> {
    Of(&'a mut dyn Field),
    Unknown,
    NoObject,
}

/// A value on its way into a file.
pub(super) enum Shown<'a> {
    Null,
    Truth(bool),
    Signed(i64),
    Unsigned(u64),
    Text(&'a [u8]),
    /// A text made for the file.
    Made(String),
    List(Vec<Shown<'a>>),
    Object(Vec<(String, Shown<'a>)>),
}

impl<'a> Shown<'a> {
    /// An object of the members that are there, by the names of the struct. One that is an object without members of its
    /// own says nothing, and crun takes an empty `network` for a wish.
    pub(super) fn object(members: &[(&str, &'a dyn Field)]) -> Self {
        let there = members
            .iter()
            .filter(|(name, value)| !name.is_empty() && !value.absent())
            .map(|(name, value)| (camel(name).collect(), value.shown()))
            .filter(|(_, shown)| !matches!(shown, Self::Object(own) if own.is_empty()));
        Self::Object(there.collect())
    }
}

/// A name of a struct's field as the file has it: `oomScoreAdj` for `oom_score_adj`.
fn camel(name: &str) -> impl Iterator<Item = char> {
    let mut upper = false;
    name.chars().filter_map(move |c| {
        let was = std::mem::replace(&mut upper, c == '_');
        (c != '_').then_some(if was { c.to_ascii_uppercase() } else { c })
    })
}

/// Whether a name of the file is that of a struct's field.
pub(super) fn is_named(field: &str, name: &str) -> bool {
    !field.is_empty() && camel(field).eq(name.chars())
}
