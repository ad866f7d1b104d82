//! container run: the flags of docker run, and what is done by them. `run_check.rs` looks whether they go together,
//! `run_spec.rs` makes an OCI spec of them, `run_facts.rs` what a spec has no words for.

#[path = "run_check.rs"]
mod check;
#[path = "run_facts.rs"]
mod facts;
#[path = "run_spec.rs"]
mod spec;
#[path = "run_userns.rs"]
mod userns;

use argh::{ArgsInfo, FromArgs};
use isobox::cgroup::Hierarchies;
use isobox::error::{Error, Result};
use isobox::oci::ranges::Taken;
use isobox::oci::{self, Additions, Setting, Spec};
use isobox::plan::Plan;

use super::images::{Prepared, Pull};
use super::landlock;
use super::more;
use super::network;
use super::start::Keys;
use super::values::{CgroupPath, CgroupView, Ids, Said, Truth, values};
use crate::cli::plan::{Explain, own_applet, perform};
use crate::cli::raw::Raw;
use crate::cli::{Exit, help, say};

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
    #[argh(option, short = 'h', arg_name = "name")]
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
    /// show a directory or file of the host inside: SRC:DST[:ro,idmap], idmap with its owners' ids as those of the container; DST alone is a directory of its own, with an image
    #[argh(option, short = 'v', arg_name = "src:dst[:options]")]
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
    /// one more group of its user, by name (of the root's own /etc/group) or number
    #[argh(option, arg_name = "group")]
    group_add: Vec<Raw>,
    /// let it use this device of the host, a directory for all in it: SRC[:DST][:rwm]
    #[argh(option, arg_name = "src[:dst][:rwm]")]
    device: Vec<Raw>,
    /// its process numbers: private, host or container:ID
    #[argh(option, arg_name = "kind")]
    pid: Option<Said<more::Share>>,
    /// its shared memory and message queues: private, host or container:ID
    #[argh(option, arg_name = "kind")]
    ipc: Option<Said<more::Share>>,
    /// its host name: private, host or container:ID
    #[argh(option, arg_name = "kind")]
    uts: Option<Said<more::Share>>,
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
    /// the same as docker counts it: memory and swap together; -1 for no limit of swap
    #[argh(option, arg_name = "size")]
    memory_swap: Option<String>,
    /// limit CPU time to this many CPUs (1.5), or to a part of one (20%)
    #[argh(option, arg_name = "cpus")]
    cpus: Option<String>,
    /// the CPUs it may run on (0-1,4)
    #[argh(option, arg_name = "list")]
    cpuset_cpus: Option<String>,
    /// how many processes and threads it may have (1024, where that can be limited); -1 for any number
    #[argh(option, arg_name = "count")]
    pids_limit: Option<String>,
    /// limit io, as DEVICE:rbps=1M,wiops=100 (a path stands for the disk it is on)
    #[argh(option, arg_name = "device:limits")]
    io: Vec<String>,
    /// put it into this control group, which is made if it is not there, and removed again then
    #[argh(option, arg_name = "path")]
    cgroup: Option<CgroupPath>,
    /// its view of control groups: private (its own is the root) or host
    #[argh(option, arg_name = "private|host")]
    cgroupns: Option<CgroupView>,
    /// its ids: of root's auto (a range of its own of /etc/subuid, the default where root or containers has one there) or
    /// host; of an ordinary user's single (its own alone) or subids (those of /etc/subuid too)
    #[argh(option, arg_name = "auto|host|single|subids")]
    userns: Option<Ids>,
    /// leave it this capability too, or ALL
    #[argh(option, arg_name = "cap")]
    cap_add: Vec<Raw>,
    /// take this capability from it, or ALL
    #[argh(option, arg_name = "cap")]
    cap_drop: Vec<Raw>,
    /// change what it may do: seccomp=unconfined, seccomp=FILE (rules in JSON), no-new-privileges=false, systempaths=unconfined, apparmor=PROFILE
    #[argh(option, arg_name = "what")]
    security_opt: Vec<String>,
    /// take more from it than the default profile does: all capabilities, what /proc tells besides processes, control groups
    #[argh(switch)]
    strict: bool,
    /// keep it to its root with Landlock, and from processes and abstract sockets elsewhere
    #[argh(switch)]
    landlock: bool,
    /// keep it to what such rules name, as setpriv has them: path-beneath:RIGHTS:PATH, net-port:RIGHTS:PORT; may be repeated
    #[argh(option, arg_name = "rule")]
    landlock_rule: Vec<Raw>,
    /// let it run programs of 32 bits too (i386 and x32; its filter kills them without)
    #[argh(switch)]
    arch32: bool,
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
    /// let it ask 169.254.169.254, at a bridge, where clouds tell their machines secrets
    #[argh(switch)]
    allow_metadata: bool,
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

/// What a container that is not kept has as long as it lives.
type Held = (Option<Prepared>, Option<Taken>);

impl Run {
    /// Whether it is a bundle's, of which only the bundle says what it is.
    pub(super) fn is_of_bundle(&self) -> bool {
        self.bundle.is_some()
    }

    pub(super) fn run(mut self) -> Result<Exit> {
        if let Some(policy) = self.restart.as_deref().filter(|policy| *policy != "no") {
            return Err(Error::new("--restart is not there:")
                .on(policy)
                .because("there is no daemon that would start it again")
                .hint("a service manager, or a loop in a shell, can run container run"));
        }
        self.check()?;
        if self.spec {
            return self.print_spec();
        }
        if self.script {
            return help::print_all(&self.plan()?.0.script());
        }
        let stays = self.detach || self.no_start || self.name.is_some() || self.cidfile.is_some();
        if (stays || self.needs_home().is_some()) && !self.told_only() {
            if self.explain.is_some() {
                return Err(
                    Error::new("--explain=run is for a container that nothing is kept of")
                        .hint("--explain tells without doing"),
                );
            }
            // What nobody has named is gone with its end, whatever was noted of it.
            self.rm |= !stays;
            return super::start::run(self);
        }
        let explain = self.explain;
        let (plan, _held) = self.plan()?;
        perform(&plan, explain).map(as_status)
    }

    /// Whether nothing is done but to tell.
    fn told_only(&self) -> bool {
        self.script || self.spec || matches!(self.explain, Some(Explain::Text | Explain::Json))
    }

    /// The root of an image is called rootfs in it, which is where `mkrootfs -o oci-bundle` has it.
    fn print_spec(self) -> Result<Exit> {
        let cannot = |what: &str| Error::new("no config.json can say").on(what);
        if self.init {
            return Err(
                cannot("--init").because("the process above the program is not of its root")
            );
        }
        if !self.landlock_words().is_empty() {
            return Err(cannot("--landlock"));
        }
        let (mut spec, additions, (image, _), _) = self.meant()?;
        if spec.root.throw_away {
            return Err(
                cannot("--rootfs host").because("the root of the machine is not to be written to")
            );
        }
        if additions.are_there() {
            return Err(cannot("this network")
                .hint("--network private, host, ns:PATH and container:ID can be said"));
        }
        if image.is_some() {
            spec.root.path = "rootfs".into();
        }
        if spec.root.mapped {
            say(
                "note: the files of the root must belong to these ids, or be shown so by an id-mapped mount: no config.json can say that\n",
            );
        }
        help::print_all(&format!("{}\n", spec.to_json()?))
    }

    fn plan(self) -> Result<(Plan, Held)> {
        let input = self.interactive;
        let domain = landlock::words(&self.landlock_words(), landlock::Whose::Own)?;
        let (spec, additions, held, hierarchies) = self.meant()?;
        let setting = Setting {
            input,
            own_binary: own_applet(&spec.process.args),
            oom_score_at_least: true,
            additions: Some(&additions),
            landlock: domain.as_ref(),
            forbids_user_namespaces: !spec.may_nest(),
            hierarchies: hierarchies.as_ref(),
            namespace: held.1.as_ref().and_then(|ids| ids.namespace.as_ref()),
            ..Setting::default()
        };
        Ok((oci::compile(&spec, setting)?, held))
    }

    /// The spec that is meant, what it has no words for, and the hierarchies of control groups, where they were looked at.
    fn meant(mut self) -> Result<(Spec, Additions, Held, Option<Hierarchies>)> {
        let (image, args) = self.image_and_words(None)?;
        let asked = self.network_asked();
        let shared = self.shared();
        let unlimited = self.processes_unlimited();
        let (mut spec, taken) = self.spec(args, image.as_ref(), None)?;
        let hierarchies = (!unlimited).then(|| spec.limit_processes()).flatten();
        more::share(&mut spec, &shared)?;
        let additions = asked.apply(&mut spec)?;
        Ok((spec, additions, (image, taken), hierarchies))
    }

    fn network_asked(&mut self) -> network::Asked {
        let name = self
            .name
            .as_ref()
            .map(|name| name.0.to_string_lossy().into_owned());
        network::Asked {
            network: self.network.as_ref().map(Said::get).cloned(),
            publish: values(&mut self.publish),
            dns: values(&mut self.dns),
            hosts: values(&mut self.add_host),
            ip: self.ip.take().map(Said::value),
            ip6: self.ip6.take().map(Said::value),
            metadata: self.allow_metadata,
            name,
            script: self.script,
            told_only: self.told_only() && !self.script,
        }
    }
}

/// A program that a signal has ended gives a status: the signal was not for us.
pub(super) fn as_status(exit: Exit) -> Exit {
    match exit {
        Exit::Signal(signal) => Exit::Status(u8::try_from(128 + signal).unwrap_or(u8::MAX)),
        exit => exit,
    }
}
