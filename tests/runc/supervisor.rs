//! `SCMP_ACT_NOTIFY`: the listener goes to who listens at `listenerPath`, with the state of the container.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::thread::{self, JoinHandle};

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use super::{bundle, with};
use crate::kit::Sandbox;

/// Takes two listeners, waits for a call that is told of on each, and closes it, whereupon the kernel says to the caller
/// that there is no such call. Gives what was said along.
fn supervise(listener: UnixListener) -> JoinHandle<[String; 2]> {
    let one = move || {
        let (line, _) = listener.accept().unwrap();
        let (said, seccomp) = receive(line.as_fd());
        let mut ready = [PollFd::new(seccomp.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut ready, 20_000_u16), Ok(1), "nothing was told");
        said
    };
    thread::spawn(move || [one(), one()])
}

/// What somebody says at the other end, with the descriptor that comes along.
pub(super) fn receive(line: BorrowedFd<'_>) -> (String, OwnedFd) {
    let (said, fd) = receive_any(line);
    (said, fd.expect("a descriptor"))
}

/// The same where there may be none.
pub(super) fn receive_any(line: BorrowedFd<'_>) -> (String, Option<OwnedFd>) {
    let mut text = [0; 4096];
    let mut parts = [IoSliceMut::new(&mut text)];
    let mut control = nix::cmsg_space!(i32);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(line.as_raw_fd(), &mut parts, Some(&mut control), flags).unwrap();
    let fd = message.cmsgs().unwrap().find_map(|one| match one {
        ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
        _ => None,
    });
    let length = message.bytes;
    #[allow(unsafe_code, reason = "nix gives a bare number")]
    // SAFETY: the kernel made the descriptor with the message, and nobody else has it.
    let fd = fd.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    (String::from_utf8_lossy(&text[..length]).into_owned(), fd)
}

#[test]
fn calls_are_decided_by_who_listens() {
    needs!(root, busybox, host("jq"), controller("memory"));
    let t = Sandbox::new("runc");
    let path = t.work().join("listener");
    bundle(
        &t,
        r#"["sh", "-c", "mkdir /tmp/x; echo $?; exec sleep 1000"]"#,
        r#", "annotations": {"a": "b"}"#,
    );
    let seccomp = format!(
        r#""seccomp": {{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "{}", "listenerMetadata": "m",
            "syscalls": [{{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}}]}}, "namespaces":"#,
        path.display()
    );
    let config = t.work().join("b/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    t.write("b/config.json", &text.replace("\"namespaces\":", &seccomp));

    let supervisor = supervise(UnixListener::bind(&path).unwrap());
    with(
        &t,
        "runc",
        "$R create -b b --pid-file pid c >out 2>&1; $R start c; until grep -q 1 out; do sleep 0.05; done; cat out
         $R exec c mkdir /tmp/y 2>&1; $R delete -f c",
    )
    .out(
        "mkdir: can't create directory '/tmp/x': Function not implemented\n1\n\
         mkdir: can't create directory '/tmp/y': Function not implemented\n",
    );
    let [first, second] = supervisor.join().unwrap();
    t.write("said", &first);
    t.run("jq -c '[.fds, .metadata, .state.id, .state.status, .state.annotations, .pid == .state.pid]' said; test $(jq .pid said) = $(cat pid) && echo same")
        .out("[[\"seccompFd\"],\"m\",\"c\",\"creating\",{\"a\":\"b\"},true]\nsame\n");
    assert!(second.contains("\"status\":\"running\""), "{second}");

    // Where nobody listens nothing runs.
    std::fs::remove_file(&path).unwrap();
    with(&t, "runc", "$R run -b b c; echo $?; ls k")
        .out("1\n")
        .err_has("listener");
    t.write(
        "b/config.json",
        &text.replace(
            "\"namespaces\":",
            &seccomp.replace("\"listenerPath\"", "\"x\""),
        ),
    );
    with(&t, "runc", "$R run -b b c; echo $?")
        .out("1\n")
        .err_has("listenerPath");
}
