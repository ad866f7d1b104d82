//! Applying a layer to a tree (image-spec, layer.md, "Applying Changesets"): every member of the tar becomes what it
//! says, below one descriptor; deletions (`deletion.rs`) remove what lower layers made, and only that.
//!
//! What each sort of odd member comes to is decided here, once: it is refused, which ends the unpacking, or left out
//! and counted in the [`Report`]. Nothing is made outside of the root, whatever the names and links of an image say.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::libc;
use nix::sys::stat::{Mode, SFlag, fstatat, makedev, mkdirat, mknodat};
use nix::sys::uio::pwrite;
use nix::unistd::{UnlinkatFlags, ftruncate, linkat, symlinkat, unlinkat, write};

use super::directories::{Directories, Mark, Times, refused, spec};
use super::names::{Place, place};
use super::overlay::Lower;
use super::owner::Owner;
use super::remove;
use super::report::{Reason, Report};
use crate::error::{Doing, Error, Result};
use crate::image::layer::WINDOW;
use crate::tar::{Bytes, Kind, Member, Reader};

/// How much an image may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Members of one layer.
    pub entries: u64,
    /// Bytes of all files of all layers, holes included.
    pub bytes: u64,
    /// How many bytes a decoder may look back: what memory depends on.
    pub window: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 2_000_000,
            bytes: 64 << 30,
            window: WINDOW,
        }
    }
}

/// What a tar is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// A layer of an image: verified by its digest, and put onto those below it.
    Layer,
    /// A root by itself, which nothing vouches for but its end mark.
    Root,
}

/// A tree that layers are applied to.
pub struct Applier {
    pub(super) dirs: Directories,
    pub(super) report: Report,
    owner: Owner,
    limits: Limits,
    /// Whether there is anything below the present layer.
    pub(super) has_lower: bool,
    /// Instead of the first name of each path; without, paths are as they are.
    top: Option<Vec<u8>>,
    /// Whether a directory only takes the place of a directory, and the other way round.
    pub(super) is_merge: bool,
    /// Where the last hard link led, and the directory there.
    linked: Option<(Vec<u8>, OwnedFd)>,
}

impl Applier {
    /// The tree below this directory, which is empty.
    pub fn new(root: OwnedFd, limits: Limits) -> Self {
        Self {
            dirs: Directories::new(root),
            report: Report::default(),
            owner: Owner::of_this_process(),
            limits,
            has_lower: false,
            top: None,
            is_merge: false,
            linked: None,
        }
    }

    /// The same for a tree with something in it, which stays but for what has a name of the archive. What the archive
    /// calls by its first name is called `top`, where that is given; by an empty one the tree itself is meant.
    pub fn merge(root: OwnedFd, limits: Limits, top: Option<Vec<u8>>) -> Self {
        Self {
            top,
            is_merge: true,
            ..Self::new(root, limits)
        }
    }

    /// The same for one layer by itself, to be put onto those below by an overlay.
    pub fn overlay(root: OwnedFd, lower: Lower, limits: Limits) -> Self {
        let mut applier = Self::new(root, limits);
        applier.dirs.lower = Some(lower);
        applier
    }

    /// The root of the tree.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.dirs.as_fd()
    }

    /// Applies the next layer.
    ///
    /// # Errors
    /// Where the archive is damaged or refused, or the kernel refuses something. The tree is of no use then.
    pub fn layer(&mut self, input: impl Bytes + Send, sort: Sort) -> Result<()> {
        self.members(Reader::new(input), sort)
    }

    fn members(&mut self, mut reader: Reader<'_>, sort: Sort) -> Result<()> {
        let mut member = Member::default();
        let mut entries = 0;
        while reader.next(&mut member)? {
            entries += 1;
            if entries > self.limits.entries {
                return Err(too_much("members in a layer", self.limits.entries));
            }
            if let Some(top) = &self.top {
                rename(&mut member.path, top);
                if member.kind == Kind::HardLink {
                    rename(&mut member.link, top);
                }
            }
            self.member(&member, &mut reader)?;
        }
        if sort == Sort::Root && !reader.had_its_end() {
            return Err(
                Error::new("the tar archive is cut short").because("its end mark is missing")
            );
        }
        self.report.entries += entries;
        self.linked = None;
        self.dirs.next_layer()?;
        self.has_lower = true;
        Ok(())
    }

    /// What was not made as the archive has it.
    ///
    /// # Errors
    /// Where the times of a directory cannot be set.
    pub fn finish(mut self) -> Result<Report> {
        self.dirs.leave_all()?;
        Ok(self.report)
    }

    fn member(&mut self, member: &Member, reader: &mut Reader<'_>) -> Result<()> {
        let path = match place(&member.path)? {
            Place::Root if member.kind == Kind::Directory => return self.root_itself(member),
            Place::Root => return Err(bad(member, "the root is no directory")),
            Place::Outside => {
                self.report.count(Reason::Outside, &member.path);
                return Ok(());
            }
            Place::Inside(path) => path,
        };
        if self.deletes(&path, member)? {
            return Ok(());
        }
        let times = times_of(member);
        self.dirs
            .enter(path.dir(), Some(times))
            .map_err(|errno| refused(&path.all, errno))?;
        let is_new = self.dirs.here().doing("cannot look at a directory")?.is_new;
        if self.has_lower && !is_new {
            self.dirs.touch(&path.all);
        }
        let name = OsStr::from_bytes(path.name());
        match member.kind {
            Kind::Directory => self.directory(name, &path.all, member),
            Kind::File => self.file(name, &path.all, member, reader),
            Kind::HardLink => self.hard_link(name, &path.all, member),
            Kind::Symlink if member.link.is_empty() => {
                Err(bad(member, "a link that leads nowhere"))
            }
            Kind::Symlink => {
                let target = OsStr::from_bytes(&member.link);
                self.make(name, &path.all, &mut |dir| symlinkat(target, dir, name))?;
                self.finish_by_name(name, &path.all, member)
            }
            Kind::Fifo | Kind::Character | Kind::Block => self.node(name, &path.all, member),
        }
    }

    /// The root itself: its mode, owner and times.
    fn root_itself(&mut self, member: &Member) -> Result<()> {
        self.dirs
            .enter(b"", None)
            .map_err(|errno| refused(b"/", errno))?;
        self.finish_directory(b"/", member, false)
    }

    /// Makes something, in place of whatever stands there.
    fn make(
        &mut self,
        name: &OsStr,
        path: &[u8],
        make: &mut dyn FnMut(BorrowedFd<'_>) -> Result<(), Errno>,
    ) -> Result<()> {
        let path = OsStr::from_bytes(path);
        let dir = self.dirs.change().doing_to("cannot make", path)?;
        match make(dir.fd.as_fd()) {
            Err(Errno::EEXIST) if self.is_merge => {
                let gone = unlinkat(&dir.fd, name, UnlinkatFlags::NoRemoveDir);
                gone.doing_to("cannot replace", path)?;
                make(dir.fd.as_fd())
            }
            Err(Errno::EEXIST) => {
                remove::remove(dir.fd.as_fd(), name, Path::new(path))?;
                let made = make(dir.fd.as_fd());
                self.dirs.distrust();
                self.linked = None;
                made
            }
            made => made,
        }
        .doing_to("cannot make", path)
    }

    fn directory(&mut self, name: &OsStr, path: &[u8], member: &Member) -> Result<()> {
        let mode = permissions(member) | Mode::S_IRWXU;
        let dir = self
            .dirs
            .change()
            .doing_to("cannot make", OsStr::from_bytes(path))?;
        let stands = match mkdirat(&dir.fd, name, mode) {
            Err(Errno::EEXIST) => fstatat(&dir.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFDIR),
            made => {
                made.doing_to("cannot make", OsStr::from_bytes(path))?;
                return self.enter_new(name, path, member);
            }
        };
        if !stands && self.is_merge {
            return Err(Error::new("cannot replace")
                .on(OsStr::from_bytes(path))
                .because("it is no directory, and what is copied there is one"));
        }
        if !stands {
            self.make(name, path, &mut |dir| mkdirat(dir, name, mode))?;
            self.enter_new(name, path, member)?;
            return self.dirs.cover().doing("cannot mark a directory");
        }
        self.dirs
            .descend(name.as_bytes(), false)
            .map_err(|errno| refused(path, errno))?;
        self.finish_directory(path, member, false)
    }

    fn enter_new(&mut self, name: &OsStr, path: &[u8], member: &Member) -> Result<()> {
        if self.has_lower {
            self.dirs.mark(Mark::New, path);
        }
        self.dirs
            .descend(name.as_bytes(), true)
            .map_err(|errno| refused(path, errno))?;
        self.finish_directory(path, member, true)
    }

    /// Owner, mode, attributes and times of the directory that was entered.
    fn finish_directory(&mut self, path: &[u8], member: &Member, is_new: bool) -> Result<()> {
        let shown = OsStr::from_bytes(path);
        let level = self.dirs.here().doing_to("cannot make", shown)?;
        self.owner
            .finish_directory(level, is_new, member, &mut self.report)
            .doing_to("cannot set the attributes of", shown)?;
        level.leave_with(times_of(member));
        Ok(())
    }

    fn file(
        &mut self,
        name: &OsStr,
        path: &[u8],
        member: &Member,
        reader: &mut Reader<'_>,
    ) -> Result<()> {
        self.report.bytes = self.report.bytes.saturating_add(member.size);
        if self.report.bytes > self.limits.bytes {
            return Err(too_much("bytes", self.limits.bytes));
        }
        if member.size == 0 && member.xattrs.is_empty() {
            return self.node(name, path, member);
        }
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut made = None;
        self.make(name, path, &mut |dir| {
            made = Some(openat(dir, name, flags, permissions(member))?);
            Ok(())
        })?;
        let shown = OsStr::from_bytes(path);
        let fd = made.ok_or(Errno::ENOENT).doing_to("cannot make", shown)?;
        match &member.pieces {
            None => copy(fd.as_fd(), reader, shown)?,
            Some(_) => copy_pieces(fd.as_fd(), member, reader, shown)?,
        }
        let gid = self.dirs.here().doing_to("cannot make", shown)?.gid;
        self.owner
            .finish_file(fd.as_fd(), gid, member, times_of(member), &mut self.report)
            .doing_to("cannot set the attributes of", shown)
    }

    /// What mknod(2) makes: empty files, fifos and devices.
    fn node(&mut self, name: &OsStr, path: &[u8], member: &Member) -> Result<()> {
        let kind = match member.kind {
            Kind::Character if member.device == (0, 0) => {
                self.report.count(Reason::ForgedDeletion, path);
                return Ok(());
            }
            Kind::Character => SFlag::S_IFCHR,
            Kind::Block => SFlag::S_IFBLK,
            Kind::Fifo => SFlag::S_IFIFO,
            _ => SFlag::S_IFREG,
        };
        let (major, minor) = member.device;
        let device = makedev(major.into(), minor.into());
        let is_device = matches!(member.kind, Kind::Character | Kind::Block);
        let made = self.make(name, path, &mut |dir| {
            mknodat(dir, name, kind, permissions(member), device)
        });
        match made {
            Err(error) if is_device && error.errno() == Some(Errno::EPERM) => {
                self.report.count(Reason::Device, path);
                Ok(())
            }
            made => made.and_then(|()| self.finish_by_name(name, path, member)),
        }
    }

    /// Owner and times of what was made without being opened.
    fn finish_by_name(&mut self, name: &OsStr, path: &[u8], member: &Member) -> Result<()> {
        let shown = OsStr::from_bytes(path);
        let dir = self.dirs.here().doing_to("cannot make", shown)?;
        self.owner
            .finish_by_name(dir, name, member, times_of(member), &mut self.report)
            .doing_to("cannot set the attributes of", shown)
    }

    /// The directory that the last hard link led to may be gone.
    pub(super) fn forget_link(&mut self) {
        self.linked = None;
    }

    /// A second name. Where it leads, a member before this one has made something, or a lower layer.
    fn hard_link(&mut self, name: &OsStr, path: &[u8], member: &Member) -> Result<()> {
        let target = match place(&member.link)? {
            Place::Inside(target) => target,
            Place::Root => return Err(bad(member, "a hard link to the root")),
            Place::Outside => {
                self.report.count(Reason::Outside, &member.path);
                return Ok(());
            }
        };
        // The name that it has already.
        if target.all == path {
            return Ok(());
        }
        if self.dirs.lower.is_some() {
            let dir = path.get(..path.len() - name.len()).unwrap_or_default();
            self.bring_up(&target, member)?;
            self.dirs
                .enter(
                    dir.strip_suffix(b"/").unwrap_or(dir),
                    Some(times_of(member)),
                )
                .map_err(|errno| super::directories::refused(path, errno))?;
        }
        let refused = |errno| {
            let error = Error::new("cannot make the hard link").on(OsStr::from_bytes(path));
            match errno {
                Errno::ENOENT => error.because("what it links to is not there"),
                Errno::EPERM => error.because("what it links to cannot be linked to"),
                errno => error.errno_is(errno),
            }
        };
        let known = self.linked.take().filter(|(dir, _)| dir == target.dir());
        let (dir, fd) = match known {
            Some(known) => known,
            None => {
                let fd = self.dirs.look_up(target.dir()).map_err(refused)?;
                (target.dir().to_vec(), fd)
            }
        };
        let from = OsStr::from_bytes(target.name());
        let mut answer = Ok(());
        self.make(name, path, &mut |here| {
            answer = linkat(&fd, from, here, name, AtFlags::empty());
            match answer {
                // A second try, once what stands there is gone.
                Err(Errno::EEXIST) => Err(Errno::EEXIST),
                _ => Ok(()),
            }
        })?;
        answer.map_err(refused)?;
        self.linked = Some((dir, fd));
        Ok(())
    }
}

/// Gives a path another first name.
fn rename(path: &mut Vec<u8>, top: &[u8]) {
    let rest = path.iter().position(|b| *b == b'/').unwrap_or(path.len());
    path.splice(..rest, top.iter().copied());
}

/// The mode that something is made with; set-id bits come after the owner.
fn permissions(member: &Member) -> Mode {
    Mode::from_bits_truncate(member.mode & 0o777)
}

pub(super) fn times_of(member: &Member) -> Times {
    let mtime = spec(member.mtime);
    let atime = member.atime.map_or(mtime, spec);
    Times { atime, mtime }
}

/// Copies the data of a member.
fn copy(fd: BorrowedFd<'_>, reader: &mut Reader<'_>, path: &OsStr) -> Result<()> {
    loop {
        let data = reader.data()?;
        if data.is_empty() {
            return Ok(());
        }
        let count = match write(fd, data) {
            Err(Errno::EINTR) => 0,
            other => other.doing_to("cannot write", path)?,
        };
        reader.take(count);
    }
}

/// Copies the pieces of a sparse file to where they belong, and leaves holes between them.
fn copy_pieces(
    fd: BorrowedFd<'_>,
    member: &Member,
    reader: &mut Reader<'_>,
    path: &OsStr,
) -> Result<()> {
    const WRITING: &str = "cannot write";
    let signed = |offset: u64| i64::try_from(offset).map_err(|_| Errno::EFBIG);
    for piece in member.pieces.as_deref().unwrap_or_default() {
        let mut done = 0;
        while done < piece.length {
            let data = reader.data()?;
            let left = usize::try_from(piece.length - done).unwrap_or(usize::MAX);
            let data = data.get(..left).unwrap_or(data);
            let offset = signed(piece.offset + done).doing_to(WRITING, path)?;
            let count = match pwrite(fd, data, offset) {
                Err(Errno::EINTR) => 0,
                other => other.doing_to(WRITING, path)?,
            };
            reader.take(count);
            done += count as u64;
        }
    }
    let size = signed(member.size).doing_to(WRITING, path)?;
    ftruncate(fd, size).doing_to(WRITING, path)
}

/// A member that is refused.
pub(super) fn bad(member: &Member, why: &'static str) -> Error {
    Error::new("bad member of the archive:")
        .on(OsStr::from_bytes(&member.path))
        .because(why)
}

fn too_much(what: &str, limit: u64) -> Error {
    Error::new(format!("the image has more than {limit} {what}"))
        .hint("the limits are against images that are made to fill a disk: --max-entries and --max-bytes raise them")
}
