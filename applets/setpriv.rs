//! setpriv(1): run a program with other privileges. util-linux's command line, and a word for every step that a
//! container takes besides.

#[path = "setpriv/dump.rs"]
mod dump;
#[path = "setpriv/order.rs"]
mod order;
#[path = "setpriv/values.rs"]
mod values;

use argh::{ArgsInfo, FromArgs};
use isobox::error::{Error, Result};

use crate::cli::help::print_all;
use crate::cli::plan::{Explain, perform};
use crate::cli::raw::Raw;
use crate::cli::{Applet, Exit};

/// A setting was asked for and could not be had: setpriv(1), "Notes".
const CANNOT_SET: u8 = 127;

/// run a program with different privilege settings
#[derive(FromArgs, ArgsInfo, Default)]
#[argh(
    subcommand,
    name = "setpriv",
    example = "setpriv --reuid=1000 --regid=1000 --init-groups id",
    example = "setpriv --caps=net_bind_service --no-new-privs sh",
    example = "setpriv --landlock-access fs:write-file --landlock-rule path-beneath::/tmp sh",
    note = "<caps> is a list of +name and -name, applied in order to the set in force; all stands for every capability, and a name may be written cap_N.",
    note = "A Landlock <access> is fs, net or scope, alone or with rights (fs:write-file,make-reg); a <rule> is path-beneath:[right,...]:path or net-port:[right,...]:port. --landlock-support lists the rights.",
    note = "--caps, --rlimit, --umask, --env, --clear-env, --workdir, --oom-score-adj, --new-session-keyring, --default-signals and --close-fds are additions to util-linux's setpriv.",
    error_code(1, "wrong usage"),
    error_code(126, "the program was found but could not be executed"),
    error_code(127, "a setting could not be applied, or the program was not found")
)]
pub(crate) struct Args {
    /// show current state (and do not exec); twice or thrice shows more
    #[argh(switch, short = 'd')]
    dump: u8,
    /// disallow granting new privileges
    #[argh(switch)]
    nnp: u8,
    /// the same
    #[argh(switch)]
    no_new_privs: u8,
    /// set ambient capabilities
    #[argh(option, arg_name = "caps")]
    ambient_caps: Vec<Raw>,
    /// set inheritable capabilities
    #[argh(option, arg_name = "caps")]
    inh_caps: Vec<Raw>,
    /// set capability bounding set
    #[argh(option, arg_name = "caps")]
    bounding_set: Vec<Raw>,
    /// leave these capabilities and no other: a list of names, none, all, or <caps>; sets the bounding, permitted and effective sets, and empties the inheritable and ambient ones unless they are given
    #[argh(option, arg_name = "list")]
    caps: Vec<Raw>,
    /// list all known capabilities
    #[argh(switch)]
    list_caps: u8,
    /// set real uid
    #[argh(option, arg_name = "uid|user")]
    ruid: Vec<Raw>,
    /// set effective uid
    #[argh(option, arg_name = "uid|user")]
    euid: Vec<Raw>,
    /// set real gid
    #[argh(option, arg_name = "gid|group")]
    rgid: Vec<Raw>,
    /// set effective gid
    #[argh(option, arg_name = "gid|group")]
    egid: Vec<Raw>,
    /// set real and effective uid
    #[argh(option, arg_name = "uid|user")]
    reuid: Vec<Raw>,
    /// set real and effective gid
    #[argh(option, arg_name = "gid|group")]
    regid: Vec<Raw>,
    /// clear supplementary groups
    #[argh(switch)]
    clear_groups: u8,
    /// keep supplementary groups
    #[argh(switch)]
    keep_groups: u8,
    /// initialize supplementary groups
    #[argh(switch)]
    init_groups: u8,
    /// set supplementary groups by gid or name, separated by commas
    #[argh(option, arg_name = "groups")]
    groups: Vec<Raw>,
    /// set securebits: a list of +bit and -bit
    #[argh(option, arg_name = "bits")]
    securebits: Vec<Raw>,
    /// set or clear parent death signal: keep, clear, or a signal's name
    #[argh(option, arg_name = "signame")]
    pdeathsig: Vec<Raw>,
    /// allow ptracing from the given process: a pid, any, or none
    #[argh(option, arg_name = "pid")]
    ptracer: Vec<Raw>,
    /// set SELinux label
    #[argh(option, arg_name = "label")]
    selinux_label: Vec<Raw>,
    /// set AppArmor profile
    #[argh(option, arg_name = "profile")]
    apparmor_profile: Vec<Raw>,
    /// add Landlock access
    #[argh(option, arg_name = "access")]
    landlock_access: Vec<Raw>,
    /// add Landlock rule
    #[argh(option, arg_name = "rule")]
    landlock_rule: Vec<Raw>,
    /// show what this kernel's Landlock can do
    #[argh(switch)]
    landlock_support: u8,
    /// list the kinds of Landlock access of this kernel
    #[argh(switch)]
    list_landlock_access: u8,
    /// list the rights of a kind of Landlock access
    #[argh(option, arg_name = "access")]
    list_landlock_rights: Vec<Raw>,
    /// load seccomp filter from file: raw instructions of classic BPF
    #[argh(option, arg_name = "file")]
    seccomp_filter: Vec<Raw>,
    /// load the default filter of containers, or rules in JSON as Docker and OCI have them
    #[argh(option, arg_name = "default|file")]
    seccomp_profile: Vec<Raw>,
    /// clear all environment and initialize HOME, SHELL, USER, LOGNAME and PATH
    #[argh(switch)]
    reset_env: u8,
    /// set a resource limit: NAME=SOFT[:HARD], as in nofile=1024:4096
    #[argh(option, arg_name = "limit")]
    rlimit: Vec<Raw>,
    /// set the file mode creation mask, in octal
    #[argh(option, arg_name = "mask")]
    umask: Option<Raw>,
    /// set a variable of the environment: NAME=VALUE
    #[argh(option, arg_name = "variable")]
    env: Vec<Raw>,
    /// start from an empty environment
    #[argh(switch)]
    clear_env: u8,
    /// start the program in this directory
    #[argh(option, arg_name = "dir")]
    workdir: Option<Raw>,
    /// weigh the program when memory runs out: -1000 (never killed) to 1000; with a + behind it, at least that
    #[argh(option, arg_name = "number")]
    oom_score_adj: Option<Raw>,
    /// start with a new, empty session keyring
    #[argh(switch)]
    new_session_keyring: bool,
    /// start with every signal at its default, none ignored, none blocked
    #[argh(switch)]
    default_signals: bool,
    /// close every descriptor but standard input, output and error
    #[argh(switch)]
    close_fds: bool,
    /// tell what would be done and do nothing; json for programs, run to tell while doing
    #[argh(option, arg_name = "[=how]")]
    explain: Option<Explain>,
    /// the program and its arguments
    #[argh(positional, greedy)]
    program: Vec<Raw>,
}

impl Applet for Args {
    fn run(self) -> Result<Exit> {
        if let Some(text) = self.asked()? {
            return print_all(&text);
        }
        self.refuse_duplicates()?;
        let explain = self.explain;
        let plan = self.plan()?;
        perform(&plan, explain).map_err(|error| match error.exit_status() {
            1 => error.status(CANNOT_SET),
            _ => error,
        })
    }
}

impl Args {
    /// The answer to an option that only asks, and therefore stands alone.
    fn asked(&self) -> Result<Option<String>> {
        let alone = |allowed: usize, words: &'static str| match self.given() == allowed {
            true if self.program.is_empty() => Ok(()),
            _ => Err(Error::new(words)),
        };
        if self.dump > 0 {
            alone(
                self.dump.into(),
                "--dump is incompatible with all other options",
            )?;
            return dump::state(self.dump).map(Some);
        }
        if self.list_caps > 0 {
            alone(1, "--list-caps must be specified alone")?;
            return Ok(Some(dump::capabilities()));
        }
        if self.landlock_support > 0 {
            alone(1, "--landlock-support must be specified alone")?;
            return dump::landlock_support().map(Some);
        }
        if self.list_landlock_access > 0 {
            alone(1, "--list-landlock-access must be specified alone")?;
            return dump::landlock_areas().map(Some);
        }
        if let Some(Raw(area)) = self.list_landlock_rights.first() {
            alone(1, "--list-landlock-rights must be specified alone")?;
            return dump::landlock_rights(area).map(Some);
        }
        Ok(None)
    }

    /// The options that may be given once, how often they were, and what setpriv(1) says of a second time.
    fn once(&self) -> [(usize, &'static str); 21] {
        [
            (
                usize::from(self.nnp) + usize::from(self.no_new_privs),
                "duplicate --no-new-privs option",
            ),
            (self.reuid.len(), "duplicate ruid or euid"),
            (self.regid.len(), "duplicate rgid or egid"),
            (self.reuid.len() + self.ruid.len(), "duplicate ruid"),
            (self.reuid.len() + self.euid.len(), "duplicate euid"),
            (self.regid.len() + self.rgid.len(), "duplicate rgid"),
            (self.regid.len() + self.egid.len(), "duplicate egid"),
            (self.clear_groups.into(), "duplicate --clear-groups option"),
            (self.keep_groups.into(), "duplicate --keep-groups option"),
            (self.init_groups.into(), "duplicate --init-groups option"),
            (self.groups.len(), "duplicate --groups option"),
            (self.pdeathsig.len(), "duplicate --pdeathsig option"),
            (self.ptracer.len(), "duplicate --ptracer option"),
            (self.inh_caps.len(), "duplicate --inh-caps option"),
            (self.ambient_caps.len(), "duplicate --ambient-caps option"),
            (self.bounding_set.len(), "duplicate --bounding-set option"),
            (self.securebits.len(), "duplicate --securebits option"),
            (self.selinux_label.len(), "duplicate --selinux-label option"),
            (
                self.apparmor_profile.len(),
                "duplicate --apparmor-profile option",
            ),
            (
                self.seccomp_filter.len(),
                "duplicate --seccomp-filter option",
            ),
            (
                self.seccomp_profile.len(),
                "duplicate --seccomp-profile option",
            ),
        ]
    }

    fn refuse_duplicates(&self) -> Result<()> {
        match self.once().into_iter().find(|(times, _)| *times > 1) {
            Some((_, words)) => Err(Error::new(words)),
            None => Ok(()),
        }
    }

    /// How many options were given.
    fn given(&self) -> usize {
        // Those of both ids stand three times among the options that may be given once.
        let once: usize = self.once().iter().map(|(times, _)| times).sum();
        let once = once - 2 * (self.reuid.len() + self.regid.len());
        let asking = [
            self.dump,
            self.list_caps,
            self.landlock_support,
            self.list_landlock_access,
            self.reset_env,
            self.clear_env,
        ];
        let lists = [
            &self.caps,
            &self.landlock_access,
            &self.landlock_rule,
            &self.list_landlock_rights,
            &self.rlimit,
            &self.env,
        ];
        let single = [
            self.umask.is_some(),
            self.workdir.is_some(),
            self.oom_score_adj.is_some(),
            self.new_session_keyring,
            self.default_signals,
            self.close_fds,
            self.explain.is_some(),
        ];
        once + asking.into_iter().map(usize::from).sum::<usize>()
            + lists.into_iter().map(Vec::len).sum::<usize>()
            + single.into_iter().map(usize::from).sum::<usize>()
    }
}
