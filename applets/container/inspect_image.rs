//! container inspect of an image: its config in docker's words.

use isobox::image::config::ImageConfig;
use isobox::image::{Image, Reference};

use super::inspect::Tree;

/// All that is known of an image that is called `name` here.
pub(super) fn tree(name: &str, image: &Image) -> Tree {
    let config = &image.config;
    let layers = &config.rootfs.diff_ids;
    let size: u64 = image.manifest.layers.iter().map(|layer| layer.size).sum();
    let called = name.parse::<Reference>().ok();
    let tags: Vec<String> = called.iter().filter_map(Reference::tagged).collect();
    let digests = called.iter().map(|one| one.at(image.descriptor.digest));
    let digests: Vec<String> = digests.map(|one| one.to_string()).collect();
    Tree::object(vec![
        ("Id", Tree::text(image.manifest.config.digest.to_string())),
        ("RepoTags", Tree::texts(&tags)),
        ("RepoDigests", Tree::texts(&digests)),
        (
            "Created",
            Tree::text(config.created.clone().unwrap_or_default()),
        ),
        ("Architecture", Tree::text(&*config.architecture)),
        ("Variant", Tree::text(&*config.variant)),
        ("Os", Tree::text(&*config.os)),
        ("Size", Tree::Word(size.to_string())),
        ("Config", execution(config)),
        (
            "RootFS",
            Tree::object(vec![
                ("Type", Tree::text(&*config.rootfs.kind)),
                (
                    "Layers",
                    Tree::List(
                        layers
                            .iter()
                            .map(|one| Tree::text(one.to_string()))
                            .collect(),
                    ),
                ),
            ]),
        ),
    ])
}

/// How it wants to be run.
fn execution(config: &ImageConfig) -> Tree {
    let run = &config.config;
    let labels = run.labels.iter();
    let labels = labels.map(|(key, value)| (key.clone(), Tree::text(&**value)));
    let keys = |all: &[String]| {
        let empty = |key: &String| (key.clone(), Tree::object(Vec::new()));
        Tree::Object(all.iter().map(empty).collect())
    };
    Tree::object(vec![
        ("User", Tree::text(&*run.user)),
        ("Env", Tree::texts(&run.env)),
        ("Entrypoint", Tree::texts(&run.entrypoint)),
        ("Cmd", Tree::texts(&run.cmd)),
        ("WorkingDir", Tree::text(&*run.working_dir)),
        ("StopSignal", Tree::text(&*run.stop_signal)),
        ("ExposedPorts", keys(&run.exposed_ports)),
        ("Volumes", keys(&run.volumes)),
        ("Labels", Tree::Object(labels.collect())),
    ])
}
