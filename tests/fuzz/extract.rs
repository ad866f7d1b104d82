//! Nothing in an archive reaches anything outside the tree that it is unpacked to.

use super::{corpus, fuzz, mutate, targets};
use crate::kit::Sandbox;
use nix::mount::{MsFlags, mount};

/// A file system of memory where the target wants one, in the mount namespace of this test's thread.
fn memory() -> Sandbox {
    let t = Sandbox::new("escape");
    let none = None::<&str>;
    mount(
        Some("escape"),
        targets::EXTRACT,
        Some("tmpfs"),
        MsFlags::empty(),
        none,
    )
    .unwrap();
    t
}

fn gone(t: Sandbox) {
    nix::mount::umount(targets::EXTRACT).unwrap();
    drop(t);
}

#[test]
fn nothing_gets_out() {
    needs!(root);
    let t = memory();
    fuzz("extract", mutate::fix_tar, targets::extract);
    gone(t);
}

/// The oracle sees what a careless unpacking does: GNU tar, told to trust the archive.
#[test]
fn an_escape_would_be_seen() {
    needs!(root, host("tar"));
    let t = memory();
    let canary = format!("{}/canary/file", targets::EXTRACT);
    targets::extract(&corpus("extract")[0]);
    let escape = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fuzz/corpus/extract/up"
    ))
    .unwrap();
    let archive = std::path::Path::new(targets::EXTRACT).join("up.tar");
    std::fs::write(&archive, escape).unwrap();
    t.run(&format!(
        "mkdir {0}/careless; cd {0}/careless; /bin/tar -xPf ../up.tar; cat {canary}",
        targets::EXTRACT
    ))
    .out_has("out");
    gone(t);
}
