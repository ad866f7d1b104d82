//! libseccomp's words, which `linux.seccomp` is written in, and the kernel's numbers (linux/seccomp.h).

use nix::libc;

use super::super::bad;
use super::NOTIFY;
use crate::error::{Error, Result};
use crate::oci::spec::{Seccomp, SyscallArg};
use crate::seccomp::{Arch, Condition, Operator, SPEC_ALLOW, action};

/// The machines, this program's own always among them; and those that may run here but whose calls are not known.
pub(super) fn arches(seccomp: &Seccomp) -> Result<(Vec<Arch>, Vec<&str>)> {
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

/// Calls that this machine has not and the profiles of podman and docker have: nobody needs to be told of each.
pub(super) const OF_OTHER_MACHINES: [&str; 8] = [
    "pciconfig_iobase",
    "pciconfig_read",
    "pciconfig_write",
    "recv",
    "send",
    "swapcontext",
    "syscall",
    "timerfd",
];

/// Machines that are known by name alone.
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

/// The kernel's number of an action, with what it carries.
pub(super) fn number(field: &str, name: &str, given: Option<u32>) -> Result<u32> {
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

/// The names of operators.
pub(super) const OPERATORS: [(&str, Operator); 7] = [
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
pub(super) fn conditions(field: &str, args: &[SyscallArg]) -> Result<Vec<Vec<Condition>>> {
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

/// The flags of the filter.
pub(super) fn flags(names: &[String]) -> Result<u64> {
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

/// The name of an action, and its number where it takes one.
pub(super) fn words(number: u32) -> (String, Option<u32>) {
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
