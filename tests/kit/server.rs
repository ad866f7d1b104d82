//! A scripted HTTP server: does what a real registry would not. It remembers every request.

use super::Sandbox;
use super::registry::loopback;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::Duration;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// Path and query.
    pub path: String,
    /// All header lines, as they came.
    pub head: String,
    pub body: String,
}

impl Asked {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// What is sent back, piece by piece.
#[derive(Clone)]
pub enum Piece {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Nothing, for so long.
    Pause(Duration),
    /// These bytes again and again, as long as somebody reads.
    Forever(Vec<u8>),
}

/// An answer. The connection is closed behind it.
#[derive(Clone, Default)]
pub struct Answer(pub Vec<Piece>);

impl Answer {
    /// A status, more headers (each with its end of line), and a body with its right length.
    pub fn new(status: u16, headers: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let head = format!(
            "HTTP/1.1 {status} Status\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        Self(vec![Piece::Bytes(head.into_bytes()), Piece::Bytes(body)])
    }

    /// The answer to a question for nothing in particular.
    pub fn nothing() -> Self {
        Self::new(404, "", "")
    }

    /// Exactly these bytes.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self(vec![Piece::Bytes(bytes.into())])
    }

    /// All bytes of it, where it is nothing but bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let bytes = |piece: &Piece| match piece {
            Piece::Bytes(bytes) => bytes.clone(),
            _ => Vec::new(),
        };
        self.0.iter().flat_map(bytes).collect()
    }

    /// And then this.
    pub fn then(mut self, piece: Piece) -> Self {
        self.0.push(piece);
        self
    }
}

type Script = dyn Fn(&Asked) -> Answer + Send + Sync;

/// The server, ended when dropped.
pub struct Server {
    /// `127.0.0.1:PORT`.
    pub at: String,
    log: Arc<Mutex<Vec<Asked>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on the sandbox's loopback and answers each request as the script says.
    pub fn start(t: &Sandbox, script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        loopback(t);
        Self::start_at(t, "127.0.0.1:0", script)
    }

    /// Listens at an address of the sandbox's.
    pub fn start_at(
        _: &Sandbox,
        at: &str,
        script: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(at).unwrap();
        let at = listener.local_addr().unwrap().to_string();
        let (log, over): (Arc<Mutex<Vec<Asked>>>, _) =
            (Arc::default(), Arc::new(AtomicBool::new(false)));
        let script: Arc<Script> = Arc::new(script);
        let accepting = {
            let (log, over) = (Arc::clone(&log), Arc::clone(&over));
            move || {
                let mut serving = Vec::new();
                for stream in listener.incoming().flatten() {
                    if over.load(Ordering::SeqCst) {
                        break;
                    }
                    let (log, over, script) =
                        (Arc::clone(&log), Arc::clone(&over), Arc::clone(&script));
                    serving.push(spawn(move || serve(stream, &log, &over, &*script)));
                }
                for one in serving {
                    let _ = one.join();
                }
            }
        };
        Self {
            at,
            log,
            over,
            thread: Some(spawn(accepting)),
        }
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }

    /// The paths that were asked for, with their methods.
    pub fn paths(&self) -> Vec<String> {
        self.asked()
            .iter()
            .map(|one| format!("{} {}", one.method, one.path))
            .collect()
    }

    /// Whether anybody showed a secret, or anything with this in it.
    pub fn saw(&self, secret: &str) -> bool {
        self.asked().iter().any(|one| {
            one.head.contains(secret) || one.path.contains(secret) || one.body.contains(secret)
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.at);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    Builder::new().spawn(work).unwrap()
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<Asked>>, over: &AtomicBool, script: &Script) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let Some(asked) = read(&mut stream) else {
        return;
    };
    log.lock().unwrap().push(asked.clone());
    for piece in script(&asked).0 {
        let sent = match piece {
            Piece::Bytes(bytes) => stream.write_all(&bytes),
            Piece::Pause(time) => {
                let mut left = time;
                while !left.is_zero() && !over.load(Ordering::SeqCst) {
                    let nap = left.min(Duration::from_millis(20));
                    sleep(nap);
                    left -= nap;
                }
                Ok(())
            }
            Piece::Forever(bytes) => {
                while !over.load(Ordering::SeqCst) && stream.write_all(&bytes).is_ok() {}
                Ok(())
            }
        };
        if sent.is_err() {
            return;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    // What is still coming is read, so that closing does not take back what was sent.
    let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
    while matches!(stream.read(&mut [0; 1024]), Ok(count) if count > 0) {}
}

fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let end = loop {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        bytes.extend(&buffer[..count]);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        // The first bytes of a TLS handshake are no request.
        if bytes.first() == Some(&0x16) {
            let _ = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nno TLS here");
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let (first, head) = text.split_once("\r\n").unwrap_or((&text, ""));
    let mut words = first.split(' ');
    let mut asked = Asked {
        method: words.next()?.to_owned(),
        path: words.next()?.to_owned(),
        head: head.to_owned(),
        body: String::new(),
    };
    let length: usize = asked
        .header("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        body.extend(&buffer[..count]);
    }
    asked.body = String::from_utf8_lossy(&body).into_owned();
    Some(asked)
}
