//! A line to the kernel's routing part in one network namespace, without a runtime and without a thread.
//!
//! netlink-proto matches answers to requests; it wants to be polled, by whatever moves futures on. Here that is
//! `Connection::drive`: it polls what it waits for, then the connection, and sleeps in poll(2) where both have nothing
//! to do. A process that is about to clone or unshare has one thread because of it.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::BufMut;
use futures::{Stream, StreamExt};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP, NLMSG_OVERRUN,
    NetlinkBuffer, NetlinkMessage, NetlinkPayload,
};
use netlink_proto::{ConnectionHandle, NetlinkCodec};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket, Socket, SocketAddr};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};

use super::message::{Answer, Message};
use super::refusal::Refusal;
use crate::error::{Doing, Result};

/// The kernel, as a netlink address.
const KERNEL: (u32, u32) = (0, 0);

/// A line to the kernel of one network namespace.
pub struct Connection {
    inner: netlink_proto::Connection<Message, Polled>,
    requests: ConnectionHandle<Message>,
    /// Why it can be used no more. netlink-proto would send what it could not send before together with the next
    /// request.
    broken: Option<Errno>,
}

impl Connection {
    /// Opens one to the network namespace that this thread is in.
    ///
    /// # Errors
    /// Those of socket(2): `EAFNOSUPPORT` where a seccomp filter or the kernel has no netlink.
    pub fn open() -> Result<Self> {
        Self::new().doing("cannot open a netlink socket")
    }

    /// Opens one to the network namespace `ns`: goes there, makes the socket, which stays there, and comes back.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN` over that namespace, or over our own.
    pub fn open_in(ns: BorrowedFd<'_>) -> Result<Self> {
        let path = "/proc/thread-self/ns/net";
        let own = File::open(path).doing_to("cannot open", path)?;
        setns(ns, CloneFlags::CLONE_NEWNET).doing("cannot enter the network namespace")?;
        let made = Self::new();
        // The way back takes the same privilege as the way there. Who fails here is where nobody wants to be.
        setns(own, CloneFlags::CLONE_NEWNET).doing("cannot come back from a network namespace")?;
        made.doing("cannot open a netlink socket")
    }

    fn new() -> io::Result<Self> {
        let socket = Polled::new(NETLINK_ROUTE)?;
        let (inner, requests, _) =
            netlink_proto::from_socket_with_codec::<Message, Polled, NetlinkCodec>(socket);
        Ok(Self {
            inner,
            requests,
            broken: None,
        })
    }

    /// Has the kernel change something: `flags` are `NLM_F_CREATE` and its companions.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn change(&mut self, message: impl Into<Message>, flags: u16) -> Result<(), Refusal> {
        self.request(message.into(), NLM_F_ACK | flags).map(drop)
    }

    /// Asks for one thing.
    ///
    /// # Errors
    /// The kernel's answer: `ENODEV` for a link that is not there.
    pub fn get(&mut self, message: impl Into<Message>) -> Result<Answer, Refusal> {
        let mut answers = self.request(message.into(), 0)?;
        answers.pop().ok_or(Refusal::from(Errno::ENOMSG))
    }

    /// Asks for all there are.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn dump(&mut self, message: impl Into<Message>) -> Result<Vec<Answer>, Refusal> {
        let mut all = Vec::new();
        self.each(message, &mut |kind, body| {
            let body = body.to_vec();
            all.push(Answer { kind, body });
        })?;
        Ok(all)
    }

    /// Asks for all there are, one by one. netlink-proto's way from the socket to who asked takes each answer several
    /// microseconds, and a machine with many wires has many: a dump goes by it, over the same socket.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn each(
        &mut self,
        message: impl Into<Message>,
        visit: &mut dyn FnMut(u16, &[u8]),
    ) -> Result<(), Refusal> {
        if let Some(errno) = self.broken {
            return Err(Refusal::from(errno));
        }
        let mut request = NetlinkMessage::from(message.into());
        request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        let socket = self.inner.socket_mut();
        let (port, groups) = KERNEL;
        let sent = socket
            .socket
            .send_to(&bytes, &SocketAddr::new(port, groups), 0);
        sent.map_err(|e| of_socket(&e))?;
        let mut bytes = Vec::with_capacity(LARGEST);
        loop {
            bytes.clear();
            match socket.socket.recv(&mut bytes, 0) {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    socket.wait()?;
                    continue;
                }
                Err(e) => {
                    let refusal = of_socket(&e);
                    self.broken = Some(refusal.errno);
                    return Err(refusal);
                }
            }
            if read_dump(&bytes, visit)? {
                return Ok(());
            }
        }
    }

    /// Sends one request and collects what is answered.
    ///
    /// # Errors
    /// The kernel's answer, or that of send(2) and recv(2).
    pub fn request(&mut self, message: Message, flags: u16) -> Result<Vec<Answer>, Refusal> {
        if let Some(errno) = self.broken {
            return Err(Refusal::from(errno));
        }
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        let (port, groups) = KERNEL;
        let answers = self
            .requests
            .request(request, SocketAddr::new(port, groups))
            .map_err(|_| Refusal::from(Errno::EPIPE))?;
        let mut answers = pin!(answers);
        let mut all = Vec::new();
        while let Some(answer) = self.drive(&mut answers)? {
            match answer.payload {
                NetlinkPayload::InnerMessage(Message::Raw(kind, body)) => {
                    all.push(Answer { kind, body });
                }
                NetlinkPayload::Error(error) => {
                    if let Some(refusal) = Refusal::of(&error, answer.header.flags) {
                        return Err(refusal);
                    }
                }
                NetlinkPayload::Overrun(_) => return Err(Refusal::from(Errno::ENOBUFS)),
                _ => {}
            }
        }
        Ok(all)
    }

    /// Moves the connection on until `answers` has its next item, or its end.
    fn drive<S>(&mut self, answers: &mut Pin<&mut S>) -> Result<Option<S::Item>, Refusal>
    where
        S: Stream,
    {
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(item) = answers.poll_next_unpin(&mut cx) {
                return Ok(item);
            }
            let ended = Pin::new(&mut self.inner).poll(&mut cx).is_ready();
            if woken.0.swap(false, Ordering::Relaxed) {
                continue;
            }
            let socket = self.inner.socket_mut();
            if ended {
                let errno = socket.failed.get().unwrap_or(Errno::EIO);
                self.broken = Some(errno);
                return Err(Refusal::from(errno));
            }
            socket.wait()?;
        }
    }
}

/// What the kernel answers to a dump at once, at the most (`netlink_dump`).
const LARGEST: usize = 32 * 1024;

/// Hands out the answers of a part of a dump; whether it was the last.
fn read_dump(mut rest: &[u8], visit: &mut dyn FnMut(u16, &[u8])) -> Result<bool, Refusal> {
    while !rest.is_empty() {
        let message =
            NetlinkBuffer::new_checked(rest).map_err(|_| Refusal::from(Errno::EBADMSG))?;
        let body = message.payload();
        let code = || {
            body.first_chunk()
                .map_or(0, |code| i32::from_ne_bytes(*code))
        };
        match message.message_type() {
            NLMSG_NOOP => {}
            // A dump that goes wrong on the way says so at its end.
            NLMSG_DONE if code() < 0 => return Err(Refusal::from(Errno::from_raw(-code()))),
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => return Refusal::read(body, message.flags()).map_or(Ok(true), Err),
            NLMSG_OVERRUN => return Err(Refusal::from(Errno::ENOBUFS)),
            kind => visit(kind, body),
        }
        let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
        rest = rest
            .get(length.saturating_add(3) & !3..)
            .unwrap_or_default();
    }
    Ok(false)
}

fn of_socket(error: &io::Error) -> Refusal {
    Refusal::from(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
}

/// Remembers that something is to be polled again.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A netlink socket that never blocks.
struct Polled {
    socket: Socket,
    /// The last answer of send(2) or recv(2) that was an error: netlink-proto only logs it.
    failed: Cell<Option<Errno>>,
}

impl Polled {
    /// Sleeps until there is something to read.
    fn wait(&self) -> Result<(), Refusal> {
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(Refusal::from(errno)),
        }
    }

    fn polled<T>(&self, result: io::Result<T>) -> Poll<io::Result<T>> {
        match result {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(e) => {
                let errno = e.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
                self.failed.set(Some(errno));
                Poll::Ready(Err(e))
            }
            done => Poll::Ready(done),
        }
    }
}

impl AsyncSocket for Polled {
    fn socket_ref(&self) -> &Socket {
        &self.socket
    }

    fn socket_mut(&mut self) -> &mut Socket {
        &mut self.socket
    }

    fn new(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        // Refusals in words, behind a header instead of the whole request (Linux 4.12).
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        let failed = Cell::new(None);
        Ok(Self { socket, failed })
    }

    fn poll_send(&self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.polled(self.socket.send(bytes, 0))
    }

    fn poll_send_to(
        &self,
        _: &mut Context<'_>,
        bytes: &[u8],
        to: &SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.polled(self.socket.send_to(bytes, to, 0))
    }

    fn poll_recv<B: BufMut>(&self, _: &mut Context<'_>, into: &mut B) -> Poll<io::Result<()>> {
        self.polled(self.socket.recv(into, 0).map(drop))
    }

    fn poll_recv_from<B: BufMut>(
        &self,
        _: &mut Context<'_>,
        into: &mut B,
    ) -> Poll<io::Result<SocketAddr>> {
        self.polled(self.socket.recv_from(into, 0).map(|(_, from)| from))
    }

    fn poll_recv_from_full(&self, _: &mut Context<'_>) -> Poll<io::Result<(Vec<u8>, SocketAddr)>> {
        self.polled(self.socket.recv_from_full())
    }
}
