//! What goes in and out by descriptor: terminals, pidfds, listening sockets, and "I am ready".

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, poll};

use super::supervisor::{receive, receive_any};
use super::{bundle, with};
use crate::kit::Sandbox;

/// A container whose program has a terminal: who listens gets its master, as conmon and containerd's shim do.
#[test]
fn a_terminal_goes_to_who_listens() {
    needs!(root, busybox, controller("memory"));
    let t = Sandbox::new("runc");
    bundle(
        &t,
        r#"["sh", "-c", "busybox stty size; busybox tty; busybox tty </dev/console; read line; echo got $line; sleep 1000"]"#,
        "",
    );
    t.run(r#"sed -i 's/"terminal": false/"terminal": true, "consoleSize": {"height": 30, "width": 101}/' b/config.json"#)
        .ok();
    let listener = UnixListener::bind(t.work().join("console")).unwrap();
    let client = thread::spawn(move || {
        let mut said = Vec::new();
        for (typed, last) in [("typed\n", "got typed\r\n"), ("", "/dev/pts/1\r\n7\r\n")] {
            let (line, _) = listener.accept().unwrap();
            let (name, master) = receive(line.as_fd());
            let mut terminal = std::fs::File::from(master);
            terminal.write_all(typed.as_bytes()).unwrap();
            let mut text = Vec::new();
            while !text.ends_with(last.as_bytes()) {
                let mut bytes = [0; 256];
                let length = terminal.read(&mut bytes).unwrap();
                text.extend(&bytes[..length]);
            }
            said.push((name, String::from_utf8(text).unwrap()));
            // A hangup would end the program.
            std::mem::forget(terminal);
        }
        said
    });
    with(
        &t,
        "runc",
        "$R create --console-socket console -b b c 2>&1; $R start c; busybox usleep 100000
         $R exec -d -t -u 7 --console-socket console c sh -c 'busybox tty; id -u; sleep 99'; busybox usleep 300000; $R delete -f c
         $R run --console-socket console -b b c; echo $?; $R create -b b c; echo $?; ls k",
    )
    .out("1\n1\n")
    .err_has("cannot use console socket if runc will not detach or allocate tty")
    .err_has("cannot allocate tty if runc will detach without setting console socket");
    let said = client.join().unwrap();
    assert!(said.iter().all(|(name, _)| !name.is_empty()));
    // The echo of what was typed comes when it was typed: before the program's first word, or behind its last.
    let first = said[0].1.replacen("typed\r\n", "", 1);
    assert_eq!(
        first,
        "30 101\r\n/dev/pts/0\r\n/dev/console\r\ngot typed\r\n"
    );
    assert_eq!(said[1].1, "/dev/pts/1\r\n7\r\n");
}

/// The pidfd of a first process, and of a program that joins.
#[test]
fn a_pidfd_goes_to_who_listens() {
    needs!(root, busybox, controller("memory"));
    let t = Sandbox::new("runc");
    bundle(&t, r#"["sleep", "1000"]"#, "");
    let listener = UnixListener::bind(t.work().join("pidfd")).unwrap();
    let two =
        thread::spawn(move || [(), ()].map(|()| receive(listener.accept().unwrap().0.as_fd()).1));
    let ran = with(
        &t,
        "runc",
        "$R create --pidfd-socket pidfd --pid-file one -b b c 2>&1; $R start c
         $R exec -d --pidfd-socket pidfd --pid-file two c sleep 1000; echo $(cat one) $(cat two); $R kill c KILL
         while $R state c | grep -q running; do sleep 0.05; done; $R delete c",
    );
    let held = two.join().unwrap();
    let of = |fd: &OwnedFd| {
        let info =
            std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).unwrap();
        assert!(info.contains("Pid:"), "no pidfd: {info}");
        let mut ended = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut ended, 10_000_u16), Ok(1), "it runs still");
    };
    held.iter().for_each(of);
    assert_eq!(ran.stdout.split_whitespace().count(), 2, "{ran}");
    // Where nobody listens there is no container.
    with(
        &t,
        "runc",
        "rm pidfd; $R create --pidfd-socket pidfd -b b c 2>/dev/null; echo $?; ls k",
    )
    .out("1\n");
}

/// Descriptors by number, and sockets that whoever started us listens on, in systemd's words.
#[test]
fn descriptors_are_handed_down() {
    needs!(
        root,
        busybox,
        host("systemd-socket-activate"),
        controller("memory")
    );
    let t = Sandbox::new("runc");
    let say = "echo $LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES; for n in 3 4 5; do test -e /proc/self/fd/$n && echo $n; done";
    bundle(&t, &format!(r#"["sh", "-c", "{say}"]"#), "");
    let line = "exec 3<b/config.json 4</dev/null 5</dev/zero
        $R run -b b c; $R run --preserve-fds 2 -b b c; LISTEN_FDS=1 LISTEN_PID=$$ $R run -b b c
        LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=web $R run --preserve-fds 2 -b b c; $R run --preserve-fds 9 -b b c; echo $?";
    with(&t, "runc", line)
        .out("\n\n3\n4\n1 1\n3\n1 1 web\n3\n4\n5\n1\n")
        .err_has(
            "unable to stat preserved-fd 3 (of 9): stat /proc/self/fd/6: no such file or directory",
        );
    // A program that joins is given its own, and not those of the first.
    bundle(&t, r#"["sleep", "1000"]"#, "");
    with(
        &t,
        "runc",
        &format!(
            "exec 3<b/config.json; LISTEN_FDS=1 LISTEN_PID=$$ $R create -b b c; $R start c; $R exec c sh -c '{say}'
             $R exec --preserve-fds 1 c sh -c '{say}'; LISTEN_FDS=1 $R exec c sh -c '{say}'; $R delete -f c"
        ),
    )
    .ok()
    .out("\n\n3\n1 1\n3\n");
    // With the real one: a connection starts it, and the socket is its.
    bundle(
        &t,
        &format!(
            r#"["sh", "-c", "{say}; head -1 /proc/net/unix | busybox wc -w; busybox nc -h >/dev/null 2>&1; ls -l /proc/self/fd/3 | grep -o socket"]"#
        ),
        "",
    );
    with(
        &t,
        "runc",
        "systemd-socket-activate -l $PWD/listen $(command -v runc) --root $PWD/k run -b b c >out 2>/dev/null & until [ -S listen ]; do busybox usleep 50000; done
         perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Peer => \"listen\") or die'; wait $!; cat out",
    )
    .ok()
    .out("1 1\n3\n8\nsocket\n");
}

/// sd_notify: what systemd is told of a service of `Type=notify` whose program says that it is ready.
#[test]
fn a_manager_hears_that_the_program_is_ready() {
    needs!(root, busybox, host("perl"), controller("memory"));
    let t = Sandbox::new("runc");
    t.root("r");
    t.run("mkdir r/usr; ln -s usr/lib r/lib; ln -s usr/lib64 r/lib64")
        .ok();
    let program = |before: &str| {
        let say = "perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $ENV{NOTIFY_SOCKET})->send(join(qq{\\\\n}, @ARGV))'";
        bundle(
            &t,
            &format!(
                r#"["sh", "-c", "PATH=$PATH:/usr/bin; {before}; {say} STATUS=warm MAINPID=1; {say} MAINPID=1 READY=1 X=2; exec sleep 1000"]"#
            ),
            "",
        );
        t.run(r#"sed -i 's,"mounts": \[,&{"destination": "/usr"\, "type": "bind"\, "source": "/usr"\, "options": ["rbind"\, "ro"]}\,,' b/config.json"#)
            .ok();
    };
    program("sleep 0.3; echo x 2>/dev/null >/run/notify/x || echo read-only");
    let manager = UnixDatagram::bind(t.work().join("manager")).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let hears = thread::spawn(move || {
        // create and start; run -d; run; each ends with a barrier, whose descriptor is dropped when it has been seen.
        [(), (), ()].map(|()| {
            let mut said = String::new();
            loop {
                let (text, barrier) = receive_any(manager.as_fd());
                said.push_str(&text);
                if barrier.is_some() {
                    thread::sleep(Duration::from_millis(200));
                    return said;
                }
            }
        })
    });
    let ran = with(
        &t,
        "runc",
        "export NOTIFY_SOCKET=$PWD/manager; now() { date +%s%N; }
         $R create -b b c >out 2>&1; a=$(now); $R start c; b=$(now); [ $(( (b - a) / 1000000 )) -ge 500 ] && echo waited; cat out
         $R state c | sed -n 's/.*\"pid\": \\([0-9]*\\).*/\\1/p'; $R exec c sh -c 'echo in: $NOTIFY_SOCKET'; $R delete -f c
         $R run -d -b b c >out 2>&1; $R state c | sed -n 's/.*\"pid\": \\([0-9]*\\).*/\\1/p'; $R delete -f c
         $R run -b b c >out 2>&1 & n=0; until $R state c 2>/dev/null | grep -q running; do busybox usleep 50000; done; sleep 1; $R kill c KILL; wait $!; echo $?; ls k",
    );
    let said = hears.join().unwrap();
    let pids: Vec<&str> = ran
        .stdout
        .lines()
        .filter(|line| line.parse::<u32>().is_ok())
        .collect();
    assert_eq!(
        said[0],
        format!("READY=1\nMAINPID={}\nBARRIER=1\n", pids[0]),
        "{ran}"
    );
    assert_eq!(
        said[1],
        format!("READY=1\nMAINPID={}\nBARRIER=1\n", pids[1]),
        "{ran}"
    );
    assert_eq!(said[2], "READY=1\nBARRIER=1\n", "{ran}");
    let lines: Vec<&str> = ran
        .stdout
        .lines()
        .filter(|line| !pids[..2].contains(line))
        .collect();
    assert_eq!(lines, ["waited", "read-only", "in:", "137"], "{ran}");
    // Who ends without a word is not waited for; who is no manager is told of before anything runs.
    bundle(&t, r#"["sh", "-c", "exit 3"]"#, "");
    t.run("rm manager").ok();
    let _manager = UnixDatagram::bind(t.work().join("manager")).unwrap();
    with(
        &t,
        "runc",
        "export NOTIFY_SOCKET=$PWD/manager; $R create -b b c; $R start c; echo $?; $R delete c
         export NOTIFY_SOCKET=$PWD/nobody; $R create -b b c; $R start c 2>&1 | grep -c 'cannot connect to'; $R state c | grep -o created; $R delete -f c; ls k",
    )
    .ok()
    .out("0\n1\ncreated\ncreated\n");
}
