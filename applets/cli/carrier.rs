//! The program that carries an ordinary user's packets, found as the user's environment says.

use std::env;
use std::path::{Path, PathBuf};

use isobox::error::Result;
use isobox::net::nat::Port;
use isobox::net::user::{self, Carrier, Kind};

/// One of these kinds.
///
/// # Errors
/// Says what is missing.
pub(crate) fn carrier(kinds: &[Kind], ports: Vec<Port>) -> Result<Carrier> {
    let path = env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = env::split_paths(&path).collect();
    let (kind, program) = user::find(kinds, &path)?;
    let runtime = env::var_os("XDG_RUNTIME_DIR").filter(|dir| Path::new(dir).is_absolute());
    Ok(Carrier {
        kind,
        program,
        ports,
        directory: runtime.map_or_else(env::temp_dir, PathBuf::from),
    })
}
