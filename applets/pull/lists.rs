//! Lists of what a repository has: tags and platforms.

use isobox::error::{Error, Result};
use isobox::image::Document;
use isobox::image::remote::{Remote, Top, platforms};

use crate::cli::Exit;
use crate::cli::table::{Format, Table};

use super::Pull;

impl Pull<'_> {
    pub(super) fn tags(&self, remote: &Remote<'_>) -> Result<Exit> {
        if self.args.verify.is_some() {
            return Err(Error::new(
                "--verify has nothing to verify of a list of tags",
            ));
        }
        let mut table = self.list("tags", &["TAG"]);
        let (last, _) = remote
            .registries
            .split_last()
            .ok_or_else(|| Error::new("--tags needs the network"))?;
        for tag in last.tags()? {
            table.add(None, vec![tag.into_bytes()]);
        }
        table.print()
    }

    pub(super) fn platforms(&self, remote: &Remote<'_>, top: Top) -> Result<Exit> {
        let mut table = self.list("platforms", &["PLATFORM"]);
        let mut seen: Vec<String> = match &top.document {
            Document::Index(index) => platforms(index).map(ToString::to_string).collect(),
            Document::Manifest(_) => vec![remote.image(top.fetched)?.config.platform().to_string()],
        };
        seen.dedup();
        for platform in seen {
            table.add(None, vec![platform.into_bytes()]);
        }
        table.print()
    }

    /// A list: one thing a line, or JSON.
    fn list(&self, name: &'static str, columns: &[&'static str]) -> Table {
        let mut table = Table::of_texts(name, columns);
        table.headings = false;
        table.format = if self.args.json {
            Format::Json
        } else {
            Format::Columns
        };
        table
    }
}
