//! `linux.seccomp` as a policy, and a policy as `linux.seccomp`.

use std::cell::Cell;
use std::rc::Rc;

use super::bad;
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
use crate::seccomp::{Arch, Condition, Operator, Policy, Rule, SPEC_ALLOW, action, default_policy};
use crate::sys::seccomp::NEW_LISTENER;

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
        let filter = default_policy(capabilities).filter(SPEC_ALLOW)?;
        let origin = Origin::Default;
        plan.then(LoadFilter { filter, origin });
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
    let mut calls: Vec<(Call, Vec<Rule>)> = Vec::with_capacity(512);
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
                unknown.push(name);
                continue;
            };
            let Some(place) = places.get_mut(call.place()) else {
                continue;
            };
            let place = *place.get_or_insert_with(|| {
                calls.push((call, Vec::new()));
                calls.len() - 1
            });
            if let Some((_, rules)) = calls.get_mut(place) {
                rules.extend(groups.iter().map(|conditions| Rule {
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

/// The machines, this program's own always among them; and those that may run here but whose calls are not known.
fn arches(seccomp: &Seccomp) -> Result<(Vec<Arch>, Vec<&str>)> {
    let native = Arch::native();
    let mut all: Vec<Arch> = native.into_iter().collect();
    let mut foreign = Vec::new();
    for name in &seccomp.architectures {
        let arch = match &**name {
            "SCMP_ARCH_NATIVE" => native,
            "SCMP_ARCH_X86_64" => Some(Arch::X86_64),
            "SCMP_ARCH_X32" => Some(Arch::X32),
            "SCMP_ARCH_X86" => Some(Arch::X86),
            "SCMP_ARCH_AARCH64" => Some(Arch::Aarch64),
            "SCMP_ARCH_ARM" => {
                foreign.extend((native == Some(Arch::Aarch64)).then_some(&**name));
                None
            }
            // Machines whose programs this one cannot run.
            other if ELSEWHERE.contains(&other) => None,
            _ => return Err(bad("linux.seccomp.architectures", name)),
        };
        let runs_here = |arch: &Arch| native.is_some_and(|native| native.runs(*arch));
        all.extend(
            arch.filter(|arch| runs_here(arch) && !all.contains(arch))
                .into_iter()
                .collect::<Vec<_>>(),
        );
    }
    Ok((all, foreign))
}

const ELSEWHERE: [&str; 19] = [
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
    "SCMP_ARCH_ARMEB",
];

/// The names of actions; whether they take a number, and what it is without.
const ACTIONS: [(&str, u32, Option<i32>); 9] = [
    ("SCMP_ACT_KILL", action::KILL_THREAD, None),
    ("SCMP_ACT_KILL_PROCESS", action::KILL_PROCESS, None),
    ("SCMP_ACT_KILL_THREAD", action::KILL_THREAD, None),
    ("SCMP_ACT_TRAP", action::TRAP, None),
    ("SCMP_ACT_ERRNO", action::ERRNO, Some(libc::EPERM)),
    ("SCMP_ACT_TRACE", action::TRACE, Some(libc::EPERM)),
    ("SCMP_ACT_ALLOW", action::ALLOW, None),
    ("SCMP_ACT_LOG", action::LOG, None),
    (NOTIFY, action::NOTIFY, None),
];

fn number(field: &str, name: &str, given: Option<u32>) -> Result<u32> {
    let known = ACTIONS.iter().find(|(known, ..)| *known == name);
    let (_, number, data) = known.ok_or_else(|| bad(field, name))?;
    match (data, given) {
        (None, None) => Ok(*number),
        (None, Some(_)) => Err(Error::new(format!("{field}: {name} has no errno"))),
        (Some(without), given) => {
            let data = given.unwrap_or(without.cast_unsigned());
            match u16::try_from(data) {
                Ok(data) => Ok(number | u32::from(data)),
                Err(_) => Err(bad(field, data)),
            }
        }
    }
}

const OPERATORS: [(&str, Operator); 7] = [
    ("SCMP_CMP_NE", Operator::NotEqual),
    ("SCMP_CMP_LT", Operator::Less),
    ("SCMP_CMP_LE", Operator::LessOrEqual),
    ("SCMP_CMP_EQ", Operator::Equal),
    ("SCMP_CMP_GE", Operator::GreaterOrEqual),
    ("SCMP_CMP_GT", Operator::Greater),
    ("SCMP_CMP_MASKED_EQ", Operator::MaskedEqual),
];

/// The conditions of an entry, all of which must hold. Where two of them are about one argument any of them may hold:
/// libseccomp could not have both, and so do all runtimes read it.
fn conditions(field: &str, args: &[SyscallArg]) -> Result<Vec<Vec<Condition>>> {
    let mut all = Vec::with_capacity(args.len());
    for (at, arg) in args.iter().enumerate() {
        let known = OPERATORS.iter().find(|(name, _)| *name == arg.op);
        let (_, operator) = known.ok_or_else(|| bad(format!("{field}.args[{at}].op"), &arg.op))?;
        if arg.index > 5 {
            return Err(bad(format!("{field}.args[{at}].index"), arg.index));
        }
        // Of a mask it is the second value that the argument must have.
        let (value, mask) = match operator {
            Operator::MaskedEqual => (arg.value_two, arg.value),
            _ => (arg.value, 0),
        };
        all.push(Condition {
            argument: arg.index,
            operator: *operator,
            value,
            mask,
        });
    }
    let twice = |one: &Condition| {
        all.iter()
            .filter(|other| other.argument == one.argument)
            .count()
            > 1
    };
    if all.iter().any(twice) {
        return Ok(all.into_iter().map(|one| vec![one]).collect());
    }
    Ok(vec![all])
}

/// `SECCOMP_FILTER_FLAG_*` (linux/seccomp.h). This process has one thread: there is none to synchronise with.
const FLAGS: [(&str, u64); 4] = [
    ("SECCOMP_FILTER_FLAG_TSYNC", 0),
    ("SECCOMP_FILTER_FLAG_LOG", 1 << 1),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", SPEC_ALLOW),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 1 << 5),
];

fn flags(names: &[String]) -> Result<u64> {
    if names.is_empty() {
        return Ok(SPEC_ALLOW);
    }
    names.iter().try_fold(0, |all, name| {
        let known = FLAGS.iter().find(|(known, _)| known == name);
        known
            .map(|(_, flag)| all | flag)
            .ok_or_else(|| bad("linux.seccomp.flags", name))
    })
}

/// The default profile written out, for who reads a config.json.
pub(in crate::oci) fn written_out(capabilities: Set) -> Seccomp {
    let policy = default_policy(capabilities);
    let mut plain = Vec::new();
    let mut rules = Vec::new();
    for (call, of_call) in &policy.calls {
        match of_call.as_slice() {
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
        syscalls: std::iter::once(allowed).chain(rules).collect(),
        ..Seccomp::default()
    }
}

fn words(number: u32) -> (String, Option<u32>) {
    let is_it = |(_, action, data): &&(&str, u32, Option<i32>)| match data {
        Some(_) => number & 0xffff_0000 == *action,
        None => number == *action,
    };
    let known = ACTIONS.iter().rev().find(is_it);
    let (name, data) = known.map_or(("SCMP_ACT_KILL_PROCESS", None), |(name, _, data)| {
        (*name, *data)
    });
    (name.into(), data.map(|_| number & 0xffff))
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
        let written = written_out(Set::EMPTY);
        let (mut policy, _) = policy(&written).unwrap();
        // A config.json cannot say from which number on calls are unknown; the newest that it names stands for that.
        policy.knows_table = true;
        let ours = default_policy(Set::EMPTY).filter(0).unwrap();
        assert_eq!(policy.filter(0).unwrap().program.len(), ours.program.len());
    }
}
