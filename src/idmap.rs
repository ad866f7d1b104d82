//! Id maps of user namespaces as data (user_namespaces(7), "User and group ID mappings").

use std::fmt;

/// One line of `uid_map` or `gid_map`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First id inside the namespace.
    pub inside: u32,
    /// First id outside, as the parent namespace numbers it.
    pub outside: u32,
    /// How many ids.
    pub count: u32,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.inside, self.outside, self.count)
    }
}
