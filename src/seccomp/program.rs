//! From rules to a program of classic BPF.
//!
//! ```text
//! which machine?            an instruction for each; another than those: the process is killed
//!   which number?           a binary search over ranges of numbers that share a fate: some seven instructions deep,
//!                           where a list would be hundreds long (the kernel runs the program once for each number
//!                           when it loads it, and on each call)
//!     which arguments?      the rules of one call, in the order in which they were given; the first that holds counts
//! ```

use super::table::Call;
use super::{Arch, Condition, Instruction, Operator, Policy, Rule, Rules, X32_BIT, action};
use crate::error::{Error, Result};

/// Codes of instructions: load a word, jump, mask, return (linux/bpf_common.h).
mod code {
    pub(super) const LOAD: u16 = 0x20;
    pub(super) const AND: u16 = 0x54;
    pub(super) const JUMP: u16 = 0x05;
    pub(super) const IF_EQUAL: u16 = 0x15;
    pub(super) const IF_GREATER: u16 = 0x25;
    pub(super) const IF_GREATER_OR_EQUAL: u16 = 0x35;
    pub(super) const RETURN: u16 = 0x06;
}

/// Places in `struct seccomp_data` (linux/seccomp.h).
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// What becomes of a range of numbers, from its first up to that of the next range.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    first: u32,
    fate: Fate,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    /// All calls of these numbers.
    Action(u32),
    /// One call, by its arguments.
    Rules(Vec<Instruction>),
}

/// The whole program.
///
/// # Errors
/// Where it is longer than the kernel takes.
pub(super) fn assemble(policy: &Policy) -> Result<Vec<Instruction>> {
    let mut machines: Vec<(u32, Vec<Instruction>)> = Vec::new();
    for arch in &policy.arches {
        let audit = arch.audit();
        if machines.iter().any(|(known, _)| *known == audit) {
            continue;
        }
        let same = policy.arches.iter().filter(|other| other.audit() == audit);
        let ranges = ranges(policy, &same.copied().collect::<Vec<_>>());
        let mut part = Vec::with_capacity(4 * ranges.len());
        part.push(load(NUMBER));
        search(&ranges, &mut part);
        machines.push((audit, part));
    }
    let mut program = vec![load(ARCH)];
    for (audit, part) in machines {
        let length = part.len();
        match u8::try_from(length) {
            Ok(length) => program.push(test(code::IF_EQUAL, audit, 0, length)),
            Err(_) => {
                program.push(test(code::IF_EQUAL, audit, 1, 0));
                program.push(jump(length));
            }
        }
        program.extend(part);
    }
    program.push(give(action::KILL_PROCESS));
    if program.len() > super::LONGEST {
        return Err(
            Error::new("the filter over system calls is too long for the kernel").because(format!(
                "{} instructions, of at most {}",
                program.len(),
                super::LONGEST
            )),
        );
    }
    Ok(program)
}

/// Every number there is, in ranges, for machines that the kernel calls by one name: x86_64 and x32.
fn ranges(policy: &Policy, arches: &[Arch]) -> Vec<Range> {
    let mut all: Vec<Range> = Vec::new();
    let native: Vec<Arch> = arches
        .iter()
        .copied()
        .filter(|arch| *arch != Arch::X32)
        .collect();
    match native.first() {
        Some(arch) => part(&mut all, policy, *arch, 0),
        None => add(&mut all, 0, Fate::Action(action::KILL_PROCESS)),
    }
    if arches.contains(&Arch::X32) {
        part(&mut all, policy, Arch::X32, X32_BIT);
    } else if native.contains(&Arch::X86_64) {
        add(&mut all, X32_BIT, Fate::Action(action::KILL_PROCESS));
    }
    all
}

fn part(all: &mut Vec<Range>, policy: &Policy, arch: Arch, base: u32) {
    // By their numbers, of which few are free: nothing has to be sorted.
    let mut calls: Vec<Option<&(Call, Rules)>> = Vec::with_capacity(512);
    for one in &policy.calls {
        let number = one
            .0
            .number(arch)
            .and_then(|number| number.checked_sub(base));
        let Some(at) = number.and_then(|number| usize::try_from(number).ok()) else {
            continue;
        };
        if calls.len() <= at {
            calls.resize(at + 1, None);
        }
        if let Some(place) = calls.get_mut(at) {
            place.get_or_insert(one);
        }
    }
    let mut number = base;
    for one in &calls {
        let fate = one.map_or(Fate::Action(policy.default), |(call, rules)| {
            policy.fate(*call, rules, arch)
        });
        add(all, number, fate);
        number += 1;
    }
    add(all, number, Fate::Action(policy.default));
    let newest = policy
        .newest(arch)
        .or(number.checked_sub(1).filter(|_| !calls.is_empty()));
    if let (Some(unknown), Some(newest)) = (policy.unknown, newest) {
        all.retain(|range| range.first <= newest.max(base));
        add(all, newest + 1, Fate::Action(unknown));
    }
}

/// Adds a range behind the others; one of the same fate only grows.
fn add(all: &mut Vec<Range>, first: u32, fate: Fate) {
    match all.last() {
        Some(last) if last.fate == fate => {}
        Some(last) if last.first == first => {
            all.pop();
            add(all, first, fate);
        }
        _ => all.push(Range { first, fate }),
    }
}

impl Policy {
    /// What becomes of one call.
    fn fate(&self, call: Call, rules: &[Rule], arch: Arch) -> Fate {
        let always = rules.iter().find(|rule| rule.conditions.is_empty());
        let otherwise = always.map_or(self.default, |rule| rule.action);
        let mut code = Vec::new();
        for rule in rules.iter().filter(|rule| !rule.conditions.is_empty()) {
            code.extend(conditional(&rule.conditions, rule.action, call, arch));
        }
        if code.is_empty() {
            return Fate::Action(otherwise);
        }
        code.push(give(otherwise));
        Fate::Rules(code)
    }
}

/// Adds a binary search over ranges; every way through it ends in a return.
fn search(ranges: &[Range], program: &mut Vec<Instruction>) {
    match ranges {
        [] => program.push(give(action::KILL_PROCESS)),
        [one] => match &one.fate {
            Fate::Action(action) => program.push(give(*action)),
            Fate::Rules(code) => program.extend_from_slice(code),
        },
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let first = high.first().map_or(0, |range| range.first);
            let here = program.len();
            program.push(test(code::IF_GREATER_OR_EQUAL, first, 0, 0));
            search(low, program);
            // Over what is below. Nothing in there leads out of it, so it may be moved.
            let length = program.len() - here - 1;
            let ways = u8::try_from(length).map_or((0, 1), |length| (length, 0));
            if ways == (0, 1) {
                program.insert(here + 1, jump(length));
            }
            if let Some(branch) = program.get_mut(here) {
                (branch.jump_true, branch.jump_false) = ways;
            }
            search(high, program);
        }
    }
}

/// Where a test of a condition leads.
#[derive(Clone, Copy)]
enum To {
    /// To the next instruction.
    Next,
    /// To the next condition: this one holds.
    Holds,
    /// To the next rule: this one does not hold.
    Fails,
}

/// One rule: its action where all conditions hold, else what stands behind it.
fn conditional(conditions: &[Condition], action: u32, call: Call, arch: Arch) -> Vec<Instruction> {
    let parts: Vec<Vec<(Instruction, To, To)>> = conditions
        .iter()
        .map(|one| one.tests(call.is_narrow(arch, one.argument)))
        .collect();
    let total: usize = parts.iter().map(Vec::len).sum();
    let mut code = Vec::with_capacity(total + 1);
    let mut end = 0;
    for part in parts {
        end += part.len();
        for (mut instruction, yes, no) in part {
            let here = code.len() + 1;
            // A rule has at most six conditions of at most six instructions each.
            let way = |to| {
                u8::try_from(match to {
                    To::Next => 0,
                    To::Holds => end - here,
                    To::Fails => total + 1 - here,
                })
            };
            (instruction.jump_true, instruction.jump_false) =
                (way(yes).unwrap_or(0), way(no).unwrap_or(0));
            code.push(instruction);
        }
    }
    code.push(give(action));
    code
}

impl Condition {
    /// The instructions that test it, and where each leads. A narrow argument is what the kernel reads of it: of the
    /// rest of the register it knows nothing, and whoever calls may have put anything there.
    fn tests(&self, narrow: bool) -> Vec<(Instruction, To, To)> {
        use To::{Fails, Holds, Next};
        let place = ARGUMENTS + 8 * self.argument;
        let (high, low) = (halves(self.value).0, halves(self.value).1);
        let (high_mask, low_mask) = halves(self.mask);
        let step = |instruction| (instruction, Next, Next);
        let if_ = |code, value, yes, no| (test(code, value, 0, 0), yes, no);
        let mut all = Vec::with_capacity(6);
        if !narrow {
            all.push(step(load(place + 4)));
            match self.operator {
                Operator::Equal => all.push(if_(code::IF_EQUAL, high, Next, Fails)),
                Operator::NotEqual => all.push(if_(code::IF_EQUAL, high, Next, Holds)),
                Operator::Greater | Operator::GreaterOrEqual => {
                    all.push(if_(code::IF_GREATER, high, Holds, Next));
                    all.push(if_(code::IF_EQUAL, high, Next, Fails));
                }
                Operator::Less | Operator::LessOrEqual => {
                    all.push(if_(code::IF_GREATER, high, Fails, Next));
                    all.push(if_(code::IF_EQUAL, high, Next, Holds));
                }
                Operator::MaskedEqual => {
                    all.push(step(and(high_mask)));
                    all.push(if_(code::IF_EQUAL, high, Next, Fails));
                }
            }
        }
        all.push(step(load(place)));
        if self.operator == Operator::MaskedEqual {
            all.push(step(and(low_mask)));
        }
        all.push(match self.operator {
            Operator::Equal | Operator::MaskedEqual => if_(code::IF_EQUAL, low, Holds, Fails),
            Operator::NotEqual => if_(code::IF_EQUAL, low, Fails, Holds),
            Operator::Greater => if_(code::IF_GREATER, low, Holds, Fails),
            Operator::GreaterOrEqual => if_(code::IF_GREATER_OR_EQUAL, low, Holds, Fails),
            Operator::Less => if_(code::IF_GREATER_OR_EQUAL, low, Fails, Holds),
            Operator::LessOrEqual => if_(code::IF_GREATER, low, Fails, Holds),
        });
        all
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the halves of a value")]
fn halves(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}

fn test(code: u16, k: u32, jump_true: u8, jump_false: u8) -> Instruction {
    Instruction {
        code,
        jump_true,
        jump_false,
        k,
    }
}

fn load(place: u32) -> Instruction {
    test(code::LOAD, place, 0, 0)
}

fn and(mask: u32) -> Instruction {
    test(code::AND, mask, 0, 0)
}

fn jump(over: usize) -> Instruction {
    test(code::JUMP, u32::try_from(over).unwrap_or(u32::MAX), 0, 0)
}

fn give(action: u32) -> Instruction {
    test(code::RETURN, action, 0, 0)
}

/// The kernel's interpreter, as far as filters over system calls use it: for tests.
#[cfg(test)]
pub(super) fn interpret(
    program: &[Instruction],
    arch: u32,
    number: u32,
    arguments: [u64; 6],
) -> u32 {
    let word = |place: u32| match place {
        NUMBER => number,
        ARCH => arch,
        _ => {
            let argument = arguments[(place - ARGUMENTS) as usize / 8];
            if (place - ARGUMENTS) % 8 == 4 {
                (argument >> 32) as u32
            } else {
                (argument & 0xffff_ffff) as u32
            }
        }
    };
    let (mut at, mut a) = (0, 0_u32);
    loop {
        let one = program[at];
        at += 1;
        let holds = match one.code {
            code::LOAD => {
                a = word(one.k);
                continue;
            }
            code::AND => {
                a &= one.k;
                continue;
            }
            code::JUMP => {
                at += one.k as usize;
                continue;
            }
            code::RETURN => return one.k,
            code::IF_EQUAL => a == one.k,
            code::IF_GREATER => a > one.k,
            code::IF_GREATER_OR_EQUAL => a >= one.k,
            other => panic!("instruction {other:#x}"),
        };
        at += usize::from(if holds { one.jump_true } else { one.jump_false });
    }
}
