//! From what was asked for to the repository that has it: names, registries, mirrors, and who we are there.

use std::io::{IsTerminal, stdout};
use std::path::Path;

use isobox::error::{Error, Result};
use isobox::image::Reference;
use isobox::image::credentials::Keychain;
use isobox::image::observer::Observer;
use isobox::image::reference::Typed;
use isobox::image::registries_conf::Place;
use isobox::image::registry::{Registry, Safety};
use isobox::image::remote::Remote;

use crate::cli::Exit;

use super::Pull;
use super::{environment, login};

impl Pull<'_> {
    pub(super) fn run(&self) -> Result<Exit> {
        let args = self.args;
        let root = match &args.rest[..] {
            [] => None,
            [root] => Some(Path::new(&root.0)),
            [_, more, ..] => return Err(Error::new("unexpected argument").on(&more.0)),
        };
        let asks = [
            args.manifest,
            args.config,
            args.digest,
            args.tags,
            args.list_platforms,
            args.local,
        ];
        let asked = asks.iter().filter(|asked| **asked).count();
        if asked > 1 || asked == 1 && (root.is_some() || args.output.is_some()) {
            return Err(Error::new(
                "one thing at a time: --manifest, --config, --digest, --tags, --list-platforms, --local, or the image",
            ));
        }
        if root.is_some() && args.output.is_some() {
            return Err(Error::new(
                "either a directory to unpack to or -o, not both",
            ));
        }
        let to_stdout =
            root.is_none() && asked == 0 && args.output.as_ref().is_none_or(|out| out.0 == "-");
        if to_stdout && stdout().is_terminal() {
            return Err(Error::new("the image is an archive, and does not go to a terminal").hint("-o FILE, -o DIR/, a directory to unpack to, or a pipe: pull IMAGE | mkrootfs DIR"));
        }
        let typed = Typed::parse(&args.image).map_err(|e| self.is_a_file().unwrap_or(e))?;
        let candidates = self.conf.candidates(&typed)?;
        let Some((last, others)) = candidates.split_last() else {
            return Err(Error::new("there is no registry to ask"));
        };
        for candidate in others {
            let remote = self.remote(candidate)?;
            match remote.top() {
                Ok(top) => return self.serve(&remote, Some(top), root),
                Err(error) => self
                    .progress
                    .note(&format!("{error}; trying the next registry")),
            }
        }
        self.serve(&self.remote(last)?, None, root)
    }

    /// What somebody wants who names an archive.
    fn is_a_file(&self) -> Option<Error> {
        let path = Path::new(&self.args.image);
        path.exists().then(|| {
            Error::new("this is no name of an image but a file:")
                .on(path)
                .hint("mkrootfs -i FILE DIR unpacks an archive")
        })
    }

    /// The repository at the places where it can be had, with what we are there.
    fn remote(&self, reference: &Reference) -> Result<Remote<'_>> {
        let mut registries = Vec::new();
        if !self.args.offline {
            let places = self.conf.places(reference)?;
            let mut failed = None;
            for place in &places {
                match self.open(reference, place) {
                    Ok(registry) => registries.push(registry),
                    Err(error) => {
                        failed.get_or_insert(error);
                    }
                }
            }
            if let (true, Some(error)) = (registries.is_empty(), failed) {
                return Err(error);
            }
        }
        Ok(Remote {
            shared: self.shared,
            registries,
            store: self.store,
            reference: reference.clone(),
        })
    }

    fn open(&self, reference: &Reference, place: &Place) -> Result<Registry<'_>> {
        let note = |text: &str| self.progress.note(text);
        let keychain = Keychain {
            // What is said on the command line is for the registry that the name says, and no mirror of it.
            given: self.args.given_login()?.filter(|_| !place.mirror),
            files: environment::auth_files(self.args.authfile()),
            helper: &login::Programs,
            note: &note,
        };
        let known_as = if place.mirror {
            &place.host
        } else {
            &reference.registry
        };
        let login = match self.args.no_creds {
            true => None,
            false => keychain.find(known_as, &reference.repository)?,
        };
        let safety = match self.args.safety() {
            Safety::Verified => place.safety,
            asked => asked,
        };
        Registry::open(self.shared, &place.host, &place.repository, login, safety)
    }
}
