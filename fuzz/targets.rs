//! What is fuzzed: one function for each reader of bytes that a stranger chose. Each holds what must be true of any
//! input and panics where it is not. `fuzz_targets/` hands them to libFuzzer; `tests/fuzz.rs` runs them with a mutator of
//! its own, on the stable toolchain.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use isobox::image::config::ImageConfig;
use isobox::image::manifest::Document;
use isobox::image::reference::Typed;
use isobox::image::{address::Address, authenticate::challenges};
use isobox::rootfs::{elf, init_file};
use isobox::tar::{Kind, Member, Reader, Writer};

/// A target: its name, which is that of its corpus too, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Those that need nothing but the bytes.
#[allow(dead_code, reason = "a fuzzer's program runs one of them")]
pub const TARGETS: &[Target] = &[
    ("reference", reference),
    ("auth_header", auth_header),
    ("manifest", manifest),
    ("elf", elf_walk),
    ("init_file", init_text),
    ("tar", tar_round),
    ("mount", mounts),
    #[cfg(feature = "oci")]
    ("spec", spec),
];

/// A name that is taken comes out in a form that is taken again and means the same.
pub fn reference(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    if let Ok(address) = Address::parse(text) {
        assert!(!address.without_query().contains(['\n', '\r', ' ']));
    }
    let Ok(typed) = Typed::parse(text) else {
        return;
    };
    let name = typed.reference.name();
    // Nothing of it can leave the path that it becomes part of, or split a line of a request.
    assert!(
        !name.contains("..") && !name.contains("//") && name.is_ascii(),
        "{text:?} became {name:?}"
    );
    assert!(
        name.bytes()
            .all(|b| b.is_ascii_graphic() && !b"?#%\\\"<>".contains(&b)),
        "{text:?} became {name:?}"
    );
    let version = typed.reference.version();
    assert!(!version.contains('/') && version.bytes().all(|b| b.is_ascii_graphic()));
    if let Some(full) = typed.reference.tagged() {
        let again = Typed::parse(&full);
        assert!(
            again.is_ok_and(|again| again.reference.name() == name),
            "{text:?} became {full:?}"
        );
    }
}

/// What a server says about how to log in.
pub fn auth_header(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    // Each challenge takes a byte at least, and none is read twice.
    assert!(challenges(text.lines()).len() <= text.len());
}

/// The documents of an image. What is taken is told again as it was read.
pub fn manifest(input: &[u8]) {
    let _ = ImageConfig::parse(input);
    let told = match Document::parse(input, None) {
        Ok(Document::Manifest(manifest)) => manifest.to_json(),
        Ok(Document::Index(index)) => index.to_json(),
        Err(_) => return,
    };
    let told = told.expect("what was read can be told");
    let again = Document::parse(&told, None).expect("what was told can be read");
    let retold = match again {
        Document::Manifest(manifest) => manifest.to_json(),
        Document::Index(index) => index.to_json(),
    };
    assert_eq!(told, retold.expect("what was read can be told"));
}

/// A file that may be a program. Names come out without a NUL, since they end there.
pub fn elf_walk(input: &[u8]) {
    let Ok(elf::Kind::Object(object)) = elf::look(input) else {
        return;
    };
    let names = object.needed.iter().chain(&object.interpreter);
    for name in names.chain(&object.rpath).chain(&object.runpath) {
        assert!(!name.as_bytes().contains(&0) && name.len() <= 4096 + 256);
    }
}

/// The command of an initramfs. What is read is written in a form that is read the same.
pub fn init_text(input: &[u8]) {
    if let Ok(words) = init_file::words(input) {
        let text = init_file::text("/bin/rdinit", &words);
        assert_eq!(init_file::words(&text).expect("our own text"), words);
    }
}

/// Lists of mounts, and the words of --mount.
pub fn mounts(input: &[u8]) {
    for mount in isobox::mountinfo::parse(input) {
        assert!(!mount.point.as_os_str().as_bytes().contains(&b'\n') || input.contains(&b'\\'));
    }
    let word = OsStr::from_bytes(input);
    assert_eq!(
        isobox::mountinfo::unescape(isobox::mountinfo::escape(word).as_bytes()),
        word
    );
    let _ = isobox::mount::Spec::parse(word);
    if let Ok(options) = isobox::mount::Options::list(word) {
        let told = options.to_list();
        let again = isobox::mount::Options::list(&told);
        assert!(
            again.is_ok_and(|again| again == options),
            "{word:?} became {told:?}"
        );
    }
}

/// The config.json of a bundle.
#[cfg(feature = "oci")]
pub fn spec(input: &[u8]) {
    if let Ok(spec) = isobox::oci::Spec::parse(input) {
        let told = spec.to_json().expect("what was read can be told");
        let again = isobox::oci::Spec::parse(told.as_bytes()).expect("what was told can be read");
        assert_eq!(told, again.to_json().expect("what was read can be told"));
    }
}

/// The members of an archive, or why it is refused. Every member comes with all its data.
pub fn members(archive: &[u8]) -> Result<Vec<Member>, String> {
    let mut input = archive;
    #[allow(
        clippy::needless_borrows_for_generic_args,
        reason = "what is left of it is looked at"
    )]
    let mut reader = Reader::new(&mut input);
    let mut member = Member::default();
    let mut all = Vec::new();
    while reader
        .next(&mut member)
        .map_err(|error| error.to_string())?
    {
        let announced = reader.left();
        let mut taken = 0;
        loop {
            let length = reader.data().map_err(|error| error.to_string())?.len();
            if length == 0 {
                break;
            }
            reader.take(length);
            taken += length as u64;
        }
        assert_eq!(taken, announced);
        all.push(member.clone());
    }
    Ok(all)
}

/// An archive. What is taken can be written, and is read again as the same.
pub fn tar_round(archive: &[u8]) {
    let Ok(members) = members(archive) else {
        return;
    };
    for member in members {
        assert!(!member.path.contains(&0) && !member.link.contains(&0));
        assert!(member.mode <= 0o7777 && member.mtime.nanos < 1_000_000_000);
        // Sparse files are written without their holes, so they are another member then.
        if member.pieces.is_some() || member.size > 0 {
            continue;
        }
        let mut written = Vec::new();
        let mut writer = Writer::new(&mut written);
        if writer.start(&member).is_err() {
            continue;
        }
        writer.finish().expect("a vector takes all");
        let again = self::members(&written).unwrap_or_else(|why| panic!("{member:?}: {why}"));
        let [again] = &again[..] else {
            panic!("{member:?} became {again:?}");
        };
        // A directory's name may or may not end in a slash.
        let name = |m: &Member| m.path.strip_suffix(b"/").unwrap_or(&m.path).to_vec();
        let name = |m: &Member| {
            if m.kind == Kind::Directory {
                name(m)
            } else {
                m.path.clone()
            }
        };
        assert_eq!(
            (again.kind, name(again), &again.link),
            (member.kind, name(&member), &member.link)
        );
        assert_eq!(
            (again.mode, again.uid, again.gid, again.mtime),
            (member.mode, member.uid, member.gid, member.mtime)
        );
        assert_eq!(
            (again.device, &again.xattrs),
            (member.device, &member.xattrs)
        );
    }
}

/// Where archives are unpacked: a file system of memory, mounted there for this alone, so that what got out of the
/// tree is found, and found nowhere else. The corpus knows the name.
pub const EXTRACT: &str = "/mnt";

/// A layer of an image, over itself: whatever it holds, nothing but the tree below its root is touched.
pub fn extract(archive: &[u8]) {
    use isobox::rootfs::apply::{Applier, Limits, Sort};
    use std::os::fd::AsFd;
    use std::path::Path;

    let outside = Path::new(EXTRACT);
    if !outside.join("canary").exists() {
        make_canary(outside);
    }
    let before = all_below(outside);
    let tree = outside.join("tree");
    std::fs::create_dir(&tree).expect("the last tree is gone");
    let root = isobox::root::open(&tree).expect("it is a directory");
    let limits = Limits {
        entries: 1000,
        bytes: 1 << 24,
        ..Limits::default()
    };
    let mut applier = Applier::new(root, limits);
    for _ in 0..2 {
        if applier.layer(archive, Sort::Layer).is_err() {
            break;
        }
    }
    let _ = applier.finish();
    let above = isobox::root::open(outside).expect("it is a directory");
    isobox::rootfs::remove::remove(above.as_fd(), OsStr::new("tree"), &tree)
        .expect("a tree can be removed, whatever is in it");
    assert_eq!(
        before,
        all_below(outside),
        "something outside of the tree has changed"
    );
}

fn make_canary(outside: &std::path::Path) {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let canary = outside.join("canary");
    std::fs::create_dir(&canary).expect("/mnt is memory mounted for this");
    std::fs::write(canary.join("file"), "untouched").expect("memory");
    std::fs::create_dir(canary.join("dir")).expect("memory");
    std::fs::set_permissions(canary.join("dir"), std::fs::Permissions::from_mode(0o711))
        .expect("memory");
    symlink("file", canary.join("link")).expect("memory");
}

/// Every place below a directory with all that can be seen of it. Directories of the root of the tree come and go, so
/// the time of the uppermost does not count.
fn all_below(dir: &std::path::Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let mut all = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            let seen = path.symlink_metadata().expect("it is there");
            let content = if seen.is_file() {
                std::fs::read(&path).unwrap_or_default()
            } else {
                Vec::new()
            };
            all.push(format!(
                "{} {:o} {}:{} {} {}.{} {} {:?}",
                path.display(),
                seen.mode(),
                seen.uid(),
                seen.gid(),
                seen.nlink(),
                seen.mtime(),
                seen.ctime_nsec(),
                seen.ino(),
                content
            ));
            if seen.is_dir() {
                left.push(path);
            }
        }
    }
    all.sort();
    all
}
