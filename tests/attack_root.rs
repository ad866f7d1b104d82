//! Hostile roots: trees whose symbolic links, device files and races try to make `pivot` act outside.
//!
//! The numbers are those of the attack table (T-FS-..). Next to each root stands a canary directory which must
//! not change. Every attack is first shown to work on the naive sequence of shell commands that it is aimed at:
//! a canary that nothing can reach proves nothing.

use crate::kit::Sandbox;
use nix::errno::Errno;
use nix::libc;
use std::ffi::CString;
use std::fmt::Write;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A root `r` and a canary beside it.
fn sandbox() -> Sandbox {
    let t = Sandbox::new("attack");
    t.root("r");
    t.write("canary/file", "sings\n")
        .write("canary/sub/file", "sings\n");
    t
}

/// Everything there is to see of the canary.
fn canary(t: &Sandbox) -> String {
    let mut seen = String::new();
    let mut left = vec![t.work().join("canary")];
    while let Some(path) = left.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let content = if meta.is_file() {
            fs::read(&path).unwrap()
        } else {
            Vec::new()
        };
        let id = (
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.ino(),
            meta.mtime(),
            meta.mtime_nsec(),
        );
        let _ = writeln!(
            seen,
            "{} {id:?} {}",
            path.display(),
            String::from_utf8_lossy(&content)
        );
        if meta.is_dir() {
            left.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
    }
    let mut lines: Vec<&str> = seen.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// One attack: how the root is prepared, what a naive tool would do, what we are asked to do.
struct Attack {
    id: &'static str,
    prepare: &'static str,
    /// Shell commands in a private mount namespace; they must reach the canary, or mount on it.
    naive: &'static str,
    /// Options of `pivot`.
    options: &'static str,
    /// What the refusal names; empty where pivot goes ahead, inside the root.
    refusal: &'static str,
}

const ATTACKS: &[Attack] = &[
    Attack {
        id: "T-FS-02: /proc is a link out, absolute",
        prepare: "rmdir r/proc; ln -s \"$PWD/canary\" r/proc",
        naive: "mount -t proc proc r/proc",
        options: "--proc",
        refusal: "/proc",
    },
    Attack {
        id: "T-FS-02: /sys is a link out, relative",
        prepare: "rmdir r/sys; ln -s ../canary r/sys",
        naive: "mount -t sysfs sysfs r/sys",
        options: "--sys",
        refusal: "/sys",
    },
    Attack {
        id: "T-FS-09: /dev is a link out, relative",
        prepare: "rmdir r/dev; ln -s ../canary r/dev",
        naive: "ln -s /proc/self/fd r/dev/fd; mknod r/dev/null c 1 3",
        options: "--dev",
        refusal: "/dev",
    },
    Attack {
        id: "T-FS-09: /dev is a link out, absolute, and no tmpfs goes over it",
        prepare: "rmdir r/dev; ln -s \"$PWD/canary\" r/dev",
        naive: "ln -s /proc/self/fd r/dev/fd; mknod r/dev/null c 1 3",
        options: "--device-nodes --device-links",
        refusal: "/dev",
    },
    Attack {
        id: "T-FS-09: /dev/pts is a link out",
        prepare: "ln -s ../../canary/sub r/dev/pts",
        naive: "mount -t devpts devpts r/dev/pts",
        options: "--mount 'devpts /dev/pts devpts newinstance'",
        refusal: "/dev/pts",
    },
    Attack {
        id: "T-FS-05, 08: /dev/null is a link to a file of the host",
        prepare: "ln -s \"$PWD/canary/file\" r/dev/null",
        naive: "echo noise >r/dev/null",
        options: "--device-nodes",
        refusal: "/dev/null",
    },
    Attack {
        id: "T-FS-07: /dev/console is a link to what is not there yet",
        prepare: "ln -s \"$PWD/canary/new\" r/dev/console",
        naive: "touch r/dev/console",
        options: "--volume /dev/null:/dev/console",
        refusal: "/dev/console",
    },
    Attack {
        id: "T-FS-12, 04: a place for a mount leads out, absolute",
        prepare: "ln -s \"$PWD/canary\" r/a",
        naive: "mkdir -p r/a/b/c",
        options: "--mount 'tmpfs /a/b/c tmpfs'",
        refusal: "/a/b/c",
    },
    Attack {
        id: "T-FS-12, 04: a place for a mount leads out, relative",
        prepare: "mkdir r/etc/x; ln -s ../../../../canary r/etc/x/a",
        naive: "mkdir -p r/etc/x/../../../canary/b",
        options: "--mount 'tmpfs /etc/x/a/b tmpfs'",
        refusal: "/etc/x/a/b",
    },
    Attack {
        id: "T-FS-12: the target itself leads out",
        prepare: ":",
        naive: "mkdir -p r/../canary/b",
        options: "--mount 'tmpfs /../canary/b tmpfs'",
        refusal: "",
    },
    Attack {
        id: "T-FS-04: a link that leads nowhere, inside or out",
        prepare: "ln -s \"$PWD/canary/new\" r/file",
        naive: "touch r/file",
        options: "--volume /etc/hostname:/file",
        refusal: "/file",
    },
    Attack {
        id: "T-FS-12: a link of our own making goes through a link",
        prepare: "ln -s \"$PWD/canary\" r/a",
        naive: "ln -s x r/a/link",
        options: "--symlink /a/sub/link=x",
        refusal: "/a/sub",
    },
    Attack {
        id: "T-FS-13: the place for the old root leads out",
        prepare: "ln -s \"$PWD/canary\" r/a",
        naive: "mkdir r/a/old",
        options: "--put-old /a/old",
        refusal: "/a/old",
    },
];

#[test]
fn no_link_leads_out() {
    needs!(root, busybox);
    for attack in ATTACKS {
        let t = sandbox();
        t.run(attack.prepare).ok();
        let before = canary(&t);

        let options = attack.options;
        // `sh` lives on in the namespace where the root was not changed, and sees where mounts have gone.
        let line = format!(
            "unshare -m sh -c \"pivot {options} r true; s=\\$?; grep /canary /proc/self/mountinfo >&2; exit \\$s\""
        );
        let ours = t.run(&line);
        if attack.refusal.is_empty() {
            ours.ok();
        } else {
            ours.status(1).err_has(attack.refusal);
        }
        assert!(
            !ours.stderr.contains("/canary"),
            "{}: mounted outside{ours}",
            attack.id
        );
        assert_eq!(canary(&t), before, "{}: the canary has changed", attack.id);

        let naive = attack.naive;
        let line = format!("unshare -m sh -c '{naive}; grep -c /canary /proc/self/mountinfo'");
        let mounts = t.run(&line).stdout.trim() != "0";
        assert!(
            mounts || canary(&t) != before,
            "{}: the attack does not even work on {naive}",
            attack.id
        );
    }
}

/// T-FS-05: what covers a file is the true null device, whatever the root holds under that name.
#[test]
fn masks_are_made_of_the_true_null() {
    needs!(root, busybox);
    let t = sandbox();
    t.run("cp canary/file r/dev/null; mkdir r/secrets; echo secret >r/secret; echo secret >r/secrets/file").ok();
    let before = canary(&t);
    t.run(
        "unshare -mpf pivot --proc --mask /secret --mask /secrets --mask /nowhere --mask /proc/kcore r \\
         sh -c 'stat -c %t:%T /secret; cat /secret; ls -A /secrets; echo x >/secrets/new; echo x >/secret; cat /secret; chmod 600 /secret'",
    )
    .status(1)
    .out("1:3\n")
    .err_has("/secrets/new: Read-only file system")
    .err_has("chmod: /secret: Read-only file system");
    assert_eq!(canary(&t), before);
    // The naive mask is a bind of the root's own /dev/null: the file that the image put there.
    t.run("unshare -m sh -c 'mount --bind r/dev/null r/secret; cat r/secret'")
        .ok()
        .out("sings\n");
}

/// T-FS-10: read-only is said to the mount, not to a path that the root could redirect.
#[test]
fn a_read_only_root_is_read_only() {
    needs!(root, busybox);
    let t = sandbox();
    // Files where a remount by way of the root's own /proc/self/fd would end up.
    t.run(
        "mkdir -p r/proc/self/fd && for n in 3 4 5 6 7 8 9; do ln -s /tmp r/proc/self/fd/$n; done",
    )
    .ok();
    let touch = "touch /x; touch /proc/sys/kernel/hostname; echo name >/proc/sys/kernel/hostname";
    t.run(&format!(
        "unshare -mpfu pivot --proc --read-only --read-only-path /proc/sys --read-only-path /nowhere r sh -c '{touch}'"
    ))
    .status(1)
    .err_has("/x: Read-only file system")
    .err_has("/proc/sys/kernel/hostname: Read-only file system")
    .untouched();
    t.run(&format!("unshare -mpfu pivot --proc r sh -c '{touch}'"))
        .ok();
}

/// T-FS-01: what is mounted in /proc is a procfs.
#[test]
fn nothing_is_mounted_in_proc() {
    needs!(root, busybox);
    let t = sandbox();
    t.run("mkdir r/x; ln -s proc r/p").ok();
    for target in [
        "/proc",
        "/proc/self",
        "//proc/.",
        "/x/../proc",
        "/proc/sys/kernel",
    ] {
        t.run(&format!(
            "unshare -mpf pivot --proc --volume \"$PWD/canary:{target}\" r true"
        ))
        .fails(1, "pivot", &["procfs"])
        .untouched();
    }
    // A link that ends in the procfs is found out by where it ends.
    t.run("unshare -mpf pivot --proc --volume \"$PWD/canary:/p/self\" r true")
        .status(1)
        .err_has("procfs");
    // And a file that tools cover with their own numbers may be covered.
    t.run(
        "unshare -mpf pivot --proc --volume \"$PWD/canary/file:/proc/meminfo\" r cat /proc/meminfo",
    )
    .ok()
    .out("sings\n");
}

/// T-FS-26: nothing that is mounted for the new root is seen outside, even where everything was shared.
#[test]
fn mounts_do_not_propagate_out() {
    needs!(root, busybox);
    let t = sandbox();
    let inner = "pivot --proc --dev --mount 'tmpfs /tmp tmpfs' --volume $PWD/canary:/etc r true; wc -l </proc/self/mountinfo";
    t.run(&format!(
        "unshare -m sh -c \"mount --make-rshared /; wc -l </proc/self/mountinfo; unshare -m --propagation unchanged {inner}\" | uniq | wc -l"
    ))
    .out("1\n");
    // Without a cut the mount is seen outside.
    t.run(
        "unshare -m sh -c \"mount --make-rshared /; wc -l </proc/self/mountinfo; unshare -m --propagation unchanged mount -t tmpfs t r/tmp; wc -l </proc/self/mountinfo\" | uniq | wc -l",
    )
    .out("2\n");
}

/// T-FS-03, 04: somebody inside swaps a directory for a link while the place for a mount is made.
#[test]
fn a_race_for_the_mount_point_is_lost_by_the_attacker() {
    needs!(root, busybox);
    let t = sandbox();
    t.run("mkdir -p r/vol/d; ln -s \"$PWD/canary\" r/vol/l")
        .ok();
    let before = canary(&t);
    let ours = "pivot --mount 'tmpfs /vol/d/a/b/c tmpfs' --volume /etc/hostname:/vol/d/f r true";
    let line = format!(
        "for n in $(seq 150); do rm -rf r/vol/d/a r/vol/d/f; unshare -m {ours}; done 2>/dev/null; true"
    );
    swapping(&t, || {
        t.run(&line).ok();
    });
    assert_eq!(canary(&t), before, "something was made outside");

    let naive =
        "for n in $(seq 2000); do mkdir -p r/vol/d/a/b; [ ! -e canary/a ] || exit 0; done; exit 1";
    swapping(&t, || {
        t.run(naive).ok();
    });
    assert_ne!(canary(&t), before);
}

/// Does something while `r/vol/d` (a directory) and `r/vol/l` (a link out) change places, as fast as it goes.
fn swapping(t: &Sandbox, during: impl FnOnce()) {
    let (dir, link) = (t.work().join("r/vol/d"), t.work().join("r/vol/l"));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                exchange(&dir, &link);
            }
        });
        during();
        over.store(true, Ordering::Relaxed);
    });
}

/// Once the root is open, no path below it is given to the kernel from outside: every mount, directory, node
/// and link is made below a descriptor.
#[test]
fn no_path_into_the_root_reaches_the_kernel() {
    needs!(root, busybox, host("strace"));
    let t = sandbox();
    let root = t.work().join("r");
    let trace = |line: &str| {
        let calls = "%file,%desc,mount_setattr,fsconfig";
        let _ = t.run(&format!(
            "strace -f -o trace -s 4096 -e trace={calls} unshare -mpf {line}"
        ));
        fs::read_to_string(t.work().join("trace")).unwrap()
    };
    let ours = trace(
        "pivot --proc --sys --dev --mount 'tmpfs /a/b tmpfs' --volume $PWD/canary:/c --mask /proc/kcore \
         --mask /proc/acpi --read-only-path /proc/sys --read-only --device /dev/fuse:c:10:229 $PWD/r sh -c :",
    );
    for call in [
        "openat2(",
        "mkdirat(",
        "mknodat(",
        "symlinkat(",
        "move_mount(",
        "pivot_root(",
    ] {
        assert!(ours.contains(call), "{call} is not in the trace");
    }
    let found = paths_into(&ours, &root);
    assert!(found.is_empty(), "paths into the root: {found:#?}");
    let naive =
        trace("sh -c 'mount -t proc proc $PWD/r/proc; mkdir $PWD/r/x; mknod r/dev/null c 1 3'");
    let found = paths_into(&naive, &root).join("\n");
    for call in [" mount(", " mkdir(", " mknodat("] {
        assert!(found.contains(call), "{call} is not found out:\n{found}");
    }
}

/// The calls of a trace that name something below `root` by path, or make something by a path of more than one
/// component: but for the one that opens the root, and those of the program that was executed in it.
fn paths_into(trace: &str, root: &Path) -> Vec<String> {
    const MAKING: [&str; 7] = [
        "mount",
        "mkdir",
        "mkdirat",
        "mknod",
        "mknodat",
        "symlink",
        "symlinkat",
    ];
    let root = format!("{}/", root.display());
    let call = |line: &&str| {
        let line = line
            .split_once(' ')
            .map_or(*line, |(_, rest)| rest.trim_start());
        let (name, args) = line.split_once('(').unwrap_or((line, ""));
        let strings: Vec<&str> = args.split('"').skip(1).step_by(2).collect();
        // The text of a link is not looked up.
        let looked_up = if name.starts_with("symlink") {
            &strings[strings.len().min(1)..]
        } else {
            &strings[..]
        };
        let into = looked_up.iter().any(|path| path.starts_with(&root));
        let made_by_path = MAKING.contains(&name)
            && looked_up
                .iter()
                .any(|path| path.trim_start_matches('/').contains('/'));
        into || made_by_path
    };
    let before_pivot = |line: &&str| !line.contains("pivot_root(");
    trace
        .lines()
        .take_while(before_pivot)
        .filter(call)
        .map(str::to_owned)
        .collect()
}

/// Swaps two names in one step. nix has renameat2(2) for the GNU C library only.
#[allow(unsafe_code)]
fn exchange(one: &Path, other: &Path) {
    let [one, other] = [one, other].map(|path| CString::new(path.as_os_str().as_bytes()).unwrap());
    // SAFETY: both paths are NUL-terminated and outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            one.as_ptr(),
            libc::AT_FDCWD,
            other.as_ptr(),
            libc::RENAME_EXCHANGE,
        )
    };
    Errno::result(result).unwrap();
}
