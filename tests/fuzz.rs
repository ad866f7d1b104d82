//! The targets of `fuzz/`, run briefly and without a fuzzer's instrumentation: each input of the corpus as it is, then
//! inputs that a mutator with a seed of its own makes of them. What once was found stays in the corpus.
//!
//! | variable              | meaning                                                        |
//! |-----------------------|----------------------------------------------------------------|
//! | `ISOBOX_FUZZ_SECONDS` | how long each target is run (2 if not said)                    |
//! | `ISOBOX_FUZZ_SEED`    | another row of inputs                                          |

#[path = "fuzz/differential.rs"]
mod differential;
#[path = "fuzz/extract.rs"]
mod extract;
#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "../fuzz/targets.rs"]
mod targets;

use mutate::Mutator;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// No input of a few kilobytes has work for longer.
const TOO_LONG: Duration = Duration::from_secs(5);

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let mut files: Vec<PathBuf> = fs::read_dir(&dir)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", dir.display());
    files
        .into_iter()
        .map(|file| fs::read(file).unwrap())
        .collect()
}

fn number(variable: &str, otherwise: u64) -> u64 {
    let text = std::env::var(variable).unwrap_or_default();
    text.parse().unwrap_or(otherwise)
}

/// Hands inputs to `judge` until the time is up; an input that it panics on is kept in a file.
fn fuzz(name: &str, fix: fn(&mut Vec<u8>), mut judge: impl FnMut(&[u8])) {
    let seeds = corpus(name);
    let seed = number("ISOBOX_FUZZ_SEED", 1);
    let mut mutator = Mutator::new(seed, &seeds);
    let until = Instant::now() + Duration::from_secs(number("ISOBOX_FUZZ_SECONDS", 2));
    let mut given = 0;
    while given < seeds.len() || Instant::now() < until {
        let input = match seeds.get(given) {
            Some(seed) => seed.clone(),
            None => mutator.input(fix),
        };
        given += 1;
        let begun = Instant::now();
        let judged = catch_unwind(AssertUnwindSafe(|| judge(&input)));
        let slow = begun.elapsed() > TOO_LONG;
        if slow || judged.is_err() {
            let kept = std::env::temp_dir().join(format!("isobox-fuzz-{name}"));
            fs::write(&kept, &input).unwrap();
            let why = if slow { "took too long" } else { "failed" };
            panic!(
                "{name}: input {given} of seed {seed} {why}: {}",
                kept.display()
            );
        }
    }
}

fn as_it_is(_: &mut Vec<u8>) {}

#[test]
fn readers_stand_whatever_they_are_given() {
    for (name, target) in targets::TARGETS {
        let fix = if *name == "tar" {
            mutate::fix_tar
        } else {
            as_it_is
        };
        fuzz(name, fix, target);
    }
}

#[test]
fn every_target_is_one_for_libfuzzer_too() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
    for (name, _) in targets::TARGETS {
        assert!(
            dir.join(format!("fuzz_targets/{name}.rs")).exists(),
            "{name}"
        );
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}

/// A mutator that never reaches what lies behind a check tests the check alone.
#[test]
fn inputs_get_past_the_first_check() {
    let taken = |name: &str, fix, takes: &dyn Fn(&[u8]) -> bool| {
        let seeds = corpus(name);
        let mut mutator = Mutator::new(7, &seeds);
        let taken = (0..500).filter(|_| takes(&mutator.input(fix))).count();
        assert!(
            (25..500).contains(&taken),
            "{name}: {taken} of 500 were taken"
        );
    };
    taken("tar", mutate::fix_tar, &|input| {
        targets::members(input).is_ok_and(|all| !all.is_empty())
    });
    taken("elf", as_it_is, &|input| {
        isobox::rootfs::elf::look(input).is_ok()
    });
    taken("reference", as_it_is, &|input| {
        str::from_utf8(input).is_ok_and(|text| isobox::image::reference::Typed::parse(text).is_ok())
    });
}
