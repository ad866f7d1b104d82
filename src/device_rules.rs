//! Which devices a control group may use: rules in the words of v1's device controller, and as a program of eBPF for
//! v2, which has no such controller (cgroup-v1/devices.rst, bpf(2)).
//!
//! Rules count from the last to the first, for reading, writing and making nodes each by itself; what no rule is about
//! is denied.

use std::fmt;

use crate::decimal::decimal;
use crate::error::{Error, Result};

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Whether it allows or denies.
    pub allow: bool,
    /// Character devices or block devices; both without.
    pub kind: Option<Kind>,
    /// The major number; any without.
    pub major: Option<u32>,
    /// The minor number; any without.
    pub minor: Option<u32>,
    /// For what.
    pub access: Access,
}

/// Kinds of device, by their numbers in `struct bpf_cgroup_dev_ctx` (linux/bpf.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Block devices.
    Block = 1,
    /// Character devices.
    Character = 2,
}

/// Ways to use a device: bits of `BPF_DEVCG_ACC_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access(pub u32);

impl Access {
    /// Making nodes of it.
    pub const MAKE: Self = Self(1);
    /// All.
    pub const ALL: Self = Self(7);

    /// Reads letters of `rwm`; `None` for others, and for none.
    pub fn parse(letters: &str) -> Option<Self> {
        let bit = |letter| match letter {
            'm' => Some(1),
            'r' => Some(2),
            'w' => Some(4),
            _ => None,
        };
        let bits = letters
            .chars()
            .try_fold(0, |all, letter| Some(all | bit(letter)?))?;
        (bits != 0).then_some(Self(bits))
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, letter) in [(2, "r"), (4, "w"), (1, "m")] {
            f.write_str(if self.0 & bit != 0 { letter } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Rule {
    /// As v1's `devices.allow` and `devices.deny` read it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            None => return write!(f, "a *:* {}", self.access),
            Some(Kind::Block) => 'b',
            Some(Kind::Character) => 'c',
        };
        let number = |n: Option<u32>| n.map_or_else(|| "*".into(), |n| n.to_string());
        write!(
            f,
            "{kind} {}:{} {}",
            number(self.major),
            number(self.minor),
            self.access
        )
    }
}

impl Rule {
    /// Reads what `devices.allow` or `devices.deny` reads.
    ///
    /// # Errors
    /// For another form.
    pub fn parse(allow: bool, text: &str) -> Result<Self> {
        let number = |word: &str| match word {
            "*" => Some(None),
            digits => decimal(digits).map(Some),
        };
        let parsed = || {
            let mut words = text.split(' ');
            let kind = match words.next()? {
                "a" => None,
                "b" => Some(Kind::Block),
                "c" => Some(Kind::Character),
                _ => return None,
            };
            let (major, minor) = words.next().unwrap_or("*:*").split_once(':')?;
            Some(Self {
                allow,
                kind,
                major: number(major)?,
                minor: number(minor)?,
                access: words.next().map_or(Some(Access::ALL), Access::parse)?,
            })
        };
        let rule =
            parsed().filter(|rule| rule.kind.is_some() || (rule.major, rule.minor) == (None, None));
        rule.ok_or_else(|| Error::new("not a rule about devices").on(text))
    }

    /// Whether it is about every device.
    fn is_about_all(&self) -> bool {
        (self.kind, self.major, self.minor) == (None, None, None)
    }
}

/// One instruction: `struct bpf_insn` (linux/bpf.h), as the number that it is in memory.
pub type Instruction = u64;

/// Registers: the result, the context, and what is read of it.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const WANTED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// Codes of instructions (linux/bpf_common.h, linux/bpf.h), on 32 bits where there is a choice.
mod code {
    pub(super) const LOAD_WORD: u8 = 0x61;
    pub(super) const MOVE: u8 = 0xbc;
    pub(super) const SET: u8 = 0xb7;
    pub(super) const AND: u8 = 0x54;
    pub(super) const SHIFT_RIGHT: u8 = 0x74;
    pub(super) const IF_NOT_EQUAL: u8 = 0x56;
    pub(super) const IF_ANY_BIT: u8 = 0x46;
    pub(super) const EXIT: u8 = 0x95;
}

fn instruction(code: u8, to: u8, from: u8, offset: i16, value: u32) -> Instruction {
    let registers = to | from << 4;
    let [low, high] = offset.to_ne_bytes();
    let [a, b, c, d] = value.to_ne_bytes();
    u64::from_ne_bytes([code, registers, low, high, a, b, c, d])
}

/// The rules as a program of type `BPF_PROG_TYPE_CGROUP_DEVICE`, which gives 1 to allow and 0 to deny.
///
/// Every way of use that is asked for is crossed off by the last rule that is about it; when none is left all are
/// allowed, and the first that a rule denies ends it.
pub fn program(rules: &[Rule]) -> Vec<Instruction> {
    let mut code = vec![
        instruction(code::LOAD_WORD, WANTED, CONTEXT, 0, 0),
        instruction(code::MOVE, KIND, WANTED, 0, 0),
        instruction(code::AND, KIND, 0, 0, 0xffff),
        instruction(code::SHIFT_RIGHT, WANTED, 0, 0, 16),
        instruction(code::LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        instruction(code::LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    for rule in rules.iter().rev() {
        code.extend(one(rule));
        // What stands before is never reached, and the kernel refuses what cannot be reached.
        if rule.is_about_all() && rule.access == Access::ALL {
            return code;
        }
    }
    code.extend(answer(false));
    code
}

fn answer(allow: bool) -> [Instruction; 2] {
    [
        instruction(code::SET, RESULT, 0, 0, allow.into()),
        instruction(code::EXIT, 0, 0, 0, 0),
    ]
}

fn one(rule: &Rule) -> Vec<Instruction> {
    let mut tests = Vec::new();
    let numbers = [
        (KIND, rule.kind.map(|kind| kind as u32)),
        (MAJOR, rule.major),
        (MINOR, rule.minor),
    ];
    let last = rule.is_about_all() && rule.access == Access::ALL;
    let end: &[Instruction] = &match (rule.allow, last) {
        (allow, true) => answer(allow).to_vec(),
        (true, false) => [
            vec![
                instruction(code::AND, WANTED, 0, 0, !rule.access.0 & Access::ALL.0),
                instruction(code::IF_NOT_EQUAL, WANTED, 0, 2, 0),
            ],
            answer(true).to_vec(),
        ]
        .concat(),
        (false, false) => [
            vec![
                instruction(code::AND, WANTED, 0, 0, Access::ALL.0),
                // Over the jump behind it, to the answer.
                instruction(code::IF_ANY_BIT, WANTED, 0, 1, rule.access.0),
                instruction(0x05, 0, 0, 2, 0),
            ],
            answer(false).to_vec(),
        ]
        .concat(),
    };
    let wanted: Vec<(u8, u32)> = numbers
        .into_iter()
        .filter_map(|(at, n)| Some((at, n?)))
        .collect();
    for (at, (register, number)) in wanted.iter().enumerate() {
        // To the next rule where it is another device.
        let over = i16::try_from(wanted.len() - at - 1 + end.len()).unwrap_or(i16::MAX);
        tests.push(instruction(code::IF_NOT_EQUAL, *register, 0, over, *number));
    }
    tests.extend_from_slice(end);
    tests
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer: an interpreter of the instructions used here.
    fn ask(program: &[Instruction], kind: u32, major: u32, minor: u32, wanted: u32) -> bool {
        let context = [wanted << 16 | kind, major, minor];
        let mut registers = [0_u32; 11];
        let mut at = 0_usize;
        loop {
            let [code, who, low, high, a, b, c, d] = program[at].to_ne_bytes();
            let (to, from) = (usize::from(who & 15), usize::from(who >> 4));
            // Forward only, here.
            let offset = usize::from(u16::from_ne_bytes([low, high]));
            let value = u32::from_ne_bytes([a, b, c, d]);
            at += 1;
            let jumps = match code {
                code::LOAD_WORD => {
                    registers[to] = context[offset / 4];
                    false
                }
                code::MOVE => {
                    registers[to] = registers[from];
                    false
                }
                code::SET => {
                    registers[to] = value;
                    false
                }
                code::AND => {
                    registers[to] &= value;
                    false
                }
                code::SHIFT_RIGHT => {
                    registers[to] >>= value;
                    false
                }
                code::IF_NOT_EQUAL => registers[to] != value,
                code::IF_ANY_BIT => registers[to] & value != 0,
                0x05 => true,
                code::EXIT => return registers[0] == 1,
                other => panic!("{other:#x}"),
            };
            if jumps {
                at += offset;
            }
        }
    }

    /// The meaning of rules, said plainly.
    fn meant(rules: &[Rule], kind: u32, major: u32, minor: u32, wanted: u32) -> bool {
        [1, 2, 4]
            .into_iter()
            .filter(|bit| wanted & bit != 0)
            .all(|bit| {
                let about = |rule: &&Rule| {
                    rule.kind.is_none_or(|k| k as u32 == kind)
                        && rule.major.is_none_or(|n| n == major)
                        && rule.minor.is_none_or(|n| n == minor)
                        && rule.access.0 & bit != 0
                };
                rules
                    .iter()
                    .rev()
                    .find(about)
                    .is_some_and(|rule| rule.allow)
            })
    }

    #[test]
    fn the_program_answers_as_the_rules_mean() {
        let rule = |text: &str| Rule::parse(text.starts_with('+'), &text[1..]).unwrap();
        let lists: [&[&str]; 8] = [
            &[],
            &["-a *:* rwm"],
            &["+a *:* rwm"],
            &["-a *:* rwm", "+c 1:3 rwm", "+c 136:* rw", "+b *:* m"],
            &["-a *:* rwm", "+c 1:3 r", "+c 1:3 w"],
            &["+a *:* rwm", "-b 8:0 w", "-c 1:5 rwm"],
            &["-a *:* rwm", "+c *:* rwm", "-c 1:3 w", "+c 1:3 m"],
            &["+c 1:3 rwm", "-a *:* m", "+b 8:* r"],
        ];
        for list in lists {
            let rules: Vec<Rule> = list.iter().map(|text| rule(text)).collect();
            let program = program(&rules);
            for kind in [1, 2] {
                for (major, minor) in [(1, 3), (1, 5), (8, 0), (8, 1), (136, 7)] {
                    for wanted in 1..8 {
                        let want = meant(&rules, kind, major, minor, wanted);
                        let got = ask(&program, kind, major, minor, wanted);
                        assert_eq!(got, want, "{list:?} {kind} {major}:{minor} {wanted}");
                    }
                }
            }
        }
    }

    #[test]
    fn rules_come_back() {
        for text in ["a *:* rwm", "c 1:3 rw", "b *:* m", "c 136:* rwm"] {
            assert_eq!(Rule::parse(true, text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "x 1:3 r",
            "c 1 r",
            "c 1:3 x",
            "c 1:3 ",
            "a 1:3 rwm",
            "c -1:3 r",
        ] {
            assert!(Rule::parse(true, text).is_err(), "{text}");
        }
    }
}
