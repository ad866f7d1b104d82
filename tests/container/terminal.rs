//! A container's own terminal, seen from a terminal: keys go in, the screen comes out, the modes come back.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;

use super::sandbox;
use crate::kit::{ORDINARY, Sandbox};

const PATIENCE: Duration = Duration::from_secs(20);

/// A person at a terminal, who has typed a command line.
pub struct Person {
    keyboard: File,
    screen: OwnedFd,
    seen: String,
    child: Child,
}

impl Person {
    /// Runs `line` in a session whose terminal has 33 rows and 77 columns.
    pub fn types(t: &Sandbox, user: Option<u32>, line: &str) -> Self {
        let size = Winsize {
            ws_row: 33,
            ws_col: 77,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pair = openpty(&size, None).unwrap();
        let side = || Stdio::from(pair.slave.try_clone().unwrap());
        let path = format!(
            "{}:{}",
            t.work().with_file_name("bin").display(),
            env::var("PATH").unwrap()
        );
        let become_user = user.map_or(String::new(), |id| {
            format!("setpriv --reuid {id} --regid {id} --clear-groups --")
        });
        let child = Command::new("setsid")
            .args([
                "-c",
                "-w",
                "sh",
                "-c",
                &format!("exec /usr/bin/{become_user} sh -c \"$LINE\"").replace("/usr/bin/ ", ""),
            ])
            .env("LINE", line)
            .env("PATH", path)
            .env("ISOBOX_TEST", t.id())
            .current_dir(t.work())
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .unwrap();
        Self {
            keyboard: pair.master.try_clone().unwrap().into(),
            screen: pair.master,
            seen: String::new(),
            child,
        }
    }

    pub fn presses(&mut self, keys: &str) -> &mut Self {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self
    }

    /// Waits until the screen has shown this, and forgets everything up to there.
    #[track_caller]
    pub fn sees(&mut self, text: &str) -> &mut Self {
        let start = Instant::now();
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return self;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "never saw {text:?}, but:\n{}",
                self.seen
            );
            self.looks();
        }
    }

    fn looks(&mut self) {
        let mut fds = [PollFd::new(self.screen.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::from(100u8)) != Ok(1) {
            return;
        }
        let mut bytes = [0; 4096];
        if let Ok(count) = (&self.keyboard).read(&mut bytes) {
            self.seen
                .push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    /// Whether what is typed is echoed by this terminal: not while it is in raw mode.
    fn is_cooked(&self) -> bool {
        let flags = tcgetattr(&self.screen).unwrap().local_flags;
        flags.contains(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG)
    }

    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            assert!(
                start.elapsed() < PATIENCE,
                "{what} never came; seen:\n{}",
                self.seen
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn resizes(&self, rows: u16, columns: u16) {
        let out = Command::new("stty")
            .args(["rows", &rows.to_string(), "cols", &columns.to_string()])
            .stdin(Stdio::from(self.screen.try_clone().unwrap()))
            .status();
        assert!(out.unwrap().success());
    }

    /// The status of the line.
    #[track_caller]
    pub fn leaves(mut self) -> i32 {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(self.is_cooked(), "the terminal was left in raw mode");
                return status.code().unwrap();
            }
            assert!(
                start.elapsed() < PATIENCE,
                "still running; seen:\n{}",
                self.seen
            );
            self.looks();
        }
    }
}

const USERS: [Option<u32>; 2] = [None, Some(ORDINARY)];

#[test]
fn it_is_a_terminal_of_its_own() {
    needs!(root, userns, busybox);
    let t = sandbox();
    for user in USERS {
        let mut person = Person::types(&t, user, "container run --rootfs r -it sh");
        person.sees("/ # ");
        person.until("raw mode", |person| !person.is_cooked());
        person
            .presses("tty; stty size; echo $TERM\r")
            .sees("/dev/pts/0\r\n33 77\r\nxterm\r\n")
            .presses("ls -l /dev/console | busybox awk '{print $5 $6}'; ls /dev/pts\r")
            .sees("136,0\r\n")
            .sees("0")
            .presses("exit 7\r");
        assert_eq!(person.leaves(), 7);
    }
}

/// Ctrl-C, Ctrl-Z, fg, and a foreground job that is not the shell.
#[test]
fn job_control_works_inside() {
    needs!(root, userns, busybox);
    let t = sandbox();
    for (user, init) in [
        (None, ""),
        (None, "--init"),
        (Some(ORDINARY), ""),
        (Some(ORDINARY), "--init"),
    ] {
        let mut person =
            Person::types(&t, user, &format!("container run --rootfs r {init} -it sh"));
        person
            .sees("/ # ")
            .presses("sleep 61\r")
            .sees("sleep 61\r\n");
        thread::sleep(Duration::from_millis(300));
        person
            .presses("\x03")
            .sees("# ")
            .presses("echo rc=$?\r")
            .sees("rc=130\r\n");
        person.presses("sleep 62\r").sees("sleep 62\r\n");
        thread::sleep(Duration::from_millis(300));
        person
            .presses("\x1a")
            .sees("Stopped")
            .sees("# ")
            .presses("jobs; fg\r")
            .sees("sleep 62\r\n");
        thread::sleep(Duration::from_millis(300));
        person.presses("\x03").sees("# ").presses("exit\r");
        assert_eq!(person.leaves(), 130);
    }
}

#[test]
fn the_size_follows() {
    needs!(root, busybox);
    let t = sandbox();
    let mut person = Person::types(
        &t,
        None,
        "container run --rootfs r -it sh -c 'trap \"stty size\" WINCH; echo ready; while :; do sleep 0.05; done'",
    );
    person.sees("ready").resizes(11, 22);
    person.sees("11 22\r\n").resizes(55, 66);
    person.sees("55 66\r\n").presses("\x03");
    assert_eq!(person.leaves(), 130);
}

/// However it ends, our terminal is as it was before.
#[test]
fn the_modes_come_back() {
    needs!(root, busybox);
    let t = sandbox();
    let ends: [(&str, i32); 5] = [
        ("true", 0),
        ("sh -c 'stty raw; exit 3'", 3),
        ("nosuch", 127),
        ("--user nobody true", 125),
        ("sh -c 'sleep 0.2; kill -9 $$; kill -TERM 1'", 0),
    ];
    for (program, status) in ends {
        let person = Person::types(
            &t,
            None,
            &format!("container run --rootfs r --init -it {program}"),
        );
        let status = if program.contains("kill") {
            137
        } else {
            status
        };
        assert_eq!(person.leaves(), status, "{program}");
    }
    // A signal that would end the parent goes to the program; the parent ends after it.
    let mut person = Person::types(
        &t,
        None,
        "container run --rootfs r --init -it sh -c 'echo ready; exec sleep 60'",
    );
    person.sees("ready");
    person.until("raw mode", |person| !person.is_cooked());
    kill(parent(&t), Signal::SIGTERM).unwrap();
    assert_eq!(person.leaves(), 143);
}

/// The process that stands for the one container there is.
fn parent(t: &Sandbox) -> Pid {
    let look = t.run(&format!("pgrep -f '^container run .*-it' | while read p; do grep -qz {} /proc/$p/environ && echo $p; done | head -1", t.id()));
    Pid::from_raw(look.stdout.trim().parse().unwrap())
}

/// Ctrl-Z typed at a container without a terminal stops the whole of it; `fg` goes on.
#[test]
fn without_a_terminal_the_job_is_the_parent() {
    needs!(root, busybox, host("bash"));
    let t = sandbox();
    let mut person = Person::types(&t, None, "TERM=dumb PS1='$ ' bash --norc -i");
    person.sees("$ ").presses("container run --rootfs r --init sh -c 'echo ready; sleep 0.6; echo slept'; echo rc=$?\r").sees("ready\r\n");
    person.presses("\x1a").sees("Stopped").sees("$ ");
    thread::sleep(Duration::from_millis(800));
    assert!(!person.seen.contains("slept"));
    person.presses("fg\r").sees("slept\r\n").sees("$ ");
    person
        .presses("container run --rootfs r --init sleep 60; echo rc=$?\r")
        .sees("rc=$?\r\n");
    thread::sleep(Duration::from_millis(400));
    person.presses("\x03").sees("rc=130\r\n").presses("exit\r");
    assert_eq!(person.leaves(), 0);
}

/// A stop of the parent from elsewhere gives the terminal back for as long as it lasts.
#[test]
fn a_stopped_parent_leaves_the_terminal() {
    needs!(root, busybox, host("bash"));
    let t = sandbox();
    let mut person = Person::types(&t, None, "TERM=dumb PS1='$ ' bash --norc -i");
    person
        .sees("$ ")
        .presses("container run --rootfs r --init -it sh -c 'echo ready $((40+2)); cat'\r")
        .sees("ready 42\r\n");
    person.until("raw mode", |person| !person.is_cooked());
    kill(parent(&t), Signal::SIGTSTP).unwrap();
    person.sees("Stopped").sees("$ ");
    person
        .presses("stty -a | grep -ce -isig\r")
        .sees("0\r\n")
        .presses("fg\r");
    person.until("raw mode", |person| !person.is_cooked());
    person
        .presses("echoed\r")
        .sees("echoed\r\nechoed\r\n")
        .presses("\x04")
        .sees("$ ")
        .presses("echo rc=$?\r")
        .sees("rc=0\r\n")
        .presses("exit\r");
    assert_eq!(person.leaves(), 0);
}

/// Standard input that is no terminal: its bytes are typed, and its end is the terminal's end of file.
#[test]
fn a_pipe_can_type() {
    needs!(root, userns, busybox);
    let t = sandbox();
    let big = "x".repeat(3000);
    for run in super::both(&t, "container run --rootfs r -it cat") {
        run.stdin("one\ntwo").run().ok().out("one\r\ntwoone\r\ntwo");
    }
    // More than any buffer on the way: nothing is lost, and nobody waits for ever.
    let lines = format!("{big}\n").repeat(200);
    let ran = t
        .cmd("container run --rootfs r -it sh -c 'stty -echo; echo ready; busybox wc'")
        .stdin(&lines)
        .run();
    ran.ok().out_has("    200       200    600200\r\n");
    t.run("container run --rootfs r -t sh -c 'busybox seq 100000' | tail -1")
        .ok()
        .out("100000\r\n");
    // Nobody reads: the program is not held up.
    t.run("container run --rootfs r -t sh -c 'busybox seq 100000; echo done >&2' | true")
        .ok();
    // Without -i nothing is typed.
    t.cmd("container run --rootfs r -t sh -c 'read -t 1 x; echo $?'")
        .stdin("typed\n")
        .run()
        .out_has("1\r\n");
}

/// T-EX-10: the terminal that we sit at is out of reach, with a terminal of its own and without.
#[test]
fn nothing_can_be_typed_into_ours() {
    needs!(root, userns, busybox, host("python3"));
    let t = sandbox();
    // The host's python on the host's root: ioctl(0, TIOCSTI) and opening /dev/tty.
    let push = "python3 -c 'import fcntl\nfor fd in 0,1,2:\n try:\n  fcntl.ioctl(fd,0x5412,b\"X\")\n except OSError as e: print(e)\ntry: open(\"/dev/tty\")\nexcept OSError as e: print(e)\nprint(\"end\")'";
    for user in USERS {
        let mut person = Person::types(
            &t,
            user,
            &format!("cd /; container run --rootfs host -i {push}; echo then; cat"),
        );
        person
            .sees("No such device or address")
            .sees("end\r\nthen\r\n")
            .presses("mine\r")
            .sees("mine\r\nmine\r\n");
        person.presses("\x04");
        assert_eq!(person.leaves(), 0);
    }
}

/// The same terminal by the script: from the container's own devpts, relayed by unshare.
#[test]
fn the_script_gives_the_same_terminal() {
    needs!(root, userns, busybox);
    let t = sandbox();
    t.run("chown -R 1000:1000 r").ok();
    for user in USERS {
        for flags in ["", "--init", "-u ann"] {
            let line = format!(
                "container run --script --rootfs r --hostname h {flags} -it sh >/tmp/script.$$; sh /tmp/script.$$; s=$?; rm /tmp/script.$$; exit $s"
            );
            let mut person = Person::types(&t, user, &line);
            person.sees("/ ").presses(
                "tty; stty size; ls -l /dev/console | busybox awk '{print $3 $5 $6}'; id -u\r",
            );
            let owner = if flags == "-u ann" {
                "ann136,0\r\n1000\r\n"
            } else {
                "root136,0\r\n0\r\n"
            };
            person
                .sees("/dev/pts/0\r\n33 77\r\n")
                .sees(owner)
                .presses("sleep 61\r")
                .sees("sleep 61\r\n");
            thread::sleep(Duration::from_millis(300));
            person
                .presses("\x03")
                .sees("/ ")
                .presses("echo rc=$?\r")
                .sees("rc=130\r\n")
                .presses("exit 6\r");
            assert_eq!(person.leaves(), 6, "{flags} {user:?}");
        }
    }
}

/// unshare alone gives a terminal too, from the devpts that is there.
#[test]
fn unshare_gives_a_terminal() {
    needs!(root, userns);
    let t = sandbox();
    for user in USERS {
        let mut person = Person::types(
            &t,
            user,
            "unshare -r --tty sh -c 'tty; stty size; read x; echo got $x; exit 5'",
        );
        person
            .sees("/dev/pts/")
            .sees("33 77\r\n")
            .presses("this\r")
            .sees("got this\r\n");
        assert_eq!(person.leaves(), 5);
    }
}
