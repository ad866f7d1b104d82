//! Attacks that the engine meets by the filter over system calls and by what it hands on (security list, T-SEC, T-FS,
//! T-EX).

use super::{ALL, Config};
use crate::kit::Sandbox;

/// A program that makes one system call and ends with its errno, by hand: no compiler, no C library. `code` is the
/// call's machine code for x86_64; what it leaves in `rax` is turned into an exit status.
fn program(code: &[u8]) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    // neg eax; mov edi, eax; mov eax, 60; syscall
    let end = [0xf7, 0xd8, 0x89, 0xc7, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
    let length = 120 + code.len() + end.len();
    let mut elf = Vec::new();
    elf.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    elf.extend((BASE + 120).to_le_bytes());
    elf.extend(64_u64.to_le_bytes());
    elf.extend([0; 8]);
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    elf.extend([0; 8]);
    elf.extend(BASE.to_le_bytes());
    elf.extend(BASE.to_le_bytes());
    elf.extend((length as u64).to_le_bytes());
    elf.extend((length as u64).to_le_bytes());
    elf.extend(0x1000_u64.to_le_bytes());
    elf.extend(code);
    elf.extend(end);
    elf
}

/// `syscall` with this number and these first three arguments, all 64 bits of each.
fn call(number: u32, arguments: [u64; 3]) -> Vec<u8> {
    let mut code = vec![0xb8];
    code.extend(number.to_le_bytes());
    for (register, argument) in [[0x48, 0xbf], [0x48, 0xbe], [0x48, 0xba]]
        .iter()
        .zip(arguments)
    {
        code.extend(register);
        code.extend(argument.to_le_bytes());
    }
    code.extend([0x0f, 0x05]);
    code
}

/// Writes the program into the root and gives how it ends under the default profile, with these flags.
fn ends(t: &Sandbox, code: &[u8], flags: &str) -> i32 {
    std::fs::write(t.work().join("r/probe"), program(code)).unwrap();
    t.run("chmod 755 r/probe").ok();
    t.run(&format!("container run --rootfs r {flags} /probe"))
        .status
}

const EPERM: i32 = 1;
const ENOSYS: i32 = 38;
const EAFNOSUPPORT: i32 = 97;
/// 128 and `SIGSYS`.
const KILLED: i32 = 128 + 31;

/// T-SEC-01, 03: what the kernel makes of calls under the default profile; garbage where it does not look changes
/// nothing (CVE-2026-123876), and no other entry leads in.
#[test]
fn the_kernel_reads_the_filter_as_it_is_meant() {
    needs!(root, busybox);
    if std::env::consts::ARCH != "x86_64" {
        return crate::kit::needs::skip(
            "oci::attack",
            "a machine whose code the probe is written in (x86_64)",
        );
    }
    let t = Sandbox::new("oci");
    t.root("r");
    let garbage = 0x1_0000_0000;
    // Number, arguments, and how it ends; 0 or another errno where it came through.
    #[rustfmt::skip]
    let cases: [(u32, [u64; 3], i32); 19] = [
        (39, [0; 3], -1),                              // getpid
        (165, [0; 3], EPERM),                          // mount
        (272, [0x1000_0000, 0, 0], EPERM),             // unshare(NEWUSER)
        (101, [0; 3], EPERM),                          // ptrace
        (250, [0; 3], EPERM),                          // keyctl
        (321, [0; 3], EPERM),                          // bpf
        (425, [0; 3], EPERM),                          // io_uring_setup
        (435, [0; 3], ENOSYS),                         // clone3
        (600, [0; 3], ENOSYS),                         // nothing yet
        (56, [0x1000_0000, 0, 0], EPERM),              // clone(NEWUSER)
        (56, [garbage | 0x1000_0000, 0, 0], EPERM),
        (41, [40, 1, 0], EPERM),                       // socket(AF_VSOCK)
        (41, [garbage | 40, 1, 0], EPERM),
        (41, [38, 5, 0], EPERM),                       // socket(AF_ALG)
        (41, [16, 3, 9], EAFNOSUPPORT),                // socket(AF_NETLINK, NETLINK_AUDIT)
        (135, [garbage | 0x004_0000, 0, 0], EPERM),    // personality(ADDR_NO_RANDOMIZE)
        (16, [0, 0x5412, 0], EPERM),                   // ioctl(TIOCSTI)
        (16, [0, garbage | 0x5412, 0], EPERM),
        (0x4000_0000 | 39, [0; 3], KILLED),            // getpid of x32
    ];
    for (number, arguments, want) in cases {
        let got = ends(&t, &call(number, arguments), "");
        let came_through = want == -1;
        assert!(
            if came_through {
                got != KILLED && got != 125
            } else {
                got == want
            },
            "{number} {arguments:x?}: {got}"
        );
    }
    // int 0x80 with 20, getpid of i386.
    assert_eq!(ends(&t, &[0xb8, 20, 0, 0, 0, 0xcd, 0x80], ""), KILLED);
    // The controls: without the filter, or with what asks for less of it, the same calls come through.
    let unconfined = "--security-opt seccomp=unconfined";
    assert_eq!(
        ends(&t, &call(41, [garbage | 38, 5, 0]), unconfined),
        EAFNOSUPPORT,
        "no AF_ALG here"
    );
    assert_ne!(ends(&t, &call(272, [0; 3]), unconfined), EPERM);
    assert_ne!(ends(&t, &call(600, [0; 3]), unconfined), KILLED);
    assert_eq!(
        ends(
            &t,
            &call(165, [0; 3]),
            "--cap-add SYS_ADMIN --cap-drop CHOWN"
        ),
        14,
        "mount with the capability reaches the kernel: EFAULT"
    );
}

/// The same bypass against rules of a config.json: what Debian's runc lets through.
#[test]
fn rules_compare_what_the_kernel_reads() {
    needs!(root, busybox, host("runc"));
    if std::env::consts::ARCH != "x86_64" {
        return crate::kit::needs::skip(
            "oci::attack",
            "a machine whose code the probe is written in (x86_64)",
        );
    }
    let t = Sandbox::new("oci");
    t.root("r");
    std::fs::write(
        t.work().join("r/probe"),
        program(&call(41, [0x1_0000_0001, 1, 0])),
    )
    .unwrap();
    t.run("chmod 755 r/probe").ok();
    // A local socket, which every machine has, is what is forbidden here.
    let config = Config {
        script: "/probe; echo $?",
        linux: r#""seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["socket"], "action": "SCMP_ACT_ERRNO",
            "errnoRet": 77, "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}]},"#,
        ..Config::default()
    };
    config.run(&t).out("77\n");
    // The control: theirs compares 64 bits, of which the kernel reads 32: the socket is made, as descriptor 3.
    let line = format!(
        "cd b && sed -i 's/1.3.0/1.0.2/; s,\\.\\./r,{}/r,' config.json && cgexec --rm -g memory:{} /usr/sbin/runc --root {}/k run {}",
        t.work().display(),
        t.id(),
        t.work().display(),
        t.id()
    );
    let theirs = config.run_by(&t, &line);
    assert_ne!(
        theirs.stdout, "77\n",
        "the attack does not hit where there is no defence{theirs}"
    );
}

/// T-SEC-02, T-EX-04: nothing is inherited, and the filter is on.
#[test]
fn the_default_profile_is_on() {
    needs!(root, userns, busybox);
    let t = Sandbox::new("oci");
    t.root("r");
    t.run("chown -R 1000:1000 r").ok();
    for user in [
        t.run("container run --rootfs r grep -E 'CapInh|CapAmb|NoNew|Seccomp:' /proc/self/status")
            .stdout
            .clone(),
        t.cmd("container run --rootfs r grep -E 'CapInh|CapAmb|NoNew|Seccomp:' /proc/self/status")
            .user(1000)
            .run()
            .stdout
            .clone(),
    ] {
        assert_eq!(
            user,
            "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n"
        );
    }
    t.run("container run --rootfs r --security-opt seccomp=unconfined --allow-new-privileges grep -E 'NoNew|Seccomp:' /proc/self/status")
        .out("NoNewPrivs:\t0\nSeccomp:\t0\n");
    t.run("container run --rootfs r --allow-new-privileges grep -E 'NoNew|Seccomp:' /proc/self/status")
        .out("NoNewPrivs:\t0\nSeccomp:\t2\n");
    let refused = t.run("container run --rootfs r --privileged true");
    assert!(
        refused.status == 125 && refused.stderr.contains("--cap-add"),
        "{refused}"
    );
}

/// T-FS-27: standard input and output of a container in a user namespace stay whose they were.
#[test]
fn what_is_inherited_keeps_its_owner() {
    needs!(root, busybox);
    let t = Sandbox::new("oci");
    let config = Config {
        script: "echo said",
        linux: r#""uidMappings": [{"containerID": 0, "hostID": 100000, "size": 9}], "gidMappings": [{"containerID": 0, "hostID": 100000, "size": 9}],"#,
        namespaces: &format!("{ALL}, {{\"type\": \"user\"}}"),
        ..Config::default()
    };
    t.root("r");
    t.run("chmod 755 . r").ok();
    let line = "stat -c '%u:%g %a' /dev/null; for to in /dev/null file; do container run -b b <$to >$to 2>&1; done 2>/dev/null
        touch file; container run -b b </dev/null >file 2>/dev/null; stat -c '%u:%g %a' /dev/null file; cat file";
    config
        .run_by(&t, line)
        .out("0:0 666\n0:0 666\n0:0 644\nsaid\n");
}

/// T-EX-02 (CVE-2024-21626), T-FS-01 (CVE-2019-16884), T-FS-11: what a config.json may not ask for.
#[test]
fn ways_out_are_refused() {
    needs!(root, busybox);
    let t = Sandbox::new("oci");
    t.root("r");
    for fd in 3..12 {
        let config = Config {
            script: "echo ran; ls -d ../../etc",
            ..Config::default()
        };
        let line = format!(
            "sed -i 's,\"cwd\": \"/\",\"cwd\": \"/proc/self/fd/{fd}\",' b/config.json; exec 5</ 7</; container run -b b"
        );
        let ran = config.run_by(&t, &line);
        assert!(ran.status != 0 && ran.stdout.is_empty(), "{ran}");
    }
    let v = t.work().display().to_string();
    for place in [
        "/proc",
        "//proc/.",
        "/x/../proc",
        "/proc/self",
        "/proc/sys/kernel",
    ] {
        let mounts = format!(
            r#", {{"destination": "{place}", "type": "bind", "source": "{v}", "options": ["rbind"]}}"#
        );
        let ran = Config {
            script: "echo ran",
            mounts: &mounts,
            ..Config::default()
        }
        .run(&t);
        super::refused(&ran, "refusing to mount on");
    }
    // The host's own procfs, as a whole, may be shown.
    let mounts =
        r#", {"destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind"]}"#;
    Config {
        script: "test -d /proc/1 && echo shown",
        mounts,
        ..Config::default()
    }
    .run(&t)
    .out("shown\n");
    let ran = Config {
        namespaces: r#"{"type": "pid"}"#,
        ..Config::default()
    }
    .run(&t);
    super::refused(&ran, "the container's mounts would be the machine's");
    t.run("mv b/config.json b/c; ln -s c b/config.json").ok();
    let ran = t.run("container run -b b");
    super::refused(&ran, "symbolic link");
}
