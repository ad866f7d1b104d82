//! What is read and what is written: a value of one of our types, behind a pointer.

use std::borrow::Cow;

/// Declares objects: structs whose fields may all be absent. In the file a field has its own name in camelCase, or in
/// the case that the struct says (`in Pascal`), or exactly the name behind `as`; one whose name there is empty is not of
/// the file. Behind a type may stand `= required`, for what must be there, or `= written`, for what is written also
/// where there is nothing in it.
macro_rules! objects {
    ($($(#[$about:meta])* $seen:vis struct $name:ident $(in $case:ident)? {
        $($(#[$on:meta])* $shown:vis $field:ident $(as $json:literal)?: $type:ty $(= $how:ident)?,)*
    })*) => {$(
        $(#[$about])*
        #[derive(Clone, Default, PartialEq, Eq)]
        $seen struct $name {$($(#[$on])* $shown $field: $type,)*}

        const _: () = {
        #[allow(dead_code, reason = "every field may have a name of its own")]
        const CASE: $crate::json::Case = $crate::json::objects!(@case $($case)?);

        impl $crate::json::Field for $name {
            fn takes(&self) -> &'static str {
                "an object"
            }
            fn take(&mut self, given: &$crate::json::Given<'_>) -> $crate::json::Fit {
                use $crate::json::Given::{Null, Object};
                let must = false $(|| $crate::json::objects!(@must $($how)?))*;
                (matches!(given, Object) || matches!(given, Null) && !must).into()
            }
            fn member(&mut self, name: &str) -> Option<&mut dyn $crate::json::Field> {
                $(if $crate::json::objects!(@name CASE $field $($json)?).is(name) {
                    return Some(&mut self.$field);
                })*
                None
            }
            fn lacks(&self, _keys: &[(std::borrow::Cow<'_, str>, bool)]) -> Option<$crate::json::Name> {
                $(if $crate::json::objects!(@must $($how)?) {
                    let name = $crate::json::objects!(@name CASE $field $($json)?);
                    if !name.is_among(_keys) {
                        return Some(name);
                    }
                })*
                None
            }
            fn shown(&self) -> $crate::json::Shown<'_> {
                $crate::json::Shown::object(&[$((
                    $crate::json::objects!(@name CASE $field $($json)?),
                    $crate::json::objects!(@always $($how)?),
                    &self.$field as &dyn $crate::json::Field,
                )),*])
            }
        }
        };
    )*};
    (@case) => { $crate::json::Case::Camel };
    (@case $case:ident) => { $crate::json::Case::$case };
    (@name $case:ident $field:ident) => { $crate::json::Name($case, stringify!($field)) };
    (@name $case:ident $field:ident $json:literal) => { $crate::json::Name($crate::json::Case::Exact, $json) };
    (@must required) => { true };
    (@must $($how:ident)?) => { false };
    (@always $how:ident) => { true };
    (@always) => { false };
}
pub(crate) use objects;

/// What can stand in a field. A fresh one has the value of a field that is absent.
pub(crate) trait Field {
    /// What that is, for an error.
    fn takes(&self) -> &'static str;
    /// Takes what a document has for it.
    fn take(&mut self, given: &Given<'_>) -> Fit;
    /// Makes room for one more item, of a list.
    fn item(&mut self) -> Option<&mut dyn Field> {
        None
    }
    /// The member of this name, of an object; one that is not known is `None`.
    fn member(&mut self, _: &str) -> Option<&mut dyn Field> {
        None
    }
    /// A member that must be there and is not: of an object with these keys, each with whether it has a value.
    fn lacks(&self, _: &[(Cow<'_, str>, bool)]) -> Option<Name> {
        None
    }
    /// Whether it need not be written.
    fn absent(&self) -> bool {
        false
    }
    /// What is written.
    fn shown(&self) -> Shown<'_>;
}

/// What a document has for a field.
pub(crate) enum Given<'a> {
    /// Stands for absent.
    Null,
    Truth(bool),
    /// As it is written.
    Number(&'a str),
    Text(&'a str),
    /// Whose items follow.
    List,
    /// Whose members follow.
    Object,
}

/// Whether it can stand there.
pub(crate) enum Fit {
    Yes,
    No,
    /// Not this text, and why.
    Bad(String),
}

impl From<bool> for Fit {
    fn from(fits: bool) -> Self {
        if fits { Self::Yes } else { Self::No }
    }
}

/// A value on its way into a file.
pub(crate) enum Shown<'a> {
    Null,
    Truth(bool),
    Signed(i64),
    Unsigned(u64),
    Text(&'a [u8]),
    /// A text made for the file.
    Made(String),
    /// As it is.
    Raw(&'a str),
    List(Vec<Shown<'a>>),
    Object(Vec<(Cow<'a, str>, Shown<'a>)>),
}

impl<'a> Shown<'a> {
    /// An object of the members that are there. One that is an object without members of its own says nothing, and crun
    /// takes an empty `network` for a wish.
    pub(crate) fn object(members: &[(Name, bool, &'a dyn Field)]) -> Self {
        let mut there = Vec::new();
        for (name, always, value) in members {
            if name.1.is_empty() || value.absent() && !always {
                continue;
            }
            let shown = value.shown();
            if *always || !matches!(&shown, Self::Object(own) if own.is_empty()) {
                there.push((name.written(), shown));
            }
        }
        Self::Object(there)
    }
}

/// How a file writes the names of a struct's fields.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// `oomScoreAdj`
    Camel,
    /// `OomScoreAdj`
    Pascal,
    /// `oom_score_adj`
    Exact,
}

/// The name of a struct's field.
#[derive(Clone, Copy)]
pub(crate) struct Name(pub(crate) Case, pub(crate) &'static str);

impl Name {
    fn chars(self) -> impl Iterator<Item = char> {
        let Self(case, name) = self;
        let mut upper = case == Case::Pascal;
        name.chars().filter_map(move |c| {
            if case == Case::Exact {
                return Some(c);
            }
            let was = std::mem::replace(&mut upper, c == '_');
            (c != '_').then_some(if was { c.to_ascii_uppercase() } else { c })
        })
    }

    /// As the file has it.
    pub(crate) fn written(self) -> Cow<'static, str> {
        match self.0 {
            Case::Exact => self.1.into(),
            _ => self.chars().collect::<String>().into(),
        }
    }

    /// Whether it is this name of a file.
    pub(crate) fn is(self, name: &str) -> bool {
        !self.1.is_empty() && self.chars().eq(name.chars())
    }

    /// Whether an object with these keys has it; the keys come with whether there is a value.
    pub(crate) fn is_among(self, keys: &[(Cow<'_, str>, bool)]) -> bool {
        keys.iter().any(|(key, there)| *there && self.is(key))
    }
}
