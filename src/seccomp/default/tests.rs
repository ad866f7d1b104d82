//! What the program does with calls, by an interpreter of our own, against a plain reading of the rules.

use super::*;
use crate::seccomp::program::interpret;

const NATIVE: u32 = 0xc000_003e;

/// What becomes of a call under the default profile, by name.
fn fate(capabilities: Set, name: &str, arguments: [u64; 6]) -> u32 {
    let mut policy = default_policy(capabilities);
    policy.arches = vec![Arch::X86_64];
    let program = policy.filter(0).unwrap().program;
    let number = Call::named(name).unwrap().number(Arch::X86_64).unwrap();
    interpret(&program, NATIVE, number, arguments)
}

const ENOSYS: u32 = action::ERRNO | 38;

#[test]
fn what_the_profile_says_is_what_the_program_does() {
    const GARBAGE: u64 = 0x1_0000_0000;
    let none = [0; 6];
    let a0 = |value| [value, 0, 0, 0, 0, 0];
    let cases = [
        ("read", none, action::ALLOW),
        ("openat", none, action::ALLOW),
        ("mseal", none, action::ALLOW),
        ("mount", none, EPERM),
        ("unshare", none, EPERM),
        ("ptrace", none, EPERM),
        ("io_uring_setup", none, EPERM),
        ("keyctl", none, EPERM),
        ("bpf", none, EPERM),
        ("clone3", none, ENOSYS),
        ("clone", a0(0x0001_0900), action::ALLOW),
        ("clone", a0(0x1000_0011), EPERM),
        ("clone", a0(0x0002_0000), EPERM),
        ("clone", a0(GARBAGE | 0x2000_0000), EPERM),
        ("clone", a0(GARBAGE | 0x11), action::ALLOW),
        ("socket", a0(1), action::ALLOW),
        ("socket", a0(2), action::ALLOW),
        ("socket", a0(10), action::ALLOW),
        ("socket", a0(40), EPERM),
        ("socket", a0(GARBAGE | 40), EPERM),
        ("socket", a0(GARBAGE | 2), action::ALLOW),
        ("socket", a0(38), EPERM),
        ("socket", a0(17), EPERM),
        ("socket", [16, 3, 0, 0, 0, 0], action::ALLOW),
        ("socket", [16, 3, 9, 0, 0, 0], action::ERRNO | 97),
        (
            "socket",
            [16 | GARBAGE, 3, 9 | GARBAGE, 0, 0, 0],
            action::ERRNO | 97,
        ),
        ("personality", a0(0), action::ALLOW),
        ("personality", a0(0xffff_ffff), action::ALLOW),
        ("personality", a0(u64::MAX), action::ALLOW),
        ("personality", a0(0x004_0000), EPERM),
        ("personality", a0(GARBAGE | 0x004_0000), EPERM),
        ("ioctl", [0, 0x5413, 0, 0, 0, 0], action::ALLOW),
        ("ioctl", [0, 0x5412, 0, 0, 0, 0], EPERM),
        ("ioctl", [0, GARBAGE | 0x5412, 0, 0, 0, 0], EPERM),
        ("ioctl", [0, 0x541c, 0, 0, 0, 0], EPERM),
    ];
    for (name, arguments, want) in cases {
        assert_eq!(
            fate(Set::EMPTY, name, arguments),
            want,
            "{name} {arguments:x?}"
        );
    }
    let with = |name: &str| Capability::named(name).into_iter().collect::<Set>();
    assert_eq!(fate(with("sys_admin"), "mount", none), action::ALLOW);
    assert_eq!(fate(with("sys_admin"), "clone3", none), action::ALLOW);
    assert_eq!(fate(with("sys_ptrace"), "ptrace", none), action::ALLOW);
    assert_eq!(fate(with("net_raw"), "socket", a0(17)), action::ALLOW);
    assert_eq!(
        fate(with("net_admin"), "socket", [16, 3, 12, 0, 0, 0]),
        action::ALLOW
    );
}

#[test]
fn other_machines_and_unknown_numbers_are_seen() {
    let mut policy = default_policy(Set::EMPTY);
    policy.arches = vec![Arch::X86_64];
    let program = policy.filter(0).unwrap().program;
    let of = |arch, number| interpret(&program, arch, number, [0; 6]);
    assert_eq!(of(NATIVE, 0), action::ALLOW);
    assert_eq!(of(NATIVE, 470), ENOSYS);
    assert_eq!(of(NATIVE, 0x3fff_ffff), ENOSYS);
    assert_eq!(of(NATIVE, 334 + 40), EPERM);
    for (arch, number) in [
        (0x4000_0003, 1),
        (NATIVE, 0x4000_0000),
        (NATIVE, u32::MAX),
        (0xc000_00b7, 63),
    ] {
        assert_eq!(
            of(arch, number),
            action::KILL_PROCESS,
            "{arch:x} {number:x}"
        );
    }
    // The kernel runs it for each number when it is loaded: it is to be short.
    assert!(program.len() < 240, "{}", program.len());
    policy.arches = vec![Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64];
    let program = policy.filter(0).unwrap().program;
    let of = |arch, number| interpret(&program, arch, number, [0; 6]);
    assert_eq!(of(0x4000_0003, 3), action::ALLOW);
    assert_eq!(of(0x4000_0003, 102), EPERM);
    assert_eq!(of(NATIVE, 0x4000_0000), action::ALLOW);
    assert_eq!(of(NATIVE, 0x4000_0000 | 520), action::ALLOW);
    assert_eq!(of(0xc000_00b7, 63), action::ALLOW);
    assert_eq!(of(0x4000_00b7, 63), action::KILL_PROCESS);
}

/// Every operator at the edges of both halves, in both widths, against the comparison itself.
#[test]
fn comparisons_are_those_of_numbers() {
    use Operator::*;
    let edges = [
        0,
        1,
        0xffff_ffff,
        0x1_0000_0000,
        0x1_0000_0001,
        0xffff_ffff_0000_0000,
        u64::MAX,
        39,
        40,
        41,
    ];
    let unshare = Call::named("unshare").unwrap();
    let socket = Call::named("socket").unwrap();
    for operator in [
        Equal,
        NotEqual,
        Less,
        LessOrEqual,
        GreaterOrEqual,
        Greater,
        MaskedEqual,
    ] {
        for value in edges {
            for mask in [0, 0xff, 0xffff_ffff, u64::MAX, 0xffff_0000_0000_0000] {
                let one = Condition {
                    argument: 0,
                    operator,
                    value,
                    mask,
                };
                let rules = || vec![rule(&[one], action::ALLOW)];
                let policy = Policy {
                    arches: vec![Arch::X86_64],
                    default: EPERM,
                    unknown: None,
                    knows_table: false,
                    calls: vec![(unshare, rules().into()), (socket, rules().into())],
                };
                let program = policy.filter(0).unwrap().program;
                for (call, cut) in [(unshare, u64::MAX), (socket, 0xffff_ffff)] {
                    for argument in edges {
                        let (a, v, m) = (argument & cut, value & cut, mask & cut);
                        let holds = match operator {
                            Equal => a == v,
                            NotEqual => a != v,
                            Less => a < v,
                            LessOrEqual => a <= v,
                            GreaterOrEqual => a >= v,
                            Greater => a > v,
                            MaskedEqual => a & m == v,
                        };
                        let want = if holds { action::ALLOW } else { EPERM };
                        let number = call.number(Arch::X86_64).unwrap();
                        let got = interpret(&program, NATIVE, number, [argument, 0, 0, 0, 0, 0]);
                        assert_eq!(got, want, "{} {argument:x} {one:x?}", call.name());
                    }
                }
                if operator != MaskedEqual {
                    break;
                }
            }
        }
    }
}

#[test]
fn all_conditions_of_a_rule_and_any_rule_of_a_call() {
    let call = Call::named("prlimit64").unwrap();
    let is = |argument, value| condition(argument, Operator::Equal, value);
    let policy = Policy {
        arches: vec![Arch::X86_64],
        default: EPERM,
        unknown: None,
        knows_table: false,
        calls: vec![(
            call,
            vec![
                rule(&[is(0, 1), is(2, 2), is(3, 3)], action::ALLOW),
                rule(&[is(0, 1)], action::LOG),
                rule(&[], action::TRAP),
            ]
            .into(),
        )],
    };
    let program = policy.filter(0).unwrap().program;
    let number = call.number(Arch::X86_64).unwrap();
    let of = |arguments| interpret(&program, NATIVE, number, arguments);
    assert_eq!(of([1, 0, 2, 3, 0, 0]), action::ALLOW);
    assert_eq!(of([1, 0, 2, 4, 0, 0]), action::LOG);
    assert_eq!(of([2, 0, 2, 3, 0, 0]), action::TRAP);
}
