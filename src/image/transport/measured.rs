//! A connection that is not read from for ever. Behind a body in chunks a server may send trailers, and between chunks
//! words about them; ureq reads those to their end, and nobody who waits for the next byte of the body hears of it. So
//! each [`read`] of a body has an allowance of bytes that may come on this thread's connection while it lasts.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read};

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// How many bytes may come for one read of a body, which takes 128 KiB at most.
const ALLOWANCE: u64 = 1 << 20;

thread_local! {
    /// What is left for the present read; nothing is counted outside of one.
    static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Reads from a body, with an allowance.
pub(super) fn read(body: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    LEFT.set(Some(ALLOWANCE));
    let result = body.read(buffer);
    LEFT.set(None);
    result
}

/// A link of the chain: measures the connection before it.
#[derive(Debug)]
pub(super) struct Measured;

impl<In: Transport> Connector<In> for Measured {
    type Out = Connection;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Connection>, Error> {
        Ok(chained.map(|transport| Connection(transport.boxed())))
    }
}

/// A connection whose input is counted.
pub(super) struct Connection(Box<dyn Transport>);

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let before = self.0.buffers().input().len();
        let made_progress = self.0.await_input(timeout)?;
        let came = self.0.buffers().input().len().saturating_sub(before);
        if let Some(left) = LEFT.get() {
            let left = left.checked_sub(came as u64).ok_or_else(endless)?;
            LEFT.set(Some(left));
        }
        Ok(made_progress)
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}

fn endless() -> Error {
    let why = "the server sends much that is no content";
    Error::Io(io::Error::new(io::ErrorKind::InvalidData, why))
}
