//! The OCI spec of container run: what of its flags the engine is to make.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use isobox::accounts::Accounts;
use isobox::cgroup::limits::Limits;
use isobox::credentials::{Identity, identity};
use isobox::decimal::decimal;
use isobox::error::{Doing, Error, Result};
use isobox::idmap;
use isobox::namespace::Kind;
use isobox::oci::ranges::Taken;
use isobox::oci::spec::Seccomp;
use isobox::oci::{self, Mount, Resources, Root, Spec, User};
use isobox::root::{self, inside};
use nix::unistd::geteuid;

use super::super::images::{Prepared, Wanted, is_volume};
use super::super::values::{
    CgroupView, Ids, absolute_inside, bind, bytes, capabilities, check_name, enough_memory,
    env_file, pair, set_variable,
};
use super::super::{device, more};
use super::Run;
use crate::cli::mapped::lack;
use crate::cli::raw::{Raw, words};

impl Run {
    /// The image, where the root is to be one: the first word names it.
    fn image(&self, words: &mut Vec<OsString>, kept: Option<&str>) -> Result<Option<Prepared>> {
        if self.rootfs.is_some() {
            return Ok(None);
        }
        if words.is_empty() {
            return Err(Error::new("no image given").hint(
                "container run [OPTION]... IMAGE [PROGRAM [ARGUMENT]...]; --rootfs DIR|host is a root that is no image",
            ));
        }
        let name = words.remove(0);
        let wanted = Wanted {
            name: &name.to_string_lossy(),
            pull: self.pull.unwrap_or_default(),
            platform: self.platform.as_deref(),
            quiet: self.quiet,
            copy: self.copy,
            told_only: self.told_only(),
        };
        wanted.prepare(kept).map(Some)
    }

    /// What is run: as docker has it, --entrypoint takes the place of all that the image says.
    fn command(&self, image: Option<&Prepared>, words: Vec<OsString>) -> Vec<OsString> {
        let mut all: Vec<OsString> = Vec::new();
        match (&self.entrypoint, image.map(Prepared::execution)) {
            (Some(Raw(program)), _) => {
                all.extend(Some(program.clone()).filter(|word| !word.is_empty()));
            }
            (None, Some(image)) => {
                all.extend(image.entrypoint.iter().map(OsString::from));
                if words.is_empty() {
                    all.extend(image.cmd.iter().map(OsString::from));
                }
            }
            (None, None) => {}
        }
        all.extend(words);
        all
    }

    /// The image, if there is one, and the program, with the one above it that was asked for. What a container writes that
    /// is `kept` by a name is kept too.
    pub(super) fn image_and_words(
        &mut self,
        kept: Option<&str>,
    ) -> Result<(Option<Prepared>, Vec<OsString>)> {
        let mut program = words(std::mem::take(&mut self.program));
        let image = self.image(&mut program, kept)?;
        let program = self.command(image.as_ref(), program);
        if program.is_empty() {
            return Err(Error::new("no program given")
                .hint("container run --rootfs DIR|host [OPTION]... PROGRAM [ARGUMENT]..."));
        }
        let above: &[&str] = if self.init { &["pid1", "--"] } else { &[] };
        let all = above.iter().map(OsString::from).chain(program).collect();
        Ok((image, all))
    }

    /// The spec, with what holds the ids of the container that is `kept` by this id.
    pub(super) fn spec(
        mut self,
        args: Vec<OsString>,
        image: Option<&Prepared>,
        kept: Option<&str>,
    ) -> Result<(Spec, Option<Taken>)> {
        let mut root = match image {
            Some(image) => image.root.clone(),
            None => self.root()?,
        };
        let mut who = self.identity(&root, image)?;
        if image.is_some() && self.userns.is_none() && !geteuid().is_root() && lack().is_none() {
            // Its layers have been unpacked with these.
            self.userns = Some(Ids::Subids);
        }
        let (maps, taken) = self.own_ids(&who, &mut root, kept)?;
        // With one id each the kernel lets nobody choose groups.
        let one_group = maps
            .as_ref()
            .is_some_and(|[_, groups]| idmap::count(groups) == 1);
        if one_group && !self.group_add.is_empty() {
            return Err(Error::new(
                "--group-add cannot be: there is one group, and nobody may choose others",
            )
            .hint("--userns subids gives it the groups of /etc/subgid"));
        }
        let mut spec = Spec::new(args, root, maps);
        spec.hostname = self.name_inside()?;
        spec.root.readonly = self.read_only;
        if matches!(self.cgroupns, Some(CgroupView::Host)) {
            spec.share(Kind::Cgroup);
        }
        if let Some(path) = self.cgroup.take() {
            spec.linux.cgroups_path = Path::new("/").join(path.0);
        }
        spec.linux.resources = Resources::of_settings(self.limits()?.settings([])?);
        let process = &mut spec.process;
        process.terminal = self.tty;
        process.no_new_privileges = !self.allow_new_privileges;
        if self.strict {
            self.cap_drop.push(Raw("ALL".into()));
        }
        process.capabilities = capabilities(&self.cap_add, &self.cap_drop)?;
        process.rlimits = oci::limits();
        let home = who
            .user
            .as_ref()
            .map(|user| user.home.clone())
            .filter(|home| !home.is_empty());
        process.env = oci::environment(
            &spec.hostname,
            &home.unwrap_or_else(|| "/".into()),
            self.tty,
        );
        if let Some(image) = image.map(Prepared::execution) {
            for entry in oci::of_image::variables(&image.env) {
                set_variable(&mut process.env, OsStr::new(entry))?;
            }
            process.cwd = Path::new("/").join(&image.working_dir);
        }
        for Raw(file) in &self.env_file {
            env_file(&mut process.env, file)?;
        }
        for Raw(entry) in &self.env {
            set_variable(&mut process.env, entry)?;
        }
        if let Some(dir) = &self.workdir {
            process.cwd = absolute_inside("working directory", &dir.0)?;
        }
        self.add_mounts(&mut spec, image)?;
        self.add_more(&mut spec)?;
        self.relax(&mut spec)?;
        spec.run_as(User {
            uid: who.uid,
            gid: who.gid,
            umask: Some(0o022),
            additional_gids: match one_group {
                true => Vec::new(),
                false => {
                    who.groups.insert(0, who.gid);
                    who.groups
                }
            },
        });
        Ok((spec, taken))
    }

    /// The mounts besides those of the default profile.
    fn add_mounts(&self, spec: &mut Spec, image: Option<&Prepared>) -> Result<()> {
        // A path alone is a volume as the image has them.
        let alone = |raw: &&Raw| {
            let word = raw.0.as_bytes();
            image.is_some() && word.starts_with(b"/") && !word.contains(&b':')
        };
        let (alone, binds): (Vec<&Raw>, Vec<&Raw>) = self.volume.iter().partition(alone);
        let mut own = Vec::new();
        for Raw(volume) in binds {
            own.push(bind(volume)?);
        }
        for words in &self.mount {
            own.push(more::mount(words)?);
        }
        for words in &self.tmpfs {
            own.push(more::tmpfs(words)?);
        }
        if let Some(image) = image {
            // What somebody mounts himself is in the place of a volume.
            let mut volumes = image.volumes(&alone, self.told_only())?;
            let same =
                |one: &Mount, other: &Mount| inside(&one.destination) == inside(&other.destination);
            volumes.retain(|volume| !own.iter().any(|other| same(volume, other)));
            let kept = volumes.iter_mut().filter(|mount| is_volume(mount));
            if spec.root.mapped {
                kept.for_each(|mount| mount.options.push("idmap".into()));
            }
            spec.mounts.extend(volumes);
        }
        spec.mounts.extend(own);
        Ok(())
    }

    /// Limits and settings that the default profile has not.
    fn add_more(&self, spec: &mut Spec) -> Result<()> {
        for note in &self.annotation {
            let (name, value) = pair(note)?;
            spec.annotations.put(&name, value);
        }
        if let Some(size) = &self.shm_size {
            more::shm_size(spec, size)?;
        }
        for limit in &self.ulimit {
            more::ulimit(spec, limit)?;
        }
        for setting in &self.sysctl {
            more::sysctl(spec, setting)?;
        }
        for device in &self.device {
            device::allow(spec, &device.0)?;
        }
        device::guard(spec);
        Ok(())
    }

    /// What of the default profile is taken back, each by its name.
    fn relax(&self, spec: &mut Spec) -> Result<()> {
        if self.strict {
            spec.be_strict();
        }
        if let (true, Some(seccomp)) = (self.arch32, &mut spec.linux.seccomp) {
            if std::env::consts::ARCH != "x86_64" {
                return Err(Error::new("--arch32 is not there")
                    .because("the calls of this machine's programs of 32 bits are not known"));
            }
            seccomp.architectures = ["SCMP_ARCH_X86", "SCMP_ARCH_X32"].map(String::from).into();
        }
        if self.privileged {
            return Err(Error::new("--privileged is not there")
                .because("it would take all protection away at once")
                .hint("name what is needed: --cap-add, --security-opt seccomp=unconfined, -v /dev/..."));
        }
        for option in &self.security_opt {
            match option.split_once(['=', ':']).unwrap_or((option, "true")) {
                ("seccomp", "unconfined") => spec.linux.seccomp = None,
                ("seccomp", file) => {
                    let file = std::path::absolute(file).doing_to("cannot find", file)?;
                    spec.linux.seccomp = Some(Seccomp::of_file(&file)?);
                }
                ("systempaths", "unconfined") => {
                    spec.linux.masked_paths.clear();
                    spec.linux.readonly_paths.clear();
                }
                // There is none that is not asked for.
                ("apparmor", "unconfined") | ("label", "disable") => {}
                ("label", _) => {
                    return Err(Error::new("no SELinux label can be chosen here:")
                        .on(option)
                        .hint("process.selinuxLabel of a config.json can: --bundle"));
                }
                ("apparmor", profile) => spec.process.apparmor_profile = profile.into(),
                ("no-new-privileges", "true") => spec.process.no_new_privileges = true,
                ("no-new-privileges", "false") => spec.process.no_new_privileges = false,
                _ => return Err(Error::new("unknown security option").on(option)),
            }
        }
        Ok(())
    }

    /// Whether it may have any number of processes: docker's words for that, and the kernel's.
    pub(super) fn processes_unlimited(&self) -> bool {
        matches!(self.pids_limit.as_deref(), Some("-1" | "0" | "max"))
    }

    fn limits(&mut self) -> Result<Limits> {
        let both = self.memory_swap.take().filter(|both| both != "0");
        let swap = match (self.swap.take(), both) {
            (Some(_), Some(_)) => {
                return Err(Error::new(
                    "--swap and --memory-swap say the same: one of them is enough",
                ));
            }
            (None, Some(both)) => Some(swap_of(self.memory.as_deref(), &both)?),
            (swap, None) => swap,
        };
        Ok(Limits {
            memory: self.memory.take().map(enough_memory).transpose()?,
            swap,
            cpus: self.cpus.take(),
            cpuset: self.cpuset_cpus.take(),
            pids: match self.processes_unlimited() {
                true => None,
                false => self.pids_limit.take(),
            },
            io: std::mem::take(&mut self.io),
            ..Limits::default()
        })
    }

    fn root(&self) -> Result<Root> {
        match &self.rootfs {
            None => Err(Error::new("no root given")),
            Some(Raw(dir)) if dir == "host" => Ok(Root::of_host()),
            Some(Raw(dir)) => std::path::absolute(dir)
                .map(Root::directory)
                .doing_to("cannot find", dir),
        }
    }

    /// Who runs the program, by the accounts of the root it will run in.
    fn identity(&self, root: &Root, image: Option<&Prepared>) -> Result<Identity> {
        let mut accounts = match image {
            Some(image) => image.accounts()?,
            None => Accounts::of_root(root::open(&root.path)?),
        };
        let own = image.map_or("", |image| &image.execution().user);
        let user = self.user.as_ref().map_or(OsStr::new(own), |user| &user.0);
        let mut who = identity(user, &mut accounts)?;
        for Raw(word) in &self.group_add {
            let number = word.to_str().and_then(decimal);
            let named = number.map_or_else(|| accounts.group(word), |gid| Ok(Some(gid)))?;
            let unknown = || Error::new("the root's /etc/group has no group").on(word);
            who.groups.push(named.ok_or_else(unknown)?);
        }
        Ok(who)
    }

    fn name_inside(&self) -> Result<OsString> {
        if let Some(Raw(name)) = &self.name {
            check_name(name)?;
        }
        match self.hostname.as_ref().or(self.name.as_ref()) {
            Some(Raw(name)) if name.as_bytes().iter().any(u8::is_ascii_control) => {
                Err(Error::new("invalid host name").on(name))
            }
            Some(Raw(name)) => Ok(name.clone()),
            None => oci::random_name(),
        }
    }
}

/// How much swap is left of what is for memory and swap together.
fn swap_of(memory: Option<&str>, both: &str) -> Result<String> {
    let bad = |why: &'static str| Error::new("invalid --memory-swap").on(both).because(why);
    if both == "-1" {
        return Ok("max".into());
    }
    let all = bytes(both).ok_or_else(|| bad("a size, or -1, is expected"))?;
    let memory = memory.ok_or_else(|| bad("it includes memory, which has no limit"))?;
    let memory = bytes(memory).ok_or_else(|| Error::new("invalid size").on(memory))?;
    let swap = all.checked_sub(memory);
    swap.map(|swap| swap.to_string())
        .ok_or_else(|| bad("it includes memory, which may be more than that"))
}

#[cfg(test)]
mod tests {
    use super::swap_of;

    #[test]
    fn swap_is_what_memory_leaves() {
        let cases = [
            (Some("100m"), "-1", Some("max")),
            (Some("1k"), "3k", Some("2048")),
            (Some("1k"), "1k", Some("0")),
            (Some("1k"), "1", None),
            (None, "1k", None),
            (Some("x"), "1k", None),
            (Some("1k"), "max", None),
        ];
        for (memory, both, want) in cases {
            let got = swap_of(memory, both).ok();
            assert_eq!(got.as_deref(), want, "{memory:?} {both}");
        }
    }
}
