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
    needs!(root, busybox, x86_64);
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

/// `--arch32`: the calls of programs of 32 bits reach the kernel, by the same rules.
#[test]
fn programs_of_32_bits_are_let_in_by_name() {
    needs!(root, busybox, x86_64);
    let t = Sandbox::new("oci");
    t.root("r");
    // mov eax, NUMBER; mov ebx, 0x10000000; int 0x80
    let old = |number: u8| [&[0xb8, number, 0, 0, 0, 0xbb, 0, 0, 0, 0x10, 0xcd, 0x80][..]].concat();
    for (number, want) in [(20, 255), (21, EPERM), (102, EPERM), (26, EPERM)] {
        // getpid (which is 1), mount, socketcall (whose family nobody sees), ptrace
        assert_eq!(ends(&t, &old(number), ""), KILLED, "{number}");
        assert_eq!(ends(&t, &old(number), "--arch32"), want, "{number}");
    }
    assert_ne!(
        ends(&t, &call(0x4000_0000 | 39, [0; 3]), "--arch32"),
        KILLED
    );
    assert_eq!(
        ends(&t, &call(0x4000_0000 | 101, [0; 3]), "--arch32"),
        EPERM
    );
    let spec =
        t.run("container spec --arch32 --rootfs r true | jq -c .linux.seccomp.architectures");
    spec.ok().out("[\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"]\n");
}

/// Makes these calls, all arguments -1, and ends with the place in the list of the first that is permitted, from 1.
fn first_permitted(numbers: &[u32]) -> Vec<u8> {
    // rdi, rsi, rdx, r10, r8, r9
    let registers = [
        [0x48, 0xc7],
        [0x48, 0xc6],
        [0x48, 0xc2],
        [0x49, 0xc2],
        [0x49, 0xc0],
        [0x49, 0xc1],
    ];
    let mut code = Vec::new();
    for [prefix, register] in registers {
        code.extend([prefix, 0xc7, register, 0xff, 0xff, 0xff, 0xff]);
    }
    for (at, number) in numbers.iter().enumerate() {
        code.push(0xb8);
        code.extend(number.to_le_bytes());
        // syscall; cmp eax, -EPERM; je over the end: mov edi, PLACE; mov eax, 60; syscall
        code.extend([0x0f, 0x05, 0x83, 0xf8, 0xff, 0x74, 12, 0xbf]);
        code.extend(u32::try_from(at + 1).unwrap().to_le_bytes());
        code.extend([0xb8, 60, 0, 0, 0, 0x0f, 0x05]);
        // rdi is not changed by the kernel.
    }
    code.extend([0x31, 0xc0]);
    code
}

/// T-SEC-01: every call that the profile does not name is refused by the kernel, for root, for an ordinary user and for
/// one with all capabilities; and those that matter are not named.
#[test]
fn every_call_that_is_not_named_is_refused() {
    use isobox::seccomp::{Arch, table::Call};
    needs!(root, userns, busybox, x86_64);
    const CLOSED: &str = "acct add_key bpf fanotify_init finit_module fsconfig fsmount fsopen fspick init_module io_uring_enter \
        io_uring_register io_uring_setup ioperm iopl kexec_file_load kexec_load keyctl lookup_dcookie lsm_get_self_attr \
        lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount name_to_handle_at nfsservctl open_by_handle_at \
        open_tree open_tree_attr perf_event_open pivot_root process_vm_readv process_vm_writev ptrace quotactl quotactl_fd \
        reboot request_key setns settimeofday clock_settime statmount listmount swapoff swapon syslog umount2 unshare \
        userfaultfd vhangup modify_ldt delete_module create_module";
    let t = Sandbox::new("oci");
    t.root("r");
    t.run("chmod 755 . r").ok();
    let newest = Call::all().filter_map(|call| call.number(Arch::X86_64));
    let newest = newest.filter(|number| *number < 512).max().unwrap();
    for (user, flags) in [(0, ""), (1000, ""), (0, "--cap-add ALL")] {
        let spec = t.run(&format!(
            "container spec {flags} --rootfs r true | jq -r '.linux.seccomp.syscalls[].names[]'"
        ));
        let named: Vec<&str> = spec.stdout.lines().collect();
        assert!(named.len() > 280, "{spec}");
        let open = |name: &&str| named.contains(name);
        if flags.is_empty() {
            let open: Vec<&str> = CLOSED.split_whitespace().filter(open).collect();
            assert!(open.is_empty(), "{open:?}");
        }
        let listed = |number: &u32| {
            let mut calls = Call::all().filter(|call| call.number(Arch::X86_64) == Some(*number));
            calls.any(|call| named.contains(&call.name()))
        };
        let refused: Vec<u32> = (0..=newest).filter(|number| !listed(number)).collect();
        for part in refused.chunks(100) {
            std::fs::write(t.work().join("r/probe"), program(&first_permitted(part))).unwrap();
            t.run("chmod 755 r/probe").ok();
            let ran = t
                .cmd(&format!("container run {flags} --rootfs r /probe"))
                .user(user)
                .run();
            assert_eq!(
                ran.status,
                0,
                "{flags}: {:?} came through",
                part.get(usize::try_from(ran.status).unwrap() - 1)
            );
        }
    }
    // The control: keyctl and io_uring_setup are there for whoever has no filter.
    for number in [250, 425] {
        let got = ends(
            &t,
            &first_permitted(&[number]),
            "--security-opt seccomp=unconfined",
        );
        assert_eq!(got, 1, "{number}");
    }
}

/// The same bypass against rules of a config.json: what Debian's runc lets through.
#[test]
fn rules_compare_what_the_kernel_reads() {
    needs!(root, busybox, host("runc"), x86_64);
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
