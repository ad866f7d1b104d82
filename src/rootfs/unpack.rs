//! From an image to a tree: its layers, verified as they come, unpacked ahead and applied in their order.
//!
//! The thread that writes gives up, by Landlock, whatever it could do to files elsewhere: should an archive ever talk
//! it into leaving the tree, the kernel says no. The others only read.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, scope};

use nix::libc;

use super::apply::{Applier, Limits, Sort};
use super::overlay::Lower;
use super::pipeline::{self, Stream};
use super::report::Report;
use crate::error::{Doing, Error, Result};
use crate::image::descriptor::{Kind, Packing};
use crate::image::{Descriptor, Digest, Source};
use crate::landlock::{Area, supported};
use crate::root::without_umask;
use crate::sys::landlock::{self, Handled};
use crate::sys::task::prctl;

/// Is told when a layer begins to be applied: its number from 1, how many there are, and what it is.
pub type OnLayer<'a> = &'a (dyn Fn(usize, usize, &Descriptor) + Sync);

/// Makes the tree of an image below `root`, an empty directory.
///
/// # Errors
/// Where a layer is not what its digests say, is damaged or refused, or something cannot be made. What was made by then
/// is of no use.
pub fn image(
    source: &dyn Source,
    root: OwnedFd,
    limits: Limits,
    on_layer: OnLayer<'_>,
) -> Result<Report> {
    let layers: Vec<_> = source.image().layers().collect();
    if layers.is_empty() {
        return Err(Error::new(
            "the image has no layers: there is nothing to make a root of",
        ));
    }
    if let Some((layer, _)) = layers.iter().find(|(layer, _)| packing(layer).is_none()) {
        return Err(no_layer(layer));
    }
    let applier = Applier::new(root, limits);
    scope(|scope| {
        // Handing over waits until the layer before is done, so that two are unpacked at a time.
        let (to_apply, streams) = sync_channel::<Stream>(0);
        let count = layers.len();
        let names: Vec<&Descriptor> = layers.iter().map(|(layer, _)| *layer).collect();
        let applying = Builder::new()
            .name("apply".into())
            .spawn_scoped(scope, move || {
                confine(&applier);
                let names = names.into_iter().enumerate();
                apply(
                    applier,
                    &streams,
                    Sort::Layer,
                    &mut names.map(|(at, layer)| {
                        on_layer(at + 1, count, layer);
                    }),
                )
            })
            .doing("cannot start a thread")?;
        for (layer, diff_id) in layers {
            // Here and not in the thread, so that an archive that is read once is read in order.
            let blob = source.blob(layer)?;
            let stream =
                pipeline::start(scope, Some(*diff_id), packing(layer), limits.window, blob)?;
            if to_apply.send(stream).is_err() {
                break;
            }
        }
        drop(to_apply);
        joined(applying.join())
    })
}

/// Makes one layer by itself below `root`, an empty directory, as an overlay takes it; `lower` are the layers below.
///
/// # Errors
/// As [`image`].
pub fn layer(
    source: &dyn Source,
    (layer, diff_id): (&Descriptor, &Digest),
    root: OwnedFd,
    lower: Lower,
    limits: Limits,
) -> Result<Report> {
    let packing = Some(packing(layer).ok_or_else(|| no_layer(layer))?);
    let applier = Applier::overlay(root, lower, limits);
    one(
        applier,
        Some(*diff_id),
        packing,
        (Sort::Layer, limits.window),
        source.blob(layer)?,
    )
}

/// Makes the tree of a tar that is a root by itself, packed or not, below `root`, an empty directory.
///
/// # Errors
/// As [`image`]; and where the archive has no end mark, since nothing else tells that it is whole.
pub fn root_tar(tar: Box<dyn Read + Send + '_>, root: OwnedFd, limits: Limits) -> Result<Report> {
    one(
        Applier::new(root, limits),
        None,
        None,
        (Sort::Root, limits.window),
        tar,
    )
}

/// Puts what a tar holds into a tree that is there ([`Applier::merge`]).
///
/// # Errors
/// As [`root_tar`].
pub fn merge(
    tar: Box<dyn Read + Send + '_>,
    root: OwnedFd,
    top: Option<Vec<u8>>,
) -> Result<Report> {
    let limits = Limits::default();
    one(
        Applier::merge(root, limits, top),
        None,
        None,
        (Sort::Root, limits.window),
        tar,
    )
}

/// Applies one tar, packed or not.
fn one(
    applier: Applier,
    diff_id: Option<Digest>,
    packing: Option<Packing>,
    (sort, window): (Sort, u64),
    tar: Box<dyn Read + Send + '_>,
) -> Result<Report> {
    scope(|scope| {
        let (to_apply, streams) = sync_channel::<Stream>(1);
        let stream = pipeline::start(scope, diff_id, packing, window, tar)?;
        let _ = to_apply.send(stream);
        drop(to_apply);
        let applying = Builder::new()
            .name("apply".into())
            .spawn_scoped(scope, move || {
                confine(&applier);
                apply(applier, &streams, sort, &mut std::iter::once(()))
            })
            .doing("cannot start a thread")?;
        joined(applying.join())
    })
}

fn no_layer(layer: &Descriptor) -> Error {
    Error::new("a layer is none:")
        .on(layer.digest.to_string())
        .because(format!("its media type is {}", layer.media_type))
}

fn joined(joined: std::thread::Result<Result<Report>>) -> Result<Report> {
    joined.unwrap_or_else(|_| Err(Error::new("a thread has panicked")))
}

/// Applies layers as they come, with modes as they are given.
fn apply(
    mut applier: Applier,
    streams: &Receiver<Stream>,
    sort: Sort,
    each: &mut dyn Iterator<Item = ()>,
) -> Result<Report> {
    without_umask(|| {
        for mut stream in streams {
            let _ = each.next();
            match applier.layer(&mut stream, sort) {
                Ok(()) => stream.finish()?,
                // What the tar's reader makes of a stream that broke off is not the cause.
                Err(error) => return Err(stream.failure().unwrap_or(error)),
            }
        }
        applier.finish()
    })
}

/// How a layer is packed; `None` where the descriptor is none of a layer.
fn packing(layer: &Descriptor) -> Option<Packing> {
    match layer.kind() {
        Kind::Layer(packing) => Some(packing),
        _ => None,
    }
}

/// Lets this thread change files in the tree and nowhere else, and read the layers below (landlock(7)). Where the kernel has no Landlock, or the
/// first version, which knows no links between directories, things are as they were.
fn confine(applier: &Applier) {
    /// `LANDLOCK_ACCESS_FS_REFER`, of version 2.
    const REFER: u64 = 1 << 13;
    /// `LANDLOCK_ACCESS_FS_READ_FILE`, `LANDLOCK_ACCESS_FS_READ_DIR`.
    const READ: u64 = 1 << 2 | 1 << 3;
    let confine = || -> Result<()> {
        let fs = supported(Area::Fs)?;
        if fs & REFER == 0 {
            return Ok(());
        }
        let handled = Handled {
            fs,
            ..Handled::default()
        };
        let ruleset = landlock::create_ruleset(handled).doing("")?;
        landlock::allow_beneath(ruleset.as_fd(), applier.root(), fs).doing("")?;
        for lower in applier.dirs.lower.iter().flat_map(|lower| &lower.0) {
            landlock::allow_beneath(ruleset.as_fd(), lower.as_fd(), READ).doing("")?;
        }
        prctl(libc::PR_SET_NO_NEW_PRIVS, [1, 0, 0, 0]).doing("")?;
        landlock::restrict_self(ruleset.as_fd()).doing("")
    };
    // It is a second wall: the first stands without it.
    let _ = confine();
}
