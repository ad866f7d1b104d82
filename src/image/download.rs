//! A blob on its way from a registry: a reader that takes up where a broken connection left off.
//!
//! What was read stays read; whether the pieces fit together, the digest decides (whoever reads this wraps it in
//! [`Verified`](super::Verified) or hashes what it read).

use std::io::{self, Read};

use super::descriptor::Descriptor;
use super::registry::{Refusal, Registry, Shared};
use super::transport::Reply;
use crate::error::Error;

/// How many bytes have to come for a connection to count as one that worked.
const WORKED: u64 = 1 << 20;

/// The bytes of a blob, from some byte on.
pub struct Download<'a> {
    shared: &'a Shared<'a>,
    /// In the order in which they are asked; the first that has the blob stays first.
    registries: Vec<&'a Registry<'a>>,
    descriptor: Descriptor,
    reply: Option<Reply>,
    tag: Option<String>,
    at: u64,
    attempt: u32,
    opened_at: u64,
}

impl<'a> Download<'a> {
    /// Opens the blob behind its first `from` bytes, which are there already.
    ///
    /// # Errors
    /// Where no registry has it.
    pub fn open(
        shared: &'a Shared<'a>,
        registries: &[&'a Registry<'a>],
        descriptor: &Descriptor,
        from: u64,
    ) -> Result<Self, Refusal> {
        let mut download = Self {
            shared,
            registries: registries.to_vec(),
            descriptor: descriptor.clone(),
            reply: None,
            tag: None,
            at: from,
            attempt: 0,
            opened_at: from,
        };
        download.connect()?;
        Ok(download)
    }

    /// Asks for what is still missing, at each registry in turn.
    fn connect(&mut self) -> Result<(), Refusal> {
        let mut refused = None;
        for turn in 0..self.registries.len() {
            let Some(registry) = self.registries.get(turn) else {
                break;
            };
            match registry.blob(&self.descriptor.digest, self.at, self.tag.as_deref()) {
                Ok(reply) => {
                    self.registries.swap(0, turn);
                    return self.take(reply);
                }
                Err(refusal) => refused.get_or_insert(refusal),
            };
        }
        Err(refused.unwrap_or_else(|| Error::new("there is no registry to ask").into()))
    }

    /// Takes an answer: the part that was asked for, or the whole, of which the part that is there is passed over.
    fn take(&mut self, mut reply: Reply) -> Result<(), Refusal> {
        let wrong = |why: String| {
            Error::new(format!("cannot read {}", self.descriptor.digest)).because(why)
        };
        let size = self.descriptor.size;
        let (begins, whole) = match reply.status {
            206 => part(reply.header("content-range").unwrap_or_default())
                .ok_or_else(|| wrong("the registry does not say which part it sends".into()))?,
            _ => (0, reply.length()),
        };
        if whole.is_some_and(|whole| whole != size) {
            let why = format!(
                "the registry has {} bytes instead of {size}",
                whole.unwrap_or_default()
            );
            return Err(wrong(why).into());
        }
        if begins > self.at {
            return Err(
                wrong("the registry sends another part than it was asked for".into()).into(),
            );
        }
        self.tag = reply.header("etag").map(str::to_owned);
        let behind = self.at - begins;
        let skipped = io::copy(&mut reply.by_ref().take(behind), &mut io::sink());
        self.opened_at = self.at;
        // Where even that breaks off, reading goes on with the next attempt.
        self.reply = matches!(skipped, Ok(count) if count == behind).then_some(reply);
        Ok(())
    }

    /// After a connection broke: waits and asks again, or gives up.
    fn again(&mut self, cause: io::Error) -> io::Result<()> {
        self.reply = None;
        if self.at.saturating_sub(self.opened_at) >= WORKED {
            self.attempt = 0;
        }
        self.attempt += 1;
        let passing = !matches!(cause.kind(), io::ErrorKind::InvalidData);
        if !passing || self.attempt > self.shared.patience.retries || self.shared.is_stopped() {
            let doing = || Error::new(format!("cannot read {}", self.descriptor.digest));
            return Err(io::Error::new(
                cause.kind(),
                super::verify::unwrap(cause, doing),
            ));
        }
        self.shared.observer.note(&format!(
            "{} broke off at byte {} ({cause}); going on from there",
            self.descriptor.digest, self.at
        ));
        self.shared.pause(self.attempt, None);
        self.connect()
            .map_err(|refusal| io::Error::other(refusal.error))
    }
}

impl Read for Download<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let cause = match self.reply.as_mut().map(|reply| reply.read(buffer)) {
                Some(Ok(count))
                    if count > 0 || self.at >= self.descriptor.size || buffer.is_empty() =>
                {
                    self.at += count as u64;
                    return Ok(count);
                }
                Some(Ok(_)) | None => io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the connection ended too early",
                ),
                Some(Err(e)) => e,
            };
            self.again(cause)?;
        }
    }
}

/// `bytes FIRST-LAST/WHOLE`: the first byte, and the length of the whole where it is said.
fn part(range: &str) -> Option<(u64, Option<u64>)> {
    let (bytes, whole) = range.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = bytes.split_once('-')?;
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse::<u64>().ok()?);
    let whole = match whole.trim() {
        "*" => None,
        number => Some(number.parse().ok()?),
    };
    (first <= last && whole.is_none_or(|whole| last < whole)).then_some((first, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let cases = [
            ("bytes 5-9/10", Some((5, Some(10)))),
            ("bytes 0-9/*", Some((0, None))),
            ("bytes 9-5/10", None),
            ("bytes 5-10/10", None),
            ("bytes */10", None),
            ("5-9/10", None),
            ("bytes -5-9/10", None),
            ("bytes 5-99999999999999999999/*", None),
        ];
        for (text, want) in cases {
            assert_eq!(part(text), want, "{text}");
        }
    }
}
