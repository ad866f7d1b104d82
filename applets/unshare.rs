//! unshare(1): run a program in namespaces of its own. util-linux's command line, and a few words more.

#[path = "unshare/compile.rs"]
mod compile;
#[path = "unshare/maps.rs"]
mod maps;

use argh::{ArgsInfo, FromArgs};
use isobox::error::Result;

use crate::cli::order::{At, Place};
use crate::cli::plan::{Explain, perform};
use crate::cli::raw::Raw;
use crate::cli::{Applet, Exit};
#[cfg(feature = "net")]
use crate::table::veth::Publish;

/// run a program with some namespaces unshared from the parent
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "unshare",
    example = "unshare -r id -u                      # be root in a user namespace: 0",
    example = "unshare -pf --mount-proc ps ax        # PID 1, and a /proc that shows only itself",
    example = "unshare -af --mount-proc --hostname box --loopback",
    example = "unshare -r --carrier pasta --publish 8080:80 sh",
    example = "unshare --net=/run/netns/blue true    # make a network namespace that stays",
    example = "unshare -r -mpf --explain --mount-proc sh",
    note = "kind    options     flag             value       page                   Linux",
    note = "mount   -m --mount  CLONE_NEWNS      0x00020000  mount_namespaces(7)    2.4.19",
    note = "uts     -u --uts    CLONE_NEWUTS     0x04000000  uts_namespaces(7)      2.6.19",
    note = "ipc     -i --ipc    CLONE_NEWIPC     0x08000000  ipc_namespaces(7)      2.6.19",
    note = "net     -n --net    CLONE_NEWNET     0x40000000  network_namespaces(7)  2.6.29",
    note = "pid     -p --pid    CLONE_NEWPID     0x20000000  pid_namespaces(7)      2.6.24",
    note = "user    -U --user   CLONE_NEWUSER    0x10000000  user_namespaces(7)     3.8",
    note = "cgroup  -C --cgroup CLONE_NEWCGROUP  0x02000000  cgroup_namespaces(7)   4.6",
    note = "time    -T --time   CLONE_NEWTIME    0x00000080  time_namespaces(7)     5.6",
    note = "",
    note = "--NAMESPACE=FILE pins the namespace: it is mounted on FILE, which is made where it is missing, and stays without a process until FILE is unmounted (nsenter enters it).",
    note = "An ordinary user needs a user namespace for all others: -r or -c.",
    error_code(1, "a failure of unshare itself"),
    error_code(126, "the program was found, but could not be executed"),
    error_code(127, "the program was not found"),
    error_code(
        0,
        "or another: the program's own; a signal that ended it ends unshare too"
    )
)]
pub(crate) struct Args {
    /// unshare the mount namespace
    #[argh(option, short = 'm', arg_name = "[=file]")]
    mount: Vec<Raw>,
    /// unshare the UTS namespace (host name)
    #[argh(option, short = 'u', arg_name = "[=file]")]
    uts: Vec<Raw>,
    /// unshare the System V IPC namespace
    #[argh(option, short = 'i', arg_name = "[=file]")]
    ipc: Vec<Raw>,
    /// unshare the network namespace
    #[argh(option, short = 'n', arg_name = "[=file]")]
    net: Vec<Raw>,
    /// unshare the PID namespace: children of the caller are in it, so see --fork
    #[argh(option, short = 'p', arg_name = "[=file]")]
    pid: Vec<Raw>,
    /// unshare the user namespace
    #[argh(option, short = 'U', arg_name = "[=file]")]
    user: Vec<Raw>,
    /// unshare the cgroup namespace
    #[argh(option, short = 'C', arg_name = "[=file]")]
    cgroup: Vec<Raw>,
    /// unshare the time namespace: children of the caller are in it
    #[argh(option, short = 'T', arg_name = "[=file]")]
    time: Vec<Raw>,
    /// unshare every namespace this kernel has (implies --fork; where no map is asked for,
    /// an ordinary user is mapped to root and for root all ids are passed through)
    #[argh(switch, short = 'a')]
    all: bool,
    /// mount a proc file system just before running the program, on /proc or the given
    /// directory (implies --mount)
    #[argh(option, arg_name = "[=dir]")]
    mount_proc: Option<Raw>,
    /// mount a binfmt_misc file system (implies --user and --mount)
    #[argh(option, arg_name = "[=dir]")]
    mount_binfmt: Option<Raw>,
    /// register a binfmt_misc interpreter in the namespace (implies --mount-binfmt)
    #[argh(option, short = 'l', arg_name = "line")]
    load_interp: Option<Raw>,
    /// propagation of mounts in the new mount namespace (private)
    #[argh(option, arg_name = "private|slave|shared|unchanged")]
    propagation: Option<Raw>,
    /// run the program with this root directory
    #[argh(option, short = 'R', arg_name = "dir")]
    root: Option<Raw>,
    /// change the working directory
    #[argh(option, short = 'w', arg_name = "dir")]
    wd: Option<Raw>,
    /// set the host name in the new UTS namespace (implies --uts)
    #[argh(option, arg_name = "name")]
    hostname: Option<Raw>,
    /// bring up the loopback interface of the new network namespace (implies --net)
    #[argh(switch)]
    loopback: bool,
    /// have this program carry what goes into and out of the new network namespace, as an ordinary user (implies --net and --fork)
    #[cfg(feature = "net")]
    #[argh(option, arg_name = "pasta|slirp4netns")]
    carrier: Option<Raw>,
    /// have it lead a port of this machine into the namespace
    #[cfg(feature = "net")]
    #[argh(option, arg_name = "host:guest")]
    publish: Vec<Publish>,
    /// set the user id inside
    #[argh(option, short = 'S', arg_name = "uid")]
    setuid: Option<Raw>,
    /// set the group id inside, and drop the supplementary groups
    #[argh(option, short = 'G', arg_name = "gid")]
    setgid: Option<Raw>,
    /// map the current user to this one (implies --user)
    #[argh(option, arg_name = "uid|name")]
    map_user: Option<At<Raw>>,
    /// map the current group to this one (implies --user)
    #[argh(option, arg_name = "gid|name")]
    map_group: Option<At<Raw>>,
    /// map the current user and group to root (implies --user)
    #[argh(option, short = 'r', arg_name = "[]")]
    map_root_user: Option<Place>,
    /// map the current user and group to themselves (implies --user)
    #[argh(option, short = 'c', arg_name = "[]")]
    map_current_user: Option<Place>,
    /// map the ids that /etc/subuid and /etc/subgid give the user, from 0 on (implies --user)
    #[argh(switch)]
    map_auto: bool,
    /// map the ids that /etc/subuid and /etc/subgid give the user to themselves (implies --user)
    #[argh(switch)]
    map_subids: bool,
    /// map count users from outside to inside; auto and subids as above, all passes every user
    /// through; repeatable (implies --user)
    #[argh(option, arg_name = "inside:outside:count")]
    map_users: Vec<Raw>,
    /// the same for groups (implies --user)
    #[argh(option, arg_name = "inside:outside:count")]
    map_groups: Vec<Raw>,
    /// whose the user namespace is to be (implies --user)
    #[argh(option, arg_name = "uid:gid")]
    owner: Option<Raw>,
    /// allow or deny setgroups(2) in the user namespace
    #[argh(option, arg_name = "allow|deny")]
    setgroups: Option<Raw>,
    /// keep the capabilities that the user namespace gives, whoever the program runs as
    #[argh(switch)]
    keep_caps: bool,
    /// run the program as a child, and wait for it
    #[argh(switch, short = 'f')]
    fork: bool,
    /// send the child this signal (KILL) when unshare dies (implies --fork)
    #[argh(option, arg_name = "[=signal]")]
    kill_child: Option<Raw>,
    /// pass SIGTERM and SIGINT on to the child (implies --fork)
    #[argh(switch)]
    forward_signals: bool,
    /// start the program in a session of its own, without our terminal (implies --fork)
    #[argh(switch)]
    setsid: bool,
    /// give the program a terminal of its own and relay it to ours; with a number, the one that pivot --tty makes and sends over that descriptor (implies --fork)
    #[argh(option, arg_name = "[=fd]")]
    tty: Option<Raw>,
    /// keep our standard input from that terminal
    #[argh(switch)]
    no_input: bool,
    /// put a first process above the program that passes signals on and collects what ends: see pid1 (implies --fork)
    #[argh(switch)]
    init: bool,
    /// shift the monotonic clock of the time namespace
    #[argh(option, arg_name = "seconds")]
    monotonic: Option<Raw>,
    /// shift the boot clock of the time namespace
    #[argh(option, arg_name = "seconds")]
    boottime: Option<Raw>,
    /// start with an empty environment
    #[argh(switch)]
    clear_env: bool,
    /// keep only these variables of the environment, separated by commas
    #[argh(option, arg_name = "list")]
    whitelist_env: Vec<Raw>,
    /// tell what would be done and do nothing; json for programs, run to tell while doing
    #[argh(option, arg_name = "[=how]")]
    explain: Option<Explain>,
    /// the program and its arguments
    #[argh(positional, greedy)]
    program: Vec<Raw>,
}

impl Applet for Args {
    fn run(self) -> Result<Exit> {
        let explain = self.explain;
        let (plan, hint) = self.compile()?;
        if let Some(hint) = hint {
            crate::cli::say(&format!("hint: {hint}\n"));
        }
        perform(&plan, explain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::gnu::{Parsed, canonical};
    use isobox::namespace::Kind;
    use isobox::plan::Told;
    use std::ffi::OsString;

    #[test]
    fn the_help_names_every_namespace_as_the_table_does() {
        let notes = Args::get_args_info().notes.join("\n");
        for kind in Kind::ALL {
            let wanted = [
                kind.option().to_owned(),
                format!("-{} --{}", kind.letter(), kind.option()),
                kind.flag_name().to_owned(),
                format!("{:#010x}", kind.flag().bits()),
                kind.man().to_owned(),
                kind.since().to_owned(),
            ];
            let line = notes.lines().find(|line| line.starts_with(kind.option()));
            let line = line.unwrap();
            for word in wanted {
                assert!(line.contains(&word), "{word} in {line}");
            }
        }
    }

    /// The plan of a command line, told.
    fn told(line: &str) -> Vec<Told> {
        let line: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let Ok(Parsed::Words(words)) = canonical(&Args::get_args_info(), &line) else {
            panic!("{line:?}")
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let args = Args::from_args(&["unshare"], &words).unwrap();
        args.compile().unwrap().0.tell()
    }

    /// The plan of a command line as the names of its calls, with who makes them.
    fn calls(line: &str) -> String {
        let call = |told: &Told| {
            let name = told.what.call.split(['(', ' ', ',']).next().unwrap_or("");
            let object = told.what.call.split('"').nth(1).unwrap_or("");
            let object = object.rsplit('/').next().unwrap_or("");
            format!("{}:{name}:{object}", told.who)
        };
        let calls: Vec<String> = told(line).iter().map(call).collect();
        calls.join(" ")
    }

    #[test]
    fn steps_come_in_the_order_of_util_linux() {
        let cases = [
            ("true", "caller:execve:true"),
            ("-f true", "caller:clone: child:execve:true"),
            (
                "-r true",
                "caller:unshare: caller:write:uid_map caller:write:setgroups caller:write:gid_map caller:execve:true",
            ),
            (
                "-T --monotonic 1 --boottime 2 --net=/f -pf --kill-child --hostname h --loopback -R /r \
                 --mount-proc -G 1 -S 2 true",
                "caller:unshare: caller:write:timens_offsets caller:write:timens_offsets caller:clone3: \
                 outside:mount:net child:prctl: child:sethostname:h child:ioctl:lo child:mount:none \
                 child:chroot:r child:chdir: child:mount:proc child:setgroups: child:setresgid: \
                 child:setresuid: child:prctl: child:execve:true",
            ),
            (
                "-mU --propagation unchanged --mount-proc=/p --keep-caps -w /tmp true",
                "caller:unshare: caller:chdir:tmp caller:mount:none caller:mount:proc caller:capset: \
                 caller:execve:true",
            ),
            (
                "--load-interp :x::x:::F -R /r true",
                "caller:unshare: caller:mount:none caller:mount:binfmt_misc caller:write:register \
                 caller:chroot:r caller:chdir: caller:mount:proc caller:mount:binfmt_misc caller:execve:true",
            ),
        ];
        for (line, want) in cases {
            assert_eq!(calls(line), want, "{line}");
        }
    }

    #[test]
    fn of_the_options_for_ones_own_id_the_last_wins() {
        let cases = [
            ("-r true", "0 0"),
            ("-r --map-user 5 true", "5 0"),
            ("--map-user 5 -r true", "0 0"),
            ("--map-group 7 --map-user 5 --map-group 8 true", "5 8"),
            ("-c --map-group 7 -r true", "0 0"),
        ];
        for (line, want) in cases {
            assert_eq!(mapped(line), want, "{line}");
        }
    }

    /// The first id inside of each map that the process writes itself.
    fn mapped(line: &str) -> String {
        let first = |told: &Told| {
            let text = told.what.call.split('"').nth(3)?;
            let is_map = told.what.call.contains("id_map");
            is_map.then(|| text.split(' ').next().unwrap_or("").to_owned())
        };
        let ids: Vec<String> = told(line).iter().filter_map(first).collect();
        ids.join(" ")
    }
}
