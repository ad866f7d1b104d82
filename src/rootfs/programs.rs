//! Programs of the host in a tree: each under its own path, with everything it needs to run and under the paths
//! where that is looked for. No ldd: what a program needs is read from its file ([`super::elf`]), and found as
//! its loader would find it (`libraries.rs`).
//!
//! A link of the host on the way to a file is a link in the tree, unless the tree has a directory there already.
//! What a program opens by itself while it runs (plugins, locales, configuration) nobody can know: add it.

use std::collections::{HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;

use super::elf::{self, Flaw, Object};
use super::host::Host;
use super::libraries::{Loader, musl_configuration};
use super::tree::{Kind, MAX_LINKS, Source, Tree, names, push_front};
use crate::error::{Doing, Error, Result};

/// A script may have a script as its interpreter; the kernel goes four deep (`exec_binprm`).
const MAX_INTERPRETERS: usize = 4;
/// As many libraries as one program may come to need.
const MAX_LIBRARIES: usize = 4096;

/// Puts programs of the host into a tree.
#[derive(Debug)]
pub struct Programs<'a> {
    tree: &'a mut Tree,
    host: Host<'a>,
    /// Where programs without a slash in their name are looked for.
    path: &'a [PathBuf],
}

/// A file that was put into the tree.
struct Mirrored {
    /// Where it stands in the tree, after all links.
    place: PathBuf,
    /// Where it stands on the host, after all links.
    real: PathBuf,
}

/// An object of a program: its needs, and where it came from.
struct Loaded {
    object: Object,
    /// The directory it is loaded from, as the loader knows it.
    origin: PathBuf,
    /// Who asked for it: an index among the program's objects.
    asked_by: Option<usize>,
}

impl<'a> Programs<'a> {
    /// Programs of `host` for `tree`; those without a slash in their names are looked for in the directories `path`.
    pub fn new(tree: &'a mut Tree, host: Host<'a>, path: &'a [PathBuf]) -> Self {
        Self { tree, host, path }
    }

    /// The path of the program of this name, if there is one in the search path. Links are not followed.
    pub fn find(&self, name: &OsStr) -> Option<PathBuf> {
        if name.as_bytes().contains(&b'/') {
            return Some(name.into());
        }
        let is_program = |path: &PathBuf| {
            let real = self
                .host
                .real(path)
                .and_then(|real| self.host.look_at(&real));
            real.is_ok_and(|found| found.is(libc::S_IFREG) && found.mode & 0o111 != 0)
        };
        self.path.iter().map(|dir| dir.join(name)).find(is_program)
    }

    /// Puts a program, or any other file of the host, into the tree, with all it needs to run. Gives its path.
    ///
    /// # Errors
    /// Where it, its loader or a library is not there, or is damaged.
    pub fn add(&mut self, program: &OsStr) -> Result<PathBuf> {
        self.add_at_depth(program, 0)
    }

    fn add_at_depth(&mut self, program: &OsStr, depth: usize) -> Result<PathBuf> {
        let path = self.find(program).ok_or_else(|| {
            Error::new("cannot find the program")
                .on(program)
                .hint("a program of another directory is named with its path")
        })?;
        let file = self.mirror(&path).doing_to("cannot add", &path)?;
        match self.look(&file.real)? {
            elf::Kind::Object(object) => self.add_needs(object, &file)?,
            elf::Kind::Script(..) if depth >= MAX_INTERPRETERS => {
                return Err(Error::new("cannot add").on(&path).because(
                    "its interpreter is a script, whose interpreter is a script, and so on",
                ));
            }
            elf::Kind::Script(interpreter, argument) => {
                let needs = |error: Error| error.hint(format!("{} is run by it", path.display()));
                self.add_at_depth(&interpreter, depth + 1).map_err(needs)?;
                if let Some(program) = started_by_env(&interpreter, argument.as_deref()) {
                    self.add_at_depth(&program, depth + 1).map_err(needs)?;
                }
            }
            elf::Kind::Other => {}
        }
        Ok(path)
    }

    fn look(&self, real: &Path) -> Result<elf::Kind> {
        let path = Path::new("/").join(real);
        let file = self.host.open(real).doing_to("cannot open", &path)?;
        elf::look(&file).map_err(|flaw| match flaw {
            Flaw::Damaged(why) => Error::new("not a sound ELF file:").on(&path).because(why),
            Flaw::Unreadable(error) => match Err::<(), _>(error).doing_to("cannot read", &path) {
                Err(error) => error,
                Ok(()) => Error::new("cannot read").on(&path),
            },
        })
    }

    /// Adds the loader of a program and its libraries: breadth first, as the loader goes.
    fn add_needs(&mut self, program: Object, file: &Mirrored) -> Result<()> {
        let named = program.interpreter.clone();
        let own = match &named {
            Some(path) => Some(self.add_loader(Path::new(path))?),
            None => None,
        };
        let loader = Loader::new(self.host, named.as_deref().map(Path::new), own.as_deref());
        let mut objects = vec![Loaded {
            object: program,
            origin: directory_of(&file.real),
            asked_by: None,
        }];
        let mut known: HashSet<OsString> = HashSet::new();
        let mut next = 0;
        while let Some(asking) = objects.get(next) {
            for name in asking.object.needed.clone() {
                if !known.insert(name.clone()) || loader.holds(&name) {
                    continue;
                }
                if objects.len() > MAX_LIBRARIES {
                    let error = Error::new("cannot add").on(Path::new("/").join(&file.real));
                    return Err(error.because("it needs too many libraries"));
                }
                let library = self.add_library(&name, &objects, next, &loader, own.as_deref())?;
                objects.push(library);
            }
            next += 1;
        }
        Ok(())
    }

    /// Adds a loader, and what it reads where that is its own file. Gives the directory of the tree it stands in.
    fn add_loader(&mut self, path: &Path) -> Result<PathBuf> {
        let loader = self.mirror(path).doing_to("cannot add the loader", path)?;
        if let Some(list) = musl_configuration(path)
            && self.host.look_at(&list).is_ok()
        {
            self.mirror(&list).doing_to("cannot add", &list)?;
        }
        Ok(loader.place.parent().unwrap_or(Path::new("")).into())
    }

    fn add_library(
        &mut self,
        name: &OsStr,
        objects: &[Loaded],
        asking: usize,
        loader: &Loader,
        own: Option<&Path>,
    ) -> Result<Loaded> {
        let mut chain = Vec::new();
        let mut who = objects.get(asking);
        while let Some(loaded) = who {
            chain.push((&loaded.object, loaded.origin.as_path()));
            who = loaded.asked_by.and_then(|index| objects.get(index));
        }
        let machine = chain.first().map(|(object, _)| object.machine);
        let candidates: Vec<PathBuf> = if name.as_bytes().contains(&b'/') {
            vec![name.into()]
        } else {
            let dirs = loader.directories(&chain);
            dirs.into_iter().map(|dir| dir.join(name)).collect()
        };
        for (index, path) in candidates.iter().enumerate() {
            let Ok(real) = self.host.real(path) else {
                continue;
            };
            // A loader passes over what is not for its machine.
            let Ok(elf::Kind::Object(object)) = self.look(&real) else {
                continue;
            };
            if Some(object.machine) != machine {
                continue;
            }
            let file = self.mirror(path).doing_to("cannot add", path)?;
            if let (Loader::Gnu(configured), Some(own)) = (loader, own)
                && index + configured.len() >= candidates.len()
            {
                self.make_findable(name, path, &file, own);
            }
            return Ok(Loaded {
                object,
                origin: directory_of(path),
                asked_by: Some(asking),
            });
        }
        let origin = chain.first().map_or(Path::new(""), |(_, origin)| *origin);
        Err(Error::new("cannot find the library").on(name).hint(format!(
            "something in {} needs it; looked for in {}",
            origin.display(),
            listed(&candidates)
        )))
    }

    /// The GNU loader knows the directories of `/etc/ld.so.conf` from a cache that the tree does not have. What was
    /// found by it gets a link in the directory that the loader lies in, which it always looks through.
    fn make_findable(&mut self, name: &OsStr, path: &Path, file: &Mirrored, own: &Path) {
        let dir = path.parent().unwrap_or(Path::new("/"));
        let is_own = self.tree.resolve(dir).is_ok_and(|dir| dir == own);
        if !is_own && !name.as_bytes().contains(&b'/') {
            self.tree
                .link(own.join(name), Path::new("/").join(&file.place));
        }
    }

    /// Puts the file at `path` of the host into the tree under the same path: missing directories, links and what
    /// they lead to among it. The file itself replaces what stood there of our own making.
    fn mirror(&mut self, path: &Path) -> Result<Mirrored, Errno> {
        let mut left: VecDeque<OsString> = names(path).collect();
        let (mut place, mut real) = (PathBuf::new(), PathBuf::new());
        let mut links = 0;
        while let Some(name) = left.pop_front() {
            if name == ".." {
                place.pop();
                real.pop();
                continue;
            }
            let (next, there) = (place.join(&name), real.join(&name));
            let is_last = left.is_empty();
            match self.tree.at(&next).map(|node| &node.kind) {
                Some(Kind::Link(_)) => {
                    place = self.tree.resolve(&next)?;
                    real = self.host.real(&there)?;
                }
                Some(Kind::File(Source::Bytes(_))) if is_last => {
                    real = self.host.real(&there)?;
                    self.put_file(&next, &real)?;
                    place = next;
                }
                Some(Kind::Directory) => {
                    (place, real) = (next, self.host.real(&there)?);
                }
                Some(_) if is_last => (place, real) = (next, self.host.real(&there)?),
                Some(_) => return Err(Errno::ENOTDIR),
                None => {
                    let found = self.host.look_at(&there)?;
                    if found.is(libc::S_IFLNK) {
                        links += 1;
                        if links > MAX_LINKS {
                            return Err(Errno::ELOOP);
                        }
                        let target = self.host.read_link(&there)?;
                        if Path::new(&target).is_absolute() {
                            (place, real) = (PathBuf::new(), PathBuf::new());
                        }
                        push_front(&mut left, &target);
                        self.tree.link(next, target);
                        continue;
                    }
                    if found.is(libc::S_IFDIR) {
                        self.tree.put(&next, found.mode & 0o1777, Kind::Directory);
                    } else if is_last {
                        self.put_file(&next, &there)?;
                    } else {
                        return Err(Errno::ENOTDIR);
                    }
                    (place, real) = (next, there);
                }
            }
        }
        match self.tree.at(&place).map(|node| &node.kind) {
            Some(Kind::File(_)) => Ok(Mirrored { place, real }),
            _ => Err(Errno::EISDIR),
        }
    }

    /// Set-id bits stay where they mean what they mean in the tree: there everything belongs to user and group 0.
    fn put_file(&mut self, place: &Path, real: &Path) -> Result<(), Errno> {
        let file = self.host.open(real)?;
        let found = nix::sys::stat::fstat(&file)?;
        let set_ids = if (found.st_uid, found.st_gid) == (0, 0) {
            0o6000
        } else {
            0
        };
        let mode = found.st_mode & (0o777 | set_ids);
        self.tree
            .put(place, mode, Kind::File(Source::Host(real.into())));
        Ok(())
    }
}

/// `#!/usr/bin/env python3` starts python3.
fn started_by_env(interpreter: &OsStr, argument: Option<&OsStr>) -> Option<OsString> {
    let argument =
        argument.filter(|_| Path::new(interpreter).file_name() == Some(OsStr::new("env")))?;
    let mut words = argument.as_bytes().split(|b| b" \t".contains(b));
    let word =
        words.find(|word| !word.is_empty() && !word.starts_with(b"-") && !word.contains(&b'='))?;
    Some(OsStr::from_bytes(word).into())
}

fn directory_of(path: &Path) -> PathBuf {
    let path = Path::new("/").join(path);
    path.parent().unwrap_or(Path::new("/")).into()
}

fn listed(paths: &[PathBuf]) -> String {
    let mut dirs: Vec<String> = Vec::new();
    for dir in paths.iter().filter_map(|path| path.parent()) {
        let dir = dir.display().to_string();
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    dirs.join(", ")
}
