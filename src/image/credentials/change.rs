//! What `pull login` and `pull logout` change: docker's and podman's file, or the helper that it names.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{
    AuthFile, Helper, LIMIT, ask, bytes_of, check_helper, read, same_registry, server_name,
};
use crate::error::{Doing, Error, Result};
use crate::image::document::parse;
use crate::json::{Value, quote};

/// Keeps a password where docker keeps it: with the helper that the file names, or else in the file, which only its
/// owner can read. Says where.
///
/// # Errors
/// Where the file is none, or cannot be written; where the helper refuses.
pub fn store(
    path: &Path,
    registry: &str,
    user: &str,
    password: &str,
    helper: &dyn Helper,
) -> Result<String> {
    let file = read(path)?.unwrap_or_default();
    if let Some(name) = helper_for(&file, registry) {
        check_helper(name)?;
        let input = format!(
            "{{\"ServerURL\":{},\"Username\":{},\"Secret\":{}}}",
            quote(server_name(registry)),
            quote(user),
            quote(password)
        );
        return match helper.run(name, "store", input.as_bytes())? {
            Some((_, true)) => Ok(format!("the credential helper {name}")),
            _ => Err(Error::new(format!(
                "cannot store the credentials with docker-credential-{name}"
            ))
            .because("it is missing or failed")),
        };
    }
    let auth = BASE64_STANDARD.encode(format!("{user}:{password}"));
    edit(path, |auths| {
        auths.retain(|(key, _)| !same_registry(key, registry));
        let entry = Value::object([("auth", Value::from(&*auth))]);
        auths.push((server_name(registry).into(), entry));
    })?;
    Ok(path.display().to_string())
}

/// Forgets what is kept about a registry. Says whether there was anything.
///
/// # Errors
/// As for [`store`].
pub fn erase(path: &Path, registry: &str, helper: &dyn Helper) -> Result<bool> {
    let Some(file) = read(path)? else {
        return Ok(false);
    };
    let mut found = false;
    if let Some(name) = helper_for(&file, registry) {
        found = ask(helper, name, registry)?.is_some();
        helper.run(name, "erase", server_name(registry).as_bytes())?;
    }
    if file
        .auths
        .iter()
        .any(|(key, _)| same_registry(key, registry))
    {
        found = true;
        edit(path, |auths| {
            auths.retain(|(key, _)| !same_registry(key, registry));
        })?;
    }
    Ok(found)
}

fn helper_for<'f>(file: &'f AuthFile, registry: &str) -> Option<&'f str> {
    let own = file
        .cred_helpers
        .iter()
        .find(|(key, _)| same_registry(key, registry));
    let name = own.map_or(&file.creds_store, |(_, name)| name);
    (!name.is_empty()).then_some(name.as_str())
}

/// Changes the entries of a file and leaves everything else in it as it is.
fn edit(path: &Path, change: impl FnOnce(&mut Vec<(String, Value)>)) -> Result<()> {
    let mut whole = match bytes_of(path)? {
        Some(bytes) => parse(&bytes, "file of credentials", LIMIT).map_err(|e| e.on(path))?,
        None => Value::Null,
    };
    let auths = whole
        .members()
        .and_then(|members| members.entry("auths")?.members())
        .ok_or_else(|| Error::new("not a file of credentials:").on(path))?;
    change(&mut auths.0);
    write_private(path, whole.pretty()?.as_bytes())
}

/// Writes a file that only its owner can read, in one piece: the old one is there until the new one is whole.
fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    // A link to the file stays a link to it.
    let target = fs::read_link(path).map_or_else(
        |_| path.to_owned(),
        |to| path.parent().unwrap_or(Path::new("")).join(to),
    );
    let dir = target
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .doing_to("cannot make", dir)?;
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = dir.join(name);
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &target)
    };
    let written = write().doing_to("cannot write", &target);
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}
