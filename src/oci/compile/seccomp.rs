//! `linux.seccomp` as a policy, and a policy as `linux.seccomp`.

mod words;

use std::cell::Cell;
use std::rc::Rc;

use crate::capability::Set;
use crate::error::{Error, Result};
use crate::json::quote;
use crate::oci::spec::{Seccomp, Spec, SyscallArg, SyscallRule, VERSION};
use crate::plan::steps::hooks::StateJson;
use crate::plan::steps::note::Warn;
use crate::plan::steps::seccomp::{LoadFilter, LoadSupervisedFilter, NoteOutsideNumber, Origin};
use crate::plan::steps::start::Connect;
use crate::plan::{Plan, Slot};
use crate::seccomp::table::Call;
use crate::seccomp::{
    Condition, Operator, Policy, Rule, Rules, SPEC_ALLOW, action, default_policy,
};
use crate::sys::seccomp::NEW_LISTENER;
use words::{OPERATORS, arches, conditions, flags, number, words};

/// Who decides about calls with `SCMP_ACT_NOTIFY`.
pub(super) struct Supervisor {
    line: Slot,
    number: Rc<Cell<i32>>,
    message: Rc<dyn Fn(i32) -> String>,
}

impl Supervisor {
    /// Before the fork: the connection, where a rule needs one. With the listener goes the state of the container
    /// (config-linux.md, "The Container Process State").
    pub(super) fn connect(
        plan: &mut Plan,
        spec: &Spec,
        status: &'static str,
        state: impl FnOnce() -> StateJson,
    ) -> Option<Self> {
        let seccomp = spec.linux.seccomp.as_ref()?;
        let path = seccomp.listener_path.clone();
        let notifies = seccomp.syscalls.iter().any(|rule| rule.action == NOTIFY);
        if path.as_os_str().is_empty() || !notifies {
            return None;
        }
        let line = plan.slot();
        plan.then(Connect::to_supervisor(path, line));
        let (state, metadata) = (state(), quote(&seccomp.listener_metadata));
        let message = move |pid| {
            let version = quote(VERSION);
            let state = state(status, pid);
            format!(
                "{{\"ociVersion\":{version},\"fds\":[\"seccompFd\"],\"pid\":{pid},\"metadata\":{metadata},\"state\":{state}}}"
            )
        };
        Some(Self {
            line,
            number: Rc::default(),
            message: Rc::new(message),
        })
    }

    /// Right behind the fork.
    pub(super) fn note(&self, plan: &mut Plan) {
        plan.then(NoteOutsideNumber(Rc::clone(&self.number)));
    }
}

const NOTIFY: &str = "SCMP_ACT_NOTIFY";

/// Loads the filter.
pub(super) fn load(
    plan: &mut Plan,
    seccomp: &Seccomp,
    capabilities: Set,
    supervisor: Option<&Supervisor>,
) -> Result<()> {
    if seccomp.default_profile {
        let mut policy = default_policy(capabilities);
        let origin = match seccomp.architectures.is_empty() {
            true => Origin::Default,
            false => Origin::Rules,
        };
        policy.arches = arches(seccomp)?.0;
        let filter = policy.filter(SPEC_ALLOW)?;
        plan.then(LoadFilter { filter, origin });
        return Ok(());
    }
    if seccomp.default_action.is_empty() && seccomp.syscalls.is_empty() {
        // As runc has it: nothing is said, so nothing is filtered.
        return Ok(());
    }
    let Compiled {
        policy,
        flags,
        warning,
    } = compile(seccomp)?;
    if let Some(text) = warning {
        plan.then(Warn(text));
    }
    let origin = match &seccomp.profile {
        Some(path) => Origin::Profile(path.clone()),
        None => Origin::Rules,
    };
    let Some(supervisor) = supervisor else {
        let filter = policy.filter(flags)?;
        plan.then(LoadFilter { filter, origin });
        return Ok(());
    };
    let filter = policy.filter(flags | NEW_LISTENER)?;
    plan.then(LoadSupervisedFilter {
        load: LoadFilter { filter, origin },
        line: supervisor.line,
        number: Rc::clone(&supervisor.number),
        message: Rc::clone(&supervisor.message),
    });
    Ok(())
}

/// What the rules come to.
struct Compiled {
    policy: Policy,
    flags: u64,
    /// What of them has no effect.
    warning: Option<String>,
}

/// The policy of rules in libseccomp's words, and the flags it is to be loaded with.
///
/// # Errors
/// For a word that there is not.
pub fn policy(seccomp: &Seccomp) -> Result<(Policy, u64)> {
    compile(seccomp).map(|all| (all.policy, all.flags))
}

/// Whether the container's program would go on as if nothing had been said.
fn lets_through(action: u32) -> bool {
    matches!(action, action::ALLOW | action::LOG)
}

fn compile(seccomp: &Seccomp) -> Result<Compiled> {
    let field = "linux.seccomp.defaultAction";
    let default = number(field, &seccomp.default_action, seccomp.default_errno_ret)?;
    if default == action::NOTIFY {
        return Err(Error::new(format!(
            "{field}: {NOTIFY} is for named calls alone"
        )));
    }
    if !seccomp.listener_metadata.is_empty() && seccomp.listener_path.as_os_str().is_empty() {
        return Err(Error::new(
            "linux.seccomp.listenerMetadata: there is no listenerPath to tell it to",
        ));
    }
    let (arches, foreign) = arches(seccomp)?;
    let mut calls: Vec<(Call, Rules)> = Vec::with_capacity(512);
    let mut unknown: Vec<&str> = Vec::new();
    // The place of each call in the list above, so that a long list of rules is gone through once.
    let mut places = vec![None; Call::all().count()];
    for (at, rule) in seccomp.syscalls.iter().enumerate() {
        let field = format!("linux.seccomp.syscalls[{at}]");
        if rule.names.is_empty() {
            return Err(Error::new(format!(
                "{field}.names: it is not there, or empty"
            )));
        }
        let action = number(&format!("{field}.action"), &rule.action, rule.errno_ret)?;
        if action == action::NOTIFY {
            supervised(&field, seccomp, &rule.names)?;
        }
        let groups = conditions(&field, &rule.args)?;
        for name in &rule.names {
            let Some(call) = Call::named(name) else {
                if lets_through(default) && !lets_through(action) {
                    return Err(
                        Error::new(format!("{field}.names: no such system call: {name}"))
                            .because("it could not be kept from the program"),
                    );
                }
                if !words::OF_OTHER_MACHINES.contains(&&**name) {
                    unknown.push(name);
                }
                continue;
            };
            let Some(place) = places.get_mut(call.place()) else {
                continue;
            };
            let place = *place.get_or_insert_with(|| {
                calls.push((call, Rules::default()));
                calls.len() - 1
            });
            if let Some((_, rules)) = calls.get_mut(place) {
                rules.to_mut().extend(groups.iter().map(|conditions| Rule {
                    conditions: conditions.clone(),
                    action,
                }));
            }
        }
    }
    let is_errno = default & 0xffff_0000 == action::ERRNO;
    Ok(Compiled {
        policy: Policy {
            arches,
            default,
            unknown: is_errno.then_some(action::ERRNO | libc::ENOSYS.cast_unsigned()),
            knows_table: false,
            calls,
        },
        flags: flags(&seccomp.flags)?,
        warning: warning(&unknown, &foreign),
    })
}

/// Without a listener the kernel would say that there is no such call; and who is to listen has to be told first.
fn supervised(field: &str, seccomp: &Seccomp, names: &[String]) -> Result<()> {
    if seccomp.listener_path.as_os_str().is_empty() {
        return Err(Error::new(format!(
            "{field}.action: {NOTIFY} needs linux.seccomp.listenerPath"
        )));
    }
    if names.iter().any(|name| name == "sendmsg") {
        return Err(
            Error::new(format!("{field}.names: {NOTIFY} is not for sendmsg"))
                .because("by it the listener is handed over"),
        );
    }
    Ok(())
}

fn warning(unknown: &[&str], foreign: &[&str]) -> Option<String> {
    let mut parts = Vec::new();
    if !unknown.is_empty() {
        parts.push(format!("no such system calls: {}", unknown.join(" ")));
    }
    if !foreign.is_empty() {
        parts.push(format!(
            "calls of these machines are not allowed at all here: {}",
            foreign.join(" ")
        ));
    }
    (!parts.is_empty()).then(|| format!("linux.seccomp: {}", parts.join("; ")))
}

/// The default profile written out, for who reads a config.json.
pub(in crate::oci) fn written_out(capabilities: Set, architectures: &[String]) -> Seccomp {
    let policy = default_policy(capabilities);
    let mut plain = Vec::new();
    let mut rules = Vec::new();
    for (call, of_call) in &policy.calls {
        match &**of_call {
            [one] if one.conditions.is_empty() && one.action == action::ALLOW => {
                plain.push(call.name().to_owned());
            }
            several => rules.extend(several.iter().map(|rule| entry(*call, rule))),
        }
    }
    let (default_action, default_errno_ret) = words(policy.default);
    let allowed = SyscallRule {
        names: plain,
        action: "SCMP_ACT_ALLOW".into(),
        ..SyscallRule::default()
    };
    Seccomp {
        default_action,
        default_errno_ret,
        architectures: architectures.to_vec(),
        syscalls: std::iter::once(allowed).chain(rules).collect(),
        ..Seccomp::default()
    }
}

fn entry(call: Call, rule: &Rule) -> SyscallRule {
    let arg = |one: &Condition| {
        let (value, value_two) = match one.operator {
            Operator::MaskedEqual => (one.mask, one.value),
            _ => (one.value, 0),
        };
        let name = OPERATORS.iter().find(|(_, known)| *known == one.operator);
        SyscallArg {
            index: one.argument,
            value,
            value_two,
            op: name.map_or("", |(name, _)| name).into(),
        }
    };
    let (action, errno_ret) = words(rule.action);
    SyscallRule {
        names: vec![call.name().into()],
        action,
        errno_ret,
        args: rule.conditions.iter().map(arg).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Policy, u64)> {
        let spec = format!(r#"{{"ociVersion": "1.0", "linux": {{"seccomp": {text}}}}}"#);
        let spec = crate::oci::Spec::parse(spec.as_bytes())?;
        policy(&spec.linux.seccomp.unwrap_or_default())
    }

    #[test]
    fn words_become_numbers() {
        let (policy, flags) = parse(
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "architectures": ["SCMP_ARCH_MIPS", "SCMP_ARCH_X86"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"],
            "syscalls": [{"names": ["read", "not_a_call"], "action": "SCMP_ACT_ALLOW"},
                {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"},
                    {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]},
                {"names": ["clone"], "action": "SCMP_ACT_TRACE", "errnoRet": 7,
                    "args": [{"index": 0, "value": 255, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}]}]}"#,
        )
        .unwrap();
        assert_eq!(policy.default, action::ERRNO | 38);
        assert_eq!(flags, 2);
        let of = |name| {
            policy
                .calls
                .iter()
                .find(|(call, _)| call.name() == name)
                .map(|(_, rules)| rules)
        };
        assert_eq!(of("socket").unwrap().len(), 2);
        let clone = &of("clone").unwrap()[0];
        assert_eq!(
            (
                clone.action,
                clone.conditions[0].mask,
                clone.conditions[0].value
            ),
            (action::TRACE | 7, 255, 3)
        );
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let cases = [
            (
                r#"{"defaultAction": "SCMP_ACT_X"}"#,
                "linux.seccomp.defaultAction: no such value: SCMP_ACT_X",
            ),
            (r#"{}"#, "linux.seccomp.defaultAction"),
            (
                r#"{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}"#,
                "has no errno",
            ),
            (
                r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 65536}"#,
                "no such value: 65536",
            ),
            (
                r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["X"]}"#,
                "linux.seccomp.architectures",
            ),
            (
                r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["X"]}"#,
                "linux.seccomp.flags",
            ),
            (
                r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_LOG"}]}"#,
                "syscalls[0].names",
            ),
            (
                r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["new_call"], "action": "SCMP_ACT_ERRNO"}]}"#,
                "no such system call: new_call",
            ),
            (
                r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_LOG",
                "args": [{"index": 6, "op": "SCMP_CMP_EQ"}]}]}"#,
                "args[0].index",
            ),
            (
                r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_LOG",
                "args": [{"index": 0, "op": "EQ"}]}]}"#,
                "args[0].op",
            ),
        ];
        for (text, want) in cases {
            let said = parse(text).unwrap_err().to_string();
            assert!(said.contains(want), "{text}: {said}");
        }
    }

    #[test]
    fn the_default_profile_written_out_is_the_default_profile() {
        let written = written_out(Set::EMPTY, &[]);
        let (mut policy, _) = policy(&written).unwrap();
        // A config.json cannot say from which number on calls are unknown; the newest that it names stands for that.
        policy.knows_table = true;
        let ours = default_policy(Set::EMPTY).filter(0).unwrap();
        assert_eq!(policy.filter(0).unwrap().program.len(), ours.program.len());
    }
}
