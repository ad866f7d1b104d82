//! The order in which setpriv applies what it was asked for: util-linux's, with the seccomp filter last.
//!
//! 1. what privilege may be needed for: limits, the Landlock ruleset (its paths are opened by the caller);
//! 2. no_new_privs, the label of the exec;
//! 3. user ids, group ids, groups, while capabilities are kept;
//! 4. securebits, bounding set, the other sets, the ambient set (which a change of ids has emptied);
//! 5. death signal and tracer (which a change of ids clears), working directory;
//! 6. Landlock, and last the filter, which may forbid anything that comes before it. A profile goes behind 1. where
//!    there is the privilege for it and no_new_privs is not asked for.

use isobox::accounts::{Accounts, User};
use isobox::capability::{Capability, Change, Set};
use isobox::error::{Error, Result};
use isobox::landlock::{self, Domain};
use isobox::plan::steps::attributes::{
    ChangeDirectory, CloseOnExec, DefaultSignals, NewSessionKeyring, ParentDeathSignal, SetLimit,
    Umask,
};
use isobox::plan::steps::capabilities::{Capabilities, KeepCapabilities, NoNewPrivs, Securebits};
use isobox::plan::steps::credentials::{SetGid, SetGroups, SetUid};
use isobox::plan::steps::labels::{AppArmorProfile, SelinuxLabel};
use isobox::plan::steps::landlock::{MakeRuleset, RestrictSelf};
use isobox::plan::steps::seccomp::{LoadFilter, Origin};
use isobox::plan::{Command, Own, Plan};
use isobox::rlimit::Limit;
use isobox::seccomp::Filter;
use isobox::sys::caps::get;
use nix::unistd::Uid;

use super::{Args, CANNOT_SET, values};
use crate::cli::plan::{environment, exec, keep_own_binary};
use crate::cli::raw::{Raw, words};

/// Who the program is to be, as far as it was asked for.
#[derive(Debug, Default)]
struct Ids {
    user: SetIds,
    group: SetIds,
    groups: Option<Vec<u32>>,
    /// The line of the real user, where it was wanted and there.
    entry: Option<User>,
}

/// The real and the effective id.
type SetIds = (Option<u32>, Option<u32>);

impl Args {
    /// What was typed, as a plan.
    pub(super) fn plan(mut self) -> Result<Plan> {
        let command = Command::new(words(std::mem::take(&mut self.program)));
        let command = command.ok_or_else(|| Error::new("No program specified"))?;
        let mut accounts = Accounts::here();
        let ids = self.ids(&mut accounts)?;
        let login = self.login(&ids, &mut accounts)?;
        let env =
            values::environment(environment(), login.as_ref(), self.clear_env > 0, &self.env)?;
        let mut plan = Plan::new(exec(command, env).failing_with("failed to execute"));
        keep_own_binary(&mut plan, Own::Always);
        self.limits(&mut plan)?;
        let domain = self.landlock()?;
        let ruleset = domain.map(|domain| {
            let slot = plan.slot();
            plan.then(MakeRuleset { domain, slot });
            slot
        });
        let mut filter = self.filter()?;
        let no_new_privs = self.nnp > 0 || self.no_new_privs > 0;
        // A profile is loaded as containers load it: with privilege, programs may gain some beside it.
        let privileged = !self.seccomp_profile.is_empty() && !no_new_privs && may_load();
        if let Some(profile) = filter.take_if(|_| privileged) {
            if std::mem::take(&mut self.new_session_keyring) {
                plan.then(NewSessionKeyring);
            }
            plan.then(profile);
        }
        if no_new_privs {
            plan.then(NoNewPrivs);
        }
        self.label(&mut plan)?;
        self.become_someone(&mut plan, ids)?;
        self.attributes(&mut plan)?;
        // Without privilege neither may be imposed on a process that could still gain some by exec.
        if (ruleset.is_some() || filter.is_some()) && !no_new_privs {
            plan.then(NoNewPrivs);
        }
        if let Some(slot) = ruleset {
            plan.then(RestrictSelf { slot });
        }
        if let Some(filter) = filter {
            plan.then(filter);
        }
        Ok(plan)
    }

    /// Ids and groups, with setpriv's checks.
    fn ids(&self, accounts: &mut Accounts) -> Result<Ids> {
        let init = self.init_groups > 0;
        let wants_entry = init || self.reset_env > 0;
        let mut ids = Ids::default();
        let real = [("reuid", &self.reuid), ("ruid", &self.ruid)];
        for (name, typed) in real {
            if let Some(value) = values::first(typed) {
                let what = format!("failed to parse {name}");
                let (uid, entry) = values::user(value, &what, wants_entry, accounts)?;
                ids.user.0 = Some(uid);
                ids.entry = entry;
            }
        }
        ids.user.1 = match values::first(&self.euid) {
            Some(value) => Some(values::user(value, "failed to parse euid", false, accounts)?.0),
            None => ids.user.0.filter(|_| !self.reuid.is_empty()),
        };
        let mut group = |name: &str, typed: &[Raw]| {
            let what = format!("failed to parse {name}");
            let typed = values::first(typed);
            typed
                .map(|value| values::group(value, &what, accounts))
                .transpose()
        };
        let both = group("regid", &self.regid)?;
        ids.group = (
            group("rgid", &self.rgid)?.or(both),
            group("egid", &self.egid)?.or(both),
        );
        let groups = values::first(&self.groups);
        let groups = groups.map(|list| values::groups(list, accounts));
        self.check_groups(&ids)?;
        ids.groups = match (groups.transpose()?, &ids.entry) {
            (Some(groups), _) => Some(groups),
            (None, Some(user)) if init => Some(accounts.groups_of(&user.name, user.gid)?),
            _ => (self.clear_groups > 0).then(Vec::new),
        };
        Ok(ids)
    }

    /// What setpriv refuses: two words for the groups, group ids without one, groups of nobody.
    fn check_groups(&self, ids: &Ids) -> Result<()> {
        let ways = [
            self.clear_groups > 0,
            self.keep_groups > 0,
            self.init_groups > 0,
            !self.groups.is_empty(),
        ];
        let chosen = ways.into_iter().filter(|way| *way).count();
        if chosen > 1 {
            return Err(Error::new(
                "mutually exclusive arguments: --clear-groups --keep-groups --init-groups --groups",
            ));
        }
        if ids.group != (None, None) && chosen == 0 {
            return Err(Error::new(
                "--[re]gid requires --keep-groups, --clear-groups, --init-groups, or --groups",
            ));
        }
        match (self.init_groups > 0, ids.user.0, &ids.entry) {
            (true, None, _) => Err(Error::new("--init-groups requires --ruid or --reuid")),
            (true, Some(uid), None) => Err(Error::new(format!(
                "uid {uid} not found, --init-groups requires an user that can be found on the system"
            ))),
            _ => Ok(()),
        }
    }

    /// Whose environment is made anew: the real user's, else the caller's.
    fn login(&self, ids: &Ids, accounts: &mut Accounts) -> Result<Option<User>> {
        if self.reset_env == 0 {
            return Ok(None);
        }
        if let Some(user) = &ids.entry {
            return Ok(Some(user.clone()));
        }
        let uid = Uid::current().as_raw();
        let user = accounts.user_of(uid)?;
        let missing = || {
            Error::new(format!(
                "uid {uid} not found in /etc/passwd, --reset-env needs its line"
            ))
        };
        user.map(Some).ok_or_else(missing)
    }

    /// What privilege may be needed for that is soon gone.
    fn limits(&self, plan: &mut Plan) -> Result<()> {
        if let Some(Raw(value)) = &self.oom_score_adj {
            plan.then(values::oom_score(value)?);
        }
        for Raw(limit) in &self.rlimit {
            plan.then(SetLimit(Limit::parse(&limit.to_string_lossy())?));
        }
        Ok(())
    }

    fn landlock(&self) -> Result<Option<Domain>> {
        if self.landlock_access.is_empty() && self.landlock_rule.is_empty() {
            return Ok(None);
        }
        let domain = Domain::parse(
            self.landlock_access.iter().map(|word| word.0.as_os_str()),
            self.landlock_rule.iter().map(|word| word.0.as_os_str()),
            landlock::version()?,
        )?;
        Ok(Some(domain).filter(|domain| !domain.is_empty()))
    }

    /// Read now: later the process may not be allowed to.
    fn filter(&self) -> Result<Option<LoadFilter>> {
        let file = values::first(&self.seccomp_filter);
        let (filter, origin) = match (file, values::first(&self.seccomp_profile)) {
            (Some(_), Some(_)) => {
                return Err(Error::new(
                    "--seccomp-filter and --seccomp-profile exclude each other",
                ));
            }
            (None, None) => return Ok(None),
            (Some(file), None) => (Filter::from_file(file.as_ref()), Origin::File(file.into())),
            (None, Some(word)) if word == "default" => (self.default_filter(), Origin::Default),
            (None, Some(file)) => (profile(file.as_ref()), Origin::Profile(file.into())),
        };
        let filter = filter.map_err(|error| error.status(CANNOT_SET))?;
        Ok(Some(LoadFilter { filter, origin }))
    }

    /// The default profile for what the bounding set will be.
    #[cfg(feature = "oci")]
    fn default_filter(&self) -> Result<Filter> {
        let caps = self.capabilities()?.and_then(|caps| caps.bounding);
        let bounding = isobox::capability::bounding();
        let bounding = caps.map_or(bounding, |change| change.of(bounding));
        isobox::seccomp::default_policy(bounding).filter(isobox::seccomp::SPEC_ALLOW)
    }

    #[cfg(not(feature = "oci"))]
    #[allow(clippy::unused_self, reason = "as in a build that has profiles")]
    fn default_filter(&self) -> Result<Filter> {
        Err(Error::new(
            "this build of isobox has no profile of system calls",
        ))
    }

    fn label(&self, plan: &mut Plan) -> Result<()> {
        if let Some(label) = values::first(&self.selinux_label) {
            if !isobox::selinux::is_enabled() {
                return Err(Error::new("SELinux is not running").status(CANNOT_SET));
            }
            plan.then(SelinuxLabel(label.to_owned()));
        }
        if let Some(profile) = values::first(&self.apparmor_profile) {
            plan.then(AppArmorProfile {
                profile: profile.to_owned(),
            });
        }
        Ok(())
    }

    /// Ids, groups and capabilities.
    fn become_someone(&self, plan: &mut Plan, ids: Ids) -> Result<()> {
        let bits = values::first(&self.securebits);
        let bits = bits.map(values::securebits).transpose()?;
        let capabilities = self.capabilities()?;
        let changes_ids =
            ids.user != (None, None) || ids.group != (None, None) || ids.groups.is_some();
        if changes_ids || bits.is_some() || capabilities.is_some() {
            plan.then(KeepCapabilities);
        }
        let Ids {
            user,
            group,
            groups,
            ..
        } = ids;
        if user != (None, None) {
            plan.then(SetUid {
                real: user.0,
                effective: user.1,
            });
        }
        if group != (None, None) {
            plan.then(SetGid {
                real: group.0,
                effective: group.1,
            });
        }
        if let Some(groups) = groups {
            plan.then(SetGroups {
                groups,
                where_allowed: false,
            });
        }
        if let Some(bits) = bits {
            plan.then(Securebits { bits });
        }
        if let Some(capabilities) = capabilities {
            plan.then(capabilities);
        }
        Ok(())
    }

    /// The sets to be changed. `--caps` empties the inheritable and the ambient set, from where their own
    /// options go on.
    fn capabilities(&self) -> Result<Option<Capabilities>> {
        let of = |typed: &[Raw]| values::change(values::first(typed));
        let mut sets = Capabilities {
            bounding: of(&self.bounding_set)?,
            permitted: None,
            inheritable: of(&self.inh_caps)?,
            ambient: of(&self.ambient_caps)?,
            as_far_as_permitted: false,
        };
        if let Some(Raw(list)) = self.caps.last() {
            let exactly = Change::parse_exact(&list.to_string_lossy())?;
            let fresh = |change: Option<Change>| {
                let set = change.map_or(Set::EMPTY, |change| change.of(Set::EMPTY));
                Some(Change::to(set))
            };
            sets = Capabilities {
                bounding: sets.bounding.or(Some(exactly)),
                permitted: Some(exactly),
                inheritable: fresh(sets.inheritable),
                ambient: fresh(sets.ambient),
                ..sets
            };
        }
        Ok(Some(sets).filter(|sets| *sets != Capabilities::default()))
    }

    /// What a change of credentials would clear, or what is done with the new ones.
    fn attributes(&self, plan: &mut Plan) -> Result<()> {
        let signal = values::first(&self.pdeathsig).map(values::death_signal);
        if let Some(signal) = signal.transpose()?.flatten() {
            plan.then(ParentDeathSignal { signal });
        }
        if let Some(who) = values::first(&self.ptracer) {
            plan.then(values::tracer(who)?);
        }
        if let Some(Raw(mask)) = &self.umask {
            plan.then(Umask {
                mask: values::mask(mask)?,
            });
        }
        if let Some(Raw(dir)) = &self.workdir {
            plan.then(ChangeDirectory { path: dir.into() });
        }
        if self.new_session_keyring {
            plan.then(NewSessionKeyring);
        }
        if self.default_signals {
            plan.then(DefaultSignals);
        }
        if self.close_fds {
            plan.then(CloseOnExec { but: 0 });
        }
        Ok(())
    }
}

/// Whether a filter can be loaded without no_new_privs (seccomp(2)).
fn may_load() -> bool {
    get().is_ok_and(|sets| Set(sets.effective).has(Capability::SYS_ADMIN))
}

/// A filter of rules in JSON.
#[cfg(feature = "oci")]
fn profile(file: &std::path::Path) -> Result<Filter> {
    let (policy, flags) = isobox::oci::seccomp_policy(&isobox::oci::spec::Seccomp::of_file(file)?)?;
    policy.filter(flags)
}

#[cfg(not(feature = "oci"))]
fn profile(_: &std::path::Path) -> Result<Filter> {
    Err(Error::new("this build of isobox reads no profiles in JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::gnu::{Parsed, canonical};
    use argh::{ArgsInfo, FromArgs};

    fn plan(line: &str) -> Plan {
        let args: Vec<_> = line.split_whitespace().map(Into::into).collect();
        let Ok(Parsed::Words(words)) = canonical(&Args::get_args_info(), &args) else {
            panic!("{line}")
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let args = Args::from_args(&["setpriv"], &words).unwrap_or_else(|e| panic!("{}", e.output));
        args.plan().unwrap_or_else(|e| panic!("{line}: {e}"))
    }

    /// The calls of the steps in order, each up to its first argument.
    fn steps(plan: &Plan) -> Vec<String> {
        let calls = plan.entries().iter().map(|entry| {
            let text = format!("{entry:?}");
            let call = text.trim_start_matches("Step(Program, ");
            call.split([',', ')']).next().unwrap_or_default().to_owned()
        });
        calls.collect()
    }

    #[test]
    fn the_order_is_that_of_setpriv() {
        let line = "--umask=22 --pdeathsig=KILL --ambient-caps=-all --securebits=+noroot --clear-groups \
                    --regid=5 --reuid=5 --nnp --rlimit=core=0 --oom-score-adj=0 --workdir=/ true";
        assert_eq!(
            steps(&plan(line)),
            [
                "write(\"/proc/self/oom_score_adj\"",
                "setrlimit(RLIMIT_CORE=0:0",
                "prctl(PR_SET_NO_NEW_PRIVS",
                "prctl(PR_SET_KEEPCAPS",
                "setresuid(5",
                "setresgid(5",
                "setgroups(0",
                "prctl(PR_SET_SECUREBITS",
                "prctl(PR_CAP_AMBIENT",
                "prctl(PR_SET_PDEATHSIG",
                "umask(0o022",
                "chdir(\"/\"",
            ]
        );
    }

    #[test]
    fn what_is_not_asked_for_is_not_done() {
        assert_eq!(steps(&plan("true")), [""; 0]);
        assert_eq!(steps(&plan("--keep-groups --env A=1 true")), [""; 0]);
    }

    /// What a plan's script says is the same plan again.
    #[test]
    fn a_script_says_all_that_is_done() {
        let lines = [
            "--reuid=1000 --regid=1000 --clear-groups true",
            "--ruid=1 --egid=2 --clear-groups true x -y",
            "--groups=5,6 --caps=kill,chown --no-new-privs true",
            "--caps=none --bounding-set=-all,+kill --inh-caps=+kill --ambient-caps=+kill true",
            "--bounding-set=-sys_admin,-mknod --inh-caps=-all true",
            "--securebits=+noroot,+noroot_locked true",
            "--pdeathsig=RTMIN+3 --ptracer=any --umask=027 --rlimit=nofile=5:unlimited true",
            "--oom-score-adj=-5 --workdir=/tmp --apparmor-profile=x true",
        ];
        for line in lines {
            let first = plan(line);
            let script = first.script();
            let (_, row) = script.split_once("exec setpriv ").unwrap();
            let again = plan(&row.replace('\\', ""));
            assert_eq!(format!("{again:?}"), format!("{first:?}"), "{script}");
        }
    }
}
