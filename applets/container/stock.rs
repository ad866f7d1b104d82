//! container images, rmi, gc: what there is to make containers of, and what is there for nothing.

use argh::{ArgsInfo, FromArgs};
use isobox::cgroup::fresh::is_orphan;
use isobox::cgroup::tree::remove_one;
use isobox::cgroup::{Group, Hierarchies};
use isobox::error::{Error, Result};
use isobox::image::store::Store;
use isobox::image::{Digest, Image};
use isobox::oci::home::Home;
use isobox::oci::lifecycle::{Container, Refusal, clear};
use isobox::oci::ranges::Ranges;
use isobox::oci::state::Store as Live;

use isobox::order::sort_by;
use isobox::rootfs::local::{Local, Swept};

use super::images;
use super::inspect::{in_columns, print};
use super::kept::{Shelf, complain};
use crate::cli::progress::size;
use crate::cli::{Exit, help, say};
use crate::table::pull::environment;

/// list the images that are here
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "images",
    note = "SIZE is that of the layers as a registry has them. pull --local IMAGE and container run fetch an image."
)]
pub(super) struct Images {
    /// IDs alone
    #[argh(switch, short = 'q')]
    quiet: bool,
    /// show the digests of manifests
    #[argh(switch)]
    digests: bool,
    /// whole IDs
    #[argh(switch)]
    no_trunc: bool,
    /// json, or a text with fields in it: {.Repository}
    #[argh(option, arg_name = "format")]
    format: Option<String>,
    /// only those of this repository, or of this name
    #[argh(positional)]
    name: Option<String>,
}

/// take the names of images away, and what nobody needs then
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "rmi", example = "container rmi alpine")]
pub(super) struct Rmi {
    /// also of images that containers are made of, whose layers stay until those are gone; that there is none is no error
    #[argh(switch, short = 'f')]
    force: bool,
    /// all images that no container is made of
    #[argh(switch, short = 'a')]
    all: bool,
    /// the images
    #[argh(positional)]
    image: Vec<String>,
}

/// take away what is left of containers that crashed, layers and blobs that no image has
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "gc",
    note = "Containers that are kept are not touched, whether they run or not, nor is anything that is in use."
)]
pub(super) struct Gc {}

/// What a name looks like that somebody would type.
fn familiar(name: &str) -> &str {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    name.strip_prefix("library/").unwrap_or(name)
}

/// The repository and the tag of a name.
fn parts(name: &str) -> (&str, &str) {
    let name = name.split('@').next().unwrap_or(name);
    match familiar(name).rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (familiar(name), "<none>"),
    }
}

fn id(image: &Image, whole: bool) -> String {
    let digest = image.manifest.config.digest;
    match whole {
        true => digest.to_string(),
        false => digest.hex().chars().take(12).collect(),
    }
}

impl Images {
    pub(super) fn run(self) -> Result<Exit> {
        let mut all = images::local()?.all()?;
        if let Some(wanted) = &self.name {
            all.retain(|(name, _)| {
                let (repository, tag) = parts(name);
                [name, repository, familiar(name)].contains(&wanted.as_str()) && !tag.is_empty()
            });
        }
        sort_by(&mut all, |one, other| {
            other.1.config.created.cmp(&one.1.config.created)
        });
        if self.quiet && in_columns(self.format.as_deref()) {
            let mut ids: Vec<String> = all
                .iter()
                .map(|(_, image)| id(image, self.no_trunc))
                .collect();
            ids.dedup();
            return help::print_all(&ids.iter().map(|id| format!("{id}\n")).collect::<String>());
        }
        let mut headings = vec!["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"];
        let of_image = |(name, image): &(String, Image)| self.fields(name, image);
        let mut rows: Vec<_> = all.iter().map(of_image).collect();
        let format = self.format.as_deref();
        if !self.digests && in_columns(format) {
            headings.remove(2);
            rows.iter_mut().for_each(|row| drop(row.remove(2)));
        }
        print("images", &headings, rows, format)
    }

    fn fields(&self, name: &str, image: &Image) -> Vec<(&'static str, String)> {
        let (repository, tag) = parts(name);
        let created = image.config.created.clone().unwrap_or_default();
        let bytes = image.manifest.layers.iter().map(|layer| layer.size).sum();
        vec![
            ("Repository", repository.into()),
            ("Tag", tag.into()),
            ("Digest", image.descriptor.digest.to_string()),
            ("ID", id(image, self.no_trunc)),
            (
                "CreatedAt",
                created.get(..19).unwrap_or_default().replace('T', " "),
            ),
            ("Size", size(bytes)),
        ]
    }
}

impl Rmi {
    pub(super) fn run(self) -> Result<Exit> {
        let local = images::local()?;
        let mut exit = Exit::OK;
        let mut wanted = self.image.clone();
        if self.all {
            let free = |(_, image): &(String, Image)| user_of(&local, image).is_none();
            wanted.extend(local.all()?.into_iter().filter(free).map(|(name, _)| name));
        } else if wanted.is_empty() {
            return Err(Error::new("no image given").status(125));
        }
        for word in &wanted {
            if let Err(error) = self.remove(&local, word) {
                complain(&error);
                exit = Exit::Status(1);
            }
        }
        sweep(&local)?;
        Ok(exit)
    }

    fn remove(&self, local: &Local, word: &str) -> Result<()> {
        let Some((name, image)) = images::find(local, word)? else {
            return match self.force {
                true => Ok(()),
                false => Err(Error::new("no such image:").on(word)),
            };
        };
        let digest = image.descriptor.digest;
        let all = local.all()?;
        let names: Vec<&String> = all
            .iter()
            .filter(|(_, other)| other.descriptor.digest == digest)
            .map(|(name, _)| name)
            .collect();
        // One name of several can go, whoever uses the image.
        if let (1, false, Some(user)) = (names.len(), self.force, user_of(local, &image)) {
            return Err(Error::new("cannot remove the image")
                .on(familiar(&name))
                .because(format!("{user} is made of it"))
                .hint("container rm removes the container; -f takes the name away all the same"));
        }
        local.forget(&name)?;
        if let Some(cache) = cache() {
            cache.forget(&name)?;
        }
        let mut told = format!("Untagged: {}\n", familiar(&name));
        if names.len() == 1 {
            told.push_str(&format!("Deleted: {}\n", image.manifest.config.digest));
        }
        help::print_all(&told).map(drop)
    }
}

/// Who is made of this image.
fn user_of(local: &Local, image: &Image) -> Option<String> {
    let is_it = |(_, digest): &(String, Digest)| *digest == image.descriptor.digest;
    let kept = local.containers().ok()?.into_iter().find(is_it);
    match kept {
        Some((container, _)) => Some(format!(
            "container {}",
            container.get(..12).unwrap_or(&container)
        )),
        None => local.is_held(image).then(|| "a container that runs".into()),
    }
}

/// What pull keeps.
fn cache() -> Option<Store> {
    let path = environment::cache().filter(|path| path.exists())?;
    Store::open(&path).ok()
}

fn sweep(local: &Local) -> Result<Swept> {
    let shelf = Shelf::ours();
    // Whoever makes a container holds its names from before it has written anything.
    let _names = shelf.homes.names()?;
    let known = shelf.homes.ids()?;
    local.sweep(
        &|name| known.iter().any(|id| id.as_str() == name),
        &images::remove,
    )
}

impl Gc {
    pub(super) fn run(self) -> Result<Exit> {
        let shelf = Shelf::ours();
        let mut crashed = records(&shelf)?;
        crashed += groups()?;
        #[cfg(feature = "net")]
        super::network::clear_leases()?;
        let local = images::local()?;
        let mut swept = sweep(&local)?;
        if let Some(cache) = cache() {
            swept.blobs += cache.sweep()?.0;
        }
        say(&format!(
            "removed: what was left of {} containers, {} layers, {} blobs\n",
            crashed + swept.containers,
            swept.layers,
            swept.blobs
        ));
        Ok(Exit::OK)
    }
}

/// Takes away what lives of containers that have ended with nobody to see it, and of those that nobody knows any more:
/// their control groups and what else their records name.
fn records(shelf: &Shelf) -> Result<u64> {
    let mut count = 0;
    let _names = shelf.homes.names()?;
    for id in shelf.homes.ids()? {
        let whole = match shelf.homes.find(&id) {
            // What is no text of ours was not written by who finished.
            Err(error) if error.errno().is_none() => false,
            home => home?.map_or(Ok(false), |home| home.is_whole())?,
        };
        if whole {
            continue;
        }
        // Whoever made it, or took it away, was killed meanwhile.
        shelf.homes.clear(&id)?;
        count += 1;
    }
    Ranges::new(&shelf.homes).sweep()?;
    let live = Live::look(&shelf.live)?
        .map(|live| live.ids())
        .transpose()?;
    for id in live.unwrap_or_default() {
        let home = shelf.homes.find(&id)?;
        // Held until it is gone: nobody starts it meanwhile.
        let held = home.as_ref().map(Home::occupy).transpose()?;
        if matches!(held, Some(None)) {
            continue;
        }
        match Container::find(&shelf.live, &id) {
            Ok(container) if home.is_some() && container.record().first().is_some() => continue,
            Ok(container) => container.delete(true).map_err(Refusal::into_error)?,
            Err(Refusal::Failed(error)) if error.errno().is_some() => return Err(error),
            Err(_) => clear(&shelf.live, &id)?,
        }
        count += 1;
    }
    Ok(count)
}

/// Removes the control groups of containers that nothing is kept of, and whose `container run` was killed.
fn groups() -> Result<u64> {
    let mut gone: Vec<String> = Vec::new();
    let Ok(all) = Hierarchies::discover() else {
        return Ok(0);
    };
    for hierarchy in all.all() {
        let Ok(own) = hierarchy.own() else { continue };
        for above in [own.parent(), own] {
            for name in above.children().unwrap_or_default() {
                if !is_orphan(&name) {
                    continue;
                }
                let group = Group::new(hierarchy, above.path.join(&name));
                let empty = group.processes().is_ok_and(|all| all.is_empty());
                if empty && remove_one(&group, true).is_ok() && !gone.contains(&name) {
                    gone.push(name);
                }
            }
        }
    }
    Ok(gone.len() as u64)
}
