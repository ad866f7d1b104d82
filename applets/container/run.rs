//! container run: the flags of docker run make an OCI spec (`isobox::oci`), which is compiled to a plan.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use argh::{ArgsInfo, FromArgs};
use isobox::accounts::Accounts;
use isobox::cgroup::limits::Limits;
use isobox::credentials::{Identity, identity};
use isobox::error::{Doing, Error, Result};
use isobox::idmap::{self, Block, Range, Single, with_single};
use isobox::oci::spec::Seccomp;
use isobox::oci::{self, Resources, Root, Setting, Spec, User};
use isobox::plan::Plan;
use isobox::process::signal_number;
use isobox::root;
use isobox::subid;
use nix::unistd::{getegid, geteuid};

use super::images::{Prepared, Pull, Wanted};
use super::more;
use super::network;
use super::start::Keys;
use super::values::{
    CgroupPath, CgroupView, Ids, Said, Truth, absolute_inside, bind, bytes, capabilities,
    check_name, env_file, lines, pair, set_variable, single_maps, values,
};
use crate::cli::mapped::lack;
use crate::cli::plan::{Explain, perform};
use crate::cli::raw::{Raw, words};
use crate::cli::{Exit, help};

/// run a program in a new container, and end as it ends
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "run",
    example = "container run --memory 100M -it alpine sh",
    example = "container run --rootfs ./alpine -it -v ./src:/src:ro -w /src sh",
    example = "container run --rootfs host --memory 256M --cpus 1.5 --pids 100 make",
    example = "container run -d --name web --rootfs ./alpine httpd -f",
    note = "An ordinary user's container has a user namespace of its own. Nothing is kept of a container that has no name and is watched to its end. One that is given --detach, --name or --cidfile is kept until container rm, or its end with --rm: its log, its settings and how it ended. Files written on the host's root are gone with it in any case."
)]
pub(super) struct Run {
    /// when to fetch the image: missing (where it is not here), always or never
    #[argh(option, arg_name = "missing|always|never")]
    pull: Option<Pull>,
    /// of an image for several platforms, take the one for this
    #[argh(option, arg_name = "os/arch")]
    platform: Option<String>,
    /// say nothing while the image is fetched
    #[argh(switch, short = 'q')]
    quiet: bool,
    /// make a copy of the image for it, and no overlay of its layers
    #[argh(switch)]
    copy: bool,
    /// run this program on the arguments, instead of what the image wants
    #[argh(option, arg_name = "program")]
    entrypoint: Option<Raw>,
    /// the directory to be the root, or host for the machine's own root, below a layer that is thrown away
    #[argh(option, arg_name = "dir|host")]
    pub(super) rootfs: Option<Raw>,
    /// run the container that config.json in this directory describes, as it stands there
    #[argh(option, short = 'b', arg_name = "dir")]
    bundle: Option<Raw>,
    /// the host name inside
    #[argh(option, arg_name = "name")]
    pub(super) hostname: Option<Raw>,
    /// the container's name, which is its host name too unless --hostname says another
    #[argh(option, arg_name = "name")]
    pub(super) name: Option<Raw>,
    /// run it in the background and print its id
    #[argh(switch, short = 'd')]
    pub(super) detach: bool,
    /// make it and do not start it, as container create does
    #[argh(switch)]
    pub(super) no_start: bool,
    /// the keys that leave it alone (ctrl-p,ctrl-q)
    #[argh(option, arg_name = "keys")]
    pub(super) detach_keys: Option<Keys>,
    /// pass signals on to it, which is done without this too; false for not
    #[argh(option, arg_name = "[=true|false]")]
    pub(super) sig_proxy: Option<Truth>,
    /// take the place of the container that has the name, which is removed
    #[argh(switch)]
    pub(super) replace: bool,
    /// write its id to this file, which must not be there
    #[argh(option, arg_name = "file")]
    pub(super) cidfile: Option<Raw>,
    /// write the number of its first process to this file
    #[argh(option, arg_name = "file")]
    pub(super) pidfile: Option<Raw>,
    /// note this of it
    #[argh(option, short = 'l', arg_name = "name=value")]
    label: Vec<Raw>,
    /// note this of it in its config.json too
    #[argh(option, arg_name = "name=value")]
    annotation: Vec<Raw>,
    /// the signal that container stop sends (TERM)
    #[argh(option, arg_name = "signal")]
    stop_signal: Option<String>,
    /// how many seconds container stop waits before it kills (10)
    #[argh(option, arg_name = "seconds")]
    pub(super) stop_timeout: Option<u32>,
    /// how its log is kept: k8s-file, or none
    #[argh(option, arg_name = "driver")]
    log_driver: Option<String>,
    /// how long a log may get: max-size=16m
    #[argh(option, arg_name = "name=value")]
    log_opt: Vec<String>,
    /// start it again when it ends (refused: nothing of ours runs on for that)
    #[argh(option, arg_name = "policy")]
    restart: Option<String>,
    /// run as this user and group, by name (of the root's own /etc/passwd) or number
    #[argh(option, short = 'u', arg_name = "user[:group]")]
    user: Option<Raw>,
    /// set this variable; NAME alone takes it from our environment
    #[argh(option, short = 'e', arg_name = "name=value")]
    env: Vec<Raw>,
    /// set the variables of this file, a line each
    #[argh(option, arg_name = "file")]
    env_file: Vec<Raw>,
    /// start in this directory, which is made where it is missing
    #[argh(option, short = 'w', arg_name = "dir")]
    workdir: Option<Raw>,
    /// make the root read-only
    #[argh(switch)]
    read_only: bool,
    /// show a directory or file of the host inside: SRC:DST[:ro]
    #[argh(option, short = 'v', arg_name = "src:dst[:ro]")]
    volume: Vec<Raw>,
    /// the same in words: type=bind,source=SRC,target=DST[,readonly]; type=tmpfs,target=DST
    #[argh(option, arg_name = "words")]
    mount: Vec<String>,
    /// a directory in memory: DST[:size=64m,mode=1777]
    #[argh(option, arg_name = "dst[:options]")]
    tmpfs: Vec<String>,
    /// how large /dev/shm may get (64m)
    #[argh(option, arg_name = "size")]
    shm_size: Option<String>,
    /// a limit of each of its processes: nofile=1024:2048
    #[argh(option, arg_name = "name=soft[:hard]")]
    ulimit: Vec<String>,
    /// a setting of its kernel: net.ipv4.ip_forward=1
    #[argh(option, arg_name = "name=value")]
    sysctl: Vec<Raw>,
    /// one more group of its user, by number
    #[argh(option, arg_name = "gid")]
    group_add: Vec<u32>,
    /// its process numbers: private, host or container:ID
    #[argh(option, arg_name = "kind")]
    pid: Option<String>,
    /// its shared memory and message queues: private, host or container:ID
    #[argh(option, arg_name = "kind")]
    ipc: Option<String>,
    /// its host name: private, host or container:ID
    #[argh(option, arg_name = "kind")]
    uts: Option<String>,
    /// give it a terminal of its own
    #[argh(switch, short = 't')]
    pub(super) tty: bool,
    /// connect our standard input; without it the program's is empty
    #[argh(switch, short = 'i')]
    pub(super) interactive: bool,
    /// put a first process above the program that passes signals on and collects what ends
    #[argh(switch)]
    pub(super) init: bool,
    /// remove the container when it ends, as is always done with one that has no name and is watched
    #[argh(switch)]
    pub(super) rm: bool,
    /// limit memory to this many bytes (100M)
    #[argh(option, short = 'm', arg_name = "size")]
    memory: Option<String>,
    /// let it have this much swap, or max; without this a memory limit means no swap
    #[argh(option, arg_name = "size")]
    swap: Option<String>,
    /// limit CPU time to this many CPUs (1.5), or to a part of one (20%)
    #[argh(option, arg_name = "cpus")]
    cpus: Option<String>,
    /// the CPUs it may run on (0-1,4)
    #[argh(option, arg_name = "list")]
    cpuset: Option<String>,
    /// how many processes and threads it may have
    #[argh(option, arg_name = "count")]
    pids: Option<String>,
    /// limit io, as DEVICE:rbps=1M,wiops=100 (a path stands for the disk it is on)
    #[argh(option, arg_name = "device:limits")]
    io: Vec<String>,
    /// put it into this control group, which is made if it is not there, and removed again then
    #[argh(option, arg_name = "path")]
    cgroup: Option<CgroupPath>,
    /// its view of control groups: private (its own is the root) or host
    #[argh(option, arg_name = "private|host")]
    cgroupns: Option<CgroupView>,
    /// the ids inside of an ordinary user's container: single (its own alone) or subids (those of /etc/subuid too)
    #[argh(option, arg_name = "single|subids")]
    userns: Option<Ids>,
    /// leave it this capability too, or ALL
    #[argh(option, arg_name = "cap")]
    cap_add: Vec<Raw>,
    /// take this capability from it, or ALL
    #[argh(option, arg_name = "cap")]
    cap_drop: Vec<Raw>,
    /// relax what it may do: seccomp=unconfined, seccomp=FILE (rules in JSON), no-new-privileges=false
    #[argh(option, arg_name = "what")]
    security_opt: Vec<String>,
    /// let its programs gain privileges by set-user-id files and file capabilities
    #[argh(switch)]
    allow_new_privileges: bool,
    /// take nothing from it, as docker does (refused: there is no such mode)
    #[argh(switch)]
    privileged: bool,
    /// its network: private (lo alone), none, host, bridge[=NAME], pasta, slirp4netns, ns:PATH, container:ID
    #[argh(option, arg_name = "kind")]
    network: Option<Said<network::Network>>,
    /// lead ports of this machine into it: [ADDRESS:]HOST:GUEST[/udp], or ranges of them; may be repeated
    #[argh(option, short = 'p', arg_name = "host:guest")]
    publish: Vec<Said<network::Publish>>,
    /// the name server it asks; may be repeated
    #[argh(option, arg_name = "address")]
    dns: Vec<Said<std::net::IpAddr>>,
    /// one more line of its /etc/hosts: NAME:ADDRESS, or NAME:host-gateway; may be repeated
    #[argh(option, arg_name = "name:address")]
    add_host: Vec<Said<network::HostLine>>,
    /// its address in the network of the bridge
    #[argh(option, arg_name = "address")]
    ip: Option<Said<std::net::Ipv4Addr>>,
    /// its IPv6 address in the network of the bridge; auto: one that is free
    #[argh(option, arg_name = "address|auto")]
    ip6: Option<Said<network::Ip6>>,
    /// print the config.json of the container, and do nothing
    #[argh(switch)]
    spec: bool,
    /// print a shell script that runs the same container, and do nothing
    #[argh(switch)]
    script: bool,
    /// tell what would be done and do nothing; json for programs, run to tell while doing
    #[argh(option, arg_name = "[=how]")]
    explain: Option<Explain>,
    /// the image, unless --rootfs is given, and the program with its arguments, unless it is the image's own
    #[argh(positional, arg_name = "image|program", greedy)]
    pub(super) program: Vec<Raw>,
}
impl Run {
    pub(super) fn run(self) -> Result<Exit> {
        if let Some(policy) = self.restart.as_deref().filter(|policy| *policy != "no") {
            return Err(Error::new("--restart is not there:")
                .on(policy)
                .because("there is no daemon that would start it again")
                .hint("a service manager, or a loop in a shell, can run container run"));
        }
        if self.spec {
            return self.print_spec();
        }
        let (script, explain, of_bundle) = (self.script, self.explain, self.bundle.is_some());
        let done = !script && matches!(explain, None | Some(Explain::Run));
        if done && (self.detach || self.no_start || self.name.is_some() || self.cidfile.is_some()) {
            return super::start::run(self);
        }
        let (plan, _image) = match &self.bundle {
            Some(Raw(dir)) => (self.plan_of_bundle(Path::new(dir))?, None),
            None => self.plan()?,
        };
        if script {
            let left = plan.unsaid();
            if of_bundle && !left.is_empty() {
                return Err(Error::new("no script can say").on(left.join(", ")));
            }
            return help::print_all(&plan.script());
        }
        match perform(&plan, explain)? {
            // The status says it: the signal was not for us.
            Exit::Signal(signal) => Ok(Exit::Status(u8::try_from(128 + signal).unwrap_or(u8::MAX))),
            exit => Ok(exit),
        }
    }

    /// The container of a bundle, which no other option can change.
    fn plan_of_bundle(&self, dir: &Path) -> Result<Plan> {
        if self.rootfs.is_some() || !self.program.is_empty() {
            return Err(Error::new("--bundle stands alone")
                .because("the root and the program are those of its config.json"));
        }
        let bundle = std::path::absolute(dir).doing_to("cannot find", dir)?;
        let setting = Setting {
            input: true,
            ..Setting::default()
        };
        let mut spec = Spec::of_bundle(&bundle)?;
        spec.start_from(&bundle);
        oci::compile(&spec, setting)
    }

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
            told_only: self.script
                || self.spec
                || matches!(self.explain, Some(Explain::Text | Explain::Json)),
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

    /// The root of an image is called rootfs in it, which is where `mkrootfs -o oci-bundle` has it.
    fn print_spec(mut self) -> Result<Exit> {
        let (image, args) = self.image_and_words(None)?;
        let asked = self.network_asked();
        let mut spec = self.spec(args, image.as_ref())?;
        asked.apply(&mut spec)?;
        if image.is_some() {
            spec.root.path = "rootfs".into();
        }
        help::print_all(&format!("{}\n", spec.to_json()?))
    }

    fn plan(mut self) -> Result<(Plan, Option<Prepared>)> {
        let (image, args) = self.image_and_words(None)?;
        let first = args.first().and_then(|word| word.to_str());
        let setting = Setting {
            input: self.interactive,
            own_binary: first.is_some_and(|name| crate::table::find(name).is_some()),
            oom_score_at_least: true,
            ..Setting::default()
        };
        let asked = self.network_asked();
        let shared = self.shared();
        let mut spec = self.spec(args, image.as_ref())?;
        more::share(&mut spec, &shared)?;
        let additions = asked.apply(&mut spec)?;
        let setting = Setting {
            additions: Some(&additions),
            ..setting
        };
        Ok((oci::compile(&spec, setting)?, image))
    }

    fn network_asked(&mut self) -> network::Asked {
        let name = self
            .name
            .as_ref()
            .map(|name| name.0.to_string_lossy().into_owned());
        network::Asked {
            network: self.network.take().map(Said::value),
            publish: values(&mut self.publish),
            dns: values(&mut self.dns),
            hosts: values(&mut self.add_host),
            ip: self.ip.take().map(Said::value),
            ip6: self.ip6.take().map(Said::value),
            name,
            script: self.script,
            told_only: self.spec || matches!(self.explain, Some(Explain::Text | Explain::Json)),
        }
    }

    /// What was asked for of the network, as it was typed: one a line.
    pub(super) fn network_words(&self) -> [(&'static str, String); 6] {
        [
            ("network", lines(self.network.as_slice())),
            ("publish", lines(&self.publish)),
            ("dns", lines(&self.dns)),
            ("add-host", lines(&self.add_host)),
            ("ip", lines(self.ip.as_slice())),
            ("ip6", lines(self.ip6.as_slice())),
        ]
    }

    /// The namespaces that it is to share, a line each.
    pub(super) fn shared(&self) -> String {
        let all = [("pid", &self.pid), ("ipc", &self.ipc), ("uts", &self.uts)];
        let all = all.into_iter();
        let line =
            |(name, value): (&str, &Option<String>)| Some(format!("{name}={}", value.as_deref()?));
        all.filter_map(line).collect::<Vec<_>>().join("\n")
    }

    /// `--label`, by name.
    pub(super) fn labels(&self) -> Result<Vec<(String, String)>> {
        self.label.iter().map(pair).collect()
    }

    /// How long a file of its log may get; 0 where it has none.
    pub(super) fn log_size(&self) -> Result<u64> {
        match self.log_driver.as_deref() {
            Some("none") => return Ok(0),
            None | Some("k8s-file") => {}
            Some(other) => {
                return Err(Error::new("no such log driver:")
                    .on(other)
                    .because("k8s-file and none are those there are"));
            }
        }
        let mut most = 16 << 20;
        for option in &self.log_opt {
            let size = option.strip_prefix("max-size=").and_then(bytes);
            most = size.filter(|size| *size > 0).ok_or_else(|| {
                Error::new("no such log option:")
                    .on(option)
                    .because("max-size=SIZE is the one there is")
            })?;
        }
        Ok(most)
    }

    /// The signal that stops it.
    pub(super) fn stop_signal_number(&self, image: Option<&Prepared>) -> Result<i32> {
        let own = image.map(|image| &*image.execution().stop_signal);
        let own = own.filter(|word| !word.is_empty()).unwrap_or("TERM");
        let word = self.stop_signal.as_deref().unwrap_or(own);
        signal_number(word).ok_or_else(|| Error::new("unknown signal").on(word))
    }

    pub(super) fn spec(mut self, args: Vec<OsString>, image: Option<&Prepared>) -> Result<Spec> {
        let root = match image {
            Some(image) => image.root.clone(),
            None => self.root()?,
        };
        let who = self.identity(&root, image)?;
        if image.is_some() && self.userns.is_none() && !geteuid().is_root() && lack().is_none() {
            // Its layers have been unpacked with these.
            self.userns = Some(Ids::Subids);
        }
        let maps = self.maps(&who)?;
        // With one id each the kernel lets nobody choose groups.
        let one_group = maps.as_ref().is_some_and(|[_, groups]| groups.len() == 1);
        let mut spec = Spec::new(args, root, maps);
        spec.hostname = self.name_inside()?;
        spec.root.readonly = self.read_only;
        if matches!(self.cgroupns, Some(CgroupView::Host)) {
            spec.share_cgroups();
        }
        if let Some(path) = self.cgroup.take() {
            spec.linux.cgroups_path = Path::new("/").join(path.0);
        }
        spec.linux.resources = Resources::of_settings(self.limits().settings([])?);
        let process = &mut spec.process;
        process.terminal = self.tty;
        process.no_new_privileges = !self.allow_new_privileges;
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
        for Raw(volume) in &self.volume {
            spec.mounts.push(bind(volume)?);
        }
        self.add_more(&mut spec)?;
        self.relax(&mut spec)?;
        spec.run_as(User {
            uid: who.uid,
            gid: who.gid,
            umask: Some(0o022),
            additional_gids: match one_group {
                true => Vec::new(),
                false => [vec![who.gid], who.groups, self.group_add].concat(),
            },
        });
        Ok(spec)
    }

    /// Mounts, limits and settings that the default profile has not.
    fn add_more(&self, spec: &mut Spec) -> Result<()> {
        for note in &self.annotation {
            let (name, value) = pair(note)?;
            spec.annotations.put(&name, value);
        }
        for words in &self.mount {
            spec.mounts.push(more::mount(words)?);
        }
        for words in &self.tmpfs {
            spec.mounts.push(more::tmpfs(words)?);
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
        Ok(())
    }

    /// What of the default profile is taken back, each by its name.
    fn relax(&self, spec: &mut Spec) -> Result<()> {
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
                ("no-new-privileges", "true") => spec.process.no_new_privileges = true,
                ("no-new-privileges", "false") => spec.process.no_new_privileges = false,
                _ => return Err(Error::new("unknown security option").on(option)),
            }
        }
        Ok(())
    }

    fn limits(&mut self) -> Limits {
        Limits {
            memory: self.memory.take(),
            swap: self.swap.take(),
            cpus: self.cpus.take(),
            cpuset: self.cpuset.take(),
            pids: self.pids.take(),
            io: std::mem::take(&mut self.io),
            ..Limits::default()
        }
    }

    /// The ids of a user namespace of its own, which an ordinary user's container has.
    fn maps(&self, who: &Identity) -> Result<Option<[Vec<Range>; 2]>> {
        match (&self.userns, geteuid().is_root()) {
            (None, true) => Ok(None),
            (Some(_), true) => Err(Error::new("--userns is for ordinary users")
                .because("root's container has the ids of the machine")),
            (None | Some(Ids::Single), false) => Ok(Some(single_maps(who))),
            (Some(Ids::Subids), false) => {
                let map = |ids, own| -> Result<Vec<Range>> {
                    let (outside, count) = subid::first_block(ids)?;
                    let single = Single {
                        inside: 0,
                        outside: own,
                    };
                    Ok(with_single(
                        &[Block::FromZero { outside, count }],
                        Some(single),
                    ))
                };
                Ok(Some([
                    map(idmap::Ids::User, geteuid().as_raw())?,
                    map(idmap::Ids::Group, getegid().as_raw())?,
                ]))
            }
        }
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
        identity(user, &mut accounts)
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
