//! `pull prune`: what the cache holds and no name leads to any more.

use isobox::error::{Error, Result};
use isobox::image::reference::Typed;
use isobox::image::registries_conf::RegistriesConf;

use super::Args;
use crate::cli::Exit;
use crate::cli::help::print_all;
use crate::cli::progress::{Progress, size};

/// Forgets the images that are named, and removes what that leaves. Whoever is pulling at the moment is not disturbed: it
/// holds what it has found.
pub(super) fn prune(args: &Args, conf: &RegistriesConf, progress: &Progress) -> Result<Exit> {
    let store = args
        .store(progress)?
        .ok_or_else(|| Error::new("there is no cache"))?;
    for named in &args.rest {
        let typed = Typed::parse(&named.0.to_string_lossy())?;
        let mut was_there = false;
        for candidate in conf.candidates(&typed)? {
            let name = candidate.tagged();
            was_there |= name.is_some_and(|name| store.forget(&name).unwrap_or(false));
        }
        if !was_there {
            return Err(Error::new("not in the cache:").on(&named.0));
        }
    }
    let (count, bytes) = store.sweep()?;
    print_all(&format!("blobs removed: {count}, {}\n", size(bytes)))
}
