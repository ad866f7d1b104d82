//! Who a program is, what it inherits, and who can look at it while it joins (security list, 1B).

use super::{both, sandbox};

/// T-EX-03 (CVE-2016-9962): a program on its way into a container cannot be looked into from there; one that joins
/// with nsenter can.
#[test]
fn who_joins_is_not_looked_into() {
    needs!(root, busybox, host("strace"), host("nsenter"), util_linux);
    let t = sandbox();
    // Whoever of the container is not its first process nor the spy itself, and what can be had of it.
    let spy = r#"while ! test -e /tmp/stop; do for p in /proc/[0-9]*; do
        case $p in /proc/1|/proc/$$) continue;; esac
        head -c1 $p/environ >/dev/null 2>&1 && test "$(head -c4 $p/environ)" = SPY= && echo environ
        ls $p/fd >/dev/null 2>&1 && test "$(readlink $p/cwd)" = /canary && echo cwd
        readlink $p/exe | grep -e isobox -e container -e nsenter
    done; done >>/tmp/seen; echo end >>/tmp/seen"#;
    t.write("r/spy", spy);
    // It is held back where it has joined and not executed yet.
    let slow = "strace -f -qq -o /dev/null -e trace=execve,execveat -e inject=execve,execveat:delay_enter=400000";
    let line = |join: &str| {
        format!(
            "export ISOBOX_ROOT=$PWD/kept; rm -f r/tmp/*; container run -d --name web --cap-add ALL --security-opt seccomp=unconfined --rootfs r sh -c 'sh /spy; sleep 1000' >/dev/null
             P=$(container inspect -f '{{{{.State.Pid}}}}' web); SPY=secret {join} >/dev/null 2>&1; touch r/tmp/stop
             until grep -q end r/tmp/seen; do sleep 0.02; done; sort -u r/tmp/seen; container rm -f web >/dev/null; rm -rf kept r/tmp/*"
        )
    };
    let ours = t.run(&line(&format!("{slow} container exec web true")));
    ours.out("end\n");
    let theirs = t.run(&line(&format!("{slow} /usr/bin/nsenter -t $P -a true")));
    assert!(
        theirs.stdout.contains("nsenter"),
        "the attack does not even work on nsenter{theirs}"
    );
}

/// T-EX-04, 05, 06 for programs that join: no capability is inherited, and a user is a number in range or a name.
#[test]
fn who_a_joining_program_is() {
    needs!(root, busybox);
    let t = sandbox();
    let kept = "export ISOBOX_ROOT=$PWD/kept";
    t.run(&format!("{kept}; echo '4294967296:x:0:0::/:/bin/sh' >>r/etc/passwd; container run -d --name web --rootfs r sleep 1000 >/dev/null"))
        .ok();
    for (user, want) in [
        ("0", "0 0"),
        ("1", "1 0"),
        ("1:", "1 0"),
        ("1:2", "1 2"),
        (":2", "0 2"),
        ("+1", ""),
        ("-1", ""),
        ("01", ""),
        ("4294967294", ""),
        ("4294967295", ""),
        ("4294967296", ""),
        ("0x0", ""),
        ("1e3", ""),
        ("'1 '", ""),
        ("ann", "1000 100"),
        ("ann:audio", "1000 63"),
        ("nobody", ""),
        ("ann:nogroup", ""),
    ] {
        let exec = t.run(&format!(
            "{kept}; container exec -u {user} web sh -c 'echo $(id -u) $(id -g)'"
        ));
        let run = t.run(&format!(
            "container run -u {user} --rootfs r sh -c 'echo $(id -u) $(id -g)'"
        ));
        if user == "4294967294" {
            // The last number there is; the kernel may have it or not, but it is nobody else.
            for ran in [exec, run] {
                assert!(
                    ran.stdout.is_empty() || ran.stdout == "4294967294 0\n",
                    "{ran}"
                );
            }
            continue;
        }
        for ran in [exec, run] {
            assert_eq!(ran.stdout.trim(), want, "{user}{ran}");
            assert_eq!(ran.status == 0, !want.is_empty(), "{user}{ran}");
        }
    }
    t.run(&format!("{kept}; setpriv --inh-caps +chown,+kill,+net_raw container exec -u ann web grep -e CapInh -e CapPrm -e CapAmb /proc/self/status; container rm -f web; rm -rf kept"))
        .ok()
        .out("CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapAmb:\t0000000000000000\nweb\n");
    // The control: the caller's set was not empty, and another program has it.
    t.run("setpriv --inh-caps +chown,+kill,+net_raw grep CapInh /proc/self/status | grep -c 0000000000000000")
        .out("0\n");
}

/// T-EX-07 (CVE-2026-47262, CVE-2024-9676): hostile files of users and groups, for who starts and who joins.
#[test]
fn files_of_users_that_are_none() {
    needs!(root, busybox);
    let t = sandbox();
    let kept = "export ISOBOX_ROOT=$PWD/kept";
    t.run(&format!("{kept}; container run -d --name web --rootfs r sleep 1000 >/dev/null; echo root:x:5:6 >secret"))
        .ok();
    for file in ["passwd", "group"] {
        for made in [
            "mkfifo r/etc/F",
            "mkdir r/etc/F",
            "ln -s F r/etc/F",
            "ln -s $PWD/secret r/etc/F",
            "ln -s /proc/self/environ r/etc/F",
            "mknod r/etc/F c 1 5",
            "truncate -s 2G r/etc/F",
            "head -c 5000000 /dev/zero | tr '\\0' 'x' >r/etc/F",
        ] {
            let made = made.replace('F', file);
            t.run(&format!("mv r/etc/{file} old; {made}")).ok();
            for line in [
                "container exec -u ann:audio web id -u",
                "container run -u ann:audio --rootfs r id -u",
            ] {
                let ran = t.cmd(&format!("{kept}; {line}")).run();
                assert!(
                    ran.status != 0 && ran.stdout.is_empty(),
                    "{made}: {line}{ran}"
                );
            }
            t.run(&format!("rm -rf r/etc/{file}; mv old r/etc/{file}"))
                .ok();
        }
    }
    // The control: with the files as they were they are found.
    t.run(&format!(
        "{kept}; container exec -u ann:audio web id -g; container rm -f web; rm -rf kept"
    ))
    .ok()
    .out("63\nweb\n");
}

/// T-EX-08 (CVE-2022-4318, CVE-2026-15809): a line break in a value makes no second line anywhere.
#[test]
fn one_line_stays_one() {
    needs!(root, userns, busybox);
    let t = sandbox();
    let evil = "\"$(printf 'a\\nroot2::0:0::/:/bin/sh')\"";
    for flag in ["--hostname", "--name", "--add-host", "--dns"] {
        let value = match flag {
            "--add-host" => format!("{evil}:10.0.0.1"),
            _ => evil.to_owned(),
        };
        for run in both(
            &t,
            &format!("container run {flag} {value} --network none --rootfs r echo ran"),
        ) {
            let ran = run.run();
            assert!(ran.status == 125 && ran.stdout.is_empty(), "{flag}{ran}");
        }
    }
    // A variable may have several lines, and is written nowhere.
    for run in both(
        &t,
        &format!(
            "container run -e HOME={evil} --rootfs r sh -c 'echo \"$HOME\"; grep -rs root2 /etc'; grep -rs root2 r/etc; true"
        ),
    ) {
        run.run().ok().out("a\nroot2::0:0::/:/bin/sh\n");
    }
}

/// T-EX-11 (CVE-2020-5291, CVE-2016-8659, CVE-2026-41163): made set-user-ID it does nothing at all.
#[test]
fn set_user_id_it_refuses() {
    needs!(root, userns, busybox, host("setcap"));
    let t = sandbox();
    t.run("cp $(readlink -f $(command -v isobox)) suid; cp suid plain; cp suid sgid; chmod 4755 suid; chmod 2755 sgid; chmod 755 plain; cp r/bin/busybox control; chmod 4755 control")
        .ok();
    // The control: another program gets the id.
    t.user().run("./control sh -p -c 'id -u' || ./control id -u; ./plain setpriv --reuid 1000 --keep-groups true; echo $?")
        .out_has("0\n");
    for line in [
        "./suid setpriv id",
        "./suid --help",
        "./suid",
        "./suid unshare -m id",
        "./sgid setpriv id",
        "exec -a container ./suid run --rootfs / id",
    ] {
        let ran = t.user().run(&format!("bash -c '{line}'"));
        assert!(ran.status == 1 && ran.stdout.is_empty(), "{ran}");
        ran.err_has("set-user-ID");
    }
}

/// T-EX-16 (CVE-2021-41103, CVE-2024-25621): what is kept of containers is nobody else's, whatever the umask. T-EX-17
/// (CVE-2020-15257): no socket of ours has a name that namespaces do not hide.
#[test]
fn what_is_kept_is_nobody_elses() {
    needs!(root, busybox);
    let t = sandbox();
    let line = "umask 0; mkdir home; export ISOBOX_ROOT=$PWD/home/kept; container run -d --name web -v ./r/etc:/mnt --rootfs r sleep 1000 >/dev/null
        runc --root $PWD/home/k state x 2>/dev/null; find home -mindepth 2 ! -type l -perm /077 -path '*/kept/[cr]*/*' ! -path '*/rootfs/*' | sed 's/[0-9a-f]\\{64\\}/ID/' | while read -r f; do echo $f; done
        grep -c @ /proc/net/unix; grep -c -e attach -e start /proc/net/unix";
    let ran = t.run(line);
    let exposed = ran.stdout.clone();
    // Files may have any mode below a directory that is closed.
    let closed = t.run(
        "stat -c %a home/kept/containers home/kept/run home/kept/containers/* home/kept/run/*",
    );
    assert!(closed.stdout.lines().all(|mode| mode == "700"), "{closed}");
    assert!(
        exposed.lines().any(|line| line == "0"),
        "an abstract socket{ran}"
    );
    t.user()
        .run("ls home/kept/containers home/kept/run; cat home/kept/*/*/config.json; true")
        .out("")
        .err_has("Permission denied");
    t.run("export ISOBOX_ROOT=$PWD/home/kept; container rm -f web; rm -rf home")
        .ok();
}

/// T-EX-18, 19: what tells of the machine's power and interrupts is covered; packets cannot be made by hand.
#[test]
fn side_channels_are_covered() {
    needs!(root, busybox);
    let t = sandbox();
    let look = "for f in /proc/interrupts /proc/timer_list /proc/kcore /proc/keys; do wc -c <$f; done | busybox sort -u
        ls /sys/devices/virtual/powercap /sys/firmware 2>/dev/null | grep -v : | grep -c .; ls /sys/devices/system/cpu/cpu0/thermal_throttle 2>/dev/null | grep -c .
        busybox ping -c 1 -W 1 127.0.0.1 2>&1 | grep -c -i -e permi -e denied -e allowed";
    t.run(&format!("container run --rootfs r sh -c '{look}'"))
        .out("0\n0\n0\n1\n");
    t.run("wc -c </proc/interrupts | grep -v -x 0").ok(); // the control
    t.run("container run --cap-add NET_RAW --rootfs r busybox ping -c 1 -W 1 127.0.0.1")
        .ok(); // and this one
}

/// T-SEC-06: two containers do not see each other; T-SEC-07, 08: nor are they more than they are.
#[test]
fn containers_do_not_see_each_other() {
    needs!(root, userns, busybox, host("python3"));
    let t = sandbox();
    let line = "container run -d --name one --rootfs r sh -c 'echo 1 >/dev/shm/mine; echo 1 >/dev/mqueue/mine; exec sleep 4321' >/dev/null
        container run -d --name two --rootfs r sleep 1000 >/dev/null
        until container exec one cat /dev/shm/mine 2>/dev/null; do sleep 0.02; done
        container exec two sh -c 'busybox ps | grep -c [4]321; ls /dev/shm /dev/mqueue | grep -c mine; cat /proc/net/unix | wc -l; wc -c </proc/keys'
        for k in pid ipc net mnt uts cgroup; do container exec one readlink /proc/self/ns/$k; container exec two readlink /proc/self/ns/$k; done | uniq -d
        container exec two sh -c 'ulimit -Hn 2000000 2>&1 | grep -c -i -e permit -e argument; (echo -999 >/proc/self/oom_score_adj) 2>&1 | grep -c denied; (echo 1 >/proc/sys/kernel/shm_rmid_forced) 2>&1 | grep -c Read-only'
        container rm -f one two";
    let [root, user] = [
        t.cmd(&format!("export ISOBOX_ROOT=$PWD/kept; {line}")),
        t.user()
            .cmd(&format!("export ISOBOX_ROOT=$PWD/own; {line}")),
    ];
    for run in [root, user] {
        run.run().out("1\n0\n0\n1\n0\n1\n1\n1\none\ntwo\n");
    }
    t.run("rm -rf kept own").ok();
    // Whoever is root in an ordinary user's container makes files of that user.
    t.run("mkdir vol r/mnt; chmod 777 vol").ok();
    t.user()
        .run("container run --rootfs r -v ./vol:/mnt touch /mnt/x")
        .ok();
    t.run("stat -c %u vol/x").out("1000\n");
}

/// What is shared with the host can be seen by an ordinary user's container too, and the kernel's settings not changed.
#[test]
fn an_ordinary_users_container_shares_namespaces() {
    needs!(root, userns, busybox);
    let t = sandbox();
    t.run("ip link set lo up; ip link add name seen0 type veth peer name seen1")
        .ok();
    let look = "'ls -d /proc/1 /sys/class; (echo 1 >/sys/kernel/mm/ksm/run) 2>/dev/null || (echo 1 >/proc/sys/kernel/msgmax) 2>/dev/null || echo closed'";
    for root in ["r", "host"] {
        for (flag, kind) in [
            ("--network", "net"),
            ("--pid", "pid"),
            ("--ipc", "ipc"),
            ("--uts", "uts"),
            ("--cgroupns", "cgroup"),
        ] {
            for run in both(
                &t,
                &format!(
                    "container run --rootfs {root} {flag} host sh -c 'readlink /proc/self/ns/{kind}' >got; readlink /proc/self/ns/{kind} | cmp - got && rm got"
                ),
            ) {
                run.run().ok();
            }
            if kind != "net" || root == "r" {
                t.user()
                    .run(&format!(
                        "container run --rootfs {root} {flag} host sh -c {look}"
                    ))
                    .ok()
                    .out_has("/proc/1\n")
                    .out_has("closed\n");
            }
        }
    }
    t.user()
        .run("container run --rootfs r --network host cat /proc/net/dev")
        .ok()
        .out_has("seen0:");
    t.user()
        .run("container run --rootfs r --network host --pid host --ipc host --uts host true")
        .ok();
    t.run("ip link del seen0").ok();
}
