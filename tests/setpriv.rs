//! setpriv from outside. util-linux's command line and wording are in parity/setpriv.cases.

use crate::kit::Sandbox;

/// The line a container's script needs: everything given up, in one word.
#[test]
fn everything_can_be_given_up_at_once() {
    needs!(root);
    let t = Sandbox::new("setpriv");
    t.run(
        "setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps -all --ambient-caps -all --bounding-set -all \
           --no-new-privs grep -E '^(Uid|Gid|Groups|Cap|NoNew)' /proc/self/status | tr -s '\\t ' ' '",
    )
    .ok()
    .out(
        "Uid: 1000 1000 1000 1000\nGid: 1000 1000 1000 1000\nGroups: \n\
         CapInh: 0000000000000000\nCapPrm: 0000000000000000\nCapEff: 0000000000000000\n\
         CapBnd: 0000000000000000\nCapAmb: 0000000000000000\nNoNewPrivs: 1\n",
    )
    .untouched();
}

/// The effect, not the flag: a set-id program gives nothing after --no-new-privs.
#[test]
fn no_new_privs_disarms_set_id_programs() {
    needs!(root);
    let t = Sandbox::new("setpriv");
    t.run("cp $(command -v id) id; chmod 4755 id").ok();
    t.user()
        .run("./id -u; setpriv --nnp ./id -u")
        .ok()
        .out("0\n1000\n");
}

#[test]
fn a_capability_kept_is_a_deed_allowed() {
    needs!(root);
    let t = Sandbox::new("setpriv");
    t.write("file", "");
    let drop = "setpriv --reuid 1000 --regid 1000 --clear-groups";
    t.run(&format!("{drop} chown 5 file")).status(1);
    t.run(&format!(
        "{drop} --inh-caps -all,+chown --ambient-caps -all,+chown chown 5 file; stat -c %u file"
    ))
    .ok()
    .out("5\n");
    t.run("setpriv --bounding-set -sys_admin unshare -m true")
        .fails(1, "unshare", &["Operation not permitted"]);
}

#[test]
fn it_does_not_fork() {
    let t = Sandbox::new("setpriv");
    t.run("sh -c 'echo $$; exec setpriv --nnp sh -c \"echo \\$\\$\"' | uniq | wc -l")
        .ok()
        .out("1\n");
}

#[test]
fn the_death_of_the_parent_is_heard() {
    let t = Sandbox::new("setpriv");
    t.run("sh -c 'setpriv --pdeathsig KILL sleep 1000 & while ! grep -qx sleep /proc/$!/comm; do sleep 0.01; done'")
        .ok()
        .untouched();
}

/// A filter that refuses mkdir with EPERM, as raw BPF.
#[test]
fn a_seccomp_filter_is_loaded() {
    let t = Sandbox::new("setpriv");
    let (mkdir, mkdirat): (u32, u32) = if cfg!(target_arch = "x86_64") {
        (83, 258)
    } else {
        (34, 34)
    };
    const LOAD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let filter: [(u16, u8, u8, u32); 5] = [
        (LOAD, 0, 0, 0),
        (JUMP_IF_EQUAL, 2, 0, mkdir),
        (JUMP_IF_EQUAL, 1, 0, mkdirat),
        (RETURN, 0, 0, 0x7fff_0000),
        (RETURN, 0, 0, 0x0005_0001),
    ];
    let bytes: Vec<u8> = filter
        .iter()
        .flat_map(|&(code, yes, no, k)| {
            [&code.to_ne_bytes()[..], &[yes, no], &k.to_ne_bytes()].concat()
        })
        .collect();
    std::fs::write(t.work().join("filter"), bytes).unwrap();
    t.user()
        .run("setpriv --nnp --seccomp-filter filter sh -c 'mkdir d || echo refused'")
        .ok()
        .out("refused\n")
        .err_has("Operation not permitted");
    t.run("setpriv --seccomp-filter filter rmdir d")
        .status(1)
        .err_has("No such file");
    t.write("short", "abc");
    t.run("setpriv --seccomp-filter short true")
        .fails(127, "setpriv", &["short"]);
    t.run("setpriv --seccomp-filter nowhere true").fails(
        127,
        "setpriv",
        &["nowhere", "No such file or directory"],
    );
}

#[test]
fn landlock_forbids_what_no_rule_allows() {
    needs!(landlock);
    let t = Sandbox::new("setpriv");
    t.run("mkdir may may-not && chmod 777 may may-not").ok();
    t.user()
        .run(
            "setpriv --nnp --landlock-access fs:write-file,make-reg --landlock-rule path-beneath:write-file,make-reg:$PWD/may \
               sh -c 'echo x >may/f && echo may; (echo x >may-not/f) 2>&- || echo may not'; ls may may-not",
        )
        .ok()
        .out("may\nmay not\nmay:\nf\n\nmay-not:\n");
    t.run("setpriv --landlock-access fs:fly true")
        .fails(1, "setpriv", &["fly"]);
}

#[test]
fn the_environment_is_reset() {
    needs!(root);
    let t = Sandbox::new("setpriv");
    t.cmd("setpriv --reset-env /usr/bin/env | sort | cut -d= -f1 | tr '\\n' ' '")
        .env("SECRET", "x")
        .run()
        .ok()
        .out("HOME LOGNAME PATH SHELL USER ");
    t.cmd("setpriv --reset-env /usr/bin/env | grep ^TERM")
        .env("TERM", "vt100")
        .run()
        .ok()
        .out("TERM=vt100\n");
}

#[test]
fn bad_input_is_refused_in_one_line() {
    let t = Sandbox::new("setpriv");
    t.write("file", "");
    let cases: [(&str, i32, &[&str]); 17] = [
        ("setpriv --nnp", 1, &["program"]),
        ("setpriv --bogus true", 1, &["--bogus"]),
        (
            "setpriv --nnp no-such-program",
            127,
            &["no-such-program", "No such file or directory"],
        ),
        (
            "setpriv --nnp ./file",
            126,
            &["./file", "Permission denied"],
        ),
        ("setpriv --reuid nobody-at-all true", 1, &["nobody-at-all"]),
        ("setpriv --reuid 4294967295 true", 1, &["4294967295"]),
        ("setpriv --reuid 99999999999 true", 1, &["99999999999"]),
        ("setpriv --groups 1,x true", 1, &["x"]),
        ("setpriv --regid 5 true", 1, &["groups"]),
        ("setpriv --bounding-set sys_admin true", 1, &[]),
        (
            "setpriv --bounding-set -sys_emperor true",
            1,
            &["sys_emperor"],
        ),
        ("setpriv --securebits +sense true", 1, &[]),
        ("setpriv --pdeathsig SIGNONE true", 1, &["SIGNONE"]),
        ("setpriv --dump true", 1, &["dump"]),
        ("setpriv --list-caps true", 1, &["list-caps"]),
        ("setpriv --clear-groups --groups 5 true", 1, &["groups"]),
        ("setpriv --ptracer me true", 1, &["me"]),
    ];
    for (line, status, words) in cases {
        t.run(line).fails(status, "setpriv", words).untouched();
        t.user()
            .run(line)
            .fails(status, "setpriv", words)
            .untouched();
    }
}

/// What the kernel refuses has util-linux's own status.
#[test]
fn a_setting_that_cannot_be_applied_is_status_127() {
    let t = Sandbox::new("setpriv");
    for line in [
        "--reuid 0",
        "--regid 0 --keep-groups",
        "--clear-groups",
        "--groups 5",
        "--inh-caps +chown",
        "--securebits +noroot",
    ] {
        t.user()
            .run(&format!("setpriv {line} true"))
            .fails(127, "setpriv", &["Operation not permitted"])
            .untouched();
    }
}

#[test]
fn what_is_dumped_is_what_is() {
    needs!(root);
    let t = Sandbox::new("setpriv");
    t.run("setpriv --reuid 5 --regid 6 --groups 7,8 --bounding-set -all,+chown,+kill --nnp setpriv --dump | head -n 9")
        .ok()
        .out(
            "uid: 5\neuid: 5\ngid: 6\negid: 6\nSupplementary groups: 7,8\nno_new_privs: 1\n\
             Inheritable capabilities: [none]\nAmbient capabilities: [none]\nCapability bounding set: chown,kill\n",
        );
    t.run("setpriv --list-caps | head -n 2")
        .ok()
        .out("chown\ndac_override\n");
    t.run("setpriv --dump >/dev/full")
        .status(1)
        .err_has("No space left on device");
}

/// A filter that refuses what the other options need: it comes last, so that they are done.
#[test]
fn the_filter_is_loaded_last() {
    needs!(root);
    let t = Sandbox::new("setpriv");
    let refused = [
        nix::libc::SYS_setresuid,
        nix::libc::SYS_setresgid,
        nix::libc::SYS_setgroups,
        nix::libc::SYS_capset,
        nix::libc::SYS_chdir,
    ];
    let mut filter: Vec<(u16, u8, u8, u32)> = vec![(0x20, 0, 0, 0)];
    for (at, number) in refused.iter().enumerate() {
        let to_refusal = u8::try_from(refused.len() - at).unwrap();
        filter.push((0x15, to_refusal, 0, u32::try_from(*number).unwrap()));
    }
    filter.push((0x06, 0, 0, 0x7fff_0000));
    filter.push((0x06, 0, 0, 0x0005_0001));
    let bytes: Vec<u8> = filter
        .iter()
        .flat_map(|&(code, yes, no, k)| {
            [&code.to_ne_bytes()[..], &[yes, no], &k.to_ne_bytes()].concat()
        })
        .collect();
    std::fs::write(t.work().join("filter"), bytes).unwrap();
    t.run(
        "chmod 600 filter; setpriv --seccomp-filter filter --reuid 5 --regid 6 --clear-groups --workdir / \
           --bounding-set -all grep -E '^(Uid|CapBnd|NoNew|Seccomp:)' /proc/self/status | tr -s '\\t ' ' '",
    )
    .ok()
    .out("Uid: 5 5 5 5\nCapBnd: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2\n");
    t.run("setpriv --seccomp-filter filter setpriv --reuid 5 true")
        .fails(127, "setpriv", &["Operation not permitted"]);
}

/// T-EX-04: nothing is inherited that was not named.
#[test]
fn one_word_says_all_a_container_may_do() {
    needs!(root);
    let t = Sandbox::new("setpriv");
    t.run(
        "setpriv --inh-caps +bpf,+kill --ambient-caps +bpf,+kill setpriv --caps chown,kill grep ^Cap /proc/self/status | cut -f2",
    )
    .ok()
    .out("0000000000000000\n0000000000000021\n0000000000000021\n0000000000000021\n0000000000000000\n");
}
