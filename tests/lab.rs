//! The lessons of the course are true: each is held as root and as an ordinary user, and leaves nothing behind.

use crate::kit::Sandbox;
use std::time::Duration;

const LAB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lab");

macro_rules! lessons {
    ($($name:ident: $file:literal;)+) => {
        $(mod $name {
            #[test]
            fn root() {
                needs!(root);
                super::held($file, false);
            }

            #[test]
            fn user() {
                needs!(userns);
                super::held($file, true);
            }
        })+

        #[test]
        fn every_lesson_is_held() {
            let names = [$($file),+];
            for file in std::fs::read_dir(LAB).unwrap() {
                let name = file.unwrap().file_name().into_string().unwrap();
                let lesson = name.starts_with(|c: char| c.is_ascii_digit());
                assert!(!lesson || names.contains(&name.as_str()), "lab/{name} is held by no test");
            }
        }
    };
}

lessons! {
    pid: "01-pid";
    mounts: "02-mounts";
    uts_ipc: "03-uts-ipc";
    user: "04-user";
    time_cgroup: "05-time-cgroup";
    roots: "06-roots";
    join: "07-join";
    capabilities: "08-capabilities";
    together: "09-together";
    plan: "10-plan";
    one_file: "11-one-file";
    own_root: "12-own-root";
    layers: "13-layers";
    initramfs: "14-initramfs";
    wire: "15-wire";
    bridge: "16-bridge";
}

fn held(lesson: &str, as_user: bool) {
    let t = Sandbox::new(lesson);
    let mut cmd = t
        .cmd(&format!("{LAB}/{lesson}"))
        .env("TMPDIR", t.work())
        .limit(Duration::from_secs(60));
    if as_user {
        cmd = cmd.user(crate::kit::ORDINARY);
    }
    let ran = cmd.run();
    if ran.status == 77 {
        let why = ran.stdout.lines().last().unwrap_or_default();
        return crate::kit::needs::skip(&format!("lab::{lesson}"), why);
    }
    ran.ok().err("").untouched();
    // A lesson that checks nothing would be held by anything.
    assert!(ran.stdout.contains("\n  -> "), "no claim is checked{ran}");
}

#[test]
fn a_lesson_that_is_not_true_fails() {
    let t = Sandbox::new("untrue");
    let lesson = format!(
        ". {LAB}/lesson\nrun <<'END'\necho two\nEND\nsee two 'it is two'\nsee three 'it is three'\necho not reached\n"
    );
    t.write("lesson", &lesson);
    t.cmd("sh ./lesson").env("TMPDIR", t.work()).run().status(1).out(
        "\n  $ echo two\n  two\n  -> it is two\n  -> NOT AS TAUGHT: what is printed is not like: three\n",
    );
    t.run("rm lesson; ls").out("");
    t.cmd(&format!(
        "{LAB}/run 03-uts-ipc >/dev/null; echo $?; PATH=/usr/bin:/bin {LAB}/run"
    ))
    .run()
    .status(1)
    .out("0\n")
    .err_has("isobox is not in PATH");
}

#[test]
fn a_reader_that_leaves_leaves_nothing_behind() {
    let t = Sandbox::new("leaves");
    t.cmd(&format!("{LAB}/03-uts-ipc | head -1; sleep 1"))
        .env("TMPDIR", t.work())
        .run()
        .ok()
        .untouched();
}
