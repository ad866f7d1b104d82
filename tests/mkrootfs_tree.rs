//! Trees of our own: the skeleton, programs of the host with all they need, initramfs archives. Oracles are those who
//! have to accept them: chroot, nspawn, the dynamic loader, GNU cpio. A virtual machine starts from one in tests/vm.

use crate::kit::Sandbox;

#[test]
fn whoever_wants_a_root_takes_it() {
    needs!(root, busybox, static_binary, host("systemd-nspawn"));
    let t = Sandbox::new("skeleton");
    t.run("mkrootfs --busybox r").ok().out("").err("");
    t.run("chroot r /bin/sh -c 'echo /*; test -c /dev/null'")
        .ok()
        .out("/bin /dev /etc /init /lib /lib64 /mnt /proc /root /run /sbin /sys /tmp /usr /var\n");
    t.run("unshare -m pivot --proc r /bin/sh -c 'grep -c \" / \" /proc/mounts'")
        .ok()
        .out("1\n");
    #[cfg(feature = "oci")]
    t.run("container run --rootfs r --hostname box -- sh -c 'hostname; id -un'")
        .ok()
        .out("box\nroot\n");
    // It keeps notes below /run: those are not for the machine.
    t.run("mount -t tmpfs run /run && systemd-nspawn --register=no --keep-unit -q -D r /bin/sh -c 'echo pid $$' | tr -d '\\r'; umount /run")
        .out("pid 1\n");
    t.run("chroot r /bin/lsns --version")
        .ok()
        .out_has("lsns from isobox");
}

#[test]
fn without_more_it_holds_this_binary_and_nothing_else() {
    needs!(root, static_binary);
    let t = Sandbox::new("skeleton");
    t.run("mkrootfs r").ok().err("");
    t.run("find r -type f | sort").ok().out(
        "r/etc/group\nr/etc/hosts\nr/etc/passwd\nr/etc/resolv.conf\nr/init\nr/usr/bin/isobox\nr/usr/lib/os-release\n",
    );
    t.run("isobox --list | while read -r name; do test $name = isobox || readlink r/bin/$name; done | sort -u")
        .ok()
        .out("isobox\n");
    t.run("cmp \"$(command -v isobox)\" r/bin/isobox; stat -c '%a %n' r/tmp r/var/tmp r/root r/proc r/usr/bin/isobox")
        .ok()
        .out("1777 r/tmp\n1777 r/var/tmp\n700 r/root\n555 r/proc\n755 r/usr/bin/isobox\n");
    t.run("umask 077; mkrootfs s; stat -c %a s s/etc s/etc/passwd")
        .ok()
        .out("755\n755\n644\n");
}

#[test]
fn a_user_makes_one_without_devices() {
    needs!(userns, busybox, static_binary);
    let t = Sandbox::new("skeleton");
    t.user()
        .run("mkrootfs --busybox r; find r -type c -o -type b; unshare -r chroot r sh -c 'id -un'")
        .ok()
        .out("root\n")
        .err_has("note: only root of the machine can make devices");
    // The archive has them, whoever writes it.
    t.user()
        .run("mkrootfs --busybox -o cpio | cpio -itv --quiet | grep -c ^c; mkrootfs -i r -o cpio | cpio -itv --quiet | grep -E ' (dev/null|bin -> usr/bin)$' | cut -c1-29")
        .ok()
        .out("7\nlrwxrwxrwx   1 root     root \ncrw-rw-rw-   1 root     root \n");
}

#[test]
fn programs_come_with_what_their_loader_wants() {
    needs!(root, static_binary, host("bash"), host("perl"));
    let t = Sandbox::new("skeleton");
    let programs = ["bash", "perl", "ls", "grep", "find", "gdb", "ssh", "tar"];
    let mut tried = 0;
    for program in programs {
        if crate::kit::needs::host(program).is_err() {
            continue;
        }
        tried += 1;
        t.run(&format!("mkrootfs --add {program} {program}.root"))
            .ok()
            .err("");
        // What the loader itself says it takes, here and there.
        t.run(&format!(
            "take() {{ sed -n 's/.* => \\(.*\\) (.*/\\1/p' | sort; }}; \
             p=$(command -v {program}); loader=$(readelf -l $p | sed -n 's/.*interpreter: \\(.*\\)]/\\1/p'); \
             LD_TRACE_LOADED_OBJECTS=1 $p | take >here; \
             chroot {program}.root $loader --list $p | take >there; cmp here there && test -s there"
        ))
        .ok();
    }
    assert!(tried >= 4);
    t.run("chroot bash.root /bin/bash -c 'echo $BASH_VERSION $0' | grep -c bash")
        .ok()
        .out("1\n");
    t.run("chroot perl.root perl -e 'print 6*7'").ok().out("42");
    t.run("mkrootfs --shell s; chroot s sh -c 'test -n \"$BASH_VERSION\" && echo bash'")
        .ok()
        .out("bash\n");
}

#[test]
fn libraries_are_found_as_loaders_find_them() {
    needs!(root, static_binary, host("gcc"));
    let t = Sandbox::new("skeleton");
    t.write("one.c", "int two(void); int one(void) { return two(); }")
        .write("two.c", "int two(void) { return 2; }")
        .write(
            "main.c",
            "int one(void); int main(void) { return one() + 40; }",
        );
    t.run("mkdir -p app/bin app/lib far").ok();
    // RUNPATH counts for its own object alone, so one names two's directory itself; RPATH is handed down.
    let builds = [
        (
            "runpath",
            "-Wl,--enable-new-dtags",
            "-Wl,-rpath,'${ORIGIN}/../../far'",
        ),
        ("rpath", "-Wl,--disable-new-dtags", ""),
    ];
    for (name, tags, own) in builds {
        t.run(&format!(
            "gcc -shared -fPIC -o far/libtwo-{name}.so two.c -Wl,-soname,libtwo-{name}.so && \
             gcc -shared -fPIC -o app/lib/libone-{name}.so one.c {tags} {own} far/libtwo-{name}.so -Wl,-soname,libone-{name}.so && \
             ln -sf libone-{name}.so app/lib/libone.so && \
             gcc -o app/bin/{name} main.c {tags} -Wl,-rpath,'$ORIGIN/../lib:$ORIGIN/../../far' -Wl,--allow-shlib-undefined app/lib/libone-{name}.so"
        ))
        .ok();
        t.run(&format!(
            "./app/bin/{name}; test $? = 42 && mkrootfs --add $PWD/app/bin/{name} {name}.root && unshare -m pivot --proc {name}.root $PWD/app/bin/{name}"
        ))
        .status(42); // The GNU loader asks /proc where $ORIGIN is.
    }
    // A directory that the loader knows from its cache alone.
    t.run(
        "mount -t tmpfs none /etc/ld.so.conf.d && mkdir odd && echo $PWD/odd >/etc/ld.so.conf.d/odd.conf && \
         gcc -shared -fPIC -o odd/libodd.so two.c -Wl,-soname,libodd.so && echo 'int two(void); int main(void) { return two(); }' >odd.c && \
         gcc -o uses-odd odd.c odd/libodd.so && mkrootfs --add $PWD/uses-odd odd.root && chroot odd.root $PWD/uses-odd; \
         status=$?; umount /etc/ld.so.conf.d; exit $status",
    )
    .status(2);
    t.run("readlink odd.root/lib/*/libodd.so odd.root/lib64/libodd.so | grep -c odd/libodd.so")
        .out("1\n");
    // What the loader would not find is not made up.
    t.run("rm odd/libodd.so; mkrootfs --add $PWD/uses-odd none.root; ls -d none.root")
        .err_has("mkrootfs: cannot find the library libodd.so")
        .err_has("hint: something in ");
}

#[test]
fn musl_has_a_loader_of_its_own() {
    needs!(root, static_binary, host("musl-gcc"));
    let t = Sandbox::new("skeleton");
    t.write(
        "main.c",
        "#include <stdio.h>\nint main(void) { puts(\"musl\"); return 0; }",
    );
    t.run("musl-gcc -o hello main.c && mkrootfs --add $PWD/hello r && chroot r $PWD/hello")
        .ok()
        .out("musl\n");
    t.run("find r -name 'ld-linux*'; find r -name 'ld-musl*.so.1' | wc -l")
        .ok()
        .out("1\n");
}

#[test]
fn scripts_come_with_their_interpreters() {
    needs!(root, static_binary, host("perl"));
    let t = Sandbox::new("skeleton");
    t.write("by-env", "#!/usr/bin/env perl\nprint \"by env\\n\";\n")
        .write("plain", "#! /bin/sh -e\necho plain\n")
        .write("round", "")
        .write("data", "no program\n");
    t.run("chmod 755 by-env plain; echo \"#!$PWD/round\" >round; chmod 755 round")
        .ok();
    t.run("mkrootfs --add $PWD/by-env --add $PWD/plain --add $PWD/data r; chroot r $PWD/by-env; chroot r $PWD/plain; chroot r /bin/sh -c \"read line <$PWD/data; echo \\$line\"")
        .ok()
        .out("by env\nplain\nno program\n")
        .err("");
    t.run("mkrootfs --add $PWD/round s")
        .status(1)
        .err_has("its interpreter is a script");
}

#[test]
fn links_are_kept_and_nothing_is_copied_twice() {
    needs!(root, static_binary);
    let t = Sandbox::new("skeleton");
    t.run("mkdir real; cp /bin/true real/prog; ln -s real short; ln -s ../short/prog real/alias; ln -s $PWD/real/alias far; mkrootfs --add $PWD/far --add $PWD/short/prog r")
        .ok()
        .err("");
    t.run("cd r$PWD && find . \\( -name prog -o -type l \\) -printf '%p -> %l\\n' | LC_ALL=C sort")
        .ok()
        .out_in_order(&[
            "./far -> ",
            "/real/alias\n",
            "./real/alias -> ../short/prog\n",
            "./real/prog -> \n",
            "./short -> real\n",
        ]);
    t.run("chroot r $PWD/far").ok();
}

#[test]
fn what_cannot_be_is_refused() {
    needs!(root, static_binary);
    let t = Sandbox::new("skeleton");
    t.write("full/file", "x")
        .write("bad", "\x7fELF\x02\x01\x01");
    let cases = [
        ("mkrootfs", "mkrootfs: no directory given"),
        ("mkrootfs full", "mkrootfs: not empty: full"),
        (
            "mkrootfs nowhere/r",
            "mkrootfs: cannot open nowhere: No such file or directory",
        ),
        (
            "mkrootfs --add nosuchprogram r",
            "mkrootfs: cannot find the program nosuchprogram",
        ),
        (
            "mkrootfs --add /nowhere r",
            "mkrootfs: cannot add /nowhere: No such file or directory",
        ),
        (
            "mkrootfs --add /usr r",
            "mkrootfs: cannot add /usr: Is a directory",
        ),
        ("mkfifo f; mkrootfs --add $PWD/f r", "f: Invalid argument"),
        ("mkrootfs --add $PWD/bad r", "not a sound ELF file:"),
        (
            "mkrootfs -o zip r",
            "cannot make 'zip': dir, tar, cpio or oci-bundle",
        ),
        (
            "SOURCE_DATE_EPOCH=now mkrootfs r",
            "SOURCE_DATE_EPOCH is no number of seconds: now",
        ),
        (
            "mkrootfs -o cpio nowhere/x",
            "mkrootfs: cannot make nowhere/x: No such file",
        ),
        ("script -qec 'mkrootfs -o cpio' /dev/null", ""),
    ];
    for (line, want) in cases {
        let ran = t.run(line);
        ran.status(1).err_has(want);
        assert!(
            !want.is_empty()
                || ran
                    .stdout
                    .contains("an archive is not written to a terminal")
        );
    }
}

#[test]
fn an_archive_is_what_gnu_cpio_takes() {
    needs!(root, host("cpio"));
    let t = Sandbox::new("cpio");
    t.run(
        "mkdir -p tree/dev tree/a/b; cd tree; echo one >a/one; ln a/one a/b/other; ln a/one z; ln -s ../one a/b/link; mkfifo a/pipe; \
         mknod a/disk b 8 1; chmod 4755 a/one; chown 12:34 a/b; touch -d @1234567890 a/one; touch -d @4000000000 a/b; : >empty; head -c 70000 /dev/zero >big; \
         touch 'new\nline'; ln -s gone dangling",
    )
    .ok();
    t.run("mkrootfs -i tree -o cpio image; mkdir out; cd out; cpio -idm --quiet <../image 2>err; cat err").ok().out("");
    let list = "find . -mindepth 1 ! -path './dev/*' ! -path './.isobox*' ! -name init ! -name err -printf '%P %y %m %U:%G %s %n %l' \\( -type b -exec stat -c ' %t:%T' {} + -o -printf '\\n' \\) | grep -v '^dev ' | sort";
    let files =
        "find . -type f ! -path './.isobox*' ! -name init ! -name err -printf '%P %Ts\\n' | sort";
    for line in [list, files] {
        let there = t.run(&format!("cd out; {line}"));
        t.run(&format!("cd tree; {line}")).ok().out(&there.stdout);
        assert!(there.stdout.lines().count() > 4);
    }
    t.run("cd out; ls -l dev/console dev/null | cut -c1-10")
        .ok()
        .out("crw-------\ncrw-rw-rw-\n");
    t.run("cmp tree/big out/big; test out/z -ef out/a/b/other")
        .ok();
    // The same tree, the same bytes, and no later time than is wanted.
    t.run("SOURCE_DATE_EPOCH=5 mkrootfs -i tree -o cpio >one; cp -a tree copy; SOURCE_DATE_EPOCH=5 mkrootfs -i copy -o cpio two; cmp one two; cpio -itv --quiet <one | grep -c 'Jan  *1  *1970'")
        .ok()
        .out("23\n");
}

#[test]
fn what_an_archive_cannot_tell_is_refused() {
    needs!(root, host("python3"));
    let t = Sandbox::new("cpio");
    t.run("mkdir big; truncate -s 4294967296 big/file; mkrootfs -i big -o cpio >/dev/null")
        .status(1)
        .err("mkrootfs: cannot be in a cpio archive: /file: it has 4 GiB or more\n");
    t.run("mkdir linked; ln -s /tmp linked/dev; mkrootfs -i linked -o cpio >/dev/null")
        .status(1)
        .err_has("/dev has to be a directory in it");
    t.run("mkdir socket; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"socket/s\")'; mkrootfs -i socket -o cpio | cpio -it --quiet | grep -c ^s$")
        .out("0\n")
        .err("note: sockets left out: 1\n");
    // What is mounted in a tree is not part of it.
    t.run("mkdir -p m/sub; mount -t tmpfs none m/sub; touch m/sub/hidden; mkrootfs -i m -o cpio | cpio -it --quiet | grep sub; umount m/sub")
        .ok()
        .out("sub\n");
    // Full.
    t.run("mkrootfs -o cpio /dev/full")
        .status(1)
        .err_has("No space left on device");
}

#[test]
fn only_the_kernel_starts_the_first_process() {
    needs!(root);
    let t = Sandbox::new("rdinit");
    t.run("rdinit sh")
        .status(1)
        .err_has("rdinit: not process 1\nhint: ");
    t.run("unshare -mpf rdinit sh")
        .status(1)
        .err_has("rdinit: the root is not an initramfs\nhint: ")
        .untouched();
    t.run("rdinit --explain sh").ok().out_in_order(&[
        "devtmpfs",
        "devpts",
        "proc",
        "sysfs",
        "cgroup2",
        "lo",
        "clone",
        "TIOCSCTTY",
        "execve(\"sh\"",
    ]);
}
